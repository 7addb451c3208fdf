//! People are told: in groups, within a budget, by the real rsyslog and by stand-ins for services.

#![allow(clippy::unwrap_used)]

mod restart;
#[path = "../support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sidetap_mitigation::alert::{Alert, AlertConfig, Alerter, Gather, Sink};
use sidetap_model::rows::{Subject, SubjectPart, VerdictRow};
use sidetap_model::{Mode, SubjectKind};
use support::{Process, free_port, serve, tool, until, verdict, wall};

const SECRET: &str = "a-secret-of-the-service";
/// Noon of a day.
const NOON: i64 = 1_795_262_400;

fn of(id: &str, ip: &str, campaign: Option<&str>, score: u8) -> VerdictRow {
    let campaign = campaign.map(str::to_owned);
    VerdictRow { campaign, score, ..verdict(id, SubjectKind::Ip, ip, "block", 600) }
}

fn gather(text: &str) -> Gather {
    Gather::new(&toml::from_str::<AlertConfig>(text).unwrap()).unwrap()
}

#[test]
fn a_campaign_is_one_alert_until_it_becomes_worse() {
    let mut g = gather("");
    let first =
        g.hear(&[of("v1", "203.0.113.1", Some("c1"), 80), of("v2", "203.0.113.2", Some("c1"), 75)], NOON);
    assert_eq!((first.len(), first[0].group.as_str(), first[0].members), (1, "c1", 2));
    assert_eq!(first[0].subjects, ["203.0.113.1", "203.0.113.2"]);
    assert!(g.hear(&[of("v3", "203.0.113.3", Some("c1"), 85)], NOON + 60).is_empty(), "told already");
    let worse = g.hear(&[of("v4", "203.0.113.4", Some("c1"), 95)], NOON + 120);
    assert_eq!((worse.len(), worse[0].members, worse[0].score), (1, 4, 95));
    assert!(g.hear(&[of("v4", "203.0.113.4", Some("c1"), 95)], NOON + 86_000).is_empty());
    assert_eq!(
        g.hear(&[of("v4", "203.0.113.4", Some("c1"), 95)], NOON + 90_000).len(),
        1,
        "it goes on the next day"
    );
    assert_eq!(g.hear(&[of("v9", "203.0.113.9", None, 80)], NOON).len(), 1, "somebody alone is a group too");
}

/// One verdict of who is at this address: of the address alone, or with an agent.
fn at(id: &str, ip: &str, agent: Option<u8>, campaign: Option<&str>) -> VerdictRow {
    let part = |kind, value: String| SubjectPart { kind, value };
    let agent = agent.map(|n| part(SubjectKind::Fingerprint, format!("a1-{n:016x}")));
    let parts = std::iter::once(part(SubjectKind::Ip, ip.to_owned())).chain(agent).collect();
    let client_ip = Some(ip.parse().unwrap());
    VerdictRow { subject: Subject::of_parts(parts), client_ip, ..of(id, ip, campaign, 90) }
}

#[test]
fn one_client_who_changes_his_agents_is_one_alert() {
    let mut g = gather("");
    let mut told = Vec::new();
    for n in 0..26 {
        // Each agent is a verdict of its own, at first in a campaign of its own or in none.
        let campaign = (n % 3 > 0).then(|| format!("c{}", n % 5));
        let agent = (n > 0).then_some(n);
        let v = at(&format!("v{n}"), "203.0.113.1", agent, campaign.as_deref());
        told.extend(g.hear(&[v], NOON + i64::from(n)));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    let other = VerdictRow { class: Some("sqli".into()), ..at("w", "203.0.113.1", None, None) };
    assert_eq!(g.hear(&[other], NOON + 30).len(), 1, "for something else");
    let later = at("x", "203.0.113.1", None, None);
    assert_eq!(g.hear(&[later], NOON + 2 * 86_400).len(), 1, "a day later he is news");
}

#[test]
fn who_is_somebody_else_is_an_alert_of_his_own() {
    let mut g = gather("");
    assert_eq!(g.hear(&[at("v1", "10.0.0.5", None, None)], NOON).len(), 1);
    let elsewhere = VerdictRow { zone: "branch".into(), ..at("v2", "10.0.0.5", None, None) };
    assert_eq!(g.hear(&[elsewhere], NOON).len(), 1, "the same address of another zone");
    // An address that never stands alone is a proxy's, or a header's word.
    for n in 0..3 {
        assert_eq!(g.hear(&[at(&format!("s{n}"), "203.0.113.7", Some(n), None)], NOON).len(), 1, "{n}");
    }
    // One of several agents, and then the address itself: the others are at it too.
    assert!(g.hear(&[at("s", "203.0.113.7", None, None)], NOON).is_empty());
    assert!(g.hear(&[at("s9", "203.0.113.7", Some(9), None)], NOON).is_empty());
    // A campaign is of several, and is nobody's own.
    assert_eq!(g.hear(&[at("m1", "203.0.113.8", None, Some("c1"))], NOON).len(), 1);
    assert_eq!(g.hear(&[at("m2", "203.0.113.8", None, Some("c2"))], NOON).len(), 1, "another campaign");
    assert_eq!(g.hear(&[at("m3", "203.0.113.8", None, None)], NOON).len(), 1);
    assert!(g.hear(&[at("m4", "203.0.113.8", Some(1), Some("c3"))], NOON).is_empty(), "found in one later");
    assert_eq!(g.hear(&[at("m5", "203.0.113.9", None, Some("c3"))], NOON).len(), 1, "the others in it");
    // Nor is a group that somebody of several addresses is in.
    g.hear(&[at("t1", "203.0.113.10", None, None)], NOON);
    g.hear(&[VerdictRow { client_ip: None, ..at("t1", "203.0.113.10", None, None) }], NOON);
    assert_eq!(g.hear(&[at("t2", "203.0.113.10", Some(1), None)], NOON).len(), 1);
}

#[test]
fn a_stronger_response_and_one_that_waits_are_told() {
    let in_mode = |response: &str, mode| VerdictRow {
        response: response.into(),
        measures: Some(Box::new(sidetap_model::Measures { mode, ..Default::default() })),
        ..at("v", "203.0.113.1", None, None)
    };
    let mut g = gather("");
    let mut told = |response, mode| {
        let told = g.hear(&[in_mode(response, mode)], NOON);
        told.first().map(|a| a.title.rsplit(", ").next().unwrap().to_owned()).unwrap_or_default()
    };
    assert_eq!(told("rate-limit", None), "rate-limit (v)");
    assert_eq!(told("block", Some(Mode::DryRun)), "", "that is only tried");
    assert_eq!(told("block", Some(Mode::Approve)), "block waits for a yes (v)");
    for again in [("rate-limit", None), ("block", Some(Mode::Approve)), ("block", None)] {
        assert_eq!(told(again.0, again.1), "", "{again:?}");
    }
    // A weaker one that is asked for is told too, once.
    let mut g = gather("");
    assert_eq!(g.hear(&[in_mode("block", None)], NOON).len(), 1);
    let asked = g.hear(&[in_mode("rate-limit", Some(Mode::Approve))], NOON);
    assert!(asked[0].title.ends_with("rate-limit waits for a yes (v)"), "{asked:?}");
    assert!(g.hear(&[in_mode("block", None), in_mode("rate-limit", Some(Mode::Approve))], NOON).is_empty());
}

#[test]
fn a_full_table_forgets_who_is_long_gone_and_takes_no_time() {
    let mut g = gather("budget_per_day = 0\n");
    let ip = |n: u32| std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
    let many: Vec<VerdictRow> = (0..20_000).map(|n| at(&format!("v{n}"), &ip(n), None, None)).collect();
    let begun = std::time::Instant::now();
    g.hear(&many, NOON);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    let group = |g: &mut Gather, v: VerdictRow, now| {
        g.hear(&[v], now);
        g.digest(now, true).map(|d| d.text).unwrap_or_default()
    };
    // A day later there is room for others.
    let later = NOON + 2 * 86_400;
    group(&mut g, at("w1", "192.0.2.1", None, None), later);
    let again = VerdictRow { score: 99, ..at("w2", "192.0.2.1", Some(1), None) };
    let told = group(&mut g, again, later + 1);
    assert_eq!(told, "", "he is known: harm 99 is no more than 90 and ten");
}

#[test]
fn what_is_over_the_budget_or_of_little_harm_comes_with_the_digest() {
    let mut g = gather("budget_per_day = 2\ndigest = \"1h\"\n");
    let many: Vec<VerdictRow> =
        (0..5).map(|n| of(&format!("v{n}"), &format!("203.0.113.{n}"), None, 80)).collect();
    let told = g.hear(&many, NOON);
    assert_eq!((told.len(), told[2].group.as_str(), told[2].score), (3, "budget", 80));
    assert_eq!(told[2].title, "Sidetap: the day's budget of 2 alerts is spent");
    assert!(g.hear(&[of("v5", "203.0.113.5", None, 99)], NOON + 60).is_empty(), "that is said once a day");
    assert!(g.hear(&[of("w", "203.0.113.99", None, 50)], NOON).is_empty());
    assert_eq!(g.digest(NOON + 1_800, false), None);
    let digest = g.digest(NOON + 3_600, false).unwrap();
    assert_eq!((digest.text.lines().count(), digest.score), (5, 99), "{digest:?}");
    assert_eq!(
        digest.title,
        "Sidetap: 4 more, over the day's budget, the worst: credential-stuffing, harm 99; 1 not worth an alert each"
    );
    assert_eq!(digest.class.as_deref(), Some("credential-stuffing"));
    assert_eq!(g.digest(NOON + 7_200, false), None, "nothing is said where there is nothing");
    assert_eq!(g.hear(&[of("x", "198.51.100.1", None, 80)], NOON + 86_400).len(), 1, "a new day");
    assert!(g.hear(&[of("y", "198.51.100.2", None, 50)], NOON + 86_400).is_empty());
    let last = g.digest(NOON + 86_401, true).expect("at the end all is told");
    assert_eq!(last.title, "Sidetap: 1 more that were not worth an alert each");
}

#[test]
fn a_digest_is_an_incident_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let shared = Arc::clone(&seen);
    let at = serve(move |r| {
        shared.lock().unwrap().push(r.json()["dedup_key"].as_str().unwrap().to_owned());
        (202, "{}".into())
    });
    let sink =
        sink(&dir, &format!("name = \"a\"\nurl = \"http://{at}\"\nkind = \"pagerduty\"\nsecret = SECRET\n"));
    let mut g = gather("");
    for now in [NOON, NOON + 3_600] {
        g.hear(&[of(&format!("v{now}"), "203.0.113.1", None, 50)], now);
        sink.send(&g.digest(now, true).unwrap(), now).unwrap();
    }
    sink.send(&sample(), NOON).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(
        *seen,
        ["sidetap-digest-2026-11-21T12:00:00", "sidetap-digest-2026-11-21T13:00:00", "sidetap-c \"1\"]"]
    );
}

#[test]
fn what_waits_for_a_yes_says_so_and_until_when() {
    let config = AlertConfig { approval_s: 3_600, ..AlertConfig::default() };
    let mut g = Gather::new(&config).unwrap();
    let in_mode = |id: &str, mode| VerdictRow {
        measures: Some(Box::new(sidetap_model::Measures { mode: Some(mode), ..Default::default() })),
        ..of(id, "203.0.113.1", None, 80)
    };
    let asked = g.hear(&[in_mode("v1", Mode::Approve)], NOON).remove(0);
    assert!(asked.title.ends_with("block waits for a yes (v1)"), "{asked:?}");
    assert_eq!((asked.waits_until, asked.response.as_str()), (Some(NOON + 3_600), "block"));
    assert!(asked.text.contains("without a yes, which is waited for until 2026-11-21T13:00:00"), "{asked:?}");
    let tried = g.hear(&[in_mode("v2", Mode::DryRun)], NOON).remove(0);
    assert!(tried.title.ends_with("block is only tried (v2)") && tried.waits_until.is_none(), "{tried:?}");
    let done = g.hear(&[of("v3", "203.0.113.3", None, 80)], NOON).remove(0);
    assert!(done.title.ends_with(", block (v3)") && !done.text.contains("yes"), "{done:?}");
}

#[test]
fn silence_is_kept() {
    let mut g = gather(&format!(
        "[[silence]]\nclass = \"credential-stuffing\"\nuntil = {}\n[[silence]]\nsubject = \"203.0.113.7\"\n[[silence]]\n",
        NOON + 100
    ));
    assert!(g.hear(&[of("v1", "203.0.113.1", None, 90)], NOON).is_empty());
    assert_eq!(g.hear(&[of("v1", "203.0.113.1", None, 90)], NOON + 100).len(), 1, "until then only");
    assert!(g.hear(&[of("v2", "203.0.113.7", None, 90)], NOON + 200).is_empty());
    let mut quiet = of("v3", "203.0.113.8", None, 90);
    quiet.response = "none".into();
    assert!(g.hear(&[quiet], NOON + 200).is_empty(), "policy does nothing about it");
}

fn sample() -> Alert {
    let mut alert = gather("").hear(&[of("v1", "203.0.113.1", Some("c \"1\"]"), 95)], NOON).remove(0);
    alert.text.push_str("<script> & {noformat} {nofor{noformat}mat} \"quoted\"\nsecond line\n");
    alert
}

fn sink(dir: &tempfile::TempDir, text: &str) -> Sink {
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    let secret = format!("{{ file = \"{}\" }}", dir.path().join("secret").display());
    Sink::new(toml::from_str(&text.replace("SECRET", &secret)).unwrap()).unwrap()
}

/// Path, authorization, signature and body of a request.
type Told = (String, String, String, Value);

#[test]
fn services_are_told_in_their_own_forms() {
    let dir = tempfile::tempdir().unwrap();
    let seen: Arc<Mutex<Vec<Told>>> = Arc::default();
    let shared = Arc::clone(&seen);
    let at = serve(move |r| {
        let entry = (r.path.clone(), r.header("authorization"), r.header("sidetap-signature"), r.json());
        shared.lock().unwrap().push(entry);
        (201, "{}".into())
    });
    let alert = sample();
    for rest in [
        "kind = \"slack\"\n",
        "kind = \"pagerduty\"\nsecret = SECRET\n",
        "kind = \"jira\"\nsecret = SECRET\nuser = \"bot\"\nproject = \"SEC\"\n",
        "kind = \"servicenow\"\nsecret = SECRET\nuser = \"bot\"\n",
        "kind = \"webhook\"\nsecret = SECRET\n",
    ] {
        sink(&dir, &format!("name = \"a\"\nurl = \"http://{at}\"\n{rest}")).send(&alert, wall()).unwrap();
    }
    let seen = seen.lock().unwrap();
    let paths: Vec<&str> = seen.iter().map(|s| s.0.as_str()).collect();
    assert_eq!(paths, ["/", "/v2/enqueue", "/rest/api/2/issue", "/api/now/table/incident", "/"]);
    let [slack, pagerduty, jira, servicenow, webhook] = seen.as_slice() else { unreachable!() };
    assert!(slack.3["blocks"][1]["text"]["text"].as_str().unwrap().contains("&lt;script&gt; &amp;"));
    let event = &pagerduty.3;
    assert_eq!(
        (event["routing_key"].as_str(), event["event_action"].as_str()),
        (Some(SECRET), Some("trigger"))
    );
    assert_eq!(
        (event["payload"]["severity"].as_str(), event["dedup_key"].as_str()),
        (Some("critical"), Some("sidetap-c \"1\"]"))
    );
    let fields = &jira.3["fields"];
    assert_eq!(
        (fields["project"]["key"].as_str(), fields["labels"][1].as_str()),
        (Some("SEC"), Some("c-\"1\"]"))
    );
    let text = fields["description"].as_str().unwrap();
    assert_eq!(text.matches("{noformat}").count(), 2, "nothing in it ends what stands as it is: {text}");
    assert!(jira.1.starts_with("Basic ") && servicenow.1 == jira.1);
    assert_eq!(
        (servicenow.3["urgency"].as_str(), servicenow.3["correlation_id"].as_str()),
        (Some("1"), Some("sidetap-c \"1\"]"))
    );
    assert!(webhook.2.starts_with("v1=") && webhook.3["group"] == "c \"1\"]");
}

#[test]
fn rsyslog_reads_what_is_sent_to_it() {
    let Some(program) = tool("rsyslogd") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (at, port) = (dir.path().display().to_string(), free_port());
    let conf = format!(
        "module(load=\"imtcp\")\nmodule(load=\"imudp\")\ntemplate(name=\"j\" type=\"string\" \
         string=\"%pri%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")\nruleset(name=\"r\") {{ action(type=\"omfile\" file=\"{at}/out\" template=\"j\") }}\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"r\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"r\")\n"
    );
    std::fs::write(dir.path().join("conf"), conf).unwrap();
    let mut command = Command::new(program);
    command.args(["-n", "-f", &format!("{at}/conf"), "-i", &format!("{at}/pid")]);
    let _rsyslog = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    until("rsyslog listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    for scheme in ["tcp", "udp"] {
        let text = format!(
            "name = \"siem\"\nkind = \"syslog\"\nurl = \"{scheme}://127.0.0.1:{port}\"\nhost = \"sensor1\"\n"
        );
        sink(&dir, &text).send(&sample(), wall()).unwrap();
    }
    let out = dir.path().join("out");
    until("both are there", || std::fs::read_to_string(&out).unwrap_or_default().lines().count() == 2);
    for line in std::fs::read_to_string(&out).unwrap().lines() {
        assert!(
            line.starts_with(
                "130|sidetap|alert|[sidetap@32473 group=\"c \\\"1\\\"\\]\" class=\"credential-stuffing\""
            ),
            "{line}"
        );
        assert!(line.contains("second line") && line.contains("credential-stuffing: 1 client"), "{line}");
    }
}

#[test]
fn the_thread_tells_and_says_whom_it_could_not() {
    let dir = tempfile::tempdir().unwrap();
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let shared = Arc::clone(&heard);
    let at = serve(move |r| {
        shared.lock().unwrap().push(r.json());
        (200, "{}".into())
    });
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    let text = format!(
        "[[sink]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"http://{at}/\"\n[[sink]]\nname = \"gone\"\nkind = \"slack\"\nurl = \"http://127.0.0.1:1/\"\n"
    );
    let config: AlertConfig = toml::from_str(&text).unwrap();
    let mut alerter = Alerter::start(&config, Arc::new(wall)).unwrap().unwrap();
    alerter.hear(&[of("v1", "203.0.113.1", Some("c1"), 90), of("v2", "203.0.113.2", None, 30)]);
    let lost = alerter.end();
    assert_eq!((heard.lock().unwrap().len(), lost.len()), (2, 1), "an alert and a digest; {lost:?}");
    assert!(lost[0].starts_with("alerts to gone: cannot be reached"), "{lost:?}");
    assert!(Alerter::start(&AlertConfig::default(), Arc::new(wall)).unwrap().is_none());
}

#[test]
fn an_address_that_is_a_secret_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = serve(|_| (404, "no_service".into()));
    let place = dir.path().join("place");
    std::fs::write(&place, format!("http://{at}/services/T000/B000/hushhush")).unwrap();
    let text =
        format!("name = \"chat\"\nkind = \"slack\"\nurl_secret = {{ file = \"{}\" }}\n", place.display());
    let sink = Sink::new(toml::from_str(&text).unwrap()).unwrap();
    let why = sink.send(&sample(), wall()).unwrap_err();
    assert!(why.to_string().contains("404 no_service"), "{why}");
    assert!(!format!("{why} {why:?}").contains("hushhush"), "{why:?}");
}

#[test]
fn what_was_not_taken_is_sent_again() {
    use std::sync::atomic::{AtomicI64, Ordering};

    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let shared = Arc::clone(&told);
    let mut asked = 0;
    // Away at first, then it asks for time (`Retry-After: 7`), then it takes all but one.
    let at = serve(move |r| {
        asked += 1;
        let group = r.json()["group"].as_str().unwrap_or_default().to_owned();
        let status = match asked {
            1 => 502,
            2 => 429,
            _ if group == "c2" => 400,
            _ => 200,
        };
        if status == 200 {
            shared.lock().unwrap().push(group);
        }
        (status, "{}".into())
    });
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    let text = format!(
        "[[sink]]\nname = \"soc\"\nkind = \"webhook\"\nurl = \"http://{at}/\"\nsecret = {{ file = \"{}\" }}\n",
        dir.path().join("secret").display()
    );
    let time = Arc::new(AtomicI64::new(NOON));
    let clock = Arc::clone(&time);
    let config: AlertConfig = toml::from_str(&text).unwrap();
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let mut alerter = Alerter::start(&config, clock).unwrap().unwrap();
    for (n, campaign) in ["c1", "c2", "c3"].into_iter().enumerate() {
        alerter.hear(&[of(&format!("v{n}"), "203.0.113.1", Some(campaign), 90)]);
    }
    // Each batch that is heard is a look at what waits; time goes on between them.
    for s in 1..12 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        time.store(NOON + s * 100, Ordering::SeqCst);
        alerter.hear(&[]);
    }
    until("the others are told", || told.lock().unwrap().len() == 2);
    assert_eq!(*told.lock().unwrap(), ["c1", "c3"]);
    let lost = alerter.end();
    assert!(lost.len() == 1 && lost[0].contains("400") && lost[0].ends_with("(1 not told)"), "{lost:?}");
}

/// A service that answers each request with the next of these lines and heads, or not at all; tells when it was asked, and for what.
fn answers(lines: &'static [&'static str]) -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    use std::io::{BufRead, BufReader, Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let told = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for (n, stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or_default() <= 2 {
                    break;
                }
                let value = line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned);
                length = value.map_or(length, |v| v.trim().parse().unwrap());
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let group = serde_json::from_slice::<Value>(&body).unwrap_or_default()["group"].clone();
            told.lock().unwrap().push(group.as_str().unwrap_or_default().to_owned());
            let mut stream = reader.into_inner();
            match lines.get(n).unwrap_or(&"200 OK") {
                &"" => silent.push(stream),
                head => {
                    let said = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = stream.write_all(said.as_bytes());
                }
            }
        }
    });
    (at, asked)
}

/// An alerter to this webhook and a chat that always listens, whose clock goes on by the hand of the test.
struct Watched {
    alerter: Alerter,
    time: Arc<std::sync::atomic::AtomicI64>,
    chat: Arc<Mutex<usize>>,
    _dir: tempfile::TempDir,
}

impl Watched {
    fn start(at: std::net::SocketAddr, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), SECRET).unwrap();
        let chat: Arc<Mutex<usize>> = Arc::default();
        let heard = Arc::clone(&chat);
        let chat_at = serve(move |_| {
            *heard.lock().unwrap() += 1;
            (200, "{}".into())
        });
        let text = format!(
            "{more}[[sink]]\nname = \"soc\"\nkind = \"webhook\"\nurl = \"http://{at}/\"\nsecret = {{ file = \"{}\" }}\nhttp = {{ timeout_s = 1 }}\n[[sink]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"http://{chat_at}/\"\n",
            dir.path().join("secret").display()
        );
        let time = Arc::new(std::sync::atomic::AtomicI64::new(NOON));
        let clock = Arc::clone(&time);
        let clock = Arc::new(move || clock.load(std::sync::atomic::Ordering::SeqCst));
        let config: AlertConfig = toml::from_str(&text).unwrap();
        Watched { alerter: Alerter::start(&config, clock).unwrap().unwrap(), time, chat, _dir: dir }
    }

    fn hear(&mut self, n: u8) {
        let (id, ip, campaign) = (format!("v{n}"), format!("203.0.113.{n}"), format!("c{n}"));
        self.alerter.hear(&[of(&id, &ip, Some(&campaign), 90)]);
    }

    /// So many seconds after noon, each batch that is heard is a look at what waits.
    fn at(&mut self, seconds: i64) {
        self.time.store(NOON + seconds, std::sync::atomic::Ordering::SeqCst);
        (0..3).for_each(|_| {
            self.alerter.hear(&[]);
            std::thread::sleep(std::time::Duration::from_millis(30));
        });
    }
}

#[test]
fn a_sink_that_fails_is_asked_ever_later_and_told_once() {
    let (at, asked) = answers(&["500 Oops", "", "503 Busy", "500 Oops"]);
    let mut watched = Watched::start(at, "budget_per_day = 2\n");
    (1..4).for_each(|n| watched.hear(n));
    let count = || asked.lock().unwrap().len();
    until("it is asked", || count() == 1);
    // Ten seconds, then twice as long each time; what takes too long to answer is no other failure.
    for (early, due, times) in [(8, 11, 2), (28, 35, 3), (70, 80, 4), (150, 165, 7)] {
        watched.at(early);
        assert_eq!(
            count(),
            if times == 7 { 4 } else { times - 1 },
            "it is not asked before its time ({early} s)"
        );
        watched.at(due);
        until(&format!("it is asked at {due} s"), || count() == times);
    }
    until("others hear meanwhile", || *watched.chat.lock().unwrap() == 3);
    assert_eq!(
        *asked.lock().unwrap(),
        ["c1", "c1", "c1", "c1", "c1", "c2", "budget"],
        "in order, each told once"
    );
    // A try is no alert of its own: the third is over the budget and comes with the digest.
    watched.at(3_700);
    until("the digest is told", || count() == 8);
    assert_eq!(asked.lock().unwrap().iter().filter(|g| *g == "c3").count(), 0);
    assert_eq!(watched.alerter.end(), Vec::<String>::new(), "all are told");
}

#[test]
fn a_sink_that_says_when_is_not_asked_before() {
    let (at, asked) = answers(&["429 Slow\r\nRetry-After: 3600"]);
    let mut watched = Watched::start(at, "");
    watched.hear(1);
    let count = || asked.lock().unwrap().len();
    until("it is asked", || count() == 1);
    for seconds in [11, 601, 1_300, 3_590] {
        watched.at(seconds);
        assert_eq!(count(), 1, "it said when, and it is {seconds} s");
    }
    watched.at(3_601);
    until("it is told", || count() == 2);
    assert_eq!(watched.alerter.end(), Vec::<String>::new());
}
