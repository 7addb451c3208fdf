//! What was done to devices of late, for the terminal: the process that does it tells the one that shows it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sidetap_model::ActionRow;

use crate::output::{plain, print};
use crate::report::count;

/// Before what was done, on the output of the process that does it.
pub(super) const DID: &str = "did ";
/// Actions that are shown.
const ROWS: usize = 5;

/// What came of one push, with as many of its actions as are shown.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Push {
    done: BTreeMap<String, u64>,
    latest: Vec<ActionRow>,
}

/// Tells what was done on the standard output.
pub(super) fn tell(rows: &[ActionRow]) {
    let mut push = Push::default();
    for row in rows {
        *push.done.entry(what(row).to_owned()).or_default() += 1;
    }
    let shown = rows.iter().rev().filter(|r| r.kind != "refresh" || r.outcome == "failed");
    push.latest = shown.take(ROWS).cloned().collect();
    push.latest.reverse();
    if !rows.is_empty()
        && let Ok(line) = serde_json::to_string(&push)
    {
        let _ = print(&format!("{DID}{line}\n"));
    }
}

/// What an action came to, in a word or two.
fn what(row: &ActionRow) -> &'static str {
    match (row.outcome.as_str(), row.kind.as_str()) {
        ("planned", "add") => "to add",
        ("planned", "refresh") => "to renew",
        ("planned", "remove" | "undo") => "to take back",
        ("planned", _) => "to mend",
        ("done", "add") => "added",
        ("done", "refresh") => "renewed",
        ("done", "remove" | "undo") => "taken back",
        ("done", _) => "mended",
        ("refused", _) => "refused",
        _ => "failed",
    }
}

/// What was told of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Deeds(Arc<Mutex<Lately>>);

#[derive(Debug, Default)]
struct Lately {
    done: BTreeMap<String, u64>,
    /// The newest first, each with what makes it another one.
    latest: VecDeque<(String, String)>,
}

impl Deeds {
    /// Takes in a line of the process that acts; gives it back where it is about something else.
    pub(super) fn hear(&self, line: String) -> Option<String> {
        let Some(push) = line.strip_prefix(DID) else { return Some(line) };
        let Ok(push) = serde_json::from_str::<Push>(push) else { return Some(line) };
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is only planned is planned anew by each push.
        lately.done.retain(|what, _| !what.starts_with("to "));
        for (what, n) in push.done {
            *lately.done.entry(what).or_default() += n;
        }
        for row in push.latest {
            let did = format!("{}: {} {} {}", row.connector, what(&row), row.response, row.subject);
            if row.outcome == "planned" && lately.latest.iter().any(|(known, _)| *known == did) {
                continue;
            }
            let why = if matches!(row.outcome.as_str(), "failed" | "refused") {
                format!(" ({})", row.answer)
            } else {
                String::new()
            };
            let at = row.at.to_string();
            let time = at.get(11..19).unwrap_or_default();
            let text = format!("{time}  {did}{why}");
            lately.latest.push_front((did, text));
        }
        lately.latest.truncate(ROWS);
        None
    }

    /// Lines of what was done, with so many actions at most; nothing where nothing was.
    pub(super) fn text(&self, rows: usize, cut: impl Fn(&str) -> String) -> String {
        let lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        if !lately.done.is_empty() {
            let sums: Vec<String> =
                lately.done.iter().map(|(what, n)| format!("{} {what}", count(*n))).collect();
            let _ = write!(out, "\n\n  ACTIONS  {}", sums.join(", "));
            for (_, line) in lately.latest.iter().take(rows) {
                let _ = write!(out, "\n  {}", cut(&plain(line)));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use sidetap_model::Ts;

    use super::*;

    fn row(n: i64, kind: &str, outcome: &str) -> ActionRow {
        ActionRow {
            at: Ts::from_parts(1_700_000_000 + n, 0),
            actor: "watch".into(),
            connector: "edge".into(),
            kind: kind.into(),
            mode: "enforce".into(),
            subject: format!("203.0.113.{n}"),
            response: "block".into(),
            verdict: None,
            expires_at: None,
            outcome: outcome.into(),
            answer: "no\u{1b}[2Jroute".into(),
            why: String::new(),
        }
    }

    fn line(done: &[(&str, u64)], latest: Vec<ActionRow>) -> String {
        let done = done.iter().map(|(what, n)| ((*what).to_owned(), *n)).collect();
        DID.to_owned() + &serde_json::to_string(&Push { done, latest }).unwrap()
    }

    #[test]
    fn actions_are_summed_and_the_latest_shown() {
        let deeds = Deeds::default();
        assert_eq!(deeds.hear("taken 3".into()).as_deref(), Some("taken 3"));
        assert_eq!(deeds.text(ROWS, str::to_owned), "");
        let first = (1..=4).map(|n| row(n, "add", "done")).collect();
        assert!(deeds.hear(line(&[("added", 70)], first)).is_none());
        let then = vec![row(1, "remove", "done"), row(9, "add", "failed")];
        assert!(deeds.hear(line(&[("failed", 1), ("taken back", 1)], then)).is_none());
        let text = deeds.text(ROWS, str::to_owned);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "  ACTIONS  70 added, 1 failed, 1 taken back");
        assert!(lines[1].ends_with("edge: failed block 203.0.113.9 (no\\x1b[2Jroute)"), "{}", lines[1]);
        assert_eq!(lines[2], "  22:13:21  edge: taken back block 203.0.113.1");
        assert_eq!(lines.len(), 1 + ROWS);
    }

    #[test]
    fn what_is_planned_again_is_one_plan() {
        let deeds = Deeds::default();
        for n in [3, 4] {
            deeds.hear(line(&[("to add", n)], vec![row(1, "add", "planned"), row(2, "add", "planned")]));
        }
        let text = deeds.text(ROWS, str::to_owned);
        assert!(text.contains("ACTIONS  4 to add\n"), "{text}");
        assert_eq!(text.lines().count(), 5, "{text}");
    }
}
