//! Where an entry holds: hosts, methods and paths, as devices that see requests compare them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use sidetap_model::{Scope, SubjectKind, rows::SubjectPart};
use sidetap_policy::Response;

use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::key::{Key, NoKey};
use crate::way::Way;

/// Most places that one scope may have: each one is an entry of its own.
const MOST_PLACES: usize = 64;
/// Most cells that the places of one device may have.
const MOST_CELLS: usize = 1_024;

/// Parts of a path that are parameters and nothing else, as a regular expression: Tomcat and others read `/;x/login` as `/login`.
const EMPTY: &str = r"(\x3b[^/]*/)*";
/// A slash at the end, or such a part.
const END: &str = r"/(\x3b[^/]*)?";
/// The same of a path that nobody has cleaned: parts that are nothing, or a dot, are none.
const RAW_EMPTY: &str = r"((\x3b[^/]*|\.)?/)*";
const RAW_END: &str = r"/(\x3b[^/]*|\.)?";

/// Requests of one method (or any) to one host (or those below one, or any) with paths of one shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// `POST`; none: any.
    method: Option<String>,
    /// `shop.example`, `*.shop.example`; empty: any.
    host: String,
    /// Parts of the path; `*` is any one part, `**` at the end any rest.
    path: Vec<String>,
}

impl Place {
    /// The place that an endpoint of a policy is: `POST shop.example/api/orders/{id}`.
    pub fn of_endpoint(text: &str) -> Option<Place> {
        let (method, at) = text.split_once(' ').unwrap_or(("*", text));
        let (host, path) = at.find('/').map_or((at, "/**"), |i| at.split_at(i));
        Place::of(method, host, path)
    }

    fn of(method: &str, host: &str, path: &str) -> Option<Place> {
        let named = |m: &str| !m.is_empty() && m.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
        let method = match method {
            "*" => None,
            m if named(m) => Some(m.to_ascii_uppercase()),
            _ => return None,
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let host = host.to_ascii_lowercase();
        if !host.strip_prefix("*.").unwrap_or(&host).bytes().all(fits) {
            return None;
        }
        let mut parts = Vec::new();
        for part in path.strip_prefix('/')?.split('/') {
            match part {
                "**" => {
                    parts.push(part.to_owned());
                    break;
                }
                // As devices compare paths, with slashes merged and steps done.
                "" | "." => {}
                ".." => drop(parts.pop()),
                p if p == "*" || is_any(p) => parts.push("*".to_owned()),
                p if p.bytes().all(is_plain) => parts.push(p.to_owned()),
                _ => return None,
            }
        }
        if parts.is_empty() {
            parts.push(String::new());
        }
        Some(Place { method, host, path: parts })
    }

    /// The places of a scope, and how many of its hosts and endpoints cannot be compared; none where none can be, or there are too many.
    ///
    /// An endpoint is what somebody's request made one: one that is spelled oddly takes none of the others with it.
    pub fn of_scope(scope: &Scope) -> Option<(Vec<Place>, usize)> {
        let endpoints: Vec<Place> = scope.endpoints.iter().filter_map(|e| Place::of_endpoint(e)).collect();
        let hosts: Vec<Place> = scope.hosts.iter().filter_map(|h| Place::of("*", h, "/**")).collect();
        // Without any of them it would hold everywhere.
        if endpoints.is_empty() != scope.endpoints.is_empty() || hosts.is_empty() != scope.hosts.is_empty() {
            return None;
        }
        let odd = scope.endpoints.len() + scope.hosts.len() - endpoints.len() - hosts.len();
        let all: BTreeSet<Place> = match (endpoints.is_empty(), hosts.is_empty()) {
            (false, false) => both(&endpoints, &hosts),
            (true, _) => hosts.into_iter().collect(),
            (_, true) => endpoints.into_iter().collect(),
        };
        (all.len() <= MOST_PLACES).then(|| (all.into_iter().collect(), odd))
    }

    /// The places that are in both lists.
    pub(crate) fn of_both(a: &[Place], b: &[Place]) -> Vec<Place> {
        both(a, b).into_iter().take(MOST_PLACES).collect()
    }

    /// What is in both; none where nothing is.
    fn and(&self, other: &Place) -> Option<Place> {
        let method = match (&self.method, &other.method) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        let host = and_host(&self.host, &other.host)?;
        Some(Place { method, host, path: and_path(&self.path, &other.path)? })
    }

    /// Whether every request here is also there.
    fn is_within(&self, other: &Place) -> bool {
        self.and(other).as_ref() == Some(self)
    }

    /// Grows with every restriction, so that of two places one of which is in the other the inner one has more.
    pub(crate) fn narrowness(&self) -> usize {
        let host = match self.host.strip_prefix("*.") {
            Some(parent) => 1 + parent.split('.').count(),
            None if self.host.is_empty() => 0,
            None => 1_000,
        };
        let parts = self.path.iter().map(|p| match p.as_str() {
            "**" => 0,
            "*" => 2,
            _ => 3,
        });
        let whole = usize::from(self.path.last().is_none_or(|p| p != "**"));
        usize::from(self.method.is_some()) + host + parts.sum::<usize>() + whole
    }

    /// The method; none for any.
    pub(crate) fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The host, `*.` before those below it; empty for any.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The parts of the path; `*` is any one part, `**` at the end any rest.
    pub(crate) fn path(&self) -> &[String] {
        &self.path
    }

    /// A regular expression (of PCRE and RE2 alike) for the `Host` field as it is sent; none for any. Devices take a host for the one before a
    /// colon whatever stands behind that, and some (Caddy) for the one in brackets.
    pub(crate) fn host_field(&self) -> Option<String> {
        (!self.host.is_empty()).then(|| format!(r"(?i)^\[?{}\]?(:.*)?$", self.host_body()))
    }

    /// The same for a path without its query; none for any.
    pub(crate) fn path_pattern(&self) -> Option<String> {
        (self.path.first().is_none_or(|p| p != "**")).then(|| format!("^{}$", self.path_body(escaped)))
    }

    /// The same (of RE2) for a decoded path that nobody has cleaned and that has no step up, as some read it: what is behind two slashes is a host
    /// to who takes the target for a part of a URL (RFC 3986 §4.2), and a backslash is a slash to others.
    pub(crate) fn other_pattern(&self) -> Option<String> {
        let body = self.path_body(escaped).replace(EMPTY, RAW_EMPTY).replace(END, RAW_END);
        let body = body.replace("[^/", "[^\0").replace('/', r"[/\x5c]").replace('\0', r"/\x5c");
        let is_root = self.path.first().is_some_and(String::is_empty);
        let end = if is_root { "?" } else { "" };
        (self.path.first().is_none_or(|p| p != "**")).then(|| format!("^(//+[^/]*)?({body}){end}$"))
    }

    /// The same for a path with its query, in which what may stand in a path as it is may be escaped all the same.
    pub(crate) fn target_pattern(&self) -> Option<String> {
        let body = self.path_body(either).replace("[^/", "[^/?");
        (self.path.first().is_none_or(|p| p != "**")).then(|| format!(r"^{body}(/|%2[Ff])*(\?.*)?$"))
    }

    /// The same for `METHOD,host/path`.
    pub(crate) fn pattern(&self) -> String {
        // No method has a comma; hosts, as clients write them, may have.
        let method = self.method.as_deref().unwrap_or("[^,]+");
        format!("^{method},{}{}$", self.host_body(), self.path_body(escaped))
    }

    /// A dot behind the name is the same host (RFC 1034 §3.1).
    fn host_body(&self) -> String {
        match self.host.strip_prefix("*.") {
            Some(parent) => format!(r"[^/]+\.{}\.?", escaped(parent)),
            None if self.host.is_empty() => "[^/]*".to_owned(),
            None => format!(r"{}\.?", escaped(&self.host)),
        }
    }

    /// As [`sidetap_policy::path_matches`] has it: parameters of parts (`;x=1`), parts that are nothing else and a slash at the end are the
    /// same path. A rest may hold any byte, a line feed too. A `;` is written by its number: some devices end a line of theirs with one.
    ///
    /// The next byte always says how it goes on, so that nothing is tried twice in a path of many such parts.
    fn path_body(&self, escaped: impl Fn(&str) -> String) -> String {
        let part = |p: &String| match p.as_str() {
            "**" => r"(/[\s\S]*)?".to_owned(),
            "*" => format!(r"/{EMPTY}[^/\x3b][^/]*"),
            p => format!(r"/{EMPTY}{}(\x3b[^/]*)?", escaped(p)),
        };
        match self.path.as_slice() {
            [root] if root.is_empty() => format!("({END})+"),
            [.., last] if last == "**" => self.path.iter().map(part).collect(),
            parts => parts.iter().map(part).chain([format!("({END})*")]).collect(),
        }
    }

    /// The parts of a subject that say the same; those that a subject cannot say are left out, which makes it wider.
    pub(crate) fn parts(&self) -> Vec<SubjectPart> {
        let mut parts = Vec::new();
        let mut add = |kind, value: String| parts.push(SubjectPart { kind, value });
        if let Some(method) = &self.method {
            add(SubjectKind::Method, method.clone());
        }
        if !self.host.is_empty() {
            add(SubjectKind::Host, self.host.clone());
        }
        if self.path_pattern().is_some() {
            add(SubjectKind::Path, self.path_text());
        }
        parts
    }

    fn path_text(&self) -> String {
        self.path.iter().map(|p| format!("/{p}")).collect()
    }
}

/// Characters of a part of a path that no format of a device gives a meaning; anything else is percent-encoded on the wire.
pub(crate) fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~:+=$!,".contains(&b)
}

/// Whether a part of a template stands for any one part; one that only has a template in it is no place that a device compares.
fn is_any(part: &str) -> bool {
    let inner = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
    inner.is_some_and(|name| !name.contains(['{', '}']))
}

fn both(a: &[Place], b: &[Place]) -> BTreeSet<Place> {
    a.iter().flat_map(|x| b.iter().filter_map(|y| x.and(y))).collect()
}

fn and_host(a: &str, b: &str) -> Option<String> {
    let below = |name: &str, at: &str| {
        at.strip_prefix("*.").is_some_and(|p| name.strip_suffix(p).is_some_and(|n| n.ends_with('.')))
    };
    if a.is_empty() || a == b || below(b, a) {
        return Some(b.to_owned());
    }
    (b.is_empty() || below(a, b)).then(|| a.to_owned())
}

fn and_path(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let (mut x, mut y) = (a.iter(), b.iter());
    loop {
        let (one, other) = (x.next(), y.next());
        match (one.map(String::as_str), other.map(String::as_str)) {
            (None, None) => break,
            (Some("**"), _) => {
                out.extend(other.into_iter().chain(y).cloned());
                break;
            }
            (_, Some("**")) => {
                out.extend(one.into_iter().chain(x).cloned());
                break;
            }
            (Some("*"), Some(p)) | (Some(p), Some("*")) if !p.is_empty() => out.push(p.to_owned()),
            (Some(p), Some(q)) if p == q => out.push(p.to_owned()),
            _ => return None,
        }
    }
    Some(out)
}

fn escaped(text: &str) -> String {
    let special = |c: char| !(c.is_ascii_alphanumeric() || "-_~:=!,".contains(c));
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// The same as one escapes it or not: Envoy undoes escapes of what never needs one only.
fn either(text: &str) -> String {
    let one = |c: char| match ":+=$!,".contains(c) {
        true => format!("({}|%{})", escaped(c.encode_utf8(&mut [0; 4])), hex_of(c)),
        false => escaped(c.encode_utf8(&mut [0; 4])),
    };
    text.chars().map(one).collect()
}

/// A byte by its hexadecimal digits in any letter case, as a regular expression.
fn hex_of(c: char) -> String {
    let digits = format!("{:02x}", u32::from(c));
    let digit = |d: char| match d.is_ascii_alphabetic() {
        true => format!("[{d}{}]", d.to_ascii_uppercase()),
        false => d.to_string(),
    };
    digits.chars().map(digit).collect()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}{}", self.method.as_deref().unwrap_or("*"), self.host, self.path_text())
    }
}

impl FromStr for Place {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let (method, at) = text.split_once(',').ok_or(NoKey)?;
        let (host, path) = at.find('/').map(|i| at.split_at(i)).ok_or(NoKey)?;
        Place::of(method, host, path).ok_or(NoKey)
    }
}

/// One of the disjoint answers to "where is this request?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// How it is called on devices: of its own place, so that it means the same after any other change.
    pub(crate) name: String,
    /// Its place, without those of the cells before it.
    pub(crate) place: Place,
    /// The given places that it lies in.
    pub(crate) of: Vec<Place>,
}

/// Cells for these places: a device takes the first that fits a request, and then knows all places that the request is at.
///
/// The places are closed under intersection and the inner ones come first, so the first that fits is the one that lies in all others
/// that fit. None where there would be too many.
pub(crate) fn cells<'a>(places: impl IntoIterator<Item = &'a Place>) -> Option<Vec<Cell>> {
    let given: BTreeSet<&Place> = places.into_iter().collect();
    let mut all: BTreeSet<Place> = given.iter().map(|p| (*p).clone()).collect();
    let mut fresh: Vec<Place> = all.iter().cloned().collect();
    while let Some(place) = fresh.pop() {
        let met: Vec<Place> = given.iter().filter_map(|g| g.and(&place)).collect();
        fresh.extend(met.into_iter().filter(|p| all.insert(p.clone())));
        if all.len() > MOST_CELLS {
            return None;
        }
    }
    let mut all: Vec<Place> = all.into_iter().collect();
    all.sort_by_cached_key(|p| (usize::MAX - p.narrowness(), p.clone()));
    let cell = |place: Place| {
        let of = given.iter().filter(|g| place.is_within(g)).map(|g| (*g).clone()).collect();
        Cell { name: name_of(&place), of, place }
    };
    Some(all.into_iter().map(cell).collect())
}

/// Entries spread over cells, for devices that look texts up: each line is found by one look-up.
pub(crate) struct Spread<'a, T> {
    /// What a request is looked up by (`192.0.2.1@CELL`, or the entry's own key where it holds everywhere), the entry, and what came
    /// with it. Of several lines of one key the first counts.
    pub(crate) lines: Vec<(String, &'a Entry, T)>,
    /// The cells, in the order in which a device has to try them.
    pub(crate) cells: Vec<Cell>,
    /// Networks by which addresses are looked up: a device takes the narrowest that an address is in.
    pub(crate) nets: BTreeSet<IpNet>,
}

impl<'a, T: Copy + Ord> Spread<'a, T> {
    pub(crate) fn of(all: &[(&'a Entry, T)]) -> Result<Self, ConnectorError> {
        let cells = cells(all.iter().filter_map(|(e, _)| e.key.who_and_place().1)).ok_or_else(|| {
            ConnectorError::Missing("the scopes of the policies overlap in too many ways".to_owned())
        })?;
        let nets: BTreeSet<IpNet> = all.iter().filter_map(|(e, _)| scoped_net(&e.key)).collect();
        let mut lines: Vec<(String, &Entry, T)> = Vec::new();
        for (entry, with) in all {
            let (who, Some(place)) = entry.key.who_and_place() else {
                lines.push((entry.key.to_string(), entry, *with));
                continue;
            };
            // An address is found by its narrowest network, so what stands for a wider one stands for those in it too.
            let within = nets.iter().filter(|n| who.net().is_some_and(|w| w.contains(*n)));
            let mut names: BTreeSet<String> = within.map(|n| Key::Net(*n).to_string()).collect();
            names.insert(who.to_string());
            for cell in cells.iter().filter(|c| c.of.contains(place)) {
                lines.extend(names.iter().map(|name| (format!("{name}@{}", cell.name), *entry, *with)));
            }
        }
        lines.sort_by(|(a, x, with_x), (b, y, with_y)| {
            let first = |key, e: &Entry| (key, Reverse(standing(e)));
            first(a, x).cmp(&first(b, y)).then(x.key.cmp(&y.key)).then(with_x.cmp(with_y))
        });
        Ok(Spread { lines, cells, nets })
    }
}

/// Of several entries that stand for a request the one with more of this counts: the stronger response, the harder way of it, the
/// narrower place, the later end.
pub(crate) fn standing(entry: &Entry) -> (Response, u64, usize, i64) {
    let narrowness = entry.key.who_and_place().1.map_or(0, Place::narrowness);
    (entry.response, Way::hardness(entry.way.as_ref()), narrowness, entry.expires_at)
}

/// The network, of more than one address, that an entry for a place is limited to.
fn scoped_net(key: &Key) -> Option<IpNet> {
    let (who, place) = key.who_and_place();
    place.and(who.net()).filter(|_| who.is_wide())
}

/// Entries that hold at places, by place, for devices that take conditions.
pub(crate) fn by_place(entries: &[Entry]) -> BTreeMap<&Place, Vec<&Key>> {
    let mut out: BTreeMap<&Place, Vec<&Key>> = BTreeMap::new();
    for (who, place) in entries.iter().map(|e| e.key.who_and_place()) {
        if let Some(place) = place {
            out.entry(place).or_default().push(who);
        }
    }
    out
}

/// FNV-1a of the text with a final mix.
fn name_of(place: &Place) -> String {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for b in place.to_string().bytes() {
        h = (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    }
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    format!("p{:016x}", h ^ (h >> 33))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidetap_policy::covers;

    fn place(text: &str) -> Place {
        Place::of_endpoint(text).unwrap()
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["POST,shop.example/api/*/items", "*,/login/**", "GET,*.shop.example/", "*,[::1]:8080/**"]
        {
            assert_eq!(text.parse::<Place>().map(|p| p.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "POST", "POST,host", "PO ST,a/b", "*,a b/", "*,a/b;c", "*,a/b@c"] {
            assert_eq!(text.parse::<Place>(), Err(NoKey), "{text}");
        }
    }

    #[test]
    fn what_may_stand_in_a_path_is_the_same_escaped() {
        let at = place("/v1/a:b+c=d$e!f,g/{id}");
        let target = regex::Regex::new(&at.target_pattern().unwrap()).unwrap();
        let all = [(':', "%3a"), ('+', "%2b"), ('=', "%3d"), ('$', "%24"), ('!', "%21"), (',', "%2c")];
        let plain = "/v1/a:b+c=d$e!f,g/7?q";
        assert!(target.is_match(plain));
        for (c, code) in all {
            for code in [code.to_owned(), code.to_uppercase()] {
                assert!(target.is_match(&plain.replace(c, &code)), "{code}");
            }
            assert!(!target.is_match(&plain.replace(c, "%20")), "{c}");
        }
    }

    #[test]
    fn a_path_is_compared_as_others_read_it() {
        let fits = |at: &str, path: &str| {
            regex::Regex::new(&place(at).other_pattern().unwrap()).unwrap().is_match(path)
        };
        let same = ["//x/login", "///x@y:1/login/", "//x//./login;y=1/./", "//./login", "//;x/;y/login/;z"];
        for path in same {
            assert!(fits("/login", path), "{path}");
        }
        for path in ["/x/login", "//x/y/login", "//x/login/y", "//x/logins", r"/x\login", r"/login\x"] {
            assert!(!fits("/login", path), "{path}");
        }
        for path in [r"/a\b", r"/a/./x\c/", r"//h/a\b", r"/a\;x\b"] {
            assert!(fits("/a/{b}/**", path), "{path}");
        }
        assert!(fits("/", "//x") && fits("/", "//x/./;y/") && !fits("/", "/x") && !fits("/", "//x/y"));
        assert!(fits("/a/{b}/**", "//x/a//b/c\n"));
        assert_eq!(place("/**").other_pattern(), None);
    }

    #[test]
    fn what_is_in_both_is_found() {
        let and = |a: &str, b: &str| place(a).and(&place(b)).map(|p| p.to_string());
        assert_eq!(
            and("POST shop.example/**", "*.example/login").as_deref(),
            Some("POST,shop.example/login")
        );
        assert_eq!(and("/a/{id}", "/a/b").as_deref(), Some("*,/a/b"));
        assert_eq!(and("/a/{id}/**", "/{x}/b").as_deref(), Some("*,/a/b"));
        assert_eq!(and("/a/**", "/a").as_deref(), Some("*,/a"), "the rest may be nothing");
        assert_eq!(and("/a/{id}", "/a/"), None, "an empty part is no part");
        assert_eq!(and("/a", "/a/").as_deref(), Some("*,/a"), "a slash at the end says nothing");
        for (odd, text) in [("//x/login", "*,/x/login"), ("/a/./b/../c//", "*,/a/c"), ("//", "*,/")] {
            assert_eq!(place(odd).to_string(), text);
        }
        assert_eq!(place("/").to_string(), "*,/");
        assert_eq!(and("GET /a", "POST /a"), None);
        assert_eq!(and("shop.example/a", "*.shop.example/a"), None, "the host itself is not below it");
    }

    /// The first cell that fits a request says of every place whether the request is there, as policy's own comparison does.
    #[test]
    fn the_first_cell_that_fits_says_it_all() {
        let texts = [
            "POST shop.example/login",
            "/login",
            "*.example/**",
            "shop.example/api/{v}/items/{id}",
            "/api/v1/**",
            "GET /api/{v}/items/{id}",
            "*.shop.example/api/**",
        ];
        let places: Vec<Place> = texts.iter().map(|t| place(t)).collect();
        let cells = cells(&places).unwrap();
        let patterns: Vec<regex::Regex> =
            cells.iter().map(|c| regex::Regex::new(&c.place.pattern()).unwrap()).collect();
        let mut some = 0;
        for method in ["GET", "POST", "X_1"] {
            for host in [
                "shop.example",
                "shop.example.",
                "a.shop.example",
                "a.shop.example.",
                "example",
                "other.test",
                "a,b",
            ] {
                for path in [
                    "/",
                    "/;x",
                    "/;x/login",
                    "/login/;x",
                    "/;a/;b/login/;c/;d/",
                    "/api/;x/items/7",
                    "/api/v1/;x/items/7/;y",
                    "/login",
                    "/login/",
                    "/login;x=1",
                    "/login;x/",
                    "/logins",
                    "/api/v1/items/7",
                    "/api;a/v1;/items/7/",
                    "/api/v2/items/7",
                    "/api/v1",
                    "/api/v1/x/y",
                    "/api/v1/x\ny",
                ] {
                    let request = format!("{method},{host}{path}");
                    let first = patterns.iter().position(|p| p.is_match(&request)).map(|i| &cells[i].of);
                    for (text, place) in texts.iter().zip(&places) {
                        let scope = Scope { endpoints: vec![(*text).to_owned()], ..Scope::default() };
                        let there = covers(&scope, Some(method), host, path);
                        some += usize::from(there);
                        assert_eq!(first.is_some_and(|of| of.contains(place)), there, "{request} at {text}");
                    }
                }
            }
        }
        assert!(some > 40, "{some}");
    }

    #[test]
    fn scopes_become_places() {
        let scope = Scope {
            hosts: vec!["*.shop.example".into(), "shop.example".into()],
            endpoints: vec!["POST /login".into(), "GET other.example/x".into()],
            ..Scope::default()
        };
        let places: Vec<String> = Place::of_scope(&scope).unwrap().0.iter().map(Place::to_string).collect();
        assert_eq!(places, ["POST,*.shop.example/login", "POST,shop.example/login"]);
        let odd = Scope { endpoints: vec!["GET a/b c".into()], ..Scope::default() };
        assert_eq!(Place::of_scope(&odd), None);
    }
}
