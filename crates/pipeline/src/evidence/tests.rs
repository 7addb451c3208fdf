use super::*;
use crate::sample::names_of;

fn id(n: u32) -> Id {
    (FlowId(7), n)
}

fn ring() -> EvidenceRing {
    let sensitive = Arc::new(sidetap_sensitive::Pack::builtin().unwrap());
    let threats = Arc::new(sidetap_threats::Pack::builtin().unwrap());
    EvidenceRing::new(1 << 30, &sensitive, &threats, &HashKey::from_bytes([1; 16]))
}

fn recent(n: i64, head: Vec<u8>) -> Recent {
    Recent { ts: Ts(n), head, key: None, seen: None }
}

#[test]
fn what_is_named_in_time_is_kept_and_the_rest_goes() {
    let mut ring = ring();
    for n in 0..200 {
        ring.push(id(n), recent(i64::from(n), vec![b' '; 1 << 18]));
        if n == 1 {
            ring.keep_named("0000000000000007-1");
        }
    }
    ring.keep_named("0000000000000007-0");
    ring.keep_named("0000000000000007-0");
    assert_eq!((ring.take_missed(), ring.take_missed()), (1, 0));
    assert!(ring.recent_bytes <= ring.most_recent && ring.recent.len() == ring.order.len());
    assert_eq!(ring.kept.keys().copied().collect::<Vec<_>>(), [id(1)]);
}

#[test]
fn kept_lines_are_whole_documents() {
    let mut ring = ring();
    let head = br#"{"sidetap":{"endpoint":"#.to_vec();
    ring.push(id(3), Recent { key: Some(LookupKey::default()), ..recent(9, head) });
    ring.keep_first(id(3), 1);
    let kept = ring.take(&[], |_| Some("00ff".into()));
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].exchange["sidetap"]["endpoint"], "00ff");
    assert_eq!(kept[0].id, "0000000000000007-3");
}

fn verdict(ip: &str, campaign: &str) -> VerdictRow {
    serde_json::from_value(serde_json::json!({
        "id": ip, "zone": "default", "subject": {"kind": "ip", "value": ip}, "client_ip": null, "client_ips": [], "intent": "malicious",
        "class": null, "oat": [], "score": 90, "automation": 90, "coverage": {}, "campaign": campaign, "phase": "online",
        "first_seen": "2026-01-01T00:00:00Z", "detected_at": "2026-01-01T00:00:00Z", "requests": 1, "reasons": [], "response": "none", "ttl_s": 1
    }))
    .unwrap()
}

fn by(ip: &str, n: u32) -> Recent {
    let names = names_of(&sidetap_bots::Actors { ip: ip.to_owned(), ..Default::default() });
    let seen = Some(Box::new(Seen { raw: Raw::default(), names }));
    Recent { seen, ..recent(i64::from(n), br#"{"sidetap":{"endpoint":"#.to_vec()) }
}

#[test]
fn a_campaign_is_sampled_backwards_and_from_then_on() {
    let mut ring = ring();
    for n in 0..300 {
        ring.push(id(n), by(if n % 3 == 0 { "192.0.2.1" } else { "198.51.100.7" }, n));
    }
    ring.keep_verdicts(&[verdict("192.0.2.1", "c")]);
    for n in 300..600 {
        ring.push(id(n), by(if n % 3 == 0 { "192.0.2.1" } else { "198.51.100.7" }, n));
    }
    // Said again, nothing counts twice.
    ring.keep_verdicts(&[verdict("192.0.2.1", "c"), verdict("192.0.2.9", "c")]);
    let run = RunData::default();
    let samples = ring.samples(&run, &BTreeMap::new());
    assert_eq!((samples.len(), samples[0].thing.as_str(), samples[0].seen), (1, "campaign:c", 200));
    let kept: Vec<String> = ring.take(&samples, |_| None).into_iter().map(|e| e.id).collect();
    let mut chosen = samples[0].ids.clone();
    chosen.sort();
    let mut sorted = kept.clone();
    sorted.sort();
    assert_eq!((chosen.len(), &chosen), (48, &sorted), "what is kept is what was chosen");
    let late = kept.iter().filter(|i| i.rsplit('-').next().unwrap().parse::<u32>().unwrap() >= 300).count();
    assert!((12..=36).contains(&late), "{late} of 48 are of the second half");
}

fn shop() -> EndpointRef {
    EndpointRef::new(EndpointId(9), "shop.example", "GET", "/items/{id}")
}

/// A run with a finding that the endpoint is called, or with none.
fn run(findings: usize) -> RunData {
    let row = serde_json::json!({
        "id": "f", "kind": "conformance", "rule": "shadow-endpoint", "severity": "medium", "certainty": "observed", "owasp": [],
        "subject": {"endpoint": shop().id.to_string(), "host": "shop.example"}, "title": "", "detail": "", "evidence": [],
        "first_seen": Ts(0), "last_seen": Ts(1), "count": 1
    });
    let findings = vec![serde_json::from_value(row).unwrap(); findings];
    RunData { findings, ..RunData::default() }
}

fn called(ring: &mut EvidenceRing, n: u32, size: usize) {
    let head = [br#"{"x":""#.to_vec(), vec![b' '; size], br#"","sidetap":{"endpoint":"#.to_vec()].concat();
    ring.push(id(n), recent(i64::from(n), head));
    ring.sample(id(n), &shop(), [About::Risk(Shows::Call)]);
}

#[test]
fn what_a_finding_comes_to_be_about_was_sampled_before_and_is_told_once_there_is_one() {
    let mut ring = ring();
    (0..4_000).for_each(|n| called(&mut ring, n, 1 << 14));
    assert!(!ring.recent.contains_key(&id(0)), "the ring is too small for all");
    let none = ring.samples(&run(0), &BTreeMap::new());
    assert!(none.is_empty() && ring.hand_over(&none, |_| None).is_empty());
    let samples = ring.samples(&run(1), &BTreeMap::new());
    assert_eq!((samples.len(), samples[0].thing.as_str(), samples[0].seen), (1, "finding:f", 4_000));
    let out = ring.hand_over(&samples, |_| None);
    assert_eq!((out.len(), samples[0].ids.len()), (8, 8));
    assert!(out.iter().all(|e| samples[0].ids.contains(&e.id)));
    assert_eq!(ring.untold(samples.clone()).len(), 1);
    called(&mut ring, 4_001, 10);
    let again = ring.samples(&run(1), &BTreeMap::new());
    let news = usize::from(again[0].ids != samples[0].ids);
    assert_eq!(ring.untold(again.clone()).len(), news, "one more of 4,000 is no news");
    assert_eq!(ring.hand_over(&again, |_| None).len(), news);
    assert_eq!((ring.kept_bytes, ring.spare_bytes, ring.spare.len()), (0, 0, 0));
}

#[test]
fn where_spares_have_no_room_a_fair_sample_stays_and_what_is_named_goes_before_them() {
    let mut ring = ring();
    let endpoint = |n: u32| EndpointRef::new(EndpointId(u64::from(n)), "h", "GET", "/a");
    let head = |n: u32| recent(i64::from(n), vec![b' '; 1 << 16]);
    let mut ids = Vec::new();
    for n in 0..3_000 {
        ring.push(id(n), head(n));
        ring.sample(id(n), &endpoint(n), [About::Risk(Shows::Call)]);
        ids.push((rank(&ring.key, id(n)), id(n)));
    }
    assert!(ring.kept_bytes <= ring.most_kept && ring.kept_bytes == ring.spare_bytes);
    ids.sort_unstable();
    let kept: Vec<_> = ring.spare.iter().map(|(_, id)| (rank(&ring.key, *id), *id)).collect();
    assert!(kept.len() > 100, "{}", kept.len());
    assert_eq!(kept, ids[..kept.len()], "those with the smallest hashes, whenever they came");
    // What is so of every endpoint makes way for what is not, but for few of it.
    for n in 4_000..4_800 {
        ring.push(id(n), head(n));
        ring.sample(id(n), &endpoint(n), [About::Risk(Shows::Open), About::Risk(Shows::Secret)]);
    }
    let [to, common] = [For::Spare, For::Common].map(|of| ring.to(of));
    assert_eq!(common, to.div_ceil(64));
    let mut fit: BTreeSet<Id> = (4_000..4_800).map(id).filter(|id| rank(&ring.key, *id) < to).collect();
    let few: Vec<Id> = (0..3_000).map(id).filter(|id| rank(&ring.key, *id) < common).collect();
    assert!((1..200).contains(&few.len()) && fit.len() > 300, "{} {}", few.len(), fit.len());
    fit.extend(few);
    assert_eq!(ring.spare.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>(), fit);
    for n in 3_000..3_600 {
        ring.push(id(n), head(n));
        ring.keep_named(&format!("{}-{n}", FlowId(7)));
    }
    assert!(ring.spare.is_empty() && ring.kept_bytes <= ring.most_kept + (1 << 17));
    assert!(ring.take_missed() > 0, "what had no room is counted");
}

/// A call of an endpoint that shows nothing else.
fn calls(ring: &mut EvidenceRing, numbers: std::ops::Range<u32>, of: impl Fn(u32) -> u64, size: usize) {
    for n in numbers {
        ring.push(id(n), recent(i64::from(n), vec![b' '; size]));
        let endpoint = EndpointRef::new(EndpointId(of(n)), "shop.example", "GET", "/a");
        ring.sample(id(n), &endpoint, [About::Risk(Shows::Call)]);
    }
}

#[test]
fn what_is_kept_for_something_else_stands_for_nothing_that_had_no_room() {
    let mut ring = ring();
    // Six of eight are named as proof, so they stay; calls of others take the room of spares.
    for n in 0..8 {
        called(&mut ring, n, 10);
        if n < 6 {
            ring.keep_named(&format!("{}-{n}", FlowId(7)));
        }
    }
    calls(&mut ring, 1_000..3_000, u64::from, 1 << 16);
    let to = ring.to(For::Common);
    assert!(to < u64::MAX / 2, "there was no room");
    let least = |ids: std::ops::Range<u32>| ids.map(id).min_by_key(|id| rank(&ring.key, *id)).unwrap();
    let first = [0..8, 0..9].map(|ids| BTreeSet::from([least(ids)]));
    assert!(first.iter().flatten().all(|id| rank(&ring.key, *id) < to), "there was room for the first");
    let told = |ring: &EvidenceRing| {
        let samples = ring.samples(&run(1), &BTreeMap::new());
        let ids: BTreeSet<Id> = samples[0].ids.iter().filter_map(|i| parse(i)).collect();
        (samples[0].seen, ids)
    };
    assert!((0..6).all(|n| ring.kept.contains_key(&id(n))));
    let few = "those that are named and had no room would count for more than their part";
    assert_eq!(told(&ring), (8, first[0].clone()), "{few}");
    // The same where the endpoint got another name, and where more calls come.
    called(&mut ring, 8, 10);
    ring.rename(&[(shop().id, EndpointRef::new(EndpointId(10), "shop.example", "GET", "/items/{sku}"))]);
    ring.rename(&[(EndpointId(10), shop())]);
    assert_eq!(told(&ring), (9, first[1].clone()));
}

#[test]
fn what_is_in_several_samples_goes_with_the_last_of_them() {
    let mut ring = ring();
    // Ranks fall, so that each call pushes out one before it.
    let mut ids: Vec<u32> = (0..64).collect();
    ids.sort_unstable_by_key(|n| std::cmp::Reverse(rank(&ring.key, id(*n))));
    let offer = |ring: &mut EvidenceRing, n: u32, shown: &[Shows]| {
        ring.push(id(n), recent(i64::from(n), vec![b' '; 100]));
        ring.sample(id(n), &shop(), shown.iter().map(|s| About::Risk(*s)));
    };
    let (first, rest) = ids.split_first().unwrap();
    offer(&mut ring, *first, &[Shows::Call, Shows::Open, Shows::Secret]);
    let has = |ring: &EvidenceRing| ring.kept.contains_key(&id(*first));
    for (at, shown) in [Shows::Call, Shows::Open, Shows::Secret].into_iter().enumerate() {
        assert!(has(&ring), "{at}");
        rest[at * 8..at * 8 + 8].iter().for_each(|n| offer(&mut ring, *n, &[shown]));
    }
    assert!(!has(&ring), "nothing has it any more");
    // One that had no room in one sample is in the other alone.
    let next = rest[24];
    ring.spare_to = For::Common.place(rank(&ring.key, id(next)));
    offer(&mut ring, next, &[Shows::Call, Shows::Secret]);
    rest[25..40].iter().for_each(|n| offer(&mut ring, *n, &[Shows::Call]));
    assert!(ring.kept.contains_key(&id(next)), "what another sample has stays");
    assert_eq!(ring.kept[&id(next)].spares, 1);
}

#[test]
fn spares_of_every_rank_are_taken_in_again_once_there_is_room_and_what_was_left_out_is_counted() {
    let mut ring = ring();
    (0..100).for_each(|n| called(&mut ring, n, 10));
    calls(&mut ring, 1_000..3_000, u64::from, 1 << 16);
    let (to, left_out) = (ring.to(For::Common), ring.left_out());
    assert!(to < u64::MAX && left_out > 100, "{left_out}");
    ring.hand_over(&[], |_| None);
    assert_eq!(ring.to(For::Common), to, "there is no room yet");
    // All of them come to be about something, and go to the store.
    ring.hand_over(&[Sampled { thing: String::new(), seen: 1, ids: ring_ids(&ring) }], |_| None);
    assert_eq!((ring.to(For::Common), ring.kept_bytes), (u64::MAX, 0));
    // An endpoint that is new from now on is sampled whole; one that was there before has none of the ranks that it lacked.
    calls(&mut ring, 4_000..4_100, |_| 4_000, 10);
    (4_100..4_300).for_each(|n| called(&mut ring, n, 10));
    assert_eq!(ring.left_out(), left_out);
    let news = ring.samples.of(&run_of(4_000), &BTreeMap::new(), |_| u64::MAX, |_| true);
    assert_eq!((news[0].seen, news[0].ids.len()), (100, 8));
    let known = ring.samples(&run(1), &BTreeMap::new());
    let all = (0..100).chain(4_100..4_300);
    let mut fit: Vec<(u64, Id)> =
        all.map(|n| (rank(&ring.key, id(n)), id(n))).filter(|(r, _)| *r < to).collect();
    fit.sort_unstable();
    let fit: Vec<Id> = fit.into_iter().map(|(_, id)| id).collect();
    let ids: Vec<Id> = known[0].ids.iter().filter_map(|i| parse(i)).collect();
    assert!(known[0].seen == 300 && ids.len() > 1 && fit.starts_with(&ids), "{ids:?} of {fit:?}");
}

#[test]
fn fewer_stand_for_each_thing_before_any_has_none() {
    let mut ring = ring();
    let room = (ring.most_kept >> 14) as u32;
    let things = room / 3;
    let of = |n: u32| u64::from(n % things);
    calls(&mut ring, 0..things * 20, of, 1 << 14);
    assert!(
        ring.kept_bytes <= ring.most_kept && ring.to(For::Common) == u64::MAX,
        "none had to go for others"
    );
    assert!((1..3).contains(&ring.most_common) && ring.left_out() > 0);
    let mut all: BTreeMap<u64, Vec<(u64, Id)>> = BTreeMap::new();
    (0..things * 20).for_each(|n| all.entry(of(n)).or_default().push((rank(&ring.key, id(n)), id(n))));
    for (endpoint, mut ranked) in all {
        ranked.sort_unstable();
        let told = ring.samples.of(&run_of(endpoint), &BTreeMap::new(), |_| u64::MAX, |id| ring.has(id));
        let ids: Vec<Id> = told[0].ids.iter().filter_map(|i| parse(i)).collect();
        let first: Vec<Id> = ranked.iter().take(ids.len()).map(|(_, id)| *id).collect();
        assert!(told[0].seen == 20 && !ids.is_empty() && ids == first, "{ids:?} of {ranked:?}");
    }
    // What is so of every endpoint goes down to one before others lose any.
    for n in 0..things {
        let n = 1_000_000 + n;
        ring.push(id(n), recent(i64::from(n), vec![b' '; 1 << 14]));
        let endpoint = EndpointRef::new(EndpointId(of(n)), "shop.example", "GET", "/a");
        ring.sample(id(n), &endpoint, [About::Risk(Shows::Secret)]);
    }
    assert_eq!((ring.most_common, ring.most_spare), (1, Samples::OF_FINDING));
}

/// Ids of all that is kept.
fn ring_ids(ring: &EvidenceRing) -> Vec<String> {
    ring.kept.keys().map(|(flow, n)| format!("{flow}-{n}")).collect()
}

/// A run with a finding about an endpoint.
fn run_of(endpoint: u64) -> RunData {
    let mut data = run(1);
    let subject = &mut data.findings[0].subject;
    subject.insert("endpoint".to_owned(), EndpointId(endpoint).to_string());
    data
}

#[test]
fn what_a_campaign_has_stays_though_a_rule_that_had_no_room_for_it_lets_it_go() {
    let mut ring = ring();
    let mut ids: Vec<u32> = (0..16).collect();
    ids.sort_unstable_by_key(|n| std::cmp::Reverse(rank(&ring.key, id(*n))));
    let (first, rest) = ids.split_first().unwrap();
    for n in 1_000..1_600 {
        ring.push(id(n), recent(i64::from(n), vec![b' '; 1 << 16]));
        ring.keep_named(&format!("{}-{n}", FlowId(7)));
    }
    let offer = |ring: &mut EvidenceRing, n: u32, ip: &str| {
        ring.push(id(n), by(ip, n));
        ring.sample(id(n), &shop(), [About::rule("sqli")]);
    };
    offer(&mut ring, *first, "192.0.2.1");
    assert!(!ring.kept.contains_key(&id(*first)) && ring.take_missed() > 0, "there is no room");
    ring.hand_over(&[], |_| None);
    ring.keep_verdicts(&[verdict("192.0.2.1", "c")]);
    rest[..8].iter().for_each(|n| offer(&mut ring, *n, "198.51.100.7"));
    assert!(ring.kept.contains_key(&id(*first)), "the campaign has it");
}

#[test]
fn a_sample_of_which_nothing_is_missing_is_told_whole() {
    let mut ring = ring();
    calls(&mut ring, 1_000..3_000, u64::from, 1 << 16);
    let to = ring.to(For::Common);
    let n = (0..100).find(|n| rank(&ring.key, id(*n)) >= to).unwrap();
    ring.push(id(n), recent(1, b"{".to_vec()));
    ring.keep_first(id(n), 1);
    ring.sample(id(n), &shop(), [About::Risk(Shows::Call)]);
    let samples = ring.samples(&run(1), &BTreeMap::new());
    assert_eq!((samples[0].seen, samples[0].ids.len()), (1, 1), "there is no other that it could stand for");
}
