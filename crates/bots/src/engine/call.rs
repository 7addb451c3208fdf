//! What a client or a session did on one endpoint.

use sidetap_model::Ts;
use smallvec::SmallVec;

use super::sketch::Distinct;
use super::unit::ExchangeId;
use crate::observation::{Observation, Outcome, Part};

/// What a client or a session did on one endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) slot: u32,
    pub(crate) n: u32,
    pub(crate) ok: u32,
    pub(crate) denied: u32,
    pub(crate) missing: u32,
    pub(crate) refused: u32,
    pub(crate) targets: Distinct,
    pub(crate) shape: u64,
    pub(crate) last_number: u64,
    pub(crate) steps: u32,
    pub(crate) near: u32,
    /// Steps to a greater number, and those as wide as the one before.
    pub(crate) up: u32,
    pub(crate) even: u32,
    stride: i64,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    pub(crate) evidence: ExchangeId,
    /// Requests at which it is judged again.
    pub(crate) next: u32,
}

/// Calls kept apart for one client; more are only counted.
const CALLS: usize = 48;

impl Call {
    fn new(slot: u32, o: &Observation) -> Self {
        Call {
            slot,
            n: 0,
            ok: 0,
            denied: 0,
            missing: 0,
            refused: 0,
            targets: Distinct::default(),
            shape: o.prints.shape,
            last_number: 0,
            steps: 0,
            near: 0,
            up: 0,
            even: 0,
            stride: 0,
            first: o.ts,
            last: o.ts,
            evidence: (o.flow_id, o.seq),
            next: 0,
        }
    }

    /// Takes a request or an answer in; gives how many requests there were before.
    fn add(&mut self, o: &Observation) -> u32 {
        let before = self.n;
        if o.part != Part::Answer {
            self.n += 1;
            self.last = o.ts;
            self.shape = o.prints.shape;
            if let Some(target) = o.target {
                self.targets.insert(target.hash);
                if let Some(number) = target.number {
                    self.step(number);
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

    fn step(&mut self, number: u64) {
        if self.last_number != 0 && number != self.last_number {
            self.steps += 1;
            self.near += u32::from(number.abs_diff(self.last_number) <= 8);
            let stride = number.wrapping_sub(self.last_number).cast_signed();
            self.up += u32::from(stride > 0);
            self.even += u32::from(stride == self.stride);
            self.stride = stride;
        }
        self.last_number = number;
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
        self.steps += other.steps;
        self.near += other.near;
        self.up += other.up;
        self.even += other.even;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// Adds to the call record of a slot; gives the count before, nothing where the list is full.
pub(super) fn add_call<const N: usize>(
    calls: &mut SmallVec<[Call; N]>,
    over: &mut u32,
    slot: u32,
    o: &Observation,
) -> Option<u32>
where
    [Call; N]: smallvec::Array<Item = Call>,
{
    if let Some(call) = calls.iter_mut().find(|c| c.slot == slot) {
        return Some(call.add(o));
    }
    if calls.len() >= CALLS {
        *over += 1;
        return None;
    }
    let mut call = Call::new(slot, o);
    let before = call.add(o);
    calls.push(call);
    Some(before)
}
