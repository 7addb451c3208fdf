use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use crate::akamai::{AkamaiConfig, AkamaiConnector};
use crate::alert::AlertConfig;
use crate::apache::{ApacheConfig, ApacheConnector};
use crate::aws::{AwsWafConfig, AwsWafConnector};
use crate::bgp::{BgpConfig, BgpConnector};
use crate::caddy::{CaddyConfig, CaddyConnector};
use crate::canary::{Canary, CanaryConfig};
use crate::cloudflare::{CloudflareConfig, CloudflareConnector};
use crate::connector::Connector;
use crate::crowdsec::{CrowdsecConfig, CrowdsecConnector};
use crate::entry::AddressSeen;
use crate::envoy::{EnvoyConfig, EnvoyConnector};
use crate::exec::{ExecConfig, ExecConnector};
use crate::f5::{F5Config, F5Connector};
use crate::fastly::{FastlyConfig, FastlyConnector};
use crate::feed::{FeedConfig, FeedConnector};
use crate::haproxy::{HaproxyConfig, HaproxyConnector};
use crate::ipset::{IpsetConfig, IpsetConnector};
use crate::modsecurity::{ModsecurityConfig, ModsecurityConnector};
use crate::nftables::{NftablesConfig, NftablesConnector};
use crate::nginx::{NginxConfig, NginxConnector};
use crate::nginx_njs::{NginxNjsConfig, NginxNjsConnector};
use crate::nginx_plus::{NginxPlusConfig, NginxPlusConnector};
use crate::secret::SecretRef;
use crate::varnish::{VarnishConfig, VarnishConnector};
use crate::webhook::{WebhookConfig, WebhookConnector};

macro_rules! connectors {
    ($($(#[$doc:meta])* $field:ident: $config:ty => $connector:ty,)*) => {
        /// `[mitigation]` of the configuration. A connector stands in the list of its kind: `[[mitigation.nftables]]`, …
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            /// Verdicts said longer ago than this are pushed with `--old` only: `90s`, `10m`, `24h`.
            pub max_age: String,
            /// Most entries that one push may add to one device without force.
            pub max_adds: usize,
            /// How often devices are looked at without news, and repaired: `30s`.
            pub reconcile: String,
            /// Networks that no device may touch, besides those of the policy's allow list.
            pub allow: Vec<IpNet>,
            /// Where it is remembered what was pushed and taken back.
            pub state: Option<PathBuf>,
            /// Whether what is wrong between connectors is let pass: devices are to be emptied, whatever is in the configuration.
            #[serde(skip)]
            pub lenient: bool,
            /// Who is told of what.
            pub alerts: AlertConfig,
            $($(#[$doc])* pub $field: Vec<$config>,)*
        }

        impl Default for Config {
            fn default() -> Self {
                Config {
                    max_age: "24h".to_owned(),
                    max_adds: 10_000,
                    reconcile: "30s".to_owned(),
                    allow: Vec::new(),
                    state: None,
                    lenient: false,
                    alerts: AlertConfig::default(),
                    $($field: Vec::new(),)*
                }
            }
        }

        impl Config {
            /// Whether there is no connector.
            pub fn is_empty(&self) -> bool {
                true $(&& self.$field.is_empty())*
            }

            /// Leaves out connectors that cannot be made now; gives why. What is wrong between those that can is let pass.
            pub fn prune(&mut self) -> Vec<ConfigError> {
                let mut why = Vec::new();
                self.lenient = true;
                $(self.$field.retain(|config| match <$connector>::new(config.clone()) {
                    Ok(_) => true,
                    Err(e) => {
                        why.push(e);
                        false
                    }
                });)*
                why
            }

            /// The connectors in the order in which they stand.
            fn listed(&self) -> Result<Vec<Box<dyn Connector>>, ConfigError> {
                let mut all: Vec<Box<dyn Connector>> = Vec::new();
                $(for config in &self.$field {
                    all.push(Box::new(<$connector>::new(config.clone())?));
                })*
                Ok(all)
            }
        }
    };
}

connectors! {
    /// Apache web servers.
    apache: ApacheConfig => ApacheConnector,
    /// Local APIs of CrowdSec.
    crowdsec: CrowdsecConfig => CrowdsecConnector,
    /// Envoy proxies.
    envoy: EnvoyConfig => EnvoyConnector,
    /// Web application firewalls with ModSecurity.
    modsecurity: ModsecurityConfig => ModsecurityConnector,
    /// Varnish caches.
    varnish: VarnishConfig => VarnishConnector,
    /// Akamai network lists.
    akamai: AkamaiConfig => AkamaiConnector,
    /// IP sets of AWS WAF.
    aws_waf: AwsWafConfig => AwsWafConnector,
    /// BGP speakers.
    bgp: BgpConfig => BgpConnector,
    /// Caddy web servers.
    caddy: CaddyConfig => CaddyConnector,
    /// Lists of Cloudflare.
    cloudflare: CloudflareConfig => CloudflareConnector,
    /// Data groups of F5 BIG-IP.
    f5: F5Config => F5Connector,
    /// Access control lists of Fastly.
    fastly: FastlyConfig => FastlyConnector,
    /// Key-value zones of NGINX Plus.
    nginx_plus: NginxPlusConfig => NginxPlusConnector,
    /// Programs of the user's.
    exec: ExecConfig => ExecConnector,
    /// Lists that devices fetch.
    feed: FeedConfig => FeedConnector,
    /// HAProxy load balancers.
    haproxy: HaproxyConfig => HaproxyConnector,
    /// Sets of addresses for iptables.
    ipset: IpsetConfig => IpsetConnector,
    /// Linux packet filters.
    nftables: NftablesConfig => NftablesConnector,
    /// Web servers.
    nginx: NginxConfig => NginxConnector,
    /// Web servers whose script looks entries up.
    nginx_njs: NginxNjsConfig => NginxNjsConnector,
    /// Receivers of signed requests.
    webhook: WebhookConfig => WebhookConnector,
}

/// Why a configuration is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value has not the form it needs.
    #[error("mitigation: {0}")]
    Value(String),
    /// Two connectors have one name.
    #[error("mitigation: there are two connectors named `{0}`")]
    Name(String),
    /// The ledger cannot be read.
    #[error(
        "mitigation: the ledger {path} cannot be read: {detail}; move it away (`mv {path} {path}.broken`) and push: devices keep what they hold until it is over, and what was taken back before has to be taken back again"
    )]
    State {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
}

impl Config {
    /// `max_age` in seconds.
    pub fn max_age_s(&self) -> Result<u64, ConfigError> {
        sidetap_policy::parse_ttl(&self.max_age).map_err(|e| ConfigError::Value(format!("max_age: {e}")))
    }

    /// `reconcile` as a time.
    pub fn reconcile(&self) -> Result<Duration, ConfigError> {
        let seconds = sidetap_policy::parse_ttl(&self.reconcile);
        seconds.map(Duration::from_secs).map_err(|e| ConfigError::Value(format!("reconcile: {e}")))
    }

    /// The connectors, in the order of their names.
    pub fn connectors(&self) -> Result<Vec<Box<dyn Connector>>, ConfigError> {
        let mut all = self.listed()?;
        all.sort_by(|a, b| a.name().cmp(b.name()));
        let twice = all.windows(2).find_map(|w| match w {
            [a, b] if a.name() == b.name() => Some(a.name().to_owned()),
            _ => None,
        });
        if let Some(name) = twice {
            return Err(ConfigError::Name(name));
        }
        if !self.lenient {
            check_targets(&all)?;
            check_canaries(&all, &self.allow)?;
        }
        Ok(all)
    }

    /// The credentials that it names, with whose they are.
    pub fn credentials(&self) -> Vec<(String, &SecretRef)> {
        let mut all: Vec<(&str, &SecretRef)> = Vec::new();
        for c in &self.akamai {
            all.extend([&c.client_token, &c.client_secret, &c.access_token].map(|s| (c.name.as_str(), s)));
        }
        for c in &self.aws_waf {
            let fixed = [&c.access_key_id, &c.secret_access_key].into_iter();
            all.extend(fixed.chain(&c.session_token).map(|s| (c.name.as_str(), s)));
        }
        all.extend(self.cloudflare.iter().map(|c| (c.name.as_str(), &c.token)));
        all.extend(self.crowdsec.iter().map(|c| (c.name.as_str(), &c.password)));
        all.extend(self.f5.iter().map(|c| (c.name.as_str(), &c.password)));
        all.extend(self.fastly.iter().map(|c| (c.name.as_str(), &c.token)));
        all.extend(self.feed.iter().filter_map(|c| Some((c.name.as_str(), c.token.as_ref()?))));
        all.extend(self.webhook.iter().map(|c| (c.name.as_str(), &c.secret)));
        let mut all: Vec<(String, &SecretRef)> =
            all.into_iter().map(|(name, secret)| (format!("mitigation: {name}"), secret)).collect();
        for sink in &self.alerts.sink {
            let secrets = sink.url_secret.iter().chain(&sink.secret);
            all.extend(secrets.map(|s| (format!("mitigation: alerts to {}", sink.name), s)));
        }
        all
    }

    /// Refuses a canary whose address is on this never-block list: it would be blocked to prove something.
    pub fn check_canaries(&self, never: &[IpNet]) -> Result<(), ConfigError> {
        check_canaries(&self.connectors()?, never)
    }
}

/// Refuses two connectors that write the same: each would take away what the other puts there, for ever.
fn check_targets(all: &[Box<dyn Connector>]) -> Result<(), ConfigError> {
    let mut by: BTreeMap<String, &str> = BTreeMap::new();
    for c in all {
        for target in c.targets() {
            if let Some(other) = by.insert(target.clone(), c.name()).filter(|other| *other != c.name()) {
                let name = c.name();
                return Err(ConfigError::Value(format!(
                    "`{other}` and `{name}` both write {target}: each would take away what the other puts there; leave one out, or give each its own"
                )));
            }
        }
    }
    Ok(())
}

fn check_canaries(all: &[Box<dyn Connector>], never: &[IpNet]) -> Result<(), ConfigError> {
    let wrong = all.iter().find_map(|c| Some((c.name(), c.canary()?.forbidden(never)?)));
    match wrong {
        None => Ok(()),
        Some((name, why)) => Err(ConfigError::Value(format!("{name}: canary: {why}"))),
    }
}

/// Refuses a name that would not be one word in outputs.
pub(crate) fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name == "*" || !name.bytes().all(fits) {
        return Err(ConfigError::Value(format!(
            "connector name `{name}`: letters, digits, `-`, `_` and `.` only"
        )));
    }
    Ok(())
}

/// The canary of a connector that computes these fingerprints, where there is one.
pub(crate) fn canary_of(
    name: &str,
    canary: Option<&CanaryConfig>,
    address: AddressSeen,
    prints: &[&str],
) -> Result<Option<Canary>, ConfigError> {
    canary.map(|canary| Canary::new(name, canary.clone(), address, prints)).transpose()
}

/// The configuration of a device in front of applications: what all of them have, its own fields, and what those are where nothing is said.
macro_rules! edge_config {
    (
        $(#[$doc:meta])* $name:ident($kind:literal, capacity: $capacity:literal)
        { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Its name.
            #[serde(default = "defaults::name")]
            pub name: String,
            $($(#[$field_doc])* pub $field: $type,)*
            /// Whether it compares the connection's address or a forwarded one.
            #[serde(default)]
            pub address: crate::entry::AddressSeen,
            /// Most entries.
            #[serde(default = "defaults::capacity")]
            pub capacity: usize,
            /// A request through it that proves that entries have an effect.
            #[serde(default)]
            pub canary: Option<crate::canary::CanaryConfig>,
            /// Zones whose clients reach it; empty means all.
            #[serde(default)]
            pub zones: Vec<String>,
        }

        impl $name {
            /// Its canary, where it computes these fingerprints; refuses a name that cannot be used.
            fn named_canary(&self, prints: &[&str]) -> Result<Option<crate::canary::Canary>, ConfigError> {
                crate::config::check_name(&self.name)?;
                crate::config::canary_of(&self.name, self.canary.as_ref(), self.address, prints)
            }
        }

        mod defaults {
            pub(super) fn name() -> String {
                $kind.to_owned()
            }

            pub(super) fn capacity() -> usize {
                $capacity
            }
        }
    };
}
pub(crate) use edge_config;

/// The same of a server on this machine that commands are run for.
macro_rules! server_config {
    (
        $(#[$doc:meta])* $name:ident($kind:literal, capacity: $capacity:literal, interval_s: $interval:literal, timeout_s: $timeout:literal)
        { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
    ) => {
        crate::config::edge_config! {
            $(#[$doc])* $name($kind, capacity: $capacity) {
                $($(#[$field_doc])* $field: $type,)*
                /// Seconds between two changes at least: each one costs something.
                #[serde(default = "times::interval")]
                min_interval_s: u64,
                /// Seconds that one command may take.
                #[serde(default = "times::timeout")]
                timeout_s: u64,
            }
        }

        impl $name {
            /// Its canary; refuses a name or a time that cannot be used, and where what it needs (`needs`) is not there.
            fn checked(&self, there: bool, needs: &str) -> Result<Option<crate::canary::Canary>, ConfigError> {
                let canary = self.named_canary(&[])?;
                if !there || self.timeout_s == 0 {
                    return Err(ConfigError::Value(format!("{}: {needs} and timeout_s are not empty", self.name)));
                }
                Ok(canary)
            }
        }

        mod times {
            pub(super) fn interval() -> u64 {
                $interval
            }

            pub(super) fn timeout() -> u64 {
                $timeout
            }
        }
    };
}
pub(crate) use server_config;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_needs_a_device_that_looks_at_forwarded_addresses() {
        let canary = "canary = { url = \"http://127.0.0.1/healthz\" }";
        for device in
            ["[[nginx]]\naddresses = \"a\"\nallow = \"b\"\nreload = [\"true\"]", "[[apache]]\nmap = \"m\""]
        {
            let of = |more: &str| {
                let config: Config = toml::from_str(&format!("{device}\n{more}\n")).unwrap();
                config.connectors().map(|all| all.len())
            };
            assert_eq!(of(""), Ok(1));
            assert_eq!(of(&format!("address = \"forwarded\"\n{canary}")), Ok(1));
            let refused = of(canary).unwrap_err().to_string();
            assert!(refused.contains("canary: needs address = \"forwarded\""), "{refused}");
        }
    }
}
