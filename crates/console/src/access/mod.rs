//! Who is asking, and what they may.

mod caller;
mod known;
mod lockout;
mod oidc;
mod password;
mod secret;

use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use caller::{
    Authorized, Caller, Credential, Peer, Role, authorize, clear_cookie, cookie, cookie_named, identify,
};
pub(crate) use known::{Browsers, KNOWN};
pub(crate) use lockout::{Key, Lockout};
pub use oidc::{Fetch, Form, Oidc};
pub(crate) use oidc::{PENDING_S, Person, Sso, SsoError};
pub(crate) use password::Passwords;
pub(crate) use secret::{Secret, same};

/// Seconds that a session lasts at most.
pub(crate) const SESSION_S: i64 = 12 * 3_600;
/// Seconds that a session lasts without a request.
pub(crate) const IDLE_S: i64 = 3_600;

/// What access needs besides the store.
pub(crate) struct Access {
    pub(crate) passwords: Passwords,
    pub(crate) lockout: Lockout,
    pub(crate) browsers: Browsers,
    /// The provider that people log in by, where there is one.
    pub(crate) sso: Option<Arc<Sso>>,
    setup: Mutex<Option<[u8; 32]>>,
}

impl Access {
    pub(crate) fn new(oidc: Option<Oidc>, browsers: Browsers) -> Self {
        Access {
            passwords: Passwords::new(),
            lockout: Lockout::default(),
            browsers,
            sso: oidc.map(|o| Arc::new(Sso::new(o))),
            setup: Mutex::new(None),
        }
    }

    /// Awaits this one-time token.
    pub(crate) fn await_setup(&self, secret: &Secret) {
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret.hash());
    }

    /// Whether the administrator is still to be made.
    pub(crate) fn awaits_setup(&self) -> bool {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether this is the one-time token.
    pub(crate) fn is_setup(&self, token: &str) -> bool {
        let setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        setup.as_ref().is_some_and(|wanted| same(wanted, &Secret::of(token).hash()))
    }

    /// The administrator is made: the token is worth nothing any more.
    pub(crate) fn end_setup(&self) {
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
