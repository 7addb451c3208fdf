//! What fields hold, by their names.

use smallvec::SmallVec;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Account,
    Mail,
    Secret,
    Code,
    Card,
    Id,
    /// What a thing goes by among people: the number of a booking, an order, a prescription.
    Reference,
    Number,
    Amount,
    Receiver,
    /// A person's name or date of birth, as sign-ups ask for it.
    Person,
    PageSize,
    Other,
}

/// What a field holds, by its name, else by its value's shape.
pub(super) fn field_of(key: &str, text: &str) -> Field {
    field_named(classify(key), text)
}

/// The same where it is known what the name says ([`classify`]).
pub(super) fn field_named(named: Field, text: &str) -> Field {
    match named {
        Field::Other | Field::Person if is_mail(text) => Field::Mail,
        Field::Other if is_called(text) => Field::Mail,
        Field::Other if is_long_number(text) => Field::Number,
        field => field,
    }
}

fn is_mail(text: &str) -> bool {
    text.len() <= 128
        && text.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty()
                && domain.contains('.')
                && !text.bytes().any(|b| b.is_ascii_whitespace() || b == b'/' || b == b':')
        })
}

/// A phone number as it is dialled from abroad (E.164), whatever its field is called.
fn is_called(text: &str) -> bool {
    let Some(number) = text.strip_prefix('+') else { return false };
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (8..=15).contains(&digits)
        && number.len() <= 24
        && number.bytes().all(|b| b.is_ascii_digit() || b" -()./".contains(&b))
}

pub(super) fn is_pin(code: &str) -> bool {
    (3..=8).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn is_long_number(text: &str) -> bool {
    (10..=22).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// What a field of this name holds.
pub(super) fn classify(key: &str) -> Field {
    let mut low = [0u8; 48];
    let n = key.len().min(48);
    for (to, from) in low.iter_mut().zip(key.bytes()) {
        *to = from.to_ascii_lowercase();
    }
    let low = low.get(..n).unwrap_or_default();
    match plainly(low) {
        Field::Other => {}
        field => return field,
    }
    let words = in_words(key);
    match plainly(&words) {
        Field::Other => decorated(low),
        field => field,
    }
}

/// `confirmPassword` as `confirm_password`.
fn in_words(key: &str) -> SmallVec<[u8; 64]> {
    let mut words = SmallVec::new();
    let mut small = false;
    for byte in key.bytes().take(48) {
        if small && byte.is_ascii_uppercase() {
            words.push(b'_');
        }
        small = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        words.push(byte.to_ascii_lowercase());
    }
    words
}

/// Who is to have money: `to_account`, `payee_iban`, `recipient_phone`. Where it comes from is no receiver.
fn receives(low: &[u8]) -> bool {
    const WHO: [&[u8]; 8] = [
        b"to_",
        b"target_",
        b"recipient_",
        b"receiver_",
        b"beneficiary_",
        b"payee_",
        b"creditor_",
        b"destination_",
    ];
    const WHAT: [&[u8]; 16] = [
        b"account",
        b"account_id",
        b"account_number",
        b"member",
        b"member_id",
        b"member_number",
        b"user",
        b"user_id",
        b"customer",
        b"customer_id",
        b"wallet",
        b"wallet_id",
        b"card",
        b"phone",
        b"msisdn",
        b"email",
    ];
    const OWN: [&[u8]; 7] = [b"from", b"source", b"sender", b"debtor", b"own", b"my", b"payer"];
    let known = |what: &[u8]| WHAT.contains(&what);
    WHO.iter().any(|who| low.strip_prefix(*who).is_some_and(known))
        || low.ends_with(b"iban") && !OWN.iter().any(|own| low.starts_with(own))
}

/// `rx_number`, `booking_reference`, `invoice_no`; but neither where somebody lives nor which of a row.
fn is_reference(low: &[u8]) -> bool {
    const ENDS: [&[u8]; 7] = [b"_number", b"_no", b"_nr", b"_num", b"_ref", b"_reference", b"_locator"];
    const OF_PLACES: [&[u8]; 18] = [
        b"house",
        b"street",
        b"building",
        b"apartment",
        b"flat",
        b"floor",
        b"unit",
        b"suite",
        b"page",
        b"line",
        b"row",
        b"seat",
        b"version",
        b"build",
        b"sequence",
        b"seq",
        b"step",
        b"attempt",
    ];
    matches!(low, b"reference" | b"pnr" | b"locator" | b"barcode")
        || ENDS
            .iter()
            .filter_map(|end| low.strip_suffix(*end))
            .any(|what| what.len() >= 2 && !OF_PLACES.iter().any(|place| what.ends_with(place)))
}

/// A name as frameworks write it: `user[password]`, `_username`, `j_password`, `ctl00$main$txtEmail`, `LoginForm.email`.
fn decorated(low: &[u8]) -> Field {
    const BEFORE: &[&[u8]] = &[
        b"_",
        b"os_",
        b"j_",
        b"txt",
        b"tb",
        b"input",
        b"form",
        b"login",
        b"signin",
        b"auth",
        b"user",
        b"customer",
        b"account",
        b"member",
        b"your",
        b"new",
        b"reg",
        b"inp",
        b"fld",
        b"wp",
        b"f_",
        b"the",
    ];
    let mut core = low.strip_suffix(b"]").unwrap_or(low);
    core = core.rsplit(|b| matches!(b, b'[' | b'.' | b'$' | b':' | b'/')).next().unwrap_or(core);
    if core.len() < low.len() {
        let field = plainly(core);
        if field != Field::Other {
            return field;
        }
    }
    // `registration-email`: a form among others on a page.
    if let Some((_, last)) = low.iter().rposition(|b| *b == b'-').and_then(|at| low.split_at_checked(at + 1))
        && last != b"agent"
        && let field @ (Field::Account | Field::Mail | Field::Secret) = plainly(last)
    {
        return field;
    }
    for _ in 0..3 {
        let cut = BEFORE.iter().find_map(|start| core.strip_prefix(*start)).filter(|rest| rest.len() >= 3);
        let Some(rest) = cut else { break };
        let signs_in = [&b"login"[..], b"wp", b"signin", b"auth", b"member", b"os_", b"j_"]
            .iter()
            .any(|s| core.starts_with(s));
        core = rest.strip_prefix(b"_").or_else(|| rest.strip_prefix(b"-")).unwrap_or(rest);
        if signs_in && core == b"name" {
            return Field::Account;
        }
        // What is left of `user_id` or `account_code` says less than the whole.
        match plainly(core) {
            field @ (Field::Account | Field::Mail | Field::Secret) if core != b"agent" => return field,
            _ => {}
        }
    }
    Field::Other
}

fn plainly(low: &[u8]) -> Field {
    match low {
        b"username" | b"user" | b"login" | b"user_name" | b"userid" | b"user_id" | b"account" | b"agent"
        | b"uname" | b"loginid" | b"login_id" | b"benutzername" | b"benutzer" | b"nutzer" | b"usuario"
        | b"utilisateur" | b"nutzername" | b"nombre_usuario" | b"identifiant" | b"gebruikersnaam"
        | b"uzytkownik" | b"username_or_email" | b"identifier" | b"handle" | b"log" | b"usr"
        | b"screen_name" | b"nickname" | b"kennung" | b"kullanici" | b"kullanici_adi" | b"kullaniciadi"
        | b"nazwa" | b"uzivatel" | b"brukernavn" | b"brugernavn" | b"anvandarnamn" | b"kayttaja"
        | b"felhasznalo" | b"utente" | b"nome_utente" | b"usuario_id" | b"logonid" | b"member_id"
        | b"kundennummer" | b"customer_number" | b"member_number" | b"membership_number" | b"logname" => {
            Field::Account
        }
        b"email" | b"mail" | b"e-mail" | b"email_address" | b"emailaddress" | b"phone" | b"phone_number"
        | b"mobile" | b"telefon" | b"correo" | b"tel" | b"telephone" | b"phonenumber" | b"eposta"
        | b"e-posta" | b"e_posta" | b"courriel" | b"telefono" | b"handynummer" | b"handy" | b"handynr"
        | b"mobil" | b"mobilnummer" | b"movil" | b"celular" | b"cellphone" | b"cell" | b"cell_phone"
        | b"mobile_number" | b"mobilenumber" | b"phone_no" | b"phoneno" | b"portable" | b"cellulare"
        | b"puhelin" | b"telefoon" | b"rufnummer" | b"gsm" => Field::Mail,
        b"password"
        | b"pass"
        | b"passwd"
        | b"pwd"
        | b"passwort"
        | b"contrasena"
        | b"motdepasse"
        | b"senha"
        | b"password2"
        | b"password_confirmation"
        | b"confirm_password"
        | b"passphrase"
        | b"user_password"
        | b"secret"
        | b"phrase"
        | b"kennwort"
        | b"clave"
        | b"mot_de_passe"
        | b"mdp"
        | b"parola"
        | b"haslo"
        | b"wachtwoord"
        | b"losenord"
        | b"adgangskode"
        | b"sifre"
        | b"psw"
        | b"userpass"
        | b"password1"
        | b"current_password"
        | b"plainpassword"
        | b"parol"
        | b"heslo"
        | b"jelszo"
        | b"salasana"
        | b"kodeord"
        | b"passord"
        | b"losen"
        | b"sandi"
        | b"pw" => Field::Secret,
        b"code" | b"otp" | b"pin" | b"user_pin" | b"userpin" | b"mpin" | b"token" | b"mfa_code"
        | b"passcode" | b"coupon" | b"voucher" | b"promo" | b"promo_code" | b"coupon_code" | b"gift_card"
        | b"giftcard" | b"gift_card_code" | b"verification_code" | b"sms_code" | b"one_time_code"
        | b"redeem_code" | b"discount_code" | b"tan" | b"kod" | b"kode" | b"codigo" | b"codice"
        | b"kupon" | b"cupon" | b"gutschein" | b"gutscheincode" | b"serial" | b"serial_number"
        | b"license_key" | b"licence_key" | b"product_key" | b"activation_code" | b"invite"
        | b"invite_code" | b"referral_code" | b"bonuscode" | b"kart_kodu" | b"couponcode" | b"promocode"
        | b"vouchercode" | b"card_code" | b"onetimecode" => Field::Code,
        b"card_number" | b"cardnumber" | b"card" | b"pan" | b"cc_number" | b"ccnumber" | b"cc"
        | b"kartno" | b"kart_no" | b"kartnummer" | b"kartennummer" | b"numero_tarjeta" | b"numerotarjeta"
        | b"numero_carte" | b"numcarte" | b"numero_carta" | b"card_no" | b"cardno" | b"card_num"
        | b"cardnum" | b"ccnum" | b"kaartnummer" => Field::Card,
        b"amount" | b"betrag" | b"montant" | b"importe" | b"value" => Field::Amount,
        b"payee" | b"payee_id" | b"beneficiary" | b"to" | b"to_account" | b"iban" | b"recipient"
        | b"destination" | b"to_account_id" | b"target_account" => Field::Receiver,
        b"name" | b"first_name" | b"firstname" | b"last_name" | b"lastname" | b"full_name" | b"fullname"
        | b"given_name" | b"givenname" | b"family_name" | b"familyname" | b"surname" | b"forename"
        | b"display_name" | b"displayname" | b"vorname" | b"nachname" | b"prenom" | b"nom" | b"nombre"
        | b"apellido" | b"apellidos" | b"nome" | b"cognome" | b"sobrenome" | b"imie" | b"nazwisko"
        | b"fornavn" | b"fornamn" | b"voornaam" | b"birthdate" | b"birth_date" | b"birthday" | b"dob"
        | b"date_of_birth" | b"dateofbirth" | b"geburtsdatum" => Field::Person,
        b"limit" | b"per_page" | b"page_size" | b"pagesize" | b"first" => Field::PageSize,
        b"id" | b"sku" | b"msisdn" | b"subscriber" | b"item" | b"product" | b"slug" | b"zip" | b"postal" => {
            Field::Id
        }
        _ if receives(low) => Field::Receiver,
        _ if is_reference(low) => Field::Reference,
        _ if low.ends_with(b"_id") || low.ends_with(b"id") && low.len() <= 12 => Field::Id,
        _ => Field::Other,
    }
}

/// A few of the mail services whose addresses nobody keeps.
pub(crate) fn is_disposable(domain: &str) -> bool {
    const DOMAINS: &[&str] = &[
        "mailinator.com",
        "yopmail.com",
        "guerrillamail.com",
        "10minutemail.com",
        "temp-mail.org",
        "tempmail.com",
        "trashmail.com",
        "sharklasers.com",
        "getnada.com",
        "maildrop.cc",
        "dispostable.com",
        "throwawaymail.com",
        "fakeinbox.com",
        "mintemail.com",
        "moakt.com",
        "mohmal.com",
        "emailondeck.com",
        "tempr.email",
        "discard.email",
        "spamgourmet.com",
        "mailnesia.com",
        "mytemp.email",
        "burnermail.io",
        "33mail.com",
        "inboxkitten.com",
    ];
    DOMAINS.iter().any(|d| domain.eq_ignore_ascii_case(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_through_what_frameworks_put_around_them() {
        for (name, field) in [
            ("user[password]", Field::Secret),
            ("_username", Field::Account),
            ("j_password", Field::Secret),
            ("ctl00$main$txtEmail", Field::Mail),
            ("LoginForm.email", Field::Mail),
            ("os_username", Field::Account),
            ("loginPassword", Field::Secret),
            ("user_id", Field::Account),
            ("user_agent", Field::Other),
            ("form_id", Field::Id),
            ("registration-password1", Field::Secret),
            ("registration-email", Field::Mail),
            ("user-agent", Field::Other),
            ("zip-code", Field::Other),
            ("colour", Field::Other),
            ("confirmPassword", Field::Secret),
            ("customerNumber", Field::Account),
            ("verificationCode", Field::Code),
            ("toAccount", Field::Receiver),
            ("payeeIban", Field::Receiver),
            ("toMember", Field::Receiver),
            ("beneficiary_account_number", Field::Receiver),
            ("fromIban", Field::Other),
            ("fromAccount", Field::Other),
            ("toDate", Field::Other),
            ("toCity", Field::Other),
            ("newsletter", Field::Other),
            ("rxNumber", Field::Reference),
            ("bookingReference", Field::Reference),
            ("invoice_no", Field::Reference),
            ("houseNumber", Field::Other),
            ("cardNumber", Field::Card),
        ] {
            assert_eq!(classify(name), field, "{name}");
        }
    }
}
