//! From what sources say to one table of disjoint ranges.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::IntelError;
use crate::catalog::facts;
use crate::kind::Kinds;
use crate::range::Range;
use crate::special::special_use;
use crate::table::{List, ListKind, Record, Segments, SourceInfo, Table};

/// Collects what sources say. Of two sources that name a network or a country for an address, the one that was added first
/// wins; within a source the narrower range does. Kinds and lists add up.
#[derive(Debug, Default)]
pub struct Compiler {
    sources: Vec<SourceInfo>,
    networks: Vec<Vec<(Range, u32)>>,
    countries: Vec<Vec<(Range, [u8; 2])>>,
    kinds: BTreeMap<Kinds, Vec<Range>>,
    lists: Vec<List>,
    on_list: Vec<Vec<Range>>,
    organizations: BTreeMap<u32, String>,
    network_kinds: BTreeMap<u32, Kinds>,
    listed_networks: BTreeMap<u32, BTreeSet<u16>>,
    /// Parts of names in lower case, with their list.
    listed_names: Vec<(String, u16)>,
}

/// An address as a number.
trait Address: Copy + Ord {
    fn next(self) -> Option<Self>;
    fn before(self) -> Option<Self>;
}

impl Address for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Address for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// What a layer says of a range.
type Span<A> = (A, A, u32);

/// What one layer is about.
#[derive(Clone, Copy, Debug)]
enum Says {
    Network,
    Country,
    Kinds,
    List(u16),
}

impl Compiler {
    /// One that knows the registries of special-use addresses and what well-known networks are.
    pub fn new() -> Self {
        let mut c = Compiler::default();
        let mut registries: BTreeMap<&str, Vec<Range>> = BTreeMap::new();
        for (range, kind, text) in special_use() {
            c.kinds.entry(Kinds::of(kind)).or_default().push(range);
            registries.entry(text).or_default().push(range);
        }
        for (text, ranges) in registries {
            let list = List {
                name: "iana".into(),
                kind: ListKind::Registry,
                label: text.into(),
                weight: 0.0,
                expires: None,
            };
            if let Ok(n) = c.list(list) {
                c.stands_on(n, ranges);
            }
        }
        c.network_kinds = facts().networks.clone();
        c
    }

    /// Notes where the following came from.
    pub fn source(&mut self, info: SourceInfo) {
        self.sources.push(info);
    }

    /// Networks by range, of one source.
    pub fn networks(&mut self, ranges: Vec<(Range, u32)>) {
        self.networks.push(ranges);
    }

    /// Countries by range, of one source.
    pub fn countries(&mut self, ranges: Vec<(Range, [u8; 2])>) {
        self.countries.push(ranges);
    }

    /// What a network's holder is called; the first name stays.
    pub fn organization(&mut self, asn: u32, name: &str) {
        if !name.is_empty() {
            self.organizations.entry(asn).or_insert_with(|| name.to_owned());
        }
    }

    /// What ranges are used for.
    pub fn kinds(&mut self, kinds: Kinds, ranges: Vec<Range>) {
        self.kinds.entry(kinds).or_default().extend(ranges);
    }

    /// What a network is used for.
    pub fn network_kinds(&mut self, asn: u32, kinds: Kinds) {
        self.network_kinds.entry(asn).or_default().insert(kinds);
    }

    /// Adds a list; gives its number.
    pub fn list(&mut self, list: List) -> Result<u16, IntelError> {
        let n = u16::try_from(self.lists.len()).map_err(|_| IntelError::TooMany("lists"))?;
        self.lists.push(list);
        self.on_list.push(Vec::new());
        Ok(n)
    }

    /// Ranges stand on a list.
    pub fn stands_on(&mut self, list: u16, ranges: Vec<Range>) {
        if let Some(on) = self.on_list.get_mut(usize::from(list)) {
            on.extend(ranges);
        }
    }

    /// A network stands on a list.
    pub fn network_stands_on(&mut self, list: u16, asn: u32) {
        self.listed_networks.entry(asn).or_default().insert(list);
    }

    /// Organizations whose name holds this text stand on a list.
    pub fn name_stands_on(&mut self, list: u16, part: &str) {
        self.listed_names.push((part.to_lowercase(), list));
    }

    /// The table.
    pub fn finish(mut self) -> Result<Table, IntelError> {
        self.by_name();
        let mut records = Records::default();
        let v4 = self.segments::<u32>(&mut records, |r| match r {
            Range::V4(a, b) => Some((a, b)),
            Range::V6(..) => None,
        })?;
        let v6 = self.segments::<u128>(&mut records, |r| match r {
            Range::V6(a, b) => Some((a, b)),
            Range::V4(..) => None,
        })?;
        let mut table = Table {
            sources: self.sources,
            lists: self.lists,
            organizations: self.organizations.into_iter().collect(),
            records: records.all,
            sets: records.sets,
            v4,
            v6,
            index: Vec::new(),
        };
        table.make_index();
        Ok(table)
    }

    /// What names of organizations say: their lists, and what they are used for where nothing better is known.
    fn by_name(&mut self) {
        for (asn, name) in &self.organizations {
            let low = name.to_lowercase();
            let lists = self.listed_names.iter().filter(|(part, _)| low.contains(part.as_str()));
            for (_, list) in lists {
                self.listed_networks.entry(*asn).or_default().insert(*list);
            }
            if !self.network_kinds.contains_key(asn) {
                let kinds = facts().kinds_of_name(&low);
                if !kinds.is_empty() {
                    self.network_kinds.insert(*asn, kinds);
                }
            }
        }
    }

    /// The layers of one family, each of disjoint ranges in order.
    fn layers<A: Address>(&self, of: impl Fn(Range) -> Option<(A, A)>) -> Vec<(Says, Vec<Span<A>>)> {
        let mut layers = Vec::new();
        let mut add = |says: Says, spans: Vec<Span<A>>| layers.push((says, flattened(spans)));
        for source in &self.networks {
            let spans = source.iter().filter_map(|(r, asn)| of(*r).map(|(a, b)| (a, b, *asn)));
            add(Says::Network, spans.collect());
        }
        for source in &self.countries {
            let code = |c: &[u8; 2]| u32::from(u16::from_be_bytes(*c));
            let spans = source.iter().filter_map(|(r, c)| of(*r).map(|(a, b)| (a, b, code(c))));
            add(Says::Country, spans.collect());
        }
        for (at, ranges) in self.kinds.values().enumerate() {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            add(Says::Kinds, ranges.iter().filter_map(|r| of(*r).map(|(a, b)| (a, b, at))).collect());
        }
        for (at, ranges) in self.on_list.iter().enumerate() {
            let at = u16::try_from(at).unwrap_or(u16::MAX);
            add(Says::List(at), ranges.iter().filter_map(|r| of(*r).map(|(a, b)| (a, b, 1))).collect());
        }
        layers
    }

    fn segments<A: Address>(
        &self,
        records: &mut Records,
        of: impl Fn(Range) -> Option<(A, A)>,
    ) -> Result<Segments<A>, IntelError> {
        let layers = self.layers(of);
        let kinds: Vec<Kinds> = self.kinds.keys().copied().collect();
        let mut events: Vec<(A, usize, Option<u32>)> = Vec::new();
        for (layer, (_, spans)) in layers.iter().enumerate() {
            for (from, to, value) in spans {
                events.push((*from, layer, Some(*value)));
                events.extend(to.next().map(|after| (after, layer, None)));
            }
        }
        // At one address a layer's end comes before its next beginning.
        events.sort_unstable_by_key(|(at, layer, value)| (*at, *layer, value.is_some()));
        let mut state: Vec<Option<u32>> = vec![None; layers.len()];
        let mut out = Segments { starts: Vec::new(), records: Vec::new() };
        let mut last = records.number(Record::default(), &BTreeSet::new())?;
        let mut events = events.into_iter().peekable();
        while let Some((at, layer, value)) = events.next() {
            if let Some(slot) = state.get_mut(layer) {
                *slot = value;
            }
            if events.peek().is_some_and(|(next, _, _)| *next == at) {
                continue;
            }
            let (record, lists) = self.joined(&layers, &state, &kinds);
            let number = records.number(record, &lists)?;
            if number != last {
                out.starts.push(at);
                out.records.push(number);
                last = number;
            }
        }
        Ok(out)
    }

    /// What all layers together say of an address.
    fn joined<A>(
        &self,
        layers: &[(Says, Vec<Span<A>>)],
        state: &[Option<u32>],
        kinds: &[Kinds],
    ) -> (Record, BTreeSet<u16>) {
        let mut record = Record::default();
        let mut lists = BTreeSet::new();
        for ((says, _), value) in layers.iter().zip(state) {
            let Some(value) = *value else { continue };
            match says {
                Says::Network if record.asn == 0 => record.asn = value,
                Says::Country if record.country == [0, 0] => {
                    record.country = u16::try_from(value).unwrap_or_default().to_be_bytes();
                }
                Says::Network | Says::Country => {}
                Says::Kinds => record.kinds.insert(kinds.get(value as usize).copied().unwrap_or_default()),
                Says::List(n) => {
                    lists.insert(*n);
                }
            }
        }
        if record.asn != 0 {
            record.kinds.insert(self.network_kinds.get(&record.asn).copied().unwrap_or_default());
            lists.extend(self.listed_networks.get(&record.asn).into_iter().flatten());
        }
        (record, lists)
    }
}

impl Table {
    /// Makes the index of the first 16 bits.
    pub(crate) fn make_index(&mut self) {
        let mut index = Vec::with_capacity(65_537);
        let mut at = 0;
        for bucket in 0..=65_536u64 {
            while self.v4.starts.get(at).is_some_and(|s| u64::from(*s) < bucket << 16) {
                at += 1;
            }
            index.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        self.index = index;
    }
}

/// Records and sets of lists, each once.
#[derive(Default)]
struct Records {
    all: Vec<Record>,
    numbers: HashMap<Record, u32>,
    sets: Vec<Vec<u16>>,
    set_numbers: HashMap<Vec<u16>, u32>,
}

impl Records {
    fn number(&mut self, mut record: Record, lists: &BTreeSet<u16>) -> Result<u32, IntelError> {
        let set: Vec<u16> = lists.iter().copied().collect();
        if self.sets.is_empty() {
            self.sets.push(Vec::new());
            self.set_numbers.insert(Vec::new(), 0);
        }
        record.lists = match self.set_numbers.get(&set) {
            Some(n) => *n,
            None => {
                let n = u32::try_from(self.sets.len()).map_err(|_| IntelError::TooMany("sets of lists"))?;
                self.sets.push(set.clone());
                self.set_numbers.insert(set, n);
                n
            }
        };
        if let Some(n) = self.numbers.get(&record) {
            return Ok(*n);
        }
        let n = u32::try_from(self.all.len()).map_err(|_| IntelError::TooMany("records"))?;
        self.all.push(record);
        self.numbers.insert(record, n);
        Ok(n)
    }
}

/// Makes ranges disjoint: where they overlap the one that begins later, or else the narrower one, is right.
fn flattened<A: Address>(mut spans: Vec<Span<A>>) -> Vec<Span<A>> {
    spans.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut out: Vec<Span<A>> = Vec::with_capacity(spans.len());
    let mut open: Vec<(A, u32)> = Vec::new();
    let mut at: Option<A> = None;
    for (from, to, value) in spans {
        close(&mut open, &mut at, &mut out, Some(from));
        if let (Some((_, below)), Some(start), Some(end)) = (open.last(), at, from.before())
            && start <= end
        {
            push(&mut out, (start, end, *below));
        }
        at = Some(from);
        open.push((to, value));
    }
    close(&mut open, &mut at, &mut out, None);
    out
}

/// Ends the open ranges that end before `until`; all of them where there is none.
fn close<A: Address>(open: &mut Vec<(A, u32)>, at: &mut Option<A>, out: &mut Vec<Span<A>>, until: Option<A>) {
    while let Some((end, value)) = open.last().copied() {
        if until.is_some_and(|u| end >= u) {
            return;
        }
        open.pop();
        if let Some(start) = *at
            && start <= end
        {
            push(out, (start, end, value));
            *at = end.next();
        }
    }
}

/// Adds a range; one that goes on where the last one ended, with the same value, lengthens it.
fn push<A: Address>(out: &mut Vec<Span<A>>, span: Span<A>) {
    match out.last_mut() {
        Some(last) if last.2 == span.2 && last.1.next() == Some(span.0) => last.1 = span.1,
        _ => out.push(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use proptest::prelude::*;
    use sidetap_model::Ts;
    use std::net::{IpAddr, Ipv4Addr};

    fn range(text: &str) -> Range {
        Range::parse(text).unwrap()
    }

    #[test]
    fn narrower_ranges_and_earlier_sources_win() {
        let mut c = Compiler::new();
        c.networks(vec![(range("20.0.0.0/8"), 100), (range("20.1.0.0/16"), 200)]);
        c.networks(vec![(range("20.1.0.0/16"), 300), (range("30.0.0.0/8"), 400)]);
        c.countries(vec![(range("20.0.0.0/8"), *b"FR"), (range("2a00::/16"), *b"DE")]);
        c.organization(200, "Inner Ltd");
        c.kinds(Kinds::of(Kind::Vpn), vec![range("20.1.2.0/24")]);
        let t = c.finish().unwrap();
        let at = |ip: &str| t.look_up(ip.parse().unwrap(), Ts(0));
        assert_eq!(at("20.0.0.1").origin.asn, 100);
        assert_eq!((at("20.1.0.1").origin.asn, at("20.1.255.255").organization), (200, Some("Inner Ltd")));
        assert_eq!(at("20.2.0.0").origin.asn, 100);
        assert_eq!((at("30.1.1.1").origin.asn, at("30.1.1.1").origin.country()), (400, None));
        assert_eq!(at("2a00:1::1").origin.country(), Some("DE"));
        let vpn = at("20.1.2.3").origin;
        assert!(vpn.kinds.has(Kind::Vpn) && vpn.asn == 200 && vpn.country() == Some("FR"));
        assert!(!at("20.1.3.0").origin.kinds.has(Kind::Vpn));
        assert!(at("21.0.0.0").is_empty() && at("19.255.255.255").is_empty());
    }

    #[test]
    fn reports_reach_networks_and_organizations_and_end() {
        let mut c = Compiler::new();
        let list = |name: &str, expires| List {
            name: name.into(),
            kind: ListKind::Reported,
            label: "abused".into(),
            weight: 0.5,
            expires,
        };
        let by_network = c.list(list("networks", None)).unwrap();
        let by_name = c.list(list("names", Some(1_000))).unwrap();
        c.networks(vec![(range("20.0.0.0/16"), 100), (range("21.0.0.0/16"), 101)]);
        c.organization(101, "Bulletproof Hosting LLC");
        c.network_stands_on(by_network, 100);
        c.name_stands_on(by_name, "bulletproof");
        let t = c.finish().unwrap();
        let lists = |ip: &str, s: i64| {
            let found = t.look_up(ip.parse().unwrap(), Ts::from_parts(s, 0));
            (found.lists.len(), found.origin.reported)
        };
        assert_eq!(lists("20.0.0.1", 5_000), (1, 0.5));
        assert_eq!(lists("21.0.0.1", 999), (1, 0.5));
        assert_eq!(lists("21.0.0.1", 1_001), (0, 0.0));
    }

    proptest! {
        /// The table says of every address what the narrowest and latest range says.
        #[test]
        fn lookups_agree_with_a_search_of_all_ranges(
            nets in proptest::collection::vec((any::<u32>(), 4u8..=32, 1u32..50), 1..60),
            asked in proptest::collection::vec(any::<u32>(), 40),
        ) {
            let mut ranges: Vec<(Range, u32)> = Vec::new();
            for (a, len, asn) in nets {
                let net = ipnet::Ipv4Net::new(Ipv4Addr::from_bits(a), len).unwrap().trunc();
                let range = Range::from(ipnet::IpNet::V4(net));
                if !ranges.iter().any(|(r, _)| *r == range) {
                    ranges.push((range, asn));
                }
            }
            let mut c = Compiler::default();
            c.networks(ranges.clone());
            let t = c.finish().unwrap();
            let edges = ranges.iter().flat_map(|(r, _)| match r {
                Range::V4(a, b) => [*a, *b, a.wrapping_sub(1), b.wrapping_add(1)],
                Range::V6(..) => [0; 4],
            });
            for address in asked.into_iter().chain(edges) {
                let holds = |r: &Range| matches!(r, Range::V4(a, b) if *a <= address && address <= *b);
                let best = ranges.iter().filter(|(r, _)| holds(r)).min_by_key(|(r, _)| r.len());
                let ip = IpAddr::V4(Ipv4Addr::from_bits(address));
                prop_assert_eq!(t.origin(ip, Ts(0)).asn, best.map_or(0, |(_, asn)| *asn));
            }
        }
    }
}
