//! What becomes a parameter and what does not.

mod common;

use common::Feed;

const NAMES: [&str; 24] = [
    "ada",
    "grace",
    "linus",
    "ken",
    "barbara",
    "edsger",
    "donald",
    "margaret",
    "alan",
    "john",
    "tim",
    "radia",
    "vint",
    "hedy",
    "annie",
    "dorothy",
    "katherine",
    "mary",
    "joan",
    "sophie",
    "adele",
    "frances",
    "jean",
    "betty",
];

#[test]
fn resources_that_are_handled_alike_stay_apart() {
    let mut f = Feed::new();
    let resources = [
        "users",
        "products",
        "orders",
        "baskets",
        "feedbacks",
        "quantitys",
        "challenges",
        "complaints",
        "recycles",
        "cards",
    ];
    for i in 0..400 {
        let r = resources[i % resources.len()];
        f.send("GET", &format!("/api/{r}"), 200);
        f.send("GET", &format!("/api/{r}/{i}"), 200);
        f.send("PUT", &format!("/api/{r}/{i}"), 200);
        f.send("POST", &format!("/api/{r}"), 201);
        f.send("GET", &format!("/api/{r}/{i}/history"), 200);
    }
    let t = f.templates();
    assert_eq!(t.len(), resources.len() * 5, "{t:#?}");
}

#[test]
fn actions_of_one_resource_stay_apart() {
    let mut f = Feed::new();
    for i in 0..600 {
        for verb in ["start", "stop", "pause", "rename", "tune", "drain", "cordon"] {
            f.send("POST", &format!("/v1/machines/{i}/{verb}"), 200);
        }
        f.send("PUT", &format!("/v1/machines/{i}"), 200);
    }
    assert_eq!(f.templates().len(), 8);
}

#[test]
fn remote_procedures_stay_apart() {
    let mut f = Feed::new();
    for i in 0..60 * 5 {
        let name = format!(
            "/api/{}.{}",
            ["chat", "users", "files", "admin", "teams", "calls"][i % 6],
            ["list", "post", "remove", "info", "history", "invite", "kick", "open", "close", "rename"]
                [i / 6 % 10]
        );
        f.send("POST", &name, 200);
    }
    assert_eq!(f.templates().len(), 60);
}

#[test]
fn names_that_responses_echo_are_values() {
    let mut f = Feed::new();
    for name in NAMES.iter().cycle().take(80) {
        f.item("GET", &format!("/users/{name}"), &["id", "email", "bio"]);
        f.send("GET", &format!("/users/{name}/followers"), 200);
    }
    for _ in 0..20 {
        f.view("GET", "/users/me", &["id", "email", "bio", "settings"]);
        f.view("GET", "/users/search", &["total", "items"]);
    }
    assert_eq!(
        f.templates(),
        ["GET /users/me", "GET /users/search", "GET /users/{}", "GET /users/{}/followers"]
    );
}

#[test]
fn adjacent_names_that_never_repeat_together_are_values() {
    let mut f = Feed::new();
    for (i, owner) in NAMES.iter().cycle().take(240).enumerate() {
        let repo = format!("{}-{}", ["blue", "red", "shy", "old"][i % 4], NAMES[(i * 7) % 24]);
        for tail in ["issues", "labels", "pulls", "milestones", "forks"].iter().skip(i % 3) {
            f.send("GET", &format!("/repos/{owner}/{repo}/{tail}"), 200);
        }
    }
    let t = f.templates();
    assert_eq!(t.len(), 5, "{t:#?}");
    assert!(t.contains(&"GET /repos/{}/{}/labels".to_owned()));
}

#[test]
fn groups_with_their_own_resources_stay_apart() {
    let mut f = Feed::new();
    let groups = [
        ("apps", "deployments"),
        ("batch", "jobs"),
        ("policy", "evictions"),
        ("storage.k8s.io", "classes"),
        ("events.k8s.io", "events"),
    ];
    for i in 0..200 {
        let (g, r) = groups[i % 5];
        f.send("GET", &format!("/apis/{g}/v1/namespaces/{}/{r}", NAMES[i % 20]), 200);
        f.send("GET", &format!("/apis/{g}/v1/{r}"), 200);
    }
    let t = f.templates();
    assert!(groups.iter().all(|(g, r)| t.contains(&format!("GET /apis/{g}/v1/{r}"))), "{t:#?}");
}

#[test]
fn probes_leave_no_trace() {
    let mut f = Feed::new();
    for i in 0..50 {
        f.send("GET", &format!("/v1/items/{i}"), 200);
        f.send("GET", &format!("/random{i}/.env"), 404);
        f.send("GET", "/wp-login.php", if i % 2 == 0 { 403 } else { 404 });
        f.send("GET", &format!("/x{i}/admin"), 401);
        f.send("POST", &format!("/y{i}"), 301);
    }
    assert_eq!(f.templates(), ["GET /v1/items/{}"]);
}

#[test]
fn an_endpoint_that_only_refuses_is_kept_when_many_agree() {
    let mut f = Feed::new();
    f.send("GET", "/v1/items/1", 200);
    for i in 0..6 {
        f.client = [10, 0, 0, i].into();
        f.send("GET", "/v1/admin/keys", 403);
    }
    let rows = f.rows();
    let row = rows.iter().find(|r| r.template == "/v1/admin/keys").unwrap();
    assert!(row.risk_terms.iter().any(|t| t.contains("unproven")) && row.callers.count == 6);
}

#[test]
fn what_was_answered_before_an_endpoint_was_proven_is_its_own() {
    let mut f = Feed::new();
    f.send("GET", "/v1/items/1", 200);
    for _ in 0..5 {
        f.send("POST", "/v1/drops/x/claim", 425);
        f.send("POST", "/v1/nowhere", 404);
    }
    f.send("POST", "/v1/drops/x/claim", 200);
    f.send("POST", "/v1/drops/x/claim", 425);
    let rows = f.rows();
    let row = rows.iter().find(|r| r.template == "/v1/drops/x/claim").unwrap();
    assert_eq!((row.calls, row.status_codes.get("425")), (7, Some(&6)));
    assert!(row.first_seen < row.last_seen && !rows.iter().any(|r| r.template == "/v1/nowhere"));
}

#[test]
fn merges_keep_ids_as_aliases() {
    let mut f = Feed::new();
    f.item("GET", "/people/ada", &["id", "email"]);
    f.engine.end_epoch(sidetap_model::Ts(0));
    let before = f.engine.snapshot().lookup("default", "api.example.com", "GET", b"/people/ada");
    assert_eq!(&*before.template, "/people/ada");
    for name in NAMES {
        f.item("GET", &format!("/people/{name}"), &["id", "email"]);
    }
    let renames = f.engine.finish();
    let rows = f.engine.rows(&[], &Default::default());
    assert_eq!(rows.len(), 1);
    assert!(renames.iter().any(|(old, new)| *old == before.id && new.id == rows[0].id));
    assert!(rows[0].aliases.contains(&before.id));
    assert_eq!(rows[0].calls, 25);
    assert_eq!(
        f.engine.snapshot().lookup("default", "api.example.com", "GET", b"/people/new").id,
        rows[0].id
    );
}

#[test]
fn the_same_input_gives_the_same_rows() {
    let run = || {
        let mut f = Feed::new();
        for (i, name) in NAMES.iter().cycle().take(300).enumerate() {
            f.item("GET", &format!("/users/{name}"), &["id"]);
            f.send("GET", &format!("/teams/{}/members/{name}", NAMES[i % 7]), 200);
        }
        serde_json::to_string(&f.rows()).unwrap()
    };
    assert_eq!(run(), run());
}

#[test]
fn an_endpoint_that_lives_is_not_renamed() {
    let mut f = Feed::new();
    let mut renames = Vec::new();
    for name in NAMES.iter().take(12) {
        f.item("GET", &format!("/people/{name}"), &["id", "email"]);
        f.send("POST", &format!("/people/{name}/invite"), 201);
    }
    renames.extend(f.engine.finish());
    for _ in 0..9 {
        f.view("GET", "/people/export", &["rows", "total", "url"]);
    }
    f.item("GET", "/people/somebody", &["id", "email"]);
    renames.extend(f.engine.finish());
    let rows = f.engine.rows(&[], &Default::default());
    let templates: Vec<&str> = rows.iter().map(|r| r.template.as_str()).collect();
    assert_eq!(templates, ["/people/export", "/people/{person}", "/people/{person}/invite"]);
    for (old, new) in &renames {
        assert!(!rows.iter().any(|r| r.id == *old), "{old} is live and was renamed to {new:?}");
    }
    assert!(rows.iter().all(|r| r.aliases.iter().all(|a| rows.iter().all(|o| o.id != *a))));
}

#[test]
fn a_form_that_answers_by_redirect_is_an_endpoint() {
    let mut f = Feed::new();
    f.send("POST", "/login", 302);
    f.send("GET", "/login", 200);
    f.send("POST", "/login", 302);
    f.send("POST", "/elsewhere", 302);
    assert_eq!(f.templates(), ["GET /login", "POST /login"]);
}

#[test]
fn bare_numbers_with_the_same_names_below_are_versions() {
    let mut f = Feed::new();
    for i in 0..300 {
        let version = 1 + i % 2;
        for name in ["config", "feed", "profile"] {
            f.send("GET", &format!("/m/{version}/{name}"), 200);
        }
        f.send("GET", &format!("/m/{version}/items/{i}"), 200);
    }
    let t = f.templates();
    for version in [1, 2] {
        for name in ["config", "feed", "profile"] {
            assert!(t.contains(&format!("GET /m/{version}/{name}")), "{t:#?}");
        }
        assert!(t.contains(&format!("GET /m/{version}/items/{{}}")), "{t:#?}");
    }
    assert_eq!(t.len(), 8, "{t:#?}");
}

#[test]
fn bare_numbers_that_are_many_or_called_themselves_are_values() {
    for (names, values) in [(&["cart", "orders"][..], 1..=9), (&["", "cart", "orders"][..], 1..=2)] {
        let mut f = Feed::new();
        for i in 0..60 {
            for id in values.clone() {
                let name = names[i % names.len()];
                let slash = if name.is_empty() { "" } else { "/" };
                f.send("GET", &format!("/user/{id}{slash}{name}"), 200);
            }
        }
        let t = f.templates();
        assert_eq!(t.len(), names.len(), "{t:#?}");
        assert!(t.iter().all(|t| t.contains("/user/{}")), "{t:#?}");
    }
}

#[test]
fn numbers_with_a_mark_before_them_are_values_at_first_sight() {
    let mut f = Feed::new();
    for i in 0..50 {
        f.send("GET", &format!("/feed/v1/shipments/PW{}", 123_456_789 + i * 7_919), 200);
    }
    assert_eq!(f.templates().len(), 1, "{:#?}", f.templates());
}

#[test]
fn buckets_of_a_hash_are_values_and_few_short_words_are_not() {
    let mut f = Feed::new();
    for i in 0..160_u32 {
        let hash = format!("{:08x}", i.wrapping_mul(0x9e37_79b9));
        f.send("GET", &format!("/media/cache/{}/{}/{hash}{hash}.jpg", &hash[..2], &hash[2..4]), 200);
    }
    assert_eq!(f.templates(), ["GET /media/cache/{}/{}/{}.jpg"]);
    let mut f = Feed::new();
    let words = ["ad", "be", "fa", "cab", "bad", "dad", "fee", "ace", "de"];
    for i in 0..180 {
        let (name, page) = (words[i % words.len()], ["list", "index"][i / words.len() % 2]);
        f.send("GET", &format!("/{name}/{name}-{page}"), 200);
    }
    assert_eq!(f.templates().len(), 18, "{:#?}", f.templates());
}

/// Words as a shop would join them to slugs.
fn slugs(n: usize) -> Vec<String> {
    let words =
        ["alpha", "ceramic", "cotton", "garden", "max", "office", "steel", "urban", "travel", "products"];
    let word = |i: usize| words[i % words.len()];
    (0..n).map(|i| format!("{}-{}-{}", word(i), word(i / 10), word(i / 100))).collect()
}

#[test]
fn many_words_with_the_same_names_below_are_values() {
    for (n, below) in [(40, &["products"][..]), (400, &["products"][..]), (700, &["products", "filters"][..])]
    {
        let mut f = Feed::new();
        for round in 0..6 {
            for (i, slug) in slugs(n).iter().enumerate().filter(|(i, _)| i % 6 >= round) {
                f.send("GET", &format!("/api/v1/categories/{slug}/{}", below[i % below.len()]), 200);
                f.send("GET", "/api/v1/cart", 200);
            }
        }
        let t = f.templates();
        assert_eq!(t.len(), 1 + below.len(), "{t:#?}");
        assert!(t.contains(&"GET /api/v1/categories/{}/products".to_owned()), "{t:#?}");
    }
}

#[test]
fn many_collections_that_are_made_alike_stay_apart() {
    let mut f = Feed::new();
    let collections: Vec<String> = slugs(60);
    for i in 0..12 {
        for c in &collections {
            f.send("GET", &format!("/api/{c}"), 200);
            f.send("GET", &format!("/api/{c}/{}", i + 100), 200);
            f.send("GET", &format!("/api/{c}/fields"), 200);
            f.send("GET", &format!("/api/{c}/count"), 200);
        }
    }
    let t = f.templates();
    assert_eq!(t.len(), collections.len() * 4, "{t:#?}");
}
