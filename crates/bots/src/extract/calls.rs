//! Calls that share a path: what the operations of GraphQL, JSON-RPC, XML-RPC, SOAP and of scripts are asked with.

use smallvec::SmallVec;

use super::target::is_presentation;
use crate::hash::Mix;

/// Values kept of one request that carries many calls.
const BATCH: usize = 64;

/// The arguments of the calls that one request carries.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    values: Mix,
    count: u32,
    /// Values that name something, in their order.
    names: SmallVec<[String; 1]>,
    /// Free text: what is said to others, not what is looked up.
    text: bool,
    /// The session, where it is an argument among others.
    pub(crate) session: Option<String>,
    /// Fields that are of the protocol.
    pub(crate) protocol: u32,
    /// How many calls name what they do, and whether they differ in it.
    calls: u32,
    first: u64,
    mixed: bool,
}

impl Arguments {
    /// Takes an argument in; `id` says that its name is that of an id.
    pub(crate) fn add(&mut self, key: &str, value: &str, id: bool) {
        if is_session(key) && is_unguessable(value) {
            self.session.get_or_insert_with(|| value.into());
            return;
        }
        let space = key.starts_with('@')
            || is_of_stored(key)
            || key.contains("xmlns")
            || value.contains("://")
            || value.starts_with("urn:");
        if space || is_presentation(key) || is_paging(key) || value.is_empty() {
            return;
        }
        self.count += 1;
        self.values.bytes(key.as_bytes());
        self.values.bytes(value.as_bytes());
        if value.len() <= 64 && !value.contains(char::is_whitespace) {
            if (id || value.bytes().any(|b| b.is_ascii_digit())) && self.names.len() < BATCH {
                self.names.push(value.into());
            }
        } else {
            self.text |= value.len() > 24;
        }
    }

    /// Forgets the values that were taken in.
    pub(crate) fn forget(&mut self) {
        let (session, protocol) = (self.session.take(), self.protocol);
        *self = Arguments { session, protocol, ..Arguments::default() };
    }

    /// A call among several says what it is for.
    pub(crate) fn call(&mut self, name: &str) {
        let hash = crate::hash::of(name.as_bytes());
        self.mixed |= self.calls > 0 && hash != self.first;
        if self.calls == 0 {
            self.first = hash;
        }
        self.calls += 1;
    }

    /// How many calls say what they do.
    pub(crate) const fn calls(&self) -> u32 {
        self.calls
    }

    /// The one value that the call names; nothing where there are more, or none.
    pub(crate) fn only(&self) -> Option<&str> {
        match self.names.as_slice() {
            [one] if self.count <= 3 => Some(one),
            _ => None,
        }
    }

    /// Fingerprint of all arguments.
    pub(crate) fn print(&self) -> Option<u64> {
        (self.count > 0).then(|| self.values.finish())
    }

    /// The values after the first of a request that carries many calls of one kind, each with one value.
    pub(crate) fn further(&self) -> &[String] {
        let one_each = self.calls >= 2 && !self.mixed && self.names.len() as u32 <= self.calls;
        if one_each { self.names.get(1..).unwrap_or_default() } else { &[] }
    }

    /// The first value of a request that carries many calls of one kind.
    pub(crate) fn leading(&self) -> Option<&str> {
        if self.further().is_empty() { None } else { self.names.first().map(String::as_str) }
    }

    /// True where something is looked up: few arguments, one of which names it, none of which is text.
    pub(crate) fn look_up(&self) -> bool {
        let few = self.count <= 3 || !self.further().is_empty();
        few && !self.names.is_empty() && !self.text
    }
}

/// True where an operation only reads, by its kind or by the verb of its name; `look_up` says that its arguments are of one that does.
pub(crate) fn reads(operation: &str, look_up: bool) -> bool {
    if operation.starts_with("query ") {
        return true;
    }
    if operation.starts_with("mutation ") || operation.starts_with("subscription ") {
        return false;
    }
    let words = words(operation);
    let is_read = |w: &str| READS.iter().any(|verb| w.eq_ignore_ascii_case(verb));
    let acts = |w: &str| ACTS.iter().any(|verb| w.eq_ignore_ascii_case(verb));
    let first = words.clone().next().unwrap_or_default();
    // `GetOrder`, `order.get`: what is ordered, booked or reported is read.
    let noun = NOUNS.iter().any(|n| first.eq_ignore_ascii_case(n));
    let rest = || words.clone().skip(1);
    if is_read(first) && !rest().any(|w| acts(w) && !NOUNS.iter().any(|n| w.eq_ignore_ascii_case(n))) {
        return true;
    }
    if noun && words.clone().last().is_some_and(is_read) {
        return !rest().any(acts);
    }
    if words.clone().any(acts) {
        return false;
    }
    look_up || words.clone().any(is_read)
}

/// True where a name says that something is done.
pub(super) fn acts(name: &str) -> bool {
    words(name).any(|w| ACTS.iter().any(|verb| w.eq_ignore_ascii_case(verb)))
}

/// Verbs that name things as well.
const NOUNS: [&str; 12] =
    ["order", "book", "report", "post", "log", "store", "track", "register", "ping", "set", "new", "open"];

/// The words of a name: `getClaim`, `claim.get`, `get_claim`.
fn words(name: &str) -> impl Iterator<Item = &str> + Clone {
    name.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|part| {
        let starts = part.char_indices().filter(|(_, c)| c.is_ascii_uppercase()).map(|(at, _)| at);
        let mut from = 0;
        let ends = starts.filter(|at| *at > 0).chain(std::iter::once(part.len()));
        ends.map(move |to| part.get(std::mem::replace(&mut from, to)..to).unwrap_or_default())
            .filter(|w| !w.is_empty())
    })
}

/// The action that a script is asked for, where its value can be the name of one.
pub(crate) fn action(value: &str) -> Option<Box<str>> {
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/');
    let fits = (2..=32).contains(&value.len())
        && value.bytes().all(name)
        && value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && value.bytes().filter(u8::is_ascii_digit).count() <= 2;
    fits.then(|| value.into())
}

/// Names under which forms and queries say which of its operations a script is to run.
pub(crate) fn names_operation(key: &str) -> bool {
    matches!(
        key,
        "action"
            | "act"
            | "do"
            | "op"
            | "method"
            | "cmd"
            | "command"
            | "task"
            | "func"
            | "function"
            | "operation"
            | "_action"
    )
}

const ACTS: [&str; 60] = [
    "create",
    "add",
    "new",
    "update",
    "delete",
    "remove",
    "set",
    "save",
    "store",
    "send",
    "post",
    "put",
    "cancel",
    "mark",
    "submit",
    "insert",
    "edit",
    "upload",
    "write",
    "buy",
    "pay",
    "book",
    "order",
    "log",
    "track",
    "report",
    "register",
    "start",
    "stop",
    "run",
    "move",
    "copy",
    "notify",
    "subscribe",
    "reset",
    "change",
    "assign",
    "close",
    "open",
    "accept",
    "reject",
    "sign",
    "login",
    "logout",
    "ping",
    "anlegen",
    "speichern",
    "loeschen",
    "senden",
    "setzen",
    "aendern",
    "crear",
    "guardar",
    "enviar",
    "creer",
    "envoyer",
    "ekle",
    "kaydet",
    "gonder",
    "sil",
];
const READS: [&str; 40] = [
    "get",
    "list",
    "find",
    "read",
    "fetch",
    "load",
    "lookup",
    "search",
    "query",
    "show",
    "view",
    "status",
    "info",
    "details",
    "describe",
    "retrieve",
    "count",
    "exists",
    "select",
    "browse",
    "lesen",
    "abfragen",
    "abrufen",
    "holen",
    "suchen",
    "auskunft",
    "anzeigen",
    "obtener",
    "consultar",
    "buscar",
    "listar",
    "leer",
    "obter",
    "consulter",
    "chercher",
    "lister",
    "getir",
    "sorgula",
    "pobierz",
    "hent",
];

/// Names of what stands for a document that the server keeps (GraphQL's persisted queries).
pub(crate) fn is_of_stored(key: &str) -> bool {
    matches!(key, "sha256Hash" | "documentId" | "version")
}

/// Names under which a call brings its session along.
fn is_session(key: &str) -> bool {
    const NAMES: [&str; 14] = [
        "session",
        "sessionid",
        "session_id",
        "sessiontoken",
        "session_token",
        "sessionkey",
        "session_key",
        "sid",
        "sitzung",
        "sitzungsid",
        "ticket",
        "authtoken",
        "auth_token",
        "accesstoken",
    ];
    let key = key.rsplit(':').next().unwrap_or(key);
    NAMES.iter().any(|n| key.eq_ignore_ascii_case(n))
}

fn is_unguessable(value: &str) -> bool {
    value.len() >= 12
        && value.len() <= 512
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Arguments that say which part of a list is wanted.
pub(super) fn is_paging(key: &str) -> bool {
    const NAMES: [&str; 14] = [
        "first", "last", "after", "before", "cursor", "offset", "page", "skip", "take", "top", "count",
        "max", "currency", "timezone",
    ];
    NAMES.iter().any(|n| key.eq_ignore_ascii_case(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_tell_what_only_reads() {
        for (operation, look_up, is) in [
            ("query Claim", false, true),
            ("mutation GetRich", true, false),
            ("konto.stand", true, true),
            ("getClaim", false, true),
            ("claim_get", false, true),
            ("VertragRequest", true, true),
            ("VertragRequest", false, false),
            ("ueberweisung.anlegen", true, false),
            ("deleteUser", true, false),
            ("GetOrder", false, true),
            ("order.get", false, true),
            ("order.cancel", true, false),
            ("getAndDelete", true, false),
        ] {
            assert_eq!(reads(operation, look_up), is, "{operation}");
        }
    }

    #[test]
    fn arguments_name_what_is_looked_up() {
        let mut one = Arguments::default();
        one.add("vertragsnummer", "30000001", false);
        one.add("sitzung", "0123456789abcdef", false);
        one.add("first", "20", false);
        assert_eq!(
            (one.only(), one.session.as_deref(), one.look_up()),
            (Some("30000001"), Some("0123456789abcdef"), true)
        );
        let mut text = Arguments::default();
        text.add("id", "7", true);
        text.add("body", "what I always wanted to say to you", false);
        assert!(!text.look_up());
        let mut many = Arguments::default();
        for n in 0..5 {
            many.call("zaehler.lesen");
            many.add("zaehler", &format!("1EMH00{n}"), false);
        }
        assert_eq!((many.leading(), many.further().len(), many.look_up()), (Some("1EMH000"), 4, true));
        many.call("konto.stand");
        assert_eq!(many.further().len(), 0, "what differs is no walk");
    }

    #[test]
    fn actions_have_names() {
        assert!(action("account/login").is_some() && action("_save").is_some());
        for no in ["", "x", "8f14e45fceea167a5a36dedd4bea2543", "<script>", "a b", "7"] {
            assert!(action(no).is_none(), "{no}");
        }
    }
}
