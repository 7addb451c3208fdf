//! A list that devices fetch: one address or CIDR a line over HTTP.
//!
//! The connector writes the list to a file; [`Server`] serves what of it is not over. Both may run in one process or in two.

mod list;
mod server;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use sidetap_policy::Response;

use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{AddressSeen, Sees};
use crate::plan::Plan;
use crate::secret::SecretRef;
use crate::turn::turn;

pub use list::{Family, FeedList, Shape};
pub use server::{FeedError, Server, WallClock, system_clock};

/// A feed: `[[mitigation.feed]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The file that holds the list.
    pub path: PathBuf,
    /// Where it is served; other than loopback only with a token.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// What devices have to show: as bearer token, as password of basic authentication, or as `?token=`.
    #[serde(default)]
    pub token: Option<SecretRef>,
    /// Most lines: what the weakest device that fetches it can hold.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// The address that stands in a list that would be empty, for devices that keep no empty list: nobody's.
    #[serde(default = "default_sentinel")]
    pub sentinel: Option<IpAddr>,
    /// Of the lines whose time is not over, the share in a hundred that one push may take out; what is beyond stays until it is over.
    #[serde(default = "default_shrink")]
    pub max_shrink: u8,
    /// Whether the devices compare the connection's address or a forwarded one.
    #[serde(default)]
    pub address: AddressSeen,
    /// Zones whose clients reach the devices; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "feed".to_owned()
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8089))
}

fn default_sentinel() -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, 1]))
}

fn default_shrink() -> u8 {
    50
}

fn default_capacity() -> usize {
    50_000
}

/// The connector that keeps a feed's list.
#[derive(Debug)]
pub struct FeedConnector {
    config: FeedConfig,
    sees: Sees,
}

impl FeedConnector {
    /// The connector of this configuration.
    pub fn new(config: FeedConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        if config.max_shrink > 100 {
            return Err(ConfigError::Value(format!("{}: max_shrink is a share of a hundred", config.name)));
        }
        let sees = Sees {
            ways: Default::default(),
            address: config.address,
            networks: true,
            ipv6: true,
            prints: &[],
            tokens: false,
            accounts: false,
            headers: Vec::new(),
            places: crate::entry::Places::No,
            min_prefix: (16, 32),
            responses: vec![Response::Block],
            capacity: config.capacity,
            native_ttl: true,
            allow_list: false,
            open_connections: "as the device that fetches it does",
            delay: "until the device fetches again: minutes",
            cannot: "a list of addresses names addresses only",
        };
        Ok(FeedConnector { config, sees })
    }
}

impl Connector for FeedConnector {
    basics!("feed");

    fn targets(&self) -> Vec<String> {
        files([&self.config.path])
    }

    fn max_shrink(&self) -> u8 {
        self.config.max_shrink
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let list = FeedList::read(&self.config.path)?;
        // Those who fetch are answered with an error until there is a list, an empty one too.
        let drift = if self.config.path.exists() { Vec::new() } else { vec!["list".to_owned()] };
        Ok(Observed { entries: list.entries, drift, ..Observed::default() })
    }

    fn apply(&mut self, plan: &Plan, _now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.path, plan)?;
        plan.check_unseen(
            &FeedList::read(&self.config.path)?.entries,
            &self.config.path.display().to_string(),
        )?;
        let list = FeedList { entries: plan.target.clone() };
        list.write(&self.config.path)?;
        Ok(turn.answer(format!("{} lines written", list.entries.len())))
    }
}
