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

/// The message of an alert, of at most so many bytes where the way there has a bound: then subjects are left out first, and of what is
/// left the end of the text. What is left is a whole message always. `32473` is the number that RFC 5612 keeps for examples: Sidetap has
/// none of its own.
pub(super) fn message(alert: &Alert, host: &str, most: Option<usize>) -> String {
    let most = most.unwrap_or(usize::MAX);
    let mut named = alert.subjects.len();
    loop {
        let head = head_of(alert, host, named);
        if head.len() + MARK.len() <= most || named == 0 {
            let text = format!("{}; {}", alert.title, alert.text.trim_end()).replace(['\r', '\n'], " ");
            let mut whole = format!("{head}{MARK}{text}");
            let mut end = whole.len().min(most);
            while !whole.is_char_boundary(end) {
                end -= 1;
            }
            whole.truncate(end);
            return whole;
        }
        named -= 1;
    }
}

/// What stands before a text in UTF-8 (RFC 5424 §6.4).
const MARK: &str = " \u{feff}";
/// Characters of one value that are sent.
const VALUE: usize = 200;

fn head_of(alert: &Alert, host: &str, named: usize) -> String {
    let severity = [2, 3, 4, 6].get(grade(alert.score)).copied().unwrap_or(6);
    let at = Timestamp::from_second(alert.at).unwrap_or_default();
    let parameter = |name: &str, value: &str| format!(" {name}=\"{}\"", escaped(value));
    let short = |value: &str| value.chars().take(VALUE).collect::<String>();
    let subjects: Vec<String> = alert.subjects.iter().take(named).map(|s| short(s)).collect();
    let data = [
        parameter("group", &short(&alert.group)),
        parameter("class", &short(alert.class.as_deref().unwrap_or("-"))),
        parameter("score", &alert.score.to_string()),
        parameter("members", &alert.members.to_string()),
        parameter("response", &short(&alert.response)),
        parameter("subjects", &subjects.join(" ")),
    ]
    .concat();
    format!("<{}>1 {at} {host} sidetap - alert [sidetap@32473{data}]", FACILITY * 8 + severity)
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

/// Bytes that a message to this place may have.
pub(super) fn most(url: &str) -> Option<usize> {
    url.starts_with("udp://").then_some(UDP_MOST)
}

/// Sends a message to `udp://HOST:PORT` or `tcp://HOST:PORT`; errors do not name the place, which may be a secret.
pub(super) fn send(url: &str, message: &str) -> Result<(), ConnectorError> {
    let failed = |e: std::io::Error| ConnectorError::Unreachable(e.to_string());
    let (scheme, place) = url.split_once("://").unwrap_or(("tcp", url));
    let at = place.to_socket_addrs().map_err(failed)?.next();
    let at = at.ok_or_else(|| ConnectorError::Unreachable("no address".to_owned()))?;
    if scheme == "udp" {
        let local = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        return UdpSocket::bind(local)
            .and_then(|s| s.send_to(message.as_bytes(), at))
            .map(drop)
            .map_err(failed);
    }
    let mut stream = TcpStream::connect_timeout(&at, LIMIT).map_err(failed)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(failed)?;
    stream.write_all(format!("{} {message}", message.len()).as_bytes()).map_err(failed)?;
    stream.shutdown(std::net::Shutdown::Write).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_over_udp_is_whole_and_an_error_names_no_place() {
        let subjects = (0..10).map(|n| format!("header:x-{n}={}", "]".repeat(512))).collect();
        let alert = Alert {
            group: "c-1".into(),
            title: "a campaign".into(),
            text: "é".repeat(2_000),
            score: 90,
            class: None,
            subjects,
            members: 10,
            response: "block".into(),
            waits_until: None,
            at: 0,
        };
        let told = message(&alert, "sensor", most("udp://x:1"));
        assert!(told.len() <= UDP_MOST && told.contains("\"] \u{feff}"), "{told}");
        assert!(told.contains("subjects=\"header:x-0="), "what fits is told: {told}");
        assert!(message(&alert, "sensor", None).len() > 4_000);
        let error = send("tcp://127.0.0.1:15598/SECRETSYS", "x").unwrap_err().to_string();
        assert!(!error.contains("SECRETSYS") && !error.contains("127.0.0.1"), "{error}");
    }
}
