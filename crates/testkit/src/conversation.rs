//! A TCP connection as a mirror shows it: handshake, data in segments, acknowledgements, close or reset.

use sidetap_model::{Addr, Direction, Ts};

use crate::tcpip::{ACK, FIN, PSH, RST, SYN, Tcp, push_tcp};
use crate::{Framing, Packet};

/// Writes the packets of one connection.
#[derive(Clone, Debug)]
pub struct Conversation {
    client: Side,
    server: Side,
    framing: Framing,
    mss: usize,
    timestamps: bool,
    sees: (bool, bool),
}

#[derive(Clone, Debug)]
struct Side {
    addr: Addr,
    next: u32,
    ttl: u8,
    id: u16,
    clock: u32,
    heard: u32,
    window: u16,
}

impl Conversation {
    /// A connection from `client` to `server`; `seed` gives the initial sequence numbers.
    pub fn new(client: Addr, server: Addr, framing: Framing, seed: u64) -> Self {
        let mut rng = crate::Rng::new(seed);
        let mut side = |addr, ttl| Side {
            addr,
            next: rng.next_u32(),
            ttl,
            id: rng.next_u32() as u16,
            clock: rng.next_u32() >> 2,
            heard: 0,
            window: 501,
        };
        let (client, server) = (side(client, 52), side(server, 64));
        Conversation { client, server, framing, mss: 1448, timestamps: true, sees: (true, true) }
    }

    /// The largest payload of a segment.
    #[must_use]
    pub fn with_mss(mut self, mss: usize) -> Self {
        self.mss = mss.max(1);
        self
    }

    /// The client's time to live as it arrives.
    #[must_use]
    pub fn with_ttl(mut self, ttl: u8) -> Self {
        self.client.ttl = ttl;
        self
    }

    /// Without TCP timestamps.
    #[must_use]
    pub fn without_timestamps(mut self) -> Self {
        self.timestamps = false;
        self
    }

    /// Which directions the sensor sees from here on; packets of the other are left out.
    pub const fn see(&mut self, up: bool, down: bool) {
        self.sees = (up, down);
    }

    /// Three-way handshake from `ts` on; gives the time after it.
    pub fn open(&mut self, ts: Ts, rtt: i64, out: &mut Vec<Packet>) -> Ts {
        self.control(ts, Direction::Up, SYN, out);
        self.control(ts.plus(50_000), Direction::Down, SYN | ACK, out);
        let ts = ts.plus(rtt.max(100_000));
        self.control(ts, Direction::Up, ACK, out);
        ts.plus(20_000)
    }

    /// Sends `bytes` in segments of the maximum size, PSH on the last, `spacing` nanoseconds apart; gives the time after.
    pub fn send(
        &mut self,
        mut ts: Ts,
        way: Direction,
        bytes: &[u8],
        spacing: i64,
        out: &mut Vec<Packet>,
    ) -> Ts {
        let last = bytes.len().div_ceil(self.mss).saturating_sub(1);
        for (n, part) in bytes.chunks(self.mss).enumerate() {
            let flags = if n == last { ACK | PSH } else { ACK };
            self.segment(ts, way, flags, part, out);
            ts = ts.plus(spacing);
            if n % 2 == 1 && n != last {
                self.acknowledge(ts, way.opposite(), out);
            }
        }
        ts
    }

    /// One data segment.
    pub fn segment(&mut self, ts: Ts, way: Direction, flags: u8, payload: &[u8], out: &mut Vec<Packet>) {
        let seq = self.side(way).next;
        self.emit(ts, way, seq, flags, payload, out);
        self.skip(way, payload.len());
    }

    /// A segment that repeats, or overlaps, what was sent `back` bytes ago; the sequence does not advance.
    pub fn resend(&mut self, ts: Ts, way: Direction, back: usize, payload: &[u8], out: &mut Vec<Packet>) {
        let seq = self.side(way).next.wrapping_sub(back as u32);
        self.emit(ts, way, seq, ACK | PSH, payload, out);
    }

    /// A pure acknowledgement of all that the other side sent.
    pub fn acknowledge(&mut self, ts: Ts, way: Direction, out: &mut Vec<Packet>) {
        let seq = self.side(way).next;
        self.emit(ts, way, seq, ACK, &[], out);
    }

    /// Advances the sequence without a packet: bytes that were sent and never seen.
    pub fn skip(&mut self, way: Direction, len: usize) {
        let side = self.side_mut(way);
        side.next = side.next.wrapping_add(len as u32);
    }

    /// FIN of both sides, `first` closing first; gives the time after.
    pub fn close(&mut self, ts: Ts, first: Direction, rtt: i64, out: &mut Vec<Packet>) -> Ts {
        self.control(ts, first, FIN | ACK, out);
        let ts = ts.plus(rtt.max(100_000));
        self.control(ts, first.opposite(), FIN | ACK, out);
        let ts = ts.plus(40_000);
        self.acknowledge(ts, first, out);
        ts
    }

    /// FIN of one side.
    pub fn finish(&mut self, ts: Ts, way: Direction, out: &mut Vec<Packet>) {
        self.control(ts, way, FIN | ACK, out);
    }

    /// A reset.
    pub fn reset(&mut self, ts: Ts, way: Direction, out: &mut Vec<Packet>) {
        self.control(ts, way, RST | ACK, out);
    }

    fn control(&mut self, ts: Ts, way: Direction, flags: u8, out: &mut Vec<Packet>) {
        self.segment(ts, way, flags, &[], out);
        if flags & (SYN | FIN) != 0 {
            self.skip(way, 1);
        }
    }

    fn emit(&mut self, ts: Ts, way: Direction, seq: u32, flags: u8, payload: &[u8], out: &mut Vec<Packet>) {
        let (from, to) = match way {
            Direction::Up => (&mut self.client, &self.server),
            Direction::Down => (&mut self.server, &self.client),
        };
        let options = options(flags, self.timestamps.then(|| (from.stamp(ts), from.heard)));
        let has_ack = flags & ACK != 0;
        let tcp = Tcp {
            src: from.addr,
            dst: to.addr,
            seq,
            ack: if has_ack { to.next } else { 0 },
            flags,
            window: if flags & SYN != 0 { 64_240 } else { from.window },
            urgent: 0,
            options: &options,
            payload,
            ttl: from.ttl,
            id: from.id,
        };
        from.id = from.id.wrapping_add(1);
        let mut ip = Vec::with_capacity(60 + payload.len());
        push_tcp(&mut ip, &tcp);
        let heard = from.stamp(ts);
        self.side_mut(way.opposite()).heard = heard;
        let up = way == Direction::Up;
        if if up { self.sees.0 } else { self.sees.1 } {
            out.push(Packet::new(ts, self.framing.frame(&ip, up)));
        }
    }

    const fn side(&self, way: Direction) -> &Side {
        match way {
            Direction::Up => &self.client,
            Direction::Down => &self.server,
        }
    }

    const fn side_mut(&mut self, way: Direction) -> &mut Side {
        match way {
            Direction::Up => &mut self.client,
            Direction::Down => &mut self.server,
        }
    }
}

impl Side {
    fn stamp(&self, ts: Ts) -> u32 {
        self.clock.wrapping_add((ts.0 / 1_000_000) as u32)
    }
}

/// TCP options: MSS, SACK and window scale on SYN; timestamps.
fn options(flags: u8, stamps: Option<(u32, u32)>) -> Vec<u8> {
    let mut options = Vec::with_capacity(20);
    let syn = flags & SYN != 0;
    if syn {
        options.extend_from_slice(&[2, 4, 5, 0xb4, 4, 2]);
    }
    if let Some((own, heard)) = stamps {
        options.extend_from_slice(if syn { &[8, 10] } else { &[1, 1, 8, 10] });
        options.extend_from_slice(&own.to_be_bytes());
        options.extend_from_slice(&heard.to_be_bytes());
    }
    if syn {
        options.extend_from_slice(if stamps.is_some() { &[1, 3, 3, 7] } else { &[1, 3, 3, 7, 1, 1] });
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        let socket: std::net::SocketAddr = text.parse().unwrap();
        Addr { ip: socket.ip(), port: socket.port() }
    }

    #[test]
    fn sequence_numbers_follow_the_bytes() {
        let framing = Framing { link: crate::LinkKind::Raw, ..Framing::default() };
        let (client, server) = (addr("192.0.2.1:4000"), addr("192.0.2.2:80"));
        let mut talk = Conversation::new(client, server, framing, 1).with_mss(4);
        let mut out = Vec::new();
        let ts = talk.open(Ts(0), 1_000_000, &mut out);
        let ts = talk.send(ts, Direction::Up, b"0123456789", 1000, &mut out);
        talk.resend(ts, Direction::Up, 10, b"0123", &mut out);
        talk.close(ts, Direction::Down, 1000, &mut out);
        let word = |p: &Packet, at: usize| u32::from_be_bytes(p.data[at..at + 4].try_into().unwrap());
        let up: Vec<u32> =
            out.iter().filter(|p| p.data[12..16] == [192, 0, 2, 1]).map(|p| word(p, 24)).collect();
        let isn = up[0];
        let relative: Vec<u32> = up.iter().map(|s| s.wrapping_sub(isn)).collect();
        assert_eq!(relative, [0, 1, 1, 5, 9, 1, 11]);
        let header = |p: &Packet| usize::from(p.data[32] >> 4) * 4;
        assert_eq!((header(&out[0]), header(&out[2])), (40, 32));
    }
}
