use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use sidetap_model::Direction;

use super::Tape;

const BOMB: usize = 64 << 20;

/// A request that never ends: `piece` again and again behind its first lines.
pub(super) fn endless<W: Write>(
    tape: &mut Tape<'_, W>,
    size: u64,
    more: &str,
    piece: &str,
) -> io::Result<()> {
    let mut talk = tape.open(1)?;
    let head = format!("POST /endless HTTP/1.1\r\nHost: shop.example\r\n{more}");
    tape.send(&mut talk, Direction::Up, head.as_bytes())?;
    let block = piece.repeat(14_000 / piece.len());
    for _ in 0..size.div_ceil(block.len() as u64) {
        tape.send(&mut talk, Direction::Up, block.as_bytes())?;
    }
    Ok(())
}

/// The smallest requests, as many as have room in each segment, on one connection.
pub(super) fn pipelined<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    const AT_ONCE: u64 = 1000;
    let mut talk = tape.open(1)?;
    for _ in 0..size.div_ceil(AT_ONCE) {
        tape.send(&mut talk, Direction::Up, &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(AT_ONCE as usize))?;
    }
    Ok(())
}

/// Requests for targets of about so many bytes, none like another.
pub(super) fn targets<W: Write>(tape: &mut Tape<'_, W>, size: u64, bytes: usize) -> io::Result<()> {
    let tail = "abcdefgh\"".repeat(bytes / 9);
    for n in 0..size {
        let mut talk = tape.open(n)?;
        let request = format!("GET /{n}/{tail} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        tape.send(&mut talk, Direction::Up, request.as_bytes())?;
        tape.send(&mut talk, Direction::Down, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// Requests that nobody answers, on connections enough for all parts of the sensor to hold some, within a second; then one more
/// of somebody else long after.
pub(super) fn unanswered<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    const EACH: u64 = 25;
    for n in 0..size.div_ceil(EACH) {
        let mut talk = tape.open(n)?;
        let requests: String =
            (0..EACH).map(|at| format!("GET /{n}/{at} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
        tape.send(&mut talk, Direction::Up, requests.as_bytes())?;
    }
    for wait in [4, 4, 4, 700, 4, 4] {
        tape.ts = tape.ts.plus(wait * 1_000_000_000);
        let mut talk = tape.open(size + wait as u64)?;
        tape.send(&mut talk, Direction::Up, b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")?;
    }
    Ok(())
}

/// Clients that ask for a dozen endpoints at once, each with a field value of its own, and are answered once.
pub(super) fn many_each<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    const EACH: u64 = 12;
    for n in 0..size {
        let mut talk = tape.open(n)?;
        let head = format!("HTTP/1.1\r\nHost: shop.example\r\nX-Request: {n:x}\r\n\r\n");
        let requests: String = (0..EACH).map(|at| format!("GET /api/part{at}/list {head}")).collect();
        tape.send(&mut talk, Direction::Up, requests.as_bytes())?;
        tape.send(&mut talk, Direction::Down, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
    }
    Ok(())
}

/// Requests with white space without end in a field.
pub(super) fn tabs<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    let tabs = "\t ".repeat(30_000);
    for n in 0..size {
        let mut talk = tape.open(n)?;
        let request =
            format!("POST /tabs HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\nX:{tabs}x\r\n\r\nx");
        tape.send(&mut talk, Direction::Up, request.as_bytes())?;
        tape.send(&mut talk, Direction::Down, b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
    Ok(())
}

/// Tunnels in tunnels of HTTP: all requests, then all answers in one segment as off-load makes it.
pub(super) fn connects<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    const DEPTH: usize = 2_000;
    for n in 0..size {
        let mut talk = tape.open(n)?.with_mss(60_000);
        tape.send(&mut talk, Direction::Up, &b"CONNECT a:1 HTTP/1.1\r\n\r\n".repeat(DEPTH))?;
        tape.send(&mut talk, Direction::Down, &b"HTTP/1.1 200 OK\r\n\r\n".repeat(DEPTH))?;
    }
    Ok(())
}

/// Exchanges whose response grows when it is decoded.
pub(super) fn bombs<W: Write>(
    tape: &mut Tape<'_, W>,
    size: u64,
    coding: &str,
    bomb: &[u8],
) -> io::Result<()> {
    for n in 0..size {
        let mut talk = tape.open(n)?;
        let request =
            format!("GET /report/{n} HTTP/1.1\r\nHost: shop.example\r\nAccept-Encoding: {coding}\r\n\r\n");
        tape.send(&mut talk, Direction::Up, request.as_bytes())?;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        );
        tape.send(&mut talk, Direction::Down, &[head.as_bytes(), bomb].concat())?;
        tape.close(&mut talk)?;
    }
    Ok(())
}

pub(super) fn gzip_bomb() -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = [0; 1 << 16];
    for _ in 0..BOMB / zeros.len() {
        encoder.write_all(&zeros)?;
    }
    encoder.finish()
}

/// A Zstandard frame of blocks that repeat one byte (RFC 8878 §3.1.1.2.2).
pub(crate) fn zstd_bomb() -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    // Magic number; frame header without sizes or checksum; a window of 128 KiB.
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks = BOMB / BLOCK;
    for n in 0..blocks {
        let head = (BLOCK << 3 | 1 << 1 | usize::from(n + 1 == blocks)) as u32;
        out.extend_from_slice(&head.to_le_bytes()[..3]);
        out.push(b'0');
    }
    out
}

/// A Zstandard frame of a few bytes that asks for a window of 128 MiB (RFC 8878 §3.1.1.1.2).
pub(super) fn zstd_window() -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3];
    let text = br#"{"ok":true}"#;
    let head = (text.len() << 3 | 1) as u32;
    out.extend_from_slice(&head.to_le_bytes()[..3]);
    out.extend_from_slice(text);
    out
}

/// 64 MiB of zeros.
pub(crate) const BROTLI_BOMB: [u8; 54] = [
    0xcf, 0xff, 0xff, 0x7f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x9f, 0xff, 0xff, 0xff,
    0xf0, 0x4f, 0x00, 0xc4, 0x61, 0x01, 0x80, 0xee, 0xfd, 0x3f, 0xff, 0xff, 0xff, 0xe1, 0x9f, 0x00, 0x88,
    0xc3, 0x22, 0x00, 0xdd, 0xfb, 0x7f, 0xfe, 0xff, 0xff, 0xc3, 0x3f, 0x01, 0x10, 0x87, 0x05, 0x00, 0xba,
    0xf7, 0xff, 0x03,
];

/// Requests and responses of arrays and objects in each other.
pub(super) fn deep_json<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    const DEPTH: usize = 50_000;
    let arrays = ["[".repeat(DEPTH), "]".repeat(DEPTH)].concat();
    let objects = ["{\"a\":".repeat(DEPTH / 3), "1".to_owned(), "}".repeat(DEPTH / 3)].concat();
    for n in 0..size {
        let mut talk = tape.open(n)?;
        let (up, down) = if n % 2 == 0 { (&arrays, &objects) } else { (&objects, &arrays) };
        let lines = |body: &str| {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let request = format!("POST /deep HTTP/1.1\r\nHost: shop.example\r\n{}", lines(up));
        tape.send(&mut talk, Direction::Up, request.as_bytes())?;
        tape.send(&mut talk, Direction::Down, format!("HTTP/1.1 200 OK\r\n{}", lines(down)).as_bytes())?;
        tape.close(&mut talk)?;
    }
    Ok(())
}
