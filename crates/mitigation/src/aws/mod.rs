//! AWS WAF: two IP sets, one for each family, replaced whole under a lock token.

mod sign;

use std::collections::BTreeSet;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use sidetap_policy::Response;

use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;
use crate::memory::Memory;
use crate::plan::Plan;
use crate::secret::SecretRef;
use crate::turn::turn;

pub(crate) use sign::mac;
use sign::{Signer, stamp};

/// IP sets: `[[mitigation.aws_waf]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsWafConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The region; `us-east-1` for CloudFront.
    pub region: String,
    /// `REGIONAL` or `CLOUDFRONT`.
    #[serde(default = "default_scope")]
    pub scope: String,
    /// The set of IPv4 addresses, `NAME/ID`.
    #[serde(default)]
    pub set_v4: Option<String>,
    /// The set of IPv6 addresses, `NAME/ID`.
    #[serde(default)]
    pub set_v6: Option<String>,
    /// The id of the access key; `{ env = "AWS_ACCESS_KEY_ID" }`.
    pub access_key_id: SecretRef,
    /// Its secret.
    pub secret_access_key: SecretRef,
    /// The token of a session, where the key is one of a role.
    #[serde(default)]
    pub session_token: Option<SecretRef>,
    /// Where it is remembered which addresses are ours.
    pub memory: PathBuf,
    /// Another address of the service.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Whether the rule that uses the sets looks at a forwarded address.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries in both sets.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// Seconds between two changes at least: AWS takes about one a second in a region.
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
    "aws-waf".to_owned()
}

fn default_scope() -> String {
    "REGIONAL".to_owned()
}

fn default_capacity() -> usize {
    MOST
}

fn default_interval() -> u64 {
    5
}

/// Addresses of one IP set at most (a quota that AWS does not raise).
const MOST: usize = 10_000;
/// How often a set is read and changed, where somebody else changes it in between.
const TRIES: u32 = 3;

/// The connector to IP sets.
#[derive(Debug)]
pub struct AwsWafConnector {
    config: AwsWafConfig,
    endpoint: String,
    http: Http,
    memory: Memory,
    sees: Sees,
}

/// A set as AWS holds it.
struct Set {
    addresses: BTreeSet<Key>,
    lock: String,
}

impl AwsWafConnector {
    /// The connector of this configuration.
    pub fn new(config: AwsWafConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let refuse = |why: &str| Err(ConfigError::Value(format!("{}: {why}", config.name)));
        if config.capacity > MOST {
            return refuse("an IP set holds 10,000 addresses at most");
        }
        if config.set_v4.is_none() && config.set_v6.is_none() {
            return refuse("set_v4 or set_v6 is needed");
        }
        if config
            .set_v4
            .iter()
            .chain(&config.set_v6)
            .any(|s| s.split('/').filter(|p| !p.is_empty()).count() != 2)
        {
            return refuse("a set is named NAME/ID");
        }
        if !["REGIONAL", "CLOUDFRONT"].contains(&config.scope.as_str()) {
            return refuse("scope is REGIONAL or CLOUDFRONT");
        }
        let usual = format!("https://wafv2.{}.amazonaws.com", config.region);
        let endpoint = config.endpoint.clone().unwrap_or(usual);
        check_url(&config.name, &endpoint)?;
        let sees = Sees {
            address: config.address,
            ipv6: config.set_v6.is_some(),
            open_connections: "the next request on it is refused",
            delay: "seconds to minutes: AWS spreads a change",
            cannot: "an IP set holds addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        let (http, memory) = (Http::new(&config.http)?, Memory::new(&config.memory));
        Ok(AwsWafConnector { endpoint, http, memory, sees, config })
    }

    fn call(&self, action: &str, body: &Value, now: i64) -> Result<Value, ConnectorError> {
        let secret = |s: &SecretRef| s.resolve().map_err(|e| ConnectorError::Missing(e.to_string()));
        let (id, key) = (secret(&self.config.access_key_id)?, secret(&self.config.secret_access_key)?);
        let token = self.config.session_token.as_ref().map(secret).transpose()?;
        let body = body.to_string();
        let (stamp, target) = (stamp(now), format!("AWSWAF_20190729.{action}"));
        let host = self.endpoint.split("://").nth(1).unwrap_or_default();
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.1"),
            ("host", host),
            ("x-amz-date", stamp.as_str()),
        ];
        headers.extend(token.as_ref().map(|t| ("x-amz-security-token", t.expose())));
        headers.push(("x-amz-target", target.as_str()));
        let (region, service) = (self.config.region.as_str(), "wafv2");
        let signer = Signer { key_id: id.expose(), secret: key.expose(), region, service };
        let authorization = signer.authorization("POST", &headers, body.as_bytes(), &stamp);
        headers.push(("authorization", authorization.as_str()));
        headers.retain(|(name, _)| *name != "host");
        let url = format!("{}/", self.endpoint);
        let ask = Ask { method: "POST", url: &url, headers: &headers, body: Some(body.as_bytes()) };
        let reply = self.http.ask(&ask)?;
        if reply.status == 200 {
            return reply.json();
        }
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        let has = |names: &[&str]| names.iter().any(|n| said.contains(n));
        if has(&["WAFOptimisticLockException"]) {
            return Err(ConnectorError::Conflict("the IP set".to_owned()));
        }
        if has(&["Throttling", "TooManyRequests", "LimitExceeded"]) {
            return Err(ConnectorError::Later(reply.retry_after_s.unwrap_or(30)));
        }
        if has(&[
            "AccessDenied",
            "UnrecognizedClient",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "InvalidSignature",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "ExpiredToken",
        ]) {
            return Err(ConnectorError::Denied(format!("{action}: {}", reply.status)));
        }
        Err(reply.refusal(&ask))
    }

    fn set_of(&self, v6: bool) -> Option<&str> {
        if v6 { self.config.set_v6.as_deref() } else { self.config.set_v4.as_deref() }
    }

    fn named(&self, set: &str) -> Value {
        let (name, id) = set.split_once('/').unwrap_or_default();
        json!({"Name": name, "Id": id, "Scope": self.config.scope})
    }

    fn read(&self, set: &str, now: i64) -> Result<Set, ConnectorError> {
        let said = self.call("GetIPSet", &self.named(set), now)?;
        let lock = said.get("LockToken").and_then(Value::as_str);
        let addresses = said.pointer("/IPSet/Addresses").and_then(Value::as_array);
        let (Some(lock), Some(addresses)) = (lock, addresses) else {
            return Err(ConnectorError::Answer("GetIPSet without LockToken or Addresses".to_owned()));
        };
        let read = |v: &Value| v.as_str().and_then(|t| t.parse::<Key>().ok());
        Ok(Set { addresses: addresses.iter().filter_map(read).collect(), lock: lock.to_owned() })
    }

    /// Replaces a set: what AWS would not take, or would take though it should not, is refused here.
    fn replace(
        &self,
        set: &str,
        v6: bool,
        nets: &BTreeSet<IpNet>,
        lock: &str,
        now: i64,
    ) -> Result<(), ConnectorError> {
        if nets.len() > MOST {
            return Err(ConnectorError::Missing(format!(
                "{} addresses, and an IP set holds {MOST}",
                nets.len()
            )));
        }
        if nets.iter().any(|n| matches!(n, IpNet::V6(_)) != v6 || n.prefix_len() == 0) {
            return Err(ConnectorError::Missing(
                "an address of the other family, or a prefix of 0".to_owned(),
            ));
        }
        let mut body = self.named(set);
        let addresses: Vec<String> = nets.iter().map(IpNet::to_string).collect();
        if let Some(body) = body.as_object_mut() {
            body.insert("Addresses".to_owned(), json!(addresses));
            body.insert("LockToken".to_owned(), json!(lock));
        }
        self.call("UpdateIPSet", &body, now).map(drop)
    }

    /// Brings the sets to the plan's target; gives what of it somebody else put there meanwhile. `changed` says whether a set was changed.
    fn bring(
        &self,
        plan: &Plan,
        remembered: &[Entry],
        changed: &mut bool,
        now: i64,
    ) -> Result<BTreeSet<Key>, ConnectorError> {
        let ours: BTreeSet<&Key> = remembered.iter().map(|e| &e.key).collect();
        let live: Vec<&Entry> = plan.target.iter().filter(|e| e.expires_at > now).collect();
        let mut theirs = BTreeSet::new();
        for v6 in [false, true] {
            let Some(set) = self.set_of(v6) else { continue };
            let mut tries = TRIES;
            loop {
                let held = self.read(set, now)?;
                let known = remembered.iter().filter(|e| held.addresses.contains(&e.key));
                plan.check_unseen(known, "the IP set")?;
                let others = held.addresses.iter().filter(|k| !ours.contains(k)).filter_map(Key::net);
                let wanted =
                    live.iter().filter_map(|e| e.key.net()).filter(|n| matches!(n, IpNet::V6(_)) == v6);
                let nets: BTreeSet<IpNet> = others.chain(wanted).collect();
                let before: BTreeSet<IpNet> = held.addresses.iter().filter_map(Key::net).collect();
                // What somebody else put there since the plan was made is his: only what is written here is ours.
                theirs.extend(held.addresses.iter().filter(|k| !ours.contains(k)).cloned());
                self.memory.intend_but(remembered, &plan.target, &theirs)?;
                if let Some(e) = live.iter().find(|e| theirs.contains(&e.key)) {
                    return Err(ConnectorError::Conflict(format!("the IP set: {} came in between", e.key)));
                }
                if nets == before {
                    break;
                }
                match self.replace(set, v6, &nets, &held.lock, now) {
                    // Somebody changed it since it was read: what he put there is taken over.
                    Err(ConnectorError::Conflict(_)) if tries > 1 => tries -= 1,
                    done => {
                        *changed |= done.is_ok();
                        break done?;
                    }
                }
            }
        }
        Ok(theirs)
    }
}

impl Connector for AwsWafConnector {
    basics!("aws-waf");

    fn targets(&self) -> Vec<String> {
        let mut all = files([&self.config.memory]);
        let sets = [&self.config.set_v4, &self.config.set_v6].into_iter().flatten();
        all.extend(
            sets.map(|set| format!("IP set {set} of {} in {}", self.config.scope, self.config.region)),
        );
        all
    }

    fn min_interval_s(&self) -> u64 {
        self.config.min_interval_s
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        let mut there = BTreeSet::new();
        for set in [false, true].into_iter().filter_map(|v6| self.set_of(v6)) {
            there.extend(self.read(set, now)?.addresses);
        }
        self.memory.observed_once(&there)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.memory, plan)?;
        let remembered = self.memory.read()?;
        let live = plan.target.iter().filter(|e| e.expires_at > now).count();
        let mut changed = false;
        let brought = self.bring(plan, &remembered, &mut changed, now);
        if let Err(ConnectorError::Conflict(_)) = brought
            && !changed
        {
            // Nothing was written, and what was is somebody else's.
            self.memory.write(&remembered)?;
        }
        let theirs = brought?;
        let written: Vec<Entry> = plan.target.iter().filter(|e| !theirs.contains(&e.key)).cloned().collect();
        self.memory.write(&written)?;
        Ok(turn.answer(format!("{live} addresses")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// moto takes all of these, and AWS none: no request is made.
    #[test]
    fn a_set_that_aws_would_not_take_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let text = format!(
            "region = \"us-east-1\"\nset_v4 = \"four/1\"\nset_v6 = \"six/2\"\naccess_key_id = {{ file = \"{at}/id\" }}\n\
             secret_access_key = {{ file = \"{at}/secret\" }}\nmemory = \"{at}/memory\"\nendpoint = \"http://127.0.0.1:1\"\n"
        );
        let connector = AwsWafConnector::new(toml::from_str(&text).unwrap()).unwrap();
        let sent = |v6: bool, nets: &[IpNet]| {
            let nets: BTreeSet<IpNet> = nets.iter().copied().collect();
            connector.replace("four/1", v6, &nets, "lock", 0).unwrap_err()
        };
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let many: Vec<IpNet> = (0..=MOST as u32)
            .map(|n| IpNet::from(std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes())))
            .collect();
        let own = ["an IP set holds", "of the other family"];
        let refused = |e: ConnectorError| own.iter().any(|word| e.to_string().contains(word));
        assert!(refused(sent(false, &many)) && !refused(sent(false, &many[1..])), "10,000 at most");
        assert!(refused(sent(false, &[net("2001:db8::/32")])) && refused(sent(true, &[net("192.0.2.0/24")])));
        assert!(refused(sent(false, &[net("0.0.0.0/0")])) && refused(sent(true, &[net("::/0")])));
        assert!(!refused(sent(true, &[net("2001:db8::/32")])), "what it takes is tried");
    }
}
