//! The process that acts on verdicts, beside a watch that gave up its rights.
//!
//! Devices need what a reader of hostile packets must not have: other programs (`nft`, `ssh`), sockets, keys. So where connectors are
//! configured, `watch` starts itself once more as `sidetap act` before it gives anything up. That process keeps the rights it was
//! started with and never sees a packet: only verdicts, a line of JSON each batch, on its standard input. At its end it acts on
//! what is left and says on its standard output what went wrong. The work is done by a child of that process (`--worker`), which it
//! starts anew whenever it ends early, with the verdicts that it had not taken up.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sidetap_model::Ts;

use super::batch::Batch;
use super::deeds::{self, Deeds};
use super::enforce::{Acting, QUEUE};
use super::tend;
use crate::cli::{ActArgs, GlobalArgs};
use crate::commands::progress::Stop;
use crate::config;
use crate::exit::Status;
use crate::hash_key;
use crate::output::{note, print, warn};

/// Said once everything is ready.
pub(super) const READY: &str = "ready";
/// Said of so many batches once they are kept and devices are told.
pub(super) const TAKEN: &str = "taken";
/// How long its last words are waited for once it ended: a program that it started may hold its standard error for longer.
const LAST_WORDS: Duration = Duration::from_secs(1);
const ENDED: &str = "the process that acts on verdicts ended early: nothing changes on devices any more";

/// `sidetap act`, running.
pub(super) struct Actor {
    child: Child,
    input: ChildStdin,
    output: Option<BufReader<ChildStdout>>,
    /// Hears its output, once rights are gone; gives what went wrong.
    listener: Option<JoinHandle<Vec<String>>>,
    /// Says above the view of a terminal what it says on its standard error.
    speaker: Option<JoinHandle<()>>,
    gone: bool,
    enforces: bool,
}

impl Actor {
    /// Starts it, and waits until it is ready.
    pub(super) fn start(global: &GlobalArgs, args: &ActArgs) -> Result<Self> {
        let (child, input, output) = start(global, args)?;
        Ok(Actor {
            child,
            input,
            output: Some(output),
            listener: None,
            speaker: None,
            gone: false,
            enforces: args.enforce,
        })
    }

    /// Hears what it does, on a thread of its own.
    pub(super) fn listen(&mut self, deeds: Deeds) -> Result<()> {
        let Some(output) = self.output.take() else { return Ok(()) };
        let hear = move || output.lines().map_while(Result::ok).filter_map(|line| deeds.hear(line)).collect();
        let thread = std::thread::Builder::new().name("sidetap-deeds".into()).spawn(hear);
        self.listener = Some(thread.context("cannot start a thread")?);
        if let Some(errors) = self.child.stderr.take() {
            let say =
                move || BufReader::new(errors).lines().map_while(Result::ok).for_each(|line| note(&line));
            let thread = std::thread::Builder::new().name("sidetap-says".into()).spawn(say);
            self.speaker = Some(thread.context("cannot start a thread")?);
        }
        Ok(())
    }

    /// Hands verdicts on.
    pub(super) fn send(&mut self, batch: &Batch, stop: &Stop) {
        if self.gone {
            return;
        }
        let sent = serde_json::to_vec(batch).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.input.write_all(&line)
        });
        if sent.is_err() {
            self.lost_it(stop);
        }
    }

    /// Says at once that it ended early. A watch that was to change devices is asked to end then.
    pub(super) fn look_after(&mut self, stop: &Stop) {
        if !self.gone && !matches!(self.child.try_wait(), Ok(None)) {
            self.lost_it(stop);
        }
    }

    fn lost_it(&mut self, stop: &Stop) {
        self.gone = true;
        warn(ENDED);
        if self.enforces {
            stop.ask();
        }
    }

    /// Has it finish, and gives what went wrong.
    pub(super) fn end(self) -> Vec<String> {
        let Actor { mut child, input, listener, speaker, gone, .. } = self;
        drop(input);
        let mut lost = listener.and_then(|thread| thread.join().ok()).unwrap_or_default();
        let ended = child.wait();
        let waited = Instant::now();
        while speaker.as_ref().is_some_and(|s| !s.is_finished()) && waited.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(10));
        }
        if gone || !ended.is_ok_and(|status| status.success()) {
            lost.push(ENDED.to_owned());
        }
        lost
    }
}

/// Starts `sidetap act`, and waits until it is ready.
pub(super) fn start(
    global: &GlobalArgs,
    args: &ActArgs,
) -> Result<(Child, ChildStdin, BufReader<ChildStdout>)> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    if let Some(config) = &global.config {
        command.arg("--config").arg(config);
    }
    command.arg("act").arg("--begun").arg(args.begun.to_string());
    for (option, file) in [("--hash-key", &args.hash_key), ("--store", &args.store)] {
        if let Some(file) = file {
            command.arg(option).arg(file);
        }
    }
    args.interfaces.iter().for_each(|i| _ = command.arg("-i").arg(i));
    for (option, is) in [("--enforce", args.enforce), ("--worker", args.worker)] {
        if is {
            command.arg(option);
        }
    }
    // A group of its own: Ctrl-C is for the watch, which has this process finish.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    // What it writes to a terminal itself would tear the view that the watch keeps there.
    if std::io::stderr().is_terminal() {
        command.stderr(Stdio::piped());
    }
    let mut child = command.spawn().context("cannot start the process that acts on verdicts")?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("cannot talk to the process that acts on verdicts");
    };
    let mut output = BufReader::new(output);
    let mut first = String::new();
    output.read_line(&mut first).context("the process that acts on verdicts")?;
    if first.trim_end() != READY {
        if let Some(mut errors) = child.stderr.take() {
            say_all(&mut errors);
        }
        let _ = child.wait();
        bail!("the process that acts on verdicts did not start");
    }
    Ok((child, input, output))
}

/// Says what a process that ends has still to say.
fn say_all(errors: &mut ChildStderr) {
    let mut text = String::new();
    let _ = errors.read_to_string(&mut text);
    text.lines().for_each(note);
}

/// `sidetap act`.
pub(crate) fn act(global: &GlobalArgs, args: &ActArgs) -> Result<Status> {
    // Signals are for the watch: this process ends when its input does. They are listened to and not heeded.
    let _stop = Stop::unheeded()?;
    if !args.worker {
        return tend::tend(global, args);
    }
    let mut config = config::load(global.config.as_deref())?;
    if args.store.is_some() {
        config.store.clone_from(&args.store);
    }
    if args.hash_key.is_some() {
        config.analysis.hash_key.clone_from(&args.hash_key);
    }
    let key = hash_key::load_or_make(config.analysis.hash_key.as_deref())?;
    let store = config.store.clone();
    let acting =
        Acting::new(&config, store.as_deref(), &key, Ts(args.begun), &args.interfaces, args.enforce)?
            .telling(deeds::tell)
            .serving(key);
    print(&format!("{READY}\n"))?;
    let (sender, receiver) = sync_channel(QUEUE);
    let read = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let batch = serde_json::from_str::<Batch>(&line).unwrap_or_else(|e| {
                warn(&format!("not verdicts: {e}"));
                Batch::asking()
            });
            if sender.send(batch).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("sidetap-verdicts".into())
        .spawn(read)
        .context("cannot start a thread")?;
    let lost = acting.run(&receiver, |batches| _ = print(&format!("{TAKEN} {batches}\n")));
    print(&lost.iter().map(|line| line.replace('\n', " ") + "\n").collect::<String>())?;
    Ok(Status::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_nobody_asked_for_is_noticed_without_a_verdict() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut actor = Actor {
            child,
            input,
            output: Some(output),
            listener: None,
            speaker: None,
            gone: false,
            enforces: true,
        };
        actor.listen(Deeds::default()).unwrap();
        let stop = Stop::default();
        actor.look_after(&stop);
        assert!(!actor.gone && !stop.is_asked());
        actor.child.kill().unwrap();
        actor.child.wait().unwrap();
        actor.look_after(&stop);
        assert!(actor.gone && stop.is_asked());
        assert_eq!(actor.end(), [ENDED]);
    }
}
