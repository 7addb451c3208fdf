//! Files that a server on this machine reads: written whole, tested, and taken back where the server does not like them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::command;
use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::key::Key;
use crate::ledger::write_whole;

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

/// Writes files and has the server read them. What the server does not take is put back as it was.
///
/// A mark beside the first file stands while the server may not know yet, so that a crash in between is repaired.
pub(crate) fn put(files: &[(PathBuf, String)], server: &Server<'_>) -> Result<(), ConnectorError> {
    if server.reload.is_empty() {
        return write_all(files);
    }
    put_and(files, || tell(server))
}

/// The same where telling the server takes more than a command.
pub(crate) fn put_and(
    files: &[(PathBuf, String)],
    tell: impl FnOnce() -> Result<(), ConnectorError>,
) -> Result<(), ConnectorError> {
    let Some((first, _)) = files.first() else { return Ok(()) };
    let before: Vec<(&PathBuf, String)> =
        files.iter().map(|(p, _)| read(p).map(|t| (p, t))).collect::<Result<_, _>>()?;
    write(&marker(first), "the server was not told yet\n")?;
    let told = write_all(files).and_then(|()| tell());
    if let Err(e) = told {
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

fn tell(server: &Server<'_>) -> Result<(), ConnectorError> {
    for command in [server.test, server.reload] {
        if !command.is_empty() {
            command::run(command, &[], b"", server.timeout_s)?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), ConnectorError> {
    write_whole(path, text.as_bytes())
        .map_err(|e| ConnectorError::Unreachable(format!("{}: {e}", path.display())))
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

fn entry(line: &str) -> Option<Entry> {
    let (body, expires_at, verdict) = cut(line)?;
    let (key, value) = body.trim_end_matches(';').split_once(' ')?;
    let (key, response) = (key.parse::<Key>().ok()?, value.parse().ok()?);
    Some(Entry { key, response, expires_at, verdict, priority: (0, 0) })
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
        ] {
            let entry = at(line);
            let end = if line.contains(';') { ";" } else { "" };
            assert_eq!(format!("{} {}{end} # {}", entry.key, entry.response, mark_of(&entry)), line);
        }
        let (entries, others) = lines("# mine\n10.0.0.0/8 block;\n1.2.3 block; # sidetap:17:v\n");
        assert!(entries.is_empty());
        assert_eq!((others.len(), count_foreign(&others)), (3, 2));
    }

    #[test]
    fn what_a_server_does_not_take_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (yes, no) = (words("true"), words("false"));
        let server = |test, reload| Server { test, reload, timeout_s: 5 };
        put(&[(path.clone(), "a".into())], &server(&yes, &yes)).unwrap();
        assert!(put(&[(path.clone(), "b".into())], &server(&no, &yes)).is_err());
        assert_eq!(
            (read(&path).unwrap().as_str(), is_untold(&path)),
            ("a", true),
            "told again at the next reconcile"
        );
        assert!(put(&[(path.clone(), "b".into())], &server(&yes, &no)).is_err());
        assert_eq!(read(&path).unwrap(), "a");
        put(&[(path.clone(), "b".into())], &server(&yes, &yes)).unwrap();
        assert_eq!((read(&path).unwrap().as_str(), is_untold(&path)), ("b", false));
    }
}
