use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($name:ident = $text:literal, $doc:literal;)+) => {
        /// What an address or its network is used for.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u8)]
        pub enum Kind {
            $(#[doc = $doc] $name,)+
        }

        impl Kind {
            /// Every kind with its name and what it means.
            pub const ALL: &'static [(Kind, &'static str, &'static str)] = &[$((Kind::$name, $text, $doc),)+];
        }
    };
}

kinds! {
    Hosting = "hosting", "Servers for rent, data centres.";
    Cloud = "cloud", "A public cloud.";
    CloudFunction = "cloud-function", "Functions and jobs of a cloud, whose addresses many tenants share.";
    Cdn = "cdn", "A content delivery network.";
    Residential = "residential", "Homes.";
    Mobile = "mobile", "Mobile networks: many subscribers behind an address.";
    Satellite = "satellite", "Satellite access: many subscribers behind an address.";
    Business = "business", "Enterprises' own networks.";
    Education = "education", "Universities and schools.";
    Vpn = "vpn", "Exits of virtual private networks.";
    Relay = "relay", "Privacy relays of browsers and phones: many people behind an address.";
    Tor = "tor", "Exits of the Tor network.";
    Proxy = "proxy", "Exits that proxy providers sell.";
    Crawler = "crawler", "Addresses that a crawler's operator publishes.";
    Monitoring = "monitoring", "Addresses that a monitoring service publishes.";
    Private = "private", "Private, loopback and link-local addresses.";
    SharedNat = "shared-nat", "Shared address space of carriers (RFC 6598).";
    Documentation = "documentation", "Documentation and benchmarks.";
    Reserved = "reserved", "Reserved, multicast and other addresses that no client has.";
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        Kind::ALL.get(self as usize).map_or("", |(_, n, _)| n)
    }

    /// The kind of this name.
    pub fn by_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().find(|(_, n, _)| *n == name).map(|(k, _, _)| *k)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Kinds(u32);

impl Kinds {
    /// None.
    pub const NONE: Kinds = Kinds(0);

    /// One.
    pub const fn of(kind: Kind) -> Self {
        Kinds(1 << kind as u8)
    }

    /// True where nothing is known.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True where the kind is among them.
    pub const fn has(self, kind: Kind) -> bool {
        self.0 >> kind as u8 & 1 == 1
    }

    /// Adds those of `other`.
    pub const fn insert(&mut self, other: Kinds) {
        self.0 |= other.0;
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Kind::ALL.iter().filter(move |(k, _, _)| self.has(*k)).map(|(_, n, _)| *n)
    }

    /// True where they say more than that the address is of special use.
    pub const fn is_telling(self) -> bool {
        let special = 1 << Kind::Private as u8
            | 1 << Kind::SharedNat as u8
            | 1 << Kind::Documentation as u8
            | 1 << Kind::Reserved as u8;
        self.0 & !special != 0
    }

    /// True where they are machines for rent: hosting, clouds, functions.
    pub const fn is_hosting(self) -> bool {
        self.has(Kind::Hosting) || self.has(Kind::Cloud) || self.has(Kind::CloudFunction)
    }

    /// True where they hide who comes from where: VPN, Tor, proxies for sale.
    pub const fn is_anonymous(self) -> bool {
        self.has(Kind::Vpn) || self.has(Kind::Tor) || self.has(Kind::Proxy)
    }

    /// True where many people share an address: mobile, satellite, relays, carriers' shared space.
    pub const fn is_shared(self) -> bool {
        self.has(Kind::Mobile)
            || self.has(Kind::Satellite)
            || self.has(Kind::Relay)
            || self.has(Kind::SharedNat)
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
