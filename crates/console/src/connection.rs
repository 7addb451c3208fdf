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

use crate::access::Peer;
use crate::patient::Patient;

/// Connections at once; more are closed as they come.
const CONNECTIONS: usize = 2_048;
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
    shutdown: impl Future<Output = ()>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
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
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Some(place) = Place::take(&places, peer.ip()) else { continue };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        let (app, acceptor, ended) = (app.clone(), acceptor.clone(), ended.clone());
        tokio::spawn(async move {
            connection(stream, peer, acceptor, app, ended).await;
            drop((permit, place));
        });
    }
    let _ = end.send(true);
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(END, permits.acquire_many(all)).await;
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
    ended: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream);
    match acceptor {
        None => http(stream, peer, app, ended).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, acceptor.accept(stream)).await {
                http(stream, peer, app, ended).await;
            }
        }
    }
}

async fn http<S>(stream: S, peer: SocketAddr, app: Router, mut ended: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let app = app.clone();
        async move {
            let request = request.map(Body::new);
            let response = match tower_service(app, request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok::<_, Infallible>(response)
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
