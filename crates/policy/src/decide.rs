use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use sidetap_model::rows::{CampaignRow, Reason, VerdictRow};
use sidetap_model::{Measures, Mode, SubjectKind, Ts};

use crate::asks::{RuleAsks, of_request, of_rule};
use crate::error::PolicyError;
use crate::facts::{self, Around};
use crate::guard::{Guards, Hold};
use crate::history::History;
use crate::pack::{self, Choice, Pack, Rule, Standing};
use crate::parts::{Close, Networks};
use crate::places::Places;
use crate::reach::who_and_where;
use crate::subjects::{Bounds, Subjects, subjects_of};
use crate::traffic::Traffic;
use crate::{AllowList, Response, builtin};

/// Rules in the order in which they are tried, with the allow list and the guards around them.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) rules: Vec<Rule>,
    requests: Vec<Standing>,
    allow: AllowList,
    guards: Guards,
    revisions: Vec<String>,
    origins: BTreeMap<String, String>,
}

/// What is known around the verdicts of a run, see [`Around`].
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Which endpoints have which role and channel.
    pub places: Places,
    /// Who was acted against before.
    pub history: History,
    /// Recent traffic, where it is stored.
    pub traffic: Option<Traffic>,
}

impl Known {
    /// All of it, around a verdict of this campaign.
    pub fn around<'a>(&'a self, campaign: Option<&'a CampaignRow>) -> Around<'a> {
        Around {
            campaign,
            members: None,
            places: Some(&self.places),
            history: Some(&self.history),
            traffic: self.traffic.as_ref(),
        }
    }
}

/// What policy says of a verdict, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What is done.
    pub response: Response,
    /// For how long, from the push.
    pub ttl_s: u64,
    /// The rule that fitted first; none where no rule did.
    pub rule: Option<String>,
    /// The guard that weakened what the rule asked for.
    pub held: Option<Hold>,
    /// How the response is carried out, where that is more than its name.
    #[serde(skip_serializing_if = "Measures::is_plain")]
    pub measures: Measures,
    /// What the rule would have preferred and is not done, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Rules whose condition could not be worked out for this verdict: they count as not fitting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// A rule as `sidetap policy list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleInfo {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// Where to read more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Its condition.
    pub when: String,
    /// What it asks for.
    pub response: Response,
    /// What a device does that cannot, the strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instead: Vec<Response>,
    /// For how long.
    pub ttl_s: u64,
    /// Whom it prefers to act against, the preferred first; empty: whom the verdict names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// How far it may go by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Lower is tried first; equal ones in the order of the file.
    pub priority: i32,
    /// Whether it is tried at all.
    pub enabled: bool,
    /// The file it stands in.
    pub source: String,
}

impl PolicySet {
    /// What the rules that are tried ask devices for, in their order: those over verdicts with the steps of their escalations, and those
    /// over requests.
    pub fn asked(&self) -> Vec<RuleAsks> {
        let mut asked: Vec<RuleAsks> = self.rules.iter().filter(|r| r.enabled).flat_map(of_rule).collect();
        asked.extend(self.requests.iter().filter(|r| r.enabled).map(of_request));
        asked
    }

    /// How many rules over requests there are.
    pub fn count_requests(&self) -> usize {
        self.requests.len()
    }

    /// The rules that come with Sidetap.
    pub fn builtin() -> Self {
        PolicySet::from_packs(vec![builtin_pack("default")])
    }

    /// Reads one pack. With `extends` its rules are tried before those of the built-in packs named there, and a rule of
    /// the same id replaces the built-in one; without it, it stands alone.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<PolicyError>> {
        let pack = pack::read(text, file)?;
        Ok(PolicySet::with_default(vec![pack]))
    }

    /// The endpoints that rules are limited to as they are written, behind the file and the id of the rule.
    pub fn endpoints(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let enabled = self.rules.iter().filter(|r| r.enabled);
        enabled.flat_map(|r| r.scope.endpoints.iter().map(|e| (r.source.as_str(), r.id.as_str(), e.as_str())))
    }

    /// The paths of rules over requests as they are written, behind the file, the id of the rule, and line and column.
    pub fn request_paths(&self) -> Vec<(&str, &str, (usize, usize), String)> {
        let enabled = self.requests.iter().filter(|r| r.enabled);
        let of = |r: &Standing| r.subject.each_part().into_iter().find(|p| p.kind == SubjectKind::Path);
        enabled.filter_map(|r| Some((r.source.as_str(), r.id.as_str(), r.path_at, of(r)?.value))).collect()
    }

    /// Reads a pack, or all packs (`*.yaml`, `*.yml`) of a directory in the order of their names.
    pub fn load(path: &Path) -> Result<Self, Vec<PolicyError>> {
        let files = files_of(path).map_err(|e| vec![e])?;
        let (mut packs, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            let name = file.display().to_string();
            match pack::text_of(&file) {
                Err(e) => errors.push(io_error(&file, &e)),
                Ok(text) => match pack::read(&text, &name) {
                    Ok(pack) => packs.push(pack),
                    Err(e) => errors.extend(e),
                },
            }
        }
        if errors.is_empty() { Ok(PolicySet::with_default(packs)) } else { Err(errors) }
    }

    /// The packs, and behind them those that they extend. A file that is called as a built-in pack that another one extends is the user's
    /// version of it and stands where it would: else a copy of `default.yaml` beside `scraping.yaml` would decide before it.
    fn with_default(packs: Vec<Pack>) -> Self {
        let extended = |p: &Pack| packs.iter().any(|o| o.file != p.file && o.extends.iter().any(|n| p.is(n)));
        let behind: Vec<bool> = packs.iter().map(extended).collect();
        let (mut packs, mut aside): (Vec<_>, Vec<_>) =
            packs.into_iter().zip(behind).partition(|(_, behind)| !behind);
        if packs.is_empty() {
            std::mem::swap(&mut packs, &mut aside);
        }
        let mut packs: Vec<Pack> = packs.into_iter().map(|(p, _)| p).collect();
        let mut names: Vec<String> = Vec::new();
        let mut wanted: Vec<String> = packs.iter().flat_map(|p| p.extends.clone()).collect();
        while !wanted.is_empty() {
            let name = wanted.remove(0);
            let pack = match aside.iter().position(|(p, _)| p.is(&name)) {
                Some(n) => aside.remove(n).0,
                None if names.contains(&name) => continue,
                None => builtin_pack(&name),
            };
            // A user's version that extends its own name means the built-in one, which comes next.
            let (itself, others): (Vec<_>, Vec<_>) = pack.extends.iter().cloned().partition(|n| *n == name);
            if itself.is_empty() {
                names.push(name);
            }
            wanted.splice(0..0, itself);
            wanted.extend(others);
            packs.push(pack);
        }
        PolicySet::from_packs(packs)
    }

    fn from_packs(packs: Vec<Pack>) -> Self {
        let mut set = PolicySet {
            rules: Vec::new(),
            requests: Vec::new(),
            allow: AllowList::default(),
            guards: Guards::default(),
            revisions: Vec::new(),
            origins: BTreeMap::new(),
        };
        for pack in packs {
            let revision = pack.revision.map_or_else(|| format!("{:016x}", pack.digest), |r| r.clone());
            let revision = format!("{} {revision}", pack.file);
            let ids = pack.rules.iter().map(|r| &r.id).chain(pack.requests.iter().map(|r| &r.id));
            for id in ids {
                set.origins.entry(id.clone()).or_insert_with(|| revision.clone());
            }
            set.revisions.push(revision);
            set.allow.extend(&pack.allow);
            set.guards.tighten(pack.guards);
            for rule in pack.rules {
                if !set.rules.iter().any(|r| r.id == rule.id) {
                    set.rules.push(rule);
                }
            }
            for rule in pack.requests {
                if !set.requests.iter().any(|r| r.id == rule.id) {
                    set.requests.push(rule);
                }
            }
        }
        set.rules.sort_by_key(|r| r.priority);
        set
    }

    /// The packs in force, each with the revision that it names or else a digest of its text.
    pub fn revisions(&self) -> &[String] {
        &self.revisions
    }

    /// The pack, with its revision as [`PolicySet::revisions`] spells it, of each rule.
    pub fn origins(&self) -> &BTreeMap<String, String> {
        &self.origins
    }

    /// The rules over requests as verdicts that say so at `now`, for devices and simulations. One that a guard holds, or whose reach
    /// nobody can measure since no traffic is stored, is an alert.
    pub fn standing(&self, now: Ts, traffic: Option<&Traffic>) -> Vec<VerdictRow> {
        let bounds = self.bounds(traffic);
        self.requests.iter().filter(|r| r.enabled).map(|r| standing_verdict(r, now, &bounds)).collect()
    }

    /// The same rules with more entries on the allow list.
    #[must_use]
    pub fn with_allow(mut self, more: &AllowList) -> Self {
        self.allow.extend(more);
        self
    }

    /// The same rules with the secrets of the allow list hashed, see [`AllowList::hashed`].
    #[must_use]
    pub fn hashed(mut self, key: &sidetap_model::HashKey) -> Self {
        self.allow = self.allow.hashed(key);
        self
    }

    /// The allow list.
    pub fn allow(&self) -> &AllowList {
        &self.allow
    }

    /// The guards.
    pub fn guards(&self) -> &Guards {
        &self.guards
    }

    /// The guards, to be made tighter by configuration.
    pub fn guards_mut(&mut self) -> &mut Guards {
        &mut self.guards
    }

    /// The rules in the order in which they are tried.
    pub fn list(&self) -> Vec<RuleInfo> {
        self.rules.iter().map(info).collect()
    }

    /// The rules over requests in the order of their packs; what each matches is its condition.
    pub fn list_requests(&self) -> Vec<RuleInfo> {
        self.requests.iter().map(Standing::info).collect()
    }

    /// Sets the response of a verdict, its time to live and the policy that chose them.
    pub fn decide(&self, v: &mut VerdictRow) -> Decision {
        self.decide_in(v, &Around::default())
    }

    /// As [`PolicySet::decide`], for a verdict around which more is known.
    pub fn decide_in(&self, v: &mut VerdictRow, around: &Around<'_>) -> Decision {
        let (decision, _) = self.judge(v, around);
        write(v, &decision);
        decision
    }

    /// Decides all verdicts of a run; the decisions stand in the order of the verdicts.
    pub fn apply(&self, verdicts: &mut [VerdictRow], campaigns: &[CampaignRow]) -> Vec<Decision> {
        self.apply_in(verdicts, campaigns, &Known::default())
    }

    /// As [`PolicySet::apply`], where more is known around the run.
    pub fn apply_in(
        &self,
        verdicts: &mut [VerdictRow],
        campaigns: &[CampaignRow],
        known: &Known,
    ) -> Vec<Decision> {
        let by_id: BTreeMap<&str, &CampaignRow> = campaigns.iter().map(|c| (c.id.as_str(), c)).collect();
        self.apply_by(verdicts, known, |v| {
            known.around(v.campaign.as_deref().and_then(|id| by_id.get(id).copied()))
        })
    }

    pub(crate) fn apply_by<'a>(
        &self,
        verdicts: &mut [VerdictRow],
        known: &Known,
        around: impl Fn(&VerdictRow) -> Around<'a> + Sync,
    ) -> Vec<Decision> {
        let judged = self.judge_all(verdicts, around);
        let mut close = Close::default();
        note_close(verdicts, &judged, &mut close);
        let networks = close.networks(&self.bounds(known.traffic.as_ref()));
        write_all(verdicts, judged, &networks)
    }

    pub(crate) fn judge_all<'a>(
        &self,
        verdicts: &[VerdictRow],
        around: impl Fn(&VerdictRow) -> Around<'a> + Sync,
    ) -> Vec<(Decision, Option<&Rule>)> {
        verdicts.par_iter().map(|v| self.judge(v, &around(v))).collect()
    }

    /// Whether the networks that rules name depend on all verdicts at once.
    pub(crate) fn asks_networks(&self) -> bool {
        self.rules.iter().any(|r| r.enabled && r.subjects.contains(&Choice::Prefix))
    }

    pub(crate) fn bounds<'a>(&'a self, traffic: Option<&'a Traffic>) -> Bounds<'a> {
        Bounds { guards: &self.guards, allow: &self.allow, traffic, endpoints: &[] }
    }

    fn judge(&self, v: &VerdictRow, around: &Around<'_>) -> (Decision, Option<&Rule>) {
        let context = facts::context(v, around);
        let nowhere = Places::default();
        let places = around.places.unwrap_or(&nowhere);
        let mut errors = Vec::new();
        let in_force = |r: &&Rule| {
            r.enabled
                && r.schedule.as_ref().is_none_or(|s| s.until(v.last_seen).is_some())
                && r.scope.holds(v, around.campaign, places, around.traffic)
        };
        let rule = self.rules.iter().filter(in_force).find(|r| match r.when.holds(&context) {
            Ok(holds) => holds,
            Err(e) => {
                errors.push(format!("{}: {e}", r.id));
                false
            }
        });
        let Some(rule) = rule else { return (Decision { errors, ..Decision::default() }, None) };
        let mut decision = self.decision(rule, v, around, places);
        decision.errors = errors;
        (decision, Some(rule))
    }

    fn decision(&self, rule: &Rule, v: &VerdictRow, around: &Around<'_>, places: &Places) -> Decision {
        let Asked { responses, ttl_s, again } = Asked::of(rule, v, around.history);
        let asked = responses.first().copied().unwrap_or_default();
        let mut decision = Decision { response: asked, rule: Some(rule.id.clone()), ..Decision::default() };
        let mut subjects = Subjects::default();
        let mut hold = self.guards.hold(v, asked, &self.allow);
        if hold.is_none() && asked.acts() {
            let endpoints = around.campaign.map_or(&[][..], |c| &c.endpoints);
            let bounds = Bounds { endpoints, ..self.bounds(around.traffic) };
            subjects = subjects_of(&rule.subjects, v, around.campaign, &bounds);
            if subjects.passed.is_empty() {
                hold = Some((
                    Response::Alert,
                    subjects.hold.take().unwrap_or_else(|| Hold::none_of(&rule.subjects)),
                ));
            }
        }
        decision.notes = subjects.notes;
        if let Some((weaker, hold)) = hold {
            decision.response = weaker;
            decision.held = Some(hold);
        }
        if !decision.response.acts() {
            return decision;
        }
        decision.ttl_s = ttl_s;
        let own_only = subjects.passed == [v.subject.clone()];
        let how = &rule.how;
        decision.measures = Measures {
            instead: responses.into_iter().skip(1).filter(|r| r.acts()).collect(),
            subjects: if own_only { Vec::new() } else { subjects.passed },
            scope: rule.scope.resolve(around.campaign, places, around.traffic),
            rate: how.rate,
            delay_ms: how.delay_ms,
            decoy: how.decoy.clone(),
            tag: how.tag.clone(),
            countries: how.countries.clone(),
            mode: rule.mode,
            again,
            good_ppm: subjects.good_ppm,
        };
        decision.notes.extend(decision.measures.scope.left_out());
        decision
    }
}

/// What a rule asks for, with what escalation makes of it.
struct Asked {
    responses: Vec<Response>,
    ttl_s: u64,
    again: u32,
}

impl Asked {
    fn of(rule: &Rule, v: &VerdictRow, history: Option<&History>) -> Self {
        let (mut responses, mut ttl_s) = (rule.responses.clone(), rule.ttl_s);
        let escalation = rule.escalation.as_ref();
        let again = escalation.zip(history).map_or(0, |(e, h)| h.times_before(v, e.within_s));
        let steps = escalation.map(|e| e.steps.as_slice()).unwrap_or_default();
        for step in steps.iter().take(again as usize) {
            if let Some(stronger) = step.response.filter(|r| responses.first().is_some_and(|f| r > f)) {
                responses.insert(0, stronger);
            }
            ttl_s = step.ttl_s.unwrap_or(ttl_s);
        }
        if let Some(until) = rule.schedule.as_ref().and_then(|s| s.until(v.last_seen)) {
            let left = until.since(v.last_seen) / 1_000_000_000;
            ttl_s = ttl_s.min(u64::try_from(left).unwrap_or(0).max(1));
        }
        Asked { responses, ttl_s, again }
    }
}

fn standing_verdict(rule: &Standing, now: Ts, bounds: &Bounds<'_>) -> VerdictRow {
    let asked = rule.responses.first().copied().unwrap_or_default();
    let (own_parts, _) = who_and_where(&rule.subject);
    let one = own_parts.is_some_and(|who| {
        let narrow = |k| {
            matches!(k, SubjectKind::Ip | SubjectKind::Session | SubjectKind::ApiKey | SubjectKind::Account)
        };
        who.each_part().iter().any(|p| narrow(p.kind))
    });
    let unmeasured = bounds.traffic.is_none_or(|t| t.good() == 0 || !t.tells(&rule.subject));
    let hold = bounds.hold(&rule.subject, &rule.subject).or((unmeasured && !one).then_some(Hold::Unmeasured));
    let held = hold.filter(|_| asked.acts());
    let how = &rule.how;
    let measures = Measures {
        instead: rule.responses.iter().skip(1).copied().filter(|r| r.acts()).collect(),
        rate: how.rate,
        delay_ms: how.delay_ms,
        decoy: how.decoy.clone(),
        tag: how.tag.clone(),
        countries: how.countries.clone(),
        mode: rule.mode,
        good_ppm: bounds.traffic.filter(|t| t.good() > 0).map(|t| t.good_ppm(&rule.subject)),
        ..Measures::default()
    };
    let reason = Reason {
        indicator: "policy".into(),
        weight: 0.0,
        observed: rule.description.as_str().into(),
        baseline: rule.source.as_str().into(),
        evidence: Default::default(),
    };
    let policy = held.as_ref().map_or_else(|| rule.id.clone(), |h| format!("guard:{}", h.name()));
    VerdictRow {
        id: format!("p-{}", rule.id),
        zone: rule.zone.clone().unwrap_or_default(),
        subject: rule.subject.clone(),
        intent: "malicious".into(),
        score: 99,
        detected_at: now,
        first_seen: now,
        last_seen: now,
        reasons: vec![reason],
        response: held.as_ref().map_or(asked, |_| Response::Alert).name().into(),
        ttl_s: if held.is_some() { 0 } else { rule.ttl_s },
        campaign: rule.measured.as_ref().map(|m| m.campaign.clone()),
        policy: Some(policy),
        measures: (held.is_none() && !measures.is_plain()).then(|| Box::new(measures)),
        ..facts::sample()
    }
}

/// Takes in whose rule says `prefix` and acts.
pub(crate) fn note_close(verdicts: &[VerdictRow], judged: &[(Decision, Option<&Rule>)], close: &mut Close) {
    for (v, (decision, rule)) in verdicts.iter().zip(judged) {
        if let Some(rule) = rule.filter(|_| decision.response.acts()) {
            close.note(rule, &v.subject);
        }
    }
}

/// Writes what was decided into the verdicts, with the networks that stand for them.
pub(crate) fn write_all(
    verdicts: &mut [VerdictRow],
    judged: Vec<(Decision, Option<&Rule>)>,
    networks: &Networks,
) -> Vec<Decision> {
    let with_network = |((mut d, rule), v): ((Decision, Option<&Rule>), &VerdictRow)| {
        let rule = rule.filter(|_| d.response.acts());
        if let Some(network) = rule.and_then(|r| networks.of(r, &v.subject)) {
            if d.measures.subjects.is_empty() {
                d.measures.subjects.push(v.subject.clone());
            }
            d.measures.subjects.insert(0, network.clone());
        }
        d
    };
    let decisions: Vec<Decision> = judged.into_iter().zip(verdicts.iter()).map(with_network).collect();
    verdicts.par_iter_mut().zip(&decisions).for_each(|(v, d)| write(v, d));
    decisions
}

fn write(v: &mut VerdictRow, decision: &Decision) {
    v.response = decision.response.name().to_owned();
    v.ttl_s = decision.ttl_s;
    v.policy = match &decision.held {
        Some(hold) => Some(format!("guard:{}", hold.name())),
        None => decision.rule.clone(),
    };
    v.measures = (!decision.measures.is_plain()).then(|| Box::new(decision.measures.clone()));
}

impl Guards {
    /// Takes what is tighter of both.
    fn tighten(&mut self, other: Guards) {
        self.min_prefix_v4 = self.min_prefix_v4.max(other.min_prefix_v4);
        self.min_prefix_v6 = self.min_prefix_v6.max(other.min_prefix_v6);
        self.own_networks.extend(other.own_networks);
        self.shared_networks.extend(other.shared_networks);
        self.caps = self.caps.tighter(other.caps);
    }
}

fn builtin_pack(name: &str) -> Pack {
    let text = builtin::text(name).unwrap_or_default();
    pack::read(text, &format!("{name}.yaml")).expect("a test reads the built-in packs")
}

fn info(r: &Rule) -> RuleInfo {
    RuleInfo {
        id: r.id.clone(),
        description: r.description.clone(),
        references: r.references.clone(),
        when: r.when.text().to_owned(),
        response: r.responses.first().copied().unwrap_or_default(),
        instead: r.responses.iter().skip(1).copied().collect(),
        subjects: r.subjects.iter().map(Choice::name).collect(),
        mode: r.mode,
        ttl_s: r.ttl_s,
        priority: r.priority,
        enabled: r.enabled,
        source: r.source.clone(),
    }
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| io_error(path, &e))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "yaml" || x == "yml"))
        .collect();
    files.sort();
    if files.is_empty() {
        let message = "no pack (*.yaml) in this directory".to_owned();
        return Err(PolicyError {
            file: path.display().to_string(),
            line: 0,
            column: 0,
            message,
            hint: None,
        });
    }
    Ok(files)
}

fn io_error(path: &Path, error: &std::io::Error) -> PolicyError {
    let message = format!("cannot be read: {error}");
    PolicyError { file: path.display().to_string(), line: 0, column: 0, message, hint: None }
}
