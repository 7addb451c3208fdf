//! A table as a file: a mark, a version, a checksum, what it is made of as MessagePack, and the ranges as plain numbers.

use std::hash::Hasher;
use std::path::Path;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::table::{List, Record, Segments, SourceInfo, Table};
use crate::{IntelError, io_error};

const MARK: &[u8; 4] = b"SDTI";
const VERSION: u8 = 1;
/// Larger files are not read: a table of the whole Internet takes a twentieth of this.
const MOST: u64 = 512 << 20;

#[derive(Serialize, Deserialize)]
struct Head {
    sources: Vec<SourceInfo>,
    lists: Vec<List>,
    organizations: Vec<(u32, String)>,
    records: Vec<Record>,
    sets: Vec<Vec<u16>>,
    v4: u64,
    v6: u64,
}

impl Table {
    /// The table as a file holds it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = Head {
            sources: self.sources.clone(),
            lists: self.lists.clone(),
            organizations: self.organizations.clone(),
            records: self.records.clone(),
            sets: self.sets.clone(),
            v4: self.v4.starts.len() as u64,
            v6: self.v6.starts.len() as u64,
        };
        let mut out = Vec::new();
        out.extend_from_slice(MARK);
        out.push(VERSION);
        out.extend_from_slice(&[0; 8]);
        // Plain values written into memory cannot fail.
        let head = rmp_serde::to_vec(&head).unwrap_or_default();
        out.extend_from_slice(&(head.len() as u64).to_le_bytes());
        out.extend_from_slice(&head);
        self.v4.starts.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        self.v4.records.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        self.v6.starts.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        self.v6.records.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        let sum = checksum(out.get(BODY..).unwrap_or_default());
        if let Some(slot) = out.get_mut(BODY - 8..BODY) {
            slot.copy_from_slice(&sum.to_le_bytes());
        }
        out
    }

    /// Reads a table; `name` is what errors call it.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, IntelError> {
        let damaged = |what: &str| IntelError::Damaged(name.into(), what.into());
        let rest = bytes.strip_prefix(MARK).ok_or_else(|| IntelError::NotATable(name.into()))?;
        match rest.first() {
            Some(&VERSION) => {}
            Some(v) => return Err(IntelError::Version(name.into(), *v, VERSION)),
            None => return Err(damaged("cut short")),
        }
        let mut rest = rest.get(1..).unwrap_or_default();
        let sum = take(&mut rest, 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        if sum.ok_or_else(|| damaged("cut short"))? != checksum(rest) {
            return Err(damaged("its checksum is wrong"));
        }
        Self::read_body(rest).ok_or_else(|| damaged("its parts do not fit together"))
    }

    fn read_body(mut rest: &[u8]) -> Option<Self> {
        let head_len = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
        let head: Head = rmp_serde::from_slice(take(&mut rest, usize::try_from(head_len).ok()?)?).ok()?;
        let (v4, v6) = (usize::try_from(head.v4).ok()?, usize::try_from(head.v6).ok()?);
        let v4 = Segments {
            starts: numbers(take(&mut rest, v4.checked_mul(4)?)?, u32::from_le_bytes),
            records: numbers(take(&mut rest, v4.checked_mul(4)?)?, u32::from_le_bytes),
        };
        let v6 = Segments {
            starts: numbers(take(&mut rest, v6.checked_mul(16)?)?, u128::from_le_bytes),
            records: numbers(take(&mut rest, v6.checked_mul(4)?)?, u32::from_le_bytes),
        };
        let in_order = v4.starts.is_sorted() && v6.starts.is_sorted();
        let known = |n: &u32| (*n as usize) < head.records.len();
        if !rest.is_empty() || !in_order || !v4.records.iter().chain(&v6.records).all(known) {
            return None;
        }
        let Head { sources, lists, organizations, records, sets, .. } = head;
        let mut table = Table { sources, lists, organizations, records, sets, v4, v6, index: Vec::new() };
        table.make_index();
        Some(table)
    }

    /// Reads the table of a file.
    pub fn load(path: &Path) -> Result<Self, IntelError> {
        let name = path.display().to_string();
        let size = std::fs::metadata(path).map_err(|e| io_error(path, e))?.len();
        if size > MOST {
            return Err(IntelError::Damaged(name, format!("{size} bytes are more than any table has")));
        }
        let bytes = std::fs::read(path).map_err(|e| io_error(path, e))?;
        Table::from_bytes(&bytes, &name)
    }
}

/// Bytes before what the checksum covers.
const BODY: usize = 4 + 1 + 8;

/// Finds damage, not forgery.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(n)?;
    *rest = tail;
    Some(head)
}

fn numbers<const N: usize, T>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compiler, Range};
    use sidetap_model::Ts;

    fn table() -> Table {
        let mut c = Compiler::new();
        c.networks(vec![(Range::parse("20.0.0.0/8").unwrap(), 7), (Range::parse("2a00::/12").unwrap(), 8)]);
        c.organization(7, "Seven");
        c.source(SourceInfo { name: "own".into(), ..SourceInfo::default() });
        c.finish().unwrap()
    }

    #[test]
    fn a_table_comes_back_as_it_was() {
        let bytes = table().to_bytes();
        let back = Table::from_bytes(&bytes, "t").unwrap();
        assert_eq!(back.to_bytes(), bytes);
        let found = back.look_up("20.1.1.1".parse().unwrap(), Ts(0));
        assert_eq!((found.origin.asn, found.organization), (7, Some("Seven")));
        assert_eq!(back.sources()[0].name, "own");
    }

    #[test]
    fn what_is_damaged_is_refused_with_its_reason() {
        let bytes = table().to_bytes();
        let refused = |b: &[u8]| Table::from_bytes(b, "t").unwrap_err().to_string();
        assert!(refused(b"hello").contains("not a table"));
        assert!(refused(b"").contains("not a table"));
        assert!(refused(&bytes[..bytes.len() - 1]).contains("checksum"));
        let mut version = bytes.clone();
        version[4] = 9;
        assert!(refused(&version).contains("version 9"));
        for at in [20, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(refused(&flipped).contains("checksum"), "{at}");
        }
        assert!((0..12).all(|n| Table::from_bytes(&bytes[..n], "t").is_err()));
    }
}
