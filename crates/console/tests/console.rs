//! The console as a browser and a script meet it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PASSWORD, Served, serve, serve_at};
use serde_json::{Value, json};
use sidetap_console::{Console, ConsoleError, Options};

#[tokio::test]
async fn a_search_can_be_downloaded() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let page = admin.get("/api/v1/search?q=finding&limit=7").await.json();
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["total"]), (7, &json!(250)));
    let next = page["next"].as_str().unwrap();
    let second = admin.get(&format!("/api/v1/search?q=finding&limit=7&cursor={next}")).await.json();
    assert_eq!((second["rows"].as_array().unwrap().len(), &second["more"]), (7, &json!(false)));
    assert!(!page["rows"].as_array().unwrap().contains(&second["rows"][0]));
    let end = admin.get("/api/v1/search?q=finding&limit=50&cursor=MjQ5").await.json();
    assert_eq!((end["rows"].as_array().unwrap().len(), &end["next"]), (1, &Value::Null));
    assert_eq!(admin.get("/api/v1/search?q=finding&cursor=!").await.status, 400);
    let csv = admin.get("/api/v1/search?q=finding&format=csv").await;
    assert!(
        csv.has("filename=\"search.csv\"") && csv.body.starts_with("kind,id,title,detail\r\n"),
        "{}",
        csv.body
    );
    assert_eq!(csv.body.lines().count(), 251);
    assert_eq!(admin.get("/api/v1/search?q=finding&format=ndjson").await.body.lines().count(), 250);
    assert_eq!(admin.get("/api/v1/search?q=finding&format=xml").await.status, 400);
}

#[tokio::test]
async fn evidence_can_be_downloaded() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let mut most = 0;
    for (list, name) in [("campaigns", "campaign"), ("verdicts", "verdict"), ("findings", "finding")] {
        let rows = admin.get(&format!("/api/v1/{list}?limit=20")).await.json();
        for row in rows["rows"].as_array().unwrap() {
            let path = format!("/api/v1/{list}/{}/exchanges", row["id"].as_str().unwrap());
            let shown = admin.get(&path).await.json()["rows"].as_array().unwrap().len();
            let lines = admin.get(&format!("{path}?format=ndjson")).await;
            assert!(lines.has(&format!("filename=\"{name}-exchanges.ndjson\"")), "{path}");
            assert_eq!(lines.body.lines().count(), shown, "{path}");
            let csv = admin.get(&format!("{path}?format=csv")).await;
            assert_eq!((csv.status, csv.body.lines().count().saturating_sub(1)), (200, shown), "{path}");
            assert!(csv.body.starts_with(HEAD) && !csv.body.contains("{\"\"ip"), "{path}: {}", csv.body);
            assert_eq!(admin.get(&format!("{path}?format=xml")).await.status, 400);
            most = most.max(shown);
        }
    }
    assert!(most > 0);
    let none = admin.get("/api/v1/exchanges?format=csv").await;
    assert!(
        none.status == 200 && none.body.starts_with(HEAD) && none.body.lines().count() == 1,
        "{}",
        none.body
    );
    assert_eq!(admin.get("/api/v1/exchanges/x?format=csv").await.status, 400, "one of them is no list");
}

#[tokio::test]
async fn the_file_of_an_empty_list_has_its_columns() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    for list in
        ["campaigns", "verdicts", "findings", "endpoints", "sensitive", "audit", "hosts", "users", "allow"]
    {
        let some = admin.get(&format!("/api/v1/{list}?format=csv")).await;
        let none = admin.get(&format!("/api/v1/{list}?format=csv&q=nobody-has-this-word")).await;
        let columns = |csv: &str| {
            let mut all: Vec<String> =
                csv.lines().next().unwrap_or_default().split(',').map(str::to_owned).collect();
            all.sort();
            all
        };
        assert_eq!(none.body.lines().count(), 1, "{list}: {}", none.body);
        assert!(columns(&none.body).len() > 2, "{list}: {}", none.body);
        assert_eq!(columns(&none.body), columns(&some.body), "{list}");
    }
}

/// What a file of exchanges begins with.
const HEAD: &str =
    "@timestamp,sidetap.id,client.ip,http.request.method,url.domain,url.original,http.response.status_code,";

#[tokio::test]
async fn no_number_of_filters_is_too_much_for_the_store() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    for list in ["verdicts", "campaigns", "findings", "endpoints"] {
        let times = |n: usize| format!("/api/v1/{list}?limit=1{}", "&zone=default".repeat(n));
        let status = async |n: usize| admin.get(&times(n)).await.status;
        assert_eq!((status(999).await, status(51).await), (400, 400), "{list}");
        let few = status(50).await;
        assert!(few == 200 || few == 400, "{list}: {few}");
    }
    let many = "&min_score=1".repeat(50);
    assert_eq!(admin.get(&format!("/api/v1/verdicts?limit=1{many}")).await.status, 200);
}

#[tokio::test]
async fn what_was_looked_at_stands_in_the_audit_whatever_was_asked_besides() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let mut real = String::new();
    for list in ["findings", "campaigns", "verdicts"] {
        let rows = admin.get(&format!("/api/v1/{list}?limit=20")).await.json();
        for row in rows["rows"].as_array().unwrap() {
            let path = format!("/api/v1/{list}/{}", row["id"].as_str().unwrap());
            let text = admin.get(&path).await.body;
            let ids = text.split('"').filter(|t| t.len() < 40 && t.contains('-') && !t.contains(' '));
            for id in ids.map(str::to_owned).collect::<std::collections::BTreeSet<_>>() {
                if admin.get(&format!("/api/v1/exchanges/{id}")).await.status == 200 {
                    real = id;
                }
            }
        }
        if !real.is_empty() {
            break;
        }
    }
    assert!(!real.is_empty());
    let junk: Vec<String> = (0..150).map(|n| format!("junk{n}")).collect();
    admin.get(&format!("/api/v1/exchanges?ids={},{real}", junk.join(","))).await;
    let audit = admin.get("/api/v1/audit?limit=1").await.json();
    let detail = &audit["rows"][0]["detail"];
    assert_eq!((&detail["exchanges"], &detail["asked"]), (&json!([real]), &json!(151)), "{audit}");
}

#[tokio::test]
async fn what_is_asked_leaves_no_more_than_it_is_in_the_audit() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let rows = async || admin.get("/api/v1/audit?limit=1").await.json()["total"].as_u64().unwrap();
    let before = rows().await;
    let ids: Vec<String> = (0..500).map(|n| format!("{n:01000}")).collect();
    let bulk = json!({"ids": ids, "note": "x"});
    let answer = admin.send("POST", "/api/v1/findings/bulk", &bulk).await;
    assert_eq!((answer.status, answer.json()["changed"].as_u64()), (200, Some(0)), "{}", answer.body);
    assert_eq!(rows().await, before, "nothing was done");
    let long = "9".repeat(8_000);
    admin.get(&format!("/api/v1/exchanges?ids={long}")).await;
    assert!(admin.get("/api/v1/audit?limit=1").await.body.len() < 2_000);
    let wide = admin.get("/api/v1/traffic?bucket_s=9223372036854775807").await;
    assert_eq!(wide.status, 400, "{}", wide.body);
}

#[tokio::test]
async fn who_looks_at_evidence_is_written_down_before_seeing_it() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let seen = admin.get("/api/v1/findings/f001/exchanges").await.json();
    assert_eq!(
        (seen["rows"][0]["client"]["ip"].as_str(), seen["rows"][0]["weight"].as_i64()),
        (Some("203.0.113.1"), Some(1))
    );
    let missing = admin.get("/api/v1/exchanges?ids=nope,x-1").await.json();
    assert_eq!(
        (missing["rows"].as_array().unwrap().len(), missing["missing"][0].as_str()),
        (1, Some("nope"))
    );
    let audit = admin.get("/api/v1/audit?action=evidence").await.json();
    assert_eq!((audit["total"].as_u64(), audit["rows"][0]["actor"].as_str()), (Some(2), Some("admin")));
    assert_eq!(audit["rows"][1]["detail"]["finding"], "f001");
}

#[tokio::test]
async fn rows_come_in_parts_filtered_sorted_and_as_downloads() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&format!("/api/v1/findings?limit=99&sort=-count{cursor}")).await.json();
        assert_eq!(page["total"], 250);
        seen.extend(page["rows"].as_array().unwrap().iter().map(|r| r["count"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(seen.len() == 250 && seen.is_sorted_by(|a, b| a > b), "each once, in order");
    let few = admin.get("/api/v1/findings?min_count=240&severity=high,critical&limit=5").await.json();
    assert_eq!((few["total"].as_u64(), few["rows"].as_array().unwrap().len()), (Some(10), 5));
    let csv = admin.get("/api/v1/findings?format=csv").await;
    assert!(csv.has("content-type: text/csv") && csv.has("attachment"), "{}", csv.head);
    assert!(
        csv.body.contains("\"'=HYPERLINK(\"\"x\"\")\"") || csv.body.contains("'=HYPERLINK"),
        "{}",
        &csv.body[..600]
    );
    let lines = admin.get("/api/v1/findings?format=ndjson").await;
    assert!(lines.has("content-type: application/x-ndjson"));
    for path in [
        "overview",
        "traffic",
        "changes",
        "health",
        "summary",
        "hosts",
        "endpoints",
        "campaigns",
        "verdicts",
        "sensitive",
        "sensitive/summary",
        "findings/summary",
        "actions",
        "audit",
        "allow",
        "settings",
        "users",
        "tokens",
        "search?q=finding",
    ] {
        let answer = admin.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    assert_eq!(admin.get("/report").await.body, "<!doctype html><p>250 findings");
    assert_eq!(admin.get("/api/v1/settings").await.json()["retention"]["rows"], 1_000_000);
}

#[tokio::test]
async fn the_overview_begins_and_ends_with_the_packets_of_its_runs() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let (overview, health) =
        (admin.get("/api/v1/overview").await.json(), admin.get("/api/v1/health").await.json());
    assert!(overview["span"]["from"].is_string(), "{overview}");
    assert_eq!(overview["span"]["from"], health["runs"][0]["first_ts"]);
    assert_eq!(overview["span"]["to"], health["runs"][0]["last_ts"]);
}

#[tokio::test]
async fn errors_are_problems() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    for (target, status) in [
        ("/nothing.js", 404),
        ("/api/v1/nothing", 404),
        ("/api/v1/../../etc/passwd", 404),
        ("/..%2f..%2fetc%2fpasswd.txt", 404),
        ("/assets/../../../etc/passwd.txt", 404),
        ("/api/v1/endpoints/%00", 404),
        ("/api/v1/endpoints/%ff%fe", 400),
        ("/api/v1/endpoints/'%20OR%201=1--", 404),
        ("/api/v1/hosts/..%2f..%2fx/openapi", 404),
        ("/api/v1/findings?limit=0", 400),
        ("/api/v1/findings?limit=1001", 400),
        ("/api/v1/findings?limit=x", 400),
        ("/api/v1/findings?colour=red", 400),
        ("/api/v1/findings?sort=row", 400),
        ("/api/v1/findings?sort=-rank;DROP", 400),
        ("/api/v1/findings?cursor=AAAA", 400),
        ("/api/v1/findings?seen_after=yesterday", 400),
        ("/api/v1/findings?min_count=many", 400),
        ("/api/v1/search?q=ab", 400),
        ("/api/v1/traffic?bucket_s=0", 400),
        ("/api/v1/policies", 409),
    ] {
        let answer = admin.get(target).await;
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (status, Some(status.into())),
            "{target}: {}",
            answer.body
        );
        assert!(answer.has("content-type: application/problem+json"), "{target} {}", answer.head);
    }
    let nobody = served.get("/api/v1/findings").await;
    assert!(nobody.status == 401 && nobody.has("www-authenticate: bearer"), "{}", nobody.head);
    assert_eq!(admin.get("/api/v1/findings?q=%00zzzz").await.json()["total"], 0, "not every row");
    let bodies = [
        ("{", 400),
        ("[]", 400),
        ("{\"status\":\"gone\"}", 400),
        ("{\"colour\":1}", 400),
        ("{\"status\":\"accepted\"}", 400),
        ("{\"status\":7}", 400),
    ];
    for (body, status) in bodies {
        assert_eq!(admin.send_text("PATCH", "/api/v1/findings/f001", body).await.status, status, "{body}");
    }
    let large = format!("{{\"note\":\"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(admin.send_text("PATCH", "/api/v1/findings/f001", &large).await.status, 413);
    let open = json!({"name": "x".repeat(20 << 10), "password": "x"});
    assert_eq!(served.post("/api/v1/session", &open).await.status, 413, "of who has not said who he is");
    let deep = "[".repeat(100_000);
    assert_eq!(admin.send_text("PATCH", "/api/v1/findings/f001", &deep).await.status, 400);
    assert_eq!(admin.send("POST", "/api/v1/endpoints", &json!({})).await.status, 405);
}

#[tokio::test]
async fn events_follow_what_is_written() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let mut stream = admin.open("/api/v1/events").await;
    let hello = stream.until("event: hello").await;
    assert!(hello.contains("text/event-stream"), "{hello}");
    served.save_finding(251);
    let news = stream.until("event: changed").await;
    assert!(stream.until("findings").await.contains("findings"), "{news}");
}

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let now = serde_json::to_string_pretty(&sidetap_console::openapi()).unwrap() + "\n";
    if std::env::var_os("SIDETAP_BLESS").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(committed == now, "docs/openapi.json is not what the code says: just openapi");
}

#[tokio::test]
async fn it_says_why_it_cannot_serve() {
    let dir = tempfile::tempdir().unwrap();
    let bind = |path: &std::path::Path, to: std::net::SocketAddr| {
        Console::bind(Options::new(path, to, common::still()))
    };
    let nowhere = bind(&dir.path().join("none"), "127.0.0.1:0".parse().unwrap()).await;
    assert!(matches!(nowhere, Err(ConsoleError::Store(_))));
    let path = dir.path().join("sidetap.db");
    common::fill(&path);
    let first = bind(&path, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let taken = bind(&path, first.local_addr()).await.unwrap_err();
    assert!(taken.to_string().starts_with("console: cannot listen at 127.0.0.1:"), "{taken}");
    let options = Options::new(&path, "127.0.0.1:0".parse().unwrap(), common::still());
    let tls = Some((dir.path().join("none.pem"), dir.path().join("none.key")));
    assert!(matches!(Console::bind(Options { tls, ..options }).await, Err(ConsoleError::Tls { .. })));
}

#[tokio::test]
async fn a_store_that_is_served_again_needs_no_second_set_up() {
    let first: Served = serve().await.with_admin().await;
    let second = serve_at(first.dir.path()).await;
    assert!(second.token.is_empty());
    assert_eq!(second.log_in("admin", PASSWORD).await.get("/api/v1/endpoints").await.status, 200);
}

#[tokio::test]
async fn endpoints_are_merged_and_told_apart_by_templates() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let path = "/api/v1/templates";
    let body = |template: &str| json!({"host": "shop.example", "method": "GET", "template": template, "reason": "one thing"});
    let made = admin.send("POST", path, &body("/items/{sku}")).await;
    assert_eq!(
        (made.status, made.json()["kind"].as_str(), made.json()["by"].as_str()),
        (201, Some("merge"), Some("admin"))
    );
    assert_eq!(admin.send("POST", path, &body("/items/{sku}")).await.status, 409, "it is set already");
    assert_eq!(admin.send("POST", path, &body("/items/special")).await.json()["kind"], "split");
    for bad in ["items", "/a b", "/{a}{b}", "/}a{", "/x?y", ""] {
        assert_eq!(admin.send("POST", path, &body(bad)).await.status, 400, "{bad}");
    }
    assert_eq!(admin.get(path).await.json()["total"], 2);
    let one = format!("{path}/{}", made.json()["id"]);
    assert_eq!(admin.send("DELETE", &one, &Value::Null).await.status, 204);
    assert_eq!(admin.send("DELETE", &one, &Value::Null).await.status, 404);
    let audit = admin.get("/api/v1/audit?action=template").await.json();
    assert_eq!(audit["total"], 3, "{audit}");
}

#[tokio::test]
async fn evidence_says_of_how_many_it_was_chosen() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let all = admin.get("/api/v1/findings/f001/exchanges").await.json();
    assert_eq!((all["sample"].is_null(), all["rows"][0]["weight"].as_f64()), (true, Some(1.0)), "{all}");
    served.sample("finding:f001", 40, &["x-1"]);
    let all = admin.get("/api/v1/findings/f001/exchanges").await.json();
    assert_eq!(
        (all["sample"]["seen"].as_u64(), all["sample"]["kept"].as_u64()),
        (Some(40), Some(1)),
        "{all}"
    );
    assert_eq!(
        (all["rows"][0]["weight"].as_f64(), all["rows"][0]["why"][0].as_str()),
        (Some(40.0), Some("sample-of-finding"))
    );
}

#[tokio::test]
async fn a_server_keeps_the_store_to_its_limits_from_its_start_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidetap.db");
    let start = common::still()();
    common::fill(&path);
    let mut store = sidetap_store::Store::open(&path).unwrap();
    let limits = store.limits().unwrap();
    store.set_limits(&sidetap_store::Limits { rows: 7, ..limits }).unwrap();
    let options = Options {
        tidy_after: std::time::Duration::ZERO,
        ..Options::new(&path, "127.0.0.1:0".parse().unwrap(), std::sync::Arc::new(move || start))
    };
    let console = Console::bind(options).await.unwrap();
    tokio::spawn(console.run(std::future::pending()));
    let rows = || sidetap_store::Store::open_read_only(&path).unwrap().load().unwrap().findings.len();
    for _ in 0..600 {
        if rows() == 7 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{} findings are left", rows());
}
