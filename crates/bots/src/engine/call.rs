//! What a client or a session did on one endpoint.

use sidetap_model::Ts;

use super::pool::{Held, Leave, of_box};
use super::tally::Tally;
use super::unit::ExchangeId;
use crate::observation::{Observation, Outcome, Part, Surface, Traits};

/// What a client or a session did on one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) slot: u32,
    pub(crate) n: u32,
    pub(crate) ok: u32,
    pub(crate) denied: u32,
    pub(crate) missing: u32,
    pub(crate) refused: u32,
    pub(crate) targets: Tally,
    pub(crate) shape: u64,
    pub(crate) door: u64,
    /// Comes with the first number that is asked for.
    walk: Option<Box<Walk>>,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    pub(crate) evidence: ExchangeId,
    /// Requests at which it is judged again.
    pub(crate) next: u32,
}

/// Steps from one number that was asked for to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walk {
    last: u64,
    pub(crate) steps: u32,
    /// To a number not far away.
    pub(crate) near: u32,
    /// To a greater number, and those as wide as the one before.
    pub(crate) up: u32,
    pub(crate) even: u32,
    stride: i64,
    /// Pages opened by their number without a Referer: no link led there.
    pub(crate) typed: u32,
    /// Things asked for beside the first of each request.
    pub(crate) further: u32,
}

impl Walk {
    fn step(&mut self, number: u64) {
        if self.last != 0 && number != self.last {
            self.steps += 1;
            self.near += u32::from(number.abs_diff(self.last) <= 8);
            let stride = number.wrapping_sub(self.last).cast_signed();
            self.up += u32::from(stride > 0);
            self.even += u32::from(stride == self.stride);
            self.stride = stride;
        }
        self.last = number;
    }

    fn merge(&mut self, other: &Walk) {
        self.steps += other.steps;
        self.near += other.near;
        self.up += other.up;
        self.even += other.even;
        self.typed += other.typed;
        self.further += other.further;
    }
}

/// Calls kept apart for one client; more are only counted.
const CALLS: usize = 48;
/// As long as there are so few, no room is kept for more: most clients do no more.
const TIGHT: usize = 4;

impl Call {
    fn new(slot: u32, o: &Observation) -> Self {
        Call {
            slot,
            n: 0,
            ok: 0,
            denied: 0,
            missing: 0,
            refused: 0,
            targets: Tally::default(),
            shape: o.prints.shape,
            door: o.prints.door,
            walk: None,
            first: o.ts,
            last: o.ts,
            evidence: ExchangeId::of(o),
            next: 0,
        }
    }

    /// Calls: those that came together in one request each by itself.
    pub(crate) fn all(&self) -> u32 {
        self.n.saturating_add(self.walk.as_deref().map_or(0, |w| w.further))
    }

    /// Takes a request or an answer in; gives how many calls there were before.
    fn add(&mut self, o: &Observation, leave: &mut Leave) -> u32 {
        let before = self.all();
        if o.part != Part::Answer {
            self.n += 1;
            self.last = o.ts;
            self.shape = o.prints.shape;
            self.door = o.prints.door;
            if let Some(target) = o.target {
                self.targets.insert(target.hash, leave);
                if let Some(number) = target.number {
                    let walk = self.walk.get_or_insert_default();
                    walk.step(number);
                    walk.typed += u32::from(o.surface == Surface::Page && !o.traits.has(Traits::REFERER));
                }
            }
            if o.further() > 0 {
                self.walk.get_or_insert_default().further += o.further();
            }
            for target in &o.more_targets {
                self.targets.insert(target.hash, leave);
                let walk = self.walk.get_or_insert_default();
                if let Some(number) = target.number {
                    walk.step(number);
                }
            }
        }
        match o.outcome.basic() {
            Outcome::Success => self.ok += 1,
            Outcome::Denied => self.denied += 1,
            Outcome::NotFound => self.missing += 1,
            Outcome::Refused => self.refused += 1,
            _ => {}
        }
        before
    }

    /// What it holds beside its own record.
    pub(crate) fn held(&self) -> Held {
        Held::of(of_box(self.walk.as_deref())) + Held::of_lists(self.targets.heap())
    }

    /// The steps between the numbers that were asked for.
    pub(crate) fn walk(&self) -> Walk {
        self.walk.as_deref().copied().unwrap_or_default()
    }

    pub(crate) const fn fails(&self) -> u32 {
        self.denied + self.missing + self.refused
    }

    pub(crate) fn merge(&mut self, other: &Call) {
        self.n += other.n;
        self.ok += other.ok;
        self.denied += other.denied;
        self.missing += other.missing;
        self.refused += other.refused;
        self.targets.merge(&other.targets);
        self.targets.tighten();
        if let Some(theirs) = &other.walk {
            self.walk.get_or_insert_default().merge(theirs);
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// Adds to the call record of a slot; gives the count before, nothing where the list is full.
pub(super) fn add_call(calls: &mut Vec<Call>, slot: u32, o: &Observation, leave: &mut Leave) -> Option<u32> {
    if let Some(call) = calls.iter_mut().find(|c| c.slot == slot) {
        return Some(call.add(o, leave));
    }
    if calls.len() >= CALLS {
        return None;
    }
    let mut call = Call::new(slot, o);
    let before = call.add(o, leave);
    if calls.len() < TIGHT {
        calls.reserve_exact(1);
    }
    calls.push(call);
    Some(before)
}
