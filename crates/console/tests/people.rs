//! What people say of endpoints and findings: it goes on where endpoints are merged, and other pages hear of it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PASSWORD, Served, serve};
use serde_json::{Value, json};
use sidetap_model::rows::{InputSummary, RunData};
use sidetap_model::{EndpointId, Ts};
use sidetap_store::Store;

const HOST: &str = "shop.example";
/// When the clock of the tests stands.
const NOW: Ts = Ts(1_795_000_000_000_000_000);

fn id(template: &str) -> String {
    EndpointId::of("default", HOST, "GET", template).to_string()
}

/// Saves the endpoints of one run, as a watch would.
fn save(served: &Served, templates: &[&str]) {
    let endpoint = |template: &&str| {
        serde_json::from_value(json!({
            "id": id(template), "zone": "default", "host": HOST, "method": "GET", "template": template, "protocol": "rest", "calls": 3,
            "first_seen": NOW, "last_seen": NOW, "status_codes": {"200": 3}, "auth": [], "exposure": "public", "standing": "unknown",
            "roles": [], "channels": [], "callers": {"count": 1, "countries": {}, "organizations": {}}, "sensitive": [], "risk": 0,
            "parameters": []
        }))
        .unwrap()
    };
    let finding = serde_json::from_value(json!({
        "id": "of-host", "kind": "exploit", "rule": "file-secrets", "severity": "low", "certainty": "suspected", "owasp": [],
        "subject": {"host": HOST, "zone": "default"}, "title": "File with secrets asked for", "detail": "of GET /.env", "evidence": [],
        "first_seen": NOW, "last_seen": NOW, "count": 3
    }))
    .unwrap();
    let endpoints = templates.iter().map(endpoint).collect();
    let mut data = RunData { endpoints, findings: vec![finding], ..RunData::default() };
    data.summary.inputs.push(InputSummary { path: "eth0".into(), ..InputSummary::default() });
    let mut store = Store::open(&served.dir.path().join("sidetap.db")).unwrap();
    store.save_found(&data, NOW).unwrap();
}

#[tokio::test]
async fn an_old_id_leads_to_the_endpoint_that_goes_on_with_what_was_said() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    save(&served, &["/u/anna", "/u/bob"]);
    let path = |template: &str| format!("/api/v1/endpoints/{}", id(template));
    let say = async |template: &str, body: Value| admin.send("PATCH", &path(template), &body).await.status;
    assert_eq!(say("/u/anna", json!({"labels": ["pii"], "owner": "Ann"})).await, 204);
    assert_eq!(say("/u/bob", json!({"labels": ["old"], "owner": "Bob"})).await, 204);
    let before = admin.get(&path("/u/anna")).await.json();
    assert_eq!((&before["merged_into"], &before["merged"]), (&Value::Null, &json!([])));

    save(&served, &["/u/{name}"]);
    let page = admin.get(&path("/u/bob")).await.json();
    assert_eq!(
        (&page["merged_into"], &page["endpoint"]["id"]),
        (&json!(id("/u/{name}")), &json!(id("/u/{name}")))
    );
    assert_eq!(page["owner"], "Ann");
    assert_eq!(page["merged"][1]["owner"], "Bob", "the other owner is told: {page}");
    let label = |one: &str| format!("/api/v1/endpoints?label={one}");
    for one in ["pii", "old"] {
        assert_eq!(admin.get(&label(one)).await.json()["rows"][0]["template"], "/u/{name}");
    }
    let titles: Vec<&str> =
        page["history"].as_array().unwrap().iter().filter_map(|c| c["title"].as_str()).collect();
    assert!(titles.iter().any(|t| t.ends_with("/u/bob")), "its history goes on: {titles:?}");
    assert_eq!(page["host_findings"][0]["id"], "of-host", "what was found at its host is told");

    // What would be said under the old id alone could be meant for what is there no more.
    assert_eq!(say("/u/bob", json!({"labels": [], "note": "one of many"})).await, 404);
    let said = admin.get(&path("/u/{name}")).await.json();
    assert_eq!((&said["labels"], &said["note"]), (&page["labels"], &Value::Null));
    assert_eq!(say("/u/{name}", json!({"note": "one of many"})).await, 204);
    assert_eq!(admin.get(&path("/u/bob")).await.json()["note"], "one of many");
    assert_eq!(admin.get(&path("/u/nobody")).await.status, 404);
}

#[tokio::test]
async fn what_a_template_would_do_is_told_and_nothing_is_done() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    save(&served, &["/u/anna", "/u/bob", "/u/bob/posts", "/x"]);
    let body = json!({"host": HOST, "method": "GET", "template": "/u/{name}"});
    let said = admin.send("POST", "/api/v1/templates/check", &body).await.json();
    let rows: Vec<_> =
        said["rows"].as_array().unwrap().iter().map(|r| (&r["template"], &r["becomes"])).collect();
    let all = ["/u/anna", "/u/bob", "/u/bob/posts"].map(|t| json!(t));
    let to = ["/u/{name}", "/u/{name}", "/u/{name}/posts"].map(|t| json!(t));
    assert_eq!(rows, all.iter().zip(&to).collect::<Vec<_>>());
    assert_eq!(said["total"], 3);
    assert_eq!(admin.get("/api/v1/templates").await.json()["total"], 0);
    let bad = json!({"host": HOST, "method": "GET", "template": "u"});
    assert_eq!(admin.send("POST", "/api/v1/templates/check", &bad).await.status, 400);
}

#[tokio::test]
async fn other_pages_hear_of_what_people_do() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    save(&served, &["/u/anna"]);
    let mut stream = admin.open("/api/v1/events").await;
    stream.until("event: hello").await;
    let path = format!("/api/v1/endpoints/{}", id("/u/anna"));
    assert_eq!(admin.send("PATCH", &path, &json!({"labels": ["pii"]})).await.status, 204);
    assert!(stream.until("endpoints").await.contains("event: changed"));
    let body = json!({"assignee": "admin"});
    assert_eq!(admin.send("PATCH", "/api/v1/findings/f001", &body).await.status, 200);
    assert!(stream.until("findings").await.contains("event: changed"));
    let body = json!({"kind": "ip", "value": "203.0.113.7", "reason": "ours"});
    assert_eq!(admin.send("POST", "/api/v1/allow", &body).await.status, 201);
    assert!(stream.until("allow").await.contains("event: changed"));
}

#[tokio::test]
async fn a_label_that_cannot_be_kept_as_it_is_is_refused_with_a_word() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    save(&served, &["/u/anna"]);
    let path = format!("/api/v1/endpoints/{}", id("/u/anna"));
    for odd in ["a|b", "a,b", "a\nb"] {
        let refused = admin.send("PATCH", &path, &json!({"labels": [odd]})).await;
        assert_eq!(refused.status, 400, "{odd:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("label"), "{}", refused.body);
    }
    assert_eq!(admin.get(&path).await.json()["labels"], json!([]));
    let blanks = json!({"labels": [" pii", "pii ", "vip"], "owner": "  ", "note": ""});
    assert_eq!(admin.send("PATCH", &path, &blanks).await.status, 204);
    let said = admin.get(&path).await.json();
    assert_eq!(json!([said["labels"], said["owner"], said["note"]]), json!([["pii", "vip"], null, null]));
    assert_eq!(admin.send("PATCH", &path, &json!({"labels": ["  "]})).await.status, 400);
}
