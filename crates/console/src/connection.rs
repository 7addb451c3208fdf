//! Connections: how many, how slow, and over what.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
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
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
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
        Box::pin(async move {
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
        })
    });
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut over = tokio::select! {
        result = poll_fn(|cx| served.poll_without_shutdown(cx)) => Some(result),
        _ = ended.changed() => None,
    };
    if over.is_none() {
        Pin::new(&mut served).graceful_shutdown();
        let last = poll_fn(|cx| served.poll_without_shutdown(cx));
        over = tokio::time::timeout(END, last).await.ok();
    }
    let Some(result) = over else { return };
    let mut stream = served.into_parts().io.into_inner();
    if let Err(error) = result {
        stream.fails(&error);
    }
    let _ = stream.shutdown().await;
}

async fn tower_service(app: Router, request: Request<Body>) -> Result<axum::response::Response, Infallible> {
    use hyper::service::Service as _;
    hyper_util::service::TowerToHyperService::new(app).call(request).await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What a connection answers to these bytes, sent one after another with a second between, from which no more come.
    async fn said(parts: &[&str]) -> String {
        let (mut client, server) = tokio::io::duplex(4_096);
        let app = Router::new().route("/", get(|| async { "here" }));
        let (_end, ended) = watch::channel(false);
        let seats = Seats::new(4);
        let seat = seats.take();
        let served = http(server, "127.0.0.1:9".parse().unwrap(), app, ended, &seat);
        let asks = async {
            for part in parts {
                // One that has ended takes no more.
                let _ = client.write_all(part.as_bytes()).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        tokio::join!(served, asks).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_takes_too_long_is_answered_and_one_that_never_began_is_not() {
        let begun = std::iter::repeat_n("x", 30);
        let dripped: Vec<&str> = ["GET / HTTP/1.1\r\nHost: a\r\nX-A: "].into_iter().chain(begun).collect();
        let whole = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for slow in [&["GET / HT"][..], &dripped] {
            let answer = said(slow).await;
            assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("problem+json"), "{answer}");
            assert!(answer.contains("urn:sidetap:problem:timeout"), "{answer}");
        }
        assert_eq!(said(&[]).await, "", "who asks for nothing is told nothing");
        let idle = said(&[whole]).await;
        assert!(
            idle.starts_with("HTTP/1.1 200 ") && idle.ends_with("here"),
            "nor who has his answer: {idle}"
        );
        let second = said(&[whole, "GET /"]).await;
        assert!(second.starts_with("HTTP/1.1 200 ") && second.contains("HTTP/1.1 408 "), "{second}");
        let preface = said(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await;
        assert!(preface.starts_with("HTTP/1.1 400 ") && preface.contains("bad-request"), "{preface}");
    }
}
