//! What fails again and again is said once, and once that it works again.

use std::fmt::Display;

use crate::output::{note, warn};
use crate::report::count;

/// How often something failed since it worked last.
#[derive(Default)]
pub(super) struct Failing(u64);

impl Failing {
    /// Says what came of it: `what` could not be done, as "requests could not be kept in s.db".
    pub(super) fn tell<T, E: Display>(&mut self, what: &str, came: Result<T, E>) {
        match self.line(what, came) {
            Some(Line::Fails(line)) => warn(&line),
            Some(Line::Works(line)) => note(&line),
            None => {}
        }
    }

    fn line<T, E: Display>(&mut self, what: &str, came: Result<T, E>) -> Option<Line> {
        match came {
            Ok(_) if self.0 == 0 => None,
            Ok(_) => {
                let times = std::mem::take(&mut self.0);
                let times = if times == 1 { "once".to_owned() } else { format!("{} times", count(times)) };
                Some(Line::Works(format!("{what}: it failed {times} and is done again")))
            }
            Err(e) => {
                self.0 += 1;
                let first = self.0 == 1;
                first.then(|| {
                    Line::Fails(format!("{what}: {e:#}; it is tried again, and said when it is done again"))
                })
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Line {
    Fails(String),
    Works(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_said_once_and_how_often_when_it_works_again() {
        let mut failing = Failing::default();
        let mut said = |came: Result<(), &str>| failing.line("requests could not be kept in s.db", came);
        let fails = |why: &str| {
            let line = format!(
                "requests could not be kept in s.db: {why}; it is tried again, and said when it is done again"
            );
            Some(Line::Fails(line))
        };
        let works = |times: &str| {
            let line = format!("requests could not be kept in s.db: it failed {times} and is done again");
            Some(Line::Works(line))
        };
        assert_eq!(said(Ok(())), None);
        assert_eq!(said(Err("busy")), fails("busy"));
        assert_eq!((said(Err("busy")), said(Err("full"))), (None, None));
        assert_eq!(said(Ok(())), works("3 times"));
        assert_eq!(said(Ok(())), None);
        assert_eq!(said(Err("full")), fails("full"));
        assert_eq!(said(Ok(())), works("once"));
    }
}
