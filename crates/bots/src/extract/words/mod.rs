//! Words that tell what an endpoint is for and how a call went, in several languages. All lower case.

mod answers;
mod segments;

pub(crate) use self::answers::{Hearing, Said};
use self::segments::{SEGMENTS, WHOLE};
use super::finder::Finder;
use crate::role::Roles;

static SEGMENT_WORDS: Finder<8> = {
    const WORDS: [&str; SEGMENTS.len()] = {
        let mut words = [""; SEGMENTS.len()];
        let mut at = 0;
        while at < words.len() {
            words[at] = SEGMENTS[at].0;
            at += 1;
        }
        words
    };
    Finder::new(&WORDS)
};

/// Roles that the words of a path (template) suggest; `state_changing` is false for GET and HEAD.
pub(crate) fn roles_of_path(path: &str, state_changing: bool) -> Roles {
    let mut roles = Roles::NONE;
    let method = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let mut before = String::new();
    for segment in path.split('/').filter(|s| !s.is_empty() && !s.starts_with('{')) {
        let whole = segment.to_ascii_lowercase();
        let mut parts = whole.split('.');
        let name = parts.next().unwrap_or_default();
        roles_of_word(name, &mut roles);
        if state_changing {
            // `/password/reset`, `/gift/card`: one word in two segments.
            before.push('-');
            before.push_str(name);
            roles_of_word(&before, &mut roles);
            before.clear();
            before.push_str(name);
        }
        if state_changing && std::ptr::eq(segment, method) {
            // `/rpc/cart.reserve`: a method behind its service. Of extensions none says anything.
            parts.filter(|p| p.len() >= 3 && !is_extension(p)).for_each(|p| roles_of_word(p, &mut roles));
            // `/shop.Tickets/HoldSeat`: the verb stands in the name of the method alone.
            if !segment.contains(['.', '-', '_']) && has_humps(segment) {
                roles_of_word(&split_humps(segment), &mut roles);
            }
        }
    }
    if roles.any(Roles::RESET) {
        roles.remove(Roles::LOGIN);
    }
    if roles.any(Roles::COUPON)
        && path.split('/').any(|s| matches!(s, "balance" | "saldo" | "guthaben" | "solde"))
    {
        // A coupon has no balance.
        roles.remove(Roles::COUPON);
        roles.insert(Roles::GIFT_CARD);
    }
    // `/cart/code`: what is shown at a till to pay less.
    let code = matches!(method, "code" | "codes" | "apply-code" | "kod" | "codigo" | "codice" | "kode");
    if state_changing && code && roles.any(Roles(Roles::CART.0 | Roles::CHECKOUT.0)) {
        roles.remove(Roles(Roles::CART.0 | Roles::CHECKOUT.0));
        roles.insert(Roles::COUPON);
    }
    if roles.any(Roles::GIFT_CARD) {
        roles.remove(Roles(Roles::PAYMENT.0 | Roles::COUPON.0));
    }
    if roles.any(Roles::CHECKOUT) {
        // `/reservations/{id}/checkout`: what was held is bought.
        let held = |s: &str| s.to_ascii_lowercase().contains("reserv");
        roles.0 &= if path.split('/').any(held) { !Roles::CART.0 } else { u32::MAX };
    }
    if roles.any(Roles::SENSITIVE) {
        // `/events/{id}/reservations`: what is booked is no telemetry.
        roles.remove(Roles::TELEMETRY);
    }
    // Who follows an invitation shows its code; who sends one has none.
    const INVITES: [&str; 12] = [
        "invite",
        "invites",
        "invitation",
        "invitations",
        "einladung",
        "davet",
        "parrainage",
        "invito",
        "convite",
        "zaproszenie",
        "pozvanka",
        "uitnodiging",
    ];
    let code = |s: &str| {
        s.starts_with('{') || s.len() >= 5 && s.bytes().any(|b| b.is_ascii_digit()) && !s.contains('.')
    };
    let named = path.rsplit('/').find(|s| !s.is_empty()).is_some_and(code);
    // `/invites/{code}`, and `/invites/accept` with the code in the body.
    let accepts =
        matches!(method, "accept" | "redeem" | "claim" | "join" | "use" | "verify" | "check" | "validate");
    let shows = if state_changing { accepts } else { named };
    if shows && path.split('/').any(|s| INVITES.contains(&s)) {
        roles.insert(Roles::COUPON);
    }
    if !state_changing {
        // Who reads a list of messages or of serials guesses no code.
        const LISTS: [&str; 6] = ["sms", "serial", "serials", "tan", "activate", "activation"];
        if roles.any(Roles::OTP) && path.split('/').any(|s| LISTS.contains(&s)) {
            roles.remove(Roles::OTP);
        }
        // Events that are read are what a calendar or a ticket shop has.
        if roles.any(Roles::TELEMETRY) && path.split('/').any(|s| matches!(s, "event" | "events")) {
            roles.remove(Roles::TELEMETRY);
        }
        let acts = Roles::SIGN_UP.0 | Roles::RESET.0 | Roles::CHECKOUT.0 | Roles::CART.0 | Roles::TRANSFER.0;
        let acts =
            acts | Roles::SIM_SWAP.0 | Roles::PAYMENT.0 | Roles::POSTING.0 | Roles::VOTE.0 | Roles::LOGIN.0;
        roles.remove(Roles(acts));
    }
    roles
}

fn roles_of_word(segment: &str, roles: &mut Roles) {
    SEGMENT_WORDS.each(segment.as_bytes(), |n| {
        if let Some((word, role)) = SEGMENTS.get(n)
            && matches(segment, word)
        {
            roles.insert(*role);
        }
    });
}

/// Extensions of scripts and of formats.
fn is_extension(part: &str) -> bool {
    const SCRIPTS: [&str; 14] = [
        "php", "php5", "asp", "aspx", "ashx", "asmx", "jsp", "jspx", "cgi", "html", "json", "xml", "action",
        "svc",
    ];
    SCRIPTS.contains(&part)
}

fn has_humps(name: &str) -> bool {
    name.as_bytes()
        .windows(2)
        .any(|w| matches!(w, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()))
}

/// `HoldSeat` as `hold-seat`.
fn split_humps(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && small {
            words.push('-');
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// Roles that the name of an operation suggests: `mutation signIn`, `query promoCode`, `account.register`.
pub(crate) fn roles_of_operation(operation: &str, state_changing: bool) -> Roles {
    let name = operation.split_once(' ').map_or(operation, |(_, name)| name);
    let mut path = String::with_capacity(name.len() + 8);
    let mut small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && small {
            path.push('-');
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        path.push(match c {
            '.' | ':' => '/',
            '_' => '-',
            c => c.to_ascii_lowercase(),
        });
    }
    roles_of_path(&path, state_changing)
}

/// Roles that the name of an action suggests: `login`, `user.login`, `account/register`, `user_login_form`.
pub(crate) fn roles_of_action(action: &str, state_changing: bool) -> Roles {
    let path: String = action.chars().map(|c| if matches!(c, '.' | ':' | '\\') { '/' } else { c }).collect();
    let mut roles = roles_of_path(&path, state_changing);
    // Of an action only what it is that must be guarded: `search` and the like say nothing sure.
    let sure =
        Roles::LOGIN.0 | Roles::SIGN_UP.0 | Roles::RESET.0 | Roles::OTP.0 | Roles::CHECKOUT.0 | Roles::CART.0;
    roles.0 &= sure | Roles::GIFT_CARD.0 | Roles::COUPON.0 | Roles::TRANSFER.0 | Roles::PAYMENT.0;
    roles
}

fn matches(segment: &str, word: &str) -> bool {
    if segment == word {
        return true;
    }
    if let Some(rest) = segment.strip_prefix(word) {
        if rest == "s" {
            return true;
        }
        if WHOLE.contains(&word) {
            return rest.starts_with(['-', '_']);
        }
        return true;
    }
    !WHOLE.contains(&word) && word.len() >= 5 && segment.contains(word)
        || segment.split(['-', '_']).any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::answers::{ANSWER_WORDS, DECLINED, FAILED, LOCKED};
    use super::*;

    #[test]
    fn what_is_blocked_is_not_locked_and_what_is_booked_is_no_telemetry() {
        let mut hearing = Hearing::default();
        assert_eq!(hearing.said("Your account is locked"), Said::Locked);
        assert_ne!(hearing.said("Cookies are blocked"), Said::Locked);
        for (text, means) in [
            ("Geçersiz kart kodu", Said::Failed),
            ("Rezervasyon bulunamadı", Said::Missing),
            ("Kart bankası tarafından reddedildi", Said::Declined),
            ("Неверный пароль", Said::Failed),
            ("Účet je zablokován", Said::Locked),
        ] {
            assert_eq!(hearing.said(text), means, "{text}");
        }
        assert!(roles_of_path("/v1/events", true).any(Roles::TELEMETRY));
        assert!(!roles_of_path("/v1/events", false).any(Roles::TELEMETRY));
        assert!(!roles_of_path("/events/{id}/checkout", true).any(Roles::TELEMETRY));
    }

    #[test]
    fn actions_tell_their_roles() {
        for (action, role) in [
            ("login", Roles::LOGIN),
            ("user.login", Roles::LOGIN),
            ("account/register", Roles::SIGN_UP),
            ("user_login_form", Roles::LOGIN),
            ("lostpassword", Roles::RESET),
            ("edit", Roles::NONE),
            ("search", Roles::NONE),
        ] {
            assert_eq!(roles_of_action(action, true), role, "{action}");
        }
    }

    #[test]
    fn operations_tell_their_roles() {
        for (operation, role) in [
            ("mutation SignIn", Roles::LOGIN),
            ("mutation customerAccessTokenCreate", Roles::LOGIN),
            ("mutation requestPasswordReset", Roles::RESET),
            ("query PromoCode", Roles::COUPON),
            ("mutation redeem_voucher", Roles::COUPON),
            ("account.register", Roles::SIGN_UP),
            ("query Me", Roles::NONE),
        ] {
            assert_eq!(roles_of_operation(operation, !operation.starts_with("query")), role, "{operation}");
        }
    }

    #[test]
    fn paths_tell_their_roles() {
        let roles = |p: &str| roles_of_path(p, true);
        assert_eq!(roles("/api/v1/login"), Roles::LOGIN);
        assert_eq!(roles("/users/v1/register"), Roles::SIGN_UP);
        assert_eq!(roles("/api/v1/password-reset"), Roles::RESET);
        assert_eq!(roles("/v1/otp/verify"), Roles::OTP);
        assert_eq!(roles("/konto/anmelden"), Roles::LOGIN);
        assert_eq!(roles("/warenkorb/gutschein"), Roles(Roles::CART.0 | Roles::COUPON.0));
        assert_eq!(roles("/vouchers/{code}/balance"), Roles::GIFT_CARD);
        assert_eq!(roles("/events/{id}/reservations"), Roles::CART);
        assert_eq!(roles("/reservations/{id}/checkout"), Roles::CHECKOUT);
        assert_eq!(roles("/kasse"), Roles::CHECKOUT);
        assert_eq!(roles_of_path("/serials/{id}", false), Roles::NONE);
        for (path, role) in [
            ("/hediye-karti/sorgula", Roles::GIFT_CARD),
            ("/sifremi-unuttum", Roles::RESET),
            ("/uye-ol", Roles::SIGN_UP),
            ("/koszyk/platnosc", Roles(Roles::CART.0 | Roles::PAYMENT.0)),
            ("/api/v1/sms/send", Roles::OTP),
            ("/api/v1/serials", Roles::OTP),
            ("/prihlaseni", Roles::LOGIN),
            ("/oauth2/authorize", Roles::NONE),
            ("/panier/code", Roles::COUPON),
            ("/countries/code", Roles::NONE),
            ("/mot-de-passe/oubli", Roles::RESET),
            ("/v/password/reset", Roles::RESET),
            ("/v1/gift/cards", Roles::GIFT_CARD),
            ("/v/invites/accept", Roles::COUPON),
            ("/v/appointments", Roles::CART),
            ("/terminals/status", Roles::NONE),
            ("/apps/store-credit/cashout", Roles::TRANSFER),
        ] {
            assert_eq!(roles(path), role, "{path}");
        }
        assert_eq!(roles("/api/v1/cart/items"), Roles::CART);
        assert!(roles("/api/giftcards/{code}/balance").any(Roles::GIFT_CARD));
        assert_eq!(roles("/api/sim/swap"), Roles::SIM_SWAP);
        assert_eq!(roles("/simple/similar"), Roles::NONE);
        assert!(roles_of_path("/inventory/search", false).any(Roles::INVENTORY));
        assert_eq!(roles_of_path("/login", false), Roles::NONE);
        assert_eq!(roles_of_path("/davet/{davet}", false), Roles::COUPON);
        assert_eq!(roles_of_path("/invitations", false), Roles::NONE);
        assert_eq!(roles_of_path("/password/reset", false), Roles::NONE);
        assert_eq!(roles_of_path("/teams/{id}/invitations", true), Roles::NONE);
    }

    #[test]
    fn answers_tell_how_it_went() {
        let mut hearing = Hearing::default();
        assert_eq!(hearing.said("Invalid user name or password"), Said::Failed);
        assert_eq!(hearing.said("Benutzer nicht gefunden"), Said::Missing);
        assert_eq!(hearing.said("UNGÜLTIGER Code"), Said::Failed);
        assert_eq!(hearing.said("welcome back"), Said::Nothing);
        let of = |from: usize| ANSWER_WORDS.get(from).copied();
        assert_eq!(
            (of(LOCKED), of(DECLINED), of(FAILED)),
            (Some("locked"), Some("declined"), Some("invalid"))
        );
    }

    #[test]
    fn answers_tell_why_in_several_languages() {
        let mut hearing = Hearing::default();
        for text in [
            "Ihr Konto ist gesperrt",
            "Compte verrouillé",
            "Cuenta bloqueada",
            "ACCOUNT_LOCKED",
            "Konto zablokowane",
        ] {
            assert_eq!(hearing.said(text), Said::Locked, "{text}");
        }
        for text in ["Your card was declined", "Zahlung abgelehnt", "Tarjeta rechazada", "Carta rifiutata"] {
            assert_eq!(hearing.said(text), Said::Declined, "{text}");
        }
        for text in
            ["Utilisateur inconnu", "El usuario no existe", "USER_NOT_FOUND", "Deze gebruiker bestaat niet"]
        {
            assert_eq!(hearing.said(&text.replace('_', " ")), Said::Missing, "{text}");
        }
        for text in ["Mot de passe invalide", "密码错误", "Felaktigt lösenord", "Identifiants incorrects"]
        {
            assert_eq!(hearing.said(text), Said::Failed, "{text}");
        }
    }

    /// Texts of one slot take each other's place; each still says what it says.
    #[test]
    fn what_was_heard_before_changes_nothing() {
        let mut hearing = Hearing::default();
        let texts: Vec<String> = (0..2_000)
            .map(|n| format!("{} {n}", if n % 3 == 0 { "wrong code" } else { "all is well" }))
            .collect();
        for _ in 0..2 {
            for (n, text) in texts.iter().enumerate() {
                let said = if n % 3 == 0 { Said::Failed } else { Said::Nothing };
                assert_eq!(hearing.said(text), said, "{text}");
            }
        }
        assert_eq!(hearing.said(""), Said::Nothing);
        assert_eq!(hearing.said(&format!("{}wrong", "a ".repeat(90))), Said::Failed);
    }
}
