//! A client and a server joined by a bridge, and a third port of it as the mirror: namespaces that a test makes and removes.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::common::{Place, is_root};

pub(crate) const CLIENT: &str = "10.91.0.1";
/// A second address of the client's machine.
pub(crate) const OTHER: &str = "10.91.0.3";
pub(crate) const SERVER: &str = "10.91.0.2";
/// What the mirror port is called.
pub(crate) const PORT: &str = "mirror0";

/// Four namespaces: the bridge's, the client's, the server's, the sensor's.
pub(crate) struct Net {
    id: String,
}

/// A process that is ended when nobody holds it any more.
pub(crate) struct Running(pub(crate) Option<Child>);

impl Net {
    /// Makes the network, where the test may and all programs are there; says what is missing where not.
    pub(crate) fn make(what: &str, programs: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root(what) {
            return None;
        }
        for program in ["ip"].iter().chain(programs) {
            if find(program).is_none() {
                assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "{program} is not installed");
                eprintln!("left out, needs {program}: {what}");
                return None;
            }
        }
        let id = format!("sl{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let net = Net { id };
        if !net.ip(&format!("netns add {}", net.space("h"))) {
            eprintln!("left out, no network namespaces here: {what}");
            return None;
        }
        for space in ["c", "s", "m"] {
            net.must(&format!("netns add {}", net.space(space)));
            // No chatter of IPv6: what the port counts is what the test sends.
            net.quietly(space, &["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
            net.quietly(space, &["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
        }
        let hub = net.space("h");
        net.must(&format!("-n {hub} link add br0 type bridge ageing_time 0"));
        net.must(&format!("-n {hub} link set br0 up"));
        for (space, end) in [("c", "eth0"), ("s", "eth0")] {
            net.plug(space, end);
        }
        net.plug("m", PORT);
        for (space, address) in [("c", CLIENT), ("c", OTHER), ("s", SERVER)] {
            net.must(&format!("-n {} addr add {address}/24 dev eth0", net.space(space)));
        }
        Some(net)
    }

    /// Joins a namespace to the bridge that is mirrored.
    pub(crate) fn plug(&self, space: &str, end: &str) {
        self.plug_to("br0", space, end);
    }

    /// Joins a namespace to a bridge.
    pub(crate) fn plug_to(&self, bridge: &str, space: &str, end: &str) {
        let (hub, there) = (self.space("h"), self.space(space));
        self.must(&format!("-n {hub} link add v{end}{space} type veth peer name {end} netns {there}"));
        self.must(&format!("-n {hub} link set v{end}{space} master {bridge} up"));
        self.must(&format!("-n {there} link set lo up"));
        self.must(&format!("-n {there} link set {end} up"));
    }

    pub(crate) fn space(&self, which: &str) -> String {
        format!("{}{which}", self.id)
    }

    pub(crate) fn ip(&self, args: &str) -> bool {
        let mut command = Command::new(find("ip").unwrap());
        command.args(args.split(' ')).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    }

    pub(crate) fn must(&self, args: &str) {
        assert!(self.ip(args), "ip {args}");
    }

    /// A command in a namespace.
    pub(crate) fn at(&self, which: &str, program: &Path) -> Command {
        let mut command = Command::new(find("ip").unwrap());
        command.args(["netns", "exec", &self.space(which)]).arg(program).stdin(Stdio::null());
        command
    }

    fn quietly(&self, which: &str, args: &[&str]) {
        let _ = self.at(which, &find(args[0]).unwrap_or_default()).args(&args[1..]).output();
    }

    /// What a command in a namespace prints.
    pub(crate) fn output(&self, which: &str, args: &[&str]) -> String {
        let out = self.at(which, &find(args[0]).unwrap()).args(&args[1..]).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Packets that the mirror port counted.
    pub(crate) fn counted(&self) -> u64 {
        let path = format!("/sys/class/net/{PORT}/statistics/rx_packets");
        self.output("m", &["cat", &path]).trim().parse().unwrap()
    }

    /// Starts a watch of the mirror port and waits until it captures.
    pub(crate) fn watch(&self, place: &Place, args: &[&str]) -> Running {
        let program = Path::new(env!("CARGO_BIN_EXE_sidetap"));
        let mut command = self.at("m", program);
        command.args(["watch", "--out", "run", "--hash-key", "key"]).args(args);
        command.current_dir(place.path(".")).env("HOME", place.path("."));
        command.stdout(std::fs::File::create(place.path("report.txt")).unwrap());
        command.stderr(std::fs::File::create(place.path("log.txt")).unwrap());
        let mut child = command.spawn().unwrap();
        let log = || std::fs::read_to_string(place.path("log.txt")).unwrap();
        until("the watch captures", || {
            assert!(child.try_wait().unwrap().is_none(), "{}", log());
            log().contains("rights")
        });
        // Its signal handlers and threads come right after.
        std::thread::sleep(Duration::from_millis(300));
        Running(Some(child))
    }

    /// nginx in the server's namespace; each line of its log is the client's port and the status.
    pub(crate) fn nginx(&self, place: &Place) -> Running {
        let dir = place.path("nginx");
        std::fs::create_dir_all(&dir).unwrap();
        let at = dir.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|t| format!("{t}_temp_path {at}/{t};"))
            .collect();
        let config = format!(
            "worker_processes 1; daemon off; pid {at}/pid; error_log {at}/error.log;\nuser root;\n\
             events {{ worker_connections 512; }}\n\
             http {{ {temporary} keepalive_requests 1000000000; log_format p '$remote_port $status';\n\
             access_log {at}/access.log p;\n\
             server {{ listen {SERVER}:80; location /api/login {{ default_type application/json; return 401 '{{\"error\":\"wrong\"}}'; }} location / {{ default_type application/json; return 200 '{{\"id\":1}}'; }} }} }}\n"
        );
        std::fs::write(dir.join("nginx.conf"), config).unwrap();
        let mut command = self.at("s", &find("nginx").unwrap());
        command.arg("-c").arg(dir.join("nginx.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running(Some(command.spawn().unwrap()));
        until("nginx listens", || self.output("s", &["ss", "-ltn"]).contains(&format!("{SERVER}:80")));
        running
    }

    /// Requests that nginx answered, by the client's port.
    pub(crate) fn answered(&self, place: &Place) -> BTreeMap<String, u64> {
        let log = std::fs::read_to_string(place.path("nginx/access.log")).unwrap();
        let mut by_port = BTreeMap::new();
        for (port, status) in log.lines().filter_map(|l| l.split_once(' ')) {
            if status != "499" {
                *by_port.entry(port.to_owned()).or_default() += 1;
            }
        }
        by_port
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for space in ["a", "c", "p", "s", "m", "h"] {
            self.ip(&format!("netns del {}", self.space(space)));
        }
    }
}

impl Running {
    /// The process id of the program itself: `ip netns exec` becomes it.
    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for its end; its exit status.
    pub(crate) fn wait(mut self) -> i32 {
        let mut child = self.0.take().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it with SIGTERM.
    pub(crate) fn stop(self) -> i32 {
        self.signal("-TERM");
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // nginx has children that only its own end takes along.
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            std::thread::sleep(Duration::from_millis(200));
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where a program is, those of root included.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin:/usr/bin:/bin";
    path.split(':').map(|dir| Path::new(dir).join(program)).find(|p| p.is_file())
}

/// Waits for something, at most half a minute.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
