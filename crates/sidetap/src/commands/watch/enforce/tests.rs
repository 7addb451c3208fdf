use sidetap_mitigation::{Desired, PushOptions, Want};
use sidetap_model::rows::Subject;
use sidetap_model::{Measures, SubjectKind};

use super::*;

fn want(id: &str, ip: &str) -> Want {
    Want {
        verdict: id.to_owned(),
        zone: String::new(),
        subject: Subject { kind: SubjectKind::Ip, value: ip.to_owned(), parts: Default::default() },
        response: Response::Block,
        ttl_s: 600,
        score: 90,
        detected_at: clock::now(),
        last_seen: clock::now(),
        stale: false,
        measures: Measures::default(),
        why: String::new(),
    }
}

#[test]
fn a_watch_that_begins_again_lets_nobody_go_and_the_switch_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (ledger, feed) = (at("ledger"), at("feed"));
    let text = format!("[mitigation]\nstate = \"{ledger}\"\n[[mitigation.feed]]\npath = \"{feed}\"\n");
    std::fs::write(at("c.toml"), text).unwrap();
    let mut config = crate::config::load(Some(Path::new(&at("c.toml")))).unwrap();
    config.store = Some(at("s.db").into());
    let store = config.store.clone();
    let key = HashKey::from_bytes([7; 16]);
    let begin = |config: &Config| {
        let interfaces = ["x0".to_owned()];
        Acting::new(config, store.as_deref(), &key, clock::now(), &interfaces, true).unwrap()
    };
    let source = SourceArgs { run: None, store: config.store.clone() };
    let wants = vec![want("v-1", "203.0.113.1"), want("v-2", "203.0.113.2")];
    let told = Desired { wants, ..Desired::default() };
    let options = PushOptions::new(Mode::Enforce);
    enforcer(&mut config, &source).unwrap().push(&told, clock::now(), &options);
    let listed = || std::fs::read_to_string(at("feed")).unwrap().matches("203.0.113.").count();
    assert_eq!(listed(), 2);
    let mut acting = begin(&config);
    acting.begin();
    let push = |acting: &mut Acting| {
        acting.push();
        acting.devices.as_ref().unwrap().wait();
    };
    push(&mut acting);
    assert_eq!(listed(), 2, "before the store has been looked at: {:?}", acting.lost);
    let look = acting.looking.take().unwrap().join().unwrap();
    acting.take_up(look);
    push(&mut acting);
    assert_eq!(listed(), 2, "{:?}", acting.lost);
    std::fs::write(at("ledger.stop"), "wrong").unwrap();
    push(&mut acting);
    assert_eq!(listed(), 0, "{:?}", acting.lost);
}

#[test]
fn who_was_convicted_since_the_store_was_looked_at_is_decided_again_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("[[mitigation.feed]]\npath = \"{}\"\n", dir.path().join("feed").display());
    std::fs::write(dir.path().join("c.toml"), text).unwrap();
    let config = crate::config::load(Some(&dir.path().join("c.toml"))).unwrap();
    let key = HashKey::from_bytes([7; 16]);
    let mut acting = Acting::new(&config, None, &key, clock::now(), &[], true).unwrap();
    let mut v = crate::report::fixture::run().verdicts.remove(0);
    v.response = "unset".to_owned();
    for id in ["old", "new"] {
        acting.verdicts.put(VerdictRow { id: id.to_owned(), ..v.clone() });
    }
    acting.awaited.insert("new".to_owned());
    acting.judge_again();
    assert_eq!(acting.verdicts.get("old").unwrap().response, "unset");
    assert_ne!(acting.verdicts.get("new").unwrap().response, "unset");
    let strong = |n: u64| VerdictRow {
        id: format!("s{n}"),
        score: 99,
        last_seen: clock::now(),
        response: "block".to_owned(),
        ttl_s: 3_600,
        ..v.clone()
    };
    acting.verdicts.extend((0..3).map(strong));
    acting.forget(2, clock::now());
    assert_eq!(
        (acting.verdicts.len(), acting.forgotten),
        (2, 1),
        "what no longer asks for anything goes first"
    );
    assert!(acting.verdicts.ids().all(|id| id.starts_with('s')));
}

/// What was decided holds whole as long as the response does: a dry run stays one, a narrow subject narrow.
#[test]
fn who_goes_on_is_decided_as_before_until_his_response_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "version: 1\nrules:\n  - id: it\n    when: intent == \"malicious\"\n    response: [block, challenge]\n    mode: dry-run\n    subjects: [address]\n    ttl: 1h\n";
    std::fs::write(dir.path().join("policy.yaml"), rule).unwrap();
    let text = format!(
        "[policy]\npath = \"{0}/policy.yaml\"\n[[mitigation.feed]]\npath = \"{0}/feed\"\n",
        dir.path().display()
    );
    std::fs::write(dir.path().join("c.toml"), text).unwrap();
    let config = crate::config::load(Some(&dir.path().join("c.toml"))).unwrap();
    let key = HashKey::from_bytes([7; 16]);
    let mut acting = Acting::new(&config, None, &key, clock::now(), &[], true).unwrap();
    let mut v = crate::report::fixture::run().verdicts.remove(0);
    (v.intent, v.score) = ("malicious".to_owned(), 99);
    (v.measures, v.last_seen) = (None, v.detected_at);
    let first = acting.decide(vec![v.clone()]).remove(0);
    assert!(first.measures.is_some(), "{first:?}");
    let later =
        VerdictRow { last_seen: v.detected_at.plus(20_000_000_000), requests: v.requests + 9, ..v.clone() };
    assert!(acting.goes_on(&later));
    let second = acting.decide(vec![later.clone()]).remove(0);
    let of = |v: &VerdictRow| (v.response.clone(), v.policy.clone(), v.ttl_s, v.measures.clone());
    assert_eq!(of(&second), of(&first));
    assert_eq!((second.last_seen, second.requests), (later.last_seen, later.requests));
    let over = VerdictRow { last_seen: v.detected_at.plus(3_700_000_000_000), ..v };
    assert!(!acting.goes_on(&over));
}

/// How often somebody was acted against, and what was decided of him, is known to whoever acts after a restart: in the same run, whose
/// process was killed, and in the next one.
#[test]
fn a_restart_goes_on_with_the_next_step_and_with_what_holds() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let rule = "version: 1\nrules:\n  - id: it\n    when: intent == \"malicious\"\n    response: rate-limit\n    subjects: [address]\n    ttl: 10m\n    escalate:\n      within: 1d\n      steps: [{response: challenge, ttl: 20m}, {response: block, ttl: 1h}]\n";
    std::fs::write(at("policy.yaml"), rule).unwrap();
    let text = format!(
        "[policy]\npath = \"{}\"\n[[mitigation.feed]]\npath = \"{}\"\n",
        at("policy.yaml"),
        at("feed")
    );
    std::fs::write(at("c.toml"), text).unwrap();
    let mut config = crate::config::load(Some(Path::new(&at("c.toml")))).unwrap();
    config.store = Some(at("s.db").into());
    let (store, key) = (config.store.clone(), HashKey::from_bytes([7; 16]));
    let start = clock::now().plus(-7_200_000_000_000);
    let begin = |begun: Ts| {
        let mut acting =
            Acting::new(&config, store.as_deref(), &key, begun, &["x0".to_owned()], false).unwrap();
        acting.before.insert("v-1".to_owned());
        acting.look(&[]);
        if let Some(look) = acting.looking.take() {
            acting.take_up(look.join().unwrap());
        }
        acting
    };
    let mut v = crate::report::fixture::run().verdicts.remove(0);
    (v.id, v.intent, v.score) = ("v-1".to_owned(), "malicious".to_owned(), 99);
    (v.detected_at, v.first_seen, v.measures) = (start, start, None);
    let seen = |acting: &mut Acting, minutes: i64| {
        let last_seen = start.plus(minutes * 60_000_000_000);
        let decided = acting.decide(vec![VerdictRow { last_seen, ..v.clone() }]);
        acting.keep(&decided);
        acting.note_times(&decided);
        acting.keep_times(true);
        decided[0].response.clone()
    };
    let mut first = begin(start);
    assert_eq!([0, 11].map(|m| seen(&mut first, m)), ["rate-limit", "challenge"]);
    for begun in [start, start.plus(1_000_000_000)] {
        drop(std::mem::replace(&mut first, begin(begun)));
        let known = first.verdicts.get("v-1").expect("it is not found again");
        assert_eq!(known.response, "challenge", "what holds is not decided anew");
        let later = VerdictRow { last_seen: start.plus(25 * 60_000_000_000), ..v.clone() };
        assert!(first.goes_on(&later), "it holds until its end");
        assert!(!first.goes_on(&VerdictRow { last_seen: start.plus(32 * 60_000_000_000), ..v.clone() }));
    }
    assert_eq!(seen(&mut first, 32), "block", "the third time, two of which were before the restarts");
    std::fs::write(at("policy.yaml"), rule.replace("rate-limit", "alert").replace("block", "tarpit"))
        .unwrap();
    let last = begin(start.plus(2_000_000_000));
    assert_ne!(last.verdicts.get("v-1").unwrap().response, "block", "by other rules it is decided anew");
}

#[test]
fn a_verdict_that_the_store_did_not_take_is_kept_later() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.db");
    std::fs::write(dir.path().join("c.toml"), "").unwrap();
    let config = crate::config::load(Some(&dir.path().join("c.toml"))).unwrap();
    let key = HashKey::from_bytes([7; 16]);
    let mut acting = Acting::new(&config, Some(&file), &key, clock::now(), &["x0".to_owned()], true).unwrap();
    let verdict = |id: &str| {
        let v = crate::report::fixture::run().verdicts.remove(0);
        VerdictRow { id: id.to_owned(), ..v }
    };
    let kept = |id: &str| Store::open_read_only(&file).unwrap().verdict(id).unwrap().is_some();
    let (writer, path, run) = acting.store.take().unwrap();
    acting.store = Some((Store::open_read_only(&path).unwrap(), path.clone(), run.clone()));
    for id in ["one", "forgotten"] {
        let decided = acting.decide(vec![verdict(id)]);
        acting.keep(&decided);
    }
    assert!(!kept("one"), "a store that takes nothing");
    acting.verdicts.remove("forgotten");
    acting.store = Some((writer, path, run));
    acting.keep_late();
    assert!(!kept("one"), "it is not tried all the time");
    acting.again = Instant::now();
    acting.keep_late();
    assert!(kept("one") && !kept("forgotten"));
    // What comes late keeps no device waiting: it is written after they are told.
    acting.unkept.insert("late".to_owned());
    acting.verdicts.put(verdict("late"));
    let decided = acting.decide(vec![verdict("new")]);
    assert!(acting.keep_at_once(&decided) && kept("new") && !kept("late"));
    acting.again = Instant::now();
    acting.keep_late();
    assert!(kept("late"));
    // Somebody else writes: devices do not wait for long, and it is kept once that is over.
    let (locked, is_locked) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let mut other = Store::open(&file).unwrap();
    let writer = std::thread::spawn(move || {
        other.atomically(|_| {
            locked.send(()).unwrap();
            let _ = released.recv();
            Ok::<_, sidetap_store::StoreError>(())
        })
    });
    is_locked.recv().unwrap();
    let begun = Instant::now();
    let decided = acting.decide(vec![verdict("two")]);
    assert!(!acting.keep_at_once(&decided) && begun.elapsed() < Duration::from_secs(5));
    drop(release);
    acting.keep(&decided);
    writer.join().unwrap().unwrap();
    assert!(kept("two"));
    assert_eq!(acting.lost.take(), Vec::<String>::new(), "nothing is lost any more");
}

/// Policy is read again between batches, however often its file changes meanwhile: the verdicts of one epoch come from one policy.
#[test]
fn one_epoch_is_decided_by_one_policy() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let write = |revision: usize| {
        let rule = format!(
            "version: 1\nrevision: r{revision}\nrules:\n  - id: r{revision}\n    when: intent == \"malicious\"\n    response: block\n    ttl: 1h\n"
        );
        std::fs::write(at("policy.yaml"), rule).unwrap();
    };
    write(0);
    std::fs::write(at("c.toml"), format!("[policy]\npath = \"{}\"\n", at("policy.yaml"))).unwrap();
    let config = crate::config::load(Some(Path::new(&at("c.toml")))).unwrap();
    let (file, key) = (dir.path().join("s.db"), HashKey::from_bytes([7; 16]));
    let acting = Acting::new(&config, Some(&file), &key, clock::now(), &["x0".to_owned()], true).unwrap();
    let (sender, receiver) = sync_channel(1);
    let model = crate::report::fixture::run().verdicts.remove(0);
    let one = |batch: usize, n: usize| VerdictRow {
        id: format!("v-{batch}-{n}"),
        intent: "malicious".into(),
        score: 99,
        subject: Subject { kind: SubjectKind::Ip, value: format!("203.0.{batch}.{n}"), parts: Vec::new() },
        ..model.clone()
    };
    let (told, taken) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || acting.run(&receiver, move |n| told.send(n).unwrap()));
        for batch in 0..12 {
            let verdicts = (0..100).map(|n| one(batch, n)).collect();
            sender.send(Batch::Said { verdicts, campaigns: Vec::new() }).unwrap();
            // Also in the middle of it.
            write(2 * batch + 1);
            sender.send(Batch::asking()).unwrap();
            write(2 * batch + 2);
        }
        drop(sender);
    });
    assert!(taken.iter().sum::<usize>() >= 24);
    let store = Store::open_read_only(&file).unwrap();
    let mut policies = BTreeSet::new();
    for batch in 0..12 {
        let by = |n: usize| store.verdict(&format!("v-{batch}-{n}")).unwrap().unwrap().policy;
        let all: BTreeSet<Option<String>> = (0..100).map(by).collect();
        assert_eq!(all.len(), 1, "batch {batch}: {all:?}");
        policies.extend(all);
    }
    assert!(policies.len() > 2, "the policy was read again in between: {policies:?}");
}

/// A process that acts by this rule, where a list for devices is written.
fn acting_by(dir: &Path, rule: &str) -> Acting {
    let pack = format!("version: 1\nrules:\n  - id: it\n{rule}    response: block\n    ttl: 1h\n");
    std::fs::write(dir.join("policy.yaml"), pack).unwrap();
    let text = format!(
        "[policy]\npath = \"{0}/policy.yaml\"\n[[mitigation.feed]]\npath = \"{0}/feed\"\n",
        dir.display()
    );
    std::fs::write(dir.join("c.toml"), text).unwrap();
    let config = crate::config::load(Some(&dir.join("c.toml"))).unwrap();
    Acting::new(&config, None, &HashKey::from_bytes([7; 16]), clock::now(), &[], true).unwrap()
}

/// A convicted client of the first campaign of the fixture.
fn convicted(ip: &str) -> VerdictRow {
    let subject = Subject { kind: SubjectKind::Ip, value: ip.to_owned(), parts: Vec::new() };
    let v = crate::report::fixture::run().verdicts.remove(0);
    VerdictRow {
        id: format!("v-{ip}"),
        subject,
        client_ip: ip.parse().ok(),
        client_ips: ip.parse().into_iter().collect(),
        intent: "malicious".to_owned(),
        score: 99,
        campaign: Some("c1".to_owned()),
        prints: vec!["d1-tool".to_owned()],
        measures: None,
        ..v
    }
}

/// By what a verdict's tool does at its campaign's endpoints it is told that it is the tool that acts there: so in a simulation, and so live.
#[test]
fn a_live_watch_names_whom_a_simulation_names() {
    use sidetap_policy::{Behind, LineReader, TrafficBuilder};

    let dir = tempfile::tempdir().unwrap();
    let rule = "    when: intent == \"malicious\"\n    subjects: [fingerprint]\n";
    let traffic = || {
        let mut builder = TrafficBuilder::default();
        let mut add = |ip: &str, path: &str, print: &str, behind, requests| {
            let cell = json!({"z": convicted(ip).zone, "i": ip, "h": "shop.example", "m": "GET", "p": path, "a": "x", "f": [print]});
            let seen = LineReader::default().cell(&cell.to_string()).unwrap();
            builder.add(seen, behind, None, requests, Ts(1));
        };
        add("203.0.113.1", "/stock", "d1-tool", Behind::Malicious, 40);
        // With another head he asks for a page before.
        add("203.0.113.1", "/", "d1-page", Behind::Malicious, 35);
        add("198.51.100.1", "/stock", "d1-honest", Behind::Good, 400);
        builder.build()
    };
    let mut campaign = crate::report::fixture::run().campaigns.remove(0);
    (campaign.id, campaign.endpoints) = ("c1".to_owned(), vec!["GET shop.example/stock".to_owned()]);
    let (row, members) = (campaign.clone(), campaign.members.len() as u64);
    let live = |campaigns: Vec<sidetap_model::rows::CampaignGist>| {
        let mut acting = acting_by(dir.path(), rule);
        acting.known.traffic = Some(traffic());
        let mut changed = Vec::new();
        acting.take_in(Batch::Said { verdicts: vec![convicted("203.0.113.1")], campaigns }, &mut changed);
        acting.decide(changed)
    };
    let mut simulated = [convicted("203.0.113.1")];
    let acting = acting_by(dir.path(), rule);
    let known = Known { traffic: Some(traffic()), ..Known::default() };
    acting.policies.set().apply_in(&mut simulated, &[campaign], &known);
    let told = live(vec![sidetap_model::rows::CampaignGist { row, members }]);
    let of = |v: &VerdictRow| (v.response.clone(), v.policy.clone(), v.measures.clone());
    assert_eq!(of(&told[0]), of(&simulated[0]));
    let whom: Vec<&str> =
        told[0].measures.iter().flat_map(|m| &m.subjects).map(|s| s.value.as_str()).collect();
    assert_eq!((told[0].response.as_str(), whom), ("block", vec!["d1-tool"]));
    assert_ne!(live(Vec::new())[0].response, "block", "of what the tool does there nothing is known");
}

/// A condition over a campaign's size holds for those who came first too, once it has grown; who is acted against stays so.
#[test]
fn who_came_first_is_decided_by_what_his_campaign_came_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut acting = acting_by(dir.path(), "    when: campaign_size >= 3\n");
    let mut row = crate::report::fixture::run().campaigns.remove(0);
    row.id = "c1".to_owned();
    let mut hear = |ip: &str, members: u64| {
        let campaigns = vec![sidetap_model::rows::CampaignGist { row: row.clone(), members }];
        let mut changed = Vec::new();
        acting.take_in(Batch::Said { verdicts: vec![convicted(ip)], campaigns }, &mut changed);
        acting.decide(changed);
        let grown = acting.judge_grown();
        let blocked = acting.verdicts.values().filter(|v| v.response == "block").count();
        (grown.len(), blocked)
    };
    assert_eq!(hear("203.0.113.1", 1), (0, 0));
    assert_eq!(hear("203.0.113.2", 2), (0, 0));
    assert_eq!(hear("203.0.113.3", 3), (2, 3), "those of before too");
    assert_eq!(hear("203.0.113.3", 3), (0, 3), "once");
    assert_eq!(hear("203.0.113.1", 2), (0, 3), "nobody is let go");
}

/// However much is remembered, a batch costs what it brings: the rest is not gone through.
#[test]
fn a_batch_looks_at_those_alone_whose_campaigns_it_speaks_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut acting = acting_by(dir.path(), "    when: campaign_size >= 3\n");
    let model = crate::report::fixture::run().campaigns.remove(0);
    let gist = |n: u64, members: u64| {
        let row = sidetap_model::rows::CampaignRow { id: format!("c{n}"), ..model.clone() };
        sidetap_model::rows::CampaignGist { row, members }
    };
    let one = convicted("203.0.113.1");
    let v = |n: u64, campaign: u64| VerdictRow {
        id: format!("v-{n}"),
        campaign: Some(format!("c{campaign}")),
        response: "none".to_owned(),
        ..one.clone()
    };
    let many = 400;
    acting.verdicts.extend((0..many).map(|n| v(n, n)));
    let mut take_in = |verdicts: Vec<VerdictRow>, campaigns: Vec<sidetap_model::rows::CampaignGist>| {
        let mut changed = Vec::new();
        acting.take_in(Batch::Said { verdicts, campaigns }, &mut changed);
        acting.decide(changed);
        let grown = acting.judge_grown().len();
        (grown, acting.verdicts.take_seen(), acting.heard.all().len())
    };
    let (_, seen, known) = take_in(Vec::new(), (0..many).map(|n| gist(n, 1)).collect());
    assert_eq!((seen, known), (400, 400));
    assert_eq!(take_in(vec![v(many, 7)], vec![gist(7, 3)]), (1, 2, 400), "he came first, and is blocked now");
    // His campaign became part of another, and nobody speaks of it any more.
    assert_eq!(take_in(vec![v(8, 7)], vec![gist(7, 4)]).1, 3);
    assert!(acting.heard.all().get("c8").is_none() && acting.heard.all().get("c9").is_some());
    assert_eq!(acting.heard.all().len(), 399);
}

/// What campaigns come to is asked where something rests on it: a device, somebody who is told, a store, or rules of one's own.
#[test]
fn campaigns_are_asked_for_where_something_rests_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let pack =
        "version: 1\nrules:\n  - id: it\n    when: campaign_size >= 3\n    response: block\n    ttl: 1h\n";
    std::fs::write(dir.path().join("policy.yaml"), pack).unwrap();
    let asked = |text: &str, store: bool| {
        let file = dir.path().join("c.toml");
        std::fs::write(&file, text.replace("DIR", &dir.path().display().to_string())).unwrap();
        let config = crate::config::load(Some(&file)).unwrap();
        let store = store.then(|| dir.path().join("s.db"));
        let key = HashKey::from_bytes([7; 16]);
        let acting = Acting::new(&config, store.as_deref(), &key, clock::now(), &[], false).unwrap();
        Actors::Here(Box::new(acting)).ask_campaigns()
    };
    assert!(!asked("", false));
    assert!(asked("", true));
    assert!(asked("[policy]\npath = \"DIR/policy.yaml\"\n", false));
}
