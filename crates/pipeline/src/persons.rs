//! Which fields of a message name a person: by what they are called, or since what stands around or beside them is about one.

use std::collections::HashSet;

use sidetap_sensitive::Pack;

use crate::redact;

/// Words of names of objects that are about a person, and of fields that hold somebody's name.
const PERSONS: [&str; 46] = [
    "applicant",
    "assignee",
    "attendee",
    "author",
    "beneficiary",
    "buyer",
    "caller",
    "cardholder",
    "contact",
    "courier",
    "creditor",
    "customer",
    "debtor",
    "doctor",
    "driver",
    "employee",
    "father",
    "friend",
    "guest",
    "holder",
    "individual",
    "insured",
    "invitee",
    "member",
    "mother",
    "organizer",
    "participant",
    "passenger",
    "patient",
    "payee",
    "payer",
    "people",
    "person",
    "receiver",
    "recipient",
    "sender",
    "shipper",
    "signatory",
    "spouse",
    "student",
    "subscriber",
    "teacher",
    "tenant",
    "traveler",
    "traveller",
    "user",
];
/// The same of what is no person, whatever is said of it.
const THINGS: [&str; 62] = [
    "app",
    "application",
    "article",
    "bank",
    "branch",
    "brand",
    "carrier",
    "category",
    "channel",
    "class",
    "club",
    "code",
    "company",
    "country",
    "course",
    "currency",
    "department",
    "device",
    "domain",
    "event",
    "feature",
    "field",
    "file",
    "folder",
    "gateway",
    "goods",
    "group",
    "header",
    "hotel",
    "hub",
    "image",
    "item",
    "key",
    "language",
    "library",
    "merchant",
    "method",
    "model",
    "offer",
    "organisation",
    "organization",
    "package",
    "parameter",
    "path",
    "plan",
    "plugin",
    "product",
    "project",
    "provider",
    "restaurant",
    "role",
    "room",
    "service",
    "shop",
    "sku",
    "store",
    "tag",
    "team",
    "template",
    "type",
    "vendor",
    "warehouse",
];
/// Names of what is around the object that matters.
const WRAPPERS: [&str; 18] = [
    "attribute",
    "body",
    "content",
    "data",
    "detail",
    "edge",
    "entity",
    "info",
    "information",
    "input",
    "node",
    "payload",
    "profile",
    "record",
    "result",
    "value",
    "entry",
    "response",
];
/// Words of fields that say of an object that it is about somebody, besides those that name a type of personal data.
const ABOUT: [&str; 14] = [
    "account", "birth", "birthday", "email", "iban", "mail", "mobile", "msisdn", "passport", "phone", "ssn",
    "surname", "username", "userid",
];
/// Words of fields that say where somebody is and more of the kind, where the object is about one.
const PLACES: [&str; 13] = [
    "addr",
    "address",
    "age",
    "apartment",
    "city",
    "holder",
    "house",
    "line",
    "nationality",
    "owner",
    "suburb",
    "town",
    "village",
];
/// Objects that belong to the one around them.
const PARTS: [&str; 7] = ["ship", "shipping", "delivery", "bill", "billing", "contact", "card"];
/// Words before `name` by which it is a person's.
const HUMAN: [&str; 9] =
    ["alias", "birth", "display", "full", "legal", "nick", "preferred", "real", "screen"];
/// The same written as one.
const JOINED: [&str; 6] = ["displayname", "nickname", "screenname", "realname", "legalname", "nick"];
/// Types whose names are words for much else: `cap`, `cell`, `race`.
const WEAK: [&str; 3] = ["postal-code", "phone", "special-category"];
/// Words of a name of several that begin with no capital letter.
const SMALL: [&str; 14] =
    ["al", "bin", "da", "de", "del", "den", "der", "di", "du", "la", "le", "van", "von", "y"];

/// Fields of one message that name persons.
pub(crate) struct Persons<'p> {
    pack: &'p Pack,
    /// Objects that hold what is about a person, by place.
    about: HashSet<&'p str>,
    /// The place at which the message was cut: what follows there nobody knows.
    cut_at: Option<&'p str>,
}

impl<'p> Persons<'p> {
    /// By the places of all values, with their names, and the place of the one that was cut.
    pub(crate) fn of(
        pack: &'p Pack,
        places: impl Iterator<Item = (&'p str, &'p str)>,
        cut_at: Option<&'p str>,
    ) -> Self {
        let mut about = HashSet::new();
        for (path, key) in places.filter(|(_, key)| is_about_one(pack, key)) {
            let object = around(path, key);
            about.insert(object);
            let name = name_of(object);
            if [&PLACES[..], &ABOUT, &PARTS].iter().any(|list| has_of(name, list)) {
                about.insert(around(object, name));
            }
        }
        Persons { pack, about, cut_at }
    }

    /// Whether the text at this place is, or may be, a person's name or says as much.
    pub(crate) fn names(&self, path: &str, key: &str, text: &str) -> bool {
        let object = around(path, key);
        match Field::of(self.pack, key) {
            Field::Personal => true,
            Field::Named => self.is_about_one(object) || reads_as_name(text),
            Field::Name => self.is_about_one(object) || self.may_be_about_one(object) && reads_as_name(text),
            Field::Person => {
                reads_as_name(text)
                    || self.is_about_one(object) && !text.contains(|c: char| c.is_ascii_digit())
            }
            Field::Place => self.is_about_one(object),
            Field::Other => false,
        }
    }

    /// By what an object is called, else by what stands in it.
    fn is_about_one(&self, object: &str) -> bool {
        match Subject::of(object) {
            Subject::Person => true,
            Subject::Thing => false,
            Subject::Unsaid => self.about.contains(object),
        }
    }

    /// Whether what was cut off may be what says so.
    fn may_be_about_one(&self, object: &str) -> bool {
        Subject::of(object) == Subject::Unsaid && self.cut_at.is_some_and(|at| at.starts_with(object))
    }
}

/// What an object is called after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Person,
    Thing,
    Unsaid,
}

impl Subject {
    /// The innermost name that says anything.
    fn of(mut object: &str) -> Self {
        loop {
            let name = name_of(object);
            if has_of(name, &PERSONS) {
                return Subject::Person;
            }
            if has_of(name, &THINGS) {
                return Subject::Thing;
            }
            if name.is_empty() || !has_of(name, &WRAPPERS) {
                return Subject::Unsaid;
            }
            object = around(object, name);
        }
    }
}

/// What the name of a field says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    /// It is personal whatever it holds.
    Personal,
    /// It is a name, as persons have it.
    Named,
    /// It is a name.
    Name,
    /// It is somebody.
    Person,
    /// It says where somebody is, if it is about one.
    Place,
    Other,
}

impl Field {
    fn of(pack: &Pack, key: &str) -> Self {
        if is_personal(pack, key) {
            return Field::Personal;
        }
        let (mut last, mut human, mut person, mut thing) = ("", false, false, false);
        for word in words(key) {
            human |= is_of(last, &HUMAN);
            person |= is_of(last, &PERSONS);
            thing |= is_of(last, &THINGS);
            last = word;
        }
        let is_name = is_of(last, &["name"]);
        match () {
            () if is_name && person => Field::Personal,
            () if is_of(last, &JOINED) || is_name && human => Field::Named,
            () if is_name && !thing => Field::Name,
            () if is_of(last, &PERSONS) => Field::Person,
            () if is_of(last, &PLACES) => Field::Place,
            () => Field::Other,
        }
    }
}

/// Whether a field of this name says that what stands beside it is about a person.
pub(crate) fn is_about_one(pack: &Pack, key: &str) -> bool {
    is_personal(pack, key) || has_of(key, &ABOUT)
}

/// Whether a field of this name holds a name that may be a person's.
pub(crate) fn is_name(pack: &Pack, key: &str) -> bool {
    matches!(Field::of(pack, key), Field::Personal | Field::Named | Field::Name)
}

/// Whether a name is that of a type of personal data.
pub(crate) fn is_personal(pack: &Pack, key: &str) -> bool {
    pack.named(key).any(|kind| {
        let weak = WEAK.contains(&&*kind.id) || redact::is_shown(&kind.id);
        !weak && kind.class.iter().any(|class| class == "PII")
    })
}

/// The place of the object that a value or object of this name stands in; arrays are passed over.
fn around<'a>(path: &'a str, name: &str) -> &'a str {
    let path = unlisted(path);
    let bare = path.strip_suffix("']").unwrap_or(path);
    let outer = bare.strip_suffix(name).filter(|_| !name.is_empty()).unwrap_or_default();
    unlisted(outer.trim_end_matches(['.', '@', '\'', '[']))
}

/// The name of an object: the last one in its place.
fn name_of(object: &str) -> &str {
    let object = unlisted(object);
    let (from, end) = match object.strip_suffix("']") {
        Some(bare) => (bare.rfind("['").map(|at| at + 2), bare.len()),
        None => (object.rfind('.').map(|at| at + 1), object.len()),
    };
    from.and_then(|from| object.get(from..end)).unwrap_or_default()
}

fn unlisted(path: &str) -> &str {
    path.trim_end_matches("[*]")
}

/// Whether two words or more begin with a capital letter, and all is letters; or letters of a script without capital ones.
fn reads_as_name(text: &str) -> bool {
    let text = text.trim();
    if text.len() > 80
        || !text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’' | '.' | ','))
    {
        return false;
    }
    if text.chars().count() >= 2
        && text.chars().all(|c| c.is_alphabetic() && !c.is_lowercase() && !c.is_uppercase())
    {
        return true;
    }
    let mut capital = 0;
    let all = text.split(' ').filter(|w| !w.is_empty());
    let fit = all.clone().all(|word| {
        let starts = word.chars().next().is_some_and(char::is_uppercase);
        capital += u32::from(starts);
        starts || SMALL.contains(&word)
    });
    fit && (2..=5).contains(&all.count()) && capital >= 2
}

fn has_of(name: &str, list: &[&str]) -> bool {
    words(name).any(|word| is_of(word, list))
}

/// Whether a word is one of these, numbers behind it and its plural aside.
fn is_of(word: &str, list: &[&str]) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let forms = [Some(word), word.strip_suffix('s'), word.strip_suffix("es")];
    forms.into_iter().flatten().any(|form| list.iter().any(|w| form.eq_ignore_ascii_case(w)))
}

/// The words of a name: `userName`, `user_name`, `X-User-Name`.
pub(crate) fn words(name: &str) -> impl Iterator<Item = &str> {
    let parts = name.split(|c: char| !c.is_alphanumeric());
    parts.flat_map(|part| {
        let bytes = part.as_bytes();
        let starts = (1..bytes.len()).filter(|at| {
            let (before, here) = (bytes.get(at - 1), bytes.get(*at));
            before.is_some_and(u8::is_ascii_lowercase) && here.is_some_and(u8::is_ascii_uppercase)
        });
        let mut ends: Vec<usize> = starts.collect();
        ends.push(part.len());
        let mut from = 0;
        ends.into_iter().filter_map(move |end| {
            let word = part.get(from..end);
            from = end;
            word
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart() {
        for (path, key, object, name) in [
            ("$.a.b", "b", "$.a", "a"),
            ("$.customers[*].name", "name", "$.customers", "customers"),
            ("$.customers[*].mails[*]", "mails", "$.customers", "customers"),
            ("$['x y'].n", "n", "$['x y']", "x y"),
            ("$.a['n m']", "n m", "$.a", "a"),
            ("$.a.@n", "n", "$.a", "a"),
            ("$.n", "n", "$", ""),
            ("$", "", "", ""),
            ("$[*]", "", "", ""),
            ("", "x", "", ""),
        ] {
            assert_eq!((around(path, key), name_of(object)), (object, name), "{path}");
        }
    }

    #[test]
    fn names_are_told_from_other_words() {
        for name in ["Ada Lovelace", "M. Quist", "Vincent van Gogh", "Ana O’Brien-Díaz", "李雷"] {
            assert!(reads_as_name(name), "{name}");
        }
        for other in ["iPhone", "Tide card", "C-17", "your address", "Gold", "A", "", "HL-4700 Blue"] {
            assert!(!reads_as_name(other), "{other}");
        }
    }
}
