//! Fields of bodies: credentials, codes and ids that a request carries, and what an answer says about it.

use sidetap_wire::body::{Location, Places, Scalar};

use smallvec::SmallVec;

use super::calls::{self, Arguments};
use super::names::{Field, classify, field_named, is_long_number, is_pin};
use super::pins::{PinName, Pins};
use super::plain::Plain;
use super::words;
use crate::hash::Mix;
use crate::role::Roles;

/// Fields that make the fingerprint of a body.
const LISTED: usize = 16;

/// Bytes kept of a GraphQL document, and variables.
const DOCUMENT: usize = 16 << 10;
const VARIABLES: usize = 128;

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
    pub(super) fields: u32,
    /// Different secrets after the first.
    more: SmallVec<[String; 2]>,
    secrets: u32,
    pub(super) mail: bool,
    /// A person's name, as sign-ups ask for it.
    pub(super) person: bool,
    pub(super) pins: Pins,
    pub(super) card: bool,
    pub(super) amount: bool,
    receiver: Option<String>,
    /// It changes or puts something: no code is asked for so.
    pub(super) alters: bool,
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
    /// The outermost `id`: of a remote procedure call it numbers the call.
    outer_id: Option<String>,
    /// The id is what a field says that a thing goes by.
    referred: bool,
    /// What the calls of operations that share a path are asked with.
    pub(crate) arguments: Arguments,
    /// What a body without an operation is asked with.
    pub(crate) plain: Plain,
    /// It holds arguments of an operation: its values are read as such.
    holds_arguments: bool,
    /// The first texts of a body: credentials, as it may turn out.
    pub(super) pair: SmallVec<[Box<str>; 2]>,
    texts: u32,
    /// A GraphQL document, and the values of its variables.
    pub(super) document: Option<Box<str>>,
    has_variables: bool,
    pub(super) variables: Vec<(Box<str>, Box<str>)>,
    /// Objects in the list that the body is.
    items: u32,
    /// Root fields of the document.
    pub(super) roots: usize,
    /// A text with words and a link to elsewhere: what is posted for others to read.
    links: bool,
    /// Which operation of a script is asked for.
    pub(crate) action: Option<Box<str>>,
    /// It asks for a token with an application's own credentials (RFC 6749 §4.4, RFC 7523).
    pub(crate) service: bool,
    /// The name and the secret in the header of an envelope (WS-Security): who asks, not what is asked.
    pub(super) sender: (Option<String>, Option<String>),
    /// What the names of places say, from one exchange to the next.
    named: Places<Named>,
    /// What the last action said.
    acted: (String, Roles),
}

impl RequestFields {
    pub(crate) fn clear(&mut self) {
        let (named, acted) = (std::mem::take(&mut self.named), std::mem::take(&mut self.acted));
        *self = RequestFields { named, acted, ..RequestFields::default() };
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
            if let Scalar::Str(text) = value {
                self.text(at, text);
            }
            if let Scalar::Str(text) | Scalar::Num(text) = value {
                self.early(at, text);
            }
        }
    }

    /// Keeps the first two texts, what guards a form against other sites aside.
    #[inline]
    fn text(&mut self, at: &Location<'_>, text: &str) {
        if self.texts > 4 || at.depth > 3 || !(3..=128).contains(&text.len()) {
            return;
        }
        if !is_action(at.key) && (at.key == "id" || !is_protocol(at.key)) && !is_guard(at.key) {
            self.texts += 1;
            if self.pair.len() < 2 {
                self.pair.push(text.into());
            }
        }
    }

    /// Two texts of a body with few, which may be a name and a secret.
    pub(super) fn two_texts(&self) -> Option<(&str, &str)> {
        match self.pair.as_slice() {
            [first, second] if self.texts <= 4 && self.fields <= 8 => Some((first, second)),
            _ => None,
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

    /// True where it posts a text with a link.
    pub(crate) const fn links(&self) -> bool {
        self.links
    }

    /// True where it carries so many calls that no page or app asks for them at once.
    pub(crate) const fn is_bulk(&self) -> bool {
        const MANY: u32 = 20;
        self.items >= MANY && self.arguments.calls() >= 2 || self.roots >= MANY as usize
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
            self.links |= at.key != "query" && links(text.get(..text.len().min(4096)).unwrap_or_default());
            if at.key == "query" {
                self.document(text);
            }
            return;
        }
        let named = self.named.get_or_insert_with(at, || Named::of(at.key));
        let named = named.copied().unwrap_or_else(|| Named::of(at.key));
        let field = match field_named(named.field, text) {
            // `"card": {"number": …}`
            Field::Number if is_of_card(at) => Field::Card,
            field => field,
        };
        self.links |= text.len() >= 20 && links(text);
        if self.begins == b'<'
            && matches!(field, Field::Account | Field::Secret)
            && at.path().contains("Header.")
        {
            let place = if field == Field::Secret { &mut self.sender.1 } else { &mut self.sender.0 };
            *place = Some(text.into());
            return;
        }
        // What names the action says what is asked, not who asks: `<Request op="Login">`.
        if !named.protocol && !named.action {
            self.pins.add(named.pin, field, text);
        }
        let outer = u16::from(self.begins == b'[') + 1;
        if at.key == "id" && at.depth <= outer {
            self.outer_id.get_or_insert_with(|| text.into());
        } else {
            self.note(field, text);
        }
        if (self.holds_arguments || self.begins == b'<')
            && at.depth > outer
            && !matches!(field, Field::Secret | Field::Account | Field::Mail | Field::PageSize)
        {
            self.arguments.add(at.key, text, field == Field::Id);
        }
        if at.depth <= 4 && (!named.protocol || at.key == "id") && !(named.guard && text.len() >= 16) {
            self.plain.add(at.key, text, field);
        }
        if named.action && text.len() <= 64 {
            if self.acted.0 != text {
                self.acted = (text.to_owned(), words::roles_of_action(text, true));
            }
            self.asked.insert(self.acted.1);
            if at.depth <= 1 && calls::names_operation(at.key) {
                self.action = calls::action(text);
            }
        }
        if at.depth <= outer && named.protocol {
            self.arguments.protocol += 1;
            if outer == 2 && matches!(at.key, "method" | "operationName") {
                self.arguments.call(text);
            }
        }
        match at.key {
            "grant_type" => {
                self.service = text == "client_credentials" || text.ends_with(":grant-type:jwt-bearer");
            }
            "p" => self.short.1 = Some(text.into()),
            "methodName" | "jsonrpc" => self.remote = true,
            "name" if self.remote && text == "methodName" => self.names_nested = true,
            "u" | "n" | "name" | "nom" | "nombre" => self.short.0 = Some(text.into()),
            "string" | "value" | "params" | "args" if self.remote => self.place(text),
            _ => {}
        }
        if at.key == "query" && text.contains('{') {
            self.document(text);
        } else if self.has_variables && self.variables.len() < VARIABLES {
            self.variables.push((at.key.into(), text.into()));
        }
    }

    /// Keeps a GraphQL document until its variables are known.
    fn document(&mut self, text: &str) {
        self.introspection |= text.contains("__schema");
        if self.document.is_none() {
            let end = (0..=text.len().min(DOCUMENT)).rev().find(|at| text.is_char_boundary(*at));
            self.document = text.get(..end.unwrap_or(0)).map(Into::into);
        }
    }

    /// A list or object begins in the body.
    #[inline]
    pub(crate) fn container(&mut self, at: &Location<'_>) {
        self.items += u32::from(self.begins == b'[' && at.depth == 1);
        self.has_variables |= at.key == "variables";
        self.holds_arguments |= matches!(at.key, "params" | "variables" | "args" | "arguments" | "input");
    }

    fn place(&mut self, text: &str) {
        if std::mem::take(&mut self.names_nested) {
            self.nested += 1;
        } else if self.placed.iter().filter(|(call, _)| *call == self.nested).count() < 3 {
            self.placed.push((self.nested, text.into()));
        }
    }

    pub(super) fn note(&mut self, field: Field, text: &str) {
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
            // Which thing is meant says its number, not the shop's (`store_id`).
            Field::Reference => {
                if !std::mem::replace(&mut self.referred, true) {
                    self.id = Some(text.into());
                }
                if is_long_number(text) {
                    self.number = Some(text.into());
                }
            }
            Field::Number => self.number = Some(text.into()),
            Field::Amount => self.amount = true,
            Field::Person => self.person = true,
            Field::Receiver => {
                set(&mut self.receiver, text);
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

    /// The id that the body names; `operation` says that it is one of several that share the path, whose outermost id numbers calls.
    pub(crate) fn id(&self) -> Option<&str> {
        self.outer_id.as_deref().filter(|_| !self.remote).or(self.id.as_deref())
    }

    /// True of a body of XML.
    pub(super) fn is_xml(&self) -> bool {
        self.begins == b'<'
    }

    /// Who an envelope says that he is; where the answer says that this is wrong, he tried to be: then true.
    pub(crate) fn sender(&mut self, wrong: bool) -> bool {
        let (Some(name), Some(secret)) = (self.sender.0.take(), self.sender.1.take()) else { return false };
        if self.account.is_some() {
            return false;
        }
        self.account = Some(name);
        if wrong {
            self.note(Field::Secret, &secret);
        }
        wrong
    }

    /// Who is to have what is sent.
    pub(crate) fn receiver(&self) -> Option<&str> {
        self.receiver.as_deref()
    }

    /// True where the fields say that something is bought, sent or proved: then nothing is looked up.
    pub(crate) fn commits(&self) -> bool {
        self.secret_seen || self.card || self.amount || self.receiver.is_some()
    }

    /// The one text that stands beside the secret of a body with little else: whoever is named there.
    fn beside_secret(&self) -> Option<String> {
        let secret = self.secret.as_deref()?;
        match self.two_texts().filter(|_| self.texts == 2)? {
            (name, other) if other == secret && name != secret => Some(name.into()),
            (other, name) if other == secret && name != secret => Some(name.into()),
            _ => None,
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
        self.read_pin(*roles);
        if roles.any(Roles(Roles::LOGIN.0 | Roles::SIGN_UP.0)) && !self.secret_seen {
            let (name, secret) = std::mem::take(&mut self.short);
            if let (Some(name), Some(secret)) = (name, secret) {
                self.account.get_or_insert(name);
                self.note(Field::Secret, &secret);
            }
        }
        if self.secret_seen
            && self.account.is_none()
            && self.fields.saturating_sub(self.arguments.protocol) <= 6
        {
            // `{"name": …, "password": …}`
            self.account =
                self.short.0.take().or_else(|| self.beside_secret().filter(|_| roles.any(Roles::LOGIN)));
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
        if self.account.is_none() && !named && self.secrets == 1 && self.id.is_none() && !self.card {
            // A secret and one thing beside it: whatever that is called, it says who signs in.
            self.account = self.beside_secret().filter(|_| self.fields <= 4 && self.code.is_none());
        }
        if self.links && !named && !self.secret_seen && !roles.any(Roles::TELEMETRY) {
            roles.insert(Roles::POSTING);
        }
        if self.secret_seen && self.account.is_some() && !named {
            let sign_up = self.asks_twice()
                || self.more.len() < 3
                    && self.mail
                    && (self.fields >= 4 || self.fields >= 3 && (self.person || self.pins.names_account()));
            roles.insert(if sign_up { Roles::SIGN_UP } else { Roles::LOGIN });
        }
        let guessed = Roles(Roles::GIFT_CARD.0 | Roles::COUPON.0 | Roles::SIGN_UP.0 | Roles::LOGIN.0);
        if let Some(code) = self.code.as_deref().filter(|_| !self.card && !roles.any(guessed)) {
            let short = is_pin(code);
            if short && self.number.is_some() && self.fields <= 4 {
                roles.insert(Roles::GIFT_CARD);
            } else if short && self.fields.saturating_sub(self.arguments.protocol) <= 2 {
                roles.insert(Roles::OTP);
            }
        }
        roles.set(Roles::OTP, !roles.any(Roles(Roles::SENSITIVE.0 | Roles::POSTING.0)) && self.is_called());
        if roles.any(Roles::COUPON) && self.number.is_some() && self.code.as_deref().is_some_and(is_pin) {
            // A voucher with a number and a PIN holds money.
            roles.remove(Roles::COUPON);
            roles.insert(Roles::GIFT_CARD);
        }
        if self.card && !roles.any(Roles::GIFT_CARD) {
            roles.insert(Roles::PAYMENT);
        }
        if self.amount && self.receiver.is_some() {
            roles.insert(Roles::TRANSFER);
        }
    }
}

/// True of the number in an object that is called a card.
fn is_of_card(at: &Location<'_>) -> bool {
    let path = at.path();
    let Some((object, "number" | "no" | "num" | "cardNumber" | "value")) = path.rsplit_once('.') else {
        return false;
    };
    let object = object.rsplit('.').next().unwrap_or_default();
    ["card", "creditCard", "credit_card", "debitCard", "paymentCard", "payment_card", "bankCard", "cc"]
        .contains(&object)
}

/// True of a text with words and a link.
fn links(text: &str) -> bool {
    let text = text.as_bytes();
    let link = memchr::memchr_iter(b':', text)
        .any(|at| text.get(at + 1..).is_some_and(|rest| rest.starts_with(b"//")));
    link && memchr::memchr(b' ', text).is_some()
}

/// Names of the fields that are of GraphQL's and JSON-RPC's protocols.
fn is_protocol(key: &str) -> bool {
    matches!(key, "jsonrpc" | "method" | "id" | "operationName" | "query" | "extensions")
}

/// Names of fields that guard a form against other sites.
fn is_guard(key: &str) -> bool {
    const GUARDS: [&str; 4] = ["csrf", "xsrf", "token", "nonce"];
    let guard = |g: &&str| key.as_bytes().windows(g.len()).any(|w| w.eq_ignore_ascii_case(g.as_bytes()));
    GUARDS.iter().any(guard)
}

/// What the name of a place says.
#[derive(Clone, Copy, Debug)]
struct Named {
    field: Field,
    pin: PinName,
    /// See [`is_protocol`].
    protocol: bool,
    /// See [`is_action`].
    action: bool,
    /// See [`is_guard`].
    guard: bool,
}

impl Named {
    fn of(key: &str) -> Self {
        Named {
            field: classify(key),
            pin: PinName::of(key),
            protocol: is_protocol(key),
            action: is_action(key),
            guard: is_guard(key),
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
