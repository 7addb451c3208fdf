//! Each indicator fires for traffic that shows it: none looks at what nothing fills.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::collections::BTreeSet;

use sidetap_bots::Pack;
use sidetap_model::Anomaly;
use world::{APP, CHROME, Call, World, bad, call, ip};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Those that need tables of networks, parties or keys: tested with these. (`anomaly-extreme` needs a thousand clients: by a unit test.)
const OF_TABLES: [&str; 21] = [
    "ip-datacenter",
    "ip-cloud-function",
    "ip-vpn",
    "ip-tor",
    "ip-proxy-provider",
    "ip-private-relay",
    "ip-shared-access",
    "ip-blocklist",
    "ip-blocklist-weak",
    "known-partner",
    "known-monitor",
    "known-app",
    "partner-key-elsewhere",
    "web-bot-auth-valid",
    "web-bot-auth-invalid",
    "web-bot-auth-claimed",
    "hosting-contrast",
    "anonymous-contrast",
    "reported-contrast",
    "network-concentration",
    "network-scatter",
];

/// Ids of the indicators that fire in a world.
fn fired(seen: &mut BTreeSet<String>, honest: bool, act: impl FnOnce(&mut World)) {
    let mut world = World::new();
    if honest {
        world.honest();
    }
    act(&mut world);
    seen.extend(world.judge().fired().keys().map(|id| (*id).to_owned()));
}

fn get(n: u32, path: &'static str) -> Call {
    call(bad(n), "GET", path)
}

fn post(n: u32, path: &'static str) -> Call {
    call(bad(n), "POST", path)
}

/// `times` calls of one client, `gap` milliseconds apart.
fn repeat(w: &mut World, times: u32, gap: i64, make: impl Fn(u32) -> Call) {
    for n in 0..times {
        w.at(100_000 + i64::from(n) * gap, &make(n));
    }
}

fn agents(w: &mut World) {
    let names = [
        "",
        "python-requests/2.32",
        "PostmanRuntime/7.43",
        "sqlmap/1.8",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/150.0.0.0 Safari/537.36",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 AppleWebKit/537.36 (compatible; GPTBot/1.2)",
        "Mozilla/5.0 (compatible; ChatGPT-User/1.0)",
        "UptimeRobot/2.0",
        "facebookexternalhit/1.1",
        "Mozilla/5.0 (X11",
        "Mozilla/5.0 (iPhone; Windows NT 10.0) Safari/537.36",
        "${jndi:ldap://x}",
        "Mozilla/5.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.86 Safari/537.36",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/170.0.0.0 Safari/537.36",
    ];
    for (n, name) in (0u32..).zip(names) {
        for i in 0..4 {
            let c = get(n, "/api/feed").header("Host", "shop.test").header("User-Agent", name);
            w.at(100_000 + i64::from(n) * 100 + i * 5_000, &c);
        }
    }
    let google = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let mut real = call("66.249.66.1".parse().unwrap(), "GET", "/robots.txt").header("Host", "shop.test");
    real.kind = "text/plain";
    real.answer = "User-agent: *\nDisallow: /items/\n".into();
    w.at(110_000, &real.clone().header("User-Agent", google));
    for n in 0..4 {
        let mut c = real.clone();
        c.ip = bad(90);
        if n > 0 {
            c.path = format!("/items/{n}");
            c.template = "/items/{item}";
            c = c.html();
        }
        w.at(111_000 + n * 100, &c.header("User-Agent", "mybot/1.0 (+http://a.test/bot)"));
    }
    for n in 0..14u32 {
        let c = get(200, "/api/feed").header("Host", "shop.test").header("User-Agent", format!("tool-{n}/1"));
        w.at(120_000 + i64::from(n), &c);
    }
}

/// Heads, each of one client: what is changed of a Chrome's.
fn heads(w: &mut World) {
    let page = || call(bad(0), "GET", "/").chrome().html().header("Upgrade-Insecure-Requests", "1");
    let data = || call(bad(0), "GET", "/api/feed").chrome();
    let send = || call(bad(0), "POST", "/api/cart").chrome().body("{\"sku\":\"1\"}");
    let firefox = || data().set("User-Agent", Some(FIREFOX));
    let script = |head: &[(&'static str, &str)]| {
        head.iter().fold(call(bad(0), "GET", "/api/feed"), |c, (n, v)| c.header(n, *v))
    };
    let none = |c: Call, name| c.set(name, None);
    let mut first = data().set("Host", None);
    first.headers.push(("Host", "shop.test".into()));
    let mut twice = data();
    twice.headers.push(("User-Agent", CHROME.into()));
    let mut old = data();
    old.version = (1, 0);
    let with = |anomaly| {
        let mut c = data();
        c.anomalies.push(anomaly);
        c
    };
    let app = || call(bad(0), "GET", "/api/feed").app();
    let two = |c: Call| c.header("Cookie", "a=1").header("Cookie", "b=2");
    let multipart = "multipart/form-data; boundary=0123456789abcdef0123456789abcdef";
    let plain = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36";
    let all = [
        none(data(), "Accept"),
        none(data(), "Accept-Language"),
        data().set("Accept-Language", Some("en;q=2,de;q=3")),
        data().set("Accept-Language", Some("*")),
        data().set("Accept-Language", Some("en-US")),
        none(none(none(page(), "Sec-Fetch-Site"), "Sec-Fetch-Mode"), "Sec-Fetch-Dest"),
        data().set("Accept-Encoding", Some("gzip, deflate")),
        none(data(), "Accept-Encoding"),
        data().set("Accept-Encoding", Some("gzip, deflate, lzma")),
        data().set("Sec-Fetch-Mode", Some("navigate")),
        none(data(), "Sec-Fetch-Dest"),
        data().set("Sec-Fetch-Site", Some("none")),
        page().set("Sec-Fetch-Mode", Some("navigate")).set("Sec-Fetch-Dest", Some("document")),
        none(page(), "Upgrade-Insecure-Requests"),
        page().set("Sec-Fetch-Mode", Some("navigate")).header("X-Requested-With", "XMLHttpRequest"),
        none(data(), "sec-ch-ua"),
        none(data(), "sec-ch-ua-platform"),
        data().set("sec-ch-ua", Some("\"Chromium\";v=\"120\", \"Google Chrome\";v=\"120\"")),
        data().set("sec-ch-ua", Some("\"Chromium\";v=\"154\", \"Microsoft Edge\";v=\"154\"")),
        data().set("sec-ch-ua", Some("\"Chromium\";v=\"154\", \"HeadlessChrome\";v=\"154\"")),
        data().set("sec-ch-ua-platform", Some("\"Linux\"")),
        firefox(),
        call(bad(0), "GET", "/api/feed").script(),
        first,
        none(data(), "Connection"),
        data().set("Connection", Some("close")),
        data().set("accept", Some("*/*")),
        twice,
        old,
        with(Anomaly::BareLf),
        with(Anomaly::ContentLengthAndTransferEncoding),
        with(Anomaly::TcpOverlapDiffers),
        with(Anomaly::MultipartUnclosed),
        data().set("Host", Some("10.0.0.1")),
        data().set("Host", Some("shop.test:443")),
        data().set("Host", None),
        send().set("Origin", None),
        send().set("Content-Type", None),
        send().set("Content-Type", Some("application/x-www-form-urlencoded")),
        send().set("Content-Type", Some(multipart)),
        send().body("{\"sku\": \"1\"}"),
        data().header("Content-Type", "application/json"),
        data().body("{\"a\":1}"),
        two(data()),
        data().set("Referer", Some("https://shop.test/#top")),
        call(bad(0), "GET", "/x").chrome().set("Referer", Some("https://shop.test/x")),
        data().header("my_field", "1"),
        data().header("X-Nothing", ""),
        data().header("Postman-Token", "0123"),
        data().header("Expect", "100-continue"),
        data().header("Accept-Charset", "utf-8"),
        data().header("Keep-Alive", "300"),
        data().header("Via", "1.1 proxy"),
        data().header("X-Selenium", "1"),
        data().header("X-Scanner", "1"),
        data().header("X-HTTP-Method-Override", "DELETE"),
        data()
            .header("X-Forwarded-For", "127.0.0.1")
            .header("X-Client-IP", "1.2.3.4")
            .header("X-Real-IP", "1.2.3.4"),
        data().path("/api/%2e%2e/feed"),
        data().path(format!("/api/feed?q={}", "a".repeat(2100))),
        data().path("http://other.test/api/feed"),
        data().header("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."),
        call(bad(0), "TRACE", "/").chrome(),
        app().set("X-App-Version", None),
        script(&[("Host", "shop.test"), ("User-Agent", APP), ("Accept-Encoding", "gzip"), ("Accept", "*/*")]),
        script(&[("Host", "shop.test"), ("User-Agent", plain), ("Accept", "*/*")]),
        script(&[
            ("Accept", "a"),
            ("Accept-Encoding", "br"),
            ("Connection", "close"),
            ("Host", "h"),
            ("Referer", "https://h/"),
            ("User-Agent", plain),
        ]),
        script(&[
            ("Host", "shop.test"),
            ("Accept-Language", "en-US,en;q=0.9"),
            ("Accept-Encoding", "gzip, deflate, br"),
            ("User-Agent", plain),
            ("Accept", "*/*"),
            ("Connection", "keep-alive"),
        ]),
    ];
    for (n, mut c) in (0u32..).zip(all) {
        c.ip = bad(1000 + n);
        w.at(400_000 + i64::from(n) * 40, &c);
    }
}

fn navigations(w: &mut World) {
    repeat(w, 5, 900, |_| get(1, "/api/feed").chrome().set("Sec-Fetch-Mode", Some("navigate")));
    repeat(w, 30, 900, |_| call(bad(2), "HEAD", "/api/feed").chrome());
    repeat(w, 9, 900, |_| get(3, "/").chrome().html().header("Cache-Control", "no-cache"));
    repeat(w, 10, 900, |_| get(4, "/api/feed").chrome().answers("Set-Cookie", "a=b"));
    repeat(w, 12, 900, |n| get(5, "/items/{item}").path(format!("/items/{n}")).chrome().html());
    repeat(w, 5, 900, |_| {
        post(6, "/api/cart").chrome().set("Origin", Some("https://evil.test")).body("{\"sku\":1}")
    });
    let paths = ["/a", "/b", "/c", "/d"];
    repeat(w, 16, 900, |n| get(7, paths[n as usize % 4]).chrome());
    let names: [&'static str; 8] = ["X-A", "X-B", "X-C", "X-D", "X-E", "X-F", "X-G", "X-H"];
    repeat(w, 60, 900, |n| {
        let c = get(8, "/api/feed").chrome();
        (0..8).filter(|bit| n >> bit & 1 == 1).fold(c, |c, bit| c.header(names[bit], "1"))
    });
    repeat(w, 25, 900, |n| get(9, "/api/feed").path(format!("/api/feed?_={}", 1_700_000 + n)).chrome());
    let hosts: [&'static str; 16] = [
        "a.test", "b.test", "c.test", "d.test", "e.test", "f.test", "g.test", "h.test", "i.test", "j.test",
        "k.test", "l.test", "m.test", "n.test", "o.test", "p.test",
    ];
    repeat(w, 48, 900, |n| {
        let mut c = get(10, "/api/feed").chrome();
        c.host = hosts[n as usize % 16];
        c
    });
    repeat(w, 6, 900, |n| {
        get(11, "/api/partner").script().header("X-API-Key", format!("pk_live_0123456789abcd{n:02}"))
    });
    repeat(w, 30, 900, |_| get(12, "/old").chrome().status(302).answers("Location", "/new"));
    repeat(w, 12, 900, |_| get(13, "/api/feed").chrome().answers("ETag", "\"1\""));
    repeat(w, 3, 900, |_| get(14, "/robots.txt").script());
    repeat(w, 3, 900, |_| post(15, "/graphql").script().body("{\"query\": \"{ __schema { types } }\"}"));
    repeat(w, 3, 900, |_| post(15, "/api/list").script().body("{\"limit\": \"1000\"}"));
    repeat(w, 50, 900, |n| get(16, "/items/{item}").path(format!("/items/{n}")).script().html());
    repeat(w, 120, 900, |n| get(17, "/api/list").path(format!("/api/list?page={}", n + 1)).script());
    repeat(w, 30, 900, |_| {
        let mut c = get(18, "/media").script();
        c.size = 20_000_000;
        c
    });
    for (n, kind) in ["sqli", "sqli", "sqli", "xss", "sqli", "sqli", "sqli", "sqli"].into_iter().enumerate() {
        w.at(90_000 + n as i64 * 700, &get(19, "/api/feed").script().attack(kind).status(500));
    }
    repeat(w, 4, 900, |n| {
        get(20, "/.env").path(format!("/.env{n}")).script().attack("sensitive-file").status(404)
    });
    repeat(w, 60, 200, |n| get(21, "/{p}").path(format!("/secret-{n}/x")).script().status(404));
}

fn paces(w: &mut World) {
    repeat(w, 120, 500, |_| get(1, "/api/feed").chrome().status(429));
    repeat(w, 40, 250, |_| get(21, "/items").script().html());
    repeat(w, 400, 5_000, |_| get(2, "/api/feed").script());
    repeat(w, 500, 100, |_| get(3, "/api/feed").script());
    repeat(w, 300, 30, |_| get(4, "/api/feed").script());
    repeat(w, 400, 7, |n| get(20, "/api/list").path(format!("/api/list?q={n}")).script());
    repeat(w, 40, 3_000, |_| {
        let mut c = get(5, "/api/report").script().status(500);
        c.wait_ms = 20_000;
        c
    });
    repeat(w, 60, 700, |n| post(6, "/api/upload").script().body(format!("{{\"a\":{n}}}")));
    let names: [&'static str; 7] = ["/a", "/b", "/c", "/d", "/e", "/f", "/g"];
    repeat(w, 70, 700, |n| {
        get(7, names[n as usize % 7]).chrome().set("Referer", Some("https://shop.test/app"))
    });
    repeat(w, 150, 700, |n| get(8, names[n as usize % 3]).chrome());
    repeat(w, 60, 800, |n| get(9, "/items/{item}").path(format!("/items/{n}")).chrome().set("Referer", None));
    repeat(w, 20, 900, |n| get(9, names[n as usize % 7]).chrome().set("Referer", None));
    for n in 0..30i64 {
        let c = get(10, "/items/{item}").path(format!("/items/{n}")).chrome().html();
        w.at(100_000 + n * 4_000, &c.set("Referer", Some("https://shop.test/elsewhere")));
    }
    for n in 0..6i64 {
        w.at(100_000 + n * 9_000, &get(11, "/signup").chrome().html());
        let body = format!("{{\"email\":\"q{n}@mail.test\",\"password\":\"x\",\"name\":\"A\",\"b\":1}}");
        w.at(100_200 + n * 9_000, &post(11, "/api/signup").chrome().body(body));
    }
    repeat(w, 8, 700, |n| {
        post(12, "/api/login").chrome().body(format!("{{\"username\":\"v{n}\",\"password\":\"x\"}}"))
    });
}

/// Whole days: a person's hours, and one who never sleeps.
fn days(w: &mut World) {
    for hour in 0..48i64 {
        let n = if (6..22).contains(&(hour % 24)) { 80 } else { 4 };
        for i in 0..n {
            let who = call(ip(3, 0, (i % 40) as u8), "GET", "/api/feed").chrome();
            w.at(hour * 3_600_000 + i * 40_000, &who);
        }
        for i in 0..6 {
            w.at(hour * 3_600_000 + i * 500_000, &get(1, "/api/feed").script());
        }
        if !(6..22).contains(&(hour % 24)) {
            for i in 0..12 {
                w.at(hour * 3_600_000 + i * 200_000, &get(2, "/api/feed").chrome());
            }
        }
    }
}

/// Two quiet days, then an hour in which one crowd calls what it likes.
fn surge(w: &mut World) {
    for hour in 0..48i64 {
        for i in 0..6 {
            w.at(hour * 3_600_000 + i * 500_000, &call(ip(3, 0, i as u8), "GET", "/api/feed").chrome());
        }
    }
    for i in 0..900i64 {
        w.at(48 * 3_600_000 + i * 2_000, &get((i % 90) as u32, "/api/feed").script());
    }
}

/// Many of one kind who do much the same, and one who does not.
fn strangers(w: &mut World) {
    for n in 0..440u32 {
        let who = ip(150 + (n / 250) as u8, (n % 250) as u8, 1);
        for i in 0..15u32 {
            let path = ["/", "/api/feed", "/api/home", "/api/config"][(i % 4) as usize];
            let c = call(who, "GET", path).chrome();
            w.at(i64::from(n) * 400 + i64::from(i * i % 7 + i * 5) * 1_100, &c);
        }
    }
    let person = |i: i64| call(ip(200, 9, 9), "POST", "/api/items").chrome().body(format!("{{\"n\":{i}}}"));
    for i in 0..80i64 {
        w.at(700_000 + i * 20, &person(i).status(if i % 2 == 0 { 503 } else { 400 }));
    }
}

fn marathon(w: &mut World) {
    repeat(w, 3_100, 14_000, |_| get(1, "/api/feed").chrome());
}

fn logins(w: &mut World) {
    let login = |who: u32, user: u32, secret: u32, status: u16| {
        let body = format!("{{\"username\": \"victim{user}\", \"password\": \"leaked{secret}\"}}");
        post(who, "/api/login").script().body(body).status(status)
    };
    repeat(w, 60, 900, |n| login(100 + n, n, n, if n % 30 == 29 { 200 } else { 401 }));
    repeat(w, 30, 900, |n| login(1, n, n, if n == 29 { 200 } else { 401 }));
    repeat(w, 20, 900, |n| login(2, n, 1, 401));
    repeat(w, 20, 900, |n| login(3, 1, n, 401));
}

/// Many log-ins in each request, and a site taken page by page.
fn bulk(w: &mut World) {
    repeat(w, 8, 2_000, |n| {
        let each = |i| format!("{{\"user\": \"boss\", \"password\": \"pear{}\"}}", n * 6 + i);
        let calls: Vec<String> = (0..6).map(each).collect();
        post(91, "/api/batch/login").script().body(format!("[{}]", calls.join(","))).status(401)
    });
    let kinds = ["/items/{item}", "/tags/{tag}", "/news/{id}", "/authors/{id}", "/feeds/{id}", "/help/{id}"];
    repeat(w, 72, 900, |n| {
        let template = kinds[n as usize % kinds.len()];
        let path = format!("{}{n}", template.split('{').next().unwrap());
        get(92, template).path(path).html().header("Host", "shop.test").header("User-Agent", "HTTrack 3.0x")
    });
}

fn sprays(w: &mut World) {
    repeat(w, 60, 900, |n| {
        let body = format!("{{\"username\": \"victim{n}\", \"password\": \"Summer{}\"}}", n % 2);
        post(n % 6, "/api/login").script().body(body).status(401)
    });
    let told = |n: u32, path: &'static str, message: &str| {
        let body = format!("{{\"username\": \"v{n}\", \"password\": \"Summer{n}\"}}");
        let mut c = post(120 + n % 6, path).script().body(body).status(401);
        c.answer = format!("{{\"message\": \"{message}\"}}");
        c
    };
    repeat(w, 40, 900, |n| told(n, "/api/session/login", "Account is locked"));
    repeat(w, 40, 900, |n| Call { status: 400, ..told(n, "/api/v2/login", "Utilisateur inconnu") });
    repeat(w, 30, 900, |n| {
        let body = format!("{{\"username\": \"boss\", \"password\": \"guess{n}\"}}");
        post(90, "/api/signin").script().body(body).status(401)
    });
}

fn guesses(w: &mut World) {
    let say = |n: u32, path: &'static str, body: String, status: u16| {
        post(n, path).script().body(body).status(status)
    };
    repeat(w, 40, 900, |n| {
        say(n / 6, "/api/password-reset", format!("{{\"email\": \"u{n}@mail.test\"}}"), 404)
    });
    repeat(w, 40, 900, |n| {
        say(20, "/api/otp/verify", format!("{{\"c\": \"1\", \"code\": \"{n:06}\"}}"), 403)
    });
    repeat(w, 60, 900, |n| say(21 + n % 3, "/api/otp", format!("{{\"phone\": \"+1555000{n:04}\"}}"), 200));
    repeat(w, 40, 900, |n| {
        let token = format!("Bearer {:032x}", u128::from(n) * 0x1234_5678_9abc_def1);
        get(25, "/api/whoami").script().header("Authorization", token).status(401)
    });
    repeat(w, 40, 900, |n| {
        get(26, "/api/giftcards/{code}").path(format!("/api/giftcards/G{n:06}")).script().status(404)
    });
    repeat(w, 40, 900, |n| say(27, "/api/coupon/apply", format!("{{\"coupon\": \"SAVE{n}\"}}"), 404));
    repeat(w, 40, 900, |n| {
        say(28, "/api/payments", format!("{{\"card_number\": \"4000{n:012}\", \"amount\": 1}}"), 402)
    });
    repeat(w, 40, 900, |n| {
        let body = format!("{{\"email\": \"m{n}777@mailinator.com\", \"password\": \"x\", \"name\": \"A\"}}");
        say(30 + n / 4, "/api/signup", body, 201)
    });
    repeat(w, 30, 900, |n| {
        get(45, "/partner/{id}")
            .path(format!("/partner/{n}"))
            .script()
            .header("X-API-Key", "pk_live_0123456789abcdef")
    });
    repeat(w, 60, 700, |n| {
        say(50 + n % 8, "/api/cart", "{\"sku\": \"drop\"}".into(), if n > 50 { 201 } else { 403 })
    });
    repeat(w, 60, 900, |n| say(60, "/api/cart", format!("{{\"sku\": \"{}\"}}", n % 30), 201));
    repeat(w, 10, 900, |n| {
        call(bad(79), "PATCH", "/api/staff/{id}")
            .path(format!("/api/staff/{n}"))
            .script()
            .body("{\"role\":1}")
    });
    repeat(w, 10, 900, |n| say(70 + n, "/api/transfer", "{\"to\": \"mule\", \"amount\": 900}".into(), 200));
    repeat(w, 10, 900, |n| say(80, "/api/sim-swap", format!("{{\"msisdn\": \"1555{n:06}\"}}"), 200));
    repeat(w, 10, 900, |n| say(81, "/api/comments", format!("{{\"text\": \"buy {n}\"}}"), 200));
    repeat(w, 10, 900, |n| say(82, "/api/vote", format!("{{\"id\": \"{n}\"}}"), 200));
    repeat(w, 10, 900, |n| say(83, "/api/telemetry", format!("{{\"e\": {n}}}"), 200));
    repeat(w, 10, 900, |n| get(84, "/api/search").path(format!("/api/search?q={n}")).script());
    repeat(w, 10, 900, |n| get(85, "/api/price").path(format!("/api/price?sku={n}")).script());
    for n in 0..8u32 {
        let t = 200_000 + i64::from(n) * 9_000;
        let body = format!("{{\"username\": \"phone{n}\", \"password\": \"right{n}\"}}");
        w.at(t, &post(400 + n, "/api/login").script().body(body));
        w.at(t + 900, &post(400 + n, "/api/transfer").script().body("{\"to\": \"mule\", \"amount\": 900}"));
        w.at(t + 950, &post(400 + n, "/api/checkout").script().body("{\"cart\": 1}"));
    }
}

fn walks(w: &mut World) {
    for n in 0..40u32 {
        let light =
            call(ip(67, 0, (n % 8) as u8), "GET", "/api/find").path(format!("/api/find?q=w{n}")).app();
        w.at(500_000 + i64::from(n) * 700, &light);
        let dear = get(77, "/api/find").path(format!("/api/find?q=%2A&deep={n}")).script();
        w.at(500_000 + i64::from(n) * 200, &Call { wait_ms: 900, ..dear });
    }
    repeat(w, 120, 500, |n| {
        let path = format!("/api/meetings/{}", 100_000 + n);
        get(n % 20, "/api/meetings/{id}").path(path).script().status(404)
    });
    repeat(w, 90, 900, |n| {
        let c = get(40, "/api/orders/{order}").path(format!("/api/orders/{}", 70_000 + n)).chrome();
        c.header("Authorization", "Bearer aaaaaaaaaaaaaaaabbbbbbbbbbbb")
    });
    repeat(w, 90, 900, |n| get(41, "/items/{item}").path(format!("/items/{}", 5_000 + n)).script().html());
    repeat(w, 150, 600, |n| {
        let path = format!("/api/stock?sku=7&zip={:05}", n * 613);
        get(100 + n / 10, "/api/stock").path(path).app()
    });
    let session = "Bearer 0123456789abcdef0123456789abcdef";
    for n in 0..40u32 {
        let who = ip(66 + (n % 5) as u8, (n % 5) as u8, (n % 8) as u8);
        let c = call(who, "GET", "/api/accounts");
        let c = if n % 2 == 0 { c.app() } else { c.chrome() };
        w.at(300_000 + i64::from(n) * 800, &c.header("Authorization", session));
    }
    for n in 0..8u32 {
        let c = get(500, "/api/accounts")
            .script()
            .header("Authorization", format!("Bearer fedcba98765432100000{n:04}"));
        w.at(300_000 + i64::from(n) * 900, &c);
    }
    for n in 0..120u32 {
        let c = get(n % 12, "/api/bookings/{booking}").path(format!("/api/bookings/{}", 4_000 + n % 12));
        let own = format!("Bearer 00112233445566778899{:04}", n % 12);
        let c = c.app().html().header("Authorization", own);
        w.at(
            400_000 + i64::from(n) * 900,
            &Call { kind: "text/html", ..c }.header("Upgrade-Insecure-Requests", "1"),
        );
        w.at(400_400 + i64::from(n) * 900, &post(n % 3, "/graphql#query.Booking").app().body("{}"));
    }
}

/// A crowd with one fingerprint: many networks, an agent each, evenly one after another.
fn crowds(w: &mut World) {
    let agent = |n: u32| format!("{CHROME} v{n}");
    for n in 0..60u32 {
        for i in 0..3i64 {
            let c = call(ip(100 + (n % 50) as u8, n as u8, 1), "POST", "/api/login");
            let c = c.header("Host", "shop.test").header("User-Agent", agent(n)).header("Accept", "*/*");
            let c = c.header("Content-Type", "application/json").header("Cookie", "zz=1");
            let body = format!("{{\"password\": \"p{n}\", \"username\": \"v{n}\", \"extra\": {i}}}");
            w.at(100_000 + i64::from(n) * 2_000 + i * 600, &c.body(body).status(401));
        }
    }
    for n in 0..40u32 {
        for i in 0..12i64 {
            let c = get(n, "/api/home").script().status(if i % 2 == 0 { 429 } else { 500 });
            w.at(100_000 + i64::from(n) * 15_000 + i * 1_000, &c);
        }
    }
    for n in 0..24u32 {
        let honest = get(900 + n, "/api/stock").path("/api/stock?sku=9").app();
        w.at(300_000 + i64::from(n) * 3_000, &honest);
        for i in 0..30i64 {
            let c = get(700 + n % 8, "/api/stock").path("/api/stock?sku=9").script();
            w.at(300_000 + i64::from(n) * 20_000 + i * 400, &c);
        }
    }
    for n in 0..30u8 {
        let c = call(ip(1, 0, n), "POST", "/api/login").chrome().header("Cookie", "sid=1; theme=2");
        let body = format!("{{\"username\":\"person{n}\",\"password\":\"right{n}\"}}");
        w.at(250_000 + i64::from(n) * 1_000, &c.body(body));
        w.at(260_000 + i64::from(n) * 1_000, &call(ip(1, 0, n), "GET", "/api/home").chrome());
    }
}

/// Driven browsers that fail with account after account; one account guessed through the site and the app.
fn codes(w: &mut World) {
    let code =
        |who, n: u32| call(who, "POST", "/api/otp/verify").chrome().body(format!("{{\"code\":\"{n:06}\"}}"));
    for n in 0..60u32 {
        w.at(20_000 + i64::from(n) * 5_000, &code(ip(3, 0, n as u8), 500_000 + n * 7));
        let who = bad(n % 14);
        w.at(21_000 + i64::from(n) * 5_000, &code(who, n * 991).status(400));
    }
}

fn doors(w: &mut World) {
    for n in 0..30u32 {
        for i in 0..3u32 {
            let body = format!("{{\"username\":\"hop{n}-{i}\",\"password\":\"l{n}\"}}");
            let c = post(n, "/api/login").chrome().body(body).status(401);
            w.at(30_000 + i64::from(n) * 6_000 + i64::from(i) * 19_000, &c);
        }
        w.at(
            31_000 + i64::from(n) * 6_000,
            &get(400, "/items/{item}").path(format!("/items/{n}")).java().html(),
        );
        let body = format!("{{\"username\":\"director\",\"password\":\"g{n}\"}}");
        let c =
            if n % 2 == 0 { post(200 + n, "/api/login").chrome() } else { post(200 + n, "/m/login").app() };
        w.at(33_000 + i64::from(n) * 6_000, &c.body(body).status(401));
    }
}

#[test]
fn every_indicator_fires_for_some_traffic() {
    let mut seen = BTreeSet::new();
    fired(&mut seen, true, agents);
    fired(&mut seen, true, heads);
    fired(&mut seen, false, heads);
    fired(&mut seen, true, navigations);
    fired(&mut seen, true, paces);
    fired(&mut seen, false, days);
    fired(&mut seen, false, marathon);
    fired(&mut seen, false, surge);
    fired(&mut seen, false, strangers);
    fired(&mut seen, true, logins);
    fired(&mut seen, true, sprays);
    fired(&mut seen, true, bulk);
    fired(&mut seen, true, guesses);
    fired(&mut seen, true, walks);
    fired(&mut seen, true, crowds);
    fired(&mut seen, true, doors);
    fired(&mut seen, true, codes);
    fired(&mut seen, true, world::scenes::all);
    fired(&mut seen, true, world::again::all);
    let pack = Pack::builtin().unwrap();
    for id in OF_TABLES.into_iter().chain(["anomaly-extreme"]) {
        assert!(pack.indicators().iter().any(|i| i.id == id), "{id}");
        seen.insert(id.to_owned());
    }
    let silent: Vec<&str> =
        pack.indicators().iter().map(|i| i.id.as_str()).filter(|id| !seen.contains(*id)).collect();
    assert_eq!(silent, [] as [&str; 0]);
}
