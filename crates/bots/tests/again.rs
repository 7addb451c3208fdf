//! What people do once, done again and again by clients that do nothing else: accounts, codes sent, links posted, requests of many calls;
//! and the honest who do some of it too.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use sidetap_bots::Engine;
use world::again::{accounts, batches, codes, plays, posts};
use world::{World, bad, call, convicted, expect};

fn judged(scene: impl FnOnce(&mut World)) -> Engine {
    let mut w = World::new();
    w.honest();
    scene(&mut w);
    w.judge()
}

#[test]
fn accounts_made_two_at_a_time_from_whole_browsers() {
    expect(&judged(|w| accounts(w, 24, 2, false)), "fake-account-creation", 24);
    assert_eq!(convicted(&judged(|w| accounts(w, 24, 1, false))), []);
    // Who makes one for himself and one for his child uses them.
    assert_eq!(convicted(&judged(|w| accounts(w, 24, 2, true))), []);
}

#[test]
fn codes_sent_to_number_after_number_by_the_applications_own_head() {
    expect(&judged(|w| codes(w, 12, 9, false)), "otp-abuse", 12);
    assert_eq!(convicted(&judged(|w| codes(w, 12, 1, false))), []);
    // Several people with one app behind one address.
    assert_eq!(convicted(&judged(|w| codes(w, 12, 6, true))), []);
}

#[test]
fn links_posted_one_after_the_other_from_whole_browsers() {
    expect(&judged(|w| posts(w, 9, 12, 6, false)), "spam", 12);
    assert_eq!(convicted(&judged(|w| posts(w, 9, 12, 2, false))), []);
    assert_eq!(convicted(&judged(|w| posts(w, 9, 12, 6, true))), [], "who reads as well takes part");
    assert_eq!(
        convicted(&judged(|w| posts(w, 1, 12, 6, false))),
        [],
        "where all post links nobody stands apart"
    );
}

#[test]
fn requests_of_many_calls_one_after_the_other_by_tools() {
    expect(&judged(|w| batches(w, 3, false)), "app-dos", 6);
    assert_eq!(convicted(&judged(|w| batches(w, 40, false))), [], "what the site's own pages do too");
    assert_eq!(convicted(&judged(|w| batches(w, 3, true))), [], "customers' programs");
}

#[test]
fn one_thing_played_again_and_again_by_many() {
    expect(&judged(|w| plays(w, 9, true)), "skewing", 20);
    assert_eq!(
        convicted(&judged(|w| plays(w, 1, true))),
        [],
        "where each does it to one thing: reports that an app sends"
    );
    assert_eq!(convicted(&judged(|w| plays(w, 9, false))), [], "each to a thing of his own");
}

/// What goes on for hours is told over all of them, by wider steps where there are too many.
#[test]
fn the_timeline_of_a_long_attack_goes_on_to_its_end() {
    const CALLS: u32 = 5_400;
    let engine = judged(|w| {
        for n in 0..CALLS {
            let body = format!("{{\"username\":\"long{n}\",\"password\":\"leak{n}\"}}");
            let c = call(bad(n % 3), "POST", "/api/login").script().body(body).status(401);
            w.at(60_000 + i64::from(n / 3) * 8_000, &c);
        }
    });
    let campaigns = engine.campaigns();
    let long = campaigns.iter().max_by_key(|c| c.requests).unwrap();
    assert_eq!(long.requests, u64::from(CALLS));
    let all: u64 = long.timeline.iter().map(|(_, n)| n).sum();
    let most = long.timeline.iter().map(|(_, n)| *n).max().unwrap();
    let (first, last) = (long.timeline[0].0, long.timeline.last().unwrap().0);
    assert_eq!(all, long.requests);
    assert!(most <= 24, "no step stands out: {most}");
    assert!(long.last_seen.since(last) < 120_000_000_000 && first.since(long.first_seen) < 20_000_000_000);
    assert!(long.detected_at >= long.first_seen);
}
