use std::fmt;
use std::io;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

use crate::SealError;

const PUBLIC: &str = "age";
const SECRET: &str = "AGE-SECRET-KEY-";

/// An X25519 public key that files are sealed to, written `age1…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient(PublicKey);

impl Recipient {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// A new key pair for one file: its public half, and the secret that it shares with this recipient.
    pub(crate) fn meet(&self) -> io::Result<([u8; 32], SharedSecret)> {
        let ephemeral = Identity::generate()?;
        Ok((*ephemeral.recipient().as_bytes(), ephemeral.0.diffie_hellman(&self.0)))
    }
}

impl FromStr for Recipient {
    type Err = SealError;

    /// Reads what `age-keygen` prints as the public key.
    ///
    /// Refuses everything else (plugin, SSH and post-quantum recipients too), and points of low order.
    fn from_str(text: &str) -> Result<Self, SealError> {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("age-secret-key-") {
            return Err(SealError::SecretRecipient);
        }
        if !lower.starts_with("age1") {
            return Err(SealError::NoRecipient);
        }
        let shown = || text.escape_debug().take(80).collect::<String>();
        // Bech32 as such also allows upper case; recipients are written in lower case only.
        let key = (lower == text).then(|| bech32_bytes(PUBLIC, text)).flatten();
        let key = PublicKey::from(*key.ok_or_else(|| SealError::Recipient(shown()))?);
        if !StaticSecret::from([1; 32]).diffie_hellman(&key).was_contributory() {
            return Err(SealError::LowOrder(shown()));
        }
        Ok(Recipient(key))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32, _>(f, Hrp::parse_unchecked(PUBLIC), self.as_bytes())
            .map_err(|_| fmt::Error)
    }
}

/// An X25519 secret key, written `AGE-SECRET-KEY-1…`; erased when it is dropped.
pub struct Identity(StaticSecret);

impl Identity {
    /// A new one, from the system's source of randomness.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
        Ok(Identity(StaticSecret::from(*bytes)))
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(PublicKey::from(&self.0))
    }

    /// The text that `age` reads.
    pub fn secret_text(&self) -> Zeroizing<String> {
        let hrp = Hrp::parse_unchecked(SECRET);
        Zeroizing::new(
            bech32::encode_upper::<Bech32>(hrp, self.0.as_bytes()).expect("32 bytes are not too long"),
        )
    }

    /// The secret shared with the public half of a file's key; nothing where there is none to share.
    pub(crate) fn meet(&self, share: [u8; 32]) -> Option<SharedSecret> {
        let shared = self.0.diffie_hellman(&PublicKey::from(share));
        shared.was_contributory().then_some(shared)
    }
}

impl FromStr for Identity {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let key = (text == text.to_ascii_uppercase()).then(|| bech32_bytes(SECRET, text)).flatten();
        Ok(Identity(StaticSecret::from(*key.ok_or(SealError::Identity(1))?)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Reads a key file as `age-keygen` writes it: a key a line, comments begin with `#`.
pub fn identities(text: &str) -> Result<Vec<Identity>, SealError> {
    let lines = text.lines().map(str::trim).enumerate();
    let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<Identity> = keys
        .map(|(at, line)| line.parse().map_err(|_| SealError::Identity(at + 1)))
        .collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(SealError::NoIdentity) } else { Ok(keys) }
}

/// The 32 bytes of a Bech32 text with this human-readable part (BIP 173).
fn bech32_bytes(hrp: &str, text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let parsed = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if !parsed.hrp().as_str().eq_ignore_ascii_case(hrp) || parsed.data_part_ascii_no_checksum().len() != 52 {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    let mut bytes = parsed.byte_iter();
    for place in key.iter_mut() {
        *place = bytes.next()?;
    }
    bytes.next().is_none().then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Recipient>().unwrap_err().to_string()
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = Identity::generate().unwrap();
        let (public, secret) = (key.recipient().to_string(), key.secret_text());
        assert_eq!((public.len(), secret.len()), (62, 74));
        assert_eq!(public.parse::<Recipient>().unwrap(), key.recipient());
        assert_eq!(secret.parse::<Identity>().unwrap().recipient(), key.recipient());
        let file = format!("# created: now\n# public key: {public}\n\n{}\r\n", *secret);
        assert_eq!(identities(&file).unwrap()[0].recipient(), key.recipient());
        assert!(!format!("{key:?}").contains(&secret[20..30]));
    }

    /// The pair of the example in age's documentation.
    #[test]
    fn a_known_secret_key_has_its_known_public_one() {
        let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        let key: Identity = secret.parse().unwrap();
        assert_eq!(*key.secret_text(), secret);
        assert_eq!(
            key.recipient().to_string(),
            "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
        );
    }

    #[test]
    fn what_is_no_public_key_is_refused_and_secrets_are_not_repeated() {
        let public = Identity::generate().unwrap().recipient().to_string();
        let short = &public[..public.len() - 1];
        assert!(refused(short).contains(short) && refused(&format!("{public} ")).contains("age X25519"));
        assert!(refused(&public.to_uppercase()).contains("age X25519"));
        assert!(refused("age1pq1qqqq").contains("age1pq1qqqq"));
        let secret = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SZMA5ZS";
        assert!(refused(secret).contains("age-keygen -y") && !refused(secret).contains("QQQSYQ"));
        assert!(!refused("hunter2").contains("hunter2") && refused("").contains("age1"));
    }

    #[test]
    fn a_point_of_low_order_is_refused() {
        for first in [0, 1] {
            let mut point = [0; 32];
            point[0] = first;
            let key = bech32::encode::<Bech32>(Hrp::parse_unchecked(PUBLIC), &point).unwrap();
            assert!(refused(&key).contains("nothing can be sealed"), "{key}");
        }
    }

    #[test]
    fn a_line_that_is_no_secret_key_is_named_by_its_number_alone() {
        let key = Identity::generate().unwrap();
        let wrong =
            identities(&format!("# x\n{}\nsecret stuff\n", *key.secret_text())).unwrap_err().to_string();
        assert!(wrong.starts_with("line 3: ") && !wrong.contains("stuff"), "{wrong}");
        assert!(matches!(identities("# nothing\n"), Err(SealError::NoIdentity)));
        assert!(identities(&key.recipient().to_string()).is_err(), "a public key opens nothing");
    }
}
