//! One request that the mirror shows several times: at the edge, and behind it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use common::Place;
use serde_json::Value;
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::{Conversation, Framing, LinkKind, Packet, PcapForm, pcap_bytes};

const MS: i64 = 1_000_000;

fn addr(ip: &str, port: u16) -> Addr {
    Addr { ip: ip.parse().unwrap(), port }
}

/// One exchange on a connection of its own, that is asked at `from` and answered at `to`.
fn exchange(from: Ts, to: Ts, ends: (Addr, Addr), request: &str, out: &mut Vec<Packet>) {
    let mut talk = Conversation::new(ends.0, ends.1, Framing::default(), u64::from(ends.0.port));
    talk.open(from.plus(-MS), 0, out);
    talk.send(from, Direction::Up, request.as_bytes(), 1000, out);
    let body = "{\"id\":7,\"name\":\"lamp\"}";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    talk.send(to, Direction::Down, answer.as_bytes(), 1000, out);
    talk.close(to.plus(MS), Direction::Up, 0, out);
}

/// Requests that an edge hands on to an application and that to a sidecar, and some that only claim to be such.
fn mirror(requests: u16, forged: u16) -> Vec<Packet> {
    let (edge, app, sidecar) = ("198.51.100.10", "10.0.0.5", "10.0.0.6");
    let mut packets = Vec::new();
    for n in 0..requests {
        let at = Ts::from_parts(1_790_000_000, 0).plus(i64::from(n) * 300 * MS);
        let (client, port) = (format!("203.0.113.{}", 1 + n % 40), 20_000 + n);
        let line =
            format!("GET /v1/items/{} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: shop/3\r\n", 1000 + n);
        let (id, via) = (format!("X-Request-ID: 7f3e{n:08}aa\r\n"), format!("X-Forwarded-For: {client}\r\n"));
        exchange(
            at,
            at.plus(90 * MS),
            (addr(&client, port), addr(edge, 80)),
            &format!("{line}\r\n"),
            &mut packets,
        );
        let inner = format!("{line}{via}{id}\r\n");
        let ends = (addr(edge, port), addr(app, 8080));
        exchange(at.plus(10 * MS), at.plus(70 * MS), ends, &inner, &mut packets);
        let innermost = format!("{line}{via}{id}\r\n");
        let ends = (addr(app, port), addr(sidecar, 9090));
        exchange(at.plus(20 * MS), at.plus(60 * MS), ends, &innermost, &mut packets);
        if n < forged {
            let ends = (addr("192.0.2.66", port), addr(edge, 80));
            exchange(at.plus(12 * MS), at.plus(50 * MS), ends, &inner, &mut packets);
        }
    }
    packets.sort_by_key(|p| p.ts);
    packets
}

#[test]
fn a_request_that_is_seen_at_three_hops_counts_once() {
    let place = Place::new();
    place.write("m.pcap", &pcap_bytes(&mirror(60, 5), LinkKind::Ethernet, PcapForm::Nanos));
    for workers in ["1", "3"] {
        let out = format!("out-{workers}");
        place.run(&["replay", "m.pcap", "--out", &out, "--exchanges", "--workers", workers]).is(0);
        let read = |name: &str| std::fs::read_to_string(place.path(&out).join(name)).unwrap();
        let summary: Value = serde_json::from_str(&read("summary.json")).unwrap();
        assert_eq!(summary["exchanges"]["total"], 185, "{summary}");
        assert_eq!(summary["exchanges"]["later_hops"], 120, "{summary}");
        let rows: Vec<Value> =
            read("endpoints.ndjson").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(rows.iter().map(|r| r["calls"].as_u64().unwrap()).sum::<u64>(), 65, "{rows:?}");
        assert_eq!(rows.len(), 1, "{rows:?}");
        let lines: Vec<Value> =
            read("exchanges.ndjson").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let first: Vec<&Value> = lines.iter().filter(|l| l["sidetap"]["hop_of"].is_null()).collect();
        assert_eq!(first.len(), 65);
        for line in &lines {
            let Some(of) = line["sidetap"]["hop_of"].as_str() else {
                assert_eq!(line["server"]["port"], 80, "{line}");
                continue;
            };
            let outer = first.iter().find(|f| f["sidetap"]["id"] == of).unwrap();
            assert_eq!(outer["url"]["path"], line["url"]["path"]);
            assert!(outer["source"]["ip"] != "192.0.2.66", "nobody's request stands behind a forger's");
        }
    }
    assert_eq!(
        std::fs::read(place.path("out-1/exchanges.ndjson")).unwrap(),
        std::fs::read(place.path("out-3/exchanges.ndjson")).unwrap()
    );
}

/// A sidecar hands requests on within its machine.
#[test]
fn a_sidecar_of_the_machine_is_a_later_hop() {
    let (edge, pod, here) = ("198.51.100.10", "10.0.0.5", "127.0.0.1");
    let mut packets = Vec::new();
    for n in 0..40 {
        let at = Ts::from_parts(1_790_000_000, 0).plus(i64::from(n) * 300 * MS);
        let (client, port) = (format!("203.0.113.{}", 1 + n % 40), 20_000 + n);
        let line = format!("GET /v1/items/{} HTTP/1.1\r\nHost: shop.example\r\n", 1000 + n);
        let inner = format!("{line}X-Forwarded-For: {client}\r\nX-Request-ID: 7f3e{n:08}aa\r\n\r\n");
        let unnamed = format!("{line}X-Request-ID: 9e3e{n:08}aa\r\n\r\n");
        let ends = |from: &str, to, by| (addr(from, port), addr(to, by));
        let plain = format!("{line}\r\n");
        exchange(at, at.plus(90 * MS), ends(&client, edge, 80), &plain, &mut packets);
        exchange(at.plus(10 * MS), at.plus(70 * MS), ends(edge, pod, 80), &inner, &mut packets);
        exchange(at.plus(20 * MS), at.plus(60 * MS), ends(here, here, 8080), &inner, &mut packets);
        // What a machine asks itself for is no hop of what somebody else asks elsewhere, nor is the same with an id of its own.
        let own = inner.replace("/v1/items", "/v1/stock");
        exchange(at.plus(20 * MS), at.plus(60 * MS), ends(here, here, 8081), &own, &mut packets);
        exchange(at.plus(21 * MS), at.plus(61 * MS), ends(here, here, 8082), &unnamed, &mut packets);
        exchange(at.plus(22 * MS), at.plus(62 * MS), ends(edge, "10.0.0.7", 80), &unnamed, &mut packets);
    }
    packets.sort_by_key(|p| p.ts);
    let place = Place::new();
    place.write("m.pcap", &pcap_bytes(&packets, LinkKind::Ethernet, PcapForm::Nanos));
    place.run(&["replay", "m.pcap", "--out", "out"]).is(0);
    let summary = std::fs::read_to_string(place.path("out/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["exchanges"]["later_hops"], 80, "{summary}");
    assert_eq!(summary["exchanges"]["total"], 240, "{summary}");
}
