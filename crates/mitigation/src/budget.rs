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

/// Takes out of a plan what is beyond `room` new entries, the least urgent; gives how many those are.
///
/// What a new entry that has to wait would have taken the place of stays until then, so that nobody is let go in between.
pub(crate) fn trim(plan: &mut Plan, room: usize) -> usize {
    if plan.add.len() <= room {
        return 0;
    }
    let why = format!("it waits for the next minute: max_adds_per_minute leaves room for {room} now");
    leave_out(plan, room, &why)
}

/// Takes out of a plan that a guard holds what would act against more: new entries, and later ends of those that the device has
/// (`before`). What lets go stays in it. Gives how many those are.
pub(crate) fn hold_back(plan: &mut Plan, before: &[Entry], guard: &str) -> usize {
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
    longer.len() + leave_out(plan, 0, guard)
}

/// Takes the least urgent new entries beyond `room` out of a plan.
fn leave_out(plan: &mut Plan, room: usize, why: &str) -> usize {
    let mut adds = std::mem::take(&mut plan.add);
    adds.sort_by(|a, b| {
        let rank = |e: &Entry| Reverse((e.verdict == CANARY, e.priority));
        rank(a).cmp(&rank(b)).then_with(|| a.key.cmp(&b.key))
    });
    let goes = room.max(adds.iter().take_while(|e| e.verdict == CANARY).count());
    let waits = adds.split_off(goes.min(adds.len()));
    adds.sort_by(|a, b| a.key.cmp(&b.key));
    plan.add = adds;
    let waiting: BTreeSet<_> = waits.iter().map(|e| &e.key).collect();
    plan.target.retain(|e| !waiting.contains(&e.key));
    let wide: BTreeSet<IpNet> =
        waits.iter().filter(|w| w.key.is_wide()).filter_map(|w| w.key.net()).collect();
    let stays = |old: &Entry| waiting.contains(&old.key) || old.key.net().is_some_and(|n| is_in(n, &wide));
    let (kept, removed): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(&mut plan.remove).into_iter().partition(stays);
    plan.remove = removed;
    // A device may hold one thing twice: it stays once.
    let mut there: BTreeSet<Key> = plan.target.iter().map(|e| e.key.clone()).collect();
    for old in kept {
        match there.insert(old.key.clone()) {
            true => plan.target.push(old),
            false => plan.remove.push(old),
        }
    }
    plan.target.sort_by(|a, b| a.key.cmp(&b.key));
    let refusal =
        |e: &Entry| Refusal { verdict: e.verdict.clone(), subject: e.key.to_string(), why: why.to_owned() };
    plan.refused.extend(waits.iter().map(refusal));
    waits.len()
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
    let is_allowed =
        |e: &Entry| e.key.within().is_some_and(|n| allow.iter().any(|a| a.contains(&n) || n.contains(a)));
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
