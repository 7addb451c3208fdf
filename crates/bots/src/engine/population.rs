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
    usual: BTreeMap<u8, u32>,
    majors: BTreeMap<u16, u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Apps {
    n: u32,
    own_headers: u32,
    usual: BTreeMap<u8, u32>,
}

/// Traits that are odd only where others do not have them.
const HABITS: [Traits; 10] = [
    Traits::LIBRARY_ORDER,
    Traits::APP_ORDER,
    Traits::CASE_MIXED,
    Traits::ENCODING_STALE,
    Traits::ORIGIN_MISSING,
    Traits::LANGUAGE_MISSING,
    Traits::BODY_SPACED,
    Traits::ACCEPT_MISSING,
    Traits::FEW_HEADERS,
    Traits::ALPHABETICAL,
];

fn count_traits(usual: &mut BTreeMap<u8, u32>, unit: &Unit) {
    for mark in HABITS {
        let body = mark == Traits::BODY_SPACED || mark == Traits::ORIGIN_MISSING;
        if if body { unit.any.has(mark) } else { unit.all.has(mark) } {
            *usual.entry(mark.0.trailing_zeros() as u8).or_default() += 1;
        }
    }
}

/// Hosts, families and versions kept.
const KEPT: usize = 4096;

impl Population {
    /// What was read from a file, within the limits that hold while learning.
    pub(crate) fn bounded(mut self) -> Self {
        fn cut<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, most: usize) {
            if let Some(from) = map.keys().nth(most).cloned() {
                map.split_off(&from);
            }
        }
        cut(&mut self.browsers, KEPT);
        cut(&mut self.apps, KEPT);
        cut(&mut self.robots, KEPT);
        for browsers in self.browsers.values_mut() {
            cut(&mut browsers.usual, HABITS.len());
            cut(&mut browsers.majors, 256);
        }
        self.apps.values_mut().for_each(|apps| cut(&mut apps.usual, HABITS.len()));
        self
    }

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
        count_traits(&mut b.usual, unit);
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
        count_traits(&mut a.usual, unit);
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

    /// Those that a client is compared with.
    pub(crate) fn peers(&self, unit: &Unit) -> Peers<'_> {
        Peers { browsers: self.browsers.get(&unit.agent.family), apps: self.apps.get(&unit.host) }
    }
}

/// Clients of good standing of the same family, and apps on the same host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peers<'a> {
    browsers: Option<&'a Browsers>,
    apps: Option<&'a Apps>,
}

impl Peers<'_> {
    /// Share of browsers of the same family with a trait; where three and more are known.
    fn browsers(&self, pick: impl Fn(&Browsers) -> u32) -> Option<f64> {
        let b = self.browsers?;
        (b.n >= 3).then(|| f64::from(pick(b)) / f64::from(b.n))
    }

    /// True where clients of good standing show the trait as well: a hop that rewrites heads, or a habit of the site's own
    /// scripts or app. Then it says nothing.
    pub(crate) fn is_usual(&self, unit: &Unit, mark: Traits) -> bool {
        let bit = mark.0.trailing_zeros() as u8;
        let share = |n: u32, usual: &BTreeMap<u8, u32>| {
            n >= 3 && usual.get(&bit).is_some_and(|c| u64::from(*c) * 5 > u64::from(n))
        };
        match unit.agent.kind {
            AgentKind::Browser => self.browsers.is_some_and(|b| share(b.n, &b.usual)),
            AgentKind::AppLibrary => self.apps.is_some_and(|a| share(a.n, &a.usual)),
            _ => false,
        }
    }

    /// True where browsers are known that load what belongs to pages: assets are in view of the mirror.
    pub(crate) fn sees_assets(&self) -> bool {
        self.browsers(|b| b.n).is_some()
    }

    pub(crate) fn lacks_sec_fetch(&self, unit: &Unit) -> Option<bool> {
        let share = self.browsers(|b| b.sec_fetch)?;
        (share >= 0.6).then(|| !unit.any.has(Traits::SEC_FETCH))
    }

    pub(crate) fn lacks_hints(&self, unit: &Unit) -> Option<bool> {
        let share = self.browsers(|b| b.hints)?;
        (share >= 0.6 && unit.agent.is_chromium()).then(|| !unit.any.has(Traits::CLIENT_HINTS))
    }

    /// Nothing where a hop reorders for everybody.
    pub(crate) fn host_late(&self, unit: &Unit) -> Option<bool> {
        let share = self.browsers(|b| b.host_late).unwrap_or(0.0);
        (share <= 0.2).then(|| unit.all.has(Traits::HOST_LATE))
    }

    pub(crate) fn connection_missing(&self, unit: &Unit) -> Option<bool> {
        let share = self.browsers(|b| b.connection)?;
        (share >= 0.8).then(|| unit.all.has(Traits::CONNECTION_MISSING))
    }

    /// Major versions behind the newest that three and more browsers have (negative: ahead).
    pub(crate) fn behind(&self, unit: &Unit) -> Option<i32> {
        let b = self.browsers?;
        let newest = b.majors.iter().rev().find(|(_, n)| **n >= 3).map(|(m, _)| *m)?;
        (unit.agent.major > 0).then(|| i32::from(newest) - i32::from(unit.agent.major))
    }

    pub(crate) fn lacks_app_headers(&self, unit: &Unit) -> Option<bool> {
        let a = self.apps?;
        let usual = a.n >= 5 && f64::from(a.own_headers) >= 0.8 * f64::from(a.n);
        (usual && unit.agent.kind == AgentKind::AppLibrary).then(|| !unit.any.has(Traits::APP_HEADERS))
    }
}
