//! How closely the bodies of an endpoint are looked at, once it is known.

mod common;

use common::Feed;
use sidetap_discovery::{BodyFacts, Field, Kinds, Visit};
use sidetap_model::FlowId;
use sidetap_wire::body::hash_str;

fn answer(f: &mut Feed, fields: &[&str]) {
    let mut o = f.make("GET", "/v1/items", 200);
    let field = |path: &&str| Field {
        path: hash_str(path),
        len: path.len() as u16,
        kinds: Kinds::STRING,
        shapes: 0,
        count: 1,
    };
    o.response = BodyFacts {
        visited: true,
        media: Some("application/json".into()),
        fields: fields.iter().map(field).collect(),
        paths: fields.concat(),
        ..BodyFacts::default()
    };
    f.give(&o);
}

/// How many of 8,000 answers are read whole, how many they stand for, and how many are gathered for the schema.
fn looked_at(f: &Feed) -> (usize, u32, usize) {
    looked_at_like(f, 200, 0)
}

fn looked_at_like(f: &Feed, status: u16, len: u64) -> (usize, u32, usize) {
    let found = f.engine.snapshot().find("default", "api.example.com", "GET", b"/v1/items");
    let counts: Vec<u32> =
        (0..8_000).map(|n| found.stands_for(FlowId(n / 40), (n % 40) as u32, 8, status, len)).collect();
    let full = (0..8_000).filter(|n| found.visit(FlowId(n / 40), (n % 40) as u32) == Visit::Full).count();
    (counts.iter().filter(|n| **n > 0).count(), counts.iter().sum(), full)
}

#[test]
fn answers_of_an_endpoint_that_is_well_known_are_sampled() {
    let mut f = Feed::new();
    (0..100).for_each(|_| answer(&mut f, &["$.id", "$.name"]));
    let (whole, stands_for, full) = looked_at(&f);
    assert!((3_800..4_200).contains(&whole) && stands_for as usize == whole * 2, "{whole} for {stands_for}");
    assert!((300..700).contains(&full), "{full}");
    (0..100).for_each(|_| answer(&mut f, &["$.id", "$.name"]));
    let (whole, stands_for, _) = looked_at(&f);
    assert!((1_800..2_200).contains(&whole) && stands_for as usize == whole * 4, "{whole} for {stands_for}");
    (0..200).for_each(|_| answer(&mut f, &["$.id", "$.name"]));
    let (whole, stands_for, _) = looked_at(&f);
    assert!((800..1_200).contains(&whole) && stands_for as usize == whole * 8, "{whole} for {stands_for}");
    assert_eq!(looked_at_like(&f, 500, 0).0, 8_000, "a status that was never there");
    assert_eq!(looked_at_like(&f, 200, 1 << 20).0, 8_000, "longer than all before");
    (0..1_000).for_each(|_| answer(&mut f, &["$.id", "$.name"]));
    let (whole, stands_for, _) = looked_at(&f);
    assert!((400..600).contains(&whole) && stands_for as usize == whole * 16, "{whole} for {stands_for}");
    (0..3_000).for_each(|_| answer(&mut f, &["$.id", "$.name"]));
    let (whole, stands_for, _) = looked_at(&f);
    assert!((200..300).contains(&whole) && stands_for as usize == whole * 32, "{whole} for {stands_for}");
    (0..100).for_each(|_| answer(&mut f, &["$.id", "$.name", "$.passport"]));
    (0..20).for_each(|_| answer(&mut f, &["$.id"]));
    assert!(looked_at(&f).0 < 8_000, "a hundred bodies after the change it is settled again");
    answer(&mut f, &["$.iban"]);
    (0..79).for_each(|_| f.send("GET", "/v1/other", 200));
    assert_eq!(looked_at(&f), (8_000, 8_000, 8_000), "whatever is new is looked at");
}
