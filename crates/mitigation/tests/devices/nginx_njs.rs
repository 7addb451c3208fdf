//! nginx with the script that looks entries up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sidetap_mitigation::Connector;
use sidetap_mitigation::nginx_njs::NginxNjsConnector;
use sidetap_model::HashKey;
use sidetap_policy::Response;

use crate::nginx::Nginx;
use crate::rig::{
    ATTACKER, Rig, acts, contract, entry, holds_at_places, holds_for_the_hosts_there_are, many, measure, room,
};
use crate::support::{Breaks, ask_at, get, until, wall, with_hosts};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_js_module.so";

pub(crate) struct Njs {
    pub(crate) nginx: Nginx,
    breaks: Arc<AtomicBool>,
}

pub(crate) fn site() -> HashKey {
    HashKey::from_bytes([0xa7; 16])
}

impl Njs {
    pub(crate) fn start() -> Option<Self> {
        if !Path::new(MODULE).exists() {
            crate::support::skip(&format!("{MODULE} is not installed"));
            return None;
        }
        let text = with_hosts(include_str!("../../../../docs/connectors/nginx-njs.conf"));
        let text = text.replace("#set_real_ip_from 10.0.0.0/8", "set_real_ip_from 127.0.0.1");
        let text = text.replace("#real_ip_header", "real_ip_header");
        let text = text.replace(
            "map \"\" $st_secret { default \"\"; }",
            "map \"\" $st_secret { default \"0123456789abcdef\"; }",
        );
        let script = include_str!("../../../../docs/connectors/sidetap.js");
        let hash_key = format!("default \"{}\";\n", site().to_text().trim());
        let nginx = Nginx::with(&text, &[("sidetap.js", script), ("hash_key.conf", &hash_key)])?;
        for folder in ["entries", "other"] {
            std::fs::create_dir(nginx.file(folder)).unwrap();
        }
        Some(Njs { nginx, breaks: Arc::default() })
    }

    fn folder(&self) -> PathBuf {
        self.nginx.file("entries")
    }

    fn connector_of(&self, folder: &str) -> NginxNjsConnector {
        let text = format!(
            "entries = \"{}\"\nheader = \"user-agent\"\ntokens = true\naddress = \"forwarded\"\ncapacity = 100\n\
             responses = [\"block\", \"rate-limit\", \"tarpit\", \"deceive\", \"tag\", \"challenge\"]\n\
             rates = [\"5/60\"]\ndecoys = [\"sold_out\"]\ntag_header = \"x-sidetap-tag\"\n\
             canary = {{ url = \"http://{}/\", host = \"shop.example\" }}\n",
            self.nginx.file(folder).display(),
            self.nginx.to,
        );
        NginxNjsConnector::new(toml::from_str(&room(&text)).unwrap()).unwrap()
    }
}

impl Rig for Njs {
    fn connector(&self) -> Box<dyn Connector> {
        let inner = Box::new(self.connector_of("entries"));
        // When the entries are there and the script was not told of their kinds.
        Box::new(Breaks::new(inner, self.folder().join("forms"), &self.breaks))
    }

    fn request(&self, from: &str) -> u16 {
        get(self.nginx.to, from, &[]).0
    }

    fn door(&self) -> Option<SocketAddr> {
        Some(self.nginx.to)
    }

    fn request_at(&self, from: &str, method: &str, host: &str, path: &str) -> u16 {
        ask_at(self.nginx.to, from, (method, host, path), "x")
    }

    fn flush(&mut self) {
        std::fs::remove_dir_all(self.folder()).unwrap();
        std::fs::create_dir(self.folder()).unwrap();
    }

    fn add_foreign(&mut self) -> bool {
        std::fs::write(self.folder().join("4-32-c00002c8"), "block 0 - by hand\n").unwrap();
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        std::fs::read_to_string(self.folder().join("4-32-c00002c8")).is_ok_and(|t| t == "block 0 - by hand\n")
    }

    fn away(&mut self, away: bool) -> bool {
        let aside = self.nginx.file("aside");
        let (from, to) = if away { (self.folder(), aside) } else { (aside, self.folder()) };
        std::fs::rename(from, to).unwrap();
        true
    }

    fn break_next(&mut self) -> bool {
        self.breaks.store(true, Ordering::SeqCst);
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other")))
    }
}

#[test]
fn keeps_the_contract() {
    let Some(device) = Njs::start() else { return };
    contract(device);
}

#[test]
fn acts_on_requests() {
    let Some(device) = Njs::start() else { return };
    acts(device);
}

#[test]
fn answers_for_the_hosts_of_the_site_only() {
    let Some(device) = Njs::start() else { return };
    holds_for_the_hosts_there_are(device);
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(device) = Njs::start() else { return };
    holds_at_places(device);
}

fn push(connector: &mut dyn Connector, wanted: &[sidetap_mitigation::Entry], allow: &[ipnet::IpNet]) {
    let observed = connector.observe(wall()).unwrap();
    let plan = sidetap_mitigation::plan(wanted, &observed, allow, connector.sees());
    connector.apply(&plan, wall()).unwrap();
    assert_eq!(connector.observe(wall()).unwrap().entries.len(), wanted.len());
}

#[test]
fn slows_deceives_and_tags_and_keeps_the_allow_list() {
    let Some(device) = Njs::start() else { return };
    let wanted = [
        entry("198.51.100.1", Response::Deceive),
        entry("198.51.100.2", Response::RateLimit),
        entry("198.51.100.3", Response::Tag),
        entry("198.51.100.4", Response::Tarpit),
        entry("203.0.113.0/24", Response::Block),
        entry("2001:db8:7::/48", Response::Block),
    ];
    let allow = ["203.0.113.77/32", "203.0.113.128/26", "2001:db8:7:1::/64"].map(|n| n.parse().unwrap());
    std::fs::write(device.folder().join("allow"), "203.0.113.250\n").unwrap();
    push(device.connector().as_mut(), &wanted, &allow);
    let status = |from: &str| device.request(from);
    assert_eq!(status(ATTACKER), 403, "at once");
    assert_eq!(get(device.nginx.to, "198.51.100.1", &[]), (200, "{}".into()));
    assert_eq!(get(device.nginx.to, "198.51.100.3", &[]), (200, "tagged".into()));
    for one in ["203.0.113.77", "203.0.113.129", "203.0.113.250", "2001:db8:7:1::9"] {
        assert_eq!(status(one), 200, "the allow list wins on the device: {one}");
    }
    assert_eq!((status("203.0.113.78"), status("2001:db8:7:2::9"), status("2001:db8:8::9")), (403, 403, 200));
    let many: Vec<u16> = (0..20).map(|_| status("198.51.100.2")).collect();
    assert!(many[0] == 200 && many.contains(&429), "{many:?}");
    assert!((0..20).all(|_| status("198.51.100.9") == 200), "others are not slowed");
    assert_eq!(status("198.51.100.4"), 200);
    let start = std::time::Instant::now();
    assert_eq!(status("198.51.100.4"), 200, "late, and by the application");
    assert!(start.elapsed() > std::time::Duration::from_millis(1500), "{:?}", start.elapsed());
}

/// Entries come and go under a connection that is kept, and every request on it is answered as it should be.
#[test]
fn no_change_costs_anybody_a_connection() {
    use std::io::{Read, Write};
    let Some(device) = Njs::start() else { return };
    let mut connector = device.connector();
    let mut kept = std::net::TcpStream::connect(device.nginx.to).unwrap();
    let mut ask = |from: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: {from}\r\n\r\n");
        kept.write_all(request.as_bytes()).unwrap();
        let mut buffer = [0; 4096];
        let n = kept.read(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).split(' ').nth(1).and_then(|s| s.parse::<u16>().ok())
    };
    for round in 0..60 {
        let wanted = [entry(ATTACKER, Response::Block), entry(&format!("192.0.2.{round}"), Response::Block)];
        push(connector.as_mut(), if round % 2 == 0 { &wanted } else { &wanted[1..] }, &[]);
        assert_eq!(ask("198.51.100.9"), Some(200), "an honest client");
        assert_eq!(ask(ATTACKER), Some(if round % 2 == 0 { 403 } else { 200 }), "the next request");
    }
}

#[test]
fn a_script_that_finds_nothing_lets_everybody_through() {
    let Some(mut device) = Njs::start() else { return };
    push(device.connector().as_mut(), &[entry(ATTACKER, Response::Block)], &[]);
    assert_eq!(device.request(ATTACKER), 403);
    for text in ["4-32\n4-99\nnosuch\n\n+\n", "4-32\n6-64\n"] {
        std::fs::write(device.folder().join("forms"), text).unwrap();
        assert_eq!((device.request(ATTACKER), device.request("198.51.100.9")), (403, 200));
    }
    for text in ["", "block", "block 1 -", "nonsense 0 -", "block 0 ^(", "\0\0\0\0"] {
        std::fs::write(device.folder().join("4-32-cb007109"), text).unwrap();
        let expected = if text == "block" { 403 } else { 200 };
        assert_eq!(device.request(ATTACKER), expected, "{text:?}");
    }
    device.away(true);
    assert_eq!(device.request(ATTACKER), 200);
    device.away(false);
}

#[test]
fn odd_files_open_nothing() {
    let Some(device) = Njs::start() else { return };
    let mut connector = device.connector();
    let wanted = [entry(ATTACKER, Response::Block), entry("198.51.100.0/24", Response::Block)];
    push(connector.as_mut(), &wanted, &[]);
    let refused = |what: &str| {
        assert_eq!((device.request(ATTACKER), device.request("203.0.113.10")), (403, 200), "{what}");
    };
    let at = |name: &str| device.folder().join(name);
    let forms = std::fs::read_to_string(at("forms")).unwrap();
    std::fs::write(at("forms"), format!("__proto__\nconstructor\n+toString\nallow-\nallow-4-x\n{forms}"))
        .unwrap();
    std::fs::write(at("__proto__-1"), "block 0\n").unwrap();
    refused("kinds that every object of the script has");
    connector.observe(wall()).unwrap();
    push(connector.as_mut(), &wanted, &[]);
    assert_eq!(std::fs::read_to_string(at("forms")).unwrap(), forms, "known kinds only");
    refused("the same after a reconcile");
    let own = std::fs::read_to_string(at("4-32-cb007109")).unwrap();
    std::fs::write(
        at("4-32-cb007109"),
        format!("__proto__ 0 -\nconstructor 0\nblock 0 ^(\n{own}__proto__ 0 -\n"),
    )
    .unwrap();
    refused("responses that there are none of");
    std::fs::write(at("4-32-cb007109"), own).unwrap();
    std::fs::write(at("4-24-cb007100"), b"b\xff\xfe").unwrap();
    std::fs::write(at("allow"), b"\xff\xfe\n1.2.3\n::g/\n[/3\n").unwrap();
    refused("files that are no text");
    std::fs::remove_file(at("4-24-cb007100")).unwrap();
    std::fs::create_dir(at("4-24-cb007100")).unwrap();
    refused("a folder");
    push(connector.as_mut(), &[], &[]);
    assert_eq!(device.request(ATTACKER), 200, "and nothing keeps what goes");
}

/// Entries in a folder that no nginx reads are no effect: a status says so as long as it is so.
#[test]
fn a_status_asks_the_canary() {
    let Some(device) = Njs::start() else { return };
    let status_of = |folder: &str| {
        let connector: Box<dyn Connector> = Box::new(device.connector_of(folder));
        let mut enforcer = sidetap_mitigation::Enforcer::with_connectors(vec![connector]);
        let verdict = crate::support::verdict("v1", sidetap_model::SubjectKind::Ip, ATTACKER, "block", 600);
        let options = sidetap_mitigation::PushOptions::new(sidetap_mitigation::Mode::Enforce);
        let now = crate::support::wall_ts();
        let report = enforcer.push(&crate::support::desired(&[verdict], &[]), now, &options);
        (report.is_ok(), enforcer.status(now).connectors.remove(0).drift)
    };
    let (done, drift) = status_of("other");
    assert!(!done && drift.iter().any(|d| d.contains("still answered with 200")), "{done} {drift:?}");
    assert_eq!(status_of("entries"), (true, Vec::new()));
}

/// A request that waits for a writer would keep its worker for good.
#[test]
fn a_pipe_holds_nobody_up() {
    let Some(device) = Njs::start() else { return };
    push(device.connector().as_mut(), &[entry(ATTACKER, Response::Block)], &[]);
    let pipe = device.folder().join("4-32-c6336409");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Every worker that was held would stay so: one answer is enough, however long a busy machine takes.
    until("who has no entry is answered", || device.request("198.51.100.9") == 200);
    until("who has one is refused", || device.request(ATTACKER) == 403);
}

/// Each refusal looks for a network of each length once, however many there are: the list of ten thousand is in no file that is read.
#[test]
fn a_long_allow_list_is_looked_up_and_not_read() {
    let Some(device) = Njs::start() else { return };
    let mut allow: Vec<ipnet::IpNet> = (0..10_000_u32)
        .map(|n| ipnet::Ipv4Net::new((0x0a00_0000 + 2 * n).into(), 32).unwrap().into())
        .chain(["203.0.113.128/26", "203.0.113.77/32"].map(|n| n.parse().unwrap()))
        .collect();
    allow.sort_unstable();
    std::fs::write(device.folder().join("allow"), "203.0.113.250\n10.0.0.0/8 # sidetap:allow\n").unwrap();
    let mut connector = device.connector();
    let wanted = [entry("203.0.113.0/24", Response::Block), entry("10.0.0.0/16", Response::Block)];
    push(connector.as_mut(), &wanted, &allow);
    let mut observed = connector.observe(wall()).unwrap();
    observed.allow.sort_unstable();
    assert!(observed.allow == allow && observed.drift.is_empty(), "{:?}", observed.drift);
    assert_eq!(std::fs::read_to_string(device.folder().join("allow")).unwrap(), "203.0.113.250\n");
    for (from, status) in [
        ("203.0.113.77", 200),
        ("203.0.113.129", 200),
        ("203.0.113.250", 200),
        ("10.0.39.14", 200),
        ("10.0.39.15", 403),
        ("203.0.113.78", 403),
    ] {
        assert_eq!(device.request(from), status, "{from}");
    }
    push(connector.as_mut(), &wanted, &[]);
    assert_eq!((device.request("203.0.113.77"), device.request("203.0.113.250")), (403, 200));
}

/// What `sidetap replay` says of these heads, read from a capture of them.
pub(crate) const AGENT: &str = "a1-2223ba5f97f4b8df";
const HEAD: &str = "s2-95aa53b6a5dc0e3c";
pub(crate) const DOOR: &str = "d1-6649267bceab189e";

/// One request as it was in that capture, but for where it goes; with one field more where it is asked for.
pub(crate) fn head_of(to: SocketAddr, from: &str, more: &str) -> u16 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    let request = format!(
        "GET /a HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: python-requests/2.32\r\nAccept: */*\r\nAccept-Language: de\r\n\
         X-Odd: 1\r\n{more}X-Forwarded-For: {from}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    let n = stream.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..n]).split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// Applications take the first or the last of several values: all that may be it are compared.
fn each_value_is_compared(to: SocketAddr) {
    let ask = |headers: &[(&str, &str)]| get(to, "198.51.100.1", headers).0;
    let (session, other) = ("session=s3ss10n-of-the-bot", "session=s3ss10n-of-another");
    let many = [other].repeat(100).join("; ");
    for cookies in [
        format!("{other}; {session}"),
        format!("{session}; {other}"),
        format!("{many}; {session}"),
        format!("{session}; {many}"),
        format!("{many}; {session}; {}", "xsession=s3ss10n-of-another; ".repeat(100)),
    ] {
        assert_eq!(ask(&[("Cookie", &cookies)]), 403, "{cookies}");
    }
    assert_eq!(ask(&[("Cookie", other), ("Cookie", session)]), 403, "in two lines");
    assert_eq!(ask(&[("Cookie", &many)]), 200);
    let (key, junk) = (("X-Api-Key", "sk_live_0123456789"), ("X-Api-Key", "sk_live_junkjunkj"));
    assert_eq!((ask(&[key, junk]), ask(&[junk, key]), ask(&[junk, key, junk])), (403, 403, 403));
    let bearer = ("Authorization", "Bearer s3ss10n-of-the-bot");
    assert_eq!(ask(&[bearer, junk, ("Cookie", other)]), 403, "the credential besides a cookie and a key");
    let long = format!("session={}", "x".repeat(3_900));
    assert_eq!(ask(&[("Cookie", &format!("{long}; {session}"))]), 403, "a long one beside it");
}

#[test]
fn fingerprints_are_computed_at_the_door() {
    let Some(device) = Njs::start() else { return };
    let nginx = &device.nginx;
    let mut connector = device.connector();
    let mut push = |wanted: &[sidetap_mitigation::Entry]| push(connector.as_mut(), wanted, &[]);
    for key in [AGENT, HEAD, DOOR].map(|print| format!("203.0.113.9|{print}")) {
        push(&[entry(&key, Response::Block)]);
        until("he is refused", || head_of(nginx.to, "203.0.113.9", "") == 403);
        assert_eq!(head_of(nginx.to, "203.0.113.10", ""), 200, "the same elsewhere");
        assert_eq!(get(nginx.to, "203.0.113.9", &[("User-Agent", "Mozilla/5.0")]).0, 200, "his neighbour");
        let pad = "x".repeat(5000);
        let padded = |name: &str| head_of(nginx.to, "203.0.113.9", &format!("{name}: {pad}\r\n"));
        assert_eq!(padded("Cookie"), 403, "what goes into no fingerprint is no way by");
        assert_eq!(padded("Accept-Encoding"), if key.ends_with(AGENT) { 403 } else { 200 }, "another head");
    }
    push(&[entry(AGENT, Response::Block)]);
    let long = "x".repeat(5000);
    assert_eq!(get(nginx.to, "198.51.100.1", &[("User-Agent", &long)]).0, 200, "fails open");
    for head in [HEAD, DOOR] {
        push(&[entry(head, Response::Block)]);
        until("the head is refused wherever it comes from", || head_of(nginx.to, "198.51.100.1", "") == 403);
        assert_eq!(head_of(nginx.to, "198.51.100.1", "X-More: 1\r\n"), 200, "another head");
    }
    push(&[entry(&format!("{HEAD}@GET,shop.example/a"), Response::Block)]);
    until("the head is refused there", || head_of(nginx.to, "198.51.100.1", "") == 403);
    push(&[entry(&format!("{HEAD}@GET,shop.example/b"), Response::Block)]);
    until("the head is let go there", || head_of(nginx.to, "198.51.100.1", "") == 200);

    push(&[entry(
        "header:user-agent=odd%20%28%22tool%22%29%2F1.0%3B%20%7B%C3%A9%7D".replace("%2F", "/").as_str(),
        Response::Block,
    )]);
    let odd = |from: &str, agent: &str| get(nginx.to, from, &[("User-Agent", agent)]).0;
    until("the agent is refused", || odd("198.51.100.1", "odd (\"tool\")/1.0; {é}") == 403);
    assert_eq!(odd("198.51.100.1", "odd (\"tool\")/1.1; {é}"), 200);
    push(&[entry("203.0.113.9|header:user-agent=curl/8.5", Response::Block)]);
    until("his agent is refused", || odd("203.0.113.9", "curl/8.5") == 403);
    assert_eq!((odd("203.0.113.9", "curl/8.6"), odd("203.0.113.10", "curl/8.5")), (200, 200));

    let secret = |domain: &str, value: &str| {
        entry(&format!("{domain}:{:016x}", site().hash64(domain, value.as_bytes())), Response::Block)
    };
    let signature = "c2lnbmF0dXJlLW9mLWEtand0";
    push(&[
        secret("session", "s3ss10n-of-the-bot"),
        secret("session", signature),
        secret("session", "s:s3ss10n/of+the=bot\u{e9}"),
        secret("api-key", "sk_live_0123456789"),
    ]);
    let with = |name: &str, value: &str| get(nginx.to, "198.51.100.1", &[(name, value)]).0;
    until("the session is refused", || with("Cookie", "lang=de; session=s3ss10n-of-the-bot") == 403);
    assert_eq!(with("Cookie", "lang=de; session=s3ss10n-of-another"), 200);
    for value in crate::support::spellings::ESCAPED {
        assert_eq!(with("Cookie", &format!("session={value}")), 403, "{value}");
    }
    assert_eq!(
        (with("X-Api-Key", "sk_live_0123456789"), with("X-Api-Key", "sk_live_0123456780")),
        (403, 200)
    );
    each_value_is_compared(nginx.to);
    for (name, value) in crate::support::endless(7_900) {
        assert_eq!(with(name, &value), 200, "{name} takes nobody down");
    }
    for (name, byte) in [("User-Agent", 0x80), ("X-Api-Key", 0xff), ("Cookie", 0x80)] {
        let status = crate::support::odd_bytes(nginx.to, name, byte, 7_900);
        assert_eq!(status, 200, "{name} of bytes {byte:#x} is no text");
    }
    assert_eq!(with("Authorization", "ApiKey sk_live_0123456789"), 403);
    let bearer =
        |token: &str| with("Authorization", &format!("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{token}"));
    assert_eq!((bearer(signature), bearer("c2lnbmF0dXJlLW9mLWFub3RoZXI")), (403, 200));
    let files = std::fs::read_dir(device.folder()).unwrap().map(|f| f.unwrap().path());
    let told: String =
        files.map(|f| format!("{} {}", f.display(), std::fs::read_to_string(&f).unwrap())).collect();
    assert!(told.contains("api-key:"), "{told}");
    assert!(!told.contains("s3ss10n") && !told.contains("sk_live"), "no secret on the device: {told}");

    push(&[entry("203.0.113.9", Response::Challenge)]);
    let agent = ("User-Agent", "browser/1");
    until("he is asked", || get(nginx.to, "203.0.113.9", &[agent]).0 == 403);
    let (_, page) = get(nginx.to, "203.0.113.9", &[agent]);
    let turned = page.split('"').find(|p| p.len() == 32).unwrap();
    let token: String = turned.chars().rev().collect();
    let with = |from: &str, token: &str| {
        get(nginx.to, from, &[agent, ("Cookie", &format!("a=b; st_pass={token}"))]).0
    };
    assert_eq!((with("203.0.113.9", &token), with("203.0.113.9", turned)), (200, 403));
    assert_eq!(get(nginx.to, "198.51.100.9", &[agent]).0, 200, "nobody else is asked");
}

#[test]
#[ignore = "measures"]
fn measure_effect() {
    let Some(device) = Njs::start() else { return };
    measure(device, 30);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Njs::start() else { return };
    many(device);
}

/// Its agent is refused from an address that is never blocked too, and nobody else there is.
#[test]
fn a_canary_by_its_agent_proves_from_any_address() {
    let Some(device) = Njs::start() else { return };
    let text = format!(
        "entries = \"{}\"\naddress = \"forwarded\"\ncanary = {{ url = \"http://{}/\", host = \"shop.example\", by = \"agent\" }}\n",
        device.folder().display(),
        device.nginx.to,
    );
    let connector: Box<dyn Connector> =
        Box::new(NginxNjsConnector::new(toml::from_str(&text).unwrap()).unwrap());
    let mut enforcer = sidetap_mitigation::Enforcer::with_connectors(vec![connector]);
    let attacker = crate::support::verdict("v1", sidetap_model::SubjectKind::Ip, ATTACKER, "block", 600);
    let wanted = crate::support::desired(&[attacker], &["192.0.2.2/32"]);
    let options = sidetap_mitigation::PushOptions::new(sidetap_mitigation::Mode::Enforce);
    let report = enforcer.push(&wanted, crate::support::wall_ts(), &options);
    assert!(report.is_ok() && report.connectors[0].effect_ms.is_some(), "{report:?}");
    assert_eq!(device.request("192.0.2.2"), 200);
}
