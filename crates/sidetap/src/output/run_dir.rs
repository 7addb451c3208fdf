//! The run directory (design §8).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sidetap_model::rows::{NotWritten, RunData, Summary, TrafficPoint};

use super::write_atomically;

/// A run directory that is being written. While it is, no other run writes there.
pub(crate) struct RunDir {
    path: PathBuf,
    /// The directory itself, locked: the kernel lets go when the process ends, however it ends.
    _lock: fs::File,
    /// Room for the summary, taken before exchanges may fill the disk.
    room: Mutex<Option<ReservedSummary>>,
}

/// Room on disk for `summary.json`, given back when it is dropped.
pub(crate) struct ReservedSummary {
    file: fs::File,
    size: usize,
    temporary: PathBuf,
    path: PathBuf,
}

/// True of the file that keeps room for a summary.
pub(crate) fn is_summary_room(name: &str) -> bool {
    name.starts_with(".summary.json.") && name.ends_with(".tmp")
}

impl ReservedSummary {
    /// What nearly all summaries fit in, most, and short ones.
    const SIZES: [usize; 3] = [64 << 10, 16 << 10, 4 << 10];

    /// Takes room in `dir`; what a run that was killed left of its own is given back.
    fn take(dir: &Path) -> Option<Self> {
        for old in fs::read_dir(dir).ok()?.flatten() {
            if is_summary_room(&old.file_name().to_string_lossy()) {
                let _ = fs::remove_file(old.path());
            }
        }
        let temporary = dir.join(format!(".summary.json.{}.tmp", std::process::id()));
        let file = fs::File::create(&temporary).ok()?;
        let mut reserved = ReservedSummary { file, size: 0, temporary, path: dir.join("summary.json") };
        for size in Self::SIZES {
            if reserved.grow(size) {
                return Some(reserved);
            }
        }
        None
    }

    /// Takes room for `size` bytes, or keeps what there was.
    fn grow(&mut self, size: usize) -> bool {
        let more = vec![b' '; size.saturating_sub(self.size)];
        let grown = self.file.write_all(&more).is_ok();
        let kept = if grown { size.max(self.size) } else { self.size };
        self.size = kept;
        let at = io::SeekFrom::Start(kept as u64);
        self.file.set_len(kept as u64).and_then(|()| self.file.seek(at)).is_ok() && grown
    }

    /// Writes the summary into it, wholly or not at all.
    pub(crate) fn write(mut self, text: &str) -> Result<(), NotWritten> {
        let mut fill = || {
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())?;
            self.file.set_len(text.len() as u64)?;
            fs::rename(&self.temporary, &self.path)
        };
        fill().map_err(|e| NotWritten::new(self.path.display(), e))
    }
}

impl Drop for ReservedSummary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

/// `summary.json`: the summary with the traffic over time.
#[derive(Serialize)]
struct SummaryFile<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    traffic: &'a [TrafficPoint],
}

impl RunDir {
    /// Makes the directory and shows that it can be written; what an earlier run left under names of ours that this
    /// one may not write is taken away. One that a run still writes is refused as busy.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = fs::File::open(path)?;
        match lock.try_lock() {
            Err(fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
            // A file system without locks: then nothing tells two runs apart.
            Err(fs::TryLockError::Error(_)) | Ok(()) => {}
        }
        write_atomically(&path.join(".writable"), |_| Ok(()))?;
        fs::remove_file(path.join(".writable"))?;
        remove_if_there(&path.join("exchanges.ndjson"))?;
        for old in fs::read_dir(path.join("openapi")).into_iter().flatten().flatten() {
            if is_ours(&old.path()) {
                fs::remove_file(old.path())?;
            }
        }
        let room = Mutex::new(ReservedSummary::take(path));
        Ok(RunDir { path: path.to_owned(), _lock: lock, room })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where exchanges go.
    pub(crate) fn exchanges(&self) -> PathBuf {
        self.path.join("exchanges.ndjson")
    }

    /// Writes everything but exchanges, page and summary; each file that could not be written is named with the reason.
    pub(crate) fn write(&self, run: &RunData, openapi: &[(String, Value)]) -> Vec<NotWritten> {
        let mut lost = Vec::new();
        let mut keep = |name: &str, result: io::Result<()>| {
            if let Err(e) = result {
                lost.push(NotWritten::new(self.path.join(name).display(), e));
            }
        };
        keep("endpoints.ndjson", self.rows("endpoints.ndjson", &run.endpoints));
        keep("sensitive.ndjson", self.rows("sensitive.ndjson", &run.sensitive));
        keep("findings.ndjson", self.rows("findings.ndjson", &run.findings));
        keep("campaigns.ndjson", self.rows("campaigns.ndjson", &run.campaigns));
        keep("verdicts.ndjson", self.rows("verdicts.ndjson", &run.verdicts));
        keep("openapi", self.openapi(openapi));
        lost
    }

    /// Writes `text` to `name`.
    pub(crate) fn text(&self, name: &str, text: &str) -> Result<(), NotWritten> {
        let path = self.path.join(name);
        write_atomically(&path, |w| w.write_all(text.as_bytes()))
            .map_err(|e| NotWritten::new(path.display(), e))
    }

    /// Gives the room that was taken for the summary, with as much more as it needs and as there is, and some for what it will say of
    /// the other files. Nothing where there was none: then the summary is written like any other file.
    pub(crate) fn reserve_summary(&self, run: &RunData) -> Option<ReservedSummary> {
        const FILES: usize = 12;
        let early = self.room.lock().ok()?.take();
        let mut reserved = early.or_else(|| ReservedSummary::take(&self.path))?;
        let line = self.path.as_os_str().len() + 160;
        let wanted = summary_text(run).len() + FILES * line;
        if !reserved.grow(wanted) {
            tracing::debug!("no room for all of the summary yet");
        }
        Some(reserved)
    }

    fn rows<T: Serialize>(&self, name: &str, rows: &[T]) -> io::Result<()> {
        write_atomically(&self.path.join(name), |w| {
            for row in rows {
                serde_json::to_writer(&mut *w, row)?;
                w.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    fn openapi(&self, documents: &[(String, Value)]) -> io::Result<()> {
        let dir = self.path.join("openapi");
        fs::create_dir_all(&dir)?;
        let mut taken = BTreeSet::new();
        for (host, document) in documents {
            let name = openapi_name(host, &mut taken);
            write_atomically(&dir.join(name), |w| {
                serde_json::to_writer_pretty(&mut *w, document)?;
                w.write_all(b"\n")
            })?;
        }
        Ok(())
    }
}

/// `summary.json` as text.
pub(crate) fn summary_text(run: &RunData) -> String {
    let file = SummaryFile { summary: &run.summary, traffic: &run.traffic };
    let text = serde_json::to_string_pretty(&file).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"));
    text + "\n"
}

/// File name for a host: letters, digits, dots and hyphens stay, all else becomes `_`; never hidden, never a path,
/// at most 120 bytes. Hosts that would share a name are told apart by a hash.
pub(crate) fn openapi_name(host: &str, taken: &mut BTreeSet<String>) -> String {
    let clean = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c.to_ascii_lowercase() } else { '_' }
    };
    let mut name: String = host.chars().take(100).map(clean).collect();
    if name.is_empty() || name.starts_with('.') {
        name.insert(0, '_');
    }
    if host.chars().nth(100).is_some() || taken.contains(&name) {
        let hash = sidetap_model::EndpointId::of("", host, "", "");
        name = format!("{name}-{hash}");
    }
    taken.insert(name.clone());
    name + ".json"
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Reads a run directory back.
pub(crate) fn load_run(dir: &Path) -> Result<RunData> {
    let path = dir.join("summary.json");
    if !path.is_file() {
        bail!("{} is no run directory: it has no summary.json", dir.display());
    }
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut value: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    let traffic = value.as_object_mut().and_then(|o| o.remove("traffic")).unwrap_or(Value::Array(Vec::new()));
    Ok(RunData {
        summary: serde_json::from_value(value).with_context(|| path.display().to_string())?,
        traffic: serde_json::from_value(traffic).with_context(|| path.display().to_string())?,
        endpoints: load_rows(dir, "endpoints.ndjson")?,
        sensitive: load_rows(dir, "sensitive.ndjson")?,
        findings: load_rows(dir, "findings.ndjson")?,
        campaigns: load_rows(dir, "campaigns.ndjson")?,
        verdicts: load_rows(dir, "verdicts.ndjson")?,
    })
}

fn load_rows<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Vec<T>> {
    let path = dir.join(name);
    let file = match fs::File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut rows = Vec::new();
    for (line, number) in BufReader::new(file).lines().zip(1..) {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        let row = serde_json::from_str(&line).with_context(|| format!("{}:{number}", path.display()))?;
        rows.push(row);
    }
    Ok(rows)
}

/// True of a document that a run of Sidetap wrote: a user's own files beside them stay.
fn is_ours(file: &Path) -> bool {
    let is_json = file.extension().is_some_and(|e| e == "json");
    is_json && fs::read_to_string(file).is_ok_and(|text| text.contains("\"version\": \"observed\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_hosts_stay_inside_the_directory() {
        let mut taken = BTreeSet::new();
        let mut name = |host: &str| openapi_name(host, &mut taken);
        assert_eq!(name("shop.example:8080"), "shop.example_8080.json");
        assert_eq!(name("../../etc/passwd"), "_.._.._etc_passwd.json");
        assert_eq!(name(".."), "_...json");
        assert_eq!(name(""), "_.json");
        assert_eq!(name("a\0b\\c\n"), "a_b_c_.json");
        let (a, b) = (name("x_y"), name("x/y"));
        assert!(a != b && b.starts_with("x_y-"), "{a} {b}");
        assert!(name(&"é".repeat(5000)).len() < 140);
        assert_ne!(name(&"é".repeat(5000)), name(&"é".repeat(5001)));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let run = crate::report::fixture::run();
        let out = RunDir::create(&dir.path().join("run")).unwrap();
        let api = [("shop.example".to_owned(), serde_json::json!({"openapi": "3.1.0"}))];
        assert_eq!(out.write(&run, &api), []);
        out.text("summary.json", &summary_text(&run)).unwrap();
        assert_eq!(load_run(out.path()).unwrap(), run);
        assert!(out.path().join("openapi/shop.example.json").is_file());
    }

    #[test]
    fn a_second_run_leaves_nothing_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let out = RunDir::create(dir.path()).unwrap();
        let document = serde_json::json!({"openapi": "3.1.0", "info": {"version": "observed"}});
        out.write(&RunData::default(), &[("old.example".to_owned(), document)]);
        fs::write(dir.path().join("openapi/mine.json"), "{}").unwrap();
        fs::write(out.exchanges(), "{}").unwrap();
        let busy = RunDir::create(dir.path()).err().unwrap();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy, "while the first one still writes");
        drop(out);
        let out = RunDir::create(dir.path()).unwrap();
        assert!(!out.exchanges().exists());
        assert!(!dir.path().join("openapi/old.example.json").exists());
        assert!(dir.path().join("openapi/mine.json").exists(), "what is not of a run stays");
    }
}
