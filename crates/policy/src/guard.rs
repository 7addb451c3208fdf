use ipnet::IpNet;
use serde::Serialize;
use sidetap_model::rows::VerdictRow;

use crate::net::{never_blockable, overlaps, subject_net};
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
}

impl Default for Guards {
    fn default() -> Self {
        Guards { min_prefix_v4: 24, min_prefix_v6: 48, own_networks: Vec::new(), shared_networks: Vec::new() }
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
        }
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
        let net = subject_net(&v.subject)?;
        self.hold_net(&net).map(|hold| (Response::Alert, hold))
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
        if self.own_networks.iter().any(|n| overlaps(n, net)) {
            return Some(Hold::OwnNetwork);
        }
        self.shared_networks.iter().any(|n| overlaps(n, net)).then_some(Hold::Shared)
    }
}
