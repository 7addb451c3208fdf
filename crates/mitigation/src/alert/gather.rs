use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sidetap_model::rows::VerdictRow;

use super::AlertConfig;
use crate::config::ConfigError;

/// Groups that are remembered; the one that was heard of longest ago is forgotten first.
const GROUPS: usize = 10_000;
/// Seconds after which a group that goes on is told anew.
const AGAIN_S: i64 = 86_400;
/// Harm by which a group has to rise to be told anew.
const RISE: u8 = 10;
/// Subjects that an alert names.
const NAMED: usize = 10;

/// What nobody wants to hear of: all that is given has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Silence {
    /// A class, `api-scraping`.
    pub class: Option<String>,
    /// A subject, as outputs spell it.
    pub subject: Option<String>,
    /// A campaign.
    pub campaign: Option<String>,
    /// Until when: seconds since 1970; for ever without it.
    pub until: Option<i64>,
}

impl Silence {
    fn covers(&self, v: &VerdictRow, now: i64) -> bool {
        let fits =
            |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|w| is == Some(w));
        let named = self.class.is_some() || self.subject.is_some() || self.campaign.is_some();
        named
            && self.until.is_none_or(|u| now < u)
            && fits(&self.class, v.class.as_deref())
            && fits(&self.subject, Some(&v.subject.value))
            && fits(&self.campaign, v.campaign.as_deref())
    }
}

/// What people are told: a campaign, a lone client, or a digest of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// What it is about, alike for every alert of it: the campaign or the verdict, or `digest`.
    pub group: String,
    /// In one line.
    pub title: String,
    /// In several lines.
    pub text: String,
    /// Harm, 1 to 99.
    pub score: u8,
    /// The class, where it has one.
    pub class: Option<String>,
    /// Who is behind it, at most ten.
    pub subjects: Vec<String>,
    /// How many there are.
    pub members: usize,
    /// What is done about it.
    pub response: String,
    /// Seconds since 1970.
    pub at: i64,
}

#[derive(Debug)]
struct Group {
    score: u8,
    class: Option<String>,
    subjects: Vec<String>,
    members: BTreeMap<String, ()>,
    requests: u64,
    response: String,
    why: String,
    heard_at: i64,
    told: Option<(i64, u8)>,
    in_digest: bool,
}

/// Puts verdicts together to alerts. Pure: time is an argument.
#[derive(Debug)]
pub struct Gather {
    groups: BTreeMap<String, Group>,
    silence: Vec<Silence>,
    budget: u32,
    at_once_from: u8,
    digest_s: i64,
    day: i64,
    spent: u32,
    digest_at: Option<i64>,
}

impl Gather {
    /// One with these settings.
    pub fn new(config: &AlertConfig) -> Result<Self, ConfigError> {
        let digest_s = sidetap_policy::parse_ttl(&config.digest)
            .map_err(|e| ConfigError::Value(format!("alerts: digest: {e}")))?;
        Ok(Gather {
            groups: BTreeMap::new(),
            silence: config.silence.clone(),
            budget: config.budget_per_day,
            at_once_from: config.at_once_from,
            digest_s: i64::try_from(digest_s).unwrap_or(i64::MAX),
            day: i64::MIN,
            spent: 0,
            digest_at: None,
        })
    }

    /// Alerts that changed verdicts are worth; those that are not, or that the budget does not cover, wait for the digest.
    pub fn hear(&mut self, verdicts: &[VerdictRow], now: i64) -> Vec<Alert> {
        let mut touched = Vec::new();
        let silence = std::mem::take(&mut self.silence);
        for v in verdicts.iter().filter(|v| {
            !matches!(v.response.as_str(), "none" | "log") && !silence.iter().any(|s| s.covers(v, now))
        }) {
            let name = v.campaign.clone().unwrap_or_else(|| v.id.clone());
            if !touched.contains(&name) {
                touched.push(name.clone());
            }
            self.note(name, v, now);
        }
        self.silence = silence;
        if now.div_euclid(86_400) != self.day {
            (self.day, self.spent) = (now.div_euclid(86_400), 0);
        }
        self.digest_at.get_or_insert(now.saturating_add(self.digest_s));
        let mut alerts = Vec::new();
        for name in touched {
            let Some(group) = self.groups.get_mut(&name).filter(|g| g.is_news(now)) else { continue };
            if group.score < self.at_once_from || self.spent >= self.budget {
                group.in_digest = true;
                continue;
            }
            self.spent += 1;
            group.told = Some((now, group.score));
            group.in_digest = false;
            alerts.push(group.alert(&name, now));
        }
        alerts
    }

    /// The digest of what was not told, where its hour has come or nothing comes after it.
    pub fn digest(&mut self, now: i64, last: bool) -> Option<Alert> {
        let due = self.digest_at.is_some_and(|at| now >= at) || last;
        if !due {
            return None;
        }
        self.digest_at = Some(now.saturating_add(self.digest_s));
        let mut lines = Vec::new();
        let (mut score, mut members) = (0, 0);
        for (name, group) in self.groups.iter_mut().filter(|(_, g)| g.in_digest) {
            group.in_digest = false;
            group.told = Some((now, group.score));
            lines.push((group.score, group.title(name)));
            score = score.max(group.score);
            members += group.members.len();
        }
        lines.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        (!lines.is_empty()).then(|| Alert {
            group: "digest".to_owned(),
            title: format!("Sidetap: {} more that were not worth an alert each", lines.len()),
            text: lines.iter().take(100).map(|(_, line)| format!("{line}\n")).collect(),
            score,
            class: None,
            subjects: Vec::new(),
            members,
            response: String::new(),
            at: now,
        })
    }

    fn note(&mut self, name: String, v: &VerdictRow, now: i64) {
        if self.groups.len() >= GROUPS
            && !self.groups.contains_key(&name)
            && let Some(oldest) =
                self.groups.iter().min_by_key(|(n, g)| (g.heard_at, (*n).clone())).map(|(n, _)| n.clone())
        {
            self.groups.remove(&oldest);
        }
        let group = self.groups.entry(name).or_insert_with(|| Group {
            score: 0,
            class: None,
            subjects: Vec::new(),
            members: BTreeMap::new(),
            requests: 0,
            response: String::new(),
            why: String::new(),
            heard_at: now,
            told: None,
            in_digest: false,
        });
        if v.score > group.score {
            group.score = v.score;
            group.response.clone_from(&v.response);
            group.class.clone_from(&v.class);
            group.why =
                v.reasons.first().map(|r| format!("{}: {}", r.indicator, r.observed)).unwrap_or_default();
        }
        if group.members.len() < GROUPS && group.members.insert(v.id.clone(), ()).is_none() {
            group.requests = group.requests.saturating_add(v.requests);
            if group.subjects.len() < NAMED {
                group.subjects.push(v.subject.value.clone());
            }
        }
        group.heard_at = now;
    }
}

impl Group {
    /// Whether it was never told, was told long ago, or has become much worse.
    fn is_news(&self, now: i64) -> bool {
        self.told.is_none_or(|(at, score)| now - at >= AGAIN_S || self.score >= score.saturating_add(RISE))
    }

    fn title(&self, name: &str) -> String {
        let class = self.class.as_deref().unwrap_or("suspicious behaviour");
        let clients = if self.members.len() == 1 { "client" } else { "clients" };
        format!("{class}: {} {clients}, harm {}, {} ({name})", self.members.len(), self.score, self.response)
    }

    fn alert(&self, name: &str, now: i64) -> Alert {
        let subjects = self.subjects.join(", ");
        let more = self.members.len().saturating_sub(self.subjects.len());
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        Alert {
            group: name.to_owned(),
            title: format!("Sidetap: {}", self.title(name)),
            text: format!("{}\n{} requests\n{subjects}{rest}\n", self.why, self.requests),
            score: self.score,
            class: self.class.clone(),
            subjects: self.subjects.clone(),
            members: self.members.len(),
            response: self.response.clone(),
            at: now,
        }
    }
}
