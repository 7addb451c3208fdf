use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde_json::{Value, json};
use sidetap_policy::Response;

use super::ruleset::{ENTRY_SETS, MARK};
use crate::connector::Observed;
use crate::entry::Entry;
use crate::key::Key;
use crate::plan::Plan;

/// Elements that one command carries.
const BATCH: usize = 5_000;

/// The network of an entry; the plan has none that is something else.
fn net_of(entry: &Entry) -> IpNet {
    entry.key.net().unwrap_or_default()
}

/// The set in which an entry stands.
fn set_of(entry: &Entry) -> &'static str {
    let block = entry.response == Response::Block;
    match (block, !entry.key.is_wide(), matches!(net_of(entry), IpNet::V6(_))) {
        (true, true, false) => "block4",
        (true, false, false) => "blocknet4",
        (true, true, true) => "block6",
        (true, false, true) => "blocknet6",
        (false, true, false) => "rate4",
        (false, false, false) => "ratenet4",
        (false, true, true) => "rate6",
        (false, false, true) => "ratenet6",
    }
}

/// Commands that make a plan's changes to the entries.
///
/// An element is removed before it is put there with another time, since older kernels keep the first time. What `there`
/// does not have is not removed: one that timed out in the meantime would fail the whole transaction.
pub(super) fn changes(table: &str, plan: &Plan, there: Option<&Observed>, now: i64) -> Vec<Value> {
    let have: Option<BTreeSet<(&str, &Key)>> =
        there.map(|o| o.entries.iter().map(|e| (set_of(e), &e.key)).collect());
    let is_there = |e: &&Entry| have.as_ref().is_none_or(|h| h.contains(&(set_of(e), &e.key)));
    let old: Vec<&Entry> = plan.remove.iter().chain(&plan.refresh).filter(is_there).collect();
    let new: Vec<&Entry> = plan.add.iter().chain(&plan.refresh).filter(|e| e.expires_at > now).collect();
    let mut commands = Vec::new();
    commands.extend(per_set("delete", table, &old, |e| value(&net_of(e))));
    commands.extend(per_set("add", table, &new, |e| element(e, e.expires_at.saturating_sub(now).max(1))));
    commands
}

/// What stands behind the mark in comments of the allow list.
const ALLOWED: &str = "allow";

/// Commands that turn one allow list into another, by what differs only: what both have is allowed all the time.
pub(super) fn allow(table: &str, before: &[IpNet], after: &[IpNet]) -> Vec<Value> {
    let (old, new): (BTreeSet<&IpNet>, BTreeSet<&IpNet>) = (before.iter().collect(), after.iter().collect());
    let mark = format!("{MARK}{ALLOWED}");
    let marked = |n: &IpNet| json!({"elem": {"val": value(n), "comment": mark}});
    let mut commands = Vec::new();
    for (verb, nets) in [("delete", &old - &new), ("add", &new - &old)] {
        for (name, v6) in [("allow4", false), ("allow6", true)] {
            let own = nets.iter().filter(|n| matches!(n, IpNet::V6(_)) == v6);
            let elements: Vec<Value> =
                own.map(|n| if verb == "add" { marked(n) } else { value(n) }).collect();
            commands.extend(commands_of(verb, table, name, &elements));
        }
    }
    commands
}

fn commands_of<'a>(
    verb: &'a str,
    table: &'a str,
    name: &'a str,
    elements: &'a [Value],
) -> impl Iterator<Item = Value> + 'a {
    elements.chunks(BATCH).map(move |chunk| {
        json!({ verb: {"element": {"family": "inet", "table": table, "name": name, "elem": chunk}} })
    })
}

fn per_set(verb: &str, table: &str, entries: &[&Entry], form: impl Fn(&Entry) -> Value) -> Vec<Value> {
    let mut sets: BTreeMap<&str, BTreeMap<&Key, Value>> = BTreeMap::new();
    for entry in entries {
        sets.entry(set_of(entry)).or_default().entry(&entry.key).or_insert_with(|| form(entry));
    }
    let mut commands = Vec::new();
    for (name, elements) in sets {
        let elements: Vec<Value> = elements.into_values().collect();
        commands.extend(commands_of(verb, table, name, &elements));
    }
    commands
}

fn element(entry: &Entry, seconds: i64) -> Value {
    json!({"elem": {"val": value(&net_of(entry)), "timeout": seconds, "comment": format!("{MARK}{}", entry.verdict)}})
}

/// An address or network as nft spells it in JSON.
pub(super) fn value(net: &IpNet) -> Value {
    if net.prefix_len() == net.max_prefix_len() {
        return json!(net.addr().to_string());
    }
    json!({"prefix": {"addr": net.addr().to_string(), "len": net.prefix_len()}})
}

/// What a listing of the table holds; `now` turns remaining seconds into ends.
pub(super) fn read(listing: &Value, now: i64) -> Observed {
    let mut observed = Observed::default();
    let objects = listing.get("nftables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for set in objects.iter().filter_map(|o| o.get("set")) {
        let name = set.get("name").and_then(Value::as_str).unwrap_or_default();
        let elements = set.get("elem").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if ENTRY_SETS.contains(&name) {
            let response = if name.starts_with("block") { Response::Block } else { Response::RateLimit };
            for e in elements {
                match own(e, response, now) {
                    Some(entry) => observed.entries.push(entry),
                    None => observed.foreign += 1,
                }
            }
        } else if name.starts_with("allow") {
            for e in elements {
                match own_allow(e) {
                    Some(nets) => observed.allow.extend(nets),
                    None => {
                        observed.allowed_by_others.extend(nets_of(e.pointer("/elem/val").unwrap_or(e)));
                    }
                }
            }
        }
    }
    observed
}

fn own(element: &Value, response: Response, now: i64) -> Option<Entry> {
    let elem = element.get("elem")?;
    let verdict = elem.get("comment")?.as_str()?.strip_prefix(MARK)?.to_owned();
    let [net] = nets_of(elem.get("val")?).try_into().ok()?;
    let left = elem.get("expires").and_then(Value::as_i64)?;
    Some(Entry {
        key: net.into(),
        response,
        expires_at: now.saturating_add(left),
        verdict,
        priority: (0, 0),
        way: None,
    })
}

/// The networks of an element of the allow list that carries the mark.
fn own_allow(element: &Value) -> Option<Vec<IpNet>> {
    let elem = element.get("elem")?;
    elem.get("comment")?.as_str()?.strip_prefix(MARK).filter(|m| *m == ALLOWED)?;
    Some(nets_of(elem.get("val")?))
}

/// The networks that a value is: one for an address or prefix, several for a range that the listing joined from neighbours.
fn nets_of(value: &Value) -> Vec<IpNet> {
    let address = |v: &Value| v.as_str().and_then(|t| t.parse::<std::net::IpAddr>().ok());
    if let Some(ip) = address(value) {
        return vec![IpNet::from(ip)];
    }
    if let Some(prefix) = value.get("prefix") {
        let len = prefix.get("len").and_then(Value::as_u64).and_then(|n| u8::try_from(n).ok());
        let net =
            prefix.get("addr").and_then(address).zip(len).and_then(|(ip, len)| IpNet::new(ip, len).ok());
        return net.into_iter().collect();
    }
    let Some([first, last]) = value.get("range").and_then(Value::as_array).map(Vec::as_slice) else {
        return Vec::new();
    };
    match (address(first), address(last)) {
        (Some(std::net::IpAddr::V4(a)), Some(std::net::IpAddr::V4(b))) => {
            ipnet::Ipv4Subnets::new(a, b, 0).map(IpNet::V4).collect()
        }
        (Some(std::net::IpAddr::V6(a)), Some(std::net::IpAddr::V6(b))) => {
            ipnet::Ipv6Subnets::new(a, b, 0).map(IpNet::V6).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_lists_change_by_what_differs_only() {
        let nets = |all: &[&str]| all.iter().map(|n| n.parse().unwrap()).collect::<Vec<IpNet>>();
        let (before, after) = (
            nets(&["192.0.2.1/32", "198.51.100.0/24"]),
            nets(&["198.51.100.0/24", "203.0.113.9/32", "2001:db8::/32"]),
        );
        let told: Vec<String> = allow("sidetap", &before, &after).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("delete") && told[0].contains("192.0.2.1"), "{told:?}");
        assert!(told[1].contains("203.0.113.9") && told[2].contains("allow6"), "{told:?}");
        assert!(!told.iter().any(|t| t.contains("198.51.100.0")), "what stays is not touched: {told:?}");
        assert!(allow("sidetap", &after, &after).is_empty());
    }
}
