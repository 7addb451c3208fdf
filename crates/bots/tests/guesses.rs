//! Gift cards, coupons, bookings and accounts that are tried one after the other from whole browsers, each a few times; and those
//! who try one or two.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use world::{Call, World, bad, call, convicted, expect, ip};

/// A page with all that it loads, as a browser asks for it.
fn visit(w: &mut World, t: i64, who: IpAddr) {
    w.at(t, &call(who, "GET", "/").chrome().html());
    for (n, asset) in ["/app.js", "/main.css", "/logo.png", "/vendor.js"].into_iter().enumerate() {
        w.at(t + 100 + n as i64 * 30, &call(who, "GET", asset).chrome());
    }
}

fn answered(mut c: Call, there: bool) -> Call {
    if there { "{\"success\":true}" } else { "{\"success\":false,\"errorCode\":\"NOT_FOUND\"}" }
        .clone_into(&mut c.answer);
    c
}

fn gift_card(who: IpAddr, n: u32, there: bool) -> Call {
    let c = call(who, "POST", "/api/giftcard/balance").chrome();
    answered(c.body(format!("{{\"number\":\"60001234{n:08}\",\"pin\":\"{:04}\"}}", n % 9_999)), there)
}

fn coupon(who: IpAddr, n: u32, there: bool) -> Call {
    answered(
        call(who, "POST", "/api/cart/promo").chrome().body(format!("{{\"promoCode\":\"SAVE{n}\"}}")),
        there,
    )
}

fn forgotten(who: IpAddr, n: u32, there: bool) -> Call {
    answered(
        call(who, "POST", "/api/password/forgot").chrome().body(format!("{{\"email\":\"p{n}@mail.test\"}}")),
        there,
    )
}

fn refill(who: IpAddr, n: u32, there: bool) -> Call {
    let c = call(who, "POST", "/api/rx/refill").chrome();
    answered(c.body(format!("{{\"storeId\":200,\"rxNumber\":\"{n:06}\",\"dob\":\"1970-01-01\"}}")), there)
}

type Make = fn(IpAddr, u32, bool) -> Call;

/// Thirty people who ask for their own thing, some after a slip; bots, or people who put something into a cart before, try `each`.
fn tried(make: Make, people: bool, many: u32, each: u32, thing: impl Fn(u32) -> u32) -> World {
    let mut w = World::new();
    w.honest();
    let who = |n: u32| if people { ip(4, n as u8, 1) } else { bad(n * 300) };
    for n in 0..30u32 {
        let (person, t) = (ip(3, 5, n as u8), 95_000 + i64::from(n) * 9_000);
        visit(&mut w, t, person);
        if n % 6 == 0 {
            w.at(t + 15_000, &make(person, 7_000 + n, false));
        }
        w.at(t + 30_000, &make(person, 100 + n, true));
    }
    for n in 0..many {
        let t = 110_000 + i64::from(n) * 9_000;
        visit(&mut w, t, who(n));
        if people {
            w.at(t + 2_000, &call(who(n), "POST", "/api/cart").chrome().body(format!("{{\"sku\":\"{n}\"}}")));
        }
        for i in 0..each {
            let pause = i64::from(i) * 6_000 + i64::from(n * 7 % 11) * 300;
            w.at(t + 5_000 + pause, &make(who(n), thing(n * each + i), false));
        }
    }
    w
}

#[test]
fn gift_cards_tried_from_driven_browsers() {
    let engine = tried(gift_card, false, 14, 10, |n| 1_000 + n * 37).judge();
    expect(&engine, "giftcard-bruteforce", 14);
    assert_eq!(engine.campaigns().len(), 1);
    assert_eq!(convicted(&tried(gift_card, true, 14, 2, |n| 1_000 + n * 37).judge()), []);
}

#[test]
fn coupons_tried_from_driven_browsers_but_not_the_list_of_an_extension() {
    expect(&tried(coupon, false, 14, 10, |n| 1_000 + n).judge(), "coupon-abuse", 14);
    assert_eq!(convicted(&tried(coupon, true, 14, 10, |n| 1_000 + n % 10).judge()), []);
    assert_eq!(convicted(&tried(coupon, true, 1, 18, |n| 1_000 + n).judge()), []);
}

#[test]
fn bookings_looked_up_by_guesses_from_the_sites_own_page() {
    let judged = |who: fn(u32) -> IpAddr, each| {
        let mut w = World::new();
        w.honest();
        world::scenes::bookings(&mut w, who, each);
        w.judge()
    };
    expect(&judged(|n| bad(n * 300), 8), "id-enumeration", 14);
    assert_eq!(convicted(&judged(|n| ip(4, n as u8, 1), 3)), []);
    // One network is an office, or a class that was given a wrong list.
    assert_eq!(convicted(&judged(|n| ip(4, 1, n as u8), 8)), []);
}

#[test]
fn passwords_of_account_after_account_forgotten_in_driven_browsers() {
    let engine = tried(forgotten, false, 14, 6, |n| 1_000 + n).judge();
    expect(&engine, "password-reset-enumeration", 14);
    assert_eq!(convicted(&tried(forgotten, true, 14, 2, |n| 1_000 + n).judge()), []);
}

#[test]
fn prescriptions_are_told_apart_by_their_numbers_not_by_the_shop() {
    expect(&tried(refill, false, 14, 8, |n| 1_000 + n * 37).judge(), "id-enumeration", 14);
    assert_eq!(convicted(&tried(refill, true, 14, 3, |n| 1_000 + n * 37).judge()), []);
}

#[test]
fn who_may_not_see_what_is_there_guesses_nothing() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        let (who, t) = (ip(4, n as u8, 1), 95_000 + i64::from(n) * 5_000);
        visit(&mut w, t, who);
        let session = format!("Bearer 5e551015e551015e55{n:04}");
        for i in 0..12u32 {
            let path = format!("/projects/{}/budget", 40_000 + (n * 12 + i) * 17);
            let c = call(who, "GET", "/projects/{id}/budget").path(path).chrome();
            let c = c.header("Authorization", session.clone());
            w.at(t + 4_000 + i64::from(i) * 40, &if n % 4 == 0 { c.status(403) } else { c });
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn clerks_who_set_passwords_of_others_anew_are_no_crowd() {
    let mut w = tried(forgotten, true, 0, 0, |n| n);
    for n in 0..12u32 {
        let (who, t) = (ip(4, n as u8, 1), 110_000 + i64::from(n) * 9_000);
        visit(&mut w, t, who);
        for i in 0..4u32 {
            w.at(t + 5_000 + i64::from(i) * 9_000, &forgotten(who, 1_000 + n * 4 + i, true));
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn shoppers_whose_extension_tries_its_list_while_others_guess() {
    let mut w = tried(coupon, false, 14, 10, |n| 1_000 + n);
    for n in 0..5u32 {
        let (who, t) = (ip(4, n as u8, 1), 112_000 + i64::from(n) * 9_000);
        visit(&mut w, t, who);
        w.at(t + 2_000, &call(who, "POST", "/api/cart").chrome().body(format!("{{\"sku\":\"{n}\"}}")));
        for i in 0..10u32 {
            w.at(t + 5_000 + i64::from(i) * 900, &coupon(who, 5_000 + i, false));
        }
    }
    let engine = w.judge();
    let found = convicted(&engine);
    assert!(found.iter().all(|(who, _)| world::is_attacker(*who)), "{found:?}");
    assert_eq!(found.len(), 14, "{found:?}");
}

#[test]
fn a_visitors_cookie_hides_no_guesses() {
    let mut w = tried(refill, false, 0, 0, |n| n);
    for n in 0..14u32 {
        let (who, t) = (bad(n * 300), 110_000 + i64::from(n) * 9_000);
        let cookie = format!("PHPSESSID=5e551014{n:024}");
        w.at(t, &call(who, "GET", "/").chrome().html().answers("Set-Cookie", cookie.clone()));
        for asset in ["/app.js", "/main.css", "/logo.png", "/vendor.js"] {
            w.at(t + 100, &call(who, "GET", asset).chrome().header("Cookie", cookie.clone()));
        }
        for i in 0..8u32 {
            let c = refill(who, 1_000 + (n * 8 + i) * 37, false).header("Cookie", cookie.clone());
            w.at(t + 5_000 + i64::from(i) * 6_000, &c);
        }
    }
    expect(&w.judge(), "id-enumeration", 14);
}
