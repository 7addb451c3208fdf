//! What the body of an answer says about how a call went.

use sidetap_wire::body::{Location, Scalar};
use smallvec::SmallVec;

use super::robots::robots;
use super::words::{Hearing, Said};
use crate::observation::Robots;

/// What the body of an answer says.
#[derive(Debug)]
pub(crate) struct AnswerFields {
    pub(crate) said: Said,
    /// It hands out a token.
    pub(crate) grants: bool,
    /// A field says that it did not work.
    pub(crate) refuses: bool,
    pub(crate) html: bool,
    /// 1 where it is a list.
    list: u16,
    pub(crate) robots: Option<Box<Robots>>,
    /// Fields that are null.
    pub(crate) nulls: u32,
    /// It tells a price.
    pub(crate) priced: bool,
    /// A fault of a remote procedure call (XML-RPC): its texts stand further in.
    fault: bool,
    /// It names the steps that are asked for next: nothing was refused yet.
    pub(crate) asks: bool,
    fields: u32,
    /// Values that nobody can guess, kept where `keeps` says so.
    pub(crate) gifts: SmallVec<[Box<str>; 2]>,
    pub(crate) keeps: bool,
}

impl Default for AnswerFields {
    fn default() -> Self {
        AnswerFields {
            said: Said::Nothing,
            grants: false,
            refuses: false,
            html: false,
            list: 0,
            robots: None,
            nulls: 0,
            priced: false,
            fault: false,
            asks: false,
            fields: 0,
            gifts: SmallVec::new(),
            keeps: false,
        }
    }
}

impl AnswerFields {
    pub(crate) fn clear(&mut self) {
        *self = AnswerFields::default();
    }

    /// True of fields that were all read, of which none could be a session.
    pub(crate) fn gives_nothing(&self) -> bool {
        self.keeps && (1..=48).contains(&self.fields) && !self.grants && self.gifts.is_empty()
    }

    pub(crate) fn body(&mut self, body: &[u8]) {
        let head = body.get(..body.len().min(64)).unwrap_or(body).trim_ascii_start();
        self.html = head.first() == Some(&b'<') && !is_xml(body);
        self.list = u16::from(head.first() == Some(&b'['));
        if !matches!(head.first(), Some(b'u' | b'U' | b'#')) {
            return;
        }
        let text = head.to_ascii_lowercase();
        if text.starts_with(b"user-agent:") || text.starts_with(b"# ") || text.starts_with(b"#\n") {
            self.robots = robots(body);
        }
    }

    /// Reads what a page says that answers a form: its short texts, not its programs.
    pub(crate) fn page(&mut self, body: &[u8], hearing: &mut Hearing) {
        const MOST: usize = 256 << 10;
        const SHORT: usize = 200;
        let mut rest = body.get(..body.len().min(MOST)).unwrap_or(body);
        while let Some(at) = memchr::memchr(b'<', rest) {
            let (text, tag) = rest.split_at(at);
            let text = text.trim_ascii();
            if (4..=SHORT).contains(&text.len())
                && let Ok(text) = std::str::from_utf8(text)
            {
                match hearing.said(text) {
                    Said::Nothing => {}
                    said => {
                        self.said = said;
                        return;
                    }
                }
            }
            let end: &[u8] = match tag {
                [b'<', b'!', b'-', b'-', ..] => b"-->",
                _ if starts(tag, b"<script") => b"</script",
                _ if starts(tag, b"<style") => b"</style",
                _ => b">",
            };
            rest = memchr::memmem::find(tag, end).and_then(|n| tag.get(n + end.len()..)).unwrap_or_default();
        }
    }

    #[inline]
    pub(crate) fn container(&mut self, at: &Location<'_>) {
        // An element counts, not the list: many applications always send one.
        self.refuses |= match at.key {
            // A batch is answered with a list of what each call alone is answered with.
            "error" | "errors" => at.depth <= 2 + self.list,
            "userErrors" | "customerUserErrors" | "accountErrors" => at.depth <= 5,
            "Fault" | "soap:Fault" | "SOAP-ENV:Fault" | "env:Fault" => at.depth <= 3,
            _ => false,
        };
        self.priced = self.priced || at.depth <= 3 && is_price(at.key);
        self.asks |= at.depth <= 2 && matches!(at.key, "flows" | "challenges");
        if at.key == "fault" && at.depth <= 3 {
            self.refuses = true;
            self.fault = true;
        }
    }

    #[inline]
    pub(crate) fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, hearing: &mut Hearing) {
        self.fields += 1;
        if self.fields > 48 {
            return;
        }
        if self.keeps
            && at.depth <= 4
            && self.gifts.len() < 2
            && let Scalar::Str(text) = value
            && is_gift(text)
        {
            self.gifts.push(text.into());
        }
        if at.key == "name" && matches!(value, Scalar::Str("faultCode")) {
            // A fault among the answers to several calls (XML-RPC, `system.multicall`).
            self.refuses = true;
            self.fault = true;
        }
        if at.depth <= 2 {
            self.outer(at, value, hearing);
        } else if at.depth <= 5
            && let Scalar::Str(text) = value
        {
            self.inner(at, text, hearing);
        } else if self.fault
            && at.key == "string"
            && let Scalar::Str(text) = value
        {
            self.said = self.said.or(hearing.said(text));
        }
    }

    /// What GraphQL says further in: codes of errors, and types that are errors (GraphQL §7.1.2; errors as data), and what a SOAP
    /// fault says.
    fn inner(&mut self, at: &Location<'_>, text: &str, hearing: &mut Hearing) {
        // `{"data":{"signIn":{"token":…}}}`
        self.grants |= at.depth <= 4 && is_token(at.key) && text.len() >= 8;
        let is_error = || ["Error", "Failure", "Exception", "Problem"].iter().any(|end| text.ends_with(end));
        let told = match at.key {
            "__typename" if is_error() => {
                self.refuses = true;
                Some(text)
            }
            "code" | "message" | "classification" | "faultstring" | "faultcode" | "reason"
                if self.refuses =>
            {
                Some(text)
            }
            _ => None,
        };
        if let Some(text) = told.filter(|t| t.len() <= 512) {
            self.said = self.said.or(hearing.said(&spaced(text)));
        }
    }

    fn outer(&mut self, at: &Location<'_>, value: Scalar<'_>, hearing: &mut Hearing) {
        self.priced = self.priced || is_price(at.key);
        self.nulls += u32::from(matches!(value, Scalar::Null));
        match value {
            Scalar::Str(text) => self.text(at, text, hearing),
            Scalar::Bool(true) => {
                self.refuses |=
                    matches!(at.key, "error" | "hasError" | "has_error" | "isError" | "is_error" | "failed");
            }
            // The status that HTTP's own hides.
            Scalar::Num(n)
                if matches!(
                    at.key,
                    "status" | "code" | "statusCode" | "status_code" | "httpStatus" | "errorCode"
                ) =>
            {
                self.refuses |= matches!(n, "400" | "401" | "403" | "409" | "422");
                if n == "404" {
                    self.said = self.said.or(Said::Missing);
                }
            }
            Scalar::Bool(false) => {
                self.refuses |= tells_success(at.key) || at.depth == 1 && at.key == "status";
            }
            // Results by number, 0 where it worked: `{"ret":1003,"msg":…}`.
            Scalar::Num(n) if at.depth == 1 && tells_result(at.key) => {
                self.refuses |= !matches!(n, "0" | "200" | "1");
            }
            // Languages without truth values write 0.
            Scalar::Num("0") if tells_success(at.key) => self.refuses |= at.depth == 1,
            Scalar::Num("0" | "0.0" | "0.00") => self.nulls += u32::from(is_worth(at.key)),
            _ => {}
        }
    }

    fn text(&mut self, at: &Location<'_>, text: &str, hearing: &mut Hearing) {
        // Answers in XML write their names with capitals.
        let mut low = [0u8; 20];
        for (to, from) in low.iter_mut().zip(at.key.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        let key = if at.key.starts_with(|c: char| c.is_ascii_uppercase()) {
            low.get(..at.key.len()).unwrap_or(at.key.as_bytes())
        } else {
            at.key.as_bytes()
        };
        let tells = matches!(
            key,
            b"message"
                | b"msg"
                | b"error"
                | b"errors"
                | b"status"
                | b"detail"
                | b"reason"
                | b"result"
                | b"description"
                | b"error_description"
                | b"error_message"
                | b"code"
                | b"title"
                | b"errorMessage"
                | b"errorCode"
                | b"errormsg"
                | b"meldung"
                | b"fehler"
                | b"hinweis"
                | b"mesaj"
                | b"hata"
                | b"durum"
                | b"mensaje"
                | b"mensagem"
                | b"messaggio"
                | b"errore"
                | b"erreur"
                | b"erro"
                | b"estado"
                | b"etat"
                | b"estatus"
                | b"stato"
                | b"statut"
                | b"komunikat"
                | b"blad"
                | b"chyba"
                | b"zprava"
                | b"melding"
                | b"feilmelding"
                | b"besked"
                | b"meddelande"
                | b"viesti"
                | b"pesan"
                | b"soobshenie"
                | b"oshibka"
                | b""
        );
        if tells && text.len() <= 65_536 && matches!(self.said, Said::Nothing | Said::Failed) {
            let said = match key {
                b"code" | b"error" | b"status" | b"reason" | b"errorCode" if is_code(text) => {
                    hearing.said(&spaced(text))
                }
                _ => hearing.said(text),
            };
            self.said = self.said.or(said);
        }
        // `{"durum": "hata"}`: one word that is no sentence.
        self.refuses |= tells && is_failure(text);
        self.grants |= is_token(at.key) && text.len() >= 8;
    }
}

/// True of what may open a session from then on: long, of one word, with letters and digits.
fn is_gift(text: &str) -> bool {
    (16..=4096).contains(&text.len())
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().any(|b| b.is_ascii_alphabetic())
        && !text.bytes().any(|b| b.is_ascii_whitespace() || matches!(b, b':' | b'@' | b',' | b'"'))
}

/// Names of fields that say what a card or a code is worth: nothing, where there is no such one.
fn is_worth(key: &str) -> bool {
    const NAMES: [&str; 16] = [
        "balance",
        "saldo",
        "solde",
        "guthaben",
        "discount",
        "remise",
        "reduction",
        "rabatt",
        "descuento",
        "desconto",
        "sconto",
        "korting",
        "rabat",
        "amount_off",
        "discountAmount",
        "discount_amount",
    ];
    NAMES.contains(&key)
}

/// Names of fields that number the result of a call.
fn tells_result(key: &str) -> bool {
    matches!(
        key,
        "ret"
            | "retcode"
            | "retCode"
            | "ret_code"
            | "errcode"
            | "errCode"
            | "err_code"
            | "errno"
            | "resultCode"
            | "rc"
    )
}

/// Names of fields that say whether it worked, in the languages that answers are written in.
fn tells_success(key: &str) -> bool {
    const NAMES: [&str; 30] = [
        "success",
        "ok",
        "valid",
        "authenticated",
        "found",
        "accepted",
        "approved",
        "verified",
        "matched",
        "correct",
        "is_valid",
        "isValid",
        "exists",
        "redeemed",
        "isSuccess",
        "is_success",
        "succeeded",
        "basarili",
        "exito",
        "sucesso",
        "succes",
        "valide",
        "valido",
        "gueltig",
        "gefunden",
        "trouve",
        "encontrado",
        "trovato",
        "geldig",
        "giltig",
    ];
    NAMES.contains(&key)
}

/// One word for failure, in the languages that answers are written in.
fn is_failure(text: &str) -> bool {
    const WORDS: [&str; 20] = [
        "error", "nok", "ko", "fehler", "hata", "erreur", "errore", "erro", "chyba", "blad", "virhe", "fel",
        "feil", "fejl", "gagal", "fault", "fail", "ng", "err", "nack",
    ];
    text.len() <= 8 && WORDS.iter().any(|w| text.eq_ignore_ascii_case(w))
}

/// Names under which an answer hands out what opens a session.
fn is_token(key: &str) -> bool {
    matches!(
        key,
        "token"
            | "access_token"
            | "auth_token"
            | "accessToken"
            | "id_token"
            | "idToken"
            | "jwt"
            | "session"
            | "session_id"
            | "sessionToken"
            | "session_token"
            | "authToken"
            | "refresh_token"
            | "refreshToken"
            | "sid"
            | "sitzung"
            | "sessionKey"
            | "session_key"
            | "ticket"
    )
}

/// Names of fields that hold a price, in several languages.
fn is_price(key: &str) -> bool {
    // Asked for every field: most are told by their first letter.
    let may = matches!(key.as_bytes().first(), Some(b'p' | b'u' | b't' | b'f' | b'c' | b'h' | b'k' | 0x80..));
    may && matches!(
        key,
        "price"
            | "unit_price"
            | "unitPrice"
            | "total_price"
            | "totalPrice"
            | "fiyat"
            | "preis"
            | "prix"
            | "precio"
            | "preco"
            | "preço"
            | "prezzo"
            | "prijs"
            | "cena"
            | "pris"
            | "hinta"
            | "harga"
            | "kakaku"
            | "цена"
            | "価格"
            | "价格"
            | "가격"
    )
}

/// True of XML that is no page: envelopes, answers of remote procedures, data. Pages may be XML as well (XHTML).
fn is_xml(body: &[u8]) -> bool {
    let head = body.get(..body.len().min(512)).unwrap_or(body).trim_ascii_start();
    let page =
        || head.windows(5).any(|w| w.eq_ignore_ascii_case(b"<html") || w.eq_ignore_ascii_case(b"<!doc"));
    let root =
        head.get(1..).and_then(|h| h.split(|b| matches!(b, b' ' | b'>' | b'\n' | b'\r' | b'/')).next());
    starts(head, b"<?xml") && !page()
        || root.is_some_and(|r| r.ends_with(b":Envelope") || r == b"Envelope" || r == b"methodResponse")
}

fn starts(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|b| b.eq_ignore_ascii_case(word))
}

/// True of words that are joined by underscores or capitals.
fn is_code(text: &str) -> bool {
    text.len() <= 64
        && !text.contains(' ')
        && text.bytes().skip(1).any(|b| b == b'_' || b.is_ascii_uppercase())
}

/// A code as words: `USER_NOT_FOUND` and `UserNotFound` say the same as `user not found`.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut lower = false;
    for c in text.chars() {
        if lower && c.is_ascii_uppercase() {
            out.push(' ');
        }
        lower = c.is_ascii_lowercase();
        out.push(if c == '_' { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use sidetap_model::HashKey;
    use sidetap_wire::body::{self, Kind, WalkLimits, WalkScratch};

    use super::*;

    #[test]
    fn answers_of_graphql_tell_how_a_call_went() {
        let read = |json: &str| {
            let mut of = crate::Extractor::new(
                HashKey::from_bytes([7; 16]),
                std::sync::Arc::new(crate::Agents::builtin().unwrap()),
            );
            of.response_body(json.as_bytes());
            let (kind, limits, mut scratch) = (Kind::Json, WalkLimits::default(), WalkScratch::default());
            body::walk(kind, None, json.as_bytes(), &limits, &mut scratch, &mut of);
            (of.answer.refuses, of.answer.grants, of.answer.said)
        };
        let wrong = r#"{"data":{"signIn":null},"errors":[{"message":"email or password is wrong"}]}"#;
        assert_eq!(read(wrong), (true, false, Said::Failed));
        let right = r#"{"data":{"signIn":{"token":"0123456789abcdef","user":{"id":"4"}}},"errors":[]}"#;
        assert_eq!(read(right), (false, true, Said::Nothing));
        let taken = r#"{"data":{"customerCreate":{"customer":null,"customerUserErrors":[{"message":"Email has already been taken"}]}}}"#;
        assert!(read(taken).0);
        for hidden in
            ["{\"status\":403}", "{\"status\":false}", "{\"error\":true}", "{\"code\":401,\"msg\":\"x\"}"]
        {
            assert!(read(hidden).0, "{hidden}");
        }
        assert_eq!(read("{\"code\":404,\"data\":null}").2, Said::Missing);
        assert!(!read("{\"status\":200,\"code\":0,\"error\":false}").0);
    }

    #[test]
    fn an_envelope_is_no_page() {
        let html = |body: &str| {
            let mut answer = AnswerFields::default();
            answer.body(body.as_bytes());
            answer.html
        };
        assert!(html("<!doctype html><html><body>Hello") && html("<div class=x>part of a page</div>"));
        assert!(html("<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0\"><html>"));
        for xml in [
            "<?xml version=\"1.0\"?><soap:Envelope xmlns:soap=\"x\"><soap:Body/>",
            "<soap:Envelope xmlns:soap=\"x\">",
            "<methodResponse><params/>",
            "<?xml version=\"1.0\"?>\n<answer><token>7</token></answer>",
        ] {
            assert!(!html(xml), "{xml}");
        }
    }

    #[test]
    fn a_page_is_read_for_what_it_tells_its_reader() {
        let said = |page: &str| {
            let mut answer = AnswerFields::default();
            answer.page(page.as_bytes(), &mut Hearing::default());
            answer.said
        };
        let around = "<div class=x>Menu</div>".repeat(900);
        assert_eq!(
            said(&format!("{around}<p class=e>E-Mail-Adresse oder Passwort ist falsch.</p>")),
            Said::Failed
        );
        assert_eq!(said(&format!("{around}<li>Unknown e-mail address</li>{around}")), Said::Missing);
        assert_eq!(
            said("<script>if (invalid) { fail() }</script><!-- wrong --><p>Welcome back</p>"),
            Said::Nothing
        );
        assert_eq!(said("<p>invalid"), Said::Nothing, "a text that nothing ends may be cut");
    }
}
