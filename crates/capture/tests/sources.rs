//! Capture files of every form, compressed and broken ones.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::Write;
use std::path::PathBuf;

use flate2::write::GzEncoder;
use sidetap_capture::{Source, SourceError, open_files};
use sidetap_model::Ts;
use sidetap_testkit::{Interface, LinkKind, Packet, PcapForm, Resolution, pcap_bytes, pcapng_bytes};
use tempfile::TempDir;

fn packets(start: i64, step: i64, n: i64) -> Vec<Packet> {
    (0..n).map(|i| Packet::new(Ts(start + i * step), vec![i as u8; 60 + i as usize])).collect()
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn read(paths: &[PathBuf]) -> (Vec<(Ts, Vec<u8>)>, Vec<sidetap_model::rows::InputSummary>) {
    let mut files = open_files(paths).unwrap();
    let mut out = Vec::new();
    while let Some(packet) = files.next_packet() {
        out.push((packet.ts, packet.data.to_vec()));
    }
    (out, files.inputs())
}

fn rows(packets: &[Packet]) -> Vec<(Ts, Vec<u8>)> {
    packets.iter().map(|p| (p.ts, p.data.clone())).collect()
}

#[test]
fn every_form_of_capture_gives_the_same_packets() {
    let dir = TempDir::new().unwrap();
    let sent = packets(1_700_000_000_123_456_000, 1_000_000, 50);
    for form in [PcapForm::Micros, PcapForm::Nanos, PcapForm::MicrosBig, PcapForm::NanosBig] {
        let bytes = pcap_bytes(&sent, LinkKind::Ethernet, form);
        let path = write(&dir, "plain.pcap", &bytes);
        let (got, inputs) = read(&[path]);
        assert_eq!(got, rows(&sent), "{form:?}");
        assert_eq!((inputs[0].packets, &inputs[0].error), (50, &None));
        assert_eq!(inputs[0].first_ts, Some(sent[0].ts));
        assert_eq!(inputs[0].last_ts, Some(sent[49].ts));
    }
}

#[test]
fn interfaces_of_a_pcapng_keep_their_own_clock_and_link() {
    let dir = TempDir::new().unwrap();
    let mut sent = packets(1_700_000_000_123_456_000, 1_000_001, 10);
    sent.iter_mut().enumerate().for_each(|(i, p)| p.interface = (i % 2) as u32);
    sent.iter_mut().filter(|p| p.interface == 0).for_each(|p| p.ts = Ts(p.ts.0 / 1000 * 1000));
    let interfaces = vec![
        Interface { link: LinkKind::Ethernet, name: "a".into(), resolution: Resolution::Micros },
        Interface { link: LinkKind::Raw, name: "b".into(), resolution: Resolution::Nanos },
    ];
    let section = pcapng_bytes(&sent, interfaces);
    let path = write(&dir, "two.pcapng", &[section.clone(), section].concat());
    let mut files = open_files(&[path]).unwrap();
    let mut got = Vec::new();
    while let Some(p) = files.next_packet() {
        got.push((p.ts, p.interface, p.link.0, p.data.to_vec()));
    }
    let expected: Vec<_> = [0, 2]
        .into_iter()
        .flat_map(|base| {
            sent.iter()
                .map(move |p| (p.ts, p.interface + base, [1, 101][p.interface as usize], p.data.clone()))
        })
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn compression_is_recognised_by_content_also_twice() {
    let dir = TempDir::new().unwrap();
    let sent = packets(1_700_000_000_000_000_000, 1000, 40);
    let plain = pcap_bytes(&sent, LinkKind::Ethernet, PcapForm::Micros);
    let gz = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zst =
        |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let (head, tail) = plain.split_at(plain.len() / 2);
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let cases = [
        gz(&plain),
        zst(&plain),
        [gz(head), gz(tail)].concat(),
        [&skippable[..], &zst(head), &skippable, &zst(tail)].concat(),
        zst(&gz(&plain)),
        gz(&zst(&plain)),
    ];
    for (i, bytes) in cases.iter().enumerate() {
        let (got, inputs) = read(&[write(&dir, "compressed", bytes)]);
        assert_eq!(inputs[0].error, None, "case {i}");
        assert_eq!(got, rows(&sent), "case {i}");
    }
    let (got, inputs) = read(&[write(&dir, "cut.gz", &cases[0][..cases[0].len() - 20])]);
    assert!(got.len() < 40);
    assert_eq!(inputs[0].error.as_deref(), Some("compressed file cut short"));
}

#[test]
fn of_a_zstd_file_that_is_cut_all_whole_blocks_are_read() {
    let dir = TempDir::new().unwrap();
    let sent = packets(1_700_000_000_000_000_000, 1000, 4_000);
    let plain = pcap_bytes(&sent, LinkKind::Ethernet, PcapForm::Micros);
    assert!(plain.len() > 2 << 20, "more than a block: {}", plain.len());
    let whole = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
    let (got, inputs) = read(&[write(&dir, "cut.zst", &whole[..whole.len() - 20])]);
    assert!(got.len() > 3_500 && got.len() < 4_000, "{}", got.len());
    assert_eq!(got, rows(&sent)[..got.len()]);
    assert_eq!(inputs[0].error.as_deref(), Some("compressed file cut short"));
}

#[test]
fn many_files_come_merged_in_order_of_time() {
    let dir = TempDir::new().unwrap();
    for count in [3, 40] {
        let paths: Vec<PathBuf> = (0..count)
            .map(|i| {
                let sent = packets(1_700_000_000_000_000_000 + i * 7_000_000, 50_000_000, 30);
                write(&dir, &format!("{i}.pcap"), &pcap_bytes(&sent, LinkKind::Ethernet, PcapForm::Nanos))
            })
            .collect();
        let (got, inputs) = read(&paths);
        assert_eq!(got.len() as i64, count * 30);
        assert!(got.is_sorted_by_key(|(ts, _)| *ts));
        assert!(inputs.iter().all(|i| i.packets == 30 && i.error.is_none()));
    }
}

#[test]
fn what_is_wrong_with_an_input_is_said_in_one_line() {
    let dir = TempDir::new().unwrap();
    let good = pcap_bytes(&packets(0, 1000, 5), LinkKind::Ethernet, PcapForm::Micros);
    let mut unknown = good.clone();
    unknown[20] = 147;
    let cut_at = 24 + 4 * 16 + 60 + 61 + 62 + 63;
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty", b"", "empty file"),
        ("text", b"GET / HTTP", "not a capture: starts with 47 45 54 20 2f 20 48 54 (\"GET / HT\")"),
        ("binary", &[0xde, 0xad, 0xbe, 0xef], "not a capture: starts with de ad be ef"),
        ("cut", &good[..good.len() - 3], &format!("capture cut mid-packet at byte {cut_at}")),
        ("header", &good[..20], "capture cut mid-packet at byte 20"),
        ("unknown", &unknown, "unknown link type 147"),
    ];
    for (name, bytes, message) in cases {
        let path = write(&dir, name, bytes);
        let good = write(&dir, "good.pcap", &good);
        let (_, inputs) = read(&[path.clone(), good]);
        assert_eq!(inputs[0].error.as_deref(), Some(message), "{name}");
        assert_eq!((inputs[1].packets, &inputs[1].error), (5, &None));
    }
    let missing = dir.path().join("missing.pcap");
    let Err(SourceError::Unreadable(text)) = open_files(std::slice::from_ref(&missing)) else {
        panic!("opened what is not there");
    };
    assert_eq!(text, format!("{}: no such file", missing.display()));
    let Err(SourceError::Unreadable(text)) = open_files(&[dir.path().to_owned()]) else {
        panic!("opened a directory");
    };
    assert!(text.ends_with("is a directory"), "{text}");
}

#[test]
fn broken_files_never_panic() {
    let dir = TempDir::new().unwrap();
    let mut rng = common::Rng(3);
    let sent = packets(0, 1000, 6);
    let interfaces = vec![Interface::default()];
    let forms = [pcap_bytes(&sent, LinkKind::Ethernet, PcapForm::MicrosBig), pcapng_bytes(&sent, interfaces)];
    for round in 0..600 {
        let mut bytes = forms[round % 2].clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(bytes.len());
            bytes[at] = [0, 0xff, 1, rng.next() as u8][rng.below(4)];
        }
        bytes.truncate(bytes.len() - if rng.chance(30) { rng.below(bytes.len()) } else { 0 });
        let path = write(&dir, "broken", &bytes);
        if let Ok(mut files) = open_files(&[path]) {
            let mut n = 0;
            while files.next_packet().is_some() {
                n += 1;
                assert!(n < 1000);
            }
        }
    }
}

#[test]
fn a_file_truncated_while_it_is_read_gives_what_was_read_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<Packet> = (0..20_000).map(|i| Packet::new(Ts(i * 1_000_000), vec![7; 1_000])).collect();
    let path = write(&dir, "a.pcap", &pcap_bytes(&all, LinkKind::Ethernet, PcapForm::default()));
    let mut files = open_files(std::slice::from_ref(&path)).unwrap();
    for _ in 0..100 {
        assert!(files.next_packet().is_some());
    }
    // The middle of a packet's record.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(24 + 15_000 * 1_016 + 500).unwrap();
    let mut given = 100;
    while files.next_packet().is_some() {
        given += 1;
    }
    let input = &files.inputs()[0];
    assert_eq!((given, input.packets), (15_000, 15_000));
    let error = input.error.as_deref().unwrap();
    assert!(error.contains("cut mid-packet"), "{error}");
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &len, body, &len].concat()
}

/// A section with an interface of this name and clock offset, and packets on it.
fn section(name: &[u8; 4], offset_secs: i64, packets: u8) -> Vec<u8> {
    let head = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let described = [
        &[1, 0, 0, 0, 0, 0, 0, 0][..],
        &[2, 0, 4, 0],
        name,
        &[14, 0, 8, 0],
        &offset_secs.to_le_bytes(),
        &[0, 0, 0, 0],
    ]
    .concat();
    let packet = |n| block(6, &[&[0; 12][..], &[4, 0, 0, 0, 60, 0, 0, 0], &[n, 0, 0, 0]].concat());
    let packets = (0..packets).flat_map(packet);
    [block(0x0a0d_0d0a, &head), block(1, &described)].concat().into_iter().chain(packets).collect()
}

#[test]
fn times_at_the_ends_of_what_can_be_told_are_only_wrong() {
    let offsets = [1_790_000_000, i64::MAX, i64::MIN, i64::MAX, 1_790_000_001, i64::MIN, 1_790_000_002];
    let bytes: Vec<u8> = offsets.iter().flat_map(|secs| section(b"eth0", *secs, 1)).collect();
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "ends.pcapng", &bytes);
    let (got, inputs) = read(&[path.clone(), path]);
    assert_eq!((got.len(), inputs[0].packets), (14, 7));
}

#[test]
fn a_packet_in_doubt_keeps_the_name_of_its_interface_in_the_next_section() {
    // The first packet of each is held until the next one agrees with it.
    let year = 365 * 86_400;
    let sections = [section(b"one0", 1_790_000_000, 3), section(b"two0", 1_790_000_000 + year, 1)];
    let last = section(b"six0", 1_790_000_000 + year, 20);
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "sections.pcapng", &[sections.concat(), last].concat());
    let mut files = open_files(&[path]).unwrap();
    let mut names = Vec::new();
    while let Some(packet) = files.next_packet() {
        names.push(packet.port.to_owned());
    }
    let expected = [vec!["one0"; 3], vec!["two0"], vec!["six0"; 20]].concat();
    assert_eq!(names, expected);
}
