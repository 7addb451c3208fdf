//! What policy would have done to traffic that was stored: request by request, device by device.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use sidetap_model::Ts;
use sidetap_model::rows::VerdictRow;

use crate::places::covers;
use crate::reach::Reach;
use crate::seen::{ExchangeLine, Index};
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
    response: Response,
    scope: sidetap_model::Scope,
    zone: Option<String>,
    rule: String,
    from: Ts,
    until: Ts,
}

struct Held {
    index: Index,
    entries: Vec<Entry>,
    report: DeviceReport,
}

/// A run of policy over requests.
pub struct Simulation {
    devices: Vec<Held>,
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
        let standing = set.standing(Ts::default(), traffic);
        let devices = devices.iter().map(|d| held(d, verdicts, &standing)).collect();
        Simulation { devices }
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
        self.devices.iter_mut().map(|d| d.see(line, requests, behind, class)).collect()
    }

    /// The sums, in the order of the devices.
    pub fn report(self) -> Vec<DeviceReport> {
        self.devices.into_iter().map(|d| d.report).collect()
    }
}

fn held(device: &Device, verdicts: &[VerdictRow], standing: &[VerdictRow]) -> Held {
    let report = DeviceReport { name: device.name.clone(), ..DeviceReport::default() };
    let mut held = Held { index: Index::default(), entries: Vec::new(), report };
    let rows = verdicts.iter().map(|v| (v, false)).chain(standing.iter().map(|v| (v, true)));
    let mut subjects = BTreeSet::new();
    for (v, always) in rows.filter(|(v, _)| v.response.parse::<Response>().is_ok_and(Response::acts)) {
        if !v.zone.is_empty() && !device.zones.is_empty() && !device.zones.contains(&v.zone) {
            *held.report.cannot.entry(format!("it stands outside of zone {}", v.zone)).or_default() += 1;
            continue;
        }
        match device.reach.choose(v) {
            Err(why) => *held.report.cannot.entry(why).or_default() += 1,
            Ok(chosen) => {
                held.index.add(&chosen.subject);
                let ttl = i64::try_from(v.ttl_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
                let from = v.detected_at.plus(device.delay_ms.saturating_mul(1_000_000));
                held.entries.push(Entry {
                    response: chosen.response,
                    scope: chosen.scope,
                    zone: Some(v.zone.clone()).filter(|z| !z.is_empty()),
                    rule: v.policy.clone().unwrap_or_default(),
                    from: if always { Ts(i64::MIN) } else { from },
                    until: if always { Ts(i64::MAX) } else { v.last_seen.max(from).plus(ttl) },
                });
                subjects.insert(chosen.subject);
            }
        }
    }
    held.report.entries = subjects.len();
    held
}

impl Held {
    fn see(
        &mut self,
        line: &ExchangeLine,
        requests: u64,
        behind: Behind,
        class: Option<&str>,
    ) -> Option<Effect> {
        let seen = &line.seen;
        let hits = self.index.matching(seen);
        let hits = hits.into_iter().filter_map(|n| self.entries.get(n as usize)).filter(|e| {
            e.zone.as_ref().is_none_or(|z| **z == *seen.zone)
                && line.ts < e.until
                && covers(&e.scope, Some(&seen.method), &seen.host, &seen.path)
        });
        let (mut early, mut live): (Option<&Entry>, Option<&Entry>) = (None, None);
        for e in hits {
            if early.is_none_or(|old| e.response > old.response) {
                early = Some(e);
            }
            if line.ts >= e.from && live.is_none_or(|old| e.response > old.response) {
                live = Some(e);
            }
        }
        let effect = live.or(early).map(|e| Effect {
            response: e.response,
            rule: e.rule.clone(),
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
