//! What one device should be told of the desired state.

use std::collections::BTreeMap;

use ipnet::IpNet;
use sidetap_policy::never_blockable;

use crate::canary::CANARY;
use crate::connector::{Connector, ConnectorError, Observed};
use crate::desired::Want;
use crate::enforcer::Selector;
use crate::entry::{Entry, Sees, tag_of};
use crate::key::Key;
use crate::ledger::{Ledger, LedgerEntry};
use crate::plan::{Plan, Refusal, plan};
use crate::report::ConnectorPlan;

/// Shortest prefixes that are ever sent to a device, whatever policy says.
const MIN_PREFIX: (u8, u8) = (16, 32);

/// What a push has in mind, the same for every device.
pub(crate) struct Push<'a> {
    pub(crate) wants: &'a [Want],
    pub(crate) terms: &'a BTreeMap<String, LedgerEntry>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) allow: &'a [IpNet],
    pub(crate) max_adds: usize,
    pub(crate) force: bool,
    pub(crate) now: i64,
}

/// The plan for one device: what of the desired state it can be told, against what it holds.
pub(crate) fn plan_one(c: &mut dyn Connector, push: &Push<'_>) -> (ConnectorPlan, Option<ConnectorError>) {
    let (mut wanted, mut refused) = (Vec::new(), Vec::new());
    for want in push.wants {
        let Some(term) = push.terms.get(&want.verdict) else { continue };
        let undone = push.ledger.is_undone(c.name(), &tag_of(&want.verdict));
        let expressed =
            if undone { Err("taken back".to_owned()) } else { express(want, term, c, push.allow) };
        match expressed {
            Ok(entry) => wanted.push(entry),
            Err(why) => refused.push(Refusal {
                verdict: want.verdict.clone(),
                subject: want.subject.value.clone(),
                why,
            }),
        }
    }
    wanted.extend(c.canary().map(|canary| canary.entry(push.now)));
    let (mut planned, error) =
        plan_against(c, push.now, |observed, sees| plan(&wanted, observed, push.allow, sees));
    planned.plan.refused.splice(0..0, refused);
    if planned.plan.add.len() > push.max_adds && !push.force {
        let n = planned.plan.add.len();
        planned.guard =
            Some(format!("{n} entries to add, more than max_adds = {}; push with force", push.max_adds));
    }
    (planned, error)
}

fn plan_against(
    c: &mut dyn Connector,
    now: i64,
    make: impl Fn(&Observed, &Sees) -> Plan,
) -> (ConnectorPlan, Option<ConnectorError>) {
    let (plan, error) = match c.observe(now) {
        Ok(observed) => (make(&observed, c.sees()), None),
        Err(e) => (Plan::default(), Some(e)),
    };
    let keep = plan.target.len().saturating_sub(plan.add.len() + plan.refresh.len());
    let told = error.as_ref().map(ConnectorError::to_string);
    (ConnectorPlan { name: c.name().to_owned(), kind: c.kind(), error: told, guard: None, plan, keep }, error)
}

/// The entry that says a want in the device's terms, or why there is none.
pub(crate) fn express(
    want: &Want,
    term: &LedgerEntry,
    c: &dyn Connector,
    allow: &[IpNet],
) -> Result<Entry, String> {
    let sees = c.sees();
    if !c.zones().is_empty() && !c.zones().contains(&want.zone) {
        return Err(format!("it stands outside of zone {}", want.zone));
    }
    let key = Key::of(&want.subject).filter(|k| sees.matches(k)).ok_or_else(|| {
        format!("a subject of kind {} cannot be matched here: {}", want.subject.kind, sees.cannot)
    })?;
    if !sees.responses.contains(&want.response) {
        return Err(format!("it cannot {}", want.response));
    }
    if let Some(net) = key.within() {
        check_net(&net, sees, allow)?;
    }
    Ok(Entry {
        key,
        response: want.response,
        expires_at: term.expires_at,
        verdict: tag_of(&want.verdict),
        priority: (want.score, want.last_seen.secs()),
    })
}

/// Refuses addresses that no device may be told of, or that this one could not match.
fn check_net(net: &IpNet, sees: &Sees, allow: &[IpNet]) -> Result<(), String> {
    if let Some(why) = never_blockable(net) {
        return Err(format!("{why} address"));
    }
    if allow.iter().any(|a| a.contains(net) || net.contains(a)) {
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
    let tag = if let Selector::Verdict(id) = selector { Some(tag_of(id)) } else { None };
    let make = |observed: &Observed, _: &Sees| {
        let goes = |e: &&Entry| tag.as_ref().map_or(e.verdict != CANARY, |t| *t == e.verdict);
        let (remove, mut target): (Vec<&Entry>, Vec<&Entry>) = observed.entries.iter().partition(goes);
        target.sort_by(|a, b| a.key.cmp(&b.key));
        Plan {
            remove: remove.into_iter().cloned().collect(),
            target: target.into_iter().cloned().collect(),
            allow: observed.allow.clone(),
            ..Plan::default()
        }
    };
    plan_against(c, now, make)
}
