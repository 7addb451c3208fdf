use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sidetap_store::StoreError;

/// An error as RFC 9457 has it (`application/problem+json`).
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, title, detail: detail.into() }
    }

    /// What the store said goes to the log; whoever asks learns only that it failed.
    pub(crate) fn of_store(error: &StoreError) -> Self {
        tracing::warn!(error = %error, "store not read");
        let detail = "the store could not be read; the log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store failed", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = (self.status, Json(body)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
