//! Credentials in headers and queries: which kind a request carries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sidetap_model::Headers;
use smallvec::SmallVec;

use crate::names::NameSet;

/// A credential as a request carries it. Values are raw: they are for hashing and comparing, never for output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential<'a> {
    /// `Basic` (RFC 7617): the user, decoded.
    Basic {
        /// The user's name.
        user: Vec<u8>,
    },
    /// `Bearer` (RFC 6750), and `Token`, with an opaque token.
    Bearer(&'a [u8]),
    /// A bearer that has the three parts of a JWT.
    Jwt(&'a [u8]),
    /// A key in a header of its own, or under the scheme `ApiKey`.
    ApiKey {
        /// The header.
        name: &'a [u8],
        /// The key.
        value: &'a [u8],
    },
    /// `Digest` (RFC 7616).
    Digest,
    /// A signature over the request: AWS, `Signature`, `HMAC`, OAuth 1.
    Signature,
    /// Another scheme.
    Other,
}

impl Credential<'_> {
    /// The kind as `EndpointRow::auth` names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Credential::Basic { .. } => "basic",
            Credential::Bearer(_) => "bearer",
            Credential::Jwt(_) => "jwt",
            Credential::ApiKey { .. } => "api-key",
            Credential::Digest => "digest",
            Credential::Signature => "signature",
            Credential::Other => "other",
        }
    }
}

/// The credentials in a request's headers, in their order; at most eight. Cookies are not looked at (see [`crate::cookies`]).
pub fn credentials(headers: &Headers) -> SmallVec<[Credential<'_>; 2]> {
    let mut found = SmallVec::new();
    for (name, value) in headers.iter() {
        if found.len() == MOST {
            break;
        }
        if name.eq_ignore_ascii_case(b"authorization") {
            found.extend(authorization(name, value));
        } else {
            found.extend(key_field(name, value));
        }
    }
    found
}

/// Credentials of one request that are looked at.
pub const MOST: usize = 8;

/// The key in a header that keys travel in (see [`is_key_header`]); nothing where it is empty or the header another.
#[inline]
pub fn key_field<'a>(name: &'a [u8], value: &'a [u8]) -> Option<Credential<'a>> {
    if value.is_empty() || !is_key_header(name) {
        return None;
    }
    Some(if is_jwt(value) { Credential::Jwt(value) } else { Credential::ApiKey { name, value } })
}

/// Reads the value of an `Authorization` field; nothing where it is empty.
pub fn authorization<'a>(name: &'a [u8], value: &'a [u8]) -> Option<Credential<'a>> {
    (!value.is_empty()).then(|| scheme(name, value))
}

fn scheme<'a>(name: &'a [u8], value: &'a [u8]) -> Credential<'a> {
    let at = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(at).unwrap_or((value, &[]));
    let token = rest.trim_ascii();
    let is = |known: &str| scheme.eq_ignore_ascii_case(known.as_bytes());
    if is("basic") {
        Credential::Basic { user: basic_user(token) }
    } else if is("bearer") || is("token") || is("jwt") {
        if is_jwt(token) { Credential::Jwt(token) } else { Credential::Bearer(token) }
    } else if is("apikey") || is("api-key") || is("key") {
        Credential::ApiKey { name, value: token }
    } else if is("digest") {
        Credential::Digest
    } else if is("signature") || is("hmac") || is("oauth") || scheme.to_ascii_uppercase().starts_with(b"AWS")
    {
        Credential::Signature
    } else if token.is_empty() && is_jwt(scheme) {
        Credential::Jwt(scheme)
    } else {
        Credential::Other
    }
}

/// The user of Basic credentials; empty where they cannot be decoded.
fn basic_user(token: &[u8]) -> Vec<u8> {
    let end = token.iter().position(|b| *b == b'=').unwrap_or(token.len());
    let token = token.get(..end.min(1024)).unwrap_or_default();
    let mut decoded = STANDARD_NO_PAD.decode(token).unwrap_or_default();
    let colon = decoded.iter().position(|b| *b == b':').unwrap_or(decoded.len());
    decoded.truncate(colon);
    decoded
}

/// True where a token has the three base64url parts of a JWT (RFC 7519), the first beginning as a JSON object does.
pub fn is_jwt(token: &[u8]) -> bool {
    let strange = |b: &u8| !(b.is_ascii_alphanumeric() | (*b == b'-') | (*b == b'_') | (*b == b'.'));
    token.starts_with(b"eyJ")
        && !token.iter().fold(false, |any, b| any | strange(b))
        && memchr::memchr_iter(b'.', token).take(3).count() == 2
}

/// True where a header is one that API keys travel in.
#[inline]
pub fn is_key_header(name: &[u8]) -> bool {
    KEY_HEADERS.has(name)
}

/// True of a header that key headers count among and that holds the session of somebody who signed in.
pub fn is_session_header(name: &[u8]) -> bool {
    SESSION_HEADERS.has(name)
}

/// True where a query parameter is one that credentials travel in: a finding in itself, for URLs are logged.
pub fn is_credential_parameter(name: &[u8]) -> bool {
    CREDENTIAL_PARAMETERS.has(name)
}

static KEY_HEADERS: NameSet = NameSet::new(&[
    b"x-api-key",
    b"api-key",
    b"apikey",
    b"x-apikey",
    b"x-api-token",
    b"x-auth-token",
    b"x-access-token",
    b"x-auth-key",
    b"x-authentication",
    b"x-goog-api-key",
    b"ocp-apim-subscription-key",
    b"x-rapidapi-key",
    b"x-app-key",
    b"x-application-key",
    b"x-client-key",
    b"x-functions-key",
    b"dd-api-key",
    b"private-token",
    b"x-vault-token",
    b"x-figma-token",
    b"x-shopify-access-token",
    b"x-session-token",
    b"x-user-token",
    b"x-amz-security-token",
    b"x-session",
    b"x-user-session",
    b"x-auth-session",
    b"x-sid",
    b"session-token",
    b"x-login-token",
]);

/// Of [`KEY_HEADERS`] those in which people's sessions travel, no partner's key.
static SESSION_HEADERS: NameSet = NameSet::new(&[
    b"x-session",
    b"x-session-token",
    b"x-user-token",
    b"x-user-session",
    b"x-auth-session",
    b"x-sid",
    b"session-token",
    b"x-login-token",
]);

static CREDENTIAL_PARAMETERS: NameSet = NameSet::new(&[
    b"api_key",
    b"apikey",
    b"api-key",
    b"key",
    b"access_token",
    b"accesstoken",
    b"auth_token",
    b"authtoken",
    b"token",
    b"id_token",
    b"refresh_token",
    b"jwt",
    b"session",
    b"sessionid",
    b"session_id",
    b"sid",
    b"password",
    b"passwd",
    b"pwd",
    b"secret",
    b"client_secret",
    b"signature",
    b"sig",
    b"x-amz-signature",
    b"subscription-key",
]);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Option<(&'static str, Option<Vec<u8>>)> {
        let mut headers = Headers::default();
        headers.push(name.as_bytes(), value.as_bytes());
        credentials(&headers).into_iter().next().map(|c| {
            let inner = match &c {
                Credential::Basic { user } => Some(user.clone()),
                Credential::Bearer(v) | Credential::Jwt(v) | Credential::ApiKey { value: v, .. } => {
                    Some(v.to_vec())
                }
                _ => None,
            };
            (c.kind(), inner)
        })
    }

    #[test]
    fn credentials_are_told_apart() {
        assert_eq!(
            of("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            Some(("basic", Some(b"Aladdin".to_vec())))
        );
        assert_eq!(of("authorization", "Bearer abc"), Some(("bearer", Some(b"abc".to_vec()))));
        assert_eq!(of("authorization", "bearer eyJh.eyJz.x-_9").map(|c| c.0), Some("jwt"));
        assert_eq!(of("X-Api-Key", "k1"), Some(("api-key", Some(b"k1".to_vec()))));
        assert_eq!(of("Authorization", "Digest username=\"x\""), Some(("digest", None)));
        assert_eq!(of("Authorization", "AWS4-HMAC-SHA256 Credential=x"), Some(("signature", None)));
        assert_eq!(of("Authorization", "Negotiate abc"), Some(("other", None)));
        assert_eq!(of("Accept", "x"), None);
        assert_eq!(of("Authorization", "Basic ???"), Some(("basic", Some(Vec::new()))));
    }
}
