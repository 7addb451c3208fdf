//! What clients might do to get by an entry that names them: other spellings of an address, a host, a path; and what hides an entry.

use std::net::{SocketAddr, TcpStream};

use sidetap_mitigation::haproxy::HaproxyConnector;
use sidetap_mitigation::{AddressSeen, Connector, Enforcer, Entry, Mode, PushOptions};
use sidetap_model::SubjectKind;
use sidetap_policy::Response;

use crate::Haproxy;
use crate::support::{self, desired, spellings, verdict, wall, wall_ts};

/// Brings the device to these entries.
fn hold(connector: &mut HaproxyConnector, keys: &[&str]) {
    let entry = |key: &&str| Entry {
        key: key.parse().unwrap(),
        response: Response::Block,
        expires_at: wall() + 600,
        verdict: "v1".into(),
        priority: (90, 0),
        way: None,
    };
    let wanted: Vec<Entry> = keys.iter().map(entry).collect();
    let observed = connector.observe(wall()).unwrap();
    let plan = sidetap_mitigation::plan(&wanted, &observed, &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    let held = connector.observe(wall()).unwrap();
    assert_eq!((held.entries.len(), held.drift), (keys.len(), Vec::<String>::new()));
}

#[test]
fn an_address_is_the_same_in_every_spelling() {
    let both = |text: &str| {
        let text = text.replace("bind 127.0.0.1:", "bind :::");
        let next = "\n    # Name the site's hosts here.";
        assert!(text.contains(next));
        text.replacen(next, &format!(" v4v6{next}"), 1)
    };
    if TcpStream::connect("[::1]:1").is_err_and(|e| e.kind() == std::io::ErrorKind::AddrNotAvailable) {
        return support::skip("this machine has no IPv6");
    }
    let Some(haproxy) = Haproxy::start_with(both) else { return };
    let agent = "header:user-agent=evil";
    let keys = [
        format!("127.0.0.1|{agent}"),
        "127.0.0.1@*,/login".to_owned(),
        "127.0.0.0/29@*,/cart".to_owned(),
        format!("203.0.113.9|{agent}"),
        "203.0.113.9@*,/login".to_owned(),
    ];
    hold(&mut haproxy.connector(AddressSeen::Peer), &keys.each_ref().map(String::as_str));
    let at = |to: SocketAddr, from: &str, path: &str, agent: &str| {
        support::ask_at(to, from, ("GET", "shop.example", path), agent)
    };
    let peer = |path: &str, agent: &str| at(haproxy.peer, "192.0.2.9", path, agent);
    assert_eq!((peer("/", "evil"), peer("/login", "x"), peer("/cart", "x")), (403, 403, 403));
    assert_eq!(peer("/", "x"), 200);
    for from in ["203.0.113.9", "::ffff:203.0.113.9", "::ffff:cb00:7109"] {
        assert_eq!(at(haproxy.forwarded, from, "/", "evil"), 403, "{from}");
        assert_eq!(at(haproxy.forwarded, from, "/login", "x"), 403, "{from}");
    }
}

#[test]
fn a_place_is_the_same_in_every_spelling() {
    let Some(haproxy) = Haproxy::start() else { return };
    hold(
        &mut haproxy.connector(AddressSeen::Forwarded),
        &[
            "203.0.113.9@POST,shop.example/login",
            "203.0.113.9@*,all.example/**",
            "203.0.113.9@*,/a/*/b",
            "203.0.113.9@*,/api/*/items",
        ],
    );
    let at =
        |host: &str, path: &str| support::ask_at(haproxy.forwarded, "203.0.113.9", ("POST", host, path), "x");
    for host in [
        "shop.example",
        "SHOP.example.",
        "shop.example:80",
        "shop.example.:80",
        "shop.example:",
        "shop.example.:",
    ] {
        assert_eq!(at(host, "/login"), 403, "{host}");
    }
    let long = format!("/{}/%2e%2e/login", "a".repeat(4_200));
    let deep = format!("{}/login", "/a/..".repeat(1_500));
    for path in [&long, &deep] {
        assert_eq!(at("shop.example", path), 403, "{}", path.get(..20).unwrap_or(path));
    }
    spellings::hosts("shop.example", |host| at(host, "/login"));
    spellings::paths(|path| at("shop.example", path), |_| false);
    spellings::other_paths(|path| at("shop.example", path));
    for path in ["/LOGIN", "/logins", "/login/x", "/xlogin", "/log;in", "/list;a=x%2fy;b=1/7"] {
        assert_eq!(at("shop.example", path), 200, "{path} is another path");
    }
    assert_eq!(at("all.example", "/x%0ay"), 403, "whatever byte is in it");
    assert_eq!((at("any.example", "/a/x;y/b;z/"), at("any.example", "/a//b")), (403, 200));
    for host in ["a,b", "POST,any.example", "a/b", "a,", ""] {
        assert_ne!(at(host, "/a/x/b"), 200, "any host: {host}");
    }
}

/// An entry that names a host does not hold for another; most applications answer any.
#[test]
fn answers_for_the_hosts_of_the_site_only() {
    let Some(haproxy) = Haproxy::start() else { return };
    hold(&mut haproxy.connector(AddressSeen::Forwarded), &["203.0.113.9@*,shop.example/login"]);
    let ask =
        |from: &str, host: &str| support::ask_at(haproxy.forwarded, from, ("POST", host, "/login"), "x");
    for host in ["shop.example", "SHOP.example.", "shop.example:8080", "www.shop.example", "shop.example:"] {
        assert_eq!(ask("203.0.113.10", host), 200, "{host} is one of the site's");
    }
    assert_eq!(ask("203.0.113.9", "shop.example"), 403);
    for host in [
        "nope.test",
        "203.0.113.200",
        "localhost",
        "127.0.0.1:80",
        "shop.example.nope.test",
        "xshop.example",
        "",
    ] {
        for from in ["203.0.113.9", "203.0.113.10"] {
            assert_ne!(ask(from, host), 200, "`{host}` is none of the site's");
        }
    }
    assert_ne!(support::ask_at(haproxy.peer, "203.0.113.9", ("POST", "nope.test", "/login"), "x"), 200);
}

/// Of lines of two Sidetaps HAProxy takes the first of an address and the narrowest of networks, whoever's and whether it is over.
#[test]
fn what_is_over_of_another_sidetap_hides_nothing() {
    let Some(haproxy) = Haproxy::start() else { return };
    let map = |name: &str| haproxy.file(&format!("{name}.map")).display().to_string();
    let (past, future) = (wall() - 100, wall() + 900);
    for line in [
        format!("{} 203.0.113.10 {past}:other:v1", map("block")),
        format!("{} 198.51.100.11 {past}:other:v1", map("block")),
        format!("{} 198.51.100.12 {future}:other:v1", map("block")),
        format!("{} 192.0.2.77 mine:by:hand", map("block")),
        format!("{} header:user-agent=evil {past}:block:other:v1", map("keys")),
    ] {
        haproxy.runtime(&format!("add map {line}"));
    }
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(haproxy.connector(AddressSeen::Forwarded))]);
    let verdicts = [
        verdict("v1", SubjectKind::Ip, "203.0.113.10", "block", 600),
        verdict("v2", SubjectKind::Cidr, "198.51.100.0/24", "block", 600),
        verdict("v3", SubjectKind::Header, "user-agent: evil", "block", 600),
    ];
    let report = enforcer.push(&desired(&verdicts, &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "done", "{report:?}");
    let ask = |from: &str, agent: &str| support::get(haproxy.forwarded, from, &[("User-Agent", agent)]).0;
    for from in ["203.0.113.10", "198.51.100.11", "198.51.100.12", "198.51.100.13"] {
        assert_eq!(ask(from, "x"), 403, "{from}");
    }
    assert_eq!((ask("192.0.2.5", "evil"), ask("192.0.2.5", "x")), (403, 200));
    let shown = haproxy.runtime(&format!("show map {}", map("block")));
    assert!(shown.contains(":other:v1") && shown.contains("mine:by:hand"), "what is not over stays: {shown}");
    // One that runs out later is noticed too, although nothing of ours changes.
    haproxy.runtime(&format!("add map {} 198.51.100.14 {past}:other:v2", map("block")));
    assert_eq!(ask("198.51.100.14", "x"), 200);
    let report = enforcer.push(&desired(&verdicts, &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "done", "{report:?}");
    assert_eq!(ask("198.51.100.14", "x"), 403);
}

/// HAProxy takes the first line of an address: one that was put there by hand has no end, and would let the blocked one through.
#[test]
fn a_line_by_hand_hides_nothing() {
    let Some(haproxy) = Haproxy::start() else { return };
    let map = |name: &str| haproxy.file(&format!("{name}.map")).display().to_string();
    let add = |name: &str, line: &str| haproxy.runtime(&format!("add map {} {line}", map(name)));
    add("block", "203.0.113.9 by-hand");
    add("keys", "header:user-agent=evil by-hand");
    let mut connector = haproxy.connector(AddressSeen::Forwarded);
    let ask = |from: &str, agent: &str| support::get(haproxy.forwarded, from, &[("User-Agent", agent)]).0;
    let keys = ["203.0.113.9", "header:user-agent=evil"];
    hold(&mut connector, &keys);
    let all = || (ask("203.0.113.9", "x"), ask("192.0.2.5", "evil"), ask("192.0.2.5", "x"));
    assert_eq!(all(), (403, 403, 200));
    // As an earlier Sidetap left it.
    for name in ["block", "keys"] {
        let shown = haproxy.runtime(&format!("show map {}", map(name)));
        let own =
            shown.lines().find(|l| l.contains(":sidetap:")).unwrap().split_once(' ').unwrap().1.to_owned();
        let foreign = own.split_once(' ').unwrap().0;
        assert!(shown.contains(&format!("{foreign} by-hand")), "it stays: {shown}");
        haproxy.runtime(&format!("clear map {}", map(name)));
        add(name, &format!("{foreign} by-hand"));
        add(name, &own);
    }
    assert_eq!(all(), (200, 200, 200));
    let drift = connector.observe(wall()).unwrap().drift;
    assert!(drift.iter().any(|d| d.contains("others hide in")), "it is told: {drift:?}");
    hold(&mut connector, &keys);
    assert_eq!(all(), (403, 403, 200));
}

#[test]
fn a_canary_proves_the_effect_by_address_and_by_agent() {
    let Some(haproxy) = Haproxy::start() else { return };
    let connector = |seen: AddressSeen, to: SocketAddr| {
        let mut config = haproxy.config(seen);
        let canary = format!("url = \"http://{to}/\"\nhost = \"shop.example\"");
        config.canary = Some(toml::from_str(&canary).unwrap());
        Enforcer::with_connectors(vec![Box::new(HaproxyConnector::new(config).unwrap())])
    };
    let want = desired(&[verdict("v1", SubjectKind::Ip, "203.0.113.9", "block", 600)], &[]);
    for (seen, to) in [(AddressSeen::Forwarded, haproxy.forwarded), (AddressSeen::Peer, haproxy.peer)] {
        let mut enforcer = connector(seen, to);
        let options = PushOptions { force: true, ..PushOptions::new(Mode::Enforce) };
        let report = enforcer.push(&want, wall_ts(), &options);
        let result = &report.connectors[0];
        assert!(result.outcome == "done" && result.effect_ms.is_some(), "{seen:?}: {result:?}");
        let again = enforcer.push(&want, wall_ts(), &options);
        assert_eq!(again.connectors[0].outcome, "unchanged", "{again:?}");
        assert_eq!(enforcer.status(wall_ts()).connectors[0].drift, Vec::<String>::new());
    }
    drop(haproxy);

    // A configuration that looks entries up and then refuses nobody.
    let Some(lax) =
        Haproxy::start_with(|text| text.replace("    http-request deny deny_status 403 if", "    #"))
    else {
        return;
    };
    let mut config = lax.config(AddressSeen::Peer);
    let canary = format!("url = \"http://{}/\"\nhost = \"shop.example\"", lax.peer);
    config.canary = Some(toml::from_str(&canary).unwrap());
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(HaproxyConnector::new(config).unwrap())]);
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "failed", "{report:?}");
    assert!(report.connectors[0].answer.contains("still answered with 200"), "{report:?}");
}
