//! Facts of a slice of traffic that need no more than its counts and those of the rest.

use super::endpoint::Slot;
use super::origins::Shares;
use super::part::{Crowd, OF_EXCESS, OF_REST, OF_STEPS, Rest};
use super::past::Past;
use super::slice::{Slice, ratio};
use crate::facts::{Fact, Facts};
use crate::role::Roles;

/// Facts of a slice that is held against nobody.
pub(super) fn alone(mut f: Facts) -> Facts {
    for later in [OF_REST, OF_EXCESS, OF_STEPS] {
        f.looked_at(later);
    }
    f
}

/// How a slice differs from the rest of this run and from what earlier runs learned, taken together.
pub(super) fn pooled(f: &mut Facts, rest: &Rest, crowd: &Crowd, past: &Past) {
    let clients = crowd.clients as f64 + f64::from(past.clients);
    f.set(Fact::RestRequests, f64::from(rest.n.saturating_add(past.requests)));
    f.set(Fact::RestClients, clients);
    let fails = rest.fails.saturating_add(past.fails);
    let told = fails.saturating_add(rest.ok).saturating_add(past.ok);
    if told >= 5 && clients >= 3.0 {
        f.set(Fact::RestFailRatio, ratio(fails, told));
        if let Some(own) = f.get(Fact::FailRatio) {
            f.set(Fact::FailExcess, own - ratio(fails, told));
        }
    }
    if clients < 3.0 {
        f.looked_at(&[Fact::MissingSteps]);
        return;
    }
    let share = |now: f64, then: u32| (now * crowd.clients as f64 + f64::from(then)) / clients;
    f.set(Fact::RestNarrow, share(crowd.narrow, past.narrow));
    f.set(Fact::RestNoAssets, share(crowd.bare, past.bare));
    f.set(Fact::RestTools, share(crowd.tools, past.tools));
    if let Some(shares) = crowd.origins.shares().filter(|s| s.located >= 3.0) {
        origin_facts(f, &shares);
    }
}

pub(super) fn origin_facts(f: &mut Facts, shares: &Shares) {
    f.set(Fact::RestHosting, shares.hosting);
    f.set(Fact::RestAnonymous, shares.anonymous);
    f.set(Fact::RestReported, shares.reported);
    f.set(Fact::RestOneNetwork, shares.one_network);
}

/// How many times more than the rest's a client of the slice does; nothing more is to be found out about the rest then.
pub(super) fn excess_of_rest(f: &mut Facts, slot: &Slot, slice: &Slice<'_>, own: &[u64]) {
    if slice.outlier.is_none() {
        let before = || slot.past.as_ref().and_then(|_| slot.by_client.p95_without(0));
        excess(f, slice, rest_p95(slot, slice, own).or_else(before));
    }
    f.looked_at(OF_REST);
    f.looked_at(OF_EXCESS);
}

/// What the slice's counts tell of its answers, numbers, bodies and cookies.
pub(super) fn beside(f: &mut Facts, slot: &Slot, slice: &Slice<'_>) {
    let of = |n: u32| ratio(n, slice.n);
    let known = [
        (Fact::HourExcess, slot.week.excess()),
        (Fact::LimitedRatio, slice.limited.map(of)),
        (Fact::ErrorRatio, slice.errors.map(of)),
        (Fact::UnknownRatio, slice.whys.map(|w| of(w[0]))),
        (Fact::LockedRatio, slice.whys.map(|w| of(w[1]))),
        (Fact::DeclinedRatio, slice.whys.map(|w| of(w[2]))),
        (Fact::Ascending, slice.ascending),
        (Fact::EvenStride, slice.even),
        (Fact::ArrivalRegular, slice.gaps.and_then(super::sketch::Gaps::regular)),
        (Fact::ArrivalSpread, slice.gaps.and_then(super::sketch::Gaps::spread)),
        (Fact::BodyElsewhere, slot.bodies.elsewhere(slice.bodies)),
        (Fact::CookiesElsewhere, slot.cookies.elsewhere(slice.cookies)),
    ];
    for (fact, value) in known {
        if let Some(value) = value {
            f.set(fact, value);
        }
    }
    if let Some(typed) = slice.typed {
        f.set(Fact::Typed, of(typed));
        if let Some(share) = slot.early.typed_by_others(slice.n) {
            f.set(Fact::RestTyped, share);
        }
    }
    f.set(Fact::AgentsPerClient, slice.agents as f64 / slice.clients.max(1) as f64);
    if let Some([addresses, networks, agents]) = slice.spread {
        f.set(Fact::SessionAddresses, addresses as f64);
        f.set(Fact::SessionNetworks, networks as f64);
        f.set(Fact::SessionAgents, agents as f64);
    }
}

pub(super) fn per_client(slice: &Slice<'_>) -> f64 {
    f64::from(slice.n) / slice.clients.max(1) as f64
}

/// How many times more than `usual` a client of the slice does.
pub(super) fn excess(f: &mut Facts, slice: &Slice<'_>, usual: Option<f64>) {
    f.looked_at(OF_EXCESS);
    let Some(usual) = usual else { return };
    f.set(Fact::RestTargetsPerClient, usual);
    let per_client = per_client(slice);
    let own = if slice.clients <= 1 { slice.targets.max(per_client.min(slice.targets)) } else { per_client };
    f.set(Fact::TargetExcess, own / usual.max(1.0));
}

/// What 95 % of the clients of other, unconvicted parts stay under; `own` are the slice's clients, in order.
pub(super) fn rest_p95(slot: &Slot, slice: &Slice<'_>, own: &[u64]) -> Option<f64> {
    let mut counts: Vec<u32> = Vec::new();
    for shape in &slot.order {
        let Some(part) = slot.parts.get(shape) else { continue };
        if slice.without_shape != Some(*shape) && part.campaign.is_none() {
            let others = part.members.iter().take(1024).filter(|m| own.binary_search(&m.unit).is_err());
            counts.extend(others.map(|m| m.n));
        }
    }
    if counts.len() < 3 {
        return None;
    }
    let at = (counts.len() - 1) * 95 / 100;
    Some(f64::from(*counts.select_nth_unstable(at).1))
}

pub(super) fn role_facts(f: &mut Facts, slot: &Slot) {
    let roles = slot.roles();
    let facts = [
        (Fact::RoleLogin, Roles::LOGIN),
        (Fact::RoleSignUp, Roles::SIGN_UP),
        (Fact::RoleReset, Roles::RESET),
        (Fact::RoleOtp, Roles::OTP),
        (Fact::RoleCheckout, Roles::CHECKOUT),
        (Fact::RoleCart, Roles::CART),
        (Fact::RoleGiftCard, Roles::GIFT_CARD),
        (Fact::RoleCoupon, Roles::COUPON),
        (Fact::RoleSearch, Roles::SEARCH),
        (Fact::RoleInventory, Roles::INVENTORY),
        (Fact::RoleTransfer, Roles::TRANSFER),
        (Fact::RoleSimSwap, Roles::SIM_SWAP),
        (Fact::RolePayment, Roles::PAYMENT),
        (Fact::RolePosting, Roles::POSTING),
        (Fact::RoleVote, Roles::VOTE),
        (Fact::RolePrice, Roles::PRICE),
        (Fact::RoleTelemetry, Roles::TELEMETRY),
        (Fact::RoleLookup, Roles::ID_LOOKUP),
    ];
    for (fact, role) in facts {
        f.flag(fact, roles.any(role));
    }
    // Asked for where objects are pages: elsewhere no rule needs it.
    if slot.pages * 2 > slot.n
        && let Some(share) = slot.owners.private()
    {
        f.set(Fact::PrivateObjects, share);
    }
    f.flag(Fact::Operation, slot.endpoint.template.contains('#'));
    let alters = matches!(&*slot.endpoint.method, "PUT" | "PATCH" | "DELETE");
    f.flag(Fact::RoleAlter, alters && slot.endpoint.template.ends_with('}'));
    f.flag(Fact::RoleRead, slot.reads * 2 > slot.n);
    f.flag(Fact::RolePage, slot.pages * 2 > slot.n);
}
