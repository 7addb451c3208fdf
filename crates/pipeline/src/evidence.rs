use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use sidetap_model::rows::{RunData, VerdictRow};
use sidetap_model::{EndpointId, EndpointRef, FlowId, HashKey, Ts};
use sidetap_wire::body::hash_str;

use crate::item::Seen;
use crate::masked::{Masker, Part, Raw, Shown};
use crate::options::Forget;
use crate::sample::{Chosen, Id, Sampled, Samples};
use crate::spool::LookupKey;

type Fixed = foldhash::fast::FixedState;

/// An exchange that a finding or verdict names or that stands for a campaign, as `exchanges.ndjson` writes it, with its heads and the
/// beginning of its bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The exchange's id.
    pub id: String,
    /// When it was.
    pub ts: Ts,
    /// The exchange, sensitive values masked.
    pub exchange: serde_json::Value,
}

/// A ring of recent exchanges, of which those are kept that a verdict or finding names while they are still there, and a fair sample
/// of each campaign and finding.
///
/// Both parts are bounded in bytes; what the ring lost before somebody asked for it is counted when they ask. What was sent is in
/// the ring only: whatever is kept is masked as it is taken out of it.
#[derive(Debug)]
pub(crate) struct EvidenceRing {
    masker: Masker,
    key: HashKey,
    rules: Arc<sidetap_threats::Pack>,
    most_recent: usize,
    most_kept: usize,
    recent: HashMap<Id, Line, Fixed>,
    order: VecDeque<Id>,
    recent_bytes: usize,
    kept: BTreeMap<Id, Kept>,
    kept_bytes: usize,
    seen: HashSet<u64, Fixed>,
    handed: HashSet<Id, Fixed>,
    samples: Samples,
    /// Exchanges that were asked for and not there any more, or for which there was no room.
    pub(crate) missed: u64,
}

/// An exchange as it comes into the ring.
#[derive(Debug)]
pub(crate) struct Recent {
    pub(crate) ts: Ts,
    pub(crate) head: Vec<u8>,
    pub(crate) key: Option<LookupKey>,
    pub(crate) seen: Option<Box<Seen>>,
}

#[derive(Debug)]
struct Line {
    of: Recent,
    /// Campaigns that it was offered to.
    counted: Vec<u32>,
}

#[derive(Debug)]
struct Kept {
    ts: Ts,
    head: Vec<u8>,
    key: Option<LookupKey>,
    parts: Shown,
    bytes: usize,
    /// It is named, so it stays whatever becomes of samples; else how many samples it is in.
    named: bool,
    samples: u32,
}

impl Recent {
    /// What it takes besides its text.
    const OVERHEAD: usize = 240;

    fn bytes(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, |s| s.raw.heap_bytes() + s.names.len() * 8);
        self.head.len() + self.key.as_ref().map_or(0, LookupKey::heap_bytes) + seen + Self::OVERHEAD
    }
}

impl EvidenceRing {
    const SEEN: usize = 65_536;

    /// An empty one with its share of the run's memory.
    pub(crate) fn new(
        memory_limit: u64,
        sensitive: &Arc<sidetap_sensitive::Pack>,
        threats: &Arc<sidetap_threats::Pack>,
        key: &HashKey,
    ) -> Self {
        let share = |part: u64| usize::try_from(memory_limit / part).unwrap_or(usize::MAX);
        EvidenceRing {
            masker: Masker::new(sensitive, key.clone()),
            key: key.clone(),
            rules: Arc::clone(threats),
            most_recent: share(24).clamp(2 << 20, 48 << 20),
            most_kept: share(32).clamp(1 << 20, 32 << 20),
            recent: HashMap::default(),
            order: VecDeque::new(),
            recent_bytes: 0,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            seen: HashSet::default(),
            handed: HashSet::default(),
            samples: Samples::default(),
            missed: 0,
        }
    }

    /// Takes an exchange in, and into the samples of its campaigns; the oldest go for it.
    pub(crate) fn push(&mut self, id: Id, recent: Recent) {
        let line = Line { of: recent, counted: Vec::new() };
        self.recent_bytes += line.of.bytes();
        if self.recent.insert(id, line).is_none() {
            self.order.push_back(id);
        }
        self.offer(id);
        while self.recent_bytes > self.most_recent {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(line) = self.recent.remove(&oldest) {
                self.recent_bytes = self.recent_bytes.saturating_sub(line.of.bytes());
            }
        }
    }

    /// Offers an exchange to the campaigns of its client that it was not offered to yet.
    fn offer(&mut self, id: Id) {
        let Some(line) = self.recent.get_mut(&id) else { return };
        let Some(seen) = &line.of.seen else { return };
        let mut of = self.samples.campaigns_of(&seen.names);
        of.retain(|c| !line.counted.contains(c));
        line.counted.extend(&of);
        let rank = rank(&self.key, id);
        for campaign in of {
            let chosen = self.samples.offer(campaign, rank, id);
            self.settle(id, &chosen);
        }
    }

    /// Offers an exchange to what rules found in it.
    pub(crate) fn sample(&mut self, id: Id, endpoint: &EndpointRef, attempts: &[sidetap_threats::Attempt]) {
        let mut rules: Vec<u16> = attempts.iter().map(|a| a.rule().0).collect();
        rules.sort_unstable();
        rules.dedup();
        let pack = Arc::clone(&self.rules);
        for rule in rules.into_iter().filter_map(|r| pack.get(sidetap_threats::RuleId(r))) {
            let rank = rank(&self.key, id);
            let chosen = self.samples.offer_to_rule(endpoint, &rule.id, rank, id);
            self.settle(id, &chosen);
        }
    }

    fn settle(&mut self, id: Id, chosen: &Chosen) {
        let Chosen::For(gone) = chosen else { return };
        if *gone != Some(id) {
            self.keep(id);
            if let Some(kept) = self.kept.get_mut(&id) {
                kept.samples += 1;
            }
            if let Some(gone) = gone {
                self.release(*gone);
            }
        }
    }

    fn release(&mut self, id: Id) {
        let Some(kept) = self.kept.get_mut(&id) else { return };
        kept.samples = kept.samples.saturating_sub(1);
        if kept.samples == 0 && !kept.named {
            self.kept_bytes = self.kept_bytes.saturating_sub(kept.bytes);
            self.kept.remove(&id);
        }
    }

    /// Endpoints that got other names or became one.
    pub(crate) fn rename(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        self.samples.rename(renames);
    }

    /// Forgets exchanges that name one of these.
    pub(crate) fn forget(&mut self, all: &[Forget]) {
        let names = |text: &[u8]| all.iter().any(|f| f.is_in(text));
        let sent = |raw: &Raw| all.iter().any(|f| raw.has(|text| f.is_in(text)));
        let recent = self.recent.extract_if(|_, line| {
            names(&line.of.head) || line.of.seen.as_ref().is_some_and(|seen| sent(&seen.raw))
        });
        let gone: usize = recent.map(|(_, line)| line.of.bytes()).sum();
        self.recent_bytes = self.recent_bytes.saturating_sub(gone);
        self.order.retain(|id| self.recent.contains_key(id));
        self.kept.retain(|_, kept| !names(&kept.head) && !all.iter().any(|f| kept.parts.has(|t| f.is_in(t))));
        self.kept_bytes = self.kept.values().map(|kept| kept.bytes).sum();
    }

    /// Which exchanges stand for which campaign and finding.
    pub(crate) fn samples(&self, run: &RunData) -> Vec<Sampled> {
        self.samples.of(&run.findings)
    }

    /// Keeps an exchange that shows something for the first time; `what` names it.
    pub(crate) fn keep_first(&mut self, id: Id, what: u64) {
        if self.seen.len() < Self::SEEN && self.seen.insert(what) {
            self.name(id);
        }
    }

    /// Keeps what verdicts name, and learns from them who is of which campaign.
    pub(crate) fn keep_verdicts(&mut self, verdicts: &[VerdictRow]) {
        let names = verdicts.iter().flat_map(|v| &v.reasons).flat_map(|r| r.evidence.iter());
        names.for_each(|name| self.keep_named(name));
        let fresh = self.samples.learn(verdicts);
        if fresh.is_empty() {
            return;
        }
        // Only who has one of the new names can be of a campaign that he was not offered to.
        let order = std::mem::take(&mut self.order);
        for id in &order {
            let seen = self.recent.get(id).and_then(|line| line.of.seen.as_ref());
            if seen.is_some_and(|s| s.names.iter().any(|n| fresh.contains(n))) {
                self.offer(*id);
            }
        }
        self.order = order;
    }

    /// Keeps what the rows of a run name and is still there.
    pub(crate) fn keep_run(&mut self, run: &RunData) {
        let findings = run.findings.iter().flat_map(|f| &f.evidence);
        let campaigns = run.campaigns.iter().flat_map(|c| &c.reasons).flat_map(|r| r.evidence.iter());
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
            let mut exchange = serde_json::from_slice(&text).ok()?;
            add(&mut exchange, "/http/request", line.parts.request);
            add(&mut exchange, "/http/response", line.parts.response);
            Some(Evidence { id: format!("{flow}-{seq}"), ts: line.ts, exchange })
        });
        finished.collect()
    }

    fn keep_named(&mut self, name: &str) {
        if let Some(id) = parse(name) {
            self.name(id);
        }
    }

    fn name(&mut self, id: Id) {
        self.keep(id);
        if let Some(kept) = self.kept.get_mut(&id) {
            kept.named = true;
        }
    }

    fn keep(&mut self, id: Id) {
        if self.kept.contains_key(&id) || self.handed.contains(&id) {
            return;
        }
        let fits = self.kept_bytes < self.most_kept;
        match self.recent.get(&id).filter(|_| fits) {
            Some(line) => {
                let parts = line.of.seen.as_ref().map(|s| self.masker.show(&s.raw)).unwrap_or_default();
                let bytes = line.of.bytes() + parts.heap_bytes();
                let (head, key) = (line.of.head.clone(), line.of.key.clone());
                self.kept_bytes += bytes;
                let kept = Kept { ts: line.of.ts, head, key, parts, bytes, named: false, samples: 0 };
                self.kept.insert(id, kept);
            }
            None => self.missed += 1,
        }
    }
}

/// Adds head and body to a message of an exchange.
fn add(exchange: &mut serde_json::Value, at: &str, part: Option<Part>) {
    let (Some(message), Some(part)) = (exchange.pointer_mut(at).and_then(|m| m.as_object_mut()), part) else {
        return;
    };
    message.insert("headers".to_owned(), serde_json::json!(part.headers));
    if let (Some(content), Some(body)) =
        (part.content, message.get_mut("body").and_then(|b| b.as_object_mut()))
    {
        body.insert("content".to_owned(), content.into());
    }
}

/// Where an exchange stands among all: nobody but who has the key can choose it.
fn rank(key: &HashKey, (flow, seq): Id) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&flow.0.to_be_bytes());
    bytes[8..].copy_from_slice(&seq.to_be_bytes());
    key.hash64("evidence", &bytes)
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
    use crate::sample::names_of;

    fn id(n: u32) -> Id {
        (FlowId(7), n)
    }

    fn ring() -> EvidenceRing {
        let sensitive = Arc::new(sidetap_sensitive::Pack::builtin().unwrap());
        let threats = Arc::new(sidetap_threats::Pack::builtin().unwrap());
        EvidenceRing::new(1 << 30, &sensitive, &threats, &HashKey::from_bytes([1; 16]))
    }

    fn recent(n: i64, head: Vec<u8>) -> Recent {
        Recent { ts: Ts(n), head, key: None, seen: None }
    }

    #[test]
    fn what_is_named_in_time_is_kept_and_the_rest_goes() {
        let mut ring = ring();
        for n in 0..200 {
            ring.push(id(n), recent(i64::from(n), vec![b' '; 1 << 18]));
            if n == 1 {
                ring.keep_named("0000000000000007-1");
            }
        }
        ring.keep_named("0000000000000007-0");
        assert_eq!(ring.missed, 1);
        assert!(ring.recent_bytes <= ring.most_recent && ring.recent.len() == ring.order.len());
        assert_eq!(ring.kept.keys().copied().collect::<Vec<_>>(), [id(1)]);
    }

    #[test]
    fn kept_lines_are_whole_documents() {
        let mut ring = ring();
        let head = br#"{"sidetap":{"endpoint":"#.to_vec();
        ring.push(id(3), Recent { key: Some(LookupKey::default()), ..recent(9, head) });
        ring.keep_first(id(3), 1);
        let kept = ring.take(|_| Some("00ff".into()));
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].exchange["sidetap"]["endpoint"], "00ff");
        assert_eq!(kept[0].id, "0000000000000007-3");
    }

    fn verdict(ip: &str, campaign: &str) -> VerdictRow {
        serde_json::from_value(serde_json::json!({
            "id": ip, "zone": "default", "subject": {"kind": "ip", "value": ip}, "client_ip": null, "client_ips": [], "intent": "malicious",
            "class": null, "oat": [], "score": 90, "automation": 90, "coverage": {}, "campaign": campaign, "phase": "online",
            "first_seen": "2026-01-01T00:00:00Z", "detected_at": "2026-01-01T00:00:00Z", "requests": 1, "reasons": [], "response": "none", "ttl_s": 1
        }))
        .unwrap()
    }

    fn by(ip: &str, n: u32) -> Recent {
        let names = names_of(&sidetap_bots::Actors { ip: ip.to_owned(), ..Default::default() });
        let seen = Some(Box::new(Seen { raw: Raw::default(), names }));
        Recent { seen, ..recent(i64::from(n), br#"{"sidetap":{"endpoint":"#.to_vec()) }
    }

    #[test]
    fn a_campaign_is_sampled_backwards_and_from_then_on() {
        let mut ring = ring();
        for n in 0..300 {
            ring.push(id(n), by(if n % 3 == 0 { "192.0.2.1" } else { "198.51.100.7" }, n));
        }
        ring.keep_verdicts(&[verdict("192.0.2.1", "c")]);
        for n in 300..600 {
            ring.push(id(n), by(if n % 3 == 0 { "192.0.2.1" } else { "198.51.100.7" }, n));
        }
        // Said again, nothing counts twice.
        ring.keep_verdicts(&[verdict("192.0.2.1", "c"), verdict("192.0.2.9", "c")]);
        let run = RunData::default();
        let samples = ring.samples(&run);
        assert_eq!((samples.len(), samples[0].thing.as_str(), samples[0].seen), (1, "campaign:c", 200));
        let kept: Vec<String> = ring.take(|_| None).into_iter().map(|e| e.id).collect();
        let mut chosen = samples[0].ids.clone();
        chosen.sort();
        let mut sorted = kept.clone();
        sorted.sort();
        assert_eq!((chosen.len(), &chosen), (48, &sorted), "what is kept is what was chosen");
        let late =
            kept.iter().filter(|i| i.rsplit('-').next().unwrap().parse::<u32>().unwrap() >= 300).count();
        assert!((12..=36).contains(&late), "{late} of 48 are of the second half");
    }
}
