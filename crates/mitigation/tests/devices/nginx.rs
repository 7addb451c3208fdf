use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sidetap_mitigation::Connector;
use sidetap_mitigation::nginx::NginxConnector;
use sidetap_policy::Response;

use crate::rig::{
    ATTACKER, Rig, acts, contract, entry, holds_at_places, holds_for_the_hosts_there_are, lets_go_unheard,
    many, measure,
};
use crate::support::{
    Process, application, ask_at, desired, fickle, free_port, get, gone, loopback, out_of_reach, tool, until,
    verdict, wall, with_hosts,
};

pub(crate) struct Nginx {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) to: SocketAddr,
    process: Process,
}

/// What a second Sidetap of the same nginx needs.
const OTHER: &str = "    geo $st_second { default \"\"; include /etc/nginx/sidetap/other.conf; }
    geo $st_second_net { default \"\"; include /etc/nginx/sidetap/other-nets.conf; }
    map $st_second $st_second_cell { default \"\"; include /etc/nginx/sidetap/other-places.conf; }
    map $st_second $st_second_key { default \"\"; include /etc/nginx/sidetap/other-keys.conf; }
";

impl Nginx {
    pub(crate) fn start() -> Option<Self> {
        Nginx::start_with(str::to_owned)
    }

    /// One whose configuration was changed before it was started.
    pub(crate) fn start_with(change: impl Fn(&str) -> String) -> Option<Self> {
        let text = with_hosts(include_str!("../../../../docs/connectors/nginx.conf"));
        let text = text.replace("#set_real_ip_from 10.0.0.0/8", "set_real_ip_from 127.0.0.1");
        let text = text.replace("#real_ip_header", "real_ip_header");
        let files = ["addresses.conf", "allow.conf", "keys.conf", "places.conf", "nets.conf"];
        let others = ["other.conf", "other-keys.conf", "other-places.conf", "other-nets.conf"];
        let files: Vec<(&str, &str)> = files.into_iter().chain(others).map(|f| (f, "")).collect();
        Nginx::with(&change(&text).replacen("    server {\n", &format!("{OTHER}    server {{\n"), 1), &files)
    }

    /// nginx with this configuration, whose files stand in the directory of the test.
    pub(crate) fn with(text: &str, files: &[(&str, &str)]) -> Option<Self> {
        let program = tool("nginx")?;
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let to = loopback(free_port());
        let text = text.replace("/etc/nginx/sidetap/", &format!("{at}/"));
        let text = text.replace("listen 80", &format!("listen {to}"));
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
    pub(crate) fn workers(&self) -> usize {
        let pid = std::fs::read_to_string(self.file("pid")).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", pid.trim());
        std::fs::read_to_string(children).unwrap().split_whitespace().count()
    }

    fn connector_of(&self, addresses: &str) -> NginxConnector {
        let prefix = if addresses == "addresses.conf" { "" } else { "other-" };
        let text = format!(
            "addresses = \"{}\"\nallow = \"{}\"\nkeys = \"{}\"\nplaces = \"{}\"\nnets = \"{}\"\n\
             responses = [\"block\", \"rate-limit\", \"tarpit\", \"deceive\", \"tag\"]\n\
             rates = [\"5/60\"]\ndecoys = [\"sold_out\"]\ntag_header = \"x-sidetap-tag\"\n\
             address = \"forwarded\"\ncapacity = 100\nmin_interval_s = 0\ntest = {:?}\nreload = {:?}\n\
             canary = {{ url = \"http://{}/\", host = \"shop.example\" }}\n",
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

    fn door(&self) -> Option<SocketAddr> {
        Some(self.to)
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
fn lets_go_while_nobody_hears() {
    let Some(device) = Nginx::start() else { return };
    let files = ["addresses.conf", "keys.conf"].map(|f| device.file(f));
    lets_go_unheard(device, |d: &Nginx, silent| gone(&d.file("gone"), silent), &files);
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
fn answers_for_the_hosts_of_the_site_only() {
    let Some(device) = Nginx::start() else { return };
    holds_for_the_hosts_there_are(device);
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(nginx) = Nginx::start() else { return };
    holds_at_places(nginx);
}

/// Compiled patterns have little room for repetitions: a path with many is none that nothing stands for.
#[test]
fn a_response_holds_at_its_places_where_patterns_are_compiled() {
    let compiled = |text: &str| text.replacen("events {}", "pcre_jit on;\nevents {}", 1);
    let Some(nginx) = Nginx::start_with(compiled) else { return };
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
fn a_canary_proves_nothing_where_nobody_is_let_through() {
    let Some(nginx) = Nginx::start() else { return };
    let conf = std::fs::read_to_string(nginx.file("nginx.conf")).unwrap();
    std::fs::write(nginx.file("nginx.conf"), conf.replace("location / {", "location / { return 404;"))
        .unwrap();
    let reload = nginx.command(&["-s", "reload"]);
    assert!(Command::new(&reload[0]).args(&reload[1..]).status().unwrap().success());
    until("nobody is let through", || nginx.request(ATTACKER) == 404 && nginx.workers() == 1);
    let mut enforcer = sidetap_mitigation::Enforcer::with_connectors(vec![nginx.connector()]);
    let want = desired(&[verdict("v1", sidetap_model::SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
    let options = sidetap_mitigation::PushOptions::new(sidetap_mitigation::Mode::Enforce);
    let report = enforcer.push(&want, crate::support::wall_ts(), &options);
    let result = &report.connectors[0];
    assert!(result.outcome == "failed" && result.answer.contains("the canary proves nothing"), "{report:?}");
    assert!(result.answer.contains("192.0.2.2, which is on no list, is answered with 404"), "{report:?}");
    let one = sidetap_mitigation::Selector::Verdict("v1".into());
    let undone = enforcer.undo(&one, crate::support::wall_ts(), &options);
    let result = &undone.connectors[0];
    assert!(result.outcome == "done" && result.removed == 1, "what lets go is read back: {undone:?}");
    assert!(result.answer.contains("the canary proves nothing"), "{undone:?}");
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

/// A file that nobody includes keeps nobody out, and neither does one without a directory.
#[test]
fn a_file_that_is_included_nowhere_is_told() {
    let Some(device) = Nginx::start() else { return };
    std::fs::create_dir(device.file("elsewhere")).unwrap();
    let at = |path: &str| -> Box<dyn Connector> {
        let text = format!(
            "addresses = \"{}\"\nmin_interval_s = 0\ntest = {:?}\nreload = {:?}\n",
            device.file(path).display(),
            ["nginx", "-c", device.file("nginx.conf").to_str().unwrap(), "-t", "-q"],
            device.command(&["-s", "reload"]),
        );
        Box::new(NginxConnector::new(toml::from_str(&text).unwrap()).unwrap())
    };
    let says = |path: &str, what: &str| {
        let want = desired(&[verdict("v1", sidetap_model::SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
        let mut enforcer = sidetap_mitigation::Enforcer::with_connectors(vec![at(path)]);
        let options = sidetap_mitigation::PushOptions::new(sidetap_mitigation::Mode::Enforce);
        let report = enforcer.push(&want, crate::support::wall_ts(), &options);
        let result = &report.connectors[0];
        assert!(result.outcome == "failed" && result.answer.contains(what), "{report:?}");
        let mut enforcer = sidetap_mitigation::Enforcer::with_connectors(vec![at(path)]);
        let status = enforcer.status(crate::support::wall_ts());
        assert!(status.connectors[0].error.as_ref().is_some_and(|e| e.contains(what)), "{status:?}");
    };
    says("elsewhere/addresses.conf", "not set up: no configuration of this server includes");
    says("nosuch/addresses.conf", "there is no such directory");
    let want = desired(&[verdict("v1", sidetap_model::SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
    let mut right = sidetap_mitigation::Enforcer::with_connectors(vec![at("addresses.conf")]);
    let options = sidetap_mitigation::PushOptions::new(sidetap_mitigation::Mode::Enforce);
    assert!(right.push(&want, crate::support::wall_ts(), &options).is_ok());
    until("he is refused", || device.request(ATTACKER) == 403);
}
