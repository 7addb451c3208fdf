use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sidetap_policy::Response;

/// One entry on a device: what it should hold, or holds of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The address or network.
    pub net: IpNet,
    /// What is done to its requests.
    pub response: Response,
    /// When the device, or the next reconcile, lets go: seconds since 1970, wall clock.
    pub expires_at: i64,
    /// The verdict behind it, spelled as [`tag_of`] spells it.
    pub verdict: String,
    /// What goes first where not all fit: the higher stays.
    #[serde(default)]
    pub priority: (u8, i64),
}

/// Which address of a client a device can compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressSeen {
    /// The one of the connection.
    #[default]
    Peer,
    /// The one that a forwarding header gives.
    Forwarded,
}

/// What a device sees of a client and what it can do: nothing else is sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sees {
    /// Which address it compares with.
    pub address: AddressSeen,
    /// Whether it can match networks, not single addresses only.
    pub networks: bool,
    /// Whether it can match IPv6.
    pub ipv6: bool,
    /// What it can do.
    pub responses: Vec<Response>,
    /// Entries that it can hold, as configured.
    pub capacity: usize,
    /// Whether it lets go by itself when the time to live is over.
    pub native_ttl: bool,
    /// Whether it holds an allow list that wins on the device itself.
    pub allow_list: bool,
    /// What happens to connections that are open already.
    pub open_connections: &'static str,
    /// How long a change takes to have effect.
    pub delay: &'static str,
    /// What cannot be sent to it.
    pub cannot: &'static str,
}

/// How a verdict's id is spelled on devices: letters, digits, `-`, `_` and `.`, at most 64 of them.
pub fn tag_of(verdict: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    verdict.chars().take(64).map(|c| if fits(c) { c } else { '_' }).collect()
}
