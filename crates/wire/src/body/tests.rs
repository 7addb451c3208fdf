use proptest::prelude::*;

use super::*;

#[derive(Default, Debug, PartialEq)]
struct Seen(Vec<String>, Vec<Range<usize>>);

impl Visitor for Seen {
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, span: Range<usize>) {
        self.0.push(format!("{} {} {value:?}", at.path(), at.key));
        self.1.push(span);
    }
    fn begin_object(&mut self, at: &Location<'_>) {
        self.0.push(format!("{} {{", at.path()));
    }
    fn end_object(&mut self, at: &Location<'_>) {
        self.0.push(format!("{} }}", at.path()));
    }
    fn begin_array(&mut self, at: &Location<'_>) {
        self.0.push(format!("{} [", at.path()));
    }
    fn end_array(&mut self, at: &Location<'_>) {
        self.0.push(format!("{} ]", at.path()));
    }
}

fn seen(kind: Kind, body: &[u8]) -> (Seen, Walked) {
    let (mut seen, mut scratch) = (Seen::default(), WalkScratch::default());
    let walked = walk(kind, None, body, &WalkLimits::default(), &mut scratch, &mut seen);
    (seen, walked)
}

fn scalars(kind: Kind, body: &str) -> Vec<String> {
    seen(kind, body.as_bytes()).0.0.into_iter().filter(|s| s.contains('(') || s.ends_with("Null")).collect()
}

#[test]
fn json_values_stand_at_their_paths() {
    let body = r#"{"a":{"b":[1,-2.5e3,{"c":"x\ny"}]},"d e":null,"t":[true,[]]}"#;
    let (seen, walked) = seen(Kind::Json, body.as_bytes());
    assert!(walked.complete && !walked.malformed);
    let expected = [
        "$ {",
        "$.a {",
        "$.a.b [",
        "$.a.b[*] b Num(\"1\")",
        "$.a.b[*] b Num(\"-2.5e3\")",
        "$.a.b[*] {",
        "$.a.b[*].c c Str(\"x\\ny\")",
        "$.a.b[*] }",
        "$.a.b ]",
        "$.a }",
        "$['d e'] d e Null",
        "$.t [",
        "$.t[*] t Bool(true)",
        "$.t[*] [",
        "$.t[*] ]",
        "$.t ]",
        "$ }",
    ];
    assert_eq!(seen.0, expected);
    assert_eq!(&body[seen.1[2].clone()], "x\\ny");
}

#[test]
fn a_cut_body_gives_what_came_before() {
    let (seen, walked) = seen(Kind::Json, br#"{"a":"one","b":"tw"#);
    assert_eq!(seen.0, ["$ {", "$.a a Str(\"one\")", "$.b b Str(\"tw\")"]);
    assert!(!walked.complete && !walked.malformed);
}

#[test]
fn faults_end_a_walk_as_malformed() {
    for body in ["{\"a\" 1}", "[1,]", "{\"a\":1,}", "[01]", "[1]x", "nulL", "[1}"] {
        assert!(seen(Kind::Json, body.as_bytes()).1.malformed, "{body}");
    }
}

#[test]
fn depth_and_tokens_are_limited() {
    let deep = "[".repeat(100_000);
    let (_, walked) = seen(Kind::Json, deep.as_bytes());
    assert!(walked.too_deep && walked.tokens <= 65);
    let wide = format!("[{}1]", "1,".repeat(100_000));
    let (_, walked) = seen(Kind::Json, wide.as_bytes());
    assert!(!walked.complete && walked.tokens == WalkLimits::default().tokens);
    let xml = "<a>".repeat(100_000);
    assert!(seen(Kind::Xml, xml.as_bytes()).1.too_deep);
}

#[test]
fn forms_and_queries_are_decoded() {
    assert_eq!(
        scalars(Kind::Form, "user=ada+l&p%5B%5D=%C3%A9%2&e=&x\r\n"),
        ["$.user user Str(\"ada l\")", "$['p[]'] p[] Str(\"é%2\")", "$.e e Str(\"\")", "$.x x Str(\"\")"]
    );
    let (mut seen, mut scratch) = (Seen::default(), WalkScratch::default());
    walk_query(b"q=a%20b&page=2", &mut scratch, &mut seen);
    assert_eq!(seen.0, ["query:q q Str(\"a b\")", "query:page page Str(\"2\")"]);
    assert_eq!(seen.1, [2..7, 13..14]);
}

#[test]
fn xml_elements_and_attributes_stand_at_their_paths() {
    let body = "<?xml version='1.0'?><!DOCTYPE r [<!ENTITY a 'b'>]>\n<r id=\"7\"><a>1 &lt; 2</a><b x='y'/><!-- <c> --><d><![CDATA[<&]]></d></r>";
    assert_eq!(
        scalars(Kind::Xml, body),
        ["$.r.@id id Str(\"7\")", "$.r.a a Str(\"1 < 2\")", "$.r.b.@x x Str(\"y\")", "$.r.d d Str(\"<&\")"]
    );
    assert!(seen(Kind::Xml, body.as_bytes()).1.complete);
    assert!(!seen(Kind::Xml, b"<a><b>x").1.complete);
}

#[test]
fn multipart_fields_stand_at_their_names() {
    let body = b"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"p.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\x00\x00\r\n--XX--\r\n";
    let (mut seen, mut scratch) = (Seen::default(), WalkScratch::default());
    let ct = Some(&b"multipart/form-data; boundary=XX"[..]);
    let walked = walk(Kind::Multipart, ct, body, &WalkLimits::default(), &mut scratch, &mut seen);
    assert!(walked.complete);
    assert_eq!(seen.0, ["$ {", "$.a a Str(\"one\")", "$.f.@filename filename Str(\"p.png\")", "$ }"]);
    let guessed =
        walk(Kind::Multipart, None, body, &WalkLimits::default(), &mut scratch, &mut Seen::default());
    assert_eq!(guessed, walked);
}

#[test]
fn lines_and_events_stand_as_elements() {
    assert_eq!(
        scalars(Kind::Ndjson, "{\"a\":1}\n\n{\"a\":2}\n"),
        ["$[*].a a Num(\"1\")", "$[*].a a Num(\"2\")"]
    );
    assert_eq!(scalars(Kind::Ndjson, "event: x\ndata: {\"a\":1}\n\ndata: [DONE]\n"), ["$[*].a a Num(\"1\")"]);
}

#[test]
fn path_hashes_depend_on_the_path_alone() {
    #[derive(Default)]
    struct Hashes(Vec<(String, u64)>);
    impl Visitor for Hashes {
        fn scalar(&mut self, at: &Location<'_>, _: Scalar<'_>, _: Range<usize>) {
            self.0.push((at.path(), at.hash));
        }
    }
    let (mut hashes, mut scratch) = (Hashes::default(), WalkScratch::default());
    for body in ["{\"a\":[1,{\"b\":2}],\"b\":{\"a\":1}}", "{\"b\":{\"a\":1},\"a\":[{\"b\":1},1]}"] {
        walk(Kind::Json, None, body.as_bytes(), &WalkLimits::default(), &mut scratch, &mut hashes);
    }
    hashes.0.sort();
    hashes.0.dedup();
    assert_eq!(hashes.0.len(), 3, "{:?}", hashes.0);
}

#[test]
fn offsets_within_escaped_values_map_back() {
    let raw = r"a\nb\u00e9c\ud83d\ude00d".as_bytes();
    let map = |n| raw_offset(Kind::Json, raw, n);
    assert_eq!((map(0), map(1), map(2), map(3), map(5), map(6), map(10)), (0, 1, 3, 4, 10, 11, 23));
    assert_eq!(raw_offset(Kind::Form, b"a%20b+c", 2), 4);
    assert_eq!(raw_offset(Kind::Xml, b"a&lt;b", 2), 5);
}

/// All that a visitor is told.
#[derive(Default)]
struct Trace(Vec<String>);

impl Visitor for Trace {
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, span: Range<usize>) {
        let path = at.path();
        self.0.push(format!("{path} {} {} {} {} {value:?} {span:?}", at.hash, at.key, at.key_hash, at.depth));
    }
    fn begin_object(&mut self, at: &Location<'_>) {
        self.0.push(format!("{{ {} {}", at.path(), at.depth));
    }
    fn end_object(&mut self, at: &Location<'_>) {
        self.0.push(format!("}} {} {}", at.path(), at.depth));
    }
    fn begin_array(&mut self, at: &Location<'_>) {
        self.0.push(format!("[ {} {}", at.path(), at.depth));
    }
    fn end_array(&mut self, at: &Location<'_>) {
        self.0.push(format!("] {} {}", at.path(), at.depth));
    }
}

#[test]
fn places_are_forgotten_when_there_are_too_many() {
    #[derive(Default)]
    struct Known(Places<String>);
    impl Visitor for Known {
        fn scalar(&mut self, at: &Location<'_>, _: Scalar<'_>, _: Range<usize>) {
            let known = self.0.get_or_insert_with(at, || at.path()).cloned();
            assert_eq!(known, Some(at.path()));
        }
    }
    let (mut known, mut scratch) = (Known::default(), WalkScratch::default());
    for round in 0..4 {
        let names: Vec<_> = (0..5_000).map(|n| format!("\"k{round}_{n}\":1,\"same\":2")).collect();
        let body = format!("{{{}}}", names.join(","));
        walk(Kind::Json, None, body.as_bytes(), &WalkLimits::default(), &mut scratch, &mut known);
        assert!(scratch.path.places() <= 20_000);
    }
}

fn flat(value: &serde_json::Value, path: &str, out: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (k, v) in map {
                flat(v, &format!("{path}.{k}"), out);
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|v| flat(v, &format!("{path}[*]"), out)),
        serde_json::Value::String(s) => out.push(format!("{path} {s:?}")),
        serde_json::Value::Number(n) => out.push(format!("{path} {n}")),
        other => out.push(format!("{path} {other}")),
    }
}

#[derive(Default)]
struct Flat(Vec<String>);

impl Visitor for Flat {
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _: Range<usize>) {
        self.0.push(match value {
            Scalar::Str(s) => format!("{} {s:?}", at.path()),
            Scalar::Num(n) => format!("{} {n}", at.path()),
            Scalar::Bool(b) => format!("{} {b}", at.path()),
            Scalar::Null => format!("{} null", at.path()),
        });
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map("[a-zA-Z_]{1,12}", inner, 0..6)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn valid_json_reads_as_serde_json_reads_it(value in json(), pretty: bool) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let (mut got, mut scratch) = (Flat::default(), WalkScratch::default());
        let walked = walk(Kind::Json, None, body.as_bytes(), &WalkLimits::default(), &mut scratch, &mut got);
        prop_assert!(walked.complete);
        let mut expected = Vec::new();
        flat(&value, "$", &mut expected);
        prop_assert_eq!(got.0, expected);
    }

    #[test]
    fn what_a_scratch_has_seen_changes_nothing(
        bodies in prop::collection::vec(
            prop::collection::vec((0..9_usize, 0..6_usize, any::<bool>()), 0..12), 1..6),
        cut in 0..200_usize,
    ) {
        const NAMES: [&str; 9] =
            ["a", "ab", "a\\\"", "a\\\\", "id", "", "\u{e9}t\u{e9}", "one_of_seventeen_", "sixteen_and_more_than_that"];
        let mut used = WalkScratch::default();
        for body in bodies {
            let members: Vec<_> = body.iter().map(|(name, value, spaced)| {
                let value = ["1", "\"x\"", "[{\"a\":1},{\"ab\":2,\"a\":3}]", "{\"id\":true}", "{}", "[[null]]"][*value];
                format!("\"{}\"{}:{value}", NAMES[*name], if *spaced { " " } else { "" })
            }).collect();
            let mut body = format!("{{{}}}", members.join(",")).into_bytes();
            body.truncate(body.len().saturating_sub(cut % 23));
            let (mut old, mut new) = (Trace::default(), Trace::default());
            let limits = WalkLimits::default();
            let a = walk(Kind::Json, None, &body, &limits, &mut used, &mut old);
            let b = walk(Kind::Json, None, &body, &limits, &mut WalkScratch::default(), &mut new);
            prop_assert_eq!(a, b);
            prop_assert_eq!(old.0, new.0);
        }
    }

    #[test]
    fn spans_stand_inside_the_body_whatever_it_is(
        seed in json(), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), kind in 0..8_usize,
    ) {
        let mut body = serde_json::to_vec(&seed).unwrap();
        for (index, byte) in &cuts {
            let at = index.index(body.len());
            body[at] = *byte;
        }
        hold(kind, &body)?;
    }

    #[test]
    fn no_bytes_make_a_walk_panic(body in prop::collection::vec(any::<u8>(), 0..300), kind in 0..8_usize) {
        hold(kind, &body)?;
    }

    #[test]
    fn no_markup_makes_a_walk_panic(body in "[<>/a-c=\"'!\\[\\]&;#x0-9 -]{0,80}", kind in 0..8_usize) {
        hold(kind, body.as_bytes())?;
    }
}

fn hold(kind: usize, body: &[u8]) -> Result<(), TestCaseError> {
    let kinds = [
        Kind::Json,
        Kind::Ndjson,
        Kind::Form,
        Kind::Xml,
        Kind::Multipart,
        Kind::Html,
        Kind::Text,
        Kind::Binary,
    ];
    let (seen, walked) = seen(kinds[kind], body);
    for span in &seen.1 {
        prop_assert!(span.start <= span.end && span.end <= body.len());
        raw_offset(kinds[kind], &body[span.clone()], 5);
    }
    prop_assert!(!(walked.complete && walked.malformed));
    kind_of(Some(b"application/json"), body);
    let (mut other, mut scratch) = (Seen::default(), WalkScratch::default());
    walk_query(body, &mut scratch, &mut other);
    Ok(())
}

#[test]
fn a_walk_that_is_cut_short_tells_the_same_texts() {
    // Whatever the characters that stand where the text was looked at to.
    for lead in 0..4 {
        let value = format!("{}{}", "x".repeat(lead), "ä€😀".repeat(40));
        let members: Vec<String> = (0..40).map(|n| format!("\"k{n}é\":\"{value}\"")).collect();
        let body = format!("{{{}}}", members.join(","));
        for broken in [false, true] {
            let mut body = body.clone().into_bytes();
            if broken && let Some(at) = body.iter().rposition(|b| *b == 0xf0) {
                body[at + 1] = b'!';
            }
            let whole = seen(Kind::Json, &body).0;
            for tokens in [2, 9, 48] {
                let (mut short, mut scratch) = (Seen::default(), WalkScratch::default());
                let limits = WalkLimits { tokens, ..WalkLimits::default() };
                walk(Kind::Json, None, &body, &limits, &mut scratch, &mut short);
                assert_eq!(short.0, whole.0[..short.0.len()], "{lead} {broken} {tokens}");
            }
        }
    }
}

#[test]
fn numbers_end_where_their_digits_do() {
    for number in [
        "0",
        "-0.5",
        "1234567",
        "12345678",
        "123456789",
        "-12345678901234567.12345678901",
        "1e5",
        "12345678.5E-12",
    ] {
        for end in ["", " ", ",1"] {
            let body = format!("[{number}{end}]");
            let told = scalars(Kind::Json, &body);
            assert_eq!(told[0], format!("$[*]  Num({number:?})"), "{body}");
        }
    }
    for number in ["01", "1.", "12345678.", "1234567a", "12345678e", "-"] {
        assert!(seen(Kind::Json, format!("[{number}]").as_bytes()).1.malformed, "{number}");
    }
}
