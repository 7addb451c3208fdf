use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::flagged::Convicted;
use crate::proxies::LearnedProxies;

/// What workers know of the traffic as a whole: the merged state of an epoch that is over.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) discovery: Arc<sidetap_discovery::Snapshot>,
    pub(crate) proxies: LearnedProxies,
    /// Whom verdicts of this epoch convicted, where their packets are saved.
    pub(crate) convicted: Arc<Convicted>,
}

/// Hands the coordinator's snapshots to the workers.
///
/// While it works on epoch `e`, a worker uses the state after epoch `e - LAG`, whenever the coordinator got to it: so the answer does not
/// depend on who was faster. A worker that is too fast waits.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    state: Mutex<State>,
    published: Condvar,
}

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<(u64, World)>,
    closed: bool,
}

impl Snapshots {
    /// How many epochs a worker's view is behind.
    pub(crate) const LAG: u64 = 2;
    const KEEP: usize = 8;

    /// Makes the state after `epoch` known.
    pub(crate) fn publish(&self, epoch: u64, world: World) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.kept.push_back((epoch, world));
        if state.kept.len() > Self::KEEP {
            state.kept.pop_front();
        }
        self.published.notify_all();
    }

    /// Lets everybody go who waits: no more will come.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.published.notify_all();
    }

    /// The state that work on `epoch` is to use; waits for it. `None` once closed without it.
    pub(crate) fn for_epoch(&self, epoch: u64) -> Option<World> {
        let wanted = epoch.saturating_sub(Self::LAG);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some((_, world)) = state.kept.iter().find(|(e, _)| *e == wanted) {
                return Some(world.clone());
            }
            if state.closed {
                return state.kept.back().map(|(_, world)| world.clone());
            }
            state = self.published.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
