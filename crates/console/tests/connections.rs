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
    let long = "a".repeat(64 << 10);
    let answer = served.raw(&format!("GET /{long} HTTP/1.1\r\nHost: {}\r\n\r\n", served.to)).await;
    assert!([414, 431].contains(&answer.status), "{}", answer.status);
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
