use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use ipnet::IpNet;
use serde::Serialize;

use crate::canary::Canary;
use crate::entry::{Entry, Sees};
use crate::key::Key;
use crate::plan::Plan;

/// What stands between Sidetap and one device. All methods block, each with a time limit of its own.
pub trait Connector: Send {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Its kind: `feed`, `nftables`, `haproxy`, …
    fn kind(&self) -> &'static str;

    /// What the device sees and can do.
    fn sees(&self) -> &Sees;

    /// The zones whose clients reach it; empty means all.
    fn zones(&self) -> &[String];

    /// What on the device is written by it alone, in words: of two connectors that write the same, each would take away what the other puts
    /// there.
    fn targets(&self) -> Vec<String>;

    /// Seconds that go by between two changes at least, for devices that a change costs something.
    fn min_interval_s(&self) -> u64 {
        0
    }

    /// Of the entries whose time is not over, the share in a hundred that one push may take out without force: less than 100 for
    /// devices that would take a lost store for an order to let everybody in.
    fn max_shrink(&self) -> u8 {
        100
    }

    /// Whether it takes no network beside one around it, for the same response.
    fn refuses_overlaps(&self) -> bool {
        false
    }

    /// What proves that its entries have an effect, where that is set up.
    fn canary(&self) -> Option<&Canary> {
        None
    }

    /// Reads what the device holds. `now` is the wall clock in seconds since 1970, for devices that tell what is left of a
    /// time to live.
    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError>;

    /// The same for who takes away whatever happens (an undo, the kill switch): what can be read without the device counts where that does
    /// not answer.
    fn observe_anyway(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        self.observe(now)
    }

    /// What a device that does not answer holds, where that can be read without it.
    fn observe_unheard(&mut self) -> Option<Observed> {
        None
    }

    /// Brings the device to the plan's target: all of it or nothing where the device can, and never an entry of others.
    /// `now` as above.
    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError>;
}

/// What a device holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Entries that Sidetap owns.
    pub entries: Vec<Entry>,
    /// Entries of others in the places where ours are: never touched.
    pub foreign: usize,
    /// Of these the keys, on a list that has each but once: ours for one of them would take its place.
    pub by_others: BTreeSet<Key>,
    /// Sidetap's part of the allow list on the device, where it holds one.
    pub allow: Vec<IpNet>,
    /// What others put there, where the device takes no network that overlaps another: never touched.
    pub allowed_by_others: Vec<IpNet>,
    /// What is missing or was changed by others and has to be made anew: a table, a chain, a set.
    pub drift: Vec<String>,
}

/// What a device answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// In its own words, shortened.
    pub text: String,
    /// At what risk it was changed, where it was at one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
}

impl Answer {
    /// These words, at no risk.
    pub fn of(text: String) -> Self {
        Answer { text, risk: None }
    }
}

/// Why a device did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It does not take the credential.
    #[error("does not take the credential: {0}")]
    Denied(String),
    /// It asks to be left alone for these seconds.
    #[error("asks to be asked again in {0} s")]
    Later(u64),
    /// Somebody else changed it in the meantime: it has to be read again.
    #[error("was changed by somebody else in the meantime: {0}")]
    Conflict(String),
    /// Another process of this machine is changing it, and does not end.
    #[error("not changed: {0}")]
    Busy(String),
    /// It did not answer in time.
    #[error("no answer within {0} s")]
    Timeout(u64),
    /// It said no.
    #[error("refused `{command}`: {answer}")]
    Refused {
        /// What it was asked, shortened.
        command: String,
        /// What it said.
        answer: String,
    },
    /// What lets go is done in its files, and it was not told.
    #[error("taken out of the files, which hold from its next start or reload, but it was not told: {0}")]
    Untold(String),
    /// It answered what is not understood.
    #[error("answered what is not understood: {0}")]
    Answer(String),
    /// Something that the user has to set up is not there.
    #[error("not set up: {0}")]
    Missing(String),
    /// It holds what it was told, and a canary is let through all the same.
    #[error("it says yes, but {0}")]
    Felt(String),
    /// It says yes, and whether that has an effect cannot be told.
    #[error("the canary proves nothing: {0}")]
    Unproved(String),
}

/// The first line of a device's words, of bounded length.
pub(crate) fn shortened(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    line.chars().take(200).collect()
}

/// Files as targets, however they are spelled, and whether they are there yet or not.
pub(crate) fn files<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<String> {
    let spelled = |path: &PathBuf| {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        spelled(&whole).display().to_string()
    };
    paths.into_iter().map(spelled).collect()
}

/// An absolute path as the file system has it, as far as it is there, and the rest of it without `..`.
fn spelled(path: &Path) -> PathBuf {
    if let Ok(there) = std::fs::canonicalize(path) {
        return there;
    }
    let mut parts = path.components();
    match parts.next_back() {
        Some(Component::Normal(name)) => spelled(parts.as_path()).join(name),
        Some(Component::ParentDir) => {
            let mut above = spelled(parts.as_path());
            above.pop();
            above
        }
        Some(Component::CurDir) => spelled(parts.as_path()),
        _ => path.to_owned(),
    }
}

/// The methods that connectors with a `config` and a `sees` have alike; those with a `canary`, and with an interval in their
/// configuration, say so.
macro_rules! basics {
    ($kind:literal, canary) => {
        basics!($kind);

        fn canary(&self) -> Option<&Canary> {
            self.canary.as_ref()
        }
    };
    ($kind:literal, canary, interval) => {
        basics!($kind, canary);

        fn min_interval_s(&self) -> u64 {
            self.config.min_interval_s
        }
    };
    ($kind:literal) => {
        fn name(&self) -> &str {
            &self.config.name
        }

        fn kind(&self) -> &'static str {
            $kind
        }

        fn sees(&self) -> &Sees {
            &self.sees
        }

        fn zones(&self) -> &[String] {
            &self.config.zones
        }
    };
}
pub(crate) use basics;
