//! `[intel]`, and the parties that the site knows.

use std::path::PathBuf;

use serde::Deserialize;
use sidetap_intel::{KnownConfig, KnownKind, Source, catalog};

use super::{Bad, ConfigError, nearest, raw};

/// Sources that are fetched where nothing else is said.
const USUAL: &[&str] = &[
    "asn",
    "country",
    "googlebot",
    "google-special",
    "google-user",
    "bingbot",
    "applebot",
    "duckduckbot",
    "duckassistbot",
    "gptbot",
    "oai-searchbot",
    "chatgpt-user",
    "perplexitybot",
    "perplexity-user",
    "ccbot",
    "aws",
    "google-cloud",
    "cloudflare",
    "apple-relay",
    "tor",
];

/// Network intelligence, and the parties that the site knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Intel {
    /// Without it the user's data directory has it.
    pub(crate) directory: Option<PathBuf>,
    /// Without it that of the environment.
    pub(crate) registry: Option<String>,
    /// Wanted sources, in the order in which they are believed.
    pub(crate) sources: Vec<Source>,
    /// Partners, monitors, apps.
    pub(crate) known: Vec<(KnownKind, KnownConfig)>,
    /// Agents that sign.
    pub(crate) signed_agents: Vec<SignedAgent>,
}

/// An agent that signs its requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SignedAgent {
    pub(crate) name: String,
    pub(crate) operator: String,
    pub(crate) function: String,
    pub(crate) agents: Vec<String>,
    pub(crate) keys: PathBuf,
}

/// Parties as they are written.
pub(super) struct Parties {
    pub(super) partners: Vec<KnownConfig>,
    pub(super) monitors: Vec<KnownConfig>,
    pub(super) apps: Vec<KnownConfig>,
    pub(super) signed_agents: Vec<SignedAgent>,
}

/// Checks it.
pub(super) fn intel(raw: raw::Intel, parties: Parties, bad: Bad<'_>) -> Result<Intel, ConfigError> {
    let mut sources: Vec<Source> = Vec::new();
    // What the site names itself is believed before what everybody can have.
    for own in raw.source.unwrap_or_default() {
        sources.push(own.checked().map_err(|e| bad("[[intel.source", e.to_string()))?);
    }
    let named = raw.sources.unwrap_or_else(|| USUAL.iter().map(|n| (*n).to_owned()).collect());
    for name in named {
        let Some(source) = catalog().iter().find(|s| s.name == name) else {
            let hint = nearest(&name, catalog().iter().map(|s| s.name.as_str()));
            let hint = hint.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            return Err(bad("sources", format!("no source is called `{name}`{hint}")));
        };
        if !sources.iter().any(|s| s.name == name) {
            sources.push(source.clone());
        }
    }
    for (n, source) in sources.iter().enumerate() {
        if sources.iter().take(n).any(|s| s.name == source.name) {
            return Err(bad("[[intel.source", format!("two sources are called `{}`", source.name)));
        }
    }
    let of = |kind: KnownKind, list: Vec<KnownConfig>| list.into_iter().map(move |c| (kind, c));
    let known = of(KnownKind::Partner, parties.partners)
        .chain(of(KnownKind::Monitor, parties.monitors))
        .chain(of(KnownKind::App, parties.apps))
        .collect();
    for agent in &parties.signed_agents {
        if agent.name.is_empty() || agent.keys.as_os_str().is_empty() {
            return Err(bad("[[signed_agents", "a signed agent has a `name` and a file of `keys`".into()));
        }
    }
    Ok(Intel {
        directory: raw.directory,
        registry: raw.registry.filter(|r| !r.is_empty()),
        sources,
        known,
        signed_agents: parties.signed_agents,
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn refused(text: &str) -> String {
        parse(std::path::Path::new("sidetap.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn own_sources_come_before_those_of_the_catalogue() {
        let text = "[intel]\nsources = [\"asn\"]\n[[intel.source]]\nname = \"own\"\nfile = \"a\"\nformat = \"networks\"\nkind = [\"vpn\", \"hosting\"]\n\
                    [[partners]]\nname = \"acme\"\nnetworks = [\"20.0.0.1\"]\n[[monitors]]\nname = \"m\"\nagents = [\"m/\"]\n";
        let config = parse(std::path::Path::new("x"), text).unwrap().intel;
        let names: Vec<&str> = config.sources.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["own", "asn"]);
        assert_eq!(config.known.len(), 2);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(refused("[intel]\nsources = [\"asm\"]\n").contains("did you mean `asn`?"));
        assert!(
            refused("[[intel.source]]\nname = \"own\"\nfile = \"a\"\nformat = \"networks\"\n")
                .contains("says nothing")
        );
        assert!(refused("[[intel.source]]\nnam = \"own\"\n").contains("did you mean `name`?"));
        assert!(refused("[[partners]]\nname = \"x\"\nkey = [\"y\"]\n").contains("did you mean `keys`?"));
        assert!(refused("[[signed_agents]]\nname = \"x\"\n").contains("`keys`"));
    }
}
