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
                return Ok(String::from_utf8_lossy(&answer).into_owned());
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
