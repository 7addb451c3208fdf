use std::collections::{BTreeMap, BTreeSet};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use sidetap_bots::{Engine, Name, Observation};
use sidetap_model::rows::{Callers, CampaignGist, CampaignRow, TrafficPoint, VerdictRow};
use sidetap_model::{EndpointId, EndpointRef, Ts};

use crate::options::PipelineError;

/// Endpoints that are called otherwise from now on.
pub(crate) type Renames = Vec<(EndpointId, EndpointRef)>;

/// Observations as workers made them: each in its place, so that none is copied on its way.
#[allow(clippy::vec_box)]
pub(crate) type Seen = Vec<Box<Observation>>;

/// The engine of actors on a thread of its own.
///
/// What workers see of the world does not come from it: nobody waits for its judgement but who asks for it.
pub(crate) struct Judge {
    jobs: Sender<Job>,
    thread: JoinHandle<Engine>,
}

/// What the engine says while it goes on.
#[derive(Default)]
pub(crate) struct Actors {
    pub(crate) traffic: Vec<TrafficPoint>,
    pub(crate) campaigns: Vec<CampaignRow>,
    pub(crate) roles: BTreeMap<EndpointId, Vec<String>>,
    pub(crate) callers: BTreeMap<EndpointId, Callers>,
}

enum Job {
    Epoch(Ts, Seen, Renames),
    Changes(Sender<Vec<VerdictRow>>),
    Gists(BTreeSet<String>, Sender<Vec<CampaignGist>>),
    State(Sender<Vec<u8>>),
    Actors(Sender<Actors>),
    Forget(Vec<Name>),
    Finish(Renames),
}

impl Judge {
    /// Epochs that may wait for their judgement.
    const QUEUE: usize = 1;

    /// Starts the thread.
    pub(crate) fn start(engine: Engine) -> Result<Self, PipelineError> {
        let (jobs, queue) = bounded(Self::QUEUE);
        let work = move || judge(engine, &queue);
        let thread = std::thread::Builder::new().name("sidetap-judge".into()).spawn(work)?;
        Ok(Judge { jobs, thread })
    }

    /// Has the observations of an epoch judged; waits where the one before the last is not done yet.
    pub(crate) fn epoch(&self, now: Ts, seen: Seen, renames: Renames) {
        // Should the thread have died, finish says so.
        let _ = self.jobs.send(Job::Epoch(now, seen, renames));
    }

    /// Verdicts that are new or changed since the last call, all epochs so far judged.
    pub(crate) fn changes(&self) -> Vec<VerdictRow> {
        let (answer, changed) = bounded(1);
        match self.jobs.send(Job::Changes(answer)) {
            Ok(()) => changed.recv().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// What decisions ask about these campaigns, all epochs so far judged.
    pub(crate) fn gists(&self, ids: BTreeSet<String>) -> Vec<CampaignGist> {
        let (answer, gists) = bounded(1);
        match self.jobs.send(Job::Gists(ids, answer)) {
            Ok(()) => gists.recv().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// What the engine has learned, all epochs so far judged.
    pub(crate) fn state(&self) -> Option<Vec<u8>> {
        let (answer, state) = bounded(1);
        self.jobs.send(Job::State(answer)).ok()?;
        state.recv().ok()
    }

    /// What it says of actors by now, all epochs so far judged.
    pub(crate) fn actors(&self) -> Option<Actors> {
        let (answer, actors) = bounded(1);
        self.jobs.send(Job::Actors(answer)).ok()?;
        actors.recv().ok()
    }

    /// Forgets these: nothing that it is asked from now on tells of them.
    pub(crate) fn forget(&self, names: Vec<Name>) {
        let _ = self.jobs.send(Job::Forget(names));
    }

    /// The second judgement; gives the engine back.
    pub(crate) fn finish(self, renames: Renames) -> Result<Engine, PipelineError> {
        let _ = self.jobs.send(Job::Finish(renames));
        drop(self.jobs);
        self.thread.join().map_err(|_| PipelineError::Died("judge"))
    }
}

fn judge(mut engine: Engine, jobs: &Receiver<Job>) -> Engine {
    for job in jobs {
        match job {
            Job::Epoch(now, seen, renames) => engine.epoch(now, seen, &renames),
            Job::Changes(answer) => {
                let _ = answer.send(engine.take_changes());
            }
            Job::Gists(ids, answer) => {
                let _ = answer.send(engine.gists(&ids));
            }
            Job::State(answer) => {
                let _ = answer.send(engine.export_state());
            }
            Job::Actors(answer) => {
                let _ = answer.send(Actors {
                    traffic: engine.traffic(),
                    campaigns: engine.campaigns(),
                    roles: engine.roles(),
                    callers: engine.callers(),
                });
            }
            Job::Forget(names) => names.iter().for_each(|name| engine.forget(name)),
            Job::Finish(renames) => engine.finish(&renames),
        }
    }
    engine
}
