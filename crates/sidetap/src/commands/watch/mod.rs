//! `sidetap watch`: a mirror port, live, with verdicts to store and devices as they come.

mod act;
mod batch;
mod deeds;
mod devices;
mod enforce;
mod failing;
mod forget;
mod hooks;
mod keep;
mod look;
mod pending;
mod rights;
mod tend;
mod view;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use sidetap_capture::{Source, open_live_readers};
use sidetap_console::LiveStats;
use sidetap_model::Ts;
use sidetap_model::rows::{InputSummary, Summary};
use sidetap_store::run_id;

pub(crate) use self::act::act;
use self::deeds::Deeds;
use self::enforce::{Actors, Enforcement};
use self::forget::Forgetting;
use self::hooks::LiveHooks;
use self::keep::Keeping;
use super::doctor::live_options;
use super::finish::{Answer, finish};
use super::mitigation::warn_of_operator;
use super::prepare::{Asked, plan, rings};
use super::progress::Stop;
use super::serve::Bound;
use crate::cli::{ActArgs, GlobalArgs, WatchArgs};
use crate::clock;
use crate::config::{self, Config, reachable};
use crate::exit::{Status, Usage};
use crate::output::{Terminal, warn};
use crate::report::Devices;

/// Watches until a signal, or for the time asked.
pub(crate) fn run(global: &GlobalArgs, args: &WatchArgs) -> Result<Status> {
    let mut config = config::load(global.config.as_deref())?;
    overlay(args, &mut config);
    let interfaces = interfaces(args, &config)?;
    let listen = listen(args, &config)?;
    let threads = config.capture.fanout;
    let how = if args.live.ring.is_some() { Asked::Now } else { Asked::InFile };
    rings(&mut config, args.analysis.memory_limit, (interfaces.len(), threads), how)?;
    let mut plan = plan(&args.analysis, &mut config)?;
    plan.options.live = true;
    if args.enforce {
        plan.devices = Devices::Changed;
        warn_of_operator(&config);
    }
    let filter = Some(config.capture.filter.as_str()).filter(|f| !f.is_empty());
    let mut sources = open_live_readers(&interfaces, filter, &live_options(&config), usize::from(threads))?;
    let started = Instant::now();
    let begun = clock::now();
    plan.begun = Some(begun);
    // Everything that needs rights or makes files for others is opened here; threads start only once rights are gone.
    let live = LiveStats::default();
    let inputs = live_inputs(interfaces.iter().cloned(), begun);
    let run = run_id(&Summary { inputs, ..Summary::default() });
    let console = match (&plan.store, listen) {
        (Some(store), Some(listen)) => {
            sidetap_store::Store::open(store)?;
            Some(Bound::beside((store, &run), listen, &config, live.clone())?)
        }
        _ => None,
    };
    let keeping = plan.store.as_deref().map(|s| Keeping::ready(s, &interfaces, begun)).transpose()?;
    let forgetting = plan.store.as_deref().map(|s| Forgetting::ready(s, &run)).transpose()?;
    let alive = forgetting.as_ref().and_then(Forgetting::sign_of_life);
    let acting = ActArgs {
        hash_key: config.analysis.hash_key.clone(),
        store: plan.store.clone(),
        begun: begun.0,
        interfaces: interfaces.clone(),
        enforce: args.enforce,
        worker: false,
    };
    let actors = Actors::ready(global, &config, &plan, &acting, console.is_some())?;
    rights::give_up(&config, &plan)?;
    let stop = Stop::on_signals_and_hangups()?;
    let console = console.map(|bound| bound.start(stop.clone())).transpose()?;
    let deeds = Deeds::default();
    let campaigns = actors.ask_campaigns();
    let enforcement = Enforcement::start(actors, stop.clone(), deeds.clone())?;
    let until = args.duration.map(|d| started + d.0);
    let mut hooks = LiveHooks::new(stop.clone(), until, enforcement.sender(), live)
        .showing(deeds)
        .with_campaigns(campaigns)
        .keeping(plan.state.clone())?
        .saving(keeping)?;
    if let (Some(cells), Some(store)) = (&plan.cells, &plan.store) {
        hooks = hooks.storing(cells.clone(), store.clone(), run.clone())?;
    }
    hooks = hooks.forgetting(forgetting, plan.cells.clone())?;
    let mut readers: Vec<&mut (dyn Source + Send)> = sources.iter_mut().map(|s| s as _).collect();
    let outcome = sidetap_pipeline::run_readers(&mut readers, &plan.options, &mut hooks);
    hooks.end();
    stop.ask();
    drop(hooks);
    let lost = enforcement.end();
    if let Some(Err(e)) = console.map(|thread| thread.join().unwrap_or(Ok(()))) {
        warn(&format!("the console ended early: {e:#}"));
    }
    plan.lost.extend(lost);
    // Devices were driven by the newest policy that could be read: so is the last word.
    if let Some(Err(errors)) = plan.policies.reread() {
        errors.iter().for_each(|e| warn(&format!("the policy stays as it was: {e}")));
    }
    let answer = match args.json {
        true => Answer::Json,
        false => Answer::Report(Terminal::of_stdout(global.color)),
    };
    let store = plan.store.clone();
    let status = finish(plan, outcome?, started, answer);
    if let Some(store) = store
        && let Err(e) = sidetap_store::Store::open(&store).and_then(|mut s| s.is_over(&run, clock::now()))
    {
        warn(&format!("who was to be forgotten may still be in {}: {e}", store.display()));
    }
    // Until here nobody else may take the run for ended.
    drop(alive);
    status
}

/// Lays the command line over the configuration.
fn overlay(args: &WatchArgs, config: &mut Config) {
    let (live, capture) = (&args.live, &mut config.capture);
    if let Some(filter) = &live.filter {
        capture.filter.clone_from(filter);
    }
    capture.fanout = live.fanout.unwrap_or(capture.fanout);
    capture.buffer = live.ring.or(capture.buffer);
    capture.promiscuous &= !live.no_promiscuous;
    capture.confine &= !live.keep_rights;
    if live.user.is_some() {
        capture.user.clone_from(&live.user);
    }
}

fn interfaces(args: &WatchArgs, config: &Config) -> Result<Vec<String>> {
    let named =
        if args.live.interfaces.is_empty() { &config.capture.interfaces } else { &args.live.interfaces };
    match named.is_empty() {
        true => Err(Usage("name an interface with -i IFACE".to_owned()).into()),
        false => Ok(named.clone()),
    }
}

/// The console's address: none without a store to show.
fn listen(args: &WatchArgs, config: &Config) -> Result<Option<SocketAddr>> {
    let store = args.analysis.store.as_deref().or(config.store.as_deref()).map(Path::new);
    match (args.listen, store) {
        (Some(_), None) => {
            Err(Usage("--listen: the console shows a store; name one with --store FILE".to_owned()).into())
        }
        (Some(listen), Some(_)) => {
            reachable(listen, config.console.tls.is_some()).map_err(Usage)?;
            Ok(Some(listen))
        }
        (None, store) => Ok(store.map(|_| config.console.listen)),
    }
}

/// The inputs of a live run under which a store keeps it from its first verdict on.
pub(crate) fn live_inputs(interfaces: impl Iterator<Item = String>, begun: Ts) -> Vec<InputSummary> {
    interfaces.map(|path| InputSummary { path, first_ts: Some(begun), ..InputSummary::default() }).collect()
}
