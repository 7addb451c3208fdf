//! Accounting closes whatever comes, for any number of workers, and each exchange carries its part of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use common::{Place, comparable, json, lines};
use serde_json::Value;
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::fault::{self, Overlap};
use sidetap_testkit::{Conversation, Encapsulation, Framing, LinkKind, Packet, PcapForm, Rng, pcap_bytes};

/// Conversations at once of random messages, some of them broken, some no HTTP.
fn conversations(rng: &mut Rng) -> Vec<Packet> {
    const SAID: [&str; 9] = [
        "GET /a?b=c HTTP/1.1\r\nHost: h.example\r\n\r\n",
        "POST /form HTTP/1.1\r\nHost: h.example\r\nContent-Length: 9\r\n\r\na=1&b=two",
        "PUT /c HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /e HTTP/1.1\r\nHost: h.example\r\nExpect: 100-continue\r\nContent-Length: 4000\r\n\r\n",
        "GET /upgrade HTTP/1.1\r\nHost: h.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "\x16\x03\x01 and no HTTP at all",
    ];
    let mut packets = Vec::new();
    for n in 0..20_u16 {
        let addr = |ip: [u8; 4], port| Addr { ip: ip.into(), port };
        let (client, server) = (addr([10, 0, 0, rng.below(250) as u8], 30_000 + n), addr([192, 0, 2, 1], 80));
        let layers = [vec![], vec![Encapsulation::Vxlan(3)], vec![Encapsulation::Gre]];
        let framing = Framing { encapsulations: layers[rng.index(3)].clone(), ..Framing::default() };
        let mut talk =
            Conversation::new(client, server, framing, rng.next_u64()).with_mss(20 + rng.index(1400));
        let mut ts = Ts::from_parts(1_790_000_000, rng.below(2_000_000_000) as i64);
        if rng.below(4) > 0 {
            ts = talk.open(ts, 100_000, &mut packets);
        }
        for _ in 0..rng.below(12) {
            let way = if rng.below(2) == 0 { Direction::Up } else { Direction::Down };
            let usual = if way == Direction::Up { rng.index(5) } else { 5 + rng.index(3) };
            let what = if rng.below(5) == 0 { rng.index(SAID.len()) } else { usual };
            ts = talk.send(
                ts.plus(rng.below(900_000_000) as i64),
                way,
                SAID[what].as_bytes(),
                50_000,
                &mut packets,
            );
        }
        if rng.below(3) > 0 {
            talk.close(ts, Direction::Up, 100_000, &mut packets);
        }
    }
    packets.sort_by_key(|p| p.ts);
    packets
}

/// What a bad mirror makes of it.
fn faulty(seed: u64) -> Vec<Packet> {
    let mut rng = Rng::new(seed);
    let link = LinkKind::Ethernet;
    let mut packets = conversations(&mut rng);
    packets = fault::fragments(&packets, link, [9000, 400, 60][rng.index(3)]);
    packets = fault::resegment(&packets, link, 100, &mut rng);
    packets = fault::overlap(&packets, link, 50, [Overlap::Same, Overlap::Differs][rng.index(2)], &mut rng);
    packets = fault::lose(&packets, [0, 10, 100][rng.index(3)], &mut rng);
    packets = fault::duplicate(&packets, 100, 5, &mut rng);
    packets = fault::reorder(&packets, 100, 6, &mut rng);
    if rng.below(3) == 0 {
        packets = fault::snap(&packets, 60 + rng.index(200));
    }
    for packet in &mut packets {
        if rng.below(100) == 0 {
            let at = rng.index(packet.data.len());
            packet.data[at] = rng.next_u32() as u8;
        }
    }
    packets
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum()
}

/// Everything is one of the things it can be, and the exchanges say what the totals say.
fn closes(summary: &Value, exchanges: &[Value], packets: u64) {
    let n = |path: &str| summary.pointer(path).unwrap().as_u64().unwrap();
    let s = |path: &str| sum(summary.pointer(path).unwrap());
    assert_eq!(n("/packets/total"), packets);
    assert_eq!(n("/packets/total"), n("/packets/decoded") + s("/packets/dropped"));
    assert_eq!(n("/streams/bytes"), n("/streams/delivered") + s("/streams/discarded"));
    assert_eq!(n("/streams/bytes"), s("/streams/bytes_by_protocol"));
    assert_eq!(n("/exchanges/total"), n("/exchanges/complete") + n("/exchanges/incomplete"));
    assert_eq!(n("/exchanges/total"), s("/exchanges/by_protocol"));
    assert_eq!(n("/exchanges/total"), exchanges.len() as u64);
    let flags = |e: &Value| e["sidetap"]["completeness"].as_array().cloned().unwrap_or_default();
    let complete = exchanges.iter().filter(|e| flags(e).is_empty()).count() as u64;
    assert_eq!(complete, n("/exchanges/complete"), "what an exchange says of itself is what was counted");
    for (reason, count) in summary["exchanges"]["incomplete_reasons"].as_object().unwrap() {
        let own = exchanges.iter().filter(|e| flags(e).iter().any(|f| f == reason.as_str())).count() as u64;
        assert_eq!(Some(own), count.as_u64(), "{reason}");
    }
    let gaps: u64 = exchanges.iter().filter_map(|e| e["sidetap"]["gap_bytes"].as_u64()).sum();
    assert!(gaps <= n("/streams/gap_bytes"), "{gaps} of {}", n("/streams/gap_bytes"));
    for e in exchanges {
        let gap = flags(e).iter().any(|f| f.as_str().is_some_and(|f| f.contains("gap")));
        assert!(!gap || e["sidetap"]["gap_bytes"].as_u64() > Some(0), "a gap has a size: {e}");
    }
}

#[test]
fn accounting_closes_over_random_streams_with_faults() {
    let (mut incomplete, mut gaps, mut dropped) = (0, 0, 0);
    for seed in 0..16 {
        let place = Place::new();
        let packets = faulty(seed);
        place.write("a.pcap", &pcap_bytes(&packets, LinkKind::Ethernet, PcapForm::Nanos));
        for workers in ["1", "2", "8"] {
            let limit = if seed % 4 == 0 { "2M" } else { "128M" };
            let args =
                ["replay", "a.pcap", "--out", workers, "--exchanges", "--hash-key", "key", "--no-analysis"];
            place.run(&[&args[..], &["--workers", workers, "--memory-limit", limit]].concat()).is(0);
        }
        let summary = json(&place.path("1/summary.json"));
        closes(&summary, &lines(&place.path("1/exchanges.ndjson")), packets.len() as u64);
        let one = comparable(&place.path("1"));
        for other in ["2", "8"] {
            assert!(one == comparable(&place.path(other)), "seed {seed}: 1 and {other} workers differ");
        }
        incomplete += summary["exchanges"]["incomplete"].as_u64().unwrap();
        gaps += summary["streams"]["gap_bytes"].as_u64().unwrap();
        dropped += sum(&summary["packets"]["dropped"]);
    }
    assert!(
        incomplete > 100 && gaps > 1000 && dropped > 0,
        "{incomplete} {gaps} {dropped}: faults were there"
    );
}
