//! Network intelligence from its sources to what a run says: fetched, compiled, looked up.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;
#[path = "common/site.rs"]
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::{Place, comparable, lines, sample};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::{Conversation, Framing, LinkKind, Packet, PcapForm, pcap_bytes};
use site::Site;

type Answers = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A server on loopback that answers what it is told; other paths are not found. It honours If-None-Match.
fn serve(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0; 1];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = answers.lock().unwrap().get(&path).cloned();
            let tag = body.as_ref().map(|b| format!("\"{}\"", b.len())).unwrap_or_default();
            let (status, body) = match body {
                Some(_) if head.to_lowercase().contains(&format!("if-none-match: {tag}")) => {
                    ("304 Not Modified", vec![])
                }
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", b"no".to_vec()),
            };
            let start = format!(
                "HTTP/1.1 {status}\r\nETag: {tag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(start.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    at
}

fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// What an npm registry says of a package, and the package.
fn publish(answers: &Answers, at: &str, version: &str, files: &[(&str, &str)]) {
    let tarball = packed(files);
    let sum = STANDARD.encode(ring::digest::digest(&ring::digest::SHA512, &tarball));
    let latest = json!({"version": version, "license": "CC0-1.0",
        "dist": {"tarball": format!("{at}/p-{version}.tgz"), "integrity": format!("sha512-{sum}")}});
    let mut answers = answers.lock().unwrap();
    answers.insert("/@own%2fnetworks/latest".to_owned(), latest.to_string().into_bytes());
    answers.insert(format!("/p-{version}.tgz"), tarball);
}

fn config(at: &str) -> String {
    format!(
        r#"[intel]
directory = "intel"
registry = "{at}"
sources = []
[[intel.source]]
name = "networks"
package = "@own/networks"
files = ["networks.csv"]
format = "networks-csv"
licence = "CC0-1.0"
attribution = "the registry of examples"
[[intel.source]]
name = "countries"
url = "{at}/countries.csv"
format = "countries-csv"
licence = "CC0-1.0"
[[intel.source]]
name = "crawler"
url = "{at}/crawler.json"
format = "json"
publishes = "googlebot"
licence = "by the operator"
[[intel.source]]
name = "reports"
url = "{at}/reports.txt"
format = "networks"
label = "seen abusing"
weight = 0.8
expires = "9000d"
licence = "own"
"#
    )
}

#[test]
fn sources_are_fetched_compiled_and_looked_up() {
    let (place, answers) = (Place::new(), Answers::default());
    let at = serve(Arc::clone(&answers));
    place.write("sidetap.toml", config(&at).as_bytes());
    let networks = "20.0.0.0,20.0.255.255,64496,\"Example, Hosting\"\n2a00::,2a00:ffff:ffff:ffff:ffff:ffff:ffff:ffff,64497,Six\n";
    publish(
        &answers,
        &at,
        "1.0.0",
        &[("package/networks.csv", networks), ("package/LICENSE", "do as you like")],
    );
    let page = |path: &str, text: &str| {
        drop(answers.lock().unwrap().insert(path.to_owned(), text.as_bytes().to_vec()));
    };
    page("/countries.csv", "20.0.0.0,20.0.127.255,DE\n");
    page("/crawler.json", r#"{"prefixes":[{"ipv4Prefix":"20.0.9.0/24"}]}"#);
    page("/reports.txt", "# reported\n20.0.7.0/24\n");

    let asked = place.run(&["intel", "update"]).is(2);
    assert!(
        asked.stdout.contains("CC0-1.0") && asked.stdout.contains("the registry of examples"),
        "{}",
        asked.stdout
    );
    assert!(asked.stderr.contains("--yes") && !place.path("intel/table.sti").exists());
    let first = place.run(&["intel", "update", "--yes"]).is(0);
    assert!(
        first.stdout.contains("networks: fetched") && first.stdout.contains("version 1.0.0"),
        "{}",
        first.stdout
    );
    let licence = std::fs::read_to_string(place.path("intel/sources/networks/LICENCE")).unwrap();
    assert!(licence.contains("CC0-1.0") && licence.contains("do as you like"));

    let show = |ip: &str| -> Value {
        serde_json::from_str(&place.run(&["intel", "show", ip, "--json"]).is(0).stdout).unwrap()
    };
    let found = show("20.0.7.9");
    assert_eq!((&found["asn"], &found["country"]), (&json!(64496), &json!("DE")));
    assert_eq!((&found["organization"], &found["kinds"]), (&json!("Example, Hosting"), &json!(["hosting"])));
    assert_eq!(
        (&found["lists"][0]["label"], &found["lists"][0]["weight"]),
        (&json!("seen abusing"), &json!(0.8))
    );
    assert_eq!(show("20.0.9.1")["kinds"], json!(["hosting", "crawler"]));
    assert_eq!((&show("20.0.200.1")["country"], &show("2a00::1")["asn"]), (&Value::Null, &json!(64497)));
    assert_eq!(show("192.0.2.1")["kinds"], json!(["documentation"]));

    // Licences were agreed to: no question any more, and nothing changed.
    let again = place.run(&["intel", "update"]).is(0);
    assert_eq!(again.stdout.matches("unchanged").count(), 4, "{}", again.stdout);
    // A list that cannot be had any more, or is no list, stays as it was, and that is said.
    answers.lock().unwrap().remove("/reports.txt");
    page("/crawler.json", "<html>");
    publish(&answers, &at, "1.0.1", &[("package/networks.csv", "20.0.0.0,20.0.255.255,64499,Moved\n")]);
    let third = place.run(&["intel", "update"]).is(3);
    assert!(third.stderr.contains("404") && third.stderr.contains("not JSON"), "{}", third.stderr);
    let found = show("20.0.7.9");
    assert_eq!((&found["asn"], &found["lists"][0]["label"]), (&json!(64499), &json!("seen abusing")));
    // A package that is not what the registry says is refused.
    publish(&answers, &at, "1.0.2", &[("package/networks.csv", "20.0.0.0/8,1,x\n")]);
    answers.lock().unwrap().insert("/p-1.0.2.tgz".to_owned(), packed(&[("package/networks.csv", "x")]));
    assert!(place.run(&["intel", "update", "networks"]).is(3).stderr.contains("SHA-512"));

    let list = place.run(&["intel", "list", "--format", "ndjson"]).is(0).stdout;
    let rows: Vec<Value> = list.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(rows.iter().any(|r| r["name"] == "reports" && r["configured"] == true && r["entries"] == 1));
    assert!(
        rows.iter().any(|r| r["name"] == "asn" && r["configured"] == false && r["version"] == Value::Null)
    );

    // A damaged table is refused, with what to do about it.
    let table = place.path("intel/table.sti");
    let mut bytes = std::fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&table, &bytes).unwrap();
    for args in [&["intel", "show", "20.0.0.1"][..], &["replay", &sample(), "--hash-key", "key"]] {
        let refused = place.run(args).is(1);
        assert!(
            refused.stderr.contains("damaged") && refused.stderr.contains("intel update"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn campaigns_endpoints_and_verdicts_tell_where_callers_come_from() {
    let place = Place::new();
    let mut site = Site::new(START);
    (0..80).for_each(|n| site.person(n, i64::from(n) * 1_500));
    for n in 0..200u32 {
        let body = format!("{{\"username\": \"victim{n}\", \"password\": \"leaked{n}\"}}");
        let login = format!(
            "POST /api/login HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: python-requests/2.32.3\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let asked = [(login, 401, "application/json", "{\"error\":\"wrong\"}")];
        site.talk(&format!("20.7.0.{}", 1 + n), i64::from(n) * 600, &asked);
    }
    let file = site.write(&place, "site.pcap");
    place.run(&["replay", &file, "--out", "before", "--hash-key", "key"]).is(0);
    let before = lines(&place.path("before/verdicts.ndjson"));
    place.write(
        "networks.csv",
        b"20.7.0.0,20.7.255.255,64500,Example Servers\n20.1.0.0,20.1.255.255,64501,Example Telecom\n",
    );
    place.write("countries.csv", b"20.0.0.0,20.255.255.255,FR\n");
    let own = "[intel]\ndirectory = \"intel\"\nsources = []\n[[intel.source]]\nname = \"n\"\nfile = \"networks.csv\"\nformat = \"networks-csv\"\n\
               attribution = \"Example Registry\"\nlicence = \"CC-BY-4.0\"\n\
               [[intel.source]]\nname = \"c\"\nfile = \"countries.csv\"\nformat = \"countries-csv\"\n";
    place.write("sidetap.toml", own.as_bytes());
    place.run(&["intel", "update", "--yes"]).is(0);
    place.run(&["replay", &file, "--out", "one", "--hash-key", "key", "--workers", "1"]).is(0);
    place.run(&["replay", &file, "--out", "three", "--hash-key", "key", "--workers", "3"]).is(0);
    assert!(
        comparable(&place.path("one")) == comparable(&place.path("three")),
        "depends on the number of workers"
    );

    let page = std::fs::read_to_string(place.path("one/report.html")).unwrap();
    assert!(page.contains("Example Registry (CC-BY-4.0)"), "who asks to be named is not");
    let campaigns = lines(&place.path("one/campaigns.ndjson"));
    let campaign = campaigns.iter().find(|c| c["class"] == "credential-stuffing").unwrap();
    let members = campaign["members"].as_array().unwrap().len() as u64;
    assert!(members > 150 && campaign["networks"]["AS64500 Example Servers"] == members, "{campaign}");
    assert_eq!(campaign["countries"]["FR"], members);
    let story = campaign["signature"]["story"].as_str().unwrap();
    assert!(story.contains("AS64500 Example Servers") && story.contains("FR ("), "{story}");

    let verdicts = lines(&place.path("one/verdicts.ndjson"));
    let malicious = |rows: &[Value]| -> BTreeSet<String> {
        rows.iter()
            .filter(|v| v["intent"] == "malicious")
            .map(|v| v["subject"]["value"].to_string())
            .collect()
    };
    assert_eq!(malicious(&before), malicious(&verdicts), "intelligence convicts or acquits nobody alone");
    let one = verdicts.iter().find(|v| v["intent"] == "malicious").unwrap();
    assert_eq!(
        (&one["origin"]["asn"], &one["origin"]["kinds"]),
        (&json!(64500), &json!(["hosting"])),
        "{one}"
    );
    let why = |id: &str| one["reasons"].as_array().unwrap().iter().any(|r| r["indicator"] == id);
    assert!(why("hosting-contrast"), "{one}");

    let endpoints = lines(&place.path("one/endpoints.ndjson"));
    let login = endpoints.iter().find(|e| e["template"] == "/api/login").unwrap();
    assert_eq!(login["callers"]["countries"], json!({"FR": 280}));
    assert_eq!(login["callers"]["organizations"], json!({"Example Servers": 200, "Example Telecom": 80}));
}

const START: i64 = 1_790_000_000;

/// One request from `ip`, `ms` after the start, and its answer.
fn ask(ip: &str, ms: i64, request: &str, status: u16, out: &mut Vec<Packet>) {
    let at = Ts::from_parts(START, 0).plus(ms * 1_000_000);
    let addr = |ip: &str, port| Addr { ip: ip.parse().unwrap(), port };
    let port = 20_000 + (ms % 30_000) as u16;
    let mut talk = Conversation::new(addr(ip, port), addr("198.51.100.1", 80), Framing::default(), ms as u64);
    let at = talk.open(at, 0, out);
    let at = talk.send(at, Direction::Up, request.as_bytes(), 1000, out);
    let body = "{\"ok\":true}";
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let at = talk.send(at.plus(5_000_000), Direction::Down, answer.as_bytes(), 1000, out);
    talk.close(at.plus(1_000_000), Direction::Up, 0, out);
}

fn capture(place: &Place, name: &str, mut packets: Vec<Packet>) -> String {
    packets.sort_by_key(|p| p.ts);
    place.write(name, &pcap_bytes(&packets, LinkKind::Ethernet, PcapForm::default())).display().to_string()
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

/// A request of an agent that signs, for `host`, as Web Bot Auth has it.
fn signed(path: &str, host: &str, covered: &str, ms: i64) -> String {
    let now = START + ms / 1000;
    let params = format!(
        "(\"@authority\" \"signature-agent\");created={};expires={};keyid=\"k1\";alg=\"ed25519\";tag=\"web-bot-auth\"",
        now - 1,
        now + 60
    );
    let base = format!(
        "\"@authority\": {covered}\n\"signature-agent\": \"https://agent.example\"\n\"@signature-params\": {params}"
    );
    let signature = STANDARD.encode(pair().sign(base.as_bytes()));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36\r\n\
         Accept: */*\r\nSignature-Agent: \"https://agent.example\"\r\nSignature-Input: sig1={params}\r\nSignature: sig1=:{signature}:\r\n\r\n"
    )
}

#[test]
fn agents_that_sign_are_known_and_policy_decides_about_them() {
    let place = Place::new();
    let x = URL_SAFE_NO_PAD.encode(pair().public_key());
    place.write(
        "keys.json",
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1"}]}).to_string().as_bytes(),
    );
    let with_keys = "[[signed_agents]]\nname = \"Example agent\"\noperator = \"Example Inc\"\nfunction = \"agent\"\nagents = [\"agent.example\"]\nkeys = \"keys.json\"\n";
    let policy = "version: 1\nextends: default\nrules:\n  - id: no-agents\n    description: Agents may not.\n    when: agent.function == \"agent\" && agent.verified && agent.operator == \"Example Inc\"\n    response: block\n    ttl: 1h\n    priority: 1\n";
    place.write("policy.yaml", policy.as_bytes());
    let mut packets = Vec::new();
    for n in 0..12 {
        let ms = n * 900;
        ask(
            "20.0.0.1",
            ms,
            &signed(&format!("/items/{n}"), "shop.example", "shop.example", ms),
            200,
            &mut packets,
        );
        ask(
            "20.0.0.2",
            ms + 7,
            &signed(&format!("/items/{n}"), "shop.example", "other.example", ms),
            200,
            &mut packets,
        );
    }
    let file = capture(&place, "a.pcap", packets);
    let verdict = |dir: &str, ip: &str| -> Value {
        let all = lines(&place.path(dir).join("verdicts.ndjson"));
        all.into_iter().find(|v| v["client_ip"] == ip).unwrap_or_else(|| panic!("no verdict on {ip}"))
    };
    // Without keys both only say so.
    place.run(&["replay", &file, "--out", "claimed", "--hash-key", "key"]).is(0);
    let claimed = verdict("claimed", "20.0.0.1");
    assert_eq!(
        (&claimed["intent"], &claimed["agent"]["verified"]),
        (&json!("automated"), &Value::Null),
        "{claimed}"
    );
    assert!(claimed["reasons"].as_array().unwrap().iter().any(|r| r["indicator"] == "web-bot-auth-claimed"));

    place.write("sidetap.toml", format!("{with_keys}[policy]\npath = \"policy.yaml\"\n").as_bytes());
    place.run(&["replay", &file, "--out", "known", "--hash-key", "key"]).is(0);
    let known = verdict("known", "20.0.0.1");
    assert_eq!(
        (&known["intent"], &known["agent"]["verified"]),
        (&json!("automated"), &json!(true)),
        "{known}"
    );
    assert_eq!(
        (&known["agent"]["operator"], &known["agent"]["function"]),
        (&json!("Example Inc"), &json!("agent"))
    );
    assert_eq!((&known["response"], &known["policy"]), (&json!("block"), &json!("no-agents")));
    let forged = verdict("known", "20.0.0.2");
    assert_eq!(forged["agent"]["verified"], false);
    assert!(
        forged["reasons"].as_array().unwrap().iter().any(|r| r["indicator"] == "web-bot-auth-invalid"),
        "{forged}"
    );
    assert_eq!(forged["response"], "none", "{forged}");
}

#[test]
fn partners_and_published_ranges_are_welcome_and_false_crawlers_are_not() {
    let place = Place::new();
    let bot = "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)\r\n";
    let mut packets = Vec::new();
    for n in 0..60 {
        let get = |agent: &str, more: &str| {
            format!("GET /items/{n} HTTP/1.1\r\nHost: shop.example\r\n{agent}Accept: */*\r\n{more}\r\n")
        };
        ask("20.0.0.5", n * 500, &get(bot, ""), 200, &mut packets);
        let probe = get(bot, "").replace("/items/", "/backup-");
        ask("20.0.1.5", n * 500 + 50, &probe, 404, &mut packets);
        let sync = "User-Agent: python-requests/2.32\r\n";
        ask("20.0.2.5", n * 500 + 100, &get(sync, "X-Acme: 0123456789abcdef0123\r\n"), 200, &mut packets);
        ask("20.0.3.5", n * 500 + 150, &get(sync, "X-Acme: 0123456789abcdef0123\r\n"), 200, &mut packets);
    }
    let file = capture(&place, "a.pcap", packets);
    place.write("bot.json", br#"{"prefixes":[{"ipv4Prefix":"20.0.0.0/24"}]}"#);
    let own = "[intel]\ndirectory = \"intel\"\nsources = []\n[[intel.source]]\nname = \"bot\"\nfile = \"bot.json\"\nformat = \"json\"\npublishes = \"googlebot\"\n\
               [[partners]]\nname = \"acme\"\nnetworks = [\"20.0.2.0/24\"]\nkeys = [\"0123456789abcdef0123\"]\nheader = \"X-Acme\"\n";
    place.write("sidetap.toml", own.as_bytes());
    place.run(&["intel", "update", "--yes"]).is(0);
    place.run(&["replay", &file, "--out", "out", "--hash-key", "key"]).is(0);
    let all = lines(&place.path("out/verdicts.ndjson"));
    let fired = |ip: &str| -> (Value, BTreeSet<String>) {
        let v =
            all.iter().find(|v| v["client_ip"] == ip).unwrap_or_else(|| panic!("no verdict on {ip}")).clone();
        let ids =
            v["reasons"].as_array().unwrap().iter().map(|r| r["indicator"].as_str().unwrap().to_owned());
        let ids = ids.collect();
        (v, ids)
    };
    let (right, why) = fired("20.0.0.5");
    assert!(why.contains("ip-verified-bot") && right["intent"] == "automated", "{right}");
    assert_eq!(
        (&right["agent"]["operator"], &right["agent"]["function"]),
        (&json!("Google"), &json!("search"))
    );
    let (wrong, why) = fired("20.0.1.5");
    assert!(why.contains("ip-fake-verified-bot"), "{wrong}");
    assert_eq!(
        (&wrong["agent"]["verified"], &wrong["agent"]["by"]),
        (&json!(false), &json!("published-ranges"))
    );
    assert_eq!((&wrong["intent"], &wrong["class"]), (&json!("malicious"), &json!("fake-crawler")));
    let (partner, why) = fired("20.0.2.5");
    assert!(why.contains("known-partner") && partner["agent"]["party"] == "acme", "{partner}");
    assert!(partner["intent"] == "automated");
    let (elsewhere, why) = fired("20.0.3.5");
    assert!(why.contains("partner-key-elsewhere") && !why.contains("known-partner"), "{elsewhere}");
}
