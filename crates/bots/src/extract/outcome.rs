//! How a call went, as its answer tells.

use sidetap_model::Response;

use super::Extractor;
use super::headers::AnswerHead;
use super::redirect::Redirect;
use super::words::Said;
use crate::hash;
use crate::observation::{Observation, Outcome, Surface, Token, Traits};
use crate::role::Roles;

/// Endpoints where something can be declined.
const PAYS: Roles = Roles(Roles::PAYMENT.0 | Roles::CHECKOUT.0 | Roles::TRANSFER.0 | Roles::GIFT_CARD.0);
/// Forms that are often answered by a redirect: those that lead on where it worked, and those that lead to one place either way.
const LEADS_ON: Roles = Roles(Roles::SIGN_UP.0 | Roles::CHECKOUT.0 | Roles::PAYMENT.0 | Roles::TRANSFER.0);
const LOOKS_UP: Roles = Roles(Roles::ID_LOOKUP.0 | Roles::COUPON.0 | Roles::GIFT_CARD.0);
const LEADS_BACK: Roles = Roles(Roles::RESET.0 | Roles::COUPON.0 | Roles::GIFT_CARD.0);

impl Extractor {
    /// What the site says that the answer means.
    fn stated_outcome(&self, o: &Observation, response: &Response) -> Option<Outcome> {
        if self.stated.is_empty() {
            return None;
        }
        let place = (&*o.endpoint.host, &*o.endpoint.method, &*o.endpoint.template);
        let location = response.headers.get("location").unwrap_or_default();
        self.stated.meaning(place, response.status, &self.beginning, location)
    }

    pub(super) fn judge_answer(&mut self, o: &mut Observation, response: &Response, head: &AnswerHead<'_>) {
        let session = head.session;
        o.traits.set(Traits::SET_COOKIE, head.sets);
        let anew = session && o.traits.has(Traits::COOKIE);
        o.traits.set(Traits::GIVEN, self.answer.grants || anew);
        let body = &response.body;
        let read = body.gap_at.is_none() && body.bytes.len() as u64 == body.len;
        o.traits.set(Traits::NOTHING_GIVEN, read && !session && !head.sets && self.answer.gives_nothing());
        o.traits.set(Traits::VALIDATOR, head.validator && response.status == 200);
        o.traits.set(Traits::REDIRECT, matches!(response.status, 301 | 302 | 303 | 307 | 308));
        let credentials = o.roles.any(Roles(Roles::LOGIN.0 | Roles::OTP.0));
        let guessed = o.roles.any(Roles(Roles::GIFT_CARD.0 | Roles::COUPON.0 | Roles::OTP.0));
        let said = self.answer.said;
        // Sites give every newcomer a cookie, with the page or the answer that says that it did not work too.
        let page = (self.answer.html || self.answer.refuses) && self.request.secret_seen;
        let tells = said != Said::Nothing || self.answer.refuses;
        let admitted = credentials && session && !(page && (tells || !o.traits.has(Traits::COOKIE)));
        if o.surface == Surface::Robots && (200..300).contains(&response.status) {
            o.robots = self.answer.robots.take();
        }
        if let Some(stated) = self.stated_outcome(o, response) {
            o.outcome = stated;
            return;
        }
        o.outcome = match response.status {
            // The statuses that it holds are of properties, not of the call (RFC 4918 §13).
            207 => Outcome::Success,
            200..=299 if self.answer.grants || admitted => Outcome::Success,
            // The first step of several, as in Matrix's user-interactive authentication.
            401 if self.answer.asks => Outcome::Other,
            429 => Outcome::Limited,
            // SOAP 1.1 answers faults with 500.
            500 if said != Said::Nothing && credentials && self.answer.refuses => Outcome::Denied,
            200..=499 if said == Said::Locked && credentials => Outcome::Locked,
            200..=499 if said == Said::Missing && credentials && response.status != 401 => {
                Outcome::UnknownUser
            }
            423 if credentials => Outcome::Locked,
            402 => Outcome::Declined,
            200..=499 if said == Said::Declined && o.roles.any(PAYS) => Outcome::Declined,
            200..=299 if said == Said::Missing => Outcome::NotFound,
            200..=299 if said != Said::Nothing || self.answer.refuses || guessed && self.answer.nulls > 0 => {
                if credentials {
                    Outcome::Denied
                } else if o.traits.has(Traits::READS) && o.roles.any(Roles::ID_LOOKUP) {
                    // Who asks whether a number is one, and hears that it is none.
                    Outcome::NotFound
                } else {
                    Outcome::Refused
                }
            }
            200..=299 if o.roles.any(Roles::LOGIN) && self.answer.html && !admitted => {
                self.page_after_login(o)
            }
            200..=299 | 304 => Outcome::Success,
            300..=399 => self.redirected(o, response, head),
            // Nothing was tried: the server asks for credentials.
            401 if self.brings_nothing(o, challenges(response)) => Outcome::Other,
            401 => Outcome::Denied,
            403 if credentials => Outcome::Denied,
            404 | 410 => Outcome::NotFound,
            // What was sent with it was not accepted; without a body it is the form of the answer that is not.
            406 if credentials => Outcome::Denied,
            406 if o.traits.has(Traits::BODY) || said != Said::Nothing => Outcome::Refused,
            405 | 406 | 415 | 501 => Outcome::Other,
            400..=499 if credentials && matches!(response.status, 400 | 422) => Outcome::Denied,
            400..=499 => Outcome::Refused,
            500..=599 => Outcome::Error,
            _ => Outcome::Other,
        };
    }

    /// Notes a token that was to be renewed or redeemed and was not taken, as one of those that stand in a field of the head.
    pub(super) fn refused_token(&self, o: &mut Observation) {
        if !matches!(o.status, 400 | 401 | 403 | 410 | 422)
            || o.surface != Surface::Api
            || o.roles.any(Roles::SENSITIVE)
        {
            return;
        }
        let Some(token) = self.request.lone_token() else { return };
        o.traits.insert(Traits::SESSION);
        super::identity::push(&mut o.sessions, Token::of(&self.key, "session", token.as_bytes(), true));
        o.outcome = Outcome::Denied;
    }

    /// True of a request without credentials of any kind; with a body only where the server asks for HTTP's own (`challenged`).
    fn brings_nothing(&self, o: &Observation, challenged: bool) -> bool {
        let known = o.account.is_some() || o.api_key.is_some() || !o.sessions.is_empty();
        let plain = challenged || !o.traits.has(Traits::BODY);
        !known && o.secret.is_none() && !o.traits.has(Traits::KEYED) && plain
    }

    /// A form login that is answered with a page instead of a redirect or a session did not work.
    fn page_after_login(&self, o: &Observation) -> Outcome {
        if o.traits.has(Traits::BODY) && (self.request.secret_seen || o.account.is_some()) {
            Outcome::Denied
        } else {
            Outcome::Success
        }
    }

    fn redirected(&self, o: &Observation, response: &Response, head: &AnswerHead<'_>) -> Outcome {
        let acts = o.traits.has(Traits::BODY);
        let to = response.headers.get("location").unwrap_or_default();
        // `wp-login.php?action=register` leads to `wp-login.php?checkemail=registered`: another page of the same script.
        let query = memchr::memchr(b'?', to).and_then(|at| to.get(at + 1..));
        let on = query.is_some_and(|q| hash::quick(q) != self.query);
        let redirect = Redirect {
            to,
            same: acts && o.location != 0 && o.location == o.path,
            session: head.session,
            sets: head.sets,
            known: o.traits.has(Traits::COOKIE),
            secret: acts && self.request.secret_seen,
        };
        match o.roles {
            r if r.any(Roles::LOGIN) || acts && r.any(Roles::OTP) => redirect.of_credentials(),
            r if acts && r.any(LEADS_BACK) => Redirect { same: true, ..redirect }.of_form(),
            // Where a link is followed that names something: to a place that says that there is no such thing.
            r if !acts
                && (r.any(LOOKS_UP) || o.endpoint.template.contains('{'))
                && redirect.says_failed() =>
            {
                Outcome::NotFound
            }
            r if acts && r.any(LEADS_ON) => Redirect { same: redirect.same && !on, ..redirect }.of_form(),
            _ => Outcome::Other,
        }
    }
}

/// True where an answer asks for credentials of HTTP's own kinds (RFC 9110 §11.6.1).
fn challenges(response: &Response) -> bool {
    const KINDS: [&[u8]; 4] = [b"basic", b"digest", b"negotiate", b"ntlm"];
    let asked = response.headers.get("www-authenticate").unwrap_or_default();
    KINDS.iter().any(|kind| asked.get(..kind.len()).is_some_and(|k| k.eq_ignore_ascii_case(kind)))
}
