//! What a slice of an endpoint's traffic means beside the rest of it. Facts are looked at in the order of what they cost,
//! and only as long as a class may still hold.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::Engine;
use super::contrast::{alone, beside, excess, excess_of_rest, origin_facts, per_client, pooled, role_facts};
use super::endpoint::Slot;
use super::origins::Origins;
use super::sketch::{Map, Ready};
use super::slice::{SAMPLE, Slice, ratio, sequential};
use super::unit::Unit;
use crate::agent::AgentKind;
use crate::facts::{Fact, Facts};
use crate::indicators::Scope;
use crate::role::Roles;

/// A class that a slice of traffic shows, and what shows it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) rule: usize,
    pub(super) fired: Vec<usize>,
    pub(super) facts: Facts,
}

/// Facts that need a look at the slice's clients.
const OF_CROWD: &[Fact] = &[
    Fact::Narrow,
    Fact::NoAssets,
    Fact::Tools,
    Fact::SingleUse,
    Fact::Declared,
    Fact::Open,
    Fact::PaceMs,
    Fact::PartHosting,
    Fact::PartAnonymous,
    Fact::PartReported,
    Fact::PartNetworks,
    Fact::PartCountries,
    Fact::PartOneNetwork,
    Fact::Networks,
    Fact::ClientsPerNetwork,
    Fact::Cookieless,
    Fact::Refererless,
    Fact::Settled,
    Fact::SignedIn,
    Fact::OneHead,
    Fact::Unvisited,
    Fact::Unread,
    Fact::EqualCounts,
    Fact::Straight,
    Fact::ArrivalsEven,
];
/// Facts that need a look at the rest's clients.
pub(super) const OF_REST: &[Fact] = &[
    Fact::RestRequests,
    Fact::RestClients,
    Fact::RestFailRatio,
    Fact::FailExcess,
    Fact::KinFailRatio,
    Fact::RestNarrow,
    Fact::HostClients,
    Fact::HostNarrow,
    Fact::RestNoAssets,
    Fact::RestTools,
    Fact::RestHosting,
    Fact::RestAnonymous,
    Fact::RestReported,
    Fact::RestOneNetwork,
    Fact::RestCookieless,
    Fact::RestRefererless,
    Fact::RestSettled,
    Fact::RestUnvisited,
    Fact::RestUnread,
    Fact::RestStraight,
    Fact::RestErrorRatio,
];
/// Facts about how much clients do, where the rest's are compared one by one.
pub(super) const OF_EXCESS: &[Fact] = &[Fact::RestTargetsPerClient, Fact::TargetExcess];
/// Facts about what clients do besides.
pub(super) const OF_STEPS: &[Fact] =
    &[Fact::MissingSteps, Fact::Conversion, Fact::RestConversion, Fact::Buys, Fact::Sequential];

/// Traits of a group of clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    pub(super) clients: usize,
    pub(super) narrow: f64,
    pub(super) bare: f64,
    pub(super) tools: f64,
    single: f64,
    declared: f64,
    open: f64,
    cookieless: f64,
    refererless: f64,
    settled: f64,
    signed_in: f64,
    blind: f64,
    unread: f64,
    /// Of those with ten calls and more.
    one_head: Option<f64>,
    pace: Option<f64>,
    pub(super) origins: Origins,
}

#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) n: u32,
    pub(super) ok: u32,
    pub(super) fails: u32,
    pub(super) errors: u32,
    pub(super) members: u32,
    pub(super) straight: u32,
    pub(super) sample: Vec<u64>,
}

impl Engine {
    /// The first class that a slice of an endpoint's traffic shows.
    pub(super) fn class_of(&self, slot: &Slot, slice: &Slice<'_>) -> Option<Found> {
        let view = self.view_at(slot);
        let facts = self.part_facts(slot, slice, |facts| view.may_match(Scope::Part, facts))?;
        let asked = view.ask(Scope::Part, &facts);
        let mut rule = self.matching(Scope::Part, &asked.fired)?;
        if self.class(rule) == "bola" && slot.is_open() {
            rule = self.matching_but("bola", &asked.fired)?;
        }
        Some(Found { rule, fired: asked.fired, facts })
    }

    /// Facts of a slice, looked at as long as `may` wants more of them; nothing where it does not.
    pub(super) fn part_facts(
        &self,
        slot: &Slot,
        slice: &Slice<'_>,
        may: impl Fn(&Facts) -> bool,
    ) -> Option<Facts> {
        let mut facts = Facts::default();
        for later in [OF_CROWD, OF_REST, OF_EXCESS, OF_STEPS] {
            facts.wait_for(later);
        }
        self.counted(&mut facts, slot, slice);
        if !may(&facts) {
            return None;
        }
        let sample = slice.who.sample();
        self.crowded(&mut facts, slice, &sample);
        if !may(&facts) {
            return None;
        }
        if self.config.without.contrast {
            return Some(alone(facts));
        }
        let mut own = sample.clone();
        own.sort_unstable();
        let rest = self.rest(slot, slice, &own);
        self.compared(&mut facts, slot, slice, &rest, &own);
        if !may(&facts) {
            return None;
        }
        self.stepped(&mut facts, slot, slice, &sample, &rest);
        Some(facts)
    }

    /// What the counts of the slice and of the endpoint tell.
    fn counted(&self, f: &mut Facts, slot: &Slot, slice: &Slice<'_>) {
        role_facts(f, slot);
        let sessions = self.host_sessions.get(&slot.host).map_or(0.0, super::sketch::Distinct::count);
        f.set(Fact::HostSessions, sessions);
        let fails = slice.denied + slice.missing + slice.refused;
        let told = slice.ok + fails;
        f.set(Fact::PartRequests, f64::from(slice.n));
        f.set(Fact::PartClients, slice.clients as f64);
        f.set(Fact::PerClient, per_client(slice));
        if told > 0 {
            f.set(Fact::Fails, f64::from(fails));
            f.set(Fact::Successes, f64::from(slice.ok));
            f.set(Fact::FailRatio, ratio(fails, told));
            f.set(Fact::DeniedRatio, ratio(slice.denied, told));
            f.set(Fact::NotFoundRatio, ratio(slice.missing, told));
            f.set(Fact::RefusedRatio, ratio(slice.refused, told));
        }
        f.set(Fact::Targets, slice.targets);
        f.set(Fact::TargetRatio, slice.targets / f64::from(slice.n.max(1)));
        f.set(Fact::TargetsPerClient, slice.targets / slice.clients.max(1) as f64);
        f.set(Fact::PartAgents, slice.agents as f64);
        f.set(Fact::PartAccounts, slice.accounts);
        f.set(Fact::Tokens, slice.tokens);
        f.set(Fact::TokensPerClient, slice.tokens / slice.clients.max(1) as f64);
        // None where they are not counted, or no request carried one.
        if slice.secrets > 0.0 {
            f.set(Fact::Secrets, slice.secrets);
            f.set(Fact::SecretsPerRequest, slice.secrets / f64::from(slice.n.max(1)));
            if slice.accounts > 0.0 {
                f.set(Fact::SecretsPerAccount, slice.secrets / slice.accounts);
            }
        }
        f.set(Fact::MailDigits, slice.mail_digits);
        f.set(Fact::Disposable, slice.disposable);
        let others =
            (slot.n.saturating_sub(slice.n), f64::from(slot.keyed) - slice.keyed * f64::from(slice.n));
        let usual = others.0 < 5 || others.1 >= 0.5 * f64::from(others.0);
        f.set(Fact::KeyClaimed, slice.keyed);
        f.set(Fact::PartKeyed, if usual { slice.keyed } else { 0.0 });
        f.set(Fact::PartSessions, slice.sessions);
        f.set(Fact::Span, slice.span_s);
        f.set(Fact::PerMinute, f64::from(slice.n) * 60.0 / slice.span_s.max(1.0));
        f.set(Fact::Share, ratio(slice.n, slot.n));
        if let Some(n) = slice.one_receiver {
            f.set(Fact::OneReceiver, n as f64);
        }
        if let Some(n) = slice.one_form {
            f.set(Fact::OneForm, n as f64);
        }
        f.set(Fact::Again, f64::from(u8::from(slice.again)));
        f.set(Fact::Bulk, f64::from(u8::from(slice.bulk)));
        if let Some(share) = slice.hoppers {
            f.set(Fact::Hoppers, share);
        }
        if let Some(n) = slice.channels {
            f.set(Fact::Channels, n as f64);
        }
        if let Some(stepping) = slice.stepping {
            f.set(Fact::Stepping, stepping);
        }
        if let Some(quick) = slice.quick {
            f.set(Fact::Quick, quick);
        }
        beside(f, slot, slice);
        let usual = match slice.outlier.filter(|_| !self.config.without.contrast) {
            Some((true, n)) => slot.by_session.p95_without(n),
            Some((false, n)) => slot.by_client.p95_without(n),
            None => return,
        };
        excess(f, slice, usual);
        // Against the middle: bots of one kind may be more than one client in twenty.
        if let Some(middle) = slice.outlier.and_then(|(_, n)| slot.by_client.stay_under(0.5, n)) {
            f.set(Fact::ActExcess, per_client(slice) / middle.max(1.0));
        }
    }

    /// What the slice's clients are like.
    fn crowded(&self, f: &mut Facts, slice: &Slice<'_>, sample: &[u64]) {
        let crowd = self.crowd(sample.iter().filter_map(|k| self.units.get(*k)));
        f.set(Fact::Cookieless, crowd.cookieless);
        f.set(Fact::Refererless, crowd.refererless);
        f.set(Fact::Settled, crowd.settled);
        f.set(Fact::SignedIn, crowd.signed_in);
        f.set(Fact::Unvisited, crowd.blind);
        f.set(Fact::Unread, crowd.unread);
        if let Some(share) = crowd.one_head {
            f.set(Fact::OneHead, share);
        }
        if !self.config.without.addresses {
            self.networks(f, sample);
        }
        super::rhythm::facts(f, slice);
        f.set(Fact::Narrow, if slice.bare { 1.0 } else { crowd.narrow });
        f.set(Fact::NoAssets, crowd.bare);
        f.set(Fact::Tools, crowd.tools);
        f.set(Fact::SingleUse, crowd.single);
        f.set(Fact::Declared, crowd.declared);
        f.set(Fact::Open, crowd.open);
        if let Some(pace) = crowd.pace {
            f.set(Fact::PaceMs, pace);
        }
        if let Some(shares) = crowd.origins.shares() {
            f.set(Fact::PartHosting, shares.hosting);
            f.set(Fact::PartAnonymous, shares.anonymous);
            f.set(Fact::PartReported, shares.reported);
            f.set(Fact::PartNetworks, shares.networks);
            f.set(Fact::PartCountries, shares.countries);
            f.set(Fact::PartOneNetwork, shares.one_network);
        }
        f.looked_at(OF_CROWD);
    }

    /// Networks that the clients looked at are in.
    fn networks(&self, f: &mut Facts, sample: &[u64]) {
        let network = |key: &u64| {
            self.units.get(*key).map(|u| match u.ip {
                IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
                IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
            })
        };
        let mut networks: Vec<u64> = sample.iter().filter_map(network).collect();
        let clients = networks.len();
        networks.sort_unstable();
        networks.dedup();
        f.set(Fact::Networks, networks.len() as f64);
        f.set(Fact::ClientsPerNetwork, clients as f64 / networks.len().max(1) as f64);
    }

    pub(super) fn crowd<'a>(&'a self, units: impl Iterator<Item = &'a Unit>) -> Crowd {
        let mut c = Crowd::default();
        let mut paces: SmallVec<[f64; 16]> = SmallVec::new();
        let (mut callers, mut plain) = (0u32, 0u32);
        for unit in units {
            c.clients += 1;
            c.narrow += f64::from(u8::from(unit.is_narrow()));
            c.bare += f64::from(u8::from(unit.assets == 0));
            c.tools += f64::from(u8::from(unit.tool));
            c.single += f64::from(u8::from(unit.n <= 4));
            c.declared += f64::from(u8::from(unit.agent.is_declared()));
            let open = unit.agent.is_declared()
                || matches!(unit.agent.kind, AgentKind::Library | AgentKind::ApiClient);
            c.open += f64::from(u8::from(open));
            c.cookieless += f64::from(u8::from(unit.cookies == 0));
            c.refererless += f64::from(u8::from(unit.referers == 0));
            c.settled += f64::from(u8::from(unit.trusted));
            c.signed_in += f64::from(u8::from(unit.habits.acts().logged_in > 0));
            c.blind += f64::from(u8::from(unit.habits.acts().blind > 0));
            c.unread += f64::from(u8::from(unit.habits.makes_up_referers()));
            let calls = unit.n.saturating_sub(unit.assets) >= 10;
            callers += u32::from(calls);
            plain += u32::from(calls && unit.habits.heads.count() <= 1.0);
            paces.extend(unit.gaps.median_ms());
            c.origins.add(&unit.standing);
        }
        c.one_head = (callers > 0).then(|| ratio(plain, callers));
        let n = c.clients.max(1) as f64;
        for share in [
            &mut c.narrow,
            &mut c.bare,
            &mut c.tools,
            &mut c.single,
            &mut c.declared,
            &mut c.open,
            &mut c.cookieless,
            &mut c.refererless,
            &mut c.settled,
            &mut c.signed_in,
            &mut c.blind,
            &mut c.unread,
        ] {
            *share /= n;
        }
        let middle = paces.len() / 2;
        if middle < paces.len() {
            c.pace = Some(*paces.select_nth_unstable_by(middle, f64::total_cmp).1);
        }
        c
    }

    /// The other, unconvicted parts of the endpoint's traffic; `own` are the slice's clients, in order.
    pub(super) fn rest(&self, slot: &Slot, slice: &Slice<'_>, own: &[u64]) -> Rest {
        let mut rest = Rest::default();
        for shape in &slot.order {
            let Some(part) = slot.parts.get(shape) else { continue };
            if slice.without_shape == Some(*shape) || part.campaign.is_some() {
                continue;
            }
            rest.n += part.n;
            rest.ok += part.ok;
            rest.fails += part.fails();
            rest.errors += part.errors;
            let room = SAMPLE.saturating_sub(rest.sample.len()).min(64);
            let step = part.members.len().div_ceil(room.max(1)).max(1);
            for member in part.members.iter().step_by(step) {
                rest.members += 1;
                rest.straight += u32::from(member.delay_ms == 0);
                rest.sample.push(member.unit);
            }
        }
        if slice.without_shape.is_none() && slice.without_calls.is_none() {
            let [n, ok, fails] = slice.apart;
            rest.n = rest.n.saturating_sub(slice.n.saturating_sub(n));
            rest.ok = rest.ok.saturating_sub(slice.ok.saturating_sub(ok));
            let own = slice.denied + slice.missing;
            rest.fails = rest.fails.saturating_sub(own.saturating_sub(fails));
        }
        if let Some(call) = slice.without_calls {
            rest.n = rest.n.saturating_sub(call.n);
            rest.ok = rest.ok.saturating_sub(call.ok);
            rest.fails = rest.fails.saturating_sub(call.fails());
        }
        let convicted = |k: &u64| self.convictions.units.contains_key(k);
        rest.sample.retain(|k| own.binary_search(k).is_err() && !convicted(k));
        rest
    }

    /// How the slice differs from the rest.
    fn compared(&self, f: &mut Facts, slot: &Slot, slice: &Slice<'_>, rest: &Rest, own: &[u64]) {
        let crowd = self.crowd(rest.sample.iter().filter_map(|k| self.units.get(*k)));
        if let Some(past) = &slot.past {
            pooled(f, rest, &crowd, past);
            excess_of_rest(f, slot, slice, own);
            return;
        }
        f.set(Fact::RestRequests, f64::from(rest.n));
        f.set(Fact::RestClients, crowd.clients as f64);
        let told = rest.ok + rest.fails;
        if told >= 5 && crowd.clients >= 3 {
            f.set(Fact::RestFailRatio, ratio(rest.fails, told));
            if let Some(own) = f.get(Fact::FailRatio) {
                f.set(Fact::FailExcess, own - ratio(rest.fails, told));
            }
        }
        if crowd.clients >= 3 {
            f.set(Fact::RestNarrow, crowd.narrow);
            f.set(Fact::RestNoAssets, crowd.bare);
            f.set(Fact::RestTools, crowd.tools);
            if let Some(shares) = crowd.origins.shares().filter(|s| s.located >= 3.0) {
                origin_facts(f, &shares);
            }
            f.set(Fact::RestCookieless, crowd.cookieless);
            f.set(Fact::RestRefererless, crowd.refererless);
            f.set(Fact::RestSettled, crowd.settled);
            f.set(Fact::RestUnvisited, crowd.blind);
            f.set(Fact::RestUnread, crowd.unread);
            f.set(Fact::RestStraight, ratio(rest.straight, rest.members));
            f.set(Fact::RestErrorRatio, ratio(rest.errors, rest.n));
        } else {
            f.looked_at(&[Fact::MissingSteps]);
            self.beside_host(f, slot, own);
        }
        if f.get(Fact::FailExcess).is_none() {
            self.beside_kin(f, slot);
        }
        excess_of_rest(f, slot, slice, own);
    }

    /// What clients of the host's other endpoints are like, where nobody else is known to call this one.
    fn beside_host(&self, f: &mut Facts, slot: &Slot, own: &[u64]) {
        let others = self.slots.iter().filter(|s| {
            s.alias.is_none()
                && s.host == slot.host
                && s.zone == slot.zone
                && s.endpoint.template != slot.endpoint.template
        });
        let mut sample: Vec<u64> = Vec::new();
        for part in others.take(64).flat_map(|s| s.order.iter().filter_map(|shape| s.parts.get(shape))) {
            let step = part.members.len().div_ceil(16).max(1);
            sample.extend(part.members.iter().step_by(step).map(|m| m.unit));
        }
        sample.sort_unstable();
        sample.dedup();
        let convicted = |k: &u64| self.convictions.units.contains_key(k);
        sample.retain(|k| own.binary_search(k).is_err() && !convicted(k));
        let step = sample.len().div_ceil(SAMPLE).max(1);
        let crowd = self.crowd(sample.iter().step_by(step).filter_map(|k| self.units.get(*k)));
        f.set(Fact::HostClients, crowd.clients as f64);
        if crowd.clients >= 3 {
            f.set(Fact::HostNarrow, crowd.narrow);
        }
    }

    /// How often calls fail at the other channels of the function, where nobody else is known to call this one: a new endpoint is
    /// held against those that do the same for other callers. What their clients are like says nothing of these: they are others.
    fn beside_kin(&self, f: &mut Facts, slot: &Slot) {
        let (mut ok, mut fails, mut clients) = (0u32, 0u32, 0usize);
        for kin in self.kin(slot) {
            let rest = self.rest(kin, &Slice::of_bare(&[], 0.0, false), &[]);
            ok = ok.saturating_add(rest.ok);
            fails = fails.saturating_add(rest.fails);
            clients += rest.sample.len();
        }
        let told = ok.saturating_add(fails);
        if told >= 20 && clients >= 5 {
            f.set(Fact::KinFailRatio, ratio(fails, told));
            f.set(Fact::RestFailRatio, ratio(fails, told));
            if let Some(own) = f.get(Fact::FailRatio) {
                f.set(Fact::FailExcess, own - ratio(fails, told));
            }
        }
    }

    /// Other channels of the function that an endpoint is one of.
    fn kin(&self, slot: &Slot) -> impl Iterator<Item = &Slot> {
        let function = slot.function();
        let kin = self.functions.get(&function).filter(|_| function != 0);
        kin.into_iter()
            .flatten()
            .filter_map(|at| self.slots.get(*at as usize))
            .filter(|s| s.alias.is_none() && s.zone == slot.zone && s.endpoint.id != slot.endpoint.id)
    }

    /// What the slice's clients do besides, and what the rest's do.
    fn stepped(&self, f: &mut Facts, slot: &Slot, slice: &Slice<'_>, sample: &[u64], rest: &Rest) {
        if f.get(Fact::RestNarrow).is_some() {
            let past = slot.past.as_ref().filter(|_| rest.sample.len() < 5);
            let missing = match past {
                Some(past) => self.missing_past_steps(past, sample),
                None => self.missing_steps(slot, sample, &rest.sample),
            };
            f.set(Fact::MissingSteps, missing);
        }
        self.conversion(f, slot, slice);
        if slot.roles().any(Roles::CART) {
            f.set(Fact::Buys, self.buys(sample));
        }
        if let Some(share) = slice.numbers.and_then(sequential) {
            f.set(Fact::Sequential, share);
        }
        f.looked_at(OF_STEPS);
    }

    fn buys(&self, sample: &[u64]) -> f64 {
        let checkout =
            |slot: u32| self.slots.get(slot as usize).is_some_and(|s| s.roles().any(Roles::CHECKOUT));
        let units = sample.iter().take(64).filter_map(|k| self.units.get(*k));
        let (mut all, mut buy) = (0u32, 0u32);
        for unit in units {
            all += 1;
            buy += u32::from(unit.calls.iter().any(|c| checkout(c.slot)));
        }
        ratio(buy, all)
    }

    /// How many of those who log in with this fingerprint come here, beside the same share of the others.
    fn conversion(&self, f: &mut Facts, slot: &Slot, slice: &Slice<'_>) {
        let Some(shape) = slice.without_shape else { return };
        let login = |s: &&Slot| {
            s.alias.is_none()
                && s.endpoint.host == slot.endpoint.host
                && s.zone == slot.zone
                && s.roles().any(Roles::LOGIN)
        };
        if !slot.roles().any(Roles(Roles::TRANSFER.0 | Roles::CHECKOUT.0)) {
            return;
        }
        let (mut own, mut others) = (0, 0);
        for part in self.slots.iter().filter(login).flat_map(|s| s.parts.values()) {
            if part.shape == shape { own += part.members.len() } else { others += part.members.len() }
        }
        let here: usize = slot.parts.values().map(|p| p.members.len()).sum();
        if own > 0 {
            f.set(Fact::Conversion, slice.clients as f64 / own as f64);
        }
        if others > 0 {
            f.set(Fact::RestConversion, here.saturating_sub(slice.clients) as f64 / others as f64);
        }
    }

    /// Endpoints that four fifths of these clients call, where five and more are known.
    pub(super) fn usual_slots(&self, sample: &[u64]) -> Vec<u32> {
        let mut counts: Map<u32, u32> = Map::with_capacity_and_hasher(256, Ready);
        let mut known = 0u32;
        for unit in sample.iter().take(64).filter_map(|k| self.units.get(*k)) {
            known += 1;
            for call in &unit.calls {
                if counts.len() < 256 || counts.contains_key(&call.slot) {
                    *counts.entry(call.slot).or_default() += 1;
                }
            }
        }
        let usual = |n: u32| known >= 5 && n * 5 >= known * 4;
        counts.into_iter().filter(|(_, n)| usual(*n)).map(|(slot, _)| slot).collect()
    }

    /// Endpoints that four fifths of the rest call and a fifth of the slice at most.
    fn missing_steps(&self, slot: &Slot, slice: &[u64], rest: &[u64]) -> f64 {
        let mut missing = 0;
        for step in self.usual_slots(rest) {
            if self.slots.get(step as usize).is_some_and(|s| s.endpoint.id == slot.endpoint.id) {
                continue;
            }
            let mut all = 0u32;
            let mut have = 0u32;
            for unit in slice.iter().take(64).filter_map(|k| self.units.get(*k)) {
                all += 1;
                have += u32::from(unit.calls.iter().any(|c| c.slot == step));
            }
            missing += u32::from(all > 0 && have * 5 <= all);
        }
        f64::from(missing)
    }
}
