//! From counts to facts: a client as a whole, and parts of an endpoint's traffic.

use super::Engine;
use super::endpoint::{Member, Part, Slot};
use super::unit::{Call, Session, Unit};
use crate::agent::{AgentKind, Agents};
use crate::facts::{Fact, Facts};
use crate::hash;
use crate::indicators::{Asked, Scope};
use crate::observation::Traits;
use crate::role::Roles;

/// Clients of a part (and of its rest) that are looked at in turn; of more every n-th.
const SAMPLE: usize = 256;
/// Log-odds of tools at which a client's requests show a tool.
const TOOL: f64 = 3.0;

/// What a slice of an endpoint's traffic adds up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) n: u32,
    pub(crate) ok: u32,
    pub(crate) denied: u32,
    pub(crate) missing: u32,
    pub(crate) refused: u32,
    pub(crate) clients: usize,
    pub(crate) targets: f64,
    pub(crate) accounts: f64,
    pub(crate) secrets: f64,
    pub(crate) agents: usize,
    pub(crate) keyed: f64,
    pub(crate) sessions: f64,
    pub(crate) mail_digits: f64,
    pub(crate) disposable: f64,
    pub(crate) sequential: Option<f64>,
    pub(crate) stepping: Option<f64>,
    pub(crate) span_s: f64,
    /// Units to look at.
    pub(crate) sample: Vec<u64>,
    /// Share of clients that come within a minute.
    pub(crate) quick: Option<f64>,
    /// Clients that send to one and the same receiver.
    pub(crate) one_receiver: Option<usize>,
    /// Left out of the rest: a fingerprint, or a client with its calls.
    pub(crate) without_shape: Option<u64>,
    pub(crate) without_calls: Option<Call>,
    /// Calls of the one client or session, for the outlier test.
    pub(crate) outlier: Option<(bool, u32)>,
}

/// Traits of a group of clients.
#[derive(Clone, Copy, Debug, Default)]
struct Crowd {
    clients: usize,
    narrow: f64,
    bare: f64,
    tools: f64,
    single: f64,
    declared: f64,
    pace: Option<f64>,
}

pub(crate) fn sequential(numbers: &super::sketch::Set<u64>) -> Option<f64> {
    if numbers.len() < 8 {
        return None;
    }
    let mut sorted: Vec<u64> = numbers.iter().copied().collect();
    sorted.sort_unstable();
    let near = sorted.windows(2).filter(|w| matches!(w, [a, b] if b - a <= 3)).count();
    Some(near as f64 / (sorted.len() - 1) as f64)
}

fn ratio(a: u32, b: u32) -> f64 {
    if b == 0 { 0.0 } else { f64::from(a) / f64::from(b) }
}

impl Slice {
    pub(crate) fn of_part(part: &Part) -> Self {
        let step = part.members.len().div_ceil(SAMPLE).max(1);
        let quick = part.members.iter().filter(|m| m.delay_ms <= 60_000 && m.n > 0).count();
        let accounts = part.accounts.len().max(1) as f64;
        Slice {
            n: part.n,
            ok: part.ok,
            denied: part.denied,
            missing: part.missing,
            refused: part.refused,
            clients: part.members.len(),
            targets: part.targets.len() as f64,
            accounts: part.accounts.len() as f64,
            secrets: part.secrets.len() as f64,
            agents: part.agents.len(),
            keyed: ratio(part.keyed, part.n),
            sessions: ratio(part.sessions, part.n),
            mail_digits: f64::from(part.mail_digits) / accounts,
            disposable: f64::from(part.disposable) / accounts,
            sequential: sequential(&part.numbers),
            stepping: None,
            span_s: part.last.since(part.first) as f64 / 1e9,
            sample: part.members.iter().step_by(step).map(|m| m.unit).collect(),
            quick: Some(quick as f64 / part.members.len().max(1) as f64),
            one_receiver: None,
            without_shape: Some(part.shape),
            without_calls: None,
            outlier: (part.members.len() == 1).then_some((false, part.n)),
        }
    }

    /// Of clients that call this endpoint and nothing else, whatever their fingerprint.
    pub(crate) fn of_bare(members: &[Member], targets: f64, login: bool) -> Self {
        let sum = |pick: fn(&Member) -> u32| members.iter().map(pick).sum::<u32>();
        let first = members.iter().map(|m| m.first).min().unwrap_or_default();
        let last = members.iter().map(|m| m.last).max().unwrap_or_default();
        let step = members.len().div_ceil(SAMPLE).max(1);
        Slice {
            n: sum(|m| m.n),
            ok: sum(|m| m.ok),
            denied: sum(|m| m.fails),
            clients: members.len(),
            targets,
            accounts: if login { targets } else { 0.0 },
            span_s: last.since(first) as f64 / 1e9,
            sample: members.iter().step_by(step).map(|m| m.unit).collect(),
            ..Slice::default()
        }
    }

    pub(crate) fn of_call(call: &Call, unit: &Unit, roles: Roles) -> Self {
        let mut slice = Self::of_calls(call, &[unit.key]);
        if roles.any(Roles::LOGIN) {
            slice.accounts = unit.accounts.count().min(slice.targets.max(1.0));
        } else if roles.any(Roles(Roles::SIGN_UP.0 | Roles::RESET.0 | Roles::OTP.0)) {
            slice.accounts = slice.targets;
        }
        slice.keyed = ratio(unit.keyed, unit.n);
        slice.sessions =
            f64::from(u8::from(!unit.sessions.is_empty() && unit.sessions.iter().any(|t| t.login)));
        slice.outlier = Some((false, call.n));
        slice
    }

    pub(crate) fn of_session(call: &Call, session: &Session) -> Self {
        let mut slice = Self::of_calls(call, &session.units);
        slice.sessions = 1.0;
        slice.clients = 1;
        slice.outlier = Some((true, call.n));
        slice
    }

    fn of_calls(call: &Call, units: &[u64]) -> Self {
        Slice {
            n: call.n,
            ok: call.ok,
            denied: call.denied,
            missing: call.missing,
            refused: call.refused,
            clients: 1,
            targets: call.targets.count().min(f64::from(call.n)),
            agents: 1,
            stepping: (call.steps >= 8).then(|| ratio(call.near, call.steps)),
            span_s: call.last.since(call.first) as f64 / 1e9,
            sample: units.to_vec(),
            without_calls: Some(*call),
            ..Slice::default()
        }
    }
}

impl Engine {
    /// Facts of one client as a whole, and what its indicators say.
    pub(crate) fn ask_client(&self, unit: &Unit) -> (Facts, Asked) {
        let facts = self.client_facts(unit);
        let asked = self.pack.ask(Scope::Client, &facts);
        (facts, asked)
    }

    /// True where the client's requests show a tool.
    pub(crate) fn shows_tool(&self, asked: &Asked) -> bool {
        let tools: Vec<usize> = asked
            .fired
            .iter()
            .copied()
            .filter(|n| self.pack.indicators().get(*n).is_some_and(|i| i.pillar == crate::Pillar::Tools))
            .collect();
        self.pack.sum(&tools, |i| i.automation) >= TOOL
    }

    fn client_facts(&self, unit: &Unit) -> Facts {
        let mut f = Facts::default();
        agent_facts(&mut f, unit, &self.agents);
        self.head_facts(&mut f, unit);
        let n = f64::from(unit.n);
        f.set(Fact::Requests, n);
        f.set(Fact::Peak, f64::from(unit.peak));
        if let Some(ms) = unit.gaps.median_ms() {
            f.set(Fact::GapMedian, ms);
        }
        if let Some(share) = unit.gaps.regular() {
            f.set(Fact::GapRegular, share);
        }
        f.set(Fact::Pages, f64::from(unit.pages));
        f.set(Fact::ApiNavigations, f64::from(unit.api_navigations));
        if unit.pages > 0 && self.population.sees_assets(unit) {
            f.set(Fact::AssetShare, f64::from(unit.assets) / f64::from(unit.pages));
        }
        f.set(Fact::HeadShare, ratio(unit.heads, unit.n));
        f.set(Fact::RefererShare, ratio(unit.referers, unit.n));
        f.flag(Fact::CookieIgnored, unit.set_cookies >= 3 && unit.cookies == 0);
        f.set(Fact::Endpoints, f64::from(unit.breadth()));
        if unit.answers > 0 {
            f.set(Fact::MissingPaths, unit.missing.count());
            f.set(Fact::MissingRatio, ratio(unit.missing_n, unit.answers));
            f.set(Fact::ServerErrors, f64::from(unit.errors));
            f.set(Fact::Limited, f64::from(unit.limited));
            f.set(Fact::LoginFails, f64::from(unit.login_fails));
        }
        f.set(Fact::Attempts, f64::from(unit.attempts));
        f.set(Fact::AttemptKinds, f64::from((unit.attempt_kinds & !(1 << 3)).count_ones()));
        f.set(Fact::AttemptSqli, f64::from(unit.sqli));
        if unit.attempts > 0 {
            f.set(Fact::SqliShare, ratio(unit.sqli, unit.attempts));
        }
        f.set(Fact::SensitiveFiles, f64::from(unit.sensitive_files));
        f.set(Fact::Accounts, unit.accounts.count());
        f.set(Fact::Sessions, unit.sessions.len() as f64 + f64::from(unit.sessions_over));
        if let Some(address) = self.units.at_address_of(unit) {
            f.set(Fact::AgentsOnAddress, address.agents.count());
        }
        if unit.agent.is_declared() {
            f.set(Fact::RobotsViolations, f64::from(unit.robots_violations));
        }
        f.flag(Fact::RobotsRead, unit.robots_read);
        f.set(Fact::Keyed, ratio(unit.keyed, unit.n));
        f.set(Fact::Megabytes, unit.bytes as f64 / 1e6);
        f.set(Fact::Duration, unit.last.since(unit.first) as f64 / 1e9);
        f
    }

    fn head_facts(&self, f: &mut Facts, unit: &Unit) {
        let browser = unit.agent.kind == AgentKind::Browser;
        let (any, all) = (unit.any, unit.all);
        self.habits(f, unit);
        f.flag(Fact::LanguageMalformed, any.has(Traits::LANGUAGE_MALFORMED));
        f.flag(Fact::HintsVersion, any.has(Traits::HINTS_VERSION));
        f.flag(Fact::HintsPlatform, any.has(Traits::HINTS_PLATFORM));
        f.flag(Fact::HintsForeign, any.has(Traits::HINTS_FOREIGN));
        f.flag(Fact::HintsHeadless, any.has(Traits::HINTS_HEADLESS));
        f.flag(Fact::SecFetchOdd, any.has(Traits::SEC_FETCH_ODD));
        f.flag(Fact::Duplicate, any.has(Traits::DUPLICATE));
        f.flag(Fact::VersionOld, all.has(Traits::VERSION_OLD));
        f.flag(Fact::NoCache, unit.pages > 0 && unit.page_all.has(Traits::NO_CACHE));
        f.flag(Fact::ProxyLeak, any.has(Traits::PROXY_LEAK));
        f.flag(Fact::AutomationLeak, any.has(Traits::AUTOMATION_LEAK));
        f.flag(Fact::ScannerLeak, any.has(Traits::SCANNER_LEAK));
        f.flag(Fact::HostLiteral, any.has(Traits::HOST_LITERAL));
        f.flag(Fact::AcceptWildcard, any.has(Traits::ACCEPT_WILDCARD));
        f.flag(Fact::ForwardedClaim, any.has(Traits::FORWARDED_CLAIM));
        f.flag(Fact::ProtocolAnomaly, any.has(Traits::ANOMALY));
        f.flag(Fact::MethodRare, any.has(Traits::METHOD_RARE));
        f.flag(Fact::JwtUnsigned, any.has(Traits::JWT_UNSIGNED));
        f.flag(Fact::Introspection, any.has(Traits::INTROSPECTION));
        f.flag(Fact::PageSize, any.has(Traits::PAGE_SIZE));
        let mut learned = |fact: Fact, value: Option<bool>| {
            if let Some(value) = value {
                f.flag(fact, value);
            }
        };
        if browser {
            learned(Fact::SecFetchMissing, self.population.lacks_sec_fetch(unit));
            learned(Fact::HintsMissing, self.population.lacks_hints(unit));
            learned(Fact::HostLate, self.population.host_late(unit));
            learned(Fact::ConnectionMissing, self.population.connection_missing(unit));
        }
        learned(Fact::AppHeadersMissing, self.population.lacks_app_headers(unit));
        if let Some(behind) = self.population.behind(unit).filter(|_| browser) {
            f.set(Fact::AgentBehind, f64::from(behind.max(0)));
            f.set(Fact::AgentAhead, f64::from((-behind).max(0)));
        }
    }

    /// Traits that say nothing where clients of good standing have them too.
    fn habits(&self, f: &mut Facts, unit: &Unit) {
        let marks = [
            (Fact::AcceptMissing, Traits::ACCEPT_MISSING),
            (Fact::LanguageMissing, Traits::LANGUAGE_MISSING),
            (Fact::LibraryOrder, Traits::LIBRARY_ORDER),
            (Fact::AppOrder, Traits::APP_ORDER),
            (Fact::CaseMixed, Traits::CASE_MIXED),
            (Fact::FewHeaders, Traits::FEW_HEADERS),
            (Fact::Alphabetical, Traits::ALPHABETICAL),
            (Fact::EncodingStale, Traits::ENCODING_STALE),
        ];
        for (fact, mark) in marks {
            if !self.population.is_usual(unit, mark) {
                f.flag(fact, unit.all.has(mark));
            }
        }
        if !self.population.is_usual(unit, Traits::ORIGIN_MISSING) {
            f.flag(Fact::OriginMissing, unit.any.has(Traits::ORIGIN_MISSING));
        }
        if !self.population.is_usual(unit, Traits::BODY_SPACED) {
            f.flag(Fact::BodySpaced, unit.any.has(Traits::BODY_SPACED) && self.spaced_is_odd(unit));
        }
    }

    /// Spaced JSON says nothing where browsers that load assets write it too (a script of the page that does so).
    fn spaced_is_odd(&self, unit: &Unit) -> bool {
        !unit.loads_like_a_browser()
    }

    fn crowd<'a>(&'a self, units: impl Iterator<Item = &'a Unit>) -> Crowd {
        let mut c = Crowd::default();
        let mut paces: Vec<f64> = Vec::new();
        for unit in units {
            c.clients += 1;
            c.narrow += f64::from(u8::from(unit.is_narrow()));
            c.bare += f64::from(u8::from(unit.assets == 0));
            c.tools += f64::from(u8::from(unit.tool));
            c.single += f64::from(u8::from(unit.n <= 4));
            c.declared += f64::from(u8::from(unit.agent.is_declared()));
            paces.extend(unit.gaps.median_ms());
        }
        let n = c.clients.max(1) as f64;
        for share in [&mut c.narrow, &mut c.bare, &mut c.tools, &mut c.single, &mut c.declared] {
            *share /= n;
        }
        paces.sort_unstable_by(f64::total_cmp);
        c.pace = paces.get(paces.len() / 2).copied();
        c
    }

    /// Facts of a slice of an endpoint's traffic beside the rest of it.
    pub(crate) fn part_facts(&self, slot: &Slot, slice: &Slice) -> Facts {
        let mut f = Facts::default();
        role_facts(&mut f, slot);
        let host = hash::of(slot.endpoint.host.as_bytes());
        f.set(Fact::HostSessions, self.host_sessions.get(&host).map_or(0.0, super::sketch::Distinct::count));
        let fails = slice.denied + slice.missing + slice.refused;
        let told = slice.ok + fails;
        f.set(Fact::PartRequests, f64::from(slice.n));
        f.set(Fact::PartClients, slice.clients as f64);
        let per_client = f64::from(slice.n) / slice.clients.max(1) as f64;
        f.set(Fact::PerClient, per_client);
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
        f.set(Fact::Secrets, slice.secrets);
        if slice.accounts > 0.0 {
            f.set(Fact::SecretsPerAccount, slice.secrets / slice.accounts);
        }
        f.set(Fact::MailDigits, slice.mail_digits);
        f.set(Fact::Disposable, slice.disposable);
        let others =
            (slot.n.saturating_sub(slice.n), f64::from(slot.keyed) - slice.keyed * f64::from(slice.n));
        let usual = others.0 < 5 || others.1 >= 0.5 * f64::from(others.0);
        f.set(Fact::PartKeyed, if usual { slice.keyed } else { 0.0 });
        self.conversion(&mut f, slot, slice);
        if slot.roles().any(Roles::CART) {
            f.set(Fact::Buys, self.buys(&slice.sample));
        }
        f.set(Fact::PartSessions, slice.sessions);
        f.set(Fact::Span, slice.span_s);
        f.set(Fact::PerMinute, f64::from(slice.n) * 60.0 / slice.span_s.max(1.0));
        f.set(Fact::Share, ratio(slice.n, slot.n));
        if let Some(n) = slice.one_receiver {
            f.set(Fact::OneReceiver, n as f64);
        }
        for (fact, value) in [
            (Fact::Sequential, slice.sequential),
            (Fact::Stepping, slice.stepping),
            (Fact::Quick, slice.quick),
        ] {
            if let Some(value) = value {
                f.set(fact, value);
            }
        }
        let crowd = self.crowd(slice.sample.iter().filter_map(|k| self.units.get(*k)));
        f.set(Fact::Narrow, crowd.narrow);
        f.set(Fact::NoAssets, crowd.bare);
        f.set(Fact::Tools, crowd.tools);
        f.set(Fact::SingleUse, crowd.single);
        f.set(Fact::Declared, crowd.declared);
        if let Some(pace) = crowd.pace {
            f.set(Fact::PaceMs, pace);
        }
        self.rest_facts(&mut f, slot, slice, per_client);
        f
    }

    fn rest_facts(&self, f: &mut Facts, slot: &Slot, slice: &Slice, per_client: f64) {
        let mut rest = Rest::default();
        for shape in &slot.order {
            let Some(part) = slot.parts.get(shape) else { continue };
            if slice.without_shape == Some(*shape) || part.campaign.is_some() {
                continue;
            }
            rest.n += part.n;
            rest.ok += part.ok;
            rest.fails += part.fails();
            let room = SAMPLE.saturating_sub(rest.sample.len()).min(64);
            let step = part.members.len().div_ceil(room.max(1)).max(1);
            rest.sample.extend(part.members.iter().step_by(step).map(|m| m.unit));
        }
        if slice.without_shape.is_none() && slice.without_calls.is_none() {
            rest.n = rest.n.saturating_sub(slice.n);
            rest.ok = rest.ok.saturating_sub(slice.ok);
            rest.fails = rest.fails.saturating_sub(slice.denied);
        }
        if let Some(call) = &slice.without_calls {
            rest.n = rest.n.saturating_sub(call.n);
            rest.ok = rest.ok.saturating_sub(call.ok);
            rest.fails = rest.fails.saturating_sub(call.fails());
        }
        let convicted = |k: &u64| self.convictions.units.contains_key(k);
        let mut own = slice.sample.clone();
        own.sort_unstable();
        rest.sample.retain(|k| own.binary_search(k).is_err() && !convicted(k));
        let crowd = self.crowd(rest.sample.iter().filter_map(|k| self.units.get(*k)));
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
            f.set(Fact::MissingSteps, self.missing_steps(slot, &slice.sample, &rest.sample));
        }
        let usual = match slice.outlier {
            Some((true, n)) => slot.by_session.p95_without(n),
            Some((false, n)) => slot.by_client.p95_without(n),
            None => rest_p95(slot, slice, &own),
        };
        if let Some(usual) = usual {
            f.set(Fact::RestTargetsPerClient, usual);
            let own = if slice.clients <= 1 {
                slice.targets.max(per_client.min(slice.targets))
            } else {
                per_client
            };
            f.set(Fact::TargetExcess, own / usual.max(1.0));
        }
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
    fn conversion(&self, f: &mut Facts, slot: &Slot, slice: &Slice) {
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

    /// Endpoints that four fifths of the rest call and a fifth of the slice at most.
    fn missing_steps(&self, slot: &Slot, slice: &[u64], rest: &[u64]) -> f64 {
        let mut counts: Vec<(u32, u32)> = Vec::new();
        let mut known = 0u32;
        for unit in rest.iter().take(64).filter_map(|k| self.units.get(*k)) {
            known += 1;
            for call in &unit.calls {
                let room = counts.len() < 256;
                match counts.iter_mut().find(|(s, _)| *s == call.slot) {
                    Some((_, n)) => *n += 1,
                    None if room => counts.push((call.slot, 1)),
                    None => {}
                }
            }
        }
        if known < 5 {
            return 0.0;
        }
        let mut missing = 0;
        for (step, n) in counts {
            let same = self.slots.get(step as usize).is_some_and(|s| s.endpoint.id == slot.endpoint.id);
            if same || n * 5 < known * 4 {
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

/// What 95 % of the clients of other, unconvicted parts stay under; `own` are the slice's clients, in order.
fn rest_p95(slot: &Slot, slice: &Slice, own: &[u64]) -> Option<f64> {
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
    counts.sort_unstable();
    counts.get((counts.len() - 1) * 95 / 100).map(|n| f64::from(*n))
}

#[derive(Debug, Default)]
struct Rest {
    n: u32,
    ok: u32,
    fails: u32,
    sample: Vec<u64>,
}

fn agent_facts(f: &mut Facts, unit: &Unit, agents: &Agents) {
    let kinds = [
        (Fact::AgentMissing, AgentKind::Missing),
        (Fact::AgentBrowser, AgentKind::Browser),
        (Fact::AgentApp, AgentKind::AppLibrary),
        (Fact::AgentLibrary, AgentKind::Library),
        (Fact::AgentApiClient, AgentKind::ApiClient),
        (Fact::AgentScanner, AgentKind::Scanner),
        (Fact::AgentHeadless, AgentKind::Headless),
        (Fact::AgentCrawler, AgentKind::Crawler),
        (Fact::AgentAiCrawler, AgentKind::AiCrawler),
        (Fact::AgentAiAgent, AgentKind::AiAgent),
        (Fact::AgentMonitor, AgentKind::Monitor),
        (Fact::AgentPreview, AgentKind::Preview),
    ];
    for (fact, kind) in kinds {
        f.flag(fact, unit.agent.kind == kind);
    }
    if let Some(verified) = agents.verified(&unit.agent, unit.ip) {
        f.flag(Fact::AgentVerified, verified);
    }
    f.flag(Fact::AgentMalformed, unit.any.has(Traits::AGENT_MALFORMED));
    f.flag(Fact::AgentImpossible, unit.any.has(Traits::AGENT_IMPOSSIBLE));
    f.flag(Fact::AgentExploit, unit.any.has(Traits::AGENT_EXPLOIT));
}

fn role_facts(f: &mut Facts, slot: &Slot) {
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
    f.flag(Fact::RoleRead, slot.reads * 2 > slot.n);
    f.flag(Fact::RolePage, slot.pages * 2 > slot.n);
}
