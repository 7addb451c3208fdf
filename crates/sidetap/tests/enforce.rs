//! From packets to walls: `watch --enforce` on the mirror port of a network that the tests make, with a real device before a real
//! application. One client stuffs credentials, another works; he is refused within seconds and nobody else ever is.
//! They need root, nginx, wrk, curl and the device.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "common/mod.rs"]
mod common;
#[path = "common/net.rs"]
mod net;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, lines};
use net::{CLIENT, Net, PORT, Running, SERVER, find, until};

const ATTACKER: &str = "10.91.0.66";

/// A network with an attacker, and the application behind the device's place.
struct Scene {
    net: Net,
    place: Place,
    _app: Running,
}

impl Scene {
    fn make(what: &str, programs: &[&str]) -> Option<Self> {
        let needed: Vec<&str> = ["nginx", "wrk", "ss", "curl"].iter().chain(programs).copied().collect();
        let net = Net::make(what, &needed)?;
        let place = Place::new();
        let attacker = net.space("a");
        net.must(&format!("netns add {attacker}"));
        net.plug("a", "eth0");
        net.must(&format!("-n {attacker} addr add {ATTACKER}/24 dev eth0"));
        std::fs::create_dir(place.path("db")).unwrap();
        let app = nginx(
            &net,
            &place,
            "app",
            "events {}\nhttp { TEMPORARY log_format p '$http_x_who $status'; access_log DIR/access.log p; server { listen 127.0.0.1:9000;\n\
             location /api/login { default_type application/json; return 401 '{\"error\":\"wrong\"}'; }\n\
             location / { default_type application/json; return 200 '{\"id\":1}'; } } }\n",
            "127.0.0.1:9000",
        );
        Some(Scene { net, place, _app: app })
    }

    fn device(&self, program: &str, args: &[&str]) -> Running {
        let mut command = self.net.at("s", &find(program).unwrap());
        command
            .args(args)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.place.path("device.log")).unwrap());
        let running = Running(Some(command.spawn().unwrap()));
        until("the device listens", || self.net.output("s", &["ss", "-ltn"]).contains(":80 "));
        running
    }

    fn path(&self, name: &str) -> String {
        self.place.path(name).display().to_string()
    }

    /// What a request of somebody is answered with.
    fn status(&self, space: &str) -> String {
        let url = format!("http://{SERVER}/api/orders");
        let mut command = self.net.at(space, &find("curl").unwrap());
        let out = command
            .args(["-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", "-A", "app/1", &url])
            .output();
        String::from_utf8(out.unwrap().stdout).unwrap()
    }

    /// Connections that go on for a while: of one who tries passwords, or of one who works.
    fn traffic(&self, space: &str, attack: bool) -> Running {
        let body = match attack {
            true => {
                "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nlocal n = 0\nfunction request() n = n + 1; return wrk.format(nil, '/api/login', nil, '{\"username\":\"user' .. n .. '@example.org\",\"password\":\"Spring' .. n .. '!\"}') end\n"
            }
            false => "function request() return wrk.format(nil, '/api/orders') end\n",
        };
        let script = format!(
            "{body}function delay() return {} end\nwrk.headers['Host'] = 'shop.example'\nwrk.headers['X-Who'] = '{space}'\nwrk.headers['User-Agent'] = 'app/1'\nwrk.headers['Accept'] = '*/*'\n",
            if attack { 5 } else { 50 }
        );
        let file = self.place.write(&format!("{space}.lua"), script.as_bytes());
        let mut command = self.net.at(space, &find("wrk").unwrap());
        command
            .args(["-t1", "-c4", "-d30", "--timeout", "1", "-s"])
            .arg(&file)
            .arg(format!("http://{SERVER}/"));
        Running(Some(command.stdout(Stdio::null()).spawn().unwrap()))
    }

    /// How many of somebody's requests the application answered.
    fn answered(&self, space: &str) -> usize {
        let log = std::fs::read_to_string(self.place.path("app/access.log")).unwrap_or_default();
        log.lines().filter(|l| l.starts_with(&format!("{space} "))).count()
    }

    /// The attack, its end, and that it can be taken back.
    fn play(self, device: &str, config: &str, _running: Running) {
        self.place.write("sidetap.toml", config.as_bytes());
        assert_eq!((self.status("a"), self.status("c")), ("200".into(), "200".into()));
        let watch = self.net.watch(&self.place, &["-i", PORT, "--store", "db/store.db", "--enforce"]);
        let honest = self.traffic("c", false);
        let begin = Instant::now();
        let bad = self.traffic("a", true);
        until("the attacker is refused", || self.status("a") != "200");
        let effect = begin.elapsed();
        std::thread::sleep(Duration::from_millis(500));
        let (before, worked) = (self.answered("a"), self.answered("c"));
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!((self.status("a").as_str() == "200", self.status("c").as_str()), (false, "200"));
        }
        let after = self.answered("a") - before;
        assert!(self.answered("c") > worked + 10, "the honest client goes on");
        drop((honest, bad));
        let log = || std::fs::read_to_string(self.place.path("log.txt")).unwrap();
        assert_eq!(watch.stop(), 0, "{}", log());
        let verdicts = lines(&self.place.path("run/verdicts.ndjson"));
        let said = verdicts.iter().find(|v| v["client_ip"] == ATTACKER && v["intent"] == "malicious");
        let said = said.unwrap_or_else(|| panic!("{verdicts:?}"));
        assert!(
            !verdicts.iter().any(|v| v["client_ip"] == CLIENT && v["intent"] == "malicious"),
            "{verdicts:?}"
        );
        eprintln!(
            "{device}: first packet of the attack to its effect {effect:?} (verdict: first {} said {}); answered before {before}, after {after}",
            said["first_seen"], said["detected_at"]
        );
        assert!(after * 20 <= before, "{after} attempts got through after {before}");
        self.place.run(&["mitigation", "undo", "--enforce", "--store", "db/store.db"]).is(0);
        until("what was taken back lets him in", || self.status("a") == "200");
    }
}

/// nginx in the server's namespace with this configuration, in a directory of its own.
fn nginx(net: &Net, place: &Place, name: &str, text: &str, listens: &str) -> Running {
    let dir = place.path(name);
    std::fs::create_dir_all(&dir).unwrap();
    let at = dir.display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|t| format!("{t}_temp_path {at}/{t};"))
        .collect();
    let text = text.replace("TEMPORARY", &temporary).replace("DIR", &at);
    let text = format!("user root; pid {at}/pid; error_log {at}/error.log;\n{text}");
    std::fs::write(dir.join("nginx.conf"), text).unwrap();
    let mut command = net.at("s", &find("nginx").unwrap());
    command.arg("-c").arg(dir.join("nginx.conf")).args(["-g", "daemon off;"]);
    let running = Running(Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
    until("nginx listens", || net.output("s", &["ss", "-ltn"]).contains(listens));
    running
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connectors").join(name);
    std::fs::read_to_string(path).unwrap()
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
    let text = page("haproxy.cfg").replace("/run/haproxy/sidetap.sock", &s.path("sock"));
    let text = text.replace("/etc/haproxy/sidetap/", &s.path(""));
    s.place.write("haproxy.cfg", text.as_bytes());
    s.place.write("sidetap.lua", page("sidetap.lua").as_bytes());
    s.place.write("challenge.html", page("challenge.html").as_bytes());
    for map in ["block", "keys", "places", "nets", "rate", "tarpit", "challenge", "decoy", "tag", "allow"] {
        s.place.write(&format!("{map}.map"), b"");
    }
    let device = s.device("haproxy", &["-db", "-f", &s.path("haproxy.cfg")]);
    let config = format!(
        "[[mitigation.haproxy]]\nsocket = \"{}\"\nblock_map = \"{}\"\nkeys_map = \"{}\"\nallow_map = \"{}\"\n",
        s.path("sock"),
        s.path("block.map"),
        s.path("keys.map"),
        s.path("allow.map")
    );
    s.play("haproxy", &config, device);
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
    s.place.write("places.conf", b"");
    let text = format!(
        "load_module {so};\nevents {{}}\nhttp {{ TEMPORARY access_log off; modsecurity on; modsecurity_rules_file {};\n\
         server {{ listen {SERVER}:80; location / {{ proxy_pass http://127.0.0.1:9000; }} }} }}\n",
        s.path("rules.conf")
    );
    let device = nginx(&s.net, &s.place, "edge", &text, &format!("{SERVER}:80"));
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
    s.play("modsecurity", &config, device);
}

#[test]
fn behind_envoy() {
    let Some(s) = Scene::make("watch --enforce with Envoy", &["envoy"]) else { return };
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
    let id = (std::process::id() % 30_000 * 16 + 15).to_string();
    let device = s.device(
        "envoy",
        &["-c", &s.path("envoy.yaml"), "--concurrency", "1", "-l", "error", "--base-id", &id],
    );
    let config = format!(
        "[[mitigation.envoy]]\nroutes = \"{}\"\ntemplate = \"{}\"\nmemory = \"{}\"\n",
        s.path("watched/routes.json"),
        s.path("template.json"),
        s.path("memory.json")
    );
    s.play("envoy", &config, device);
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
    let device = s.device("apache2", &["-f", &s.path("httpd.conf"), "-DFOREGROUND"]);
    let config = format!("[[mitigation.apache]]\nmap = \"{}\"\n", s.path("map.txt"));
    s.play("apache", &config, device);
}
