//! NGINX Plus: a key-value zone through its API; keys time out by themselves.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sidetap_policy::Response;

use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::full::{gives_way, left_out, ranked, stays, unless_refused};
use crate::hosted;
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;
use crate::plan::Plan;
use crate::way::{Ways, read_spelled, spelled};

/// A key-value zone: `[[mitigation.nginx_plus]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NginxPlusConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The API with its version, `http://127.0.0.1:8080/api/9`.
    pub url: String,
    /// The zone (`keyval_zone zone=sidetap:1m type=ip timeout=1d`).
    #[serde(default = "default_zone")]
    pub zone: String,
    /// What the configuration knows how to do.
    #[serde(default = "default_responses")]
    pub responses: Vec<Response>,
    /// Rates of the configuration that a rule may ask for: `5/60`, requests and seconds.
    #[serde(default)]
    pub rates: Vec<String>,
    /// Decoys of the configuration that a rule may ask for by name.
    #[serde(default)]
    pub decoys: Vec<String>,
    /// The header that tells the application of a tagged request, in lower case, where its value is the rule's.
    #[serde(default)]
    pub tag_header: Option<String>,
    /// Whether it compares the connection's address or a forwarded one.
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
    "nginx-plus".to_owned()
}

fn default_zone() -> String {
    "sidetap".to_owned()
}

fn default_responses() -> Vec<Response> {
    vec![Response::Block]
}

/// What a zone of 1 MB holds by a careful reckoning: a key, its value and its place in the index of addresses.
fn default_capacity() -> usize {
    1_000
}

/// Keys that the first request to an empty zone carries: what nginx takes as a body unless it is told otherwise (1 MB) holds them.
const FIRST: usize = 5_000;
/// Keys that are taken out for one that comes, at most: they are of one size.
const GIVE_WAY: usize = 2;
/// Keys that were refused though others gave way to them, after which none does any more; and keys refused in a row, after which no more are
/// tried.
const IN_VAIN: usize = 3;

/// The connector to a key-value zone.
#[derive(Debug)]
pub struct NginxPlusConnector {
    config: NginxPlusConfig,
    http: Http,
    sees: Sees,
}

impl NginxPlusConnector {
    /// The connector of this configuration.
    pub fn new(config: NginxPlusConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        check_url(&config.name, &config.url)?;
        if config.zone.is_empty()
            || !config.zone.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        {
            return Err(ConfigError::Value(format!("{}: zone: letters, digits, `-`, `_`", config.name)));
        }
        let sees = Sees {
            address: config.address,
            ways: Ways::configured(&config.name, &config.rates, &config.decoys, config.tag_header.as_ref())?,
            native_ttl: true,
            open_connections: "the next request on it is treated so",
            delay: "at once",
            cannot: "a zone of type ip holds addresses",
            ..Sees::addresses(config.responses.clone(), config.capacity)
        };
        Ok(NginxPlusConnector { http: Http::new(&config.http)?, sees, config })
    }

    fn call(&self, method: &str, body: Option<&Value>) -> Result<Vec<u8>, ConnectorError> {
        let url = format!("{}/http/keyvals/{}", self.config.url, self.config.zone);
        let body = body.map(Value::to_string);
        let headers = [("Content-Type", "application/json")];
        let ask = Ask { method, url: &url, headers: &headers, body: body.as_deref().map(str::as_bytes) };
        let reply = self.http.ask(&ask)?;
        match (reply.status, reply.said("/error/text")) {
            (200..=299, _) => Ok(reply.body),
            // What the API says of itself, a zone that is full for one, is no server that cannot be reached.
            (500, Some(why)) => Err(ConnectorError::Refused {
                command: format!("{method} {}", self.config.zone),
                answer: why,
            }),
            _ => Err(reply.refusal(&ask)),
        }
    }

    fn held(&self) -> Result<Map<String, Value>, ConnectorError> {
        let said = self.call("GET", None)?;
        serde_json::from_slice(&said).map_err(|e| ConnectorError::Answer(format!("key-values: {e}")))
    }
}

/// `block sidetap:END:VERDICT`; the configuration compares what stands before the space.
fn value(entry: &Entry, now: i64) -> Value {
    let left_ms = entry.expires_at.saturating_sub(now).max(1).saturating_mul(1_000);
    let response = spelled(entry.response, entry.way.as_ref());
    json!({"value": format!("{response} {}", hosted::mark_of(entry)), "expire": left_ms})
}

fn entry(key: &str, value: &Value) -> Option<Entry> {
    let (response, expires_at, verdict) = hosted::cut(value.as_str()?)?;
    let (response, way) = read_spelled(response)?;
    Some(Entry { key: key.parse::<Key>().ok()?, response, expires_at, verdict, priority: (0, 0), way })
}

impl Connector for NginxPlusConnector {
    basics!("nginx-plus");

    fn targets(&self) -> Vec<String> {
        vec![format!("zone {} of {}", self.config.zone, self.config.url)]
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let mut observed = Observed::default();
        for (key, value) in &self.held()? {
            match entry(key, value) {
                Some(entry) => observed.entries.push(entry),
                None => {
                    observed.foreign += 1;
                    observed.by_others.extend(key.parse::<Key>());
                }
            }
        }
        Ok(observed)
    }

    /// Keys are added many at a time to an empty zone; each that is added later, changed or removed takes a request of its own. What is there
    /// is renewed first, which takes no room.
    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let held = self.held()?;
        let new = plan.add.iter().chain(&plan.refresh).filter(|e| e.expires_at > now);
        let (there, absent): (Vec<&Entry>, Vec<&Entry>) =
            new.partition(|e| held.contains_key(&e.key.to_string()));
        let is_ours = |e: &&Entry| {
            let key = e.key.to_string();
            held.get(&key).is_some_and(|value| entry(&key, value).is_some())
        };
        let mut zone = Zone { connector: self, now, refused: None, left: 0 };
        let mut unchanged = Vec::new();
        for e in there.iter().filter(|e| is_ours(e)) {
            if !zone.put("PATCH", &[e])? {
                unchanged.push(*e);
            }
        }
        let wanted: BTreeSet<&Key> = plan.target.iter().map(|e| &e.key).collect();
        let goes = |e: &&Entry| !wanted.contains(&e.key) && is_ours(e);
        let (first, last) = plan.in_turn(self.config.capacity.saturating_sub(held.len()));
        zone.remove(first.into_iter().filter(goes))?;
        let absent = ranked(absent);
        let at_once = if held.is_empty() { FIRST.min(absent.len()) } else { 0 };
        let (many, single) = absent.split_at(at_once);
        let mut single = single.to_vec();
        if !many.is_empty() && !zone.put("POST", many)? {
            let held = self.held()?;
            single = absent.iter().filter(|e| !held.contains_key(&e.key.to_string())).copied().collect();
        }
        let (mut last, mut stays) = (Some(last), stays(plan));
        let one_by_one =
            unchanged.into_iter().map(|e| ("PATCH", e)).chain(single.into_iter().map(|e| ("POST", e)));
        let mut one_by_one = one_by_one;
        let (mut in_vain, mut in_a_row) = (0, 0);
        while let Some((verb, e)) = one_by_one.next() {
            let mut is_put = zone.put(verb, &[e])?;
            if !is_put && let Some(last) = last.take() {
                zone.remove(last.into_iter().filter(goes))?;
                is_put = zone.put(verb, &[e])?;
            }
            // A zone is full by its bytes, before it has as many keys as it is configured for.
            let mut out = Vec::new();
            while !is_put
                && out.len() < GIVE_WAY
                && in_vain < IN_VAIN
                && let Some(one) = gives_way(&mut stays, e)
            {
                zone.remove(std::iter::once(one))?;
                out.push(one);
                is_put = zone.put(verb, &[e])?;
            }
            if is_put {
                (zone.left, in_a_row) = (zone.left + out.len(), 0);
                continue;
            }
            (zone.left, in_a_row) = (zone.left + 1, in_a_row + 1);
            // Not for want of room: it is the key itself that the zone refuses.
            in_vain += usize::from(!out.is_empty());
            for back in out.iter().rev() {
                zone.left += usize::from(!zone.put("POST", &[back])?);
            }
            if out.is_empty() && in_a_row >= IN_VAIN {
                // Nothing gives way any more, and what comes now matters less.
                zone.left += one_by_one.by_ref().count();
            }
            stays.extend(out.into_iter().rev());
        }
        zone.remove(last.unwrap_or_default().into_iter().filter(goes))?;
        if let Some(refused) = zone.refused {
            left_out(refused, zone.left)?;
        }
        Ok(Answer::of(format!("{} keys set", there.len() + absent.len())))
    }
}

/// A zone that is being changed.
struct Zone<'a> {
    connector: &'a NginxPlusConnector,
    now: i64,
    /// What it said to a key that it did not take.
    refused: Option<ConnectorError>,
    left: usize,
}

impl Zone<'_> {
    /// Whether it took these.
    fn put(&mut self, verb: &str, entries: &[&Entry]) -> Result<bool, ConnectorError> {
        let body: Map<String, Value> =
            entries.iter().map(|e| (e.key.to_string(), value(e, self.now))).collect();
        let said = self.connector.call(verb, Some(&Value::Object(body))).map(drop);
        let refused = unless_refused(said)?;
        let is_put = refused.is_none();
        self.refused = refused.or(self.refused.take());
        Ok(is_put)
    }

    fn remove<'e>(&self, gone: impl Iterator<Item = &'e Entry>) -> Result<(), ConnectorError> {
        let mut gone = gone;
        gone.try_for_each(|e| self.connector.call("PATCH", Some(&json!({e.key.to_string(): null}))).map(drop))
    }
}
