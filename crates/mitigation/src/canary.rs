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
/// An entry for the canary lasts twice as long and is set anew when half of that is over, so that it is rarely a change.
const LIFE_S: i64 = 6 * 3600;
/// Seconds by which a device's idea of an end may be later.
const SLACK_S: i64 = 60;

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

    /// The entry that stops it: as the device holds it while that is long enough, so that no push is a change by the hour alone.
    pub(crate) fn entry(&self, now: i64, held: &[Entry]) -> Entry {
        let key = Key::Net(self.config.address.into());
        let fresh = now.saturating_add(2 * LIFE_S);
        let lasts = |end: &i64| (now.saturating_add(LIFE_S)..=fresh.saturating_add(SLACK_S)).contains(end);
        let there = held.iter().filter(|e| e.key == key && e.response == Response::Block);
        Entry {
            expires_at: there.map(|e| e.expires_at).filter(lasts).max().unwrap_or(fresh),
            key,
            response: Response::Block,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_entry_stays_as_it_is_at_every_hour_until_half_of_it_is_over() {
        let config = CanaryConfig {
            url: "http://edge.example/".to_owned(),
            header: default_header(),
            address: default_address(),
        };
        let canary = Canary::new("edge", config).unwrap();
        let start = 1_790_000_000;
        let held = canary.entry(start, &[]);
        assert_eq!(held.expires_at, start + 2 * LIFE_S);
        let at = |s: i64| canary.entry(start + s, std::slice::from_ref(&held)).expires_at - start;
        assert!((0..=LIFE_S).all(|s| at(s) == 2 * LIFE_S));
        assert_eq!(at(LIFE_S + 1), 3 * LIFE_S + 1, "then it is set anew");
        assert_eq!(at(-3_600), 2 * LIFE_S - 3_600, "and after a clock that jumped back");
    }
}
