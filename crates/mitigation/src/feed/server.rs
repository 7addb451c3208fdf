use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Family, FeedConfig, FeedList, Shape};
use crate::connector::ConnectorError;
use crate::secret::{Secret, SecretError};

/// Tells the wall clock in seconds since 1970.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock, for callers that have no other.
#[expect(clippy::disallowed_methods, reason = "a feed is an edge: what is over is over by the wall clock")]
pub fn system_clock() -> WallClock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Why a feed is not served.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Anybody could read it.
    #[error("feed {name}: {listen} is not loopback, so a token is needed")]
    Open {
        /// The feed.
        name: String,
        /// Where it would be served.
        listen: SocketAddr,
    },
    /// The token cannot be had.
    #[error("feed {name}: {source}")]
    Token {
        /// The feed.
        name: String,
        /// Why.
        source: SecretError,
    },
    /// The address cannot be taken.
    #[error("feed {name}: {listen}: {source}")]
    Listen {
        /// The feed.
        name: String,
        /// Where it would be served.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Serves a feed's list: `/feed` and the shapes of [`Shape::ALL`], each also with `/v4` and `/v6` and with `.txt`, and `/healthz`.
///
/// The file is looked at for each request and read again when it changed, so another process may write it; a list that cannot be read is
/// an error and never an empty list, which some devices would take for an order to let everybody in. Who does not send a request's head
/// within five seconds, or takes no answer within sixty, is cut off; who shows no token has one answer a connection, and no address has
/// more than 16 connections at a time.
pub struct Server {
    listener: TcpListener,
    feed: Feed,
}

struct Feed {
    path: PathBuf,
    token: Option<Secret>,
    sentinel: Option<IpAddr>,
    clock: WallClock,
    switch: Option<PathBuf>,
    read: Mutex<Option<(Stamp, Arc<FeedList>)>>,
}

/// For the head of a request; what idles between two has as long.
const HEAD: Duration = Duration::from_secs(5);
/// For everything on one connection.
const CONNECTION: Duration = Duration::from_secs(60);
/// Most connections at a time; others wait.
const CONNECTIONS: usize = 256;
/// Most of them from one address (of IPv6 from one /64); more are closed at once.
const OF_ONE: usize = 16;

/// What tells one written list from the next: the file's number, its time and its length.
type Stamp = (u64, i64, i64, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    let there = std::fs::metadata(path).ok()?;
    Some((there.ino(), there.mtime(), there.mtime_nsec(), there.len()))
}

impl Feed {
    /// The list as it was read last where its file is still the same.
    fn list(&self) -> Result<Option<Arc<FeedList>>, ConnectorError> {
        let there = stamp(&self.path);
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(there), Some((stamp, list))) = (there, known.as_ref())
            && there == *stamp
        {
            return Ok(Some(Arc::clone(list)));
        }
        let list = FeedList::to_serve(&self.path)?.map(Arc::new);
        *known = there.zip(list.clone());
        Ok(list)
    }
}

impl Server {
    /// Takes the feed's address; nothing is served before [`Server::run`].
    pub async fn bind(config: &FeedConfig, clock: WallClock) -> Result<Self, FeedError> {
        let name = || config.name.clone();
        let token = config.token.as_ref().map(|t| t.resolve()).transpose();
        let token = token.map_err(|source| FeedError::Token { name: name(), source })?;
        if token.is_none() && !config.listen.ip().is_loopback() {
            return Err(FeedError::Open { name: name(), listen: config.listen });
        }
        let listener = TcpListener::bind(config.listen).await.map_err(|source| FeedError::Listen {
            name: name(),
            listen: config.listen,
            source,
        })?;
        let feed = Feed {
            path: config.path.clone(),
            token,
            sentinel: config.sentinel,
            clock,
            switch: None,
            read: Mutex::new(None),
        };
        Ok(Server { listener, feed })
    }

    /// The same server, which serves an empty list while this file, the kill switch, is there.
    #[must_use]
    pub fn stopped_by(mut self, switch: Option<PathBuf>) -> Self {
        self.feed.switch = switch;
        self
    }

    /// Where it listens.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is done.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let health = move |state: State<Arc<Feed>>, query: RawQuery, headers: HeaderMap| async move {
            let known = allowed(state.0.token.as_ref(), query.0.as_deref(), &headers);
            if known { "ok\n".into_response() } else { last("ok\n".into_response()) }
        };
        let mut router = Router::new()
            .route("/healthz", get(health))
            .fallback(|| async { last(StatusCode::NOT_FOUND.into_response()) });
        let families = [("", Family::Both), ("/v4", Family::V4), ("/v6", Family::V6)];
        let lists = Shape::ALL
            .into_iter()
            .flat_map(|(at, shape)| families.map(|(f, family)| (format!("{at}{f}"), shape, family)));
        for (path, shape, family) in lists {
            let handler = move |state: State<Arc<Feed>>, query: RawQuery, headers: HeaderMap| async move {
                answer(&state.0, (shape, family), query.0.as_deref(), &headers)
            };
            router = router.route(&format!("{path}.txt"), get(handler)).route(&path, get(handler));
        }
        let router = router.with_state(Arc::new(self.feed));
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let shares = Arc::new(Shares::default());
        let mut shutdown = pin!(shutdown);
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                self.listener.accept().await.map(|(stream, from)| (stream, from, place))
            };
            let accepted = tokio::select! {
                accepted = next => accepted,
                () = shutdown.as_mut() => return,
            };
            let Ok((stream, from, place)) = accepted else {
                // Out of descriptors: some will be free in a moment.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Some(share) = Shares::take(&shares, from.ip()) else {
                tracing::debug!(from = %from.ip(), "feed: too many connections of one address");
                continue;
            };
            let router = router.clone();
            tokio::spawn(async move {
                let _ = tokio::time::timeout(CONNECTION, connection(stream, router)).await;
                drop((share, place));
            });
        }
    }
}

/// How many connections each address has: an address is here while it has one, so there are never more than [`CONNECTIONS`].
#[derive(Default)]
struct Shares(Mutex<BTreeMap<IpAddr, usize>>);

/// One connection of an address, until it is dropped.
struct Share {
    of: Arc<Shares>,
    source: IpAddr,
}

impl Shares {
    fn take(of: &Arc<Self>, from: IpAddr) -> Option<Share> {
        let source = match from.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            v4 => v4,
        };
        let mut open = of.0.lock().unwrap_or_else(PoisonError::into_inner);
        let n = open.entry(source).or_insert(0);
        if *n >= OF_ONE {
            return None;
        }
        *n += 1;
        Some(Share { of: Arc::clone(of), source })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = open.get_mut(&self.source) {
            *n -= 1;
            if *n == 0 {
                open.remove(&self.source);
            }
        }
    }
}

/// The last answer of its connection: who shows no token keeps no place.
fn last(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn connection(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(e) = served.await {
        tracing::debug!(error = %e, "feed: a connection broke off");
    }
}

fn answer(
    feed: &Feed,
    (shape, family): (Shape, Family),
    query: Option<&str>,
    headers: &HeaderMap,
) -> Response {
    if !allowed(feed.token.as_ref(), query, headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"sidetap feed\"")];
        return last((StatusCode::UNAUTHORIZED, challenge, "a token is needed\n").into_response());
    }
    let stopped = feed.switch.as_ref().is_some_and(|file| file.exists());
    let read = if stopped { Ok(Some(Arc::default())) } else { feed.list() };
    let list = match read {
        Ok(Some(list)) => list,
        Ok(None) => return (StatusCode::SERVICE_UNAVAILABLE, "no list was written yet\n").into_response(),
        Err(e) => {
            tracing::warn!(error = %e, "feed not served");
            return (StatusCode::SERVICE_UNAVAILABLE, "the list cannot be read\n").into_response();
        }
    };
    let body = list.render(shape, family, (feed.clock)(), feed.sentinel);
    let etag = etag_of(&body);
    let fresh = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if headers.get_all(header::IF_NONE_MATCH).iter().any(|v| matches(v, &etag)) {
        return (StatusCode::NOT_MODIFIED, fresh).into_response();
    }
    (StatusCode::OK, fresh, body).into_response()
}

/// A strong validator: the body's own hash (RFC 9110 §8.8.3).
fn etag_of(body: &str) -> HeaderValue {
    let digest = Sha256::digest(body.as_bytes());
    let hex: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Weak comparison, as `If-None-Match` asks for (RFC 9110 §13.1.2).
fn matches(given: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(given), Ok(etag)) = (given.to_str(), etag.to_str()) else { return false };
    given.split(',').map(str::trim).any(|g| g == "*" || g.strip_prefix("W/").unwrap_or(g) == etag)
}

fn allowed(token: Option<&Secret>, query: Option<&str>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let authorization = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (scheme, value) = authorization.split_once(' ').unwrap_or_default();
    let shown = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => token.matches(value.trim().as_bytes()),
        "basic" => basic_password(value.trim()).is_some_and(|p| token.matches(&p)),
        _ => false,
    };
    let asked = query.unwrap_or_default().split('&').filter_map(|p| p.strip_prefix("token="));
    // As it is written, or as a form would write it: firewalls do either.
    let ways = |t: &str| [t.as_bytes().to_vec(), unescaped(t, false), unescaped(t, true)];
    shown | asked.flat_map(ways).map(|t| token.matches(&t)).fold(false, |a, b| a | b)
}

/// What `%41` and, in a form, `+` stand for; what is no escape stands for itself.
fn unescaped(text: &str, form: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&b) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| b == b'%').and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => out.push(byte),
            None => out.push(if form && b == b'+' { b' ' } else { b }),
        }
        at += if hex.is_some() { 3 } else { 1 };
    }
    out
}

fn basic_password(value: &str) -> Option<Vec<u8>> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    decoded.get(colon + 1..).map(<[u8]>::to_vec)
}
