//! `sidetap mitigation approvals`, `approve`, `reject`, `audit`: what waits for somebody's yes, and what was done.

use std::path::PathBuf;

use anyhow::Result;
use sidetap_mitigation::TakenBack;
use sidetap_store::{AuditRow, Store, Which};

use super::gate;
use super::inventory::print_rows;
use super::mitigation::{actor, ledger_of, there};
use super::source::Source;
use crate::cli::{RowFormat, SourceArgs, WhichArgs};
use crate::clock;
use crate::config::Config;
use crate::exit::{Status, Usage};
use crate::output::{Terminal, print, warn};
use crate::report::{Column, Table, plural};

fn store_of(config: &Config, source: &SourceArgs) -> Result<PathBuf> {
    match Source::of(source, config)? {
        Source::Store(file) => Ok(file),
        Source::Directory(_) => {
            Err(Usage("approvals and the audit are kept in a store: name it with --store FILE".to_owned())
                .into())
        }
    }
}

/// Lists what waits.
pub(super) fn show(
    config: &Config,
    source: &SourceArgs,
    all: bool,
    format: RowFormat,
    terminal: &Terminal,
) -> Result<Status> {
    let store = Store::open(&store_of(config, source)?)?;
    let mut rows = store.approvals(clock::now())?;
    let refused = rows.iter().filter(|a| a.state == "rejected" && a.expires_at > clock::now());
    let refused =
        refused.map(|a| a.expires_at).fold((0_u64, None), |(n, end), at| (n + 1, end.max(Some(at))));
    rows.retain(|a| all || a.state == "pending");
    if format == RowFormat::Ndjson {
        return print_rows(&rows);
    }
    let mut table = Table::new(&[
        Column::number("NUMBER"),
        Column::text("STATE"),
        Column::text("RESPONSE"),
        Column::flexible("SUBJECT"),
        Column::text("RULE"),
        Column::text("UNTIL"),
        Column::flexible("WHY"),
    ]);
    for a in &rows {
        let until = a.expires_at.to_string();
        table.row([&a.id.to_string(), &a.state, &a.response, &a.subject.value, &a.policy, &until, &a.reason]);
    }
    print(&format!("{}  {}\n", table.render(terminal), plural(rows.len() as u64, "approval")))?;
    if let ((n, Some(end)), false) = (refused, all) {
        print(&format!("  {n} rejected, the last until {end}: then it is asked anew (--all)\n"))?;
    }
    Ok(Status::Done)
}

/// Decides what waits.
pub(super) fn decide(config: &Config, source: &SourceArgs, which: &WhichArgs, yes: bool) -> Result<Status> {
    let which = match which {
        WhichArgs { number: Some(id), .. } => Which::Id(*id),
        WhichArgs { verdict: Some(id), .. } => Which::Verdict(id.clone()),
        WhichArgs { campaign: Some(id), .. } => Which::Campaign(id.clone()),
        WhichArgs { policy: Some(id), .. } => Which::Policy(id.clone()),
        WhichArgs { .. } => Which::All,
    };
    let mut store = Store::open(&store_of(config, source)?)?;
    let taken_back = TakenBack::by(ledger_of(config, source).as_deref());
    let (decided, back) = gate::decide(&mut store, (&which, yes), &actor(), clock::now(), &taken_back)?;
    let word = match (yes, decided.is_empty()) {
        (true, true) => "approved: none of these waits, what was decided stays so",
        (true, false) => "approved; the next push carries it out",
        (false, _) => "rejected",
    };
    print(&format!("  {} {word}\n", plural(decided.len() as u64, "approval")))?;
    if back > 0 {
        let questions = plural(back as u64, "question");
        print(&format!("  {questions} about what was taken back ask no more (`sidetap mitigation redo`)\n"))?;
    }
    Ok(if decided.is_empty() { Status::Refused } else { Status::Done })
}

/// Shows the audit.
pub(super) fn audit(
    config: &Config,
    source: &SourceArgs,
    limit: usize,
    format: RowFormat,
    terminal: &Terminal,
) -> Result<Status> {
    let store = Store::open_read_only(&store_of(config, source)?)?;
    let rows = store.audit(limit, 0)?;
    if format == RowFormat::Ndjson {
        return print_rows(&rows);
    }
    let mut table = Table::new(&[
        Column::text("AT"),
        Column::text("WHO"),
        Column::text("WHAT"),
        Column::flexible("PARTICULARS"),
    ]);
    for row in &rows {
        table.row([&row.at.to_string(), &row.actor, &row.action, &particulars(row)]);
    }
    print(&table.render(terminal))?;
    Ok(Status::Done)
}

/// What matters of an audit's row, in one line.
fn particulars(row: &AuditRow) -> String {
    let text = |key: &str| row.detail.get(key).and_then(|v| v.as_str()).filter(|t| !t.is_empty());
    let keys =
        ["connector", "subject", "response", "outcome", "why", "answer", "verdict", "policy", "reason"];
    let parts: Vec<&str> = keys.into_iter().filter_map(text).collect();
    if parts.is_empty() { row.detail.to_string() } else { parts.join(" · ") }
}

/// Appends to the audit, where there is a store.
pub(super) fn note(config: &Config, source: &SourceArgs, action: &str, detail: serde_json::Value) {
    let Ok(file) = store_of(config, source) else { return };
    let noted = there(&file).and_then(|mut s| Ok(s.note(&actor(), action, detail, clock::now())?));
    if let Err(e) = noted {
        warn(&format!("the audit in {} could not be written: {e}", file.display()));
    }
}
