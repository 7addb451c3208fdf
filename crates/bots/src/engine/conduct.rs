//! From a client's habits to facts.

use super::population::Peers;
use super::slice::ratio;
use super::unit::Unit;
use crate::agent::AgentKind;
use crate::facts::{Fact, Facts};
use crate::observation::Traits;

/// Buckets of its time line from which on a client's rate is looked at.
const BUCKETS: usize = 30;

/// What a client does, how evenly and when; `quiet` are the site's quietest hours.
pub(super) fn facts(f: &mut Facts, unit: &Unit, peers: &Peers<'_>, quiet: Option<u32>) {
    pace(f, unit, quiet);
    path(f, unit);
    caches(f, unit);
    acts(f, unit, peers);
    answers(f, unit);
}

fn pace(f: &mut Facts, unit: &Unit, quiet: Option<u32>) {
    let gaps = &unit.gaps;
    let ends = gaps.ends();
    let shares = [
        (Fact::GapEntropy, gaps.entropy()),
        (Fact::GapSpread, gaps.spread()),
        (Fact::GapWhole, gaps.whole()),
        (Fact::GapBurst, ends.map(|e| e.0)),
        (Fact::GapPause, ends.map(|e| e.1)),
    ];
    for (fact, value) in shares {
        if let Some(value) = value {
            f.set(fact, value);
        }
    }
    f.set(Fact::Hours, f64::from(unit.habits.hours.count_ones()));
    if let Some(quiet) = quiet.filter(|_| unit.habits.hours.count_ones() >= 3) {
        let own = unit.habits.hours;
        f.set(Fact::QuietShare, ratio((own & quiet).count_ones(), own.count_ones()));
    }
    timeline(f, unit);
}

fn timeline(f: &mut Facts, unit: &Unit) {
    let counts = || unit.counts().map(f64::from);
    f.set(Fact::PeakTen, f64::from(unit.peak_ten()));
    let Some((busy, spans)) = unit.activity().filter(|(busy, _)| *busy >= BUCKETS) else { return };
    f.set(Fact::ActiveShare, (busy as f64 / spans).min(1.0));
    let mean = counts().sum::<f64>() / spans;
    let squares = counts().map(|n| n * n).sum::<f64>() / spans;
    f.set(Fact::RateVariation, (squares - mean * mean).max(0.0).sqrt() / mean.max(1e-9));
}

/// The way through the endpoints, and through connections and lists.
fn path(f: &mut Facts, unit: &Unit) {
    let h = &unit.habits;
    let calls: u32 = unit.calls.iter().map(|c| c.n).sum();
    f.set(Fact::Hosts, h.hosts.count());
    f.set(Fact::Heads, h.heads.count());
    f.set(Fact::Steps, h.steps.count());
    if calls >= 20 {
        f.set(Fact::AgainShare, ratio(h.again.min(calls), calls));
        f.set(Fact::StepsPerCall, h.steps.count() / f64::from(calls));
        let targets: f64 = unit.calls.iter().map(|c| c.targets.count().min(f64::from(c.n))).sum();
        f.set(Fact::DistinctRatio, targets / f64::from(calls));
    }
    if h.connections > 0 && !unit.any.has(Traits::RELAYED) {
        f.set(Fact::PerConnection, f64::from(unit.n) / f64::from(h.connections));
    }
    let seldom = h.seldom();
    if seldom.referers >= 4 {
        f.set(Fact::RefererUnseen, ratio(seldom.unseen_referers, seldom.referers));
    }
    f.set(Fact::RefererSame, f64::from(seldom.same_referer));
    f.set(Fact::PageSteps, f64::from(seldom.page_steps));
    f.set(Fact::DeepestPage, f64::from(seldom.deepest));
    f.set(Fact::DeepCalls, f64::from(h.deep));
    f.flag(Fact::RobotsFirst, h.robots_first);
    f.set(Fact::Keys, h.keys.count());
    f.set(Fact::WriteShare, ratio(h.writes, unit.n));
    f.set(Fact::Busters, f64::from(seldom.busters));
    if seldom.foreign > 0 {
        f.flag(Fact::PreflightMissing, seldom.preflights == 0 && seldom.foreign >= 4);
    }
    let sessions = unit.sessions.len() as f64 + f64::from(unit.rare().sessions_over);
    if sessions > 0.0 {
        f.set(Fact::PerSession, f64::from(unit.n) / sessions);
    }
}

fn caches(f: &mut Facts, unit: &Unit) {
    let h = unit.habits.caches();
    f.set(Fact::Redirects, f64::from(h.redirects));
    if h.redirects > 0 {
        f.set(Fact::FollowedShare, ratio(h.followed.min(h.redirects), h.redirects));
    }
    if h.validators > 0 {
        f.set(Fact::Revisits, f64::from(h.revisits));
        f.set(Fact::UnconditionalShare, ratio(h.unconditional, h.revisits.max(1)));
    }
}

fn acts(f: &mut Facts, unit: &Unit, peers: &Peers<'_>) {
    let h = &unit.habits;
    let acts = h.acts();
    f.set(Fact::Acts, f64::from(acts.n));
    f.set(Fact::ClientSecrets, h.secrets.count());
    if acts.n > 0 && peers.sees_assets() {
        f.set(Fact::BlindShare, ratio(acts.blind, acts.n));
    }
    if let Some(ms) = acts.form_ms {
        f.set(Fact::FormMs, f64::from(ms));
    }
    if let Some(ms) = acts.first_ms {
        f.set(Fact::FirstActMs, f64::from(ms));
    }
    if peers.sees_assets() && unit.agent.kind == AgentKind::Browser {
        f.flag(Fact::NoUi, unit.pages == 0 && unit.assets == 0);
    }
}

fn answers(f: &mut Facts, unit: &Unit) {
    let h = &unit.habits;
    if unit.answers == 0 {
        return;
    }
    f.set(Fact::RefusedShare, ratio(h.refused, unit.answers));
    f.set(Fact::UnauthorizedShare, ratio(h.unauthorized, unit.answers));
    f.set(Fact::ErrorShare, ratio(unit.rare().errors, unit.answers));
    f.set(Fact::Hasty, f64::from(h.seldom().hasty));
    f.set(Fact::LoggedIn, f64::from(h.acts().logged_in));
    let seconds = h.wait_ms as f64 / 1000.0;
    f.set(Fact::ServerSeconds, seconds);
    f.set(Fact::ServerLoad, seconds / (unit.last.since(unit.first) as f64 / 1e9).max(10.0));
}
