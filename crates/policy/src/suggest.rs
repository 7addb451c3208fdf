//! Policies out of campaigns: the smallest condition on requests that tells a campaign from the honest traffic that was stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;
use sidetap_model::SubjectKind;
use sidetap_model::rows::{CampaignRow, Subject, SubjectPart};

use crate::net::canonical;
use crate::pack::Measured;
use crate::reach::Reach;
use crate::subjects::Bounds;
use crate::traffic::{Behind, Cell, Traffic};
use crate::{PolicySet, format_ttl};

/// What is looked for.
#[derive(Clone, Debug)]
pub struct SuggestOptions {
    /// What the devices can compare.
    pub reach: Reach,
    /// Honest requests, of a million, that a condition may fit.
    pub honest_ppm: u32,
    /// Conditions for one campaign at most.
    pub rules: usize,
    /// Fields in one condition at most.
    pub parts: usize,
}

impl Default for SuggestOptions {
    fn default() -> Self {
        let prints = ["d1", "s2", "a1"].map(str::to_owned).to_vec();
        let reach = Reach { prints, ..Reach::everything() };
        SuggestOptions { reach, honest_ppm: 0, rules: 3, parts: 4 }
    }
}

/// A condition that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// Id of the rule.
    pub id: String,
    /// Class of the campaign.
    pub class: String,
    /// What a request has to be.
    pub subject: Subject,
    /// How well that told the campaign from honest traffic.
    pub measured: Measured,
    /// Honest requests to the endpoints that the campaign went to.
    pub honest_there: u64,
    /// For how long, in seconds.
    pub ttl_s: u64,
}

/// Literals that are tried for one campaign.
const LITERALS: usize = 40;
/// A further condition has to add so many hundredths of the campaign.
const GAIN: u64 = 2;

impl PolicySet {
    /// Conditions that tell a campaign from the honest requests of `traffic`, the one that finds most first; none where no
    /// condition does. What the guards or the allow list hold is not among them, and may not be hit either: a campaign whose clients
    /// are all on the allow list has none.
    pub fn suggest(
        &self,
        traffic: &Traffic,
        campaign: &CampaignRow,
        options: &SuggestOptions,
    ) -> Vec<Suggestion> {
        let bounds = self.bounds(Some(traffic));
        let is_allowed = |c: &Cell| bounds.allow.touches(&canonical(IpNet::from(c.seen.ip))).is_some();
        let mut left: Vec<&Cell> = traffic.of_campaign(&campaign.id).filter(|c| !is_allowed(c)).collect();
        if left.is_empty() {
            return Vec::new();
        }
        let total: u64 = left.iter().map(|c| c.requests).sum();
        let is_spared = |c: &&Cell| c.behind == Behind::Good || is_allowed(c);
        let honest: Vec<&Cell> = traffic.cells().iter().filter(is_spared).collect();
        let allowed = traffic.good().saturating_mul(u64::from(options.honest_ppm)) / 1_000_000;
        let mut out: Vec<Suggestion> = Vec::new();
        while out.len() < options.rules && !left.is_empty() {
            let search = Search::new(&left, &honest, &options.reach, allowed, &bounds);
            let Some(parts) = search.best(options.parts) else { break };
            let subject = Subject::of_parts(parts);
            let fits: u64 = left.iter().filter(|c| c.seen.fits(&subject)).map(|c| c.requests).sum();
            if fits * 100 < total * GAIN {
                break;
            }
            left.retain(|c| !c.seen.fits(&subject));
            out.push(suggestion(out.len(), campaign, subject, traffic));
        }
        out
    }
}

fn suggestion(number: usize, campaign: &CampaignRow, subject: Subject, traffic: &Traffic) -> Suggestion {
    let (mut measured, mut there) = (Measured { campaign: campaign.id.clone(), ..Measured::default() }, 0);
    let own = |c: &&Cell| c.campaign.as_deref() == Some(&*campaign.id);
    let place = |c: &Cell| (c.seen.host.clone(), c.seen.method.clone(), c.seen.path.clone());
    let places: BTreeSet<_> = traffic.of_campaign(&campaign.id).map(place).collect();
    for c in traffic.cells() {
        let n = c.requests;
        let fit = if c.seen.fits(&subject) { n } else { 0 };
        match c.behind {
            _ if own(&c) => {
                measured.campaign_total += n;
                measured.campaign_requests += fit;
            }
            Behind::Malicious => measured.other_malicious += fit,
            Behind::Good => {
                measured.honest_total += n;
                measured.honest_requests += fit;
                there += if places.contains(&place(c)) { n } else { 0 };
            }
            Behind::Suspicious => {}
        }
    }
    let id = format!("{}{}", suggested_id(&campaign.id), number + 1);
    Suggestion { id, class: campaign.class.clone(), subject, measured, honest_there: there, ttl_s: 86_400 }
}

/// The conditions that are tried: each literal with the requests that it fits.
struct Search<'a> {
    literals: Vec<Literal>,
    weights: Vec<u64>,
    honest: Vec<u64>,
    allowed: u64,
    bounds: &'a Bounds<'a>,
}

struct Literal {
    part: SubjectPart,
    own: Bits,
    honest: Bits,
    cost: u32,
    /// Says who, not only where.
    who: bool,
}

type Bits = Vec<u64>;

/// A condition so far.
#[derive(Clone)]
struct Found {
    literals: Vec<usize>,
    own: Bits,
    honest: Bits,
    cost: u32,
    who: bool,
}

impl<'a> Search<'a> {
    fn new(own: &[&Cell], honest: &[&Cell], reach: &Reach, allowed: u64, bounds: &'a Bounds<'a>) -> Self {
        let mut sums: BTreeMap<(SubjectKind, Arc<str>), u64> = BTreeMap::new();
        for c in own {
            for (kind, value) in literals_of(c, reach) {
                *sums.entry((kind, value)).or_default() += c.requests;
            }
        }
        let total: u64 = own.iter().map(|c| c.requests).sum();
        let mut ranked: Vec<_> = sums.into_iter().filter(|(_, n)| n * 20 >= total).collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ranked.truncate(LITERALS);
        let literal = |((kind, value), _): ((SubjectKind, Arc<str>), u64)| Literal {
            own: bits(own, kind, &value),
            honest: bits(honest, kind, &value),
            cost: cost(kind, &value),
            who: !is_place(kind),
            part: SubjectPart { kind, value: value.to_string() },
        };
        Search {
            literals: ranked.into_iter().map(literal).collect(),
            weights: own.iter().map(|c| c.requests).collect(),
            honest: honest.iter().map(|c| c.requests).collect(),
            allowed,
            bounds,
        }
    }

    /// The condition of fewest and most lasting fields among those that find nearly as much as the best one.
    fn best(&self, most: usize) -> Option<Vec<SubjectPart>> {
        let mut clean: Vec<(u64, usize, u32, Found)> = Vec::new();
        let mut open: Vec<Found> = self.literals.iter().enumerate().map(|(n, l)| Found::of(n, l)).collect();
        for size in 1..=most {
            let mut wider = Vec::new();
            for found in open {
                let hit = sum(&found.honest, &self.honest);
                if hit <= self.allowed && found.who {
                    let own = sum(&found.own, &self.weights);
                    clean.push((own, size, found.cost, found));
                } else if size < most {
                    wider.push(found);
                }
            }
            open = wider.iter().flat_map(|f| self.widen(f)).collect();
            open.truncate(200_000);
        }
        clean.retain(|(_, _, _, f)| self.passes(f));
        let top = clean.iter().map(|(own, ..)| *own).max()?;
        clean.retain(|(own, ..)| *own * 100 >= top * 97);
        let best = clean.into_iter().min_by(|a, b| {
            (a.1, a.2).cmp(&(b.1, b.2)).then(b.0.cmp(&a.0)).then_with(|| a.3.literals.cmp(&b.3.literals))
        })?;
        Some(self.parts(&best.3))
    }

    fn parts(&self, found: &Found) -> Vec<SubjectPart> {
        let mut parts: Vec<SubjectPart> =
            found.literals.iter().filter_map(|n| self.literals.get(*n)).map(|l| l.part.clone()).collect();
        parts.sort();
        parts
    }

    fn passes(&self, found: &Found) -> bool {
        let subject = Subject::of_parts(self.parts(found));
        let covered = self.bounds.allow.covers_subject(&subject).is_some();
        !covered && self.is_nobody_elses(&subject)
    }

    /// Whether no guard holds an address that a condition names: it is no office's, verdicts name it alone where the condition does, and what is said of who sends the request there fits no more
    /// than one good client elsewhere on the site. Where a request goes says nothing of that.
    fn is_nobody_elses(&self, subject: &Subject) -> bool {
        let who: Vec<SubjectPart> = subject.each_part().into_iter().filter(|p| !is_place(p.kind)).collect();
        if !who.iter().any(|p| matches!(p.kind, SubjectKind::Ip | SubjectKind::Cidr)) {
            return true;
        }
        let who = Subject::of_parts(who);
        let net = crate::subject_net(&who);
        let held = net.and_then(|n| self.bounds.guards.hold_net(&n)).is_some();
        // Where an address is registered follows from it, and says no more of who asks.
        let is_address = |p: &SubjectPart| {
            use SubjectKind::{Cidr, Country, Ip, Network};
            matches!(p.kind, Ip | Cidr | Country | Network)
        };
        let alone = who.each_part().iter().all(is_address);
        let spared = |t: &Traffic| alone && net.is_some_and(|n| t.spares(&n));
        !held && self.bounds.traffic.is_none_or(|t| !spared(t) && t.good_clients(&who) <= 1)
    }

    /// The conditions of one more field, each once.
    fn widen(&self, found: &Found) -> Vec<Found> {
        let last = found.literals.last().copied().unwrap_or(0);
        let taken =
            |kind| found.literals.iter().filter_map(|n| self.literals.get(*n)).any(|l| l.part.kind == kind);
        let rest = self.literals.iter().enumerate().skip(last + 1).filter(|(_, l)| !taken(l.part.kind));
        rest.filter_map(|(n, l)| {
            let own: Bits = found.own.iter().zip(&l.own).map(|(a, b)| a & b).collect();
            let honest: Bits = found.honest.iter().zip(&l.honest).map(|(a, b)| a & b).collect();
            let mut literals = found.literals.clone();
            literals.push(n);
            let (cost, who) = (found.cost + l.cost, found.who || l.who);
            own.iter().any(|w| *w != 0).then_some(Found { literals, own, honest, cost, who })
        })
        .collect()
    }
}

impl Found {
    fn of(n: usize, l: &Literal) -> Self {
        Found { literals: vec![n], own: l.own.clone(), honest: l.honest.clone(), cost: l.cost, who: l.who }
    }
}

fn bits(cells: &[&Cell], kind: SubjectKind, value: &str) -> Bits {
    let mut out = vec![0_u64; cells.len().div_ceil(64)];
    for (n, c) in cells.iter().enumerate() {
        if c.seen.fits_part(kind, value)
            && let Some(word) = out.get_mut(n / 64)
        {
            *word |= 1 << (n % 64);
        }
    }
    out
}

fn sum(bits: &Bits, weights: &[u64]) -> u64 {
    let mut total = 0;
    for (n, word) in bits.iter().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            let at = n * 64 + rest.trailing_zeros() as usize;
            total += weights.get(at).copied().unwrap_or(0);
            rest &= rest - 1;
        }
    }
    total
}

/// What a device could compare of a request.
fn literals_of(c: &Cell, reach: &Reach) -> Vec<(SubjectKind, Arc<str>)> {
    let seen = &c.seen;
    let mut out = vec![(SubjectKind::Host, seen.host.clone()), (SubjectKind::Method, seen.method.clone())];
    // What no rule can say of a path is none.
    if crate::odd_path(&seen.path).is_none() {
        out.push((SubjectKind::Path, seen.path.clone()));
    }
    if !seen.agent.is_empty() {
        out.push((SubjectKind::Header, Arc::from(format!("user-agent: {}", seen.agent))));
    }
    let family = |p: &str| p.split_once('-').map(|(f, _)| f.to_owned()).unwrap_or_default();
    let prints = seen.prints.iter().filter(|p| reach.prints.contains(&family(p)));
    out.extend(prints.map(|p| (SubjectKind::Fingerprint, p.clone())));
    out.extend(seen.api_key.iter().map(|k| (SubjectKind::ApiKey, k.clone())));
    out.extend(seen.sessions.iter().map(|s| (SubjectKind::Session, s.clone())));
    out.extend(seen.country.iter().map(|s| (SubjectKind::Country, s.clone())));
    out.extend(seen.network.map(|n| (SubjectKind::Network, Arc::from(format!("AS{n}")))));
    let own = canonical(IpNet::from(seen.ip));
    out.push((SubjectKind::Ip, Arc::from(own.addr().to_string())));
    let len = if matches!(own, IpNet::V4(_)) { 24 } else { 64 };
    if let Ok(net) = IpNet::new(own.addr(), len) {
        out.push((SubjectKind::Cidr, Arc::from(net.trunc().to_string())));
    }
    out.retain(|(kind, _)| reach.kinds.contains(kind));
    out
}

/// What is easily changed costs more.
fn cost(kind: SubjectKind, value: &str) -> u32 {
    match kind {
        SubjectKind::Fingerprint if value.starts_with("a1-") => 3,
        SubjectKind::Host | SubjectKind::Method => 1,
        SubjectKind::Path | SubjectKind::Fingerprint => 2,
        SubjectKind::Header | SubjectKind::ApiKey | SubjectKind::Session => 3,
        SubjectKind::Network | SubjectKind::Country => 6,
        _ => 8,
    }
}

/// What the ids of rules begin with that are suggested for a campaign.
pub fn suggested_id(campaign: &str) -> String {
    format!("suggested-{campaign}-")
}

/// Says where a request goes, and nothing of who sends it.
fn is_place(kind: SubjectKind) -> bool {
    matches!(kind, SubjectKind::Host | SubjectKind::Method | SubjectKind::Path)
}

/// How agents of browsers begin, and of systems under apps of which each has the same: a whole word.
const BROWSERS: [&str; 13] = [
    "mozilla",
    "opera",
    "ucweb",
    "ucbrowser",
    "dalvik",
    "blackberry",
    "nokia",
    "lynx",
    "links",
    "elinks",
    "w3m",
    "netsurf",
    "dillo",
];

/// All that it says of who sends the request is the name of a browser, which others have too, today or tomorrow.
fn is_a_browsers_name(subject: &Subject) -> bool {
    let name = |value: &str| {
        let agent = value.strip_prefix("user-agent: ").unwrap_or_default().to_ascii_lowercase();
        let rest = BROWSERS.iter().find_map(|b| agent.strip_prefix(b));
        // `Opera/9.80 (…)`, `w3m/0.5`, `NokiaN70-1/5.0`; an app tells its system's last: `Shop/3 CFNetwork/1410 Darwin/22`.
        rest.is_some_and(|r| !r.starts_with(['-', '_'])) || agent.contains(" cfnetwork/")
    };
    let names = |p: &SubjectPart| match p.kind {
        SubjectKind::Header => name(&p.value),
        SubjectKind::Fingerprint => p.value.starts_with("a1-"),
        kind => is_place(kind),
    };
    subject.each_part().iter().all(names)
}

/// Suggestions as a pack for review, whose rules have this mode; those that go by the name of a browser alone wait for approval.
pub fn suggested_pack(suggestions: &[Suggestion], mode: sidetap_model::Mode) -> String {
    let mut out = String::from(
        "# Conditions that told campaigns from the honest traffic of the stored hours, and how well. Read them before you use them:\n\
         # what no honest client did in those hours, one may do tomorrow.\nversion: 1\nextends: default\nrequests:\n",
    );
    if suggestions.is_empty() {
        out.truncate(out.len() - "requests:\n".len());
        out.push_str("requests: []\n");
    }
    for s in suggestions {
        let m = &s.measured;
        let mode = if is_a_browsers_name(&s.subject) { mode.min(sidetap_model::Mode::Approve) } else { mode };
        let quoted = |t: &str| serde_json::to_string(t).unwrap_or_default();
        let description = format!(
            "{}: {} of {} requests of the campaign fit, {} of {} honest ones ({} of these to the same endpoints)",
            s.class, m.campaign_requests, m.campaign_total, m.honest_requests, m.honest_total, s.honest_there
        );
        let _ = write!(out, "  - id: {}\n    description: {}\n    match:\n", s.id, quoted(&description));
        for p in s.subject.each_part() {
            let _ = writeln!(out, "      {}: {}", key_of(p.kind), quoted(&p.value));
        }
        let _ = write!(
            out,
            "    response: [block, rate-limit]\n    ttl: {}\n    mode: {mode}\n    measured:\n      campaign: {}\n      campaign_requests: {}\n      \
             campaign_total: {}\n      other_malicious: {}\n      honest_requests: {}\n      honest_total: {}\n",
            format_ttl(s.ttl_s),
            m.campaign,
            m.campaign_requests,
            m.campaign_total,
            m.other_malicious,
            m.honest_requests,
            m.honest_total
        );
    }
    out
}

fn key_of(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Ip | SubjectKind::Cidr => "address",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_browsers_are_known() {
        let of = |value: &str| {
            let header = SubjectPart { kind: SubjectKind::Header, value: format!("user-agent: {value}") };
            let path = SubjectPart { kind: SubjectKind::Path, value: "/login".into() };
            is_a_browsers_name(&Subject::of_parts(vec![header, path]))
        };
        for agent in [
            "Mozilla/5.0 (X11; Linux x86_64)",
            "Opera/9.80 (Windows NT 6.1) Presto/2.12",
            "Dalvik/2.1.0 (Linux; U; Android 14)",
            "UCWEB/2.0 (Java; U)",
            "NokiaN70-1/5.0609",
            "Links (2.28; Linux)",
            "w3m/0.5.3",
            "Shop/3.1 CFNetwork/1410.0.3 Darwin/22.6.0",
        ] {
            assert!(of(agent), "{agent}");
        }
        for agent in ["python-requests/2.32", "sqlmap/1.8", "okhttp/4.12", "opera-scraper/1"] {
            assert!(!of(agent), "{agent}");
        }
    }
}
