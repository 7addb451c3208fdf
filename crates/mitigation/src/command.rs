//! Running other programs, with a time limit.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connector::{ConnectorError, shortened};

/// Most bytes of an answer that are read: a table of a million elements.
const MAX_ANSWER: u64 = 256 << 20;

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
    let mut child = Command::new(program)
        .args(before)
        .args(args)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| ConnectorError::Unreachable(format!("{program}: {e}")))?;
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let writer = child.stdin.take().map(|mut stdin| {
        let input = input.to_vec();
        std::thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let status = wait(&mut child, timeout_s)?;
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    let (out, err) = (text(out), text(err));
    if status {
        return Ok(out);
    }
    let said = if err.trim().is_empty() { out } else { err };
    let name = program.rsplit('/').next().unwrap_or(program);
    let command = std::iter::once(name).chain(args.iter().copied()).collect::<Vec<_>>().join(" ");
    Err(ConnectorError::Refused { command: shortened(&command), answer: shortened(&said) })
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(MAX_ANSWER).read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(thread: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned()
}

fn wait(child: &mut Child, timeout_s: u64) -> Result<bool, ConnectorError> {
    let end = Instant::now() + Duration::from_secs(timeout_s);
    let mut pause = Duration::from_millis(1);
    while Instant::now() < end {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) => std::thread::sleep(pause),
            Err(e) => return Err(ConnectorError::Unreachable(e.to_string())),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(ConnectorError::Timeout(timeout_s))
}
