//! What the honest part of the population looks like: learned from clients that behave as browsers and apps do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::unit::Unit;
use crate::agent::AgentKind;
use crate::observation::{Robots, Traits};

/// Traits of browsers that load pages with their assets, by family; of apps that use their host widely, by host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Population {
    browsers: BTreeMap<String, Browsers>,
    apps: BTreeMap<u64, Apps>,
    robots: BTreeMap<String, Robots>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Browsers {
    n: u32,
    sec_fetch: u32,
    hints: u32,
    host_late: u32,
    connection: u32,
    majors: BTreeMap<u16, u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Apps {
    n: u32,
    own_headers: u32,
}

/// Hosts, families and versions kept.
const KEPT: usize = 4096;

impl Population {
    /// A browser has shown that it is one.
    pub(crate) fn learn_browser(&mut self, unit: &Unit) {
        if !self.browsers.contains_key(&unit.agent.family) && self.browsers.len() >= KEPT {
            return;
        }
        let b = self.browsers.entry(unit.agent.family.clone()).or_default();
        b.n += 1;
        b.sec_fetch += u32::from(unit.any.has(Traits::SEC_FETCH));
        b.hints += u32::from(unit.any.has(Traits::CLIENT_HINTS));
        b.host_late += u32::from(unit.any.has(Traits::HOST_LATE));
        b.connection += u32::from(!unit.all.has(Traits::CONNECTION_MISSING));
        if b.majors.len() < 256 || b.majors.contains_key(&unit.agent.major) {
            *b.majors.entry(unit.agent.major).or_default() += 1;
        }
    }

    /// An app has shown that it is one.
    pub(crate) fn learn_app(&mut self, unit: &Unit) {
        if !self.apps.contains_key(&unit.host) && self.apps.len() >= KEPT {
            return;
        }
        let a = self.apps.entry(unit.host).or_default();
        a.n += 1;
        a.own_headers += u32::from(unit.all.has(Traits::APP_HEADERS));
    }

    /// The rules that a host gave.
    pub(crate) fn learn_robots(&mut self, host: &str, robots: Robots) {
        if self.robots.contains_key(host) || self.robots.len() < KEPT {
            self.robots.insert(host.into(), robots);
        }
    }

    /// True where the host's robots.txt forbids the agent the path; nothing where none was seen.
    pub(crate) fn forbids(&self, host: &str, agent: &str, path: &str) -> Option<bool> {
        self.robots.get(host).map(|r| r.forbids(agent, path))
    }

    /// Share of browsers of the same family with a trait; where three and more are known.
    fn browsers(&self, unit: &Unit, pick: impl Fn(&Browsers) -> u32) -> Option<f64> {
        let b = self.browsers.get(&unit.agent.family)?;
        (b.n >= 3).then(|| f64::from(pick(b)) / f64::from(b.n))
    }

    pub(crate) fn lacks_sec_fetch(&self, unit: &Unit) -> Option<bool> {
        let share = self.browsers(unit, |b| b.sec_fetch)?;
        (share >= 0.6).then(|| !unit.any.has(Traits::SEC_FETCH))
    }

    pub(crate) fn lacks_hints(&self, unit: &Unit) -> Option<bool> {
        let share = self.browsers(unit, |b| b.hints)?;
        (share >= 0.6 && unit.agent.is_chromium()).then(|| !unit.any.has(Traits::CLIENT_HINTS))
    }

    /// Nothing where a hop reorders for everybody.
    pub(crate) fn host_late(&self, unit: &Unit) -> Option<bool> {
        let share = self.browsers(unit, |b| b.host_late).unwrap_or(0.0);
        (share <= 0.2).then(|| unit.all.has(Traits::HOST_LATE))
    }

    pub(crate) fn connection_missing(&self, unit: &Unit) -> Option<bool> {
        let share = self.browsers(unit, |b| b.connection)?;
        (share >= 0.8).then(|| unit.all.has(Traits::CONNECTION_MISSING))
    }

    /// Major versions behind the newest that three and more browsers have (negative: ahead).
    pub(crate) fn behind(&self, unit: &Unit) -> Option<i32> {
        let b = self.browsers.get(&unit.agent.family)?;
        let newest = b.majors.iter().rev().find(|(_, n)| **n >= 3).map(|(m, _)| *m)?;
        (unit.agent.major > 0).then(|| i32::from(newest) - i32::from(unit.agent.major))
    }

    pub(crate) fn lacks_app_headers(&self, unit: &Unit) -> Option<bool> {
        let a = self.apps.get(&unit.host)?;
        let usual = a.n >= 5 && f64::from(a.own_headers) >= 0.8 * f64::from(a.n);
        (usual && unit.agent.kind == AgentKind::AppLibrary).then(|| !unit.any.has(Traits::APP_HEADERS))
    }
}
