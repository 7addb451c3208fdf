//! A shop with its people, and somebody who tries stolen passwords there, as packets.
#![allow(dead_code)]

use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::{Conversation, Framing, LinkKind, Packet, PcapForm, pcap_bytes};

use super::common::Place;

const BROWSER: &str = "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36\r\n\
                       Accept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n";

/// A capture that begins at `start` seconds.
pub(crate) struct Site {
    start: i64,
    port: u16,
    packets: Vec<Packet>,
}

impl Site {
    pub(crate) fn new(start: i64) -> Self {
        Site { start, port: 20_000, packets: Vec::new() }
    }

    /// Requests of one client on one connection, half a second apart from `ms` on, with status, kind and body of their answers.
    pub(crate) fn talk(&mut self, ip: &str, ms: i64, asked: &[(String, u16, &str, &str)]) {
        let addr = |ip: &str, port| Addr { ip: ip.parse().unwrap(), port };
        self.port = self.port.wrapping_add(1).max(20_000);
        let ends = (addr(ip, self.port), addr("198.51.100.1", 80));
        let mut talk = Conversation::new(ends.0, ends.1, Framing::default(), u64::from(self.port));
        let mut at = Ts::from_parts(self.start, 0).plus(ms * 1_000_000);
        at = talk.open(at, 0, &mut self.packets);
        for (request, status, kind, body) in asked {
            talk.send(at, Direction::Up, request.as_bytes(), 1000, &mut self.packets);
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            talk.send(at.plus(20_000_000), Direction::Down, answer.as_bytes(), 1000, &mut self.packets);
            at = at.plus(500_000_000);
        }
        talk.close(at, Direction::Up, 0, &mut self.packets);
    }

    /// A person who opens the shop, logs in and looks at the orders.
    pub(crate) fn person(&mut self, n: u32, ms: i64) {
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\n{BROWSER}\r\n")
        };
        let login = login(&format!("person{n}"));
        let mut asked = vec![(get("/"), 200, "text/html", "<html></html>")];
        for asset in ["/a.js", "/b.css", "/c.png"] {
            asked.push((get(asset), 200, if asset.ends_with("png") { "image/png" } else { "text/css" }, "x"));
        }
        if n.is_multiple_of(9) {
            asked.push((login.clone(), 401, "application/json", "{\"error\":\"wrong\"}"));
        }
        asked.push((login, 200, "application/json", "{\"token\":\"t\"}"));
        asked.push((get("/api/orders"), 200, "application/json", "{\"orders\":[]}"));
        self.talk(&format!("20.1.{}.{}", n / 200, 1 + n % 200), ms, &asked);
    }

    /// One address after the other tries one stolen password, with the head of the shop's own page.
    pub(crate) fn stuffing(&mut self, tries: u32) {
        for n in 0..tries {
            let ip = format!("20.7.{}.{}", n / 200, 1 + n % 200);
            let (status, body) =
                if n % 50 == 49 { (200, "{\"token\":\"t\"}") } else { (401, "{\"error\":\"wrong\"}") };
            let asked = [(login(&format!("victim{n}")), status, "application/json", body)];
            self.talk(&ip, i64::from(n) * 600, &asked);
        }
    }

    /// The capture as a file.
    pub(crate) fn write(mut self, place: &Place, name: &str) -> String {
        self.packets.sort_by_key(|p| p.ts);
        let bytes = pcap_bytes(&self.packets, LinkKind::Ethernet, PcapForm::default());
        place.write(name, &bytes).display().to_string()
    }
}

/// A login as the shop's page sends it.
pub(crate) fn login(user: &str) -> String {
    let body = format!("{{\"username\":\"{user}\",\"password\":\"secret-{user}\"}}");
    format!(
        "POST /api/login HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\nContent-Length: {}\r\n{BROWSER}Content-Type: application/json\r\nOrigin: http://shop.example\r\n\r\n{body}",
        body.len()
    )
}
