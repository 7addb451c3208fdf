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
    AgentBare = "agent.bare", "1 where the string is the beginning of a browser's and no more";
    AgentUnreduced = "agent.unreduced", "1 where a desktop Chrome names its build, which Chrome no longer does";
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
    EncodingMissing = "head.encoding-missing", "1 where no request has Accept-Encoding";
    LanguageAny = "head.language-any", "1 where every Accept-Language is *";
    LanguageBare = "head.language-bare", "1 where every Accept-Language is one language without weights";
    HintsPart = "head.hints-part", "1 where client hints come without those that come with them";
    HintsBrand = "head.hints-brand", "1 where client hints name another brand than the agent";
    SecFetchPart = "head.sec-fetch-part", "1 where some of the Sec-Fetch-* that come together are missing";
    SecFetchSiteOdd = "head.sec-fetch-site-odd", "1 where Sec-Fetch-Site or -User contradict the rest of the request";
    AcceptDestOdd = "head.accept-dest-odd", "1 where Accept and Sec-Fetch-Dest ask for different things";
    Expect = "head.expect", "1 where a request waits for 100 (Continue)";
    AcceptCharset = "head.accept-charset", "1 where Accept-Charset is sent";
    ConnectionClose = "head.connection-close", "1 where every request asks for the connection to be closed";
    HostMissing = "head.host-missing", "1 where HTTP/1.1 is spoken without Host";
    AbsoluteForm = "head.absolute-form", "1 where a target is a whole URL";
    TypeWithoutBody = "head.type-without-body", "1 where a GET has a content type and no content";
    BodyUntyped = "head.body-untyped", "1 where content has no content type";
    GetBody = "head.get-body", "1 where a GET has content";
    CookieTwice = "head.cookie-twice", "1 where a head has two Cookie fields";
    RefererMalformed = "head.referer-malformed", "1 where a Referer is no URL or has a fragment or user in it";
    RefererSelf = "head.referer-self", "1 where a Referer without cookies is what is asked for";
    XhrNavigates = "head.xhr-navigates", "1 where a navigation says that a script sent it";
    BoundaryLibrary = "head.boundary-library", "1 where a multipart boundary is a library's";
    UnderscoreName = "head.underscore", "1 where a field name has an underscore";
    ProfileOrder = "head.profile-order", "1 where the claimed family writes its fields in another order";
    ProfileValues = "head.profile-values", "1 where a field holds what the claimed family does not send";
    ProfileMissing = "head.profile-missing", "1 where a field is missing that the claimed family always sends";
    ProfileForeign = "head.profile-foreign", "1 where a field is there that the claimed family never sends";
    Resembles = "head.of-library", "which library's head every request has under another name (0: none's)";
    UpgradeMissing = "head.upgrade-missing", "1 where a modern browser opens a document without Upgrade-Insecure-Requests";
    ToolField = "head.tool-field", "1 where a field of a developer's client or load generator shows";
    FieldEmpty = "head.field-empty", "1 where a field has no value";
    KeepAliveField = "head.keep-alive", "1 where a Keep-Alive field is sent";
    HostPort = "head.host-port", "1 where every Host names the port that goes without saying";
    TypeMismatch = "head.type-mismatch", "1 where a body is not of its declared type";
    MethodOverride = "head.method-override", "1 where a field names another method";
    ForwardedLocal = "head.forwarded-local", "1 where an untrusted sender forwards for the server's own machine";
    ForwardedMany = "head.forwarded-many", "1 where an untrusted sender names a client in three fields and more";
    FramingAnomaly = "wire.framing", "1 where a request's framing reads differently on different servers";
    LineAnomaly = "wire.lines", "1 where lines of a head are written as HTTP forbids";
    BodyAnomaly = "wire.multipart", "1 where a multipart body does not read";
    TcpAnomaly = "wire.tcp", "1 where segments overlap with other data, or a handshake or reset carries data";
    PathOdd = "wire.path", "1 where a path is written so that servers read it differently";
    LongTarget = "wire.long-target", "1 where a target has 2,000 bytes and more";
    Requests = "client.requests", "requests of the client";
    Peak = "client.peak-per-minute", "most requests in one minute";
    GapMedian = "client.gap-ms", "milliseconds between requests, in the median";
    GapRegular = "client.gap-regular", "share of gaps that are about as long as most";
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
    ProbedFiles = "client.probed-files", "different files that only probes ask for, under whatever agents the address has";
    ProbedShare = "client.probed-share", "their share of the requests, where neither assets nor log-ins nor keys go with them";
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
    GapEntropy = "client.gap-entropy", "bits of entropy of the gaps between requests";
    GapSpread = "client.gap-spread", "octaves between short gaps and long ones";
    GapWhole = "client.gap-whole", "share of gaps that are whole seconds";
    GapBurst = "client.gap-burst", "share of gaps under 64 milliseconds";
    GapPause = "client.gap-pause", "share of gaps over a minute";
    PeakTen = "client.peak-per-10s", "most requests in ten seconds";
    ActiveShare = "client.active-share", "share of ten-second spans between first and last request with a request";
    RateVariation = "client.rate-variation", "variation of the requests in ten seconds (0: always the same number)";
    Hours = "client.hours", "hours of the day with requests";
    QuietShare = "client.quiet-share", "share of the client's hours that are the site's quietest";
    AgainShare = "client.again-share", "share of calls that repeat the endpoint of the one before";
    Steps = "client.steps", "different steps from an endpoint to another";
    StepsPerCall = "client.steps-per-call", "different steps for each call";
    Heads = "client.heads", "different heads, assets aside";
    DistinctRatio = "client.distinct-ratio", "different things asked for, for each call";
    Hosts = "client.hosts", "hosts called";
    PerConnection = "client.requests-per-connection", "requests for each connection";
    Redirects = "client.redirects", "redirects answered";
    FollowedShare = "client.followed-share", "share of redirects that were followed";
    Revisits = "client.revisits", "requests for what had a validator when it was fetched before";
    UnconditionalShare = "client.unconditional-share", "share of requests for known things that did not ask whether they changed";
    RefererUnseen = "client.referer-unseen", "share of Referers that name a page that the client never asked for";
    RefererSame = "client.referer-same", "requests in a row with one and the same Referer";
    PageSteps = "client.page-steps", "steps from one page of a list to the next";
    DeepestPage = "client.deepest-page", "number of the last page of a list asked for";
    RefusedShare = "client.refused-share", "share of answers of 4xx";
    UnauthorizedShare = "client.unauthorized-share", "share of answers of 401 and 403";
    ErrorShare = "client.error-share", "share of answers of 5xx";
    Hasty = "client.hasty", "requests within a second of an answer that said to slow down";
    ServerSeconds = "client.server-seconds", "seconds that servers worked on its requests";
    CostExcess = "client.cost-excess", "times longer that servers work on its main call than on the same call of others";
    ServerLoad = "client.server-load", "requests that servers work on for it at any moment, on average";
    WriteShare = "client.write-share", "share of requests that change something";
    PreflightMissing = "client.preflight-missing", "1 where JSON is sent from another site's page without any preflight";
    Busters = "client.cache-busters", "requests with a parameter that only defeats caches";
    Acts = "client.acts", "logins, sign-ups, purchases and the like";
    BlindShare = "client.blind-share", "share of these acts with no page opened before";
    FormMs = "client.form-ms", "milliseconds from a page to such an act, at the least";
    FirstActMs = "client.first-act-ms", "milliseconds from the first request to the first such act";
    LoggedIn = "client.logged-in", "logins that worked";
    RobotsFirst = "client.robots-first", "1 where the first request was for robots.txt";
    PerSession = "client.requests-per-session", "requests for each session";
    Keys = "client.keys", "different API keys presented";
    ClientSecrets = "client.secrets", "different passwords tried";
    DeepCalls = "client.deep-calls", "calls that change something or name an object by number";
    NoUi = "client.no-ui", "1 where a browser calls APIs and never opens a page or an asset though others do";
    HostSessions = "host.sessions", "sessions seen on the host";
    Operation = "endpoint.operation", "1 where it is an operation among others that share a path";
    PrivateObjects = "endpoint.private", "share of the objects opened more than once that only one client opened";
    Anomaly = "client.anomaly", "powers of ten by which so unusual a client is rarer than another of its kind";
    AnomalyFeatures = "client.anomaly-features", "features in which it is unusual for its kind";
    HourExcess = "endpoint.hour-excess", "times the calls that the endpoint usually has in this hour of the week";
    Duration = "client.duration-s", "seconds between first and last request";
    PartRequests = "part.requests", "requests of the part";
    PartClients = "part.clients", "clients of the part";
    PerClient = "part.requests-per-client", "requests for each client of the part, on average";
    Fails = "part.fails", "calls that the application refused";
    FailRatio = "part.fail-ratio", "share of the calls with a known outcome that were refused";
    RestFailRatio = "rest.fail-ratio", "share of the other clients' calls that were refused";
    FailExcess = "part.fail-excess", "how much more often the part is refused than the rest";
    DeniedRatio = "part.denied-ratio", "share of credentials, codes or tokens refused";
    NotFoundRatio = "part.missing-ratio", "share of answers that say not found";
    RefusedRatio = "part.refused-ratio", "share of calls declined";
    UnknownRatio = "part.unknown-ratio", "share of calls that name an account that does not exist";
    LockedRatio = "part.locked-ratio", "share of calls that are told that the account is locked";
    DeclinedRatio = "part.declined-ratio", "share of calls whose payment is declined";
    KinFailRatio = "kin.fail-ratio", "share of the calls refused at other channels of the same function";
    Successes = "part.successes", "calls that worked";
    Targets = "part.targets", "different things that the part asks for: accounts, ids, codes or parameters";
    TargetRatio = "part.target-ratio", "different things for each request";
    TargetsPerClient = "part.targets-per-client", "different things for each client of the part, on average";
    RestTargetsPerClient = "rest.targets-per-client", "requests, which 95 % of the rest's clients do not exceed";
    ActExcess = "part.act-excess", "how many times more than half of the others a client calls, whatever it asks for";
    TargetExcess = "part.target-excess", "how many times more things than 95 % of the rest";
    Narrow = "part.narrow", "share of clients that call little else and load no assets";
    HostClients = "host.clients", "clients of the host that are looked at where nobody else is known to call the endpoint";
    HostNarrow = "host.narrow", "share of them that call little else and load no assets";
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
    Open = "part.open", "share of clients whose agent names a library or a robot, and no browser";
    Hoppers = "part.hoppers", "1 where all of its clients try more accounts, codes, cards or numbers than people do, nearly all in vain";
    Channels = "part.channels", "endpoints of one function through which one account is tried";
    Tokens = "part.tokens", "different sessions and tokens presented";
    TokensPerClient = "part.tokens-per-client", "different sessions and tokens that each client presents";
    SecretsPerRequest = "part.secrets-per-request", "different passwords for each request";
    Secrets = "part.secrets", "different passwords";
    PartAccounts = "part.accounts", "different accounts in the part";
    SecretsPerAccount = "part.secrets-per-account", "passwords for each account";
    KeyClaimed = "part.key-claimed", "share of requests with an API key, signature or Basic authentication, also where others need none";
    PartKeyed = "part.keyed", "share of requests with an API key, signature or Basic authentication";
    SignedIn = "part.signed-in", "share of clients that were seen to sign in";
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
    PaceMs = "part.pace-ms", "milliseconds between the requests of a client of the part, in the median";
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
    LimitedRatio = "part.limited-ratio", "share of answers that say to slow down";
    ErrorRatio = "part.error-ratio", "share of answers that say that the server failed";
    RestErrorRatio = "rest.error-ratio", "share of the rest's answers that say that the server failed";
    ArrivalRegular = "part.gap-regular", "share of the part's gaps in the most used half octave, whoever sends";
    ArrivalSpread = "part.gap-spread", "octaves between the part's short gaps and long ones, whoever sends";
    Ascending = "part.ascending", "share of steps between numbers that go up";
    EvenStride = "part.even-stride", "share of steps between numbers that are as wide as the one before";
    BodyElsewhere = "part.body-elsewhere", "share of the others' bodies that have the part's fields in its order";
    CookiesElsewhere = "part.cookies-elsewhere", "share of the others' requests that have the part's cookies in its order";
    Networks = "part.subnets", "networks (/24, of IPv6 /64) of the clients looked at";
    ClientsPerNetwork = "part.clients-per-subnet", "clients for each network (/24, of IPv6 /64)";
    AgentsPerClient = "part.agents-per-client", "agent strings for each client";
    Cookieless = "part.cookieless", "share of clients that never send a cookie";
    RestCookieless = "rest.cookieless", "share of the rest's clients that never send a cookie";
    Refererless = "part.refererless", "share of clients that never send a Referer";
    RestRefererless = "rest.refererless", "share of the rest's clients that never send a Referer";
    Settled = "part.settled", "share of clients that load pages with their assets";
    RestSettled = "rest.settled", "share of the rest's clients that load pages with their assets";
    OneHead = "part.one-head", "share of clients with ten calls and more whose heads never vary";
    Unvisited = "part.blind", "share of clients that act with no page opened before";
    RestUnvisited = "rest.blind", "share of the rest's clients that act with no page opened before";
    Unread = "part.unread", "share of clients whose Referers name pages that they never asked for";
    RestUnread = "rest.unread", "share of the rest's clients whose Referers name pages that they never asked for";
    Typed = "part.typed", "share of pages that a browser opens though no link led there, while it names where it comes from elsewhere";
    RestTyped = "rest.typed", "share of the others' pages to which no link led";
    Again = "part.again", "1 where all of its clients do again and again, and do nothing besides, what the endpoint's others do once";
    Bulk = "part.bulk", "1 where these are requests that carry twenty calls and more";
    OneForm = "part.one-form", "clients that make accounts whose names and passwords are of one form, and do nothing else";
    Straight = "part.straight", "share of clients whose first request of all is this";
    RestStraight = "rest.straight", "share of the rest's clients whose first request of all is this";
    EqualCounts = "part.equal-counts", "share of clients with the most usual number of requests";
    ArrivalsEven = "part.arrivals-even", "share of gaps between the arrivals of new clients in the most used half octave";
    SessionAddresses = "session.addresses", "addresses that presented the session";
    SessionNetworks = "session.networks", "networks (/16, of IPv6 /32) that presented the session";
    SessionAgents = "session.agents", "kinds of agents that presented the session";
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
    RoleAlter = "role.alter", "1 where it changes or deletes the one object that its path names";
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
        if self == Fact::Resembles {
            let name = crate::profile::library_name(value as usize);
            return name.map_or_else(|| "no".to_owned(), |name| format!("the head of {name}"));
        }
        let text = self.meaning();
        // No number is told as less than nothing, and nothing is counted by halves.
        let value = if value == 0.0 { 0.0 } else { value };
        // What is so much for each of several is an average, and none where nothing of it was counted.
        let each = text.contains(" for each ") || text.contains(" each client ");
        if each && value == 0.0 {
            return format!("not counted: {text}");
        }
        // What fades with time, or is counted roughly, is told as a whole number.
        let rough = text.starts_with("different ") || self == Fact::AgentsOnAddress;
        let value = if rough && !each { value.round() } else { value };
        match self.kind() {
            Telling::Mark if self == Fact::AgentVerified && value < 0.5 => {
                "its operator publishes other addresses".to_owned()
            }
            Telling::Mark if value < 0.5 => "no".to_owned(),
            Telling::Mark => text.trim_start_matches("1 where ").to_owned(),
            Telling::Share => {
                format!("{:.0} % of {}", value * 100.0, text.trim_start_matches("share of "))
            }
            Telling::Number if value == 1.0 => format!("1 {}", of_one(text)),
            Telling::Number if value.fract() == 0.0 || value >= 100.0 => format!("{} {text}", grouped(value)),
            Telling::Number if value.abs() < 1.0 => format!("{} {text}", fraction(value)),
            Telling::Number => format!("{value:.1} {text}"),
        }
    }

    /// The unit that a number of it has, where it has one.
    pub(crate) fn unit(self) -> Option<&'static str> {
        let first = self.meaning().split(' ').next().unwrap_or_default();
        Some(first).filter(|word| matches!(*word, "milliseconds" | "seconds" | "bytes"))
    }

    /// The fact of this name.
    pub fn by_name(name: &str) -> Option<Fact> {
        static NAMES: LazyLock<HashMap<&str, Fact>> =
            LazyLock::new(|| Fact::ALL.iter().map(|(fact, name, _)| (*name, *fact)).collect());
        NAMES.get(name).copied()
    }
}

/// How a clause begins that says what the counted ones do.
const DOING: [&str; 7] =
    [" that send", " that make", " that carry", " that say", " that ask", " that failed", " that change"];

/// What is counted, where it is one: `requests of the part` as `request of the part`. A whole clause about several stays as it is.
fn of_one(text: &str) -> String {
    let (different, rest) = match text.strip_prefix("different ") {
        Some(rest) => ("different ", rest),
        None => ("", text),
    };
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (word, more) = rest.split_at(end);
    let one = match word {
        "addresses" => "address",
        "times" => word,
        // What they do is said of several.
        _ if DOING.iter().any(|doing| more.starts_with(doing)) => word,
        "countries" => "country",
        _ => word.strip_suffix('s').unwrap_or(word),
    };
    format!("{different}{one}{more}")
}

/// A whole number with its thousands apart: `1,280`.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        let left = digits.len() - n;
        if n > 0 && left % 3 == 0 && digit.is_ascii_digit() && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number below one with two digits that say something.
fn fraction(value: f64) -> String {
    let digits = (1.0 - value.abs().log10().floor()).clamp(1.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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

    /// The value, no number where it is not observable.
    #[inline]
    pub(crate) fn raw(&self, fact: Fact) -> f64 {
        self.values.get(fact as usize).copied().unwrap_or(f64::NAN)
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
    fn numbers_say_what_they_are_of() {
        let told = [
            (Fact::SecretsPerAccount, 0.0026, "0.0026 passwords for each account"),
            (Fact::SecretsPerAccount, 0.25, "0.25 passwords for each account"),
            (Fact::SecretsPerAccount, 0.0, "not counted: passwords for each account"),
            (Fact::PerClient, 199.0, "199 requests for each client of the part, on average"),
            (Fact::TargetsPerClient, 2.5, "2.5 different things for each client of the part, on average"),
            (Fact::RestTargetsPerClient, 1.0, "1 request, which 95 % of the rest's clients do not exceed"),
            (Fact::PartAccounts, 380.6, "381 different accounts in the part"),
            (Fact::PartAccounts, 1.0, "1 different account in the part"),
            (
                Fact::PaceMs,
                640.0,
                "640 milliseconds between the requests of a client of the part, in the median",
            ),
            (
                Fact::PaceMs,
                1280.4,
                "1,280 milliseconds between the requests of a client of the part, in the median",
            ),
            (Fact::AgentsOnAddress, 45.9, "46 agent strings seen at the address"),
            (Fact::Fails, 1.0, "1 call that the application refused"),
        ];
        for (fact, value, text) in told {
            assert_eq!(fact.told(value), text);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        let said = [0.0, 999.0, 1000.0, -999.0, -1000.0, 1_234_567.0].map(grouped);
        assert_eq!(said, ["0", "999", "1,000", "-999", "-1,000", "1,234,567"]);
    }

    #[test]
    fn each_fact_has_a_name_of_its_own() {
        for (fact, name, _) in Fact::ALL {
            assert_eq!(Fact::by_name(name), Some(*fact), "{name}");
        }
    }

    #[test]
    fn values_are_told_in_words() {
        assert_eq!(Fact::FailRatio.told(0.987), "99 % of the calls with a known outcome that were refused");
        assert_eq!(
            Fact::Targets.told(548.0),
            "548 different things that the part asks for: accounts, ids, codes or parameters"
        );
        assert_eq!(Fact::AgentLibrary.told(1.0), "the agent is an HTTP library");
        assert_eq!(Fact::AgentLibrary.told(0.0), "no");
        assert_eq!(Fact::AgentVerified.told(0.0), "its operator publishes other addresses");
        assert_eq!(Fact::GapEntropy.told(-0.0), "0 bits of entropy of the gaps between requests");
        assert!(Fact::MissingPaths.told(71.04).starts_with("71 different"));
        assert_eq!(Fact::Resembles.told(1.0), "the head of python-requests");
    }
}
