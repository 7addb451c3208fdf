//! Ordinary REST of ordinary hands: names in camel case, customer numbers with passcodes, records that are changed one by one.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::collections::BTreeSet;

use world::{Call, World, bad, call, convicted, expect, ip};

/// The roles of the one endpoint that these calls are of.
fn roles(calls: impl IntoIterator<Item = Call>) -> BTreeSet<String> {
    let mut w = World::new();
    for (n, c) in (0..).zip(calls) {
        w.at(1_000 + n * 3_000, &c);
    }
    w.judge().roles().into_values().flatten().collect()
}

#[test]
fn a_receiver_is_known_whatever_the_case_of_his_field() {
    let mut w = World::new();
    w.honest();
    let pay = |c: Call, iban: String| {
        c.body(format!("{{\"from\":900014,\"payeeIban\":\"{iban}\",\"amount\":90.5,\"currency\":\"NOK\"}}"))
    };
    for n in 0..20u32 {
        let t = 30_000 + i64::from(n) * 8_000;
        w.at(t, &call(ip(3, 0, n as u8), "GET", "/api/home").app());
        let friend = pay(call(ip(3, 0, n as u8), "POST", "/api/payments").app(), format!("NO93860111{n:05}"));
        w.at(t + 40_000, &friend);
    }
    for n in 0..10u32 {
        let t = 130_000 + i64::from(n) * 9_000;
        w.at(t, &call(bad(n), "GET", "/api/home").app());
        w.at(t + 2_000, &pay(call(bad(n), "POST", "/api/payments").app(), "NO1190012345678".into()));
    }
    expect(&w.judge(), "ato-transfer-fraud", 9);
}

#[test]
fn who_names_no_receiver_does_not_pay_the_same_one() {
    let mut w = World::new();
    w.honest();
    for n in 0..12u32 {
        let t = 130_000 + i64::from(n) * 9_000;
        w.at(t, &call(ip(3, 0, n as u8), "GET", "/api/home").chrome());
        let give = call(ip(3, 0, n as u8), "POST", "/api/transfer").chrome();
        w.at(t + 6_000, &give.body(format!("{{\"partner\":\"friend of {n}\",\"points\":500}}")));
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn who_changes_a_phone_number_asks_for_no_code() {
    let of = |method| {
        roles((0..12u32).map(|n| {
            let path = format!("/api/staff/{}", 1000 + n);
            let body = format!("{{\"phone\":\"+47 4{n:07}\"}}");
            call(ip(3, 0, n as u8), method, "/api/staff/{id}").path(path).chrome().body(body)
        }))
    };
    assert!(!of("PATCH").contains("otp"));
    assert!(of("POST").contains("otp"));
}

#[test]
fn a_passcode_beside_the_number_of_a_customer_signs_in_and_that_of_a_meeting_does_not() {
    let of = |key: &str| {
        roles((0..12u32).map(|n| {
            let body = format!("{{\"{key}\":\"KB4001{n:02}\",\"passcode\":\"4711{n:02}\"}}");
            call(ip(3, 0, n as u8), "POST", "/v3/open").app().body(body)
        }))
    };
    assert!(of("customerId").contains("login"));
    assert!(of("memberNumber").contains("login"));
    assert!(!of("displayName").contains("login") && !of("challengeId").contains("login"));
}

#[test]
fn who_changes_one_record_after_the_other_with_one_login() {
    let session = |n: u32| format!("sid=0123456789abcdef{n:04}");
    let change = |c: Call, record: u32, by: u32| {
        let body = format!("{{\"role\":\"admin\",\"salary\":{}}}", 90_000 + record);
        c.path(format!("/api/staff/{record}")).header("Cookie", session(by)).body(body)
    };
    let mut w = World::new();
    w.honest();
    for n in 0..24u32 {
        let who = ip(3, 0, n as u8);
        for i in 0..=i64::from(n % 2) {
            let own = change(call(who, "PATCH", "/api/staff/{id}").chrome(), 1000 + n, n);
            w.at(20_000 + i64::from(n) * 9_000 + i * 30_000, &own);
        }
    }
    for n in 0..50u32 {
        let other = change(call(bad(1), "PATCH", "/api/staff/{id}").script(), 1000 + n * 7, 77);
        w.at(120_000 + i64::from(n) * 900, &other);
    }
    let engine = w.judge();
    expect(&engine, "bola", 1);
    assert_eq!(convicted(&engine).len(), 1);
}

/// A page with what it loads, then `tries` of what `make` makes, seconds apart.
fn tries(w: &mut World, t: i64, who: std::net::IpAddr, tries: u32, make: impl Fn(u32) -> Call) {
    w.at(t, &call(who, "GET", "/").chrome().html());
    for (n, asset) in (0..).zip(["/app.js", "/main.css", "/logo.png", "/vendor.js"]) {
        w.at(t + 100 + n * 30, &call(who, "GET", asset).chrome());
    }
    for i in 0..tries {
        w.at(t + 5_000 + i64::from(i) * 6_000, &make(i));
    }
}

#[test]
fn code_after_code_from_browsers_that_load_pages() {
    let of = |attempts: u32| {
        let mut w = World::new();
        w.honest();
        let code = |who, n: u32| {
            call(who, "POST", "/api/otp/verify").chrome().body(format!("{{\"code\":\"{n:06}\"}}"))
        };
        for n in 0..40u32 {
            let who = ip(3, 0, n as u8);
            tries(&mut w, 20_000 + i64::from(n) * 9_000, who, 1 + n % 2, |i| {
                code(who, 500_000 + n * 7 + i).status(if i < n % 2 { 400 } else { 200 })
            });
        }
        for n in 0..14u32 {
            let who = if attempts > 3 { bad(n) } else { ip(4, 0, n as u8) };
            tries(&mut w, 60_000 + i64::from(n) * 11_000, who, attempts, |i| {
                code(who, n * 991 + i * 7).status(400)
            });
        }
        w.judge()
    };
    expect(&of(5), "token-cracking", 14);
    assert_eq!(convicted(&of(3)), [], "people who mistype and give up");
}

#[test]
fn card_after_card_whose_number_stands_in_an_object() {
    let of = |cards: u32| {
        let mut w = World::new();
        w.honest();
        let pay = |who, n: u64, status: u16| {
            let body = format!(
                "{{\"card\":{{\"number\":\"{}\",\"expiry\":\"09/29\",\"cvc\":\"123\"}}}}",
                4_000_000_000_000_000 + n
            );
            let path = format!("/api/orders/{}/settle", 7000 + n % 5);
            call(who, "POST", "/api/orders/{order}/settle").path(path).chrome().body(body).status(status)
        };
        for n in 0..40u32 {
            let who = ip(3, 0, n as u8);
            tries(&mut w, 20_000 + i64::from(n) * 9_000, who, 1, |_| pay(who, u64::from(n) * 7919, 200));
        }
        for n in 0..14u32 {
            let who = if cards > 3 { bad(n) } else { ip(4, 0, n as u8) };
            tries(&mut w, 60_000 + i64::from(n) * 11_000, who, cards, |i| {
                pay(who, u64::from(n * 991 + i * 7), 402)
            });
        }
        w.judge()
    };
    expect(&of(5), "carding", 14);
    assert_eq!(convicted(&of(2)), [], "people whose first card is declined, and the second");
}

#[test]
fn a_list_with_a_password_for_each_account_is_no_spray() {
    let reasons = |password: fn(u32) -> String| {
        let mut w = World::new();
        w.honest();
        for n in 0..60u32 {
            let body = format!("{{\"username\":\"user{n}\",\"password\":\"{}\"}}", password(n));
            let login = call(bad(0), "POST", "/api/login").script().body(body).status(401);
            w.at(60_000 + i64::from(n) * 1_500, &login);
        }
        let engine = w.judge();
        expect(&engine, "credential-stuffing", 1);
        let rows = engine.verdicts().into_iter().filter(|v| v.intent == "malicious");
        rows.flat_map(|v| v.reasons).map(|r| r.indicator).collect::<BTreeSet<_>>()
    };
    assert!(!reasons(|n| format!("hunter{n}pw")).contains("password-spray"));
    assert!(reasons(|n| format!("Summer20{}!", n % 2)).contains("password-spray"));
}
