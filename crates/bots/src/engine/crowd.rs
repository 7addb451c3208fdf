//! Crowds that no fingerprint tells from the application's own callers: clients that do one thing only, and clients that
//! all give to one receiver.

use smallvec::SmallVec;

use super::Engine;
use super::endpoint::Member;
use super::join::Sign;
use super::part::Found;
use super::slice::Slice;
use super::unit::{ExchangeId, Unit};
use crate::facts::Fact;
use crate::role::Roles;

/// Bare clients from which on they are judged together.
const BARE: usize = 20;
/// The same for clients that ask for things that are not there, and find none.
const BARE_GUESSERS: usize = 12;
/// The same for clients that only read, each again and again.
const BARE_READERS: usize = 6;
/// Calls from which on a client reads again and again.
const READS: u32 = 8;
/// Clients that give to one receiver from which on they are judged together.
const GIVERS: usize = 5;
/// A person does not log in, look and pay in this time.
const AT_ONCE_MS: u32 = 15_000;
/// Clients first seen in the capture's first minutes may have come through the application before it began.
const SETTLE_NS: i64 = 90_000_000_000;

impl Engine {
    /// Clients that call one endpoint and nothing else, a sensitive one or one that tells prices or shows pages (or look up what is not there), where nearly all others come through the application:
    /// rotating addresses behind requests that cannot be told from those of the application.
    pub(super) fn judge_bare(&mut self, at: u32) {
        if self.config.without.campaigns {
            return;
        }
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        let roles = slot.roles();
        let reads = !roles.any(Roles(Roles::SENSITIVE.0 | Roles::INVENTORY.0));
        let judged = !reads || roles.any(Roles::PRICE) || slot.pages > slot.n / 2;
        // Of an endpoint that only looks things up those are judged who found nothing.
        let guessed = !judged && roles.any(Roles::ID_LOOKUP);
        if !judged && !guessed || slot.n < slot.next && !self.retrospective {
            return;
        }
        slot.next = slot.n + (slot.n / 6).max(12);
        let Some(slot) = self.slots.get(at as usize) else { return };
        let mut members: Vec<Member> = Vec::new();
        let mut targets = 0.0;
        let settled = self.start.plus(SETTLE_NS);
        for part in slot.order.iter().filter_map(|s| slot.parts.get(s)).filter(|p| p.campaign.is_none()) {
            for member in &part.members {
                let Some(unit) = self.units.get(member.unit) else { continue };
                let nothing_found = member.ok == 0 && member.fails > 0;
                let enough = if guessed { nothing_found } else { !reads || member.n >= READS };
                if enough && self.lives_for(unit, at) && unit.first >= settled {
                    let call = unit.calls.iter().find(|c| c.slot == at);
                    targets += call.map_or(0.0, |c| c.targets.count().min(f64::from(c.n)));
                    members.push(*member);
                }
            }
        }
        let least = match (guessed, reads) {
            (true, _) => BARE_GUESSERS,
            (false, true) => BARE_READERS,
            (false, false) => BARE,
        };
        if members.len() < least {
            return;
        }
        let slice = Slice::of_bare(&members, targets, slot.roles().any(Roles::LOGIN));
        if guessed && !slot.others_find(&members) {
            return;
        }
        let slice = if guessed { slice.that_found_nothing() } else { slice };
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        // Where others come with their pages, and got in while these did not, the steps that these leave out are the pages.
        let beside = || {
            slot.roles().any(Roles::LOGIN)
                && facts.get(Fact::RestNoAssets).is_some_and(|share| share <= 0.3)
                && self.alone_failed(slot, &members) >= 0.6
        };
        let steps = facts.get(Fact::MissingSteps).is_some_and(|n| n >= 1.0);
        if self.too_weak(&self.view_at(slot), rule, &fired) || !steps && !beside() {
            return;
        }
        let (zone, host) = (slot.zone.clone(), slot.endpoint.host.to_string());
        let sign =
            Sign { rule, zone: &zone, host: &host, shape: 0, slot: Some(at), agent: "", by_part: true };
        let Some(campaign) = self.campaign(&sign, false) else { return };
        let evidence: SmallVec<[ExchangeId; 5]> = members.iter().take(5).map(|m| m.evidence).collect();
        self.note(campaign, &fired, &facts, &evidence);
        self.convict_members(campaign, 0, &members);
    }

    /// Clients that each come, log in and at once send money to, or add, one and the same receiver.
    pub(super) fn judge_receivers(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize).filter(|_| !self.config.without.campaigns) else {
            return;
        };
        if !slot.roles().any(Roles::TRANSFER) {
            return;
        }
        let at_once = |m: &Member| {
            let unit = self.units.get(m.unit);
            m.delay_ms <= AT_ONCE_MS && unit.is_some_and(|u| u.assets == 0 && !u.trusted && !u.shared)
        };
        let crowds: Vec<Vec<Member>> =
            slot.receivers.values().filter(|m| m.len() >= GIVERS).cloned().collect();
        let convicted: Vec<Vec<Member>> = crowds
            .into_iter()
            .filter_map(|crowd| {
                let members: Vec<Member> = crowd.iter().copied().filter(at_once).collect();
                (members.len() >= GIVERS && members.len() * 5 >= crowd.len() * 4).then_some(members)
            })
            .collect();
        for members in convicted {
            self.convict_givers(at, &members);
        }
    }

    fn convict_givers(&mut self, at: u32, members: &[Member]) {
        let Some(slot) = self.slots.get(at as usize) else { return };
        let mut slice = Slice::of_bare(members, 1.0, false);
        slice.quick = Some(1.0);
        slice.one_receiver = Some(members.len());
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        if self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        let (zone, host) = (slot.zone.clone(), slot.endpoint.host.to_string());
        let sign =
            Sign { rule, zone: &zone, host: &host, shape: 1, slot: Some(at), agent: "", by_part: true };
        let Some(campaign) = self.campaign(&sign, false) else { return };
        let evidence: SmallVec<[ExchangeId; 5]> = members.iter().take(5).map(|m| m.evidence).collect();
        self.note(campaign, &fired, &facts, &evidence);
        for member in members {
            if self.units.get(member.unit).is_some_and(|u| !self.is_good(u)) {
                self.convict_unit(member.unit, campaign, rule, false, 1, Some(member.evidence));
            }
        }
    }

    /// True where the client calls this endpoint and nothing else but the form that leads to it.
    fn lives_for(&self, unit: &Unit, at: u32) -> bool {
        let template = self.slots.get(at as usize).map(|s| &s.endpoint.template);
        let of_it =
            |slot: u32| slot == at || self.slots.get(slot as usize).map(|s| &s.endpoint.template) == template;
        unit.assets == 0 && unit.rare().calls_over == 0 && unit.calls.iter().all(|c| of_it(c.slot))
    }
}
