use sidetap_model::Ts;

use super::LinkType;
use super::input::{ReadError, Record};
use super::window::Window;

/// Larger than any snap length in use: a record that claims more is corrupt.
pub(super) const LARGEST_RECORD: u32 = 16 << 20;

/// The classic capture format in both byte orders, with micro- or nanoseconds, also with Kuznetzov's longer record headers.
pub(crate) struct Pcap {
    big_endian: bool,
    nanos_per_unit: i64,
    header_len: usize,
    link: LinkType,
}

impl Pcap {
    /// Recognises the file header; of one cut short the magic number is enough.
    pub(crate) fn recognise(head: &[u8]) -> Option<Pcap> {
        let [a, b, c, d, ..] = *head else { return None };
        let (big_endian, magic) = match u32::from_le_bytes([a, b, c, d]) {
            m @ (0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34) => (false, m),
            m => (true, m.swap_bytes()),
        };
        let (nanos_per_unit, header_len) = match magic {
            0xa1b2_c3d4 => (1000, 16),
            0xa1b2_3c4d => (1, 16),
            0xa1b2_cd34 => (1000, 24),
            _ => return None,
        };
        let mut pcap = Pcap { big_endian, nanos_per_unit, header_len, link: LinkType(0) };
        // The upper bits hold the length of a frame check sequence.
        pcap.link = LinkType((pcap.u32(head, 20) & 0xffff) as u16);
        Some(pcap)
    }

    /// Reads the next record into `out`; false at the end.
    #[inline]
    pub(crate) fn next(&mut self, window: &mut Window, out: &mut Record) -> Result<bool, ReadError> {
        let at = window.position();
        if !window.need(self.header_len)? {
            return if window.visible().is_empty() { Ok(false) } else { Err(ReadError::Cut(at)) };
        }
        let head = window.visible();
        let (secs, fraction) = (self.u32(head, 0), self.u32(head, 4));
        let (len, orig_len) = (self.u32(head, 8), self.u32(head, 12));
        if len > LARGEST_RECORD {
            return Err(ReadError::Corrupt { at, what: "its length cannot be" });
        }
        let len = len as usize;
        if !window.need(self.header_len + len)? {
            return Err(ReadError::Cut(at));
        }
        let start = window.mark() + self.header_len;
        window.advance(self.header_len + len);
        out.ts = Ts::from_parts(i64::from(secs), i64::from(fraction) * self.nanos_per_unit);
        out.link = self.link;
        out.interface = 0;
        out.start = start;
        out.len = len;
        out.orig_len = orig_len;
        Ok(true)
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        u32_at(bytes, at, self.big_endian)
    }
}

/// Four bytes at `at` as a number, 0 where there are less.
pub(super) fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).unwrap_or_default();
    if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
}
