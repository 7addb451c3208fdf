//! Envoy: a route configuration that it watches, whose RBAC filter looks addresses up in a trie.
//!
//! The user's own route configuration stays in a file of the user's; Sidetap writes the one that Envoy reads, which is the
//! user's with the addresses put in.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::hosted::{self, Server};
use crate::memory::Memory;
use crate::plan::Plan;

/// A proxy: `[[mitigation.envoy]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvoyConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The file that Envoy watches.
    pub routes: PathBuf,
    /// The route configuration of the user's, in the JSON form of a discovery response.
    pub template: PathBuf,
    /// The name of the RBAC filter in the listener.
    #[serde(default = "default_filter")]
    pub filter: String,
    /// Where it is remembered what it was told.
    pub memory: PathBuf,
    /// Whether it compares the connection's address or a forwarded one.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// A request through it that proves that entries have an effect.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "envoy".to_owned()
}

fn default_filter() -> String {
    "sidetap".to_owned()
}

fn default_capacity() -> usize {
    50_000
}

/// The connector to a proxy.
#[derive(Debug)]
pub struct EnvoyConnector {
    config: EnvoyConfig,
    memory: Memory,
    canary: Option<Canary>,
    sees: Sees,
}

impl EnvoyConnector {
    /// The connector of this configuration.
    pub fn new(config: EnvoyConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        if config.routes == config.template {
            return Err(ConfigError::Value(format!("{}: routes and template are two files", config.name)));
        }
        let canary = config.canary.clone().map(|c| Canary::new(&config.name, c)).transpose()?;
        let sees = Sees {
            address: config.address,
            open_connections: "stay; the next request on it is refused",
            delay: "tenths of a second",
            cannot: "its filter looks up addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        Ok(EnvoyConnector { memory: Memory::new(&config.memory), canary, sees, config })
    }

    /// The user's route configuration with these networks refused in every virtual host.
    fn render(&self, nets: &[IpNet]) -> Result<String, ConnectorError> {
        let text = hosted::read(&self.config.template)?;
        let at = self.config.template.display();
        let mut routes: Value = serde_json::from_str(&text)
            .map_err(|e| ConnectorError::Missing(format!("{at}: no JSON: {e}")))?;
        let mut hosts = 0;
        let resources = routes.get_mut("resources").and_then(Value::as_array_mut);
        for resource in resources.into_iter().flatten() {
            for host in resource.get_mut("virtual_hosts").and_then(Value::as_array_mut).into_iter().flatten()
            {
                let Some(host) = host.as_object_mut() else { continue };
                let filters = host.entry("typed_per_filter_config").or_insert_with(|| json!({}));
                if let Some(filters) = filters.as_object_mut() {
                    filters.insert(self.config.filter.clone(), per_route(nets));
                    hosts += 1;
                }
            }
        }
        if hosts == 0 {
            return Err(ConnectorError::Missing(format!("{at}: there is no virtual host in `resources`")));
        }
        Ok(routes.to_string())
    }
}

/// The filter's configuration for one virtual host (`envoy.extensions.filters.http.rbac.v3.RBACPerRoute`).
fn per_route(nets: &[IpNet]) -> Value {
    let action = |action: &str| {
        json!({"action": {"name": action, "typed_config": {
            "@type": "type.googleapis.com/envoy.config.rbac.v3.Action", "name": "sidetap", "action": action}}})
    };
    let ranges: Vec<Value> = nets
        .iter()
        .map(|n| json!({"address_prefix": n.addr().to_string(), "prefix_len": n.prefix_len()}))
        .collect();
    let matcher = if ranges.is_empty() {
        json!({"on_no_match": action("ALLOW")})
    } else {
        json!({
            "matcher_tree": {
                "input": {"name": "source", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"}},
                "custom_match": {"name": "ip", "typed_config": {
                    "@type": "type.googleapis.com/xds.type.matcher.v3.IPMatcher",
                    "range_matchers": [{"ranges": ranges, "on_match": action("DENY")}]}},
            },
            "on_no_match": action("ALLOW"),
        })
    };
    json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac": {"matcher": matcher}})
}

impl Connector for EnvoyConnector {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn kind(&self) -> &'static str {
        "envoy"
    }

    fn sees(&self) -> &Sees {
        &self.sees
    }

    fn zones(&self) -> &[String] {
        &self.config.zones
    }

    fn canary(&self) -> Option<&Canary> {
        self.canary.as_ref()
    }

    /// The file is compared with what it should be, so a template that changed is drift too.
    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let entries = self.memory.read()?;
        let nets: Vec<IpNet> = entries.iter().filter_map(|e| e.key.net()).collect();
        if hosted::read(&self.config.routes)? == self.render(&nets)? {
            return Ok(Observed { entries, ..Observed::default() });
        }
        Ok(Observed { drift: vec!["route configuration".to_owned()], ..Observed::default() })
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let live: Vec<Entry> = plan.target.iter().filter(|e| e.expires_at > now).cloned().collect();
        let nets: Vec<IpNet> = live.iter().filter_map(|e| e.key.net()).collect();
        let text = self.render(&nets)?;
        hosted::put(&[(self.config.routes.clone(), text)], &Server { test: &[], reload: &[], timeout_s: 1 })?;
        self.memory.write(&live)?;
        Ok(Answer { text: format!("{} addresses", live.len()) })
    }
}
