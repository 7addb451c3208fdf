//! The frames that nearly all traffic is in, read in one go.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::checksum;
use super::labels::{Label, Labels};
use super::link::VLAN_TAGS;
use super::tcp::Head;
use super::walk::{IpFacts, Walk};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP: u8 = 6;
/// Tags that are read; a frame with more takes the general way.
const MOST_TAGS: usize = 2;

/// Ethernet with its tags.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Sender, as in [`super::walk::Context`].
    pub(super) mac: u64,
    tags: [u16; MOST_TAGS],
    tagged: usize,
    v6: bool,
    data: &'a [u8],
}

/// A TCP segment in an IP packet that is whole and has no options.
#[derive(Clone, Copy)]
pub(super) struct Inner<'a, E> {
    pub(super) head: Head<'a, E>,
    pub(super) ip: IpFacts,
}

impl<'a> Frame<'a> {
    /// An Ethernet frame that names IP as what it carries, behind two VLAN tags at most.
    #[inline]
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        let [.., a, b, c, d, e, f, g, h] = *data.first_chunk::<14>()?;
        let tail = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let mut frame = Frame { mac: tail >> 16 | 1 << 63, tags: [0; 2], tagged: 0, v6: false, data };
        let (mut ethertype, mut at) = (tail as u16, 14);
        while VLAN_TAGS.contains(&ethertype) {
            let [tag, next] = *data.get(at..at + 4)?.as_chunks::<2>().0 else { return None };
            *frame.tags.get_mut(frame.tagged)? = u16::from_be_bytes(tag) & 0xfff;
            frame.tagged += 1;
            (ethertype, at) = (u16::from_be_bytes(next), at + 4);
        }
        frame.data = data.get(at..)?;
        match (ethertype, frame.data.first()? >> 4) {
            (0x0800 | 0x86dd, 4) => Some(frame),
            (0x0800 | 0x86dd, 6) => Some(Frame { v6: true, ..frame }),
            _ => None,
        }
    }

    #[inline]
    pub(super) const fn is_v6(&self) -> bool {
        self.v6
    }

    /// The VLANs that its tags name; number 0 is a priority alone.
    pub(super) fn labels(&self) -> Labels {
        let mut labels = Labels::default();
        let named = self.tags.iter().take(self.tagged).filter(|tag| **tag > 0);
        named.for_each(|tag| labels.push(Label::Vlan, u32::from(*tag)));
        labels
    }

    /// IPv4 without options, no fragment, with TCP in it.
    #[inline]
    pub(super) fn v4(&self) -> Option<Inner<'a, (Ipv4Addr, Ipv4Addr)>> {
        let header = self.data.first_chunk::<IPV4_HEADER>()?;
        let [first, _, t0, t1, i0, i1, f0, f1, ttl, protocol, _, _, a, b, c, d, e, f, g, h] = *header;
        let total = usize::from(u16::from_be_bytes([t0, t1]));
        let is_fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
        if first != 0x45 || protocol != TCP || is_fragment || total < IPV4_HEADER {
            return None;
        }
        let end = total.min(self.data.len());
        let walk = Walk { data: self.data.get(IPV4_HEADER..end)?, cut: (total - end) as u32 };
        let ends = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
        let sound = checksum::is_sound(header);
        let id = u32::from(u16::from_be_bytes([i0, i1]));
        let ip = IpFacts { id, ttl, sound, ..IpFacts::default() };
        Some(Inner { head: Head::plain(ends, walk)?, ip })
    }

    /// IPv6 with TCP next.
    #[inline]
    pub(super) fn v6(&self) -> Option<Inner<'a, (Ipv6Addr, Ipv6Addr)>> {
        let header = self.data.first_chunk::<IPV6_HEADER>()?;
        let (start, ends) = header.split_first_chunk::<8>()?;
        let [_, _, _, _, p0, p1, next, ttl] = *start;
        let payload = usize::from(u16::from_be_bytes([p0, p1]));
        if next != TCP || payload == 0 {
            return None;
        }
        let rest = self.data.get(IPV6_HEADER..)?;
        let len = payload.min(rest.len());
        let walk = Walk { data: rest.get(..len)?, cut: (payload - len) as u32 };
        let [from, to] = *ends.as_chunks::<16>().0 else { return None };
        let ip = IpFacts { ttl, sound: true, ..IpFacts::default() };
        Some(Inner { head: Head::plain((Ipv6Addr::from(from), Ipv6Addr::from(to)), walk)?, ip })
    }
}
