//! Messages of RFC 5424, over UDP (RFC 5426) or TCP with counted octets (RFC 6587 §3.4.1).

use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use jiff::Timestamp;

use super::form::grade;
use super::gather::Alert;
use crate::connector::ConnectorError;

/// Facility local0.
const FACILITY: usize = 16;
/// Bytes of a message over UDP at most: what every receiver takes without fragments (RFC 5424 §6.1).
const UDP_MOST: usize = 1_200;
/// Time that a connection and a write may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The message of an alert. `32473` is the number that RFC 5612 keeps for examples: Sidetap has none of its own.
pub(super) fn message(alert: &Alert, host: &str) -> String {
    let severity = [2, 3, 4, 6].get(grade(alert.score)).copied().unwrap_or(6);
    let at = Timestamp::from_second(alert.at).unwrap_or_default();
    let parameter = |name: &str, value: &str| format!(" {name}=\"{}\"", escaped(value));
    let data = [
        parameter("group", &alert.group),
        parameter("class", alert.class.as_deref().unwrap_or("-")),
        parameter("score", &alert.score.to_string()),
        parameter("members", &alert.members.to_string()),
        parameter("response", &alert.response),
        parameter("subjects", &alert.subjects.join(" ")),
    ]
    .concat();
    let text = format!("{}; {}", alert.title, alert.text.trim_end()).replace(['\r', '\n'], " ");
    format!("<{}>1 {at} {host} sidetap - alert [sidetap@32473{data}] \u{feff}{text}", FACILITY * 8 + severity)
}

/// What a parameter's value has to escape (RFC 5424 §6.3.3); control characters are left out.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Sends a message to `udp://HOST:PORT` or `tcp://HOST:PORT`.
pub(super) fn send(url: &str, message: &str) -> Result<(), ConnectorError> {
    let failed = |e: std::io::Error| ConnectorError::Unreachable(format!("{url}: {e}"));
    let (scheme, place) = url.split_once("://").unwrap_or(("tcp", url));
    let at = place.to_socket_addrs().map_err(failed)?.next();
    let at = at.ok_or_else(|| ConnectorError::Unreachable(format!("{url}: no address")))?;
    if scheme == "udp" {
        let local = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let mut end = message.len().min(UDP_MOST);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let bytes = message.get(..end).unwrap_or(message).as_bytes();
        return UdpSocket::bind(local).and_then(|s| s.send_to(bytes, at)).map(drop).map_err(failed);
    }
    let mut stream = TcpStream::connect_timeout(&at, LIMIT).map_err(failed)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(failed)?;
    stream.write_all(format!("{} {message}", message.len()).as_bytes()).map_err(failed)?;
    stream.shutdown(std::net::Shutdown::Write).map_err(failed)
}
