//! What clients write into their heads, name by name in their order.

use super::ask::{Ask, Kind};
use crate::Rng;

/// The head of one kind of client. A line is `Name: value`; `@` values are filled in, and left out where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) agent: String,
    page: &'static [&'static str],
    fetch: &'static [&'static str],
    asset: &'static [&'static str],
    brands: String,
    platform: &'static str,
    mobile: &'static str,
    language: &'static str,
    pub(crate) keeps_alive: bool,
    pub(crate) ttl: u8,
}

/// What fills the `@` values of a request.
pub(crate) struct Fill<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) cookie: Option<String>,
    pub(crate) bearer: Option<&'a str>,
    pub(crate) etag: Option<&'a str>,
}

impl Recipe {
    /// The lines of the head after the request line.
    pub(crate) fn lines(&self, fill: &Fill<'_>) -> Vec<(String, String)> {
        let lines = match fill.ask.kind {
            Kind::Page => self.page,
            Kind::Fetch => self.fetch,
            Kind::Style | Kind::Script | Kind::Image => self.asset,
        };
        let mut out = Vec::with_capacity(lines.len() + 2);
        for line in lines {
            let Some((name, value)) = line.split_once(": ") else { continue };
            if *line == "@extra: " {
                out.extend(fill.ask.headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())));
            } else if let Some(value) = self.value(value, fill) {
                out.push((name.to_owned(), value));
            }
        }
        if !lines.contains(&"@extra: ") {
            out.extend(fill.ask.headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())));
        }
        out
    }

    fn value(&self, value: &str, fill: &Fill<'_>) -> Option<String> {
        let ask = fill.ask;
        let posts = ask.body.is_some();
        let text = match value {
            "@host" => ask.host.to_owned(),
            "@agent" => self.agent.clone(),
            "@brands" => self.brands.clone(),
            "@platform" => self.platform.to_owned(),
            "@mobile" => self.mobile.to_owned(),
            "@language" => self.language.to_owned(),
            "@cookie" => fill.cookie.clone()?,
            "@bearer" => format!("Bearer {}", fill.bearer?),
            "@etag" => fill.etag?.to_owned(),
            "@length" => ask.body.as_ref().map(|(_, b)| b.len().to_string())?,
            "@type" => ask.body.as_ref().map(|(t, _)| (*t).to_owned())?,
            "@referer" => ask.referer.clone()?,
            "@origin" => posts.then(|| format!("https://{}", ask.page_host()))?,
            "@site" => ask.site().to_owned(),
            "@user" => (ask.kind == Kind::Page).then(|| "?1".to_owned())?,
            "@dest" => ask.destination().to_owned(),
            "@mode" => if ask.kind == Kind::Fetch { "cors" } else { "no-cors" }.to_owned(),
            "@accept" => ask.accept().to_owned(),
            other => other.to_owned(),
        };
        Some(text)
    }
}

/// A browser of a person, drawn by market share.
pub(crate) fn browser(rng: &mut Rng) -> Recipe {
    match rng.weighted(&[44, 14, 10, 8, 14, 10]) {
        0 => chrome(rng, "Windows NT 10.0; Win64; x64", "\"Windows\"", false),
        1 => chrome(rng, "Macintosh; Intel Mac OS X 10_15_7", "\"macOS\"", false),
        2 => firefox(rng),
        3 => edge(rng),
        4 => safari(rng, true),
        _ => chrome(rng, "Linux; Android 10; K", "\"Android\"", true),
    }
}

/// Chrome of a recent major version.
pub(crate) fn chrome(rng: &mut Rng, system: &str, platform: &'static str, mobile: bool) -> Recipe {
    let major = rng.pick(&[139, 140, 140, 141, 141, 141, 142]);
    let suffix = if mobile { " Mobile" } else { "" };
    Recipe {
        agent: format!(
            "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0{suffix} Safari/537.36"
        ),
        brands: format!(
            "\"Google Chrome\";v=\"{major}\", \"Not?A_Brand\";v=\"8\", \"Chromium\";v=\"{major}\""
        ),
        platform,
        mobile: if mobile { "?1" } else { "?0" },
        ttl: if system.starts_with("Windows") { rng.pick(&[115, 117]) } else { rng.pick(&[51, 53]) },
        ..chromium(rng)
    }
}

fn edge(rng: &mut Rng) -> Recipe {
    let major = rng.pick(&[140, 141]);
    Recipe {
        agent: format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36 Edg/{major}.0.0.0"
        ),
        brands: format!(
            "\"Microsoft Edge\";v=\"{major}\", \"Not?A_Brand\";v=\"8\", \"Chromium\";v=\"{major}\""
        ),
        platform: "\"Windows\"",
        mobile: "?0",
        ttl: 116,
        ..chromium(rng)
    }
}

fn chromium(rng: &mut Rng) -> Recipe {
    Recipe {
        page: CHROME_PAGE,
        fetch: CHROME_FETCH,
        asset: CHROME_ASSET,
        language: rng.pick(&[
            "en-GB,en;q=0.9",
            "en-US,en;q=0.9",
            "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
            "nl,en;q=0.9",
            "es-ES,es;q=0.9",
        ]),
        ttl: 52,
        ..tool("", &[])
    }
}

fn firefox(rng: &mut Rng) -> Recipe {
    let (version, system) = (
        rng.pick(&[140, 143, 144]),
        rng.pick(&["Windows NT 10.0; Win64; x64", "X11; Linux x86_64", "Macintosh; Intel Mac OS X 10.15"]),
    );
    Recipe {
        agent: format!("Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"),
        page: FIREFOX_PAGE,
        fetch: FIREFOX_FETCH,
        asset: FIREFOX_ASSET,
        language: rng.pick(&["en-GB,en;q=0.5", "en-US,en;q=0.5", "de,en-US;q=0.7,en;q=0.3"]),
        ttl: 54,
        ..tool("", &[])
    }
}

fn safari(rng: &mut Rng, phone: bool) -> Recipe {
    let version = rng.pick(&["18.5", "18.6", "26.0"]);
    let system =
        if phone { "iPhone; CPU iPhone OS 18_6 like Mac OS X" } else { "Macintosh; Intel Mac OS X 10_15_7" };
    let mobile = if phone { " Mobile/15E148" } else { "" };
    Recipe {
        agent: format!(
            "Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version}{mobile} Safari/604.1"
        ),
        page: SAFARI_PAGE,
        fetch: SAFARI_FETCH,
        asset: SAFARI_ASSET,
        language: rng.pick(&["en-GB,en;q=0.9", "en-US,en;q=0.9", "fr-FR,fr;q=0.9"]),
        ttl: 52,
        ..tool("", &[])
    }
}

/// The shop's own app on Android or iOS; `old` is a version that still speaks the first API.
pub(crate) fn app(rng: &mut Rng, old: bool) -> Recipe {
    let version = if old { "3.9.2" } else { rng.pick(&["6.2.0", "6.2.1", "6.3.0"]) };
    if rng.percent(55.0) {
        let phone = rng.pick(&["Pixel 9", "SM-A556B", "SM-S921B", "2312DRA50G"]);
        let agent = format!("Harborlight/{version} (Android 15; {phone}) okhttp/5.1.0");
        Recipe { ttl: 50, language: rng.pick(&["en-GB", "en-US", "de-DE"]), ..tool(&agent, OKHTTP) }
    } else {
        let agent = format!("Harborlight/{version} CFNetwork/3826.600.41 Darwin/24.6.0");
        Recipe {
            ttl: 51,
            language: rng.pick(&["en-GB,en;q=0.9", "fr-FR,fr;q=0.9", "en-US,en;q=0.9"]),
            ..tool(&agent, CFNETWORK)
        }
    }
}

/// A program that writes one head for all it asks.
pub(crate) fn tool(agent: &str, lines: &'static [&'static str]) -> Recipe {
    Recipe {
        agent: agent.to_owned(),
        page: lines,
        fetch: lines,
        asset: lines,
        brands: String::new(),
        platform: "",
        mobile: "",
        language: "en",
        keeps_alive: true,
        ttl: 49,
    }
}

const CHROME_PAGE: &[&str] = &[
    "Host: @host",
    "Connection: keep-alive",
    "Content-Length: @length",
    "sec-ch-ua: @brands",
    "sec-ch-ua-mobile: @mobile",
    "sec-ch-ua-platform: @platform",
    "Origin: @origin",
    "Content-Type: @type",
    "Upgrade-Insecure-Requests: 1",
    "User-Agent: @agent",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    "Sec-Fetch-Site: @site",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-User: ?1",
    "Sec-Fetch-Dest: document",
    "Referer: @referer",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: @language",
    "Cookie: @cookie",
];
const CHROME_FETCH: &[&str] = &[
    "Host: @host",
    "Connection: keep-alive",
    "Content-Length: @length",
    "sec-ch-ua-platform: @platform",
    "Authorization: @bearer",
    "User-Agent: @agent",
    "sec-ch-ua: @brands",
    "Content-Type: @type",
    "sec-ch-ua-mobile: @mobile",
    "@extra: ",
    "Accept: application/json, text/plain, */*",
    "Origin: @origin",
    "Sec-Fetch-Site: @site",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Dest: empty",
    "Referer: @referer",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: @language",
    "Cookie: @cookie",
];
const CHROME_ASSET: &[&str] = &[
    "Host: @host",
    "Connection: keep-alive",
    "sec-ch-ua-platform: @platform",
    "User-Agent: @agent",
    "sec-ch-ua: @brands",
    "sec-ch-ua-mobile: @mobile",
    "Accept: @accept",
    "Sec-Fetch-Site: @site",
    "Sec-Fetch-Mode: no-cors",
    "Sec-Fetch-Dest: @dest",
    "Referer: @referer",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: @language",
    "Cookie: @cookie",
    "If-None-Match: @etag",
];
const FIREFOX_PAGE: &[&str] = &[
    "Host: @host",
    "User-Agent: @agent",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: @language",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Content-Type: @type",
    "Content-Length: @length",
    "Origin: @origin",
    "Connection: keep-alive",
    "Referer: @referer",
    "Cookie: @cookie",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: @site",
    "Sec-Fetch-User: ?1",
    "Priority: u=0, i",
];
const FIREFOX_FETCH: &[&str] = &[
    "Host: @host",
    "User-Agent: @agent",
    "Accept: application/json",
    "Accept-Language: @language",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: @referer",
    "Content-Type: @type",
    "@extra: ",
    "Authorization: @bearer",
    "Content-Length: @length",
    "Origin: @origin",
    "Connection: keep-alive",
    "Cookie: @cookie",
    "Sec-Fetch-Dest: empty",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Site: @site",
];
const FIREFOX_ASSET: &[&str] = &[
    "Host: @host",
    "User-Agent: @agent",
    "Accept: @accept",
    "Accept-Language: @language",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Connection: keep-alive",
    "Referer: @referer",
    "Cookie: @cookie",
    "Sec-Fetch-Dest: @dest",
    "Sec-Fetch-Mode: no-cors",
    "Sec-Fetch-Site: @site",
    "If-None-Match: @etag",
];
const SAFARI_PAGE: &[&str] = &[
    "Host: @host",
    "Content-Type: @type",
    "Origin: @origin",
    "Cookie: @cookie",
    "Sec-Fetch-Dest: document",
    "User-Agent: @agent",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Referer: @referer",
    "Content-Length: @length",
    "Sec-Fetch-Site: @site",
    "Sec-Fetch-Mode: navigate",
    "Accept-Language: @language",
    "Priority: u=0, i",
    "Accept-Encoding: gzip, deflate, br",
    "Connection: keep-alive",
];
const SAFARI_FETCH: &[&str] = &[
    "Host: @host",
    "Content-Type: @type",
    "Accept: */*",
    "Authorization: @bearer",
    "@extra: ",
    "Sec-Fetch-Site: @site",
    "Accept-Language: @language",
    "Accept-Encoding: gzip, deflate, br",
    "Sec-Fetch-Mode: cors",
    "Origin: @origin",
    "User-Agent: @agent",
    "Content-Length: @length",
    "Referer: @referer",
    "Sec-Fetch-Dest: empty",
    "Cookie: @cookie",
    "Connection: keep-alive",
];
const SAFARI_ASSET: &[&str] = &[
    "Host: @host",
    "Accept: @accept",
    "Sec-Fetch-Site: @site",
    "Cookie: @cookie",
    "If-None-Match: @etag",
    "Sec-Fetch-Mode: no-cors",
    "User-Agent: @agent",
    "Referer: @referer",
    "Sec-Fetch-Dest: @dest",
    "Accept-Language: @language",
    "Accept-Encoding: gzip, deflate, br",
    "Connection: keep-alive",
];
pub(super) const OKHTTP: &[&str] = &[
    "authorization: @bearer",
    "accept-language: @language",
    "x-app-platform: android",
    "@extra: ",
    "Content-Type: @type",
    "Content-Length: @length",
    "Host: @host",
    "Connection: Keep-Alive",
    "Accept-Encoding: gzip",
    "User-Agent: @agent",
];
const CFNETWORK: &[&str] = &[
    "Host: @host",
    "Content-Type: @type",
    "@extra: ",
    "X-App-Platform: ios",
    "Accept: */*",
    "Authorization: @bearer",
    "Content-Length: @length",
    "User-Agent: @agent",
    "Accept-Language: @language",
    "Accept-Encoding: gzip, deflate, br",
    "Connection: keep-alive",
];
/// Go's net/http.
pub(crate) const GO: &[&str] = &[
    "Host: @host",
    "User-Agent: @agent",
    "Content-Length: @length",
    "@extra: ",
    "Authorization: @bearer",
    "Content-Type: @type",
    "Cookie: @cookie",
    "Accept-Encoding: gzip",
];
/// Python's requests.
pub(crate) const REQUESTS: &[&str] = &[
    "Host: @host",
    "User-Agent: @agent",
    "Accept-Encoding: gzip, deflate",
    "Accept: */*",
    "Connection: keep-alive",
    "@extra: ",
    "Authorization: @bearer",
    "Cookie: @cookie",
    "Content-Length: @length",
    "Content-Type: @type",
];
/// Python's httpx.
pub(crate) const HTTPX: &[&str] = &[
    "Host: @host",
    "Accept: */*",
    "Accept-Encoding: gzip, deflate",
    "Connection: keep-alive",
    "User-Agent: @agent",
    "@extra: ",
    "Authorization: @bearer",
    "Cookie: @cookie",
    "Content-Length: @length",
    "Content-Type: @type",
];
/// Node's undici, with what a script sets to look like a browser.
pub(crate) const NODE: &[&str] = &[
    "Host: @host",
    "Connection: keep-alive",
    "Accept: application/json",
    "@extra: ",
    "Authorization: @bearer",
    "Content-Type: @type",
    "User-Agent: @agent",
    "Accept-Language: en-US,en",
    "Sec-Fetch-Mode: cors",
    "Accept-Encoding: br, gzip, deflate",
    "Cookie: @cookie",
    "Content-Length: @length",
];
/// Java's HttpClient.
pub(crate) const JAVA: &[&str] = &[
    "Content-Length: @length",
    "Host: @host",
    "User-Agent: @agent",
    "Accept: application/json",
    "@extra: ",
    "Authorization: @bearer",
    "Content-Type: @type",
];
/// curl.
pub(crate) const CURL: &[&str] = &[
    "Host: @host",
    "User-Agent: @agent",
    "Accept: */*",
    "@extra: ",
    "Authorization: @bearer",
    "Cookie: @cookie",
    "Content-Length: @length",
    "Content-Type: @type",
];
/// A crawler.
pub(crate) const CRAWLER: &[&str] = &[
    "Host: @host",
    "Connection: keep-alive",
    "Accept: text/html,application/xhtml+xml,application/signed-exchange;v=b3,application/xml;q=0.9,*/*;q=0.8",
    "From: crawler(at)seek.example",
    "User-Agent: @agent",
    "Accept-Encoding: gzip, deflate, br",
    "If-None-Match: @etag",
];
/// A configuration of an attack tool that claims to be the app.
pub(crate) const FALSE_APP: &[&str] = &[
    "Host: @host",
    "User-Agent: @agent",
    "Accept: application/json",
    "Content-Type: @type",
    "x-app-platform: android",
    "@extra: ",
    "Authorization: @bearer",
    "Accept-Encoding: gzip, deflate",
    "Content-Length: @length",
    "Connection: close",
];
/// A script that copied some of a browser's head.
pub(crate) const FALSE_BROWSER: &[&str] = &[
    "Host: @host",
    "User-Agent: @agent",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate",
    "Upgrade-Insecure-Requests: 1",
    "Authorization: @bearer",
    "Cookie: @cookie",
    "Content-Type: @type",
    "Content-Length: @length",
    "Connection: keep-alive",
];
