//! Where clients come from: networks of the ranges that RFC 2544, 3849, 5737 set aside, or public-looking ones on demand.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Rng;

/// A kind of network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Net {
    Residential,
    ResidentialV6,
    Mobile,
    Hosting,
    Proxies,
    Cloud,
    Office,
    CarrierNat,
    Search,
    AiCrawler,
    Monitoring,
    Edge,
    Inside,
}

impl Net {
    /// Its name in labels.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Net::Residential => "residential",
            Net::ResidentialV6 => "residential-v6",
            Net::Mobile => "mobile",
            Net::Hosting => "hosting",
            Net::Proxies => "hosting-proxies",
            Net::Cloud => "cloud",
            Net::Office => "office",
            Net::CarrierNat => "carrier-nat",
            Net::Search => "search-engine",
            Net::AiCrawler => "ai-crawler",
            Net::Monitoring => "monitoring",
            Net::Edge => "cdn",
            Net::Inside => "inside",
        }
    }

    /// First two octets to choose from, and bounds of the third.
    const fn documentation(self) -> (&'static [(u8, u8)], u8, u8) {
        match self {
            Net::Residential | Net::ResidentialV6 => (&[(198, 18)], 0, 255),
            Net::Mobile => (&[(198, 19)], 0, 127),
            Net::Hosting => (&[(198, 19)], 128, 159),
            Net::Proxies => (&[(198, 19)], 160, 207),
            Net::Cloud => (&[(198, 19)], 208, 223),
            Net::Office => (&[(203, 0)], 113, 113),
            Net::CarrierNat => (&[(198, 19)], 224, 225),
            Net::Search => (&[(192, 0)], 2, 2),
            Net::AiCrawler => (&[(198, 19)], 240, 240),
            Net::Monitoring => (&[(198, 19)], 250, 251),
            Net::Edge => (&[(198, 51)], 100, 100),
            Net::Inside => (&[(10, 61)], 9, 9),
        }
    }

    const fn public(self) -> (&'static [(u8, u8)], u8, u8) {
        match self {
            Net::Residential | Net::ResidentialV6 => (RESIDENTIAL, 0, 255),
            Net::Mobile => (&[(107, 77), (172, 58), (92, 40), (109, 249), (174, 200)], 0, 255),
            Net::Hosting => (&[(51, 75), (95, 217), (161, 35)], 0, 255),
            Net::Proxies => (&[(193, 32), (185, 220), (146, 70), (45, 83)], 0, 255),
            Net::Cloud => (&[(3, 120), (34, 89), (20, 50)], 0, 255),
            Net::Monitoring => (&[(178, 62)], 10, 40),
            Net::CarrierNat => (&[(37, 24)], 140, 150),
            other => other.documentation(),
        }
    }
}

/// Which ranges to draw from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ranges {
    /// Ranges set aside for documentation and benchmarks.
    #[default]
    Documentation,
    /// Ranges that look like those of providers; for files that stay at home.
    Public,
}

/// Hands out addresses, each once.
pub(crate) struct Addresses {
    ranges: Ranges,
    taken: BTreeSet<IpAddr>,
}

impl Addresses {
    pub(crate) const fn new(ranges: Ranges) -> Self {
        Addresses { ranges, taken: BTreeSet::new() }
    }

    /// An address of this network that nobody has yet.
    pub(crate) fn take(&mut self, net: Net, rng: &mut Rng) -> IpAddr {
        loop {
            let ip = self.draw(net, rng);
            if self.taken.insert(ip) {
                return ip;
            }
        }
    }

    fn draw(&self, net: Net, rng: &mut Rng) -> IpAddr {
        if net == Net::ResidentialV6 {
            return self.draw_v6(rng);
        }
        let (blocks, low, high) = match self.ranges {
            Ranges::Documentation => net.documentation(),
            Ranges::Public => net.public(),
        };
        let (a, b) = rng.pick(blocks);
        let third = rng.range(u64::from(low), u64::from(high)) as u8;
        Ipv4Addr::new(a, b, third, rng.range(1, 254) as u8).into()
    }

    fn draw_v6(&self, rng: &mut Rng) -> IpAddr {
        let prefix: [u16; 2] = match self.ranges {
            Ranges::Documentation => [0x2001, 0xdb8],
            Ranges::Public => rng.pick(&[[0x2601, 0x1c0], [0x2a02, 0x8108], [0x2003, 0xe2]]),
        };
        let mut part = || rng.next_u32() as u16;
        Ipv6Addr::new(prefix[0], prefix[1], part(), part() & 0xff00, part(), part(), part(), part()).into()
    }
}

const RESIDENTIAL: &[(u8, u8)] = &[
    (24, 17),
    (47, 144),
    (50, 90),
    (66, 31),
    (67, 180),
    (68, 45),
    (71, 201),
    (73, 92),
    (75, 140),
    (76, 103),
    (79, 200),
    (82, 31),
    (84, 152),
    (86, 140),
    (87, 122),
    (90, 214),
    (91, 12),
    (93, 199),
    (98, 33),
    (108, 54),
    (151, 38),
    (173, 66),
    (176, 145),
    (188, 97),
    (217, 229),
];
