//! How the clients of a slice come one after another, and how much each of them does.

use super::member::Member;
use super::sketch::Gaps;
use super::slice::{SAMPLE, Slice, Who};
use crate::facts::{Fact, Facts};

/// Clients from which on their arrivals and counts are compared.
const LEAST: usize = 12;

/// Facts about the members of a part: in the order in which they came.
pub(super) fn facts(f: &mut Facts, slice: &Slice<'_>) {
    let Who::Members(members) = slice.who else { return };
    if members.len() < LEAST {
        return;
    }
    let members = members.get(..members.len().min(SAMPLE)).unwrap_or(members);
    let straight = members.iter().filter(|m| m.delay_ms == 0).count();
    f.set(Fact::Straight, straight as f64 / members.len() as f64);
    f.set(Fact::EqualCounts, equal_counts(members));
    let mut gaps = Gaps::default();
    for pair in members.windows(2) {
        if let [before, after] = pair {
            gaps.add(after.first.since(before.first).max(0));
        }
    }
    if let Some(share) = gaps.regular() {
        f.set(Fact::ArrivalsEven, share);
    }
}

/// Share of the members that made the most usual number of requests, where that is two or more.
fn equal_counts(members: &[Member]) -> f64 {
    let mut counts = [0u32; 64];
    for member in members {
        if let Some(n) = counts.get_mut(member.n as usize) {
            *n += 1;
        }
    }
    let most = counts.iter().skip(2).max().copied().unwrap_or(0);
    f64::from(most) / members.len() as f64
}
