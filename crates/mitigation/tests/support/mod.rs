//! What the tests of connectors share: tools of the machine, ports, child processes, verdicts.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::unwrap_used
)]

pub(crate) mod spellings;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use sidetap_mitigation::{Answer, Canary, Connector, ConnectorError, DesiredOptions, Observed, Plan, Sees};
use sidetap_model::rows::{Reason, Subject, VerdictRow};
use sidetap_model::{SubjectKind, Ts};
use sidetap_policy::AllowList;

/// Where a tool is; none, said aloud, where it is missing. With `SIDETAP_REQUIRE_TOOLS=1` a missing one fails the test.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into(), "/usr/bin".into()]);
    let found = places.map(|dir| dir.join(name)).find(|p| p.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

pub(crate) fn skip(why: &str) {
    println!("skipped: {why}");
    assert!(
        std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none_or(|v| v != "1"),
        "{why}, and tools are required"
    );
}

/// A port that no other test is given while this program runs, and that the kernel gives nobody who asks for any: between the choice and the
/// moment at which a server has bound it, or while that is down, it could be another test's otherwise. Servers that bind it beside (`SO_REUSEPORT`)
/// would then answer by turns.
pub(crate) fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap();
    let first = std::process::id() as u16 % PORTS;
    let port = (0..PORTS).map(|n| LOWEST + (first + n) % PORTS).find(|port| {
        // A name for all programs in this network, free when its owner ends.
        let name =
            std::os::unix::net::SocketAddr::from_abstract_name(format!("sidetap-test-port-{port}")).unwrap();
        let Ok(ours) = UnixListener::bind_addr(&name) else { return false };
        let is_free = TcpListener::bind(("0.0.0.0", *port)).is_ok();
        taken.push(ours);
        is_free
    });
    port.unwrap()
}

/// Ports that are given to servers: below those that the kernel gives to clients (32768, ip(7)).
const LOWEST: u16 = 12_000;
const PORTS: u16 = 20_000;

pub(crate) fn wall() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
}

pub(crate) fn wall_ts() -> Ts {
    Ts::from_parts(wall(), 0)
}

/// When the test's first verdict was made: one that is made twice is not seen again because a second went by.
static BEGUN: std::sync::LazyLock<Ts> = std::sync::LazyLock::new(wall_ts);

/// A child that is ended, by its id, with the test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Process(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `holds`, at most ten seconds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A command that fails once where `fail` is there and it is told `word`, and always where `gone` is.
pub(crate) fn fickle(command: &[String], word: &str, fail: &Path, gone: &Path) -> Vec<String> {
    let script = format!(
        "if [ -e '{gone}' ]; then exit 1; fi; case \" $* \" in *' {word} '*) if rm '{fail}' 2>/dev/null; then exit 1; fi;; esac; exec \"$@\"",
        gone = gone.display(),
        fail = fail.display()
    );
    let mut all = vec!["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()];
    all.extend_from_slice(command);
    all
}

/// A documented configuration with more hosts where the user names those of the site.
pub(crate) fn with_hosts(text: &str) -> String {
    let mut out = text.to_owned();
    for (named, more) in [
        (
            "shop.example www.shop.example",
            "shop.example www.shop.example a.shop.example any.example all.example shop.example.test",
        ),
        (r#""shop.example", "www.shop.example""#, r#""shop.example", "www.shop.example", "any.example""#),
        (r"www\.)?shop\.example", r"www\.)?(?:shop|any)\.example"),
    ] {
        out = out.replace(named, more);
    }
    assert_ne!(out, text, "it names the site's hosts");
    out
}

/// Has every command of a device fail (`fickle`), or none any more.
pub(crate) fn gone(file: &Path, gone: bool) {
    if gone {
        std::fs::write(file, "").unwrap();
    } else {
        std::fs::remove_file(file).unwrap();
    }
}

/// What comes as answer to these bytes on a connection of their own: as much as its length says, whenever the server closes
/// (Envoy holds a refused connection for a second); all until the end where it says none.
pub(crate) fn exchange(to: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = TcpStream::connect_timeout(&to, Duration::from_secs(2)).and_then(|mut s| {
        s.set_read_timeout(Some(Duration::from_secs(5)))?;
        s.write_all(request)?;
        let mut buffer = [0; 16_384];
        while !is_whole(&bytes) {
            let n = s.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            bytes.extend_from_slice(buffer.get(..n).unwrap_or_default());
        }
        Ok(())
    });
    bytes
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let start = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |n| n + 4);
    length.is_some_and(|length| answer.len() >= start + length)
}

/// One request on a connection of its own in the name of a forwarded address; gives status and body, 0 where nothing came.
pub(crate) fn get(to: SocketAddr, forwarded: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let head: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: {forwarded}\r\n{head}Connection: close\r\n\r\n"
    );
    let bytes = exchange(to, request.as_bytes());
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default())
}

/// The status of one request with this method, host and path, and agent, in the name of a forwarded address.
pub(crate) fn ask_at(to: SocketAddr, from: &str, at: (&str, &str, &str), agent: &str) -> u16 {
    answer_at(to, from, at, agent).split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// The body of the answer.
pub(crate) fn body_at(to: SocketAddr, from: &str, at: (&str, &str, &str)) -> String {
    answer_at(to, from, at, "x").split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
}

fn answer_at(to: SocketAddr, from: &str, (method, host, path): (&str, &str, &str), agent: &str) -> String {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {from}\r\nUser-Agent: {agent}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let bytes = exchange(to, request.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A request as a server of a test sees it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header, empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> String {
        let line = self.head.lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")));
        line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A server that answers with a status and a body, in a thread that ends with the test program.
pub(crate) fn serve(mut answer: impl FnMut(&Request) -> (u16, String) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some(request) = read_request(&mut stream) else { continue };
            let (status, body) = answer(&request);
            let head = format!(
                "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nRetry-After: 7\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    at
}

fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 65536]);
    loop {
        let n = stream.read(&mut buffer).ok()?;
        bytes.extend_from_slice(&buffer[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            if n == 0 {
                return None;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let mut request = Request { method, path, head, body: Vec::new() };
        let length = request.header("content-length").parse().unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            request.body = bytes[end + 4..].to_vec();
            return Some(request);
        }
        // Whoever broke off asked for nothing.
        if n == 0 {
            return None;
        }
    }
}

/// A relay before a device's socket that can lose a connection.
pub(crate) struct Relay {
    left: Arc<AtomicI64>,
}

impl Relay {
    pub(crate) fn start(upstream: PathBuf, at: PathBuf) -> Self {
        let listener = UnixListener::bind(at).unwrap();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let counter = Arc::clone(&left);
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                // One connection is lost, then all goes well again.
                if counter.fetch_sub(1, Ordering::SeqCst) == 0 {
                    counter.store(i64::MAX, Ordering::SeqCst);
                    continue;
                }
                let Ok(mut device) = UnixStream::connect(&upstream) else { continue };
                let mut to = device.try_clone().unwrap();
                let mut from = client.try_clone().unwrap();
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
                let _ = std::io::copy(&mut device, &mut client);
                let _ = client.shutdown(std::net::Shutdown::Both);
            }
        });
        Relay { left }
    }

    /// Loses the connection after so many.
    pub(crate) fn fail_after(&self, connections: i64) {
        self.left.store(connections, Ordering::SeqCst);
    }
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A web application: 200 and `app` for everybody, in a thread that ends with the test program.
pub(crate) fn application() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(n) = stream.read(&mut buffer) {
                    let tag = String::from_utf8_lossy(buffer.get(..n).unwrap_or_default()).to_lowercase();
                    let value = tag.split("x-sidetap-tag: ").nth(1).and_then(|v| v.lines().next());
                    let body = match value.map(str::trim) {
                        None | Some("") => "app".to_owned(),
                        Some("1") => "tagged".to_owned(),
                        Some(value) => format!("tagged {value}"),
                    };
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if n == 0 || stream.write_all(head.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

pub(crate) fn verdict(id: &str, kind: SubjectKind, value: &str, response: &str, ttl_s: u64) -> VerdictRow {
    let reason = Reason {
        indicator: "login-failures".into(),
        weight: 3.0,
        observed: "40 of 40".into(),
        baseline: "3 %".into(),
        evidence: ["a-1".to_owned()].into(),
    };
    VerdictRow {
        id: id.into(),
        zone: "default".into(),
        subject: Subject { kind, value: value.into(), parts: Vec::new() },
        client_ip: None,
        client_ips: Vec::new(),
        intent: "malicious".into(),
        class: Some("credential-stuffing".into()),
        oat: vec!["OAT-008".into()],
        score: 90,
        automation: 90,
        coverage: Default::default(),
        campaign: None,
        phase: "online".into(),
        first_seen: *BEGUN,
        detected_at: *BEGUN,
        last_seen: *BEGUN,
        requests: 40,
        reasons: vec![reason],
        response: response.into(),
        ttl_s,
        hosts: Vec::new(),
        origin: None,
        agent: None,
        policy: Some("credential-stuffing".into()),
        measures: None,
        prints: Vec::new(),
    }
}

pub(crate) fn desired(verdicts: &[VerdictRow], allow: &[&str]) -> sidetap_mitigation::Desired {
    let nets: Vec<ipnet::IpNet> = allow.iter().map(|n| n.parse().unwrap()).collect();
    let allow = AllowList::of_nets(&nets);
    let origins = [("credential-stuffing".to_owned(), "shop.yaml 7".to_owned())].into();
    let options = DesiredOptions { now: wall_ts(), max_age_s: 3600, allow, origins, ..Default::default() };
    sidetap_mitigation::desired(verdicts, &options)
}

/// How many entries are measured: a hundred thousand, or `SIDETAP_ENTRIES`.
pub(crate) fn most() -> usize {
    std::env::var("SIDETAP_ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

/// Pushes a hundred thousand entries (or as many as the device is meant for), then one change, then takes all back; prints what each
/// took, reading the device included, and the most memory that was used for it, as a row of a table.
pub(crate) fn measure(connector: &mut dyn Connector) {
    measure_with(connector, || Duration::ZERO);
}

/// The same, with the median of ten requests (`ask`) while the device has all of it, on standard error.
pub(crate) fn measure_with(connector: &mut dyn Connector, mut ask: impl FnMut() -> Duration) {
    let n = connector.sees().capacity.min(most()) as u32;
    let entry = |n: u32| sidetap_mitigation::Entry {
        key: sidetap_mitigation::Key::Net(
            std::net::IpAddr::V4(std::net::Ipv4Addr::from(0x0a00_0000 + n * 3)).into(),
        ),
        response: sidetap_policy::Response::Block,
        expires_at: wall() + 3600,
        verdict: format!("v-{n:08x}"),
        priority: (90, 0),
        way: None,
    };
    let full: Vec<sidetap_mitigation::Entry> = (0..n).map(entry).collect();
    let mut row = format!("| {} | {n} |", connector.kind());
    let before = memory("VmRSS");
    // Forgets the peak (proc(5)).
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    for wanted in [&full[..], &full[1..], &[]] {
        let start = Instant::now();
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(wanted, &observed, &[], connector.sees());
        connector.apply(&plan, wall()).unwrap();
        row += &format!(" {:.2} s |", start.elapsed().as_secs_f64());
        assert_eq!(connector.observe(wall()).unwrap().entries.len(), wanted.len());
        if wanted.len() == full.len() {
            let mut asked: Vec<Duration> = (0..10).map(|_| ask()).collect();
            asked.sort_unstable();
            eprintln!("{}: a request with {n} entries: {:?}", connector.kind(), asked[5]);
        }
    }
    println!("{row} {} MB |", (memory("VmHWM").saturating_sub(before)) / 1024);
}

/// A line of what the kernel knows of this process, in kB.
fn memory(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Keeps a file from being read, or lets it be read again.
pub(crate) fn out_of_reach(path: &Path, away: bool) {
    let aside = path.with_extension("aside");
    if away {
        std::fs::rename(path, &aside).unwrap();
        std::fs::create_dir(path).unwrap();
    } else {
        std::fs::remove_dir(path).unwrap();
        std::fs::rename(aside, path).unwrap();
    }
}

/// A connector whose next change breaks off, where that is asked for, when it comes to this file: a directory stands in its place.
pub(crate) struct Breaks {
    inner: Box<dyn Connector>,
    file: PathBuf,
    next: Arc<AtomicBool>,
}

impl Breaks {
    pub(crate) fn new(inner: Box<dyn Connector>, file: PathBuf, next: &Arc<AtomicBool>) -> Self {
        Breaks { inner, file, next: Arc::clone(next) }
    }
}

impl Connector for Breaks {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn sees(&self) -> &Sees {
        self.inner.sees()
    }

    fn zones(&self) -> &[String] {
        self.inner.zones()
    }

    fn targets(&self) -> Vec<String> {
        self.inner.targets()
    }

    fn min_interval_s(&self) -> u64 {
        self.inner.min_interval_s()
    }

    fn canary(&self) -> Option<&Canary> {
        self.inner.canary()
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        self.inner.observe(now)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        if !self.next.swap(false, Ordering::SeqCst) {
            return self.inner.apply(plan, now);
        }
        out_of_reach(&self.file, true);
        let done = self.inner.apply(plan, now);
        out_of_reach(&self.file, false);
        done
    }
}

/// A relay before a device's port that can lose a connection.
pub(crate) struct TcpRelay {
    pub(crate) port: u16,
    left: Arc<AtomicI64>,
    away: Arc<AtomicBool>,
}

impl TcpRelay {
    pub(crate) fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let away = Arc::new(AtomicBool::new(false));
        let (counter, gone) = (Arc::clone(&left), Arc::clone(&away));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if gone.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(device) = TcpStream::connect(("127.0.0.1", upstream)) else { continue };
                let (counter, gone) = (Arc::clone(&counter), Arc::clone(&gone));
                std::thread::spawn(move || relay(client, device, &counter, &gone));
            }
        });
        TcpRelay { port, left, away }
    }

    /// Takes no connections and drops those that are used.
    pub(crate) fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Loses the connection on which the next request of one of these kinds comes, before the device hears of it.
    pub(crate) fn lose_next_change(&self) {
        self.left.store(1, Ordering::SeqCst);
    }
}

fn relay(mut client: TcpStream, mut device: TcpStream, counter: &AtomicI64, gone: &AtomicBool) {
    let (mut from, mut to) = (device.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n) = client.read(&mut buffer) {
        let read = buffer.get(..n).unwrap_or_default();
        let changes = [&b"POST /v1/alerts"[..], b"PATCH ", b"DELETE "].iter().any(|m| read.starts_with(m))
            || read.windows(12).any(|w| w == b".UpdateIPSet");
        if n == 0
            || gone.load(Ordering::SeqCst)
            || changes && counter.compare_exchange(1, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            break;
        }
        if device.write_all(read).is_err() {
            break;
        }
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = device.shutdown(std::net::Shutdown::Both);
}

/// The status of a request with a header of nothing but this byte.
pub(crate) fn odd_bytes(to: SocketAddr, name: &str, byte: u8, length: usize) -> u16 {
    let mut request = format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{name}: ").into_bytes();
    request.extend(std::iter::repeat_n(byte, length));
    request.extend_from_slice(b"\r\nX-Forwarded-For: 198.51.100.1\r\nConnection: close\r\n\r\n");
    let answer = exchange(to, &request);
    String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// Values that clients may choose to be costly: over the first ones a pattern with two repetitions takes time by the square of their length,
/// the others are many, or what is hashed is long.
pub(crate) fn endless(length: usize) -> Vec<(&'static str, String)> {
    let spaces = " ".repeat(length);
    vec![
        ("Authorization", format!("Bearer a{spaces}b")),
        ("X-Token", format!("a{spaces}b")),
        ("Cookie", "a".repeat(length)),
        ("Cookie", ";".repeat(length)),
        ("Cookie", "a=".repeat(length / 2)),
        ("X-Api-Key", "\"".repeat(length)),
        ("Cookie", format!("session={spaces};session=x")),
        ("Cookie", "a;".repeat(length / 2)),
        ("Cookie", "a==;".repeat(length / 4)),
        ("Cookie", format!("session={}", "x".repeat(length - 8))),
        ("X-Token", "eyJ".repeat(length / 3)),
        ("X-Token", format!("eyJ{}", ".".repeat(length - 3))),
        ("User-Agent", "é".repeat(length / 2)),
        ("Accept-Language", "a".repeat(length)),
        ("Content-Type", "a".repeat(length)),
    ]
}
