use std::net::IpAddr;

use etherparse::err::ipv4::HeaderSliceError;
use etherparse::err::ipv6::HeaderSliceError as HeaderSliceError6;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::DropReason;
use super::bytes::Bytes;
use super::checksum;
use super::walk::{Context, IpFacts, Layer, Step, Walk};

const TRUNCATED: Step<'static> = Step::Drop(DropReason::Truncated);
const MALFORMED: Step<'static> = Step::Drop(DropReason::MalformedIp);

const IPV6_HEADER: usize = 40;
const EXTENSION_HEADERS: usize = 16;

/// A fragment of an IP datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) ends: (IpAddr, IpAddr),
    pub(super) id: u32,
    /// What the datagram carries, as this fragment says; of IPv6 the first fragment alone is believed (RFC 8200 §4.5).
    pub(super) protocol: u8,
    pub(super) offset: u32,
    pub(super) more: bool,
    pub(super) data: &'a [u8],
}

/// IPv4 or IPv6, by the version that the header names.
pub(super) fn any<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    match walk.data.first().map(|b| b >> 4) {
        Some(4) => v4(walk, cx),
        Some(6) => v6(walk, cx),
        Some(_) => MALFORMED,
        None => TRUNCATED,
    }
}

/// IPv4 (RFC 791 §3.1). A total length of 0 is a super-frame of segmentation off-load: all that is there.
fn v4<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    let head = match Ipv4HeaderSlice::from_slice(walk.data) {
        Ok(head) => head,
        Err(HeaderSliceError::Len(_)) => return TRUNCATED,
        Err(HeaderSliceError::Content(_)) => return MALFORMED,
    };
    let header_len = head.slice().len();
    let total = usize::from(head.total_len());
    let available = walk.data.len();
    let (end, cut) = match total {
        0 => (available, walk.cut),
        t if t < header_len => return MALFORMED,
        t => (t.min(available), (t - t.min(available)) as u32),
    };
    let Some(data) = walk.data.get(header_len..end) else { return TRUNCATED };
    let ends = (IpAddr::V4(head.source_addr()), IpAddr::V4(head.destination_addr()));
    let protocol = head.protocol().0;
    let (offset, more) = (u32::from(head.fragments_offset().value()) * 8, head.more_fragments());
    let (inner, foreign) = cx.enter(ends);
    cx.ip = IpFacts {
        id: u32::from(head.identification()),
        ttl: head.ttl(),
        sound: checksum::is_sound(head.slice()),
        unsized_: total == 0,
        inner,
        foreign,
    };
    if offset == 0 && !more {
        return Step::Into(Layer::Transport { protocol, ends }, Walk { data, cut });
    }
    if cut > 0 {
        return TRUNCATED;
    }
    Step::Fragment(Fragment { ends, id: cx.ip.id, protocol, offset, more, data })
}

/// IPv6 with its extension headers (RFC 8200 §4). A payload length of 0 is a jumbogram or a super-frame: all that is there.
fn v6<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    let head = match Ipv6HeaderSlice::from_slice(walk.data) {
        Ok(head) => head,
        Err(HeaderSliceError6::Len(_)) => return TRUNCATED,
        Err(HeaderSliceError6::Content(_)) => return MALFORMED,
    };
    let payload = usize::from(head.payload_length());
    let available = walk.data.len() - IPV6_HEADER;
    let (len, cut) = match payload {
        0 => (available, walk.cut),
        p => (p.min(available), (p - p.min(available)) as u32),
    };
    let Some(data) = walk.data.get(IPV6_HEADER..IPV6_HEADER + len) else { return TRUNCATED };
    let ends = (IpAddr::V6(head.source_addr()), IpAddr::V6(head.destination_addr()));
    let (inner, foreign) = cx.enter(ends);
    let (ttl, unsized_) = (head.hop_limit(), payload == 0);
    cx.ip = IpFacts { id: 0, ttl, sound: true, unsized_, inner, foreign };
    extensions(head.next_header().0, ends, Walk { data, cut })
}

fn extensions(mut protocol: u8, ends: (IpAddr, IpAddr), mut walk: Walk<'_>) -> Step<'_> {
    for _ in 0..EXTENSION_HEADERS {
        let len = match protocol {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => walk.data.u8(1).map(|n| (usize::from(n) + 1) * 8),
            // Authentication header (RFC 4302 §2.2).
            51 => walk.data.u8(1).map(|n| (usize::from(n) + 2) * 4),
            44 => return fragment6(ends, walk),
            _ => return Step::Into(Layer::Transport { protocol, ends }, walk),
        };
        let (Some(len), Some(next)) = (len, walk.data.u8(0)) else { return TRUNCATED };
        let Some(data) = walk.data.get(len..) else { return TRUNCATED };
        protocol = next;
        walk.data = data;
    }
    Step::Drop(DropReason::TooManyLayers)
}

/// The fragment header (RFC 8200 §4.5). An atomic fragment (RFC 6946) is whole by itself.
fn fragment6(ends: (IpAddr, IpAddr), walk: Walk<'_>) -> Step<'_> {
    let (Some(protocol), Some(place), Some(id)) = (walk.data.u8(0), walk.data.u16(2), walk.data.u32(4))
    else {
        return TRUNCATED;
    };
    let Some(data) = walk.data.get(8..) else { return TRUNCATED };
    let (offset, more) = (u32::from(place & 0xfff8), place & 1 != 0);
    if offset == 0 && !more {
        return Step::Into(Layer::Transport { protocol, ends }, Walk { data, cut: walk.cut });
    }
    if walk.cut > 0 {
        return TRUNCATED;
    }
    Step::Fragment(Fragment { ends, id, protocol, offset, more, data })
}

/// Extension headers met where a transport was due: in a reassembled IPv6 datagram, or AH over IPv4.
pub(super) fn extension_as_transport(protocol: u8, ends: (IpAddr, IpAddr), walk: Walk<'_>) -> Step<'_> {
    extensions(protocol, ends, walk)
}
