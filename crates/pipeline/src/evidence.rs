use std::collections::{BTreeMap, VecDeque};

use hashbrown::{HashMap, HashSet};
use sidetap_model::rows::{RunData, VerdictRow};
use sidetap_model::{FlowId, Ts};
use sidetap_wire::body::hash_str;

use crate::spool::LookupKey;

type Fixed = foldhash::fast::FixedState;
type Id = (FlowId, u32);

/// An exchange that a finding or verdict names, as `exchanges.ndjson` writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The exchange's id.
    pub id: String,
    /// When it was.
    pub ts: Ts,
    /// The exchange, sensitive values masked.
    pub exchange: serde_json::Value,
}

/// A ring of recent exchanges, of which those are kept that a verdict or finding names while they are still there.
///
/// Both parts are bounded in bytes; what the ring lost before somebody asked for it is counted when they ask.
#[derive(Debug, Default)]
pub(crate) struct EvidenceRing {
    recent: HashMap<Id, Line, Fixed>,
    order: VecDeque<Id>,
    recent_bytes: usize,
    kept: BTreeMap<Id, Line>,
    kept_bytes: usize,
    seen: HashSet<u64, Fixed>,
    handed: HashSet<Id, Fixed>,
    /// Exchanges that were asked for and not there any more, or for which there was no room.
    pub(crate) missed: u64,
}

#[derive(Debug)]
struct Line {
    ts: Ts,
    head: Vec<u8>,
    key: Option<LookupKey>,
}

impl Line {
    /// What it takes besides its text.
    const OVERHEAD: usize = 200;

    fn bytes(&self) -> usize {
        self.head.len() + self.key.as_ref().map_or(0, LookupKey::heap_bytes) + Self::OVERHEAD
    }
}

impl EvidenceRing {
    const RECENT: usize = 24 << 20;
    const KEPT: usize = 16 << 20;
    const SEEN: usize = 65_536;

    /// Takes an exchange in; the oldest go for it.
    pub(crate) fn push(&mut self, id: Id, ts: Ts, head: Vec<u8>, key: Option<LookupKey>) {
        let line = Line { ts, head, key };
        self.recent_bytes += line.bytes();
        if self.recent.insert(id, line).is_none() {
            self.order.push_back(id);
        }
        while self.recent_bytes > Self::RECENT {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(line) = self.recent.remove(&oldest) {
                self.recent_bytes = self.recent_bytes.saturating_sub(line.bytes());
            }
        }
    }

    /// Keeps an exchange that shows something for the first time; `what` names it.
    pub(crate) fn keep_first(&mut self, id: Id, what: u64) {
        if self.seen.len() < Self::SEEN && self.seen.insert(what) {
            self.keep(id);
        }
    }

    /// Keeps what verdicts name.
    pub(crate) fn keep_verdicts(&mut self, verdicts: &[VerdictRow]) {
        let names = verdicts.iter().flat_map(|v| &v.reasons).flat_map(|r| &r.evidence);
        names.for_each(|name| self.keep_named(name));
    }

    /// Keeps what the rows of a run name and is still there.
    pub(crate) fn keep_run(&mut self, run: &RunData) {
        let findings = run.findings.iter().flat_map(|f| &f.evidence);
        let campaigns = run.campaigns.iter().flat_map(|c| &c.reasons).flat_map(|r| &r.evidence);
        findings.chain(campaigns).for_each(|name| self.keep_named(name));
        run.sensitive.iter().for_each(|s| self.keep_named(&s.evidence));
        self.keep_verdicts(&run.verdicts);
    }

    /// What was kept since the last time, with the names that endpoints have by now; whoever takes it has it: it is not kept again.
    pub(crate) fn hand_over(&mut self, id_of: impl FnMut(&LookupKey) -> Option<String>) -> Vec<Evidence> {
        for id in self.kept.keys() {
            if self.handed.len() < Self::SEEN {
                self.handed.insert(*id);
            }
        }
        self.take(id_of)
    }

    /// What was kept, with the final names of endpoints.
    pub(crate) fn take(&mut self, mut id_of: impl FnMut(&LookupKey) -> Option<String>) -> Vec<Evidence> {
        let kept = std::mem::take(&mut self.kept);
        self.kept_bytes = 0;
        let finished = kept.into_iter().filter_map(|((flow, seq), line)| {
            let mut text = line.head;
            match line.key.as_ref().and_then(&mut id_of) {
                Some(id) => text.extend_from_slice(format!("\"{id}\"}}}}").as_bytes()),
                None => text.extend_from_slice(b"null}}"),
            }
            let exchange = serde_json::from_slice(&text).ok()?;
            Some(Evidence { id: format!("{flow}-{seq}"), ts: line.ts, exchange })
        });
        finished.collect()
    }

    fn keep_named(&mut self, name: &str) {
        if let Some(id) = parse(name) {
            self.keep(id);
        }
    }

    fn keep(&mut self, id: Id) {
        if self.kept.contains_key(&id) || self.handed.contains(&id) {
            return;
        }
        let fits = self.kept_bytes < Self::KEPT;
        match self.recent.get(&id).filter(|_| fits) {
            Some(line) => {
                self.kept_bytes += line.bytes();
                let kept = Line { ts: line.ts, head: line.head.clone(), key: line.key.clone() };
                self.kept.insert(id, kept);
            }
            None => self.missed += 1,
        }
    }
}

/// Names a place and type, so that the first exchange that shows it is kept.
pub(crate) fn what(endpoint: u64, location: &str, kind: u64) -> u64 {
    endpoint ^ hash_str(location).rotate_left(17) ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn parse(name: &str) -> Option<Id> {
    let (flow, seq) = name.split_once('-')?;
    Some((FlowId(u64::from_str_radix(flow, 16).ok()?), seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> Id {
        (FlowId(7), n)
    }

    #[test]
    fn what_is_named_in_time_is_kept_and_the_rest_goes() {
        let mut ring = EvidenceRing::default();
        for n in 0..200 {
            ring.push(id(n), Ts(i64::from(n)), vec![b' '; 1 << 18], None);
            if n == 1 {
                ring.keep_named("0000000000000007-1");
            }
        }
        ring.keep_named("0000000000000007-0");
        assert_eq!(ring.missed, 1);
        assert!(ring.recent_bytes <= EvidenceRing::RECENT && ring.recent.len() == ring.order.len());
        assert_eq!(ring.kept.keys().copied().collect::<Vec<_>>(), [id(1)]);
    }

    #[test]
    fn kept_lines_are_whole_documents() {
        let mut ring = EvidenceRing::default();
        ring.push(id(3), Ts(9), br#"{"sidetap":{"endpoint":"#.to_vec(), Some(LookupKey::default()));
        ring.keep_first(id(3), 1);
        let kept = ring.take(|_| Some("00ff".into()));
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].exchange["sidetap"]["endpoint"], "00ff");
        assert_eq!(kept[0].id, "0000000000000007-3");
    }
}
