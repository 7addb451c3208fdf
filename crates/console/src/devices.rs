//! What devices said last: one request at a time asks them, and nobody waits long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::app::App;
use crate::control::Done;
use crate::problem::Problem;

/// For how long an answer is good.
const GOOD: Duration = Duration::from_secs(5);
/// How long a request waits for devices before it gets what they said last.
const WAIT: Duration = Duration::from_secs(5);

/// What devices said last.
pub(crate) struct Devices {
    kept: watch::Sender<Option<Kept>>,
    asking: AtomicBool,
}

#[derive(Clone)]
struct Kept {
    at: Option<Instant>,
    said: Done,
}

impl Devices {
    pub(crate) fn new() -> Self {
        Devices { kept: watch::Sender::new(None), asking: AtomicBool::new(false) }
    }

    /// What they said last is not true any more.
    pub(crate) fn changed(&self) {
        self.kept.send_if_modified(|kept| {
            kept.iter_mut().for_each(|k| k.at = None);
            false
        });
    }

    /// What devices say, no older than a few seconds; `busy` where an order is under way and this is what they said before it.
    pub(crate) async fn say(app: &App) -> Result<Value, Problem> {
        let mut seen = app.devices.kept.subscribe();
        let last = seen.borrow().clone();
        if let Some(Kept { at: Some(at), said }) = &last
            && at.elapsed() < GOOD
        {
            return Ok(said.clone()?);
        }
        if !app.devices.asking.swap(true, SeqCst) {
            tokio::spawn(ask(App::clone(app)));
        }
        if tokio::time::timeout(WAIT, seen.changed()).await.is_ok_and(|r| r.is_ok())
            && let Some(kept) = seen.borrow().clone()
        {
            return Ok(kept.said?);
        }
        let mut said = last.map_or_else(|| Ok(json!({ "devices": [] })), |k| k.said)?;
        if let Some(fields) = said.as_object_mut() {
            fields.insert("busy".to_owned(), json!(true));
        }
        Ok(said)
    }
}

async fn ask(app: App) {
    let control = Arc::clone(&app.control);
    let said = app.look(move |store| Ok(control.devices(store))).await;
    if let Ok(said) = said {
        app.devices.kept.send_replace(Some(Kept { at: Some(Instant::now()), said }));
    }
    app.devices.asking.store(false, SeqCst);
}
