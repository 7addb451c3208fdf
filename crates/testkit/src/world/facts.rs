//! Made-up facts: people, numbers with valid check digits, words, tokens.

use crate::Rng;

/// Somebody with an account.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) number: usize,
    pub(crate) first: &'static str,
    pub(crate) last: &'static str,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) phone: String,
    pub(crate) birth: String,
    pub(crate) ssn: String,
    pub(crate) card: String,
    pub(crate) iban: String,
    pub(crate) street: String,
    pub(crate) city: &'static str,
    pub(crate) zip: String,
}

impl Person {
    /// The person of this number: the same for the same seed.
    pub(crate) fn new(seed: u64, number: usize) -> Self {
        let mut rng = Rng::new(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (first, last) = (rng.pick(FIRST), rng.pick(LAST));
        let host = rng.pick(&["posthaus.example", "mailbird.example", "inbox.example", "quickpost.example"]);
        let separator = rng.pick(&[".", "_", "", "-"]);
        Person {
            number,
            first,
            last,
            email: format!("{first}{separator}{last}{}@{host}", number % 977),
            password: password(&mut rng),
            phone: format!(
                "+1{}55501{}",
                rng.pick(&["206", "312", "415", "617", "702", "813"]),
                rng.digits(2)
            ),
            birth: format!("{}-{:02}-{:02}", rng.range(1948, 2005), rng.range(1, 12), rng.range(1, 28)),
            ssn: ssn(&mut rng),
            card: card(&mut rng),
            iban: iban(&mut rng),
            street: format!(
                "{} {} {}",
                rng.range(1, 480),
                capital(rng.pick(WORDS)),
                rng.pick(&["Lane", "Road", "Quay", "Hill"])
            ),
            city: rng.pick(CITIES),
            zip: format!("{:05}", rng.range(10_000, 99_400)),
        }
    }

    /// First and last name.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", capital(self.first), capital(self.last))
    }
}

/// A payment card number of a usual brand that passes the Luhn check.
pub(crate) fn card(rng: &mut Rng) -> String {
    let (prefix, len) = rng.pick(&[("4", 16), ("4", 16), ("52", 16), ("54", 16), ("37", 15), ("6011", 16)]);
    let body = format!("{prefix}{}", rng.digits(len - 1 - prefix.len()));
    let check = luhn_digit(&body);
    format!("{body}{check}")
}

/// The digit that makes `body` pass the Luhn check.
pub(crate) fn luhn_digit(body: &str) -> u32 {
    let sum: u32 = body.bytes().rev().enumerate().map(|(n, b)| double_at(n, u32::from(b - b'0'))).sum();
    (10 - sum % 10) % 10
}

const fn double_at(n: usize, digit: u32) -> u32 {
    match (n.is_multiple_of(2), digit) {
        (false, d) => d,
        (true, d) if d < 5 => d * 2,
        (true, d) => d * 2 - 9,
    }
}

/// A US social security number that could have been issued.
pub(crate) fn ssn(rng: &mut Rng) -> String {
    let area = match rng.range(1, 772) {
        666 => 665,
        area => area,
    };
    format!("{area:03}-{:02}-{:04}", rng.range(1, 99), rng.range(1, 9999))
}

/// A German or British IBAN with its check digits (ISO 13616).
pub(crate) fn iban(rng: &mut Rng) -> String {
    let (country, body) = if rng.percent(60.0) {
        ("DE", rng.digits(18))
    } else {
        ("GB", format!("{}{}", rng.pick(&["TIDE", "HBRL", "WEST"]), rng.digits(14)))
    };
    let rest = format!("{body}{country}00").bytes().fold(0u32, |rest, b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
    });
    format!("{country}{:02}{body}", 98 - rest)
}

/// A password as people choose them.
pub(crate) fn password(rng: &mut Rng) -> String {
    let word = rng.pick(WORDS);
    match rng.index(4) {
        0 => format!("{}{}", capital(word), rng.range(1970, 2026)),
        1 => format!("{word}{}{}", rng.pick(WORDS), rng.pick(&["!", "1", "#", "22"])),
        2 => format!("{}{}!", capital(rng.pick(FIRST)), rng.range(10, 99)),
        _ => rng.base64(12),
    }
}

/// A signed token of three base64url parts with these claims.
pub(crate) fn jwt(rng: &mut Rng, claims: &serde_json::Value) -> String {
    let head = base64url(br#"{"alg":"RS256","typ":"JWT","kid":"tide-7"}"#);
    format!("{head}.{}.{}", base64url(claims.to_string().as_bytes()), rng.base64(86))
}

/// Base64url without padding (RFC 4648 §5).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let word = part.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - part.len()));
        let digits = (0..=part.len()).map(|n| ALPHABET[(word >> (18 - 6 * n)) as usize & 63]);
        out.extend(digits.map(char::from));
    }
    out
}

/// `n` words.
pub(crate) fn words(rng: &mut Rng, n: usize) -> String {
    let words: Vec<&str> = (0..n).map(|_| rng.pick(WORDS)).collect();
    words.join(" ")
}

/// Text of `n` sentences.
pub(crate) fn prose(rng: &mut Rng, n: usize) -> String {
    let sentence = |_| {
        let length = rng.range(6, 14) as usize;
        format!("{}.", capital(&words(rng, length)))
    };
    (0..n).map(sentence).collect::<Vec<_>>().join(" ")
}

/// The word with a capital.
pub(crate) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

pub(crate) const FIRST: &[&str] = &[
    "ada", "amir", "bela", "carmen", "dario", "edda", "farid", "greta", "hugo", "ines", "jonas", "kaia",
    "leif", "mona", "nadia", "oskar", "petra", "quinn", "rosa", "sven", "tilda", "ulf", "vera", "wanda",
    "yusuf", "zora",
];
pub(crate) const LAST: &[&str] = &[
    "abel", "brandt", "castell", "dufour", "ekman", "ferro", "gallo", "holm", "ibsen", "jansen", "keller",
    "lind", "moreau", "nagy", "olsen", "pires", "quist", "rizzo", "santos", "thorne", "urban", "vidal",
    "weiss", "young",
];
pub(crate) const CITIES: &[&str] =
    &["Aldermouth", "Brinport", "Castlewick", "Dunmere", "Eastholm", "Farrow", "Gullhaven", "Hartsey"];
pub(crate) const WORDS: &[&str] = &[
    "anchor", "amber", "basalt", "beacon", "birch", "bramble", "canvas", "cedar", "cobalt", "copper",
    "coral", "cotton", "delta", "drift", "ember", "fathom", "fern", "flint", "gale", "granite", "harbor",
    "hazel", "heron", "indigo", "island", "jetty", "juniper", "keel", "lagoon", "lantern", "linen", "maple",
    "marble", "meadow", "mist", "moss", "nectar", "oak", "ocean", "opal", "orchid", "pebble", "pine",
    "plume", "quarry", "quartz", "raven", "reef", "ridge", "river", "saddle", "saffron", "sail", "shore",
    "slate", "spruce", "storm", "swift", "thistle", "tide", "timber", "umber", "valley", "velvet", "walnut",
    "willow", "winter", "wool", "yarrow",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_valid() {
        assert_eq!(luhn_digit("411111111111111"), 1);
        let mut rng = Rng::new(3);
        for _ in 0..50 {
            let iban = iban(&mut rng);
            let turned = format!("{}{}", &iban[4..], &iban[..4]);
            let rest = turned.chars().fold(0u32, |rest, c| match c.to_digit(36) {
                Some(d @ 0..=9) => (rest * 10 + d) % 97,
                d => (rest * 100 + d.unwrap()) % 97,
            });
            assert_eq!(rest, 1, "{iban}");
        }
    }

    #[test]
    fn base64url_is_as_in_the_rfc() {
        assert_eq!(base64url(b"foobar"), "Zm9vYmFy");
        assert_eq!(base64url(b"fooba"), "Zm9vYmE");
        assert_eq!(base64url(b"f"), "Zg");
    }
}
