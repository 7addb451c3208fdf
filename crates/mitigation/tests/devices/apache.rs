use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sidetap_mitigation::Connector;
use sidetap_mitigation::apache::ApacheConnector;
use sidetap_policy::Response;

use crate::rig::{Rig, acts, contract, entry, holds_at_places, holds_for_the_hosts_there_are, many, measure};
use crate::support::{
    Breaks, Process, application, ask_at, fickle, free_port, get, gone, loopback, out_of_reach, tool, until,
    wall, with_hosts,
};

pub(crate) struct Apache {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) to: SocketAddr,
    process: Process,
    breaks: Arc<AtomicBool>,
}

impl Apache {
    pub(crate) fn start() -> Option<Self> {
        let program = tool("apache2")?;
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let to = loopback(free_port());
        let text = with_hosts(include_str!("../../../../docs/connectors/apache.conf"));
        let text = text.replace("/etc/apache2/sidetap/", &format!("{at}/"));
        let text = text.replace("#RemoteIPHeader", "RemoteIPHeader");
        let text = text.replace("#RemoteIPInternalProxy 10.0.0.0/8", "RemoteIPInternalProxy 127.0.0.1");
        let modules =
            ["mpm_event", "authz_core", "rewrite", "headers", "env", "remoteip", "proxy", "proxy_http"];
        let load: String = modules
            .iter()
            .map(|m| format!("LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n"))
            .collect();
        let app = application();
        let conf = format!(
            "ServerRoot {at}\nPidFile {at}/pid\nErrorLog {at}/error.log\nDefaultRuntimeDir {at}\nServerName shop.example\n\
             Listen {to}\nKeepAliveTimeout 60\n{load}User #65534\nGroup #65534\n<Directory />\nAllowOverride None\nRequire all denied\n</Directory>\n<VirtualHost *>\n{text}\n\
             ProxyPass / http://127.0.0.1:{app}/\n</VirtualHost>\n\
             <VirtualHost 127.0.0.9:1>\nRewriteMap other \"txt:{at}/other.txt\"\nIncludeOptional {at}/other.conf\n</VirtualHost>\n"
        );
        std::fs::write(dir.path().join("httpd.conf"), conf).unwrap();
        for map in ["map.txt", "other.txt"] {
            std::fs::write(dir.path().join(map), "").unwrap();
        }
        std::fs::write(dir.path().join("decoy.json"), "{}").unwrap();
        std::fs::write(dir.path().join("sold_out.json"), r#"{"error":"sold out"}"#).unwrap();
        let mut apache =
            Apache { process: Process::start(&mut Command::new("true")), dir, to, breaks: Arc::default() };
        readable(&apache.dir);
        let mut command = Command::new(program);
        command.arg("-f").arg(apache.file("httpd.conf")).arg("-DFOREGROUND");
        apache.process = Process::start(&mut command);
        until("apache listens", || std::net::TcpStream::connect(to).is_ok());
        Some(apache)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Vec<String> {
        let conf = self.file("httpd.conf").display().to_string();
        let program = tool("apache2").unwrap().display().to_string();
        let all = [program.as_str(), "-f", conf.as_str()];
        let all: Vec<String> = all.iter().chain(args).map(|s| (*s).to_owned()).collect();
        fickle(&all, "-", &self.file("fail"), &self.file("gone"))
    }

    fn connector_of(&self, map: &str) -> ApacheConnector {
        let text = format!(
            "map = \"{}\"\nplaces = \"{}\"\ntest = {:?}\nreload = {:?}\nresponses = [\"block\", \"deceive\", \"tag\"]\ndecoys = [\"sold_out\"]\ntag_header = \"x-sidetap-tag\"\naddress = \"forwarded\"\ncapacity = 100\n\
             canary = {{ url = \"http://{}/\", host = \"shop.example\" }}\n",
            self.file(map).display(),
            self.file(if map == "map.txt" { "places.conf" } else { "other.conf" }).display(),
            self.command(&["-t"]),
            self.command(&["-k", "graceful"]),
            self.to
        );
        ApacheConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap()
    }
}

/// Its workers run under another account.
fn readable(dir: &tempfile::TempDir) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
}

impl Drop for Apache {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.0.id().to_string()).status();
        let _ = self.process.0.wait();
    }
}

impl Rig for Apache {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(Breaks::new(Box::new(self.connector_of("map.txt")), self.file("map.txt"), &self.breaks))
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

    fn flush(&mut self) {
        std::fs::write(self.file("map.txt"), "").unwrap();
        std::fs::write(self.file("places.conf"), "").unwrap();
    }

    fn break_next(&mut self) -> bool {
        self.breaks.store(true, Ordering::SeqCst);
        true
    }

    fn add_foreign(&mut self) -> bool {
        let text = std::fs::read_to_string(self.file("map.txt")).unwrap();
        std::fs::write(self.file("map.txt"), format!("192.0.2.200 block\n{text}")).unwrap();
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        std::fs::read_to_string(self.file("map.txt")).unwrap().contains("192.0.2.200 block\n")
    }

    fn away(&mut self, away: bool) -> bool {
        out_of_reach(&self.file("map.txt"), away);
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other.txt")))
    }
}

#[test]
fn keeps_the_contract() {
    let Some(apache) = Apache::start() else { return };
    contract(apache);
}

/// Apache reads a map anew where its time of change is another one: two changes within a second have two.
#[test]
fn two_changes_within_a_second_both_hold() {
    let Some(apache) = Apache::start() else { return };
    let mut connector = apache.connector();
    let mut push = |addresses: &[&str]| {
        let wanted: Vec<_> = addresses.iter().map(|a| entry(a, Response::Block)).collect();
        let plan =
            sidetap_mitigation::plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
        connector.apply(&plan, wall()).unwrap();
    };
    for round in 0..5 {
        let (first, second) = (format!("203.0.113.{}", 20 + round), format!("203.0.113.{}", 40 + round));
        push(&[&first]);
        assert_eq!(apache.request(&first), 403, "round {round}");
        push(&[&first, &second]);
        assert_eq!([apache.request(&first), apache.request(&second)], [403, 403], "round {round}");
        push(&[&second]);
        assert_eq!([apache.request(&first), apache.request(&second)], [200, 403], "round {round}");
    }
}

/// Of an entry at a place Apache has to be told; the map is emptied all the same.
#[test]
fn lets_go_while_nobody_hears() {
    let Some(apache) = Apache::start() else { return };
    let mut connector = apache.connector();
    let wanted = [entry("203.0.113.9@POST,/login", Response::Block), entry("203.0.113.7", Response::Block)];
    let mut push = |wanted: &[sidetap_mitigation::Entry]| {
        let plan =
            sidetap_mitigation::plan(wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
        connector.apply(&plan, wall())
    };
    push(&wanted).unwrap();
    gone(&apache.file("gone"), true);
    let said = push(&[]).unwrap_err().to_string();
    assert!(said.contains("taken out of the files"), "{said}");
    for file in ["map.txt", "places.conf"] {
        assert_eq!(std::fs::read_to_string(apache.file(file)).unwrap(), "", "{file}");
    }
    gone(&apache.file("gone"), false);
    push(&[]).unwrap();
    until("he is let in", || apache.request_at("203.0.113.9", "POST", "shop.example", "/login") == 200);
}

#[test]
fn answers_for_the_hosts_of_the_site_only() {
    let Some(device) = Apache::start() else { return };
    holds_for_the_hosts_there_are(device);
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(device) = Apache::start() else { return };
    holds_at_places(device);
}

#[test]
fn acts_on_requests() {
    let Some(apache) = Apache::start() else { return };
    acts(apache);
}

/// A text map gives the first line of a key.
#[test]
fn a_line_by_hand_hides_nothing() {
    let Some(apache) = Apache::start() else { return };
    let mut connector = apache.connector();
    let mut push = || {
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(
            &[entry("203.0.113.9", Response::Block)],
            &observed,
            &[],
            connector.sees(),
        );
        connector.apply(&plan, wall()).unwrap();
        observed.drift
    };
    let text = || std::fs::read_to_string(apache.file("map.txt")).unwrap();
    std::fs::write(apache.file("map.txt"), "203.0.113.9 tag\n192.0.2.200 block\n").unwrap();
    push();
    until("it is refused", || get(apache.to, "203.0.113.9", &[]).0 == 403);
    assert!(text().contains("203.0.113.9 tag\n192.0.2.200 block\n"), "lines of others stay: {}", text());
    // As an earlier Sidetap left it; Apache looks at the second of a change.
    let own = text().lines().next().unwrap().to_owned();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    std::fs::write(apache.file("map.txt"), format!("203.0.113.9 tag\n{own}\n")).unwrap();
    until("it is let in", || get(apache.to, "203.0.113.9", &[]).0 == 200);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let drift = push();
    assert!(drift.iter().any(|d| d.contains("others hide in")), "it is told: {drift:?}");
    until("it is refused again", || get(apache.to, "203.0.113.9", &[]).0 == 403);
}

#[test]
fn deceives_and_tags() {
    let Some(apache) = Apache::start() else { return };
    let mut connector = apache.connector();
    let wanted = [entry("198.51.100.1", Response::Deceive), entry("198.51.100.3", Response::Tag)];
    let plan = sidetap_mitigation::plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    until("a decoy answers", || get(apache.to, "198.51.100.1", &[]) == (200, "{}".into()));
    until("requests are tagged", || get(apache.to, "198.51.100.3", &[]) == (200, "tagged".into()));
    assert_eq!(
        get(apache.to, "198.51.100.4", &[("X-Sidetap-Tag", "1")]),
        (200, "app".into()),
        "nobody tags himself"
    );
}

#[test]
#[ignore = "measures"]
fn measure_effect() {
    let Some(apache) = Apache::start() else { return };
    measure(apache, 30);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Apache::start() else { return };
    many(device);
}

/// A map that no configuration reads keeps nobody out.
#[test]
fn a_map_that_is_read_nowhere_is_told() {
    let Some(apache) = Apache::start() else { return };
    std::fs::create_dir(apache.file("elsewhere")).unwrap();
    let at = |path: &str| {
        let text = format!(
            "map = \"{}\"\ntest = {:?}\n",
            apache.file(path).display(),
            [
                tool("apache2").unwrap().to_str().unwrap(),
                "-f",
                apache.file("httpd.conf").to_str().unwrap(),
                "-t"
            ],
        );
        ApacheConnector::new(toml::from_str(&text).unwrap()).unwrap()
    };
    let says = |path: &str| at(path).observe(wall()).map(|_| ()).map_err(|e| e.to_string());
    assert!(
        says("elsewhere/map.txt")
            .unwrap_err()
            .contains("no configuration of this server has a RewriteMap that reads")
    );
    assert!(says("nosuch/map.txt").unwrap_err().contains("there is no such directory"));
    assert_eq!(says("map.txt"), Ok(()));
}
