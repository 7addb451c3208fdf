//! What becomes of connections that are open while entries come, held against what the connector says of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::rig::{ATTACKER, HONEST, Rig};
use crate::support::until;

/// A connection that its client keeps.
struct Kept {
    stream: TcpStream,
    client: &'static str,
}

impl Kept {
    fn to(door: SocketAddr, client: &'static str) -> Self {
        let stream = TcpStream::connect(door).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Kept { stream, client }
    }

    /// The status of a request on it; none where it was closed.
    fn ask(&mut self) -> Option<u16> {
        self.begin("GET", "").and_then(|()| self.answer())
    }

    /// Sends a head, and what comes at first of its content.
    fn begin(&mut self, method: &str, more: &str) -> Option<()> {
        let head = format!(
            "{method} / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: {}\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n{more}",
            self.client
        );
        let end = if more.is_empty() { "\r\n" } else { "" };
        self.stream.write_all((head + end).as_bytes()).ok()
    }

    fn answer(&mut self) -> Option<u16> {
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let text = String::from_utf8_lossy(&said).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
                let chunked = head.contains("transfer-encoding: chunked");
                if length.is_some_and(|n: usize| body.len() >= n) || chunked && body.ends_with("0\r\n\r\n") {
                    return head.split(' ').nth(1)?.parse().ok();
                }
            }
            match self.stream.read(&mut piece) {
                Ok(n @ 1..) => said.extend_from_slice(piece.get(..n).unwrap_or_default()),
                _ => return None,
            }
        }
    }

    fn is_closed(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }
}

/// Connections of the attacker and of an honest client that are open before an entry comes, and one whose request is on its way.
pub(crate) struct Before {
    attacker: Kept,
    honest: Kept,
    amid: Kept,
}

impl Before {
    pub(crate) fn of<R: Rig>(rig: &R) -> Option<Self> {
        let door = rig.door()?;
        let [mut attacker, mut honest, mut amid] = [ATTACKER, HONEST, HONEST].map(|c| Kept::to(door, c));
        assert_eq!([attacker.ask(), honest.ask()], [Some(200); 2], "before anything is known");
        let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\na=1&";
        amid.begin("POST", form).unwrap();
        Some(Before { attacker, honest, amid })
    }

    /// Once the attacker is refused on new connections.
    pub(crate) fn are_as_said<R: Rig>(mut self, rig: &R) {
        let said = rig.connector().sees().open_connections;
        if said.contains("closed") {
            until("open connections are closed", || self.attacker.is_closed() && self.honest.is_closed());
        } else if said.contains("next request on") {
            let refused = self.attacker.ask().unwrap_or_else(|| panic!("it stays open: {said}"));
            assert!(refused != 200, "{refused}: {said}");
            assert_eq!(self.honest.ask(), Some(200), "others' connections stay: {said}");
        } else {
            panic!("nothing is said of open connections: {said}");
        }
        let _ = self.amid.stream.write_all(b"b=23");
        assert_eq!(self.amid.answer(), Some(200), "what is on its way is finished: {said}");
    }
}
