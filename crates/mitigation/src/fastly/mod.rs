//! Fastly: an access control list of a service, whose entries carry Sidetap's mark as comment.

use serde::Deserialize;
use serde_json::{Value, json};
use sidetap_policy::Response;

use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::hosted;
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;
use crate::plan::Plan;
use crate::secret::SecretRef;

/// An access control list: `[[mitigation.fastly]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FastlyConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The service's id.
    pub service: String,
    /// The list's id.
    pub acl: String,
    /// An API token of the service.
    pub token: SecretRef,
    /// The API.
    #[serde(default = "default_url")]
    pub url: String,
    /// Whether the service compares the connection's address or a forwarded one.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries: 1,000 unless Fastly raised it.
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
    "fastly".to_owned()
}

fn default_url() -> String {
    "https://api.fastly.com".to_owned()
}

fn default_capacity() -> usize {
    1_000
}

/// Entries of one change.
const BATCH: usize = 1_000;
/// Entries of one page; a page of fewer is not the last, since Fastly has a mind of its own about how many that are.
const PAGE: usize = 100;
/// Pages that are read at most.
const PAGES: usize = 10_000;

/// The connector to an access control list.
#[derive(Debug)]
pub struct FastlyConnector {
    config: FastlyConfig,
    http: Http,
    sees: Sees,
}

/// An entry as Fastly holds it.
#[derive(Clone, Debug, Deserialize)]
struct Held {
    id: String,
    ip: String,
    #[serde(default)]
    subnet: Option<u8>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    negated: Option<Value>,
}

impl Held {
    fn key(&self) -> Option<Key> {
        self.subnet.map_or(self.ip.clone(), |s| format!("{}/{s}", self.ip)).parse().ok()
    }

    fn entry(&self) -> Option<Entry> {
        let (_, expires_at, verdict) =
            hosted::cut(self.comment.as_deref()?).filter(|(b, ..)| b.is_empty())?;
        let negated = self
            .negated
            .as_ref()
            .is_some_and(|n| !matches!(n.to_string().trim_matches('"'), "0" | "false" | "null"));
        let key = self.key().filter(|_| !negated)?;
        Some(Entry { key, response: Response::Block, expires_at, verdict, priority: (0, 0), way: None })
    }
}

impl FastlyConnector {
    /// The connector of this configuration.
    pub fn new(config: FastlyConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        check_url(&config.name, &config.url)?;
        let id = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric());
        if !id(&config.service) || !id(&config.acl) {
            return Err(ConfigError::Value(format!(
                "{}: service and acl are ids of letters and digits",
                config.name
            )));
        }
        let sees = Sees {
            address: config.address,
            open_connections: "the next request on it is refused",
            delay: "seconds: Fastly spreads a change",
            cannot: "an access control list holds addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        Ok(FastlyConnector { http: Http::new(&config.http)?, sees, config })
    }

    fn call(&self, method: &str, rest: &str, body: Option<&Value>) -> Result<Value, ConnectorError> {
        let token = self.config.token.resolve().map_err(|e| ConnectorError::Missing(e.to_string()))?;
        let headers = [
            ("Fastly-Key", token.expose()),
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
        ];
        let url = format!(
            "{}/service/{}/acl/{}/entries{rest}",
            self.config.url, self.config.service, self.config.acl
        );
        let body = body.map(Value::to_string);
        let ask = Ask { method, url: &url, headers: &headers, body: body.as_deref().map(str::as_bytes) };
        self.http.ok(&ask)?.json()
    }

    fn held(&self) -> Result<Vec<Held>, ConnectorError> {
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let said = self.call("GET", &format!("?per_page={PAGE}&page={page}"), None)?;
            let entries: Vec<Held> =
                serde_json::from_value(said).map_err(|e| ConnectorError::Answer(format!("entries: {e}")))?;
            if entries.is_empty() {
                return Ok(all);
            }
            all.extend(entries);
        }
        Err(ConnectorError::Answer("a list without end".to_owned()))
    }
}

fn create(entry: &Entry) -> Option<Value> {
    let net = entry.key.net()?;
    let mut op = json!({"op": "create", "ip": net.addr().to_string(), "comment": hosted::mark_of(entry)});
    if entry.key.is_wide()
        && let Some(op) = op.as_object_mut()
    {
        op.insert("subnet".to_owned(), json!(net.prefix_len()));
    }
    Some(op)
}

impl Connector for FastlyConnector {
    basics!("fastly");

    fn targets(&self) -> Vec<String> {
        vec![format!("list {} of service {}", self.config.acl, self.config.service)]
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let mut observed = Observed::default();
        for held in self.held()? {
            match held.entry() {
                Some(entry) => observed.entries.push(entry),
                None => {
                    observed.foreign += 1;
                    observed.by_others.extend(held.key());
                }
            }
        }
        Ok(observed)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let held = self.held()?;
        let id_of =
            |key: &Key| held.iter().find(|h| h.entry().is_some_and(|e| e.key == *key)).map(|h| h.id.clone());
        let delete = |e: &&Entry| id_of(&e.key).map(|id| json!({"op": "delete", "id": id}));
        let (first, last) = plan.in_turn(self.config.capacity.saturating_sub(held.len()));
        let mut changes: Vec<Value> = first.iter().filter_map(delete).collect();
        changes.extend(plan.add.iter().filter(|e| e.expires_at > now).filter_map(create));
        for e in &plan.refresh {
            let id = id_of(&e.key);
            changes.extend(id.map(|id| json!({"op": "update", "id": id, "comment": hosted::mark_of(e)})));
        }
        changes.extend(last.iter().filter_map(delete));
        for batch in changes.chunks(BATCH) {
            self.call("PATCH", "", Some(&json!({"entries": batch})))?;
        }
        Ok(Answer::of(format!("{} changes", changes.len())))
    }
}
