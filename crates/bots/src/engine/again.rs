//! Acts that people do once: an account made, a code sent, a link posted. Who does one after the other, and nothing else, is told from
//! the others of the endpoint by that number alone, however whole a browser he sends.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use smallvec::SmallVec;

use super::Engine;
use super::endpoint::Slot;
use super::member::Member;
use super::part::Found;
use super::slice::Slice;
use super::unit::{Call, ExchangeId, Unit};
use crate::indicators::Rule;
use crate::role::Roles;

/// Clients looked at of one endpoint.
const MOST: usize = 65_536;

/// What is done again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    /// An account is made.
    Account,
    /// A code is sent to a number.
    Code,
    /// A text with a link to elsewhere is posted.
    Link,
    /// A request carries twenty calls and more, and shows nobody's credentials.
    Bulk,
    /// Something is done to one and the same thing, where the others do it to one after the other.
    Same,
}

impl Act {
    fn at(slot: &Slot) -> Option<Act> {
        let roles = slot.roles();
        Some(match () {
            () if roles.any(Roles::SIGN_UP) => Act::Account,
            () if roles.any(Roles::OTP) => Act::Code,
            () if slot.linked >= 24 && !roles.any(Roles(Roles::SENSITIVE.0 | Roles::TELEMETRY.0)) => {
                Act::Link
            }
            () if slot.bulk >= 24 => Act::Bulk,
            () if slot.n >= 100
                && slot.reads.saturating_mul(4) <= slot.n
                && slot.pages == 0
                && !roles.any(Roles(Roles::SENSITIVE.0 | Roles::TELEMETRY.0)) =>
            {
                Act::Same
            }
            () => return None,
        })
    }

    /// The indicator that names it.
    const fn indicator(self) -> &'static str {
        match self {
            Act::Account => "signup-hopping",
            Act::Code => "otp-hopping",
            Act::Link => "links-again",
            Act::Bulk => "calls-in-bulk",
            Act::Same => "one-thing-crowd",
        }
    }

    /// Clients that do it, at least.
    const fn clients(self) -> usize {
        match self {
            Act::Account | Act::Same => 12,
            Act::Code | Act::Link => 8,
            Act::Bulk => 3,
        }
    }

    /// One in so many of all that do it, at least.
    const fn one_in(self) -> usize {
        match self {
            Act::Account | Act::Link => 5,
            Act::Code => 10,
            Act::Bulk | Act::Same => usize::MAX,
        }
    }

    /// True of a client that did it again and again.
    fn is_again(self, unit: &Unit, call: &Call) -> bool {
        let different = call.targets.count().min(f64::from(call.n));
        match self {
            Act::Same => call.ok >= 8 && different <= 1.0,
            Act::Account => call.ok >= 2 && different >= 2.0,
            Act::Code => {
                call.ok >= 4 && different >= 4.0 && call.ok.saturating_mul(5) >= call.n.saturating_mul(4)
            }
            Act::Link => call.ok >= 3 && unit.rare().linked.saturating_mul(10) >= call.n.saturating_mul(9),
            Act::Bulk => {
                unit.tool && call.n >= 10 && unit.rare().bulk.saturating_mul(10) >= call.n.saturating_mul(8)
            }
        }
    }
}

/// Three in five of what it asked for, but for what belongs to pages, at few endpoints: it came for this.
fn came_for_it(act: Act, unit: &Unit, call: &Call) -> bool {
    let all = unit.n.saturating_sub(unit.assets);
    if act == Act::Account {
        // The form asks as well whether a name is free.
        return unit.breadth() <= 4 && call.n.saturating_mul(3) >= all;
    }
    unit.breadth() <= 5 && call.n.saturating_mul(5) >= all.saturating_mul(3)
}

impl Engine {
    /// Convicts those who do again and again what others do once.
    pub(super) fn judge_again(&mut self, at: u32) {
        if self.config.without.campaigns {
            return;
        }
        let Some(slot) = self.slots.get(at as usize) else { return };
        let Some(act) = Act::at(slot) else { return };
        if slot.n < slot.next_again && !self.retrospective {
            return;
        }
        let next = slot.n.saturating_add((slot.n / 6).max(12));
        let members = self.again(slot, at, act);
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.next_again = next;
        }
        let Some((members, targets)) = members else { return };
        let Some(slot) = self.slots.get(at as usize) else { return };
        let mut slice = Slice::of_bare(&members, targets, false);
        (slice.again, slice.bulk) = (true, act == Act::Bulk);
        slice.accounts = if act == Act::Account { targets } else { 0.0 };
        let Some(Found { fired, facts, .. }) = self.class_of(slot, &slice) else { return };
        let own = |r: &Rule| self.names(r, act.indicator()) && r.holds(&fired);
        let Some(rule) = self.pack.rules().iter().position(own) else { return };
        if self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        let evidence: SmallVec<[ExchangeId; 5]> = members.iter().take(5).map(|m| m.evidence).collect();
        let Some(campaign) = self.campaign_at(at, rule) else { return };
        self.note(campaign, &fired, &facts, &evidence);
        for member in &members {
            self.convict_unit(member.unit, campaign, rule, false, 0, Some(member.evidence));
        }
    }

    /// Those who do it again and again, where they are many enough beside the others, and how many things that were.
    fn again(&self, slot: &Slot, at: u32, act: Act) -> Option<(Vec<Member>, f64)> {
        let (mut seen, mut again) = (BTreeSet::new(), Vec::new());
        let (mut targets, mut others, mut alone, mut marked) = (0.0, 0usize, 0usize, 0u32);
        let (mut things, mut which_of) = (BTreeMap::<Option<u32>, usize>::new(), Vec::new());
        let parts = slot.order.iter().filter_map(|s| slot.parts.get(s));
        for member in parts.flat_map(|p| &p.members).take(MOST) {
            let Some(unit) = self.units.get(member.unit).filter(|_| seen.insert(member.unit)) else {
                continue;
            };
            let Some(call) = unit.calls.iter().find(|c| self.resolve(c.slot) == at) else { continue };
            if call.ok == 0 {
                continue;
            }
            let anybody = unit.shared || self.is_good(unit) || self.is_office(unit);
            if !anybody && act.is_again(unit, call) && came_for_it(act, unit, call) {
                marked += if act == Act::Link { unit.rare().linked } else { unit.rare().bulk };
                if act == Act::Same {
                    let which = call.targets.all().and_then(|all| all.first().copied());
                    things.entry(which).or_insert(0usize).add_assign(1);
                    which_of.push(which);
                }
                targets += call.targets.count().min(f64::from(call.n));
                again.push(Member { n: call.n, ok: call.ok, fails: call.fails(), ..*member });
            } else {
                match act {
                    Act::Same if call.n < 3 => {}
                    Act::Same if call.targets.count() <= 1.0 => alone += 1,
                    _ => others += 1,
                }
            }
        }
        if act == Act::Same {
            // The thing that most do it to; who does it to another one only is one of the others.
            let (most, _) = things.iter().filter(|(which, _)| which.is_some()).max_by_key(|(_, n)| **n)?;
            let before = again.len();
            let mut of = which_of.iter();
            again.retain(|_| of.next() == Some(most));
            alone += before - again.len();
            let apart = others >= 5 && alone.saturating_mul(5) <= others;
            again.sort_unstable_by_key(|m| m.unit);
            return (apart && again.len() >= act.clients()).then_some((again, 1.0));
        }
        let enough =
            again.len() >= act.clients() && again.len().saturating_mul(act.one_in()) >= again.len() + others;
        // Where the others do it too it is what the endpoint is for.
        let own: u32 = again.iter().map(|m| m.n).fold(0, u32::saturating_add);
        let all = if act == Act::Link { slot.linked } else { slot.bulk };
        let rest = slot.n.saturating_sub(own);
        let unusual = matches!(act, Act::Account | Act::Code)
            || others >= 5 && all.saturating_sub(marked).saturating_mul(5) <= rest;
        again.sort_unstable_by_key(|m| m.unit);
        (enough && unusual).then_some((again, targets))
    }
}
