//! Every response at a real device, step after step, behind an office's address, over IPv6; and what an operator takes back.
use std::time::{Duration, Instant};

use super::common::{ended, lines};
use super::envoy;
use super::net::{PORT, Running, find, until};
use super::scene::{ATTACKER, PROXY, Scene};

/// What stands before the application in these scenes.
const DEVICE: &[&str] = &["haproxy"];

/// An answer, and how long it took.
struct Got {
    status: String,
    body: String,
    took: Duration,
}

impl Scene {
    /// A request of somebody's.
    fn ask(&self, space: &str, agent: &str) -> Got {
        let begin = Instant::now();
        let mut command = self.net.at(space, &find("curl").unwrap());
        let out = command
            .args(["-s", "-m", "20", "-w", "\n%{http_code}", "-A", agent, "-H", "Host: shop.example", "-H"])
            .args([&format!("X-Who: {space}"), &format!("http://{}/api/orders", self.site)])
            .output();
        let text = String::from_utf8(out.unwrap().stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        Got { status: status.into(), body: body.into(), took: begin.elapsed() }
    }

    /// Policy of one rule with this response, which asks about the campaign: live it is known as well.
    fn rule(&self, name: &str, response: &str) {
        let text = format!(
            "version: 1\nrevision: {name}\nextends: default\nrules:\n  - id: {name}\n    when: intent == \"malicious\" && campaign_size > 0 && size(endpoints) > 0\n{response}"
        );
        self.place.write("policy.yaml", text.as_bytes());
    }

    /// Has the watch read another policy.
    fn reread(&self, watch: &Running, name: &str, response: &str) {
        self.rule(name, response);
        watch.signal("-HUP");
        let log = || std::fs::read_to_string(self.place.path("log.txt")).unwrap();
        until("the policy is read again", || {
            log().contains(&format!("policy read again: policy.yaml {name}"))
        });
    }

    /// The device, and a watch that tells it; `more` of the configuration.
    fn guarded(&self, connectors: &str, more: &[&str]) -> Running {
        let config =
            format!("[policy]\npath = \"policy.yaml\"\n[mitigation]\nreconcile = \"1s\"\n{connectors}");
        self.place.write("sidetap.toml", config.as_bytes());
        let mut args = vec!["-i", PORT, "--store", "db/store.db", "--listen", "127.0.0.1:0", "--enforce"];
        args.extend(more);
        self.net.watch(&self.place, &args)
    }
}

#[test]
fn what_he_asks_next_is_deceived_slowed_and_told_to_the_application() {
    let Some(s) = Scene::make("watch --enforce with each response of HAProxy", DEVICE) else { return };
    let (args, config) = s.haproxy("peer");
    let _device = s.device("haproxy", &args.each_ref().map(String::as_str));
    s.rule("sold-out", "    response: deceive\n    decoy: {backend: sidetap_sold_out}\n    ttl: 1h\n");
    let watch = s.guarded(&config, &[]);
    let honest = s.traffic("c", false);
    let bad = s.traffic("a", true);
    until("he is deceived", || s.status("a") == "409");
    std::thread::sleep(Duration::from_millis(300));
    let reached = s.answered("a");
    let got = s.ask("a", "app/1");
    assert_eq!((got.status.as_str(), got.body.as_str()), ("409", "{\"error\":\"sold out\"}"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(s.answered("a"), reached, "and of what he asks nothing reaches the application");
    drop(bad);

    s.reread(&watch, "rare", "    response: rate-limit\n    rate: 3/1m\n    ttl: 1h\n");
    let (mut statuses, begin) = (Vec::new(), Instant::now());
    until("he is let through a few times and then told to wait", || {
        statuses.push(s.ask("a", "app/1").status);
        statuses.iter().filter(|s| *s == "429").count() > 4
    });
    let let_through = statuses.iter().filter(|s| *s == "200").count();
    // Three at once, and on a slow machine one more for each third of a minute.
    let most = 3 + begin.elapsed().as_secs() / 20;
    assert!((1..=most).contains(&(let_through as u64)), "{statuses:?}");
    assert!(statuses.iter().all(|s| ["409", "200", "429"].contains(&s.as_str())), "{statuses:?}");

    s.reread(&watch, "slow", "    response: tarpit\n    delay: 3s\n    ttl: 1h\n");
    let slowed = |got: &Got| got.status == "200" && got.took >= Duration::from_secs(3);
    until("he is answered late", || slowed(&s.ask("a", "app/1")));
    assert!(s.ask("c", "app/1").took < Duration::from_secs(3));

    s.reread(
        &watch,
        "tagged",
        "    response: tag\n    tag: {name: X-Sidetap-Tag, value: bot}\n    ttl: 1h\n",
    );
    let log = || std::fs::read_to_string(s.place.path("app/access.log")).unwrap();
    until("the application is told", || {
        s.ask("a", "app/1");
        log().lines().any(|l| l == "a 200 bot")
    });
    assert!(!log().lines().any(|l| l.starts_with("c ") && l != "c 200 -"), "and not of others");

    s.reread(&watch, "asked", "    response: challenge\n    ttl: 1h\n");
    until("he is asked for what a tool cannot do", || {
        let got = s.ask("a", "app/1");
        got.status == "403" && got.body.contains("<script")
    });
    drop(honest);
    assert_eq!(watch.stop(), 0);
    s.assert_worked("c");
}

#[test]
fn he_is_given_the_answer_that_policy_says() {
    let Some(s) = Scene::make("watch --enforce with an answer of policy's", &["envoy"]) else { return };
    let (start, config) = envoy(&s, 14);
    let _device = start(&s);
    let config = format!("{config}script = \"sidetap-script\"\n");
    let nothing = "    response: deceive\n    decoy: {status: 404, content_type: application/json, body: '{\"items\":[]}'}\n    ttl: 1h\n";
    s.rule("nothing-here", nothing);
    let watch = s.guarded(&config, &[]);
    let honest = s.traffic("c", false);
    let bad = s.traffic("a", true);
    until("he is deceived", || s.status("a") == "404");
    std::thread::sleep(Duration::from_millis(300));
    let reached = s.answered("a");
    let got = s.ask("a", "app/1");
    assert_eq!((got.status.as_str(), got.body.as_str()), ("404", "{\"items\":[]}"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(s.answered("a"), reached, "and of what he asks nothing reaches the application");
    // Another answer, once policy says so.
    s.reread(
        &watch,
        "sold-out",
        "    response: deceive\n    decoy: {status: 409, body: gone}\n    ttl: 1h\n",
    );
    until("he is answered so", || s.ask("a", "app/1").body == "gone");
    assert_eq!(s.status("a"), "409");
    drop((bad, honest));
    assert_eq!(watch.stop(), 0);
    s.assert_worked("c");
}

#[test]
fn a_geo_fence_refuses_whose_address_is_elsewhere() {
    let Some(s) = Scene::make("watch --enforce with a geo-fence", DEVICE) else { return };
    const INTEL: &str = "[intel]\ndirectory = \"intel\"\nsources = []\n[[intel.source]]\nname = \"own\"\nfile = \"countries.csv\"\nformat = \"countries-csv\"\nlicence = \"own\"\n";
    let at_home = "10.91.0.50";
    s.place.write("countries.csv", format!("10.91.0.0,10.91.0.63,DE\n{ATTACKER},{ATTACKER},FR\n").as_bytes());
    s.place.write("sidetap.toml", INTEL.as_bytes());
    let mut update = s.net.at("m", std::path::Path::new(env!("CARGO_BIN_EXE_sidetap")));
    update.args(["intel", "update", "--yes"]).current_dir(s.place.path(".")).env("HOME", s.place.path("."));
    ended(update.output().unwrap()).is(0);
    let (args, config) = s.haproxy("peer");
    let _device = s.device("haproxy", &args.each_ref().map(String::as_str));
    s.rule("fence", "    response: geo-fence\n    countries: [DE]\n    ttl: 1h\n");
    let watch = s.guarded(&format!("{config}{INTEL}"), &[]);
    let honest = s.traffic("c", false);
    let bad = s.traffic("a", true);
    until("he is refused", || s.status("a") == "403");
    drop(bad);
    // The same from a country that the fence lets through.
    let space = s.net.space("a");
    s.net.must(&format!("-n {space} addr flush dev eth0"));
    s.net.must(&format!("-n {space} addr add {at_home}/24 dev eth0"));
    let again = s.traffic("a", true);
    let convicted = || {
        let page = s.said(&["mitigation", "plan", "--old"]);
        page.contains(at_home) && page.contains("in a country that the geo-fence lets through")
    };
    until("he is convicted", convicted);
    for _ in 0..15 {
        assert_eq!(s.status("a"), "200", "of the fence he is let through");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop((again, honest));
    assert_eq!(watch.stop(), 0);
    s.assert_worked("c");
}

#[test]
fn who_is_at_it_again_gets_the_next_step() {
    let Some(s) = Scene::make("watch --enforce with steps", DEVICE) else { return };
    let (args, config) = s.haproxy("peer");
    let _device = s.device("haproxy", &args.each_ref().map(String::as_str));
    let steps = "    response: deceive\n    decoy: {backend: sidetap_sold_out}\n    ttl: 2s\n    escalate:\n      within: 1h\n      steps: [{response: block, ttl: 1h}]\n";
    s.rule("steps", steps);
    let watch = s.guarded(&config, &[]);
    let honest = s.traffic("c", false);
    let bad = s.traffic("a", true);
    until("he is deceived", || s.status("a") == "409");
    drop(bad);
    until("which is over", || s.status("a") == "200");
    let again = s.traffic("a", true);
    until("at it again he is refused", || s.status("a") == "403");
    drop(again);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(s.status("a"), "403", "for as long as the step says");
    drop(honest);
    assert_eq!(watch.stop(), 0);
    s.assert_worked("c");
    let audit = s.said(&["mitigation", "audit", "--format", "ndjson"]);
    assert!(audit.contains("acted against 1"), "{audit}");
}

#[test]
fn what_an_operator_takes_back_lets_go_by_rule_campaign_and_hour() {
    let Some(s) = Scene::make("watch --enforce and an operator", DEVICE) else { return };
    let (args, config) = s.haproxy("peer");
    let _device = s.device("haproxy", &args.each_ref().map(String::as_str));
    s.rule("no-entry", "    response: block\n    ttl: 1h\n");
    let watch = s.guarded(&config, &[]);
    let honest = s.traffic("c", false);
    let bad = s.traffic("a", true);
    until("he is refused", || s.status("a") == "403");
    drop(bad);
    std::thread::sleep(Duration::from_secs(1));
    let mut campaigns = Vec::new();
    let store = sidetap_store::Store::open_read_only(&s.place.path("db/store.db")).unwrap();
    store
        .each_campaigns(|rows| {
            campaigns.extend(rows.into_iter().map(|c| c.id));
            Ok::<_, sidetap_store::StoreError>(())
        })
        .unwrap();
    let [campaign] = campaigns.as_slice() else { panic!("{campaigns:?}") };
    for what in [["--policy", "no-entry"], ["--last", "1h"], ["--campaign", campaign.as_str()]] {
        s.operate(&["mitigation", "undo", "--enforce", what[0], what[1]]);
        until("he is let in", || s.status("a") == "200");
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(s.status("a"), "200", "{what:?}: and the watch, which goes on, leaves it so");
        s.operate(&["mitigation", "redo"]);
        until("and refused again when that is taken back", || s.status("a") == "403");
    }
    drop(honest);
    assert_eq!(watch.stop(), 0);
    s.assert_worked("c");
}

/// Six people with browsers of their own, logged in.
const OFFICE: &str = "local who = n % 6; local agent = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:14' .. who .. '.0) Gecko/20100101 Firefox/14' .. who .. '.0'
    return wrk.format(nil, '/api/orders', {['Host'] = 'shop.example', ['X-Who'] = 'c', ['User-Agent'] = agent, ['Accept'] = '*/*', ['Accept-Language'] = 'de', ['Cookie'] = 'sid=0123456789abcdef0123456789abcde' .. who})";

#[test]
fn in_an_office_of_one_address_he_alone_is_refused() {
    let Some(mut s) = Scene::make("watch --enforce and an office", &["haproxy", "nft"]) else { return };
    s.behind_one_address();
    let (args, config) = s.haproxy("peer");
    let _device = s.device("haproxy", &args.each_ref().map(String::as_str));
    // A packet filter beside it sees the office's address alone.
    let space = s.net.space("s");
    let command = ["ip", "nft"].map(|p| find(p).unwrap().display().to_string());
    let command = [&command[0], "netns", "exec", &space, &command[1]];
    let config = format!("{config}[[mitigation.nftables]]\ncommand = {command:?}\n");
    s.rule("no-entry", "    response: block\n    ttl: 1h\n");
    let watch = s.guarded(&config, &[]);
    let office = s.works("c", OFFICE);
    std::thread::sleep(Duration::from_secs(5));
    let bad = s.traffic("a", true);
    until("he is refused", || s.status("a") == "403");
    let colleague = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0";
    let worked = s.answered("c");
    for _ in 0..20 {
        assert_eq!((s.status("a").as_str(), s.ask("c", colleague).status.as_str()), ("403", "200"));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(s.answered("c") > worked + 40, "the others work on");
    let filter = s.net.output("s", &["nft", "list", "table", "inet", "sidetap"]);
    assert!(!filter.contains(PROXY), "their address is told to no packet filter: {filter}");
    drop((bad, office));
    assert_eq!(watch.stop(), 0);
    s.assert_worked("c");
    let verdicts = lines(&s.place.path("run/verdicts.ndjson"));
    let malicious: Vec<_> = verdicts.iter().filter(|v| v["intent"] == "malicious").collect();
    assert!(!malicious.is_empty() && malicious.iter().all(|v| v["subject"]["kind"] != "ip"), "{malicious:?}");
}

#[test]
fn an_attacker_over_ipv6_is_refused_with_his_network_and_nobody_else() {
    let Some(mut s) = Scene::make("watch --enforce over IPv6", DEVICE) else { return };
    for (space, address) in [("a", "fd91:0:0:66::66"), ("c", "fd91:0:0:1::1"), ("s", "fd91::2")] {
        for which in ["all", "default", "eth0"] {
            s.net.output(space, &["sysctl", "-qw", &format!("net.ipv6.conf.{which}.disable_ipv6=0")]);
        }
        s.net.must(&format!("-n {} addr add {address}/48 dev eth0 nodad", s.net.space(space)));
    }
    s.site = "[fd91::2]";
    let (args, config) = s.haproxy("peer");
    let text = std::fs::read_to_string(s.place.path("haproxy.cfg")).unwrap();
    s.place.write("haproxy.cfg", text.replace("bind :80\n", "bind :::80 v4v6\n").as_bytes());
    let _device = s.device("haproxy", &args.each_ref().map(String::as_str));
    s.rule("no-entry", "    response: block\n    subjects: [prefix, verdict]\n    ttl: 1h\n");
    let watch = s.guarded(&config, &[]);
    let honest = s.traffic("c", false);
    let bad = s.traffic("a", true);
    until("he is refused", || s.status("a") == "403");
    drop(bad);
    s.net.must(&format!("-n {} addr flush dev eth0 scope global", s.net.space("a")));
    s.net.must(&format!("-n {} addr add fd91:0:0:66:aaaa::77/48 dev eth0 nodad", s.net.space("a")));
    assert_eq!(s.status("a"), "403", "another address of the same network is his too");
    s.net.must(&format!("-n {} addr flush dev eth0 scope global", s.net.space("a")));
    s.net.must(&format!("-n {} addr add fd91:0:0:67::66/48 dev eth0 nodad", s.net.space("a")));
    assert_eq!(s.status("a"), "200", "the next network is somebody else's");
    drop(honest);
    assert_eq!(watch.stop(), 0);
    s.assert_worked("c");
}
