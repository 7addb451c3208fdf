//! Looks after the process that acts on verdicts: one that ends early is started anew, with what it had not taken up.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::act::{READY, TAKEN, start};
use super::deeds::DID;
use super::enforce::QUEUE;
use crate::cli::{ActArgs, GlobalArgs};
use crate::exit::Status;
use crate::output::{print, warn};

/// Between two starts of a worker at least; twice as long after each that did not last.
const FIRST: Duration = Duration::from_secs(1);
/// The same at most.
const MOST: Duration = Duration::from_secs(60);
/// A worker that lasted so long is one that works.
const LASTS: Duration = Duration::from_secs(120);
/// Lines on what went wrong that are kept.
const LINES: usize = 100;

/// What happens.
enum Event {
    /// A line of verdicts came.
    Verdicts(String),
    /// There will be no more.
    End,
    /// The worker of this number took up so many lines.
    Taken(u64, usize),
    /// The worker of this number said what went wrong.
    Said(u64, String),
    /// The worker of this number is gone.
    Gone(u64),
}

/// A worker, as far as it is there.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    begun: Instant,
}

/// `sidetap act`, which does nothing itself.
pub(super) fn tend(global: &GlobalArgs, args: &ActArgs) -> Result<Status> {
    let args = ActArgs { worker: true, ..args.clone() };
    let (events, receiver) = sync_channel::<Event>(QUEUE);
    let (forward, happened) = channel();
    let begin = |number: u64, forward: &Sender<Event>| -> Result<Worker> {
        let (child, input, output) = start(global, &args)?;
        listen(number, output, forward.clone())?;
        Ok(Worker { child, input: Some(input), begun: Instant::now() })
    };
    let first = begin(0, &forward)?;
    print(&format!("{READY}\n"))?;
    read_input(events)?;
    let lost = Tending { queue: VecDeque::new(), sent: 0, lost: Vec::new(), ended: false }.run(
        first,
        &receiver,
        &happened,
        |number| begin(number, &forward),
    );
    print(&lost.iter().map(|line| line.clone() + "\n").collect::<String>())?;
    Ok(Status::Done)
}

/// Reads verdicts no faster than they are taken up.
fn read_input(events: std::sync::mpsc::SyncSender<Event>) -> Result<()> {
    let read = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if events.send(Event::Verdicts(line)).is_err() {
                return;
            }
        }
        let _ = events.send(Event::End);
    };
    let thread = std::thread::Builder::new().name("sidetap-verdicts".into()).spawn(read);
    thread.map(|_| ()).context("cannot start a thread")
}

fn listen(number: u64, output: BufReader<ChildStdout>, events: Sender<Event>) -> Result<()> {
    let read = move || {
        for line in output.lines().map_while(Result::ok) {
            if line.starts_with(DID) {
                let _ = print(&(line + "\n"));
                continue;
            }
            let taken = line.strip_prefix(TAKEN).and_then(|n| n.trim().parse().ok());
            let event = match taken {
                Some(n) => Event::Taken(number, n),
                None => Event::Said(number, line),
            };
            if events.send(event).is_err() {
                return;
            }
        }
        let _ = events.send(Event::Gone(number));
    };
    let thread = std::thread::Builder::new().name("sidetap-worker".into()).spawn(read);
    thread.map(|_| ()).context("cannot start a thread")
}

/// Lines that a worker has not taken up, the first of which were sent to it.
struct Tending {
    queue: VecDeque<String>,
    sent: usize,
    lost: Vec<String>,
    ended: bool,
}

impl Tending {
    fn run(
        mut self,
        first: Worker,
        input: &Receiver<Event>,
        happened: &Receiver<Event>,
        begin: impl Fn(u64) -> Result<Worker>,
    ) -> Vec<String> {
        let mut worker = Some(first);
        let (mut number, mut pause, mut next) = (0, FIRST, Instant::now());
        loop {
            match happened.recv_timeout(Duration::from_millis(20)) {
                Ok(Event::Taken(of, lines)) if of == number => {
                    self.queue.drain(..lines.min(self.queue.len()));
                    self.sent = self.sent.saturating_sub(lines);
                }
                Ok(Event::Said(of, line)) if of == number && self.lost.len() < LINES => self.lost.push(line),
                Ok(Event::Gone(of)) if of == number => {
                    if let Some(mut gone) = worker.take() {
                        let status = gone.child.wait();
                        if self.ended && status.as_ref().is_ok_and(|s| s.success()) {
                            return self.lost;
                        }
                        if gone.begun.elapsed() > LASTS {
                            pause = FIRST;
                        }
                        warn(&format!(
                            "the process that acts on verdicts ended early ({}): it is started anew in {} s",
                            status.map_or_else(|e| e.to_string(), |s| s.to_string()),
                            pause.as_secs()
                        ));
                        (self.sent, next) = (0, Instant::now() + pause);
                        pause = (pause * 2).min(MOST);
                    }
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.lost,
            }
            while self.queue.len() < QUEUE
                && let Ok(event) = input.try_recv()
            {
                match event {
                    Event::Verdicts(line) => self.queue.push_back(line),
                    _ => self.ended = true,
                }
            }
            if worker.is_none() && Instant::now() >= next {
                number += 1;
                match begin(number) {
                    Ok(again) => worker = Some(again),
                    Err(e) => {
                        warn(&format!("{e:#}"));
                        if self.ended {
                            self.lost.push("verdicts at the end were not acted on".to_owned());
                            return self.lost;
                        }
                        next = Instant::now() + pause;
                        pause = (pause * 2).min(MOST);
                    }
                }
            }
            self.hand_on(worker.as_mut());
        }
    }

    /// Hands on what was not yet, and says that there will be no more once there is not.
    fn hand_on(&mut self, worker: Option<&mut Worker>) {
        let Some(worker) = worker else { return };
        while let (Some(line), Some(input)) = (self.queue.get(self.sent), worker.input.as_mut()) {
            // One that does not take it is gone, which is told by its output.
            if writeln!(input, "{line}").is_err() {
                worker.input = None;
                return;
            }
            self.sent += 1;
        }
        if self.ended && self.sent == self.queue.len() {
            worker.input = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A worker of a few words of shell.
    fn worker(script: &str, number: u64, events: Sender<Event>) -> Worker {
        let mut child = Command::new("sh");
        let mut child =
            child.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        listen(number, output, events).unwrap();
        Worker { input: child.stdin.take(), child, begun: Instant::now() }
    }

    #[test]
    fn a_worker_that_is_killed_is_started_anew_with_what_it_had_not_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("told");
        let (events, input) = sync_channel(QUEUE);
        let (forward, happened) = channel();
        for line in ["one", "two", "three"] {
            events.send(Event::Verdicts(line.to_owned())).unwrap();
        }
        events.send(Event::End).unwrap();
        let first = worker("read a; echo taken 1; read b; kill -9 $$", 0, forward.clone());
        let rest = format!(
            "while read l; do echo $l >> {}; echo taken 1; done; echo nothing is lost",
            file.display()
        );
        let tending = Tending { queue: VecDeque::new(), sent: 0, lost: Vec::new(), ended: false };
        let lost = tending.run(first, &input, &happened, |number| Ok(worker(&rest, number, forward.clone())));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "two\nthree\n");
        assert_eq!(lost, ["nothing is lost"]);
    }
}
