use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sidetap_mitigation::Connector;
use sidetap_mitigation::envoy::EnvoyConnector;
use sidetap_policy::Response;

use crate::nginx_njs::{AGENT, DOOR, head_of, site};
use crate::rig::{Rig, acts, contract, entry, holds_at_places, holds_for_the_hosts_there_are, many, measure};
use crate::support::{
    Breaks, Process, application, ask_at, free_port, get, loopback, spellings, tool, until, wall, with_hosts,
};

pub(crate) struct Envoy {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) to: SocketAddr,
    process: Process,
    breaks: Arc<AtomicBool>,
}

impl Envoy {
    pub(crate) fn start() -> Option<Self> {
        Self::start_in(|_| ())
    }

    /// The same, with something done to the directory that Envoy watches first.
    pub(crate) fn start_in(prepare: impl FnOnce(&Path)) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let program = tool("envoy")?;
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let to = loopback(free_port());
        let text = include_str!("../../../../docs/connectors/envoy.yaml");
        let text = text.replace("/etc/envoy/sidetap", &format!("{at}/watched"));
        let text = text.replace(
            "address: 0.0.0.0, port_value: 80}",
            &format!("address: 127.0.0.1, port_value: {}}}", to.port()),
        );
        let text = text.replace("port_value: 9000", &format!("port_value: {}", application()));
        let routes = &with_hosts(include_str!("../../../../docs/connectors/envoy-routes.json"));
        std::fs::create_dir(dir.path().join("watched")).unwrap();
        prepare(&dir.path().join("watched"));
        for (name, text) in
            [("envoy.yaml", text.as_str()), ("template.json", routes), ("watched/routes.json", routes)]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::fs::write(dir.path().join("hash.key"), site().to_text()).unwrap();
        // Envoys on one machine are told apart by this.
        let id = (std::process::id() % 30_000) * 16 + COUNT.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new(program);
        command.arg("-c").arg(dir.path().join("envoy.yaml")).args([
            "--concurrency",
            "1",
            "-l",
            "error",
            "--base-id",
        ]);
        command.arg(id.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command);
        until("envoy answers", || get(to, "192.0.2.9", &[]).0 == 200);
        Some(Envoy { dir, to, process, breaks: Arc::default() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn connector_of(&self, memory: &str) -> Box<dyn Connector> {
        let text = format!(
            "routes = \"{}\"\ntemplate = \"{}\"\nmemory = \"{}\"\naddress = \"forwarded\"\ncapacity = 100\nscript = \"sidetap-script\"\n\
             hash_key = \"{}\"\nheaders = [\"user-agent\", \"x-app\"]\n\
             canary = {{ url = \"http://{}/\", host = \"shop.example\" }}\n",
            self.file("watched/routes.json").display(),
            self.file("template.json").display(),
            self.file(memory).display(),
            self.file("hash.key").display(),
            self.to
        );
        let inner = EnvoyConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap();
        // When Envoy has its routes and it is not yet remembered.
        Box::new(Breaks::new(Box::new(inner), self.file(memory), &self.breaks))
    }
}

impl Rig for Envoy {
    fn connector(&self) -> Box<dyn Connector> {
        self.connector_of("memory.json")
    }

    fn request(&self, from: &str) -> u16 {
        get(self.to, from, &[]).0
    }

    fn door(&self) -> Option<SocketAddr> {
        Some(self.to)
    }

    fn request_at(&self, from: &str, method: &str, host: &str, path: &str) -> u16 {
        ask_at(self.to, from, (method, host, path), "x")
    }

    /// Somebody copies the template over the file.
    fn flush(&mut self) {
        std::fs::copy(self.file("template.json"), self.file("watched/new")).unwrap();
        std::fs::rename(self.file("watched/new"), self.file("watched/routes.json")).unwrap();
    }

    /// With a listener and files of its own.
    fn second(&mut self) -> Option<Box<dyn Connector>> {
        std::fs::copy(self.file("template.json"), self.file("other.json")).unwrap();
        let text = format!(
            "routes = \"{}\"\ntemplate = \"{}\"\nmemory = \"{}\"\nfilter = \"other\"\ncapacity = 100\n",
            self.file("other.json").display(),
            self.file("template.json").display(),
            self.file("other-memory.json").display(),
        );
        Some(Box::new(EnvoyConnector::new(toml::from_str(&text).unwrap()).unwrap()))
    }

    fn break_next(&mut self) -> bool {
        self.breaks.store(true, Ordering::SeqCst);
        true
    }

    fn away(&mut self, away: bool) -> bool {
        let (file, aside) = (self.file("template.json"), self.file("aside"));
        std::fs::rename(if away { &file } else { &aside }, if away { &aside } else { &file }).unwrap();
        true
    }
}

#[test]
fn keeps_the_contract() {
    let Some(envoy) = Envoy::start() else { return };
    contract(envoy);
}

#[test]
fn answers_for_the_hosts_of_the_site_only() {
    let Some(device) = Envoy::start() else { return };
    holds_for_the_hosts_there_are(device);
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(device) = Envoy::start() else { return };
    holds_at_places(device);
}

#[test]
fn acts_on_requests() {
    let Some(envoy) = Envoy::start() else { return };
    acts(envoy);
}

#[test]
fn marks_limits_and_deceives_whom_it_is_told_and_nobody_else() {
    let Some(device) = Envoy::start() else { return };
    let mut connector = device.connector();
    let mut push = |keys: &[(&str, Response)]| {
        let wanted: Vec<_> = keys.iter().map(|(k, r)| entry(k, *r)).collect();
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(&wanted, &observed, &[], connector.sees());
        connector.apply(&plan, wall()).unwrap();
        assert_eq!(connector.observe(wall()).unwrap().entries.len(), keys.len());
    };
    push(&[
        ("203.0.113.1", Response::Tag),
        ("203.0.113.2", Response::Deceive),
        ("203.0.113.3", Response::RateLimit),
        ("198.51.100.0/25", Response::Deceive),
        ("2001:db8:7::/48", Response::Deceive),
        ("203.0.113.5@POST,*.shop.example/api/*/items", Response::Deceive),
        ("203.0.113.6", Response::Block),
    ]);
    let ask = |from: &str| get(device.to, from, &[("x-sidetap-tag", "1")]);
    let body = |from: &str| ask(from).1;
    until("it has an effect", || ask("203.0.113.6").0 == 403);
    assert_eq!((body("203.0.113.1").as_str(), body("203.0.113.9").as_str()), ("tagged", "app"));
    let answer = |from: &str| body(from) == "{}";
    let told =
        ["203.0.113.2", "198.51.100.77", "2001:db8:7:8::9", "198.51.100.177", "2001:db8:8::9", "203.0.113.5"];
    assert_eq!(told.map(answer), [true, true, true, false, false, false]);
    let at = |method: &str, host: &str, path: &str| {
        let body = crate::support::body_at(device.to, "203.0.113.5", (method, host, path));
        body.trim() == "{}"
    };
    assert!(at("POST", "WWW.shop.example:80", "/api/v1/items?x=1"));
    assert!(!at("GET", "www.shop.example", "/api/v1/items") && !at("POST", "shop.example", "/api/v1/items"));
    assert!(
        !at("POST", "www.shop.example", "/api/v1/items/7") && !at("POST", "www.shop.example", "/api//items")
    );
    let began = std::time::Instant::now();
    let passed = (0..60).filter(|_| ask("203.0.113.3").0 == 200).count();
    // Each second on Envoy's clock, also one that had begun or is not over.
    let room = 5 * (began.elapsed().as_secs() + 2);
    assert!((5..=room).contains(&(passed as u64)), "{passed} of 60 at five a second, {room} may pass");
    assert_eq!((0..30).filter(|_| ask("203.0.113.9").0 != 200).count(), 0, "and nobody else");
}

/// What is no address: heads and agents, alone, at one address and at places, values of headers, sessions, keys and JWTs by their hashes.
#[test]
fn fingerprints_sessions_keys_and_headers_are_compared() {
    let Some(device) = Envoy::start() else { return };
    let mut connector = device.connector();
    // Between two lists an address that nobody has says which one is in force.
    let mut round = 0;
    let never: Vec<ipnet::IpNet> =
        ["203.0.113.77/32", "2001:db8:7::/48", "192.0.2.128/25"].map(|n| n.parse().unwrap()).to_vec();
    let mut push = |keys: &[(String, Response)]| {
        round += 1;
        let mark = format!("203.0.113.{}", 200 + round % 2);
        let mut wanted: Vec<_> = keys.iter().map(|(k, r)| entry(k, *r)).collect();
        wanted.push(entry(&mark, Response::Block));
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(&wanted, &observed, &never, connector.sees());
        connector.apply(&plan, wall()).unwrap();
        let told = connector.observe(wall()).unwrap();
        assert_eq!((told.entries.len(), told.allow.len()), (wanted.len(), 3));
        until("the list is in force", || get(device.to, &mark, &[]).0 == 403);
    };
    let head = |from: &str, more: &str| head_of(device.to, from, more);
    for print in [AGENT, DOOR] {
        push(&[(format!("203.0.113.9|{print}"), Response::Block)]);
        assert_eq!(head("203.0.113.9", ""), 403, "{print}");
        assert_eq!(head("203.0.113.10", ""), 200, "the same elsewhere");
        assert_eq!(get(device.to, "203.0.113.9", &[("User-Agent", "Mozilla/5.0")]).0, 200, "his neighbour");
        push(&[(print.to_owned(), Response::Block)]);
        assert_eq!(head("198.51.100.1", ""), 403, "{print} wherever it comes from");
        for free in ["203.0.113.77", "192.0.2.200", "2001:db8:7::1"] {
            assert_eq!(head(free, ""), 200, "{print}: the allow list wins");
        }
        assert_eq!(get(device.to, "198.51.100.1", &[("User-Agent", "Mozilla/5.0")]).0, 200);
        let more = if print == AGENT { 403 } else { 200 };
        assert_eq!(head("198.51.100.1", "X-More: 1\r\n"), more, "another head of the same agent");
    }
    push(&[
        (format!("{DOOR}@GET,shop.example/a"), Response::Block),
        (format!("{AGENT}@GET,/b"), Response::Block),
    ]);
    assert_eq!(head("198.51.100.1", ""), 403, "at its place");
    push(&[(format!("{DOOR}@GET,shop.example/b"), Response::Block)]);
    assert_eq!(head("198.51.100.1", ""), 200, "and nowhere else");

    let secret = |domain: &str, value: &str| {
        (format!("{domain}:{:016x}", site().hash64(domain, value.as_bytes())), Response::Block)
    };
    let signature = "c2lnbmF0dXJlLW9mLWEtand0";
    let spaced = "header:user-agent=odd%20%28%22tool%22%29/1.0%3B%20%7B%C3%A9%7D".to_owned();
    push(&[
        secret("session", "s3ss10n-of-the-bot"),
        secret("session", signature),
        secret("session", "s:s3ss10n/of+the=bot\u{e9}"),
        secret("api-key", "sk_live_0123456789"),
        (spaced, Response::Block),
        ("203.0.113.9|header:x-app=old/8".to_owned(), Response::Deceive),
        // As the script's own marks look.
        ("header:x-app=DECOY_BODY".to_owned(), Response::Block),
        ("header:x-app=old/7@GET,/HASH_KEY".to_owned(), Response::Block),
    ]);
    let with = |from: &str, name: &str, value: &str| get(device.to, from, &[(name, value)]).0;
    let anyone = |name: &str, value: &str| with("198.51.100.1", name, value);
    assert_eq!(anyone("Cookie", "lang=de; session=s3ss10n-of-the-bot"), 403);
    assert_eq!(anyone("Cookie", "lang=de; session=s3ss10n-of-another"), 200);
    for value in spellings::ESCAPED {
        assert_eq!(anyone("Cookie", &format!("sid={value}")), 403, "{value}");
    }
    assert_eq!(
        (anyone("X-Api-Key", "sk_live_0123456789"), anyone("X-Api-Key", "sk_live_0123456780")),
        (403, 200)
    );
    assert_eq!(anyone("Authorization", "ApiKey sk_live_0123456789"), 403);
    let bearer = |token: &str| {
        anyone("Authorization", &format!("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{token}"))
    };
    assert_eq!((bearer(signature), bearer("c2lnbmF0dXJlLW9mLWFub3RoZXI")), (403, 200));
    assert_eq!(anyone("User-Agent", "odd (\"tool\")/1.0; {é}"), 403);
    assert_eq!(anyone("User-Agent", "odd (\"tool\")/1.1; {é}"), 200);
    assert_eq!(get(device.to, "203.0.113.9", &[("X-App", "old/8")]), (200, "{}".into()), "deceived");
    assert_eq!(
        get(device.to, "203.0.113.10", &[("X-App", "old/8")]),
        (200, "app".into()),
        "the same elsewhere"
    );
    assert_eq!(anyone("X-App", "DECOY_BODY"), 403);
    for (name, value) in crate::support::endless(50_000) {
        assert_eq!(anyone(name, &value), 200, "{name} takes nobody down");
    }
    for byte in [0x80, 0xff] {
        let status = crate::support::odd_bytes(device.to, "Cookie", byte, 50_000);
        assert_eq!(status, 200, "bytes {byte:#x} are no text");
    }
    let ask = |headers: &[(&str, &str)]| get(device.to, "198.51.100.1", headers).0;
    let (key, junk) = (("X-Api-Key", "sk_live_0123456789"), ("X-Api-Key", "sk_live_junkjunkj"));
    assert_eq!(
        (ask(&[key, junk]), ask(&[junk, key]), ask(&[junk, key, junk])),
        (403, 403, 403),
        "any of several"
    );
    let cookies: String = (0..150).map(|n| format!("c{n}=junk-cookie-{n}; ")).collect();
    assert_eq!(ask(&[("Cookie", &cookies), key]), 403, "padding hides nothing");
    assert_eq!(ask(&[("Cookie", &format!("{cookies}session=s3ss10n-of-the-bot"))]), 403);
    assert_eq!(ask(&[("Cookie", &cookies)]), 200);
    let more = format!("{cookies}{}", cookies.replace('c', "d"));
    assert_eq!(ask(&[("Cookie", &format!("{more}session=s3ss10n-of-the-bot"))]), 431, "no browser's");
    assert_eq!(with("203.0.113.77", "Cookie", &more), 200, "the allow list wins");
    let at = |path: &str| ask_at(device.to, "198.51.100.1", ("GET", "shop.example", path), "x");
    let junk = "a=junkjunkjunk&".repeat(500);
    assert_eq!(at(&format!("/?{junk}api_key=sk_live_0123456789")), 403, "a key in the query");
    for query in spellings::ESCAPED_KEYS {
        assert_eq!(at(&format!("/?a=%2525&{query}&b=%6b")), 403, "{query}");
    }
    assert_eq!(at(&format!("/?{junk}api_key=sk_live_0123456780")), 200);
    let many = "xkey=junkjunkjunk&".repeat(200);
    assert_eq!(at(&format!("/?{many}api_key=sk_live_0123456789")), 431, "nobody sends so many keys");
    let told = std::fs::read_to_string(device.file("watched/routes.json")).unwrap();
    let key = site().to_text();
    assert!(![key.trim(), "s3ss10n", "sk_live"].iter().any(|s| told.contains(s)), "no secret on the device");
    assert!(told.contains("api-key:"));
}

/// Has it hold these and nothing else.
fn tell(device: &Envoy, keys: &[String]) {
    let mut connector = device.connector();
    let wanted: Vec<_> = keys.iter().map(|k| entry(k, Response::Block)).collect();
    let observed = connector.observe(wall()).unwrap();
    let plan = sidetap_mitigation::plan(&wanted, &observed, &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    assert_eq!(connector.observe(wall()).unwrap().entries.len(), wanted.len());
}

fn places(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{DOOR}@GET,shop.example/items/{n}")).collect()
}

/// A long path is read once, not once for each place.
#[test]
fn a_long_path_costs_no_more_where_places_are_many() {
    let Some(device) = Envoy::start() else { return };
    crate::rig::make_room(2_000);
    let mut keys = places(1_000);
    keys.push("203.0.113.200".to_owned());
    tell(&device, &keys);
    until("the list is in force", || get(device.to, "203.0.113.200", &[]).0 == 403);
    let tasks = format!("/proc/{}/task", device.process.0.id());
    // Nanoseconds on a processor: what others do on this machine does not count.
    let used = || -> u64 {
        let tasks = std::fs::read_dir(&tasks).unwrap().flatten();
        let stats = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("schedstat")).ok());
        stats.map(|s| s.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    let (long, before) = (format!("/{}", "a".repeat(50_000)), used());
    for _ in 0..10 {
        assert_eq!(ask_at(device.to, "198.51.100.1", ("GET", "shop.example", &long), "x"), 200);
    }
    let each = (used() - before) / 10_000_000;
    assert!(each < 60, "{each} ms each");
}

/// What heads cost Envoy: without entries, with some of every kind, and with a thousand places (`just heads`).
#[test]
#[ignore = "measures"]
fn measure_heads() {
    let Some(device) = Envoy::start() else { return };
    crate::rig::make_room(2_000);
    let secret = |domain: &str| format!("{domain}:{:016x}", site().hash64(domain, b"of-nobody"));
    let kinds = [
        "203.0.113.7",
        "203.0.113.64/26",
        AGENT,
        DOOR,
        "header:user-agent=tool/1",
        "203.0.113.8@POST,/login",
    ];
    let every = kinds.map(str::to_owned).into_iter().chain(["session", "api-key"].map(secret)).collect();
    for (what, keys) in
        [("no entries", Vec::new()), ("entries of every kind", every), ("a thousand places", places(1_000))]
    {
        tell(&device, &keys);
        std::thread::sleep(std::time::Duration::from_secs(3));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/heads.py");
        let words = [device.to.port().to_string(), device.process.0.id().to_string(), "60000".to_owned()];
        let said = Command::new("python3").arg(script).args(words).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        println!("Envoy, {what}:\n{}", String::from_utf8_lossy(&said.stdout));
    }
}

#[test]
#[ignore = "measures"]
fn measure_effect() {
    let Some(envoy) = Envoy::start() else { return };
    measure(envoy, 30);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Envoy::start() else { return };
    many(device);
}

/// Its agent is refused from an address that is never blocked too, and nobody else there is.
#[test]
fn a_canary_by_its_agent_proves_from_any_address() {
    let Some(envoy) = Envoy::start() else { return };
    let text = format!(
        "routes = \"{}\"\ntemplate = \"{}\"\nmemory = \"{}\"\naddress = \"forwarded\"\nscript = \"sidetap-script\"\n\
         canary = {{ url = \"http://{}/\", host = \"shop.example\", by = \"agent\" }}\n",
        envoy.file("watched/routes.json").display(),
        envoy.file("template.json").display(),
        envoy.file("memory.json").display(),
        envoy.to
    );
    let connector: Box<dyn Connector> =
        Box::new(EnvoyConnector::new(toml::from_str(&text).unwrap()).unwrap());
    let mut enforcer = sidetap_mitigation::Enforcer::with_connectors(vec![connector]);
    let attacker = crate::support::verdict("v1", sidetap_model::SubjectKind::Ip, "203.0.113.9", "block", 600);
    let wanted = crate::support::desired(&[attacker], &["192.0.2.2/32"]);
    let options = sidetap_mitigation::PushOptions::new(sidetap_mitigation::Mode::Enforce);
    let report = enforcer.push(&wanted, crate::support::wall_ts(), &options);
    assert!(report.is_ok() && report.connectors[0].effect_ms.is_some(), "{report:?}");
    assert_eq!(get(envoy.to, "192.0.2.2", &[]).0, 200);
}
