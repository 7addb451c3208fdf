//! `sidetap inventory`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use sidetap_discovery::Difference;
use sidetap_model::rows::{EndpointRow, RunData};

use super::prepare::read_spec;
use super::source::Source;
use crate::cli::{GlobalArgs, InventoryArgs, InventoryCommand, InventoryFilter, RowFormat};
use crate::config;
use crate::exit::{Lost, Status};
use crate::output::{Terminal, openapi_name, plain, print, stream_lines, write_atomically};
use crate::report::{Column, Table, by_risk, count};

/// Lists, shows, exports, compares.
pub(crate) fn run(global: &GlobalArgs, args: &InventoryArgs) -> Result<Status> {
    let config = config::load(global.config.as_deref())?;
    let terminal = Terminal::of_stdout(global.color);
    let source = Source::of(&args.source, &config)?;
    match &args.command {
        InventoryCommand::List { filter, format } => list(&source.load()?, filter, *format, &terminal),
        InventoryCommand::Show { endpoint } => show(&source.load()?, &endpoint.join(" ")),
        InventoryCommand::Export { host, out } => export(&source, host.as_deref(), out.as_deref()),
        InventoryCommand::Diff { spec, format } => diff(&source.load()?, spec, *format, &terminal),
    }
}

fn list(run: &RunData, filter: &InventoryFilter, format: RowFormat, terminal: &Terminal) -> Result<Status> {
    let rows: Vec<_> = by_risk(run).into_iter().filter(|e| wanted(e, filter)).collect();
    if format == RowFormat::Ndjson {
        return print_rows(&rows);
    }
    let mut table = Table::new(&[
        Column::text("ID"),
        Column::number("RISK"),
        Column::number("CALLS"),
        Column::text("METHOD"),
        Column::flexible("HOST"),
        Column::flexible("PATH"),
        Column::text("STANDING"),
        Column::flexible("AUTH"),
        Column::flexible("ROLES"),
    ]);
    for e in &rows {
        table.row([
            &e.id.to_string(),
            &e.risk.to_string(),
            &count(e.calls),
            &e.method,
            &e.host,
            &e.template,
            &e.standing,
            &e.auth.join(" "),
            &e.roles.join(" "),
        ]);
    }
    print(&table.render(terminal))?;
    Ok(Status::Done)
}

fn wanted(e: &EndpointRow, filter: &InventoryFilter) -> bool {
    filter.host.as_ref().is_none_or(|h| h.eq_ignore_ascii_case(&e.host))
        && filter.standing.as_ref().is_none_or(|s| *s == e.standing)
        && filter.role.as_ref().is_none_or(|r| e.roles.contains(r))
        && (!filter.sensitive || !e.sensitive.is_empty())
        && e.risk >= filter.min_risk
}

/// Prints rows as JSON, one a line.
pub(crate) fn print_rows<T: Serialize>(rows: &[T]) -> Result<Status> {
    stream_lines(rows.iter().map(|r| serde_json::to_string(r).map_err(anyhow::Error::from)))?;
    Ok(Status::Done)
}

fn show(run: &RunData, asked: &str) -> Result<Status> {
    let found: Vec<&EndpointRow> = run.endpoints.iter().filter(|e| is_named(e, asked)).collect();
    let endpoint = match found.as_slice() {
        [one] => one,
        [] => bail!("no endpoint is called `{asked}`"),
        many => bail!("`{asked}` names {} endpoints; give more of its id", many.len()),
    };
    let mut text = format!(
        "{} {}{}  ({})\n\n",
        plain(&endpoint.method),
        plain(&endpoint.host),
        plain(&endpoint.template),
        endpoint.id
    );
    let value = serde_json::to_value(endpoint)?;
    for (key, value) in value.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "id" | "host" | "method" | "template") {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(text, "{key:<14} {}", plain(&shown));
        }
    }
    for s in run.sensitive.iter().filter(|s| s.endpoint.id == endpoint.id) {
        let _ = writeln!(
            text,
            "{:<14} {} {} {} {}",
            s.kind,
            s.direction,
            plain(&s.location),
            s.count,
            plain(&s.masked)
        );
    }
    for f in run.findings.iter().filter(|f| f.subject.values().any(|v| *v == endpoint.id.to_string())) {
        let _ = writeln!(text, "{:<14} {} {}", f.severity, f.certainty, plain(&f.title));
    }
    print(&text)?;
    Ok(Status::Done)
}

fn is_named(e: &EndpointRow, asked: &str) -> bool {
    let id = e.id.to_string();
    let by_id = asked.len() >= 4 && id.starts_with(&asked.to_ascii_lowercase());
    by_id
        || e.aliases.iter().any(|a| a.to_string() == asked)
        || asked == format!("{} {}{}", e.method, e.host, e.template)
}

fn diff(run: &RunData, spec: &Path, format: RowFormat, terminal: &Terminal) -> Result<Status> {
    let diff = read_spec(spec)?.diff(&run.endpoints);
    let kinds = [
        ("undocumented endpoint", &diff.undocumented_endpoints),
        ("undocumented method", &diff.undocumented_methods),
        ("undocumented parameter", &diff.undocumented_parameters),
        ("undocumented status", &diff.undocumented_statuses),
        ("deprecated, still called", &diff.deprecated_calls),
        ("documented, not seen", &diff.unseen_operations),
    ];
    if format == RowFormat::Ndjson {
        let rows = kinds.iter().flat_map(|(kind, rows)| {
            rows.iter().map(move |difference| DiffRow {
                kind: kind.replace(", ", "-").replace(' ', "-"),
                difference,
            })
        });
        return print_rows(&rows.collect::<Vec<_>>());
    }
    let mut table = Table::new(&[
        Column::text("DIFFERENCE"),
        Column::number("CALLS"),
        Column::text("METHOD"),
        Column::flexible("HOST"),
        Column::flexible("PATH"),
        Column::flexible("WHAT"),
    ]);
    for (kind, rows) in kinds {
        for d in rows {
            table.row([kind, &count(d.calls), &d.method, &d.host, &d.template, &d.what]);
        }
    }
    let all: usize = kinds.iter().map(|(_, rows)| rows.len()).sum();
    match all {
        0 => print("no differences\n")?,
        _ => print(&table.render(terminal))?,
    }
    Ok(Status::Done)
}

#[derive(Serialize)]
struct DiffRow<'a> {
    kind: String,
    #[serde(flatten)]
    difference: &'a Difference,
}

/// OpenAPI documents by host.
type Documents = Vec<(String, Value)>;

fn export(source: &Source, host: Option<&str>, out: Option<&Path>) -> Result<Status> {
    let mut documents = match (source.directory(), source.store()) {
        (Some(dir), _) => documents_of_directory(dir)?,
        (None, Some(store)) => documents_of_store(store)?,
        (None, None) => Vec::new(),
    };
    documents.retain(|(name, _)| host.is_none_or(|h| h.eq_ignore_ascii_case(name)));
    if documents.is_empty() {
        match host {
            Some(host) => bail!("no OpenAPI document of host `{host}`"),
            None => bail!("no OpenAPI documents"),
        }
    }
    match out {
        Some(dir) => write_documents(&documents, dir),
        None => print_documents(documents),
    }
}

/// One document as it is; several as an object by host.
fn print_documents(mut documents: Documents) -> Result<Status> {
    let value = match documents.len() {
        1 => documents.pop().map(|d| d.1).unwrap_or_default(),
        _ => Value::Object(documents.into_iter().collect()),
    };
    print(&(serde_json::to_string_pretty(&value)? + "\n"))?;
    Ok(Status::Done)
}

fn write_documents(documents: &Documents, dir: &Path) -> Result<Status> {
    std::fs::create_dir_all(dir).map_err(|e| Lost(format!("cannot write {}: {e}", dir.display())))?;
    let mut taken = BTreeSet::new();
    for (host, document) in documents {
        let path = dir.join(openapi_name(host, &mut taken));
        write_atomically(&path, |w| {
            serde_json::to_writer_pretty(&mut *w, document)?;
            w.write_all(b"\n")
        })
        .map_err(|e| Lost(format!("cannot write {}: {e}", path.display())))?;
        print(&format!("{}\n", plain(&path.display().to_string())))?;
    }
    Ok(Status::Done)
}

/// The host of a document is its first server's; its file's name only looks like it.
fn documents_of_directory(dir: &Path) -> Result<Documents> {
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(dir.join("openapi")).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let document: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        let url = document.pointer("/servers/0/url").and_then(Value::as_str).unwrap_or_default();
        let host = url.rsplit("//").next().unwrap_or(url).trim_end_matches('/').to_owned();
        documents.push((host, document));
    }
    documents.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(documents)
}

fn documents_of_store(file: &Path) -> Result<Documents> {
    let store = sidetap_store::Store::open_read_only(file)?;
    let Some(bytes) = store.state(OPENAPI_STATE)? else { return Ok(Vec::new()) };
    let documents: serde_json::Map<String, Value> = serde_json::from_slice(&bytes)?;
    Ok(documents.into_iter().collect())
}

/// The name under which a store keeps OpenAPI documents.
const OPENAPI_STATE: &str = "openapi";

/// Keeps documents in a store, beside those of other hosts.
pub(crate) fn keep_documents(store: &mut sidetap_store::Store, documents: &[(String, Value)]) -> Result<()> {
    let before = store.state(OPENAPI_STATE)?.unwrap_or_else(|| b"{}".to_vec());
    let mut all: serde_json::Map<String, Value> = serde_json::from_slice(&before)?;
    all.extend(documents.iter().cloned());
    store.put_state(OPENAPI_STATE, &serde_json::to_vec(&all)?)?;
    Ok(())
}
