//! Sign-ins that look like those of people: account after account from driven browsers, one account through all channels, forms
//! that answer everything with a redirect; and the honest twins of each.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use world::{Call, World, bad, call, convicted, expect, ip};

fn login(who: std::net::IpAddr, user: &str, password: &str) -> Call {
    let body = format!("{{\"username\":\"{user}\",\"password\":\"{password}\"}}");
    call(who, "POST", "/api/login").body(body)
}

/// A page with all that it loads, as a browser asks for it.
fn visit(w: &mut World, t: i64, who: std::net::IpAddr) {
    w.at(t, &call(who, "GET", "/").chrome().html());
    for (n, asset) in ["/app.js", "/main.css", "/logo.png", "/vendor.js"].into_iter().enumerate() {
        w.at(t + 100 + n as i64 * 30, &call(who, "GET", asset).chrome());
    }
}

#[test]
fn driven_browsers_that_try_account_after_account() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        let t = 30_000 + i64::from(n) * 5_000;
        visit(&mut w, t, bad(n));
        for i in 0..3u32 {
            let pause = i64::from(i) * 21_000 + i64::from(n * 7 % 11) * 900;
            let c = login(bad(n), &format!("victim{}", n * 3 + i), &format!("leaked{n}-{i}")).chrome();
            w.at(t + 9_000 + pause, &c.status(401));
        }
    }
    let engine = w.judge();
    expect(&engine, "credential-stuffing", 40);
    assert_eq!(engine.campaigns().len(), 1);
    let rows = engine.verdicts();
    let told =
        rows.iter().flat_map(|v| &v.reasons).any(|r| r.observed.contains("one account after the other"));
    assert!(told, "{:?}", rows.first());
}

#[test]
fn people_who_try_their_one_or_two_accounts_while_nobody_gets_in_are_no_campaign() {
    let mut w = World::new();
    w.honest();
    for n in 0..60u32 {
        let who = ip(3, 0, n as u8);
        // An outage of two minutes, after the last sign-in of the others.
        let t = 300_000 + i64::from(n) * 2_000;
        visit(&mut w, t, who);
        for i in 0..4u32 {
            let user = if n % 6 == 0 { format!("out{n}-{i}") } else { format!("out{n}") };
            w.at(t + 5_000 + i64::from(i) * 6_000, &login(who, &user, "right").chrome().status(401));
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn one_account_guessed_through_the_site_the_app_and_the_api() {
    let mut w = World::new();
    w.honest();
    for n in 0..24u32 {
        let t = 30_000 + i64::from(n) * 9_000;
        let c = login(bad(n), "director", &format!("guess{n}"));
        let c = match n % 3 {
            0 => c.chrome(),
            1 => Call { template: "/m/login", path: "/m/login".into(), ..c }.app(),
            _ => Call { template: "/v1/auth/login", path: "/v1/auth/login".into(), ..c }.script(),
        };
        w.at(t, &c.status(401));
    }
    // The owner mistypes twice and gets in; so does the family's phone.
    for (n, who) in [ip(3, 0, 1), ip(3, 0, 2)].into_iter().enumerate() {
        let t = 120_000 + n as i64 * 40_000;
        visit(&mut w, t, who);
        for i in 0..2 {
            w.at(t + 6_000 + i * 5_000, &login(who, "director", &format!("typo{i}")).chrome().status(401));
        }
        w.at(t + 20_000, &login(who, "director", "right").chrome());
    }
    let engine = w.judge();
    expect(&engine, "credential-cracking", 22);
    let campaigns = engine.campaigns();
    assert_eq!(campaigns.len(), 1, "{campaigns:#?}");
    assert!(campaigns[0].endpoints.len() == 3, "{:?}", campaigns[0].endpoints);
}

#[test]
fn devices_with_a_password_that_was_changed_guess_nothing() {
    let mut w = World::new();
    w.honest();
    for n in 0..60u32 {
        let c = login(ip(3, 0, (n % 5) as u8), "family", "old").app();
        w.at(30_000 + i64::from(n) * 4_000, &c.status(401));
    }
    assert_eq!(convicted(&w.judge()), []);
}

/// A form that answers 302 to everything: in with a session, back to where it was sent to without.
fn form(who: std::net::IpAddr, user: &str, right: bool) -> Call {
    let mut c =
        call(who, "POST", "/member").chrome().set("Content-Type", Some("application/x-www-form-urlencoded"));
    c.body = format!("{{\"username\":\"{user}\",\"password\":\"p-{user}\"}}");
    c.kind = "text/html";
    c.answer = String::new();
    c = c.status(302).header("Cookie", "seen=1");
    if right {
        let session = format!("sessionid=a8f3b2c1d4e5{user}; HttpOnly");
        c.answers("Location", "/home").answers("Set-Cookie", session)
    } else {
        c.answers("Location", "/member")
    }
}

#[test]
fn a_form_that_answers_everything_with_a_redirect_is_protected() {
    let mut w = World::new();
    w.honest();
    for n in 0..30u32 {
        let (who, t) = (ip(1, 0, n as u8), 5_000 + i64::from(n) * 9_000);
        if n % 6 == 0 {
            w.at(t + 15_000, &form(who, &format!("member{n}"), false));
        }
        w.at(t + 21_000, &form(who, &format!("member{n}"), true));
    }
    for n in 0..120u32 {
        w.at(60_000 + i64::from(n) * 1_500, &form(bad(n), &format!("victim{n}"), n % 40 == 39));
    }
    expect(&w.judge(), "credential-stuffing", 110);
}

/// A log-in whose path and fields say nothing: what it gives is a session from then on.
fn gate(from: std::net::IpAddr, who: &str, word: &str) -> Call {
    let c = call(from, "POST", "/api/v2/aanvang").body(format!("{{\"wie\":\"{who}\",\"wat\":\"{word}\"}}"));
    Call { answer: "{\"resultaat\":\"neen\"}".into(), ..c }
}

fn through(c: Call, n: u32) -> Call {
    Call { answer: format!("{{\"sleutel\":\"0a1b2c3d4e5f60718293{n:04}\",\"lang\":\"nl\"}}"), ..c }
}

/// Callers of an application whose words nobody knows.
fn strangers(w: &mut World) {
    for n in 0..30u32 {
        let (from, at) = (ip(3, 20, n as u8), i64::from(n) * 5_000);
        w.at(at, &call(from, "GET", "/api/v2/begin").app());
        if n.is_multiple_of(6) {
            w.at(at + 2_000, &Call { status: 400, ..gate(from, &format!("wie{n}"), "mis") }.app());
        }
        w.at(at + 5_000, &through(gate(from, &format!("wie{n}"), &format!("wat{n}")), n).app());
        for (i, path) in (0u32..).zip(["/api/v2/mijn", "/api/v2/lijst", "/api/v2/nieuws"]) {
            let token = format!("Bearer 0a1b2c3d4e5f60718293{n:04}");
            w.at(
                at + 7_000 + i64::from(i) * 2_000,
                &call(from, "GET", path).app().header("Authorization", token),
            );
        }
    }
}

#[test]
fn a_log_in_of_unknown_words_is_known_by_the_session_that_it_gives() {
    let mut w = World::new();
    w.honest();
    strangers(&mut w);
    for n in 0..80u32 {
        let c = Call { status: 400, ..gate(bad(n), &format!("slachtoffer{n}"), &format!("gelekt{n}")) };
        w.at(160_000 + i64::from(n) * 900, &c.script());
    }
    expect(&w.judge(), "credential-stuffing", 70);
}

/// Two texts that give something else, among much that is refused: a search that makes a share link, which nobody presents.
#[test]
fn two_texts_that_give_no_session_are_no_log_in() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        let from = ip(3, 21, n as u8);
        let body = format!("{{\"van\":\"Utrecht{n}\",\"naar\":\"Zwolle\"}}");
        let c = call(from, "POST", "/api/v2/reis").app().body(body);
        let at = i64::from(n) * 5_000;
        w.at(at, &call(from, "GET", "/api/v2/begin").app());
        for i in 0..4 {
            w.at(
                at + 1_000 + i * 3_000,
                &Call { status: if i == 3 { 200 } else { 422 }, ..through(c.clone(), n) },
            );
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn a_member_whose_try_succeeds_stays_one() {
    let mut w = World::new();
    w.honest();
    for n in 0..60u32 {
        let body = format!("{{\"username\":\"victim{n}\",\"password\":\"leaked{n}\"}}");
        // The head of a tool that the site's own callers do not have, of whom no tool shows otherwise.
        let c = call(bad(n), "POST", "/api/login").chrome().set("sec-ch-ua-platform", None).body(body);
        let c = if n % 20 == 7 { c } else { c.status(401) };
        w.at(120_000 + i64::from(n) * 1_500, &c);
    }
    w.at(320_000, &call(ip(3, 22, 1), "GET", "/api/feed").app());
    expect(&w.judge(), "credential-stuffing", 60);
}

#[test]
fn refusals_of_unusual_kinds_are_refusals() {
    for status in [406, 409, 422, 451] {
        let mut w = World::new();
        w.honest();
        for n in 0..60u32 {
            let body = format!("{{\"username\":\"victim{n}\",\"password\":\"leaked{n}\"}}");
            w.at(
                120_000 + i64::from(n) * 900,
                &call(bad(n), "POST", "/api/login").script().body(body).status(status),
            );
        }
        expect(&w.judge(), "credential-stuffing", 58);
    }
}
