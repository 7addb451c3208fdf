//! Log-in by a provider of OpenID Connect: authorization code with PKCE, discovery, and identity tokens verified by its published keys.
//!
//! Who comes back must be the browser that went: state, nonce and verifier belong to one cookie. An identity token holds only with a
//! signature of a key that the provider publishes, of an algorithm with a public key (RFC 8725), for this client, from this issuer
//! and in time (OpenID Connect Core §3.1.3.7).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;
use sidetap_model::Ts;

use super::{Role, Secret, same};

/// Log-ins under way.
const PENDING: usize = 1_000;
/// Seconds that one may take.
pub(crate) const PENDING_S: i64 = 600;
/// Seconds that clocks may differ.
const SKEW_S: i64 = 60;
/// Seconds for which the provider's keys are kept.
const KEYS_S: i64 = 3_600;
/// Seconds between two looks for a key that is not there.
const AGAIN_S: i64 = 30;

/// Asks the provider over HTTP: an address, and a form with credentials of the client where something is posted.
pub type Fetch = Arc<dyn Fn(&str, Option<Form<'_>>) -> Result<Vec<u8>, String> + Send + Sync>;

/// A form that is posted.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// `application/x-www-form-urlencoded`.
    pub body: &'a str,
    /// The value of `Authorization`, where the client has a secret.
    pub authorization: Option<&'a str>,
}

/// A provider that people log in by.
#[derive(Clone)]
pub struct Oidc {
    /// What the page calls it.
    pub name: String,
    /// Its issuer identifier, below which the discovery document is.
    pub issuer: String,
    /// This console's id there.
    pub client_id: String,
    /// Its secret, where it has one.
    pub secret: Option<String>,
    /// Where the console is, as browsers see it: `https://sensor.example`.
    pub url: String,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that names somebody.
    pub name_claim: String,
    /// The claim that says what somebody may, a text or a list; dots go into objects.
    pub role_claim: String,
    /// Values of that claim by role.
    pub roles: BTreeMap<String, String>,
    /// The role of who has none of them; without it they are not let in.
    pub default_role: Option<String>,
    /// How the provider is asked.
    pub fetch: Fetch,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oidc")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Log-ins by a provider.
pub(crate) struct Sso {
    pub(crate) oidc: Oidc,
    pending: Mutex<BTreeMap<String, Pending>>,
    provider: Mutex<Option<Provider>>,
}

#[derive(Clone)]
struct Pending {
    nonce: String,
    verifier: String,
    until: Ts,
}

#[derive(Clone)]
struct Provider {
    about: About,
    keys: Arc<Vec<Key>>,
    since: Ts,
}

#[derive(Clone, Deserialize)]
struct About {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    for_: Option<String>,
    n: String,
    e: String,
    crv: String,
    x: String,
    y: String,
}

/// Somebody whom the provider knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Issuer and subject, hashed: who has it is the same one.
    pub(crate) mark: String,
}

/// Why nobody is let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SsoError {
    /// The provider cannot be asked, or does not answer as it should.
    #[error("{0}")]
    Provider(String),
    /// What came back is not what was asked for.
    #[error("{0}")]
    Refused(String),
    /// They are known and may nothing here.
    #[error("{0} has none of the roles that are let in")]
    NoRole(String),
}

type Told<T> = Result<T, SsoError>;

fn refused<T>(why: impl Into<String>) -> Told<T> {
    Err(SsoError::Refused(why.into()))
}

impl Sso {
    pub(crate) fn new(oidc: Oidc) -> Self {
        Sso { oidc, pending: Mutex::default(), provider: Mutex::default() }
    }

    /// Where a browser is sent, and the state that it comes back with. Blocks while the provider is asked.
    pub(crate) fn begin(&self, now: Ts) -> Told<(String, String)> {
        let about = self.provider(now, false)?.about;
        let random = || Secret::random("").map(|s| s.show().to_owned());
        let fresh = || Ok::<_, getrandom::Error>((random()?, random()?, random()?));
        let (state, nonce, verifier) = fresh().map_err(|e| SsoError::Provider(e.to_string()))?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, p| p.until > now);
        if pending.len() >= PENDING {
            return refused("too many log-ins are under way");
        }
        let until = now.plus(PENDING_S * 1_000_000_000);
        pending.insert(state.clone(), Pending { nonce: nonce.clone(), verifier, until });
        let scope = std::iter::once("openid")
            .chain(self.oidc.scopes.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" ");
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.oidc.client_id),
            ("redirect_uri", &self.redirect()),
            ("scope", &scope),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let sign = if about.authorization_endpoint.contains('?') { '&' } else { '?' };
        Ok((format!("{}{sign}{query}", about.authorization_endpoint), state))
    }

    /// Who came back with a code. Blocks while the provider is asked; a state is worth something once.
    pub(crate) fn end(&self, state: &str, code: &str, now: Ts) -> Told<Person> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(state);
        let Some(pending) = pending.filter(|p| p.until > now) else {
            return refused("no such log-in is under way");
        };
        let about = self.provider(now, false)?.about;
        let mut fields = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", self.redirect()),
            ("code_verifier", pending.verifier),
        ];
        let authorization = match &self.oidc.secret {
            // RFC 6749 §2.3.1: both are encoded as in a form first.
            Some(secret) => {
                let pair = format!("{}:{}", encoded(&self.oidc.client_id), encoded(secret));
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            None => {
                fields.push(("client_id", self.oidc.client_id.clone()));
                None
            }
        };
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let body = form(&fields);
        let asked = Form { body: &body, authorization: authorization.as_deref() };
        let answer = (self.oidc.fetch)(&about.token_endpoint, Some(asked)).map_err(SsoError::Provider)?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|_| SsoError::Provider("its token is no JSON".to_owned()))?;
        let Some(token) = answer.get("id_token").and_then(Value::as_str) else {
            return refused("the provider gave no identity token");
        };
        let claims = self.verified(token, now)?;
        if !text(&claims, "nonce").is_some_and(|n| same(n.as_bytes(), pending.nonce.as_bytes())) {
            return refused("the identity token is of another log-in");
        }
        self.person(&claims)
    }

    /// The claims of an identity token, where it holds.
    fn verified(&self, token: &str, now: Ts) -> Told<Value> {
        let mut parts = token.split('.');
        let (Some(head), Some(body), Some(mark), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return refused("the identity token is none");
        };
        let decoded = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| SsoError::Refused("the identity token is none".to_owned()))
        };
        let json = |part: &str| -> Told<Value> {
            serde_json::from_slice(&decoded(part)?)
                .map_err(|_| SsoError::Refused("the identity token is none".to_owned()))
        };
        let (header, claims, mark) = (json(head)?, json(body)?, decoded(mark)?);
        let alg = text(&header, "alg").unwrap_or_default();
        let kid = text(&header, "kid");
        let signed = token.get(..head.len() + 1 + body.len()).unwrap_or_default();
        let holds =
            |keys: &[Key]| keys.iter().any(|k| k.fits(alg, kid) && k.holds(alg, signed.as_bytes(), &mark));
        // A key that is not known may be a new one.
        if !holds(&self.provider(now, false)?.keys) && !holds(&self.provider(now, true)?.keys) {
            return refused("the identity token has no signature of the provider's keys");
        }
        let about = self.provider(now, false)?.about;
        let audience: Vec<&str> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let own = self.oidc.client_id.as_str();
        let seconds = |claim: &str| claims.get(claim).and_then(Value::as_i64);
        match () {
            () if text(&claims, "iss") != Some(&about.issuer) => {
                refused("the identity token is of another issuer")
            }
            () if !audience.contains(&own) => refused("the identity token is for somebody else"),
            () if audience.len() > 1 && text(&claims, "azp") != Some(own) => {
                refused("the identity token is for others too")
            }
            () if seconds("exp").is_none_or(|t| t + SKEW_S <= now.secs()) => {
                refused("the identity token is over")
            }
            () if seconds("iat").is_none_or(|t| t - SKEW_S > now.secs()) => {
                refused("the identity token is not yet")
            }
            () => Ok(claims),
        }
    }

    fn person(&self, claims: &Value) -> Told<Person> {
        let Some(subject) = text(claims, "sub") else { return refused("the identity token names nobody") };
        let said = text(claims, &self.oidc.name_claim).unwrap_or(subject);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        let name: String = said.chars().map(|c| if fits(c) { c } else { '-' }).take(64).collect();
        let claim = self.oidc.role_claim.split('.').try_fold(claims, |at, part| at.get(part));
        let values: Vec<&str> = match claim {
            Some(Value::String(one)) => one.split_whitespace().collect(),
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mapped = values
            .iter()
            .filter_map(|v| self.oidc.roles.get(*v))
            .filter_map(|r| r.parse::<Role>().ok())
            .max();
        let usual = || self.oidc.default_role.as_ref().and_then(|r| r.parse().ok());
        let Some(role) = mapped.or_else(usual) else { return Err(SsoError::NoRole(name)) };
        let whole = format!("{}\n{subject}", self.oidc.issuer);
        let mark = format!("sso:{}", URL_SAFE_NO_PAD.encode(digest(&SHA256, whole.as_bytes())));
        Ok(Person { name, role, mark })
    }

    fn redirect(&self) -> String {
        format!("{}/api/v1/session/sso/callback", self.oidc.url.trim_end_matches('/'))
    }

    /// What the provider says of itself; asked again when it is old, or `anew`.
    fn provider(&self, now: Ts, anew: bool) -> Told<Provider> {
        let mut known = self.provider.lock().unwrap_or_else(PoisonError::into_inner);
        let age_s = known.as_ref().map(|p| now.since(p.since) / 1_000_000_000);
        if let (Some(provider), Some(age_s)) = (known.as_ref(), age_s)
            && age_s < if anew { AGAIN_S } else { KEYS_S }
        {
            return Ok(provider.clone());
        }
        let issuer = self.oidc.issuer.trim_end_matches('/');
        let about: About = self.asked(&format!("{issuer}/.well-known/openid-configuration"))?;
        if about.issuer.trim_end_matches('/') != issuer {
            return Err(SsoError::Provider(format!("it says that it is {}", about.issuer)));
        }
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<Value>,
        }
        let keys: Keys = self.asked(&about.jwks_uri)?;
        // Keys of kinds that are not known are passed over.
        let keys = keys.keys.into_iter().filter_map(|k| serde_json::from_value(k).ok()).collect();
        let provider = Provider { about, keys: Arc::new(keys), since: now };
        *known = Some(provider.clone());
        Ok(provider)
    }

    fn asked<T: for<'de> Deserialize<'de>>(&self, url: &str) -> Told<T> {
        let answer = (self.oidc.fetch)(url, None).map_err(SsoError::Provider)?;
        serde_json::from_slice(&answer).map_err(|e| SsoError::Provider(format!("{url}: {e}")))
    }
}

impl Key {
    fn fits(&self, alg: &str, kid: Option<&str>) -> bool {
        let kind = match alg {
            "RS256" | "PS256" => "RSA",
            "ES256" => "EC",
            _ => return false,
        };
        let named = kid.is_none() || self.kid.as_deref() == kid;
        named && self.kty == kind && self.for_.as_deref().is_none_or(|u| u == "sig")
    }

    fn holds(&self, alg: &str, signed: &[u8], mark: &[u8]) -> bool {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap_or_default();
        if alg == "ES256" {
            let (x, y) = (bytes(&self.x), bytes(&self.y));
            let point = [&[4][..], &x, &y].concat();
            return self.crv == "P-256"
                && UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, mark).is_ok();
        }
        let key = RsaPublicKeyComponents { n: bytes(&self.n), e: bytes(&self.e) };
        match alg {
            "RS256" => key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, mark).is_ok(),
            _ => key.verify(&RSA_PSS_2048_8192_SHA256, signed, mark).is_ok(),
        }
    }
}

fn text<'a>(claims: &'a Value, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

fn form(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(n, v)| format!("{n}={}", encoded(v))).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    const NOW: Ts = Ts(1_795_000_000_000_000_000);

    /// A provider in memory: what it signs, and what was posted to it.
    struct Fake {
        pair: EcdsaKeyPair,
        sso: Sso,
        token: Arc<Mutex<String>>,
        posted: Arc<Mutex<String>>,
    }

    impl Fake {
        fn new() -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
            let point = pair.public_key().as_ref().to_vec();
            let key = json!({"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig",
                "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..])});
            let (token, posted) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
            let (given, told) = (Arc::clone(&token), Arc::clone(&posted));
            let fetch: Fetch = Arc::new(move |url, form| {
                let answer = match url.rsplit('/').next().unwrap() {
                    "openid-configuration" => {
                        json!({"issuer": "https://id.example", "authorization_endpoint": "https://id.example/auth",
                        "token_endpoint": "https://id.example/token", "jwks_uri": "https://id.example/jwks"})
                    }
                    "jwks" => json!({"keys": [{"kty": "OKP"}, key]}),
                    "token" => {
                        *told.lock().unwrap() = form.unwrap().body.to_owned();
                        json!({"id_token": *given.lock().unwrap()})
                    }
                    other => return Err(other.to_owned()),
                };
                Ok(answer.to_string().into_bytes())
            });
            let oidc = Oidc {
                name: "Example".into(),
                issuer: "https://id.example".into(),
                client_id: "sidetap".into(),
                secret: None,
                url: "https://sensor.example/".into(),
                scopes: vec!["profile".into()],
                name_claim: "preferred_username".into(),
                role_claim: "realm.roles".into(),
                roles: BTreeMap::from([("soc".into(), "analyst".into()), ("ops".into(), "operator".into())]),
                default_role: None,
                fetch,
            };
            Fake { pair, sso: Sso::new(oidc), token, posted }
        }

        fn signed(&self, header: &Value, claims: &Value) -> String {
            let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
            let signed = format!("{}.{}", part(header), part(claims));
            let mark = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark))
        }

        /// Logs in with a token of these claims, changed.
        fn log_in(&self, header: &Value, change: impl Fn(&mut Value)) -> Told<Person> {
            let (url, state) = self.sso.begin(NOW).unwrap();
            let nonce = url.split("nonce=").nth(1).unwrap().split('&').next().unwrap();
            let mut claims = json!({"iss": "https://id.example", "aud": "sidetap", "sub": "17", "exp": NOW.secs() + 60, "iat": NOW.secs(),
                "nonce": nonce, "preferred_username": "ada b", "realm": {"roles": ["soc", "ops", "x"]}});
            change(&mut claims);
            *self.token.lock().unwrap() = self.signed(header, &claims);
            self.sso.end(&state, "code", NOW)
        }
    }

    fn head() -> Value {
        json!({"alg": "ES256", "kid": "k"})
    }

    #[test]
    fn who_the_provider_vouches_for_is_let_in_with_his_role() {
        let fake = Fake::new();
        let person = fake.log_in(&head(), |_| ()).unwrap();
        assert_eq!((person.name.as_str(), person.role), ("ada-b", Role::Operator));
        let posted = fake.posted.lock().unwrap().clone();
        for part in [
            "grant_type=authorization_code",
            "code=code",
            "code_verifier=",
            "client_id=sidetap",
            "redirect_uri=https%3A%2F%2Fsensor.example%2Fapi%2Fv1%2Fsession%2Fsso%2Fcallback",
        ] {
            assert!(posted.contains(part), "{part} is not in {posted}");
        }
        let (url, _) = fake.sso.begin(NOW).unwrap();
        assert!(
            url.starts_with("https://id.example/auth?response_type=code")
                && url.contains("code_challenge_method=S256"),
            "{url}"
        );
        assert_eq!(fake.log_in(&head(), |c| c["realm"] = json!({})), Err(SsoError::NoRole("ada-b".into())));
    }

    #[test]
    fn what_is_not_for_us_or_not_signed_is_refused() {
        let fake = Fake::new();
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 7] = [
            ("another log-in", |c| c["nonce"] = json!("x")),
            ("another issuer", |c| c["iss"] = json!("https://evil.example")),
            ("somebody else", |c| c["aud"] = json!("other")),
            ("others too", |c| c["aud"] = json!(["sidetap", "other"])),
            ("is over", |c| c["exp"] = json!(NOW.secs() - 61)),
            ("not yet", |c| c["iat"] = json!(NOW.secs() + 120)),
            ("names nobody", |c| _ = c.as_object_mut().unwrap().remove("sub")),
        ];
        for (why, change) in cases {
            let error = fake.log_in(&head(), change).unwrap_err().to_string();
            assert!(error.contains(why), "{error} instead of {why}");
        }
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256", "kid": "k"}),
            json!({"alg": "ES256", "kid": "other"}),
            json!({"alg": "RS256"}),
        ] {
            assert!(
                fake.log_in(&header, |_| ()).unwrap_err().to_string().contains("no signature"),
                "{header}"
            );
        }
        assert!(fake.sso.end("made up", "code", NOW).unwrap_err().to_string().contains("under way"));
        let (_, state) = fake.sso.begin(NOW).unwrap();
        let late = NOW.plus((PENDING_S + 1) * 1_000_000_000);
        assert!(fake.sso.end(&state, "code", late).unwrap_err().to_string().contains("under way"));
    }
}
