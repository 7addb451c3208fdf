//! A push that is killed at one step after the other: before each file that it puts in place, takes away or waits for, whether it is a list, a memory,
//! the ledger or the store, of some of the first fourteen such calls of a thread. What was to stay is there all the time, the next push does the
//! rest, and an undo takes everything off. Needs strace.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use common::{Fate, Place, tree};
use serde_json::json;
use sidetap_model::Ts;
use sidetap_model::rows::{RunData, VerdictRow};

/// The calls before which a push is killed, counted for each of its threads.
const CALLS: &str = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,fsync,fdatasync";
/// How many of them are let pass.
const STEPS: [u32; 7] = [1, 2, 3, 4, 6, 9, 14];

fn now() -> Ts {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Ts::from_parts(i64::try_from(now.as_secs()).unwrap(), 0)
}

/// One of three kinds: who is wanted by every policy, by the first alone, by the second alone.
fn verdict(n: u8) -> VerdictRow {
    let address = format!("198.51.100.{}", 100 + n);
    let reason = json!({"indicator": "login-failures", "weight": 3.0, "observed": "40 of 40", "baseline": "3 %", "evidence": ["a-1"]});
    let row = json!({
        "id": format!("v-{n}"), "zone": "default", "subject": {"kind": "ip", "value": address, "parts": []}, "client_ip": address,
        "client_ips": [address], "intent": "malicious", "class": "credential-stuffing", "oat": ["OAT-008"], "score": 80 + n % 3,
        "automation": 90, "coverage": {}, "campaign": null, "phase": "online", "first_seen": now(), "detected_at": now(),
        "last_seen": now(), "requests": 40, "reasons": [reason], "response": "block", "ttl_s": 600,
    });
    serde_json::from_value(row).unwrap()
}

/// Addresses that are wanted while the policy leaves out one kind.
fn wanted(left_out: u8) -> BTreeSet<u8> {
    (0..30).filter(|n| n % 3 != left_out).collect()
}

struct Site {
    place: Place,
    /// What of it is the device's.
    files: &'static str,
}

impl Site {
    fn make(connector: &str, files: &'static str) -> Self {
        let place = Place::new();
        let mut store = sidetap_store::Store::open(&place.path("s.db")).unwrap();
        let mut run = RunData { verdicts: (0..30).map(verdict).collect(), ..RunData::default() };
        run.summary.version = "test".into();
        store.save_run(&run, now()).unwrap();
        drop(store);
        std::fs::create_dir(place.path("device")).unwrap();
        let connector = if connector.contains("RECEIVER") {
            let at = receiver(place.path("device/state.json"));
            connector.replace("RECEIVER", &at.to_string())
        } else {
            connector.to_owned()
        };
        let config = format!(
            "[store]\npath = \"s.db\"\n[policy]\npath = \"p.yaml\"\n[mitigation]\nmax_age = \"90d\"\nstate = \"ledger.json\"\n{connector}"
        );
        let routes =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connectors/envoy-routes.json");
        std::fs::copy(routes, place.path("template.json")).unwrap();
        place.write("hook.sh", b"all=$(cat)\nprintf '%s' \"$all\" > device/state.json\n");
        place.write("secret", b"correct-horse-battery");
        place.write("sidetap.toml", config.as_bytes());
        Site { place, files }
    }

    fn policy(&self, left_out: u8) {
        let text = format!(
            "version: 1\nrules:\n  - id: all\n    when: intent == \"malicious\" && score != {}\n    response: block\n    ttl: 1h\n    subjects: [address]\n",
            80 + left_out
        );
        self.place.write("p.yaml", text.as_bytes());
    }

    /// Who is on the device.
    fn held(&self) -> BTreeSet<u8> {
        let files = tree(&self.place.path("device")).into_iter();
        let of = |name: &str| self.files.is_empty() || name == self.files;
        let text: String =
            files.filter(|(n, _)| of(n)).map(|(n, b)| format!("{n} {}\n", entries_of(&b))).collect();
        (0..30).filter(|n| text.contains(&format!("198.51.100.{}", 100 + n))).collect()
    }

    fn mitigation(&self, args: &[&str]) -> common::Ended {
        self.place.run(&[&["mitigation"], args].concat())
    }

    /// A push that is killed at a step; whether it came so far.
    fn killed_push(&self, step: u32) -> bool {
        let push = self.place.command(&["mitigation", "push", "--enforce", "--force"]);
        match common::killed_before(&push, CALLS, step) {
            Fate::Done => false,
            Fate::Killed => true,
            Fate::Failed => panic!("{step}: a program of its own was killed"),
        }
    }

    /// Whom the audit says to be on the device: added less removed.
    fn audited(&self) -> BTreeSet<u8> {
        let store = sidetap_store::Store::open_read_only(&self.place.path("s.db")).unwrap();
        let mut sums: BTreeMap<String, i32> = BTreeMap::new();
        for row in store.actions(1_000_000, 0).unwrap() {
            let by = match (row.kind.as_str(), row.outcome.as_str()) {
                ("add", "done") => 1,
                ("remove", "done") => -1,
                _ => continue,
            };
            *sums.entry(row.subject.trim_end_matches("/32").to_owned()).or_default() += by;
        }
        assert!(sums.values().all(|n| (0..=1).contains(n)), "{sums:?}");
        sums.retain(|_, n| *n == 1);
        sums.keys().map(|ip| ip.rsplit_once('.').unwrap().1.parse::<u8>().unwrap() - 100).collect()
    }
}

/// Of a message to a program what is there: what else it says is what changes.
fn entries_of(bytes: &[u8]) -> String {
    let said = serde_json::from_slice::<serde_json::Value>(bytes).ok().filter(|m| m.get("changes").is_some());
    said.map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), |m| m["entries"].to_string())
}

/// A receiver that keeps what it is told in a file, as a user would write it.
fn receiver(at: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                if let Some((_, n)) =
                    line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                {
                    length = n.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            // Whoever broke off asked for nothing.
            if length == 0 || reader.read_exact(&mut body).is_err() {
                continue;
            }
            let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let new = at.with_extension("new");
            std::fs::write(&new, said["entries"].to_string()).unwrap();
            std::fs::rename(&new, &at).unwrap();
            let _ = reader
                .into_inner()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_push_that_is_killed_at_any_step_is_finished_by_the_next_one() {
    if !common::may_trace() {
        return;
    }
    let kinds = [
        (
            "[[mitigation.nginx]]\naddresses = \"device/a.conf\"\nallow = \"device/b.conf\"\ntest = [\"true\"]\nreload = [\"true\"]\nmin_interval_s = 0\n",
            "a.conf",
        ),
        ("[[mitigation.nginx_njs]]\nentries = \"device\"\n", ""),
        ("[[mitigation.apache]]\nmap = \"device/map.txt\"\ntest = []\n", "map.txt"),
        (
            "[[mitigation.modsecurity]]\ndata = \"device/a.data\"\ntest = [\"true\"]\nreload = [\"true\"]\nmin_interval_s = 0\n",
            "a.data",
        ),
        (
            "[[mitigation.envoy]]\nroutes = \"device/routes.json\"\ntemplate = \"template.json\"\nmemory = \"memory.json\"\n",
            "routes.json",
        ),
        ("[[mitigation.feed]]\npath = \"device/feed.json\"\n", "feed.json"),
        // These are believed to hold what they were told.
        ("[[mitigation.exec]]\ncommand = [\"sh\", \"hook.sh\"]\nmemory = \"memory.json\"\n", "state.json"),
        (
            "[[mitigation.webhook]]\nurl = \"http://RECEIVER/\"\nsecret = { file = \"secret\" }\nmemory = \"memory.json\"\n",
            "state.json",
        ),
    ];
    for (connector, files) in kinds {
        let site = Site::make(connector, files);
        site.policy(0);
        site.mitigation(&["push", "--enforce", "--force"]).is(0);
        assert_eq!(site.held(), wanted(0), "{connector}");
        let mut kills = 0;
        for (round, step) in STEPS.into_iter().enumerate() {
            let left_out = if round.is_multiple_of(2) { 1 } else { 0 };
            let (before, after) = (site.held(), wanted(left_out));
            site.policy(left_out);
            kills += u32::from(site.killed_push(step));
            let held = site.held();
            let stays: BTreeSet<u8> = before.intersection(&after).copied().collect();
            assert!(stays.is_subset(&held), "{connector} {step}: who was to stay was let go: {held:?}");
            let either: BTreeSet<u8> = before.union(&after).copied().collect();
            assert!(held.is_subset(&either), "{connector} {step}: {held:?}");
            site.mitigation(&["push", "--enforce", "--force"]).is(0);
            assert_eq!(
                site.held(),
                after,
                "{connector} {step}: {:?}",
                tree(&site.place.path("device")).keys()
            );
            assert_eq!(site.audited(), after, "{connector} {step}: the audit says something else");
        }
        println!("{connector}: killed {kills} times");
        assert!(kills >= 4, "{connector}: it was killed {kills} times");
        assert!(site.mitigation(&["status"]).is(0).stdout.contains("as it should be"), "{connector}");
        site.mitigation(&["undo", "--all", "--enforce"]).is(0);
        assert_eq!(site.held(), BTreeSet::new(), "{connector}");
        let open =
            sidetap_store::Store::open_read_only(&site.place.path("s.db")).unwrap().open_intents().unwrap();
        assert_eq!(open, [], "{connector}: every intent has its end in the audit");
    }
}
