//! How much of a plan is carried out now: of new entries so many in a minute, the most urgent first, and of a list that would
//! collapse not all at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use sidetap_policy::Response;

use crate::canary::CANARY;
use crate::entry::Entry;
use crate::key::Key;
use crate::plan::{Plan, Refusal};
use crate::resolve::is_touched;

/// New entries that a device is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adds {
    /// At most now: what is left of this minute.
    pub(crate) room: usize,
    /// At most in a minute.
    pub(crate) a_minute: usize,
    /// Whether nothing less urgent is sent while all parts of a network together want more than is left: what was sent in the last minute counts,
    /// so that there would never be room for them otherwise. Not always: where what is more urgent never leaves so much, all that is less urgent
    /// would wait for ever with them.
    pub(crate) saves: bool,
}

impl Adds {
    /// So many, at this time: two minutes of three save.
    pub(crate) fn at(now: i64, room: usize, a_minute: usize) -> Self {
        Adds { room, a_minute, saves: now.div_euclid(60).rem_euclid(3) > 0 }
    }
}

/// Takes out of a plan what is beyond `room` new entries, the least urgent; gives how many those are.
///
/// What a new entry that has to wait would have taken the place of stays until then, so that nobody is let go in between.
///
/// `disjoint` says that the device takes no network beside one around it, `goes` of entries that they may not stay whatever waits: their time
/// is over, they were taken back, or somebody is allowed by now.
pub(crate) fn trim(plan: &mut Plan, adds: Adds, disjoint: bool, goes: impl Fn(&Entry) -> bool) -> usize {
    let room = adds.room;
    if plan.add.len() <= room {
        return 0;
    }
    let why = format!("it waits for the next minute: max_adds_per_minute leaves room for {room} now");
    leave_out(plan, room, &why, Around::Both { adds, disjoint }, goes)
}

/// Takes out of a plan that a guard holds what would act against more: new entries, and later ends of those that the device has
/// (`before`). What lets go stays in it. Gives how many those are.
pub(crate) fn hold_back(
    plan: &mut Plan,
    before: &[Entry],
    guard: &str,
    goes: impl Fn(&Entry) -> bool,
) -> usize {
    let old: BTreeMap<(&Key, Response), &Entry> = before.iter().map(|e| ((&e.key, e.response), e)).collect();
    let of = |e: &Entry| old.get(&(&e.key, e.response)).filter(|o| o.expires_at < e.expires_at).copied();
    let (longer, shorter): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(&mut plan.refresh).into_iter().partition(|e| of(e).is_some());
    plan.refresh = shorter;
    for entry in &mut plan.target {
        if let Some(old) = of(entry) {
            *entry = old.clone();
        }
    }
    longer.len() + leave_out(plan, 0, guard, Around::Inside, goes)
}

/// Which old entries stay for a new one that is left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Those within its network.
    Inside,
    /// And the network around it that is told to do the same: who is in it would be let go for a minute. For longer, as a guard holds, others
    /// in it would be kept out.
    Both { adds: Adds, disjoint: bool },
}

/// Takes the least urgent new entries beyond `room` out of a plan.
fn leave_out(
    plan: &mut Plan,
    room: usize,
    why: &str,
    around: Around,
    goes: impl Fn(&Entry) -> bool,
) -> usize {
    let mut adds = std::mem::take(&mut plan.add);
    adds.sort_by(|a, b| {
        let rank = |e: &Entry| Reverse((e.verdict == CANARY, e.priority));
        rank(a).cmp(&rank(b)).then_with(|| a.key.cmp(&b.key))
    });
    let (mut adds, mut waits, whys) = match around {
        Around::Both { adds: many, disjoint: true } => in_whole(adds, &plan.remove, many, &goes),
        _ => {
            let sent = room.max(adds.iter().take_while(|e| e.verdict == CANARY).count());
            let waits = adds.split_off(sent.min(adds.len()));
            (adds, waits, BTreeMap::new())
        }
    };
    adds.sort_by(|a, b| a.key.cmp(&b.key));
    plan.add = adds;
    let waiting: BTreeSet<_> = waits.iter().map(|e| &e.key).collect();
    plan.target.retain(|e| !waiting.contains(&e.key));
    let wide: BTreeSet<IpNet> =
        waits.iter().filter(|w| w.key.is_wide()).filter_map(|w| w.key.net()).collect();
    let mut nets: BTreeMap<Response, BTreeSet<IpNet>> = BTreeMap::new();
    for (response, net) in waits.iter().filter_map(|w| Some((w.response, w.key.net()?))) {
        nets.entry(response).or_default().insert(net);
    }
    let is_around = |old: &Entry, net: IpNet| {
        let of_it = nets.get(&old.response);
        of_it.is_some_and(|nets| nets.range(net..).next().is_some_and(|n| net.contains(n)))
    };
    let of = |old: &Entry| {
        let both = around != Around::Inside;
        old.key.net().is_some_and(|net| is_in(net, &wide) || both && is_around(old, net))
    };
    let stays = |old: &Entry| !goes(old) && (waiting.contains(&old.key) || of(old));
    let (kept, removed): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(&mut plan.remove).into_iter().partition(stays);
    plan.remove = removed;
    let kept = match around {
        Around::Both { adds, disjoint: true } => {
            let (kept, parts) = untangle(plan, kept, &waits, adds.a_minute);
            waits.extend(parts);
            kept
        }
        _ => kept,
    };
    // A device may hold one thing twice: it stays once.
    let mut there: BTreeSet<Key> = plan.target.iter().map(|e| e.key.clone()).collect();
    for old in kept {
        match there.insert(old.key.clone()) {
            true => plan.target.push(old),
            false => plan.remove.push(old),
        }
    }
    plan.target.sort_by(|a, b| a.key.cmp(&b.key));
    let why_of = |e: &Entry| whys.get(&e.key).map_or(why, String::as_str).to_owned();
    let refusal =
        |e: &Entry| Refusal { verdict: e.verdict.clone(), subject: e.key.to_string(), why: why_of(e) };
    plan.refused.extend(waits.iter().map(refusal));
    waits.len()
}

/// What is sent now of new entries, the most urgent first, and what waits, with why where that is its network: one that stands in the way
/// of its parts gives way to all of them at once, or to none. Where no minute has room for all of them it does so part by part.
fn in_whole(
    urgent: Vec<Entry>,
    old: &[Entry],
    adds: Adds,
    goes: impl Fn(&Entry) -> bool,
) -> (Vec<Entry>, Vec<Entry>, BTreeMap<Key, String>) {
    let wide = old.iter().filter(|o| o.key.is_wide() && !goes(o));
    let mut parts: Parts = wide.filter_map(|o| Some(((o.response, o.key.net()?.trunc()), 0))).collect();
    for key in urgent.iter().filter_map(|e| around(e, &parts)).collect::<Vec<_>>() {
        parts.entry(key).and_modify(|n| *n += 1);
    }
    // Where it has parts, whatever else keeps it while it waits goes with them.
    parts.retain(|_, n| *n > 0);
    let others = urgent.iter().filter(|e| around(e, &parts).is_none());
    for key in others.filter_map(|e| keeps(e, &parts)).collect::<Vec<_>>() {
        parts.entry(key).and_modify(|n| *n += 1);
    }
    let (mut left, mut decided, mut whys) = (adds.room, BTreeMap::new(), BTreeMap::new());
    let is_sent = |e: &Entry| {
        let network = around(e, &parts).or_else(|| keeps(e, &parts));
        let network = network.and_then(|key| Some((key, *parts.get(&key)?)));
        let Some((key, n)) = network.filter(|(_, n)| *n <= adds.a_minute) else {
            let fits = left > 0 || e.verdict == CANARY;
            left = left.saturating_sub(1);
            return fits;
        };
        let fits = *decided.entry(key).or_insert_with(|| {
            let fits = n <= left;
            left = if fits {
                left - n
            } else if adds.saves {
                0
            } else {
                left
            };
            fits
        });
        if !fits {
            let why = format!(
                "it waits for a minute with room for all {n} parts of {}, which stays until then: max_adds_per_minute leaves room for {} now",
                key.1, adds.room
            );
            whys.insert(e.key.clone(), why);
        }
        fits
    };
    let (sent, waits) = urgent.into_iter().partition(is_sent);
    (sent, waits, whys)
}

/// Networks, by what is done in them, with how many parts of each are new.
type Parts = BTreeMap<(Response, IpNet), usize>;

/// Of these networks the one that an entry is a part of.
fn around<T>(e: &Entry, networks: &BTreeMap<(Response, IpNet), T>) -> Option<(Response, IpNet)> {
    let above = std::iter::successors(e.key.net().filter(|_| e.key.is_wide()), IpNet::supernet);
    above.skip(1).map(|n| (e.response, n.trunc())).find(|k| networks.contains_key(k))
}

/// Of these networks the one that stays while this waits, though it is no part of it: an address in it, or the network for something else.
fn keeps<T>(e: &Entry, networks: &BTreeMap<(Response, IpNet), T>) -> Option<(Response, IpNet)> {
    let net = e.key.net()?.trunc();
    if e.key.is_wide() {
        return networks.keys().find(|(_, n)| *n == net).copied();
    }
    let above = std::iter::successors(Some(net), IpNet::supernet);
    above.map(|n| (e.response, n.trunc())).find(|k| networks.contains_key(k))
}

/// Sees to it that no network that stays comes beside a part of it, which packet filters do not take: its new parts wait with those that do
/// anyway, or where a whole minute would not do for all of them it goes; and so does what lies in a network that comes. Gives what stays, and
/// what waits besides.
fn untangle(plan: &mut Plan, kept: Vec<Entry>, waits: &[Entry], a_minute: usize) -> (Vec<Entry>, Vec<Entry>) {
    let mut come: BTreeMap<Response, BTreeSet<IpNet>> = BTreeMap::new();
    for (response, net) in
        plan.add.iter().filter(|e| e.key.is_wide()).filter_map(|e| Some((e.response, e.key.net()?)))
    {
        come.entry(response).or_default().insert(net.trunc());
    }
    let is_covered =
        |e: &Entry| e.key.net().zip(come.get(&e.response)).is_some_and(|(net, come)| is_in(net, come));
    let (covered, kept): (Vec<Entry>, Vec<Entry>) = kept.into_iter().partition(is_covered);
    plan.remove.extend(covered);
    let wide = kept.iter().filter(|k| k.key.is_wide());
    let mut parts: BTreeMap<(Response, IpNet), (usize, usize)> =
        wide.filter_map(|k| Some(((k.response, k.key.net()?.trunc()), (0, 0)))).collect();
    for (entries, is_new) in [(plan.add.as_slice(), true), (waits, false)] {
        for e in entries {
            if let Some(n) = around(e, &parts).and_then(|k| parts.get_mut(&k)) {
                (n.0, n.1) = (n.0 + usize::from(is_new), n.1 + 1);
            }
        }
    }
    // What else keeps a network counts where it is asked whether a minute has room for all.
    for key in waits
        .iter()
        .filter(|e| around(e, &parts).is_none())
        .filter_map(|e| keeps(e, &parts))
        .collect::<Vec<_>>()
    {
        parts.entry(key).and_modify(|(_, all)| *all += 1);
    }
    let goes = |e: &Entry| {
        let parts = e.key.net().and_then(|n| parts.get(&(e.response, n.trunc())));
        parts.is_some_and(|(new, all)| *new > 0 && *all > a_minute)
    };
    let (gone, stays): (Vec<Entry>, Vec<Entry>) = kept.into_iter().partition(goes);
    plan.remove.extend(gone);
    parts.retain(|_, (new, all)| *new > 0 && *all <= a_minute);
    let (late, add): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(&mut plan.add).into_iter().partition(|e| around(e, &parts).is_some());
    plan.add = add;
    let late_keys: BTreeSet<&Key> = late.iter().map(|e| &e.key).collect();
    plan.target.retain(|e| !late_keys.contains(&e.key));
    (stays, late)
}

/// Puts back into a plan's target what it would take out of a device before its time, where that is more than `share` in a hundred
/// of what the device holds; gives how many entries that are. What is allowed by now, and what was taken back (`undone`), goes all the
/// same.
pub(crate) fn keep_from_collapse(
    plan: &mut Plan,
    allow: &[IpNet],
    share: u8,
    now: i64,
    undone: impl Fn(&Entry) -> bool,
) -> usize {
    let target: BTreeSet<&Key> = plan.target.iter().map(|e| &e.key).collect();
    let is_allowed = |e: &Entry| e.key.within().is_some_and(|n| is_touched(allow, &n));
    let is_lost =
        |e: &Entry| e.expires_at > now && !target.contains(&e.key) && e.verdict != CANARY && !undone(e);
    let lost = plan.remove.iter().filter(|e| is_lost(e)).count();
    let held = lost + plan.target.len() - plan.add.len().min(plan.target.len());
    if lost <= FEW || lost * 100 <= held * usize::from(share) {
        return 0;
    }
    let stays = |e: &Entry| is_lost(e) && !is_allowed(e);
    let (kept, removed): (Vec<Entry>, Vec<Entry>) = plan.remove.iter().cloned().partition(stays);
    plan.remove = removed;
    // What lies in a network that stays, or one that comes, needs no entry of its own.
    let (kept, _) = untangle(plan, kept, &[], usize::MAX);
    let n = kept.len();
    plan.target.extend(kept);
    plan.target.sort_by(|a, b| a.key.cmp(&b.key));
    plan.target.dedup_by(|a, b| a.key == b.key);
    n
}

/// So many entries may go from any list.
const FEW: usize = 20;

/// Whether a network is one of these or inside of one.
fn is_in(net: IpNet, wide: &BTreeSet<IpNet>) -> bool {
    let above = std::iter::successors(Some(net), IpNet::supernet);
    !wide.is_empty() && above.into_iter().any(|n| wide.contains(&n.trunc()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn entry(net: &str) -> Entry {
        Entry {
            key: net.parse().unwrap(),
            response: Response::Block,
            expires_at: 1_000,
            verdict: format!("v-{net}"),
            priority: (90, 0),
            way: None,
        }
    }

    fn adds(room: usize, a_minute: usize) -> Adds {
        Adds { room, a_minute, saves: true }
    }

    fn nets(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|e| e.key.to_string()).collect()
    }

    /// A network gives way to addresses in it, and addresses to a network around them.
    fn both_ways() -> Plan {
        let add = ["192.0.2.7/32", "198.51.100.0/24"].map(entry).to_vec();
        let remove = ["192.0.2.0/24", "198.51.100.9/32", "203.0.113.0/24"].map(entry).to_vec();
        Plan { target: add.clone(), add, remove, ..Plan::default() }
    }

    #[test]
    fn nobody_is_let_go_while_what_comes_in_its_place_waits() {
        let mut plan = both_ways();
        assert_eq!(trim(&mut plan, adds(0, 9), true, |_| false), 2);
        assert_eq!(nets(&plan.remove), ["203.0.113.0/24"]);
        assert_eq!(nets(&plan.target), ["192.0.2.0/24", "198.51.100.9"]);
        // What may not stay goes, whatever waits.
        let mut plan = both_ways();
        trim(&mut plan, adds(0, 9), true, |e| e.verdict != "v-198.51.100.9/32");
        assert_eq!(nets(&plan.remove), ["192.0.2.0/24", "203.0.113.0/24"]);
        assert_eq!(nets(&plan.target), ["198.51.100.9"]);
        // A guard may hold for hours: the network would keep out others for as long.
        let mut plan = both_ways();
        hold_back(&mut plan, &[], "held", |_| false);
        assert_eq!(nets(&plan.remove), ["192.0.2.0/24", "203.0.113.0/24"]);
        assert_eq!(nets(&plan.target), ["198.51.100.9"]);
    }

    #[test]
    fn a_network_that_stays_comes_beside_no_part_of_it() {
        let plan = || {
            let mut add = ["198.51.100.0/28", "198.51.100.16/28", "203.0.113.9/32"].map(entry).to_vec();
            add[2].priority = (99, 0);
            Plan { target: add.clone(), add, remove: vec![entry("198.51.100.0/24")], ..Plan::default() }
        };
        let mut one = plan();
        assert_eq!(trim(&mut one, adds(2, 2), true, |_| false), 2);
        assert_eq!((nets(&one.add), nets(&one.remove)), (vec!["203.0.113.9".into()], vec![]));
        assert_eq!(nets(&one.target), ["198.51.100.0/24", "203.0.113.9"]);
        assert_eq!(one.refused.len(), 2);
        // There is never room for both: it gives way part by part.
        let mut one = plan();
        one.add.pop();
        one.target.pop();
        assert_eq!(trim(&mut one, adds(1, 1), true, |_| false), 1);
        assert_eq!(
            (nets(&one.add), nets(&one.remove)),
            (vec!["198.51.100.0/28".into()], vec!["198.51.100.0/24".into()])
        );
        // A single address beside its network is another set's.
        let mut one = plan();
        one.add = ["198.51.100.7/32", "198.51.100.8/32"].map(entry).to_vec();
        one.target = one.add.clone();
        assert_eq!(trim(&mut one, adds(1, 1), true, |_| false), 1);
        assert_eq!(nets(&one.target), ["198.51.100.0/24", "198.51.100.7"]);
        // The same of what is kept from collapse.
        let mut one = plan();
        one.remove.extend((0..30).map(|n| entry(&format!("192.0.2.{n}/32"))));
        assert_eq!(keep_from_collapse(&mut one, &[], 50, 0, |_| false), 31);
        assert!(nets(&one.target).iter().all(|n| !n.ends_with("/28")), "{:?}", one.target);
        assert_eq!(nets(&one.add), ["203.0.113.9"]);
    }

    /// Two parts in place of the network around them, and room for one of them in this minute.
    fn in_parts() -> Plan {
        let add = ["198.51.100.0/28", "198.51.100.16/28"].map(entry).to_vec();
        Plan { target: add.clone(), add, remove: vec![entry("198.51.100.0/24")], ..Plan::default() }
    }

    #[test]
    fn a_network_stays_until_a_minute_has_room_for_its_parts() {
        let mut one = in_parts();
        assert_eq!(trim(&mut one, adds(1, 10), true, |_| false), 2);
        assert_eq!((nets(&one.add), nets(&one.remove)), (vec![], vec![]));
        assert_eq!(nets(&one.target), ["198.51.100.0/24"]);
        // Where both may stand, it stays beside the part that comes.
        for a_minute in [1, 10] {
            let mut one = in_parts();
            assert_eq!(trim(&mut one, adds(1, a_minute), false, |_| false), 1);
            assert_eq!((nets(&one.add), nets(&one.remove)), (vec!["198.51.100.0/28".into()], vec![]));
            assert_eq!(nets(&one.target), ["198.51.100.0/24", "198.51.100.0/28"]);
        }
    }

    /// Pushes with so many a minute until nothing waits, or so many times; gives what is held then and how many minutes that took.
    fn minutes(mut held: Vec<Entry>, wanted: &[Entry], a_minute: usize, most: i64) -> (Vec<String>, i64) {
        for minute in 1..=most {
            let missing = |e: &&Entry| !held.iter().any(|h| h.key == e.key);
            let add: Vec<Entry> = wanted.iter().filter(missing).cloned().collect();
            let is_wanted = |h: &&Entry| wanted.iter().any(|e| h.key == e.key);
            let (target, remove): (Vec<_>, Vec<_>) =
                (wanted.to_vec(), held.iter().filter(|h| !is_wanted(h)).cloned().collect());
            let mut plan = Plan { add, remove, target, ..Plan::default() };
            let waits = trim(&mut plan, Adds::at(minute * 60, a_minute, a_minute), true, |_| false);
            assert_eq!(plan.refused.len(), waits, "each is told");
            assert!(plan.add.len() <= a_minute);
            held = plan.target;
            let overlaps = |h: &Entry| {
                around(h, &held.iter().map(|o| ((o.response, o.key.net().unwrap()), ())).collect())
            };
            assert!(!held.iter().any(|h| overlaps(h).is_some()), "{:?}", nets(&held));
            if waits == 0 {
                return (nets(&held), minute);
            }
        }
        (nets(&held), most + 1)
    }

    #[test]
    fn networks_give_way_one_after_the_other_and_nobody_waits_for_ever() {
        // The parts of both are urgent alike, in turn.
        let part = |third: u8, i: u8| Entry {
            priority: (90 - i, 0),
            ..entry(&format!("198.51.{third}.{}/28", i * 16))
        };
        let parts = |third: u8, n: u8| (0..n).map(move |i| part(third, i));
        let old = || ["198.51.1.0/24", "198.51.2.0/24"].map(entry).to_vec();
        let mut wanted: Vec<Entry> = parts(1, 6).chain(parts(2, 6)).collect();
        // Less urgent than either, so that they come in the room that is left.
        wanted.extend((0..15).map(|n| Entry { priority: (50, 0), ..entry(&format!("203.0.113.{n}/32")) }));
        let (held, took) = minutes(old(), &wanted, 10, 9);
        assert_eq!((held.len(), took), (27, 4), "{held:?}");
        // As many as a minute takes.
        let (held, took) = minutes(old(), &wanted, 6, 9);
        assert_eq!((held.len(), took), (27, 5), "{held:?}");
        // More than any minute takes: part by part.
        let (held, took) = minutes(old(), &wanted, 5, 9);
        assert_eq!((held.len(), took), (27, 6), "{held:?}");
        // An address in the network that is less urgent than its parts, and the network for something else, keep it too.
        for a_minute in [6, 7, 8, 10] {
            let mut wanted = wanted.clone();
            wanted.push(Entry { priority: (20, 0), ..entry("198.51.1.200/32") });
            let (held, took) = minutes(old(), &wanted, a_minute, 12);
            assert_eq!(held.len(), 28, "{a_minute}: {held:?}");
            assert!(took <= 9, "{a_minute}: {took}");
        }
    }

    #[test]
    fn the_room_of_parts_that_are_late_is_for_others_in_one_minute_of_three() {
        for (saves, sent) in [(true, 1), (false, 4)] {
            let mut add: Vec<Entry> = (0..4u8).map(|n| entry(&format!("198.51.100.{}/28", n * 16))).collect();
            add.push(Entry { priority: (99, 0), ..entry("192.0.2.1") });
            add.extend((0..9).map(|n| Entry { priority: (50, 0), ..entry(&format!("203.0.113.{n}/32")) }));
            let mut plan =
                Plan { target: add.clone(), add, remove: vec![entry("198.51.100.0/24")], ..Plan::default() };
            trim(&mut plan, Adds { room: 4, a_minute: 10, saves }, true, |_| false);
            assert_eq!(plan.add.len(), sent, "{:?}", plan.add);
            assert!(plan.target.iter().any(|e| e.key.is_wide()), "the network stays");
            let late =
                plan.refused.iter().filter(|r| r.why.contains("all 4 parts of 198.51.100.0/24")).count();
            assert_eq!(late, 4, "{:?}", plan.refused);
        }
        assert!((0..180).map(|s| Adds::at(s, 1, 1).saves).filter(|saves| *saves).count() == 120);
    }

    #[test]
    fn a_network_stays_for_what_is_done_in_it_alone_and_in_no_network_that_comes() {
        let limited = |net: &str| Entry { response: Response::RateLimit, ..entry(net) };
        let plan = |old: Entry, wide: Entry| {
            let mut add = vec![entry("198.51.100.16/28"), wide];
            add[1].priority = (99, 0);
            Plan { target: add.clone(), add, remove: vec![old], ..Plan::default() }
        };
        let old = "198.51.100.0/24";
        for (old, disjoint) in [(limited(old), true), (limited(old), false), (entry(old), true)] {
            let wide = Entry { response: old.response, ..entry("198.51.0.0/16") };
            let mut one = plan(old, wide);
            assert_eq!(trim(&mut one, adds(1, 10), disjoint, |_| false), 1);
            assert_eq!(
                (nets(&one.add), nets(&one.remove)),
                (vec!["198.51.0.0/16".into()], vec!["198.51.100.0/24".into()])
            );
            assert_eq!(nets(&one.target), ["198.51.0.0/16"]);
        }
    }

    #[test]
    fn a_long_list_is_kept_from_collapse_at_once() {
        let net = |n: u32, length: u8| IpNet::from(ipnet::Ipv4Net::new_assert(n.into(), length));
        let allow: Vec<IpNet> = (0..100_000).map(|n| net(0x1000_0000 + n * 512, 24)).collect();
        let old = |n: u32| Entry { key: Key::Net(net(0x0b00_0000 + n, 32)), ..entry("192.0.2.1") };
        let mut plan = Plan { remove: (0..50_000).map(old).collect(), ..Plan::default() };
        plan.remove.push(Entry { key: Key::Net(net(0x1000_0007, 32)), ..entry("192.0.2.1") });
        let begun = Instant::now();
        assert_eq!(keep_from_collapse(&mut plan, &allow, 50, 0, |_| false), 50_000);
        assert_eq!(nets(&plan.remove), ["16.0.0.7"], "who is allowed by now");
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
