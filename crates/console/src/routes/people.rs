use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sidetap_store::{Store, TokenRow, UserRow};

use super::control::PAGED;
use super::session::valid_name;
use crate::access::{Caller, Credential, Role, Secret};
use crate::app::App;
use crate::download::{Known, fields_of};
use crate::input::{Input, Segment};
use crate::list::{Pairs, PartOf};
use crate::problem::Problem;
use crate::table::{Answer, Params, Route, of};

/// Longest life of a token that ends, in seconds.
const MAX_LIFE: u64 = 10 * 366 * 86_400;

pub(crate) fn routes() -> Vec<Route> {
    let (user, token) = ("/api/v1/users/{name}", "/api/v1/tokens/{id}");
    let paged = || Params::Named(PAGED);
    vec![
        Route::new("GET", "/api/v1/users", Role::Admin, get(users))
            .says("Users")
            .query(paged())
            .gives(Answer::Page(of::<UserRow>())),
        Route::new("POST", "/api/v1/users", Role::Admin, post(add_user))
            .says("Make a user")
            .body(of::<NewUser>())
            .gives(Answer::Created(of::<UserRow>())),
        Route::new("PATCH", user, Role::Admin, patch(change_user))
            .says("Change a user")
            .body(of::<UserChange>())
            .gives(Answer::Empty),
        Route::new("DELETE", user, Role::Admin, delete(remove_user))
            .says("Remove a user")
            .gives(Answer::Empty),
        Route::new("GET", "/api/v1/tokens", Role::Viewer, get(tokens))
            .says("API tokens: one's own, an administrator's all")
            .query(paged())
            .gives(Answer::Page(of::<TokenRow>())),
        Route::new("POST", "/api/v1/tokens", Role::Viewer, post(add_token))
            .says("Make an API token")
            .by_session()
            .body(of::<NewToken>())
            .gives(Answer::Created(of::<MadeToken>())),
        Route::new("DELETE", token, Role::Viewer, delete(remove_token))
            .says("Remove an API token")
            .gives(Answer::Empty),
    ]
}

/// A user to make.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    name: String,
    role: Role,
    #[schema(min_length = 12, max_length = 1_024)]
    password: String,
}

/// What is to change of a user.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UserChange {
    role: Option<Role>,
    disabled: Option<bool>,
    #[schema(min_length = 12, max_length = 1_024)]
    password: Option<String>,
    /// Whether the user's API tokens go.
    #[serde(default)]
    #[schema(required = false)]
    remove_tokens: bool,
}

/// A token to make.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// At most one's own.
    role: Role,
    #[serde(default)]
    #[schema(required = false)]
    read_only: bool,
    /// Left out: it does not end.
    #[schema(minimum = 1, maximum = 316_224_000)]
    expires_in_s: Option<u64>,
}

/// A token, the only time that it is shown.
#[derive(Serialize, utoipa::ToSchema)]
struct MadeToken {
    id: String,
    token: String,
}

async fn users(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &["role"], &["name", "role", "created_at", "last_login"])?;
    let now = app.now();
    let rows = app.read(move |store| Ok(store.users(now)?)).await?;
    Ok(part.answer(&rows, Known::Also(fields_of::<UserRow>()), "users"))
}

async fn add_user(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<NewUser>,
) -> Result<Response, Problem> {
    let name = valid_name(&body.name)?;
    let hashed = app.access.passwords.hash(body.password).await?;
    let now = app.now();
    let made = app
        .write(move |store| {
            if !store.add_user(&name, body.role.name(), &hashed, now)? {
                return Err(Problem::conflict("there is a user of this name already"));
            }
            store.record_audit(&caller.audit(
                now,
                "user.add",
                json!({ "user": name, "role": body.role.name() }),
            ))?;
            Ok(store.users(now)?.into_iter().find(|u| u.name == name))
        })
        .await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn change_user(
    State(app): State<App>,
    caller: Caller,
    Segment(name): Segment,
    Input(body): Input<UserChange>,
) -> Result<StatusCode, Problem> {
    let hashed = match body.password {
        Some(password) => Some(app.access.passwords.hash(password).await?),
        None => None,
    };
    let now = app.now();
    app.write(move |store| {
        exists(store, &name, now)?;
        let role = body.role.map(Role::name);
        if !store.change_user(&name, role, body.disabled, hashed.as_deref())? {
            return Err(Problem::conflict("the last administrator has to stay one"));
        }
        let tokens = if body.remove_tokens { store.remove_tokens_of(&name)? } else { 0 };
        let detail = json!({
            "user": name, "role": role, "disabled": body.disabled, "password": hashed.is_some(), "tokens_removed": tokens,
        });
        Ok(store.record_audit(&caller.audit(now, "user.change", detail))?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_user(
    State(app): State<App>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<StatusCode, Problem> {
    let now = app.now();
    app.write(move |store| {
        exists(store, &name, now)?;
        if !store.remove_user(&name)? {
            return Err(Problem::conflict("the last administrator has to stay one"));
        }
        Ok(store.record_audit(&caller.audit(now, "user.remove", json!({ "user": name })))?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn exists(store: &Store, name: &str, now: sidetap_model::Ts) -> Result<(), Problem> {
    match store.users(now)?.iter().any(|u| u.name == name) {
        true => Ok(()),
        false => Err(Problem::not_found("user")),
    }
}

async fn tokens(State(app): State<App>, caller: Caller, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &["user", "role"], &["name", "user", "created_at", "last_used"])?;
    let rows = app.read(move |store| Ok(store.tokens(own(&caller))?)).await?;
    Ok(part.answer(&rows, Known::Also(fields_of::<TokenRow>()), "tokens"))
}

async fn add_token(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<NewToken>,
) -> Result<Response, Problem> {
    if !matches!(caller.credential, Credential::Session { .. }) {
        let detail = "a token makes no tokens: log in";
        return Err(Problem::new(StatusCode::FORBIDDEN, "role", "not allowed", detail));
    }
    if body.role > caller.role {
        let detail = "a token may at most what its maker may";
        return Err(Problem::new(StatusCode::FORBIDDEN, "role", "not allowed", detail));
    }
    if !(1..=100).contains(&body.name.chars().count()) {
        return Err(Problem::bad_body("name: 1 to 100 characters"));
    }
    if body.expires_in_s.is_some_and(|s| s == 0 || s > MAX_LIFE) {
        return Err(Problem::bad_body(format!("expires_in_s: 1 to {MAX_LIFE}")));
    }
    let failed = |_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "failed",
            "the system gave no random numbers",
        )
    };
    let secret = Secret::random("st_").map_err(failed)?;
    let now = app.now();
    let (hash, shown) = (secret.hash(), secret.show().to_owned());
    let id: String = hash.iter().take(6).map(|b| format!("{b:02x}")).collect();
    let life = body.expires_in_s.map(|s| i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000));
    let row = TokenRow {
        id: id.clone(),
        name: body.name,
        user: caller.name.clone(),
        role: body.role.name().to_owned(),
        read_only: body.read_only,
        created_at: now,
        expires_at: life.map(|l| now.plus(l)),
        last_used: None,
    };
    app.write(move |store| {
        store.add_token(&row, &hash)?;
        let detail =
            json!({ "token": row.id, "name": row.name, "role": row.role, "read_only": row.read_only });
        Ok(store.record_audit(&caller.audit(now, "token.add", detail))?)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(MadeToken { id, token: shown })).into_response())
}

async fn remove_token(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    let now = app.now();
    app.write(move |store| {
        if !store.remove_token(&id, own(&caller))? {
            return Err(Problem::not_found("token"));
        }
        Ok(store.record_audit(&caller.audit(now, "token.remove", json!({ "token": id })))?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose tokens they may see and remove; nothing: everybody's.
fn own(caller: &Caller) -> Option<&str> {
    (caller.role != Role::Admin).then_some(caller.name.as_str())
}
