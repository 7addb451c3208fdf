//! Rows of several runs as one. Input is sorted by id, then from the oldest run to the newest.

use std::collections::BTreeMap;

use sidetap_model::rows::{CampaignRow, EndpointRow, FindingRow, SensitiveRow, Summary, VerdictRow};

/// Most exchanges that a merged finding names as evidence.
const MAX_EVIDENCE: usize = 20;

pub(crate) fn endpoints(rows: Vec<EndpointRow>) -> Vec<EndpointRow> {
    fold(
        rows,
        |r| r.id,
        |old, mut new| {
            new.calls = new.calls.saturating_add(old.calls);
            new.first_seen = new.first_seen.min(old.first_seen);
            new.last_seen = new.last_seen.max(old.last_seen);
            add_counts(&mut new.status_codes, old.status_codes);
            new.callers.count = new.callers.count.max(old.callers.count);
            max_counts(&mut new.callers.countries, old.callers.countries);
            max_counts(&mut new.callers.organizations, old.callers.organizations);
            union(&mut new.auth, old.auth);
            union(&mut new.roles, old.roles);
            union(&mut new.channels, old.channels);
            union(&mut new.sensitive, old.sensitive);
            union(&mut new.aliases, old.aliases);
            union(&mut new.merged_by, old.merged_by);
            for p in old.parameters {
                if !new.parameters.iter().any(|q| q.name == p.name && q.location == p.location) {
                    new.parameters.push(p);
                }
            }
            if old.risk > new.risk {
                new.risk = old.risk;
                new.risk_terms = old.risk_terms;
            }
            new
        },
    )
}

pub(crate) fn sensitive(rows: Vec<SensitiveRow>) -> Vec<SensitiveRow> {
    fold(rows, SensitiveRow::key, |old, mut new| {
        new.count = new.count.saturating_add(old.count);
        new.first_seen = new.first_seen.min(old.first_seen);
        new.confidence = new.confidence.max(old.confidence);
        union(&mut new.alternatives, old.alternatives);
        union(&mut new.class, old.class);
        new
    })
}

pub(crate) fn findings(rows: Vec<FindingRow>) -> Vec<FindingRow> {
    fold(
        rows,
        |r| r.id.clone(),
        |old, mut new| {
            new.count = new.count.saturating_add(old.count);
            new.first_seen = new.first_seen.min(old.first_seen);
            new.last_seen = new.last_seen.max(old.last_seen);
            union(&mut new.evidence, old.evidence);
            new.evidence.truncate(MAX_EVIDENCE);
            if old.certainty == "observed" {
                new.certainty = old.certainty;
            }
            new
        },
    )
}

pub(crate) fn campaigns(rows: Vec<CampaignRow>) -> Vec<CampaignRow> {
    fold(rows, |r| r.id.clone(), |old, new| if old.last_seen > new.last_seen { old } else { new })
}

pub(crate) fn verdicts(rows: Vec<VerdictRow>) -> Vec<VerdictRow> {
    fold(rows, |r| r.id.clone(), |old, new| if old.detected_at > new.detected_at { old } else { new })
}

/// Adds the counts of `more` to those of `all`; counts of rows are the reader's.
pub(crate) fn add_summary(all: &mut Summary, more: Summary) {
    all.version = more.version;
    all.inputs.extend(more.inputs);
    all.packets.total += more.packets.total;
    all.packets.decoded += more.packets.decoded;
    all.packets.kernel_dropped += more.packets.kernel_dropped;
    add_counts(&mut all.packets.dropped, more.packets.dropped);
    all.streams.bytes += more.streams.bytes;
    all.streams.delivered += more.streams.delivered;
    all.streams.gap_bytes += more.streams.gap_bytes;
    add_counts(&mut all.streams.discarded, more.streams.discarded);
    add_counts(&mut all.streams.flows, more.streams.flows);
    add_counts(&mut all.streams.bytes_by_protocol, more.streams.bytes_by_protocol);
    add_counts(&mut all.streams.flows_ended, more.streams.flows_ended);
    all.streams.flows_unanswered += more.streams.flows_unanswered;
    all.exchanges.total += more.exchanges.total;
    all.exchanges.complete += more.exchanges.complete;
    all.exchanges.incomplete += more.exchanges.incomplete;
    add_counts(&mut all.exchanges.incomplete_reasons, more.exchanges.incomplete_reasons);
    add_counts(&mut all.exchanges.by_protocol, more.exchanges.by_protocol);
    add_counts(&mut all.anomalies, more.anomalies);
    add_counts(&mut all.evictions, more.evictions);
    all.workers = all.workers.max(more.workers);
    all.wall_ms += more.wall_ms;
    all.peak_rss_bytes = all.peak_rss_bytes.max(more.peak_rss_bytes);
}

fn fold<T, K: PartialEq>(rows: Vec<T>, id: impl Fn(&T) -> K, merge: impl Fn(T, T) -> T) -> Vec<T> {
    let mut out: Vec<T> = Vec::with_capacity(rows.len());
    for row in rows {
        match out.pop() {
            Some(last) if id(&last) == id(&row) => out.push(merge(last, row)),
            Some(last) => out.extend([last, row]),
            None => out.push(row),
        }
    }
    out
}

fn add_counts(all: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (key, n) in more {
        let count = all.entry(key).or_default();
        *count = count.saturating_add(n);
    }
}

fn max_counts(all: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (key, n) in more {
        let count = all.entry(key).or_default();
        *count = (*count).max(n);
    }
}

fn union<T: PartialEq>(all: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !all.contains(&item) {
            all.push(item);
        }
    }
}
