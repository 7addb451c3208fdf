use sidetap_model::{Anomaly, AnomalySet};

/// Trailer bytes kept; a longer trailer section is read to its end without them.
const LONGEST_TRAILER: usize = 16 << 10;
/// Hexadecimal digits of a chunk size, leading zeros left out.
const LONGEST_SIZE: u32 = 15;

/// Decoder of the chunked transfer coding (RFC 9112 §7.1), fed piece by piece.
///
/// Keeps no data: chunk bytes are handed on as slices of the input. Extensions and white space of any length cost no memory.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    trailer: Vec<u8>,
    /// A line ended, or a size was left out, as only some servers take it.
    odd_lines: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    SizeStart,
    Size {
        size: u64,
        digits: u32,
    },
    /// Behind the size: white space or an extension, up to the line's end.
    Extension {
        size: u64,
        /// The last byte was a CR.
        cr: bool,
    },
    /// Inside the chunk's data.
    Data {
        left: u64,
    },
    /// Behind the chunk's data.
    DataEnd,
    DataLf,
    Trailer {
        line: usize,
        /// The last byte was a CR.
        cr: bool,
    },
    Done,
    Broken,
}

/// Where the coding stands after a piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkEnd {
    /// More is to come.
    More,
    /// The first line ended at which servers differ in what follows; this many bytes of the piece were read.
    Odd(usize),
    /// The message ended; this many bytes of the piece belong to it.
    Done(usize),
    /// What came is no chunk; this many bytes of the piece were read before.
    Broken(usize),
}

impl Default for Chunked {
    fn default() -> Self {
        Chunked { state: State::SizeStart, trailer: Vec::new(), odd_lines: false }
    }
}

impl Chunked {
    /// Feeds a piece; chunk data goes to `data` in order.
    pub fn feed(
        &mut self,
        input: &[u8],
        anomalies: &mut AnomalySet,
        mut data: impl FnMut(&[u8]),
    ) -> ChunkEnd {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|r| !r.is_empty()) {
            if let State::Data { left } = self.state {
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                data(rest.get(..n).unwrap_or_default());
                at += n;
                let left = left - n as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
                continue;
            }
            let Some(byte) = rest.first() else { break };
            let was_odd = self.odd_lines;
            let used = self.control(*byte, anomalies);
            at += usize::from(used);
            match self.state {
                State::Done => return ChunkEnd::Done(at),
                State::Broken => return ChunkEnd::Broken(at),
                _ if self.odd_lines != was_odd => return ChunkEnd::Odd(at),
                _ => {}
            }
        }
        ChunkEnd::More
    }

    /// Takes `len` bytes that were lost; false where they cannot be placed (they reach beyond a chunk's data).
    pub fn gap(&mut self, len: u64) -> bool {
        match self.state {
            State::Data { left } if len <= left => {
                self.state = if len == left { State::DataEnd } else { State::Data { left: left - len } };
                true
            }
            _ => {
                self.state = State::Broken;
                false
            }
        }
    }

    /// The trailer section as sent, without its empty line.
    pub fn trailer(&self) -> &[u8] {
        &self.trailer
    }

    /// Where it ends, and with it the message, servers differ.
    pub fn has_odd_lines(&self) -> bool {
        self.odd_lines
    }

    /// Bytes that it holds.
    pub fn held(&self) -> usize {
        self.trailer.capacity()
    }

    /// Reads one byte outside chunk data; false where it is left for the next state.
    fn control(&mut self, byte: u8, anomalies: &mut AnomalySet) -> bool {
        match self.state {
            State::SizeStart => match hex(byte) {
                Some(digit) => self.state = State::Size { size: digit, digits: u32::from(digit != 0) },
                None if matches!(byte, b' ' | b'\t') => self.odd(Anomaly::ChunkSizeOdd, anomalies),
                // Some servers take an extension without a size for the last chunk, others pass over an empty line before a size.
                None if byte == b';' => {
                    self.odd(Anomaly::ChunkSizeInvalid, anomalies);
                    self.state = State::Extension { size: 0, cr: false };
                }
                None if matches!(byte, b'\r' | b'\n') => {
                    self.odd(Anomaly::ChunkSizeInvalid, anomalies);
                }
                None => {
                    anomalies.insert(Anomaly::ChunkSizeInvalid);
                    self.state = State::Broken;
                    return false;
                }
            },
            State::Size { size, digits } => return self.size(size, digits, byte, anomalies),
            State::Extension { size, cr } => {
                if byte == b'\n' {
                    if !cr {
                        self.odd(Anomaly::BareLf, anomalies);
                    }
                    self.start_chunk(size);
                } else {
                    if cr {
                        self.odd(Anomaly::BareCr, anomalies);
                    }
                    self.state = State::Extension { size, cr: byte == b'\r' };
                }
            }
            State::DataEnd => match byte {
                b'\r' => self.state = State::DataLf,
                b'\n' => {
                    self.odd(Anomaly::BareLf, anomalies);
                    self.state = State::SizeStart;
                }
                _ => return self.no_terminator(anomalies),
            },
            State::DataLf => match byte {
                b'\n' => self.state = State::SizeStart,
                _ => return self.no_terminator(anomalies),
            },
            State::Trailer { line, cr } => self.trailer_byte(line, cr, byte, anomalies),
            State::Data { .. } | State::Done | State::Broken => return false,
        }
        true
    }

    fn size(&mut self, size: u64, digits: u32, byte: u8, anomalies: &mut AnomalySet) -> bool {
        if let Some(digit) = hex(byte) {
            if size == 0 {
                anomalies.insert(Anomaly::ChunkSizeOdd);
            }
            let digits = digits + u32::from(size != 0 || digit != 0);
            if digits > LONGEST_SIZE {
                anomalies.insert(Anomaly::ChunkSizeInvalid);
                self.state = State::Broken;
                return false;
            }
            self.state = State::Size { size: size << 4 | digit, digits };
            return true;
        }
        match byte {
            b'\n' => {
                self.odd(Anomaly::BareLf, anomalies);
                self.start_chunk(size);
            }
            b'\r' => self.state = State::Extension { size, cr: true },
            b';' => {
                anomalies.insert(Anomaly::ChunkExtension);
                self.state = State::Extension { size, cr: false };
            }
            // Servers that take none there end the message with it, whatever their application goes on with.
            b' ' | b'\t' => {
                self.odd(Anomaly::ChunkSizeOdd, anomalies);
                self.state = State::Extension { size, cr: false };
            }
            _ => {
                anomalies.insert(Anomaly::ChunkSizeInvalid);
                self.state = State::Broken;
                return false;
            }
        }
        true
    }

    fn start_chunk(&mut self, size: u64) {
        self.state =
            if size == 0 { State::Trailer { line: 0, cr: false } } else { State::Data { left: size } };
    }

    /// Servers differ in where this line ends, or whether it is one.
    fn odd(&mut self, anomaly: Anomaly, anomalies: &mut AnomalySet) {
        anomalies.insert(anomaly);
        self.odd_lines = true;
    }

    /// A chunk that no line end follows: where the next one begins is anybody's guess, and servers refuse it.
    fn no_terminator(&mut self, anomalies: &mut AnomalySet) -> bool {
        anomalies.insert(Anomaly::ChunkTerminator);
        self.state = State::Broken;
        false
    }

    fn trailer_byte(&mut self, line: usize, cr: bool, byte: u8, anomalies: &mut AnomalySet) {
        if cr && byte != b'\n' {
            self.odd(Anomaly::BareCr, anomalies);
        }
        if byte == b'\n' && !cr {
            self.odd(Anomaly::BareLf, anomalies);
        }
        self.state = match byte {
            b'\n' if line == 0 => State::Done,
            b'\n' => State::Trailer { line: 0, cr: false },
            b'\r' => State::Trailer { line, cr: true },
            _ => State::Trailer { line: line.saturating_add(1), cr: false },
        };
        let ends = self.state == State::Done;
        if !ends && self.trailer.len() < LONGEST_TRAILER && (line > 0 || !matches!(byte, b'\r')) {
            self.trailer.push(byte);
        }
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&[u8]]) -> (Vec<u8>, ChunkEnd, Chunked, AnomalySet) {
        let (mut chunked, mut out, mut anomalies) = (Chunked::default(), Vec::new(), AnomalySet::default());
        let mut end = ChunkEnd::More;
        for piece in pieces {
            end = chunked.feed(piece, &mut anomalies, |d| out.extend_from_slice(d));
        }
        (out, end, chunked, anomalies)
    }

    #[test]
    fn chunks_in_any_pieces_give_the_same() {
        let whole =
            b"4;ext=1\r\nWiki\r\n0006\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nX-Sum: 1\r\n\r\nNEXT";
        let (out, end, chunked, anomalies) = decode(&[whole]);
        assert_eq!(out, b"Wikipedia in \r\n\r\nchunks.");
        assert_eq!(end, ChunkEnd::Done(whole.len() - 4));
        assert_eq!(chunked.trailer(), b"X-Sum: 1\r\n");
        assert!(anomalies.contains(Anomaly::ChunkExtension) && anomalies.contains(Anomaly::ChunkSizeOdd));
        let bytes: Vec<&[u8]> = whole[..whole.len() - 4].chunks(1).collect();
        let (again, end, ..) = decode(&bytes);
        assert_eq!((again, end), (out, ChunkEnd::Done(1)));
    }

    #[test]
    fn what_is_no_size_breaks_off() {
        let (out, end, _, anomalies) = decode(&[b"2\r\nab\r\nzz"]);
        assert_eq!((out.as_slice(), end), (&b"ab"[..], ChunkEnd::Broken(7)));
        assert!(anomalies.contains(Anomaly::ChunkSizeInvalid));
        let (_, end, ..) = decode(&[b"fffffffffffffffff\r\n"]);
        assert!(matches!(end, ChunkEnd::Broken(_)));
    }

    #[test]
    fn a_gap_inside_a_chunk_is_bridged_and_another_is_not() {
        let mut chunked = Chunked::default();
        let mut anomalies = AnomalySet::default();
        chunked.feed(b"a\r\n01", &mut anomalies, |_| {});
        assert!(chunked.gap(8));
        assert_eq!(chunked.feed(b"\r\n0\r\n\r\n", &mut anomalies, |_| {}), ChunkEnd::Done(7));
        let mut chunked = Chunked::default();
        chunked.feed(b"a\r\n01", &mut anomalies, |_| {});
        assert!(!chunked.gap(9));
    }
}
