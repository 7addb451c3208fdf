//! Every dialogue of `fixtures/http1` gives the exchanges that stand beside it. docs/testkit.md tells the format of both.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sidetap_model::{Anomaly, Body, Exchange, Headers};
use sidetap_testkit::Dialogue;

#[test]
fn dialogues_give_the_exchanges_that_the_rfc_says() {
    let mut wrong = Vec::new();
    let fixtures = fixtures();
    assert!(fixtures.len() >= 40, "fixtures are missing");
    for path in &fixtures {
        let name = path.file_stem().unwrap().to_string_lossy();
        let differences = run(path);
        match expected(path)["known"].as_str() {
            Some(_) if differences.is_empty() => {
                wrong.push(format!("{name}: is right by now; its \"known\" can go"));
            }
            Some(reason) => println!("{name}: left out, {reason}"),
            None => wrong.extend(differences.into_iter().map(|text| format!("{name}: {text}"))),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), fixtures.len(), wrong.join("\n"));
}

#[test]
fn every_fixture_names_its_source_and_known_codes() {
    let codes: BTreeSet<&str> = Anomaly::ALL.iter().map(|a| a.code()).collect();
    for path in fixtures() {
        let dialogue = Dialogue::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(!dialogue.references.is_empty(), "{} names no source", path.display());
        for exchange in expected(&path)["exchanges"].as_array().unwrap() {
            for code in strings(exchange, "anomalies") {
                assert!(codes.contains(code.as_str()), "{}: {code}", path.display());
            }
        }
    }
}

/// What differs in one dialogue.
fn run(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let dialogue = match Dialogue::parse(&text) {
        Ok(dialogue) => dialogue,
        Err(error) => return vec![error.to_string()],
    };
    let want = expected(path);
    let seen = support::run(&dialogue.packets(), dialogue.framing.link);
    let got = seen.exchanges;
    let exchanges = want["exchanges"].as_array().unwrap();
    let mut wrong = Vec::new();
    if want["loose"].as_bool().unwrap_or_default() {
        wrong.extend(mispaired(exchanges, &got));
    } else if exchanges.len() != got.len() {
        let list: Vec<String> = got.iter().map(|e| brief(e).to_string()).collect();
        return vec![format!("{} exchanges, not {}: {}", got.len(), exchanges.len(), list.join(" "))];
    } else {
        for (n, (want, got)) in exchanges.iter().zip(&got).enumerate() {
            wrong.extend(differences(want, got).into_iter().map(|d| format!("exchange {n}: {d}")));
        }
    }
    if let Some(code) = want["some_anomaly"].as_str() {
        let told = seen.flow_anomalies.contains(&code)
            || got.iter().any(|e| e.anomalies.iter().any(|a| a.code() == code));
        check(&mut wrong, code, true, told);
    }
    if let Some(least) = want["whole_at_least"].as_u64() {
        let whole = got.iter().filter(|e| e.completeness.is_whole()).count() as u64;
        check(&mut wrong, "enough whole exchanges", true, whole >= least);
    }
    if let Some(flows) = want["flows"].as_u64() {
        let ids: BTreeSet<_> = got.iter().map(|e| e.flow_id).collect();
        check(&mut wrong, "flows", flows, ids.len() as u64);
    }
    if let Some(bytes) = want["gap_bytes"].as_u64() {
        check(&mut wrong, "gap bytes", bytes, seen.gap_bytes);
    }
    wrong
}

fn differences(want: &Value, got: &Exchange) -> Vec<String> {
    let mut wrong = Vec::new();
    let have = brief(got);
    for key in ["method", "target", "status", "request_body", "response_body", "interim"] {
        if let Some(value) = want.get(key) {
            check(&mut wrong, key, value, &have[key]);
        }
    }
    if let Some(status) = want.get("status_if_any").filter(|_| got.response.is_some()) {
        check(&mut wrong, "status", status, &have["status"]);
    }
    if want["incomplete"] == true && got.completeness.is_whole() {
        wrong.push("is said to be whole".to_owned());
    }
    let (request, response) = (got.request.as_ref(), got.response.as_ref());
    body_text(&mut wrong, want, "request_text", request.map(|r| &r.body));
    body_text(&mut wrong, want, "response_text", response.map(|r| &r.body));
    if let Some(hex) = want["response_hex"].as_str() {
        let bytes = response.map(|r| r.body.bytes.as_slice()).unwrap_or_default();
        let have: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        check(&mut wrong, "response bytes", hex, have.as_str());
    }
    if let Some(names) = want.get("request_header_names") {
        let headers = request.map(|r| pairs(&r.headers)).unwrap_or_default();
        let have: Vec<String> = headers.into_iter().map(|(name, _)| name).collect();
        check(&mut wrong, "request header names", names, &Value::from(have));
    }
    if let Some(fields) = want["response_headers"].as_array() {
        let have: Vec<Value> = response
            .map(|r| pairs(&r.headers))
            .unwrap_or_default()
            .into_iter()
            .map(|(n, v)| Value::from([n, v]))
            .collect();
        check(&mut wrong, "response headers", fields, &have);
    }
    if let Some(addr) = want["proxied_for"].as_str() {
        check(
            &mut wrong,
            "proxied for",
            addr,
            got.proxied_for.map(|a| a.to_string()).unwrap_or_default().as_str(),
        );
    }
    let may = strings(want, "may");
    sets(&mut wrong, want, "completeness", got.completeness.names(), &may);
    sets(&mut wrong, want, "anomalies", got.anomalies.iter().map(Anomaly::code), &may);
    wrong
}

/// Where it is not certain what is seen, one thing is: no request has the response of another.
fn mispaired(want: &[Value], got: &[Exchange]) -> Vec<String> {
    let mut wrong = Vec::new();
    for exchange in got {
        let have = brief(exchange);
        let (target, status) = (&have["target"], &have["status"]);
        let Some(want) = want.iter().find(|w| w["target"] == *target || w["target_if_any"] == *target) else {
            continue;
        };
        let right = want.get("status_if_any").or(want.get("status")).unwrap_or(&Value::Null);
        if !status.is_null() && !target.is_null() && status != right {
            wrong.push(format!("{target} has the response {status}, which is not its own"));
        }
    }
    if got.is_empty() {
        wrong.push("nothing was seen".to_owned());
    }
    wrong
}

fn brief(e: &Exchange) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    serde_json::json!({
        "method": e.request.as_ref().map(|r| text(&r.method)),
        "target": e.request.as_ref().map(|r| text(&r.target)),
        "status": e.response.as_ref().map(|r| r.status),
        "request_body": e.request.as_ref().map(|r| r.body.len),
        "response_body": e.response.as_ref().map(|r| r.body.len),
        "interim": e.interim,
        "completeness": e.completeness.names().collect::<Vec<_>>(),
        "anomalies": e.anomalies.iter().map(Anomaly::code).collect::<Vec<_>>(),
    })
}

fn sets<'a>(
    wrong: &mut Vec<String>,
    want: &Value,
    key: &str,
    have: impl Iterator<Item = &'a str>,
    may: &[String],
) {
    if want.get(key).is_none() {
        return;
    }
    let wanted: BTreeSet<String> = strings(want, key).into_iter().collect();
    // Whether httparse took a head says how it was read, not what it was.
    let have: BTreeSet<String> = have.filter(|h| *h != "http-head-tolerated").map(str::to_owned).collect();
    let missing: Vec<&String> = wanted.difference(&have).filter(|w| !may.contains(w)).collect();
    let extra: Vec<&String> = have.difference(&wanted).filter(|h| !may.contains(h)).collect();
    if !missing.is_empty() || !extra.is_empty() {
        wrong.push(format!("{key}: without {missing:?}, with {extra:?}"));
    }
}

fn body_text(wrong: &mut Vec<String>, want: &Value, key: &str, body: Option<&Body>) {
    if let Some(text) = want[key].as_str() {
        let have = body.map(|b| String::from_utf8_lossy(&b.bytes).into_owned()).unwrap_or_default();
        check(wrong, key, text, have.as_str());
    }
}

fn check<T: PartialEq + std::fmt::Debug>(wrong: &mut Vec<String>, what: &str, want: T, have: T) {
    if want != have {
        wrong.push(format!("{what} is {have:?}, not {want:?}"));
    }
}

fn pairs(headers: &Headers) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    let list = value[key].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn expected(path: &Path) -> Value {
    let text = std::fs::read_to_string(path.with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn fixtures() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/http1");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "http"));
    paths.sort();
    paths
}
