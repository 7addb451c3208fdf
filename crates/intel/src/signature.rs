//! HTTP message signatures (RFC 9421) as agents use them to say who they are (Web Bot Auth, `tag="web-bot-auth"`).
//!
//! [`read_signature`] takes what is needed out of a request, without looking at keys; [`KeyDirectories::verify`] holds it
//! against keys that the user installed. Only Ed25519 is verified. A request whose signature covers what was changed on its way
//! to the mirror (a rewritten Host) does not verify: that reads invalid, and its reason says which part was covered.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use sidetap_model::{Request, Ts};
use sidetap_wire::target;

use crate::IntelError;

/// Longest fields that are read, members and components looked at, keys of a directory.
const FIELD: usize = 8 << 10;
const MEMBERS: usize = 8;
const COMPONENTS: usize = 32;
const KEYS: usize = 256;
/// Seconds by which clocks may differ.
const SKEW: i64 = 60;
/// The longest that a signature may hold: more is no proof of who asks now.
const LONGEST: i64 = 86_400;

/// A request's signature and all that it takes to verify it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signed {
    /// Host of the agent that the request names.
    pub agent: String,
    /// The key that it names.
    pub key: String,
    created: Option<i64>,
    expires: Option<i64>,
    signature: Vec<u8>,
    /// What was signed; where the scheme was and the mirror cannot know it, for https and for http.
    bases: Vec<Vec<u8>>,
    /// Why it cannot be right whatever the key is.
    broken: Option<&'static str>,
}

impl Signed {
    /// Bytes that it holds besides its own size.
    pub fn heap_bytes(&self) -> usize {
        let bases = self.bases.iter().map(|b| size_of_val(b) + b.len()).sum::<usize>();
        self.agent.len() + self.key.len() + self.signature.len() + bases
    }
}

/// What became of a signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verification {
    /// Signed with a key of this directory.
    Valid(u16),
    /// It is wrong, and why.
    Invalid(&'static str),
    /// Nobody installed the key: the agent only says so.
    Claimed,
}

/// The keys of one signing agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directory {
    /// What the agent is called.
    pub name: String,
    /// Who operates it.
    pub operator: String,
    /// What it is for: `agent`, `user`, `search`, `training`, …
    pub function: String,
    /// Hosts by which requests name it, in lower case; none means any.
    pub agents: Vec<String>,
    keys: Vec<([String; 2], [u8; 32])>,
}

/// All installed keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyDirectories {
    directories: Vec<Directory>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    #[serde(default)]
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    kid: String,
}

impl Directory {
    /// Reads a directory of keys (JWKS, RFC 7517); keys other than Ed25519 are passed over, a file without any is refused.
    pub fn parse(name: &str, jwks: &[u8]) -> Result<Self, IntelError> {
        let bad = |what: String| IntelError::Keys(name.into(), what);
        let file: Jwks = serde_json::from_slice(jwks).map_err(|e| bad(format!("not a JWKS: {e}")))?;
        let mut keys = Vec::new();
        for jwk in file.keys.into_iter().filter(|k| k.kty == "OKP" && k.crv == "Ed25519").take(KEYS) {
            let raw = URL_SAFE_NO_PAD.decode(&jwk.x).ok().and_then(|b| <[u8; 32]>::try_from(b).ok());
            let raw = raw.ok_or_else(|| bad(format!("key `{}` is no Ed25519 key", jwk.kid)))?;
            keys.push(([thumbprint(&jwk.x), jwk.kid], raw));
        }
        if keys.is_empty() {
            return Err(bad("it holds no Ed25519 key".into()));
        }
        Ok(Directory { name: name.into(), keys, ..Directory::default() })
    }
}

/// The thumbprint of an Ed25519 key (RFC 7638, RFC 8037 §2).
fn thumbprint(x: &str) -> String {
    let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

impl KeyDirectories {
    /// These directories.
    pub fn new(directories: Vec<Directory>) -> Self {
        KeyDirectories { directories }
    }

    /// The directory of this number.
    pub fn directory(&self, at: u16) -> Option<&Directory> {
        self.directories.get(usize::from(at))
    }

    /// Verifies a signature as of `now`.
    pub fn verify(&self, signed: &Signed, now: Ts) -> Verification {
        if let Some(why) = signed.broken {
            return Verification::Invalid(why);
        }
        let named = |d: &Directory| {
            d.keys.iter().position(|(ids, _)| ids.iter().any(|i| !i.is_empty() && *i == signed.key))
        };
        let found = self.directories.iter().enumerate().find_map(|(at, d)| Some((at, d, named(d)?)));
        let Some((at, directory, key)) = found else { return Verification::Claimed };
        if let Some(why) = signed.untimely(now) {
            return Verification::Invalid(why);
        }
        let known = |host: &String| directory.agents.iter().any(|a| a == host);
        if !signed.agent.is_empty() && !directory.agents.is_empty() && !known(&signed.agent) {
            return Verification::Invalid("the key is another agent's than the one that the request names");
        }
        let Some((_, raw)) = directory.keys.get(key) else { return Verification::Claimed };
        let public = UnparsedPublicKey::new(&ED25519, raw);
        let right = signed.bases.iter().any(|base| public.verify(base, &signed.signature).is_ok());
        match u16::try_from(at) {
            Ok(at) if right => Verification::Valid(at),
            _ => Verification::Invalid("the signature is not of the key that it names"),
        }
    }
}

impl Signed {
    fn broken(mut self, why: &'static str) -> Box<Self> {
        self.broken = Some(why);
        Box::new(self)
    }

    fn untimely(&self, now: Ts) -> Option<&'static str> {
        let now = now.secs();
        let (Some(created), Some(expires)) = (self.created, self.expires) else {
            return Some("it does not say from when until when it holds");
        };
        if expires < now.saturating_sub(SKEW) {
            Some("it has expired")
        } else if created > now.saturating_add(SKEW) {
            Some("it was made in the future")
        } else if expires.saturating_sub(created) > LONGEST {
            Some("it holds for more than a day")
        } else {
            None
        }
    }
}

/// The signature by which a request says which agent sends it; nothing where there is none.
pub fn read_signature(request: &Request) -> Option<Box<Signed>> {
    request.headers.get("signature-input")?;
    let input = field(request, b"signature-input")?;
    let (label, member) =
        members(&input).into_iter().find(|(_, m)| parameter(m, "tag").as_deref() == Some("web-bot-auth"))?;
    let mut signed = Signed {
        agent: field(request, b"signature-agent").map(|v| host_in(&v, label)).unwrap_or_default(),
        key: parameter(member, "keyid").unwrap_or_default(),
        created: number(member, "created"),
        expires: number(member, "expires"),
        ..Signed::default()
    };
    if parameter(member, "alg").is_some_and(|a| a != "ed25519") {
        return Some(signed.broken("its algorithm is not Ed25519"));
    }
    if signed.key.is_empty() {
        return Some(signed.broken("it names no key"));
    }
    let signature = field(request, b"signature").unwrap_or_default();
    let bytes = members(&signature).into_iter().find(|(l, _)| *l == label).and_then(|(_, m)| {
        let text = m.trim().strip_prefix(':')?;
        STANDARD.decode(text.get(..text.find(':')?)?).ok()
    });
    let Some(bytes) = bytes.filter(|b| b.len() == 64) else {
        return Some(signed.broken("the signature itself is missing or malformed"));
    };
    signed.signature = bytes;
    match bases(request, member) {
        Ok(bases) => signed.bases = bases,
        Err(why) => return Some(signed.broken(why)),
    }
    Some(Box::new(signed))
}

/// All values of a field joined as RFC 9421 §2.1 has it; nothing where there is none, or more than is read.
fn field(request: &Request, name: &[u8]) -> Option<String> {
    let mut out: Option<String> = None;
    for (_, value) in request.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)) {
        let value = std::str::from_utf8(value).ok()?.trim();
        match &mut out {
            Some(text) => {
                text.push_str(", ");
                text.push_str(value);
            }
            None => out = Some(value.to_owned()),
        }
    }
    out.filter(|text| text.len() <= FIELD)
}

/// Splits at `separator` outside of quotes and parentheses.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0u32, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            c if c == separator && !quoted && depth == 0 => {
                parts.extend(text.get(from..at));
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(from..));
    parts
}

/// Members of a dictionary (RFC 8941 §3.2): names with what follows `=`.
fn members(text: &str) -> Vec<(&str, &str)> {
    let parts = split(text, ',').into_iter().take(MEMBERS);
    parts.filter_map(|m| m.split_once('=')).map(|(name, value)| (name.trim(), value.trim())).collect()
}

/// A parameter of a member, without its quotes.
fn parameter(member: &str, name: &str) -> Option<String> {
    let parts = split(member, ';').into_iter().skip(1);
    let value = parts.filter_map(|p| p.split_once('=')).find(|(n, _)| n.trim() == name)?.1.trim();
    let text = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    (text.len() <= 256).then(|| text.replace("\\\"", "\"").replace("\\\\", "\\"))
}

fn number(member: &str, name: &str) -> Option<i64> {
    parameter(member, name)?.parse().ok()
}

/// The host that Signature-Agent names: a string, or the dictionary's member of this label.
fn host_in(value: &str, label: &str) -> String {
    let member = members(value).into_iter().find(|(l, _)| *l == label).map(|(_, v)| v);
    let text = member.unwrap_or(value).trim().trim_matches('"');
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':', '"', ';']).next().unwrap_or_default();
    host.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c))
        .take(253)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// What was signed (RFC 9421 §2.5): one text, or two where it depends on the scheme.
fn bases(request: &Request, member: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let end = inner_end(member).ok_or("what it covers is malformed")?;
    let inner = member.get(1..end).ok_or("what it covers is malformed")?;
    let components: Vec<&str> = split(inner, ' ').into_iter().filter(|c| !c.is_empty()).collect();
    if components.len() > COMPONENTS {
        return Err("it covers more than is read");
    }
    let covers = |name: &str| components.iter().any(|c| c.starts_with(&format!("\"{name}\"")));
    if !covers("@authority") && !covers("@target-uri") {
        return Err("it does not cover the host: it would hold anywhere");
    }
    if field(request, b"signature-agent").is_some() && !covers("signature-agent") {
        return Err("it does not cover the agent that the request names");
    }
    let schemes: &[&str] =
        if covers("@scheme") || covers("@target-uri") { &["https", "http"] } else { &["https"] };
    schemes.iter().map(|scheme| base(request, &components, member, scheme)).collect()
}

/// Where the list of components ends.
fn inner_end(member: &str) -> Option<usize> {
    if !member.starts_with('(') {
        return None;
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in member.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ')' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn base(request: &Request, components: &[&str], member: &str, scheme: &str) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    for component in components {
        let (name, parameters) = component
            .strip_prefix('"')
            .and_then(|c| c.split_once('"'))
            .ok_or("what it covers is malformed")?;
        let value = value_of(request, name, parameters, scheme)?;
        out.extend_from_slice(component.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&value);
        out.push(b'\n');
    }
    out.extend_from_slice(b"\"@signature-params\": ");
    out.extend_from_slice(member.as_bytes());
    Ok(out)
}

fn value_of(request: &Request, name: &str, parameters: &str, scheme: &str) -> Result<Vec<u8>, &'static str> {
    let split_target = target::split(&request.method, &request.target);
    let bytes = |b: Option<&[u8]>| b.unwrap_or_default().to_vec();
    let authority = || {
        let (host, port) = target::host_of(request).unwrap_or_default();
        match port {
            Some(port) if port != 80 && port != 443 => format!("{host}:{port}"),
            _ => host,
        }
    };
    if name.starts_with('@') && !parameters.is_empty() {
        return Err("it covers a part in a form that is not verified here");
    }
    match name {
        "@method" => return Ok(request.method.to_vec()),
        "@authority" => return Ok(authority().into_bytes()),
        "@scheme" => return Ok(scheme.as_bytes().to_vec()),
        "@request-target" => return Ok(request.target.to_vec()),
        "@path" => {
            let path = bytes(split_target.path);
            return Ok(if path.is_empty() { b"/".to_vec() } else { path });
        }
        "@query" => return Ok([b"?", split_target.query.unwrap_or_default()].concat()),
        "@target-uri" => {
            let query = split_target.query.map(|q| [b"?", q].concat()).unwrap_or_default();
            let start = format!("{scheme}://{}", authority());
            return Ok([start.as_bytes(), split_target.path.unwrap_or(b"/"), &query].concat());
        }
        n if n.starts_with('@') => return Err("it covers a part that is not verified here"),
        _ => {}
    }
    let value = field(request, name.as_bytes()).ok_or("it covers a field that is not there")?;
    match parameters {
        "" => Ok(value.into_bytes()),
        p => {
            let key = parameter(p, "key").filter(|_| split(p, ';').len() == 2);
            let key = key.ok_or("it covers a field in a form that is not verified here")?;
            let member =
                members(&value).into_iter().find(|(l, _)| *l == key).map(|(_, v)| v.as_bytes().to_vec());
            member.ok_or("it covers a field that is not there")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use sidetap_model::Headers;

    const NOW: i64 = 1_800_000_000;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap()
    }

    fn jwks() -> String {
        let x = URL_SAFE_NO_PAD.encode(pair().public_key());
        format!(r#"{{"keys":[{{"kty":"RSA"}},{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"one"}}]}}"#)
    }

    fn directories() -> KeyDirectories {
        let mut d = Directory::parse("agent", jwks().as_bytes()).unwrap();
        d.agents = vec!["agent.example".into()];
        KeyDirectories::new(vec![d])
    }

    fn request(fields: &[(&str, &str)]) -> Request {
        let mut headers = Headers::default();
        for (n, v) in fields {
            headers.push(n.as_bytes(), v.as_bytes());
        }
        Request {
            method: b"GET".to_vec(),
            target: b"/path?x=1".to_vec(),
            headers,
            version: sidetap_model::Version(1, 1),
            body: sidetap_model::Body::default(),
        }
    }

    /// A request signed over `covered` with these parameters, as an agent would make it.
    fn signed(covered: &str, rest: &str) -> Request {
        let x = URL_SAFE_NO_PAD.encode(pair().public_key());
        let params = format!(
            "({covered});created={};expires={};keyid=\"{}\";alg=\"ed25519\";nonce=\"abc\";tag=\"web-bot-auth\"{rest}",
            NOW - 5,
            NOW + 300,
            thumbprint(&x)
        );
        let mut fields = vec![
            ("Host", "Shop.Example"),
            ("Signature-Agent", "\"https://agent.example\""),
            ("Accept", "text/html"),
        ];
        let draft = request(&fields);
        let list: Vec<&str> = covered.split(' ').collect();
        let text = base(&draft, &list, &params, "https").unwrap();
        let signature = format!("sig1=:{}:", STANDARD.encode(pair().sign(&text)));
        let input = format!("sig1={params}");
        fields.push(("Signature-Input", &input));
        fields.push(("Signature", &signature));
        request(&fields)
    }

    fn verdict(request: &Request, at: i64) -> Verification {
        directories().verify(&read_signature(request).unwrap(), Ts::from_parts(at, 0))
    }

    const USUAL: &str = "\"@authority\" \"signature-agent\"";

    #[test]
    fn a_right_signature_verifies() {
        assert_eq!(verdict(&signed(USUAL, ""), NOW), Verification::Valid(0));
        let all =
            "\"@method\" \"@target-uri\" \"@path\" \"@query\" \"@scheme\" \"accept\" \"signature-agent\"";
        assert_eq!(verdict(&signed(all, ""), NOW), Verification::Valid(0));
        let found = read_signature(&signed(USUAL, "")).unwrap();
        assert_eq!(found.agent, "agent.example");
    }

    #[test]
    fn the_base_is_as_the_rfc_writes_it() {
        let text = base(
            &request(&[("Host", "shop.example")]),
            &["\"@authority\"", "\"@method\""],
            "(\"@authority\" \"@method\");tag=\"x\"",
            "https",
        )
        .unwrap();
        let wanted = "\"@authority\": shop.example\n\"@method\": GET\n\"@signature-params\": (\"@authority\" \"@method\");tag=\"x\"";
        assert_eq!(String::from_utf8(text).unwrap(), wanted);
    }

    /// The key of RFC 9421 appendix B.1.4 and the signature of its example B.2.6.
    #[test]
    fn the_example_of_the_rfc_verifies() {
        let x = "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs";
        let raw = URL_SAFE_NO_PAD.decode(x).unwrap();
        let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\"@authority\": example.com\n\"content-type\": application/json\n\"content-length\": 18\n\"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
        let signature = STANDARD
            .decode(
                "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
            )
            .unwrap();
        assert!(UnparsedPublicKey::new(&ED25519, raw).verify(base.as_bytes(), &signature).is_ok());
    }

    #[test]
    fn what_was_changed_or_is_late_does_not_verify() {
        let mut other_host = signed(USUAL, "");
        let mut headers = Headers::default();
        for (n, v) in other_host.headers.iter() {
            headers.push(n, if n == b"Host" { b"other.example" } else { v });
        }
        other_host.headers = headers;
        assert!(matches!(verdict(&other_host, NOW), Verification::Invalid(_)));
        assert_eq!(verdict(&signed(USUAL, ""), NOW + 1_000), Verification::Invalid("it has expired"));
        assert_eq!(
            verdict(&signed(USUAL, ""), NOW - 1_000),
            Verification::Invalid("it was made in the future")
        );
        let open = signed("\"signature-agent\"", "");
        assert!(matches!(verdict(&open, NOW), Verification::Invalid(why) if why.contains("host")));
        let hidden = signed("\"@authority\"", "");
        assert!(matches!(verdict(&hidden, NOW), Verification::Invalid(why) if why.contains("agent")));
    }

    #[test]
    fn without_the_key_it_is_a_claim() {
        let found = read_signature(&signed(USUAL, "")).unwrap();
        assert_eq!(KeyDirectories::default().verify(&found, Ts::from_parts(NOW, 0)), Verification::Claimed);
        assert!(
            read_signature(&request(&[
                ("Host", "x"),
                ("Signature-Input", "sig1=(\"@method\");tag=\"other\"")
            ]))
            .is_none()
        );
        assert!(read_signature(&request(&[("Host", "x")])).is_none());
    }

    #[test]
    fn hostile_fields_are_read_without_harm() {
        for input in [
            "sig=(\"",
            "sig=(;tag=\"web-bot-auth\"",
            "=,,;=\"",
            "sig1=()\u{0};tag=\"web-bot-auth\";keyid=\"k\"",
            "sig1=(\"@authority\" \"x\";key=\"\\);tag=\"web-bot-auth\";keyid=\"k\"",
        ] {
            let r = request(&[("Signature-Input", input), ("Signature", "sig1=:AA:")]);
            if let Some(found) = read_signature(&r) {
                assert_ne!(directories().verify(&found, Ts(0)), Verification::Valid(0));
            }
        }
        assert!(Directory::parse("x", b"{\"keys\":[]}").is_err() && Directory::parse("x", b"[]").is_err());
    }
}
