use axum::extract::{Extension, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, http::HeaderMap};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sidetap_model::Ts;
use sidetap_store::{AuditRow, NewSession, Store};

use crate::access::{
    Caller, Credential, KNOWN, Key, Peer, Role, SESSION_S, Secret, clear_cookie, cookie, cookie_named,
    identify,
};
use crate::app::App;
use crate::input::Input;
use crate::problem::Problem;
use crate::table::{Answer, Route, of};

pub(crate) fn routes() -> Vec<Route> {
    let path = "/api/v1/session";
    vec![
        Route::open("GET", "/api/v1/setup", get(setup)).says("Whether the administrator is still to be made"),
        Route::open("POST", "/api/v1/setup", post(set_up))
            .says("Make the administrator")
            .body(of::<SetUp>())
            .gives(Answer::Created(of::<Session>())),
        Route::open("POST", path, post(log_in))
            .says("Log in")
            .body(of::<LogIn>())
            .gives(Answer::One(of::<Session>())),
        Route::new("GET", path, Role::Viewer, get(me))
            .says("Who is logged in")
            .gives(Answer::One(of::<Session>())),
        Route::new("DELETE", path, Role::Viewer, delete(log_out)).says("Log out").gives(Answer::Empty),
        Route::new("PUT", "/api/v1/session/password", Role::Viewer, put(change_password))
            .says("Change one's own password")
            .by_session()
            .body(of::<NewPassword>())
            .gives(Answer::Empty),
    ]
}

/// What makes the administrator.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SetUp {
    /// The one-time token that the first start printed.
    token: String,
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    name: String,
    #[schema(min_length = 12, max_length = 1_024)]
    password: String,
}

/// A log-in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    name: String,
    password: String,
}

/// A change of password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    old: String,
    #[schema(min_length = 12, max_length = 1_024)]
    new: String,
    /// Whether the user's API tokens go too; they hold on otherwise.
    #[serde(default)]
    #[schema(required = false)]
    remove_tokens: bool,
}

/// Who is logged in.
#[derive(Serialize, utoipa::ToSchema)]
struct Session {
    user: User,
    /// What every change in a session carries in the header `X-Sidetap-CSRF`; null with a token.
    csrf: Option<String>,
    /// When it ends; null where it does not.
    expires_at: Option<Ts>,
    /// `session` or `token`.
    kind: String,
}

/// A user as others see them.
#[derive(Serialize, utoipa::ToSchema)]
struct User {
    name: String,
    role: Role,
}

/// A page that is opened learns so whether anybody is logged in without being refused.
async fn setup(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    let sso = app.access.sso.as_ref().map(|s| s.oidc.name.clone());
    let session = identify(&app, &headers, &Method::GET, Role::Viewer).await.is_ok();
    Json(json!({ "required": app.access.awaits_setup(), "sso": sso, "session": session }))
}

async fn set_up(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Input(body): Input<SetUp>,
) -> Result<Response, Problem> {
    if !app.access.awaits_setup() {
        return Err(Problem::conflict("there is an administrator already"));
    }
    let mut keys = vec![Key::SetUp];
    keys.extend(address(peer));
    attempt(&app, &keys)?;
    if !app.access.is_setup(body.token.trim()) {
        let detail = "this is not the token that the first start printed";
        return Err(Problem::new(StatusCode::FORBIDDEN, "setup-required", "wrong token", detail));
    }
    app.access.lockout.take_back(&keys);
    let name = valid_name(&body.name)?;
    let hashed = app.access.passwords.hash(body.password).await?;
    let now = app.now();
    let (user, by) = (name.clone(), name.clone());
    let first = move |store: &mut Store| match store.add_first_user(&user, &hashed, now)? {
        true => Ok(()),
        false => Err(Problem::conflict("there is an administrator already")),
    };
    let begun = begin(&app, name, Role::Admin, "session.set-up", first).await;
    if app.read(|store| Ok(!store.has_no_users()?)).await? {
        app.access.end_setup();
    }
    let mut response = begun?;
    be_known(&app, &mut response, &by, None);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

async fn log_in(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Input(body): Input<LogIn>,
) -> Result<Response, Problem> {
    let known = known(&app, &headers, &body.name);
    let keys = keys(&body.name, peer, known.clone());
    attempt(&app, &keys)?;
    let name = body.name.clone();
    let hashed = app.read(move |store| Ok(store.password(&name)?)).await?;
    if !tried(&app, &keys, app.access.passwords.verify(body.password, hashed).await)? {
        told(&app, &keys).await?;
        let detail = "there is no such user, or the password is another one";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "not-logged-in", "not logged in", detail));
    }
    app.access.lockout.take_back(&keys);
    app.access.lockout.worked(&keys);
    let (name, by) = (body.name.clone(), body.name.clone());
    let now = app.now();
    let user = app.read(move |store| Ok(store.users(now)?.into_iter().find(|u| u.name == name))).await?;
    match user.and_then(|u| u.role.parse().ok()) {
        Some(role) => {
            let mut response = begin(&app, body.name, role, "session.log-in", |_| Ok(())).await?;
            be_known(&app, &mut response, &by, known);
            Ok(response)
        }
        None => Err(Problem::conflict("the user was removed meanwhile")),
    }
}

/// Begins a session and says so, once what comes before it is done.
pub(super) async fn begin(
    app: &App,
    name: String,
    role: Role,
    action: &'static str,
    first: impl FnOnce(&mut Store) -> Result<(), Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let random = |prefix| {
        Secret::random(prefix).map_err(|_| {
            let detail = "the system gave no random numbers";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "failed", detail)
        })
    };
    let (secret, csrf) = (random("")?, random("")?.show().to_owned());
    let (hash, now) = (secret.hash(), app.now());
    let expires_at = now.plus(SESSION_S * 1_000_000_000);
    let caller =
        Caller { name, role, credential: Credential::Session { hash, csrf: csrf.clone(), expires_at } };
    let audit = caller.audit(now, action, json!({ "role": role.name() }));
    let (user, token) = (caller.name.clone(), csrf.clone());
    app.write(move |store| {
        first(store)?;
        store.add_session(&NewSession { hash: &hash, user: &user, csrf: &token, expires_at }, now)?;
        Ok(store.record_audit(&audit)?)
    })
    .await?;
    let mut response = Json(session(&caller)).into_response();
    set_cookie(response.headers_mut(), &cookie(&secret, app.about.tls));
    Ok(response)
}

async fn me(caller: Caller) -> Json<Session> {
    Json(session(&caller))
}

async fn log_out(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    if let Credential::Session { hash, .. } = caller.credential {
        let audit = caller.audit(app.now(), "session.log-out", json!({}));
        app.write(move |store| {
            store.end_session(&hash)?;
            Ok(store.record_audit(&audit)?)
        })
        .await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(response.headers_mut(), &clear_cookie(app.about.tls));
    Ok(response)
}

async fn change_password(
    State(app): State<App>,
    caller: Caller,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Input(body): Input<NewPassword>,
) -> Result<StatusCode, Problem> {
    if !matches!(caller.credential, Credential::Session { .. }) {
        let detail = "a token changes no password: log in";
        return Err(Problem::new(StatusCode::FORBIDDEN, "role", "not allowed", detail));
    }
    let keys = keys(&caller.name, peer, known(&app, &headers, &caller.name));
    attempt(&app, &keys)?;
    let name = caller.name.clone();
    let hashed = app.read(move |store| Ok(store.password(&name)?)).await?;
    if !tried(&app, &keys, app.access.passwords.verify(body.old, hashed).await)? {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "role",
            "not allowed",
            "the old password is another one",
        ));
    }
    app.access.lockout.take_back(&keys);
    let hashed = app.access.passwords.hash(body.new).await?;
    let now = app.now();
    app.write(move |store| {
        store.change_user(&caller.name, None, None, Some(&hashed))?;
        let tokens = if body.remove_tokens { store.remove_tokens_of(&caller.name)? } else { 0 };
        let detail = json!({ "user": caller.name, "tokens_removed": tokens });
        let audit = caller.audit(now, "user.password", detail);
        if let Credential::Session { hash, csrf, expires_at } = &caller.credential {
            store
                .add_session(&NewSession { hash, user: &caller.name, csrf, expires_at: *expires_at }, now)?;
        }
        Ok(store.record_audit(&audit)?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn session(caller: &Caller) -> Session {
    let (csrf, expires_at, kind) = match &caller.credential {
        Credential::Session { csrf, expires_at, .. } => (Some(csrf.clone()), Some(*expires_at), "session"),
        Credential::Token { .. } => (None, None, "token"),
    };
    let user = User { name: caller.name.clone(), role: caller.role };
    Session { user, csrf, expires_at, kind: kind.to_owned() }
}

fn set_cookie(headers: &mut HeaderMap, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(header::SET_COOKIE, value);
    }
}

/// By what failures are counted: a browser in which the name has logged in before by itself, everybody else by name and address.
fn keys(name: &str, peer: Peer, known: Option<String>) -> Vec<Key> {
    if let Some(browser) = known {
        return vec![Key::Known(browser)];
    }
    let name: String = name.chars().take(100).collect();
    let mut keys = vec![Key::From(name.clone(), peer.0.ip()), Key::Name(name)];
    keys.extend(address(peer));
    keys
}

/// The address, where it is not this machine's own (a proxy's).
fn address(Peer(peer): Peer) -> Option<Key> {
    (!peer.ip().is_loopback()).then(|| Key::Address(peer.ip()))
}

/// Which of the name's browsers asks, where it is one.
fn known(app: &App, headers: &HeaderMap, name: &str) -> Option<String> {
    app.access.browsers.which(name, cookie_named(headers, KNOWN)?)
}

/// Makes the browser known from now on, where it is not.
fn be_known(app: &App, response: &mut Response, name: &str, known: Option<String>) {
    if known.is_some() {
        return;
    }
    let Ok(number) = Secret::random("") else { return };
    let number: String = number.show().chars().filter(|c| *c != '.').take(12).collect();
    let cookie = app.access.browsers.cookie(name, &number, app.about.tls);
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Counts an attempt before anything is looked at.
fn attempt(app: &App, keys: &[Key]) -> Result<(), Problem> {
    app.access.lockout.attempt(keys, app.now()).map_err(Problem::locked_out)
}

/// Writes down who is locked out from now on, once.
async fn told(app: &App, keys: &[Key]) -> Result<(), Problem> {
    let locked = app.access.lockout.failed(keys);
    if locked.is_empty() {
        return Ok(());
    }
    let audit = AuditRow {
        at: app.now(),
        actor: "console".to_owned(),
        action: "session.locked-out".to_owned(),
        detail: json!({ "who": locked }),
    };
    app.write_apart(move |store| Ok(store.record_audit(&audit)?)).await
}

/// What came of an attempt; where nothing could be looked at it was none.
fn tried(app: &App, keys: &[Key], result: Result<bool, Problem>) -> Result<bool, Problem> {
    result.inspect_err(|_| app.access.lockout.take_back(keys))
}

/// A user's name: letters, digits and `. _ - @`, at most 64.
pub(crate) fn valid_name(name: &str) -> Result<String, Problem> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@'));
    match fits {
        true => Ok(name.to_owned()),
        false => Err(Problem::bad_body("name: 1 to 64 letters, digits, `.`, `_`, `-` and `@`")),
    }
}
