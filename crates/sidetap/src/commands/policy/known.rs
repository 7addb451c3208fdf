//! The traffic that policy is asked about: of a run directory, a store or a capture, with who was behind it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sidetap_capture::open_files;
use sidetap_intel::Table as Addresses;
use sidetap_model::rows::RunData;
use sidetap_policy::{
    Attribution, ExchangeLine, History, Known, LineReader, Places, Traffic, TrafficBuilder,
};
use sidetap_store::Store;

use crate::cli::{SourceArgs, TrafficArgs};
use crate::commands::intel;
use crate::commands::prepare::bare_options;
use crate::commands::progress::{Bar, Stop};
use crate::commands::source::Source;
use crate::config::Config;
use crate::hash_key;
use crate::output::warn;

/// What a run found, and its requests where they are there.
pub(super) struct Asked {
    pub(super) run: RunData,
    exchanges: Option<PathBuf>,
    store: Option<PathBuf>,
    span_s: u64,
    addresses: std::sync::Arc<Addresses>,
    /// Goes when this does.
    _scratch: Option<Scratch>,
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
        let run = source.load()?;
        let exchanges = source.directory().map(|d| d.join("exchanges.ndjson")).filter(|f| f.is_file());
        let store = source.store().map(Path::to_owned);
        let span_s = config.policy.measured_span;
        Ok(Asked { run, exchanges, store, span_s, addresses, _scratch: None })
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
    pub(super) fn known(&self) -> Result<Known> {
        let places = Places::of(&self.run.endpoints);
        let mut known = Known { places, history: History::default(), traffic: None };
        if self.exchanges.is_some() {
            known.traffic = Some(self.traffic()?);
        } else if let Some(file) = &self.store {
            known.traffic = stored(file, self.span_s, None);
        }
        Ok(known)
    }

    fn traffic(&self) -> Result<Traffic> {
        let attribution = Attribution::of(&self.run.verdicts);
        let mut builder = TrafficBuilder::default();
        self.each(|line, n| {
            let (behind, campaign) = attribution.behind(&line.seen);
            builder.add(line.seen, behind, campaign, n, line.ts);
            Ok(())
        })?;
        Ok(builder.build())
    }

    /// Goes through all requests in the order of their times; later hops of one are left out.
    ///
    /// Of a store they come in cells, spread over the time from the first to the last one of each.
    pub(super) fn each(&self, mut take: impl FnMut(ExchangeLine, u64) -> Result<()>) -> Result<()> {
        let Some(path) = &self.exchanges else { return self.each_cell(take) };
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut reader = LineReader::new(&self.run.endpoints);
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

    fn each_cell(&self, mut take: impl FnMut(ExchangeLine, u64) -> Result<()>) -> Result<()> {
        let Some(file) = &self.store else { return Ok(()) };
        let mut reader = LineReader::default();
        for (run, row) in Store::open_read_only(file)?.cells(self.span_s)? {
            let Some(seen) = reader.cell(&row.cell) else { continue };
            let steps = row.requests.clamp(1, STEPS);
            let span = row.last.since(row.first).max(0);
            for step in 0..steps {
                let share = row.requests / steps + u64::from(step < row.requests % steps);
                let ts = row.first.plus(span / steps as i64 * step as i64);
                let (id, path) = (run.clone(), seen.path.clone());
                take(ExchangeLine { id, ts, seen: seen.clone(), path, later_hop: false, port: 0 }, share)?;
            }
        }
        Ok(())
    }
}

/// Moments that the requests of a cell are spread over at most.
const STEPS: u64 = 16;

fn analyse(args: &TrafficArgs, config: &mut Config, addresses: std::sync::Arc<Addresses>) -> Result<Asked> {
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
    let run = outcome?.run;
    Ok(Asked { run, exchanges: Some(exchanges), store: None, span_s: 0, addresses, _scratch: Some(scratch) })
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

/// The traffic that a store holds, with who was behind it by the verdicts of its runs; none where it holds none. Of one run the
/// verdicts may be newer than those in the store.
pub(super) fn stored(file: &Path, span_s: u64, newer: Option<(&str, &RunData)>) -> Option<Traffic> {
    match read_stored(file, span_s, newer) {
        Ok(traffic) => traffic,
        Err(e) => {
            warn(&format!("the traffic in {} cannot be read: {e:#}", file.display()));
            None
        }
    }
}

fn read_stored(file: &Path, span_s: u64, newer: Option<(&str, &RunData)>) -> Result<Option<Traffic>> {
    let store = Store::open_read_only(file)?;
    let cells = store.cells(span_s)?;
    if cells.is_empty() {
        return Ok(None);
    }
    let mut attributions: BTreeMap<String, Attribution> = BTreeMap::new();
    if let Some((id, run)) = newer {
        attributions.insert(id.to_owned(), Attribution::of_decided(&run.verdicts));
    }
    let mut builder = TrafficBuilder::default();
    let mut reader = LineReader::default();
    for (run, row) in cells {
        let attribution = match attributions.entry(run) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(fresh) => {
                let verdicts = store.verdicts_of(fresh.key())?;
                fresh.insert(Attribution::of_decided(&verdicts))
            }
        };
        let Some(seen) = reader.cell(&row.cell) else { continue };
        let (behind, campaign) = attribution.behind(&seen);
        builder.add(seen, behind, campaign, row.requests, row.last);
    }
    Ok(Some(builder.build()))
}
