//! CrowdSec: decisions in its local API, which all its bouncers follow.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::config::{ConfigError, canary_of, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::http::{Ask, Http, HttpOptions, Reply, check_url};
use crate::key::Key;
use crate::plan::Plan;
use crate::secret::SecretRef;

/// A local API: `[[mitigation.crowdsec]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrowdsecConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The local API.
    #[serde(default = "default_url")]
    pub url: String,
    /// The machine that `cscli machines add` made.
    #[serde(default = "default_machine")]
    pub machine: String,
    /// Its password.
    pub password: SecretRef,
    /// The mark of own decisions; two Sidetaps on one CrowdSec need two.
    #[serde(default = "default_machine")]
    pub origin: String,
    /// What bouncers do about a rate-limited client: a type of decision that they know, as `captcha`; nothing without it.
    #[serde(default)]
    pub rate_limit_type: Option<String>,
    /// Which address the bouncers compare with.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most decisions.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// How it is reached.
    #[serde(default)]
    pub http: HttpOptions,
    /// Zones whose clients reach its bouncers; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
    /// A program that asks from an address of its own, which proves that entries have an effect.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
}

fn default_name() -> String {
    "crowdsec".to_owned()
}

fn default_url() -> String {
    "http://127.0.0.1:8080".to_owned()
}

fn default_machine() -> String {
    "sidetap".to_owned()
}

fn default_capacity() -> usize {
    50_000
}

/// Decisions that one request carries.
const BATCH: usize = 500;
/// What stands before the verdict in a decision's scenario.
const MARK: &str = "sidetap:";

/// The connector to a local API.
#[derive(Debug)]
pub struct CrowdsecConnector {
    canary: Option<Canary>,
    config: CrowdsecConfig,
    http: Http,
    token: Option<String>,
    sees: Sees,
}

/// An active decision.
#[derive(Debug, Deserialize)]
struct Decision {
    id: u64,
    duration: String,
    origin: String,
    scenario: String,
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl CrowdsecConnector {
    /// The connector of this configuration.
    pub fn new(config: CrowdsecConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        check_url(&config.name, &config.url)?;
        let word =
            |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !word(&config.origin) || !word(&config.machine) {
            return Err(ConfigError::Value(format!(
                "{}: machine and origin: letters, digits, `-`, `_`",
                config.name
            )));
        }
        let mut responses = vec![Response::Block];
        responses.extend(config.rate_limit_type.as_ref().map(|_| Response::RateLimit));
        let sees = Sees {
            address: config.address,
            native_ttl: true,
            open_connections: "as each bouncer does",
            delay: "until the bouncers ask again: seconds",
            cannot: "its bouncers compare addresses and networks",
            ..Sees::addresses(responses, config.capacity)
        };
        let canary = canary_of(&config.name, config.canary.as_ref(), config.address, &[])?;
        Ok(CrowdsecConnector { canary, http: Http::new(&config.http)?, token: None, sees, config })
    }

    fn login(&self) -> Result<String, ConnectorError> {
        let password = self.config.password.resolve().map_err(|e| ConnectorError::Missing(e.to_string()))?;
        let body = json!({"machine_id": self.config.machine, "password": password.expose()}).to_string();
        let url = format!("{}/v1/watchers/login", self.config.url);
        let headers = [("Content-Type", "application/json")];
        let said = self.http.ok(&Ask {
            method: "POST",
            url: &url,
            headers: &headers,
            body: Some(body.as_bytes()),
        })?;
        let said = said.json()?;
        let token = said.get("token").and_then(Value::as_str).map(str::to_owned);
        token.ok_or_else(|| ConnectorError::Answer("there is no token in the answer to the login".to_owned()))
    }

    /// Asks with a token, and once more with a new one where the old one is over.
    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, ConnectorError> {
        let known = self.token.is_some();
        match self.ask_once(method, path, body) {
            Err(ConnectorError::Denied(_)) if known => {
                self.token = None;
                self.ask_once(method, path, body)
            }
            done => done,
        }
    }

    fn ask_once(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, ConnectorError> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.token.insert(self.login()?).clone(),
        };
        let url = format!("{}{path}", self.config.url);
        let bearer = format!("Bearer {token}");
        let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
        let body = body.map(Value::to_string);
        self.http.ok(&Ask { method, url: &url, headers: &headers, body: body.as_deref().map(str::as_bytes) })
    }

    /// All active decisions of own origin. A decision that is sent twice is there twice.
    fn decisions(&mut self) -> Result<Vec<Decision>, ConnectorError> {
        let path = format!("/v1/alerts?origin={}&has_active_decision=true&limit=0", self.config.origin);
        let said = self.ask("GET", &path, None)?.json()?;
        let mut all = Vec::new();
        for alert in said.as_array().map(Vec::as_slice).unwrap_or_default() {
            for decision in
                alert.get("decisions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
            {
                let decision: Decision = serde_json::from_value(decision.clone())
                    .map_err(|e| ConnectorError::Answer(format!("a decision: {e}")))?;
                if decision.origin == self.config.origin
                    && seconds(&decision.duration).is_some_and(|s| s > 0.0)
                {
                    all.push(decision);
                }
            }
        }
        Ok(all)
    }

    fn kind_of(&self, response: Response) -> &str {
        match (response, &self.config.rate_limit_type) {
            (Response::RateLimit, Some(kind)) => kind,
            _ => "ban",
        }
    }

    fn entry(&self, decision: &Decision, now: i64) -> Option<Entry> {
        let left = seconds(&decision.duration)?;
        let response = match &self.config.rate_limit_type {
            Some(kind) if *kind == decision.kind => Response::RateLimit,
            _ => Response::Block,
        };
        Some(Entry {
            key: decision.value.parse().ok()?,
            response,
            expires_at: now.saturating_add(left.round() as i64),
            verdict: decision.scenario.strip_prefix(MARK)?.to_owned(),
            priority: (0, 0),
            way: None,
        })
    }

    /// One alert that carries these decisions, begun `now`: CrowdSec counts their time from there.
    fn alert(&self, entries: &[&Entry], now: i64) -> Value {
        let at = Timestamp::from_second(now).unwrap_or_default().to_string();
        let scope = |key: &Key| if key.is_wide() { "Range" } else { "Ip" };
        let decision = |e: &&Entry| {
            json!({
                "duration": format!("{}s", e.expires_at.saturating_sub(now).max(1)),
                "origin": self.config.origin,
                "scenario": format!("{MARK}{}", e.verdict),
                "scope": scope(&e.key),
                "type": self.kind_of(e.response),
                "value": e.key.to_string(),
            })
        };
        let first = entries.first().map(|e| (scope(&e.key), e.key.to_string())).unwrap_or_default();
        json!([{
            "scenario": "sidetap/verdicts", "scenario_hash": "", "scenario_version": "",
            "message": format!("Sidetap: {} decisions", entries.len()),
            "events_count": 1, "events": [], "capacity": 0, "leakspeed": "0", "simulated": false,
            "start_at": at, "stop_at": at,
            "source": {"scope": first.0, "value": first.1},
            "decisions": entries.iter().map(decision).collect::<Vec<_>>(),
        }])
    }
}

/// Seconds of a duration as Go spells it: `9m59.6s`, `-51m40s`, `620µs`.
fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |r| (-1.0, r));
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * unit;
        rest = tail;
    }
    Some(sign * sum)
}

impl Connector for CrowdsecConnector {
    basics!("crowdsec", canary);

    fn targets(&self) -> Vec<String> {
        vec![format!("decisions of origin {} at {}", self.config.origin, self.config.url)]
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        let mut best: BTreeMap<Key, Entry> = BTreeMap::new();
        let mut observed = Observed::default();
        for decision in self.decisions()? {
            let Some(entry) = self.entry(&decision, now) else {
                observed.foreign += 1;
                continue;
            };
            match best.get_mut(&entry.key) {
                Some(old) if old.expires_at < entry.expires_at => *old = entry,
                Some(_) => {}
                None => drop(best.insert(entry.key.clone(), entry)),
            }
        }
        observed.entries = best.into_values().collect();
        Ok(observed)
    }

    /// What is new comes first and what is over goes after it, so that a change that breaks off lets nobody in.
    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let old = self.decisions()?;
        let new: Vec<&Entry> = plan.add.iter().chain(&plan.refresh).filter(|e| e.expires_at > now).collect();
        for batch in new.chunks(BATCH) {
            self.ask("POST", "/v1/alerts", Some(&self.alert(batch, now)))?;
        }
        let goes: Vec<String> = plan.remove.iter().chain(&plan.refresh).map(|e| e.key.to_string()).collect();
        let goes: BTreeSet<&str> = goes.iter().map(String::as_str).collect();
        let is_over = |d: &Decision| d.scenario.starts_with(MARK) && goes.contains(d.value.as_str());
        let gone = old.iter().filter(|d| is_over(d)).count();
        if new.is_empty() && plan.target.is_empty() && gone == old.len() && gone > 1 {
            // All of the origin's, and none is to stay or of somebody else: one request.
            self.ask("DELETE", &format!("/v1/decisions?origin={}", self.config.origin), None)?;
        } else {
            for decision in old.iter().filter(|d| is_over(d)) {
                self.ask("DELETE", &format!("/v1/decisions/{}", decision.id), None)?;
            }
        }
        Ok(Answer::of(format!("{} decisions made, {gone} deleted", new.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, s) in [("9m59.5s", 599.5), ("4h0m0s", 14_400.0), ("-51m40s", -3_100.0), ("620µs", 6.2e-4)]
        {
            assert!((seconds(text).unwrap() - s).abs() < 1e-6, "{text}");
        }
        assert_eq!((seconds("soon"), seconds("5"), seconds("5y")), (None, None, None));
    }
}
