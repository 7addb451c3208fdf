use super::DefragLimits;
use super::labels::ZoneRules;
use super::trust::TunnelTrust;

/// How to decode.
#[derive(Clone, Debug)]
pub struct DecodeOptions {
    /// Caps of the table of IP fragments.
    pub defrag: DefragLimits,
    /// UDP ports of tunnels.
    pub ports: TunnelPorts,
    /// Which tunnels are believed.
    pub trust: TunnelTrust,
    /// Which zone a packet belongs to.
    pub zones: ZoneRules,
    /// What to do about wrong checksums.
    pub checksums: Checksums,
    /// Nanoseconds of packet time within which a second sight of a packet is the mirror's; 0: copies are kept.
    pub duplicate_window: i64,
    /// Key of the hash by which copies are known, so that nobody can make two packets look like one.
    pub seed: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions {
            defrag: DefragLimits::default(),
            ports: TunnelPorts::default(),
            trust: TunnelTrust::default(),
            zones: ZoneRules::default(),
            checksums: Checksums::Auto,
            duplicate_window: 100_000_000,
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }
}

/// What to do about wrong checksums of IPv4 and TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksums {
    /// Drop what the receiver would have dropped; believe senders whose card fills checksums in behind the mirror.
    #[default]
    Auto,
    /// Look at none.
    Ignore,
}

/// A tunnel over UDP that is known by its port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UdpTunnel {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// VXLAN with a next protocol (draft-ietf-nvo3-vxlan-gpe).
    VxlanGpe,
    /// GENEVE (RFC 8926).
    Geneve,
    /// GTP user plane (3GPP TS 29.281).
    GtpU,
    /// Teredo (RFC 4380).
    Teredo,
    /// GRE in UDP (RFC 8086).
    Gre,
    /// MPLS in UDP (RFC 7510).
    Mpls,
    /// TaZmen sniffer protocol.
    Tzsp,
    /// Anything in Anything.
    Ayiya,
    /// L2TP version 2 (RFC 2661).
    L2tp,
    /// HP's encapsulated remote mirroring.
    HpErm,
    /// Juniper's packet mirroring.
    Jmirror,
}

/// UDP ports and the tunnels behind them.
#[derive(Clone, Debug)]
pub struct TunnelPorts {
    ports: Vec<u16>,
    tunnels: Vec<UdpTunnel>,
}

impl Default for TunnelPorts {
    fn default() -> Self {
        TunnelPorts::new(&[
            (4789, UdpTunnel::Vxlan),
            (8472, UdpTunnel::Vxlan),
            (4790, UdpTunnel::VxlanGpe),
            (6081, UdpTunnel::Geneve),
            (2152, UdpTunnel::GtpU),
            (3544, UdpTunnel::Teredo),
            (4754, UdpTunnel::Gre),
            (6635, UdpTunnel::Mpls),
            (37_008, UdpTunnel::Tzsp),
            (5072, UdpTunnel::Ayiya),
            (1701, UdpTunnel::L2tp),
            (7932, UdpTunnel::HpErm),
            (30_030, UdpTunnel::Jmirror),
        ])
    }
}

impl TunnelPorts {
    /// These ports; of one named twice the first counts.
    pub fn new(list: &[(u16, UdpTunnel)]) -> Self {
        let mut list = list.to_vec();
        list.sort_by_key(|(port, _)| *port);
        let (ports, tunnels) = list.into_iter().unzip();
        TunnelPorts { ports, tunnels }
    }

    /// Names other ports for a tunnel in place of its usual ones.
    pub fn replace(&mut self, tunnel: UdpTunnel, ports: &[u16]) {
        let others = self.ports.iter().copied().zip(self.tunnels.iter().copied());
        let others = others.filter(|(port, t)| *t != tunnel && !ports.contains(port));
        let list: Vec<(u16, UdpTunnel)> = ports.iter().map(|p| (*p, tunnel)).chain(others).collect();
        *self = TunnelPorts::new(&list);
    }

    /// The tunnel behind a port.
    #[inline]
    pub(super) fn tunnel(&self, port: u16) -> Option<UdpTunnel> {
        let index = self.ports.iter().position(|p| *p == port)?;
        self.tunnels.get(index).copied()
    }
}
