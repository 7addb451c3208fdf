//! What numbers of a capture mean for whoever runs it.

use std::collections::BTreeMap;

use serde::Serialize;
use sidetap_model::rows::{ExchangeCounts, PacketCounts, StreamCounts};

use crate::live::Live;

/// A piece of advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Advice {
    pub(crate) severity: Severity,
    /// What was seen, with numbers.
    pub(crate) title: String,
    /// What to do about it.
    pub(crate) advice: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    Info,
    Warn,
    Bad,
}

impl Severity {
    /// What it makes of the whole.
    pub(crate) const fn status(self) -> &'static str {
        match self {
            Severity::Info => "ok",
            Severity::Warn => "warn",
            Severity::Bad => "bad",
        }
    }
}

/// What is wrong with what was seen, the worst first.
pub(crate) fn advise(
    packets: &PacketCounts,
    streams: &StreamCounts,
    exchanges: &ExchangeCounts,
    evictions: &BTreeMap<String, u64>,
    live: Option<&Live>,
) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut tell = |severity, title: String, advice: &str| {
        all.push(Advice { severity, title, advice: advice.to_owned() });
    };
    let seen = packets.total + packets.kernel_dropped;
    let lost = share(packets.kernel_dropped, seen);
    if lost > 0.0 {
        let severity = if lost >= 0.01 { Severity::Bad } else { Severity::Warn };
        tell(
            severity,
            format!("{} of packets were dropped before they were read", percent(lost)),
            "Raise capture.buffer or capture.fanout, or narrow the filter; without these packets exchanges are incomplete.",
        );
    }
    if let Some(shed) = live.map(|l| l.shed).filter(|n| *n > 0) {
        tell(
            Severity::Warn,
            format!("{shed} packets were left out because analysis could not keep up"),
            "Give it more workers, or mirror less.",
        );
    }
    let gaps = share(streams.gap_bytes, streams.bytes + streams.gap_bytes);
    if gaps >= 0.001 {
        let severity = if gaps >= 0.02 { Severity::Bad } else { Severity::Warn };
        tell(
            severity,
            format!("{} of stream bytes never came", percent(gaps)),
            "The mirror drops packets: check the switch's mirror port for oversubscription, and that both directions reach it.",
        );
    }
    let flows: u64 = streams.flows.values().sum();
    let one_sided = share(streams.flows_unanswered, flows);
    if flows >= 20 && one_sided >= 0.2 {
        let severity = if one_sided >= 0.5 { Severity::Bad } else { Severity::Warn };
        tell(
            severity,
            format!("{} of flows were seen from one side only", percent(one_sided)),
            "Mirror both directions (rx and tx) of the port; without answers nobody can be convicted.",
        );
    }
    let tls = streams.bytes_by_protocol.get("tls").copied().unwrap_or(0);
    let encrypted = share(tls, streams.bytes_by_protocol.values().sum());
    if encrypted >= 0.2 {
        tell(
            Severity::Warn,
            format!("{} of bytes are encrypted", percent(encrypted)),
            "Mirror behind the load balancer or proxy that ends TLS: what is encrypted is counted and not analysed.",
        );
    }
    let undecoded: u64 = packets.dropped.values().sum();
    if share(undecoded, packets.total) >= 0.05 {
        tell(
            Severity::Warn,
            format!("{} of packets were not used", percent(share(undecoded, packets.total))),
            "See which reasons lead; `sidetap doctor` on the interface says what to change.",
        );
    }
    let incomplete = share(exchanges.incomplete, exchanges.total);
    if exchanges.total >= 100 && incomplete >= 0.05 {
        tell(
            Severity::Warn,
            format!("{} of exchanges were not seen whole", percent(incomplete)),
            "See the reasons of incomplete exchanges: loss, a capture that began in the middle, or one direction missing.",
        );
    }
    let evicted: u64 = evictions.values().sum();
    if evicted > 0 {
        tell(
            Severity::Info,
            format!("tables gave up {evicted} entries for the memory limit"),
            "Raise --memory-limit where that is much beside the clients there are.",
        );
    }
    if seen == 0 {
        tell(
            Severity::Info,
            "nothing was seen yet".to_owned(),
            "Replay a capture into this store, or watch a mirror port with it.",
        );
    }
    all.sort_by_key(|a| std::cmp::Reverse(a.severity));
    all
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_one_sided_mirrors_are_told() {
        let packets =
            PacketCounts { total: 900, decoded: 900, kernel_dropped: 100, ..PacketCounts::default() };
        let streams = StreamCounts {
            bytes: 1_000,
            flows: [("http".to_owned(), 100)].into(),
            flows_unanswered: 60,
            ..StreamCounts::default()
        };
        let all = advise(&packets, &streams, &ExchangeCounts::default(), &BTreeMap::new(), None);
        assert_eq!(all.iter().map(|a| a.severity).collect::<Vec<_>>(), [Severity::Bad, Severity::Bad]);
        assert!(all[0].title.starts_with("10.0 %"), "{all:?}");
        let none = advise(
            &PacketCounts { total: 5, decoded: 5, ..PacketCounts::default() },
            &StreamCounts::default(),
            &ExchangeCounts::default(),
            &BTreeMap::new(),
            None,
        );
        assert!(none.is_empty(), "{none:?}");
    }
}
