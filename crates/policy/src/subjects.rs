//! Whom to act against: the ways of saying it that a rule prefers, as far as a verdict and stored traffic carry them.

use sidetap_model::SubjectKind;
use sidetap_model::rows::{CampaignRow, Subject, SubjectPart, VerdictRow};

use crate::AllowList;
use crate::guard::{Guards, Hold};
use crate::net::subject_net;
use crate::pack::Choice;
use crate::traffic::Traffic;

/// Of the requests of whom a verdict names, the share that another subject in its place has to fit, in a hundred.
const ENOUGH: u64 = 90;
/// The share of all of them that does where of those that count it is enough: a tool may ask for a page before, with another head.
const MOST: u64 = 50;

/// The subjects of a rule for a verdict that passed, and why others did not.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    pub(crate) passed: Vec<Subject>,
    pub(crate) good_ppm: Option<u32>,
    pub(crate) notes: Vec<String>,
    pub(crate) hold: Option<Hold>,
}

/// What subjects are held against.
pub(crate) struct Bounds<'a> {
    pub(crate) guards: &'a Guards,
    pub(crate) allow: &'a AllowList,
    pub(crate) traffic: Option<&'a Traffic>,
    /// The endpoints of the verdict's campaign.
    pub(crate) endpoints: &'a [String],
}

impl Bounds<'_> {
    /// Why a subject may not be acted against; `own` is what the verdict names.
    ///
    /// A subject that has all parts of the verdict's own is as narrow as the verdict. Any other has to be measured, and may hit less
    /// than one good request of a million: without stored traffic nobody knows whom it would hit.
    pub(crate) fn hold(&self, subject: &Subject, own: &Subject) -> Option<Hold> {
        if let Some(entry) = self.allow.covers_subject(subject) {
            let entry = entry.reason.clone().unwrap_or_else(|| entry.value.clone());
            return Some(Hold::Allowed { entry });
        }
        if let Some(net) = subject_net(subject)
            && let Some(hold) = self.guards.hold_net(&net)
        {
            return Some(hold);
        }
        let narrow = is_within(subject, own);
        let address = matches!(subject.kind, SubjectKind::Ip | SubjectKind::Cidr);
        if address && !narrow && own.kind != SubjectKind::Ip {
            return Some(Hold::Shared);
        }
        let Some(traffic) = self.traffic.filter(|t| t.good() > 0) else {
            return (!narrow).then_some(Hold::Unmeasured);
        };
        if address && traffic.good_clients(subject) > 1 {
            return Some(Hold::Shared);
        }
        if !narrow && !traffic.tells(subject) {
            return Some(Hold::Unmeasured);
        }
        if !narrow {
            let (all, that_count) = traffic.share_within(own, subject, self.endpoints);
            if all < ENOUGH && (all < MOST || that_count < ENOUGH) {
                return Some(Hold::Misses);
            }
        }
        let ppm = traffic.good_ppm(subject);
        let most = if narrow { self.guards.caps.good_share_ppm } else { 0 };
        (ppm > most).then_some(Hold::GoodTraffic { ppm })
    }
}

/// The subjects that the choices of a rule give for a verdict, without networks of several ([`Close`](crate::parts::Close)).
pub(crate) fn subjects_of(
    choices: &[Choice],
    v: &VerdictRow,
    campaign: Option<&CampaignRow>,
    bounds: &Bounds<'_>,
) -> Subjects {
    let mut out = Subjects::default();
    let own = [Choice::Verdict];
    let choices = if choices.is_empty() { &own[..] } else { choices };
    for choice in choices {
        let subjects = match choice {
            Choice::Verdict => vec![v.subject.clone()],
            Choice::Prefix => Vec::new(),
            Choice::Parts(kinds) => compose(kinds, v, campaign),
        };
        for subject in subjects {
            if out.passed.contains(&subject) {
                continue;
            }
            match bounds.hold(&subject, &v.subject) {
                None => out.passed.push(subject),
                Some(hold) => {
                    let note = format!("not {}: {}", choice.name(), hold.name());
                    if !out.notes.contains(&note) {
                        out.notes.push(note);
                    }
                    out.hold.get_or_insert(hold);
                }
            }
        }
    }
    if let Some(traffic) = bounds.traffic.filter(|t| t.good() > 0) {
        out.good_ppm = out.passed.iter().map(|s| traffic.good_ppm(s)).max();
    }
    out
}

/// Whether every request that fits `subject` is one that fits `own`.
fn is_within(subject: &Subject, own: &Subject) -> bool {
    let parts = subject.each_part();
    own.each_part().iter().all(|p| parts.contains(p))
}

/// The subjects that have these parts: one for each fingerprint of the verdict where that is asked for, since devices compute
/// different ones.
fn compose(kinds: &[SubjectKind], v: &VerdictRow, campaign: Option<&CampaignRow>) -> Vec<Subject> {
    let print = |p: &String| Some(p.clone());
    let prints: Vec<Option<String>> = match kinds.contains(&SubjectKind::Fingerprint) {
        true => prints_of(v, campaign).iter().map(print).collect(),
        false => vec![None],
    };
    let with = |print: Option<String>| {
        let part = |kind: &SubjectKind| {
            let value = match kind {
                SubjectKind::Fingerprint => print.clone(),
                other => value_of(*other, v, campaign),
            };
            Some(SubjectPart { kind: *kind, value: value? })
        };
        let parts: Option<Vec<SubjectPart>> = kinds.iter().map(part).collect();
        parts.map(Subject::of_parts)
    };
    prints.into_iter().filter_map(with).collect()
}

/// Kinds of fingerprints that name a tool, those that most devices compute as the sensor does first.
const PRINTS: [&str; 3] = ["d1-", "s2-", "a1-"];

/// The fingerprints of a verdict: what it names itself, or else those of its requests, or of its campaign.
fn prints_of(v: &VerdictRow, campaign: Option<&CampaignRow>) -> Vec<String> {
    if let Some(own) = v.subject.each_part().into_iter().find(|p| p.kind == SubjectKind::Fingerprint) {
        return vec![own.value];
    }
    let of = |family: &&str| v.prints.iter().find(|p| p.starts_with(family)).cloned();
    let own: Vec<String> = PRINTS.iter().filter_map(of).collect();
    match own.is_empty() {
        true => campaign.and_then(|c| c.signature.get("fingerprint")).cloned().into_iter().collect(),
        false => own,
    }
}

fn value_of(kind: SubjectKind, v: &VerdictRow, campaign: Option<&CampaignRow>) -> Option<String> {
    if let Some(own) = v.subject.each_part().into_iter().find(|p| p.kind == kind) {
        return Some(own.value);
    }
    let signature = |name: &str| campaign.and_then(|c| c.signature.get(name));
    let origin = v.origin.as_ref();
    let only = campaign.map(|c| c.endpoints.as_slice()).and_then(|e| match e {
        [only] => only.split_once(' '),
        _ => None,
    });
    let place = only.map(|(_, at)| at).or(match v.hosts.as_slice() {
        [at] if campaign.is_none() => Some(at.as_str()),
        _ => None,
    });
    match kind {
        SubjectKind::Ip => v.client_ip.map(|ip| ip.to_string()),
        SubjectKind::Header => {
            let agent = signature("agent").filter(|_| signature("agents").is_some_and(|n| n == "1"))?;
            Some(format!("user-agent: {agent}"))
        }
        SubjectKind::Country => origin?.country.clone(),
        SubjectKind::Network => origin?.asn.map(|n| format!("AS{n}")),
        SubjectKind::Method => only.map(|(method, _)| method.to_owned()),
        SubjectKind::Host => place?.split('/').next().map(str::to_owned),
        SubjectKind::Path => place.and_then(|at| at.find('/').and_then(|i| at.get(i..))).map(str::to_owned),
        _ => None,
    }
}
