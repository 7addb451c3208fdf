//! IP packets with TCP or UDP, with correct lengths and checksums.

use std::net::IpAddr;

use sidetap_model::Addr;

/// TCP flag FIN.
pub const FIN: u8 = 1;
/// TCP flag SYN.
pub const SYN: u8 = 2;
/// TCP flag RST.
pub const RST: u8 = 4;
/// TCP flag PSH.
pub const PSH: u8 = 8;
/// TCP flag ACK.
pub const ACK: u8 = 16;
/// TCP flag URG.
pub const URG: u8 = 32;

/// One TCP segment with what its IP header says.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Sender.
    pub src: Addr,
    /// Receiver.
    pub dst: Addr,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// Window as written.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options, a multiple of four bytes long.
    pub options: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv4 identification.
    pub id: u16,
}

/// Appends the IP packet of a TCP segment. Both addresses are of one family.
pub fn push_tcp(out: &mut Vec<u8>, tcp: &Tcp<'_>) {
    let head = 20 + tcp.options.len();
    push_ip(out, tcp.src.ip, tcp.dst.ip, 6, head + tcp.payload.len(), tcp.ttl, tcp.id);
    let start = out.len();
    out.extend_from_slice(&tcp.src.port.to_be_bytes());
    out.extend_from_slice(&tcp.dst.port.to_be_bytes());
    out.extend_from_slice(&tcp.seq.to_be_bytes());
    out.extend_from_slice(&tcp.ack.to_be_bytes());
    out.push((head as u8) << 2);
    out.push(tcp.flags);
    out.extend_from_slice(&tcp.window.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&tcp.urgent.to_be_bytes());
    out.extend_from_slice(tcp.options);
    out.extend_from_slice(tcp.payload);
    seal(out, start, 16, tcp.src.ip, tcp.dst.ip, 6);
}

/// Appends the IP packet of a UDP datagram.
pub fn push_udp(out: &mut Vec<u8>, src: Addr, dst: Addr, payload: &[u8]) {
    let len = 8 + payload.len();
    push_ip(out, src.ip, dst.ip, 17, len, 64, 0);
    let start = out.len();
    out.extend_from_slice(&src.port.to_be_bytes());
    out.extend_from_slice(&dst.port.to_be_bytes());
    out.extend_from_slice(&(len as u16).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    seal(out, start, 6, src.ip, dst.ip, 17);
}

/// Appends an IP header for `len` bytes of `protocol`.
pub fn push_ip(out: &mut Vec<u8>, src: IpAddr, dst: IpAddr, protocol: u8, len: usize, ttl: u8, id: u16) {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let start = out.len();
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&((20 + len) as u16).to_be_bytes());
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&[0x40, 0, ttl, protocol, 0, 0]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
            seal_ipv4(out, start);
        }
        (src, dst) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(len as u16).to_be_bytes());
            out.extend_from_slice(&[protocol, ttl]);
            out.extend_from_slice(&v6(src));
            out.extend_from_slice(&v6(dst));
        }
    }
}

/// The fragments of an IPv4 packet without options (or of a fragment), of at most `mtu` bytes each; the packet itself where it fits or is no IPv4.
pub fn fragment(ip: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let Some((head, body)) = ip.split_at_checked(20) else { return vec![ip.to_vec()] };
    if head[0] != 0x45 || ip.len() <= mtu {
        return vec![ip.to_vec()];
    }
    let room = (mtu.saturating_sub(20) / 8).max(1) * 8;
    let count = body.len().div_ceil(room);
    let before = u16::from_be_bytes([head[6], head[7]]) & 0x3fff;
    let parts = body.chunks(room).enumerate().map(|(n, part)| {
        let mut out = head.to_vec();
        let more = if n + 1 < count { 0x2000 } else { 0 };
        let field = (more | before) + (n * room / 8) as u16;
        out.splice(2..4, ((20 + part.len()) as u16).to_be_bytes());
        out.splice(6..8, field.to_be_bytes());
        out.extend_from_slice(part);
        seal_ipv4(&mut out, 0);
        out
    });
    parts.collect()
}

/// The fragments of an IPv6 packet without extension headers, of at most `mtu` bytes each; the packet itself where it fits or is no IPv6.
pub fn fragment6(ip: &[u8], mtu: usize, id: u32) -> Vec<Vec<u8>> {
    let Some((head, body)) = ip.split_at_checked(40) else { return vec![ip.to_vec()] };
    if head[0] >> 4 != 6 || head[6] == 44 || ip.len() <= mtu {
        return vec![ip.to_vec()];
    }
    let room = (mtu.saturating_sub(48) / 8).max(1) * 8;
    let count = body.len().div_ceil(room);
    let parts = body.chunks(room).enumerate().map(|(n, part)| {
        let mut out = head.to_vec();
        let field = (n * room) as u16 | u16::from(n + 1 < count);
        out.splice(4..7, [((8 + part.len()) >> 8) as u8, (8 + part.len()) as u8, 44]);
        out.extend_from_slice(&[head[6], 0]);
        out.extend_from_slice(&field.to_be_bytes());
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(part);
        out
    });
    parts.collect()
}

/// Computes the checksum of the IPv4 header at `start` anew.
pub fn seal_ipv4(packet: &mut [u8], start: usize) {
    let Some(header) = packet.get_mut(start..start + 20) else { return };
    header[10..12].fill(0);
    let sum = fold(sum(header));
    header[10..12].copy_from_slice(&(!sum).to_be_bytes());
}

fn seal(packet: &mut [u8], start: usize, at: usize, src: IpAddr, dst: IpAddr, protocol: u8) {
    let len = packet.len() - start;
    let (a, b) = match (src, dst) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (sum(&a.octets()), sum(&b.octets())),
        (a, b) => (sum(&v6(a)), sum(&v6(b))),
    };
    let Some(data) = packet.get_mut(start..) else { return };
    let total = sum(data) + a + b + u64::from(protocol) + len as u64;
    let check = match !fold(total) {
        0 if protocol == 17 => 0xffff,
        check => check,
    };
    data[at..at + 2].copy_from_slice(&check.to_be_bytes());
}

/// The one's complement sum of 16-bit words (RFC 1071), not yet folded.
fn sum(data: &[u8]) -> u64 {
    let (words, rest) = data.as_chunks::<4>();
    let sum = words.iter().map(|w| u64::from(u32::from_be_bytes(*w))).sum::<u64>();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    sum + u64::from(u32::from_be_bytes(last))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        let socket: std::net::SocketAddr = text.parse().unwrap();
        Addr { ip: socket.ip(), port: socket.port() }
    }

    fn segment<'a>(src: &str, dst: &str, payload: &'a [u8]) -> Tcp<'a> {
        let (src, dst) = (addr(src), addr(dst));
        Tcp {
            src,
            dst,
            seq: 7,
            ack: 9,
            flags: ACK,
            window: 512,
            urgent: 0,
            options: &[],
            payload,
            ttl: 60,
            id: 3,
        }
    }

    #[test]
    fn checksums_come_out_as_zero_when_summed_over() {
        let mut out = Vec::new();
        push_tcp(&mut out, &segment("192.0.2.1:1000", "198.51.100.2:80", b"abcde"));
        assert_eq!(fold(sum(&out[..20])), 0xffff);
        let pseudo = sum(&out[12..20]) + 6 + 25;
        assert_eq!(fold(sum(&out[20..]) + pseudo), 0xffff);

        out.clear();
        push_tcp(&mut out, &segment("[2001:db8::1]:1000", "[2001:db8::2]:80", b"abc"));
        assert_eq!(fold(sum(&out[40..]) + sum(&out[8..40]) + 6 + 23), 0xffff);
        assert_eq!(out[4..6], [0, 23]);
    }

    #[test]
    fn fragments_carry_the_whole_packet() {
        let mut ip = Vec::new();
        push_tcp(&mut ip, &segment("192.0.2.1:1000", "198.51.100.2:80", &[7; 1000]));
        let parts = fragment(&ip, 300);
        assert!(parts.iter().all(|p| p.len() <= 300 && fold(sum(&p[..20])) == 0xffff));
        let body: Vec<u8> = parts.iter().flat_map(|p| p[20..].to_vec()).collect();
        assert_eq!(body, ip[20..]);
        assert_eq!(parts.last().unwrap()[6] & 0x20, 0);
        assert_eq!(fragment(&ip, 2000), [ip]);

        let mut ip = Vec::new();
        push_tcp(&mut ip, &segment("[2001:db8::1]:1000", "[2001:db8::2]:80", &[7; 1000]));
        let parts = fragment6(&ip, 300, 9);
        assert!(parts.iter().all(|p| p.len() <= 300 && p[6] == 44 && p[40] == 6));
        let body: Vec<u8> = parts.iter().flat_map(|p| p[48..].to_vec()).collect();
        assert_eq!((body, parts.last().unwrap()[43] & 1), (ip[40..].to_vec(), 0));
        assert_eq!(fragment6(&ip, 2000, 9), [ip]);
    }
}
