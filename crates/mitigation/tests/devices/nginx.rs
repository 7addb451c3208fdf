use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sidetap_mitigation::Connector;
use sidetap_mitigation::nginx::NginxConnector;
use sidetap_policy::Response;

use crate::rig::{ATTACKER, Rig, acts, contract, entry, holds_at_places, many, measure};
use crate::support::{
    Process, application, ask_at, desired, fickle, free_port, get, loopback, out_of_reach, tool, until,
    verdict, wall,
};

pub(crate) struct Nginx {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) to: SocketAddr,
    process: Process,
}

impl Nginx {
    fn start() -> Option<Self> {
        let text = include_str!("../../../../docs/connectors/nginx.conf");
        let text = text.replace("#set_real_ip_from 10.0.0.0/8", "set_real_ip_from 127.0.0.1");
        let text = text.replace("#real_ip_header", "real_ip_header");
        let files =
            ["addresses.conf", "allow.conf", "keys.conf", "places.conf", "nets.conf"].map(|f| (f, ""));
        Nginx::with(&text, &files)
    }

    /// nginx with this configuration, whose files stand in the directory of the test.
    pub(crate) fn with(text: &str, files: &[(&str, &str)]) -> Option<Self> {
        let program = tool("nginx")?;
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let to = loopback(free_port());
        let text = text.replace("/etc/nginx/sidetap/", &format!("{at}/"));
        let text = text.replace("listen 80;", &format!("listen {to};"));
        let text = text.replace("127.0.0.1:9000", &format!("127.0.0.1:{}", application()));
        let own: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|p| format!("    {p}_temp_path {at}/{p};\n"))
            .concat();
        let text = text.replacen("http {\n", &format!("http {{\n    access_log off;\n{own}"), 1);
        // Workers may not read a directory that only its owner may.
        let user = if Path::new("/root").metadata().is_ok_and(|m| is_mine(&m)) { "user root;\n" } else { "" };
        let text = format!("{text}\n");
        std::fs::write(
            dir.path().join("nginx.conf"),
            format!("{user}pid {at}/pid;\nerror_log {at}/error.log;\n{text}"),
        )
        .unwrap();
        for (name, text) in files {
            let text = text.replace("/etc/nginx/sidetap/", &format!("{at}/"));
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mut command = Command::new(program);
        command.arg("-c").arg(dir.path().join("nginx.conf")).args(["-g", "daemon off;"]);
        let log = std::fs::File::create(dir.path().join("start.log")).unwrap();
        let process = Process::start(command.stdout(Stdio::null()).stderr(log));
        until("nginx listens", || std::net::TcpStream::connect(to).is_ok());
        Some(Nginx { dir, to, process })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Vec<String> {
        let conf = self.file("nginx.conf").display().to_string();
        let all = ["nginx", "-c", conf.as_str()];
        let all: Vec<String> = all.iter().chain(args).map(|s| (*s).to_owned()).collect();
        fickle(&all, "reload", &self.file("fail"), &self.file("gone"))
    }

    /// Workers that run.
    fn workers(&self) -> usize {
        let pid = std::fs::read_to_string(self.file("pid")).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", pid.trim());
        std::fs::read_to_string(children).unwrap().split_whitespace().count()
    }

    fn connector_of(&self, addresses: &str) -> NginxConnector {
        let prefix = if addresses == "addresses.conf" { "" } else { "other-" };
        let text = format!(
            "addresses = \"{}\"\nallow = \"{}\"\nkeys = \"{}\"\nplaces = \"{}\"\nnets = \"{}\"\nfingerprints = false\n\
             responses = [\"block\", \"rate-limit\", \"tarpit\", \"deceive\", \"tag\"]\n\
             address = \"forwarded\"\ncapacity = 100\nmin_interval_s = 0\ntest = {:?}\nreload = {:?}\n\
             canary = {{ url = \"http://{}/\" }}\n",
            self.file(addresses).display(),
            self.file("allow.conf").display(),
            self.file(&format!("{prefix}keys.conf")).display(),
            self.file(&format!("{prefix}places.conf")).display(),
            self.file(&format!("{prefix}nets.conf")).display(),
            self.command(&["-t", "-q"]),
            self.command(&["-s", "reload"]),
            self.to,
        );
        NginxConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap()
    }
}

fn is_mine(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    meta.uid() == 0 && std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Workers go with their master where it is asked to stop.
        let master = self.process.0.id().to_string();
        let children = format!("/proc/{master}/task/{master}/children");
        let workers = std::fs::read_to_string(children).unwrap_or_default();
        let _ = Command::new("kill").arg(&master).status();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while self.process.0.try_wait().is_ok_and(|done| done.is_none()) {
            if std::time::Instant::now() > end {
                // A master that is killed leaves its workers behind.
                let _ = Command::new("kill").arg("-9").args(workers.split_whitespace()).status();
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Rig for Nginx {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("addresses.conf"))
    }

    fn request(&self, from: &str) -> u16 {
        get(self.to, from, &[]).0
    }

    fn request_at(&self, from: &str, method: &str, host: &str, path: &str) -> u16 {
        ask_at(self.to, from, (method, host, path), "x")
    }

    fn flush(&mut self) {
        for file in ["addresses.conf", "keys.conf", "places.conf"] {
            std::fs::write(self.file(file), "").unwrap();
        }
    }

    fn add_foreign(&mut self) -> bool {
        let path = self.file("addresses.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("# of our own\n192.0.2.200 block;\n{text}")).unwrap();
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        std::fs::read_to_string(self.file("addresses.conf"))
            .unwrap()
            .contains("# of our own\n192.0.2.200 block;\n")
    }

    fn away(&mut self, away: bool) -> bool {
        out_of_reach(&self.file("addresses.conf"), away);
        true
    }

    fn break_next(&mut self) -> bool {
        std::fs::write(self.file("fail"), "").unwrap();
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other.conf")))
    }
}

#[test]
fn keeps_the_contract() {
    let Some(nginx) = Nginx::start() else { return };
    contract(nginx);
}

#[test]
fn acts_on_requests() {
    let Some(nginx) = Nginx::start() else { return };
    acts(nginx);
}

#[test]
fn slows_deceives_and_tags_and_keeps_the_allow_list() {
    let Some(nginx) = Nginx::start() else { return };
    let mut connector = nginx.connector();
    let wanted = [
        entry("198.51.100.1", Response::Deceive),
        entry("198.51.100.2", Response::RateLimit),
        entry("198.51.100.3", Response::Tag),
        entry("203.0.113.0/24", Response::Block),
    ];
    let allow: Vec<ipnet::IpNet> = vec!["203.0.113.77/32".parse().unwrap()];
    let plan =
        sidetap_mitigation::plan(&wanted, &connector.observe(wall()).unwrap(), &allow, connector.sees());
    connector.apply(&plan, wall()).unwrap();
    until("it has an effect", || nginx.request(ATTACKER) == 403);
    // Workers of before the reload may still take a connection.
    until("a decoy answers", || get(nginx.to, "198.51.100.1", &[]) == (200, "{}".into()));
    until("requests are tagged", || get(nginx.to, "198.51.100.3", &[]) == (200, "tagged".into()));
    until("old workers are gone", || nginx.workers() == 1);
    assert_eq!(nginx.request("203.0.113.77"), 200, "the allow list wins on the device");
    let many: Vec<u16> = (0..20).map(|_| nginx.request("198.51.100.2")).collect();
    assert!(many[0] == 200 && many.contains(&429), "{many:?}");
    let calm: Vec<u16> = (0..20).map(|_| nginx.request("198.51.100.9")).collect();
    assert!(calm.iter().all(|s| *s == 200), "others are not slowed: {calm:?}");
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(nginx) = Nginx::start() else { return };
    holds_at_places(nginx);
}

#[test]
fn late_answers() {
    let Some(nginx) = Nginx::start() else { return };
    let mut connector = nginx.connector();
    let wanted = [entry("198.51.100.1", Response::Tarpit), entry("203.0.113.0/24", Response::Block)];
    let plan = sidetap_mitigation::plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    until("it has an effect", || nginx.request(ATTACKER) == 403);
    until("old workers are gone", || nginx.workers() == 1);
    assert_eq!(nginx.request("198.51.100.1"), 200);
    let start = std::time::Instant::now();
    assert_eq!(nginx.request("198.51.100.1"), 200, "late, and by the application");
    assert!(start.elapsed() > std::time::Duration::from_millis(1500), "{:?}", start.elapsed());
    assert_eq!(nginx.request("198.51.100.2"), 200);
}

/// What `sidetap replay` says of these heads, read from a capture of them.
const AGENT: &str = "a1-2223ba5f97f4b8df";
const HEAD: &str = "s2-95aa53b6a5dc0e3c";
const DOOR: &str = "d1-6649267bceab189e";

/// One request as it was in that capture, but for where it goes; with one field more where it is asked for.
fn head_of(to: SocketAddr, from: &str, more: &str) -> u16 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    let request = format!(
        "GET /a HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: python-requests/2.32\r\nAccept: */*\r\nAccept-Language: de\r\n\
         X-Odd: 1\r\n{more}X-Forwarded-For: {from}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    let n = stream.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..n]).split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

#[test]
fn fingerprints_are_computed_at_the_door() {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_js_module.so";
    if !Path::new(MODULE).exists() {
        crate::support::skip(&format!("{MODULE} is not installed"));
        return;
    }
    let text = include_str!("../../../../docs/connectors/nginx-fingerprints.conf");
    let text = text.replace("#set_real_ip_from 10.0.0.0/8", "set_real_ip_from 127.0.0.1");
    let text = text.replace("#real_ip_header", "real_ip_header");
    let script = include_str!("../../../../docs/connectors/sidetap.js");
    let text = text.replace(
        "map \"\" $st_secret { default \"\"; }",
        "map \"\" $st_secret { default \"0123456789abcdef\"; }",
    );
    let empty = ["addresses.conf", "allow.conf", "keys.conf", "places.conf", "nets.conf"].map(|f| (f, ""));
    let site = sidetap_model::HashKey::from_bytes([0xa7; 16]);
    let hash_key = format!("default \"{}\";\n", site.to_text().trim());
    let files: Vec<(&str, &str)> =
        empty.into_iter().chain([("sidetap.js", script), ("hash_key.conf", &hash_key)]).collect();
    let Some(nginx) = Nginx::with(&text, &files) else { return };
    let text = format!(
        "addresses = \"{}\"\nkeys = \"{}\"\nplaces = \"{}\"\nnets = \"{}\"\nheader = \"user-agent\"\ntokens = true\nresponses = [\"block\", \"challenge\"]\naddress = \"forwarded\"\nmin_interval_s = 0\ntest = {:?}\nreload = {:?}\n",
        nginx.file("addresses.conf").display(),
        nginx.file("keys.conf").display(),
        nginx.file("places.conf").display(),
        nginx.file("nets.conf").display(),
        nginx.command(&["-t", "-q"]),
        nginx.command(&["-s", "reload"]),
    );
    let mut connector = NginxConnector::new(toml::from_str(&text).unwrap()).unwrap();
    let mut push = |wanted: &[sidetap_mitigation::Entry]| {
        let plan =
            sidetap_mitigation::plan(wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
        connector.apply(&plan, wall()).unwrap();
        assert_eq!(connector.observe(wall()).unwrap().entries.len(), wanted.len());
    };
    for key in [AGENT, HEAD, DOOR].map(|print| format!("203.0.113.9|{print}")) {
        push(&[entry(&key, Response::Block)]);
        until("he is refused", || head_of(nginx.to, "203.0.113.9", "") == 403);
        until("old workers are gone", || nginx.workers() == 1);
        assert_eq!(head_of(nginx.to, "203.0.113.10", ""), 200, "the same elsewhere");
        assert_eq!(get(nginx.to, "203.0.113.9", &[("User-Agent", "Mozilla/5.0")]).0, 200, "his neighbour");
        let long = format!("X-Long: {}\r\n", "x".repeat(5000));
        assert_eq!(head_of(nginx.to, "203.0.113.9", &long), 200, "fails open");
    }
    for head in [HEAD, DOOR] {
        push(&[entry(head, Response::Block)]);
        until("the head is refused wherever it comes from", || head_of(nginx.to, "198.51.100.1", "") == 403);
        until("old workers are gone", || nginx.workers() == 1);
        assert_eq!(head_of(nginx.to, "198.51.100.1", "X-More: 1\r\n"), 200, "another head");
    }
    push(&[entry(&format!("{HEAD}@GET,127.0.0.1/a"), Response::Block)]);
    until("old workers are gone", || nginx.workers() == 1);
    until("the head is refused there", || head_of(nginx.to, "198.51.100.1", "") == 403);
    push(&[entry(&format!("{HEAD}@GET,127.0.0.1/b"), Response::Block)]);
    until("the head is let go there", || head_of(nginx.to, "198.51.100.1", "") == 200);

    push(&[entry(
        "header:user-agent=odd%20%28%22tool%22%29%2F1.0%3B%20%7B%C3%A9%7D".replace("%2F", "/").as_str(),
        Response::Block,
    )]);
    let odd = |from: &str, agent: &str| get(nginx.to, from, &[("User-Agent", agent)]).0;
    until("the agent is refused", || odd("198.51.100.1", "odd (\"tool\")/1.0; {é}") == 403);
    until("old workers are gone", || nginx.workers() == 1);
    assert_eq!(odd("198.51.100.1", "odd (\"tool\")/1.1; {é}"), 200);
    push(&[entry("203.0.113.9|header:user-agent=curl/8.5", Response::Block)]);
    until("his agent is refused", || odd("203.0.113.9", "curl/8.5") == 403);
    until("old workers are gone", || nginx.workers() == 1);
    assert_eq!((odd("203.0.113.9", "curl/8.6"), odd("203.0.113.10", "curl/8.5")), (200, 200));

    let secret = |domain: &str, value: &str| {
        entry(&format!("{domain}:{:016x}", site.hash64(domain, value.as_bytes())), Response::Block)
    };
    let signature = "c2lnbmF0dXJlLW9mLWEtand0";
    push(&[
        secret("session", "s3ss10n-of-the-bot"),
        secret("session", signature),
        secret("api-key", "sk_live_0123456789"),
    ]);
    let with = |name: &str, value: &str| get(nginx.to, "198.51.100.1", &[(name, value)]).0;
    until("the session is refused", || with("Cookie", "lang=de; session=s3ss10n-of-the-bot") == 403);
    until("old workers are gone", || nginx.workers() == 1);
    assert_eq!(with("Cookie", "lang=de; session=s3ss10n-of-another"), 200);
    assert_eq!(
        (with("X-Api-Key", "sk_live_0123456789"), with("X-Api-Key", "sk_live_0123456780")),
        (403, 200)
    );
    assert_eq!(with("Authorization", "ApiKey sk_live_0123456789"), 403);
    let bearer =
        |token: &str| with("Authorization", &format!("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{token}"));
    assert_eq!((bearer(signature), bearer("c2lnbmF0dXJlLW9mLWFub3RoZXI")), (403, 200));
    let told = std::fs::read_to_string(nginx.file("keys.conf")).unwrap();
    assert!(!told.contains("s3ss10n") && !told.contains("sk_live"), "no secret on the device: {told}");

    push(&[entry("203.0.113.9", Response::Challenge)]);
    let agent = ("User-Agent", "browser/1");
    until("he is asked", || get(nginx.to, "203.0.113.9", &[agent]).0 == 403);
    until("old workers are gone", || nginx.workers() == 1);
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
fn a_canary_that_gets_through_is_a_failure() {
    let Some(nginx) = Nginx::start() else { return };
    // The rules that look the list up are lost, as after a hasty change of the configuration.
    let conf = std::fs::read_to_string(nginx.file("nginx.conf")).unwrap();
    std::fs::write(nginx.file("nginx.conf"), conf.replace("if ($st_do = block) { return 403; }", ""))
        .unwrap();
    let mut enforcer = sidetap_mitigation::Enforcer::with_connectors(vec![nginx.connector()]);
    let want = desired(&[verdict("v1", sidetap_model::SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
    let options = sidetap_mitigation::PushOptions::new(sidetap_mitigation::Mode::Enforce);
    let report = enforcer.push(&want, crate::support::wall_ts(), &options);
    assert!(report.connectors[0].answer.contains("is still answered with 200"), "{report:?}");
    let soon = enforcer.push(&want, crate::support::wall_ts(), &options);
    let outcome = soon.connectors[0].outcome.as_str();
    assert!(
        ["waiting", "failed"].contains(&outcome),
        "it stays a failure though the list is right: {soon:?}"
    );
}

#[test]
#[ignore = "measures"]
fn measure_effect() {
    let Some(nginx) = Nginx::start() else { return };
    measure(nginx, 30);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Nginx::start() else { return };
    many(device);
}
