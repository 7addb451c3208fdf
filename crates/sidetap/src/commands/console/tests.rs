use sidetap_model::Ts;

use super::*;

/// A console over a store with the fixture's verdicts, a feed in a file, and this rule.
fn place(rule: &str) -> (tempfile::TempDir, Commands, Store) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let config = format!(
        "[analysis]\nhash_key = {:?}\n[policy]\npath = {:?}\n[[mitigation.feed]]\npath = {:?}\n",
        at("key"),
        at("p.yaml"),
        at("feed.json")
    );
    std::fs::write(at("p.yaml"), rule).unwrap();
    let config = crate::config::parse(Path::new("x"), &config).unwrap();
    let mut run = crate::report::fixture::run();
    run.verdicts.truncate(1);
    let v = run.verdicts.first_mut().unwrap();
    v.intent = "malicious".into();
    (v.subject.value, v.client_ip, v.client_ips) = ("203.0.113.7".into(), None, Vec::new());
    let mut store = Store::open(&at("s.db")).unwrap();
    store.save_run(&run, Ts(1)).unwrap();
    let commands = Commands::new(&config, &at("s.db"), Devices::Reached).unwrap();
    (dir, commands, store)
}

fn rule(response: &str, mode: &str) -> String {
    format!(
        "version: 1\nrules:\n  - id: it\n    when: intent == \"malicious\"\n    response: {response}\n    ttl: 1h\n{mode}"
    )
}

fn forced() -> Order {
    Order { force: true, dry_run: false, by: "ada".into() }
}

fn added(report: &Value) -> u64 {
    report["connectors"][0]["added"].as_u64().unwrap()
}

#[test]
fn a_push_goes_by_the_present_rules_and_waits_for_approval() {
    let (dir, commands, mut store) = place(&rule("alert", ""));
    let save = |text: &str| std::fs::write(dir.path().join("p.yaml"), text).unwrap();
    let planned = |store: &mut Store| {
        let plan = commands.plan(store, true).unwrap();
        plan["connectors"][0]["add"].as_array().unwrap().len()
    };
    assert_eq!(planned(&mut store), 0, "the rule only alerts, whatever was stored");
    assert_eq!(added(&commands.push(&mut store, &forced()).unwrap()), 0);
    save(&rule("block", "    mode: approve\n"));
    assert_eq!(planned(&mut store), 0);
    assert!(store.approvals(clock::now()).unwrap().is_empty(), "a plan asks nobody");
    let report = commands.push(&mut store, &forced()).unwrap();
    assert_eq!(added(&report), 0);
    assert!(report["held"][0]["why"].as_str().unwrap().contains("waits for approval"), "{report}");
    let asked = store.approvals(clock::now()).unwrap();
    assert_eq!(asked.len(), 1);
    let decision = Decision { id: asked[0].id as u64, approve: true, note: None, by: "bob".into() };
    commands.decide(&mut store, &decision).unwrap();
    assert_eq!(added(&commands.push(&mut store, &forced()).unwrap()), 1);
    let undone = commands.undo(&mut store, &forced(), &Undo::Policy("it".into())).unwrap();
    assert_eq!(undone["undone"][0]["connectors"][0]["removed"], 1, "{undone}");
}

#[test]
fn nobody_is_asked_about_what_was_taken_back_until_it_may_be_pushed_again() {
    let (_dir, commands, mut store) = place(&rule("block", ""));
    let pending = |store: &Store| -> Vec<Approval> {
        store.approvals(clock::now()).unwrap().into_iter().filter(|a| a.state == "pending").collect()
    };
    let redo = || {
        let mut config = commands.config.clone();
        enforcer(&mut config, &commands.source).unwrap().redo(&sidetap_mitigation::Selector::All).unwrap();
    };
    assert_eq!(added(&commands.push(&mut store, &forced()).unwrap()), 1);
    commands.undo(&mut store, &forced(), &Undo::All).unwrap();
    commands.set_mode(&mut store, "feed", Some("approve")).unwrap();
    let report = commands.push(&mut store, &forced()).unwrap();
    assert_eq!(pending(&store), [], "it was taken back: {report}");
    redo();
    commands.push(&mut store, &forced()).unwrap();
    let asked = pending(&store);
    assert_eq!(asked.len(), 1);
    // What waits when it is taken back waits in vain.
    commands.undo(&mut store, &forced(), &Undo::Verdict(asked[0].verdict.clone())).unwrap();
    let yes = Decision { id: asked[0].id as u64, approve: true, note: None, by: "bob".into() };
    assert!(
        matches!(commands.decide(&mut store, &yes), Err(Refused::Conflict(why)) if why.contains("taken back"))
    );
    redo();
    commands.push(&mut store, &forced()).unwrap();
    let all = Decisions { which: Which::All, approve: true, by: "bob".into() };
    assert_eq!(commands.decide_all(&mut store, &all).unwrap(), json!({ "decided": 1, "taken_back": 0 }));
    assert_eq!(added(&commands.push(&mut store, &forced()).unwrap()), 1);
}

/// Two runs with 2,100 verdicts, of which 600 are in both and every third one is malicious.
fn fill(store: &mut Store) {
    for (name, range) in [("a.pcap", 0..1_300), ("b.pcap", 700..2_100)] {
        let mut run = crate::report::fixture::run();
        run.summary.inputs.iter_mut().for_each(|i| i.path = name.to_owned());
        let like = run.verdicts.remove(0);
        run.verdicts = range
            .map(|n: u32| {
                let mut v = VerdictRow { id: format!("v-{:x}", n.wrapping_mul(0x9e37_79b9)), ..like.clone() };
                v.subject.value = format!("198.51.{}.{}", n / 250, n % 250);
                v.intent = if n.is_multiple_of(3) { "malicious" } else { "automated" }.to_owned();
                v
            })
            .collect();
        store.save_run(&run, Ts(2)).unwrap();
    }
}

#[test]
fn what_is_wanted_in_parts_is_what_all_verdicts_at_once_want() {
    let near = "    subjects: [verdict, prefix]\n    prefix: {members: 3}\n";
    let (_dir, commands, mut store) = place(&rule("block", near));
    fill(&mut store);
    let rules = commands.rules(&store).unwrap();
    let (parts, _) = commands.wanted(&rules, &mut store, false).unwrap();
    let mut run = store.load().unwrap();
    let known = crate::commands::policy::known_of(&run, "", Some(store.path()), 86_400);
    rules.apply(&mut run, &known);
    let at_once = crate::commands::mitigation::desired_of(&run.verdicts, &rules, &commands.config).unwrap();
    assert_eq!((parts.wants.len(), parts.wants == at_once.wants), (701, true));
    assert_eq!(parts.allow, at_once.allow);

    let ids = |of: &dyn Fn(&VerdictRow) -> bool| -> Vec<String> {
        run.verdicts.iter().filter(|v| of(v)).map(|v| v.id.clone()).collect()
    };
    let selected = |campaign: Option<&str>, policy: Option<&str>| -> Vec<String> {
        let found = crate::commands::mitigation::Found::Store(&store);
        let ids = crate::commands::mitigation::selected(found, &rules, &commands.config, campaign, policy);
        ids.unwrap().into_iter().collect()
    };
    assert_eq!(selected(None, Some("it")), ids(&|v| v.policy.as_deref() == Some("it")));
    assert_eq!(selected(Some("c1"), None), ids(&|v| v.campaign.as_deref() == Some("c1")));
    assert_eq!(selected(None, Some("none")), [""; 0]);
}

#[test]
fn accounts_are_those_of_all_stored_requests_of_the_members() {
    let (_dir, commands, mut store) = place(&rule("block", ""));
    let campaign = store.load().unwrap().campaigns.into_iter().find(|c| c.id == "c1").unwrap();
    let run = store.runs_of_campaign("c1").unwrap().remove(0);
    let cell = |ip: &str, account: &str, requests: u64, at: Ts| {
        sidetap_store::CellRow {
        hour: Ts(0),
        cell: json!({ "z": "default", "i": ip, "h": "shop.example", "m": "POST", "p": "/login", "a": "", "u": account }).to_string(),
        requests,
        first: at,
        last: at,
    }
    };
    let (at, after) = (campaign.first_seen, campaign.last_seen.plus(1));
    let mut cells: Vec<_> = (0..300).map(|n| cell("203.0.113.7", &format!("#{n:016x}"), 5, at)).collect();
    cells.push(cell("198.51.100.200", "#someone-else", 5, at));
    cells.push(cell("203.0.113.7", "#later", 5, after));
    store.add_cells(&run, &cells).unwrap();
    let named = commands.accounts_named(&store, &campaign).unwrap();
    assert_eq!((named.accounts.len(), named.requests), (300, 1_500));
    assert!(named.accounts.contains("#0000000000000007") && !named.accounts.contains("#someone-else"));
    assert_eq!(campaign.requests, 2_000, "so it is known that some are missing");
}

#[test]
fn a_simulation_in_parts_says_what_all_verdicts_at_once_say() {
    let (_dir, commands, mut store) = place(&rule("block", ""));
    fill(&mut store);
    let other = rule("tarpit", "");
    let said = commands.simulate(&store, Some(&other), 200).unwrap();
    let mut run = store.load().unwrap();
    let known = crate::commands::policy::known_of(&run, "", Some(store.path()), 86_400);
    let mut was = run.clone();
    commands.rules(&store).unwrap().apply(&mut was, &known);
    let asked = PolicySet::parse(&other, "policy").unwrap();
    policies_of(asked, &commands.config).unwrap().hashed(&commands.key).apply(&mut run, &known);
    let mut at_once = simulate::Decided::default();
    was.verdicts.iter().zip(&run.verdicts).for_each(|(was, is)| at_once.take(was, is, 200));
    let at_once = at_once.answer();
    for (name, value) in at_once.as_object().unwrap() {
        assert_eq!(&said[name], value, "{name}");
    }
    let total = said["changed_total"].as_u64().unwrap();
    assert!(total >= 700 && said["changed"].as_array().unwrap().len() == 200, "{said}");
    let all = commands.simulate(&store, Some(&other), 100_000).unwrap();
    assert_eq!(all["changed"].as_array().unwrap().len() as u64, total);
}

#[test]
fn the_kill_switch_is_seen_and_let_go() {
    let (dir, commands, mut store) = place(&rule("block", ""));
    assert_eq!(commands.killed(&store).unwrap(), None);
    commands.kill_switch(&mut store, true, "ada").unwrap();
    assert!(commands.killed(&store).unwrap().unwrap().contains("ada"));
    assert!(matches!(commands.push(&mut store, &forced()), Err(Refused::Conflict(_))));
    commands.kill_switch(&mut store, false, "ada").unwrap();
    assert_eq!(commands.killed(&store).unwrap(), None);
    std::fs::write(dir.path().join("s.db.mitigation.json.stop"), "by hand\n").unwrap();
    assert!(commands.killed(&store).unwrap().unwrap().contains("by hand"));
    commands.kill_switch(&mut store, false, "ada").unwrap();
    assert_eq!(added(&commands.push(&mut store, &forced()).unwrap()), 1);
}

#[test]
fn what_is_allowed_is_kept_as_outputs_spell_it_and_is_let_alone() {
    let (_dir, commands, mut store) = place(&rule("block", ""));
    let spelled = commands.allow_value("api-key", "sk_live_0123456789abcdef").unwrap();
    assert!(spelled.starts_with("sk_liv…#"), "{spelled}");
    assert_eq!(commands.allow_value("api-key", &spelled).unwrap(), spelled, "once");
    assert_eq!(commands.allow_value("account", " Ada@Example.test").unwrap().len(), 17);
    assert_eq!(commands.allow_value("cidr", "203.0.113.9/24").unwrap(), "203.0.113.9/24");
    assert!(matches!(commands.allow_value("ip", "203.0.113.0/24"), Err(Refused::Bad { .. })));
    assert!(matches!(commands.allow_value("cidr", "everyone"), Err(Refused::Bad { .. })));
    let mut run = store.load().unwrap();
    let v = run.verdicts.first_mut().unwrap();
    (v.subject.kind, v.subject.value) = (sidetap_model::SubjectKind::ApiKey, spelled);
    store.save_run(&run, Ts(2)).unwrap();
    // As somebody's earlier store has it, raw.
    let row = sidetap_store::AllowedRow {
        id: 0,
        kind: "api-key".into(),
        value: "sk_live_0123456789abcdef".into(),
        reason: "ours".into(),
        by: "ada".into(),
        at: Ts(1),
        expires_at: None,
    };
    let blocked = |store: &Store| {
        commands.simulate(store, None, 0).unwrap()["responses"]["block"]["verdicts"].as_u64().unwrap_or(0)
    };
    let before = blocked(&store);
    store.allow(&row).unwrap();
    assert_eq!(blocked(&store), before - 1);
}

#[test]
fn a_console_beside_a_watch_has_done_by_another_process_what_it_may_not_do() {
    let (dir, commands, mut store) = place(&rule("block", ""));
    let at = |name: &str| dir.path().join(name);
    let listed = || std::fs::read_to_string(at("feed.json")).is_ok_and(|text| text.contains("203.0.113.7"));
    let beside = Commands::new(&commands.config, &at("s.db"), Devices::Beside("r1".into())).unwrap();
    let key = || commands.key.clone();
    let tries = Orders::start(&commands.config, (&at("s.db"), "r1"), &key(), Mode::DryRun).unwrap();
    let refused = beside.push(&mut store, &forced());
    assert!(matches!(&refused, Err(Refused::NotAvailable(why)) if why.contains("--enforce")), "{refused:?}");
    let plan = beside.plan(&mut store, true).unwrap();
    assert_eq!(plan["connectors"][0]["add"].as_array().unwrap().len(), 1, "{plan}");
    tries.end();
    let acts = Orders::start(&commands.config, (&at("s.db"), "r1"), &key(), Mode::Enforce).unwrap();
    assert_eq!(added(&beside.push(&mut store, &forced()).unwrap()), 1);
    assert!(listed());
    assert_eq!(beside.test_device(&mut store, "feed").unwrap()["entries"], 1);
    assert!(matches!(beside.test_device(&mut store, "nosuch"), Err(Refused::NotFound(_))));
    let card = beside.devices(&mut store).unwrap();
    let of = |name: &str| card["devices"][0][name].clone();
    assert_eq!((of("ok"), of("entries"), &card["mode"]), (json!(true), json!(1), &json!("watch")), "{card}");
    let dry = Order { dry_run: true, ..forced() };
    assert_eq!(
        beside.undo(&mut store, &dry, &Undo::All).unwrap()["undone"][0]["connectors"][0]["removed"],
        1
    );
    assert!(listed(), "it was only asked what would go");
    beside.undo(&mut store, &forced(), &Undo::All).unwrap();
    assert!(!listed());
    assert_eq!(added(&beside.push(&mut store, &forced()).unwrap()), 0, "it was taken back");
    beside.redo(&mut store, &Undo::All, "ada").unwrap();
    assert_eq!(added(&beside.push(&mut store, &forced()).unwrap()), 1);
    // The kill switch takes off what is there, and nothing more once it is released.
    beside.kill_switch(&mut store, true, "ada").unwrap();
    beside.empty(&mut store, "ada").unwrap();
    assert!(!listed());
    beside.kill_switch(&mut store, false, "ada").unwrap();
    assert_eq!(added(&beside.push(&mut store, &forced()).unwrap()), 1);
    beside.empty(&mut store, "ada").unwrap();
    assert!(listed(), "it was released meanwhile");
    // A file of the switch that is out of reach is removed by the other process, but for one that was put there since.
    let before = clock::now();
    std::fs::write(at("s.db.mitigation.json.stop"), "by hand\n").unwrap();
    assert!(matches!(beside.release(&mut store, before), Err(Refused::Conflict(_))));
    assert!(beside.killed(&store).unwrap().unwrap().contains("by hand"));
    beside.release(&mut store, clock::now().plus(1_000_000_000)).unwrap();
    assert_eq!(beside.killed(&store).unwrap(), None);
    let version = beside.policies(&store).unwrap()["version"].as_u64().unwrap();
    let save = PolicySave { text: rule("alert", ""), comment: "less".into(), version, by: "ada".into() };
    beside.save_policy(&mut store, &save).unwrap();
    assert_eq!(std::fs::read_to_string(at("p.yaml")).unwrap(), save.text);
    assert!(matches!(beside.save_policy(&mut store, &save), Err(Refused::Conflict(_))), "of an old version");
    acts.end();
}

/// Each entry hits few of the good requests that are stored, all together more than they may: the push is held, and says why; what lets go
/// is not held.
#[test]
fn entries_that_together_hit_too_many_good_requests_are_held() {
    let pack = |n: u8| {
        let rule = |n: u8| {
            format!(
                "  - id: a{n}\n    match: {{address: 198.51.100.{n}}}\n    response: block\n    ttl: 1h\n"
            )
        };
        format!("version: 1\nrequests:\n{}", (1..=n).map(rule).collect::<String>())
    };
    let (dir, commands, mut store) = place(&pack(5));
    let before = |s: i64| clock::now().plus(s * -1_000_000_000);
    let cell = |n: u8, requests: u64| {
        let cell = format!(
            r#"{{"z":"default","i":"198.51.100.{n}","h":"shop.example","m":"GET","p":"/","a":"x","f":[],"s":[],"u":null,"k":null,"c":null,"n":null}}"#
        );
        let (first, last) = (before(300), before(200));
        let hour = Ts(first.0 - first.0.rem_euclid(3_600_000_000_000));
        sidetap_store::CellRow { hour, cell, requests, first, last }
    };
    // Of 100,000 good requests each of the six has 18: 0.018 %, of which 0.02 % may be hit by one entry and 0.1 % by all.
    let cells: Vec<_> = (1..=6).map(|n| cell(n, 18)).chain([cell(200, 100_000 - 6 * 18)]).collect();
    store.add_cells("live", &cells).unwrap();
    let order = || Order { force: false, ..forced() };
    let report = commands.push(&mut store, &order()).unwrap();
    assert_eq!((&report["connectors"][0]["outcome"], added(&report)), (&json!("done"), 5), "{report}");
    std::fs::write(dir.path().join("p.yaml"), pack(6)).unwrap();
    let report = commands.push(&mut store, &order()).unwrap();
    let told = &report["connectors"][0];
    assert_eq!(told["outcome"], "held", "{report}");
    let why = "108 of 100000 recent good requests would be hit (0.11 %), more than max_good_share_total";
    assert!(told["answer"].as_str().unwrap().contains(why), "{told}");
    let listed = |n: u8| {
        let feed = std::fs::read_to_string(dir.path().join("feed.json")).unwrap();
        feed.contains(&format!("\"198.51.100.{n}\"")) || feed.contains(&format!("\"198.51.100.{n}/32\""))
    };
    assert!(listed(5) && !listed(6), "who was there stays, and nobody comes");
    let audit = store.actions(20, 0).unwrap();
    let refused = audit.iter().find(|a| a.outcome == "refused").expect("the audit says so");
    assert!(refused.answer.contains(why), "{refused:?}");
    // With a rule less it goes on; and by force it does whatever it hits.
    std::fs::write(dir.path().join("p.yaml"), pack(6).replace("198.51.100.5}", "192.0.2.5}")).unwrap();
    assert_eq!(commands.push(&mut store, &order()).unwrap()["connectors"][0]["outcome"], "done");
    assert!(listed(6) && !listed(5));
    std::fs::write(dir.path().join("p.yaml"), pack(6)).unwrap();
    assert_eq!(commands.push(&mut store, &forced()).unwrap()["connectors"][0]["outcome"], "done");
}

#[test]
fn rules_over_requests_are_listed_and_counted_and_the_configuration_is_told() {
    let requests = "requests:\n  - id: s-1\n    description: Of a campaign.\n    match: {method: POST, path: /login}\n    response: rate-limit\n    rate: 5/1m\n    ttl: 1h\n";
    let text = format!("{}{requests}", rule("block", ""));
    let (dir, commands, store) = place(&text);
    let told = commands.policies(&store).unwrap();
    let rules = told["rules"].as_array().unwrap();
    let of = |n: usize, name: &str| rules[n][name].clone();
    assert_eq!((rules.len(), of(0, "over"), of(1, "over")), (2, json!("verdicts"), json!("requests")));
    assert_eq!(
        (of(1, "id"), of(1, "priority"), of(1, "response")),
        (json!("s-1"), Value::Null, json!("rate-limit"))
    );
    assert!(of(1, "when").as_str().unwrap().contains("/login"), "{}", rules[1]);
    assert_eq!(commands.check_policy(&text).unwrap()["rules"], 2);
    assert_eq!(commands.configuration(), None, "no file was read");
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "[analysis]\nworkers = 2 # more\n[[partners]]\nname = \"p\"\nkeys = [\"raw\"]\n")
        .unwrap();
    let config = crate::config::load(Some(&file)).unwrap();
    let config = Config { analysis: commands.config.analysis.clone(), ..config };
    let commands = Commands::new(&config, &dir.path().join("s.db"), Devices::Reached).unwrap();
    let said = commands.configuration().unwrap();
    assert_eq!(said, "[analysis]\nworkers = 2\n[[partners]]\nname = \"p\"\nkeys = [\"•••\"]\n");
}
