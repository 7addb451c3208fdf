//! Caps hold, whatever comes.

mod common;

use common::Feed;
use proptest::prelude::*;
use sidetap_discovery::{BodyFacts, Config};

fn noise(i: u64) -> String {
    let mut x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let mut out = String::new();
    for _ in 0..1 + i % 4 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.push('/');
        for k in 0..6 + x % 5 {
            out.push(char::from(b'a' + (x >> (k * 5) & 15) as u8));
        }
    }
    out
}

fn truth(f: &mut Feed) {
    for i in 0..200 {
        f.send("GET", &format!("/v1/items/{i}"), 200);
        f.send("POST", "/v1/items", 201);
        f.send("GET", &format!("/v1/items/{i}/reviews"), 200);
    }
}

#[test]
fn a_spray_of_paths_that_do_not_exist_changes_nothing() {
    let mut f = Feed::new();
    truth(&mut f);
    let before = f.templates();
    let size = f.engine.export_state().len();
    for i in 0..60_000 {
        f.send("GET", &noise(i), [404, 404, 401, 403, 301, 400][i as usize % 6]);
    }
    assert_eq!(f.templates(), before);
    let after = f.engine.export_state().len();
    assert!(after < size + 400_000, "{size} {after}");
    let held = f.engine.export_state().len();
    for i in 60_000..120_000 {
        f.send("GET", &noise(i), [404, 404, 401, 403, 301, 400][i as usize % 6]);
    }
    let more = f.engine.export_state().len();
    assert!(more < held + held / 20, "{held} {more}");
    assert!(f.engine.evictions().get("discovery-unproven").is_some_and(|n| *n > 0));
}

#[test]
fn a_server_that_says_yes_to_everything_runs_into_the_caps() {
    let config =
        Config { max_nodes_per_host: 2000, creation_burst: 1500, creation_per_s: 1, ..Config::default() };
    let mut f = Feed::with(config);
    truth(&mut f);
    for i in 0..40_000 {
        f.send("GET", &noise(i), 200);
    }
    let t = f.templates();
    assert!(t.contains(&"GET /v1/items/{}".to_owned()) && t.contains(&"GET /v1/items/{}/reviews".to_owned()));
    assert!(f.rows().len() <= 2000);
    assert!(f.engine.evictions().get("discovery-paths").is_some_and(|n| *n > 0));
    f.client = [192, 0, 2, 1].into();
    f.send("GET", "/v1/orders", 200);
    assert!(f.templates().contains(&"GET /v1/orders".to_owned()) || f.rows().len() >= 1500);
}

#[test]
fn a_page_that_answers_every_path_is_one_page() {
    let mut f = Feed::new();
    truth(&mut f);
    let page = |f: &mut Feed, path: &str| {
        let mut o = f.make("GET", path, 200);
        o.response =
            BodyFacts { visited: true, media: Some("text/html".into()), print: 77, ..BodyFacts::default() };
        f.give(&o);
    };
    page(&mut f, "/");
    for i in 0..5000 {
        page(&mut f, &noise(i));
    }
    assert_eq!(f.templates(), ["GET /", "POST /v1/items", "GET /v1/items/{}", "GET /v1/items/{}/reviews"]);
}

#[test]
fn one_page_for_many_objects_is_an_endpoint() {
    let mut f = Feed::new();
    for i in 0..200 {
        let mut o = f.make("GET", &format!("/j/{}", 100_000_000 + i * 7_919), 200);
        o.response =
            BodyFacts { visited: true, media: Some("text/html".into()), print: 78, ..BodyFacts::default() };
        f.give(&o);
    }
    assert_eq!(f.templates(), ["GET /j/{}"]);
}

#[test]
fn hosts_are_capped() {
    let mut f = Feed::with(Config { max_hosts: 3, ..Config::default() });
    for i in 0..10 {
        let mut o = f.make("GET", "/a", 200);
        o.endpoint.host = format!("h{i}.example.com").into();
        f.give(&o);
    }
    assert_eq!(f.rows().len(), 3);
    assert_eq!(f.engine.evictions().get("discovery-hosts"), Some(&7));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_panics(paths in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..64), 100_u16..600), 1..60)) {
        let mut f = Feed::new();
        for (path, status) in &paths {
            let mut o = f.make("GET", "/", *status);
            o.path = path.as_slice().into();
            f.give(&o);
            f.engine.end_epoch(o.ts);
            let found = f.engine.snapshot().lookup("default", "api.example.com", "GET", path);
            prop_assert!(found.template.starts_with('/'));
        }
        f.rows();
        f.engine.openapi();
    }

    #[test]
    fn paths_are_found_again(paths in prop::collection::vec("(/[a-zA-Z0-9._%-]{1,12}){1,5}/?", 1..40)) {
        let mut f = Feed::new();
        for p in &paths {
            f.send("GET", p, 200);
        }
        f.engine.finish();
        let rows = f.engine.rows(&[], &Default::default());
        for p in &paths {
            let found = f.engine.snapshot().lookup("default", "api.example.com", "GET", p.as_bytes());
            prop_assert!(rows.iter().any(|r| r.id == found.id && r.template == *found.template), "{p} {found:?}");
        }
        prop_assert_eq!(rows.iter().map(|r| r.calls).sum::<u64>(), paths.len() as u64);
    }
}
