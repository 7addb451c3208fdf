//! What the honest part of the population looks like: learned from clients that behave as browsers and apps do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use super::unit::Unit;
use crate::agent::AgentKind;
use crate::observation::{Robots, Traits};

/// Traits of browsers that load pages with their assets, by family; of apps that use their host widely, by host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Population {
    browsers: BTreeMap<String, Browsers>,
    apps: BTreeMap<u64, Apps>,
    robots: BTreeMap<String, Robots>,
    /// How many were learned of each family or host and network.
    #[serde(skip)]
    learned: BTreeMap<u64, u32>,
    /// Requests by the hour of the day.
    hours: [u64; 24],
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Browsers {
    n: u32,
    sec_fetch: u32,
    hints: u32,
    host_late: u32,
    connection: u32,
    usual: Usual,
    majors: BTreeMap<u16, u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Apps {
    n: u32,
    own_headers: u32,
    usual: Usual,
}

/// Traits that are odd only where others do not have them: in every request, or in one.
pub(crate) const HABITS: [Traits; 16] = [
    Traits::LIBRARY_ORDER,
    Traits::APP_ORDER,
    Traits::CASE_MIXED,
    Traits::ENCODING_STALE,
    Traits::LANGUAGE_MISSING,
    Traits::ACCEPT_MISSING,
    Traits::FEW_HEADERS,
    Traits::ALPHABETICAL,
    Traits::ENCODING_MISSING,
    Traits::LANGUAGE_ANY,
    Traits::LANGUAGE_BARE,
    Traits::CONNECTION_CLOSE,
    Traits::PROFILE_ORDER,
    Traits::PROFILE_MISSING,
    Traits::RESEMBLES,
    Traits::HOST_PORT,
];
pub(crate) const SLIPS: [Traits; 24] = [
    Traits::BODY_SPACED,
    Traits::ORIGIN_MISSING,
    Traits::HINTS_PART,
    Traits::HINTS_BRAND,
    Traits::SEC_FETCH_PART,
    Traits::SEC_FETCH_SITE_ODD,
    Traits::ACCEPT_DEST_ODD,
    Traits::EXPECT,
    Traits::ACCEPT_CHARSET,
    Traits::TYPE_WITHOUT_BODY,
    Traits::BODY_UNTYPED,
    Traits::GET_BODY,
    Traits::COOKIE_TWICE,
    Traits::XHR_NAVIGATES,
    Traits::UNDERSCORE_NAME,
    Traits::PROFILE_VALUES,
    Traits::PROFILE_FOREIGN,
    Traits::FIELD_EMPTY,
    Traits::KEEP_ALIVE_FIELD,
    Traits::TYPE_MISMATCH,
    Traits::UPGRADE_MISSING,
    Traits::REFERER_SELF,
    Traits::REFERER_MALFORMED,
    Traits::ABSOLUTE_FORM,
];

/// How many of good standing show each trait, and the traits that more than a fifth of them do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Usual {
    n: u32,
    counts: BTreeMap<u8, u32>,
    marks: Traits,
}

impl Usual {
    /// Keeps no more marks than are learned.
    fn bound(&mut self) {
        self.counts
            .retain(|bit, _| HABITS.iter().chain(&SLIPS).any(|m| m.0.trailing_zeros() == u32::from(*bit)));
    }

    fn halve(&mut self) {
        self.n /= 2;
        self.counts.values_mut().for_each(|n| *n /= 2);
    }

    fn learn(&mut self, unit: &Unit) {
        self.n += 1;
        let shown =
            HABITS.iter().filter(|m| unit.all.has(**m)).chain(SLIPS.iter().filter(|m| unit.any.has(**m)));
        for mark in shown {
            *self.counts.entry(mark.0.trailing_zeros() as u8).or_default() += 1;
        }
        let n = u64::from(self.n);
        let often = self.counts.iter().filter(|(_, c)| n >= 3 && u64::from(**c) * 5 > n);
        self.marks = Traits(often.fold(0, |bits, (bit, _)| bits | 1 << bit));
    }
}

/// Clients of a family or host from which on what they taught is halved for the next run.
const FADES: u32 = 2048;
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
            browsers.usual.bound();
            cut(&mut browsers.majors, 256);
        }
        self.apps.values_mut().for_each(|apps| apps.usual.bound());
        self
    }

    /// What goes on to the next run: large counts are halved, so that new releases and new habits are not outvoted for long.
    pub(crate) fn faded(&self) -> Self {
        let mut next = self.clone();
        for b in next.browsers.values_mut().filter(|b| b.n > FADES) {
            for n in [&mut b.n, &mut b.sec_fetch, &mut b.hints, &mut b.host_late, &mut b.connection] {
                *n /= 2;
            }
            b.usual.halve();
            b.majors.retain(|_, n| {
                *n /= 2;
                *n > 0
            });
        }
        for a in next.apps.values_mut().filter(|a| a.n > FADES) {
            (a.n, a.own_headers) = (a.n / 2, a.own_headers / 2);
            a.usual.halve();
        }
        next
    }

    /// False where one network (/24, of IPv6 /48) has taught enough of these already: a tenth of what is known, or eight.
    fn admits(&mut self, of: u64, unit: &Unit, known: u32) -> bool {
        let network = match unit.ip {
            std::net::IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
            std::net::IpAddr::V6(ip) => 1 << 63 | (ip.to_bits() >> 80) as u64,
        };
        let key = crate::hash::words(&[of, network, u64::from(unit.via)]);
        if self.learned.len() >= 16 * KEPT && !self.learned.contains_key(&key) {
            return false;
        }
        let own = self.learned.entry(key).or_default();
        *own += 1;
        *own <= (known / 10).max(8)
    }

    /// A browser has shown that it is one.
    pub(crate) fn learn_browser(&mut self, unit: &Unit) {
        let known = self.browsers.get(&unit.agent.family).map_or(0, |b| b.n);
        if !self.admits(crate::hash::of(unit.agent.family.as_bytes()), unit, known) {
            return;
        }
        if !self.browsers.contains_key(&unit.agent.family) && self.browsers.len() >= KEPT {
            return;
        }
        let b = self.browsers.entry(unit.agent.family.clone()).or_default();
        b.n += 1;
        b.sec_fetch += u32::from(unit.any.has(Traits::SEC_FETCH));
        b.hints += u32::from(unit.any.has(Traits::CLIENT_HINTS));
        b.host_late += u32::from(unit.any.has(Traits::HOST_LATE));
        b.usual.learn(unit);
        b.connection += u32::from(!unit.all.has(Traits::CONNECTION_MISSING));
        if b.majors.len() < 256 || b.majors.contains_key(&unit.agent.major) {
            *b.majors.entry(unit.agent.major).or_default() += 1;
        }
    }

    /// An app has shown that it is one.
    pub(crate) fn learn_app(&mut self, unit: &Unit) {
        let known = self.apps.get(&unit.host).map_or(0, |a| a.n);
        if !self.admits(unit.host, unit, known) {
            return;
        }
        if !self.apps.contains_key(&unit.host) && self.apps.len() >= KEPT {
            return;
        }
        let a = self.apps.entry(unit.host).or_default();
        a.n += 1;
        a.usual.learn(unit);
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

    /// A request at this time.
    pub(crate) fn hour(&mut self, ts: Ts) {
        let hour = ts.secs().rem_euclid(86_400) / 3600;
        if let Some(n) = self.hours.get_mut(hour as usize) {
            *n += 1;
        }
    }

    /// The eight hours of the day in which the site has the fewest requests, a bit each; nothing where fewer than twenty hours
    /// were seen or the quiet ones are no quieter than half of the average.
    pub(crate) fn quiet(&self) -> Option<u32> {
        let total: u64 = self.hours.iter().sum();
        if total < 2000 || self.hours.iter().filter(|n| **n > 0).count() < 20 {
            return None;
        }
        let mut hours: Vec<(u64, usize)> = self.hours.iter().enumerate().map(|(h, n)| (*n, h)).collect();
        hours.sort_unstable();
        let quiet = hours.get(..8)?;
        let n: u64 = quiet.iter().map(|(n, _)| n).sum();
        (n * 6 <= total).then(|| quiet.iter().fold(0, |mask, (_, h)| mask | 1 << h))
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

    /// Traits that clients of good standing show as well: a hop that rewrites heads, or a habit of the site's own scripts or
    /// app. Then they say nothing.
    pub(crate) fn usual(&self, unit: &Unit) -> Traits {
        let marks = match unit.agent.kind {
            AgentKind::Browser => self.browsers.map(|b| b.usual.marks),
            AgentKind::AppLibrary => self.apps.map(|a| a.usual.marks),
            _ => None,
        };
        marks.unwrap_or_default()
    }

    /// True where others of the same kind are known to compare with.
    pub(crate) fn known(&self, unit: &Unit) -> bool {
        match unit.agent.kind {
            AgentKind::AppLibrary => self.apps.is_some_and(|a| a.n >= 3),
            _ => self.browsers(|b| b.n).is_some(),
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
