use sidetap_wire::names::NameSet;

/// Fields that only say how to carry the message: looked at where a lookup or a call could stand in them.
pub(crate) fn is_dull(name: &[u8]) -> bool {
    static DULL: NameSet = NameSet::new(&[
        b"authorization",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"connection",
        b"content-length",
        b"content-type",
        b"date",
        b"if-none-match",
        b"if-modified-since",
        b"cache-control",
        b"pragma",
        b"te",
        b"upgrade",
        b"traceparent",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"sec-ch-ua",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-platform",
    ]);
    DULL.has(name)
}

/// Fields whose name alone says something.
pub(crate) fn is_odd(name: &[u8]) -> bool {
    static ODD: NameSet = NameSet::new(&[
        b"x-original-url",
        b"x-rewrite-url",
        b"x-custom-ip-authorization",
        b"x-scanner",
        b"acunetix-product",
        b"x-wvs-id",
    ]);
    ODD.has(name)
}
