//! One function for each fuzz target: bytes in, no panic, caps held, sums that add up.

use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use sidetap_capture::{
    DecodeOptions, Decoded, Decoder, FlowLimits, FlowTable, LinkType, Packet, Source, open_stream,
};
use sidetap_model::{Addr, AnomalySet, Direction, HashKey, Headers, Ts, Zone};
use sidetap_sensitive::{Pack, Scanner, scan_document};
use sidetap_testkit::tcpip::{ACK, PSH};
use sidetap_testkit::{Conversation, Framing};
use sidetap_wire::body::{Kind, Location, Scalar, Visitor, WalkLimits, WalkScratch, walk, walk_query};
use sidetap_wire::coding::{CodingLimits, CodingScratch, decode};
use sidetap_wire::http1::{
    Chunked, HeadLimits, head_end, probe_request, probe_response, request_head, response_head, trailer_fields,
};

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 7] = [
    ("frames", frames),
    ("defrag", defrag),
    ("http1", http1),
    ("coding", coding),
    ("capture_file", capture_file),
    ("body", body),
    ("sensitive", sensitive),
];

/// Frames to flows to exchanges. Input: for each frame its link type, hundredths of a second since the last one, length (two
/// bytes, low first), bytes.
pub fn frames(data: &[u8]) {
    let mut flows = Flows::new();
    let mut rest = data;
    while let Some((&[link, wait, low, high], after)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(after.len());
        let (frame, next) = after.split_at(len);
        flows.now = flows.now.plus(i64::from(wait) * 10_000_000);
        flows.frame(LINKS[usize::from(link) % LINKS.len()], frame, frame.len());
        rest = next;
    }
    flows.end();
}

/// The link types of `frames`.
const LINKS: [LinkType; 12] = [
    LinkType::ETHERNET,
    LinkType::RAW,
    LinkType::LINUX_SLL,
    LinkType::LINUX_SLL2,
    LinkType::NULL,
    LinkType::LOOP,
    LinkType::PPP,
    LinkType::PPP_ETHER,
    LinkType::IEEE802_11,
    LinkType::IEEE802_11_RADIOTAP,
    LinkType::NFLOG,
    LinkType::C_HDLC,
];

/// Fragments to datagrams to flows. Input: for each fragment a byte of flags (1: more follow, 2: IPv6, the rest its number), its
/// offset in eights (two bytes, low first), its length, bytes.
pub fn defrag(data: &[u8]) {
    let mut flows = Flows::new();
    let mut rest = data;
    while let Some((&[flags, low, high, len], after)) = rest.split_first_chunk::<4>() {
        let (piece, next) = after.split_at(usize::from(len).min(after.len()));
        let offset = u16::from_le_bytes([low, high]) & 0x1fff;
        flows.now = flows.now.plus(1_000_000);
        let packet = if flags & 2 == 0 { v4(flags, offset, piece) } else { v6(flags, offset, piece) };
        flows.frame(LinkType::RAW, &packet, packet.len());
        rest = next;
    }
    flows.end();
}

fn v4(flags: u8, offset: u16, piece: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&(20 + piece.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[0, flags >> 2]);
    packet.extend_from_slice(&(offset | u16::from(flags & 1) << 13).to_be_bytes());
    packet.extend_from_slice(&[64, 6, 0, 0]);
    packet.extend_from_slice(&Ipv4Addr::new(192, 0, 2, 1).octets());
    packet.extend_from_slice(&Ipv4Addr::new(192, 0, 2, 2).octets());
    packet.extend_from_slice(piece);
    packet
}

fn v6(flags: u8, offset: u16, piece: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(8 + piece.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[44, 64]);
    packet.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
    packet.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
    packet.extend_from_slice(&[6, 0]);
    packet.extend_from_slice(&(offset << 3 | u16::from(flags & 1)).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, flags >> 2]);
    packet.extend_from_slice(piece);
    packet
}

/// HTTP/1 on a connection. Input: what is said, the other side's turn after each byte 0xFE; a turn that begins with 0xFD is lost, one
/// that begins with 0xFC comes byte by byte.
pub fn http1(data: &[u8]) {
    pure_http1(data);
    let mut flows = Flows::new();
    let end = |last, port| Addr { ip: IpAddr::from([192, 0, 2, last]), port };
    let mut talk = Conversation::new(end(1, 4000), end(2, 80), Framing::default(), 7);
    let mut packets = Vec::new();
    let mut ts = talk.open(flows.now, 0, &mut packets);
    let mut way = Direction::Up;
    for turn in data.split(|b| *b == 0xfe) {
        match turn.split_first() {
            Some((0xfd, lost)) => talk.skip(way, lost.len()),
            Some((0xfc, slow)) => {
                for byte in slow.chunks(1) {
                    talk.segment(ts, way, ACK | PSH, byte, &mut packets);
                }
            }
            _ => ts = talk.send(ts, way, turn, 1000, &mut packets),
        }
        ts = ts.plus(1_000_000);
        way = way.opposite();
    }
    talk.close(ts, Direction::Up, 0, &mut packets);
    for packet in packets {
        flows.now = packet.ts;
        flows.frame(LinkType::ETHERNET, &packet.data, packet.data.len());
    }
    flows.end();
}

fn pure_http1(data: &[u8]) {
    let mut anomalies = AnomalySet::default();
    let limits = HeadLimits { fields: 64 };
    let _ = (probe_request(data), probe_response(data));
    let _ = request_head(data, &limits, &mut anomalies);
    let _ = response_head(data, &limits, &mut anomalies);
    assert!(head_end(data, 0).is_none_or(|end| end <= data.len()));
    trailer_fields(data, &mut Headers::default(), &limits, &mut anomalies);
    // The same bytes in one piece and byte by byte give the same body.
    let (mut whole, mut slow) = (Vec::new(), Vec::new());
    let at_once = Chunked::default().feed(data, &mut anomalies, |bytes| whole.extend_from_slice(bytes));
    let mut chunked = Chunked::default();
    for byte in data.chunks(1) {
        let end = chunked.feed(byte, &mut anomalies, |bytes| slow.extend_from_slice(bytes));
        if end != sidetap_wire::http1::ChunkEnd::More {
            break;
        }
    }
    assert_eq!(whole, slow, "{at_once:?}");
}

/// Content codings. Input: a byte that tells which, and in which order; the body.
pub fn coding(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    const NAMES: [&str; 7] = ["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, gzip", "br, deflate"];
    let mut headers = Headers::default();
    headers.push(b"Content-Encoding", NAMES[usize::from(*choice) % NAMES.len()].as_bytes());
    let limits = CodingLimits { size: 256 << 10, ..CodingLimits::default() };
    let mut scratch = CodingScratch::default();
    let decoded = decode(&headers, body, &limits, &mut scratch, &mut AnomalySet::default());
    assert!(decoded.len() <= limits.size.max(body.len()), "{} of {}", decoded.len(), body.len());
}

/// A capture file of any form, to its end.
pub fn capture_file(data: &[u8]) {
    let Ok(mut files) = open_stream("fuzz", Box::new(Cursor::new(data.to_vec()))) else { return };
    let mut flows = Flows::new();
    let mut packets = 0;
    while packets < 10_000
        && let Some(packet) = files.next_packet()
    {
        packets += 1;
        flows.packet(&packet);
    }
    flows.end();
    assert_eq!(files.inputs().first().map(|i| i.packets), Some(packets));
}

/// The walk over a body of each kind. Input: a byte that tells which, the body.
pub fn body(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    const KINDS: [Kind; 7] =
        [Kind::Json, Kind::Ndjson, Kind::Form, Kind::Xml, Kind::Multipart, Kind::Html, Kind::Text];
    let kind = KINDS[usize::from(*choice) % KINDS.len()];
    let mut inside = Inside { len: body.len(), depth: 0 };
    let mut scratch = WalkScratch::default();
    let limits = WalkLimits { depth: 16, tokens: 2_000 };
    let content_type = Some(&b"multipart/form-data; boundary=XX"[..]);
    let walked = walk(kind, content_type, body, &limits, &mut scratch, &mut inside);
    assert!(walked.tokens <= limits.tokens + 1, "{walked:?}");
    inside.depth = 0;
    walk_query(body, &mut scratch, &mut inside);
}

/// A visitor that holds every value to the body.
struct Inside {
    len: usize,
    depth: i32,
}

impl Visitor for Inside {
    fn scalar(&mut self, at: &Location<'_>, _: Scalar<'_>, span: Range<usize>) {
        assert!(span.start <= span.end && span.end <= self.len, "{span:?} of {}", self.len);
        assert!(at.path().len() <= 17 << 10);
    }

    fn begin_object(&mut self, _: &Location<'_>) {
        self.depth += 1;
    }

    fn end_object(&mut self, _: &Location<'_>) {
        self.depth -= 1;
        assert!(self.depth >= 0);
    }
}

/// The scan for sensitive data. Input: a byte that tells the media type, the document.
pub fn sensitive(data: &[u8]) {
    static PACK: OnceLock<Option<Arc<Pack>>> = OnceLock::new();
    let Some(pack) = PACK.get_or_init(|| Pack::builtin().ok().map(Arc::new)) else { return };
    let Some((choice, body)) = data.split_first() else { return };
    const TYPES: [&str; 6] = [
        "application/json",
        "application/x-www-form-urlencoded",
        "text/xml",
        "text/html",
        "text/plain",
        "multipart/form-data; boundary=XX",
    ];
    let mut scanner = Scanner::new(pack, HashKey::from_bytes([7; 16]));
    for span in scan_document(&mut scanner, TYPES[usize::from(*choice) % TYPES.len()], body) {
        assert!(span.start <= span.end && span.end <= body.len(), "{span:?} of {}", body.len());
    }
}

/// A decoder with a flow table behind it, both small enough to be full at times.
struct Flows {
    decoder: Decoder,
    table: FlowTable,
    limits: FlowLimits,
    now: Ts,
    exchanges: u64,
    packets: u64,
}

impl Flows {
    fn new() -> Self {
        let limits = FlowLimits {
            flows: 16,
            flows_room: 0,
            bytes: 64 << 10,
            direction_bytes: 16 << 10,
            ..FlowLimits::default()
        };
        let table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
        let decoder = Decoder::new(DecodeOptions::default());
        Flows { decoder, table, limits, now: Ts::from_parts(1_790_000_000, 0), exchanges: 0, packets: 0 }
    }

    fn frame(&mut self, link: LinkType, data: &[u8], orig_len: usize) {
        let orig_len = u32::try_from(orig_len).unwrap_or(u32::MAX);
        self.packet(&Packet { ts: self.now, link, interface: 0, port: "", data, orig_len, block: None });
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        let Flows { decoder, table, exchanges, .. } = self;
        if let Decoded::Segment(segment) = decoder.decode(packet) {
            table.segment(&segment, &mut |_| *exchanges += 1);
        }
        self.packets += 1;
        if self.packets.is_multiple_of(64) {
            table.tick(packet.ts, &mut |_| *exchanges += 1);
            table.open_requests(packet.ts, &mut |_| {});
        }
        assert!(table.held_bytes() <= self.limits.bytes && table.len() <= self.limits.flows);
    }

    /// What came is delivered or discarded by one reason; nothing is left.
    fn end(mut self) {
        let exchanges = &mut self.exchanges;
        self.table.finish(&mut |_| *exchanges += 1);
        let streams = self.table.counters().streams();
        assert_eq!(streams.bytes, streams.delivered + streams.discarded.values().sum::<u64>(), "{streams:?}");
        assert!(self.table.is_empty() && self.table.held_bytes() == 0);
    }
}
