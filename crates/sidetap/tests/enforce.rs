//! From packets to walls: `watch --enforce` on the mirror port of a network that the tests make, with a real device before a real
//! application. One client stuffs credentials, another works; he is refused within seconds and nobody else ever is. What empties the
//! device is repaired, what is taken back lets go though the watch goes on, and so does what is over; policy is read again at SIGHUP.
//! They need root, nginx, wrk, curl and the device.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "common/mod.rs"]
mod common;
#[path = "common/net.rs"]
mod net;
#[path = "enforce/responses.rs"]
mod responses;
#[path = "enforce/scene.rs"]
mod scene;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::lines;
use net::{PORT, Running, SERVER, find, until};
use scene::{PROXY, Scene, front, nginx, page, rounds};

impl Scene {
    /// Attack after attack, each from another address, with how long the verdict and its effect took.
    fn measure(self, device: &str, rounds: u8, watch: Running) {
        let (end, net) = if self.site == SERVER { ("eth0", "10.91.0") } else { ("eth1", "10.93.0") };
        let space = self.net.space("a");
        let mut took = Vec::new();
        for round in 0..rounds {
            let address = format!("{net}.{}", 100 + round);
            self.net.must(&format!("-n {space} addr flush dev {end}"));
            self.net.must(&format!("-n {space} addr add {address}/24 dev {end}"));
            assert_eq!(self.status("a"), "200", "nobody knows {address} yet");
            let begin = Instant::now();
            let bad = self.traffic("a", true);
            let mut effect = Duration::ZERO;
            until("the attacker is refused", || {
                effect = begin.elapsed();
                self.status("a") != "200"
            });
            assert_eq!(self.status("c"), "200");
            drop(bad);
            took.push((address, effect));
        }
        assert_eq!(watch.stop(), 0);
        let verdicts = lines(&self.place.path("run/verdicts.ndjson"));
        for (address, effect) in took {
            let said = verdicts.iter().find(|v| v["client_ip"] == *address && v["intent"] == "malicious");
            print_latency(device, said.unwrap_or_else(|| panic!("no verdict on {address}")), effect, "");
        }
    }

    /// The attack, its end, and all that lets go of it. In between somebody takes everything from the device by hand, and it is started anew.
    fn play(self, config: &str, mut device: Device<'_>) {
        let policy = |ttl: &str| {
            format!(
                "version: 1\nrevision: ttl-{ttl}\nextends: default\nrules:\n  - id: all\n    when: intent == \"malicious\"\n    response: block\n    ttl: {ttl}\n"
            )
        };
        self.place.write("policy.yaml", policy("1h").as_bytes());
        let config = format!("[policy]\npath = \"policy.yaml\"\n[mitigation]\nreconcile = \"1s\"\n{config}");
        self.place.write("sidetap.toml", config.as_bytes());
        assert_eq!((self.status("a"), self.status("c")), ("200".into(), "200".into()));
        if let Some(store) = std::env::var_os("SIDETAP_LATENCY_STORE") {
            std::fs::create_dir_all(self.place.path("db")).unwrap();
            std::fs::copy(store, self.place.path("db/store.db")).unwrap();
        }
        let mut args = vec!["-i", PORT, "--store", "db/store.db", "--listen", "127.0.0.1:0", "--enforce"];
        args.extend(device.args);
        let watch = self.net.watch(&self.place, &args);
        let honest = self.traffic("c", false);
        if let Some(rounds) = rounds() {
            return self.measure(device.name, rounds, watch);
        }
        let begin = Instant::now();
        let bad = self.traffic("a", true);
        // The moment at which the first request was sent that is refused.
        let mut effect = Duration::ZERO;
        until("the attacker is refused", || {
            effect = begin.elapsed();
            self.status("a") != "200"
        });
        std::thread::sleep(Duration::from_millis(500));
        let (before, worked) = (self.answered("a"), self.answered("c"));
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!((self.status("a").as_str() == "200", self.status("c").as_str()), (false, "200"));
        }
        let after = self.answered("a") - before;
        assert!(self.answered("c") > worked + 10, "the honest client goes on");
        drop(bad);

        let holds = || self.status("c") == "200" && self.status("a") != "200";
        (device.empty)(&self);
        std::thread::sleep(Duration::from_millis(1500));
        until("what was emptied is filled again", holds);

        // Whoever drives devices is killed, and what follows is done by his successor.
        assert!(self.kill_worker());
        let log = || std::fs::read_to_string(self.place.path("log.txt")).unwrap();
        until("it is started anew", || log().contains("it is started anew"));
        (device.restart)(&self);
        std::thread::sleep(Duration::from_millis(1500));
        until("the successor fills what a restart lost", holds);

        self.operate(&["mitigation", "undo", "--enforce"]);
        until("what was taken back lets him in", || self.status("a") == "200");
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(self.status("a"), "200", "and the watch, which goes on, leaves it so");
        self.operate(&["mitigation", "redo"]);
        until("until that is taken back too", || self.status("a") != "200");

        self.place.write("policy.yaml", policy("2s").as_bytes());
        watch.signal("-HUP");
        until("the policy is read again", || log().contains("policy read again: policy.yaml ttl-2s"));
        until("what is over lets him in", || self.status("a") == "200");
        assert_eq!(self.status("c"), "200");
        // For longer than a bouncer takes to look.
        self.place.write("policy.yaml", policy("1h").as_bytes());
        watch.signal("-HUP");
        until("the policy is read once more", || log().contains("policy read again: policy.yaml ttl-1h"));
        let again = self.traffic("a", true);
        until("who is at it again is refused again", || self.status("a") != "200");
        assert_eq!(self.status("c"), "200");
        drop((again, honest));
        self.assert_worked("c");
        assert_eq!(watch.stop(), 0, "{}", log());
        let verdicts = lines(&self.place.path("run/verdicts.ndjson"));
        let said = verdicts.iter().find(|v| v["client_ip"] == self.attacker && v["intent"] == "malicious");
        let said = said.unwrap_or_else(|| panic!("{verdicts:?}"));
        assert!(
            !verdicts.iter().any(|v| v["client_ip"] == self.client && v["intent"] == "malicious"),
            "{verdicts:?}"
        );
        print_latency(device.name, said, effect, &format!(" answered {before} then {after}"));
        assert!(after * 20 <= before, "{after} attempts got through after {before}");
    }
}

/// What `scripts/latency.sh` reads.
fn print_latency(device: &str, said: &serde_json::Value, effect: Duration, more: &str) {
    let at = |field: &str| serde_json::from_value::<sidetap_model::Ts>(said[field].clone()).unwrap();
    let verdict = at("detected_at").since(at("first_seen")) / 1_000_000;
    let device = device.replace(' ', "-");
    eprintln!("LATENCY {device} verdict_ms {verdict} effect_ms {}{more}", effect.as_millis());
}

/// What stands before the application.
struct Device<'a> {
    name: &'a str,
    /// What `watch` is told besides.
    args: &'a [&'a str],
    /// Takes everything of Sidetap's from it.
    empty: Box<dyn FnMut(&Scene) + 'a>,
    /// Ends it and starts it again.
    restart: Box<dyn FnMut(&Scene) + 'a>,
}

/// A device that is started again by the same means.
fn again<'a>(device: &'a mut Running, start: impl Fn(&Scene) -> Running + 'a) -> Box<dyn FnMut(&Scene) + 'a> {
    Box::new(move |s| {
        drop(Running(device.0.take()));
        *device = start(s);
    })
}

fn module(path: &str) -> bool {
    let there = PathBuf::from(path).exists();
    if !there {
        assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "{path} is not installed");
        eprintln!("left out, needs {path}");
    }
    there
}

#[test]
fn behind_haproxy() {
    let Some(s) = Scene::make("watch --enforce with HAProxy", &["haproxy"]) else { return };
    haproxy(s, "haproxy", "peer", &[]);
}

#[test]
fn behind_haproxy_behind_a_proxy_that_tells_addresses() {
    let Some(mut s) = Scene::make("watch --enforce with HAProxy behind a proxy", &["haproxy"]) else {
        return;
    };
    let _proxy = s.behind_proxy();
    haproxy(s, "haproxy behind a proxy", "forwarded", &["--trusted-proxies", PROXY]);
}

fn haproxy(s: Scene, name: &str, address: &str, more: &[&str]) {
    let (args, config) = s.haproxy(address);
    let start = |s: &Scene| s.device("haproxy", &args.each_ref().map(String::as_str));
    let mut device = start(&s);
    let maps: Vec<String> = std::fs::read_dir(s.place.path("."))
        .unwrap()
        .map(|f| s.path(&f.unwrap().file_name().into_string().unwrap()))
        .filter(|f| f.ends_with(".map"))
        .collect();
    // Maps that were changed at run time are lost by a restart.
    let empty = Box::new(|s: &Scene| {
        for map in &maps {
            let mut socket = std::os::unix::net::UnixStream::connect(s.place.path("sock")).unwrap();
            socket.write_all(format!("clear map {map}\n").as_bytes()).unwrap();
            let mut said = String::new();
            socket.read_to_string(&mut said).unwrap();
            assert_eq!(said.trim(), "", "{map}");
        }
    });
    let restart = again(&mut device, start);
    s.play(&config, Device { name, args: more, empty, restart });
}

#[test]
fn behind_modsecurity() {
    let so = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";
    if !module(so) || !module("/etc/modsecurity/crs/crs-setup.conf") {
        return;
    }
    let Some(s) = Scene::make("watch --enforce with ModSecurity", &[]) else { return };
    let rules = page("modsecurity.conf").replace("/etc/nginx/sidetap/", &s.path(""));
    s.place.write("rules.conf", rules.as_bytes());
    s.place.write("blocked.data", b"");
    s.place.write("modsecurity-places.conf", b"");
    let text = format!(
        "load_module {so};\nevents {{}}\nhttp {{ TEMPORARY access_log off; modsecurity on; modsecurity_rules_file {};\n\
         server {{ listen {SERVER}:80; location / {{ proxy_pass http://127.0.0.1:9000; }} }} }}\n",
        s.path("rules.conf")
    );
    let start = |s: &Scene| nginx(&s.net, &s.place, "edge", &text, &format!("{SERVER}:80"));
    let mut device = start(&s);
    // nginx tests its configuration by taking the addresses in it, which are there in its own namespace only.
    let conf = s.path("edge/nginx.conf");
    let ip = find("ip").unwrap().display().to_string();
    let space = s.net.space("s");
    let run = |last: &[&str]| {
        let words = [ip.as_str(), "netns", "exec", &space, "nginx", "-c", &conf];
        words.iter().chain(last).map(|w| (*w).to_owned()).collect::<Vec<_>>()
    };
    let config = format!(
        "[[mitigation.modsecurity]]\ndata = \"{}\"\ntest = {:?}\nreload = {:?}\n",
        s.path("blocked.data"),
        run(&["-t", "-q"]),
        run(&["-s", "reload"])
    );
    let empty = Box::new(|s: &Scene| {
        s.place.write("blocked.data", b"");
        let reload = run(&["-s", "reload"]);
        assert!(Command::new(&reload[0]).args(&reload[1..]).status().unwrap().success());
    });
    let restart = again(&mut device, start);
    s.play(&config, Device { name: "modsecurity", args: &[], empty, restart });
}

#[test]
fn behind_nginx_with_njs() {
    if !module("/usr/lib/nginx/modules/ngx_http_js_module.so") {
        return;
    }
    let Some(s) = Scene::make("watch --enforce with nginx and its script", &[]) else { return };
    s.place.write("sidetap.js", page("sidetap.js").as_bytes());
    std::fs::create_dir(s.place.path("entries")).unwrap();
    let text = page("nginx-njs.conf").replace("/etc/nginx/sidetap/", &s.path(""));
    let text = text.replace("listen 80", &format!("listen {SERVER}:80"));
    let text = text.replacen("http {\n", "http {\n    TEMPORARY access_log off;\n", 1);
    let start = |s: &Scene| nginx(&s.net, &s.place, "edge", &text, &format!("{SERVER}:80"));
    let mut device = start(&s);
    let config = format!("[[mitigation.nginx_njs]]\nentries = \"{}\"\n", s.path("entries"));
    let empty = Box::new(|s: &Scene| {
        let files = std::fs::read_dir(s.place.path("entries")).unwrap().flatten();
        files.for_each(|f| _ = std::fs::remove_file(f.path()));
    });
    let restart = again(&mut device, start);
    s.play(&config, Device { name: "nginx with njs", args: &[], empty, restart });
}

#[test]
fn behind_envoy() {
    let Some(s) = Scene::make("watch --enforce with Envoy", &["envoy"]) else { return };
    let (start, config) = envoy(&s, 15);
    let mut device = start(&s);
    let empty = Box::new(|s: &Scene| {
        s.place.write("watched/new", page("envoy-routes.json").as_bytes());
        std::fs::rename(s.place.path("watched/new"), s.place.path("watched/routes.json")).unwrap();
    });
    let restart = again(&mut device, start);
    s.play(&config, Device { name: "envoy", args: &[], empty, restart });
}

/// What starts Envoy as its page has it, and the connector; `base` tells those of one process apart.
fn envoy(s: &Scene, base: u32) -> (impl Fn(&Scene) -> Running + use<>, String) {
    std::fs::create_dir(s.place.path("watched")).unwrap();
    let text = page("envoy.yaml").replace("/etc/envoy/sidetap", &s.path("watched"));
    // Clients connect themselves.
    let text = text.replace("stat_prefix: www", "stat_prefix: www\n          use_remote_address: true");
    let own = |l: &&str| !l.contains("original_ip_detection") && !l.contains("original_ip_detection.xff");
    let text: String = text.lines().filter(own).map(|l| format!("{l}\n")).collect();
    s.place.write("envoy.yaml", text.as_bytes());
    for name in ["template.json", "watched/routes.json"] {
        s.place.write(name, page("envoy-routes.json").as_bytes());
    }
    let id = (std::process::id() % 30_000 * 16 + base).to_string();
    let start = move |s: &Scene| {
        let file = s.path("envoy.yaml");
        s.device("envoy", &["-c", &file, "--concurrency", "1", "-l", "error", "--base-id", &id])
    };
    let config = format!(
        "[[mitigation.envoy]]\nroutes = \"{}\"\ntemplate = \"{}\"\nmemory = \"{}\"\n",
        s.path("watched/routes.json"),
        s.path("template.json"),
        s.path("memory.json")
    );
    (start, config)
}

#[test]
fn behind_apache() {
    let Some(s) = Scene::make("watch --enforce with Apache", &["apache2"]) else { return };
    let modules = ["mpm_event", "authz_core", "rewrite", "headers", "env", "proxy", "proxy_http"];
    let load: String = modules
        .iter()
        .map(|m| format!("LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n"))
        .collect();
    let at = s.path("");
    let at = at.trim_end_matches('/');
    let rules = page("apache.conf").replace("/etc/apache2/sidetap/", &s.path(""));
    let conf = format!(
        "ServerRoot {at}\nPidFile {at}/pid\nErrorLog {at}/error.log\nDefaultRuntimeDir {at}\nServerName shop.example\nListen {SERVER}:80\n{load}\
         <VirtualHost *>\n{rules}\nProxyPass / http://127.0.0.1:9000/\n</VirtualHost>\n"
    );
    s.place.write("httpd.conf", conf.as_bytes());
    s.place.write("map.txt", b"");
    // Its workers run under another account.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(at, open).unwrap();
    let start = |s: &Scene| s.device("apache2", &["-f", &s.path("httpd.conf"), "-DFOREGROUND"]);
    let mut device = start(&s);
    let config = format!("[[mitigation.apache]]\nmap = \"{}\"\ntest = []\n", s.path("map.txt"));
    let empty = Box::new(|s: &Scene| _ = s.place.write("map.txt", b""));
    let restart = again(&mut device, start);
    s.play(&config, Device { name: "apache", args: &[], empty, restart });
}

#[test]
fn behind_nftables() {
    let Some(s) = Scene::make("watch --enforce with nftables", &["nft"]) else { return };
    let _front = front(&s);
    let nft = find("nft").unwrap().display().to_string();
    let ip = find("ip").unwrap().display().to_string();
    let command = [ip.as_str(), "netns", "exec", &s.net.space("s"), &nft].map(str::to_owned);
    let config = format!("[[mitigation.nftables]]\ncommand = {command:?}\n");
    let empty =
        Box::new(|s: &Scene| _ = s.net.output("s", &["nft", "flush", "set", "inet", "sidetap", "block4"]));
    // What its service does at a restart: all goes, and the site's own rules come.
    let own = "flush ruleset\ntable inet filter {\nchain input { type filter hook input priority 0; policy accept; }\n}\n";
    let own = s.place.write("nftables.conf", own.as_bytes()).display().to_string();
    let restart = Box::new(|s: &Scene| _ = s.net.output("s", &["nft", "-f", &own]));
    s.play(&config, Device { name: "nftables", args: &[], empty, restart });
}

#[test]
fn behind_crowdsecs_firewall_bouncer() {
    let programs = ["crowdsec", "cscli", "crowdsec-firewall-bouncer", "nft"];
    let Some(s) = Scene::make("watch --enforce with CrowdSec's firewall bouncer", &programs) else { return };
    let _front = front(&s);
    // The sensor's own way to the local API, apart from what it watches.
    let (m, server) = (s.net.space("m"), s.net.space("s"));
    s.net.must(&format!("-n {m} link add manage0 type veth peer name manage0 netns {server}"));
    for (space, address) in [(&m, "10.92.0.1"), (&server, "10.92.0.2")] {
        s.net.must(&format!("-n {space} addr add {address}/24 dev manage0"));
        s.net.must(&format!("-n {space} link set manage0 up"));
    }
    const SECRET: &str = "a-password-of-a-machine";
    let at = s.path("cs");
    std::fs::create_dir(&at).unwrap();
    let write = |name: &str, text: String| std::fs::write(format!("{at}/{name}"), text).unwrap();
    write(
        "config.yaml",
        format!(
            "common: {{daemonize: false, log_media: stdout, log_level: error}}\n\
             config_paths: {{config_dir: {at}, data_dir: {at}, hub_dir: {at}, simulation_path: {at}/empty.yaml, index_path: {at}/.index.json, \
             notification_dir: {at}, plugin_dir: {at}}}\n\
             crowdsec_service: {{enable: false}}\ncscli: {{output: raw}}\n\
             db_config: {{type: sqlite, db_path: {at}/crowdsec.db, use_wal: true}}\n\
             api:\n  client: {{credentials_path: {at}/local.yaml}}\n\
             \x20 server: {{listen_uri: \"10.92.0.2:8080\", profiles_path: {at}/profiles.yaml, log_level: error}}\n\
             prometheus: {{enabled: false}}\n"
        ),
    );
    write("profiles.yaml", "name: p\nfilters: [\"Alert.Remediation == true\"]\ndecisions: [{type: ban, duration: 4h}]\non_success: break\n".into());
    write("empty.yaml", String::new());
    write("password", SECRET.into());
    let config = format!("{at}/config.yaml");
    let cscli = |s: &Scene, args: &[&str]| {
        let words: Vec<&str> = ["cscli", "-c", &config].into_iter().chain(args.iter().copied()).collect();
        s.net.output("s", &words)
    };
    cscli(&s, &["machines", "add", "sidetap", "--password", SECRET, "-f", "/dev/null"]);
    cscli(&s, &["machines", "add", "local", "--password", SECRET, "-f", &format!("{at}/local.yaml")]);
    cscli(&s, &["bouncers", "add", "fw", "-k", SECRET]);
    write(
        "bouncer.yaml",
        format!(
            "mode: nftables\npid_dir: {at}\nupdate_frequency: 1s\ndaemonize: false\nlog_mode: stdout\nlog_level: info\n\
             api_url: http://10.92.0.2:8080/\napi_key: {SECRET}\ndisable_ipv6: true\ndeny_action: DROP\nsupported_decisions_types: [ban]\n\
             blacklists_ipv4: crowdsec-blacklists\nnftables:\n  ipv4: {{enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}}\n\
             \x20 ipv6: {{enabled: false}}\nprometheus: {{enabled: false}}\n"
        ),
    );
    let start = |s: &Scene, program: &str, args: &[&str]| {
        let mut command = s.net.at("s", &find(program).unwrap());
        let log = std::fs::File::create(format!("{at}/{program}.log")).unwrap();
        command.args(args).stdout(log.try_clone().unwrap()).stderr(log);
        Running(Some(command.spawn().unwrap()))
    };
    let both = |s: &Scene| {
        let api = start(s, "crowdsec", &["-c", &config, "-no-cs"]);
        until("the local API listens", || s.net.output("s", &["ss", "-ltn"]).contains("10.92.0.2:8080"));
        let bouncer = start(s, "crowdsec-firewall-bouncer", &["-c", &format!("{at}/bouncer.yaml")]);
        until("the bouncer has its table", || {
            s.net.output("s", &["nft", "list", "ruleset"]).contains("crowdsec-chain")
        });
        [bouncer, api]
    };
    let mut running = Some(both(&s));
    let connector = format!(
        "[[mitigation.crowdsec]]\nurl = \"http://10.92.0.2:8080\"\nmachine = \"sidetap\"\npassword = {{ file = \"{at}/password\" }}\n"
    );
    let empty = Box::new(|s: &Scene| _ = cscli(s, &["decisions", "delete", "--all"]));
    // Their rules too, as a restart of the machine takes them.
    let restart = Box::new(|s: &Scene| {
        drop(running.take());
        s.net.output("s", &["nft", "flush", "ruleset"]);
        running = Some(both(s));
    });
    s.play(&connector, Device { name: "crowdsec-firewall-bouncer", args: &[], empty, restart });
}
