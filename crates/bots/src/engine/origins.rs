//! Where groups of clients come from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sidetap_model::EndpointId;
use sidetap_model::rows::{Callers, OriginRow};

use super::Engine;
use super::standing::Standing;
use super::unit::Unit;

/// Names kept of one endpoint's callers, and of one campaign's members.
const NAMES: usize = 256;

/// Where the clients of a crowd come from, those of whom nothing is known left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    located: u32,
    hosting: u32,
    anonymous: u32,
    reported: u32,
    networks: BTreeMap<u32, u32>,
    countries: BTreeSet<[u8; 2]>,
}

/// The same as shares of those of whom something is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    pub(crate) located: f64,
    pub(crate) hosting: f64,
    pub(crate) anonymous: f64,
    pub(crate) reported: f64,
    pub(crate) networks: f64,
    pub(crate) countries: f64,
    pub(crate) one_network: f64,
}

impl Origins {
    /// Adds a client.
    pub(crate) fn add(&mut self, standing: &Standing) {
        if !standing.is_located() && standing.origin.reported <= 0.0 {
            return;
        }
        let origin = &standing.origin;
        self.located += 1;
        self.hosting += u32::from(origin.kinds.is_hosting());
        self.anonymous += u32::from(origin.kinds.is_anonymous());
        self.reported += u32::from(origin.reported > 0.0);
        if origin.asn != 0 {
            *self.networks.entry(origin.asn).or_default() += 1;
        }
        if origin.country != [0, 0] {
            self.countries.insert(origin.country);
        }
    }

    /// Shares; nothing where nothing is known of any.
    pub(crate) fn shares(&self) -> Option<Shares> {
        if self.located == 0 {
            return None;
        }
        let located = f64::from(self.located);
        let most = self.networks.values().max().copied().unwrap_or(0);
        Some(Shares {
            located,
            hosting: f64::from(self.hosting) / located,
            anonymous: f64::from(self.anonymous) / located,
            reported: f64::from(self.reported) / located,
            networks: self.networks.len() as f64,
            countries: self.countries.len() as f64,
            one_network: f64::from(most) / located,
        })
    }
}

impl Engine {
    /// Countries and organizations of the callers of each endpoint, of those clients that are still known; empty without an
    /// installed table. An address counts once, whatever agents it has.
    pub fn callers(&self) -> BTreeMap<EndpointId, Callers> {
        let mut callers: BTreeMap<EndpointId, Callers> = BTreeMap::new();
        if !self.config.table.is_installed() {
            return callers;
        }
        let mut seen: BTreeSet<(u32, IpAddr)> = BTreeSet::new();
        for unit in self.units.keys().into_iter().filter_map(|k| self.units.get(k)) {
            let Some(country) = self.origin_row(unit) else { continue };
            for call in &unit.calls {
                let at = self.resolve(call.slot);
                let Some(slot) = self.slots.get(at as usize).filter(|_| seen.insert((at, unit.ip))) else {
                    continue;
                };
                let of = callers.entry(slot.endpoint.id).or_default();
                of.count += 1;
                count(&mut of.countries, country.country.clone());
                count(&mut of.organizations, country.organization.clone());
            }
        }
        callers
    }

    /// Where a client comes from; nothing where nothing is known.
    pub(super) fn origin_row(&self, unit: &Unit) -> Option<OriginRow> {
        let origin = &unit.standing.origin;
        if !self.config.table.is_installed() || !unit.standing.is_located() && origin.country().is_none() {
            return None;
        }
        Some(OriginRow {
            asn: (origin.asn != 0).then_some(origin.asn),
            organization: self.config.table.organization(origin.asn).map(str::to_owned),
            country: origin.country().map(str::to_owned),
            kinds: origin.kinds.names().map(str::to_owned).collect(),
        })
    }

    /// Networks and countries of clients, by how many addresses are there.
    pub(super) fn places<'a>(
        &self,
        units: impl Iterator<Item = &'a Unit>,
    ) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        let (mut networks, mut countries) = (BTreeMap::new(), BTreeMap::new());
        let mut seen = BTreeSet::new();
        for unit in units.filter(|u| seen.insert(u.ip)) {
            let Some(row) = self.origin_row(unit) else { continue };
            let name = row.asn.map(|asn| match &row.organization {
                Some(holder) => format!("AS{asn} {holder}"),
                None => format!("AS{asn}"),
            });
            count(&mut networks, name);
            count(&mut countries, row.country);
        }
        (networks, countries)
    }
}

fn count(names: &mut BTreeMap<String, u64>, name: Option<String>) {
    let Some(name) = name else { return };
    if names.len() < NAMES || names.contains_key(&name) {
        *names.entry(name).or_default() += 1;
    }
}

/// The names with most, at most so many, and how many others there are.
pub(super) fn most(names: &BTreeMap<String, u64>, at_most: usize) -> String {
    let mut list: Vec<(&String, &u64)> = names.iter().collect();
    list.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut told: Vec<String> = list.iter().take(at_most).map(|(name, n)| format!("{name} ({n})")).collect();
    if list.len() > at_most {
        told.push(format!("{} others", list.len() - at_most));
    }
    told.join(", ")
}
