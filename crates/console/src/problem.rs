use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sidetap_store::StoreError;

use crate::control::Refused;

/// After how long a request may come again that a busy store could not take.
const AGAIN_S: u64 = 2;

/// An error as RFC 9457 has it (`application/problem+json`).
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    kind: &'static str,
    title: &'static str,
    pub(crate) detail: String,
    errors: Option<Box<Value>>,
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem of `urn:sidetap:problem:` and this kind.
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Problem { status, kind, title, detail: detail.into(), errors: None, retry_after_s: None }
    }

    pub(crate) fn bad_query(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "bad-query", "bad query", detail)
    }

    pub(crate) fn bad_body(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "bad-body", "bad body", detail)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "not found", format!("there is no such {what}"))
    }

    pub(crate) fn too_slow(detail: &str) -> Self {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "too slow", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::CONFLICT, "conflict", "conflict", detail)
    }

    pub(crate) fn locked_out(seconds: u64) -> Self {
        let detail = format!("too many log-ins failed; try again in {seconds} s");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "locked-out", "locked out", detail);
        Problem { retry_after_s: Some(seconds), ..problem }
    }

    /// Others hold the store: nothing was done, and the same may be asked again.
    pub(crate) fn store_busy(detail: &str) -> Self {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-busy", "store busy", detail);
        Problem { retry_after_s: Some(AGAIN_S), ..problem }
    }

    /// What the store said goes to the log; whoever asks learns only that it failed.
    pub(crate) fn of_store(error: &StoreError) -> Self {
        if error.is_busy() {
            tracing::warn!(error = %error, "others held the store for too long");
            let detail =
                "others write into the store for longer than this waited; nothing was changed: try again";
            return Problem::store_busy(detail);
        }
        tracing::warn!(error = %error, "store not read");
        if error.is_full() {
            let detail = "there is no room in the store or on its disk; GET /api/v1/health says which";
            return Problem::new(StatusCode::INSUFFICIENT_STORAGE, "store-full", "store full", detail);
        }
        let detail = "the store could not be read; the log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "store failed", detail)
    }

    /// What is said.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "type": format!("urn:sidetap:problem:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let (Some(errors), Some(fields)) = (&self.errors, body.as_object_mut()) {
            fields.insert("errors".to_owned(), Value::clone(errors));
        }
        body
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Problem::of_store(&error)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::NotAvailable(_) => {
                Problem::new(StatusCode::CONFLICT, "not-available", "not available", detail)
            }
            Refused::NotFound(_) => Problem::new(StatusCode::NOT_FOUND, "not-found", "not found", detail),
            Refused::Conflict(_) => Problem::conflict(detail),
            Refused::Bad { errors, .. } => Problem {
                errors: Some(errors).filter(|e| !e.is_null()).map(Box::new),
                ..Problem::bad_body(detail)
            },
            Refused::GoingOn(_) => {
                Problem::new(StatusCode::GATEWAY_TIMEOUT, "going-on", "still being carried out", detail)
            }
            Refused::Failed(_) => {
                tracing::warn!(error = %detail, "a command failed");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "failed", detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"Sidetap\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
