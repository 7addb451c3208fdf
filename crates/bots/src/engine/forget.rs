//! Forgetting somebody on demand: what clients and sessions did, who was convicted and what was told of them. What only counts, and
//! names nobody, stays.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sidetap_model::SubjectKind;

use super::Engine;
use super::changes::verdict_id;
use super::pool::Held;
use super::units::Units;
use crate::observation::Observation;

/// Addresses that are remembered as forgotten.
const RENAMED: usize = 4096;

/// Somebody who is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// An address.
    Ip(IpAddr),
    /// A session, token or key, by its hash.
    Token(u64),
    /// An account, by its hash.
    Account(u64),
}

impl Name {
    /// Whom a name of this kind means that outputs spell so; nobody where they spell none so.
    pub fn of(kind: SubjectKind, value: &str) -> Option<Self> {
        let hash = || {
            let (_, hash) = value.rsplit_once('#')?;
            u64::from_str_radix(hash, 16).ok().filter(|_| hash.len() == 16)
        };
        match kind {
            SubjectKind::Ip => value.parse().ok().map(Name::Ip),
            SubjectKind::Session | SubjectKind::ApiKey => hash().map(Name::Token),
            SubjectKind::Account => hash().map(Name::Account),
            _ => None,
        }
    }

    /// Whether an observation is of them.
    pub fn is_in(&self, o: &Observation) -> bool {
        match self {
            Name::Ip(ip) => o.client.ip == *ip,
            Name::Token(hash) => o.sessions.iter().chain(&o.api_key).any(|t| t.hash == *hash),
            Name::Account(hash) => o.account == Some(*hash),
        }
    }
}

impl Engine {
    /// Forgets somebody as if they had not been seen yet: whoever comes under that name again is somebody new.
    pub fn forget(&mut self, name: &Name) {
        match name {
            Name::Ip(ip) => {
                let keys = self.units.at(*ip);
                self.forget_units(&keys);
                self.units.rename(*ip);
            }
            Name::Token(hash) => {
                self.keys.remove(hash);
                self.forget_session(*hash);
                let keys = self.units.without_token(*hash);
                self.forget_units(&keys);
            }
            Name::Account(hash) => {
                self.campaigns.iter_mut().for_each(|c| c.accounts.retain(|a| a != hash));
            }
        }
    }

    /// Forgets clients, and sessions that nobody else had.
    fn forget_units(&mut self, keys: &[u64]) {
        let sessions = self.units.sessions_of(keys);
        let mut ids = BTreeSet::new();
        for unit in keys.iter().filter_map(|key| self.units.get(*key)) {
            let shape = self.convictions.units.get(&unit.key).map_or(0, |c| c.shape);
            ids.extend([shape, 0].map(|shape| verdict_id(unit.zone, &self.unit_subject(unit, shape))));
        }
        ids.iter().for_each(|id| _ = self.told.last.remove(id));
        sessions.into_iter().for_each(|hash| self.forget_session(hash));
        keys.iter().for_each(|key| _ = self.convictions.units.remove(key));
        self.units.forget(keys);
    }

    fn forget_session(&mut self, hash: u64) {
        let said = self.units.get_session(hash).and_then(|s| self.session_subject(s));
        if let Some(id) = said.map(|(unit, subject)| verdict_id(unit.zone, &subject)) {
            self.told.last.remove(&id);
        }
        self.convictions.sessions.remove(&hash);
        self.units.forget_session(hash);
    }
}

impl Units {
    /// Keys of the clients at an address, in order.
    fn at(&self, ip: IpAddr) -> Vec<u64> {
        let units = self.shards.iter().flat_map(|s| s.units.values());
        let mut keys: Vec<u64> = units.filter(|u| u.ip == ip).map(|u| u.key).collect();
        keys.sort_unstable();
        keys
    }

    /// Whoever comes from this address from now on has other keys: nothing that was kept by the old ones is theirs.
    fn rename(&mut self, ip: IpAddr) {
        // Of the one that is longest ago nothing is kept by its old keys any more.
        let longest = self.renamed.iter().min_by_key(|(_, number)| **number).map(|(ip, _)| *ip);
        if let Some(longest) = longest.filter(|_| self.renamed.len() >= RENAMED) {
            self.renamed.remove(&longest);
        }
        self.renames = self.renames.wrapping_add(1);
        self.renamed.insert(ip, self.renames);
    }

    fn forget(&mut self, keys: &[u64]) {
        let mut touched = BTreeSet::new();
        for key in keys {
            let at = (key & 0xff) as usize;
            let Some(unit) = self.shards.get_mut(at).and_then(|s| s.units.remove(key)) else { continue };
            self.pool.clients.change(unit.held(), Held::default());
            touched.insert(at);
        }
        for at in touched {
            self.shards.get_mut(at).into_iter().for_each(super::units::Shard::forget_addresses);
        }
    }

    fn forget_session(&mut self, hash: u64) {
        let shard = self.shards.get_mut((hash & 0xff) as usize);
        if let Some(session) = shard.and_then(|s| s.sessions.remove(&hash)) {
            self.pool.sessions.change(session.held(), Held::default());
        }
    }

    /// Sessions that only these clients presented.
    fn sessions_of(&self, keys: &[u64]) -> Vec<u64> {
        let of_them = |key: &u64| keys.contains(key) || self.get(*key).is_none();
        let units = keys.iter().filter_map(|key| self.get(*key));
        let hashes: BTreeSet<u64> = units.flat_map(|u| u.sessions.iter().map(|t| t.hash)).collect();
        let only =
            |hash: &u64| self.get_session(*hash).is_some_and(|session| session.units.iter().all(of_them));
        hashes.into_iter().filter(only).collect()
    }

    /// Takes a token from all clients that presented it; gives those that are told apart by it.
    fn without_token(&mut self, hash: u64) -> Vec<u64> {
        let mut known_by_it = Vec::new();
        for shard in &mut self.shards {
            for unit in shard.units.values_mut() {
                let Some(at) = unit.sessions.iter().position(|t| t.hash == hash) else { continue };
                let is_device = unit.sessions.get(at).is_some_and(|t| !t.login);
                if is_device || unit.shared && at == 0 {
                    known_by_it.push(unit.key);
                    continue;
                }
                let held = unit.held();
                unit.sessions.remove(at);
                self.pool.clients.change(held, unit.held());
            }
        }
        known_by_it.sort_unstable();
        known_by_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_addresses_the_one_that_is_longest_ago_is_remembered_no_more() {
        let mut units = Units::new(&sidetap_model::HashKey::from_bytes([1; 16]), 16);
        let at = |n: u32| IpAddr::from((0x0a00_0000 - n).to_be_bytes());
        (0..=RENAMED as u32).for_each(|n| units.rename(at(n)));
        assert_eq!(units.renamed.len(), RENAMED);
        assert!(!units.renamed.contains_key(&at(0)) && units.renamed.contains_key(&at(RENAMED as u32)));
        // Once more it is another than before.
        let before = units.renamed.get(&at(9)).copied();
        units.rename(at(9));
        assert_ne!(units.renamed.get(&at(9)).copied(), before);
    }

    #[test]
    fn names_are_read_as_outputs_spell_them() {
        let of = |kind, value: &str| Name::of(kind, value);
        assert_eq!(of(SubjectKind::Ip, "2001:db8::1"), "2001:db8::1".parse().ok().map(Name::Ip));
        assert_eq!(of(SubjectKind::Session, "abcdef…#00000000000000ff"), Some(Name::Token(255)));
        assert_eq!(of(SubjectKind::Account, "#00000000000000ff"), Some(Name::Account(255)));
        for (kind, value) in [
            (SubjectKind::Ip, "#00000000000000ff"),
            (SubjectKind::Session, "255"),
            (SubjectKind::Account, "anna"),
            (SubjectKind::Network, "AS64500"),
        ] {
            assert_eq!(of(kind, value), None, "{value}");
        }
    }
}
