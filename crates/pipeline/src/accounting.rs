use std::collections::BTreeMap;

use sidetap_model::rows::{ExchangeCounts, StreamCounts};
use sidetap_model::{Anomaly, Exchange};

/// Sums that each worker keeps and that add up to the run's, in any order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) exchanges: ExchangeCounts,
    pub(crate) streams: StreamCounts,
    pub(crate) evictions: BTreeMap<String, u64>,
    anomalies: BTreeMap<Anomaly, u64>,
    incomplete: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts a finished exchange.
    pub(crate) fn exchange(&mut self, ex: &Exchange) {
        self.exchanges.total += 1;
        if ex.completeness.is_whole() {
            self.exchanges.complete += 1;
        } else {
            self.exchanges.incomplete += 1;
            for name in ex.completeness.names() {
                *self.incomplete.entry(name).or_default() += 1;
            }
        }
        match self.exchanges.by_protocol.get_mut(ex.protocol.name()) {
            Some(n) => *n += 1,
            None => drop(self.exchanges.by_protocol.insert(ex.protocol.name().into(), 1)),
        }
        self.anomalies(ex.anomalies.iter());
    }

    /// Counts anomalies.
    pub(crate) fn anomalies(&mut self, anomalies: impl Iterator<Item = Anomaly>) {
        for a in anomalies {
            *self.anomalies.entry(a).or_default() += 1;
        }
    }

    /// Adds another worker's sums.
    pub(crate) fn merge(&mut self, other: Tally) {
        self.exchanges.total += other.exchanges.total;
        self.exchanges.complete += other.exchanges.complete;
        self.exchanges.incomplete += other.exchanges.incomplete;
        add(&mut self.exchanges.by_protocol, other.exchanges.by_protocol);
        add(&mut self.incomplete, other.incomplete);
        add(&mut self.anomalies, other.anomalies);
        add(&mut self.evictions, other.evictions);
        self.add_streams(other.streams);
    }

    /// Adds a flow table's sums.
    pub(crate) fn add_streams(&mut self, s: StreamCounts) {
        self.streams.bytes += s.bytes;
        self.streams.delivered += s.delivered;
        self.streams.gap_bytes += s.gap_bytes;
        add(&mut self.streams.discarded, s.discarded);
        add(&mut self.streams.flows, s.flows);
        add(&mut self.streams.bytes_by_protocol, s.bytes_by_protocol);
        add(&mut self.streams.flows_ended, s.flows_ended);
        self.streams.flows_unanswered += s.flows_unanswered;
    }

    /// Anomalies by code.
    pub(crate) fn anomaly_codes(&self) -> BTreeMap<String, u64> {
        self.anomalies.iter().map(|(a, n)| (a.code().to_owned(), *n)).collect()
    }

    /// The exchange counts with their reasons.
    pub(crate) fn exchange_counts(&self) -> ExchangeCounts {
        let incomplete_reasons = self.incomplete.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
        ExchangeCounts { incomplete_reasons, ..self.exchanges.clone() }
    }
}

/// Adds the counts of `from` to those of `to`.
pub(crate) fn add<K: Ord>(to: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (k, n) in from {
        *to.entry(k).or_default() += n;
    }
}
