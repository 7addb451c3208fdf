//! How families of clients write their heads: does a head fit what its agent claims, and whose is it otherwise?

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use sidetap_model::Headers;
use smallvec::SmallVec;

use crate::PackError;
use crate::agent::{Agent, AgentKind};
use crate::observation::Traits;

/// The profiles that come with Sidetap.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    version: u32,
    claims: Vec<Claimed>,
    libraries: Vec<Library>,
}

/// What holds of heads under the agent of a family.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claimed {
    #[allow(dead_code)]
    id: String,
    families: Vec<String>,
    #[serde(default)]
    since: u16,
    #[serde(default)]
    order: Vec<String>,
    #[serde(default)]
    values: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    always: Vec<String>,
    #[serde(default)]
    never: Vec<String>,
}

/// The head that a library writes by itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Library {
    id: String,
    adjacent: Vec<String>,
    #[serde(default)]
    begins: Vec<String>,
    #[serde(default)]
    ends: Vec<String>,
    #[serde(default)]
    values: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    never: Vec<String>,
    /// Fields from which on it is judged.
    #[serde(default)]
    least: usize,
    /// Apps are written with it too.
    #[serde(default)]
    apps: bool,
}

/// What a head shows beside its agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Fit {
    pub(crate) traits: Traits,
    /// The library whose head it is, from 1; 0 where it is nobody's.
    pub(crate) resembles: u8,
}

/// Fields that say where a request went, not who wrote it.
fn is_of_hop(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 12] = [
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-real-ip",
        b"x-request-id",
        b"forwarded",
        b"via",
        b"traceparent",
        b"tracestate",
        b"cf-connecting-ip",
        b"true-client-ip",
    ];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Fields that come and go with what is asked, whoever writes.
fn is_of_request(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] =
        [b"cookie", b"content-length", b"content-type", b"authorization", b"transfer-encoding"];
    is_of_hop(name) || NAMES.iter().any(|n| name.eq_ignore_ascii_case(n))
}

fn allows(allowed: &[String], value: &[u8]) -> bool {
    allowed.iter().any(|a| match a.strip_suffix('*').filter(|a| !a.ends_with('/')) {
        Some(start) if !start.is_empty() => value.starts_with(start.as_bytes()),
        _ => a.as_bytes() == value,
    })
}

/// The names that libraries go by, as verdicts tell them.
pub(crate) fn library_name(at: usize) -> Option<&'static str> {
    static BUILTIN: LazyLock<Option<Profiles>> = LazyLock::new(|| Profiles::builtin().ok());
    let profiles = BUILTIN.as_ref()?;
    profiles.libraries.get(at.checked_sub(1)?).map(|l| l.id.as_str())
}

impl Profiles {
    /// The profiles that come with Sidetap.
    pub fn builtin() -> Result<Self, PackError> {
        let text = include_str!("../packs/profiles.yaml");
        let profiles: Profiles = serde_yaml_ng::from_str(text).map_err(|e| PackError::Yaml(e.to_string()))?;
        if profiles.version != 1 {
            return Err(PackError::Version(profiles.version));
        }
        Ok(profiles)
    }

    /// Holds a head against what its agent claims and against the heads of libraries.
    pub(crate) fn fit(&self, agent: &Agent, headers: &Headers) -> Fit {
        let mut fit = Fit::default();
        let browser = agent.kind == AgentKind::Browser;
        let app = agent.kind == AgentKind::AppLibrary;
        if !browser && !app {
            return fit;
        }
        let fields: SmallVec<[(&[u8], &[u8]); 24]> =
            headers.iter().filter(|(n, _)| !is_of_hop(n)).take(64).collect();
        let claimed = |c: &&Claimed| c.families.contains(&agent.family) && (agent.major >= c.since || app);
        if let Some(claimed) = self.claims.iter().find(claimed) {
            fit.traits = claimed.judge(&fields);
        }
        let own: SmallVec<[(&[u8], &[u8]); 24]> =
            fields.iter().filter(|(n, _)| !is_of_request(n)).copied().collect();
        let of = self.libraries.iter().position(|l| (browser || !l.apps) && l.wrote(&own));
        if let Some(at) = of {
            fit.resembles = u8::try_from(at + 1).unwrap_or(0);
            fit.traits.insert(Traits::RESEMBLES);
        }
        fit
    }
}

impl Claimed {
    fn judge(&self, fields: &[(&[u8], &[u8])]) -> Traits {
        let is = |name: &[u8], known: &String| name.eq_ignore_ascii_case(known.as_bytes());
        let mut traits = Traits::NONE;
        let mut last = 0;
        for (name, value) in fields {
            if let Some(at) = self.order.iter().position(|known| is(name, known)) {
                traits.set(Traits::PROFILE_ORDER, at < last);
                last = last.max(at);
            }
            let allowed = self.values.iter().find(|(known, _)| is(name, known));
            traits.set(Traits::PROFILE_VALUES, allowed.is_some_and(|(_, all)| !allows(all, value)));
            traits.set(Traits::PROFILE_FOREIGN, self.never.iter().any(|known| is(name, known)));
        }
        let lacks = |known: &String| !fields.iter().any(|(name, _)| is(name, known));
        traits.set(Traits::PROFILE_MISSING, self.always.iter().any(lacks));
        traits
    }
}

impl Library {
    /// True where this library wrote the fields by itself.
    fn wrote(&self, fields: &[(&[u8], &[u8])]) -> bool {
        if fields.len() < self.least {
            return false;
        }
        let same = |list: &[String], part: &[(&[u8], &[u8])]| {
            list.len() <= part.len()
                && list.iter().zip(part).all(|(known, (name, _))| known.as_bytes() == *name)
        };
        let without_host: SmallVec<[(&[u8], &[u8]); 24]> =
            fields.iter().filter(|(n, _)| !n.eq_ignore_ascii_case(b"host")).copied().collect();
        let adjacent = without_host.windows(self.adjacent.len().max(1)).any(|w| same(&self.adjacent, w));
        let tail = fields.get(fields.len().saturating_sub(self.ends.len())..).unwrap_or_default();
        let value = |(known, allowed): (&String, &Vec<String>)| {
            let held = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(known.as_bytes()));
            held.is_some_and(|(_, value)| allows(allowed, value))
        };
        let forbidden =
            |known: &String| fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        adjacent
            && same(&self.begins, fields)
            && same(&self.ends, tail)
            && self.values.iter().all(value)
            && !self.never.iter().any(forbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Agents;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    fn fit(agent: &str, fields: &[(&str, &str)]) -> Fit {
        let agents = Agents::builtin().unwrap();
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name.as_bytes(), value.as_bytes());
        }
        Profiles::builtin().unwrap().fit(&agents.read(agent.as_bytes()), &headers)
    }

    fn chrome() -> Vec<(&'static str, &'static str)> {
        vec![
            ("Host", "a.test"),
            ("Connection", "keep-alive"),
            ("sec-ch-ua", "\"Chromium\";v=\"150\""),
            ("User-Agent", CHROME),
            ("Accept", "text/html,*/*;q=0.8"),
            ("Sec-Fetch-Site", "none"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "document"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Accept-Language", "en-US,en;q=0.9"),
            ("Cookie", "a=b"),
        ]
    }

    fn firefox() -> Vec<(&'static str, &'static str)> {
        vec![
            ("Host", "a.test"),
            ("User-Agent", FIREFOX),
            ("Accept", "text/html,*/*;q=0.8"),
            ("Accept-Language", "en-US,en;q=0.5"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Connection", "keep-alive"),
            ("Sec-Fetch-Dest", "document"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Site", "none"),
        ]
    }

    #[test]
    fn browsers_fit_their_own_profiles() {
        assert_eq!(fit(CHROME, &chrome()), Fit::default());
        assert_eq!(fit(FIREFOX, &firefox()), Fit::default());
    }

    #[test]
    fn a_head_that_does_not_fit_its_agent_is_marked() {
        assert!(fit(CHROME, &firefox()).traits.has(Traits::PROFILE_ORDER));
        assert!(fit(FIREFOX, &chrome()).traits.has(Traits::PROFILE_FOREIGN));
        let mut odd = chrome();
        odd[8].1 = "gzip, deflate, lzma";
        assert!(fit(CHROME, &odd).traits.has(Traits::PROFILE_VALUES));
        odd.remove(4);
        assert!(fit(CHROME, &odd).traits.has(Traits::PROFILE_MISSING));
    }

    #[test]
    fn borrowed_heads_are_recognised() {
        let heads: [(&str, &[(&str, &str)]); 8] = [
            (
                "python-requests",
                &[
                    ("Host", "a"),
                    ("User-Agent", CHROME),
                    ("Accept-Encoding", "gzip, deflate"),
                    ("Accept", "*/*"),
                    ("Connection", "keep-alive"),
                    ("Content-Type", "application/json"),
                ],
            ),
            (
                "python-httpx",
                &[
                    ("Host", "a"),
                    ("Accept", "*/*"),
                    ("Accept-Encoding", "gzip, deflate"),
                    ("Connection", "keep-alive"),
                    ("User-Agent", CHROME),
                ],
            ),
            ("curl", &[("Host", "a"), ("User-Agent", CHROME), ("Accept", "*/*")]),
            (
                "go-net-http",
                &[
                    ("Host", "a"),
                    ("User-Agent", CHROME),
                    ("Content-Length", "3"),
                    ("Accept-Encoding", "gzip"),
                ],
            ),
            (
                "apache-httpclient",
                &[
                    ("Host", "a"),
                    ("Connection", "Keep-Alive"),
                    ("User-Agent", CHROME),
                    ("Accept-Encoding", "gzip,deflate"),
                ],
            ),
            (
                "java-httpurlconnection",
                &[
                    ("User-Agent", CHROME),
                    ("Host", "a"),
                    ("Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"),
                    ("Connection", "keep-alive"),
                ],
            ),
            (
                "node-undici",
                &[
                    ("host", "a"),
                    ("connection", "keep-alive"),
                    ("accept", "*/*"),
                    ("accept-language", "*"),
                    ("sec-fetch-mode", "cors"),
                    ("user-agent", CHROME),
                    ("accept-encoding", "br, gzip, deflate"),
                ],
            ),
            (
                "axios",
                &[
                    ("Accept", "application/json, text/plain, */*"),
                    ("User-Agent", CHROME),
                    ("Accept-Encoding", "gzip, compress, deflate, br"),
                    ("Host", "a"),
                    ("Connection", "close"),
                ],
            ),
        ];
        for (name, head) in heads {
            let fit = fit(CHROME, head);
            assert_eq!(library_name(fit.resembles.into()), Some(name), "{head:?}");
            assert!(fit.traits.has(Traits::RESEMBLES));
        }
        assert_eq!(fit("curl/8.5", heads[2].1), Fit::default(), "a library under its own name");
    }
}
