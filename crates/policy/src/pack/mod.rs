//! The form of a pack, and its reading: raw (serde) to valid.

mod depth;
mod raw;
mod request;
mod rule;
mod scope;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ipnet::IpNet;
use sidetap_model::Positions;

use self::raw::{RawAllow, RawGuards, RawPack};
pub(crate) use self::request::Standing;
pub use self::request::{Measured, odd_path};
pub(crate) use self::rule::{Choice, How, Prefix, Rule};
pub use self::scope::{CHANNELS, ROLES};
use crate::caps::{Caps, percent};
use crate::error::PolicyError;
use crate::net::parse_net;
use crate::{AllowEntry, AllowKind, AllowList, Guards, builtin, nearest};

/// Largest pack that is read.
const MAX_BYTES: usize = 4 << 20;
/// Most rules in a pack: each is tried on every verdict.
const MAX_RULES: usize = 1_000;

/// A pack as it is used.
#[derive(Debug, Default)]
pub(crate) struct Pack {
    pub(crate) file: String,
    pub(crate) revision: Option<String>,
    pub(crate) digest: u64,
    pub(crate) extends: Vec<String>,
    pub(crate) allow: AllowList,
    pub(crate) guards: Guards,
    pub(crate) rules: Vec<Rule>,
    pub(crate) requests: Vec<Standing>,
}

impl Pack {
    /// Its file is called as this built-in pack.
    pub(crate) fn is(&self, builtin: &str) -> bool {
        Path::new(&self.file).file_stem().is_some_and(|stem| stem == builtin)
    }
}

/// The text of a pack's file, of which no more is read than a pack may have.
pub(crate) fn text_of(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        // Its length is told, whatever it is cut off in.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is no text in UTF-8"))
}

/// Reads a pack; all that can be found wrong in it is told at once.
pub(crate) fn read(text: &str, file: &str) -> Result<Pack, Vec<PolicyError>> {
    // Some editors begin a file with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_BYTES {
        return Err(vec![at(file, (0, 0), format!("larger than {} MiB", MAX_BYTES >> 20), None)]);
    }
    if let Some(line) = depth::too_deep(text) {
        return Err(vec![at(file, (line, 1), "nested too deep".to_owned(), None)]);
    }
    let raw: RawPack = serde_yaml_ng::from_str(text)
        .map_err(|e| vec![tab_in(text, file).unwrap_or_else(|| yaml_error(file, &e))])?;
    let mut reader = Reader { text, places: Positions::new(text), file, errors: Vec::new() };
    let pack = reader.pack(raw);
    reader.errors.sort_by_key(|e| (e.line, e.column));
    if reader.errors.is_empty() { Ok(pack) } else { Err(reader.errors) }
}

struct Reader<'a> {
    text: &'a str,
    places: Positions<'a>,
    file: &'a str,
    errors: Vec<PolicyError>,
}

impl Reader<'_> {
    fn pack(&mut self, raw: RawPack) -> Pack {
        if raw.version != 1 {
            let line = self.line_of("version");
            let hint = "write `version: 1`; your own count goes under `revision`";
            self.tell(line, format!("version {} is not known", raw.version), Some(hint.into()));
        }
        let extends = raw.extends.as_slice().to_vec();
        for other in extends.iter().filter(|n| builtin::text(n).is_none()) {
            let line = self.line_of("extends");
            let names = builtin::NAMES;
            let hint = match nearest(other, names) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("one of {}", names.join(", ")),
            };
            self.tell(line, format!("there is no pack `{other}`"), Some(hint));
        }
        if raw.rules.len() + raw.requests.len() > MAX_RULES {
            let line = self.line_of("rules");
            self.tell(line, format!("more than {MAX_RULES} rules"), None);
        }
        Pack {
            file: self.file.to_owned(),
            revision: raw.revision,
            digest: digest(self.text.as_bytes()),
            extends,
            allow: self.allow(raw.allow),
            guards: self.guards(raw.guards),
            rules: self.rules(raw.rules),
            requests: self.requests(raw.requests),
        }
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
                (AllowKind::Header, "header", entry.header),
            ];
            let mut given = given.into_iter().filter_map(|(kind, key, value)| value.map(|v| (kind, key, v)));
            let (Some((kind, key, value)), None) = (given.next(), given.next()) else {
                let here = self.places.of_item("allow", index, "-");
                let hint = "one of ip, cidr, session, account, api-key, fingerprint, header, and a reason";
                self.tell(here, "an entry of the allow list names one thing".into(), Some(hint.into()));
                continue;
            };
            if let Err(bad) = list.push(AllowEntry { kind, value, reason: entry.reason }) {
                let here = self.places.of_item("allow", index, key);
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
            let key = if (8..=32).contains(&min_prefix_v4) { "min_prefix_v6" } else { "min_prefix_v4" };
            let line = self.line_of_key("guards", key);
            let hint = "min_prefix_v4 is from 8 to 32, min_prefix_v6 from 16 to 128";
            self.tell(line, "a guard that would let through half the Internet".into(), Some(hint.into()));
        }
        Guards {
            min_prefix_v4,
            min_prefix_v6,
            own_networks: self.nets("own_networks", &raw.own_networks),
            shared_networks: self.nets("shared_networks", &raw.shared_networks),
            caps: self.caps(&raw),
        }
    }

    fn caps(&mut self, raw: &RawGuards) -> Caps {
        let default = Caps::default();
        let mut share = |key: &str, text: &Option<String>, default: u32, most: u32| {
            let Some(text) = text else { return default };
            let value = percent(text).filter(|ppm| *ppm <= most);
            value.unwrap_or_else(|| {
                let line = self.line_of_key("guards", key);
                let hint = format!("at most {} %, written like 0.5%", f64::from(most) / 1e4);
                self.tell(line, format!("`{text}` is no share that {key} can be"), Some(hint));
                default
            })
        };
        Caps {
            good_share_ppm: share("max_good_share", &raw.max_good_share, default.good_share_ppm, 50_000),
            good_share_total_ppm: share(
                "max_good_share_total",
                &raw.max_good_share_total,
                default.good_share_total_ppm,
                50_000,
            ),
            growth_ppm: share("max_growth", &raw.max_growth, default.growth_ppm, 100_000_000),
            adds_per_minute: raw.max_adds_per_minute.unwrap_or(default.adds_per_minute),
            addresses: raw.max_addresses.unwrap_or(default.addresses),
        }
    }

    fn nets(&mut self, key: &str, raw: &[String]) -> Vec<IpNet> {
        let mut nets = Vec::with_capacity(raw.len());
        for text in raw {
            match parse_net(text) {
                Some(net) => nets.push(net),
                None => {
                    let line = self.line_of_key("guards", key);
                    self.tell(line, format!("`{text}` is not an address or network"), None);
                }
            }
        }
        nets
    }

    fn check_id(&mut self, list: &str, index: usize, id: &str, taken: bool) {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let here = self.places.of_item(list, index, "id");
        if id.is_empty() || !id.bytes().all(fits) {
            self.tell(here, "an id has letters, digits, `-`, `_` and `.`".into(), None);
        } else if taken {
            self.tell(here, format!("there are two rules `{id}`"), None);
        }
    }

    fn line_of(&self, key: &str) -> (usize, usize) {
        let line = self.text.lines().position(|l| l.strip_prefix(key).is_some_and(|r| r.starts_with(':')));
        line.map_or((0, 0), |n| (n + 1, 1))
    }

    /// The line of a key inside of a top-level mapping.
    fn line_of_key(&self, map: &str, key: &str) -> (usize, usize) {
        let (start, _) = self.line_of(map);
        let named = |l: &str| l.trim_start().strip_prefix(key).is_some_and(|r| r.starts_with(':'));
        let line = self.text.lines().enumerate().skip(start).find(|(_, l)| named(l));
        line.map_or((start, 1), |(n, l)| (n + 1, l.len() - l.trim_start().len() + 1))
    }

    fn tell(&mut self, here: (usize, usize), message: String, hint: Option<String>) {
        self.errors.push(at(self.file, here, message, hint));
    }
}

fn at(file: &str, (line, column): (usize, usize), message: String, hint: Option<String>) -> PolicyError {
    PolicyError { file: file.to_owned(), line, column, message, hint }
}

/// FNV-1a: names what a pack says, for people to compare; not for security.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// A line that is indented with a tab, which YAML takes for no indentation.
fn tab_in(text: &str, file: &str) -> Option<PolicyError> {
    let is_tab = |l: &str| l.trim_start_matches(' ').starts_with('\t') && !l.trim().is_empty();
    let (line, n) = text.lines().zip(1..).find(|(l, _)| is_tab(l))?;
    let column = line.len() - line.trim_start_matches(' ').len() + 1;
    let hint = Some("YAML is indented with spaces".to_owned());
    Some(at(file, (n, column), "a tab stands here".to_owned(), hint))
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
