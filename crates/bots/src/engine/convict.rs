//! Judgement: which parts, sessions and clients are convicted, and how convictions join to campaigns.

use smallvec::SmallVec;

use super::Engine;
use super::campaign::Conviction;
use super::join::Sign;
use super::member::Member;
use super::part::Found;
use super::slice::Slice;
use super::unit::{ExchangeId, Unit};
use crate::facts::Facts;
use crate::indicators::{Asked, Rule, Scope, View};

/// Calls below which a robot that says what it is is not convicted for the company it keeps.
const ROBOT: u32 = 20;
/// Agent strings at the address of an office or a carrier, at least.
const OFFICE: f64 = 12.0;

/// The calls of at least `least` that grew by an eighth since they were judged.
pub(super) fn due_calls(
    calls: &[super::unit::Call],
    least: u32,
    all: bool,
) -> SmallVec<[super::unit::Call; 4]> {
    calls.iter().filter(|c| c.all() >= least && (all || c.n >= c.next)).cloned().collect()
}

/// Puts those calls off until they have grown again.
pub(super) fn put_off(calls: &mut [super::unit::Call], least: u32) {
    for call in calls.iter_mut().filter(|c| c.all() >= least && c.n >= c.next) {
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
            self.judge_hoppers(at);
            self.judge_bare(at);
            self.judge_receivers(at);
            self.judge_throw_away(at);
            self.judge_forms(at);
            self.judge_again(at);
        }
        self.judge_accounts();
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
            self.judge_hoppers(at);
            self.judge_bare(at);
            self.judge_receivers(at);
            self.judge_throw_away(at);
            self.judge_forms(at);
            self.judge_again(at);
        }
        self.judge_accounts();
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
        let by_site = self.class(rule) == "ai-crawler";
        let welcome = |u: &Unit| if by_site { u.standing.is_party() } else { self.is_good(u) };
        let Some(unit) = self.units.get(key).filter(|u| !welcome(u)) else { return };
        let is_known = self.convictions.units.contains_key(&key);
        let main = unit.calls.iter().max_by_key(|c| c.n);
        if main.is_some_and(|call| self.exports_its_own(&[key], call, rule)) {
            return;
        }
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
            is_known,
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
        let many = unit.logins() >= 3 || unit.logins() == 2 && self.is_office(unit);
        let crowd = unit.shared || many;
        if self.is_good(unit) || crowd && !unit.tool {
            return;
        }
        if self.one_login_did_it(unit, call) {
            return;
        }
        let slice = Slice::of_call(call, unit, slot.roles());
        let Some(Found { rule, mut fired, facts }) = self.class_of(slot, &slice) else { return };
        let own = || self.opens_its_own(std::slice::from_ref(&key), None, call);
        if self.class(rule) == "bola" && (self.is_spread_over_logins(unit, call) || own())
            || self.is_service(std::slice::from_ref(&key), rule)
            || self.exports_its_own(std::slice::from_ref(&key), call, rule)
        {
            return;
        }
        let (of_client, asked) = self.ask_client(unit);
        let of_part = fired.clone();
        fired.extend(&asked.fired);
        let by_hand = || self.works_by_hand(std::slice::from_ref(&key), call, rule);
        let suspicious = self.too_weak(&self.view_at(slot), rule, &fired) || by_hand();
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
        self.note(campaign, &of_part, &facts, &[call.evidence]);
        self.note(campaign, &asked.fired, &of_client, &[]);
        self.convict_unit(key, campaign, rule, suspicious, call.shape, Some(call.evidence));
    }

    /// True where so many kinds of clients share an address that two sessions with one agent are two people.
    pub(super) fn is_office(&self, unit: &Unit) -> bool {
        self.units.at_address_of(unit).is_some_and(|a| a.agents.count() >= OFFICE)
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

    /// True where several logins behind one address and agent made the calls, none of them most, or in an office one and people
    /// without: what one login opens is asked of each by itself.
    fn is_spread_over_logins(&self, unit: &Unit, call: &super::unit::Call) -> bool {
        let logins = unit.sessions.iter().filter(|t| t.login).filter_map(|t| self.units.get_session(t.hash));
        let of_it = |s: &super::units::Session| {
            s.calls
                .iter()
                .filter(|c| self.resolve(c.slot) == self.resolve(call.slot))
                .map(|c| c.n)
                .sum::<u32>()
        };
        let several = unit.logins() >= 2 || unit.logins() == 1 && self.is_office(unit);
        several && logins.map(of_it).all(|n| n * 5 < call.n * 4)
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
            // In the end all are asked again whose failures count: who seemed to try his own account may have gone on to others.
            let rule = self.campaigns.get(campaign as usize).map(|c| c.rule);
            let again = self.retrospective
                && rule.and_then(|r| self.pack.rules().get(r)).is_some_and(|r| is_by_failures(&r.id));
            let members: Vec<Member> = if again {
                part.members.clone()
            } else {
                fresh.iter().filter_map(|i| part.members.get(*i as usize).copied()).collect()
            };
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
        if let [only] = part.members.as_slice() {
            let call =
                self.units.get(only.unit).and_then(|u| u.calls.iter().find(|c| self.resolve(c.slot) == at));
            if self.is_service(&[only.unit], rule)
                || call.is_some_and(|call| self.exports_its_own(&[only.unit], call, rule))
            {
                return;
            }
        }
        if let ("bola", [only]) = (self.class(rule), part.members.as_slice())
            && let Some(unit) = self.units.get(only.unit)
            && unit.calls.iter().any(|c| {
                let spread = || self.is_spread_over_logins(unit, c);
                let own = || self.opens_its_own(&[only.unit], None, c);
                self.resolve(c.slot) == at && (spread() || own() || self.works_by_hand(&[only.unit], c, rule))
            })
        {
            return;
        }
        let evidence = part.evidence.clone();
        let (zone, host) = (slot.zone.clone(), slot.endpoint.host.to_string());
        let agent = self.main_agent(&part.members);
        let sign = Sign {
            rule,
            zone: &zone,
            host: &host,
            shape,
            slot: Some(at),
            agent: &agent,
            is_known: false,
            by_part: true,
        };
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
        self.name_again(campaign, rule, shape);
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

    /// In the end a campaign of one part has the class that all of the part's calls show: goods held without a purchase look like a
    /// sale's bots as long as there are few.
    fn name_again(&mut self, campaign: u32, rule: usize, shape: u64) {
        let known = self.campaigns.get(campaign as usize).filter(|c| c.shapes.as_slice() == [shape]);
        let Some(old) =
            known.map(|c| c.rule).filter(|old| self.retrospective && self.class(*old) != self.class(rule))
        else {
            return;
        };
        if let Some(c) = self.campaigns.get_mut(campaign as usize) {
            c.rule = rule;
        }
        for conviction in self.convictions.units.values_mut() {
            if conviction.campaign == campaign && conviction.rule == old {
                conviction.rule = rule;
            }
        }
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
        let by_tools = self.rests_on(rule, "cluster-tool");
        let lets_in = self.lets_in(campaign, rule, shape);
        for member in members {
            let Some(unit) = self.units.get(member.unit) else { continue };
            if lets_in && member.fails == 0 {
                continue;
            }
            let failed = member.fails > 0 && member.fails >= member.ok;
            let got_in = || self.got_in(campaign, rule, shape, unit, member);
            let bare = unit.is_narrow() && (failed || !by_failures || got_in());
            let stubborn = member.fails >= self.least_fails(campaign, unit) && member.fails > 2 * member.ok;
            let owner = || self.acts_for_one(unit, campaign);
            let repeats = self.shows_own_part(campaign, unit, member);
            let by_conduct = !unit.trusted && repeats && (bare || stubborn) && !owner();
            // What was taken for a tool when little was known of the site's own applications may be one of them.
            let tool = unit.tool
                && (repeats || by_tools && !by_failures)
                && (by_conduct || self.shows_tool(unit, &self.ask_client(unit).1));
            // A robot that says what it is shares its library with others: what it does itself is what counts.
            let robot = unit.agent.is_declared() && member.n < ROBOT && !stubborn;
            if (tool || by_conduct) && !robot && !self.is_good(unit) {
                let (weak, by_tool) = (!tool && !stubborn, tool && !by_conduct);
                self.convict_unit(member.unit, campaign, rule, suspicious, shape, Some(member.evidence));
                self.mark(member.unit, weak, by_tool);
            }
        }
    }

    /// True of the rules that coupons are guessed by: who was given all that he asked for guessed none.
    pub(super) fn guesses(&self, rule: usize) -> bool {
        self.pack.rules().get(rule).is_some_and(|rule| self.names(rule, "coupon-guess"))
    }

    /// True of rules that name this indicator.
    pub(super) fn names(&self, rule: &Rule, indicator: &str) -> bool {
        let at = self.pack.indicators().iter().position(|i| i.id == indicator);
        at.is_some_and(|at| rule.names(at))
    }

    /// True where the rule names an indicator of this family.
    pub(super) fn rests_on(&self, rule: usize, family: &str) -> bool {
        let Some(rule) = self.pack.rules().get(rule) else { return false };
        let mut all = self.pack.indicators().iter().enumerate();
        all.any(|(at, indicator)| indicator.family == family && rule.names(at))
    }

    /// Known to the site or to the world: a verified robot, a partner, a monitor, an agent that signs.
    pub(super) fn is_good(&self, unit: &Unit) -> bool {
        unit.standing.is_good()
    }

    pub(super) fn matching(&self, scope: Scope, fired: &[usize]) -> Option<usize> {
        self.pack.rules().iter().position(|r| r.scope == scope && r.holds(fired))
    }

    /// The first rule of another class that holds for a part.
    pub(super) fn matching_but(&self, class: &str, fired: &[usize]) -> Option<usize> {
        let mut rules = self.pack.rules().iter();
        rules.position(|r| r.scope == Scope::Part && r.id != class && r.holds(fired))
    }

    /// One pillar without proof raises suspicion, no more.
    pub(super) fn too_weak(&self, view: &View<'_>, rule: usize, fired: &[usize]) -> bool {
        let suspicious = self.pack.rules().get(rule).is_none_or(|r| r.suspicious);
        suspicious || (view.pillars(fired) < 2 && !view.has_proof(fired))
    }

    pub(super) fn conviction(
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
            let better = !suspicious && self.says_more(rule, known.rule);
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

    pub(super) fn mark(&mut self, key: u64, weak: bool, by_tool: bool) {
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
        // Who tried three accounts and got into one does with it what its owner would.
        let tried = |u: &Unit| {
            let slots = self.campaigns.get(campaign as usize).map_or(&[][..], |c| &c.slots);
            let here = u.calls.iter().filter(|c| slots.contains(&self.resolve(c.slot)));
            here.map(|c| c.targets.count()).fold(0.0, f64::max) >= 3.0
        };
        let guessed = self
            .campaigns
            .get(campaign as usize)
            .is_some_and(|c| self.class(c.rule) == "credential-stuffing");
        let wide = |u: &Unit| {
            let slots = self.campaigns.get(campaign as usize).map_or(&[][..], |c| &c.slots);
            u.breadth() > 4 && !slots.iter().any(|at| self.lives_for(u, self.resolve(*at)))
        };
        let grown = self.units.get(key).is_some_and(|u| {
            u.trusted || u.assets > 0 || wide(u) && !(guessed && tried(u)) || self.acts_for_one(u, campaign)
        });
        if grown {
            self.convictions.units.remove(&key);
        }
    }

    pub(super) fn class(&self, rule: usize) -> &str {
        self.pack.rules().get(rule).map_or("", |r| r.id.as_str())
    }

    /// True where a class says more of a client than the one that it is known for: who looks for holes also reads, and asks for what
    /// is not there.
    fn says_more(&self, rule: usize, known: usize) -> bool {
        let attacks = matches!(self.class(rule), "sqli" | "vuln-scan");
        let reads = self.is_scraping(known);
        (self.is_exploit(rule) || self.class(rule) == "ai-crawler") && reads
            || attacks && self.class(known) == "directory-bruteforce"
    }

    fn is_exploit(&self, rule: usize) -> bool {
        matches!(self.class(rule), "sqli" | "vuln-scan" | "fake-crawler" | "directory-bruteforce")
    }

    pub(super) fn is_by_failures(&self, rule: usize) -> bool {
        is_by_failures(self.class(rule)) || self.guesses(rule)
    }

    fn is_scraping(&self, rule: usize) -> bool {
        self.class(rule).ends_with("scraping") || self.class(rule) == "id-enumeration"
    }
}

/// Classes that show in refusals: who was not refused did nothing of the kind, unless a tool shows.
fn is_by_failures(class: &str) -> bool {
    class.starts_with("credential")
        || class.ends_with("cracking")
        || class.ends_with("enumeration")
        || class.ends_with("bruteforce")
}
