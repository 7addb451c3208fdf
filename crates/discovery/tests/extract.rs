//! What one exchange says.

use sidetap_discovery::{Channel, Context, Extractor, Observation, Protocol, Side, Signs, Visit};
use sidetap_model::{
    Addr, AnomalySet, Body, Completeness, EndpointId, EndpointRef, Exchange, FlowId, FlowKey, Headers,
    Request, Response, Ts, Version, Zone,
};
use sidetap_wire::body::{WalkLimits, WalkScratch, kind_of, walk};

const JWT_NONE: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJpYXQiOjE3NjcyMjU2MDAsImV4cCI6MTg2NzIyNTYwMH0.AAAAAAAAAAAAAAAAAAAA";

struct Talk<'a> {
    method: &'a str,
    target: &'a str,
    request: &'a [(&'a str, &'a str)],
    sent: &'a str,
    status: u16,
    response: &'a [(&'a str, &'a str)],
    got: &'a str,
}

const PLAIN: Talk<'_> =
    Talk { method: "GET", target: "/a", request: &[], sent: "", status: 200, response: &[], got: "" };

fn see(t: &Talk<'_>) -> Observation {
    let headers = |list: &[(&str, &str)]| {
        let mut h = Headers::default();
        list.iter().for_each(|(n, v)| h.push(n.as_bytes(), v.as_bytes()));
        h
    };
    let body = |s: &str| Body { bytes: s.as_bytes().to_vec(), len: s.len() as u64, gap_at: None };
    let (path, query) = t.target.split_once('?').map_or((t.target, None), |(p, q)| (p, Some(q.as_bytes())));
    let addr = Addr { ip: [10, 0, 0, 1].into(), port: 1 };
    let exchange = Exchange {
        zone: Zone::default(),
        flow: FlowKey { zone: 0, client: addr, server: addr },
        flow_id: FlowId(1),
        seq: 0,
        ts: Ts(1_767_225_600_000_000_000),
        end: Ts(1_767_225_600_000_000_000),
        response_ts: None,
        protocol: sidetap_model::Protocol::Http1,
        request: Some(Request {
            method: t.method.into(),
            target: t.target.into(),
            version: Version(1, 1),
            headers: headers(t.request),
            body: body(t.sent),
        }),
        response: Some(Response {
            status: t.status,
            version: Version(1, 1),
            headers: headers(t.response),
            body: body(t.got),
        }),
        interim: 0,
        completeness: Completeness::WHOLE,
        gap_bytes: 0,
        anomalies: AnomalySet::default(),
        acknowledged: true,
        proxied_for: None,
        sent_in: None,
    };
    let mut x = Extractor::new();
    for (side, fields, text) in [(Side::Request, t.request, t.sent), (Side::Response, t.response, t.got)] {
        let media = fields.iter().find(|f| f.0 == "Content-Type").map(|f| f.1.as_bytes());
        let kind = kind_of(media, text.as_bytes());
        x.begin(side, Visit::Full, media, kind, text.as_bytes());
        walk(kind, media, text.as_bytes(), &WalkLimits::default(), &mut WalkScratch::default(), &mut x);
        x.end();
    }
    let endpoint = EndpointRef::new(EndpointId(1), "h", t.method, path);
    x.take(&Context {
        exchange: &exchange,
        zone: &Zone::default(),
        path: path.as_bytes(),
        query,
        endpoint: &endpoint,
        client: addr.ip,
        visit: Visit::Full,
    })
}

#[test]
fn operations_inside_bodies_are_named() {
    let json = &[("Content-Type", "application/json")][..];
    let post = |sent| see(&Talk { method: "POST", request: json, sent, ..PLAIN });
    let o = post(r#"{"query":"mutation Pay($x: Int) { pay(x: $x) { id } }","variables":{"x":1}}"#);
    assert_eq!((o.protocol, o.operation.as_deref()), (Protocol::Graphql, Some("mutation pay")));
    let o = post(r#"{"query":"{ me { id } }"}"#);
    assert_eq!(o.operation.as_deref(), Some("query me"));
    let o = post(r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}"#);
    assert_eq!((o.protocol, o.operation.as_deref()), (Protocol::JsonRpc, Some("eth_call")));
    let o = post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}"#);
    assert_eq!((o.protocol, o.operation.as_deref()), (Protocol::Mcp, Some("tools/call search")));
    let o = post(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#);
    assert_eq!(o.protocol, Protocol::Llm);
    let o = see(&Talk { method: "POST", request: &[("SOAPAction", "\"urn:bank#Transfer\"")], ..PLAIN });
    assert_eq!((o.protocol, o.operation.as_deref()), (Protocol::Soap, Some("Transfer")));
}

#[test]
fn introspection_needs_an_answer() {
    let ask = r#"{"query":"query I { __schema { types { name } } }"}"#;
    let talk = |got| {
        see(&Talk {
            method: "POST",
            request: &[("Content-Type", "application/json")],
            sent: ask,
            got,
            ..PLAIN
        })
    };
    assert!(talk(r#"{"data":{"__schema":{"types":[]}}}"#).signs.contains(Signs::INTROSPECTION));
    assert!(!talk(r#"{"errors":[{"message":"off"}]}"#).signs.contains(Signs::INTROSPECTION));
}

#[test]
fn credentials_and_where_they_stand() {
    let o = see(&Talk { request: &[("Authorization", "Basic YTpi")], ..PLAIN });
    assert!(o.auth == 1 << 1 && o.signs.contains(Signs::BASIC));
    let bearer = format!("Bearer {JWT_NONE}");
    let o = see(&Talk { request: &[("Authorization", &bearer)], ..PLAIN });
    assert!(o.auth == 1 << 3 && o.signs.contains(Signs::JWT_NONE) && o.signs.contains(Signs::JWT_LONG));
    let o = see(&Talk { request: &[("Authorization", &bearer)], status: 401, ..PLAIN });
    assert!(!o.signs.contains(Signs::JWT_NONE));
    let o = see(&Talk { target: "/a?access_token=abcdef123456&page=2", ..PLAIN });
    assert!(o.auth == 1 && o.signs.contains(Signs::CREDENTIAL_IN_URL) && o.query.len() == 2);
    let o = see(&Talk { target: "/a?page=2", ..PLAIN });
    assert_eq!(o.signs, Signs::default());
}

#[test]
fn misconfiguration_shows_in_headers() {
    let cors = |allowed| {
        see(&Talk {
            request: &[("Host", "api.shop.test"), ("Origin", "https://evil.test")],
            response: &[
                ("Access-Control-Allow-Origin", allowed),
                ("Access-Control-Allow-Credentials", "true"),
            ],
            ..PLAIN
        })
        .signs
    };
    assert!(cors("https://evil.test").contains(Signs::CORS_REFLECTED) && cors("*").contains(Signs::CORS_ANY));
    assert!(cors("null").contains(Signs::CORS_NULL) && cors("https://shop.test") == Signs::default());
    let o = see(&Talk { response: &[("Set-Cookie", "sessionid=a1b2c3d4e5f6a7b8c9d0; Path=/")], ..PLAIN });
    assert!(o.signs.contains(Signs::COOKIE_NOT_SECURE) && o.signs.contains(Signs::COOKIE_NOT_HTTP_ONLY));
    let safe = "sessionid=a1b2c3d4e5f6a7b8c9d0; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(see(&Talk { response: &[("Set-Cookie", safe)], ..PLAIN }).signs, Signs::default());
    let o = see(&Talk { status: 500, got: "Traceback (most recent call last):\n  File", ..PLAIN });
    assert!(o.signs.contains(Signs::STACK_TRACE));
    assert!(
        see(&Talk { response: &[("Server", "nginx/1.18.0")], ..PLAIN }).signs.contains(Signs::SERVER_VERSION)
    );
    assert!(
        see(&Talk { response: &[("Sunset", "Sat, 31 Dec 2026 00:00:00 GMT")], ..PLAIN })
            .signs
            .contains(Signs::DEPRECATED)
    );
}

#[test]
fn responses_that_name_the_path_are_noticed() {
    let json = &[("Content-Type", "application/json")][..];
    let o = see(&Talk {
        target: "/users/ada/repos/engine",
        response: json,
        got: r#"{"id":5,"name":"engine"}"#,
        ..PLAIN
    });
    assert!(o.own_id && o.echo == 0b1000 && o.ids.len() == 2);
    let o =
        see(&Talk { target: "/users", response: json, got: r#"[{"login":"ada"},{"login":"bob"}]"#, ..PLAIN });
    assert!(!o.own_id && o.echo == 0 && o.ids.len() == 2);
}

#[test]
fn callers_are_told_by_their_agent() {
    let agent = |a| see(&Talk { request: &[("User-Agent", a)], ..PLAIN }).channel;
    assert_eq!(agent("Mozilla/5.0 (X11; Linux)"), Channel::Web);
    assert_eq!(agent("okhttp/4.12.0"), Channel::Mobile);
    assert_eq!(agent("python-requests/2.32"), Channel::Api);
}
