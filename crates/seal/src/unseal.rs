use std::io::{self, BufRead, Read, Write};

use zeroize::Zeroizing;

use crate::header;
use crate::stream::{CHUNK, Place, Stream, TAG};
use crate::{Identity, SealError};

/// What was read of a sealed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealed {
    /// Bytes that were sealed, as far as they could be read.
    pub bytes: u64,
    /// How the file ends.
    pub ending: Ending,
}

/// How a sealed file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its last chunk.
    Whole,
    /// Before its last chunk: its writer was killed, or the end is missing. So many bytes of a chunk that cannot be read follow what
    /// was.
    Cut {
        /// Bytes of the chunk that is not whole.
        rest: usize,
    },
}

/// Reads a sealed file with whichever of these keys opens it; writes what was sealed, chunk by chunk, each once it is authentic.
///
/// What a file that is cut still has is written, and the ending says so: a missing end is told from damage only where chunks after it
/// show it. On an error what was written before is authentic, though not all.
pub fn unseal(
    input: &mut impl BufRead,
    keys: &[Identity],
    out: &mut impl Write,
) -> Result<Unsealed, SealError> {
    let key = header::open(input, keys)?;
    let mut nonce = [0; 16];
    input.read_exact(&mut nonce).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => SealError::Header("it is cut"),
        _ => e.into(),
    })?;
    let mut stream = Stream::new(&key, &nonce);
    let mut chunk = Zeroizing::new(Vec::with_capacity(CHUNK + TAG));
    let mut bytes = 0;
    loop {
        chunk.clear();
        input.by_ref().take((CHUNK + TAG) as u64).read_to_end(&mut chunk)?;
        let more = !input.fill_buf()?.is_empty();
        let (len, ending) = match open(&mut stream, &mut chunk, more) {
            Some(read) => read,
            None if more || chunk.len() == CHUNK + TAG => return Err(SealError::Altered(bytes)),
            None => (0, Some(Ending::Cut { rest: chunk.len() })),
        };
        out.write_all(chunk.get(..len).unwrap_or_default())?;
        bytes += len as u64;
        if let Some(ending) = ending {
            out.flush()?;
            return Ok(Unsealed { bytes, ending });
        }
    }
}

/// Opens a chunk: how much it holds, and how the file ends where it does. Nothing where it does not open.
fn open(stream: &mut Stream, chunk: &mut [u8], more: bool) -> Option<(usize, Option<Ending>)> {
    if more {
        return Some((stream.open(Place::Within, chunk)?, None));
    }
    let first = stream.at_start();
    match stream.open(Place::Last, chunk) {
        // The last chunk has something in it, unless nothing was sealed.
        Some(0) if !first => None,
        Some(len) => Some((len, Some(Ending::Whole))),
        None if chunk.len() < CHUNK + TAG => None,
        None => Some((stream.open(Place::Within, chunk)?, Some(Ending::Cut { rest: 0 }))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SealWriter, sealed_len};

    fn sealed(key: &Identity, bytes: &[u8], step: usize) -> Vec<u8> {
        let mut writer = SealWriter::new(Vec::new(), &[key.recipient()]).unwrap();
        bytes.chunks(step).for_each(|part| writer.write_all(part).unwrap());
        writer.finish().unwrap()
    }

    fn read(key: Identity, file: &[u8]) -> (Vec<u8>, Result<Unsealed, SealError>) {
        let mut out = Vec::new();
        let end = unseal(&mut &file[..], &[key], &mut out);
        (out, end)
    }

    fn again(key: &Identity) -> Identity {
        key.secret_text().parse().unwrap()
    }

    fn sample(len: usize) -> Vec<u8> {
        (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    const EDGES: [usize; 9] =
        [0, 1, 15, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 7];

    #[test]
    fn what_is_sealed_is_read_again_at_every_edge_of_a_chunk() {
        let key = Identity::generate().unwrap();
        for len in EDGES {
            let bytes = sample(len);
            for step in [1_000, CHUNK, usize::MAX >> 1] {
                let file = sealed(&key, &bytes, step.max(1));
                assert_eq!(file.len() as u64, sealed_len(1, len as u64), "{len}");
                let (out, end) = read(again(&key), &file);
                assert!(out == bytes, "{len} in steps of {step}");
                assert_eq!(end.unwrap(), Unsealed { bytes: len as u64, ending: Ending::Whole });
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_gives_its_whole_chunks_and_says_so() {
        let key = Identity::generate().unwrap();
        let bytes = sample(2 * CHUNK + 100);
        let file = sealed(&key, &bytes, 5_000);
        let head = (sealed_len(1, 0) as usize) - TAG;
        for (at, whole, rest) in [
            (head, 0, 0),
            (head + 10, 0, 10),
            (head + CHUNK + TAG, CHUNK, 0),
            (head + CHUNK + TAG + 1, CHUNK, 1),
            (head + 2 * (CHUNK + TAG), 2 * CHUNK, 0),
            (file.len() - 1, 2 * CHUNK, 100 + TAG - 1),
        ] {
            let (out, end) = read(again(&key), &file[..at]);
            assert!(out == bytes[..whole], "cut at {at}");
            assert_eq!(
                end.unwrap(),
                Unsealed { bytes: whole as u64, ending: Ending::Cut { rest } },
                "cut at {at}"
            );
        }
        assert!(matches!(read(again(&key), &file[..head - 1]).1, Err(SealError::Header(_))));
    }

    #[test]
    fn a_writer_that_is_dropped_leaves_whole_chunks() {
        let key = Identity::generate().unwrap();
        let mut file = Vec::new();
        let bytes = sample(CHUNK + 100);
        let mut writer = SealWriter::new(&mut file, &[key.recipient()]).unwrap();
        writer.write_all(&bytes).unwrap();
        assert_eq!(writer.held(), 100);
        drop(writer);
        let (out, end) = read(key, &file);
        assert!(out == bytes[..CHUNK] && end.unwrap().ending == Ending::Cut { rest: 0 });
    }

    #[test]
    fn chunks_that_are_changed_moved_or_added_are_refused() {
        let key = Identity::generate().unwrap();
        let bytes = sample(3 * CHUNK);
        let file = sealed(&key, &bytes, CHUNK);
        let head = (sealed_len(1, 0) as usize) - TAG;
        let one = CHUNK + TAG;
        let mut changed = file.clone();
        changed[head + one + 5] ^= 1;
        let (out, end) = read(again(&key), &changed);
        assert!(out == bytes[..CHUNK] && matches!(end, Err(SealError::Altered(n)) if n == CHUNK as u64));
        let swapped = [&file[..head], &file[head + one..head + 2 * one], &file[head..head + one]].concat();
        assert!(matches!(read(again(&key), &swapped).1, Err(SealError::Altered(0))));
        let longer = [&file[..], b"more"].concat();
        let (out, end) = read(again(&key), &longer);
        assert!(out == bytes[..2 * CHUNK] && matches!(end, Err(SealError::Altered(_))));
        let mut last = file.clone();
        last[file.len() - 1] ^= 1;
        assert!(matches!(read(key, &last).1, Err(SealError::Altered(_))));
    }

    /// Takes a number of bytes, then fails.
    #[derive(Debug)]
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_written_after_an_error() {
        let key = Identity::generate().unwrap();
        let mut writer = SealWriter::new(Full(CHUNK), &[key.recipient()]).unwrap();
        assert!(writer.write_all(&sample(CHUNK + 1)).is_err());
        assert!(writer.write_all(b"more").is_err());
        let error = writer.finish().unwrap_err();
        assert!(error.to_string().contains("earlier error"), "{error}");
    }

    #[test]
    fn two_files_of_the_same_bytes_share_nothing() {
        let key = Identity::generate().unwrap();
        let (a, b) = (sealed(&key, b"same", 4), sealed(&key, b"same", 4));
        assert!(a[40..] != b[40..] && a[a.len() - 20..] != b[b.len() - 20..]);
    }
}
