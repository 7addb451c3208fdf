//! Who of the connections leaves when there are too many.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

/// Bytes of a piece of a body that is small beside the buffer it was read into.
const SMALL: usize = 4 << 10;

/// The connections there are, and for how many there is room.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    most: usize,
    all: Arc<Mutex<All>>,
}

#[derive(Debug, Default)]
struct All {
    /// By when each began to wait, or to be served; the earliest first.
    taken: BTreeMap<u64, Arc<State>>,
    next: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Its number among all.
    number: AtomicU64,
    /// Whether a whole request is being worked on.
    at_work: AtomicBool,
    call: Notify,
}

/// A connection's seat.
#[derive(Debug)]
pub(crate) struct Seat {
    all: Arc<Mutex<All>>,
    state: Arc<State>,
}

impl Seats {
    pub(crate) fn new(most: usize) -> Self {
        Seats { most, all: Arc::default() }
    }

    /// A seat; where there is none left somebody is asked to leave.
    pub(crate) fn take(&self) -> Seat {
        let state = Arc::new(State::default());
        let full = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.sit(&state);
            all.taken.len() > self.most
        };
        if full {
            self.make_room();
        }
        Seat { all: Arc::clone(&self.all), state }
    }

    /// Asks the one to leave who sent no whole request for the longest; all are at work: nobody.
    pub(crate) fn make_room(&self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = all.taken.iter().find(|(_, s)| !s.at_work.load(Relaxed)).map(|(n, _)| *n);
        if let Some(state) = idle.and_then(|n| all.taken.remove(&n)) {
            state.call.notify_one();
        }
    }
}

impl All {
    fn sit(&mut self, state: &Arc<State>) {
        self.next += 1;
        state.number.store(self.next, Relaxed);
        self.taken.insert(self.next, Arc::clone(state));
    }
}

impl Seat {
    /// Until it is asked to leave.
    pub(crate) async fn called(&self) {
        self.state.call.notified().await;
    }

    /// For a request that begins.
    pub(crate) fn work(&self) -> Arc<Work> {
        Arc::new(Work { all: Arc::clone(&self.all), state: Arc::clone(&self.state) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.taken.remove(&self.state.number.load(Relaxed));
    }
}

/// A request of a connection: from when it is whole until this is dropped, the connection stays.
#[derive(Debug)]
pub(crate) struct Work {
    all: Arc<Mutex<All>>,
    state: Arc<State>,
}

impl Work {
    /// The request is whole: the connection is the last to leave from now on.
    fn begin(&self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // Who was asked to leave has no seat any more.
        if all.taken.remove(&self.state.number.load(Relaxed)).is_some() {
            self.state.at_work.store(true, Relaxed);
            all.sit(&self.state);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.state.at_work.store(false, Relaxed);
    }
}

/// The body of a request, which says when it is whole; or of an answer, which keeps the seat until it is sent.
#[derive(Debug)]
pub(crate) struct Watched<B> {
    body: B,
    work: Arc<Work>,
    whole: bool,
}

impl Watched<Incoming> {
    /// The body of a request.
    pub(crate) fn request(body: Incoming, work: Arc<Work>) -> Self {
        let whole = body.is_end_stream();
        if whole {
            work.begin();
        }
        Watched { body, work, whole }
    }
}

impl<B> Watched<B> {
    /// The body of an answer.
    pub(crate) fn answer(body: B, work: Arc<Work>) -> Self {
        Watched { body, work, whole: true }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let end = matches!(frame, Poll::Ready(None)) || frame.is_ready() && self.body.is_end_stream();
        if end && !self.whole {
            self.whole = true;
            self.work.begin();
        }
        frame.map_ok(|f| f.map_data(own))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece by itself: a byte that came alone would hold all of the buffer it was read into.
fn own(piece: Bytes) -> Bytes {
    if piece.len() < SMALL { Bytes::copy_from_slice(&piece) } else { piece }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;

    use super::*;

    fn is_called(seat: &Seat) -> bool {
        let mut call = std::pin::pin!(seat.called());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        call.as_mut().poll(&mut cx).is_ready()
    }

    #[test]
    fn who_asks_for_nothing_the_longest_leaves_first() {
        let seats = Seats::new(3);
        let [a, b, c] = [(); 3].map(|()| seats.take());
        let work = a.work();
        work.begin();
        let d = seats.take();
        assert!(is_called(&b) && ![&a, &c, &d].into_iter().any(is_called));
        drop((b, work));
        let e = seats.take();
        assert!(is_called(&c), "it waits longer than the one that asked for something");
        assert!(![&a, &d, &e].into_iter().any(is_called));
    }

    #[test]
    fn a_byte_that_comes_alone_holds_no_buffer() {
        let buffer = Bytes::from(vec![0; 2 * SMALL]);
        let within = |piece: &Bytes| buffer.as_ptr_range().contains(&piece.as_ptr());
        assert!(!within(&own(buffer.slice(5..6))));
        assert!(within(&own(buffer.slice(..SMALL))), "a large one is not copied");
    }

    #[test]
    fn who_is_at_work_stays_and_who_left_is_forgotten() {
        let seats = Seats::new(1);
        let a = seats.take();
        let work = a.work();
        work.begin();
        let b = seats.take();
        assert!(!is_called(&a) && is_called(&b), "the newcomer, where all others are at work");
        drop((a, work, b));
        assert!(seats.all.lock().unwrap().taken.is_empty());
    }
}
