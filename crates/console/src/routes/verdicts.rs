use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;
use sidetap_model::ActionRow;
use sidetap_model::rows::VerdictRow;
use sidetap_store::{ACTIONS, CampaignItem, Filter, Store, Test, VERDICTS, VerdictItem, Wanted};

use super::endpoints::where_;
use super::evidence::{Exchanges, exchanges_of};
use crate::access::{Caller, Role};
use crate::app::App;
use crate::input::Segment;
use crate::list::{Asked, Pairs};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Actions on the page of one verdict or campaign; the list of actions has all.
const ACTIONS_SHOWN: usize = 100;

/// Actions of one verdict or campaign.
pub(crate) type ActionRows = Vec<ActionRow>;

/// Addresses by which other verdicts are looked for.
const ADDRESSES: usize = 20;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/verdicts", Role::Viewer, get(verdicts))
            .says("Actors and what is thought of them")
            .query(Params::List(&VERDICTS, &[]))
            .gives(Answer::Page(of::<VerdictItem>())),
        Route::new("GET", "/api/v1/verdicts/{id}", Role::Viewer, get(verdict))
            .says("A verdict and why")
            .gives(Answer::One(of::<VerdictPage>())),
        Route::new("GET", "/api/v1/verdicts/{id}/what-if", Role::Viewer, get(what_if))
            .says("What a verdict would be without some of its indicators")
            .query(Params::Named(&[("without", Kind::Text)])),
        Route::new("GET", "/api/v1/verdicts/{id}/exchanges", Role::Analyst, get(evidence))
            .says("Exchanges that show it; audited")
            .query(Params::Named(&[("format", Kind::Format)]))
            .gives(Answer::One(of::<Exchanges>())),
    ]
}

/// A verdict with all that is known about it.
#[derive(Serialize, utoipa::ToSchema)]
struct VerdictPage {
    verdict: VerdictRow,
    campaign: Option<CampaignItem>,
    /// What its indicators are, by id.
    #[schema(value_type = Object)]
    indicators: Value,
    /// The newest, at most 100; `/actions?verdict=` has all.
    actions: ActionRows,
    /// Counted to 10,000.
    actions_total: u64,
    /// Other verdicts that share an address.
    elsewhere: Vec<VerdictItem>,
}

async fn verdicts(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    Asked::of(&VERDICTS, pairs, &[])?.answer(&app, "verdicts", Store::verdict_list).await
}

async fn verdict(State(app): State<App>, Segment(id): Segment) -> Result<Json<VerdictPage>, Problem> {
    let control = std::sync::Arc::clone(&app.control);
    let read = move |store: &Store| {
        let row = known(store, &id)?;
        let ids: Vec<String> = row.reasons.iter().map(|r| r.indicator.to_string()).collect();
        let campaign = row.campaign.as_deref().map(|c| store.campaign_item(c)).transpose()?.flatten();
        let addresses: Vec<String> =
            row.client_ip.iter().chain(&row.client_ips).take(ADDRESSES).map(ToString::to_string).collect();
        let mut elsewhere = match addresses.is_empty() {
            true => Vec::new(),
            false => store.verdict_list(&any("ip", addresses))?.rows,
        };
        elsewhere.retain(|v| v.id != row.id);
        let (actions, actions_total) = actions_of(store, "verdict", &row.id)?;
        Ok(VerdictPage {
            indicators: control.indicators(&ids),
            actions,
            actions_total,
            campaign,
            elsewhere,
            verdict: row,
        })
    };
    app.read(read).await.map(Json)
}

async fn what_if(State(app): State<App>, Segment(id): Segment, pairs: Pairs) -> Result<Json<Value>, Problem> {
    let axum::extract::Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
    let mut without = Vec::new();
    for (name, value) in pairs {
        match name.as_str() {
            "without" => without.extend(value.split(',').filter(|w| !w.is_empty()).map(str::to_owned)),
            _ => return Err(Problem::bad_query(format!("{name}: no such parameter"))),
        }
    }
    let control = std::sync::Arc::clone(&app.control);
    app.read(move |store| Ok(control.what_if(&known(store, &id)?, &without)?)).await.map(Json)
}

async fn evidence(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let what = id.clone();
    let row = app.read(move |store| known(store, &id)).await?;
    let ids = row.reasons.into_iter().flat_map(|r| r.evidence.to_vec()).collect();
    exchanges_of(&app, &caller, pairs, ("verdict", what), ids).await
}

fn known(store: &Store, id: &str) -> Result<VerdictRow, Problem> {
    store.verdict(id)?.ok_or_else(|| Problem::not_found("verdict"))
}

/// The newest actions by what `column` of their list says, and how many there are.
pub(crate) fn actions_of(store: &Store, column: &str, value: &str) -> Result<(ActionRows, u64), Problem> {
    let part = store.action_list(&Wanted { limit: ACTIONS_SHOWN, ..where_(&ACTIONS, column, value) })?;
    Ok((part.rows.into_iter().map(|a| a.row).collect(), part.total))
}

fn any(column: &str, values: Vec<String>) -> Wanted {
    let filter = VERDICTS.column(column).map(|column| Filter { column, test: Test::Any(values) });
    Wanted { filters: filter.into_iter().collect(), limit: 50, ..Wanted::default() }
}
