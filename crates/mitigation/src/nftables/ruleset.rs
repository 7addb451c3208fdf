use serde_json::{Value, json};

use super::NftablesConfig;

/// What every comment of ours begins with.
pub(super) const MARK: &str = "sidetap:";

/// The table as it should be: sets, chain and rules.
pub(super) struct Layout<'a> {
    table: &'a str,
    size: usize,
    rate: u32,
}

/// A set of entries: for what, which family, networks or single addresses.
pub(super) const ENTRY_SETS: [&str; 8] =
    ["block4", "blocknet4", "block6", "blocknet6", "rate4", "ratenet4", "rate6", "ratenet6"];

impl<'a> Layout<'a> {
    pub(super) fn new(config: &'a NftablesConfig) -> Self {
        // Twice the cap: within one transaction the kernel counts new elements before the old ones go.
        Layout {
            table: &config.table,
            size: config.capacity.saturating_mul(2).max(64),
            rate: config.rate_per_s,
        }
    }

    /// Commands that make what is missing (as [`Layout::missing_in`] names it, or all where the table is); sets that are there
    /// stay, the chain's rules are written anew.
    pub(super) fn create(&self, missing: &[String]) -> Vec<Value> {
        let table = self.table;
        let mut commands = vec![json!({"add": {"table": {"family": "inet", "name": table}}})];
        let whole = missing.iter().any(|m| m.starts_with("table "));
        let lacks = |set: &Value| {
            let name = set.get("name").and_then(Value::as_str).unwrap_or_default();
            whole || missing.iter().any(|m| m.strip_prefix("set ") == Some(name))
        };
        commands.extend(self.sets().into_iter().filter(lacks).map(|set| json!({"add": {"set": set}})));
        commands.push(json!({"add": {"chain": {"family": "inet", "table": table, "name": "prerouting",
            "type": "filter", "hook": "prerouting", "prio": -150, "policy": "accept"}}}));
        commands.push(json!({"flush": {"chain": {"family": "inet", "table": table, "name": "prerouting"}}}));
        commands.extend(self.rules().into_iter().map(|rule| json!({"add": {"rule": rule}})));
        commands
    }

    /// What of the layout is not in a listing of the table.
    pub(super) fn missing_in(&self, listing: &Value) -> Vec<String> {
        let objects =
            listing.get("nftables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = |kind: &str, name: &str| {
            objects
                .iter()
                .filter_map(|o| o.get(kind))
                .any(|o| o.get("name").and_then(Value::as_str) == Some(name))
        };
        let mut missing: Vec<String> = self
            .sets()
            .iter()
            .filter_map(|s| s.get("name").and_then(Value::as_str))
            .filter(|name| !named("set", name))
            .map(|name| format!("set {name}"))
            .collect();
        let chains = objects.iter().filter_map(|o| o.get("chain"));
        let mut ours = chains.filter(|c| c.get("name").and_then(Value::as_str) == Some("prerouting"));
        let is_right = |c: &Value| {
            let says = |key: &str, value: &str| c.get(key).and_then(Value::as_str).is_none_or(|v| v == value);
            says("policy", "accept") && says("hook", "prerouting")
        };
        if !ours.next().is_some_and(is_right) {
            missing.push("chain prerouting".to_owned());
        }
        // The table is made with none; one that is dormant stops nobody (nft 1.0.6 does not spell which it has).
        if objects.iter().filter_map(|o| o.get("table")).any(|t| t.get("flags").is_some()) {
            missing.push("flags of the table".to_owned());
        }
        let comment = |r: &Value| r.get("comment").and_then(Value::as_str).map(str::to_owned);
        // A rule of somebody else's in the chain may let everybody through.
        let have: Vec<Option<String>> = objects.iter().filter_map(|o| o.get("rule")).map(comment).collect();
        let want: Vec<Option<String>> = self.rules().iter().map(comment).collect();
        if have != want {
            missing.push("rules of prerouting".to_owned());
        }
        missing
    }

    fn sets(&self) -> Vec<Value> {
        let set = |name: &str, flags: &[&str]| {
            let kind = if name.ends_with('6') { "ipv6_addr" } else { "ipv4_addr" };
            json!({"family": "inet", "table": self.table, "name": name, "type": kind, "flags": flags})
        };
        let sized = |mut set: Value, more: &[(&str, u64)]| {
            for (key, n) in more {
                if let Some(object) = set.as_object_mut() {
                    object.insert((*key).to_owned(), json!(n));
                }
            }
            set
        };
        let size = self.size as u64;
        let mut sets = vec![set("allow4", &["interval"]), set("allow6", &["interval"])];
        for name in ENTRY_SETS {
            let flags: &[&str] = if name.contains("net") { &["interval", "timeout"] } else { &["timeout"] };
            sets.push(sized(set(name, flags), &[("size", size)]));
        }
        for name in ["meter4", "meter6"] {
            sets.push(sized(set(name, &["timeout"]), &[("size", size), ("timeout", 60)]));
        }
        sets
    }

    /// The allow list comes first, so that it wins on the device too.
    fn rules(&self) -> Vec<Value> {
        let mut rules = Vec::new();
        let mut push = |name: &str, expr: Vec<Value>| {
            rules.push(json!({"family": "inet", "table": self.table, "chain": "prerouting",
                "comment": format!("{MARK}{name}-{}", self.rate), "expr": expr}));
        };
        for name in ["allow4", "allow6"] {
            push(name, vec![from(name), json!({"accept": null})]);
        }
        for name in ENTRY_SETS.into_iter().filter(|n| n.starts_with("block")) {
            push(name, vec![from(name), counter(), json!({"drop": null})]);
        }
        for name in ENTRY_SETS.into_iter().filter(|n| n.starts_with("rate")) {
            push(
                name,
                vec![from(name), new_connection(), self.over_rate(name), counter(), json!({"drop": null})],
            );
        }
        rules
    }

    fn over_rate(&self, name: &str) -> Value {
        let meter = if name.ends_with('6') { "@meter6" } else { "@meter4" };
        json!({"set": {"op": "add", "elem": source(name), "set": meter,
            "stmt": [{"limit": {"rate": self.rate, "burst": self.rate, "per": "second", "inv": true}}]}})
    }
}

fn source(name: &str) -> Value {
    let protocol = if name.ends_with('6') { "ip6" } else { "ip" };
    json!({"payload": {"protocol": protocol, "field": "saddr"}})
}

fn from(name: &str) -> Value {
    json!({"match": {"op": "==", "left": source(name), "right": format!("@{name}")}})
}

fn new_connection() -> Value {
    json!({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}})
}

fn counter() -> Value {
    json!({"counter": {"packets": 0, "bytes": 0}})
}
