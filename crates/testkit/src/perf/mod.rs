//! Captures for benches: API traffic of any size, keep-alive connections interleaved by time, written as a stream.

mod content;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, Write};

use serde::Serialize;
use sidetap_model::{Addr, Direction, Ts};

use crate::{Conversation, Framing, Packet, PcapWriter, Rng};
use content::{Client, Content};

/// What an exchange looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// 5.5 KB an exchange: an API with JSON bodies.
    #[default]
    Api,
    /// 0.5 KB an exchange.
    Small,
    /// 0.5 KB an exchange, one to three a client, each client once after the other.
    Crowd,
}

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct PerfOptions {
    /// The profile.
    pub profile: Profile,
    /// Size of the file, within a connection's length.
    pub bytes: u64,
    /// The seed.
    pub seed: u64,
    /// Number of client addresses.
    pub clients: usize,
    /// Share of the connections that come from one address, from 0 to 1.
    pub one_address: f64,
}

impl Default for PerfOptions {
    fn default() -> Self {
        PerfOptions {
            profile: Profile::Api,
            bytes: 1_000_000_000,
            seed: 20_261_120,
            clients: 2000,
            one_address: 0.0,
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PerfTruth {
    /// Bytes of the file.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Connections.
    pub connections: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Bytes of request bodies.
    pub request_body_bytes: u64,
    /// Bytes of response bodies before their codings.
    pub response_body_bytes: u64,
    /// Responses in gzip.
    pub gzip: u64,
    /// Responses in chunks.
    pub chunked: u64,
}

/// Writes the capture.
pub fn write_perf<W: Write>(options: &PerfOptions, out: &mut PcapWriter<W>) -> io::Result<PerfTruth> {
    let mut maker = Maker::new(options);
    loop {
        maker.full |= maker.is_full();
        let due = maker.active.peek().map(|Reverse((ts, ..))| *ts);
        match due {
            Some(ts) if maker.full || ts < maker.next_start => maker.step(out)?,
            None if maker.full => return Ok(maker.truth),
            _ => maker.start(),
        }
    }
}

struct Maker {
    options: PerfOptions,
    rng: Rng,
    content: Content,
    active: BinaryHeap<Reverse<(Ts, usize)>>,
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    next_start: Ts,
    planned: u64,
    full: bool,
    truth: PerfTruth,
}

struct Connection {
    talk: Conversation,
    client: usize,
    host: usize,
    left: u32,
    queue: VecDeque<Packet>,
    at: Ts,
    rtt: i64,
    closed: bool,
}

impl Maker {
    fn new(options: &PerfOptions) -> Self {
        let mut rng = Rng::part(options.seed, "perf");
        let content = Content::new(options.profile, options.clients, &mut rng);
        let truth = PerfTruth { bytes: 24, ..PerfTruth::default() };
        let (active, slots, free, next_start) =
            (BinaryHeap::new(), Vec::new(), Vec::new(), Ts::from_parts(START, 0));
        Maker {
            options: *options,
            rng,
            content,
            active,
            slots,
            free,
            next_start,
            planned: 0,
            full: false,
            truth,
        }
    }

    /// True once what is written and what open connections still hold reaches the size asked for.
    fn is_full(&self) -> bool {
        let each = match (self.truth.exchanges, self.options.profile) {
            (2000.., _) => self.truth.bytes / self.truth.exchanges,
            (_, Profile::Api) => 5600,
            (_, Profile::Small | Profile::Crowd) => 500,
        };
        let all =
            self.options.profile == Profile::Crowd && self.truth.connections >= self.options.clients as u64;
        all || self.truth.bytes + self.planned * each >= self.options.bytes
    }

    fn start(&mut self) {
        let (rate, mean) = match self.options.profile {
            Profile::Api => (220.0, 7.5),
            Profile::Small => (120.0, 99.5),
            Profile::Crowd => (4000.0, 0.9),
        };
        let at = self.next_start;
        self.next_start = at.plus(nanos(self.rng.wait(1.0 / rate)));
        let left = 1 + (self.rng.wait(mean) as u32).min(mean as u32 * 10);
        let (mut client, host) =
            (self.content.draw_client(&mut self.rng), self.content.draw_host(&mut self.rng));
        // Nothing is drawn where nothing is asked for, so that captures stay as they were.
        if self.options.profile == Profile::Crowd {
            client = self.truth.connections as usize % self.options.clients.max(1);
        }
        if self.options.one_address > 0.0 && self.rng.unit() < self.options.one_address {
            client = 0;
        }
        let server = Addr { ip: [10, 20, 0, host as u8 + 10].into(), port: self.content.port(host) };
        let addr = self.content.client(client).next_addr();
        let talk = Conversation::new(addr, server, Framing::default(), self.rng.next_u64());
        let rtt = nanos(match self.options.profile {
            Profile::Api => self.rng.between(0.002, 0.06),
            Profile::Small | Profile::Crowd => self.rng.between(0.0003, 0.002),
        });
        let mut connection =
            Connection { talk, client, host, left, queue: VecDeque::new(), at, rtt, closed: false };
        let mut out = Vec::new();
        connection.at = connection.talk.open(at, rtt, &mut out);
        connection.queue.extend(out);
        self.planned += u64::from(left);
        self.truth.connections += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
        self.active.push(Reverse((at, slot)));
    }

    /// Writes the earliest packet and puts its connection back in line.
    fn step<W: Write>(&mut self, out: &mut PcapWriter<W>) -> io::Result<()> {
        let Some(Reverse((_, slot))) = self.active.pop() else { return Ok(()) };
        let Some(mut connection) = self.slots.get_mut(slot).and_then(Option::take) else { return Ok(()) };
        if let Some(packet) = connection.queue.pop_front() {
            self.truth.packets += 1;
            self.truth.bytes += 16 + packet.data.len() as u64;
            out.write(&packet)?;
        }
        if connection.queue.is_empty() {
            self.refill(&mut connection);
        }
        match connection.queue.front().map(|p| p.ts) {
            Some(ts) => {
                self.active.push(Reverse((ts, slot)));
                if let Some(place) = self.slots.get_mut(slot) {
                    *place = Some(connection);
                }
            }
            None => self.free.push(slot),
        }
        Ok(())
    }

    fn refill(&mut self, c: &mut Connection) {
        let mut out = Vec::new();
        if c.left > 0 {
            c.left -= 1;
            self.planned -= 1;
            self.exchange(c, &mut out);
        } else if !c.closed {
            c.closed = true;
            c.at = c.at.plus(nanos(self.rng.between(0.01, 1.5)));
            c.talk.close(c.at, Direction::Up, c.rtt, &mut out);
        }
        // Rounds of the sender's window and acknowledgements may cross by a few microseconds.
        out.sort_by_key(|p| p.ts);
        c.queue.extend(out);
    }

    fn exchange(&mut self, c: &mut Connection, out: &mut Vec<Packet>) {
        let small = self.options.profile != Profile::Api;
        let pause = if small { self.rng.between(0.004, 0.03) } else { self.rng.wait(0.9) + 0.005 };
        let exchange = self.content.exchange(c.client, c.host, &mut self.rng, &mut self.truth);
        let at = c.at.plus(nanos(pause));
        let sent = c.talk.send(at, Direction::Up, &exchange.request, 15_000, out);
        let service = if small { self.rng.between(0.0003, 0.004) } else { self.rng.around(0.014) };
        if service > 0.02 {
            c.talk.acknowledge(sent.plus(400_000), Direction::Down, out);
        }
        c.at = c.talk.send(sent.plus(nanos(service)), Direction::Down, &exchange.response, 14_000, out);
        if !small {
            c.at = c.at.plus(600_000);
            c.talk.acknowledge(c.at, Direction::Up, out);
        }
        self.truth.exchanges += 1;
    }
}

impl Client {
    fn next_addr(&mut self) -> Addr {
        self.port = if self.port >= 60_999 { 32_768 } else { self.port + 1 };
        Addr { ip: self.ip, port: self.port }
    }
}

fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

/// 2026-09-21T14:13:20Z.
const START: i64 = 1_790_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkKind, PcapForm};

    fn make(profile: Profile) -> (Vec<u8>, PerfTruth) {
        let options = PerfOptions { profile, bytes: 2_000_000, clients: 50, ..PerfOptions::default() };
        let mut out = PcapWriter::new(Vec::new(), LinkKind::Ethernet, PcapForm::Micros).unwrap();
        let truth = write_perf(&options, &mut out).unwrap();
        (out.finish().unwrap(), truth)
    }

    #[test]
    fn captures_have_the_size_and_shape_asked_for() {
        let (bytes, truth) = make(Profile::Api);
        assert_eq!(bytes.len() as u64, truth.bytes);
        assert!((1_500_000..2_500_000).contains(&truth.bytes), "{truth:?}");
        let each = truth.bytes / truth.exchanges;
        assert!((4800..6400).contains(&each), "{each}");
        let (_, small) = make(Profile::Small);
        let each = small.bytes / small.exchanges;
        assert!((400..700).contains(&each), "{each}");
    }

    #[test]
    fn most_connections_come_from_one_address_where_that_is_asked_for() {
        let options = PerfOptions { bytes: 2_000_000, one_address: 0.8, ..PerfOptions::default() };
        let mut out = PcapWriter::new(Vec::new(), LinkKind::Ethernet, PcapForm::Micros).unwrap();
        let truth = write_perf(&options, &mut out).unwrap();
        let bytes = out.finish().unwrap();
        let mut syns = std::collections::BTreeMap::<[u8; 4], u64>::new();
        let mut at = 24;
        while at < bytes.len() {
            let frame = &bytes[at + 16..];
            if frame[47] == crate::tcpip::SYN {
                *syns.entry(frame[26..30].try_into().unwrap()).or_default() += 1;
            }
            at += 16 + u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        }
        let most = *syns.values().max().unwrap() as f64 / truth.connections as f64;
        assert!((0.65..0.95).contains(&most), "{most}");
    }

    #[test]
    fn a_seed_gives_the_same_bytes_in_time_order() {
        let (bytes, _) = make(Profile::Api);
        assert!(bytes == make(Profile::Api).0);
        let (mut at, mut last) = (24, 0u64);
        while at < bytes.len() {
            let word =
                |n: usize| u64::from(u32::from_le_bytes(bytes[at + n..at + n + 4].try_into().unwrap()));
            let time = word(0) * 1_000_000 + word(4);
            assert!(time >= last);
            last = time;
            at += 16 + word(8) as usize;
        }
    }
}
