use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sidetap_bots::Name;
use sidetap_model::rows::{CampaignGist, ExchangeCounts, RunData, VerdictRow};
use sidetap_model::{EndpointId, EndpointRef, FlowId, Ts};

use crate::accounting::Tally;
use crate::alias::{Aliases, Operations};
use crate::calls::Calls;
use crate::evidence::{EvidenceRing, Recent, what};
use crate::flagged::Flagged;
use crate::hops::Hops;
use crate::item::{Item, Whole};
use crate::judge::{Actors, Judge, Renames};
use crate::options::{Forget, Found, Listener, Options, PipelineError};
use crate::proxies::ProxyLearner;
use crate::sample::{About, shown};
use crate::snapshot::World;
use crate::spool::{LookupKey, Spool};
use crate::state::State;
use crate::worker::Worker;

/// Closes epochs: puts the workers' items in order, feeds the engines, and makes the next view of the world.
pub(crate) struct Coordinator {
    pub(crate) discovery: sidetap_discovery::Engine,
    pub(crate) sensitive: sidetap_sensitive::Inventory,
    pub(crate) threats: sidetap_threats::Inventory,
    pub(crate) proxies: ProxyLearner,
    pub(crate) aliases: Aliases,
    operations: Operations,
    pub(crate) hops: Hops,
    pub(crate) spool: Option<Spool>,
    pub(crate) evidence: Option<EvidenceRing>,
    types: Arc<sidetap_sensitive::Pack>,
    /// Of a replay into a store; a live run tells its calls as it goes on.
    pub(crate) calls: Option<Calls>,
    listener: Option<Listener>,
    pub(crate) flagged: Option<Flagged>,
    /// Items that came after their second was judged.
    pub(crate) late_items: u64,
    /// Items judged early because too many were held.
    pub(crate) hurried_items: u64,
    /// Until when an earlier run learned, where this one began with it and has not looked yet whether that is too long ago.
    pub(crate) learned_until: Option<Ts>,
    /// Until when this run learned, at its end.
    pub(crate) learned: Option<Ts>,
    judge: Option<Judge>,
    held: Vec<Item>,
    most_held: usize,
    watermark: Ts,
    renames: Renames,
    /// What each worker of a live run counted, as it said last.
    pub(crate) tallies: BTreeMap<usize, Box<Tally>>,
}

impl Coordinator {
    /// Most items that wait for their second to be over, where memory allows.
    const HELD: u64 = 250_000;

    /// A coordinator with empty engines.
    pub(crate) fn new(options: &Options, discovery: sidetap_discovery::Engine, judge: Judge) -> Self {
        Coordinator {
            discovery,
            sensitive: sidetap_sensitive::Inventory::new(&options.sensitive, Default::default()),
            threats: sidetap_threats::Inventory::new(&options.threats),
            proxies: ProxyLearner::default(),
            aliases: Aliases::default(),
            operations: Operations::default(),
            hops: Hops::default(),
            spool: options.exchanges.as_deref().map(Spool::create),
            evidence: options.evidence.then(|| {
                let (sensitive, threats) = (&options.sensitive, &options.threats);
                EvidenceRing::new(options.memory_limit, sensitive, threats, &options.hash_key)
            }),
            types: Arc::clone(&options.sensitive),
            calls: (options.evidence && !options.live).then(Calls::default),
            listener: options.listener.clone(),
            flagged: options.flagged.clone().map(Flagged::new),
            late_items: 0,
            hurried_items: 0,
            learned_until: None,
            learned: None,
            judge: Some(judge),
            held: Vec::new(),
            most_held: (options.memory_limit / 5 / Item::USUAL as u64).clamp(2_048, Self::HELD) as usize,
            watermark: Ts(i64::MIN),
            renames: Vec::new(),
            tallies: BTreeMap::new(),
        }
    }

    /// The view of the world as it is now.
    pub(crate) fn world(&mut self) -> World {
        let convicted = self.flagged.as_mut().map(|f| std::mem::take(&mut f.fresh)).unwrap_or_default();
        World {
            discovery: self.discovery.snapshot(),
            proxies: self.proxies.end_epoch(),
            convicted: convicted.into(),
        }
    }

    /// Takes in what the workers saw in an epoch that ended at `now`, and judges what is old enough.
    pub(crate) fn end_epoch(&mut self, items: Vec<Item>, now: Ts) {
        self.late_items += items.iter().filter(|i| i.order.ts <= self.watermark).count() as u64;
        self.held.extend(items);
        self.held.sort_by_key(|i| i.order);
        let watermark = now.plus(-Worker::HOLD);
        let ripe = self.held.partition_point(|i| i.order.ts <= watermark);
        let over = self.held.len().saturating_sub(fitting(&self.held, self.most_held));
        self.hurried_items += over.saturating_sub(ripe) as u64;
        let released: Vec<Item> = self.held.drain(..ripe.max(over)).collect();
        self.watermark = self.watermark.max(watermark);
        self.judge(released, now);
    }

    /// Judges all that is still held and closes the last epoch; then the second judgement. Gives the engine of actors.
    pub(crate) fn finish(
        &mut self,
        items: Vec<Item>,
        now: Ts,
    ) -> Result<sidetap_bots::Engine, PipelineError> {
        self.held.extend(items);
        self.held.sort_by_key(|i| i.order);
        let released = std::mem::take(&mut self.held);
        let now = released.last().map_or(now, |i| now.max(i.order.ts));
        self.judge(released, now);
        let renames = self.discovery.finish();
        self.rename(renames);
        let renames = std::mem::take(&mut self.renames);
        self.judge.take().ok_or(PipelineError::Died("judge"))?.finish(renames)
    }

    /// What was learned until `now`, as a file holds it.
    pub(crate) fn state(&self, now: Ts) -> Option<Vec<u8>> {
        let bots = self.judge.as_ref()?.state()?;
        Some(State { until: now, discovery: self.discovery.export_state(), bots }.write())
    }

    /// What was found so far, verdicts apart.
    pub(crate) fn found(&mut self) -> Option<Found> {
        let Actors { traffic, campaigns, roles, mut callers } = self.judge.as_ref()?.actors()?;
        let sensitive = self.sensitive.rows();
        let mut endpoints = self.discovery.rows(&sensitive, &roles);
        for row in &mut endpoints {
            if let Some(of) = callers.remove(&row.id) {
                row.callers.countries = of.countries;
                row.callers.organizations = of.organizations;
            }
        }
        let mut findings = self.threats.rows();
        findings.extend(self.discovery.risks(&sensitive));
        sidetap_discovery::add_exploits(&mut endpoints, &findings);
        let mut run = RunData { endpoints, sensitive, findings, campaigns, traffic, ..RunData::default() };
        let mut counted = Tally::default();
        self.tallies.values().for_each(|tally| counted.merge(Tally::clone(tally)));
        run.summary.exchanges = ExchangeCounts { later_hops: self.hops.joined, ..counted.exchange_counts() };
        run.summary.anomalies = counted.anomaly_codes();
        run.summary.evictions = counted.evictions;
        run.summary.streams = counted.streams;
        let names = self.discovery.snapshot();
        let (mut evidence, mut samples, mut missed) = Default::default();
        if let Some(ring) = self.evidence.as_mut() {
            ring.keep_run(&run);
            let all = ring.samples(&run, &self.sensitive.places());
            evidence = ring.hand_over(&all, |k| known_id(&names, k));
            (samples, missed) = (ring.untold(all), ring.take_missed());
        }
        Some(Found { run, openapi: self.discovery.openapi(), evidence, samples, missed })
    }

    /// Forgets these wherever a run remembers who did something.
    pub(crate) fn forget(&mut self, all: &[Forget]) {
        let names: Vec<Name> = all.iter().filter_map(|f| Name::of(f.kind, &f.value)).collect();
        // What is held was done before: it is counted for endpoints, not for them.
        for item in &mut self.held {
            let of_them = item.bots.as_deref().is_some_and(|o| names.iter().any(|name| name.is_in(o)));
            if of_them {
                item.bots = None;
            }
            if let Some(whole) = &mut item.whole
                && whole.line.as_ref().is_some_and(|(line, _)| all.iter().any(|f| f.is_in(line)))
            {
                (whole.line, whole.seen) = (None, None);
            }
        }
        if let Some(ring) = &mut self.evidence {
            ring.forget(all);
        }
        if let Some(judge) = &self.judge {
            judge.forget(names);
        }
    }

    /// Outputs that cannot be written any more, each once.
    pub(crate) fn broken(&mut self) -> Vec<String> {
        let spool = self.spool.as_mut().and_then(Spool::broken);
        let flagged = self.flagged.as_mut().and_then(|f| f.files.broken());
        spool.into_iter().chain(flagged).collect()
    }

    /// Verdicts that are new or changed since the last call; what they name is kept as evidence.
    pub(crate) fn changed_verdicts(&mut self) -> Vec<VerdictRow> {
        let changed = self.judge.as_ref().map(Judge::changes).unwrap_or_default();
        if let Some(ring) = &mut self.evidence {
            ring.keep_verdicts(&changed);
        }
        if let Some(flagged) = &mut self.flagged {
            flagged.hear(&changed);
        }
        changed
    }

    /// What decisions ask about these campaigns, as they are by now.
    pub(crate) fn campaigns(&self, named: BTreeSet<String>) -> Vec<CampaignGist> {
        self.judge.as_ref().map(|j| j.gists(named)).unwrap_or_default()
    }

    fn judge(&mut self, mut released: Vec<Item>, now: Ts) {
        self.hops.join(&mut released);
        let mut observations = Vec::with_capacity(released.len());
        let mut discovered = Vec::with_capacity(released.len());
        for mut item in released {
            if let Some(endpoint) = &mut item.endpoint {
                self.aliases.resolve(endpoint);
            }
            if let Some(mut seen) = item.bots.take() {
                if let Some(endpoint) = &item.endpoint {
                    seen.endpoint = match seen.operation.take() {
                        Some(operation) => self.operations.of(item.zone.as_str(), endpoint, &operation),
                        None => endpoint.clone(),
                    };
                }
                observations.push(seen);
            }
            if let Some(mut whole) = item.whole.take() {
                self.keep(&item, &mut whole);
                discovered.push(whole);
            }
        }
        let renames = std::mem::take(&mut self.renames);
        if let Some(judge) = &self.judge {
            judge.epoch(now, observations, renames);
        }
        for whole in &discovered {
            whole.discovery.iter().for_each(|o| self.discovery.ingest(o));
        }
        let fresh = self.discovery.end_epoch(now);
        self.rename(fresh);
    }

    fn keep(&mut self, item: &Item, whole: &mut Whole) {
        if let Some(s) = whole.source {
            self.proxies.observe(s.zone, s.ip, s.forwarded, s.agent);
        }
        let mut places = Vec::new();
        if let Some(endpoint) = &item.endpoint {
            let id: (FlowId, u32) = (item.order.flow, item.order.seq);
            if let (Some(calls), Some(seen)) = (&mut self.calls, &whole.discovery) {
                calls.add(endpoint.id, item.order.ts);
                if let Some(operation) = &seen.operation {
                    let named = self.operations.of(item.zone.as_str(), endpoint, operation);
                    calls.add(named.id, item.order.ts);
                }
            }
            if !whole.sightings.is_empty() {
                places = self.sensitive.add(endpoint, item.order.ts, id, &whole.sightings);
            }
            if !whole.attempts.is_empty() {
                self.threats.add(endpoint, &item.zone, item.order.ts, id, &whole.attempts);
            }
        }
        let line = whole.line.take();
        if let (Some(listener), Some((line, _))) = (&self.listener, &line) {
            (listener.0)(line, item.endpoint.as_ref().map(|e| &*e.template));
        }
        if let (Some(spool), Some((line, key))) = (&mut self.spool, &line) {
            spool.push(line, key.as_ref());
        }
        if let (Some(ring), Some((line, key))) = (&mut self.evidence, line) {
            let id = (item.order.flow, item.order.seq);
            ring.push(id, Recent { ts: item.order.ts, head: line, key, seen: whole.seen.take() });
            let endpoint = item.endpoint.as_ref().map_or(0, |e| e.id.0);
            for s in &whole.sightings {
                ring.keep_first(id, what(endpoint, &s.location, u64::from(s.kind.0)));
            }
            for a in &whole.attempts {
                ring.keep_first(id, what(endpoint, a.class(), u64::from(a.rule().0)));
            }
            if let Some(endpoint) = &item.endpoint {
                let rules = ring.rules(&whole.attempts);
                let risks =
                    whole.discovery.as_ref().map(|o| shown(&self.types, o, endpoint, &whole.sightings));
                let risks = risks.into_iter().flatten().map(About::Risk);
                let data = places.into_iter().map(About::Data);
                ring.sample(id, endpoint, rules.into_iter().chain(risks).chain(data));
            }
        }
    }

    fn rename(&mut self, fresh: Vec<(EndpointId, EndpointRef)>) {
        if fresh.is_empty() {
            return;
        }
        self.aliases.extend(&fresh);
        self.sensitive.rename(&fresh);
        self.threats.rename(&fresh);
        if let Some(ring) = &mut self.evidence {
            ring.rename(&fresh);
        }
        if let Some(calls) = &mut self.calls {
            calls.rename(&fresh);
        }
        self.renames.extend(fresh);
    }
}

/// The id of the endpoint in the inventory that a request went to.
pub(crate) fn known_id(names: &sidetap_discovery::Snapshot, k: &LookupKey) -> Option<String> {
    let found = names.find(&k.zone, &k.host, &k.method, &k.path);
    found.known.then(|| found.endpoint.id.to_string())
}

/// How many items, from the last one back, take no more room than `most` of usual size.
fn fitting(items: &[Item], most: usize) -> usize {
    let mut room = most;
    let fits = |item: &&Item| match room.checked_sub(item.weight()) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    items.iter().rev().take_while(fits).count()
}

/// The zones of a run by index, at least one.
pub(crate) fn zones(names: &[String]) -> Arc<[sidetap_model::Zone]> {
    if names.is_empty() {
        return Arc::from([sidetap_model::Zone::default()]);
    }
    names.iter().map(|n| sidetap_model::Zone::new(n)).collect()
}
