use std::net::IpAddr;

use super::labels::{Label, Labels};
use super::options::TunnelPorts;
use super::trust::TunnelTrust;
use super::{DropReason, ip, link, tcp, tunnel};

/// Headers one inside the other (tags, tunnels, extension headers), at most.
pub(super) const LAYERS: u32 = 24;

/// What the next header is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layer {
    Ethernet,
    EtherType(u16),
    /// IPv4 or IPv6, as its first nibble says.
    Ip,
    Ppp,
    PppProtocol(u16),
    Pppoe,
    Mpls,
    Llc,
    /// The payload of an IP packet.
    Transport {
        protocol: u8,
        ends: (IpAddr, IpAddr),
    },
    Gre,
    Ieee80211,
}

/// Where a walk through the headers is.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub(super) data: &'a [u8],
    /// Bytes that belong to the packet but were not captured.
    pub(super) cut: u32,
}

/// How a walk goes on.
pub(super) enum Step<'a> {
    Into(Layer, Walk<'a>),
    Tcp { ends: (IpAddr, IpAddr), walk: Walk<'a> },
    Fragment(ip::Fragment<'a>),
    Other,
    Drop(DropReason),
}

/// Where a walk ends.
pub(super) enum Walked<'a> {
    Tcp(tcp::Head<'a>),
    Fragment(ip::Fragment<'a>),
    Other,
    Dropped(DropReason),
}

/// What a walk learned on its way that its end needs.
#[derive(Clone, Copy)]
pub(super) struct Context<'o> {
    pub(super) ports: &'o TunnelPorts,
    trust: &'o TunnelTrust,
    /// The ends of the innermost IP header.
    ends: Option<(IpAddr, IpAddr)>,
    pub(super) labels: Labels,
    /// Sender on the innermost link layer that names one; 0 where none does.
    pub(super) mac: u64,
    /// The innermost IP header.
    pub(super) ip: IpFacts,
    /// A datagram on the way was put together of fragments that overlapped with other bytes.
    pub(super) disputed: bool,
}

/// What matters later of an IP header.
#[derive(Clone, Copy, Default)]
pub(super) struct IpFacts {
    pub(super) id: u32,
    pub(super) ttl: u8,
    /// Its own checksum is right (IPv6 has none).
    pub(super) sound: bool,
    /// Its length field says 0: written by segmentation off-load.
    pub(super) unsized_: bool,
    /// Inside another IP packet.
    pub(super) inner: bool,
    /// Inside one that is no trusted tunnel's: which, see [`super::Carried`].
    pub(super) foreign: u32,
}

impl<'o> Context<'o> {
    pub(super) fn new(ports: &'o TunnelPorts, trust: &'o TunnelTrust) -> Self {
        Context {
            ports,
            trust,
            ends: None,
            labels: Labels::default(),
            mac: 0,
            ip: IpFacts::default(),
            disputed: false,
        }
    }

    /// Goes into an IP packet with these ends. Gives whether it lies in another one, and in what tunnel where that is not trusted.
    pub(super) fn enter(&mut self, ends: (IpAddr, IpAddr)) -> (bool, u32) {
        let foreign = self.ip.foreign;
        match self.ends.replace(ends) {
            None => (false, foreign),
            Some(outer) if self.trust.covers(outer) => (true, foreign),
            Some(outer) => (true, super::trust::within(foreign, outer)),
        }
    }

    pub(super) fn label(&mut self, label: Label, value: u32) {
        self.labels.push(label, value);
    }
}

/// Goes from header to header down to TCP, to a fragment, or to what is neither.
pub(super) fn walk<'a>(first: Step<'a>, cx: &mut Context<'_>) -> Walked<'a> {
    let mut step = first;
    for _ in 0..LAYERS {
        let (layer, walk) = match step {
            Step::Into(layer, walk) => (layer, walk),
            Step::Tcp { ends, walk } => {
                return match tcp::head(ends, walk) {
                    Ok(head) => Walked::Tcp(head),
                    Err(reason) => Walked::Dropped(reason),
                };
            }
            Step::Fragment(fragment) => return Walked::Fragment(fragment),
            Step::Other => return Walked::Other,
            Step::Drop(reason) => return Walked::Dropped(reason),
        };
        step = match layer {
            Layer::Ethernet => link::ethernet(walk, cx),
            Layer::EtherType(ethertype) => link::ethertype(ethertype, walk, cx),
            Layer::Ip => ip::any(walk, cx),
            Layer::Ppp => link::ppp(walk),
            Layer::PppProtocol(protocol) => link::ppp_protocol(protocol, walk),
            Layer::Pppoe => link::pppoe(walk),
            Layer::Mpls => tunnel::mpls(walk, cx),
            Layer::Llc => link::llc(walk),
            Layer::Transport { protocol, ends } => tunnel::transport(protocol, ends, walk, cx),
            Layer::Gre => tunnel::gre(walk, cx),
            Layer::Ieee80211 => link::ieee80211(walk),
        };
    }
    Walked::Dropped(DropReason::TooManyLayers)
}

impl<'a> Walk<'a> {
    /// Goes on `n` bytes further, into `layer`.
    pub(super) fn skip(self, n: usize, layer: Layer) -> Step<'a> {
        match self.data.get(n..) {
            Some(data) => Step::Into(layer, Walk { data, cut: self.cut }),
            None => Step::Drop(DropReason::Truncated),
        }
    }
}
