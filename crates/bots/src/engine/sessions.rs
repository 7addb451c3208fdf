//! Judgement of sessions: what one login does, whatever addresses and agents present it.

use std::collections::BTreeSet;

use super::Engine;
use super::convict::{due_calls, put_off};
use super::join::Sign;
use super::part::Found;
use super::slice::Slice;
use super::unit::Unit;

impl Engine {
    pub(super) fn judge_session(&mut self, hash: u64) {
        let all = self.retrospective;
        let Some(session) = self.units.get_session_mut(hash) else { return };
        let calls = due_calls(&session.calls, 12, all);
        put_off(&mut session.calls, 12);
        for call in calls {
            self.judge_session_call(hash, &call);
        }
    }

    fn judge_session_call(&mut self, hash: u64, call: &super::unit::Call) {
        let at = self.resolve(call.slot);
        let (Some(session), Some(slot)) = (self.units.get_session(hash), self.slots.get(at as usize)) else {
            return;
        };
        let slice = self.slice_of_session(call, session);
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        let own = || self.opens_its_own(&session.units, Some(hash), call);
        let export = || self.exports_its_own(&session.units, call, rule);
        if self.is_service(&session.units, rule) || self.class(rule) == "bola" && own() || export() {
            return;
        }
        let by_hand = || self.works_by_hand(&session.units, call, rule);
        let suspicious = self.too_weak(&self.view_at(slot), rule, &fired) || by_hand();
        let Some(unit) = session.units.first().and_then(|k| self.units.get(*k)) else { return };
        let (zone, agent) = (unit.zone.as_str().to_owned(), unit.agent.text.clone());
        let host = slot.endpoint.host.to_string();
        let sign = Sign {
            rule,
            zone: &zone,
            host: &host,
            shape: call.shape,
            slot: Some(at),
            agent: &agent,
            is_known: false,
            by_part: false,
        };
        let Some(campaign) = self.campaign(&sign, suspicious) else { return };
        self.note(campaign, &fired, &facts, &[call.evidence]);
        let conviction = self.conviction(campaign, rule, suspicious, call.shape, Some(call.evidence));
        let known = self.convictions.sessions.get(&hash);
        if known.is_none_or(|k| k.suspicious && !suspicious) {
            self.convictions.sessions.insert(hash, conviction);
        }
    }

    pub(super) fn slice_of_session<'a>(
        &self,
        call: &'a super::unit::Call,
        session: &'a super::units::Session,
    ) -> Slice<'a> {
        let mut slice = Slice::of_session(call, session);
        slice.spread = Some(self.spread(session)).filter(|_| !self.config.without.addresses);
        if let [only] = session.units.as_slice() {
            let browses = |u: &&Unit| u.loads_like_a_browser() && u.referers >= 3;
            slice.typed = self.units.get(*only).filter(browses).map(|_| call.walk().typed);
        }
        slice
    }

    /// Addresses, networks (/16, of IPv6 /32) and agent families that presented a session.
    fn spread(&self, session: &super::units::Session) -> [usize; 3] {
        let units = || session.units.iter().filter_map(|k| self.units.get(*k));
        let network = |u: &Unit| match u.ip {
            std::net::IpAddr::V4(ip) => u64::from(ip.to_bits() >> 16),
            std::net::IpAddr::V6(ip) => 1 << 32 | (ip.to_bits() >> 96) as u64,
        };
        let addresses: BTreeSet<std::net::IpAddr> = units().map(|u| u.ip).collect();
        let networks: BTreeSet<u64> = units().map(network).collect();
        let families: BTreeSet<&str> = units().map(|u| u.agent.family.as_str()).collect();
        [addresses.len(), networks.len(), families.len()]
    }
}
