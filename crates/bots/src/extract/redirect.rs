//! What a redirect says of the form that it answers.
//!
//! Many applications answer every form with a redirect (Post/Redirect/Get, RFC 9110 §15.4.4): how it went stands in where it leads
//! and in whether a session is handed out.

use crate::observation::Outcome;

/// A redirect that answers a form with credentials, a code or an application for an account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Redirect<'a> {
    /// The value of Location.
    pub(crate) to: &'a [u8],
    /// It leads to the path that the form was sent to.
    pub(crate) same: bool,
    /// It hands out a session.
    pub(crate) session: bool,
    /// It sets any cookie at all.
    pub(crate) sets: bool,
    /// The request had cookies.
    pub(crate) known: bool,
    /// The request carried a secret.
    pub(crate) secret: bool,
}

/// Words of a Location that say that it did not work.
const FAILED: &[&str] = &[
    "error",
    "fail",
    "denied",
    "invalid",
    "incorrect",
    "wrong",
    "unauthori",
    "forbidden",
    "notfound",
    "not-found",
    "not_found",
    "mismatch",
    "badlogin",
    "bad_login",
    "bad-login",
    "fehler",
    "falsch",
    "erreur",
    "echec",
    "errore",
    "incorrecto",
    "invalido",
    "fout",
    "gecersiz",
    "hata",
    "bulunamad",
    "ungueltig",
    "ungultig",
    "unbekannt",
    "abgelaufen",
    "expired",
    "invalide",
    "introuvable",
    "inconnu",
    "desconocid",
    "sconosciut",
    "niepopraw",
    "neplatn",
    "ogiltig",
    "ugyldig",
    "ongeldig",
];
/// Words of the path of a page that asks for credentials.
const ASKS: &[&str] = &[
    "login",
    "log-in",
    "log_in",
    "logon",
    "signin",
    "sign-in",
    "sign_in",
    "anmelde",
    "anmeldung",
    "einloggen",
    "connexion",
    "iniciar-sesion",
    "accedi",
    "inloggen",
];

impl Redirect<'_> {
    /// How a login, or the sending of a code, went.
    pub(crate) fn of_credentials(self) -> Outcome {
        // Who comes without a cookie is given one with the page that says that it did not work, too.
        let admitted = self.session && self.known;
        // Frameworks that keep the session in its cookie write it anew with every answer.
        let back = self.same && self.asks();
        if self.says(FAILED) || back || (self.asks() || self.same) && !admitted {
            return Outcome::Denied;
        }
        // Nothing is handed out that the next request could show: nobody was let in.
        if self.secret && !self.known && !self.sets { Outcome::Denied } else { Outcome::Success }
    }

    /// How another form went; what leads back to itself may be either.
    pub(crate) fn of_form(self) -> Outcome {
        match (self.says(FAILED), self.same) {
            (true, _) => Outcome::Refused,
            (false, true) => Outcome::Other,
            (false, false) => Outcome::Success,
        }
    }

    /// True where the place that it leads to says that it did not work.
    pub(crate) fn says_failed(self) -> bool {
        self.says(FAILED)
    }

    fn says(self, words: &[&str]) -> bool {
        words.iter().any(|w| contains(self.to, w))
    }

    /// The path leads to a page that asks for credentials, whatever it carries along.
    fn asks(self) -> bool {
        let path = super::path::of_url(self.to);
        ASKS.iter().any(|w| contains(path, w))
    }
}

fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(to: &str) -> Redirect<'_> {
        Redirect { to: to.as_bytes(), secret: true, ..Redirect::default() }
    }

    #[test]
    fn a_login_is_judged_by_where_it_leads_and_what_it_hands_out() {
        let told = |r: Redirect<'_>| r.of_credentials();
        assert_eq!(
            told(Redirect { known: true, session: true, sets: true, ..to("/account") }),
            Outcome::Success
        );
        assert_eq!(told(Redirect { session: true, sets: true, ..to("/account") }), Outcome::Success);
        assert_eq!(told(Redirect { known: true, ..to("/") }), Outcome::Success);
        for back in
            ["/login", "/Login?next=%2F", "https://shop.example/de/anmelden?fehler=1", "/?loginError=true"]
        {
            assert_eq!(told(Redirect { known: true, ..to(back) }), Outcome::Denied, "{back}");
            assert_eq!(told(Redirect { session: true, sets: true, ..to(back) }), Outcome::Denied, "{back}");
        }
        assert_eq!(told(Redirect { same: true, known: true, ..to("/member") }), Outcome::Denied);
        assert_eq!(told(to("/")), Outcome::Denied, "nothing was handed out");
        assert_eq!(told(Redirect { known: true, ..to("/mfa?return=%2Flogin") }), Outcome::Success);
    }

    #[test]
    fn another_form_fails_where_it_says_so() {
        assert_eq!(to("/cart?error=coupon").of_form(), Outcome::Refused);
        assert_eq!(to("/thanks").of_form(), Outcome::Success);
        assert_eq!(Redirect { same: true, ..to("/cart") }.of_form(), Outcome::Other);
    }
}
