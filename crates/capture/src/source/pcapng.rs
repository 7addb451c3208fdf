use sidetap_model::Ts;

use super::LinkType;
use super::input::{ReadError, Record};
use super::pcap::{LARGEST_RECORD, u32_at};
use super::window::Window;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const MAX_INTERFACES: usize = 65_536;
const LONGEST_NAME: usize = 256;
/// Names are kept beyond their section, up to so many, for packets that are still held back.
const MOST_NAMES: usize = 4096;
const BLOCK_OVERHEAD: usize = 12;

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    units_per_second: u64,
    offset_secs: i64,
}

/// The pcapng format: several sections in either byte order, several interfaces with their own link type and resolution.
///
/// Reads enhanced, simple and obsolete packet blocks; passes over all others (draft-ietf-opsawg-pcapng).
#[derive(Default)]
pub(crate) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Their names, and those of sections before as far as there is room.
    names: Vec<String>,
    /// Interfaces of the sections before, so that numbers stay apart.
    base: u32,
    /// How many of those the first of `names` belongs to.
    forgotten: u32,
    last_ts: Ts,
}

impl Pcapng {
    pub(crate) fn next(&mut self, window: &mut Window) -> Result<Option<Record>, ReadError> {
        loop {
            let at = window.position();
            if !window.need(BLOCK_OVERHEAD)? {
                return if window.visible().is_empty() { Ok(None) } else { Err(ReadError::Cut(at)) };
            }
            let kind = u32_at(window.visible(), 0, self.big_endian);
            if kind == SECTION {
                self.section(window, at)?;
                continue;
            }
            let total = u32_at(window.visible(), 4, self.big_endian);
            if total < BLOCK_OVERHEAD as u32 {
                return Err(ReadError::Corrupt { at, what: "a block shorter than its own header" });
            }
            let padded = (total as usize).next_multiple_of(4);
            if !matches!(kind, INTERFACE | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
                if !window.skip(padded as u64)? {
                    return Err(ReadError::Cut(at));
                }
                continue;
            }
            if total > LARGEST_RECORD + 4096 {
                return Err(ReadError::Corrupt { at, what: "its length cannot be" });
            }
            if !window.need(padded)? {
                return Err(ReadError::Cut(at));
            }
            let start = window.mark() + 8;
            let body = window.range(start, total as usize - BLOCK_OVERHEAD);
            let record = match kind {
                INTERFACE => {
                    self.interface(body, at)?;
                    None
                }
                SIMPLE_PACKET => Some(self.simple(body, at)?),
                OLD_PACKET => Some(self.packet(body, at, old_interface)?),
                _ => Some(self.packet(body, at, new_interface)?),
            };
            window.advance(padded);
            if let Some(record) = record {
                return Ok(Some(Record { start: record.start + start, ..record }));
            }
        }
    }

    fn section(&mut self, window: &mut Window, at: u64) -> Result<(), ReadError> {
        if !window.need(16)? {
            return Err(ReadError::Cut(at));
        }
        let head = window.visible();
        self.big_endian = match u32_at(head, 8, true) {
            0x1a2b_3c4d => true,
            0x4d3c_2b1a => false,
            _ => return Err(ReadError::Corrupt { at, what: "a section of unknown byte order" }),
        };
        let total = u32_at(head, 4, self.big_endian);
        if total < 28 {
            return Err(ReadError::Corrupt { at, what: "a section header too short" });
        }
        self.base = self.base.saturating_add(self.interfaces.len() as u32);
        self.interfaces.clear();
        if self.names.len() > MOST_NAMES {
            self.names.clear();
            self.forgotten = self.base;
        }
        if window.skip(u64::from(total).next_multiple_of(4))? { Ok(()) } else { Err(ReadError::Cut(at)) }
    }

    fn interface(&mut self, body: &[u8], at: u64) -> Result<(), ReadError> {
        if body.len() < 8 || self.interfaces.len() >= MAX_INTERFACES {
            return Err(ReadError::Corrupt {
                at,
                what: "an interface description too short, or one too many",
            });
        }
        let mut interface = Interface {
            link: LinkType(self.u16(body, 0)),
            snaplen: self.u32(body, 4),
            units_per_second: 1_000_000,
            offset_secs: 0,
        };
        let mut name = String::new();
        let mut rest = body.get(8..).unwrap_or_default();
        while rest.len() >= 4 {
            let (code, len) = (self.u16(rest, 0), usize::from(self.u16(rest, 2)));
            let Some(value) = rest.get(4..4 + len) else { break };
            match (code, value) {
                (0, _) => break,
                (2, v) => name = String::from_utf8_lossy(v.get(..LONGEST_NAME).unwrap_or(v)).into_owned(),
                (9, [resolution, ..]) => interface.units_per_second = units_per_second(*resolution),
                (14, v) if v.len() >= 8 => interface.offset_secs = self.u64(v),
                _ => {}
            }
            rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
        self.names.push(name);
        Ok(())
    }

    /// The name of an interface, numbered as in records: of the current section, or of one lately.
    pub(crate) fn interface_name(&self, interface: usize) -> &str {
        let number = interface.checked_sub(self.forgotten as usize);
        number.and_then(|n| self.names.get(n)).map_or("", String::as_str)
    }

    fn packet(
        &mut self,
        body: &[u8],
        at: u64,
        interface_of: fn(&Self, &[u8]) -> u32,
    ) -> Result<Record, ReadError> {
        let number = interface_of(self, body);
        let interface = self.interface_numbered(number, at)?;
        let (high, low) = (self.u32(body, 4), self.u32(body, 8));
        let (len, orig_len) = (self.u32(body, 12) as usize, self.u32(body, 16));
        if body.len() < 20 || len > body.len() - 20 {
            return Err(ReadError::Corrupt { at, what: "a packet longer than its block" });
        }
        let ts = interface.time(u64::from(high) << 32 | u64::from(low));
        self.last_ts = ts;
        Ok(Record {
            ts,
            link: interface.link,
            interface: self.base.saturating_add(number) as usize,
            start: 20,
            len,
            orig_len,
        })
    }

    /// A simple packet has no time of its own: it gets that of the packet before.
    fn simple(&mut self, body: &[u8], at: u64) -> Result<Record, ReadError> {
        let interface = self.interface_numbered(0, at)?;
        let orig_len = self.u32(body, 0);
        let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let len = (orig_len.min(limit) as usize).min(body.len().saturating_sub(4));
        Ok(Record {
            ts: self.last_ts,
            link: interface.link,
            interface: self.base as usize,
            start: 4,
            len,
            orig_len,
        })
    }

    fn interface_numbered(&self, number: u32, at: u64) -> Result<Interface, ReadError> {
        let interface = self.interfaces.get(number as usize).copied();
        interface.ok_or(ReadError::Corrupt { at, what: "a packet of an interface that was not described" })
    }

    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let two = bytes.get(at..at + 2).and_then(|b| <[u8; 2]>::try_from(b).ok()).unwrap_or_default();
        if self.big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) }
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        u32_at(bytes, at, self.big_endian)
    }

    fn u64(&self, bytes: &[u8]) -> i64 {
        let (first, second) = (u64::from(self.u32(bytes, 0)), u64::from(self.u32(bytes, 4)));
        (if self.big_endian { first << 32 | second } else { second << 32 | first }) as i64
    }
}

fn new_interface(pcapng: &Pcapng, body: &[u8]) -> u32 {
    pcapng.u32(body, 0)
}

fn old_interface(pcapng: &Pcapng, body: &[u8]) -> u32 {
    u32::from(pcapng.u16(body, 0))
}

fn units_per_second(resolution: u8) -> u64 {
    let exponent = u32::from(resolution & 0x7f);
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(exponent).unwrap_or(u64::MAX)
}

impl Interface {
    fn time(&self, units: u64) -> Ts {
        let nanos = match self.units_per_second {
            1_000_000 => i128::from(units) * 1000,
            1_000_000_000 => i128::from(units),
            per_second => i128::from(units) * 1_000_000_000 / i128::from(per_second),
        };
        let nanos = nanos + i128::from(self.offset_secs) * 1_000_000_000;
        Ts(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
    }
}
