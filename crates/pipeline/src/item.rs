use std::net::IpAddr;

use sidetap_model::{EndpointRef, FlowId, Ts, Zone};

use crate::hops::Mark;
use crate::row;
use crate::spool::LookupKey;

/// Slim observations of one exchange, on their way from a worker to the coordinator.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) order: Order,
    pub(crate) zone: Zone,
    /// Where it went; `None` where there is no request.
    pub(crate) endpoint: Option<EndpointRef>,
    pub(crate) bots: Option<Box<sidetap_bots::Observation>>,
    /// Whether it may be a later hop of another, or another of it; `None` also of a late answer.
    pub(crate) hop: Option<Box<Mark>>,
    /// What only a finished exchange has.
    pub(crate) whole: Option<Box<Whole>>,
}

impl Item {
    /// How many items of `usual` size it takes the room of: lines and paths are as long as those who ask make them.
    pub(crate) fn weight(&self, usual: usize) -> usize {
        let line = self.whole.as_ref().and_then(|w| w.line.as_ref());
        let bytes = line.map_or(0, |(line, key)| line.len() + 2 * key.as_ref().map_or(0, |k| k.path.len()));
        bytes.div_ceil(usual).max(1)
    }

    /// Makes it a later hop of `root`: what that one told is not counted again, and its line says so.
    pub(crate) fn join(&mut self, root: (FlowId, u32)) {
        self.bots = None;
        if let Some(whole) = &mut self.whole {
            whole.discovery = None;
            whole.sightings.clear();
            whole.attempts.clear();
            if let Some((line, _)) = &mut whole.line {
                row::set_hop_of(line, root);
            }
        }
    }
}

/// The part of an item that comes once, when the exchange is finished.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) discovery: Option<sidetap_discovery::Observation>,
    pub(crate) sightings: Vec<sidetap_sensitive::Sighting>,
    pub(crate) attempts: Vec<sidetap_threats::Attempt>,
    pub(crate) source: Option<SourceSeen>,
    pub(crate) line: Option<(Vec<u8>, Option<LookupKey>)>,
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
