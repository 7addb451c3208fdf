use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::Serialize;
use sidetap_policy::Response;

use crate::connector::{ConnectorError, Observed};
use crate::entry::{Entry, Sees};
use crate::key::Key;
use crate::way::Way;

/// Seconds by which a device's idea of an expiry may differ before it is refreshed.
pub(crate) const SLACK_S: i64 = 5;

/// What has to be done to one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Entries that it lacks.
    pub add: Vec<Entry>,
    /// Entries whose expiry, or way of doing it, changes.
    pub refresh: Vec<Entry>,
    /// Own entries that it should not have.
    pub remove: Vec<Entry>,
    /// Entries that it should have and that are refused by its limits.
    pub refused: Vec<Refusal>,
    /// All own entries that it holds afterwards, sorted by key.
    #[serde(skip)]
    pub target: Vec<Entry>,
    /// Sidetap's part of the allow list that it holds afterwards.
    pub allow: Vec<IpNet>,
    /// The same before.
    #[serde(skip)]
    pub allow_before: Vec<IpNet>,
    /// Whether the allow list changes.
    pub allow_changes: bool,
    /// What is made anew.
    pub repair: Vec<String>,
    /// Whether it is an undo or the kill switch, which goes on where anything else would wait.
    #[serde(skip)]
    pub insists: bool,
}

/// An entry that is not sent to a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The verdict.
    pub verdict: String,
    /// Whom it names.
    pub subject: String,
    /// Why not.
    pub why: String,
}

impl Plan {
    /// Refuses to go on where a device that is told all of a list holds an entry of ours by now that it did not when the plan was made:
    /// another Sidetap writes under the same mark, and its entry would be lost.
    pub(crate) fn check_unseen<'a>(
        &self,
        there: impl IntoIterator<Item = &'a Entry>,
        what: &str,
    ) -> Result<(), ConnectorError> {
        let known: BTreeSet<&Key> = self.target.iter().chain(&self.remove).map(|e| &e.key).collect();
        match there.into_iter().find(|e| !known.contains(&e.key)) {
            Some(new) => Err(ConnectorError::Conflict(format!("{what}: {} came in between", new.key))),
            None => Ok(()),
        }
    }

    /// Those that go, of which the first go before what comes and the others after it, on a list that takes no more than `free` entries
    /// besides: a full one takes nothing until something went. Who stays under an entry of another width waits for that, as long as
    /// there is room.
    pub(crate) fn in_turn(&self, free: usize) -> (Vec<&Entry>, Vec<&Entry>) {
        let come: BTreeSet<IpNet> = self.add.iter().filter_map(|e| e.key.net()).collect();
        let stays = |e: &&Entry| {
            let Some(net) = e.key.net() else { return false };
            let mut around = std::iter::successors(Some(net), IpNet::supernet);
            around.any(|wider| come.contains(&wider))
                || come.range(net..).next().is_some_and(|n| net.contains(n))
        };
        let (mut last, mut first): (Vec<&Entry>, Vec<&Entry>) = self.remove.iter().partition(stays);
        let lacking = self.add.len().saturating_sub(free.saturating_add(first.len()));
        first.extend(last.drain(..lacking.min(last.len())));
        (first, last)
    }

    /// Whether it only takes away, or has to go through whatever happens: then a server that is not told is no reason to put anything back.
    pub(crate) fn lets_go(&self) -> bool {
        self.insists || !self.remove.is_empty() && self.add.is_empty() && self.refresh.is_empty()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty()
            && self.refresh.is_empty()
            && self.remove.is_empty()
            && self.repair.is_empty()
            && !self.allow_changes
    }
}

/// The difference between what a device should hold and what it holds. Pure: the same arguments give the same plan.
///
/// Of several entries for one network the strongest response, then the hardest way of doing it and then the latest expiry stand, with the highest priority; a network inside another
/// whose response is at least as strong is left out; beyond the device's capacity those of lowest priority are.
pub fn plan(wanted: &[Entry], observed: &Observed, allow: &[IpNet], sees: &Sees) -> Plan {
    let mut out = Plan::default();
    let room = sees.capacity.saturating_sub(observed.foreign);
    let (theirs, wanted): (Vec<&Entry>, Vec<&Entry>) =
        wanted.iter().partition(|e| observed.by_others.contains(&e.key));
    let there = "somebody else's entry for it is there, and stays";
    out.refused.extend(theirs.into_iter().map(|e| refusal(e, there.to_owned())));
    let target = choose(&wanted, room, sees.native_ttl, &mut out.refused);
    let mut have: BTreeMap<(&Key, Response), &Entry> = BTreeMap::new();
    for old in &observed.entries {
        let first = *have.entry((&old.key, old.response)).or_insert(old);
        let wanted = target.get(&old.key).is_some_and(|e| e.response == old.response);
        if !wanted || !std::ptr::eq(first, old) {
            out.remove.push(old.clone());
        }
    }
    for entry in target.values() {
        match have.get(&(&entry.key, entry.response)) {
            None => out.add.push(entry.clone()),
            Some(old)
                if old.way != entry.way
                    || old.expires_at.abs_diff(entry.expires_at) > SLACK_S.unsigned_abs() =>
            {
                out.refresh.push(entry.clone());
            }
            Some(_) => {}
        }
    }
    out.target = target.into_values().collect();
    if sees.allow_list {
        out.allow = allow.iter().flat_map(|net| without(*net, &observed.allowed_by_others)).collect();
        out.allow.sort_unstable();
        out.allow_before = observed.allow.clone();
        out.allow_before.sort_unstable();
        out.allow_changes = out.allow != out.allow_before;
    }
    out.repair = observed.drift.clone();
    out
}

/// What of a network is outside of all the others, as networks.
fn without(net: IpNet, others: &[IpNet]) -> Vec<IpNet> {
    if others.iter().any(|o| o.contains(&net)) {
        return Vec::new();
    }
    let within: Vec<IpNet> = others.iter().filter(|o| net.contains(*o)).copied().collect();
    match net.subnets(net.prefix_len().saturating_add(1)) {
        Ok(halves) if !within.is_empty() => halves.flat_map(|half| without(half, &within)).collect(),
        _ => vec![net],
    }
}

fn choose(
    wanted: &[&Entry],
    room: usize,
    native_ttl: bool,
    refused: &mut Vec<Refusal>,
) -> BTreeMap<Key, Entry> {
    let mut best: BTreeMap<Key, Entry> = BTreeMap::new();
    for &entry in wanted {
        match best.get_mut(&entry.key) {
            Some(old) => {
                let priority = old.priority.max(entry.priority);
                if strength(entry) > strength(old) {
                    *old = entry.clone();
                }
                old.priority = priority;
            }
            None => drop(best.insert(entry.key.clone(), entry.clone())),
        }
    }
    drop_covered(&mut best, native_ttl, refused);
    let mut ranked: Vec<(Key, (u8, i64))> = best.values().map(|e| (e.key.clone(), e.priority)).collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    for (key, _) in ranked.into_iter().skip(room) {
        if let Some(entry) = best.remove(&key) {
            refused.push(refusal(&entry, format!("the device has room for {room} entries")));
        }
    }
    best
}

/// What stands where two entries name one network; the verdict's name settles what is equal otherwise.
fn strength(entry: &Entry) -> (Response, u64, i64, Reverse<&str>) {
    let hardness = Way::hardness(entry.way.as_ref());
    (entry.response, hardness, entry.expires_at, Reverse(&entry.verdict))
}

/// Sorted networks have every one before those inside it, so a stack of the open ones finds all covers in one pass.
///
/// A device that lets go by itself would let a single address go with a network that ends before it does, so that one is told apart.
fn drop_covered(best: &mut BTreeMap<Key, Entry>, native_ttl: bool, refused: &mut Vec<Refusal>) {
    let mut open: Vec<(IpNet, &Entry)> = Vec::new();
    let mut covered = Vec::new();
    for entry in best.values() {
        let Some(net) = entry.key.net() else { continue };
        while open.last().is_some_and(|(o, ..)| !o.contains(&net)) {
            open.pop();
        }
        let outlives = |wider: &Entry| {
            native_ttl
                && !entry.key.is_wide()
                && wider.response == entry.response
                && wider.way == entry.way
                && entry.expires_at > wider.expires_at + SLACK_S
        };
        // Devices take the narrowest network of an address: one inside a network that is treated harder must not make it laxer.
        let hardness = |e: &Entry| Way::hardness(e.way.as_ref());
        let says_it = |wider: &Entry| {
            let same = wider.way == entry.way || hardness(wider) > hardness(entry);
            wider.response > entry.response || wider.response == entry.response && same
        };
        match open.iter().find(|(_, wider)| says_it(wider) && !outlives(wider)) {
            Some((wider, _)) => covered.push((net, *wider)),
            None => open.push((net, entry)),
        }
    }
    for (net, wider) in covered {
        if let Some(entry) = best.remove(&Key::Net(net)) {
            refused.push(refusal(&entry, format!("inside {wider}, which is sent")));
        }
    }
}

fn refusal(entry: &Entry, why: String) -> Refusal {
    Refusal { verdict: entry.verdict.clone(), subject: entry.key.to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::AddressSeen;

    pub(crate) fn sees(capacity: usize) -> Sees {
        Sees {
            address: AddressSeen::Peer,
            networks: true,
            ipv6: true,
            prints: &[],
            tokens: false,
            accounts: false,
            headers: Vec::new(),
            places: crate::entry::Places::No,
            min_prefix: (16, 32),
            responses: vec![Response::Block, Response::RateLimit],
            ways: crate::way::Ways::default(),
            capacity,
            native_ttl: true,
            allow_list: true,
            open_connections: "",
            delay: "",
            cannot: "",
        }
    }

    fn entry(net: &str, response: Response, expires_at: i64, score: u8) -> Entry {
        Entry {
            key: net.parse().unwrap(),
            response,
            expires_at,
            verdict: format!("v-{net}"),
            priority: (score, 0),
            way: None,
        }
    }

    fn nets(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|e| e.key.to_string()).collect()
    }

    #[test]
    fn adds_refreshes_and_removes_only_what_differs() {
        let wanted = [
            entry("192.0.2.1/32", Response::Block, 1000, 90),
            entry("192.0.2.2/32", Response::Block, 1000, 90),
            entry("192.0.2.3/32", Response::RateLimit, 1000, 90),
            entry("192.0.2.4/32", Response::Block, 1003, 90),
        ];
        let observed = Observed {
            entries: vec![
                entry("192.0.2.2/32", Response::Block, 500, 0),
                entry("192.0.2.3/32", Response::Block, 1000, 0),
                entry("192.0.2.4/32", Response::Block, 1000, 0),
                entry("192.0.2.9/32", Response::Block, 1000, 0),
                entry("192.0.2.4/32", Response::Block, 1000, 0),
            ],
            ..Observed::default()
        };
        let p = plan(&wanted, &observed, &[], &sees(10));
        assert_eq!(nets(&p.add), ["192.0.2.1", "192.0.2.3"]);
        assert_eq!(nets(&p.refresh), ["192.0.2.2"]);
        assert_eq!(nets(&p.remove), ["192.0.2.3", "192.0.2.9", "192.0.2.4"], "a duplicate goes too");
        assert_eq!(p.target.len(), 4);
        let reached = Observed { entries: p.target.clone(), ..Observed::default() };
        assert!(
            plan(&wanted, &reached, &[], &sees(10)).is_empty(),
            "a plan that was applied leaves nothing to do"
        );
    }

    #[test]
    fn a_full_list_lets_go_first_and_never_of_who_stays_without_need() {
        let one = |net: &str| entry(net, Response::Block, 1000, 90);
        let p = Plan {
            add: vec![one("192.0.2.0/24"), one("198.51.100.0/25"), one("203.0.113.9/32")],
            remove: ["192.0.2.7/32", "192.0.3.7/32", "198.51.100.0/24", "2001:db8::/64"].map(one).to_vec(),
            ..Plan::default()
        };
        let turns = |free: usize| {
            let (first, last) = p.in_turn(free);
            let nets = |es: Vec<&Entry>| es.iter().map(|e| e.key.to_string()).collect::<Vec<_>>();
            (nets(first), nets(last))
        };
        let (first, last) = turns(1);
        assert_eq!(first, ["192.0.3.7", "2001:db8::/64"], "whom nothing new stands for");
        assert_eq!(last, ["192.0.2.7", "198.51.100.0/24"], "these stay blocked, one way or the other");
        assert_eq!(
            turns(0).0,
            ["192.0.3.7", "2001:db8::/64", "192.0.2.7"],
            "no more than room is needed for"
        );
    }

    #[test]
    fn over_capacity_the_most_harmful_stay() {
        let wanted: Vec<Entry> =
            (1..=5).map(|n| entry(&format!("192.0.2.{n}/32"), Response::Block, 1000, n * 10)).collect();
        let p = plan(&wanted, &Observed::default(), &[], &sees(2));
        assert_eq!(nets(&p.target), ["192.0.2.4", "192.0.2.5"]);
        assert_eq!(p.refused.len(), 3);
    }

    #[test]
    fn a_network_covers_what_is_inside_it() {
        let wanted = [
            entry("192.0.2.0/24", Response::RateLimit, 1000, 90),
            entry("192.0.2.7/32", Response::Block, 1000, 90),
            entry("192.0.2.8/32", Response::RateLimit, 1000, 90),
            entry("198.51.100.0/24", Response::Block, 1000, 90),
            entry("198.51.100.0/25", Response::Block, 2000, 90),
            entry("198.51.100.9/32", Response::Block, 2000, 90),
            entry("198.51.100.10/32", Response::Block, 1000, 90),
        ];
        let p = plan(&wanted, &Observed::default(), &[], &sees(10));
        assert_eq!(
            nets(&p.target),
            ["192.0.2.0/24", "192.0.2.7", "198.51.100.0/24", "198.51.100.9"],
            "an address that outlives its network stands for itself where the device lets go"
        );
        let limited = |net: &str, requests, ends| {
            let way = Some(Way::Rate(sidetap_model::Rate { requests, per_s: 60 }));
            Entry { way, ..entry(net, Response::RateLimit, ends, 90) }
        };
        let rates = [
            limited("192.0.2.0/24", 5, 1000),
            limited("192.0.2.7/32", 100, 2000),
            limited("192.0.2.8/32", 2, 1000),
            limited("192.0.2.9/32", 5, 1000),
        ];
        let p = plan(&rates, &Observed::default(), &[], &sees(10));
        assert_eq!(
            nets(&p.target),
            ["192.0.2.0/24", "192.0.2.8"],
            "devices take the narrowest: a laxer one inside goes"
        );
        let swept = Sees { native_ttl: false, ..sees(10) };
        assert_eq!(plan(&wanted, &Observed::default(), &[], &swept).target.len(), 3);
    }

    #[test]
    fn what_others_allow_is_left_out_of_the_allow_list() {
        let net = |t: &str| t.parse::<IpNet>().unwrap();
        let others = vec![net("198.51.100.64/26"), net("203.0.113.7/32")];
        let observed = Observed { allowed_by_others: others, ..Observed::default() };
        let p = plan(&[], &observed, &[net("203.0.113.7/32"), net("198.51.100.0/24")], &sees(10));
        assert_eq!(p.allow, [net("198.51.100.0/26"), net("198.51.100.128/25")]);
        let reached = Observed { allow: p.allow, ..observed };
        let p = plan(&[], &reached, &[net("203.0.113.7/32"), net("198.51.100.0/24")], &sees(10));
        assert!(p.is_empty() && p.allow_before == p.allow);
    }

    #[test]
    fn the_allow_list_and_drift_are_part_of_the_plan() {
        let allow: Vec<IpNet> = vec!["198.51.100.0/24".parse().unwrap()];
        let p = plan(&[], &Observed::default(), &allow, &sees(10));
        assert!(p.allow_changes && !p.is_empty());
        let observed = Observed { allow: allow.clone(), drift: vec!["chain".into()], ..Observed::default() };
        let p = plan(&[], &observed, &allow, &sees(10));
        assert!(!p.allow_changes && !p.is_empty());
    }
}
