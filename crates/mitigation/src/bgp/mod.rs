//! BGP: flow specifications (RFC 8955) or routes to a black hole, announced by a GoBGP that runs beside.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::command;
use crate::config::{ConfigError, canary_of, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files, shortened};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::key::Key;
use crate::memory::Memory;
use crate::plan::Plan;
use crate::turn::turn;

/// What is announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BgpMode {
    /// Flow specifications that match the source address.
    #[default]
    Flowspec,
    /// Host routes with a community, for routers that check sources against them (source-based black hole, RFC 5635).
    Rtbh,
}

/// A speaker: `[[mitigation.bgp]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BgpConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The command that is `gobgp` there: `["gobgp"]`, `["gobgp", "-p", "50051"]`.
    #[serde(default = "default_command")]
    pub command: Vec<String>,
    /// `flowspec` or `rtbh`.
    #[serde(default)]
    pub mode: BgpMode,
    /// Where packets of a flow specification may go only: your own networks. Needed for `flowspec`.
    #[serde(default)]
    pub destinations: Vec<IpNet>,
    /// Bytes a second that a rate-limited source may send.
    #[serde(default = "default_rate")]
    pub rate_bytes_per_s: u64,
    /// The next hop of routes to a black hole, IPv4 and IPv6.
    #[serde(default = "default_next_hops")]
    pub next_hops: [std::net::IpAddr; 2],
    /// The community of routes to a black hole (RFC 7999).
    #[serde(default = "default_community")]
    pub community: String,
    /// Where it is remembered what is ours.
    pub memory: PathBuf,
    /// Most entries: routers hold few.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// Seconds that one command may take.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
    /// Zones whose clients reach the routers; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
    /// A program that asks from an address of its own, which proves that entries have an effect.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
}

fn default_name() -> String {
    "bgp".to_owned()
}

fn default_command() -> Vec<String> {
    vec!["gobgp".to_owned()]
}

fn default_rate() -> u64 {
    12_500
}

fn default_next_hops() -> [std::net::IpAddr; 2] {
    [std::net::IpAddr::from([192, 0, 2, 1]), std::net::IpAddr::from([0x100, 0, 0, 0, 0, 0, 0, 1])]
}

fn default_community() -> String {
    "65535:666".to_owned()
}

fn default_capacity() -> usize {
    500
}

fn default_timeout() -> u64 {
    20
}

/// The connector to a speaker.
#[derive(Debug)]
pub struct BgpConnector {
    canary: Option<Canary>,
    config: BgpConfig,
    memory: Memory,
    sees: Sees,
}

impl BgpConnector {
    /// The connector of this configuration.
    pub fn new(config: BgpConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let refuse = |why: &str| Err(ConfigError::Value(format!("{}: {why}", config.name)));
        if config.command.is_empty() || config.timeout_s == 0 {
            return refuse("command and timeout_s are not empty");
        }
        if !config.community.bytes().all(|b| b.is_ascii_digit() || b == b':') {
            return refuse("community is two numbers, 65535:666");
        }
        let flows = config.mode == BgpMode::Flowspec;
        if flows && config.destinations.is_empty() {
            return refuse(
                "destinations are needed: your own networks, so that nothing else is ever matched",
            );
        }
        let mut responses = vec![Response::Block];
        responses.extend(flows.then_some(Response::RateLimit));
        let sees = Sees {
            min_prefix: (24, 48),
            ipv6: !flows || config.destinations.iter().any(|d| matches!(d, IpNet::V6(_))),
            open_connections: "cut off in the middle",
            delay: "at once here; as fast as routes spread",
            cannot: "routers see addresses of packets and nothing of HTTP",
            ..Sees::addresses(responses, config.capacity)
        };
        let canary = canary_of(&config.name, config.canary.as_ref(), AddressSeen::Peer, &[])?;
        Ok(BgpConnector { canary, memory: Memory::new(&config.memory), sees, config })
    }

    fn gobgp(&self, args: &[&str]) -> Result<String, ConnectorError> {
        command::run(&self.config.command, args, b"", self.config.timeout_s)
    }

    fn family(&self, v6: bool) -> &'static str {
        match (self.config.mode, v6) {
            (BgpMode::Flowspec, false) => "ipv4-flowspec",
            (BgpMode::Flowspec, true) => "ipv6-flowspec",
            (BgpMode::Rtbh, false) => "ipv4",
            (BgpMode::Rtbh, true) => "ipv6",
        }
    }

    /// The sources that are announced, of everybody.
    fn announced(&self) -> Result<Vec<IpNet>, ConnectorError> {
        let mut all = Vec::new();
        for v6 in [false, true] {
            let text = self.gobgp(&["-j", "global", "rib", "-a", self.family(v6)])?;
            for (prefix, paths) in &routes(&text)? {
                let source = match self.config.mode {
                    BgpMode::Flowspec => source_of(paths),
                    BgpMode::Rtbh => Some(prefix.as_str()),
                };
                all.extend(source.and_then(|s| s.parse::<IpNet>().ok()));
            }
        }
        Ok(all)
    }

    /// The words that announce or withdraw an entry, one list for each destination.
    fn words(&self, verb: &str, entry: &Entry) -> Vec<Vec<String>> {
        let Some(net) = entry.key.net() else { return Vec::new() };
        let v6 = matches!(net, IpNet::V6(_));
        let begin = ["global", "rib", verb];
        let flows = self.config.destinations.iter().filter(|d| matches!(d, IpNet::V6(_)) == v6);
        let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        match self.config.mode {
            BgpMode::Rtbh => {
                let [four, six] = self.config.next_hops.map(|h| h.to_string());
                let hop = if v6 { six } else { four };
                let net = net.to_string();
                let mut words = own(&begin);
                words.extend(own(&[&net, "-a", self.family(v6)]));
                if verb == "add" {
                    words.extend(own(&["nexthop", &hop, "community", &self.config.community]));
                }
                vec![words]
            }
            BgpMode::Flowspec => flows
                .map(|destination| {
                    let mut words = own(&begin);
                    let (source, destination) = (net.to_string(), destination.to_string());
                    words.extend(own(&[
                        "-a",
                        self.family(v6),
                        "match",
                        "source",
                        &source,
                        "destination",
                        &destination,
                    ]));
                    let rate = self.config.rate_bytes_per_s.to_string();
                    if verb == "add" {
                        words.extend(match entry.response {
                            Response::RateLimit => own(&["then", "rate-limit", &rate]),
                            _ => own(&["then", "discard"]),
                        });
                    }
                    words
                })
                .collect(),
        }
    }

    fn tell(&self, verb: &str, entry: &Entry) -> Result<(), ConnectorError> {
        for words in self.words(verb, entry) {
            self.gobgp(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// How the speaker says that it has no routes.
const NO_ROUTES: &str = "Network not in table";

/// The routes that the speaker named; what is neither a list nor the word for none is not taken for an empty one, since what is believed
/// to be gone is never withdrawn.
fn routes(text: &str) -> Result<serde_json::Map<String, Value>, ConnectorError> {
    let text = text.trim();
    if text.is_empty() || text == NO_ROUTES {
        return Ok(serde_json::Map::new());
    }
    let wrong = || ConnectorError::Answer(format!("gobgp global rib: {}", shortened(text)));
    match serde_json::from_str(text) {
        Ok(Value::Object(routes)) => Ok(routes),
        _ => Err(wrong()),
    }
}

/// The source prefix of a flow specification (component type 2, RFC 8955 §4.2.2.2).
fn source_of(paths: &Value) -> Option<&str> {
    let components = paths.pointer("/0/nlri/value")?.as_array()?;
    let source = components.iter().find(|c| c.get("type").and_then(Value::as_u64) == Some(2))?;
    source.pointer("/value/prefix")?.as_str()
}

impl Connector for BgpConnector {
    basics!("bgp", canary);

    fn targets(&self) -> Vec<String> {
        files([&self.config.memory])
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let there: BTreeSet<Key> = self.announced()?.into_iter().map(Key::Net).collect();
        self.memory.observed(&there)
    }

    /// Who is announced anew comes first; an announcement of the same source takes the place of the old one.
    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.memory, plan)?;
        let there: BTreeSet<Key> = self.announced()?.into_iter().map(Key::Net).collect();
        plan.check_unseen(&self.memory.observed(&there)?.entries, "announcements")?;
        self.memory.intend(&plan.target)?;
        let mut told = 0;
        for entry in plan.add.iter().filter(|e| e.expires_at > now) {
            self.tell("add", entry)?;
            told += 1;
        }
        let wanted: BTreeSet<&Key> = plan.target.iter().map(|e| &e.key).collect();
        for entry in plan.remove.iter().filter(|e| !wanted.contains(&e.key) && there.contains(&e.key)) {
            self.tell("del", entry)?;
            told += 1;
        }
        self.memory.write(&plan.target)?;
        Ok(turn.answer(format!("{told} announcements changed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_no_list_is_not_an_empty_one() {
        assert!(routes("{}\n").unwrap().is_empty() && routes("Network not in table\n").unwrap().is_empty());
        assert_eq!(routes(r#"{"192.0.2.1/32": []}"#).unwrap().len(), 1);
        for text in ["connection refused", "[]", "{\"192.0.2.1/32\": ["] {
            assert!(matches!(routes(text), Err(ConnectorError::Answer(_))), "{text}");
        }
    }
}
