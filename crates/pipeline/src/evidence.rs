use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use sidetap_discovery::Shows;
use sidetap_model::rows::{RunData, VerdictRow};
use sidetap_model::{EndpointId, EndpointRef, FlowId, HashKey, Ts};
use sidetap_wire::body::hash_str;
use smallvec::SmallVec;

use crate::item::Seen;
use crate::masked::{Masker, Part};
use crate::options::Forget;
use crate::raw::Raw;
use crate::sample::{About, Chosen, Id, Sampled, Samples};
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
/// of each campaign, of each finding and of each place of sensitive data.
///
/// What a finding may come to be about is sampled before there is one: these spares are handed on once it is there. Where they have no
/// room fewer stand for each thing, down to one; then those go whose hash is the greatest, from every sample. What stays is as fair,
/// what goes is counted. Both parts are bounded in bytes; what the ring lost before somebody asked for it is counted when they ask. What was sent is in memory only: it
/// is masked as it is handed on.
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
    /// Those that are kept as spares alone, the last to go first.
    spare: BTreeSet<(u128, Id)>,
    spare_bytes: usize,
    /// How many spares stand for a thing, and how many common ones.
    most_spare: usize,
    most_common: usize,
    /// From there on there is no room for spares, until there is again.
    spare_to: u128,
    /// Spares that had no room.
    left_out: u64,
    seen: HashSet<u64, Fixed>,
    handed: HashSet<Id, Fixed>,
    samples: Samples,
    /// Of each thing that was sampled, what was told last.
    told: HashMap<String, Sampled, Fixed>,
    /// Exchanges that were asked for and not there any more, or for which there was no room, since they were told last; each once.
    missed: HashSet<Id, Fixed>,
    untold: u64,
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
    of: Arc<Recent>,
    /// Campaigns that it was offered to.
    counted: Vec<u32>,
}

#[derive(Debug)]
struct Kept {
    of: Arc<Recent>,
    rank: u64,
    bytes: usize,
    spare: For,
    /// It is named, so it stays whatever becomes of samples; else how many samples it is in of campaigns and exploits, and of others.
    named: bool,
    samples: u32,
    spares: u32,
}

impl Kept {
    fn is_spare(&self) -> bool {
        !self.named && self.samples == 0
    }

    /// Where it stands among spares.
    fn place(&self, id: Id) -> Option<(u128, Id)> {
        self.is_spare().then_some((self.spare.place(self.rank), id))
    }
}

/// For which kind of sample an exchange is kept, the dearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum For {
    /// A campaign or an exploit, which is there already.
    Known,
    /// What a finding may come to be about.
    Spare,
    /// The same, which is so of every endpoint.
    Common,
}

impl For {
    fn of(about: &About) -> Self {
        match about {
            About::Rule(_) => For::Known,
            About::Risk(Shows::Call | Shows::Open) => For::Common,
            About::Risk(_) | About::Data(_) => For::Spare,
        }
    }

    /// Of common ones as many stay as one in this many of the others: those of endpoints that are called often, of which there are enough.
    const COMMON: u128 = 64;

    /// Where one of this rank stands among spares.
    fn place(self, rank: u64) -> u128 {
        u128::from(rank) * if self == For::Common { Self::COMMON } else { 1 }
    }
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
            spare: BTreeSet::new(),
            spare_bytes: 0,
            most_spare: Samples::OF_FINDING,
            most_common: Samples::OF_FINDING,
            spare_to: u128::MAX,
            left_out: 0,
            seen: HashSet::default(),
            handed: HashSet::default(),
            samples: Samples::new(memory_limit),
            told: HashMap::default(),
            missed: HashSet::default(),
            untold: 0,
        }
    }

    /// Takes an exchange in, and into the samples of its campaigns; the oldest go for it.
    pub(crate) fn push(&mut self, id: Id, recent: Recent) {
        let line = Line { of: Arc::new(recent), counted: Vec::new() };
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
            if !self.settle((id, rank), &chosen, For::Known) {
                self.samples.take_back(campaign, rank, id);
            }
        }
    }

    /// Offers an exchange of an endpoint to what it shows: what rules found in it, signs, sensitive data.
    pub(crate) fn sample(&mut self, id: Id, endpoint: &EndpointRef, shown: impl IntoIterator<Item = About>) {
        let rank = rank(&self.key, id);
        for about in shown {
            let of = For::of(&about);
            let chosen = self.samples.offer_to(endpoint, about, (rank, id), self.most(of));
            if !self.settle((id, rank), &chosen, of) {
                self.samples.take_back_of(endpoint, about, rank, id);
                // Those beside it that are kept for something else would stand for more than their part.
                for gone in self.samples.bound(endpoint, about, self.to(of)) {
                    self.release(gone, of);
                }
            }
        }
    }

    /// Whether an exchange is kept, or was and is handed on.
    fn has(&self, id: Id) -> bool {
        self.kept.contains_key(&id) || self.handed.contains(&id)
    }

    /// How many stand for a thing.
    fn most(&self, of: For) -> usize {
        match of {
            For::Known => Samples::OF_FINDING,
            For::Spare => self.most_spare,
            For::Common => self.most_common,
        }
    }

    /// From which rank on there is no room.
    fn to(&self, of: For) -> u64 {
        let to = match of {
            For::Known => u128::MAX,
            For::Spare => self.spare_to,
            For::Common => self.spare_to.div_ceil(For::COMMON),
        };
        u64::try_from(to).unwrap_or(u64::MAX)
    }

    /// What of it exploit rules found.
    pub(crate) fn rules(&self, attempts: &[sidetap_threats::Attempt]) -> SmallVec<[About; 4]> {
        let mut rules: SmallVec<[u16; 4]> = attempts.iter().map(|a| a.rule().0).collect();
        rules.sort_unstable();
        rules.dedup();
        let known = rules.into_iter().filter_map(|r| self.rules.get(sidetap_threats::RuleId(r)));
        known.map(|rule| About::rule(&rule.id)).collect()
    }

    /// Keeps what was chosen, in place of what went for it; gives whether it is where it can stand for others.
    fn settle(&mut self, (id, rank): (Id, u64), chosen: &Chosen, of: For) -> bool {
        let Chosen::For(gone) = chosen else { return true };
        match gone {
            Some(gone) if *gone == id => return true,
            Some(gone) => self.release(*gone, of),
            None => {}
        }
        if rank >= self.to(of) && !self.has(id) {
            self.left_out += 1;
            return false;
        }
        self.keep(id, rank, of);
        let stands = self.has(id);
        if !stands && of != For::Known {
            self.leave_out(of.place(rank));
        }
        self.change(id, |kept| match of {
            For::Known => kept.samples += 1,
            For::Spare | For::Common => {
                kept.spares += 1;
                kept.spare = kept.spare.min(of);
            }
        });
        self.make_room();
        stands
    }

    /// Takes an exchange out of a sample; it goes with the last one that it is in, unless it is named.
    fn release(&mut self, id: Id, of: For) {
        self.change(id, |kept| match of {
            For::Known => kept.samples = kept.samples.saturating_sub(1),
            For::Spare | For::Common => kept.spares = kept.spares.saturating_sub(1),
        });
        let is_over = |kept: &Kept| !kept.named && kept.samples + kept.spares == 0;
        if self.kept.get(&id).is_some_and(is_over) {
            self.drop_kept(id);
        }
    }

    /// Changes why something is kept.
    fn change(&mut self, id: Id, change: impl FnOnce(&mut Kept)) {
        let Some(kept) = self.kept.get_mut(&id) else { return };
        let was = kept.place(id);
        change(kept);
        let (is, bytes) = (kept.place(id), kept.bytes);
        if was == is {
            return;
        }
        if was.is_some_and(|place| self.spare.remove(&place)) {
            self.spare_bytes = self.spare_bytes.saturating_sub(bytes);
        }
        if is.is_some_and(|place| self.spare.insert(place)) {
            self.spare_bytes += bytes;
        }
    }

    fn drop_kept(&mut self, id: Id) {
        let Some(kept) = self.kept.remove(&id) else { return };
        self.kept_bytes = self.kept_bytes.saturating_sub(kept.bytes);
        if kept.place(id).is_some_and(|place| self.spare.remove(&place)) {
            self.spare_bytes = self.spare_bytes.saturating_sub(kept.bytes);
        }
    }

    /// Lets spares go until the others fit.
    fn make_room(&mut self) {
        while self.kept_bytes > self.most_kept {
            if self.thin() {
                continue;
            }
            let Some((place, id)) = self.spare.last().copied() else { return };
            self.leave_out(place);
            self.drop_kept(id);
        }
    }

    /// Lets one less stand for each thing, first for what is so of every endpoint; gives whether there was more than one.
    fn thin(&mut self) -> bool {
        let of = match (self.most_common, self.most_spare) {
            _ if self.spare.is_empty() => return false,
            (2.., _) => For::Common,
            (_, 2..) => For::Spare,
            _ => return false,
        };
        let most = if of == For::Common { &mut self.most_common } else { &mut self.most_spare };
        *most -= 1;
        let (most, kept) = (*most, &self.kept);
        for (_, id) in self.samples.thin(most, |about| For::of(about) == of, |id| kept.contains_key(&id)) {
            self.release(id, of);
            self.left_out += u64::from(!self.has(id));
        }
        true
    }

    /// There is no room for a spare, so for none behind it.
    fn leave_out(&mut self, place: u128) {
        self.spare_to = self.spare_to.min(place);
        self.left_out += 1;
    }

    /// Takes in spares of every rank again, and as many for each thing, where half of the room is free. What was left out meanwhile is in
    /// no sample that goes on.
    fn lift(&mut self) {
        if self.kept_bytes > self.most_kept / 2 {
            return;
        }
        (self.most_spare, self.most_common) = (Samples::OF_FINDING, Samples::OF_FINDING);
        if self.spare_to == u128::MAX {
            return;
        }
        let [spare, common] = [For::Spare, For::Common].map(|of| self.to(of));
        let to = |about: &About| match For::of(about) {
            For::Known => u64::MAX,
            For::Spare => spare,
            For::Common => common,
        };
        let (kept, handed) = (&self.kept, &self.handed);
        for (about, id) in self.samples.bound_all(to, |id| kept.contains_key(&id) || handed.contains(&id)) {
            self.release(id, For::of(&about));
        }
        self.spare_to = u128::MAX;
    }

    /// Endpoints that got other names or became one.
    pub(crate) fn rename(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        for (about, id) in self.samples.rename(renames) {
            self.release(id, For::of(&about));
        }
    }

    /// Forgets exchanges that name one of these.
    pub(crate) fn forget(&mut self, all: &[Forget]) {
        let names = |text: &[u8]| all.iter().any(|f| f.is_in(text));
        let sent = |raw: &Raw| all.iter().any(|f| raw.has(|text| f.is_in(text)));
        let is_of = |of: &Recent| names(&of.head) || of.seen.as_ref().is_some_and(|seen| sent(&seen.raw));
        let recent = self.recent.extract_if(|_, line| is_of(&line.of));
        let gone: usize = recent.map(|(_, line)| line.of.bytes()).sum();
        self.recent_bytes = self.recent_bytes.saturating_sub(gone);
        self.order.retain(|id| self.recent.contains_key(id));
        let gone: Vec<Id> = self.kept.iter().filter(|(_, kept)| is_of(&kept.of)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.drop_kept(id));
    }

    /// Which exchanges stand for which campaign, finding and place of sensitive data.
    pub(crate) fn samples(
        &self,
        run: &RunData,
        data: &BTreeMap<String, sidetap_sensitive::Place>,
    ) -> Vec<Sampled> {
        self.samples.of(run, data, |about| self.to(For::of(about)), |id| self.has(id))
    }

    /// Of these what was not told yet: others were chosen, or they stand for a sixteenth more.
    pub(crate) fn untold(&mut self, samples: Vec<Sampled>) -> Vec<Sampled> {
        const TOLD: usize = 65_536;
        if self.told.len() > TOLD {
            self.told.clear();
        }
        let is_news = |new: &Sampled| {
            self.told
                .get(&new.thing)
                .is_none_or(|old| old.ids != new.ids || old.seen + old.seen / 16 < new.seen)
        };
        let news: Vec<Sampled> = samples.into_iter().filter(is_news).collect();
        self.told.extend(news.iter().map(|s| (s.thing.clone(), s.clone())));
        news
    }

    /// How many exchanges were asked for in vain since the last call.
    pub(crate) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    /// Exchanges of places that had no room to be sampled.
    pub(crate) fn refused(&self) -> u64 {
        self.samples.refused
    }

    /// Exchanges that had no room to wait for a finding.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
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

    /// What was kept since the last time, with the names that endpoints have by now; whoever takes it has it: it is not kept again. Spares
    /// that none of these samples has stay.
    pub(crate) fn hand_over(
        &mut self,
        samples: &[Sampled],
        id_of: impl FnMut(&LookupKey) -> Option<String>,
    ) -> Vec<Evidence> {
        let out = self.take(samples, id_of);
        for id in out.iter().filter_map(|e| parse(&e.id)) {
            if self.handed.len() < Self::SEEN {
                self.handed.insert(id);
            }
        }
        self.lift();
        out
    }

    /// What was kept, with the final names of endpoints.
    pub(crate) fn take(
        &mut self,
        samples: &[Sampled],
        mut id_of: impl FnMut(&LookupKey) -> Option<String>,
    ) -> Vec<Evidence> {
        let wanted: HashSet<Id, Fixed> =
            samples.iter().flat_map(|s| &s.ids).filter_map(|i| parse(i)).collect();
        let is_due = |id: &Id, kept: &Kept| !kept.is_spare() || wanted.contains(id);
        let due: Vec<Id> =
            self.kept.iter().filter(|(id, kept)| is_due(id, kept)).map(|(id, _)| *id).collect();
        let mut out = Vec::with_capacity(due.len());
        for id in due {
            let Some(of) = self.kept.get(&id).map(|kept| Arc::clone(&kept.of)) else { continue };
            self.drop_kept(id);
            let mut text = of.head.clone();
            match of.key.as_ref().and_then(&mut id_of) {
                Some(id) => text.extend_from_slice(format!("\"{id}\"}}}}").as_bytes()),
                None => text.extend_from_slice(b"null}}"),
            }
            let Ok(mut exchange) = serde_json::from_slice::<serde_json::Value>(&text) else { continue };
            let target = exchange.pointer("/url/original").and_then(|v| v.as_str()).unwrap_or_default();
            let parts = of.seen.as_ref().map(|s| self.masker.show(&s.raw, target)).unwrap_or_default();
            add(&mut exchange, "/http/request", parts.request);
            add(&mut exchange, "/http/response", parts.response);
            out.push(Evidence { id: format!("{}-{}", id.0, id.1), ts: of.ts, exchange });
        }
        out
    }

    fn keep_named(&mut self, name: &str) {
        if let Some(id) = parse(name) {
            self.name(id);
        }
    }

    fn name(&mut self, id: Id) {
        let rank = rank(&self.key, id);
        self.keep(id, rank, For::Known);
        self.change(id, |kept| kept.named = true);
        self.make_room();
    }

    fn keep(&mut self, id: Id, rank: u64, of: For) {
        if self.kept.contains_key(&id) || self.handed.contains(&id) {
            return;
        }
        // Spares make way for what is wanted.
        let taken = self.kept_bytes - if of == For::Known { self.spare_bytes } else { 0 };
        let fits = taken < self.most_kept;
        match self.recent.get(&id).filter(|_| fits) {
            Some(line) => {
                let (bytes, spare) = (line.of.bytes(), of.max(For::Spare));
                let of = Arc::clone(&line.of);
                self.kept_bytes += bytes;
                self.spare_bytes += bytes;
                self.spare.insert((spare.place(rank), id));
                self.kept.insert(id, Kept { of, rank, bytes, spare, named: false, samples: 0, spares: 0 });
            }
            None if of == For::Known && self.missed.len() < Self::SEEN => {
                self.untold += u64::from(self.missed.insert(id));
            }
            None => {}
        }
    }
}

/// Adds head and body to a message of an exchange.
fn add(exchange: &mut serde_json::Value, at: &str, part: Option<Part>) {
    if let (Some(message), Some(part)) = (exchange.pointer_mut(at).and_then(|m| m.as_object_mut()), part) {
        part.add_to(message);
    }
}

/// Where an exchange stands among all: nobody but who has the key can choose it.
fn rank(key: &HashKey, (flow, seq): Id) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&flow.0.to_be_bytes());
    bytes[8..].copy_from_slice(&seq.to_be_bytes());
    key.hash64("evidence", &bytes)
}

/// Names a place and type: its first exchange is kept.
pub(crate) fn what(endpoint: u64, location: &str, kind: u64) -> u64 {
    endpoint ^ hash_str(location).rotate_left(17) ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn parse(name: &str) -> Option<Id> {
    let (flow, seq) = name.split_once('-')?;
    Some((FlowId(u64::from_str_radix(flow, 16).ok()?), seq.parse().ok()?))
}

#[cfg(test)]
mod tests;
