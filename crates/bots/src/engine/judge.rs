//! From counts to facts: a client as a whole.

use smallvec::SmallVec;

use super::Engine;
use super::endpoint::Slot;
use super::population::Peers;
use super::slice::ratio;
use super::unit::Unit;
use crate::agent::AgentKind;
use crate::facts::{Fact, Facts};
use crate::indicators::{Asked, Scope, View};
use crate::observation::Traits;

/// Log-odds of tools at which a client's requests show a tool.
const TOOL: f64 = 3.0;

impl Engine {
    /// Facts of one client as a whole, and what its indicators say.
    pub(crate) fn ask_client(&self, unit: &Unit) -> (Facts, Asked) {
        let facts = self.client_facts(unit);
        let asked = self.client_view(unit).ask(Scope::Client, &facts);
        (facts, asked)
    }

    /// The pack as it holds for a client: by the host that it called first.
    pub(super) fn client_view(&self, unit: &Unit) -> View<'_> {
        if !self.pack.differs() {
            return self.pack.everywhere();
        }
        let slot = unit.calls.first().and_then(|c| self.slots.get(c.slot as usize));
        slot.map_or_else(|| self.pack.everywhere(), |s| self.pack.at(&s.endpoint.host, None))
    }

    /// The pack as it holds for the calls of an endpoint.
    pub(super) fn view_at(&self, slot: &Slot) -> View<'_> {
        if !self.pack.differs() {
            return self.pack.everywhere();
        }
        let e = &slot.endpoint;
        self.pack.at(&e.host, Some((&e.method, &e.template, slot.roles())))
    }

    /// Paths, answers that nothing is there, and answers of all that one address asks for under ever new names, where it finds
    /// nearly nothing and this client of it does not either.
    fn probing(&self, unit: &Unit) -> Option<[f64; 3]> {
        const NAMES: f64 = 12.0;
        const LOOKED_AT: usize = 64;
        let rare = unit.rare();
        if rare.missing_n == 0 || rare.missing_n * 2 < unit.answers || unit.shared || unit.is_claimed() {
            return None;
        }
        let address = self.units.at_address_of(unit).filter(|_| !self.config.without.addresses)?;
        if address.proxy || address.agents.count() < NAMES {
            return None;
        }
        let mut all = [0.0; 3];
        for other in address.units.as_slice().iter().take(LOOKED_AT).filter_map(|k| self.units.get(*k)) {
            let theirs = other.rare();
            let own = [theirs.missing.count(), f64::from(theirs.missing_n), f64::from(other.answers)];
            all.iter_mut().zip(own).for_each(|(sum, n)| *sum += n);
        }
        (all[1] >= 0.8 * all[2]).then_some(all)
    }

    /// Files that only probes ask for, and requests: of a client that shows nothing else, or of an address that does so under ever new
    /// names. Whatever is answered: many applications answer what they do not have with their first page.
    fn probed(&self, unit: &Unit) -> Option<[f64; 2]> {
        const NAMES: f64 = 12.0;
        const LOOKED_AT: usize = 64;
        let plain = |u: &Unit| u.assets == 0 && u.keyed == 0 && u.habits.acts().logged_in == 0;
        if unit.rare().sensitive_files == 0 || unit.shared || unit.is_claimed() || !plain(unit) {
            return None;
        }
        let own = |u: &Unit| [u.rare().probed.count(), f64::from(u.n)];
        let address = self.units.at_address_of(unit).filter(|_| !self.config.without.addresses);
        let Some(address) = address.filter(|a| !a.proxy && a.agents.count() >= NAMES) else {
            return Some(own(unit));
        };
        let others = address.units.as_slice().iter().take(LOOKED_AT).filter_map(|k| self.units.get(*k));
        Some(
            others
                .filter(|u| plain(u))
                .map(own)
                .fold([0.0; 2], |[f, n], [files, calls]| [f + files, n + calls]),
        )
    }

    /// How many times longer servers work on a client's main call than on the same call of others, where it does little else and five
    /// others and more are known.
    fn cost_excess(&self, unit: &Unit) -> Option<f64> {
        const CALLS: u32 = 20;
        const LEAST_MS: f64 = 5.0;
        let main = unit.calls.iter().max_by_key(|c| c.n).filter(|c| c.n >= CALLS && c.n * 5 >= unit.n * 4)?;
        let slot = self.slots.get(self.resolve(main.slot) as usize)?;
        let (others, wait) =
            (slot.answered.checked_sub(main.n)?, slot.wait_ms.checked_sub(unit.habits.wait_ms)?);
        if others < CALLS || slot.by_client.total() < 6 {
            return None;
        }
        let usual = wait as f64 / f64::from(others);
        Some(unit.habits.wait_ms as f64 / f64::from(unit.answers.max(1)) / usual.max(LEAST_MS))
    }

    /// True where the client's requests show a tool.
    pub(crate) fn shows_tool(&self, unit: &Unit, asked: &Asked) -> bool {
        // What a browser leaves out where no TLS is spoken shows no tool beside the assets that it loads.
        let plain = |n: &&usize| {
            let id = self.pack.indicators().get(**n).map(|i| i.id.as_str());
            matches!(id, Some("sec-fetch-missing" | "ua-ch-missing" | "accept-encoding-stale"))
        };
        let shown: SmallVec<[usize; 32]> = if unit.loads_like_a_browser() {
            asked.fired.iter().filter(|n| !plain(n)).copied().collect()
        } else {
            SmallVec::from_slice(&asked.fired)
        };
        self.client_view(unit).automation(&shown, |i| i.pillar == crate::Pillar::Tools) >= TOOL
    }

    pub(super) fn client_facts(&self, unit: &Unit) -> Facts {
        let (mut f, rare) = (Facts::default(), unit.rare());
        agent_facts(&mut f, unit);
        unit.standing.facts(&mut f, &self.knowledge());
        let peers = self.population.peers(unit);
        head_facts(&mut f, unit, &peers);
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
        f.set(Fact::ApiNavigations, f64::from(rare.api_navigations));
        if unit.pages > 0 && peers.sees_assets() {
            f.set(Fact::AssetShare, f64::from(unit.assets) / f64::from(unit.pages));
        }
        f.set(Fact::HeadShare, ratio(unit.heads, unit.n));
        f.set(Fact::RefererShare, ratio(unit.referers, unit.n));
        f.flag(Fact::CookieIgnored, unit.set_cookies >= 3 && unit.cookies == 0);
        f.set(Fact::Endpoints, f64::from(unit.breadth()));
        if unit.answers > 0 {
            let [paths, missing, answers] = self.probing(unit).unwrap_or([
                rare.missing.count(),
                f64::from(rare.missing_n),
                f64::from(unit.answers),
            ]);
            f.set(Fact::MissingPaths, paths);
            f.set(Fact::MissingRatio, missing / answers.max(1.0));
            f.set(Fact::ServerErrors, f64::from(rare.errors));
            f.set(Fact::Limited, f64::from(rare.limited));
            f.set(Fact::LoginFails, f64::from(rare.login_fails));
        }
        f.set(Fact::Attempts, f64::from(rare.attempts));
        f.set(Fact::AttemptKinds, f64::from((rare.attempt_kinds & !(1 << 3)).count_ones()));
        f.set(Fact::AttemptSqli, f64::from(rare.sqli));
        if rare.attempts > 0 {
            f.set(Fact::SqliShare, ratio(rare.sqli, rare.attempts));
        }
        f.set(Fact::SensitiveFiles, f64::from(rare.sensitive_files));
        if let Some([files, calls]) = self.probed(unit) {
            f.set(Fact::ProbedFiles, files);
            f.set(Fact::ProbedShare, files / calls.max(1.0));
        }
        f.set(Fact::Accounts, unit.accounts.count());
        f.set(Fact::Sessions, unit.sessions.len() as f64 + f64::from(rare.sessions_over));
        if let Some(address) = self.units.at_address_of(unit).filter(|_| !self.config.without.addresses) {
            f.set(Fact::AgentsOnAddress, address.agents.count());
        }
        if unit.agent.is_declared() {
            f.set(Fact::RobotsViolations, f64::from(rare.robots_violations));
        }
        f.flag(Fact::RobotsRead, unit.robots_read);
        f.set(Fact::Keyed, ratio(unit.keyed, unit.n));
        f.set(Fact::Megabytes, unit.bytes as f64 / 1e6);
        f.set(Fact::Duration, unit.last.since(unit.first) as f64 / 1e9);
        super::conduct::facts(&mut f, unit, &peers, self.quiet);
        if let Some(times) = self.cost_excess(unit) {
            f.set(Fact::CostExcess, times);
        }
        if !self.config.without.anomaly {
            self.anomaly.facts(unit, &mut f);
        }
        f
    }
}

/// Facts of a head that is so in every request (`All`) or in one (`Any`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    All,
    Any,
}

/// Facts that are traits: said of everybody.
const PLAIN: [(Fact, Traits, In); 29] = [
    (Fact::LanguageMalformed, Traits::LANGUAGE_MALFORMED, In::Any),
    (Fact::HintsVersion, Traits::HINTS_VERSION, In::Any),
    (Fact::HintsPlatform, Traits::HINTS_PLATFORM, In::Any),
    (Fact::HintsForeign, Traits::HINTS_FOREIGN, In::Any),
    (Fact::HintsHeadless, Traits::HINTS_HEADLESS, In::Any),
    (Fact::SecFetchOdd, Traits::SEC_FETCH_ODD, In::Any),
    (Fact::Duplicate, Traits::DUPLICATE, In::Any),
    (Fact::ProxyLeak, Traits::PROXY_LEAK, In::Any),
    (Fact::AutomationLeak, Traits::AUTOMATION_LEAK, In::Any),
    (Fact::ScannerLeak, Traits::SCANNER_LEAK, In::Any),
    (Fact::HostLiteral, Traits::HOST_LITERAL, In::Any),
    (Fact::AcceptWildcard, Traits::ACCEPT_WILDCARD, In::Any),
    (Fact::ForwardedClaim, Traits::FORWARDED_CLAIM, In::Any),
    (Fact::ProtocolAnomaly, Traits::ANOMALY, In::Any),
    (Fact::MethodRare, Traits::METHOD_RARE, In::Any),
    (Fact::JwtUnsigned, Traits::JWT_UNSIGNED, In::Any),
    (Fact::Introspection, Traits::INTROSPECTION, In::Any),
    (Fact::PageSize, Traits::PAGE_SIZE, In::Any),
    (Fact::ToolField, Traits::TOOL_FIELD, In::Any),
    (Fact::MethodOverride, Traits::METHOD_OVERRIDE, In::Any),
    (Fact::ForwardedLocal, Traits::FORWARDED_LOCAL, In::Any),
    (Fact::ForwardedMany, Traits::FORWARDED_MANY, In::Any),
    (Fact::FramingAnomaly, Traits::FRAMING_ANOMALY, In::Any),
    (Fact::LineAnomaly, Traits::LINE_ANOMALY, In::Any),
    (Fact::BodyAnomaly, Traits::BODY_ANOMALY, In::Any),
    (Fact::TcpAnomaly, Traits::TCP_ANOMALY, In::Any),
    (Fact::PathOdd, Traits::PATH_ODD, In::Any),
    (Fact::LongTarget, Traits::LONG_TARGET, In::Any),
    (Fact::BoundaryLibrary, Traits::BOUNDARY_LIBRARY, In::Any),
];

/// Facts that are traits and say nothing where clients of good standing have them too.
const LEARNED: [(Fact, Traits, In); 35] = [
    (Fact::AcceptMissing, Traits::ACCEPT_MISSING, In::All),
    (Fact::LanguageMissing, Traits::LANGUAGE_MISSING, In::All),
    (Fact::LibraryOrder, Traits::LIBRARY_ORDER, In::All),
    (Fact::AppOrder, Traits::APP_ORDER, In::All),
    (Fact::CaseMixed, Traits::CASE_MIXED, In::All),
    (Fact::FewHeaders, Traits::FEW_HEADERS, In::All),
    (Fact::Alphabetical, Traits::ALPHABETICAL, In::All),
    (Fact::EncodingStale, Traits::ENCODING_STALE, In::All),
    (Fact::OriginMissing, Traits::ORIGIN_MISSING, In::Any),
    (Fact::EncodingMissing, Traits::ENCODING_MISSING, In::All),
    (Fact::LanguageAny, Traits::LANGUAGE_ANY, In::All),
    (Fact::LanguageBare, Traits::LANGUAGE_BARE, In::All),
    (Fact::HintsPart, Traits::HINTS_PART, In::Any),
    (Fact::HintsBrand, Traits::HINTS_BRAND, In::Any),
    (Fact::SecFetchPart, Traits::SEC_FETCH_PART, In::Any),
    (Fact::SecFetchSiteOdd, Traits::SEC_FETCH_SITE_ODD, In::Any),
    (Fact::AcceptDestOdd, Traits::ACCEPT_DEST_ODD, In::Any),
    (Fact::Expect, Traits::EXPECT, In::Any),
    (Fact::AcceptCharset, Traits::ACCEPT_CHARSET, In::Any),
    (Fact::TypeWithoutBody, Traits::TYPE_WITHOUT_BODY, In::Any),
    (Fact::BodyUntyped, Traits::BODY_UNTYPED, In::Any),
    (Fact::GetBody, Traits::GET_BODY, In::Any),
    (Fact::CookieTwice, Traits::COOKIE_TWICE, In::Any),
    (Fact::XhrNavigates, Traits::XHR_NAVIGATES, In::Any),
    (Fact::UnderscoreName, Traits::UNDERSCORE_NAME, In::Any),
    (Fact::ProfileValues, Traits::PROFILE_VALUES, In::Any),
    (Fact::ProfileMissing, Traits::PROFILE_MISSING, In::All),
    (Fact::ProfileForeign, Traits::PROFILE_FOREIGN, In::Any),
    (Fact::FieldEmpty, Traits::FIELD_EMPTY, In::Any),
    (Fact::TypeMismatch, Traits::TYPE_MISMATCH, In::Any),
    (Fact::UpgradeMissing, Traits::UPGRADE_MISSING, In::Any),
    (Fact::RefererSelf, Traits::REFERER_SELF, In::Any),
    (Fact::RefererMalformed, Traits::REFERER_MALFORMED, In::Any),
    (Fact::HostMissing, Traits::HOST_MISSING, In::Any),
    (Fact::AbsoluteForm, Traits::ABSOLUTE_FORM, In::Any),
];

/// Those of the order and spelling of fields, which a hop may write anew.
const ORDERS: [Fact; 4] = [Fact::LibraryOrder, Fact::AppOrder, Fact::CaseMixed, Fact::Alphabetical];

/// The same, of what a balancer or proxy writes itself: unknown behind one.
const OF_CONNECTION: [(Fact, Traits, In); 4] = [
    (Fact::ConnectionClose, Traits::CONNECTION_CLOSE, In::All),
    (Fact::KeepAliveField, Traits::KEEP_ALIVE_FIELD, In::Any),
    (Fact::HostPort, Traits::HOST_PORT, In::All),
    (Fact::VersionOld, Traits::VERSION_OLD, In::All),
];

fn head_facts(f: &mut Facts, unit: &Unit, peers: &Peers<'_>) {
    let browser = unit.agent.kind == AgentKind::Browser;
    let usual = peers.usual(unit);
    let relayed = unit.any.has(Traits::RELAYED);
    let shown = |(_, mark, of): &(Fact, Traits, In)| match of {
        In::All => unit.all.has(*mark),
        In::Any => unit.any.has(*mark),
    };
    PLAIN.iter().for_each(|row| f.flag(row.0, shown(row)));
    // A hop may have written the order anew: then those of good standing must be known to compare with.
    let ordered = !relayed || peers.known(unit);
    let learned = LEARNED.iter().filter(|row| !usual.has(row.1) && (ordered || !ORDERS.contains(&row.0)));
    learned.for_each(|row| f.flag(row.0, shown(row)));
    if !relayed {
        for row in OF_CONNECTION.iter().filter(|row| !usual.has(row.1)) {
            f.flag(row.0, shown(row));
        }
    }
    if ordered && !usual.has(Traits::PROFILE_ORDER) {
        f.flag(Fact::ProfileOrder, unit.all.has(Traits::PROFILE_ORDER));
    }
    if ordered && !usual.has(Traits::RESEMBLES) {
        let of = if unit.all.has(Traits::RESEMBLES) { unit.habits.resembles } else { 0 };
        f.set(Fact::Resembles, f64::from(of));
    }
    if !usual.has(Traits::BODY_SPACED) {
        f.flag(Fact::BodySpaced, unit.any.has(Traits::BODY_SPACED) && spaced_is_odd(unit));
    }
    f.flag(Fact::NoCache, unit.pages > 0 && unit.uncached);
    let mut learned = |fact: Fact, value: Option<bool>| {
        if let Some(value) = value {
            f.flag(fact, value);
        }
    };
    if browser {
        learned(Fact::SecFetchMissing, peers.lacks_sec_fetch(unit));
        learned(Fact::HintsMissing, peers.lacks_hints(unit));
        learned(Fact::HostLate, peers.host_late(unit));
        learned(Fact::ConnectionMissing, peers.connection_missing(unit));
    }
    learned(Fact::AppHeadersMissing, peers.lacks_app_headers(unit));
    if let Some(behind) = peers.behind(unit).filter(|_| browser) {
        f.set(Fact::AgentBehind, f64::from(behind.max(0)));
        f.set(Fact::AgentAhead, f64::from((-behind).max(0)));
    }
}

/// Spaced JSON says nothing where browsers that load assets write it too (a script of the page that does so).
fn spaced_is_odd(unit: &Unit) -> bool {
    !unit.loads_like_a_browser()
}

fn agent_facts(f: &mut Facts, unit: &Unit) {
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
    f.flag(Fact::AgentMalformed, unit.any.has(Traits::AGENT_MALFORMED));
    f.flag(Fact::AgentImpossible, unit.any.has(Traits::AGENT_IMPOSSIBLE));
    f.flag(Fact::AgentExploit, unit.any.has(Traits::AGENT_EXPLOIT));
    f.flag(Fact::AgentBare, unit.any.has(Traits::AGENT_BARE));
    f.flag(Fact::AgentUnreduced, unit.any.has(Traits::AGENT_UNREDUCED));
}
