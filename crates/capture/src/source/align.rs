//! How far the clocks of several inputs are apart.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::FixedState;
use sidetap_model::{Addr, Ts};

use super::Packet;
use super::input::Reader;
use crate::decode::{Decoded, Decoder, Segment};

/// Packets looked at, over all inputs.
const PACKETS: usize = 400_000;
/// Marks remembered, over all inputs.
const MARKS: usize = 400_000;
const BUFFER: usize = 256 << 10;
/// Fewer agreeing packets than this say nothing.
const WITNESSES: usize = 3;
/// An effect that comes less than this before its cause is the capture's jitter, no clock.
const JITTER: i64 = 1_000_000;
/// The same packet seen this far apart at two places may have been on its way.
const ON_THE_WAY: u64 = 100_000_000;

/// What to add to the times of each input, so that its clock goes with that of the first input it shares flows with.
///
/// Inputs that see the same connections say how far their clocks are apart: what one shows sent, the other shows acknowledged,
/// and no acknowledgement comes before what it acknowledges (two clocks with traffic both ways: RFC 5905 §8). Nothing is
/// added where causes precede effects as it is. Reads the first packets of each file; inputs that cannot be read
/// twice (standard input, pipes) are left alone.
pub(super) fn offsets(paths: &[PathBuf]) -> Vec<i64> {
    let readable = |p: &PathBuf| std::fs::metadata(p).is_ok_and(|m| m.is_file());
    if paths.len() < 2 || !paths.iter().all(readable) {
        return vec![0; paths.len()];
    }
    let mut marks = Marks::default();
    for (input, path) in paths.iter().enumerate() {
        marks.look(input, path, PACKETS / paths.len());
    }
    spread(paths.len(), |a, b| marks.apart(a, b))
}

/// Gives each input the offset that follows from those before it; `apart(a, b)` is by how much the clock of b is ahead of a's.
fn spread(inputs: usize, apart: impl Fn(usize, usize) -> Option<i64>) -> Vec<i64> {
    let mut known: Vec<Option<i64>> = vec![None; inputs];
    while let Some(root) = known.iter().position(Option::is_none) {
        let mut open = vec![(root, 0)];
        while let Some((a, offset)) = open.pop() {
            if let Some(place) = known.get_mut(a) {
                *place = Some(offset);
            }
            let unknown = (0..inputs).filter(|b| known.get(*b).is_some_and(Option::is_none));
            let related: Vec<_> =
                unknown.filter_map(|b| Some((b, i64::saturating_sub(offset, apart(a, b)?)))).collect();
            for (b, offset) in related {
                if let Some(place) = known.get_mut(b) {
                    *place = Some(offset);
                }
                open.push((b, offset));
            }
        }
    }
    known.into_iter().map(Option::unwrap_or_default).collect()
}

/// When each input first saw a byte sent, and acknowledged.
#[derive(Default)]
struct Marks {
    sent: HashMap<(u64, usize), Ts, FixedState>,
    acknowledged: HashMap<(u64, usize), Ts, FixedState>,
}

impl Marks {
    fn look(&mut self, input: usize, path: &Path, packets: usize) {
        let Ok(mut reader) = Reader::open(path, BUFFER, Arc::default()) else { return };
        let mut decoder = Decoder::new(Default::default());
        for _ in 0..packets {
            let Ok(Some(record)) = reader.next() else { return };
            let packet = Packet {
                ts: record.ts,
                link: record.link,
                interface: record.interface as u32,
                port: "",
                data: reader.bytes(&record),
                orig_len: record.orig_len,
                block: None,
            };
            if let Decoded::Segment(segment) = decoder.decode(&packet)
                && self.sent.len() + self.acknowledged.len() < MARKS
            {
                self.note(input, &segment);
            }
        }
    }

    fn note(&mut self, input: usize, s: &Segment<'_>) {
        let control = u32::from(s.flags.syn()) + u32::from(s.flags.fin());
        let len = (s.payload.len() as u32).wrapping_add(s.snapped).wrapping_add(control);
        if len > 0 {
            let mark = mark(&s.src, &s.dst, s.seq.wrapping_add(len));
            self.sent.entry((mark, input)).or_insert(s.ts);
        }
        if s.flags.ack() {
            self.acknowledged.entry((mark(&s.dst, &s.src, s.ack), input)).or_insert(s.ts);
        }
    }

    /// By how much the clock of `b` is ahead of that of `a`, where it is plain that they differ.
    fn apart(&self, a: usize, b: usize) -> Option<i64> {
        let seen_twice = self.differences(&self.sent, a, b);
        if seen_twice.len() >= WITNESSES {
            return at(&seen_twice, 2).filter(|d| d.unsigned_abs() > ON_THE_WAY);
        }
        let there = at(&self.differences(&self.acknowledged, a, b), 10);
        let back = at(&self.differences(&self.acknowledged, b, a), 10);
        let apart = match (there, back) {
            (Some(there), Some(back)) if there.min(back) < -JITTER => there.saturating_sub(back) / 2,
            (Some(there), None) if there < -JITTER => there,
            (None, Some(back)) if back < -JITTER => back.saturating_neg(),
            _ => return None,
        };
        Some(apart)
    }

    /// From what `a` saw sent to the same mark in `b`, in order of size; empty where too few say so.
    fn differences(&self, marks: &HashMap<(u64, usize), Ts, FixedState>, a: usize, b: usize) -> Vec<i64> {
        let mine = self.sent.iter().filter(|((_, input), _)| *input == a);
        let mut found: Vec<i64> =
            mine.filter_map(|((mark, _), ts)| Some(marks.get(&(*mark, b))?.since(*ts))).collect();
        found.sort_unstable();
        if found.len() < WITNESSES { Vec::new() } else { found }
    }
}

/// The byte before `end` of what `src` sends to `dst`.
fn mark(src: &Addr, dst: &Addr, end: u32) -> u64 {
    FixedState::default().hash_one((src, dst, end))
}

/// What lies one `part`th of the way up.
fn at(sorted: &[i64], part: usize) -> Option<i64> {
    sorted.get(sorted.len() / part).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_from_one_input_to_the_next() {
        let apart = |a: usize, b: usize| match (a, b) {
            (0, 2) => Some(3),
            (2, 0) => Some(-3),
            (2, 1) => Some(4),
            (1, 2) => Some(-4),
            _ => None,
        };
        assert_eq!(spread(4, apart), [0, -7, -3, 0]);
        assert!(spread(0, apart).is_empty());
    }
}
