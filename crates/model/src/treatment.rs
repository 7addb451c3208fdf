use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rows::Subject;

/// What is done about a verdict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// Nothing.
    #[default]
    None,
    /// It is written down.
    Log,
    /// Somebody is told.
    Alert,
    /// The request is marked for the application.
    Tag,
    /// The request is slowed to a rate.
    RateLimit,
    /// The request is answered late.
    Tarpit,
    /// The request is answered with a puzzle that a person or a browser solves.
    Challenge,
    /// The request is refused outside of certain countries.
    GeoFence,
    /// The request is answered by a decoy.
    Deceive,
    /// The request is refused.
    Block,
}

impl Treatment {
    /// Every response, weakest first.
    pub const ALL: [Treatment; 10] = [
        Treatment::None,
        Treatment::Log,
        Treatment::Alert,
        Treatment::Tag,
        Treatment::RateLimit,
        Treatment::Tarpit,
        Treatment::Challenge,
        Treatment::GeoFence,
        Treatment::Deceive,
        Treatment::Block,
    ];

    /// The name that packs and outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Treatment::None => "none",
            Treatment::Log => "log",
            Treatment::Alert => "alert",
            Treatment::Tag => "tag",
            Treatment::RateLimit => "rate-limit",
            Treatment::Tarpit => "tarpit",
            Treatment::Challenge => "challenge",
            Treatment::GeoFence => "geo-fence",
            Treatment::Deceive => "deceive",
            Treatment::Block => "block",
        }
    }

    /// Whether a device would treat the request otherwise than without it.
    pub const fn acts(self) -> bool {
        !matches!(self, Treatment::None | Treatment::Log | Treatment::Alert)
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Treatment {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Treatment::ALL.into_iter().find(|r| r.name() == text).ok_or(())
    }
}

/// How far a response may go by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing is changed; reports say what would be.
    #[default]
    DryRun,
    /// Devices are changed once somebody has approved it.
    Approve,
    /// Devices are changed.
    Enforce,
}

impl Mode {
    /// Every mode, the most careful first.
    pub const ALL: [Mode; 3] = [Mode::DryRun, Mode::Approve, Mode::Enforce];

    /// The name that packs and outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::DryRun => "dry-run",
            Mode::Approve => "approve",
            Mode::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Mode::ALL.into_iter().find(|m| m.name() == text).ok_or(())
    }
}

/// How a response is carried out: what its name alone does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measures {
    /// Weaker responses for a device that cannot express the one that was chosen, the strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instead: Vec<Treatment>,
    /// Whom to act against, the preferred first; empty: whom the verdict names. A device takes the first that it can match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// Where the response holds; everywhere, where it says nothing.
    #[serde(skip_serializing_if = "Scope::is_everywhere")]
    pub scope: Scope,
    /// Of `rate-limit`: to which rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Of `tarpit`: by how many milliseconds an answer is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u32>,
    /// Of `deceive`: with what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoy: Option<Decoy>,
    /// Of `tag`: the header that the application gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Of `geo-fence`: countries that are let through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// How far it may go by itself; the more careful of this and the connector's counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// How often its subject was acted against before, where that made the response stronger or longer.
    #[serde(skip_serializing_if = "is_zero")]
    pub again: u32,
    /// Of the recent good traffic of the site, how many requests in a million the subject would have hit; none: not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good_ppm: Option<u32>,
}

impl Measures {
    /// Whether nothing is said beyond the response's name.
    pub fn is_plain(&self) -> bool {
        *self == Measures::default()
    }
}

/// Where a response holds. What is empty restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Hosts, lower case; `*.shop.example` names all below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Endpoints, `POST shop.example/api/v1/orders/{order_id}`: a part in braces is any one part, `**` at the end any rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// A device that cannot match these is told of the subject everywhere rather than not at all.
    #[serde(skip_serializing_if = "is_false")]
    pub widen: bool,
    /// Endpoints of the rule's roles and channels that there was no room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub cut: u32,
}

impl Scope {
    /// Whether it restricts nothing.
    pub fn is_everywhere(&self) -> bool {
        self.hosts.is_empty() && self.endpoints.is_empty()
    }

    /// What of the rule's scope it is not, in words.
    pub fn left_out(&self) -> Option<String> {
        let more = if self.cut == 1 { "endpoint" } else { "endpoints" };
        let is = if self.cut == 1 { "is" } else { "are" };
        (self.cut > 0).then(|| {
            format!("{} {more} of its roles and channels {is} left out: no room for so many", self.cut)
        })
    }
}

/// A rate of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// So many requests …
    pub requests: u32,
    /// … in so many seconds.
    pub per_s: u32,
}

/// What answers in the application's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decoy {
    /// A backend of this name on the device.
    Backend(String),
    /// Always the same answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its media type.
        content_type: String,
        /// Its body.
        body: String,
    },
}

/// A header for the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !*b
}
