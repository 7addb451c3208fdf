//! Nothing waits for ever: not for a lock that another process holds, nor for a device that does not answer; and what could not be written
//! down is not said to be done.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use sidetap_mitigation::feed::FeedList;
use sidetap_mitigation::{Config, Desired, Enforcer, Mode, PushOptions, Selector};
use sidetap_model::SubjectKind;
use support::{desired, verdict, wall_ts};

fn options() -> PushOptions {
    PushOptions::new(Mode::Enforce)
}

fn enforcer(dir: &Path, devices: &str) -> Enforcer {
    let at = |name: &str| dir.join(name).display().to_string();
    let text = format!("state = \"{}\"\n{}", at("ledger.json"), devices.replace("DIR", &at("")));
    let config: Config = toml::from_str(&text).unwrap();
    Enforcer::new(&config).unwrap()
}

const FEED: &str = "[[feed]]\npath = \"DIR/list\"\n";

fn wanted() -> Desired {
    desired(&[verdict("v1", SubjectKind::Ip, "203.0.113.1", "block", 600)], &[])
}

fn held(path: &Path) -> File {
    let file = File::create(path).unwrap();
    file.lock().unwrap();
    file
}

fn lines(dir: &Path) -> usize {
    FeedList::read(&dir.join("list")).unwrap().entries.len()
}

#[test]
fn a_lock_that_is_never_let_go_fails_a_push_and_stops_no_undo_and_no_kill_switch() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = enforcer(dir.path(), FEED);
    enforcer.push(&wanted(), wall_ts(), &options());
    assert_eq!(lines(dir.path()), 1);
    let _directory = {
        let file = File::open(dir.path()).unwrap();
        file.lock().unwrap();
        file
    };
    let second = desired(&[verdict("v2", SubjectKind::Ip, "203.0.113.2", "block", 600)], &[]);
    assert_eq!(enforcer.push(&second, wall_ts(), &options()).connectors[0].outcome, "done", "nobody's lock");

    let _locks = [held(&dir.path().join("list.lock")), held(&dir.path().join("ledger.json.lock"))];
    let third = desired(&[verdict("v3", SubjectKind::Ip, "203.0.113.3", "block", 600)], &[]);
    let report = enforcer.push(&third, wall_ts(), &options());
    let said = &report.connectors[0].answer;
    assert!(
        !report.is_ok() && said.contains("ledger.json.lock is held by") && said.contains("10 s"),
        "{said}"
    );

    let start = Instant::now();
    let report = enforcer.undo(&Selector::All, wall_ts(), &options());
    assert!(report.is_ok() && start.elapsed() < Duration::from_secs(40), "{report:?}");
    assert_eq!(lines(dir.path()), 0);
    let risk = report.connectors[0].risk.clone().unwrap_or_default();
    assert!(risk.contains("list.lock is held by") && risk.contains("nothing waited"), "{report:?}");
    assert!(report.notes.iter().any(|n| n.contains("ledger.json.lock")), "{report:?}");
    assert!(enforcer.ledger().undone["*"].contains("v2"), "it is remembered all the same");
}

/// A service under a user of its own and the administrator, who pushes by hand: of a directory that they share by its group neither locks
/// the other out.
#[test]
fn a_push_by_root_leaves_the_service_its_turn() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    const SERVICE: u32 = 12_345;
    let dir = tempfile::tempdir().unwrap();
    if dir.path().metadata().unwrap().uid() != 0 {
        return support::skip("only root can act as another user");
    }
    let shared = dir.path().join("shared");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(dir.path(), 0o755);
    std::fs::create_dir(&shared).unwrap();
    chown(&shared, Some(0), Some(SERVICE)).unwrap();
    mode(&shared, 0o2775);
    let opens = |who: u32| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "exec 3<>\"$1\"", "sh"]).arg(shared.join("list.lock"));
        shell.uid(who).gid(who).stderr(std::process::Stdio::null()).status().unwrap().success()
    };
    let push = || {
        let report = enforcer(&shared, FEED).push(&wanted(), wall_ts(), &options());
        assert!(report.is_ok(), "{report:?}");
    };
    push();
    assert!(opens(SERVICE), "a member of the directory's group");
    assert!(!opens(SERVICE + 1), "nobody else");
    // One that an earlier Sidetap left to root alone.
    chown(shared.join("list.lock"), Some(0), Some(0)).unwrap();
    mode(&shared.join("list.lock"), 0o600);
    std::fs::remove_file(shared.join("list")).unwrap();
    push();
    assert!(opens(SERVICE) && !opens(SERVICE + 1));
    // Where the group may not write, the lock is its owner's whose the file is.
    mode(&shared, 0o755);
    chown(shared.join("list"), Some(SERVICE), None).unwrap();
    std::fs::remove_file(shared.join("list.lock")).unwrap();
    let _ = enforcer(&shared, FEED).undo(&Selector::All, wall_ts(), &options());
    assert!(opens(SERVICE) && !opens(SERVICE + 1));
    assert_eq!(shared.join("list.lock").metadata().unwrap().mode() & 0o777, 0o600);
    // In a directory of the service's own all is the service's, however often root pushes before it runs.
    let own = dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    chown(&own, Some(SERVICE), Some(SERVICE)).unwrap();
    for id in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        let wanted = desired(&[verdict(id, SubjectKind::Ip, id, "block", 600)], &[]);
        let report = enforcer(&own, FEED).push(&wanted, wall_ts(), &options());
        assert!(report.is_ok(), "{report:?}");
        for name in ["list", "list.lock", "ledger.json", "ledger.json.lock"] {
            let about = own.join(name).metadata().unwrap();
            assert_eq!((about.uid(), about.gid()), (SERVICE, SERVICE), "{name}");
        }
    }
    // What an earlier Sidetap left there to root is no hindrance.
    chown(own.join("list"), Some(0), Some(0)).unwrap();
    chown(own.join("list.lock"), Some(0), Some(0)).unwrap();
    let _ = enforcer(&own, FEED).undo(&Selector::All, wall_ts(), &options());
    assert_eq!(own.join("list.lock").metadata().unwrap().uid(), SERVICE);
}

/// Who owns the directory leaves a link where root is about to write: nothing is written through it.
#[test]
fn what_is_written_beside_a_file_goes_through_no_link() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("theirs"), "kept").unwrap();
    let beside = dir.path().join(format!("list.{}.new", std::process::id()));
    std::os::unix::fs::symlink(dir.path().join("theirs"), &beside).unwrap();
    let report = enforcer(dir.path(), FEED).push(&wanted(), wall_ts(), &options());
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("theirs")).unwrap(), "kept");
    assert_eq!(lines(dir.path()), 1);
}

#[test]
fn the_kill_switch_does_not_wait_for_a_lock_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = enforcer(dir.path(), FEED);
    enforcer.push(&wanted(), wall_ts(), &options());
    let _lock = held(&dir.path().join("list.lock"));
    let stopped = Desired { stopped: true, ..Desired::default() };
    let report = enforcer.push(&stopped, wall_ts(), &PushOptions { force: true, ..options() });
    assert!(report.is_ok() && report.connectors[0].risk.is_some(), "{report:?}");
    assert_eq!(lines(dir.path()), 0);
}

#[test]
fn a_receiver_that_never_answers_keeps_no_file_beside_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "0123456789abcdef").unwrap();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!(
        "[[webhook]]\nurl = \"http://{}/\"\nsecret = {{ file = \"DIR/secret\" }}\nmemory = \"DIR/hook.json\"\nhttp = {{ timeout_s = 8 }}\n",
        receiver.local_addr().unwrap()
    );
    let mut hangs = enforcer(dir.path(), &hook);
    let (said, asked) = channel();
    std::thread::spawn(move || {
        let connection = receiver.accept();
        said.send(()).unwrap();
        std::thread::sleep(Duration::from_secs(30));
        drop(connection);
    });
    let hanging = std::thread::spawn(move || hangs.push(&wanted(), wall_ts(), &options()));
    asked.recv_timeout(Duration::from_secs(20)).unwrap();
    let start = Instant::now();
    let report = enforcer(dir.path(), FEED).push(&wanted(), wall_ts(), &options());
    assert!(report.is_ok() && start.elapsed() < Duration::from_secs(5), "{:?} {report:?}", start.elapsed());
    assert_eq!(lines(dir.path()), 1);
    assert_eq!(hanging.join().unwrap().connectors[0].outcome, "failed");
}

#[test]
fn an_undo_waits_on_no_device_before_it_comes_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "0123456789abcdef").unwrap();
    let mut asked = 0;
    let receiver = support::serve(move |_| {
        asked += 1;
        std::thread::sleep(Duration::from_secs(if asked > 1 { 9 } else { 0 }));
        (200, "{}".to_owned())
    });
    let hook = format!(
        "{FEED}[[webhook]]\nname = \"a-first\"\nurl = \"http://{receiver}/\"\nsecret = {{ file = \"DIR/secret\" }}\nmemory = \"DIR/hook.json\"\nhttp = {{ timeout_s = 8 }}\n"
    );
    let mut both = enforcer(dir.path(), &hook);
    assert!(both.push(&wanted(), wall_ts(), &options()).is_ok());
    let undo = std::thread::spawn(move || both.undo(&Selector::All, wall_ts(), &options()));
    let start = Instant::now();
    while lines(dir.path()) > 0 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(undo.join().unwrap().connectors[0].outcome, "failed", "the one that does not answer");
}

#[test]
fn an_undo_that_cannot_be_remembered_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = enforcer(dir.path(), FEED);
    first.push(&wanted(), wall_ts(), &options());
    // The ledger is written beside its place first, where something else is now.
    let beside = dir.path().join(format!("ledger.json.{}.new", std::process::id()));
    std::fs::create_dir(&beside).unwrap();
    let report = first.undo(&Selector::All, wall_ts(), &options());
    assert_eq!(lines(dir.path()), 0, "it comes off all the same");
    assert!(!report.is_ok() && report.forgotten, "{report:?}");
    let result = &report.connectors[0];
    assert!(result.outcome == "failed" && result.answer.contains("the next push puts it back"), "{report:?}");
    assert!(report.notes.iter().any(|n| n.contains("the ledger cannot be written")), "{report:?}");
    assert!(report.held.is_empty(), "that is no verdict that is not sent: {report:?}");
    std::fs::remove_dir(&beside).unwrap();
    let report = first.undo(&Selector::All, wall_ts(), &options());
    assert!(report.is_ok() && !report.forgotten, "{report:?}");
    assert_eq!(enforcer(dir.path(), FEED).push(&wanted(), wall_ts(), &options()).connectors[0].added, 0);
}

#[test]
fn the_kill_switch_works_where_the_memory_of_a_device_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let template =
        r#"{"resources": [{"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": []}]}]}"#;
    std::fs::write(at("template.json"), template).unwrap();
    let devices = format!(
        "[[envoy]]\nroutes = \"DIR/routes.json\"\ntemplate = \"DIR/template.json\"\nmemory = \"DIR/envoy.json\"\n\
         [[exec]]\ncommand = [\"sh\", \"-c\", \"cat > {}\"]\nmemory = \"DIR/exec.json\"\n",
        at("told")
    );
    let mut enforcer = enforcer(dir.path(), &devices);
    let report = enforcer.push(&wanted(), wall_ts(), &options());
    assert!(report.is_ok(), "{report:?}");
    let holds = |name: &str| std::fs::read_to_string(at(name)).unwrap().contains("203.0.113.1");
    assert!(holds("routes.json") && holds("told"));
    for name in ["envoy.json", "envoy.next", "exec.json"] {
        std::fs::write(at(name), "{\"half").unwrap();
    }
    let stopped = Desired { stopped: true, ..Desired::default() };
    let report = enforcer.push(&stopped, wall_ts(), &PushOptions { force: true, ..options() });
    assert!(report.is_ok(), "{report:?}");
    let told: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(at("told")).unwrap()).unwrap();
    // The copy of what is remembered says who is taken off.
    assert_eq!(told["entries"], serde_json::json!([]), "{told}");
    assert!(!holds("routes.json"));
}
