use crate::kind::Kind;
use crate::range::Range;

/// Special-use addresses as IANA's registries have them (RFC 6890 and its updates): network, kind, what it is for.
const SPECIAL: &[(&str, Kind, &str)] = &[
    ("0.0.0.0/8", Kind::Reserved, "this network (RFC 791)"),
    ("10.0.0.0/8", Kind::Private, "private use (RFC 1918)"),
    ("100.64.0.0/10", Kind::SharedNat, "shared address space (RFC 6598)"),
    ("127.0.0.0/8", Kind::Private, "loopback (RFC 1122)"),
    ("169.254.0.0/16", Kind::Private, "link local (RFC 3927)"),
    ("172.16.0.0/12", Kind::Private, "private use (RFC 1918)"),
    ("192.0.0.0/24", Kind::Reserved, "IETF protocol assignments (RFC 6890)"),
    ("192.0.2.0/24", Kind::Documentation, "documentation TEST-NET-1 (RFC 5737)"),
    ("192.88.99.0/24", Kind::Reserved, "6to4 relay anycast, deprecated (RFC 7526)"),
    ("192.168.0.0/16", Kind::Private, "private use (RFC 1918)"),
    ("198.18.0.0/15", Kind::Documentation, "benchmarking (RFC 2544)"),
    ("198.51.100.0/24", Kind::Documentation, "documentation TEST-NET-2 (RFC 5737)"),
    ("203.0.113.0/24", Kind::Documentation, "documentation TEST-NET-3 (RFC 5737)"),
    ("224.0.0.0/4", Kind::Reserved, "multicast (RFC 5771)"),
    ("240.0.0.0/4", Kind::Reserved, "reserved (RFC 1112)"),
    ("::/128", Kind::Reserved, "unspecified (RFC 4291)"),
    ("::1/128", Kind::Private, "loopback (RFC 4291)"),
    ("64:ff9b:1::/48", Kind::Private, "local-use translation (RFC 8215)"),
    ("100::/64", Kind::Reserved, "discard only (RFC 6666)"),
    ("2001:2::/48", Kind::Documentation, "benchmarking (RFC 5180)"),
    ("2001:db8::/32", Kind::Documentation, "documentation (RFC 3849)"),
    ("3fff::/20", Kind::Documentation, "documentation (RFC 9637)"),
    ("5f00::/16", Kind::Reserved, "segment routing SIDs (RFC 9602)"),
    ("fc00::/7", Kind::Private, "unique local (RFC 4193)"),
    ("fe80::/10", Kind::Private, "link local (RFC 4291)"),
    ("ff00::/8", Kind::Reserved, "multicast (RFC 4291)"),
];

/// The registries of special-use addresses: ranges with what they are for.
pub fn special_use() -> impl Iterator<Item = (Range, Kind, &'static str)> {
    SPECIAL.iter().filter_map(|(net, kind, text)| Some((Range::parse(net)?, *kind, *text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_a_network() {
        assert_eq!(special_use().count(), SPECIAL.len());
    }
}
