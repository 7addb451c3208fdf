//! Forms whose fields and pages say in their own ways what they are for: who signs in by a number of any name, who makes an account
//! with a name and an address, who is told that there is nothing of the kind.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use world::{Call, World, bad, call, convicted, expect, ip};

const FORM: &str = "application/x-www-form-urlencoded";

fn form(from: Call, body: String) -> Call {
    from.set("content-type", Some(FORM)).body(body).html()
}

/// `clave` is a secret, `documento` a word that names no account.
fn with_document(from: Call, who: u32, word: &str, let_in: bool) -> Call {
    let body = format!("_token={:024x}&documento=4{who:07}G&clave={word}", who * 7919);
    let to = if let_in { "/carpeta" } else { "/sede?e=1" };
    let c = form(from, body).status(302).answers("location", to);
    if let_in { c.answers("set-cookie", format!("sid=s{who:020x}; HttpOnly")) } else { c }
}

#[test]
fn who_signs_in_by_a_number_of_another_name_signs_in() {
    let mut w = World::new();
    w.honest();
    let sede = |who: IpAddr| call(who, "POST", "/sede");
    for n in 0..30u32 {
        let own = sede(ip(3, 0, n as u8)).chrome();
        w.at(20_000 + i64::from(n) * 6_000, &with_document(own, n, &format!("own{n}"), true));
    }
    for n in 0..120u32 {
        let guess = sede(bad(n % 4)).script();
        w.at(
            60_000 + i64::from(n) * 1_200,
            &with_document(guess, 1000 + n, &format!("word{}", n % 3), false),
        );
    }
    expect(&w.judge(), "credential-stuffing", 4);
}

/// A secret beside the id of a thing is asked for that thing: a meeting, a shared file.
#[test]
fn a_secret_beside_an_id_signs_nobody_in() {
    let mut w = World::new();
    w.honest();
    let join = |who: IpAddr| call(who, "POST", "/join");
    for n in 0..30u32 {
        let body = format!("{{\"meetingId\":\"84{:07}\",\"password\":\"own{n}\"}}", n * 7919);
        w.at(20_000 + i64::from(n) * 6_000, &join(ip(3, 0, n as u8)).chrome().body(body));
    }
    for n in 0..120u32 {
        let body = format!("{{\"meetingId\":\"84{n:07}\",\"password\":\"p{n}\"}}");
        w.at(60_000 + i64::from(n) * 900, &join(bad(n % 4)).script().body(body).status(404));
    }
    let found = convicted(&w.judge());
    assert!(found.iter().all(|(_, class)| !class.starts_with("credential")), "{found:?}");
}

#[test]
fn accounts_made_with_a_name_and_an_address_are_made() {
    let mut w = World::new();
    w.honest();
    let listener = |who: IpAddr, n: u32| {
        let body =
            format!("{{\"email\":\"l{n}@mail.test\",\"username\":\"ear{n}\",\"password\":\"own{n}word\"}}");
        call(who, "POST", "/listeners").app().body(body).status(201)
    };
    for n in 0..20u32 {
        w.at(20_000 + i64::from(n) * 9_000, &listener(ip(3, 0, n as u8), n));
    }
    for n in 0..100u32 {
        let c = listener(bad(n / 4), 1000 + n);
        let same = c.body.replace(&format!("own{}word", 1000 + n), "Farm2026!");
        w.at(60_000 + i64::from(n / 4) * 2_000 + i64::from(n % 4) * 7_000, &c.body(same));
    }
    expect(&w.judge(), "fake-account-creation", 20);
}

#[test]
fn files_asked_for_one_after_the_other_by_a_form() {
    let mut w = World::new();
    w.honest();
    let file = |from: Call, n: u32, there: bool| {
        let c = form(from, format!("_token={:024x}&numero={n}&anio=2026", n * 104_729));
        let says = if there {
            "<dl><dt>Estado</dt><dd>En trámite</dd></dl>"
        } else {
            "<p class=error>No consta ningún expediente con esos datos</p>"
        };
        Call { answer: format!("<html><main><h1>Estado de expediente</h1>{says}</main></html>"), ..c }
    };
    let post = |who: IpAddr| call(who, "POST", "/expediente");
    for n in 0..30u32 {
        w.at(
            20_000 + i64::from(n) * 6_000,
            &file(post(ip(3, 0, n as u8)).chrome(), 700 + n * 31, n % 9 != 0),
        );
    }
    for n in 0..240u32 {
        w.at(60_000 + i64::from(n) * 900, &file(post(bad(n % 4)).script(), 3000 + n, n % 40 == 0));
    }
    expect(&w.judge(), "id-enumeration", 4);
}

/// A load generator says what it is; a library that asks as often may be the site's own.
#[test]
fn a_load_generator_that_nobody_asked_for_is_a_flood() {
    let flood = |agent: &str| {
        let mut w = World::new();
        w.honest();
        for n in 0..900 {
            let c = call(bad(1), "GET", "/quote").set("user-agent", Some(agent));
            w.at(60_000 + n * 100, &c.header("Host", "shop.test").header("Accept", "*/*"));
        }
        convicted(&w.judge())
    };
    let found = flood("Mozilla/5.0 (pc-x86_64-linux-gnu) Siege/4.0.7");
    assert_eq!(found, [(bad(1), "app-dos".to_owned())]);
    assert_eq!(flood("python-httpx/0.28.1"), []);
}
