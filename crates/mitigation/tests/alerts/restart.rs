//! What outlasts a restart of the watch.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use sidetap_mitigation::alert::{AlertConfig, Alerter, Forgotten, Gather, Kept};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{HashKey, Mode};

use crate::support::{serve, until};
use crate::{NOON, at, gather, of};

const KEY: HashKey = HashKey::from_bytes([7; 16]);

#[test]
fn a_restart_tells_nobody_twice_and_spends_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let shared = Arc::clone(&heard);
    let at = serve(move |r| {
        shared.lock().unwrap().push(r.json()["text"].as_str().unwrap().to_owned());
        (200, "{}".into())
    });
    let text =
        format!("budget_per_day = 2\n[[sink]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"http://{at}/\"\n");
    let config: AlertConfig = toml::from_str(&text).unwrap();
    let ledger = dir.path().join("ledger.json");
    let told = |verdicts: &[VerdictRow]| {
        let mut alerter =
            Alerter::start_with(&config, Arc::new(|| NOON), Some(&ledger), Some(&KEY)).unwrap().unwrap();
        alerter.hear(verdicts);
        assert!(alerter.end().is_empty());
        std::mem::take(&mut *heard.lock().unwrap())
    };
    let first = of("v1", "203.0.113.1", Some("c1"), 80);
    assert_eq!(told(std::slice::from_ref(&first)).len(), 1);
    assert_eq!(told(std::slice::from_ref(&first)), [""; 0], "told before the restart");
    assert_eq!(told(&[first.clone(), of("v2", "203.0.113.2", Some("c2"), 80)]).len(), 1);
    let over = told(&[of("v3", "203.0.113.3", Some("c3"), 80)]);
    assert!(
        over[0].contains("budget of 2 alerts is spent") && over[1].contains("over the day's budget"),
        "{over:?}"
    );
    let worse = told(&[of("v1", "203.0.113.1", Some("c1"), 95)]);
    assert!(worse.len() == 1 && worse[0].contains("over the day's budget"), "the budget is spent: {worse:?}");
    let file = std::fs::read_to_string(dir.path().join("ledger.json.alerts")).unwrap();
    assert!(file.contains("c1") && !file.contains("203.0.113"), "{file}");
    // A file that cannot be read stops nobody.
    std::fs::write(dir.path().join("ledger.json.alerts"), "{").unwrap();
    assert_eq!(told(&[first]).len(), 1);
}

/// One with these settings that goes on where another left off, by way of the file; `waiting` reached nobody yet.
fn restarted(text: &str, g: &mut Gather, waiting: &[(&str, i64)]) -> Gather {
    let kept = g.keep(&waiting.iter().copied().collect(), NOON + 60, false).unwrap();
    let file = serde_json::to_string(&kept).unwrap();
    assert!(!file.contains("203.0.113"), "{file}");
    let mut next = gather(text).hashed(&KEY);
    next.take_up(serde_json::from_str(&file).unwrap());
    next
}

#[test]
fn after_a_restart_one_client_is_one_alert_still() {
    let mut g = gather("").hashed(&KEY);
    assert_eq!(g.hear(&[at("v1", "203.0.113.1", None, None)], NOON).len(), 1);
    let mut g = restarted("", &mut g, &[]);
    for (n, campaign) in [(1, None), (2, Some("c1")), (3, None)] {
        let v = at(&format!("v1{n}"), "203.0.113.1", Some(n), campaign);
        assert_eq!(g.hear(&[v], NOON + 60), [], "he changes his agents");
    }
    let elsewhere = VerdictRow { zone: "branch".into(), ..at("v2", "203.0.113.1", Some(1), None) };
    assert_eq!(g.hear(&[elsewhere], NOON + 60).len(), 1, "the same address of another zone");
    let other = VerdictRow { class: Some("sqli".into()), ..at("v3", "203.0.113.1", Some(1), None) };
    assert_eq!(g.hear(&[other], NOON + 60).len(), 1, "for something else");
    assert_eq!(g.hear(&[at("v4", "203.0.113.2", None, None)], NOON + 60).len(), 1, "somebody else");
    // Whose group several are in is nobody's own after a restart either.
    g.hear(&[VerdictRow { client_ip: None, ..at("v4", "203.0.113.2", None, None) }], NOON + 61);
    let mut g = restarted("", &mut g, &[]);
    assert_eq!(g.hear(&[at("v5", "203.0.113.2", Some(1), None)], NOON + 62).len(), 1);
}

#[test]
fn after_a_restart_the_strongest_response_and_what_was_asked_for_are_known() {
    let in_mode = |response: &str, score, mode| VerdictRow {
        response: response.into(),
        measures: Some(Box::new(sidetap_model::Measures { mode, ..Default::default() })),
        ..of("v1", "203.0.113.1", Some("c1"), score)
    };
    let mut g = gather("");
    for v in [
        in_mode("block", 80, None),
        in_mode("tarpit", 80, Some(Mode::Approve)),
        in_mode("rate-limit", 85, None),
    ] {
        g.hear(&[v], NOON);
    }
    let mut g = restarted("", &mut g, &[]);
    let again = [in_mode("block", 80, None), in_mode("block", 80, Some(Mode::Approve))];
    assert_eq!(g.hear(&again, NOON + 60), [], "it was blocked, and asked for, before");
}

#[test]
fn what_reached_nobody_before_a_restart_is_told_and_spent_once() {
    let one = "budget_per_day = 1\n";
    let mut g = gather(one);
    assert_eq!(g.hear(&[of("v1", "203.0.113.1", Some("c1"), 80)], NOON).len(), 1);
    assert_eq!(g.hear(&[of("v2", "203.0.113.2", Some("c2"), 80)], NOON + 1)[0].group, "budget");
    let waiting = [("c1", NOON), ("budget", NOON + 1)];
    let mut g = restarted(one, &mut g, &waiting);
    let told = g.hear(&[], NOON + 60);
    assert_eq!((told.len(), told[0].group.as_str(), told[0].members), (1, "c1", 1), "{told:?}");
    assert!(told[0].text.contains("1 since before a restart"), "{told:?}");
    assert_eq!(g.hear(&[of("v1", "203.0.113.1", Some("c1"), 80)], NOON + 61), [], "it is told once");
    let third = g.hear(&[of("v3", "203.0.113.3", Some("c3"), 80)], NOON + 62);
    assert_eq!((third.len(), third[0].group.as_str()), (1, "budget"), "nobody heard of that either");
    // A digest that reached nobody is told whole, by what it was over.
    let digest = g.digest(NOON + 3_600, true).unwrap();
    let mut g = restarted(one, &mut g, &[("digest", NOON + 3_600)]);
    assert_eq!(g.digest(NOON + 3_700, true).map(|d| (d.title, d.text)), Some((digest.title, digest.text)));
    let mut g = restarted(one, &mut g, &[]);
    assert_eq!(g.digest(NOON + 3_800, true), None);
}

#[test]
fn what_is_told_when_the_sink_is_back_is_owed_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (is_up, heard): (Arc<AtomicBool>, Arc<AtomicUsize>) = (Arc::default(), Arc::default());
    let (up, count) = (Arc::clone(&is_up), Arc::clone(&heard));
    let at = serve(move |_| match up.load(Relaxed) {
        true => {
            count.fetch_add(1, Relaxed);
            (200, "{}".into())
        }
        false => (500, "{}".into()),
    });
    let text = format!("[[sink]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"http://{at}/\"\n");
    let config: AlertConfig = toml::from_str(&text).unwrap();
    let ledger = dir.path().join("ledger.json");
    let start =
        || Alerter::start_with(&config, Arc::new(|| NOON), Some(&ledger), Some(&KEY)).unwrap().unwrap();
    let mut alerter = start();
    alerter.hear(&[of("v1", "203.0.113.1", Some("c1"), 80)]);
    let file = dir.path().join("ledger.json.alerts");
    until("it is kept as owed", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"is_owed\":true"))
    });
    is_up.store(true, Relaxed);
    assert!(alerter.end().is_empty());
    assert_eq!(heard.load(Relaxed), 1);
    let mut alerter = start();
    alerter.hear(&[]);
    assert!(alerter.end().is_empty());
    assert_eq!(heard.load(Relaxed), 1, "told twice");
}

#[test]
fn who_was_silent_for_a_day_is_one_client_still_and_his_hash_is_kept_no_longer() {
    let day = 86_400;
    let mut g = gather("").hashed(&KEY);
    assert_eq!(g.hear(&[at("v1", "203.0.113.1", None, None)], NOON).len(), 1);
    let none = std::collections::BTreeSet::new();
    let hashes = |kept: &Kept| {
        let file = serde_json::to_value(kept).unwrap();
        file["groups"]["v1"]["client"].is_u64() || file["clients"].as_object().is_some_and(|c| !c.is_empty())
    };
    assert!(hashes(&g.keep(&none, NOON + 60, false).unwrap()));
    assert_eq!(g.keep(&none, NOON + day - 60, false), None, "nothing is another");
    let kept = g.keep(&none, NOON + day + 3_600, false).expect("it is too old");
    assert!(!hashes(&kept), "{kept:?}");
    assert_eq!(g.keep(&none, NOON + day + 9_000, false), None);
    // After a restart on the next day he comes again, as who he was and with another agent.
    let mut next = gather("").hashed(&KEY);
    next.take_up(kept);
    let later = NOON + day + 9_000;
    assert_eq!(next.hear(&[at("v1", "203.0.113.1", None, None)], later).len(), 1, "it goes on a day later");
    assert_eq!(next.hear(&[at("v2", "203.0.113.1", Some(1), None)], later + 1), [], "he is nobody else");
    assert_eq!(next.hear(&[at("v3", "203.0.113.2", Some(1), None)], later + 2).len(), 1, "somebody else is");
    // Of a file of long ago as well, with nobody heard of since.
    let kept = {
        let mut g = gather("").hashed(&KEY);
        g.hear(&[at("v1", "203.0.113.1", None, None)], NOON);
        g.keep(&none, NOON, false).unwrap()
    };
    let mut next = gather("").hashed(&KEY);
    next.take_up(kept);
    assert!(!hashes(&next.keep(&none, NOON + 30 * day, false).expect("it is too old")));
}

#[test]
fn what_there_is_no_room_for_is_told_again_and_counted() {
    let text = "budget_per_day = 1000000\n";
    let mut g = gather(text).hashed(&KEY);
    let one = |n: u32, score| {
        let [_, a, b, c] = n.to_be_bytes();
        of(&format!("v{n}"), &format!("10.{a}.{b}.{c}"), Some(&format!("c{n}")), score)
    };
    // The first waits for the digest, which nobody was told of yet.
    g.hear(&[one(0, 20)], NOON);
    for n in 1..10_000 {
        g.hear(&[one(n, 90)], NOON + 1);
    }
    assert_eq!(g.forgotten(), Forgotten::default());
    let kept = g.keep(&Default::default(), NOON + 2, false).unwrap();
    assert_eq!(kept.left_out(), 8_000);
    assert_eq!(g.hear(&[one(10_000, 90)], NOON + 2).len(), 1);
    assert_eq!(g.forgotten(), Forgotten { groups: 100, ..Forgotten::default() });
    assert_eq!(g.hear(&[one(1, 90)], NOON + 3).len(), 1, "it is told anew");
    assert_eq!(g.hear(&[one(5_000, 90)], NOON + 3), [], "known still");
    assert!(
        g.digest(NOON + 3_700, true).unwrap().text.contains("(c0)"),
        "what was not told is not forgotten"
    );
}
