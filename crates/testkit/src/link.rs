//! Link layers and encapsulations: from an IP packet to the frame that a mirror port shows.

use std::net::IpAddr;

use sidetap_model::Addr;

use crate::tcpip::{push_ip, push_udp};

/// The outermost layer of a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinkKind {
    /// Ethernet, DLT 1.
    #[default]
    Ethernet,
    /// Linux cooked v1, DLT 113.
    Sll,
    /// Linux cooked v2, DLT 276.
    Sll2,
    /// Raw IP, DLT 101.
    Raw,
    /// BSD loopback, DLT 0, little-endian.
    Null,
}

impl LinkKind {
    /// The LINKTYPE number of capture files.
    pub const fn number(self) -> u32 {
        match self {
            LinkKind::Ethernet => 1,
            LinkKind::Sll => 113,
            LinkKind::Sll2 => 276,
            LinkKind::Raw => 101,
            LinkKind::Null => 0,
        }
    }
}

/// What stands between the link layer and the IP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encapsulation {
    /// VXLAN over IPv4 (RFC 7348), holding an Ethernet frame.
    Vxlan(u32),
    /// GENEVE over IPv4 (RFC 8926) with one option, holding an Ethernet frame.
    Geneve(u32),
    /// GRE over IPv4 (RFC 2784), holding the IP packet.
    Gre,
    /// GRE over IPv4 holding an Ethernet frame (transparent bridging), with a key (RFC 2890).
    GreEthernet(u32),
    /// GRE over IPv4 with checksum, key and sequence number (RFC 2890), holding the IP packet.
    GreFull(u32),
    /// ERSPAN I: GRE without sequence number, holding an Ethernet frame.
    Erspan1,
    /// ERSPAN II of this session.
    Erspan2(u16),
    /// ERSPAN III of this session, with its optional subheader.
    Erspan3(u16),
    /// IP in IPv4 (RFC 2003, RFC 4213).
    IpIp,
    /// IP in IPv6 (RFC 2473).
    IpIn6,
    /// VXLAN-GPE over IPv4, holding the IP packet.
    VxlanGpe(u32),
    /// GTP-U over IPv4 with an extension header (3GPP TS 29.281), holding the IP packet.
    GtpU(u32),
    /// TZSP over IPv4, holding an Ethernet frame.
    Tzsp,
    /// Teredo over IPv4 (RFC 4380), holding an IPv6 packet.
    Teredo,
    /// One MPLS label (RFC 3032). Ethernet only.
    Mpls(u32),
    /// A pseudowire: two MPLS labels and a control word (RFC 4448), holding an Ethernet frame. Ethernet only.
    MplsEthernet(u32),
    /// 802.1ah of this service, holding an Ethernet frame. Ethernet only.
    Pbb(u32),
    /// Cisco's VN-Tag. Ethernet only.
    VnTag,
    /// Network Service Header (RFC 8300). Ethernet only.
    Nsh,
    /// PPPoE session (RFC 2516). Ethernet only.
    Pppoe(u16),
}

/// How IP packets are framed.
#[derive(Clone, Debug, Default)]
pub struct Framing {
    /// The outermost layer.
    pub link: LinkKind,
    /// VLAN tags, outermost first: 802.1Q for one, 802.1ad outside for two.
    pub vlans: Vec<u16>,
    /// Encapsulations, outermost first.
    pub encapsulations: Vec<Encapsulation>,
}

impl Framing {
    /// The frame of an IP packet that goes `up` (to the server) or down.
    pub fn frame(&self, ip: &[u8], up: bool) -> Vec<u8> {
        let mut inner = ip.to_vec();
        let mut ether_type = ip_type(ip);
        for layer in self.encapsulations.iter().rev() {
            (inner, ether_type) = wrap(*layer, &inner, ether_type, up);
        }
        self.outermost(&inner, ether_type, up)
    }

    fn outermost(&self, inner: &[u8], ether_type: u16, up: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(inner.len() + 40);
        match self.link {
            LinkKind::Ethernet => push_ethernet(&mut out, &self.vlans, ether_type, up),
            LinkKind::Sll => {
                out.extend_from_slice(&[0, if up { 0 } else { 4 }, 0, 1, 0, 6]);
                out.extend_from_slice(&mac(up));
                out.extend_from_slice(&[0, 0]);
                out.extend_from_slice(&ether_type.to_be_bytes());
            }
            LinkKind::Sll2 => {
                out.extend_from_slice(&ether_type.to_be_bytes());
                out.extend_from_slice(&[0, 0, 0, 0, 0, 2, 0, 1, if up { 0 } else { 4 }, 6]);
                out.extend_from_slice(&mac(up));
                out.extend_from_slice(&[0, 0]);
            }
            LinkKind::Raw => {}
            LinkKind::Null => out.extend_from_slice(&[if ether_type == IPV6 { 30 } else { 2 }, 0, 0, 0]),
        }
        out.extend_from_slice(inner);
        out
    }
}

/// Appends an Ethernet header.
pub fn push_ethernet(out: &mut Vec<u8>, vlans: &[u16], ether_type: u16, up: bool) {
    out.extend_from_slice(&mac(!up));
    out.extend_from_slice(&mac(up));
    for (n, vlan) in vlans.iter().enumerate() {
        let tag: u16 = if n + 1 < vlans.len() { 0x88a8 } else { 0x8100 };
        out.extend_from_slice(&tag.to_be_bytes());
        out.extend_from_slice(&(vlan & 0xfff).to_be_bytes());
    }
    out.extend_from_slice(&ether_type.to_be_bytes());
}

/// The EtherType of an IP packet.
pub fn ip_type(ip: &[u8]) -> u16 {
    if ip.first().is_some_and(|b| b >> 4 == 6) { IPV6 } else { IPV4 }
}

fn wrap(layer: Encapsulation, inner: &[u8], ether_type: u16, up: bool) -> (Vec<u8>, u16) {
    let mut out = Vec::with_capacity(inner.len() + 80);
    match layer {
        Encapsulation::Vxlan(vni) => {
            let mut payload = vec![8, 0, 0, 0];
            payload.extend_from_slice(&(vni << 8).to_be_bytes());
            push_ethernet(&mut payload, &[], ether_type, up);
            payload.extend_from_slice(inner);
            push_udp(&mut out, tunnel(up, 49_000), tunnel(!up, 4789), &payload);
        }
        Encapsulation::Geneve(vni) => {
            let mut payload = vec![2, 0, 0x65, 0x58];
            payload.extend_from_slice(&(vni << 8).to_be_bytes());
            payload.extend_from_slice(&[0x01, 0x02, 0x80, 0x01, 0, 0, 0, 42]);
            push_ethernet(&mut payload, &[], ether_type, up);
            payload.extend_from_slice(inner);
            push_udp(&mut out, tunnel(up, 49_001), tunnel(!up, 6081), &payload);
        }
        Encapsulation::Gre => {
            push_ip(&mut out, tunnel(up, 0).ip, tunnel(!up, 0).ip, 47, inner.len() + 4, 64, 0);
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&ether_type.to_be_bytes());
            out.extend_from_slice(inner);
        }
        Encapsulation::GreEthernet(key) => {
            push_ip(&mut out, tunnel(up, 0).ip, tunnel(!up, 0).ip, 47, inner.len() + 22, 64, 0);
            out.extend_from_slice(&[0x20, 0, 0x65, 0x58]);
            out.extend_from_slice(&key.to_be_bytes());
            push_ethernet(&mut out, &[], ether_type, up);
            out.extend_from_slice(inner);
        }
        Encapsulation::GreFull(key) => {
            push_ip(&mut out, tunnel(up, 0).ip, tunnel(!up, 0).ip, 47, inner.len() + 16, 64, 0);
            out.extend_from_slice(&[0xb0, 0]);
            out.extend_from_slice(&ether_type.to_be_bytes());
            out.extend_from_slice(&[0, 0, 0, 0]);
            out.extend_from_slice(&key.to_be_bytes());
            out.extend_from_slice(&[0, 0, 0, 9]);
            out.extend_from_slice(inner);
        }
        Encapsulation::Erspan1 => push_erspan(&mut out, &[0, 0, 0x88, 0xbe], inner, ether_type, up),
        Encapsulation::Erspan2(session) => {
            let [a, b] = (session & 0x3ff).to_be_bytes();
            let head = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, a, b, 0, 0, 0, 0];
            push_erspan(&mut out, &head, inner, ether_type, up);
        }
        Encapsulation::Erspan3(session) => {
            let [a, b] = (session & 0x3ff).to_be_bytes();
            let head = [
                0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, a, b, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                0,
            ];
            push_erspan(&mut out, &head, inner, ether_type, up);
        }
        Encapsulation::VxlanGpe(vni) => {
            let mut payload = vec![0x0c, 0, 0, if ether_type == IPV6 { 2 } else { 1 }];
            payload.extend_from_slice(&(vni << 8).to_be_bytes());
            payload.extend_from_slice(inner);
            push_udp(&mut out, tunnel(up, 49_002), tunnel(!up, 4790), &payload);
        }
        Encapsulation::GtpU(teid) => {
            let mut payload = vec![0x34, 0xff];
            payload.extend_from_slice(&((inner.len() + 8) as u16).to_be_bytes());
            payload.extend_from_slice(&teid.to_be_bytes());
            payload.extend_from_slice(&[0, 0, 0, 0x85, 1, 0x10, 1, 0]);
            payload.extend_from_slice(inner);
            push_udp(&mut out, tunnel(up, 2152), tunnel(!up, 2152), &payload);
        }
        Encapsulation::Tzsp => {
            let mut payload = vec![1, 0, 0, 1, 10, 1, 0xd0, 0, 1];
            push_ethernet(&mut payload, &[], ether_type, up);
            payload.extend_from_slice(inner);
            push_udp(&mut out, tunnel(up, 49_003), tunnel(!up, 37_008), &payload);
        }
        Encapsulation::Teredo => {
            let mut payload = vec![0, 0, 0x63, 0xbf, 0x3f, 0xff, 0xfd, 0xf8];
            payload.extend_from_slice(inner);
            push_udp(&mut out, tunnel(up, 49_004), tunnel(!up, 3544), &payload);
        }
        Encapsulation::IpIn6 => {
            let protocol = if ether_type == IPV6 { 41 } else { 4 };
            let end = |up: bool| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, if up { 1 } else { 2 }]);
            push_ip(&mut out, end(up), end(!up), protocol, inner.len(), 64, 0);
            out.extend_from_slice(inner);
            return (out, IPV6);
        }
        Encapsulation::MplsEthernet(label) => {
            out.extend_from_slice(&((label + 1) << 12 | 64).to_be_bytes());
            out.extend_from_slice(&(label << 12 | 0x100 | 64).to_be_bytes());
            out.extend_from_slice(&[0, 0, 0, 7]);
            push_ethernet(&mut out, &[], ether_type, up);
            out.extend_from_slice(inner);
            return (out, 0x8847);
        }
        Encapsulation::Pbb(service) => {
            out.extend_from_slice(&(service & 0xff_ffff).to_be_bytes());
            push_ethernet(&mut out, &[], ether_type, up);
            out.extend_from_slice(inner);
            return (out, 0x88e7);
        }
        Encapsulation::VnTag => {
            out.extend_from_slice(&[0, 5, 0, 6]);
            out.extend_from_slice(&ether_type.to_be_bytes());
            out.extend_from_slice(inner);
            return (out, 0x8926);
        }
        Encapsulation::Nsh => {
            out.extend_from_slice(&[0x0f, 0xc2, 2, if ether_type == IPV6 { 2 } else { 1 }, 0, 0, 7, 0xff]);
            out.extend_from_slice(inner);
            return (out, 0x894f);
        }
        Encapsulation::IpIp => {
            let protocol = if ether_type == IPV6 { 41 } else { 4 };
            push_ip(&mut out, tunnel(up, 0).ip, tunnel(!up, 0).ip, protocol, inner.len(), 64, 0);
            out.extend_from_slice(inner);
        }
        Encapsulation::Mpls(label) => {
            out.extend_from_slice(&(label << 12 | 0x100 | 64).to_be_bytes());
            out.extend_from_slice(inner);
            return (out, 0x8847);
        }
        Encapsulation::Pppoe(session) => {
            out.extend_from_slice(&[0x11, 0]);
            out.extend_from_slice(&session.to_be_bytes());
            out.extend_from_slice(&((inner.len() + 2) as u16).to_be_bytes());
            out.extend_from_slice(&(if ether_type == IPV6 { 0x57u16 } else { 0x21 }).to_be_bytes());
            out.extend_from_slice(inner);
            return (out, 0x8864);
        }
    }
    (out, IPV4)
}

/// GRE over IPv4 that begins with `head`, holding an Ethernet frame.
fn push_erspan(out: &mut Vec<u8>, head: &[u8], inner: &[u8], ether_type: u16, up: bool) {
    push_ip(out, tunnel(up, 0).ip, tunnel(!up, 0).ip, 47, head.len() + 14 + inner.len(), 64, 0);
    out.extend_from_slice(head);
    push_ethernet(out, &[], ether_type, up);
    out.extend_from_slice(inner);
}

/// The address of a tunnel's end: on the clients' side or the servers'.
fn tunnel(up: bool, port: u16) -> Addr {
    Addr { ip: IpAddr::from([172, 31, 255, if up { 1 } else { 2 }]), port }
}

fn mac(client: bool) -> [u8; 6] {
    [2, 0, 0x5e, 0, 0, if client { 0xc1 } else { 0x5e }]
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_with_the_packet_they_carry() {
        let mut ip = Vec::new();
        push_ip(&mut ip, IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]), 6, 4, 64, 1);
        ip.extend_from_slice(b"body");
        let all = [
            (Encapsulation::Vxlan(7), 14 + 20 + 8 + 8 + 14),
            (Encapsulation::Geneve(7), 14 + 20 + 8 + 16 + 14),
            (Encapsulation::Gre, 14 + 24),
            (Encapsulation::GreEthernet(9), 14 + 28 + 14),
            (Encapsulation::GreFull(9), 14 + 36),
            (Encapsulation::Erspan1, 14 + 24 + 14),
            (Encapsulation::Erspan2(9), 14 + 36 + 14),
            (Encapsulation::Erspan3(9), 14 + 48 + 14),
            (Encapsulation::VxlanGpe(7), 14 + 20 + 8 + 8),
            (Encapsulation::GtpU(7), 14 + 20 + 8 + 16),
            (Encapsulation::Tzsp, 14 + 20 + 8 + 9 + 14),
            (Encapsulation::Teredo, 14 + 20 + 8 + 8),
            (Encapsulation::MplsEthernet(100), 14 + 12 + 14),
            (Encapsulation::Pbb(100), 14 + 4 + 14),
            (Encapsulation::VnTag, 14 + 6),
            (Encapsulation::Nsh, 14 + 8),
            (Encapsulation::IpIn6, 14 + 40),
            (Encapsulation::IpIp, 14 + 20),
            (Encapsulation::Mpls(100), 14 + 4),
            (Encapsulation::Pppoe(3), 14 + 8),
        ];
        for (layer, offset) in all {
            let framing = Framing { encapsulations: vec![layer], ..Framing::default() };
            let frame = framing.frame(&ip, true);
            assert_eq!(frame[offset..], ip, "{layer:?}");
        }
        let tagged = Framing { vlans: vec![10, 20], ..Framing::default() }.frame(&ip, false);
        assert_eq!(tagged[12..22], [0x88, 0xa8, 0, 10, 0x81, 0, 0, 20, 8, 0]);
        for (link, offset) in
            [(LinkKind::Sll, 16), (LinkKind::Sll2, 20), (LinkKind::Raw, 0), (LinkKind::Null, 4)]
        {
            assert_eq!(Framing { link, ..Framing::default() }.frame(&ip, true)[offset..], ip);
        }
    }
}
