use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Lines of `exchanges.ndjson` that wait for their final endpoint names.
///
/// While a run goes on, templates still merge; so each line is kept in a file beside the output with the key of its endpoint, and
/// written out when the last epoch has closed. The first error is kept, and nothing more is written after it; what was, is kept.
#[derive(Debug)]
pub(crate) struct Spool {
    output: PathBuf,
    spool: PathBuf,
    file: Option<BufWriter<File>>,
    error: Option<io::Error>,
    told: bool,
}

/// What the final name of an endpoint is looked up by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LookupKey {
    pub(crate) zone: String,
    pub(crate) host: String,
    pub(crate) method: String,
    pub(crate) path: Vec<u8>,
}

impl LookupKey {
    /// Bytes of its names.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.zone.len() + self.host.len() + self.method.len() + self.path.len()
    }
}

impl Spool {
    /// Opens a spool for `output`.
    pub(crate) fn create(output: &Path) -> Self {
        let spool = output.with_extension("ndjson.partial");
        match File::create(&spool) {
            Ok(f) => {
                let file = Some(BufWriter::with_capacity(1 << 18, f));
                Spool { output: output.to_owned(), spool, file, error: None, told: false }
            }
            Err(e) => Spool { output: output.to_owned(), spool, file: None, error: Some(e), told: false },
        }
    }

    /// Keeps a line: `head`, the endpoint's id, `"}}` and a line end; without a key, or where the endpoint is in no inventory, the id is null.
    pub(crate) fn push(&mut self, head: &[u8], key: Option<&LookupKey>) {
        let Some(file) = self.file.as_mut() else { return };
        if let Err(e) = write_record(file, head, key) {
            self.error = Some(e);
            self.file = None;
        }
    }

    /// Why nothing is written any more, the first time it is asked.
    pub(crate) fn broken(&mut self) -> Option<String> {
        let error = self.error.as_ref().filter(|_| !self.told)?;
        self.told = true;
        Some(format!("cannot write {}: {error}; exchanges are no longer listed", self.output.display()))
    }

    /// Writes the output with the ids that `id_of` gives, and removes the spool. Where there is no room for both, the spool becomes the
    /// output; after an error it has the lines that were written whole before.
    pub(crate) fn finish(
        mut self,
        mut id_of: impl FnMut(&LookupKey) -> Option<String>,
    ) -> Result<(), (PathBuf, io::Error)> {
        let result = self.write_out(&mut id_of);
        if fs::remove_file(&self.spool).is_err() {
            tracing::debug!(path = %self.spool.display(), "spool is gone already");
        }
        result.map_err(|e| (self.output, e))
    }

    fn write_out(&mut self, id_of: &mut impl FnMut(&LookupKey) -> Option<String>) -> io::Result<()> {
        if let Some(e) = self.error.take() {
            if let Err(e) = self.become_output(id_of) {
                tracing::debug!(path = %self.spool.display(), error = %e, "no line is kept");
            }
            return Err(e);
        }
        if let Some(mut file) = self.file.take() {
            file.flush()?;
        }
        let mut from = BufReader::with_capacity(1 << 18, File::open(&self.spool)?);
        let partial = self.output.with_extension("ndjson.new");
        let written =
            copy_lines(&mut from, &partial, id_of).and_then(|()| fs::rename(&partial, &self.output));
        if written.is_err() && fs::remove_file(&partial).is_err() {
            tracing::debug!(path = %partial.display(), "nothing to remove");
        }
        written.or_else(|_| self.become_output(id_of))
    }

    /// Turns the spool into the output in its own place.
    fn become_output(&self, id_of: &mut impl FnMut(&LookupKey) -> Option<String>) -> io::Result<()> {
        let mut from = Counted { file: BufReader::with_capacity(1 << 18, File::open(&self.spool)?), read: 0 };
        let mut to = File::options().write(true).open(&self.spool)?;
        let (mut written, mut lines, mut head) = (0u64, Vec::new(), Vec::new());
        // A record that was cut is the last one.
        while let Ok(Some(key)) = read_record(&mut from, &mut head) {
            put_line(&mut lines, &head, key, id_of)?;
            // A line may be longer than its record: never over what was not read yet.
            if lines.len() >= 1 << 18 {
                let n = lines.len().min(usize::try_from(from.read - written).unwrap_or(usize::MAX));
                to.write_all(lines.get(..n).unwrap_or_default())?;
                written += n as u64;
                lines.drain(..n);
            }
        }
        let mut last = lines.len();
        if to.write_all(&lines).is_err() {
            // There is no room for more than was there before.
            let room = usize::try_from(from.read - written).unwrap_or(usize::MAX).min(lines.len());
            last = lines.get(..room).and_then(|l| l.iter().rposition(|b| *b == b'\n')).map_or(0, |at| at + 1);
        }
        to.set_len(written + last as u64)?;
        drop(to);
        fs::rename(&self.spool, &self.output)
    }
}

/// Counts what is read of a file, what is read ahead left out.
struct Counted {
    file: BufReader<File>,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(into)?;
        self.read += n as u64;
        Ok(n)
    }
}

fn copy_lines(
    from: &mut impl Read,
    to: &Path,
    id_of: &mut impl FnMut(&LookupKey) -> Option<String>,
) -> io::Result<()> {
    let mut to = BufWriter::with_capacity(1 << 18, File::create(to)?);
    let mut head = Vec::new();
    while let Some(key) = read_record(from, &mut head)? {
        put_line(&mut to, &head, key, id_of)?;
    }
    to.flush()
}

fn put_line(
    to: &mut impl Write,
    head: &[u8],
    key: Option<LookupKey>,
    id_of: &mut impl FnMut(&LookupKey) -> Option<String>,
) -> io::Result<()> {
    to.write_all(head)?;
    match key.and_then(|key| id_of(&key)) {
        Some(id) => writeln!(to, "\"{id}\"}}}}"),
        None => to.write_all(b"null}}\n"),
    }
}

fn write_record(file: &mut impl Write, head: &[u8], key: Option<&LookupKey>) -> io::Result<()> {
    put(file, head)?;
    file.write_all(&[u8::from(key.is_some())])?;
    if let Some(key) = key {
        put(file, key.zone.as_bytes())?;
        put(file, key.host.as_bytes())?;
        put(file, key.method.as_bytes())?;
        put(file, &key.path)?;
    }
    Ok(())
}

fn put(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    file.write_all(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes())?;
    file.write_all(bytes)
}

/// `Ok(None)` at the end of the spool.
#[allow(clippy::option_option)]
fn read_record(file: &mut impl Read, head: &mut Vec<u8>) -> io::Result<Option<Option<LookupKey>>> {
    if !take(file, head)? {
        return Ok(None);
    }
    let mut has_key = [0];
    file.read_exact(&mut has_key)?;
    if has_key == [0] {
        return Ok(Some(None));
    }
    let mut parts: [Vec<u8>; 4] = Default::default();
    for part in &mut parts {
        if !take(file, part)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let [zone, host, method, path] = parts;
    let text = |b: Vec<u8>| String::from_utf8(b).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
    Ok(Some(Some(LookupKey { zone: text(zone)?, host: text(host)?, method: text(method)?, path })))
}

/// False at the end of the spool.
fn take(file: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut len = [0; 4];
    let mut have = 0;
    while have < 4 {
        match file.read(&mut len[have..])? {
            0 if have == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => have += n,
        }
    }
    into.clear();
    into.resize(u32::from_le_bytes(len) as usize, 0);
    file.read_exact(into)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_in_order_with_final_names() {
        let dir = std::env::temp_dir().join(format!("sidetap-spool-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let out = dir.join("exchanges.ndjson");
        let mut spool = Spool::create(&out);
        let key = LookupKey {
            zone: "default".into(),
            host: "h".into(),
            method: "GET".into(),
            path: b"/a".to_vec(),
        };
        spool.push(br#"{"n":1,"sidetap":{"endpoint":"#, Some(&key));
        spool.push(br#"{"n":2,"sidetap":{"endpoint":"#, None);
        spool.finish(|k| Some(format!("{}!", k.host))).unwrap();
        let text = fs::read_to_string(&out).unwrap();
        assert_eq!(
            text,
            "{\"n\":1,\"sidetap\":{\"endpoint\":\"h!\"}}\n{\"n\":2,\"sidetap\":{\"endpoint\":null}}\n"
        );
        assert!(!out.with_extension("ndjson.partial").exists());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_was_written_before_an_error_is_kept() {
        let dir = std::env::temp_dir().join(format!("sidetap-spool-cut-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let out = dir.join("exchanges.ndjson");
        let mut spool = Spool::create(&out);
        let key =
            LookupKey { zone: "z".into(), host: "h".into(), method: "GET".into(), path: b"/a".to_vec() };
        let head = |n: u32| format!("{{\"n\":{n},\"sidetap\":{{\"endpoint\":").into_bytes();
        (0..40_000).for_each(|n| spool.push(&head(n), (n % 7 == 0).then_some(&key)));
        // The disk is full in the middle of a record.
        spool.file.take().unwrap().flush().unwrap();
        let whole = fs::metadata(&spool.spool).unwrap().len();
        File::options().write(true).open(&spool.spool).unwrap().set_len(whole - 3).unwrap();
        spool.error = Some(io::ErrorKind::StorageFull.into());
        let (path, error) =
            spool.finish(|k| Some(format!("{}-0123456789abcdef0123456789", k.host))).unwrap_err();
        assert_eq!((path, error.kind()), (out.clone(), io::ErrorKind::StorageFull));
        let text = fs::read_to_string(&out).unwrap();
        assert_eq!(text.lines().count(), 39_999);
        for (n, line) in text.lines().enumerate() {
            let id = if n % 7 == 0 { "\"h-0123456789abcdef0123456789\"" } else { "null" };
            assert_eq!(line, format!("{{\"n\":{n},\"sidetap\":{{\"endpoint\":{id}}}}}"));
        }
        assert!(!out.with_extension("ndjson.partial").exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
