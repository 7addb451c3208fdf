//! ModSecurity: a data file of addresses that a rule with `@ipMatchFromFile` reads, under nginx or Apache.

use std::path::PathBuf;

use ipnet::IpNet;
use sidetap_policy::Response;

use crate::canary::Canary;
use crate::config::{ConfigError, server_config};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{Entry, Places, Sees, mapped};
use crate::hosted::{self, Conditions, Server, UNTOLD};
use crate::key::Key;
use crate::place::by_place;
use crate::plan::Plan;
use crate::turn::turn;

server_config! {
    /// A web application firewall: `[[mitigation.modsecurity]]`.
    ModsecurityConfig("modsecurity", capacity: 50_000, interval_s: 1, timeout_s: 60) {
        /// The file of blocked addresses.
        data: PathBuf,
        /// The file of rules for responses to hosts and endpoints, which the configuration includes.
        #[serde(default)]
        places: Option<PathBuf>,
        /// Says whether the server would take its configuration.
        #[serde(default = "default_test")]
        test: Vec<String>,
        /// Has the server read its configuration.
        #[serde(default = "default_reload")]
        reload: Vec<String>,
    }
}

fn default_test() -> Vec<String> {
    ["nginx", "-t", "-q"].map(str::to_owned).to_vec()
}

fn default_reload() -> Vec<String> {
    ["nginx", "-s", "reload"].map(str::to_owned).to_vec()
}

/// The connector to a web application firewall.
#[derive(Debug)]
pub struct ModsecurityConnector {
    config: ModsecurityConfig,
    canary: Option<Canary>,
    sees: Sees,
}

impl ModsecurityConnector {
    /// The connector of this configuration.
    pub fn new(config: ModsecurityConfig) -> Result<Self, ConfigError> {
        let canary = config.checked(!config.reload.is_empty(), "reload")?;
        let sees = Sees {
            address: config.address,
            open_connections: "idle ones are closed by the reload; long answers are finished by old workers",
            delay: "about a second: the reload compiles all rules",
            places: if config.places.is_some() { Places::Yes } else { Places::No },
            cannot: "its data file holds addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        Ok(ModsecurityConnector { config, canary, sees })
    }

    fn conditions(&self) -> Option<Conditions<'_, impl Fn(&[Entry]) -> String>> {
        self.config.places.as_deref().map(|path| Conditions { path, render })
    }
}

/// The number of the first rule for a place: of the range for local use.
const FIRST_RULE: usize = 99_100;

/// The whole path where an escaped `?` is in it, at which ModSecurity before 3.0.12 cuts it off (CVE-2024-1019); and the path to those who take
/// what is behind two slashes (`//x/login`) for a host, as a part of a URL has it (RFC 3986 §4.2), or an escaped backslash for a slash.
const READINGS: &str = r#"SecRule REQUEST_URI_RAW "@rx (?i)^([^?]*%3f[^?]*)" "t:none,id:99097,phase:1,pass,nolog,capture,setvar:'tx.st_raw=%{tx.1}'"
SecRule TX:st_raw "@rx ^([\s\S]*)" "t:none,t:urlDecode,id:99098,phase:1,pass,nolog,capture,setvar:'tx.st_path=%{tx.1}'"
SecRule REQUEST_FILENAME|TX:st_path "@rx ^//+[^/]*([\s\S]*)" "t:none,id:99099,phase:1,pass,nolog,capture,setvar:'tx.st_other=/%{tx.1}'"
SecRule REQUEST_FILENAME|TX:st_path "@rx ^([^\x5c]*)\x5c([\s\S]*)" "t:none,id:99096,phase:1,pass,nolog,capture,setvar:'tx.st_other=%{tx.1}/%{tx.2}'"
"#;

/// A chain of rules for each place: the address, and where it is.
fn render(entries: &[Entry]) -> String {
    let mut text: String = entries.iter().map(hosted::record).collect();
    let placed = by_place(entries);
    if placed.keys().any(|p| p.path_pattern().is_some()) {
        text.push_str(READINGS);
    }
    for (n, (place, whos)) in placed.into_iter().enumerate() {
        let nets: Vec<String> = whos.into_iter().flat_map(spelled).collect();
        let mut rules = vec![format!("REMOTE_ADDR \"@ipMatch {}\"", nets.join(","))];
        rules.extend(place.method().map(|m| format!("REQUEST_METHOD \"@streq {m}\"")));
        rules.extend(place.host_field().map(|h| format!("REQUEST_HEADERS:Host \"@rx {h}\"")));
        rules.extend(
            place.path_pattern().map(|p| format!("REQUEST_FILENAME|TX:st_path|TX:st_other \"@rx {p}\"")),
        );
        let last = rules.len() - 1;
        for (i, rule) in rules.into_iter().enumerate() {
            let path = rule.starts_with("REQUEST_FILENAME");
            // ModSecurity has undone escapes already; to do so again would make a space of a `+`.
            let change = if path { "t:none,t:normalizePath" } else { "t:none" };
            let mut actions = vec![change.to_owned()];
            if i == 0 {
                let id = FIRST_RULE + n;
                actions.push(format!(
                    "id:{id},phase:1,deny,status:403,log,msg:'Refused by Sidetap',tag:'sidetap'"
                ));
            }
            if i < last {
                actions.push("chain".to_owned());
            }
            let actions = actions.join(",");
            text.push_str(&format!("SecRule {rule} \"{actions}\"\n"));
        }
    }
    text
}

/// A network as it stands in lists: one of IPv4 as IPv6 spells it too, since the server has it so from a socket or proxy of both families.
fn spelled(key: &Key) -> Vec<String> {
    let twin = key.net().and_then(|n| mapped(&n)).map(Key::Net);
    [Some(key.clone()), twin].into_iter().flatten().map(|k| k.to_string()).collect()
}

/// The lines of an entry: its mark, and below it what it is compared with.
fn lines(entry: &Entry) -> String {
    format!("# {}\n{}\n", hosted::mark_of(entry), spelled(&entry.key).join("\n"))
}

/// An own address stands under a comment with its mark, in all its spellings; a line of others under none.
fn read(text: &str) -> (Vec<Entry>, Vec<&str>) {
    let (mut entries, mut others) = (Vec::new(), Vec::new());
    let mut mark = None;
    for line in text.lines() {
        if mark.is_none() && is_twin(entries.last(), line) {
            continue;
        }
        match (mark.take(), hosted::cut(line)) {
            (_, Some(("", expires_at, verdict))) => mark = Some((expires_at, verdict)),
            (Some((expires_at, verdict)), _) => match line.trim().parse::<Key>() {
                Ok(key) => entries.push(Entry {
                    key,
                    response: Response::Block,
                    expires_at,
                    verdict,
                    priority: (0, 0),
                    way: None,
                }),
                Err(_) => others.push(line),
            },
            (None, _) => others.push(line),
        }
    }
    (entries, others)
}

/// Whether a line is the other spelling of the entry before it.
fn is_twin(before: Option<&Entry>, line: &str) -> bool {
    let twin = before.and_then(|e| mapped(&e.key.net()?));
    twin.is_some_and(|t| line.trim().parse::<Key>() == Ok(Key::Net(t)))
}

impl Connector for ModsecurityConnector {
    basics!("modsecurity", canary, interval);

    fn targets(&self) -> Vec<String> {
        files(std::iter::once(&self.config.data).chain(&self.config.places))
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let text = hosted::read(&self.config.data)?;
        let (entries, others) = read(&text);
        let aged = hosted::text(&others, &entries, lines) != text;
        let drift = hosted::is_untold(&self.config.data).then(|| UNTOLD.to_owned());
        let drift = drift.or(aged.then(|| self.config.data.display().to_string()));
        let foreign = hosted::count_foreign(&others);
        let mut observed =
            Observed { entries, foreign, drift: drift.into_iter().collect(), ..Observed::default() };
        if let Some(conditions) = self.conditions() {
            conditions.observe(&mut observed)?;
        }
        Ok(observed)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.data, plan)?;
        let old = hosted::read(&self.config.data)?;
        let (there, others) = read(&old);
        plan.check_unseen(&there, &self.config.data.display().to_string())?;
        // One line that is no address makes the whole configuration invalid.
        if let Some(bad) = others.iter().find(|l| !is_plain(l)) {
            let line = bad.chars().take(40).collect::<String>();
            return Err(ConnectorError::Missing(format!(
                "{}: `{line}` is no address",
                self.config.data.display()
            )));
        }
        let live: Vec<Entry> = plan.target.iter().filter(|e| e.expires_at > now).cloned().collect();
        let everywhere: Vec<Entry> = live.iter().filter(|e| e.key.net().is_some()).cloned().collect();
        let text = hosted::text(&others, &everywhere, lines);
        let mut files = vec![(self.config.data.clone(), text)];
        files.extend(self.conditions().map(|c| c.file(&live)));
        let server =
            Server { test: &self.config.test, reload: &self.config.reload, timeout_s: self.config.timeout_s };
        hosted::put(&files, plan, &server)?;
        Ok(turn.answer(format!("{} addresses, reloaded", live.len())))
    }
}

fn is_plain(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with('#')
        || line.parse::<Key>().is_ok_and(|k: Key| k.net().is_some_and(|n: IpNet| n == n.trunc()))
}
