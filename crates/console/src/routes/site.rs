//! What the site says of its APIs: descriptions, and endpoints merged or told apart. The next run goes by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sidetap_store::{Reshaped, ShapeRow};

use super::control::{PAGED, ask, rows_of};
use super::orders::order;
use crate::access::{Caller, Role};
use crate::app::App;
use crate::control::{Refused, SpecSave};
use crate::download::{Format, Known, fields_of, file};
use crate::input::{Input, Segment};
use crate::list::{Pairs, PartOf, only_format};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Characters of a template.
const TEMPLATE: usize = 2_000;
/// Characters of a description's name.
const NAME: usize = 100;

pub(crate) fn routes() -> Vec<Route> {
    let spec = "/api/v1/specs/{name}";
    vec![
        Route::new("GET", "/api/v1/specs", Role::Viewer, get(specs))
            .says("Descriptions of APIs that were given")
            .query(Params::Named(PAGED))
            .gives(Answer::Objects),
        Route::new("PUT", spec, Role::Analyst, put(put_spec))
            .says(
                "Give a description (OpenAPI 2.0, 3.0 or 3.1, JSON or YAML); the next run is held against it",
            )
            .body(of::<SpecBody>())
            .large(),
        Route::new("DELETE", spec, Role::Analyst, delete(remove_spec))
            .says("Take a description back")
            .gives(Answer::Empty),
        Route::new("GET", "/api/v1/specs/{name}/conformance", Role::Viewer, get(conformance))
            .says("What was seen against what a description says")
            .query(Params::Named(&[("format", Kind::Format)])),
        Route::new("GET", "/api/v1/templates", Role::Viewer, get(templates))
            .says("Endpoints merged or told apart")
            .query(Params::Named(PAGED))
            .gives(Answer::Page(of::<ShapeRow>())),
        Route::new("POST", "/api/v1/templates", Role::Analyst, post(add_template))
            .says("Merge endpoints into a template, or tell one from the others; the next run goes by it")
            .body(of::<TemplateBody>())
            .gives(Answer::Created(of::<ShapeRow>())),
        Route::new("POST", "/api/v1/templates/check", Role::Viewer, post(check_template))
            .says("What a template would merge or tell apart, of what is known")
            .body(of::<TemplateBody>())
            .gives(Answer::One(of::<TemplateCheck>())),
        Route::new("DELETE", "/api/v1/templates/{id}", Role::Analyst, delete(remove_template))
            .says("Take that back")
            .gives(Answer::Empty),
    ]
}

/// A description to keep.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SpecBody {
    text: String,
}

/// A template to set.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TemplateBody {
    /// As the inventory spells it.
    host: String,
    method: String,
    /// `/items/{id}` makes all below `/items` one endpoint, `/items/special` tells that one from them.
    template: String,
    #[serde(default)]
    #[schema(required = false)]
    reason: String,
}

/// What a template would do.
#[derive(Serialize, utoipa::ToSchema)]
struct TemplateCheck {
    /// Endpoints that it would call otherwise, of all methods and below it, at most 500.
    rows: Vec<Reshaped>,
    /// How many there are.
    total: usize,
}

/// Endpoints that a check names.
const CHECKED: usize = 500;
/// Endpoints by which a parameter of what they become is named.
const NAMED_BY: usize = 50;

async fn check_template(
    State(app): State<App>,
    Input(body): Input<TemplateBody>,
) -> Result<Json<TemplateCheck>, Problem> {
    check(&body.host, &body.method, &body.template)?;
    let mut rows = app.read(move |store| Ok(store.reshaped(&body.host, &body.template)?)).await?;
    let mut of: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in &rows {
        of.entry((row.method.clone(), row.becomes.clone())).or_default().push(row.template.clone());
    }
    let total = rows.len();
    rows.truncate(CHECKED);
    for row in &mut rows {
        if let Some(of) = of.get(&(row.method.clone(), row.becomes.clone())) {
            let of: Vec<&str> = of.iter().take(NAMED_BY).map(String::as_str).collect();
            row.becomes = app.control.template_named(&row.becomes, &of);
        }
    }
    Ok(Json(TemplateCheck { rows, total }))
}

async fn specs(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &[], &["name", "at"])?;
    let Json(all) = ask(&app, |c, store| c.specs(store)).await?;
    Ok(part.answer(
        &rows_of(all),
        Known::First(&["name", "at", "by", "bytes", "operations", "error"]),
        "specs",
    ))
}

async fn put_spec(
    State(app): State<App>,
    caller: Caller,
    Segment(name): Segment,
    Input(body): Input<SpecBody>,
) -> Result<Json<Value>, Problem> {
    if name.is_empty() || name.len() > NAME || name.chars().any(char::is_control) {
        return Err(Problem::bad_body(format!("name: 1 to {NAME} characters")));
    }
    // Browsers and proxies take these for the folder itself and the one above it: nobody could open it.
    if name == "." || name == ".." {
        return Err(Problem::bad_body("name: not `.` or `..`"));
    }
    let detail = json!({ "name": name, "bytes": body.text.len() });
    let save = SpecSave { name, text: body.text, by: caller.name.clone() };
    let (control, read) = (Arc::clone(&app.control), save.clone());
    let said = app.heavy.run(move || Ok(control.read_spec(&read)?)).await?;
    let kept = order(&app, &caller, "spec.save", detail, move |c, store| c.put_spec(store, &save)).await;
    kept.map(|_| Json(said))
}

async fn remove_spec(
    State(app): State<App>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<StatusCode, Problem> {
    let detail = json!({ "name": name });
    let Json(_) =
        order(&app, &caller, "spec.remove", detail, move |c, store| c.remove_spec(store, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn conformance(
    State(app): State<App>,
    Segment(name): Segment,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let form = only_format(pairs)?;
    let Json(all) = ask(&app, move |c, store| c.conformance(store, &name)).await?;
    Ok(if form == Format::Page {
        Json(all).into_response()
    } else {
        file(&differences(&all), Known::First(DIFFERENCE), form, "conformance")
    })
}

/// Columns of a file of differences.
const DIFFERENCE: &[&str] = &["difference", "host", "method", "template", "what", "calls"];

/// The rows of all lists in it, each with the list that it stands in.
fn differences(all: &Value) -> Vec<Value> {
    let lists =
        all.as_object().into_iter().flatten().filter_map(|(name, list)| Some((name, list.as_array()?)));
    let rows = lists.flat_map(|(name, list)| list.iter().map(move |row| (name, row)));
    rows.map(|(name, row)| match row.as_object() {
        Some(fields) => {
            let mut all = serde_json::Map::from_iter([("difference".to_owned(), json!(name))]);
            all.extend(fields.clone());
            Value::Object(all)
        }
        None => json!({ "difference": name, "value": row }),
    })
    .collect()
}

async fn templates(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &[], &["at", "host", "template", "id"])?;
    let mut rows = app.read(|store| Ok(store.shapes()?)).await?;
    rows.reverse();
    Ok(part.answer(&rows, Known::Also(fields_of::<ShapeRow>()), "templates"))
}

async fn add_template(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<TemplateBody>,
) -> Result<Response, Problem> {
    let TemplateBody { host, method, template, reason } = body;
    check(&host, &method, &template)?;
    if reason.chars().count() > 1_000 {
        return Err(Problem::bad_body("reason: at most 1000 characters"));
    }
    let now = app.now();
    let by = caller.name.clone();
    let row = ShapeRow { id: 0, host, method, template, kind: String::new(), reason, by, at: now };
    let row = app
        .write(move |store| {
            let Some(row) = store.add_shape(&row)? else {
                return Err(Refused::Conflict("this template is set already".to_owned()).into());
            };
            let detail = json!({ "kind": row.kind, "host": row.host, "method": row.method, "template": row.template, "reason": row.reason });
            store.record_audit(&caller.audit(now, "template.add", detail))?;
            Ok(row)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(row)).into_response())
}

/// Whether a template can be one.
fn check(host: &str, method: &str, template: &str) -> Result<(), Problem> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#');
    if host.is_empty() || host.len() > 255 || host.chars().any(|c| odd(c) || c == '/') {
        return Err(Problem::bad_body("host: a host as the inventory spells it"));
    }
    if method.is_empty() || method.len() > 20 || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
    {
        return Err(Problem::bad_body("method: a method in capitals"));
    }
    if !template.starts_with('/') || template.len() > TEMPLATE || template.chars().any(odd) {
        return Err(Problem::bad_body("template: a path, with {name} for what varies"));
    }
    let balanced = template.split('/').all(|s| {
        let (open, close) = (s.matches('{').count(), s.matches('}').count());
        open == close && open <= 1 && (open == 0 || s.find('{') < s.find('}'))
    });
    match balanced {
        true => Ok(()),
        false => Err(Problem::bad_body("template: each segment has at most one {name}")),
    }
}

async fn remove_template(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    let id: i64 = id.parse().map_err(|_| Problem::not_found("template"))?;
    let now = app.now();
    app.write(move |store| {
        let Some(row) = store.remove_shape(id)? else {
            return Err(Refused::NotFound("there is no such template".into()).into());
        };
        let detail = json!({ "host": row.host, "method": row.method, "template": row.template });
        Ok(store.record_audit(&caller.audit(now, "template.remove", detail))?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_rows_that_say_which_they_are() {
        let all = json!({ "operations": 2, "undocumented_statuses": [{"method": "GET", "at": "/a"}], "unseen": ["/b"] });
        let rows = differences(&all);
        assert_eq!(rows[0], json!({"difference": "undocumented_statuses", "method": "GET", "at": "/a"}));
        assert_eq!(rows[1..], [json!({"difference": "unseen", "value": "/b"})]);
    }
}
