use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{HashKey, Mode, SubjectKind, Ts};
use sidetap_policy::Response;

use super::AlertConfig;
use super::kept::Forgotten;
use super::silence::Silence;
use crate::config::ConfigError;

/// Groups that are remembered; those that were heard of longest ago are forgotten first, and told anew where they go on.
const GROUPS: usize = 10_000;
/// How many of them at once: to look for them takes as long as there are groups.
const FORGOTTEN: usize = GROUPS / 100;
/// Groups that outlast a restart; those that were heard of last.
const KEPT: usize = 2_000;
/// Seconds after which a group that goes on is told anew.
const AGAIN_S: i64 = 86_400;
/// Seconds between two times at which hashes that are too old are taken out of what outlasts a restart.
const AGED_S: i64 = 3_600;
/// Harm by which a group has to rise to be told anew.
const RISE: u8 = 10;
/// What a group without a class is called.
const UNCLASSED: &str = "suspicious behaviour";
/// The groups of alerts that are about no group.
const BUDGET: &str = "budget";
const DIGEST: &str = "digest";
/// Hashes clients where none is kept.
const NO_KEY: HashKey = HashKey::from_bytes([0; 16]);
/// Subjects that an alert names.
const NAMED: usize = 10;

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
    /// Until when somebody's yes is waited for, where nothing is done without one: seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<i64>,
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
    mode: Option<Mode>,
    /// The strongest that was done, or waited for a yes.
    strongest: Option<Response>,
    /// Whether anything of it waited for a yes.
    asked: bool,
    /// Whether either is new since it was told.
    harder: bool,
    why: String,
    heard_at: i64,
    told: Option<(i64, u8)>,
    in_digest: bool,
    /// Whether that is for want of budget alone.
    over: bool,
    /// How many members were known before a restart, which are not named any more.
    earlier: usize,
    /// The one address of its first member, hashed, and whether any other had another.
    client: Option<u64>,
    is_mixed: bool,
    /// Whether an alert was spent on it that reached nobody before a restart.
    is_owed: bool,
}

/// The group of a single client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Own {
    group: String,
    /// When a verdict named the address alone: that of a proxy, or one that a header claims, is never named alone, and stands for several.
    alone_at: Option<i64>,
}

/// What outlasts a restart: that somebody was told, and what was spent. It names clients by hashes with the site's key alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    day: i64,
    spent: u32,
    said_spent: bool,
    digest_at: Option<i64>,
    groups: BTreeMap<String, KeptGroup>,
    clients: BTreeMap<u64, Own>,
    /// Groups and clients that had no room.
    left_out: usize,
}

impl Kept {
    /// Of how many groups and clients it is not known any more that somebody was told.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// When the first hash in it is too old, by the full hour.
    fn ages_at(&self) -> Option<i64> {
        let of_client = self.groups.values().filter(|g| g.client.is_some());
        let first = of_client.map(|g| g.heard_at).min()?.saturating_add(AGAIN_S);
        Some(first.div_euclid(AGED_S).saturating_add(1).saturating_mul(AGED_S))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct KeptGroup {
    score: u8,
    class: Option<String>,
    members: usize,
    requests: u64,
    response: String,
    mode: Option<Mode>,
    strongest: Option<Response>,
    asked: bool,
    heard_at: i64,
    told: Option<(i64, u8)>,
    in_digest: bool,
    over: bool,
    client: Option<u64>,
    is_mixed: bool,
    is_owed: bool,
}

/// Puts verdicts together to alerts. Pure: time is an argument.
#[derive(Debug)]
pub struct Gather {
    groups: BTreeMap<String, Group>,
    /// Of each client, an address of a zone for one class, the group of his own that he was heard of with: one who changes his agents, or is
    /// found in a campaign later, is no one else.
    clients: BTreeMap<u64, Own>,
    /// Hashes clients; without one none is kept.
    key: Option<HashKey>,
    silence: Vec<Silence>,
    budget: u32,
    at_once_from: u8,
    digest_s: i64,
    approval_s: i64,
    day: i64,
    spent: u32,
    /// Whether it was said that the day's budget is spent.
    said_spent: bool,
    digest_at: Option<i64>,
    /// Whether some may be owed an alert since a restart.
    owes: bool,
    /// Whether what outlasts a restart is another than when it was asked for last.
    changed: bool,
    /// When a hash is too old for what outlasts a restart.
    ages_at: Option<i64>,
    forgotten: Forgotten,
}

impl Gather {
    /// One with these settings.
    pub fn new(config: &AlertConfig) -> Result<Self, ConfigError> {
        let digest_s = sidetap_policy::parse_ttl(&config.digest)
            .map_err(|e| ConfigError::Value(format!("alerts: digest: {e}")))?;
        Ok(Gather {
            groups: BTreeMap::new(),
            clients: BTreeMap::new(),
            key: None,
            silence: config.silence.clone(),
            budget: config.budget_per_day,
            at_once_from: config.at_once_from,
            digest_s: i64::try_from(digest_s).unwrap_or(i64::MAX),
            approval_s: i64::try_from(config.approval_s).unwrap_or(i64::MAX),
            day: i64::MIN,
            spent: 0,
            said_spent: false,
            digest_at: None,
            owes: false,
            changed: false,
            ages_at: None,
            forgotten: Forgotten::default(),
        })
    }

    /// The same, which keeps who its clients are by hashes with this key.
    #[must_use]
    pub fn hashed(mut self, key: &HashKey) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Goes on where another left off.
    pub fn take_up(&mut self, kept: Kept) {
        (self.day, self.spent, self.said_spent) = (kept.day, kept.spent, kept.said_spent);
        (self.digest_at, self.ages_at) = (kept.digest_at, kept.ages_at());
        let group = |g: KeptGroup| Group {
            score: g.score,
            class: g.class,
            requests: g.requests,
            strongest: g.strongest.max(strength(&g.response, g.mode)),
            asked: g.asked || g.mode == Some(Mode::Approve),
            response: g.response,
            mode: g.mode,
            told: g.told,
            in_digest: g.in_digest,
            over: g.over,
            earlier: g.members,
            client: g.client,
            is_mixed: g.is_mixed,
            is_owed: g.is_owed,
            ..Group::heard(g.heard_at)
        };
        self.groups.extend(kept.groups.into_iter().take(KEPT).map(|(name, g)| (name, group(g))));
        self.clients.extend(kept.clients.into_iter().take(KEPT));
        self.owes = true;
    }

    /// What another is to go on with, where that changed since it was asked for last, a hash in it is too old by now, or `anew`; `waiting` are alerts
    /// that nobody was told yet, by their group and time.
    pub fn keep(&mut self, waiting: &BTreeSet<(&str, i64)>, now: i64, anew: bool) -> Option<Kept> {
        let ages = self.ages_at.is_some_and(|at| now >= at);
        if !std::mem::take(&mut self.changed) && !anew && !ages {
            return None;
        }
        // Those of which nobody was told come first.
        let untold = |name: &str, g: &Group| {
            let waits = |at: i64| [name, DIGEST].iter().any(|group| waiting.contains(&(*group, at)));
            g.in_digest || g.is_owed || g.told.is_some_and(|(at, _)| waits(at))
        };
        let mut latest: Vec<(&String, &Group)> = self.groups.iter().collect();
        latest.sort_by_key(|(name, g)| (!untold(name, g), std::cmp::Reverse(g.heard_at), *name));
        // Who was silent for a day is told anew anyway.
        let is_lost = |g: &Group| g.told.is_none_or(|(at, _)| now.saturating_sub(at) < AGAIN_S);
        let lost = latest.iter().skip(KEPT).filter(|(_, g)| is_lost(g)).count();
        let is_keyed = self.key.is_some();
        let group = |name: &str, g: &Group| {
            let waits = |group: &str| g.told.is_some_and(|(at, _)| waiting.contains(&(group, at)));
            let (is_owed, by_digest) = (waits(name), waits(DIGEST));
            KeptGroup {
                score: g.score,
                class: g.class.clone(),
                members: g.count(),
                requests: g.requests,
                response: g.response.clone(),
                mode: g.mode,
                strongest: g.strongest,
                asked: g.asked,
                heard_at: g.heard_at,
                told: g.told.filter(|_| !is_owed && !by_digest),
                in_digest: g.in_digest || by_digest,
                over: g.over || by_digest && g.score >= self.at_once_from,
                client: g.client.filter(|_| is_keyed && now.saturating_sub(g.heard_at) < AGAIN_S),
                is_mixed: g.is_mixed,
                is_owed: is_owed || g.is_owed,
            }
        };
        let groups: BTreeMap<String, KeptGroup> =
            latest.into_iter().take(KEPT).map(|(n, g)| (n.clone(), group(n, g))).collect();
        let of_client = |own: &Own| groups.get(&own.group).is_some_and(|g| g.client.is_some());
        let mut clients: Vec<(&u64, &Own)> = self.clients.iter().filter(|(_, own)| of_client(own)).collect();
        let left_out = lost + clients.len().saturating_sub(KEPT);
        clients.sort_by_key(|(_, own)| std::cmp::Reverse(groups.get(&own.group).map(|g| g.heard_at)));
        let clients = clients.into_iter().take(KEPT).map(|(client, own)| (*client, own.clone())).collect();
        let said_spent = self.said_spent && !waiting.iter().any(|(group, _)| *group == BUDGET);
        let Gather { day, spent, digest_at, .. } = *self;
        let kept = Kept { day, spent, said_spent, digest_at, groups, clients, left_out };
        self.ages_at = kept.ages_at();
        Some(kept)
    }

    /// What there was no room for so far.
    pub fn forgotten(&self) -> Forgotten {
        self.forgotten
    }

    /// Alerts that changed verdicts are worth; those that are not, or that the budget does not cover, wait for the digest.
    pub fn hear(&mut self, verdicts: &[VerdictRow], now: i64) -> Vec<Alert> {
        let (mut touched, mut seen, mut may_sweep) = (Vec::new(), BTreeSet::new(), true);
        let silence = std::mem::take(&mut self.silence);
        for v in verdicts.iter().filter(|v| {
            !matches!(v.response.as_str(), "none" | "log") && !silence.iter().any(|s| s.covers(v, now))
        }) {
            let name = self.name_of(v, now, &mut may_sweep);
            if seen.insert(name.clone()) {
                touched.push(name.clone());
            }
            self.note(name, v, now);
        }
        self.silence = silence;
        if now.div_euclid(86_400) != self.day {
            (self.day, self.spent, self.said_spent) = (now.div_euclid(86_400), 0, false);
        }
        // One that is further away is of a clock that was ahead.
        let next = now.saturating_add(self.digest_s);
        self.digest_at = Some(self.digest_at.map_or(next, |at| at.min(next)));
        let approval_s = self.approval_s;
        let mut alerts = self.owed(now);
        let mut spent = None;
        for name in touched {
            let Some(group) = self.groups.get_mut(&name).filter(|g| g.is_news(now)) else { continue };
            self.changed = true;
            group.harder = false;
            if group.score < self.at_once_from || self.spent >= self.budget {
                group.in_digest = true;
                group.over = group.score >= self.at_once_from;
                spent = spent.max(group.over.then_some(group.score));
                continue;
            }
            self.spent += 1;
            group.tell(now);
            alerts.push(group.alert(&name, now, approval_s));
        }
        if let Some(score) = spent.filter(|_| !self.said_spent && self.budget > 0) {
            self.said_spent = true;
            alerts.push(self.spent(score, now));
        }
        alerts
    }

    /// What was spent before a restart and reached nobody.
    fn owed(&mut self, now: i64) -> Vec<Alert> {
        if !std::mem::take(&mut self.owes) {
            return Vec::new();
        }
        self.changed = true;
        let silence = &self.silence;
        let tell = |(name, group): (&String, &mut Group)| {
            let silent = silence.iter().any(|s| s.covers_group(name, group.class.as_deref(), now));
            (std::mem::take(&mut group.is_owed) && !silent).then(|| {
                group.tell(now);
                group.alert(name, now, self.approval_s)
            })
        };
        self.groups.iter_mut().filter_map(tell).collect()
    }

    /// That the rest of the day's alerts come with digests.
    fn spent(&self, score: u8, now: i64) -> Alert {
        Alert {
            group: BUDGET.to_owned(),
            title: format!("Sidetap: the day's budget of {} alerts is spent", self.budget),
            text: "What else is found until midnight (UTC) comes with the digest.\n".to_owned(),
            score,
            class: None,
            subjects: Vec::new(),
            members: 0,
            response: String::new(),
            waits_until: None,
            at: now,
        }
    }

    /// The digest of what was not told, where its hour has come or nothing comes after it.
    pub fn digest(&mut self, now: i64, last: bool) -> Option<Alert> {
        let due = self.digest_at.is_some_and(|at| now >= at) || last;
        if !due {
            return None;
        }
        self.digest_at = Some(now.saturating_add(self.digest_s));
        let (mut lines, mut over) = (Vec::new(), Vec::new());
        let (mut score, mut members) = (0, 0);
        for (name, group) in self.groups.iter_mut().filter(|(_, g)| g.in_digest) {
            group.in_digest = false;
            group.told = Some((now, group.score));
            self.changed = true;
            lines.push((group.score, group.title(name)));
            if std::mem::take(&mut group.over) {
                over.push((group.score, group.class.clone()));
            }
            score = score.max(group.score);
            members = group.count().saturating_add(members);
        }
        lines.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let small = lines.len() - over.len();
        let worst = over.iter().max().cloned();
        let title = match &worst {
            None => format!("{small} more that were not worth an alert each"),
            Some((harm, class)) => {
                let class = class.as_deref().unwrap_or(UNCLASSED);
                let rest =
                    if small > 0 { format!("; {small} not worth an alert each") } else { String::new() };
                format!("{} more, over the day's budget, the worst: {class}, harm {harm}{rest}", over.len())
            }
        };
        (!lines.is_empty()).then(|| Alert {
            group: DIGEST.to_owned(),
            title: format!("Sidetap: {title}"),
            text: lines.iter().take(100).map(|(_, line)| format!("{line}\n")).collect(),
            score,
            class: worst.and_then(|(_, class)| class),
            subjects: Vec::new(),
            members,
            response: String::new(),
            waits_until: None,
            at: now,
        })
    }

    /// The group of a verdict: its campaign's, or its own; where that is new, its client's own in which he was heard of for the same within a
    /// day.
    fn name_of(&mut self, v: &VerdictRow, now: i64, may_sweep: &mut bool) -> String {
        let name = v.campaign.clone().unwrap_or_else(|| v.id.clone());
        let Some(ip) = v.client_ip else { return name };
        let is_alone = v.subject.kind == SubjectKind::Ip && v.subject.value.parse() == Ok(ip);
        let (client, whom) = (self.hash(&v.zone, ip, v.class.as_deref()), self.hash(&v.zone, ip, None));
        let is_recent = |at: i64| now.saturating_sub(at) < AGAIN_S;
        if let Some(own) = self.clients.get_mut(&client) {
            let is_his = |g: &&Group| is_recent(g.heard_at) && !g.is_mixed && g.client == Some(whom);
            let known = self.groups.get(&own.group).filter(is_his);
            let joins = own.group == name
                || known.is_some()
                    && !self.groups.contains_key(&name)
                    && (is_alone || own.alone_at.is_some_and(is_recent));
            if joins {
                own.alone_at = if is_alone { Some(now) } else { own.alone_at };
                return own.group.clone();
            }
        }
        // A campaign is of several: nobody else's is ever taken for it.
        if v.campaign.is_none() {
            if self.clients.len() >= GROUPS && !self.clients.contains_key(&client) && *may_sweep {
                *may_sweep = false;
                let groups = &self.groups;
                self.clients.retain(|_, own| groups.get(&own.group).is_some_and(|g| is_recent(g.heard_at)));
            }
            if self.clients.len() < GROUPS || self.clients.contains_key(&client) {
                let own = Own { group: name.clone(), alone_at: is_alone.then_some(now) };
                self.clients.insert(client, own);
            } else {
                self.forgotten.verdicts += 1;
            }
        }
        name
    }

    /// A client, for one class or whatever it is for.
    fn hash(&self, zone: &str, ip: IpAddr, class: Option<&str>) -> u64 {
        let key = self.key.as_ref().unwrap_or(&NO_KEY);
        key.hash64("alerted", format!("{ip}\0{zone}\0{}", class.unwrap_or_default()).as_bytes())
    }

    fn note(&mut self, name: String, v: &VerdictRow, now: i64) {
        if self.groups.len() >= GROUPS && !self.groups.contains_key(&name) {
            // Those of which nobody was told come last.
            let key = |(n, g): (&String, &Group)| (g.in_digest || g.is_owed, g.heard_at, n.clone());
            let mut oldest: Vec<(bool, i64, String)> = self.groups.iter().map(key).collect();
            oldest.sort_unstable();
            for (is_untold, _, name) in oldest.into_iter().take(FORGOTTEN) {
                self.groups.remove(&name);
                self.forgotten.groups += 1;
                self.forgotten.untold += u64::from(is_untold);
            }
            self.changed = true;
        }
        let is_first = name == v.id;
        let client = v.client_ip.map(|ip| self.hash(&v.zone, ip, None));
        let group = self.groups.entry(name).or_insert_with(|| Group::heard(now));
        let mode = v.measures.as_ref().and_then(|m| m.mode);
        let done = strength(&v.response, mode);
        let asks = mode == Some(Mode::Approve) && done.is_some();
        let harder = done > group.strongest || asks && !group.asked;
        group.harder |= harder;
        group.strongest = group.strongest.max(done);
        group.asked |= asks;
        if harder || v.score > group.score {
            group.response.clone_from(&v.response);
            group.mode = mode;
        }
        if v.score > group.score {
            group.score = v.score;
            group.class.clone_from(&v.class);
            group.why =
                v.reasons.first().map(|r| format!("{}: {}", r.indicator, r.observed)).unwrap_or_default();
        }
        // The hash of who was silent for a day is not kept; the verdict that a group is named by is the same client's still.
        let is_known = group.earlier > 0 && !(is_first && group.client.is_none() && !group.is_mixed);
        if group.members.is_empty() && !is_known {
            group.client = client;
        }
        group.is_mixed |= group.client != client;
        if group.members.len() < GROUPS && group.members.insert(v.id.clone(), ()).is_none() {
            // What was counted before a restart comes again with its verdicts.
            if group.members.len() > group.earlier {
                group.requests = group.requests.saturating_add(v.requests);
            }
            if group.subjects.len() < NAMED {
                group.subjects.push(v.subject.value.clone());
            }
        }
        group.heard_at = now;
    }
}

impl Group {
    fn heard(now: i64) -> Self {
        Group {
            score: 0,
            class: None,
            subjects: Vec::new(),
            members: BTreeMap::new(),
            requests: 0,
            response: String::new(),
            mode: None,
            strongest: None,
            asked: false,
            harder: false,
            why: String::new(),
            heard_at: now,
            told: None,
            in_digest: false,
            over: false,
            earlier: 0,
            client: None,
            is_mixed: false,
            is_owed: false,
        }
    }

    fn tell(&mut self, now: i64) {
        self.told = Some((now, self.score));
        (self.in_digest, self.harder) = (false, false);
    }

    fn count(&self) -> usize {
        self.members.len().max(self.earlier)
    }

    /// Whether it was never told, was told long ago, has become much worse, or something is done or asked for that was not.
    fn is_news(&self, now: i64) -> bool {
        self.told.is_none_or(|(at, score)| {
            now.saturating_sub(at) >= AGAIN_S || self.harder || self.score >= score.saturating_add(RISE)
        })
    }

    fn title(&self, name: &str) -> String {
        let class = self.class.as_deref().unwrap_or(UNCLASSED);
        let clients = if self.count() == 1 { "client" } else { "clients" };
        let how = match self.mode {
            _ if !self.acts() => "",
            Some(Mode::Approve) => " waits for a yes",
            Some(Mode::DryRun) => " is only tried",
            _ => "",
        };
        format!("{class}: {} {clients}, harm {}, {}{how} ({name})", self.count(), self.score, self.response)
    }

    fn acts(&self) -> bool {
        self.response.parse::<Response>().is_ok_and(|r| r.acts())
    }

    fn alert(&self, name: &str, now: i64, approval_s: i64) -> Alert {
        let waits = self.mode == Some(Mode::Approve) && self.acts();
        let waits_until = waits.then(|| now.saturating_add(approval_s));
        let waits = waits_until.map_or_else(String::new, |until| {
            let until = Ts::from_parts(until, 0);
            format!("{} is not done without a yes, which is waited for until {until} (`sidetap mitigation approvals`)\n", self.response)
        });
        let subjects = self.subjects.join(", ");
        let rest = match (self.count().saturating_sub(self.subjects.len()), self.subjects.is_empty()) {
            (0, _) => String::new(),
            (n, true) => format!("{n} since before a restart"),
            (n, false) => format!(" and {n} more"),
        };
        Alert {
            group: name.to_owned(),
            title: format!("Sidetap: {}", self.title(name)),
            text: format!("{}\n{} requests\n{subjects}{rest}\n{waits}", self.why, self.requests),
            score: self.score,
            class: self.class.clone(),
            subjects: self.subjects.clone(),
            members: self.count(),
            response: self.response.clone(),
            waits_until,
            at: now,
        }
    }
}

/// What is done, or would be after a yes; nothing of what is only tried.
fn strength(response: &str, mode: Option<Mode>) -> Option<Response> {
    response.parse::<Response>().ok().filter(|r| r.acts() && mode != Some(Mode::DryRun))
}
