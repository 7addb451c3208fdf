//! The form of a pack as it is written.

use serde::{Deserialize, Deserializer};

use crate::schedule::RawSchedule;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPack {
    pub(super) version: u32,
    #[serde(default)]
    pub(super) revision: Option<String>,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default)]
    pub(super) extends: OneOrMore,
    #[serde(default)]
    pub(super) allow: Vec<RawAllow>,
    #[serde(default)]
    pub(super) guards: RawGuards,
    #[serde(default)]
    pub(super) rules: Vec<RawRule>,
    #[serde(default)]
    pub(super) requests: Vec<RawRequest>,
}

/// What is there, which may not be empty (`null`).
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A text, or a list of them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        OneOrMore::More(Vec::new())
    }
}

impl OneOrMore {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(all) => all,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAllow {
    pub(super) ip: Option<String>,
    pub(super) cidr: Option<String>,
    pub(super) session: Option<String>,
    pub(super) account: Option<String>,
    pub(super) api_key: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) header: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuards {
    pub(super) min_prefix_v4: Option<u8>,
    pub(super) min_prefix_v6: Option<u8>,
    #[serde(default)]
    pub(super) own_networks: Vec<String>,
    #[serde(default)]
    pub(super) shared_networks: Vec<String>,
    pub(super) max_good_share: Option<String>,
    pub(super) max_good_share_total: Option<String>,
    pub(super) max_adds_per_minute: Option<u32>,
    pub(super) max_growth: Option<String>,
    pub(super) max_addresses: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) id: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) references: Vec<String>,
    pub(super) when: String,
    pub(super) response: OneOrMore,
    pub(super) ttl: Option<String>,
    #[serde(default = "default_priority")]
    pub(super) priority: i32,
    #[serde(default = "enabled")]
    pub(super) enabled: bool,
    #[serde(default, deserialize_with = "there")]
    pub(super) subjects: Option<Vec<String>>,
    pub(super) prefix: Option<RawPrefix>,
    #[serde(default)]
    pub(super) scope: RawScope,
    pub(super) schedule: Option<RawSchedule>,
    pub(super) escalate: Option<RawEscalation>,
    pub(super) mode: Option<String>,
    pub(super) rate: Option<String>,
    pub(super) delay: Option<String>,
    pub(super) decoy: Option<RawDecoy>,
    pub(super) tag: Option<sidetap_model::Tag>,
    #[serde(default)]
    pub(super) countries: Vec<String>,
}

/// A rule over requests themselves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRequest {
    pub(super) id: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) zone: Option<String>,
    #[serde(rename = "match")]
    pub(super) matches: RawMatch,
    pub(super) response: OneOrMore,
    pub(super) ttl: Option<String>,
    #[serde(default = "enabled")]
    pub(super) enabled: bool,
    pub(super) mode: Option<String>,
    pub(super) measured: Option<crate::Measured>,
    pub(super) rate: Option<String>,
    pub(super) delay: Option<String>,
    pub(super) decoy: Option<RawDecoy>,
    pub(super) tag: Option<sidetap_model::Tag>,
    #[serde(default)]
    pub(super) countries: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMatch {
    pub(super) address: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) header: Option<String>,
    pub(super) session: Option<String>,
    pub(super) api_key: Option<String>,
    pub(super) account: Option<String>,
    pub(super) country: Option<String>,
    pub(super) network: Option<String>,
    pub(super) host: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDecoy {
    pub(super) backend: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) content_type: Option<String>,
    pub(super) body: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrefix {
    pub(super) members: Option<usize>,
    pub(super) v4: Option<u8>,
    pub(super) v6: Option<u8>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScope {
    pub(super) hosts: Vec<String>,
    pub(super) endpoints: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) channels: Vec<String>,
    pub(super) widen: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEscalation {
    pub(super) within: String,
    pub(super) steps: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    pub(super) response: Option<String>,
    pub(super) ttl: Option<String>,
}

fn default_priority() -> i32 {
    100
}

fn enabled() -> bool {
    true
}
