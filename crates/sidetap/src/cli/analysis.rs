//! Commands that read packets.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

use crate::units::{Size, Span};

/// `sidetap replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Captures: pcap or pcapng, also compressed with gzip or zstd; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How to analyse.
    #[command(flatten)]
    pub(crate) analysis: AnalysisArgs,
    /// Print summary.json on stdout and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to analyse: shared by `replay` and `watch`.
#[derive(Debug, Default, Args)]
pub(crate) struct AnalysisArgs {
    /// Directory to write the results to
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Also write every exchange to DIR/exchanges.ndjson
    #[arg(long)]
    pub(crate) exchanges: bool,
    /// Worker threads, at most one for each 170M of the memory limit [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,
    /// Resident memory to stay under, like 512M; 256M and more are kept [default: 512M]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<Size>,
    /// Networks whose forwarding headers are believed
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Headers in which trusted proxies name the client, like CF-Connecting-IP
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) client_headers: Vec<String>,
    /// TLS key log (not in this version)
    #[arg(long, value_name = "FILE")]
    pub(crate) keylog: Option<PathBuf>,
    /// OpenAPI descriptions to compare with; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: Vec<PathBuf>,
    /// Start from what an earlier run learned, and leave what this one learned
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Leave out parts of the judgement, to see what they are worth: tools, infrastructure, behaviour, credentials, campaigns, contrast,
    /// addresses, intelligence, anomaly
    #[arg(long, value_name = "PART", value_delimiter = ',', hide = true)]
    pub(crate) without: Vec<sidetap_bots::Without>,
    /// Keep the results in this store: a watch while it goes on, a replay at its end
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// The site's key for hashes of secrets; made if it is not there [default: hash.key under ~/.config/sidetap]
    #[arg(long, value_name = "FILE")]
    pub(crate) hash_key: Option<PathBuf>,
    /// Save the packets of flows with a finding here, raw as they were on the wire (pcapng)
    #[arg(long, value_name = "DIR", conflicts_with = "no_analysis")]
    pub(crate) save_flagged: Option<PathBuf>,
    /// Seal those files to this age public key (age1…); may be given several times
    #[arg(long, value_name = "KEY", value_delimiter = ',', conflicts_with = "no_analysis")]
    pub(crate) flagged_recipient: Vec<String>,
    /// Stop at exchanges: no inventory, no detection
    #[arg(long)]
    pub(crate) no_analysis: bool,
}

/// `sidetap watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Where from.
    #[command(flatten)]
    pub(crate) live: LiveArgs,
    /// How to analyse.
    #[command(flatten)]
    pub(crate) analysis: AnalysisArgs,
    /// Serve the console at this address [default: as configured; none without a store]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Stop after this time, like 10m [default: at a signal]
    #[arg(long, value_name = "TIME")]
    pub(crate) duration: Option<Span>,
    /// Let the configured connectors change their devices
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Print summary.json on stdout at the end and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// Interfaces to read from.
#[derive(Debug, Default, Args)]
pub(crate) struct LiveArgs {
    /// Interface that receives the mirrored traffic; may be given several times
    #[arg(short, long = "interface", value_name = "IFACE", value_delimiter = ',')]
    pub(crate) interfaces: Vec<String>,
    /// Capture filter in the syntax of tcpdump
    #[arg(long, value_name = "BPF")]
    pub(crate) filter: Option<String>,
    /// Capture threads, among which the kernel divides the flows of each interface [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) fanout: Option<u16>,
    /// Kernel buffer of each interface, like 128M: of all of them a third of the memory limit at most [default: 64M, or what that leaves]
    #[arg(long, value_name = "SIZE")]
    pub(crate) ring: Option<Size>,
    /// Leave interfaces out of promiscuous mode
    #[arg(long)]
    pub(crate) no_promiscuous: bool,
    /// Whom to become once interfaces are open, where started as root: an account or UID:GID [default: nobody]
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Give up no rights after interfaces are open
    #[arg(long)]
    pub(crate) keep_rights: bool,
}

/// `sidetap act`: the process beside `watch` that changes devices. `watch` starts it.
#[derive(Clone, Debug, Args)]
pub(crate) struct ActArgs {
    /// The site's key
    #[arg(long, value_name = "FILE")]
    pub(crate) hash_key: Option<PathBuf>,
    /// The store
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// When the run began, in nanoseconds
    #[arg(long, value_name = "NANOS")]
    pub(crate) begun: i64,
    /// The interfaces of the run
    #[arg(short, long = "interface", value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,
    /// Change devices
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Do the work, and do not look after who does it
    #[arg(long)]
    pub(crate) worker: bool,
}

/// `sidetap doctor`.
#[derive(Debug, Args)]
#[group(id = "where", required = true, multiple = true)]
pub(crate) struct DoctorArgs {
    /// Captures to look at
    #[arg(value_name = "FILE", conflicts_with = "interfaces", group = "where")]
    pub(crate) files: Vec<PathBuf>,
    /// Interface to look at; may be given several times
    #[arg(short, long = "interface", value_name = "IFACE", value_delimiter = ',', group = "where")]
    pub(crate) interfaces: Vec<String>,
    /// Capture filter in the syntax of tcpdump
    #[arg(long, value_name = "BPF", requires = "interfaces")]
    pub(crate) filter: Option<String>,
    /// How long to look at an interface
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) duration: Span,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads `192.0.2.0/24` or a lone address.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let net = text.parse::<IpNet>().map(|n| n.trunc()).ok();
    net.or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
        .ok_or_else(|| format!("`{text}` is no network: write it like `192.0.2.0/24` or `2001:db8::/32`"))
}
