//! Learned anomaly: how unusual a client is among those of its kind.
//!
//! The score is that of histograms (Goldstein and Dengel, "Histogram-based Outlier Score (HBOS): A fast Unsupervised Anomaly
//! Detection Algorithm", KI 2012): of each feature how seldom its value is among the clients seen so far, in bits, added up. So
//! what makes a client unusual can be told feature by feature. Nothing is learned beforehand.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::sketch::Map;
use super::unit::Unit;
use crate::facts::{Fact, Facts, Telling};

/// What is looked at of a client.
const FEATURES: [Fact; 56] = [
    Fact::Peak,
    Fact::PeakTen,
    Fact::GapMedian,
    Fact::GapRegular,
    Fact::GapEntropy,
    Fact::GapSpread,
    Fact::GapWhole,
    Fact::GapBurst,
    Fact::GapPause,
    Fact::ActiveShare,
    Fact::RateVariation,
    Fact::Duration,
    Fact::Pages,
    Fact::AssetShare,
    Fact::HeadShare,
    Fact::RefererShare,
    Fact::RefererUnseen,
    Fact::RefererSame,
    Fact::Endpoints,
    Fact::Hosts,
    Fact::Heads,
    Fact::Steps,
    Fact::StepsPerCall,
    Fact::AgainShare,
    Fact::DistinctRatio,
    Fact::PerConnection,
    Fact::PageSteps,
    Fact::DeepestPage,
    Fact::DeepCalls,
    Fact::ApiNavigations,
    Fact::WriteShare,
    Fact::Busters,
    Fact::MissingPaths,
    Fact::MissingRatio,
    Fact::ServerErrors,
    Fact::ErrorShare,
    Fact::RefusedShare,
    Fact::UnauthorizedShare,
    Fact::Limited,
    Fact::Hasty,
    Fact::Redirects,
    Fact::FollowedShare,
    Fact::Revisits,
    Fact::UnconditionalShare,
    Fact::Accounts,
    Fact::LoginFails,
    Fact::LoggedIn,
    Fact::Acts,
    Fact::BlindShare,
    Fact::FirstActMs,
    Fact::FormMs,
    Fact::ClientSecrets,
    Fact::Sessions,
    Fact::PerSession,
    Fact::Megabytes,
    Fact::ServerLoad,
];
/// Values told apart of one feature; the first is "not observable".
const BINS: usize = 16;
/// Steps of a score that are told apart.
const SCORES: usize = 64;
/// Requests at which a client is taken as a window, each time.
const WINDOWS: [u32; 3] = [12, 48, 192];
/// Windows from which on a kind of clients is known, and those at which all counts are halved.
const KNOWN: u32 = 200;
const FULL: u32 = 1 << 16;
/// Bits by which a value must be rarer than one in eight to be unusual.
const COMMON: f64 = 3.0;
/// Bits that one feature adds at most.
const MOST: f64 = 7.0;
/// Networks whose share of what is learned is known.
const NETWORKS: usize = 1 << 16;

type Window = [u8; FEATURES.len()];

/// What is usual for each kind of clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Anomaly {
    kinds: BTreeMap<u8, Usual>,
    /// Windows learned of each kind and network.
    learned: Map<u64, u32>,
}

/// Counts by feature and value; sums of them are exact, in whatever order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usual {
    n: u32,
    bins: Vec<[u32; BINS]>,
    /// How many windows came to each score.
    scored: u32,
    scores: Vec<u32>,
}

impl Default for Usual {
    fn default() -> Self {
        Usual { n: 0, bins: vec![[0; BINS]; FEATURES.len()], scored: 0, scores: vec![0; SCORES] }
    }
}

impl Anomaly {
    /// Takes a client in as one of its kind, at its twelfth, 48th and 192nd request.
    ///
    /// Of one network (/24, of IPv6 /48) no more than a fiftieth of what is known of a kind is learned: nobody makes himself usual.
    pub(crate) fn learn(&mut self, unit: &mut Unit, facts: &Facts) {
        let due = WINDOWS.get(usize::from(unit.windows)).is_some_and(|n| unit.n >= *n);
        if !due {
            return;
        }
        unit.windows += 1;
        let kind = unit.agent.kind as u8;
        let usual = self.kinds.entry(kind).or_default();
        let key = crate::hash::words(&[u64::from(kind), network(unit.ip), u64::from(unit.via)]);
        if self.learned.len() >= NETWORKS && !self.learned.contains_key(&key) {
            return;
        }
        let own = self.learned.entry(key).or_default();
        if *own >= (usual.n / 50).max(8) {
            return;
        }
        *own += 1;
        usual.learn(&window(facts));
        if usual.n >= FULL {
            usual.halve();
            self.learned.retain(|_, n| {
                *n /= 2;
                *n > 0
            });
        }
    }

    /// Sets how unusual a client is, where enough of its kind are known.
    pub(crate) fn facts(&self, unit: &Unit, f: &mut Facts) {
        let Some(usual) = self.kinds.get(&(unit.agent.kind as u8)).filter(|_| unit.n >= WINDOWS[0]) else {
            return;
        };
        let window = window(f);
        if let Some(rarity) = usual.rarity(usual.score(&window)) {
            f.set(Fact::Anomaly, rarity);
            let odd = window.iter().zip(0..).filter(|(bin, at)| usual.bits(*at, **bin) > 0.0).count();
            f.set(Fact::AnomalyFeatures, odd as f64);
        }
    }

    /// The three most unusual features of a client, in words.
    pub(crate) fn told(&self, unit: &Unit, facts: &Facts) -> String {
        let Some(usual) = self.kinds.get(&(unit.agent.kind as u8)) else { return String::new() };
        let window = window(facts);
        let mut odd: Vec<(f64, usize)> = window
            .iter()
            .zip(0..)
            .map(|(bin, at)| (usual.bits(at, *bin), at))
            .filter(|(bits, _)| *bits > 0.0)
            .collect();
        odd.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let word = |(_, at): &(f64, usize)| {
            let fact = FEATURES.get(*at)?;
            Some(fact.told(facts.get(*fact)?))
        };
        odd.iter().take(3).filter_map(word).collect::<Vec<_>>().join("; ")
    }

    /// What was learned, by kind.
    pub(crate) fn export(&self) -> BTreeMap<u8, Usual> {
        self.kinds.clone()
    }

    /// What another run learned, within the limits that hold while learning; counted half, so that it fades.
    pub(crate) fn import(kinds: BTreeMap<u8, Usual>) -> Self {
        let mut all = Anomaly::default();
        for (kind, mut usual) in kinds.into_iter().take(32) {
            usual.bins.resize(FEATURES.len(), [0; BINS]);
            usual.scores.resize(SCORES, 0);
            let counts = usual.bins.iter_mut().flatten().chain(&mut usual.scores);
            counts.for_each(|n| *n = (*n).min(FULL));
            (usual.n, usual.scored) = (usual.n.min(FULL), usual.scored.min(FULL));
            if usual.n > FULL / 8 {
                usual.halve();
            }
            all.kinds.insert(kind, usual);
        }
        all
    }
}

impl Usual {
    fn learn(&mut self, window: &Window) {
        if self.n >= KNOWN {
            let at = step(self.score(window));
            if let Some(n) = self.scores.get_mut(at) {
                *n += 1;
                self.scored += 1;
            }
        }
        self.n += 1;
        for (bins, bin) in self.bins.iter_mut().zip(window) {
            if let Some(n) = bins.get_mut(usize::from(*bin)) {
                *n += 1;
            }
        }
    }

    fn halve(&mut self) {
        self.bins.iter_mut().flatten().chain(&mut self.scores).for_each(|n| *n /= 2);
        self.n /= 2;
        self.scored = self.scores.iter().sum();
    }

    /// Bits beyond the common by which a value is rare; nothing for what was not observable.
    fn bits(&self, feature: usize, bin: u8) -> f64 {
        let Some(bins) = self.bins.get(feature).filter(|_| bin > 0) else { return 0.0 };
        let seen = self.n.saturating_sub(bins.first().copied().unwrap_or(0));
        let own = bins.get(usize::from(bin)).copied().unwrap_or(0);
        if seen < KNOWN / 2 {
            return 0.0;
        }
        let share = (f64::from(own) + 0.5) / (f64::from(seen) + 8.0);
        (-share.log2() - COMMON).clamp(0.0, MOST)
    }

    fn score(&self, window: &Window) -> f64 {
        window.iter().zip(0..).map(|(bin, at)| self.bits(at, *bin)).sum()
    }

    /// How rare a score is: 2 where one window in a hundred comes to as much, 3 where one in a thousand.
    fn rarity(&self, score: f64) -> Option<f64> {
        if self.scored < KNOWN {
            return None;
        }
        let tail: u32 = self.scores.iter().skip(step(score)).sum();
        Some(((f64::from(self.scored) + 1.0) / (f64::from(tail) + 1.0)).log10())
    }
}

fn step(score: f64) -> usize {
    ((score / 2.0) as usize).min(SCORES - 1)
}

fn network(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => 1 << 63 | (ip.to_bits() >> 80) as u64,
    }
}

fn window(facts: &Facts) -> Window {
    FEATURES.map(|fact| facts.get(fact).map_or(0, |value| bin(fact, value)))
}

/// Shares in eighths, with none and all apart; numbers in octaves.
fn bin(fact: Fact, value: f64) -> u8 {
    if fact.kind() == Telling::Share {
        return match value {
            v if v <= 0.0 => 1,
            v if v >= 1.0 => 10,
            v => 2 + (v * 8.0) as u8,
        };
    }
    let octave = ((value.max(0.0) * 4.0) as u64 + 1).ilog2();
    1 + (octave as u8).min(BINS as u8 - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pace: f64, endpoints: f64) -> Facts {
        let mut f = Facts::default();
        f.set(Fact::GapMedian, pace);
        f.set(Fact::Endpoints, endpoints);
        f.set(Fact::WriteShare, 0.1);
        f
    }

    fn learned(n: u32) -> Usual {
        let mut usual = Usual::default();
        for i in 0..n {
            usual.learn(&window(&facts(2000.0 + f64::from(i % 7) * 900.0, 3.0 + f64::from(i % 3))));
        }
        usual
    }

    #[test]
    fn what_nobody_does_is_unusual_and_what_all_do_is_not() {
        let usual = learned(1500);
        let rarity = |f: &Facts| usual.rarity(usual.score(&window(f))).unwrap();
        assert!(rarity(&facts(2900.0, 4.0)) < 0.5);
        assert!(rarity(&facts(3.0, 900.0)) > 2.5);
        assert_eq!(learned(100).rarity(9.0), None, "too few to say");
    }

    #[test]
    fn sums_do_not_depend_on_the_order() {
        let windows: Vec<Window> =
            (0..150).map(|i| window(&facts(f64::from(i) * 31.0, f64::from(i % 9)))).collect();
        let of = |order: &mut dyn Iterator<Item = &Window>| {
            let mut usual = Usual::default();
            order.for_each(|w| usual.learn(w));
            usual
        };
        assert_eq!(of(&mut windows.iter()), of(&mut windows.iter().rev()));
    }

    #[test]
    fn every_feature_is_looked_at_once() {
        let mut names: Vec<&str> = FEATURES.iter().map(|f| f.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FEATURES.len());
        assert!((40..=60).contains(&FEATURES.len()));
    }
}
