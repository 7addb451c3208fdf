//! Talking to devices by HTTP: time limits, credentials, and what their status codes mean.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::config::ConfigError;
use crate::connector::{ConnectorError, shortened};

/// Most bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 << 20;

/// How a device is reached by HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpOptions {
    /// Seconds that one request may take.
    pub timeout_s: u64,
    /// Certificate authorities (PEM) that are believed; the system's without it.
    pub ca: Option<PathBuf>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions { timeout_s: 10, ca: None }
    }
}

/// A client of one device. Redirects are not followed: a credential goes nowhere but where it was meant to.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    agent: Agent,
    timeout_s: u64,
}

/// A request with a body, or without one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a [u8]>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(options: &HttpOptions) -> Result<Self, ConfigError> {
        if options.timeout_s == 0 {
            return Err(ConfigError::Value("timeout_s is at least 1".to_owned()));
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(authorities(options.ca.as_ref())?)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("sidetap/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(Duration::from_secs(options.timeout_s)))
            .max_redirects(0)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .build();
        Ok(Http { agent: config.new_agent(), timeout_s: options.timeout_s })
    }

    /// Asks, and gives the answer whatever its status is.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Reply, ConnectorError> {
        let mut request = ureq::http::Request::builder().method(ask.method).uri(ask.url);
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let malformed = |e: ureq::http::Error| ConnectorError::Missing(format!("{}: {e}", host(ask.url)));
        let answer = match ask.body {
            Some(body) => self.agent.run(request.body(body).map_err(malformed)?),
            None => self.agent.run(request.body(()).map_err(malformed)?),
        };
        let answer = answer.map_err(|e| self.failure(ask.url, &e))?;
        let text = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut reply = Reply {
            status: answer.status().as_u16(),
            retry_after_s: text("retry-after").and_then(|v| v.trim().parse().ok()),
            body: Vec::new(),
        };
        reply.body = answer
            .into_body()
            .into_with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|e| self.failure(ask.url, &e))?;
        Ok(reply)
    }

    /// Asks, and gives the answer where its status is one of success.
    pub(crate) fn ok(&self, ask: &Ask<'_>) -> Result<Reply, ConnectorError> {
        let reply = self.ask(ask)?;
        match reply.status {
            200..=299 => Ok(reply),
            _ => Err(reply.refusal(ask)),
        }
    }

    fn failure(&self, url: &str, error: &ureq::Error) -> ConnectorError {
        match error {
            ureq::Error::Timeout(_) => ConnectorError::Timeout(self.timeout_s),
            e => ConnectorError::Unreachable(format!("{}: {}", host(url), shortened(&e.to_string()))),
        }
    }
}

/// What asks servers that are no devices: gets an address, or posts a form to it with an `Authorization` where one is given.
pub type Asks = dyn Fn(&str, Option<(&str, Option<&str>)>) -> Result<Vec<u8>, String> + Send + Sync;

/// Something that asks servers within these limits; an answer that is none of success is an error that says what it was.
pub fn asker(options: &HttpOptions) -> Result<Arc<Asks>, ConfigError> {
    let http = Http::new(options)?;
    Ok(Arc::new(move |url, form| {
        let mut headers = vec![("Accept", "application/json")];
        let mut ask = Ask { method: "GET", url, ..Ask::default() };
        if let Some((body, authorization)) = form {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
            headers.extend(authorization.map(|a| ("Authorization", a)));
            ask = Ask { method: "POST", body: Some(body.as_bytes()), ..ask };
        }
        http.ok(&Ask { headers: &headers, ..ask }).map(|r| r.body).map_err(|e| e.to_string())
    }))
}

impl Reply {
    pub(crate) fn json(&self) -> Result<Value, ConnectorError> {
        serde_json::from_slice(&self.body).map_err(|e| ConnectorError::Answer(format!("no JSON: {e}")))
    }

    /// The words of a server's own at this place of its answer.
    pub(crate) fn said(&self, pointer: &str) -> Option<String> {
        let said: Value = serde_json::from_slice(&self.body).ok()?;
        said.pointer(pointer)?.as_str().map(shortened)
    }

    /// What a status that is none of success means.
    pub(crate) fn refusal(&self, ask: &Ask<'_>) -> ConnectorError {
        let said = shortened(&String::from_utf8_lossy(&self.body));
        match self.status {
            401 | 403 => ConnectorError::Denied(format!("{} {said}", self.status)),
            409 | 412 => ConnectorError::Conflict(said),
            429 => ConnectorError::Later(self.retry_after_s.unwrap_or(60)),
            503 if self.retry_after_s.is_some() => ConnectorError::Later(self.retry_after_s.unwrap_or(60)),
            500..=599 => ConnectorError::Unreachable(format!("{} {said}", self.status)),
            status => ConnectorError::Refused {
                command: format!("{} {}", ask.method, path(ask.url)),
                answer: format!("{status} {said}"),
            },
        }
    }
}

/// The host of an address: what follows may hold a token.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest).rsplit('@').next().unwrap_or_default()
}

/// The path of an address without its query.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    path.split('?').next().unwrap_or(path)
}

/// Refuses what is no plain address of a server.
pub(crate) fn check_url(name: &str, url: &str) -> Result<(), ConfigError> {
    let fits = url.starts_with("https://") || url.starts_with("http://");
    let odd = url.bytes().any(|b| b <= b' ' || b == b'@' || b == 0x7f) || host(url).is_empty();
    if fits && !odd {
        return Ok(());
    }
    Err(ConfigError::Value(format!("{name}: `{}` is no http:// or https:// address", host(url))))
}

/// The certificate authorities of a file, or those that the system keeps (`SSL_CERT_FILE` first).
fn authorities(named: Option<&PathBuf>) -> Result<Vec<ureq::tls::Certificate<'static>>, ConfigError> {
    const PLACES: [&str; 4] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let text = match named {
        Some(path) => {
            std::fs::read(path).map_err(|e| ConfigError::Value(format!("ca {}: {e}", path.display())))?
        }
        None => {
            let variable = std::env::var("SSL_CERT_FILE").ok();
            let places = variable.as_deref().into_iter().chain(PLACES);
            places.filter_map(|p| std::fs::read(p).ok()).find(|t| !t.is_empty()).unwrap_or_default()
        }
    };
    let certificates = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(certificates.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_and_paths_are_told() {
        assert_eq!(host("https://u:p@edge.example:8443/x?token=1"), "edge.example:8443");
        assert_eq!(path("https://edge.example/x/y?token=1"), "/x/y");
        assert_eq!(path("https://edge.example"), "/");
        assert!(check_url("a", "https://edge.example/x").is_ok());
        for wrong in ["edge.example", "ftp://x", "https://u:p@x", "http://", "http://a b"] {
            assert!(check_url("a", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn status_codes_mean_what_they_say() {
        let reply = |status, retry_after_s| Reply { status, retry_after_s, body: b"no\nmore".to_vec() };
        let ask = Ask { method: "PUT", url: "http://x/y?z", ..Ask::default() };
        assert_eq!(reply(401, None).refusal(&ask), ConnectorError::Denied("401 no".into()));
        assert_eq!(reply(429, Some(7)).refusal(&ask), ConnectorError::Later(7));
        assert_eq!(reply(412, None).refusal(&ask), ConnectorError::Conflict("no".into()));
        assert_eq!(reply(400, None).refusal(&ask).to_string(), "refused `PUT /y`: 400 no");
        assert!(matches!(reply(502, None).refusal(&ask), ConnectorError::Unreachable(_)));
    }
}
