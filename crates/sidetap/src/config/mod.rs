//! `sidetap.toml`: read, checked, joined with the command line.

mod decode;
mod error;
mod intel;
mod raw;
mod reference;
mod rescue;
pub(crate) mod sso;
mod told;
mod words;
mod zones;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use sidetap_seal::{Recipient, SealError};

pub(crate) use error::{ConfigError, nearest};
pub(crate) use intel::Intel;
pub(crate) use reference::reference;

use crate::units::Size;

/// The file that is read where none is named and it is there.
const DEFAULT_FILE: &str = "sidetap.toml";

/// A configuration without gaps: what the file left out stands at its default.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Reading from mirror ports.
    pub(crate) capture: Capture,
    /// How packets are decoded.
    pub(crate) decode: sidetap_capture::DecodeOptions,
    /// Names of zones by number.
    pub(crate) zones: Vec<String>,
    /// How traffic is analysed.
    pub(crate) analysis: Analysis,
    /// Network intelligence, and the parties that the site knows.
    pub(crate) intel: Intel,
    /// What the site says of its endpoints.
    pub(crate) stated: sidetap_bots::Stated,
    /// What a run writes.
    pub(crate) output: Output,
    /// The store's database file, if there is to be one.
    pub(crate) store: Option<PathBuf>,
    /// Rules.
    pub(crate) policy: Policy,
    /// The console.
    pub(crate) console: Console,
    /// What goes to devices.
    pub(crate) mitigation: sidetap_mitigation::Config,
    /// The file as it may be shown, where there is one.
    pub(crate) told: Option<String>,
}

/// Reading from mirror ports.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Capture {
    pub(crate) interfaces: Vec<String>,
    pub(crate) filter: String,
    pub(crate) snaplen: u32,
    /// Without it as much as is usual, and the memory limit has room for.
    pub(crate) buffer: Option<Size>,
    pub(crate) promiscuous: bool,
    /// Capture threads.
    pub(crate) fanout: u16,
    /// Whom to become; without it `nobody` where that can write.
    pub(crate) user: Option<String>,
    pub(crate) confine: bool,
}

/// How traffic is analysed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Analysis {
    /// 0 is one a core.
    pub(crate) workers: u16,
    pub(crate) memory_limit: Size,
    /// What the kernel's rings take of it, where interfaces are read.
    pub(crate) rings: u64,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) client_headers: Vec<String>,
    /// Without it the user's configuration directory has it.
    pub(crate) hash_key: Option<PathBuf>,
    pub(crate) specs: Vec<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    /// Seconds.
    pub(crate) state_max_age: i64,
    /// One in so many answers of settled endpoints is read whole.
    pub(crate) answer_sample: u16,
    /// Without them the built-in packs answer.
    pub(crate) sensitive_types: Option<PathBuf>,
    pub(crate) exploit_patterns: Option<PathBuf>,
    pub(crate) indicators: Option<PathBuf>,
}

/// What a run writes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) exchanges: bool,
    /// Where packets of flagged flows go.
    pub(crate) flagged: Option<PathBuf>,
    pub(crate) flagged_ring: Size,
    pub(crate) flagged_limit: Size,
    /// Whom these packets are sealed to.
    pub(crate) flagged_recipient: Vec<Recipient>,
}

/// Rules that turn verdicts into responses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    /// Without it the built-in rules answer.
    pub(crate) path: Option<PathBuf>,
    pub(crate) allow: Vec<IpNet>,
    pub(crate) own_networks: Vec<IpNet>,
    pub(crate) shared_networks: Vec<IpNet>,
    pub(crate) operator: Vec<IpNet>,
    /// Without it the one beside the ledger.
    pub(crate) kill_switch: Option<PathBuf>,
    /// Names of connectors.
    pub(crate) dry_run: Vec<String>,
    /// Names of connectors.
    pub(crate) approve: Vec<String>,
    /// Seconds.
    pub(crate) approval_expiry: u64,
    /// Seconds.
    pub(crate) measured_span: u64,
}

/// The console.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Console {
    /// Loopback, or with TLS.
    pub(crate) listen: SocketAddr,
    pub(crate) hosts: Vec<String>,
    /// Certificate chain and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// A provider to log in by.
    pub(crate) sso: Option<sso::Sso>,
}

/// Reads the named file, or `sidetap.toml` of the working directory if there is one; else gives the defaults.
pub(crate) fn load(named: Option<&Path>) -> Result<Config, ConfigError> {
    let file = named.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(file) {
        Ok(text) => parse(file, &text).map(|config| Config { told: told::told(&text), ..config }),
        Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => parse(file, ""),
        Err(e) => Err(ConfigError::unreadable(file, &e)),
    }
}

/// Reads `text` as the contents of `file`.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
    valid(file, text, read(file, text)?)
}

/// What can be used of a configuration, for emergencies: a certificate that is gone for one device, or a table that is misspelt, must not keep
/// the others from being emptied.
pub(crate) struct Rescued {
    pub(crate) config: Config,
    /// What is wrong with it, where it could not be read as it stands.
    pub(crate) error: Option<ConfigError>,
    /// What of it is left out that devices are told by, and why.
    pub(crate) without: Vec<String>,
}

/// Reads a configuration without the connectors that cannot be made now, and without what cannot be read.
pub(crate) fn load_what_works(named: Option<&Path>) -> Result<Rescued, ConfigError> {
    let error = match load(named) {
        Ok(config) => return Ok(Rescued { config, error: None, without: Vec::new() }),
        Err(e) => e,
    };
    let file = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let made = |mut raw: raw::File| {
        let why: Vec<String> = raw.mitigation.prune().iter().map(ToString::to_string).collect();
        // Names of connectors that are left out are those of none.
        (raw.policy.dry_run, raw.policy.approve) = (None, None);
        valid(file, &text, raw).map(|config| (config, why))
    };
    if let Ok((config, without)) = read(file, &text).and_then(made)
        && !without.is_empty()
    {
        return Ok(Rescued { config, error: None, without });
    }
    let (raw, mut without) = rescue::tables(&text);
    let config = match made(raw) {
        Ok((config, why)) => {
            without.extend(why);
            config
        }
        Err(e) => {
            without.push(e.to_string());
            parse(file, "")?
        }
    };
    Ok(Rescued { config, error: Some(error), without })
}

fn read(file: &Path, text: &str) -> Result<raw::File, ConfigError> {
    toml::from_str(text).map_err(|e| ConfigError::toml(file, text, &e))
}

fn valid(file: &Path, text: &str, raw: raw::File) -> Result<Config, ConfigError> {
    let bad = |key: &str, message: String| ConfigError::value(file, text, key, message);
    let listen = raw.console.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8642));
    let tls = tls(raw.console.certificate, raw.console.key).map_err(|m| bad("certificate", m))?;
    reachable(listen, tls.is_some()).map_err(|m| bad("listen", m))?;
    let (zones, rules) = zones::zones(raw.zones)
        .map_err(|(at, message)| ConfigError::repeated(file, text, "[[zones", at, message))?;
    let stated = sidetap_bots::Stated::new(&raw.endpoints)
        .map_err(|(at, message)| ConfigError::repeated(file, text, "[[endpoints", at, message))?;
    let known = intel::Parties {
        partners: raw.partners,
        monitors: raw.monitors,
        apps: raw.apps,
        signed_agents: raw.signed_agents,
    };
    let mitigation = mitigation(raw.mitigation, &bad)?;
    let analysis = analysis(raw.analysis, &bad)?;
    let policy = Policy {
        path: raw.policy.path,
        allow: networks(raw.policy.allow),
        own_networks: networks(raw.policy.own_networks),
        shared_networks: networks(raw.policy.shared_networks),
        operator: networks(raw.policy.operator),
        kill_switch: raw.policy.kill_switch,
        dry_run: connector_names(raw.policy.dry_run, "dry_run", &mitigation, &bad)?,
        approve: connector_names(raw.policy.approve, "approve", &mitigation, &bad)?,
        approval_expiry: raw.policy.approval_expiry.map_or(86_400, |s| s.0.as_secs()),
        measured_span: raw.policy.measured_span.map_or(86_400, |s| s.0.as_secs()),
    };
    let intel = intel::intel(raw.intel, known, &bad)?;
    let lists = [&policy.allow, &policy.operator, &policy.own_networks, &analysis.trusted_proxies];
    let parties = intel.known.iter().map(|(_, party)| &party.networks);
    let never: Vec<IpNet> = lists.into_iter().chain(parties).flatten().copied().collect();
    if !mitigation.lenient {
        mitigation.check_canaries(&never).map_err(|e| bad("[[mitigation", e.to_string()))?;
    }
    Ok(Config {
        intel,
        stated,
        decode: sidetap_capture::DecodeOptions { zones: rules, ..decode::options(&raw.capture) },
        zones,
        capture: capture(raw.capture, &bad)?,
        analysis,
        output: output(raw.output, &bad)?,
        store: raw.store.path,
        policy,
        console: Console {
            listen,
            hosts: raw.console.hosts.unwrap_or_default(),
            tls,
            sso: sso::sso(raw.sso, &bad)?,
        },
        mitigation,
        told: None,
    })
}

type Bad<'a> = &'a dyn Fn(&str, String) -> ConfigError;

fn capture(raw: raw::Capture, bad: Bad<'_>) -> Result<Capture, ConfigError> {
    let fanout = raw.fanout.unwrap_or(1);
    if !(1..=64).contains(&fanout) {
        return Err(bad("fanout", format!("fanout = {fanout}: from 1 to 64")));
    }
    Ok(Capture {
        interfaces: raw.interfaces.unwrap_or_default(),
        filter: raw.filter.unwrap_or_default(),
        snaplen: raw.snaplen.unwrap_or(262_144),
        buffer: raw.buffer,
        promiscuous: raw.promiscuous.unwrap_or(true),
        fanout,
        user: raw.user.filter(|u| !u.is_empty()),
        confine: raw.confine.unwrap_or(true),
    })
}

fn output(raw: raw::Output, bad: Bad<'_>) -> Result<Output, ConfigError> {
    let recipients = raw.flagged_recipient.map(raw::OneOrMore::into_vec).unwrap_or_default();
    let recipients = recipients.iter().map(|key| key.parse()).collect::<Result<_, SealError>>();
    Ok(Output {
        directory: raw.directory,
        exchanges: raw.exchanges.unwrap_or(false),
        flagged: raw.flagged,
        flagged_ring: raw.flagged_ring.unwrap_or(Size(64 << 20)),
        flagged_limit: raw.flagged_limit.unwrap_or(Size(1 << 30)),
        flagged_recipient: recipients
            .map_err(|e| bad("flagged_recipient", format!("flagged_recipient: {e}")))?,
    })
}

fn analysis(raw: raw::Analysis, bad: Bad<'_>) -> Result<Analysis, ConfigError> {
    let workers = raw.workers.unwrap_or(0);
    if workers > 256 {
        return Err(bad("workers", format!("workers = {workers}: at most 256")));
    }
    let memory_limit = raw.memory_limit.unwrap_or(Size(512 << 20));
    if memory_limit.0 < 1 << 20 {
        return Err(bad("memory-limit", format!("memory-limit = {memory_limit}: at least 1M")));
    }
    let answer_sample = raw.answer_sample.unwrap_or(8);
    if !(1..=1024).contains(&answer_sample) {
        return Err(bad("answer-sample", format!("answer_sample = {answer_sample}: from 1 to 1024")));
    }
    Ok(Analysis {
        workers,
        memory_limit,
        rings: 0,
        trusted_proxies: networks(raw.trusted_proxies),
        client_headers: raw.client_headers.unwrap_or_default(),
        hash_key: raw.hash_key,
        specs: raw.specs.unwrap_or_default(),
        state: raw.state,
        state_max_age: raw
            .state_max_age
            .map_or(90 * 86_400, |s| i64::try_from(s.0.as_secs()).unwrap_or(i64::MAX)),
        answer_sample,
        sensitive_types: raw.sensitive_types,
        exploit_patterns: raw.exploit_patterns,
        indicators: raw.indicators,
    })
}

/// Connectors are made once to have their settings checked; nothing is asked of a device.
fn mitigation(
    config: sidetap_mitigation::Config,
    bad: Bad<'_>,
) -> Result<sidetap_mitigation::Config, ConfigError> {
    let alerts = || if config.lenient { Ok(()) } else { config.alerts.check() };
    let checked =
        config.max_age_s().map(|_| ()).and_then(|()| config.connectors().map(|_| ())).and_then(|()| alerts());
    checked.map_err(|e| bad("[[mitigation", e.to_string()))?;
    Ok(config)
}

/// Names that are those of connectors.
fn connector_names(
    written: Option<Vec<String>>,
    key: &str,
    mitigation: &sidetap_mitigation::Config,
    bad: Bad<'_>,
) -> Result<Vec<String>, ConfigError> {
    let names = written.unwrap_or_default();
    if names.is_empty() {
        return Ok(names);
    }
    let connectors = mitigation.connectors().map_err(|e| bad("[[mitigation", e.to_string()))?;
    let known: Vec<&str> = connectors.iter().map(|c| c.name()).collect();
    match names.iter().find(|n| !known.contains(&n.as_str())) {
        None => Ok(names),
        Some(name) => {
            let hint = nearest(name, known.iter().copied());
            let hint = hint.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            Err(bad(key, format!("no connector is called `{name}`{hint}")))
        }
    }
}

fn networks(written: Option<Vec<raw::Network>>) -> Vec<IpNet> {
    written.unwrap_or_default().into_iter().map(|n| sidetap_policy::canonical(n.0)).collect()
}

/// Certificate and key, both or neither.
fn tls(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>, String> {
    let set = |p: Option<PathBuf>| p.filter(|p| !p.as_os_str().is_empty());
    match (set(certificate), set(key)) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err("certificate and key belong together".to_owned()),
    }
}

/// Refuses an address that others can reach without TLS: passwords and sessions would go over the network in the clear.
pub(crate) fn reachable(listen: SocketAddr, tls: bool) -> Result<(), String> {
    if listen.ip().is_loopback() || tls {
        return Ok(());
    }
    Err(format!(
        "the console listens on loopback only, not on {listen}, unless certificate and key are configured: passwords would go over the network in the clear"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(Path::new("sidetap.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn who_cannot_be_told_is_refused_before_there_is_anything_to_tell() {
        let sink = |more: &str| format!("[[mitigation.alerts.sink]]\nname = \"desk\"\n{more}\n");
        let said = refused(&sink("kind = \"jira\"\nurl = \"https://jira.example/\""));
        assert!(said.contains("alerts to desk"), "{said}");
        let said = refused(&sink("kind = \"syslog\"\nurl = \"logs.example:514\""));
        assert!(said.contains("alerts to desk"), "{said}");
    }

    #[test]
    fn a_canary_that_stands_for_somebody_is_refused() {
        let canary = "[[mitigation.ipset]]\ncanary = { command = [\"ask\", \"{}\"], address = \"198.51.100.77\", control = \"198.51.100.78\" }\n";
        assert!(parse(Path::new("x"), canary).is_ok());
        for never in [
            "[policy]\noperator = [\"198.51.100.77/32\"]\n",
            "[policy]\nallow = [\"198.51.100.0/24\"]\n",
            "[analysis]\ntrusted_proxies = [\"198.51.100.64/26\"]\n",
            "[[partners]]\nname = \"carrier\"\nnetworks = [\"198.51.100.0/24\"]\n",
        ] {
            let said = refused(&format!("{never}{canary}"));
            assert!(
                said.contains("ipset: canary: its address 198.51.100.77 is on the never-block list"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_place_and_the_nearest_one() {
        let text = "[analysis]\nworkers = 2\n  trusted_proxys = [\"10.0.0.0/8\"]\n";
        assert_eq!(
            refused(text),
            "sidetap.toml:3:3: unknown key `trusted_proxys`; did you mean `trusted_proxies`?"
        );
        assert_eq!(
            refused("[anlysis]\n"),
            "sidetap.toml:1:2: unknown key `anlysis`; did you mean `analysis`?"
        );
        assert_eq!(
            refused("[output]\nmemory_limit = \"1G\"\n"),
            "sidetap.toml:2:1: unknown key `memory_limit` here; `memory_limit` belongs into [analysis]"
        );
        assert!(refused("[[mitigation.nftables]]\ntabel = \"x\"\n").ends_with("did you mean `table`?"));
    }

    #[test]
    fn a_bad_value_is_refused_with_its_place() {
        assert!(
            refused("[analysis]\nmemory_limit = \"lots\"\n")
                .starts_with("sidetap.toml:2:16: `lots` is no size")
        );
        assert!(refused("[analysis]\ntrusted_proxies = [\"10.0.0.0/8\", \"x\"]\n").contains(":2:"));
        assert!(refused("[analysis]\nworkers = 999\n").starts_with("sidetap.toml:2:1: workers = 999"));
        assert!(refused("[console]\nlisten = \"0.0.0.0:80\"\n").contains("loopback"));
        assert!(refused("[analysis\n").starts_with("sidetap.toml:1:10: "));
        assert!(refused("[mitigation]\nmax_age = \"soon\"\n").contains("max_age"));
        let key = refused("[output]\nflagged_recipient = \"age1x\"\n");
        assert!(key.starts_with("sidetap.toml:2:1: flagged_recipient: `age1x` is no age"), "{key}");
        assert!(
            refused("[output]\nflagged_recipients = []\n").ends_with("did you mean `flagged_recipient`?")
        );
    }

    /// The reference with its keys no longer commented out, but for those without a default.
    fn uncommented() -> String {
        let keys = |l: &&str| !l.starts_with("# ") && !l.ends_with('=');
        reference().lines().filter(keys).map(|l| format!("{}\n", l.trim_start_matches('#'))).collect()
    }

    #[test]
    fn the_reference_shows_the_real_defaults() {
        let shown = uncommented();
        let without_connectors = shown.split("[[mitigation.feed]]").next().unwrap();
        let parsed = parse(Path::new("reference"), without_connectors).unwrap();
        let empty = parse(Path::new("empty"), "").unwrap();
        assert_eq!(format!("{parsed:#?}"), format!("{empty:#?}"));
    }

    #[test]
    fn the_reference_shows_every_key_of_the_connectors() {
        let parsed = parse(Path::new("reference"), &uncommented()).unwrap().mitigation;
        let least = "[[mitigation.feed]]\npath = \"/var/lib/sidetap/feed.json\"\n[[mitigation.nftables]]\n\
                     [[mitigation.haproxy]]\nsocket = \"/run/haproxy/admin.sock\"\nblock_map = \"/etc/haproxy/sidetap/block.map\"\n";
        let least = parse(Path::new("least"), least).unwrap().mitigation;
        assert_eq!(format!("{parsed:#?}"), format!("{least:#?}"));
        // Which is no key: what reads the configuration for the kill switch sets it.
        let text = format!("{parsed:?}").replace("lenient: false, ", "");
        for (key, _) in text.split([' ', '{']).filter_map(|w| w.split_once(':')) {
            // How long a yes is waited for is set by the policy's part.
            if !key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') || key == "approval_s" {
                continue;
            }
            let named =
                reference().lines().any(|l| l.trim_start_matches('#').starts_with(&format!("{key} =")));
            let table = [format!("[mitigation.{key}]"), format!("[[mitigation.{key}]]")];
            let headed = table.iter().any(|t| reference().contains(t));
            assert!(named || headed, "{key} is not in the reference");
        }
    }
}
