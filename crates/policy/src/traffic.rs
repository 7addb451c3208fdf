//! Recent traffic in cells, with who was behind it: what guards measure good traffic by, and suggestions are found in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use sidetap_model::rows::{Subject, VerdictRow};
use sidetap_model::{SubjectKind, Ts};

use crate::Response;
use crate::net::{canonical, parse_net};
use crate::seen::{Index, Seen};
use crate::sieve::Sieve;

/// Most cells that are kept; of more, requests are counted without them.
pub const MAX_CELLS: usize = 400_000;
/// Most addresses of convicted clients that are remembered since no verdict names them alone.
const MAX_SPARED: usize = 400_000;

/// Methods that change nothing (RFC 9110, section 9.2.1).
const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// Who was behind a request, as far as verdicts say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Behind {
    /// Nobody who was told of: people, and machines that do no harm.
    #[default]
    Good,
    /// Somebody who was not convicted.
    Suspicious,
    /// Somebody who was.
    Malicious,
}

/// Requests that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What they have in common.
    pub seen: Seen,
    /// Who was behind them.
    pub behind: Behind,
    /// His campaign.
    pub campaign: Option<Arc<str>>,
    /// How many there were.
    pub requests: u64,
    /// The last one.
    pub last: Ts,
}

/// Recent requests in cells.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    cells: Vec<Cell>,
    ips: BTreeMap<IpAddr, Vec<u32>>,
    values: HashMap<Arc<str>, Vec<u32>>,
    campaigns: HashMap<Arc<str>, Vec<u32>>,
    good: u64,
    /// Good requests that carry a fingerprint of each kind, a country, a network.
    carry: BTreeMap<String, u64>,
    left_out: u64,
    /// Addresses of convicted clients that no verdict names alone, by their zones.
    spared: HashSet<(Arc<str>, IpAddr)>,
    spared_left_out: u64,
    measured: Arc<Mutex<HashMap<Subject, Measure>>>,
}

/// What one subject would hit of the good traffic.
#[derive(Clone, Copy, Debug)]
struct Measure {
    ppm: u32,
    clients: usize,
}

/// Subjects whose measures are remembered.
const REMEMBERED: usize = 100_000;

/// Puts requests together into cells.
#[derive(Debug, Default)]
pub struct TrafficBuilder {
    cells: HashMap<Key, (u64, Ts)>,
    left_out: u64,
    good_left_out: u64,
    spared: HashSet<(Arc<str>, IpAddr)>,
    /// Requests from such addresses beyond those that are remembered.
    spared_left_out: u64,
}

type Key = (Seen, Behind, Option<Arc<str>>);

impl TrafficBuilder {
    /// Counts requests of whom this attribution says.
    pub fn add_by(&mut self, seen: Seen, by: &Attribution, requests: u64, last: Ts) {
        let (behind, campaign, named) = by.whose(&seen);
        if behind == Behind::Malicious && !named {
            self.spare((seen.zone.clone(), seen.ip), requests);
        }
        self.add(seen, behind, campaign, requests, last);
    }

    fn spare(&mut self, at: (Arc<str>, IpAddr), requests: u64) {
        if self.spared.len() < MAX_SPARED {
            self.spared.insert(at);
        } else if !self.spared.contains(&at) {
            self.spared_left_out += requests;
        }
    }

    /// Counts requests.
    pub fn add(&mut self, seen: Seen, behind: Behind, campaign: Option<Arc<str>>, requests: u64, last: Ts) {
        let key = (seen, behind, campaign);
        if let Some(cell) = self.cells.get_mut(&key) {
            cell.0 += requests;
            cell.1 = cell.1.max(last);
        } else if self.cells.len() < MAX_CELLS {
            self.cells.insert(key, (requests, last));
        } else {
            self.left_out += requests;
            self.good_left_out += if behind == Behind::Good { requests } else { 0 };
        }
    }

    /// The cells, in a stated order.
    pub fn build(self) -> Traffic {
        let mut all: Vec<_> = self.cells.into_iter().collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let cells = all.into_iter().map(|((seen, behind, campaign), (requests, last))| Cell {
            seen,
            behind,
            campaign,
            requests,
            last,
        });
        let mut traffic = Traffic {
            left_out: self.left_out,
            good: self.good_left_out,
            spared: self.spared,
            spared_left_out: self.spared_left_out,
            ..Traffic::default()
        };
        cells.for_each(|c| traffic.push(c));
        traffic
    }
}

impl Traffic {
    fn push(&mut self, cell: Cell) {
        let number = self.cells.len() as u32;
        let seen = &cell.seen;
        self.ips.entry(canonical(IpNet::from(seen.ip)).addr()).or_default().push(number);
        let tokens = seen.prints.iter().chain(&seen.sessions).chain(&seen.account).chain(&seen.api_key);
        for token in tokens.cloned().collect::<HashSet<_>>() {
            self.values.entry(token).or_default().push(number);
        }
        if let Some(campaign) = &cell.campaign {
            self.campaigns.entry(campaign.clone()).or_default().push(number);
        }
        if cell.behind == Behind::Good {
            self.good += cell.requests;
            for print in &cell.seen.prints {
                match self.carry.get_mut(family(print)) {
                    Some(n) => *n += cell.requests,
                    None => _ = self.carry.insert(family(print).to_owned(), cell.requests),
                }
            }
            let origin = [
                (SubjectKind::Country, cell.seen.country.is_some()),
                (SubjectKind::Network, cell.seen.network.is_some()),
            ];
            for (kind, _) in origin.into_iter().filter(|(_, known)| *known) {
                *self.carry.entry(kind.name().to_owned()).or_default() += cell.requests;
            }
        }
        self.cells.push(cell);
    }

    /// The cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Whether somebody at an address of this network is convicted and no verdict names that alone: it stands for several, or is what a
    /// header claims. Where more are so than are remembered, any may be.
    pub(crate) fn spares(&self, net: &IpNet) -> bool {
        self.spared_left_out > 0
            || self.spared.iter().any(|(_, ip)| net.contains(&canonical(IpNet::from(*ip)).addr()))
    }

    /// The cells of a campaign.
    pub(crate) fn of_campaign(&self, id: &str) -> impl Iterator<Item = &Cell> {
        let numbers = self.campaigns.get(id).into_iter().flatten();
        numbers.filter_map(|n| self.cells.get(*n as usize))
    }

    /// Good requests.
    pub fn good(&self) -> u64 {
        self.good
    }

    /// Requests that had no room in cells.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What is not known of this traffic for want of room, and what follows from that; nothing where all is.
    pub fn gaps(&self) -> Vec<String> {
        let cells = format!(
            "{} requests had no room among {MAX_CELLS} different ones: conditions are not measured on them",
            self.left_out
        );
        let spared = format!(
            "{} requests of convicted clients are from addresses beyond the {MAX_SPARED} that are remembered because no verdict names them alone: no address is suggested without more of who asks",
            self.spared_left_out
        );
        let all = [(self.left_out, cells), (self.spared_left_out, spared)];
        all.into_iter().filter(|(n, _)| *n > 0).map(|(_, text)| text).collect()
    }

    /// Whether what this subject names was taken of nearly all good requests that are stored, so that they say whom it would hit: an
    /// older version may lack a kind of fingerprints, without tables nobody has a country, and of headers agents alone are kept.
    pub fn tells(&self, subject: &Subject) -> bool {
        let of_nearly_all = |kind: &str| {
            let carry = self.carry.get(kind).copied().unwrap_or(0);
            carry.saturating_mul(10) >= self.good.saturating_mul(9)
        };
        subject.each_part().iter().all(|p| match p.kind {
            SubjectKind::Fingerprint => of_nearly_all(family(&p.value)),
            SubjectKind::Country | SubjectKind::Network => of_nearly_all(p.kind.name()),
            SubjectKind::Header => p.value.starts_with("user-agent: "),
            _ => true,
        })
    }

    /// Good requests that these subjects would have hit, each counted once.
    pub fn good_hit_by(&self, subjects: &[Subject]) -> u64 {
        let mut hit: HashSet<u32> = HashSet::new();
        for subject in subjects {
            hit.extend(self.good_cells(subject).map(|(n, _)| n));
        }
        hit.iter().filter_map(|n| self.cells.get(*n as usize)).map(|c| c.requests).sum()
    }

    /// Good requests that a subject would have hit, in millionths of all good ones.
    pub fn good_ppm(&self, subject: &Subject) -> u32 {
        self.measure(subject).ppm
    }

    /// Different clients of good standing behind a subject: agents with their sessions or accounts.
    pub fn good_clients(&self, subject: &Subject) -> usize {
        self.measure(subject).clients
    }

    fn measure(&self, subject: &Subject) -> Measure {
        let known = self.measured.lock().unwrap_or_else(PoisonError::into_inner).get(subject).copied();
        if let Some(known) = known {
            return known;
        }
        let mut hit: u64 = 0;
        let mut clients = HashSet::new();
        for (_, c) in self.good_cells(subject) {
            hit += c.requests;
            clients.insert((c.seen.ip, &c.seen.agent, c.seen.account.as_ref().or(c.seen.sessions.first())));
        }
        let ppm = hit.saturating_mul(1_000_000).checked_div(self.good).unwrap_or(0);
        let measure = Measure { ppm: u32::try_from(ppm).unwrap_or(u32::MAX), clients: clients.len() };
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if measured.len() < REMEMBERED {
            measured.insert(subject.clone(), measure);
        }
        measure
    }

    /// Of the requests that fit `own`, the shares in a hundred that fit `subject` too: of all of them, and of those that count. These are
    /// the ones to these endpoints (`POST shop.example/login`), or, where none went there or none is named, those that change
    /// something, by their method; or all. All where none is stored.
    pub fn share_within(&self, own: &Subject, subject: &Subject, endpoints: &[String]) -> (u64, u64) {
        let (mut all, mut changes, mut there) = ((0, 0), (0, 0), (0, 0));
        for cell in self.candidates(own).into_iter().filter_map(|n| self.cells.get(n as usize)) {
            if cell.seen.fits(own) {
                let both = if cell.seen.fits(subject) { cell.requests } else { 0 };
                let add = |to: &mut (u64, u64)| *to = (to.0 + cell.requests, to.1 + both);
                add(&mut all);
                if !SAFE.contains(&&*cell.seen.method) {
                    add(&mut changes);
                }
                if endpoints.iter().any(|e| cell.seen.is_at(e)) {
                    add(&mut there);
                }
            }
        }
        let share = |(of, both): (u64, u64)| (both * 100).checked_div(of);
        let whole = share(all).unwrap_or(100);
        (whole, share(there).or_else(|| share(changes)).unwrap_or(whole))
    }

    fn good_cells<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = (u32, &'a Cell)> {
        self.candidates(subject).into_iter().filter_map(move |n| {
            let cell = self.cells.get(n as usize)?;
            (cell.behind == Behind::Good && cell.seen.fits(subject)).then_some((n, cell))
        })
    }

    /// Cells that a subject may fit.
    fn candidates(&self, subject: &Subject) -> Vec<u32> {
        let parts = subject.each_part();
        let token = |k| {
            matches!(
                k,
                SubjectKind::Session | SubjectKind::ApiKey | SubjectKind::Account | SubjectKind::Fingerprint
            )
        };
        let address = parts.iter().find(|p| matches!(p.kind, SubjectKind::Ip | SubjectKind::Cidr));
        if let Some(net) = address.and_then(|p| parse_net(&p.value)) {
            return self.ips.range(net.network()..=net.broadcast()).flat_map(|(_, n)| n).copied().collect();
        }
        match parts.iter().find(|p| token(p.kind)) {
            Some(part) => self.values.get(part.value.as_str()).cloned().unwrap_or_default(),
            None => (0..self.cells.len() as u32).collect(),
        }
    }
}

/// The kind of a fingerprint: `s2`.
fn family(print: &str) -> &str {
    print.split_once('-').map_or(print, |(family, _)| family)
}

/// Says who is behind requests, by the verdicts of the run that they are of.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    index: Index,
    verdicts: Vec<Whose>,
    /// Campaigns and zones, each kept once.
    names: HashSet<Arc<str>>,
}

impl Attribution {
    /// The attribution that these verdicts make.
    pub fn of<'a>(verdicts: impl IntoIterator<Item = &'a VerdictRow>) -> Self {
        let mut out = Attribution::default();
        verdicts.into_iter().for_each(|v| out.add(v, None));
        out
    }

    /// Adds what a verdict says, where some request that `among` took in may fit its subject.
    pub fn add(&mut self, v: &VerdictRow, among: Option<&Sieve>) {
        match v.intent.as_str() {
            "malicious" => self.push(&v.subject, Behind::Malicious, v, among),
            "suspicious" => self.push(&v.subject, Behind::Suspicious, v, among),
            _ => {}
        }
    }

    /// The same with what policy decided, see [`Attribution::of_decided`].
    pub fn add_decided(&mut self, v: &VerdictRow, among: Option<&Sieve>) {
        self.add(v, among);
        let acts = v.response.parse::<Response>().is_ok_and(Response::acts);
        for subject in v.measures.iter().filter(|_| acts).flat_map(|m| &m.subjects) {
            self.push(subject, Behind::Suspicious, v, among);
        }
    }

    fn push(&mut self, subject: &Subject, behind: Behind, v: &VerdictRow, among: Option<&Sieve>) {
        if among.is_none_or(|sieve| sieve.may_fit(subject)) {
            self.index.add(subject);
            let campaign = v.campaign.as_deref().map(|c| self.name(c));
            let zone = self.name(&v.zone);
            let alone = matches!(subject.kind, SubjectKind::Ip | SubjectKind::Cidr);
            self.verdicts.push(Whose { behind, campaign, zone, alone });
        }
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return known.clone();
        }
        let name: Arc<str> = Arc::from(text);
        self.names.insert(name.clone());
        name
    }

    /// The same, where what policy decided to act against is nobody's good traffic either: it was measured clean when that was decided,
    /// and of what a device refuses since, nobody can say who it was.
    pub fn of_decided<'a>(verdicts: impl IntoIterator<Item = &'a VerdictRow>) -> Self {
        let mut out = Attribution::default();
        verdicts.into_iter().for_each(|v| out.add_decided(v, None));
        out
    }

    /// Who is behind a request, and his campaign.
    pub fn behind(&self, seen: &Seen) -> (Behind, Option<Arc<str>>) {
        let (behind, campaign, _) = self.whose(seen);
        (behind, campaign)
    }

    /// The same, and whether a verdict names his address alone.
    fn whose(&self, seen: &Seen) -> (Behind, Option<Arc<str>>, bool) {
        let hits = self.index.matching(seen).into_iter().filter_map(|n| self.verdicts.get(n as usize));
        let (mut worst, mut alone): (Option<&Whose>, bool) = (None, false);
        for hit in hits.filter(|v| *v.zone == *seen.zone) {
            let is_worse = worst.is_none_or(|w| (hit.behind, &hit.campaign) >= (w.behind, &w.campaign));
            worst = if is_worse { Some(hit) } else { worst };
            alone |= hit.alone && hit.behind == Behind::Malicious;
        }
        worst.map_or((Behind::Good, None, false), |w| (w.behind, w.campaign.clone(), alone))
    }
}

/// What a verdict says of the requests that fit its subject.
#[derive(Clone, Debug)]
struct Whose {
    behind: Behind,
    campaign: Option<Arc<str>>,
    zone: Arc<str>,
    /// Whether it names an address and nothing else.
    alone: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::tests::seen;

    fn ip(value: &str) -> Subject {
        let kind = if value.contains('/') { SubjectKind::Cidr } else { SubjectKind::Ip };
        Subject { kind, value: value.into(), parts: Vec::new() }
    }

    #[test]
    fn beyond_the_addresses_that_are_remembered_every_one_is_spared() {
        let mut builder = TrafficBuilder::default();
        let by = Attribution::default();
        let at = |n: u32| (Arc::from("default"), IpAddr::from(n.to_be_bytes()));
        for n in 0..MAX_SPARED as u32 {
            builder.spare(at(0x0b00_0000 + n), 1);
        }
        builder.add_by(seen("192.0.2.1", "shop.example", "GET", "/", &[]), &by, 1, Ts(0));
        let traffic = builder.build();
        let net = parse_net("203.0.113.9").unwrap();
        assert!(!traffic.spares(&net) && traffic.gaps().is_empty());
        let mut builder = TrafficBuilder { spared: traffic.spared, ..TrafficBuilder::default() };
        builder.spare(at(0x0b00_0000), 1);
        assert_eq!(builder.spared_left_out, 0, "it is remembered");
        builder.spare(at(0x0c00_0000), 3);
        let traffic = builder.build();
        assert!(traffic.spares(&net), "it may be one that had no room");
        assert!(traffic.gaps()[0].starts_with("3 requests "), "{:?}", traffic.gaps());
    }

    #[test]
    fn good_traffic_is_measured_once_for_all_subjects() {
        let mut builder = TrafficBuilder::default();
        for n in 1..=10 {
            let r = seen(&format!("192.0.2.{n}"), "shop.example", "GET", "/", &["s2-1"]);
            let behind = if n == 10 { Behind::Malicious } else { Behind::Good };
            builder.add(r, behind, None, 10, Ts(n));
        }
        let traffic = builder.build();
        assert_eq!(traffic.good(), 90);
        assert_eq!(traffic.good_hit_by(&[ip("192.0.2.1"), ip("192.0.2.0/30"), ip("192.0.2.10")]), 30);
        assert_eq!(traffic.good_ppm(&ip("192.0.2.9")), 111_111);
        let print = Subject { kind: SubjectKind::Fingerprint, value: "s2-1".into(), parts: Vec::new() };
        assert_eq!(traffic.good_ppm(&print), 1_000_000);
        assert_eq!(traffic.good_clients(&ip("192.0.2.0/24")), 9);
        let of = |kind, value: &str| Subject { kind, value: value.into(), parts: Vec::new() };
        assert!(traffic.tells(&print) && traffic.tells(&of(SubjectKind::Header, "user-agent: x")));
        assert!(!traffic.tells(&of(SubjectKind::Fingerprint, "d1-1")), "a kind that is not stored");
        assert!(!traffic.tells(&of(SubjectKind::Header, "accept: text/html")), "nobody knows who sends it");
    }
}
