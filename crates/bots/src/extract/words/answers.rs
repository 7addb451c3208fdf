//! Words of answers that say how a call ended.

use sidetap_wire::body::hash_str;

use crate::extract::finder::Finder;

/// Words of failure: those that say that something is not there, that an account is locked, that a payment is declined, and the others.
pub(super) const ANSWER_WORDS: &[&str] = &[
    // not there
    "not found",
    "notfound",
    "no such",
    "unknown",
    "does not exist",
    "doesn't exist",
    "not exist",
    "no user",
    "no account",
    "nicht gefunden",
    "unbekannt",
    "existiert nicht",
    "nicht registriert",
    "introuvable",
    "inconnu",
    "n'existe pas",
    "no encontrad",
    "no existe",
    "no consta",
    "no figura",
    "no se encuentra",
    "no se ha encontrado",
    "não consta",
    "não localizad",
    "nessun risultato",
    "aucun résultat",
    "aucun dossier",
    "keine ergebnisse",
    "geen resultaten",
    "não encontrad",
    "não existe",
    "non trovat",
    "non esiste",
    "niet gevonden",
    "bestaat niet",
    "nie znalezion",
    "nie istnieje",
    "hittades inte",
    "finns inte",
    "bulunamad",
    "not registered",
    "cannot find",
    "can't find",
    "could not find",
    "couldn't find",
    "no match",
    "nicht finden",
    "não cadastrad",
    "存在しません",
    "不存在",
    "nenalezen",
    "neexistuje",
    "ei löydy",
    "ikke fundet",
    "ikke funnet",
    "не найден",
    "не существует",
    "見つかりません",
    "tidak ditemukan",
    "kayıtlı değil",
    "nem található",
    "kein zugang",
    "keinen zugang",
    // locked
    "locked",
    "too many attempts",
    "too many failed",
    "temporarily blocked",
    "account disabled",
    "account is disabled",
    "suspended",
    "gesperrt",
    "zu viele versuche",
    "verrouillé",
    "bloqué",
    "trop de tentatives",
    "bloquead",
    "demasiados intentos",
    "muitas tentativas",
    "bloccat",
    "troppi tentativi",
    "geblokkeerd",
    "vergrendeld",
    "zablokowan",
    "spärrat",
    "kilitlen",
    "zablokov",
    "заблокирован",
    "diblokir",
    // declined
    "declined",
    "insufficient funds",
    "do not honor",
    "do not honour",
    "abgelehnt",
    "refusé",
    "rechazad",
    "recusad",
    "rifiutat",
    "geweigerd",
    "odrzucon",
    "avvisad",
    "reddedil",
    "onaylanmad",
    "отклонен",
    "zamítnut",
    // wrong or refused
    "invalid",
    "password error",
    "account error",
    "error password",
    "incorrect",
    "wrong",
    "fail",
    "denied",
    "unauthor",
    "unauthenticated",
    "not authorized",
    "forbidden",
    "bad credentials",
    "bad_user_input",
    "does not match",
    "doesn't match",
    "do not match",
    "not correct",
    "not valid",
    "mismatch",
    "expired",
    "rejected",
    "try again",
    "ungültig",
    "ungueltig",
    "ungultig",
    "not recogni",
    "falsch",
    "fehlgeschlagen",
    "stimmt nicht",
    "stimmen nicht",
    "nicht korrekt",
    "incorrecto",
    "incorrecta",
    "inválid",
    "contraseña no",
    "invalide",
    "erroné",
    "échec",
    "errata",
    "errati",
    "sbagliat",
    "non valid",
    "onjuist",
    "ongeldig",
    "nieprawid",
    "błędn",
    "felaktig",
    "ogiltig",
    "hatalı",
    "geçersiz",
    "no coincide",
    "senha",
    "incorret",
    "password is not",
    "無効",
    "正しくありません",
    "错误",
    "无效",
    "yanlış",
    "yanlis",
    "hatali",
    "gecersiz",
    "başarısız",
    "неверн",
    "неправильн",
    "ошибк",
    "špatn",
    "neplatn",
    "virheel",
    "forkert",
    "ugyldig",
    "間違",
    "잘못",
    "tidak valid",
    "érvénytelen",
    "mislukt",
    "nicht gültig",
    "nicht richtig",
    "non corrett",
];

/// Where what they mean changes.
pub(super) const LOCKED: usize = 63;
pub(super) const DECLINED: usize = 88;
pub(super) const FAILED: usize = 104;

static ANSWERS: Finder = Finder::new(ANSWER_WORDS);

/// What a short text of an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// Nothing about failure.
    Nothing,
    /// Wrong or refused.
    Failed,
    /// Not there.
    Missing,
    /// The account is locked, or whoever tries is for a while.
    Locked,
    /// A payment is declined.
    Declined,
}

impl Said {
    /// The same, or `other` where this says nothing, or only that it failed and the other says why.
    pub(crate) fn or(self, other: Said) -> Said {
        match (self, other) {
            (Said::Nothing, other) => other,
            (Said::Failed, Said::Missing | Said::Locked | Said::Declined) => other,
            (known, _) => known,
        }
    }
}

/// What texts of answers say. Short ones are remembered, for they come again and again; kept whole, so that none is taken for
/// another: what stands here changes the speed alone.
#[derive(Debug)]
pub(crate) struct Hearing {
    lower: String,
    known: Vec<(Vec<u8>, Said)>,
}

impl Default for Hearing {
    fn default() -> Self {
        Hearing { lower: String::new(), known: vec![(Vec::new(), Said::Nothing); Hearing::SLOTS] }
    }
}

impl Hearing {
    const SLOTS: usize = 256;
    const LONGEST: usize = 64;

    /// Reads a short text of an answer (the first 4 KiB of it).
    pub(crate) fn said(&mut self, text: &str) -> Said {
        if text.len() > Self::LONGEST {
            return read(text, &mut self.lower);
        }
        let Some((known, said)) = self.known.get_mut(hash_str(text) as usize % Self::SLOTS) else {
            return read(text, &mut self.lower);
        };
        if known != text.as_bytes() {
            known.clear();
            known.extend_from_slice(text.as_bytes());
            *said = read(text, &mut self.lower);
        }
        *said
    }
}

fn read(text: &str, scratch: &mut String) -> Said {
    let end = (0..=text.len().min(4096)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let text = text.get(..end).unwrap_or_default();
    let text = if text.is_ascii() {
        text
    } else {
        scratch.clear();
        scratch.extend(text.chars().flat_map(char::to_lowercase));
        scratch.as_str()
    };
    let mut found = [false; 4];
    ANSWERS.each_at(text.as_bytes(), |at, n| {
        let kind = [LOCKED, DECLINED, FAILED].iter().filter(|from| n >= **from).count();
        // `Cookies are blocked` locks nobody out.
        let inside = at
            .checked_sub(1)
            .and_then(|before| text.as_bytes().get(before))
            .is_some_and(u8::is_ascii_lowercase);
        if kind == 1 && inside {
            return;
        }
        if let Some(found) = found.get_mut(kind) {
            *found = true;
        }
    });
    match found {
        [_, true, ..] => Said::Locked,
        [_, _, true, _] => Said::Declined,
        [true, ..] => Said::Missing,
        [.., true] => Said::Failed,
        _ => Said::Nothing,
    }
}
