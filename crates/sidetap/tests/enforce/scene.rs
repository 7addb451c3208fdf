//! A network with an attacker and somebody who works, an application, and what stands before it.
use std::path::Path;
use std::process::{Command, Stdio};

use super::common::{Place, ended};
use super::net::{CLIENT, Net, Running, SERVER, find, until};

pub(crate) const ATTACKER: &str = "10.91.0.66";
/// A proxy in front, as the site sees it.
pub(crate) const PROXY: &str = "10.91.0.9";

/// Stolen credentials, tried one after the other.
const ATTACK: &str = "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nlocal n = 0\nfunction request() n = n + 1; return wrk.format(nil, '/api/login', nil, '{\"username\":\"user' .. n .. '@example.org\",\"password\":\"Spring' .. n .. '!\"}') end\n";

/// A network with an attacker, and the application behind the device's place.
pub(crate) struct Scene {
    pub(crate) net: Net,
    pub(crate) place: Place,
    /// Where clients find the application, and which address of the attacker is seen there.
    pub(crate) site: &'static str,
    pub(crate) attacker: &'static str,
    pub(crate) client: &'static str,
    _app: Running,
}

impl Scene {
    pub(crate) fn make(what: &str, programs: &[&str]) -> Option<Self> {
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
            "events {}\nhttp { TEMPORARY log_format p '$http_x_who $status $http_x_sidetap_tag'; access_log DIR/access.log p; server { listen 127.0.0.1:9000;\n\
             location /api/login { default_type application/json; return 401 '{\"error\":\"wrong\"}'; }\n\
             location / { default_type application/json; return 200 '{\"id\":1}'; } } }\n",
            "127.0.0.1:9000",
        );
        Some(Scene { net, place, site: SERVER, attacker: ATTACKER, client: CLIENT, _app: app })
    }

    /// A proxy that clients connect to, by a network of theirs that is not mirrored; it adds their addresses.
    pub(crate) fn behind_proxy(&mut self) -> Running {
        let (hub, proxy) = (self.net.space("h"), self.net.space("p"));
        self.net.must(&format!("-n {hub} link add br1 type bridge"));
        self.net.must(&format!("-n {hub} link set br1 up"));
        self.net.must(&format!("netns add {proxy}"));
        self.net.plug("p", "eth0");
        self.net.must(&format!("-n {proxy} addr add {PROXY}/24 dev eth0"));
        (self.site, self.attacker, self.client) = ("10.93.0.9", "10.93.0.66", "10.93.0.1");
        for (space, address) in [("p", self.site), ("a", self.attacker), ("c", self.client)] {
            self.net.plug_to("br1", space, "eth1");
            self.net.must(&format!("-n {} addr add {address}/24 dev eth1", self.net.space(space)));
        }
        let text = format!(
            "events {{}}\nhttp {{ TEMPORARY access_log off; server {{ listen {}:80; location / {{ proxy_pass http://{SERVER}:8080; \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n",
            self.site
        );
        nginx_in(&self.net, "p", &self.place, "proxy", &text, &format!("{}:80", self.site))
    }

    /// An office's router that the attacker and who works are behind: the site sees one address of both.
    pub(crate) fn behind_one_address(&mut self) {
        let (hub, router) = (self.net.space("h"), self.net.space("p"));
        self.net.must(&format!("-n {hub} link add br1 type bridge"));
        self.net.must(&format!("-n {hub} link set br1 up"));
        self.net.must(&format!("netns add {router}"));
        self.net.plug("p", "eth0");
        self.net.must(&format!("-n {router} addr add {PROXY}/24 dev eth0"));
        for (space, address) in [("p", "10.93.0.9"), ("a", "10.93.0.66"), ("c", "10.93.0.1")] {
            self.net.plug_to("br1", space, "eth1");
            self.net.must(&format!("-n {} addr add {address}/24 dev eth1", self.net.space(space)));
        }
        for space in ["a", "c"] {
            self.net.must(&format!("-n {} route add {SERVER}/32 via 10.93.0.9", self.net.space(space)));
        }
        self.net.output("p", &["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        let rule = "add table ip office; add chain ip office out { type nat hook postrouting priority 100; }; add rule ip office out oifname eth0 masquerade";
        self.net.output("p", &["nft", rule]);
        (self.attacker, self.client) = (PROXY, PROXY);
    }

    pub(crate) fn device(&self, program: &str, args: &[&str]) -> Running {
        let mut command = self.net.at("s", &find(program).unwrap());
        command
            .args(args)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.place.path("device.log")).unwrap());
        let running = Running(Some(command.spawn().unwrap()));
        until("the device listens", || self.net.output("s", &["ss", "-ltn"]).contains(":80 "));
        running
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.place.path(name).display().to_string()
    }

    /// What a request of somebody is answered with.
    pub(crate) fn status(&self, space: &str) -> String {
        let url = format!("http://{}/api/orders", self.site);
        let mut command = self.net.at(space, &find("curl").unwrap());
        let out = command
            .args(["-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", "-A", "app/1", &url])
            .args(["-H", "Host: shop.example"])
            .output();
        String::from_utf8(out.unwrap().stdout).unwrap()
    }

    /// Connections that go on for a while: of one who tries passwords, or of one who works.
    pub(crate) fn traffic(&self, space: &str, attack: bool) -> Running {
        match attack {
            true => self.sends(space, ATTACK, 5),
            false => self.works(space, "return wrk.format(nil, '/api/orders')"),
        }
    }

    /// Somebody who works, whose next request is what this gives; an answer that is none of the application's is written down.
    pub(crate) fn works(&self, space: &str, next: &str) -> Running {
        let odd = self.path(&format!("{space}.odd"));
        let script = format!(
            "local n = 0\nfunction request() n = n + 1; {next} end\nfunction init() odd = io.open('{odd}', 'a') end\nfunction response(status, _, body)\n\
             if status ~= 200 or body ~= '{{\"id\":1}}' then odd:write(status, ' ', body, '\\n'); odd:flush() end end\n"
        );
        self.sends(space, &script, 50)
    }

    fn sends(&self, space: &str, script: &str, pause_ms: u32) -> Running {
        let script = format!(
            "{script}function delay() return {pause_ms} end\nwrk.headers['Host'] = 'shop.example'\nwrk.headers['X-Who'] = '{space}'\nwrk.headers['User-Agent'] = 'app/1'\nwrk.headers['Accept'] = '*/*'\n"
        );
        let file = self.place.write(&format!("{space}.lua"), script.as_bytes());
        // The honest client works on for as long as attacks are measured.
        let duration = format!("-d{}", 90 + 30 * u64::from(rounds().unwrap_or(0)));
        let mut command = self.net.at(space, &find("wrk").unwrap());
        command
            .args(["-t1", "-c4", duration.as_str(), "--timeout", "1", "-s"])
            .arg(&file)
            .arg(format!("http://{}/", self.site));
        Running(Some(command.stdout(Stdio::null()).spawn().unwrap()))
    }

    /// How many of somebody's requests the application answered.
    pub(crate) fn answered(&self, space: &str) -> usize {
        let log = std::fs::read_to_string(self.place.path("app/access.log")).unwrap_or_default();
        log.lines().filter(|l| l.starts_with(&format!("{space} "))).count()
    }

    /// That each request of who works that was answered was answered by the application.
    pub(crate) fn assert_worked(&self, space: &str) {
        let odd = std::fs::read_to_string(self.path(&format!("{space}.odd"))).unwrap();
        // Where a proxy stands before the device, it says so while that is started anew.
        let is_away = |line: &&str| self.site != SERVER && line.starts_with("502 ");
        let odd: Vec<&str> = odd.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit())).collect();
        assert_eq!(odd.iter().find(|l| !is_away(l)), None, "an answer that is none of the application's");
        assert!(self.answered(space) > 20, "{space} worked on");
    }

    /// What HAProxy is configured with, as its page has it; gives its arguments and the connector, with all that it can do.
    pub(crate) fn haproxy(&self, address: &str) -> ([String; 3], String) {
        let text = page("haproxy.cfg").replace("/run/haproxy/sidetap.sock", &self.path("sock"));
        let text = text.replace("/etc/haproxy/sidetap/", &self.path(""));
        self.place.write("haproxy.cfg", text.as_bytes());
        self.place.write("sidetap.lua", page("sidetap.lua").as_bytes());
        self.place.write("challenge.html", page("challenge.html").as_bytes());
        let mut config =
            format!("[[mitigation.haproxy]]\nsocket = \"{}\"\naddress = \"{address}\"\n", self.path("sock"));
        config += "decoys = [\"sidetap_sold_out\"]\ntag_header = \"x-sidetap-tag\"\n";
        for map in [
            "block",
            "keys",
            "places",
            "nets",
            "rate_limit",
            "tarpit",
            "challenge",
            "deceive",
            "tag",
            "allow",
        ] {
            let file = match map {
                "rate_limit" => "rate.map".to_owned(),
                "deceive" => "decoy.map".to_owned(),
                map => format!("{map}.map"),
            };
            self.place.write(&file, b"");
            config += &format!("{map}_map = \"{}\"\n", self.path(&file));
        }
        ([String::from("-db"), "-f".into(), self.path("haproxy.cfg")], config)
    }

    /// A command of the operator's, where the watch runs.
    pub(crate) fn operate(&self, args: &[&str]) {
        self.said(args);
    }

    /// What it says.
    pub(crate) fn said(&self, args: &[&str]) -> String {
        let mut command = self.net.at("m", Path::new(env!("CARGO_BIN_EXE_sidetap")));
        command.args(args).args(["--store", "db/store.db"]);
        command.current_dir(self.place.path(".")).env("HOME", self.place.path("."));
        ended(command.output().unwrap()).is(0).stdout
    }

    /// Kills the process that drives devices; says whether there was one.
    pub(crate) fn kill_worker(&self) -> bool {
        let pids = Command::new(find("ip").unwrap()).args(["netns", "pids", &self.net.space("m")]).output();
        let pids = String::from_utf8(pids.unwrap().stdout).unwrap();
        let is_worker = |pid: &&str| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|b| *b == 0).any(|word| word == b"--worker")
        };
        let found = pids.split_whitespace().find(is_worker);
        found.is_some_and(|pid| Command::new("kill").args(["-9", pid]).status().unwrap().success())
    }
}

/// nginx in the server's namespace with this configuration, in a directory of its own.
pub(crate) fn nginx(net: &Net, place: &Place, name: &str, text: &str, listens: &str) -> Running {
    nginx_in(net, "s", place, name, text, listens)
}

fn nginx_in(net: &Net, space: &str, place: &Place, name: &str, text: &str, listens: &str) -> Running {
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
    let mut command = net.at(space, &find("nginx").unwrap());
    command.arg("-c").arg(dir.join("nginx.conf")).args(["-g", "daemon off;"]);
    let running = Running(Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
    until("nginx listens", || net.output(space, &["ss", "-ltn"]).contains(listens));
    running
}

pub(crate) fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connectors").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The application's own front, for devices that stand before it on the network.
pub(crate) fn front(s: &Scene) -> Running {
    let text = format!(
        "events {{}}\nhttp {{ TEMPORARY access_log off; server {{ listen {SERVER}:80; location / {{ proxy_pass http://127.0.0.1:9000; }} }} }}\n"
    );
    nginx(&s.net, &s.place, "front", &text, &format!("{SERVER}:80"))
}

/// How many attacks `scripts/latency.sh` asks for, where it asks.
pub(crate) fn rounds() -> Option<u8> {
    std::env::var("SIDETAP_LATENCY_ROUNDS").ok()?.parse().ok().map(|n: u8| n.clamp(1, 100))
}
