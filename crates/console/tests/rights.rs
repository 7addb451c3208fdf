//! What somebody may ends when it ends, and what they change is written down with it or not done.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Client, PASSWORD, Served, serve};
use serde_json::{Value, json};
use sidetap_model::Ts;
use sidetap_store::{CellRow, Store};

async fn user(served: &Served, admin: &Client, name: &str, role: &str) -> Client {
    let body = json!({"name": name, "role": role, "password": PASSWORD});
    assert_eq!(admin.send("POST", "/api/v1/users", &body).await.status, 201);
    served.log_in(name, PASSWORD).await
}

#[tokio::test]
async fn a_stream_ends_with_the_right_that_opened_it() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let mut open = Vec::new();
    let ways: [(&str, &str, &str, Value); 4] = [
        ("out", "DELETE", "/api/v1/session", Value::Null),
        ("off", "PATCH", "/api/v1/users/off", json!({"disabled": true})),
        ("less", "PATCH", "/api/v1/users/less", json!({"role": "viewer"})),
        ("gone", "DELETE", "/api/v1/users/gone", Value::Null),
    ];
    for (name, method, path, body) in &ways {
        let session = user(&served, &admin, name, "analyst").await;
        let mut stream = session.open("/api/v1/events").await;
        stream.until("event: hello").await;
        let who = if *name == "out" { &session } else { &admin };
        assert_eq!(who.send(method, path, body).await.status, 204, "{name}");
        open.push(stream);
    }
    let bert = user(&served, &admin, "bert", "viewer").await;
    let ask = json!({"name": "ci", "role": "viewer", "read_only": true});
    let made = bert.send("POST", "/api/v1/tokens", &ask).await.json();
    let token = served.with_token(made["token"].as_str().unwrap());
    let mut by_token = token.open("/api/v1/events").await;
    by_token.until("event: hello").await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(bert.send("DELETE", &format!("/api/v1/tokens/{id}"), &Value::Null).await.status, 204);
    open.push(by_token);
    for stream in &mut open {
        stream.ended().await;
    }
    let mut late = bert.open("/api/v1/events").await;
    late.until("event: hello").await;
    served.advance(13 * 3_600);
    late.ended().await;
}

#[tokio::test]
async fn a_user_has_a_few_streams_and_leaves_others_theirs() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let bert = user(&served, &admin, "bert", "viewer").await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = bert.open("/api/v1/events").await;
        stream.until("event: hello").await;
        open.push(stream);
    }
    assert_eq!(bert.get("/api/v1/events").await.status, 503);
    admin.open("/api/v1/events").await.until("event: hello").await;
}

#[tokio::test]
async fn what_the_audit_cannot_take_is_not_done() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let path = served.dir.path().join("sidetap.db");
    let beside = rusqlite::Connection::open(&path).unwrap();
    let guard = "CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END";
    beside.execute_batch(guard).unwrap();
    let changes = [
        ("POST", "/api/v1/users", json!({"name": "eve", "role": "admin", "password": PASSWORD})),
        ("POST", "/api/v1/allow", json!({"kind": "ip", "value": "203.0.113.7", "reason": "r"})),
        ("POST", "/api/v1/tokens", json!({"name": "ci", "role": "viewer"})),
        ("PATCH", "/api/v1/findings/f001", json!({"status": "fixed"})),
        (
            "POST",
            "/api/v1/templates",
            json!({"host": "h", "method": "GET", "template": "/x/{y}", "reason": "r"}),
        ),
        ("PATCH", "/api/v1/settings/retention", json!({"rows": 5000})),
        ("DELETE", "/api/v1/session", Value::Null),
    ];
    for (method, path, body) in &changes {
        assert_eq!(admin.send(method, path, body).await.status, 500, "{method} {path}");
    }
    beside.execute_batch("DROP TRIGGER no_audit").unwrap();
    for (path, what) in [("users", "total"), ("allow", "total"), ("tokens", "total"), ("templates", "total")]
    {
        let total = if path == "users" { 1 } else { 0 };
        assert_eq!(admin.get(&format!("/api/v1/{path}")).await.json()[what], total, "{path}");
    }
    assert_ne!(admin.get("/api/v1/findings/f001").await.json()["work"]["status"], "fixed");
    assert_eq!(admin.get("/api/v1/settings").await.json()["retention"]["rows"], 1_000_000);
}

#[tokio::test]
async fn a_full_store_still_takes_what_people_decide_and_says_that_it_is_full() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let small = json!({"limit_bytes": 64 << 20});
    assert_eq!(admin.send("PATCH", "/api/v1/settings/retention", &small).await.status, 200);
    let mut store = Store::open(&served.dir.path().join("sidetap.db")).unwrap();
    // First by large pieces, then by small ones, until nothing at all fits.
    for bytes in [100_000, 3_000] {
        let row = |n| CellRow {
            hour: Ts(0),
            cell: format!("{bytes}-{n}-{}", "x".repeat(bytes)),
            requests: 1,
            first: Ts(1),
            last: Ts(9),
        };
        let mut keep = |n: u32| store.add_cells("full", &[row(n)]).err();
        let full = (0..1_000).find_map(&mut keep).unwrap();
        assert!(full.is_full(), "{full}");
    }
    let health = admin.get("/api/v1/health").await.json();
    assert_eq!((health["store"]["room"].as_str(), health["status"].as_str()), (Some("bound"), Some("bad")));
    for n in 0..200 {
        let allow = json!({"kind": "ip", "value": format!("203.0.113.{n}"), "reason": "r".repeat(900)});
        assert_eq!(admin.send("POST", "/api/v1/allow", &allow).await.status, 201, "{n}");
    }
    served.log_in("admin", PASSWORD).await;
    // A look is written down before it is had; where nothing more fits there is none.
    let look = (0..40).map(|n| format!("{n:060}")).collect::<Vec<_>>().join(",");
    let mut refused = 0;
    for _ in 0..200 {
        let status = admin.get(&format!("/api/v1/exchanges?ids={look}")).await.status;
        assert!([200, 507].contains(&status), "{status}");
        refused += u32::from(status == 507);
    }
    assert!(refused > 0, "looks fill what is kept for changes");
}

#[tokio::test]
async fn every_route_has_its_line_in_the_table_of_roles() {
    let said: Vec<String> = include_str!("roles.txt").lines().map(str::to_owned).collect();
    let is =
        |r: sidetap_console::RouteInfo| format!("{} {} {}", r.method, r.path, r.role.unwrap_or("anybody"));
    let mut routes: Vec<String> = sidetap_console::routes().into_iter().map(is).collect();
    routes.sort();
    if std::env::var_os("SIDETAP_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/roles.txt");
        return std::fs::write(path, routes.join("\n") + "\n").unwrap();
    }
    assert_eq!(
        said, routes,
        "tests/roles.txt says who may what; a route that it does not know is not reviewed"
    );
    let description = sidetap_console::openapi();
    let mut described = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|m| format!("{} {path}", m.to_uppercase())));
    }
    described.sort();
    let known: Vec<&str> = routes.iter().filter_map(|r| r.rsplit_once(' ')).map(|(r, _)| r).collect();
    assert_eq!(described, known, "what is described is what there is");
}

#[test]
fn what_a_change_takes_is_described() {
    let description = sidetap_console::openapi();
    let security = |method: &str, path: &str| description["paths"][path][method]["security"].clone();
    let session = json!({"session": [], "csrf": []});
    assert_eq!(security("post", "/api/v1/allow"), json!([{"token": []}, session]));
    assert_eq!(security("post", "/api/v1/tokens"), json!([session]));
    assert_eq!(security("put", "/api/v1/session/password"), json!([session]));
    assert_eq!(security("get", "/api/v1/setup"), json!([]));
    assert_eq!(security("get", "/api/v1/verdicts"), Value::Null, "as the description's beginning says");
}

#[tokio::test]
async fn what_a_stream_says_is_described() {
    let description = sidetap_console::openapi();
    let content = &description["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"];
    let events = content["text/event-stream"]["schema"]["oneOf"].as_array().unwrap();
    let required = |name: &str| -> Vec<String> {
        let known = events.iter().find(|e| e["properties"]["event"]["const"] == name).unwrap();
        let data = known["properties"]["data"]["contentSchema"]["$ref"].as_str().unwrap();
        let schema = description.pointer(data.strip_prefix('#').unwrap()).unwrap();
        serde_json::from_value(schema["required"].clone()).unwrap()
    };
    let live = sidetap_console::LiveStats::default();
    live.put(sidetap_console::Live { packets: 7, ..Default::default() });
    let served = common::serve_with(|options| options.live = live).await.with_admin().await;
    let mut stream = served.log_in("admin", PASSWORD).await.open("/api/v1/events").await;
    let text = stream.until("\"now\":null}").await;
    for name in ["hello", "stats"] {
        let (_, rest) = text.split_once(&format!("event: {name}\ndata: ")).unwrap();
        let data: Value = serde_json::from_str(rest.lines().next().unwrap()).unwrap();
        for field in required(name) {
            assert!(data.get(&field).is_some(), "{name} without {field}: {data}");
        }
    }
    for name in ["verdicts", "campaigns", "actions"] {
        assert_eq!(required(name), ["rows"]);
    }
    assert_eq!(required("changed"), ["tables"]);
}

#[tokio::test]
async fn a_body_that_the_description_rules_out_changes_nothing() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let path = "/api/v1/settings/retention";
    let before = admin.get("/api/v1/settings").await.json()["retention"].clone();
    let list = json!([3600, 86400, 1000, 3600, 0, 67_108_864]);
    for body in [list, json!("x"), json!({"limit_bytes": 1_u64 << 63}), json!({"evidence_bytes": u64::MAX})] {
        assert_eq!(admin.send("PATCH", path, &body).await.status, 400, "{body}");
    }
    assert_eq!(admin.get("/api/v1/settings").await.json()["retention"], before);
    assert_eq!(admin.send("PATCH", path, &json!({"limit_bytes": i64::MAX})).await.status, 200);
}

/// Says what it was asked to decide.
#[derive(Default)]
struct Hears(std::sync::Mutex<Vec<String>>);

impl sidetap_console::Control for Hears {
    fn decide_all(&self, _: &mut Store, d: &sidetap_console::Decisions) -> sidetap_console::Done {
        self.0.lock().unwrap().push(format!("{} {} {:?}", d.by, d.approve, d.which));
        Ok(json!({"decided": 7, "taken_back": 1}))
    }
}

#[tokio::test]
async fn several_approvals_are_decided_by_operators_and_audited() {
    let heard = std::sync::Arc::new(Hears::default());
    let control = std::sync::Arc::clone(&heard);
    let served = common::serve_with(|options| options.control = control).await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let path = |verb: &str| format!("/api/v1/approvals/{verb}");
    for bad in [
        json!({"ids": [9_223_372_036_854_775_808_u64]}),
        json!({"all": true, "up_to": 9_223_372_036_854_775_808_u64}),
        json!({}),
        json!({"all": false}),
        json!({"all": true, "campaign": "c"}),
        json!({"ids": [1], "policy": "p"}),
        json!({"ids": []}),
        json!({"ids": vec![1; 10_001]}),
        json!({"up_to": 3}),
        json!({"everything": true}),
    ] {
        assert_eq!(admin.send("POST", &path("approve"), &bad).await.status, 400, "{bad}");
    }
    let some = json!({"campaign": "c-1", "policy": "p-1", "up_to": 9, "note": "seen"});
    let answer = admin.send("POST", &path("approve"), &some).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"decided": 7, "taken_back": 1})));
    assert_eq!(admin.send("POST", &path("reject"), &json!({"ids": [3, 4]})).await.status, 200);
    assert_eq!(admin.send("POST", &path("reject"), &json!({"all": true})).await.status, 200);
    let heard = heard.0.lock().unwrap().clone();
    assert!(heard[0].starts_with("admin true") && heard[0].contains("c-1") && heard[0].contains("Some(9)"));
    assert!(heard[1].starts_with("admin false") && heard[1].contains("{3, 4}"), "{heard:?}");
    assert_eq!(heard.len(), 3);
    let audit = admin.get("/api/v1/audit?action=approval.").await.json();
    assert_eq!(audit["total"], 3);
    let first = &audit["rows"][2];
    assert_eq!((&first["action"], &first["actor"]), (&json!("approval.approve"), &json!("admin")));
    assert_eq!((&first["detail"]["campaign"], &first["detail"]["note"]), (&json!("c-1"), &json!("seen")));
    let analyst = json!({"name": "ana", "role": "analyst", "password": PASSWORD});
    assert_eq!(admin.send("POST", "/api/v1/users", &analyst).await.status, 201);
    let analyst = served.log_in("ana", PASSWORD).await;
    assert_eq!(analyst.send("POST", &path("approve"), &json!({"all": true})).await.status, 403);
}

/// What others do at length is no failure of the store: who asks is told to come again.
#[tokio::test]
async fn a_store_that_others_hold_is_busy_and_says_when_to_come_again() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let mut other = Store::open(&served.dir.path().join("sidetap.db")).unwrap();
    let (holds, held) = std::sync::mpsc::channel();
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    let others = std::thread::spawn(move || {
        other.atomically(|store| {
            store.put_state("test", b"held")?;
            holds.send(()).unwrap();
            let _ = is_over.recv();
            Ok::<_, sidetap_store::StoreError>(())
        })
    });
    held.recv().unwrap();
    let open = json!({"status": "open", "note": "late"});
    let answer = admin.send("PATCH", "/api/v1/findings/f001", &open).await;
    assert_eq!(
        (answer.status, &*answer.problem()),
        (503, "urn:sidetap:problem:store-busy"),
        "{}",
        answer.body
    );
    assert!(answer.has("retry-after: 2"), "{}", answer.head);
    assert!(answer.body.contains("nothing was changed"), "{}", answer.body);
    drop(over);
    others.join().unwrap().unwrap();
    assert_eq!(admin.send("PATCH", "/api/v1/findings/f001", &open).await.status, 200);
}
