//! Fields of heads in which nobody looks for sensitive data.

use sidetap_wire::names::NameSet;

/// Fields in which credentials and addresses are expected, and those that only describe the message.
pub(crate) fn is_expected(name: &[u8]) -> bool {
    static EXPECTED: NameSet = NameSet::new(&[
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"set-cookie",
        b"host",
        // Who runs a robot (RFC 9110 section 10.1.2), not whom the API tells of.
        b"from",
        b"user-agent",
        b"accept",
        b"date",
        b"accept-language",
        b"accept-encoding",
        b"connection",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"content-security-policy",
        b"etag",
        b"if-none-match",
        b"last-modified",
        b"if-modified-since",
        b"expires",
        b"age",
        b"cache-control",
        b"server",
        b"via",
        b"forwarded",
        b"x-forwarded-for",
        b"x-real-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"traceparent",
        b"tracestate",
        b"sec-websocket-key",
        b"sec-websocket-accept",
        b"strict-transport-security",
        b"report-to",
        b"nel",
        b"alt-svc",
        b"x-request-id",
        b"x-trace-id",
        b"x-amz-date",
        b"x-amz-content-sha256",
        b"x-amz-security-token",
        b"sec-ch-ua",
        b"permissions-policy",
    ]);
    EXPECTED.has(name) || sidetap_wire::auth::is_key_header(name)
}
