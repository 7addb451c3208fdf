//! Judgement: which parts, sessions and clients are convicted, and how convictions join to campaigns.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::Engine;
use super::campaign::{Campaign, Conviction, show};
use super::endpoint::{Member, Slot};
use super::part::Found;
use super::slice::Slice;
use super::unit::{ExchangeId, Unit};
use crate::facts::{Fact, Facts};
use crate::hash;
use crate::indicators::{Asked, Scope, View};

/// What names a campaign that a conviction may join.
#[derive(Debug)]
pub(super) struct Sign<'a> {
    pub(super) rule: usize,
    pub(super) zone: &'a str,
    pub(super) host: &'a str,
    pub(super) shape: u64,
    pub(super) slot: Option<u32>,
    pub(super) agent: &'a str,
    pub(super) by_part: bool,
}

/// The calls with at least `least` requests that grew by an eighth since they were judged.
fn due_calls(calls: &[super::unit::Call], least: u32, all: bool) -> SmallVec<[super::unit::Call; 4]> {
    calls.iter().copied().filter(|c| c.n >= least && (all || c.n >= c.next)).collect()
}

/// Puts those calls off until they have grown again.
fn put_off(calls: &mut [super::unit::Call], least: u32) {
    for call in calls.iter_mut().filter(|c| c.n >= least && c.n >= c.next) {
        call.next = call.n + (call.n / 8).max(2);
    }
}

impl Engine {
    /// Judges what the epoch changed.
    pub(super) fn judge(&mut self) {
        for key in std::mem::take(&mut self.due_units) {
            self.judge_unit(key);
        }
        for (at, shape) in std::mem::take(&mut self.due_parts) {
            let at = self.resolve(at);
            self.judge_part(at, shape);
        }
        let mut due: Vec<u32> = self.due_slots.drain(..).collect();
        due.sort_unstable();
        due.dedup();
        for at in due {
            self.judge_bare(at);
            self.judge_receivers(at);
        }
        for hash in std::mem::take(&mut self.due_sessions) {
            self.judge_session(hash);
        }
    }

    /// Judges everything.
    pub(super) fn judge_all(&mut self) {
        self.judge();
        for key in self.units.keys() {
            self.judge_unit(key);
        }
        for _ in 0..2 {
            for at in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
                let shapes = self.slots.get(at as usize).map(|s| s.order.clone()).unwrap_or_default();
                for shape in shapes {
                    self.judge_part(at, shape);
                }
            }
        }
        for at in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            self.judge_bare(at);
            self.judge_receivers(at);
        }
        for hash in self.units.session_keys() {
            self.judge_session(hash);
        }
        self.join_campaigns();
    }

    fn judge_unit(&mut self, key: u64) {
        let Some(unit) = self.units.get(key) else { return };
        let (facts, asked) = self.ask_client(unit);
        let tool = self.shows_tool(unit, &asked);
        let automation = super::rows::automation(&self.client_view(unit), &asked.fired);
        let n = unit.n;
        let learn = !unit.trusted && unit.loads_like_a_browser();
        let app = !unit.established
            && unit.agent.kind == crate::AgentKind::AppLibrary
            && unit.breadth() >= 4
            && unit.n >= 6;
        let calls = due_calls(&unit.calls, 8, self.retrospective);
        if learn {
            self.population.learn_browser(unit);
        }
        if app {
            self.population.learn_app(unit);
        }
        if let Some(unit) = self.units.get_mut(key) {
            unit.tool = tool;
            unit.automation = automation;
            unit.judged = n;
            unit.queued = false;
            unit.trusted |= learn;
            unit.established |= app;
            put_off(&mut unit.calls, 8);
        }
        self.let_go(key);
        self.judge_client(key, &facts, &asked);
        if !tool && automation < super::rows::AUTOMATED && !self.convictions.units.contains_key(&key) {
            let unit = self.units.get_mut(key).filter(|u| !u.shared && !self.retrospective);
            if let Some(unit) = unit {
                self.anomaly.learn(unit, &facts);
            }
        }
        for call in calls {
            self.judge_call(key, &call);
        }
    }

    /// Classes of a client as a whole.
    fn judge_client(&mut self, key: u64, facts: &Facts, asked: &Asked) {
        let Some(rule) = self.matching(Scope::Client, &asked.fired) else { return };
        // Whether AI crawlers keep to what the site allows them is asked of verified ones too.
        let welcome =
            |u: &Unit| if self.class(rule) == "ai-crawler" { u.standing.is_party() } else { self.is_good(u) };
        let Some(unit) = self.units.get(key).filter(|u| !welcome(u)) else { return };
        let suspicious = self.too_weak(&self.client_view(unit), rule, &asked.fired);
        let (zone, shape, agent) = (unit.zone.as_str().to_owned(), unit.main_shape, unit.agent.text.clone());
        let evidence = unit.evidence.clone();
        let main = unit.calls.iter().max_by_key(|c| c.n).map(|c| c.slot);
        let host = main.and_then(|s| self.slots.get(s as usize)).map(|s| s.endpoint.host.to_string());
        let sign = Sign {
            rule,
            zone: &zone,
            host: host.as_deref().unwrap_or_default(),
            shape,
            slot: main,
            agent: &agent,
            by_part: false,
        };
        let Some(campaign) = self.campaign(&sign, suspicious) else { return };
        self.note(campaign, &asked.fired, facts, &evidence);
        self.convict_unit(key, campaign, rule, suspicious, 0, evidence.first().copied());
    }

    /// One client's calls of one endpoint, judged like a part.
    fn judge_call(&mut self, key: u64, call: &super::unit::Call) {
        let at = self.resolve(call.slot);
        let (Some(unit), Some(slot)) = (self.units.get(key), self.slots.get(at as usize)) else { return };
        let crowd = unit.shared || unit.logins() >= 3;
        if self.is_good(unit) || crowd && !unit.tool {
            return;
        }
        if self.one_login_did_it(unit, call) {
            return;
        }
        let slice = Slice::of_call(call, unit, slot.roles());
        let Some(Found { rule, mut fired, facts }) = self.class_of(slot, &slice) else { return };
        if self.class(rule) == "bola" && self.is_spread_over_logins(unit, call) {
            return;
        }
        fired.extend(self.ask_client(unit).1.fired);
        let suspicious = self.too_weak(&self.view_at(slot), rule, &fired);
        let (zone, agent) = (unit.zone.as_str().to_owned(), unit.agent.text.clone());
        let host = slot.endpoint.host.to_string();
        let sign = Sign {
            rule,
            zone: &zone,
            host: &host,
            shape: call.shape,
            slot: Some(at),
            agent: &agent,
            by_part: false,
        };
        let Some(campaign) = self.campaign(&sign, suspicious) else { return };
        self.note(campaign, &fired, &facts, &[call.evidence]);
        self.convict_unit(key, campaign, rule, suspicious, call.shape, Some(call.evidence));
    }

    /// True where one session of a client made nearly all of the calls, and others at the same address and with the same
    /// agent did much besides: then the session is judged, not they.
    fn one_login_did_it(&self, unit: &Unit, call: &super::unit::Call) -> bool {
        let logins = unit.sessions.iter().filter(|t| t.login);
        logins.filter_map(|t| self.units.get_session(t.hash)).any(|s| {
            s.n * 10 < unit.n * 9
                && unit.n - s.n >= 16
                && s.calls.iter().any(|c| c.slot == call.slot && c.n * 5 >= call.n * 4)
        })
    }

    /// True where several logins behind one address and agent made the calls, none of them most: what one login opens is asked of
    /// each by itself.
    fn is_spread_over_logins(&self, unit: &Unit, call: &super::unit::Call) -> bool {
        let logins = unit.sessions.iter().filter(|t| t.login).filter_map(|t| self.units.get_session(t.hash));
        let of_it = |s: &super::unit::Session| {
            s.calls
                .iter()
                .filter(|c| self.resolve(c.slot) == self.resolve(call.slot))
                .map(|c| c.n)
                .sum::<u32>()
        };
        unit.logins() >= 2 && logins.map(of_it).all(|n| n * 5 < call.n * 4)
    }

    fn judge_session(&mut self, hash: u64) {
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
        let suspicious = self.too_weak(&self.view_at(slot), rule, &fired);
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
        session: &'a super::unit::Session,
    ) -> Slice<'a> {
        let mut slice = Slice::of_session(call, session);
        slice.spread = Some(self.spread(session)).filter(|_| !self.config.without.addresses);
        slice
    }

    /// Addresses, networks (/16, of IPv6 /32) and agent families that presented a session.
    fn spread(&self, session: &super::unit::Session) -> [usize; 3] {
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

    fn judge_part(&mut self, at: u32, shape: u64) {
        if self.config.without.campaigns {
            return;
        }
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        let Some(part) = slot.parts.get_mut(&shape) else { return };
        part.queued = false;
        let due = part.n >= part.next || self.retrospective;
        if due {
            part.next = part.n + (part.n / 8).max(2);
        }
        if let Some(campaign) = part.campaign {
            let fresh = std::mem::take(&mut part.fresh);
            let members: Vec<Member> =
                fresh.iter().filter_map(|i| part.members.get(*i as usize).copied()).collect();
            self.convict_members(campaign, shape, &members);
        }
        if due {
            self.decide_part(at, shape);
        }
    }

    fn decide_part(&mut self, at: u32, shape: u64) {
        let Some(slot) = self.slots.get(at as usize) else { return };
        let Some(part) = slot.parts.get(&shape) else { return };
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &Slice::of_part(part)) else { return };
        if self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        if let ("bola", [only]) = (self.class(rule), part.members.as_slice())
            && let Some(unit) = self.units.get(only.unit)
            && unit.calls.iter().any(|c| self.resolve(c.slot) == at && self.is_spread_over_logins(unit, c))
        {
            return;
        }
        let evidence = part.evidence.clone();
        let (zone, host) = (slot.zone.clone(), slot.endpoint.host.to_string());
        let agent = self.main_agent(&part.members);
        let sign =
            Sign { rule, zone: &zone, host: &host, shape, slot: Some(at), agent: &agent, by_part: true };
        let known = part.campaign;
        let mut numbers: Vec<u64> = part.numbers.iter().copied().collect();
        numbers.sort_unstable();
        let mut accounts: Vec<u64> = part.accounts.iter().copied().collect();
        accounts.sort_unstable();
        let members = if known.is_none() || self.retrospective { part.members.clone() } else { Vec::new() };
        let campaign = match known {
            Some(campaign) => campaign,
            None => match self.campaign(&sign, false) {
                Some(campaign) => campaign,
                None => return,
            },
        };
        self.note(campaign, &fired, &facts, &evidence);
        if let Some(c) = self.campaigns.get_mut(campaign as usize) {
            c.numbers = numbers;
            c.accounts = accounts;
        }
        if let Some(part) = self.slots.get_mut(at as usize).and_then(|s| s.parts.get_mut(&shape)) {
            part.campaign = Some(campaign);
        }
        self.convict_members(campaign, shape, &members);
    }

    fn main_agent(&self, members: &[Member]) -> String {
        let unit = members
            .iter()
            .max_by_key(|m| (m.n, std::cmp::Reverse(m.unit)))
            .and_then(|m| self.units.get(m.unit));
        unit.map(|u| u.agent.text.clone()).unwrap_or_default()
    }

    /// Members of a convicted part, but not those that show what attackers of it do not.
    pub(super) fn convict_members(&mut self, campaign: u32, shape: u64, members: &[Member]) {
        let Some(rule) = self.campaigns.get(campaign as usize).map(|c| c.rule) else { return };
        let suspicious = self.pack.rules().get(rule).is_some_and(|r| r.suspicious);
        let by_failures = self.is_by_failures(rule);
        for member in members {
            let Some(unit) = self.units.get(member.unit) else { continue };
            let failed = member.fails > 0 && member.fails >= member.ok;
            let bare = unit.is_narrow() && (failed || !by_failures);
            let stubborn = member.fails >= 3 && member.fails > 2 * member.ok;
            let owner = || self.acts_for_one(unit, campaign);
            let by_conduct = !unit.trusted && (bare || stubborn) && !owner();
            // What was taken for a tool when little was known of the site's own applications may be one of them.
            let tool = unit.tool && (by_conduct || self.shows_tool(unit, &self.ask_client(unit).1));
            if (tool || by_conduct) && !self.is_good(unit) {
                let (weak, by_tool) = (!tool && !stubborn, tool && !by_conduct);
                self.convict_unit(member.unit, campaign, rule, suspicious, shape, Some(member.evidence));
                self.mark(member.unit, weak, by_tool);
            }
        }
    }

    /// True where a client tries one account again and again, in a campaign over many accounts: its owner does that, while nobody
    /// can sign in or because the password is forgotten.
    fn acts_for_one(&self, unit: &Unit, campaign: u32) -> bool {
        let Some(campaign) = self.campaigns.get(campaign as usize) else { return false };
        let over_many =
            matches!(self.class(campaign.rule), "credential-stuffing" | "password-reset-enumeration");
        let mut calls =
            unit.calls.iter().filter(|c| campaign.slots.contains(&self.resolve(c.slot))).peekable();
        over_many && calls.peek().is_some() && calls.all(|c| c.n >= 2 && c.targets.count() <= 1.0)
    }

    /// Known to the site or to the world: a verified robot, a partner, a monitor, an agent that signs.
    pub(super) fn is_good(&self, unit: &Unit) -> bool {
        unit.standing.is_good()
    }

    pub(super) fn matching(&self, scope: Scope, fired: &[usize]) -> Option<usize> {
        self.pack.rules().iter().position(|r| r.scope == scope && r.holds(fired))
    }

    /// One pillar without proof raises suspicion, no more.
    pub(super) fn too_weak(&self, view: &View<'_>, rule: usize, fired: &[usize]) -> bool {
        let suspicious = self.pack.rules().get(rule).is_none_or(|r| r.suspicious);
        suspicious || (view.pillars(fired) < 2 && !view.has_proof(fired))
    }

    fn conviction(
        &self,
        campaign: u32,
        rule: usize,
        suspicious: bool,
        shape: u64,
        evidence: Option<ExchangeId>,
    ) -> Conviction {
        Conviction {
            campaign,
            rule,
            detected: self.now,
            retrospective: self.retrospective,
            suspicious,
            shape,
            evidence,
            weak: false,
            by_tool: false,
        }
    }

    pub(super) fn convict_unit(
        &mut self,
        key: u64,
        campaign: u32,
        rule: usize,
        suspicious: bool,
        shape: u64,
        evidence: Option<ExchangeId>,
    ) {
        let mut new = self.conviction(campaign, rule, suspicious, shape, evidence);
        if let Some(known) = self.convictions.units.get(&key) {
            let stronger = known.suspicious && !suspicious;
            let better = !suspicious && self.is_exploit(rule) && self.is_scraping(known.rule);
            if !stronger && !better {
                return;
            }
            if better && !known.suspicious {
                new.detected = known.detected;
                new.retrospective = known.retrospective;
            }
        }
        self.convictions.units.insert(key, new);
    }

    fn mark(&mut self, key: u64, weak: bool, by_tool: bool) {
        if let Some(conviction) = self.convictions.units.get_mut(&key) {
            conviction.weak = weak;
            conviction.by_tool = by_tool;
        }
    }

    /// A client that was convicted for the company it keeps, and for calling little else, is let go once it behaves like
    /// everybody; one convicted for its tool, once that is known for an application of the site.
    fn let_go(&mut self, key: u64) {
        let by_tool = self.convictions.units.get(&key).is_some_and(|c| c.by_tool);
        if by_tool && self.units.get(key).is_some_and(|u| !u.tool) {
            self.convictions.units.remove(&key);
            return;
        }
        let Some(campaign) = self.convictions.units.get(&key).filter(|c| c.weak).map(|c| c.campaign) else {
            return;
        };
        let grown = self
            .units
            .get(key)
            .is_some_and(|u| u.trusted || u.assets > 0 || u.breadth() > 4 || self.acts_for_one(u, campaign));
        if grown {
            self.convictions.units.remove(&key);
        }
    }

    fn class(&self, rule: usize) -> &str {
        self.pack.rules().get(rule).map_or("", |r| r.id.as_str())
    }

    fn is_exploit(&self, rule: usize) -> bool {
        matches!(self.class(rule), "sqli" | "vuln-scan" | "fake-crawler" | "directory-bruteforce")
    }

    /// Classes that show in refusals: who was not refused did nothing of the kind, unless a tool shows.
    fn is_by_failures(&self, rule: usize) -> bool {
        let class = self.class(rule);
        class.starts_with("credential")
            || class.ends_with("cracking")
            || class.ends_with("enumeration")
            || class.ends_with("bruteforce")
    }

    fn is_scraping(&self, rule: usize) -> bool {
        self.class(rule).ends_with("scraping") || self.class(rule) == "id-enumeration"
    }

    /// The campaign that a conviction belongs to, made where none agrees.
    pub(super) fn campaign(&mut self, sign: &Sign<'_>, suspicious: bool) -> Option<u32> {
        let class = self.class(sign.rule).to_owned();
        let agrees = |c: &Campaign| {
            c.into.is_none()
                && c.zone == sign.zone
                && self.class(c.rule) == class
                && c.shapes.contains(&sign.shape)
                && (sign.by_part || c.agent == sign.agent || c.by_part)
                && (c.hosts.iter().any(|h| h == sign.host))
        };
        if let Some(at) = self.campaigns.iter().position(agrees) {
            if let (Some(slot), Some(c)) = (sign.slot, self.campaigns.get_mut(at))
                && !c.slots.contains(&slot)
                && c.slots.len() < 32
            {
                c.slots.push(slot);
            }
            return u32::try_from(at).ok();
        }
        if self.campaigns.len() >= self.config.max_campaigns {
            return None;
        }
        let endpoint = sign.slot.and_then(|s| self.slots.get(s as usize)).map_or(0, |s| s.endpoint.id.0);
        let agent = if sign.by_part { 0 } else { hash::of(sign.agent.as_bytes()) };
        let id = hash::words(&[
            hash::of(class.as_bytes()),
            hash::of(sign.zone.as_bytes()),
            sign.shape,
            endpoint,
            agent,
        ]);
        let at = u32::try_from(self.campaigns.len()).ok()?;
        self.campaigns.push(Campaign {
            id: format!("c-{id:016x}"),
            rule: sign.rule,
            zone: sign.zone.into(),
            hosts: SmallVec::from_iter([sign.host.to_owned()]),
            shapes: SmallVec::from_slice(&[sign.shape]),
            slots: sign.slot.into_iter().collect(),
            agent: sign.agent.into(),
            numbers: Vec::new(),
            accounts: Vec::new(),
            detected: self.now,
            retrospective: self.retrospective,
            fired: Vec::new(),
            evidence: SmallVec::new(),
            into: None,
            by_part: sign.by_part && !suspicious,
        });
        Some(at)
    }

    pub(super) fn note(&mut self, campaign: u32, fired: &[usize], facts: &Facts, evidence: &[ExchangeId]) {
        let Some(c) = self.campaigns.get_mut(campaign as usize) else { return };
        show(&self.pack, fired, facts, &mut c.fired);
        for id in evidence {
            if c.evidence.len() < 5 && !c.evidence.contains(id) {
                c.evidence.push(*id);
            }
        }
        debug_assert!(facts.get(Fact::PartRequests).is_none_or(|n| n >= 0.0));
    }

    /// Joins campaigns of one class whose evidence agrees: shared addresses, or the same values asked for by the same kind
    /// of endpoint in the same hours.
    fn join_campaigns(&mut self) {
        let members = self.members_by_campaign();
        for b in 0..self.campaigns.len() {
            for a in 0..b {
                let (Some(x), Some(y)) = (self.campaigns.get(a), self.campaigns.get(b)) else { continue };
                if x.into.is_some()
                    || y.into.is_some()
                    || x.zone != y.zone
                    || self.class(x.rule) != self.class(y.rule)
                {
                    continue;
                }
                let empty = Vec::new();
                let (ips, other) = (members.get(a).unwrap_or(&empty), members.get(b).unwrap_or(&empty));
                if shares(ips, other) >= 0.3
                    || (x.by_part && y.by_part && shares(&x.numbers, &y.numbers) >= 0.25)
                    || (x.by_part && y.by_part && self.same_accounts(x, y))
                {
                    self.absorb(a, b);
                }
            }
        }
    }

    /// True where two campaigns try the same accounts through channels of one function: a list that is carried from the web to the
    /// app, or on with another tool.
    fn same_accounts(&self, x: &Campaign, y: &Campaign) -> bool {
        let functions = |c: &Campaign| -> BTreeSet<u64> {
            let slots = c.slots.iter().filter_map(|at| self.slots.get(*at as usize));
            slots.map(Slot::function).filter(|f| *f != 0).collect()
        };
        shares(&x.accounts, &y.accounts) >= 0.25 && !functions(x).is_disjoint(&functions(y))
    }

    fn members_by_campaign(&self) -> Vec<Vec<u64>> {
        let mut members = vec![Vec::new(); self.campaigns.len()];
        for (key, conviction) in &self.convictions.units {
            if let (Some(list), Some(unit)) =
                (members.get_mut(conviction.campaign as usize), self.units.get(*key))
            {
                list.push(hash::of(unit.ip.to_string().as_bytes()));
            }
        }
        for list in &mut members {
            list.sort_unstable();
            list.dedup();
        }
        members
    }

    fn absorb(&mut self, a: usize, b: usize) {
        let Some(taken) = self.campaigns.get_mut(b) else { return };
        taken.into = u32::try_from(a).ok();
        let taken = taken.clone();
        if let Some(c) = self.campaigns.get_mut(a) {
            c.detected = c.detected.min(taken.detected);
            c.retrospective &= taken.retrospective;
            for host in taken.hosts {
                if !c.hosts.contains(&host) {
                    c.hosts.push(host);
                }
            }
            c.shapes.extend(taken.shapes);
            for slot in taken.slots {
                if !c.slots.contains(&slot) {
                    c.slots.push(slot);
                }
            }
        }
    }

    pub(super) fn final_campaign(&self, mut at: u32) -> u32 {
        while let Some(next) = self.campaigns.get(at as usize).and_then(|c| c.into) {
            at = next;
        }
        at
    }
}

/// Share of the smaller sorted list that is in the other.
fn shares(a: &[u64], b: &[u64]) -> f64 {
    let (small, big) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if small.len() < 8 {
        return 0.0;
    }
    let both = small.iter().filter(|v| big.binary_search(v).is_ok()).count();
    both as f64 / small.len() as f64
}
