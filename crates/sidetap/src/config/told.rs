//! The configuration file as it may be shown: without comments, and without what could be a secret.
//!
//! Credentials are named by file or variable, and those names stay. What is left is what a hand can write into a text that is not meant
//! for it: raw API keys of parties, arguments of programs, addresses of the web with a password or a token in them.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What stands in place of a secret.
const HIDDEN: &str = "•••";

/// Keys whose value is a program with its arguments.
const PROGRAMS: [&str; 3] = ["command", "reload", "test"];

/// Parts of names of keys whose value is a secret.
const SECRETS: [&str; 7] = ["secret", "token", "password", "passwd", "credential", "authorization", "cookie"];

/// Tables whose `keys` are raw ones, or hashes of them.
const PARTIES: [&str; 3] = ["partners", "monitors", "apps"];

/// A text that was read before, as it may be shown; none where it cannot be read.
pub(crate) fn told(text: &str) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut marks = Marks::default();
    marks.table(&mut Vec::new(), table.get_ref());
    Some(marks.written(text))
}

/// Where keys and values stand, and which of them are shown as something else.
#[derive(Default)]
struct Marks {
    plain: Vec<Range<usize>>,
    changed: Vec<(Range<usize>, String)>,
}

impl Marks {
    fn table<'a>(&mut self, path: &mut Vec<&'a str>, table: &'a DeTable<'a>) {
        for (key, value) in table {
            self.plain.push(key.span());
            path.push(key.get_ref());
            self.value(path, 0, value);
            path.pop();
        }
    }

    /// A value, which is the so-many-eth of a list where it is in one.
    fn value<'a>(&mut self, path: &mut Vec<&'a str>, at: usize, value: &'a Spanned<DeValue<'a>>) {
        match value.get_ref() {
            DeValue::String(text) => match shown(path, at, text) {
                None => self.plain.push(value.span()),
                Some(shown) => self.changed.push((value.span(), shown)),
            },
            DeValue::Array(all) => {
                for (at, one) in all.iter().enumerate() {
                    self.value(path, at, one);
                }
            }
            DeValue::Table(table) => self.table(path, table),
            // A number or a date where a secret is meant is one.
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) if is_secret(path) => {
                self.changed.push((value.span(), quoted(HIDDEN)));
            }
            _ => self.plain.push(value.span()),
        }
    }

    /// The text with what is changed, and without comments: they hold what was tried once.
    fn written(mut self, text: &str) -> String {
        self.changed.sort_by_key(|(range, _)| range.start);
        self.plain.sort_by_key(|range| range.start);
        let mut out = String::with_capacity(text.len());
        let (mut changed, mut plain) = (self.changed.into_iter().peekable(), self.plain.iter().peekable());
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
            while changed.next_if(|(range, _)| range.end <= at).is_some() {}
            while plain.next_if(|range| range.end <= at).is_some() {}
            if let Some((range, shown)) = changed.next_if(|(range, _)| range.start == at) {
                out.push_str(&shown);
                at = range.end;
                continue;
            }
            let inside = plain.peek().is_some_and(|range| range.contains(&at));
            let Some(next) = rest.chars().next() else { break };
            if next == '#' && !inside {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            out.push(next);
            at += next.len_utf8();
        }
        tidy(&out)
    }
}

/// Without the blank lines that comments leave.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = true;
    for line in text.lines().map(str::trim_end) {
        if !line.is_empty() || !blank {
            out.push_str(line);
            out.push('\n');
        }
        blank = line.is_empty();
    }
    out.truncate(out.trim_end().len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// What is shown in place of a text; none where it is shown itself.
fn shown(path: &[&str], at: usize, text: &str) -> Option<String> {
    let (key, table) = (path.last().copied()?, path.first().copied()?);
    let is_raw_key = PARTIES.contains(&table) && key == "keys";
    let is_argument = PROGRAMS.contains(&key) && (at > 0 || text.contains(char::is_whitespace));
    let is_place =
        path.iter().rev().nth(1).is_some_and(|parent| is_named(parent)) && matches!(key, "file" | "env");
    let is_credential = ["bearer ", "basic "].iter().any(|w| text.to_ascii_lowercase().starts_with(w));
    // A key in PEM stands on several lines.
    if is_raw_key || is_argument || is_credential || text.contains('\n') || (is_named(key) && !is_place) {
        return Some(quoted(HIDDEN));
    }
    let safe = address(text, table == "sso" || key == "licence_url")?;
    (safe != text).then(|| quoted(&safe))
}

pub(super) fn is_secret(path: &[&str]) -> bool {
    path.last().is_some_and(|key| is_named(key))
}

fn is_named(key: &str) -> bool {
    SECRETS.iter().any(|part| key.contains(part))
}

/// An address of the web without what can be a secret of it: user and password, query, and, but for `whole`, the path; none for another text.
fn address(text: &str, whole: bool) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, more) = rest.split_at(end);
    let host = match host.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => host.to_owned(),
    };
    let path = more.split(['?', '#']).next().unwrap_or_default();
    let shown = match path {
        "" | "/" => path.to_owned(),
        _ if whole => path.to_owned(),
        _ => format!("/{HIDDEN}"),
    };
    let query = if path.len() < more.len() { format!("?{HIDDEN}") } else { String::new() };
    Some(format!("{scheme}://{host}{shown}{query}"))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    /// Every place of the configuration that takes a text in which a hand can write a secret, each with one.
    const FULL: &str = r#"
# once: token = "S3CRET-comment"
[analysis]
hash_key = "/etc/sidetap/hash.key" # S3CRET-behind
[console]
listen = "127.0.0.1:8642"
[sso]
issuer = "https://user:S3CRET-sso@id.example/realms/soc?k=S3CRET-query"
client_id = "sidetap"
client_secret = { file = "/etc/sidetap/sso" }
url = "https://sidetap.example"
[intel]
registry = "https://u:S3CRET-npm@npm.example/S3CRET-path"
[[intel.source]]
name = "own"
url = ["https://lists.example/S3CRET-list?license_key=S3CRET-license"]
format = "networks"
licence = "own"
label = "bad"
weight = 0.5
expires = "7d"
[[partners]]
name = "shop"
keys = ["S3CRET-partner-key"]
header = "x-partner"
[[monitors]]
name = "probe"
keys = ["S3CRET-monitor-key"]
[[apps]]
name = "own"
keys = ["S3CRET-app-key"]
[[mitigation.webhook]]
url = "https://hooks.example/services/S3CRET-hook"
observe_url = "https://hooks.example/?token=S3CRET-observe"
secret = { env = "HOOK_SECRET" }
memory = "/var/lib/sidetap/webhook.json"
[[mitigation.exec]]
command = ["/usr/local/bin/act", "--key", "S3CRET-argument"]
memory = "/var/lib/sidetap/exec.json"
[[mitigation.nftables]]
command = ["ssh", "S3CRET-ssh@fw", "nft"]
[[mitigation.apache]]
map = "/etc/apache2/sidetap.map"
test = ["curl", "-uS3CRET-test:x", "http://127.0.0.1/"]
reload = ["env", "KEY=S3CRET-reload", "apachectl"]
[[mitigation.feed]]
path = "/var/lib/sidetap/feed.json"
token = { file = "/etc/sidetap/feed.token" }
[[mitigation.caddy]]
url = "http://127.0.0.1:2019"
path = "/apps/http"
memory = "/var/lib/sidetap/caddy.json"
address = "forwarded"
canary = { url = "http://edge.example/S3CRET-health" }
[[mitigation.alerts.sink]]
name = "chat"
kind = "webhook"
url = "https://hooks.example/T000/S3CRET-sink"
secret = { env = "SINK" }
[[mitigation.alerts.sink]]
name = "logs"
kind = "syslog"
url = "udp://logs.example:514"
"#;

    #[test]
    fn no_secret_is_told_and_what_is_none_is() {
        if let Err(e) = parse(Path::new("c.toml"), FULL) {
            panic!("{e}");
        }
        let told = told(FULL).unwrap();
        assert!(!told.contains("S3CRET"), "{told}");
        assert!(!told.contains("license_key"), "{told}");
        for kept in [
            "hash_key = \"/etc/sidetap/hash.key\"\n",
            "issuer = \"https://•••@id.example/realms/soc?•••\"",
            "client_secret = { file = \"/etc/sidetap/sso\" }",
            "secret = { env = \"HOOK_SECRET\" }",
            "command = [\"ssh\", \"•••\", \"•••\"]",
            "url = \"udp://logs.example:514\"",
            "url = \"https://hooks.example/•••\"",
            "registry = \"https://•••@npm.example/•••\"",
            "header = \"x-partner\"",
        ] {
            assert!(told.contains(kept), "{kept}: {told}");
        }
        toml::from_str::<toml::Table>(&told).unwrap();
    }

    #[test]
    fn a_credential_where_none_may_stand_is_hidden_whatever_it_is() {
        let text = "client_secret = 'a'\ntoken = 12345\nkey = \"\"\"\nBEGIN\n\"\"\"\nagent = \"Bearer abc\"\n[password]\nfile = \"/x\"\n\"a#b\" = \"c # d\"";
        let told = told(text).unwrap();
        assert_eq!(
            told,
            "client_secret = \"•••\"\ntoken = \"•••\"\nkey = \"•••\"\nagent = \"•••\"\n[password]\nfile = \"/x\"\n\"a#b\" = \"c # d\"\n"
        );
    }
}
