//! What is asked for inside a container (GraphQL, JSON-RPC, SOAP, scripts with actions) and in pages is judged as at an endpoint of its
//! own; honest callers of the same kind stay alone.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use std::net::IpAddr;

use world::{Call, World, bad, call, convicted, expect, ip};

const PAUSE: i64 = 9_000;

fn bearer(who: u32) -> String {
    format!("Bearer 0123456789abcdef{who:08}")
}

/// A claim asked for by GraphQL, as the application does it.
fn claim(from: IpAddr, who: u32, id: u32) -> Call {
    let body = format!(
        "{{\"operationName\":\"Claim\",\"query\":\"query Claim($id: ID!) {{ claim(id: $id) {{ status }} }}\",\"variables\":{{\"id\":\"{id}\"}}}}"
    );
    let c = call(from, "POST", "/graphql#query.Claim").asks("query Claim").chrome().body(body);
    let answer = format!("{{\"data\":{{\"claim\":{{\"id\":\"{id}\",\"status\":\"open\"}}}}}}");
    Call { path: "/graphql".into(), answer, ..c }.header("Authorization", bearer(who))
}

/// Forty customers who look at their one or two claims, each a few times.
fn customers(w: &mut World) {
    for n in 0..40u32 {
        let from = ip(3, 0, n as u8);
        for i in 0..4u32 {
            let at = i64::from(n) * PAUSE + i64::from(i) * 20_000;
            w.at(at, &claim(from, n, 770_000 + n * 31 + i % 2));
        }
    }
}

#[test]
fn claims_of_others_walked_through_graphql_are_bola() {
    let mut w = World::new();
    w.honest();
    customers(&mut w);
    for n in 0..60u32 {
        w.at(120_000 + i64::from(n) * 1_100, &claim(bad(1), 900, 770_100 + n));
    }
    expect(&w.judge(), "bola", 1);
}

#[test]
fn clients_that_number_their_calls_walk_nowhere() {
    let mut w = World::new();
    w.honest();
    for n in 0..30u32 {
        let from = ip(3, 1, n as u8);
        // A screen that asks for the same account again and again, while the number of the call goes up.
        let times = if n == 7 { 90 } else { 6 };
        for i in 0..times {
            let body = format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"konto.stand\",\"params\":{{\"konto\":\"7700{n:04}\"}}}}",
                i + 1
            );
            let c = call(from, "POST", "/rpc#konto.stand").asks("konto.stand").app().body(body);
            let c = Call {
                path: "/rpc".into(),
                answer: "{\"jsonrpc\":\"2.0\",\"result\":{\"saldo\":7}}".into(),
                ..c
            };
            w.at(i64::from(n) * PAUSE + i64::from(i) * 3_000, &c.header("Authorization", bearer(n)));
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn a_batch_of_calls_counts_as_many() {
    let mut w = World::new();
    w.honest();
    let meters = |from: IpAddr, first: u32, many: u32, found: bool| {
        let one = |n: u32| {
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{n},\"method\":\"zaehler.lesen\",\"params\":{{\"zaehler\":\"1EMH00{:08}\"}}}}",
                first + n
            )
        };
        let body: Vec<String> = (0..many).map(one).collect();
        let answer = match found {
            true => "[{\"jsonrpc\":\"2.0\",\"result\":{\"kwh\":4711},\"id\":1}]",
            false => {
                "[{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32044,\"message\":\"Zähler unbekannt\"},\"id\":1}]"
            }
        };
        let c = call(from, "POST", "/rpc#zaehler.lesen").asks("zaehler.lesen");
        let c = if found { c.app() } else { c.script() };
        Call { path: "/rpc".into(), answer: answer.into(), ..c.body(format!("[{}]", body.join(","))) }
    };
    for n in 0..30u32 {
        w.at(i64::from(n) * PAUSE, &meters(ip(3, 2, n as u8), 10_000 + n * 700, 1, true));
    }
    for n in 0..12u32 {
        w.at(150_000 + i64::from(n) * 2_000, &meters(bad(1), 40_000 + n * 15, 15, false));
    }
    expect(&w.judge(), "id-enumeration", 1);
}

/// A broker who signs in over SOAP and asks for contracts with the session that he was given.
fn broker(w: &mut World, from: IpAddr, n: u32, start: i64) {
    let envelope = |inner: &str| {
        format!(
            "<?xml version=\"1.0\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>{inner}</soap:Body></soap:Envelope>"
        )
    };
    let ask = |operation: &'static str, template: &'static str, inner: String, answer: String| {
        let c = call(from, "POST", template).asks(operation).java().set("content-type", Some("text/xml"));
        Call {
            path: "/services/Partner".into(),
            kind: "text/xml",
            answer: envelope(&answer),
            ..c.body(envelope(&inner))
        }
    };
    let log_in = format!(
        "<p:Anmelden xmlns:p=\"urn:p\"><p:kennung>makler{n}</p:kennung><p:kennwort>geheim{n}</p:kennwort></p:Anmelden>"
    );
    let session = format!(
        "<p:AnmeldenResponse xmlns:p=\"urn:p\"><sitzung>5e2b0c9d71{n:04}aa</sitzung></p:AnmeldenResponse>"
    );
    w.at(start, &ask("Anmelden", "/services/Partner#Anmelden", log_in, session));
    for i in 0..5u32 {
        let inner = format!(
            "<p:Vertrag xmlns:p=\"urn:p\"><p:sitzung>5e2b0c9d71{n:04}aa</p:sitzung><p:vertragsnummer>3{:07}</p:vertragsnummer></p:Vertrag>",
            n * 977 + i * 31
        );
        let answer =
            "<p:VertragResponse xmlns:p=\"urn:p\"><name>M. Muster</name></p:VertragResponse>".to_owned();
        w.at(
            start + 4_000 + i64::from(i) * 6_000,
            &ask("Vertrag", "/services/Partner#Vertrag", inner, answer),
        );
    }
}

#[test]
fn whose_account_is_attacked_is_no_attacker() {
    let mut w = World::new();
    w.honest();
    for n in 0..12u32 {
        broker(&mut w, ip(3, 3, n as u8), n, 10_000 + i64::from(n) * 12_000);
    }
    for n in 0..80u32 {
        let inner = format!(
            "<p:Anmelden xmlns:p=\"urn:p\"><p:kennung>makler7</p:kennung><p:kennwort>Makler{n}!</p:kennwort></p:Anmelden>"
        );
        let body = format!(
            "<?xml version=\"1.0\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>{inner}</soap:Body></soap:Envelope>"
        );
        let fault = "<?xml version=\"1.0\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body><soap:Fault>\
                     <faultcode>soap:Client</faultcode><faultstring>Kennung oder Kennwort ungültig</faultstring></soap:Fault></soap:Body></soap:Envelope>";
        let c = call(bad(n % 4), "POST", "/services/Partner#Anmelden").asks("Anmelden").java();
        let c = c.set("content-type", Some("text/xml")).body(body).status(500);
        w.at(
            40_000 + i64::from(n) * 1_500,
            &Call { path: "/services/Partner".into(), kind: "text/xml", answer: fault.into(), ..c },
        );
    }
    expect(&w.judge(), "credential-cracking", 4);
}

/// A page of a customer's booking.
fn booking(from: IpAddr, who: u32, id: u32) -> Call {
    call(from, "GET", "/rezervasyonlarim/{id}")
        .path(format!("/rezervasyonlarim/{id}"))
        .chrome()
        .html()
        .header("Cookie", format!("oturum=0123456789abcdef{who:08}"))
}

#[test]
fn bookings_of_others_in_pages_are_bola() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        for i in 0..3 {
            w.at(i64::from(n) * PAUSE + i * 15_000, &booking(ip(3, 4, n as u8), n, 5_000 + n * 7));
        }
    }
    let log_in = "{\"username\":\"mallory\",\"password\":\"own\"}";
    w.at(129_000, &call(bad(1), "POST", "/api/login").chrome().body(log_in));
    for n in 0..40u32 {
        w.at(130_000 + i64::from(n) * 1_300, &booking(bad(1), 900, 5_000 + n));
    }
    expect(&w.judge(), "bola", 1);
}

/// Staff who work a queue off, ticket after ticket, in the pages that customers see theirs in.
#[test]
fn staff_with_a_queue_of_tickets_open_them_in_order() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u32 {
        for i in 0..3 {
            w.at(i64::from(n) * PAUSE + i * 15_000, &booking(ip(3, 4, n as u8), n, 5_000 + n * 7));
        }
    }
    let staff = ip(3, 14, 1);
    w.at(90_000, &call(staff, "GET", "/").chrome().html());
    for (i, asset) in ["/app.js", "/main.css", "/logo.png", "/vendor.js"].into_iter().enumerate() {
        w.at(90_100 + i as i64 * 30, &call(staff, "GET", asset).chrome());
    }
    let log_in = "{\"username\":\"staff\",\"password\":\"own\"}";
    w.at(95_000, &call(staff, "POST", "/api/login").chrome().body(log_in));
    for n in 0..40u32 {
        w.at(100_000 + i64::from(n) * 7_000, &booking(staff, 900, 5_000 + n));
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn who_reads_much_of_what_everybody_may_read_opens_nothing_of_others() {
    let mut w = World::new();
    w.honest();
    let article = |from: IpAddr, who: u32, id: u32| {
        let c = call(from, "GET", "/artikel/{id}").path(format!("/artikel/{id}")).chrome().html();
        c.header("Cookie", format!("oturum=0123456789abcdef{who:08}"))
    };
    for n in 0..40u32 {
        let from = ip(3, 5, n as u8);
        for (i, asset) in ["/app.js", "/main.css", "/logo.png"].into_iter().enumerate() {
            w.at(i64::from(n) * PAUSE + i as i64 * 20, &call(from, "GET", asset).chrome());
        }
        // Everybody looks at some of the same; one reads all evening.
        let many = if n == 5 { 45 } else { 4 };
        for i in 0..many {
            w.at(
                i64::from(n) * PAUSE + 200 + i64::from(i) * 7_000,
                &article(from, n, 300 + (n * 3 + i * 5) % 90),
            );
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn actions_of_a_script_are_judged_each_by_itself() {
    let mut w = World::new();
    w.honest();
    let form = |from: IpAddr, body: String| {
        call(from, "POST", "/api.php")
            .chrome()
            .set("content-type", Some("application/x-www-form-urlencoded"))
            .body(body)
    };
    for n in 0..30u32 {
        let from = ip(3, 6, n as u8);
        let at = i64::from(n) * PAUSE;
        w.at(at, &form(from, format!("action=login&name=user{n}&password=own{n}")));
        for i in 0..6 {
            w.at(
                at + 5_000 + i * 4_000,
                &form(from, format!("action=watch&titles=Page{i}&token=0123456789abcdef{n}")),
            );
        }
    }
    let before = w.observations.len();
    let log_in = form(bad(1), "action=login&name=a&password=b".into());
    w.at(400_000, &log_in);
    w.at(401_000, &form(bad(1), "action=edit&title=Spam&text=a".into()));
    let seen: Vec<Option<&str>> =
        w.observations.iter().skip(before).map(|o| o.operation.as_deref()).collect();
    assert_eq!(seen, [Some("login"), Some("edit")]);
    assert_eq!(convicted(&w.judge()), []);
}

/// A warehouse that reads all claims by night, with credentials of its own: an export, though it looks like a walk.
#[test]
fn a_service_reads_what_it_was_made_to_read() {
    let mut w = World::new();
    w.honest();
    customers(&mut w);
    let grant = "grant_type=client_credentials&client_id=dwh&client_secret=abc";
    let token = call(ip(3, 7, 1), "POST", "/oauth/token").java();
    let token = token.set("content-type", Some("application/x-www-form-urlencoded")).body(grant);
    let given = "{\"access_token\":\"0123456789abcdef00000901\",\"expires_in\":300}";
    w.at(110_000, &Call { answer: given.into(), ..token });
    for n in 0..60u32 {
        let c = claim(ip(3, 7, 1), 901, 770_100 + n);
        let java = c.headers.iter().filter(|(name, _)| *name == "Authorization").cloned().collect();
        let c = Call { headers: java, ..c }.java().header("Content-Type", "application/json");
        w.at(120_000 + i64::from(n) * 1_100, &c);
    }
    assert_eq!(convicted(&w.judge()), []);
}

/// Brokers whose programs read their own contracts one after another, each a few dozen.
#[test]
fn brokers_who_read_their_own_contracts_in_order_are_no_thieves() {
    let mut w = World::new();
    w.honest();
    for n in 0..10u32 {
        let from = ip(3, 8, n as u8);
        for i in 0..28 {
            let body = format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{i},\"method\":\"vertrag.lesen\",\"params\":{{\"nummer\":\"3{:07}\"}}}}",
                n * 5_000 + i * 7
            );
            let c = call(from, "POST", "/rpc#vertrag.lesen").asks("vertrag.lesen").java().body(body);
            let c = Call {
                path: "/rpc".into(),
                answer: "{\"jsonrpc\":\"2.0\",\"result\":{\"n\":7}}".into(),
                ..c
            };
            w.at(i64::from(n) * PAUSE + i64::from(i) * 5_000, &c.header("Authorization", bearer(n)));
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn invitations_whose_miss_is_a_redirect_are_guessed_all_the_same() {
    let mut w = World::new();
    w.honest();
    let invite = |from: IpAddr, code: &str, real: bool| {
        let to = if real { format!("/uye-ol?davet={code}") } else { "/?davet=gecersiz".to_owned() };
        let c = call(from, "GET", "/davet/{davet}").path(format!("/davet/{code}")).chrome().html();
        Call { status: 302, answer: String::new(), ..c }.answers("Location", to)
    };
    for n in 0..20u32 {
        w.at(i64::from(n) * PAUSE, &invite(ip(3, 9, n as u8), &format!("a{n:05x}"), n != 3));
    }
    for n in 0..120u32 {
        w.at(120_000 + i64::from(n) * 1_500, &invite(bad(n % 24), &format!("{:06x}", n * 7_919), false));
    }
    expect(&w.judge(), "coupon-abuse", 20);
}

/// Searches that cost the server a hundred times what others' do, eight at once; beside a nightly export that is as dear, one by one.
#[test]
fn costly_calls_side_by_side_are_denial_of_service_and_an_export_is_none() {
    let mut w = World::new();
    w.honest();
    let search = |from: IpAddr, asked: &str, wait_ms: i64| {
        let c = call(from, "GET", "/api/find").path(format!("/api/find?q={asked}"));
        Call { wait_ms, ..c }
    };
    for n in 0..90u32 {
        w.at(i64::from(n) * 3_000, &search(ip(3, 10, (n % 30) as u8), &format!("w{n}"), 20).app());
    }
    for n in 0..80u32 {
        w.at(90_000 + i64::from(n) * 250, &search(bad(1), &format!("%2A&depth={n}"), 2_000).script());
        w.at(90_000 + i64::from(n) * 4_500, &search(ip(3, 11, 1), &format!("all&page={n}"), 2_000).java());
    }
    expect(&w.judge(), "app-dos", 1);
}

/// The same before any code is known to be right: paths of which no template is known.
#[test]
fn invitations_that_lead_nowhere_are_one_place() {
    let mut w = World::new();
    w.honest();
    let paths: Vec<&'static str> =
        (0..72u32).map(|n| &*format!("/davet/{:06x}7", n * 7_919).leak()).collect();
    for (n, path) in paths.into_iter().enumerate() {
        let c = call(bad(n as u32 % 24), "GET", path).chrome().html();
        let c = Call { status: 302, answer: String::new(), ..c }.answers("Location", "/?davet=gecersiz");
        w.at(120_000 + n as i64 * 1_500, &c);
    }
    expect(&w.judge(), "coupon-abuse", 20);
}

#[test]
fn a_copier_that_names_its_program_is_a_scraper_and_a_crawler_that_names_its_operator_is_none() {
    let mut w = World::new();
    w.honest();
    let page = |from: IpAddr, agent: &str, n: u32| {
        let c = call(from, "GET", "/otel/{otel}").path(format!("/otel/{n}")).java().html();
        c.set("User-Agent", Some(agent))
    };
    for n in 0..45u32 {
        let at = 120_000 + i64::from(n) * 300;
        w.at(at, &page(bad(1), "site-copier (https://github.com/someone/site-copier)", 300 + n * 7));
        w.at(at, &page(ip(3, 13, 1), "ExampleBot/1.0 (+https://bot.example/about)", 300 + n * 7));
    }
    expect(&w.judge(), "content-scraping", 1);
}

#[test]
fn texts_with_links_are_postings_whatever_takes_them() {
    let mut w = World::new();
    w.honest();
    let edit = |from: IpAddr, text: &str| {
        call(from, "POST", "/api.php#edit")
            .chrome()
            .set("content-type", Some("application/x-www-form-urlencoded"))
            .body(format!("action=edit&title=Lampe&summary={text}"))
    };
    for n in 0..20u32 {
        let from = ip(3, 12, n as u8);
        let at = i64::from(n) * PAUSE;
        w.at(at, &call(from, "GET", "/wiki/{page}").path(format!("/wiki/Lampe{n}")).chrome().html());
        for (i, asset) in ["/app.js", "/main.css", "/logo.png"].into_iter().enumerate() {
            w.at(at + 100 + i as i64 * 20, &call(from, "GET", asset).chrome());
        }
        w.at(at + 3_000, &call(from, "GET", "/wiki/{page}").path("/wiki/Hilfe").chrome().html());
        w.at(at + 30_000, &edit(from, "Quelle%20https://lumen.example%20nachgetragen"));
    }
    for n in 0..36u32 {
        w.at(
            150_000 + i64::from(n) * 2_500,
            &edit(bad(n % 12), &format!("buy%20now%20https://pills{n}.example%20cheap")),
        );
    }
    expect(&w.judge(), "spam", 12);
}
