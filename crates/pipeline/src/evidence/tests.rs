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
    let kept: Vec<_> = ring.spare.iter().map(|(_, rank, id)| (*rank, *id)).collect();
    assert!(kept.len() > 100, "{}", kept.len());
    assert_eq!(kept, ids[..kept.len()], "those with the smallest hashes, whenever they came");
    // What is so of every endpoint makes way for what is not.
    for n in 4_000..4_800 {
        ring.push(id(n), head(n));
        ring.sample(id(n), &endpoint(n), [About::Risk(Shows::Open), About::Risk(Shows::Secret)]);
    }
    assert!(ring.spare.iter().all(|(of, _, id)| *of == For::Spare && id.1 >= 4_000));
    for n in 3_000..3_600 {
        ring.push(id(n), head(n));
        ring.keep_named(&format!("{}-{n}", FlowId(7)));
    }
    assert!(ring.spare.is_empty() && ring.kept_bytes <= ring.most_kept + (1 << 17));
    assert!(ring.take_missed() > 0, "what had no room is counted");
}
