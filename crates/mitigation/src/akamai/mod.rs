//! Akamai: a network list, changed under its synchronisation point and then activated.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sidetap_policy::Response;

use crate::aws::mac;
use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{Entry, Sees};
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;
use crate::memory::Memory;
use crate::plan::Plan;
use crate::secret::{Secret, SecretRef};
use crate::turn::turn;
use crate::webhook::hex;

/// A network list: `[[mitigation.akamai]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AkamaiConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The API client's host, `https://akab-….luna.akamaiapis.net`.
    pub url: String,
    /// The list's id, `12345_SIDETAP`; of type IP.
    pub list: String,
    /// `PRODUCTION` or `STAGING`.
    #[serde(default = "default_network")]
    pub network: String,
    /// The API client's token.
    pub client_token: SecretRef,
    /// Its secret.
    pub client_secret: SecretRef,
    /// Its access token.
    pub access_token: SecretRef,
    /// Where it is remembered which addresses are ours.
    pub memory: PathBuf,
    /// Most entries.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// Seconds between two changes at least: an activation takes minutes.
    #[serde(default = "default_interval")]
    pub min_interval_s: u64,
    /// How it is reached.
    #[serde(default)]
    pub http: HttpOptions,
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "akamai".to_owned()
}

fn default_network() -> String {
    "PRODUCTION".to_owned()
}

fn default_capacity() -> usize {
    10_000
}

fn default_interval() -> u64 {
    300
}

/// The connector to a network list.
#[derive(Debug)]
pub struct AkamaiConnector {
    config: AkamaiConfig,
    http: Http,
    memory: Memory,
    sees: Sees,
}

/// What a request is signed with.
struct EdgeGrid<'a> {
    client: &'a Secret,
    secret: &'a Secret,
    access: &'a Secret,
}

impl EdgeGrid<'_> {
    /// The value of `Authorization` (EdgeGrid `EG1-HMAC-SHA256`); of bodies only that of a POST counts.
    fn authorization(&self, ask: &Ask<'_>, stamp: &str, nonce: &str) -> String {
        let (scheme, rest) = ask.url.split_once("://").unwrap_or_default();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let hash = match ask.body {
            Some(body) if ask.method == "POST" && !body.is_empty() => STANDARD.encode(Sha256::digest(body)),
            _ => String::new(),
        };
        let head = format!(
            "EG1-HMAC-SHA256 client_token={};access_token={};timestamp={stamp};nonce={nonce};",
            self.client.expose(),
            self.access.expose()
        );
        let key = STANDARD.encode(mac(self.secret.expose().as_bytes(), stamp.as_bytes()));
        let text = format!("{}\t{scheme}\t{host}\t{path}\t\t{hash}\t{head}", ask.method);
        format!("{head}signature={}", STANDARD.encode(mac(key.as_bytes(), text.as_bytes())))
    }
}

/// The list as Akamai holds it.
struct List {
    elements: BTreeSet<Key>,
    sync_point: u64,
    name: String,
}

impl AkamaiConnector {
    /// The connector of this configuration.
    pub fn new(config: AkamaiConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        check_url(&config.name, &config.url)?;
        if config.list.is_empty() || !config.list.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(ConfigError::Value(format!("{}: list: letters, digits and `_`", config.name)));
        }
        if !["PRODUCTION", "STAGING"].contains(&config.network.as_str()) {
            return Err(ConfigError::Value(format!("{}: network is PRODUCTION or STAGING", config.name)));
        }
        let sees = Sees {
            open_connections: "the next request on it is refused",
            delay: "minutes: a list is activated on the whole network",
            cannot: "a network list of type IP holds addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        let (http, memory) = (Http::new(&config.http)?, Memory::new(&config.memory));
        Ok(AkamaiConnector { http, memory, sees, config })
    }

    fn call(
        &self,
        method: &str,
        rest: &str,
        body: Option<&Value>,
        now: i64,
    ) -> Result<Value, ConnectorError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let secret = |s: &SecretRef| s.resolve().map_err(|e| ConnectorError::Missing(e.to_string()));
        let (client, key, access) = (
            secret(&self.config.client_token)?,
            secret(&self.config.client_secret)?,
            secret(&self.config.access_token)?,
        );
        let url = format!("{}/network-list/v2/network-lists/{}{rest}", self.config.url, self.config.list);
        let body = body.map(Value::to_string);
        let mut ask = Ask { method, url: &url, headers: &[], body: body.as_deref().map(str::as_bytes) };
        let stamp =
            Timestamp::from_second(now).unwrap_or_default().strftime("%Y%m%dT%H:%M:%S+0000").to_string();
        let turn = COUNT.fetch_add(1, Ordering::Relaxed);
        let nonce = hex(&Sha256::digest(format!("{now}.{turn}.{}", std::process::id()).as_bytes()));
        let signer = EdgeGrid { client: &client, secret: &key, access: &access };
        let authorization = signer.authorization(&ask, &stamp, &nonce);
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        ask.headers = &headers;
        let reply = self.http.ok(&ask)?;
        if reply.body.is_empty() { Ok(Value::Null) } else { reply.json() }
    }

    fn list(&self, now: i64) -> Result<List, ConnectorError> {
        let said = self.call("GET", "?includeElements=true&extended=true", None, now)?;
        let sync_point = said.get("syncPoint").and_then(Value::as_u64);
        let Some(sync_point) = sync_point else {
            return Err(ConnectorError::Answer("no syncPoint".to_owned()));
        };
        let elements = said.get("list").and_then(Value::as_array).cloned().unwrap_or_default();
        let name = said.get("name").and_then(Value::as_str).unwrap_or("sidetap").to_owned();
        let read = |v: &Value| v.as_str().and_then(|t| t.parse::<Key>().ok());
        Ok(List { elements: elements.iter().filter_map(read).collect(), sync_point, name })
    }

    fn activate(&self, now: i64) -> Result<(), ConnectorError> {
        let path = format!("/environments/{}/activate", self.config.network);
        let said = self.call("POST", &path, Some(&json!({"comments": "Sidetap"})), now);
        said.map(drop).map_err(|e| match e {
            ConnectorError::Refused { command, answer } => ConnectorError::Refused {
                command,
                answer: format!(
                    "{answer}; the list is changed, and not in force before a later push has it activated"
                ),
            },
            e => e,
        })
    }

    /// Whether what Sidetap changed last is neither in force nor on its way there.
    ///
    /// That is asked of a list that it emptied too: who is off the list and not off the network stays blocked. Where nothing on the list
    /// is ours, what somebody else changed after that is theirs to activate.
    fn is_due(&self, list: &List, now: i64) -> Result<bool, ConnectorError> {
        let (entries, version) = self.memory.read_version()?;
        if entries.is_empty() && version.is_none() {
            return Ok(false);
        }
        let said = self.call("GET", &format!("/environments/{}/status", self.config.network), None, now)?;
        let at = said.get("syncPoint").and_then(Value::as_u64);
        let ours = version.filter(|_| entries.is_empty()).unwrap_or(list.sync_point).min(list.sync_point);
        let reaches = at.is_some_and(|at| at >= ours);
        Ok(!match said.get("activationStatus").and_then(Value::as_str) {
            Some("ACTIVE") => at.is_none() || reaches,
            Some("PENDING_ACTIVATION") => reaches,
            Some("MODIFIED") => reaches && ours < list.sync_point,
            _ => false,
        })
    }
}

impl Connector for AkamaiConnector {
    basics!("akamai");

    fn targets(&self) -> Vec<String> {
        let mut all = files([&self.config.memory]);
        all.push(format!("list {} of {}", self.config.list, self.config.url));
        all
    }

    fn min_interval_s(&self) -> u64 {
        self.config.min_interval_s
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        let list = self.list(now)?;
        let mut observed = self.memory.observed_once(&list.elements)?;
        if self.is_due(&list, now)? {
            observed.drift.push("activation".to_owned());
        }
        Ok(observed)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.memory, plan)?;
        let known = self.memory.load()?;
        let ours: BTreeSet<&Key> = known.entries.iter().map(|e| &e.key).collect();
        let live: Vec<&Entry> = plan.target.iter().filter(|e| e.expires_at > now).collect();
        let held = self.list(now)?;
        plan.check_unseen(known.entries.iter().filter(|e| held.elements.contains(&e.key)), "the list")?;
        // What somebody else put there since the plan was made is his.
        let is_theirs = |e: &&&Entry| held.elements.contains(&e.key) && !ours.contains(&e.key);
        if let Some(e) = live.iter().find(is_theirs) {
            return Err(ConnectorError::Conflict(format!("the list: {} came in between", e.key)));
        }
        self.memory.intend(&plan.target)?;
        let others = held.elements.iter().filter(|k| !ours.contains(k)).filter_map(Key::net);
        let nets: BTreeSet<IpNet> = others.chain(live.iter().filter_map(|e| e.key.net())).collect();
        let before: BTreeSet<IpNet> = held.elements.iter().filter_map(Key::net).collect();
        let mut version = held.sync_point;
        if nets != before {
            let elements: Vec<String> = nets.iter().map(|n| Key::Net(*n).to_string()).collect();
            let body =
                json!({"name": held.name, "type": "IP", "syncPoint": held.sync_point, "list": elements});
            let said = self.call("PUT", "", Some(&body), now);
            if let Err(ConnectorError::Conflict(_)) = said {
                // Nothing was written, and what was is somebody else's.
                self.memory.save(&known)?;
            }
            let said = said?;
            version = said.get("syncPoint").and_then(Value::as_u64).unwrap_or(version + 1);
        }
        self.activate(now)?;
        self.memory.write_version(&plan.target, version)?;
        Ok(turn.answer(format!("{} addresses, being activated", live.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `simple GET` of the test data that Akamai publishes with its signing libraries.
    #[test]
    fn the_published_vector_holds() {
        let secret = |t: &str| Secret::new(t).unwrap();
        let (client, access) = (
            secret("akab-client-token-xxx-xxxxxxxxxxxxxxxx"),
            secret("akab-access-token-xxx-xxxxxxxxxxxxxxxx"),
        );
        let signer = EdgeGrid {
            client: &client,
            secret: &secret("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx="),
            access: &access,
        };
        let url = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net/";
        let ask = Ask { method: "GET", url, ..Ask::default() };
        let header =
            signer.authorization(&ask, "20140321T19:34:21+0000", "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        assert!(header.ends_with("signature=tL+y4hxyHxgWVD30X3pWnGKHcPzmrIF+LThiAOhMxYU="), "{header}");
    }
}
