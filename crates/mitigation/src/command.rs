//! Running other programs, with a time limit.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::connector::{ConnectorError, shortened};

/// Most bytes of an answer that are read: a table of a million elements.
const MAX_ANSWER: u64 = 256 << 20;
/// Characters that are kept of why a program failed.
const ROOM: usize = 300;
/// For how long after its end more of its answer is waited for, from what it left running.
const AFTERWARDS: Duration = Duration::from_secs(1);

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
    let (program, before) = command.split_first().ok_or(ConnectorError::Missing("command".to_owned()))?;
    let whole = held(input).ok();
    let mut child = Command::new(program)
        .args(before)
        .args(args)
        .envs(variables.iter().copied())
        // A group of its own, so that all that it starts can be ended with it.
        .process_group(0)
        .stdin(whole.map_or_else(Stdio::piped, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| ConnectorError::Unreachable(format!("{program}: {e}")))?;
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let end = Instant::now() + Duration::from_secs(timeout_s);
    let status = wait(&mut child, timeout_s, end)?;
    // What it started, and left running, may hold its pipes open for ever.
    let end = end.min(Instant::now() + AFTERWARDS);
    let (out, err) = (text(&out, end), text(&err, end));
    if status {
        return Ok(out);
    }
    // Some say on one that it went wrong, and on the other why.
    let said = match why(err.lines().chain(out.lines())) {
        said if said.is_empty() => "it ends with an error and says nothing".to_owned(),
        said => said,
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    let command = std::iter::once(name).chain(args.iter().copied()).collect::<Vec<_>>().join(" ");
    Err(ConnectorError::Refused { command: shortened(&command), answer: said })
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

/// What a pipe gives, piece by piece: the sender is gone at its end.
fn reader(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let Some(pipe) = pipe else { return };
        let mut pipe = pipe.take(MAX_ANSWER);
        let mut piece = vec![0; 1 << 16];
        while let Ok(n @ 1..) = pipe.read(&mut piece) {
            if sender.send(piece.get(..n).unwrap_or_default().to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// All that a pipe gave, to its end or until `end`.
fn text(pieces: &Receiver<Vec<u8>>, end: Instant) -> String {
    let mut bytes = Vec::new();
    while let Ok(piece) = pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
        bytes.extend(piece);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for its end; what is not over by then is killed with all that it started.
fn wait(child: &mut Child, timeout_s: u64, end: Instant) -> Result<bool, ConnectorError> {
    let mut pause = Duration::from_millis(1);
    while Instant::now() < end {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) => std::thread::sleep(pause),
            Err(e) => return Err(ConnectorError::Unreachable(e.to_string())),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
    Err(ConnectorError::Timeout(timeout_s))
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
