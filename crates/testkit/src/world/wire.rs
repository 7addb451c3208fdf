//! The bytes of requests and answers.

use std::io::Write;
use std::net::IpAddr;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::ask::Ask;
use super::site::Resp;
use crate::Rng;

/// The request with its head lines in the client's order.
pub(crate) fn request(ask: &Ask, lines: &[(String, String)], forged: Option<String>) -> Vec<u8> {
    let mut out = format!("{} {} HTTP/1.1\r\n", ask.method, ask.target).into_bytes();
    for (name, value) in lines {
        push_line(&mut out, name, value);
    }
    if let Some(claim) = forged {
        push_line(&mut out, "X-Forwarded-For", &claim);
    }
    out.extend_from_slice(b"\r\n");
    if let Some((_, body)) = &ask.body {
        out.extend_from_slice(body);
    }
    out
}

/// What the CDN makes of a request: it appends the client to X-Forwarded-For and says who it is.
pub(crate) fn through_edge(request: &[u8], client: IpAddr, rng: &mut Rng) -> Vec<u8> {
    let end = request.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
    let (head, rest) = request.split_at(end);
    let mut forwarded = client.to_string();
    let mut out = Vec::with_capacity(request.len() + 160);
    for (n, line) in String::from_utf8_lossy(head).split("\r\n").enumerate() {
        let lower = line.to_ascii_lowercase();
        if let Some(claim) = lower.strip_prefix("x-forwarded-for: ") {
            forwarded = format!("{claim}, {client}");
        } else if !lower.starts_with("connection:") {
            out.extend_from_slice(if n == 0 { b"" } else { b"\r\n" });
            out.extend_from_slice(line.as_bytes());
        }
    }
    let added = format!(
        "\r\nX-Forwarded-For: {forwarded}\r\nX-Forwarded-Proto: https\r\nVia: 2.0 {}.edge.brightcdn.example\r\nCDN-Loop: brightcdn\r\nX-Edge-Request-Id: {}",
        rng.pick(&["fra", "ams", "lhr", "iad"]),
        rng.hex(24)
    );
    out.extend_from_slice(added.as_bytes());
    out.extend_from_slice(rest);
    out
}

/// The answer as the server writes it; `packs` where the client takes gzip.
pub(crate) fn response(resp: &Resp, head_only: bool, packs: bool, date: String) -> Vec<u8> {
    let mut out = format!(
        "HTTP/1.1 {} {}\r\nServer: harbor-proxy\r\nDate: {date}\r\n",
        resp.status,
        reason(resp.status)
    )
    .into_bytes();
    let packed = packs && resp.body.len() > PACKS_FROM && !resp.content_type.starts_with("image/");
    let body = if packed { gzip(&resp.body) } else { resp.body.clone() };
    if !resp.content_type.is_empty() {
        push_line(&mut out, "Content-Type", resp.content_type);
    }
    if packed {
        push_line(&mut out, "Content-Encoding", "gzip");
        push_line(&mut out, "Vary", "Accept-Encoding");
    }
    for (name, value) in &resp.headers {
        push_line(&mut out, name, value);
    }
    let chunked = resp.chunked && !body.is_empty();
    if chunked {
        push_line(&mut out, "Transfer-Encoding", "chunked");
    } else if resp.status != 204 && resp.status != 304 {
        push_line(&mut out, "Content-Length", &body.len().to_string());
    }
    out.extend_from_slice(b"\r\n");
    if head_only {
        return out;
    }
    if chunked {
        for part in body.chunks(2048) {
            out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            out.extend_from_slice(part);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    } else {
        out.extend_from_slice(&body);
    }
    out
}

fn push_line(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The bytes in gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        422 => "Unprocessable Content",
        425 => "Too Early",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        _ => "Unknown",
    }
}

/// Bodies longer than this go out in gzip, where the client takes it.
const PACKS_FROM: usize = 1500;
