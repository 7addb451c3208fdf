//! Where the console listens: on this machine alone unless it is told otherwise, and elsewhere by TLS alone. Needs root, openssl and curl.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "common/mod.rs"]
mod common;
#[path = "common/net.rs"]
mod net;

use std::process::Stdio;

use common::{Ended, Place, ended};
use net::{Net, PORT, Running, find, until};

/// An address of the sensor that the others can reach.
const SENSOR: &str = "10.91.0.9";
const STORE: [&str; 4] = ["--store", "db/s.db", "--hash-key", "key"];
const OTHER: &str = "10.91.0.9:8642";

/// What listens on the sensor, of any kind.
fn listening(net: &Net) -> Vec<String> {
    let all = net.output("m", &["ss", "-Hlntu"]);
    all.lines().map(|l| l.split_whitespace().nth(4).unwrap_or_default().to_owned()).collect()
}

/// What a machine gets of the console at an address; nothing where nobody listens there.
fn got(net: &Net, from: &str, url: &str) -> Option<String> {
    let mut curl = net.at(from, &find("curl").unwrap());
    let out = curl.args(["-sk", "-m", "10", &format!("{url}/healthz")]).output().unwrap();
    out.status.success().then(|| String::from_utf8(out.stdout).unwrap())
}

fn serve(net: &Net, place: &Place, args: &[&str]) -> Running {
    let mut command = net.at("m", env!("CARGO_BIN_EXE_sidetap").as_ref());
    command.arg("serve").args(STORE).args(args).current_dir(place.path("."));
    command.env("HOME", place.path(".")).stdout(Stdio::null());
    command.stderr(std::fs::File::create(place.path("log.txt")).unwrap());
    let running = Running(Some(command.spawn().unwrap()));
    until("the server says where it listens", || log(place).contains("console: http"));
    running
}

fn log(place: &Place) -> String {
    std::fs::read_to_string(place.path("log.txt")).unwrap()
}

/// How a command on the sensor ends that is not to begin.
fn refused(net: &Net, place: &Place, args: &[&str]) -> Ended {
    let mut command = net.at("m", env!("CARGO_BIN_EXE_sidetap").as_ref());
    command.args(args).args(STORE).current_dir(place.path(".")).env("HOME", place.path("."));
    ended(command.output().unwrap())
}

#[test]
fn only_this_machine_is_listened_to_unless_another_address_is_named_and_that_only_by_tls() {
    let Some(net) = Net::make("where the console listens", &["openssl", "ss", "curl"]) else { return };
    net.must(&format!("-n {} addr add {SENSOR}/24 dev {PORT}", net.space("m")));
    let place = Place::new();
    std::fs::create_dir(place.path("db")).unwrap();
    let alone = |what: &str| {
        until("somebody listens", || !listening(&net).is_empty());
        assert_eq!(listening(&net), ["127.0.0.1:8642"], "{what}");
        assert_eq!(got(&net, "m", "http://127.0.0.1:8642").as_deref(), Some("ok\n"), "{what}");
        assert_eq!(got(&net, "c", &format!("http://{OTHER}")), None, "{what}");
        assert!(log(&place).contains("console: http://127.0.0.1:8642/"), "{what}: {}", log(&place));
    };
    let watch = net.watch(&place, &["-i", PORT, "--store", "db/s.db"]);
    alone("watch");
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    let server = serve(&net, &place, &[]);
    alone("serve");
    assert_eq!(server.stop(), 0, "{}", log(&place));

    for address in [OTHER, "0.0.0.0:8642", "[::]:8642"] {
        for command in [&["serve"][..], &["watch", "-i", PORT]] {
            let end = refused(&net, &place, &[command, &["--listen", address]].concat());
            assert_eq!(end.code, 2, "{command:?} {address}: {}", end.stderr);
            assert!(end.stderr.contains("listens on loopback only"), "{}", end.stderr);
        }
        place.write("sidetap.toml", format!("[console]\nlisten = \"{address}\"\n").as_bytes());
        let end = refused(&net, &place, &["serve"]);
        assert!(end.code != 0 && end.stderr.contains("listens on loopback only"), "{}", end.stderr);
        std::fs::remove_file(place.path("sidetap.toml")).unwrap();
    }
    assert_eq!(listening(&net), [""; 0]);

    let made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sensor -keyout key.pem -out certificate.pem";
    let mut openssl = std::process::Command::new(find("openssl").unwrap());
    let made = openssl.args(made.split(' ')).current_dir(place.path(".")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    place.write("sidetap.toml", b"[console]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n");
    let server = serve(&net, &place, &["--listen", OTHER]);
    assert_eq!(listening(&net), [OTHER]);
    assert!(log(&place).contains(&format!("console: https://{OTHER}/")), "{}", log(&place));
    assert_eq!(got(&net, "c", &format!("https://{OTHER}")).as_deref(), Some("ok\n"));
    assert_eq!(got(&net, "c", &format!("http://{OTHER}")), None, "nothing goes in the clear");
    assert_eq!(server.stop(), 0, "{}", log(&place));
}
