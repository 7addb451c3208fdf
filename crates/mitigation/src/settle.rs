//! What a process that was killed in the middle of a change left open: intents in the audit that nothing came of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sidetap_model::{ActionRow, Ts};
use sidetap_policy::Response;

use crate::connector::Connector;
use crate::entry::Entry;
use crate::key::Key;

/// One entry of an intent, as a row of the audit names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intended {
    kind: String,
    key: String,
    response: Response,
    expires_at: i64,
    verdict: String,
}

impl Intended {
    /// What is to be done to an entry.
    pub(crate) fn of(kind: &str, e: &Entry) -> Self {
        Intended {
            kind: kind.to_owned(),
            key: e.key.to_string(),
            response: e.response,
            expires_at: e.expires_at,
            verdict: e.verdict.clone(),
        }
    }

    /// Reads what [`fmt::Display`] wrote: the key is what is left between its neighbours, whatever it has in it.
    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        let mut from_end = rest.rsplitn(4, ' ');
        let (verdict, end, response, key) =
            (from_end.next()?, from_end.next()?, from_end.next()?, from_end.next()?);
        Some(Intended {
            kind: kind.to_owned(),
            key: key.to_owned(),
            response: response.parse().ok()?,
            expires_at: end.parse().ok()?,
            verdict: if verdict == "-" { String::new() } else { verdict.to_owned() },
        })
    }
}

impl fmt::Display for Intended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.verdict.is_empty() { "-" } else { &self.verdict };
        write!(f, "{} {} {} {} {verdict}", self.kind, self.key, self.response, self.expires_at)
    }
}

/// What a device shows of what was intended: a row for each entry that is as it was meant, and one that closes the intents.
///
/// None where the device cannot be read: they stay open.
pub(crate) fn settle(
    c: &mut dyn Connector,
    open: &[&ActionRow],
    now: Ts,
    actor: &str,
) -> Option<Vec<ActionRow>> {
    let last = open.last()?;
    let observed = c.observe(now.secs()).ok()?;
    let there: BTreeSet<(String, Response)> =
        observed.entries.iter().map(|e: &Entry| (e.key.to_string(), e.response)).collect();
    let keys: BTreeSet<&Key> = observed.entries.iter().map(|e| &e.key).collect();
    let names: Vec<Intended> =
        open.iter().flat_map(|row| row.answer.split("; ")).filter_map(Intended::read).collect();
    let gone = |name: &Intended| name.key.parse::<Key>().is_ok_and(|key| !keys.contains(&key));
    let is_done = |name: &&Intended| match name.kind.as_str() {
        "add" | "refresh" => there.contains(&(name.key.clone(), name.response)),
        _ => gone(name),
    };
    let done: Vec<&Intended> = names.iter().filter(is_done).collect();
    let row = |kind: &str, subject: String, answer: &str| ActionRow {
        at: now,
        actor: actor.to_owned(),
        connector: c.name().to_owned(),
        kind: kind.to_owned(),
        mode: last.mode.clone(),
        subject,
        response: String::new(),
        verdict: None,
        expires_at: None,
        outcome: "done".to_owned(),
        answer: answer.to_owned(),
        why: String::new(),
    };
    let mut rows: Vec<ActionRow> = done
        .iter()
        .map(|name| ActionRow {
            response: name.response.name().to_owned(),
            verdict: Some(name.verdict.clone()).filter(|v| !v.is_empty()),
            expires_at: Some(Ts::from_parts(name.expires_at, 0)),
            ..row(
                &name.kind,
                name.key.clone(),
                "found so on the device: whoever did it ended before saying so",
            )
        })
        .collect();
    let text = format!("{} of {} changes that were begun are on the device", done.len(), names.len());
    rows.push(row("settle", text, "an intent of before is closed"));
    Some(rows)
}

/// Open intents by connector.
pub(crate) fn by_connector(open: &[ActionRow]) -> BTreeMap<&str, Vec<&ActionRow>> {
    let mut all: BTreeMap<&str, Vec<&ActionRow>> = BTreeMap::new();
    for row in open {
        all.entry(&row.connector).or_default().push(row);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_are_read_as_they_were_written() {
        let entry = Entry {
            key: "192.0.2.50@POST,shop.example/login".parse().unwrap(),
            response: Response::RateLimit,
            expires_at: 77,
            verdict: "v-1".into(),
            priority: (0, 0),
            way: None,
        };
        for verdict in ["v-1", ""] {
            let intended = Intended::of("add", &Entry { verdict: verdict.into(), ..entry.clone() });
            assert_eq!(Intended::read(&intended.to_string()), Some(intended));
        }
        assert_eq!(Intended::read("add 192.0.2.1 block"), None);
    }
}
