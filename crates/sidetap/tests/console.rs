//! What the console keeps and gives away of real traffic, and what comes of what people set in it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;
#[path = "common/serving.rs"]
mod serving;

use std::collections::BTreeSet;
use std::io::Read as _;

use aho_corasick::AhoCorasick;
use common::{Place, capture, lines, sample, tree};
use regex::bytes::Regex;
use serde_json::{Value, json};
use serving::Serving;

/// Passwords, cards, numbers of people, sessions and tokens as they stand in the sample's packets.
fn secrets() -> BTreeSet<String> {
    let file = std::fs::File::open(sample()).unwrap();
    let mut packets = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(file).unwrap().read_to_end(&mut packets).unwrap();
    let keys =
        "password|pan|ssn|iban|secret|access_token|refresh|token|pwHash|cvv|taxId|AWS_SECRET_ACCESS_KEY";
    let kinds = [
        format!(r#""(?:{keys})":"([^"*]{{8,200}})""#),
        r"[&\n]password=([^&\s]{8,100})".to_owned(),
        r"Cookie: [a-z_]+=([A-Za-z0-9._-]{16,200})".to_owned(),
        r"Bearer ([A-Za-z0-9._-]{16,400})".to_owned(),
    ];
    let mut found = BTreeSet::new();
    for kind in kinds {
        let of_kind: BTreeSet<String> = Regex::new(&kind)
            .unwrap()
            .captures_iter(&packets)
            .map(|c| String::from_utf8_lossy(&c[1]).into_owned())
            .collect();
        assert!(of_kind.len() > 20, "{kind}: {of_kind:?}");
        found.extend(of_kind);
    }
    found
}

/// All that the API gives to who may see everything.
fn everything(served: &Serving) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut get = |path: String| {
        let body = served.get(&path);
        all.push((path, body.clone()));
        body
    };
    let ids = |text: &str, field: &str| -> Vec<String> {
        text.lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap()[field].as_str().unwrap().to_owned())
            .collect()
    };
    let list = |name: &str| format!("/{name}?format=ndjson");
    for name in [
        "sensitive",
        "actions",
        "changes",
        "audit",
        "approvals",
        "allow",
        "mitigation/entries",
        "users",
        "tokens",
    ] {
        get(list(name));
    }
    for name in [
        "overview",
        "health",
        "settings",
        "traffic",
        "sensitive/summary",
        "findings/summary",
        "policies",
        "search?q=shop&format=csv",
    ] {
        get(format!("/{name}"));
    }
    get("/report".to_owned());
    for host in ids(&get(list("hosts")), "host") {
        get(format!("/hosts/{host}/openapi"));
    }
    for endpoint in ids(&get(list("endpoints")), "id") {
        get(format!("/endpoints/{endpoint}"));
    }
    for (name, most) in [("findings", 80), ("verdicts", 40), ("campaigns", 80)] {
        for id in ids(&get(list(name)), "id").into_iter().take(most) {
            get(format!("/{name}/{id}"));
            get(format!("/{name}/{id}/exchanges"));
            get(format!("/{name}/{id}/exchanges?format=csv"));
            if name == "campaigns" {
                get(format!("/campaigns/{id}/members?format=csv"));
            }
        }
    }
    all
}

#[test]
fn no_raw_secret_of_the_sample_is_stored_shown_or_exported() {
    let place = Place::new();
    let secrets: Vec<String> = secrets().into_iter().collect();
    let any = AhoCorasick::new(&secrets).unwrap();
    place
        .run(&["replay", &sample(), "--hash-key", "key", "--store", "s.db", "--out", "out", "--exchanges"])
        .is(0);
    let served = Serving::start(&place, "s.db");
    let mut texts: Vec<(String, Vec<u8>)> =
        everything(&served).into_iter().map(|(path, body)| (path, body.into_bytes())).collect();
    assert!(texts.iter().any(|(path, body)| path.ends_with("/exchanges") && body.len() > 10_000));
    drop(served);
    for name in ["s.db", "s.db-wal"] {
        texts.push((name.to_owned(), std::fs::read(place.path(name)).unwrap_or_default()));
    }
    texts.extend(tree(&place.path("out")));
    let mut told = BTreeSet::new();
    for (name, text) in &texts {
        for found in any.find_iter(text) {
            let around = &text[found.start().saturating_sub(60)..(found.end() + 20).min(text.len())];
            let secret = &secrets[found.pattern()];
            told.insert(format!("{secret} is in {name}: {}", String::from_utf8_lossy(around)));
        }
    }
    assert!(told.is_empty(), "{}: {:#?}", told.len(), told.iter().take(20).collect::<Vec<_>>());
}

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
    // What parameters are called is not for people to say; what would come of it is said as it comes.
    let fruit = json!({"host": "shop.example", "method": "GET", "template": "/things/{fruit}"});
    let (status, said) = served.send("POST", "/templates/check", &fruit);
    let said: Value = serde_json::from_str(&said).unwrap();
    let becomes: BTreeSet<&str> =
        said["rows"].as_array().unwrap().iter().map(|r| r["becomes"].as_str().unwrap()).collect();
    assert_eq!((status, becomes), (200, BTreeSet::from(["/things/{thing}"])), "{said}");
    shape("/things/{fruit}");
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
