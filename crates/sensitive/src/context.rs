//! What names of fields and words before a value say about it.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::TypeId;

/// What a name, or the words before a value, say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Naming {
    /// Types that it names.
    pub(crate) types: SmallVec<[TypeId; 4]>,
    /// Types that it says it is not.
    pub(crate) refused: SmallVec<[TypeId; 2]>,
    /// It names something else: an order, a time, a count.
    pub(crate) other: bool,
}

impl Naming {
    pub(crate) fn names(&self, id: TypeId) -> bool {
        self.types.contains(&id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.types.is_empty() && !self.other
    }
}

/// The phrases by which types are named.
#[derive(Debug, Default)]
pub(crate) struct Phrases {
    /// By first word: the further words, the type, and whether it is named or refused.
    by_word: HashMap<String, Vec<(Vec<String>, TypeId, bool)>>,
    /// Phrases of several words written as one.
    joined: HashMap<String, Vec<(TypeId, bool)>>,
    /// What phrases begin with: names that are ids mostly hold none of it.
    starts: Starts,
}

/// The first three letters of phrases, and of these written as one word: a bit for each three letters or digits.
#[derive(Debug)]
struct Starts(Vec<u64>);

impl Default for Starts {
    fn default() -> Self {
        Starts(vec![0; (36_usize * 36 * 36).div_ceil(64)])
    }
}

impl Starts {
    /// Shorter words are not kept: names with a short word are never ruled out.
    fn add(&mut self, start: &str) {
        if let [a, b, c, ..] = start.as_bytes()
            && let Some(bit) = Self::bit(*a, *b, *c)
            && let Some(word) = self.0.get_mut(bit / 64)
        {
            *word |= 1 << (bit % 64);
        }
    }

    /// Names are cut at all else, so that no phrase with it is ever found.
    fn bit(a: u8, b: u8, c: u8) -> Option<usize> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(usize::from(b - b'0')),
            b'a'..=b'z' => Some(usize::from(b - b'a') + 10),
            _ => None,
        };
        Some((digit(a)? * 36 + digit(b)?) * 36 + digit(c)?)
    }

    fn has(&self, a: u8, b: u8, c: u8) -> bool {
        let word = |bit: usize| self.0.get(bit / 64).map(|word| word >> (bit % 64) & 1);
        Self::bit(a, b, c).and_then(word) == Some(1)
    }

    /// True where a phrase may stand in `name`; false only of plain ones: lower case, digits, and no short word.
    fn may_stand_in(&self, name: &[u8]) -> bool {
        let short = |piece: &[u8]| {
            let letters = piece.iter().rposition(|b| !b.is_ascii_digit()).map_or(piece.len(), |at| at + 1);
            letters < 3
        };
        name.iter().any(|b| !b.is_ascii() || b.is_ascii_uppercase())
            || name.split(|b| !b.is_ascii_alphanumeric()).any(short)
            || name.windows(3).any(|w| matches!(w, [a, b, c] if self.has(*a, *b, *c)))
    }
}

/// Words looked at before a value in text.
const WINDOW: usize = 5;

impl Phrases {
    pub(crate) fn affirm(&mut self, phrase: &str, id: TypeId) {
        self.add(phrase, id, true);
    }

    pub(crate) fn refuse(&mut self, phrase: &str, id: TypeId) {
        self.add(phrase, id, false);
    }

    fn add(&mut self, phrase: &str, id: TypeId, named: bool) {
        let words: Vec<String> = phrase.split_whitespace().map(str::to_lowercase).collect();
        self.starts.add(&words.concat());
        words.first().into_iter().for_each(|first| self.starts.add(first));
        self.joined.entry(words.concat()).or_default().push((id, named));
        if let Some((first, rest)) = words.split_first() {
            self.by_word.entry(first.clone()).or_default().push((rest.to_vec(), id, named));
        }
    }

    /// False of a name that surely names no type: nothing in it begins a phrase.
    pub(crate) fn may_name(&self, name: &str) -> bool {
        self.starts.may_stand_in(name.as_bytes())
    }

    /// What a name says; `parent` is the name of what is around it, asked where the name itself says nothing.
    pub(crate) fn of_name(&self, parent: &str, key: &str) -> Naming {
        let own = words(key);
        let mut naming = self.of_words(&own);
        if naming.types.is_empty() && own.iter().all(|w| GENERIC.contains(&w.as_str())) && !parent.is_empty()
        {
            let mut both = words(parent);
            both.extend(own);
            let around = self.of_words(&both);
            if !around.types.is_empty() {
                naming = around;
            }
        }
        naming
    }

    /// What the words before a value in text say, up to the end of the clause before.
    pub(crate) fn of_text(&self, before: &str) -> Naming {
        let mut start = before.len().saturating_sub(80);
        while !before.is_char_boundary(start) {
            start += 1;
        }
        let tail = before.get(start..).unwrap_or_default();
        let clause = tail
            .rfind([';', '\n', '!', '?', '>', '|'])
            .map_or(tail, |at| tail.get(at + 1..).unwrap_or_default());
        let clause = clause.rfind(". ").map_or(clause, |at| clause.get(at + 2..).unwrap_or_default());
        let all = words(clause);
        self.of_words(all.get(all.len().saturating_sub(WINDOW)..).unwrap_or_default())
    }

    fn of_words(&self, words: &[String]) -> Naming {
        let mut naming = Naming::default();
        let mut tell = |id: TypeId, named: bool| {
            if named && !naming.types.contains(&id) {
                naming.types.push(id);
            } else if !named && !naming.refused.contains(&id) {
                naming.refused.push(id);
            }
        };
        for (at, word) in words.iter().enumerate() {
            for (rest, id, named) in self.by_word.get(word.as_str()).into_iter().flatten() {
                if words.get(at + 1..).is_some_and(|w| w.starts_with(rest)) {
                    tell(*id, *named);
                }
            }
        }
        for word in words.iter().map(String::as_str).chain([words.concat().as_str()]) {
            for (id, named) in self.joined.get(word).into_iter().flatten() {
                tell(*id, *named);
            }
        }
        let refused = &naming.refused;
        naming.types.retain(|id| !refused.contains(id));
        naming.types.sort_unstable();
        naming.other = naming.types.is_empty() && words.iter().any(|w| OTHER.contains(&w.as_str()));
        naming
    }
}

/// The words of a name: split at what is no letter or digit and at changes of case, in lower case, numbers at the end left out.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut before) = (String::new(), ' ');
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let starts = c.is_uppercase()
            && (before.is_lowercase()
                || before.is_ascii_digit()
                || (before.is_uppercase() && chars.peek().is_some_and(|n| n.is_lowercase())));
        if (!c.is_alphanumeric() || starts) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    if !word.is_empty() {
        words.push(word);
    }
    for word in &mut words {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let known = [
            "sha1", "sha256", "sha512", "md5", "ipv4", "ipv6", "ip4", "ip6", "base64", "oauth2", "ean13",
            "p12",
        ];
        if !letters.is_empty() && !known.contains(&word.as_str()) {
            word.truncate(letters.len());
        }
    }
    words
}

/// Names that say nothing of what they hold.
const GENERIC: &[&str] = &[
    "value",
    "values",
    "val",
    "number",
    "no",
    "nr",
    "num",
    "id",
    "code",
    "data",
    "text",
    "content",
    "body",
    "item",
    "items",
    "field",
    "attr",
    "attribute",
    "x",
    "y",
    "v",
    "string",
    "raw",
    "plain",
    "identifier",
    "input",
    "key",
];

/// Names of what is not sensitive and looks as if it were: orders, times, counts, checksums, places.
const OTHER: &[&str] = &[
    "id",
    "ids",
    "uid",
    "gid",
    "pid",
    "guid",
    "uuid",
    "ref",
    "refs",
    "reference",
    "order",
    "orders",
    "invoice",
    "tracking",
    "shipment",
    "parcel",
    "session",
    "ts",
    "time",
    "timestamp",
    "created",
    "updated",
    "modified",
    "expires",
    "expiry",
    "exp",
    "iat",
    "nbf",
    "date",
    "version",
    "ver",
    "build",
    "release",
    "revision",
    "ean",
    "gtin",
    "upc",
    "isbn",
    "barcode",
    "sku",
    "product",
    "part",
    "lot",
    "batch",
    "serial",
    "message",
    "msg",
    "object",
    "meeting",
    "ticket",
    "request",
    "req",
    "trace",
    "span",
    "correlation",
    "transaction",
    "txn",
    "count",
    "total",
    "amount",
    "price",
    "cost",
    "size",
    "length",
    "len",
    "offset",
    "page",
    "cursor",
    "limit",
    "hash",
    "checksum",
    "etag",
    "sha",
    "sha1",
    "sha256",
    "sha512",
    "md5",
    "digest",
    "integrity",
    "commit",
    "color",
    "colour",
    "background",
    "lat",
    "lng",
    "lon",
    "latitude",
    "longitude",
    "latlng",
    "geo",
    "location",
    "coordinates",
    "seq",
    "sequence",
    "index",
    "position",
    "port",
    "width",
    "height",
    "duration",
    "ms",
    "score",
    "weight",
    "quantity",
    "qty",
    "slug",
    "event",
    "job",
    "task",
    "parent",
    "thread",
    "channel",
    "node",
    "row",
    "rank",
    "views",
    "likes",
    "followers",
    "bytes",
    "nonce",
    "epoch",
    "shipped",
    "article",
    "asin",
    "confirmation",
    "booking",
    "case",
];

/// The name of what is around the innermost name of a path.
pub(crate) fn parent_of<'p>(path: &'p str, key: &str) -> &'p str {
    let path = path.trim_end_matches("[*]").trim_end_matches("']");
    let Some(outer) = path.strip_suffix(key) else { return "" };
    let outer = outer
        .trim_end_matches(['.', '@', '\''])
        .trim_end_matches('[')
        .trim_end_matches("[*]")
        .trim_end_matches("']");
    outer.rsplit(['.', '\'']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_around_a_name_counts_where_that_says_nothing() {
        assert_eq!(parent_of("$.card.number", "number"), "card");
        assert_eq!(parent_of("$.cards[*].number", "number"), "cards");
        assert_eq!(parent_of("$.a.b[*]", "b"), "a");
        assert_eq!(parent_of("$['x y'].n", "n"), "x y");
        assert_eq!(parent_of("$.n", "n"), "$");
    }

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(words("cardNumber2"), ["card", "number"]);
        assert_eq!(words("social_security-No"), ["social", "security", "no"]);
        assert_eq!(words("HTTPServer"), ["http", "server"]);
        assert_eq!(words("client_ip6"), ["client", "ip6"]);
    }

    #[test]
    fn what_may_name_a_type_is_never_ruled_out() {
        let pack = crate::Pack::builtin().unwrap();
        for phrase in ["card number", "ssn", "cc no", "id card", "e mail", "social security number"] {
            for joint in [" ", "_", "-", ""] {
                for (before, after) in [("", ""), ("my-", ""), ("", "42"), ("user_", "-2"), ("1", "7")] {
                    let name = format!("{before}{}{after}", phrase.replace(' ', joint));
                    let named = !pack.phrases.of_name("", &name).types.is_empty();
                    assert!(!named || pack.phrases.may_name(&name), "{name}");
                }
            }
        }
        for id in ["12345", "6f1c2d3e-0a1b-4c2d-8e3f-112233445566", "ord_k29fz7qmx1"] {
            assert!(!pack.phrases.may_name(id), "{id}");
        }
    }

    #[test]
    fn phrases_name_types() {
        let mut phrases = Phrases::default();
        let (card, ssn) = (TypeId(1), TypeId(2));
        phrases.affirm("card number", card);
        phrases.affirm("ssn", ssn);
        phrases.refuse("ssn hint", ssn);
        let named = |parent: &str, key: &str| phrases.of_name(parent, key).types.to_vec();
        assert_eq!(named("", "userCardNumber"), [card]);
        assert_eq!(named("", "cardnumber"), [card]);
        assert_eq!(named("card", "number"), [card]);
        assert_eq!(named("", "SSN1"), [ssn]);
        assert!(named("", "ssn_hint").is_empty() && named("card", "holder").is_empty());
        assert!(phrases.of_name("", "order_id").other && !phrases.of_name("", "data").other);
        assert_eq!(phrases.of_text("his ssn is hidden. The card number is ").types.to_vec(), [card]);
    }
}
