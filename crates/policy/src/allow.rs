use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sidetap_model::rows::{Subject, VerdictRow};
use sidetap_model::{HashKey, SubjectKind, mask_token};

use crate::blocklist::outermost;
use crate::net::{canonical, parse_net, subject_net};

/// What an entry of an allow list names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllowKind {
    /// One address.
    Ip,
    /// A network.
    Cidr,
    /// A session, as outputs spell it or raw.
    Session,
    /// An account, as outputs spell it or raw.
    Account,
    /// An API key, as outputs spell it or raw.
    ApiKey,
    /// A fingerprint.
    Fingerprint,
    /// A header with a value, `user-agent: probe/1.0`.
    Header,
}

/// An entry of an allow list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowEntry {
    /// What it names.
    pub kind: AllowKind,
    /// How it was written; a raw secret is replaced by its hash by [`AllowList::hashed`].
    pub value: String,
    /// Why it is there.
    pub reason: Option<String>,
}

/// Who is never acted against. It wins over every rule, and connectors put its networks first on the device too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    entries: Vec<AllowEntry>,
    /// Where in the entries each network is named first.
    nets: BTreeMap<IpNet, usize>,
}

impl AllowList {
    /// The list of these entries; an address or network that is none is given back as the error.
    pub fn new(entries: Vec<AllowEntry>) -> Result<Self, AllowEntry> {
        let mut list = AllowList::default();
        for entry in entries {
            list.push(entry)?;
        }
        Ok(list)
    }

    /// The list of these addresses and networks.
    pub fn of_nets(nets: &[IpNet]) -> Self {
        let mut list = AllowList::default();
        list.add_nets(nets, None);
        list
    }

    /// Adds addresses and networks, all for one reason.
    pub fn add_nets(&mut self, nets: &[IpNet], reason: Option<&str>) {
        for net in nets {
            let net = canonical(*net).trunc();
            self.nets.entry(net).or_insert(self.entries.len());
            let reason = reason.map(str::to_owned);
            self.entries.push(AllowEntry { kind: AllowKind::Cidr, value: net.to_string(), reason });
        }
    }

    /// Adds an entry; an address or network that is none is given back as the error.
    pub fn push(&mut self, entry: AllowEntry) -> Result<(), AllowEntry> {
        match entry.kind {
            AllowKind::Ip | AllowKind::Cidr => {
                let net = parse_net(&entry.value);
                let net =
                    net.filter(|n| entry.kind == AllowKind::Cidr || n.prefix_len() == n.max_prefix_len());
                let Some(net) = net else { return Err(entry) };
                self.nets.entry(net).or_insert(self.entries.len());
            }
            _ => {}
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Adds all entries of another list.
    pub fn extend(&mut self, other: &AllowList) {
        let offset = self.entries.len();
        self.entries.extend(other.entries.iter().cloned());
        for (net, at) in &other.nets {
            self.nets.entry(*net).or_insert(at + offset);
        }
    }

    /// The same list with raw sessions, accounts and API keys spelled as outputs spell them, so that they match verdicts and
    /// no raw secret stays in memory. An account matches as it is written and in lower case, as forms are read.
    #[must_use]
    pub fn hashed(mut self, key: &HashKey) -> Self {
        let lower = |e: &AllowEntry| AllowEntry { value: e.value.trim().to_lowercase(), ..e.clone() };
        let raw = self.entries.iter().filter(|e| e.kind == AllowKind::Account && !is_spelled(&e.value));
        let more: Vec<AllowEntry> = raw.map(lower).filter(|e| !self.entries.contains(e)).collect();
        self.entries.extend(more);
        for entry in &mut self.entries {
            let domain = match entry.kind {
                AllowKind::Session => SubjectKind::Session.name(),
                AllowKind::Account => SubjectKind::Account.name(),
                AllowKind::ApiKey => SubjectKind::ApiKey.name(),
                AllowKind::Ip | AllowKind::Cidr | AllowKind::Fingerprint | AllowKind::Header => continue,
            };
            if is_spelled(&entry.value) {
                continue;
            }
            entry.value = match entry.kind {
                AllowKind::Account => format!("#{:016x}", key.hash64(domain, entry.value.as_bytes())),
                _ => mask_token(key, domain, entry.value.as_bytes()),
            };
        }
        self
    }

    /// Its entries, in order.
    pub fn entries(&self) -> &[AllowEntry] {
        &self.entries
    }

    /// Its addresses and networks, sorted, each once, without those inside another.
    pub fn nets(&self) -> Vec<IpNet> {
        outermost(self.nets.keys().copied().collect())
    }

    /// The entry that covers this verdict: its subject, a part of it, or every address it was seen at.
    pub fn covers(&self, v: &VerdictRow) -> Option<&AllowEntry> {
        self.covers_subject(&v.subject).or_else(|| self.covers_addresses(v))
    }

    /// An entry that shares an address with `net`: the first of those around it, or else one inside it. There may be a million of them.
    pub fn touches(&self, net: &IpNet) -> Option<&AllowEntry> {
        let around = std::iter::successors(Some(net.trunc()), IpNet::supernet);
        let around = around.filter_map(|wider| self.nets.get(&wider)).min();
        let inside = || self.nets.range(net.trunc()..).next().filter(|(n, _)| net.contains(*n));
        self.entries.get(*around.or_else(|| inside().map(|(_, at)| at))?)
    }

    /// The entry that covers this subject: itself, a part of it, or an address in it.
    pub fn covers_subject(&self, subject: &Subject) -> Option<&AllowEntry> {
        if let Some(net) = subject_net(subject) {
            return self.touches(&net);
        }
        let own = std::iter::once((subject.kind, subject.value.as_str()));
        own.chain(subject.parts.iter().map(|p| (p.kind, p.value.as_str())))
            .find_map(|(kind, value)| self.names(kind, value))
    }

    fn names(&self, kind: SubjectKind, value: &str) -> Option<&AllowEntry> {
        let kind = match kind {
            SubjectKind::Ip | SubjectKind::Cidr => return parse_net(value).and_then(|n| self.touches(&n)),
            SubjectKind::Session => AllowKind::Session,
            SubjectKind::Account => AllowKind::Account,
            SubjectKind::ApiKey => AllowKind::ApiKey,
            SubjectKind::Fingerprint => AllowKind::Fingerprint,
            SubjectKind::Header => AllowKind::Header,
            _ => return None,
        };
        self.entries.iter().find(|e| e.kind == kind && e.value == value)
    }

    fn covers_addresses(&self, v: &VerdictRow) -> Option<&AllowEntry> {
        let entry_of = |ip: &std::net::IpAddr| self.touches(&canonical(IpNet::from(*ip)));
        if let Some(entry) = v.client_ip.as_ref().and_then(entry_of) {
            return Some(entry);
        }
        let mut entries = v.client_ips.iter().map(entry_of);
        let first = entries.next()??;
        entries.all(|e| e.is_some()).then_some(first)
    }
}

/// Whether a value is already spelled as outputs spell secrets: `#` and 16 hexadecimal digits at its end.
fn is_spelled(value: &str) -> bool {
    value
        .rsplit_once('#')
        .is_some_and(|(_, hash)| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sample;

    fn entry(kind: AllowKind, value: &str) -> AllowEntry {
        AllowEntry { kind, value: value.into(), reason: None }
    }

    /// Ranges of all clouds and crawlers there are: what took a time that grew with their square never came to an end.
    #[test]
    fn a_long_list_is_looked_through_at_once() {
        let net = |n: u32, len| IpNet::new(std::net::Ipv4Addr::from(n << 8).into(), len).unwrap();
        let nets: Vec<IpNet> = (0x1_0000..0x5_0000).flat_map(|n| [net(n, 24), net(n, 32)]).collect();
        let list = AllowList::of_nets(&nets);
        let start = std::time::Instant::now();
        assert_eq!(list.nets().len(), nets.len() / 2);
        for n in 0x1_0000..0x1_4000 {
            assert_eq!(list.touches(&net(n, 25)).map(|e| e.kind), Some(AllowKind::Cidr));
        }
        assert!(list.touches(&net(0x1_0000, 8)).is_some(), "one inside it");
        assert!(list.touches(&net(0x6_0000, 24)).is_none());
        assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    }

    #[test]
    fn covers_subjects_parts_and_addresses() {
        let list = AllowList::new(vec![
            entry(AllowKind::Cidr, "198.51.100.0/24"),
            entry(AllowKind::Session, "abcdef…#0011223344556677"),
        ])
        .unwrap();
        let mut v = sample();
        v.subject.value = "198.51.100.9".into();
        assert!(list.covers(&v).is_some());
        v.subject = Subject { kind: SubjectKind::Cidr, value: "198.51.0.0/16".into(), parts: Vec::new() };
        assert!(list.covers(&v).is_some(), "a network that holds an allowed one is not acted against");
        v.subject = Subject {
            kind: SubjectKind::Session,
            value: "abcdef…#0011223344556677".into(),
            parts: Vec::new(),
        };
        assert!(list.covers(&v).is_some());
        v.subject =
            Subject { kind: SubjectKind::Account, value: "#8899aabbccddeeff".into(), parts: Vec::new() };
        assert!(list.covers(&v).is_none());
        v.client_ips = vec!["198.51.100.1".parse().unwrap(), "203.0.113.1".parse().unwrap()];
        assert!(list.covers(&v).is_none(), "only some of its addresses are allowed");
        v.client_ips.pop();
        assert!(list.covers(&v).is_some());
    }

    #[test]
    fn raw_secrets_are_hashed_once() {
        let key = HashKey::from_bytes([3; 16]);
        let raw = vec![
            entry(AllowKind::ApiKey, "sk_live_0123456789abcdef"),
            entry(AllowKind::Account, "Ada@example.test"),
        ];
        let list = AllowList::new(raw).unwrap().hashed(&key);
        let values: Vec<&str> = list.entries().iter().map(|e| e.value.as_str()).collect();
        assert!(values.first().unwrap().starts_with("sk_liv…#"), "{values:?}");
        assert!(values.get(1).unwrap().starts_with('#') && values.get(1).unwrap().len() == 17);
        assert_eq!(values.len(), 3, "as written and in lower case");
        assert_eq!(list.clone().hashed(&key), list);
    }

    #[test]
    fn refuses_what_is_no_address() {
        assert!(AllowList::new(vec![entry(AllowKind::Ip, "192.0.2.0/24")]).is_err());
        assert!(AllowList::new(vec![entry(AllowKind::Cidr, "everyone")]).is_err());
    }
}
