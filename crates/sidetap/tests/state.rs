//! What is learned is carried from one run to the next, and only where it can be trusted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use common::{Place, json, lines};
use serde_json::Value;
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::{Conversation, Framing, LinkKind, Packet, PcapForm, pcap_bytes};

const BROWSER: &str = "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36\r\n\
                       Accept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n";

/// A capture that begins at `start` seconds.
struct Site {
    start: i64,
    port: u16,
    packets: Vec<Packet>,
}

impl Site {
    fn new(start: i64) -> Self {
        Site { start, port: 20_000, packets: Vec::new() }
    }

    /// Requests of one client on one connection, half a second apart from `ms` on, with status, kind and body of their answers.
    fn talk(&mut self, ip: &str, ms: i64, asked: &[(String, u16, &str, &str)]) {
        let addr = |ip: &str, port| Addr { ip: ip.parse().unwrap(), port };
        self.port = self.port.wrapping_add(1).max(20_000);
        let ends = (addr(ip, self.port), addr("198.51.100.1", 80));
        let mut talk = Conversation::new(ends.0, ends.1, Framing::default(), u64::from(self.port));
        let mut at = Ts::from_parts(self.start, 0).plus(ms * 1_000_000);
        at = talk.open(at, 0, &mut self.packets);
        for (request, status, kind, body) in asked {
            talk.send(at, Direction::Up, request.as_bytes(), 1000, &mut self.packets);
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            talk.send(at.plus(20_000_000), Direction::Down, answer.as_bytes(), 1000, &mut self.packets);
            at = at.plus(500_000_000);
        }
        talk.close(at, Direction::Up, 0, &mut self.packets);
    }

    /// A person who opens the shop, logs in and looks at the orders.
    fn person(&mut self, n: u32, ms: i64) {
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\n{BROWSER}\r\n")
        };
        let login = login(&format!("person{n}"));
        let mut asked = vec![(get("/"), 200, "text/html", "<html></html>")];
        for asset in ["/a.js", "/b.css", "/c.png"] {
            asked.push((get(asset), 200, if asset.ends_with("png") { "image/png" } else { "text/css" }, "x"));
        }
        if n.is_multiple_of(9) {
            asked.push((login.clone(), 401, "application/json", "{\"error\":\"wrong\"}"));
        }
        asked.push((login, 200, "application/json", "{\"token\":\"t\"}"));
        asked.push((get("/api/orders"), 200, "application/json", "{\"orders\":[]}"));
        self.talk(&format!("20.1.{}.{}", n / 200, 1 + n % 200), ms, &asked);
    }

    fn write(mut self, place: &Place, name: &str) -> String {
        self.packets.sort_by_key(|p| p.ts);
        let bytes = pcap_bytes(&self.packets, LinkKind::Ethernet, PcapForm::default());
        place.write(name, &bytes).display().to_string()
    }
}

/// A login as the shop's page sends it.
fn login(user: &str) -> String {
    let body = format!("{{\"username\":\"{user}\",\"password\":\"secret-{user}\"}}");
    format!(
        "POST /api/login HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\nContent-Length: {}\r\n{BROWSER}Content-Type: application/json\r\nOrigin: http://shop.example\r\n\r\n{body}",
        body.len()
    )
}

const A: i64 = 1_790_000_000;
const B: i64 = A + 86_400;

/// A day of honest people.
fn before(place: &Place) -> String {
    let mut a = Site::new(A);
    for n in 0..120 {
        a.person(n, i64::from(n) * 2_000);
    }
    a.write(place, "a.pcap")
}

/// The next day: from its first second on one address after the other tries one stolen password, with the head of the shop's
/// own page; people come after a minute and a half.
fn attacked(place: &Place) -> String {
    let mut b = Site::new(B);
    for n in 0..400u32 {
        let ip = format!("20.7.{}.{}", n / 200, 1 + n % 200);
        let (status, body) =
            if n % 50 == 49 { (200, "{\"token\":\"t\"}") } else { (401, "{\"error\":\"wrong\"}") };
        b.talk(&ip, i64::from(n) * 600, &[(login(&format!("victim{n}")), status, "application/json", body)]);
    }
    for n in 0..60 {
        b.person(500 + n, 90_000 + i64::from(n) * 2_000);
    }
    b.write(place, "b.pcap")
}

/// When the stuffing was recognised, in seconds after the capture began, and how many it convicted.
fn recognised(place: &Place, dir: &str) -> Option<(i64, usize)> {
    let verdicts = lines(&place.path(dir).join("verdicts.ndjson"));
    let convicted: Vec<&Value> = verdicts
        .iter()
        .filter(|v| v["intent"] == "malicious" && v["class"] == "credential-stuffing")
        .collect();
    for v in &convicted {
        assert!(v["client_ip"].as_str().unwrap().starts_with("20.7."), "somebody honest is convicted: {v}");
    }
    let at = |v: &&Value| serde_json::from_value::<Ts>(v["detected_at"].clone()).unwrap().secs() - B;
    convicted.iter().map(at).min().map(|first| (first, convicted.len()))
}

#[test]
fn an_attack_from_the_first_second_is_found_earlier_by_who_has_learned() {
    let place = Place::new();
    let (a, b) = (before(&place), attacked(&place));
    place.run(&["replay", &a, "--out", "a", "--hash-key", "key", "--state", "state"]).is(0);
    assert!(lines(&place.path("a/verdicts.ndjson")).iter().all(|v| v["intent"] != "malicious"));
    std::fs::copy(place.path("state"), place.path("state2")).unwrap();
    place.run(&["replay", &b, "--out", "alone", "--hash-key", "key"]).is(0);
    place
        .run(&["replay", &b, "--out", "learned", "--hash-key", "key", "--state", "state", "--workers", "1"])
        .is(0);
    place
        .run(&["replay", &b, "--out", "three", "--hash-key", "key", "--state", "state2", "--workers", "3"])
        .is(0);
    let learned = recognised(&place, "learned").expect("nothing was found with what was learned");
    let alone = recognised(&place, "alone");
    assert!(learned.0 <= 45, "with what was learned only after {} s", learned.0);
    assert!(alone.is_none_or(|(at, _)| at >= learned.0 + 30), "alone {alone:?}, learned {learned:?}");
    assert!(learned.1 >= 300, "{learned:?}");
    assert_eq!(
        std::fs::read(place.path("state")).unwrap(),
        std::fs::read(place.path("state2")).unwrap(),
        "what is learned depends on the number of workers"
    );
    assert_eq!(common::comparable(&place.path("learned")), common::comparable(&place.path("three")));
}

#[test]
fn a_state_that_cannot_be_trusted_is_refused_with_its_reason() {
    let place = Place::new();
    let a = before(&place);
    place.run(&["replay", &a, "--out", "a", "--hash-key", "key", "--state", "state"]).is(0);
    let good = std::fs::read(place.path("state")).unwrap();
    let refused = |bytes: &[u8], why: &str| {
        std::fs::write(place.path("state"), bytes).unwrap();
        let ended = place.run(&["replay", &a, "--out", "x", "--hash-key", "key", "--state", "state"]).is(1);
        assert!(ended.stderr.contains(why) && ended.stderr.lines().count() == 1, "{why}: {}", ended.stderr);
        assert_eq!(std::fs::read(place.path("state")).unwrap(), bytes, "a refused state was written over");
    };
    refused(&good[..good.len() / 2], "damaged");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    refused(&flipped, "damaged");
    let mut version = good.clone();
    version[0] = 9;
    refused(&version, "version 9");
    refused(b"", "empty");

    // What was learned more than state_max_age before says nothing.
    std::fs::write(place.path("state"), &good).unwrap();
    let mut late = Site::new(A + 100 * 86_400);
    (0..5).for_each(|n| late.person(n, i64::from(n) * 2_000));
    let late = late.write(&place, "late.pcap");
    let ended = place.run(&["replay", &late, "--out", "y", "--hash-key", "key", "--state", "state"]).is(1);
    assert!(ended.stderr.contains("state_max_age") && ended.stderr.contains("99 days"), "{}", ended.stderr);
    assert_eq!(std::fs::read(place.path("state")).unwrap(), good);
    place.write("long.toml", b"[analysis]\nstate_max_age = \"200d\"\n");
    let args =
        ["replay", &late, "--out", "y", "--hash-key", "key", "--state", "state", "--config", "long.toml"];
    place.run(&args).is(0);
    assert!(json(&place.path("y/summary.json"))["counts"]["endpoints"].as_u64().unwrap() > 0);
}
