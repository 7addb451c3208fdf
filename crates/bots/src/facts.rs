//! Named numbers about a client or about a part of an endpoint's traffic: what indicators look at.

use std::collections::HashMap;
use std::sync::LazyLock;

macro_rules! facts {
    ($($name:ident = $text:literal, $doc:literal;)+) => {
        /// A fact that indicators may ask for.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Fact {
            $(#[doc = $doc] $name,)+
        }

        impl Fact {
            /// Every fact with its name and what it means.
            pub const ALL: &'static [(Fact, &'static str, &'static str)] = &[$((Fact::$name, $text, $doc),)+];
        }
    };
}

facts! {
    AgentMissing = "agent.missing", "1 where no agent is named";
    AgentBrowser = "agent.browser", "1 where the agent claims a browser";
    AgentApp = "agent.app", "1 where the agent claims a native app";
    AgentLibrary = "agent.library", "1 where the agent is an HTTP library";
    AgentApiClient = "agent.api-client", "1 where the agent is a developer's client or load generator";
    AgentScanner = "agent.scanner", "1 where the agent is a scanner or brute forcer";
    AgentHeadless = "agent.headless", "1 where the agent is a headless or driven browser";
    AgentCrawler = "agent.crawler", "1 where the agent declares itself a robot";
    AgentAiCrawler = "agent.ai-crawler", "1 where the agent is a crawler that feeds language models";
    AgentAiAgent = "agent.ai-agent", "1 where the agent fetches for a person's prompt";
    AgentMonitor = "agent.monitor", "1 where the agent is a monitor";
    AgentPreview = "agent.preview", "1 where the agent makes link previews";
    AgentVerified = "agent.verified", "1 where the claimed operator publishes the address, 0 where it publishes others";
    AgentMalformed = "agent.malformed", "1 where no product sends such a string";
    AgentImpossible = "agent.impossible", "1 where the string's parts exclude each other";
    AgentExploit = "agent.exploit", "1 where the string carries an exploit";
    AgentBehind = "agent.behind", "major versions behind the newest of its family that several clients use";
    AgentAhead = "agent.ahead", "major versions ahead of the newest of its family that several clients use";
    AcceptMissing = "head.accept-missing", "1 where no request has Accept";
    LanguageMissing = "head.language-missing", "1 where a browser's requests have no Accept-Language";
    LanguageMalformed = "head.language-malformed", "1 where no browser writes such an Accept-Language";
    SecFetchMissing = "head.sec-fetch-missing", "1 where a browser sends no Sec-Fetch-* though those that load assets do";
    HintsMissing = "head.hints-missing", "1 where a Chromium sends no client hints though those that load assets do";
    HintsVersion = "head.hints-version", "1 where client hints and agent name different versions";
    HintsPlatform = "head.hints-platform", "1 where client hints and agent name different platforms";
    HintsForeign = "head.hints-foreign", "1 where an agent sends client hints that has none";
    HintsHeadless = "head.hints-headless", "1 where the client hints name a headless brand";
    SecFetchOdd = "head.sec-fetch-odd", "1 where Sec-Fetch-* contradict the request";
    HostLate = "head.host-late", "1 where a browser's Host is not the first field though others' is";
    LibraryOrder = "head.library-order", "1 where a browser's fields stand in a library's order";
    AppOrder = "head.app-order", "1 where an app library's fields stand in an order that it does not write";
    CaseMixed = "head.case-mixed", "1 where a browser mixes lower and title case";
    FewHeaders = "head.few", "1 where a browser sends fewer than six fields";
    Alphabetical = "head.alphabetical", "1 where the fields stand in alphabetical order";
    EncodingStale = "head.encoding-stale", "1 where a modern browser does not accept br";
    Duplicate = "head.duplicate", "1 where a field stands twice that may stand once";
    VersionOld = "head.version-old", "1 where HTTP/1.0 or older is spoken";
    NoCache = "head.no-cache", "1 where every page is asked for past the caches";
    ProxyLeak = "head.proxy-leak", "1 where fields of forward proxies show";
    AutomationLeak = "head.automation-leak", "1 where fields of automation tools show";
    ScannerLeak = "head.scanner-leak", "1 where fields of scanners show";
    HostLiteral = "head.host-literal", "1 where the Host is an address";
    OriginMissing = "head.origin-missing", "1 where a browser posts JSON without Origin though others send it";
    AcceptWildcard = "head.accept-wildcard", "1 where a browser asks for documents with Accept */*";
    ConnectionMissing = "head.connection-missing", "1 where Chromium sends no Connection though others do";
    ForwardedClaim = "head.forwarded-claim", "1 where an untrusted sender names a forwarded address";
    ProtocolAnomaly = "head.anomaly", "1 where the protocol was broken";
    MethodRare = "head.method-rare", "1 where a method was used that applications do not use";
    AppHeadersMissing = "head.app-headers-missing", "1 where an app lacks the fields that the same host's apps send";
    BodySpaced = "body.spaced", "1 where a browser's or app's JSON is spaced as libraries write it";
    JwtUnsigned = "token.unsigned", "1 where an unsigned JWT was presented";
    Introspection = "graphql.introspection", "1 where a GraphQL schema was asked for";
    PageSize = "query.page-size", "1 where a page size above 500 was asked for";
    Requests = "client.requests", "requests of the client";
    Peak = "client.peak-per-minute", "most requests in one minute";
    GapMedian = "client.gap-ms", "median gap between requests in milliseconds";
    GapRegular = "client.gap-regular", "share of gaps in the most used quarter octave";
    Pages = "client.pages", "documents asked for";
    AssetShare = "client.asset-share", "assets for each page";
    HeadShare = "client.head-share", "share of HEAD requests";
    RefererShare = "client.referer-share", "share of requests with Referer";
    CookieIgnored = "client.cookie-ignored", "1 where cookies were set at least three times and never came back";
    Endpoints = "client.endpoints", "endpoints called, assets aside";
    MissingPaths = "client.missing-paths", "different paths asked for that do not exist";
    MissingRatio = "client.missing-ratio", "share of answers that say not found";
    NetHosting = "net.hosting", "1 where the address is a machine for rent: hosting, cloud, functions";
    NetFunction = "net.cloud-function", "1 where the address is of a cloud's functions";
    NetVpn = "net.vpn", "1 where the address is an exit of virtual private networks";
    NetTor = "net.tor", "1 where the address is an exit of the Tor network";
    NetProxy = "net.proxy", "1 where the address is an exit that a proxy provider sells";
    NetRelay = "net.relay", "1 where the address is a privacy relay's";
    NetResidential = "net.residential", "1 where the address is a home's";
    NetShared = "net.shared", "1 where many subscribers share such addresses: mobile, satellite, relays";
    NetReported = "net.reported", "weight of the worst list that the address, its network or its holder is reported on";
    PartyPartner = "party.partner", "1 where it is a partner of the configuration";
    PartyMonitor = "party.monitor", "1 where it is a monitor of the configuration";
    PartyApp = "party.app", "1 where it is an app of the configuration";
    PartyForeignKey = "party.foreign-key", "1 where it presents a partner's key from elsewhere than the partner's networks";
    SignatureValid = "signature.valid", "1 where its requests are signed with an installed key of the agent";
    SignatureInvalid = "signature.invalid", "1 where a request bears an agent's signature that is wrong";
    SignatureClaimed = "signature.claimed", "1 where its requests bear an agent's signature whose key is not installed";
    Attempts = "client.attempts", "requests that carry an attack";
    AttemptKinds = "client.attempt-kinds", "kinds of attacks seen";
    AttemptSqli = "client.sqli", "requests that carry SQL injection";
    SqliShare = "client.sqli-share", "share of the attacks that are SQL injection";
    SensitiveFiles = "client.sensitive-files", "requests for files that only probes ask for";
    ServerErrors = "client.server-errors", "answers of 5xx";
    Limited = "client.limited", "answers of 429";
    Accounts = "client.accounts", "different accounts named";
    LoginFails = "client.login-fails", "logins that failed";
    Sessions = "client.sessions", "sessions presented";
    AgentsOnAddress = "client.agents-on-address", "agent strings seen at the address";
    RobotsViolations = "client.robots-violations", "paths fetched that robots.txt forbids the agent";
    RobotsRead = "client.robots-read", "1 where the client read robots.txt";
    Keyed = "client.keyed", "share of requests with an API key, signature or Basic authentication";
    Megabytes = "client.megabytes", "megabytes of answers";
    ApiNavigations = "client.api-navigations", "navigations of a browser that were answered with data, not with a document";
    HostSessions = "host.sessions", "sessions seen on the host";
    Duration = "client.duration-s", "seconds between first and last request";
    PartRequests = "part.requests", "requests of the part";
    PartClients = "part.clients", "clients of the part";
    PerClient = "part.requests-per-client", "requests for each client";
    Fails = "part.fails", "calls that the application refused";
    FailRatio = "part.fail-ratio", "share of the calls with a known outcome that were refused";
    RestFailRatio = "rest.fail-ratio", "share of the other clients' calls that were refused";
    FailExcess = "part.fail-excess", "how much more often the part is refused than the rest";
    DeniedRatio = "part.denied-ratio", "share of credentials, codes or tokens refused";
    NotFoundRatio = "part.missing-ratio", "share of answers that say not found";
    RefusedRatio = "part.refused-ratio", "share of calls declined";
    Successes = "part.successes", "calls that worked";
    Targets = "part.targets", "different things asked for: accounts, ids, codes or parameters";
    TargetRatio = "part.target-ratio", "different things for each request";
    TargetsPerClient = "part.targets-per-client", "different things for each client";
    RestTargetsPerClient = "rest.targets-per-client", "requests for each client that 95 % of the rest stay under";
    TargetExcess = "part.target-excess", "how many times more things than 95 % of the rest";
    Narrow = "part.narrow", "share of clients that call little else and load no assets";
    RestNarrow = "rest.narrow", "share of the rest's clients that call little else and load no assets";
    NoAssets = "part.no-assets", "share of clients that load no assets";
    RestNoAssets = "rest.no-assets", "share of the rest's clients that load no assets";
    Tools = "part.tools", "share of clients whose requests show a tool";
    RestTools = "rest.tools", "share of the rest's clients whose requests show a tool";
    RestClients = "rest.clients", "clients of the rest";
    RestRequests = "rest.requests", "requests of the rest";
    PartAgents = "part.agents", "different agent strings";
    Sequential = "part.sequential", "share of numeric ids that stand next to another one asked for";
    Stepping = "part.stepping", "share of a client's steps that go to a neighbouring number";
    Span = "part.span-s", "seconds between first and last request";
    PerMinute = "part.per-minute", "requests a minute";
    Secrets = "part.secrets", "different passwords";
    PartAccounts = "part.accounts", "different accounts";
    SecretsPerAccount = "part.secrets-per-account", "passwords for each account";
    PartKeyed = "part.keyed", "share of requests with an API key, signature or Basic authentication";
    PartSessions = "part.sessions", "share of requests with a session";
    Share = "part.share", "share of the endpoint's requests";
    MissingSteps = "part.missing-steps", "endpoints that the rest call first and the part does not";
    Quick = "part.quick", "share of clients that come here within a minute of their first request";
    Declared = "part.declared", "share of clients that declare themselves robots";
    MailDigits = "part.mail-digits", "share of accounts that end with digits";
    Disposable = "part.disposable", "share of accounts at throw-away mail services";
    OneReceiver = "part.one-receiver", "clients that send to one and the same receiver within seconds of their first request";
    Buys = "part.buys", "share of clients that also call a checkout";
    Conversion = "part.conversion", "clients of the part for each client that logs in with its fingerprint";
    RestConversion = "rest.conversion", "clients for each client that logs in, with other fingerprints";
    PaceMs = "part.pace-ms", "median gap of the clients in milliseconds";
    SingleUse = "part.single-use", "share of clients with at most four requests in all";
    PartHosting = "part.hosting", "share of clients whose addresses are machines for rent";
    RestHosting = "rest.hosting", "share of the rest's clients whose addresses are machines for rent";
    PartAnonymous = "part.anonymous", "share of clients that come through VPN, Tor or proxies";
    RestAnonymous = "rest.anonymous", "share of the rest's clients that come through VPN, Tor or proxies";
    PartReported = "part.reported", "share of clients whose addresses are reported on lists";
    RestReported = "rest.reported", "share of the rest's clients whose addresses are reported on lists";
    PartNetworks = "part.networks", "different networks";
    PartCountries = "part.countries", "different countries";
    PartOneNetwork = "part.one-network", "share of clients in the network that has most";
    RestOneNetwork = "rest.one-network", "share of the rest's clients in the network that has most of them";
    RoleLogin = "role.login", "1 where the endpoint takes credentials";
    RoleSignUp = "role.sign-up", "1 where it makes accounts";
    RoleReset = "role.password-reset", "1 where it recovers accounts";
    RoleOtp = "role.otp", "1 where it takes codes";
    RoleCheckout = "role.checkout", "1 where it buys";
    RoleCart = "role.cart", "1 where it fills a cart";
    RoleGiftCard = "role.gift-card", "1 where it takes gift cards";
    RoleCoupon = "role.coupon", "1 where it takes coupons";
    RoleSearch = "role.search", "1 where it searches";
    RoleInventory = "role.inventory", "1 where it tells stock";
    RoleTransfer = "role.transfer", "1 where it moves money";
    RoleSimSwap = "role.sim-swap", "1 where it changes a subscriber's SIM";
    RolePayment = "role.payment", "1 where it takes payment";
    RolePosting = "role.posting", "1 where it takes text";
    RoleVote = "role.vote", "1 where it counts votes";
    RolePrice = "role.price", "1 where it tells prices";
    RoleTelemetry = "role.telemetry", "1 where it takes telemetry";
    RoleLookup = "role.id-lookup", "1 where its path names an object";
    RoleRead = "role.read", "1 where it reads (GET)";
    RolePage = "role.page", "1 where it answers with documents";
    RoleSession = "role.session", "1 where most of the rest present a session";
}

/// How the values of a fact are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Telling {
    /// It is so or it is not.
    Mark,
    /// A share of something, told in per cent.
    Share,
    /// A count or a measure.
    Number,
}

/// Values of facts; what is not set is not observable.
#[derive(Clone, Debug)]
pub struct Facts {
    values: [f64; Fact::ALL.len()],
    /// Facts that were not looked at yet, a bit each.
    waiting: [u64; Fact::ALL.len().div_ceil(64)],
}

impl Default for Facts {
    fn default() -> Self {
        Facts { values: [f64::NAN; Fact::ALL.len()], waiting: [0; Fact::ALL.len().div_ceil(64)] }
    }
}

/// What is known of a fact.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Known {
    /// Its value.
    Value(f64),
    /// It cannot be observed.
    Nothing,
    /// Nobody looked yet.
    Waiting,
}

impl Fact {
    /// Its name.
    pub fn name(self) -> &'static str {
        Fact::ALL.get(self as usize).map_or("", |(_, n, _)| n)
    }

    /// How its values are told to people.
    pub(crate) fn kind(self) -> Telling {
        match self.meaning() {
            text if text.starts_with("1 where ") => Telling::Mark,
            text if text.starts_with("share of ") => Telling::Share,
            _ => Telling::Number,
        }
    }

    fn meaning(self) -> &'static str {
        Fact::ALL.get(self as usize).map_or("", |(_, _, text)| text)
    }

    /// A value in plain words, with what it counts.
    pub fn told(self, value: f64) -> String {
        let text = self.meaning();
        match self.kind() {
            Telling::Mark if value < 0.5 => "no".to_owned(),
            Telling::Mark => text.trim_start_matches("1 where ").to_owned(),
            Telling::Share => {
                format!("{:.0} % of {}", value * 100.0, text.trim_start_matches("share of "))
            }
            Telling::Number if value.fract() == 0.0 || value >= 100.0 => format!("{value:.0} {text}"),
            Telling::Number => format!("{value:.1} {text}"),
        }
    }

    /// The fact of this name.
    pub fn by_name(name: &str) -> Option<Fact> {
        static NAMES: LazyLock<HashMap<&str, Fact>> =
            LazyLock::new(|| Fact::ALL.iter().map(|(fact, name, _)| (*name, *fact)).collect());
        NAMES.get(name).copied()
    }
}

impl Facts {
    /// Sets a fact.
    #[inline]
    pub fn set(&mut self, fact: Fact, value: f64) {
        if let Some(slot) = self.values.get_mut(fact as usize) {
            *slot = value;
        }
    }

    /// Marks facts as not looked at yet.
    pub(crate) fn wait_for(&mut self, facts: &[Fact]) {
        for fact in facts {
            if let Some(word) = self.waiting.get_mut(*fact as usize / 64) {
                *word |= 1 << (*fact as usize % 64);
            }
        }
    }

    /// Takes the marks off again: those that have no value by now are not observable.
    pub(crate) fn looked_at(&mut self, facts: &[Fact]) {
        for fact in facts {
            if let Some(word) = self.waiting.get_mut(*fact as usize / 64) {
                *word &= !(1 << (*fact as usize % 64));
            }
        }
    }

    /// What is known of a fact.
    #[inline]
    pub(crate) fn known(&self, fact: Fact) -> Known {
        let at = fact as usize;
        match self.values.get(at) {
            Some(v) if !v.is_nan() => Known::Value(*v),
            _ if self.waiting.get(at / 64).is_some_and(|w| w >> (at % 64) & 1 == 1) => Known::Waiting,
            _ => Known::Nothing,
        }
    }

    /// Sets a fact to 1 or 0.
    #[inline]
    pub fn flag(&mut self, fact: Fact, value: bool) {
        self.set(fact, f64::from(u8::from(value)));
    }

    /// The value, where it is observable.
    #[inline]
    pub fn get(&self, fact: Fact) -> Option<f64> {
        self.values.get(fact as usize).copied().filter(|v| !v.is_nan())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_in_words() {
        assert_eq!(Fact::FailRatio.told(0.987), "99 % of the calls with a known outcome that were refused");
        assert_eq!(
            Fact::Targets.told(548.0),
            "548 different things asked for: accounts, ids, codes or parameters"
        );
        assert_eq!(Fact::AgentLibrary.told(1.0), "the agent is an HTTP library");
        assert_eq!(Fact::AgentLibrary.told(0.0), "no");
    }
}
