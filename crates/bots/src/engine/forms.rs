//! Accounts made by the list: names and passwords of one form (`anna.berg107@…`, `Qw907!er`), one account from each address.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use super::Engine;
use super::join::Sign;
use super::member::{Member, Room};
use super::part::Found;
use super::slice::Slice;
use super::unit::{ExchangeId, Unit};
use crate::observation::{Observation, Part};
use crate::role::Roles;

/// Clients with accounts of one form from which on they are judged together.
const ALIKE: usize = 10;
/// Forms followed at one endpoint, and clients of each.
const FORMS: usize = 1_024;
const CLIENTS: usize = 512;

/// Who made accounts of which form.
#[derive(Clone, Debug, Default)]
pub(super) struct Forms {
    by_form: BTreeMap<u64, Vec<Member>>,
    /// Accounts that have a form.
    n: usize,
}

impl Forms {
    /// Takes a sign-up in.
    pub(super) fn add(&mut self, o: &Observation, unit: u64, delay_ms: u32, room: &mut Room) {
        if o.form == 0 || o.part == Part::Answer || !o.roles.any(Roles::SIGN_UP) {
            return;
        }
        self.n += 1;
        if self.by_form.len() >= FORMS && !self.by_form.contains_key(&o.form) {
            return;
        }
        let members = self.by_form.entry(o.form).or_default();
        if members.len() < CLIENTS && !members.iter().any(|m| m.unit == unit) && room.take() {
            let (first, last, evidence) = (o.ts, o.ts, ExchangeId::of(o));
            members.push(Member { unit, n: 1, ok: 0, fails: 0, first, last, delay_ms, evidence });
        }
    }

    /// Clients of all forms.
    pub(super) fn members(&self) -> usize {
        self.by_form.values().map(Vec::len).sum()
    }

    pub(super) fn merge(&mut self, other: Forms) {
        self.n += other.n;
        for (form, members) in other.by_form {
            let mine = self.by_form.entry(form).or_default();
            mine.extend(members);
            mine.truncate(CLIENTS);
        }
    }

    /// The clients of the forms that an eighth of all accounts have.
    fn usual(&self) -> impl Iterator<Item = &Vec<Member>> {
        self.by_form.values().filter(|m| m.len() >= ALIKE && m.len() * 8 >= self.n)
    }
}

impl Engine {
    /// Clients whose accounts are of one form, that open the form, fill it in and are gone, where others that make accounts do more.
    pub(super) fn judge_forms(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize).filter(|_| !self.config.without.campaigns) else {
            return;
        };
        if !slot.roles().any(Roles::SIGN_UP) {
            return;
        }
        let crowds: Vec<Vec<Member>> = slot.forms.usual().filter_map(|m| self.passers(at, m)).collect();
        for members in crowds {
            self.convict_forms(at, &members);
        }
    }

    /// Those of the members that do nothing else, where eight in ten do and of the others that make accounts fewer than half.
    fn passers(&self, at: u32, members: &[Member]) -> Option<Vec<Member>> {
        let begins = |m: &Member| self.units.get(m.unit).and_then(|u| u.calls.first()).map(|c| c.slot);
        let entry = members.iter().find_map(begins)?;
        let passes = |m: &&Member| {
            begins(m) == Some(entry) && self.units.get(m.unit).is_some_and(|u| !u.shared && leaves(u))
        };
        let passing: Vec<Member> = members.iter().filter(passes).copied().collect();
        let own: BTreeSet<u64> = members.iter().map(|m| m.unit).collect();
        let slot = self.slots.get(at as usize)?;
        let others = slot.parts.values().flat_map(|p| p.members.iter().take(256));
        let others = others.filter(|m| !own.contains(&m.unit)).filter_map(|m| self.units.get(m.unit));
        let (all, leaving) =
            others.fold((0usize, 0usize), |(all, gone), u| (all + 1, gone + usize::from(leaves(u))));
        let many = passing.len() >= ALIKE && passing.len() * 10 >= members.len() * 8;
        (many && leaving * 2 <= all).then_some(passing)
    }

    fn convict_forms(&mut self, at: u32, members: &[Member]) {
        let Some(slot) = self.slots.get(at as usize) else { return };
        let n = members.len() as f64;
        let mut slice = Slice::of_bare(members, n, false);
        slice.accounts = n;
        slice.one_form = Some(members.len());
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        if !self.rests_on(rule, "signup-form") || self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        let (zone, host) = (slot.zone.clone(), slot.endpoint.host.to_string());
        let sign = Sign {
            rule,
            zone: &zone,
            host: &host,
            shape: 3,
            slot: Some(at),
            agent: "",
            is_known: false,
            by_part: true,
        };
        let Some(campaign) = self.campaign(&sign, false) else { return };
        let evidence: SmallVec<[ExchangeId; 5]> = members.iter().take(5).map(|m| m.evidence).collect();
        self.note(campaign, &fired, &facts, &evidence);
        for member in members {
            if self.units.get(member.unit).is_some_and(|u| !self.is_good(u)) {
                self.convict_unit(member.unit, campaign, rule, false, 3, Some(member.evidence));
            }
        }
    }
}

/// True of a client that asked for the form, sent it, saw what came of it, and no more.
fn leaves(unit: &Unit) -> bool {
    unit.breadth() <= 3 && unit.n.saturating_sub(unit.assets) <= 4
}
