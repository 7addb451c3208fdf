use std::sync::Arc;

use sidetap_model::{Anomaly, Headers};
use sidetap_wire::forward::{self, Node};

use super::entry::Asked;

/// Bytes of such fields that are kept at most; the last ones, for a proxy adds its own behind those that it was sent.
const MOST: usize = 8 << 10;

/// Who sent a request, for what stands in its content. One that stands in content itself was written by whoever sent that, fields and all.
pub(super) fn sender_of(asked: &Asked) -> Option<Arc<Headers>> {
    match asked.anomalies.contains(Anomaly::RequestInContent) {
        true => asked.sent_in.clone(),
        false => Some(sender_fields(&asked.request.headers)),
    }
}

/// The fields of a request that may name who sent it.
fn sender_fields(headers: &Headers) -> Arc<Headers> {
    let names = |name: &[u8], value: &[u8]| {
        ["forwarded", "x-forwarded-for"].iter().any(|of| name.eq_ignore_ascii_case(of.as_bytes()))
            || matches!(forward::node(value), Node::Ip(..))
    };
    let named: Vec<_> = headers.iter().filter(|(name, value)| names(name, value)).collect();
    let mut room = 0;
    let fits = named.iter().rev().take_while(|(name, value)| {
        room += name.len() + value.len();
        room <= MOST
    });
    let from = named.len() - fits.count();
    let mut kept = Headers::default();
    for (name, value) in named.iter().skip(from) {
        kept.push(name, value);
    }
    kept.shrink();
    Arc::new(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_name_a_sender_are_kept_and_no_others() {
        let mut headers = Headers::default();
        headers.push(b"Host", b"shop.example");
        headers.push(b"X-Forwarded-For", &b"10.0.0.1, ".repeat(1000));
        headers.push(b"True-Client-IP", b"203.0.113.7");
        headers.push(b"Cookie", b"a=b");
        headers.push(b"forwarded", b"for=_hidden");
        headers.push(b"x-forwarded-for", b"203.0.113.7");
        let kept = sender_fields(&headers);
        let names: Vec<_> = kept.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(names, ["True-Client-IP", "forwarded", "x-forwarded-for"]);
    }
}
