//! A push that is killed at one step after the other: before each file that it puts in place, takes away or waits for, whether it is a list, a memory,
//! the ledger or the store. What was to stay is there all the time, the next push does the rest, and an undo takes everything off. Needs strace.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::{Place, tree};
use serde_json::json;
use sidetap_model::Ts;
use sidetap_model::rows::{RunData, VerdictRow};

/// The calls before which a push is killed, counted for each of its threads.
const CALLS: &str = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,fsync,fdatasync";
/// How many of them are let pass.
const STEPS: [u32; 7] = [1, 2, 3, 4, 6, 9, 14];
/// How strace says that it was killed, as a shell does.
const KILLED: [Option<i32>; 2] = [None, Some(137)];

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
        let config = format!(
            "[store]\npath = \"s.db\"\n[policy]\npath = \"p.yaml\"\n[mitigation]\nmax_age = \"90d\"\nstate = \"ledger.json\"\n{connector}"
        );
        let routes =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connectors/envoy-routes.json");
        std::fs::copy(routes, place.path("template.json")).unwrap();
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
        let text: String = files
            .filter(|(n, _)| of(n))
            .map(|(n, b)| format!("{n} {}\n", String::from_utf8_lossy(&b)))
            .collect();
        (0..30).filter(|n| text.contains(&format!("198.51.100.{}", 100 + n))).collect()
    }

    fn mitigation(&self, args: &[&str]) -> common::Ended {
        self.place.run(&[&["mitigation"], args].concat())
    }

    /// A push that is killed at a step; whether it came so far. None where no program can be looked at.
    fn killed_push(&self, step: u32) -> Option<bool> {
        let push = self.place.command(&["mitigation", "push", "--enforce", "--force"]);
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")]);
        command.args(["-e", &format!("inject={CALLS}:signal=SIGKILL:when={step}")]);
        command.arg(push.get_program()).args(push.get_args()).current_dir(self.place.path(""));
        command.env("HOME", self.place.path("")).env_remove("XDG_CONFIG_HOME");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("ptrace") {
            eprintln!("skipped: nothing may be looked at here");
            return None;
        }
        let code = output.status.code();
        assert!(KILLED.contains(&code) || code == Some(0), "{step}: {code:?} {said}");
        Some(code != Some(0))
    }
}

#[test]
fn a_push_that_is_killed_at_any_step_is_finished_by_the_next_one() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "strace is not installed");
        return eprintln!("skipped: strace is not installed");
    }
    let kinds = [
        (
            "[[mitigation.nginx]]\naddresses = \"device/a.conf\"\nallow = \"device/b.conf\"\ntest = [\"true\"]\nreload = [\"true\"]\nmin_interval_s = 0\n",
            "a.conf",
        ),
        ("[[mitigation.nginx_njs]]\nentries = \"device\"\n", ""),
        ("[[mitigation.apache]]\nmap = \"device/map.txt\"\n", "map.txt"),
        (
            "[[mitigation.modsecurity]]\ndata = \"device/a.data\"\ntest = [\"true\"]\nreload = [\"true\"]\nmin_interval_s = 0\n",
            "a.data",
        ),
        (
            "[[mitigation.envoy]]\nroutes = \"device/routes.json\"\ntemplate = \"template.json\"\nmemory = \"memory.json\"\n",
            "routes.json",
        ),
        ("[[mitigation.feed]]\npath = \"device/feed.json\"\n", "feed.json"),
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
            let Some(killed) = site.killed_push(step) else { return };
            kills += u32::from(killed);
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
        }
        assert!(kills >= 4, "{connector}: it was killed {kills} times");
        assert!(site.mitigation(&["status"]).is(0).stdout.contains("as it should be"), "{connector}");
        site.mitigation(&["undo", "--all", "--enforce"]).is(0);
        assert_eq!(site.held(), BTreeSet::new(), "{connector}");
        let open =
            sidetap_store::Store::open_read_only(&site.place.path("s.db")).unwrap().open_intents().unwrap();
        assert_eq!(open, [], "{connector}: every intent has its end in the audit");
    }
}
