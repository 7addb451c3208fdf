//! What rules say that can be meant and is likely not.

use sidetap_model::{SubjectKind, Ts, nearest};

use crate::Response;
use crate::decide::PolicySet;
use crate::facts::{CLASSES, INTENTS, PHASES};
use crate::pack::{CHANNELS, ROLES, Rule};
use crate::rule_scope::RuleScope;
use crate::schedule::Schedule;

/// What detection names, as far as policies cannot know it by themselves.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Ids of the indicators in force.
    pub indicators: Vec<String>,
    /// Classes besides the built-in ones.
    pub classes: Vec<String>,
    /// What agents are told to be.
    pub agent_kinds: Vec<String>,
    /// What networks are used for.
    pub network_kinds: Vec<String>,
}

/// Methods that requests have: of HTTP, of WebDAV, and of caches.
const METHODS: [&str; 25] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "MERGE",
    "LINK",
    "UNLINK",
    "PURGE",
    "BAN",
    "MKCALENDAR",
];
/// Automated threats that OWASP numbers.
const THREATS: u8 = 21;

impl Rule {
    /// Responses of an escalation that are no stronger than the one that stands by then, with that one.
    fn idle_steps(&self) -> Vec<(Response, Response)> {
        let mut stands = self.responses.first().copied().unwrap_or_default();
        let mut idle = Vec::new();
        for response in self.escalation.iter().flat_map(|e| &e.steps).filter_map(|step| step.response) {
            if response > stands {
                stands = response;
            } else {
                idle.push((response, stands));
            }
        }
        idle
    }
}

impl PolicySet {
    /// What a rule says that can be meant and is likely not, with its place: a class that nobody finds, a schedule that is over.
    pub fn remarks(&self, now: Ts, vocabulary: &Vocabulary) -> Vec<String> {
        let named = |names: &[&'static str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let kinds = SubjectKind::ALL.map(SubjectKind::name);
        let classes = [named(&CLASSES), vocabulary.classes.clone()].concat();
        let threats = (1..=THREATS).map(|n| format!("OAT-{n:03}")).collect();
        let known = [
            ("class", "class", classes),
            ("intent", "intent", named(&INTENTS)),
            ("phase", "phase", named(&PHASES)),
            ("roles", "role", named(&ROLES)),
            ("channels", "channel", named(&CHANNELS)),
            ("subject_kind", "subject_kind", named(&kinds)),
            ("indicators", "indicator", vocabulary.indicators.clone()),
            ("agent.kind", "kind of agents", vocabulary.agent_kinds.clone()),
            ("oat", "automated threat", threats),
            ("network_kinds", "kind of networks", vocabulary.network_kinds.clone()),
        ];
        let mut remarks = Vec::new();
        for rule in self.rules.iter().filter(|r| r.enabled) {
            for (field, kind, known) in &known {
                let is_known = |text: &str| text.is_empty() || known.iter().any(|k| k == text);
                for (text, at) in rule.when.compared(field).into_iter().filter(|(t, _)| !is_known(t)) {
                    let (line, column) = rule.when_at.place(at);
                    let hint = nearest(text, known.iter().map(String::as_str))
                        .map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                    remarks.push(format!(
                        "{}:{line}:{column}: rule `{}`: no {kind} is called `{text}`{hint}",
                        rule.source, rule.id
                    ));
                }
            }
            for (response, stands) in rule.idle_steps() {
                let idle = "and is never used: of the step its `ttl` alone counts";
                remarks.push(format!(
                    "{}: rule `{}`: an escalation to `{}` is no stronger than `{}`, {idle}",
                    rule.source,
                    rule.id,
                    response.name(),
                    stands.name()
                ));
            }
            for (what, hint) in idle_places(&rule.scope) {
                remarks.push(format!("{}: rule `{}`: {what}; {hint}", rule.source, rule.id));
            }
            if let Some(hour) = rule.schedule.as_ref().and_then(Schedule::is_whole_day) {
                let day = format!("its schedule is from {hour} to {hour}: a whole day");
                remarks.push(format!("{}: rule `{}`: {day}", rule.source, rule.id));
            }
            if rule.schedule.as_ref().is_some_and(|s| s.is_over(now)) {
                let over = "the last date of its schedule is over: it never holds again";
                remarks.push(format!("{}: rule `{}`: {over}", rule.source, rule.id));
            }
        }
        if self.guards().caps.adds_per_minute == 0 {
            remarks.push("guards: max_adds_per_minute is 0: no device is ever told of anybody".to_owned());
        }
        remarks
    }
}

/// Hosts and endpoints that likely are not meant so, with a hint.
fn idle_places(scope: &RuleScope) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for host in &scope.hosts {
        if host.strip_prefix("*.").unwrap_or(host).contains('*') {
            let what = format!("no host is called `{host}`");
            found.push((what, "`*` stands in front alone: *.shop.example".to_owned()));
        }
    }
    for endpoint in &scope.endpoints {
        let Some((method, _)) = endpoint.split_once(' ').filter(|(m, _)| *m != "*") else { continue };
        let upper = method.to_uppercase();
        if !METHODS.contains(&upper.as_str()) {
            let near = nearest(&upper, METHODS.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            let hint = near.unwrap_or_else(|| "GET, POST, …, or * for any".to_owned());
            found.push((format!("no method is called `{method}` (`{endpoint}`)"), hint));
        }
    }
    found
}
