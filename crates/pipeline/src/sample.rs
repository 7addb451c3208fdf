use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};
use sidetap_discovery::{Data, Observation, Shows};
use sidetap_model::rows::{FindingRow, RunData, VerdictRow};
use sidetap_model::{EndpointId, EndpointRef, FlowId, SubjectKind};
use sidetap_sensitive::Sighting;
use sidetap_wire::body::hash_str;
use smallvec::SmallVec;

use crate::item::Name;

type Fixed = foldhash::fast::FixedState;
pub(crate) type Id = (FlowId, u32);

/// Which exchanges stand for all of a campaign, a finding or a place of sensitive data, and for how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// `campaign:`, `finding:` or `sensitive:` and the id.
    pub thing: String,
    /// Exchanges of it that were looked at.
    pub seen: u64,
    /// Ids of those that were chosen, each as likely as any other.
    pub ids: Vec<String>,
}

/// Those of all that were seen whose keyed hashes are the smallest: a fair choice that is the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) seen: u64,
    chosen: BTreeSet<(u64, Id)>,
    /// From this rank on some had no room. None of these is in it, whatever else keeps it: what is left is as fair.
    to: u64,
}

impl Default for Sample {
    fn default() -> Self {
        Sample { seen: 0, chosen: BTreeSet::new(), to: u64::MAX }
    }
}

/// What became of an exchange that was offered to a sample.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// It is not in it.
    No,
    /// It is, and another one may have gone for it.
    For(Option<Id>),
}

impl Sample {
    /// Takes one more into account.
    fn offer(&mut self, rank: u64, id: Id, most: usize) -> Chosen {
        self.seen += 1;
        if rank >= self.to {
            return Chosen::No;
        }
        if self.chosen.len() >= most && self.chosen.last().is_some_and(|last| *last <= (rank, id)) {
            return Chosen::No;
        }
        self.chosen.insert((rank, id));
        let over = self.chosen.len() > most;
        Chosen::For(if over { self.chosen.pop_last().map(|(_, id)| id) } else { None })
    }

    /// Takes none from this rank on; gives those that it had.
    fn bound(&mut self, to: u64) -> Vec<Id> {
        self.to = self.to.min(to);
        if self.chosen.last().is_none_or(|(rank, _)| *rank < self.to) {
            return Vec::new();
        }
        self.chosen.split_off(&(self.to, (FlowId(0), 0))).into_iter().map(|(_, id)| id).collect()
    }

    /// Two samples as one, as if all had been offered to it.
    fn join(&mut self, other: &Sample, most: usize) {
        self.seen += other.seen;
        self.chosen.extend(&other.chosen);
        self.bound(other.to);
        while self.chosen.len() > most {
            self.chosen.pop_last();
        }
    }

    /// Whether nothing that it chose is missing.
    fn is_whole(&self, has: impl Fn(Id) -> bool) -> bool {
        self.to == u64::MAX && self.chosen.iter().all(|(_, id)| has(*id))
    }

    /// As it is told: where something that it chose had no room only what stands before all that had none.
    fn of(&self, thing: String, to: u64, has: impl Fn(Id) -> bool) -> Sampled {
        let to = if to == u64::MAX || self.is_whole(has) { self.to } else { to };
        let fit = self.chosen.iter().take_while(|(rank, _)| *rank < to);
        let ids = fit.map(|(_, (flow, seq))| format!("{flow}-{seq}")).collect();
        Sampled { thing, seen: self.seen, ids }
    }
}

/// What the exchanges of an endpoint have in common that a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    /// An exploit rule, by the hash of its id.
    Rule(u64),
    /// What risks and conformance are about.
    Risk(Shows),
    /// Sensitive data at a place.
    Data(sidetap_sensitive::Place),
}

impl About {
    /// Of an exploit rule.
    pub(crate) fn rule(id: &str) -> Self {
        About::Rule(hash_str(id))
    }

    fn of(finding: &FindingRow) -> Option<Self> {
        match finding.kind.as_str() {
            "exploit" => Some(About::rule(&finding.rule)),
            _ => Shows::of_rule(&finding.rule).map(About::Risk),
        }
    }
}

/// The same at an endpoint of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    about: About,
    host: u64,
    endpoint: u64,
}

impl Place {
    fn of(endpoint: &EndpointRef, about: About) -> Self {
        let host = if matches!(about, About::Data(_)) { 0 } else { hash_str(&endpoint.host) };
        Place { about, host, endpoint: endpoint.id.0 }
    }
}

/// Samples of campaigns, of findings, and of what findings may come to be about.
#[derive(Debug)]
pub(crate) struct Samples {
    campaigns: Vec<(String, Sample)>,
    numbers: BTreeMap<String, u32>,
    /// By one of its names: what else somebody is known by, and his campaign.
    members: HashMap<Name, Vec<(Vec<Name>, u32)>, Fixed>,
    known: HashSet<u64, Fixed>,
    places: BTreeMap<Place, Sample>,
    most_places: usize,
    /// Exchanges of places that had no room.
    pub(crate) refused: u64,
}

impl Samples {
    /// Exchanges that stand for a campaign.
    const OF_CAMPAIGN: usize = 48;
    /// Exchanges that stand for a finding.
    pub(crate) const OF_FINDING: usize = 8;
    const CAMPAIGNS: usize = 4_096;
    const MEMBERS: usize = 65_536;

    /// Empty ones within their share of the run's memory.
    pub(crate) fn new(memory_limit: u64) -> Self {
        Samples {
            campaigns: Vec::new(),
            numbers: BTreeMap::new(),
            members: HashMap::default(),
            known: HashSet::default(),
            places: BTreeMap::new(),
            most_places: (memory_limit >> 15).clamp(1_024, 16_384) as usize,
            refused: 0,
        }
    }

    /// Learns from verdicts who is of which campaign; gives a name of each that was not known of it.
    pub(crate) fn learn(&mut self, verdicts: &[VerdictRow]) -> HashSet<Name, Fixed> {
        let mut fresh = HashSet::default();
        for verdict in verdicts {
            let harmful = matches!(verdict.intent.as_str(), "malicious" | "suspicious");
            let Some(number) = verdict.campaign.as_ref().filter(|_| harmful).and_then(|c| self.number(c))
            else {
                continue;
            };
            if verdict.subject.kind == SubjectKind::Cidr {
                for ip in &verdict.client_ips {
                    fresh.extend(self.member(vec![name_of(SubjectKind::Ip, &ip.to_string())], number));
                }
            } else {
                let parts = verdict.subject.each_part();
                fresh.extend(self.member(parts.iter().map(|p| name_of(p.kind, &p.value)).collect(), number));
            }
        }
        fresh
    }

    fn number(&mut self, campaign: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(campaign) {
            return Some(*number);
        }
        let number = u32::try_from(self.campaigns.len()).ok().filter(|n| (*n as usize) < Self::CAMPAIGNS)?;
        self.campaigns.push((campaign.to_owned(), Sample::default()));
        self.numbers.insert(campaign.to_owned(), number);
        Some(number)
    }

    /// Keeps that who is known by these names is of a campaign; gives the one by which he is found, where that is new.
    fn member(&mut self, mut names: Vec<Name>, campaign: u32) -> Option<Name> {
        names.sort_unstable();
        let whole =
            names.iter().fold(u64::from(campaign), |h, n| (h ^ n.0).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if self.known.len() >= Self::MEMBERS || !self.known.insert(whole) {
            return None;
        }
        let first = names.pop()?;
        self.members.entry(first).or_default().push((names, campaign));
        Some(first)
    }

    /// The campaigns of who is known by these names, in order.
    pub(crate) fn campaigns_of(&self, names: &[Name]) -> Vec<u32> {
        let with = names.iter().filter_map(|n| self.members.get(n)).flatten();
        let mut of: Vec<u32> =
            with.filter(|(rest, _)| rest.iter().all(|n| names.contains(n))).map(|(_, c)| *c).collect();
        of.sort_unstable();
        of.dedup();
        of
    }

    /// Offers an exchange to a campaign.
    pub(crate) fn offer(&mut self, campaign: u32, rank: u64, id: Id) -> Chosen {
        match self.campaigns.get_mut(campaign as usize) {
            Some((_, sample)) => sample.offer(rank, id, Self::OF_CAMPAIGN),
            None => Chosen::No,
        }
    }

    /// What a campaign chose could not be kept.
    pub(crate) fn take_back(&mut self, campaign: u32, rank: u64, id: Id) {
        if let Some((_, sample)) = self.campaigns.get_mut(campaign as usize) {
            sample.chosen.remove(&(rank, id));
        }
    }

    /// Offers an exchange of an endpoint to what it shows, for which this many may stand.
    pub(crate) fn offer_to(
        &mut self,
        endpoint: &EndpointRef,
        about: About,
        (rank, id): (u64, Id),
        most: usize,
    ) -> Chosen {
        let place = Place::of(endpoint, about);
        let full = self.places.len() >= self.most_places;
        if full && !self.places.contains_key(&place) {
            self.refused += 1;
            return Chosen::No;
        }
        let sample = self.places.entry(place).or_default();
        let chosen = sample.offer(rank, id, most);
        // Where more may stand for it one day, none comes in from the ranks of those that go now.
        if most < Self::OF_FINDING && chosen != Chosen::For(None) {
            sample.to =
                sample.chosen.last().map_or(sample.to, |(last, _)| sample.to.min(last.saturating_add(1)));
        }
        chosen
    }

    /// Lets this many at most stand for each of these, where that lets go of something that is kept; gives those that go.
    pub(crate) fn thin(
        &mut self,
        most: usize,
        of: impl Fn(&About) -> bool,
        is_kept: impl Fn(Id) -> bool,
    ) -> Vec<(About, Id)> {
        let mut gone = Vec::new();
        for (place, sample) in self.places.iter_mut().filter(|(place, _)| of(&place.about)) {
            let mut over = sample.chosen.iter().skip(most);
            let Some((to, _)) = over.clone().next().copied().filter(|_| over.any(|(_, id)| is_kept(*id)))
            else {
                continue;
            };
            gone.extend(sample.bound(to).into_iter().map(|id| (place.about, id)));
        }
        gone
    }

    /// What an endpoint's place chose could not be kept.
    pub(crate) fn take_back_of(&mut self, endpoint: &EndpointRef, about: About, rank: u64, id: Id) {
        if let Some(sample) = self.places.get_mut(&Place::of(endpoint, about)) {
            sample.chosen.remove(&(rank, id));
        }
    }

    /// Lets a place have none from this rank on; gives those that it had.
    pub(crate) fn bound(&mut self, endpoint: &EndpointRef, about: About, to: u64) -> Vec<Id> {
        self.places.get_mut(&Place::of(endpoint, about)).map_or_else(Vec::new, |sample| sample.bound(to))
    }

    /// Lets all places that lack something have none from these ranks on, for what follows has room again; gives those that they had. A place that has none
    /// left begins anew: it is about what comes from now on.
    pub(crate) fn bound_all(
        &mut self,
        to: impl Fn(&About) -> u64,
        has: impl Fn(Id) -> bool,
    ) -> Vec<(About, Id)> {
        let mut gone = Vec::new();
        for (place, sample) in self.places.iter_mut().filter(|(_, sample)| !sample.is_whole(&has)) {
            gone.extend(sample.bound(to(&place.about)).into_iter().map(|id| (place.about, id)));
            if sample.to < u64::MAX && sample.chosen.is_empty() {
                *sample = Sample::default();
            }
        }
        gone
    }

    /// Endpoints that got other names or became one; gives exchanges that stand for nothing there any more, with what they stood for.
    pub(crate) fn rename(&mut self, renames: &[(EndpointId, EndpointRef)]) -> Vec<(About, Id)> {
        let to: BTreeMap<u64, u64> = renames.iter().map(|(old, new)| (old.0, new.id.0)).collect();
        let moved: Vec<Place> =
            self.places.keys().filter(|p| to.contains_key(&p.endpoint)).copied().collect();
        let mut gone = Vec::new();
        for place in moved {
            let (Some(sample), Some(new)) = (self.places.remove(&place), to.get(&place.endpoint)) else {
                continue;
            };
            let known = self.places.entry(Place { endpoint: *new, ..place }).or_default();
            let mut all: BTreeSet<Id> =
                known.chosen.iter().chain(&sample.chosen).map(|(_, id)| *id).collect();
            known.join(&sample, Self::OF_FINDING);
            known.chosen.iter().for_each(|(_, id)| _ = all.remove(id));
            gone.extend(all.into_iter().map(|id| (place.about, id)));
        }
        gone
    }

    /// What stands for each campaign, for each finding of a run, and for each of its places of sensitive data, below the rank from which
    /// on there was no room for those about this; `has` says what is there.
    pub(crate) fn of(
        &self,
        run: &RunData,
        data: &BTreeMap<String, sidetap_sensitive::Place>,
        to: impl Fn(&About) -> u64,
        has: impl Fn(Id) -> bool,
    ) -> Vec<Sampled> {
        let campaigns =
            self.campaigns.iter().map(|(id, sample)| sample.of(format!("campaign:{id}"), u64::MAX, &has));
        let findings = run.findings.iter().filter_map(|f| {
            let said = |what| f.subject.get(what).map_or("", String::as_str);
            let endpoint = u64::from_str_radix(said("endpoint"), 16).ok();
            let from =
                Place { about: About::of(f)?, host: hash_str(said("host")), endpoint: endpoint.unwrap_or(0) };
            let same = |p: &Place| (p.about, p.host) == (from.about, from.host);
            let all = self.places.range(from..).take_while(|(p, _)| same(p));
            let mut whole = Sample::default();
            all.take_while(|(p, _)| endpoint.is_none_or(|id| p.endpoint == id))
                .for_each(|(_, sample)| whole.join(sample, Self::OF_FINDING));
            Some(whole.of(format!("finding:{}", f.id), to(&from.about), &has))
        });
        let sensitive = run.sensitive.iter().filter_map(|row| {
            let id = row.id();
            let place = Place { about: About::Data(*data.get(&id)?), host: 0, endpoint: row.endpoint.id.0 };
            Some(self.places.get(&place)?.of(format!("sensitive:{id}"), to(&place.about), &has))
        });
        campaigns.chain(findings).chain(sensitive).filter(|s| s.seen > 0).collect()
    }
}

/// What an exchange shows of its endpoint, with the sensitive data that was found in it.
pub(crate) fn shown(
    types: &sidetap_sensitive::Pack,
    o: &Observation,
    endpoint: &EndpointRef,
    found: &[Sighting],
) -> SmallVec<[Shows; 8]> {
    let data = found.iter().filter_map(|s| {
        let kind = types.get(s.kind)?;
        let (direction, confidence) = (s.direction.name(), f64::from(s.confidence) / 100.0);
        Some(Data { direction, location: &s.location, kind: &kind.id, class: &kind.class, confidence })
    });
    Shows::of(o, endpoint, data)
}

/// Everything that the client of an exchange is known by.
pub(crate) fn names_of(actors: &sidetap_bots::Actors) -> Vec<Name> {
    let all = |kind, values: &[String]| values.iter().map(|v| name_of(kind, v)).collect::<Vec<_>>();
    let mut names = vec![name_of(SubjectKind::Ip, &actors.ip)];
    names.extend(all(SubjectKind::Session, &actors.session));
    names.extend(all(SubjectKind::Fingerprint, &actors.fingerprint));
    names.extend(actors.account.iter().map(|v| name_of(SubjectKind::Account, v)));
    names.extend(actors.api_key.iter().map(|v| name_of(SubjectKind::ApiKey, v)));
    names
}

fn name_of(kind: SubjectKind, value: &str) -> Name {
    Name(hash_str(value) ^ hash_str(kind.name()).rotate_left(21))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(ranks: impl Iterator<Item = u64>) -> Sample {
        let mut sample = Sample::default();
        for (n, rank) in ranks.enumerate() {
            sample.offer(rank, (FlowId(1), n as u32), 4);
        }
        sample
    }

    #[test]
    fn a_sample_is_the_same_in_whatever_parts_it_was_taken() {
        let rank = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let whole = offered((0..1000).map(rank));
        assert_eq!((whole.seen, whole.chosen.len()), (1000, 4));
        let mut smallest: Vec<u64> = (0..1000).map(rank).collect();
        smallest.sort_unstable();
        assert_eq!(whole.chosen.iter().map(|(r, _)| *r).collect::<Vec<_>>(), smallest[..4]);
        let mut parts = offered((0..300).map(rank));
        let mut rest = Sample::default();
        (300..1000).for_each(|n| _ = rest.offer(rank(n), (FlowId(1), n as u32), 4));
        parts.join(&rest, 4);
        assert_eq!((parts.seen, parts.chosen), (whole.seen, whole.chosen));
    }

    #[test]
    fn whoever_goes_makes_room_for_one() {
        let mut sample = Sample::default();
        let id = |n| (FlowId(1), n);
        assert_eq!(sample.offer(5, id(0), 2), Chosen::For(None));
        assert_eq!(sample.offer(9, id(1), 2), Chosen::For(None));
        assert_eq!(sample.offer(7, id(2), 2), Chosen::For(Some(id(1))));
        assert_eq!(sample.offer(8, id(3), 2), Chosen::No);
        assert_eq!(sample.seen, 4);
    }

    #[test]
    fn a_compound_is_known_by_all_its_names() {
        let mut samples = Samples::new(1 << 30);
        let number = samples.number("c").unwrap();
        let names = |n: &[u64]| n.iter().map(|n| Name(*n)).collect::<Vec<_>>();
        samples.member(names(&[1, 2]), number);
        assert!(
            samples.campaigns_of(&names(&[1])).is_empty() && samples.campaigns_of(&names(&[2])).is_empty()
        );
        assert_eq!(samples.campaigns_of(&names(&[3, 2, 1])), [number]);
    }
}
