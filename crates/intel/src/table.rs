//! The table: sorted ranges with what is known of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::compile::Compiler;
use crate::kind::{Kind, Kinds};

/// What is known of the addresses of one range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Autonomous system, 0 where unknown.
    pub(crate) asn: u32,
    /// ISO 3166-1 alpha-2 in capitals, zeros where unknown.
    pub(crate) country: [u8; 2],
    /// What it is used for.
    pub(crate) kinds: Kinds,
    /// Which set of lists it stands on; 0 is none.
    pub(crate) lists: u32,
}

/// A list that addresses stand on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct List {
    /// Its name: that of its source, or of the crawler it verifies.
    pub name: String,
    /// What standing on it means.
    pub kind: ListKind,
    /// What is said of who stands on it.
    pub label: String,
    /// How much that counts, 0 to 1.
    pub weight: f64,
    /// When it is no longer believed, in seconds since 1970.
    pub expires: Option<i64>,
}

/// What standing on a list means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ListKind {
    /// A crawler's operator publishes these addresses.
    Published,
    /// Somebody reports these addresses, networks or organizations.
    Reported,
    /// A registry of special-use addresses.
    Registry,
}

/// Where a part of a table came from.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Its name.
    pub name: String,
    /// Where it was fetched or read from.
    pub from: String,
    /// Version, as far as its place has one.
    pub version: String,
    /// Its licence.
    pub licence: String,
    /// Whom its licence asks to be named.
    pub attribution: String,
    /// When it was fetched, in seconds since 1970.
    pub fetched: i64,
    /// Ranges, networks or names in it.
    pub entries: u64,
    /// Lines that could not be understood.
    pub skipped: u64,
}

/// What a lookup gives at once, without strings: small enough to be kept with every client.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Origin {
    /// Autonomous system, 0 where unknown.
    pub asn: u32,
    /// Country, zeros where unknown.
    pub country: [u8; 2],
    /// What the address is used for.
    pub kinds: Kinds,
    /// The weight of the worst list it is reported on, 0 to 1.
    pub reported: f32,
}

impl Origin {
    /// The country's code.
    pub fn country(&self) -> Option<&str> {
        std::str::from_utf8(&self.country).ok().filter(|_| self.country != [0, 0])
    }
}

/// Everything that is known of addresses.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub(crate) sources: Vec<SourceInfo>,
    pub(crate) lists: Vec<List>,
    /// Organizations by autonomous system, in order.
    pub(crate) organizations: Vec<(u32, String)>,
    pub(crate) records: Vec<Record>,
    pub(crate) sets: Vec<Vec<u16>>,
    pub(crate) v4: Segments<u32>,
    pub(crate) v6: Segments<u128>,
    /// Where each value of the first 16 bits of IPv4 begins.
    pub(crate) index: Vec<u32>,
}

/// Starts of ranges in order, each with the number of its record; a range ends where the next one begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments<A> {
    pub(crate) starts: Vec<A>,
    pub(crate) records: Vec<u32>,
}

impl<A: Ord> Segments<A> {
    fn find(&self, from: usize, to: usize, address: &A) -> Option<u32> {
        let part = self.starts.get(from..to)?;
        let at = from + part.partition_point(|s| s <= address);
        self.records.get(at.checked_sub(1)?).copied()
    }
}

impl Table {
    /// The table that every Sidetap has: special-use addresses.
    pub fn builtin() -> &'static Table {
        static TABLE: LazyLock<Table> = LazyLock::new(|| Compiler::new().finish().unwrap_or_default());
        &TABLE
    }

    /// True where it knows more than the registries of special-use addresses.
    pub fn is_installed(&self) -> bool {
        !self.sources.is_empty()
    }

    /// Where its parts came from.
    pub fn sources(&self) -> &[SourceInfo] {
        &self.sources
    }

    /// Whom its sources ask to be named, with their licences.
    pub fn attributions(&self) -> Vec<String> {
        let named = self.sources.iter().filter(|s| !s.attribution.is_empty());
        named.map(|s| format!("{} ({})", s.attribution, s.licence)).collect()
    }

    /// The lists that addresses may stand on.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }

    /// Ranges of IPv4 and of IPv6.
    pub fn ranges(&self) -> (usize, usize) {
        (self.v4.starts.len(), self.v6.starts.len())
    }

    /// Bytes that it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let names: usize = self.organizations.iter().map(|(_, n)| n.len() + 32).sum();
        self.v4.starts.len() * 8
            + self.v6.starts.len() * 20
            + self.index.len() * 4
            + self.records.len() * size_of::<Record>()
            + names
    }

    /// The networks of which this holds, those of one record at a time.
    pub fn networks_where(&self, now: Ts, wanted: impl Fn(&Found<'_>) -> bool) -> Vec<IpNet> {
        let chosen: Vec<bool> = self
            .records
            .iter()
            .map(|r| {
                let lists = self.standing(r, now).collect();
                wanted(&Found {
                    origin: self.origin_of(r, now),
                    organization: self.organization(r.asn),
                    lists,
                })
            })
            .collect();
        let is_chosen = |n: &u32| chosen.get(*n as usize).copied().unwrap_or(false);
        let mut nets = Vec::new();
        for (at, start) in self
            .v4
            .starts
            .iter()
            .enumerate()
            .filter(|(at, _)| self.v4.records.get(*at).is_some_and(is_chosen))
        {
            let end = self.v4.starts.get(at + 1).map_or(u32::MAX, |n| n.saturating_sub(1));
            let (start, end) = (Ipv4Addr::from_bits(*start), Ipv4Addr::from_bits(end));
            nets.extend(Ipv4Subnets::new(start, end, 0).map(IpNet::V4));
        }
        for (at, start) in self
            .v6
            .starts
            .iter()
            .enumerate()
            .filter(|(at, _)| self.v6.records.get(*at).is_some_and(is_chosen))
        {
            let end = self.v6.starts.get(at + 1).map_or(u128::MAX, |n| n.saturating_sub(1));
            let (start, end) = (Ipv6Addr::from_bits(*start), Ipv6Addr::from_bits(end));
            nets.extend(Ipv6Subnets::new(start, end, 0).map(IpNet::V6));
        }
        nets
    }

    fn record(&self, ip: IpAddr) -> Option<&Record> {
        let number = match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let address = ip.to_bits();
                let bucket = (address >> 16) as usize;
                let from = self.index.get(bucket).copied().unwrap_or(0) as usize;
                let to = self.index.get(bucket + 1).map_or(self.v4.starts.len(), |n| *n as usize);
                self.v4.find(from.saturating_sub(1), to, &address)?
            }
            IpAddr::V6(ip) => self.v6.find(0, self.v6.starts.len(), &ip.to_bits())?,
        };
        self.records.get(number as usize)
    }

    /// All that is known of an address; lists that are no longer believed at `now` are left out.
    pub fn look_up(&self, ip: IpAddr, now: Ts) -> Found<'_> {
        let record = self.record(ip).copied().unwrap_or_default();
        let standing = self.standing(&record, now).collect();
        let origin = self.origin_of(&record, now);
        Found { origin, organization: self.organization(record.asn), lists: standing }
    }

    /// The same without what has to be put together.
    pub fn origin(&self, ip: IpAddr, now: Ts) -> Origin {
        self.record(ip).map(|r| self.origin_of(r, now)).unwrap_or_default()
    }

    fn origin_of(&self, record: &Record, now: Ts) -> Origin {
        let reported = self
            .standing(record, now)
            .filter(|l| l.kind == ListKind::Reported)
            .fold(0.0f64, |worst, l| worst.max(l.weight));
        Origin { asn: record.asn, country: record.country, kinds: record.kinds, reported: reported as f32 }
    }

    fn standing(&self, record: &Record, now: Ts) -> impl Iterator<Item = &List> {
        let set = self.sets.get(record.lists as usize).map_or(&[][..], Vec::as_slice);
        let lists = set.iter().filter_map(|n| self.lists.get(usize::from(*n)));
        lists.filter(move |l| l.expires.is_none_or(|at| now.secs() <= at))
    }

    /// The name of an autonomous system's holder.
    pub fn organization(&self, asn: u32) -> Option<&str> {
        let at = self.organizations.binary_search_by_key(&asn, |(n, _)| *n).ok()?;
        self.organizations.get(at).map(|(_, name)| name.as_str())
    }

    /// Whether the operator of a crawler publishes the address; nothing where no list of these names is installed.
    pub fn published<'a>(&self, names: impl IntoIterator<Item = &'a str>, ip: IpAddr) -> Option<bool> {
        let record = self.record(ip).copied().unwrap_or_default();
        let set = self.sets.get(record.lists as usize).map_or(&[][..], Vec::as_slice);
        let mut known = None;
        for name in names {
            for (n, list) in self.lists.iter().enumerate() {
                if list.kind == ListKind::Published && list.name == name {
                    let stands = set.iter().any(|s| usize::from(*s) == n);
                    known = Some(known.unwrap_or(false) || stands);
                }
            }
        }
        known
    }
}

/// What is known of an address.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found<'a> {
    /// Network, country, kinds.
    pub origin: Origin,
    /// The holder of the autonomous system.
    pub organization: Option<&'a str>,
    /// Lists that it stands on.
    pub lists: Vec<&'a List>,
}

impl Found<'_> {
    /// True where nothing is known.
    pub fn is_empty(&self) -> bool {
        self.origin == Origin::default() && self.lists.is_empty()
    }

    /// True where no client on the Internet can have the address.
    pub fn is_special(&self) -> bool {
        [Kind::Private, Kind::SharedNat, Kind::Documentation, Kind::Reserved]
            .iter()
            .any(|k| self.origin.kinds.has(*k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_use_addresses_are_known_without_any_table() {
        let t = Table::builtin();
        let kinds = |ip: &str| t.look_up(ip.parse().unwrap(), Ts(0)).origin.kinds;
        assert!(kinds("198.51.100.7").has(Kind::Documentation));
        assert!(kinds("10.1.2.3").has(Kind::Private) && kinds("fd00::1").has(Kind::Private));
        assert!(kinds("100.64.0.1").has(Kind::SharedNat) && kinds("::ffff:127.0.0.1").has(Kind::Private));
        assert!(kinds("9.255.255.255").is_empty() && kinds("11.0.0.0").is_empty());
        assert!(kinds("255.255.255.255").has(Kind::Reserved) && kinds("0.0.0.0").has(Kind::Reserved));
        assert!(!t.is_installed() && t.look_up("8.8.8.8".parse().unwrap(), Ts(0)).is_empty());
    }
}
