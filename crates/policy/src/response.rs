use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is done about a verdict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// Nothing.
    #[default]
    None,
    /// Somebody is told.
    Alert,
    /// The request is marked for the application.
    Tag,
    /// The request is slowed to a rate.
    RateLimit,
    /// The request is refused outside of certain countries.
    GeoFence,
    /// The request is answered by a decoy.
    Deceive,
    /// The request is refused.
    Block,
}

impl Response {
    /// Every response, weakest first.
    pub const ALL: [Response; 7] = [
        Response::None,
        Response::Alert,
        Response::Tag,
        Response::RateLimit,
        Response::GeoFence,
        Response::Deceive,
        Response::Block,
    ];

    /// The name that packs and outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Response::None => "none",
            Response::Alert => "alert",
            Response::Tag => "tag",
            Response::RateLimit => "rate-limit",
            Response::GeoFence => "geo-fence",
            Response::Deceive => "deceive",
            Response::Block => "block",
        }
    }

    /// Whether a device would treat the request otherwise than without it.
    pub const fn acts(self) -> bool {
        !matches!(self, Response::None | Response::Alert)
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Response {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Response::ALL.into_iter().find(|r| r.name() == text).ok_or(())
    }
}
