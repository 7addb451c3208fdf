//! Scenes of what people do once, done again and again by clients that do nothing else, and by the honest who do some of it too.

use std::net::IpAddr;

use super::{Call, World, bad, call, ip};

/// A page with all that it loads, as a browser asks for it.
fn visit(w: &mut World, t: i64, who: IpAddr, page: &'static str) {
    w.at(t, &call(who, "GET", page).chrome().html());
    for (n, asset) in ["/ui.js", "/ui.css", "/mark.svg"].into_iter().enumerate() {
        w.at(t + 100 + n as i64 * 30, &call(who, "GET", asset).chrome());
    }
}

fn account(who: IpAddr, n: u32) -> Call {
    let password = format!("{:08x}", n.wrapping_mul(2_654_435_761));
    let body = format!("{{\"email\":\"{}{}@mail.test\",\"password\":\"{password}\"}}", name(n), n % 97);
    call(who, "POST", "/v1/user/register").chrome().body(body).status(201)
}

/// Names of no common form.
fn name(n: u32) -> &'static str {
    const NAMES: [&str; 7] = ["oscar.a", "Lena_Marie", "tomk", "x-ray", "MBauer", "ana.lucia.r", "j"];
    NAMES[n as usize % NAMES.len()]
}

/// People make an account and go on; `each` accounts are made by each of `many` others, who are gone then.
pub fn accounts(w: &mut World, many: u32, each: u32, go_on: bool) {
    for n in 0..30u32 {
        let (who, t) = (ip(3, 5, n as u8), 60_000 + i64::from(n) * 9_000);
        visit(w, t, who, "/join");
        w.at(t + 20_000, &account(who, n));
        w.at(t + 25_000, &call(who, "GET", "/v1/me").chrome());
    }
    for n in 0..many {
        let who = if each >= 2 && !go_on { bad(n * 300) } else { ip(4, n as u8, 1) };
        let t = 90_000 + i64::from(n) * 7_000;
        visit(w, t, who, "/join");
        for i in 0..each {
            w.at(t + 9_000 + i64::from(i) * 14_000, &account(who, 1_000 + n * each + i));
        }
        for page in ["/v1/me", "/v1/orders", "/v1/news", "/v1/shop"].into_iter().filter(|_| go_on) {
            w.at(t + 60_000, &call(who, "GET", page).chrome());
        }
    }
}

fn code(who: IpAddr, n: u32) -> Call {
    call(who, "POST", "/v1/auth/sms").app().body(format!("{{\"phone\":\"+3466{n:07}\"}}"))
}

/// People have a code sent, some twice, and sign in with it; `each` numbers are named by each of the others.
pub fn codes(w: &mut World, many: u32, each: u32, sign_in: bool) {
    for n in 0..40u32 {
        let (who, t) = (ip(3, 6, n as u8), 40_000 + i64::from(n) * 9_000);
        (0..=n % 2).for_each(|i| w.at(t + i64::from(i) * 30_000, &code(who, n)));
        w.at(
            t + 45_000,
            &call(who, "POST", "/v1/auth/verify").app().body(format!("{{\"code\":\"{n:06}\"}}")),
        );
        w.at(t + 46_000, &call(who, "GET", "/v1/me").app());
    }
    for n in 0..many {
        let who = if each >= 4 && !sign_in { bad(n * 300) } else { ip(5, n as u8, 1) };
        let t = 90_000 + i64::from(n) * 5_000;
        for i in 0..each {
            let t = t + i64::from(i) * 23_000;
            w.at(t, &code(who, 1_000 + n * each + i));
            if sign_in {
                let body = format!("{{\"code\":\"{:06}\"}}", n * each + i);
                w.at(t + 9_000, &call(who, "POST", "/v1/auth/verify").app().body(body));
                w.at(t + 10_000, &call(who, "GET", "/v1/me").app());
            }
        }
    }
}

fn post(who: IpAddr, n: u32, link: bool) -> Call {
    let link = if link { format!("see https://cheap{n}.test/x for it") } else { "I had that too".into() };
    let body = format!("{{\"topic\":\"{}\",\"raw\":\"hello all of you {n} {link}\"}}", 100 + n % 41);
    call(who, "POST", "/api/posts").chrome().body(body).status(201)
}

fn topic(who: IpAddr, n: u32) -> Call {
    call(who, "GET", "/api/topics/{topic_id}").path(format!("/api/topics/{}", 100 + n)).chrome()
}

/// People read and post, one in `links` with a link; `each` texts with a link are posted by each of the others.
pub fn posts(w: &mut World, links: u32, many: u32, each: u32, read: bool) {
    for n in 0..40u32 {
        let (who, t) = (ip(3, 7, n as u8), 40_000 + i64::from(n) * 9_000);
        visit(w, t, who, "/latest");
        for i in 0..3u32 {
            w.at(t + 10_000, &topic(who, n + i));
            w.at(t + 30_000 + i64::from(i) * 20_000, &post(who, n * 3 + i, (n + i) % links == 0));
        }
    }
    for n in 0..many {
        let who = if each >= 3 && !read && links > 1 { bad(n * 300 + 5) } else { ip(6, n as u8, 1) };
        let t = 90_000 + i64::from(n) * 6_000;
        visit(w, t, who, "/latest");
        for i in 0..each {
            let t = t + 5_000 + i64::from(i) * 21_000;
            for nth in (0..3).filter(|_| read) {
                w.at(t - 2_000, &topic(who, n + i + nth));
            }
            w.at(t, &post(who, 1_000 + n * each + i, true));
        }
    }
}

fn batch(who: IpAddr, calls: u32, n: u32) -> Call {
    let call_of = |i: u32| {
        let market = (n * 7 + i) % 90;
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{i},\"method\":\"market.candles\",\"params\":{{\"market\":\"M-{market}\"}}}}"
        )
    };
    let body = format!("[{}]", (0..calls).map(call_of).collect::<Vec<_>>().join(","));
    let mut c = call(who, "POST", "/rpc").script().body(body);
    c.answer = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[1,2,3]}]".into();
    c
}

/// Browsers and apps ask for `usual` calls at once, tools for fifty; `key` says whose they are.
pub fn batches(w: &mut World, usual: u32, key: bool) {
    for n in 0..40u32 {
        let (who, t) = (ip(3, 8, n as u8), 40_000 + i64::from(n) * 9_000);
        visit(w, t, who, "/trade");
        for i in 0..4 {
            let c = batch(who, usual, n + i);
            w.at(
                t + 10_000 + i64::from(i) * 15_000,
                &call(who, "POST", "/rpc").chrome().body(c.body.clone()),
            );
        }
    }
    for n in 0..6u32 {
        let t = 90_000 + i64::from(n) * 6_000;
        for i in 0..40u32 {
            let c = batch(bad(n * 300), 50, n * 40 + i);
            let c = if key { c.header("X-Api-Key", format!("k{n:031}")) } else { c };
            w.at(t + i64::from(i) * 4_000, &c);
        }
    }
}

fn play(who: IpAddr, track: u32) -> Call {
    call(who, "POST", "/plays")
        .app()
        .body(format!("{{\"trackId\":\"t-{track}\",\"seconds\":31}}"))
        .status(204)
}

/// People listen to `each_own` tracks each; others play the same one again and again, or each his own.
pub fn plays(w: &mut World, each_own: u32, same: bool) {
    for n in 0..30u32 {
        let (who, t) = (ip(3, 9, n as u8), 40_000 + i64::from(n) * 5_000);
        for i in 0..9u32 {
            w.at(t + i64::from(i) * 31_000, &play(who, 100 + n * 13 + i % each_own));
        }
        w.at(t + 9_000, &call(who, "GET", "/v1/me").app());
    }
    for n in 0..20u32 {
        let who = if same && each_own > 1 { bad(n * 300 + 9) } else { ip(7, n as u8, 1) };
        let t = 90_000 + i64::from(n) * 4_000;
        for i in 0..14 {
            w.at(t + i * 9_000, &play(who, if same { 77 } else { 700 + n }));
        }
    }
}

/// All of them.
pub fn all(w: &mut World) {
    accounts(w, 24, 2, false);
    codes(w, 12, 9, false);
    posts(w, 9, 12, 6, false);
    batches(w, 3, false);
    plays(w, 9, true);
}
