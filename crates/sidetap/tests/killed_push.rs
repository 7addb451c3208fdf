//! A push that is killed while it changes HAProxy, nftables and a feed: between a device and the record of it, before one, and in the middle of
//! one; and before one call after the other. The next push finds what is there, does the rest, adds nothing twice, and the audit has everything once. Needs root, haproxy, nft, strace.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

mod common;
#[path = "common/net.rs"]
mod net;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Fate, Place};
use net::{Net, Running, find, until};
use serde_json::json;
use sidetap_model::Ts;
use sidetap_model::rows::{RunData, VerdictRow};

/// The calls before which a push is killed, one kind after the other: connections, programs and files.
const CALLS: [&str; 9] = [
    "connect",
    "clone3",
    "clone,vfork",
    "wait4,waitid",
    "sendto",
    "write",
    "rename",
    "unlink",
    "fsync,fdatasync",
];
/// Which of a kind it is killed before.
const STEPS: &[u32] = &[1, 2, 6];
/// The same of what HAProxy is asked, a connection each: looked at, prepared, added to, looked at again, shown to traffic, looked at.
const ASKED: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8];
/// A line and an element that are not Sidetap's.
const FOREIGN: &str = "192.0.2.200";

/// Three devices with a foreign entry each, where one can have it.
struct Devices {
    net: Net,
    place: Place,
    /// The process that is killed when HAProxy is told of its list; 0 for none.
    victim: Arc<AtomicU32>,
    _haproxy: Running,
}

impl Devices {
    fn make() -> Option<Self> {
        let net = Net::make("a push that is killed", &["haproxy", "nft"])?;
        let place = Place::new();
        let mut store = sidetap_store::Store::open(&place.path("s.db")).unwrap();
        let mut run = RunData { verdicts: (0..60).map(verdict).collect(), ..RunData::default() };
        run.summary.version = "test".into();
        store.save_run(&run, now()).unwrap();
        drop(store);
        let at = place.path("").display().to_string();
        let text = format!(
            "global\n    stats socket {at}real.sock mode 600 level admin\ndefaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 5s\n\
             frontend www\n    bind {at}www.sock\n    http-request deny deny_status 403 if {{ src,map_ip({at}block.map) -m found }}\n"
        );
        place.write("haproxy.cfg", text.as_bytes());
        place.write("block.map", b"");
        let log = std::fs::File::create(place.path("haproxy.log")).unwrap();
        let mut command = Command::new(find("haproxy").unwrap());
        command.arg("-db").arg("-f").arg(place.path("haproxy.cfg")).stdout(Stdio::null()).stderr(log);
        let haproxy = Running(Some(command.spawn().unwrap()));
        until("HAProxy listens", || UnixStream::connect(place.path("real.sock")).is_ok());
        let victim = Arc::new(AtomicU32::new(0));
        relay(&place.path("real.sock"), &place.path("edge.sock"), Arc::clone(&victim));
        // Ends the one who asked it before nft is run, or half a second after, when the other devices are done too.
        let nft = format!(
            "#!/bin/sh\nwhen=$(cat {at}when 2>/dev/null)\ncase \" $* \" in *' -f '*) ;; *) when= ;; esac\n\
             [ \"$when\" != before ] || {{ rm {at}when; kill -9 $PPID; exit 1; }}\n\
             {ip} netns exec {space} {nft} \"$@\"; code=$?\n\
             [ \"$when\" != after ] || {{ rm {at}when; sleep 0.5; kill -9 $PPID; }}\nexit $code\n",
            ip = find("ip").unwrap().display(),
            nft = find("nft").unwrap().display(),
            space = net.space("s"),
        );
        let script = place.write("nft.sh", nft.as_bytes());
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "[store]\npath = \"s.db\"\n[policy]\npath = \"p.yaml\"\n[mitigation]\nmax_age = \"90d\"\nstate = \"ledger.json\"\n\
             [[mitigation.haproxy]]\nsocket = \"{at}edge.sock\"\nblock_map = \"{at}block.map\"\n\
             [[mitigation.nftables]]\ncommand = [\"{at}nft.sh\"]\n[[mitigation.feed]]\npath = \"feed.json\"\n"
        );
        place.write("sidetap.toml", config.as_bytes());
        Some(Devices { net, place, victim, _haproxy: haproxy })
    }

    /// Whether this is one of so many: of all, every second one is wanted by each policy.
    fn is_one_of(address: &str, mut all: impl Iterator<Item = u8>) -> bool {
        let ip: Option<IpAddr> = address.trim_end_matches("/128").parse().ok();
        all.any(|n| verdict(n).client_ip == ip)
    }

    /// What policy asks for: everything, or only what is worst.
    fn policy(&self, least: u8) {
        let text = format!(
            "version: 1\nrules:\n  - id: all\n    when: intent == \"malicious\" && score >= {least}\n    response: block\n    ttl: 1h\n    subjects: [address]\n"
        );
        self.place.write("p.yaml", text.as_bytes());
    }

    fn push(&self) -> Command {
        self.place.command(&["mitigation", "push", "--enforce", "--force"])
    }

    /// A push that does not come to its end.
    fn killed_push(&self, how: &str) {
        if how != "middle" {
            self.place.write("when", how.as_bytes());
        }
        let mut push = self.push().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if how == "middle" {
            self.victim.store(push.id(), Ordering::SeqCst);
        }
        let ended = push.wait().unwrap();
        assert_eq!(ended.code(), None, "{how}: it was killed");
        assert!(!self.place.path("when").exists() && self.victim.load(Ordering::SeqCst) == 0, "{how}");
    }

    /// What each device holds, with how often.
    fn held(&self) -> BTreeMap<&'static str, BTreeMap<String, usize>> {
        let bare = |s: &str| s.trim_end_matches("/32").to_owned();
        let counted = |all: Vec<String>| {
            all.into_iter().fold(BTreeMap::new(), |mut sums: BTreeMap<String, usize>, one| {
                *sums.entry(one).or_default() += 1;
                sums
            })
        };
        let map = haproxy(
            &self.place.path("real.sock"),
            &format!("show map {}", self.place.path("block.map").display()),
        );
        let map = map.lines().filter_map(|l| l.split(' ').nth(1)).map(bare).collect();
        let text = self.net.output("s", &["nft", "-j", "list", "ruleset"]);
        let ruleset: serde_json::Value = serde_json::from_str(&text).unwrap();
        let blocks = |o: &&serde_json::Value| {
            o.pointer("/set/name").is_some_and(|n| n.as_str().unwrap().starts_with("block"))
        };
        let sets = ruleset["nftables"].as_array().unwrap().iter().filter(blocks);
        let sets = sets.filter_map(|o| o.pointer("/set/elem")?.as_array());
        let address = |e: &serde_json::Value| {
            let val = e.pointer("/elem/val").unwrap_or(e);
            val.as_str()
                .map(bare)
                .or_else(|| Some(format!("{}/{}", val["prefix"]["addr"].as_str()?, val["prefix"]["len"])))
        };
        let nft = sets.flatten().filter_map(address).collect();
        let list =
            std::fs::read(self.place.path("feed.json")).unwrap_or_else(|_| b"{\"entries\":[]}".to_vec());
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        let feed =
            list["entries"].as_array().unwrap().iter().map(|e| bare(e["key"].as_str().unwrap())).collect();
        [("haproxy", map), ("nftables", nft), ("feed", feed)].map(|(name, all)| (name, counted(all))).into()
    }

    /// Every device has so many entries, the same, each once, beside what is not Sidetap's, and the audit says so.
    fn is_whole(&self, entries: usize, at: &str) {
        let held = self.held();
        let wanted = held["feed"].clone();
        assert_eq!(wanted.len(), entries, "{at}");
        for (name, mut on) in held {
            if name == "haproxy" {
                assert_eq!(on.remove(FOREIGN), Some(1), "{at}: what is not Sidetap's stays");
            }
            assert!(on.values().all(|n| *n == 1), "{at}: {name} has nothing twice");
            assert_eq!(on, wanted, "{at}: {name} has what is wanted");
            let said = self.audited(name);
            assert!(said.values().all(|n| *n == 1) && said.keys().eq(on.keys()), "{at}: {name}: {said:?}");
        }
    }

    /// Entries that the audit says were added to a device less those that it says were removed.
    fn audited(&self, device: &str) -> BTreeMap<String, i64> {
        let store = sidetap_store::Store::open_read_only(&self.place.path("s.db")).unwrap();
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        for row in store.actions(1_000_000, 0).unwrap() {
            let by = match row.kind.as_str() {
                "add" => 1,
                "remove" => -1,
                _ => continue,
            };
            if row.connector == device && row.outcome == "done" {
                *sums.entry(row.subject.trim_end_matches("/32").to_owned()).or_default() += by;
            }
        }
        sums.retain(|_, n| *n != 0);
        sums
    }
}

fn now() -> Ts {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Ts::from_parts(i64::try_from(now.as_secs()).unwrap(), 0)
}

/// Somebody to be blocked; every second one only by a policy that asks for less.
fn verdict(n: u8) -> VerdictRow {
    let address = if n.is_multiple_of(3) { format!("2001:db8::{n:x}") } else { format!("198.51.100.{n}") };
    let reason = json!({"indicator": "login-failures", "weight": 3.0, "observed": "40 of 40", "baseline": "3 %", "evidence": ["a-1"]});
    let row = json!({
        "id": format!("v-{n}"), "zone": "default", "subject": {"kind": "ip", "value": address, "parts": []}, "client_ip": address,
        "client_ips": [address], "intent": "malicious", "class": "credential-stuffing", "oat": ["OAT-008"],
        "score": if n.is_multiple_of(2) { 95 } else { 80 }, "automation": 90, "coverage": {}, "campaign": null, "phase": "online",
        "first_seen": now(), "detected_at": now(), "last_seen": now(), "requests": 40, "reasons": [reason], "response": "block", "ttl_s": 600,
    });
    serde_json::from_value(row).unwrap()
}

/// What HAProxy answers.
fn haproxy(socket: &Path, command: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Hands commands on to HAProxy; kills the victim instead when a list is to be shown to traffic.
fn relay(real: &Path, at: &Path, victim: Arc<AtomicU32>) {
    let (listener, real) = (UnixListener::bind(at).unwrap(), PathBuf::from(real));
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut device = UnixStream::connect(&real).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), device.try_clone().unwrap());
            let victim = Arc::clone(&victim);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    if buffer[..n].starts_with(b"commit map") {
                        let pid = victim.swap(0, Ordering::SeqCst);
                        if pid != 0 {
                            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
                            let _ = to.shutdown(std::net::Shutdown::Both);
                            return;
                        }
                    }
                    if to.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
            });
            let _ = std::io::copy(&mut device, &mut client);
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
    });
}

#[test]
fn a_push_that_is_killed_is_finished_by_the_next_one_and_recorded_once() {
    let Some(d) = Devices::make() else { return };
    d.policy(1);
    d.place.run(&["mitigation", "push", "--force"]).is(0);
    let map = d.place.path("block.map").display().to_string();
    haproxy(&d.place.path("real.sock"), &format!("add map {map} {FOREIGN} ours"));
    for (round, how) in ["before", "after", "middle", "after", "middle", "before"].into_iter().enumerate() {
        // More and fewer by turns, so that every push adds or removes some.
        d.policy(if round.is_multiple_of(2) { 1 } else { 90 });
        let before = d.held();
        d.killed_push(how);
        let between = d.held();
        if how == "after" {
            let changed = ["haproxy", "nftables", "feed"].map(|name| before[name] != between[name]);
            assert_eq!(changed, [true; 3], "round {round}: every device was changed, and nothing recorded");
        }
        if how == "before" {
            assert_eq!(before["nftables"], between["nftables"], "round {round}");
        }
        if how == "middle" {
            assert_eq!(before["haproxy"], between["haproxy"], "round {round}: half a list is never shown");
        }
        let store = sidetap_store::Store::open_read_only(&d.place.path("s.db")).unwrap();
        assert!(!store.open_intents().unwrap().is_empty(), "round {round}: the audit has what was meant");
        drop(store);

        let next = common::ended(d.push().output().unwrap()).is(0);
        assert!(next.stderr.contains("was settled"), "round {round}: {}", next.stderr);
        d.is_whole(if round.is_multiple_of(2) { 60 } else { 30 }, &format!("round {round}"));
        let again = common::ended(d.push().output().unwrap()).is(0);
        assert_eq!(again.stdout.matches("unchanged").count(), 3, "round {round}: {}", again.stdout);
    }
}

#[test]
fn a_push_that_is_killed_before_one_step_after_the_other_lets_go_of_nobody() {
    if !common::may_trace() {
        return;
    }
    let Some(d) = Devices::make() else { return };
    d.policy(90);
    d.place.run(&["mitigation", "push", "--force"]).is(0);
    let map = d.place.path("block.map").display().to_string();
    haproxy(&d.place.path("real.sock"), &format!("add map {map} {FOREIGN} ours"));
    let (mut kills, mut failures, mut is_more) = (0, 0, false);
    for call in CALLS {
        for &step in if ["connect", "sendto"].contains(&call) { ASKED } else { STEPS } {
            is_more = !is_more;
            let before = d.held();
            d.policy(if is_more { 1 } else { 90 });
            let fate = common::killed_before(&d.push(), call, step);
            kills += u32::from(fate == Fate::Killed);
            failures += u32::from(fate == Fate::Failed);
            let at = format!("{call} {step}");
            // Whom both lists have stays all the time, and nobody comes whom neither has.
            for (name, on) in d.held() {
                let stays = |all: &BTreeMap<String, usize>| -> Vec<String> {
                    all.keys().filter(|a| Devices::is_one_of(a, (0..60).step_by(2))).cloned().collect()
                };
                assert_eq!(stays(&on), stays(&before[name]), "{at}: {name} lets go of who stays");
                assert!(
                    on.keys().all(|a| a == FOREIGN || Devices::is_one_of(a, 0..60)),
                    "{at}: {name}: {on:?}"
                );
            }
            // Also where nft, which the killed one had started, still goes on.
            common::ended(d.push().output().unwrap()).is(0);
            d.is_whole(if is_more { 60 } else { 30 }, &at);
            if fate == Fate::Done {
                break;
            }
        }
    }
    println!("killed {kills} times, a program of its own {failures} times");
    assert!(kills >= 12, "it was killed {kills} times only");
}
