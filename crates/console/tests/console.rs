//! The console as a browser, a script and an attacker meet it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PASSWORD, Served, serve, serve_at, serve_with};
use serde_json::{Value, json};
use sidetap_console::{Console, ConsoleError, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn the_first_start_makes_one_administrator() {
    let served = serve().await;
    assert_eq!(served.get("/api/v1/setup").await.json()["required"], true);
    let body = |token: &str| json!({"token": token, "name": "anna", "password": PASSWORD});
    assert_eq!(served.post("/api/v1/setup", &body("wrong")).await.status, 403);
    let short = json!({"token": served.token, "name": "anna", "password": "short"});
    assert_eq!(served.post("/api/v1/setup", &short).await.status, 400);
    let made = served.post("/api/v1/setup", &body(&served.token)).await;
    assert_eq!((made.status, made.json()["user"]["role"].as_str()), (201, Some("admin")));
    for part in ["httponly", "samesite=strict", "path=/"] {
        assert!(made.head.to_lowercase().contains(part), "{}", made.head);
    }
    assert_eq!(served.get("/api/v1/setup").await.json()["required"], false);
    assert_eq!(
        served.post("/api/v1/setup", &body(&served.token)).await.status,
        409,
        "the token is worth nothing now"
    );
}

#[tokio::test]
async fn a_session_is_asked_for_and_changes_carry_its_mark() {
    let served = serve().await.with_admin().await;
    assert_eq!(served.get("/api/v1/endpoints").await.status, 401);
    let session = served.log_in("admin", PASSWORD).await;
    let me = session.get("/api/v1/session").await.json();
    assert_eq!((me["user"]["name"].as_str(), me["kind"].as_str()), (Some("admin"), Some("session")));
    let finding = "/api/v1/findings/f001";
    let fixed = json!({"status": "fixed"});
    let unmarked = session.without_csrf().send("PATCH", finding, &fixed).await;
    assert_eq!((unmarked.status, unmarked.problem()), (403, "urn:sidetap:problem:csrf".to_owned()));
    let forged = session.with_csrf("AAAA").send("PATCH", finding, &fixed).await;
    assert_eq!(forged.status, 403);
    assert_eq!(session.send("PATCH", finding, &fixed).await.json()["work"]["status"], "fixed");
    assert_eq!(session.send("DELETE", "/api/v1/session", &Value::Null).await.status, 204);
    assert_eq!(session.get("/api/v1/session").await.status, 401, "it has ended");
}

#[tokio::test]
async fn sessions_end_by_time_and_cannot_be_made_up() {
    let served = serve().await.with_admin().await;
    let session = served.log_in("admin", PASSWORD).await;
    let forged = served.with_cookie("sidetap_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(forged.get("/api/v1/endpoints").await.status, 401);
    let twice = served.with_cookie(&format!("{}; sidetap_session=x", session.cookie));
    assert_eq!(twice.get("/api/v1/endpoints").await.status, 401, "nobody can say which one is meant");
    served.advance(59 * 60);
    assert_eq!(session.get("/api/v1/endpoints").await.status, 200);
    served.advance(61 * 60);
    assert_eq!(session.get("/api/v1/endpoints").await.status, 401, "an hour without a request");
    let session = served.log_in("admin", PASSWORD).await;
    for _ in 0..25 {
        served.advance(29 * 60);
        let status = session.get("/api/v1/endpoints").await.status;
        if status == 401 {
            return;
        }
    }
    panic!("a session lasts half a day at most");
}

#[tokio::test]
async fn guessing_locks_out() {
    let served = serve().await.with_admin().await;
    let guess = json!({"name": "admin", "password": "not the password"});
    for _ in 0..10 {
        assert_eq!(served.post("/api/v1/session", &guess).await.status, 401);
    }
    let right = json!({"name": "admin", "password": PASSWORD});
    let locked = served.post("/api/v1/session", &right).await;
    assert_eq!((locked.status, locked.problem()), (429, "urn:sidetap:problem:locked-out".to_owned()));
    assert!(locked.has("retry-after: 9"), "{}", locked.head);
    served.advance(15 * 60 + 1);
    assert_eq!(served.post("/api/v1/session", &right).await.status, 200);
}

#[tokio::test]
async fn who_knows_a_name_cannot_lock_its_owner_out_of_a_known_browser() {
    let served = serve().await.with_admin().await;
    let right = json!({"name": "admin", "password": PASSWORD});
    let answer = served.post("/api/v1/session", &right).await;
    let mark = answer.head.lines().find_map(|l| l.split_once("sidetap_known=")).unwrap().1;
    let browser = served.with_cookie(&format!("sidetap_known={}", mark.split(';').next().unwrap()));
    let guess = json!({"name": "admin", "password": "not the password"});
    for _ in 0..12 {
        served.post("/api/v1/session", &guess).await;
    }
    assert_eq!(served.post("/api/v1/session", &right).await.status, 429);
    assert_eq!(browser.send("POST", "/api/v1/session", &right).await.status, 200);
    // What a browser may that is known is to guess ten times as well.
    for _ in 0..10 {
        assert_eq!(browser.send("POST", "/api/v1/session", &guess).await.status, 401);
    }
    assert_eq!(browser.send("POST", "/api/v1/session", &right).await.status, 429);
}

#[tokio::test]
async fn a_new_password_takes_tokens_along_where_it_is_asked_to() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let user = json!({"name": "bert", "role": "viewer", "password": PASSWORD});
    assert_eq!(admin.send("POST", "/api/v1/users", &user).await.status, 201);
    let bert = served.log_in("bert", PASSWORD).await;
    let made = bert.send("POST", "/api/v1/tokens", &json!({"name": "ci", "role": "viewer"})).await;
    let token = served.with_token(made.json()["token"].as_str().unwrap());
    let change = |remove: bool| json!({"old": PASSWORD, "new": PASSWORD, "remove_tokens": remove});
    let path = "/api/v1/session/password";
    assert_eq!(token.send("PUT", path, &change(false)).await.status, 403, "a token changes no password");
    assert_eq!(bert.send("PUT", path, &change(false)).await.status, 204);
    assert_eq!(token.get("/api/v1/endpoints").await.status, 200);
    assert_eq!(bert.send("PUT", path, &change(true)).await.status, 204);
    assert_eq!(token.get("/api/v1/endpoints").await.status, 401);
    let made = bert.send("POST", "/api/v1/tokens", &json!({"name": "ci", "role": "viewer"})).await;
    let token = served.with_token(made.json()["token"].as_str().unwrap());
    let reset = json!({"password": PASSWORD, "remove_tokens": true});
    assert_eq!(admin.send("PATCH", "/api/v1/users/bert", &reset).await.status, 204);
    assert_eq!(token.get("/api/v1/endpoints").await.status, 401);
}

#[tokio::test]
async fn a_search_can_be_downloaded() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let page = admin.get("/api/v1/search?q=finding&limit=7").await.json();
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["next"]), (7, &Value::Null));
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
async fn guesses_at_once_are_no_more_than_one_after_another() {
    let served = serve().await.with_admin().await;
    let guess = json!({"name": "admin", "password": "not the password"});
    let at_once = (0..30).map(|_| served.post("/api/v1/session", &guess));
    let answers = futures_util::future::join_all(at_once).await;
    let looked_at = answers.iter().filter(|a| a.status == 401).count();
    assert_eq!(looked_at, 10);
    assert!(answers.iter().all(|a| matches!(a.status, 401 | 429)));
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
async fn forgetting_a_name_leaves_who_changed_users() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let body = json!({"name": "mallory", "role": "admin", "password": PASSWORD});
    assert_eq!(admin.send("POST", "/api/v1/users", &body).await.status, 201);
    let forget = json!({"kind": "account", "value": "mallory"});
    assert_eq!(admin.send("POST", "/api/v1/settings/forget", &forget).await.status, 200);
    let audit = admin.get("/api/v1/audit").await.body;
    assert!(audit.contains("user.add") && audit.contains("mallory"), "{audit}");
}

#[tokio::test]
async fn each_role_may_what_the_table_says_and_no_more() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let roles = ["viewer", "analyst", "operator", "admin"];
    let rank = |role: &str| roles.iter().position(|r| *r == role).unwrap();
    for role in roles {
        let name = format!("{role}1");
        let body = json!({"name": name, "role": role, "password": PASSWORD});
        assert_eq!(admin.send("POST", "/api/v1/users", &body).await.status, 201);
    }
    let routes = sidetap_console::routes();
    assert!(routes.len() > 60, "{}", routes.len());
    for role in roles {
        let session = served.log_in(&format!("{role}1"), PASSWORD).await;
        for route in &routes {
            // Logging out would end the test, a stream does not end.
            if (route.method, route.path) == ("DELETE", "/api/v1/session") || route.path == "/api/v1/events" {
                continue;
            }
            let path =
                route.path.replace("{id}", "none").replace("{name}", "nobody").replace("{host}", "none");
            let (seen, nobody) = match route.method {
                "GET" => (session.get(&path).await, served.get(&path).await),
                // A body that no route takes: who may gets 400, who may not 403 before.
                method => (
                    session.send(method, &path, &json!([0])).await,
                    served.send(method, &path, &json!([0])).await,
                ),
            };
            let what = format!("{role} {} {}: {} {}", route.method, route.path, seen.status, seen.body);
            match route.role {
                Some(wanted) => {
                    assert_eq!(nobody.status, 401, "nobody {} {}", route.method, route.path);
                    assert_eq!(seen.status == 403, rank(role) < rank(wanted), "{what}");
                }
                None => assert!(![401, 403].contains(&seen.status) || route.method == "POST", "{what}"),
            }
            assert!(seen.status < 500, "{what}");
        }
    }
}

#[tokio::test]
async fn tokens_may_at_most_what_their_maker_may() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let user = json!({"name": "bert", "role": "analyst", "password": PASSWORD});
    assert_eq!(admin.send("POST", "/api/v1/users", &user).await.status, 201);
    let bert = served.log_in("bert", PASSWORD).await;
    let ask = |role: &str, read_only: bool| json!({"name": "ci", "role": role, "read_only": read_only, "expires_in_s": 100});
    assert_eq!(bert.send("POST", "/api/v1/tokens", &ask("admin", false)).await.status, 403);
    let made = bert.send("POST", "/api/v1/tokens", &ask("analyst", true)).await;
    assert_eq!(made.status, 201);
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    let token = served.with_token(&secret);
    assert_eq!(token.get("/api/v1/session").await.json()["kind"], "token");
    assert_eq!(token.get("/api/v1/endpoints").await.status, 200);
    assert_eq!(
        token.send("PATCH", "/api/v1/findings/f001", &json!({"status": "fixed"})).await.status,
        403,
        "it may only read"
    );
    assert_eq!(token.send("POST", "/api/v1/tokens", &ask("viewer", true)).await.status, 403);
    assert_eq!(served.with_token("st_made-up").get("/api/v1/endpoints").await.status, 401);
    let listed = bert.get("/api/v1/tokens").await;
    assert!(!listed.body.contains(&secret) && listed.json()["total"] == 1);
    admin.send("PATCH", "/api/v1/users/bert", &json!({"role": "viewer"})).await;
    assert_eq!(token.get("/api/v1/audit").await.status, 403, "its maker may less now");
    served.advance(101);
    assert_eq!(token.get("/api/v1/endpoints").await.status, 401, "it has ended");
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
async fn another_sites_page_cannot_read_it_and_pages_can_do_little() {
    let served = serve().await.with_admin().await;
    let port = served.to.port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1:1".to_owned()] {
        assert_eq!(
            served
                .raw(&format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
                .await
                .status,
            421
        );
    }
    let two =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nHost: {}\r\nConnection: close\r\n\r\n", served.to);
    assert_eq!(served.raw(&two).await.status, 400);
    for host in [format!("localhost:{port}"), format!("sensor.example:{port}")] {
        let answer =
            served.raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{host}");
        for line in [
            "default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
        ] {
            assert!(answer.has(line), "{line}: {}", answer.head);
        }
        assert!(!answer.has("access-control-allow-origin") && !answer.has("unsafe-inline"));
    }
    let cross = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        served.to
    );
    assert_eq!(served.raw(&cross).await.status, 415, "a form of another site cannot send JSON");
}

#[tokio::test]
async fn heads_without_end_are_cut_off() {
    let served = serve().await;
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = served.raw(&format!("GET / HTTP/1.1\r\nHost: {}\r\n{many}\r\n", served.to)).await;
    assert_eq!(answer.status, 431);
    let long = "a".repeat(64 << 10);
    let answer = served.raw(&format!("GET /{long} HTTP/1.1\r\nHost: {}\r\n\r\n", served.to)).await;
    assert!([414, 431].contains(&answer.status), "{}", answer.status);
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

#[tokio::test]
async fn settings_users_and_forgetting_are_the_administrators() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let few = admin.send("PATCH", "/api/v1/settings/retention", &json!({"rows": 5})).await;
    assert_eq!(few.status, 400);
    let kept = admin.send("PATCH", "/api/v1/settings/retention", &json!({"rows": 5000})).await.json();
    assert_eq!(kept["rows"], 5000);
    let copy = admin.send_bytes("POST", "/api/v1/settings/backup").await;
    assert!(copy.windows(15).any(|w| w == b"SQLite format 3"));
    assert_eq!(
        admin.send("DELETE", "/api/v1/users/admin", &Value::Null).await.status,
        409,
        "the last administrator"
    );
    let gone = admin
        .send("POST", "/api/v1/settings/forget", &json!({"kind": "ip", "value": "203.0.113.1"}))
        .await
        .json();
    assert_eq!(gone["removed"]["evidence"], 1, "{gone}");
    let allow = json!({"kind": "cidr", "value": "198.51.100.0/24", "reason": "our office"});
    let made = admin.send("POST", "/api/v1/allow", &allow).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        admin
            .send("POST", "/api/v1/allow", &json!({"kind": "cidr", "value": "x", "reason": "r"}))
            .await
            .status,
        400
    );
    let id = made.json()["id"].as_u64().unwrap();
    assert_eq!(admin.send("DELETE", &format!("/api/v1/allow/{id}"), &Value::Null).await.status, 204);
    assert_eq!(admin.send("DELETE", &format!("/api/v1/allow/{id}"), &Value::Null).await.status, 404);
    let undo = admin.send("POST", "/api/v1/mitigation/undo", &json!({"all": true, "verdict": "v"})).await;
    assert_eq!(undo.status, 400);
    let written: Vec<String> = admin.get("/api/v1/audit").await.json()["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["action"].as_str().unwrap().to_owned())
        .collect();
    for action in
        ["allow.remove", "allow.add", "store.forget", "store.backup", "settings.retention", "session.log-in"]
    {
        assert!(written.iter().any(|w| w == action), "{action} in {written:?}");
    }
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
    assert!(taken.to_string().starts_with("console: 127.0.0.1:"), "{taken}");
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
async fn one_address_does_not_take_up_all_connections() {
    let served = serve().await;
    let mut open = Vec::new();
    for _ in 0..300 {
        open.push(TcpStream::connect(served.to).await.unwrap());
    }
    // Those above its share are closed without a word; who comes from elsewhere is answered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(served.to).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.to);
    other.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut closed = 0;
    for stream in &mut open {
        let mut byte = [0];
        closed += u32::from(matches!(stream.try_read(&mut byte), Ok(0)));
        if closed == 0 {
            // The kernel may not have told yet.
            let wait = std::time::Duration::from_millis(1);
            closed +=
                u32::from(matches!(tokio::time::timeout(wait, stream.read(&mut byte)).await, Ok(Ok(0))));
        }
    }
    assert!(closed >= 1, "{closed} of 300 were closed");
}

#[tokio::test]
async fn who_sends_slowly_or_nothing_makes_way_for_who_asks() {
    let served = serve_with(|options| options.connections = 24).await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let mut stream = admin.open("/api/v1/events").await;
    stream.until("text/event-stream").await;
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n",
        served.to
    );
    let mut slow = Vec::new();
    for n in 0..120 {
        let mut one = TcpStream::connect(served.to).await.unwrap();
        let sent = match n % 3 {
            0 => String::new(),
            1 => head.clone(),
            _ => format!("{head}\r\n{{"),
        };
        let _ = one.write_all(sent.as_bytes()).await;
        slow.push(one);
        if n % 10 == 9 {
            assert_eq!(served.get("/healthz").await.status, 200, "after {n} others");
        }
    }
    assert_eq!(admin.get("/api/v1/findings?limit=1").await.status, 200);
    served.save_finding(900);
    stream.until("event: changed").await;
}
