//! The data path's threads: a reader, workers that own flows, and a coordinator that closes epochs.
//!
//! ```text
//! source ─▶ decoder ─▶ batches ─▶ worker: flow tables ─▶ exchanges ─▶ analysis ─▶ items ─▶ coordinator: epochs ─▶ engines
//!           (reader thread)       (one of N; owns logical shards)                          (caller's thread)
//! ```
//! There are 256 logical shards; a worker owns those whose number is its own modulo the number of workers, so caps, evictions and
//! order belong to a logical shard, not to a thread. The reader marks epochs (about a second of packet time, or a bounded
//! number of segments) in every worker's queue. Workers hand in their items when an epoch ends; the coordinator sorts them, feeds the
//! engines and publishes the snapshot that workers use two epochs later; the engine of actors, on which no snapshot depends, judges on
//! a thread of its own. So the answer is the same for any number of workers.

mod about;
mod accounting;
mod alias;
mod analysis;
mod batch;
mod calls;
mod clock;
mod community;
mod coordinator;
mod evidence;
mod flagged;
mod hops;
mod item;
mod judge;
mod masked;
mod options;
mod persons;
mod proxies;
mod raw;
mod reader;
mod redact;
mod row;
mod run;
mod runs;
mod sample;
mod shed;
mod snapshot;
mod spool;
mod state;
mod weight;
mod worker;

pub use evidence::Evidence;
pub use flagged::{FlaggedOptions, is_flagged_file};
pub use options::{Changed, Forget, Found, Hear, Hooks, Listener, Options, Outcome, PipelineError, Progress};
pub use run::{run, run_readers};
pub use sample::Sampled;
