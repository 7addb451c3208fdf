//! Attacks that give little away, from packets to the verdict: whole browsers that are driven, accounts made by the list, a few probes from
//! each address, lists walked to their end, money sent on to two receivers. The honest twins do the same for a reason.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod common;
#[path = "common/scene.rs"]
mod scene;

use scene::{Scene, bad, get, honest, judge, post};

/// Plays an attack; at least `least` of its addresses must be convicted of `class`.
fn found(class: &str, least: usize, attack: impl FnOnce(&mut Scene)) {
    let mut scene = Scene::new();
    attack(&mut scene);
    let said = judge(scene);
    let hits = said.convicted.get(class).map_or(0, Vec::len);
    assert!(hits >= least, "{hits} of {least} convicted of {class}: {:?}", said.convicted);
    assert!(said.campaigns.iter().any(|c| c["class"] == class), "no campaign tells of {class}");
}

/// Nobody may be accused of what is played.
fn clean(play: impl FnOnce(&mut Scene)) {
    let mut scene = Scene::new();
    play(&mut scene);
    assert!(judge(scene).convicted.is_empty());
}

fn assets(s: &mut Scene, t: u32, who: &str) {
    for (i, asset) in (0u32..).zip(["/app.js", "/main.css", "/logo.png"]) {
        s.at(t + 100 + i * 30, who, &get(asset).plain("x").chrome());
    }
}

/// People who follow links to a few products, and clients that open thirty each in order.
fn catalogue(s: &mut Scene, who: impl Fn(u32) -> String, typed: bool, cookie: bool) {
    let product = |n: u32| get(format!("/product/{n}")).page().chrome();
    let own =
        |n: u32| if cookie { format!("Cookie: sid=0f1e2d3c4b5a69780f1e{n:04}") } else { "X-A: 1".into() };
    for n in 0..20 {
        for i in 0..3 {
            let t = 30_000 + n * 7_000 + i * 8_000;
            s.at(t, &honest(n), &product(4_000 + n * 37 % 400 + i * 91).referred("/"));
        }
    }
    for n in 0..90 {
        let (reader, t) = (who(n % 3), 100_000 + n / 3 * 3_100 + n % 3 * 777);
        let page = product(4_000 + n % 3 * 100 + n / 3 * 2).with(own(n % 3));
        s.at(t, &reader, &if typed { page.unreferred() } else { page.referred("/product/4000") });
        assets(s, t, &reader);
    }
}

#[test]
fn products_opened_in_order_by_a_driven_browser() {
    found("content-scraping", 3, |s| catalogue(s, bad, true, false));
    found("content-scraping", 3, |s| catalogue(s, bad, true, true));
}

#[test]
fn products_that_links_lead_to() {
    clean(|s| catalogue(s, |n| format!("20.4.0.{}", n + 1), false, true));
}

#[test]
fn accounts_of_one_form_made_with_the_forms_page() {
    found("fake-account-creation", 18, |s| {
        let names = ["eva", "nils", "karin", "oskar", "maja", "olle"];
        let join = |name: String, secret: String| {
            post(
                "/api/register",
                format!(
                    "{{\"email\":\"{name}@mail.example\",\"password\":\"{secret}\",\"phone\":\"0761000\"}}"
                ),
            )
        };
        for (n, name) in (0..24).zip(names.into_iter().cycle()) {
            let ask =
                join(format!("{name}.b{}", 100 + n), format!("{name}{n}Zz!{}", "x".repeat(n as usize % 4)));
            s.at(n * 9_000 + 24_000, &honest(n), &ask.chrome());
        }
        for (n, name) in (0..20).zip(names.into_iter().cycle()) {
            let t = 100_000 + n * 7_000;
            s.at(t, &bad(n), &get("/join").page().chrome().unreferred());
            assets(s, t, &bad(n));
            let ask = join(format!("{name}.lind{}", 500 + n), format!("Qw{}!er", 900 + n));
            s.at(t + 9_000, &bad(n), &ask.chrome().referred("/join"));
        }
    });
}

#[test]
fn a_few_probes_from_each_address() {
    found("vuln-scan", 12, |s| {
        let probes =
            ["/.env", "/.git/config", "/backup.sql", "/actuator/env", "/.aws/credentials", "/phpinfo.php"];
        for n in 0..14 {
            for i in 0..4 {
                let path = probes.get((n as usize + i as usize) % probes.len()).copied().unwrap();
                let ask = get(path).status(404).curl(scene::CHROME);
                s.at(60_000 + n * 9_000 + i * 3_000, &bad(n), &ask);
            }
        }
    });
}

#[test]
fn a_list_walked_to_its_end_under_the_beginning_of_a_browsers_name() {
    found("api-scraping", 1, |s| {
        let list = |skip: u32| {
            get(format!("/odata/v4/Parts?$top=25&$skip={skip}"))
                .answer(format!("{{\"value\":[{{\"ID\":{skip}}}]}}"))
        };
        for n in 0..8 {
            for i in 0..5 {
                s.at(
                    n * 3_000 + i * 21_000,
                    &format!("20.3.0.{}", n + 1),
                    &list(i * 25).named("axios/1.7.7").with("apikey: 0123456789abcdef"),
                );
            }
        }
        for n in 0..60 {
            s.at(80_000 + n * 700, &bad(1), &list(n * 25).curl("Mozilla/5.0"));
        }
    });
}

#[test]
fn money_that_is_sent_on_to_a_second_receiver_as_well() {
    found("ato-transfer-fraud", 8, |s| {
        for n in 0..9 {
            let (t, token) = (60_000 + n * 14_000, format!("0123456789abcdef77{n:06}"));
            let login =
                post("/api/login", format!("{{\"username\":\"victim{n}\",\"password\":\"right{n}\"}}"));
            s.at(t, &bad(n), &login.answer(format!("{{\"token\":\"{token}\"}}")).script());
            let to = if n % 2 == 0 { "mule" } else { "mule-two" };
            let body = format!("{{\"to\":\"{to}\",\"amount\":{}}}", 400 + n);
            s.at(t + 4_000, &bad(n), &post("/v2/transfers", body).bearer(&token).script());
        }
    });
}

/// Fares that phones ask for in the application, and those that others ask for with its head and nothing else.
fn fares(s: &mut Scene, others: u32, who: impl Fn(u32) -> String, wide: bool) {
    let fare = |from: u32, to: u32| {
        get(format!("/v3/fares?from=S{from}&to=S{to}"))
            .answer("{\"fares\":[{\"price\":{\"second\":19,\"first\":39}}]}")
            .app()
    };
    for n in 0..30 {
        for i in 0..2 {
            s.at(
                n * 8_500 + 20_000 + i * 6_000,
                &format!("20.2.0.{}", n + 1),
                &fare(n % 12, (n + i + 1) % 12),
            );
        }
    }
    for n in 0..others {
        for i in 0..3 {
            let to = if wide { n * 3 + i } else { n % 4 };
            let ask = fare(n % 30, 100 + to).with("X-Device: 9f2c");
            s.at(70_000 + n * 3_000 + i * 5_000, &who(n), &ask);
        }
    }
}

#[test]
fn fares_asked_for_by_a_swarm_whose_head_is_nearly_the_app_s() {
    found("price-scraping", 60, |s| fares(s, 70, bad, true));
}

#[test]
fn fares_that_are_watched_again_and_again() {
    clean(|s| fares(s, 12, |n| format!("20.4.0.{}", n + 1), false));
}
