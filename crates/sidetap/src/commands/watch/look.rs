//! A look at the store: what devices' verdicts are decided by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sidetap_model::rows::{RunData, VerdictRow};
use sidetap_policy::{Campaigns, Known, Places, Traffic};
use sidetap_store::{Store, StoreError};

use crate::clock;
use crate::commands::policy::{campaigns_in, known_beside};
use crate::output::warn;

/// What a look at the store found.
pub(super) struct Look {
    pub(super) known: Known,
    pub(super) traffic: Option<Arc<Traffic>>,
    /// Verdicts of before, at the first look only.
    pub(super) earlier: Vec<VerdictRow>,
    /// Campaigns of before, at the first look only.
    pub(super) campaigns: Campaigns,
    pub(super) took: Duration,
}

/// When the store was looked at, and how long that took.
#[derive(Clone, Copy)]
pub(super) struct Looked {
    pub(super) at: Instant,
    pub(super) took: Duration,
}

/// What the store remembers: traffic, who was acted against before, endpoints; with the ids of what devices hold, their verdicts, and
/// those that were asked about.
pub(super) fn look_at(
    path: &Path,
    run: &str,
    mut own: RunData,
    span_s: u64,
    before: Option<BTreeSet<String>>,
) -> Look {
    let begun = Instant::now();
    let mut earlier = Vec::new();
    // Whoever acted before for this run is gone with what he remembered of it.
    let without = if before.is_some() { "" } else { run };
    let (mut places, mut campaigns) = (Places::default(), Campaigns::default());
    let read = Store::open_read_only(path).and_then(|store| {
        places = Places::of(&store.load_endpoints()?);
        if let Some(before) = before {
            earlier = earlier_in(&store, run, &before)?;
            campaigns = campaigns_in(&store)?;
            // Whoever is started anew in the midst of a run has heard of none of them: who was convicted before counted as good.
            let heard: BTreeSet<String> = own.verdicts.iter().map(|v| v.id.clone()).collect();
            own.verdicts.extend(store.verdicts_of(run)?.into_iter().filter(|v| !heard.contains(&v.id)));
        }
        Ok(())
    });
    if let Err(e) = read {
        let path = path.display();
        warn(&format!(
            "what was pushed before cannot be decided anew, and stays until it is over: {path}: {e}"
        ));
    }
    let known = Known { places, ..known_beside(&own, (run, without), Some(path), span_s) };
    Look { traffic: known.traffic.clone().map(Arc::new), known, earlier, campaigns, took: begun.elapsed() }
}

/// Verdicts of before that devices were told of or somebody was asked about, and those that this run has already: whoever kept them
/// ended early.
fn earlier_in(store: &Store, run: &str, before: &BTreeSet<String>) -> Result<Vec<VerdictRow>, StoreError> {
    let now = clock::now();
    let is_open = |state: &str| matches!(state, "pending" | "approved");
    let asked = store.approvals(now)?.into_iter().filter(|a| is_open(&a.state) && a.expires_at > now);
    let asked: BTreeSet<String> = asked.map(|a| a.verdict).collect();
    // Of several runs the last one counts.
    let rows = store.verdicts_of_others(run)?.into_iter();
    let rows =
        rows.filter(|v| before.contains(&v.id) || asked.contains(&v.id)).chain(store.verdicts_of(run)?);
    Ok(rows.map(|v| (v.id.clone(), v)).collect::<BTreeMap<String, VerdictRow>>().into_values().collect())
}
