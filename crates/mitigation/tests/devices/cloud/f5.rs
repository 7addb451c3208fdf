use std::collections::BTreeMap;

use serde_json::{Value, json};
use sidetap_mitigation::f5::F5Connector;

use super::{Fake, Make, State, net, words};
use crate::support::Request;

/// A data group of iControl REST: PATCH takes the whole array of records, and one without any is told without the array.
fn f5(r: &Request, s: &mut State) -> (u16, String) {
    let no = |code: u16, why: &str| {
        (code, json!({"code": code, "message": why, "errorStack": [], "apiError": 3}).to_string())
    };
    // admin:SECRET
    let token = "Basic YWRtaW46YS1zZWNyZXQtb2YtdGhlLWFwaQ==";
    if r.header("authorization") != token {
        return no(401, "Authorization failed: no user authentication header or token detected.");
    }
    if r.path != "/mgmt/tm/ltm/data-group/internal/~Common~sidetap" {
        return no(404, "01020036:3: The requested value list was not found.");
    }
    if r.method == "PATCH" {
        let body = r.json();
        let fits =
            |v: &Value| words(v, &["name", "data"]) && v["name"].as_str().is_some_and(|n| n.contains('/'));
        let Some(records) = body["records"].as_array().filter(|l| l.iter().all(fits)) else {
            return no(400, "records");
        };
        let items: BTreeMap<String, Value> =
            records.iter().map(|v| (v["name"].as_str().unwrap().to_owned(), v.clone())).collect();
        if items.len() < records.len() {
            return no(400, "01070711:3: a record is there twice");
        }
        s.items = items;
    }
    let mut said = json!({"kind": "tm:ltm:data-group:internal:internalstate", "type": "ip"});
    if !s.items.is_empty() {
        said["records"] = s.items.values().cloned().collect();
    }
    (200, said.to_string())
}

pub(super) fn start() -> Fake {
    let make: Make = |f, secret| {
        let text = f.text(
            secret,
            "url = \"URL\"\nuser = \"admin\"\npassword = SECRET\ngroup = \"/Common/sidetap\"\ncapacity = 100\n",
        );
        Box::new(F5Connector::new(toml::from_str(&text).unwrap()).unwrap())
    };
    Fake::start(
        f5,
        make,
        ("192.0.2.200/32", json!({"name": "192.0.2.200/32", "data": "ours"})),
        ("sidetap", "other"),
        |s, from| s.items.keys().any(|name| net(name).contains(&from)),
    )
}
