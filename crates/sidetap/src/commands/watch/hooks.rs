//! What a live run tells while it goes on: a line on the terminal, verdicts to who acts on them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sidetap_console::{Live, LiveStats};
use sidetap_model::Ts;
use sidetap_pipeline::{Changed, Forget, Found, Hooks, Progress};

use super::batch::Batch;
use super::deeds::Deeds;
use super::failing::Failing;
use super::forget::{Forgetter, Forgetting};
use super::keep::{Keeper, Keeping};
use super::view::View;
use crate::clock::Stopwatch;
use crate::commands::cells::Cells;
use crate::commands::progress::{Every, Stop};
use crate::output::{above, nothing_above, warn, write_lasting};
use crate::report::{bytes, count};

/// Batches of verdicts that wait at most for who acts on them.
const WAITING: usize = 1_024;

/// Hooks of a live run. The pipeline calls them between epochs: nothing here waits.
pub(super) struct LiveHooks {
    bar: ProgressBar,
    line: Every,
    before: Progress,
    stop: Stop,
    until: Option<Instant>,
    sender: SyncSender<Batch>,
    live: LiveStats,
    view: View,
    /// Whether verdicts come with what their campaigns come to.
    campaigns: bool,
    waiting: VecDeque<Batch>,
    shed: u64,
    state: Option<StateWriter>,
    keeper: Option<Keeper>,
    /// When what was found was asked for.
    asked: Option<Stopwatch>,
    hangups: u64,
    cells: Option<CellWriter>,
    forgetter: Option<Forgetter>,
}

/// Stores requests in cells, on a thread of its own; what comes while it still writes waits for the next time.
struct CellWriter {
    sender: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl CellWriter {
    fn start(cells: Cells, store: PathBuf, run: String) -> Result<Self> {
        let (sender, receiver) = sync_channel::<()>(1);
        let write = move || {
            let what = format!("requests could not be kept in {}", store.display());
            let mut failing = Failing::default();
            let mut asked = receiver.recv().is_ok();
            while asked {
                let begun = Stopwatch::start();
                failing.tell(&what, cells.store(&store, &run, false));
                // A tenth of a processor and half of the time at most.
                let rest = Instant::now() + begun.took().times((9, 1)).min(Duration::from_secs(60));
                asked = false;
                let ended = loop {
                    match receiver.recv_timeout(rest.saturating_duration_since(Instant::now())) {
                        Ok(()) => asked = true,
                        Err(end) => break end == RecvTimeoutError::Disconnected,
                    }
                };
                // What came while it rested is stored now; at the end whoever ends the run does.
                asked = !ended && (asked || receiver.recv().is_ok());
            }
        };
        let thread = std::thread::Builder::new().name("sidetap-cells".into()).spawn(write);
        Ok(CellWriter { sender, thread: thread.context("cannot start a thread")? })
    }

    fn end(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

/// Writes what was learned, on a thread of its own; what comes while it still writes is left out.
struct StateWriter {
    sender: SyncSender<Vec<u8>>,
    thread: JoinHandle<()>,
}

impl StateWriter {
    fn start(file: PathBuf) -> Result<Self> {
        let (sender, receiver) = sync_channel::<Vec<u8>>(0);
        let write = move || {
            let what = format!("cannot write {}", file.display());
            let mut failing = Failing::default();
            for bytes in receiver {
                failing.tell(&what, write_lasting(&file, |w| w.write_all(&bytes)));
            }
        };
        let thread = std::thread::Builder::new().name("sidetap-state".into()).spawn(write);
        Ok(StateWriter { sender, thread: thread.context("cannot start a thread")? })
    }

    /// Waits until the last one is written.
    fn end(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

impl LiveHooks {
    /// Hooks that end at `until` or when `stop` asks for it.
    pub(super) fn new(
        stop: Stop,
        until: Option<Instant>,
        sender: SyncSender<Batch>,
        live: LiveStats,
    ) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(2));
        bar.set_style(
            ProgressStyle::with_template("  {spinner} {elapsed}  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        above(&bar);
        LiveHooks {
            bar,
            line: Every::new(Duration::from_secs(1)),
            before: Progress::default(),
            stop,
            until,
            sender,
            live,
            view: View::default(),
            campaigns: false,
            waiting: VecDeque::new(),
            shed: 0,
            state: None,
            keeper: None,
            asked: None,
            hangups: 0,
            cells: None,
            forgetter: None,
        }
    }

    /// The same, and what is done to devices is shown on a terminal.
    pub(super) fn showing(mut self, deeds: Deeds) -> Self {
        self.view = self.view.with(deeds);
        self
    }

    /// The same, and verdicts come with what their campaigns come to, where that is asked.
    pub(super) fn with_campaigns(mut self, asked: bool) -> Self {
        self.campaigns = asked;
        self
    }

    /// The same, and what is learned goes to this file now and then.
    pub(super) fn keeping(mut self, state: Option<PathBuf>) -> Result<Self> {
        self.state = state.map(StateWriter::start).transpose()?;
        Ok(self)
    }

    /// The same, and what was found goes to a store now and then.
    pub(super) fn saving(mut self, keeping: Option<Keeping>) -> Result<Self> {
        self.keeper = keeping.map(Keeping::start).transpose()?;
        Ok(self)
    }

    /// The same, and requests go into this run of a store now and then.
    pub(super) fn storing(mut self, cells: Cells, store: PathBuf, run: String) -> Result<Self> {
        self.cells = Some(CellWriter::start(cells, store, run)?);
        Ok(self)
    }

    /// The same, and whom the store is asked to forget is forgotten by the run.
    pub(super) fn forgetting(mut self, ready: Option<Forgetting>, cells: Option<Cells>) -> Result<Self> {
        let keeper = self.keeper.as_ref().map(Keeper::state);
        self.forgetter = ready.map(|r| r.start(cells, keeper)).transpose()?;
        Ok(self)
    }

    /// Takes the line away and hands on what still waits.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
        nothing_above();
        if let Some(writer) = self.state.take() {
            writer.end();
        }
        if let Some(writer) = self.cells.take() {
            writer.end();
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.end();
        }
        if let Some(forgetter) = self.forgetter.take() {
            forgetter.end();
        }
        for batch in self.waiting.drain(..) {
            let _ = self.sender.send(batch);
        }
        if self.shed > 0 {
            warn(&format!("{} changes of verdicts were not acted on in time", count(self.shed)));
        }
    }

    fn hand_on(&mut self) {
        while let Some(batch) = self.waiting.pop_front() {
            match self.sender.try_send(batch) {
                Ok(()) => {}
                Err(TrySendError::Full(batch)) => {
                    self.waiting.push_front(batch);
                    return;
                }
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }
}

/// What came since `was`, about a second ago, and in all. What was lost stands before what may be cut off.
fn rates(p: &Progress, was: &Progress) -> String {
    format!(
        "{} pkt/s  {}/s  dropped {} by kernel, {} for load  {} exchanges",
        count(p.packets.saturating_sub(was.packets)),
        bytes(p.bytes_read.saturating_sub(was.bytes_read)),
        count(p.kernel_dropped),
        count(p.shed),
        count(p.exchanges),
    )
}

/// Columns of the first line that are taken before its text begins.
const MARGIN: usize = 12;

/// Text of which no line is wider than the terminal: a line that is wrapped would not be taken away again.
fn fitting(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, line) in text.split('\n').enumerate() {
        let room = if n == 0 { width.saturating_sub(MARGIN) } else { width.saturating_sub(1) };
        if n > 0 {
            out.push('\n');
        }
        match line.char_indices().nth(room) {
            Some((at, _)) => {
                let end = line.char_indices().nth(room.saturating_sub(1)).map_or(at, |(before, _)| before);
                out.push_str(line.get(..end).unwrap_or_default());
                out.push('…');
            }
            None => out.push_str(line),
        }
    }
    out
}

impl Hooks for LiveHooks {
    fn progress(&mut self, p: &Progress) {
        let hangups = self.stop.hangups();
        if hangups != std::mem::replace(&mut self.hangups, hangups) {
            // An empty batch asks who acts to look at the policy again.
            self.waiting.push_back(Batch::asking());
        }
        self.hand_on();
        if !self.line.is_due() {
            return;
        }
        let was = std::mem::replace(&mut self.before, *p);
        let kernel = p.kernel_dropped.saturating_sub(was.kernel_dropped);
        let shed = p.shed.saturating_sub(was.shed);
        self.live.put(Live {
            packets_per_s: p.packets.saturating_sub(was.packets),
            bytes_per_s: p.bytes_read.saturating_sub(was.bytes_read),
            exchanges_per_s: p.exchanges.saturating_sub(was.exchanges),
            kernel_dropped: p.kernel_dropped,
            shed: p.shed,
            packets: p.packets,
            exchanges: p.exchanges,
            now: p.now,
        });
        if !self.bar.is_hidden() {
            self.bar.tick();
            let line = rates(p, &was);
            let size = terminal_size::terminal_size_of(std::io::stderr());
            let (width, height) = size.map_or((80, 24), |(w, h)| (usize::from(w.0), usize::from(h.0)));
            self.bar.set_message(fitting(&(line + &self.view.text(height)), width));
        } else if kernel + shed > 0 {
            let (kernel, shed) = (count(kernel), count(shed));
            warn(&format!("dropped in the last second: {kernel} packets by the kernel, {shed} for load"));
        }
    }

    fn judged(&mut self) {
        // What is not stored is lost where the process is killed.
        if let Some(cells) = &self.cells {
            let _ = cells.sender.try_send(());
        }
    }

    fn news(&mut self, line: &str) {
        warn(line);
    }

    fn state(&mut self, bytes: Vec<u8>) {
        if let Some(writer) = &self.state {
            let _ = writer.sender.try_send(bytes);
        }
    }

    fn to_forget(&mut self) -> Vec<Forget> {
        self.forgetter.as_ref().map(Forgetter::fresh).unwrap_or_default()
    }

    fn forgot(&mut self) {
        if let Some(forgot) = self.forgetter.as_ref().map(Forgetter::forgot) {
            self.waiting.push_back(Batch::Forgot { forgot });
            self.hand_on();
        }
    }

    fn wants_campaigns(&mut self) -> bool {
        self.campaigns
    }

    fn wants_found(&mut self) -> bool {
        let wants = self.keeper.as_ref().is_some_and(Keeper::is_ready);
        self.asked = wants.then(Stopwatch::start);
        wants
    }

    fn found(&mut self, _now: Ts, found: Found) {
        self.view.take(&found.run, Instant::now());
        let took = self.asked.take().map(|t| t.took()).unwrap_or_default();
        if let Some(keeper) = &self.keeper {
            keeper.offer(found, self.before, took);
        }
    }

    fn verdicts(&mut self, _now: Ts, changed: Changed) {
        let Changed { verdicts, campaigns } = changed;
        self.view.hear(&verdicts);
        if self.waiting.len() >= WAITING {
            // That somebody was forgotten is told whatever is shed.
            if let Some(at) = self.waiting.iter().position(|b| matches!(b, Batch::Said { .. })) {
                self.waiting.remove(at);
            }
            self.shed += 1;
        }
        self.waiting.push_back(Batch::Said { verdicts, campaigns });
        self.hand_on();
    }

    fn stop(&self) -> bool {
        self.stop.is_asked() || self.until.is_some_and(|t| Instant::now() >= t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let line = "123,456 pkt/s  123.4 MB/s  dropped 0 by kernel, 0 for load  12,345,678 exchanges";
        let text = format!("{line}\n\n  ATTACKERS  {}\n  short", "ä".repeat(200));
        for width in [40, 80, 120, 1000] {
            let fit = fitting(&text, width);
            assert_eq!(fit.lines().count(), 4);
            assert!(fit.lines().all(|l| l.chars().count() < width), "{width}: {fit}");
            assert!(fit.ends_with("\n  short"));
        }
        assert_eq!(fitting(line, 1000), line);
    }

    #[test]
    fn what_was_lost_is_seen_in_80_columns() {
        let was = Progress { packets: 900_000_000, bytes_read: 1 << 40, ..Progress::default() };
        let is = Progress {
            packets: 900_123_456,
            bytes_read: (1 << 40) + 123_400_000,
            exchanges: 12_345_678,
            kernel_dropped: 12_345,
            shed: 6_789,
            ..was
        };
        let line = fitting(&rates(&is, &was), 80);
        assert!(line.contains("dropped 12,345 by kernel, 6,789 for load"), "{line}");
    }
}
