//! Parties that the site knows: partners, its monitors, its own apps.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use sidetap_model::HashKey;

use crate::IntelError;

/// A party as a configuration writes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownConfig {
    /// Its name.
    pub name: String,
    /// Networks that it comes from; lone addresses too.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<IpNet>,
    /// Its API keys: as outputs spell them (`abcdef…#0123456789abcdef`), or raw.
    pub keys: Vec<String>,
    /// The header in which its key stands, where that is none that usually holds keys.
    pub header: String,
    /// What its agent strings hold, in lower case.
    pub agents: Vec<String>,
}

fn networks<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<IpNet>, D::Error> {
    let written = Vec::<String>::deserialize(d)?;
    let read = |text: &String| {
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        net.ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no network")))
    };
    written.iter().map(read).collect()
}

/// What a party is to the site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KnownKind {
    /// A partner.
    Partner,
    /// A monitor of the site's own.
    Monitor,
    /// An app of the site's own.
    App,
}

impl KnownKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            KnownKind::Partner => "partner",
            KnownKind::Monitor => "monitor",
            KnownKind::App => "own-app",
        }
    }
}

/// A party that the site knows.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownParty {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: KnownKind,
    networks: Vec<IpNet>,
    keys: Vec<u64>,
    agents: Vec<String>,
}

/// How far a client shows that it is a party.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Proof {
    /// Its agent says so; anybody can say it.
    Claimed,
    /// It presents the party's key from elsewhere.
    ForeignKey,
    /// Everything that the configuration names is right.
    Shown,
}

/// All parties that the site knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    parties: Vec<KnownParty>,
    headers: Vec<String>,
}

impl Known {
    /// Checks parties; raw keys are hashed with the site's key and not kept.
    pub fn new(configs: &[(KnownKind, KnownConfig)], key: &HashKey) -> Result<Self, IntelError> {
        let mut known = Known::default();
        for (kind, config) in configs {
            let bad = |what: &str| IntelError::Known(config.name.clone(), what.into());
            if config.name.is_empty() || config.name.len() > 64 || config.name.chars().any(char::is_control) {
                return Err(bad("a name has 1 to 64 characters"));
            }
            if config.networks.is_empty() && config.keys.is_empty() && config.agents.is_empty() {
                return Err(bad("`networks`, `keys` or `agents` says by what it is known"));
            }
            if !config.header.is_empty() {
                known.headers.push(config.header.to_ascii_lowercase());
            }
            known.parties.push(KnownParty {
                name: config.name.clone(),
                kind: *kind,
                networks: config.networks.iter().map(IpNet::trunc).collect(),
                keys: config.keys.iter().map(|k| key_hash(k, key)).collect(),
                agents: config.agents.iter().map(|a| a.to_lowercase()).collect(),
            });
        }
        known.headers.sort();
        known.headers.dedup();
        Ok(known)
    }

    /// The parties.
    pub fn parties(&self) -> &[KnownParty] {
        &self.parties
    }

    /// Headers, in lower case, that hold keys of parties.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The party of this number.
    pub fn party(&self, at: u16) -> Option<&KnownParty> {
        self.parties.get(usize::from(at))
    }

    /// Which party a client is, by its address, the key that it presents (keyed hash) and its agent: the one that it shows
    /// best to be.
    pub fn who(&self, ip: IpAddr, key: Option<u64>, agent: &str) -> Option<(u16, Proof)> {
        if self.parties.is_empty() {
            return None;
        }
        let low = agent.to_lowercase();
        let mut best: Option<(u16, Proof)> = None;
        for (at, party) in self.parties.iter().enumerate() {
            let Some(proof) = party.proof(ip, key, &low) else { continue };
            if best.is_none_or(|(_, known)| proof > known) {
                best = u16::try_from(at).ok().map(|at| (at, proof));
            }
        }
        best
    }
}

impl KnownParty {
    fn proof(&self, ip: IpAddr, key: Option<u64>, agent: &str) -> Option<Proof> {
        let there = self.networks.iter().any(|n| n.contains(&ip));
        let keyed = key.is_some_and(|k| self.keys.contains(&k));
        let named = self.agents.iter().any(|a| agent.contains(a.as_str()));
        let network_ok = self.networks.is_empty() || there;
        let key_ok = self.keys.is_empty() || keyed;
        let agent_ok = self.agents.is_empty() || named;
        let proven = !self.networks.is_empty() || !self.keys.is_empty();
        if proven && network_ok && key_ok && agent_ok {
            Some(Proof::Shown)
        } else if keyed && !network_ok {
            Some(Proof::ForeignKey)
        } else if named {
            Some(Proof::Claimed)
        } else {
            None
        }
    }
}

/// The hash of a key: what ends its spelling in outputs, or the site's hash of a raw one.
fn key_hash(text: &str, key: &HashKey) -> u64 {
    let spelled = text
        .rsplit_once('#')
        .filter(|(head, hash)| hash.len() == 16 && (head.is_empty() || head.ends_with('…')));
    match spelled.and_then(|(_, hash)| u64::from_str_radix(hash, 16).ok()) {
        Some(hash) => hash,
        None => key.hash64("api-key", &sidetap_model::token_bytes(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let key = HashKey::from_bytes([7; 16]);
        let partner = KnownConfig {
            name: "acme".into(),
            networks: vec!["20.0.0.0/24".parse().unwrap()],
            keys: vec!["sk_live_0123456789".into(), "abcdef…#00000000000000ff".into()],
            ..KnownConfig::default()
        };
        let monitor = KnownConfig {
            name: "probe".into(),
            networks: vec!["20.9.0.0/24".parse().unwrap()],
            agents: vec!["Probe/".into()],
            ..KnownConfig::default()
        };
        let app =
            KnownConfig { name: "shop".into(), agents: vec!["myshop/".into()], ..KnownConfig::default() };
        let all = [(KnownKind::Partner, partner), (KnownKind::Monitor, monitor), (KnownKind::App, app)];
        Known::new(&all, &key).unwrap()
    }

    #[test]
    fn parties_are_shown_by_all_that_is_configured() {
        let k = known();
        let hash = HashKey::from_bytes([7; 16]).hash64("api-key", b"sk_live_0123456789");
        let who = |ip: &str, key, agent: &str| k.who(ip.parse().unwrap(), key, agent);
        assert_eq!(who("20.0.0.1", Some(hash), "x"), Some((0, Proof::Shown)));
        assert_eq!(who("20.0.0.1", Some(0xff), "x"), Some((0, Proof::Shown)));
        assert_eq!(who("20.0.0.1", None, "x"), None);
        assert_eq!(who("30.0.0.1", Some(hash), "x"), Some((0, Proof::ForeignKey)));
        assert_eq!(who("20.9.0.1", None, "PROBE/1.0"), Some((1, Proof::Shown)));
        assert_eq!(who("30.9.0.1", None, "probe/1.0"), Some((1, Proof::Claimed)));
        assert_eq!(who("30.9.0.1", None, "MyShop/7"), Some((2, Proof::Claimed)));
    }

    #[test]
    fn a_party_without_a_mark_is_refused() {
        let config = KnownConfig { name: "x".into(), ..KnownConfig::default() };
        let key = HashKey::from_bytes([7; 16]);
        assert!(Known::new(&[(KnownKind::Partner, config)], &key).is_err());
    }
}
