use std::collections::BTreeMap;

use sidetap_model::Anomaly;
use sidetap_model::rows::StreamCounts;

use super::kind::Kind;

/// Why stream bytes were not handed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Discard {
    Retransmitted,
    Overlap,
    KeepAlive,
    OutsideWindow,
    AfterClose,
    BeyondGap,
    Evicted,
    NotAStream,
    Urgent,
    ResetData,
    SynData,
    Unacceptable,
    TunnelCopy,
}

const DISCARDS: [&str; 13] = [
    "retransmitted",
    "overlap",
    "keep-alive",
    "outside-window",
    "after-close",
    "beyond-gap",
    "evicted",
    "not-a-stream",
    "urgent",
    "reset-data",
    "syn-data",
    "unacceptable",
    "tunnel-copy",
];

/// How a flow came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Closed,
    Reset,
    Idle,
    Reused,
    Evicted,
    Input,
    Copied,
}

const ENDS: [&str; 7] = ["closed", "reset", "idle", "reused", "evicted", "end-of-input", "tunnel-copy"];

/// What a flow table counted.
#[derive(Clone, Debug, Default)]
pub struct FlowCounters {
    pub(crate) bytes: u64,
    pub(crate) delivered: u64,
    pub(crate) gap_bytes: u64,
    pub(crate) flows_evicted: u64,
    pub(crate) flows_evicted_for_memory: u64,
    pub(crate) flows_over_share: u64,
    pub(crate) flows_unanswered: u64,
    pub(crate) windows_refused: u64,
    pub(crate) requests_forgotten: u64,
    pub(crate) requests_not_shown: u64,
    pub(crate) requests_not_told: u64,
    discarded: [u64; DISCARDS.len()],
    flows: [u64; Kind::COUNT],
    flow_bytes: [u64; Kind::COUNT],
    ended: [u64; ENDS.len()],
    anomalies: BTreeMap<Anomaly, u64>,
}

impl FlowCounters {
    /// The stream accounting: bytes = delivered + Σ discarded once the table was finished.
    pub fn streams(&self) -> StreamCounts {
        let named = |names: &[&str], counts: &[u64]| -> BTreeMap<String, u64> {
            let both = names.iter().zip(counts).filter(|(_, n)| **n > 0);
            both.map(|(name, n)| ((*name).to_owned(), *n)).collect()
        };
        StreamCounts {
            bytes: self.bytes,
            delivered: self.delivered,
            discarded: named(&DISCARDS, &self.discarded),
            gap_bytes: self.gap_bytes,
            flows: named(&Kind::NAMES, &self.flows),
            bytes_by_protocol: named(&Kind::NAMES, &self.flow_bytes),
            flows_ended: named(&ENDS, &self.ended),
            flows_unanswered: self.flows_unanswered,
        }
    }

    /// Anomalies that belong to no exchange, each as often as it was seen. Those of exchanges stand in them alone.
    pub fn anomalies(&self) -> impl Iterator<Item = Anomaly> + '_ {
        let repeat = |(anomaly, n): (&Anomaly, &u64)| {
            std::iter::repeat_n(*anomaly, usize::try_from(*n).unwrap_or(usize::MAX))
        };
        self.anomalies.iter().flat_map(repeat)
    }

    /// Entries given up for their caps, by table.
    pub fn evictions(&self) -> BTreeMap<String, u64> {
        let all = [
            ("flows", self.flows_evicted),
            ("flows-for-memory", self.flows_evicted_for_memory),
            ("flows-over-share", self.flows_over_share),
            ("overlap-windows", self.windows_refused),
            ("open-requests", self.requests_forgotten),
            ("early-requests", self.requests_not_shown),
            ("nested-requests", self.requests_not_told),
        ];
        all.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect()
    }

    pub(crate) fn discard(&mut self, why: Discard, bytes: usize) {
        if let Some(n) = self.discarded.get_mut(why as usize) {
            *n += bytes as u64;
        }
    }

    /// What was discarded is read after all.
    pub(crate) fn take_back(&mut self, why: Discard, bytes: usize) {
        if let Some(n) = self.discarded.get_mut(why as usize) {
            *n = n.saturating_sub(bytes as u64);
        }
    }

    /// A flow is over: what it carried, and what was handed over within it.
    pub(crate) fn flow(&mut self, (kind, bytes, inner): (Kind, u64, Option<(Kind, u64)>)) {
        if let Some(n) = self.flows.get_mut(kind as usize) {
            *n += 1;
        }
        for (kind, bytes) in [Some((kind, bytes)), inner].into_iter().flatten() {
            if let Some(b) = self.flow_bytes.get_mut(kind as usize) {
                *b += bytes;
            }
        }
    }

    pub(crate) fn ended(&mut self, how: Ended) {
        if let Some(n) = self.ended.get_mut(how as usize) {
            *n += 1;
        }
    }

    pub(crate) fn anomaly(&mut self, anomaly: Anomaly) {
        *self.anomalies.entry(anomaly).or_default() += 1;
    }
}
