//! Whether a request that nobody saw may wait for an answer.
//!
//! A client that always keeps one more request on the way than was seen, at a server that always has it before it answers the
//! one before, leaves no mark in sequence and acknowledgement numbers: joined late, each of its answers seems to belong to
//! the request after its own. Until something rules that out, pairs say that they are not certain. It is ruled out by
//! 1. silence: the client's next request comes so long after the last answer that an open one would have been answered:
//!    ten times the longest that any answer can have taken since, at least 100 ms, at most a minute;
//! 2. an answer that only this request, and not the one before it, can have: 100 (Continue) to `Expect`, 206 to `Range`,
//!    304 to a conditional request.

use sidetap_model::{Headers, Ts};

/// The shortest and the longest silence that proves anything, in nanoseconds.
const SILENCE: (i64, i64) = (100_000_000, 60_000_000_000);
/// How much longer than the slowest answer a silence must be.
const TIMES: i64 = 10;

/// What is known of requests that may be hidden.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certainty {
    hidden: bool,
    slowest: i64,
    /// When the last two requests began, the last one first.
    began: [Option<Ts>; 2],
    last_up: Option<Ts>,
    last_down: Option<Ts>,
    traits: Traits,
    /// How often requests may have been lost.
    losses: u32,
}

/// What a request may be answered with that others may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Traits {
    /// It and the one before it are known.
    known: bool,
    range: bool,
    conditional: bool,
    expects: bool,
}

impl Traits {
    fn of(headers: &Headers, expects: bool) -> Traits {
        let has = |names: &[&str]| names.iter().any(|n| headers.get(n).is_some());
        let conditional = has(&["if-none-match", "if-modified-since"]);
        Traits { known: true, range: has(&["range"]), conditional, expects }
    }
}

impl Certainty {
    pub(super) const fn new(certain: bool) -> Self {
        Certainty {
            hidden: !certain,
            slowest: 0,
            began: [None; 2],
            last_up: None,
            last_down: None,
            traits: Traits { known: false, range: false, conditional: false, expects: false },
            losses: 0,
        }
    }

    /// Requests may have been lost.
    pub(super) const fn lose(&mut self) {
        let losses = self.losses.wrapping_add(1);
        *self =
            Certainty { last_up: self.last_up, last_down: self.last_down, losses, ..Certainty::new(false) };
    }

    /// The next loss is the only one, if it is not followed by another.
    pub(super) fn before_loss(&self) -> Option<u32> {
        (!self.hidden).then_some(self.losses.wrapping_add(1))
    }

    /// Nothing was lost with that one.
    pub(super) const fn regain(&mut self, loss: u32) {
        if self.losses == loss {
            self.hidden = false;
        }
    }

    /// A request that was not seen may be open.
    pub(super) const fn is_hidden(&self) -> bool {
        self.hidden
    }

    pub(super) const fn up(&mut self, ts: Ts) {
        if self.hidden {
            self.last_up = Some(ts);
        }
    }

    pub(super) const fn down(&mut self, ts: Ts) {
        if self.hidden {
            self.last_down = Some(ts);
        }
    }

    /// A request begins; `idle` where nothing that was seen is open.
    pub(super) fn request_begins(&mut self, ts: Ts, idle: bool) {
        if !self.hidden {
            return;
        }
        let enough = self.slowest.saturating_mul(TIMES).clamp(SILENCE.0, SILENCE.1);
        let silent = self.last_down.is_some_and(|last| ts.since(last) >= enough);
        if idle && silent && self.slowest > 0 {
            self.hidden = false;
        }
        self.began = [Some(ts), self.began[0]];
    }

    /// What is asked for; gives what only its answer can be.
    pub(super) fn request(&mut self, headers: &Headers, expects: bool) -> Traits {
        if !self.hidden {
            return Traits::default();
        }
        let before = self.traits;
        let now = Traits::of(headers, expects);
        self.traits = now;
        Traits {
            known: before.known,
            range: now.range && !before.range,
            conditional: now.conditional && !before.conditional,
            expects: now.expects && !before.expects,
        }
    }

    /// An answer begins: it may be that of the request before the last one, at most as old.
    pub(super) fn answer_begins(&mut self, ts: Ts) {
        if let (true, Some(before)) = (self.hidden, self.began[1]) {
            self.slowest = self.slowest.max(ts.since(before)).max(1);
        }
    }

    /// A request was paired with an answer of this status, after 100 (Continue) or not.
    pub(super) const fn paired(&mut self, own: Traits, status: u16, continued: bool) {
        let only = match status {
            206 => own.range,
            304 => own.conditional,
            _ => false,
        };
        if own.known && (only || (continued && own.expects)) {
            self.hidden = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn at(ms: i64) -> Ts {
        Ts(ms * MS)
    }

    fn exchange(c: &mut Certainty, begin: i64, answer: i64) {
        c.request_begins(at(begin), true);
        c.up(at(begin));
        c.answer_begins(at(answer));
        c.down(at(answer));
    }

    #[test]
    fn only_a_silence_far_longer_than_any_answer_proves_that_nothing_is_open() {
        let mut c = Certainty::new(false);
        exchange(&mut c, 0, 5);
        exchange(&mut c, 150, 155);
        assert!(c.is_hidden(), "one answer may have taken 155 ms");
        exchange(&mut c, 1655, 1660);
        assert!(c.is_hidden(), "1500 ms are less than ten times that");
        exchange(&mut c, 20_000, 20_005);
        assert!(!c.is_hidden());
        c.lose();
        assert!(c.is_hidden());
    }

    #[test]
    fn an_answer_that_only_this_request_can_have_proves_it() {
        let headers = |name: &str| {
            let mut headers = Headers::default();
            headers.push(name.as_bytes(), b"x");
            headers
        };
        let mut c = Certainty::new(false);
        let first = c.request(&headers("range"), false);
        c.paired(first, 206, false);
        assert!(c.is_hidden(), "the one before is not known");
        let second = c.request(&headers("range"), false);
        c.paired(second, 206, false);
        assert!(c.is_hidden(), "the one before asked for a range too");
        let third = c.request(&headers("if-none-match"), false);
        c.paired(third, 200, false);
        assert!(c.is_hidden());
        c.paired(third, 304, false);
        assert!(!c.is_hidden());
    }
}
