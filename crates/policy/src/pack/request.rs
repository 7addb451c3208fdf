//! Rules over requests: what a device can match without any verdict.

use serde::{Deserialize, Serialize};
use sidetap_model::rows::{Subject, SubjectPart};
use sidetap_model::{Mode, SubjectKind};

use super::Reader;
use super::raw::{RawMatch, RawRequest};
use super::rule::How;
use super::scope::is_host;
use crate::Response;
use crate::decide::RuleInfo;
use crate::net::parse_net;
use crate::places::is_in_pieces;

/// A rule over requests as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) zone: Option<String>,
    pub(crate) subject: Subject,
    pub(crate) responses: Vec<Response>,
    pub(crate) ttl_s: u64,
    pub(crate) enabled: bool,
    pub(crate) mode: Option<Mode>,
    pub(crate) how: How,
    pub(crate) measured: Option<Measured>,
    pub(crate) source: String,
    /// Line and column of its path, or of what it matches.
    pub(crate) path_at: (usize, usize),
}

impl Standing {
    /// As lists show it; what it matches is its condition.
    pub(crate) fn info(&self) -> RuleInfo {
        let zone = self.zone.iter().map(|zone| format!("zone {zone}"));
        let parts = self.subject.each_part().into_iter().map(|p| format!("{} {}", p.kind, p.value));
        RuleInfo {
            id: self.id.clone(),
            description: self.description.clone(),
            references: Vec::new(),
            when: zone.chain(parts).collect::<Vec<_>>().join(" + "),
            response: self.responses.first().copied().unwrap_or_default(),
            instead: self.responses.iter().skip(1).copied().collect(),
            subjects: Vec::new(),
            mode: self.mode,
            ttl_s: self.ttl_s,
            priority: 0,
            enabled: self.enabled,
            source: self.source.clone(),
        }
    }
}

/// How well a condition separated a campaign from the honest traffic that was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The campaign.
    pub campaign: String,
    /// Requests of the campaign that fit.
    pub campaign_requests: u64,
    /// Of so many.
    pub campaign_total: u64,
    /// Requests of others who are malicious that fit too.
    #[serde(default)]
    pub other_malicious: u64,
    /// Honest requests that fit.
    pub honest_requests: u64,
    /// Of so many.
    pub honest_total: u64,
}

impl Measured {
    /// Of the requests that fit, the share that is malicious, in a thousand.
    pub fn precision(&self) -> f64 {
        let bad = self.campaign_requests + self.other_malicious;
        ratio(bad, bad + self.honest_requests)
    }

    /// Of the campaign's requests, the share that fits.
    pub fn recall(&self) -> f64 {
        ratio(self.campaign_requests, self.campaign_total)
    }
}

/// A field, what it says, whether that can be, and how it is written.
type Check<'a> = (&'a str, &'a Option<String>, &'a dyn Fn(&String) -> bool, &'a str);

/// Whether a name ends with a keyed hash.
fn is_spelled(name: &str) -> bool {
    let hash = name.rsplit_once('#').map_or("", |(_, hash)| hash);
    hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Why a path matches no request, or others than it says, with a hint. A pack with one is read all the same: a template that was learned may
/// have a name in a piece of a part (`/report-{id}.pdf`), and what else a pack says holds.
pub fn odd_path(path: &str) -> Option<(String, &'static str)> {
    let shown = |text: &str| text.escape_debug().to_string();
    if let Some(at) = path.find(['?', '#']) {
        let rest = path.get(at..).unwrap_or_default();
        return Some((
            format!("`{}` is in no path", shown(rest)),
            "a path ends before its query: name the path alone",
        ));
    }
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let (last, others) = parts.split_last()?;
    if others.contains(&"**") {
        let hint = "`**` is any rest, and stands at the end alone: /api/**; `*` is any one part";
        return Some((format!("what is behind `**` in `{}` is not compared", shown(path)), hint));
    }
    let piece = |p: &&&str| is_in_pieces(p) || p.contains('*') && !matches!(**p, "*" | "**");
    let piece = others.iter().chain([last]).find(piece)?;
    let hint = "`*` and braces stand for a part as a whole: /items/{id}, not /item-{id}; `**` at the end is any rest";
    Some((format!("`{}` is in no path", shown(piece)), hint))
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Reader<'_> {
    pub(super) fn requests(&mut self, raw: Vec<RawRequest>) -> Vec<Standing> {
        let mut rules: Vec<Standing> = Vec::with_capacity(raw.len());
        for (index, raw) in raw.into_iter().enumerate() {
            self.check_id("requests", index, &raw.id, rules.iter().any(|r| r.id == raw.id));
            if let Some(rule) = self.request(index, raw) {
                rules.push(rule);
            }
        }
        rules
    }

    fn request(&mut self, index: usize, raw: RawRequest) -> Option<Standing> {
        let list = ("requests", index);
        let responses = self.responses(list, &raw.response);
        let acts = responses.iter().flatten().any(|r| r.acts());
        let ttl_s = self.ttl(list, &raw.id, raw.ttl.as_deref(), acts);
        let how =
            self.how(list, raw.rate.as_deref(), raw.delay.as_deref(), raw.decoy, raw.tag, raw.countries);
        let mode = self.mode(list, raw.mode.as_deref());
        let path_at = self.within_of("requests", index, "match", "path");
        let subject = self.subject(index, raw.matches);
        Some(Standing {
            id: raw.id,
            description: raw.description,
            zone: raw.zone,
            subject: subject?,
            responses: responses?,
            ttl_s: ttl_s?,
            enabled: raw.enabled,
            mode,
            how,
            measured: raw.measured,
            source: self.file.to_owned(),
            path_at,
        })
    }

    fn subject(&mut self, index: usize, raw: RawMatch) -> Option<Subject> {
        let here = self.places.of_item("requests", index, "match");
        let address = match raw.address.as_deref().map(|a| parse_net(a).ok_or(a)) {
            Some(Ok(net)) if net.prefix_len() == net.max_prefix_len() => {
                Some((SubjectKind::Ip, net.addr().to_string()))
            }
            Some(Ok(net)) => Some((SubjectKind::Cidr, net.to_string())),
            Some(Err(text)) => {
                self.tell(here, format!("`{text}` is not an address or network"), None);
                return None;
            }
            None => None,
        };
        let header = match raw.header.as_deref().map(|h| h.split_once(": ").ok_or(h)) {
            Some(Ok((name, value))) => Some(format!("{}: {value}", name.to_lowercase())),
            Some(Err(text)) => {
                let hint = "`header: \"user-agent: curl/8.5\"`";
                self.tell(here, format!("`{text}` is no header with a value"), Some(hint.into()));
                return None;
            }
            None => None,
        };
        let plain = |t: &String| !t.chars().any(char::is_control);
        let number = |n: &String| {
            let digits = n.strip_prefix("AS").unwrap_or(n);
            digits.parse::<u32>().is_ok_and(|n| n != 0)
        };
        let country = |c: &String| c.len() == 2 && c.bytes().all(|b| b.is_ascii_uppercase());
        let host = |h: &String| is_host(h);
        let path = |p: &String| p.starts_with('/') && plain(p);
        let method = |m: &String| !m.is_empty() && m.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
        let checks: [Check<'_>; 6] = [
            ("header", &header, &plain, "a name and a value in one line"),
            ("country", &raw.country, &country, "two capital letters: DE"),
            (
                "network",
                &raw.network,
                &number,
                "the number of an autonomous system, AS64496; networks go under `address`",
            ),
            ("host", &raw.host, &host, "shop.example, or *.shop.example"),
            ("path", &raw.path, &path, "/login, or /api/**"),
            ("method", &raw.method, &method, "GET, POST, …"),
        ];
        for (key, value, fits, hint) in checks {
            if let Some(value) = value.as_ref().filter(|v| !fits(v)) {
                let here = self.within_of("requests", index, "match", key);
                let message = format!("`{}` is no {key}", value.escape_debug());
                self.tell(here, message, Some(hint.to_owned()));
                return None;
            }
        }
        // A secret is written as outputs spell it: nobody reads one in a policy, and it is compared with nothing else.
        for (key, value) in [("session", &raw.session), ("api-key", &raw.api_key), ("account", &raw.account)]
        {
            if value.as_ref().is_some_and(|v| !is_spelled(v)) {
                let here = self.within_of("requests", index, "match", key);
                let message = format!("this {key} is not written as outputs spell it");
                let hint = "`abcdef…#0123456789abcdef`, as in verdicts and exchanges: never the value itself";
                self.tell(here, message, Some(hint.to_owned()));
                return None;
            }
        }
        let lower = |t: Option<String>| t.map(|t| t.to_lowercase());
        let rest = [
            (SubjectKind::Session, raw.session),
            (SubjectKind::ApiKey, raw.api_key),
            (SubjectKind::Account, raw.account),
            (SubjectKind::Fingerprint, raw.fingerprint),
            (SubjectKind::Header, header),
            (SubjectKind::Country, raw.country),
            (SubjectKind::Network, raw.network),
            (SubjectKind::Host, lower(raw.host)),
            (SubjectKind::Method, raw.method.map(|m| m.to_uppercase())),
            (SubjectKind::Path, raw.path),
        ];
        let rest = rest.into_iter().filter_map(|(kind, value)| value.map(|v| (kind, v)));
        let parts: Vec<SubjectPart> =
            address.into_iter().chain(rest).map(|(kind, value)| SubjectPart { kind, value }).collect();
        if parts.is_empty() {
            self.tell(here, "matches every request".into(), Some("name at least one field".into()));
            return None;
        }
        Some(Subject::of_parts(parts))
    }
}
