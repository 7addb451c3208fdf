//! Connections: how many, how slow, and over what.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::access::{Authorized, Peer};
use crate::patient::Patient;
use crate::seats::{Seat, Seats, Watched};
use crate::unread::{AtWork, Unread};

/// Connections at once, where there are descriptors for so many; for one more the one goes that asks for nothing the longest.
pub(crate) const CONNECTIONS: usize = 2_048;
/// Descriptors that are left for other things than connections.
const OTHERS: usize = 128;
/// Of these, those of one address: nobody takes up all of them.
const OF_ONE: usize = 256;
/// For a handshake, and for the head of a request: also how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(15);
/// Bytes of a head.
const HEAD_BYTES: usize = 32 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// For requests under way when the server ends.
const END: Duration = Duration::from_secs(3);

/// Serves connections until `shutdown` is done, and then those that are open for a little while.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    app: Router,
    most: usize,
    shutdown: impl Future<Output = ()>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let most = most.min(connections(most_descriptors()));
    let permits = Arc::new(Semaphore::new(most));
    let seats = Seats::new(most);
    let places = Places::default();
    let (end, ended) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors: some will be free in a moment.
            seats.make_room();
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Some(place) = Place::take(&places, peer.ip()) else { continue };
        let seat = seats.take();
        let permit = Arc::clone(&permits);
        let (app, acceptor, ended) = (app.clone(), acceptor.clone(), ended.clone());
        tokio::spawn(async move {
            // Whoever had to leave for it is gone in a moment.
            let Ok(Ok(permit)) = tokio::time::timeout(END, permit.acquire_owned()).await else { return };
            tokio::select! {
                () = connection(stream, peer, acceptor, app, (ended, &seat)) => {}
                () = seat.called() => {}
            }
            drop((permit, place, seat));
        });
    }
    let _ = end.send(true);
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(END, permits.acquire_many(all)).await;
}

/// How many connections there may be with so many descriptors.
fn connections(descriptors: usize) -> usize {
    descriptors.saturating_sub(OTHERS).max(64)
}

/// How many files this process may have open, raised as far as it goes or is of use.
#[cfg(unix)]
fn most_descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(CONNECTIONS + OTHERS).unwrap_or(u64::MAX);
    let now = limit.current.unwrap_or(u64::MAX);
    let most = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    if now >= most {
        return usize::try_from(now).unwrap_or(usize::MAX);
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    usize::try_from(if raised.is_ok() { most } else { now }).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn most_descriptors() -> usize {
    CONNECTIONS + OTHERS
}

/// Connections by address.
type Places = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A connection's place among those of its address.
struct Place(Places, IpAddr);

impl Place {
    fn take(places: &Places, ip: IpAddr) -> Option<Self> {
        let mut of = places.lock().unwrap_or_else(PoisonError::into_inner);
        let n = of.entry(ip).or_default();
        if *n >= OF_ONE {
            return None;
        }
        *n += 1;
        Some(Place(Arc::clone(places), ip))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = of.get_mut(&self.1) {
            *n -= 1;
            if *n == 0 {
                of.remove(&self.1);
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    app: Router,
    (ended, seat): (watch::Receiver<bool>, &Seat),
) {
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream);
    match acceptor {
        None => http(stream, peer, app, ended, seat).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, acceptor.accept(stream)).await {
                http(stream, peer, app, ended, seat).await;
            }
        }
    }
}

async fn http<S>(stream: S, peer: SocketAddr, app: Router, mut ended: watch::Receiver<bool>, seat: &Seat)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let at_work = AtWork::default();
    let stream = Unread::new(stream, at_work.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        at_work.begin();
        request.extensions_mut().insert(Peer(peer));
        let at_work = at_work.clone();
        let (app, work) = (app.clone(), seat.work());
        async move {
            let request = request.map(|body| Body::new(Watched::request(body, Arc::clone(&work))));
            let response = match tower_service(app, request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            // What is sent to somebody who may ask for it is not cut off for the next connection.
            let response = match response.extensions().get::<Authorized>() {
                Some(_) => response.map(|body| Body::new(Watched::answer(body, work))),
                None => response,
            };
            Ok::<_, Infallible>(response.map(|body| at_work.answer(body)))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let over = tokio::select! {
        _ = served.as_mut() => true,
        _ = ended.changed() => false,
    };
    if !over {
        served.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(END, served).await;
    }
}

async fn tower_service(app: Router, request: Request<Body>) -> Result<axum::response::Response, Infallible> {
    use hyper::service::Service as _;
    hyper_util::service::TowerToHyperService::new(app).call(request).await
}
