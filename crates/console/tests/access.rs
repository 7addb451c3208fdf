//! Who may what: sessions, lock-outs, roles, tokens, users, forgetting.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PASSWORD, serve};
use serde_json::{Value, json};

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
