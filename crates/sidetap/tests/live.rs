//! `watch` on the mirror port of a network that the tests make; they need root, nginx and wrk.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "common/mod.rs"]
mod common;
#[path = "live/goes.rs"]
mod goes;
#[path = "common/net.rs"]
mod net;
#[path = "live/tap.rs"]
mod tap;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{HELLO, Place, capture, json, lines, tree};
use net::{CLIENT, Net, OTHER, PORT, Running, SERVER, find, until};
use serde_json::Value;
use sidetap_store::Store;
use sidetap_testkit::{Dialogue, Encapsulation, Framing, LinkKind, PcapForm, fault, pcap_bytes};

const CONNECTIONS: u64 = 8;

/// Requests of eight connections: as fast as they go for the first `burst`, then with a pause before each.
fn wrk(net: &Net, place: &Place, seconds: u32, burst: u32, pause_ms: u32) {
    let script = format!(
        "local n = 0\nfunction delay() n = n + 1; if n > {burst} then return {pause_ms} end return 0 end\n"
    );
    let script = place.write("pace.lua", script.as_bytes());
    let mut command = net.at("c", &find("wrk").unwrap());
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}"), "-s"]).arg(script);
    let out = command.arg(format!("http://{SERVER}/")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn log(place: &Place) -> String {
    std::fs::read_to_string(place.path("log.txt")).unwrap()
}

fn n(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Packets that were read, and those that were dropped before.
fn packets(summary: &Value) -> (u64, u64) {
    (n(&summary["packets"]["total"]), n(&summary["packets"]["kernel_dropped"]))
}

/// Packets in all = decoded + those dropped by one reason each.
fn balanced(summary: &Value) {
    let dropped: u64 = summary["packets"]["dropped"].as_object().unwrap().values().map(n).sum();
    assert_eq!(n(&summary["packets"]["total"]), n(&summary["packets"]["decoded"]) + dropped, "{summary}");
}

#[test]
fn every_exchange_is_there_and_rights_are_not() {
    let Some(net) = Net::make("live capture of nginx", &["nginx", "wrk", "ss"]) else { return };
    let place = Place::new();
    let _nginx = net.nginx(&place);
    let before = net.counted();
    let watch = net.watch(&place, &["-i", PORT, "--exchanges", "--workers", "2", "--fanout", "2"]);

    let status = std::fs::read_to_string(format!("/proc/{}/status", watch.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(&format!("{name}:"))).unwrap();
        line.split_once(':').unwrap().1.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(!field("Uid").split(' ').any(|id| id == "0"), "{status}");
    assert!(!field("Gid").split(' ').any(|id| id == "0"), "{status}");
    assert_eq!(field("Groups"), "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs"), field("Seccomp")), ("1".into(), "2".into()));
    for thread in std::fs::read_dir(format!("/proc/{}/task", watch.pid())).unwrap().flatten() {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap();
        assert!(status.contains("CapEff:\t0000000000000000") && status.contains("Seccomp:\t2"), "{status}");
    }

    wrk(&net, &place, 3, 0, 10);
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    let summary = json(&place.path("run/summary.json"));
    balanced(&summary);
    let (read, dropped) = packets(&summary);
    assert_eq!(dropped, 0);
    assert!(net.counted() - before >= read && read > 1_000, "{read} of {}", net.counted() - before);
    let answered: u64 = net.answered(&place).values().sum();
    let complete = n(&summary["exchanges"]["complete"]);
    assert!(answered > 1_000 && answered.abs_diff(complete) <= CONNECTIONS, "{complete} of {answered}");
    assert_eq!(lines(&place.path("run/exchanges.ndjson")).len() as u64, n(&summary["exchanges"]["total"]));
}

#[test]
fn what_a_small_ring_loses_is_counted_and_marked() {
    let Some(net) = Net::make("live capture with loss", &["nginx", "wrk", "ss"]) else { return };
    let place = Place::new();
    let _nginx = net.nginx(&place);
    let early = net.counted();
    let watch = net.watch(
        &place,
        &[
            "-i",
            PORT,
            "--exchanges",
            "--workers",
            "1",
            "--ring",
            "512K",
            "--no-analysis",
            "--memory-limit",
            "64M",
        ],
    );
    let late = net.counted();
    wrk(&net, &place, 4, 40_000, 150);
    let last = net.counted();
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    let summary = json(&place.path("run/summary.json"));
    balanced(&summary);
    let (read, dropped) = packets(&summary);
    // The port was opened between the first two looks at its counter, and closed between the last two.
    let counted = last - late..=net.counted() - early;
    assert!(counted.contains(&(read + dropped)), "{read} + {dropped} of {counted:?}");
    let shed =
        n(&summary["packets"]["dropped"]["flow-shed"]) + n(&summary["packets"]["dropped"]["queue-full"]);
    assert!(dropped + shed > 0, "nothing was lost: the load is too light for this test");
    assert!(log(&place).contains("dropped in the last second: "), "{}", log(&place));

    let (mut whole, mut marked) = (BTreeMap::<String, u64>::new(), BTreeSet::new());
    for row in lines(&place.path("run/exchanges.ndjson")) {
        let port = row["source"]["port"].to_string();
        let sidetap = &row["sidetap"];
        if sidetap["completeness"].as_array().unwrap().is_empty() {
            *whole.entry(port.clone()).or_default() += 1;
        } else {
            marked.insert(port.clone());
        }
        if sidetap["anomalies"].as_array().unwrap().iter().any(|a| a == "tcp-ack-unseen") {
            marked.insert(port);
        }
    }
    for (port, answered) in net.answered(&place) {
        let seen = whole.get(&port).copied().unwrap_or(0);
        assert!(seen == answered || marked.contains(&port), "{port}: {seen} of {answered}, and no mark");
        assert!(seen <= answered, "{port}: {seen} of {answered}");
    }
}

#[test]
fn where_nobody_cannot_write_it_stays_root_without_rights() {
    let Some(net) = Net::make("a directory that is root's alone", &[]) else { return };
    let place = Place::new();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(place.path("."), closed).unwrap();
    let watch = net.watch(&place, &["-i", PORT, "--exchanges"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", watch.pid())).unwrap();
    assert!(status.contains("Uid:\t0\t0") && status.contains("CapEff:\t0000000000000000"), "{status}");
    assert!(log(&place).contains("stays root, though without its rights"), "{}", log(&place));
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    assert_eq!(json(&place.path("run/summary.json"))["exchanges"]["total"], 0);
}

#[test]
fn a_second_start_on_a_directory_that_is_written_is_refused() {
    let Some(net) = Net::make("two watches", &[]) else { return };
    let place = Place::new();
    let watch = net.watch(&place, &["-i", PORT]);
    let capture = place.write("one.pcap", &capture(&[HELLO]));
    let refused = place.run(&["replay", "--out", "run", &capture.display().to_string()]).is(1);
    assert!(
        refused.stderr.contains("run is being written by another sidetap that still runs"),
        "{}",
        refused.stderr
    );
    watch.signal("-INT");
    assert_eq!(watch.wait(), 0, "{}", log(&place));
    place.run(&["replay", "--out", "run", "--hash-key", "key", &capture.display().to_string()]).is(0);
    assert_eq!(json(&place.path("run/summary.json"))["exchanges"]["total"], 1, "the finished run gave way");
}

#[test]
fn a_disk_that_fills_up_is_said_at_once_and_the_rest_goes_on() {
    let Some(net) = Net::make("watch on a full disk", &["nginx", "wrk", "ss"]) else { return };
    let place = Place::new();
    std::fs::create_dir(place.path("run")).unwrap();
    let run = place.path("run");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=128k", "none"])
        .arg(&run)
        .status()
        .is_ok_and(|s| s.success());
    if !mounted {
        return eprintln!("left out, mount is not allowed here: watch on a full disk");
    }
    let _nginx = net.nginx(&place);
    let watch = net.watch(&place, &["-i", PORT, "--exchanges"]);
    wrk(&net, &place, 3, 0, 5);
    until("it is said while the run goes on", || log(&place).contains("exchanges are no longer listed"));
    let code = watch.stop();
    let report = std::fs::read_to_string(place.path("report.txt")).unwrap();
    let unmounted = Command::new("umount").arg(&run).status();
    assert!(unmounted.is_ok_and(|s| s.success()));
    assert_eq!(code, 3, "{}", log(&place));
    assert!(log(&place).contains("No space left"), "{}", log(&place));
    assert!(report.contains("exchanges"), "what was seen is still told: {report}");
}

/// Frames of a dialogue in their outer headers, thrown at the port of the server.
fn throw(net: &Net, place: &Place, name: &str, frames: &[sidetap_testkit::Packet]) {
    let file = place.write(name, &pcap_bytes(frames, LinkKind::Ethernet, PcapForm::default()));
    let mut command = net.at("s", &find("tcpreplay").unwrap());
    let out = command.args(["-q", "-i", "eth0", "--pps", "2000"]).arg(file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_vxlan_of_the_kernel_is_read() {
    let Some(net) = Net::make("a VXLAN", &["nginx", "wrk", "ss"]) else { return };
    let place = Place::new();
    let _nginx = net.nginx(&place);
    let (c, s) = (net.space("c"), net.space("s"));
    // The server's address moves into the tunnel; what the mirror sees is UDP.
    for (space, own, far, inner) in
        [(&c, CLIENT, "10.91.0.22", "10.92.0.1"), (&s, "10.91.0.22", CLIENT, "10.92.0.2")]
    {
        if space == &s {
            net.must(&format!("-n {s} addr add 10.91.0.22/24 dev eth0"));
        }
        let add = format!(
            "-n {space} link add vx0 type vxlan id 77 local {own} remote {far} dstport 4789 dev eth0"
        );
        if !net.ip(&add) {
            eprintln!("left out, this kernel has no VXLAN: {add}");
            return;
        }
        net.must(&format!("-n {space} link set vx0 up"));
        net.must(&format!("-n {space} addr add {inner}/24 dev vx0"));
    }
    net.must(&format!("-n {c} route add {SERVER}/32 via 10.92.0.2"));
    net.must(&format!("-n {s} route add {OTHER}/32 via 10.92.0.1"));
    net.must(&format!("-n {c} route replace {SERVER}/32 via 10.92.0.2 src {OTHER}"));
    // Each direction has a source port of its own in UDP, of which the kernel's hash would be made.
    let mut before = 0;
    for fanout in ["1", "3"] {
        let filter = ["--filter", "udp port 4789", "--fanout", fanout];
        let watch = net.watch(&place, &[&["-i", PORT, "--exchanges"][..], &filter].concat());
        wrk(&net, &place, 1, 0, 20);
        assert_eq!(watch.stop(), 0, "{}", log(&place));
        let summary = json(&place.path("run/summary.json"));
        let all: u64 = net.answered(&place).values().sum();
        let (answered, complete) = (all - before, n(&summary["exchanges"]["complete"]));
        before = all;
        assert!(answered > 100 && answered.abs_diff(complete) <= CONNECTIONS, "{complete} of {answered}");
        let rows = lines(&place.path("run/exchanges.ndjson"));
        assert!(rows.iter().all(|r| r["server"]["ip"] == SERVER && r["source"]["ip"] == OTHER));
    }
}

/// Encapsulations by name.
fn wraps() -> Vec<(&'static str, Framing)> {
    use Encapsulation::{Geneve, Gre, GreEthernet, IpIp, Mpls, Pppoe, Vxlan};
    let in_one = |e| Framing { encapsulations: vec![e], ..Framing::default() };
    vec![
        ("plain", Framing::default()),
        ("qinq", Framing { vlans: vec![7, 8], ..Framing::default() }),
        ("vxlan", in_one(Vxlan(5))),
        ("geneve", in_one(Geneve(6))),
        ("gre", in_one(Gre)),
        ("gre-ethernet", in_one(GreEthernet(9))),
        ("ipip", in_one(IpIp)),
        ("mpls", in_one(Mpls(10))),
        ("pppoe", in_one(Pppoe(11))),
        ("two", Framing { vlans: vec![3], encapsulations: vec![Gre, Vxlan(12)], ..Framing::default() }),
    ]
}

#[test]
fn other_encapsulations_are_read_off_the_wire() {
    let Some(net) = Net::make("encapsulations", &["tcpreplay"]) else { return };
    let place = Place::new();
    let watch = net.watch(&place, &["-i", PORT, "--exchanges", "--workers", "2", "--fanout", "3"]);
    let wraps = wraps();
    for (number, (name, framing)) in wraps.iter().enumerate() {
        let request = HELLO.split_once("\n\n").unwrap().1.replace("/hello", &format!("/{name}"));
        let text = format!("# Wrapped\n\n~ client 192.0.2.10:{}\n{request}", 20_000 + number);
        let clean = Dialogue::parse(&text).unwrap().packets();
        let client = |ip| ip == IpAddr::from([192, 0, 2, 10]);
        let frames = fault::reframe(&clean, LinkKind::Ethernet, framing, client);
        throw(&net, &place, &format!("{name}.pcap"), &frames);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    let mut seen: Vec<String> = lines(&place.path("run/exchanges.ndjson"))
        .iter()
        .map(|r| {
            assert_eq!(r["sidetap"]["completeness"].as_array().unwrap().len(), 0, "{r}");
            r["url"]["path"].as_str().unwrap().trim_start_matches('/').to_owned()
        })
        .collect();
    seen.sort();
    let mut sent: Vec<String> = wraps.iter().map(|(name, _)| (*name).to_owned()).collect();
    sent.sort();
    assert_eq!(seen, sent);
}

/// Four connections that go on for a while: of one who tries passwords, or of one who works.
fn traffic(net: &Net, place: &Place, paced_ms: u32, attack: bool) -> Running {
    let body = match attack {
        true => {
            "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nlocal n = 0\nfunction request() n = n + 1; return wrk.format(nil, '/api/login', nil, '{\"username\":\"user' .. n .. '@example.org\",\"password\":\"Spring' .. n .. '!\"}') end\n"
        }
        false => "function request() return wrk.format(nil, '/api/orders') end\n",
    };
    let script =
        format!("{body}function delay() return {paced_ms} end\nwrk.headers['Host'] = 'shop.example'\n");
    let file = place.write(if attack { "attack.lua" } else { "work.lua" }, script.as_bytes());
    let mut command = net.at(if attack { "a" } else { "c" }, &find("wrk").unwrap());
    command.args(["-t1", "-c4", "-d20", "--timeout", "1", "-s"]).arg(&file).arg(format!("http://{SERVER}/"));
    Running(Some(command.stdout(Stdio::null()).spawn().unwrap()))
}

#[test]
fn an_attacker_is_dropped_by_nftables_and_nobody_else() {
    let Some(net) = Net::make("watch --enforce with nftables", &["nginx", "wrk", "ss", "nft"]) else {
        return;
    };
    let place = Place::new();
    let attacker = net.space("a");
    net.must(&format!("netns add {attacker}"));
    net.plug("a", "eth0");
    net.must(&format!("-n {attacker} addr add 10.91.0.66/24 dev eth0"));
    let _nginx = net.nginx(&place);
    // The sensor pushes into the server's namespace: it needs root's rights for that, though not where it reads packets.
    let config = format!(
        "[[mitigation.nftables]]\nname = \"server\"\ncommand = [\"{}\", \"netns\", \"exec\", \"{}\", \"{}\"]\n",
        find("ip").unwrap().display(),
        net.space("s"),
        find("nft").unwrap().display(),
    );
    place.write("sidetap.toml", config.as_bytes());
    std::fs::create_dir(place.path("db")).unwrap();
    let watch = net
        .watch(&place, &["-i", PORT, "--store", "db/store.db", "--listen", "127.0.0.1:18642", "--enforce"]);
    let honest = traffic(&net, &place, 50, false);
    let bad = traffic(&net, &place, 5, true);
    until("the attacker is blocked", || net.output("s", &["nft", "list", "ruleset"]).contains("10.91.0.66"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", watch.pid())).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    let before = net.answered(&place);
    std::thread::sleep(Duration::from_millis(1500));
    let rules = net.output("s", &["nft", "list", "ruleset"]);
    assert!(!rules.contains(CLIENT), "{rules}");
    let log_now = std::fs::read_to_string(place.path("nginx/access.log")).unwrap();
    let later = net.answered(&place).values().sum::<u64>() - before.values().sum::<u64>();
    assert!(later > 20, "the honest client goes on: {later}\n{}", log_now.lines().count());
    drop((honest, bad));
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    net.ip(&format!("netns del {attacker}"));
    let verdicts = lines(&place.path("run/verdicts.ndjson"));
    assert!(
        verdicts.iter().any(|v| v["client_ip"] == "10.91.0.66" && v["intent"] == "malicious"),
        "{verdicts:?}"
    );
    assert!(!verdicts.iter().any(|v| v["client_ip"] == CLIENT && v["intent"] == "malicious"), "{verdicts:?}");
    let listed = place.run(&["inventory", "list", "--store", "db/store.db", "--format", "ndjson"]).is(0);
    assert!(listed.stdout.contains("/api/orders"), "{}", listed.stdout);
}

#[test]
fn a_killed_watch_loses_no_more_than_the_last_moment() {
    let Some(net) = Net::make("a watch that is killed", &["nginx", "wrk", "ss"]) else { return };
    let place = Place::new();
    let _nginx = net.nginx(&place);
    std::fs::create_dir(place.path("db")).unwrap();
    let watch = net.watch(&place, &["-i", PORT, "--store", "db/store.db", "--listen", "127.0.0.1:18643"]);
    wrk(&net, &place, 2, 0, 10);
    let answered: u64 = net.answered(&place).values().sum();
    let stored = || -> u64 {
        let store = Store::open_read_only(&place.path("db/store.db")).unwrap();
        store.endpoints().unwrap_or_default().iter().map(|e| e.calls).sum()
    };
    // It takes a second or two, not half a minute; a machine on which saving takes long gets more, for it rests in between.
    let begun = std::time::Instant::now();
    // The requests that guards measure by.
    let requests = || -> u64 {
        let (store, mut n) = (Store::open_read_only(&place.path("db/store.db")).unwrap(), 0);
        store
            .each_cell(3_600, |_, cell| {
                n += cell.requests;
                Ok::<_, sidetap_store::StoreError>(())
            })
            .unwrap();
        n
    };
    while stored() + CONNECTIONS < answered || requests() + CONNECTIONS < answered {
        assert!(begun.elapsed() < Duration::from_secs(25), "{}, {} of {answered}", stored(), requests());
        std::thread::sleep(Duration::from_millis(200));
    }
    // What the mirror showed, and how much of it was whole, is told while it goes on.
    let seen = || -> (u64, u64) {
        let store = Store::open_read_only(&place.path("db/store.db")).unwrap();
        let summary = store.summary_of_all().unwrap();
        (summary.exchanges.complete, summary.streams.bytes)
    };
    until("what the mirror showed is told", || {
        let (complete, bytes) = seen();
        complete + CONNECTIONS >= answered && bytes > 100 * answered
    });
    watch.signal("-KILL");
    watch.wait();
    let (calls, requests) = (stored(), requests());
    assert!(calls.min(requests) + CONNECTIONS >= answered, "{calls}, {requests} of {answered}");
    place.run(&["store", "check", "--store", "db/store.db"]).is(0);
}

#[test]
fn who_is_forgotten_beside_a_watch_leaves_its_memory_and_its_devices() {
    const BAD: &str = "10.91.0.67";
    let Some(net) = Net::make("forgetting beside a watch", &["nginx", "wrk", "ss"]) else { return };
    let place = Place::new();
    let attacker = net.space("a");
    net.must(&format!("netns add {attacker}"));
    net.plug("a", "eth0");
    net.must(&format!("-n {attacker} addr add {BAD}/24 dev eth0"));
    let _nginx = net.nginx(&place);
    std::fs::create_dir(place.path("db")).unwrap();
    let feed = place.path("db/feed");
    let config = format!("[[mitigation.feed]]\npath = \"{}\"\n", feed.display());
    place.write("sidetap.toml", config.as_bytes());
    let store = "db/store.db";
    let args = ["-i", PORT, "--store", store, "--listen", "127.0.0.1:18644", "--enforce", "--keep-rights"];
    let watch = net.watch(&place, &args);
    let honest = traffic(&net, &place, 50, false);
    let bad = traffic(&net, &place, 5, true);
    let listed = || std::fs::read_to_string(&feed).unwrap_or_default().contains(BAD);
    until("the attacker is listed", listed);
    let read = || Store::open_read_only(&place.path(store)).unwrap();
    until("its campaign is stored", || read().load().is_ok_and(|r| !r.campaigns.is_empty()));
    // Who goes on is somebody new, who is told, stored and listed again.
    place.run(&["store", "forget", "ip", BAD, "--store", store]).is(0);
    let told = || read().load().is_ok_and(|r| r.verdicts.iter().any(|v| v.subject.value == BAD));
    until("who goes on is told of again", || {
        std::thread::sleep(Duration::from_secs(2));
        told() && listed()
    });
    drop(bad);
    std::thread::sleep(Duration::from_secs(3));

    let forgotten = place.run(&["store", "forget", "ip", BAD, "--store", store]).is(0);
    assert!(forgotten.stdout.contains("1 verdicts"), "{}", forgotten.stdout);
    let named = || {
        let files =
            ["", "-wal"].map(|end| std::fs::read(place.path(&format!("{store}{end}"))).unwrap_or_default());
        files.iter().any(|f| f.windows(BAD.len()).any(|w| w == BAD.as_bytes()))
    };
    until("it is forgotten by the run too, and let go by the device", || !named() && !listed());
    std::thread::sleep(Duration::from_secs(4));
    assert!(!named(), "what was forgotten is written anew");

    // One request of whoever has the address now says nothing of before.
    let mut request = net.at("a", &find("wrk").unwrap());
    request.args(["-t1", "-c1", "-d1", "-s"]).arg(place.path("work.lua")).arg(format!("http://{SERVER}/"));
    assert!(request.stdout(Stdio::null()).status().unwrap().success());
    until("the request is stored", named);
    let verdicts = read().load().unwrap().verdicts;
    assert!(verdicts.iter().all(|v| v.subject.value != BAD), "{verdicts:?}");
    drop(honest);
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    let verdicts = lines(&place.path("run/verdicts.ndjson"));
    assert!(!verdicts.iter().any(|v| v["client_ip"] == BAD && v["intent"] == "malicious"), "{verdicts:?}");
    let audit = read().audit(1_000, 0).unwrap();
    let removed: Vec<_> = audit.iter().filter(|r| r.action == "mitigation.remove").collect();
    assert!(
        !removed.is_empty() && removed.iter().all(|r| r.detail["subject"] == "(forgotten)"),
        "{removed:?}"
    );
}

#[test]
fn packets_are_sealed_without_rights_and_to_the_end_at_sigterm() {
    let Some(net) = Net::make("sealed packets of a live capture", &["nginx", "wrk", "ss"]) else { return };
    let place = Place::new();
    let key = sidetap_seal::Identity::generate().unwrap();
    let public = key.recipient().to_string();
    let _nginx = net.nginx(&place);
    // Files of 64K: the later ones are begun with every right given up.
    place.write("sidetap.toml", b"[output]\nflagged_limit = \"1M\"\n");
    let watch = net.watch(&place, &["-i", PORT, "--save-flagged", "saved", "--flagged-recipient", &public]);
    let script = "function request() return wrk.format(nil, \"/items?id=1'%20UNION%20SELECT%20username,password%20FROM%20users--%20\") end\nfunction delay() return 5 end\n";
    let file = place.write("exploit.lua", script.as_bytes());
    let mut command = net.at("c", &find("wrk").unwrap());
    command.args(["-t1", "-c4", "-d5", "--timeout", "1", "-s"]).arg(&file).arg(format!("http://{SERVER}/"));
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    let saved = tree(&place.path("saved"));
    assert!(saved.len() > 1, "{:?}\n{}", saved.keys(), log(&place));
    let keys = [key];
    for (name, sealed) in &saved {
        assert!(name.ends_with(".pcapng.age"), "{name}");
        let mut plain = Vec::new();
        let read = sidetap_seal::unseal(&mut &sealed[..], &keys, &mut plain).unwrap();
        assert_eq!(read.ending, sidetap_seal::Ending::Whole, "{name}");
        assert!(plain.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "{name}");
    }
}

/// Of each process of a watch below another one what it is called, its number, and what it has for its standard error.
fn below(pid: u32) -> BTreeMap<&'static str, BTreeMap<u32, String>> {
    let (mut errors, mut below) = (BTreeMap::<_, BTreeMap<_, _>>::new(), vec![pid]);
    while let Some(pid) = below.pop() {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let children = tasks.map(|t| std::fs::read_to_string(t.path().join("children")).unwrap_or_default());
        below.extend(children.collect::<String>().split_whitespace().map(|n| n.parse::<u32>().unwrap()));
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let to = std::fs::read_link(format!("/proc/{pid}/fd/2")).unwrap();
        for name in ["watch", "act"] {
            if line.split(|b| *b == 0).any(|word| word == name.as_bytes()) {
                errors.entry(name).or_default().insert(pid, to.display().to_string());
            }
        }
    }
    errors
}

#[test]
fn a_terminal_shows_rates_drops_endpoints_campaigns_and_actions() {
    let Some(net) = Net::make("what a terminal shows", &["nginx", "wrk", "ss", "script", "stty"]) else {
        return;
    };
    let place = Place::new();
    let attacker = net.space("a");
    net.must(&format!("netns add {attacker}"));
    net.plug("a", "eth0");
    net.must(&format!("-n {attacker} addr add 10.91.0.66/24 dev eth0"));
    let _nginx = net.nginx(&place);
    std::fs::create_dir(place.path("db")).unwrap();
    place.write("feed.toml", b"[[mitigation.feed]]\nname = \"edge\"\npath = \"db/feed.json\"\n");
    let watch = format!(
        "stty cols 90 rows 40; exec {} watch -i {PORT} --config feed.toml --hash-key key --store db/store.db --listen 127.0.0.1:18647 --enforce --keep-rights",
        env!("CARGO_BIN_EXE_sidetap")
    );
    let mut command = net.at("m", &find("script").unwrap());
    command.args(["-qfec", &watch, "shown"]).current_dir(place.path(".")).env("HOME", place.path("."));
    let mut terminal =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let shown =
        || String::from_utf8_lossy(&std::fs::read(place.path("shown")).unwrap_or_default()).into_owned();
    until("the watch shows its rates", || shown().contains("pkt/s"));
    let both = (traffic(&net, &place, 50, false), traffic(&net, &place, 5, true));
    for part in [
        "dropped 0 by kernel, 0 for load",
        "BUSIEST ENDPOINTS",
        "POST shop.example/api/login",
        "CAMPAIGNS   harm",
        "credential-stuffing  POST shop.example/api/login",
        "ATTACKERS  1 credential-stuffing",
        "ip 10.91.0.66",
        "ACTIONS  1 added",
        "edge: added block 10.91.0.66",
    ] {
        until(part, || shown().contains(part));
    }
    drop(both);
    let kill = |pid: &u32| Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    below(terminal.id())["watch"].keys().for_each(|pid| _ = kill(pid));
    assert!(terminal.wait().unwrap().success());
    net.ip(&format!("netns del {attacker}"));
}

#[test]
fn only_the_watch_itself_writes_to_its_terminal() {
    let Some(net) = Net::make("a watch on a terminal", &["script"]) else { return };
    let place = Place::new();
    place.write("feed.toml", b"[[mitigation.feed]]\nname = \"edge\"\npath = \"feed.json\"\n");
    let watch = format!(
        "{} watch -i {PORT} --config feed.toml --hash-key key --enforce",
        env!("CARGO_BIN_EXE_sidetap")
    );
    let mut command = net.at("m", &find("script").unwrap());
    command.args(["-qfec", &watch, "shown"]).current_dir(place.path(".")).env("HOME", place.path("."));
    let mut terminal =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let shown = || std::fs::read_to_string(place.path("shown")).unwrap_or_default();
    until("the watch shows its rates", || shown().contains("pkt/s"));

    let errors = below(terminal.id());
    assert!(errors["watch"].values().all(|to| to.starts_with("/dev/pts/")), "{errors:?}");
    assert!(errors["act"].values().all(|to| to.starts_with("pipe:")), "{errors:?}");
    assert!(shown().contains("operator is empty"), "what it says is shown: {}", shown());
    let kill = |pid: &u32| Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    errors["watch"].keys().for_each(|pid| _ = kill(pid));
    assert!(terminal.wait().unwrap().success());
}
