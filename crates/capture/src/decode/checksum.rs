use super::ends::Ends;
use super::segment::mix;
use super::tcp::Head;
use super::walk::IpFacts;

/// Sources whose checksums are remembered. A new one takes the place of the one that shares its slot.
const SOURCES: usize = 4096;
/// Counts are halved here, so that a source's habit may change.
const FULL: u32 = 1 << 14;
/// Right checksums that a source must have shown before a wrong one counts against it.
const PROVEN: u32 = 16;
/// One segment in so many must have a checksum left to the card for a source to be one that does so.
const SHARE: u64 = 8;
/// The logarithm of the odds against the belief that it does where it does not: one in a million.
const ODDS: f64 = 13.8;
/// No frame on a wire is longer, jumbo frames included.
const LARGEST_FRAME: usize = 9216;

/// What became of a segment's checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Right,
    /// Wrong, of a source of which too little is known.
    Unproven,
    /// Wrong, and so are the sender's others: a card fills them in behind the place of capture.
    Offloaded,
    /// Wrong: the receiver drops it.
    Wrong,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sum {
    Right,
    /// The sum of the pseudo-header alone, or nothing yet: what a stack leaves to the card.
    Partial,
    Wrong,
}

#[derive(Clone, Copy, Default)]
struct Source {
    key: u64,
    right: u32,
    partial: u32,
    wrong: u32,
}

/// Tells checksum off-load from corruption by what each source usually sends.
///
/// A source is a sender on the innermost link layer that names one, since off-load belongs to a network card; where none
/// does, it is the sender's address. A wrong checksum is off-load where most of the source's are wrong; a partial one also where
/// the source sends them regularly ([`Source::leaves_regularly`]) or the segment is larger than a frame can be. A source is judged once
/// it has shown enough right ones. All else the receiver drops, and so does Sidetap.
pub(super) struct Offload {
    sources: Vec<Source>,
    forgotten: u64,
}

impl Offload {
    pub(super) fn new() -> Self {
        Offload { sources: vec![Source::default(); SOURCES], forgotten: 0 }
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    #[inline]
    pub(super) fn judge<E: Ends>(&mut self, source: u64, head: &Head<'_, E>, ip: &IpFacts) -> Verdict {
        let sum = match tcp(head, ip) {
            Sum::Right if ip.sound => Sum::Right,
            Sum::Right => Sum::Wrong,
            other => other,
        };
        self.source(source).map_or(Verdict::Right, |s| s.judge(sum, head.walk.data.len() > LARGEST_FRAME))
    }

    /// Judges a fragment, of which the IP header's checksum is all there is; the habits of the two sums are not one.
    pub(super) fn judge_header(&mut self, source: u64, ip: &IpFacts) -> Verdict {
        let sum = if ip.sound { Sum::Right } else { Sum::Wrong };
        self.source(!source).map_or(Verdict::Right, |s| s.judge(sum, false))
    }

    #[inline]
    fn source(&mut self, source: u64) -> Option<&mut Source> {
        let key = source | 1;
        let known = self.sources.get_mut((mix(key) >> 52) as usize % SOURCES)?;
        if known.key != key {
            self.forgotten += u64::from(known.key != 0);
            *known = Source { key, ..Source::default() };
        }
        Some(known)
    }
}

impl Source {
    #[inline]
    fn judge(&mut self, sum: Sum, large: bool) -> Verdict {
        let count = match sum {
            Sum::Right => &mut self.right,
            Sum::Partial => &mut self.partial,
            Sum::Wrong => &mut self.wrong,
        };
        *count += 1;
        if *count >= FULL {
            self.right /= 2;
            self.partial /= 2;
            self.wrong /= 2;
        }
        let mostly = self.wrong + self.partial > self.right;
        match sum {
            Sum::Right => Verdict::Right,
            _ if mostly => Verdict::Offloaded,
            Sum::Partial if large || self.leaves_regularly() => Verdict::Offloaded,
            _ if self.right < PROVEN => Verdict::Unproven,
            _ => Verdict::Wrong,
        }
    }
}

impl Source {
    /// Whether the partial checksums that it showed are too many for a source of which less than one in [`SHARE`] segments has one: by
    /// Hoeffding's bound that happens to one in a million. So whoever sends less than that share of a source's segments, as one of many
    /// behind a router does, cannot have his decoys believed.
    fn leaves_regularly(&self) -> bool {
        let all = u64::from(self.right) + u64::from(self.partial) + u64::from(self.wrong);
        let above = (u64::from(self.partial) * SHARE).saturating_sub(all) as f64 / SHARE as f64;
        above * above * 2.0 >= ODDS * all as f64
    }
}

/// True where the header of an IPv4 packet sums up (RFC 791 §3.1).
#[inline]
pub(super) fn is_sound(header: &[u8]) -> bool {
    match header.first_chunk::<20>() {
        Some(plain) if header.len() == 20 => fold(words(plain)) == 0xffff,
        _ => fold(sum(header)) == 0xffff,
    }
}

#[inline]
fn tcp<E: Ends>(head: &Head<'_, E>, ip: &IpFacts) -> Sum {
    let data = head.walk.data;
    let len = u16::try_from(data.len()).unwrap_or(0);
    let protocol = u64::from(u16::from_ne_bytes([0, 6]));
    let Some(addresses) = head.ends.sum().map(|sum| sum + protocol) else { return Sum::Wrong };
    let length = u64::from(u16::from_ne_bytes(len.to_be_bytes()));
    if !ip.unsized_ && fold(sum(data) + addresses + length) == 0xffff {
        return Sum::Right;
    }
    let field = data.get(16..18).and_then(|b| b.first_chunk::<2>()).copied().map_or(0, u16::from_ne_bytes);
    let partial = [fold(addresses + length), fold(addresses), 0];
    if ip.unsized_ || partial.contains(&field) { Sum::Partial } else { Sum::Wrong }
}

/// The sum of a few words of four bytes.
#[inline]
fn words(data: &[u8]) -> u64 {
    data.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum()
}

/// The one's complement sum of 16-bit words in the machine's byte order (RFC 1071 §2), below 2^48.
///
/// Adds 32 bytes at a time as one number, whose carry is worth 1 as every carry of this sum is.
#[inline]
fn sum(data: &[u8]) -> u64 {
    let (mut a, mut b, mut c, mut d, mut carries) = (0u64, 0u64, 0u64, 0u64, 0u64);
    let (blocks, rest) = data.as_chunks::<32>();
    for block in blocks {
        let [w, x, y, z] = *block.as_chunks::<8>().0 else { continue };
        let carry;
        (a, carry) = a.carrying_add(u64::from_ne_bytes(w), false);
        let (sum, carry) = b.carrying_add(u64::from_ne_bytes(x), carry);
        b = sum;
        let (sum, carry) = c.carrying_add(u64::from_ne_bytes(y), carry);
        c = sum;
        let (sum, carry) = d.carrying_add(u64::from_ne_bytes(z), carry);
        d = sum;
        carries += u64::from(carry);
    }
    let mut total = carries + halves(a) + halves(b) + halves(c) + halves(d);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        total += halves(u64::from_ne_bytes(*word));
    }
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    let last = match rest {
        [a] => [*a, 0, 0, 0],
        [a, b] => [*a, *b, 0, 0],
        [a, b, c] => [*a, *b, *c, 0],
        _ => [0; 4],
    };
    total + u64::from(u32::from_ne_bytes(last))
}

#[inline]
const fn halves(word: u64) -> u64 {
    (word & 0xffff_ffff) + (word >> 32)
}

#[inline]
const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_sixteen_bit_words() {
        let data: Vec<u8> =
            (0..2000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0xc0).collect();
        for len in [0, 1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 100, 1447, 1448, 2000] {
            let words =
                data[..len].chunks(2).map(|w| u64::from(w[0]) << 8 | w.get(1).map_or(0, |b| u64::from(*b)));
            let mut plain: u64 = words.sum();
            while plain > 0xffff {
                plain = (plain & 0xffff) + (plain >> 16);
            }
            assert_eq!(fold(sum(&data[..len])), u16::from_ne_bytes((plain as u16).to_be_bytes()), "{len}");
        }
        assert_eq!(fold(u64::MAX), 0xffff);
    }

    #[test]
    fn what_a_source_usually_sends_tells_offload_from_corruption() {
        let mut source = Source::default();
        assert!((0..20).all(|_| source.judge(Sum::Wrong, false) == Verdict::Offloaded));
        let mut source = Source::default();
        assert_eq!(source.judge(Sum::Right, false), Verdict::Right);
        assert_eq!(source.judge(Sum::Wrong, false), Verdict::Unproven);
        for _ in 0..1000 {
            source.judge(Sum::Right, false);
        }
        assert_eq!(source.judge(Sum::Partial, false), Verdict::Wrong);
        assert_eq!(source.judge(Sum::Partial, true), Verdict::Offloaded);
        for _ in 0..150 {
            source.judge(Sum::Partial, true);
        }
        assert_eq!(
            source.judge(Sum::Partial, false),
            Verdict::Wrong,
            "one in eight may be somebody's decoys"
        );
        for _ in 0..110 {
            source.judge(Sum::Partial, true);
        }
        assert_eq!(source.judge(Sum::Partial, false), Verdict::Offloaded);
        assert_eq!(source.judge(Sum::Wrong, false), Verdict::Wrong);
        for _ in 0..100_000 {
            source.judge(Sum::Right, false);
        }
        assert_eq!(source.judge(Sum::Partial, false), Verdict::Wrong);
    }

    #[test]
    fn who_sends_a_tenth_of_a_source_makes_it_no_card_that_off_loads() {
        let mut rng = sidetap_testkit::Rng::new(20);
        let mut source = Source::default();
        let mut told = |share: u64, n: u32| {
            (0..n)
                .filter(|_| {
                    let sum = if rng.below(1000) < share { Sum::Partial } else { Sum::Right };
                    source.judge(sum, false) == Verdict::Offloaded
                })
                .count()
        };
        told(0, 16);
        assert_eq!(told(100, 200_000), 0);
        assert!(told(250, 200_000) > 40_000, "a quarter is told within some thousands");
    }
}
