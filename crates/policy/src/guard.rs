use ipnet::IpNet;
use serde::Serialize;
use sidetap_model::rows::VerdictRow;

use crate::caps::Caps;
use crate::net::{canonical, never_blockable, overlaps};
use crate::pack::Choice;
use crate::{AllowList, Response};

/// What no rule can pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guards {
    /// Shortest IPv4 prefix that may be acted against.
    pub min_prefix_v4: u8,
    /// Shortest IPv6 prefix that may be acted against.
    pub min_prefix_v6: u8,
    /// Networks of the site itself.
    pub own_networks: Vec<IpNet>,
    /// Networks whose addresses stand for many: offices, carriers, proxies, content delivery networks.
    pub shared_networks: Vec<IpNet>,
    /// How much may change at once, and how much of the good traffic may be hit.
    pub caps: Caps,
}

impl Default for Guards {
    fn default() -> Self {
        Guards {
            min_prefix_v4: 24,
            min_prefix_v6: 48,
            own_networks: Vec::new(),
            shared_networks: Vec::new(),
            caps: Caps::default(),
        }
    }
}

/// Why a response was not given although a rule asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "guard")]
pub enum Hold {
    /// The allow list names it.
    Allowed {
        /// The entry.
        entry: String,
    },
    /// Its intent does not carry the response.
    Intent,
    /// It has no reasons, so nobody could check it.
    NoReasons,
    /// Its network is wider than the cap.
    TooWide,
    /// It is one of the site's own addresses.
    OwnNetwork,
    /// Its address stands for many.
    Shared,
    /// Nobody can be there.
    Reserved,
    /// It is a verified crawler, a partner, a monitor or an app of the site.
    Known {
        /// Who.
        who: String,
    },
    /// It would hit too much of the recent good traffic.
    GoodTraffic {
        /// Good requests, of a million.
        ppm: u32,
    },
    /// It reaches beyond what the verdict names, and there is no stored traffic to measure whom it would hit.
    Unmeasured,
    /// It does not fit most of the requests that the verdict is about.
    Misses,
    /// The verdict carries none of the subjects that the rule names.
    NoSubject {
        /// As the rule writes them.
        asked: String,
    },
}

impl Hold {
    /// The name that a verdict's `policy` carries after `guard:`.
    pub fn name(&self) -> &'static str {
        match self {
            Hold::Allowed { .. } => "allow-list",
            Hold::Intent => "intent",
            Hold::NoReasons => "no-reasons",
            Hold::TooWide => "too-wide",
            Hold::OwnNetwork => "own-network",
            Hold::Shared => "shared-address",
            Hold::Reserved => "reserved-address",
            Hold::Known { .. } => "known-party",
            Hold::GoodTraffic { .. } => "good-traffic",
            Hold::Unmeasured => "unmeasured",
            Hold::Misses => "misses",
            Hold::NoSubject { .. } => "no-subject",
        }
    }

    /// That a verdict carries none of these.
    pub(crate) fn none_of(asked: &[Choice]) -> Self {
        Hold::NoSubject { asked: asked.iter().map(Choice::name).collect::<Vec<_>>().join(", ") }
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Hold::Allowed { entry } => return write!(f, "{entry}"),
            Hold::Known { who } => return write!(f, "{who}"),
            Hold::NoSubject { asked } => {
                return write!(f, "the verdict has none of the rule's subjects ({asked})");
            }
            Hold::GoodTraffic { ppm } => {
                return write!(f, "it would hit {} of the stored good requests", share(*ppm));
            }
            Hold::Intent => "only malicious ones are acted against",
            Hold::NoReasons => "nobody could check it",
            Hold::TooWide => "its network is wider than min_prefix_v4 or min_prefix_v6",
            Hold::OwnNetwork => "an address of the site itself",
            Hold::Shared => "its address stands for more than one client",
            Hold::Reserved => "nobody can be at such an address",
            Hold::Unmeasured => "no stored traffic says whom else it would hit",
            Hold::Misses => "it does not fit most of the verdict's own requests",
        };
        f.write_str(text)
    }
}

/// A share in words of which there are few, so that they can be counted.
fn share(ppm: u32) -> String {
    match ppm {
        0 => "less than one in a million".to_owned(),
        1..=99 => "less than 0.01 %".to_owned(),
        100..=999 => "0.01 to 0.1 %".to_owned(),
        1_000..=9_999 => "0.1 to 1 %".to_owned(),
        _ => format!("{} %", ppm / 10_000),
    }
}

impl Guards {
    /// The strongest response that this verdict may carry, where a guard holds the one that was asked for.
    pub(crate) fn hold(
        &self,
        v: &VerdictRow,
        asked: Response,
        allow: &AllowList,
    ) -> Option<(Response, Hold)> {
        if asked == Response::None {
            return None;
        }
        if let Some(entry) = allow.covers(v) {
            let entry = entry.reason.clone().unwrap_or_else(|| entry.value.clone());
            return Some((Response::None, Hold::Allowed { entry }));
        }
        let limit = match v.intent.as_str() {
            _ if v.may_be_acted_on() => Response::Block,
            "suspicious" | "automated" => Response::Alert,
            _ => Response::None,
        };
        if asked > limit {
            return Some((limit, Hold::Intent));
        }
        if !asked.acts() {
            return None;
        }
        if v.reasons.is_empty() {
            return Some((Response::Alert, Hold::NoReasons));
        }
        known(v).map(|who| (Response::Alert, Hold::Known { who }))
    }

    /// Why this network may not be acted against.
    pub fn hold_net(&self, net: &IpNet) -> Option<Hold> {
        let min = if matches!(net, IpNet::V4(_)) { self.min_prefix_v4 } else { self.min_prefix_v6 };
        if net.prefix_len() < min {
            return Some(Hold::TooWide);
        }
        if never_blockable(net).is_some() {
            return Some(Hold::Reserved);
        }
        if self.own_networks.iter().any(|n| overlaps(&canonical(*n), net)) {
            return Some(Hold::OwnNetwork);
        }
        self.shared_networks.iter().any(|n| overlaps(&canonical(*n), net)).then_some(Hold::Shared)
    }
}

/// The crawler, partner, monitor or app that this is and nobody else can be. Declared AI crawlers and agents are for the site's own
/// rules.
fn known(v: &VerdictRow) -> Option<String> {
    let agent = v.agent.as_ref().filter(|a| !matches!(a.kind.as_str(), "ai-crawler" | "ai-agent"))?;
    let verified = agent.verified == Some(true);
    let who = agent.party.clone().or_else(|| agent.operator.clone().filter(|_| verified));
    who.filter(|_| verified || agent.party.is_some() && agent.verified != Some(false))
}
