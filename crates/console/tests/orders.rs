//! Orders on devices: what the audit and the answer say of what came of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sidetap_console::{Control, Done, Order, Refused, Undo};
use sidetap_model::Ts;
use sidetap_store::Store;

use common::{Client, PASSWORD, serve_with};

/// Devices that do a part of what they are told.
struct Half;

impl Control for Half {
    fn undo(&self, _: &mut Store, _: &Order, _: &Undo) -> Done {
        let edge = json!({"name": "edge", "outcome": "failed", "answer": "no answer within 10 s"});
        let feed = json!({"name": "feed", "outcome": "done", "answer": "1 removed"});
        Ok(json!({ "undone": [{ "connectors": [edge, feed], "not_kept": 6 }] }))
    }
}

/// What the audit says of orders of this kind, oldest first.
async fn audit(admin: &Client, action: &str) -> Vec<Value> {
    let rows = admin.get("/api/v1/audit?limit=100&sort=at").await.json();
    let rows = rows["rows"].as_array().unwrap().iter().filter(|row| row["action"] == action);
    rows.map(|row| row["detail"].clone()).collect()
}

#[tokio::test]
async fn what_a_device_did_not_do_and_the_store_not_keep_is_told_and_audited() {
    let served = serve_with(|options| options.control = Arc::new(Half)).await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let said = admin.send("POST", "/api/v1/mitigation/undo", &json!({"all": true})).await;
    assert_eq!(said.status, 200);
    let failed = "edge: failed: no answer within 10 s";
    assert_eq!((&said.json()["not_kept"], &said.json()["failed"]), (&json!(6), &json!([failed])));
    let told = audit(&admin, "mitigation.undo-order").await;
    let ended = told.iter().find(|detail| detail["stage"] == "ended").unwrap();
    assert_eq!((&ended["not_kept"], &ended["failed"]), (&json!("6"), &json!(failed)), "{told:?}");
}

/// Devices that another process changes, which takes long.
struct Slow;

impl Control for Slow {
    fn undo(&self, store: &mut Store, _: &Order, _: &Undo) -> Done {
        let now = Ts::from_parts(1_795_000_000, 0);
        let order = store.give_order("r", "undo", now)?.expect("a place");
        store.take_order("r", now)?;
        Err(Refused::GoingOn(order))
    }
}

#[tokio::test]
async fn an_order_that_goes_on_is_not_told_as_refused_and_ends_in_the_audit() {
    let served = serve_with(|options| options.control = Arc::new(Slow)).await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let said = admin.send("POST", "/api/v1/mitigation/undo", &json!({"all": true})).await;
    assert_eq!((said.status, said.problem().as_str()), (504, "urn:sidetap:problem:going-on"));
    let stages = async || -> Vec<Value> {
        let told = audit(&admin, "mitigation.undo-order").await;
        assert!(told.iter().all(|detail| detail["refused"].is_null()), "{told:?}");
        told.iter().map(|detail| detail["stage"].clone()).collect()
    };
    assert_eq!(stages().await, ["ordered", "going-on"]);
    let answer: Done = Ok(json!({ "undone": [] }));
    let mut acts = Store::open(&served.dir.path().join("sidetap.db")).unwrap();
    acts.answer_order(1, &serde_json::to_string(&answer).unwrap()).unwrap();
    for _ in 0..100 {
        if stages().await.len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(stages().await, ["ordered", "going-on", "ended"]);
}

/// Devices that hang when they are looked at.
struct Hangs;

impl Hangs {
    fn look() -> Done {
        std::thread::sleep(Duration::from_secs(2));
        Ok(json!({ "devices": [] }))
    }
}

impl Control for Hangs {
    fn killed(&self, _: &Store) -> Result<Option<String>, Refused> {
        Ok(None)
    }

    fn devices(&self, _: &mut Store) -> Done {
        Hangs::look()
    }

    fn plan(&self, _: &mut Store, _: bool) -> Done {
        Hangs::look()
    }

    fn test_device(&self, _: &mut Store, _: &str) -> Done {
        Hangs::look()
    }

    fn push(&self, _: &mut Store, order: &Order) -> Done {
        if order.dry_run { Hangs::look() } else { Ok(json!({})) }
    }

    fn undo(&self, _: &mut Store, order: &Order, _: &Undo) -> Done {
        if order.dry_run { Hangs::look() } else { Ok(json!({})) }
    }

    fn redo(&self, _: &mut Store, _: &Undo, _: &str) -> Done {
        Ok(json!({}))
    }
}

#[tokio::test]
async fn what_changes_devices_waits_for_no_look_at_one_that_hangs() {
    let served = serve_with(|options| options.control = Arc::new(Hangs)).await.with_admin().await;
    let admin = Arc::new(served.log_in("admin", PASSWORD).await);
    let looks = [
        ("GET", "", json!({})),
        ("POST", "/plan", json!({})),
        ("POST", "/devices/edge/test", json!({})),
        ("POST", "/push", json!({"dry_run": true})),
        ("POST", "/undo", json!({"all": true, "dry_run": true})),
    ];
    let asked = looks.map(|(method, path, body)| {
        let admin = Arc::clone(&admin);
        tokio::spawn(
            async move { admin.send(method, &format!("/api/v1/mitigation{path}"), &body).await.status },
        )
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    let begun = std::time::Instant::now();
    for (path, body) in [("push", json!({})), ("undo", json!({"all": true})), ("redo", json!({"all": true}))]
    {
        let said = admin.send("POST", &format!("/api/v1/mitigation/{path}"), &body).await;
        assert_eq!(said.status, 200, "{path}");
    }
    assert!(begun.elapsed() < Duration::from_millis(1_500), "they waited {:?}", begun.elapsed());
    for look in asked {
        assert_eq!(look.await.unwrap(), 200);
    }
}
