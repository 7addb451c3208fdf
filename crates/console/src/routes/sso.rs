//! Log-in by a provider: a browser is sent there, and comes back with a code.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use serde_json::json;
use sidetap_store::AuditRow;

use super::session::begin;
use crate::access::{PENDING_S, Person, Sso, SsoError, cookie_named, same};
use crate::app::App;
use crate::list::Pairs;
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route};

/// The cookie by which a browser is known again.
const COOKIE: &str = "sidetap_sso";
const PATH: &str = "/api/v1/session/sso";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::open("GET", PATH, get(start))
            .says("Go to the provider to log in; a browser is sent there (303)")
            .gives(Answer::Elsewhere),
        Route::open("GET", "/api/v1/session/sso/callback", get(callback))
            .says("Come back from the provider; a browser is sent to the page (303)")
            .query(Params::Sent(&[
                ("code", Kind::Text),
                ("state", Kind::Text),
                ("iss", Kind::Text),
                ("session_state", Kind::Text),
                ("scope", Kind::Text),
                ("error", Kind::Text),
                ("error_description", Kind::Text),
            ]))
            .gives(Answer::Elsewhere),
    ]
}

fn sso(app: &App) -> Result<Arc<Sso>, Problem> {
    app.access.sso.clone().ok_or_else(|| {
        let detail = "this server has no provider to log in by";
        Problem::new(StatusCode::CONFLICT, "not-available", "not available", detail)
    })
}

async fn start(State(app): State<App>) -> Result<Response, Problem> {
    let (sso, now) = (sso(&app)?, app.now());
    if app.access.awaits_setup() {
        return Err(Problem::conflict("create the administrator first, with the one-time token"));
    }
    match blocking(move || sso.begin(now)).await {
        Ok((url, state)) => {
            let secure = if app.about.tls { "; Secure" } else { "" };
            let cookie =
                format!("{COOKIE}={state}; Path={PATH}; HttpOnly; SameSite=Lax; Max-Age={PENDING_S}{secure}");
            Ok(sent(&url, Some(&cookie)))
        }
        Err(error) => Ok(failed(&error)),
    }
}

async fn callback(State(app): State<App>, headers: HeaderMap, pairs: Pairs) -> Result<Response, Problem> {
    let (sso, now) = (sso(&app)?, app.now());
    let axum::extract::Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
    let given =
        |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
    let (code, state, error) = (given("code"), given("state"), given("error"));
    if !error.is_empty() {
        return Ok(failed(&SsoError::Refused(format!("the provider says {error}"))));
    }
    let known =
        cookie_named(&headers, COOKIE).is_some_and(|c| !c.is_empty() && same(c.as_bytes(), state.as_bytes()));
    if !known || code.is_empty() {
        return Ok(failed(&SsoError::Refused("it was not this browser that went to log in".to_owned())));
    }
    let person = match blocking(move || sso.end(&state, &code, now)).await {
        Ok(person) => person,
        Err(error) => return Ok(failed(&error)),
    };
    let name = person.name.clone();
    let role = person.role;
    if !admit(&app, person).await? {
        return Ok(failed(&SsoError::Refused(format!("{name} is disabled, or the name of another user"))));
    }
    let session = begin(&app, name, role, "session.sso", |_| Ok(())).await?;
    let mut response = sent("/", Some(&format!("{COOKIE}=; Path={PATH}; HttpOnly; SameSite=Lax; Max-Age=0")));
    for cookie in session.headers().get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    Ok(response)
}

/// Makes or brings up to date the user of a person; false where the name is somebody else's, or may not log in.
async fn admit(app: &App, person: Person) -> Result<bool, Problem> {
    let now = app.now();
    app.write(move |store| {
        let Person { name, role, mark } = person;
        let said = |action: &str, user: &str| AuditRow {
            at: now,
            actor: "single sign-on".to_owned(),
            action: action.to_owned(),
            detail: json!({ "user": user, "role": role.name() }),
        };
        if store.add_user(&name, role.name(), &mark, now)? {
            store.record_audit(&said("user.add", &name))?;
            return Ok(true);
        }
        if store.password(&name)?.as_deref() != Some(&mark) {
            return Ok(false);
        }
        let known = store.users(now)?.into_iter().find(|u| u.name == name);
        match known {
            Some(user) if user.role == role.name() => Ok(true),
            Some(_) => {
                let changed = store.change_user(&name, Some(role.name()), None, None)?;
                if changed {
                    store.record_audit(&said("user.change", &name))?;
                }
                Ok(changed)
            }
            None => Ok(false),
        }
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SsoError> + Send + 'static,
) -> Result<T, SsoError> {
    let task = tokio::task::spawn_blocking(work).await;
    task.unwrap_or_else(|_| Err(SsoError::Provider("asking it ended early".to_owned())))
}

/// The log says why; the page says that.
fn failed(error: &SsoError) -> Response {
    tracing::warn!(%error, "log-in by the provider");
    let why = match error {
        SsoError::Provider(_) => "provider",
        SsoError::Refused(_) => "refused",
        SsoError::NoRole(_) => "no-role",
    };
    sent(&format!("/?sso={why}"), None)
}

fn sent(to: &str, cookie: Option<&str>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    if let Some(cookie) = cookie.and_then(|c| HeaderValue::from_str(c).ok()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
