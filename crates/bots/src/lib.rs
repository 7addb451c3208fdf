//! Indicators, fingerprints, baselines, campaigns and scores with their reasons.
//!
//! [`Extractor`] turns one exchange into an [`Observation`] (stateless, per worker); [`Engine`] judges the population of
//! observations epoch by epoch. The engine knows no bodies and does no IO; all time comes from observations.

mod agent;
mod engine;
mod extract;
mod facts;
mod hash;
mod indicators;
mod observation;
mod role;

pub use agent::{Agent, AgentKind, Agents, Platform};
pub use engine::{Config, Engine, StateError};
pub use extract::Extractor;
pub use facts::{Fact, Facts};
pub use indicators::{Answer, ClassRule, Condition, Examples, Indicator, Pack, Pillar, Scope};
pub use observation::{
    Actors, Attempt, Observation, Outcome, Part, Prints, Robots, RobotsGroup, Surface, Target, Token, Traits,
};
pub use role::Roles;

/// Why a pack cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PackError {
    /// Not the YAML that a pack is written in.
    #[error("not a pack: {0}")]
    Yaml(String),
    /// A version that this Sidetap does not read.
    #[error("pack version {0} is not known")]
    Version(u32),
    /// A file could not be read.
    #[error("{0}: {1}")]
    File(String, String),
    /// An entry that contradicts itself.
    #[error("{0}: {1}")]
    Entry(String, String),
}
