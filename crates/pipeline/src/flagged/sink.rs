use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sidetap_seal::{Recipient, SealWriter};

/// Where the bytes of a file go: as they are, or sealed, which holds up to 64 KiB of them back.
#[derive(Debug)]
pub(super) enum Sink {
    Plain(BufWriter<File>),
    Sealed(Box<SealWriter<File>>),
}

impl Sink {
    /// A new file that nobody but its owner reads; sealed to these, plain where there is none.
    pub(super) fn create(path: &Path, recipients: &[Recipient]) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        if recipients.is_empty() {
            return Ok(Sink::Plain(BufWriter::with_capacity(1 << 16, file)));
        }
        Ok(Sink::Sealed(Box::new(SealWriter::new(file, recipients)?)))
    }

    /// Whether something was written that the file does not have yet, and has only once it ends or grows.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self, Sink::Sealed(seal) if seal.held() > 0)
    }

    /// Writes what was held back, and the end.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Sink::Plain(mut file) => file.flush(),
            Sink::Sealed(seal) => seal.finish().map(drop),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Plain(file) => file.write(bytes),
            Sink::Sealed(seal) => seal.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Plain(file) => file.flush(),
            Sink::Sealed(seal) => seal.flush(),
        }
    }
}
