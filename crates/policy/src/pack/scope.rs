//! Where rules hold: reading it, and what in it can never be.

use super::Reader;
use super::raw::RawScope;
use crate::nearest;
use crate::places::{host_matches, is_in_pieces};
use crate::rule_scope::RuleScope;

/// What endpoints can be for, as verdicts and inventories name it.
pub const ROLES: [&str; 19] = [
    "login",
    "sign-up",
    "password-reset",
    "otp",
    "checkout",
    "cart",
    "gift-card",
    "coupon",
    "search",
    "inventory",
    "transfer",
    "profile",
    "id-lookup",
    "sim-swap",
    "payment",
    "posting",
    "vote",
    "price",
    "telemetry",
];

/// Through what clients call.
pub const CHANNELS: [&str; 3] = ["web", "mobile", "api"];

impl Reader<'_> {
    pub(super) fn scope(&mut self, index: usize, raw: RawScope) -> RuleScope {
        let scope = RuleScope {
            hosts: raw.hosts.iter().map(|h| h.to_lowercase()).collect(),
            endpoints: raw.endpoints,
            roles: raw.roles,
            channels: raw.channels,
            widen: raw.widen,
        };
        self.named(index, "roles", "role", &scope.roles, &ROLES);
        self.named(index, "channels", "channel", &scope.channels, &CHANNELS);
        for host in scope.hosts.iter().filter(|h| !is_host(h)) {
            let here = self.within(index, "scope", "hosts");
            self.tell(
                here,
                format!("`{}` is no host", host.escape_debug()),
                Some("shop.example, or *.shop.example".into()),
            );
        }
        for endpoint in &scope.endpoints {
            let here = self.within(index, "scope", "endpoints");
            let host = host_of(endpoint);
            if endpoint.chars().any(char::is_control) || host.is_some_and(|h| !is_host(h)) {
                let hint = "POST shop.example/login, or * /login/**";
                self.tell(here, format!("`{}` is no endpoint", endpoint.escape_debug()), Some(hint.into()));
            } else if let Some(part) = endpoint.split('/').skip(1).find(|p| is_in_pieces(p)) {
                let hint = "braces stand for a part as a whole: /items/{id}, not /item-{id}".to_owned();
                self.tell(here, format!("`{}` is in no path", part.escape_debug()), Some(hint));
            } else if let Some(host) = host.filter(|h| !could_be(&scope.hosts, h)) {
                let message = format!("the scope can never hold: `{host}` is none of its hosts");
                self.tell(here, message, Some("name the host in `hosts` too, or only the endpoint".into()));
            }
        }
        scope
    }

    fn named(&mut self, index: usize, key: &str, what: &str, given: &[String], known: &[&str]) {
        for name in given.iter().filter(|n| !known.contains(&n.as_str())) {
            let here = self.within(index, "scope", key);
            let hint = match nearest(name, known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("one of {}", known.join(", ")),
            };
            self.tell(here, format!("there is no {what} `{}`", name.escape_debug()), Some(hint));
        }
    }
}

/// The host that an endpoint names, where it names one.
fn host_of(endpoint: &str) -> Option<&str> {
    let at = endpoint.split_once(' ').map_or(endpoint, |(_, at)| at);
    Some(at.split_once('/').map_or(at, |(host, _)| host)).filter(|h| !h.is_empty())
}

fn could_be(hosts: &[String], host: &str) -> bool {
    let host = host.to_lowercase();
    let below =
        |wide: &str, name: &str| wide.starts_with("*.") && name.ends_with(wide.trim_start_matches('*'));
    hosts.is_empty() || hosts.iter().any(|h| host_matches(h, &host) || below(h, &host) || below(&host, h))
}

/// Whether a name can be that of a host, or of all below it; with a port, and with what stands for any part.
pub(super) fn is_host(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let fits =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']' | '{' | '}' | '*');
    !name.is_empty() && name.len() <= 255 && name.chars().all(fits)
}
