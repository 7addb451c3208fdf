use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Which names the console answers to.
#[derive(Debug)]
pub(crate) struct Names {
    listen: SocketAddr,
    more: Vec<String>,
}

impl Names {
    pub(crate) fn new(listen: SocketAddr, more: Vec<String>) -> Self {
        Names { listen, more: more.into_iter().map(|n| n.to_ascii_lowercase()).collect() }
    }

    /// Whether a `Host` is one of ours: an address is (a page of another site cannot be at it), `localhost` is, and what the
    /// configuration names; any other name could be made to point here by who owns it.
    fn know(&self, host: &str) -> bool {
        let (name, port) = split(host);
        if port.is_some_and(|p| p != self.listen.port()) {
            return false;
        }
        let name = name.to_ascii_lowercase();
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| self.at(ip)) || self.more.contains(&name)
    }

    fn at(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || ip == self.listen.ip() || self.listen.ip().is_unspecified()
    }
}

/// Whether a `Host` is this machine by itself: `localhost` or an address of loopback.
pub(crate) fn is_own(host: &str) -> bool {
    let (name, _) = split(host);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Name and port of a `Host`; brackets of IPv6 are taken off, and a port that is no number is one that fits nowhere.
fn split(host: &str) -> (&str, Option<u16>) {
    let port = |p: &str| if p.is_empty() { None } else { Some(p.parse().unwrap_or(0)) };
    if let Some((name, rest)) = host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        return (name, rest.strip_prefix(':').and_then(port));
    }
    host.split_once(':').map_or((host, None), |(name, p)| (name, port(p)))
}

/// Lets through what is meant for us and adds what keeps a browser from doing more than show the page.
pub(crate) async fn guard(State(names): State<Arc<Names>>, request: Request, next: Next) -> Response {
    let report = request.uri().path() == "/report";
    let mut response = match refusal(&names, &request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let policy = if report { REPORT_POLICY } else { POLICY };
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn refusal(names: &Names, request: &Request) -> Option<Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Some(Problem::new(StatusCode::BAD_REQUEST, "host", "no host", "a request names one host"));
    };
    // A target that names a host wins over the field (RFC 9112): both have to be ours.
    let named = request.uri().authority().is_none_or(|a| names.know(a.as_str()));
    let known = named && host.to_str().is_ok_and(|h| names.know(h));
    let detail = "this name is not one of the console's; name it in the configuration, or use the address";
    (!known).then(|| Problem::new(StatusCode::MISDIRECTED_REQUEST, "host", "unknown host", detail))
}

/// The pages: own scripts and styles from own files, nothing inline, nobody else's.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// The report is one self-contained document without a script: its style is inline, and nothing else is allowed.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_known() {
        let names = Names::new("127.0.0.1:8088".parse().unwrap(), vec!["Sensor.Example".into()]);
        for host in ["127.0.0.1:8088", "localhost:8088", "LOCALHOST", "[::1]:8088", "sensor.example:8088"] {
            assert!(names.know(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8088",
            "127.0.0.1:80",
            "192.0.2.1:8088",
            "localhost.evil.example",
            "localhost:x",
            "",
        ] {
            assert!(!names.know(host), "{host}");
        }
    }
}
