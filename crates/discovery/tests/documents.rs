//! Descriptions out and in, risks, state.

mod common;

use common::{Feed, bare};
use sidetap_discovery::{Config, Engine, Extractor, Signs, Spec, StateError, Visit};
use sidetap_model::HashKey;
use sidetap_model::rows::{EndpointKey, SensitiveRow};
use sidetap_wire::body::{Kind, WalkLimits, WalkScratch, walk};

const ITEM: &str = r#"{"id":7,"price":1.5,"name":"x","born":"2026-01-05","tags":["a"],"owner":{"id":"6f1c2d3e-0a1b-4c2d-8e3f-112233445566","note":null}}"#;

fn body(side: sidetap_discovery::Side, text: &str) -> sidetap_discovery::BodyFacts {
    use sidetap_model::*;
    let mut x = Extractor::new();
    x.begin(side, Visit::Full, Some(b"application/json; charset=utf-8"), Kind::Json, text.as_bytes());
    walk(Kind::Json, None, text.as_bytes(), &WalkLimits::default(), &mut WalkScratch::default(), &mut x);
    x.end();
    let addr = Addr { ip: [10, 0, 0, 1].into(), port: 1 };
    let exchange = Exchange {
        zone: Zone::default(),
        flow: FlowKey { zone: 0, client: addr, server: addr },
        flow_id: FlowId(1),
        seq: 0,
        ts: Ts(1),
        end: Ts(1),
        response_ts: None,
        protocol: Protocol::Http1,
        request: None,
        response: None,
        interim: 0,
        completeness: Completeness::WHOLE,
        gap_bytes: 0,
        anomalies: AnomalySet::default(),
        acknowledged: true,
        proxied_for: None,
        sent_in: None,
    };
    let endpoint = EndpointRef::new(EndpointId(1), "h", "GET", "/");
    let o = x.take(&sidetap_discovery::Context {
        exchange: &exchange,
        zone: &Zone::default(),
        path: b"/",
        query: None,
        endpoint: &endpoint,
        client: addr.ip,
        visit: Visit::Full,
    });
    match side {
        sidetap_discovery::Side::Request => o.request,
        sidetap_discovery::Side::Response => o.response,
    }
}

fn shop() -> Feed {
    let mut f = Feed::new();
    for i in 0..12 {
        let mut o = f.make("GET", &format!("/v1/items/{i}"), 200);
        o.response = body(sidetap_discovery::Side::Response, ITEM);
        f.give(&o);
        let mut o = f.make("POST", "/v1/items", 201);
        o.request = body(sidetap_discovery::Side::Request, r#"{"name":"x","price":2}"#);
        if i == 3 {
            o.request = body(sidetap_discovery::Side::Request, r#"{"name":"x","price":2,"discount":true}"#);
        }
        f.give(&o);
    }
    f
}

#[test]
fn schemas_say_what_was_seen() {
    let mut f = shop();
    f.engine.finish();
    let (host, doc) = f.engine.openapi().remove(0);
    assert_eq!(host, "api.example.com");
    let get = &doc["paths"]["/v1/items/{item_id}"]["get"];
    let schema = &get["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(schema["properties"]["owner"]["properties"]["id"]["format"], "uuid");
    assert_eq!(schema["properties"]["owner"]["properties"]["note"]["type"], "null");
    assert_eq!(schema["properties"]["price"]["type"], "number");
    assert_eq!(schema["properties"]["born"]["format"], "date");
    assert_eq!(schema["properties"]["tags"]["items"]["type"], "string");
    assert_eq!(get["parameters"][0]["schema"]["type"], "integer");
    let post = &doc["paths"]["/v1/items"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(post["required"], serde_json::json!(["name", "price"]));
    assert!(post["properties"]["discount"].is_object());
    assert_eq!(doc["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[test]
fn a_description_out_is_a_description_in() {
    let mut f = shop();
    let rows = f.rows();
    let doc = f.engine.openapi().remove(0).1;
    let spec = Spec::load("own", &doc.to_string()).unwrap();
    let diff = spec.diff(&rows);
    assert_eq!((diff.undocumented_endpoints.len(), diff.unseen_operations.len()), (0, 0), "{diff:?}");
    assert!(diff.undocumented_parameters.is_empty() && diff.undocumented_statuses.is_empty());
}

const SPEC: &str = "
openapi: 3.0.3
info: {title: t, version: '1'}
servers: [{url: 'https://api.example.com/v1'}]
security: [{key: []}]
paths:
  /people/{name}:
    get: {parameters: [{name: name, in: path, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}
    delete: {deprecated: true, responses: {'204': {description: ok}}}
  /people/search:
    get: {responses: {'200': {description: ok}}}
  /never: {get: {responses: {'200': {description: ok}}}}
";

#[test]
fn descriptions_claim_paths_and_say_where_endpoints_stand() {
    let mut f = Feed::new();
    f.engine = Engine::new(Config::default(), HashKey::from_bytes([1; 16]))
        .with_specs(vec![Spec::load("s", SPEC).unwrap()]);
    for path in ["/v1/people/ada", "/v1/people/search", "/v1/people/bob"] {
        let mut o = f.make("GET", path, 200);
        o.auth = if path.ends_with("bob") { 1 } else { 4 };
        f.give(&o);
    }
    f.send("DELETE", "/v1/people/ada", 204);
    f.send("GET", "/v1/hidden", 200);
    f.send("GET", "/v1/people/ada", 500);
    let rows = f.rows();
    let all: Vec<String> =
        rows.iter().map(|r| format!("{} {} {}", r.method, bare(&r.template), r.standing)).collect();
    assert_eq!(
        all,
        [
            "GET /v1/hidden shadow",
            "GET /v1/never orphan",
            "GET /v1/people/search documented",
            "DELETE /v1/people/{} deprecated",
            "GET /v1/people/{} documented"
        ]
    );
    let rules: Vec<String> = f.engine.risks(&[]).into_iter().map(|r| r.rule).collect();
    for rule in ["shadow-endpoint", "security-requirement-not-met", "deprecated-operation-in-use"] {
        assert!(rules.contains(&rule.to_owned()), "{rule} {rules:?}");
    }
    let diff = Spec::load("s", SPEC).unwrap().diff(&rows);
    assert_eq!(diff.undocumented_endpoints[0].template, "/v1/hidden");
    assert_eq!(diff.unseen_operations[0].template, "/v1/never");
    assert_eq!(diff.undocumented_statuses[0].what, "500");
}

fn leak(f: &Feed, id: sidetap_model::EndpointId) -> SensitiveRow {
    SensitiveRow {
        endpoint: EndpointKey {
            id,
            host: "api.example.com".into(),
            method: "GET".into(),
            template: "/".into(),
        },
        direction: "response".into(),
        location: "$.ssn".into(),
        kind: "us-ssn".into(),
        alternatives: vec![],
        class: vec!["PII".into()],
        confidence: 0.95,
        count: f.n,
        masked: "***".into(),
        first_seen: sidetap_model::Ts(1),
        evidence: "x-1".into(),
    }
}

#[test]
fn risks_are_what_evidence_supports() {
    let mut f = Feed::new();
    for i in 0..30 {
        for path in ["/v1/a/x", "/v1/a/y", "/v1/a/z", "/v1/a/u", "/v1/a/w"] {
            f.send("GET", path, 200);
        }
        let mut o = f.make("GET", "/v1/a/open", 200);
        o.auth = 1;
        o.signs.insert(Signs::STACK_TRACE);
        f.give(&o);
        f.send("POST", "/v1/login", if i % 10 == 0 { 200 } else { 401 });
    }
    f.engine.finish();
    let rows = f.engine.rows(&[], &Default::default());
    let open = rows.iter().find(|r| r.template == "/v1/a/open").unwrap();
    let risks = f.engine.risks(&[leak(&f, open.id)]);
    let find = |rule: &str| risks.iter().find(|r| r.rule == rule);
    for rule in ["open-sensitive-data", "auth-missing-beside-others", "stack-trace", "login-without-limit"] {
        let r = find(rule).unwrap_or_else(|| panic!("{rule}: {risks:#?}"));
        assert!(
            !r.evidence.is_empty()
                && r.count > 0
                && r.owasp.iter().all(|o| o.ends_with(":2023"))
                && r.detail.len() > 40
        );
    }
    assert_eq!(find("open-sensitive-data").unwrap().certainty, "observed");
    assert!(find("secret-in-response").is_none() && find("credential-in-url").is_none());
    assert!(risks.iter().filter(|r| r.rule == "auth-missing-beside-others").count() == 1);
    let scored = f.engine.rows(&[leak(&f, open.id)], &Default::default());
    let risk = |t: &str| scored.iter().find(|r| r.template == t).unwrap().risk;
    assert!(risk("/v1/a/open") > 50 && risk("/v1/a/x") < 20);
}

#[test]
fn an_old_version_beside_a_newer_is_deprecated() {
    let mut f = Feed::new();
    for i in 0..40 {
        f.send("GET", &format!("/api/v2/users/{i}"), 200);
        if i % 8 == 0 {
            f.send("GET", &format!("/api/v1/users/{i}"), 200);
        }
    }
    let rows = f.rows();
    assert_eq!(rows.iter().map(|r| r.standing.as_str()).collect::<Vec<_>>(), ["deprecated", "unknown"]);
    assert!(f.engine.risks(&[]).iter().any(|r| r.rule == "old-version-live"));
}

#[test]
fn state_goes_on_where_it_ended_and_damage_is_refused() {
    let mut f = shop();
    f.engine.finish();
    let bytes = f.engine.export_state();
    let fresh = || Engine::new(Config::default(), HashKey::from_bytes([1; 16]));
    let mut again = fresh();
    again.import_state(&bytes).unwrap();
    assert_eq!(again.export_state(), bytes);
    assert_eq!(again.rows(&[], &Default::default()), f.engine.rows(&[], &Default::default()));
    assert_eq!(
        &*again.snapshot().lookup("default", "api.example.com", "GET", b"/v1/items/999").template,
        "/v1/items/{item_id}"
    );
    assert!(matches!(fresh().import_state(&[]), Err(StateError::Empty)));
    assert!(matches!(fresh().import_state(&[9, 1]), Err(StateError::Version(9))));
    for cut in [1, 10, bytes.len() / 2, bytes.len() - 1] {
        assert!(fresh().import_state(&bytes[..cut]).is_err(), "{cut}");
    }
    for at in (1..bytes.len()).step_by(7) {
        let mut bad = bytes.clone();
        bad[at] ^= 0x55;
        let mut e = fresh();
        if e.import_state(&bad).is_ok() {
            e.rows(&[], &Default::default());
            e.openapi();
        }
    }
}

#[test]
fn operations_that_share_a_path_have_rows_of_their_own() {
    let mut f = Feed::new();
    for name in ["query GetUser", "mutation Pay", "query GetUser"] {
        let mut o = f.make("POST", "/graphql", 200);
        o.protocol = sidetap_discovery::Protocol::Graphql;
        o.operation = Some(name.into());
        f.give(&o);
    }
    let rows: Vec<(String, u64)> = f.rows().into_iter().map(|r| (r.template, r.calls)).collect();
    assert_eq!(
        rows,
        [("/graphql".into(), 3), ("/graphql#mutation.Pay".into(), 1), ("/graphql#query.GetUser".into(), 2)]
    );
}

#[test]
fn data_that_only_those_with_credentials_get_is_not_open() {
    let mut f = Feed::new();
    for i in 0..6 {
        let mut o = f.make("GET", "/api/me", 200);
        o.auth = if i % 2 == 0 { 1 } else { 4 };
        let text = if i % 2 == 0 { r#"{"anonymous":true}"# } else { r#"{"ssn":"078-05-1120"}"# };
        o.response = body(sidetap_discovery::Side::Response, text);
        f.give(&o);
    }
    let id = f.rows()[0].id;
    assert!(!f.engine.risks(&[leak(&f, id)]).iter().any(|r| r.rule == "open-sensitive-data"));
    let mut o = f.make("GET", "/api/me", 200);
    o.auth = 1;
    o.response = body(sidetap_discovery::Side::Response, r#"{"ssn":"078-05-1120"}"#);
    f.give(&o);
    assert!(f.engine.risks(&[leak(&f, id)]).iter().any(|r| r.rule == "open-sensitive-data"));
}
