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
    /// A word of a phrase is a number.
    numbers: bool,
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
        self.numbers |= words.iter().any(|w| w.bytes().all(|b| b.is_ascii_digit()));
        self.joined.entry(words.concat()).or_default().push((id, named));
        if let Some((first, rest)) = words.split_first() {
            self.by_word.entry(first.clone()).or_default().push((rest.to_vec(), id, named));
        }
    }

    /// True where a phrase has a word that is a number.
    pub(crate) fn knows_numbers(&self) -> bool {
        self.numbers
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(words("cardNumber2"), ["card", "number"]);
        assert_eq!(words("social_security-No"), ["social", "security", "no"]);
        assert_eq!(words("HTTPServer"), ["http", "server"]);
        assert_eq!(words("client_ip6"), ["client", "ip6"]);
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
