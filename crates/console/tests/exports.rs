//! What a page shows in part is there whole: lists that go on, and files of them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PASSWORD, Served, serve};
use serde_json::json;
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
    store.save_run(&data, Ts(2)).unwrap();
    let action = |n: usize, kind: &str| ActionRow {
        at: Ts(n as i64),
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
