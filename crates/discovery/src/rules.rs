//! The rules that risks come from: what each means, why it may be wrong, what to do.

use crate::observe::Signs;

/// What a rule is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// One finding an endpoint.
    Endpoint,
    /// One finding a host.
    Host,
}

/// A rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) id: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) certainty: &'static str,
    pub(crate) owasp: &'static [&'static str],
    pub(crate) title: &'static str,
    /// Why it may be wrong, and what to do.
    pub(crate) advice: &'static str,
}

macro_rules! rule {
    ($id:literal, $severity:literal, $certainty:literal, [$($owasp:literal),*], $title:literal, $advice:literal) => {
        Rule { id: $id, severity: $severity, certainty: $certainty, owasp: &[$($owasp),*], title: $title, advice: $advice }
    };
}

/// Rules that a sign of an exchange is enough for.
pub(crate) const BY_SIGN: [(Signs, Scope, Rule); 24] = [
    (
        Signs::CREDENTIAL_IN_URL,
        Scope::Endpoint,
        rule!(
            "credential-in-url",
            "high",
            "observed",
            ["API2:2023", "API8:2023"],
            "Credential in the URL",
            "URLs end in logs, browser histories and referrers. It may be a short-lived signed link. Take credentials in a header or body."
        ),
    ),
    (
        Signs::SESSION_IN_URL,
        Scope::Endpoint,
        rule!(
            "session-in-url",
            "medium",
            "observed",
            ["API2:2023"],
            "Session id in the URL",
            "Whoever sees the link has the session. The parameter may be something else of that name. Keep sessions in cookies."
        ),
    ),
    (
        Signs::BASIC,
        Scope::Host,
        rule!(
            "basic-in-clear",
            "high",
            "observed",
            ["API2:2023", "API8:2023"],
            "Basic credentials in the clear",
            "The password goes with every request, readable where this was captured. TLS may end in front of the sensor: then only the inner hop is open. Use tokens, and TLS to the application."
        ),
    ),
    (
        Signs::TOKEN_CLEAR,
        Scope::Host,
        rule!(
            "token-in-clear",
            "low",
            "suspected",
            ["API8:2023"],
            "Tokens or sessions over plain HTTP",
            "Whoever reads this hop can act as its users. TLS may end in front of the sensor. Encrypt the hop, or keep it to trusted networks."
        ),
    ),
    (
        Signs::JWT_NONE,
        Scope::Endpoint,
        rule!(
            "jwt-unsigned",
            "critical",
            "observed",
            ["API2:2023"],
            "Unsigned JWT accepted",
            "A token with alg none was answered with success: anyone can write one. The endpoint may not look at tokens at all. Allow only the algorithms that you use."
        ),
    ),
    (
        Signs::JWT_LONG,
        Scope::Endpoint,
        rule!(
            "jwt-long-lived",
            "low",
            "observed",
            ["API2:2023"],
            "JWT that holds for more than a day",
            "A stolen token works for as long. It may be a token of a machine with other limits. Shorten it, and refresh."
        ),
    ),
    (
        Signs::JWT_NO_EXPIRY,
        Scope::Endpoint,
        rule!(
            "jwt-no-expiry",
            "medium",
            "observed",
            ["API2:2023"],
            "JWT without expiry",
            "A stolen token works for ever, unless the server keeps a list of revoked ones. Set exp."
        ),
    ),
    (
        Signs::CORS_ANY,
        Scope::Host,
        rule!(
            "cors-any-origin",
            "low",
            "observed",
            ["API8:2023"],
            "CORS allows any origin together with credentials",
            "Browsers refuse this pair, so it does not work as meant; a fix that reflects origins would be worse. List the origins."
        ),
    ),
    (
        Signs::CORS_REFLECTED,
        Scope::Host,
        rule!(
            "cors-reflected-origin",
            "medium",
            "suspected",
            ["API8:2023"],
            "CORS allows a foreign origin with credentials",
            "A page of that origin can read answers as the user. The origin may be a partner on the list: a second, made-up origin would prove it. Compare with a list of exact origins."
        ),
    ),
    (
        Signs::CORS_NULL,
        Scope::Host,
        rule!(
            "cors-null-origin",
            "medium",
            "observed",
            ["API8:2023"],
            "CORS allows the origin null with credentials",
            "Sandboxed frames and local files have this origin, so any page can use it. Take null off the list."
        ),
    ),
    (
        Signs::STACK_TRACE,
        Scope::Endpoint,
        rule!(
            "stack-trace",
            "medium",
            "observed",
            ["API8:2023"],
            "Stack trace in an answer",
            "It tells an attacker the framework, paths and the faulty line. Answer errors with an id and keep the trace in logs."
        ),
    ),
    (
        Signs::DATABASE_ERROR,
        Scope::Endpoint,
        rule!(
            "database-error",
            "medium",
            "observed",
            ["API8:2023"],
            "Database error in an answer",
            "It shows that input reaches the database and how. Look for injection first, then hide the message."
        ),
    ),
    (
        Signs::SERVER_VERSION,
        Scope::Host,
        rule!(
            "server-version",
            "info",
            "observed",
            ["API8:2023"],
            "Server software and version in headers",
            "It saves an attacker the search for known flaws. The version may be patched without a new number. Take it off."
        ),
    ),
    (
        Signs::COOKIE_NOT_SECURE,
        Scope::Host,
        rule!(
            "cookie-not-secure",
            "low",
            "observed",
            ["API8:2023"],
            "Session cookie without Secure",
            "A browser sends it over plain HTTP too. A proxy in front may add the attribute. Set Secure."
        ),
    ),
    (
        Signs::COOKIE_NOT_HTTP_ONLY,
        Scope::Host,
        rule!(
            "cookie-not-http-only",
            "low",
            "observed",
            ["API8:2023"],
            "Session cookie that scripts can read",
            "One injected script takes every session. Set HttpOnly, unless a script of yours must read it."
        ),
    ),
    (
        Signs::COOKIE_NOT_SAME_SITE,
        Scope::Host,
        rule!(
            "cookie-not-same-site",
            "info",
            "observed",
            ["API8:2023"],
            "Session cookie without SameSite",
            "Most browsers then assume Lax, some send it with requests of other sites. Set SameSite."
        ),
    ),
    (
        Signs::DEPRECATED,
        Scope::Endpoint,
        rule!(
            "deprecated-in-use",
            "low",
            "observed",
            ["API9:2023"],
            "Deprecated endpoint still called",
            "It says of itself that it is deprecated or will end, and has callers. Find them, move them, close it."
        ),
    ),
    (
        Signs::INTROSPECTION,
        Scope::Endpoint,
        rule!(
            "graphql-introspection",
            "medium",
            "observed",
            ["API8:2023", "API9:2023"],
            "GraphQL introspection answers",
            "Anyone can read the whole schema. It may be meant for public APIs. Turn it off in production."
        ),
    ),
    (
        Signs::BATCH,
        Scope::Endpoint,
        rule!(
            "graphql-batching",
            "low",
            "observed",
            ["API4:2023"],
            "GraphQL operations in batches",
            "One request carries many guesses past limits that count requests. Count operations, or limit batches."
        ),
    ),
    (
        Signs::TRACE,
        Scope::Host,
        rule!(
            "trace-enabled",
            "low",
            "observed",
            ["API8:2023"],
            "TRACE answers",
            "It echoes headers, cookies among them. Turn it off."
        ),
    ),
    (
        Signs::LISTING,
        Scope::Endpoint,
        rule!(
            "directory-listing",
            "medium",
            "observed",
            ["API8:2023"],
            "Directory listing",
            "Files that nobody links can be found. It may be a public download area. Turn listings off."
        ),
    ),
    (
        Signs::LARGE_PAGE,
        Scope::Endpoint,
        rule!(
            "page-size-unlimited",
            "medium",
            "suspected",
            ["API4:2023"],
            "Very large pages are served",
            "A page of a thousand or more was asked for and a large answer came. The limit may lie higher and be meant. Cap the page size."
        ),
    ),
    (
        Signs::METHOD_OVERRIDE,
        Scope::Host,
        rule!(
            "method-override",
            "low",
            "suspected",
            ["API5:2023"],
            "Method override header accepted",
            "Checks that look at the method can be passed by. The header may be ignored. Refuse it at the edge."
        ),
    ),
    (
        Signs::JSON_AS_HTML,
        Scope::Endpoint,
        rule!(
            "json-as-html",
            "low",
            "observed",
            ["API8:2023"],
            "JSON declared as HTML",
            "A browser renders what users put into it. Declare application/json, and nosniff."
        ),
    ),
];

pub(crate) const OPEN_SENSITIVE: Rule = rule!(
    "open-sensitive-data",
    "high",
    "observed",
    ["API2:2023", "API3:2023"],
    "Sensitive data without credentials",
    "Successful answers to requests without any credential that we know held sensitive data. The network or a client certificate may stand for it, or the data may be the caller's own or public. Ask for credentials, or leave the data out."
);
pub(crate) const SECRET_IN_RESPONSE: Rule = rule!(
    "secret-in-response",
    "high",
    "observed",
    ["API3:2023"],
    "Secret in an answer",
    "Passwords, keys or tokens were answered. Issuing a token at login is meant; elsewhere leave it out."
);
pub(crate) const SENSITIVE_IN_URL: Rule = rule!(
    "sensitive-in-url",
    "medium",
    "observed",
    ["API3:2023", "API8:2023"],
    "Sensitive data in the URL",
    "URLs end in logs and histories. Take it in the body."
);
pub(crate) const AUTH_MISSING: Rule = rule!(
    "auth-missing-beside-others",
    "medium",
    "suspected",
    ["API2:2023", "API5:2023"],
    "No credentials where its neighbours have them",
    "Endpoints beside it were always called with credentials, this one succeeded without. It may be public on purpose. Check that it asks."
);
pub(crate) const AUTH_OPTIONAL: Rule = rule!(
    "auth-optional-write",
    "medium",
    "suspected",
    ["API2:2023", "API5:2023"],
    "Writes succeed with and without credentials",
    "The same writing endpoint succeeded both ways. Sign-up and login do so on purpose. Check that it asks where it must."
);
pub(crate) const NO_RATE_LIMIT: Rule = rule!(
    "login-without-limit",
    "medium",
    "suspected",
    ["API2:2023", "API4:2023"],
    "Failed logins without a limit",
    "Many failures were answered, never with 429 or a limit's header. A limit may act by account or lie higher. Limit by account, address and device."
);
pub(crate) const OLD_VERSION: Rule = rule!(
    "old-version-live",
    "low",
    "suspected",
    ["API9:2023"],
    "Older version still live",
    "A newer version of the same path is called more. The old one may be supported on purpose. Give it an end, and watch who calls."
);
pub(crate) const DEFAULT_FILE: Rule = rule!(
    "default-file-exposed",
    "high",
    "suspected",
    ["API8:2023"],
    "Debug or configuration file answered",
    "A path that tools and scanners look for answered with success. A catch-all page may answer anything. Close it, and change what it showed."
);
pub(crate) const DOCS_EXPOSED: Rule = rule!(
    "description-exposed",
    "info",
    "observed",
    ["API9:2023"],
    "API description answered",
    "It shows every operation, internal ones too. It may be public on purpose. Publish only what is public."
);
pub(crate) const NON_PRODUCTION: Rule = rule!(
    "non-production-public",
    "medium",
    "suspected",
    ["API9:2023"],
    "Non-production host called from public addresses",
    "Test systems are watched less and often hold real data. It may be a public sandbox. Put it behind a gate."
);
pub(crate) const SHADOW: Rule = rule!(
    "shadow-endpoint",
    "medium",
    "observed",
    ["API9:2023"],
    "Endpoint that no description knows",
    "Nobody may be looking after it. The description may be old. Document it or close it."
);
pub(crate) const SECURITY_UNMET: Rule = rule!(
    "security-requirement-not-met",
    "high",
    "observed",
    ["API2:2023"],
    "Documented credentials are not asked for",
    "The description asks for credentials; requests without any that we know succeeded. They may come by another way. Enforce it."
);
pub(crate) const DEPRECATED_OPERATION: Rule = rule!(
    "deprecated-operation-in-use",
    "low",
    "observed",
    ["API9:2023"],
    "Operation marked as deprecated still called",
    "It has callers. Move them, then close it."
);
