//! How the process ends (design §8).

use std::process::ExitCode;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done.
    Done,
    /// Nothing could be read, or the configuration was refused.
    Refused,
    /// It was asked in a way that is not understood.
    Usage,
    /// Done, but something was lost that should not be.
    Lost,
    /// What was looked at is not as it should be, and can be repaired.
    Amiss,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(match status {
            Status::Done => 0,
            Status::Refused => 1,
            Status::Usage => 2,
            Status::Lost => 3,
            Status::Amiss => 4,
        })
    }
}

/// Something was asked that this version does not do, or not like this: exit status 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Output that could not be written: exit status 3.
#[derive(Debug)]
pub(crate) struct Lost(pub(crate) String);

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lost {}

/// The status that an error asks for.
pub(crate) fn status_of(error: &anyhow::Error) -> Status {
    if error.is::<Usage>() {
        Status::Usage
    } else if error.is::<Lost>() {
        Status::Lost
    } else {
        Status::Refused
    }
}
