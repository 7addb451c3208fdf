use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::Serialize;
use sidetap_model::rows::{Subject, VerdictRow};
use sidetap_model::{Measures, Ts};
use sidetap_policy::{AllowList, Response};

/// What the devices should be doing, whatever they see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Desired {
    /// One wish for each verdict that acts, the most urgent first.
    pub wants: Vec<Want>,
    /// Networks that no device may touch.
    pub allow: Vec<IpNet>,
    /// Verdicts that act and are not pushed, with the reason.
    pub held: Vec<Held>,
    /// Verdicts that wait for somebody's yes before these connectors are told of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting: BTreeMap<String, BTreeSet<String>>,
    /// Verdicts of before of which nothing is known any more: what devices hold for them stays until it is over.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub keep: BTreeSet<String>,
    /// The kill switch is on: devices are emptied, whatever guards a list from shrinking and whatever is only tried out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

/// What one verdict asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Want {
    /// The verdict.
    pub verdict: String,
    /// Where it holds.
    pub zone: String,
    /// Whom it names.
    pub subject: Subject,
    /// What to do.
    pub response: Response,
    /// For how many seconds from the push.
    pub ttl_s: u64,
    /// Harm, 1 to 99.
    pub score: u8,
    /// When it was said, packet time.
    pub detected_at: Ts,
    /// When it was at it last, packet time.
    pub last_seen: Ts,
    /// Said longer ago than is pushed without force.
    pub stale: bool,
    /// How it is done: weaker responses, other ways of saying whom, where.
    #[serde(skip_serializing_if = "Measures::is_plain")]
    pub measures: Measures,
    /// Why, in short, for the audit.
    pub why: String,
}

/// A verdict, or an entry of a device, that is not pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The verdict.
    pub verdict: String,
    /// Whom it names.
    pub subject: String,
    /// Why not.
    pub why: String,
}

/// What [`desired`] needs besides verdicts.
#[derive(Clone, Debug, Default)]
pub struct DesiredOptions {
    /// The wall clock.
    pub now: Ts,
    /// Verdicts said longer ago than this are stale.
    pub max_age_s: u64,
    /// Who is never touched.
    pub allow: AllowList,
    /// The pack and its revision of each rule, for the audit.
    pub origins: BTreeMap<String, String>,
    /// What guards say of verdicts that they hold, as far as that is known.
    pub holds: BTreeMap<String, String>,
}

/// The desired state that verdicts, as policy decided them, ask for.
pub fn desired(verdicts: &[VerdictRow], options: &DesiredOptions) -> Desired {
    let mut out = Desired { allow: options.allow.nets(), ..Desired::default() };
    out.add(verdicts, options);
    out.rank();
    out
}

impl Desired {
    /// Adds what these verdicts ask for, behind what others do: [`Desired::rank`] is to follow the last of them.
    pub fn add(&mut self, verdicts: &[VerdictRow], options: &DesiredOptions) {
        for v in verdicts {
            let held = |why| Held { verdict: v.id.clone(), subject: v.subject.value.clone(), why };
            let Some(response) = v.response.parse::<Response>().ok().filter(|r| r.acts()) else {
                self.held.extend(guarded(v, options).map(held));
                continue;
            };
            match refusal(v, options) {
                Some(why) => self.held.push(held(why)),
                None => self.wants.push(want(v, response, options)),
            }
        }
    }

    /// Puts the most urgent first.
    pub fn rank(&mut self) {
        let of = |w: &Want| (w.score, w.last_seen);
        self.wants.sort_by(|a, b| of(b).cmp(&of(a)).then_with(|| a.verdict.cmp(&b.verdict)));
    }
}

/// Why nothing is done about a verdict that a rule would act on, where one of policy's guards holds it.
fn guarded(v: &VerdictRow, options: &DesiredOptions) -> Option<String> {
    let guard = v.policy.as_ref()?.strip_prefix("guard:")?.trim();
    let why = options.holds.get(&v.id).map(|why| format!(": {why}")).unwrap_or_default();
    Some(format!("held by guard {guard}{why} (docs/policy.md)"))
}

fn refusal(v: &VerdictRow, options: &DesiredOptions) -> Option<String> {
    if let Some(entry) = options.allow.covers(v) {
        return Some(format!("on the allow list: {}", entry.reason.as_deref().unwrap_or(&entry.value)));
    }
    if !v.may_be_acted_on() {
        return Some(format!("intent is {}, and only malicious ones are acted against", v.intent));
    }
    if v.reasons.is_empty() {
        return Some("it has no reasons".to_owned());
    }
    (v.ttl_s == 0).then(|| "it has no time to live".to_owned())
}

fn want(v: &VerdictRow, response: Response, options: &DesiredOptions) -> Want {
    let age_s = options.now.since(v.last_seen.max(v.detected_at)) / 1_000_000_000;
    Want {
        verdict: v.id.clone(),
        zone: v.zone.clone(),
        subject: v.subject.clone(),
        response,
        ttl_s: v.ttl_s,
        score: v.score,
        detected_at: v.detected_at,
        last_seen: v.last_seen.max(v.detected_at),
        measures: v.measures.as_deref().cloned().unwrap_or_default(),
        why: why(v, &options.origins),
        stale: age_s > i64::try_from(options.max_age_s).unwrap_or(i64::MAX),
    }
}

/// Why a verdict is acted on: by which rule of which revision, for what, at which step. No name of anybody: of reasons the indicator's alone.
fn why(v: &VerdictRow, origins: &BTreeMap<String, String>) -> String {
    let mut parts = Vec::new();
    if let Some(rule) = &v.policy {
        let origin = origins.get(rule).map(|o| format!(" of {o}")).unwrap_or_default();
        parts.push(format!("rule {rule}{origin}"));
    }
    let class = v.class.as_deref().unwrap_or(&v.intent);
    parts.push(format!("{class}, harm {}", v.score));
    parts.extend(v.reasons.first().map(|r| format!("for {}", r.indicator)));
    if let Some(again) = v.measures.as_ref().map(|m| m.again).filter(|n| *n > 0) {
        parts.push(format!("escalated, acted against {again} times before"));
    }
    parts.join("; ")
}
