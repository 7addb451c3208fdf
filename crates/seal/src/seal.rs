use std::fmt;
use std::io::{self, Write};

use zeroize::Zeroizing;

use crate::Recipient;
use crate::header;
use crate::stream::{CHUNK, Place, Stream, TAG};

/// Seals what is written to it. Up to [`CHUNK`] bytes are held back until more come or it is finished.
///
/// A writer that is dropped without [`SealWriter::finish`] leaves a file that is cut at a chunk's end; so does an error, after which nothing
/// more is written. Flushing writes nothing that is held back: a chunk that is not full can only be the last.
pub struct SealWriter<W> {
    out: W,
    stream: Stream,
    held: Zeroizing<Vec<u8>>,
    broken: bool,
}

impl<W: Write> SealWriter<W> {
    /// Begins a file that each of these can open alone.
    pub fn new(mut out: W, recipients: &[Recipient]) -> io::Result<Self> {
        let (header, key) = header::make(recipients)?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        out.write_all(&header)?;
        out.write_all(&nonce)?;
        let held = Zeroizing::new(Vec::with_capacity(CHUNK));
        Ok(SealWriter { out, stream: Stream::new(&key, &nonce), held, broken: false })
    }

    /// Bytes that no sealed chunk holds yet.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Writes what was held back, as the last chunk.
    pub fn finish(mut self) -> io::Result<W> {
        self.chunk(Place::Last)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn chunk(&mut self, place: Place) -> io::Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(io::Error::other("the sealed file is cut after an earlier error"));
        }
        let tag =
            self.stream.seal(place, &mut self.held).ok_or_else(|| io::Error::other("too much to seal"))?;
        self.out.write_all(&self.held)?;
        self.out.write_all(&tag)?;
        self.held.clear();
        self.broken = false;
        Ok(())
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.len() == CHUNK && !bytes.is_empty() {
            self.chunk(Place::Within)?;
        }
        let taken = bytes.get(..CHUNK - self.held.len()).unwrap_or(bytes);
        self.held.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W> fmt::Debug for SealWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealWriter").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

/// Bytes of a sealed file, for so many bytes sealed to so many recipients.
pub fn sealed_len(recipients: usize, bytes: u64) -> u64 {
    let chunks = bytes.div_ceil(CHUNK as u64).max(1);
    header::len(recipients as u64) + 16 + bytes + chunks * TAG as u64
}
