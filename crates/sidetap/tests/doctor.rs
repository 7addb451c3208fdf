//! What the doctor says of mirrors that are well, and of those that are not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::net::IpAddr;
use std::path::Path;

use common::{Place, is_root, sample};
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::perf::{PerfOptions, Profile, write_perf};
use sidetap_testkit::{
    Conversation, Dialogue, Encapsulation, Framing, LinkKind, Packet, PcapForm, PcapWriter, Rng,
};
use sidetap_testkit::{fault, pcap_bytes};

/// API traffic of a few minutes, of many clients or (1.0) of one.
fn traffic(one_address: f64) -> Vec<Packet> {
    let options = PerfOptions {
        profile: Profile::Api,
        bytes: 3_000_000,
        clients: 200,
        one_address,
        ..PerfOptions::default()
    };
    let mut out = PcapWriter::new(Vec::new(), LinkKind::Ethernet, PcapForm::Nanos).unwrap();
    write_perf(&options, &mut out).unwrap();
    let bytes = std::io::Cursor::new(out.finish().unwrap());
    let mut source = sidetap_capture::open_stream("made", Box::new(bytes)).unwrap();
    let mut packets = Vec::new();
    while let Some(p) = sidetap_capture::Source::next_packet(&mut source) {
        packets.push(Packet { ts: p.ts, interface: 0, data: p.data.to_vec(), orig_len: p.orig_len });
    }
    packets
}

fn doctor(packets: &[Packet]) -> String {
    let place = Place::new();
    place.write("mirror.pcap", &pcap_bytes(packets, LinkKind::Ethernet, PcapForm::Nanos));
    place.run(&["doctor", "mirror.pcap"]).is(0).stdout
}

/// Lines that say what to do.
fn complaints(text: &str) -> Vec<&str> {
    text.lines().filter(|l| l.starts_with("  note") || l.starts_with("  mend")).collect()
}

/// The doctor complains of this one thing (and, where that follows from it, of `also`), and says what to change.
#[track_caller]
fn finds(packets: &[Packet], what: &str, change: &str, also: &[&str]) {
    let text = doctor(packets);
    let complaints = complaints(&text);
    assert!(complaints.iter().any(|l| l.contains(what)), "{what}:\n{text}");
    assert!(text.contains(change), "{change}:\n{text}");
    let other: Vec<_> =
        complaints.iter().filter(|l| !l.contains(what) && !also.iter().any(|a| l.contains(a))).collect();
    assert!(other.is_empty(), "{other:?}\n{text}");
}

const NOT_WHOLE: &str = "exchanges are not whole";

fn is_up(packet: &Packet) -> bool {
    u16::from_be_bytes([packet.data[36], packet.data[37]]) < 32_768
}

#[test]
fn a_clean_mirror_gets_a_clean_bill() {
    let text = doctor(&traffic(0.0));
    assert!(complaints(&text).is_empty(), "{text}");
    let text = Place::new().run(&["doctor", &sample()]).is(0).stdout;
    assert!(complaints(&text).is_empty(), "{text}");
}

#[test]
fn dialogues_in_which_nothing_goes_wrong_get_a_clean_bill() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/http1");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
    paths.sort();
    let wrong = [
        "~ lost",
        "~ see",
        "~ snap",
        "~ vlan",
        "~ encap",
        "~ repeat",
        "~ swap",
        "~ overlap",
        "~ reset",
        "~ acks",
    ];
    let mut looked = 0;
    for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "http")) {
        let text = std::fs::read_to_string(path).unwrap();
        let expected = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let whole = !expected.contains("\"completeness\": [\"") && !expected.contains("\"exchanges\": []");
        if !whole || wrong.iter().any(|w| text.contains(w)) || looked == 25 {
            continue;
        }
        let dialogue = Dialogue::parse(&text).unwrap();
        if dialogue.framing.link != LinkKind::Ethernet {
            continue;
        }
        let told = doctor(&dialogue.packets());
        // What a message itself lacks is no fault of the mirror.
        let of_mirror: Vec<_> = complaints(&told).into_iter().filter(|l| !l.contains(NOT_WHOLE)).collect();
        assert!(of_mirror.is_empty(), "{}: {told}", path.display());
        looked += 1;
    }
    assert_eq!(looked, 25);
}

#[test]
fn one_direction() {
    let both = traffic(0.0);
    let up: Vec<_> = both.iter().filter(|p| is_up(p)).cloned().collect();
    finds(&up, "requests without answers", "mirror both directions", &[NOT_WHOLE]);
    let down: Vec<_> = both.iter().filter(|p| !is_up(p)).cloned().collect();
    finds(&down, "answers without requests", "mirror both directions", &[NOT_WHOLE]);
}

#[test]
fn copies_and_vlan_twins() {
    let clean = traffic(0.0);
    finds(&fault::duplicate(&clean, 1000, 0, &mut Rng::new(1)), "come twice", "mirror one of them", &[]);
    let on = |vlan| {
        let framing = Framing { vlans: vec![vlan], ..Framing::default() };
        fault::reframe(&clean, LinkKind::Ethernet, &framing, |_| true)
    };
    // The second place is further away: as late as its queue makes it.
    let late: Vec<Packet> =
        clean.iter().map(|p| Packet { ts: Ts(p.ts.0 + 40_000_000), ..p.clone() }).collect();
    let mut far = [clean.clone(), late].concat();
    far.sort_by_key(|p| p.ts);
    finds(&far, "come twice", "mirror one of them", &[]);
    let both: Vec<Packet> = on(10).into_iter().zip(on(20)).flat_map(|(a, b)| [a, b]).collect();
    finds(&both, "come twice, on two VLANs", "mirror one of the VLANs", &["carry VLAN tags"]);
}

#[test]
fn packets_cut_short() {
    let also = [NOT_WHOLE, "is a sample"];
    finds(&fault::snap(&traffic(0.0), 128), "cut short, at 128 bytes", "capture whole packets", &also);
    // Cut amid the headers, nothing can be read.
    let told = doctor(&fault::snap(&traffic(0.0), 50));
    assert!(told.contains("capture whole packets") && !told.contains("unknown link types"), "{told}");
}

/// One packet in about so many.
#[track_caller]
fn rate_is(n: u32, told: &str) {
    let rate = told.split("about 1 packet in ").nth(1).and_then(|t| t.split(' ').next()).unwrap_or("");
    assert!(rate.parse().is_ok_and(|r: u32| (n * 3 / 4..=n * 5 / 4).contains(&r)), "{n}:\n{told}");
}

#[test]
fn a_sample_and_a_little_loss_are_told_apart() {
    let clean = traffic(0.0);
    let also = [NOT_WHOLE, "one direction only", "no HTTP"];
    for n in [2, 4, 10] {
        let sampled = fault::lose(&clean, 1000 - 1000 / n, &mut Rng::new(2));
        finds(&sampled, "is seen, all the time: this is a sample", "switch sampling off", &also);
        rate_is(n, &doctor(&sampled));
    }
    // Of connections with a packet or two each way their openings tell.
    let small = connections(3_000, |n| IpAddr::from([10, 0, (n >> 8) as u8, n as u8]));
    for n in [2, 5] {
        let sampled = fault::lose(&small, 1000 - 1000 / n, &mut Rng::new(4));
        rate_is(n, &doctor(&sampled));
    }
    // Half of one second is a pause of the mirror.
    let (first, last) = (clean[0].ts.0, clean[clean.len() - 1].ts.0);
    let pause = first + (last - first) / 2..first + (last - first) * 5 / 8;
    let kept: Vec<_> = clean.iter().filter(|p| !pause.contains(&p.ts.0)).cloned().collect();
    finds(&kept, "never came", "overbooked", &[NOT_WHOLE]);
    let lossy = fault::lose(&clean, 30, &mut Rng::new(3));
    finds(&lossy, "never came", "overbooked", &[NOT_WHOLE]);
}

/// Connections of one short request each, two in a millisecond.
fn connections(count: u16, from: impl Fn(u16) -> IpAddr) -> Vec<Packet> {
    let mut packets = Vec::new();
    for n in 0..count {
        let client = Addr { ip: from(n), port: 20_000 + n };
        let server = Addr { ip: IpAddr::from([192, 0, 2, 1]), port: 80 };
        let mut talk = Conversation::new(client, server, Framing::default(), u64::from(n));
        let begin = Ts::from_parts(1_790_000_000, 0).0 + i64::from(n) * 500_000;
        let mut ts = talk.open(Ts(begin), 0, &mut packets);
        ts = talk.send(ts, Direction::Up, b"GET /a HTTP/1.1\r\nHost: h.example\r\n\r\n", 1000, &mut packets);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        ts = talk.send(ts, Direction::Down, answer, 1000, &mut packets);
        talk.close(ts, Direction::Up, 0, &mut packets);
    }
    packets.sort_by_key(|p| p.ts);
    packets
}

#[test]
fn encrypted_traffic() {
    let mut packets = Vec::new();
    let record =
        |kind: u8, len: usize| [vec![kind, 3, 3, (len >> 8) as u8, len as u8], vec![0x5a; len]].concat();
    for n in 0..60_u16 {
        let client = Addr { ip: IpAddr::from([10, 0, 1, n as u8]), port: 40_000 + n };
        let server = Addr { ip: IpAddr::from([192, 0, 2, 1]), port: 443 };
        let mut talk = Conversation::new(client, server, Framing::default(), u64::from(n));
        let mut ts = talk.open(Ts::from_parts(1_790_000_000 + i64::from(n), 0), 0, &mut packets);
        let mut hello = record(22, 200);
        hello[5..11].copy_from_slice(&[1, 0, 0, 196, 3, 3]);
        ts = talk.send(ts, Direction::Up, &hello, 1000, &mut packets);
        let mut answer = record(22, 90);
        answer[5..11].copy_from_slice(&[2, 0, 0, 86, 3, 3]);
        ts = talk.send(ts, Direction::Down, &answer, 1000, &mut packets);
        ts = talk.send(ts, Direction::Up, &record(23, 900), 1000, &mut packets);
        ts = talk.send(ts, Direction::Down, &record(23, 9000), 1000, &mut packets);
        talk.close(ts, Direction::Up, 0, &mut packets);
    }
    finds(&packets, "are encrypted", "behind the point that ends TLS", &["no HTTP was seen"]);
}

#[test]
fn one_client_for_all() {
    finds(&traffic(1.0), "come from 198.18.0.2", "mirror before the NAT or balancer", &[]);
    let mut packets = Vec::new();
    for n in 0..60_u16 {
        let proxy = Addr { ip: IpAddr::from([10, 0, 0, 5]), port: 40_000 + n };
        let server = Addr { ip: IpAddr::from([192, 0, 2, 1]), port: 80 };
        let mut talk = Conversation::new(proxy, server, Framing::default(), u64::from(n));
        let mut ts = talk.open(Ts::from_parts(1_790_000_000 + i64::from(n), 0), 0, &mut packets);
        let request = format!("GET /a HTTP/1.1\r\nHost: h.example\r\nX-Forwarded-For: 203.0.113.{n}\r\n\r\n");
        ts = talk.send(ts, Direction::Up, request.as_bytes(), 1000, &mut packets);
        ts = talk.send(
            ts,
            Direction::Down,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            1000,
            &mut packets,
        );
        talk.close(ts, Direction::Up, 0, &mut packets);
    }
    finds(&packets, "come from 10.0.0.5", "list these addresses in `trusted_proxies`", &[]);
}

#[test]
fn a_few_addresses_for_all() {
    let few = connections(400, |n| IpAddr::from([10, 0, 0, 5 + (n % 2) as u8]));
    finds(
        &few,
        "come from 10.0.0.5, 10.0.0.6: the mirror may stand behind balancers",
        "if these are balancers",
        &[],
    );
    let many = connections(400, |n| IpAddr::from([10, 0, 0, 5 + (n % 20) as u8]));
    assert!(complaints(&doctor(&many)).is_empty());
}

#[test]
fn fragments_of_which_the_first_come_alone() {
    let all = fault::fragments(&traffic(0.0), LinkKind::Ethernet, 600);
    let first = |p: &Packet| u16::from_be_bytes([p.data[20], p.data[21]]) & 0x1fff == 0;
    let kept: Vec<_> = all.into_iter().filter(first).collect();
    finds(&kept, "some fragments never came", "passes first fragments alone", &[NOT_WHOLE]);
}

#[test]
fn checksums_of_the_card_and_of_damage() {
    let with = |wrong: &dyn Fn(usize, &Packet) -> bool| -> Vec<Packet> {
        let mut packets = traffic(0.0);
        for (n, p) in packets.iter_mut().enumerate() {
            if wrong(n, p) {
                p.data[50] ^= 0x55;
            }
        }
        packets
    };
    finds(
        &with(&|_, p| !is_up(p)),
        "are not filled in",
        "nothing: what such senders send is taken as it is",
        &[],
    );
    // Damaged packets are left out, so that what they carried is missing.
    let also = [NOT_WHOLE, "bad-checksum"];
    finds(&with(&|n, _| n % 10 == 0), "checksums are wrong", "damaged or rewritten", &also);
}

#[test]
fn super_frames() {
    let mut packets = Vec::new();
    for n in 0..20_u16 {
        let client = Addr { ip: IpAddr::from([10, 0, 2, n as u8]), port: 40_000 + n };
        let server = Addr { ip: IpAddr::from([192, 0, 2, 1]), port: 80 };
        let mut talk = Conversation::new(client, server, Framing::default(), u64::from(n)).with_mss(14_480);
        let mut ts = talk.open(Ts::from_parts(1_790_000_000 + i64::from(n), 0), 0, &mut packets);
        ts =
            talk.send(ts, Direction::Up, b"GET /big HTTP/1.1\r\nHost: h.example\r\n\r\n", 1000, &mut packets);
        let body = format!("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{}", "x".repeat(60_000));
        ts = talk.send(ts, Direction::Down, body.as_bytes(), 1000, &mut packets);
        talk.close(ts, Direction::Up, 0, &mut packets);
    }
    finds(&packets, "larger than any on the wire", "ethtool -K", &[]);
}

#[test]
fn tunnels_and_tags() {
    let framing = Framing { encapsulations: vec![Encapsulation::Vxlan(7)], ..Framing::default() };
    let clean = traffic(0.0);
    let wrapped = fault::reframe(&clean, LinkKind::Ethernet, &framing, |_| true);
    finds(&wrapped, "come in a tunnel", "a capture filter sees the outer headers", &[]);
    let framing = Framing { vlans: vec![5], ..Framing::default() };
    let tagged = fault::reframe(&clean, LinkKind::Ethernet, &framing, |_| true);
    finds(&tagged, "carry VLAN tags", "must begin with `vlan`", &[]);
}

#[test]
fn clocks_that_do_not_go_together() {
    let clean = traffic(0.0);
    let back = fault::step_time(&clean, clean.len() / 2, -7_200_000_000_000);
    finds(&back, "do not go together: steps-back 1", "NTP, PTP", &[]);
}

#[test]
fn a_live_look_ends_by_itself() {
    if !is_root("the doctor at an interface") {
        return;
    }
    let end = Place::new().run(&["doctor", "-i", "lo", "--duration", "1s"]);
    assert!(end.code == 0 || end.stderr.contains("lo"), "{}", end.stderr);
}

#[test]
fn of_a_mirror_without_tcp_no_share_is_said_to_be_well() {
    let end = |n: u8, port| Addr { ip: IpAddr::from([10, 0, 0, n]), port };
    let mut packets = Vec::new();
    for n in 0..200 {
        let mut data = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        sidetap_testkit::tcpip::push_udp(&mut data, end(1, 40_000), end(2, 443), &[0xc3; 1200]);
        let (ts, orig_len) = (Ts(1_700_000_000_000_000_000 + n * 1_000_000), data.len() as u32);
        packets.push(Packet { ts, interface: 0, data, orig_len });
    }
    finds(&packets, "no TCP is among 200 packets", "mirror behind what ends them", &[]);
    assert!(!doctor(&packets).contains("  ok "), "nothing was looked at");
}
