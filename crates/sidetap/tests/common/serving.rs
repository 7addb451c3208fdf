//! The console as `sidetap serve` has it, with an administrator logged in.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::common::Place;

/// A console that is served.
pub(crate) struct Serving {
    child: Child,
    address: String,
    cookie: String,
    csrf: String,
}

impl Serving {
    /// Serves a store and makes the administrator.
    pub(crate) fn start(place: &Place, store: &str) -> Self {
        let mut command =
            place.command(&["serve", "--store", store, "--hash-key", "key", "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut line = || said.next().unwrap().unwrap();
        let (first, second) = (line(), line());
        let address = first.trim().trim_start_matches("console: http://").trim_end_matches('/').to_owned();
        let token = second.rsplit(' ').next().unwrap().to_owned();
        // What it says later is read, so that it never waits to say it.
        std::thread::spawn(move || said.for_each(drop));
        let mut serving = Serving { child, address, cookie: String::new(), csrf: String::new() };
        let body = json!({"token": token, "name": "anna", "password": "correct horse battery"});
        let (head, body) = serving.ask("POST", "/setup", &body);
        assert!(head.starts_with("HTTP/1.1 201"), "{head} {body}");
        let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).unwrap();
        serving.cookie = cookie.split(';').next().unwrap().to_owned();
        serving.csrf =
            serde_json::from_str::<Value>(&body).unwrap()["csrf"].as_str().unwrap_or_default().to_owned();
        serving
    }

    /// What a path of the API answers.
    pub(crate) fn get(&self, path: &str) -> String {
        let (head, body) = self.ask("GET", path, &Value::Null);
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head} {body}");
        body
    }

    /// Status and body of what is changed by the API.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let (head, body) = self.ask(method, path, body);
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (String, String) {
        let path = if path.starts_with("/report") { path.to_owned() } else { format!("/api/v1{path}") };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {}\r\nX-Sidetap-CSRF: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.cookie,
            self.csrf,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        (head.to_owned(), if chunked { unchunked(body) } else { body.to_owned() })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unchunked(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let n = usize::from_str_radix(size, 16).unwrap_or(0);
        let Some(part) = rest.get(..n).filter(|_| n > 0) else { break };
        out.push_str(part);
        body = rest.get(n + 2..).unwrap_or_default();
    }
    out
}
