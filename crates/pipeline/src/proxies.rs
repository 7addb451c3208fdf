use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use sidetap_model::{Addr, Anomaly, ClientAddr, Exchange, Headers, IpSource};
use sidetap_wire::forward::{self, Node};

type Fixed = foldhash::fast::FixedState;

/// Sources that were seen to act for many clients, as of some epoch.
pub(crate) type LearnedProxies = Arc<HashSet<(u16, IpAddr), Fixed>>;

/// Which sources may name their clients, and in which header (design §4).
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxyRules {
    /// Networks whose word is taken.
    pub(crate) trusted: Vec<IpNet>,
    /// Headers that name the client outright, the first that is present counts (`True-Client-IP`, …).
    pub(crate) headers: Vec<String>,
}

impl ProxyRules {
    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&ip))
    }

    /// Who acts in this exchange.
    ///
    /// Only a trusted source, or a learned one that is internal, may name somebody else; then `Forwarded` or `X-Forwarded-For` is walked from the right over trusted
    /// hops, and the first that is not trusted is the client. A source that names nobody stands for many: `shared`. What a learned
    /// source on a public network names is `claimed`: anybody there can make himself look like a proxy, and name whom he wants blamed.
    pub(crate) fn client_of(&self, ex: &Exchange, learned: &LearnedProxies) -> ClientAddr {
        let source = ex.flow.client;
        let direct = |shared| ClientAddr {
            ip: source.ip,
            port: Some(source.port),
            source: IpSource::Connection,
            shared,
            claimed: false,
        };
        let seems = |ip: IpAddr| learned.contains(&(ex.flow.zone, ip));
        let is_proxy = |ip: IpAddr| self.trusts(ip) || (is_internal(ip) && seems(ip));
        // What stands in content was written by whoever sent that, whatever proxy handed it on: he would name whom he wants blamed. Who he
        // is stands in the request that has the content.
        let own = ex.request.as_ref().filter(|_| !ex.anomalies.contains(Anomaly::RequestInContent));
        let heads = ex.sent_in.as_deref().or_else(|| own.map(|r| &r.headers));
        if !is_proxy(source.ip) {
            let said = heads.filter(|_| seems(source.ip));
            let said = said.and_then(|h| self.named_by(h, &|ip| self.trusts(ip) || seems(ip)));
            return said.map_or(direct(false), |client| ClientAddr { claimed: true, ..client });
        }
        let proxied = ex.proxied_for.map(|Addr { ip, port }| ClientAddr {
            ip,
            port: Some(port),
            source: IpSource::ProxyProtocol,
            shared: false,
            claimed: false,
        });
        // Who speaks the PROXY protocol hands headers on as they came: they are the word of whom it names.
        if let Some(client) = proxied.filter(|p| !is_proxy(p.ip)) {
            return client;
        }
        let named = heads.and_then(|h| self.named_by(h, &is_proxy));
        named.or(proxied).unwrap_or_else(|| direct(true))
    }

    fn named_by(&self, headers: &Headers, is_proxy: &impl Fn(IpAddr) -> bool) -> Option<ClientAddr> {
        for name in &self.headers {
            let Some(value) = headers.get(name) else { continue };
            if let Node::Ip(ip, port) = forward::node(value) {
                return Some(ClientAddr {
                    ip,
                    port,
                    source: IpSource::Header,
                    shared: false,
                    claimed: false,
                });
            }
        }
        let hops = forward::hops(headers);
        walk(&hops.forwarded, IpSource::Forwarded, is_proxy)
            .or_else(|| walk(&hops.x_forwarded_for, IpSource::XForwardedFor, is_proxy))
    }
}

/// The rightmost hop that is no proxy; where all are, the leftmost that has an address.
fn walk(hops: &[Node], source: IpSource, is_proxy: &impl Fn(IpAddr) -> bool) -> Option<ClientAddr> {
    let mut client = None;
    for hop in hops.iter().rev() {
        let Node::Ip(ip, port) = *hop else { break };
        client = Some(ClientAddr { ip, port, source, shared: false, claimed: false });
        if !is_proxy(ip) {
            break;
        }
    }
    client
}

/// What is counted of one source to tell a proxy from a client.
#[derive(Debug, Default)]
struct Source {
    requests: u64,
    with_header: u64,
    clients: Distinct,
    agents: Distinct,
}

/// A set of hashes, exact up to a bound.
#[derive(Debug, Default)]
struct Distinct(HashSet<u64, Fixed>);

impl Distinct {
    const MAX: usize = 256;

    /// Takes a hash while there is `room` for more; false where it is new and there is none.
    fn insert(&mut self, hash: u64, room: &mut usize) -> bool {
        if self.0.len() >= Self::MAX || self.0.contains(&hash) {
            return true;
        }
        if let Some(left) = room.checked_sub(1) {
            *room = left;
            return self.0.insert(hash);
        }
        false
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Recognises undeclared proxies: sources behind which many forwarded addresses with many agents come back again and again.
///
/// A client that forges `X-Forwarded-For` invents ever new addresses; behind a real proxy they repeat. Whoever knows that can forge
/// this too: what is learned of sources on public networks, from ten times the evidence, keeps the clients that they name apart,
/// and none of these is accused by his address.
/// Bounded: past the caps no more is considered.
#[derive(Debug)]
pub(crate) struct ProxyLearner {
    /// Hashes that there is still room for, over all sources.
    room: usize,
    sources: HashMap<(u16, IpAddr), Source, Fixed>,
    learned: LearnedProxies,
    fresh: Vec<(u16, IpAddr)>,
    /// Sources, and what they name, not considered for the caps.
    pub(crate) refused: u64,
}

impl Default for ProxyLearner {
    fn default() -> Self {
        let (sources, learned, fresh) = Default::default();
        ProxyLearner { room: Self::HASHES, sources, learned, fresh, refused: 0 }
    }
}

impl ProxyLearner {
    const CAP: usize = 16_384;
    /// Clients and agents that are remembered of all sources together.
    const HASHES: usize = 1 << 19;

    /// Counts one request of `source` that named `forwarded` (the rightmost address) and `agent`, both hashed.
    pub(crate) fn observe(&mut self, zone: u16, source: IpAddr, forwarded: Option<u64>, agent: u64) {
        let key = (zone, source);
        if self.learned.contains(&key) {
            return;
        }
        if self.sources.len() >= Self::CAP && !self.sources.contains_key(&key) {
            self.refused += 1;
            return;
        }
        let s = self.sources.entry(key).or_default();
        s.requests += 1;
        let mut taken = s.agents.insert(agent, &mut self.room);
        if let Some(client) = forwarded {
            s.with_header += 1;
            taken &= s.clients.insert(client, &mut self.room);
        }
        self.refused += u64::from(!taken);
        if s.acts_for_many(is_internal(source)) {
            self.fresh.push(key);
            if let Some(s) = self.sources.remove(&key) {
                self.room += s.agents.len() + s.clients.len();
            }
        }
    }

    /// The proxies known at the end of an epoch.
    pub(crate) fn end_epoch(&mut self) -> LearnedProxies {
        if !self.fresh.is_empty() {
            let mut all = (*self.learned).clone();
            all.extend(self.fresh.drain(..));
            self.learned = Arc::new(all);
        }
        self.learned.clone()
    }
}

impl Source {
    fn acts_for_many(&self, internal: bool) -> bool {
        let (requests, clients, agents) = if internal { (40, 8, 3) } else { (400, 80, 10) };
        self.requests >= requests
            && self.with_header * 20 >= self.requests * 19
            && self.clients.len() >= clients
            && self.agents.len() >= agents
            && (self.clients.len() as u64) * 10 <= self.requests * 8
    }
}

/// Private, shared (RFC 6598), loopback or unique local.
pub(crate) fn is_internal(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v) => {
            let [a, b, ..] = v.octets();
            v.is_private() || v.is_loopback() || v.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v) => v.is_loopback() || v.is_unique_local() || v.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use sidetap_model::{FlowId, FlowKey, Protocol, Request, Ts, Version};

    use super::*;

    fn learner(requests: u64, clients: u64) -> LearnedProxies {
        let mut l = ProxyLearner::default();
        for n in 0..requests {
            l.observe(0, "10.0.0.9".parse().unwrap(), Some(n % clients), n % 5);
        }
        l.end_epoch()
    }

    /// An exchange from `source` whose headers name 203.0.113.7.
    fn exchange(source: &str, proxied: Option<&str>) -> Exchange {
        let mut headers = Headers::default();
        headers.push(b"X-Forwarded-For", b"203.0.113.7");
        let addr = |ip: &str| Addr { ip: ip.parse().unwrap(), port: 4000 };
        Exchange {
            zone: Default::default(),
            flow: FlowKey { zone: 0, client: addr(source), server: addr("10.0.0.1") },
            flow_id: FlowId(1),
            seq: 0,
            ts: Ts(0),
            end: Ts(0),
            response_ts: None,
            protocol: Protocol::Http1,
            request: Some(Request {
                method: b"GET".to_vec(),
                target: b"/".to_vec(),
                version: Version(1, 1),
                headers,
                body: Default::default(),
            }),
            response: None,
            interim: 0,
            completeness: Default::default(),
            gap_bytes: 0,
            anomalies: Default::default(),
            acknowledged: true,
            proxied_for: proxied.map(addr),
            sent_in: None,
        }
    }

    #[test]
    fn what_all_sources_name_together_is_bounded() {
        let mut l = ProxyLearner { room: 100, ..ProxyLearner::default() };
        for n in 0..1000_u64 {
            l.observe(0, IpAddr::from([198, 51, 100, (n % 7) as u8]), Some(n), n);
        }
        assert_eq!(l.sources.values().map(|s| s.agents.len() + s.clients.len()).sum::<usize>(), 100);
        assert!(l.refused > 900);
    }

    #[test]
    fn a_public_source_that_looks_like_a_proxy_only_claims() {
        let named = |ip: &str, trusted: &[&str]| {
            let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
            let rules = ProxyRules { trusted, headers: vec![] };
            let learned = Arc::new(HashSet::from_iter([
                (0, "198.51.100.1".parse().unwrap()),
                (0, "10.0.0.9".parse().unwrap()),
            ]));
            let client = rules.client_of(&exchange(ip, None), &learned);
            (client.ip.to_string(), client.claimed)
        };
        let of = |ip: &str, claimed| (ip.to_owned(), claimed);
        assert_eq!(named("198.51.100.1", &[]), of("203.0.113.7", true));
        assert_eq!(named("198.51.100.2", &[]), of("198.51.100.2", false), "nobody takes it for a proxy");
        assert_eq!(named("198.51.100.1", &["198.51.100.0/24"]), of("203.0.113.7", false));
        assert_eq!(named("10.0.0.9", &[]), of("203.0.113.7", false));
    }

    #[test]
    fn what_stands_in_content_names_nobody() {
        let rules = ProxyRules { trusted: vec!["10.0.0.0/8".parse().unwrap()], headers: vec![] };
        let mut ex = exchange("10.0.0.9", None);
        assert_eq!(rules.client_of(&ex, &LearnedProxies::default()).ip.to_string(), "203.0.113.7");
        ex.anomalies.insert(Anomaly::RequestInContent);
        let client = rules.client_of(&ex, &LearnedProxies::default());
        assert_eq!((client.ip.to_string(), client.shared), ("10.0.0.9".to_owned(), true));
        // The request that has the content does: its fields are the proxy's word.
        let mut heads = Headers::default();
        heads.push(b"X-Forwarded-For", b"198.51.100.66");
        ex.sent_in = Some(Arc::new(heads));
        let client = rules.client_of(&ex, &LearnedProxies::default());
        assert_eq!((client.ip.to_string(), client.shared), ("198.51.100.66".to_owned(), false));
    }

    #[test]
    fn behind_the_proxy_protocol_headers_are_the_clients_own_word() {
        let rules = ProxyRules { trusted: vec!["10.0.0.0/8".parse().unwrap()], headers: vec![] };
        let client = |proxied| {
            let ex = exchange("10.0.0.9", proxied);
            rules.client_of(&ex, &LearnedProxies::default()).ip.to_string()
        };
        assert_eq!(client(None), "203.0.113.7");
        assert_eq!(client(Some("198.51.100.5")), "198.51.100.5");
        assert_eq!(client(Some("10.0.0.8")), "203.0.113.7", "another proxy, whose word is taken");
    }

    #[test]
    fn a_balancer_is_learned_and_a_forger_is_not() {
        assert_eq!(learner(100, 20).len(), 1);
        assert_eq!(learner(100, 1_000_000).len(), 0, "addresses that never come back are invented");
        assert_eq!(learner(100, 2).len(), 0);
    }
}
