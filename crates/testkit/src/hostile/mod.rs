//! Traffic that attacks the sensor itself: floods, endless messages, bombs, nests, and values without end.
//!
//! Written as a stream, so that a capture of any size costs no memory. Each kind has a size at which it is measured
//! (`scripts/hostile.sh`) and can be made smaller for a test.

mod floods;
mod messages;
mod values;

pub(crate) use messages::{BROTLI_BOMB, zstd_bomb};

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use sidetap_model::{Addr, Direction, Ts};

use crate::{Conversation, Framing, Packet, PcapWriter, Rng};

/// A way to attack the sensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hostile {
    /// A million SYNs from as many addresses.
    SynFlood,
    /// 200,000 connections that send half a request, and no more.
    HalfOpen,
    /// Ten million bytes out of order on one connection, whose first byte never comes.
    OutOfOrder,
    /// A head of 32 MB.
    EndlessHead,
    /// A chunk size line of 32 MB.
    EndlessChunkExtension,
    /// A trailer section of 32 MB.
    EndlessTrailer,
    /// 50,000 connections whose requests and responses come a few bytes at a time.
    SlowDrip,
    /// Responses that are 64 MiB once gunzipped.
    GzipBomb,
    /// Responses that are 64 MiB once decoded from Brotli.
    BrotliBomb,
    /// Responses that are 64 MiB once decoded from Zstandard.
    ZstdBomb,
    /// Responses whose Zstandard window is 128 MiB, though their content is short.
    ZstdWindow,
    /// Random bytes on port 80.
    RandomBytes,
    /// A million paths.
    DistinctPaths,
    /// A million hosts.
    DistinctHosts,
    /// A million user agents.
    DistinctAgents,
    /// A million session cookies.
    DistinctSessions,
    /// A million JSON keys.
    DistinctKeys,
    /// JSON nested 100,000 deep.
    DeepJson,
    /// A million fragments of datagrams that are never whole.
    Fragments,
    /// Tunnels in tunnels, as deep as a frame has room for.
    Tunnels,
    /// 600,000 requests of one connection, in few segments, that nobody answers.
    Pipelined,
    /// 4,000 targets of 60 KB.
    LongTargets,
    /// 30,000 targets of 7,900 bytes, as long as servers take them.
    FullTargets,
    /// 250,000 requests that nobody answers, a few on each of many connections, that are all due at once; then all end at once.
    Unanswered,
    /// 40,000 connections of another client each, with a dozen requests for a dozen endpoints in one segment, of which one is answered.
    ManyEach,
    /// 500 heads with 60 KB of tabs.
    Tabs,
    /// 100 connections of a CONNECT in the other's tunnel, 2,000 deep.
    Connects,
    /// 400 connections whose segments each reach one byte further than the one before, behind a hole.
    Leftovers,
}

impl Hostile {
    /// Every kind.
    pub const ALL: [Hostile; 28] = [
        Hostile::SynFlood,
        Hostile::HalfOpen,
        Hostile::OutOfOrder,
        Hostile::EndlessHead,
        Hostile::EndlessChunkExtension,
        Hostile::EndlessTrailer,
        Hostile::SlowDrip,
        Hostile::GzipBomb,
        Hostile::BrotliBomb,
        Hostile::ZstdBomb,
        Hostile::ZstdWindow,
        Hostile::RandomBytes,
        Hostile::DistinctPaths,
        Hostile::DistinctHosts,
        Hostile::DistinctAgents,
        Hostile::DistinctSessions,
        Hostile::DistinctKeys,
        Hostile::DeepJson,
        Hostile::Fragments,
        Hostile::Tunnels,
        Hostile::Pipelined,
        Hostile::LongTargets,
        Hostile::FullTargets,
        Hostile::Unanswered,
        Hostile::ManyEach,
        Hostile::Tabs,
        Hostile::Connects,
        Hostile::Leftovers,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Hostile::SynFlood => "syn-flood",
            Hostile::HalfOpen => "half-open",
            Hostile::OutOfOrder => "out-of-order",
            Hostile::EndlessHead => "endless-head",
            Hostile::EndlessChunkExtension => "endless-chunk-extension",
            Hostile::EndlessTrailer => "endless-trailer",
            Hostile::SlowDrip => "slow-drip",
            Hostile::GzipBomb => "gzip-bomb",
            Hostile::BrotliBomb => "brotli-bomb",
            Hostile::ZstdBomb => "zstd-bomb",
            Hostile::ZstdWindow => "zstd-window",
            Hostile::RandomBytes => "random-bytes",
            Hostile::DistinctPaths => "distinct-paths",
            Hostile::DistinctHosts => "distinct-hosts",
            Hostile::DistinctAgents => "distinct-agents",
            Hostile::DistinctSessions => "distinct-sessions",
            Hostile::DistinctKeys => "distinct-json-keys",
            Hostile::DeepJson => "deep-json",
            Hostile::Fragments => "fragments",
            Hostile::Tunnels => "tunnels",
            Hostile::Pipelined => "pipelined",
            Hostile::LongTargets => "long-targets",
            Hostile::FullTargets => "full-targets",
            Hostile::Unanswered => "unanswered",
            Hostile::ManyEach => "many-each",
            Hostile::Tabs => "tabs",
            Hostile::Connects => "connects",
            Hostile::Leftovers => "leftovers",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Hostile::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How many (connections, packets, bytes, values: what its description counts) are measured.
    pub const fn size(self) -> u64 {
        match self {
            Hostile::SynFlood | Hostile::Fragments => 1_000_000,
            Hostile::DistinctPaths
            | Hostile::DistinctHosts
            | Hostile::DistinctAgents
            | Hostile::DistinctSessions
            | Hostile::DistinctKeys => 1_000_000,
            Hostile::HalfOpen => 200_000,
            Hostile::OutOfOrder => 10_000_000,
            Hostile::EndlessHead | Hostile::EndlessChunkExtension | Hostile::EndlessTrailer => 32_000_000,
            Hostile::SlowDrip => 50_000,
            Hostile::GzipBomb | Hostile::BrotliBomb | Hostile::ZstdBomb | Hostile::ZstdWindow => 500,
            Hostile::RandomBytes => 20_000,
            Hostile::DeepJson => 2_000,
            Hostile::Tunnels => 300_000,
            Hostile::Pipelined => 600_000,
            Hostile::LongTargets => 4_000,
            Hostile::FullTargets => 30_000,
            Hostile::Unanswered => 250_000,
            Hostile::ManyEach => 40_000,
            Hostile::Tabs => 500,
            Hostile::Connects => 100,
            Hostile::Leftovers => 400,
        }
    }
}

/// Writes a capture of `size` (see [`Hostile::size`]).
pub fn write_hostile<W: Write>(kind: Hostile, size: u64, out: &mut PcapWriter<W>) -> io::Result<()> {
    let mut tape = Tape { out, ts: START, rng: Rng::part(20_261_120, kind.name()), packets: Vec::new() };
    match kind {
        Hostile::SynFlood => floods::syns(&mut tape, size),
        Hostile::HalfOpen => floods::half_open(&mut tape, size),
        Hostile::OutOfOrder => floods::out_of_order(&mut tape, size),
        Hostile::SlowDrip => floods::slow_drip(&mut tape, size),
        Hostile::RandomBytes => floods::random_bytes(&mut tape, size),
        Hostile::Fragments => floods::fragments(&mut tape, size),
        Hostile::Tunnels => floods::tunnels(&mut tape, size),
        Hostile::EndlessHead => {
            messages::endless(&mut tape, size, "", "X-Filler-Name: and its filler value\r\n")
        }
        Hostile::EndlessChunkExtension => {
            messages::endless(&mut tape, size, "Transfer-Encoding: chunked\r\n\r\n5;", "name=value;")
        }
        Hostile::EndlessTrailer => messages::endless(
            &mut tape,
            size,
            "Transfer-Encoding: chunked\r\n\r\n0\r\n",
            "X-Trailer: value\r\n",
        ),
        Hostile::GzipBomb => messages::bombs(&mut tape, size, "gzip", &messages::gzip_bomb()?),
        Hostile::BrotliBomb => messages::bombs(&mut tape, size, "br", &BROTLI_BOMB),
        Hostile::ZstdBomb => messages::bombs(&mut tape, size, "zstd", &zstd_bomb()),
        Hostile::ZstdWindow => messages::bombs(&mut tape, size, "zstd", &messages::zstd_window()),
        Hostile::Pipelined => messages::pipelined(&mut tape, size),
        Hostile::LongTargets => messages::targets(&mut tape, size, 59_400),
        Hostile::FullTargets => messages::targets(&mut tape, size, 7_900),
        Hostile::Unanswered => messages::unanswered(&mut tape, size),
        Hostile::ManyEach => messages::many_each(&mut tape, size),
        Hostile::Tabs => messages::tabs(&mut tape, size),
        Hostile::Connects => messages::connects(&mut tape, size),
        Hostile::Leftovers => floods::leftovers(&mut tape, size),
        Hostile::DeepJson => messages::deep_json(&mut tape, size),
        Hostile::DistinctPaths => values::distinct(&mut tape, size, values::Field::Path),
        Hostile::DistinctHosts => values::distinct(&mut tape, size, values::Field::Host),
        Hostile::DistinctAgents => values::distinct(&mut tape, size, values::Field::Agent),
        Hostile::DistinctSessions => values::distinct(&mut tape, size, values::Field::Session),
        Hostile::DistinctKeys => values::json_keys(&mut tape, size),
    }
}

/// A capture being written, packet after packet, a little time apart.
struct Tape<'a, W> {
    out: &'a mut PcapWriter<W>,
    ts: Ts,
    rng: Rng,
    packets: Vec<Packet>,
}

impl<W: Write> Tape<'_, W> {
    /// Writes a frame `nanos` after the last one.
    fn frame(&mut self, nanos: i64, data: Vec<u8>) -> io::Result<()> {
        self.ts = self.ts.plus(nanos);
        self.out.write(&Packet::new(self.ts, data))
    }

    /// Lets somebody make packets from the time that it is, and writes them.
    fn make(&mut self, work: impl FnOnce(Ts, &mut Vec<Packet>) -> Ts) -> io::Result<()> {
        self.ts = self.ts.max(work(self.ts, &mut self.packets));
        for mut packet in self.packets.drain(..) {
            packet.ts = packet.ts.min(self.ts);
            self.out.write(&packet)?;
        }
        Ok(())
    }

    /// A connection of the `n`th client, its handshake done.
    fn open(&mut self, n: u64) -> io::Result<Conversation> {
        let seed = self.rng.next_u64();
        let mut talk = Conversation::new(client(n), server(), Framing::default(), seed);
        self.make(|ts, out| talk.open(ts, 100_000, out))?;
        Ok(talk)
    }

    fn send(&mut self, talk: &mut Conversation, way: Direction, bytes: &[u8]) -> io::Result<()> {
        self.make(|ts, out| talk.send(ts, way, bytes, 2_000, out))
    }

    fn close(&mut self, talk: &mut Conversation) -> io::Result<()> {
        self.make(|ts, out| talk.close(ts, Direction::Up, 100_000, out))
    }
}

/// The `n`th client: 10.0.0.0/8 and the ports from 1024.
fn client(n: u64) -> Addr {
    let ip = Ipv4Addr::from(0x0a00_0000 | (n as u32 & 0x00ff_ffff));
    Addr { ip: IpAddr::V4(ip), port: 1024 + (n % 60_000) as u16 }
}

fn server() -> Addr {
    Addr { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80)), port: 80 }
}

/// 2026-10-13T09:00:00Z, when the sample begins.
const START: Ts = Ts::from_parts(1_791_882_000, 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkKind, PcapForm};

    fn made(kind: Hostile, size: u64) -> Vec<u8> {
        let mut out = PcapWriter::new(Vec::new(), LinkKind::Ethernet, PcapForm::Nanos).unwrap();
        write_hostile(kind, size, &mut out).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn every_kind_grows_with_its_size_and_is_the_same_again() {
        for kind in Hostile::ALL {
            assert_eq!(Hostile::named(kind.name()), Some(kind));
            let small = made(kind, 2);
            assert!(small == made(kind, 2), "{kind:?}");
            assert!(made(kind, (kind.size() / 100).max(8)).len() > small.len() * 2, "{kind:?}");
        }
    }

    #[test]
    fn packets_are_in_order_of_time() {
        for kind in Hostile::ALL {
            let bytes = made(kind, 60.min(kind.size()));
            let (mut at, mut last) = (24, 0);
            while at < bytes.len() {
                let word =
                    |n: usize| u64::from(u32::from_le_bytes(bytes[at + n..at + n + 4].try_into().unwrap()));
                let time = word(0) * 1_000_000_000 + word(4);
                assert!(time >= last, "{kind:?}");
                last = time;
                at += 16 + word(8) as usize;
            }
        }
    }
}
