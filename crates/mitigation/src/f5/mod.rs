//! F5 BIG-IP: an internal data group of addresses through iControl REST, whose records carry Sidetap's mark as data.

use base64::Engine;
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

/// A data group: `[[mitigation.f5]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct F5Config {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The management address.
    pub url: String,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: SecretRef,
    /// The data group, `/Common/sidetap`; of type `ip`.
    #[serde(default = "default_group")]
    pub group: String,
    /// Whether the iRule compares the connection's address or a forwarded one.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries: large internal groups are discouraged.
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
    "f5".to_owned()
}

fn default_group() -> String {
    "/Common/sidetap".to_owned()
}

fn default_capacity() -> usize {
    5_000
}

/// The connector to a data group.
#[derive(Debug)]
pub struct F5Connector {
    config: F5Config,
    http: Http,
    sees: Sees,
}

impl F5Connector {
    /// The connector of this configuration.
    pub fn new(config: F5Config) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        check_url(&config.name, &config.url)?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"/_-.".contains(&b);
        if !config.group.starts_with('/') || !config.group.bytes().all(fits) {
            return Err(ConfigError::Value(format!("{}: group is a path, /Common/sidetap", config.name)));
        }
        let sees = Sees {
            address: config.address,
            open_connections: "as the iRule that reads the group says: with HTTP_REQUEST the next request on it",
            delay: "at once",
            cannot: "a data group of type ip holds addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        Ok(F5Connector { http: Http::new(&config.http)?, sees, config })
    }

    fn call(&self, method: &str, body: Option<&Value>) -> Result<Value, ConnectorError> {
        let password = self.config.password.resolve().map_err(|e| ConnectorError::Missing(e.to_string()))?;
        let pair = format!("{}:{}", self.config.user, password.expose());
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/json")];
        let path = self.config.group.replace('/', "~");
        let url = format!("{}/mgmt/tm/ltm/data-group/internal/{path}", self.config.url);
        let body = body.map(Value::to_string);
        let ask = Ask { method, url: &url, headers: &headers, body: body.as_deref().map(str::as_bytes) };
        self.http.ok(&ask)?.json()
    }

    fn records(&self) -> Result<Vec<Value>, ConnectorError> {
        let said = self.call("GET", None)?;
        if said.get("type").and_then(Value::as_str) != Some("ip") {
            return Err(ConnectorError::Missing(format!(
                "data group {} is not of type ip",
                self.config.group
            )));
        }
        Ok(said.get("records").and_then(Value::as_array).cloned().unwrap_or_default())
    }
}

fn entry(record: &Value) -> Option<Entry> {
    let (_, expires_at, verdict) =
        hosted::cut(record.get("data")?.as_str()?).filter(|(b, ..)| b.is_empty())?;
    let key = record.get("name")?.as_str()?.parse().ok()?;
    Some(Entry { key, response: Response::Block, expires_at, verdict, priority: (0, 0), way: None })
}

impl Connector for F5Connector {
    basics!("f5");

    fn targets(&self) -> Vec<String> {
        vec![format!("data group {} of {}", self.config.group, self.config.url)]
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let mut observed = Observed::default();
        for record in self.records()? {
            match entry(&record) {
                Some(entry) => observed.entries.push(entry),
                None => {
                    observed.foreign += 1;
                    let name = record.get("name").and_then(Value::as_str).unwrap_or_default();
                    observed.by_others.extend(name.parse::<Key>());
                }
            }
        }
        Ok(observed)
    }

    /// The whole array of records is replaced, those of others as they are.
    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let mut records = self.records()?;
        plan.check_unseen(&records.iter().filter_map(entry).collect::<Vec<_>>(), "the data group")?;
        records.retain(|r| entry(r).is_none());
        let live: Vec<&Entry> = plan.target.iter().filter(|e| e.expires_at > now).collect();
        records.extend(
            live.iter().filter_map(|e| {
                e.key.net().map(|n| json!({"name": n.to_string(), "data": hosted::mark_of(e)}))
            }),
        );
        self.call("PATCH", Some(&json!({"records": records})))?;
        Ok(Answer::of(format!("{} records", live.len())))
    }
}
