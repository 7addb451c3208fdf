//! A request through the device itself that has to be refused: the proof that entries have an effect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde::Deserialize;
use sidetap_policy::{Response, never_blockable};
use ureq::http::Uri;

use crate::command;
use crate::config::ConfigError;
use crate::connector::ConnectorError;
use crate::entry::{AddressSeen, Entry};
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;
use crate::resolve::is_touched;

/// The verdict of a canary's entry.
pub(crate) const CANARY: &str = "canary";
/// Seconds that one request, or one run of a program, may take.
const ASK_S: u64 = 5;
/// Seconds that a device that was just changed has to let the control through.
const CONTROL_S: u64 = 1;
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(5);
/// An entry for the canary lasts twice as long and is set anew when half of that is over, so that it is rarely a change.
const LIFE_S: i64 = 6 * 3600;
/// Seconds by which a device's idea of an end may be later.
const SLACK_S: i64 = 60;

/// The agent of a canary that is told by it, and of its control.
const AGENTS: [&str; 2] = ["sidetap-canary/1", "sidetap-control/1"];

/// By what a device knows a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CanaryBy {
    /// By the address in a header: for devices that look up a forwarded address.
    Address,
    /// By the fingerprint of its agent (`a1`): for devices whose script computes it, whichever address they look up.
    Agent,
    /// By an address of its own, which a program asks from: for devices that compare the connection's address and see no request.
    Probe,
}

/// A probe of a device's effect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryConfig {
    /// An address behind the device that anybody may ask for: `http://edge.example/healthz`.
    #[serde(default)]
    pub url: String,
    /// What its `Host` says, where `url` names the device by another name than the site's.
    #[serde(default)]
    pub host: Option<String>,
    /// Instead of `url` a program that asks for something behind the device from the address that stands for `{}`, and ends with status 0
    /// where it is answered.
    #[serde(default)]
    pub command: Vec<String>,
    /// Seconds until a change must have an effect.
    #[serde(default = "default_within")]
    pub within_s: u64,
    /// The header in which the device takes the client's address.
    #[serde(default = "default_header")]
    pub header: String,
    /// Who the canary says it is: an address that nobody has.
    #[serde(default = "default_address")]
    pub address: IpAddr,
    /// Who the control says it is, the same request that has to be let through: 192.0.2.2 or 2001:db8::2 without it.
    #[serde(default)]
    pub control: Option<IpAddr>,
    /// By what it is known: `address` where the device looks up a forwarded one, else `agent`, without it.
    #[serde(default)]
    pub by: Option<CanaryBy>,
}

fn default_header() -> String {
    "X-Forwarded-For".to_owned()
}

fn default_within() -> u64 {
    5
}

fn default_address() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

/// A canary, ready to be sent.
#[derive(Clone, Debug)]
pub struct Canary {
    config: CanaryConfig,
    by: CanaryBy,
    http: Http,
}

/// One that asks: the canary itself, or its control.
#[derive(Clone, Copy)]
enum Asker {
    Canary,
    Control,
}

impl Canary {
    /// The canary of a device that looks at this address and computes these fingerprints.
    pub(crate) fn new(
        name: &str,
        config: CanaryConfig,
        seen: AddressSeen,
        prints: &[&str],
    ) -> Result<Self, ConfigError> {
        let refuse = |why: &str| Err(ConfigError::Value(format!("{name}: {why}")));
        if !(1..=60).contains(&config.within_s) {
            return refuse("canary.within_s is 1 to 60");
        }
        if config.host.as_ref().is_some_and(|h| h.is_empty() || !h.bytes().all(|b| b.is_ascii_graphic())) {
            return refuse("canary.host is the name of a host");
        }
        if config.command.is_empty() {
            if config.url.is_empty() {
                return refuse(
                    "canary: needs canary.url, an address behind the device that answers anybody, or canary.command",
                );
            }
            check_url(&format!("{name}: canary.url"), &config.url)?;
        } else {
            if let Err(why) = check_probe(&config) {
                return refuse(why);
            }
            if let Some(why) = forbidden(config.address, &[]) {
                return refuse(&format!("canary: {why}"));
            }
            let http = Http::new(&HttpOptions { timeout_s: ASK_S, ca: None })?;
            return Ok(Canary { config, by: CanaryBy::Probe, http });
        }
        if let Some(why) = forbidden(config.address, &[]) {
            return refuse(&format!("canary: {why}"));
        }
        if config.control == Some(config.address) {
            return refuse("canary.control is the canary's own address");
        }
        let agents = prints.contains(&"a1");
        let usual = if seen == AddressSeen::Peer && agents { CanaryBy::Agent } else { CanaryBy::Address };
        let by = config.by.unwrap_or(usual);
        if by == CanaryBy::Probe {
            return refuse("canary: by = \"probe\" needs canary.command");
        }
        if by == CanaryBy::Address && seen == AddressSeen::Peer {
            return refuse(
                "canary: needs address = \"forwarded\"; a device that compares the connection's address never takes it for who it says it is: there canary.command asks from an address of its own",
            );
        }
        if by == CanaryBy::Agent && !agents {
            return refuse("canary: by = \"agent\" needs a device whose script computes fingerprints (a1)");
        }
        let http = Http::new(&HttpOptions { timeout_s: ASK_S, ca: None })?;
        Ok(Canary { config, by, http })
    }

    /// The address that it is known by, where it is known by one.
    fn address(&self) -> Option<IpAddr> {
        (self.by != CanaryBy::Agent).then_some(self.config.address)
    }

    /// Why no device may be told of it: nothing is told of its address.
    pub(crate) fn forbidden(&self, allow: &[IpNet]) -> Option<String> {
        forbidden(self.address()?, allow)
    }

    /// The address that has to be seen let through before its entry stands: that a program is not answered may have many reasons.
    pub(crate) fn probes_from(&self) -> Option<IpAddr> {
        (self.by == CanaryBy::Probe).then_some(self.config.address)
    }

    /// What it is known by.
    fn key(&self) -> Key {
        match self.by {
            CanaryBy::Address | CanaryBy::Probe => Key::Net(self.config.address.into()),
            CanaryBy::Agent => Key::Print(agent_print(AGENTS[0])),
        }
    }

    /// Who asks, in words.
    fn name_of(&self, asker: Asker) -> String {
        match (self.by, asker) {
            (CanaryBy::Address | CanaryBy::Probe, Asker::Canary) => self.config.address.to_string(),
            (CanaryBy::Address | CanaryBy::Probe, Asker::Control) => self.control_address().to_string(),
            (CanaryBy::Agent, Asker::Canary) => format!("agent {}", AGENTS[0]),
            (CanaryBy::Agent, Asker::Control) => format!("agent {}", AGENTS[1]),
        }
    }

    /// The entry that stops it: as the device holds it while that is long enough, so that no push is a change by the hour alone.
    pub(crate) fn entry(&self, now: i64, held: &[Entry]) -> Entry {
        let key = self.key();
        let fresh = now.saturating_add(2 * LIFE_S);
        let lasts = |end: &i64| (now.saturating_add(LIFE_S)..=fresh.saturating_add(SLACK_S)).contains(end);
        let there = held.iter().filter(|e| e.key == key && e.response == Response::Block);
        Entry {
            expires_at: there.map(|e| e.expires_at).filter(lasts).max().unwrap_or(fresh),
            key,
            response: Response::Block,
            verdict: CANARY.to_owned(),
            priority: (u8::MAX, i64::MAX),
            way: None,
        }
    }

    /// Sends it until it is refused, once somebody else was let through; gives how long that took.
    ///
    /// `allow` is what the device lets through whoever asks. A device that is down, or an address that answers nobody, proves nothing:
    /// the same request for an address that is on no list has to be answered with a status below 400, before the refusal and after it,
    /// since a device that is loaded anew may begin to answer otherwise in between. `hurried`, it is sent once.
    pub(crate) fn send(&self, allow: &[IpNet], hurried: bool) -> Result<Duration, ConnectorError> {
        if let Some(why) = self.forbidden(allow) {
            return Err(ConnectorError::Unproved(why));
        }
        let patience = Duration::from_secs(if hurried { 0 } else { self.config.within_s });
        let start = Instant::now();
        self.control(Duration::from_secs(CONTROL_S))?;
        loop {
            let status = match self.ask(Asker::Canary) {
                Ok(status) if status < 400 => status,
                Ok(_) | Err(ConnectorError::Unreachable(_)) => {
                    let took = start.elapsed();
                    return self.control(Duration::ZERO).map(|()| took);
                }
                Err(e) => return Err(e),
            };
            if start.elapsed() > patience {
                return Err(self.passed(status, allow));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// What it says of a device that lets the canary through.
    fn passed(&self, status: u16, allow: &[IpNet]) -> ConnectorError {
        let who = self.name_of(Asker::Canary);
        let from = (self.by == CanaryBy::Agent).then(|| source_of(&self.config.url)).flatten();
        if let Some(from) = from.filter(|from| is_touched(allow, &sidetap_policy::canonical((*from).into())))
        {
            return ConnectorError::Unproved(format!(
                "a request of {who} comes from {from}, which is on the never-block list, and is answered with {status}: the script at the device is one of before that looks at the list first; put the one of this version in its place (docs/connectors), or let the canary be known by an address (address = \"forwarded\")"
            ));
        }
        let with = if self.by == CanaryBy::Probe { String::new() } else { format!(" with {status}") };
        ConnectorError::Felt(format!("a request of {who} is still answered{with}"))
    }

    /// Sends it where its entry does not stand yet: then it has to be let through.
    pub(crate) fn before(&self) -> Result<(), ConnectorError> {
        self.let_through(Asker::Canary, Duration::from_secs(self.config.within_s)).map_err(|said| {
            ConnectorError::Unproved(format!(
                "a request of {} {said} before its entry stands, so that it is not set; `canary.command` has to ask from an address of the host that asks, which is let through",
                self.name_of(Asker::Canary)
            ))
        })
    }

    /// Sends the control until it is let through, for this long at most.
    fn control(&self, patience: Duration) -> Result<(), ConnectorError> {
        self.let_through(Asker::Control, patience).map_err(|said| {
            ConnectorError::Unproved(format!(
                "the same request of {}, which is on no list, {said} too; {}",
                self.name_of(Asker::Control),
                match self.by {
                    CanaryBy::Probe => "`canary.command` has to ask for what answers anybody",
                    _ =>
                        "`canary.url` has to be an address behind the device that answers anybody with a status below 400",
                }
            ))
        })
    }

    /// Sends one until it is let through, for this long at most; else what it was answered.
    fn let_through(&self, asker: Asker, patience: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let said = match self.ask(asker) {
                Ok(status) if status < 400 => return Ok(()),
                Ok(status) => format!("is answered with {status}"),
                Err(e) => format!("is not answered ({e})"),
            };
            if start.elapsed() >= patience {
                return Err(said);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Has the program ask. One that is not answered, or not in time, says so by its exit status, or hangs; that it runs at all is shown by
    /// the control.
    fn probe(&self, asker: Asker) -> Result<u16, ConnectorError> {
        let address = match asker {
            Asker::Canary => self.config.address,
            Asker::Control => self.control_address(),
        };
        let command: Vec<String> =
            self.config.command.iter().map(|w| w.replace("{}", &address.to_string())).collect();
        match command::run(&command, &[], b"", ASK_S) {
            Ok(_) => Ok(200),
            Err(ConnectorError::Refused { command, answer }) => {
                Err(ConnectorError::Unreachable(format!("`{command}` ends with an error: {answer}")))
            }
            Err(ConnectorError::Timeout(s)) => {
                Err(ConnectorError::Unreachable(format!("no answer within {s} s")))
            }
            Err(e) => Err(e),
        }
    }

    /// Whom the control says it is: another address that nobody has.
    fn control_address(&self) -> IpAddr {
        let nobody: [IpAddr; 2] = match self.config.address {
            IpAddr::V4(_) => [Ipv4Addr::new(192, 0, 2, 2).into(), Ipv4Addr::new(192, 0, 2, 3).into()],
            IpAddr::V6(_) => [
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3).into(),
            ],
        };
        let [first, second] = nobody;
        let other = if first == self.config.address { second } else { first };
        self.config.control.unwrap_or(other)
    }

    /// The status that a request of the canary, or of its control, is answered with; on a connection of its own, since a device that was
    /// loaded anew closes those of before. One that is known by its agent comes from an address that is on no list.
    fn ask(&self, asker: Asker) -> Result<u16, ConnectorError> {
        if self.by == CanaryBy::Probe {
            return self.probe(asker);
        }
        let (address, agent) = match (self.by, asker) {
            (CanaryBy::Address | CanaryBy::Probe, Asker::Canary) => (self.config.address, None),
            (CanaryBy::Address | CanaryBy::Probe, Asker::Control) => (self.control_address(), None),
            (CanaryBy::Agent, Asker::Canary) => (self.control_address(), Some(AGENTS[0])),
            (CanaryBy::Agent, Asker::Control) => (self.control_address(), Some(AGENTS[1])),
        };
        let address = address.to_string();
        let mut headers = vec![(self.config.header.as_str(), address.as_str()), ("Connection", "close")];
        headers.extend(agent.map(|a| ("User-Agent", a)));
        headers.extend(self.config.host.as_deref().map(|h| ("Host", h)));
        let ask = Ask { method: "GET", url: &self.config.url, headers: &headers, body: None };
        self.http.ask(&ask).map(|reply| reply.status)
    }
}

/// The address that requests to a URL come from, as this machine sends them.
fn source_of(url: &str) -> Option<IpAddr> {
    let url: Uri = url.parse().ok()?;
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let to = (url.host()?.trim_matches(['[', ']']), port).to_socket_addrs().ok()?.next()?;
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Nothing is sent: it is only looked up which way it would go.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|from| from.ip())
}

/// Why nothing is told of an address: no device may touch it.
fn forbidden(address: IpAddr, allow: &[IpNet]) -> Option<String> {
    let net = sidetap_policy::canonical(address.into());
    let why = match never_blockable(&net) {
        Some(why) => format!("a {why} address"),
        None if allow.iter().any(|a| a.contains(&net)) => "on the never-block list".to_owned(),
        None => return None,
    };
    Some(format!("its address {address} is {why}; give it another (`canary.address`)"))
}

/// Why a program cannot be what asks.
fn check_probe(config: &CanaryConfig) -> Result<(), &'static str> {
    if !config.url.is_empty() || config.by.is_some_and(|by| by != CanaryBy::Probe) {
        return Err("canary: either command or url");
    }
    if !config.command.iter().any(|word| word.contains("{}")) {
        return Err("canary.command needs `{}` where the address stands that it asks from");
    }
    match config.control {
        Some(control) if control != config.address && config.address != default_address() => Ok(()),
        _ => Err(
            "canary.command needs two addresses of the host that asks: canary.address, which is blocked for good, and canary.control",
        ),
    }
}

/// The fingerprint `a1` of an agent that names no languages: FNV-1a of both, with a byte 0xff after each, and a final mix.
fn agent_print(agent: &str) -> String {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for b in agent.bytes().chain([0xff, 0xff]) {
        h = (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    }
    for k in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        h = (h ^ (h >> 33)).wrapping_mul(k);
    }
    format!("a1-{:016x}", h ^ (h >> 33))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn its_entry_stays_as_it_is_at_every_hour_until_half_of_it_is_over() {
        let config = CanaryConfig {
            url: "http://edge.example/".to_owned(),
            host: None,
            command: Vec::new(),
            within_s: 5,
            header: default_header(),
            address: default_address(),
            control: None,
            by: None,
        };
        let canary = Canary::new("edge", config, AddressSeen::Forwarded, &[]).unwrap();
        let start = 1_790_000_000;
        let held = canary.entry(start, &[]);
        assert_eq!(held.expires_at, start + 2 * LIFE_S);
        let at = |s: i64| canary.entry(start + s, std::slice::from_ref(&held)).expires_at - start;
        assert!((0..=LIFE_S).all(|s| at(s) == 2 * LIFE_S));
        assert_eq!(at(LIFE_S + 1), 3 * LIFE_S + 1, "then it is set anew");
        assert_eq!(at(-3_600), 2 * LIFE_S - 3_600, "and after a clock that jumped back");
    }

    /// A canary against a server that answers each request with what `answer` says to the address in whose name it is; with none it
    /// hangs up.
    fn sent(answer: fn(&str) -> Option<u16>, allow: &[&str], address: &str) -> Result<Duration, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthz", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).unwrap_or(0);
                let text = String::from_utf8_lossy(&buffer[..n]).to_lowercase();
                let who = text.lines().find_map(|l| l.strip_prefix("x-forwarded-for: ")).unwrap_or_default();
                if let Some(status) = answer(who) {
                    let head =
                        format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes());
                }
            }
        });
        canary_at(&url, address)
            .send(&allow.iter().map(|a| a.parse().unwrap()).collect::<Vec<_>>(), false)
            .map_err(|e| e.to_string())
    }

    fn canary_at(url: &str, address: &str) -> Canary {
        let text = format!("url = \"{url}\"\naddress = \"{address}\"\n");
        Canary::new("edge", toml::from_str(&text).unwrap(), AddressSeen::Forwarded, &[]).unwrap()
    }

    #[test]
    fn it_proves_something_only_where_somebody_else_is_let_through() {
        let refused = |who: &str| Some(if who == "192.0.2.1" { 403 } else { 200 });
        assert!(sent(refused, &[], "192.0.2.1").is_ok());
        assert!(sent(|who| (who != "192.0.2.1").then_some(204), &[], "192.0.2.1").is_ok(), "by hanging up");
        let unproved = |answer, what: &str| {
            let why = sent(answer, &[], "192.0.2.1").unwrap_err();
            assert!(why.starts_with("the canary proves nothing") && why.contains(what), "{why}");
        };
        unproved(|_| Some(404), "192.0.2.2, which is on no list, is answered with 404");
        unproved(|_| Some(502), "answered with 502");
        unproved(|_| None, "not answered");
        let listed = sent(refused, &["192.0.2.0/24"], "192.0.2.1").unwrap_err();
        assert!(listed.contains("192.0.2.1 is on the never-block list"), "{listed}");
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let away = canary_at(&format!("http://{nobody}/"), "192.0.2.1").send(&[], false).unwrap_err();
        assert!(matches!(away, ConnectorError::Unproved(_)), "{away}");
    }

    #[test]
    fn what_breaks_between_the_two_requests_proves_nothing() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let dies = |_: &str| Some(if ASKED.fetch_add(1, Ordering::Relaxed) == 0 { 200 } else { 404 });
        assert!(sent(dies, &[], "192.0.2.1").unwrap_err().contains("proves nothing"));
    }

    #[test]
    fn the_control_is_never_the_canary() {
        let of = |address: &str| canary_at("http://edge.example/", address).control_address().to_string();
        assert_eq!(
            ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"].map(of),
            ["192.0.2.2", "192.0.2.3", "2001:db8::2", "2001:db8::3"]
        );
        let same = "url = \"http://edge.example/\"\ncontrol = \"192.0.2.1\"\n";
        assert!(Canary::new("edge", toml::from_str(same).unwrap(), AddressSeen::Forwarded, &[]).is_err());
    }

    #[test]
    fn where_the_connection_is_looked_at_it_is_known_by_its_agent() {
        let of = |more: &str, seen, prints: &[&str]| {
            let config = toml::from_str(&format!("url = \"http://edge.example/\"\n{more}")).unwrap();
            Canary::new("edge", config, seen, prints).map(|c| c.key().to_string())
        };
        let print = agent_print("sidetap-canary/1");
        assert_eq!(of("", AddressSeen::Peer, &["a1", "d1"]), Ok(print.clone()));
        assert_eq!(of("", AddressSeen::Forwarded, &["a1"]), Ok("192.0.2.1".into()));
        assert_eq!(of("by = \"agent\"", AddressSeen::Forwarded, &["a1"]), Ok(print));
        assert!(of("", AddressSeen::Peer, &[]).is_err());
        assert!(of("by = \"agent\"", AddressSeen::Forwarded, &[]).is_err());
        assert!(of("by = \"address\"", AddressSeen::Peer, &["a1"]).is_err());
    }

    /// A canary whose program, given `who`, says by its exit status whether it was answered.
    fn probe(script: &str) -> Result<Canary, ConfigError> {
        let text = format!(
            "command = [\"sh\", \"-c\", \"who={{}}; {script}\"]\naddress = \"10.0.0.9\"\ncontrol = \"10.0.0.8\"\nwithin_s = 1\n"
        );
        Canary::new("wall", toml::from_str(&text).unwrap(), AddressSeen::Peer, &[])
    }

    #[test]
    fn a_program_asks_from_an_address_of_its_own() {
        let sent = |script: &str, allow: &[IpNet]| {
            probe(script).unwrap().send(allow, false).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(sent("test $who = 10.0.0.8", &[]), Ok(()));
        assert!(sent("true", &[]).unwrap_err().contains("a request of 10.0.0.9 is still answered"));
        let nobody = sent("echo no route >&2; false", &[]).unwrap_err();
        assert!(nobody.contains("proves nothing") && nobody.contains("no route"), "{nobody}");
        let listed = sent("true", &["10.0.0.0/24".parse().unwrap()]).unwrap_err();
        assert!(listed.contains("never-block list"), "{listed}");
        let refused = |text: &str| {
            let config = toml::from_str(text).unwrap();
            Canary::new("wall", config, AddressSeen::Peer, &[]).unwrap_err().to_string()
        };
        let both = "address = \"10.0.0.9\"\ncontrol = \"10.0.0.8\"\n";
        assert!(refused(&format!("command = [\"true\"]\n{both}")).contains("needs `{}`"));
        assert!(refused("command = [\"true\", \"{}\"]\n").contains("two addresses"));
        assert!(
            refused(&format!("command = [\"x\", \"{{}}\"]\nurl = \"http://x/\"\n{both}")).contains("either")
        );
    }
}
