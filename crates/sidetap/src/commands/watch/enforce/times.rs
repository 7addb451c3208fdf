//! What was decided outlasts who decided it: how often each was acted against, and that what holds is not decided anew.

use std::time::{Duration, Instant};

use sidetap_model::HashKey;
use sidetap_model::rows::VerdictRow;
use sidetap_policy::Response;
use sidetap_store::Store;

use super::Acting;
use crate::commands::policy::{Policies, Times};

/// Between two times that it is written: what was noted since is lost where the process is killed.
const WRITE: Duration = Duration::from_secs(2);

/// What is kept, and whether the store has it.
#[derive(Default)]
pub(super) struct KeptTimes {
    times: Times,
    /// Rules are told apart by it: names of the allow list stand in them.
    key: Option<HashKey>,
    is_new: bool,
    written: Option<Instant>,
}

impl KeptTimes {
    /// What whoever acted before kept.
    pub(super) fn of(store: Option<&Store>, key: &HashKey) -> Self {
        let times = store.and_then(|store| Times::of(store).ok()).unwrap_or_default();
        KeptTimes { times, key: Some(key.clone()), ..KeptTimes::default() }
    }

    /// Notes by which rules all is decided from now on; says whether it was by others before.
    pub(super) fn go_by(&mut self, policies: &Policies) -> bool {
        let set = policies.set();
        let text = format!("{:?} {:?} {:?}", set.revisions(), set.guards(), set.allow().entries());
        let rules = self.key.as_ref().map(|key| format!("{:016x}", key.hash64("rules", text.as_bytes())));
        let rules = rules.unwrap_or_default();
        let others = self.times.rules != rules;
        self.times.rules = rules;
        self.is_new |= others;
        others
    }
}

impl Acting {
    /// Notes how often these were acted against, as far as their rows do not say it.
    pub(super) fn note_times(&mut self, decided: &[VerdictRow]) {
        for v in decided {
            let times = self.known.history.times(v);
            if times.len() > 1 {
                self.kept_times.is_new |= self.kept_times.times.take_in(&v.id, &times);
            }
        }
        self.keep_times(false);
    }

    /// Writes what was noted, now and then; with `anyway` at once.
    pub(super) fn keep_times(&mut self, anyway: bool) {
        let kept = &mut self.kept_times;
        let is_due = anyway || kept.written.is_none_or(|at| at.elapsed() >= WRITE);
        let Some((store, path, _)) = self.store.as_mut().filter(|_| kept.is_new && is_due) else { return };
        kept.written = Some(Instant::now());
        match kept.times.write(store) {
            Ok(()) => kept.is_new = false,
            Err(e) if e.is_busy() && !anyway => {}
            Err(e) => {
                let path = path.display();
                self.lost.say(format!("how often each was acted against cannot be kept in {path}: {e}"));
            }
        }
    }

    /// Decides what was found at the start, with what came since (`own`). What holds by the same rules stays as it was decided: once a
    /// device refuses a tool, nobody with that tool can be told from the honest any more.
    pub(super) fn judge_found(&mut self, own: &[String]) {
        let same = !self.kept_times.go_by(&self.policies);
        let acts = |v: &VerdictRow| v.response.parse::<Response>().is_ok_and(Response::acts);
        let stays = |v: &VerdictRow| {
            same && !own.contains(&v.id) && acts(v) && v.policy.is_some() && self.known.history.holds(v)
        };
        let mut again: Vec<VerdictRow> = self.verdicts.values().filter(|v| !stays(v)).cloned().collect();
        self.judge(&mut again);
        self.verdicts.extend(again);
    }

    /// Forgets how often those were acted against who are forgotten.
    pub(super) fn forget_times(&mut self, gone: impl Fn(&str) -> bool) {
        self.kept_times.times.forget(gone);
        self.kept_times.is_new = true;
        self.keep_times(true);
    }
}
