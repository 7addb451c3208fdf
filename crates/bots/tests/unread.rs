//! Abuse by clients whose heads are those of everybody, found by what they leave out: pages, purchases, and an end; and the honest
//! twins, who do the same for a reason.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use sidetap_bots::Engine;
use world::scenes::{
    accounts, cards, flood, forgotten_passwords, guests, holds, nights_without_rooms, offers, probes,
    readers, reviews, stock_of_all,
};
use world::{World, bad, convicted, expect, ip};

/// What is judged of honest callers and of `more`.
fn judged(more: impl FnOnce(&mut World)) -> Engine {
    let mut w = World::new();
    w.honest();
    more(&mut w);
    w.judge()
}

fn other(n: u32) -> IpAddr {
    ip(9, 0, n as u8)
}

#[test]
fn answers_asked_for_from_pages_that_nobody_opened() {
    let act = |pages| {
        judged(|w| {
            guests(w, pages);
            nights_without_rooms(w, if pages { bad } else { other });
        })
    };
    expect(&act(true), "api-scraping", 9);
    assert_eq!(convicted(&act(false)), [], "a cache on the way has the pages of all");
}

#[test]
fn a_few_write_review_after_review() {
    expect(&judged(|w| reviews(w, bad, false)), "spam", 4);
    assert_eq!(convicted(&judged(|w| reviews(w, other, true))), [], "who opens the pages");
}

#[test]
fn accounts_with_throw_away_addresses_in_whole_browsers() {
    expect(&judged(|w| accounts(w, bad, 10)), "fake-account-creation", 9);
    assert_eq!(convicted(&judged(|w| accounts(w, other, 4))), [], "a few who guard their privacy");
}

#[test]
fn goods_held_again_and_again() {
    expect(&judged(|w| holds(w, bad(1), false)), "inventory-hoarding", 1);
    assert_eq!(convicted(&judged(|w| holds(w, other(1), true))), [], "a cart that is filled and left");
}

#[test]
fn one_thing_asked_for_twenty_times_a_second_is_no_harm_by_itself() {
    assert_eq!(
        convicted(&judged(|w| flood(w, bad(1), false))),
        [],
        "a server of the site's own asks another so"
    );
    assert_eq!(convicted(&judged(|w| flood(w, other(1), true))), [], "a program that tells what it measures");
}

#[test]
fn card_after_card_declined() {
    expect(&judged(|w| cards(w, bad, 6)), "carding", 4);
    assert_eq!(convicted(&judged(|w| cards(w, other, 1))), [], "one card each");
}

#[test]
fn passwords_of_account_after_account_forgotten() {
    let found = judged(|w| forgotten_passwords(w, bad, 3));
    expect(&found, "password-reset-enumeration", 12);
    assert_eq!(convicted(&judged(|w| forgotten_passwords(w, other, 1))), [], "readers of a mailing");
}

#[test]
fn offers_asked_for_by_who_never_starts_the_app() {
    expect(&judged(|w| offers(w, bad, 10)), "price-scraping", 11);
    assert_eq!(convicted(&judged(|w| offers(w, other, 4))), [], "a few offers that all look at");
}

#[test]
fn files_that_only_a_probe_asks_for_are_a_scan_whatever_answers() {
    expect(&judged(|w| probes(w, bad(1))), "vuln-scan", 1);
}

#[test]
fn what_everybody_may_read_is_no_object_of_others() {
    assert_eq!(convicted(&judged(|w| stock_of_all(w, other(1)))), []);
}

#[test]
fn people_who_read_on_where_no_tls_is_spoken() {
    assert_eq!(convicted(&judged(|w| readers(w, other))), []);
}
