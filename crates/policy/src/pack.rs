//! The form of a pack, and its reading: raw (serde) to valid.

use ipnet::IpNet;
use serde::Deserialize;

use crate::condition::Condition;
use crate::duration::{format_ttl, parse_ttl};
use crate::error::PolicyError;
use crate::net::parse_net;
use crate::{AllowEntry, AllowKind, AllowList, Guards, Response, nearest};
use sidetap_model::of_item;

/// Largest pack that is read.
const MAX_BYTES: usize = 4 << 20;
/// Most rules in a pack: each is tried on every verdict.
const MAX_RULES: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPack {
    version: u32,
    #[serde(default)]
    description: String,
    #[serde(default)]
    extends: Option<String>,
    #[serde(default)]
    allow: Vec<RawAllow>,
    #[serde(default)]
    guards: RawGuards,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawAllow {
    ip: Option<String>,
    cidr: Option<String>,
    session: Option<String>,
    account: Option<String>,
    api_key: Option<String>,
    fingerprint: Option<String>,
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGuards {
    min_prefix_v4: Option<u8>,
    min_prefix_v6: Option<u8>,
    #[serde(default)]
    own_networks: Vec<String>,
    #[serde(default)]
    shared_networks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    references: Vec<String>,
    when: String,
    response: String,
    ttl: Option<String>,
    #[serde(default = "default_priority")]
    priority: i32,
    #[serde(default = "enabled")]
    enabled: bool,
}

fn default_priority() -> i32 {
    100
}

fn enabled() -> bool {
    true
}

/// A rule as it is used.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) references: Vec<String>,
    pub(crate) when: Condition,
    pub(crate) response: Response,
    pub(crate) ttl_s: u64,
    pub(crate) priority: i32,
    pub(crate) enabled: bool,
    pub(crate) source: String,
}

/// A pack as it is used.
#[derive(Debug, Default)]
pub(crate) struct Pack {
    pub(crate) extends_default: bool,
    pub(crate) allow: AllowList,
    pub(crate) guards: Guards,
    pub(crate) rules: Vec<Rule>,
}

/// Reads a pack; all that can be found wrong in it is told at once.
pub(crate) fn read(text: &str, file: &str) -> Result<Pack, Vec<PolicyError>> {
    if text.len() > MAX_BYTES {
        return Err(vec![at(file, (0, 0), format!("larger than {} MiB", MAX_BYTES >> 20), None)]);
    }
    let raw: RawPack = serde_yaml_ng::from_str(text).map_err(|e| vec![yaml_error(file, &e)])?;
    let mut reader = Reader { text, file, errors: Vec::new() };
    let pack = reader.pack(raw);
    if reader.errors.is_empty() { Ok(pack) } else { Err(reader.errors) }
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    errors: Vec<PolicyError>,
}

impl Reader<'_> {
    fn pack(&mut self, raw: RawPack) -> Pack {
        if raw.version != 1 {
            let line = self.line_of("version");
            self.tell(
                line,
                format!("version {} is not known", raw.version),
                Some("write `version: 1`".into()),
            );
        }
        let extends_default = match raw.extends.as_deref() {
            None => false,
            Some("default") => true,
            Some(other) => {
                let line = self.line_of("extends");
                self.tell(
                    line,
                    format!("there is no pack `{other}`"),
                    Some("only `extends: default`".into()),
                );
                false
            }
        };
        if raw.rules.len() > MAX_RULES {
            let line = self.line_of("rules");
            self.tell(line, format!("more than {MAX_RULES} rules"), None);
        }
        let allow = self.allow(raw.allow);
        let guards = self.guards(raw.guards);
        let rules = self.rules(raw.rules);
        let _ = raw.description;
        Pack { extends_default, allow, guards, rules }
    }

    fn allow(&mut self, raw: Vec<RawAllow>) -> AllowList {
        let mut list = AllowList::default();
        for (index, entry) in raw.into_iter().enumerate() {
            let given = [
                (AllowKind::Ip, "ip", entry.ip),
                (AllowKind::Cidr, "cidr", entry.cidr),
                (AllowKind::Session, "session", entry.session),
                (AllowKind::Account, "account", entry.account),
                (AllowKind::ApiKey, "api-key", entry.api_key),
                (AllowKind::Fingerprint, "fingerprint", entry.fingerprint),
            ];
            let mut given = given.into_iter().filter_map(|(kind, key, value)| value.map(|v| (kind, key, v)));
            let (Some((kind, key, value)), None) = (given.next(), given.next()) else {
                let here = of_item(self.text, "allow", index, "-");
                let hint = "one of ip, cidr, session, account, api-key, fingerprint, and a reason";
                self.tell(here, "an entry of the allow list names one thing".into(), Some(hint.into()));
                continue;
            };
            if let Err(bad) = list.push(AllowEntry { kind, value, reason: entry.reason }) {
                let here = of_item(self.text, "allow", index, key);
                self.tell(here, format!("`{}` is not an address or network", bad.value), None);
            }
        }
        list
    }

    fn guards(&mut self, raw: RawGuards) -> Guards {
        let default = Guards::default();
        let min_prefix_v4 = raw.min_prefix_v4.unwrap_or(default.min_prefix_v4);
        let min_prefix_v6 = raw.min_prefix_v6.unwrap_or(default.min_prefix_v6);
        if !(8..=32).contains(&min_prefix_v4) || !(16..=128).contains(&min_prefix_v6) {
            let line = self.line_of("guards");
            let hint = "min_prefix_v4 is from 8 to 32, min_prefix_v6 from 16 to 128";
            self.tell(line, "a guard that would let through half the Internet".into(), Some(hint.into()));
        }
        let own_networks = self.nets(&raw.own_networks);
        let shared_networks = self.nets(&raw.shared_networks);
        Guards { min_prefix_v4, min_prefix_v6, own_networks, shared_networks }
    }

    fn nets(&mut self, raw: &[String]) -> Vec<IpNet> {
        let mut nets = Vec::with_capacity(raw.len());
        for text in raw {
            match parse_net(text) {
                Some(net) => nets.push(net),
                None => {
                    let line = self.line_of("guards");
                    self.tell(line, format!("`{text}` is not an address or network"), None);
                }
            }
        }
        nets
    }

    fn rules(&mut self, raw: Vec<RawRule>) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::with_capacity(raw.len());
        for (index, raw) in raw.into_iter().enumerate() {
            if raw.id.is_empty() || !raw.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            {
                let here = of_item(self.text, "rules", index, "id");
                self.tell(here, "an id has letters, digits, `-`, `_` and `.`".into(), None);
            } else if rules.iter().any(|r| r.id == raw.id) {
                let here = of_item(self.text, "rules", index, "id");
                self.tell(here, format!("there are two rules `{}`", raw.id), None);
            }
            if let Some(rule) = self.rule(index, raw) {
                rules.push(rule);
            }
        }
        rules
    }

    fn rule(&mut self, index: usize, raw: RawRule) -> Option<Rule> {
        let response = self.response(index, &raw);
        let when = self.condition(index, &raw);
        let ttl_s = self.ttl(index, &raw, response);
        Some(Rule {
            id: raw.id,
            description: raw.description,
            references: raw.references,
            when: when?,
            response: response?,
            ttl_s: ttl_s?,
            priority: raw.priority,
            enabled: raw.enabled,
            source: self.file.to_owned(),
        })
    }

    fn response(&mut self, index: usize, raw: &RawRule) -> Option<Response> {
        let response = raw.response.parse().ok();
        if response.is_none() {
            let here = of_item(self.text, "rules", index, "response");
            let names = Response::ALL.map(Response::name);
            let hint = match nearest(&raw.response, names) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("one of {}", names.join(", ")),
            };
            self.tell(here, format!("unknown response `{}`", raw.response), Some(hint));
        }
        response
    }

    fn condition(&mut self, index: usize, raw: &RawRule) -> Option<Condition> {
        Condition::compile(&raw.when)
            .map_err(|e| {
                let (line, column) = of_item(self.text, "rules", index, "when");
                let here = self.inside(line, column, &raw.when, e.line, e.column);
                self.tell(here, e.message, e.hint);
            })
            .ok()
    }

    /// The place in the file of a place in a scalar: exact where the scalar stands on the line as it is.
    fn inside(
        &self,
        line: usize,
        column: usize,
        value: &str,
        at_line: usize,
        at_column: usize,
    ) -> (usize, usize) {
        let rest = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let start: String = rest.chars().skip(column.saturating_sub(1)).collect();
        let quoted = usize::from(start.starts_with(['\'', '"']));
        let first = value.lines().next().unwrap_or_default();
        match start.get(quoted..).is_some_and(|s| s.starts_with(first)) {
            true if at_line == 1 => (line, column + quoted + at_column - 1),
            _ => (line, column),
        }
    }

    fn ttl(&mut self, index: usize, raw: &RawRule, response: Option<Response>) -> Option<u64> {
        let Some(text) = &raw.ttl else {
            if response.is_some_and(Response::acts) {
                let here = of_item(self.text, "rules", index, "id");
                let hint = format!("for example `ttl: {}`", format_ttl(3600));
                self.tell(here, format!("rule `{}` acts and has no `ttl`", raw.id), Some(hint));
                return None;
            }
            return Some(0);
        };
        parse_ttl(text)
            .map_err(|e| {
                let here = of_item(self.text, "rules", index, "ttl");
                self.tell(here, e, Some("write 90s, 10m, 24h or 7d".into()));
            })
            .ok()
    }

    fn line_of(&self, key: &str) -> (usize, usize) {
        let line = self.text.lines().position(|l| l.strip_prefix(key).is_some_and(|r| r.starts_with(':')));
        line.map_or((0, 0), |n| (n + 1, 1))
    }

    fn tell(&mut self, here: (usize, usize), message: String, hint: Option<String>) {
        self.errors.push(at(self.file, here, message, hint));
    }
}

fn at(file: &str, (line, column): (usize, usize), message: String, hint: Option<String>) -> PolicyError {
    PolicyError { file: file.to_owned(), line, column, message, hint }
}

fn yaml_error(file: &str, error: &serde_yaml_ng::Error) -> PolicyError {
    let here = error.location().map_or((0, 0), |l| (l.line(), l.column()));
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full).to_owned();
    let hint = unknown_key_hint(&message);
    let message = message
        .split(", expected one of ")
        .next()
        .unwrap_or(&message)
        .replace("unknown field", "unknown key");
    at(file, here, message, hint)
}

/// The known key nearest to the one that serde did not know.
fn unknown_key_hint(message: &str) -> Option<String> {
    let (wrong, known) = message.split_once("unknown field `")?.1.split_once('`')?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    Some(match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known: {}", known.join(", ")),
    })
}
