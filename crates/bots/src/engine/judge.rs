//! From counts to facts: a client as a whole.

use smallvec::SmallVec;

use super::Engine;
use super::population::Peers;
use super::slice::ratio;
use super::unit::Unit;
use crate::agent::AgentKind;
use crate::facts::{Fact, Facts};
use crate::indicators::{Asked, Scope};
use crate::observation::Traits;

/// Log-odds of tools at which a client's requests show a tool.
const TOOL: f64 = 3.0;

impl Engine {
    /// Facts of one client as a whole, and what its indicators say.
    pub(crate) fn ask_client(&self, unit: &Unit) -> (Facts, Asked) {
        let facts = self.client_facts(unit);
        let asked = self.pack.ask(Scope::Client, &facts);
        (facts, asked)
    }

    /// True where the client's requests show a tool.
    pub(crate) fn shows_tool(&self, asked: &Asked) -> bool {
        let is_tool =
            |n: &usize| self.pack.indicators().get(*n).is_some_and(|i| i.pillar == crate::Pillar::Tools);
        let tools: SmallVec<[usize; 16]> = asked.fired.iter().copied().filter(is_tool).collect();
        self.pack.sum(&tools, |i| i.automation) >= TOOL
    }

    fn client_facts(&self, unit: &Unit) -> Facts {
        let mut f = Facts::default();
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
        f.set(Fact::ApiNavigations, f64::from(unit.api_navigations));
        if unit.pages > 0 && peers.sees_assets() {
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
}

fn head_facts(f: &mut Facts, unit: &Unit, peers: &Peers<'_>) {
    let browser = unit.agent.kind == AgentKind::Browser;
    let (any, all) = (unit.any, unit.all);
    habits(f, unit, peers);
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

/// Traits that say nothing where clients of good standing have them too.
fn habits(f: &mut Facts, unit: &Unit, peers: &Peers<'_>) {
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
        if !peers.is_usual(unit, mark) {
            f.flag(fact, unit.all.has(mark));
        }
    }
    if !peers.is_usual(unit, Traits::ORIGIN_MISSING) {
        f.flag(Fact::OriginMissing, unit.any.has(Traits::ORIGIN_MISSING));
    }
    if !peers.is_usual(unit, Traits::BODY_SPACED) {
        f.flag(Fact::BodySpaced, unit.any.has(Traits::BODY_SPACED) && spaced_is_odd(unit));
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
}
