//! Seeds for the fuzz targets (`fuzz/src/targets.rs` says what each reads), made from dialogues and a few documents.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use sidetap_model::Direction;

use crate::dialogue::Step;
use crate::hostile::{BROTLI_BOMB, zstd_bomb};
use crate::tcpip::fragment;
use crate::{Dialogue, Interface, LinkKind, Packet, PcapForm, pcap_bytes, pcapng_bytes};

/// A seed: the target that it is for, and its bytes.
pub type Seed = (&'static str, Vec<u8>);

/// What a dialogue gives.
pub fn of_dialogue(dialogue: &Dialogue) -> Vec<Seed> {
    let packets = dialogue.packets();
    let link = dialogue.framing.link;
    let interface = Interface { link, ..Interface::default() };
    vec![
        ("frames", frames(&packets, link)),
        ("defrag", fragments(&packets, link)),
        ("http1", turns(dialogue)),
        ("capture_file", pcap_bytes(&packets, link, PcapForm::Micros)),
        ("capture_file", pcapng_bytes(&packets, vec![interface])),
    ]
}

/// What needs no dialogue.
pub fn of_documents() -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for (kind, text) in DOCUMENTS {
        let chosen = |choice: u8, bytes: &[u8]| [&[choice], bytes].concat();
        seeds.push(("body", chosen(*kind, text.as_bytes())));
        for choice in 0..6 {
            seeds.push(("sensitive", chosen(choice, text.as_bytes())));
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::none());
        gzip.write_all(text.as_bytes())?;
        zlib.write_all(text.as_bytes())?;
        raw.write_all(text.as_bytes())?;
        seeds.push(("coding", chosen(0, &gzip.finish()?)));
        seeds.push(("coding", chosen(1, &zlib.finish()?)));
        seeds.push(("coding", chosen(1, &raw.finish()?)));
    }
    seeds.push(("coding", [&[2], &BROTLI_BOMB[..]].concat()));
    let zstd = zstd_bomb();
    seeds.push(("coding", [&[3], zstd.get(..30).unwrap_or_default()].concat()));
    Ok(seeds)
}

/// Documents with the number of their kind in the target `body`.
const DOCUMENTS: &[(u8, &str)] = &[
    (
        0,
        r#"{"user":{"id":17,"email":"ann@example.org","tags":["a","b\u00e9",null,true,-1.5e3]},"card":"4111 1111 1111 1111"}"#,
    ),
    (0, r#"[[[{"a":[{}]}]],"\ud83d\ude00\n","78-05-1120"]"#),
    (1, "{\"a\":1}\n{\"a\":2}\nnot json\n{\"a\":3}"),
    (2, "name=Ann+B%2e&ssn=078-05-1120&a%5b%5d=1&empty=&=x&%zz"),
    (3, "<?xml version=\"1.0\"?><a x=\"1&amp;2\"><b><![CDATA[<raw>]]></b><!-- c --><c/>&#x41;</a>"),
    (
        4,
        "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.json\"\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n--XX--\r\n",
    ),
    (5, "<html><body><a href=\"/x?y=1\">call +44 20 7946 0958</a><script>1<2</script></body></html>"),
    (6, "IBAN DE89 3704 0044 0532 0130 00, key AKIAIOSFODNN7EXAMPLE, 192.0.2.1, 2001:db8::1"),
];

/// As the target `frames` reads them.
fn frames(packets: &[Packet], link: LinkKind) -> Vec<u8> {
    let choice = match link {
        LinkKind::Ethernet => 0,
        LinkKind::Raw => 1,
        LinkKind::Sll => 2,
        LinkKind::Sll2 => 3,
        LinkKind::Null => 4,
    };
    let mut out = Vec::new();
    for packet in packets {
        out.extend_from_slice(&[choice, 1]);
        out.extend_from_slice(&(packet.data.len() as u16).to_le_bytes());
        out.extend_from_slice(&packet.data);
    }
    out
}

/// Ethernet frames of IPv4, in fragments, as the target `defrag` reads them.
fn fragments(packets: &[Packet], link: LinkKind) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, packet) in packets.iter().enumerate() {
        let ip = packet.data.get(14..).filter(|ip| link == LinkKind::Ethernet && ip.first() == Some(&0x45));
        for part in ip.map(|ip| fragment(ip, 68)).unwrap_or_default() {
            let Some((head, piece)) = part.split_at_checked(20) else { continue };
            let field = u16::from_be_bytes([head[6], head[7]]);
            out.push((n as u8) << 2 | u8::from(field & 0x2000 != 0));
            out.extend_from_slice(&(field & 0x1fff).to_le_bytes());
            out.push(piece.len() as u8);
            out.extend_from_slice(piece);
        }
    }
    out
}

/// What is said, as the target `http1` reads it.
fn turns(dialogue: &Dialogue) -> Vec<u8> {
    let mut out = Vec::new();
    let mut now = Direction::Up;
    for step in &dialogue.steps {
        match step {
            Step::Speak(way) => {
                if *way != now {
                    out.push(0xfe);
                }
                now = *way;
            }
            Step::Lost(begins) => {
                // The same side's next turn, with an empty one of the other between them.
                out.extend_from_slice(&[0xfe, 0xfe]);
                if *begins {
                    out.push(0xfd);
                }
            }
            Step::Say(bytes) => out.extend_from_slice(bytes),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds() {
        let dialogue = Dialogue::parse(">>>\nabc\n<<<\ndef\n~ lost\nx\n~ found\ny\n").unwrap();
        let mut seeds = of_dialogue(&dialogue);
        seeds.extend(of_documents().unwrap());
        for target in ["frames", "defrag", "http1", "capture_file", "coding", "body", "sensitive"] {
            assert!(seeds.iter().any(|(t, bytes)| *t == target && bytes.len() > 4), "{target}");
        }
        assert!(seeds[2].1.starts_with(b"abc\r\n\xfedef"));
    }
}
