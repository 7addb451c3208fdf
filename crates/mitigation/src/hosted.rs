//! Files that a server on this machine reads: written whole, tested, and taken back where the server does not like them, but for what lets
//! go, which stays: a server that is down would have it in force again when it is started.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sidetap_policy::Response;

use crate::command;
use crate::connector::{ConnectorError, Observed};
use crate::entry::Entry;
use crate::ledger::{is_full, write_over, write_whole};
use crate::place::Spread;
use crate::plan::Plan;
use crate::way::{read_spelled, spelled};

/// What the comment of every line of ours begins with.
pub(crate) const MARK: &str = "sidetap:";

/// What is said where a file was changed and the server was not told.
pub(crate) const UNTOLD: &str = "reload";

/// How a server is told that its files changed.
#[derive(Clone, Debug)]
pub(crate) struct Server<'a> {
    /// Says by its exit status whether the server would take the files; empty where there is nothing to ask.
    pub(crate) test: &'a [String],
    /// Has the server read them; empty where it does so by itself.
    pub(crate) reload: &'a [String],
    pub(crate) timeout_s: u64,
}

/// A file's text; nothing where there is no file.
pub(crate) fn read(path: &Path) -> Result<String, ConnectorError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(ConnectorError::Unreachable(format!("{}: {e}", path.display()))),
    }
}

/// Whether the server was not told of the last change: a crash, or a reload that failed.
pub(crate) fn is_untold(path: &Path) -> bool {
    marker(path).exists()
}

/// Writes files and has the server read them. What the server does not take is put back as it was, unless the plan only lets go.
///
/// A mark beside the first file stands while the server may not know yet, so that a crash in between is repaired.
pub(crate) fn put(
    files: &[(PathBuf, String)],
    plan: &Plan,
    server: &Server<'_>,
) -> Result<(), ConnectorError> {
    put_checked(files, plan, server, || Ok(()))
}

/// The same where a server that takes the files is looked at before it is told: whether it reads them at all.
pub(crate) fn put_checked(
    files: &[(PathBuf, String)],
    plan: &Plan,
    server: &Server<'_>,
    check: impl FnOnce() -> Result<(), ConnectorError>,
) -> Result<(), ConnectorError> {
    if server.reload.is_empty() {
        return write_all(files);
    }
    put_and(files, plan, || tell(server, check))
}

/// The same where telling the server takes more than a command.
pub(crate) fn put_and(
    files: &[(PathBuf, String)],
    plan: &Plan,
    tell: impl FnOnce() -> Result<(), ConnectorError>,
) -> Result<(), ConnectorError> {
    let Some((first, _)) = files.first() else { return Ok(()) };
    let before: Vec<(&PathBuf, String)> =
        files.iter().map(|(p, _)| read(p).map(|t| (p, t))).collect::<Result<_, _>>()?;
    match write_whole(&marker(first), b"the server was not told yet\n") {
        // Nothing that takes room could be written after it either; what lets go needs none.
        Err(e) if !is_full(&e) => {
            return Err(ConnectorError::Unreachable(format!("{}: {e}", marker(first).display())));
        }
        _ => {}
    }
    let written = write_all(files);
    let is_written = written.is_ok();
    if let Err(e) = written.and_then(|()| tell()) {
        if is_written && plan.lets_go() {
            return Err(ConnectorError::Untold(e.to_string()));
        }
        for (path, text) in before {
            write(path, &text)?;
        }
        return Err(e);
    }
    match std::fs::remove_file(marker(first)) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(ConnectorError::Unreachable(format!("{}: {e}", marker(first).display())))
        }
        _ => Ok(()),
    }
}

fn write_all(files: &[(PathBuf, String)]) -> Result<(), ConnectorError> {
    files.iter().try_for_each(|(path, text)| write(path, text))
}

fn tell(
    server: &Server<'_>,
    check: impl FnOnce() -> Result<(), ConnectorError>,
) -> Result<(), ConnectorError> {
    let run = |command: &[String]| match command.is_empty() {
        true => Ok(()),
        false => command::run(command, &[], b"", server.timeout_s).map(|_| ()),
    };
    run(server.test)?;
    check()?;
    run(server.reload)
}

/// Writes a file whole; where there is no room, and it becomes no longer, over what it is: what lets go has to.
fn write(path: &Path, text: &str) -> Result<(), ConnectorError> {
    let written = write_whole(path, text.as_bytes());
    let written =
        written.or_else(|e| if is_full(&e) { write_over(path, text).map_err(|_| e) } else { Err(e) });
    written.map_err(|e| ConnectorError::Unreachable(format!("{}: {e}", path.display())))
}

fn marker(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".untold");
    path.with_file_name(name)
}

/// What a comment or a value of ours is: `sidetap:END:VERDICT`.
pub(crate) fn mark_of(entry: &Entry) -> String {
    format!("{MARK}{}:{}", entry.expires_at, entry.verdict)
}

/// A line of ours: what stands before its mark, the end and the verdict.
pub(crate) fn cut(line: &str) -> Option<(&str, i64, String)> {
    let (body, mark) = line.rsplit_once(MARK)?;
    let (end, verdict) = mark.trim_end().split_once(':')?;
    Some((body.trim_end_matches([' ', '#']).trim_start(), end.parse().ok()?, verdict.to_owned()))
}

/// Lines `KEY VALUE` (`;` where the format has it): those of ours as entries, those of others as they are.
pub(crate) fn lines(text: &str) -> (Vec<Entry>, Vec<&str>) {
    let (mut entries, mut others) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match entry(line) {
            Some(entry) => entries.push(entry),
            None => others.push(line),
        }
    }
    (entries, others)
}

/// An entry for a place has its key behind the verdict: its lines are told apart by cells. Of several for one cell those that do
/// not count are comments.
fn entry(line: &str) -> Option<Entry> {
    let (body, expires_at, mark) = cut(line)?;
    let body = body.strip_prefix("# ").unwrap_or(body);
    let (key, value) = body.trim_end_matches(';').split_once(' ')?;
    let (verdict, key) = mark.split_once(' ').unwrap_or((&mark, key));
    let (response, way) = read_spelled(value)?;
    Some(Entry {
        key: key.parse().ok()?,
        response,
        expires_at,
        verdict: verdict.to_owned(),
        priority: (0, 0),
        way,
    })
}

/// The lines of entries that are no addresses, each `KEY RESPONSE` with `end`, for a server that looks keys up.
pub(crate) fn key_lines(spread: &Spread<'_, ()>, end: &str) -> String {
    let mut text = String::new();
    let mut last = "";
    for (key, entry, ()) in &spread.lines {
        let place = entry.key.who_and_place().1.map(|_| format!(" {}", entry.key)).unwrap_or_default();
        let off = if key == last { "# " } else { "" };
        let response = spelled(entry.response, entry.way.as_ref());
        text.push_str(&format!("{off}{key} {response}{end} # {}{place}\n", mark_of(entry)));
        last = key;
    }
    text
}

/// The comment that records an entry of a file of conditions.
pub(crate) fn record(entry: &Entry) -> String {
    format!("# {} {}\n", mark_of(entry), entry.key)
}

/// A file of conditions for entries that hold at places: it is made whole from them, each of which it records.
pub(crate) struct Conditions<'a, F> {
    pub(crate) path: &'a Path,
    pub(crate) render: F,
}

impl<F: Fn(&[Entry]) -> String> Conditions<'_, F> {
    /// The entries that it records, and whether it is as they need it.
    pub(crate) fn observe(&self, observed: &mut Observed) -> Result<(), ConnectorError> {
        let text = read(self.path)?;
        let recorded = |line: &str| {
            let (_, expires_at, mark) = cut(line)?;
            let (verdict, key) = mark.split_once(' ')?;
            let (key, verdict) = (key.parse().ok()?, verdict.to_owned());
            Some(Entry { key, response: Response::Block, expires_at, verdict, priority: (0, 0), way: None })
        };
        let entries: Vec<Entry> = text.lines().filter_map(recorded).collect();
        if (self.render)(&entries) != text {
            observed.drift.push(self.path.display().to_string());
        }
        observed.entries.extend(entries);
        Ok(())
    }

    /// The file for those of the entries that hold at places.
    pub(crate) fn file(&self, entries: &[Entry]) -> (PathBuf, String) {
        let placed: Vec<Entry> = entries.iter().filter(|e| e.key.net().is_none()).cloned().collect();
        (self.path.to_owned(), (self.render)(&placed))
    }
}

/// Entries that are told by a line each, and those of places, whose lines are several, once.
pub(crate) fn once(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    entries.retain(|e| e.key.who_and_place().1.is_none() || seen.insert(e.key.clone()));
    entries
}

/// The lines of others, as they are.
pub(crate) fn foreign_text(text: &str) -> String {
    lines(text).1.iter().map(|l| format!("{l}\n")).collect()
}

/// Whether a line of ours has one of others before it for the same key.
pub(crate) fn is_hidden(text: &str) -> bool {
    let mut foreign = BTreeSet::new();
    for line in text.lines() {
        let key = line.split_whitespace().next().unwrap_or_default();
        if key.starts_with('#') {
            continue;
        }
        if cut(line).is_none() {
            foreign.insert(key);
        } else if foreign.contains(key) {
            return true;
        }
    }
    false
}

/// How many lines of others say something.
pub(crate) fn count_foreign(others: &[&str]) -> usize {
    others.iter().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')).count()
}

/// The text of a file: lines of others first, then ours.
pub(crate) fn text(others: &[&str], entries: &[Entry], line: impl Fn(&Entry) -> String) -> String {
    let mut text: String = others.iter().map(|l| format!("{l}\n")).collect();
    entries.iter().for_each(|e| text.push_str(&line(e)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Entry {
        let (mut entries, _) = lines(text);
        entries.remove(0)
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        for line in [
            "192.0.2.0/24 block; # sidetap:17:v-1",
            "192.0.2.1|a1-0123456789abcdef rate-limit # sidetap:17:v:2",
            "192.0.2.2 tag=scraper/1; # sidetap:17:v",
        ] {
            let entry = at(line);
            let end = if line.contains(';') { ";" } else { "" };
            let response = spelled(entry.response, entry.way.as_ref());
            assert_eq!(format!("{} {response}{end} # {}", entry.key, mark_of(&entry)), line);
        }
        let (entries, others) = lines("# mine\n10.0.0.0/8 block;\n1.2.3 block; # sidetap:17:v\n");
        assert!(entries.is_empty());
        assert_eq!((others.len(), count_foreign(&others)), (3, 2));
    }

    #[test]
    fn what_a_server_does_not_take_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let plan = Plan::default();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (yes, no) = (words("true"), words("false"));
        let server = |test, reload| Server { test, reload, timeout_s: 5 };
        put(&[(path.clone(), "a".into())], &plan, &server(&yes, &yes)).unwrap();
        assert!(put(&[(path.clone(), "b".into())], &plan, &server(&no, &yes)).is_err());
        assert_eq!(
            (read(&path).unwrap().as_str(), is_untold(&path)),
            ("a", true),
            "told again at the next reconcile"
        );
        assert!(put(&[(path.clone(), "b".into())], &plan, &server(&yes, &no)).is_err());
        assert_eq!(read(&path).unwrap(), "a");
        put(&[(path.clone(), "b".into())], &plan, &server(&yes, &yes)).unwrap();
        assert_eq!((read(&path).unwrap().as_str(), is_untold(&path)), ("b", false));
    }

    #[test]
    fn what_lets_go_stays_out_whether_or_not_the_server_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let no = vec!["false".to_owned()];
        let server = Server { test: &no, reload: &no, timeout_s: 5 };
        let gone = Plan { remove: vec![at("192.0.2.1 block # sidetap:17:v")], ..Plan::default() };
        for plan in [Plan { insists: true, ..Plan::default() }, gone.clone()] {
            std::fs::write(&path, "a").unwrap();
            let told = put(&[(path.clone(), String::new())], &plan, &server);
            assert!(matches!(told, Err(ConnectorError::Untold(_))), "{told:?}");
            assert_eq!((read(&path).unwrap().as_str(), is_untold(&path)), ("", true));
        }
        let both = Plan { add: gone.remove.clone(), ..gone };
        assert!(put(&[(path.clone(), "b".into())], &both, &server).is_err());
        assert_eq!(read(&path).unwrap(), "");
    }
}
