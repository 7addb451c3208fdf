//! What lies around the packets of a mirror: tags and tunnels.

use sidetap_capture::{LinkType, Packet};

/// What the outermost headers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outer {
    /// 802.1Q or QinQ.
    pub(super) tagged: bool,
    /// The innermost VLAN, 0 where there is none.
    pub(super) vlan: u16,
    /// The identification of the outermost IPv4 header; 0 where there is none.
    pub(super) id: u16,
    /// Where the outermost IP header begins, where there is one after the tags.
    pub(super) ip: Option<usize>,
    /// The outermost IP header carries something else than TCP (or there is another header before IP).
    pub(super) tunnelled: bool,
}

/// Reads the outermost headers of a packet in which TCP was found.
pub(super) fn outer(packet: &Packet<'_>) -> Outer {
    let mut out = Outer::default();
    let mut at = match packet.link {
        LinkType::ETHERNET => 12,
        _ => return out,
    };
    let word = |at: usize| {
        packet.data.get(at..at + 2).and_then(|b| <[u8; 2]>::try_from(b).ok()).map(u16::from_be_bytes)
    };
    while matches!(word(at), Some(0x8100 | 0x88a8 | 0x9100)) && at < 32 {
        out.tagged = true;
        out.vlan = word(at + 2).unwrap_or(0) & 0xfff;
        at += 4;
    }
    let protocol = match word(at) {
        Some(0x0800) => {
            out.id = word(at + 2 + 4).unwrap_or(0);
            packet.data.get(at + 2 + 9)
        }
        Some(0x86dd) => packet.data.get(at + 2 + 6),
        other => {
            out.tunnelled = other.is_some();
            return out;
        }
    };
    out.ip = Some(at + 2);
    // TCP, or an IPv6 extension header that TCP follows.
    out.tunnelled = !matches!(protocol, Some(6 | 0 | 43 | 44 | 51 | 60) | None);
    out
}

#[cfg(test)]
mod tests {
    use sidetap_model::Ts;

    use super::*;

    fn look(head: &[u8]) -> Outer {
        let mut data = vec![0u8; 12];
        data.extend_from_slice(head);
        data.resize(80, 0);
        outer(&Packet {
            ts: Ts(0),
            link: LinkType::ETHERNET,
            interface: 0,
            port: "",
            data: &data,
            orig_len: 80,
            block: None,
        })
    }

    #[test]
    fn tags_and_tunnels_are_told_apart() {
        let plain = [8, 0, 0x45, 0, 0, 0, 7, 9, 0, 0, 64, 6];
        let tagged = [0x81, 0, 0, 5, 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6];
        let vxlan = [8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17];
        let at = |ip| Outer { ip: Some(ip), ..Outer::default() };
        assert_eq!(look(&plain), Outer { id: 0x0709, ..at(14) });
        assert_eq!(look(&tagged), Outer { tagged: true, vlan: 5, ..at(18) });
        assert_eq!(look(&vxlan), Outer { tunnelled: true, ..at(14) });
        assert_eq!(look(&[0x88, 0x47]), Outer { tunnelled: true, ..Outer::default() });
    }
}
