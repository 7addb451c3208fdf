//! The same acts in other applications' shapes: XML whose answers tell in a text how it went, sessions in a header of their own, goods
//! read from files that are called scripts, invitations whose codes are in the body.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use world::{Call, World, bad, call, convicted, expect, ip};

const PATH: &str = "/services/SelfCare";

fn asked(who: Call, operation: &'static str, fields: &str, answer: &str) -> Call {
    let body = format!("<?xml version=\"1.0\"?><Request op=\"{operation}\">{fields}</Request>");
    let mut c = who.set("content-type", Some("application/xml")).asks(operation).body(body);
    c.kind = "application/xml;charset=UTF-8";
    c.answer = format!("<?xml version=\"1.0\"?>{answer}");
    c
}

fn log_in(who: Call, line: u32, pin: u32, let_in: bool) -> Call {
    let fields = format!("<Msisdn>346{line:08}</Msisdn><Pin>{pin:05}</Pin>");
    let no = "<Response code=\"131\"><Msg>Datos incorrectos</Msg></Response>".to_owned();
    let yes = format!("<Response code=\"0\"><Session>{:032x}</Session></Response>", u64::from(line) * 7_919);
    asked(who, "Login", &fields, if let_in { &yes } else { &no })
}

#[test]
fn pins_of_lines_tried_in_xml_that_answers_in_words() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        let t = 20_000 + i64::from(n) * 6_000;
        if n % 8 == 0 {
            w.at(t, &log_in(call(ip(3, 0, n as u8), "POST", PATH).app(), n, 1, false));
        }
        w.at(t + 4_000, &log_in(call(ip(3, 0, n as u8), "POST", PATH).app(), n, 70_000 + n, true));
    }
    for n in 0..160u32 {
        let t = 60_000 + i64::from(n) * 1_100;
        w.at(t, &log_in(call(bad(n % 4), "POST", PATH).script(), 1_000 + n, 12_345, false));
    }
    expect(&w.judge(), "credential-stuffing", 4);
}

/// One session that is sent in a field of its own reads line after line; a clerk's program says a key.
#[test]
fn a_session_in_a_field_of_its_own_is_one() {
    let lines = |field: &'static str| {
        let mut w = World::new();
        w.honest();
        let line = |who: Call, n: u32, session: String| {
            let fields = format!("<Msisdn>346{n:08}</Msisdn>");
            let answer = format!(
                "<Response code=\"0\"><Line><Msisdn>346{n:08}</Msisdn><Holder>H{n}</Holder></Line></Response>"
            );
            asked(who.header(field, session), "GetLine", &fields, &answer)
        };
        for n in 0..60u32 {
            let session = format!("{:032x}", u64::from(n) * 104_729 + 11);
            for i in 0..3 {
                let c = line(call(ip(3, 1, n as u8), "POST", PATH).app(), n, session.clone());
                w.at(20_000 + i64::from(n) * 4_000 + i * 9_000, &c);
            }
        }
        for n in 0..140u32 {
            let c = line(call(bad(1), "POST", PATH).script(), 5_000 + n, format!("{:032x}", 999_983));
            w.at(60_000 + i64::from(n) * 1_000, &c);
        }
        convicted(&w.judge())
    };
    assert_eq!(lines("X-Session"), [(bad(1), "bola".to_owned())]);
}

/// `/products/lamp.js` answers with JSON: who loads it reads goods, no page's scripts.
#[test]
fn goods_read_as_scripts_over_many_addresses() {
    let mut w = World::new();
    w.honest();
    let data = |who: IpAddr, n: u32| {
        let mut c = call(who, "GET", "/products/{product}.js").path(format!("/products/lamp-{n}.js"));
        c.kind = "application/json";
        c.answer = format!("{{\"handle\":\"lamp-{n}\",\"price\":1999,\"available\":true}}");
        c
    };
    for n in 0..6u32 {
        w.at(40_000 + i64::from(n) * 9_000, &data(ip(3, 2, n as u8), n).chrome());
    }
    for n in 0..60u32 {
        for i in 0..5u32 {
            let t = 60_000 + i64::from(n) * 2_000 + i64::from(i) * 8_000;
            w.at(t, &data(bad(n * 300), (n * 5 + i) * 7 % 260).script());
        }
    }
    expect(&w.judge(), "price-scraping", 60);
}

#[test]
fn codes_of_invitations_that_are_sent_in_the_body() {
    let mut w = World::new();
    w.honest();
    let accept = |who: Call, n: u32, there: bool| {
        let mut c = who.body(format!("{{\"inviteCode\":\"{n:08X}\"}}"));
        (c.status, c.answer) = if there {
            (200, "{\"clinic\":\"North\"}".into())
        } else {
            (422, "{\"error\":\"invite_invalid\"}".into())
        };
        c
    };
    let post = |who: IpAddr| call(who, "POST", "/v/invites/accept");
    for n in 0..20u32 {
        w.at(30_000 + i64::from(n) * 9_000, &accept(post(ip(3, 4, n as u8)).app(), n * 7_919, n % 5 != 0));
    }
    for n in 0..250u32 {
        w.at(
            60_000 + i64::from(n) * 900,
            &accept(post(bad(n % 5)).script(), 99_000_000 + n * 104_729, false),
        );
    }
    expect(&w.judge(), "coupon-abuse", 5);
}

const GAME: &str = "UnityPlayer/2022.3.44f1 (UnityWebRequest/1.0, libcurl/8.5.0-DEV)";

/// A game's players, whose engine names the library beneath; a gateway that answers 200 with the number of the result.
fn gateway(who: IpAddr, path: &'static str, body: String, result: u32, says: &str) -> Call {
    let mut c = call(who, "POST", path)
        .header("Host", "shop.test")
        .header("User-Agent", GAME)
        .header("Accept", "*/*")
        .header("Accept-Encoding", "deflate, gzip")
        .header("Content-Type", "application/json")
        .body(body);
    c.answer = if result == 0 {
        format!("{{\"d\":{{\"sk\":\"{:024x}\",\"uid\":4}},\"ret\":0}}", u64::from(says.len() as u32) * 7_919)
    } else {
        format!("{{\"msg\":\"{says}\",\"ret\":{result}}}")
    };
    c
}

#[test]
fn a_games_players_are_no_tools_and_who_tries_accounts_at_its_gateway_is_found() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        let (who, t) = (ip(3, 9, n as u8), 20_000 + i64::from(n) * 5_000);
        let own = |p: &str| {
            format!("{{\"u\":\"pilot{n}\",\"p\":\"{p}{n}\",\"dv\":\"{:016x}\"}}", u64::from(n) * 7_919)
        };
        if n % 8 == 0 {
            w.at(t, &gateway(who, "/gw/acct/login", own("oops"), 1003, "account or password error"));
        }
        w.at(t + 3_000, &gateway(who, "/gw/acct/login", own("right"), 0, "yes"));
        for (i, path) in ["/gw/hb", "/gw/shop/buy", "/gw/chat/send", "/gw/match/join"].into_iter().enumerate()
        {
            w.at(t + 6_000 + i as i64 * 9_000, &gateway(who, path, format!("{{\"n\":{n}}}"), 0, "yes"));
        }
        // The week's code is over for most.
        let code = format!("{{\"code\":\"WEEK{}\"}}", n % 12);
        w.at(
            t + 50_000,
            &gateway(who, "/gw/code/redeem", code, if n % 5 == 0 { 0 } else { 3001 }, "invalid code"),
        );
    }
    for n in 0..120u32 {
        let body = format!(
            "{{\"u\":\"pilot{}\",\"p\":\"leak{n}\",\"dv\":\"{:016x}\"}}",
            1_000 + n,
            u64::from(n % 3)
        );
        let c = gateway(bad(n % 3), "/gw/acct/login", body, 1003, "account or password error");
        w.at(60_000 + i64::from(n) * 1_500, &c.set("user-agent", Some("Python/3.11 aiohttp/3.14.5")));
    }
    expect(&w.judge(), "credential-stuffing", 3);
}

/// Codes that go round among players of one version: most are over, and some try three.
#[test]
fn players_who_try_codes_that_are_over_guess_none() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        let (who, t) = (ip(3, 9, n as u8), 20_000 + i64::from(n) * 5_000);
        let own =
            format!("{{\"u\":\"pilot{n}\",\"p\":\"right{n}\",\"dv\":\"{:016x}\"}}", u64::from(n) * 7_919);
        w.at(t, &gateway(who, "/gw/acct/login", own, 0, "yes"));
        let paths =
            ["/gw/hb", "/gw/score/submit", "/gw/chat/send", "/gw/match/join", "/gw/match/end", "/gw/top"];
        for (i, path) in paths.into_iter().cycle().take(15).enumerate() {
            w.at(t + 6_000 + i as i64 * 8_000, &gateway(who, path, format!("{{\"n\":{n}}}"), 0, "yes"));
        }
        for i in 0..if n % 4 == 0 { 3 } else { 1u32 } {
            let body = format!("{{\"code\":\"W{:07X}\"}}", (n * 3 + i) * 104_729);
            w.at(
                t + 30_000 + i64::from(i) * 30_000,
                &gateway(who, "/gw/code/redeem", body, 3001, "invalid code"),
            );
        }
    }
    // A version before, whose players find theirs.
    for n in 0..20u32 {
        let body = format!("{{\"code\":\"WEEK{n}\"}}");
        w.at(
            30_000 + i64::from(n) * 7_000,
            &call(ip(3, 8, n as u8), "POST", "/gw/code/redeem").app().body(body),
        );
    }
    assert_eq!(convicted(&w.judge()), []);
}
