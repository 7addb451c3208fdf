use std::fmt;

/// What the first header of a packet is, by the numbers of the tcpdump group's link-layer type registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: address family in host byte order.
    pub const NULL: Self = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: Self = LinkType(1);
    /// IEEE 802.5 token ring.
    pub const TOKEN_RING: Self = LinkType(6);
    /// Serial line IP of the BSDs.
    pub const SLIP: Self = LinkType(8);
    /// PPP, with or without HDLC framing.
    pub const PPP: Self = LinkType(9);
    /// FDDI.
    pub const FDDI: Self = LinkType(10);
    /// Raw IP, as some BSDs number it.
    pub const RAW_BSD: Self = LinkType(12);
    /// Raw IP, as OpenBSD numbers it.
    pub const RAW_OPENBSD: Self = LinkType(14);
    /// PPP in HDLC-like framing.
    pub const PPP_HDLC: Self = LinkType(50);
    /// PPPoE without Ethernet before it.
    pub const PPP_ETHER: Self = LinkType(51);
    /// LLC over ATM (RFC 2684).
    pub const ATM_RFC1483: Self = LinkType(100);
    /// Raw IP.
    pub const RAW: Self = LinkType(101);
    /// Cisco HDLC.
    pub const C_HDLC: Self = LinkType(104);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = LinkType(105);
    /// Frame Relay.
    pub const FRAME_RELAY: Self = LinkType(107);
    /// OpenBSD loopback: address family in network byte order.
    pub const LOOP: Self = LinkType(108);
    /// IPsec as OpenBSD shows it.
    pub const ENC: Self = LinkType(109);
    /// Linux cooked capture.
    pub const LINUX_SLL: Self = LinkType(113);
    /// Log of the BSD packet filter.
    pub const PFLOG: Self = LinkType(117);
    /// IEEE 802.11 behind a Prism header.
    pub const IEEE802_11_PRISM: Self = LinkType(119);
    /// IP over Fibre Channel.
    pub const IP_OVER_FC: Self = LinkType(122);
    /// IEEE 802.11 behind a radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = LinkType(127);
    /// ARCNET as Linux shows it.
    pub const ARCNET_LINUX: Self = LinkType(129);
    /// IP over IEEE 1394 as Apple shows it.
    pub const IEEE1394: Self = LinkType(138);
    /// IEEE 802.11 behind an AVS header.
    pub const IEEE802_11_AVS: Self = LinkType(163);
    /// PPP with a direction byte.
    pub const PPP_PPPD: Self = LinkType(166);
    /// Per-packet information before another link type.
    pub const PPI: Self = LinkType(192);
    /// PPP behind a byte that tells the direction.
    pub const PPP_WITH_DIRECTION: Self = LinkType(204);
    /// Cisco HDLC behind a byte that tells the direction.
    pub const C_HDLC_WITH_DIRECTION: Self = LinkType(205);
    /// Frame Relay behind a byte that tells the direction.
    pub const FRAME_RELAY_WITH_DIRECTION: Self = LinkType(206);
    /// IP as Solaris shows it.
    pub const IPNET: Self = LinkType(226);
    /// Raw IPv4.
    pub const IPV4: Self = LinkType(228);
    /// Raw IPv6.
    pub const IPV6: Self = LinkType(229);
    /// Linux netfilter log.
    pub const NFLOG: Self = LinkType(239);
    /// Ethernet behind a netANALYZER header.
    pub const NETANALYZER: Self = LinkType(240);
    /// Another link type behind Apple's header.
    pub const PKTAP: Self = LinkType(258);
    /// Ethernet with preamble, of a port that does frame pre-emption.
    pub const ETHERNET_MPACKET: Self = LinkType(274);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = LinkType(276);
    /// GRE directly over IP, as Suricata numbers it.
    pub const GRE_OVER_IP: Self = LinkType(778);

    const KNOWN: [Self; 39] = [
        Self::NULL,
        Self::ETHERNET,
        Self::TOKEN_RING,
        Self::SLIP,
        Self::PPP,
        Self::FDDI,
        Self::RAW_BSD,
        Self::RAW_OPENBSD,
        Self::PPP_HDLC,
        Self::PPP_ETHER,
        Self::ATM_RFC1483,
        Self::RAW,
        Self::C_HDLC,
        Self::IEEE802_11,
        Self::FRAME_RELAY,
        Self::LOOP,
        Self::ENC,
        Self::LINUX_SLL,
        Self::PFLOG,
        Self::IEEE802_11_PRISM,
        Self::IP_OVER_FC,
        Self::IEEE802_11_RADIOTAP,
        Self::ARCNET_LINUX,
        Self::IEEE1394,
        Self::IEEE802_11_AVS,
        Self::PPP_PPPD,
        Self::PPI,
        Self::PPP_WITH_DIRECTION,
        Self::C_HDLC_WITH_DIRECTION,
        Self::FRAME_RELAY_WITH_DIRECTION,
        Self::IPNET,
        Self::IPV4,
        Self::IPV6,
        Self::NFLOG,
        Self::NETANALYZER,
        Self::PKTAP,
        Self::ETHERNET_MPACKET,
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
