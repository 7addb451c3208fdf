//! Heads that cannot be read: the HTTP library answers them itself, with a status and nothing else, before anything of ours has
//! seen them. Here its answer becomes a problem as all others are (RFC 9457).

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, StatusCode};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::guard;
use crate::problem::Problem;

/// For a peer to end what cannot be read: where the connection were closed with bytes of it on their way, the answer would be lost.
const LINGER: Duration = Duration::from_secs(1);

/// How far the request of a connection is.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtWork(Arc<AtomicU8>);

/// None is there.
const IDLE: u8 = 0;
/// Its head was read.
const ASKED: u8 = 1;
/// All of its answer was taken, but may not have been sent.
const ANSWERED: u8 = 2;

impl AtWork {
    /// A head was read.
    pub(crate) fn begin(&self) {
        self.0.store(ASKED, Ordering::Release);
    }

    /// The body of its answer; all of it was taken when this is dropped.
    pub(crate) fn answer(&self, body: Body) -> Body {
        Body::new(Answer { body, at_work: self.clone() })
    }

    /// All that was taken was sent.
    fn sent(&self) {
        let _ = self.0.compare_exchange(ANSWERED, IDLE, Ordering::AcqRel, Ordering::Acquire);
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) == IDLE
    }
}

struct Answer {
    body: Body,
    at_work: AtWork,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.at_work.0.store(ANSWERED, Ordering::Release);
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection on which what is said while no request is at work is the library's own. (Where its word comes right behind an
/// answer that the peer has not taken yet it stays what it is.)
pub(crate) struct Unread<S> {
    inner: S,
    at_work: AtWork,
    /// The answer in place of the library's, and how much of it was sent.
    own: Option<(Vec<u8>, usize)>,
    /// How long it waits for the peer to end.
    linger: Option<Pin<Box<Sleep>>>,
    /// Whether something came while no request was at work: the beginning of a head.
    begun: bool,
}

impl<S> Unread<S> {
    pub(crate) fn new(inner: S, at_work: AtWork) -> Self {
        Unread { inner, at_work, own: None, linger: None, begun: false }
    }
}

impl<S: AsyncWrite + Unpin> Unread<S> {
    /// The library ended the connection without a word: what a peer that has begun a head is told before it closes.
    pub(crate) fn fails(&mut self, error: &hyper::Error) {
        let status = match error {
            _ if error.is_timeout() => StatusCode::REQUEST_TIMEOUT,
            _ if error.is_parse() => StatusCode::BAD_REQUEST,
            _ => return,
        };
        if self.begun && self.at_work.is_idle() && self.own.is_none() {
            self.own = Some((answer(status), 0));
        }
    }

    /// Takes what the library says by itself; true where it is that.
    fn takes(&mut self, said: &[u8]) -> bool {
        if self.own.is_some() {
            return true;
        }
        if self.at_work.is_idle() {
            self.own = status(said).map(|status| (answer(status), 0));
        }
        self.own.is_some()
    }

    /// Sends what is left of the own answer.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((own, sent)) = &mut self.own {
            let Some(rest) = own.get(*sent..).filter(|r| !r.is_empty()) else { break };
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => *sent += n,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of an answer that says what is wrong with a request.
fn status(said: &[u8]) -> Option<StatusCode> {
    let status = StatusCode::from_bytes(said.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?;
    status.is_client_error().then_some(status)
}

/// The whole of an answer, after which the connection ends.
fn answer(status: StatusCode) -> Vec<u8> {
    let (kind, title, detail) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("head-too-large", "head too large", "heads of up to 64 fields and 32 KiB are read")
        }
        StatusCode::REQUEST_TIMEOUT => ("timeout", "too slow", "the head of the request took too long"),
        StatusCode::URI_TOO_LONG => {
            ("head-too-large", "head too large", "the target of the request is too long")
        }
        _ => (
            "bad-request",
            "bad request",
            "this is no request of HTTP/1.1; over TLS the address begins with https",
        ),
    };
    let body = Problem::new(status, kind, title, detail).body().to_string();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\ncache-control: no-store\r\n",
        status.as_u16(),
        body.len()
    );
    let mut field = |name: &HeaderName, value: &str| {
        head.push_str(name.as_str());
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    };
    guard::HEADERS.iter().for_each(|(name, value)| field(name, value));
    head.push_str("\r\n");
    head.push_str(&body);
    head.into_bytes()
}

impl<S: AsyncRead + Unpin> AsyncRead for Unread<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, to);
        self.begun = self.at_work.is_idle() && (self.begun || to.filled().len() > before);
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Unread<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        if self.takes(from) {
            return Poll::Ready(Ok(from.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = from.iter().find(|s| !s.is_empty());
        if first.is_some_and(|said| self.takes(said)) {
            return Poll::Ready(Ok(from.iter().map(|s| s.len()).sum()));
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        // The library flushes when it has nothing left to write.
        self.at_work.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send(cx))?;
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        }
        if self.own.is_none() {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        let until = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut space = [0; 4_096];
        while until.as_mut().poll(cx).is_pending() {
            let mut to = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut to));
            if read.is_err() || to.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
