use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, patch, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sidetap_model::rows::CampaignRow;
use sidetap_model::{SubjectKind, Ts};
use sidetap_store::{
    CAMPAIGNS, CampaignItem, FINDINGS, FindingItem, MEMBERS, MemberItem, Part, Store, Test, Wanted,
};

use super::endpoints::{NotesChange, keep_notes, where_};
use super::evidence::{Exchanges, exchanges_of};
use super::verdicts::{ActionRows, actions_of};
use crate::access::{Caller, Role};
use crate::app::App;
use crate::input::{Input, Segment};
use crate::list::{Asked, Pairs};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Members on a campaign's page.
const MEMBERS_SHOWN: usize = 200;
/// Names that can be matched at once.
const NAMES: usize = 10_000;
/// Parts of a signature that are fingerprints.
const FINGERPRINTS: [&str; 12] = [
    "fingerprint",
    "agent",
    "header-order",
    "door",
    "negotiation",
    "body",
    "cookies",
    "path",
    "target-set",
    "timing",
    "http2",
    "tls",
];

pub(crate) fn routes() -> Vec<Route> {
    let one = "/api/v1/campaigns/{id}";
    vec![
        Route::new("GET", "/api/v1/campaigns", Role::Viewer, get(campaigns))
            .says("Campaigns")
            .query(Params::List(&CAMPAIGNS, &["member"]))
            .gives(Answer::Page(of::<CampaignItem>())),
        Route::new("GET", one, Role::Viewer, get(campaign))
            .says("A campaign")
            .gives(Answer::One(of::<CampaignPage>())),
        Route::new("PATCH", one, Role::Analyst, patch(note))
            .says("Label a campaign")
            .body(of::<NotesChange>())
            .gives(Answer::Empty),
        Route::new("GET", "/api/v1/campaigns/{id}/members", Role::Viewer, get(members))
            .says("Who took part")
            .query(Params::List(&MEMBERS, &[]))
            .gives(Answer::Page(of::<MemberItem>())),
        Route::new("GET", "/api/v1/campaigns/{id}/exchanges", Role::Analyst, get(evidence))
            .says("Exchanges that show it; audited")
            .query(Params::Named(&[("format", Kind::Format)]))
            .gives(Answer::One(of::<Exchanges>())),
        Route::new("GET", "/api/v1/campaigns/{id}/suggestion", Role::Analyst, get(suggestion))
            .says("The smallest policy that separates it from honest traffic"),
        Route::new("POST", "/api/v1/campaigns/{id}/accounts/match", Role::Analyst, post(match_accounts))
            .says("Which of the given accounts it touched; audited")
            .body(of::<Accounts>())
            .gives(Answer::One(of::<Matched>())),
    ]
}

/// A campaign with all that is known about it.
#[derive(Serialize, utoipa::ToSchema)]
struct CampaignPage {
    /// With at most 200 members.
    campaign: CampaignRow,
    members_total: u64,
    labels: Vec<String>,
    note: Option<String>,
    /// Verdicts of its members.
    verdicts: u64,
    /// Verdicts by response.
    responses: BTreeMap<String, u64>,
    /// Fingerprints by set of tools, in the order in which they were first seen (`phase_of`) in what is kept of its exchanges; where
    /// that is one set, what its members share.
    fingerprints: Vec<BTreeMap<String, String>>,
    findings: Vec<FindingItem>,
    /// The newest, at most 100; `/actions?campaign=` has all.
    actions: ActionRows,
    /// Counted to 10,000.
    actions_total: u64,
}

/// Names of accounts.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Accounts {
    /// As the application spells them; they are hashed with the site's key and not kept.
    accounts: Vec<String>,
}

/// Which of them were touched.
#[derive(Serialize, utoipa::ToSchema)]
struct Matched {
    /// Places in the given list.
    matched: Vec<usize>,
    /// Accounts that the campaign touched and the store knows.
    touched: usize,
    /// Requests of its members that are stored and were looked at.
    looked_at: u64,
    /// Its requests. Where as many were looked at, no account is missing.
    requests: u64,
}

async fn campaigns(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let asked = Asked::of(&CAMPAIGNS, pairs, &["member"])?;
    let member = asked.extra("member").map(str::to_owned);
    let read = move |store: &Store, wanted: &Wanted| -> Result<Part<CampaignItem>, _> {
        match &member {
            Some(member) => store.campaign_list_of(member, wanted),
            None => store.campaign_list(wanted),
        }
    };
    asked.answer(&app, "campaigns", read).await
}

async fn campaign(State(app): State<App>, Segment(id): Segment) -> Result<Json<CampaignPage>, Problem> {
    let read = move |store: &Store| {
        let mut row = known(store, &id)?;
        let notes = store.notes("campaign", &id)?;
        let responses = store.responses_of(&id)?;
        let members_total = row.members.len() as u64;
        row.members.sort_by(|a, b| b.requests.cmp(&a.requests).then(a.value.cmp(&b.value)));
        row.members.truncate(MEMBERS_SHOWN);
        let prints = |s: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            FINGERPRINTS.iter().filter_map(|f| Some(((*f).to_owned(), s.get(*f)?.clone()))).collect()
        };
        let mut findings = Vec::new();
        for place in row.endpoints.iter().take(5) {
            let host = place.split_once(' ').and_then(|(_, p)| p.split('/').next()).unwrap_or_default();
            let of_host = store.finding_list(&where_(&FINDINGS, "host", host))?.rows;
            findings.extend(of_host.into_iter().filter(|f| {
                let about = |key| f.row.subject.get(key).map_or("", String::as_str);
                *place == format!("{} {}{}", about("method"), about("host"), about("template"))
            }));
        }
        let (actions, actions_total) = actions_of(store, "campaign", &id)?;
        Ok(CampaignPage {
            fingerprints: Some(phases(store, &id)?)
                .filter(|p| p.len() > 1)
                .unwrap_or_else(|| vec![prints(&row.signature)]),
            verdicts: responses.values().sum(),
            actions,
            actions_total,
            members_total,
            responses,
            findings,
            labels: notes.labels,
            note: notes.note,
            campaign: row,
        })
    };
    app.read(read).await.map(Json)
}

/// Parts of a fingerprint by how they are spelled.
const PARTS: [(&str, &str); 7] = [
    ("s2-", "fingerprint"),
    ("a1-", "agent"),
    ("h1-", "header-order"),
    ("d1-", "door"),
    ("n1-", "negotiation"),
    ("b1-", "body"),
    ("c1-", "cookies"),
];
/// Sets of tools that are shown side by side.
const PHASES: usize = 8;

/// The sets of tools that a campaign used, by what is kept of it: those used most, the earliest first.
fn phases(store: &Store, id: &str) -> Result<Vec<BTreeMap<String, String>>, Problem> {
    let (_, ids) = store.sample(&format!("campaign:{id}"))?;
    let mut tools: Vec<(BTreeMap<String, String>, Ts, u64)> = Vec::new();
    for row in store.evidence(&ids)? {
        let prints = row.exchange.pointer("/sidetap/actor/fingerprint").and_then(Value::as_array);
        let texts = || prints.into_iter().flatten().filter_map(Value::as_str);
        let of = |prefix: &str| texts().find(|t| t.starts_with(prefix)).map(str::to_owned);
        let mut set: BTreeMap<String, String> =
            PARTS.iter().filter_map(|(prefix, name)| Some(((*name).to_owned(), of(prefix)?))).collect();
        // What is sent differs from request to request; tools are told by how they send it.
        let (body, cookies) = (set.remove("body"), set.remove("cookies"));
        match tools.iter_mut().find(|(known, ..)| set.iter().all(|(k, v)| known.get(k) == Some(v))) {
            Some((_, _, n)) => *n += 1,
            None if set.is_empty() => {}
            None => {
                set.extend(body.map(|v| ("body".to_owned(), v)));
                set.extend(cookies.map(|v| ("cookies".to_owned(), v)));
                let agent = row.exchange.pointer("/user_agent/original").and_then(Value::as_str);
                set.extend(agent.map(|v| ("user-agent".to_owned(), v.to_owned())));
                tools.push((set, row.at, 1));
            }
        }
    }
    tools.sort_by(|a, b| b.2.cmp(&a.2).then(a.1.cmp(&b.1)));
    tools.truncate(PHASES);
    tools.sort_by_key(|(_, at, _)| *at);
    let phase = |(mut set, at, n): (BTreeMap<String, String>, Ts, u64)| {
        set.insert("phase_of".to_owned(), at.to_string());
        set.insert("exchanges-kept".to_owned(), n.to_string());
        set
    };
    Ok(tools.into_iter().map(phase).collect())
}

fn known(store: &Store, id: &str) -> Result<CampaignRow, Problem> {
    store.campaign(id)?.ok_or_else(|| Problem::not_found("campaign"))
}

async fn note(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Input(change): Input<NotesChange>,
) -> Result<StatusCode, Problem> {
    let exists = |store: &Store, id: &str| Ok(store.campaign(id)?.map(|c| c.id));
    keep_notes(&app, caller, "campaign", id, change, exists).await
}

async fn members(State(app): State<App>, Segment(id): Segment, pairs: Pairs) -> Result<Response, Problem> {
    let asked = Asked::of(&MEMBERS, pairs, &[])?;
    let wanted = id.clone();
    app.read(move |store| known(store, &wanted).map(|_| ())).await?;
    asked.answer(&app, "members", move |store, wanted| store.member_list(&id, wanted)).await
}

async fn evidence(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let what = id.clone();
    let ids = app.read(move |store| Ok(store.exchanges_of(&known(store, &id)?)?)).await?;
    exchanges_of(&app, &caller, pairs, ("campaign", what), ids).await
}

async fn suggestion(State(app): State<App>, Segment(id): Segment) -> Result<Json<Value>, Problem> {
    let control = std::sync::Arc::clone(&app.control);
    let read = move |store: &Store| {
        known(store, &id)?;
        Ok(control.suggestion(store, &id)?)
    };
    app.read_heavy(read).await.map(Json)
}

async fn match_accounts(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Input(body): Input<Accounts>,
) -> Result<Json<Matched>, Problem> {
    if body.accounts.len() > NAMES {
        return Err(Problem::bad_body(format!("accounts: at most {NAMES}")));
    }
    let spelled = app.control.account_names(&body.accounts)?;
    let now = app.now();
    let audit = caller.audit(now, "accounts.match", json!({ "campaign": id, "given": body.accounts.len() }));
    let control = std::sync::Arc::clone(&app.control);
    let look = move |store: &Store| {
        let campaign = known(store, &id)?;
        let named = control.accounts_named(store, &campaign)?;
        let mut touched = accounts_of(store, &campaign)?;
        touched.extend(named.accounts);
        Ok((touched, named.requests, campaign.requests))
    };
    let (touched, looked_at, requests) = app.read_heavy(look).await?;
    app.write_apart(move |store| Ok(store.record_look(&audit)?)).await?;
    let matched =
        spelled.iter().enumerate().filter(|(_, name)| touched.contains(*name)).map(|(n, _)| n).collect();
    Ok(Json(Matched { matched, touched: touched.len(), looked_at, requests }))
}

/// Accounts that a campaign touched, as far as the store knows: members, and accounts of the exchanges that were kept.
fn accounts_of(store: &Store, campaign: &CampaignRow) -> Result<BTreeSet<String>, Problem> {
    let members = campaign.members.iter().filter(|m| m.kind == SubjectKind::Account);
    let mut all: BTreeSet<String> = members.map(|m| m.value.clone()).collect();
    for row in store.evidence(&store.exchanges_of(campaign)?)? {
        let account = row.exchange.pointer("/sidetap/actor/account").and_then(Value::as_str);
        all.extend(account.map(str::to_owned));
    }
    let member = MEMBERS
        .column("kind")
        .map(|column| sidetap_store::Filter { column, test: Test::Any(vec!["account".into()]) });
    let wanted = Wanted { filters: member.into_iter().collect(), limit: NAMES, ..Wanted::default() };
    all.extend(store.member_list(&campaign.id, &wanted)?.rows.into_iter().map(|m| m.member.value));
    Ok(all)
}
