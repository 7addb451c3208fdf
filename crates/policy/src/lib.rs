//! Rules over verdicts: responses, allow lists, time to live.
//!
//! A [`PolicySet`] is an ordered list of rules (YAML, conditions in CEL over the documented [`FIELDS`]); the first one that
//! fits a verdict chooses its response. Around the rules stand guards that no rule can pass: allow lists win, only a malicious
//! verdict with reasons can act, and a network wider than the cap, shared or one's own is never blocked as an address.
//! This crate does no IO except [`PolicySet::load`], and reads no clock.

mod allow;
mod blocklist;
mod condition;
mod decide;
mod duration;
mod error;
mod facts;
mod guard;
mod net;
mod pack;

pub use allow::{AllowEntry, AllowKind, AllowList};
pub use blocklist::{BlockList, HeldBlock, blocklist};
pub use decide::{Decision, PolicySet, RuleInfo};
pub use duration::{format_ttl, parse_ttl};
pub use error::PolicyError;
pub use facts::{FIELDS, Field};
pub use guard::{Guards, Hold};
pub use net::{never_blockable, subject_net};
pub use sidetap_model::{Mode, Treatment as Response, nearest};
