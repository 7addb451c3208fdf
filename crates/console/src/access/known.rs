//! Browsers in which somebody has logged in before: others cannot lock them out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use sidetap_store::{Store, StoreError};

use super::Secret;

/// The cookie that a browser has from its first log-in on.
pub(crate) const KNOWN: &str = "sidetap_known";
/// The name under which a store keeps the key.
const STATE: &str = "access.known";
/// Seconds for which a browser is known.
const KNOWN_S: i64 = 365 * 86_400;

/// What makes and knows the marks of browsers. A mark says `NAME.NUMBER.MAC`, and gives no right but to try.
pub(crate) struct Browsers(hmac::Key);

impl Browsers {
    /// With the key that the store keeps, or a new one.
    pub(crate) fn of(store: &mut Store) -> Result<Self, StoreError> {
        let key = match store.state(STATE)? {
            Some(key) => key,
            None => {
                let key = Secret::random("").map(|s| s.hash().to_vec()).map_err(|e| StoreError::Open {
                    path: store.path().display().to_string(),
                    detail: e.to_string(),
                })?;
                store.put_state(STATE, &key)?;
                key
            }
        };
        Ok(Browsers(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The `Set-Cookie` of a browser in which this name has just logged in; `number` tells it from others.
    pub(crate) fn cookie(&self, name: &str, number: &str, tls: bool) -> String {
        let of = format!("{}.{number}", URL_SAFE_NO_PAD.encode(name));
        let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, of.as_bytes()));
        let secure = if tls { "; Secure" } else { "" };
        format!(
            "{KNOWN}={of}.{mac}; Path=/api/v1/session; HttpOnly; SameSite=Strict; Max-Age={KNOWN_S}{secure}"
        )
    }

    /// Which of the browsers of this name it is; nothing where it is none of them.
    pub(crate) fn which(&self, name: &str, mark: &str) -> Option<String> {
        let (of, mac) = mark.rsplit_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.0, of.as_bytes(), &mac).ok()?;
        let (whose, number) = of.split_once('.')?;
        (whose == URL_SAFE_NO_PAD.encode(name)).then(|| format!("{name}.{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_its_names_and_cannot_be_made_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        let browsers = Browsers::of(&mut store).unwrap();
        let cookie = browsers.cookie("anna", "7", true);
        let mark = cookie.split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
        assert!(cookie.contains("HttpOnly; SameSite=Strict") && cookie.ends_with("; Secure"), "{cookie}");
        assert_eq!(browsers.which("anna", &mark).as_deref(), Some("anna.7"));
        let again = Browsers::of(&mut store).unwrap();
        assert!(again.which("anna", &mark).is_some(), "after a restart too");
        for (name, mark) in
            [("bert", mark.as_str()), ("anna", &mark.replace(".7.", ".8.")), ("anna", "a.b.c"), ("anna", "")]
        {
            assert_eq!(browsers.which(name, mark), None, "{name} {mark}");
        }
    }
}
