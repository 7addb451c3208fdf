//! Each class of abuse, from exchanges to verdicts, among honest callers of the same site.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use world::{World, bad, call, convicted, expect};

fn among_people(attack: impl FnOnce(&mut World)) -> sidetap_bots::Engine {
    let mut world = World::new();
    world.honest();
    attack(&mut world);
    world.judge()
}

#[test]
fn honest_people_are_left_alone() {
    let engine = among_people(|_| {});
    assert_eq!(convicted(&engine), []);
    assert!(engine.campaigns().is_empty());
}

#[test]
fn credential_stuffing_over_many_addresses() {
    let engine = among_people(|w| {
        for n in 0..120u32 {
            let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
            let status = if n % 40 == 39 { 200 } else { 401 };
            w.at(
                100_000 + i64::from(n) * 900,
                &call(bad(n), "POST", "/api/login").script().body(body).status(status),
            );
        }
    });
    expect(&engine, "credential-stuffing", 118);
    let campaigns = engine.campaigns();
    assert_eq!(campaigns.len(), 1);
    assert!(campaigns[0].members.len() >= 118 && campaigns[0].phase == "online");
    let signature = &campaigns[0].signature;
    for (name, prefix) in [
        ("fingerprint", "s2-"),
        ("header-order", "h1-"),
        ("door", "d1-"),
        ("negotiation", "n1-"),
        ("body", "b1-"),
        ("timing", "t1-"),
        ("target-set", "g1-"),
    ] {
        assert!(signature[name].starts_with(prefix), "{name}: {}", signature[name]);
    }
    for unseen in ["tls", "http2", "cookies", "path"] {
        assert_eq!(signature[unseen], "not observable", "{unseen}");
    }
    let rows = engine.verdicts();
    let told = |what: &str| rows.iter().flat_map(|v| &v.reasons).any(|r| r.observed.contains(what));
    assert!(told("the head of python-requests; fingerprint h1-"), "{:?}", rows[0].reasons);
    let outcome = |name: &str| campaigns[0].outcome.get(name).copied().unwrap_or(0);
    assert_eq!(outcome("accounts-tried"), outcome("requests-to-target"), "{:?}", campaigns[0].outcome);
    assert_eq!(outcome("accounts-taken"), 3);
    let story = &campaigns[0].signature["story"];
    assert!(story.contains("How far it got: 3 accounts taken, 1"), "{story}");
}

#[test]
fn stuffing_behind_the_head_of_a_real_browser() {
    let engine = among_people(|w| {
        for n in 0..200u32 {
            let body = format!("{{\"username\":\"victim{n}\",\"password\":\"leaked{n}\"}}");
            w.at(
                100_000 + i64::from(n) * 700,
                &call(bad(n), "POST", "/api/login").chrome().body(body).status(401),
            );
        }
    });
    expect(&engine, "credential-stuffing", 150);
}

#[test]
fn nobody_is_told_what_another_client_of_the_campaign_did() {
    let engine = among_people(|w| {
        for n in 0..90u32 {
            let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
            let who = if n < 30 { bad(1) } else { bad(n) };
            let c = call(who, "POST", "/api/login").script().body(body).status(401);
            w.at(100_000 + i64::from(n) * 900, &c);
        }
    });
    expect(&engine, "credential-stuffing", 60);
    let of = |who| {
        let rows = engine.verdicts();
        let row = rows.into_iter().find(|v| v.client_ip == Some(who)).unwrap();
        row.reasons.into_iter().map(|r| r.indicator).collect::<Vec<_>>()
    };
    assert!(of(bad(1)).iter().any(|i| &**i == "username-fanout"), "{:?}", of(bad(1)));
    assert!(!of(bad(50)).iter().any(|i| &**i == "username-fanout"), "{:?}", of(bad(50)));
}

#[test]
fn clients_of_one_address_are_one_member_with_the_requests_of_all() {
    let engine = among_people(|w| {
        for n in 0..240u32 {
            let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
            let agent = format!("Mozilla/5.0 (Windows NT 10.0) Firefox/{}.0", 90 + n / 60);
            let c = call(bad(n % 60), "POST", "/api/login").script().set("User-Agent", None);
            let c = c.header("User-Agent", agent).body(body).status(401);
            w.at(100_000 + i64::from(n) * 900, &c);
        }
    });
    expect(&engine, "credential-stuffing", 60);
    let campaigns = engine.campaigns();
    let members: Vec<_> = campaigns.iter().flat_map(|c| &c.members).collect();
    assert!(members.len() == 60 && members.iter().all(|m| m.requests == 4), "{members:?}");
    let verdicts = engine.verdicts();
    let of_bots: Vec<_> = verdicts.iter().filter(|v| v.intent == "malicious").collect();
    assert!(of_bots.len() == 60 && of_bots.iter().all(|v| v.requests == 4), "{of_bots:?}");
    let lasted = |v: &&&sidetap_model::rows::VerdictRow| v.last_seen.since(v.first_seen) > 150_000_000_000;
    assert_eq!(of_bots.iter().filter(lasted).count(), 60);
    let story = &campaigns[0].signature["story"];
    assert!(story.contains("60 clients at 60 addresses sent 240 requests to POST"), "{story}");
}

#[test]
fn what_a_session_sent_is_told_in_the_campaign_of_its_client() {
    let engine = among_people(|w| {
        let token = |who: u32| format!("Bearer {:032x}", u128::from(who + 1) * 0x1234_5678_9abc_def1_2357);
        for n in 0..120u32 {
            let body = format!("{{\"challenge\": \"7\", \"code\": \"{:06}\"}}", n * 7919 % 1_000_000);
            let c = call(bad(n % 3), "POST", "/api/otp/verify").script().body(body);
            let c = c.header("Authorization", token(n % 3)).status(403);
            let c = if n % 2 == 0 { c } else { c.header("X-Trace", "1") };
            w.at(100_000 + i64::from(n) * 1_000, &c);
        }
    });
    expect(&engine, "token-cracking", 3);
    let total: u64 = engine.campaigns().iter().map(|c| c.requests).sum();
    assert_eq!(total, 120);
}

#[test]
fn credential_cracking_of_one_account() {
    let engine = among_people(|w| {
        for n in 0..60 {
            let body = format!("{{\"username\": \"boss\", \"password\": \"guess{n}\"}}");
            w.at(100_000 + n * 400, &call(bad(1), "POST", "/api/login").script().body(body).status(401));
        }
    });
    expect(&engine, "credential-cracking", 1);
}

#[test]
fn an_application_that_answers_200_to_everything() {
    let engine = among_people(|w| {
        for n in 0..80u32 {
            let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
            let mut c = call(bad(n), "POST", "/api/login").script().body(body);
            c.answer =
                "{\"status\":\"fail\",\"message\":\"Password is not correct for the given username.\"}"
                    .into();
            w.at(100_000 + i64::from(n) * 900, &c);
        }
    });
    expect(&engine, "credential-stuffing", 78);
}

#[test]
fn password_reset_enumeration() {
    let engine = among_people(|w| {
        for n in 0..60u32 {
            let body = format!("{{\"email\": \"user{n}@mail.test\"}}");
            let status = if n % 4 == 0 { 200 } else { 404 };
            let c = call(bad(n / 6), "POST", "/api/password-reset").script().body(body).status(status);
            w.at(100_000 + i64::from(n) * 1_500, &c);
        }
    });
    expect(&engine, "password-reset-enumeration", 9);
}

#[test]
fn fake_accounts() {
    let engine = among_people(|w| {
        for n in 0..60u32 {
            let body =
                format!("{{\"email\": \"made{n}77@mail.test\", \"password\": \"x{n}\", \"name\": \"A\"}}");
            w.at(
                100_000 + i64::from(n) * 2_000,
                &call(bad(n / 3), "POST", "/api/signup").script().body(body).status(201),
            );
        }
    });
    expect(&engine, "fake-account-creation", 18);
}

#[test]
fn gift_card_guessing() {
    let engine = among_people(|w| {
        for n in 0..90u32 {
            let path = format!("/api/giftcards/GC{:08}", n.wrapping_mul(2_654_435_761) % 100_000_000);
            let c = call(bad(n % 9), "GET", "/api/giftcards/{code}").path(path).script().status(404);
            w.at(100_000 + i64::from(n) * 800, &c);
        }
    });
    expect(&engine, "giftcard-bruteforce", 9);
}

#[test]
fn coupon_guessing() {
    let engine = among_people(|w| {
        for n in 0..40u32 {
            let body = format!("{{\"coupon\": \"SAVE{n}\"}}");
            w.at(
                100_000 + i64::from(n) * 900,
                &call(bad(1), "POST", "/api/coupon/apply").script().body(body).status(404),
            );
        }
    });
    expect(&engine, "coupon-abuse", 1);
}

#[test]
fn carding() {
    let engine = among_people(|w| {
        for n in 0..40u32 {
            let body = format!("{{\"card_number\": \"4000{n:012}\", \"amount\": 1}}");
            let c = call(bad(n % 5), "POST", "/api/payments").script().body(body).status(402);
            w.at(100_000 + i64::from(n) * 1_100, &c);
        }
    });
    expect(&engine, "carding", 4);
}

#[test]
fn token_cracking_by_codes_and_by_tokens() {
    let engine = among_people(|w| {
        for n in 0..40u32 {
            let body = format!("{{\"challenge\": \"c-1\", \"code\": \"{n:06}\"}}");
            w.at(
                100_000 + i64::from(n) * 2_000,
                &call(bad(1), "POST", "/api/otp/verify").script().body(body).status(403),
            );
            let token = format!("Bearer {:032x}", u128::from(n) * 0x1234_5678_9abc_def1);
            let c = call(bad(2), "GET", "/api/whoami").script().header("Authorization", token).status(401);
            w.at(101_000 + i64::from(n) * 2_000, &c);
        }
    });
    expect(&engine, "token-cracking", 2);
}

#[test]
fn otp_flood() {
    let engine = among_people(|w| {
        for n in 0..60u32 {
            let body = format!("{{\"phone\": \"+1555000{n:04}\"}}");
            w.at(100_000 + i64::from(n) * 1_000, &call(bad(n % 3), "POST", "/api/otp").script().body(body));
        }
    });
    expect(&engine, "otp-abuse", 3);
    let campaigns = engine.campaigns();
    let outcome = &campaigns[0].outcome;
    assert_eq!(outcome.get("messages-sent"), Some(&60), "{outcome:?}");
    assert!(outcome.get("receivers").is_some_and(|n| (50..=60).contains(n)), "{outcome:?}");
    assert!(!outcome.keys().any(|name| name.starts_with("codes")), "{outcome:?}");
}

#[test]
fn enumeration_of_meetings() {
    let engine = among_people(|w| {
        for n in 0..120u32 {
            let path = format!("/api/meetings/{}", 100_000 + n.wrapping_mul(7919) % 900_000);
            let c = call(bad(n % 20), "GET", "/api/meetings/{id}").path(path).script().status(404);
            w.at(100_000 + i64::from(n) * 500, &c);
        }
    });
    expect(&engine, "id-enumeration", 18);
}

#[test]
fn objects_of_others() {
    let engine = among_people(|w| {
        for n in 0..60u32 {
            let c = call(bad(1), "GET", "/api/orders/{order}")
                .path(format!("/api/orders/{}", 70_000 + n))
                .chrome();
            let c = c.header("Authorization", "Bearer aaaaaaaaaaaaaaaabbbbbbbbbbbb");
            w.at(100_000 + i64::from(n) * 2_000, &c);
        }
    });
    expect(&engine, "bola", 1);
}

#[test]
fn an_insider_behind_the_address_of_honest_people() {
    let mut world = World::new();
    world.honest();
    let office = world::ip(66, 9, 9);
    for person in 0..12u32 {
        let session = format!("Bearer office{person:04}0000000000000000");
        for n in 0..3u32 {
            let path = format!("/api/orders/{}", 71_000 + person * 100 + n * 17);
            let c = call(office, "GET", "/api/orders/{order}").path(path).chrome();
            world.at(
                90_000 + i64::from(person) * 3_000 + i64::from(n) * 4_000,
                &c.header("Authorization", session.clone()),
            );
        }
    }
    for n in 0..60u32 {
        let c =
            call(office, "GET", "/api/orders/{order}").path(format!("/api/orders/{}", 72_000 + n)).chrome();
        world.at(
            100_000 + i64::from(n) * 2_000,
            &c.header("Authorization", "Bearer insider00000000000000000000"),
        );
    }
    let engine = world.judge();
    let rows: Vec<_> = engine.verdicts().into_iter().filter(|v| v.intent == "malicious").collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].subject.kind, sidetap_model::SubjectKind::Session);
    assert!(rows[0].subject.value.starts_with("inside…#"));
    assert_eq!(rows[0].class.as_deref(), Some("bola"));
}

#[test]
fn stock_scraped_at_one_request_each() {
    let engine = among_people(|w| {
        for n in 0..150u32 {
            let path = format!("/api/stock?sku=7&zip={:05}", n * 613);
            w.at(100_000 + i64::from(n) * 600, &call(bad(n / 2), "GET", "/api/stock").path(path).script());
        }
    });
    expect(&engine, "inventory-scraping", 70);
}

#[test]
fn pages_scraped_by_a_script_and_by_a_driven_browser() {
    let engine = among_people(|w| {
        for n in 0..80u32 {
            let c = call(bad(1), "GET", "/items/{item}").path(format!("/items/{}", 1000 + n)).script().html();
            w.at(100_000 + i64::from(n) * 700, &c);
            let c = call(bad(2), "GET", "/items/{item}").path(format!("/items/{}", 5000 + n)).chrome().html();
            w.at(100_300 + i64::from(n) * 700, &c);
            for asset in ["/app.js", "/main.css"] {
                w.at(100_350 + i64::from(n) * 700, &call(bad(2), "GET", asset).chrome());
            }
        }
    });
    expect(&engine, "content-scraping", 2);
}

#[test]
fn prices_scraped() {
    let engine = among_people(|w| {
        for n in 0..80u32 {
            let path = format!("/api/price?sku={}", 1000 + n);
            w.at(100_000 + i64::from(n) * 600, &call(bad(n % 8), "GET", "/api/price").path(path).script());
        }
        for n in 0..30u8 {
            let path = format!("/api/price?sku={n}");
            w.at(
                60_000 + i64::from(n) * 9_000,
                &call(world::ip(1, 0, n), "GET", "/api/price").path(path).chrome(),
            );
        }
    });
    expect(&engine, "price-scraping", 7);
}

#[test]
fn an_api_scraped() {
    let engine = among_people(|w| {
        for n in 0..120u32 {
            let c =
                call(bad(n % 6), "GET", "/api/items/{id}").path(format!("/api/items/{}", 1000 + n)).script();
            w.at(100_000 + i64::from(n) * 600, &c);
        }
        for n in 0..30u8 {
            let c =
                call(world::ip(1, 0, n), "GET", "/api/items/{id}").path(format!("/api/items/{n}")).chrome();
            w.at(60_000 + i64::from(n) * 9_000, &c);
        }
    });
    expect(&engine, "api-scraping", 6);
}

#[test]
fn bots_at_a_sale() {
    let engine = among_people(|w| {
        for n in 0..120u32 {
            let body = "{\"sku\": \"drop-1\"}";
            let status = if n > 100 { 201 } else { 403 };
            let c = call(bad(n % 8), "POST", "/api/cart").script().body(body).status(status);
            w.at(200_000 + i64::from(n) * 60, &c);
        }
    });
    expect(&engine, "hype-sale-bot", 8);
}

#[test]
fn goods_held_and_never_bought() {
    let engine = among_people(|w| {
        for n in 0..60u32 {
            let body = format!("{{\"sku\": \"{}\"}}", n % 30);
            let c = call(bad(n % 3), "POST", "/api/cart").script().body(body);
            w.at(20_000 + i64::from(n) * 12_000, &c);
        }
    });
    expect(&engine, "inventory-hoarding", 3);
}

#[test]
fn accounts_emptied_in_one_go() {
    let engine = among_people(|w| {
        for n in 0..10u32 {
            let t = 100_000 + i64::from(n) * 9_000;
            let body = format!("{{\"username\": \"phone{n}\", \"password\": \"right{n}\"}}");
            w.at(t, &call(bad(n), "POST", "/api/login").script().body(body));
            let token = format!("Bearer 00000000000000001111{n:04}");
            let get = call(bad(n), "GET", "/api/accounts").script().header("Authorization", token.clone());
            w.at(t + 1_000, &get);
            let pay = call(bad(n), "POST", "/api/transfer").script().header("Authorization", token);
            w.at(t + 2_000, &pay.body("{\"to\": \"mule\", \"amount\": 900}"));
        }
    });
    expect(&engine, "ato-transfer-fraud", 9);
}

#[test]
fn cashing_out_of_one_place() {
    let engine = among_people(|w| {
        for n in 0..40u32 {
            let pay = call(bad(1), "POST", "/api/transfer").script();
            w.at(
                100_000 + i64::from(n) * 2_000,
                &pay.body(format!("{{\"to\": \"mule{n}\", \"amount\": 900}}")),
            );
        }
    });
    expect(&engine, "cash-out", 1);
}

#[test]
fn sim_swaps_in_a_row() {
    let engine = among_people(|w| {
        for n in 0..10u8 {
            for i in 0..2u8 {
                let body = format!("{{\"msisdn\":\"1555{n}{i}\"}}");
                let c = call(world::ip(1, 0, n), "POST", "/api/sim/swap").chrome().body(body);
                w.at(70_000 + i64::from(n) * 9_000 + i64::from(i) * 30_000, &c);
            }
        }
        for n in 0..25u32 {
            let c = call(bad(1), "POST", "/api/sim/swap")
                .script()
                .body(format!("{{\"msisdn\": \"1666{n:04}\"}}"));
            w.at(100_000 + i64::from(n) * 4_000, &c);
        }
    });
    expect(&engine, "sim-swap-abuse", 1);
}

#[test]
fn spam_and_votes() {
    let engine = among_people(|w| {
        for n in 0..30u8 {
            let c = call(world::ip(1, 0, n), "POST", "/api/comments").chrome().body("{\"text\":\"nice\"}");
            w.at(70_000 + i64::from(n) * 9_000, &c);
            let c = call(world::ip(1, 0, n), "POST", "/api/vote").chrome().body("{\"up\":true}");
            w.at(71_000 + i64::from(n) * 9_000, &c);
        }
        for n in 0..60u32 {
            let c = call(bad(1), "POST", "/api/comments")
                .script()
                .body(format!("{{\"text\": \"buy {n}\", \"id\": {n}}}"));
            w.at(100_000 + i64::from(n) * 1_000, &c);
            let c = call(bad(2), "POST", "/api/vote").script().body("{\"up\": true}");
            w.at(100_500 + i64::from(n) * 1_000, &c);
        }
    });
    expect(&engine, "spam", 1);
    expect(&engine, "skewing", 1);
}

#[test]
fn injections_and_probes() {
    let engine = among_people(|w| {
        for n in 0..30i64 {
            let c = call(bad(1), "GET", "/api/search")
                .path(format!("/api/search?q=%27+OR+{n}"))
                .script()
                .attack("sqli");
            w.at(100_000 + n * 300, &c);
            let class = ["xss", "path-traversal", "command-injection"][n as usize % 3];
            w.at(100_100 + n * 300, &call(bad(2), "GET", "/api/search").script().attack(class));
            let template: &'static str =
                Box::leak(format!("/admin{}", (b'a' + n as u8 % 26) as char).repeat(2).into_boxed_str());
            let c = call(bad(3), "GET", template)
                .header("Host", "shop.test")
                .header("User-Agent", "gobuster/3.6");
            w.at(100_200 + n * 300, &c.status(404));
        }
    });
    expect(&engine, "sqli", 1);
    expect(&engine, "vuln-scan", 1);
    expect(&engine, "directory-bruteforce", 1);
    let campaigns = engine.campaigns();
    let scan = campaigns.iter().find(|c| c.class == "directory-bruteforce").unwrap();
    assert_eq!(scan.outcome.get("paths-tried"), Some(&26), "{:?}", scan.outcome);
    let probe = campaigns.iter().find(|c| c.class == "vuln-scan").unwrap();
    assert_eq!(probe.outcome.get("paths-tried"), Some(&1), "{:?}", probe.outcome);
}

#[test]
fn crawlers_true_and_false() {
    let bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let ai = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)";
    let google: std::net::IpAddr = "66.249.66.20".parse().unwrap();
    let engine = among_people(|w| {
        let mut robots =
            call(google, "GET", "/robots.txt").header("Host", "shop.test").header("User-Agent", bot);
        robots.kind = "text/plain";
        robots.answer = "User-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nDisallow: /api/\n".into();
        w.at(10_000, &robots);
        for n in 0..60u32 {
            for (who, agent) in [(google, bot), (bad(1), bot), (bad(2), ai)] {
                let c = call(who, "GET", "/items/{item}").path(format!("/items/{}", 1000 + n)).html();
                let c =
                    c.header("Accept", "text/html").header("User-Agent", agent).header("Host", "shop.test");
                w.at(20_000 + i64::from(n) * 2_000, &c);
            }
        }
    });
    expect(&engine, "fake-crawler", 1);
    expect(&engine, "ai-crawler", 1);
    let true_one = engine.verdicts().into_iter().find(|v| v.client_ip == Some(google)).unwrap();
    assert_eq!(true_one.intent, "automated");
}

#[test]
fn an_unsigned_token_and_a_flood() {
    let engine = among_people(|w| {
        let c = call(bad(1), "GET", "/api/accounts").script();
        w.at(100_000, &c.header("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."));
        for n in 0..900 {
            let c = call(bad(2), "GET", "/api/feed").script().status(if n > 300 { 429 } else { 200 });
            w.at(100_000 + n * 50, &c);
        }
    });
    expect(&engine, "account-takeover", 1);
    expect(&engine, "app-dos", 1);
}

#[test]
fn stolen_logins_that_pay_one_receiver_from_the_head_of_a_real_browser() {
    let engine = among_people(|w| {
        for n in 0..10u32 {
            let t = 100_000 + i64::from(n) * 9_000;
            let body = format!("{{\"username\":\"phone{n}\",\"password\":\"right{n}\"}}");
            w.at(t, &call(bad(n), "POST", "/api/login").chrome().body(body));
            let token = format!("Bearer 00000000000000001111{n:04}");
            let pay = call(bad(n), "POST", "/api/payees").chrome().header("Authorization", token);
            w.at(t + 2_000, &pay.body("{\"name\":\"M\",\"iban\":\"DE02100100109307118603\"}"));
        }
    });
    expect(&engine, "ato-transfer-fraud", 9);
}

#[test]
fn gift_cards_guessed_where_the_path_says_nothing_and_the_status_is_always_200() {
    let engine = among_people(|w| {
        for n in 0..90u64 {
            let number = 6_377_000_000_000_000 + n * 31;
            let body = format!("{{\"number\": \"{number}\", \"pin\": \"{:04}\"}}", n * 97 % 10_000);
            let mut c = call(bad((n % 6) as u32), "POST", "/v1/balance").script().body(body);
            c.answer = "{\"card\":null}".into();
            w.at(100_000 + i64::try_from(n).unwrap() * 700, &c);
        }
    });
    expect(&engine, "giftcard-bruteforce", 6);
}
