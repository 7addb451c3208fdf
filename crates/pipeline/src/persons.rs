//! Which fields of a message name a person: by what they are called, or since what stands around or beside them is about one.

use std::collections::HashMap;

use sidetap_sensitive::Pack;

/// Words of names of objects that are about a person, and of fields that hold somebody's name.
const PERSONS: [&str; 48] = [
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
    "owner",
    "participant",
    "passenger",
    "patient",
    "payee",
    "payer",
    "people",
    "person",
    "proprietor",
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
    "agent",
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
    "form",
    "gateway",
    "goods",
    "header",
    "hotel",
    "hub",
    "image",
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
/// Words for what is in a list, whatever it is; behind another word they are things.
const LISTED: [&str; 2] = ["group", "item"];
/// Words of fields that only somebody has, whatever the object around them is called.
const SURE: [&str; 10] =
    ["birth", "birthday", "email", "forename", "iban", "lastname", "mail", "passport", "ssn", "surname"];
/// Types of which the same holds.
const SURE_TYPES: [&str; 19] = [
    "email",
    "iban",
    "dob",
    "person-name",
    "passport",
    "driver-licence",
    "us-ssn",
    "us-itin",
    "us-mbi",
    "uk-nino",
    "uk-nhs",
    "es-dni",
    "in-aadhaar",
    "br-cpf",
    "pl-pesel",
    "mx-curp",
    "nl-bsn",
    "fi-hetu",
    "medical-record-number",
];
/// Words of fields that companies have as well as people, and of objects that are about a company.
const TAX: [&str; 2] = ["tax", "taxpayer"];
const COMPANIES: [&str; 3] = ["company", "organisation", "organization"];
/// Words of fields, and types, that say so where the object is called nothing else.
const ABOUT: [&str; 2] = ["userid", "username"];
const ABOUT_TYPES: [&str; 2] = ["credit-card", "gender"];
/// Words of fields that shops and machines have as well.
const SLIGHT: [&str; 5] = ["account", "address", "mobile", "msisdn", "phone"];
/// Words of names of shops and places.
const TRADES: [&str; 16] = [
    "bakery", "bar", "bistro", "cafe", "center", "centre", "clinic", "gmbh", "grill", "inc", "inn", "market",
    "pharmacy", "pizza", "pizzeria", "salon",
];
/// Objects that say where the one around them is.
const HOMES: [&str; 2] = ["addr", "address"];
/// Fields of an object that is called `name`.
const NAME_PARTS: [&str; 6] = ["family", "first", "given", "last", "middle", "patronymic"];
/// Short for parts of a name, and for much else.
const SHORT: [&str; 2] = ["fname", "lname"];
/// Words of fields that say where somebody is and more of the kind, where the object is about one.
const PLACES: [&str; 14] = [
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
    "proprietor",
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
/// Types that are known by the name of a field alone; the others' names are words for much else (`cf`, `run`, `sim`), and their
/// values are looked at.
const BY_NAME: [&str; 7] =
    ["person-name", "postal-address", "dob", "gender", "passport", "driver-licence", "medical-record-number"];
/// Words of a name of several that begin with no capital letter.
const SMALL: [&str; 22] = [
    "al", "bin", "bint", "da", "das", "de", "del", "den", "der", "di", "do", "dos", "du", "e", "ibn", "la",
    "le", "ten", "ter", "van", "von", "y",
];

/// How surely a field says of what stands beside it that it is about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sign {
    /// Shops and machines have it as well.
    Slight,
    /// Unless the object around is called after a thing.
    Plain,
    /// Unless the object around is called a company.
    Taxed,
    /// Whatever the object around is called.
    Sure,
}

/// Fields of one message that name persons.
pub(crate) struct Persons<'p> {
    pack: &'p Pack,
    /// Objects that hold what is about a person, by place.
    about: HashMap<&'p str, Sign>,
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
        let mut about = HashMap::new();
        let mut add = |object: &'p str, sign: Sign| {
            let known = about.entry(object).or_insert(sign);
            *known = sign.max(*known);
        };
        for (path, key) in places {
            let Some(sign) = sign_of(pack, key) else { continue };
            let object = around(path, key);
            add(object, sign);
            let name = name_of(object);
            if [&PLACES[..], &ABOUT, &SURE, &SLIGHT, &PARTS].iter().any(|list| has_of(name, list)) {
                add(around(object, name), sign);
            }
        }
        Persons { pack, about, cut_at }
    }

    /// Whether the text at this place is, or may be, a person's name or says as much.
    pub(crate) fn names(&self, path: &str, key: &str, text: &str) -> bool {
        let object = around(path, key);
        if is_of(name_of(object), &["name"]) && is_of(key, &NAME_PARTS) {
            return true;
        }
        let field = Field::of(self.pack, key);
        field.names(self.is_about_one(object), text)
            || field == Field::Name && self.may_be_about_one(object) && reads_as_name(text)
    }

    /// By what stands in an object, or by what it is called.
    fn is_about_one(&self, object: &str) -> Option<Sign> {
        let sign = self.about.get(object).copied();
        match Subject::of(object) {
            Subject::Person => Some(Sign::Sure),
            Subject::Company => sign.filter(|s| *s == Sign::Sure),
            Subject::Thing => sign.filter(|s| *s >= Sign::Taxed),
            Subject::Unsaid => {
                let name = name_of(object);
                let outer = has_of(name, &HOMES).then(|| self.is_about_one(around(object, name)));
                sign.max(outer.flatten())
            }
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
    Company,
    Thing,
    Unsaid,
}

impl Subject {
    /// The innermost name that says anything.
    fn of(mut object: &str) -> Self {
        loop {
            let name = name_of(object);
            let said = Subject::of_name(name);
            if said != Subject::Unsaid || name.is_empty() || !has_of(name, &WRAPPERS) {
                return said;
            }
            object = around(object, name);
        }
    }

    /// The last word that says anything: a user's role is none.
    fn of_name(name: &str) -> Self {
        let mut said = Subject::Unsaid;
        for (n, word) in words(name).enumerate() {
            if is_of(word, &PERSONS) {
                said = Subject::Person;
            } else if is_of(word, &COMPANIES) {
                said = Subject::Company;
            } else if is_of(word, &THINGS) || n > 0 && is_of(word, &LISTED) {
                said = Subject::Thing;
            }
        }
        said
    }
}

/// What the name of a field says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    /// It is personal whatever it holds.
    Personal,
    /// It is part of a name, or the name of a file.
    Short,
    /// It is a name, as persons have it.
    Named,
    /// It is a name.
    Name,
    /// It is somebody.
    Person,
    /// It is whose the rest is.
    Owner,
    /// It says where somebody is, if it is about one.
    Place,
    Other,
}

impl Field {
    fn of(pack: &Pack, key: &str) -> Self {
        if is_personal(pack, key) {
            return Field::Personal;
        }
        let (mut before, mut last, mut human) = ("", "", false);
        let mut end = 0;
        for word in words(key) {
            human |= is_of(last, &HUMAN);
            (before, last) = (last, word);
            end = (word.as_ptr() as usize).saturating_sub(key.as_ptr() as usize);
        }
        let is_name = is_of(last, &["name"]);
        let of = Subject::of_name(key.get(..end).unwrap_or_default());
        match () {
            () if is_of(last, &["forename"]) => Field::Personal,
            () if is_of(last, &SHORT) => Field::Short,
            // Of a device, or of who drives.
            () if is_name && is_of(before, &["driver"]) => Field::Named,
            () if is_name && of == Subject::Person => Field::Personal,
            () if is_of(last, &JOINED) || is_name && human => Field::Named,
            () if is_name && of == Subject::Unsaid => Field::Name,
            () if is_of(last, &PERSONS) && is_of(last, &PLACES) => Field::Owner,
            () if is_of(last, &PERSONS) => Field::Person,
            () if is_of(last, &PLACES) => Field::Place,
            () => Field::Other,
        }
    }

    /// Whether a text in it is a person's name or says as much, by how surely what stands beside it is about one.
    fn names(self, about: Option<Sign>, text: &str) -> bool {
        let is_sure = about >= Some(Sign::Plain);
        match self {
            Field::Personal => true,
            Field::Short => text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’')),
            Field::Named => is_sure || reads_as_name(text),
            Field::Name => is_sure || about.is_some() && reads_as_name(text) && !is_trade(text),
            Field::Person => reads_as_name(text) || is_sure && !text.contains(|c: char| c.is_ascii_digit()),
            Field::Owner => about.is_some() || reads_as_name(text),
            Field::Place => about.is_some(),
            Field::Other => false,
        }
    }
}

/// How surely a field of this name says that what stands beside it is about a person.
pub(crate) fn sign_of(pack: &Pack, key: &str) -> Option<Sign> {
    let is_named = |types: &[&str]| pack.named(key).any(|kind| types.contains(&&*kind.id));
    match () {
        // Companies have them too.
        () if has_of(key, &TAX) && !has_of(key, &SURE) && is_named(&SURE_TYPES) => Some(Sign::Taxed),
        () if has_of(key, &SURE) || is_named(&SURE_TYPES) => Some(Sign::Sure),
        () if has_of(key, &ABOUT) || is_named(&ABOUT_TYPES) => Some(Sign::Plain),
        () if has_of(key, &SLIGHT) || is_named(&["postal-address"]) => Some(Sign::Slight),
        () => None,
    }
}

/// Whether a text in a field of this name is a person's name or says as much, by what stands beside it.
pub(crate) fn names(pack: &Pack, about: Option<Sign>, key: &str, text: &str) -> bool {
    Field::of(pack, key).names(about, text)
}

/// Whether a name is that of a type of personal data that nothing else is called after.
pub(crate) fn is_personal(pack: &Pack, key: &str) -> bool {
    pack.named(key).any(|kind| BY_NAME.contains(&&*kind.id))
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
    let has_no_case = |c: char| c.is_alphabetic() && !c.is_lowercase() && !c.is_uppercase();
    if text.chars().filter(|c| *c != ' ').count() >= 2 && text.chars().all(|c| c == ' ' || has_no_case(c)) {
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

/// Whether a name has a word in it that no person's has.
fn is_trade(text: &str) -> bool {
    has_of(text, &TRADES) || has_of(text, &THINGS)
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
    fn a_tax_number_beside_a_name_makes_no_person_of_a_company() {
        let pack = Pack::builtin().unwrap();
        let named = |object: &str, number: &str| {
            let paths = [format!("{object}.name"), format!("{object}.{number}")];
            let places = paths.iter().map(String::as_str).zip(["name", number]);
            Persons::of(&pack, places, None).names(&paths[0], "name", "Harbour Foods")
        };
        assert!(!named("$.company", "tax_id") && !named("$.organizations[*]", "taxId"));
        for object in
            ["$.customer", "$", "$.vendors[*]", "$.merchant", "$.company.owner", "$.company_proprietor"]
        {
            assert!(named(object, "tax_id"), "{object}: who is not said to be a company");
        }
        for number in ["ssn", "itin", "taxpayer_ssn", "tax_passport"] {
            assert!(named("$.company", number), "{number}: people alone have these");
        }
    }

    #[test]
    fn a_company_with_what_only_people_have_is_somebodys() {
        let pack = Pack::builtin().unwrap();
        let keys = ["name", "owner", "tax_id"];
        let named = |more: Option<&str>, key: &str, text: &str| {
            let keys = keys.into_iter().chain(more);
            let places: Vec<(String, &str)> = keys.map(|k| (format!("$.company.{k}"), k)).collect();
            let persons = Persons::of(&pack, places.iter().map(|(p, k)| (p.as_str(), *k)), None);
            persons.names(&format!("$.company.{key}"), key, text)
        };
        assert!(!named(None, "name", "Harbour Foods") && named(None, "owner", "Ada Lovelace"));
        for more in ["email", "date_of_birth", "passport"] {
            assert!(named(Some(more), "name", "Ada Lovelace"), "{more}");
            assert!(named(Some(more), "owner", "ada"), "{more}");
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
