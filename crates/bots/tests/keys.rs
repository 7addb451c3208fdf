//! What a campaign came to is told alike whatever the site's key is: only names differ by it.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::collections::BTreeMap;

use world::{World, bad, call};

/// Outcomes by class, and how many accounts the reasons tell of.
fn told(key: u8, attack: impl Fn(&mut World)) -> (BTreeMap<String, BTreeMap<String, u64>>, Vec<String>) {
    let mut world = World::keyed([key; 16]);
    world.honest();
    attack(&mut world);
    let engine = world.judge();
    let campaigns = engine.campaigns();
    let reasons = campaigns.iter().flat_map(|c| &c.reasons).map(|r| r.observed.to_string());
    let accounts = reasons.filter(|r| r.contains("different accounts")).collect();
    (campaigns.into_iter().map(|c| (c.class, c.outcome)).collect(), accounts)
}

fn log_in(w: &mut World, n: u32, from: u32) {
    let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
    let status = if n % 60 == 59 { 200 } else { 401 };
    let at = 100_000 + i64::from(n) * 700;
    w.at(at, &call(bad(from), "POST", "/api/login").script().body(body).status(status));
}

#[test]
fn accounts_that_one_client_tried_are_counted_alike_by_every_key() {
    for key in [5, 6, 7, 8] {
        let (outcomes, reasons) = told(key, |w| (0..381).for_each(|n| log_in(w, n, 1)));
        let outcome = &outcomes["credential-stuffing"];
        assert_eq!((outcome["accounts-tried"], outcome["accounts-taken"]), (381, 6), "{key} {outcome:?}");
        assert!(!reasons.is_empty(), "{outcomes:?}");
        assert!(reasons.iter().all(|r| r.contains("381 different accounts")), "{key} {reasons:?}");
    }
}

#[test]
fn accounts_that_many_clients_tried_are_counted_alike_by_every_key() {
    for key in [5, 6, 7, 8] {
        // Each list begins where the one before it ends, but for two names.
        let (outcomes, _) = told(key, |w| {
            (0..60).for_each(|from| (0..8).for_each(|n| log_in(w, from * 6 + n, from)));
        });
        let outcome = &outcomes["credential-stuffing"];
        assert_eq!(outcome["accounts-tried"], 362, "{key} {outcome:?}");
    }
}
