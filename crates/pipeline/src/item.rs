use std::net::IpAddr;

use sidetap_model::{EndpointRef, FlowId, Ts, Zone};

use crate::hops::Mark;
use crate::raw::Raw;
use crate::row;
use crate::spool::LookupKey;

/// Slim observations of one exchange, on their way from a worker to the coordinator.
#[derive(Debug)]
pub(crate) struct Item {
    weight: u32,
    pub(crate) order: Order,
    pub(crate) zone: Zone,
    /// Where it went; `None` where there is no request.
    pub(crate) endpoint: Option<EndpointRef>,
    pub(crate) bots: Option<Box<sidetap_bots::Observation>>,
    /// The mark of a request whose answer is open; that of a finished exchange stands in `whole`.
    open: Option<Box<Mark>>,
    /// What only a finished exchange has.
    pub(crate) whole: Option<Box<Whole>>,
}

impl Item {
    /// Bytes that an item takes, at least.
    pub(crate) const USUAL: usize = 3 << 10;

    /// An item of these parts.
    pub(crate) fn new(
        order: Order,
        zone: Zone,
        endpoint: Option<EndpointRef>,
        bots: Option<Box<sidetap_bots::Observation>>,
        open: Option<Box<Mark>>,
        whole: Option<Box<Whole>>,
    ) -> Self {
        let seen = bots.as_deref().map_or(0, sidetap_bots::Observation::heap_bytes);
        let own = endpoint.as_ref().map_or(0, EndpointRef::heap_bytes);
        let bytes = seen + own + whole.as_deref().map_or(0, Whole::heap_bytes);
        let weight = 1 + u32::try_from(bytes / Self::USUAL).unwrap_or(u32::MAX - 1);
        Item { weight, order, zone, endpoint, bots, open, whole }
    }

    /// How many items of usual size it takes the room of: lines, paths and names are as long as those who ask make them.
    pub(crate) const fn weight(&self) -> usize {
        self.weight as usize
    }

    /// What tells whether it may be a later hop of another, or another of it; none of a late answer.
    pub(crate) fn mark(&self) -> Option<&Mark> {
        self.open.as_deref().or_else(|| self.whole.as_ref()?.hop.as_ref())
    }

    /// True of the answer to a request that was shown while it was open.
    pub(crate) fn is_late_answer(&self) -> bool {
        self.whole.is_some() && self.mark().is_none()
    }

    /// Takes out its mark.
    pub(crate) fn take_mark(&mut self) -> Option<Mark> {
        let open = self.open.take().map(|mark| *mark);
        open.or_else(|| self.whole.as_mut()?.hop.take())
    }

    /// Makes it a later hop of `root`: what that one told is not counted again, and its line says so.
    pub(crate) fn join(&mut self, root: (FlowId, u32)) {
        self.bots = None;
        if let Some(whole) = &mut self.whole {
            whole.discovery = None;
            whole.sightings.clear();
            whole.attempts.clear();
            whole.seen = None;
            if let Some((line, _)) = &mut whole.line {
                row::set_hop_of(line, root);
            }
        }
    }
}

/// The part of an item that comes once, when the exchange is finished.
#[derive(Debug)]
pub(crate) struct Whole {
    /// What it has in common with other hops; of a late answer nothing, that stood in its request's.
    pub(crate) hop: Option<Mark>,
    pub(crate) discovery: Option<sidetap_discovery::Observation>,
    pub(crate) sightings: Vec<sidetap_sensitive::Sighting>,
    pub(crate) attempts: Vec<sidetap_threats::Attempt>,
    pub(crate) source: Option<SourceSeen>,
    pub(crate) line: Option<(Vec<u8>, Option<LookupKey>)>,
    /// What evidence may be made of.
    pub(crate) seen: Option<Box<Seen>>,
}

/// An exchange for the ring of recent ones.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) raw: Raw,
    /// Everything that its client is known by.
    pub(crate) names: Vec<Name>,
}

/// One of the names of somebody who acts, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(pub(crate) u64);

impl Whole {
    fn heap_bytes(&self) -> usize {
        let discovery = self.discovery.as_ref().map_or(0, sidetap_discovery::Observation::heap_bytes);
        let sightings = self.sightings.iter().map(|s| size_of_val(s) + s.heap_bytes()).sum::<usize>();
        let attempts = self.attempts.iter().map(|a| size_of_val(a) + a.heap_bytes()).sum::<usize>();
        let line = self.line.as_ref();
        let line = line.map_or(0, |(line, key)| line.len() + key.as_ref().map_or(0, LookupKey::heap_bytes));
        let seen = self.seen.as_ref().map_or(0, |s| s.raw.heap_bytes() + s.names.len() * size_of::<Name>());
        discovery + sightings + attempts + line + seen
    }
}

/// What a request tells of its source as a possible proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceSeen {
    pub(crate) zone: u16,
    pub(crate) ip: IpAddr,
    pub(crate) forwarded: Option<u64>,
    pub(crate) agent: u64,
}

/// The total order in which items are judged: by time, then by what the time cannot tell apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Order {
    pub(crate) ts: Ts,
    pub(crate) flow: FlowId,
    pub(crate) seq: u32,
    /// 0 for a request whose answer is still open, 1 for a whole exchange or its late answer.
    pub(crate) stage: u8,
}

#[cfg(test)]
mod tests {
    use sidetap_model::EndpointId;

    use super::*;

    fn item(endpoint: Option<EndpointRef>, whole: Option<Whole>) -> Item {
        let order = Order { ts: Ts(0), flow: FlowId(1), seq: 0, stage: 1 };
        Item::new(order, Zone::default(), endpoint, None, None, whole.map(Box::new))
    }

    #[test]
    fn an_item_weighs_what_it_carries_whether_it_has_a_line_or_not() {
        let whole = |line| Whole {
            hop: None,
            discovery: None,
            sightings: vec![],
            attempts: vec![],
            source: None,
            line,
            seen: None,
        };
        assert_eq!(item(None, None).weight(), 1);
        assert_eq!(item(None, Some(whole(Some((vec![0; 1000], None))))).weight(), 1);
        let long = EndpointRef::new(EndpointId(1), "host", "GET", "/a".repeat(30_000).as_str());
        assert_eq!(item(Some(long), None).weight(), 20);
        let key = LookupKey { path: vec![b'a'; 60_000], ..LookupKey::default() };
        assert_eq!(item(None, Some(whole(Some((vec![0; 60_000], Some(key)))))).weight(), 40);
        let sighting = sidetap_sensitive::Sighting {
            direction: sidetap_sensitive::Dir::Request,
            location: "path:1".into(),
            kind: sidetap_sensitive::TypeId(0),
            alternatives: Default::default(),
            confidence: 90,
            count: 1,
            masked: "x".repeat(60_000),
            digest: 0,
        };
        let seen = Whole { sightings: vec![sighting], ..whole(None) };
        assert_eq!(item(None, Some(seen)).weight(), 20);
    }
}
