use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use sidetap_capture::{DecodeOptions, Decoder, DefragLimits, FlowLimits, Source};
use sidetap_model::Ts;
use sidetap_model::rows::{Counts, ExchangeCounts, InputSummary, NotWritten, RunData, Summary};

use crate::accounting::{Tally, add};
use crate::analysis::Analyzer;
use crate::coordinator::{self, Coordinator, known_id};
use crate::evidence::EvidenceRing;
use crate::flagged::{Flagged, Ring, Saved};
use crate::item::Item;
use crate::judge::Judge;
use crate::options::{Changed, Hooks, Options, Outcome, PipelineError, Progress};
use crate::reader::{Reader, ReaderCounts, ReaderView};
use crate::snapshot::Snapshots;
use crate::state::{Clock, State};
use crate::worker::{Part, Worker};

/// Batches that may wait for each worker live: room for what comes at once. A batch holds at most a quarter of a MiB and a segment.
const LIVE_QUEUE: usize = 32;
/// Batches that may wait for all workers of a replay, two to six for each: a file waits, and what lies less long is nearer when a
/// worker comes to it.
const QUEUED: usize = 16;

/// Takes a source to its end (or until [`Hooks::stop`]) and gives what was found.
///
/// Replay waits where a queue is full and loses nothing; live sheds and counts. Errors of inputs are in the summary, not in the result.
pub fn run(
    source: &mut (dyn Source + Send),
    options: &Options,
    hooks: &mut dyn Hooks,
) -> Result<Outcome, PipelineError> {
    run_readers(&mut [source], options, hooks)
}

/// Takes several sources to their ends at once, each read by a thread of its own: the shares of a fan-out. Packets go to the
/// shard of their innermost flow, whichever reader had them. What comes out depends on the order in which readers are faster, so this is
/// for live sources.
pub fn run_readers(
    sources: &mut [&mut (dyn Source + Send)],
    options: &Options,
    hooks: &mut dyn Hooks,
) -> Result<Outcome, PipelineError> {
    let mut coordinator = prepare(options)?;
    let snapshots = Arc::new(Snapshots::default());
    snapshots.publish(0, coordinator.world());
    let view = ReaderView { epoch: AtomicU64::new(1), ..ReaderView::default() };
    let exchanges = Arc::new(AtomicU64::new(0));
    let workers = options.workers.max(1);
    let (read, tally, bots) = std::thread::scope(|scope| {
        let closer = CloseOnDrop(&snapshots);
        let (parts_tx, parts_rx) = bounded(workers * 2);
        let queue = if options.live { LIVE_QUEUE } else { (QUEUED / workers).clamp(2, 6) };
        let (recycle_tx, recycle_rx) = bounded(workers * queue);
        let mut inputs = Vec::new();
        let mut handles = Vec::new();
        for index in 0..workers {
            let (tx, rx) = bounded(queue);
            inputs.push(tx);
            let worker = Worker {
                index,
                of: workers,
                input: rx,
                parts: parts_tx.clone(),
                recycle: recycle_tx.clone(),
                limits: FlowLimits::for_memory(options.memory_limit * 2 / 5),
                zones: coordinator::zones(&options.zones),
                analyzer: Analyzer::new(options),
                snapshots: snapshots.clone(),
                exchanges: exchanges.clone(),
                ring: options.flagged.as_ref().map(Flagged::ring_of),
                counts: options.live,
            };
            let name = format!("sidetap-worker-{index}");
            handles.push(std::thread::Builder::new().name(name).spawn_scoped(scope, move || worker.run())?);
        }
        drop((parts_tx, recycle_tx));
        let readers: Vec<_> = sources
            .iter_mut()
            .enumerate()
            .map(|(index, source)| {
                let reader = Reader {
                    source: &mut **source,
                    decoder: Decoder::new(decode_options(options)),
                    workers: inputs.clone(),
                    recycled: recycle_rx.clone(),
                    live: options.live,
                    epoch_segments: Reader::epoch_segments(options.memory_limit),
                    frames: options.flagged.is_some(),
                    view: &view,
                };
                let name = format!("sidetap-reader-{index}");
                std::thread::Builder::new().name(name).spawn_scoped(scope, move || reader.run())
            })
            .collect::<Result<_, _>>()?;
        drop((inputs, recycle_rx));
        let last =
            coordinate(&parts_rx, workers, &mut coordinator, &snapshots, &view, &exchanges, options, hooks);
        drop(closer);
        let mut read = ReaderCounts::default();
        for reader in readers {
            read.merge(join(reader, "reader")?);
        }
        let mut tally = Tally::default();
        for handle in handles {
            tally.merge(join(handle, "worker")?.ok_or(PipelineError::Died("coordinator"))?);
        }
        let last = last?;
        let until = last.now;
        let bots = coordinator.finish(last.items, last.now)?;
        if let Some(flagged) = &mut coordinator.flagged {
            let zones = coordinator::zones(&options.zones);
            flagged.finish(last.rings, &bots.verdicts(), &zones, last.now);
        }
        coordinator.learned = Some(until);
        Ok::<_, PipelineError>((read, tally, bots))
    })?;
    Ok(outcome(inputs_of(sources), options, coordinator, &bots, read, tally))
}

fn prepare(options: &Options) -> Result<Coordinator, PipelineError> {
    let mut discovery = sidetap_discovery::Engine::new(discovery_config(options), options.hash_key.clone())
        .with_specs(options.specs.clone())
        .with_shapes(options.shapes.clone());
    let mut bots_config = options.bots.clone();
    bots_config.set_memory(options.memory_limit * 3 / 10);
    let mut bots = sidetap_bots::Engine::new(bots_config, options.hash_key.clone());
    let mut learned_until = None;
    if let Some(bytes) = &options.state {
        let state = State::read(bytes)?;
        learned_until = Some(state.until);
        discovery.import_state(&state.discovery).map_err(|e| PipelineError::State(e.to_string()))?;
        bots.import_state(&state.bots).map_err(|e| PipelineError::State(e.to_string()))?;
    }
    if options.live {
        bots.tell_again();
    }
    let mut coordinator = Coordinator::new(options, discovery, Judge::start(bots)?);
    coordinator.learned_until = learned_until;
    Ok(coordinator)
}

fn decode_options(options: &Options) -> DecodeOptions {
    DecodeOptions {
        defrag: DefragLimits::for_memory(options.memory_limit),
        seed: options.hash_key.hash64("packet", &[]),
        ..options.decode.clone()
    }
}

/// Discovery's caps, scaled down where a fifth of the memory limit is less than its defaults take (about 100 MiB).
fn discovery_config(options: &Options) -> sidetap_discovery::Config {
    let full = sidetap_discovery::Config::default();
    let share = (options.memory_limit / 5).min(100 << 20);
    let scaled = |n: usize| ((n as u64 * share) / (100 << 20)).max(64) as usize;
    sidetap_discovery::Config {
        max_hosts: scaled(full.max_hosts),
        max_nodes_per_host: scaled(full.max_nodes_per_host as usize) as u32,
        max_nodes: scaled(full.max_nodes as usize) as u32,
        max_values_per_host: scaled(full.max_values_per_host),
        max_values: scaled(full.max_values),
        max_unproven_per_host: scaled(full.max_unproven_per_host),
        max_sources: scaled(full.max_sources),
        ..full
    }
}

/// Closes epochs as the workers' parts come in; gives the items of the last one with its time.
#[allow(clippy::too_many_arguments)]
fn coordinate(
    parts: &Receiver<Part>,
    workers: usize,
    coordinator: &mut Coordinator,
    snapshots: &Snapshots,
    view: &ReaderView,
    exchanges: &AtomicU64,
    options: &Options,
    hooks: &mut dyn Hooks,
) -> Result<Rest, PipelineError> {
    let mut waiting: BTreeMap<u64, (usize, Ts, Vec<Item>, Vec<Saved>)> = BTreeMap::new();
    let mut rest = Rest::default();
    let mut saved_last = Vec::new();
    let mut ended: Vec<u64> = Vec::new();
    let mut refused = None;
    let mut kept = Clock::of_state(options);
    let mut found = Clock::of_found(options);
    loop {
        let part = match parts.recv_timeout(Duration::from_millis(200)) {
            Ok(part) => Some(part),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        hooks.progress(&Progress {
            packets: view.packets.load(Relaxed),
            bytes_read: view.bytes_read.load(Relaxed),
            bytes_total: Some(view.bytes_total.load(Relaxed)).filter(|n| *n > 0),
            exchanges: exchanges.load(Relaxed),
            kernel_dropped: view.kernel_dropped.load(Relaxed),
            shed: view.shed.load(Relaxed),
            now: Some(Ts(view.now.load(Relaxed))).filter(|t| t.0 != 0),
        });
        view.take_news().iter().for_each(|line| hooks.news(line));
        if hooks.stop() {
            view.stop.store(true, Relaxed);
        }
        if options.live {
            let who = hooks.to_forget();
            if !who.is_empty() {
                coordinator.forget(&who);
                hooks.forgot();
            }
        }
        let Some(part) = part else { continue };
        if let Some(until) = coordinator.learned_until.take() {
            refused = State::stale(until, part.now, options);
            view.stop.fetch_or(refused.is_some(), Relaxed);
        }
        if let Some(tally) = part.tally {
            coordinator.tallies.insert(part.worker, tally);
        }
        if part.last {
            ended.push(part.epoch);
            rest.rings.extend(part.rings);
        }
        let slot = waiting.entry(part.epoch).or_insert((0, part.now, Vec::new(), Vec::new()));
        slot.0 += 1;
        slot.1 = slot.1.max(part.now);
        slot.2.extend(part.items);
        slot.3.extend(part.saved);
        // Who ended before has no part in an epoch.
        while let Some((epoch, (given, ..))) = waiting.first_key_value()
            && given + ended.iter().filter(|at| *at < epoch).count() == workers
        {
            let Some((epoch, (_, now, items, saved))) = waiting.pop_first() else { break };
            if ended.len() == workers && waiting.is_empty() {
                rest.now = rest.now.max(now);
                rest.items = items;
                saved_last = saved;
                break;
            }
            rest.now = now;
            coordinator.end_epoch(items, now);
            hooks.judged();
            // Workers wait for whom verdicts convict only where they save his packets.
            let flags = options.flagged.is_some();
            let mut changed = if flags { coordinator.changed_verdicts() } else { Vec::new() };
            snapshots.publish(epoch, coordinator.world());
            if !flags && (options.live || options.evidence) {
                changed = coordinator.changed_verdicts();
            }
            if let Some(flagged) = &mut coordinator.flagged {
                flagged.files.write(saved, now);
            }
            coordinator.broken().iter().for_each(|line| hooks.news(line));
            if found.is_due(now)
                && hooks.wants_found()
                && let Some(so_far) = coordinator.found()
            {
                hooks.found(now, so_far);
            }
            if kept.is_due(now)
                && let Some(bytes) = coordinator.state(now)
            {
                hooks.state(bytes);
            }
            if options.live && !changed.is_empty() {
                let changed = Changed::of(changed, hooks, |named| coordinator.campaigns(named));
                hooks.verdicts(now, changed);
            }
        }
    }
    if let Some(flagged) = &mut coordinator.flagged {
        flagged.files.write(saved_last, rest.now);
    }
    refused.map_or(Ok(rest), Err)
}

/// What workers had at the end of the input.
#[derive(Default)]
struct Rest {
    items: Vec<Item>,
    now: Ts,
    rings: Vec<Ring>,
}

fn join<T>(handle: ScopedJoinHandle<'_, T>, what: &'static str) -> Result<T, PipelineError> {
    handle.join().map_err(|_| PipelineError::Died(what))
}

/// Lets waiting workers go when the coordinator leaves, however it leaves.
struct CloseOnDrop<'a>(&'a Snapshots);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The inputs of all readers; those that share one are one.
fn inputs_of(sources: &[&mut (dyn Source + Send)]) -> Vec<InputSummary> {
    let mut all: Vec<InputSummary> = Vec::new();
    for (reader, source) in sources.iter().enumerate() {
        for (at, input) in source.inputs().into_iter().enumerate() {
            let Some(known) = all.get_mut(at).filter(|k| reader > 0 && k.path == input.path) else {
                all.push(input);
                continue;
            };
            known.packets += input.packets;
            known.bytes += input.bytes;
            known.first_ts = known.first_ts.into_iter().chain(input.first_ts).min();
            known.last_ts = known.last_ts.max(input.last_ts);
        }
    }
    all
}

fn outcome(
    inputs: Vec<InputSummary>,
    options: &Options,
    mut c: Coordinator,
    bots: &sidetap_bots::Engine,
    read: ReaderCounts,
    tally: Tally,
) -> Outcome {
    let mut out = Outcome::default();
    if let Some(spool) = c.spool.take() {
        let names = c.discovery.snapshot();
        let written = spool.finish(|k| known_id(&names, k));
        if let Err((path, e)) = written {
            out.write_errors.push(NotWritten::new(path.display(), e));
        }
    }
    out.write_errors.extend(c.flagged.as_ref().and_then(|f| f.files.failure()));
    let mut run = RunData { traffic: bots.traffic(), ..RunData::default() };
    if options.analysis {
        run.sensitive = c.sensitive.rows();
        run.endpoints = c.discovery.rows(&run.sensitive, &bots.roles());
        let mut callers = bots.callers();
        for row in &mut run.endpoints {
            if let Some(of) = callers.remove(&row.id) {
                row.callers.countries = of.countries;
                row.callers.organizations = of.organizations;
            }
        }
        run.findings = c.threats.rows();
        run.findings.extend(c.discovery.risks(&run.sensitive));
        sidetap_discovery::add_exploits(&mut run.endpoints, &run.findings);
        run.campaigns = bots.campaigns();
        run.verdicts = bots.verdicts();
        out.openapi = c.discovery.openapi();
    }
    if let Some(ring) = &mut c.evidence {
        ring.keep_run(&run);
        let names = c.discovery.snapshot();
        out.samples = ring.samples(&run, &c.sensitive.places());
        out.evidence = ring.take(&out.samples, |k| known_id(&names, k));
        out.missed = ring.take_missed();
    }
    out.calls = c.calls.take().map(|mut calls| calls.take()).unwrap_or_default();
    if options.keep_state {
        let (discovery, bots) = (c.discovery.export_state(), bots.export_state());
        out.state = Some(State { until: c.learned.unwrap_or_default(), discovery, bots }.write());
    }
    out.learned_proxies = c.proxies.end_epoch().iter().map(|(_, ip)| *ip).collect();
    out.learned_proxies.sort_unstable();
    let interrupted = read.interrupted;
    run.summary = summary(inputs, options, &c, bots, read, tally, &run);
    if interrupted && !options.live {
        for input in run.summary.inputs.iter_mut().filter(|i| i.error.is_none()) {
            input.error =
                Some(format!("interrupted after {} packets; what follows was not read", input.packets));
        }
    }
    out.run = run;
    out
}

fn summary(
    inputs: Vec<InputSummary>,
    options: &Options,
    c: &Coordinator,
    bots: &sidetap_bots::Engine,
    read: ReaderCounts,
    tally: Tally,
    run: &RunData,
) -> Summary {
    let mut evictions = tally.evictions.clone();
    add(&mut evictions, c.discovery.evictions());
    add(&mut evictions, bots.evictions());
    let own = [
        ("sensitive", c.sensitive.refused()),
        ("threats", c.threats.evicted()),
        ("proxy-candidates", c.proxies.refused),
        ("endpoint-aliases", c.aliases.refused),
        ("hops", c.hops.evicted),
        ("items-hurried", c.hurried_items),
        ("evidence-samples", c.evidence.as_ref().map_or(0, EvidenceRing::refused)),
        ("evidence-spares", c.evidence.as_ref().map_or(0, EvidenceRing::left_out)),
    ];
    let mut clock = BTreeMap::from([("exchanges-late".to_owned(), c.late_items)]);
    read.clock.iter().for_each(|(name, n)| *clock.entry((*name).to_owned()).or_default() += n);
    clock.retain(|_, n| *n > 0);
    let flagged = c.flagged.as_ref().map(Flagged::left_out).into_iter().flatten();
    add(&mut evictions, flagged.map(|(k, n)| (k.to_owned(), n)).collect());
    add(&mut evictions, own.into_iter().map(|(k, n)| (k.to_owned(), n)).collect());
    add(&mut evictions, read.evictions);
    evictions.retain(|_, n| *n > 0);
    Summary {
        version: env!("CARGO_PKG_VERSION").into(),
        inputs,
        packets: read.packets,
        exchanges: ExchangeCounts { later_hops: c.hops.joined, ..tally.exchange_counts() },
        anomalies: tally.anomaly_codes(),
        counts: Counts {
            endpoints: run.endpoints.len() as u64,
            sensitive: run.sensitive.len() as u64,
            findings: run.findings.len() as u64,
            campaigns: run.campaigns.len() as u64,
            verdicts: run.verdicts.len() as u64,
        },
        evictions,
        clock,
        streams: tally.streams,
        attributions: options.bots.table.attributions(),
        workers: options.workers.max(1),
        wall_ms: 0,
        peak_rss_bytes: 0,
        not_written: Vec::new(),
    }
}
