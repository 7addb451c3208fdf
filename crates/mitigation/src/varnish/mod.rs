//! Varnish: an access list in VCL, compiled and put in use by `varnishadm`.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use sidetap_policy::Response;

use crate::canary::Canary;
use crate::command;
use crate::config::{ConfigError, server_config};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{Entry, Places, Sees};
use crate::hosted::{self, Conditions, UNTOLD};
use crate::included::{self, Known};
use crate::key::Key;
use crate::place::{by_place, is_plain};
use crate::plan::Plan;
use crate::turn::turn;

server_config! {
    /// A cache: `[[mitigation.varnish]]`.
    VarnishConfig("varnish", capacity: 5_000, interval_s: 5, timeout_s: 60) {
        /// The file with the access list, which the configuration includes.
        acl: PathBuf,
        /// The file with `sub sidetap_here`, which the configuration includes and calls: responses to hosts and endpoints.
        #[serde(default)]
        places: Option<PathBuf>,
        /// The name of the access list; `sub LIST_here` is that of the conditions. A second Sidetap of one Varnish needs another.
        #[serde(default = "default_list")]
        list: String,
        /// The configuration that is loaded.
        vcl: PathBuf,
        /// The command that is `varnishadm` there.
        #[serde(default = "default_command")]
        command: Vec<String>,
    }
}

fn default_list() -> String {
    "sidetap".to_owned()
}

fn default_command() -> Vec<String> {
    vec!["varnishadm".to_owned()]
}

/// The connector to a cache.
#[derive(Debug)]
pub struct VarnishConnector {
    config: VarnishConfig,
    tables: Option<bool>,
    /// Whether it did not answer since it was last observed: it is not asked again before the next time.
    away: Cell<bool>,
    included: Known,
    canary: Option<Canary>,
    sees: Sees,
}

impl VarnishConnector {
    /// The connector of this configuration.
    pub fn new(config: VarnishConfig) -> Result<Self, ConfigError> {
        let canary = config.checked(!config.command.is_empty(), "command")?;
        let first = config.list.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        if !first || config.list.bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'_') {
            let why = "list: letters, digits and `_`, the first a letter";
            return Err(ConfigError::Value(format!("{}: {why}", config.name)));
        }
        let sees = Sees {
            address: config.address,
            open_connections: "the next request on it is refused",
            delay: "about a second: the configuration is compiled",
            places: if config.places.is_some() { Places::Yes } else { Places::No },
            cannot: "its access lists hold addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        Ok(VarnishConnector {
            config,
            tables: None,
            away: Cell::new(false),
            included: Known::default(),
            canary,
            sees,
        })
    }

    fn conditions(&mut self) -> Option<Conditions<'_, impl Fn(&[Entry]) -> String>> {
        let table = if self.has_tables() { TABLE } else { "" };
        let VarnishConfig { places, list, .. } = &self.config;
        let render = move |entries: &[Entry]| render(entries, list, table);
        places.as_deref().map(|path| Conditions { path, render })
    }

    /// Whether this Varnish makes tables of access lists, as 7 and later do: code of a long one takes minutes to compile.
    fn has_tables(&mut self) -> bool {
        if let Some(known) = self.tables {
            return known;
        }
        let Ok(banner) = self.ask_shortly(&["banner"]) else {
            return hosted::read(&self.config.acl).is_ok_and(|text| text.contains(TABLE));
        };
        let version = banner.split("varnish-").nth(1).unwrap_or_default();
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        let has = digits.parse::<u32>().is_ok_and(|n| n >= 7);
        self.tables = Some(has);
        has
    }

    /// `varnishadm` waits for so many seconds, also for a Varnish that is not there; by itself for five. It may then end as if all were well.
    fn adm(&self, args: &[&str], limit_s: u64) -> Result<String, ConnectorError> {
        if self.away.get() {
            return Err(ConnectorError::Unreachable("it did not answer just now".to_owned()));
        }
        let limit = limit_s.to_string();
        let all: Vec<&str> = ["-t", limit.as_str()].iter().chain(args).copied().collect();
        // It says itself why it waited in vain.
        let said = command::read(&self.config.command, &all, b"", limit_s.saturating_add(2));
        let is_gone = match &said {
            Err(ConnectorError::Refused { answer, .. }) => GONE.iter().any(|g| answer.contains(g)),
            Err(ConnectorError::Unreachable(_)) => true,
            _ => false,
        };
        if is_gone {
            self.away.set(true);
        }
        said
    }

    fn ask_shortly(&self, args: &[&str]) -> Result<String, ConnectorError> {
        self.adm(args, self.config.timeout_s.min(SHORT_S))
    }

    /// Names of configurations of ours with whether each is in use. It knows at once, unless its compiler is at work, which is waited for; one
    /// that is not there is not.
    fn loaded(&self) -> Result<Vec<(String, bool)>, ConnectorError> {
        let said = self.ask_shortly(&["vcl.list"]);
        let is_late = said.as_ref().map_or(true, |text| text.trim().is_empty());
        let said = match is_late && !self.away.get() && self.config.timeout_s > SHORT_S {
            true => self.adm(&["vcl.list"], self.config.timeout_s),
            false => said,
        };
        said.map(|text| Self::listed(&text))
    }

    fn listed(text: &str) -> Vec<(String, bool)> {
        let mut loaded = Vec::new();
        for line in text.lines() {
            let name = line.split_whitespace().find(|w| w.starts_with(PREFIX));
            loaded.extend(name.map(|n| (n.to_owned(), line.starts_with("active"))));
        }
        loaded
    }

    /// Whether what is in force is what the files hold, as far as Varnish was told. After a restart it has the configuration that it was
    /// started with, which may be of any age.
    fn is_told(&self, loaded: &[(String, bool)]) -> bool {
        !hosted::is_untold(&self.config.acl) && loaded.iter().any(|(_, active)| *active)
    }

    /// What the files hold.
    fn held(&mut self, is_told: bool) -> Result<Observed, ConnectorError> {
        let text = hosted::read(&self.config.acl)?;
        let (entries, others) = read(&text);
        let mut observed =
            Observed { entries, foreign: hosted::count_foreign(&others), ..Observed::default() };
        if let Some(conditions) = self.conditions() {
            conditions.observe(&mut observed)?;
        }
        if !is_told {
            observed.drift.push(UNTOLD.to_owned());
        }
        Ok(observed)
    }

    /// Has Varnish compile the configuration under a new name, put it in use, and throw the old ones of ours away.
    ///
    /// Another Sidetap of this Varnish waits meanwhile: what it compiled before our change must not be put in use after it.
    fn load(&self, plan: &Plan, now: i64) -> Result<(), ConnectorError> {
        let _turn = turn(&self.config.vcl, plan)?;
        let before = self.loaded()?;
        let name =
            (0..).map(|n| format!("{PREFIX}{now}_{n}")).find(|n| before.iter().all(|(old, _)| old != n));
        let name = name.unwrap_or_default();
        if let Err(e) = self.put_in_use(&name, plan) {
            let _ = self.ask_shortly(&["vcl.discard", &name]);
            return Err(e);
        }
        // One that still serves a request cannot be discarded; the next change tries again.
        before.iter().for_each(|(old, _)| drop(self.ask_shortly(&["vcl.discard", old])));
        Ok(())
    }

    /// Refuses files that are no part of this configuration.
    fn check_included(&self, name: &str) -> Result<(), ConnectorError> {
        let VarnishConfig { acl, places, command, .. } = &self.config;
        let files: Vec<&Path> = std::iter::once(acl).chain(places).map(PathBuf::as_path).collect();
        match self.ask_shortly(&["vcl.show", "-v", name]) {
            Ok(said) => included::by_varnish(&said, &files, command),
            Err(_) => Ok(()),
        }
    }

    /// No word of `varnishadm` counts for a yes, since it has none where it waited in vain: what Varnish lists does.
    fn put_in_use(&self, name: &str, plan: &Plan) -> Result<(), ConnectorError> {
        let find =
            || self.loaded().map(|all| all.into_iter().find(|(n, _)| n == name).map(|(_, active)| active));
        let load = ["vcl.load", name, &self.config.vcl.display().to_string()];
        let late = match self.adm(&load, self.config.timeout_s) {
            Err(e @ ConnectorError::Refused { .. }) => return Err(e),
            Err(e) => e,
            Ok(_) => ConnectorError::Timeout(self.config.timeout_s),
        };
        if find()?.is_none() {
            return Err(late);
        }
        // What lets go is done whatever the configuration has.
        if !plan.lets_go() {
            self.check_included(name)?;
        }
        self.adm(&["vcl.use", name], self.config.timeout_s)?;
        match find()? {
            Some(true) => Ok(()),
            _ => Err(ConnectorError::Timeout(self.config.timeout_s)),
        }
    }
}

/// For how long a Varnish is asked that need not compile anything for its answer.
const SHORT_S: u64 = 5;
/// What `varnishadm` says where there is none.
const GONE: [&str; 2] = ["is it running?", "Connection failed"];

/// What names of configurations of ours begin with.
const PREFIX: &str = "sidetap_";

/// The access list: own lines, and those of others as they are.
fn read(text: &str) -> (Vec<Entry>, Vec<&str>) {
    let (mut entries, mut others) = (Vec::new(), Vec::new());
    for line in text.lines().filter_map(inner) {
        let own = hosted::cut(line).and_then(|(body, expires_at, verdict)| {
            let key = body.trim_end_matches(';').replace('"', "").parse().ok()?;
            Some(Entry { key, response: Response::Block, expires_at, verdict, priority: (0, 0), way: None })
        });
        match own {
            Some(entry) => entries.push(entry),
            None => others.push(line),
        }
    }
    (entries, others)
}

/// What of a line stands within the braces of the list, which may be on a line of their own or not (`acl sidetap { }`); none where
/// nothing does.
fn inner(line: &str) -> Option<&str> {
    let text = line.trim();
    let is_comment = |text: &str| text.starts_with('#') || text.starts_with("//");
    let (framed, rest) = match text.strip_prefix("acl ") {
        Some(rest) => (true, rest.split_once('{').map_or("", |(_, rest)| rest.trim())),
        None => (false, text.strip_prefix(['{', '}']).map_or(text, str::trim)),
    };
    match rest
        .strip_suffix('}')
        .filter(|_| !is_comment(rest) && !rest.contains("; #") && !rest.contains("; //"))
    {
        Some(within) => Some(within.trim()).filter(|w| !w.is_empty()),
        None if framed || rest.len() < text.len() => Some(rest).filter(|r| !r.is_empty()),
        None => Some(line),
    }
}

/// How an access list is made a table.
const TABLE: &str = "+table ";

fn line(entry: &Entry) -> String {
    let net = entry.key.net().unwrap_or_default();
    format!("    \"{}\"/{}; # {}\n", net.addr(), net.prefix_len(), hosted::mark_of(entry))
}

/// An access list for each place, and the subroutine that asks them.
fn render(entries: &[Entry], list: &str, table: &str) -> String {
    let mut text: String = entries.iter().map(hosted::record).collect();
    let mut sub = String::new();
    for (n, (place, whos)) in by_place(entries).into_iter().enumerate() {
        let nets = whos.into_iter().filter_map(Key::net);
        let lines: String = nets.map(|n| format!("    \"{}\"/{};\n", n.addr(), n.prefix_len())).collect();
        text.push_str(&format!("acl {list}_at_{n} {table}{{\n{lines}}}\n"));
        let mut all = vec![format!("std.ip(req.http.X-Sidetap-Client, client.ip) ~ {list}_at_{n}")];
        all.extend(place.method().map(|m| format!("req.method == \"{m}\"")));
        // Of a target that names a host Varnish takes `http` for one, and hands on any other as it came: who sends it may be at any host.
        all.extend(
            place.host_field().map(|h| format!("(req.http.Host ~ \"{h}\" || req.url !~ \"{TARGET}\")")),
        );
        // Whoever steps up further than is followed, or above the root, may be anywhere.
        all.extend(place.path_pattern().map(|p| {
            let any = [PATH, OTHER].map(|path| format!("{path} ~ \"{p}\"")).join(" || ");
            format!("({any} || {PATH} ~ \"/\\.\\.(/|$)\")")
        }));
        sub.push_str(&format!("    if ({}) {{\n        return (synth(403));\n    }}\n", all.join(" && ")));
    }
    if !sub.is_empty() {
        sub = format!("{}{sub}    unset {PATH};\n    unset {OTHER};\n", path_as_read());
    }
    format!("{text}sub {list}_here {{\n{sub}}}\n")
}

/// The path as most read it, and as those read it who take what is behind two slashes for a host.
const PATH: &str = "req.http.X-Sidetap-Path";
const OTHER: &str = "req.http.X-Sidetap-Other";

/// Statements that take the path as applications read it: without its query, escapes of what needs none undone, slashes and dots as they are
/// meant.
fn path_as_read() -> String {
    let set = |of: &str| format!("set {PATH} = {of};\n");
    let undo = |b: u8| {
        let (byte, c) = (format!("%{b:02x}"), char::from(b));
        format!("        {}", set(&format!("regsuball({PATH}, \"(?i){byte}\", \"{c}\")")))
    };
    let escapes: String = (b'!'..=b'~').filter(|b| is_plain(*b) || b"/;".contains(b)).map(undo).collect();
    let step =
        |from: &str, to: &str| format!("    {}", set(&format!("regsuball({PATH}, \"{from}\", \"{to}\")")));
    // Parameters of parts that are nothing else, or dots (`/;x/`, `/..;y/`).
    let parameters =
        format!("        {}", set(&format!("regsuball({PATH}, \"(/\\.?\\.?)\\x3b[^/]*\", \"\\1\")")));
    // What is read in more than one way: an escaped slash in a parameter (`/login;a%2fb`: some take parameters off before they undo escapes,
    // others after it), backslashes, and a step up beside what is a part of a path to some and none to others (`/x/;/../login`,
    // `/login//..`), and targets that are no path. Whoever sends one may be anywhere, as who steps up too far.
    let odd = format!(
        "    if ({PATH} !~ \"{TARGET}\" || {PATH} ~ \"{ODD}\" || ({PATH} ~ \"{UP}\" && {PATH} ~ \"{EITHER}\")) {{\n        {}    }}\n",
        set("\"/..\"")
    );
    let host =
        format!("    unset {OTHER};\n    if ({PATH} ~ \"^//\") {{\n        set {OTHER} = \"//\";\n    }}\n");
    // No step up is in one that begins with two slashes.
    let behind =
        format!("    if ({OTHER}) {{\n        set {OTHER} = regsub({PATH}, \"^/[^/]*/?\", \"/\");\n    }}\n");
    let up = format!("        {}", set(&format!("regsub({PATH}, \"/[^/]+/\\.\\.(/|$)\", \"/\")")));
    format!(
        "    {}{host}{odd}    if ({PATH} ~ \"%\") {{\n{escapes}    }}\n    if ({PATH} ~ \"/\\.?\\.?\\x3b\") {{\n{parameters}    }}\n{}{}    if ({PATH} ~ \"/\\.\\.(/|$)\") {{\n{}    }}\n{behind}",
        set("regsub(req.url, \"[?].*$\", \"\")"),
        step("//+", "/"),
        step("(/\\.)+(/|$)", "/"),
        up.repeat(UPS),
    )
}

/// What targets of requests for a site look like.
const TARGET: &str = r"^(/|\*$)";
/// Backslashes, what is no part of a path to some, and an escaped slash in a parameter or in what is a host to some.
const ODD: &str = r"(?i)\x5c|%5c|\x23|\x3b[^/\x3b]*%(25)*2f|^//+[^/]*%2f";
/// A step up.
const UP: &str = r"(?i)(/|%2f)(\.|%2e)(\.|%2e)(/|\x3b|%2f|%3b|$)";
/// What is a part of a path to some, or makes one, and to others not.
const EITHER: &str = r"(?i)\x3b|%3b|%2f|//";

/// Steps up (`..`) in one path that are followed.
const UPS: usize = 8;

impl Connector for VarnishConnector {
    basics!("varnish", canary, interval);

    fn targets(&self) -> Vec<String> {
        files(std::iter::once(&self.config.acl).chain(&self.config.places))
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        self.away.set(false);
        included::have_a_directory([self.config.acl.as_path()])?;
        let loaded = self.loaded()?;
        if let Some((name, _)) = loaded.iter().find(|(_, active)| *active) {
            let mut included = self.included;
            let asked = included.unless(|| self.check_included(name));
            self.included = included;
            asked?;
        }
        self.held(self.is_told(&loaded))
    }

    fn observe_anyway(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        self.away.set(false);
        let said = self.ask_shortly(&["vcl.list"]);
        self.held(said.is_ok_and(|text| self.is_told(&Self::listed(&text))))
    }

    fn observe_unheard(&mut self) -> Option<Observed> {
        self.held(false).ok()
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.acl, plan)?;
        let old = hosted::read(&self.config.acl)?;
        let (there, others) = read(&old);
        plan.check_unseen(&there, &self.config.acl.display().to_string())?;
        let live: Vec<Entry> = plan.target.iter().filter(|e| e.expires_at > now).cloned().collect();
        let table = if self.has_tables() { TABLE } else { "" };
        let everywhere: Vec<Entry> = live.iter().filter(|e| e.key.net().is_some()).cloned().collect();
        let inner = hosted::text(&others, &everywhere, line);
        let mut files =
            vec![(self.config.acl.clone(), format!("acl {} {table}{{\n{inner}}}\n", self.config.list))];
        files.extend(self.conditions().map(|c| c.file(&live)));
        hosted::put_and(&files, plan, || self.load(plan, now))?;
        Ok(turn.answer(format!("{} addresses, compiled", live.len())))
    }
}
