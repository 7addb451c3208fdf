use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sidetap_mitigation::ConnectorError;
use sidetap_mitigation::cloudflare::CloudflareConnector;

use super::{Fake, Make, SECRET, State, blocks, net, push, ranked, words};
use crate::rig::Rig;
use crate::support::{Request, serve, wall};

/// Lists by their numbers.
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccc";

/// Items that a page has at most.
const PAGE: usize = 500;

/// A change that is on its way.
pub(super) struct Operation {
    id: String,
    /// How often it is asked after until it is done.
    left: u32,
    second: bool,
    items: BTreeMap<String, Value>,
}

fn done(result: Value, info: Value) -> (u16, String) {
    let said = json!({"success": true, "errors": [], "messages": [], "result": result, "result_info": info});
    (200, said.to_string())
}

fn no(status: u16, code: u32, why: &str) -> (u16, String) {
    let errors = json!([{"code": code, "message": why}]);
    (status, json!({"success": false, "errors": errors, "messages": [], "result": null}).to_string())
}

/// Lists of Cloudflare (schema of `lists_items-list-update-request` and others): changes are done later, one at a time in an account.
fn cloudflare(r: &Request, s: &mut State) -> (u16, String) {
    if r.header("authorization") != format!("Bearer {SECRET}") {
        return no(403, 10_000, "Authentication error");
    }
    let base = format!("/accounts/{}/rules/lists/", "a".repeat(32));
    let Some(rest) = r.path.strip_prefix(&base) else { return no(404, 10_001, "could not find list") };
    if let Some(id) = rest.strip_prefix("bulk_operations/") {
        return operation(id, s);
    }
    if r.method == "GET" {
        return page(rest, s);
    }
    if let Some(id) = s.operation.as_ref().filter(|o| o.left > 0).map(|o| o.id.clone()) {
        // It goes on whether or not anybody asks how it is.
        operation(&id, s);
        return no(429, 10_031, "there is a pending bulk operation");
    }
    let mut items = s.items.clone();
    if r.method == "DELETE" {
        for item in r.json()["items"].as_array().cloned().unwrap_or_default() {
            items.remove(item["id"].as_str().unwrap_or_default());
        }
    } else {
        if r.method == "PUT" {
            items.clear();
        }
        if let Err((status, code, why)) = append(&r.json(), s, &mut items) {
            return no(status, code, why);
        }
    }
    let id = s.next();
    s.operation = Some(Operation { id: id.clone(), left: 2, second: s.second, items });
    done(json!({"operation_id": id}), Value::Null)
}

/// Items that are there already are replaced.
fn append(
    body: &Value,
    s: &mut State,
    items: &mut BTreeMap<String, Value>,
) -> Result<(), (u16, u32, &'static str)> {
    let fits = |i: &Value| {
        words(i, &["ip", "comment"])
            && i["comment"].as_str().is_none_or(|c| c.len() <= 500)
            && i["ip"]
                .as_str()
                .is_some_and(|t| t.parse::<sidetap_mitigation::Key>().is_ok_and(|k| k.net().is_some()))
    };
    let new = body.as_array().filter(|new| new.iter().all(fits)).ok_or((400, 10_026, "items"))?;
    if s.odd.is_some_and(|odd| new.iter().any(|i| i["ip"].as_str() == Some(odd))) {
        return Err((400, 10_026, "invalid item"));
    }
    let addresses: BTreeSet<&str> = new.iter().filter_map(|i| i["ip"].as_str()).collect();
    if addresses.len() < new.len() {
        return Err((400, 10_013, "duplicate items"));
    }
    items.retain(|_, held| !addresses.contains(held["ip"].as_str().unwrap_or_default()));
    for item in new {
        let id = s.next();
        items.insert(id.clone(), json!({"id": id, "ip": item["ip"], "comment": item["comment"]}));
    }
    let most = s.limit();
    if items.len() > most { Err((403, 10_009, "exceeded the maximum number of items")) } else { Ok(()) }
}

fn operation(id: &str, s: &mut State) -> (u16, String) {
    let second = s.second;
    let Some(operation) = s.operation.as_mut().filter(|o| o.id == id) else {
        return no(404, 10_001, "could not find bulk operation");
    };
    operation.left = operation.left.saturating_sub(1);
    if operation.left > 0 {
        return done(json!({"id": id, "status": "running"}), Value::Null);
    }
    let (items, is_second) = (std::mem::take(&mut operation.items), operation.second);
    *(if is_second == second { &mut s.items } else { &mut s.others }) = items;
    s.operation = None;
    done(json!({"id": id, "status": "completed", "completed": "2026-01-01T00:00:00Z"}), Value::Null)
}

fn page(rest: &str, s: &State) -> (u16, String) {
    let asked = |name: &str| {
        let query = rest.split_once('?').map_or("", |(_, q)| q);
        query.split('&').find_map(|p| p.strip_prefix(name)?.parse::<usize>().ok())
    };
    let (per_page, at) = (asked("per_page=").unwrap_or(25), asked("cursor=").unwrap_or(0));
    if !(1..=PAGE).contains(&per_page) {
        return no(400, 10_019, "invalid per_page");
    }
    let items: Vec<&Value> = s.items.values().skip(at).take(per_page).collect();
    let next = at + per_page;
    let cursors = if next < s.items.len() { json!({"after": next.to_string()}) } else { json!({}) };
    done(json!(items), json!({"cursors": cursors}))
}

fn config(f: &Fake, secret: &str, capacity: usize) -> CloudflareConnector {
    let ids = format!("account = \"{}\"\nlist = \"{}\"\n", "a".repeat(32), B);
    let text = format!("{ids}token = SECRET\nurl = \"URL\"\ncapacity = {capacity}\nmin_interval_s = 0\n");
    CloudflareConnector::new(toml::from_str(&f.text(secret, &text)).unwrap()).unwrap()
}

pub(super) fn start() -> Fake {
    let make: Make = |f, secret| Box::new(config(f, secret, 100));
    let foreign = ("f", json!({"id": "f", "ip": "192.0.2.200", "comment": "ours"}));
    Fake::start(cloudflare, make, foreign, (B, C), |s, from| {
        s.items.values().any(|v| net(v["ip"].as_str().unwrap()).contains(&from))
    })
}

#[test]
fn a_list_of_many_pages_is_read_whole() {
    let fake = start();
    fake.state().limit = Some(2_000);
    let mut connector = config(&fake, "secret", 2_000);
    let wanted = blocks(0..1_100);
    push(&mut connector, &wanted).unwrap();
    assert!(push(&mut connector, &wanted).unwrap().is_empty(), "it does not see all that is there");
    push(&mut connector, &[]).unwrap();
    assert_eq!(fake.state().items.len(), 0);
}

/// Addresses of the list, sorted.
fn listed(fake: &Fake) -> Vec<String> {
    let mut all: Vec<String> =
        fake.state().items.values().map(|i| i["ip"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

/// All lists of an account share its limit: what goes is deleted whether or not there is room for what comes, and of that the most harmful
/// are taken.
#[test]
fn an_account_without_room_for_all_has_the_most_harmful() {
    for renews in [false, true] {
        let fake = start();
        let mut connector = fake.connector();
        let before: Vec<_> = [(1, 10), (2, 50), (3, 60)].map(|(n, p)| ranked(n, p, 600)).to_vec();
        push(connector.as_mut(), &before).unwrap();
        fake.state().limit = Some(3);
        let until = if renews { 900 } else { 600 };
        // One goes, three come of which one fits in its place, and one matters more than one that is there.
        let mut wanted = vec![ranked(1, 10, until), ranked(2, 50, until)];
        wanted.extend([ranked(4, 90, 600), ranked(5, 80, 600), ranked(6, 5, 600)]);
        let error = push(connector.as_mut(), &wanted).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("exceeded the maximum") && said.contains("2 of the least harmful"), "{said}");
        assert_eq!(listed(&fake), ["10.0.0.2", "10.0.0.4", "10.0.0.5"], "renews: {renews}");
        let held = connector.observe(wall()).unwrap().entries;
        let second = held.iter().find(|e| e.key.to_string() == "10.0.0.2").unwrap();
        // An end that is but some seconds later is no reason to renew it.
        let short_of = wanted[1].expires_at - second.expires_at;
        assert!(
            (0..if renews { 1 } else { 60 }).contains(&short_of),
            "it is renewed, room or not: {short_of}"
        );
        push(connector.as_mut(), &wanted).unwrap_err();
        assert_eq!(listed(&fake), ["10.0.0.2", "10.0.0.4", "10.0.0.5"], "and it stays so");
        push(connector.as_mut(), &wanted[2..4]).unwrap();
        assert_eq!(listed(&fake), ["10.0.0.4", "10.0.0.5"]);
    }
}

/// What is refused for another reason than the credential says so in Cloudflare's words.
#[test]
fn a_list_that_takes_no_more_says_so() {
    let fake = start();
    fake.state().limit = Some(5);
    let error = push(fake.connector().as_mut(), &blocks(0..6)).unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("exceeded the maximum number of items"), "{error}");
    for (status, body) in [
        (401, ""),
        (403, "<html>"),
        (
            403,
            "{\"success\":false,\"errors\":[{\"code\":9109,\"message\":\"Unauthorized to access requested resource\"}]}",
        ),
    ] {
        let at = serve(move |_| (status, body.to_owned()));
        let away = Fake { at, ..start() };
        let error = away.connector().observe(wall()).unwrap_err();
        assert!(matches!(error, ConnectorError::Denied(_)), "{status} {body}: {error}");
    }
}

/// An address that it refuses whatever room there is costs nobody else his place.
#[test]
fn an_address_that_a_list_refuses_for_its_own_sake_empties_it_not() {
    let fake = start();
    let mut connector = fake.connector();
    fake.state().odd = Some("10.0.0.9");
    let wanted: Vec<_> = [(1, 10), (2, 50), (3, 60), (9, 99)].map(|(n, p)| ranked(n, p, 600)).to_vec();
    for _ in 0..3 {
        let error = push(connector.as_mut(), &wanted).unwrap_err().to_string();
        assert!(error.contains("1 of the least harmful"), "{error}");
        let state = fake.state();
        let mut held: Vec<&str> = state.items.values().filter_map(|i| i["ip"].as_str()).collect();
        held.sort_unstable();
        assert_eq!(held, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    }
}

#[test]
fn who_gives_way_on_it_stands_in_the_audit() {
    super::tells_who_gave_way(&start());
}
