//! What a site changes of indicators: weights, thresholds, whether they are asked, everywhere or in one place.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::condition::{Condition, fact};
use super::pack::{Wrong, find};
use super::view::Live;
use super::{Indicator, Kind, Pillar, Scope};
use crate::{Fact, Roles};
use sidetap_model::nearest;

/// A change as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Override {
    indicator: Option<String>,
    family: Option<String>,
    pillar: Option<Pillar>,
    kind: Option<Kind>,
    host: Option<String>,
    endpoint: Option<String>,
    role: Option<String>,
    enabled: Option<bool>,
    automation: Option<f64>,
    harm: Option<f64>,
    proof: Option<bool>,
    #[serde(default)]
    thresholds: BTreeMap<String, f64>,
}

/// A change of indicators in a place.
#[derive(Clone, Debug)]
pub(super) struct Scoped {
    pub(super) place: Place,
    pub(super) change: Change,
    /// Positions in the pack.
    pub(super) indicators: Vec<usize>,
}

/// Where a change holds: all that is given must fit.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    host: Option<String>,
    endpoint: Option<String>,
    role: Option<Roles>,
}

/// What is changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    enabled: Option<bool>,
    automation: Option<f64>,
    harm: Option<f64>,
    proof: Option<bool>,
    thresholds: Vec<(Fact, f64)>,
}

/// A weight within reason.
pub(super) fn weight(weight: f64) -> Result<(), String> {
    if weight.is_finite() && weight.abs() <= 10.0 {
        return Ok(());
    }
    Err(format!("a weight of {weight}: log-odds go from -10 to 10"))
}

impl Override {
    pub(super) fn resolve(&self, all: &[Indicator]) -> Result<Scoped, Wrong> {
        let indicators = self.picked(all)?;
        let place = self.place()?;
        let scopes = || indicators.iter().filter_map(|n| all.get(*n)).any(|i| i.scope == Scope::Client);
        if (place.endpoint.is_some() || place.role.is_some()) && scopes() {
            let what = "judges clients as a whole, not what they do at one endpoint".to_owned();
            return Err(("indicator", what, Some("give `host` alone".into())));
        }
        for w in [self.automation, self.harm].into_iter().flatten() {
            weight(w).map_err(|what| ("automation", what, None))?;
        }
        let mut thresholds = Vec::new();
        for (name, value) in &self.thresholds {
            let fact = fact(name).map_err(|what| ("thresholds", what, None))?;
            let asked = |n: &usize| all.get(*n).is_some_and(|i| i.when.iter().any(|c| c.fact == fact));
            if !indicators.iter().any(asked) {
                let known = indicators.iter().filter_map(|n| all.get(*n)).flat_map(|i| &i.when);
                let names: Vec<&str> = known.map(|c| c.fact.name()).take(8).collect();
                let hint = format!("it has: {}", names.join(", "));
                return Err(("thresholds", format!("`{name}` is no threshold of it"), Some(hint)));
            }
            thresholds.push((fact, *value));
        }
        let change = Change {
            enabled: self.enabled,
            automation: self.automation,
            harm: self.harm,
            proof: self.proof,
            thresholds,
        };
        if change.is_nothing() {
            let hint = "give `enabled`, `automation`, `harm`, `proof` or `thresholds`";
            return Err(("indicator", "changes nothing".into(), Some(hint.into())));
        }
        Ok(Scoped { place, change, indicators })
    }

    fn picked(&self, all: &[Indicator]) -> Result<Vec<usize>, Wrong> {
        if let Some(id) = &self.indicator {
            return Ok(vec![find("indicator", id, all)?]);
        }
        if self.family.is_none() && self.pillar.is_none() && self.kind.is_none() {
            let what = "names no indicators".to_owned();
            return Err(("indicator", what, Some("give `indicator`, `family`, `pillar` or `kind`".into())));
        }
        let fits = |i: &Indicator| {
            self.family.as_ref().is_none_or(|f| *f == i.family)
                && self.pillar.is_none_or(|p| p == i.pillar)
                && self.kind.is_none_or(|k| k == i.kind)
        };
        let picked: Vec<usize> = (0..all.len()).filter(|n| all.get(*n).is_some_and(fits)).collect();
        if picked.is_empty() {
            let family = self.family.as_deref().unwrap_or_default();
            let hint = nearest(family, all.iter().map(|i| i.family.as_str()));
            let hint = hint.map(|n| format!("did you mean `{n}`?"));
            return Err(("family", "no indicator is like that".into(), hint));
        }
        Ok(picked)
    }

    fn place(&self) -> Result<Place, Wrong> {
        let role = self.role.as_deref().map(|name| {
            let known = Roles::ALL.iter().find(|(_, n)| *n == name);
            known.map(|(role, _)| *role).ok_or_else(|| {
                let hint = match nearest(name, Roles::ALL.iter().map(|(_, n)| *n)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        let all: Vec<&str> = Roles::ALL.iter().map(|(_, n)| *n).collect();
                        format!("roles are {}", all.join(", "))
                    }
                };
                ("role", format!("no role is called `{name}`"), Some(hint))
            })
        });
        let host = self.host.as_ref().map(|h| h.to_ascii_lowercase());
        Ok(Place { host, endpoint: self.endpoint.clone(), role: role.transpose()? })
    }
}

impl Place {
    pub(super) const fn is_everywhere(&self) -> bool {
        self.host.is_none() && self.endpoint.is_none() && self.role.is_none()
    }

    /// Whether it holds on a host, at an endpoint (method, template, roles) of it.
    pub(super) fn fits(&self, host: &str, endpoint: Option<(&str, &str, Roles)>) -> bool {
        let of_host = self.host.as_deref().is_none_or(|pattern| is_like(pattern, host));
        let of_endpoint = self.endpoint.as_deref().is_none_or(|pattern| {
            endpoint.is_some_and(|(method, template, _)| match pattern.split_once(' ') {
                Some((m, t)) => m.eq_ignore_ascii_case(method) && is_like(t, template),
                None => is_like(pattern, template),
            })
        });
        let of_role = self.role.is_none_or(|role| endpoint.is_some_and(|(_, _, roles)| roles.any(role)));
        of_host && of_endpoint && of_role
    }
}

/// Whether a text is like a pattern, in which `*` stands for any characters.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

impl Change {
    fn is_nothing(&self) -> bool {
        self.enabled.is_none()
            && self.automation.is_none()
            && self.harm.is_none()
            && self.proof.is_none()
            && self.thresholds.is_empty()
    }

    fn conditions(&self, when: &mut [Condition]) {
        for (fact, value) in &self.thresholds {
            when.iter_mut().filter(|c| c.fact == *fact).for_each(|c| c.value = *value);
        }
    }

    /// Changes an indicator everywhere.
    pub(super) fn apply(&self, indicator: &mut Indicator) {
        indicator.enabled = self.enabled.unwrap_or(indicator.enabled);
        indicator.automation = self.automation.unwrap_or(indicator.automation);
        indicator.harm = self.harm.unwrap_or(indicator.harm);
        indicator.proof = self.proof.unwrap_or(indicator.proof);
        self.conditions(&mut indicator.when);
    }

    /// Changes an indicator where it is asked.
    pub(super) fn apply_live(&self, live: &mut Live) {
        live.enabled = self.enabled.unwrap_or(live.enabled);
        live.automation = self.automation.unwrap_or(live.automation);
        live.harm = self.harm.unwrap_or(live.harm);
        live.proof = self.proof.unwrap_or(live.proof);
        self.conditions(&mut live.when);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pack, facts_of};
    use super::*;

    fn with(overrides: &str) -> Result<Pack, String> {
        let text = format!("version: 1\noverrides:\n{overrides}");
        Pack::with(&[("own.yaml", &text)]).map_err(|e| e.to_string())
    }

    fn peak(pack: &Pack) -> usize {
        pack.indicators().iter().position(|i| i.id == "rate-client-outlier").unwrap()
    }

    #[test]
    fn thresholds_and_weights_change_by_host() {
        let pack = with(
            "  - {indicator: rate-client-outlier, host: '*.shop.test', thresholds: {client.peak-per-minute: 600}, harm: 0.1}\n",
        )
        .unwrap();
        let facts = facts_of(&[("client.peak-per-minute".into(), 300.0)].into()).unwrap();
        let n = peak(&pack);
        let fires = |view: super::super::View<'_>| view.ask(Scope::Client, &facts).fired.contains(&n);
        assert!(fires(pack.everywhere()) && fires(pack.at("shop.test", None)));
        assert!(!fires(pack.at("www.shop.test", None)));
        assert!(pack.differs());
        let fast = facts_of(&[("client.peak-per-minute".into(), 700.0)].into()).unwrap();
        let view = pack.at("www.shop.test", None);
        assert!(view.ask(Scope::Client, &fast).fired.contains(&n));
        assert!((view.harm(&[n]) - 0.1).abs() < 1e-9);
        assert!(pack.everywhere().harm(&[n]) > 0.5);
    }

    #[test]
    fn a_change_without_a_place_is_a_change_of_the_pack() {
        let pack = with("  - {indicator: rate-client-outlier, enabled: false}\n").unwrap();
        let n = peak(&pack);
        assert!(!pack.indicators()[n].enabled && !pack.differs());
        let facts = facts_of(&[("client.peak-per-minute".into(), 300.0)].into()).unwrap();
        assert!(!pack.everywhere().ask(Scope::Client, &facts).fired.contains(&n));
    }

    #[test]
    fn endpoints_and_roles_are_matched() {
        let pack = with(
            "  - {indicator: cluster-narrow, role: telemetry, enabled: false}\n  - {family: fanout, endpoint: 'POST /api/*/login', harm: 0}\n",
        )
        .unwrap();
        let at = |method: &str, template: &str, roles| {
            pack.at("shop.test", Some((method, template, roles))).changed.len()
        };
        assert_eq!(at("POST", "/x", Roles::TELEMETRY), 1);
        assert_eq!(at("POST", "/x", Roles::LOGIN), 0);
        assert!(at("POST", "/api/v2/login", Roles::LOGIN) >= 3);
        assert_eq!(at("GET", "/api/v2/login", Roles::LOGIN), 0);
        assert!(
            is_like("/a*c*", "/abcd") && !is_like("/a*c", "/abcd") && is_like("*", "") && !is_like("a", "ab")
        );
    }

    #[test]
    fn mistakes_are_told_with_place_and_hint() {
        let e = with("  - indicator: rate-client-outlyer\n    enabled: false\n").unwrap_err();
        assert!(e.starts_with("own.yaml:3:16: ") && e.contains("did you mean `rate-client-outlier`"), "{e}");
        let e = with("  - indicator: rate-client-outlier\n    thresholds: {client.pages: 3}\n").unwrap_err();
        assert!(e.starts_with("own.yaml:4:17: ") && e.contains("it has: client.peak-per-minute"), "{e}");
        let e = with("  - indicator: rate-client-outlier\n    role: logn\n    harm: 1\n").unwrap_err();
        assert!(e.starts_with("own.yaml:4:11: ") && e.contains("did you mean `login`"), "{e}");
        let e = with("  - indicator: rate-client-outlier\n    role: login\n    harm: 1\n").unwrap_err();
        assert!(e.contains("give `host` alone"), "{e}");
        let e = with("  - indicator: rate-client-outlier\n    harm: 99\n").unwrap_err();
        assert!(e.contains("-10 to 10"), "{e}");
        assert!(with("  - indicator: rate-client-outlier\n").unwrap_err().contains("changes nothing"));
        assert!(with("  - {enabled: false}\n").unwrap_err().contains("names no indicators"));
        let e = with("  - {indicator: sweep, weight: 3}\n").unwrap_err();
        assert!(e.starts_with("own.yaml:3:") && e.contains("unknown field `weight`"), "{e}");
    }
}
