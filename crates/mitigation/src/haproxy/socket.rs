use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::connector::ConnectorError;

/// Most bytes of an answer that are read: a map of a million lines.
const MAX_ANSWER: usize = 128 << 20;

/// HAProxy's Runtime API.
pub(super) struct Socket<'a> {
    pub(super) address: &'a str,
    pub(super) timeout_s: u64,
}

impl Socket<'_> {
    /// Sends one command and reads the answer. HAProxy closes after one command, so nothing of another can mix in.
    pub(super) fn ask(&self, command: &str) -> Result<String, ConnectorError> {
        let limit = Duration::from_secs(self.timeout_s);
        let unreachable = |e: std::io::Error| ConnectorError::Unreachable(format!("{}: {e}", self.address));
        if self.address.contains('/') {
            let stream = UnixStream::connect(self.address).map_err(unreachable)?;
            stream.set_read_timeout(Some(limit)).map_err(unreachable)?;
            stream.set_write_timeout(Some(limit)).map_err(unreachable)?;
            return self.talk(stream, command);
        }
        let address = self.address.parse().map_err(|_| {
            ConnectorError::Unreachable(format!(
                "{}: neither a path nor an address with a port",
                self.address
            ))
        })?;
        let stream = TcpStream::connect_timeout(&address, limit).map_err(unreachable)?;
        stream.set_read_timeout(Some(limit)).map_err(unreachable)?;
        stream.set_write_timeout(Some(limit)).map_err(unreachable)?;
        self.talk(stream, command)
    }

    fn talk(&self, mut stream: impl Read + Write, command: &str) -> Result<String, ConnectorError> {
        let end = Instant::now() + Duration::from_secs(self.timeout_s);
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                ConnectorError::Timeout(self.timeout_s)
            }
            _ => ConnectorError::Unreachable(format!("{}: {e}", self.address)),
        };
        stream.write_all(command.as_bytes()).map_err(failed)?;
        stream.flush().map_err(failed)?;
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let n = stream.read(&mut buffer).map_err(failed)?;
            if n == 0 {
                return whole(&answer);
            }
            answer.extend_from_slice(buffer.get(..n).unwrap_or_default());
            if answer.len() > MAX_ANSWER {
                return Err(ConnectorError::Answer("an answer without end".to_owned()));
            }
            if Instant::now() > end {
                return Err(ConnectorError::Timeout(self.timeout_s));
            }
        }
    }
}

/// An answer, which ends with an empty line even where it is empty: one that breaks off, since HAProxy ended meanwhile, is neither a yes nor all
/// that a map holds.
fn whole(answer: &[u8]) -> Result<String, ConnectorError> {
    match answer == b"\n" || answer.ends_with(b"\n\n") {
        true => Ok(String::from_utf8_lossy(answer).into_owned()),
        false => {
            let text = crate::connector::shortened(&String::from_utf8_lossy(answer));
            Err(ConnectorError::Answer(format!(
                "an answer that breaks off after {} bytes: {text}",
                answer.len()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_breaks_off_is_none() {
        for text in ["\n", "0x1 192.0.2.9 x\n\n", "New version created: 1\n\n"] {
            assert_eq!(whole(text.as_bytes()).unwrap(), text);
        }
        for text in ["", "0x1 192.0.2.9 x\n", "0x1 192.0.2.9 x\n0x2 192.0.", "New version cre"] {
            assert!(matches!(whole(text.as_bytes()), Err(ConnectorError::Answer(_))), "{text:?}");
        }
    }
}
