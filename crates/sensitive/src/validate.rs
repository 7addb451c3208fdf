//! Validators: what makes a run of digits a card number. Each takes the candidate without its separators.

mod bank;
mod cards;
mod crypto;
mod health;
mod national;
mod network;
mod secrets;

pub(crate) use network::{country_code_len, is_domain};

/// Says whether a candidate, separators taken off, is what it looks like.
pub type Validator = fn(&str) -> bool;

/// The validator of this name.
pub fn by_name(name: &str) -> Option<Validator> {
    TABLE.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

/// The names of all validators.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(n, _)| *n)
}

const TABLE: &[(&str, Validator)] = &[
    ("card", cards::card),
    ("card-expiry", cards::expiry),
    ("card-verification", cards::verification),
    ("luhn", |t| luhn(t)),
    ("iban", bank::iban),
    ("aba", bank::aba),
    ("bic", bank::bic),
    ("clabe", bank::clabe),
    ("ifsc", bank::ifsc),
    ("lei", bank::lei),
    ("btc", crypto::btc),
    ("eth", crypto::eth),
    ("litecoin", crypto::litecoin),
    ("base58check", crypto::base58check),
    ("us-ssn", national::us_ssn),
    ("us-itin", national::us_itin),
    ("us-ein", national::us_ein),
    ("ca-sin", national::ca_sin),
    ("uk-nino", national::uk_nino),
    ("uk-nhs", national::uk_nhs),
    ("uk-utr", national::uk_utr),
    ("fr-nir", national::fr_nir),
    ("de-steuer-id", national::de_steuer_id),
    ("es-dni", national::es_dni),
    ("es-nie", national::es_nie),
    ("it-cf", national::it_cf),
    ("pt-nif", national::pt_nif),
    ("nl-bsn", national::nl_bsn),
    ("be-rrn", national::be_rrn),
    ("ch-ahv", national::ch_ahv),
    ("se-pnr", national::se_pnr),
    ("no-fnr", national::no_fnr),
    ("fi-hetu", national::fi_hetu),
    ("pl-pesel", national::pl_pesel),
    ("pl-nip", national::pl_nip),
    ("tr-tckn", national::tr_tckn),
    ("in-aadhaar", national::in_aadhaar),
    ("in-pan", national::in_pan),
    ("cn-id", national::cn_id),
    ("sg-nric", national::sg_nric),
    ("kr-rrn", national::kr_rrn),
    ("au-tfn", national::au_tfn),
    ("au-abn", national::au_abn),
    ("br-cpf", national::br_cpf),
    ("br-cnpj", national::br_cnpj),
    ("cl-rut", national::cl_rut),
    ("mx-curp", national::mx_curp),
    ("za-id", national::za_id),
    ("date-of-birth", national::date_of_birth),
    ("vin", network::vin),
    ("imei", network::imei),
    ("iccid", network::iccid),
    ("us-npi", health::us_npi),
    ("us-dea", health::us_dea),
    ("us-mbi", health::us_mbi),
    ("au-medicare", health::au_medicare),
    ("jwt", secrets::jwt),
    ("github-token", secrets::github_token),
    ("varied", secrets::varied),
    ("password", secrets::password),
    ("person-name", secrets::person_name),
    ("readable", secrets::readable),
];

/// The digits of a text; what is none is passed over.
fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
    text.bytes().filter(u8::is_ascii_digit).map(|b| u32::from(b - b'0'))
}

/// Σ digit × weight, over the shorter of both.
fn weighted(text: &str, weights: &[u32]) -> u32 {
    digits(text).zip(weights).map(|(d, w)| d * w).sum()
}

fn last_digit(text: &str) -> Option<u32> {
    digits(text).next_back()
}

fn digit_at(text: &str, at: usize) -> u32 {
    digits(text).nth(at).unwrap_or(0)
}

/// What [`number`] gives where there is none: more than any part of an identifier, and room above to add to.
const NONE: u32 = 2_000_000_000;

/// The number that stands at a range; [`NONE`] where none of at most nine digits does.
fn number(text: &str, from: usize, to: usize) -> u32 {
    let digits = text.get(from..to).filter(|t| t.len() < 10 && t.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|t| t.parse().ok()).unwrap_or(NONE)
}

fn same_digit(text: &str) -> bool {
    let mut all = digits(text);
    let first = all.next();
    all.all(|d| Some(d) == first)
}

/// ISO/IEC 7812-1 annex B.
pub(crate) fn luhn(text: &str) -> bool {
    let sum: u32 = digits(text)
        .rev()
        .enumerate()
        .map(|(i, d)| {
            if i % 2 == 0 {
                d
            } else if d > 4 {
                d * 2 - 9
            } else {
                d * 2
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The remainder by 97 of a number whose letters count from A = 10 (ISO/IEC 7064).
fn mod97(text: impl Iterator<Item = u8>) -> Option<u32> {
    text.into_iter().try_fold(0_u32, |rest, byte| {
        let value = char::from(byte).to_digit(36)?;
        Some((rest * if value > 9 { 100 } else { 10 } + value) % 97)
    })
}

/// True where the day exists.
fn is_date(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}
