//! Campaigns: which convictions are of one, and which campaigns turn out to be the same.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::Engine;
use super::campaign::{Campaign, show};
use super::endpoint::Slot;
use super::unit::ExchangeId;
use crate::facts::{Fact, Facts};
use crate::hash;

/// Accounts that two campaigns must try all alike to be one; of more a quarter.
const FEW: usize = 7;

/// What names a campaign that a conviction may join.
#[derive(Debug)]
pub(super) struct Sign<'a> {
    pub(super) rule: usize,
    pub(super) zone: &'a str,
    pub(super) host: &'a str,
    pub(super) shape: u64,
    pub(super) slot: Option<u32>,
    /// The client is convicted already: what it does besides is none of its campaign's.
    pub(super) is_known: bool,
    pub(super) agent: &'a str,
    pub(super) by_part: bool,
}

impl Engine {
    /// The campaign that a conviction belongs to, made where none agrees.
    pub(super) fn campaign(&mut self, sign: &Sign<'_>, suspicious: bool) -> Option<u32> {
        let class = self.class(sign.rule).to_owned();
        let agrees = |c: &Campaign| {
            c.into.is_none()
                && c.zone == sign.zone
                && self.class(c.rule) == class
                && c.shapes.contains(&sign.shape)
                && (sign.by_part || c.agent == sign.agent || c.by_part)
                && (c.hosts.iter().any(|h| h == sign.host))
        };
        if let Some(at) = self.campaigns.iter().position(agrees) {
            if let (Some(slot), Some(c)) = (sign.slot, self.campaigns.get_mut(at))
                && !sign.is_known
                && !c.slots.contains(&slot)
                && c.slots.len() < 32
            {
                c.slots.push(slot);
            }
            return u32::try_from(at).ok();
        }
        if self.campaigns.len() >= self.config.max_campaigns {
            return None;
        }
        let endpoint = sign.slot.and_then(|s| self.slots.get(s as usize)).map_or(0, |s| s.endpoint.id.0);
        let agent = if sign.by_part { 0 } else { hash::of(sign.agent.as_bytes()) };
        let id = hash::words(&[
            hash::of(class.as_bytes()),
            hash::of(sign.zone.as_bytes()),
            sign.shape,
            endpoint,
            agent,
        ]);
        let at = u32::try_from(self.campaigns.len()).ok()?;
        self.campaigns.push(Campaign {
            id: format!("c-{id:016x}"),
            rule: sign.rule,
            zone: sign.zone.into(),
            hosts: SmallVec::from_iter([sign.host.to_owned()]),
            shapes: SmallVec::from_slice(&[sign.shape]),
            slots: sign.slot.into_iter().collect(),
            agent: sign.agent.into(),
            numbers: Vec::new(),
            accounts: Vec::new(),
            detected: self.now,
            retrospective: self.retrospective,
            fired: Vec::new(),
            evidence: SmallVec::new(),
            into: None,
            by_part: sign.by_part && !suspicious,
        });
        Some(at)
    }

    pub(super) fn note(&mut self, campaign: u32, fired: &[usize], facts: &Facts, evidence: &[ExchangeId]) {
        let Some(c) = self.campaigns.get_mut(campaign as usize) else { return };
        show(&self.pack, fired, facts, &mut c.fired);
        for id in evidence {
            if c.evidence.len() < 5 && !c.evidence.contains(id) {
                c.evidence.push(*id);
            }
        }
        debug_assert!(facts.get(Fact::PartRequests).is_none_or(|n| n >= 0.0));
    }

    /// Joins campaigns of one class whose evidence agrees: shared addresses, or the same values asked for by the same kind
    /// of endpoint in the same hours.
    pub(super) fn join_campaigns(&mut self) {
        let members = self.members_by_campaign();
        for b in 0..self.campaigns.len() {
            for a in 0..b {
                let (Some(x), Some(y)) = (self.campaigns.get(a), self.campaigns.get(b)) else { continue };
                if x.into.is_some()
                    || y.into.is_some()
                    || x.zone != y.zone
                    || self.class(x.rule) != self.class(y.rule)
                {
                    continue;
                }
                let empty = Vec::new();
                let (ips, other) = (members.get(a).unwrap_or(&empty), members.get(b).unwrap_or(&empty));
                if shares(ips, other) >= 0.3
                    || (x.by_part && y.by_part && shares(&x.numbers, &y.numbers) >= 0.25)
                    || (x.by_part && y.by_part && self.same_accounts(x, y))
                {
                    self.absorb(a, b);
                }
            }
        }
    }

    /// True where two campaigns try the same accounts through channels of one function: a list that is carried from the web to the
    /// app, or on with another tool.
    fn same_accounts(&self, x: &Campaign, y: &Campaign) -> bool {
        let functions = |c: &Campaign| -> BTreeSet<u64> {
            let slots = c.slots.iter().filter_map(|at| self.slots.get(*at as usize));
            slots.map(Slot::function).filter(|f| *f != 0).collect()
        };
        let few = |c: &Campaign| (1..=FEW).contains(&c.accounts.len());
        let alike = shares(&x.accounts, &y.accounts) >= 0.25 || few(x) && few(y) && x.accounts == y.accounts;
        alike && !functions(x).is_disjoint(&functions(y))
    }

    fn members_by_campaign(&self) -> Vec<Vec<u64>> {
        let mut members = vec![Vec::new(); self.campaigns.len()];
        for (key, conviction) in &self.convictions.units {
            if let (Some(list), Some(unit)) =
                (members.get_mut(conviction.campaign as usize), self.units.get(*key))
            {
                list.push(hash::of(unit.ip.to_string().as_bytes()));
            }
        }
        for list in &mut members {
            list.sort_unstable();
            list.dedup();
        }
        members
    }

    fn absorb(&mut self, a: usize, b: usize) {
        let Some(taken) = self.campaigns.get_mut(b) else { return };
        taken.into = u32::try_from(a).ok();
        let taken = taken.clone();
        if let Some(c) = self.campaigns.get_mut(a) {
            c.detected = c.detected.min(taken.detected);
            c.retrospective &= taken.retrospective;
            for host in taken.hosts {
                if !c.hosts.contains(&host) {
                    c.hosts.push(host);
                }
            }
            c.shapes.extend(taken.shapes);
            for slot in taken.slots {
                if !c.slots.contains(&slot) {
                    c.slots.push(slot);
                }
            }
        }
    }

    pub(super) fn final_campaign(&self, mut at: u32) -> u32 {
        while let Some(next) = self.campaigns.get(at as usize).and_then(|c| c.into) {
            at = next;
        }
        at
    }
}

/// Share of the smaller sorted list that is in the other.
fn shares(a: &[u64], b: &[u64]) -> f64 {
    let (small, big) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if small.len() < 8 {
        return 0.0;
    }
    let both = small.iter().filter(|v| big.binary_search(v).is_ok()).count();
    both as f64 / small.len() as f64
}
