use std::collections::BTreeMap;
use std::sync::Arc;

use sidetap_model::rows::FindingRow;
use sidetap_model::{EndpointId, EndpointRef, FlowId, Ts, Zone};
use sidetap_wire::body::hash_str;

use crate::attempt::Attempt;
use crate::class::Class;
use crate::pack::{Pack, RuleId};

/// Findings kept.
const FINDING_LIMIT: usize = 10_000;
/// Exchanges kept as evidence of a finding.
const EVIDENCE_LIMIT: usize = 5;
/// Places kept of a finding.
const PLACE_LIMIT: usize = 8;
/// Endpoints named as examples in a finding about a host.
const EXAMPLE_LIMIT: usize = 4;
/// Endpoints of a host at which a rule may fit without proof before they are told as one finding about the host.
const SPREAD_LIMIT: usize = 5;

/// What was tried where: findings by endpoint and rule. Fed in order of time by one thread.
///
/// What stands in a path, or only says who asks, is told by host: the path is the attacker's, not the site's. So is what
/// is tried at more than five endpoints of a host. An attempt of which the answer shows that it worked is
/// told of the endpoint that let it.
#[derive(Debug)]
pub struct Inventory {
    pack: Arc<Pack>,
    findings: BTreeMap<Key, Finding>,
    names: BTreeMap<EndpointId, EndpointRef>,
    evicted: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    zone: Zone,
    about: About,
    rule: RuleId,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum About {
    Endpoint(EndpointId),
    Host(Arc<str>),
}

#[derive(Debug)]
struct Finding {
    count: u64,
    answered: u64,
    observed: u64,
    first: Ts,
    last: Ts,
    places: Vec<String>,
    snippet: String,
    examples: Vec<(Ts, EndpointId)>,
    evidence: Vec<(Ts, FlowId, u32)>,
    proof_evidence: Vec<(Ts, FlowId, u32)>,
    proof: Option<RuleId>,
}

impl Finding {
    fn new(ts: Ts) -> Self {
        Finding {
            count: 0,
            answered: 0,
            observed: 0,
            first: ts,
            last: ts,
            places: Vec::new(),
            snippet: String::new(),
            examples: Vec::new(),
            evidence: Vec::new(),
            proof_evidence: Vec::new(),
            proof: None,
        }
    }

    fn add(&mut self, attempt: &Attempt, endpoint: EndpointId, ts: Ts, exchange: (FlowId, u32)) {
        self.count += 1;
        self.answered += u64::from(attempt.answered);
        self.first = self.first.min(ts);
        self.last = self.last.max(ts);
        if self.places.len() < PLACE_LIMIT && !self.places.contains(&attempt.location) {
            self.places.push(attempt.location.chars().take(120).collect());
        }
        if self.snippet.is_empty() {
            self.snippet.clone_from(&attempt.snippet);
        }
        if self.examples.len() < EXAMPLE_LIMIT && self.examples.iter().all(|(_, e)| *e != endpoint) {
            self.examples.push((ts, endpoint));
        }
        let id = (ts, exchange.0, exchange.1);
        if let Some(proof) = attempt.proof {
            self.observed += 1;
            self.proof = Some(self.proof.map_or(proof, |p| p.min(proof)));
            keep(&mut self.proof_evidence, id);
        }
        keep(&mut self.evidence, id);
    }

    fn merge(&mut self, other: &Finding) {
        self.count += other.count;
        self.answered += other.answered;
        self.observed += other.observed;
        let earlier = (other.first, &other.snippet) < (self.first, &self.snippet);
        if !other.snippet.is_empty() && (earlier || self.snippet.is_empty()) {
            self.snippet.clone_from(&other.snippet);
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.places.extend_from_slice(&other.places);
        self.places.sort();
        self.places.dedup();
        self.places.truncate(PLACE_LIMIT);
        self.examples.extend_from_slice(&other.examples);
        self.tidy_examples();
        self.proof = self.proof.into_iter().chain(other.proof).min();
        other.evidence.iter().for_each(|e| keep(&mut self.evidence, *e));
        other.proof_evidence.iter().for_each(|e| keep(&mut self.proof_evidence, *e));
    }

    /// Each once, the earliest.
    fn tidy_examples(&mut self) {
        self.examples.sort_unstable();
        let mut seen: Vec<EndpointId> = Vec::new();
        self.examples.retain(|(_, id)| {
            !seen.contains(id) && {
                seen.push(*id);
                true
            }
        });
        self.examples.truncate(EXAMPLE_LIMIT);
    }
}

/// What was sent, quoted by what does not stand in it; where nothing of it may be shown, that.
fn shown(snippet: &str) -> String {
    match snippet.trim() {
        "" => ", what was sent is struck out".to_owned(),
        text if text.contains('`') => format!(", as in “{text}”"),
        text => format!(", as in `{text}`"),
    }
}

/// Keeps the earliest.
fn keep(list: &mut Vec<(Ts, FlowId, u32)>, id: (Ts, FlowId, u32)) {
    if let Err(at) = list.binary_search(&id)
        && at < EVIDENCE_LIMIT
    {
        list.insert(at, id);
        list.truncate(EVIDENCE_LIMIT);
    }
}

impl Inventory {
    /// An empty one.
    pub fn new(pack: &Arc<Pack>) -> Self {
        Inventory { pack: Arc::clone(pack), findings: BTreeMap::new(), names: BTreeMap::new(), evicted: 0 }
    }

    /// Adds the attempts of one exchange. Past the limit they are told by host, and past that not at all, and counted.
    pub fn add(
        &mut self,
        endpoint: &EndpointRef,
        zone: &Zone,
        ts: Ts,
        exchange: (FlowId, u32),
        attempts: &[Attempt],
    ) {
        for attempt in attempts {
            let host = || About::Host(Arc::clone(&endpoint.host));
            let full = self.findings.len() >= FINDING_LIMIT;
            let about = if self.is_about_host(attempt) { host() } else { About::Endpoint(endpoint.id) };
            let mut key = Key { zone: *zone, about, rule: attempt.rule };
            if full && !self.findings.contains_key(&key) {
                key.about = host();
                if !self.findings.contains_key(&key) {
                    self.evicted += 1;
                    continue;
                }
            }
            let finding = self.findings.entry(key).or_insert_with(|| Finding::new(ts));
            finding.add(attempt, endpoint.id, ts, exchange);
            if finding.examples.iter().any(|(_, e)| *e == endpoint.id) {
                self.names.entry(endpoint.id).or_insert_with(|| endpoint.clone());
            }
        }
    }

    /// True of what says nothing about the endpoint asked for: a path that nobody serves, a tool that names itself.
    fn is_about_host(&self, attempt: &Attempt) -> bool {
        let says_who = attempt.class == Class::VulnScan || attempt.location == "header:user-agent";
        attempt.proof.is_none() && (says_who || attempt.location == "path")
    }

    /// Endpoints that got other names or became one: old id, new endpoint.
    pub fn rename(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        let mut changed = false;
        for (old, new) in renames {
            if self.names.remove(old).is_none() {
                continue;
            }
            changed = true;
            self.names.insert(new.id, new.clone());
            let moved: Vec<Key> =
                self.findings.keys().filter(|k| k.about == About::Endpoint(*old)).cloned().collect();
            for key in moved {
                let Some(finding) = self.findings.remove(&key) else { continue };
                let to = Key { about: About::Endpoint(new.id), ..key };
                match self.findings.get_mut(&to) {
                    Some(known) => known.merge(&finding),
                    None => {
                        self.findings.insert(to, finding);
                    }
                }
            }
        }
        if changed {
            self.rename_examples(renames);
        }
    }

    fn rename_examples(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        let to: BTreeMap<EndpointId, EndpointId> = renames.iter().map(|(old, new)| (*old, new.id)).collect();
        for finding in self.findings.values_mut() {
            for (_, id) in &mut finding.examples {
                *id = to.get(id).copied().unwrap_or(*id);
            }
            finding.tidy_examples();
        }
    }

    /// Attempts left out for the limit.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Everything, by host, endpoint and rule.
    pub fn rows(&self) -> Vec<FindingRow> {
        let wide = self.wide();
        let mut rows: Vec<FindingRow> = self
            .findings
            .iter()
            .filter(|(key, finding)| !self.host_key(key, finding).is_some_and(|k| wide.contains_key(&k)))
            .chain(&wide)
            .filter_map(|(k, f)| self.row(k, f))
            .collect();
        rows.sort_by(|a, b| (&a.subject, &a.rule, &a.id).cmp(&(&b.subject, &b.rule, &b.id)));
        rows
    }

    /// What was tried at many endpoints of a host and nowhere shown to work, as one.
    fn wide(&self) -> BTreeMap<Key, Finding> {
        let mut groups: BTreeMap<Key, Vec<&Finding>> = BTreeMap::new();
        for (key, finding) in &self.findings {
            if let Some(host) = self.host_key(key, finding) {
                groups.entry(host).or_default().push(finding);
            }
        }
        groups.retain(|_, group| group.len() > SPREAD_LIMIT);
        let merge = |group: Vec<&Finding>| {
            let mut whole = Finding::new(group.iter().map(|f| f.first).min().unwrap_or_default());
            group.iter().for_each(|finding| whole.merge(finding));
            whole
        };
        groups.into_iter().map(|(key, group)| (key, merge(group))).collect()
    }

    /// The key under which a finding without proof is told where it is one of many of its host.
    fn host_key(&self, key: &Key, finding: &Finding) -> Option<Key> {
        let host = match &key.about {
            _ if finding.proof.is_some() => return None,
            About::Endpoint(id) => Arc::clone(&self.names.get(id)?.host),
            About::Host(host) => Arc::clone(host),
        };
        Some(Key { about: About::Host(host), ..key.clone() })
    }

    fn row(&self, key: &Key, finding: &Finding) -> Option<FindingRow> {
        let rule = self.pack.get(key.rule)?;
        let mut subject = BTreeMap::from([("zone".to_owned(), key.zone.to_string())]);
        let about = match &key.about {
            About::Host(host) => {
                subject.insert("host".to_owned(), host.to_string());
                host.to_string()
            }
            About::Endpoint(id) => {
                let name = self.names.get(id)?;
                subject.insert("endpoint".to_owned(), id.to_string());
                subject.insert("host".to_owned(), name.host.to_string());
                subject.insert("method".to_owned(), name.method.to_string());
                subject.insert("template".to_owned(), name.template.to_string());
                format!("{} {}{}", name.method, name.host, name.template)
            }
        };
        let observed = finding.proof.is_some();
        let evidence = if observed { &finding.proof_evidence } else { &finding.evidence };
        Some(FindingRow {
            id: format!("{:016x}", hash_str(&format!("{} {about} {}", rule.id, key.zone))),
            kind: "exploit".to_owned(),
            rule: rule.id.clone(),
            severity: self.severity(finding, &rule.severity),
            certainty: if observed { "observed" } else { "suspected" }.to_owned(),
            owasp: rule.owasp.clone(),
            subject,
            title: format!("{}: {about}", rule.title),
            detail: self.detail(key, finding, &rule.description),
            evidence: evidence.iter().map(|(_, flow, seq)| format!("{flow}-{seq}")).collect(),
            first_seen: finding.first,
            last_seen: finding.last,
            count: finding.count,
        })
    }

    /// As the rule says, where the answer proves it; a step less where it was only tried, two where it was refused.
    fn severity(&self, finding: &Finding, rule: &str) -> String {
        const LEVELS: [&str; 5] = ["info", "low", "medium", "high", "critical"];
        let level = LEVELS.iter().position(|l| *l == rule).unwrap_or(2);
        let less = if finding.proof.is_some() {
            0
        } else if finding.answered > 0 {
            1
        } else {
            2
        };
        LEVELS
            .get(level.saturating_sub(less).max(usize::from(level > 0)))
            .copied()
            .unwrap_or("low")
            .to_owned()
    }

    fn detail(&self, key: &Key, finding: &Finding, description: &str) -> String {
        let proof = finding.proof.and_then(|p| self.pack.get(p));
        let outcome = match proof {
            Some(proof) => format!("{} answers show that it worked: {}.", finding.observed, proof.title),
            None if finding.answered > 0 => {
                format!(
                    "{} of them were answered as if nothing were wrong; nothing shows that it worked.",
                    finding.answered
                )
            }
            None => "All were refused, or not answered.".to_owned(),
        };
        let times = if finding.count == 1 { "Once".to_owned() } else { format!("{} times", finding.count) };
        format!(
            "{times} at {}{}{}. {outcome} {description}",
            finding.places.join(", "),
            shown(&finding.snippet),
            self.examples(key, finding)
        )
    }

    /// Where on a host, by a few endpoints.
    fn examples(&self, key: &Key, finding: &Finding) -> String {
        if matches!(key.about, About::Endpoint(_)) {
            return String::new();
        }
        let names: Vec<String> = finding
            .examples
            .iter()
            .filter_map(|(_, id)| self.names.get(id))
            .map(|name| format!("{} {}", name.method, name.template))
            .collect();
        if names.is_empty() { String::new() } else { format!(", of {}", names.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: u64) -> EndpointRef {
        EndpointRef::new(EndpointId(id), "h", "GET", "/a")
    }

    fn attempt(rule: u16, location: &str, proof: Option<RuleId>) -> Attempt {
        let class = Class::Sqli;
        Attempt {
            class,
            rule: RuleId(rule),
            location: location.into(),
            snippet: "x".into(),
            answered: true,
            proof,
        }
    }

    #[test]
    fn findings_are_told_by_endpoint_and_rule() {
        let pack = Arc::new(Pack::builtin().unwrap());
        let mut inventory = Inventory::new(&pack);
        let zone = Zone::default();
        inventory.add(&endpoint(1), &zone, Ts(5), (FlowId(1), 0), &[attempt(0, "query:q", None)]);
        inventory.add(&endpoint(2), &zone, Ts(3), (FlowId(2), 0), &[attempt(0, "query:q", Some(RuleId(1)))]);
        inventory.add(&endpoint(3), &zone, Ts(4), (FlowId(3), 0), &[attempt(0, "path", None)]);
        assert_eq!(inventory.rows().len(), 3);
        inventory.rename(&[(EndpointId(1), endpoint(9)), (EndpointId(2), endpoint(9))]);
        let rows = inventory.rows();
        assert_eq!(rows.len(), 2);
        let row = rows.iter().find(|r| r.subject.contains_key("endpoint")).unwrap();
        assert_eq!((row.count, row.first_seen, row.certainty.as_str()), (2, Ts(3), "observed"));
        assert_eq!(row.evidence, ["0000000000000002-0"]);
    }

    #[test]
    fn what_is_tried_everywhere_is_one_finding_and_what_worked_keeps_its_endpoint() {
        let pack = Arc::new(Pack::builtin().unwrap());
        let mut inventory = Inventory::new(&pack);
        let zone = Zone::default();
        let scan = Attempt { class: Class::VulnScan, ..attempt(3, "header:user-agent", None) };
        for id in 0..700 {
            let exchange = (FlowId(id), 0);
            inventory.add(&endpoint(id), &zone, Ts(id as i64), exchange, std::slice::from_ref(&scan));
            inventory.add(&endpoint(id), &zone, Ts(id as i64), exchange, &[attempt(0, "query:q", None)]);
            inventory.add(&endpoint(id), &zone, Ts(id as i64), exchange, &[attempt(1, "path", None)]);
        }
        for id in [3, 4] {
            let worked = attempt(1, "path", Some(RuleId(2)));
            inventory.add(&endpoint(id), &zone, Ts(800), (FlowId(id), 1), &[worked]);
        }
        inventory.rename(&[(EndpointId(1), endpoint(9_000))]);
        let rows = inventory.rows();
        let (of_host, of_endpoint): (Vec<_>, Vec<_>) =
            rows.iter().partition(|r| !r.subject.contains_key("endpoint"));
        assert_eq!((of_host.len(), of_endpoint.len()), (3, 2), "{rows:#?}");
        for row in of_host {
            assert_eq!(
                (row.count, row.evidence.len(), row.certainty.as_str()),
                (700, EVIDENCE_LIMIT, "suspected")
            );
            assert_eq!(row.detail.matches("GET /a").count(), EXAMPLE_LIMIT, "{}", row.detail);
        }
        assert!(of_endpoint.iter().all(|r| r.certainty == "observed" && r.count == 1));
    }

    #[test]
    fn what_was_sent_is_quoted_or_said_to_be_struck_out() {
        let told = |snippets: &[&str]| {
            let mut inventory = Inventory::new(&Arc::new(Pack::builtin().unwrap()));
            for (n, snippet) in snippets.iter().enumerate() {
                let sent = Attempt { snippet: (*snippet).into(), ..attempt(0, "query:q", None) };
                inventory.add(&endpoint(1), &Zone::default(), Ts(n as i64), (FlowId(1), 0), &[sent]);
            }
            inventory.rows().remove(0).detail
        };
        assert!(told(&["' or 1"]).starts_with("Once at query:q, as in `' or 1`. "));
        assert!(told(&["", "x"]).starts_with("2 times at query:q, as in `x`. "));
        assert!(told(&[" "]).starts_with("Once at query:q, what was sent is struck out. "));
        assert!(told(&["`sleep 6"]).starts_with("Once at query:q, as in “`sleep 6”. "));
    }

    #[test]
    fn a_flood_of_endpoints_is_bounded() {
        let pack = Arc::new(Pack::builtin().unwrap());
        let mut inventory = Inventory::new(&pack);
        for id in 0..(FINDING_LIMIT as u64 + 50) {
            inventory.add(
                &endpoint(id),
                &Zone::default(),
                Ts(1),
                (FlowId(1), 0),
                &[attempt(0, "query:q", None)],
            );
        }
        assert_eq!((inventory.findings.len(), inventory.evicted()), (FINDING_LIMIT, 50));
        let rows = inventory.rows();
        assert_eq!((rows.len(), rows.first().map(|r| r.count)), (1, Some(FINDING_LIMIT as u64)));
    }
}
