//! What rules say that can be meant and is likely not.

use sidetap_model::{SubjectKind, Ts, nearest};

use crate::decide::PolicySet;
use crate::facts::{CLASSES, INTENTS, PHASES};
use crate::pack::{CHANNELS, ROLES, Rule};
use crate::rule_scope::RuleScope;
use crate::schedule::Schedule;
use crate::{Response, format_ttl};

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
    /// A remark on one of its parts, with its place.
    fn remark(&self, part: &str, what: &str) -> String {
        let place = self.at.get(part).map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        format!("{}{place}: rule `{}`: {what}", self.source, self.id)
    }

    /// What its steps do not do: a response that is no stronger than the one that stands by then, a shorter time.
    fn idle_steps(&self) -> Vec<String> {
        let mut stands = self.responses.first().copied().unwrap_or_default();
        let (mut idle, mut ttl_s) = (Vec::new(), self.ttl_s);
        for step in self.escalation.iter().flat_map(|e| &e.steps) {
            match step.response {
                Some(response) if response > stands => stands = response,
                Some(response) => idle.push(format!(
                    "an escalation to `{}` is no stronger than `{}`, and is never used: of the step its `ttl` alone counts",
                    response.name(),
                    stands.name()
                )),
                None => {}
            }
            match step.ttl_s {
                Some(shorter) if shorter < ttl_s => idle.push(format!(
                    "a step of {} is shorter than the {} before it: who is at it again is let go sooner",
                    format_ttl(shorter),
                    format_ttl(ttl_s)
                )),
                _ => {}
            }
            ttl_s = step.ttl_s.unwrap_or(ttl_s);
        }
        idle
    }

    /// How it wants responses done that it does not ask for.
    fn idle_ways(&self) -> Vec<(&'static str, &'static str)> {
        let of_steps = self.escalation.iter().flat_map(|e| &e.steps).filter_map(|s| s.response);
        let all: Vec<Response> = self.responses.iter().copied().chain(of_steps).collect();
        let how = &self.how;
        let ways = [
            ("rate", how.rate.is_some(), Response::RateLimit),
            ("delay", how.delay_ms.is_some(), Response::Tarpit),
            ("decoy", how.decoy.is_some(), Response::Deceive),
            ("tag", how.tag.is_some(), Response::Tag),
            ("countries", !how.countries.is_empty(), Response::GeoFence),
        ];
        let is_idle = |(_, is_there, response): &(_, bool, Response)| *is_there && !all.contains(response);
        ways.into_iter().filter(is_idle).map(|(key, _, response)| (key, response.name())).collect()
    }

    /// What it says of itself that is likely not meant.
    fn own_remarks(&self, now: Ts) -> Vec<String> {
        let mut told: Vec<String> = self.idle_steps().iter().map(|what| self.remark("steps", what)).collect();
        for (key, response) in self.idle_ways() {
            told.push(
                self.remark(
                    key,
                    &format!("`{key}` says how to `{response}`, which is none of its responses"),
                ),
            );
        }
        if self.names_nobody {
            told.push(self.remark("subjects", "no subject is named: it acts on whom the verdict names"));
        }
        for (part, what, hint) in idle_places(&self.scope) {
            told.push(self.remark(part, &format!("{what}; {hint}")));
        }
        if let Some(hour) = self.schedule.as_ref().and_then(Schedule::is_whole_day) {
            let day = format!("its schedule is from {hour} to {hour}: a whole day");
            told.push(self.remark("schedule", &day));
        }
        if self.schedule.as_ref().is_some_and(|s| s.is_over(now)) {
            told.push(self.remark("schedule", "the last date of its schedule is over: it never holds again"));
        }
        told
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
            for (what, at) in rule.when.idle() {
                let (line, column) = rule.when_at.place(at);
                remarks.push(format!("{}:{line}:{column}: rule `{}`: {what}", rule.source, rule.id));
            }
            remarks.extend(rule.own_remarks(now));
        }
        if self.guards().caps.adds_per_minute == 0 {
            remarks.push("guards: max_adds_per_minute is 0: no device is ever told of anybody".to_owned());
        }
        remarks
    }
}

/// Hosts and endpoints that likely are not meant so, with the part of the rule that they stand in and a hint.
fn idle_places(scope: &RuleScope) -> Vec<(&'static str, String, String)> {
    let mut found = Vec::new();
    for host in &scope.hosts {
        if host.strip_prefix("*.").unwrap_or(host).contains('*') {
            let what = format!("no host is called `{host}`");
            found.push(("hosts", what, "`*` stands in front alone: *.shop.example".to_owned()));
        }
    }
    for endpoint in &scope.endpoints {
        let Some((method, _)) = endpoint.split_once(' ').filter(|(m, _)| *m != "*") else { continue };
        let upper = method.to_uppercase();
        if !METHODS.contains(&upper.as_str()) {
            let near = nearest(&upper, METHODS.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            let hint = near.unwrap_or_else(|| "GET, POST, …, or * for any".to_owned());
            found.push(("endpoints", format!("no method is called `{method}` (`{endpoint}`)"), hint));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks(rules: &str) -> Vec<String> {
        let set = PolicySet::parse(&format!("version: 1\nrules:\n{rules}"), "p.yaml").unwrap();
        set.remarks(Ts::from_parts(1_700_000_000, 0), &Vocabulary::default())
    }

    #[test]
    fn only_what_a_rule_says_is_remarked_on() {
        let rule = "  - id: slow\n    when: 'true'\n    response: tarpit\n    ttl: 1h\n    description: |\n      tag: none\n      subjects: all\n";
        let request = "requests:\n  - id: login\n    match: {path: /login}\n    response: rate-limit\n    rate: 5/1m\n    ttl: 1h\n";
        assert_eq!(remarks(&format!("{rule}{request}")), [""; 0]);
        let told = remarks("  - {id: a, when: 'true', response: block, rate: 5/1m, ttl: 1h, subjects: []}\n");
        assert_eq!(told.len(), 2, "in one line as well: {told:?}");
    }
}
