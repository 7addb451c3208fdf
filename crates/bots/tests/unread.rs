//! Abuse by clients whose heads are those of everybody, found by what they leave out: pages, purchases, and an end; and the honest
//! twins, who do the same for a reason.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use sidetap_bots::Engine;
use world::scenes::{
    accounts, cards, catalogue, flood, forgotten_passwords, guests, holds, made, nights_without_rooms,
    offers, probes, readers, reviews, stock_of_all,
};
use world::{World, bad, call, convicted, expect, ip};

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

/// Seats asked for by ninety addresses, each a few times, with the Referer of pages that they never opened; beside people who did.
fn seats(page: bool) -> Vec<(IpAddr, String)> {
    let mut w = World::new();
    w.honest();
    let seats = |who: IpAddr, event: u32| {
        let c = call(who, "GET", "/api/zaseki/{event}").path(format!("/api/zaseki/{event}")).chrome();
        c.set("Referer", Some(&format!("https://shop.test/koen/{event}")))
    };
    let koen = |who: IpAddr, event: u32| {
        call(who, "GET", "/koen/{event}").path(format!("/koen/{event}")).chrome().html()
    };
    for n in 0..20u32 {
        let who = ip(9, 30, n as u8);
        let t = i64::from(n) * 9_000;
        for (i, asset) in ["/app.js", "/main.css", "/logo.png"].into_iter().enumerate() {
            w.at(t + 10 * i as i64, &call(who, "GET", asset).chrome());
        }
        w.at(t, &call(who, "GET", "/").chrome().html());
        w.at(t + 3_000, &call(who, "GET", "/api/nieuws").chrome());
        for i in 0..2 {
            let event = (n * 7 + i * 3) % 60;
            w.at(t + 6_000 + i64::from(i) * 9_000, &koen(who, event));
            w.at(t + 6_500 + i64::from(i) * 9_000, &seats(who, event));
        }
    }
    for n in 0..180u32 {
        let (who, at) =
            (if page { ip(9, 31, (n / 2) as u8) } else { bad(n / 2) }, 150_000 + i64::from(n) * 2_500);
        if page {
            w.at(at - 500, &koen(who, n % 60));
        }
        w.at(at, &seats(who, n % 60));
    }
    convicted(&w.judge())
}

#[test]
fn a_swarm_that_reads_what_pages_lead_to_and_opened_none_scrapes() {
    let found = seats(false);
    let hits =
        found.iter().filter(|(who, class)| world::is_attacker(*who) && class.ends_with("scraping")).count();
    assert!(hits >= 80 && found.len() == hits, "{found:?}");
    assert_eq!(seats(true), [], "who opened the page was led there");
}

/// Gift cards tried three an address by clients that ask for the form and load nothing with it; every answer is the same page.
fn gift_cards(careful: bool) -> Vec<(IpAddr, String)> {
    let mut w = World::new();
    w.honest();
    let form = |who: IpAddr| call(who, "GET", "/tarjeta-regalo").chrome().html();
    let tried = |who: IpAddr, code: u32| {
        call(who, "POST", "/tarjeta-regalo")
            .chrome()
            .html()
            .body(format!("{{\"codigo\":\"TR{:08}\"}}", code * 7_919))
    };
    for n in 0..12u32 {
        let (who, t) = (ip(9, 32, n as u8), i64::from(n) * 9_000);
        for (i, asset) in ["/app.js", "/main.css", "/logo.png"].into_iter().enumerate() {
            w.at(t + 10 * i as i64, &call(who, "GET", asset).chrome());
        }
        w.at(t, &form(who));
        w.at(t + 2_000, &call(who, "GET", "/tienda").chrome().html());
        w.at(t + 9_000, &tried(who, n + 900));
    }
    for n in 0..40u32 {
        let (who, t) = (if careful { ip(9, 33, n as u8) } else { bad(n) }, 130_000 + i64::from(n) * 5_000);
        w.at(t, &call(who, "GET", "/").chrome().html());
        w.at(t + 3_000, &form(who));
        for i in 0..3u32 {
            // A person who mistypes corrects one and the same card, and his browser has loaded the form's page whole.
            let code = if careful { n } else { n * 3 + i };
            w.at(t + 8_000 + i64::from(i) * 9_000, &tried(who, 5_000 + code));
        }
        if careful {
            for asset in ["/app.js", "/main.css", "/logo.png"] {
                w.at(t + 20, &call(who, "GET", asset).chrome());
            }
        }
    }
    convicted(&w.judge())
}

#[test]
fn cards_tried_three_an_address_whatever_is_answered() {
    let found = gift_cards(false);
    let hits = found
        .iter()
        .filter(|(who, class)| world::is_attacker(*who) && class == "giftcard-bruteforce")
        .count();
    assert!(hits >= 36 && found.len() == hits, "{found:?}");
    assert_eq!(gift_cards(true), [], "people have one card");
}

#[test]
fn pages_opened_in_order_by_a_driven_browser_that_no_link_led_to() {
    expect(&judged(|w| catalogue(w, bad, true)), "content-scraping", 3);
    assert_eq!(convicted(&judged(|w| catalogue(w, other, false))), [], "readers who follow links");
}

#[test]
fn accounts_of_one_form_by_browsers_that_do_nothing_else() {
    expect(&judged(|w| made(w, bad, false)), "fake-account-creation", 18);
    assert_eq!(convicted(&judged(|w| made(w, other, true))), [], "a site that proposes passwords");
}
