//! Whether what was taken for requests, from where reading began anew, are requests.
//!
//! What follows a loss may be content: of an upload whose head was lost, say, that consists of requests. But one upload has one
//! answer, however many lines of it read like requests. So where at least [`ENOUGH`] answers came to a trail of requests without
//! anything between them that can not be read, and at least one for every two of them, what follows is a request.

/// So many answers make a trail believed, besides those that are due to what came before it.
const ENOUGH: u32 = 8;
/// The same where all that the client sent was seen: the answers to one upload, early and late, are no more than two.
const ENOUGH_WHOLE: u32 = 3;

/// Requests one behind the other since reading began anew, and the answers meanwhile.
#[derive(Clone, Copy, Default)]
pub(super) struct Trail {
    requests: u32,
    answers: u32,
    /// Answers that requests from before it may still have.
    due: u32,
    /// Where its first request begins.
    start: Option<u64>,
}

impl Trail {
    /// Reading begins anew, `due` requests being open.
    pub(super) fn anew(due: usize) -> Self {
        Trail { due: u32::try_from(due).unwrap_or(u32::MAX), ..Trail::default() }
    }

    /// Something came that cannot be read.
    pub(super) fn breaks(&mut self) {
        *self = Trail { due: self.due, ..Trail::default() };
    }

    /// A request begins at `start`; true where it is believed to be one. `whole`: nothing of the client was lost.
    pub(super) fn request(&mut self, start: u64, whole: bool) -> bool {
        self.start.get_or_insert(start);
        self.requests = self.requests.saturating_add(1);
        let enough = self.answers >= self.due.saturating_add(if whole { ENOUGH_WHOLE } else { ENOUGH });
        enough && self.answers.saturating_mul(2) >= self.requests
    }

    /// A final answer came, begun when the server had received the client's bytes up to `seen`.
    pub(super) fn answer(&mut self, seen: Option<u64>) {
        if seen.zip(self.start).is_some_and(|(seen, start)| seen > start) {
            self.answers = self.answers.saturating_add(1);
        }
    }
}

/// How many of the requests that were seen in a loose flow may be open: answers to others only make it more.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally(u32);

impl Tally {
    pub(super) fn of(open: usize) -> Self {
        Tally(u32::try_from(open).unwrap_or(u32::MAX))
    }

    pub(super) const fn request(&mut self) {
        self.0 = self.0.saturating_add(1);
    }

    /// A final answer came.
    pub(super) const fn answer(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    pub(super) const fn open(self) -> u32 {
        self.0
    }

    /// There were as many answers.
    pub(super) const fn is_even(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_make_a_trail_believed() {
        let mut trail = Trail::anew(3);
        assert!((0..100).all(|n| !trail.request(n, false)), "no answer");
        (0..11).for_each(|_| trail.answer(Some(200)));
        assert!(!trail.request(100, false), "one answer to nine requests");
        let mut trail = Trail::anew(3);
        for n in 0..11 {
            assert!(!trail.request(100 + n, false), "{n}");
            trail.answer(Some(50));
            trail.answer(Some(100));
            trail.answer(Some(101));
        }
        assert!(trail.request(300, false));
        trail.breaks();
        assert!(!trail.request(400, false));
    }
}
