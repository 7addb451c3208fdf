//! The folder that the script looks into: a file for each of whom something is known, named so that it is found by one look.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use sidetap_model::SubjectKind;

use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::hosted;
use crate::key::Key;

/// The file that says what kinds of names there are, so that the script looks for no others.
const FORMS: &str = "forms";
/// The file of networks that are never touched.
pub(super) const ALLOW: &str = "allow";
/// What the name of a file ends with that is being written.
const NEW: &str = ".new";
/// Seconds after which nobody is still writing it.
const LEFT_S: i64 = 60;

/// A folder of entries, with what was read of it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    known: BTreeMap<String, Known>,
}

/// A file as it was read last.
#[derive(Clone, Debug)]
struct Known {
    stamp: Stamp,
    entries: Vec<Entry>,
    /// Lines that are not ours.
    others: Vec<String>,
}

/// What tells one written file from the next: its number, its time and its length.
type Stamp = (u64, i64, i64, u64);

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Folder { path: path.to_owned(), known: BTreeMap::new() }
    }

    /// Reads what is there, as far as it changed since the last time; gives our entries and how many lines are of others.
    pub(super) fn read(&mut self) -> Result<(Vec<Entry>, usize), ConnectorError> {
        let mut now = BTreeMap::new();
        let files = std::fs::read_dir(&self.path).map_err(|e| self.broken(&e))?;
        for file in files {
            let file = file.map_err(|e| self.broken(&e))?;
            let Ok(name) = file.file_name().into_string() else { continue };
            if name == FORMS || name == ALLOW || name.ends_with(NEW) {
                continue;
            }
            let about = match file.metadata() {
                Ok(about) if about.is_file() => about,
                Ok(_) => continue,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(self.broken(&e)),
            };
            let stamp = (about.ino(), about.mtime(), about.mtime_nsec(), about.len());
            let known = match self.known.remove(&name).filter(|k| k.stamp == stamp) {
                Some(known) => known,
                None => parse(&name, stamp, &hosted::read(&file.path())?),
            };
            now.insert(name, known);
        }
        self.known = now;
        let entries = self.known.values().flat_map(|k| k.entries.iter().cloned()).collect();
        Ok((entries, self.known.values().map(|k| k.others.len()).sum()))
    }

    /// Whether the script looks for all names that there are.
    pub(super) fn forms_are_right(&self) -> Result<bool, ConnectorError> {
        let names = self.known.iter().filter(|(_, k)| !k.entries.is_empty() || !k.others.is_empty());
        Ok(hosted::read(&self.path.join(FORMS))? == forms(names.map(|(name, _)| name.as_str())))
    }

    /// Brings what is ours to these entries. A file is moved into place whole; those that come first, then what the script looks for,
    /// then those that go: after a crash in between the next reconcile makes the rest good.
    pub(super) fn write(&mut self, entries: &[Entry], now: i64) -> Result<(), ConnectorError> {
        self.read()?;
        self.sweep(now);
        let mut wanted: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            wanted.entry(name_of(entry.key.who_and_place().0)).or_default().push(entry);
        }
        let mut names: BTreeSet<&str> = wanted.keys().map(String::as_str).collect();
        let mut gone = Vec::new();
        for (name, known) in &self.known {
            match (wanted.contains_key(name), known.others.is_empty()) {
                (true, _) => {}
                (false, true) => gone.push(name.clone()),
                (false, false) => {
                    names.insert(name);
                    if !known.entries.is_empty() {
                        self.put(name, &text(&[], &known.others))?;
                    }
                }
            }
        }
        for (name, entries) in &wanted {
            let known = self.known.get(name);
            if !known.is_some_and(|k| says(&k.entries, entries)) {
                self.put(name, &text(entries, known.map_or(&[], |k| &k.others)))?;
            }
        }
        self.put_if_other(FORMS, &forms(names.into_iter()))?;
        for name in gone {
            match std::fs::remove_file(self.path.join(&name)) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(self.broken(&e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes away what somebody who was ended in the middle of writing left a minute ago or longer.
    fn sweep(&self, now: i64) {
        let files = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        for file in files.filter(|f| f.file_name().to_string_lossy().ends_with(NEW)) {
            if file.metadata().is_ok_and(|about| about.mtime() < now - LEFT_S) {
                let _ = std::fs::remove_file(file.path());
            }
        }
    }

    /// The text of a file of the folder.
    pub(super) fn text_of(&self, name: &str) -> Result<String, ConnectorError> {
        hosted::read(&self.path.join(name))
    }

    /// Writes a file of the folder where it is not as it should be.
    pub(super) fn put_if_other(&self, name: &str, text: &str) -> Result<(), ConnectorError> {
        if self.text_of(name)? == text { Ok(()) } else { self.put(name, text) }
    }

    /// Moves a file into place, readable for the server's workers. It is not waited for until the disk has it: what a power failure takes
    /// is told again.
    fn put(&self, name: &str, text: &str) -> Result<(), ConnectorError> {
        let new = self.path.join(format!("{name}.{}{NEW}", std::process::id()));
        let all = || {
            std::fs::write(&new, text)?;
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644))?;
            std::fs::rename(&new, self.path.join(name))
        };
        all().map_err(|e| self.broken(&e))
    }

    fn broken(&self, e: &std::io::Error) -> ConnectorError {
        ConnectorError::Unreachable(format!("{}: {e}", self.path.display()))
    }
}

/// A line of ours: what is done, until when, where, and what it is of.
fn line(entry: &Entry) -> String {
    let place = entry.key.who_and_place().1.map_or("-".to_owned(), |p| p.pattern());
    let verdict = if entry.verdict.is_empty() { "-" } else { &entry.verdict };
    format!("{} {} {place} {}{verdict} {}\n", entry.response, entry.expires_at, hosted::MARK, entry.key)
}

/// Whether what a file has of ours says just this.
fn says(there: &[Entry], wanted: &[&Entry]) -> bool {
    let parts = |e: &Entry| (e.response, e.expires_at);
    there.len() == wanted.len()
        && there
            .iter()
            .zip(wanted)
            .all(|(a, b)| parts(a) == parts(b) && a.verdict == b.verdict && a.key == b.key)
}

fn text(entries: &[&Entry], others: &[String]) -> String {
    let others = others.iter().map(|l| format!("{l}\n"));
    others.chain(entries.iter().map(|e| line(e))).collect()
}

fn parse(name: &str, stamp: Stamp, text: &str) -> Known {
    let mut known = Known { stamp, entries: Vec::new(), others: Vec::new() };
    for line in text.lines() {
        match entry(name, line) {
            Some(entry) => known.entries.push(entry),
            None => known.others.push(line.to_owned()),
        }
    }
    known
}

fn entry(name: &str, text: &str) -> Option<Entry> {
    let words: Vec<&str> = text.split(' ').collect();
    let [response, end, _, verdict, key] = words.as_slice() else { return None };
    let verdict = verdict.strip_prefix(hosted::MARK)?;
    let entry = Entry {
        key: key.parse().ok()?,
        response: response.parse().ok()?,
        expires_at: end.parse().ok()?,
        verdict: if verdict == "-" { String::new() } else { verdict.to_owned() },
        priority: (0, 0),
    };
    let ours = name_of(entry.key.who_and_place().0) == name && line(&entry).trim_end() == text;
    ours.then_some(entry)
}

/// The name of the file of somebody; the script makes the same of a request.
fn name_of(who: &Key) -> String {
    match who {
        Key::Net(net) => {
            let family = if net.addr().is_ipv4() { 4 } else { 6 };
            format!("{family}-{}-{}", net.prefix_len(), hex_of(net.network()))
        }
        Key::At(ip, other) => format!("{}+{}", hex_of(*ip), name_of(other)),
        Key::Print(print) => print.clone(),
        Key::Token(kind, hash) => {
            let kind = if *kind == SubjectKind::Session { "session" } else { "api-key" };
            format!("{kind}-{hash:016x}")
        }
        Key::Header(..) => {
            let digest = Sha256::digest(who.to_string().as_bytes());
            format!("header-{}", digest.iter().take(16).map(|b| format!("{b:02x}")).collect::<String>())
        }
        Key::Within(who, _) => name_of(who),
    }
}

fn hex_of(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What kinds these names are of: all before the last `-`, with a `+` for those at one address.
fn forms<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let form = |name: &'a str| {
        let (plus, rest) = name.split_once('+').map_or(("", name), |(_, rest)| ("+", rest));
        rest.rsplit_once('-').map(|(form, _)| (plus, form))
    };
    let all: BTreeSet<(&str, &str)> = names.filter_map(form).collect();
    let mut lines: Vec<String> = all.into_iter().map(|(plus, form)| format!("{plus}{form}\n")).collect();
    lines.sort_unstable();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use sidetap_policy::Response;

    use super::*;

    fn of(key: &str, response: Response) -> Entry {
        let key = key.parse().unwrap();
        Entry { key, response, expires_at: 77, verdict: "v-1".into(), priority: (0, 0) }
    }

    #[test]
    fn files_are_found_by_what_a_request_shows() {
        for (key, name) in [
            ("192.0.2.1", "4-32-c0000201"),
            ("198.51.100.0/24", "4-24-c6336400"),
            ("2001:db8::/32", "6-32-20010db8000000000000000000000000"),
            ("s2-0123456789abcdef", "s2-0123456789abcdef"),
            ("192.0.2.1|api-key:0123456789abcdef", "c0000201+api-key-0123456789abcdef"),
            ("session:00000000000000ff@GET,/x", "session-00000000000000ff"),
        ] {
            assert_eq!(name_of(&key.parse().unwrap()), name);
        }
        let long = format!("header:user-agent={}", "x".repeat(512));
        assert_eq!(name_of(&long.parse().unwrap()).len(), 39);
        let names = ["c0000201+a1-0", "4-32-c0000201", "api-key-1", "s2-2", "4-24-c6336400", "s2-3", "odd"];
        assert_eq!(forms(names.into_iter()), "+a1\n4-24\n4-32\napi-key\ns2\n");
    }

    #[test]
    fn entries_are_read_as_they_were_written_and_lines_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut folder = Folder::new(dir.path());
        let all = [
            of("192.0.2.1", Response::Block),
            of("192.0.2.1@POST,*.shop.example/api/*/items", Response::Tag),
            of("192.0.2.7|header:user-agent=a%20b", Response::Deceive),
        ];
        std::fs::write(at("4-32-c0000201"), "block 0 - by hand\n").unwrap();
        std::fs::write(at("4-32-c0000209"), "block\n").unwrap();
        folder.write(&all, 0).unwrap();
        let sorted = |mut entries: Vec<Entry>| {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            entries
        };
        let (entries, others) = folder.read().unwrap();
        assert_eq!((sorted(entries), others), (sorted(all.to_vec()), 2));
        assert!(folder.forms_are_right().unwrap());
        assert_eq!(std::fs::read_to_string(at("forms")).unwrap(), "+header\n4-32\n");

        // What nobody changed is not written again.
        let inode = |name: &str| std::fs::metadata(at(name)).unwrap().ino();
        let before = inode("4-32-c0000201");
        folder.write(&all, 0).unwrap();
        assert_eq!(inode("4-32-c0000201"), before);
        folder.write(&[], 0).unwrap();
        assert_eq!(folder.read().unwrap(), (Vec::new(), 2));
        assert_eq!(std::fs::read_to_string(at("4-32-c0000201")).unwrap(), "block 0 - by hand\n");
        std::fs::write(at("a1-0.77.new"), "half").unwrap();
        let later = std::fs::metadata(at("a1-0.77.new")).unwrap().mtime() + 2 * LEFT_S;
        folder.write(&[], later - 2 * LEFT_S).unwrap();
        assert!(at("a1-0.77.new").exists(), "somebody may be writing it");
        folder.write(&[], later).unwrap();
        assert!(!at("a1-0.77.new").exists());
        std::fs::write(at("forms"), "").unwrap();
        assert!(!folder.forms_are_right().unwrap(), "the script would not look for it");
    }
}
