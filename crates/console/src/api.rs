use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sidetap_model::rows::RunData;
use sidetap_store::{Store, StoreError};

use crate::problem::Problem;

/// Most rows of one answer.
const MAX_LIMIT: usize = 1_000;
/// Rows of an answer that does not say how many.
const DEFAULT_LIMIT: usize = 100;

/// The store behind the console: one reader at a time.
pub(crate) type Shared = Arc<Mutex<Reader>>;

/// A store with what was read of it last, which is read anew when the store has changed.
#[derive(Debug)]
pub(crate) struct Reader {
    store: Store,
    last: Option<(i64, Arc<RunData>)>,
}

impl Reader {
    pub(crate) fn new(store: Store) -> Self {
        Reader { store, last: None }
    }

    /// All that the store holds.
    pub(crate) fn data(&mut self) -> Result<Arc<RunData>, StoreError> {
        let version = self.store.version()?;
        if let Some((_, data)) = self.last.as_ref().filter(|(v, _)| *v == version) {
            return Ok(Arc::clone(data));
        }
        let data = Arc::new(self.store.load()?);
        self.last = Some((version, Arc::clone(&data)));
        Ok(data)
    }
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageOf {
    #[serde(default = "default_limit")]
    limit: usize,
    #[serde(default)]
    offset: usize,
}

fn default_limit() -> usize {
    DEFAULT_LIMIT
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Rows {
    total: u64,
    limit: usize,
    offset: usize,
    rows: Vec<Value>,
}

/// What can be listed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Endpoints,
    Sensitive,
    Findings,
    Campaigns,
    Verdicts,
    Actions,
    Audit,
}

impl List {
    pub(crate) const ALL: [(&'static str, List); 7] = [
        ("/api/v1/endpoints", List::Endpoints),
        ("/api/v1/sensitive", List::Sensitive),
        ("/api/v1/findings", List::Findings),
        ("/api/v1/campaigns", List::Campaigns),
        ("/api/v1/verdicts", List::Verdicts),
        ("/api/v1/actions", List::Actions),
        ("/api/v1/audit", List::Audit),
    ];
}

/// `GET /api/v1/summary`.
pub(crate) async fn summary(State(store): State<Shared>) -> Result<Json<Value>, Problem> {
    let data = read(store, Reader::data).await?;
    Ok(Json(value(&data.summary)))
}

/// `GET /api/v1/<list>?limit=&offset=`.
pub(crate) async fn list(
    store: Shared,
    list: List,
    page: Result<Query<PageOf>, QueryRejection>,
) -> Result<Json<Rows>, Problem> {
    let Query(page) = page.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, "bad query", e.body_text()))?;
    if page.limit == 0 || page.limit > MAX_LIMIT {
        let detail = format!("limit is from 1 to {MAX_LIMIT}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad query", detail));
    }
    read(store, move |s| rows_of(s, list, page)).await.map(Json)
}

/// Reads the store on a thread that may block.
pub(crate) async fn read<T: Send + 'static>(
    store: Shared,
    work: impl FnOnce(&mut Reader) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let task = tokio::task::spawn_blocking(move || {
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut store)
    });
    match task.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(Problem::of_store(&e)),
        Err(_) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "reading stopped", "see the log")),
    }
}

fn rows_of(reader: &mut Reader, list: List, page: PageOf) -> Result<Rows, StoreError> {
    let PageOf { limit, offset } = page;
    let (total, rows) = match list {
        List::Actions => (reader.store.journal_len()?.0, values(&reader.store.actions(limit, offset)?)),
        List::Audit => (reader.store.journal_len()?.1, values(&reader.store.audit(limit, offset)?)),
        _ => part(&*reader.data()?, list, limit, offset),
    };
    Ok(Rows { total, limit, offset, rows })
}

fn part(data: &RunData, list: List, limit: usize, offset: usize) -> (u64, Vec<Value>) {
    fn cut<T: Serialize>(rows: &[T], limit: usize, offset: usize) -> (u64, Vec<Value>) {
        let from = rows.get(offset..).unwrap_or_default();
        (rows.len() as u64, values(from.get(..limit).unwrap_or(from)))
    }
    match list {
        List::Endpoints => cut(&data.endpoints, limit, offset),
        List::Sensitive => cut(&data.sensitive, limit, offset),
        List::Findings => cut(&data.findings, limit, offset),
        List::Campaigns => cut(&data.campaigns, limit, offset),
        List::Verdicts => cut(&data.verdicts, limit, offset),
        List::Actions | List::Audit => (0, Vec::new()),
    }
}

fn values<T: Serialize>(rows: &[T]) -> Vec<Value> {
    rows.iter().map(value).collect()
}

fn value<T: Serialize>(row: &T) -> Value {
    serde_json::to_value(row).unwrap_or(Value::Null)
}
