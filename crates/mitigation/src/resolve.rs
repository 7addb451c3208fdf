//! What one device should be told of the desired state.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use sidetap_model::{Scope, rows::Subject};
use sidetap_policy::{Caps, Change, Response, Traffic, never_blockable, who_and_where};

use crate::budget::{Adds, hold_back, keep_from_collapse, trim};
use crate::canary::CANARY;
use crate::connector::{Connector, ConnectorError, Observed};
use crate::contended::strangers;
use crate::desired::Want;
use crate::enforcer::Selector;
use crate::entry::{Entry, Places, Sees, tag_of};
use crate::geography::{Fence, Geography, fence, is_area, networks};
use crate::key::Key;
use crate::ledger::{Ledger, LedgerEntry};
use crate::place::Place;
use crate::plan::{Plan, Refusal, plan};
use crate::report::{ConnectorPlan, Proof};
use crate::status::Ends;

/// Shortest prefixes that are ever sent to a device, whatever policy says.
const MIN_PREFIX: (u8, u8) = (16, 32);

/// What is said of a canary whose entry stands though nobody knows whether it makes the difference.
pub(crate) const UNSEEN: &str = "it was not seen let through before its entry stood; a push takes the entry off, and the next one sets it anew";

/// What a push has in mind, the same for every device.
pub(crate) struct Push<'a> {
    pub(crate) wants: &'a [Want],
    pub(crate) waiting: &'a BTreeMap<String, BTreeSet<String>>,
    pub(crate) terms: &'a BTreeMap<String, LedgerEntry>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) allow: &'a [IpNet],
    /// Tags of verdicts of before whose entries stay.
    pub(crate) keep: &'a BTreeSet<String>,
    pub(crate) max_adds: usize,
    pub(crate) caps: Option<&'a Caps>,
    pub(crate) traffic: Option<&'a Traffic>,
    pub(crate) geography: Option<&'a dyn Geography>,
    pub(crate) force: bool,
    /// Whether the kill switch is on.
    pub(crate) stopped: bool,
    pub(crate) now: i64,
}

/// The plan for one device: what of the desired state it can be told, against what it holds.
pub(crate) fn plan_one(c: &mut dyn Connector, push: &Push<'_>) -> (ConnectorPlan, Option<ConnectorError>) {
    let (mut wanted, mut refused, mut weaker) = (Vec::new(), Vec::new(), Vec::new());
    let mut partly: BTreeMap<String, usize> = BTreeMap::new();
    for want in push.wants {
        let Some(term) = push.terms.get(&want.verdict) else { continue };
        let undone = push.ledger.is_undone(c.name(), &tag_of(&want.verdict));
        let waits = push.waiting.get(c.name()).is_some_and(|w| w.contains(&want.verdict));
        let expressed = match (undone, waits) {
            (true, _) => Err("taken back".to_owned()),
            (_, true) => Err("it waits for approval".to_owned()),
            _ => express(want, term, c, push.allow, push.geography),
        };
        let told = |why| Refusal { verdict: want.verdict.clone(), subject: want.subject.value.clone(), why };
        match expressed {
            Ok((entries, cannot)) => {
                if let Some((why, e)) = cannot.zip(entries.first()) {
                    weaker.push(told(format!("sent as {} of {}: {why}", e.response, e.key)));
                    *partly.entry(why).or_default() += 1;
                }
                wanted.extend(entries);
            }
            Err(why) => refused.push(told(why)),
        }
    }
    let canary = c.canary().cloned().filter(|_| !push.stopped);
    let is_known = canary.as_ref().is_none_or(|canary| push.ledger.knows(c.name(), canary));
    let forbidden = canary.as_ref().and_then(|canary| canary.forbidden(push.allow));
    let mut proof = forbidden.map_or(Proof::Usual, Proof::Withheld);
    let name = c.name().to_owned();
    let stays = |e: &&Entry, unknown: &BTreeSet<&str>| {
        let free = e.key.within().is_none_or(|n| !is_touched(push.allow, &n));
        // What this ledger never had is of a ledger that was lost, or of another Sidetap: neither is a reason to let everybody in.
        (push.keep.contains(&e.verdict) || !push.force && unknown.contains(e.verdict.as_str()))
            && e.expires_at > push.now
            && free
            && !push.ledger.is_undone(&name, &e.verdict)
    };
    let (mut before, mut found, mut kept) = (Vec::new(), Vec::new(), 0);
    let (mut planned, error) = plan_against(c, push.now, push.stopped, |observed, sees| {
        found = strangers(&observed.entries, push.ledger, push.keep, push.now);
        let unknown: BTreeSet<&str> = found.iter().map(|e| e.verdict.as_str()).collect();
        let own = wanted.len();
        wanted.extend(observed.entries.iter().filter(|e| stays(e, &unknown)).cloned());
        kept = wanted.iter().skip(own).filter(|e| unknown.contains(e.verdict.as_str())).count();
        if !is_known && proof == Proof::Usual {
            proof = match observed.entries.iter().any(|e| e.verdict == CANARY) {
                true => Proof::Withheld(UNSEEN.to_owned()),
                false => Proof::Unseen,
            };
        }
        let canary = canary.filter(|_| !matches!(proof, Proof::Withheld(_)));
        wanted.extend(canary.map(|canary| canary.entry(push.now, &observed.entries)));
        let mut plan = plan(&wanted, observed, push.allow, sees);
        only_gains(&mut plan, observed, push.now);
        before = refreshed(&plan, observed);
        plan
    });
    planned.plan.refused.splice(0..0, refused);
    planned.plan.insists = push.stopped;
    planned.proof = proof;
    (planned.weaker, planned.partly) = (weaker, partly);
    (planned.strangers, planned.unknown) = (found, kept);
    let goes = |e: &Entry| {
        e.expires_at <= push.now
            || push.ledger.is_undone(c.name(), &e.verdict)
            || e.key.within().is_some_and(|n| is_touched(push.allow, &n))
    };
    if let Some(caps) = push.caps.filter(|_| !push.force) {
        let lately = push.ledger.added_lately(c.name(), push.now);
        let adds = Adds::at(push.now, caps.room(lately), caps.adds_per_minute as usize);
        planned.waiting = trim(&mut planned.plan, adds, c.refuses_overlaps(), goes);
    }
    let share = c.max_shrink();
    if share < 100 && !push.force {
        let undone = |e: &Entry| push.ledger.is_undone(c.name(), &e.verdict);
        planned.stale = keep_from_collapse(&mut planned.plan, push.allow, share, push.now, undone);
    }
    if !push.force {
        planned.guard = too_many(&planned.plan, push.max_adds).or_else(|| capped(&planned, push));
    }
    if planned.unheard {
        hold_back(&mut planned.plan, &before, "it does not answer", goes);
        let canary: Vec<Entry> = std::mem::take(&mut planned.plan.add);
        planned.plan.target.retain(|e| !canary.iter().any(|c| c.key == e.key));
        planned.plan.insists = true;
    }
    if let Some(guard) = &planned.guard {
        planned.held = hold_back(&mut planned.plan, &before, guard, goes);
    }
    (planned.why, planned.why_not) = (whys(&planned.plan, push), whys_not(&planned.plan, c.name(), push));
    (planned, error)
}

/// Why entries are new or longer, by the verdict.
fn whys(plan: &Plan, push: &Push<'_>) -> BTreeMap<String, String> {
    let told: BTreeSet<&str> =
        plan.add.iter().chain(&plan.refresh).map(|e| e.verdict.as_str()).filter(|v| *v != CANARY).collect();
    if told.is_empty() {
        return BTreeMap::new();
    }
    let all = push.wants.iter().map(|w| (tag_of(&w.verdict), &w.why));
    all.filter(|(tag, _)| told.contains(tag.as_str())).map(|(tag, why)| (tag, why.clone())).collect()
}

/// Why entries go, by the key.
fn whys_not(plan: &Plan, connector: &str, push: &Push<'_>) -> BTreeMap<String, String> {
    if plan.remove.is_empty() {
        return BTreeMap::new();
    }
    let refused: BTreeMap<String, &str> =
        plan.refused.iter().map(|r| (tag_of(&r.verdict), r.why.as_str())).collect();
    let anew: BTreeSet<&Key> = plan.add.iter().map(|e| &e.key).collect();
    let why = |e: &Entry| {
        if push.stopped {
            "the kill switch is on"
        } else if push.ledger.is_undone(connector, &e.verdict) {
            "taken back"
        } else if e.expires_at <= push.now {
            "its time is over"
        } else if e.key.within().is_some_and(|n| is_touched(push.allow, &n)) {
            "on the allow list"
        } else if anew.contains(&e.key) {
            "something else is done there"
        } else {
            refused.get(&e.verdict).copied().unwrap_or("nobody asks for it any more")
        }
    };
    plan.remove.iter().map(|e| (e.key.to_string(), why(e).to_owned())).collect()
}

/// The entries of a device whose end a plan changes.
fn refreshed(plan: &Plan, observed: &Observed) -> Vec<Entry> {
    let keys: BTreeSet<(&Key, Response)> = plan.refresh.iter().map(|e| (&e.key, e.response)).collect();
    observed.entries.iter().filter(|e| keys.contains(&(&e.key, e.response))).cloned().collect()
}

fn too_many(plan: &Plan, max_adds: usize) -> Option<String> {
    let n = plan.add.len();
    let why = || format!("{n} entries to add, more than max_adds = {max_adds}; push with force");
    (n > max_adds).then(why)
}

/// Leaves out refreshes that give an entry less than a tenth of its time more. Verdict after verdict names the tool of a campaign: each
/// alone is no reason to change a device.
fn only_gains(plan: &mut Plan, observed: &Observed, now: i64) {
    if plan.refresh.is_empty() {
        return;
    }
    let have: BTreeMap<(&Key, Response), &Entry> =
        observed.entries.iter().map(|e| ((&e.key, e.response), e)).collect();
    plan.refresh.retain(|e| {
        let old = have.get(&(&e.key, e.response));
        let gain = e.expires_at.saturating_sub(old.map_or(i64::MIN, |o| o.expires_at));
        gain < 0
            || old.is_none_or(|o| o.way != e.way)
            || gain.saturating_mul(10) > e.expires_at.saturating_sub(now)
    });
}

/// Why a plan is too much at once.
fn capped(planned: &ConnectorPlan, push: &Push<'_>) -> Option<String> {
    let caps = push.caps?;
    let subjects = |entries: &[Entry]| entries.iter().filter_map(|e| e.key.subject()).collect::<Vec<_>>();
    let plan = &planned.plan;
    let change = Change {
        held: planned.keep + plan.refresh.len() + plan.remove.len(),
        added_lately: 0,
        adds: &subjects(&plan.add),
        all: &subjects(&plan.target),
    };
    caps.check(&change, push.traffic).err().map(|hit| format!("{hit}; push with force"))
}

/// The plan that is made of what a device holds, where that can be read.
pub(crate) fn plan_against(
    c: &mut dyn Connector,
    now: i64,
    insists: bool,
    make: impl FnOnce(&Observed, &Sees) -> Plan,
) -> (ConnectorPlan, Option<ConnectorError>) {
    let observed = if insists { c.observe_anyway(now) } else { c.observe(now) };
    let (held, away) = match observed {
        Ok(observed) => (Some(observed), None),
        Err(e) => (c.observe_unheard(), Some(e)),
    };
    let there = held.as_ref().map_or_else(Ends::default, |h| Ends::of(&h.entries));
    let plan = held.map(|h| make(&h, c.sees())).unwrap_or_default();
    // What lets go does not wait until it answers: it would act on them again when it is started.
    let unheard = away.is_some() && !plan.remove.is_empty();
    let (plan, error) = match away.filter(|_| !unheard) {
        Some(e) => (Plan::default(), Some(e)),
        None => (plan, None),
    };
    let keep = plan.target.len().saturating_sub(plan.add.len() + plan.refresh.len());
    let told = error.as_ref().map(ConnectorError::to_string);
    (
        ConnectorPlan {
            name: c.name().to_owned(),
            kind: c.kind(),
            error: told,
            guard: None,
            held: 0,
            waiting: 0,
            stale: 0,
            weaker: Vec::new(),
            partly: BTreeMap::new(),
            strangers: Vec::new(),
            unknown: 0,
            proof: Proof::Usual,
            there,
            unheard,
            why: BTreeMap::new(),
            why_not: BTreeMap::new(),
            plan,
            keep,
        },
        error,
    )
}

/// The entries that say a want in the device's terms, one for each place of its scope, with what of it the device cannot say; or why
/// there are none.
pub(crate) fn express(
    want: &Want,
    term: &LedgerEntry,
    c: &dyn Connector,
    allow: &[IpNet],
    geography: Option<&dyn Geography>,
) -> Result<(Vec<Entry>, Option<String>), String> {
    let sees = c.sees();
    if !c.zones().is_empty() && !c.zones().contains(&want.zone) {
        return Err(format!("it stands outside of zone {}", want.zone));
    }
    let mut cannot = Vec::new();
    let keys = keys_of(want, sees, &(allow, geography), &mut cannot);
    let response = response_of(want, sees, keys.as_deref(), geography, &mut cannot);
    let (Some(response), Some(keys)) = (response, keys) else { return Err(cannot.join("; ")) };
    let (way, otherwise) = sees.ways.told(response, &want.measures);
    cannot.extend(otherwise);
    let entry = |key| Entry {
        key,
        response,
        expires_at: term.expires_at,
        verdict: tag_of(&want.verdict),
        priority: (want.score, want.last_seen.secs()),
        way: way.clone(),
    };
    let said = (!cannot.is_empty()).then(|| cannot.join("; "));
    Ok((keys.into_iter().map(entry).collect(), said))
}

/// The first response that the device can do. A geo-fence of one address is a block or nothing, by where the address is.
fn response_of(
    want: &Want,
    sees: &Sees,
    keys: Option<&[Key]>,
    geography: Option<&dyn Geography>,
    cannot: &mut Vec<String>,
) -> Option<Response> {
    for response in std::iter::once(want.response).chain(want.measures.instead.iter().copied()) {
        if sees.responses.contains(&response) {
            return Some(response);
        }
        let address = keys.and_then(|k| k.first()).and_then(Key::within);
        let address = address.filter(|n| n.prefix_len() == n.max_prefix_len());
        match address.filter(|_| response == Response::GeoFence && sees.responses.contains(&Response::Block))
        {
            None => cannot.push(format!("it cannot {response}")),
            Some(net) => match fence(net.addr(), geography, &want.measures.countries) {
                Fence::Refuses => return Some(Response::Block),
                Fence::LetsThrough => {
                    cannot.push("its address is in a country that the geo-fence lets through".to_owned());
                    return None;
                }
                Fence::Unknown => {
                    cannot.push("it cannot geo-fence, and no installed table knows the address".to_owned());
                }
            },
        }
    }
    None
}

/// The allow list, and what is known of where addresses are.
type Known<'a> = (&'a [IpNet], Option<&'a dyn Geography>);

/// The first way of saying whom, and where, that the device can compare and may be told of.
fn keys_of(want: &Want, sees: &Sees, known: &Known<'_>, cannot: &mut Vec<String>) -> Option<Vec<Key>> {
    let own = std::slice::from_ref(&want.subject);
    let subjects = if want.measures.subjects.is_empty() { own } else { &want.measures.subjects };
    subjects.iter().find_map(|subject| match keys_of_subject(subject, want, sees, known) {
        Ok((keys, left_out)) => {
            cannot.extend(left_out);
            Some(keys)
        }
        Err(why) => {
            if !cannot.contains(&why) {
                cannot.push(why);
            }
            None
        }
    })
}

/// With it, what of the places it is not sent to.
fn keys_of_subject(
    subject: &Subject,
    want: &Want,
    sees: &Sees,
    (allow, geography): &Known<'_>,
) -> Result<(Vec<Key>, Option<String>), String> {
    let unmatched = || format!("a subject of kind {} cannot be matched here: {}", subject.kind, sees.cannot);
    let (who, at) = who_and_where(subject);
    let keys = match who.as_ref().filter(|w| is_area(w)) {
        Some(area) => {
            let least = (MIN_PREFIX.0.max(sees.min_prefix.0), MIN_PREFIX.1.max(sees.min_prefix.1));
            networks(area, *geography, least, sees, allow)?.into_iter().map(Key::Net).collect()
        }
        None => {
            let key = who.as_ref().and_then(Key::of).filter(|k| sees.matches(k)).ok_or_else(unmatched)?;
            if let Some(net) = key.within() {
                check_net(&net, sees, allow)?;
            }
            vec![key]
        }
    };
    let scope = &want.measures.scope;
    if scope.is_everywhere() && at.is_everywhere() {
        return Ok((keys, None));
    }
    if sees.places == Places::No {
        // What the subject itself says cannot be left out, what the rule adds may be.
        return match scope.widen && at.is_everywhere() {
            true => Ok((keys, None)),
            false => Err("it cannot hold a response to hosts and endpoints".to_owned()),
        };
    }
    let many = || "its hosts and endpoints are too many, or cannot be compared".to_owned();
    let of = |scope: &Scope| Place::of_scope(scope).ok_or_else(many);
    let (places, odd) = match (scope.is_everywhere(), at.is_everywhere()) {
        (false, false) => {
            let (places, odd) = of(scope)?;
            (Place::of_both(&places, &of(&at)?.0), odd)
        }
        (false, true) => of(scope)?,
        _ => of(&at)?,
    };
    if places.is_empty() {
        return Err("nothing is at the hosts and endpoints of its scope".to_owned());
    }
    let placed = |key: &Key| places.iter().map(|p| key.clone().within_place(p.clone())).collect::<Vec<_>>();
    let odd = (odd > 0).then(|| format!("{odd} of its hosts and endpoints cannot be compared: left out"));
    let left_out: Vec<String> = scope.left_out().into_iter().chain(odd).collect();
    let left_out = (!left_out.is_empty()).then(|| left_out.join("; "));
    Ok((keys.iter().flat_map(placed).collect(), left_out))
}

/// Networks of an allow list that are looked at one by one, in whatever order they stand.
const FEW: usize = 64;

/// Whether a network of the allow list shares an address with this one. A long list, of a million ranges of clouds and crawlers, is sorted
/// and has none inside another, as policy gives it.
pub(crate) fn is_touched(allow: &[IpNet], net: &IpNet) -> bool {
    let meets = |a: &IpNet| a.contains(net) || net.contains(a);
    let at = allow.partition_point(|a| a < net);
    match allow.get(at.saturating_sub(1)..allow.len().min(at + 1)) {
        Some(near) if allow.len() > FEW => near.iter().any(meets),
        _ => allow.iter().any(meets),
    }
}

/// Refuses addresses that no device may be told of, or that this one could not match.
fn check_net(net: &IpNet, sees: &Sees, allow: &[IpNet]) -> Result<(), String> {
    if let Some(why) = never_blockable(net) {
        return Err(format!("{why} address"));
    }
    if is_touched(allow, net) {
        return Err("on the allow list".to_owned());
    }
    let (v6, single) = (matches!(net, IpNet::V6(_)), net.prefix_len() == net.max_prefix_len());
    let least = |(v4, six): (u8, u8)| if v6 { six } else { v4 };
    if net.prefix_len() < least(MIN_PREFIX).max(least(sees.min_prefix)) {
        return Err("a network this wide is never sent".to_owned());
    }
    if (v6 && !sees.ipv6) || (!single && !sees.networks) {
        return Err("it cannot match such an address".to_owned());
    }
    Ok(())
}

/// The plan that takes back what the selector names and leaves all else as it is.
pub(crate) fn undo_plan(
    c: &mut dyn Connector,
    selector: &Selector,
    now: i64,
) -> (ConnectorPlan, Option<ConnectorError>) {
    let tags: Option<BTreeSet<String>> = match selector {
        Selector::Verdict(id) => Some(std::iter::once(tag_of(id)).collect()),
        Selector::Verdicts(ids) => Some(ids.iter().map(|id| tag_of(id)).collect()),
        Selector::Connector(_) | Selector::All => None,
    };
    let make = |observed: &Observed, _: &Sees| {
        let goes = |e: &&Entry| tags.as_ref().is_none_or(|t| t.contains(&e.verdict));
        let (remove, mut target): (Vec<&Entry>, Vec<&Entry>) = observed.entries.iter().partition(goes);
        target.sort_by(|a, b| a.key.cmp(&b.key));
        Plan {
            remove: remove.into_iter().cloned().collect(),
            target: target.into_iter().cloned().collect(),
            allow: observed.allow.clone(),
            insists: true,
            ..Plan::default()
        }
    };
    plan_against(c, now, true, make)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_allow_list_is_searched_as_a_short_one_is_read() {
        let net = |t: &str| t.parse::<IpNet>().unwrap();
        let ranges =
            (0..200_u32).map(|n| IpNet::from(ipnet::Ipv4Net::new_assert((n * 0x0100_0200).into(), 24)));
        let allow =
            sidetap_policy::outermost(ranges.chain([net("2001:db8::/32"), net("9.9.0.0/16")]).collect());
        assert!(allow.len() > FEW);
        for text in [
            "1.0.2.7/32",
            "1.0.2.0/24",
            "1.0.0.0/16",
            "1.0.3.0/24",
            "9.9.9.0/24",
            "0.0.0.0/32",
            "199.0.0.0/8",
            "2001:db8:1::/48",
            "2001::/16",
            "2001:db9::/32",
            "255.0.0.0/8",
        ] {
            let net = net(text);
            let read = allow.iter().any(|a| a.contains(&net) || net.contains(a));
            assert_eq!(is_touched(&allow, &net), read, "{net}");
        }
    }
}
