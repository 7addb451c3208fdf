//! Capture from an interface; needs libpcap, and for most of it the right to capture.
#![cfg(feature = "live")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sidetap_capture::{LiveOptions, Source, SourceError, open_live};

fn open(interface: &str, filter: Option<&str>) -> Result<sidetap_capture::Live, SourceError> {
    let options =
        LiveOptions { promiscuous: false, timeout: Duration::from_millis(20), ..LiveOptions::default() };
    open_live(&[interface.to_owned()], filter, &options)
}

#[test]
fn an_interface_that_is_not_there_and_a_filter_that_is_none_are_named() {
    match open("no-such-port0", None) {
        Err(SourceError::NoInterface { name, known }) => {
            assert_eq!(name, "no-such-port0");
            assert!(known.contains("lo"), "{known}");
        }
        Err(SourceError::NoPermission { .. }) => {}
        other => panic!("{:?}", other.err()),
    }
    match open("lo", Some("tcp prt 80")) {
        Err(SourceError::Filter { filter, .. }) => assert_eq!(filter, "tcp prt 80"),
        Err(SourceError::NoPermission { .. } | SourceError::NoInterface { .. }) => {}
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn packets_of_the_loopback_are_seen_and_silence_is_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut live = match open("lo", Some(&format!("tcp port {}", address.port()))) {
        Ok(live) => live,
        Err(SourceError::NoPermission { .. } | SourceError::NoInterface { .. }) => return,
        Err(other) => panic!("{other}"),
    };
    assert!(live.next_packet().is_none() && live.idle());
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"mirrored bytes").unwrap();
    let mut got = [0; 14];
    listener.accept().unwrap().0.read_exact(&mut got).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut found = false;
    while !found && Instant::now() < deadline {
        if let Some(packet) = live.next_packet() {
            found = packet.data.ends_with(b"mirrored bytes");
        }
    }
    assert!(found);
    assert!(live.inputs()[0].packets >= 4 && live.bytes_read() > 0);
    assert_eq!(live.kernel_dropped(), 0);
}
