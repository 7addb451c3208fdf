//! Metamorphic tests over made-up connections in which every response names its request: what the network does to packets
//! must not change what was said, and where bytes are lost no request may get another's response.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;

use sidetap_model::{Addr, Direction, Exchange, Ts};
use sidetap_testkit::fault::{self, Overlap};
use sidetap_testkit::{Conversation, Encapsulation, Framing, LinkKind, Packet, Rng};

const LINK: LinkKind = LinkKind::Ethernet;

#[test]
fn undisturbed_connections_are_read_whole() {
    let (packets, count) = traffic(1);
    let got = read(&packets);
    assert_eq!(got.len(), count);
    for exchange in &got {
        assert!(exchange.completeness.is_whole(), "{:?}", exchange.completeness.names().collect::<Vec<_>>());
        assert_eq!(pairing(exchange), Pairing::Own);
    }
}

#[test]
fn cuts_reordering_duplicates_and_overlaps_change_nothing() {
    for seed in 0..6 {
        let (packets, _) = traffic(seed);
        let want = said(&read(&packets));
        let mut rng = Rng::new(seed);
        let cut = fault::resegment(&packets, LINK, 700, &mut rng);
        assert_eq!(said(&read(&cut)), want, "cut, seed {seed}");
        let reordered = reorder_data(&cut, &mut rng);
        assert_eq!(said(&read(&reordered)), want, "reordered, seed {seed}");
        let doubled = fault::duplicate(&reordered, 200, 12, &mut rng);
        assert_eq!(said(&read(&doubled)), want, "doubled, seed {seed}");
        let overlapped = fault::overlap(&doubled, LINK, 200, Overlap::Same, &mut rng);
        assert_eq!(said(&read(&overlapped)), want, "overlapped, seed {seed}");
    }
}

#[test]
fn reordered_handshakes_change_nothing() {
    for seed in 0..6 {
        let (packets, _) = traffic(seed);
        let want = said(&read(&packets));
        let reordered = fault::reorder(&packets, 100, 8, &mut Rng::new(seed));
        assert_eq!(said(&read(&reordered)), want, "seed {seed}");
    }
}

#[test]
fn overlaps_with_other_bytes_leave_what_came_first() {
    let (packets, _) = traffic(3);
    let want = said(&read(&packets));
    let overlapped = fault::overlap(&packets, LINK, 300, Overlap::Differs, &mut Rng::new(5));
    // Which of the two the server read is not certain, and the exchanges say so.
    let plain = |said: &String| said.replace("\"pairing-uncertain\"", "");
    assert_eq!(said(&read(&overlapped)).iter().map(plain).collect::<BTreeSet<_>>(), want);
}

#[test]
fn encapsulation_and_fragments_change_nothing() {
    let (packets, _) = traffic(2);
    let want = said(&read(&packets));
    let all = [
        Framing { vlans: vec![7], ..Framing::default() },
        Framing { vlans: vec![7, 8], ..Framing::default() },
        Framing { encapsulations: vec![Encapsulation::Vxlan(9)], ..Framing::default() },
        Framing { encapsulations: vec![Encapsulation::Geneve(9)], vlans: vec![4], ..Framing::default() },
        Framing { encapsulations: vec![Encapsulation::Gre], ..Framing::default() },
        Framing { encapsulations: vec![Encapsulation::Mpls(17), Encapsulation::IpIp], ..Framing::default() },
        Framing { encapsulations: vec![Encapsulation::Pppoe(3)], ..Framing::default() },
        Framing {
            link: LinkKind::Sll2,
            encapsulations: vec![Encapsulation::GreEthernet(1)],
            ..Framing::default()
        },
    ];
    for framing in all {
        let framed = fault::reframe(&packets, LINK, &framing, |ip| ip.to_string().starts_with("192.0.2."));
        let got = support::run(&framed, framing.link).exchanges;
        assert_eq!(said(&got), want, "{framing:?}");
    }
    let pieces = fault::fragments(&packets, LINK, 576);
    assert_eq!(said(&read(&pieces)), want, "fragments");
}

#[test]
fn loss_never_gives_a_request_the_response_of_another() {
    for rate in [2, 10, 50, 200] {
        for seed in 0..12 {
            let (packets, count) = traffic(seed);
            let lost = fault::lose(&packets, rate, &mut Rng::new(1000 + seed));
            let got = read(&lost);
            let wrong: Vec<String> =
                got.iter().filter(|e| pairing(e) == Pairing::Others).map(label).collect();
            assert!(wrong.is_empty(), "rate {rate}, seed {seed}: {wrong:?}");
            if rate <= 10 {
                let own = got.iter().filter(|e| pairing(e) == Pairing::Own).count();
                assert!(own * 100 >= count * 70, "rate {rate}, seed {seed}: {own} of {count} left");
            }
        }
    }
}

#[test]
fn loss_with_disorder_never_gives_a_request_the_response_of_another() {
    for seed in 0..12 {
        let (packets, _) = traffic(seed);
        let mut rng = Rng::new(2000 + seed);
        let bad = fault::resegment(&packets, LINK, 500, &mut rng);
        let bad = fault::lose(&bad, 30, &mut rng);
        let bad = fault::duplicate(&fault::reorder(&bad, 60, 10, &mut rng), 60, 10, &mut rng);
        let got = read(&bad);
        let wrong: Vec<String> = got.iter().filter(|e| pairing(e) == Pairing::Others).map(label).collect();
        assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
    }
}

#[test]
fn snapped_packets_and_stepped_clocks_do_no_harm() {
    let (packets, count) = traffic(4);
    let got = read(&fault::snap(&packets, 160));
    assert!(got.iter().all(|e| pairing(e) != Pairing::Others));
    let middle = packets.len() / 2;
    for nanos in [-3_600_000_000_000, 3_600_000_000_000] {
        let got = read(&fault::step_time(&packets, middle, nanos));
        assert!(got.iter().all(|e| pairing(e) != Pairing::Others));
        assert!(got.len() >= count, "{} of {count}", got.len());
    }
}

#[derive(PartialEq, Eq, Debug)]
enum Pairing {
    Own,
    Others,
    Alone,
}

/// Whether a response names the request that it stands with.
fn pairing(e: &Exchange) -> Pairing {
    let (Some(request), Some(response)) = (&e.request, &e.response) else { return Pairing::Alone };
    match response.headers.get("x-for") {
        Some(name) if name == request.target => Pairing::Own,
        Some(_) => Pairing::Others,
        None => Pairing::Alone,
    }
}

fn label(e: &Exchange) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let target = e.request.as_ref().map(|r| text(&r.target)).unwrap_or_default();
    let whose = e.response.as_ref().and_then(|r| r.headers.get("x-for")).map(text).unwrap_or_default();
    format!("{target} has the response of {whose}")
}

/// Reorders, but leaves the handshakes where they are.
fn reorder_data(packets: &[Packet], rng: &mut Rng) -> Vec<Packet> {
    const SYN_FRAME: usize = 74;
    fault::reorder_where(packets, 100, 8, rng, |p| p.data.len() != SYN_FRAME)
}

/// What was said, without when and by which packets.
fn said(exchanges: &[Exchange]) -> BTreeSet<String> {
    let one = |e: &Exchange| {
        let (request, response) = (e.request.as_ref(), e.response.as_ref());
        format!(
            "{:?} {:?} {:?} {:?} {:?}",
            request.map(|r| String::from_utf8_lossy(&r.target).into_owned()),
            request.map(|r| String::from_utf8_lossy(&r.body.bytes).into_owned()),
            response.map(|r| (r.status, r.body.len)),
            response.map(|r| r.body.bytes.iter().map(|b| u64::from(*b)).sum::<u64>()),
            e.completeness.names().collect::<Vec<_>>(),
        )
    };
    exchanges.iter().map(one).collect()
}

fn read(packets: &[Packet]) -> Vec<Exchange> {
    support::run(packets, LINK).exchanges
}

/// Forty interleaved connections, some pipelined, and the number of their exchanges.
fn traffic(seed: u64) -> (Vec<Packet>, usize) {
    let mut rng = Rng::part(seed, "faults");
    let (mut packets, mut count) = (Vec::new(), 0);
    for n in 0..40u16 {
        let client = Addr { ip: [192, 0, 2, 1 + (n % 20) as u8].into(), port: 40_000 + n };
        let server = Addr { ip: [198, 51, 100, 7].into(), port: 8080 };
        let mut talk = Conversation::new(client, server, Framing::default(), rng.next_u64()).with_mss(536);
        let mut now = Ts::from_parts(1_767_323_045, 0).plus(rng.below(2_000_000_000) as i64);
        now = talk.open(now, 5_000_000, &mut packets);
        let mut number = 0;
        for _ in 0..rng.range(2, 9) {
            now = round(n, &mut number, &mut talk, now, &mut rng, &mut packets);
        }
        count += number;
        talk.close(now.plus(1_000_000), Direction::Up, 5_000_000, &mut packets);
    }
    packets.sort_by_key(|p| p.ts);
    (packets, count)
}

/// One to three requests at once and their responses.
fn round(
    flow: u16,
    number: &mut usize,
    talk: &mut Conversation,
    now: Ts,
    rng: &mut Rng,
    out: &mut Vec<Packet>,
) -> Ts {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..rng.range(1, 3) {
        let target = format!("/{flow}/{number}");
        *number += 1;
        let method = rng.pick(&["GET", "GET", "POST", "HEAD"]);
        push_request(&mut up, method, &target, rng);
        push_response(&mut down, method, &target, rng);
    }
    let now = talk.send(now.plus(rng.below(40_000_000) as i64), Direction::Up, &up, 30_000, out);
    talk.acknowledge(now.plus(100_000), Direction::Down, out);
    let now =
        talk.send(now.plus(200_000 + rng.below(20_000_000) as i64), Direction::Down, &down, 30_000, out);
    talk.acknowledge(now.plus(100_000), Direction::Up, out);
    now.plus(200_000)
}

fn push_request(out: &mut Vec<u8>, method: &str, target: &str, rng: &mut Rng) {
    let body = if method == "POST" { "p".repeat(rng.index(1500)) } else { String::new() };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: a.example\r\nX-Pad: {}\r\n",
        rng.hex(rng.clone().index(200))
    );
    out.extend_from_slice(head.as_bytes());
    if method == "POST" {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.as_bytes());
}

fn push_response(out: &mut Vec<u8>, method: &str, target: &str, rng: &mut Rng) {
    let status = rng.pick(&["200 OK", "200 OK", "404 Not Found", "204 No Content"]);
    let body: String =
        if status.starts_with("204") { String::new() } else { rng.hex(rng.clone().index(3000)) };
    let chunked = !body.is_empty() && rng.percent(40.0);
    let head =
        format!("HTTP/1.1 {status}\r\nX-For: {target}\r\nX-Pad: {}\r\n", rng.hex(rng.clone().index(300)));
    out.extend_from_slice(head.as_bytes());
    match (chunked, status.starts_with("204")) {
        (true, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        (false, false) => out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes()),
        (false, true) => {}
    }
    out.extend_from_slice(b"\r\n");
    if method == "HEAD" {
        return;
    }
    if chunked {
        for part in body.as_bytes().chunks(400) {
            out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    } else {
        out.extend_from_slice(body.as_bytes());
    }
}
