//! Rows for outputs: verdicts, campaigns, traffic over time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sidetap_model::rows::{
    CampaignRow, IdentityRow, Member, Reason, Subject, SubjectPart, TrafficPoint, VerdictRow,
};
use sidetap_model::{SubjectKind, Ts, Zone};

use super::Engine;
use super::campaign::{Campaign, Conviction, Shown, show};
use super::cast::Casted;
use super::changes::{intent, verdict_id};
use super::merged::join_subjects;
use super::shared::Shared;
use super::story::Cast;
use super::unit::{BUCKET_S, ExchangeId, Unit};
use super::units::Session;
use crate::indicators::{Asked, Scope, View, short};
use crate::observation::{agent_spelled, door_spelled, shape_spelled};

/// Automation at which a client that does no harm is told of.
pub(super) const AUTOMATED: u8 = 80;
/// The family of what is learned of unusual clients: its reasons name what is unusual.
const UNUSUAL: &str = "learned-anomaly";
/// Addresses listed in one verdict.
const ADDRESSES: usize = 1000;

/// What a verdict rests on: the indicators that fired, what they saw, and the class that they mean.
#[derive(Clone, Copy, Debug)]
struct Grounds<'a> {
    fired: &'a [usize],
    shown: &'a [Shown],
    evidence: &'a [ExchangeId],
    rule: Option<usize>,
}

impl Engine {
    /// All verdicts, in a fixed order: by when they were said, then by subject.
    pub fn verdicts(&self) -> Vec<VerdictRow> {
        self.verdicts_of(self.units.keys(), None)
    }

    /// Verdicts on these clients, by their keys in order, and on all sessions; where subjects are named, on those only.
    pub(super) fn verdicts_of(
        &self,
        units: impl IntoIterator<Item = u64>,
        only: Option<&BTreeSet<(Zone, Subject)>>,
    ) -> Vec<VerdictRow> {
        let asked =
            |zone: Zone, subject: &dyn Fn() -> Subject| only.is_none_or(|o| o.contains(&(zone, subject())));
        let mut rows = Vec::new();
        let shared = &mut Shared::default();
        for key in units {
            let Some(unit) = self.units.get(key) else { continue };
            let conviction = self.convictions.units.get(&key);
            if !asked(unit.zone, &|| self.unit_subject(unit, conviction.map_or(0, |c| c.shape))) {
                continue;
            }
            match conviction {
                Some(conviction) => rows.push(self.unit_row(unit, conviction, shared)),
                None => rows.extend(self.automated_row(unit, shared)),
            }
        }
        // Clients with one spelling are several, what a session sent one of them sent.
        let mut rows = join_subjects(rows, u64::saturating_add);
        for (hash, conviction) in &self.convictions.sessions {
            let session = self.units.get_session(*hash);
            let named = session.and_then(|s| Some((s, self.session_subject(s)?)));
            if let Some((session, (unit, subject))) = named
                && asked(unit.zone, &|| subject.clone())
            {
                rows.push(self.session_row(session, (unit, subject), conviction, shared));
            }
        }
        let mut rows = join_subjects(rows, u64::max);
        rows.sort_by(|a, b| (a.detected_at, &a.subject).cmp(&(b.detected_at, &b.subject)));
        rows
    }

    /// Campaigns, first seen first.
    pub fn campaigns(&self) -> Vec<CampaignRow> {
        let casts = self.casts(|_| true);
        let mut rows: Vec<CampaignRow> = casts.iter().map(|(c, cast)| self.campaign_row(c, cast)).collect();
        rows.sort_by(|a, b| (a.first_seen, &a.id).cmp(&(b.first_seen, &b.id)));
        rows
    }

    /// The campaign of a convicted session: of a client that presented it and is convicted of the same class, where there is one,
    /// so that its requests are told in one campaign.
    pub(super) fn campaign_of_session(&self, session: &Session, conviction: &Conviction) -> u32 {
        let own = self.final_campaign(conviction.campaign);
        let Some(class) = self.campaigns.get(own as usize).map(|c| self.class(c.rule)) else { return own };
        let of_units = session.units.iter().filter_map(|k| self.convictions.units.get(k));
        let mut others = of_units.filter(|c| !c.suspicious).map(|c| self.final_campaign(c.campaign));
        let alike = |at: &u32| self.campaigns.get(*at as usize).is_some_and(|c| self.class(c.rule) == class);
        others.find(alike).unwrap_or(own)
    }

    /// Requests over time by the intent of who sent them.
    pub fn traffic(&self) -> Vec<TrafficPoint> {
        let mut points: BTreeMap<i64, TrafficPoint> = BTreeMap::new();
        for key in self.units.keys() {
            let Some(unit) = self.units.get(key) else { continue };
            let conviction = self.convictions.units.get(&key);
            let automated = conviction.is_none() && unit.automation >= AUTOMATED;
            for (bucket, n) in unit.series() {
                let point = points.entry(bucket).or_default();
                point.ts = Ts::from_parts(bucket * BUCKET_S, 0);
                match conviction {
                    Some(c) if c.suspicious => point.suspicious += n,
                    Some(_) => point.malicious += n,
                    None if automated => point.automated += n,
                    None => point.benign += n,
                }
            }
        }
        points.into_values().collect()
    }

    fn unit_row(&self, unit: &Unit, conviction: &Conviction, shared: &mut Shared) -> VerdictRow {
        let (facts, asked) = self.ask_client(unit);
        let mut shown: Vec<Shown> = Vec::new();
        show(&self.pack, &asked.fired, &facts, &mut shown);
        let at = self.final_campaign(conviction.campaign);
        let campaign = self.campaigns.get(at as usize);
        let own = self.campaigns.get(conviction.campaign as usize);
        let mut fired = asked.fired.clone();
        // What another client of the campaign showed by himself is no reason to accuse this one.
        let of_part = |n: usize| self.pack.indicators().get(n).is_some_and(|i| i.scope == Scope::Part);
        for s in own.map_or(&[][..], |c| c.fired.as_slice()) {
            if !fired.contains(&s.indicator) && of_part(s.indicator) {
                fired.push(s.indicator);
                shown.push(*s);
            }
        }
        let evidence =
            conviction.evidence.into_iter().chain(unit.evidence.iter().copied()).collect::<Vec<_>>();
        let subject = self.subject(unit, conviction);
        let rule = Some(conviction.rule);
        let grounds = Grounds { fired: &fired, shown: &shown, evidence: &evidence, rule };
        let mut row = self.row(subject, unit, &asked, &grounds, shared);
        let rule = self.pack.rules().get(conviction.rule);
        row.class = rule.map(|r| r.id.clone());
        row.oat = rule.map(|r| r.oat.clone()).unwrap_or_default();
        row.intent = intent(conviction).into();
        row.score = if conviction.suspicious { row.score.clamp(40, 69) } else { row.score.max(75) };
        row.campaign = campaign.filter(|_| !conviction.suspicious).map(|c| c.id.clone());
        row.phase = phase(conviction.retrospective);
        row.detected_at = conviction.detected;
        if conviction.shape != 0 {
            row.prints = prints(unit, conviction.shape);
        }
        row
    }

    fn row(
        &self,
        subject: Subject,
        unit: &Unit,
        asked: &Asked,
        grounds: &Grounds<'_>,
        shared: &mut Shared,
    ) -> VerdictRow {
        let Grounds { fired, shown, evidence, rule } = *grounds;
        let view = self.client_view(unit);
        VerdictRow {
            id: verdict_id(unit.zone, &subject),
            zone: unit.zone.as_str().into(),
            subject,
            client_ip: Some(unit.ip),
            client_ips: vec![unit.ip],
            intent: "benign".into(),
            class: None,
            oat: Vec::new(),
            score: harm(&view, fired),
            automation: automation(&view, fired),
            coverage: shared.coverage(asked),
            campaign: None,
            phase: phase(false),
            first_seen: unit.first,
            detected_at: unit.last,
            last_seen: unit.last,
            requests: u64::from(unit.n),
            reasons: self.reasons(&view, fired, (shown, evidence), Some(unit), rule, shared),
            response: "none".into(),
            ttl_s: self.config.ttl_s,
            hosts: self.hosts(unit),
            origin: self.origin_row(unit),
            agent: Some(self.identity(unit)),
            policy: None,
            measures: None,
            prints: prints(unit, unit.main_shape),
        }
    }

    /// What a client says or shows that it is.
    fn identity(&self, unit: &Unit) -> IdentityRow {
        let knowledge = self.knowledge();
        let standing = &unit.standing;
        let directory = standing.directory().and_then(|n| knowledge.keys.directory(n));
        let text = |t: &str| Some(t.to_owned()).filter(|t| !t.is_empty());
        let operator = directory.map(|d| d.operator.as_str()).or_else(|| self.agents.operator(&unit.agent));
        let function = directory.map(|d| d.function.as_str()).or_else(|| self.agents.function(&unit.agent));
        let verified = standing.verified();
        let kind = if directory.is_some() { crate::AgentKind::AiAgent } else { unit.agent.kind };
        IdentityRow {
            kind: kind.name().to_owned(),
            operator: operator.and_then(text),
            function: function.and_then(text),
            verified: verified.map(|(v, _)| v),
            by: verified.map(|(_, by)| by.to_owned()),
            party: standing.party.and_then(|(n, _)| knowledge.known.party(n)).map(|p| p.name.clone()),
        }
    }

    fn automated_row(&self, unit: &Unit, shared: &mut Shared) -> Option<VerdictRow> {
        if unit.n < 3 || unit.automation < AUTOMATED {
            return None;
        }
        let (facts, asked) = self.ask_client(unit);
        if automation(&self.client_view(unit), &asked.fired) < AUTOMATED {
            return None;
        }
        let mut shown = Vec::new();
        show(&self.pack, &asked.fired, &facts, &mut shown);
        let subject = self.unit_subject(unit, 0);
        let grounds = Grounds { fired: &asked.fired, shown: &shown, evidence: &unit.evidence, rule: None };
        let mut row = self.row(subject, unit, &asked, &grounds, shared);
        row.intent = "automated".into();
        row.score = row.score.min(39);
        Some(row)
    }

    /// Whom a verdict on a session is on, and a client of it.
    pub(super) fn session_subject(&self, session: &Session) -> Option<(&Unit, Subject)> {
        let mut units = session.units.iter().filter_map(|k| self.units.get(*k));
        let unit = units.next()?;
        if units.next().is_none()
            && self.is_alone(unit)
            && unit.sessions.len() <= 2
            && unit.rare().sessions_over == 0
        {
            return Some((unit, ip_subject(unit.ip)));
        }
        let value = session.token.spelled();
        Some((unit, Subject { kind: SubjectKind::Session, value, parts: Vec::new() }))
    }

    fn session_row(
        &self,
        session: &Session,
        (unit, subject): (&Unit, Subject),
        conviction: &Conviction,
        shared: &mut Shared,
    ) -> VerdictRow {
        let units = session.units.iter().filter_map(|k| self.units.get(*k));
        let ips: BTreeSet<IpAddr> = units.map(|u| u.ip).collect();
        let own = self.campaigns.get(conviction.campaign as usize);
        let shown = own.map(|c| c.fired.clone()).unwrap_or_default();
        let fired: Vec<usize> = shown.iter().map(|s| s.indicator).collect();
        let (_, asked) = self.ask_client(unit);
        let evidence: Vec<ExchangeId> = conviction.evidence.into_iter().collect();
        let rule = Some(conviction.rule);
        let grounds = Grounds { fired: &fired, shown: &shown, evidence: &evidence, rule };
        let mut row = self.row(subject, unit, &asked, &grounds, shared);
        row.client_ips = ips.iter().copied().take(ADDRESSES).collect();
        row.client_ip = (ips.len() == 1).then_some(unit.ip);
        let rule = self.pack.rules().get(conviction.rule);
        row.class = rule.map(|r| r.id.clone());
        row.oat = rule.map(|r| r.oat.clone()).unwrap_or_default();
        row.intent = intent(conviction).into();
        row.score = if conviction.suspicious { row.score.clamp(40, 69) } else { row.score.max(75) };
        let campaign = self.campaigns.get(self.campaign_of_session(session, conviction) as usize);
        row.campaign = campaign.filter(|_| !conviction.suspicious).map(|c| c.id.clone());
        row.phase = phase(conviction.retrospective);
        row.detected_at = conviction.detected;
        row.first_seen = session.first;
        row.last_seen = session.last;
        row.requests = u64::from(session.n);
        row
    }

    /// True where nobody else was seen at the address who is not convicted.
    fn is_alone(&self, unit: &Unit) -> bool {
        let own = !unit.shared && !unit.is_claimed();
        let Some(address) = self.units.at_address_of(unit).filter(|_| own) else { return false };
        address.units.as_slice().iter().all(|k| {
            *k == unit.key
                || self.convictions.units.get(k).is_some_and(|c| !c.suspicious)
                || self.units.get(*k).is_none()
        })
    }

    pub(super) fn subject(&self, unit: &Unit, conviction: &Conviction) -> Subject {
        self.unit_subject(unit, conviction.shape)
    }

    /// The narrowest thing that is this client and nobody else: its address, or its address with a fingerprint.
    pub(super) fn unit_subject(&self, unit: &Unit, shape: u64) -> Subject {
        if self.is_alone(unit) {
            return ip_subject(unit.ip);
        }
        let same_agent = self.units.at_address_of(unit).is_some_and(|a| {
            a.units.as_slice().iter().any(|k| {
                *k != unit.key && self.units.get(*k).is_some_and(|u| u.prints.agent == unit.prints.agent)
            })
        });
        let print = if shape != 0 && (same_agent || unit.shared) {
            shape_spelled(shape)
        } else {
            agent_spelled(unit.prints.agent)
        };
        let parts = vec![
            SubjectPart { kind: SubjectKind::Ip, value: unit.ip.to_string() },
            SubjectPart { kind: SubjectKind::Fingerprint, value: print },
        ];
        let value = parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(" + ");
        Subject { kind: SubjectKind::Compound, value, parts }
    }

    fn hosts(&self, unit: &Unit) -> Vec<String> {
        let mut calls: Vec<_> = unit.calls.iter().collect();
        calls.sort_by_key(|c| (std::cmp::Reverse(c.n), c.slot));
        let slots = calls.iter().filter_map(|c| self.slots.get(c.slot as usize));
        let mut hosts: Vec<String> = Vec::new();
        for slot in slots.take(3) {
            hosts.push(format!("{}{}", slot.endpoint.host, slot.endpoint.template));
        }
        hosts
    }

    fn reasons(
        &self,
        view: &View<'_>,
        fired: &[usize],
        (shown, evidence): (&[Shown], &[ExchangeId]),
        unit: Option<&Unit>,
        rule: Option<usize>,
        shared: &mut Shared,
    ) -> Vec<Reason> {
        let rule = rule.and_then(|at| self.pack.rules().get(at));
        let ids: Arc<[String]> = dedup_ids(evidence).into();
        let mut reasons: Vec<(bool, Reason)> = shown
            .iter()
            .filter(|s| fired.contains(&s.indicator))
            .filter_map(|s| {
                let indicator = self.pack.indicators().get(s.indicator)?;
                let told = |f: Option<crate::Fact>, v: f64| f.map_or_else(|| short(v), |f| f.told(v));
                let baseline = match s.baseline {
                    Some(b) => format!("the others: {}", told(indicator.compared(), b)),
                    None => indicator.threshold(),
                };
                let seen = told(indicator.shown(), s.observed);
                let print = unit.and_then(|u| self.print_of(&indicator.family, &u.prints));
                let mut print = print.map_or_else(String::new, |p| format!("; fingerprint {p}"));
                if let Some(unit) = unit.filter(|_| indicator.family == UNUSUAL) {
                    print = format!("; {}", self.anomaly.told(unit, &self.client_facts(unit)));
                }
                let minor = !rule.is_some_and(|r| r.names(s.indicator));
                let reason = Reason {
                    indicator: shared.text(&indicator.id),
                    weight: (view.weight(s.indicator) * 100.0).round() / 100.0,
                    observed: shared
                        .text(&format!("{} ({seen}{print})", indicator.description.trim_end_matches('.'))),
                    baseline: shared.text(&baseline),
                    evidence: ids.clone(),
                };
                Some((minor, reason))
            })
            .collect();
        // First what the class is made of, then what weighs most.
        reasons.sort_by(|(x, a), (y, b)| {
            (x.cmp(y)).then_with(|| b.weight.total_cmp(&a.weight)).then_with(|| a.indicator.cmp(&b.indicator))
        });
        reasons.truncate(16);
        let mut all = Vec::with_capacity(reasons.len());
        all.extend(reasons.into_iter().map(|(_, reason)| reason));
        all
    }

    fn campaign_row(&self, campaign: &Campaign, cast: &Casted<'_>) -> CampaignRow {
        let (units, sessions) = (cast.units.as_slice(), cast.sessions.as_slice());
        let mut timeline: BTreeMap<i64, u64> = BTreeMap::new();
        for (bucket, n) in units.iter().flat_map(|(unit, _)| unit.series()) {
            *timeline.entry(bucket).or_default() += n;
        }
        for call in sessions.iter().flat_map(|(session, _)| &session.calls) {
            *timeline.entry(call.first.secs().div_euclid(BUCKET_S)).or_default() += u64::from(call.n);
        }
        let members = self.members(cast);
        let requests = members.iter().map(|m| m.requests).sum();
        let first = members.iter().map(|m| m.first_seen).min().unwrap_or_default();
        let lasts = units.iter().map(|(u, _)| u.last).chain(sessions.iter().map(|(s, _)| s.last));
        let of_sessions = sessions.iter().flat_map(|(s, _)| &s.units).filter_map(|k| self.units.get(*k));
        let (networks, countries) = self.places(units.iter().map(|(u, _)| *u).chain(of_sessions));
        let mut signature = self.signature(campaign, Cast { units, sessions }, &members);
        told_places(&mut signature, &networks, &countries);
        let rule = self.pack.rules().get(campaign.rule);
        let (view, fired) = self.campaign_view(campaign);
        CampaignRow {
            id: campaign.id.clone(),
            class: rule.map(|r| r.id.clone()).unwrap_or_default(),
            oat: rule.map(|r| r.oat.clone()).unwrap_or_default(),
            score: self.campaign_score(campaign),
            phase: phase(campaign.retrospective),
            first_seen: first,
            // Of one that took others in they may have been known before its first request that is told.
            detected_at: campaign.detected.max(first),
            last_seen: lasts.max().unwrap_or(first),
            requests,
            endpoints: self.endpoint_names(campaign),
            signature,
            networks,
            countries,
            outcome: self.outcome(campaign, Cast { units, sessions }),
            reasons: self.reasons(
                &view,
                &fired,
                (&campaign.fired, &campaign.evidence),
                units.first().map(|(u, _)| *u),
                Some(campaign.rule),
                &mut Shared::default(),
            ),
            members,
            timeline: timeline.into_iter().map(|(b, n)| (Ts::from_parts(b * BUCKET_S, 0), n)).collect(),
        }
    }

    /// By what a campaign is weighed: where it went first, and all that fired.
    fn campaign_view(&self, campaign: &Campaign) -> (View<'_>, Vec<usize>) {
        let fired = campaign.fired.iter().map(|s| s.indicator).collect();
        let slot = campaign.slots.first().and_then(|s| self.slots.get(*s as usize));
        (slot.map_or_else(|| self.pack.everywhere(), |s| self.view_at(s)), fired)
    }

    pub(super) fn campaign_score(&self, campaign: &Campaign) -> u8 {
        let (view, fired) = self.campaign_view(campaign);
        harm(&view, &fired).max(75)
    }

    pub(super) fn endpoint_names(&self, campaign: &Campaign) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for slot in campaign.slots.iter().filter_map(|s| self.slots.get(*s as usize)) {
            let name = format!("{} {}{}", slot.endpoint.method, slot.endpoint.host, slot.endpoint.template);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn signature(&self, campaign: &Campaign, cast: Cast<'_>, members: &[Member]) -> BTreeMap<String, String> {
        let units = cast.units;
        let mut s = self.prints(campaign, units);
        if let Some(shape) = campaign.shapes.first() {
            s.insert("fingerprint".into(), shape_spelled(*shape));
        }
        s.insert("agent".into(), campaign.agent.clone());
        let agents: BTreeSet<u64> = units.iter().map(|(u, _)| u.agent.hash).collect();
        s.insert("agents".into(), agents.len().to_string());
        let ips: BTreeSet<IpAddr> = units.iter().map(|(u, _)| u.ip).collect();
        s.insert("addresses".into(), ips.len().to_string());
        s.insert("targets".into(), self.endpoint_names(campaign).join(", "));
        s.insert("story".into(), self.story(campaign, cast, members.len(), agents.len()));
        s
    }
}

/// Tells in a campaign's signature and story where its members come from.
fn told_places(
    signature: &mut BTreeMap<String, String>,
    networks: &BTreeMap<String, u64>,
    countries: &BTreeMap<String, u64>,
) {
    let mut sentence = String::new();
    for (name, places) in [("networks", networks), ("countries", countries)] {
        if !places.is_empty() {
            let told = super::origins::most(places, 5);
            sentence.push_str(&format!(" Most addresses by {name}: {told}."));
            signature.insert(name.into(), told);
        }
    }
    if let Some(story) = signature.get_mut("story") {
        story.push_str(&sentence);
    }
}

fn ip_subject(ip: IpAddr) -> Subject {
    Subject { kind: SubjectKind::Ip, value: ip.to_string(), parts: Vec::new() }
}

pub(super) fn phase(retrospective: bool) -> String {
    if retrospective { "retrospective" } else { "online" }.into()
}

pub(super) fn automation(view: &View<'_>, fired: &[usize]) -> u8 {
    percent(-2.2 + view.automation(fired, |_| true))
}

fn harm(view: &View<'_>, fired: &[usize]) -> u8 {
    percent(-4.0 + view.harm(fired))
}

fn percent(log_odds: f64) -> u8 {
    let p = 100.0 / (1.0 + (-log_odds).exp());
    p.round().clamp(1.0, 99.0) as u8
}

fn dedup_ids(ids: &[ExchangeId]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for &ExchangeId { flow, seq } in ids {
        let id = format!("{flow}-{seq}");
        if !out.contains(&id) && out.len() < 5 {
            out.push(id);
        }
    }
    out
}

/// Fingerprints of a client: of its head of this shape, and of its agent.
fn prints(unit: &Unit, shape: u64) -> Vec<String> {
    let there = |hash: u64, spell: fn(u64) -> String| (hash != 0).then(|| spell(hash));
    let door = there(unit.door_of(shape), door_spelled);
    let all = [there(shape, shape_spelled), door, there(unit.prints.agent, agent_spelled)];
    all.into_iter().flatten().collect()
}
