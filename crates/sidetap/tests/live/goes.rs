//! Interfaces that go, come back, and get other names.

use super::*;

#[test]
fn an_interface_that_goes_and_comes_back_is_read_again() {
    let Some(net) = Net::make("an interface that goes", &["nginx", "wrk", "ss"]) else { return };
    for fanout in ["1", "2"] {
        let place = Place::new();
        let nginx = net.nginx(&place);
        let watch = net.watch(&place, &["-i", PORT, "--exchanges", "--fanout", fanout]);
        wrk(&net, &place, 1, 0, 20);
        let mirror = net.space("m");
        net.must(&format!("-n {mirror} link set {PORT} down"));
        until("it is said", || log(&place).contains("mirror0 went down"));
        net.must(&format!("-n {mirror} link set {PORT} up"));
        until("it is said", || log(&place).contains("mirror0 is up again"));
        let first = net.answered(&place).values().sum::<u64>();
        wrk(&net, &place, 1, 0, 20);
        net.must(&format!("-n {mirror} link del {PORT}"));
        until("it is said", || log(&place).contains("mirror0 was removed"));
        let second = net.answered(&place).values().sum::<u64>();
        std::thread::sleep(Duration::from_millis(600));
        net.plug("m", PORT);
        until("it is said", || log(&place).contains("mirror0 is back"));
        wrk(&net, &place, 1, 0, 20);
        assert_eq!(watch.stop(), 0, "{}", log(&place));
        let third = net.answered(&place).values().sum::<u64>();
        assert!(0 < first && first < second && second < third);
        let summary = json(&place.path("run/summary.json"));
        assert_eq!(summary["inputs"][0]["reopened"], 1);
        let complete = n(&summary["exchanges"]["complete"]);
        assert!(complete.abs_diff(third) <= 3 * CONNECTIONS, "{complete} of {third}\n{}", log(&place));
        assert_eq!(log(&place).matches("was removed").count(), 1, "{}", log(&place));
        drop(nginx);
    }
}

#[test]
fn an_interface_of_another_name_and_all_at_once_are_read_on() {
    let Some(net) = Net::make("an interface that is renamed", &["nginx", "wrk", "ss"]) else { return };
    let (place, mirror) = (Place::new(), net.space("m"));
    let _nginx = net.nginx(&place);
    let mut before = 0;
    for (interface, from, to) in [(PORT, PORT, "renamed0"), ("any", "renamed0", PORT)] {
        let watch = net.watch(&place, &["-i", interface, "--exchanges"]);
        wrk(&net, &place, 1, 0, 20);
        net.must(&format!("-n {mirror} link set {from} down"));
        net.must(&format!("-n {mirror} link set {from} name {to}"));
        net.must(&format!("-n {mirror} link set {to} up"));
        wrk(&net, &place, 1, 0, 20);
        assert_eq!(watch.stop(), 0, "{}", log(&place));
        assert!(!log(&place).contains("removed"), "{}", log(&place));
        assert!(log(&place).matches("called renamed0").count() <= 1, "{}", log(&place));
        assert_eq!(log(&place).contains("called renamed0 now"), interface == PORT, "{}", log(&place));
        let all: u64 = net.answered(&place).values().sum();
        let (answered, complete) =
            (all - before, n(&json(&place.path("run/summary.json"))["exchanges"]["complete"]));
        before = all;
        assert!(answered > 100 && answered.abs_diff(complete) <= 2 * CONNECTIONS, "{complete} of {answered}");
    }
}

#[test]
fn an_interface_that_stays_away_is_said_and_nothing_is_lost() {
    let Some(net) = Net::make("an interface that stays away", &["nginx", "wrk", "ss"]) else { return };
    let place = Place::new();
    let _nginx = net.nginx(&place);
    net.plug("m", "second0");
    let watch = net.watch(&place, &["-i", PORT, "-i", "second0", "--filter", "tcp"]);
    wrk(&net, &place, 1, 0, 20);
    let answered: u64 = net.answered(&place).values().sum();
    std::thread::sleep(Duration::from_millis(500));
    net.must(&format!("-n {} link del {PORT}", net.space("m")));
    until("it is said", || log(&place).contains("mirror0 was removed"));
    assert_eq!(watch.stop(), 3, "{}", log(&place));
    let summary = json(&place.path("run/summary.json"));
    assert!(summary["inputs"][0]["error"].as_str().unwrap().contains("gone"));
    assert!(summary["inputs"][1]["error"].is_null());
    assert!(n(&summary["inputs"][0]["packets"]) > 0 && n(&summary["inputs"][1]["packets"]) > 0);
    // Both ports show the same frames: each exchange is one.
    let complete = n(&summary["exchanges"]["complete"]);
    assert!(complete.abs_diff(answered) <= CONNECTIONS, "{complete} of {answered}");
}
