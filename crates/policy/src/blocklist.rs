use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::Serialize;
use sidetap_model::rows::VerdictRow;

use crate::net::{never_blockable, subject_net};
use crate::reach::Reach;
use crate::{AllowList, Response};

/// The addresses that would be pushed (`blocklist.txt`), with what is not on it and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockList {
    /// IPv4 first, each in numeric order, each once, none inside another.
    pub nets: Vec<IpNet>,
    /// Verdicts with response `block` that have no line.
    pub held: Vec<HeldBlock>,
}

/// A verdict with response `block` that has no line in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldBlock {
    /// Its id.
    pub verdict: String,
    /// Why it has no line.
    pub why: String,
}

/// The addresses of all verdicts whose response is `block` and whose subject, as policy chose it, is an address or network by itself.
///
/// A session, account, key, fingerprint or compound gives no line: an address would hurt neighbours. What the allow list
/// touches has no line either.
pub fn blocklist(verdicts: &[VerdictRow], allow: &AllowList) -> BlockList {
    let (mut nets, mut held) = (BTreeSet::new(), Vec::new());
    for v in verdicts {
        match block_line(v, allow) {
            Some(Ok(net)) => _ = nets.insert(net),
            Some(Err(why)) => held.push(HeldBlock { verdict: v.id.clone(), why }),
            None => {}
        }
    }
    BlockList { nets: outermost(nets), held }
}

/// The line of one verdict, or why it has none; nothing where its response is not `block`.
pub fn block_line(v: &VerdictRow, allow: &AllowList) -> Option<Result<IpNet, String>> {
    (v.response == Response::Block.name()).then(|| line_of(v, allow))
}

/// Networks without those that lie in another.
pub fn outermost(nets: BTreeSet<IpNet>) -> Vec<IpNet> {
    let mut kept: Vec<IpNet> = Vec::with_capacity(nets.len());
    for net in nets {
        if !kept.last().is_some_and(|last| last.contains(&net)) {
            kept.push(net);
        }
    }
    kept
}

fn line_of(v: &VerdictRow, allow: &AllowList) -> Result<IpNet, String> {
    let chosen = Reach::addresses(&[Response::Block]).choose(v)?;
    let Some(net) = subject_net(&chosen.subject) else {
        return Err(format!("a subject of kind {} is no address", chosen.subject.kind));
    };
    if let Some(why) = never_blockable(&net) {
        return Err(format!("{why} address"));
    }
    match allow.touches(&net).or_else(|| allow.covers(v)) {
        Some(entry) => Err(format!("on the allow list: {}", entry.reason.as_deref().unwrap_or(&entry.value))),
        None => Ok(net),
    }
}

impl BlockList {
    /// One address or CIDR a line; an address without its prefix length.
    pub fn to_text(&self) -> String {
        self.nets.iter().map(|n| block_text(n) + "\n").collect()
    }
}

/// A network as a line of the list says it.
pub fn block_text(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sample;
    use sidetap_model::SubjectKind;
    use sidetap_model::rows::Subject;

    fn verdict(id: &str, kind: SubjectKind, value: &str, response: &str) -> VerdictRow {
        let mut v = sample();
        v.id = id.into();
        v.subject = Subject { kind, value: value.into(), parts: Vec::new() };
        v.response = response.into();
        v
    }

    #[test]
    fn lists_addresses_only_sorted_and_without_the_allowed() {
        let rows = [
            verdict("a", SubjectKind::Ip, "203.0.113.10", "block"),
            verdict("b", SubjectKind::Ip, "2001:db8::1", "block"),
            verdict("c", SubjectKind::Ip, "203.0.113.9", "block"),
            verdict("d", SubjectKind::Cidr, "198.51.100.0/24", "block"),
            verdict("e", SubjectKind::Ip, "198.51.100.7", "block"),
            verdict("f", SubjectKind::Session, "abcdef…#0011223344556677", "block"),
            verdict("g", SubjectKind::Compound, "203.0.113.77 + fp", "block"),
            verdict("h", SubjectKind::Ip, "203.0.113.78", "rate-limit"),
            verdict("i", SubjectKind::Ip, "192.0.2.5", "block"),
            verdict("j", SubjectKind::Ip, "127.0.0.1", "block"),
        ];
        let allow = AllowList::of_nets(&["192.0.2.0/28".parse().unwrap()]);
        let list = blocklist(&rows, &allow);
        assert_eq!(list.to_text(), "198.51.100.0/24\n203.0.113.9\n203.0.113.10\n2001:db8::1\n");
        let held: Vec<&str> = list.held.iter().map(|h| h.verdict.as_str()).collect();
        assert_eq!(held, ["f", "g", "i", "j"]);
    }
}
