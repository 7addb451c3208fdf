use std::net::SocketAddr;

use sidetap_mitigation::Connector;
use sidetap_mitigation::modsecurity::ModsecurityConnector;

use crate::nginx::Nginx;
use crate::rig::{
    Rig, acts, contract, holds_at_places, holds_for_the_hosts_there_are, lets_go_unheard, many, measure,
};
use crate::support::{ask_at, get, gone, out_of_reach, skip, with_hosts};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";

/// nginx with ModSecurity and the OWASP core rule set.
struct Modsecurity(Nginx);

impl Modsecurity {
    fn start() -> Option<Self> {
        for needed in [MODULE, "/etc/modsecurity/crs/crs-setup.conf"] {
            if !std::path::Path::new(needed).exists() {
                skip(&format!("{needed} is not installed"));
                return None;
            }
        }
        let documented = include_str!("../../../../docs/connectors/modsecurity.conf");
        let text = format!(
            "load_module {MODULE};\nevents {{}}\nhttp {{\n    set_real_ip_from 127.0.0.1;\n    real_ip_header X-Forwarded-For;\n\
             modsecurity on;\n    modsecurity_rules_file /etc/nginx/sidetap/rules.conf;\n\
             server {{\n        listen 80;\n        {}\n        location / {{ proxy_pass http://127.0.0.1:9000; }}\n    }}\n}}\n",
            documented.lines().find_map(|l| l.strip_prefix("#     ")).unwrap()
        );
        let rules = with_hosts(documented);
        let nginx = Nginx::with(
            &text,
            &[("blocked.data", ""), ("modsecurity-places.conf", ""), ("rules.conf", &rules)],
        )?;
        Some(Modsecurity(nginx))
    }

    fn connector_of(&self, data: &str) -> ModsecurityConnector {
        let text = format!(
            "data = \"{}\"\nplaces = \"{}\"\naddress = \"forwarded\"\ncapacity = 100\nmin_interval_s = 0\ntest = {:?}\nreload = {:?}\n\
             canary = {{ url = \"http://{}/\", host = \"shop.example\" }}\n",
            self.0.file(data).display(),
            self.0
                .file(if data == "blocked.data" { "modsecurity-places.conf" } else { "other.conf" })
                .display(),
            self.0.command(&["-t", "-q"]),
            self.0.command(&["-s", "reload"]),
            self.0.to,
        );
        ModsecurityConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap()
    }
}

impl Rig for Modsecurity {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("blocked.data"))
    }

    fn request(&self, from: &str) -> u16 {
        get(self.0.to, from, &[("User-Agent", "Mozilla/5.0"), ("Accept", "*/*")]).0
    }

    fn door(&self) -> Option<SocketAddr> {
        Some(self.0.to)
    }

    fn request_at(&self, from: &str, method: &str, host: &str, path: &str) -> u16 {
        ask_at(self.0.to, from, (method, host, path), "x")
    }

    fn flush(&mut self) {
        std::fs::write(self.0.file("blocked.data"), "").unwrap();
        std::fs::write(self.0.file("modsecurity-places.conf"), "").unwrap();
    }

    fn add_foreign(&mut self) -> bool {
        let path = self.0.file("blocked.data");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("# of our own\n192.0.2.200\n{text}")).unwrap();
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        std::fs::read_to_string(self.0.file("blocked.data")).unwrap().contains("# of our own\n192.0.2.200\n")
    }

    fn away(&mut self, away: bool) -> bool {
        out_of_reach(&self.0.file("blocked.data"), away);
        true
    }

    fn break_next(&mut self) -> bool {
        std::fs::write(self.0.file("fail"), "").unwrap();
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other.data")))
    }
}

#[test]
fn lets_go_while_nobody_hears() {
    let Some(device) = Modsecurity::start() else { return };
    let files = ["blocked.data", "modsecurity-places.conf"].map(|f| device.0.file(f));
    lets_go_unheard(device, |d: &Modsecurity, silent| gone(&d.0.file("gone"), silent), &files);
}

#[test]
fn keeps_the_contract() {
    let Some(device) = Modsecurity::start() else { return };
    contract(device);
}

#[test]
fn answers_for_the_hosts_of_the_site_only() {
    let Some(device) = Modsecurity::start() else { return };
    holds_for_the_hosts_there_are(device);
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(device) = Modsecurity::start() else { return };
    holds_at_places(device);
}

#[test]
fn acts_on_requests_beside_the_core_rule_set() {
    let Some(device) = Modsecurity::start() else { return };
    let attack = [
        ("User-Agent", "Mozilla/5.0"),
        ("Accept", "*/*"),
        ("X-Try", "' OR 1=1 UNION SELECT password FROM users --"),
    ];
    let _ = get(device.0.to, "198.51.100.9", &attack);
    acts(device);
}

#[test]
fn a_line_that_is_no_address_is_told_and_nothing_is_written() {
    let Some(device) = Modsecurity::start() else { return };
    std::fs::write(device.0.file("blocked.data"), "not an address\n").unwrap();
    let mut connector = device.connector();
    let observed = connector.observe(crate::support::wall()).unwrap();
    let wanted = [crate::rig::entry("192.0.2.1", sidetap_policy::Response::Block)];
    let plan = sidetap_mitigation::plan(&wanted, &observed, &[], connector.sees());
    let error = connector.apply(&plan, crate::support::wall()).unwrap_err();
    assert!(error.to_string().contains("`not an address` is no address"), "{error}");
}

#[test]
#[ignore = "measures"]
fn measure_effect() {
    let Some(device) = Modsecurity::start() else { return };
    measure(device, 10);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Modsecurity::start() else { return };
    many(device);
}
