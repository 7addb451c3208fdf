//! Over TLS, with a certificate and key of its own: what is said goes encrypted, and the session's cookie over nothing else.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{PASSWORD, serve_with};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const NAMES: &str = "[req]\ndistinguished_name = dn\nx509_extensions = of\nprompt = no\n[dn]\nCN = sensor.example\n[of]\n\
subjectAltName = DNS:sensor.example\nbasicConstraints = critical, CA:FALSE\n";

/// Makes a certificate for `sensor.example`, signed by nobody else, and its key.
fn make_certificate(dir: &Path) {
    std::fs::write(dir.join("names"), NAMES).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-config", "names", "-keyout", "key.pem", "-out", "certificate.pem"]);
    let made = openssl.current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn its_own_files_serve_tls_and_the_session_goes_over_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    make_certificate(dir.path());
    let file = |name: &str| dir.path().join(name);
    let served = serve_with(|o| o.tls = Some((file("certificate.pem"), file("key.pem")))).await;
    let mut known = RootCertStore::empty();
    known.add(CertificateDer::from_pem_file(file("certificate.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = TlsConnector::from(Arc::new(client.with_root_certificates(known).with_no_client_auth()));
    let body = json!({"token": served.token, "name": "anna", "password": PASSWORD}).to_string();
    let request = format!(
        "POST /api/v1/setup HTTP/1.1\r\nHost: sensor.example\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let name = ServerName::try_from("sensor.example").unwrap();
    let stream = TcpStream::connect(served.to).await.unwrap();
    let mut stream = client.connect(name, stream).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let cookie = answer.lines().find(|l| l.to_lowercase().starts_with("set-cookie:")).unwrap();
    for part in ["__Host-", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }

    let mut plain = TcpStream::connect(served.to).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: sensor.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.windows(5).any(|w| w == b"HTTP/"), "nothing is served in the clear");

    // What was set is kept as a hash that is dear to try.
    let kept = ["sidetap.db", "sidetap.db-wal"]
        .map(|f| std::fs::read(served.dir.path().join(f)).unwrap_or_default());
    let there = |text: &[u8]| kept.iter().any(|bytes| bytes.windows(text.len()).any(|w| w == text));
    assert!(there(b"$argon2id$v=19$m=") && !there(PASSWORD.as_bytes()));
}
