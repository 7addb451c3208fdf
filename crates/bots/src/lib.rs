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
mod profile;
mod role;
mod stated;
mod traits;
mod without;

pub use agent::{Agent, AgentKind, Agents, Platform};
pub use engine::{Config, Engine, Name, StateError};
pub use extract::Extractor;
pub use facts::{Fact, Facts};
pub use indicators::{
    Answer, ClassRule, Condition, Examples, Expression, Indicator, Kind, Pack, Pillar, Scope, Scores,
};
pub use observation::{
    Actors, Attempt, Gives, Observation, Outcome, Part, Prints, Robots, RobotsGroup, Surface, Target, Token,
    Traits, account_name,
};
pub use profile::Profiles;
pub use role::Roles;
pub use stated::{EndpointConfig, OutcomeConfig, Stated};
pub use without::Without;

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
    /// Something wrong at a place of a file.
    #[error("{file}{}: {message}{}", place(*.line, *.column), hint.as_ref().map_or_else(String::new, |h| format!(" ({h})")))]
    At {
        /// Its name.
        file: String,
        /// Line, from 1; 0 where none can be named.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}:{}", column.max(1)) }
}
