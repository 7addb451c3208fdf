use std::net::SocketAddr;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;
use sidetap_store::{AuditRow, Store, StoreError};

use super::{IDLE_S, Secret, same};
use crate::app::App;
use crate::problem::Problem;

/// The cookie of a session, over TLS under a name that browsers take from no other host and over nothing else.
const fn cookie_name(tls: bool) -> &'static str {
    if tls { "__Host-sidetap_session" } else { "sidetap_session" }
}

/// What a change in a session carries.
const CSRF: HeaderName = HeaderName::from_static("x-sidetap-csrf");
/// Nanoseconds between two notes of a session's or token's use.
const NOTE_USE: i64 = 60_000_000_000;

/// What somebody may; each role may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Reads lists and pages.
    Viewer,
    /// Reads evidence, works on findings.
    Analyst,
    /// Acts: policies, approvals, devices, the allow list.
    Operator,
    /// Users, tokens, settings, forgetting.
    Admin,
}

impl Role {
    pub(crate) const ALL: [Role; 4] = [Role::Viewer, Role::Analyst, Role::Operator, Role::Admin];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Analyst => "analyst",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Role::ALL.into_iter().find(|r| r.name() == text).ok_or(())
    }
}

/// An answer to somebody who may ask for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authorized;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) credential: Credential,
}

/// By what.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    /// A session, by the hash of its secret.
    Session { hash: [u8; 32], csrf: String, expires_at: Ts },
    /// A token, by its id.
    Token { id: String, hash: [u8; 32], read_only: bool },
}

impl Caller {
    /// A row of the audit about what they do.
    pub(crate) fn audit(&self, at: Ts, action: &str, detail: serde_json::Value) -> AuditRow {
        let actor = match &self.credential {
            Credential::Session { .. } => self.name.clone(),
            Credential::Token { id, .. } => format!("{} (token {id})", self.name),
        };
        AuditRow { at, actor, action: action.to_owned(), detail }
    }
}

impl Caller {
    /// Whether they still may what they might: what they came by has not ended, nor have they, nor is their role a lower one.
    pub(crate) fn is_still(&self, store: &Store, now: Ts) -> Result<bool, StoreError> {
        let role = match &self.credential {
            Credential::Session { hash, .. } => {
                store.session(hash, now)?.filter(|s| is_in_use(s.used_at, now)).map(|s| s.role)
            }
            Credential::Token { hash, .. } => store.token(hash, now)?.map(|(_, owner)| owner),
        };
        Ok(role.and_then(|r| r.parse::<Role>().ok()).is_some_and(|role| role >= self.role))
    }
}

/// Whether a session was used so lately that it goes on.
fn is_in_use(used_at: Ts, now: Ts) -> bool {
    now.since(used_at) < IDLE_S * 1_000_000_000
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(nobody)
    }
}

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Lets through who has the role, and tells the handler who it is.
pub(crate) async fn authorize(
    State((app, wanted)): State<(App, Role)>,
    mut request: Request,
    next: Next,
) -> Response {
    match identify(&app, request.headers(), request.method(), wanted).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(Authorized);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn identify(
    app: &App,
    headers: &HeaderMap,
    method: &Method,
    wanted: Role,
) -> Result<Caller, Problem> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let caller = match bearer(headers)? {
        Some(secret) => by_token(app, &Secret::of(secret)).await?,
        None => by_session(app, headers, reads).await?,
    };
    if let Credential::Token { read_only: true, .. } = caller.credential
        && !reads
    {
        let detail = "this token may only read";
        return Err(Problem::new(StatusCode::FORBIDDEN, "role", "not allowed", detail));
    }
    if caller.role < wanted {
        let detail = format!("this takes the role {}; yours is {}", wanted.name(), caller.role.name());
        return Err(Problem::new(StatusCode::FORBIDDEN, "role", "not allowed", detail));
    }
    Ok(caller)
}

/// The token of an `Authorization` header; one of another scheme is refused rather than passed over.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|v| v.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(nobody()),
    }
}

async fn by_token(app: &App, secret: &Secret) -> Result<Caller, Problem> {
    let (hash, now) = (secret.hash(), app.now());
    let found = app.read(move |store| Ok(store.token(&hash, now)?)).await?;
    let Some((token, owner)) = found else { return Err(nobody()) };
    let (Ok(role), Ok(owner)) = (token.role.parse::<Role>(), owner.parse::<Role>()) else {
        return Err(nobody());
    };
    if token.last_used.is_none_or(|t| now.since(t) > NOTE_USE) {
        let id = token.id.clone();
        app.write_apart(move |store| Ok(store.use_token(&id, now)?)).await?;
    }
    let credential = Credential::Token { id: token.id, hash, read_only: token.read_only };
    Ok(Caller { name: token.user, role: role.min(owner), credential })
}

async fn by_session(app: &App, headers: &HeaderMap, reads: bool) -> Result<Caller, Problem> {
    let Some(secret) = cookie_named(headers, cookie_name(app.about.tls)) else { return Err(nobody()) };
    let (hash, now) = (Secret::of(secret).hash(), app.now());
    let found = app.read(move |store| Ok(store.session(&hash, now)?)).await?;
    let Some(session) = found.filter(|s| is_in_use(s.used_at, now)) else {
        return Err(nobody());
    };
    let Ok(role) = session.role.parse() else { return Err(nobody()) };
    let shown = headers.get(CSRF).map(|v| v.as_bytes()).unwrap_or_default();
    if !reads && !same(shown, session.csrf.as_bytes()) {
        let detail = "a change in a session carries the header X-Sidetap-CSRF with the session's csrf value";
        return Err(Problem::new(StatusCode::FORBIDDEN, "csrf", "not from the console", detail));
    }
    if now.since(session.used_at) > NOTE_USE {
        app.write_apart(move |store| Ok(store.use_session(&hash, now)?)).await?;
    }
    let credential = Credential::Session { hash, csrf: session.csrf, expires_at: session.expires_at };
    Ok(Caller { name: session.user, role, credential })
}

/// The value of a cookie; of one that is there twice nobody can say which is meant.
pub(crate) fn cookie_named<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut found = cookies
        .flat_map(|c| c.split(';'))
        .filter_map(|c| c.trim().split_once('='))
        .filter(|(n, _)| *n == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// The `Set-Cookie` of a session.
pub(crate) fn cookie(secret: &Secret, tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!(
        "{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        cookie_name(tls),
        secret.show(),
        super::SESSION_S
    )
}

/// The `Set-Cookie` that takes it back.
pub(crate) fn clear_cookie(tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}", cookie_name(tls))
}

pub(crate) fn nobody() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "not-logged-in", "not logged in", "log in, or send an API token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_the_session_is_this_hosts_only() {
        let secret = Secret::of("s");
        for set in [cookie(&secret, true), clear_cookie(true)] {
            assert!(set.starts_with("__Host-sidetap_session=") && set.ends_with("; Secure"), "{set}");
            assert!(set.contains("; Path=/;") && !set.contains("Domain"), "{set}");
        }
        assert!(!cookie(&secret, false).contains("__Host-"), "browsers take that over TLS only");
    }
}
