//! The folder that the script looks into: a file for each of whom something is known, named so that it is found by one look.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use sidetap_model::SubjectKind;

use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::hosted;
use crate::key::Key;
use crate::ledger::{is_full, write_over};
use crate::place::Place;
use crate::way::{read_spelled, spelled};

/// The file that says what kinds of names there are, so that the script looks for no others.
const FORMS: &str = "forms";
/// The file of networks that are never touched.
pub(super) const ALLOW: &str = "allow";
/// Kinds that are known by 64 bits.
const KINDS: [&str; 5] = ["a1", "d1", "s2", "session", "api-key"];
/// What the name of a file ends with that is being written.
const NEW: &str = ".new";
/// Seconds after which nobody is still writing it.
const LEFT_S: i64 = 60;

/// What the name of a file begins with that stands for a network that is never touched: one of Sidetap's is empty.
const FREE: &str = "allow-";

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
    /// Whether it is no text, or cannot be read: nothing of ours is in it, and it is left alone.
    odd: bool,
    /// Whether a line of ours is not as it is written now: an earlier Sidetap spelled places otherwise.
    aged: bool,
}

/// What tells one written file from the next: its number, its time and its length.
type Stamp = (u64, i64, i64, u64);

impl Known {
    fn is_of_others(&self) -> bool {
        self.odd || !self.others.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.is_of_others()
    }
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Folder { path: path.to_owned(), known: BTreeMap::new() }
    }

    /// Reads what is there, as far as it changed since the last time; gives our entries and how many lines are of others. Files that
    /// the script can never look for are none of its business; one that cannot be read is somebody else's.
    pub(super) fn read(&mut self) -> Result<(Vec<Entry>, usize), ConnectorError> {
        let mut now = BTreeMap::new();
        let files = std::fs::read_dir(&self.path).map_err(|e| self.broken(&e))?;
        for file in files {
            let file = file.map_err(|e| self.broken(&e))?;
            let Ok(name) = file.file_name().into_string() else { continue };
            if form_of(&name).is_none() {
                continue;
            }
            let Ok(about) = file.metadata() else { continue };
            if !about.is_file() {
                continue;
            }
            let stamp = (about.ino(), about.mtime(), about.mtime_nsec(), about.len());
            // What cannot be read may be made readable without another stamp.
            let known = match self.known.remove(&name).filter(|k| k.stamp == stamp && !k.odd) {
                Some(known) => known,
                None if about.len() == 0 => parse(&name, stamp, ""),
                None => match std::fs::read_to_string(file.path()) {
                    Ok(text) => parse(&name, stamp, &text),
                    Err(e) if e.kind() == ErrorKind::NotFound => continue,
                    Err(_) => {
                        Known { stamp, entries: Vec::new(), others: Vec::new(), odd: true, aged: false }
                    }
                },
            };
            now.insert(name, known);
        }
        self.known = now;
        let entries = self.known.values().flat_map(|k| k.entries.iter().cloned()).collect();
        Ok((entries, self.known.values().map(|k| k.others.len() + usize::from(k.odd)).sum()))
    }

    /// The networks of Sidetap's that are never touched, as they were read.
    pub(super) fn allow(&self) -> Vec<IpNet> {
        self.known.iter().filter(|(_, k)| k.is_empty()).filter_map(|(name, _)| free_net(name)).collect()
    }

    /// Whether the script looks for all names that there are, and compares places as they are now.
    pub(super) fn forms_are_right(&self) -> bool {
        if self.known.values().any(|k| k.aged) {
            return false;
        }
        let names = self.known.iter().filter(|(name, k)| !k.is_empty() || free_net(name).is_some());
        self.text_of(FORMS).unwrap_or_default() == forms(names.map(|(name, _)| name.as_str()))
    }

    /// Brings what is ours to these entries and these networks that are never touched.
    ///
    /// What goes, goes first, and whatever else fails: on a full disk too. Then come the networks, what the script looks for, and at
    /// last new entries, so that none is in force before what it must not touch is. A file is moved into place whole; after a crash or
    /// an error in between the next reconcile makes the rest good.
    pub(super) fn write(
        &mut self,
        entries: &[Entry],
        allow: &[IpNet],
        now: i64,
    ) -> Result<(), ConnectorError> {
        self.read()?;
        self.sweep(now);
        let mut wanted: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            wanted.entry(name_of(entry.key.who_and_place().0)).or_default().push(entry);
        }
        wanted.values_mut().for_each(|entries| entries.sort_by_key(|e| Reverse(narrowness(e))));
        let free: BTreeSet<String> = allow.iter().map(free_name).collect();
        let taken = self.take_away(&wanted);
        let ready = self.make_ready(&wanted, &free);
        let written = ready.and_then(|()| self.bring(&wanted));
        let left = self.known.iter().filter(|(name, k)| k.is_empty() && free_net(name).is_some());
        let bound = left.filter(|(name, _)| !free.contains(*name)).map(|(name, _)| self.remove(name));
        let bound = bound.fold(Ok(()), Result::and);
        taken.and(written).and(bound)
    }

    /// Takes all entries away that are no longer wanted; gives the first error after it has tried all.
    fn take_away(&self, wanted: &BTreeMap<String, Vec<&Entry>>) -> Result<(), ConnectorError> {
        let mut done = Ok(());
        for (name, known) in self.known.iter().filter(|(_, k)| !k.entries.is_empty()) {
            let all = wanted.get(name).map_or(&[][..], Vec::as_slice);
            let stay: Vec<&Entry> =
                known.entries.iter().filter(|e| all.iter().any(|w| w.key == e.key)).collect();
            done = done.and(
                match (stay.len() == known.entries.len(), stay.is_empty() && !known.is_of_others()) {
                    (true, _) => Ok(()),
                    (false, true) => self.remove(name),
                    (false, false) => self.put(name, &text(&stay, &known.others)),
                },
            );
        }
        done
    }

    /// Has the script look for all that is to be there, and never-block networks stand before entries do.
    fn make_ready(
        &self,
        wanted: &BTreeMap<String, Vec<&Entry>>,
        free: &BTreeSet<String>,
    ) -> Result<(), ConnectorError> {
        for name in free.iter().filter(|name| !self.known.contains_key(*name)) {
            self.put(name, "")?;
        }
        let of_others = self.known.iter().filter(|(_, k)| k.is_of_others()).map(|(name, _)| name);
        let names = wanted.keys().chain(free).chain(of_others);
        self.put_if_other(FORMS, &forms(names.map(String::as_str)))
    }

    /// Writes the entries that are not there as they should be; gives the first error after it has tried all.
    fn bring(&self, wanted: &BTreeMap<String, Vec<&Entry>>) -> Result<(), ConnectorError> {
        let mut done = Ok(());
        for (name, entries) in wanted {
            done = done.and(match self.known.get(name) {
                Some(known) if !known.aged && says(&known.entries, entries) => Ok(()),
                Some(known) if known.odd => Err(ConnectorError::Unreachable(format!(
                    "{}: somebody else's, and cannot be read",
                    self.path.join(name).display()
                ))),
                known => self.put(name, &text(entries, known.map_or(&[], |k| &k.others))),
            });
        }
        done
    }

    fn remove(&self, name: &str) -> Result<(), ConnectorError> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.broken(&e)),
            _ => Ok(()),
        }
    }

    /// Takes away what a Sidetap that was ended in the middle of writing left a minute ago or longer.
    fn sweep(&self, now: i64) {
        let files = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        for file in files.filter(|f| is_half(&f.file_name().to_string_lossy())) {
            if file.metadata().is_ok_and(|about| about.mtime() < now - LEFT_S) {
                let _ = std::fs::remove_file(file.path());
            }
        }
    }

    /// The text of a file of the folder, where there is one that can be read.
    pub(super) fn text_of(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path.join(name)).ok()
    }

    /// Writes a file of the folder where it is not as it should be.
    pub(super) fn put_if_other(&self, name: &str, text: &str) -> Result<(), ConnectorError> {
        if self.text_of(name).unwrap_or_default() == text { Ok(()) } else { self.put(name, text) }
    }

    /// Moves a file into place, readable for the server's workers. It is not waited for until the disk has it: what a power failure takes
    /// is told again. Where there is no room and it becomes no longer, it is written over.
    fn put(&self, name: &str, text: &str) -> Result<(), ConnectorError> {
        let (path, new) =
            (self.path.join(name), self.path.join(format!("{name}.{}{NEW}", std::process::id())));
        let all = || {
            std::fs::write(&new, text)?;
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644))?;
            std::fs::rename(&new, &path)
        };
        let Err(e) = all() else { return Ok(()) };
        let _ = std::fs::remove_file(&new);
        if is_full(&e) && write_over(&path, text).is_ok() { Ok(()) } else { Err(self.broken(&e)) }
    }

    fn broken(&self, e: &std::io::Error) -> ConnectorError {
        ConnectorError::Unreachable(format!("{}: {e}", self.path.display()))
    }
}

/// Of responses that are done as hard the script takes the first: narrower places come first.
fn narrowness(entry: &Entry) -> usize {
    entry.key.who_and_place().1.map_or(0, Place::narrowness)
}

/// A line of ours: what is done, until when, where, and what it is of.
fn line(entry: &Entry) -> String {
    let place = entry.key.who_and_place().1.map_or("-".to_owned(), |p| p.pattern());
    let verdict = if entry.verdict.is_empty() { "-" } else { &entry.verdict };
    let response = spelled(entry.response, entry.way.as_ref());
    format!("{response} {} {place} {}{verdict} {}\n", entry.expires_at, hosted::MARK, entry.key)
}

/// Whether what a file has of ours says just this.
fn says(there: &[Entry], wanted: &[&Entry]) -> bool {
    let parts = |e: &Entry| (e.response, e.expires_at, e.way.clone());
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
    let mut known = Known { stamp, entries: Vec::new(), others: Vec::new(), odd: false, aged: false };
    for line in text.lines() {
        match entry(name, line) {
            Some(entry) => {
                known.aged |= self::line(&entry).trim_end() != line;
                known.entries.push(entry);
            }
            None => known.others.push(line.to_owned()),
        }
    }
    known.aged |= !known.entries.is_sorted_by_key(|e| Reverse(narrowness(e)));
    known
}

fn entry(name: &str, text: &str) -> Option<Entry> {
    let words: Vec<&str> = text.split(' ').collect();
    let [response, end, _, verdict, key] = words.as_slice() else { return None };
    let verdict = verdict.strip_prefix(hosted::MARK)?;
    let (response, way) = read_spelled(response)?;
    let entry = Entry {
        key: key.parse().ok()?,
        response,
        expires_at: end.parse().ok()?,
        verdict: if verdict == "-" { String::new() } else { verdict.to_owned() },
        priority: (0, 0),
        way,
    };
    (name_of(entry.key.who_and_place().0) == name).then_some(entry)
}

/// The name of the file of somebody; the script makes the same of a request.
fn name_of(who: &Key) -> String {
    match who {
        Key::Net(net) => net_name(net),
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

fn net_name(net: &IpNet) -> String {
    let family = if net.addr().is_ipv4() { 4 } else { 6 };
    format!("{family}-{}-{}", net.prefix_len(), hex_of(net.network()))
}

/// The name of the file that stands for a network that is never touched.
fn free_name(net: &IpNet) -> String {
    format!("{FREE}{}", net_name(net))
}

/// The network that is never touched of a file of this name.
fn free_net(name: &str) -> Option<IpNet> {
    let (form, hex) = name.strip_prefix(FREE)?.rsplit_once('-')?;
    let (family, prefix) = form.split_once('-')?;
    let ip = match family {
        "4" => IpAddr::from(u32::from_str_radix(hex, 16).ok()?.to_be_bytes()),
        _ => IpAddr::from(u128::from_str_radix(hex, 16).ok()?.to_be_bytes()),
    };
    let net = IpNet::new(ip, prefix.parse().ok()?).ok()?;
    (free_name(&net) == name).then_some(net)
}

fn hex_of(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What kinds these names are of.
fn forms<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: BTreeSet<String> = names.filter_map(form_of).collect();
    all.iter().map(|form| format!("{form}\n")).collect()
}

/// The kind that a name is of: all before the last `-`, with a `+` for those at one address. None of a name that the script never
/// looks for.
fn form_of(name: &str) -> Option<String> {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if name.starts_with(FREE) {
        free_net(name)?;
        return name.rsplit_once('-').map(|(form, _)| form.to_owned());
    }
    let (at, rest) = name.split_once('+').map_or(("", name), |(at, rest)| (at, rest));
    let (form, hex) = rest.rsplit_once('-')?;
    let length = match form.split_once('-') {
        Some(("4", bits)) if at.is_empty() && is_prefix(bits, 32) => 8,
        Some(("6", bits)) if at.is_empty() && is_prefix(bits, 128) => 32,
        _ if form == "header" => 32,
        _ if KINDS.contains(&form) => 16,
        _ => return None,
    };
    let here = matches!(at.len(), 0 | 8 | 32) && is_hex(at) && hex.len() == length && is_hex(hex);
    here.then(|| format!("{}{form}", if at.is_empty() && !name.starts_with('+') { "" } else { "+" }))
}

fn is_prefix(bits: &str, most: u8) -> bool {
    bits.parse().is_ok_and(|n: u8| n <= most && n.to_string() == bits)
}

/// Whether a file of this name is one of Sidetap's that was not moved into place.
fn is_half(name: &str) -> bool {
    let whole = name.strip_suffix(NEW).and_then(|name| name.rsplit_once('.'));
    whole.is_some_and(|(name, pid)| {
        (name == FORMS || name == ALLOW || form_of(name).is_some()) && pid.parse::<u32>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use sidetap_policy::Response;

    use super::*;

    fn of(key: &str, response: Response) -> Entry {
        let key = key.parse().unwrap();
        Entry { key, response, expires_at: 77, verdict: "v-1".into(), priority: (0, 0), way: None }
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
        let of = |form: &str| format!("{form}-0123456789abcdef");
        let names =
            [of("c0000201+a1"), "4-32-c0000201".into(), of("api-key"), of("s2"), "4-24-c6336400".into()];
        let none = ["odd", "__proto__-1", "4-33-c0000201", "4-032-c0000201", "4-32-c00002", "4-32-C0000201"];
        let swap = [
            ".4-32-c0000201.swp",
            "4-32-c0000201~",
            "+",
            "-",
            "",
            "allow-4-24-c6336401",
            "x+a1-0",
            "6-32-c0000201",
        ];
        let names = names.iter().map(String::as_str).chain(none).chain(swap).chain(["allow-4-24-c6336400"]);
        assert_eq!(forms(names), "+a1\n4-24\n4-32\nallow-4-24\napi-key\ns2\n");
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
        folder.write(&all, &[], 0).unwrap();
        let sorted = |mut entries: Vec<Entry>| {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            entries
        };
        let (entries, others) = folder.read().unwrap();
        assert_eq!((sorted(entries), others), (sorted(all.to_vec()), 2));
        assert!(folder.forms_are_right());
        assert_eq!(std::fs::read_to_string(at("forms")).unwrap(), "+header\n4-32\n");

        // What nobody changed is not written again.
        let inode = |name: &str| std::fs::metadata(at(name)).unwrap().ino();
        let before = inode("4-32-c0000201");
        folder.write(&all, &[], 0).unwrap();
        assert_eq!(inode("4-32-c0000201"), before);
        folder.write(&[], &[], 0).unwrap();
        assert_eq!(folder.read().unwrap(), (Vec::new(), 2));
        assert_eq!(std::fs::read_to_string(at("4-32-c0000201")).unwrap(), "block 0 - by hand\n");
        std::fs::write(at("forms"), "").unwrap();
        assert!(!folder.forms_are_right(), "the script would not look for it");

        // Lines of an earlier Sidetap, which spelled places otherwise, are its own all the same and are brought up to date.
        let aged =
            "block 77 ^POST,/login$ # sidetap:v1 192.0.2.9@POST,/login\n".replace("# sidetap:", hosted::MARK);
        std::fs::write(at("4-32-c0000209"), aged).unwrap();
        let (entries, others) = folder.read().unwrap();
        assert_eq!((entries.len(), others), (1, 1));
        assert!(!folder.forms_are_right());
        folder.write(&entries, &[], 0).unwrap();
        folder.read().unwrap();
        assert!(folder.forms_are_right());
        assert_eq!(std::fs::read_to_string(at("4-32-c0000209")).unwrap(), line(&entries[0]));
    }

    #[test]
    fn only_what_sidetap_left_half_written_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut folder = Folder::new(dir.path());
        let ours = ["4-32-c0000201.77.new", "forms.77.new", "allow.77.new", "allow-4-32-c0000201.77.new"];
        let others = ["mine.new", "4-32-c0000201.new", "mine.77.new", "forms.old.new"];
        for name in ours.iter().chain(&others) {
            std::fs::write(at(name), "half").unwrap();
        }
        let written = std::fs::metadata(at(ours[0])).unwrap().mtime();
        folder.write(&[], &[], written).unwrap();
        assert!(ours.iter().all(|name| at(name).exists()), "somebody may be writing it");
        folder.write(&[], &[], written + 2 * LEFT_S).unwrap();
        assert!(!ours.iter().any(|name| at(name).exists()));
        assert!(others.iter().all(|name| at(name).exists()));
    }

    #[test]
    fn odd_files_of_others_hinder_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut folder = Folder::new(dir.path());
        let (here, there) = (of("192.0.2.1", Response::Block), of("192.0.2.2", Response::Block));
        folder.write(&[here.clone(), there.clone()], &[], 0).unwrap();
        for name in [".4-32-c0000201.swp", "__proto__-1", "4-32-c0000209", "allow"] {
            std::fs::write(at(name), b"b\xff\xfe").unwrap();
        }
        std::fs::create_dir(at("4-32-c000020a")).unwrap();
        assert_eq!(folder.read().unwrap(), (vec![here.clone(), there], 1));
        assert!(folder.forms_are_right(), "no kind that the script does not know");
        let taken = of("192.0.2.9", Response::Block);
        assert!(folder.write(&[here.clone(), taken], &[], 0).is_err(), "that one is not ours to write");
        assert_eq!(folder.read().unwrap().0, [here], "and the others are as they should be");
        folder.write(&[], &[], 0).unwrap();
        assert_eq!(folder.read().unwrap(), (Vec::new(), 1));
        assert_eq!(std::fs::read(at("4-32-c0000209")).unwrap(), b"b\xff\xfe");
    }

    #[test]
    fn what_goes_goes_where_nothing_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut folder = Folder::new(dir.path());
        let (old, new) = (of("192.0.2.1", Response::Block), of("198.51.100.0/24", Response::Block));
        folder.write(&[old], &[], 0).unwrap();
        std::fs::remove_file(at("forms")).unwrap();
        std::fs::create_dir(at("forms")).unwrap();
        assert!(folder.write(std::slice::from_ref(&new), &[], 0).is_err());
        assert_eq!(
            folder.read().unwrap().0,
            [],
            "gone, and nothing in force that the allow list may not hold for"
        );
        std::fs::remove_dir(at("forms")).unwrap();
        folder.write(std::slice::from_ref(&new), &[], 0).unwrap();
        assert_eq!(folder.read().unwrap().0, [new]);

        write_over(&at("forms"), "4\n").unwrap();
        assert_eq!(folder.text_of("forms").unwrap(), "4\n");
        assert!(write_over(&at("forms"), "longer").is_err() && write_over(&at("none"), "").is_err());
    }

    #[test]
    fn networks_that_are_never_touched_are_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(dir.path());
        let mut allow: Vec<IpNet> =
            ["0.0.0.0/0", "203.0.113.0/24", "2001:db8::/33"].map(|n| n.parse().unwrap()).to_vec();
        for _ in 0..4 {
            folder.write(&[], &allow, 0).unwrap();
            assert_eq!(folder.read().unwrap(), (Vec::new(), 0));
            assert_eq!(folder.allow(), allow);
            assert!(folder.forms_are_right());
            allow.pop();
        }
        std::fs::write(dir.path().join("allow-4-32-c0000201"), "by hand\n").unwrap();
        folder.write(&[], &[], 0).unwrap();
        assert_eq!((folder.read().unwrap().1, folder.allow()), (1, Vec::new()));
        assert_eq!(folder.text_of("forms").unwrap(), "allow-4-32\n");
    }
}
