//! Heads alone: what they name is stable, and they convict nobody.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use world::{World, bad, call};

/// Weak indicators alone make nobody malicious, however many fire.
#[test]
fn clients_with_odd_heads_alone_are_not_convicted() {
    let mut world = World::new();
    world.honest();
    for n in 0..20u32 {
        let c = call(bad(n), "GET", "/api/feed").chrome();
        let c = c.set("Accept-Encoding", Some("gzip, deflate, lzma")).set("Accept-Language", Some("en"));
        let c = c.set("Connection", Some("close")).header("Keep-Alive", "300").header("X-Nothing", "");
        for i in 0..6 {
            world.at(100_000 + i64::from(n) * 700 + i * 3_000, &c);
        }
    }
    assert_eq!(world::convicted(&world.judge()), []);
}

/// What a fingerprint means never changes under its version: whoever changes a definition gives it the next.
#[test]
fn fingerprints_are_the_same_in_every_version() {
    let mut world = World::new();
    let c = call(bad(1), "POST", "/api/cart").chrome().header("Cookie", "sid=1; theme_2=dark");
    world.at(0, &c.body("{\"sku\":\"7\",\"n\":1}"));
    assert_eq!(world.observations[0].actors().fingerprint, GOLDEN);
}

const GOLDEN: [&str; 7] = [
    "s2-ed23e57a5b5c1479",
    "d1-3df04aa7fd8f1b32",
    "a1-230906bb7fe3bb01",
    "h1-5944bd50b881369c",
    "n1-46e112adbc6f7ec9",
    "b1-7e3e4f7af17a977a",
    "c1-e4e6ee89b5b6e0d7",
];
