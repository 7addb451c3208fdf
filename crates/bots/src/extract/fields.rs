//! Fields of bodies: credentials, codes and ids that a request carries, and what an answer says about it.

use sidetap_wire::body::{Location, Scalar};

use smallvec::SmallVec;

use super::words;
use crate::hash::Mix;
use crate::role::Roles;

/// Fields that make the fingerprint of a body.
const LISTED: usize = 16;

/// Different secrets kept of one request.
const BATCH: usize = 64;

/// What the body of a request carries. Raw values live here only until the exchange is finished.
#[derive(Debug, Default)]
pub(crate) struct RequestFields {
    pub(crate) account: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) secret_seen: bool,
    pub(crate) code: Option<String>,
    pub(crate) id: Option<String>,
    /// A long number beside a code: a gift card with its PIN.
    pub(crate) number: Option<String>,
    pub(crate) spaced: bool,
    pub(crate) introspection: bool,
    pub(crate) page_size: u32,
    /// First byte of the body, 0 where there is none.
    begins: u8,
    template: Mix,
    /// Fields that are in the template.
    listed: SmallVec<[u32; LISTED]>,
    fields: u32,
    /// Different secrets after the first.
    more: SmallVec<[String; 2]>,
    secrets: u32,
    mail: bool,
    card: bool,
    amount: bool,
    receiver: bool,
    /// What a field that names the action asks for.
    asked: Roles,
    /// The first texts that remote procedures are called with (XML-RPC, JSON-RPC): their parameters have places, not names. Each
    /// with the number of the call in the request.
    placed: SmallVec<[(u32, String); 2]>,
    remote: bool,
    /// Calls that stand in another (`system.multicall`), and whether the next text is the name of one.
    nested: u32,
    names_nested: bool,
    /// Values of `u` and `p`, as some forms name them: told by the action that is asked for.
    short: (Option<String>, Option<String>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Account,
    Mail,
    Secret,
    Code,
    Card,
    Id,
    Number,
    Amount,
    Receiver,
    PageSize,
    Other,
}

impl RequestFields {
    pub(crate) fn clear(&mut self) {
        *self = RequestFields::default();
    }

    /// Notes how a JSON body is written: browsers and apps write no spaces, many libraries do.
    pub(crate) fn style(&mut self, body: &[u8]) {
        self.begins = body.iter().find(|b| !b.is_ascii_whitespace()).copied().unwrap_or(0);
        if body.first() != Some(&b'{') {
            return;
        }
        let head = body.get(..body.len().min(96)).unwrap_or(body);
        let (mut spaced, mut tight) = (0, 0);
        for at in memchr::memchr_iter(b':', head).filter(|at| *at > 0) {
            if head.get(at - 1) == Some(&b'"') {
                tight += 1;
                spaced += u32::from(head.get(at + 1) == Some(&b' '));
            }
        }
        let pretty = head.contains(&b'\n');
        self.spaced = !pretty && spaced > 0 && spaced == tight;
    }

    #[inline]
    pub(crate) fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>) {
        self.fields += 1;
        if self.fields <= 64 {
            self.list(at, &value);
            if let Scalar::Str(text) | Scalar::Num(text) = value {
                self.early(at, text);
            }
        }
    }

    /// Names of fields in the order in which they first stand, with the kinds of their values.
    #[inline]
    fn list(&mut self, at: &Location<'_>, value: &Scalar<'_>) {
        if self.listed.len() >= LISTED || self.listed.contains(&(at.hash as u32)) {
            return;
        }
        let kind = match value {
            Scalar::Str(_) => 1,
            Scalar::Num(_) => 2,
            Scalar::Bool(_) => 3,
            Scalar::Null => 4,
        };
        self.listed.push(at.hash as u32);
        self.template.word(at.hash ^ kind);
    }

    /// Fingerprint of the body's fields, 0 where it has none.
    pub(crate) fn template(&self) -> u64 {
        if self.listed.is_empty() {
            return 0;
        }
        let mut m = self.template;
        m.word(u64::from(self.spaced));
        m.finish()
    }

    /// True where it has fields.
    pub(crate) fn is_form(&self) -> bool {
        self.fields > 0
    }

    /// True where the body begins as its declared type cannot.
    pub(crate) fn contradicts(&self, declared: Option<&[u8]>) -> bool {
        let Some(declared) = declared.filter(|_| self.begins != 0) else { return false };
        if declared.starts_with(b"application/json") {
            return !matches!(self.begins, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n');
        }
        let form = declared.starts_with(b"application/x-www-form-urlencoded");
        form && matches!(self.begins, b'{' | b'[' | b'<')
    }

    fn early(&mut self, at: &Location<'_>, text: &str) {
        if text.is_empty() || text.len() > 512 {
            if at.key == "query" {
                self.introspection |= text.contains("__schema");
                self.literals(text.get(..text.len().min(4096)).unwrap_or_default());
            }
            return;
        }
        self.note(field_of(at.key, text), text);
        if is_action(at.key) && text.len() <= 64 {
            self.asked.insert(words::roles_of_action(text, true));
        }
        match at.key {
            "p" => self.short.1 = Some(text.into()),
            "methodName" | "jsonrpc" => self.remote = true,
            "name" if self.remote && text == "methodName" => self.names_nested = true,
            "u" | "n" | "name" | "nom" | "nombre" => self.short.0 = Some(text.into()),
            "string" | "value" | "params" | "args" if self.remote => self.place(text),
            _ => {}
        }
        if at.key == "query" && text.contains('{') {
            self.introspection |= text.contains("__schema");
            self.literals(text);
        }
    }

    fn place(&mut self, text: &str) {
        if std::mem::take(&mut self.names_nested) {
            self.nested += 1;
        } else if self.placed.iter().filter(|(call, _)| *call == self.nested).count() < 3 {
            self.placed.push((self.nested, text.into()));
        }
    }

    /// Arguments that stand in the text of a GraphQL request: `signIn(email: "a@b.example", password: "x")`.
    fn literals(&mut self, text: &str) {
        for at in memchr::memchr_iter(b'"', text.as_bytes()).take(128).step_by(2) {
            let (before, value) =
                (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            let Some(before) = before.trim_end().strip_suffix(':') else { continue };
            let name = before.trim_end().rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
            let value = value.split('"').next().unwrap_or_default();
            if let Some(name) = name.filter(|n| !n.is_empty() && !value.is_empty()) {
                self.note(field_of(name, value), value);
                self.fields += 1;
            }
        }
    }

    fn note(&mut self, field: Field, text: &str) {
        match field {
            Field::Account => set(&mut self.account, text),
            Field::Mail => {
                self.mail = true;
                if self.account.is_none() {
                    self.account = Some(text.into());
                }
            }
            Field::Secret => {
                self.secrets += 1;
                self.secret_seen = true;
                match &self.secret {
                    None => self.secret = Some(text.into()),
                    Some(first) if *first == *text || self.more.iter().any(|s| *s == *text) => {}
                    Some(_) if self.more.len() < BATCH => self.more.push(text.into()),
                    Some(_) => {}
                }
            }
            Field::Code => set(&mut self.code, text),
            Field::Card => {
                self.card = true;
                set(&mut self.code, text);
            }
            Field::Id => {
                if self.id.is_none() {
                    self.id = Some(text.into());
                }
            }
            Field::Number => self.number = Some(text.into()),
            Field::Amount => self.amount = true,
            Field::Receiver => {
                self.receiver = true;
                set(&mut self.id, text);
            }
            Field::PageSize => self.page_size = text.parse().unwrap_or(0),
            Field::Other => {}
        }
    }

    /// What a remote procedure was called with is a name and a secret, for the answer says that they are wrong.
    pub(crate) fn were_credentials(&mut self, roles: &mut Roles) {
        if self.account.is_some() {
            return;
        }
        let placed = std::mem::take(&mut self.placed);
        for call in 0..=self.nested {
            // Where there are three, the first says which of the server's sites or databases is meant.
            let mut texts = placed.iter().filter(|(n, _)| *n == call).map(|(_, text)| text).rev();
            if let (Some(secret), Some(name)) = (texts.next(), texts.next()) {
                self.account.get_or_insert_with(|| name.clone());
                self.note(Field::Secret, secret);
                roles.insert(Roles::LOGIN);
            }
        }
    }

    /// True where a secret is given twice: who makes an account or changes it does, who logs in does not.
    pub(crate) const fn asks_twice(&self) -> bool {
        self.secrets >= 2 && self.secrets <= 3 && self.account.is_some()
    }

    /// The further secrets of a request that carries many log-ins at once; of a form that asks for an old one and a new one nothing.
    pub(crate) fn batch(&mut self) -> impl Iterator<Item = String> {
        let many = self.more.len() >= 3;
        std::mem::take(&mut self.more).into_iter().filter(move |_| many)
    }

    /// Adds and takes away what the body's fields say about the endpoint.
    pub(crate) fn roles(&mut self, roles: &mut Roles, changing: bool) {
        if !changing || self.fields == 0 {
            return;
        }
        roles.insert(self.asked);
        if roles.any(Roles(Roles::LOGIN.0 | Roles::SIGN_UP.0)) && !self.secret_seen {
            let (name, secret) = std::mem::take(&mut self.short);
            if let (Some(name), Some(secret)) = (name, secret) {
                self.account.get_or_insert(name);
                self.note(Field::Secret, &secret);
            }
        }
        if self.secret_seen && self.account.is_none() && self.fields <= 6 {
            // `{"name": …, "password": …}`
            self.account = self.short.0.take();
        }
        if self.asks_twice()
            && roles.any(Roles::LOGIN)
            && !roles.any(Roles(Roles::SIGN_UP.0 | Roles::RESET.0))
        {
            roles.remove(Roles::LOGIN);
            roles.insert(Roles::SIGN_UP);
        }
        let plain = Roles(
            Roles::LOGIN.0
                | Roles::SIGN_UP.0
                | Roles::RESET.0
                | Roles::OTP.0
                | Roles::PAYMENT.0
                | Roles::TRANSFER.0,
        );
        if self.secret_seen && self.account.is_some() && self.fields <= 6 && !self.card && !roles.any(plain) {
            // A name and a secret and little else: whatever the path is called, this is where one signs in.
            roles.remove(Roles::SENSITIVE);
        }
        let named = roles.any(Roles::SENSITIVE);
        if self.secret_seen && self.account.is_some() && !named {
            let sign_up = self.asks_twice() || self.more.len() < 3 && self.mail && self.fields >= 4;
            roles.insert(if sign_up { Roles::SIGN_UP } else { Roles::LOGIN });
        }
        let guessed = Roles(Roles::GIFT_CARD.0 | Roles::COUPON.0 | Roles::SIGN_UP.0 | Roles::LOGIN.0);
        if let Some(code) = self.code.as_deref().filter(|_| !self.card && !roles.any(guessed)) {
            let short = is_pin(code);
            if short && self.number.is_some() && self.fields <= 4 {
                roles.insert(Roles::GIFT_CARD);
            } else if short && self.fields <= 2 {
                roles.insert(Roles::OTP);
            }
        }
        if roles.any(Roles::COUPON) && self.number.is_some() && self.code.as_deref().is_some_and(is_pin) {
            // A voucher with a number and a PIN holds money.
            roles.remove(Roles::COUPON);
            roles.insert(Roles::GIFT_CARD);
        }
        if self.card && !roles.any(Roles::GIFT_CARD) {
            roles.insert(Roles::PAYMENT);
        }
        if self.amount && self.receiver {
            roles.insert(Roles::TRANSFER);
        }
    }
}

/// Names of fields and parameters that say which of its actions a script is to take.
pub(super) fn is_action(key: &str) -> bool {
    matches!(
        key,
        "do" | "action"
            | "act"
            | "op"
            | "mode"
            | "task"
            | "cmd"
            | "command"
            | "route"
            | "form_id"
            | "form"
            | "controller"
            | "method"
            | "func"
            | "function"
            | "service"
            | "page"
            | "view"
            | "_action"
            | "operation"
            | "step"
    )
}

fn set(slot: &mut Option<String>, text: &str) {
    *slot = Some(text.into());
}

/// What a field holds, by its name, else by its value's shape.
fn field_of(key: &str, text: &str) -> Field {
    match classify(key) {
        Field::Other if is_mail(text) => Field::Mail,
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

fn is_pin(code: &str) -> bool {
    (3..=8).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit())
}

fn is_long_number(text: &str) -> bool {
    (10..=22).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn classify(key: &str) -> Field {
    let mut low = [0u8; 48];
    let n = key.len().min(48);
    for (to, from) in low.iter_mut().zip(key.bytes()) {
        *to = from.to_ascii_lowercase();
    }
    let low = low.get(..n).unwrap_or_default();
    match plainly(low) {
        Field::Other => decorated(low),
        field => field,
    }
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
        | b"uname" | b"loginid" | b"login_id" | b"benutzername" | b"benutzer" | b"usuario"
        | b"utilisateur" | b"nutzername" | b"nombre_usuario" | b"identifiant" | b"gebruikersnaam"
        | b"uzytkownik" | b"username_or_email" | b"identifier" | b"handle" | b"log" | b"usr"
        | b"screen_name" | b"nickname" | b"kennung" | b"kullanici" | b"kullanici_adi" | b"kullaniciadi"
        | b"nazwa" | b"uzivatel" | b"brukernavn" | b"brugernavn" | b"anvandarnamn" | b"kayttaja"
        | b"felhasznalo" | b"utente" | b"nome_utente" | b"usuario_id" | b"logonid" | b"member_id"
        | b"kundennummer" | b"customer_number" | b"logname" => Field::Account,
        b"email" | b"mail" | b"e-mail" | b"email_address" | b"emailaddress" | b"phone" | b"phone_number"
        | b"mobile" | b"telefon" | b"correo" | b"tel" | b"telephone" | b"phonenumber" | b"eposta"
        | b"e-posta" | b"e_posta" | b"courriel" | b"telefono" | b"handynummer" | b"rufnummer" | b"gsm" => {
            Field::Mail
        }
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
        b"code" | b"otp" | b"pin" | b"token" | b"mfa_code" | b"passcode" | b"coupon" | b"voucher"
        | b"promo" | b"promo_code" | b"coupon_code" | b"gift_card" | b"giftcard" | b"gift_card_code"
        | b"verification_code" | b"sms_code" | b"one_time_code" | b"redeem_code" | b"discount_code"
        | b"tan" | b"kod" | b"kode" | b"codigo" | b"codice" | b"kupon" | b"cupon" | b"gutschein"
        | b"gutscheincode" | b"serial" | b"serial_number" | b"license_key" | b"licence_key"
        | b"product_key" | b"activation_code" | b"invite" | b"invite_code" | b"referral_code"
        | b"bonuscode" | b"kart_kodu" | b"couponcode" | b"promocode" | b"vouchercode" | b"card_code"
        | b"onetimecode" => Field::Code,
        b"card_number" | b"cardnumber" | b"card" | b"pan" | b"cc_number" | b"ccnumber" | b"cc"
        | b"kartno" | b"kart_no" | b"kartnummer" | b"kartennummer" | b"numero_tarjeta" | b"numerotarjeta"
        | b"numero_carte" | b"numcarte" | b"numero_carta" | b"card_no" | b"cardno" | b"card_num"
        | b"cardnum" | b"ccnum" | b"kaartnummer" => Field::Card,
        b"amount" | b"betrag" | b"montant" | b"importe" | b"value" => Field::Amount,
        b"payee" | b"payee_id" | b"beneficiary" | b"to" | b"to_account" | b"iban" | b"recipient"
        | b"destination" | b"to_account_id" | b"target_account" => Field::Receiver,
        b"limit" | b"per_page" | b"page_size" | b"pagesize" | b"first" => Field::PageSize,
        b"id" | b"sku" | b"msisdn" | b"subscriber" | b"item" | b"product" | b"slug" | b"zip" | b"postal" => {
            Field::Id
        }
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
            ("newsletter", Field::Other),
        ] {
            assert_eq!(classify(name), field, "{name}");
        }
    }
}
