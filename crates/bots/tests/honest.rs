//! Honest traffic that looks like abuse, and what must hold whatever the traffic is.

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]
mod world;

use sidetap_bots::{Config, Engine};
use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, VerdictRow};
use world::{World, bad, call, convicted, ip};

#[test]
fn an_outage_of_the_identity_provider_is_no_attack() {
    let mut w = World::new();
    w.honest();
    for n in 0..60u8 {
        let t = 100_000 + i64::from(n) * 900;
        for path in ["/api/config", "/api/home", "/api/feed"] {
            w.at(t, &call(ip(3, 0, n), "GET", path).app());
        }
        let body = format!("{{\"username\":\"late{n}\",\"password\":\"right{n}\"}}");
        w.at(t + 100, &call(ip(3, 0, n), "POST", "/api/login").app().body(body.clone()).status(401));
        w.at(t + 300, &call(ip(4, 0, n), "GET", "/").chrome().html());
        for asset in ["/app.js", "/main.css", "/logo.png"] {
            w.at(t + 310, &call(ip(4, 0, n), "GET", asset).chrome());
        }
        w.at(t + 500, &call(ip(4, 0, n), "POST", "/api/login").chrome().body(body).status(401));
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn partners_with_keys_may_walk_the_catalogue() {
    let mut w = World::new();
    w.honest();
    for n in 0..300u32 {
        let c = call(ip(5, 0, 1), "GET", "/partner/items/{id}").path(format!("/partner/items/{n}"));
        let c = c.header("Host", "shop.test").header("User-Agent", "python-requests/2.32");
        w.at(10_000 + i64::from(n) * 500, &c.header("X-API-Key", "pk_live_0123456789abcdef"));
        let c = call(ip(5, 0, 2), "GET", "/partner/stock").path(format!("/partner/stock?sku={n}"));
        let c = c.header("Host", "shop.test").header("User-Agent", "acme-sync/2.1 (+https://acme.test)");
        w.at(10_200 + i64::from(n) * 500, &c.header("X-API-Key", "pk_live_fedcba9876543210"));
    }
    let engine = w.judge();
    assert_eq!(convicted(&engine), []);
    assert!(engine.verdicts().iter().any(|v| v.intent == "automated" && v.client_ip == Some(ip(5, 0, 2))));
}

#[test]
fn a_made_up_key_excuses_nobody() {
    let mut w = World::new();
    w.honest();
    for n in 0..150u32 {
        let c = call(bad(n / 2), "GET", "/api/stock")
            .path(format!("/api/stock?sku=7&zip={:05}", n * 613))
            .script();
        w.at(100_000 + i64::from(n) * 600, &c.header("X-API-Key", "pk_live_made_up_0000000000"));
    }
    world::expect(&w.judge(), "inventory-scraping", 60);
}

#[test]
fn monitors_that_log_in_and_probe_are_left_alone() {
    let mut w = World::new();
    w.honest();
    for n in 0..80i64 {
        let agent = "Mozilla/5.0 (compatible; DatadogSynthetics; +https://www.datadoghq.com)";
        let c =
            call(ip(6, 0, 1), "POST", "/api/login").header("Host", "shop.test").header("User-Agent", agent);
        w.at(n * 5_000, &c.body("{\"username\": \"probe\", \"password\": \"right\"}"));
        let c = call(ip(6, 0, 2), "HEAD", "/")
            .header("Host", "shop.test")
            .header("User-Agent", "UptimeRobot/2.0");
        w.at(n * 5_000 + 500, &c.status(405));
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn a_crowd_at_a_sale_is_no_attack() {
    let mut w = World::new();
    w.honest();
    for n in 0..40u8 {
        let who = ip(7, 0, n);
        w.at(200_000, &call(who, "GET", "/drop").chrome().html());
        for asset in ["/app.js", "/main.css", "/logo.png"] {
            w.at(200_100, &call(who, "GET", asset).chrome());
        }
        for i in 0..8i64 {
            w.at(201_000 + i * 900 + i64::from(n), &call(who, "GET", "/drop").chrome().html());
            let c = call(who, "POST", "/api/cart").chrome().body("{\"sku\":\"drop-1\"}").status(403);
            w.at(201_300 + i * 900 + i64::from(n), &c);
        }
        w.at(209_000, &call(who, "POST", "/api/cart").chrome().body("{\"sku\":\"drop-1\"}"));
        w.at(212_000, &call(who, "POST", "/api/checkout").chrome().body("{\"cart\":1}"));
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn an_app_that_fails_on_a_bad_line_is_no_attack() {
    let mut w = World::new();
    w.honest();
    for n in 0..20u8 {
        let who = ip(8, 0, n);
        for path in ["/api/config", "/api/home", "/api/feed"] {
            w.at(50_000 + i64::from(n) * 2_000, &call(who, "GET", path).app());
        }
        for i in 0..6i64 {
            let mut c = call(who, "POST", "/api/login")
                .app()
                .body(format!("{{\"username\":\"f{n}\",\"password\":\"p{n}\"}}"));
            c.status = if i == 5 { 200 } else { 503 };
            w.at(52_000 + i64::from(n) * 2_000 + i * 1_000, &c);
        }
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn an_attacker_at_a_shared_address_is_named_more_narrowly() {
    let mut w = World::new();
    w.honest();
    let carrier = ip(66, 7, 7);
    for n in 0..20u8 {
        for path in ["/api/config", "/api/home", "/api/feed", "/api/accounts"] {
            let c = call(carrier, "GET", path).app().header("X-Device-Id", format!("device-00000000-{n:04}"));
            w.at(90_000 + i64::from(n) * 3_000, &c);
        }
    }
    for n in 0..60u32 {
        let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
        w.at(
            100_000 + i64::from(n) * 900,
            &call(carrier, "POST", "/api/login").script().body(body).status(401),
        );
    }
    let rows: Vec<_> = w.judge().verdicts().into_iter().filter(|v| v.intent == "malicious").collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].subject.kind, sidetap_model::SubjectKind::Compound);
    assert_eq!(rows[0].subject.parts.len(), 2);
}

#[test]
fn whom_a_source_names_that_nobody_vouches_for_is_not_accused_by_his_address() {
    let mut w = World::new();
    w.honest();
    for n in 0..60u32 {
        let named = ip(1, 0, (n % 30) as u8);
        let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
        let mut c = call(named, "POST", "/api/login").script().body(body).status(401);
        c.via = Some(ip(88, 8, 8));
        w.at(100_000 + i64::from(n) * 900, &c);
    }
    let rows: Vec<_> = w.judge().verdicts().into_iter().filter(|v| v.intent == "malicious").collect();
    assert_eq!(rows.len(), 30, "{rows:?}");
    for row in rows {
        assert_eq!(row.subject.kind, sidetap_model::SubjectKind::Compound);
        assert_eq!(row.requests, 2, "those that the named one made himself are his own: {row:?}");
    }
}

#[test]
fn a_source_that_turns_out_to_be_a_proxy_is_let_go() {
    let edge = ip(88, 8, 8);
    let is_named = |proxy: bool| {
        let mut w = World::new();
        w.honest();
        for n in 0..80u32 {
            let path = format!("/items/{}", 5_000 + n);
            w.at(
                100_000 + i64::from(n) * 400,
                &call(edge, "GET", "/items/{item}").path(path).script().html(),
            );
        }
        for n in 0..4u8 {
            let mut c = call(ip(1, 0, n), "GET", "/").chrome().html();
            c.via = Some(edge).filter(|_| proxy);
            w.at(140_000 + i64::from(n) * 400, &c);
        }
        let rows = w.judge().verdicts();
        rows.iter().any(|v| v.intent == "malicious" && v.subject.value == edge.to_string())
    };
    assert!(is_named(false));
    assert!(!is_named(true), "others may stand behind the address");
}

#[test]
fn what_two_logins_behind_one_address_open_is_not_added_up() {
    let mut w = World::new();
    w.honest();
    for n in 0..22u32 {
        let path = format!("/api/orders/{}", 71_000 + n * 17);
        let c = call(ip(66, 9, 9), "GET", "/api/orders/{order}").path(path).app();
        let session = format!("Bearer neighbour{}000000000000000", n % 2);
        w.at(100_000 + i64::from(n) * 3_000, &c.header("Authorization", session));
    }
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn people_of_a_new_app_who_mistype_and_give_up_guess_nothing() {
    for look_around in [true, false] {
        let mut w = World::new();
        w.honest();
        for n in 0..16u8 {
            let (who, t) = (ip(8, 0, n), 100_000 + i64::from(n) * 5_000);
            if look_around {
                w.at(t, &call(who, "GET", "/api/config").app());
                w.at(t + 9_000, &call(who, "GET", "/api/feed").app());
            }
            let body = format!("{{\"username\":\"new{n}\",\"password\":\"mistyped\"}}");
            w.at(t + 3_000, &call(who, "POST", "/api/login").app().body(body).status(401));
        }
        assert_eq!(convicted(&w.judge()), []);
    }
}

/// The invoice of a member, opened in the application's pages by who has logged in.
fn invoice(who: std::net::IpAddr, member: u32, session: &str) -> world::Call {
    let path = format!("/api/orders/{member}");
    let c = call(who, "GET", "/api/orders/{order}").path(path).chrome();
    c.header("Authorization", format!("Bearer {session}"))
}

#[test]
fn staff_who_open_what_customers_ask_them_about_are_no_attackers() {
    let opened = |stepping: bool, who: fn(u8) -> std::net::IpAddr| {
        let mut w = World::new();
        w.honest();
        for desk in 0..1u8 {
            w.at(5_000, &call(who(desk), "GET", "/desk").chrome().html());
            for asset in ["/app.js", "/main.css", "/logo.png", "/vendor.js"] {
                w.at(5_100, &call(who(desk), "GET", asset).chrome());
            }
            for n in 0..30u32 {
                let other = (n * 7_919 + u32::from(desk) * 331) % 900;
                let member = 70_000 + if stepping { 40 * u32::from(desk) + n } else { other };
                let t = 9_000 + i64::from(n) * 8_000 + i64::from(other) * 3;
                w.at(t, &invoice(who(desk), member, &format!("desk0123456789abcdef{desk}")));
            }
        }
        convicted(&w.judge())
    };
    assert_eq!(opened(false, |n| ip(9, 0, n)), []);
    let walker = opened(true, |n| bad(u32::from(n)));
    assert!(walker.iter().any(|(_, class)| class == "bola"), "who walks through them does: {walker:?}");
}

#[test]
fn what_nobody_answered_convicts_nobody() {
    let mut w = World::new();
    w.honest();
    let before = w.observations.len();
    for n in 0..100u32 {
        let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
        w.at(
            100_000 + i64::from(n) * 900,
            &call(bad(n), "POST", "/api/login").script().body(body).status(401),
        );
    }
    w.observations[before..].iter_mut().for_each(|o| o.acknowledged = false);
    assert_eq!(convicted(&w.judge()), []);
}

#[test]
fn verdicts_carry_reasons_and_no_secret() {
    let mut w = World::new();
    w.honest();
    for n in 0..60u32 {
        let body = format!("{{\"username\": \"victim-name-{n}\", \"password\": \"leaked-secret-{n}\"}}");
        w.at(
            100_000 + i64::from(n) * 900,
            &call(bad(n), "POST", "/api/login").script().body(body).status(401),
        );
    }
    let engine = w.judge();
    let text = format!("{:?} {:?}", engine.verdicts(), engine.campaigns());
    assert!(
        !text.contains("victim-name")
            && !text.contains("leaked-secret")
            && !text.contains("0123456789abcdef0123")
    );
    for row in engine.verdicts().iter().filter(|v| v.intent == "malicious") {
        assert!(!row.reasons.is_empty() && row.ttl_s > 0 && row.coverage.len() == 4 && row.score >= 75);
        assert!(row.reasons.iter().all(|r| !r.evidence.is_empty()));
    }
}

#[test]
fn the_same_exchanges_give_the_same_rows_in_whatever_order_workers_hand_them_in() {
    let run = |reverse: bool| {
        let mut w = World::new();
        w.honest();
        for n in 0..60u32 {
            let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
            w.at(
                100_000 + i64::from(n) * 900,
                &call(bad(n), "POST", "/api/login").script().body(body).status(401),
            );
        }
        if reverse {
            w.observations.reverse();
        }
        let engine = w.judge();
        (engine.verdicts(), engine.campaigns(), engine.traffic(), engine.roles(), engine.export_state())
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn pages_that_differ_in_a_number_are_one_thing_before_the_inventory_knows() {
    let mut w = World::new();
    for n in 0..600i64 {
        let path: &'static str = Box::leak(format!("/product/lamp-{}.html", n % 200).into_boxed_str());
        w.at(n * 500, &call(ip(9, 1, (n / 200) as u8), "GET", path).header("Host", "shop.test"));
    }
    let roles = w.judge().roles();
    assert_eq!(roles.len(), 1, "{roles:?}");
    assert!(roles.values().all(|r| r.iter().any(|r| r == "id-lookup")), "{roles:?}");
}

#[test]
fn tables_stay_within_their_caps_under_a_flood() {
    let mut w = World::new();
    for n in 0..24_000u32 {
        let word: String = format!("{n:06}").bytes().map(|d| char::from(d - b'0' + b'a')).collect();
        let path = if n % 2 == 0 { format!("/{word}") } else { "/api/feed".to_owned() };
        let template: &'static str = Box::leak(path.into_boxed_str());
        let c =
            call(ip((n >> 16) as u8, (n >> 8) as u8, n as u8), "GET", template).header("Host", "shop.test");
        let c =
            c.header("User-Agent", format!("agent-{n}")).header("Authorization", format!("Bearer {n:032}"));
        w.at(i64::from(n) * 10, &c);
    }
    let mut config = Config::builtin().unwrap();
    config.set_memory(1);
    let clients = config.max_clients;
    let engine = w.judge_with(config);
    assert!(engine.clients() <= clients + 256, "{}", engine.clients());
    let evicted = engine.evictions();
    assert!(
        evicted["bots-clients"] > 0 && evicted["bots-endpoints"] > 0 && evicted["bots-sessions"] > 0,
        "{evicted:?}"
    );
}

#[test]
fn what_was_learned_can_be_carried_and_damage_is_refused() {
    let mut w = World::new();
    w.honest();
    let first = w.judge();
    let state = first.export_state();
    let mut second = World::new().judge();
    second.import_state(&state).unwrap();
    assert_eq!(second.roles(), first.roles());
    assert!(second.import_state(&state[..state.len() / 2]).is_err());
    assert!(second.import_state(&[9, 1, 2]).is_err());
    assert!(second.import_state(&[]).is_err());
}

#[test]
fn changes_are_told_once() {
    let mut w = World::new();
    w.honest();
    for n in 0..60u32 {
        let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
        w.at(
            100_000 + i64::from(n) * 900,
            &call(bad(n), "POST", "/api/login").script().body(body).status(401),
        );
    }
    let mut engine = w.judge();
    assert!(engine.take_changes().len() >= 59);
    assert!(engine.take_changes().is_empty());
}

/// Whether something is said otherwise is told without its whole row: that must agree with the rows, whoever shares an address, a network
/// or a session with whom.
#[test]
fn what_changed_is_what_all_verdicts_say_otherwise_than_before() {
    let mut w = World::new();
    w.honest();
    for n in 0..240u32 {
        let at = 100_000 + i64::from(n) * 700;
        let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
        let who = bad(n % 40);
        let login = call(who, "POST", "/api/login").script().body(body);
        w.at(at, &login.status(if n % 50 == 49 { 200 } else { 401 }));
        // Others at the same addresses: one with the same tool, a browser, a session that several present.
        let session = format!("Bearer fedcba9876543210fedc{:04}", n % 3);
        w.at(at + 100, &call(who, "GET", "/api/accounts").script().header("Authorization", session));
        w.at(at + 200, &call(who, "GET", "/").chrome().html());
        let stock =
            call(bad(n % 40), "GET", "/api/stock").path(format!("/api/stock?sku=7&zip={:05}", n * 613));
        w.at(at + 300, &stock.java());
    }
    let (mut known, mut told) = (std::collections::BTreeMap::new(), 0);
    w.judge_each(Config::builtin().unwrap(), |engine| {
        let mut rows = engine.verdicts();
        rows.retain(|v| v.intent != "automated");
        rows.retain(|v| {
            let mark = (v.intent.clone(), v.class.clone(), v.subject.value.clone());
            known.insert(v.id.clone(), mark.clone()) != Some(mark)
        });
        told += rows.len();
        let changes = engine.take_changes();
        assert_eq!(format!("{changes:#?}"), format!("{rows:#?}"));
        whole_agree_with_gists(engine, &changes);
    });
    let kinds: std::collections::BTreeSet<_> =
        known.values().map(|(intent, class, _)| (intent, class)).collect();
    assert!(told >= known.len() && kinds.len() > 1, "{told} changes of {} verdicts: {kinds:?}", known.len());
}

/// What decisions hear of campaigns while a run goes on is what its rows say of them.
fn whole_agree_with_gists(engine: &Engine, changes: &[VerdictRow]) {
    let named: std::collections::BTreeSet<String> =
        changes.iter().filter_map(|v| v.campaign.clone()).collect();
    let whole: std::collections::BTreeMap<String, CampaignRow> =
        engine.campaigns().into_iter().map(|c| (c.id.clone(), c)).collect();
    let gists = engine.gists(&named);
    assert_eq!(gists.len(), named.len());
    for gist in gists {
        let row = &whole[&gist.row.id];
        assert_eq!(gist.members, row.members.len() as u64);
        let of = |c: &CampaignRow| {
            let signature = ["agent", "agents", "fingerprint"].map(|name| c.signature.get(name).cloned());
            (c.class.clone(), c.score, c.requests, c.endpoints.clone(), c.last_seen, signature)
        };
        assert_eq!(of(&gist.row), of(row));
    }
}

/// The catalogue, page after page every five seconds, by a program that says what it is: automated, and no offence.
#[test]
fn a_feed_that_says_what_it_is_and_takes_its_time_is_not_convicted() {
    let feed = |gap: i64| {
        let mut world = World::new();
        world.honest();
        for n in 0..120 {
            let c = call(ip(3, 0, 1), "GET", "/items/{item}").path(format!("/items/{}", 1000 + n));
            world.at(20_000 + i64::from(n) * gap, &c.java().html());
        }
        world.judge()
    };
    let slow = feed(5_000);
    assert_eq!(convicted(&slow), []);
    assert!(slow.verdicts().iter().all(|v| v.intent != "suspicious"));
    assert_eq!(convicted(&feed(700)).len(), 1, "a hundred pages in a minute are another matter");
}

/// The stock list of a shop, page by page, asked for by a program; signed in or not.
fn list_taken_along(signed_in: bool) -> Vec<(std::net::IpAddr, String)> {
    let mut w = World::new();
    w.honest();
    let list = |who: std::net::IpAddr, page: u32| {
        let c = call(who, "GET", "/backoffice/stock").path(format!("/backoffice/stock?page={page}"));
        world::Call { answer: "{\"items\":[{\"sku\":\"A1\",\"price\":\"9.50\",\"stock\":4}]}".into(), ..c }
    };
    for n in 0..20u8 {
        let who = ip(9, 20, n);
        let t = i64::from(n) * 6_000;
        if signed_in {
            let log_in = format!("{{\"username\":\"seller{n}\",\"password\":\"own\"}}");
            w.at(t, &call(who, "POST", "/api/login").chrome().body(log_in));
        }
        for page in 1..3 {
            let c = list(who, page).chrome();
            let session = format!("Bearer 5e11e50123456789abcd{n:04}");
            w.at(
                t + 4_000 * i64::from(page),
                &if signed_in { c.header("Authorization", session) } else { c },
            );
        }
    }
    let who = if signed_in { ip(9, 21, 1) } else { bad(1) };
    if signed_in {
        w.at(
            99_000,
            &call(who, "POST", "/api/login").script().body("{\"username\":\"s\",\"password\":\"own\"}"),
        );
    }
    for page in 1..90u32 {
        let c = list(who, page).script();
        let c = if signed_in { c.header("Authorization", "Bearer 5e11e50123456789abcd9999") } else { c };
        w.at(100_000 + i64::from(page) * 700, &c);
    }
    convicted(&w.judge())
}

#[test]
fn who_takes_along_what_is_listed_for_him_scrapes_nothing() {
    assert_eq!(list_taken_along(true), []);
    let scraped = list_taken_along(false);
    assert!(scraped.iter().any(|(who, class)| *who == bad(1) && class.ends_with("scraping")), "{scraped:?}");
}

/// Who acts on verdicts hears that somebody goes on, now and then, and nothing of those who stopped.
#[test]
fn who_goes_on_is_told_again_where_that_is_asked_for() {
    let attacked = || {
        let mut w = World::new();
        w.honest();
        for n in 0..1200u32 {
            let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
            w.at(
                100_000 + i64::from(n) * 100,
                &call(bad(if n < 400 { n % 2 } else { 1 }), "POST", "/api/login")
                    .script()
                    .body(body)
                    .status(401),
            );
        }
        w
    };
    for asked in [false, true] {
        let mut lasts = std::collections::BTreeMap::<String, Vec<Ts>>::new();
        attacked().judge_each(Config::builtin().unwrap(), |engine| {
            if asked {
                engine.tell_again();
            }
            for v in engine.take_changes().iter().filter(|v| v.intent == "malicious") {
                lasts.entry(v.subject.value.clone()).or_default().push(v.last_seen);
            }
        });
        let gap = |all: &[Ts]| all.windows(2).map(|two| two[1].since(two[0])).min();
        let most = lasts.values().map(Vec::len).max().unwrap();
        if asked {
            assert!(most >= 8, "{lasts:?}");
            assert!(lasts.values().any(|all| all.len() < 7), "one stopped after 40 s: {lasts:?}");
            assert!(
                lasts.values().filter(|all| all.len() > 4).all(|all| gap(&all[2..]) >= Some(10_000_000_000))
            );
        } else {
            assert!(most <= 3, "{lasts:?}");
        }
    }
}

/// Who was convicted and does what it is not for is not told to go on.
#[test]
fn who_does_something_else_by_now_does_not_go_on() {
    const LATE: Ts = Ts(1_700_000_000_000_000_000 + 145_000_000_000);
    let login = |n: u32, status| {
        let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
        call(bad(1), "POST", "/api/login").script().body(body).status(status)
    };
    let told_late = |later: &dyn Fn(&mut World)| {
        let mut w = World::new();
        w.honest();
        for n in 0..200u32 {
            w.at(100_000 + i64::from(n) * 100, &login(n, 401));
        }
        later(&mut w);
        let (mut all, mut late) = (0, 0);
        w.judge_each(Config::builtin().unwrap(), |engine| {
            engine.tell_again();
            for v in engine.take_changes().iter().filter(|v| v.intent == "malicious") {
                all += 1;
                late += usize::from(v.last_seen >= LATE);
            }
        });
        assert!(all > 0);
        late
    };
    let every = |what: &dyn Fn(u32) -> world::Call, apart: i64| {
        told_late(&|w: &mut World| (0..20u32).for_each(|n| w.at(145_000 + i64::from(n) * apart, &what(n))))
    };
    assert!(every(&|n| login(1000 + n, 401), 14_000) > 2, "goes on, slowly");
    assert_eq!(every(&|_| login(7, 200), 14_000), 0, "knows a password");
    assert_eq!(every(&|_| call(bad(1), "GET", "/api/orders").script(), 1_000), 0, "looks at orders");
    let once = |w: &mut World| w.at(150_000, &login(7, 401));
    assert_eq!(told_late(&once), 0, "one slip, long after");
}

/// Who is convicted together with his session did each thing once.
#[test]
fn calls_of_a_client_and_its_session_count_once() {
    let late = |more: i64| {
        let mut w = World::new();
        w.honest();
        let order = |n: i64| {
            let c = call(bad(1), "GET", "/api/orders/{order}").path(format!("/api/orders/{}", 72_000 + n));
            c.chrome().header("Authorization", "Bearer insider00000000000000000000")
        };
        (0..60).for_each(|n| w.at(100_000 + n * 700, &order(n)));
        (0..more).for_each(|n| w.at(190_000 + n * 14_000, &order(100 + n)));
        let mut late = 0;
        w.judge_each(Config::builtin().unwrap(), |engine| {
            engine.tell_again();
            let told = engine.take_changes();
            late += told
                .iter()
                .filter(|v| v.intent == "malicious" && v.last_seen.0 > 1_700_000_185_000_000_000)
                .count();
        });
        late
    };
    assert_eq!([2, 6].map(|more| late(more) > 0), [false, true], "two calls are none that go on");
}
