use std::fmt;

/// What the first header of a packet is, by the numbers of the tcpdump group's link-layer type registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: address family in host byte order.
    pub const NULL: Self = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: Self = LinkType(1);
    /// PPP, with or without HDLC framing.
    pub const PPP: Self = LinkType(9);
    /// Raw IP, as some BSDs number it.
    pub const RAW_BSD: Self = LinkType(12);
    /// Raw IP, as OpenBSD numbers it.
    pub const RAW_OPENBSD: Self = LinkType(14);
    /// PPP in HDLC-like framing.
    pub const PPP_HDLC: Self = LinkType(50);
    /// PPPoE without Ethernet before it.
    pub const PPP_ETHER: Self = LinkType(51);
    /// Raw IP.
    pub const RAW: Self = LinkType(101);
    /// Cisco HDLC.
    pub const C_HDLC: Self = LinkType(104);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = LinkType(105);
    /// OpenBSD loopback: address family in network byte order.
    pub const LOOP: Self = LinkType(108);
    /// Linux cooked capture.
    pub const LINUX_SLL: Self = LinkType(113);
    /// IEEE 802.11 behind a radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = LinkType(127);
    /// ARCNET as Linux shows it.
    pub const ARCNET_LINUX: Self = LinkType(129);
    /// PPP with a direction byte.
    pub const PPP_PPPD: Self = LinkType(166);
    /// Raw IPv4.
    pub const IPV4: Self = LinkType(228);
    /// Raw IPv6.
    pub const IPV6: Self = LinkType(229);
    /// Linux netfilter log.
    pub const NFLOG: Self = LinkType(239);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = LinkType(276);
    /// GRE directly over IP, as Suricata numbers it.
    pub const GRE_OVER_IP: Self = LinkType(778);

    const KNOWN: [Self; 20] = [
        Self::NULL,
        Self::ETHERNET,
        Self::PPP,
        Self::RAW_BSD,
        Self::RAW_OPENBSD,
        Self::PPP_HDLC,
        Self::PPP_ETHER,
        Self::RAW,
        Self::C_HDLC,
        Self::IEEE802_11,
        Self::LOOP,
        Self::LINUX_SLL,
        Self::IEEE802_11_RADIOTAP,
        Self::ARCNET_LINUX,
        Self::PPP_PPPD,
        Self::IPV4,
        Self::IPV6,
        Self::NFLOG,
        Self::LINUX_SLL2,
        Self::GRE_OVER_IP,
    ];

    /// True where the decoder can read it.
    pub fn is_known(self) -> bool {
        Self::KNOWN.contains(&self)
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
