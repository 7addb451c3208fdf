use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sidetap_mitigation::varnish::VarnishConnector;
use sidetap_mitigation::{Connector, ConnectorError, Desired, Enforcer, Mode, PushOptions};
use sidetap_model::{SubjectKind, Ts};
use sidetap_policy::Response;

use crate::rig::{
    ATTACKER, Rig, acts, contract, entry, holds_at_places, holds_for_the_hosts_there_are, lets_go_unheard,
    many, measure,
};
use crate::support::{
    Process, application, ask_at, desired, fickle, free_port, get, gone, loopback, tool, until, verdict,
    wall, with_hosts,
};

pub(crate) struct Varnish {
    dir: tempfile::TempDir,
    to: SocketAddr,
    process: Process,
}

impl Varnish {
    /// Behind a balancer: with the line that the configuration has for that.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|text| {
            let own = "    set req.http.X-Sidetap-Client = client.ip;\n";
            assert!(text.contains(own) && text.contains("    #set req.http"));
            text.replace(own, "").replace("    #set req.http", "    set req.http")
        })
    }

    fn start_with(change: impl Fn(&str) -> String) -> Option<Self> {
        let (program, _, _) = (tool("varnishd")?, tool("varnishadm")?, tool("gcc")?);
        let dir = tempfile::tempdir().unwrap();
        let to = loopback(free_port());
        let text = with_hosts(include_str!("../../../../docs/connectors/varnish.vcl"));
        let text = text.replace("/etc/varnish/sidetap/", &format!("{}/", dir.path().display()));
        let text = text.replace("\"9000\"", &format!("\"{}\"", application()));
        let include = |name: &str| format!("include \"{}/{name}\";\n", dir.path().display());
        let others = format!("{}{}", include("other.vcl"), include("other-places.vcl"));
        let text = change(&text).replacen("sub vcl_recv", &format!("{others}sub vcl_recv"), 1);
        std::fs::write(dir.path().join("main.vcl"), text).unwrap();
        // A second Sidetap of the same Varnish has a list of its own.
        std::fs::write(dir.path().join("acl.vcl"), begin("acl sidetap")).unwrap();
        std::fs::write(dir.path().join("other.vcl"), begin("acl second").replace("second", "other")).unwrap();
        std::fs::write(dir.path().join("places.vcl"), begin("sub sidetap_here")).unwrap();
        let here = begin("sub second_here").replace("second", "other");
        std::fs::write(dir.path().join("other-places.vcl"), here).unwrap();
        std::fs::write(dir.path().join("second.vcl"), begin("acl second")).unwrap();
        std::fs::write(dir.path().join("second-places.vcl"), begin("sub second_here")).unwrap();
        let mut command = Command::new(program);
        command
            .args(["-F", "-j", "none", "-a"])
            .arg(to.to_string())
            .arg("-f")
            .arg(dir.path().join("main.vcl"));
        command.arg("-n").arg(dir.path().join("work")).args([
            "-s",
            "malloc,8m",
            "-p",
            "default_ttl=0",
            "-p",
            "default_grace=0",
        ]);
        command
            .args(["-p", "vcc_err_unref=off"])
            .args(["-p", "thread_pool_min=10", "-p", "timeout_idle=60"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::start(&mut command);
        let varnish = Varnish { dir, to, process };
        until("varnish answers", || get(to, "192.0.2.9", &[]).0 == 200);
        Some(varnish)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Vec<String> {
        let adm = ["varnishadm", "-n", self.file("work").to_str().unwrap()].map(str::to_owned);
        fickle(&adm, "vcl.use", &self.file("fail"), &self.file("gone"))
    }

    fn connector_of(&self, acl: &str) -> VarnishConnector {
        let text = format!(
            "acl = \"{}\"\nplaces = \"{}\"\nlist = \"{}\"\nvcl = \"{}\"\ncommand = {:?}\naddress = \"forwarded\"\ncapacity = 100\nmin_interval_s = 0\n\
             canary = {{ url = \"http://{}/\", host = \"shop.example\" }}\n",
            self.file(acl).display(),
            self.file(if acl == "acl.vcl" { "places.vcl" } else { "other-places.vcl" }).display(),
            if acl == "other.vcl" { "other" } else { "sidetap" },
            self.file("main.vcl").display(),
            self.command(),
            self.to
        );
        VarnishConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap()
    }
}

/// What the page says that files are to begin with.
fn begin(what: &str) -> String {
    let page = include_str!("../../../../docs/connectors/varnish.md");
    let first = what.replace("second", "sidetap");
    let text = page.split('`').find(|t| t.starts_with(&first) && t.ends_with('}')).unwrap();
    format!("{}\n", text.replace(&first, what))
}

impl Drop for Varnish {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.0.id().to_string()).status();
        let _ = self.process.0.wait();
    }
}

impl Rig for Varnish {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("acl.vcl"))
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
        std::fs::write(self.file("acl.vcl"), begin("acl sidetap")).unwrap();
        std::fs::write(self.file("places.vcl"), begin("sub sidetap_here")).unwrap();
    }

    fn add_foreign(&mut self) -> bool {
        let text = std::fs::read_to_string(self.file("acl.vcl")).unwrap();
        let text = text.replacen("{\n", "{\n    \"192.0.2.200\"; // ours\n", 1);
        std::fs::write(self.file("acl.vcl"), text).unwrap();
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        std::fs::read_to_string(self.file("acl.vcl")).unwrap().contains("\"192.0.2.200\"; // ours")
    }

    fn away(&mut self, away: bool) -> bool {
        let gone = self.file("gone");
        let _ = if away { std::fs::write(gone, "") } else { std::fs::remove_file(gone) };
        true
    }

    fn break_next(&mut self) -> bool {
        std::fs::write(self.file("fail"), "").unwrap();
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other.vcl")))
    }
}

#[test]
fn lets_go_while_nobody_hears() {
    let Some(device) = Varnish::start() else { return };
    let files = ["acl.vcl", "places.vcl"].map(|f| device.file(f));
    lets_go_unheard(device, |d: &Varnish, silent| gone(&d.file("gone"), silent), &files);
}

/// `varnishadm` waits for a Varnish that is not there as long as it is told to; who asks several times waits several times.
#[test]
fn what_is_down_is_soon_known_to_be() {
    let Some(mut device) = Varnish::start() else { return };
    let want = desired(&[verdict("v1", SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
    let options = PushOptions { force: true, ..PushOptions::new(Mode::Enforce) };
    let connector = |device: &Varnish| Enforcer::with_connectors(vec![device.connector()]);
    assert!(connector(&device).push(&want, Ts::from_parts(wall(), 0), &options).is_ok());
    let _ = Command::new("kill").arg(device.process.0.id().to_string()).status();
    device.process.0.wait().unwrap();
    let held = || std::fs::read_to_string(device.file("acl.vcl")).unwrap().contains(ATTACKER);
    assert!(held());
    let stopped = Desired { stopped: true, ..Desired::default() };
    for want in [&want, &stopped] {
        let start = Instant::now();
        let report = connector(&device).push(want, Ts::from_parts(wall(), 0), &options);
        assert!(
            !report.is_ok() && start.elapsed() < Duration::from_secs(20),
            "{report:?} {:?}",
            start.elapsed()
        );
    }
    assert!(!held(), "the kill switch");
}

/// Nobody whose time is over, or who is wanted no more, is blocked again when it is started.
#[test]
fn what_lets_go_while_it_is_down_comes_out_of_the_files() {
    let Some(device) = Varnish::start() else { return };
    let options = PushOptions::new(Mode::Enforce);
    let at = |s: i64| Ts::from_parts(wall() + s, 0);
    let held = || std::fs::read_to_string(device.file("acl.vcl")).unwrap();
    let row = |ip: &str, ttl_s| verdict(ip, SubjectKind::Ip, ip, "block", ttl_s);
    let rows = [row("203.0.113.1", 60), row("203.0.113.2", 3_600), row("203.0.113.3", 3_600)];
    let mut enforcer = Enforcer::with_connectors(vec![device.connector()]);
    assert!(enforcer.push(&desired(&rows, &[]), at(0), &options).is_ok());
    gone(&device.file("gone"), true);
    let new = [row("203.0.113.2", 3_600), row("203.0.113.4", 3_600)];
    let times = [(100, &rows[..], [false, true, true, false]), (400, &new, [false, true, false, false])];
    for (s, rows, left) in times {
        let report = enforcer.push(&desired(rows, &[]), at(s), &options);
        let said = &report.connectors[0];
        assert!(!report.is_ok() && said.answer.contains("taken out of the files"), "{said:?}");
        let there = [1, 2, 3, 4].map(|n| held().contains(&format!("\"203.0.113.{n}\"")));
        assert_eq!(there, left, "{}", held());
    }
    gone(&device.file("gone"), false);
    let report = enforcer.push(&desired(&new, &[]), at(800), &options);
    assert!(report.is_ok(), "the next push tells it: {report:?}");
    until("all is in force", || device.request("203.0.113.4") == 403 && device.request("203.0.113.3") == 200);
}

#[test]
fn keeps_the_contract() {
    let Some(varnish) = Varnish::start() else { return };
    contract(varnish);
}

#[test]
fn answers_for_the_hosts_of_the_site_only() {
    let Some(device) = Varnish::start() else { return };
    holds_for_the_hosts_there_are(device);
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(device) = Varnish::start() else { return };
    holds_at_places(device);
}

/// Both lists are in one configuration, which either of them has Varnish compile: whoever comes last, both are in force.
#[test]
fn two_sidetaps_on_one_varnish_hold_both_lists() {
    let device = Varnish::start_with(|text| {
        let include = text.lines().find(|l| l.starts_with("include")).unwrap().to_owned();
        let more = ["second.vcl", "second-places.vcl"].map(|f| include.replace("acl.vcl", f)).join("\n");
        let text = text.replace(&include, &format!("{include}\n{more}"));
        let text = text
            .replace(") ~ sidetap)", ") ~ sidetap || std.ip(req.http.X-Sidetap-Client, client.ip) ~ second)");
        let text = text.replace("    call sidetap_here;", "    call sidetap_here;\n    call second_here;");
        let own = "    set req.http.X-Sidetap-Client = client.ip;\n";
        text.replace(own, "").replace("    #set req.http", "    set req.http")
    });
    let Some(device) = device else { return };
    let text = format!(
        "acl = \"{}\"\nplaces = \"{}\"\nlist = \"second\"\nvcl = \"{}\"\ncommand = {:?}\naddress = \"forwarded\"\nmin_interval_s = 0\n",
        device.file("second.vcl").display(),
        device.file("second-places.vcl").display(),
        device.file("main.vcl").display(),
        device.command(),
    );
    let second = VarnishConnector::new(toml::from_str(&text).unwrap()).unwrap();
    let mut both: [Box<dyn Connector>; 2] = [device.connector(), Box::new(second)];
    let blocks = |who: &str| entry(who, Response::Block);
    let push = |c: &mut Box<dyn Connector>, wanted: &[sidetap_mitigation::Entry]| {
        // Who waits too long for the other's compiler, on a busy machine, is told so, and asks again.
        until("it has its turn", || {
            let plan = sidetap_mitigation::plan(wanted, &c.observe(wall()).unwrap(), &[], c.sees());
            let done = c.apply(&plan, wall());
            assert!(matches!(done, Ok(_) | Err(ConnectorError::Busy(_))), "{done:?}");
            done.is_ok()
        });
        assert_eq!(c.observe(wall()).unwrap().entries.len(), wanted.len());
    };
    // At once, over and over: what one compiled before the other's change is never put in use after it.
    let [first, second] = &mut both;
    std::thread::scope(|scope| {
        scope.spawn(|| (1..=5).for_each(|n| push(first, &[blocks(&format!("203.0.113.{n}"))])));
        scope.spawn(|| {
            for n in 1..=5 {
                push(second, &[blocks(&format!("198.51.100.{n}")), blocks("203.0.113.77@POST,/login")]);
            }
        });
    });
    let are = |what: &str, wanted: [(&str, u16); 2]| {
        until(what, || wanted.iter().all(|(from, status)| get(device.to, from, &[]).0 == *status));
    };
    are("both are in force", [("203.0.113.5", 403), ("198.51.100.5", 403)]);
    are("nothing of before is", [("203.0.113.4", 200), ("198.51.100.4", 200)]);
    let at_place = || ask_at(device.to, "203.0.113.77", ("POST", "shop.example", "/login"), "x");
    until("the place is held", || at_place() == 403);
    push(first, &[]);
    are("the other's stays", [("203.0.113.5", 200), ("198.51.100.5", 403)]);
}

#[test]
fn lists_that_stand_otherwise_are_read_and_what_does_not_compile_is_told() {
    let Some(device) = Varnish::start() else { return };
    let mut connector = device.connector();
    let mut push = |wanted: &[sidetap_mitigation::Entry]| {
        let observed = connector.observe(wall())?;
        let plan = sidetap_mitigation::plan(wanted, &observed, &[], connector.sees());
        connector.apply(&plan, wall())
    };
    let status = |from: &str| get(device.to, from, &[]).0;
    for list in [
        "acl sidetap { \"192.0.2.200\"; }\n",
        "acl sidetap\n{\n  \"192.0.2.200\"; # by hand }\n} # the end\n",
        "acl sidetap {\"192.0.2.200\";\n// by hand }\n}",
    ] {
        std::fs::write(device.file("acl.vcl"), list).unwrap();
        push(&[entry("203.0.113.9", Response::Block)]).unwrap();
        assert_eq!(
            (status("203.0.113.9"), status("192.0.2.200"), status("192.0.2.9")),
            (403, 403, 200),
            "{list}"
        );
        push(&[]).unwrap();
        assert_eq!((status("203.0.113.9"), status("192.0.2.200")), (200, 403), "{list}");
    }
    std::fs::write(device.file("acl.vcl"), "acl sidetap {\n  by hand;\n}\n").unwrap();
    let error = push(&[entry("203.0.113.9", Response::Block)]).unwrap_err().to_string();
    assert!(error.contains("Expected"), "what Varnish says of it: {error}");
}

/// Where clients connect themselves, nothing that they write makes them somebody else.
#[test]
fn a_header_lets_nobody_by() {
    let Some(device) = Varnish::start_with(str::to_owned) else { return };
    let mut connector = device.connector();
    let observed = connector.observe(wall()).unwrap();
    let wanted = [entry("127.0.0.1", Response::Block), entry("203.0.113.9", Response::Block)];
    let plan = sidetap_mitigation::plan(&wanted, &observed, &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    for said in ["8.8.8.8", "203.0.113.10", "8.8.8.8, 8.8.4.4"] {
        assert_eq!(get(device.to, said, &[]).0, 403, "{said}");
    }
    let observed = connector.observe(wall()).unwrap();
    let plan = sidetap_mitigation::plan(&wanted[1..], &observed, &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    until("it is let in", || get(device.to, "203.0.113.9", &[]).0 == 200);
}

/// A compiler that takes longer than varnishadm waits by itself: what is pushed comes into force, and nothing is left lying.
#[test]
fn a_compiler_that_takes_long_is_waited_for() {
    let Some(device) = Varnish::start() else { return };
    let adm = |args: &[&str]| {
        let mut command = Command::new(tool("varnishadm").unwrap());
        command.args(["-t", "60", "-n"]).arg(device.file("work")).args(args);
        let out = command.output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    adm(&["param.set", "cc_command", "\"sleep 11; %D\""]);
    let mut connector = device.connector();
    let mut push = |wanted: &[sidetap_mitigation::Entry]| {
        let plan =
            sidetap_mitigation::plan(wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
        connector.apply(&plan, wall())
    };
    push(&[entry("203.0.113.9", Response::Block)]).unwrap();
    assert_eq!(get(device.to, "203.0.113.9", &[]).0, 403);
    assert!(adm(&["param.show", "cc_command"]).contains("sleep 11"), "it took that long");
    // One that is told to take longer than the connector waits is not taken for done.
    let text = format!(
        "acl = \"{}\"\nvcl = \"{}\"\ncommand = {:?}\naddress = \"forwarded\"\nmin_interval_s = 0\ntimeout_s = 1\n",
        device.file("acl.vcl").display(),
        device.file("main.vcl").display(),
        device.command(),
    );
    let mut hasty = VarnishConnector::new(toml::from_str(&text).unwrap()).unwrap();
    let observed = hasty.observe(wall()).unwrap();
    let both = [entry("203.0.113.9", Response::Block), entry("203.0.113.8", Response::Block)];
    let plan = sidetap_mitigation::plan(&both, &observed, &[], hasty.sees());
    assert!(hasty.apply(&plan, wall()).is_err());
    assert_eq!((get(device.to, "203.0.113.8", &[]).0, get(device.to, "203.0.113.9", &[]).0), (200, 403));
    adm(&["param.reset", "cc_command"]);
    push(&[]).unwrap();
    assert_eq!(get(device.to, "203.0.113.9", &[]).0, 200);
    let listed = adm(&["vcl.list"]);
    let ours: Vec<&str> =
        listed.lines().filter(|l| l.contains("sidetap_") && !l.contains("discarded")).collect();
    assert!(ours.len() == 1 && ours[0].starts_with("active"), "{listed}");
}

#[test]
fn acts_on_requests() {
    let Some(varnish) = Varnish::start() else { return };
    acts(varnish);
}

#[test]
#[ignore = "measures"]
fn measure_effect() {
    let Some(varnish) = Varnish::start() else { return };
    measure(varnish, 10);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Varnish::start() else { return };
    many(device);
}

/// A list that no configuration includes keeps nobody out.
#[test]
fn a_list_that_is_included_nowhere_is_told() {
    let Some(device) = Varnish::start() else { return };
    std::fs::create_dir(device.file("elsewhere")).unwrap();
    let at = |path: &str| {
        let work = device.file("work").display().to_string();
        let text = format!(
            "acl = \"{}\"\nvcl = \"{}\"\ncommand = {:?}\nmin_interval_s = 0\n",
            device.file(path).display(),
            device.file("main.vcl").display(),
            ["varnishadm", "-n", work.as_str()],
        );
        let connector: Box<dyn Connector> =
            Box::new(VarnishConnector::new(toml::from_str(&text).unwrap()).unwrap());
        let mut enforcer = Enforcer::with_connectors(vec![connector]);
        let want = desired(&[verdict("v1", SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
        let now = Ts::from_parts(wall(), 0);
        enforcer.push(&want, now, &PushOptions::new(Mode::Enforce)).connectors.remove(0)
    };
    let result = at("elsewhere/acl.vcl");
    assert_eq!(result.outcome, "failed");
    assert!(result.answer.contains("no configuration of this server includes"), "{result:?}");
    assert!(at("nosuch/acl.vcl").answer.contains("there is no such directory"));
    assert_eq!(at("acl.vcl").outcome, "done");
}
