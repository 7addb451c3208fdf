/// Why something is fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Page,
    Fetch,
    Style,
    Script,
    Image,
}

/// A request before a client program dresses it.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) host: &'static str,
    pub(crate) target: String,
    pub(crate) kind: Kind,
    pub(crate) body: Option<(&'static str, Vec<u8>)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) referer: Option<String>,
}

impl Ask {
    pub(crate) fn new(method: &'static str, host: &'static str, target: impl Into<String>) -> Self {
        let (target, kind, body) = (target.into(), Kind::Fetch, None);
        Ask { method, host, target, kind, body, headers: Vec::new(), referer: None }
    }

    pub(crate) fn get(host: &'static str, target: impl Into<String>) -> Self {
        Ask::new("GET", host, target)
    }

    pub(crate) fn post(host: &'static str, target: impl Into<String>) -> Self {
        Ask::new("POST", host, target)
    }

    pub(crate) const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn json(mut self, value: &serde_json::Value) -> Self {
        self.body = Some(("application/json", value.to_string().into_bytes()));
        self
    }

    pub(crate) fn form(mut self, text: String) -> Self {
        self.body = Some(("application/x-www-form-urlencoded", text.into_bytes()));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn page_host(&self) -> &str {
        let referer = self.referer.as_deref().and_then(|r| r.strip_prefix("https://"));
        referer.and_then(|r| r.split('/').next()).unwrap_or(self.host)
    }

    pub(crate) fn site(&self) -> &'static str {
        let last = |host: &str| host.rsplit('.').nth(1).map(str::to_owned);
        match (&self.referer, self.page_host()) {
            (None, _) => "none",
            (_, host) if host == self.host => "same-origin",
            (_, host) if last(host) == last(self.host) => "same-site",
            _ => "cross-site",
        }
    }

    pub(crate) const fn destination(&self) -> &'static str {
        match self.kind {
            Kind::Page => "document",
            Kind::Fetch => "empty",
            Kind::Style => "style",
            Kind::Script => "script",
            Kind::Image => "image",
        }
    }

    pub(crate) const fn accept(&self) -> &'static str {
        match self.kind {
            Kind::Style => "text/css,*/*;q=0.1",
            Kind::Image => "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
            _ => "*/*",
        }
    }
}
