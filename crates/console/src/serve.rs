use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rustls::ServerConfig;
use serde_json::Value;
use sidetap_model::rows::RunData;
use sidetap_store::Store;
use tokio::net::{TcpListener, TcpSocket};

use crate::access::{Access, Browsers, Oidc, Peer, Role, Secret, authorize};
use crate::app::{About, App, Clock, Heavy, Readers, Shared, Writer};
use crate::connection;
use crate::control::{Control, StoreOnly};
use crate::describe::describe;
use crate::devices::Devices;
use crate::error::ConsoleError;
use crate::guard::{Names, guard, is_own};
use crate::live::LiveStats;
use crate::pages;
use crate::problem::Problem;
use crate::routes::{self, metrics};
use crate::table;
use crate::tls;

/// Makes the page of what a store holds: the report of a run, in one self-contained document.
pub type Page = Arc<dyn Fn(&RunData) -> String + Send + Sync>;

/// For a request with its body, but for streams.
const REQUEST: Duration = Duration::from_secs(60);
/// For one that goes through all verdicts and requests of the store.
const LONG_REQUEST: Duration = Duration::from_secs(600);

/// Between two looks at all pages of the store.
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
/// Bytes that wait in the kernel to be sent to a peer.
const SEND: u32 = 128 << 10;

/// How a console is to serve.
pub struct Options {
    /// The store's file.
    pub store: PathBuf,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names that it answers to, besides its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Certificate chain and key (PEM) for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The provider that people log in by, besides passwords.
    pub oidc: Option<Oidc>,
    /// Policy, devices, the site's key.
    pub control: Arc<dyn Control>,
    /// The report.
    pub page: Page,
    /// How a watch is doing, where this is beside one.
    pub live: LiveStats,
    /// The wall clock.
    pub clock: Clock,
    /// Sidetap's version.
    pub version: String,
    /// Connections at once, where the process may have so many.
    pub connections: usize,
    /// After how long what is too old or too much is first removed, where no watch does: who comes first does not wait for that.
    pub tidy_after: Duration,
}

impl Options {
    /// A console over a store and nothing else.
    pub fn new(store: &Path, listen: SocketAddr, clock: Clock) -> Self {
        Options {
            store: store.to_owned(),
            listen,
            hosts: Vec::new(),
            tls: None,
            oidc: None,
            control: Arc::new(StoreOnly),
            page: Arc::new(|_| String::new()),
            live: LiveStats::default(),
            clock,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: connection::CONNECTIONS,
            tidy_after: MINUTE,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("store", &self.store)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// A console that has taken its address and serves once it is run.
pub struct Console {
    listener: TcpListener,
    listen: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    readers: Readers,
    store: Store,
    orders: Store,
    looks: Store,
    access: Access,
    setup: Option<Secret>,
    options: Options,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Console {
    /// Opens the store, reads certificate and key, takes the address. No thread is started.
    pub async fn bind(options: Options) -> Result<Self, ConsoleError> {
        if !options.store.is_file() {
            Store::open_read_only(&options.store)?;
        }
        let mut store = Store::open_checked(&options.store)?;
        store.keep_space();
        let orders = Store::open(&options.store)?;
        let looks = Store::open(&options.store)?;
        let readers = Readers::open(&options.store)?;
        let tls = options.tls.as_ref().map(|(certificate, key)| tls::config(certificate, key)).transpose()?;
        let refused = |source| ConsoleError::Listen { listen: options.listen, source };
        let listener = listen_on(options.listen).map_err(refused)?;
        let listen = listener.local_addr().map_err(refused)?;
        let access = Access::new(options.oidc.clone(), Browsers::of(&mut store)?);
        let setup = match store.has_no_users()? {
            true => {
                let secret = Secret::random("")?;
                access.await_setup(&secret);
                Some(secret)
            }
            false => None,
        };
        Ok(Console { listener, listen, tls, readers, store, orders, looks, access, setup, options })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The one-time token that makes the administrator, where there is none yet.
    pub fn setup_token(&self) -> Option<&str> {
        self.setup.as_ref().map(Secret::show)
    }

    /// Whether the binary has the pages.
    pub fn has_pages() -> bool {
        pages::are_built()
    }

    /// Serves until `shutdown` is done.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), ConsoleError> {
        let Console { listener, listen, tls, readers, store, orders, looks, access, setup: _, options } =
            self;
        let names = Arc::new(Names::new(listen, options.hosts.clone()));
        let about = About {
            version: options.version,
            listen,
            tls: tls.is_some(),
            hosts: options.hosts,
            store: options.store,
        };
        let app = Arc::new(Shared {
            readers,
            writer: Writer::start(store)?,
            orders: Writer::start_orders(orders)?,
            looks: Writer::start_looks(looks)?,
            devices: Devices::new(),
            control: options.control,
            access,
            live: options.live,
            streams: routes::Streams::default(),
            heavy: Heavy::new(),
            copies: Arc::new(tokio::sync::Semaphore::new(1)),
            whole: AtomicBool::new(true),
            clock: options.clock,
            page: options.page,
            about,
        });
        tokio::spawn(check_daily(App::clone(&app)));
        tokio::spawn(forget_left(App::clone(&app)));
        tokio::spawn(keep_hourly(App::clone(&app), options.tidy_after));
        let mut router = router(&app).layer(from_fn_with_state(names, guard));
        if app.about.tls {
            router = router.layer(from_fn(only_by_tls));
        }
        connection::serve(listener, tls, router, options.connections, shutdown).await;
        Ok(())
    }
}

/// A route of the API: what it is and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// `GET`, …
    pub method: &'static str,
    /// Its path, `{id}` for what varies.
    pub path: &'static str,
    /// The role that it takes; nothing where anybody may.
    pub role: Option<&'static str>,
}

/// Every route of the API.
pub fn routes() -> Vec<RouteInfo> {
    let info = |r: table::Route| RouteInfo { method: r.method, path: r.path, role: r.role.map(Role::name) };
    routes::all().into_iter().map(info).collect()
}

/// The OpenAPI description of the API.
pub fn openapi() -> Value {
    describe(&routes::all())
}

/// Tells browsers to come by TLS only from now on.
async fn only_by_tls(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let year = HeaderValue::from_static("max-age=31536000");
    response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, year);
    response
}

/// Looks every day whether the store's pages still fit together, on a connection of its own.
async fn check_daily(app: App) {
    loop {
        tokio::time::sleep(DAY).await;
        let path = app.about.store.clone();
        let check = move || Store::open_read_only(&path).and_then(|s| s.check_pages());
        if let Ok(checked) = tokio::task::spawn_blocking(check).await {
            if let Err(error) = &checked {
                tracing::error!(%error, "the store's pages do not fit together");
            }
            app.whole.store(checked.is_ok(), Relaxed);
        }
    }
}

/// Finishes what runs that were killed had still to forget, and keeps space of the disk back again where it was used.
async fn forget_left(app: App) {
    loop {
        tokio::time::sleep(MINUTE).await;
        let now = app.now();
        if let Err(problem) = app.write_apart(move |store| Ok(store.end_silent(now)?)).await {
            tracing::warn!(?problem, "who was to be forgotten by a run that ended waits in the store");
        }
        app.keep_space().await;
    }
}

/// Removes what is too old or too much, where no watch does: once the first who come were answered, and each hour.
async fn keep_hourly(app: App, after: Duration) {
    tokio::time::sleep(after).await;
    loop {
        app.keep_limits().await;
        tokio::time::sleep(HOUR).await;
    }
}

/// Takes the address. What waits to be sent to a peer is bounded, so that one who takes it at a few KB/s is seen to take some of it.
fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND)?;
    socket.bind(address)?;
    socket.listen(1_024)
}

fn router(app: &App) -> Router {
    let description = openapi();
    let guarded = |role| from_fn_with_state((App::clone(app), role), authorize);
    table::router(app, routes::all())
        .route("/api/v1/openapi.json", get(move || async move { Json(description) }))
        .route("/report", get(report).route_layer(guarded(Role::Viewer)))
        .route("/metrics", get(metrics).route_layer(from_fn_with_state(App::clone(app), local_or_known)))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(pages::page)
        .method_not_allowed_fallback(|| async {
            let detail = "this path does not take that method";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "method not allowed", detail)
        })
        .layer(from_fn(in_time))
        .with_state(App::clone(app))
}

/// What takes too long ends: a body that trickles in, a statement that never does.
async fn in_time(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // Who orders devices is told what came of it, however long they take.
    let long = ["/api/v1/policies", "/api/v1/mitigation/"].iter().any(|p| path.starts_with(p))
        || path.ends_with("/suggestion");
    match tokio::time::timeout(if long { LONG_REQUEST } else { REQUEST }, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::too_slow("the request took too long").into_response(),
    }
}

/// Lets metrics be read from this machine by an address of its own, and else by who has a token. Where other names are configured a
/// proxy may stand before the console, and then all the world comes from this machine.
async fn local_or_known(State(app): State<App>, request: Request, next: Next) -> Response {
    let local = request.extensions().get::<Peer>().is_some_and(|p| p.0.ip().is_loopback());
    let proxied = ["forwarded", "x-forwarded-for"].iter().any(|h| request.headers().contains_key(*h));
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let own = app.about.hosts.is_empty() && is_own(host);
    match local && own && !proxied {
        true => next.run(request).await,
        false => authorize(State((app, Role::Viewer)), request, next).await,
    }
}

async fn ready(State(app): State<App>) -> Result<&'static str, Response> {
    let written = app.write_apart(|_| Ok(())).await;
    match app.read(move |store| written.and(Ok(store.marks()?))).await {
        Ok(_) => Ok("ready\n"),
        Err(problem) => {
            let mut response = problem.into_response();
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Err(response)
        }
    }
}

async fn report(State(app): State<App>) -> Result<Html<String>, Problem> {
    let page = Arc::clone(&app.page);
    app.read_heavy(move |store| Ok(Html(page(&store.load_to_report()?)))).await
}
