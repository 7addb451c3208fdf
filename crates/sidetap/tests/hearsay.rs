//! What comes in a tunnel that is not trusted: docs/capture.md, "Encapsulations".
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use common::{Place, json, lines};
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::{Conversation, Encapsulation, Framing, LinkKind, Packet, PcapForm, pcap_bytes};

const MS: i64 = 1_000_000;
const SITE: &str = "198.51.100.10";

/// One exchange on a connection of its own.
fn exchange(at: Ts, lasts: i64, ends: [&str; 2], tunnel: bool, fields: &str, out: &mut Vec<Packet>) {
    let [client, server] = ends.map(|ip| ip.parse().unwrap());
    let port = 20_000 + (out.len() % 30_000) as u16;
    let encapsulations = if tunnel { vec![Encapsulation::IpIp] } else { vec![] };
    let framing = Framing { encapsulations, ..Framing::default() };
    let mut talk = Conversation::new(Addr { ip: client, port }, Addr { ip: server, port: 80 }, framing, 9);
    talk.open(at.plus(-MS), 0, out);
    talk.send(at, Direction::Up, format!("GET {fields}\r\n\r\n").as_bytes(), 1000, out);
    let body = "{\"user\":\"root\",\"card\":\"4111 1111 1111 1111\"}";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    talk.send(at.plus(lasts), Direction::Down, answer.as_bytes(), 1000, out);
    talk.close(at.plus(lasts + MS), Direction::Up, 0, out);
}

fn replay(packets: &mut [Packet], config: &str) -> Place {
    let place = Place::new();
    packets.sort_by_key(|p| p.ts);
    place.write("m.pcap", &pcap_bytes(packets, LinkKind::Ethernet, PcapForm::Nanos));
    place.write("sidetap.toml", config.as_bytes());
    place.run(&["replay", "m.pcap", "--config", "sidetap.toml", "--out", "out", "--exchanges"]).is(0);
    place
}

/// Nobody fills a site's inventory with what it never had, or accuses it of what it never said.
#[test]
fn untrusted_tunnels_add_nothing_to_inventory_and_findings() {
    let start = Ts::from_parts(1_790_000_000, 0);
    let mut packets = Vec::new();
    for n in 0..40 {
        let fields = format!(
            "/ghost/{n}/search?q=1%27+UNION+SELECT+password+FROM+users-- HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: sqlmap/1.8"
        );
        exchange(start.plus(n * 400 * MS), 9 * MS, ["203.0.113.7", SITE], true, &fields, &mut packets);
    }
    let rows = |place: &Place, name: &str| lines(&place.path("out").join(name)).len();
    let trusted = replay(&mut packets, "");
    assert!(rows(&trusted, "endpoints.ndjson") > 0 && rows(&trusted, "findings.ndjson") > 0);
    assert!(rows(&trusted, "sensitive.ndjson") > 0);
    let place = replay(&mut packets, "[capture]\ntrusted_tunnels = []\n");
    for name in
        ["endpoints.ndjson", "findings.ndjson", "sensitive.ndjson", "verdicts.ndjson", "campaigns.ndjson"]
    {
        assert_eq!(rows(&place, name), 0, "{name}");
    }
    assert!(!place.path("out/openapi/shop.example.json").exists());
    let summary = json(&place.path("out/summary.json"));
    assert_eq!(summary["exchanges"]["total"], 40);
    assert_eq!(summary["anomalies"]["tunnel-untrusted"], 40);
    let shown = lines(&place.path("out/exchanges.ndjson"));
    assert!(shown.len() == 40 && shown.iter().all(|l| l["http"]["response"]["status_code"] == 200));
    assert!(shown.iter().all(|l| l["sidetap"]["anomalies"].to_string().contains("tunnel-untrusted")));
}

/// Nobody makes his own requests the later hops of what he writes himself.
#[test]
fn nothing_is_a_later_hop_of_what_came_in_an_untrusted_tunnel() {
    let start = Ts::from_parts(1_790_000_000, 0);
    let mut packets = Vec::new();
    for n in 0..20 {
        let (at, attacker) = (start.plus(n * 900 * MS), "192.0.2.66");
        let fields = format!(
            "/v1/items/{n} HTTP/1.1\r\nHost: shop.example\r\nX-Request-ID: 7f3e{n:08}aa\r\nX-Forwarded-For: 203.0.113.9"
        );
        exchange(at, 200 * MS, ["203.0.113.9", attacker], true, &fields, &mut packets);
        exchange(at.plus(20 * MS), 30 * MS, [attacker, SITE], false, &fields, &mut packets);
    }
    let place = replay(&mut packets, "[capture]\ntrusted_tunnels = []\n");
    let summary = json(&place.path("out/summary.json"));
    assert_eq!(summary["exchanges"]["total"], 40);
    assert_eq!(summary["exchanges"]["later_hops"], 0, "{summary}");
    let calls = lines(&place.path("out/endpoints.ndjson"));
    assert_eq!(calls.iter().map(|r| r["calls"].as_u64().unwrap()).sum::<u64>(), 20, "{calls:?}");
}
