//! What the enforcer promises whatever the device: dry runs, age, undo, re-offence, guards, partial failure, the ledger.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use sidetap_mitigation::feed::{FeedConnector, FeedList};
use sidetap_mitigation::{Config, Connector, Enforcer, Mode, PushOptions, Selector};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{SubjectKind, Ts};
use sidetap_policy::Caps;
use support::{desired, verdict, wall, wall_ts};

fn options() -> PushOptions {
    PushOptions::new(Mode::Enforce)
}

fn feed(dir: &Path, name: &str) -> Box<dyn Connector> {
    let text = format!("name = \"{name}\"\npath = \"{}\"\n", dir.join(name).display());
    Box::new(FeedConnector::new(toml::from_str(&text).unwrap()).unwrap())
}

fn lines(dir: &Path, name: &str) -> Vec<String> {
    FeedList::read(&dir.join(name)).unwrap().entries.iter().map(|e| e.key.to_string()).collect()
}

fn block(id: &str, ip: &str) -> VerdictRow {
    verdict(id, SubjectKind::Ip, ip, "block", 600)
}

#[test]
fn nothing_is_changed_unless_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    let want = desired(&[block("v1", "203.0.113.1")], &[]);
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::default()));
    assert_eq!(report.mode, Mode::DryRun);
    assert!(lines(dir.path(), "a").is_empty() && enforcer.ledger().entries.is_empty());
    let row = &report.actions[0];
    let told = (row.kind.as_str(), row.mode.as_str(), row.outcome.as_str(), row.verdict.as_deref());
    assert_eq!(told, ("add", "dry-run", "planned", Some("v1")));
    enforcer.undo(&Selector::All, wall_ts(), &PushOptions::new(Mode::DryRun));
    assert!(enforcer.ledger().undone.is_empty());
}

#[test]
fn old_verdicts_are_held_unless_forced_and_expire_on_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    let mut old = block("v1", "203.0.113.1");
    old.detected_at = Ts::from_parts(wall() - 7200, 0);
    old.last_seen = old.detected_at;
    let want = desired(&[old], &[]);
    let report = enforcer.push(&want, wall_ts(), &options());
    assert!(report.held[0].why.contains("too long ago"), "{:?}", report.held);
    assert!(lines(dir.path(), "a").is_empty());

    let forced = PushOptions { force: true, ..options() };
    enforcer.push(&want, wall_ts(), &forced);
    assert_eq!(lines(dir.path(), "a"), ["203.0.113.1"]);
    let unforced = enforcer.push(&want, wall_ts(), &options());
    assert_eq!(unforced.connectors[0].outcome, "unchanged", "what was pushed holds for its time to live");
    let later = Ts::from_parts(wall() + 601, 0);
    let over = enforcer.push(&want, later, &options());
    assert_eq!((over.connectors[0].removed, over.held.len()), (1, 1));
    assert!(lines(dir.path(), "a").is_empty());
}

/// A clock that was ahead for a while keeps nobody out of later pushes until that time is reached.
#[test]
fn what_was_pushed_by_a_clock_that_was_ahead_is_pushed_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    let mut push = |at: i64| {
        let now = Ts::from_parts(at, 0);
        let seen = VerdictRow { detected_at: now, last_seen: now, ..block("v1", "203.0.113.1") };
        let mut want = desired(&[seen], &[]);
        want.wants.iter_mut().for_each(|w| w.stale = false);
        let report = enforcer.push(&want, now, &options());
        assert_eq!(lines(dir.path(), "a"), ["203.0.113.1"], "{report:?}");
    };
    let start = wall();
    [7_200, -10_800, 0].into_iter().for_each(|jump| push(start + jump));
}

#[test]
fn who_is_at_it_again_is_pushed_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    let mut v = block("v1", "203.0.113.1");
    let start = wall();
    let at = |s: i64| Ts::from_parts(start + s, 0);
    enforcer.push(&desired(&[v.clone()], &[]), at(0), &options());
    assert_eq!(enforcer.ledger().entries["v1"].expires_at, start + 600);
    v.last_seen = at(300);
    let report = enforcer.push(&desired(&[v.clone()], &[]), at(300), &options());
    assert_eq!(
        (report.connectors[0].refreshed, enforcer.ledger().entries["v1"].expires_at),
        (1, start + 900)
    );
    let report = enforcer.push(&desired(&[v.clone()], &[]), at(901), &options());
    assert_eq!(report.connectors[0].removed, 1);
    v.last_seen = at(1000);
    let report = enforcer.push(&desired(&[v.clone()], &[]), at(1001), &options());
    assert_eq!((report.connectors[0].added, lines(dir.path(), "a").len()), (1, 1));
}

#[test]
fn an_undo_takes_back_one_verdict_one_connector_or_all() {
    let dir = tempfile::tempdir().unwrap();
    let connectors = || vec![feed(dir.path(), "a"), feed(dir.path(), "b")];
    let state = dir.path().join("ledger.json");
    let mut enforcer = Enforcer::with_connectors(connectors());
    let want = desired(&[block("v1", "203.0.113.1"), block("v2", "203.0.113.2")], &[]);
    enforcer.push(&want, wall_ts(), &options());
    let report = enforcer.undo(&Selector::Verdict("v1".into()), wall_ts(), &options());
    assert_eq!(report.actions.iter().filter(|a| a.kind == "undo" && a.outcome == "done").count(), 2);
    assert_eq!(
        (lines(dir.path(), "a"), lines(dir.path(), "b")),
        (vec!["203.0.113.2".into()], vec!["203.0.113.2".into()])
    );
    enforcer.undo(&Selector::Connector("b".into()), wall_ts(), &options());
    assert_eq!((lines(dir.path(), "a").len(), lines(dir.path(), "b").len()), (1, 0));
    let nobody = enforcer.undo(&Selector::Connector("c".into()), wall_ts(), &options());
    assert_eq!((nobody.connectors.len(), nobody.held[0].subject.as_str()), (0, "c"));
    enforcer.push(&want, wall_ts(), &options());
    assert_eq!(
        (lines(dir.path(), "a").len(), lines(dir.path(), "b").len()),
        (1, 0),
        "what was taken back stays so"
    );

    enforcer.ledger().write(&state).unwrap();
    let again = sidetap_mitigation::Ledger::read(&state).unwrap();
    let mut enforcer = Enforcer::with_connectors(connectors()).with_ledger(again);
    enforcer.push(&want, wall_ts(), &options());
    assert_eq!(lines(dir.path(), "b").len(), 0, "also in the next process");
    enforcer.redo(&Selector::All).unwrap();
    enforcer.push(&want, wall_ts(), &options());
    assert_eq!((lines(dir.path(), "a").len(), lines(dir.path(), "b").len()), (2, 2));
    enforcer.undo(&Selector::All, wall_ts(), &options());
    enforcer.push(&want, wall_ts(), &options());
    assert_eq!((lines(dir.path(), "a").len(), lines(dir.path(), "b").len()), (0, 0));
}

#[test]
fn what_one_process_takes_back_another_that_goes_on_pushing_leaves_so() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "state = \"{0}/ledger.json\"\n[[feed]]\nname = \"a\"\npath = \"{0}/a\"\n",
        dir.path().display()
    );
    let open = || Enforcer::new(&toml::from_str::<Config>(&text).unwrap()).unwrap();
    let (first, second) = (block("v1", "203.0.113.1"), block("v2", "203.0.113.2"));
    let mut watch = open();
    watch.push(&desired(std::slice::from_ref(&first), &[]), wall_ts(), &options());
    assert_eq!(lines(dir.path(), "a"), ["203.0.113.1"]);
    open().undo(&Selector::Verdict("v1".into()), wall_ts(), &options());
    let both = desired(&[first, second], &[]);
    for _ in 0..2 {
        watch.push(&both, wall_ts(), &options());
        assert_eq!(lines(dir.path(), "a"), ["203.0.113.2"]);
    }
    assert!(open().ledger().entries.contains_key("v2"), "and none loses what another wrote");
    open().redo(&Selector::All).unwrap();
    watch.push(&both, wall_ts(), &options());
    assert_eq!(lines(dir.path(), "a").len(), 2);
}

#[test]
fn guards_hold_and_one_device_that_fails_does_not_stop_others() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "damaged").unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a"), feed(dir.path(), "b")]);
    let verdicts = [
        block("v1", "203.0.113.1"),
        block("v2", "127.0.0.1"),
        verdict("v3", SubjectKind::Cidr, "203.0.0.0/8", "block", 600),
        block("v4", "198.51.100.4"),
        verdict("v5", SubjectKind::Compound, "198.51.100.5 + fp", "block", 600),
    ];
    let mut suspicious = block("v6", "203.0.113.6");
    suspicious.intent = "suspicious".into();
    let all: Vec<VerdictRow> = verdicts.into_iter().chain([suspicious]).collect();
    let want = desired(&all, &["198.51.100.4/32"]);
    let report = enforcer.push(&want, wall_ts(), &options());
    let outcomes: Vec<&str> = report.connectors.iter().map(|c| c.outcome.as_str()).collect();
    assert_eq!(outcomes, ["failed", "done"], "{report:?}");
    assert!(!report.is_ok());
    assert_eq!(lines(dir.path(), "b"), ["203.0.113.1"]);
    assert_eq!(report.actions.iter().filter(|a| a.kind == "push" && a.outcome == "failed").count(), 1);
    let held: Vec<&str> = want.held.iter().map(|h| h.verdict.as_str()).collect();
    assert_eq!(held, ["v4", "v6"]);
    let known: Vec<&str> = enforcer.ledger().entries.keys().map(String::as_str).collect();
    assert_eq!(known, ["v1"], "what no device was told is not remembered as pushed");
    let refused = &enforcer.plan(&want, wall_ts(), false).connectors[1].plan.refused;
    let told: Vec<(&str, bool)> = refused.iter().map(|r| (r.verdict.as_str(), !r.why.is_empty())).collect();
    assert_eq!(told, [("v2", true), ("v3", true), ("v5", true)]);
}

#[test]
fn an_allow_list_that_comes_later_takes_back_what_was_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    let verdicts = [block("v1", "203.0.113.1"), block("v2", "203.0.113.2")];
    enforcer.push(&desired(&verdicts, &[]), wall_ts(), &options());
    enforcer.push(&desired(&verdicts, &["203.0.113.2/32"]), wall_ts(), &options());
    assert_eq!(lines(dir.path(), "a"), ["203.0.113.1"]);
}

#[test]
fn too_many_at_once_are_held_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        format!("max_adds = 2\n[[feed]]\nname = \"a\"\npath = \"{}\"\n", dir.path().join("a").display());
    let config: Config = toml::from_str(&text).unwrap();
    let mut enforcer = Enforcer::new(&config).unwrap();
    let verdicts: Vec<VerdictRow> =
        (1..4).map(|n| block(&format!("v{n}"), &format!("203.0.113.{n}"))).collect();
    let want = desired(&verdicts, &[]);
    let report = enforcer.push(&want, wall_ts(), &options());
    assert_eq!(report.connectors[0].outcome, "held");
    assert!(report.connectors[0].answer.contains("max_adds = 2"), "{report:?}");
    assert!(lines(dir.path(), "a").is_empty());
    enforcer.push(&want, wall_ts(), &PushOptions { force: true, ..options() });
    assert_eq!(lines(dir.path(), "a").len(), 3);
}

#[test]
fn the_documented_configurations_are_valid() {
    #[derive(serde::Deserialize)]
    struct File {
        mitigation: Config,
    }
    for text in [
        include_str!("../../../docs/connectors/feed.md"),
        include_str!("../../../docs/connectors/nftables.md"),
        include_str!("../../../docs/connectors/haproxy.md"),
        include_str!("../../../docs/connectors/ipset.md"),
        include_str!("../../../docs/connectors/akamai.md"),
        include_str!("../../../docs/connectors/aws-waf.md"),
        include_str!("../../../docs/connectors/bgp.md"),
        include_str!("../../../docs/connectors/caddy.md"),
        include_str!("../../../docs/connectors/cloudflare.md"),
        include_str!("../../../docs/connectors/f5.md"),
        include_str!("../../../docs/connectors/fastly.md"),
        include_str!("../../../docs/connectors/nginx-plus.md"),
        include_str!("../../../docs/connectors/apache.md"),
        include_str!("../../../docs/connectors/crowdsec.md"),
        include_str!("../../../docs/connectors/envoy.md"),
        include_str!("../../../docs/connectors/modsecurity.md"),
        include_str!("../../../docs/connectors/varnish.md"),
        include_str!("../../../docs/connectors/webhook.md"),
        include_str!("../../../docs/connectors/exec.md"),
        include_str!("../../../docs/connectors/nginx.md"),
    ] {
        let block = text.split("```toml\n").nth(1).and_then(|t| t.split("```").next()).unwrap();
        let file: File = toml::from_str(block).unwrap();
        assert_eq!(file.mitigation.connectors().unwrap().len(), 1);
    }
}

#[test]
fn configurations_are_checked() {
    let wrong = |text: &str| toml::from_str::<Config>(text).unwrap_err().to_string();
    assert!(wrong("max_agee = \"1h\"").contains("unknown field `max_agee`"));
    assert!(
        wrong("[[nftables]]\nnames = \"x\"").contains("line 2"),
        "{}",
        wrong("[[nftables]]\nnames = \"x\"")
    );
    let refused = |text: &str| Enforcer::new(&toml::from_str(text).unwrap()).err().unwrap().to_string();
    let twice = "[[feed]]\nname = \"a\"\npath = \"/x\"\n[[nftables]]\nname = \"a\"\n";
    assert_eq!(refused(twice), "mitigation: there are two connectors named `a`");
    assert!(refused("[[nftables]]\ntable = \"a b\"\n").contains("letters, digits"));
    assert!(refused("[[haproxy]]\nsocket = \"/x\"\n").contains("at least one of block_map"));
    assert!(refused("[[feed]]\nname = \"*\"\npath = \"/x\"\n").contains("connector name `*`"));
    let config: Config = toml::from_str("max_age = \"1 day\"").unwrap();
    assert!(config.max_age_s().unwrap_err().to_string().contains("is not a duration"));
}

#[test]
fn a_hundred_thousand_entries_are_planned_and_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("name = \"a\"\npath = \"{}\"\ncapacity = 90000\n", dir.path().join("a").display());
    let connector = FeedConnector::new(toml::from_str(&text).unwrap()).unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(connector)]);
    let ip = |n: u32| std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
    let verdicts: Vec<VerdictRow> = (0..100_000).map(|n| block(&format!("v{n}"), &ip(n))).collect();
    let want = desired(&verdicts, &[]);
    let report = enforcer.push(&want, wall_ts(), &PushOptions { force: true, ..options() });
    assert_eq!((report.connectors[0].verified, report.connectors[0].refused), (Some(90_000), 10_000));
}

#[test]
fn what_a_minute_has_no_room_for_waits_and_the_most_urgent_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    enforcer.cap(Caps { adds_per_minute: 10, ..Caps::default() }, None);
    let scored = |n: u8| VerdictRow { score: n, ..block(&format!("v{n}"), &format!("203.0.113.{n}")) };
    let rows: Vec<VerdictRow> = (1..=25).map(scored).collect();
    let start = wall_ts().secs();
    let at = |s: i64| Ts::from_parts(start + s, 0);
    let want = desired(&rows, &[]);
    let first = enforcer.push(&want, at(0), &options());
    let told = &first.connectors[0];
    assert_eq!((told.outcome.as_str(), told.added, told.waiting), ("done", 10, 15), "{first:?}");
    assert!(told.answer.contains("15 more wait for the next minute"), "{}", told.answer);
    let there = lines(dir.path(), "a");
    assert!((16..=25).all(|n| there.contains(&format!("203.0.113.{n}"))), "{there:?}");
    let plan = enforcer.plan(&want, at(30), false);
    let why = &plan.connectors[0].plan.refused[0].why;
    assert!(why.contains("leaves room for 0 now"), "{why}");
    let soon = enforcer.push(&want, at(30), &options());
    assert_eq!((soon.connectors[0].outcome.as_str(), soon.connectors[0].added), ("waiting", 0));
    assert!(soon.is_ok());
    // A response that changes while there is no room: the old one stands until then.
    let mut changed = rows.clone();
    changed[24].response = "none".into();
    let less = enforcer.push(&desired(&changed, &[]), at(31), &options());
    assert_eq!(less.connectors[0].removed, 1, "who is let go is let go at once: {less:?}");
    for (second, there) in [(60, 19), (61, 19), (119, 19), (120, 25)] {
        enforcer.push(&want, at(second), &options());
        assert_eq!(lines(dir.path(), "a").len(), there, "{second}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    enforcer.cap(Caps { adds_per_minute: 10, ..Caps::default() }, None);
    let forced = enforcer.push(&want, at(0), &PushOptions { force: true, ..options() });
    assert_eq!(forced.connectors[0].added, 25);
}

struct Map;

impl sidetap_mitigation::Geography for Map {
    fn country(&self, ip: std::net::IpAddr) -> Option<String> {
        let text = ip.to_string();
        let code = if text.starts_with("203.0.113.") { "DE" } else { "FR" };
        (!text.starts_with("198.51.100.")).then(|| code.to_owned())
    }

    fn networks(&self, kind: SubjectKind, value: &str) -> Vec<ipnet::IpNet> {
        let texts: &[&str] = match (kind, value) {
            (SubjectKind::Network, "AS64496") => {
                &["203.0.112.0/25", "203.0.112.128/25", "100.128.0.0/15", "2001:db8::/32"]
            }
            (SubjectKind::Country, "DE") => &["203.0.113.0/24"],
            _ => &[],
        };
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }
}

#[test]
fn networks_and_countries_are_told_as_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    let rows = [
        verdict("v1", SubjectKind::Network, "AS64496", "block", 600),
        verdict("v2", SubjectKind::Country, "DE", "block", 600),
        verdict("v3", SubjectKind::Network, "AS64499", "block", 600),
    ];
    let want = desired(&rows, &["100.129.0.0/24"]);
    let plan = enforcer.plan(&want, wall_ts(), false);
    assert!(plan.connectors[0].plan.refused[0].why.contains("no installed table"), "{plan:?}");
    enforcer.know(std::sync::Arc::new(Map));
    let report = enforcer.push(&want, wall_ts(), &options());
    assert_eq!(
        lines(dir.path(), "a"),
        ["100.128.0.0/16", "203.0.112.0/24", "203.0.113.0/24", "2001:db8::/32"],
        "{report:?}"
    );
    let undone = enforcer.undo(&Selector::Verdict("v1".into()), wall_ts(), &options());
    assert_eq!((undone.connectors[0].removed, lines(dir.path(), "a").len()), (3, 1));
}

#[test]
fn a_geo_fence_of_an_address_is_a_block_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    enforcer.know(std::sync::Arc::new(Map));
    let fenced = |id: &str, ip: &str| {
        let countries = vec!["DE".to_owned()];
        let measures = sidetap_model::Measures { countries, ..sidetap_model::Measures::default() };
        let mut v = verdict(id, SubjectKind::Ip, ip, "geo-fence", 600);
        v.measures = Some(Box::new(measures));
        v
    };
    let rows = [fenced("v1", "203.0.113.9"), fenced("v2", "100.128.0.1"), fenced("v3", "198.51.100.1")];
    let want = desired(&rows, &[]);
    enforcer.push(&want, wall_ts(), &options());
    assert_eq!(lines(dir.path(), "a"), ["100.128.0.1"]);
    let refused = enforcer.plan(&want, wall_ts(), false).connectors[0].plan.refused.clone();
    let why = |id: &str| refused.iter().find(|r| r.verdict == id).unwrap().why.clone();
    assert!(
        why("v1").contains("lets through") && why("v3").contains("no installed table knows"),
        "{refused:?}"
    );
}

#[test]
fn a_device_that_is_away_for_ten_minutes_is_asked_ever_more_rarely_and_then_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a"), feed(dir.path(), "b")]);
    let start = wall();
    let at = |s: i64| Ts::from_parts(start + s, 0);
    let long = |id: &str, ip: &str, ttl: u64| verdict(id, SubjectKind::Ip, ip, "block", ttl);
    let before = vec![long("v1", "203.0.113.1", 7_200), long("v2", "203.0.113.2", 300)];
    enforcer.push(&desired(&before, &[]), at(0), &options());
    let list = dir.path().join("a");
    support::out_of_reach(&list, true);
    let mut rows = before.clone();
    rows.push(long("v3", "203.0.113.3", 7_200));
    let (mut asked, mut last) = (0, 0);
    for second in (5..=600).step_by(5) {
        let report = enforcer.push(&desired(&rows, &[]), at(second), &options());
        assert_ne!(report.connectors[1].outcome, "failed", "the other one is not kept back");
        if report.connectors[0].outcome == "failed" {
            (asked, last) = (asked + 1, second);
        }
    }
    assert!((5..=20).contains(&asked) && last > 400, "asked {asked} times, last after {last} s");
    assert_eq!(lines(dir.path(), "b"), ["203.0.113.1", "203.0.113.3"]);
    support::out_of_reach(&list, false);
    let back = (605..=730).step_by(5).find(|s| {
        let report = enforcer.push(&desired(&rows, &[]), at(*s), &options());
        report.connectors[0].outcome == "done"
    });
    assert!(back.is_some(), "asked again within two minutes");
    assert_eq!(
        lines(dir.path(), "a"),
        ["203.0.113.1", "203.0.113.3"],
        "what came meanwhile, without what is over"
    );
}

#[test]
fn what_a_device_cannot_say_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::with_connectors(vec![feed(dir.path(), "a")]);
    let mut v = verdict("v1", SubjectKind::Ip, "203.0.113.1", "deceive", 600);
    let instead = vec![sidetap_policy::Response::Block];
    v.measures = Some(Box::new(sidetap_model::Measures { instead, ..sidetap_model::Measures::default() }));
    let scope =
        sidetap_model::Scope { hosts: vec!["shop.example".into()], ..sidetap_model::Scope::default() };
    let mut scoped = block("v2", "203.0.113.2");
    scoped.measures = Some(Box::new(sidetap_model::Measures { scope, ..sidetap_model::Measures::default() }));
    let plan = enforcer.plan(&desired(&[v, scoped], &[]), wall_ts(), false);
    let told = &plan.connectors[0];
    assert_eq!(told.weaker[0].why, "sent as block of 203.0.113.1: it cannot deceive");
    assert!(told.plan.refused[0].why.contains("hosts and endpoints"), "{:?}", told.plan.refused);
    let status = enforcer.status(wall_ts());
    assert_eq!(status.connectors[0].sees.compares(), "the connection's address, networks");
    assert!(status.connectors[0].sees.cannot_do().contains(&sidetap_policy::Response::Tarpit));
}

/// What status says of the only device at this time.
fn drift(enforcer: &mut Enforcer, at: Ts) -> String {
    let status = enforcer.status(at);
    assert!(!status.connectors[0].emptied && status.connectors[0].error.is_none(), "{status:?}");
    status.connectors[0].drift.join(", ")
}

#[test]
fn status_tells_what_is_gone_and_what_acts_though_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let map = dir.path().join("map.txt");
    let text = format!("map = \"{}\"\ntest = []\nreload = []\n", map.display());
    let device = || -> Vec<Box<dyn Connector>> {
        vec![Box::new(
            sidetap_mitigation::apache::ApacheConnector::new(toml::from_str(&text).unwrap()).unwrap(),
        )]
    };
    let at = |s: i64| Ts::from_parts(wall() + s, 0);
    let mut enforcer = Enforcer::with_connectors(device());
    let rows = ["203.0.113.1", "203.0.113.2", "203.0.113.3"].map(|ip| block(ip, ip));
    let want = desired(&rows, &[]);
    assert!(enforcer.push(&want, at(0), &options()).is_ok());
    assert_eq!(drift(&mut enforcer, at(0)), "");
    let full = std::fs::read_to_string(&map).unwrap();
    let others = full.lines().filter(|l| !l.contains("203.0.113.2"));
    std::fs::write(&map, others.map(|l| format!("{l}\n")).collect::<String>()).unwrap();
    let gone = drift(&mut enforcer, at(0));
    assert!(gone.contains("1 entries that were left there are gone"), "{gone}");
    assert!(enforcer.push(&want, at(5), &options()).is_ok());
    assert_eq!(drift(&mut enforcer, at(5)), "");
    // What was taken back is not missing.
    assert!(enforcer.undo(&Selector::Verdict("203.0.113.3".into()), at(6), &options()).is_ok());
    assert_eq!(drift(&mut enforcer, at(6)), "");
    // Half a minute is what a watch may take.
    assert_eq!(drift(&mut enforcer, at(630)), "");
    let over = drift(&mut enforcer, at(700));
    assert!(over.contains("2 entries act whose time is over"), "{over}");
    assert!(enforcer.push(&want, at(701), &options()).is_ok());
    assert_eq!(drift(&mut enforcer, at(702)), "");
}

/// A push has changed a device before it writes down how it left it: who looks in between is told of nothing that is missing.
#[test]
fn a_status_beside_a_push_tells_nothing_that_is_over_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let text = format!(
        "state = \"{}\"\n[[nginx]]\naddresses = \"{}\"\ntest = []\nreload = [\"sh\", \"{}\"]\nmin_interval_s = 0\ntimeout_s = 60\n",
        at("ledger.json"),
        at("map.txt"),
        at("reload")
    );
    let enforcer = || Enforcer::new(&toml::from_str::<Config>(&text).unwrap()).unwrap();
    std::fs::write(at("reload"), "true\n").unwrap();
    let rows = ["203.0.113.1", "203.0.113.2", "203.0.113.3"].map(|ip| block(ip, ip));
    assert!(enforcer().push(&desired(&rows, &[]), wall_ts(), &options()).is_ok());
    for (gone, pause, under_way) in [("203.0.113.1", 1, false), ("203.0.113.2", 30, true)] {
        std::fs::write(
            at("reload"),
            format!("for n in $(seq {pause}0); do test -e {} || sleep 0.1; done\n", at("on")),
        )
        .unwrap();
        let status = std::thread::scope(|scope| {
            let taken =
                scope.spawn(|| enforcer().undo(&Selector::Verdict(gone.into()), wall_ts(), &options()));
            support::until("it is off the list", || {
                !std::fs::read_to_string(at("map.txt")).unwrap().contains(gone)
            });
            let status = enforcer().status(wall_ts());
            std::fs::write(at("on"), "").unwrap();
            assert!(taken.join().unwrap().is_ok());
            std::fs::remove_file(at("on")).unwrap();
            status
        });
        let told = status.connectors[0].drift.join(", ");
        assert!(!told.contains("are gone"), "{told}");
        assert_eq!(status.under_way, under_way, "{status:?}");
    }
    assert!(!enforcer().status(wall_ts()).under_way);
}

/// A device that takes long is no reason to doubt another; nor is a ledger that cannot be read a push that never ends.
#[test]
fn a_push_to_one_device_leaves_the_others_known() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let device = |name: &str| {
        format!(
            "[[nginx]]\nname = \"{name}\"\naddresses = \"{}\"\ntest = []\nreload = [\"sh\", \"{}\"]\nmin_interval_s = 0\ntimeout_s = 60\n",
            at(&format!("{name}.txt")),
            at(&format!("{name}.sh"))
        )
    };
    let text = format!("state = \"{}\"\n{}{}", at("ledger.json"), device("slow"), device("quick"));
    let enforcer = || Enforcer::new(&toml::from_str::<Config>(&text).unwrap()).unwrap();
    ["slow.sh", "quick.sh"].iter().for_each(|f| std::fs::write(at(f), "true\n").unwrap());
    let rows = ["203.0.113.1", "203.0.113.2"].map(|ip| block(ip, ip));
    assert!(enforcer().push(&desired(&rows, &[]), wall_ts(), &options()).is_ok());
    std::fs::write(
        at("slow.sh"),
        format!("for n in $(seq 300); do test -e {} || sleep 0.1; done\n", at("on")),
    )
    .unwrap();
    std::fs::write(at("quick.txt"), "").unwrap();
    let status = std::thread::scope(|scope| {
        let pushed = scope.spawn(|| {
            let mut slow = enforcer().apart().remove(1);
            slow.push(&desired(&rows[..1], &[]), wall_ts(), &options())
        });
        support::until("it is off the list", || {
            !std::fs::read_to_string(at("slow.txt")).unwrap().contains("203.0.113.2")
        });
        let status = enforcer().status(wall_ts());
        std::fs::write(at("on"), "").unwrap();
        assert!(pushed.join().unwrap().is_ok());
        status
    });
    let [quick, slow] = &status.connectors[..] else { panic!("{status:?}") };
    assert!(slow.under_way && !quick.under_way && status.under_way, "{status:?}");
    assert!(quick.emptied, "what is gone there is told: {quick:?}");
    let mut looking = enforcer();
    std::fs::write(at("ledger.json"), "{ half a led").unwrap();
    let status = looking.status(wall_ts());
    assert!(!status.under_way, "nobody changes anything: {status:?}");
    assert!(status.notes[0].contains("the ledger cannot be read"), "{:?}", status.notes);
}
