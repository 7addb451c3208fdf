//! The command line: what can be asked (design §9), nothing of how it is done.

mod analysis;
mod control;
mod read;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use analysis::{ActArgs, AnalysisArgs, DoctorArgs, ReplayArgs, WatchArgs, network};
pub(crate) use control::{
    MitigationArgs, MitigationCommand, PolicyArgs, PolicyCommand, PushArgs, ServeArgs, SimulateArgs,
    StoreArgs, StoreCommand, SuggestArgs, TrafficArgs, UndoArgs, WhichArgs,
};
pub(crate) use read::{
    IndicatorsArgs, IndicatorsCommand, IntelArgs, IntelCommand, InventoryArgs, InventoryCommand,
    InventoryFilter, ReportArgs, RowFormat, SensitiveArgs, SensitiveCommand, SourceArgs, UnsealArgs,
};

/// Out-of-band API security and bot defence from mirrored traffic.
#[derive(Debug, Parser)]
#[command(
    name = "sidetap",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit status: 0 done; 1 nothing could be read, or the configuration was refused; 2 usage; \
                  3 done, but something was lost (said on stderr)."
)]
pub(crate) struct Cli {
    /// Options of all commands.
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of all commands.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Configuration file; without it `sidetap.toml` of the working directory is read if there is one
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Colours in terminal output
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
    /// Say more on stderr; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// Where the output is a terminal and NO_COLOR is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Analyse captures: inventory, sensitive data, attacks, what would be blocked
    Replay(Box<ReplayArgs>),
    /// Analyse a mirror port, with console and connectors
    Watch(Box<WatchArgs>),
    /// Act on the verdicts that `watch` writes to stdin
    #[command(hide = true)]
    Act(ActArgs),
    /// Console and API over what was stored
    Serve(ServeArgs),
    /// Check, copy, forget in a store
    Store(StoreArgs),
    /// Look at a mirror port or a capture: what can be seen in it and what to change
    Doctor(DoctorArgs),
    /// The endpoints that were seen
    Inventory(InventoryArgs),
    /// Try the sensitive-data detectors
    Sensitive(SensitiveArgs),
    /// Rules that turn verdicts into responses
    Policy(PolicyArgs),
    /// What is, or would be, blocked on devices
    Mitigation(MitigationArgs),
    /// The indicators that scores are made of
    Indicators(IndicatorsArgs),
    /// Network intelligence
    Intel(IntelArgs),
    /// Print the report of a run directory or a store again
    Report(ReportArgs),
    /// Open sealed files of saved packets, with the secret key that they are sealed to
    Unseal(UnsealArgs),
    /// The configuration file
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// `sidetap config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read a configuration and say what is wrong with it
    Check {
        /// The file; without it the one that other commands would read
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print all keys with their meaning and their defaults
    Reference,
}
