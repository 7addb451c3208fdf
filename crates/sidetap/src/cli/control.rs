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
