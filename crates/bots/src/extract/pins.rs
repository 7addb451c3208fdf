//! Who is named beside a PIN: numbers of members, customers and cards have no customary names.

use super::fields::RequestFields;
use super::names::{Field, is_pin};
use super::target::is_phone;
use crate::role::Roles;

/// A PIN and what stands beside it.
#[derive(Debug, Default)]
pub(super) struct Pins {
    pin: Option<String>,
    /// The first other value that may name somebody, and how many other values there are.
    beside: Option<String>,
    others: u32,
    /// The account that has a customary name.
    named: bool,
    /// The secret is called a passcode, as that of a meeting may be; and whether what stands beside it is somebody's number.
    passcode: bool,
    party: bool,
}

/// What the name of a field says of a PIN and whose it is.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct PinName {
    passcode: bool,
    pin: bool,
    /// The number of a customer, a member, a card.
    party: bool,
}

impl PinName {
    pub(super) fn of(key: &str) -> Self {
        const WHO: [&str; 9] = [
            "customer",
            "client",
            "member",
            "user",
            "login",
            "subscriber",
            "cardholder",
            "policy",
            "employee",
        ];
        let key = key.to_ascii_lowercase();
        PinName {
            passcode: key.ends_with("passcode"),
            pin: key.ends_with("passcode") || key.ends_with("pin"),
            party: WHO.iter().any(|who| key.starts_with(who)),
        }
    }
}

impl Pins {
    /// True where a field has a customary name of an account's, not of its address.
    pub(super) const fn names_account(&self) -> bool {
        self.named
    }

    pub(super) fn add(&mut self, name: PinName, field: Field, text: &str) {
        if self.pin.is_none() && field == Field::Code && name.pin {
            self.pin = Some(text.into());
            self.passcode = name.passcode;
            return;
        }
        self.others += 1;
        self.party |= field == Field::Account || name.party;
        self.named |= field == Field::Account;
        let names =
            matches!(field, Field::Account | Field::Id | Field::Reference | Field::Other | Field::Person)
                && (3..=64).contains(&text.len())
                && text.bytes().any(|b| b.is_ascii_digit());
        if self.beside.is_none() && (names || field == Field::Account) {
            self.beside = Some(text.into());
        }
    }
}

impl RequestFields {
    /// True of a phone number alone, and beside a short number of whatever name: a code is sent there, or comes back from there.
    pub(super) fn is_called(&mut self) -> bool {
        let bare = !self.secret_seen && !self.card && !self.amount && !self.person && !self.alters;
        let Some(phone) = self.account.as_deref().filter(|a| self.mail && bare && is_phone(a)) else {
            return false;
        };
        match self.pair.as_slice() {
            [_] | [] => self.fields == 1,
            [a, b] if self.fields == 2 && self.code.is_none() => {
                let beside = if &**a == phone { b } else { a };
                let pin = is_pin(beside).then(|| beside.to_string());
                self.code = pin;
                self.code.is_some()
            }
            _ => false,
        }
    }

    /// True of a mail address and nothing else.
    pub(super) fn is_mail_alone(&self) -> bool {
        let named = self.account.as_deref().is_some_and(|a| a.contains('@'));
        self.mail && named && self.fields == 1 && !self.secret_seen
    }

    /// True of one long number and nothing else that says what it is for.
    pub(super) const fn is_number(&self) -> bool {
        self.number.is_some() && self.code.is_none() && !self.mail && self.fields <= 2
    }

    /// The one long word of a body that nobody can guess: a token to renew or to redeem.
    pub(super) fn lone_token(&self) -> Option<&str> {
        let [only] = self.pair.as_slice() else { return None };
        let named = self.account.is_some() || self.number.is_some() || self.card;
        let long = only.len() >= 16
            && !only.bytes().any(|b| b.is_ascii_whitespace() || matches!(b, b'@' | b'/' | b':'));
        let mixed = only.bytes().any(|b| b.is_ascii_digit()) && only.bytes().any(|b| b.is_ascii_alphabetic());
        (!named && long && mixed && self.fields <= 3).then_some(only)
    }

    /// Reads a PIN as the secret that it is: beside one other value, the number of a member or a dealer; beside an address for mail and a
    /// person's name, of an account to be made. With a phone number or a mail address alone it is a code that was sent there, with a long number that
    /// of a gift card. In an envelope it says who asks, not what is asked.
    pub(super) fn read_pin(&mut self, roles: Roles) {
        let taken =
            Roles(Roles::OTP.0 | Roles::GIFT_CARD.0 | Roles::COUPON.0 | Roles::PAYMENT.0 | Roles::TRANSFER.0);
        let Some(pin) = self.pins.pin.take() else { return };
        if self.pins.passcode && !self.pins.party {
            return;
        }
        if roles.any(taken) || self.card || self.secret_seen || self.amount {
            return;
        }
        let beside = self.pins.beside.take();
        let signs_up = self.mail && self.person && self.pins.others >= 2;
        let signs_in = self.pins.others == 1 && beside.is_some() && !self.mail;
        // `{"device": "ced5f5", "user": "anna", "pin": "13000"}`
        let signs_in =
            signs_in || roles.any(Roles::LOGIN) && self.pins.named && self.pins.others <= 3 && !self.is_xml();
        let envelope = self.is_xml() && self.pins.named && self.pins.others >= 2;
        if !(signs_up || signs_in || envelope) {
            return;
        }
        if self.code.as_deref() == Some(&pin) {
            self.code = None;
        }
        if envelope {
            self.account = None;
            self.sender.0 = self.sender.0.take().or(beside);
            self.sender.1 = self.sender.1.take().or(Some(pin));
            return;
        }
        if signs_in && self.account.is_none() {
            self.account = beside;
        }
        self.note(Field::Secret, &pin);
    }
}
