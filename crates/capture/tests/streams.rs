//! However a stream reaches the sensor, the exchanges are the same; what was lost is marked and never guessed.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{ACK, PSH, Rng, Seen, Seg, Style, conversation, request_id, response_id, run, run_with, seen};
use proptest::prelude::*;
use sidetap_capture::FlowLimits;
use sidetap_model::{Anomaly, Completeness, Exchange};

const STYLES: [Style; 4] = [Style::Sequential, Style::Bursts, Style::TwoDeep, Style::TwoDeepHeld];

/// Cuts segments anew, with doubled and overlapping pieces, and mixes their order within a few packets.
fn disturb(segs: &[Seg], rng: &mut Rng) -> Vec<Seg> {
    let mut out: Vec<Seg> = Vec::new();
    for seg in segs {
        if seg.data.len() < 2 || seg.flags & !(ACK | PSH) != 0 {
            out.push(seg.clone());
            continue;
        }
        let mut at = 0;
        while at < seg.data.len() {
            let n = 1 + rng.below(seg.data.len() - at);
            let back = if rng.chance(30) { rng.below(at + 1) } else { 0 };
            let piece = Seg {
                seq: seg.seq.wrapping_add((at - back) as u32),
                data: seg.data[at - back..at + n].to_vec(),
                ..seg.clone()
            };
            if rng.chance(15) {
                out.push(piece.clone());
            }
            out.push(piece);
            at += n;
        }
    }
    for i in 1..out.len() {
        if rng.chance(25) && out[i].data.len() + out[i - 1].data.len() > 0 {
            let far = i.saturating_sub(1 + rng.below(4)).max(3);
            if far < i {
                out.swap(i, far);
            }
        }
    }
    for (i, seg) in out.iter_mut().enumerate() {
        seg.ts = i as i64 * 50_000;
    }
    out
}

fn shown(exchanges: &[Exchange]) -> Vec<Seen> {
    exchanges.iter().map(seen).collect()
}

#[test]
fn a_clean_conversation_is_seen_whole() {
    for seed in 0..300 {
        for style in STYLES {
            let segs = conversation(seed, style);
            let exchanges = run(&segs);
            assert!(exchanges.len() >= 2);
            for (i, ex) in exchanges.iter().enumerate() {
                assert!(ex.completeness.is_whole(), "seed {seed} {style:?}: {}", brief(ex));
                assert_eq!(request_id(ex), Some(i.to_string()), "seed {seed} {style:?}");
                assert_eq!(response_id(ex), Some(i.to_string()), "seed {seed} {style:?}");
                assert!(ex.anomalies.is_empty(), "seed {seed} {style:?}: {:?}", ex.anomalies);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_split_order_doubling_and_overlap_give_the_same_exchanges(seed: u64, style in 0..4_usize) {
        let segs = conversation(seed, STYLES[style]);
        let clean = shown(&run(&segs));
        let disturbed = run(&disturb(&segs, &mut Rng(seed ^ 1)));
        prop_assert!(clean == shown(&disturbed));
    }
}

/// Seeds to try: `SIDETAP_SEEDS`, or as many as an ordinary run takes.
fn seeds(usual: u64) -> u64 {
    std::env::var("SIDETAP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn brief(ex: &Exchange) -> String {
    let lengths = (ex.request.as_ref().map(|r| r.body.len), ex.response.as_ref().map(|r| r.body.len));
    format!("{:?} {:?} bodies {lengths:?} {:?}", request_id(ex), response_id(ex), ex.anomalies)
}

/// Checks exchanges of a lossy capture against the clean ones; gives how many pairs there were.
fn check_lossy(clean: &[Seen], exchanges: &[Exchange], style: Style, what: &str) -> usize {
    let mut pairs = 0;
    for ex in exchanges {
        if let (Some(request), Some(response)) = (request_id(ex), response_id(ex)) {
            let marked = ex.completeness.contains(Completeness::PAIRING_UNCERTAIN);
            assert!(
                request == response || (marked && style == Style::TwoDeepHeld),
                "false pair {request} {response}: {what}"
            );
            pairs += 1;
        }
        if ex.completeness.is_whole() {
            assert!(clean.contains(&seen(ex)), "unmarked and unlike the clean one: {what}: {}", brief(ex));
        }
    }
    pairs
}

#[test]
fn loss_never_pairs_a_request_with_the_response_of_another() {
    let (mut pairs, mut whole) = ([0; 4], [0; 4]);
    for seed in 0..seeds(1200) {
        for (i, style) in STYLES.into_iter().enumerate() {
            let segs = conversation(seed, style);
            let clean = shown(&run(&segs));
            let mut rng = Rng(seed.wrapping_mul(31) + i as u64);
            let percent = 1 + rng.below(30);
            let mut kept: Vec<Seg> = segs.iter().filter(|_| !rng.chance(percent)).cloned().collect();
            if rng.chance(40) {
                kept = disturb(&kept, &mut rng);
            }
            if rng.chance(20) {
                kept.drain(..rng.below(kept.len()));
            }
            if rng.chance(20) {
                kept.truncate(1 + rng.below(kept.len()));
            }
            if rng.chance(10) {
                let up = rng.chance(50);
                kept.retain(|s| s.up == up);
            }
            let exchanges = run(&kept);
            pairs[i] +=
                check_lossy(&clean, &exchanges, style, &format!("seed {seed} {style:?} loss {percent}%"));
            whole[i] += clean.len();
        }
    }
    assert!(pairs[0] * 100 > whole[0] * 40, "{pairs:?} of {whole:?}");
}

#[test]
fn every_single_and_double_loss_of_short_conversations_is_harmless() {
    for seed in 0..20 {
        for style in STYLES {
            let segs = conversation(seed, style);
            let clean = shown(&run(&segs));
            let n = segs.len().min(24);
            for a in 0..n {
                for b in a..n {
                    let kept: Vec<Seg> = segs
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| *i != a && *i != b)
                        .map(|(_, s)| s.clone())
                        .collect();
                    check_lossy(
                        &clean,
                        &run(&kept),
                        style,
                        &format!("seed {seed} {style:?} without {a} and {b}"),
                    );
                }
            }
        }
    }
}

#[test]
fn joined_anywhere_and_seen_from_one_side_nothing_is_guessed() {
    let (mut pairs, mut mistaken) = (0, 0);
    for seed in 0..seeds(1000) {
        let style = STYLES[seed as usize % STYLES.len()];
        let segs = conversation(seed, style);
        let clean = shown(&run(&segs));
        let mut rng = Rng(seed ^ 77);
        for _ in 0..3 {
            let from = rng.below(segs.len());
            let exchanges = run(&segs[from..]);
            pairs += check_lossy(&clean, &exchanges, style, &format!("seed {seed} {style:?} from {from}"));
            mistaken += exchanges
                .iter()
                .filter(|e| request_id(e).zip(response_id(e)).is_some_and(|(a, b)| a != b))
                .count();
        }
        for up in [true, false] {
            let side: Vec<Seg> = segs.iter().filter(|s| s.up == up).cloned().collect();
            let exchanges = run(&side);
            assert!(exchanges.iter().all(|e| !e.completeness.is_whole()), "seed {seed}");
            assert_eq!(check_lossy(&clean, &exchanges, style, "one side"), 0);
        }
    }
    assert!(pairs > 2000, "{pairs}");
    assert!(mistaken > 0, "no conversation tried what cannot be told apart");
}

/// The clean exchanges, and whether a differing overlap was told.
fn with_resent(segs: &[Seg], differing: bool, rng: &mut Rng) -> (Vec<Exchange>, bool) {
    let mut out: Vec<Seg> = Vec::new();
    for seg in segs {
        out.push(seg.clone());
        if seg.data.len() > 2 && rng.chance(40) {
            let from = rng.below(seg.data.len() - 1);
            let mut again = Seg { seq: seg.seq.wrapping_add(from as u32), ..seg.clone() };
            again.data.drain(..from);
            if differing {
                let at = rng.below(again.data.len() - 1);
                again.data[at] ^= 0x20;
            }
            out.push(again);
        }
    }
    let (exchanges, table) = run_with(&out, &FlowLimits::default());
    let of_flow = table.counters().anomalies().any(|a| a == Anomaly::TcpOverlapDiffers);
    let told = of_flow || exchanges.iter().any(|e| e.anomalies.contains(Anomaly::TcpOverlapDiffers));
    (exchanges, told)
}

#[test]
fn what_is_sent_again_with_other_bytes_changes_nothing_and_is_told() {
    let (mut tried, mut noticed) = (0, 0);
    for seed in 0..seeds(400) {
        let style = STYLES[seed as usize % STYLES.len()];
        let segs = conversation(seed, style);
        let clean = shown(&run(&segs));
        let (same, told) = with_resent(&segs, false, &mut Rng(seed));
        assert!(shown(&same) == clean && !told, "seed {seed}: the same bytes again");
        let (differing, told) = with_resent(&segs, true, &mut Rng(seed));
        // Which of them the server read is not certain: what is told of it is right, or says so.
        check_lossy(&clean, &differing, style, &format!("seed {seed}: other bytes"));
        let requests = |all: &[Exchange]| -> Vec<_> {
            all.iter()
                .filter_map(|e| e.request.as_ref().map(|r| (r.target.clone(), r.body.bytes.clone())))
                .collect()
        };
        assert_eq!(requests(&differing), requests(&run(&segs)), "seed {seed}: other bytes won");
        tried += 1;
        noticed += usize::from(told);
    }
    // In a few short conversations nothing was sent again.
    assert!(noticed * 100 >= tried * 97, "{noticed} of {tried}");
}
