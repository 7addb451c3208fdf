/// What a flow carries, as counted in `summary.json`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Empty,
    Unknown,
    Http,
    Http2,
    Tls,
    Ssh,
    Smtp,
    Ftp,
    Mail,
    Rtsp,
    Sip,
    Icap,
    Smb,
    WebSocket,
    Tunnel,
    OneSidedUnknown,
}

impl Kind {
    pub(crate) const COUNT: usize = 16;
    pub(crate) const NAMES: [&'static str; Kind::COUNT] = [
        "empty",
        "unknown",
        "http",
        "http2",
        "tls",
        "ssh",
        "smtp",
        "ftp",
        "mail",
        "rtsp",
        "sip",
        "icap",
        "smb",
        "websocket",
        "tunnel",
        "one-sided-unknown",
    ];

    /// Recognises protocols that are not HTTP/1 by the first bytes of a direction.
    pub(crate) fn recognise(bytes: &[u8]) -> Option<Kind> {
        const PREFIXES: [(&[u8], Kind); 12] = [
            (b"SSH-", Kind::Ssh),
            (b"EHLO ", Kind::Smtp),
            (b"HELO ", Kind::Smtp),
            (b"+OK ", Kind::Mail),
            (b"* OK ", Kind::Mail),
            (b"RTSP/1.0 ", Kind::Rtsp),
            (b"SIP/2.0 ", Kind::Sip),
            (b"ICAP/1.0 ", Kind::Icap),
            (b"USER ", Kind::Ftp),
            (b"220-", Kind::Ftp),
            (b"LIST\r\n", Kind::Ftp),
            (b"AUTH TLS", Kind::Ftp),
        ];
        match bytes {
            [20..=23, 3, 0..=4, ..] => return Some(Kind::Tls),
            [0x80..=0xff, _, 1, 3, 0..=3, ..] => return Some(Kind::Tls),
            [0, _, _, _, 0xfe | 0xff, b'S', b'M', b'B', ..] => return Some(Kind::Smb),
            [b'2', b'2', b'0', b' ', rest @ ..] => {
                let mail = rest.windows(4).take(512).any(|w| w.eq_ignore_ascii_case(b"smtp"));
                return Some(if mail { Kind::Smtp } else { Kind::Ftp });
            }
            _ => {}
        }
        let by_prefix = PREFIXES.iter().find(|(prefix, _)| bytes.starts_with(prefix)).map(|(_, kind)| *kind);
        Kind::of_preface(bytes).or(by_prefix).or_else(|| by_request_line(bytes))
    }

    /// HTTP/2, whose preface looks like a request (RFC 9113 §3.4).
    pub(crate) fn of_preface(bytes: &[u8]) -> Option<Kind> {
        bytes.starts_with(b"PRI * HTTP/2.0\r\n").then_some(Kind::Http2)
    }
}

/// Protocols that share HTTP's grammar name themselves at the end of their first line.
fn by_request_line(bytes: &[u8]) -> Option<Kind> {
    let window = bytes.get(..2048).unwrap_or(bytes);
    let line = window.split(|b| *b == b'\n').next()?.trim_ascii_end();
    match line.rsplit(|b| *b == b' ').next()? {
        b"RTSP/1.0" | b"RTSP/2.0" => Some(Kind::Rtsp),
        b"SIP/2.0" => Some(Kind::Sip),
        b"ICAP/1.0" => Some(Kind::Icap),
        _ => None,
    }
}
