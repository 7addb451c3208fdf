//! Mirrors of which each port shows one direction.

use super::*;

/// An optical tap shows what each side sends at a port of its own.
#[test]
fn each_direction_at_a_port_of_its_own_makes_whole_exchanges() {
    let Some(net) = Net::make("a tap", &["nginx", "wrk", "ss", "sysctl"]) else { return };
    let place = Place::new();
    let (hub, server) = (net.space("h"), net.space("s"));
    net.must(&format!("-n {hub} link add br1 type bridge ageing_time 0"));
    net.must(&format!("-n {hub} link set br1 up"));
    for (space, end) in [("c", "back0"), ("s", "back0"), ("m", "second0")] {
        net.plug_to("br1", space, end);
    }
    // The server answers by the other bridge.
    for of in ["all", "default", "back0"] {
        net.output("c", &["sysctl", "-qw", &format!("net.ipv4.conf.{of}.rp_filter=0")]);
    }
    let mac = net.output("c", &["cat", "/sys/class/net/back0/address"]);
    net.must(&format!("-n {server} route add {CLIENT}/32 dev back0 src {SERVER}"));
    net.must(&format!("-n {server} neigh replace {CLIENT} lladdr {} dev back0", mac.trim()));
    let _nginx = net.nginx(&place);
    let watch = net.watch(&place, &["-i", PORT, "-i", "second0", "--exchanges"]);
    wrk(&net, &place, 3, 0, 20);
    let answered: u64 = net.answered(&place).values().sum();
    assert_eq!(watch.stop(), 0, "{}", log(&place));
    let summary = json(&place.path("run/summary.json"));
    let (ports, exchanges) = (&summary["inputs"], &summary["exchanges"]);
    assert!((0..2).all(|i| n(&ports[i]["packets"]) > answered), "{ports}");
    assert!(answered > 100 && n(&summary["packets"]["kernel_dropped"]) == 0);
    let complete = n(&exchanges["complete"]);
    assert!(complete.abs_diff(answered) <= CONNECTIONS, "{complete} of {answered}: {exchanges}");
}
