//! Rules over verdicts: responses, allow lists, time to live.
//!
//! A [`PolicySet`] is an ordered list of rules (YAML, conditions in CEL over the documented [`FIELDS`]); the first one that
//! fits a verdict chooses its response. Around the rules stand guards that no rule can pass: allow lists win, only a malicious
//! verdict with reasons can act, and a network wider than the cap, shared or one's own is never blocked as an address.
//! This crate does no IO except [`PolicySet::load`], and reads no clock.

mod allow;
mod asks;
mod blocklist;
pub mod builtin;
mod caps;
mod condition;
mod decide;
mod duration;
mod error;
mod facts;
mod guard;
mod history;
mod idle;
mod literals;
mod net;
mod pack;
mod parts;
mod places;
mod reach;
mod remarks;
mod rule_scope;
mod schedule;
mod seen;
mod sieve;
mod simulate;
mod subjects;
mod suggest;
mod traffic;
mod walk;

pub use allow::{AllowEntry, AllowKind, AllowList};
pub use asks::RuleAsks;
pub use blocklist::{BlockList, HeldBlock, block_line, block_text, blocklist, outermost};
pub use caps::{CapHit, Caps, Change};
pub use decide::{Decision, Known, PolicySet, RuleInfo};
pub use duration::{format_ttl, parse_ttl};
pub use error::PolicyError;
pub use facts::{Around, CLASSES, FIELDS, Field};
pub use guard::{Guards, Hold};
pub use history::History;
pub use net::{canonical, never_blockable, subject_net};
pub use pack::{CHANNELS, Measured, ROLES, odd_path};
pub use parts::{Campaigns, Networks};
pub use places::{Places, covers, host_matches, path_matches};
pub use reach::{Chosen, Reach, who_and_where};
pub use remarks::Vocabulary;
pub use seen::{ExchangeLine, Index, LineReader, Seen};
pub use sidetap_model::{Mode, Treatment as Response, nearest};
pub use sieve::Sieve;
pub use simulate::{Device, DeviceReport, Effect, Simulation, Tally};
pub use suggest::{SuggestOptions, Suggestion, suggested_id, suggested_pack};
pub use traffic::{Attribution, Behind, Cell, MAX_CELLS, Traffic, TrafficBuilder};
