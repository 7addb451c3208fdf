//! Abuse that leaves out what leads to it, each with what honest callers do at the same endpoints.

use std::net::IpAddr;

use super::{Call, World, bad, call, ip};

/// A page with all that it loads, as a browser asks for it.
pub fn visit(w: &mut World, t: i64, who: IpAddr) {
    page(w, t, who, "/", "/");
    for (n, asset) in ["/app.js", "/main.css", "/logo.png", "/vendor.js"].into_iter().enumerate() {
        w.at(t + 100 + n as i64 * 30, &call(who, "GET", asset).chrome());
    }
}

fn page(w: &mut World, t: i64, who: IpAddr, template: &'static str, path: &str) {
    w.at(t, &call(who, "GET", template).path(path).chrome().html());
}

/// A call of a script from the page `from`.
fn from(c: Call, from: &str) -> Call {
    c.chrome().set("Referer", Some(&format!("https://shop.test{from}")))
}

fn nights(who: IpAddr, room: u32, day: u32) -> Call {
    let path = format!("/rooms/{room}/nights?from=2027-01-{day:02}");
    from(call(who, "GET", "/rooms/{room}/nights").path(path), &format!("/rooms/{room}"))
}

/// Twenty people look at rooms and ask for their nights; `pages` says whether their pages are seen.
pub fn guests(w: &mut World, pages: bool) {
    for n in 0..20u32 {
        let (who, t) = (ip(3, 0, n as u8), 95_000 + i64::from(n) * 5_000);
        if pages {
            visit(w, t, who);
        }
        for i in 0..3u32 {
            let (room, at) = (100 + n % 6 + i, t + 4_000 + i64::from(i) * 9_000);
            if pages {
                page(w, at, who, "/rooms/{room}", &format!("/rooms/{room}"));
            }
            w.at(at + 2_000, &nights(who, room, 1 + n % 3));
        }
    }
}

/// Ten addresses ask for the nights of room after room, from pages that they never open.
pub fn nights_without_rooms(w: &mut World, who: impl Fn(u32) -> IpAddr) {
    for n in 0..100u32 {
        w.at(100_000 + i64::from(n) * 1_500, &nights(who(n % 10), 200 + n, 1 + n % 20));
    }
}

fn review(who: IpAddr, n: u32) -> Call {
    let path = format!("/reviews/{n}");
    let body = format!("{{\"comment\":\"nice and quiet, see {n}\",\"author\":\"a{n}\"}}");
    from(call(who, "POST", "/reviews/{room}").path(path), &format!("/rooms/{n}")).body(body)
}

/// Twelve guests write a review each; four of another kind write five each, from pages that they open or do not.
pub fn reviews(w: &mut World, who: impl Fn(u32) -> IpAddr, pages: bool) {
    for n in 0..12u32 {
        let (guest, t) = (ip(3, 1, n as u8), 95_000 + i64::from(n) * 9_000);
        visit(w, t, guest);
        page(w, t + 4_000, guest, "/rooms/{room}", &format!("/rooms/{n}"));
        w.at(t + 30_000, &review(guest, n));
    }
    for n in 0..20u32 {
        let (writer, t) = (who(n % 4), 110_000 + i64::from(n) * 6_000);
        if pages {
            visit(w, t - 5_000, writer);
            page(w, t - 3_000, writer, "/rooms/{room}", &format!("/rooms/{}", 50 + n));
        }
        w.at(t, &review(writer, 50 + n));
    }
}

fn account(who: IpAddr, n: u32, domain: &str) -> Call {
    let body =
        format!("{{\"email\":\"kx{n}q@{domain}\",\"password1\":\"Aa1!{n}\",\"password2\":\"Aa1!{n}\"}}");
    from(call(who, "POST", "/join/register"), "/join/register").body(body).status(201)
}

/// Twelve people make an account and go on, three of them with a throw-away address; `who` do nothing but that.
pub fn accounts(w: &mut World, who: impl Fn(u32) -> IpAddr, many: u32) {
    for n in 0..12u32 {
        let (person, t) = (ip(3, 2, n as u8), 95_000 + i64::from(n) * 9_000);
        visit(w, t, person);
        let domain = if n % 4 == 0 { "mailinator.com" } else { "mail.test" };
        w.at(t + 20_000, &account(person, n, domain));
        for (i, path) in ["/api/home", "/api/feed", "/api/config"].into_iter().enumerate() {
            w.at(t + 22_000 + i as i64 * 3_000, &call(person, "GET", path).chrome());
        }
    }
    for n in 0..many {
        let t = 100_000 + i64::from(n) * 7_000;
        page(w, t, who(n), "/join/register", "/join/register");
        for (i, asset) in ["/app.js", "/main.css", "/logo.png"].into_iter().enumerate() {
            w.at(t + 100 + i as i64 * 30, &call(who(n), "GET", asset).chrome());
        }
        w.at(t + 6_000, &account(who(n), 500 + n, "mailinator.com"));
    }
}

fn hold(who: IpAddr, seat: u32) -> Call {
    let path = format!("/api/drops/{seat}/reservations");
    call(who, "POST", "/api/drops/{id}/reservations").path(path).app().body("{\"n\":4}")
}

/// Thirty phones hold a seat once or twice, one client the same seats again and again; where it `reads`, a person fills a cart with
/// one thing after another and looks around.
pub fn holds(w: &mut World, who: IpAddr, reads: bool) {
    for n in 0..30u8 {
        let t = 100_000 + i64::from(n) * 5_000;
        w.at(t, &hold(ip(2, 0, n), 7));
        let buy = call(ip(2, 0, n), "POST", "/api/checkout").app().body("{\"cart\":1}");
        w.at(t + 9_000, &buy);
    }
    for n in 0..40u32 {
        let t = 110_000 + i64::from(n / 4) * 20_000 + i64::from(n % 4) * 300;
        if !reads {
            w.at(t, &if n % 4 < 2 { hold(who, 7) } else { hold(who, 7).status(409) });
        } else if n % 2 == 0 {
            w.at(t, &hold(who, 7 + n));
            for (i, path) in ["/api/home", "/api/feed", "/api/config"].into_iter().enumerate() {
                w.at(t + 4_000 + i as i64 * 1_000, &call(who, "GET", path).app());
            }
        }
    }
}

/// A program asks for, or tells, the same thing twenty times a second.
pub fn flood(w: &mut World, who: IpAddr, write: bool) {
    for n in 0..900 {
        let c = if write {
            call(who, "POST", "/api/feed").body("{\"a\":1}")
        } else {
            call(who, "GET", "/api/feed")
        };
        let c =
            c.header("Host", "shop.test").header("Accept", "*/*").header("User-Agent", "Go-http-client/1.1");
        w.at(100_000 + n * 45, &c);
    }
}

fn pay(who: IpAddr, order: u32, card: u32, declined: bool) -> Call {
    let path = format!("/booking/{order}/payment");
    let body = format!(
        "{{\"cardNumber\":\"4546710{:09}\",\"expiry\":\"11/29\",\"cvv\":\"{:03}\"}}",
        card * 7_919,
        card % 1000
    );
    let c = from(call(who, "POST", "/booking/{id}/payment").path(path), "/booking").body(body);
    if declined { c.status(402) } else { c }
}

/// Twelve people pay, some after a card was declined; `who` try `cards` each.
pub fn cards(w: &mut World, who: impl Fn(u32) -> IpAddr, cards: u32) {
    for n in 0..12u32 {
        let (person, t) = (ip(3, 3, n as u8), 95_000 + i64::from(n) * 9_000);
        visit(w, t, person);
        if n % 4 == 0 {
            w.at(t + 15_000, &pay(person, n, n, true));
        }
        w.at(t + 30_000, &pay(person, n, 100 + n, false));
    }
    for n in 0..4 * cards {
        let t = 110_000 + i64::from(n) * 4_000;
        w.at(t, &pay(who(n % 4), 900 + n % 4, if cards > 1 { 1_000 + n } else { n }, true));
    }
}

fn forgotten(who: IpAddr, name: &str, there: bool) -> Call {
    let c = from(call(who, "POST", "/password/forgot"), "/password/forgot");
    let c = c.body(format!("{{\"email\":\"{name}@mail.test\"}}"));
    if there { c } else { c.status(404) }
}

/// Twelve people who forgot their password; `who` ask for `each` accounts, every other of which is nobody's.
pub fn forgotten_passwords(w: &mut World, who: impl Fn(u32) -> IpAddr, each: u32) {
    for n in 0..12u32 {
        let (person, t) = (ip(3, 4, n as u8), 95_000 + i64::from(n) * 9_000);
        visit(w, t, person);
        w.at(t + 30_000, &forgotten(person, &format!("p{n}"), true));
    }
    for n in 0..15 * each {
        let t = 110_000 + i64::from(n) * 3_000;
        w.at(t, &forgotten(who(n % 15), &format!("v{n}"), each > 1 && n % 2 == 0 || n % 6 > 0 && each == 1));
    }
}

fn offer(who: IpAddr, n: u32) -> Call {
    let mut c = call(who, "GET", "/api/tariffs/{id}").path(format!("/api/tariffs/{n}")).app();
    c.answer = format!("{{\"id\":{n},\"price\":{}}}", n * 3);
    c
}

/// Thirty phones ask for a few offers after they were started; `who` for nothing else.
pub fn offers(w: &mut World, who: impl Fn(u32) -> IpAddr, each: u32) {
    for n in 0..30u32 {
        for i in 0..5 {
            let t = 30_000 + i64::from(n) * 8_500 + i64::from(i) * 4_000;
            w.at(t, &offer(ip(2, 0, n as u8), 10 + (n + i) % 9));
        }
    }
    for n in 0..12 * each {
        w.at(
            110_000 + i64::from(n) * 1_100,
            &offer(who(n % 12), if each > 4 { 300 + n } else { 10 + n % 9 }),
        );
    }
}

fn booking(who: IpAddr, n: u32, there: bool) -> Call {
    let c = call(who, "POST", "/api/booking/retrieve").chrome();
    let c = c.body(format!("{{\"bookingReference\":\"Q{n:05}\",\"lastName\":\"Berg\"}}"));
    if there { c } else { c.status(404) }
}

/// Thirty people look up their booking, some after a slip; `who` try `each` that are not there, in browsers that load the page.
pub fn bookings(w: &mut World, who: impl Fn(u32) -> IpAddr, each: u32) {
    for n in 0..30u32 {
        let (person, t) = (ip(3, 6, n as u8), 95_000 + i64::from(n) * 9_000);
        visit(w, t, person);
        if n % 6 == 0 {
            w.at(t + 15_000, &booking(person, 7_000 + n, false));
        }
        w.at(t + 30_000, &booking(person, 100 + n, true));
    }
    for n in 0..14u32 {
        let t = 110_000 + i64::from(n) * 9_000;
        visit(w, t, who(n));
        for i in 0..each {
            let pause = i64::from(i) * 6_000 + i64::from(n * 7 % 11) * 300;
            w.at(t + 5_000 + pause, &booking(who(n), 1_000 + (n * each + i) * 53, false));
        }
    }
}

/// A scan that most of a site's redirects and pages answer.
pub fn probes(w: &mut World, who: IpAddr) {
    for n in 0..14 {
        let c = call(who, "GET", "/(page)").path(format!("/.env.{n}")).script().status(301);
        w.at(100_000 + n * 2_500, &c.attack(if n % 5 == 0 { "log4shell" } else { "sensitive-file" }));
    }
}

/// Phones ask what is in store; `who` is signed in and asks for all of it by a program.
pub fn stock_of_all(w: &mut World, who: IpAddr) {
    let stock = |who, n: u32| call(who, "GET", "/api/goods/{id}").path(format!("/api/goods/{}", 300 + n * 7));
    for n in 0..60u32 {
        w.at(20_000 + i64::from(n) * 4_000, &stock(ip(2, 0, (n % 30) as u8), n % 9).app());
    }
    for n in 0..63u32 {
        let c = stock(who, n).java().header("Authorization", "Bearer 99998888777766665555");
        w.at(100_000 + i64::from(n) * 2_000, &c);
    }
}

/// The head of a real Chrome where no TLS is spoken.
fn plainly(c: Call) -> Call {
    let secure = [
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "Sec-Fetch-Site",
        "Sec-Fetch-Mode",
        "Sec-Fetch-Dest",
    ];
    let c = secure.iter().fold(c.chrome(), |c, name| c.set(name, None));
    c.set("Accept-Encoding", Some("gzip, deflate"))
}

/// Twenty people read an article each; `who` read two dozen, with all that belongs to them.
pub fn readers(w: &mut World, who: impl Fn(u32) -> IpAddr) {
    let article = |who, n: u32| call(who, "GET", "/news/{id}").path(format!("/news/{n}")).html();
    for n in 0..20u32 {
        let (person, t) = (ip(3, 5, n as u8), 95_000 + i64::from(n) * 5_000);
        visit(w, t, person);
        w.at(t + 5_000, &article(person, n % 4).chrome());
    }
    for n in 0..72u32 {
        let (reader, t) = (who(n % 3), 100_000 + i64::from(n / 3) * 9_000 + i64::from(n % 3) * 777);
        w.at(t, &plainly(article(reader, n)));
        for (i, asset) in ["/app.js", "/main.css", "/logo.png"].into_iter().enumerate() {
            w.at(t + 100 + i as i64 * 30, &plainly(call(reader, "GET", asset)));
        }
    }
}

/// Browsers that load every page with what belongs to it. Twenty people follow links to a few pages each; of each of `who` thirty are
/// opened, in order and with no link that led there where they are `typed`.
pub fn catalogue(w: &mut World, who: impl Fn(u32) -> IpAddr, typed: bool) {
    let product = |who, n: u32, led: bool| {
        let c = call(who, "GET", "/product/{id}").path(format!("/product/{n}")).html().chrome();
        if led { c } else { c.set("Referer", None) }
    };
    for n in 0..20u32 {
        let (person, t) = (ip(3, 6, n as u8), 60_000 + i64::from(n) * 7_000);
        visit(w, t, person);
        for i in 0..3u32 {
            let c = product(person, 4_000 + n * 37 % 400 + i * 91, true);
            w.at(t + 5_000 + i64::from(i) * 8_000, &c);
        }
    }
    for n in 0..90u32 {
        let (reader, t) = (who(n % 3), 100_000 + i64::from(n / 3) * 3_100 + i64::from(n % 3) * 777);
        w.at(t, &product(reader, 4_000 + n % 3 * 100 + n / 3 * 2, !typed));
        for (i, asset) in ["/app.js", "/main.css", "/logo.png"].into_iter().enumerate() {
            w.at(t + 100 + i as i64 * 30, &call(reader, "GET", asset).chrome());
        }
    }
}

/// Accounts by browsers with the form's page, names and passwords of a program's making; of people, who look around as well, each of his own
/// where they are not `alike`.
pub fn made(w: &mut World, who: impl Fn(u32) -> IpAddr, alike: bool) {
    let join = |from: IpAddr, name: String, secret: String| {
        let body =
            format!("{{\"email\":\"{name}@mail.test\",\"password\":\"{secret}\",\"phone\":\"0761000\"}}");
        call(from, "POST", "/api/register").chrome().body(body)
    };
    let names = ["eva", "nils", "karin", "oskar", "maja", "olle"];
    let name = |n: u32| names.get(n as usize % names.len()).copied().unwrap_or_default();
    for n in 0..24u32 {
        let (person, t) = (ip(3, 7, n as u8), 60_000 + i64::from(n) * 9_000);
        visit(w, t, person);
        let secret = if alike { format!("Qw{}!er", 100 + n) } else { format!("{}{n}Zz!x", name(n + 1)) };
        w.at(t + 20_000, &join(person, format!("{}.b{}", name(n), 100 + n), secret));
        for (i, path) in ["/api/home", "/api/feed", "/api/config"].into_iter().enumerate() {
            w.at(t + 22_000 + i as i64 * 3_000, &call(person, "GET", path).chrome());
        }
    }
    for n in 0..(if alike { 4 } else { 20u32 }) {
        let t = 100_000 + i64::from(n) * 7_000;
        page(w, t, who(n), "/join", "/join");
        for (i, asset) in ["/app.js", "/main.css", "/logo.png"].into_iter().enumerate() {
            w.at(t + 100 + i as i64 * 30, &call(who(n), "GET", asset).chrome());
        }
        w.at(t + 9_000, &join(who(n), format!("{}.lind{}", name(n), 500 + n), format!("Qw{}!er", 900 + n)));
    }
}

/// All of them, each by attackers.
pub fn all(w: &mut World) {
    guests(w, true);
    nights_without_rooms(w, bad);
    reviews(w, |n| bad(100 + n), false);
    accounts(w, |n| bad(200 + n), 10);
    holds(w, bad(300), false);
    flood(w, bad(301), false);
    cards(w, |n| bad(310 + n), 6);
    forgotten_passwords(w, |n| bad(320 + n), 3);
    offers(w, |n| bad(340 + n), 10);
    probes(w, bad(360));
    catalogue(w, |n| bad(361 + n), true);
    made(w, |n| bad(370 + n), false);
    bookings(w, |n| bad(400 + n * 300), 8);
}
