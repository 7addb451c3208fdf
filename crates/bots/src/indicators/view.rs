//! Asking indicators: the pack as it holds for one place of a site.

use smallvec::SmallVec;

use super::condition::{Condition, Truth};
use super::expression::Expression;
use super::pack::{Pack, Rule};
use super::{Answer, Indicator, Pillar, Scope, all};
use crate::facts::{Fact, Facts};

/// What is needed of an indicator to ask it and to count it.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) pillar: Pillar,
    pub(crate) enabled: bool,
    pub(crate) proof: bool,
    pub(crate) family: u16,
    pub(crate) automation: f64,
    pub(crate) harm: f64,
    pub(crate) when: SmallVec<[Condition; 4]>,
    expression: Option<Box<Expression>>,
}

impl Live {
    pub(super) fn of(indicator: &Indicator, family: u16) -> Self {
        Live {
            pillar: indicator.pillar,
            enabled: indicator.enabled,
            proof: indicator.proof,
            family,
            automation: indicator.automation,
            harm: indicator.harm,
            when: SmallVec::from_slice(&indicator.when),
            expression: indicator.expression.clone().map(Box::new),
        }
    }

    /// Its answer by what is known.
    #[inline]
    fn ask(&self, facts: &Facts) -> Answer {
        if let Some(expression) = &self.expression {
            return expression.truth(facts).into();
        }
        let mut answer = Answer::Fire;
        for condition in &self.when {
            let value = facts.raw(condition.fact);
            if value.is_nan() {
                answer = Answer::NotObservable;
            } else if !condition.op.holds(value, condition.value) {
                return Answer::Clear;
            }
        }
        answer
    }

    #[inline]
    fn truth(&self, facts: &Facts) -> Truth {
        match &self.expression {
            _ if !self.enabled => Truth::Nothing,
            None => all(&self.when, facts),
            Some(expression) => expression.truth(facts),
        }
    }
}

/// The condition of an indicator that fails most often, beside the others': nearly all are done with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) at: u16,
    pillar: u8,
    /// Nothing where only the whole indicator can tell.
    condition: Option<Condition>,
}

impl First {
    pub(super) fn of(at: u16, live: &Live) -> Self {
        let common = |c: &&Condition| c.fact != Fact::AgentBrowser && c.fact != Fact::Requests;
        let rare = live.when.iter().find(common).or_else(|| live.when.first());
        First { at, pillar: live.pillar as u8, condition: rare.filter(|_| live.enabled).copied() }
    }

    /// True where the indicator is clear by this condition alone.
    #[inline]
    fn is_clear(&self, facts: &Facts) -> bool {
        self.condition.is_some_and(|c| {
            let value = facts.raw(c.fact);
            !value.is_nan() && !c.op.holds(value, c.value)
        })
    }
}

/// What the indicators of a scope said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) fired: Vec<usize>,
    pub(crate) answered: [u16; 4],
    pub(crate) could: [u16; 4],
}

impl Asked {
    #[inline]
    fn count(&mut self, pillar: usize, answered: bool) {
        if let (Some(could), Some(known)) = (self.could.get_mut(pillar), self.answered.get_mut(pillar)) {
            *could += 1;
            *known += u16::from(answered);
        }
    }
}

/// A pack with what a site changed for one host, endpoint or role.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    pub(super) pack: &'a Pack,
    /// Indicators that are otherwise here.
    pub(super) changed: Vec<(usize, Live)>,
}

impl<'a> View<'a> {
    #[inline]
    fn live(&self, n: usize) -> Option<&Live> {
        if !self.changed.is_empty()
            && let Some((_, live)) = self.changed.iter().find(|(at, _)| *at == n)
        {
            return Some(live);
        }
        self.pack.live.get(n)
    }

    fn all(&self, fired: &'a [usize]) -> impl Iterator<Item = &Live> {
        fired.iter().filter_map(|n| self.live(*n))
    }

    /// True where a class of the scope holds, or may hold by facts that were not looked at yet.
    pub(crate) fn may_match(&self, scope: Scope, facts: &Facts) -> bool {
        let mut seen: SmallVec<[Option<Truth>; 512]> = SmallVec::from_elem(None, self.pack.live.len());
        let mut truth = |n: &usize| {
            let (Some(known), Some(live)) = (seen.get_mut(*n), self.live(*n)) else { return Truth::No };
            *known.get_or_insert_with(|| live.truth(facts))
        };
        self.pack.classes.iter().filter(|r| r.scope == scope).any(|rule: &Rule| {
            rule.all.iter().all(|n| is_open(truth(n)))
                && (rule.least == 0
                    || rule.any.iter().filter(|n| is_open(truth(n))).take(rule.least).count() == rule.least)
                && !rule.none.iter().any(|n| truth(n) == Truth::Yes)
        })
    }

    /// Asks the indicators of a scope; the positions of those that fire, and how many answered by pillar.
    pub(crate) fn ask(&self, scope: Scope, facts: &Facts) -> Asked {
        let mut asked = Asked::default();
        let all = match scope {
            Scope::Client => &self.pack.of_client,
            Scope::Part => &self.pack.of_part,
        };
        for first in all {
            let pillar = usize::from(first.pillar);
            let n = usize::from(first.at);
            if self.changed.is_empty() && first.is_clear(facts) {
                asked.count(pillar, true);
                continue;
            }
            let Some(live) = self.live(n).filter(|l| l.enabled) else { continue };
            let answer = live.ask(facts);
            asked.count(pillar, answer != Answer::NotObservable);
            if answer == Answer::Fire {
                asked.fired.push(n);
            }
        }
        asked
    }

    /// Log-odds of automation of what fired, or of its part that `pick` takes.
    pub(crate) fn automation(&self, fired: &[usize], pick: impl Fn(&Live) -> bool) -> f64 {
        sum(self.all(fired).filter(|l| pick(l)).map(|l| (l.family, l.automation)))
    }

    /// Log-odds of harm of what fired.
    pub(crate) fn harm(&self, fired: &[usize]) -> f64 {
        sum(self.all(fired).map(|l| (l.family, l.harm)))
    }

    /// The greater weight of an indicator.
    pub(crate) fn weight(&self, n: usize) -> f64 {
        self.live(n).map_or(0.0, |l| l.harm.max(l.automation))
    }

    /// How many pillars what fired is of.
    pub(crate) fn pillars(&self, fired: &[usize]) -> usize {
        let mut seen = [false; 4];
        for live in self.all(fired).filter(|l| l.harm > 0.0 || l.automation >= 1.0) {
            if let Some(s) = seen.get_mut(live.pillar as usize) {
                *s = true;
            }
        }
        seen.iter().filter(|s| **s).count()
    }

    /// True where one that fired is enough alone.
    pub(crate) fn has_proof(&self, fired: &[usize]) -> bool {
        self.all(fired).any(|l| l.proof)
    }
}

/// True where it holds or may hold by what is found yet.
fn is_open(truth: Truth) -> bool {
    matches!(truth, Truth::Yes | Truth::Waiting)
}

/// Sums weights: of a family the strongest whole, the rest three tenths, at most 6.
fn sum(weights: impl Iterator<Item = (u16, f64)>) -> f64 {
    let mut families: SmallVec<[(u16, f64, f64); 24]> = SmallVec::new();
    for (family, w) in weights {
        match families.iter_mut().find(|(f, _, _)| *f == family) {
            Some((_, most, rest)) => {
                *rest += w.min(*most).max(0.0);
                *most = most.max(w);
            }
            None => families.push((family, w, 0.0)),
        }
    }
    families.iter().map(|(_, most, rest)| (most + 0.3 * rest).min(6.0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlated_indicators_count_once() {
        let pack = Pack::builtin().unwrap();
        let of_hints = |i: &&usize| pack.indicators()[**i].family == "hints";
        let all: Vec<usize> = (0..pack.indicators().len()).collect();
        let family: Vec<usize> = all.iter().filter(of_hints).copied().collect();
        assert!(family.len() > 1);
        let most = family.iter().map(|n| pack.indicators()[*n].automation).fold(0.0, f64::max);
        let whole: f64 = family.iter().map(|n| pack.indicators()[*n].automation).sum();
        let capped = pack.everywhere().automation(&family, |_| true);
        assert!(capped >= most && capped < whole);
    }
}
