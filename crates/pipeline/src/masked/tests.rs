use std::sync::Arc;

use sidetap_model::{Body, Headers};

use super::*;
use crate::raw::BODY;

fn masker() -> Masker {
    Masker::new(&Arc::new(Pack::builtin().unwrap()), HashKey::from_bytes([1; 16]))
}

fn message(headers: &[(&str, &str)], body: &str) -> Message {
    let mut h = Headers::default();
    headers.iter().for_each(|(n, v)| h.push(n.as_bytes(), v.as_bytes()));
    let body = Body { bytes: body.as_bytes().to_vec(), len: body.len() as u64, gap_at: None };
    Message::of(&h, &body)
}

fn shown(headers: &[(&str, &str)], body: &str) -> String {
    let part = masker().part(&message(headers, body), Dir::Request, &[]);
    format!("{:?}\n{}", part.headers, part.content.unwrap_or_default())
}

#[test]
fn no_type_of_sensitive_data_gets_through_in_whatever_it_stands() {
    let pack = Arc::new(Pack::builtin().unwrap());
    let all: Vec<_> = (0..u16::MAX).map_while(|n| pack.get(sidetap_sensitive::TypeId(n))).collect();
    assert!(all.len() > 40);
    let json = |v: &str| serde_json::to_string(v).unwrap();
    let mut through = Vec::new();
    for kind in all.iter().filter(|k| !redact::is_shown(&k.id)) {
        for example in &kind.examples.find {
            let (key, value) = example.split_once(": ").unwrap_or(("", example));
            let name = if key.is_empty() { "note" } else { key };
            let bodies = [
                ("application/json", format!("{{\"a\":{{{}:{}}}}}", json(name), json(value))),
                ("application/json", format!("[{{{}:{}}}", json(name), json(value))),
                ("text/plain", format!("{name}: {value}\n")),
            ];
            let cased = bodies.iter().map(|(t, body)| shown(&[("Content-Type", t)], body));
            let field =
                std::iter::once(shown(&[(&format!("X-{}", name.replace([' ', '_'], "-")), value)], ""));
            for out in cased.chain(field) {
                if value.len() >= 6 && out.contains(value) {
                    through.push(format!("{}: {example} is shown as {out}", kind.id));
                }
            }
        }
    }
    assert!(through.is_empty(), "{} of them:\n{}", through.len(), through.join("\n"));
}

#[test]
fn credentials_sessions_and_accounts_are_struck_out() {
    assert!(is_private("refresh") && is_private("phrase"));
    let secrets = [
        shown(
            &[("Authorization", "Bearer hunter2hunter"), ("Cookie", "sid=hunter2hunter; theme=hunter2b")],
            "",
        ),
        shown(&[("Set-Cookie", "sid=hunter2hunter; Path=/; HttpOnly"), ("X-Api-Key", "hunter2hunter")], ""),
        shown(
            &[("Content-Type", "application/x-www-form-urlencoded")],
            "userName=hunter2hunter&pass=hunter2hunter",
        ),
        shown(
            &[("Content-Type", "application/json")],
            r#"{"auth":{"refreshToken":"hunter2hunter"},"n":"{\"password\":\"hunter2hunter\"}"}"#,
        ),
        shown(&[("Content-Type", "text/xml")], "<a><password>hunter2hunter</password></a>"),
        shown(&[("Referer", "https://h.example/?password=hunter2hunter")], ""),
    ];
    for out in &secrets {
        assert!(!out.contains("hunter2") && out.contains("***"), "{out}");
    }
    assert!(secrets[0].contains("Bearer ***") && secrets[0].contains("theme=***"), "{}", secrets[0]);
    assert!(secrets[1].contains("HttpOnly"), "{}", secrets[1]);
}

#[test]
fn persons_are_not_named_and_things_are() {
    let json = |body: &str| shown(&[("Content-Type", "application/json")], body);
    let form = |body: &str| shown(&[("Content-Type", "application/x-www-form-urlencoded")], body);
    for (named, out) in [
        ("Doe", json(r#"{"email":"a@b.example","name":"Jo Doe","newsletter":true}"#)),
        ("doe", json(r#"{"customers":[{"no":0,"name":"jo doe"}]}"#)),
        ("doe", json(r#"{"patients":[{"attributes":{"name":"jo doe"}}]}"#)),
        ("doe", json(r#"{"user":{"id":3,"data":{"name":"jo doe"}}}"#)),
        ("Doe", json(r#"{"displayName":"Jo Doe","tier":"blue"}"#)),
        ("Doe", json(r#"{"name":"Jo Doe","ship":{"phone":"+44 20 7946 0958","city":"Dunmere"}}"#)),
        ("Dunmere", json(r#"{"ship":{"phone":"+44 20 7946 0958","city":"Dunmere"}}"#)),
        ("Santos", json(r#"{"card":{"pan":"4111111111111111","holder":"Vera Santos"}}"#)),
        ("Quist", json(r#"[{"name":"M. Quist","iban":"DE89370400440532013000"}]"#)),
        ("Weiss", json(r#"{"host":{"name":"Oskar Weiss","mail":"o@b.example"}}"#)),
        ("李雷", json(r#"{"fullName":"李雷"}"#)),
        ("doe", form("name=jo+doe&email=a%40b.example")),
        ("doe", shown(&[("Content-Type", "text/xml")], "<a><Customer><Name>jo doe</Name></Customer></a>")),
        ("Doe", json(r#"{"query":"mutation { join(name: \"Jo Doe\", email: \"a@b.example\") { id } }"}"#)),
        ("doe", shown(&[("X-Customer-Name", "jo doe")], "")),
        ("doe", shown(&[("Referer", "https://h.example/?name=jo+doe&email=a%40b.example")], "")),
        ("Jo", json(r#"{"items":[{"name":"Jo Doe","email":"a@b.example"}]}"#)),
        ("doe", json(r#"{"services":[{"name":"jo doe","date_of_birth":"1964-05-14"}]}"#)),
        ("Doe", json(r#"{"name":"Jo Doe","phone":"+44 20 7946 0958"}"#)),
        ("Jo", json(r#"{"name":{"first":"Jo","last":"Doe"},"email":"a@b.example"}"#)),
        ("Doe", json(r#"{"name":[{"family":"Doe","given":["Jo","Ann"]}]}"#)),
        ("Ann", json(r#"{"name":[{"family":"Doe","given":["Jo","Ann"]}]}"#)),
        ("Jo", json(r#"{"forename":"Jo"}"#)),
        ("Jo", json(r#"{"fname":"Jo"}"#)),
        ("山田", json(r#"{"displayName":"山田 太郎"}"#)),
        ("Silva", json(r#"{"displayName":"Ana dos Santos Silva"}"#)),
        ("Berlin", json(r#"{"user":{"email":"a@b.example","address":{"city":"Berlin"}}}"#)),
        ("Dunmere", shown(&[("Referer", "https://h.example/?email=a%40b.example&city=Dunmere")], "")),
        ("Doe", shown(&[("Referer", "https://h.example/?displayName=Jo+Doe")], "")),
        ("Doe", json(&format!("{{\"name\":\"Jo Doe\",\"bio\":\"{}\"}}", "x".repeat(BODY)))),
    ] {
        assert!(!out.contains(named) && out.contains("***"), "{named}: {out}");
    }
    for (thing, out) in [
        ("Blue shoe", json(r#"{"name":"Blue shoe","price":3}"#)),
        ("Blue shoe", json(r#"{"customer":{"orders":[{"items":[{"name":"Blue shoe"}]}]}}"#)),
        ("Gullhaven", json(r#"{"stores":[{"name":"Gullhaven","phone":"+44 20 7946 0958"}]}"#)),
        ("Gold", json(r#"{"user":{"email":"a@b.example","plan":{"name":"Gold"}}}"#)),
        ("cat.png", json(r#"{"email":"a@b.example","file_name":"cat.png"}"#)),
        ("iPhone", json(r#"{"name":"iPhone","mic":false}"#)),
        ("screen", json(r#"{"events":[{"name":"screen","at":3}],"email":"a@b.example"}"#)),
        (
            "Pizza Roma",
            json(r#"{"results":[{"name":"Pizza Roma","address":"Via 1","phone":"+39 06 1234 5678"}]}"#),
        ),
        ("iPhone 14", json(r#"{"name":"iPhone 14","mobile":true}"#)),
        ("prod-cluster", json(r#"{"name":"prod-cluster","account":"1234"}"#)),
        ("editor", json(r#"{"userRole":{"name":"editor"}}"#)),
        ("silver", json(r#"{"customerPlan":{"name":"silver"}}"#)),
        ("Chrome", json(r#"{"userAgent":{"name":"Chrome"}}"#)),
        ("newsletter", json(r#"{"contact_form_name":"newsletter"}"#)),
        ("nvme", json(r#"{"driver_name":"nvme"}"#)),
        ("cat.png", json(r#"{"fname":"cat.png"}"#)),
        ("true", json(r#"{"dry_run":"true"}"#)),
        ("5.9", json(r#"{"swift_version":"5.9"}"#)),
        ("north", json(r#"{"name":"north","run":"17"}"#)),
        ("GB", shown(&[("CF-IPCountry", "GB")], "")),
        ("8f2a", shown(&[("CF-Ray", "8f2a-LHR")], "")),
        ("r-17", shown(&[("X-Run-Id", "r-17")], "")),
        ("name=shoe", shown(&[("Referer", "https://h.example/?name=shoe&sort=name")], "")),
    ] {
        assert!(out.contains(thing), "{thing}: {out}");
    }
}

#[test]
fn what_was_cut_is_not_shown_to_its_last_bit() {
    let long = format!("{{\"a\":\"{}\",\"card\":\"4111111111111111\"}}", "x".repeat(BODY - 25));
    let out = shown(&[("Content-Type", "application/json")], &long);
    assert!(!out.contains("4111") && out.ends_with("…\n"), "{out}");
}

/// What is shown of an answer to an attack on a database.
fn answered(kind: &str, answer: &str) -> String {
    let pack = Arc::new(sidetap_threats::Pack::builtin().unwrap());
    let mut eyes = sidetap_threats::Scanner::new(&pack);
    let mut headers = Headers::default();
    headers.push(b"Content-Type", kind.as_bytes());
    let body = |text: &str| Body { bytes: text.as_bytes().to_vec(), len: text.len() as u64, gap_at: None };
    let version = sidetap_model::Version(1, 1);
    let request = sidetap_model::Request {
        method: b"GET".to_vec(),
        target: b"/items?id=1%27%20OR%201=1--".to_vec(),
        version,
        headers: Headers::default(),
        body: body(""),
    };
    let response = sidetap_model::Response { status: 500, version, headers, body: body(answer) };
    eyes.begin();
    eyes.request(&request);
    eyes.response(&response);
    let kind = body::kind_of(Some(kind.as_bytes()), answer.as_bytes());
    body::walk(kind, None, answer.as_bytes(), &WalkLimits::default(), &mut WalkScratch::default(), &mut eyes);
    let proofs = eyes.take_proofs();
    assert_eq!(proofs.len(), 1, "{:?}", eyes.take());
    let message = Message::of(&response.headers, &response.body);
    masker().part(&message, Dir::Response, &proofs).content.unwrap()
}

#[test]
fn what_proves_an_attack_is_seen_wherever_in_the_answer_it_stands() {
    const ERROR: &str = "You have an error in your SQL syntax; check the manual near ''1'' at line 1";
    let lines = |n: usize| "<p>Nothing is to be seen here.</p>\n".repeat(n);
    for before in [0, 1, 10, 30, 300] {
        let page = format!("<html>{}<b>{ERROR}</b>{}</html>", lines(before), lines(40));
        let text = serde_json::json!({"error": {"trace": page}}).to_string();
        for (kind, place, answer) in
            [("text/html", "$: ", &page), ("application/json", "$.error.trace: ", &text)]
        {
            let out = answered(kind, answer);
            let shown = out.lines().find(|l| l.contains("error in your SQL syntax"));
            let shown = shown.unwrap_or_else(|| panic!("{before} {kind}: {out}"));
            let seen = shown.starts_with(place) || !shown.starts_with('$');
            assert!(seen && shown.contains("at line 1"), "{before} {kind}: {out}");
            assert_eq!(out.matches("error in your SQL syntax").count(), 1, "{before} {kind}: {out}");
            assert!(out.chars().count() < 2 * VALUE + 100, "{before} {kind}: {out}");
        }
    }
}

#[test]
fn what_stands_around_a_proof_is_masked_too() {
    const ERROR: &str = "You have an error in your SQL syntax";
    let page = |near: &str| answered("text/html", &format!("{} {near} {ERROR} {near}", "x ".repeat(2000)));
    for (secret, hidden) in [
        ("4111 1111 1111 1111", "1 1111"),
        ("jo@b.example", "jo@b"),
        ("password: hunter2", "hunter2"),
        ("token=hunter2", "hunter2"),
        ("DE89370400440532013000", "893704"),
    ] {
        let out = page(secret);
        assert!(out.contains(ERROR) && !out.contains(hidden), "{secret}: {out}");
    }
    let secret = answered(
        "application/json",
        &serde_json::json!({"password": format!("{}{ERROR}", "x ".repeat(2000))}).to_string(),
    );
    assert!(!secret.contains(ERROR) && secret.contains("$.password: ***"), "{secret}");
}

/// What is shown of a request that carries an attack, the part of it that is nowhere else to be seen besides.
fn attacked(target: &str, headers: &[(&str, &str)], body: &str) -> (Part, Vec<String>) {
    let pack = Arc::new(sidetap_threats::Pack::builtin().unwrap());
    let mut eyes = sidetap_threats::Scanner::new(&pack);
    let mut fields = Headers::default();
    headers.iter().for_each(|(n, v)| fields.push(n.as_bytes(), v.as_bytes()));
    let kind = fields.get("content-type").map(<[u8]>::to_vec);
    let request = sidetap_model::Request {
        method: b"POST".to_vec(),
        target: target.as_bytes().to_vec(),
        version: sidetap_model::Version(1, 1),
        headers: fields,
        body: Body { bytes: body.as_bytes().to_vec(), len: body.len() as u64, gap_at: None },
    };
    eyes.begin();
    eyes.request(&request);
    let of = body::kind_of(kind.as_deref(), body.as_bytes());
    let (limits, mut scratch) = (WalkLimits::default(), WalkScratch::default());
    body::walk(of, kind.as_deref(), body.as_bytes(), &limits, &mut scratch, &mut eyes);
    let signs = eyes.take_signs();
    assert!(!eyes.take().is_empty());
    let mut masker = masker();
    let shown = redact::target(&mut masker.scanner, b"POST", target.as_bytes());
    let shown = shown.map_or(target.to_owned(), |t| String::from_utf8(t).unwrap());
    let raw = Raw { request: Some(Message::of(&request.headers, &request.body)), signs, ..Raw::default() };
    let part = masker.show(&raw, &shown).request.unwrap();
    let attacks = part.attacks.clone();
    (part, attacks)
}

#[test]
fn an_attack_in_a_request_is_seen_wherever_in_it_it_stands() {
    const ATTACK: &str = "' UNION SELECT name, price FROM goods -- ";
    let json = [("Content-Type", "application/json")];
    for before in [0, 200, 300, 900, 6_000] {
        let filling = "word ".repeat(before / 5);
        let text = format!("{filling}{ATTACK}{}", "and so on ".repeat(90));
        let escaped = text.replace(' ', "%20").replace('\'', "%27");
        let bodies = [
            serde_json::json!({"note": text}).to_string(),
            serde_json::json!({"note": escaped}).to_string(),
            serde_json::json!({"before": [filling], "note": ATTACK}).to_string(),
        ];
        for body in &bodies {
            let (part, attacks) = attacked("/notes", &json, body);
            let content = part.content.unwrap();
            let all = format!("{content}{}", attacks.join("\n")).replace("%20", " ");
            assert_eq!(all.matches("UNION SELECT").count(), 1, "{before}: {all}");
            let own = |a: &String| a.starts_with("$.note: ") && a.contains(ATTACK.trim());
            assert!(attacks.iter().all(own), "{before}: {attacks:?}");
            assert!(attacks.iter().all(|a| a.chars().count() < VALUE + 20), "{before}: {attacks:?}");
        }
        let (part, attacks) = attacked("/notes", &[("X-Note", &text)], "");
        let field = part.headers.iter().find(|(n, _)| n == "X-Note").map(|(_, v)| &**v).unwrap_or_default();
        let all = format!("{field}\n{}", attacks.join("\n"));
        assert_eq!(all.matches("UNION SELECT").count(), 1, "{before}: {all}");
        let target = format!("/notes?page=2&q={escaped}");
        let (_, attacks) = attacked(&target, &[], "");
        let own = |a: &String| a.starts_with("query:q: …") && a.contains(ATTACK.trim());
        assert_eq!(attacks.iter().filter(|a| own(a)).count(), usize::from(before > 4_000), "{attacks:?}");
    }
    let entity = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a><password>hunter2</password></a>";
    let (_, attacks) = attacked("/notes", &[("Content-Type", "application/xml")], entity);
    assert_eq!(attacks, ["body: …<!ENTITY x SYSTEM \"file:///etc/passwd\">…"]);
    let far = serde_json::json!({"filling": "x ".repeat(900), "to": {"$where": "1"}}).to_string();
    let (_, attacks) = attacked("/notes", &json, &far);
    assert_eq!(attacks, ["name: $.to.$where"]);
}

#[test]
fn what_stands_around_an_attack_is_masked_as_ever() {
    const ATTACK: &str = "' UNION SELECT name, price FROM goods -- ";
    let filling = "word ".repeat(400);
    for (secret, hidden) in [
        ("4111 1111 1111 1111", "1 1111"),
        ("4111%201111%201111%201111", "1 1111"),
        ("jo@b.example", "jo@b"),
        ("password: hunter2", "hunter2"),
        ("token=hunter2", "hunter2"),
        ("DE89370400440532013000", "893704"),
    ] {
        let text = format!("{filling} {secret} {ATTACK} {secret}");
        let body = serde_json::json!({"note": text}).to_string();
        let (_, mut attacks) = attacked("/notes", &[("Content-Type", "application/json")], &body);
        attacks.extend(attacked("/notes", &[("X-Note", &text)], "").1);
        assert_eq!(attacks.len(), 2, "{secret}: {attacks:?}");
        for line in &attacks {
            assert!(line.contains("UNION SELECT") && !line.contains(hidden), "{secret}: {line}");
        }
    }
    let text = format!("{filling}{ATTACK}");
    let form = format!("password={}", text.replace(' ', "+"));
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    for (headers, body) in [
        (vec![kind], form.as_str()),
        (vec![("Authorization", text.as_str())], ""),
        (vec![("Cookie", &format!("sid={text}"))], ""),
        (vec![("X-Customer-Name", &text)], ""),
    ] {
        let (part, attacks) = attacked("/notes?x=1%27%20OR%201=1--", &headers, body);
        assert_eq!(attacks, [""; 0], "{part:?}");
        assert!(!format!("{part:?}").contains("UNION"), "{part:?}");
    }
}

#[test]
fn what_says_what_was_asked_stays() {
    let out = shown(
        &[
            ("Content-Type", "application/json"),
            ("User-Agent", "curl/8.5.0"),
            ("X-Forwarded-For", "203.0.113.9"),
        ],
        r#"{"sku":"A-17","amount":3,"gift":true,"note":"two of them"}"#,
    );
    for part in [
        "application/json",
        "curl/8.5.0",
        "203.0.113.9",
        "$.sku: A-17",
        "$.amount: 3",
        "$.gift: true",
        "two of them",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
}
