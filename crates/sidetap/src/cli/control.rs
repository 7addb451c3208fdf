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
    /// File with the site's key for hashes, which the store was written with [default: the configured one]
    #[arg(long, value_name = "FILE")]
    pub(crate) hash_key: Option<PathBuf>,
}

/// `sidetap store`.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store [default: the configured one]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) store: Option<PathBuf>,
    /// File with the site's key for hashes, which the store was written with [default: the configured one]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) hash_key: Option<PathBuf>,
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
    /// Write the file anew without unused bytes, which may still tell of who was forgotten; needs as much room again meanwhile, there and for temporary files
    Compact,
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
    /// Print a built-in pack, to copy and change
    Show {
        /// default, account-protection, scraping, hype-sale, gift-cards, fraud-chain or ai-agents
        #[arg(value_name = "PACK")]
        pack: String,
    },
    /// Ask rules about what was stored or a capture: what would have been done, to whom, and how much good traffic it would have hit
    Simulate(SimulateArgs),
    /// Find conditions that tell campaigns from the honest traffic that was stored, and write them as a pack for review
    Suggest(SuggestArgs),
}

/// What traffic is asked about.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TrafficArgs {
    /// Capture to analyse, in place of a run directory or a store; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "store"])]
    pub(crate) capture: Vec<PathBuf>,
    /// Networks whose forwarding headers are believed in it
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', value_parser = super::network, requires = "capture")]
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    /// File with the site's key for hashes, for a capture [default: the configured one]
    #[arg(long, value_name = "FILE", requires = "capture")]
    pub(crate) hash_key: Option<PathBuf>,
}

/// `sidetap policy simulate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Pack, or directory of packs, to ask [default: the configured one]
    #[arg(value_name = "PACK")]
    pub(crate) file: Option<PathBuf>,
    /// What to ask about.
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
    /// Write what each device would have done, a line for each request that it would have touched
    #[arg(long, value_name = "FILE")]
    pub(crate) decisions: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sidetap policy suggest`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SuggestArgs {
    /// What to ask about.
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
    /// Only this campaign
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: Option<String>,
    /// Write the pack here [default: only show what was found]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Let the rules act by themselves; without it they wait for approval
    #[arg(long, requires = "out")]
    pub(crate) adopt: bool,
    /// Requests of a million honest ones that a condition may hit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) honest_ppm: u32,
    /// Use addresses and networks only, as for devices that compare nothing else
    #[arg(long)]
    pub(crate) addresses_only: bool,
    /// Print one JSON array
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Show what the devices hold and whether it is what it should be; exit status 4 where it is not
    Status,
    /// Show what a push would change, and change nothing
    Plan(PushArgs),
    /// Bring the devices to what verdicts ask for; without --enforce it only says what it would do
    Push(PushArgs),
    /// Take Sidetap's entries off the devices, all or those that are named, and keep later pushes from putting them back
    Undo {
        /// Which.
        #[command(flatten)]
        which: UndoArgs,
        /// Really do it
        #[arg(long)]
        enforce: bool,
    },
    /// Let later pushes push again what was taken back
    Redo {
        /// Which.
        #[command(flatten)]
        which: UndoArgs,
    },
    /// Show what waits for approval
    Approvals {
        /// Those that are decided or expired too
        #[arg(long)]
        all: bool,
        /// How to print them
        #[arg(long, value_enum, default_value_t = super::RowFormat::Table)]
        format: super::RowFormat,
    },
    /// Approve what waits; the next push carries it out
    Approve(WhichArgs),
    /// Reject what waits; it is not asked again until it expires
    Reject(WhichArgs),
    /// Turn the kill switch on: everything of Sidetap's comes off the devices and nothing goes there until `resume`
    Stop {
        /// Why, for those who find it on
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Turn the kill switch off
    Resume,
    /// Show the audit, newest first: who did what to which device, why, and what it answered
    Audit {
        /// How many rows
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// How to print them
        #[arg(long, value_enum, default_value_t = super::RowFormat::Table)]
        format: super::RowFormat,
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
    /// Push verdicts that are older than the configured age too; all guards and caps hold
    #[arg(long)]
    pub(crate) old: bool,
    /// The same, and pass all caps on how much changes at once
    #[arg(long)]
    pub(crate) force: bool,
}

/// Which pushes; all where nothing is named.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct UndoArgs {
    /// Only this verdict's
    #[arg(long, value_name = "ID")]
    pub(crate) verdict: Option<String>,
    /// Only this campaign's
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: Option<String>,
    /// Only this rule's
    #[arg(long, value_name = "ID")]
    pub(crate) policy: Option<String>,
    /// Only what was pushed within this time: 1h
    #[arg(long, value_name = "TIME")]
    pub(crate) last: Option<crate::units::Span>,
    /// Only this connector's
    #[arg(long, value_name = "NAME")]
    pub(crate) connector: Option<String>,
    /// Everything, as where nothing is named
    #[arg(long)]
    pub(crate) all: bool,
}

/// Which approvals.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichArgs {
    /// The one of this number
    #[arg(value_name = "NUMBER")]
    pub(crate) number: Option<i64>,
    /// Those of a verdict
    #[arg(long, value_name = "ID")]
    pub(crate) verdict: Option<String>,
    /// Those of a campaign
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: Option<String>,
    /// Those of a rule
    #[arg(long, value_name = "ID")]
    pub(crate) policy: Option<String>,
    /// All that wait
    #[arg(long)]
    pub(crate) all: bool,
}
