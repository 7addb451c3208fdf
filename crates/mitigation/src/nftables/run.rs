use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::NftablesConfig;
use crate::connector::{ConnectorError, shortened};

/// Most bytes of an answer that are read: a table of a million elements.
const MAX_ANSWER: u64 = 256 << 20;

/// Runs the command with these arguments and this input; gives what it wrote.
pub(super) fn nft(config: &NftablesConfig, args: &[&str], input: &str) -> Result<String, ConnectorError> {
    let (program, before) =
        config.command.split_first().ok_or(ConnectorError::Missing("command".to_owned()))?;
    let mut child = Command::new(program)
        .args(before)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| ConnectorError::Unreachable(format!("{program}: {e}")))?;
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let writer = child.stdin.take().map(|mut stdin| {
        let input = input.to_owned();
        std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())))
    });
    let status = wait(&mut child, config.timeout_s)?;
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    let (out, err) = (text(out), text(err));
    if status {
        return Ok(out);
    }
    Err(ConnectorError::Refused { command: format!("nft {}", args.join(" ")), answer: shortened(&err) })
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
