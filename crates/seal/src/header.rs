//! The header: version, the file key wrapped for each recipient, a code over all of it.

use std::io::{self, BufRead};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{Identity, Recipient, SealError};

/// The key of a file: 128 random bits.
pub(crate) type FileKey = Zeroizing<[u8; 16]>;

const VERSION: &str = "age-encryption.org/v1\n";
const STANZA: &str = "-> X25519 ";
const INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// What a header may take; 600 recipients fit.
const MOST: u64 = 64 << 10;

/// Bytes of a header for so many recipients.
pub(crate) const fn len(recipients: u64) -> u64 {
    // Version, stanzas (share and wrapped key take 43 characters each), `--- ` and code.
    22 + recipients * (10 + 43 + 1 + 43 + 1) + 4 + 43 + 1
}

/// A new header, and the key that it holds for these recipients.
pub(crate) fn make(recipients: &[Recipient]) -> io::Result<(Vec<u8>, FileKey)> {
    let mut key = FileKey::default();
    getrandom::fill(&mut *key).map_err(io::Error::other)?;
    let mut header = VERSION.to_owned();
    for to in recipients {
        let (share, shared) = to.meet()?;
        let mut body = Zeroizing::new([0; 32]);
        body[..16].copy_from_slice(&*key);
        let (text, tag) = body.split_at_mut(16);
        let sealed = wrap_cipher(shared.as_bytes(), &share, to)
            .encrypt_inout_detached(&Nonce::default(), &[], text.into())
            .map_err(io::Error::other)?;
        tag.copy_from_slice(&sealed);
        header.push_str(STANZA);
        BASE64.encode_string(share, &mut header);
        header.push('\n');
        BASE64.encode_string(*body, &mut header);
        header.push('\n');
    }
    header.push_str("---");
    let code = code(&key, header.as_bytes()).finalize().into_bytes();
    header.push(' ');
    BASE64.encode_string(code, &mut header);
    header.push('\n');
    Ok((header.into_bytes(), key))
}

/// Reads a header up to the payload, and the file key by the first of these keys that opens it.
pub(crate) fn open(input: &mut impl BufRead, keys: &[Identity]) -> Result<FileKey, SealError> {
    let mut lines = Lines { input, all: Vec::new() };
    if lines.next()? != VERSION.trim_end() {
        return Err(SealError::NotSealed);
    }
    let mut found = None;
    let mut line = lines.next()?;
    while let Some(stanza) = line.strip_prefix("-> ") {
        let share = stanza.strip_prefix("X25519 ").map(bytes_of).transpose()?;
        let body = lines.body()?;
        if let Some(share) = share
            && found.is_none()
        {
            let body = bytes_of(&body)?;
            found = keys.iter().find_map(|key| unwrap(key, share, body));
        }
        line = lines.next()?;
    }
    let code = line.strip_prefix("--- ").ok_or(SealError::Header("no end"))?;
    let code = bytes_of(code)?;
    let key = found.ok_or(SealError::NoKey)?;
    let signed = lines.all.len() - (line.len() - "---".len()) - 1;
    let right = self::code(&key, lines.all.get(..signed).unwrap_or_default());
    right.verify_slice(&code).map_err(|_| SealError::Header("its code is wrong"))?;
    Ok(key)
}

/// Derives a key: HKDF-SHA-256 for one block of 32 bytes (RFC 5869).
pub(crate) fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let extracted = Zeroizing::new(<[u8; 32]>::from(mac(salt).chain_update(secret).finalize().into_bytes()));
    let expanded = mac(&*extracted).chain_update(info).chain_update([1]).finalize();
    Zeroizing::new(expanded.into_bytes().into())
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// The code over a header up to `---`.
fn code(key: &FileKey, header: &[u8]) -> Hmac<Sha256> {
    mac(&*derive(&**key, &[], b"header")).chain_update(header)
}

fn wrap_cipher(shared: &[u8; 32], share: &[u8; 32], to: &Recipient) -> ChaCha20Poly1305 {
    let mut salt = [0; 64];
    salt[..32].copy_from_slice(share);
    salt[32..].copy_from_slice(to.as_bytes());
    ChaCha20Poly1305::new(&(*derive(shared, &salt, INFO)).into())
}

fn unwrap(key: &Identity, share: [u8; 32], mut body: [u8; 32]) -> Option<FileKey> {
    let shared = key.meet(share)?;
    let (text, tag) = body.split_at_mut(16);
    let tag = Tag::try_from(&*tag).ok()?;
    wrap_cipher(shared.as_bytes(), &share, &key.recipient())
        .decrypt_inout_detached(&Nonce::default(), &[], (&mut *text).into(), &tag)
        .ok()?;
    let key = <[u8; 16]>::try_from(&*text).ok().map(Zeroizing::new);
    zeroize::Zeroize::zeroize(&mut body);
    key
}

/// 32 bytes in base64 as the format has it: canonical, without padding.
fn bytes_of(text: &str) -> Result<[u8; 32], SealError> {
    let bytes = BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(SealError::Header("a key that is not 32 bytes in base64"))
}

struct Lines<'a, R> {
    input: &'a mut R,
    all: Vec<u8>,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line without its end.
    fn next(&mut self) -> Result<String, SealError> {
        let start = self.all.len();
        let room = MOST.saturating_sub(start as u64);
        io::Read::take(&mut *self.input, room).read_until(b'\n', &mut self.all)?;
        let line = self.all.get(start..).unwrap_or_default();
        match line.split_last() {
            Some((b'\n', line)) if line.is_ascii() => Ok(String::from_utf8_lossy(line).into_owned()),
            _ if start == 0 => Err(SealError::NotSealed),
            _ if room == 0 || self.all.len() as u64 == MOST => Err(SealError::Header("it is too long")),
            Some((b'\n', _)) => Err(SealError::Header("not all of it is text")),
            _ => Err(SealError::Header("it is cut")),
        }
    }

    /// The body of a stanza: lines of 64 characters, then one that is shorter.
    fn body(&mut self) -> Result<String, SealError> {
        let mut body = String::new();
        loop {
            let line = self.next()?;
            body.push_str(&line);
            match line.len() {
                64 => {}
                0..64 => return Ok(body),
                _ => return Err(SealError::Header("a line that is too long")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 5869 A.1 and A.3, whose first 32 bytes are one block.
    #[test]
    fn keys_are_derived_as_rfc_5869_does() {
        let info = hex("f0f1f2f3f4f5f6f7f8f9");
        let one = derive(&[0x0b; 22], &hex("000102030405060708090a0b0c"), &info);
        assert_eq!(one[..], hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"));
        let three = derive(&[0x0b; 22], &[], &[]);
        assert_eq!(three[..], hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"));
    }

    #[test]
    fn a_header_opens_to_each_recipient_and_has_the_length_foretold() {
        let keys = [(); 3].map(|()| Identity::generate().unwrap());
        let to: Vec<Recipient> = keys.iter().take(2).map(Identity::recipient).collect();
        let (header, key) = make(&to).unwrap();
        assert_eq!(header.len() as u64, len(2));
        for mine in keys.chunks(1).take(2) {
            assert_eq!(*open(&mut &header[..], mine).unwrap(), *key);
        }
        assert!(matches!(open(&mut &header[..], &keys[2..]), Err(SealError::NoKey)));
        assert_eq!(*open(&mut &header[..], &keys).unwrap(), *key, "any of several keys will do");
    }

    #[test]
    fn a_header_in_which_anything_is_changed_or_missing_is_refused() {
        let key = [Identity::generate().unwrap()];
        let (header, _) = make(&[key[0].recipient()]).unwrap();
        for at in 0..header.len() {
            assert!(open(&mut &header[..at], &key).is_err(), "cut at {at}");
            let mut other = header.clone();
            other[at] ^= 1;
            assert!(open(&mut &other[..], &key).is_err(), "changed at {at}");
        }
        let endless =
            [VERSION.as_bytes(), b"-> other\n", &[b"A".repeat(64), b"\n".to_vec()].concat().repeat(2_000)];
        assert!(matches!(open(&mut &endless.concat()[..], &key), Err(SealError::Header("it is too long"))));
    }

    #[test]
    fn stanzas_of_other_kinds_are_passed_over() {
        let key = [Identity::generate().unwrap()];
        let (header, file_key) = make(&[key[0].recipient()]).unwrap();
        let text = String::from_utf8(header).unwrap();
        let (stanzas, _) = text.split_once("---").unwrap();
        let other = format!("-> grease x y\n{}\nAAAA\n", "A".repeat(64));
        let mut text = stanzas.replacen(VERSION, &format!("{VERSION}{other}"), 1) + "---";
        let code = code(&file_key, text.as_bytes()).finalize().into_bytes();
        text.push(' ');
        BASE64.encode_string(code, &mut text);
        text.push('\n');
        assert_eq!(*open(&mut text.as_bytes(), &key).unwrap(), *file_key);
    }
}
