//! `sidetap mitigation`: what devices hold, should hold, and are brought to hold.

mod audit;
mod show;
mod switch;
mod wanted;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::json;
use sidetap_mitigation::{Desired, Enforcer, Geography, Mode, PushOptions, Selector};
use sidetap_model::{SubjectKind, nearest};
use sidetap_policy::Traffic;
use sidetap_store::Store;

use super::approvals;
use super::gate;
use super::intel;
use super::policy::{Policies, operator_is_unknown, policies, said};
use super::source::Source;
use crate::cli::{GlobalArgs, MitigationArgs, MitigationCommand, PushArgs, SourceArgs, UndoArgs};
use crate::clock;
use crate::config::{self, Config, Rescued};
use crate::exit::{Lost, Status};
use crate::output::{Terminal, load_run, plain, print, warn};

use audit::{intend, settle_of};
pub(crate) use audit::{record, settle, there};
use show::{show_plan, show_push, show_status};
pub(super) use switch::emptied;
use switch::{nothing_there, resume, stop};
pub(crate) use wanted::{Found, desired_of, selected, wanted_in};

/// Reads or changes devices.
pub(crate) fn run(global: &GlobalArgs, args: &MitigationArgs) -> Result<Status> {
    let terminal = Terminal::of_stdout(global.color);
    if let MitigationCommand::Stop { reason } = &args.command {
        let Rescued { mut config, error, without } = config::load_what_works(global.config.as_deref())?;
        if let Some(e) = error {
            warn(&format!("{e}; the kill switch goes by what can be read of it"));
        }
        without.iter().for_each(|why| warn(&format!("left as it is, and to be emptied by hand: {why}")));
        let done = stop(&mut config, &args.source, reason, &terminal)?;
        return if without.is_empty() {
            Ok(done)
        } else {
            Err(Lost("not every device was emptied".to_owned()).into())
        };
    }
    let mut config = config::load(global.config.as_deref())?;
    match &args.command {
        MitigationCommand::Status => {
            let (mut enforcer, lost) = enforcer_to_look(&mut config, &args.source)?;
            let mut status = enforcer.status(clock::now());
            status.notes.extend(lost);
            let ledger = ledger_of(&config, &args.source);
            if let Some(why) = gate::stopped(gate::switch_of(&config, ledger.as_deref()).as_deref()) {
                status.notes.push(why);
                // The kill switch empties devices: no push is missing.
                status.connectors.iter_mut().for_each(|c| c.emptied = false);
            }
            show_status(&status, &terminal)
        }
        MitigationCommand::Plan(push) => {
            let (mut wanted, known) = wanted(&config, &args.source, false)?;
            renew(&mut wanted, push);
            let mut enforcer = enforcer(&mut config, &args.source)?;
            cap(&mut enforcer, &policies(&config)?, known);
            let report = enforcer.plan(&wanted, clock::now(), push.force);
            show_plan(&report, &wanted.held, &terminal)
        }
        MitigationCommand::Push(push) => push_all(&mut config, &args.source, push, &terminal),
        MitigationCommand::Undo { which, enforce } => {
            if let Some(file) = nothing_there(&config, &args.source) {
                bail!(
                    "{}: there is no such store, and no ledger of pushes beside it, so that nothing would be remembered as taken back; name the store that pushes use, or turn on the kill switch (`sidetap mitigation stop`)",
                    file.display()
                );
            }
            let options =
                PushOptions { actor: actor(), why: asked(which), ..PushOptions::new(mode(*enforce)) };
            let (mut enforcer, lost) = enforcer_to_take_back(&config, &args.source)?;
            let selector = match &lost {
                None => selector(which, &enforcer, &config, &args.source)?,
                Some(why) => selector_by_marks(which, why, &enforcer)?,
            };
            if *enforce {
                settle_of(&mut enforcer, &config, &args.source);
            }
            let mut report = enforcer.undo(&selector, clock::now(), &options);
            // Nothing is done for good: what was taken back comes back with the next push.
            let any = report.connectors.iter().any(|c| c.removed > 0);
            report.forgotten |= *enforce && lost.is_some() && any;
            record(&config, &args.source, &report);
            let status = show_push(&report, &[], &terminal)?;
            match &selector {
                Selector::Verdict(id)
                    if lost.is_some() && report.connectors.iter().all(|c| c.removed == 0) =>
                {
                    bail!("no device holds an entry of a verdict named `{}`", plain(id))
                }
                _ => Ok(status),
            }
        }
        MitigationCommand::Redo { which } => {
            if let Some(file) = nothing_there(&config, &args.source) {
                bail!(
                    "{}: there is no such store, and no ledger of pushes beside it: nothing was taken back there; name the store that pushes use",
                    file.display()
                );
            }
            let mut enforcer = enforcer(&mut config, &args.source)?;
            let selector = selector(which, &enforcer, &config, &args.source)?;
            enforcer.redo(&selector)?;
            approvals::note(
                &config,
                &args.source,
                "mitigation.redo",
                json!({ "why": asked(which), "which": format!("{selector:?}") }),
            );
            print("  later pushes may push it again\n")?;
            Ok(Status::Done)
        }
        MitigationCommand::Approvals { all, format } => {
            approvals::show(&config, &args.source, *all, *format, &terminal)
        }
        MitigationCommand::Approve(which) => approvals::decide(&config, &args.source, which, true),
        MitigationCommand::Reject(which) => approvals::decide(&config, &args.source, which, false),
        // Carried out above, whatever of the configuration works.
        MitigationCommand::Stop { .. } => Ok(Status::Done),
        MitigationCommand::Resume => resume(&config, &args.source),
        MitigationCommand::Audit { limit, format } => {
            approvals::audit(&config, &args.source, *limit, *format, &terminal)
        }
        MitigationCommand::Feed => {
            let lines = in_found(&args.source, &config, |f| wanted::lines(f, &policies(&config)?))?;
            print(&lines.iter().map(|l| format!("{l}\n")).collect::<String>())?;
            Ok(Status::Done)
        }
    }
}

fn mode(enforce: bool) -> Mode {
    if enforce { Mode::Enforce } else { Mode::DryRun }
}

/// The enforcer; where no ledger is configured it stands beside the store, or else beside the run directory's files.
pub(crate) fn enforcer(config: &mut Config, source: &SourceArgs) -> Result<Enforcer> {
    let mut enforcer = bare_enforcer(config, source)?;
    enforcer.know(Arc::new(Where(intel::table(config)?)));
    Ok(enforcer)
}

/// The same without the tables of countries, which nothing needs that only takes back.
fn bare_enforcer(config: &Config, source: &SourceArgs) -> Result<Enforcer> {
    let state = ledger_of(config, source);
    enforcer_of(sidetap_mitigation::Config { state, ..config.mitigation.clone() }, config, source)
}

/// The same for what only takes back, without a ledger where that cannot be read, and why it cannot: the marks on the devices say what is
/// Sidetap's.
fn enforcer_to_take_back(config: &Config, source: &SourceArgs) -> Result<(Enforcer, Option<String>)> {
    match bare_enforcer(config, source) {
        Ok(enforcer) => Ok((enforcer, None)),
        Err(e) => {
            let enforcer = enforcer_without_ledger(config, source)?;
            warn(&format!(
                "the ledger cannot be read, and is left as it is: {e:#}; what comes off the devices now is not remembered as taken back"
            ));
            Ok((enforcer, Some(format!("{e:#}"))))
        }
    }
}

/// The same for who only looks.
fn enforcer_to_look(config: &mut Config, source: &SourceArgs) -> Result<(Enforcer, Option<String>)> {
    match bare_enforcer(config, source) {
        Ok(enforcer) => Ok((enforcer, None)),
        Err(e) => {
            let why = "what devices hold is held against nothing";
            Ok((
                enforcer_without_ledger(config, source)?,
                Some(format!("the ledger cannot be read: {e:#}; {why}")),
            ))
        }
    }
}

fn enforcer_without_ledger(config: &Config, source: &SourceArgs) -> Result<Enforcer> {
    let settings = sidetap_mitigation::Config { state: None, ..config.mitigation.clone() };
    enforcer_of(settings, config, source)
}

/// What an undo takes back where the ledger cannot be read: what the marks on the devices say.
fn selector_by_marks(which: &UndoArgs, why: &str, enforcer: &Enforcer) -> Result<Selector> {
    if which.last.is_some() || which.campaign.is_some() || which.policy.is_some() {
        bail!(
            "without a ledger only --verdict, --connector and --all can be taken back, by the marks on the devices: {why}"
        );
    }
    if let Some(name) = &which.connector {
        return known_connector(name, enforcer);
    }
    Ok(which.verdict.clone().map_or(Selector::All, Selector::Verdict))
}

/// A connector by its name, where there is one.
fn known_connector(name: &str, enforcer: &Enforcer) -> Result<Selector> {
    let known = enforcer.connectors();
    let mut names = known.iter().map(|(n, _)| n.as_str());
    if names.clone().any(|n| n == name) {
        return Ok(Selector::Connector(name.to_owned()));
    }
    let hint = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => names.next().map_or("none is configured".to_owned(), |first| {
            format!("known: {}", names.fold(first.to_owned(), |all, n| format!("{all}, {n}")))
        }),
    };
    bail!("no connector is called `{}`; {hint}", plain(name))
}

fn enforcer_of(
    settings: sidetap_mitigation::Config,
    config: &Config,
    source: &SourceArgs,
) -> Result<Enforcer> {
    let mut enforcer = Enforcer::new(&settings)?;
    let modes = Source::of(source, config).ok().and_then(|s| s.store().map(Path::to_owned));
    let modes =
        modes.and_then(|file| Store::open_read_only(&file).ok()).map(|s| gate::modes(&s)).unwrap_or_default();
    enforcer.only_try(gate::in_mode(config, &modes, sidetap_model::Mode::DryRun));
    if let Ok(source) = Source::of(source, config) {
        enforcer.announce(move |rows| intend(&source, rows));
    }
    Ok(enforcer)
}

/// Countries and networks by the installed tables.
struct Where(Arc<sidetap_intel::Table>);

impl Geography for Where {
    fn country(&self, ip: std::net::IpAddr) -> Option<String> {
        self.0.origin(ip, clock::now()).country().map(str::to_owned)
    }

    fn networks(&self, kind: SubjectKind, value: &str) -> Vec<ipnet::IpNet> {
        let number = value.strip_prefix("AS").and_then(|n| n.parse::<u32>().ok()).filter(|n| *n != 0);
        self.0.networks_where(clock::now(), |found| match kind {
            SubjectKind::Network => number == Some(found.origin.asn),
            SubjectKind::Country => found.origin.country() == Some(value),
            _ => false,
        })
    }
}

fn ledger_file(config: &Config, source: &SourceArgs) -> Option<PathBuf> {
    match Source::of(source, config).ok()? {
        Source::Directory(dir) => Some(dir.join("mitigation.json")),
        Source::Store(file) => {
            let mut name = file.file_name()?.to_owned();
            name.push(".mitigation.json");
            Some(file.with_file_name(name))
        }
    }
}

/// What verdicts, by the present policy, and rules over requests ask for, without what waits, is only tried out, or is held by the kill switch; and the
/// traffic that it is measured by. With `ask`, approvals are asked for.
fn wanted(config: &Config, source: &SourceArgs, ask: bool) -> Result<(Desired, Option<Traffic>)> {
    let gate = gate::Gate::of(config, ledger_of(config, source).as_deref());
    let policies = policies(config)?;
    match Source::of(source, config)? {
        Source::Directory(dir) => {
            let policies = policies.hashed_by(config)?;
            wanted::wanted_of(config, &policies, &load_run(&dir)?, &gate, ask)
        }
        Source::Store(file) => {
            drop(Store::open_read_only(&file)?);
            let mut store = Store::open(&file)?;
            let policies = policies.with_allow(&said(&store.allowed(clock::now())?)).hashed_by(config)?;
            wanted_in(config, &policies, &mut store, &gate, ask)
        }
    }
}

/// Holds pushes to the caps of policy.
pub(crate) fn cap(enforcer: &mut Enforcer, policies: &Policies, traffic: Option<Traffic>) {
    enforcer.cap(policies.set().guards().caps, traffic.map(Arc::new));
}

/// Who asks, for the audit.
pub(crate) fn actor() -> String {
    let said = ["SUDO_USER", "USER"].into_iter().filter_map(|n| std::env::var(n).ok());
    let name = said.map(|n| plain(&n).into_owned()).find(|n| !n.is_empty() && n.len() <= 64);
    name.map_or_else(|| "cli".to_owned(), |n| format!("cli:{n}"))
}

/// The ledger of what was pushed: the configured one, or the one beside what is read.
pub(crate) fn ledger_of(config: &Config, source: &SourceArgs) -> Option<PathBuf> {
    config.mitigation.state.clone().or_else(|| ledger_file(config, source))
}

/// What is named, in words for the audit.
fn asked(which: &UndoArgs) -> String {
    let UndoArgs { verdict, connector, last, campaign, policy, .. } = which;
    let last = last.as_ref().map(|l| sidetap_policy::format_ttl(l.0.as_secs()));
    let named = [
        ("verdict", verdict.as_ref()),
        ("connector", connector.as_ref()),
        ("last", last.as_ref()),
        ("campaign", campaign.as_ref()),
        ("policy", policy.as_ref()),
    ];
    let named = named.into_iter().find_map(|(kind, name)| Some(format!("{kind} {}", plain(name?))));
    format!("asked for: {}", named.as_deref().unwrap_or("all"))
}

/// The pushes that are named; all where none is.
fn selector(which: &UndoArgs, enforcer: &Enforcer, config: &Config, source: &SourceArgs) -> Result<Selector> {
    if let Some(id) = &which.verdict {
        let ledger = enforcer.ledger();
        if !ledger.entries.contains_key(id) && !ledger.undone.values().any(|set| set.contains(id)) {
            bail!("nothing was pushed for a verdict named `{}`", plain(id));
        }
        return Ok(Selector::Verdict(id.clone()));
    }
    if let Some(name) = &which.connector {
        return known_connector(name, enforcer);
    }
    if let Some(last) = which.last {
        let since = clock::now().secs() - i64::try_from(last.0.as_secs()).unwrap_or(i64::MAX);
        let lately = enforcer.ledger().entries.iter().filter(|(_, e)| e.pushed_at >= since);
        return Ok(Selector::Verdicts(lately.map(|(id, _)| id.clone()).collect()));
    }
    if which.campaign.is_none() && which.policy.is_none() {
        return Ok(Selector::All);
    }
    let rules = policies(config)?.hashed_by(config)?;
    let (campaign, policy) = (which.campaign.as_deref(), which.policy.as_deref());
    let mut ids = in_found(source, config, |found| selected(found, &rules, config, campaign, policy))?;
    let standing = which.policy.as_ref().map(|rule| format!("p-{rule}"));
    ids.extend(standing.filter(|id| enforcer.ledger().entries.contains_key(id)));
    ids.extend(campaign.iter().flat_map(|c| suggested_by(&rules, c)));
    if ids.is_empty() {
        let name = which.campaign.as_ref().or(which.policy.as_ref()).map_or("", |n| n.as_str());
        bail!("nothing that is kept names a campaign or rule `{}`", plain(name));
    }
    Ok(Selector::Verdicts(ids))
}

/// Asks what was found where the command line, or else the configuration, says.
fn in_found<T>(source: &SourceArgs, config: &Config, ask: impl FnOnce(Found<'_>) -> Result<T>) -> Result<T> {
    match Source::of(source, config)? {
        Source::Directory(dir) => ask(Found::Run(&load_run(&dir)?)),
        Source::Store(file) => ask(Found::Store(&Store::open_read_only(&file)?)),
    }
}

/// Rules over requests that were suggested for a campaign and are in force, as devices know them.
pub(crate) fn suggested_by(rules: &Policies, campaign: &str) -> Vec<String> {
    let start = format!("p-{}", sidetap_policy::suggested_id(campaign));
    let standing = rules.set().standing(clock::now(), None).into_iter();
    standing.map(|v| v.id).filter(|id| id.starts_with(&start)).collect()
}

fn push_all(
    config: &mut Config,
    source: &SourceArgs,
    push: &PushArgs,
    terminal: &Terminal,
) -> Result<Status> {
    let (mut wanted, traffic) = wanted(config, source, push.enforce)?;
    renew(&mut wanted, push);
    let mut enforcer = enforcer(config, source)?;
    cap(&mut enforcer, &policies(config)?, traffic);
    if push.enforce {
        warn_of_operator(config);
        settle_of(&mut enforcer, config, source);
    }
    let options = PushOptions { force: push.force, actor: actor(), ..PushOptions::new(mode(push.enforce)) };
    let report = enforcer.push(&wanted, clock::now(), &options);
    record(config, source, &report);
    show_push(&report, &wanted.held, terminal)
}

/// Takes old verdicts for new ones, where that is asked for.
fn renew(wanted: &mut Desired, push: &PushArgs) {
    if push.old {
        wanted.wants.iter_mut().for_each(|w| w.stale = false);
    }
}

/// Says that nobody knows whose address must not be blocked, where nobody does.
pub(crate) fn warn_of_operator(config: &Config) {
    if operator_is_unknown(config) {
        warn(
            "nobody is logged in from elsewhere and [policy] operator is empty: your own address is not kept from being blocked",
        );
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sidetap_mitigation::Want;
    use sidetap_model::Measures;
    use sidetap_model::rows::Subject;
    use sidetap_policy::Response;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::commands::console::KILLED;

    fn at(dir: &Path, words: &[&str]) -> Result<Status> {
        let config = dir.join("c.toml").display().to_string();
        let store = dir.join("s.db").display().to_string();
        let all = ["sidetap", "--config", &config, "mitigation"].into_iter().chain(words.iter().copied());
        let cli = Cli::try_parse_from(all.chain(["--store", &store]))?;
        let Command::Mitigation(args) = &cli.command else { bail!("not mitigation") };
        run(&cli.global, args)
    }

    fn want(verdict: &str, address: &str) -> Want {
        Want {
            verdict: verdict.to_owned(),
            zone: String::new(),
            subject: Subject { kind: SubjectKind::Ip, value: address.to_owned(), parts: Vec::new() },
            response: Response::Block,
            ttl_s: 600,
            score: 90,
            detected_at: clock::now(),
            last_seen: clock::now(),
            stale: false,
            measures: Measures::default(),
            why: String::new(),
        }
    }

    #[test]
    fn what_is_on_the_devices_comes_off_without_a_ledger_or_a_store() {
        let dir = tempfile::tempdir().unwrap();
        let feed = dir.path().join("feed");
        let text = format!("[[mitigation.feed]]\npath = \"{}\"\n", feed.display());
        std::fs::write(dir.path().join("c.toml"), &text).unwrap();
        let mut config = config::load(Some(&dir.path().join("c.toml"))).unwrap();
        let store = dir.path().join("s.db");
        let source = SourceArgs { run: None, store: Some(store.clone()) };
        drop(Store::open(&store).unwrap());
        let wants = vec![want("v-1", "203.0.113.1"), want("v-2", "203.0.113.2"), want("v-3", "203.0.113.3")];
        let told = Desired { wants, ..Desired::default() };
        enforcer(&mut config, &source).unwrap().push(&told, clock::now(), &PushOptions::new(Mode::Enforce));
        let listed = || std::fs::read_to_string(&feed).unwrap().matches("203.0.113.").count();
        assert_eq!(listed(), 3);
        let ledger = ledger_of(&config, &source).unwrap();
        std::fs::write(&ledger, "{ half a led").unwrap();
        for which in [["undo", "--last=1h"], ["undo", "--policy=x"]] {
            let said = at(dir.path(), &which).unwrap_err().to_string();
            assert!(
                said.contains("without a ledger only") && said.contains("s.db.mitigation.json"),
                "{said}"
            );
        }
        for (which, why) in [
            (
                ["undo", "--verdict=nosuch", "--enforce"],
                "no device holds an entry of a verdict named `nosuch`",
            ),
            (["undo", "--connector=fed", "--enforce"], "no connector is called `fed`; did you mean `feed`?"),
        ] {
            let said = at(dir.path(), &which).unwrap_err().to_string();
            assert_eq!(said, why);
        }
        // What it shows is told, with why it says no more.
        assert_eq!(at(dir.path(), &["status"]).unwrap(), Status::Amiss);
        // It comes off, and is no success: the next push puts it back.
        let not_remembered = "what came off the devices is not remembered as taken back";
        let said = at(dir.path(), &["undo", "--verdict", "v-2", "--enforce"]).unwrap_err().to_string();
        assert_eq!((said.as_str(), listed()), (not_remembered, 2), "one verdict by its mark");
        assert_eq!(at(dir.path(), &["undo", "--all"]).unwrap(), Status::Done);
        assert_eq!(listed(), 2, "a dry run changes nothing");
        // The store is as broken as the ledger.
        std::fs::write(&store, "no data base").unwrap();
        let said = at(dir.path(), &["undo", "--all", "--enforce"]).unwrap_err().to_string();
        assert_eq!((said.as_str(), listed()), (not_remembered, 0));
        assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "{ half a led", "left as it is");
        assert!(at(dir.path(), &["undo", "--all", "--connector", "feed"]).is_err(), "one or the other");
    }

    #[test]
    fn the_switch_empties_devices_with_a_broken_policy_and_a_connector_that_only_tries() {
        let dir = tempfile::tempdir().unwrap();
        let (feed, pack) = (dir.path().join("feed"), dir.path().join("pack.yaml"));
        let text = format!("[[mitigation.feed]]\npath = \"{}\"\n", feed.display());
        std::fs::write(dir.path().join("c.toml"), &text).unwrap();
        let mut config = config::load(Some(&dir.path().join("c.toml"))).unwrap();
        let source = SourceArgs { run: None, store: Some(dir.path().join("s.db")) };
        drop(Store::open(&dir.path().join("s.db")).unwrap());
        let told = Desired { wants: vec![want("v-1", "203.0.113.1")], ..Desired::default() };
        let options = PushOptions::new(Mode::Enforce);
        let told_again = told.clone();
        enforcer(&mut config, &source).unwrap().push(&told, clock::now(), &options);
        let lists = || std::fs::read_to_string(&feed).unwrap().contains("203.0.113.1");
        assert!(lists());
        for which in [
            ["undo", "--verdict", "nosuch"],
            ["undo", "--policy", "nosuch"],
            ["undo", "--campaign", "nosuch"],
            ["undo", "--connector", "nosuch"],
            ["redo", "--connector", "nosuch"],
        ] {
            assert!(at(dir.path(), &which).is_err(), "{which:?}");
        }
        std::fs::write(&pack, "version: [\n").unwrap();
        let broken = format!("[policy]\npath = \"{}\"\ndry_run = [\"feed\"]\n{text}", pack.display());
        std::fs::write(dir.path().join("c.toml"), broken).unwrap();
        assert!(at(dir.path(), &["plan"]).is_err(), "the policy is broken");
        assert_eq!(at(dir.path(), &["stop"]).unwrap(), Status::Done);
        assert!(!lists());
        let audit = Store::open(&dir.path().join("s.db")).unwrap().audit(10, 0).unwrap();
        let told: Vec<&str> = audit.iter().map(|r| r.action.as_str()).collect();
        let expected = ["mitigation.remove", "mitigation.intent", "mitigation.stop", "mitigation.intent"];
        assert_eq!(told, expected, "what is intended stands before what was done");
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        store.put_state(KILLED, b"ada").unwrap();
        at(dir.path(), &["resume"]).unwrap();
        assert!(store.state(KILLED).unwrap().is_none(), "the console's switch is the same one");

        // A configuration that nobody can read as a whole is no reason to go on blocking.
        for (wrong, comes_off) in [
            ("[anlysis]\nworkers = 2\n", true),
            ("[console]\nlisten = \"0.0.0.0:80\"\n", true),
            ("[[mitigation.haproxi]]\nsocket = \"x\"\n", true),
            ("[[mitigation.haproxy]]\nsocket = 7\n", true),
            ("no toml\n", false),
        ] {
            at(dir.path(), &["resume"]).ok();
            std::fs::write(dir.path().join("c.toml"), &text).unwrap();
            at(dir.path(), &["resume"]).unwrap();
            enforcer(&mut config, &source).unwrap().push(&told_again, clock::now(), &options);
            assert!(lists());
            std::fs::write(dir.path().join("c.toml"), format!("{text}{wrong}")).unwrap();
            let whole = !wrong.contains("haprox") && comes_off;
            assert_eq!(at(dir.path(), &["stop"]).is_ok(), whole, "{wrong}");
            assert_eq!(lists(), !comes_off, "{wrong}");
            assert!(dir.path().join("s.db.mitigation.json.stop").exists(), "{wrong}");
        }
        std::fs::write(dir.path().join("c.toml"), &text).unwrap();
        at(dir.path(), &["resume"]).unwrap();

        // The switch of a store that is not there is seen by nobody.
        let typo = dir.path().join("typo.db").display().to_string();
        let elsewhere = |words: &[&str]| {
            let config = dir.path().join("c.toml").display().to_string();
            let all = ["sidetap", "--config", &config, "mitigation"].into_iter().chain(words.iter().copied());
            let cli = Cli::try_parse_from(all.chain(["--store", &typo])).unwrap();
            let Command::Mitigation(args) = &cli.command else { panic!("not mitigation") };
            run(&cli.global, args).unwrap_err().to_string()
        };
        assert!(elsewhere(&["undo", "--last=1h", "--enforce"]).contains("typo.db: there is no such store"));
        assert!(!Path::new(&typo).exists() && !Path::new(&format!("{typo}.mitigation.json")).exists());
        assert!(elsewhere(&["stop"]).contains("does not see this switch"));
        assert!(elsewhere(&["stop"]).contains("does not see this switch"), "nor at the second time");

        // Nor does it mind a configuration that nothing else takes.
        at(dir.path(), &["resume"]).unwrap();
        let twice = format!("{text}[[mitigation.feed]]\nname = \"again\"\npath = \"{}\"\n", feed.display());
        enforcer(&mut config, &source).unwrap().push(&told_again, clock::now(), &options);
        std::fs::write(dir.path().join("c.toml"), twice).unwrap();
        let said = at(dir.path(), &["status"]).unwrap_err().to_string();
        assert!(said.contains("`again` and `feed` both write"), "{said}");
        assert!(lists());
        assert_eq!(at(dir.path(), &["stop"]).unwrap(), Status::Done);
        assert!(!lists());
        at(dir.path(), &["resume"]).ok();

        // Where the switch cannot be written, what is on the devices comes off all the same.
        let nowhere = format!("[policy]\nkill_switch = \"{}\"\n{text}", feed.join("stop").display());
        std::fs::write(dir.path().join("c.toml"), nowhere).unwrap();
        enforcer(&mut config, &source).unwrap().push(&told_again, clock::now(), &options);
        assert!(lists());
        assert!(at(dir.path(), &["stop"]).is_err());
        assert!(!lists());
    }
}
