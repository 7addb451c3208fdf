use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Html;
use axum::routing::get;
use sidetap_model::rows::RunData;
use sidetap_store::Store;
use tokio::net::TcpListener;

use crate::api::{self, List, Reader, Shared};
use crate::error::ConsoleError;
use crate::guard::{Names, guard};
use crate::problem::Problem;

/// Makes the page of what a store holds: the report of a run, in one self-contained document.
pub type Page = Arc<dyn Fn(&RunData) -> String + Send + Sync>;

/// A console that has taken its address and serves once it is run.
pub struct Console {
    listener: TcpListener,
    listen: SocketAddr,
    store: Shared,
    page: Page,
    hosts: Vec<String>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Console {
    /// Opens the store to read and takes the address; port 0 takes a free one.
    pub async fn bind(store: &Path, listen: SocketAddr, page: Page) -> Result<Self, ConsoleError> {
        let store = Store::open_read_only(store)?;
        let refused = |source| ConsoleError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let listen = listener.local_addr().map_err(refused)?;
        Ok(Console {
            listener,
            listen,
            store: Arc::new(Mutex::new(Reader::new(store))),
            page,
            hosts: Vec::new(),
        })
    }

    /// Answers to these names too, besides its addresses and `localhost`.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Vec<String>) -> Self {
        self.hosts = hosts;
        self
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Serves until `shutdown` is done.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), ConsoleError> {
        let names = Arc::new(Names::new(self.listen, self.hosts));
        let app = router(self.store, self.page).layer(from_fn_with_state(names, guard));
        axum::serve(self.listener, app.into_make_service()).with_graceful_shutdown(shutdown).await?;
        Ok(())
    }
}

fn router(store: Shared, page: Page) -> Router {
    let home = move |State(store): State<Shared>| {
        let page = Arc::clone(&page);
        async move { api::read(store, Reader::data).await.map(|data| Html(page(&data))) }
    };
    let mut router = Router::new()
        .route("/", get(home))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/api/v1/summary", get(api::summary));
    for (path, list) in List::ALL {
        let handler = move |State(store): State<Shared>, page| api::list(store, list, page);
        router = router.route(path, get(handler));
    }
    router
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "not found", "there is nothing at this path")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed",
                "the console is read-only: GET",
            )
        })
        .with_state(store)
}
