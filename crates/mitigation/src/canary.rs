//! A request through the device itself that has to be refused: the proof that entries have an effect.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;
use sidetap_policy::Response;

use crate::config::ConfigError;
use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;

/// The verdict of a canary's entry.
pub(crate) const CANARY: &str = "canary";
/// Seconds until a change must have an effect.
const EFFECT_S: u64 = 5;
/// An entry for the canary lasts up to this long, so that it is rarely set anew.
const LIFE_S: i64 = 6 * 3600;

/// A probe of a device's effect: for devices that look up a forwarded address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryConfig {
    /// An address behind the device that anybody may ask for: `http://edge.example/healthz`.
    pub url: String,
    /// The header in which the device takes the client's address.
    #[serde(default = "default_header")]
    pub header: String,
    /// Who the canary says it is: an address that nobody has.
    #[serde(default = "default_address")]
    pub address: IpAddr,
}

fn default_header() -> String {
    "X-Forwarded-For".to_owned()
}

fn default_address() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

/// A canary, ready to be sent.
#[derive(Clone, Debug)]
pub struct Canary {
    config: CanaryConfig,
    http: Http,
}

impl Canary {
    pub(crate) fn new(name: &str, config: CanaryConfig) -> Result<Self, ConfigError> {
        check_url(name, &config.url)?;
        let http = Http::new(&HttpOptions { timeout_s: EFFECT_S, ca: None })?;
        Ok(Canary { config, http })
    }

    /// The entry that stops it.
    pub(crate) fn entry(&self, now: i64) -> Entry {
        Entry {
            key: Key::Net(self.config.address.into()),
            response: Response::Block,
            expires_at: (now.div_euclid(LIFE_S) + 2).saturating_mul(LIFE_S),
            verdict: CANARY.to_owned(),
            priority: (u8::MAX, i64::MAX),
        }
    }

    /// Sends it until it is refused; gives how long that took.
    pub(crate) fn send(&self) -> Result<Duration, ConnectorError> {
        let start = Instant::now();
        let address = self.config.address.to_string();
        let headers = [(self.config.header.as_str(), address.as_str())];
        let ask = Ask { method: "GET", url: &self.config.url, headers: &headers, body: None };
        loop {
            let status = match self.http.ask(&ask) {
                Ok(reply) if reply.status < 400 => reply.status,
                // A device may also close or reset the connection of whom it blocks.
                Ok(_) | Err(ConnectorError::Unreachable(_)) => return Ok(start.elapsed()),
                Err(e) => return Err(e),
            };
            if start.elapsed() > Duration::from_secs(EFFECT_S) {
                return Err(ConnectorError::Answer(format!(
                    "it says yes, but a request of {address} is still answered with {status}"
                )));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
