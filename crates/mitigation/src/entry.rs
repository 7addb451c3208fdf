use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};
use sidetap_model::Measures;
use sidetap_policy::Response;

use crate::key::Key;
use crate::way::{Way, Ways};
use sidetap_model::SubjectKind;

/// One entry on a device: what it should hold, or holds of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What requests are compared with.
    pub key: Key,
    /// What is done to its requests.
    pub response: Response,
    /// When the device, or the next reconcile, lets go: seconds since 1970, wall clock.
    pub expires_at: i64,
    /// The verdict behind it, spelled as [`tag_of`] spells it.
    pub verdict: String,
    /// What goes first where not all fit: the higher stays.
    #[serde(default)]
    pub priority: (u8, i64),
    /// How the response is done, where the rule says so and the device can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
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

/// Whether a device can hold a response to hosts and endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Places {
    /// It sees none, or its lists have no room for them.
    #[default]
    No,
    /// Hosts, methods and paths.
    Yes,
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
    /// Kinds of fingerprints that it computes itself: `a1`, `s2`.
    pub prints: &'static [&'static str],
    /// Whether it computes the keyed hashes of sessions and API keys.
    pub tokens: bool,
    /// Whether it is told of the keyed hashes of accounts, which stand in bodies: who only sees heads computes none.
    pub accounts: bool,
    /// Headers whose values it compares, in lower case; `*` stands for all.
    pub headers: Vec<String>,
    /// Whether it can hold a response to hosts and endpoints, and for whom.
    pub places: Places,
    /// Shortest prefixes that it is ever told of, IPv4 and IPv6.
    pub min_prefix: (u8, u8),
    /// What it can do.
    pub responses: Vec<Response>,
    /// What it can be told of how a rule wants them done.
    pub ways: Ways,
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

impl Sees {
    /// What a device sees that knows addresses and networks of both families and nothing else.
    pub fn addresses(responses: Vec<Response>, capacity: usize) -> Self {
        Sees {
            address: AddressSeen::Peer,
            networks: true,
            ipv6: true,
            prints: &[],
            tokens: false,
            accounts: false,
            headers: Vec::new(),
            places: Places::No,
            min_prefix: (16, 32),
            responses,
            ways: Ways::default(),
            capacity,
            native_ttl: false,
            allow_list: false,
            open_connections: "",
            delay: "",
            cannot: "it compares addresses and nothing else",
        }
    }

    /// What it compares requests with, in words.
    pub fn compares(&self) -> String {
        let seen = match self.address {
            AddressSeen::Peer => "the connection's address",
            AddressSeen::Forwarded => "a forwarded address",
        };
        let mut all = vec![seen.to_owned()];
        all.extend(self.networks.then(|| "networks".to_owned()));
        if !self.prints.is_empty() {
            all.push(format!("fingerprints ({})", self.prints.join(", ")));
        }
        all.extend(self.tokens.then(|| "sessions, API keys".to_owned()));
        all.extend(self.accounts.then(|| "accounts".to_owned()));
        match self.headers.iter().any(|h| h == "*") {
            true => all.push("headers".to_owned()),
            false => all.extend(self.headers.iter().map(|h| format!("header {h}"))),
        }
        all.extend((self.places != Places::No).then(|| "hosts and endpoints".to_owned()));
        all.join(", ")
    }

    /// What of what a rule asks for (the wanted response first) it does otherwise, or not at all; none where it does just that.
    pub fn otherwise(&self, responses: &[Response], measures: &Measures) -> Option<String> {
        let acting: Vec<Response> = responses.iter().copied().filter(|r| r.acts()).collect();
        let names = |all: &[Response]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let first = acting.first()?;
        match acting.iter().find(|r| self.responses.contains(r)) {
            // Of an address a geo-fence is a block, or nothing.
            None if acting.contains(&Response::GeoFence) && self.responses.contains(&Response::Block) => None,
            None => Some(format!("not told: it cannot {}", names(&acting))),
            Some(r) => {
                let weaker = (r != first).then(|| format!("{r}, since it cannot {first}"));
                let own = self.ways.told(*r, measures).1.map(|own| format!("{r} {own}"));
                let both: Vec<String> = weaker.into_iter().chain(own).collect();
                (!both.is_empty()).then(|| both.join("; "))
            }
        }
    }

    /// Responses that act and that it cannot do.
    pub fn cannot_do(&self) -> Vec<Response> {
        Response::ALL.into_iter().filter(|r| r.acts() && !self.responses.contains(r)).collect()
    }

    /// Whether it can compare requests with this kind of key.
    pub fn matches(&self, key: &Key) -> bool {
        match key {
            Key::Net(_) => true,
            Key::At(_, other) => self.matches(other),
            Key::Print(print) => print.split_once('-').is_some_and(|(kind, _)| self.prints.contains(&kind)),
            Key::Token(SubjectKind::Account, _) => self.accounts,
            Key::Token(..) => self.tokens,
            Key::Header(name, _) => self.headers.iter().any(|h| h == "*" || h == name),
            Key::Within(who, _) => self.places != Places::No && self.matches(who),
        }
    }
}

/// A network of IPv4 as IPv6 spells it (`::ffff:192.0.2.0/120`): proxies that listen to both families forward addresses so, and devices
/// that take them for others have to be told of both.
pub(crate) fn mapped(net: &IpNet) -> Option<IpNet> {
    let IpNet::V4(v4) = net else { return None };
    Ipv6Net::new(v4.addr().to_ipv6_mapped(), v4.prefix_len() + 96).ok().map(IpNet::V6)
}

/// How a verdict's id is spelled on devices: letters, digits, `-`, `_` and `.`, at most 64 of them.
pub fn tag_of(verdict: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    verdict.chars().take(64).map(|c| if fits(c) { c } else { '_' }).collect()
}
