//! Content codings (RFC 9110 §8.4.1) under limits: gzip, deflate, br, zstd.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sidetap_model::{Anomaly, AnomalySet, Headers};
use smallvec::SmallVec;

/// What decoding may cost.
#[derive(Clone, Copy, Debug)]
pub struct CodingLimits {
    /// Bytes of a decoded body.
    pub size: usize,
    /// Decoded bytes for each encoded one, where more than 64 KiB come out.
    pub ratio: usize,
    /// Codings upon each other.
    pub layers: usize,
    /// Window of a Brotli stream in bits (RFC 7932 §9.1). A few bytes may ask for all of it to be filled before anything comes
    /// out, which takes 3 ms a MiB: two bits more are left to bodies of 4 KiB and more.
    pub window: u32,
}

impl Default for CodingLimits {
    fn default() -> Self {
        CodingLimits { size: 1 << 20, ratio: 200, layers: 2, window: 22 }
    }
}

/// Buffers and decoder states that are used again and again.
pub struct CodingScratch {
    first: Vec<u8>,
    second: Vec<u8>,
    zlib: Decompress,
    raw: Decompress,
}

impl Default for CodingScratch {
    fn default() -> Self {
        CodingScratch {
            first: Vec::new(),
            second: Vec::new(),
            zlib: Decompress::new(true),
            raw: Decompress::new(false),
        }
    }
}

/// Takes the content codings of a body off.
///
/// A body that was cut gives what could be decoded, without an anomaly. One over a limit gives what fits, one that is not
/// what it is declared as is given as it is, and both leave an anomaly.
pub fn decode<'a>(
    headers: &Headers,
    body: &'a [u8],
    limits: &CodingLimits,
    scratch: &'a mut CodingScratch,
    anomalies: &mut AnomalySet,
) -> &'a [u8] {
    let codings = codings(headers, anomalies);
    if codings.is_empty() || body.is_empty() {
        return body;
    }
    if codings.len() > limits.layers {
        anomalies.insert(Anomaly::ContentCodingLayers);
        return body;
    }
    let CodingScratch { first, second, zlib, raw } = scratch;
    let mut decoded = false;
    for coding in codings.iter().rev() {
        std::mem::swap(first, second);
        let input: &[u8] = if decoded { second } else { body };
        first.clear();
        let mut out = Output { bytes: first, limit: limit(limits, input.len()) };
        let end = match coding {
            Coding::Gzip => gzip(input, raw, &mut out),
            Coding::Deflate => deflate(input, zlib, raw, &mut out),
            Coding::Brotli => brotli(input, limits.window, &mut out),
            Coding::Zstd => zstd(input, &mut out),
        };
        match end {
            End::Done | End::Cut => {}
            End::Full => anomalies.insert(Anomaly::ContentCodingBomb),
            End::Invalid => anomalies.insert(Anomaly::ContentCodingInvalid),
        }
        if first.is_empty() && end == End::Invalid {
            return if decoded { second } else { body };
        }
        decoded = true;
    }
    first
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings in the order they were applied. One that is not known makes the body unreadable: none is given.
fn codings(headers: &Headers, anomalies: &mut AnomalySet) -> SmallVec<[Coding; 2]> {
    let mut codings = SmallVec::new();
    for name in headers.all("content-encoding").flat_map(|v| v.split(|b| *b == b',')).map(<[u8]>::trim_ascii)
    {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if name.is_empty() || is("identity") {
            continue;
        }
        if is("gzip") || is("x-gzip") {
            codings.push(Coding::Gzip);
        } else if is("deflate") {
            codings.push(Coding::Deflate);
        } else if is("br") {
            codings.push(Coding::Brotli);
        } else if is("zstd") {
            codings.push(Coding::Zstd);
        } else {
            anomalies.insert(Anomaly::ContentCodingUnknown);
            return SmallVec::new();
        }
    }
    codings
}

fn limit(limits: &CodingLimits, input: usize) -> usize {
    limits.size.min(input.saturating_mul(limits.ratio).max(64 << 10))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Done,
    Cut,
    Full,
    Invalid,
}

/// What most bodies fit in when they are decoded.
const FIRST_ROOM: usize = 16 << 10;

struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
}

impl Output<'_> {
    /// Room is made a piece at a time, by what came of this stream: what is set to zero in vain stays below what comes out, and nothing
    /// comes out beyond the limit.
    fn inflate(&mut self, input: &[u8], state: &mut Decompress) -> (End, usize) {
        loop {
            let (read, written) = (state.total_in(), self.bytes.len());
            if written >= self.limit {
                return (End::Full, 0);
            }
            let came = usize::try_from(state.total_out()).unwrap_or(usize::MAX);
            let room = (self.limit - written).min(came.max(FIRST_ROOM));
            self.bytes.resize(written + room, 0);
            let rest = input.get(usize::try_from(read).unwrap_or(usize::MAX)..).unwrap_or_default();
            let free = self.bytes.get_mut(written..).unwrap_or_default();
            let before = state.total_out();
            let status = state.decompress(rest, free, FlushDecompress::None);
            let out = usize::try_from(state.total_out() - before).unwrap_or(room).min(room);
            self.bytes.truncate(written + out);
            match status {
                Ok(Status::StreamEnd) => {
                    return (End::Done, usize::try_from(state.total_in()).unwrap_or(usize::MAX));
                }
                Ok(_) if state.total_in() == read && out == 0 => return (End::Cut, 0),
                Ok(_) => {}
                Err(_) => return (End::Invalid, 0),
            }
        }
    }

    fn read(&mut self, reader: &mut dyn Read) -> End {
        let mut chunk = [0; 8192];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return End::Done,
                Ok(n) => {
                    let room = self.limit.saturating_sub(self.bytes.len());
                    self.bytes.extend_from_slice(chunk.get(..n.min(room)).unwrap_or_default());
                    if n > room {
                        return End::Full;
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return End::Cut,
                Err(_) => return End::Invalid,
            }
        }
    }
}

/// Reads gzip members one after another (RFC 1952 §2.2). Checksums are not verified: a sensor has no one to tell.
fn gzip(input: &[u8], state: &mut Decompress, out: &mut Output<'_>) -> End {
    let mut rest = input;
    loop {
        let body = match gzip_header(rest) {
            Ok(len) => rest.get(len..).unwrap_or_default(),
            Err(_) if rest.len() < input.len() => return End::Done,
            Err(end) => return end,
        };
        state.reset(false);
        let (end, used) = out.inflate(body, state);
        if end != End::Done {
            return end;
        }
        rest = body.get(used.saturating_add(8)..).unwrap_or_default();
        if rest.is_empty() {
            return End::Done;
        }
    }
}

fn gzip_header(input: &[u8]) -> Result<usize, End> {
    let Some(head) = input.get(..10) else {
        return Err(if [0x1f, 0x8b, 8].starts_with(input.get(..input.len().min(3)).unwrap_or_default()) {
            End::Cut
        } else {
            End::Invalid
        });
    };
    let [0x1f, 0x8b, 8, flags, ..] = head else { return Err(End::Invalid) };
    let mut at = 10;
    if flags & 4 != 0 {
        let len =
            input.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes).ok_or(End::Cut)?;
        at += 2 + usize::from(len);
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += memchr::memchr(0, input.get(at..).ok_or(End::Cut)?).ok_or(End::Cut)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok(at)
}

/// Reads zlib (RFC 1950), or raw deflate (RFC 1951), which some send under this name.
fn deflate(input: &[u8], zlib: &mut Decompress, raw: &mut Decompress, out: &mut Output<'_>) -> End {
    let zlib_header =
        matches!(input, [a, b, ..] if a & 15 == 8 && (u16::from(*a) << 8 | u16::from(*b)) % 31 == 0);
    if zlib_header || input.len() < 2 {
        zlib.reset(true);
        let (end, _) = out.inflate(input, zlib);
        if end != End::Invalid || !out.bytes.is_empty() {
            return end;
        }
    }
    raw.reset(false);
    out.inflate(input, raw).0
}

/// The decoder does not tell a cut from a fault: where all was read and something came out, it was cut.
fn brotli(mut input: &[u8], window: u32, out: &mut Output<'_>) -> End {
    let allowed = if input.len() < 4096 { window } else { window + 2 };
    if brotli_window(input).is_some_and(|bits| bits > allowed) {
        return End::Full;
    }
    match out.read(&mut brotli_decompressor::Decompressor::new(&mut input, 4096)) {
        End::Invalid if input.is_empty() && !out.bytes.is_empty() => End::Cut,
        end => end,
    }
}

/// The bits of a Brotli stream's window; nothing where the first byte tells none.
fn brotli_window(input: &[u8]) -> Option<u32> {
    let first = u32::from(*input.first()?);
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => Some(16),
        (_, 0, 0) => Some(17),
        (_, 0, 1) => None,
        (_, 0, n) => Some(8 + n),
        (_, n, _) => Some(17 + n),
    }
}

const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The largest window that a Zstandard body may ask for (RFC 9659 §3; RFC 8878 §3.1.1.1.2 wants as much supported).
const ZSTD_WINDOW: u64 = 8 << 20;

/// Reads Zstandard frames one after another, past those that are to be skipped (RFC 8878 §3.1). No window is set aside: of a frame
/// no more is held than what comes out of it, so that one that asks for too large a window is read as well, and told.
fn zstd(input: &[u8], out: &mut Output<'_>) -> End {
    let (mut rest, mut end, mut beyond) = (input, End::Done, false);
    while end == End::Done && !rest.is_empty() {
        if let Some(after) = zstd_skipped(rest) {
            rest = after;
        } else if rest.starts_with(ZSTD_MAGIC) {
            end = zstd_frame(&mut rest, out, &mut beyond);
        } else if rest.len() < input.len() {
            // What follows a frame and is none says nothing of it.
            break;
        } else {
            end = if ZSTD_MAGIC.starts_with(rest) { End::Cut } else { End::Invalid };
        }
    }
    if beyond && end != End::Invalid { End::Full } else { end }
}

/// What follows a skippable frame, where one begins here (RFC 8878 §3.1.2).
fn zstd_skipped(input: &[u8]) -> Option<&[u8]> {
    let [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, rest @ ..] = input else { return None };
    let len = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?;
    Some(rest.get(len..).unwrap_or_default())
}

/// Reads one frame; notes where it asks for too large a window.
fn zstd_frame(input: &mut &[u8], out: &mut Output<'_>, beyond: &mut bool) -> End {
    /// An empty last block, and room for a checksum: what ends a frame that was cut, so that it gives what it holds.
    const LAST: &[u8] = &[1, 0, 0, 0, 0, 0, 0];
    let mut frame = FrameDecoder::new();
    frame.set_max_window_size(ZSTD_WINDOW);
    let head = *input;
    let mut begun = frame.init(&mut *input);
    if let Err(FrameDecoderError::WindowSizeTooBig { .. }) = begun {
        *beyond = true;
        *input = head;
        frame.set_max_window_size(u64::MAX);
        begun = frame.init(&mut *input);
    }
    match begun {
        Ok(()) => {}
        Err(FrameDecoderError::ReadFrameHeaderError(_)) if input.is_empty() => return End::Cut,
        Err(_) => return End::Invalid,
    }
    let room = out.limit.saturating_sub(out.bytes.len());
    let read = frame.decode_blocks(&mut *input, BlockDecodingStrategy::UptoBytes(room + 1));
    let end = match read {
        Ok(true) => End::Done,
        Ok(false) => End::Full,
        Err(_) if input.is_empty() => End::Cut,
        Err(_) => End::Invalid,
    };
    if end != End::Done && frame.decode_blocks(LAST, BlockDecodingStrategy::All).is_err() {
        return end;
    }
    // Writing to memory does not fail.
    let written = frame.collect_to_writer(&mut *out.bytes).unwrap_or_default();
    out.bytes.truncate(out.limit);
    if written > room { End::Full } else { end }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gz(data: &[u8]) -> Vec<u8> {
        let mut w = GzEncoder::new(Vec::new(), Compression::default());
        w.write_all(data).unwrap();
        w.finish().unwrap()
    }

    fn run(coding: &str, body: &[u8]) -> (Vec<u8>, AnomalySet) {
        let mut headers = Headers::default();
        headers.push(b"Content-Encoding", coding.as_bytes());
        let (mut scratch, mut anomalies) = (CodingScratch::default(), AnomalySet::default());
        let out = decode(&headers, body, &CodingLimits::default(), &mut scratch, &mut anomalies).to_vec();
        (out, anomalies)
    }

    #[test]
    fn a_few_bytes_may_not_ask_for_a_large_brotli_window() {
        // Seventeen bytes that fill sixteen mebibytes.
        let bomb = b"\xcf\xff\x28\x7f\xf8\x27\0\x62\x91\0\0\xba\xf7\xff\x25\x03";
        assert_eq!(brotli_window(bomb), Some(24));
        let mut out = Vec::new();
        assert_eq!(brotli(bomb, 22, &mut Output { bytes: &mut out, limit: 1 << 20 }), End::Full);
        assert!(out.is_empty());
        for (first, bits) in
            [(0x00, 16), (0x01, 17), (0x21, 10), (0x71, 15), (0x03, 18), (0x0b, 22), (0x0f, 24)]
        {
            assert_eq!(brotli_window(&[first]), Some(bits), "{first:#x}");
        }
        assert_eq!(brotli_window(&[0x11]), None);
    }

    #[test]
    fn codings_are_taken_off() {
        let text = b"hello hello hello".repeat(100);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(&text).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
        for (coding, body) in [
            ("gzip", gz(&text)),
            ("X-GZIP", [gz(&text[..100]), gz(&text[100..])].concat()),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            ("zstd", zstd),
            ("gzip, gzip", gz(&gz(&text))),
            ("identity", text.clone()),
        ] {
            let (out, anomalies) = run(coding, &body);
            assert!(out == text && anomalies.is_empty(), "{coding} {anomalies:?} {}", out.len());
        }
        let br = [
            0x1b, 0x10, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f, 0x01,
            0x4f, 0x1c, 0x60, 0x1c,
        ];
        assert_eq!(run("br", &br), (b"hello hello hello".to_vec(), AnomalySet::default()));
        assert!(run("br", b"{\"a\":1}").1.contains(Anomaly::ContentCodingInvalid));
    }

    #[test]
    fn a_cut_body_gives_what_could_be_decoded() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let body = gz(&text);
        let (out, anomalies) = run("gzip", &body[..body.len() / 2]);
        assert!(out.len() > 10_000 && text.starts_with(&out) && anomalies.is_empty());
    }

    /// A frame of blocks that each repeat one byte, with this window descriptor.
    fn zstd_of(window: u8, blocks: &[(u8, usize)]) -> Vec<u8> {
        let mut out = [ZSTD_MAGIC, &[0, window]].concat();
        for (n, (byte, len)) in blocks.iter().enumerate() {
            let head = (len << 3 | 1 << 1 | usize::from(n + 1 == blocks.len())) as u32;
            out.extend_from_slice(&head.to_le_bytes()[..3]);
            out.push(*byte);
        }
        out
    }

    #[test]
    fn a_zstandard_window_is_not_set_aside_and_one_that_is_too_large_is_told() {
        // 2^(10 + 13) bytes are what everybody reads, 2^(10 + 14) more than that; at last one of 3.5 TiB.
        for (window, told) in [(13 << 3, false), (14 << 3, true), (17 << 3, true), (0xfe, true)] {
            let (out, anomalies) = run("zstd", &zstd_of(window, &[(b'a', 1000), (b'b', 1000)]));
            assert!(out == [[b'a'; 1000], [b'b'; 1000]].concat(), "{window:#x}");
            assert_eq!(anomalies.contains(Anomaly::ContentCodingBomb), told, "{window:#x}");
        }
        // More than the limit, all of it inside the window.
        let (out, anomalies) = run("zstd", &zstd_of(13 << 3, &[(b'a', 128 << 10); 63]));
        assert!(out.len() < 1 << 20 && anomalies.contains(Anomaly::ContentCodingBomb), "{}", out.len());
    }

    #[test]
    fn zstandard_frames_follow_each_other_and_a_cut_one_gives_what_it_held() {
        let skipped = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let (first, second) =
            (zstd_of(0x38, &[(b'a', 10)]), zstd_of(0x68, &[(b'b', 9), (b'c', 5), (b'd', 5)]));
        let body = [&skipped[..], &first, &skipped, &second].concat();
        let text = b"aaaaaaaaaabbbbbbbbbcccccddddd";
        assert_eq!(run("zstd", &body), (text.to_vec(), AnomalySet::default()));
        assert_eq!(run("zstd", &[&body[..], b"junk"].concat()), (text.to_vec(), AnomalySet::default()));
        for cut in 1..=second.len() {
            let (out, anomalies) = run("zstd", &body[..body.len() - cut]);
            assert!(text.starts_with(&out) && anomalies.is_empty(), "{cut} {anomalies:?}");
            assert!(cut > 8 || out.len() >= 19, "{cut} {}", out.len());
        }
        let mut broken = second;
        broken[6] |= 6;
        assert!(run("zstd", &broken).1.contains(Anomaly::ContentCodingInvalid));
    }

    #[test]
    fn what_was_decoded_before_does_not_tell_what_comes_out() {
        let mut headers = Headers::default();
        headers.push(b"Content-Encoding", b"gzip");
        let text: Vec<u8> = (0..900_000_u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
        let (large, more) = (gz(&text), gz(&vec![b'y'; 80_000]));
        for before in [&b""[..], &large] {
            let (mut scratch, mut anomalies) = (CodingScratch::default(), AnomalySet::default());
            decode(&headers, before, &CodingLimits::default(), &mut scratch, &mut anomalies);
            assert!(anomalies.is_empty());
            // More than 64 KiB of a body that may have no more.
            assert!(
                decode(&headers, &more, &CodingLimits::default(), &mut scratch, &mut anomalies).len()
                    == 64 << 10
            );
            assert!(anomalies.contains(Anomaly::ContentCodingBomb));
            let small = CodingLimits { size: 4096, ..CodingLimits::default() };
            assert!(decode(&headers, &large, &small, &mut scratch, &mut anomalies) == &text[..4096]);
        }
    }

    #[test]
    fn bombs_lies_and_unknown_codings_are_anomalies() {
        let (out, anomalies) = run("gzip", &gz(&vec![0; 50 << 20]));
        assert!(out.len() <= 1 << 20 && anomalies.contains(Anomaly::ContentCodingBomb));
        let (out, anomalies) = run("gzip", b"{\"a\":1}");
        assert!(out == b"{\"a\":1}" && anomalies.contains(Anomaly::ContentCodingInvalid));
        assert!(run("pack200", b"x").1.contains(Anomaly::ContentCodingUnknown));
        assert!(run("gzip,gzip,gzip", b"x").1.contains(Anomaly::ContentCodingLayers));
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(
            mut body in prop::collection::vec(any::<u8>(), 0..200), coding in 0..6_usize, magic: bool,
        ) {
            let (name, head): (_, &[u8]) = [
                ("gzip", &[0x1f, 0x8b, 8][..]), ("deflate", &[0x78, 0x9c]), ("br", &[]),
                ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]), ("br, gzip", &[0x1f, 0x8b, 8]), ("gzip, zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
            ][coding];
            if magic {
                body.splice(0..0, head.iter().copied());
            }
            prop_assert!(run(name, &body).0.len() <= 1 << 20);
        }
    }
}
