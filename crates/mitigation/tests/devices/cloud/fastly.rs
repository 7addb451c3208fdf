use std::collections::BTreeMap;

use serde_json::{Value, json};
use sidetap_mitigation::fastly::FastlyConnector;

use super::{Fake, Make, SECRET, State, blocks, net, push, words};
use crate::support::Request;

/// Entries that a page has at most, whatever is asked for.
const PAGE: usize = 100;

/// Entries of a Fastly access control list (`bulkUpdateAclEntriesRequest`): a change is made whole or not at all.
fn fastly(r: &Request, s: &mut State) -> (u16, String) {
    let bad = |why: String| (400, json!({"msg": "Bad request", "detail": why}).to_string());
    if r.header("fastly-key") != SECRET {
        return (401, "{\"msg\":\"Provided credentials are missing or invalid\"}".into());
    }
    if !r.path.starts_with("/service/SU1Z0isxPaozGVKXdv0eY/acl/6tUXdegLTf5BCig0zGFrU3/entries") {
        return (404, "{\"msg\":\"Record not found\",\"detail\":\"Cannot load ACL\"}".into());
    }
    if r.method == "GET" {
        let asked = |name: &str| {
            let query = r.path.split_once('?').map_or("", |(_, q)| q);
            query.split('&').find_map(|p| p.strip_prefix(name)?.parse::<usize>().ok())
        };
        let (per_page, page) = (asked("per_page=").unwrap_or(20).min(PAGE), asked("page=").unwrap_or(1));
        let items = s.items.values().skip(per_page * (page - 1)).take(per_page);
        return (200, Value::from_iter(items.cloned()).to_string());
    }
    let ops = r.json()["entries"].as_array().cloned().unwrap_or_default();
    if ops.len() > 1_000 {
        return bad("Maximum batch size is 1000".into());
    }
    let mut items = s.items.clone();
    for op in ops {
        if let Err(why) = change(&op, r, s, &mut items) {
            return bad(why);
        }
    }
    s.items = items;
    (200, "{\"status\":\"ok\"}".into())
}

fn change(op: &Value, r: &Request, s: &mut State, items: &mut BTreeMap<String, Value>) -> Result<(), String> {
    if !words(op, &["op", "id", "ip", "subnet", "negated", "comment"]) || r.method != "PATCH" {
        return Err(op.to_string());
    }
    let id = op["id"].as_str().unwrap_or_default();
    match op["op"].as_str() {
        Some("create") if op["ip"].is_string() => {
            if items.values().any(|v| (&v["ip"], &v["subnet"]) == (&op["ip"], &op["subnet"])) {
                return Err(format!("Duplicate record: {}", op["ip"]));
            }
            let id = s.next();
            let held = json!({"id": id, "ip": op["ip"], "subnet": op["subnet"], "comment": op["comment"], "negated": "0"});
            items.insert(id, held);
            if items.len() > s.limit() {
                return Err(format!("Exceeding max ACL entries of {}", s.limit()));
            }
        }
        Some("update") if items.contains_key(id) => {
            items.get_mut(id).unwrap()["comment"] = op["comment"].clone();
        }
        Some("delete") if items.contains_key(id) => drop(items.remove(id)),
        _ => return Err(op.to_string()),
    }
    Ok(())
}

const CONFIG: &str =
    "service = \"SU1Z0isxPaozGVKXdv0eY\"\nacl = \"6tUXdegLTf5BCig0zGFrU3\"\ntoken = SECRET\nurl = \"URL\"\n";

pub(super) fn start() -> Fake {
    let make: Make = |f, secret| {
        let text = f.text(secret, &format!("{CONFIG}capacity = 100\n"));
        Box::new(FastlyConnector::new(toml::from_str(&text).unwrap()).unwrap())
    };
    Fake::start(
        fastly,
        make,
        ("f", json!({"id": "f", "ip": "192.0.2.200", "subnet": null, "negated": "0", "comment": ""})),
        ("6tUXdegLTf5BCig0zGFrU3", "7tUXdegLTf5BCig0zGFrU4"),
        |s, from| {
            s.items.values().any(|v| {
                let whole = net(v["ip"].as_str().unwrap());
                let width = v["subnet"].as_u64().map_or(whole.max_prefix_len(), |w| w as u8);
                ipnet::IpNet::new_assert(whole.addr(), width).contains(&from)
            })
        },
    )
}

#[test]
fn a_list_of_many_pages_is_read_whole() {
    let fake = start();
    fake.state().limit = Some(1_000);
    let text = fake.text("secret", &format!("{CONFIG}capacity = 1000\n"));
    let mut connector = FastlyConnector::new(toml::from_str(&text).unwrap()).unwrap();
    let wanted = blocks(0..250);
    push(&mut connector, &wanted).unwrap();
    assert!(push(&mut connector, &wanted).unwrap().is_empty(), "it does not see all that is there");
    push(&mut connector, &[]).unwrap();
    assert_eq!(fake.state().items.len(), 0, "some stay blocked");
}
