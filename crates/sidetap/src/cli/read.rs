//! Commands that read what a run found.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to read: a run directory or a store.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SourceArgs {
    /// Run directory, as `replay --out` leaves it
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "store")]
    pub(crate) run: Option<PathBuf>,
    /// Store, as `--store` leaves it [default: the configured one]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) store: Option<PathBuf>,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// A table for people.
    Table,
    /// A JSON object a line.
    Ndjson,
}

/// `sidetap inventory`.
#[derive(Debug, Args)]
pub(crate) struct InventoryArgs {
    /// What to read.
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: InventoryCommand,
}

/// What can be asked of the inventory.
#[derive(Debug, Subcommand)]
pub(crate) enum InventoryCommand {
    /// List endpoints, riskiest first
    List {
        /// Which ones.
        #[command(flatten)]
        filter: InventoryFilter,
        /// How to print them
        #[arg(long, value_enum, default_value_t = RowFormat::Table)]
        format: RowFormat,
    },
    /// Show all that is known of an endpoint
    Show {
        /// Its id (or the beginning of it), or `METHOD HOST/PATH`
        #[arg(value_name = "ENDPOINT", num_args = 1..=2, required = true)]
        endpoint: Vec<String>,
    },
    /// Write OpenAPI documents
    Export {
        /// Only this host
        #[arg(long)]
        host: Option<String>,
        /// Directory for one file a host [default: all on stdout]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Compare with an OpenAPI description: what it does not document, what nobody calls
    Diff {
        /// The description (JSON or YAML)
        #[arg(value_name = "SPEC")]
        spec: PathBuf,
        /// How to print the differences
        #[arg(long, value_enum, default_value_t = RowFormat::Table)]
        format: RowFormat,
    },
}

/// Which endpoints.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InventoryFilter {
    /// Only this host
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Only endpoints that are documented, shadow, deprecated, orphan or unknown
    #[arg(long)]
    pub(crate) standing: Option<String>,
    /// Only endpoints of this role, like `login`
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// Only endpoints that carry sensitive data
    #[arg(long)]
    pub(crate) sensitive: bool,
    /// Only endpoints of at least this risk
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) min_risk: u8,
}

/// `sidetap sensitive`.
#[derive(Debug, Args)]
pub(crate) struct SensitiveArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: SensitiveCommand,
}

/// What can be asked of the sensitive-data detectors.
#[derive(Debug, Subcommand)]
pub(crate) enum SensitiveCommand {
    /// Scan documents {"id","content_type","body"}, one a line; prints {"id","spans":[…]}, one a line
    Scan {
        /// The documents; `-` is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `sidetap indicators`.
#[derive(Debug, Args)]
pub(crate) struct IndicatorsArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: IndicatorsCommand,
}

/// What can be asked of the indicators.
#[derive(Debug, Subcommand)]
pub(crate) enum IndicatorsCommand {
    /// List them
    List {
        /// Only this pillar: tools, credentials, infrastructure or behaviour
        #[arg(long)]
        pillar: Option<String>,
        /// Only this kind: header, protocol, statistical, user-behaviour, application-behaviour or heuristic
        #[arg(long)]
        kind: Option<String>,
        /// Only this scope: client or part
        #[arg(long)]
        scope: Option<String>,
        /// How to print them
        #[arg(long, value_enum, default_value_t = RowFormat::Table)]
        format: RowFormat,
        /// Print them as one JSON array
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
    /// Show one, with the classes that it takes part in
    Show {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the reference of all indicators and facts (docs/indicators.md)
    Reference,
}

/// `sidetap intel`.
#[derive(Debug, Args)]
pub(crate) struct IntelArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: IntelCommand,
}

/// What can be asked of network intelligence.
#[derive(Debug, Subcommand)]
pub(crate) enum IntelCommand {
    /// Fetch the configured sources, where they changed, and make the table that lookups use
    Update {
        /// Only these; what is installed of the others stays
        #[arg(value_name = "SOURCE")]
        sources: Vec<String>,
        /// Agree to the licences that are shown
        #[arg(long)]
        yes: bool,
    },
    /// List sources: what is installed, what could be, and under which licence
    List {
        /// How to print them
        #[arg(long, value_enum, default_value_t = RowFormat::Table)]
        format: RowFormat,
    },
    /// Show what is known of an address
    Show {
        /// The address
        #[arg(value_name = "ADDRESS")]
        ip: std::net::IpAddr,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// `sidetap report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// What to read.
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Write the report as a self-contained page instead
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// `sidetap unseal`.
#[derive(Debug, Args)]
pub(crate) struct UnsealArgs {
    /// File with the secret key, as `age-keygen` writes it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) identity: PathBuf,
    /// Directory for what was sealed [default: stdout, where one file is opened]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Sealed files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}
