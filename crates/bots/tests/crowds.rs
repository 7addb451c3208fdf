//! Crowds and single clients that no fingerprint tells from the application's own callers, found by what they leave out and by how
//! they fare; log-ins by other protocols; and the honest twins.

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

/// Twelve people who open the site and then do `act`.
fn people_who(w: &mut World, act: impl Fn(IpAddr, u32) -> Call) {
    for n in 0..12u32 {
        let (who, t) = (ip(3, 0, n as u8), 20_000 + i64::from(n) * 21_000);
        visit(w, t, who);
        w.at(t + 12_000, &act(who, n));
    }
}

fn comment(who: IpAddr, n: u32) -> Call {
    let body = format!("{{\"comment\":\"nice, see {n}\",\"author\":\"a{n}\",\"post\":\"{n}\"}}");
    call(who, "POST", "/comments").chrome().body(body)
}

#[test]
fn comments_of_addresses_that_do_nothing_else() {
    let mut w = World::new();
    w.honest();
    people_who(&mut w, comment);
    for n in 0..28u32 {
        w.at(100_000 + i64::from(n) * 6_000, &comment(bad(n % 14), n));
    }
    expect(&w.judge(), "spam", 13);
}

#[test]
fn a_few_people_whose_browser_had_everything_are_no_crowd() {
    let mut w = World::new();
    w.honest();
    people_who(&mut w, comment);
    for n in 0..6u32 {
        w.at(100_000 + i64::from(n) * 9_000, &comment(ip(4, 0, n as u8), n));
    }
    assert_eq!(convicted(&w.judge()), []);
}

fn sign_up(who: IpAddr, n: u32, domain: &str) -> Call {
    let body =
        format!("{{\"email\":\"kx{n}q@{domain}\",\"password1\":\"Aa1!{n}\",\"password2\":\"Aa1!{n}\"}}");
    call(who, "POST", "/join/register").chrome().body(body).status(201)
}

#[test]
fn accounts_made_one_by_one_with_the_head_of_a_browser() {
    let mut w = World::new();
    w.honest();
    people_who(&mut w, |who, n| sign_up(who, n, "mail.test"));
    for n in 0..20u32 {
        let (who, t) = (bad(n % 10), 100_000 + i64::from(n) * 9_000);
        w.at(t, &call(who, "GET", "/join/register").chrome().html());
        w.at(t + 2_000, &sign_up(who, 500 + n, "mailinator.com"));
        w.at(t + 2_300, &call(who, "GET", "/welcome").chrome().html());
    }
    expect(&w.judge(), "fake-account-creation", 9);
}

fn dav(who: IpAddr, user: u32, password: Option<&str>) -> Call {
    let mut c = call(who, "PROPFIND", "/{id}/").app().path(format!("/singer{user}/"));
    c.body = "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"/>".into();
    (c.status, c.kind) = (207, "text/xml");
    c.answer = "<multistatus xmlns=\"DAV:\"><response><propstat><status>HTTP/1.1 404 Not Found</status></propstat></response></multistatus>".into();
    match password {
        None => c.status(401).answers("WWW-Authenticate", "Basic realm=\"dav\""),
        Some(password) => {
            let known = base64(&format!("singer{user}:{password}"));
            let c = c.header("Authorization", format!("Basic {known}"));
            if password == "right" {
                c
            } else {
                c.status(401).answers("WWW-Authenticate", "Basic realm=\"dav\"")
            }
        }
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in text.as_bytes().chunks(3) {
        let word = part.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - part.len()));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= part.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// Each calendar's program asks without a password first, is asked for it, and goes on with it.
fn calendars(w: &mut World) {
    for n in 0..20u32 {
        let (who, t) = (ip(5, 0, n as u8), 5_000 + i64::from(n) * 11_000);
        w.at(t, &dav(who, n, None));
        w.at(t + 200, &dav(who, n, Some("right")));
        for i in 0..4 {
            let mut c = dav(who, n, Some("right"));
            (c.template, c.path) = ("/{id}/tasks/", format!("/singer{n}/tasks/"));
            w.at(t + 3_000 + i * 8_000, &c);
        }
    }
}

#[test]
fn basic_credentials_that_are_turned_away_are_log_ins() {
    let mut w = World::new();
    calendars(&mut w);
    for n in 0..40u32 {
        w.at(120_000 + i64::from(n) * 700, &dav(bad(1), 3, Some(&format!("guess{n}"))));
    }
    expect(&w.judge(), "credential-cracking", 1);
}

#[test]
fn a_password_tried_at_calendar_after_calendar_by_the_head_of_the_app() {
    let mut w = World::new();
    calendars(&mut w);
    for n in 0..54u32 {
        w.at(120_000 + i64::from(n) * 2_500, &dav(bad(n % 18), 100 + n, Some("Summer2026")));
    }
    expect(&w.judge(), "credential-stuffing", 17);
}

#[test]
fn a_phone_with_an_old_password_tries_nothing() {
    let mut w = World::new();
    calendars(&mut w);
    for n in 0..60u32 {
        w.at(100_000 + i64::from(n) * 5_000, &dav(ip(6, 0, 1), 7, Some("old")));
    }
    assert_eq!(convicted(&w.judge()), []);
}

fn meeting(who: IpAddr, code: &str, there: bool) -> [Call; 2] {
    // The page of every code is a path of its own as long as the inventory knows no better.
    let page: &'static str = Box::leak(format!("/m/{code}").into_boxed_str());
    let lookup = call(who, "GET", "/api/j/{code}").path(format!("/api/j/{code}")).chrome();
    [call(who, "GET", page).chrome().html(), if there { lookup } else { lookup.status(404) }]
}

#[test]
fn codes_tried_after_the_pages_that_lead_to_them() {
    let mut w = World::new();
    w.honest();
    for n in 0..30u32 {
        let (who, t) = (ip(7, 0, n as u8), 5_000 + i64::from(n) * 8_000);
        visit(&mut w, t, who);
        for (i, c) in meeting(who, &format!("abc-{n}defg-hij"), true).iter().enumerate() {
            w.at(t + 3_000 + i as i64 * 900, c);
        }
    }
    for n in 0..64u32 {
        for (i, c) in meeting(bad(n % 16), &format!("{n}qx-vw{n}z-k{n}j"), false).iter().enumerate() {
            w.at(100_000 + i64::from(n) * 2_600 + i as i64 * 400, c);
        }
    }
    expect(&w.judge(), "id-enumeration", 15);
}

#[test]
fn tickets_that_are_not_there_looked_up_by_a_crowd_of_the_apps_own_head() {
    let lookup = |who, n: u32| {
        call(who, "GET", "/api/tickets/{code}").path(format!("/api/tickets/T{}", n * 7919)).app()
    };
    let mut w = World::new();
    w.honest();
    for n in 0..30u8 {
        w.at(10_000 + i64::from(n) * 8_500, &lookup(ip(2, 0, n), u32::from(n)));
    }
    for n in 0..60u32 {
        w.at(100_000 + i64::from(n) * 2_000, &lookup(bad(n % 15), 500 + n).status(404));
    }
    expect(&w.judge(), "id-enumeration", 14);
}

#[test]
fn stores_walked_in_two_guises() {
    let near = |who, n: u32| {
        let path = format!("/api/pickup?lat={}.{:02}&lng=7.{:02}", 43 + n % 5, n * 7 % 100, n * 13 % 100);
        call(who, "GET", "/api/pickup").path(path)
    };
    let mut w = World::new();
    w.honest();
    for n in 0..30u8 {
        w.at(12_000 + i64::from(n) * 9_000, &near(ip(1, 0, n), u32::from(n % 4)).chrome());
    }
    for n in 0..160u32 {
        let c = near(bad(n % 24), 100 + n);
        let c = if n % 2 == 0 { c.chrome() } else { c.script() };
        w.at(100_000 + i64::from(n) * 1_100, &c);
    }
    expect(&w.judge(), "inventory-scraping", 22);
}

#[test]
fn a_list_that_nobody_else_reads_taken_by_a_robot_that_does_not_say_whose_it_is() {
    let mut w = World::new();
    w.honest();
    for n in 0..90u32 {
        let c = call(bad(n % 3), "GET", "/dealers/{plz}").path(format!("/dealers/{}", 10_000 + n * 37));
        let c = c.header("Host", "shop.test").header("User-Agent", "Mozilla/5.0 (compatible; DataBot)");
        w.at(100_000 + i64::from(n) * 1_500, &c.header("Accept", "*/*"));
    }
    expect(&w.judge(), "inventory-scraping", 3);
}

#[test]
fn a_site_copied_page_by_page() {
    let mut w = World::new();
    w.honest();
    let kinds = [
        "/items/{item}",
        "/tags/{tag}",
        "/feed/{id}",
        "/news/{id}",
        "/authors/{id}",
        "/api/embed/{id}",
        "/help/{id}",
    ];
    for n in 0..84u32 {
        let template = kinds[n as usize % kinds.len()];
        let path = format!("{}{n}", template.split('{').next().unwrap());
        let c = call(bad(1), "GET", template).path(path).html().header("Host", "shop.test");
        let c = c.header("User-Agent", "Mozilla/4.5 (compatible; HTTrack 3.0x; Windows 98)");
        w.at(100_000 + i64::from(n) * 900, &c.header("Accept", "*/*").header("Accept-Language", "en, *"));
    }
    expect(&w.judge(), "content-scraping", 1);
}

#[test]
fn log_ins_by_remote_procedures_and_many_in_one_request() {
    let single = |n: u32| {
        format!(
            "<?xml version=\"1.0\"?><methodCall><methodName>wp.getUsersBlogs</methodName><params><param><value><string>boss</string></value></param><param><value><string>guess{n}</string></value></param></params></methodCall>"
        )
    };
    let nested = |n: u32| {
        let calls: String = (0..8)
            .map(|i| format!("<value><struct><member><name>methodName</name><value><string>wp.getUsersBlogs</string></value></member><member><name>params</name><value><array><data><value><array><data><value><string>boss</string></value><value><string>apple{}</string></value></data></array></value></data></array></value></member></struct></value>", n * 8 + i))
            .collect();
        format!(
            "<?xml version=\"1.0\"?><methodCall><methodName>system.multicall</methodName><params><param><value><array><data>{calls}</data></array></value></param></params></methodCall>"
        )
    };
    let fault = "<?xml version=\"1.0\"?><methodResponse><fault><value><struct><member><name>faultCode</name><value><int>403</int></value></member><member><name>faultString</name><value><string>Incorrect username or password.</string></value></member></struct></value></fault></methodResponse>";
    let batch = |n: u32| {
        let calls: Vec<String> = (0..10)
            .map(|i| format!("{{\"op\":\"signIn\",\"user\":\"boss\",\"password\":\"pear{}\"}}", n * 10 + i))
            .collect();
        format!("[{}]", calls.join(","))
    };
    for kind in 0..3 {
        let mut w = World::new();
        w.honest();
        for n in 0..(if kind == 0 { 60 } else { 8 }) {
            let mut c = call(bad(1), "POST", if kind == 2 { "/rpc" } else { "/xmlrpc.php" });
            c = c.header("Host", "shop.test").header("User-Agent", "node").header("Accept", "*/*");
            c.body = [single(n), nested(n), batch(n)][kind].clone();
            (c.kind, c.answer) = ("text/xml", fault.into());
            if kind == 2 {
                (c.kind, c.answer) = ("application/json", "{\"error\":\"wrong password\"}".into());
            }
            w.at(100_000 + i64::from(n) * 3_000, &c);
        }
        expect(&w.judge(), "credential-cracking", 1);
    }
}

#[test]
fn an_administrator_who_brings_many_users_at_once_guesses_nothing() {
    let mut w = World::new();
    w.honest();
    for n in 0..12u32 {
        let users: Vec<String> = (0..10)
            .map(|i| format!("{{\"user\":\"new{}\",\"password\":\"start{}\"}}", n * 10 + i, n * 10 + i))
            .collect();
        let c = call(ip(1, 0, 3), "POST", "/admin/import").chrome().body(format!("[{}]", users.join(",")));
        w.at(100_000 + i64::from(n) * 20_000, &c);
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn a_checkout_hammered_with_the_apps_own_head() {
    let hold = |who, item: u32| {
        call(who, "POST", "/api/drops/{id}/reservations")
            .path(format!("/api/drops/{item}/reservations"))
            .app()
    };
    let mut w = World::new();
    w.honest();
    for n in 0..36u8 {
        let (who, t) = (ip(2, 0, n % 30), 150_000 + i64::from(n) * 700);
        w.at(t, &hold(who, 7).body("{\"n\":1}"));
        w.at(t + 4_000, &hold(who, 7).body("{\"n\":1}").status(409));
    }
    for n in 0..260u32 {
        let c = hold(bad(n % 12), 7).body("{\"n\":4}");
        w.at(150_000 + i64::from(n) * 50, &if n < 6 { c } else { c.status(409) });
    }
    expect(&w.judge(), "hype-sale-bot", 11);
}

#[test]
fn previews_that_share_a_library_with_an_attacker_are_left_alone() {
    let probe = |who, path: String, agent: &str| {
        let c = call(who, "GET", "/(page)").path(path).status(404).html();
        c.header("Host", "shop.test").header("User-Agent", agent.to_owned()).header("Accept", "*/*")
    };
    let mut w = World::new();
    w.honest();
    for n in 0..80u32 {
        let c = probe(
            bad(1),
            format!("/x{n}"),
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        );
        w.at(100_000 + i64::from(n) * 400, &c);
    }
    for n in 0..5u8 {
        let agent = "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)";
        for i in 0..2 {
            let path = format!("/items/{}", 1000 + i64::from(n) * 7 + i);
            let mut c = probe(ip(8, 0, n), path, agent);
            (c.template, c.status) = ("/items/{item}", 200);
            w.at(110_000 + i64::from(n) * 3_000 + i * 200, &c);
        }
    }
    let found = convicted(&w.judge());
    assert!(found.iter().all(|(who, _)| *who == bad(1)) && !found.is_empty(), "{found:?}");
}
