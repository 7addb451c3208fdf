use std::collections::BTreeSet;

use ipnet::IpNet;
use sidetap_policy::Response;

use super::socket::Socket;
use crate::connector::{ConnectorError, shortened};
use crate::entry::Entry;
use crate::key::Key;
use crate::way::Way;

/// A line of a map: ours or of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MapLine {
    pub(super) key: String,
    pub(super) value: String,
}

impl MapLine {
    /// The line of an entry: `END:OWNER:VERDICT`, with `=WAY` behind it where the rule says how.
    pub(super) fn of(entry: &Entry, owner: &str) -> Self {
        MapLine { key: entry.key.to_string(), value: format!("{}:{owner}:{}", entry.expires_at, told(entry)) }
    }

    pub(super) fn allow(net: &IpNet, owner: &str) -> Self {
        MapLine { key: Key::Net(*net).to_string(), value: format!("allow:{owner}") }
    }

    pub(super) fn is_allow(&self, owner: &str) -> bool {
        self.value.strip_prefix("allow:") == Some(owner)
    }

    /// The entry that the line is, where it is one of ours.
    pub(super) fn entry(&self, response: Response, owner: &str) -> Option<Entry> {
        let (end, rest) = self.value.split_once(':')?;
        let (verdict, way) = heard(response, rest.strip_prefix(owner)?.strip_prefix(':')?)?;
        let (expires_at, key) = (end.parse().ok()?, self.key.parse().ok()?);
        Some(Entry { key, response, expires_at, verdict, priority: (0, 0), way })
    }

    /// When a line of any Sidetap's ends; none of lines that are none.
    pub(super) fn end(&self) -> Option<i64> {
        let mut parts = self.value.splitn(3, ':');
        let (end, owner, _) = (parts.next()?, parts.next()?, parts.next()?);
        let is_mark = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let end = end.parse().ok().filter(|end| *end >= FIRST_END)?;
        (self.net().is_some() && !owner.is_empty() && owner.bytes().all(is_mark)).then_some(end)
    }

    /// Whether it is a Sidetap's and its time is over: it stands for nothing, and hides what stands for the same address or a network around it.
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.end().is_some_and(|end| is_over(end, now))
    }

    pub(super) fn net(&self) -> Option<IpNet> {
        self.key.parse::<Key>().ok().and_then(|k| k.net())
    }
}

/// An entry's verdict, and how its response is done: `VERDICT=WAY`.
pub(super) fn told(entry: &Entry) -> String {
    match entry.way.as_ref().and_then(Way::word) {
        Some(word) => format!("{}={word}", entry.verdict),
        None => entry.verdict.clone(),
    }
}

/// Reads what [`told`] wrote.
pub(super) fn heard(response: Response, text: &str) -> Option<(String, Option<Way>)> {
    match text.split_once('=') {
        Some((verdict, word)) => Some((verdict.to_owned(), Some(Way::read(response, word)?))),
        None => Some((text.to_owned(), None)),
    }
}

/// No Sidetap's entry ended before 2001: a smaller number is somebody's own.
const FIRST_END: i64 = 1_000_000_000;
/// Seconds by which the clock of another Sidetap may be behind.
const SLACK_S: i64 = 10;

/// Whether what ends then is over, whoever's clock said so.
pub(super) fn is_over(end: i64, now: i64) -> bool {
    end < now.saturating_sub(SLACK_S)
}

/// Whether a line of a Sidetap's has one that is none before it for the same key: HAProxy takes the first.
pub(super) fn is_hidden(lines: &[MapLine], is_marked: impl Fn(&MapLine) -> bool) -> bool {
    let key = |l: &MapLine| l.net().map_or_else(|| l.key.clone(), |net| Key::Net(net).to_string());
    let mut foreign = BTreeSet::new();
    for line in lines {
        if !is_marked(line) {
            foreign.insert(key(line));
        } else if !foreign.is_empty() && foreign.contains(&key(line)) {
            return true;
        }
    }
    false
}

/// The lines of a map.
pub(super) fn show(socket: &Socket<'_>, name: &str) -> Result<Vec<MapLine>, ConnectorError> {
    let answer = socket.ask(&format!("show map {name}\n"))?;
    let mut lines = Vec::new();
    for text in answer.lines().filter(|l| !l.trim().is_empty()) {
        let mut words = text.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some(id), Some(key), value) if id.starts_with("0x") => {
                lines.push(MapLine { key: key.to_owned(), value: value.unwrap_or_default().to_owned() });
            }
            _ if text.contains("Unknown map") => {
                return Err(ConnectorError::Missing(format!(
                    "map {name} is in no configuration of this HAProxy"
                )));
            }
            _ => {
                return Err(ConnectorError::Refused {
                    command: format!("show map {name}"),
                    answer: shortened(text),
                });
            }
        }
    }
    Ok(lines)
}

/// Puts these lines in place of all that a map holds: prepared under a new version, shown to traffic by the commit only.
///
/// A commit takes the place of what others put there since the map was read as `before`. So it is read once more right before, and left
/// alone where it is another by then.
pub(super) fn replace(
    socket: &Socket<'_>,
    name: &str,
    (before, lines): (&[MapLine], &[MapLine]),
    batch_bytes: usize,
) -> Result<(), ConnectorError> {
    let command = format!("prepare map {name}");
    let answer = socket.ask(&format!("{command}\n"))?;
    let version =
        answer.trim().strip_prefix("New version created: ").and_then(|v| v.trim().parse::<u64>().ok());
    let Some(version) = version else {
        return Err(ConnectorError::Refused { command, answer: shortened(&answer) });
    };
    for batch in batches(lines, batch_bytes) {
        silent(socket, &format!("add map @{version} {name} <<\n{batch}\n"))?;
    }
    if show(socket, name)? != before {
        silent(socket, &format!("clear map @{version} {name}\n"))?;
        return Err(ConnectorError::Conflict(format!("map {name}")));
    }
    silent(socket, &format!("commit map @{version} {name}\n"))
}

/// Payloads of lines, each of at most `bytes`. A payload ends at an empty line, so there is none within.
fn batches(lines: &[MapLine], bytes: usize) -> Vec<String> {
    let mut batches: Vec<String> = Vec::new();
    for line in lines {
        let text = format!("{} {}\n", line.key, line.value);
        match batches.last_mut() {
            Some(last) if last.len() + text.len() <= bytes => last.push_str(&text),
            _ => batches.push(text),
        }
    }
    batches
}

/// A command whose success is an empty answer; anything else is a refusal in words, there are no status codes.
fn silent(socket: &Socket<'_>, command: &str) -> Result<(), ConnectorError> {
    let answer = socket.ask(command)?;
    if answer.trim().is_empty() {
        return Ok(());
    }
    Err(ConnectorError::Refused { command: shortened(command), answer: shortened(&answer) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let entry = Entry {
            key: "192.0.2.0/24".parse().unwrap(),
            response: Response::Block,
            expires_at: 1_795_214_456,
            verdict: "v-1".into(),
            priority: (0, 0),
            way: None,
        };
        let line = MapLine::of(&entry, "sidetap");
        assert_eq!(line.value, "1795214456:sidetap:v-1");
        assert_eq!(line.entry(Response::Block, "sidetap"), Some(entry));
        let slow = Entry {
            response: Response::Tarpit,
            way: Some(Way::DelayMs(3000)),
            ..line.entry(Response::Block, "sidetap").unwrap()
        };
        let line = MapLine::of(&slow, "sidetap");
        assert_eq!(line.value, "1795214456:sidetap:v-1=3000");
        assert_eq!(line.entry(Response::Tarpit, "sidetap"), Some(slow));
        let foreign = MapLine { key: "192.0.2.1".into(), value: "deny".into() };
        assert_eq!(foreign.entry(Response::Block, "sidetap"), None);
    }

    #[test]
    fn what_others_add_meanwhile_is_not_replaced() {
        use std::io::{Read, Write};

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let device = std::thread::spawn(move || {
            let mut heard = Vec::new();
            for mut stream in listener.incoming().flatten().take(4) {
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).unwrap();
                let command = String::from_utf8_lossy(&buffer[..n]).into_owned();
                let answer = match command.split(' ').next().unwrap() {
                    "prepare" => "New version created: 7\n\n",
                    "show" => "0x1 192.0.2.9 mine\n\n",
                    _ => "\n",
                };
                stream.write_all(answer.as_bytes()).unwrap();
                heard.push(command);
            }
            heard
        });
        let address = path.display().to_string();
        let socket = Socket { address: &address, timeout_s: 5 };
        let lines = [MapLine { key: "192.0.2.1".into(), value: "1:sidetap:v".into() }];
        let done = replace(&socket, "m", (&[], &lines), 1024);
        assert!(matches!(done, Err(ConnectorError::Conflict(_))), "{done:?}");
        let heard = device.join().unwrap();
        assert_eq!(heard.last().unwrap(), "clear map @7 m\n");
    }

    #[test]
    fn batches_stay_under_the_buffer() {
        let lines: Vec<MapLine> =
            (0..50).map(|n| MapLine { key: format!("192.0.2.{n}"), value: "1:sidetap:v".into() }).collect();
        let batches = batches(&lines, 256);
        assert!(batches.len() > 1 && batches.iter().all(|b| b.len() <= 256 && !b.contains("\n\n")));
        assert_eq!(batches.concat().lines().count(), 50);
    }
}
