//! Calls whose paths and fields have no customary names, from packets to the verdict: members' numbers with PINs, methods in paths,
//! envelopes, operations under aliases, objects in bodies, pages that nobody opened. People and phones do the same beside them; none
//! may be accused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod common;
#[path = "common/scene.rs"]
mod scene;

use scene::{Ask, Scene, bad, get, honest, judge, post};

/// Plays an attack; at least `least` of its addresses must be convicted of one of `classes`, in the end by campaigns that tell so.
fn found(classes: &[&str], least: usize, attack: impl FnOnce(&mut Scene)) {
    let mut scene = Scene::new();
    attack(&mut scene);
    let said = judge(scene);
    let hits: usize = classes.iter().filter_map(|c| said.convicted.get(*c)).map(Vec::len).sum();
    assert!(hits >= least, "{hits} of {least} convicted of {classes:?}: {:?}", said.convicted);
    let campaign = said.campaigns.iter().find(|c| classes.iter().any(|class| c["class"] == *class));
    assert!(campaign.is_some(), "no campaign tells of {classes:?}");
}

fn phone(n: u32) -> String {
    format!("20.2.0.{}", n + 1)
}

const GUESSED: &[&str] = &["credential-cracking", "credential-stuffing"];

fn member(number: u32, pin: &str, right: bool) -> Ask {
    let ask =
        post("/rest/auth/tokens", format!("{{\"memberNumber\":\"6001{number:05}\",\"pin\":\"{pin}\"}}"));
    if right {
        ask.answer(format!("{{\"accessToken\":\"0123456789abcdef01{number:05}\",\"expiresIn\":1800}}"))
    } else {
        ask.status(401)
    }
}

#[test]
fn a_members_number_and_a_pin_are_a_log_in() {
    found(GUESSED, 36, |s| {
        for n in 0..30 {
            s.at(n * 8_500 + 1_000, &phone(n), &member(n * 17, "482913", true).app());
        }
        for n in 0..40 {
            for i in 0..4 {
                let guess = member(7_000 + n % 8 * 17, &format!("{:06}", 100_003 + (n * 4 + i) * 613), false);
                s.at(60_000 + n * 5_000 + i * 12_000, &bad(n), &guess.app());
            }
        }
    });
}

#[test]
fn a_form_that_names_its_fields_in_another_language_is_a_log_in() {
    found(GUESSED, 45, |s| {
        let form = |who: u32, word: &str| post("/login", format!("kaiin=K{who:06}&pw={word}"));
        for n in 0..30 {
            let ask = form(n * 31, &format!("own{n}")).status(302);
            let ask = ask
                .answers("Location: /mypage")
                .answers(format!("Set-Cookie: sid=0123456789abcdef{n:04}; HttpOnly"));
            s.at(n * 9_000 + 15_000, &honest(n), &ask.chrome());
        }
        for n in 0..50 {
            for i in 0..3 {
                let ask = form(300 + n * 3 + i, if n % 2 == 0 { "sakura2026" } else { "Nippon2026" }).page();
                s.at(60_000 + n * 4_000 + i * 15_000, &bad(n), &ask.script());
            }
        }
    });
}

#[test]
fn a_log_in_that_leads_back_to_itself_failed_though_its_cookie_is_written_anew() {
    found(GUESSED, 1, |s| {
        for n in 0..110 {
            let ask = post("/login/", format!("username=admin&password=winter{n}")).status(302);
            let ask =
                ask.with(format!("Cookie: session=eyJjc3JmIjoiMDEyMzQ1{n:06}")).answers("Location: /login/");
            let ask = ask.answers(format!("Set-Cookie: session=eyJjc3JmIjoiMDEyMzQ1{:06}; HttpOnly", n + 1));
            s.at(60_000 + n * 1_500, &bad(1), &ask.script());
        }
    });
}

/// A stock query of a dealer, who says who he is in the same envelope.
fn envelope(dealer: u32, pin: u32, part: u32, right: bool) -> Ask {
    let body = format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:b=\"urn:b\"><soapenv:Body>\
         <b:BestandAnfrage><b:Kennung>dlr-{dealer:03}</b:Kennung><b:Pin>{pin}</b:Pin><b:Teil>{part}</b:Teil></b:BestandAnfrage>\
         </soapenv:Body></soapenv:Envelope>"
    );
    let told = if right {
        "<BestandAntwort><Menge>4</Menge><Preis>17.20</Preis></BestandAntwort>"
    } else {
        "<soap:Fault><faultcode>Client.Auth</faultcode><faultstring>Kennung oder Pin ungueltig</faultstring></soap:Fault>"
    };
    let answer = format!(
        "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>{told}</soap:Body></soap:Envelope>"
    );
    let status = if right { 200 } else { 500 };
    post("/ws/Bestand", body).status(status).xml(answer).with("SOAPAction: \"urn:b#Anfrage\"")
}

#[test]
fn a_pin_guessed_in_the_envelope_of_another_call() {
    found(GUESSED, 2, |s| {
        for n in 0..9 {
            for i in 0..20 {
                let ask = envelope(n, 1000 + n, 30_001 + (n * 97 + i * 13) % 1_500, true);
                s.at(n * 3_000 + i * 11_000, &format!("20.3.0.{}", n + 1), &ask.named("Apache-CXF/4.0.5"));
            }
        }
        for n in 0..111 {
            s.at(80_000 + n * 900, &bad(0), &envelope(21, 1000 + n, 30_001, false).named("curl/8.5.0"));
            s.at(80_300 + n * 900, &bad(1), &envelope(21, 1200 + n, 30_001, false).named("curl/8.5.0"));
        }
    });
}

#[test]
fn codes_sent_to_numbers_abroad() {
    found(&["otp-abuse"], 36, |s| {
        let send =
            |number: String| post("/trpc/sms.senden", format!("{{\"json\":{{\"handy\":\"{number}\"}}}}"));
        for n in 0..14 {
            s.at(n * 12_000 + 15_000, &honest(n), &send(format!("+49176{:07}", n * 91_337)).chrome());
        }
        for n in 0..40 {
            for i in 0..3 {
                let number = format!("+22177{:07}", (n * 3 + i) * 7_919 % 9_999_999);
                s.at(70_000 + n * 5_000 + i * 11_000, &bad(n), &send(number).script());
            }
        }
    });
}

#[test]
fn accounts_made_with_a_name_a_mail_and_a_pin() {
    found(&["fake-account-creation"], 5, |s| {
        for n in 0..6 {
            for i in 0..15 {
                let body = format!(
                    "{{\"name\":\"abc{n}{i}\",\"email\":\"{}@yopmail.com\",\"pin\":\"123456\"}}",
                    n * 31 + i
                );
                let made = post("/rest/members", body).status(201).answer("{\"memberNumber\":\"700001\"}");
                s.at(70_000 + n * 8_000 + i * 1_300, &bad(n), &made.named("python-requests/2.32.3"));
            }
        }
    });
}

#[test]
fn entities_named_as_odata_does_are_looked_up() {
    found(&["api-scraping", "id-enumeration"], 48, |s| {
        let part = |id: u32| {
            let there = id % 4 == 1;
            let ask = get(format!("/odata/v4/Parts({id})"));
            if there { ask.answer(format!("{{\"ID\":{id},\"Name\":\"Part\"}}")) } else { ask.status(404) }
        };
        for n in 0..30 {
            for i in 0..4 {
                s.at(
                    n * 8_500 + 2_000 + i * 9_000,
                    &phone(n),
                    &part(30_001 + 4 * ((n * 41 + i * 17) % 1_500)).app(),
                );
            }
        }
        for n in 0..60 {
            for i in 0..4 {
                s.at(
                    60_000 + n * 3_500 + i * 9_000,
                    &bad(n),
                    &part(30_001 + n * 25 + i * 5 + n % 3).script(),
                );
            }
        }
    });
}

/// A GraphQL request and its answer.
fn graphql(body: String, answer: impl Into<String>) -> Ask {
    post("/graphql", body).answer(answer)
}

#[test]
fn log_ins_under_aliases_in_one_request() {
    found(&["credential-cracking"], 1, |s| {
        for n in 0..30 {
            let body = format!(
                "{{\"query\":\"mutation L($email: String!, $password: String!) {{ signIn(email: $email, password: $password) {{ token }} }}\",\
                 \"variables\":{{\"email\":\"person{n}@mail.test\",\"password\":\"own{n}\"}}}}"
            );
            let answer = format!("{{\"data\":{{\"signIn\":{{\"token\":\"0123456789abcdef{n:04}\"}}}}}}");
            s.at(n * 9_000 + 3_000, &honest(n), &graphql(body, answer).chrome());
        }
        for n in 0..6 {
            let list =
                |each: &dyn Fn(u32) -> String| (n * 10..n * 10 + 10).map(each).collect::<Vec<_>>().join(",");
            let body = format!(
                "{{\"query\":\"mutation M({}) {{ {} }}\",\"variables\":{{{}}}}}",
                list(&|i| format!("$a{i}: String!, $b{i}: String!")),
                list(&|i| format!("x{i}: signIn(email: $a{i}, password: $b{i}) {{ token }}")),
                list(&|i| format!("\"a{i}\":\"victim{i}@mail.test\",\"b{i}\":\"leaked-{i}\"")),
            );
            let answer = "{\"data\":{\"x1\":null},\"errors\":[{\"message\":\"Invalid credentials\"}]}";
            s.at(150_000 + n * 4_000, &bad(1), &graphql(body, answer).chrome());
        }
    });
}

fn invoice(who: u32, id: u32) -> Ask {
    let ask = post("/billing.v1.InvoiceService/GetInvoice", format!("{{\"id\":\"{id}\"}}"));
    let answer = format!("{{\"id\":\"{id}\",\"total\":\"17.20\",\"due\":\"2026-12-01\",\"paid\":true}}");
    ask.answer(answer).bearer(format!("0123456789abcdef{who:08}"))
}

#[test]
fn objects_of_others_named_in_bodies() {
    found(&["bola"], 1, |s| {
        for n in 0..30 {
            for i in 0..5 {
                let at = n * 8_500 + i * 9_000;
                s.at(at + 1_000, &phone(n), &invoice(n, 770_000 + n * 31 + i % 3).app());
            }
        }
        for n in 0..60 {
            s.at(120_000 + n * 1_100, &bad(1), &invoice(900, 770_100 + n).app());
        }
    });
}

#[test]
fn ids_in_json_in_a_query_written_with_spaces() {
    found(&["bola"], 1, |s| {
        let order = |who: u32, id: u32, json: &str| {
            let ask = get(format!("/trpc/order.byId?batch=1&input={}", json.replace('#', &id.to_string())));
            ask.answer(format!("[{{\"result\":{{\"data\":{{\"id\":{id},\"state\":\"sent\"}}}}}}]"))
                .bearer(format!("0123456789abcdef{who:08}"))
        };
        for n in 0..30 {
            for i in 0..4 {
                let ask =
                    order(n, 5_000 + n * 17 + i % 2, "%7B%220%22%3A%7B%22json%22%3A%7B%22nr%22%3A#%7D%7D%7D");
                s.at(n * 9_000 + i * 9_000, &honest(n), &ask.chrome());
            }
        }
        for n in 0..60 {
            let ask = order(900, 5_100 + n, "%7B%220%22%3A+%7B%22json%22%3A+%7B%22nr%22%3A+#%7D%7D%7D");
            s.at(120_000 + n * 1_100, &bad(1), &ask.script());
        }
    });
}

#[test]
fn a_log_in_that_no_word_tells_is_told_by_the_session_that_it_gives() {
    found(GUESSED, 45, |s| {
        let gate = |name: &str, word: &str| {
            post("/oteru/x9", format!("{{\"namae\":\"{name}\",\"kotoba\":\"{word}\"}}"))
        };
        for n in 0..30 {
            let token = format!("fd1cba9876543210fedc{n:04}");
            let ask = gate(&format!("hito{n}"), &format!("himitsu{n}"));
            s.at(n * 8_500 + 2_000, &phone(n), &ask.answer(format!("{{\"kagi\":\"{token}\"}}")).app());
            s.at(n * 8_500 + 6_000, &phone(n), &get("/api/accounts").bearer(&token).app());
        }
        for n in 0..50 {
            for i in 0..3 {
                let ask = gate(&format!("higai{}", n * 3 + i), &format!("more{i}")).status(403);
                s.at(100_000 + n * 3_000 + i * 14_000, &bad(n), &ask.script());
            }
        }
    });
}

#[test]
fn seats_asked_for_by_a_swarm_whose_pages_nobody_opened() {
    found(&["api-scraping", "inventory-scraping"], 70, |s| {
        for n in 0..30 {
            let event = 100 + n % 20;
            let page = get(format!("/shows/{event}")).page().chrome();
            s.at(n * 9_000 + 21_000, &honest(n), &page);
            let ask = get(format!("/api/plan/{event}")).chrome();
            s.at(n * 9_000 + 22_000, &honest(n), &ask.referred(&format!("/shows/{event}")));
        }
        for n in 0..90 {
            for i in 0..3 {
                let event = 100 + (n * 3 + i) % 60;
                let ask = get(format!("/api/plan/{event}")).named(scene::CHROME);
                let ask = ask.with(format!("Referer: http://shop.example/shows/{event}"));
                s.at(95_000 + n * 2_000 + i * 5_000, &bad(n), &ask);
            }
        }
    });
}

#[test]
fn a_log_in_that_answers_two_hundred_alike_is_told_by_what_it_gives() {
    found(GUESSED, 45, |s| {
        let login = |name: String, word: &str| {
            post("/v2/signin", format!("{{\"user\":\"{name}\",\"password\":\"{word}\"}}"))
        };
        for n in 0..30 {
            let told = format!("{{\"state\":1,\"level\":2,\"token\":\"0f1e2d3c4b5a69780f1e{n:04}\"}}");
            s.at(
                n * 8_500 + 2_000,
                &phone(n),
                &login(format!("own{n}"), &format!("right{n}")).answer(told).app(),
            );
        }
        for n in 0..50 {
            for i in 0..3 {
                let ask = login(format!("leaked{}", n * 3 + i), &format!("word{i}"))
                    .answer("{\"state\":7,\"level\":0}");
                s.at(100_000 + n * 3_000 + i * 14_000, &bad(n), &ask.script());
            }
        }
    });
}

#[test]
fn operations_of_stored_documents_are_told_apart() {
    let ask = |name: &str, variables: String| {
        let body = format!(
            "{{\"operationName\":\"{name}\",\"variables\":{{{variables}}},\"extensions\":{{\"persistedQuery\":{{\"version\":1,\"sha256Hash\":\"5f1c{name}7\"}}}}}}"
        );
        post("/graphql", body)
    };
    found(&["skewing"], 36, |s| {
        for n in 0..30 {
            let t = n * 9_000;
            let login = ask("Login", format!("\"email\":\"person{n}@mail.test\",\"password\":\"own{n}\""));
            let told = format!("{{\"data\":{{\"login\":{{\"session\":\"0f1e2d3c4b5a69780f1e{n:04}\"}}}}}}");
            s.at(t + 21_000, &honest(n), &login.answer(told).chrome());
            for i in 0..3 {
                let read = ask("AdDetail", format!("\"id\":\"ad_{}\"", 3_000 + n * 13 + i * 7));
                s.at(
                    t + 25_000 + i * 4_000,
                    &honest(n),
                    &read.answer("{\"data\":{\"ad\":{\"title\":\"Lamp\"}}}").chrome(),
                );
            }
            if n % 3 == 0 {
                let vote = ask("Vote", format!("\"id\":\"ad_{}\"", 3_000 + n * 13));
                s.at(t + 40_000, &honest(n), &vote.answer("{\"data\":{\"vote\":{\"ok\":true}}}").chrome());
            }
        }
        for n in 0..40 {
            for i in 0..2 {
                let vote =
                    ask("Vote", "\"id\":\"ad_3777\"".into()).answer("{\"data\":{\"vote\":{\"ok\":true}}}");
                s.at(100_000 + n * 3_000 + i * 4_000, &bad(n), &vote.script());
            }
        }
    });
}

#[test]
fn codes_are_sent_to_a_phone_number_that_stands_alone_and_come_back_under_any_name() {
    let send = |phone: String| post("/v3/codes", format!("{{\"mobile\":\"{phone}\"}}")).status(202);
    let check = |phone: &str, code: u32| {
        post("/v3/codes/verification", format!("{{\"mobile\":\"{phone}\",\"saisie\":\"{code:06}\"}}"))
    };
    let people = |s: &mut Scene| {
        for n in 0..30 {
            let number = format!("06{:08}", 12_345_678 + n * 7_717);
            s.at(n * 8_500 + 30_000, &phone(n), &send(number.clone()).app());
            if n % 6 == 0 {
                s.at(n * 8_500 + 36_000, &phone(n), &check(&number, 111_111).status(400).app());
            }
            s.at(n * 8_500 + 42_000, &phone(n), &check(&number, 482_913 + n).app());
        }
    };
    found(&["otp-abuse"], 36, |s| {
        people(s);
        for n in 0..40 {
            for i in 0..3 {
                let number = format!("+88213{:06}", 100_000 + (n * 3 + i) * 613);
                s.at(60_000 + n * 5_000 + i * 9_000, &bad(n), &send(number).script());
            }
        }
    });
    found(&["token-cracking"], 4, |s| {
        people(s);
        for n in 0..4 {
            for i in 0..30 {
                let guess = check("0612345678", 100_003 + (n * 30 + i) * 37).status(400);
                s.at(80_000 + n * 20_000 + i * 2_000, &bad(n), &guess.script());
            }
        }
    });
}

#[test]
fn a_newcomers_cookie_is_no_log_in_where_the_answer_says_nought() {
    found(GUESSED, 45, |s| {
        let login = |name: String, word: &str, right: u32| {
            post("/ajax/connexion", format!("mel={name}%40mail.test&mdp={word}"))
                .answer(format!("{{\"ok\":{right}}}"))
        };
        for n in 0..30 {
            let ask = login(format!("own{n}"), &format!("right{n}"), 1);
            let ask = ask.with(format!("Cookie: sid=00112233445566778899{n:04}"));
            let ask = ask.answers(format!("Set-Cookie: sid=99887766554433221100{n:04}; HttpOnly"));
            s.at(n * 9_000 + 15_000, &honest(n), &ask.chrome());
        }
        for n in 0..50 {
            for i in 0..3 {
                let ask = login(format!("leaked{}", n * 3 + i), &format!("word{i}"), 0);
                let ask = ask.answers(format!("Set-Cookie: sid=0a1b2c3d4e5f60718293{n:02}{i:02}; HttpOnly"));
                s.at(100_000 + n * 3_000 + i * 14_000, &bad(n), &ask.script());
            }
        }
    });
}

#[test]
fn tokens_to_renew_are_guessed() {
    found(&["token-cracking"], 1, |s| {
        let renew = |token: String| post("/v3/session/renewal", format!("{{\"rafraichir\":\"{token}\"}}"));
        for n in 0..30 {
            let told = format!("{{\"jeton\":\"aa11bb22cc33dd44ee55{n:04}\"}}");
            s.at(
                n * 8_500 + 40_000,
                &phone(n),
                &renew(format!("ff00ee11dd22cc33bb44{n:04}")).answer(told).app(),
            );
        }
        // A restart that forgets them: everybody is turned away, each once.
        for n in 0..30 {
            let stale = renew(format!("ab00cd11ef22ab33cd44{n:04}")).status(401);
            s.at(n * 1_100 + 300_000, &phone(n), &stale.app());
        }
        for n in 0..80 {
            s.at(
                90_000 + n * 900,
                &bad(0),
                &renew(format!("zz{:030x}", n * 7_919 + 11)).status(401).script(),
            );
        }
    });
}

#[test]
fn numbers_of_cards_are_asked_about_one_after_another() {
    found(&["id-enumeration", "giftcard-bruteforce"], 9, |s| {
        let ask = |number: u64, known: bool| {
            let told = if known { "true,\"type\":\"young\"" } else { "false,\"type\":null" };
            post("/v3/cartes/verification", format!("{{\"numero\":\"{number}\"}}"))
                .answer(format!("{{\"numero\":\"{number}\",\"valide\":{told}}}"))
        };
        for n in 0..30 {
            let own = 2_909_100_000_000 + u64::from(n) * 21_013;
            s.at(n * 8_500 + 31_000, &phone(n), &ask(own, n % 7 != 0).app());
        }
        for n in 0..10u32 {
            for i in 0..25 {
                let number = 2_909_500_000_000 + u64::from(n * 25 + i) * 7_919_131;
                s.at(60_000 + n * 9_000 + i * 3_000, &bad(n), &ask(number, false).script());
            }
        }
    });
}

#[test]
fn probes_are_found_though_the_site_answers_everything_with_its_first_page() {
    const FILES: [&str; 6] =
        ["/.env", "/.git/config", "/.aws/credentials", "/actuator/env", "/phpinfo.php", "/backup.sql"];
    let classes = &["vuln-scan", "directory-bruteforce"];
    found(classes, 10, |s| {
        for n in 0..10u32 {
            for i in 0..5 {
                let file = FILES[(n as usize + i as usize) % FILES.len()];
                s.at(60_000 + n * 20_000 + i * 4_000, &bad(n), &get(file).page().chrome().unreferred());
            }
        }
    });
    found(classes, 1, |s| {
        for n in 0..60u32 {
            let agent = format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
                90 + n
            );
            s.at(60_000 + n * 900, &bad(0), &get(FILES[n as usize % FILES.len()]).page().curl(&agent));
        }
    });
}

#[test]
fn links_to_sign_in_with_are_sent_to_many() {
    found(&["otp-abuse"], 27, |s| {
        let send = |mail: String| post("/api/auth/link", format!("{{\"email\":\"{mail}\"}}")).status(202);
        for n in 0..30 {
            s.at(n * 9_000 + 15_000, &honest(n), &send(format!("person{n}@mail.test")).chrome());
        }
        for n in 0..30 {
            for i in 0..4 {
                let mail = format!("victim{}@corp{}.test", n * 4 + i, n % 5);
                s.at(70_000 + n * 6_000 + i * 8_000, &bad(n), &send(mail).script());
            }
        }
    });
}

#[test]
fn a_log_in_that_leads_everybody_to_one_place_is_told_by_the_sessions_of_those_who_try_again() {
    found(GUESSED, 45, |s| {
        let login = |name: String, word: &str, sid: &str| {
            let ask = post("/zaloguj", format!("email={name}%40mail.test&haslo={word}")).status(303);
            ask.answers("Location: /konto").with(format!("Cookie: sid={sid}"))
        };
        let page = |sid: &str| get("/konto").page().answers(format!("Set-Cookie: sid={sid}; HttpOnly"));
        for n in 0..30 {
            let sid = format!("00112233445566778899{n:04}");
            s.at(n * 9_000 + 12_000, &honest(n), &page(&sid).chrome());
            if n % 3 == 0 {
                s.at(n * 9_000 + 14_000, &honest(n), &login(format!("own{n}"), "oops", &sid).chrome());
            }
            let right = login(format!("own{n}"), &format!("right{n}"), &sid);
            let right = right.answers(format!("Set-Cookie: sid=99887766554433221100{n:04}; HttpOnly"));
            s.at(n * 9_000 + 19_000, &honest(n), &right.chrome());
        }
        for n in 0..50 {
            let sid = format!("0a1b2c3d4e5f60718293{n:04}");
            s.at(140_000 + n * 3_000, &bad(n), &page(&sid).script());
            for i in 0..3 {
                let ask = login(format!("leaked{}", n * 3 + i), &format!("word{i}"), &sid);
                s.at(144_000 + n * 3_000 + i * 14_000, &bad(n), &ask.script());
            }
        }
    });
}

#[test]
fn a_log_in_that_answers_alike_is_told_by_a_cookie_that_nobody_else_is_given() {
    found(GUESSED, 45, |s| {
        let login = |name: String, word: &str| {
            post("/x/login", format!("{{\"u\":\"{name}@mail.test\",\"p\":\"{word}\"}}"))
                .answer("{\"next\":\"/trips\",\"v\":3}")
        };
        for n in 0..30 {
            let right = login(format!("own{n}"), &format!("right{n}"));
            let right = right.answers(format!("Set-Cookie: sf_auth=99887766554433221100{n:04}; HttpOnly"));
            s.at(n * 9_000 + 19_000, &honest(n), &right.chrome());
        }
        for n in 0..50 {
            for i in 0..3 {
                let ask = login(format!("leaked{}", n * 3 + i), &format!("word{i}"));
                s.at(144_000 + n * 3_000 + i * 14_000, &bad(n), &ask.script());
            }
        }
    });
}
