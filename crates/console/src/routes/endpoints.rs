use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sidetap_model::rows::{EndpointRow, SensitiveRow};
use sidetap_store::{
    CAMPAIGNS, CHANGES, CallPoint, CampaignItem, Change, ENDPOINTS, EndpointItem, FINDINGS, Filter,
    FindingItem, HostItem, List, MergedNotes, Notes, Store, Test, VERDICTS, VerdictItem, Wanted,
};

use crate::access::{Caller, Role};
use crate::app::App;
use crate::download::{Known, fields_of};
use crate::input::{Input, Segment, given};
use crate::list::{Asked, Pairs, PartOf};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// The name under which a store keeps OpenAPI documents.
const OPENAPI: &str = "openapi";
/// How deep references are put in place of their names.
const DEPTH: usize = 24;

pub(crate) fn routes() -> Vec<Route> {
    let one = "/api/v1/endpoints/{id}";
    vec![
        Route::new("GET", "/api/v1/hosts", Role::Viewer, get(hosts))
            .says("Hosts of the inventory")
            .query(Params::Named(&[
                ("limit", Kind::Integer),
                ("cursor", Kind::Text),
                ("q", Kind::Text),
                ("host", Kind::Text),
                ("sort", Kind::Text),
                ("format", Kind::Format),
            ]))
            .gives(Answer::Page(of::<HostItem>())),
        Route::new("GET", "/api/v1/hosts/{host}/openapi", Role::Viewer, get(openapi))
            .says("OpenAPI of what was seen of a host"),
        Route::new("GET", "/api/v1/endpoints", Role::Viewer, get(endpoints))
            .says("Endpoints of the inventory")
            .query(Params::List(&ENDPOINTS, &[]))
            .gives(Answer::Page(of::<EndpointItem>())),
        Route::new("GET", one, Role::Viewer, get(endpoint))
            .says("An endpoint")
            .gives(Answer::One(of::<EndpointPage>())),
        Route::new("PATCH", one, Role::Analyst, patch(note))
            .says("Label an endpoint")
            .body(of::<NotesChange>())
            .gives(Answer::Empty),
    ]
}

/// An endpoint with all that is known about it.
#[derive(Serialize, utoipa::ToSchema)]
struct EndpointPage {
    endpoint: EndpointRow,
    /// The id of the endpoint that goes on in place of the one that was asked for.
    merged_into: Option<String>,
    labels: Vec<String>,
    owner: Option<String>,
    note: Option<String>,
    /// What people said of endpoints that were merged into it.
    merged: Vec<MergedNotes>,
    /// Its operation of the OpenAPI document, references resolved.
    #[schema(value_type = Option<Object>)]
    operation: Option<Value>,
    sensitive: Vec<SensitiveRow>,
    findings: Vec<FindingItem>,
    /// Findings of its host that are about no single endpoint, at most 20.
    host_findings: Vec<FindingItem>,
    campaigns: Vec<CampaignItem>,
    /// At most 100 of those who abused its path, by any method; `/verdicts?host=` has all.
    abusers: Vec<VerdictItem>,
    /// Counted to 10,000.
    abusers_total: u64,
    traffic: Calls,
    history: Vec<Change>,
}

/// Calls over time.
#[derive(Serialize, utoipa::ToSchema)]
struct Calls {
    bucket_s: u64,
    points: Vec<CallPoint>,
}

/// Labels, owner and note; what is left out stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotesChange {
    labels: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    owner: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    note: Option<Option<String>>,
}

async fn endpoints(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    Asked::of(&ENDPOINTS, pairs, &[])?.answer(&app, "endpoints", Store::endpoint_list).await
}

async fn hosts(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &["host"], &["risk", "calls", "endpoints", "host", "last_seen"])?;
    let mut rows = app.read(|store| Ok(store.hosts(&documents(store)?.keys().cloned().collect())?)).await?;
    rows.sort_by(|a, b| b.risk.cmp(&a.risk).then(b.calls.cmp(&a.calls)));
    Ok(part.answer(&rows, Known::Also(fields_of::<HostItem>()), "hosts"))
}

async fn openapi(State(app): State<App>, Segment(host): Segment) -> Result<Response, Problem> {
    let document = app.read(move |store| Ok(documents(store)?.remove(&host).map(|d| (host, d)))).await?;
    let Some((host, document)) = document else { return Err(Problem::not_found("OpenAPI document")) };
    let name: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
        .collect();
    let mut response = Json(document).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.json\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

async fn endpoint(State(app): State<App>, Segment(mut id): Segment) -> Result<Json<EndpointPage>, Problem> {
    let read = move |store: &Store| {
        let Some(item) = store.endpoint(&id)? else { return Err(Problem::not_found("endpoint")) };
        let row = item.row;
        let asked = std::mem::replace(&mut id, row.id.to_string());
        let merged_into = if asked == id { store.merged_into(&row)? } else { Some(id.clone()) };
        let notes = store.notes("endpoint", &id)?;
        let merged = store.merged_notes(&id)?;
        let before = row.aliases.iter().map(ToString::to_string).chain(merged.iter().map(|m| m.id.clone()));
        let known_as: BTreeSet<String> = [id.clone(), asked].into_iter().chain(before).collect();
        let about = any_of(&FINDINGS, "endpoint", &known_as);
        let mut of_host = where_(&FINDINGS, "host", &row.host);
        of_host.filters.extend(where_(&FINDINGS, "endpoint", "").filters);
        of_host.limit = 20;
        let place = format!("{} {}{}", row.method, row.host, row.template);
        let campaigns = store.campaign_list(&where_(&CAMPAIGNS, "endpoint", &place))?.rows;
        let host = format!("{}{}", row.host, row.template);
        let points = store.calls(&id)?;
        let width = points.windows(2).map(span_s).min().unwrap_or(60);
        let abusers = store.verdict_list(&where_(&VERDICTS, "host", &host))?;
        Ok(EndpointPage {
            abusers_total: abusers.total,
            abusers: abusers.rows,
            operation: documents(store)?
                .get(&row.host)
                .and_then(|d| operation(d, &row.template, &row.method)),
            sensitive: store.sensitive_of(&id)?,
            findings: store.finding_list(&about)?.rows,
            host_findings: store.finding_list(&of_host)?.rows,
            campaigns,
            traffic: Calls { bucket_s: width, points },
            history: history(store, &known_as)?,
            merged_into,
            merged,
            labels: notes.labels,
            owner: notes.owner,
            note: notes.note,
            endpoint: row,
        })
    };
    app.read(read).await.map(Json)
}

fn span_s(points: &[CallPoint]) -> u64 {
    match points {
        [a, b] => u64::try_from(b.ts.since(a.ts) / 1_000_000_000).unwrap_or(60).max(1),
        _ => 60,
    }
}

/// What changed of an endpoint, and of those that it was.
fn history(store: &Store, ids: &BTreeSet<String>) -> Result<Vec<Change>, Problem> {
    let mut wanted = any_of(&CHANGES, "id", ids);
    wanted.filters.extend(where_(&CHANGES, "kind", "endpoint").filters);
    Ok(store.change_list(&wanted)?.rows)
}

async fn note(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Input(change): Input<NotesChange>,
) -> Result<StatusCode, Problem> {
    let exists = |store: &Store, id: &str| Ok(store.endpoint_id(id)?);
    keep_notes(&app, caller, "endpoint", id, change, exists).await
}

/// Keeps labels, owner and note of a thing that exists.
pub(crate) async fn keep_notes(
    app: &App,
    caller: Caller,
    kind: &'static str,
    id: String,
    change: NotesChange,
    exists: impl Fn(&Store, &str) -> Result<Option<String>, Problem> + Send + 'static,
) -> Result<StatusCode, Problem> {
    let mut labels: Vec<&str> = change.labels.iter().flatten().map(|label| label.trim()).collect();
    labels.sort_unstable();
    labels.dedup();
    // Filters take commas for alternatives, and the store parts labels by the other.
    if let Some(odd) = labels.iter().find(|l| l.contains(['|', ',']) || l.chars().any(char::is_control)) {
        return Err(Problem::bad_body(format!(
            "labels: {odd:?} has a comma, a | or a control character, which no label can have"
        )));
    }
    let long = |t: &Option<Option<String>>, n| t.iter().flatten().any(|t| t.chars().count() > n);
    if labels.len() > 20
        || labels.iter().any(|l| l.is_empty() || l.chars().count() > 64)
        || long(&change.owner, 200)
        || long(&change.note, 4_000)
    {
        return Err(Problem::bad_body(
            "at most 20 labels of 1 to 64 characters, an owner of 200, a note of 4000",
        ));
    }
    let now = app.now();
    app.write(move |store| {
        let Some(id) = exists(store, &id)? else { return Err(Problem::not_found(kind)) };
        let old = store.notes(kind, &id)?;
        let notes = Notes {
            labels: change.labels.unwrap_or(old.labels),
            owner: change.owner.unwrap_or(old.owner),
            note: change.note.unwrap_or(old.note),
        }
        .tidied();
        store.put_notes(kind, &id, &notes)?;
        let detail = json!({"id": id, "labels": notes.labels, "owner": notes.owner, "note": notes.note});
        Ok(store.record_audit(&caller.audit(now, &format!("{kind}.note"), detail))?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The first 100 rows of which a column is one of these.
fn any_of(list: &'static List, column: &str, values: &BTreeSet<String>) -> Wanted {
    let mut wanted = where_(list, column, "");
    wanted.filters.iter_mut().for_each(|f| f.test = Test::Any(values.iter().cloned().collect()));
    wanted
}

/// The first 100 rows of which a column is, or has, this.
pub(crate) fn where_(list: &'static List, column: &str, value: &str) -> Wanted {
    let filters =
        list.column(column).map(|column| Filter { column, test: Test::Any(vec![value.to_owned()]) });
    Wanted { filters: filters.into_iter().collect(), limit: 100, ..Wanted::default() }
}

/// OpenAPI documents by host.
fn documents(store: &Store) -> Result<BTreeMap<String, Value>, Problem> {
    let Some(bytes) = store.state(OPENAPI)? else { return Ok(BTreeMap::new()) };
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

/// An operation of a document with its references resolved.
fn operation(document: &Value, template: &str, method: &str) -> Option<Value> {
    let operation = document.get("paths")?.get(template)?.get(method.to_ascii_lowercase())?;
    Some(resolved(document, operation, DEPTH, &mut BTreeSet::new()))
}

/// A part of a document with what it refers to in place of the references; one to what it is a part of stays.
fn resolved(document: &Value, part: &Value, depth: usize, within: &mut BTreeSet<String>) -> Value {
    if depth == 0 {
        return part.clone();
    }
    match part {
        Value::Array(items) => {
            Value::Array(items.iter().map(|i| resolved(document, i, depth - 1, within)).collect())
        }
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            let Some((name, target)) = name.and_then(|n| Some((n, document.pointer(n.strip_prefix('#')?)?)))
            else {
                let each = fields.iter().map(|(k, v)| (k.clone(), resolved(document, v, depth - 1, within)));
                return Value::Object(each.collect::<Map<_, _>>());
            };
            if !within.insert(name.to_owned()) {
                return part.clone();
            }
            let whole = resolved(document, target, depth - 1, within);
            within.remove(name);
            whole
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_and_circles_end() {
        let document = json!({
            "paths": {"/a": {"get": {"responses": {"$ref": "#/components/R"}}}},
            "components": {"R": {"x": {"$ref": "#/components/R"}, "y": 1}}
        });
        let operation = operation(&document, "/a", "GET").unwrap();
        assert_eq!(operation, json!({"responses": {"x": {"$ref": "#/components/R"}, "y": 1}}));
    }
}
