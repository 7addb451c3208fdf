//! A signed request to an address of the user's with what should be done: for everything that has no connector of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sidetap_policy::Response;

use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{AddressSeen, Entry, Places, Sees};
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;
use crate::memory::{File, Memory};
use crate::plan::Plan;
use crate::secret::{Secret, SecretRef};
use crate::turn::turn;
use crate::way::Ways;

/// A receiver of requests: `[[mitigation.webhook]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where requests go.
    pub url: String,
    /// Where it says what it holds, in the same form; what it was told is believed without it.
    #[serde(default)]
    pub observe_url: Option<String>,
    /// With what requests are signed; 16 characters at least.
    pub secret: SecretRef,
    /// Says which secret it is, while two are in use.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Where it is remembered what it was told.
    pub memory: PathBuf,
    /// What it can do.
    #[serde(default = "default_responses")]
    pub responses: Vec<Response>,
    /// Whether it knows Sidetap's fingerprints and keyed hashes.
    #[serde(default)]
    pub keys: bool,
    /// Whether it sees the connection's address or a forwarded one.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// How it is reached.
    #[serde(default)]
    pub http: HttpOptions,
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "webhook".to_owned()
}

pub(crate) fn default_responses() -> Vec<Response> {
    vec![Response::Block]
}

fn default_capacity() -> usize {
    100_000
}

/// The connector to a receiver of requests.
#[derive(Debug)]
pub struct WebhookConnector {
    config: WebhookConfig,
    http: Http,
    memory: Memory,
    sees: Sees,
}

impl WebhookConnector {
    /// The connector of this configuration.
    pub fn new(config: WebhookConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        for url in std::iter::once(&config.url).chain(&config.observe_url) {
            check_url(&config.name, url)?;
        }
        let http = Http::new(&config.http)?;
        let sees = sees_all(config.address, config.keys, config.responses.clone(), config.capacity);
        Ok(WebhookConnector { http, memory: Memory::new(&config.memory), sees, config })
    }

    fn send(
        &self,
        method: &str,
        url: &str,
        (body, id): (&[u8], Option<&str>),
        now: i64,
    ) -> Result<Value, ConnectorError> {
        let secret = self.config.secret.resolve().map_err(|e| ConnectorError::Missing(e.to_string()))?;
        let stamp = now.to_string();
        let signature = format!("v1={}", sign(&secret, &stamp, body));
        let key_id = self.config.key_id.as_deref().unwrap_or("default");
        let headers = [
            ("Content-Type", "application/json"),
            ("Sidetap-Timestamp", stamp.as_str()),
            ("Sidetap-Signature", signature.as_str()),
            ("Sidetap-Key-Id", key_id),
            ("Idempotency-Key", id.unwrap_or(&signature)),
        ];
        let ask = Ask { method, url, headers: &headers, body: (method != "GET").then_some(body) };
        let reply = self.http.ok(&ask)?;
        if method == "GET" { reply.json() } else { Ok(Value::Null) }
    }
}

/// What something of the user's sees, which may be told of everything.
pub(crate) fn sees_all(address: AddressSeen, keys: bool, responses: Vec<Response>, capacity: usize) -> Sees {
    Sees {
        address,
        prints: if keys { &["a1", "d1", "h1", "n1", "s2"] } else { &[] },
        tokens: keys,
        accounts: keys,
        headers: if keys { vec!["*".to_owned()] } else { Vec::new() },
        places: if keys { Places::Yes } else { Places::No },
        ways: Ways { all: true, ..Ways::default() },
        open_connections: "as the receiver does",
        delay: "as the receiver does",
        cannot: "with `keys = true` it is told of fingerprints, keyed hashes, headers and places too",
        ..Sees::addresses(responses, capacity)
    }
}

/// HMAC-SHA256 (RFC 2104) over `TIMESTAMP.BODY`, in hexadecimal digits.
pub(crate) fn sign(secret: &Secret, stamp: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(stamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Has a change told, and remembers it. It has one id until it is taken: where nobody knows whether it was (there is no answer, or who asked was
/// killed), and the same is wanted still, it is told again by that id.
pub(crate) fn tell<T>(
    memory: &Memory,
    name: &str,
    plan: &Plan,
    now: i64,
    say: impl FnOnce(&Value, &str) -> Result<T, ConnectorError>,
) -> Result<T, ConnectorError> {
    // Where the memory cannot be read it is written once all is told, and says so until then.
    let known = match memory.load() {
        Ok(file) => Some(file).filter(|f| f.broken.is_none()),
        Err(ConnectorError::Missing(_)) => None,
        Err(e) => return Err(e),
    };
    // The number of the change. A memory that is begun anew knows none that were used, and goes on from the time.
    let number = known.as_ref().and_then(|f| f.version).unwrap_or(now.unsigned_abs());
    if let Some(file) = known.filter(|f| f.version.is_none()) {
        // What lets go is told where nothing can be written too.
        let _ = memory.save(&File { version: Some(number), ..file });
    }
    let mut said = message(name, plan, now);
    let id = id(number, &said);
    if let Some(said) = said.as_object_mut() {
        said.insert("id".to_owned(), json!(id));
    }
    let taken = say(&said, &id)?;
    memory.write_version(&plan.target, number.saturating_add(1))?;
    Ok(taken)
}

/// The id of a change: by its number and what is told, whenever.
fn id(number: u64, said: &Value) -> String {
    let part = |name: &str| said.get(name).map(Value::to_string).unwrap_or_default();
    let text = ["connector", "entries", "changes"].map(part).join("\n");
    let digest = Sha256::digest(format!("{number}\n{text}").as_bytes());
    hex(digest.get(..16).unwrap_or_default())
}

/// What a receiver is told: all that should be there, and how that differs from before.
fn message(name: &str, plan: &Plan, now: i64) -> Value {
    let list = |entries: &[Entry]| -> Vec<Value> { entries.iter().map(form).collect() };
    let live: Vec<Value> = plan.target.iter().filter(|e| e.expires_at > now).map(form).collect();
    json!({
        "version": 1,
        "connector": name,
        "at": now,
        "entries": live,
        "changes": {"add": list(&plan.add), "refresh": list(&plan.refresh), "remove": list(&plan.remove)},
    })
}

fn form(entry: &Entry) -> Value {
    let mut form = json!({
        "key": entry.key,
        "response": entry.response,
        "expires_at": entry.expires_at,
        "verdict": entry.verdict,
    });
    if let (Some(way), Some(form)) = (&entry.way, form.as_object_mut()) {
        form.insert("way".to_owned(), json!(way));
    }
    form
}

/// What a receiver says that it holds: `{"entries": [{"key", "response", "expires_at", "verdict"}]}`; what else there is in the
/// list is somebody else's.
pub(crate) fn read(said: &Value) -> Result<Observed, ConnectorError> {
    let list = said.get("entries").and_then(Value::as_array);
    let list = list.ok_or_else(|| ConnectorError::Answer("there is no list `entries`".to_owned()))?;
    let mut observed = Observed::default();
    for entry in list {
        match serde_json::from_value::<Entry>(entry.clone()) {
            Ok(entry) if !entry.verdict.is_empty() => observed.entries.push(entry),
            _ => observed.foreign += 1,
        }
    }
    Ok(observed)
}

/// Puts in how entries are done where who says what is there does not repeat it.
pub(crate) fn with_ways(mut observed: Observed, told: &[Entry]) -> Observed {
    let told: BTreeMap<(&Key, Response), &Entry> = told.iter().map(|e| ((&e.key, e.response), e)).collect();
    for entry in observed.entries.iter_mut().filter(|e| e.way.is_none()) {
        entry.way = told.get(&(&entry.key, entry.response)).and_then(|t| t.way.clone());
    }
    observed
}

impl Connector for WebhookConnector {
    basics!("webhook");

    fn targets(&self) -> Vec<String> {
        files([&self.config.memory])
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        match &self.config.observe_url {
            Some(url) => {
                Ok(with_ways(read(&self.send("GET", url, (b"", None), now)?)?, &self.memory.told()?.entries))
            }
            None => self.memory.told(),
        }
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.memory, plan)?;
        plan.check_unseen(&self.observe(now)?.entries, "what the receiver holds")?;
        tell(&self.memory, &self.config.name, plan, now, |message, id| {
            self.send("POST", &self.config.url, (message.to_string().as_bytes(), Some(id)), now)
        })?;
        Ok(turn.answer(format!("{} entries taken", plan.target.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_others_compute() {
        // printf '1795214456.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let secret = Secret::new("0123456789abcdef").unwrap();
        assert_eq!(
            sign(&secret, "1795214456", b"{}"),
            "4ebcfd8998a0c43ca333dd6a3a485910feb5f5d1bdf014d3cebe35bc79c6c357"
        );
    }
}
