//! What policy would have done to traffic that was stored: request by request, device by device.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use sidetap_model::Ts;
use sidetap_model::rows::{Subject, VerdictRow};

use crate::places::covers;
use crate::reach::Reach;
use crate::seen::{ExchangeLine, Index};
use crate::sieve::Sieve;
use crate::traffic::{Behind, Traffic};
use crate::{PolicySet, Response};

/// A device, or a kind of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// What it can compare and do.
    pub reach: Reach,
    /// Zones whose clients reach it; empty: all.
    pub zones: Vec<String>,
    /// Milliseconds from a verdict to its effect.
    pub delay_ms: i64,
}

/// Requests, and what was done to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All.
    pub requests: u64,
    /// Refused, sent to a decoy or asked a puzzle, from the verdict on.
    pub stopped: u64,
    /// Slowed or marked, from the verdict on.
    pub slowed: u64,
    /// Stopped or slowed had the entry been there from the first request.
    pub known_before: u64,
}

/// What one device would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceReport {
    /// Its name.
    pub name: String,
    /// Entries that it would have held.
    pub entries: usize,
    /// Verdicts that it cannot be told, by reason.
    pub cannot: BTreeMap<String, u64>,
    /// Verdicts that it is told of in part or in another form, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weaker: BTreeMap<String, u64>,
    /// Requests of who was convicted.
    pub malicious: Tally,
    /// Requests of who was not convicted, only suspected.
    pub suspicious: Tally,
    /// All other requests.
    pub good: Tally,
    /// Addresses of good clients that would have been stopped.
    pub good_addresses: BTreeSet<IpAddr>,
    /// Malicious requests by class.
    pub classes: BTreeMap<String, Tally>,
    /// Requests hit by rule.
    pub rules: BTreeMap<String, u64>,
}

struct Entry {
    /// Of equal ones the first counts.
    number: u32,
    response: Response,
    scope: sidetap_model::Scope,
    zone: Option<Arc<str>>,
    rule: Arc<str>,
    from: Ts,
    until: Ts,
}

struct Held {
    device: Device,
    /// By the number of the subject.
    entries: HashMap<u32, Vec<Entry>>,
    /// Hashes of all subjects that it would hold.
    subjects: HashSet<u64>,
    report: DeviceReport,
}

/// A run of policy over requests.
pub struct Simulation {
    devices: Vec<Held>,
    told: Told,
    among: Option<Arc<Sieve>>,
}

/// What devices are told of, kept once for all of them.
#[derive(Default)]
struct Told {
    index: Index,
    subjects: HashMap<Subject, u32>,
    texts: HashSet<Arc<str>>,
    entries: u32,
}

/// What a device would have done to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// What.
    pub response: Response,
    /// By which rule.
    pub rule: String,
    /// Only had the entry been there before its verdict.
    pub too_late: bool,
}

impl Simulation {
    /// What these verdicts, as policy decided them, and its rules over requests ask of devices.
    pub fn new(
        verdicts: &[VerdictRow],
        set: &PolicySet,
        traffic: Option<&Traffic>,
        devices: &[Device],
    ) -> Self {
        let mut simulation = Simulation::on(devices, None);
        verdicts.iter().for_each(|v| simulation.add(v));
        simulation.stand(set, traffic);
        simulation
    }

    /// One of these devices, that nothing is asked of yet. Entries that no request fits of those that `among` took in are counted
    /// and not kept.
    pub fn on(devices: &[Device], among: Option<Arc<Sieve>>) -> Self {
        let devices = devices.iter().map(Held::of).collect();
        Simulation { devices, told: Told::default(), among }
    }

    /// Adds what a verdict asks for, as policy decided it.
    pub fn add(&mut self, v: &VerdictRow) {
        self.tell(v, false);
    }

    /// Adds what rules over requests ask for: after all verdicts.
    pub fn stand(&mut self, set: &PolicySet, traffic: Option<&Traffic>) {
        set.standing(Ts::default(), traffic).iter().for_each(|v| self.tell(v, true));
    }

    fn tell(&mut self, v: &VerdictRow, always: bool) {
        if v.response.parse::<Response>().is_ok_and(Response::acts) {
            let among = self.among.as_deref();
            self.devices.iter_mut().for_each(|d| d.tell(v, always, &mut self.told, among));
        }
    }

    /// Takes a request in; gives what each device would have done.
    pub fn see(&mut self, line: &ExchangeLine, behind: Behind, class: Option<&str>) -> Vec<Option<Effect>> {
        self.see_many(line, 1, behind, class)
    }

    /// The same for several requests that are alike.
    pub fn see_many(
        &mut self,
        line: &ExchangeLine,
        requests: u64,
        behind: Behind,
        class: Option<&str>,
    ) -> Vec<Option<Effect>> {
        let fits = self.told.index.matching(&line.seen);
        self.devices.iter_mut().map(|d| d.see(line, &fits, requests, behind, class)).collect()
    }

    /// The sums, in the order of the devices.
    pub fn report(self) -> Vec<DeviceReport> {
        let report = |d: Held| DeviceReport { entries: d.subjects.len(), ..d.report };
        self.devices.into_iter().map(report).collect()
    }
}

impl Entry {
    fn beats(&self, other: &Entry) -> bool {
        self.response > other.response || (self.response == other.response && self.number < other.number)
    }
}

impl Told {
    fn subject(&mut self, subject: Subject) -> u32 {
        if let Some(known) = self.subjects.get(&subject) {
            return *known;
        }
        let number = self.index.add(&subject);
        self.subjects.insert(subject, number);
        number
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let fresh: Arc<str> = Arc::from(text);
        self.texts.insert(fresh.clone());
        fresh
    }
}

impl Held {
    fn of(device: &Device) -> Self {
        let report = DeviceReport { name: device.name.clone(), ..DeviceReport::default() };
        Held { device: device.clone(), entries: HashMap::new(), subjects: HashSet::new(), report }
    }

    fn tell(&mut self, v: &VerdictRow, always: bool, told: &mut Told, among: Option<&Sieve>) {
        let device = &self.device;
        if !v.zone.is_empty() && !device.zones.is_empty() && !device.zones.contains(&v.zone) {
            *self.report.cannot.entry(format!("it stands outside of zone {}", v.zone)).or_default() += 1;
            return;
        }
        let chosen = match device.reach.choose(v) {
            Ok(chosen) => chosen,
            Err(why) => {
                *self.report.cannot.entry(why).or_default() += 1;
                return;
            }
        };
        if !chosen.cannot.is_empty() {
            *self.report.weaker.entry(chosen.cannot.join("; ")).or_default() += 1;
        }
        let mut hasher = DefaultHasher::new();
        chosen.subject.hash(&mut hasher);
        self.subjects.insert(hasher.finish());
        if among.is_some_and(|sieve| !sieve.may_fit(&chosen.subject)) {
            return;
        }
        let ttl = i64::try_from(v.ttl_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        let from = v.detected_at.plus(device.delay_ms.saturating_mul(1_000_000));
        let entry = Entry {
            number: told.entries,
            response: chosen.response,
            scope: chosen.scope,
            zone: Some(v.zone.as_str()).filter(|z| !z.is_empty()).map(|z| told.text(z)),
            rule: told.text(v.policy.as_deref().unwrap_or_default()),
            from: if always { Ts(i64::MIN) } else { from },
            until: if always { Ts(i64::MAX) } else { v.last_seen.max(from).plus(ttl) },
        };
        told.entries += 1;
        self.entries.entry(told.subject(chosen.subject)).or_default().push(entry);
    }

    fn see(
        &mut self,
        line: &ExchangeLine,
        fits: &[u32],
        requests: u64,
        behind: Behind,
        class: Option<&str>,
    ) -> Option<Effect> {
        let seen = &line.seen;
        let hits = fits.iter().filter_map(|n| self.entries.get(n)).flatten().filter(|e| {
            e.zone.as_ref().is_none_or(|z| **z == *seen.zone)
                && line.ts < e.until
                && covers(&e.scope, Some(&seen.method), &seen.host, &seen.path)
        });
        let (mut early, mut live): (Option<&Entry>, Option<&Entry>) = (None, None);
        for e in hits {
            if early.is_none_or(|old| e.beats(old)) {
                early = Some(e);
            }
            if line.ts >= e.from && live.is_none_or(|old| e.beats(old)) {
                live = Some(e);
            }
        }
        let effect = live.or(early).map(|e| Effect {
            response: e.response,
            rule: e.rule.to_string(),
            too_late: live.is_none(),
        });
        self.count(seen.ip, effect.as_ref(), requests, behind, class);
        effect
    }

    fn count(&mut self, ip: IpAddr, effect: Option<&Effect>, n: u64, behind: Behind, class: Option<&str>) {
        let report = &mut self.report;
        let tally = match behind {
            Behind::Good => &mut report.good,
            Behind::Suspicious => &mut report.suspicious,
            Behind::Malicious => &mut report.malicious,
        };
        tally.add(effect, n);
        if behind == Behind::Malicious {
            report.classes.entry(class.unwrap_or("malicious").to_owned()).or_default().add(effect, n);
        }
        if let Some(effect) = effect.filter(|e| !e.too_late) {
            *report.rules.entry(effect.rule.clone()).or_default() += n;
            if behind == Behind::Good && stops(effect.response) {
                report.good_addresses.insert(ip);
            }
        }
    }
}

impl Tally {
    fn add(&mut self, effect: Option<&Effect>, n: u64) {
        self.requests += n;
        let Some(effect) = effect else { return };
        self.known_before += n;
        if !effect.too_late {
            let sum = if stops(effect.response) { &mut self.stopped } else { &mut self.slowed };
            *sum += n;
        }
    }

    /// Of all, the share that was stopped or slowed, from 0 to 1.
    pub fn share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { (self.stopped + self.slowed) as f64 / self.requests as f64 }
    }
}

/// Whether a request with this response does not reach what it asked for.
fn stops(response: Response) -> bool {
    matches!(response, Response::Block | Response::Deceive | Response::GeoFence | Response::Challenge)
}
