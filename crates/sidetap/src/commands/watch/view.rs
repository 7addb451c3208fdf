//! What a terminal shows while a watch goes on: endpoints, campaigns, verdicts and actions, below the line of rates.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sidetap_model::rows::{RunData, VerdictRow};

use super::deeds::Deeds;
use crate::output::plain;
use crate::report::count;

/// Endpoints, campaigns, verdicts and actions that are shown at most.
const ROWS: usize = 5;
/// Lines that are no row of a part: rates, and an empty line and a heading for each part.
const HEADS: usize = 1 + 4 * 2;
/// Columns of a name.
const WIDTH: usize = 60;

/// What is shown, as text that is made anew when something changes.
#[derive(Debug, Default)]
pub(super) struct View {
    endpoints: Vec<(u64, String)>,
    campaigns: Vec<(u8, String, u64, usize)>,
    latest: Vec<String>,
    known: BTreeMap<String, String>,
    responses: BTreeMap<String, u64>,
    /// Calls of each endpoint as they were half a minute ago, and since.
    calls: VecDeque<(Instant, BTreeMap<String, u64>)>,
    deeds: Deeds,
}

/// Of how long ago the busiest endpoints are told.
const LATELY: Duration = Duration::from_secs(30);
/// How far apart calls are remembered.
const APART: Duration = Duration::from_secs(5);

/// Verdicts whose last response is remembered.
const KNOWN: usize = 100_000;

impl View {
    /// The same, with what is done to devices.
    pub(super) fn with(mut self, deeds: Deeds) -> Self {
        self.deeds = deeds;
        self
    }

    /// Takes in what was found so far: endpoints called most in the last half minute, and the worst campaigns.
    pub(super) fn take(&mut self, run: &RunData, now: Instant) {
        let name = |e: &sidetap_model::rows::EndpointRow| format!("{} {}{}", e.method, e.host, e.template);
        let calls: BTreeMap<String, u64> = run.endpoints.iter().map(|e| (name(e), e.calls)).collect();
        let ago = |at: &Instant| now.saturating_duration_since(*at);
        while self.calls.get(1).is_some_and(|(at, _)| ago(at) >= LATELY) {
            self.calls.pop_front();
        }
        let before = self.calls.front().map(|(_, calls)| calls);
        let since = |n: &String, calls: u64| {
            calls.saturating_sub(before.and_then(|b| b.get(n)).copied().unwrap_or(0))
        };
        let mut busy: Vec<(u64, String)> = calls.iter().map(|(n, c)| (since(n, *c), n.clone())).collect();
        busy.retain(|(n, _)| *n > 0);
        busy.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        busy.truncate(ROWS);
        self.endpoints = busy;
        if self.calls.is_empty() {
            self.calls.push_back((now, BTreeMap::new()));
        }
        if self.calls.back().is_none_or(|(at, _)| ago(at) >= APART) {
            self.calls.push_back((now, calls));
        }
        let target = |c: &sidetap_model::rows::CampaignRow| c.endpoints.first().cloned().unwrap_or_default();
        let mut worst: Vec<_> = run.campaigns.iter().collect();
        worst.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then(b.score.cmp(&a.score)).then(a.id.cmp(&b.id)));
        self.campaigns = worst
            .into_iter()
            .take(ROWS)
            .map(|c| (c.score, format!("{}  {}", c.class, target(c)), c.requests, c.members.len()))
            .collect();
    }

    /// Takes in verdicts that changed.
    pub(super) fn hear(&mut self, changed: &[VerdictRow]) {
        for v in changed.iter().filter(|v| v.intent == "malicious") {
            let class = v.class.clone().unwrap_or_default();
            let old = self.known.get(&v.id).cloned();
            if old.as_ref() == Some(&class) {
                continue;
            }
            if let Some(n) = old.and_then(|o| self.responses.get_mut(&o)) {
                *n = n.saturating_sub(1);
            }
            if self.known.len() < KNOWN || self.known.contains_key(&v.id) {
                self.known.insert(v.id.clone(), class.clone());
                *self.responses.entry(class.clone()).or_default() += 1;
            }
            self.latest.insert(0, format!("{} {}  {class}", v.subject.kind, v.subject.value));
        }
        self.latest.truncate(ROWS);
    }

    /// Lines below the line of rates, no more than a terminal of this height has; nothing where there is nothing to show.
    pub(super) fn text(&self, height: usize) -> String {
        let rows = (height.saturating_sub(HEADS + 1) / 4).clamp(1, ROWS);
        let mut out = String::new();
        if !self.endpoints.is_empty() {
            out.push_str("\n\n  BUSIEST ENDPOINTS, last half minute");
            for (calls, name) in self.endpoints.iter().take(rows) {
                let _ = write!(out, "\n  {:>9}  {}", count(*calls), cut(name));
            }
        }
        if !self.campaigns.is_empty() {
            out.push_str("\n\n  CAMPAIGNS   harm  requests  members");
            for (score, what, requests, members) in self.campaigns.iter().take(rows) {
                let (requests, members) = (count(*requests), count(*members as u64));
                let _ = write!(out, "\n  {score:>15}  {requests:>8}  {members:>7}  {}", cut(what));
            }
        }
        if !self.latest.is_empty() {
            let sums: Vec<String> = self
                .responses
                .iter()
                .filter(|(_, n)| **n > 0)
                .map(|(c, n)| format!("{} {c}", count(*n)))
                .collect();
            let _ = write!(out, "\n\n  ATTACKERS  {}", sums.join(", "));
            for line in self.latest.iter().take(rows) {
                let _ = write!(out, "\n  {}", cut(line));
            }
        }
        out.push_str(&self.deeds.text(rows, cut));
        out
    }
}

/// A name from the traffic, in one line of bounded width.
fn cut(text: &str) -> String {
    let plain = plain(text);
    match plain.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", plain.get(..at).unwrap_or_default()),
        None => plain.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_endpoints_are_those_of_half_a_minute_however_often_it_is_saved() {
        let begun = Instant::now();
        let mut view = View::default();
        let mut run = RunData::default();
        let mut row = crate::report::fixture::run().endpoints.remove(0);
        row.calls = 0;
        run.endpoints.push(row);
        let mut calls = |second: u64| {
            run.endpoints[0].calls = 10 * second.min(16);
            view.take(&run, begun + Duration::from_secs(second));
            view.endpoints.first().map_or(0, |(n, _)| *n)
        };
        let said: Vec<u64> = (0..60).map(&mut calls).collect();
        assert_eq!((said[16], said[28]), (160, 160), "all of it is of the last half minute: {said:?}");
        assert_eq!(said[59], 0, "it is over: {said:?}");
    }
}
