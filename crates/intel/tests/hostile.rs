//! Whatever stands in a file or a request, nothing breaks.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use sidetap_intel::{
    Directory, Installed, KeyDirectories, Known, KnownConfig, KnownKind, Library, SourceConfig, Table,
    read_signature,
};
use sidetap_model::{Body, HashKey, Headers, Request, Ts, Version};

fn request(fields: &[(&[u8], &[u8])]) -> Request {
    let mut headers = Headers::default();
    for (name, value) in fields {
        headers.push(name, value);
    }
    let body = Body::default();
    Request { method: b"GET".to_vec(), target: b"/a?b".to_vec(), version: Version(1, 1), headers, body }
}

/// Pieces that signatures are made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("sig1=("),
        Just("\"@authority\""),
        Just("\"signature-agent\";key=\"sig1\""),
        Just(")"),
        Just(";tag=\"web-bot-auth\""),
        Just(";keyid=\"k\""),
        Just(";created=1;expires=99999999999999999999"),
        Just(";created=-9223372036854775808;expires=9223372036854775807"),
        Just(","),
        Just("\\"),
        Just("\""),
        Just(" "),
        Just("é"),
        Just("sig1=:AAAA:"),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|p| p.concat())
}

fn source(format: &str) -> sidetap_intel::Source {
    let text = format!(
        "{{\"name\":\"x\",\"file\":\"/x\",\"format\":\"{format}\",\"label\":\"l\",\"kind\":\"vpn\"}}"
    );
    serde_json::from_str::<SourceConfig>(&text).unwrap().checked().unwrap()
}

proptest! {
    #[test]
    fn signatures(input in pieces(), signature in pieces(), agent in pieces()) {
        let fields: [(&[u8], &[u8]); 4] = [
            (b"Host", b"shop.example"),
            (b"Signature-Input", input.as_bytes()),
            (b"Signature", signature.as_bytes()),
            (b"Signature-Agent", agent.as_bytes()),
        ];
        let keys = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs","kid":"k"}]}"#;
        let directories = KeyDirectories::new(vec![Directory::parse("x", keys).unwrap()]);
        if let Some(signed) = read_signature(&request(&fields)) {
            let verified = directories.verify(&signed, Ts::from_parts(1_800_000_000, 0));
            prop_assert!(!matches!(verified, sidetap_intel::Verification::Valid(_)));
        }
    }

    #[test]
    fn tables(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in any::<u16>(), with in any::<u8>()) {
        prop_assert!(Table::from_bytes(&bytes, "x").is_err());
        let mut whole = Table::builtin().to_bytes();
        let at = usize::from(at) % whole.len();
        if whole[at] != with {
            whole[at] = with;
            prop_assert!(Table::from_bytes(&whole, "x").is_err());
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn lists(text in "[0-9a-fA-F:./,\"\n AS#-]{0,300}", format in 0usize..5) {
        let formats = ["networks", "asns", "organizations", "networks-csv", "countries-csv"];
        let source = source(formats[format]);
        let dir = tempfile::tempdir().unwrap();
        let library = Library::at(dir.path());
        library.keep(&source, Installed::default(), &[text.into_bytes()], "").unwrap();
        let (table, _) = library.compile(std::slice::from_ref(&source)).unwrap();
        for ip in ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1.2.3.4"] {
            table.look_up(ip.parse().unwrap(), Ts(i64::MAX));
        }
        prop_assert_eq!(library.table().unwrap().unwrap().to_bytes(), table.to_bytes());
    }

    #[test]
    fn parties(agent in ".{0,80}", key in any::<u64>(), spelled in "[a-f0-9#…]{0,30}") {
        let config = KnownConfig { name: "p".into(), keys: vec![spelled], agents: vec!["bot".into()], ..KnownConfig::default() };
        let known = Known::new(&[(KnownKind::Partner, config)], &HashKey::from_bytes([1; 16])).unwrap();
        known.who("20.0.0.1".parse().unwrap(), Some(key), &agent);
    }
}
