//! `sidetap intel`: sources, the table made of them, lookups.

use std::io::{BufRead, ErrorKind, IsTerminal};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use sidetap_intel::{
    Directory, Fetcher, IntelError, KeyDirectories, Known, Library, ListKind, Source, Table as Addresses,
    Update, catalog,
};
use sidetap_model::{HashKey, Ts};

use super::inventory::print_rows;
use crate::cli::{GlobalArgs, IntelCommand, RowFormat};
use crate::clock;
use crate::config::{self, Config, Intel};
use crate::exit::{Status, Usage};
use crate::output::{Terminal, plain, print, warn};
use crate::report::{Column, Table, count};

/// Updates, lists, shows.
pub(crate) fn run(global: &GlobalArgs, command: &IntelCommand) -> Result<Status> {
    let config = config::load(global.config.as_deref())?;
    let terminal = Terminal::of_stdout(global.color);
    match command {
        IntelCommand::Update { sources, yes } => update(&config.intel, sources, *yes, &terminal),
        IntelCommand::List { format } => list(&config.intel, *format, &terminal),
        IntelCommand::Show { ip, json } => show(&config.intel, *ip, *json),
    }
}

/// The library that is configured, or the user's.
fn library(config: &Intel) -> Result<Library> {
    let dir = config.directory.clone().or_else(default_directory);
    dir.map(Library::at).ok_or_else(|| {
        anyhow!("no place for network intelligence (neither $XDG_DATA_HOME nor $HOME is set): name a directory in [intel]")
    })
}

fn default_directory() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").filter(|p| p.is_absolute());
    Some(data.or_else(|| set("HOME").map(|h| h.join(".local/share")))?.join("sidetap/intel"))
}

/// What detection asks of addresses: the installed table, or what every Sidetap knows.
///
/// A process that gave up the right to read it again has the one that it read before.
pub(crate) fn table(config: &Config) -> Result<Arc<Addresses>> {
    static BEFORE: Mutex<Option<Arc<Addresses>>> = Mutex::new(None);
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let installed = match library(&config.intel).map(|library| library.table()) {
        Ok(Ok(installed)) => installed,
        Ok(Err(IntelError::Io(_, e))) if e.kind() == ErrorKind::PermissionDenied && before.is_some() => {
            return before.clone().context("nothing was read before");
        }
        Ok(Err(e)) => return Err(e.into()),
        Err(_) => None,
    };
    let table = Arc::new(installed.unwrap_or_else(|| Addresses::builtin().clone()));
    *before = Some(Arc::clone(&table));
    Ok(table)
}

/// The parties that the site knows.
pub(crate) fn known(config: &Config, key: &HashKey) -> Result<Arc<Known>> {
    Ok(Arc::new(Known::new(&config.intel.known, key)?))
}

/// The keys of agents that sign.
pub(crate) fn keys(config: &Config) -> Result<Arc<KeyDirectories>> {
    let mut directories = Vec::new();
    for agent in &config.intel.signed_agents {
        let text =
            std::fs::read(&agent.keys).with_context(|| format!("cannot read {}", agent.keys.display()))?;
        let mut directory = Directory::parse(&agent.name, &text)?;
        directory.operator.clone_from(&agent.operator);
        directory.function.clone_from(&agent.function);
        directory.agents = agent.agents.iter().map(|a| a.to_lowercase()).collect();
        directories.push(directory);
    }
    Ok(Arc::new(KeyDirectories::new(directories)))
}

fn update(config: &Intel, only: &[String], yes: bool, terminal: &Terminal) -> Result<Status> {
    let library = library(config)?;
    if let Some(name) = only.iter().find(|n| !config.sources.iter().any(|s| s.name == **n)) {
        return Err(Usage(format!(
            "`{name}` is not among the configured sources; `sidetap intel list` shows them"
        ))
        .into());
    }
    let wanted: Vec<&Source> =
        config.sources.iter().filter(|s| only.is_empty() || only.contains(&s.name)).collect();
    let strange: Vec<&Source> = wanted.iter().copied().filter(|s| !library.is_accepted(s)).collect();
    if !strange.is_empty() {
        print(&licences(&strange, terminal))?;
        if !yes && !agreed()? {
            return Err(Usage("nothing was fetched: --yes agrees to these licences".to_owned()).into());
        }
    }
    let registry = config.registry.clone().or_else(environment_registry);
    let fetcher = Fetcher::new(registry.as_deref().unwrap_or("https://registry.npmjs.org"));
    let mut status = Status::Done;
    for source in wanted {
        let line = match library.update(&fetcher, source, clock::now().secs()) {
            Update::New(installed) => format!(
                "{}: fetched {} bytes{}",
                source.name,
                count(installed.bytes),
                version(&installed.version)
            ),
            Update::Unchanged => format!("{}: unchanged", source.name),
            Update::Failed(error, kept) => {
                warn(&plain(&error.to_string()));
                status = Status::Lost;
                format!("{}: {}", source.name, if kept { "kept as it was" } else { "not installed" })
            }
        };
        print(&format!("  {}\n", plain(&line)))?;
    }
    let (table, left_out) = library.compile(&config.sources)?;
    for error in &left_out {
        warn(&plain(&error.to_string()));
        status = Status::Lost;
    }
    let (v4, v6) = table.ranges();
    print(&format!(
        "  {}: {} ranges of IPv4, {} of IPv6, {} lists, {} bytes in memory\n",
        library.table_file().display(),
        count(v4 as u64),
        count(v6 as u64),
        count(table.lists().len() as u64),
        count(table.bytes() as u64),
    ))?;
    Ok(status)
}

fn version(version: &str) -> String {
    if version.is_empty() { String::new() } else { format!(", version {version}") }
}

/// The registry that npm itself would use, by its environment.
fn environment_registry() -> Option<String> {
    ["NPM_CONFIG_REGISTRY", "npm_config_registry"]
        .iter()
        .find_map(|n| std::env::var(n).ok())
        .filter(|r| !r.is_empty())
}

fn licences(sources: &[&Source], terminal: &Terminal) -> String {
    let mut table = Table::new(&[
        Column::text("SOURCE"),
        Column::text("LICENCE"),
        Column::flexible("WHAT"),
        Column::flexible("FROM"),
    ]);
    for s in sources {
        table.row([&s.name, &s.licence, &s.what, &s.place.told()]);
    }
    let mut text = table.render(terminal);
    for s in sources {
        if !s.licence_url.is_empty() {
            text.push_str(&format!("  {}: {}\n", s.name, plain(&s.licence_url)));
        }
        if !s.attribution.is_empty() {
            text.push_str(&format!("  {} asks to be named: {}\n", s.name, plain(&s.attribution)));
        }
    }
    text
}

/// Asks, where somebody is there to answer.
fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    print("  Fetch these under these licences? [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Every source, those that are configured first; true for them.
fn all_sources(config: &Intel) -> Vec<(&Source, bool)> {
    let unwanted = catalog().iter().filter(|s| !config.sources.iter().any(|c| c.name == s.name));
    config.sources.iter().map(|s| (s, true)).chain(unwanted.map(|s| (s, false))).collect()
}

/// Every source: what it is, and what is installed of it.
pub(crate) fn sources(config: &Intel) -> Result<Vec<serde_json::Value>> {
    let library = library(config)?;
    let table = library.table()?;
    let entries = |name: &str| {
        table.as_ref().and_then(|t| t.sources().iter().find(|s| s.name == name)).map(|s| s.entries)
    };
    let row = |(s, wanted): (&Source, bool)| {
        let installed = library.installed(&s.name);
        json!({
            "name": s.name, "what": s.what, "configured": wanted, "from": s.place.told(),
            "licence": s.licence, "licence_url": s.licence_url, "attribution": s.attribution,
            "accepted": library.is_accepted(s),
            "entries": entries(&s.name), "version": installed.as_ref().map(|i| &i.version),
            "fetched": installed.as_ref().map(|i| Ts::from_parts(i.fetched, 0)),
        })
    };
    Ok(all_sources(config).into_iter().map(row).collect())
}

/// Fetches every configured source whose licence somebody agreed to before; gives what came of each.
pub(crate) fn update_accepted(config: &Intel) -> Result<Vec<serde_json::Value>> {
    let library = library(config)?;
    let registry = config.registry.clone().or_else(environment_registry);
    let fetcher = Fetcher::new(registry.as_deref().unwrap_or("https://registry.npmjs.org"));
    let mut out = Vec::new();
    for source in &config.sources {
        let (outcome, detail) = if !library.is_accepted(source) {
            ("left-out", "nobody agreed to its licence yet: `sidetap intel update` asks".to_owned())
        } else {
            match library.update(&fetcher, source, clock::now().secs()) {
                Update::New(installed) => {
                    ("fetched", format!("{} bytes{}", installed.bytes, version(&installed.version)))
                }
                Update::Unchanged => ("unchanged", String::new()),
                Update::Failed(error, _) => ("failed", error.to_string()),
            }
        };
        out.push(json!({ "name": source.name, "outcome": outcome, "detail": detail }));
    }
    let (_, left_out) = library.compile(&config.sources)?;
    out.extend(left_out.iter().map(|e| json!({ "name": "", "outcome": "failed", "detail": e.to_string() })));
    Ok(out)
}

fn list(config: &Intel, format: RowFormat, terminal: &Terminal) -> Result<Status> {
    let library = library(config)?;
    let table = library.table()?;
    let all = all_sources(config);
    let entries = |name: &str| {
        table.as_ref().and_then(|t| t.sources().iter().find(|s| s.name == name)).map(|s| s.entries)
    };
    if format == RowFormat::Ndjson {
        return print_rows(&sources(config)?);
    }
    let mut out = Table::new(&[
        Column::text("SOURCE"),
        Column::text("STATE"),
        Column::number("ENTRIES"),
        Column::text("FETCHED"),
        Column::text("LICENCE"),
        Column::flexible("WHAT"),
    ]);
    for (s, wanted) in &all {
        let installed = library.installed(&s.name);
        let state = match (wanted, &installed) {
            (true, Some(_)) => "installed",
            (true, None) => "configured",
            (false, _) => "available",
        };
        let day: String = installed
            .map(|i| Ts::from_parts(i.fetched, 0).to_string().chars().take(10).collect())
            .unwrap_or_default();
        let n = entries(&s.name).map(count).unwrap_or_default();
        out.row([&s.name, state, &n, &day, &s.licence, &s.what]);
    }
    print(&out.render(terminal))?;
    Ok(Status::Done)
}

fn show(config: &Intel, ip: std::net::IpAddr, as_json: bool) -> Result<Status> {
    let table = library(config)?.table()?;
    let table = table.as_ref().unwrap_or_else(|| Addresses::builtin());
    let found = table.look_up(ip, clock::now());
    let kinds: Vec<&str> = found.origin.kinds.names().collect();
    let asn = (found.origin.asn != 0).then_some(found.origin.asn);
    if as_json {
        let lists: Vec<serde_json::Value> = found
            .lists
            .iter()
            .map(
                |l| json!({"list": l.name, "meaning": meaning(l.kind), "label": l.label, "weight": l.weight}),
            )
            .collect();
        let row = json!({
            "address": ip, "asn": asn, "organization": found.organization, "country": found.origin.country(),
            "kinds": kinds, "lists": lists,
        });
        print(&format!("{row}\n"))?;
        return Ok(Status::Done);
    }
    let unknown = || "unknown".to_owned();
    let mut text = format!("{ip}\n");
    let network = asn.map(|n| format!("AS{n}")).unwrap_or_else(unknown);
    text.push_str(&format!("  network       {network}\n"));
    text.push_str(&format!("  organization  {}\n", found.organization.map_or("unknown".into(), plain)));
    text.push_str(&format!("  country       {}\n", found.origin.country().unwrap_or("unknown")));
    text.push_str(&format!(
        "  kind          {}\n",
        if kinds.is_empty() { unknown() } else { kinds.join(", ") }
    ));
    for l in &found.lists {
        let weight =
            if l.kind == ListKind::Reported { format!(", weight {}", l.weight) } else { String::new() };
        text.push_str(&format!(
            "  {:<13} {} ({}{weight})\n",
            meaning(l.kind),
            plain(&l.label),
            plain(&l.name)
        ));
    }
    if !table.is_installed() {
        text.push_str("  no table is installed: `sidetap intel update` makes one\n");
    }
    print(&text)?;
    Ok(Status::Done)
}

fn meaning(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Published => "published",
        ListKind::Reported => "reported",
        ListKind::Registry => "registry",
    }
}
