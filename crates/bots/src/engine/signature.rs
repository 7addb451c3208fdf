//! What a campaign is known by: fingerprints that outlive addresses and agents.

use std::collections::BTreeMap;

use super::Engine;
use super::campaign::{Campaign, Conviction};
use super::sketch::{Gaps, Least};
use super::unit::Unit;
use crate::observation::{Prints, Traits, door_spelled};

/// What cannot be seen.
const UNSEEN: &str = "not observable";

impl Engine {
    /// Fingerprints of a campaign's members, each by what it is of. Of those that differ the most frequent stands.
    pub(super) fn prints(
        &self,
        campaign: &Campaign,
        units: &[(&Unit, &Conviction)],
    ) -> BTreeMap<String, String> {
        let mut s = BTreeMap::new();
        let mut put = |name: &str, value: Option<String>| {
            s.insert(name.to_owned(), value.unwrap_or_else(|| UNSEEN.to_owned()));
        };
        let relayed = units.iter().any(|(u, _)| u.any.has(Traits::RELAYED));
        let spelled = |letter: char, hash: Option<u64>| hash.map(|h| format!("{letter}1-{h:016x}"));
        put("header-order", spelled('h', most(units, |p| p.order)));
        put("door", most_of(units, Unit::door_of).map(door_spelled));
        put("negotiation", spelled('n', most(units, |p| p.negotiation)));
        put("body", spelled('b', most(units, |p| p.body)));
        put("cookies", spelled('c', most(units, |p| p.cookies)));
        let sketch = |pick: fn(&Unit) -> &Least| {
            let mut all = Least::default();
            units.iter().for_each(|(u, _)| all.merge(pick(u)));
            all.spelled()
        };
        put("path", sketch(|u| &u.habits.route).map(|s| format!("p1-{s}")));
        put("target-set", sketch(|u| &u.habits.aims).map(|s| format!("g1-{s}")));
        put("timing", self.rhythm(campaign, units).and_then(Gaps::spelled).map(|s| format!("t1-{s}")));
        // Neither TLS nor HTTP/2 is decoded; and behind a balancer the connection is the balancer's.
        put("tls", None);
        put("http2", None);
        put("connection", (!relayed).then(|| "the client's own".to_owned()));
        s
    }

    /// The gaps of the part of traffic that a campaign is, else of the member with the most requests.
    fn rhythm<'a>(&'a self, campaign: &Campaign, units: &[(&'a Unit, &Conviction)]) -> Option<&'a Gaps> {
        let slots = campaign.slots.iter().filter_map(|at| self.slots.get(*at as usize));
        let parts = slots.flat_map(|s| campaign.shapes.iter().filter_map(|shape| s.parts.get(shape)));
        let part = parts.filter(|_| campaign.by_part).max_by_key(|p| (p.n, p.shape)).map(|p| &p.gaps);
        part.or_else(|| units.iter().max_by_key(|(u, _)| (u.n, u.key)).map(|(u, _)| &u.gaps))
    }

    /// The fingerprint that an indicator of this family looks at.
    pub(super) fn print_of(&self, family: &str, prints: &Prints) -> Option<String> {
        let (letter, hash) = match family {
            "order" => ('h', prints.order),
            "headers" | "profile" | "hints" | "fetch" => ('n', prints.negotiation),
            "body" | "body-template" => ('b', prints.body),
            "cookie-shape" => ('c', prints.cookies),
            _ => return None,
        };
        (hash != 0).then(|| format!("{letter}1-{hash:016x}"))
    }
}

/// The value that most units have, 0 aside.
fn most(units: &[(&Unit, &Conviction)], pick: fn(&Prints) -> u64) -> Option<u64> {
    most_of(units, |unit, _| pick(&unit.prints))
}

/// The same of what is told of a unit whose part of this fingerprint was convicted.
fn most_of(units: &[(&Unit, &Conviction)], pick: impl Fn(&Unit, u64) -> u64) -> Option<u64> {
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for (unit, conviction) in units {
        let shape = if conviction.shape == 0 { unit.main_shape } else { conviction.shape };
        *counts.entry(pick(unit, shape)).or_default() += 1;
    }
    counts.remove(&0);
    counts.into_iter().max_by_key(|(print, n)| (*n, std::cmp::Reverse(*print))).map(|(print, _)| print)
}
