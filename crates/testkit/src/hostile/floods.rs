use std::io::{self, Write};
use std::net::IpAddr;

use sidetap_model::{Addr, Direction};

use super::{Tape, client, server};
use crate::link::push_ethernet;
use crate::tcpip::{ACK, SYN, Tcp, fragment, push_tcp, push_udp};
use crate::{Conversation, Encapsulation, Framing, LinkKind};

fn tcp<'a>(src: Addr, seq: u32, flags: u8, payload: &'a [u8]) -> Tcp<'a> {
    Tcp {
        src,
        dst: server(),
        seq,
        ack: 0,
        flags,
        window: 1024,
        urgent: 0,
        options: &[],
        payload,
        ttl: 50,
        id: 0,
    }
}

pub(super) fn syns<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    for n in 0..size {
        let mut ip = Vec::with_capacity(40);
        push_tcp(&mut ip, &tcp(client(n), n as u32, SYN, &[]));
        tape.frame(10_000, Framing::default().frame(&ip, true))?;
    }
    Ok(())
}

pub(super) fn half_open<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    for n in 0..size {
        let mut talk = tape.open(n)?;
        let half = format!(
            "POST /upload/{n} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4000\r\n\r\n{}",
            "x".repeat(700)
        );
        tape.send(&mut talk, Direction::Up, half.as_bytes())?;
    }
    Ok(())
}

pub(super) fn out_of_order<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    let mut talk = tape.open(1)?;
    talk.skip(Direction::Up, 1);
    let piece = [b'x'; 1000];
    for _ in 0..size.div_ceil(1000) {
        tape.send(&mut talk, Direction::Up, &piece)?;
        // A hole after each piece, so that none joins another.
        talk.skip(Direction::Up, 1);
    }
    Ok(())
}

/// An announced upload whose first bytes never come, then segments of which only the last byte is new.
pub(super) fn leftovers<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    const EACH: u32 = 800;
    let head = b"POST /upload HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 999999\r\n\r\n";
    let data = [b'x'; 1460];
    for n in 0..size {
        let src = client(n);
        let mut segments = vec![
            tcp(src, 0, SYN, &[]),
            Tcp { src: server(), dst: src, seq: 0, ack: 1, flags: SYN | ACK, ..tcp(src, 0, 0, &[]) },
            Tcp { ack: 1, ..tcp(src, 1, ACK, head) },
        ];
        segments.extend((0..EACH).map(|i| Tcp { ack: 1, ..tcp(src, 2_000 + i, ACK, &data) }));
        for segment in &segments {
            let mut ip = Vec::with_capacity(1500);
            push_tcp(&mut ip, segment);
            tape.frame(5_000, Framing::default().frame(&ip, true))?;
        }
    }
    Ok(())
}

/// All connections first, then a few bytes of each in turn.
pub(super) fn slow_drip<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    let mut talks: Vec<Conversation> = (0..size).map(|n| tape.open(n)).collect::<Result<_, _>>()?;
    // A round of all connections takes half a minute.
    let pause = 30_000_000_000 / size.max(1) as i64;
    let request = b"GET /drip HTTP/1.1\r\nHost: drip.example\r\nUser-Agent: drip\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    for (way, text) in [(Direction::Up, &request[..]), (Direction::Down, &response[..])] {
        for piece in text.chunks(16) {
            for talk in &mut talks {
                tape.ts = tape.ts.plus(pause);
                tape.send(talk, way, piece)?;
            }
        }
    }
    for _ in 0..10 {
        for talk in &mut talks {
            tape.ts = tape.ts.plus(pause);
            tape.send(talk, Direction::Down, b"drop")?;
        }
    }
    Ok(())
}

pub(super) fn random_bytes<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    for n in 0..size {
        let mut talk = tape.open(n)?;
        let bytes: Vec<u8> = (0..500).flat_map(|_| tape.rng.next_u64().to_le_bytes()).collect();
        tape.send(&mut talk, Direction::Up, &bytes)?;
        tape.send(&mut talk, Direction::Down, &bytes)?;
    }
    Ok(())
}

/// Of each datagram all but the first fragment, in 1,000 bytes.
pub(super) fn fragments<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    let mut left = size;
    let mut n = 0;
    while left > 0 {
        let mut ip = Vec::new();
        push_tcp(&mut ip, &Tcp { id: n as u16, ..tcp(client(n >> 8), 1, ACK, &[b'f'; 8000]) });
        for part in fragment(&ip, 1020).into_iter().skip(1).take(left as usize) {
            left -= 1;
            tape.frame(5_000, Framing::default().frame(&part, true))?;
        }
        n += 1;
    }
    Ok(())
}

/// In turn: VXLAN in VXLAN, GENEVE in GRE, IP in IP, GTP-U in GTP-U, each as deep as 1,400 bytes allow.
pub(super) fn tunnels<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    let mut ip = Vec::new();
    push_tcp(&mut ip, &tcp(client(7), 1, SYN, &[]));
    let of = |layers: Vec<Encapsulation>| {
        Framing { link: LinkKind::Ethernet, vlans: vec![3, 4], encapsulations: layers }.frame(&ip, true)
    };
    let nests = [
        of((0..25).map(Encapsulation::Vxlan).collect()),
        of((0..12).flat_map(|n| [Encapsulation::Geneve(n), Encapsulation::Gre]).collect()),
        of(vec![Encapsulation::IpIp; 60]),
        gtp(&ip, 33),
    ];
    for nest in nests.iter().cycle().take(size as usize) {
        tape.frame(5_000, nest.clone())?;
    }
    Ok(())
}

/// GTP-U (3GPP TS 29.281 §5.1) in GTP-U.
fn gtp(ip: &[u8], depth: usize) -> Vec<u8> {
    let node = |last| Addr { ip: IpAddr::from([172, 16, 0, last]), port: 2152 };
    let mut inner = ip.to_vec();
    for teid in 0..depth as u32 {
        let mut payload = vec![0x30, 0xff];
        payload.extend_from_slice(&(inner.len() as u16).to_be_bytes());
        payload.extend_from_slice(&teid.to_be_bytes());
        payload.extend_from_slice(&inner);
        inner.clear();
        push_udp(&mut inner, node(1), node(2), &payload);
    }
    let mut frame = Vec::with_capacity(inner.len() + 14);
    push_ethernet(&mut frame, &[], 0x0800, true);
    frame.extend_from_slice(&inner);
    frame
}
