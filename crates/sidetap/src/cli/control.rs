//! Commands over policy, devices and the console.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::SourceArgs;

/// `sidetap serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Store to serve [default: the configured one]
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// Address to listen at [default: 127.0.0.1:8642, or as configured]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

/// `sidetap store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store [default: the configured one]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) store: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

/// What can be done with a store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Say how large it is, what it holds, and whether it is whole
    Check,
    /// Write a consistent copy into a new file, while others read and write
    Backup {
        /// The new file
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Remove all that tells of one account, address, session or API key, for good
    Forget {
        /// What is named
        #[arg(value_name = "KIND", value_parser = ["ip", "account", "session", "api-key"])]
        kind: String,
        /// Whom, as outputs spell it; an account as the application spells it too
        #[arg(value_name = "VALUE")]
        value: String,
    },
    /// Make a new one-time token that makes an administrator, where nobody can log in any more: removes all users
    ResetUsers,
}

/// `sidetap policy`.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// What to read.
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

/// What can be asked of policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the rules in force, in the order in which they are asked
    List,
    /// Read policy files and say what is wrong with them
    Check {
        /// Packs, or directories of packs [default: the configured one]
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Ask rules about the verdicts of a run: what would have been blocked
    Simulate {
        /// Pack, or directory of packs, to ask [default: the configured one]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// `sidetap mitigation`.
#[derive(Debug, Args)]
pub(crate) struct MitigationArgs {
    /// What to read.
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: MitigationCommand,
}

/// What can be done on devices.
#[derive(Debug, Subcommand)]
pub(crate) enum MitigationCommand {
    /// Show what the devices hold and whether it is what it should be
    Status,
    /// Show what a push would change, and change nothing
    Plan(PushArgs),
    /// Bring the devices to what verdicts ask for; without --enforce it only says what it would do
    Push(PushArgs),
    /// Take all of Sidetap's entries off the devices
    Undo {
        /// Really do it
        #[arg(long)]
        enforce: bool,
    },
    /// Print the block list as devices would fetch it
    Feed,
}

/// How to push.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PushArgs {
    /// Really change the devices
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Push verdicts that are older than the configured age too
    #[arg(long)]
    pub(crate) force: bool,
}
