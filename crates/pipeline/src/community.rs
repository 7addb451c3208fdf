use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sidetap_model::{Addr, FlowKey};

/// The Community ID (version 1, seed 0) of a TCP flow, as Zeek, Suricata and Arkime write it.
pub(crate) fn community_id(flow: &FlowKey) -> String {
    let (a, b) = ordered(flow.client, flow.server);
    let mut h = Sha1::new();
    h.update([0, 0]);
    update_ip(&mut h, a.ip);
    update_ip(&mut h, b.ip);
    h.update([6, 0]);
    h.update(a.port.to_be_bytes());
    h.update(b.port.to_be_bytes());
    format!("1:{}", STANDARD.encode(h.finalize()))
}

fn ordered(a: Addr, b: Addr) -> (Addr, Addr) {
    if (a.ip, a.port) <= (b.ip, b.port) { (a, b) } else { (b, a) }
}

fn update_ip(h: &mut Sha1, ip: IpAddr) {
    match ip {
        IpAddr::V4(v) => h.update(v.octets()),
        IpAddr::V6(v) => h.update(v.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_specification_s_example() {
        let addr = |ip: &str, port| Addr { ip: ip.parse().unwrap(), port };
        let flow =
            FlowKey { zone: 0, client: addr("128.232.110.120", 34855), server: addr("66.35.250.204", 80) };
        assert_eq!(community_id(&flow), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
    }
}
