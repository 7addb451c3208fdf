//! `sidetap unseal`.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sidetap_seal::{Ending, Identity, Unsealed, identities, unseal};
use zeroize::Zeroizing;

use crate::cli::UnsealArgs;
use crate::exit::{Status, Usage};
use crate::output::{is_reader_gone, note, stdout, warn};

/// Opens sealed files, each as far as it can be read; says of each that is not whole what is missing.
pub(crate) fn run(args: &UnsealArgs) -> Result<Status> {
    let keys = keys(&args.identity)?;
    let Some(dir) = &args.out else { return to_stdout(args, &keys) };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot write {}", dir.display()))?;
    let (mut opened, mut lost) = (0, 0);
    for file in &args.files {
        match open_into(dir, file, &keys) {
            Ok((path, read)) => {
                note(&format!("{}: {} bytes", path.display(), read.bytes));
                opened += 1;
                lost += usize::from(!whole(file, &read));
            }
            Err(error) => {
                warn(&format!("{error:#}"));
                lost += 1;
            }
        }
    }
    Ok(match (opened, lost) {
        (_, 0) => Status::Done,
        (0, _) => Status::Refused,
        _ => Status::Lost,
    })
}

fn to_stdout(args: &UnsealArgs, keys: &[Identity]) -> Result<Status> {
    let [file] = &args.files[..] else {
        return Err(Usage("several files: name a directory for them with --out".to_owned()).into());
    };
    if std::io::stdout().is_terminal() {
        let why = "packets are not for a terminal: send them to a file, or name a directory with --out";
        return Err(Usage(why.to_owned()).into());
    }
    let mut out = stdout();
    match open(file, keys, &mut out).and_then(|read| out.flush().map(|()| read).map_err(Into::into)) {
        Ok(read) if whole(file, &read) => Ok(Status::Done),
        Ok(_) => Ok(Status::Lost),
        Err(error) if is_reader_gone(&error) => Ok(Status::Done),
        Err(error) => Err(error),
    }
}

fn keys(file: &Path) -> Result<Vec<Identity>> {
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.with_context(|| format!("cannot read {}", name()))?;
    identities(&text).with_context(name)
}

/// Opens `file` into `dir`, under its name without `.age`; what is there already is left as it is.
fn open_into(dir: &Path, file: &Path, keys: &[Identity]) -> Result<(PathBuf, Unsealed)> {
    let name = file.file_name().ok_or_else(|| anyhow!("{} is no file", file.display()))?;
    let name = name.to_string_lossy();
    let name = name
        .strip_suffix(".age")
        .ok_or_else(|| anyhow!("{}: its name does not end with .age", file.display()))?;
    let path = dir.join(name);
    // Nothing is made for a file that does not open: the first chunk comes before the name does.
    let mut out = Late { path: &path, file: None };
    let read = open(file, keys, &mut out)?;
    out.made()?;
    Ok((path, read))
}

fn open(file: &Path, keys: &[Identity], out: &mut impl Write) -> Result<Unsealed> {
    let name = || file.display().to_string();
    let sealed = File::open(file).with_context(|| format!("cannot read {}", name()))?;
    unseal(&mut BufReader::with_capacity(1 << 17, sealed), keys, out).with_context(name)
}

/// Whether the file was; says what it lacks.
fn whole(file: &Path, read: &Unsealed) -> bool {
    let Ending::Cut { rest } = read.ending else { return true };
    let unread = if rest == 0 { String::new() } else { format!(", {rest} more cannot be read") };
    warn(&format!(
        "{} has no end: {} bytes are authentic{unread}; it was cut, or is still being written",
        file.display(),
        read.bytes
    ));
    false
}

/// A file that is made with the first bytes for it.
struct Late<'a> {
    path: &'a Path,
    file: Option<BufWriter<File>>,
}

impl Late<'_> {
    fn made(&mut self) -> std::io::Result<&mut BufWriter<File>> {
        if self.file.is_none() {
            let made =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path).map_err(|e| {
                    std::io::Error::new(e.kind(), format!("cannot write {}: {e}", self.path.display()))
                })?;
            self.file = Some(BufWriter::new(made));
        }
        self.file.as_mut().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

impl Write for Late<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.made()?.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}
