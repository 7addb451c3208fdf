//! What a page shows in part is there whole: lists that go on, and files of them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PASSWORD, Served, serve, serve_with};
use serde_json::{Value, json};
use sidetap_console::{Control, Done};
use sidetap_model::rows::{InputSummary, RunData};
use sidetap_model::{ActionRow, Ts};
use sidetap_store::Store;

/// A campaign with these many verdicts, and two actions about each.
fn act(served: &Served, verdicts: usize) {
    let mut store = Store::open(&served.dir.path().join("sidetap.db")).unwrap();
    let (from, to) = ("2026-10-13T09:00:00Z", "2026-10-13T09:10:00Z");
    let verdict = |n: usize| {
        serde_json::from_value(json!({
            "id": format!("v-{n}"), "zone": "default", "subject": {"kind": "ip", "value": format!("203.0.113.{n}")},
            "client_ip": null, "client_ips": [], "intent": "malicious", "class": "bola", "oat": [], "score": 90, "automation": 80,
            "coverage": {}, "campaign": "c-1", "phase": "online", "first_seen": from, "detected_at": from, "last_seen": to, "requests": n,
            "reasons": [], "response": "block", "ttl_s": 60,
        }))
        .unwrap()
    };
    let campaign = serde_json::from_value(json!({
        "id": "c-1", "class": "bola", "oat": [], "score": 91, "phase": "online", "first_seen": from, "detected_at": from, "last_seen": to,
        "requests": 10, "endpoints": [], "members": [], "signature": {}, "outcome": {}, "reasons": [],
    }))
    .unwrap();
    let mut data = RunData {
        verdicts: (0..verdicts).map(verdict).collect(),
        campaigns: vec![campaign],
        ..RunData::default()
    };
    data.summary.inputs.push(InputSummary { path: "b.pcap".into(), ..InputSummary::default() });
    store.save_run(&data, Ts::from_parts(1_795_000_000, 0)).unwrap();
    let action = |n: usize, kind: &str| ActionRow {
        at: Ts::from_parts(1_795_000_000, n as i64),
        actor: "cli".into(),
        connector: "edge".into(),
        kind: kind.into(),
        mode: "enforce".into(),
        subject: format!("203.0.113.{n}/32"),
        response: "block".into(),
        verdict: Some(format!("v-{n}")),
        expires_at: None,
        outcome: "done".into(),
        answer: "ok".into(),
        why: String::new(),
    };
    for kind in ["add", "undo"] {
        store.record_actions(&(0..verdicts).map(|n| action(n, kind)).collect::<Vec<_>>()).unwrap();
    }
}

#[tokio::test]
async fn all_actions_of_a_campaign_are_listed_and_exported() {
    let served = serve().await.with_admin().await;
    act(&served, 130);
    let admin = served.log_in("admin", PASSWORD).await;
    let page = admin.get("/api/v1/campaigns/c-1").await.json();
    assert_eq!((page["actions"].as_array().unwrap().len(), &page["actions_total"]), (100, &json!(260)));
    let (mut kinds, mut cursor) = (Vec::new(), String::new());
    loop {
        let part = admin.get(&format!("/api/v1/actions?campaign=c-1&limit=100{cursor}")).await.json();
        assert_eq!(part["total"], 260);
        kinds.extend(part["rows"].as_array().unwrap().iter().map(|a| a["kind"].as_str().unwrap().to_owned()));
        let Some(next) = part["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((kinds.len(), kinds.iter().filter(|k| *k == "add").count()), (260, 130));
    let csv = admin.get("/api/v1/actions?campaign=c-1&format=csv").await;
    assert_eq!((csv.status, csv.body.lines().count()), (200, 261));
    let verdict = admin.get("/api/v1/verdicts/v-7").await.json();
    assert_eq!((verdict["actions"].as_array().unwrap().len(), &verdict["actions_total"]), (2, &json!(2)));
    assert_eq!(admin.get("/api/v1/actions?campaign=c-2").await.json()["total"], 0);
}

#[tokio::test]
async fn runs_are_a_list() {
    let served = serve().await.with_admin().await;
    act(&served, 1);
    let admin = served.log_in("admin", PASSWORD).await;
    let first = admin.get("/api/v1/runs?limit=1").await.json();
    assert_eq!((&first["total"], &first["rows"][0]["inputs"][0]["path"]), (&json!(2), &json!("b.pcap")));
    let next = first["next"].as_str().unwrap();
    let second = admin.get(&format!("/api/v1/runs?limit=1&cursor={next}")).await.json();
    assert_eq!(second["rows"][0]["inputs"][0]["path"], "a.pcap");
    let oldest = admin.get("/api/v1/runs?sort=first_ts").await.json();
    assert_eq!(oldest["rows"][0]["first_ts"], Value::Null, "what saw no packet comes first");
    assert_eq!(admin.get("/api/v1/runs?q=a.pcap").await.json()["total"], 1);
    let csv = admin.get("/api/v1/runs?format=csv").await;
    assert!(csv.has("filename=\"runs.csv\"") && csv.body.lines().count() == 3, "{}", csv.body);
    assert_eq!(admin.get("/api/v1/runs?format=ndjson").await.body.lines().count(), 2);
}

/// Whether what a route answers is a list.
fn is_list(description: &Value, get: &Value) -> bool {
    let schema = &get["responses"]["200"]["content"]["application/json"]["schema"];
    let named = schema["$ref"].as_str().and_then(|r| description.pointer(r.trim_start_matches('#')));
    named.unwrap_or(schema)["properties"]["rows"].is_object()
}

#[tokio::test]
async fn every_list_that_there_is_is_a_file_of_both_kinds_with_every_row() {
    let served = serve().await.with_admin().await;
    act(&served, 130);
    let admin = served.log_in("admin", PASSWORD).await;
    let description = sidetap_console::openapi();
    let mut lists = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let Some(get) = methods.get("get").filter(|get| is_list(&description, get)) else { continue };
        let has = |name: &str| get["parameters"].as_array().unwrap().iter().any(|p| p["name"] == name);
        assert!(has("format"), "{path} is no file");
        // Nothing is kept here by which it could be asked for.
        if path.starts_with("/api/v1/sensitive/{id}") {
            continue;
        }
        let id = [("campaigns", "c-1"), ("findings", "f001"), ("verdicts", "v-7")];
        let id = id.iter().find(|(kind, _)| path.contains(kind)).map_or("", |(_, id)| id);
        let more = if has("ids") { "ids=x-1&" } else { "" };
        let more = if path.ends_with("/search") { "q=finding&" } else { more };
        let path = format!("{}?{more}", path.replace("{id}", id));
        let first = admin.get(&path).await;
        // What only a server with devices and tables has is asked for in the browser's test.
        if first.status != 200 {
            assert_eq!(first.problem(), "urn:sidetap:problem:not-available", "{path}: {}", first.body);
            continue;
        }
        let rows = first.json();
        let total = rows["total"].as_u64().map_or(rows["rows"].as_array().unwrap().len(), |n| n as usize);
        let file = admin.get(&format!("{path}format=ndjson")).await;
        assert_eq!((file.status, file.body.lines().count()), (200, total), "{path}");
        assert!(file.has("content-type: application/x-ndjson"), "{path}: {}", file.head);
        assert!(file.body.lines().all(|line| serde_json::from_str::<Value>(line).unwrap().is_object()));
        let file = admin.get(&format!("{path}format=csv")).await;
        assert!(file.status == 200 && file.has("content-type: text/csv"), "{path}: {}", file.head);
        assert!(file.has("content-disposition: attachment"), "{path}: {}", file.head);
        assert!(total == 0 || file.body.lines().count() > total, "{path}: {}", file.body);
        lists += 1;
    }
    assert!(lists >= 20, "{lists}");
    assert_eq!(admin.get("/api/v1/findings?format=ndjson").await.body.lines().count(), 250);
}

/// Rules that change 500 verdicts, of which as many are named as is asked for.
struct Changes;

impl Control for Changes {
    fn simulate(&self, _: &Store, text: Option<&str>, named: usize) -> Done {
        let row = |n| json!({"verdict": format!("v-{n}"), "subject": "=1", "was": "none", "would": text, "rule": "r"});
        Ok(json!({"changed_total": 500, "changed": (0..named.min(500)).map(row).collect::<Vec<_>>()}))
    }
}

#[tokio::test]
async fn all_verdicts_that_a_simulation_changes_can_be_downloaded() {
    let served =
        serve_with(|options| options.control = std::sync::Arc::new(Changes)).await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let ask = async |query: &str| {
        let path = format!("/api/v1/policies/simulate{query}");
        admin.send("POST", &path, &json!({"text": "tarpit"})).await
    };
    assert_eq!(ask("").await.json()["changed"].as_array().unwrap().len(), 200);
    let csv = ask("?format=csv").await;
    assert!(
        csv.has("content-type: text/csv") && csv.has("filename=\"changed-verdicts.csv\""),
        "{}",
        csv.head
    );
    let mut lines = csv.body.lines();
    assert_eq!(lines.next(), Some("verdict,subject,was,would,rule"));
    assert_eq!((lines.next(), lines.count()), (Some("v-0,'=1,none,tarpit,r"), 499));
    assert_eq!(ask("?format=ndjson").await.body.lines().count(), 500);
    assert_eq!((ask("?format=xml").await.status, ask("?x=1").await.status), (400, 400));
}

#[tokio::test]
async fn what_a_route_does_not_know_is_refused_and_nothing_is_asked_twice() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    for path in ["health?format=csv", "sensitive/summary?format=csv", "mitigation?x=1", "settings?limit=1"] {
        let answer = admin.get(&format!("/api/v1/{path}")).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "urn:sidetap:problem:bad-query"),
            "{path}"
        );
        let name = path.split_once('?').unwrap().1.split('=').next().unwrap();
        assert_eq!(answer.json()["detail"], format!("{name}: no such parameter"), "{path}");
    }
    for path in ["findings?limit=1&limit=2", "users?q=a&q=b", "policies?format=csv&format=json"] {
        let answer = admin.get(&format!("/api/v1/{path}")).await;
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && detail.ends_with(": given twice"), "{path}: {detail}");
    }
    assert_eq!(admin.get("/api/v1/findings?severity=high&severity=high").await.json()["total"], 250);
    assert_eq!(served.get("/api/v1/health?x=1").await.status, 401, "nobody learns what there is");
    assert_ne!(served.get("/api/v1/session/sso/callback?hd=example.org").await.status, 400);
    let change = admin.send("PATCH", "/api/v1/settings/retention?dry=1", &json!({})).await;
    assert_eq!(change.status, 400);
}
