//! What a head shows beside what its agent claims to be.

use super::headers::{Head, Name};
use crate::agent::{Agent, AgentKind, Platform};
use crate::observation::Traits;

impl Head<'_> {
    /// Adds what only shows beside what the agent claims to be.
    pub(crate) fn compare(&mut self, agent: &Agent, json_call: bool, page: bool) {
        self.traits.insert(agent.traits);
        if agent.kind == AgentKind::Browser {
            self.compare_browser(agent, json_call, page);
        }
        if agent.kind == AgentKind::AppLibrary {
            self.compare_app(agent);
        }
        if agent.kind != AgentKind::Browser {
            self.traits.set(Traits::HINTS_FOREIGN, self.brands.is_some() && agent.kind == AgentKind::Library);
        }
    }

    fn compare_browser(&mut self, agent: &Agent, json_call: bool, page: bool) {
        let n = &self.names;
        let chromium = agent.is_chromium();
        let modern = (chromium || agent.family == "firefox") && agent.major >= 60;
        let encoding = self.encoding.unwrap_or_default();
        let python = n.comes_before(Name::Agent, Name::Encoding)
            && n.comes_before(Name::Encoding, Name::Accept)
            && n.comes_before(Name::Accept, Name::Connection);
        let httpx = n.comes_before(Name::Accept, Name::Encoding)
            && n.comes_before(Name::Encoding, Name::Connection)
            && n.comes_before(Name::Connection, Name::Agent)
            && self.fetch_mode.is_none();
        let curl = n.at(0) == Name::Host
            && n.at(1) == Name::Agent
            && n.at(2) == Name::Accept
            && self.language.is_none();
        let bare = n.at(0) == Name::Host && n.at(1) == Name::Agent && self.accept.is_none();
        let foreign = chromium || agent.family == "safari";
        let chrome_firefox_order = foreign && n.at(0) == Name::Host && n.at(1) == Name::Agent;
        let t = &mut self.traits;
        t.set(Traits::LIBRARY_ORDER, python || httpx || curl || bare || chrome_firefox_order);
        t.set(Traits::HOST_LATE, n.position(Name::Host) != Some(0));
        t.set(Traits::CONNECTION_MISSING, chromium && self.connection.is_none());
        t.set(Traits::ENCODING_STALE, modern && !encoding.windows(2).any(|w| w == b"br"));
        t.set(Traits::HINTS_FOREIGN, self.brands.is_some() && !chromium);
        t.set(Traits::ORIGIN_MISSING, json_call && self.origin.is_none());
        t.set(Traits::XHR_NAVIGATES, self.by_script && t.has(Traits::NAVIGATES));
        t.set(Traits::UPGRADE_MISSING, page && modern && !self.upgrade && !self.by_script);
        self.compare_fetch();
        self.compare_languages();
        let t = &mut self.traits;
        let wildcard = page && self.accept == Some(b"*/*") && !t.has(Traits::SEC_FETCH);
        t.set(Traits::ACCEPT_WILDCARD, wildcard);
        if let Some(brands) = self.brands {
            t.set(Traits::HINTS_HEADLESS, names_headless(brands));
            t.set(Traits::HINTS_VERSION, chromium && agent.major > 0 && !names_version(brands, agent.major));
            t.set(Traits::HINTS_BRAND, chromium && !names_brand(brands, &agent.family));
            t.set(
                Traits::HINTS_PART,
                agent.major >= 93 && (self.mobile.is_none() || self.hint_platform.is_none()),
            );
        }
        if let Some(mobile) = self.mobile {
            let phone = agent.text.contains("Mobile");
            t.set(
                Traits::HINTS_PLATFORM,
                chromium && (mobile == b"?1") != phone && agent.platform != Platform::Android,
            );
        }
        if let Some(platform) = self.hint_platform {
            t.set(Traits::HINTS_PLATFORM, chromium && !platform_agrees(platform, agent.platform));
        }
    }

    /// Fetch metadata: Site, Mode and Dest come together, and agree with Referer and Accept.
    fn compare_fetch(&mut self) {
        let there = [self.fetch_site, self.fetch_mode, self.fetch_dest];
        let t = &mut self.traits;
        if there.iter().all(Option::is_none) {
            return;
        }
        t.set(Traits::SEC_FETCH_PART, there.iter().any(Option::is_none));
        let navigates = self.fetch_mode == Some(b"navigate");
        let nowhere = self.fetch_site == Some(b"none") && t.has(Traits::REFERER);
        let nobody = self.fetch_user && !navigates;
        t.set(Traits::SEC_FETCH_SITE_ODD, nowhere || nobody);
        let html = self.accept.is_some_and(|a| a.starts_with(b"text/html"));
        let document = self.fetch_dest == Some(b"document") && navigates;
        let other = matches!(self.fetch_dest, Some(b"image" | b"script" | b"style" | b"font"));
        t.set(Traits::ACCEPT_DEST_ODD, document && !html || other && html);
    }

    fn compare_languages(&mut self) {
        let Some(language) = self.language else { return };
        self.traits.set(Traits::LANGUAGE_ANY, language == b"*");
        let bare = language.len() > 1 && !language.contains(&b',') && !language.contains(&b';');
        self.traits.set(Traits::LANGUAGE_BARE, bare);
    }

    /// What the Referer says beside the host and the path that are asked for: a hash of its path where it is of this host.
    pub(crate) fn referred(&mut self, path: &str) -> u64 {
        let Some(referer) = self.referer else { return 0 };
        let rest = referer.strip_prefix(b"https://").or_else(|| referer.strip_prefix(b"http://"));
        let odd = memchr::memchr2(b'#', b' ', referer).is_some();
        let Some(rest) = rest.filter(|_| !odd) else {
            self.traits.set(Traits::REFERER_MALFORMED, odd || !referer.starts_with(b"android-app://"));
            return 0;
        };
        let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        let (host, named) = rest.split_at_checked(end).unwrap_or_default();
        self.traits.set(Traits::REFERER_MALFORMED, host.contains(&b'@') || host.is_empty());
        if !host.eq_ignore_ascii_case(self.host) {
            return 0;
        }
        self.traits.insert(Traits::REFERER_OWN);
        let named = named.split(|b| *b == b'?').next().unwrap_or_default();
        let asks = self.traits.has(Traits::GET) && !self.traits.has(Traits::COOKIE);
        self.traits.set(Traits::REFERER_SELF, asks && named == path.as_bytes() && named.len() > 1);
        crate::hash::quick(named)
    }

    /// The Origin is another site than the one called.
    pub(crate) fn foreign_origin(&mut self) {
        let Some(origin) = self.origin.filter(|o| *o != b"null") else { return };
        let host = memchr::memmem::find(origin, b"://").and_then(|at| origin.get(at + 3..)).unwrap_or(origin);
        self.traits.set(Traits::ORIGIN_FOREIGN, !host.eq_ignore_ascii_case(self.host));
    }

    /// A multipart boundary of 32 or 60 hexadecimal digits, as urllib3 and Go make it.
    pub(crate) fn boundary(&mut self) {
        let Some(kind) = self.content_type.filter(|t| t.starts_with(b"multipart/")) else { return };
        let Some(at) = memchr::memmem::find(kind, b"boundary=") else { return };
        let value = kind.get(at + 9..).unwrap_or_default();
        let hex = matches!(value.len(), 32 | 60) && value.iter().all(u8::is_ascii_hexdigit);
        let mail = value.starts_with(b"===") || value.starts_with(b"\"===");
        self.traits.set(Traits::BOUNDARY_LIBRARY, hex || mail);
    }

    /// OkHttp writes Host, Connection, Accept-Encoding itself, in this order, after the app's own fields. Every hop takes
    /// Connection off (RFC 9110 §7.6.1), and HTTP/2 has none.
    fn compare_app(&mut self, agent: &Agent) {
        let n = &self.names;
        if agent.family == "okhttp" {
            let own = n.position(Name::Host).is_some_and(|i| match n.at(i + 1) {
                Name::Connection => true,
                next => next == Name::Encoding && n.position(Name::Connection).is_none(),
            });
            let unknown = n.position(Name::Host).is_none();
            self.traits.set(Traits::APP_ORDER, !own && !unknown);
        } else if agent.family == "cfnetwork" || agent.family == "alamofire" {
            let curl = n.at(0) == Name::Host && n.at(1) == Name::Agent;
            let python =
                n.comes_before(Name::Agent, Name::Encoding) && n.comes_before(Name::Encoding, Name::Accept);
            self.traits.set(Traits::APP_ORDER, curl || python);
        }
    }
}

fn names_headless(brands: &[u8]) -> bool {
    memchr::memchr_iter(b'H', brands)
        .any(|at| brands.get(at..).is_some_and(|rest| rest.starts_with(b"Headless")))
}

/// True where client hints name this major version of a brand: `v="120"`.
fn names_version(brands: &[u8], major: u16) -> bool {
    memchr::memchr_iter(b'=', brands).any(|at| {
        let (head, rest) = brands.split_at_checked(at).unwrap_or_default();
        let Some(version) = rest.strip_prefix(b"=\"").filter(|_| head.ends_with(b"v")) else { return false };
        let digits = version.split(|b| *b == b'"').next().unwrap_or_default();
        let closed = version.len() > digits.len();
        let plain = digits.iter().all(u8::is_ascii_digit) && digits.first() != Some(&b'0');
        closed && plain && std::str::from_utf8(digits).is_ok_and(|d| d.parse() == Ok(major))
    })
}

/// True where the client hints name the engine and, of a brand with a name of its own, the brand.
fn names_brand(brands: &[u8], family: &str) -> bool {
    let has = |name: &[u8]| memchr::memmem::find(brands, name).is_some();
    match family {
        "edge" => has(b"Edge"),
        "opera" => has(b"Opera") || has(b"Chromium"),
        "chrome" => has(b"Chrom") && !has(b"\"Microsoft Edge\"") && !has(b"\"Opera\""),
        _ => true,
    }
}

fn platform_agrees(hint: &[u8], platform: Platform) -> bool {
    let hint = hint.to_ascii_lowercase();
    let has = |w: &[u8]| hint.windows(w.len()).any(|x| x == w);
    match platform {
        Platform::Windows => has(b"windows"),
        Platform::Mac => has(b"macos") || has(b"mac os"),
        Platform::Android => has(b"android"),
        Platform::Linux => has(b"linux"),
        Platform::Ios => has(b"ios"),
        Platform::ChromeOs => has(b"chrom"),
        Platform::Unknown => true,
    }
}
