use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sidetap_model::Ts;
use sidetap_model::rows::NotWritten;
use sidetap_seal::sealed_len;

use super::sink::Sink;
use super::{FlaggedOptions, Saved};

/// The files that flagged packets are written to: pcapng, named by the time of their first packet.
///
/// A file that is large enough is followed by the next one; once all take more than their limit, the oldest of the directory goes. The
/// first error is kept, and nothing more is written after it. A file that is sealed grows by whole chunks; it is also ended when it holds
/// back packets that are [`Files::HELD`] older than the epoch, so that one who kills the process takes little with him.
#[derive(Debug)]
pub(crate) struct Files {
    options: FlaggedOptions,
    open: Option<Open>,
    made: u32,
    error: Option<io::Error>,
    told: bool,
    /// Packets written.
    pub(crate) packets: u64,
    /// Files that went for newer ones.
    pub(crate) removed: u64,
}

#[derive(Debug)]
struct Open {
    out: Sink,
    /// When its first packet was seen.
    first: Ts,
    /// Bytes of pcapng, however they are written.
    bytes: u64,
    links: Vec<u16>,
}

impl Files {
    /// A file is this share of the limit, and at least [`Files::LEAST`].
    const SHARE: u64 = 16;
    const LEAST: u64 = 64 << 10;
    const MOST: u64 = 256 << 20;
    /// Nanoseconds of packet time for which a sealed file may hold packets back.
    const HELD: i64 = 300 * 1_000_000_000;

    pub(crate) fn new(options: FlaggedOptions) -> Self {
        Files { options, open: None, made: 0, error: None, told: false, packets: 0, removed: 0 }
    }

    /// Writes the packets of an epoch that ended at `now`, in the order of their numbers.
    pub(crate) fn write(&mut self, mut saved: Vec<Saved>, now: Ts) {
        if self.error.is_some() {
            return;
        }
        saved.sort_unstable_by_key(|s| s.number);
        let written = saved.iter().try_for_each(|s| self.packet(s)).and_then(|()| match &mut self.open {
            Some(open) if open.out.holds_back() && now >= open.first.plus(Self::HELD) => self.close(),
            Some(open) if !saved.is_empty() => open.out.flush(),
            _ => Ok(()),
        });
        self.note(written);
    }

    /// Ends the file that is open: nothing more is to come.
    pub(crate) fn finish(&mut self) {
        let closed = self.close();
        self.note(closed);
    }

    fn note(&mut self, done: io::Result<()>) {
        if let Err(e) = done {
            self.error.get_or_insert(e);
            self.open = None;
        }
    }

    fn close(&mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |open| open.out.finish())
    }

    /// Why nothing is saved any more, the first time it is asked.
    pub(crate) fn broken(&mut self) -> Option<String> {
        if std::mem::replace(&mut self.told, self.error.is_some()) {
            return None;
        }
        self.failure().map(|e| e.to_string())
    }

    /// What went wrong.
    pub(crate) fn failure(&self) -> Option<NotWritten> {
        let error = self.error.as_ref()?;
        Some(NotWritten::new(format_args!("flagged packets in {}", self.options.dir.display()), error))
    }

    fn packet(&mut self, saved: &Saved) -> io::Result<()> {
        let most = (self.options.limit_bytes / Self::SHARE).clamp(Self::LEAST, Self::MOST);
        if self.open.as_ref().is_some_and(|o| o.bytes >= most) {
            self.close()?;
        }
        if self.open.is_none() {
            self.make_room(match self.options.recipients.len() {
                0 => most,
                recipients => sealed_len(recipients, most),
            })?;
            self.open = Some(self.create(saved.ts)?);
        }
        if let Some(open) = &mut self.open {
            open.packet(saved)?;
            self.packets += 1;
        }
        Ok(())
    }

    /// The next file, whose first packet is of this time.
    fn create(&mut self, first: Ts) -> io::Result<Open> {
        self.made += 1;
        let recipients = &self.options.recipients;
        let path = self.options.dir.join(name(first, self.made, !recipients.is_empty()));
        let mut out = Sink::create(&path, recipients)?;
        let head = section();
        out.write_all(&head)?;
        Ok(Open { out, first, bytes: head.len() as u64, links: Vec::new() })
    }

    /// Lets the oldest files go until there is room for one more.
    fn make_room(&mut self, most: u64) -> io::Result<()> {
        let mut files = flagged_files(&self.options.dir)?;
        files.sort_unstable();
        let mut all: u64 = files.iter().map(|(_, len)| len).sum();
        for (path, len) in files {
            if all + most <= self.options.limit_bytes {
                break;
            }
            fs::remove_file(path)?;
            self.removed += 1;
            all -= len;
        }
        Ok(())
    }
}

/// A file that is open ends properly however the run does.
impl Drop for Files {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Open {
    fn packet(&mut self, saved: &Saved) -> io::Result<()> {
        let interface = match self.links.iter().position(|l| *l == saved.link) {
            Some(at) => at,
            None => {
                self.block(1, &interface(saved.link))?;
                self.links.push(saved.link);
                self.links.len() - 1
            }
        };
        self.block(6, &enhanced(interface as u32, saved))
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let block = block(kind, body);
        self.bytes += block.len() as u64;
        self.out.write_all(&block)
    }
}

/// `flagged-20260131T235959.000000Z-0001.pcapng`, with `.age` where it is sealed: names sort by time.
fn name(first: Ts, number: u32, sealed: bool) -> String {
    let time: String = first.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let seal = if sealed { ".age" } else { "" };
    format!("flagged-{time}-{number:04}.pcapng{seal}")
}

/// Tells whether a file of this name is one that saved packets are written to, plain or sealed.
pub fn is_flagged_file(name: &str) -> bool {
    name.starts_with("flagged-") && name.strip_suffix(".age").unwrap_or(name).ends_with(".pcapng")
}

/// Files of such names, with their sizes.
fn flagged_files(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_flagged_file(&name.to_string_lossy()) && entry.file_type()?.is_file() {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(files)
}

/// A block of pcapng: type, length, body on a boundary of four, length again.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = (padded as u32 + 12).to_le_bytes();
    let mut out = Vec::with_capacity(padded + 12);
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&len);
    out.extend_from_slice(body);
    out.resize(padded + 8, 0);
    out.extend_from_slice(&len);
    out
}

/// A section header: version 1.0, of a length that is not told.
fn section() -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend_from_slice(&[1, 0, 0, 0]);
    body.extend_from_slice(&u64::MAX.to_le_bytes());
    block(0x0a0d_0d0a, &body)
}

/// An interface of a link type, whose times are nanoseconds.
fn interface(link: u16) -> Vec<u8> {
    let mut body = link.to_le_bytes().to_vec();
    body.extend_from_slice(&[0; 6]);
    option(&mut body, 9, &[9]);
    option(&mut body, 0, &[]);
    body
}

fn enhanced(interface: u32, saved: &Saved) -> Vec<u8> {
    let nanos = saved.ts.0.cast_unsigned();
    let mut body = Vec::with_capacity(saved.data.len() + 64);
    let words = [interface, (nanos >> 32) as u32, nanos as u32, saved.data.len() as u32, saved.orig_len];
    words.iter().for_each(|w| body.extend_from_slice(&w.to_le_bytes()));
    body.extend_from_slice(&saved.data);
    body.resize(body.len().next_multiple_of(4), 0);
    if let Some(comment) = &saved.comment {
        option(&mut body, 1, comment.as_bytes());
        option(&mut body, 0, &[]);
    }
    body
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use sidetap_seal::{Ending, Identity, unseal};

    use super::*;

    fn saved(number: u64, ts: Ts) -> Saved {
        Saved { number, ts, link: 1, orig_len: 60, data: [7; 60].into(), comment: None }
    }

    /// How each file of the directory ends, and how many bytes it holds.
    fn endings(dir: &Path, key: &Identity) -> Vec<(Ending, u64)> {
        let mut files = flagged_files(dir).unwrap();
        files.sort_unstable();
        let read = |path: &PathBuf| {
            let key = key.secret_text().parse().unwrap();
            unseal(&mut &fs::read(path).unwrap()[..], &[key], &mut Vec::new()).unwrap()
        };
        files.iter().map(|(path, _)| read(path)).map(|r| (r.ending, r.bytes)).collect()
    }

    #[test]
    fn a_sealed_file_ends_when_packets_were_held_back_too_long() {
        let dir = tempfile::tempdir().unwrap();
        let key = Identity::generate().unwrap();
        let recipients = vec![key.recipient()];
        let options =
            FlaggedOptions { dir: dir.path().to_owned(), ring_bytes: 0, limit_bytes: 1 << 20, recipients };
        let mut files = Files::new(options);
        let start = Ts::from_parts(1_800_000_000, 0);
        let later = |s: i64| start.plus(s * 1_000_000_000);
        files.write(vec![saved(1, start)], later(1));
        files.write(vec![], later(299));
        assert_eq!(endings(dir.path(), &key), [(Ending::Cut { rest: 0 }, 0)]);
        files.write(vec![], later(300));
        let one = endings(dir.path(), &key);
        assert!(matches!(one[..], [(Ending::Whole, 100..)]), "{one:?}");
        files.write(vec![], later(900));
        files.write(vec![saved(2, later(901))], later(901));
        assert_eq!(endings(dir.path(), &key).len(), 2, "the next one begins with the next packet");
        drop(files);
        let two = endings(dir.path(), &key);
        assert!(matches!(two[..], [(Ending::Whole, _), (Ending::Whole, 100..)]), "{two:?}");
    }
}
