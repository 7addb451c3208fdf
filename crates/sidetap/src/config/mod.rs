//! `sidetap.toml`: read, checked, joined with the command line.

mod error;
mod raw;
mod reference;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub(crate) use error::{ConfigError, nearest};
pub(crate) use reference::reference;

use crate::units::{Size, Span};

/// The file that is read where none is named and it is there.
const DEFAULT_FILE: &str = "sidetap.toml";

/// A configuration without gaps: what the file left out stands at its default.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Reading from mirror ports.
    pub(crate) capture: Capture,
    /// How traffic is analysed.
    pub(crate) analysis: Analysis,
    /// What a run writes.
    pub(crate) output: Output,
    /// The store's database file, if there is to be one.
    pub(crate) store: Option<PathBuf>,
    /// Rules.
    pub(crate) policy: Policy,
    /// The console.
    pub(crate) console: Listen,
    /// What goes to devices.
    pub(crate) mitigation: Mitigation,
}

/// Reading from mirror ports.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Capture {
    pub(crate) interfaces: Vec<String>,
    pub(crate) filter: String,
    pub(crate) snaplen: u32,
    pub(crate) buffer: Size,
    pub(crate) promiscuous: bool,
}

/// How traffic is analysed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Analysis {
    /// 0 is one a core.
    pub(crate) workers: u16,
    pub(crate) memory_limit: Size,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) client_headers: Vec<String>,
    /// Without it the user's configuration directory has it.
    pub(crate) hash_key: Option<PathBuf>,
    pub(crate) specs: Vec<PathBuf>,
    pub(crate) state: Option<PathBuf>,
}

/// What a run writes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) exchanges: bool,
}

/// Rules that turn verdicts into responses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    /// Without it the built-in rules answer.
    pub(crate) path: Option<PathBuf>,
    pub(crate) allow: Vec<IpNet>,
    pub(crate) own_networks: Vec<IpNet>,
    pub(crate) shared_networks: Vec<IpNet>,
}

/// Where something listens, and the token it asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listen {
    pub(crate) listen: SocketAddr,
    pub(crate) token_file: Option<PathBuf>,
}

/// What goes to devices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mitigation {
    pub(crate) max_age: Duration,
    pub(crate) max_entries: u32,
    pub(crate) feed: Option<Listen>,
    /// Sidetap's table, if nftables is used.
    pub(crate) nftables: Option<String>,
    /// The Runtime API's socket, if HAProxy is used.
    pub(crate) haproxy: Option<String>,
}

/// Reads the named file, or `sidetap.toml` of the working directory if there is one; else gives the defaults.
pub(crate) fn load(named: Option<&Path>) -> Result<Config, ConfigError> {
    let file = named.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(file) {
        Ok(text) => parse(file, &text),
        Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => parse(file, ""),
        Err(e) => Err(ConfigError::unreadable(file, &e)),
    }
}

/// Reads `text` as the contents of `file`.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
    let raw: raw::File = toml::from_str(text).map_err(|e| ConfigError::toml(file, text, &e))?;
    let bad = |key: &str, message: String| ConfigError::value(file, text, key, message);
    let analysis = analysis(raw.analysis, &bad)?;
    let console = Listen {
        listen: raw.console.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8642)),
        token_file: raw.console.token_file,
    };
    Ok(Config {
        capture: Capture {
            interfaces: raw.capture.interfaces.unwrap_or_default(),
            filter: raw.capture.filter.unwrap_or_default(),
            snaplen: raw.capture.snaplen.unwrap_or(262_144),
            buffer: raw.capture.buffer.unwrap_or(Size(64 << 20)),
            promiscuous: raw.capture.promiscuous.unwrap_or(true),
        },
        analysis,
        output: Output { directory: raw.output.directory, exchanges: raw.output.exchanges.unwrap_or(false) },
        store: raw.store.path,
        policy: Policy {
            path: raw.policy.path,
            allow: networks(raw.policy.allow),
            own_networks: networks(raw.policy.own_networks),
            shared_networks: networks(raw.policy.shared_networks),
        },
        console: guarded(console, &bad)?,
        mitigation: mitigation(raw.mitigation, &bad)?,
    })
}

type Bad<'a> = &'a dyn Fn(&str, String) -> ConfigError;

fn analysis(raw: raw::Analysis, bad: Bad<'_>) -> Result<Analysis, ConfigError> {
    let workers = raw.workers.unwrap_or(0);
    if workers > 256 {
        return Err(bad("workers", format!("workers = {workers}: at most 256")));
    }
    let memory_limit = raw.memory_limit.unwrap_or(Size(512 << 20));
    if memory_limit.0 < 1 << 20 {
        return Err(bad("memory-limit", format!("memory-limit = {memory_limit}: at least 1M")));
    }
    Ok(Analysis {
        workers,
        memory_limit,
        trusted_proxies: networks(raw.trusted_proxies),
        client_headers: raw.client_headers.unwrap_or_default(),
        hash_key: raw.hash_key,
        specs: raw.specs.unwrap_or_default(),
        state: raw.state,
    })
}

fn mitigation(raw: raw::Mitigation, bad: Bad<'_>) -> Result<Mitigation, ConfigError> {
    let feed = match raw.feed {
        Some(raw::Feed { listen: Some(listen), token_file }) => {
            Some(guarded(Listen { listen, token_file }, bad)?)
        }
        Some(_) => return Err(bad("[mitigation.feed]", "[mitigation.feed] needs `listen`".to_owned())),
        None => None,
    };
    let haproxy = match raw.haproxy {
        Some(raw::Haproxy { socket: None }) => {
            return Err(bad("[mitigation.haproxy]", "[mitigation.haproxy] needs `socket`".to_owned()));
        }
        other => other.and_then(|h| h.socket),
    };
    let nftables = raw.nftables.filter(|n| n.enabled.unwrap_or(false));
    Ok(Mitigation {
        max_age: raw.max_age.map_or(Duration::from_secs(600), |s: Span| s.0),
        max_entries: raw.max_entries.unwrap_or(10_000),
        feed,
        nftables: nftables.map(|n| n.table.unwrap_or_else(|| "sidetap".to_owned())),
        haproxy,
    })
}

fn networks(written: Option<Vec<raw::Network>>) -> Vec<IpNet> {
    written.unwrap_or_default().into_iter().map(|n| n.0).collect()
}

/// Refuses to listen beyond loopback without a token.
fn guarded(listen: Listen, bad: Bad<'_>) -> Result<Listen, ConfigError> {
    if !listen.listen.ip().is_loopback() && listen.token_file.is_none() {
        let message = format!("listen = \"{}\" is not loopback: `token-file` is required", listen.listen);
        return Err(bad("listen", message));
    }
    Ok(listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(Path::new("sidetap.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_place_and_the_nearest_one() {
        let text = "[analysis]\nworkers = 2\n  trusted-proxys = [\"10.0.0.0/8\"]\n";
        assert_eq!(
            refused(text),
            "sidetap.toml:3:3: unknown key `trusted-proxys`; did you mean `trusted-proxies`?"
        );
        assert_eq!(
            refused("[anlysis]\n"),
            "sidetap.toml:1:2: unknown key `anlysis`; did you mean `analysis`?"
        );
        assert_eq!(
            refused("[output]\nmemory-limit = \"1G\"\n"),
            "sidetap.toml:2:1: unknown key `memory-limit` here; `memory-limit` belongs into [analysis]"
        );
    }

    #[test]
    fn a_bad_value_is_refused_with_its_place() {
        assert!(
            refused("[analysis]\nmemory-limit = \"lots\"\n")
                .starts_with("sidetap.toml:2:16: `lots` is no size")
        );
        assert!(refused("[analysis]\ntrusted-proxies = [\"10.0.0.0/8\", \"x\"]\n").contains(":2:"));
        assert!(refused("[analysis]\nworkers = 999\n").starts_with("sidetap.toml:2:1: workers = 999"));
        assert!(refused("[console]\nlisten = \"0.0.0.0:80\"\n").contains("token-file"));
        assert!(refused("[analysis\n").starts_with("sidetap.toml:1:10: "));
    }

    #[test]
    fn the_reference_shows_the_real_defaults() {
        let shown: String = reference()
            .lines()
            .filter(|l| !l.starts_with("# ") && !l.ends_with('='))
            .map(|l| format!("{}\n", l.trim_start_matches('#')))
            .collect();
        let without_connectors = shown.split("[mitigation.feed]").next().unwrap();
        let parsed = parse(Path::new("reference"), without_connectors).unwrap();
        assert_eq!(parsed, parse(Path::new("empty"), "").unwrap());
        let nftables = shown.split("[mitigation.nftables]").nth(1).unwrap().split('[').next().unwrap();
        let parsed = parse(Path::new("reference"), &format!("[mitigation.nftables]{nftables}")).unwrap();
        assert_eq!(parsed.mitigation.nftables, None);
    }
}
