//! `[[zones]]`: which network a packet belongs to.

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, de};
use sidetap_capture::{Label, ZoneRule, ZoneRules};

/// Zones are numbered with 16 bits.
const MOST: u64 = 65_535;
/// What a name may hold in braces; the key with its values is the plural.
const PLACEHOLDERS: [&str; 7] = ["vlan", "vni", "gre_key", "teid", "isid", "mpls_label", "erspan_session"];

/// A zone with what its packets have in common.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rule {
    name: String,
    interfaces: Vec<String>,
    vlans: Vec<Values>,
    vnis: Vec<Values>,
    gre_keys: Vec<Values>,
    teids: Vec<Values>,
    isids: Vec<Values>,
    mpls_labels: Vec<Values>,
    erspan_sessions: Vec<Values>,
}

/// A number, or a range written `"100-199"`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Values(RangeInclusive<u32>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Text(String),
        }
        let bad =
            |text: &str| de::Error::custom(format!("`{text}` is no number and no range like \"100-199\""));
        match Written::deserialize(d).map_err(|_| bad("this"))? {
            Written::Number(n) => Ok(Values(n..=n)),
            Written::Text(text) => {
                let (from, to) = text.split_once('-').unwrap_or((&text, &text));
                match (from.trim().parse(), to.trim().parse()) {
                    (Ok(from), Ok(to)) if from <= to => Ok(Values(from..=to)),
                    _ => Err(bad(&text)),
                }
            }
        }
    }
}

/// Names of zones by number, and the rules that lead to them.
///
/// An error comes with the place of its rule among the rules.
pub(super) fn zones(rules: Vec<Rule>) -> Result<(Vec<String>, ZoneRules), (usize, String)> {
    let mut names = vec!["default".to_owned()];
    let mut out = Vec::with_capacity(rules.len());
    for (at, rule) in rules.into_iter().enumerate() {
        out.push(rule.numbered(&mut names).map_err(|message| (at, message))?);
    }
    Ok((names, ZoneRules(out)))
}

impl Rule {
    fn numbered(self, names: &mut Vec<String>) -> Result<ZoneRule, String> {
        let name = self.name.trim().to_owned();
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            return Err("every zone has a name of 1 to 128 characters: add name = \"…\"".to_owned());
        }
        let [vlan, vni, gre_key, teid, isid, mpls_label, erspan_session] = PLACEHOLDERS;
        let labels = [
            (Label::Vlan, vlan, self.vlans),
            (Label::Vni, vni, self.vnis),
            (Label::GreKey, gre_key, self.gre_keys),
            (Label::Teid, teid, self.teids),
            (Label::Isid, isid, self.isids),
            (Label::Mpls, mpls_label, self.mpls_labels),
            (Label::ErspanSession, erspan_session, self.erspan_sessions),
        ];
        let mut rule = ZoneRule { interfaces: self.interfaces, ..ZoneRule::default() };
        let mut pattern = None;
        for (label, word, values) in labels {
            let placeholder = format!("{{{word}}}");
            if name.contains(&placeholder) {
                if let Some(first) = pattern {
                    return Err(format!(
                        "zone `{name}`: its name holds {first} and {placeholder}; leave one of them out"
                    ));
                }
                if values.is_empty() {
                    return Err(format!(
                        "zone `{name}`: its name holds {placeholder}, but no {word}s are listed: add {word}s = [\"100-199\"], or take {placeholder} out of the name"
                    ));
                }
                rule.spread = Some(label);
                pattern = Some(placeholder);
            }
            if !values.is_empty() {
                rule.labels.push((label, values.into_iter().map(|v| v.0).collect()));
            }
        }
        if pattern.is_none() && name.contains(['{', '}']) {
            return Err(format!(
                "zone `{name}`: its name holds a placeholder that is not known; known are {}",
                PLACEHOLDERS.map(|word| format!("{{{word}}}")).join(", ")
            ));
        }
        rule.number(&name, pattern, names)
    }
}

trait Number {
    fn number(self, name: &str, pattern: Option<String>, names: &mut Vec<String>)
    -> Result<ZoneRule, String>;
}

impl Number for ZoneRule {
    fn number(
        self,
        name: &str,
        pattern: Option<String>,
        names: &mut Vec<String>,
    ) -> Result<ZoneRule, String> {
        let Some(pattern) = pattern else {
            let known = names.iter().position(|n| n == name);
            let zone = known.unwrap_or(names.len());
            if known.is_none() {
                names.push(name.to_owned());
            }
            let zone = u16::try_from(zone).map_err(|_| too_many())?;
            return Ok(ZoneRule { zone, ..self });
        };
        if names.len() as u64 + self.zones() > MOST {
            return Err(too_many());
        }
        let zone = names.len() as u16;
        let ranges = self.labels.iter().filter(|(label, _)| Some(*label) == self.spread);
        let values = ranges.flat_map(|(_, ranges)| ranges.iter().cloned().flatten());
        names.extend(values.map(|value| name.replace(&pattern, &value.to_string())));
        Ok(ZoneRule { zone, ..self })
    }
}

fn too_many() -> String {
    format!("more than {MOST} zones")
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn parsed(text: &str) -> Result<crate::config::Config, String> {
        parse(std::path::Path::new("sidetap.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn zones_are_numbered_by_name() {
        let text = "[[zones]]\nname = \"shop\"\nvlans = [10, \"20-29\"]\n[[zones]]\nname = \"tenant-{vni}\"\nvnis = [\"100-102\"]\n\
                    [[zones]]\nname = \"shop\"\ninterfaces = [\"mirror2\"]\n";
        let config = parsed(text).unwrap();
        assert_eq!(config.zones, ["default", "shop", "tenant-100", "tenant-101", "tenant-102"]);
        let numbers: Vec<u16> = config.decode.zones.0.iter().map(|r| r.zone).collect();
        assert_eq!(numbers, [1, 2, 1]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |text: &str| parsed(text).unwrap_err();
        assert_eq!(
            refused("[[zones]]\nname = \"a\"\nvlan = [1]\n"),
            "sidetap.toml:3:1: unknown key `vlan`; did you mean `vlans`?"
        );
        assert!(refused("[[zones]]\nname = \"a\"\nvlans = [\"9-1\"]\n").starts_with("sidetap.toml:3:"));
        assert!(refused("[[zones]]\nvlans = [1]\n").starts_with("sidetap.toml:1:1: every zone has a name"));
        let first = "[[zones]]\nname = \"b\"\n";
        assert_eq!(
            refused(&format!("{first}[[zones]]\nname = \"a-{{vni}}\"\nvlans = [1]\n")),
            "sidetap.toml:3:1: zone `a-{vni}`: its name holds {vni}, but no vnis are listed: add vnis = [\"100-199\"], or take {vni} out of the name"
        );
        let both = "[[zones]]\nname = \"{vlan}-{vni}\"\nvlans = [1]\nvnis = [1]\n";
        assert!(refused(both).contains("holds {vlan} and {vni}; leave one"), "{}", refused(both));
        assert!(refused("[[zones]]\nname = \"a-{vxlan}\"\n").contains("known are {vlan}, {vni}, {gre_key}"));
        assert!(refused("[[zones]]\nname = \"a-{vni}\"\nvnis = [\"1-70000\"]\n").contains("65535"));
        assert!(refused("[zone]\n").ends_with("did you mean `zones`?"));
    }
}
