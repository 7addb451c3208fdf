//! What endpoints are for is read from fields and answers where paths say nothing, or something else, and in other languages; who
//! has the head of attackers is convicted for what he does himself.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use world::{World, bad, call, convicted, expect, ip};

const TOKEN: &str = "/realms/kasse/protocol/openid-connect/token";
const FORM: &str = "application/x-www-form-urlencoded";

fn token(from: world::Call, user: u32, password: &str, status: u16) -> world::Call {
    let body = format!("grant_type=password&client_id=app&username=u{user}&password={password}");
    from.set("content-type", Some(FORM)).body(body).status(status)
}

#[test]
fn a_tenant_called_till_has_a_log_in_all_the_same() {
    let mut w = World::new();
    w.honest();
    for n in 0..20u32 {
        w.at(
            20_000 + i64::from(n) * 9_000,
            &token(call(ip(3, 0, n as u8), "POST", TOKEN).app(), n, &format!("own{n}"), 200),
        );
    }
    for n in 0..120u32 {
        let guess = token(call(bad(1), "POST", TOKEN).script(), 1000 + n, &format!("guess{n}"), 401);
        w.at(60_000 + i64::from(n) * 400, &guess);
    }
    expect(&w.judge(), "credential-stuffing", 1);
}

#[test]
fn faults_of_soap_are_answers() {
    let mut w = World::new();
    w.honest();
    let log_in = |who: IpAddr, password: &str| {
        let body = format!(
            "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body><p:AnmeldenRequest xmlns:p=\"urn:p\">\
             <p:kennung>makler7</p:kennung><p:kennwort>{password}</p:kennwort></p:AnmeldenRequest></soap:Body></soap:Envelope>"
        );
        call(who, "POST", "/services/PartnerService")
            .script()
            .set("content-type", Some("text/xml"))
            .body(body)
    };
    for n in 0..60 {
        let fault = "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body><soap:Fault>\
                     <faultcode>soap:Client</faultcode><faultstring>Kennung oder Kennwort ungültig</faultstring></soap:Fault></soap:Body></soap:Envelope>";
        let guess = log_in(bad(1), &format!("Makler{n}!")).status(500);
        w.at(60_000 + n * 900, &world::Call { answer: fault.into(), kind: "text/xml", ..guess });
    }
    expect(&w.judge(), "credential-cracking", 1);
}

fn card(who: IpAddr, code: u32, found: bool) -> world::Call {
    let answer = match found {
        true => "{\"durum\":\"tamam\",\"bakiye\":100}",
        false => "{\"durum\":\"hata\",\"kod\":4004,\"mesaj\":\"Geçersiz kart kodu\"}",
    };
    let asked =
        call(who, "POST", "/hediye-karti/sorgula").chrome().body(format!("{{\"kod\":\"HK{code:08}\"}}"));
    world::Call { answer: answer.into(), ..asked }
}

#[test]
fn gift_cards_guessed_in_another_language() {
    let mut w = World::new();
    w.honest();
    for n in 0..10u32 {
        w.at(20_000 + i64::from(n) * 20_000, &card(ip(3, 0, n as u8), n, true));
    }
    for n in 0..90u32 {
        w.at(60_000 + i64::from(n) * 2_000, &card(bad(n % 12), 70_000 + n * 17, false));
    }
    expect(&w.judge(), "giftcard-bruteforce", 10);
}

#[test]
fn fans_with_the_head_of_the_bots_are_let_go() {
    let mut w = World::new();
    w.honest();
    let hold = |who: IpAddr| call(who, "POST", "/shows/1/holds").app().body("{\"seats\":2}").status(409);
    for n in 0..30u32 {
        let who = ip(3, 1, n as u8);
        for m in 0..5 {
            w.at(60_000 + i64::from(n) * 300 + m * 2_600, &hold(who));
        }
    }
    for n in 0..12u32 {
        for m in 0..80 {
            w.at(60_000 + i64::from(n) * 40 + m * 480, &hold(bad(n)));
        }
    }
    expect(&w.judge(), "hype-sale-bot", 12);
}

#[test]
fn a_page_asked_for_hundreds_of_times_a_minute() {
    let mut w = World::new();
    w.honest();
    for n in 0..600 {
        w.at(60_000 + n * 60, &call(bad(1), "GET", "/hotels").set("user-agent", None).html());
    }
    expect(&w.judge(), "app-dos", 1);
}

#[test]
fn a_scan_under_ever_new_names_is_one_scan() {
    let mut w = World::new();
    w.honest();
    for n in 0..90_i64 {
        let agent = format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/{}.0.0.0 Safari/537.36",
            60 + n % 30
        );
        let probe = call(bad(1), "GET", "/{}")
            .script()
            .set("user-agent", Some(&agent))
            .path(format!("/backup{n}.zip"));
        w.at(60_000 + n * 300, &probe.status(404));
    }
    let engine = w.judge();
    expect(&engine, "directory-bruteforce", 1);
    let campaigns = engine.campaigns();
    let paths = campaigns.iter().filter_map(|c| c.outcome.get("paths-tried"));
    assert_eq!(paths.sum::<u64>(), 90);
}

fn sign_in(who: IpAddr, name: &str, word: &str, let_in: Option<u32>) -> world::Call {
    let asked =
        call(who, "POST", "/v2/signin").body(format!("{{\"user\":\"{name}\",\"password\":\"{word}\"}}"));
    let answer = match let_in {
        Some(n) => format!("{{\"state\":1,\"level\":2,\"token\":\"0f1e2d3c4b5a69780f1e{n:04}\"}}"),
        None => "{\"state\":7,\"level\":0}".into(),
    };
    world::Call { answer, ..asked }
}

/// Log-ins that are answered alike whether they work or not, but for what those that work are given.
fn alike(gives: bool) -> Vec<(IpAddr, String)> {
    let mut w = World::new();
    w.honest();
    for n in 0..30u32 {
        let given = Some(n).filter(|_| gives);
        w.at(
            20_000 + i64::from(n) * 5_000,
            &sign_in(ip(2, 0, n as u8), &format!("own{n}"), &format!("right{n}"), given).app(),
        );
    }
    for n in 0..150u32 {
        let c = sign_in(bad(n / 3), &format!("leaked{n}"), &format!("word{n}"), None);
        w.at(100_000 + i64::from(n) * 1_000, &c.script());
    }
    convicted(&w.judge())
}

#[test]
fn who_is_given_nothing_where_others_are_was_not_let_in() {
    let found = alike(true);
    assert!(found.len() >= 45 && found.iter().all(|(_, class)| class.starts_with("credential")), "{found:?}");
    assert_eq!(alike(false), [], "where nobody is given anything, nothing tells who was let in");
}
