//! What is tested of every device alike.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sidetap_mitigation::suite::{self, Device};
use sidetap_mitigation::{AddressSeen, Connector, Desired, Enforcer, Entry, Mode, PushOptions, Selector};
use sidetap_model::{SubjectKind, Ts};
use sidetap_policy::Response;

use crate::open::Before;
use crate::support::{desired, spellings, until, verdict, wall};

pub(crate) const ATTACKER: &str = "203.0.113.9";
pub(crate) const HONEST: &str = "203.0.113.10";

/// A device that runs for a test.
pub(crate) trait Rig {
    /// A connector to it, with room for 100 entries.
    fn connector(&self) -> Box<dyn Connector>;

    /// The status of a request of this client through it; 0 where nothing is answered.
    fn request(&self, _from: &str) -> u16 {
        200
    }

    /// Where it takes requests that name their client in `X-Forwarded-For`, if it does.
    fn door(&self) -> Option<SocketAddr> {
        None
    }

    /// The status of a request of this client with this method, to this host and path.
    fn request_at(&self, _from: &str, _method: &str, _host: &str, _path: &str) -> u16 {
        0
    }

    fn flush(&mut self);

    /// The messages that it was told, where that is how.
    fn told(&self) -> Vec<serde_json::Value> {
        Vec::new()
    }

    fn add_foreign(&mut self) -> bool {
        false
    }

    fn foreign_is_there(&mut self) -> bool {
        true
    }

    fn away(&mut self, _away: bool) -> bool {
        false
    }

    fn break_next(&mut self) -> bool {
        false
    }

    fn intruder(&mut self) -> Option<(Box<dyn Connector>, String)> {
        None
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        None
    }
}

/// A rig in the suite; where the device keeps no time itself the clock is the test's.
struct UnderTest<R> {
    rig: R,
    connector: Box<dyn Connector>,
    later: i64,
}

impl<R: Rig> Device for UnderTest<R> {
    fn connector(&mut self) -> &mut dyn Connector {
        self.connector.as_mut()
    }

    fn add_foreign(&mut self) -> bool {
        self.rig.add_foreign()
    }

    fn foreign_is_there(&mut self) -> bool {
        self.rig.foreign_is_there()
    }

    fn flush(&mut self) {
        self.rig.flush();
    }

    fn away(&mut self, away: bool) -> bool {
        self.rig.away(away)
    }

    fn break_next(&mut self) -> bool {
        self.rig.break_next()
    }

    fn intruder(&mut self) -> Option<(Box<dyn Connector>, String)> {
        self.rig.intruder()
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        self.rig.second()
    }

    fn twin(&mut self) -> Option<Box<dyn Connector>> {
        Some(self.rig.connector())
    }

    fn now(&mut self) -> i64 {
        wall() + self.later
    }

    fn wait(&mut self, seconds: i64) {
        if self.connector.sees().native_ttl {
            std::thread::sleep(Duration::from_secs(seconds.unsigned_abs()));
        } else {
            self.later += seconds;
        }
    }
}

/// Room that connectors are given.
static ROOM: AtomicUsize = AtomicUsize::new(100);

thread_local! {
    /// The configuration that was made last.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A configuration with the room that the test wants.
pub(crate) fn room(text: &str) -> String {
    let text = text.replace("capacity = 100\n", &format!("capacity = {}\n", ROOM.load(Ordering::SeqCst)));
    LAST.set(text.clone());
    text
}

/// The configuration of the connector that was made last.
pub(crate) fn configured() -> String {
    LAST.with_borrow(Clone::clone)
}

/// The usual room of a device, or what the test wants.
pub(crate) fn capacity(usual: usize) -> usize {
    match ROOM.load(Ordering::SeqCst) {
        100 => usual,
        wanted => wanted,
    }
}

/// Connectors that are made from now on have room for so many.
pub(crate) fn make_room(entries: usize) {
    ROOM.store(entries, Ordering::SeqCst);
}

/// Prints what a hundred thousand entries take, and how long one more request does then.
pub(crate) fn many<R: Rig>(rig: R) {
    many_up_to(rig, crate::support::most());
}

/// The same with as many as the device is meant for.
pub(crate) fn many_up_to<R: Rig>(rig: R, most: usize) {
    ROOM.store(most.min(crate::support::most()), Ordering::SeqCst);
    crate::support::measure_with(rig.connector().as_mut(), || {
        let start = Instant::now();
        rig.request(HONEST);
        start.elapsed()
    });
    ROOM.store(100, Ordering::SeqCst);
}

/// An entry of this key.
pub(crate) fn entry(key: &str, response: Response) -> Entry {
    let key = key.parse().unwrap();
    Entry { key, response, expires_at: wall() + 600, verdict: "v1".into(), priority: (90, 0), way: None }
}

/// An entry that names a host holds for the site's hosts only: any other is refused by the configuration, whoever asks for it.
pub(crate) fn holds_for_the_hosts_there_are<R: Rig>(rig: R) {
    let mut connector = rig.connector();
    let wanted = [entry("203.0.113.9@*,shop.example/login", Response::Block)];
    let plan = sidetap_mitigation::plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    until("it has an effect", || rig.request_at("203.0.113.9", "POST", "shop.example", "/login") == 403);
    std::thread::sleep(Duration::from_millis(300));
    only_these_hosts(|from, host| rig.request_at(from, "POST", host, "/login"));
    // Of an absolute target servers take the host; who hands on the field as well has the application choose.
    let both = |target: &str, field: &str| rig.request_at("203.0.113.9", "POST", field, target);
    assert_ne!(both("http://shop.example/login", "www.shop.example"), 200);
    if ["nginx", "nginx-njs", "modsecurity"].contains(&connector.kind()) {
        assert_ne!(both("http://www.shop.example/login", "shop.example"), 200);
    }
    for target in [
        "https://shop.example/login",
        "a1://shop.example/login",
        "h2c+x://shop.example/login",
        "https:/login",
        "https:///login",
        "login",
    ] {
        assert_ne!(both(target, "shop.example"), 200, "{target} may be /login");
        // These hand on the path alone, and the host that they go by.
        if !["apache", "caddy"].contains(&connector.kind()) {
            assert_ne!(both(target, "www.shop.example"), 200, "{target} may be /login of shop.example");
        }
    }
}

/// Asks for hosts that the site has, and for others.
pub(crate) fn only_these_hosts(ask: impl Fn(&str, &str) -> u16) {
    for host in ["shop.example", "SHOP.example", "shop.example:8080", "www.shop.example"] {
        assert_eq!(ask("203.0.113.10", host), 200, "{host} is one of the site's");
    }
    assert_eq!(ask("203.0.113.9", "shop.example"), 403);
    spellings::hosts("shop.example", |host| ask("203.0.113.9", host));
    for host in [
        "nope.test",
        "203.0.113.200",
        "localhost",
        "127.0.0.1:80",
        "[::1]",
        "shop.example.nope.test",
        "xshop.example",
        "shop.example@nope.test",
        "",
    ] {
        for from in ["203.0.113.9", "203.0.113.10"] {
            assert_ne!(ask(from, host), 200, "`{host}` is none of the site's");
        }
    }
}

/// Entries for hosts and endpoints have an effect there, and nowhere else.
pub(crate) fn holds_at_places<R: Rig>(rig: R) {
    let mut connector = rig.connector();
    let networks = connector.sees().networks;
    let kind = connector.kind();
    let forwarded = connector.sees().address == AddressSeen::Forwarded;
    let mut keys = vec![
        "203.0.113.9@POST,*.shop.example/login",
        "203.0.113.9@*,/api/*/items",
        "203.0.113.9@*,/v1/a:b+c=d$e!f,g",
    ];
    if networks {
        keys.push("198.51.100.0/24@*,shop.example/**");
    }
    let mut push = |keys: &[&str]| {
        let wanted: Vec<Entry> = keys.iter().map(|k| entry(k, Response::Block)).collect();
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(&wanted, &observed, &[], connector.sees());
        connector.apply(&plan, wall()).unwrap();
        let held = connector.observe(wall()).unwrap();
        assert_eq!((held.entries.len(), held.drift), (keys.len(), Vec::<String>::new()));
    };
    push(&keys);
    let at = |from: &str, method: &str, host: &str, path: &str| rig.request_at(from, method, host, path);
    until("it has an effect", || at("203.0.113.9", "POST", "www.shop.example", "/login") == 403);
    // Workers of before the change may still take a connection.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(at("203.0.113.9", "POST", "www.shop.example", "/login?next=/x"), 403);
    assert_eq!(at("203.0.113.9", "POST", "WWW.shop.example", "/login"), 403, "hosts have no case");
    // A dot behind it is the same host, and no port the usual one; Caddy and Envoy have no route for the former.
    for host in ["www.shop.example.", "www.shop.example.:8080", "www.shop.example:", "www.shop.example.:"] {
        assert_ne!(at("203.0.113.9", "POST", host, "/login"), 200, "{host}");
    }
    for host in ["a,b", "POST,x", "a,b:"] {
        assert_ne!(at("203.0.113.9", "GET", host, "/api/v2/items"), 200, "whatever the host is: {host}");
    }
    for path in ["/api/;x/v2/items", "/;/api/v2/;x/items/;y", "/api;a/v2;b/items;c"] {
        assert_eq!(at("203.0.113.9", "GET", "any.example", path), 403, "{path}");
    }
    spellings::hosts("www.shop.example", |host| at("203.0.113.9", "POST", host, "/login"));
    let blocked = |path: &str| at("203.0.113.9", "POST", "www.shop.example", path);
    // Envoy hands the application the path as it compared it; Caddy hands it an escaped `#`.
    let normalised = |path: &str| {
        let parts = ["/;", ";/", "a%2f", ";a", "%2F", ";%2f", "%3b", "/%5Cx/", "x%5cy", "%5Cjdoe"];
        path.starts_with("//") || parts.iter().any(|p| path.contains(p))
    };
    spellings::paths(blocked, |path| match kind {
        "envoy" => normalised(path) && !["/x/..;/login", "/.;/login", "/x/%2e%2e;/login"].contains(&path),
        "caddy" => path == "/login#x",
        _ => false,
    });
    // Varnish refuses who is blocked at a place of that host.
    spellings::other_paths(|path| match kind {
        "varnish" if path.contains("%5Cjdoe") => 200,
        _ => blocked(path),
    });
    spellings::other_paths(|path| at("203.0.113.10", "POST", "www.shop.example", path));
    assert_eq!(at("203.0.113.9", "POST", "www.shop.example", "/logins"), 200, "another path");
    if forwarded {
        let mapped = "::ffff:203.0.113.9";
        assert_eq!(at(mapped, "POST", "www.shop.example", "/login"), 403, "the same address");
    }
    for path in [
        "/../login",
        "/../../login",
        &format!("{}/login", "/a/..".repeat(12)),
        &format!("{}/login", "/a".repeat(12) + &"/..".repeat(12)),
    ] {
        assert_ne!(at("203.0.113.9", "POST", "www.shop.example", path), 200, "{path}");
    }
    for part in ["/;", "/;abcdefg"] {
        let endless = format!("{}/login", part.repeat(7_000 / part.len()));
        assert_ne!(at("203.0.113.9", "POST", "www.shop.example", &endless), 200, "{part} however often");
    }
    // What may stand in a path as it is may be escaped all the same.
    let odd = "/v1/a:b+c=d$e!f,g";
    assert_eq!(at("203.0.113.9", "GET", "any.example", odd), 403);
    for (c, code) in [(':', "%3A"), ('+', "%2b"), ('=', "%3D"), ('$', "%24"), ('!', "%21"), (',', "%2c")] {
        let path = odd.replace(c, code);
        assert_eq!(at("203.0.113.9", "GET", "any.example", &path), 403, "{path}");
        assert_eq!(at("203.0.113.9", "GET", "any.example", &odd.replace(c, "%20")), 200, "not {c}");
    }
    assert_eq!(at("203.0.113.9", "GET", "www.shop.example", "/login"), 200, "another method");
    assert_eq!(at("203.0.113.9", "POST", "www.shop.example", "/login/x"), 200, "another path");
    assert_eq!(at("203.0.113.9", "POST", "shop.example", "/login"), 200, "another host");
    assert_eq!(at("203.0.113.10", "POST", "www.shop.example", "/login"), 200, "somebody else");
    assert_eq!(at("203.0.113.9", "GET", "any.example", "/api/v2/items"), 403);
    assert_eq!(at("203.0.113.9", "GET", "any.example", "/api/v2/items/7"), 200);
    if networks {
        assert_eq!(at("198.51.100.77", "GET", "shop.example", "/any/where"), 403);
        assert_ne!(
            at("198.51.100.77", "GET", "shop.example", "/any%0awhere"),
            200,
            "whatever is in its path"
        );
        assert_eq!(at("198.51.100.77", "GET", "www.shop.example", "/any/where"), 200);
    }
    push(&["203.0.113.9"]);
    until("it holds everywhere", || at("203.0.113.9", "GET", "www.shop.example", "/login") == 403);
    push(&[]);
    until("it is let go", || at("203.0.113.9", "POST", "www.shop.example", "/login") == 200);
}

/// An undo and the kill switch take away what is in the files of a server that is down, or would not take its configuration: it does not
/// block again when it is started.
pub(crate) fn lets_go_unheard<R: Rig>(
    rig: R,
    mut silent: impl FnMut(&R, bool),
    files: &[std::path::PathBuf],
) {
    let options = PushOptions { force: true, ..PushOptions::new(Mode::Enforce) };
    let now = || Ts::from_parts(wall(), 0);
    let held = || -> String { files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect() };
    let want = desired(&[verdict("v1", SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
    for stops in [true, false] {
        let mut enforcer = Enforcer::with_connectors(vec![rig.connector()]);
        let report = enforcer.push(&want, now(), &options);
        assert!(report.is_ok() && held().contains(ATTACKER), "{report:?}");
        silent(&rig, true);
        let report = match stops {
            true => enforcer.push(&Desired { stopped: true, ..Desired::default() }, now(), &options),
            false => enforcer.undo(&Selector::All, now(), &options),
        };
        let said = &report.connectors[0];
        assert!(!report.is_ok() && said.outcome == "failed", "it was not told: {said:?}");
        assert!(said.answer.contains("taken out of the files"), "{said:?}");
        assert!(!held().contains(ATTACKER), "{}", held());
        silent(&rig, false);
        let mut after = Enforcer::with_connectors(vec![rig.connector()]);
        let report = after.push(&desired(&[], &[]), now(), &options);
        assert!(report.is_ok(), "the next push tells it: {report:?}");
        until("he is let in", || rig.request(ATTACKER) == 200);
    }
}

/// Runs the contract, of which no more may be left out than docs/connectors says.
pub(crate) fn contract<R: Rig>(rig: R) {
    let connector = rig.connector();
    let kind = connector.kind();
    let left_out = suite::run(&mut UnderTest { rig, connector, later: 0 }).unwrap();
    let may = may_be_left_out(kind);
    assert!(left_out.iter().all(|l| may.contains(l)), "{kind}: {left_out:?} were left out");
}

/// What cannot be asked of a device, with the reasons in docs/connectors/README.md.
fn may_be_left_out(kind: &str) -> &'static [&'static str] {
    // Devices that know no places hold none; those that nobody logs in to have no credential that could be wrong.
    match kind {
        "apache" | "caddy" | "nginx" | "nginx-njs" | "modsecurity" | "varnish" => &["a wrong credential"],
        "envoy" => &["entries of others", "a wrong credential"],
        "bgp" | "ipset" | "nginx-plus" => &["hosts and endpoints", "a wrong credential"],
        "aws-waf" | "crowdsec" | "akamai" | "cloudflare" | "fastly" | "f5" | "webhook" => {
            &["hosts and endpoints"]
        }
        // A program that is only told, and does not say what it holds, is not seen to be away either.
        "exec" => &[
            "entries of others",
            "hosts and endpoints",
            "away for ten minutes",
            "a wrong credential",
            "two Sidetaps",
        ],
        _ => &[],
    }
}

/// Pushes, flushes, takes back and lets time go by, and asks at each step who is refused.
pub(crate) fn acts<R: Rig>(mut rig: R) {
    let mut enforcer = Enforcer::with_connectors(vec![rig.connector()]);
    let start = wall();
    // A device that keeps time itself keeps that of the wall.
    let native = rig.connector().sees().native_ttl;
    let at = |s: i64| Ts::from_parts(if native { wall() } else { start + s }, 0);
    let options = PushOptions { force: true, ..PushOptions::new(Mode::Enforce) };
    let want = desired(&[verdict("v1", SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
    let push = |enforcer: &mut Enforcer, s: i64| {
        let report = enforcer.push(&want, at(s), &PushOptions { force: false, ..options.clone() });
        assert!(report.is_ok(), "{:?}", report.connectors);
        report.connectors.into_iter().next().unwrap()
    };
    let refused = |rig: &R| until("the attacker is refused", || rig.request(ATTACKER) != 200);
    let let_in = |rig: &R| until("the attacker is let in", || rig.request(ATTACKER) == 200);
    let honest = |rig: &R| assert_eq!(rig.request(HONEST), 200, "an honest client");

    let_in(&rig);
    let open = Before::of(&rig);
    assert_eq!(push(&mut enforcer, 0).outcome, "done");
    refused(&rig);
    honest(&rig);
    if let Some(open) = open {
        open.are_as_said(&rig);
    }
    if rig.connector().sees().address == AddressSeen::Forwarded {
        let mapped = format!("::ffff:{ATTACKER}");
        until("he is refused as a proxy of both families forwards him", || rig.request(&mapped) != 200);
        assert_eq!(rig.request(&format!("::ffff:{HONEST}")), 200);
    }
    assert_eq!(push(&mut enforcer, 10).outcome, "unchanged");
    rig.flush();
    honest(&rig);
    assert_eq!(push(&mut enforcer, 20).outcome, "done", "what was flushed is put back");
    refused(&rig);
    honest(&rig);
    enforcer.undo(&Selector::All, at(30), &options);
    let_in(&rig);
    // The canary's entry, which went too, is put back.
    let canaries = usize::from(rig.connector().canary().is_some());
    assert_eq!(push(&mut enforcer, 40).added, canaries, "what was taken back stays so");
    let_in(&rig);
    enforcer.redo(&Selector::All).unwrap();
    push(&mut enforcer, 50);
    refused(&rig);
    honest(&rig);
    if native {
        return;
    }
    let over = push(&mut enforcer, 700);
    assert_eq!(over.removed, 1, "its time is over: {over:?}");
    let_in(&rig);
    honest(&rig);
}

/// Prints how long it takes from a verdict to its effect and to its undoing.
pub(crate) fn measure<R: Rig>(rig: R, rounds: usize) {
    let kind = rig.connector().kind();
    let mut enforcer = Enforcer::with_connectors(vec![rig.connector()]);
    let options = PushOptions { force: true, ..PushOptions::new(Mode::Enforce) };
    let want = desired(&[verdict("v1", SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
    let (mut effect, mut undone) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        let report = enforcer.push(&want, Ts::from_parts(wall(), 0), &options);
        assert!(report.is_ok(), "{report:?}");
        until("refused", || rig.request(ATTACKER) != 200);
        effect.push(start.elapsed());
        let start = Instant::now();
        enforcer.undo(&Selector::All, Ts::from_parts(wall(), 0), &options);
        until("let in", || rig.request(ATTACKER) == 200);
        undone.push(start.elapsed());
        enforcer.redo(&Selector::All).unwrap();
    }
    for (what, mut times) in [("verdict to effect", effect), ("undo to effect", undone)] {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        println!("{kind}: {what}: p50 {:?}, p99 {:?}, {rounds} rounds", at(0.5), at(0.99));
    }
}
