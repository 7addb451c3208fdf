//! What policies and devices compare of a request, and which subjects it fits.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sidetap_model::rows::{Subject, SubjectPart};
use sidetap_model::{SubjectKind, Ts};

use crate::net::{canonical, parse_net};
use crate::places::{host_matches, path_matches};

/// A request, as far as it can be compared: sessions, accounts and keys as outputs spell them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    /// Where it was seen.
    pub zone: Arc<str>,
    /// The client's address.
    pub ip: IpAddr,
    /// Host, lower case.
    pub host: Arc<str>,
    /// Method.
    pub method: Arc<str>,
    /// Path, or its template.
    pub path: Arc<str>,
    /// The agent string.
    pub agent: Arc<str>,
    /// Fingerprints.
    pub prints: Vec<Arc<str>>,
    /// Sessions.
    pub sessions: Vec<Arc<str>>,
    /// The account.
    pub account: Option<Arc<str>>,
    /// The API key.
    pub api_key: Option<Arc<str>>,
    /// Country of the address.
    pub country: Option<Arc<str>>,
    /// Autonomous system of the address.
    pub network: Option<u32>,
}

impl Seen {
    /// Whether a subject is all of this request.
    pub fn fits(&self, subject: &Subject) -> bool {
        match subject.parts.as_slice() {
            [] => self.fits_part(subject.kind, &subject.value),
            parts => parts.iter().all(|p| self.fits_part(p.kind, &p.value)),
        }
    }

    /// Whether it went to an endpoint, as campaigns spell it: `POST shop.example/login`.
    pub(crate) fn is_at(&self, endpoint: &str) -> bool {
        let place =
            endpoint.split_once(' ').filter(|(method, _)| *method == &*self.method).map(|(_, place)| place);
        place.and_then(|p| p.strip_prefix(&*self.host)).is_some_and(|path| path == &*self.path)
    }

    /// Its text, short and always the same, for [`LineReader::cell`].
    pub fn to_cell(&self) -> String {
        let own = |t: &Arc<str>| t.to_string();
        let cell = RawCell {
            z: own(&self.zone),
            i: self.ip,
            h: own(&self.host),
            m: own(&self.method),
            p: own(&self.path),
            a: own(&self.agent),
            f: self.prints.iter().map(own).collect(),
            s: self.sessions.iter().map(own).collect(),
            u: self.account.as_ref().map(own),
            k: self.api_key.as_ref().map(own),
            c: self.country.as_ref().map(own),
            n: self.network,
        };
        serde_json::to_string(&cell).unwrap_or_default()
    }

    /// Whether one part is of this request.
    pub fn fits_part(&self, kind: SubjectKind, value: &str) -> bool {
        let is = |v: &Arc<str>| &**v == value;
        match kind {
            SubjectKind::Ip | SubjectKind::Cidr => {
                parse_net(value).is_some_and(|n| n.contains(&canonical(IpNet::from(self.ip))))
            }
            SubjectKind::Session => self.sessions.iter().any(is),
            SubjectKind::Account => self.account.as_ref().is_some_and(is),
            SubjectKind::ApiKey => self.api_key.as_ref().is_some_and(is),
            SubjectKind::Fingerprint => self.prints.iter().any(is),
            SubjectKind::Header => {
                value.strip_prefix("user-agent: ").is_some_and(|agent| *self.agent == *agent)
            }
            SubjectKind::Country => self.country.as_ref().is_some_and(is),
            SubjectKind::Network => {
                value.strip_prefix("AS").and_then(|n| n.parse().ok()).is_some_and(|n| self.network == Some(n))
            }
            SubjectKind::Host => host_matches(value, &self.host),
            SubjectKind::Method => *self.method == *value,
            SubjectKind::Path => path_matches(value, &self.path),
            SubjectKind::Compound => false,
        }
    }
}

/// Finds the subjects that a request fits, without trying each.
#[derive(Clone, Debug, Default)]
pub struct Index {
    subjects: Vec<Vec<SubjectPart>>,
    ips: HashMap<IpAddr, Vec<u32>>,
    nets: BTreeMap<(bool, u8), HashMap<IpNet, Vec<u32>>>,
    values: HashMap<(SubjectKind, String), Vec<u32>>,
    rest: Vec<u32>,
}

impl Index {
    /// Adds a subject; gives its number.
    pub fn add(&mut self, subject: &Subject) -> u32 {
        let number = self.subjects.len() as u32;
        let parts = subject.each_part();
        let narrow = parts.iter().min_by_key(|p| p.kind.rank());
        match narrow.map(|p| (p, parse_net(&p.value))) {
            Some((p, Some(net))) if matches!(p.kind, SubjectKind::Ip | SubjectKind::Cidr) => {
                if net.prefix_len() == net.max_prefix_len() {
                    self.ips.entry(net.addr()).or_default().push(number);
                } else {
                    let shelf = (matches!(net, IpNet::V6(_)), net.prefix_len());
                    self.nets.entry(shelf).or_default().entry(net).or_default().push(number);
                }
            }
            Some((p, _)) if p.kind.names_one() => {
                self.values.entry((p.kind, p.value.clone())).or_default().push(number);
            }
            _ => self.rest.push(number),
        }
        self.subjects.push(parts);
        number
    }

    /// The numbers of the subjects that a request fits, in ascending order.
    pub fn matching(&self, seen: &Seen) -> Vec<u32> {
        let mut out: Vec<u32> = self.rest.clone();
        let own = canonical(IpNet::from(seen.ip));
        out.extend(self.ips.get(&own.addr()).into_iter().flatten());
        for ((v6, len), nets) in &self.nets {
            if *v6 == matches!(own, IpNet::V6(_))
                && let Ok(net) = IpNet::new(own.addr(), *len)
            {
                out.extend(nets.get(&net.trunc()).into_iter().flatten());
            }
        }
        if !self.values.is_empty() {
            let tokens = seen.sessions.iter().map(|s| (SubjectKind::Session, s));
            let tokens = tokens.chain(seen.account.iter().map(|a| (SubjectKind::Account, a)));
            let tokens = tokens.chain(seen.api_key.iter().map(|k| (SubjectKind::ApiKey, k)));
            let tokens = tokens.chain(seen.prints.iter().map(|p| (SubjectKind::Fingerprint, p)));
            for (kind, value) in tokens {
                out.extend(self.values.get(&(kind, value.to_string())).into_iter().flatten());
            }
        }
        let fits = |n: &u32| {
            self.subjects.get(*n as usize).is_some_and(|p| p.iter().all(|p| seen.fits_part(p.kind, &p.value)))
        };
        out.retain(fits);
        out.sort_unstable();
        out
    }
}

/// The narrowest part of a compound is asked first.
trait Narrowness {
    fn rank(self) -> u8;
    fn names_one(self) -> bool;
}

impl Narrowness for SubjectKind {
    fn rank(self) -> u8 {
        match self {
            SubjectKind::Session | SubjectKind::ApiKey | SubjectKind::Account => 0,
            SubjectKind::Ip => 1,
            SubjectKind::Cidr => 2,
            SubjectKind::Fingerprint => 3,
            _ => 4,
        }
    }

    fn names_one(self) -> bool {
        matches!(
            self,
            SubjectKind::Session | SubjectKind::ApiKey | SubjectKind::Account | SubjectKind::Fingerprint
        )
    }
}

/// A line of `exchanges.ndjson`.
#[derive(Clone, Debug)]
pub struct ExchangeLine {
    /// Its id.
    pub id: String,
    /// When.
    pub ts: Ts,
    /// The request.
    pub seen: Seen,
    /// The path as it was sent.
    pub path: Arc<str>,
    /// Whether it is the same request seen again at a later hop.
    pub later_hop: bool,
    /// The connection's client port.
    pub port: u16,
}

/// Reads lines of `exchanges.ndjson`; equal texts are kept once.
#[derive(Debug, Default)]
pub struct LineReader {
    texts: std::collections::HashSet<Arc<str>>,
    templates: HashMap<String, Arc<str>>,
}

/// Most texts that are shared; then they are forgotten and begun anew.
const TEXTS: usize = 500_000;

impl LineReader {
    /// A reader that names paths by the templates of these endpoints.
    pub fn new<'a>(endpoints: impl IntoIterator<Item = &'a sidetap_model::rows::EndpointRow>) -> Self {
        let mut reader = LineReader::default();
        for e in endpoints {
            let template = reader.text(&e.template);
            for id in std::iter::once(&e.id).chain(&e.aliases) {
                reader.templates.insert(id.to_string(), template.clone());
            }
        }
        reader
    }

    /// Reads a line; none where it is no request by an address.
    pub fn read(&mut self, line: &str) -> Option<ExchangeLine> {
        let raw: RawLine<'_> = serde_json::from_str(line).ok()?;
        let actor = raw.sidetap.actor;
        let url = raw.url?;
        let path = self.text(url.path.as_deref().unwrap_or("/"));
        let template = raw.sidetap.endpoint.and_then(|e| self.templates.get(e.as_ref()).cloned());
        let seen = Seen {
            zone: self.text(&raw.sidetap.zone),
            ip: raw.client.ip,
            host: self.text(&url.domain.unwrap_or_default()),
            method: self.text(&raw.http.request.method.unwrap_or_default()),
            path: template.unwrap_or_else(|| path.clone()),
            agent: self.text(raw.user_agent.as_ref().map_or("", |a| &a.original)),
            prints: actor.fingerprint.iter().map(|p| self.text(p)).collect(),
            sessions: actor.session.iter().map(|s| self.text(s)).collect(),
            account: actor.account.map(|a| self.text(&a)),
            api_key: actor.api_key.map(|k| self.text(&k)),
            country: None,
            network: None,
        };
        Some(ExchangeLine {
            id: raw.sidetap.id.into_owned(),
            ts: Ts::parse(&raw.timestamp)?,
            seen,
            path,
            later_hop: raw.sidetap.hop_of.is_some(),
            port: raw.source.port,
        })
    }

    /// Reads what [`Seen::to_cell`] wrote.
    pub fn cell(&mut self, text: &str) -> Option<Seen> {
        let c: RawCell = serde_json::from_str(text).ok()?;
        let all = |reader: &mut Self, texts: &[String]| texts.iter().map(|t| reader.text(t)).collect();
        Some(Seen {
            zone: self.text(&c.z),
            ip: c.i,
            host: self.text(&c.h),
            method: self.text(&c.m),
            path: self.text(&c.p),
            agent: self.text(&c.a),
            prints: all(self, &c.f),
            sessions: all(self, &c.s),
            account: c.u.map(|t| self.text(&t)),
            api_key: c.k.map(|t| self.text(&t)),
            country: c.c.map(|t| self.text(&t)),
            network: c.n,
        })
    }

    /// Reads the beginning of a line, up to the name of its endpoint, of which the template is known apart.
    pub fn read_head(&mut self, head: &[u8], template: Option<&str>) -> Option<ExchangeLine> {
        let mut text = head.to_vec();
        text.extend_from_slice(b"null}}");
        let mut line = self.read(std::str::from_utf8(&text).ok()?)?;
        if let Some(template) = template {
            line.seen.path = self.text(template);
        }
        Some(line)
    }

    /// A text, kept once.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() >= TEXTS {
            self.texts.clear();
        }
        let fresh: Arc<str> = Arc::from(text);
        self.texts.insert(fresh.clone());
        fresh
    }
}

type Text<'a> = std::borrow::Cow<'a, str>;

/// A cell in a store.
#[derive(Serialize, Deserialize)]
struct RawCell {
    z: String,
    i: IpAddr,
    h: String,
    m: String,
    p: String,
    a: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    f: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    s: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
}

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(rename = "@timestamp", borrow)]
    timestamp: Text<'a>,
    source: RawEnd,
    client: RawClient,
    http: RawHttp<'a>,
    url: Option<RawUrl<'a>>,
    user_agent: Option<RawAgent<'a>>,
    sidetap: RawOwn<'a>,
}

#[derive(Deserialize)]
struct RawEnd {
    port: u16,
}

#[derive(Deserialize)]
struct RawClient {
    ip: IpAddr,
}

#[derive(Deserialize)]
struct RawHttp<'a> {
    #[serde(borrow)]
    request: RawRequest<'a>,
}

#[derive(Deserialize)]
struct RawRequest<'a> {
    #[serde(borrow)]
    method: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct RawUrl<'a> {
    #[serde(borrow)]
    domain: Option<Text<'a>>,
    #[serde(borrow)]
    path: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct RawAgent<'a> {
    #[serde(borrow)]
    original: Text<'a>,
}

#[derive(Deserialize)]
struct RawOwn<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    zone: Text<'a>,
    #[serde(borrow)]
    actor: RawActor<'a>,
    #[serde(borrow, default)]
    hop_of: Option<Text<'a>>,
    #[serde(borrow, default)]
    endpoint: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct RawActor<'a> {
    #[serde(default)]
    session: Vec<String>,
    #[serde(borrow)]
    account: Option<Text<'a>>,
    #[serde(rename = "api-key", borrow)]
    api_key: Option<Text<'a>>,
    #[serde(default)]
    fingerprint: Vec<String>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn seen(ip: &str, host: &str, method: &str, path: &str, prints: &[&str]) -> Seen {
        Seen {
            zone: "default".into(),
            ip: ip.parse().unwrap(),
            host: host.into(),
            method: method.into(),
            path: path.into(),
            agent: "curl/8.5".into(),
            prints: prints.iter().map(|p| Arc::from(*p)).collect(),
            sessions: vec!["abc…#0011223344556677".into()],
            account: None,
            api_key: None,
            country: Some("DE".into()),
            network: Some(64_496),
        }
    }

    fn subject(parts: &[(SubjectKind, &str)]) -> Subject {
        let part = |(kind, value): &(SubjectKind, &str)| SubjectPart { kind: *kind, value: (*value).into() };
        Subject::of_parts(parts.iter().map(part).collect())
    }

    #[test]
    fn cells_are_read_as_they_were_written() {
        let r = seen("2001:db8::7", "shop.example", "POST", "/api/{id}", &["s2-1", "a1-2"]);
        assert_eq!(LineReader::default().cell(&r.to_cell()), Some(r));
        assert_eq!(LineReader::default().cell("{"), None);
    }

    #[test]
    fn requests_fit_subjects_of_every_kind() {
        let r = seen("192.0.2.7", "shop.example", "POST", "/api/login", &["s2-1", "a1-2"]);
        let other = subject(&[(SubjectKind::Ip, "203.0.113.1")]);
        for (fits, parts) in [
            (true, vec![(SubjectKind::Ip, "192.0.2.7")]),
            (false, vec![(SubjectKind::Ip, "192.0.2.8")]),
            (true, vec![(SubjectKind::Cidr, "192.0.2.0/24"), (SubjectKind::Fingerprint, "a1-2")]),
            (false, vec![(SubjectKind::Cidr, "192.0.2.0/24"), (SubjectKind::Fingerprint, "a1-3")]),
            (true, vec![(SubjectKind::Session, "abc…#0011223344556677")]),
            (true, vec![(SubjectKind::Header, "user-agent: curl/8.5"), (SubjectKind::Host, "shop.example")]),
            (true, vec![(SubjectKind::Country, "DE"), (SubjectKind::Network, "AS64496")]),
            (true, vec![(SubjectKind::Method, "POST"), (SubjectKind::Path, "/api/**")]),
            (false, vec![(SubjectKind::Method, "POST"), (SubjectKind::Path, "/api")]),
        ] {
            let subject = subject(&parts);
            assert_eq!(r.fits(&subject), fits, "{parts:?}");
            let mut index = Index::default();
            index.add(&other);
            index.add(&subject);
            assert_eq!(index.matching(&r), if fits { vec![1] } else { Vec::new() }, "{parts:?}");
        }
    }
}
