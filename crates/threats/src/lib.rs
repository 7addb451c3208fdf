//! Exploit attempts in requests and the evidence of their success.
//!
//! Rules stand in YAML packs, each with needles (one automaton over all of them finds which rules can fit at all) and a
//! pattern that is only run where a needle stood. Requests are looked at whole: path, query, headers, cookies and body
//! scalars. Of answers only those to an attempt, and failed ones, are: they tell whether it worked (`observed`) or was
//! only tried (`suspected`).

mod attempt;
mod class;
mod clean;
mod error;
mod heads;
mod inventory;
mod normal;
mod pack;
mod proof;
mod rules;
mod scanner;

pub use attempt::Attempt;
pub use class::Class;
pub use error::ThreatError;
pub use inventory::Inventory;
pub use pack::{Pack, Rule, RuleId};
pub use proof::Proof;
pub use scanner::Scanner;
