//! What devices should be doing about what was found: of a run at hand, or of a store, of which a part is in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sidetap_mitigation::{Desired, DesiredOptions, desired};
use sidetap_model::rows::{RunData, VerdictRow};
use sidetap_policy::{Campaigns, Decision, Known, Networks, Traffic, block_line, outermost};
use sidetap_store::Store;

use crate::clock;
use crate::commands::gate::{self, Approving, Gate, Ground};
use crate::commands::policy::{Policies, known_in, known_of};
use crate::config::Config;

/// Where verdicts are.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    /// A run at hand.
    Run(&'a RunData),
    /// A store that may hold more than fits into memory.
    Store(&'a Store),
}

impl Found<'_> {
    /// Goes through all verdicts by their ids, in parts.
    fn each(self, mut take: impl FnMut(Vec<VerdictRow>) -> Result<()>) -> Result<()> {
        match self {
            Found::Run(run) => take(run.verdicts.clone()),
            Found::Store(store) => store.each_verdicts(take),
        }
    }

    fn around(self, config: &Config) -> Result<(Known, Campaigns)> {
        let span_s = config.policy.measured_span;
        Ok(match self {
            Found::Run(run) => (known_of(run, "", None, span_s), run.campaigns.iter().cloned().collect()),
            Found::Store(store) => {
                let around = known_in(store, span_s)?;
                (around.known, around.campaigns)
            }
        })
    }

    fn networks(self, policies: &Policies, known: &Known, campaigns: &Campaigns) -> Result<Networks> {
        policies.set().networks_of(campaigns, known, |take| {
            self.each(|part| {
                take(&part);
                Ok(())
            })
        })
    }

    /// Goes through all verdicts as the present policy decides them; each part with the rules that were named before, and with what was decided.
    fn each_decided(
        self,
        policies: &Policies,
        (known, campaigns): &(Known, Campaigns),
        mut take: impl FnMut(Vec<Option<String>>, &[VerdictRow], &[Decision]),
    ) -> Result<()> {
        let networks = self.networks(policies, known, campaigns)?;
        self.each(|mut part| {
            let before = part.iter().map(|v| v.policy.clone()).collect();
            let decided = policies.set().apply_part(&mut part, campaigns, known, &networks);
            take(before, &part, &decided);
            Ok(())
        })
    }
}

/// What is asked of devices before anything holds it.
struct Asked {
    desired: Desired,
    grounds: BTreeMap<String, Ground>,
    traffic: Option<Traffic>,
}

impl Asked {
    fn of(found: Found<'_>, policies: &Policies, config: &Config, approving: &Approving) -> Result<Self> {
        let around = found.around(config)?;
        let mut options = options_of(policies, config)?;
        let mut desired = Desired { allow: options.allow.nets(), ..Desired::default() };
        let mut grounds = BTreeMap::new();
        let mut take = |part: &[VerdictRow], decided: &[Decision]| {
            let from = desired.wants.len();
            let held = part
                .iter()
                .zip(decided)
                .filter_map(|(v, d)| Some((v.id.clone(), d.held.as_ref()?.to_string())));
            options.holds = held.collect();
            desired.add(part, &options);
            let asking = desired.wants.iter().skip(from).filter(|w| approving.ask && approving.asks(w));
            let asking: BTreeSet<&str> = asking.map(|w| w.verdict.as_str()).collect();
            let asking = part.iter().filter(|v| asking.contains(v.id.as_str()));
            grounds.extend(asking.map(|v| (v.id.clone(), Ground::of(v))));
        };
        found.each_decided(policies, &around, |_, part, decided| take(part, decided))?;
        let traffic = around.0.traffic;
        take(&policies.set().standing(clock::now(), traffic.as_ref()), &[]);
        desired.rank();
        Ok(Asked { desired, grounds, traffic })
    }

    /// Without what waits, is only tried out, or is held by the kill switch.
    fn held(
        mut self,
        store: Option<&mut Store>,
        gate: &Gate,
        approving: &Approving,
    ) -> (Desired, Option<Traffic>) {
        gate::hold(&mut self.desired, |id| self.grounds.get(id).cloned(), gate, store, approving);
        (self.desired, self.traffic)
    }
}

/// What verdicts and rules of a store ask for, without what waits, is only tried out, or is held by the kill switch; and the traffic that it
/// is measured by. With `ask`, approvals are asked for.
pub(crate) fn wanted_in(
    config: &Config,
    policies: &Policies,
    store: &mut Store,
    gate: &Gate,
    ask: bool,
) -> Result<(Desired, Option<Traffic>)> {
    let approving = Approving::of(config, Some(store), ask);
    let asked = Asked::of(Found::Store(store), policies, config, &approving)?;
    Ok(asked.held(Some(store), gate, &approving))
}

/// The same of a run that no store keeps.
pub(super) fn wanted_of(
    config: &Config,
    policies: &Policies,
    run: &RunData,
    gate: &Gate,
    ask: bool,
) -> Result<(Desired, Option<Traffic>)> {
    let approving = Approving::of(config, None, ask);
    Ok(Asked::of(Found::Run(run), policies, config, &approving)?.held(None, gate, &approving))
}

/// What a campaign's verdicts, or else a rule, asked for. A rule is named as it was when verdicts were stored, or as it is now.
pub(crate) fn selected(
    found: Found<'_>,
    rules: &Policies,
    config: &Config,
    campaign: Option<&str>,
    policy: Option<&str>,
) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    if campaign.is_some() {
        found.each(|part| {
            ids.extend(part.into_iter().filter(|v| v.campaign.as_deref() == campaign).map(|v| v.id));
            Ok(())
        })?;
        return Ok(ids);
    }
    found.each_decided(rules, &found.around(config)?, |before, now, _| {
        let named = before.iter().zip(now);
        let named = named.filter(|(was, v)| was.as_deref() == policy || v.policy.as_deref() == policy);
        ids.extend(named.map(|(_, v)| v.id.clone()));
    })?;
    Ok(ids)
}

/// The lines of blocklist.txt.
pub(super) fn lines(found: Found<'_>, policies: &Policies) -> Result<Vec<String>> {
    let mut nets = BTreeSet::new();
    found.each(|part| {
        nets.extend(part.iter().filter_map(|v| block_line(v, policies.set().allow())?.ok()));
        Ok(())
    })?;
    Ok(outermost(nets).iter().map(sidetap_policy::block_text).collect())
}

/// What devices should be doing about these verdicts.
pub(crate) fn desired_of(verdicts: &[VerdictRow], policies: &Policies, config: &Config) -> Result<Desired> {
    Ok(desired(verdicts, &options_of(policies, config)?))
}

fn options_of(policies: &Policies, config: &Config) -> Result<DesiredOptions> {
    Ok(DesiredOptions {
        now: clock::now(),
        max_age_s: config.mitigation.max_age_s()?,
        allow: policies.set().allow().clone(),
        origins: policies.set().origins().clone(),
        holds: BTreeMap::new(),
    })
}
