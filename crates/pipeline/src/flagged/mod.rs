//! Packets of flows with a finding (`--save-flagged`).
//!
//! Each logical shard has a ring of recent packets. When a flow is flagged (an exchange in it shows an exploit, or a verdict
//! convicts its client) what the ring still has of it is taken out, and what follows is taken as it comes. What an epoch gave is
//! written in the order of the packets. So the same packets are saved for any number of workers.

mod file;
mod ring;
mod sink;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sidetap_model::rows::VerdictRow;
use sidetap_model::{FlowId, Ts, Zone};
use sidetap_seal::Recipient;

pub(crate) use file::Files;
pub use file::is_flagged_file;
pub(crate) use ring::Ring;

/// Where packets of flagged flows go, and how much of them.
#[derive(Clone, Debug)]
pub struct FlaggedOptions {
    /// The directory.
    pub dir: PathBuf,
    /// Bytes of recent packets that are held, backwards from now.
    pub ring_bytes: u64,
    /// Bytes that the files take together; the oldest go for new ones.
    pub limit_bytes: u64,
    /// Whom the files are sealed to; without any they are plain.
    pub recipients: Vec<Recipient>,
}

/// A packet as it was captured, on its way with its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// Position in the input: the order in which packets are written.
    pub(crate) number: u64,
    pub(crate) ts: Ts,
    pub(crate) link: u16,
    pub(crate) orig_len: u32,
    pub(crate) data: &'a [u8],
}

/// A packet of a flagged flow.
#[derive(Debug, PartialEq)]
pub(crate) struct Saved {
    pub(crate) number: u64,
    pub(crate) ts: Ts,
    pub(crate) link: u16,
    pub(crate) orig_len: u32,
    pub(crate) data: Box<[u8]>,
    /// Why, with the first packet of a flow.
    pub(crate) comment: Option<Box<str>>,
}

/// Whom verdicts convicted in an epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Convicted {
    /// Flows that show it, with the class.
    pub(crate) flows: Vec<(FlowId, Arc<str>)>,
    /// Addresses that connections come from, by the name of their zone.
    pub(crate) addresses: Vec<(String, IpAddr, Arc<str>)>,
}

impl Convicted {
    /// Convicted addresses of one verdict that are followed.
    const ADDRESSES: usize = 16;

    /// Takes those in whom these verdicts hold malicious; `known` names the verdicts that were taken before.
    pub(crate) fn of(verdicts: &[VerdictRow], known: &mut BTreeSet<String>) -> Self {
        let mut all = Convicted::default();
        for v in verdicts.iter().filter(|v| v.intent == "malicious") {
            let why: Arc<str> = v.class.as_deref().unwrap_or("malicious").into();
            let evidence = v.reasons.iter().flat_map(|r| r.evidence.iter());
            all.flows.extend(evidence.filter_map(|id| Some((flow_of(id)?, why.clone()))));
            if v.subject.kind == sidetap_model::SubjectKind::Ip && known.insert(v.id.clone()) {
                let addresses = v.client_ips.iter().take(Self::ADDRESSES);
                all.addresses.extend(addresses.map(|ip| (v.zone.clone(), *ip, why.clone())));
            }
        }
        all.flows.sort_unstable();
        all.flows.dedup_by_key(|(flow, _)| *flow);
        all
    }

    /// Adds what came later.
    pub(crate) fn extend(&mut self, more: &Convicted) {
        self.flows.extend_from_slice(&more.flows);
        self.addresses.extend_from_slice(&more.addresses);
    }
}

/// The coordinator's part: whom verdicts convicted, and the files.
#[derive(Debug)]
pub(crate) struct Flagged {
    pub(crate) files: Files,
    /// Convicted since the last epoch, and ever.
    pub(crate) fresh: Convicted,
    all: Convicted,
    known: BTreeSet<String>,
    missed: u64,
}

impl Flagged {
    pub(crate) fn new(options: FlaggedOptions) -> Self {
        let (fresh, all) = Default::default();
        Flagged { files: Files::new(options), fresh, all, known: BTreeSet::new(), missed: 0 }
    }

    /// Bytes of the ring of one logical shard.
    pub(crate) fn ring_of(options: &FlaggedOptions) -> usize {
        const SHARDS: u64 = 256;
        usize::try_from(options.ring_bytes / SHARDS).unwrap_or(usize::MAX).max(16 << 10)
    }

    /// Takes verdicts that are new or changed.
    pub(crate) fn hear(&mut self, changed: &[VerdictRow]) {
        self.fresh = Convicted::of(changed, &mut self.known);
        self.all.extend(&self.fresh);
    }

    /// The run is over: what all verdicts flag of the packets that are still there is written too.
    pub(crate) fn finish(&mut self, mut rings: Vec<Ring>, verdicts: &[VerdictRow], zones: &[Zone], now: Ts) {
        self.hear(verdicts);
        self.all.flows.sort_unstable();
        self.all.flows.dedup_by_key(|(flow, _)| *flow);
        rings.iter_mut().for_each(|ring| ring.convict(&self.all, zones));
        self.files.write(rings.iter_mut().flat_map(Ring::drain).collect(), now);
        self.files.finish();
        self.missed = rings.iter().map(|ring| ring.missed).sum();
    }

    /// What did not fit, by what it was.
    pub(crate) fn left_out(&self) -> [(&'static str, u64); 2] {
        [("flagged-packets", self.missed), ("flagged-files", self.files.removed)]
    }
}

/// The flow of an exchange's id.
fn flow_of(id: &str) -> Option<FlowId> {
    let (flow, _) = id.split_once('-')?;
    Some(FlowId(u64::from_str_radix(flow, 16).ok()?))
}
