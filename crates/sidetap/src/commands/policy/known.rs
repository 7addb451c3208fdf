//! The traffic that policy is asked about: of a run directory, a store or a capture, with who was behind it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sidetap_capture::open_files;
use sidetap_intel::Table as Addresses;
use sidetap_model::rows::{RunData, VerdictRow};
use sidetap_policy::{
    Attribution, Behind, Campaigns, ExchangeLine, History, Known, LineReader, Places, Sieve, Traffic,
    TrafficBuilder,
};
use sidetap_store::{Store, StoreError};

use super::times::Times;
use crate::cli::{SourceArgs, TrafficArgs};
use crate::clock;
use crate::commands::intel;
use crate::commands::prepare::bare_options;
use crate::commands::progress::{Bar, Stop};
use crate::commands::source::Source;
use crate::config::Config;
use crate::hash_key;
use crate::output::{load_run, warn};

/// What a run found, and its requests where they are there.
pub(super) struct Asked {
    found: Found,
    exchanges: Option<PathBuf>,
    span_s: u64,
    addresses: Arc<Addresses>,
    /// Goes when this does.
    _scratch: Option<Scratch>,
}

/// What was found: of a run at hand, of a store to be gone through.
enum Found {
    Run(Box<RunData>),
    Store(PathBuf),
}

/// A directory that is removed with what is in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Asked {
    /// Reads what is named, or analyses the captures that are.
    pub(super) fn of(source: &SourceArgs, args: &TrafficArgs, config: &mut Config) -> Result<Self> {
        let addresses = intel::table(config)?;
        if !args.capture.is_empty() {
            return analyse(args, config, addresses);
        }
        let source = Source::of(source, config)?;
        let exchanges = source.directory().map(|d| d.join("exchanges.ndjson")).filter(|f| f.is_file());
        let found = match &source {
            Source::Directory(dir) => Found::Run(Box::new(load_run(dir)?)),
            Source::Store(file) => {
                drop(Store::open_read_only(file)?);
                Found::Store(file.clone())
            }
        };
        Ok(Asked { found, exchanges, span_s: config.policy.measured_span, addresses, _scratch: None })
    }

    /// All campaigns, as far as decisions ask about them.
    pub(super) fn campaigns(&self) -> Result<Campaigns> {
        match &self.found {
            Found::Run(run) => Ok(run.campaigns.iter().cloned().collect()),
            Found::Store(file) => Ok(campaigns_in(&Store::open_read_only(file)?)?),
        }
    }

    /// Goes through all verdicts, in parts.
    pub(super) fn each_verdicts(&self, mut take: impl FnMut(Vec<VerdictRow>) -> Result<()>) -> Result<()> {
        match &self.found {
            Found::Run(run) => take(run.verdicts.clone()),
            Found::Store(file) => Store::open_read_only(file)?.each_verdicts(take),
        }
    }

    /// The addresses and tokens that stored requests had; of a run at hand nothing is left out.
    pub(super) fn sieve(&self) -> Result<Option<Arc<Sieve>>> {
        match &self.found {
            Found::Run(_) => Ok(None),
            Found::Store(file) => Ok(Some(Arc::new(sieve_of(&Store::open_read_only(file)?, self.span_s)?))),
        }
    }

    /// Whether there are requests to go through.
    pub(super) fn has_requests(&self, known: &Known) -> bool {
        self.exchanges.is_some() || known.traffic.is_some()
    }

    /// Whether their times are those of cells, and not of each.
    pub(super) fn is_rough(&self) -> bool {
        self.exchanges.is_none()
    }

    /// What is known around its verdicts: traffic in cells, where there is some.
    pub(super) fn known(&self, sieve: Option<&Sieve>) -> Result<Known> {
        let (places, traffic) = match &self.found {
            Found::Run(run) => {
                let traffic = self.exchanges.is_some().then(|| self.traffic(run)).transpose()?;
                (Places::of(&run.endpoints), traffic)
            }
            Found::Store(file) => {
                let places = places_in(&Store::open_read_only(file)?)?;
                (places, stored(file, self.span_s, None, sieve))
            }
        };
        Ok(Known { places, history: History::default(), traffic })
    }

    fn traffic(&self, run: &RunData) -> Result<Traffic> {
        let attribution = Attribution::of(&run.verdicts);
        let mut builder = TrafficBuilder::default();
        self.each(|line, n| {
            builder.add_by(line.seen, &attribution, n, line.ts);
            Ok(())
        })?;
        Ok(builder.build())
    }

    /// Goes through all requests, of a run in the order of their times; later hops of one are left out.
    ///
    /// Of a store they come in cells, the newest first, spread over the time from the first to the last one of each.
    pub(super) fn each(&self, mut take: impl FnMut(ExchangeLine, u64) -> Result<()>) -> Result<()> {
        let (Some(path), Found::Run(run)) = (&self.exchanges, &self.found) else {
            return self.each_cell(take);
        };
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut reader = LineReader::new(&run.endpoints);
        for line in BufReader::with_capacity(1 << 18, file).lines() {
            let line = line.with_context(|| format!("cannot read {}", path.display()))?;
            let Some(mut line) = reader.read(&line).filter(|l| !l.later_hop) else { continue };
            let origin = self.addresses.origin(line.seen.ip, line.ts);
            line.seen.country = origin.country().map(|c| reader.text(c));
            line.seen.network = Some(origin.asn).filter(|n| *n != 0);
            take(line, 1)?;
        }
        Ok(())
    }

    fn each_cell(&self, take: impl FnMut(ExchangeLine, u64) -> Result<()>) -> Result<()> {
        let Found::Store(file) = &self.found else { return Ok(()) };
        each_request(&Store::open_read_only(file)?, self.span_s, take)
    }
}

/// Goes through the requests of a store, in cells that are spread over the time from the first to the last request of each.
pub(crate) fn each_request<E: From<StoreError>>(
    store: &Store,
    span_s: u64,
    mut take: impl FnMut(ExchangeLine, u64) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = LineReader::default();
    store.each_cell(span_s, |run, row| {
        let Some(seen) = reader.cell(&row.cell) else { return Ok(()) };
        let steps = row.requests.clamp(1, STEPS);
        let span = row.last.since(row.first).max(0);
        for step in 0..steps {
            let share = row.requests / steps + u64::from(step < row.requests % steps);
            let ts = row.first.plus(span / steps as i64 * step as i64);
            let (id, path) = (run.to_owned(), seen.path.clone());
            take(ExchangeLine { id, ts, seen: seen.clone(), path, later_hop: false, port: 0 }, share)?;
        }
        Ok(())
    })
}

/// Moments that the requests of a cell are spread over at most.
const STEPS: u64 = 16;

fn analyse(args: &TrafficArgs, config: &mut Config, addresses: Arc<Addresses>) -> Result<Asked> {
    if !args.trusted_proxies.is_empty() {
        config.analysis.trusted_proxies.clone_from(&args.trusted_proxies);
    }
    let named = args.hash_key.as_deref().or(config.analysis.hash_key.as_deref());
    let key = hash_key::load_or_make(named)?;
    let scratch = scratch()?;
    let exchanges = scratch.0.join("exchanges.ndjson");
    let options = sidetap_pipeline::Options {
        analysis: true,
        trusted_proxies: config.analysis.trusted_proxies.clone(),
        client_headers: config.analysis.client_headers.clone(),
        exchanges: Some(exchanges.clone()),
        ..bare_options(config, key)?
    };
    let mut source = open_files(&args.capture)?;
    let mut bar = Bar::new(Stop::on_signals()?);
    let outcome = sidetap_pipeline::run(&mut source, &options, &mut bar);
    bar.clear();
    let found = Found::Run(Box::new(outcome?.run));
    Ok(Asked { found, exchanges: Some(exchanges), span_s: 0, addresses, _scratch: Some(scratch) })
}

/// A directory of its own that nobody else can read.
fn scratch() -> Result<Scratch> {
    use std::os::unix::fs::DirBuilderExt;
    let base = std::env::temp_dir();
    let name = |n: u32| base.join(format!("sidetap-simulate-{}-{n}", std::process::id()));
    let make = |path: &Path| std::fs::DirBuilder::new().mode(0o700).create(path);
    let made = (0..100).map(name).find_map(|path| make(&path).ok().map(|()| path));
    made.map(Scratch).with_context(|| format!("cannot make a directory in {}", base.display()))
}

/// Which endpoints of a store have which role and channel.
pub(super) fn places_in(store: &Store) -> Result<Places> {
    let mut places = Places::default();
    store.each_endpoints(|part| {
        part.iter().for_each(|e| places.add(e));
        Ok::<(), StoreError>(())
    })?;
    Ok(places)
}

/// The campaigns of a store, as far as decisions ask about them.
pub(crate) fn campaigns_in(store: &Store) -> Result<Campaigns, StoreError> {
    let mut campaigns = Campaigns::default();
    store.each_campaigns(|part| {
        part.into_iter().for_each(|c| campaigns.add(c));
        Ok::<(), StoreError>(())
    })?;
    Ok(campaigns)
}

/// Who was acted against in other runs than this one.
pub(super) fn history_in(store: &Store, run: &str) -> Result<History, StoreError> {
    let times = Times::of(store)?;
    let mut kept = Vec::new();
    let mut history = History::of_parts(|take| {
        store.each_verdicts_of_others(run, |part| {
            for v in &part {
                take(v);
                kept.extend(times.get(&v.id).map(|times| (v.zone.clone(), v.subject.clone(), times)));
            }
            Ok::<(), StoreError>(())
        })
    })?;
    kept.iter().for_each(|(zone, subject, times)| history.restore(zone, subject, times));
    Ok(history)
}

/// The addresses and tokens that the stored requests of that time had.
pub(super) fn sieve_of(store: &Store, span_s: u64) -> Result<Sieve> {
    let (mut sieve, mut reader) = (Sieve::default(), LineReader::default());
    store.each_cell(span_s, |_, row| {
        if let Some(seen) = reader.cell(&row.cell) {
            sieve.add(&seen);
        }
        Ok::<(), StoreError>(())
    })?;
    Ok(sieve)
}

/// The traffic that a store holds, with who was behind it by the verdicts of its runs; none where it holds none. Of one run the
/// verdicts may be newer than those in the store. With a sieve of the same traffic, verdicts that it lets go are not kept meanwhile.
pub(super) fn stored(
    file: &Path,
    span_s: u64,
    newer: Option<(&str, &RunData)>,
    sieve: Option<&Sieve>,
) -> Option<Traffic> {
    match read_stored(file, span_s, newer, sieve) {
        Ok(traffic) => traffic,
        Err(e) => {
            warn(&format!("the traffic in {} cannot be read: {e:#}", file.display()));
            None
        }
    }
}

/// Whoever began so many nanoseconds ago and is not convicted may yet be: before, he does not count as good. Else the first requests of
/// a swarm with one tool would hold the block on those of it who are convicted.
const UNSETTLED: i64 = 60_000_000_000;

fn read_stored(
    file: &Path,
    span_s: u64,
    newer: Option<(&str, &RunData)>,
    sieve: Option<&Sieve>,
) -> Result<Option<Traffic>> {
    let store = Store::open_read_only(file)?;
    let mut builder = TrafficBuilder::default();
    let mut reader = LineReader::default();
    // Cells come run by run: of one run at a time it is known who was behind them.
    let mut of: Option<(String, Attribution)> = None;
    let settled = clock::now().plus(UNSETTLED.saturating_neg());
    store.each_cell(span_s, |run, row| {
        let attribution = match of.take().filter(|(known, _)| known == run) {
            Some((_, attribution)) => attribution,
            None => attribution_of(&store, run, newer, sieve)?,
        };
        if let Some(seen) = reader.cell(&row.cell)
            && (row.first <= settled || attribution.behind(&seen).0 != Behind::Good)
        {
            builder.add_by(seen, &attribution, row.requests, row.last);
        }
        of = Some((run.to_owned(), attribution));
        Ok::<(), StoreError>(())
    })?;
    Ok(of.map(|_| builder.build()))
}

fn attribution_of(
    store: &Store,
    run: &str,
    newer: Option<(&str, &RunData)>,
    sieve: Option<&Sieve>,
) -> Result<Attribution, StoreError> {
    if let Some((_, found)) = newer.filter(|(id, _)| *id == run) {
        return Ok(Attribution::of_decided(&found.verdicts));
    }
    let mut attribution = Attribution::default();
    store.each_verdict_of(run, |v| attribution.add_decided(&v, sieve))?;
    Ok(attribution)
}

#[cfg(test)]
mod tests {
    use sidetap_model::Ts;
    use sidetap_store::CellRow;

    use super::*;

    #[test]
    fn who_came_a_moment_ago_is_not_good_yet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let mut store = Store::open(&path).unwrap();
        let before = |s: i64| clock::now().plus(s * -1_000_000_000);
        let cell = |ip: &str, first: i64, requests: u64| {
            let text = format!(
                r#"{{"z":"default","i":"{ip}","h":"shop.example","m":"GET","p":"/","a":"x","f":[],"s":[],"u":null,"k":null,"c":null,"n":null}}"#
            );
            assert!(LineReader::default().cell(&text).is_some(), "{text}");
            let (first, last) = (before(first), before(1));
            CellRow {
                hour: Ts(first.0 - first.0.rem_euclid(3_600_000_000_000)),
                cell: text,
                requests,
                first,
                last,
            }
        };
        store.add_cells("live", &[cell("192.0.2.1", 90, 5), cell("192.0.2.2", 30, 7)]).unwrap();
        let good = |found: &RunData| stored(&path, 3_600, Some(("live", found)), None).unwrap().good();
        assert_eq!(good(&RunData::default()), 5);
        let mut v = crate::report::fixture::run().verdicts.remove(0);
        v.subject.value = "192.0.2.2".to_owned();
        (v.zone, v.client_ips, v.intent) =
            ("default".to_owned(), vec!["192.0.2.2".parse().unwrap()], "malicious".to_owned());
        let found = RunData { verdicts: vec![v], ..RunData::default() };
        let traffic = stored(&path, 3_600, Some(("live", &found)), None).unwrap();
        assert_eq!((traffic.good(), traffic.cells().len()), (5, 2), "who is convicted is told at once");
    }
}
