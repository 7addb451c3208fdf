//! Words that tell what an endpoint is for and how a call went, in several languages. All lower case.

use super::finder::Finder;
use crate::role::Roles;

const SEGMENTS: &[(&str, Roles)] = &[
    ("login", Roles::LOGIN),
    ("logon", Roles::LOGIN),
    ("log-in", Roles::LOGIN),
    ("signin", Roles::LOGIN),
    ("sign-in", Roles::LOGIN),
    ("sign_in", Roles::LOGIN),
    ("authenticate", Roles::LOGIN),
    ("access-token-create", Roles::LOGIN),
    ("customer-token", Roles::LOGIN),
    ("token-create", Roles::LOGIN),
    ("token-auth", Roles::LOGIN),
    ("create-session", Roles::LOGIN),
    ("anmelden", Roles::LOGIN),
    ("einloggen", Roles::LOGIN),
    ("connexion", Roles::LOGIN),
    ("iniciar-sesion", Roles::LOGIN),
    ("inicio-sesion", Roles::LOGIN),
    ("entrar", Roles::LOGIN),
    ("accedi", Roles::LOGIN),
    ("inloggen", Roles::LOGIN),
    ("logowanie", Roles::LOGIN),
    ("zaloguj", Roles::LOGIN),
    ("logga-in", Roles::LOGIN),
    ("giris", Roles::LOGIN),
    ("se-connecter", Roles::LOGIN),
    ("aanmelden", Roles::LOGIN),
    ("authentification", Roles::LOGIN),
    ("signup", Roles::SIGN_UP),
    ("sign-up", Roles::SIGN_UP),
    ("sign_up", Roles::SIGN_UP),
    ("register", Roles::SIGN_UP),
    ("registration", Roles::SIGN_UP),
    ("create-account", Roles::SIGN_UP),
    ("account-create", Roles::SIGN_UP),
    ("create-customer", Roles::SIGN_UP),
    ("customer-create", Roles::SIGN_UP),
    ("create-user", Roles::SIGN_UP),
    ("user-create", Roles::SIGN_UP),
    ("createaccount", Roles::SIGN_UP),
    ("enroll", Roles::SIGN_UP),
    ("registrieren", Roles::SIGN_UP),
    ("inscription", Roles::SIGN_UP),
    ("registro", Roles::SIGN_UP),
    ("registrarse", Roles::SIGN_UP),
    ("cadastro", Roles::SIGN_UP),
    ("registrazione", Roles::SIGN_UP),
    ("registreren", Roles::SIGN_UP),
    ("rejestracja", Roles::SIGN_UP),
    ("crear-cuenta", Roles::SIGN_UP),
    ("creer-un-compte", Roles::SIGN_UP),
    ("konto-erstellen", Roles::SIGN_UP),
    ("password-reset", Roles::RESET),
    ("reset-password", Roles::RESET),
    ("resetpassword", Roles::RESET),
    ("passwordreset", Roles::RESET),
    ("forgot", Roles::RESET),
    ("recover", Roles::RESET),
    ("lost-password", Roles::RESET),
    ("lostpassword", Roles::RESET),
    ("resendpwd", Roles::RESET),
    ("wachtwoord-vergeten", Roles::RESET),
    ("password-dimenticata", Roles::RESET),
    ("passwort-vergessen", Roles::RESET),
    ("mot-de-passe", Roles::RESET),
    ("olvid", Roles::RESET),
    ("recuperar", Roles::RESET),
    ("recupera-password", Roles::RESET),
    ("wachtwoord-vergeten", Roles::RESET),
    ("haslo-reset", Roles::RESET),
    ("kennwort-vergessen", Roles::RESET),
    ("otp", Roles::OTP),
    ("2fa", Roles::OTP),
    ("mfa", Roles::OTP),
    ("totp", Roles::OTP),
    ("verify-code", Roles::OTP),
    ("verification-code", Roles::OTP),
    ("sms-code", Roles::OTP),
    ("passcode", Roles::OTP),
    ("one-time", Roles::OTP),
    ("checkout", Roles::CHECKOUT),
    ("purchase", Roles::CHECKOUT),
    ("place-order", Roles::CHECKOUT),
    ("buy", Roles::CHECKOUT),
    ("kasse", Roles::CHECKOUT),
    ("comprar", Roles::CHECKOUT),
    ("commander", Roles::CHECKOUT),
    ("booking", Roles::CHECKOUT),
    ("book", Roles::CHECKOUT),
    ("bestellen", Roles::CHECKOUT),
    ("buchen", Roles::CHECKOUT),
    ("reservar", Roles::CART),
    ("reserver", Roles::CART),
    ("reserve", Roles::CART),
    ("reservation", Roles::CART),
    ("reservierung", Roles::CART),
    ("hold", Roles::CART),
    ("cart", Roles::CART),
    ("basket", Roles::CART),
    ("trolley", Roles::CART),
    ("warenkorb", Roles::CART),
    ("panier", Roles::CART),
    ("carrito", Roles::CART),
    ("carrinho", Roles::CART),
    ("carrello", Roles::CART),
    ("winkelwagen", Roles::CART),
    ("koszyk", Roles::CART),
    ("kundvagn", Roles::CART),
    ("giftcard", Roles::GIFT_CARD),
    ("gift-card", Roles::GIFT_CARD),
    ("gift_card", Roles::GIFT_CARD),
    ("voucher", Roles::COUPON),
    ("gutschein", Roles::COUPON),
    ("gift-voucher", Roles::GIFT_CARD),
    ("geschenkgutschein", Roles::GIFT_CARD),
    ("carte-cadeau", Roles::GIFT_CARD),
    ("tarjeta-regalo", Roles::GIFT_CARD),
    ("carta-regalo", Roles::GIFT_CARD),
    ("cadeaubon", Roles::GIFT_CARD),
    ("geschenkkarte", Roles::GIFT_CARD),
    ("coupon", Roles::COUPON),
    ("promo", Roles::COUPON),
    ("discount", Roles::COUPON),
    ("rabatt", Roles::COUPON),
    ("redeem", Roles::COUPON),
    ("search", Roles::SEARCH),
    ("suche", Roles::SEARCH),
    ("recherche", Roles::SEARCH),
    ("buscar", Roles::SEARCH),
    ("find", Roles::SEARCH),
    ("query", Roles::SEARCH),
    ("inventory", Roles::INVENTORY),
    ("stock", Roles::INVENTORY),
    ("availability", Roles::INVENTORY),
    ("available", Roles::INVENTORY),
    ("nearby", Roles::INVENTORY),
    ("store-locator", Roles::INVENTORY),
    ("storelocator", Roles::INVENTORY),
    ("filialen", Roles::INVENTORY),
    ("filialfinder", Roles::INVENTORY),
    ("magasins", Roles::INVENTORY),
    ("tiendas", Roles::INVENTORY),
    ("negozi", Roles::INVENTORY),
    ("winkels", Roles::INVENTORY),
    ("branches", Roles::INVENTORY),
    ("stores", Roles::INVENTORY),
    ("dealers", Roles::INVENTORY),
    ("outlets", Roles::INVENTORY),
    ("standorte", Roles::INVENTORY),
    ("pickup-point", Roles::INVENTORY),
    ("verfuegbarkeit", Roles::INVENTORY),
    ("disponibilite", Roles::INVENTORY),
    ("seats", Roles::INVENTORY),
    ("slots", Roles::INVENTORY),
    ("transfer", Roles::TRANSFER),
    ("payee", Roles::TRANSFER),
    ("beneficiar", Roles::TRANSFER),
    ("withdraw", Roles::TRANSFER),
    ("payout", Roles::TRANSFER),
    ("remit", Roles::TRANSFER),
    ("wire", Roles::TRANSFER),
    ("ueberweisung", Roles::TRANSFER),
    ("virement", Roles::TRANSFER),
    ("transferencia", Roles::TRANSFER),
    ("ofx", Roles::TRANSFER),
    ("profile", Roles::PROFILE),
    ("settings", Roles::PROFILE),
    ("preferences", Roles::PROFILE),
    ("sim", Roles::SIM_SWAP),
    ("esim", Roles::SIM_SWAP),
    ("port-out", Roles::SIM_SWAP),
    ("portout", Roles::SIM_SWAP),
    ("port-in", Roles::SIM_SWAP),
    ("number-port", Roles::SIM_SWAP),
    ("simswap", Roles::SIM_SWAP),
    ("sim-swap", Roles::SIM_SWAP),
    ("payment", Roles::PAYMENT),
    ("pay", Roles::PAYMENT),
    ("charge", Roles::PAYMENT),
    ("card", Roles::PAYMENT),
    ("tokenize", Roles::PAYMENT),
    ("zahlung", Roles::PAYMENT),
    ("paiement", Roles::PAYMENT),
    ("comment", Roles::POSTING),
    ("review", Roles::POSTING),
    ("message", Roles::POSTING),
    ("contact", Roles::POSTING),
    ("post", Roles::POSTING),
    ("reply", Roles::POSTING),
    ("feedback", Roles::POSTING),
    ("vote", Roles::VOTE),
    ("like", Roles::VOTE),
    ("rating", Roles::VOTE),
    ("upvote", Roles::VOTE),
    ("poll", Roles::VOTE),
    ("price", Roles::PRICE),
    ("pricing", Roles::PRICE),
    ("fare", Roles::PRICE),
    ("quote", Roles::PRICE),
    ("rates", Roles::PRICE),
    ("event", Roles::TELEMETRY),
    ("telemetry", Roles::TELEMETRY),
    ("analytics", Roles::TELEMETRY),
    ("collect", Roles::TELEMETRY),
    ("beacon", Roles::TELEMETRY),
    ("metrics", Roles::TELEMETRY),
    ("track", Roles::TELEMETRY),
    // more languages
    ("prihlaseni", Roles::LOGIN),
    ("prihlasit", Roles::LOGIN),
    ("prijava", Roles::LOGIN),
    ("vhod", Roles::LOGIN),
    ("vojti", Roles::LOGIN),
    ("bejelentkezes", Roles::LOGIN),
    ("kirjaudu", Roles::LOGIN),
    ("logg-inn", Roles::LOGIN),
    ("logind", Roles::LOGIN),
    ("authorize", Roles::LOGIN),
    ("autenticar", Roles::LOGIN),
    ("acceder", Roles::LOGIN),
    ("oturum-ac", Roles::LOGIN),
    ("masuk", Roles::LOGIN),
    ("dang-nhap", Roles::LOGIN),
    ("sisselogimine", Roles::LOGIN),
    ("autentificare", Roles::LOGIN),
    ("uye-ol", Roles::SIGN_UP),
    ("uyelik", Roles::SIGN_UP),
    ("kayit", Roles::SIGN_UP),
    ("registrierung", Roles::SIGN_UP),
    ("konto-anlegen", Roles::SIGN_UP),
    ("neukunde", Roles::SIGN_UP),
    ("s-inscrire", Roles::SIGN_UP),
    ("creer-compte", Roles::SIGN_UP),
    ("cadastrar", Roles::SIGN_UP),
    ("criar-conta", Roles::SIGN_UP),
    ("registrati", Roles::SIGN_UP),
    ("registreer", Roles::SIGN_UP),
    ("account-aanmaken", Roles::SIGN_UP),
    ("zarejestruj", Roles::SIGN_UP),
    ("skapa-konto", Roles::SIGN_UP),
    ("registrera", Roles::SIGN_UP),
    ("registrace", Roles::SIGN_UP),
    ("registratsi", Roles::SIGN_UP),
    ("zaregistr", Roles::SIGN_UP),
    ("regisztracio", Roles::SIGN_UP),
    ("rekisteroi", Roles::SIGN_UP),
    ("opprett-konto", Roles::SIGN_UP),
    ("opret-konto", Roles::SIGN_UP),
    ("touroku", Roles::SIGN_UP),
    ("daftar", Roles::SIGN_UP),
    ("dang-ky", Roles::SIGN_UP),
    ("join-now", Roles::SIGN_UP),
    ("onboarding", Roles::SIGN_UP),
    ("sifremi-unuttum", Roles::RESET),
    ("sifre-sifirla", Roles::RESET),
    ("sifre-yenile", Roles::RESET),
    ("passwort-zuruecksetzen", Roles::RESET),
    ("passwort-reset", Roles::RESET),
    ("kennwort-zuruecksetzen", Roles::RESET),
    ("contrasena", Roles::RESET),
    ("esqueci", Roles::RESET),
    ("redefinir-senha", Roles::RESET),
    ("dimenticat", Roles::RESET),
    ("recupero-password", Roles::RESET),
    ("zapomnial", Roles::RESET),
    ("odzyskaj", Roles::RESET),
    ("glomt-losenord", Roles::RESET),
    ("glemt", Roles::RESET),
    ("zapomenut", Roles::RESET),
    ("obnova-hesla", Roles::RESET),
    ("zabyl", Roles::RESET),
    ("vosstanovlen", Roles::RESET),
    ("elfelejtett", Roles::RESET),
    ("unohtu", Roles::RESET),
    ("lupa-password", Roles::RESET),
    ("quen-mat-khau", Roles::RESET),
    ("reset-request", Roles::RESET),
    ("request-reset", Roles::RESET),
    ("sms", Roles::OTP),
    ("tan", Roles::OTP),
    ("send-code", Roles::OTP),
    ("sendcode", Roles::OTP),
    ("request-code", Roles::OTP),
    ("resend-code", Roles::OTP),
    ("verify-phone", Roles::OTP),
    ("phone-verif", Roles::OTP),
    ("verify-otp", Roles::OTP),
    ("verify-sms", Roles::OTP),
    ("two-factor", Roles::OTP),
    ("twofactor", Roles::OTP),
    ("2-step", Roles::OTP),
    ("two-step", Roles::OTP),
    ("dogrulama", Roles::OTP),
    ("bestaetigungscode", Roles::OTP),
    ("doppelte-auth", Roles::OTP),
    ("code-sms", Roles::OTP),
    ("einmalcode", Roles::OTP),
    ("verificar-codigo", Roles::OTP),
    ("codigo-verificacion", Roles::OTP),
    ("activation", Roles::OTP),
    ("activate", Roles::OTP),
    ("serial", Roles::OTP),
    ("license-key", Roles::OTP),
    ("licence-key", Roles::OTP),
    ("product-key", Roles::OTP),
    ("invite-code", Roles::OTP),
    ("pairing-code", Roles::OTP),
    ("siparis", Roles::CHECKOUT),
    ("afrekenen", Roles::CHECKOUT),
    ("finalizar-compra", Roles::CHECKOUT),
    ("finalizar-pedido", Roles::CHECKOUT),
    ("zamowienie", Roles::CHECKOUT),
    ("kassa", Roles::CHECKOUT),
    ("objednavka", Roles::CHECKOUT),
    ("pokladna", Roles::CHECKOUT),
    ("zakaz", Roles::CHECKOUT),
    ("penztar", Roles::CHECKOUT),
    ("beställ", Roles::CHECKOUT),
    ("betal-nu", Roles::CHECKOUT),
    ("koltuk-al", Roles::CHECKOUT),
    ("satin-al", Roles::CHECKOUT),
    ("ordine-conferma", Roles::CHECKOUT),
    ("conferma-ordine", Roles::CHECKOUT),
    ("bestelling", Roles::CHECKOUT),
    ("passer-commande", Roles::CHECKOUT),
    ("sepet", Roles::CART),
    ("winkelmand", Roles::CART),
    ("kosik", Roles::CART),
    ("korzina", Roles::CART),
    ("kosar", Roles::CART),
    ("ostoskori", Roles::CART),
    ("handlekurv", Roles::CART),
    ("indkobskurv", Roles::CART),
    ("varukorg", Roles::CART),
    ("rezervasyon", Roles::CART),
    ("rezervace", Roles::CART),
    ("rezerwacja", Roles::CART),
    ("reserveren", Roles::CART),
    ("prenota", Roles::CART),
    ("prenotazione", Roles::CART),
    ("yoyaku", Roles::CART),
    ("seat-hold", Roles::CART),
    ("hediye-kart", Roles::GIFT_CARD),
    ("hediye-cek", Roles::GIFT_CARD),
    ("vale-presente", Roles::GIFT_CARD),
    ("buono-regalo", Roles::GIFT_CARD),
    ("karta-podarunkowa", Roles::GIFT_CARD),
    ("presentkort", Roles::GIFT_CARD),
    ("gavekort", Roles::GIFT_CARD),
    ("darkovy-poukaz", Roles::GIFT_CARD),
    ("podarochn", Roles::GIFT_CARD),
    ("lahjakortti", Roles::GIFT_CARD),
    ("stored-value", Roles::GIFT_CARD),
    ("kupon", Roles::COUPON),
    ("cupon", Roles::COUPON),
    ("cupom", Roles::COUPON),
    ("cupón", Roles::COUPON),
    ("kortingscode", Roles::COUPON),
    ("buono-sconto", Roles::COUPON),
    ("poukaz", Roles::COUPON),
    ("bonuscode", Roles::COUPON),
    ("bonus-code", Roles::COUPON),
    ("promokod", Roles::COUPON),
    ("rabat", Roles::COUPON),
    ("codigo-descuento", Roles::COUPON),
    ("referral", Roles::COUPON),
    ("arama", Roles::SEARCH),
    ("zoeken", Roles::SEARCH),
    ("busqueda", Roles::SEARCH),
    ("pesquisa", Roles::SEARCH),
    ("ricerca", Roles::SEARCH),
    ("szukaj", Roles::SEARCH),
    ("wyszukiw", Roles::SEARCH),
    ("hledat", Roles::SEARCH),
    ("poisk", Roles::SEARCH),
    ("kereses", Roles::SEARCH),
    ("haku", Roles::SEARCH),
    ("kensaku", Roles::SEARCH),
    ("stok", Roles::INVENTORY),
    ("existencias", Roles::INVENTORY),
    ("estoque", Roles::INVENTORY),
    ("voorraad", Roles::INVENTORY),
    ("dostepnosc", Roles::INVENTORY),
    ("tillganglig", Roles::INVENTORY),
    ("sklad-stav", Roles::INVENTORY),
    ("subeler", Roles::INVENTORY),
    ("magazalar", Roles::INVENTORY),
    ("havale", Roles::TRANSFER),
    ("transferir", Roles::TRANSFER),
    ("bonifico", Roles::TRANSFER),
    ("przelew", Roles::TRANSFER),
    ("overforing", Roles::TRANSFER),
    ("prevod", Roles::TRANSFER),
    ("perevod", Roles::TRANSFER),
    ("atutalas", Roles::TRANSFER),
    ("overboeking", Roles::TRANSFER),
    ("send-money", Roles::TRANSFER),
    ("odeme", Roles::PAYMENT),
    ("bezahlen", Roles::PAYMENT),
    ("zahlen", Roles::PAYMENT),
    ("pago", Roles::PAYMENT),
    ("pagamento", Roles::PAYMENT),
    ("betaling", Roles::PAYMENT),
    ("betalen", Roles::PAYMENT),
    ("platnosc", Roles::PAYMENT),
    ("platba", Roles::PAYMENT),
    ("oplata", Roles::PAYMENT),
    ("fizetes", Roles::PAYMENT),
    ("maksu", Roles::PAYMENT),
    ("betalning", Roles::PAYMENT),
    ("yorum", Roles::POSTING),
    ("iletisim", Roles::POSTING),
    ("bewertung", Roles::POSTING),
    ("kommentar", Roles::POSTING),
    ("kontakt", Roles::POSTING),
    ("nachricht", Roles::POSTING),
    ("gaestebuch", Roles::POSTING),
    ("avis", Roles::POSTING),
    ("commentaire", Roles::POSTING),
    ("livre-d-or", Roles::POSTING),
    ("resena", Roles::POSTING),
    ("comentario", Roles::POSTING),
    ("contacto", Roles::POSTING),
    ("mensaje", Roles::POSTING),
    ("avaliacao", Roles::POSTING),
    ("recension", Roles::POSTING),
    ("commento", Roles::POSTING),
    ("contatt", Roles::POSTING),
    ("reactie", Roles::POSTING),
    ("beoordeling", Roles::POSTING),
    ("komentarz", Roles::POSTING),
    ("opinia", Roles::POSTING),
    ("kommentti", Roles::POSTING),
    ("hodnoceni", Roles::POSTING),
    ("otzyv", Roles::POSTING),
    ("toiawase", Roles::POSTING),
    ("guestbook", Roles::POSTING),
    ("testimonial", Roles::POSTING),
    ("new-topic", Roles::POSTING),
    ("new-thread", Roles::POSTING),
    ("oy", Roles::VOTE),
    ("oyla", Roles::VOTE),
    ("abstimm", Roles::VOTE),
    ("votar", Roles::VOTE),
    ("voto", Roles::VOTE),
    ("vota", Roles::VOTE),
    ("glasov", Roles::VOTE),
    ("golosov", Roles::VOTE),
    ("anket", Roles::VOTE),
    ("umfrage", Roles::VOTE),
    ("sondage", Roles::VOTE),
    ("encuesta", Roles::VOTE),
    ("fiyat", Roles::PRICE),
    ("preis", Roles::PRICE),
    ("prix", Roles::PRICE),
    ("precio", Roles::PRICE),
    ("preco", Roles::PRICE),
    ("prezzo", Roles::PRICE),
    ("prezzi", Roles::PRICE),
    ("prijs", Roles::PRICE),
    ("cena", Roles::PRICE),
    ("tarif", Roles::PRICE),
];

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

/// Words that must be a whole segment (or a plural): as a part of others they mean something else.
const WHOLE: &[&str] = &[
    "sim", "esim", "buy", "book", "pay", "post", "find", "wire", "like", "otp", "2fa", "mfa", "ofx", "card",
    "query", "cart", "slots", "seats", "price", "stock", "event", "reply", "poll", "vote", "fare", "quote",
    "rates", "track", "stores", "dealers", "hold", "sms", "tan", "oy", "kassa", "pago", "avis", "voto",
    "vota", "cena", "stok", "glemt", "kayit", "serial", "vhod", "masuk", "daftar", "zakaz", "maksu", "haku",
    "activate", "rabat", "poisk", "contatt", "referral", "anket", "tarif", "kontakt", "preis", "prix",
    "kupon", "opinia",
];

/// Roles that the words of a path (template) suggest; `state_changing` is false for GET and HEAD.
pub(crate) fn roles_of_path(path: &str, state_changing: bool) -> Roles {
    let mut roles = Roles::NONE;
    for segment in path.split('/').filter(|s| !s.is_empty() && !s.starts_with('{')) {
        let segment = segment.to_ascii_lowercase();
        let segment = segment.split('.').next().unwrap_or_default();
        SEGMENT_WORDS.each(segment.as_bytes(), |n| {
            if let Some((word, role)) = SEGMENTS.get(n)
                && matches(segment, word)
            {
                roles.insert(*role);
            }
        });
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
    if !state_changing {
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

/// Words of failure: those that say that something is not there, that an account is locked, that a payment is declined, and the others.
const ANSWER_WORDS: &[&str] = &[
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
const LOCKED: usize = 50;
const DECLINED: usize = 75;
const FAILED: usize = 91;

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

/// Reads a short text of an answer (the first 4 KiB of it).
pub(crate) fn said(text: &str, scratch: &mut String) -> Said {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blocked_is_not_locked_and_what_is_booked_is_no_telemetry() {
        let mut scratch = String::new();
        assert_eq!(said("Your account is locked", &mut scratch), Said::Locked);
        assert_ne!(said("Cookies are blocked", &mut scratch), Said::Locked);
        for (text, means) in [
            ("Geçersiz kart kodu", Said::Failed),
            ("Rezervasyon bulunamadı", Said::Missing),
            ("Kart bankası tarafından reddedildi", Said::Declined),
            ("Неверный пароль", Said::Failed),
            ("Účet je zablokován", Said::Locked),
        ] {
            assert_eq!(said(text, &mut scratch), means, "{text}");
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
        for (path, role) in [
            ("/hediye-karti/sorgula", Roles::GIFT_CARD),
            ("/sifremi-unuttum", Roles::RESET),
            ("/uye-ol", Roles::SIGN_UP),
            ("/koszyk/platnosc", Roles(Roles::CART.0 | Roles::PAYMENT.0)),
            ("/api/v1/sms/send", Roles::OTP),
            ("/api/v1/serials", Roles::OTP),
            ("/prihlaseni", Roles::LOGIN),
        ] {
            assert_eq!(roles(path), role, "{path}");
        }
        assert_eq!(roles("/api/v1/cart/items"), Roles::CART);
        assert!(roles("/api/giftcards/{code}/balance").any(Roles::GIFT_CARD));
        assert_eq!(roles("/api/sim/swap"), Roles::SIM_SWAP);
        assert_eq!(roles("/simple/similar"), Roles::NONE);
        assert!(roles_of_path("/inventory/search", false).any(Roles::INVENTORY));
        assert_eq!(roles_of_path("/login", false), Roles::NONE);
    }

    #[test]
    fn answers_tell_how_it_went() {
        let mut s = String::new();
        assert_eq!(said("Invalid user name or password", &mut s), Said::Failed);
        assert_eq!(said("Benutzer nicht gefunden", &mut s), Said::Missing);
        assert_eq!(said("UNGÜLTIGER Code", &mut s), Said::Failed);
        assert_eq!(said("welcome back", &mut s), Said::Nothing);
        let of = |from: usize| ANSWER_WORDS.get(from).copied();
        assert_eq!(
            (of(LOCKED), of(DECLINED), of(FAILED)),
            (Some("locked"), Some("declined"), Some("invalid"))
        );
    }

    #[test]
    fn answers_tell_why_in_several_languages() {
        let mut s = String::new();
        for text in [
            "Ihr Konto ist gesperrt",
            "Compte verrouillé",
            "Cuenta bloqueada",
            "ACCOUNT_LOCKED",
            "Konto zablokowane",
        ] {
            assert_eq!(said(text, &mut s), Said::Locked, "{text}");
        }
        for text in ["Your card was declined", "Zahlung abgelehnt", "Tarjeta rechazada", "Carta rifiutata"] {
            assert_eq!(said(text, &mut s), Said::Declined, "{text}");
        }
        for text in
            ["Utilisateur inconnu", "El usuario no existe", "USER_NOT_FOUND", "Deze gebruiker bestaat niet"]
        {
            assert_eq!(said(&text.replace('_', " "), &mut s), Said::Missing, "{text}");
        }
        for text in ["Mot de passe invalide", "密码错误", "Felaktigt lösenord", "Identifiants incorrects"]
        {
            assert_eq!(said(text, &mut s), Said::Failed, "{text}");
        }
    }
}
