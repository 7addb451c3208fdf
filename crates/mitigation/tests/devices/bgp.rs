use std::process::{Command, Stdio};

use sidetap_mitigation::bgp::BgpConnector;
use sidetap_mitigation::{Connector, Entry, plan};
use sidetap_policy::Response;

use crate::rig::{Rig, acts, capacity, contract, entry, many_up_to, measure};
use crate::support::{Process, fickle, free_port, tool, until, wall};

/// A speaker without neighbours: what it would announce is read from it.
pub(crate) struct Gobgp {
    dir: tempfile::TempDir,
    port: u16,
    mode: &'static str,
    process: Option<Process>,
}

impl Gobgp {
    pub(crate) fn start(mode: &'static str) -> Option<Self> {
        let (_, _) = (tool("gobgpd")?, tool("gobgp")?);
        Gobgp::configured(mode, "[global.config]\n  as = 64512\n  router-id = \"192.0.2.9\"\n  port = -1\n")
    }

    fn configured(mode: &'static str, conf: &str) -> Option<Self> {
        let (_, _) = (tool("gobgpd")?, tool("gobgp")?);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bgp.toml"), conf).unwrap();
        let mut device = Gobgp { dir, port: free_port(), mode, process: None };
        device.run();
        Some(device)
    }

    fn run(&mut self) {
        let mut command = Command::new(tool("gobgpd").unwrap());
        command
            .arg("-f")
            .arg(self.dir.path().join("bgp.toml"))
            .arg("--api-hosts")
            .arg(format!("127.0.0.1:{}", self.port));
        self.process = Some(Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        until("gobgpd answers", || self.gobgp("global").contains("Router-ID"));
    }

    fn gobgp(&self, args: &str) -> String {
        let mut command = Command::new("gobgp");
        command.args(["-p", &self.port.to_string()]).args(args.split(' '));
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    fn family(&self) -> &'static str {
        if self.mode == "flowspec" { "ipv4-flowspec" } else { "ipv4" }
    }

    fn connector_of(&self, memory: &str) -> BgpConnector {
        self.connector_to(memory, &["10.77.0.0/24", "2001:db8:1::/48"])
    }

    fn connector_to(&self, memory: &str, destinations: &[&str]) -> BgpConnector {
        self.connector_with(memory, destinations, "")
    }

    fn connector_with(&self, memory: &str, destinations: &[&str], more: &str) -> BgpConnector {
        let command = ["gobgp", "-p", &self.port.to_string()].map(str::to_owned);
        let (fail, gone) = (self.dir.path().join("fail"), self.dir.path().join("gone"));
        let text = format!(
            "command = {:?}\nmode = \"{}\"\ndestinations = {destinations:?}\nmemory = \"{}\"\ncapacity = {}\n{more}",
            fickle(&command, "add", &fail, &gone),
            self.mode,
            self.dir.path().join(memory).display(),
            // Each route is a command.
            capacity(20),
        );
        BgpConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap()
    }
}

impl Rig for Gobgp {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("memory.json"))
    }

    fn request(&self, from: &str) -> u16 {
        let rib = self.gobgp(&format!("global rib -a {}", self.family()));
        if rib.contains(&format!("{from}/32")) { 0 } else { 200 }
    }

    /// Routes of a speaker go with it.
    fn flush(&mut self) {
        self.process = None;
        self.run();
    }

    fn add_foreign(&mut self) -> bool {
        self.gobgp(match self.mode {
            "flowspec" => "global rib add -a ipv4-flowspec match source 192.0.2.200/32 destination 10.77.0.0/24 then discard",
            _ => "global rib add 192.0.2.200/32 -a ipv4 nexthop 192.0.2.1",
        });
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        self.request("192.0.2.200") == 0
    }

    fn away(&mut self, away: bool) -> bool {
        let gone = self.dir.path().join("gone");
        let _ = if away { std::fs::write(gone, "") } else { std::fs::remove_file(gone) };
        true
    }

    fn break_next(&mut self) -> bool {
        std::fs::write(self.dir.path().join("fail"), "").unwrap();
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other.json")))
    }
}

#[test]
fn flow_specifications_keep_the_contract() {
    let Some(device) = Gobgp::start("flowspec") else { return };
    contract(device);
}

#[test]
fn routes_to_a_black_hole_keep_the_contract() {
    let Some(device) = Gobgp::start("rtbh") else { return };
    contract(device);
}

#[test]
fn routes_come_and_go() {
    for mode in ["flowspec", "rtbh"] {
        let Some(device) = Gobgp::start(mode) else { return };
        acts(device);
    }
}

/// Pushes these addresses by the connector alone; gives whether there was anything to do.
fn push(connector: &mut dyn Connector, addresses: &[&str]) -> bool {
    let wanted: Vec<Entry> = addresses.iter().map(|a| entry(a, Response::Block)).collect();
    let plan = plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
    if !plan.is_empty() {
        connector.apply(&plan, wall()).unwrap();
    }
    !plan.is_empty()
}

#[test]
fn each_flow_of_a_source_is_held_against_what_was_announced() {
    let Some(device) = Gobgp::start("flowspec") else { return };
    let mut connector = device.connector_to("memory.json", &["10.77.0.0/24", "10.78.0.0/24"]);
    let rib = || device.gobgp("global rib -a ipv4-flowspec");
    let has = |flow: &str| rib().lines().any(|l| l.contains(&format!("{flow} ")) && l.contains("discard"));
    push(&mut connector, &["203.0.113.9"]);
    let ours =
        ["10.77.0.0/24", "10.78.0.0/24"].map(|d| format!("[destination: {d}][source: 203.0.113.9/32]"));
    // Another flow of the same source is somebody else's, by its destination or by what else it matches.
    for own in ["destination 192.0.2.0/24", "destination 10.77.0.0/24 protocol tcp"] {
        device.gobgp(&format!(
            "global rib add -a ipv4-flowspec match source 203.0.113.9/32 {own} then discard"
        ));
    }
    assert!(!push(&mut connector, &["203.0.113.9"]), "there is nothing to do");
    let change = |verb: &str, then: &str| {
        let flow = "source 203.0.113.9/32 destination 10.77.0.0/24";
        device.gobgp(&format!("global rib {verb} -a ipv4-flowspec match {flow}{then}"));
    };
    change("del", "");
    assert!(!has(&ours[0]) && has(&ours[1]));
    assert!(push(&mut connector, &["203.0.113.9"]), "what was withdrawn by hand is not seen");
    assert!(has(&ours[0]) && has(&ours[1]), "{}", rib());
    change("del", "");
    assert!(push(&mut connector, &[]));
    assert!(!has(&ours[1]), "who is let go is let go whatever is there: {}", rib());
    assert_eq!(rib().matches("203.0.113.9/32").count(), 2, "flows of others stay: {}", rib());
}

#[test]
fn what_was_announced_for_a_destination_of_before_is_withdrawn() {
    for undoes in [false, true] {
        let Some(device) = Gobgp::start("flowspec") else { return };
        push(&mut device.connector_to("memory.json", &["10.77.0.0/24", "10.78.0.0/24"]), &["203.0.113.9"]);
        let mut connector = device.connector_to("memory.json", &["10.77.0.0/24"]);
        let wanted: &[&str] = if undoes { &[] } else { &["203.0.113.9"] };
        assert!(push(&mut connector, wanted), "it is not seen");
        let rib = device.gobgp("global rib -a ipv4-flowspec");
        assert!(!rib.contains("10.78.0.0/24"), "{rib}");
        assert_eq!(rib.contains("10.77.0.0/24"), !undoes, "{rib}");
        assert!(!push(&mut connector, wanted));
    }
}

#[test]
fn a_flow_of_ones_own_is_left_alone() {
    let Some(device) = Gobgp::start("flowspec") else { return };
    let own = |verb: &str, to: &str, then: &str| {
        device.gobgp(&format!(
            "global rib {verb} -a ipv4-flowspec match source 203.0.113.9/32 destination {to}{then}"
        ));
    };
    let rib = || device.gobgp("global rib -a ipv4-flowspec");
    let rated = |to: &str| {
        rib()
            .lines()
            .any(|l| l.contains(&format!("{to}][source: 203.0.113.9/32]")) && l.contains("rate: 5000"))
    };
    own("add", "10.77.0.0/24", " then rate-limit 5000");
    let both = ["203.0.113.9", "203.0.113.10"];
    let mut connector = device.connector_to("memory.json", &["10.77.0.0/24"]);
    push(&mut connector, &both);
    assert!(rated("10.77.0.0/24"), "ours took its place: {}", rib());
    assert!(rib().contains("203.0.113.10/32"), "{}", rib());
    assert!(!push(&mut connector, &both), "there is nothing to do");
    push(&mut connector, &[]);
    assert!(rated("10.77.0.0/24"), "it was withdrawn with ours: {}", rib());
    // One to a destination that is configured only later, of a source that was told before.
    own("del", "10.77.0.0/24", "");
    push(&mut connector, &both);
    own("add", "10.78.0.0/24", " then rate-limit 5000");
    let mut connector = device.connector_to("memory.json", &["10.77.0.0/24", "10.78.0.0/24"]);
    push(&mut connector, &both);
    assert!(rated("10.78.0.0/24"), "{}", rib());
    push(&mut connector, &[]);
    assert!(rated("10.78.0.0/24"), "{}", rib());
    // One that comes after ours for the same pair takes its place: as another, and as what ours was.
    for then in [" then rate-limit 5000", " then discard"] {
        let mut connector = device.connector_to("memory.json", &["10.77.0.0/24"]);
        push(&mut connector, &["203.0.113.12"]);
        // A speaker tells the time of an announcement in seconds.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        let one = |verb: &str, then: &str| {
            device.gobgp(&format!("global rib {verb} -a ipv4-flowspec match source 203.0.113.12/32 destination 10.77.0.0/24{then}"))
        };
        one("add", then);
        let there = rib();
        let planned = plan(
            &[entry("203.0.113.12", Response::Block)],
            &connector.observe(wall()).unwrap(),
            &[],
            connector.sees(),
        );
        assert!(planned.refused.iter().any(|r| r.why.contains("somebody else's")), "{planned:?}");
        push(&mut connector, &["203.0.113.12"]);
        push(&mut connector, &[]);
        let left = rib();
        let of =
            |rib: &str| rib.lines().find(|l| l.contains("203.0.113.12/32")).map(|l| l.contains("discard"));
        assert_eq!(of(&left), of(&there), "{then}: {left}");
        assert!(of(&left).is_some(), "{then}: it was withdrawn as ours: {left}");
        // Once it goes, ours is announced again.
        one("del", "");
        assert!(push(&mut connector, &["203.0.113.12"]), "{then}");
        assert_eq!(of(&rib()), Some(true), "{then}");
        push(&mut connector, &[]);
    }
    // One that comes between the look and the change.
    let wanted = [entry("203.0.113.11", Response::Block)];
    let planned = plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
    device.gobgp("global rib add -a ipv4-flowspec match source 203.0.113.11/32 destination 10.77.0.0/24 then rate-limit 5000");
    let done = connector.apply(&planned, wall());
    assert!(matches!(done, Err(sidetap_mitigation::ConnectorError::Conflict(_))), "{done:?}");
    push(&mut connector, &[]);
    assert!(rib().contains("203.0.113.11/32"), "{}", rib());
}

/// Two speakers, the second of which is a neighbour of the first.
fn neighbours(mode: &'static str) -> Option<(Gobgp, Gobgp)> {
    let port = free_port();
    let families: String = ["ipv4-unicast", "ipv6-unicast", "ipv4-flowspec"]
        .map(|f| format!("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{f}\"\n"))
        .concat();
    let conf = |own: u32, other: u32, listens: &str, way: &str| {
        format!(
            "[global.config]\nas = {own}\nrouter-id = \"192.0.2.{}\"\n{listens}\n[[neighbors]]\n[neighbors.config]\nneighbor-address = \"127.0.0.1\"\npeer-as = {other}\n{way}\n{families}",
            own - 64_510
        )
    };
    let listens = format!("port = {port}\nlocal-address-list = [\"127.0.0.1\"]");
    let passive = "[neighbors.transport.config]\npassive-mode = true";
    let calls = format!(
        "[neighbors.transport.config]\nremote-port = {port}\n[neighbors.timers.config]\nconnect-retry = 1"
    );
    let first = Gobgp::configured(mode, &conf(64_512, 64_513, &listens, passive))?;
    let second = Gobgp::configured(mode, &conf(64_513, 64_512, "port = -1", &calls))?;
    until("they are neighbours", || first.gobgp("neighbor").contains("Establ"));
    Some((first, second))
}

#[test]
fn what_neighbours_send_is_none_of_ours_and_takes_no_room() {
    for mode in ["rtbh", "flowspec"] {
        let Some((device, other)) = neighbours(mode) else { return };
        let sent = |net: &str| match mode {
            "rtbh" => format!("global rib add {net} nexthop 192.0.2.77 community 65535:666"),
            _ => format!(
                "global rib add -a ipv4-flowspec match source {net} destination 10.77.0.0/24 then discard"
            ),
        };
        (0..25).for_each(|n| _ = other.gobgp(&sent(&format!("198.51.100.{n}/32"))));
        other.gobgp(&sent("203.0.113.9/32"));
        let rib = || device.gobgp(&format!("global rib -a {}", device.family()));
        until("they are heard", || rib().lines().filter(|l| l.contains("64513")).count() == 26);
        let mut connector = device.connector_of("memory.json");
        push(&mut connector, &["203.0.113.9", "203.0.113.10"]);
        assert_eq!(connector.observe(wall()).unwrap().foreign, 0, "{mode}");
        for address in ["203.0.113.9/32", "203.0.113.10/32"] {
            let ours = rib().lines().any(|l| l.contains(address) && !l.contains("64513"));
            assert!(ours, "{mode}: {address} is not announced from here: {}", rib());
        }
        assert!(!push(&mut connector, &["203.0.113.9", "203.0.113.10"]), "{mode}");
        push(&mut connector, &[]);
        assert!(!rib().contains("203.0.113.10"), "{mode}: {}", rib());
        assert_eq!(rib().matches("64513").count(), 26, "{mode}: theirs stay: {}", rib());
    }
}

#[test]
fn a_route_of_ones_own_is_no_black_hole_and_is_left_alone() {
    let Some(device) = Gobgp::start("rtbh") else { return };
    (0..25).for_each(|n| _ = device.gobgp(&format!("global rib add 198.51.{n}.0/24 nexthop 192.0.2.77")));
    device.gobgp("global rib add 203.0.113.9/32 nexthop 192.0.2.77");
    let mut connector = device.connector_of("memory.json");
    push(&mut connector, &["203.0.113.9", "203.0.113.10"]);
    let rib = || device.gobgp("global rib -a ipv4");
    let leads = |to: &str, hop: &str| rib().lines().any(|l| l.contains(to) && l.contains(hop));
    assert!(leads("203.0.113.9/32", "192.0.2.77"), "ours took its place: {}", rib());
    assert!(leads("203.0.113.10/32", "192.0.2.1 "), "{}", rib());
    assert!(!push(&mut connector, &["203.0.113.9", "203.0.113.10"]));
    // One that comes after ours takes its place, and is left as well. Times are in seconds.
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    device.gobgp("global rib add 203.0.113.10/32 nexthop 192.0.2.77");
    push(&mut connector, &["203.0.113.9", "203.0.113.10"]);
    push(&mut connector, &[]);
    assert!(leads("203.0.113.10/32", "192.0.2.77"), "{}", rib());
    device.gobgp("global rib del 203.0.113.10/32");
    assert!(push(&mut connector, &["203.0.113.9", "203.0.113.10"]), "what was withdrawn by hand is not seen");
    assert!(leads("203.0.113.10/32", "192.0.2.1 "), "{}", rib());
}

#[test]
fn a_black_hole_of_another_community_before_is_withdrawn() {
    let Some(device) = Gobgp::start("rtbh") else { return };
    push(&mut device.connector_of("memory.json"), &["203.0.113.10"]);
    let rib = || device.gobgp("global rib -a ipv4");
    assert!(rib().contains("203.0.113.10"), "{}", rib());
    let other = "community = \"64512:1\"\nnext_hops = [\"192.0.2.9\", \"100::9\"]\n";
    push(&mut device.connector_with("memory.json", &["10.77.0.0/24"], other), &[]);
    assert!(!rib().contains("203.0.113.10"), "{}", rib());
}

/// A look at the device at this time.
fn look(connector: &mut dyn Connector, now: i64) -> Vec<String> {
    let observed = connector.observe(now).unwrap();
    observed.entries.iter().map(|e| e.key.to_string()).collect()
}

#[test]
fn what_a_change_that_broke_off_had_begun_is_ours_by_its_time_from_the_next_look_on() {
    for mode in ["flowspec", "rtbh"] {
        let Some(mut device) = Gobgp::start(mode) else { return };
        let memory = device.dir.path().join("memory.json");
        let begun = || std::fs::read_to_string(&memory).unwrap().contains("begun_at");
        let by_hand = |device: &Gobgp, verb: &str, address: &str| {
            device.gobgp(&match mode {
                "flowspec" => format!(
                    "global rib {verb} -a ipv4-flowspec match source {address}/32 destination 10.77.0.0/24{}",
                    if verb == "add" { " then discard" } else { "" }
                ),
                _ => format!("global rib {verb} {address}/32 -a ipv4 nexthop 192.0.2.1 community 65535:666"),
            })
        };
        let mut connector = device.connector_to("memory.json", &["10.77.0.0/24"]);
        // It breaks off before it tells anything: the first time the announcement comes all the same, the second it does not.
        let broken = |device: &mut Gobgp, connector: &mut BgpConnector| {
            let wanted = [entry("203.0.113.9", Response::Block)];
            let planned = plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
            device.break_next();
            assert!(connector.apply(&planned, wall()).is_err());
            assert!(begun(), "{mode}");
        };
        broken(&mut device, &mut connector);
        assert_eq!(look(&mut connector, wall()), [""; 0], "{mode}: it may come yet");
        assert!(begun(), "{mode}");
        by_hand(&device, "add", "203.0.113.9");
        assert_eq!(look(&mut connector, wall()), ["203.0.113.9"], "{mode}: it is what was begun");
        assert!(!begun(), "{mode}: that is known from now on");
        assert!(!push(&mut connector, &["203.0.113.9"]), "{mode}");
        // Another in its place is somebody else's. Times are in seconds.
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        by_hand(&device, "add", "203.0.113.9");
        push(&mut connector, &[]);
        assert_eq!(device.request("203.0.113.9"), 0, "{mode}: it was withdrawn as ours");
        by_hand(&device, "del", "203.0.113.9");
        push(&mut connector, &[]);
        broken(&mut device, &mut connector);
        // What does not come while a command may take is not waited for any longer.
        assert_eq!(look(&mut connector, wall() + 3_600), [""; 0], "{mode}");
        assert!(!begun(), "{mode}: it is waited for without end");
        by_hand(&device, "add", "203.0.113.9");
        push(&mut connector, &[]);
        assert_eq!(device.request("203.0.113.9"), 0, "{mode}: it was withdrawn as ours");
    }
}

#[test]
fn two_connectors_to_one_speaker_leave_each_others_routes_alone() {
    for mode in ["flowspec", "rtbh"] {
        let Some(device) = Gobgp::start(mode) else { return };
        // With flowspec they tell the same destination, and one of its own each.
        let mut one =
            device.connector_with("one.json", &["10.77.0.0/24", "10.78.0.0/24"], "name = \"one\"\n");
        let more = "name = \"two\"\ncommunity = \"64512:1\"\n";
        let mut two = device.connector_with("two.json", &["10.77.0.0/24", "10.79.0.0/24"], more);
        push(&mut one, &["203.0.113.9", "203.0.113.10"]);
        let wanted: Vec<Entry> = ["203.0.113.9", "203.0.113.11"].map(|a| entry(a, Response::Block)).to_vec();
        let planned = plan(&wanted, &two.observe(wall()).unwrap(), &[], two.sees());
        assert!(
            planned.refused.iter().any(|r| r.subject == "203.0.113.9" && r.why.contains("somebody else's")),
            "{mode}: {:?}",
            planned.refused
        );
        two.apply(&planned, wall()).unwrap();
        for _ in 0..2 {
            assert!(!push(&mut one, &["203.0.113.9", "203.0.113.10"]), "{mode}: it is as one left it");
            assert!(!push(&mut two, &["203.0.113.9", "203.0.113.11"]), "{mode}: it is as two left it");
        }
        assert_eq!(look(&mut one, wall()), ["203.0.113.9", "203.0.113.10"], "{mode}");
        assert_eq!(look(&mut two, wall()), ["203.0.113.11"], "{mode}");
        // What one lets go of, two announces; each takes off its own alone.
        push(&mut one, &["203.0.113.10"]);
        assert_eq!(device.request("203.0.113.9"), 200, "{mode}");
        assert!(push(&mut two, &["203.0.113.9", "203.0.113.11"]), "{mode}");
        assert!(!push(&mut one, &["203.0.113.10"]), "{mode}");
        push(&mut two, &[]);
        let there = ["203.0.113.9", "203.0.113.10", "203.0.113.11"].map(|a| device.request(a));
        assert_eq!(there, [200, 0, 200], "{mode}");
        push(&mut one, &[]);
        assert_eq!(device.request("203.0.113.10"), 200, "{mode}");
    }
}

#[test]
fn two_connectors_to_two_speakers_know_their_own_alone() {
    let (Some(first), Some(second)) = (Gobgp::start("rtbh"), Gobgp::start("rtbh")) else { return };
    let (mut one, mut two) = (first.connector_of("memory.json"), second.connector_of("memory.json"));
    push(&mut one, &["203.0.113.9"]);
    push(&mut two, &["203.0.113.9", "203.0.113.10"]);
    push(&mut one, &[]);
    assert_eq!([first.request("203.0.113.9"), second.request("203.0.113.9")], [200, 0]);
    assert!(!push(&mut two, &["203.0.113.9", "203.0.113.10"]));
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Gobgp::start("flowspec") else { return };
    many_up_to(device, 500);
}

#[test]
#[ignore = "measures"]
fn measure_latency() {
    for mode in ["flowspec", "rtbh"] {
        let Some(device) = Gobgp::start(mode) else { return };
        measure(device, 30);
    }
}
