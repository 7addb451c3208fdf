//! What is built in: sources known by name, and facts about well-known networks.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::kind::{Kind, Kinds};
use crate::source::{Source, SourceConfig};

#[derive(Deserialize)]
struct SourcesFile {
    sources: Vec<SourceConfig>,
}

#[derive(Deserialize)]
struct FactsFile {
    networks: BTreeMap<String, Vec<u32>>,
    words: BTreeMap<String, Vec<String>>,
}

/// What well-known networks are used for.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) networks: BTreeMap<u32, Kinds>,
    words: Vec<(Kind, Vec<String>)>,
}

/// Sources that are known by name.
pub fn catalog() -> &'static [Source] {
    static CATALOG: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let file: Option<SourcesFile> = serde_yaml_ng::from_str(include_str!("../packs/sources.yaml")).ok();
        let sources = file.map(|f| f.sources).unwrap_or_default();
        sources.iter().filter_map(|s| s.checked().ok()).collect()
    });
    &CATALOG
}

/// Kinds that words of names tell, those first that say more.
const BY_NAME: [Kind; 9] = [
    Kind::Proxy,
    Kind::Vpn,
    Kind::Hosting,
    Kind::Cloud,
    Kind::Cdn,
    Kind::Mobile,
    Kind::Satellite,
    Kind::Education,
    Kind::Residential,
];

/// Facts about well-known networks.
pub(crate) fn facts() -> &'static Facts {
    static FACTS: LazyLock<Facts> = LazyLock::new(|| {
        let file: Option<FactsFile> = serde_yaml_ng::from_str(include_str!("../packs/networks.yaml")).ok();
        let mut facts = Facts::default();
        let Some(file) = file else { return facts };
        for (kind, networks) in file.networks {
            let Some(kind) = Kind::by_name(&kind) else { continue };
            for asn in networks {
                facts.networks.entry(asn).or_default().insert(Kinds::of(kind));
            }
        }
        for kind in BY_NAME {
            if let Some(words) = file.words.get(kind.name()) {
                facts.words.push((kind, words.clone()));
            }
        }
        facts
    });
    &FACTS
}

impl Facts {
    /// What a holder's name in lower case says; the first kind of which a word is in it.
    pub(crate) fn kinds_of_name(&self, low: &str) -> Kinds {
        let found = self.words.iter().find(|(_, words)| words.iter().any(|w| low.contains(w.as_str())));
        found.map_or(Kinds::NONE, |(kind, _)| Kinds::of(*kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_of_the_catalogue_is_whole() {
        let file: SourcesFile = serde_yaml_ng::from_str(include_str!("../packs/sources.yaml")).unwrap();
        for source in &file.sources {
            let checked = source.checked().unwrap();
            assert_ne!(checked.licence, "not stated", "{}", source.name);
            assert!(!checked.what.is_empty(), "{}", source.name);
        }
        let names: std::collections::BTreeSet<&str> = catalog().iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names.len(), file.sources.len());
    }

    #[test]
    fn every_kind_of_the_facts_is_known() {
        let file: FactsFile = serde_yaml_ng::from_str(include_str!("../packs/networks.yaml")).unwrap();
        for kind in file.networks.keys().chain(file.words.keys()) {
            assert!(Kind::by_name(kind).is_some(), "{kind}");
        }
        assert!(
            BY_NAME.iter().all(|k| file.words.contains_key(k.name())) && file.words.len() == BY_NAME.len()
        );
        let kinds = |name: &str| facts().kinds_of_name(name);
        assert!(kinds("example hosting gmbh").has(Kind::Hosting));
        assert!(kinds("example mobile telecom").has(Kind::Mobile));
        assert!(kinds("university of example").has(Kind::Education));
        assert!(kinds("example holdings").is_empty());
        assert!(facts().networks[&16509].has(Kind::Cloud));
    }
}
