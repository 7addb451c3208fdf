//! What reaches the socket: other sites' pages, heads without end, very many and very slow clients.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{PASSWORD, serve, serve_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn another_sites_page_cannot_read_it_and_pages_can_do_little() {
    let served = serve().await.with_admin().await;
    let port = served.to.port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1:1".to_owned()] {
        assert_eq!(
            served
                .raw(&format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
                .await
                .status,
            421
        );
    }
    let two =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nHost: {}\r\nConnection: close\r\n\r\n", served.to);
    assert_eq!(served.raw(&two).await.status, 400);
    for host in [format!("localhost:{port}"), format!("sensor.example:{port}")] {
        let answer =
            served.raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, 200, "{host}");
        for line in [
            "default-src 'none'; script-src 'self'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
        ] {
            assert!(answer.has(line), "{line}: {}", answer.head);
        }
        assert!(!answer.has("access-control-allow-origin") && !answer.has("unsafe-inline"));
    }
    let cross = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        served.to
    );
    assert_eq!(served.raw(&cross).await.status, 415, "a form of another site cannot send JSON");
}

#[tokio::test]
async fn heads_without_end_are_cut_off() {
    let served = serve().await;
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = served.raw(&format!("GET / HTTP/1.1\r\nHost: {}\r\n{many}\r\n", served.to)).await;
    assert_eq!(answer.status, 431);
    is_problem(&answer, 431, "head-too-large");
    let long = "a".repeat(64 << 10);
    let answer = served.raw(&format!("GET /{long} HTTP/1.1\r\nHost: {}\r\n\r\n", served.to)).await;
    is_problem(&answer, 431, "head-too-large");
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_a_problem_too() {
    let served = serve().await;
    for odd in [
        "SSH-2.0-x\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01",
    ] {
        is_problem(&served.raw(odd).await, 400, "bad-request");
    }
    // Behind one that can be read, whose own answer stays what it is.
    let both = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\nwhat?\r\n\r\n", served.to);
    let mut stream = TcpStream::connect(served.to).await.unwrap();
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    let second = said.find("HTTP/1.1 400 Bad Request\r\n").unwrap();
    assert!(said[second..].contains("urn:sidetap:problem:bad-request"), "{said}");
    // An answer of our own that says what is wrong is not replaced.
    let own = served.raw("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    is_problem(&own, 400, "host");
}

#[tokio::test]
async fn who_still_sends_a_long_head_reads_the_answer() {
    let served = serve().await;
    let head = format!("GET / HTTP/1.1\r\nHost: {}\r\n", served.to);
    let stream = TcpStream::connect(served.to).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let sending = tokio::spawn(async move {
        to.write_all(head.as_bytes()).await.unwrap();
        let line = format!("X: {}\r\n", "y".repeat(4_000));
        for _ in 0..200 {
            if to.write_all(line.as_bytes()).await.is_err() {
                break;
            }
        }
    });
    let mut said = String::new();
    from.read_to_string(&mut said).await.unwrap();
    sending.await.unwrap();
    assert!(
        said.starts_with("HTTP/1.1 431 ") && said.contains("urn:sidetap:problem:head-too-large"),
        "{said}"
    );
}

fn is_problem(answer: &common::Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.head);
    assert!(answer.has("content-type: application/problem+json"), "{}", answer.head);
    assert!(answer.has("x-content-type-options: nosniff"), "{}", answer.head);
    assert_eq!(answer.json()["type"], format!("urn:sidetap:problem:{kind}"));
    assert_eq!(answer.json()["status"], status);
}

#[tokio::test]
async fn one_address_does_not_take_up_all_connections() {
    let served = serve().await;
    let mut open = Vec::new();
    for _ in 0..300 {
        open.push(TcpStream::connect(served.to).await.unwrap());
    }
    // Those above its share are closed without a word; who comes from elsewhere is answered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(served.to).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.to);
    other.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut closed = 0;
    for stream in &mut open {
        let mut byte = [0];
        closed += u32::from(matches!(stream.try_read(&mut byte), Ok(0)));
        if closed == 0 {
            // The kernel may not have told yet.
            let wait = std::time::Duration::from_millis(1);
            closed +=
                u32::from(matches!(tokio::time::timeout(wait, stream.read(&mut byte)).await, Ok(Ok(0))));
        }
    }
    assert!(closed >= 1, "{closed} of 300 were closed");
}

#[tokio::test]
async fn who_sends_slowly_or_nothing_makes_way_for_who_asks() {
    let served = serve_with(|options| options.connections = 24).await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let mut stream = admin.open("/api/v1/events").await;
    stream.until("text/event-stream").await;
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n",
        served.to
    );
    let mut slow = Vec::new();
    for n in 0..120 {
        let mut one = TcpStream::connect(served.to).await.unwrap();
        let sent = match n % 3 {
            0 => String::new(),
            1 => head.clone(),
            _ => format!("{head}\r\n{{"),
        };
        let _ = one.write_all(sent.as_bytes()).await;
        slow.push(one);
        if n % 10 == 9 {
            assert_eq!(served.get("/healthz").await.status, 200, "after {n} others");
        }
    }
    assert_eq!(admin.get("/api/v1/findings?limit=1").await.status, 200);
    served.save_finding(900);
    stream.until("event: changed").await;
}

#[tokio::test]
async fn a_target_that_names_another_host_is_refused_whatever_the_field_says() {
    let served = serve().await;
    let ask = async |target: &str| {
        served
            .raw(&format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.to))
            .await
    };
    let own = format!("http://{}/healthz", served.to);
    assert_eq!((ask("/healthz").await.status, ask(&own).await.status), (200, 200));
    let other = ask("http://evil.example/healthz").await;
    assert_eq!((other.status, other.problem().as_str()), (421, "urn:sidetap:problem:host"));
}
