//! What networks and mirrors do to packets: seeded loss, reordering, duplicates, overlaps, cuts, encapsulation, steps of time.
//!
//! Each function takes packets in the order of capture and gives them so again; rates are in a thousand packets. Functions that
//! look into packets know Ethernet (with VLAN tags), Linux cooked and raw IP, and pass on what they cannot read.

use std::net::IpAddr;

use sidetap_model::Addr;

use crate::tcpip::{Tcp, fragment, fragment6, push_tcp, seal_ipv4};
use crate::{Framing, LinkKind, Packet, Rng};

/// What overlapping segments carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overlap {
    /// The bytes of the stream.
    Same,
    /// Other bytes.
    Differs,
}

/// Leaves packets out.
pub fn lose(packets: &[Packet], rate: u32, rng: &mut Rng) -> Vec<Packet> {
    packets.iter().filter(|_| !hit(rate, rng)).cloned().collect()
}

/// Adds a second copy of packets, up to `distance` packets later: what a mirror of two ports shows, or a retransmission.
pub fn duplicate(packets: &[Packet], rate: u32, distance: usize, rng: &mut Rng) -> Vec<Packet> {
    let mut placed = Vec::with_capacity(packets.len());
    for (n, packet) in packets.iter().enumerate() {
        placed.push((n, packet.clone()));
        if hit(rate, rng) {
            placed.push((n + rng.index(distance + 1), packet.clone()));
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    in_time(placed.into_iter().map(|(_, p)| p).collect())
}

/// Moves packets up to `distance` places back. Times stay with the places.
pub fn reorder(packets: &[Packet], rate: u32, distance: usize, rng: &mut Rng) -> Vec<Packet> {
    reorder_where(packets, rate, distance, rng, |_| true)
}

/// Moves packets for which `may` holds up to `distance` places back.
pub fn reorder_where(
    packets: &[Packet],
    rate: u32,
    distance: usize,
    rng: &mut Rng,
    may: impl Fn(&Packet) -> bool,
) -> Vec<Packet> {
    let mut placed: Vec<(usize, &Packet)> = Vec::with_capacity(packets.len());
    for (n, packet) in packets.iter().enumerate() {
        let late = if may(packet) && hit(rate, rng) { 1 + rng.index(distance.max(1)) } else { 0 };
        placed.push((2 * (n + late) + usize::from(late > 0), packet));
    }
    placed.sort_by_key(|(place, _)| *place);
    let moved =
        placed.iter().zip(packets).map(|((_, moved), place)| Packet { ts: place.ts, ..(*moved).clone() });
    moved.collect()
}

/// Adds, behind segments with data, one that overlaps their second half and goes on with nothing new.
pub fn overlap(packets: &[Packet], link: LinkKind, rate: u32, kind: Overlap, rng: &mut Rng) -> Vec<Packet> {
    let mut out = Vec::with_capacity(packets.len());
    for packet in packets {
        out.push(packet.clone());
        if !hit(rate, rng) {
            continue;
        }
        let again = rewrite(packet, link, |tcp, payload| {
            let half = payload.len() / 2;
            let tail = payload.get(half..).unwrap_or_default();
            let tail = tail.iter().map(|b| if kind == Overlap::Same { *b } else { b ^ 0x20 }).collect();
            vec![(tcp.seq.wrapping_add(half as u32), tail)]
        });
        out.extend(again.unwrap_or_default());
    }
    out
}

/// Cuts segments into pieces of random sizes.
pub fn resegment(packets: &[Packet], link: LinkKind, rate: u32, rng: &mut Rng) -> Vec<Packet> {
    let mut out = Vec::with_capacity(packets.len());
    for packet in packets {
        let cut = hit(rate, rng).then(|| {
            rewrite(packet, link, |tcp, payload| {
                let at = 1 + rng.index(payload.len().saturating_sub(1).max(1));
                let (a, b) = payload.split_at(at.min(payload.len()));
                [(tcp.seq, a.to_vec()), (tcp.seq.wrapping_add(a.len() as u32), b.to_vec())]
                    .into_iter()
                    .filter(|(_, part)| !part.is_empty())
                    .collect()
            })
        });
        match cut.flatten() {
            Some(pieces) => out.extend(pieces),
            None => out.push(packet.clone()),
        }
    }
    out
}

/// Cuts packets at a snap length.
pub fn snap(packets: &[Packet], len: usize) -> Vec<Packet> {
    let cut = |p: &Packet| {
        let mut p = p.clone();
        p.data.truncate(len);
        p
    };
    packets.iter().map(cut).collect()
}

/// Frames packets anew: other link layer, tags, encapsulations.
pub fn reframe(
    packets: &[Packet],
    link: LinkKind,
    framing: &Framing,
    client: impl Fn(IpAddr) -> bool,
) -> Vec<Packet> {
    let wrap = |p: &Packet| {
        let ip = p.data.get(ip_offset(&p.data, link)?..)?;
        let up = client(source(ip)?);
        Some(Packet { interface: p.interface, ..Packet::new(p.ts, framing.frame(ip, up)) })
    };
    packets.iter().map(|p| wrap(p).unwrap_or_else(|| p.clone())).collect()
}

/// Cuts IP packets into fragments of at most `mtu` bytes. A packet of IPv4 without an identification gets one.
pub fn fragments(packets: &[Packet], link: LinkKind, mtu: usize) -> Vec<Packet> {
    let mut out = Vec::with_capacity(packets.len());
    for (n, packet) in packets.iter().enumerate() {
        let Some((head, ip)) = ip_offset(&packet.data, link).and_then(|at| packet.data.split_at_checked(at))
        else {
            out.push(packet.clone());
            continue;
        };
        let parts = match ip {
            [0x45, _, _, _, 0, 0, ..] => {
                let mut numbered = ip.to_vec();
                numbered[4..6].copy_from_slice(&(n as u16).wrapping_add(1).to_be_bytes());
                seal_ipv4(&mut numbered, 0);
                fragment(&numbered, mtu)
            }
            [first, ..] if first >> 4 == 6 => fragment6(ip, mtu, n as u32),
            _ => fragment(ip, mtu),
        };
        out.extend(parts.into_iter().map(|part| Packet::new(packet.ts, [head, &part].concat())));
    }
    out
}

/// Where the mirror sees packets of an Ethernet a second time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Twin {
    /// In the same VLAN, unchanged.
    Same,
    /// In this VLAN besides.
    Vlan(u16),
    /// Behind a router: other link-layer addresses, one off the time to live.
    Routed,
}

/// Adds to packets a second sight of them, `nanos` later: what mirrors of several ports show.
pub fn twins(packets: &[Packet], rate: u32, twin: Twin, nanos: i64, rng: &mut Rng) -> Vec<Packet> {
    let mut out = packets.to_vec();
    for packet in packets {
        if hit(rate, rng) {
            let data = second_sight(&packet.data, twin);
            out.push(Packet { interface: packet.interface, ..Packet::new(packet.ts.plus(nanos), data) });
        }
    }
    out.sort_by_key(|p| p.ts);
    out
}

fn second_sight(frame: &[u8], twin: Twin) -> Vec<u8> {
    let mut data = frame.to_vec();
    match twin {
        Twin::Same => {}
        Twin::Vlan(id) => {
            let [a, b] = (id & 0xfff).to_be_bytes();
            data.splice(12..12, [0x81, 0, a, b]);
        }
        Twin::Routed => {
            data.iter_mut().take(12).for_each(|b| *b ^= 0x44);
            match ip_offset(&data, LinkKind::Ethernet) {
                Some(at) if data.get(at).is_some_and(|b| b >> 4 == 6) => data[at + 7] -= 1,
                Some(at) => {
                    data[at + 8] -= 1;
                    seal_ipv4(&mut data, at);
                }
                None => {}
            }
        }
    }
    data
}

/// Sets the clock from the `from`th packet on by this many nanoseconds, forward or back.
pub fn step_time(packets: &[Packet], from: usize, nanos: i64) -> Vec<Packet> {
    let step = |(n, p): (usize, &Packet)| {
        let ts = if n < from { p.ts } else { p.ts.plus(nanos) };
        Packet { ts, ..p.clone() }
    };
    packets.iter().enumerate().map(step).collect()
}

fn hit(rate: u32, rng: &mut Rng) -> bool {
    rng.below(1000) < u64::from(rate)
}

/// Gives each packet a time not before that of the one in front of it.
fn in_time(mut packets: Vec<Packet>) -> Vec<Packet> {
    let mut last = packets.first().map(|p| p.ts).unwrap_or_default();
    for packet in &mut packets {
        packet.ts = packet.ts.max(last);
        last = packet.ts;
    }
    packets
}

/// Replaces a segment with data by others of the same head; `None` where it carries none.
fn rewrite(
    packet: &Packet,
    link: LinkKind,
    make: impl FnOnce(&Tcp<'_>, &[u8]) -> Vec<(u32, Vec<u8>)>,
) -> Option<Vec<Packet>> {
    let at = ip_offset(&packet.data, link)?;
    let (head, ip) = packet.data.split_at_checked(at)?;
    let tcp = read_tcp(ip)?;
    if tcp.payload.is_empty() {
        return None;
    }
    let packets = make(&tcp, tcp.payload).into_iter().map(|(seq, payload)| {
        let mut data = head.to_vec();
        push_tcp(&mut data, &Tcp { seq, payload: &payload, ..tcp });
        Packet { interface: packet.interface, ..Packet::new(packet.ts, data) }
    });
    Some(packets.collect())
}

fn ip_offset(data: &[u8], link: LinkKind) -> Option<usize> {
    let (mut at, mut kind) = match link {
        LinkKind::Raw => return Some(0),
        LinkKind::Null => return Some(4),
        LinkKind::Ethernet => (14, word(data, 12)?),
        LinkKind::Sll => (16, word(data, 14)?),
        LinkKind::Sll2 => (20, word(data, 0)?),
    };
    while matches!(kind, 0x8100 | 0x88a8) {
        kind = word(data, at + 2)?;
        at += 4;
    }
    matches!(kind, 0x0800 | 0x86dd).then_some(at)
}

fn source(ip: &[u8]) -> Option<IpAddr> {
    match ip.first()? >> 4 {
        4 => Some(IpAddr::from(*ip.get(12..)?.first_chunk::<4>()?)),
        _ => Some(IpAddr::from(*ip.get(8..)?.first_chunk::<16>()?)),
    }
}

fn read_tcp(ip: &[u8]) -> Option<Tcp<'_>> {
    let (start, protocol, dst, ttl, len) = match ip.first()? >> 4 {
        4 => {
            let dst = IpAddr::from(*ip.get(16..)?.first_chunk::<4>()?);
            (usize::from(ip[0] & 15) * 4, *ip.get(9)?, dst, *ip.get(8)?, usize::from(word(ip, 2)?))
        }
        _ => {
            let dst = IpAddr::from(*ip.get(24..)?.first_chunk::<16>()?);
            (40, *ip.get(6)?, dst, *ip.get(7)?, 40 + usize::from(word(ip, 4)?))
        }
    };
    let tcp = ip.get(start..len)?;
    let data = usize::from(*tcp.get(12)? >> 4) * 4;
    let long = |at: usize| tcp.get(at..)?.first_chunk::<4>().map(|b| u32::from_be_bytes(*b));
    (protocol == 6).then_some(())?;
    Some(Tcp {
        src: Addr { ip: source(ip)?, port: word(tcp, 0)? },
        dst: Addr { ip: dst, port: word(tcp, 2)? },
        seq: long(4)?,
        ack: long(8)?,
        flags: *tcp.get(13)?,
        window: word(tcp, 14)?,
        urgent: word(tcp, 18)?,
        options: tcp.get(20..data)?,
        payload: tcp.get(data..)?,
        ttl,
        id: word(ip, 4)?,
    })
}

fn word(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk::<2>().map(|b| u16::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialogue;

    fn packets(text: &str) -> Vec<Packet> {
        Dialogue::parse(text).unwrap().packets()
    }

    fn said(packets: &[Packet]) -> Vec<(u32, Vec<u8>)> {
        let read = |p: &Packet| {
            let tcp = read_tcp(&p.data[14..])?;
            (!tcp.payload.is_empty()).then(|| (tcp.seq, tcp.payload.to_vec()))
        };
        packets.iter().filter_map(read).collect()
    }

    const TALK: &str = ">>>\nabcdefgh\\\n<<<\n12345678\\\n~ split\n9\\\n";

    #[test]
    fn rates_of_zero_change_nothing_and_seeds_decide() {
        let all = packets(TALK);
        let mut rng = Rng::new(1);
        assert_eq!(lose(&all, 0, &mut rng), all);
        assert_eq!(reorder(&all, 0, 3, &mut rng), all);
        assert_eq!(duplicate(&all, 0, 3, &mut rng), all);
        assert!(lose(&all, 1000, &mut rng).is_empty());
        assert_eq!(duplicate(&all, 1000, 0, &mut rng).len(), all.len() * 2);
        let (a, b) = (reorder(&all, 500, 4, &mut Rng::new(9)), reorder(&all, 500, 4, &mut Rng::new(9)));
        assert!(a == b && a != all && a.is_sorted_by_key(|p| p.ts));
    }

    #[test]
    fn overlaps_and_cuts_keep_the_stream() {
        let all = packets(TALK);
        let mut rng = Rng::new(2);
        let first = said(&all)[0].0;
        let same = said(&overlap(&all, LinkKind::Ethernet, 1000, Overlap::Same, &mut rng));
        assert_eq!(same[1], (first + 4, b"efgh".to_vec()));
        let differs = said(&overlap(&all, LinkKind::Ethernet, 1000, Overlap::Differs, &mut rng));
        assert_eq!(differs[1], (first + 4, b"EFGH".to_vec()));
        let cut = said(&resegment(&all, LinkKind::Ethernet, 1000, &mut rng));
        assert!(cut.len() > 3);
        let joined: Vec<u8> = cut.into_iter().flat_map(|(_, bytes)| bytes).collect();
        assert_eq!(joined, b"abcdefgh123456789");
    }

    #[test]
    fn frames_are_cut_wrapped_and_shifted() {
        let all = packets(TALK);
        assert!(snap(&all, 60).iter().all(|p| p.data.len() <= 60 && p.orig_len >= 66));
        let tagged = Framing { vlans: vec![5], ..Framing::default() };
        let wrapped = reframe(&all, LinkKind::Ethernet, &tagged, |ip| ip == IpAddr::from([192, 0, 2, 10]));
        assert_eq!(wrapped[0].data.len(), all[0].data.len() + 4);
        assert_eq!(wrapped[0].data[18..], all[0].data[14..]);
        let pieces = fragments(&all, LinkKind::Ethernet, 48);
        assert!(pieces.len() > all.len());
        let stepped = step_time(&all, 2, -1_000);
        assert_eq!((stepped[1].ts, stepped[2].ts), (all[1].ts, all[2].ts.plus(-1_000)));
    }
}
