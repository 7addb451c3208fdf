use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, StreamingDecoder};
use sidetap_model::Ts;

use super::LinkType;
use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::stdin::Patient;
use super::window::{Block, Window};

const NESTED_COMPRESSIONS: usize = 3;
const LARGEST_ZSTD_WINDOW: u64 = 128 << 20;

/// One packet record; its bytes stand in the reader's window until the next one is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) ts: Ts,
    pub(crate) link: LinkType,
    pub(crate) interface: usize,
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) orig_len: u32,
}

/// Why an input gave no (further) record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("empty file")]
    Empty,
    #[error("not a capture: starts with {0}")]
    NotACapture(String),
    #[error("capture cut mid-packet at byte {0}")]
    Cut(u64),
    #[error("not a usable record at byte {at}: {what}")]
    Corrupt { at: u64, what: &'static str },
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// A capture being read: compression taken off, format recognised, records one by one.
pub(crate) struct Reader {
    window: Window,
    format: Format,
}

impl Reader {
    /// Opens `path` (`-` is standard input), counting what is read of it in `count`.
    pub(crate) fn open(path: &Path, capacity: usize, count: Arc<AtomicU64>) -> Result<Self, ReadError> {
        let raw: Box<dyn Read + Send> = if path.as_os_str() == "-" {
            Box::new(Patient::stdin()?)
        } else if std::fs::metadata(path)?.file_type().is_fifo() {
            Box::new(Patient::fifo(path)?)
        } else {
            Box::new(File::open(path)?)
        };
        Reader::new(Box::new(Counted { inner: raw, count }), capacity)
    }

    /// Reads a capture from `inner`.
    pub(crate) fn new(inner: Box<dyn Read + Send>, capacity: usize) -> Result<Self, ReadError> {
        let mut window = Window::new(inner, capacity);
        for _ in 0..NESTED_COMPRESSIONS {
            window.need(4)?;
            let visible = window.visible();
            if visible.starts_with(&[0x1f, 0x8b]) {
                window = Window::new(Box::new(MultiGzDecoder::new(WindowReader(window))), capacity);
            } else if is_zstd(visible) {
                window = Window::new(Box::new(Zstd::new(window)), capacity);
            } else {
                break;
            }
        }
        let format = recognise(&mut window)?;
        Ok(Reader { window, format })
    }

    /// The next record, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, ReadError> {
        let mut record = Record::default();
        Ok(self.next_into(&mut record)?.then_some(record))
    }

    /// Reads the next record into `out`; false at the end.
    #[inline]
    pub(crate) fn next_into(&mut self, out: &mut Record) -> Result<bool, ReadError> {
        match &mut self.format {
            Format::Pcap(p) => p.next(&mut self.window, out),
            Format::Pcapng(p) => Ok(match p.next(&mut self.window)? {
                Some(record) => {
                    *out = record;
                    true
                }
                None => false,
            }),
        }
    }

    /// The name of a record's interface; empty where the capture does not tell it.
    pub(crate) fn port(&self, record: &Record) -> &str {
        match &self.format {
            Format::Pcap(_) => "",
            Format::Pcapng(p) => p.interface_name(record.interface),
        }
    }

    /// What the bytes of the last record are part of.
    pub(crate) fn block(&self) -> &Block {
        self.window.block()
    }

    /// The bytes of the last record.
    pub(crate) fn bytes(&self, record: &Record) -> &[u8] {
        self.window.range(record.start, record.len)
    }
}

fn recognise(window: &mut Window) -> Result<Format, ReadError> {
    if !window.need(24)? && window.visible().is_empty() {
        return Err(ReadError::Empty);
    }
    let head = window.visible().get(..24).unwrap_or(window.visible());
    if head.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        return Ok(Format::Pcapng(Pcapng::default()));
    }
    if let Some(pcap) = Pcap::recognise(head) {
        if head.len() < 24 {
            return Err(ReadError::Cut(head.len() as u64));
        }
        window.advance(24);
        return Ok(Format::Pcap(pcap));
    }
    Err(ReadError::NotACapture(describe(head)))
}

/// First bytes as hexadecimal digits, and as text where they are text.
fn describe(head: &[u8]) -> String {
    let head = head.get(..8).unwrap_or(head);
    let hex: Vec<String> = head.iter().map(|b| format!("{b:02x}")).collect();
    let text = head.iter().all(|b| (0x20..0x7f).contains(b) || b.is_ascii_whitespace());
    match std::str::from_utf8(head) {
        Ok(s) if text => format!("{} ({:?})", hex.join(" "), s),
        _ => hex.join(" "),
    }
}

fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable(head)
}

fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [b, 0x2a, 0x4d, 0x18, ..] if b & 0xf0 == 0x50)
}

struct Counted {
    inner: Box<dyn Read + Send>,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

struct WindowReader(Window);

impl Read for WindowReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || !self.0.need(1)? {
            return Ok(0);
        }
        let visible = self.0.visible();
        let n = visible.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), visible.get(..n)) {
            to.copy_from_slice(from);
        }
        self.0.advance(n);
        Ok(n)
    }
}

/// A zstd file: frames one after the other, skippable ones among them (RFC 8878 §3.1).
struct Zstd {
    state: ZstdState,
}

enum ZstdState {
    Between(Window),
    Frame(Box<StreamingDecoder<WindowReader, FrameDecoder>>),
    /// The file ends in the middle of a frame: what was decoded of it.
    Cut(io::Cursor<Vec<u8>>),
    Done,
}

impl Zstd {
    fn new(window: Window) -> Self {
        Zstd { state: ZstdState::Between(window) }
    }

    fn next_frame(mut window: Window) -> io::Result<ZstdState> {
        loop {
            if !window.need(8)? {
                let rest = window.visible().len();
                return if rest == 0 { Ok(ZstdState::Done) } else { Err(cut_compressed()) };
            }
            if !is_skippable(window.visible()) {
                break;
            }
            let len = match window.visible() {
                [_, _, _, _, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
                _ => return Err(cut_compressed()),
            };
            window.skip(8 + u64::from(len))?;
        }
        let decoder = StreamingDecoder::new_with_max_window_size(WindowReader(window), LARGEST_ZSTD_WINDOW);
        let decoder =
            decoder.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("zstd: {e}")))?;
        Ok(ZstdState::Frame(Box::new(decoder)))
    }
}

/// What a frame that was cut holds back for later blocks to refer to: an empty last block (RFC 8878 §3.1.1.2), with a checksum that
/// nobody compares, ends it.
fn decoded(mut frame: FrameDecoder) -> Vec<u8> {
    const LAST: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];
    let ended = frame.decode_blocks(&LAST[..], BlockDecodingStrategy::All);
    ended.ok().and_then(|_| frame.collect()).unwrap_or_default()
}

fn cut_compressed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "compressed file cut short")
}

impl Read for Zstd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.state, ZstdState::Done) {
                ZstdState::Done => return Ok(0),
                ZstdState::Between(window) => self.state = Zstd::next_frame(window)?,
                ZstdState::Frame(mut decoder) => match decoder.read(buf) {
                    Ok(0) => self.state = ZstdState::Between(decoder.into_inner().0),
                    Ok(n) => {
                        self.state = ZstdState::Frame(decoder);
                        return Ok(n);
                    }
                    Err(_) => {
                        let (WindowReader(mut rest), frame) = decoder.into_parts();
                        if rest.need(1)? {
                            return Err(io::Error::new(io::ErrorKind::InvalidData, "zstd: damaged data"));
                        }
                        self.state = ZstdState::Cut(io::Cursor::new(decoded(frame)));
                    }
                },
                ZstdState::Cut(mut left) => match left.read(buf)? {
                    0 => return Err(cut_compressed()),
                    n => {
                        self.state = ZstdState::Cut(left);
                        return Ok(n);
                    }
                },
            }
        }
    }
}
