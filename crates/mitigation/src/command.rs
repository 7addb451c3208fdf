//! Running other programs, with a time limit.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::connector::{ConnectorError, shortened};

/// Most bytes of an answer that are read: a table of a million elements.
const MAX_ANSWER: usize = 256 << 20;
/// Characters that are kept of why a program failed.
const ROOM: usize = 300;
/// For how long after its end more of its answer is waited for, from what it left running.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// Between two looks at whether it ended.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a command with more arguments and this input; gives what it wrote. It ends after `timeout_s` seconds.
pub(crate) fn run(
    command: &[String],
    args: &[&str],
    input: &[u8],
    timeout_s: u64,
) -> Result<String, ConnectorError> {
    run_with(command, args, input, timeout_s, &[])
}

/// The same with these variables besides in its environment.
pub(crate) fn run_with(
    command: &[String],
    args: &[&str],
    input: &[u8],
    timeout_s: u64,
    variables: &[(&str, &str)],
) -> Result<String, ConnectorError> {
    Job { command, args, input, timeout_s, variables, to_its_end: false, most: MAX_ANSWER }.run()
}

/// The same of a program whose answer is believed for all there is: one that did not come to its end is none.
pub(crate) fn read(
    command: &[String],
    args: &[&str],
    input: &[u8],
    timeout_s: u64,
) -> Result<String, ConnectorError> {
    Job { command, args, input, timeout_s, variables: &[], to_its_end: true, most: MAX_ANSWER }.run()
}

struct Job<'a> {
    command: &'a [String],
    args: &'a [&'a str],
    input: &'a [u8],
    timeout_s: u64,
    variables: &'a [(&'a str, &'a str)],
    /// Whether an answer that something else holds open is none.
    to_its_end: bool,
    most: usize,
}

impl Job<'_> {
    fn run(&self) -> Result<String, ConnectorError> {
        let missing = || ConnectorError::Missing("command".to_owned());
        let (program, before) = self.command.split_first().ok_or_else(missing)?;
        let unreachable = |e: std::io::Error| ConnectorError::Unreachable(format!("{program}: {e}"));
        let whole = held(self.input).ok();
        let mut child = Command::new(program)
            .args(before)
            .args(self.args)
            .envs(self.variables.iter().copied())
            // A group of its own, so that all that it starts can be ended with it.
            .process_group(0)
            .stdin(whole.map_or_else(Stdio::piped, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(unreachable)?;
        if let Some(mut stdin) = child.stdin.take() {
            let input = self.input.to_vec();
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let mut pipes = Pipes {
            out: Heard::of(child.stdout.take(), self.most),
            err: Heard::of(child.stderr.take(), self.most),
        };
        let end = Instant::now() + Duration::from_secs(self.timeout_s);
        let is_well = self.wait(&mut child, &mut pipes, end)?;
        pipes.rest(if self.to_its_end { end } else { Instant::now() });
        let (out, err) = (pipes.out.text(), pipes.err.text());
        let name = program.rsplit('/').next().unwrap_or(program);
        let command = std::iter::once(name).chain(self.args.iter().copied()).collect::<Vec<_>>().join(" ");
        let command = shortened(&command);
        if pipes.out.state == State::Cut {
            let most = self.most >> 20;
            return Err(ConnectorError::Answer(format!(
                "{command}: its answer cannot be read to its end, or is longer than {most} MiB"
            )));
        }
        if !is_well {
            // Some say on one that it went wrong, and on the other why.
            let said = match why(err.lines().chain(out.lines())) {
                said if said.is_empty() => "it ends with an error and says nothing".to_owned(),
                said => said,
            };
            return Err(ConnectorError::Refused { command, answer: said });
        }
        if self.to_its_end && pipes.out.state == State::Open {
            return Err(ConnectorError::Answer(format!(
                "{command}: its answer has no end within {} s: something that it left running may say more",
                self.timeout_s
            )));
        }
        Ok(out)
    }

    /// Waits for its end, and takes what it says meanwhile; what is not over by then is killed with all that it started.
    fn wait(&self, child: &mut Child, pipes: &mut Pipes, end: Instant) -> Result<bool, ConnectorError> {
        let mut pause = Duration::from_millis(1);
        loop {
            // What ended in time counts, however late that is seen.
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status.success()),
                Ok(None) if Instant::now() < end => pipes.listen(pause),
                Ok(None) => break,
                Err(e) => return Err(ConnectorError::Unreachable(e.to_string())),
            }
            pause = (pause * 2).min(LOOK);
        }
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        let _ = child.kill();
        let _ = child.wait();
        Err(ConnectorError::Timeout(self.timeout_s))
    }
}

/// Both that a program speaks on.
struct Pipes {
    out: Heard<ChildStdout>,
    err: Heard<ChildStderr>,
}

impl Pipes {
    /// Waits at most so long for more, and takes what there is.
    fn listen(&mut self, patience: Duration) {
        let patience = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
        let mut open = Vec::with_capacity(2);
        open.extend(self.out.open().map(|p| PollFd::new(p, PollFlags::IN)));
        open.extend(self.err.open().map(|p| PollFd::new(p, PollFlags::IN)));
        let _ = poll(&mut open, Some(&patience));
        self.out.take();
        self.err.take();
    }

    /// Takes the rest after its end: all that it wrote itself is there. What it started, and left running, may write more, or hold its pipes open
    /// for ever; what it says there is waited for until `end`.
    fn rest(&mut self, end: Instant) {
        let soon = Instant::now() + AFTERWARDS;
        self.listen(Duration::ZERO);
        let waits = |p: &Pipes| {
            let now = Instant::now();
            p.out.open().is_some() && now < end.max(soon) || p.err.open().is_some() && now < soon
        };
        while waits(self) {
            self.listen(LOOK);
        }
    }
}

/// How far what a pipe gives has been taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    /// It has more than there is room for, or cannot be read.
    Cut,
}

struct Heard<P> {
    pipe: Option<P>,
    bytes: Vec<u8>,
    state: State,
    most: usize,
}

impl<P: Read + AsFd> Heard<P> {
    fn of(pipe: Option<P>, most: usize) -> Self {
        let is_ready = |p: &P| fcntl_getfl(p).and_then(|f| fcntl_setfl(p, f | OFlags::NONBLOCK)).is_ok();
        let pipe = pipe.filter(is_ready);
        let state = if pipe.is_some() { State::Open } else { State::Cut };
        Heard { pipe, bytes: Vec::new(), state, most }
    }

    fn open(&self) -> Option<&P> {
        self.pipe.as_ref()
    }

    /// Takes all that is there by now, without waiting.
    fn take(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut piece = [0; 1 << 16];
        self.state = loop {
            match pipe.read(&mut piece) {
                Ok(0) => break State::Ended,
                Ok(n) if self.bytes.len().saturating_add(n) > self.most => break State::Cut,
                Ok(n) => self.bytes.extend_from_slice(piece.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break State::Cut,
            }
        };
        self.pipe = None;
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Input that is there as a whole before a program is started: one that was started by somebody who is killed then would take what came of it for
/// all there is.
///
/// It is to be read and nothing else, since some programs are confined to that of what they are started with.
fn held(input: &[u8]) -> std::io::Result<File> {
    let flags = MemfdFlags::CLOEXEC;
    let memory = memfd_create("input", flags | MemfdFlags::NOEXEC_SEAL);
    // Kernels before 6.3 know none that is never run.
    let mut file = File::from(memory.or_else(|_| memfd_create("input", flags))?);
    file.write_all(input)?;
    if let Ok(readable) = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        return Ok(readable);
    }
    file.rewind()?;
    Ok(file)
}

/// Why a program failed, from all that it wrote: what it only notes beside is left out, and of more than there is room for, the lines
/// that speak of an error are kept, with their begin and their end.
fn why<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let notes = |l: &str| ["[notice]", "[info]", "[debug]"].iter().any(|level| l.contains(level));
    let errs = |l: &str| {
        let l = l.to_ascii_lowercase();
        ["error", "[emerg]", "[alert]", "[crit]", "fatal", "failed"].iter().any(|word| l.contains(word))
    };
    let fits = |lines: &[&str]| lines.iter().map(|l| l.chars().count() + 2).sum::<usize>() <= ROOM + 2;
    let mut lines: Vec<&str> = lines.map(str::trim).filter(|l| !l.is_empty()).collect();
    if lines.iter().any(|l| !notes(l)) {
        lines.retain(|l| !notes(l));
    }
    if !fits(&lines) && lines.iter().any(|l| errs(l)) {
        lines.retain(|l| errs(l));
    }
    let said = lines.join("; ");
    let long = said.chars().count();
    if long <= ROOM {
        return said;
    }
    let begin: String = said.chars().take(ROOM / 4).collect();
    let end: String = said.chars().skip(long - ROOM * 3 / 4).collect();
    format!("{begin} … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout_s: u64) -> (Result<String, ConnectorError>, Duration) {
        let begin = Instant::now();
        let command = ["sh", "-c", script].map(str::to_owned);
        (run(&command, &[], b"", timeout_s), begin.elapsed())
    }

    #[test]
    fn what_a_program_says_of_its_failure_is_kept() {
        let said = |script: &str| match shell(script, 10).0 {
            Err(ConnectorError::Refused { answer, .. }) => answer,
            other => format!("{other:?}"),
        };
        assert_eq!(
            said("echo code 106 >&2; echo Message:; echo; echo Expected ID; false"),
            "code 106; Message:; Expected ID"
        );
        assert_eq!(said("echo no >&2; false"), "no");
        assert_eq!(said("echo no; false"), "no");
        assert_eq!(said("false"), "it ends with an error and says nothing");
    }

    #[test]
    fn an_error_is_kept_behind_much_that_is_none() {
        let nginx = |level: &str, what: &str| format!("2026/11/23 03:54:05 [{level}] 4711#4711: {what}");
        let module = nginx("notice", &format!("ModSecurity-nginx v1.0.3 {}", "(rules loaded) ".repeat(9)));
        let started = nginx("notice", "signal process started");
        let error = nginx("error", "invalid PID number \"\" in \"/run/nginx.pid\"");
        let all = [module.as_str(), started.as_str(), error.as_str()];
        assert_eq!(why(all.into_iter()), error);
        // Notices alone are better than nothing.
        assert_eq!(why([started.as_str()].into_iter()), started);
        let chatter = "reading one more file of many; ".repeat(20);
        assert_eq!(why([chatter.as_str(), "Error: no such table"].into_iter()), "Error: no such table");
        let long = format!("line 1 {chatter}line 7: unknown directive");
        let said = why([long.as_str()].into_iter());
        assert!(said.starts_with("line 1 ") && said.ends_with("line 7: unknown directive"), "{said}");
        assert!(said.chars().count() <= ROOM + 3, "{said}");
    }

    /// However a program reads what it is told: in pieces, by the name of its standard input, as another user, where `/proc` is not to be seen.
    #[test]
    fn programs_read_their_input_in_any_way() {
        let input: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let read = |command: &[&str]| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            run(&command, &[], input.as_bytes(), 30)
        };
        let scripts = [
            "cat",
            "cat /dev/stdin",
            "cat < /proc/self/fd/0",
            "head -c 7; cat",
            "read -r first; echo \"$first\"; cat",
            "cat | cat",
            "exec 3<&0; cat <&3",
        ];
        for script in scripts {
            assert!(read(&["sh", "-c", script]).unwrap() == input, "{script}");
        }
        let refused = read(&["sh", "-c", "echo more >&0"]);
        assert!(matches!(refused, Err(ConnectorError::Refused { .. })), "it cannot be written: {refused:?}");
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for script in ["cat", "cat /dev/stdin"] {
            let other = read(&["setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c", script]);
            assert!(other.as_ref().is_ok_and(|said| *said == input), "{script}: {other:?}");
        }
        let hidden = read(&["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && cat"]);
        assert!(hidden.as_ref().is_ok_and(|said| *said == input), "{hidden:?}");
    }

    /// What is believed for all there is came to its end, of a program that ended by itself.
    #[test]
    fn an_answer_that_did_not_come_to_its_end_is_none() {
        let of = |script: &str, timeout_s: u64| {
            let command = ["sh", "-c", script].map(str::to_owned);
            read(&command, &[], b"", timeout_s)
        };
        assert_eq!(of("echo one; (sleep 2; echo two) & exit 0", 30).unwrap(), "one\ntwo\n");
        let open = of("echo one; sleep 45 & exit 0", 2);
        assert!(matches!(&open, Err(ConnectorError::Answer(why)) if why.contains("no end")), "{open:?}");
        assert_eq!(of("echo one; sleep 45 >/dev/null & exit 0", 30).unwrap(), "one\n");
        let killed = of("echo one; kill -9 $$", 30);
        assert!(matches!(killed, Err(ConnectorError::Refused { .. })), "{killed:?}");
        let late = of("echo one; sleep 45", 1);
        assert!(matches!(late, Err(ConnectorError::Timeout(1))), "{late:?}");
        // It ended while nobody had looked for it: all that it said is there.
        let long = of("head -c 20000000 /dev/zero | tr '\\0' x", 30).unwrap();
        assert_eq!(long.len(), 20_000_000);
    }

    #[test]
    fn an_answer_that_is_too_long_is_none() {
        let command = ["sh", "-c", "head -c 200000 /dev/zero"].map(str::to_owned);
        let of = |most: usize| {
            Job {
                command: &command,
                args: &[],
                input: b"",
                timeout_s: 30,
                variables: &[],
                to_its_end: false,
                most,
            }
            .run()
        };
        assert_eq!(of(200_000).unwrap().len(), 200_000);
        let cut = of(199_999).map(|text| text.len());
        assert!(matches!(&cut, Err(ConnectorError::Answer(why)) if why.contains("longer than")), "{cut:?}");
    }

    #[test]
    fn what_a_program_leaves_running_does_not_keep_it() {
        let (said, took) = shell("echo yes; sleep 45 & exit 0", 30);
        assert_eq!(said.unwrap(), "yes\n");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }

    #[test]
    fn a_program_that_takes_too_long_ends_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let (said, took) = shell(&format!("sleep 45 & echo $! > {}; sleep 45", pid.display()), 1);
        assert!(matches!(said, Err(ConnectorError::Timeout(1))), "{said:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
        let stat = format!("/proc/{}/stat", std::fs::read_to_string(&pid).unwrap().trim());
        let ended = || std::fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z "));
        let end = Instant::now() + Duration::from_secs(20);
        while !ended() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(ended());
    }
}
