//! What somebody is still to be told: it waits while they cannot be reached.

use std::collections::VecDeque;

use super::gather::Alert;
use super::sink::Sink;
use crate::connector::ConnectorError;

/// Most alerts that wait; of more the oldest are lost.
const MOST: usize = 200;
/// How often an alert is tried that somebody does not take as it is.
const TRIES: u32 = 3;
/// Seconds until the next try: the first time, and at most.
const PAUSE_S: (i64, i64) = (10, 600);
/// The same at most where the sink says when.
const ASKED_S: i64 = 86_400;

/// The alerts for one sink.
pub(super) struct Outbox {
    sink: Sink,
    waiting: VecDeque<Alert>,
    /// How often the first of them was refused.
    refused: u32,
    again_at: i64,
    pause_s: i64,
    lost: usize,
    why: Option<String>,
}

impl Outbox {
    pub(super) fn new(sink: Sink) -> Self {
        let (first, _) = PAUSE_S;
        Outbox {
            sink,
            waiting: VecDeque::new(),
            refused: 0,
            again_at: i64::MIN,
            pause_s: first,
            lost: 0,
            why: None,
        }
    }

    pub(super) fn take(&mut self, alerts: &[Alert]) {
        self.waiting.extend(alerts.iter().cloned());
        while self.waiting.len() > MOST {
            self.waiting.pop_front();
            (self.lost, self.refused) = (self.lost + 1, 0);
        }
    }

    /// Sends what waits, in its order, unless it is too early to ask again; `last` is the last time that it is asked.
    pub(super) fn send(&mut self, now: i64, last: bool) {
        if now < self.again_at && !last {
            return;
        }
        while let Some(alert) = self.waiting.front() {
            let Err(e) = self.sink.send(alert, now) else {
                self.waiting.pop_front();
                (self.refused, self.pause_s) = (0, PAUSE_S.0);
                continue;
            };
            let why = format!("alerts to {}: {e}", self.sink.name());
            tracing::warn!(alerts = self.sink.name(), error = %why, waiting = self.waiting.len(), "not told yet");
            self.why = Some(why);
            // What is refused as it is stops nobody else's turn for long.
            self.refused += u32::from(matches!(e, ConnectorError::Refused { .. }));
            if self.refused >= TRIES || last && self.refused > 0 {
                self.waiting.pop_front();
                (self.lost, self.refused) = (self.lost + 1, 0);
                continue;
            }
            self.wait(&e, now);
            return;
        }
    }

    fn wait(&mut self, e: &ConnectorError, now: i64) {
        let asked = if let ConnectorError::Later(s) = e { i64::try_from(*s).unwrap_or(i64::MAX) } else { 0 };
        let (_, most) = PAUSE_S;
        self.again_at = now.saturating_add(asked.min(ASKED_S).max(self.pause_s));
        self.pause_s = (self.pause_s * 2).min(most);
    }

    /// What still waits, by its group and time.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&str, i64)> {
        self.waiting.iter().map(|a| (a.group.as_str(), a.at))
    }

    /// What was never told, at the end, and why.
    pub(super) fn lost(&self) -> Option<String> {
        let n = self.lost + self.waiting.len();
        let why = self.why.as_deref().unwrap_or_default();
        (n > 0).then(|| format!("{why} ({n} not told)"))
    }
}
