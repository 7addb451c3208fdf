//! The configuration file as it is written: every key optional, unknown keys refused.
//!
//! One definition gives the serde types and the annotated reference: docs are the reference's text, the literal after
//! `=` is the default as the reference shows it (a test holds that it is the real one).

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use crate::units::{Size, Span};

/// A key of a table, for the reference.
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// Lines of its description.
    pub(crate) docs: &'static [&'static str],
    /// The default, as TOML; empty where there is none.
    pub(crate) default: &'static str,
}

/// A table, for the reference.
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Lines of its description.
    pub(crate) docs: &'static [&'static str],
    /// Its keys.
    pub(crate) keys: &'static [Key],
}

macro_rules! tables {
    ($($(#[doc = $tdoc:literal])* $ty:ident $tname:literal {
        $($(#[doc = $doc:literal])* $field:ident: $kind:ty = $default:literal,)*
    })*) => {
        $(
            $(#[doc = $tdoc])*
            #[derive(Clone, Debug, Default, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            pub(crate) struct $ty {
                $($(#[doc = $doc])* pub(crate) $field: Option<$kind>,)*
            }
        )*
        /// All tables in the order of the reference.
        pub(crate) const TABLES: &[Table] = &[$(Table {
            name: $tname,
            docs: &[$($tdoc),*],
            keys: &[$(Key { name: stringify!($field), docs: &[$($doc),*], default: $default },)*],
        },)*];
    };
}

/// `sidetap.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    /// `[capture]`
    pub(crate) capture: Capture,
    /// `[analysis]`
    pub(crate) analysis: Analysis,
    /// `[output]`
    pub(crate) output: Output,
    /// `[store]`
    pub(crate) store: Store,
    /// `[policy]`
    pub(crate) policy: Policy,
    /// `[console]`
    pub(crate) console: Console,
    /// `[sso]`
    pub(crate) sso: Sso,
    /// `[intel]`
    pub(crate) intel: Intel,
    /// `[[partners]]`
    pub(crate) partners: Vec<sidetap_intel::KnownConfig>,
    /// `[[monitors]]`
    pub(crate) monitors: Vec<sidetap_intel::KnownConfig>,
    /// `[[apps]]`
    pub(crate) apps: Vec<sidetap_intel::KnownConfig>,
    /// `[[signed_agents]]`
    pub(crate) signed_agents: Vec<super::intel::SignedAgent>,
    /// `[[endpoints]]`
    pub(crate) endpoints: Vec<sidetap_bots::EndpointConfig>,
    /// `[[zones]]`
    pub(crate) zones: Vec<super::zones::Rule>,
    /// `[mitigation]` and its connectors
    pub(crate) mitigation: sidetap_mitigation::Config,
}

tables! {
    /// Reading from mirror ports.
    Capture "capture" {
        /// Interfaces that receive mirrored traffic; `watch -i` replaces them.
        interfaces: Vec<String> = "[]",
        /// Capture filter in the syntax of tcpdump. It sees outer headers only: with VLAN tags or tunnels it must name them.
        filter: String = "\"\"",
        /// Bytes kept of each packet.
        snaplen: u32 = "262144",
        /// Kernel buffer of each interface; `--ring` replaces it. All of them take a third of the memory limit at most. Without it
        /// 64M, or less where that leaves less.
        buffer: Size = "",
        /// Put interfaces into promiscuous mode.
        promiscuous: bool = "true",
        /// Capture threads: the kernel divides the flows of each interface among them.
        fanout: u16 = "1",
        /// Whom `watch` becomes once interfaces are open, where it was started as root: an account, or UID:GID. Without it `nobody`,
        /// or, where that account could not write what is to be written, root without any of its rights.
        user: String = "",
        /// Give up all rights once interfaces are open.
        confine: bool = "true",
        /// Wrong checksums: "auto" drops what the receiver would have dropped, "ignore" looks at none.
        checksums: super::decode::Checksums = "\"auto\"",
        /// Milliseconds within which a second sight of a packet is the mirror's and left out; 0 keeps all.
        duplicate_window_ms: u32 = "100",
        /// UDP ports of VXLAN.
        vxlan_ports: Vec<u16> = "[4789, 8472]",
        /// UDP ports of VXLAN-GPE.
        vxlan_gpe_ports: Vec<u16> = "[4790]",
        /// UDP ports of GENEVE.
        geneve_ports: Vec<u16> = "[6081]",
        /// UDP ports of the GTP user plane.
        gtp_ports: Vec<u16> = "[2152]",
        /// UDP ports of TZSP.
        tzsp_ports: Vec<u16> = "[37008]",
        /// Networks both ends of a tunnel have to lie in for what is in it to count like what comes without one; other tunnels are read, but join
        /// no flow outside of them and convict nobody: anybody can write what is in them. Mirrors and overlays have private ends.
        trusted_tunnels: Vec<Network> = "[\"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", \"100.64.0.0/10\", \"169.254.0.0/16\", \"127.0.0.0/8\", \"fc00::/7\", \"fe80::/10\", \"::1/128\"]",
    }
    /// How traffic is analysed.
    Analysis "analysis" {
        /// Worker threads, at most one for each 170M of the memory limit; 0 is one a core. Results do not depend on it.
        workers: u16 = "0",
        /// Resident memory to stay under: 112 MiB are for the process itself, the rest for tables; full ones give up their oldest
        /// entries and count them. Less than 256M is not kept: tables then get half, and the process what it needs.
        memory_limit: Size = "\"512M\"",
        /// Networks whose `Forwarded` and `X-Forwarded-For` headers are believed.
        trusted_proxies: Vec<Network> = "[]",
        /// Headers in which trusted proxies name the client, like `CF-Connecting-IP`; asked before `Forwarded`.
        client_headers: Vec<String> = "[]",
        /// File with the site's key for hashes of accounts, sessions and secrets; made once, mode 0600.
        /// Default: `sidetap/hash.key` under $XDG_CONFIG_HOME or ~/.config.
        hash_key: PathBuf = "",
        /// OpenAPI descriptions (JSON or YAML) to compare traffic with.
        specs: Vec<PathBuf> = "[]",
        /// Of the answers of an endpoint whose schema has long been settled one in so many is read whole, the others at their
        /// beginning only; after 1,024 calls one in twice as many, after 4,096 one in four times as many. Counts of sensitive
        /// data are scaled. 1 reads every answer whole. Requests always are, and answers with a status that is seldom there or
        /// of more bytes than any before.
        answer_sample: u16 = "8",
        /// Directory of packs with sensitive-data types, in place of the built-in ones.
        sensitive_types: PathBuf = "",
        /// Directory of packs with exploit patterns, in place of the built-in ones.
        exploit_patterns: PathBuf = "",
        /// Directory of packs with indicators, changes of them and classes, over the built-in ones (docs/indicators.md).
        indicators: PathBuf = "",
        /// File with what earlier runs learned: read at start, replaced at the end and every five minutes of a live run.
        state: PathBuf = "",
        /// Time that may lie between what it was learned from and what is judged by it; older ones are refused.
        state_max_age: Span = "\"90d\"",
    }
    /// Network intelligence; see also [[intel.source]] below. `sidetap intel list` shows the sources that are known by name.
    Intel "intel" {
        /// Directory of sources and of the table that is made of them.
        /// Default: `sidetap/intel` under $XDG_DATA_HOME or ~/.local/share.
        directory: PathBuf = "",
        /// Sources known by name that `sidetap intel update` fetches.
        sources: Vec<String> = "[\"asn\", \"country\", \"googlebot\", \"google-special\", \"google-user\", \"bingbot\", \"applebot\", \"duckduckbot\", \"duckassistbot\", \"gptbot\", \"oai-searchbot\", \"chatgpt-user\", \"perplexitybot\", \"perplexity-user\", \"ccbot\", \"aws\", \"google-cloud\", \"cloudflare\", \"apple-relay\", \"tor\"]",
        /// npm registry that packages come from. Default: $NPM_CONFIG_REGISTRY, or else registry.npmjs.org.
        registry: String = "",
        /// Sources of the site's own; written as [[intel.source]].
        source: Vec<sidetap_intel::SourceConfig> = "[]",
    }
    /// What a run writes.
    Output "output" {
        /// Run directory; `--out` replaces it.
        directory: PathBuf = "",
        /// Write every exchange to exchanges.ndjson.
        exchanges: bool = "false",
        /// Directory for the packets of flows with a finding, raw as they were on the wire; `--save-flagged` replaces it.
        flagged: PathBuf = "",
        /// Recent packets that are held for that; at most an eighth of the memory limit.
        flagged_ring: Size = "\"64M\"",
        /// Bytes that these files take together; the oldest go for new ones.
        flagged_limit: Size = "\"1G\"",
        /// Public keys (`age1…`, one or a list) that these files are sealed to; `--flagged-recipient` replaces them. Without one they
        /// are plain.
        flagged_recipient: OneOrMore = "[]",
    }
    /// The embedded store.
    Store "store" {
        /// Database file; `--store` replaces it.
        path: PathBuf = "",
    }
    /// Rules that turn verdicts into responses.
    Policy "policy" {
        /// Policy pack (YAML), or a directory of packs. Without it the built-in rules answer.
        path: PathBuf = "",
        /// Addresses and networks that are never acted against, whatever a policy says.
        allow: Vec<Network> = "[]",
        /// Networks of the site itself: never acted against.
        own_networks: Vec<Network> = "[]",
        /// Networks whose addresses stand for many (offices, carriers, proxies): never blocked as addresses.
        shared_networks: Vec<Network> = "[]",
        /// Addresses that the operators of devices work from: never acted against. Who is logged in over SSH at the start is one.
        operator: Vec<Network> = "[]",
        /// File that, while it is there, keeps everything off the devices; `sidetap mitigation stop` makes it.
        /// Default: beside the ledger of what was pushed.
        kill_switch: PathBuf = "",
        /// Connectors that are only ever told what they would be, whatever a rule says.
        dry_run: Vec<String> = "[]",
        /// Connectors that are told nothing which nobody has approved, whatever a rule says.
        approve: Vec<String> = "[]",
        /// How long something waits for approval; a yes holds so long, and at least for the time to live of what it is to.
        approval_expiry: Span = "\"24h\"",
        /// Recent traffic that responses are measured by, as far as it is stored.
        measured_span: Span = "\"24h\"",
    }
    /// The console and its API.
    Console "console" {
        /// Address to listen at. Others than loopback need `certificate` and `key`: nobody shall log in in the clear.
        listen: SocketAddr = "\"127.0.0.1:8642\"",
        /// Certificate chain (PEM) for TLS.
        certificate: PathBuf = "",
        /// Key of the certificate (PEM).
        key: PathBuf = "",
        /// Names that it answers to, besides `localhost` and its addresses: its own in the network, or by which a proxy asks for it.
        hosts: Vec<String> = "[]",
    }
    /// Log-in to the console by a provider of OpenID Connect, besides passwords (docs/console.md).
    Sso "sso" {
        /// The provider's issuer; below it is `/.well-known/openid-configuration`.
        issuer: String = "",
        /// What the page calls it.
        name: String = "\"single sign-on\"",
        /// The console's id there.
        client_id: String = "",
        /// The console's secret there, where it has one: { file = "…" } or { env = "…" }.
        client_secret: sidetap_mitigation::SecretRef = "",
        /// The console as browsers see it; the provider sends them back to `/api/v1/session/sso/callback` below it.
        url: String = "",
        /// What is asked for besides `openid`.
        scopes: Vec<String> = "[\"profile\"]",
        /// The claim that names somebody.
        name_claim: String = "\"preferred_username\"",
        /// The claim that says what somebody may: a text or a list; `realm_access.roles` goes into an object.
        role_claim: String = "\"groups\"",
        /// Values of that claim with the role that they give: { "soc" = "analyst" }. The highest one holds.
        roles: std::collections::BTreeMap<String, String> = "",
        /// The role of who has none of them. Without it they are not let in.
        default_role: String = "",
        /// Certificate authorities (PEM) that are believed; the system's without it.
        ca: PathBuf = "",
    }
}

/// A text, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(crate) enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(all) => all,
        }
    }
}

/// A network, written `192.0.2.0/24` or as a lone address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        crate::cli::network(&text).map(Network).map_err(de::Error::custom)
    }
}
