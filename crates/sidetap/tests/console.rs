//! What comes of what people set in the console.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;
#[path = "common/serving.rs"]
mod serving;

use std::collections::BTreeSet;

use common::{Place, capture, lines};
use serde_json::{Value, json};
use serving::Serving;

/// Calls of things by their names: too few to be taken for values of a parameter.
fn things() -> Vec<u8> {
    let one = |name: &str| {
        format!(
            "# A thing\n\n>>>\nGET /things/{name} HTTP/1.1\nHost: shop.example\n\n<<<\nHTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 11\n\n{{\"ok\":true}}\n"
        )
    };
    let calls: Vec<String> = ["apple", "pear", "plum", "apple", "pear", "plum"].map(one).to_vec();
    capture(&calls.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_template_set_in_the_console_holds_in_the_next_replay() {
    let place = Place::new();
    place.write("a.pcap", &things());
    let templates = |out: &str| -> BTreeSet<String> {
        place.run(&["replay", "a.pcap", "--hash-key", "key", "--store", "s.db", "--out", out]).is(0);
        let rows = lines(&place.path(out).join("endpoints.ndjson"));
        rows.iter().map(|r| r["template"].as_str().unwrap().to_owned()).collect()
    };
    let of = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(templates("learned"), of(&["/things/apple", "/things/pear", "/things/plum"]));
    let served = Serving::start(&place, "s.db");
    let shape = |template: &str| {
        let body = json!({"host": "shop.example", "method": "GET", "template": template, "reason": "fruit"});
        let (status, said) = served.send("POST", "/templates", &body);
        assert_eq!(status, 201, "{said}");
    };
    shape("/things/{thing}");
    assert_eq!(templates("merged"), of(&["/things/{thing}"]));
    let listed: Value = serde_json::from_str(&served.get("/endpoints?host=shop.example")).unwrap();
    assert_eq!(
        (listed["total"].as_u64(), listed["rows"][0]["calls"].as_u64()),
        (Some(1), Some(6)),
        "{listed}"
    );
    shape("/things/plum");
    assert_eq!(templates("split"), of(&["/things/plum", "/things/{thing}"]));
}
