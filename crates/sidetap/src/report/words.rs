//! Numbers and times as people read them.

use sidetap_model::Ts;

/// `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 endpoint`, `2 endpoints`, `3 addresses`.
pub(crate) fn plural(n: u64, one: &str) -> String {
    let ending = match one {
        _ if n == 1 => "",
        _ if one.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {one}{ending}", count(n))
}

/// `1.2 GB`, in powers of 1,000.
pub(crate) fn bytes(n: u64) -> String {
    for (unit, name) in [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")] {
        if n >= unit {
            return format!("{:.1} {name}", n as f64 / unit as f64);
        }
    }
    format!("{n} B")
}

/// `12.3 %`; never `0 %` of something, never `100 %` of less than all.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    if part >= whole {
        return "100 %".to_owned();
    }
    let share = part as f64 * 100.0 / whole as f64;
    match share {
        s if s < 0.1 => "<0.1 %".to_owned(),
        s if s > 99.9 => ">99.9 %".to_owned(),
        s => format!("{s:.1} %"),
    }
}

/// The band of a risk from 0 to 100, with the console's limits.
pub(crate) fn band(risk: u8) -> &'static str {
    match risk {
        80.. => "critical",
        60..80 => "high",
        30..60 => "medium",
        1..30 => "low",
        0 => "none",
    }
}

/// How an endpoint stands to descriptions of its API: nobody knows where there are none.
pub(crate) fn standing(id: &str) -> &str {
    if id == "unknown" { "not described" } else { id }
}

/// `credential-stuffing` as `Credential stuffing`.
pub(crate) fn words(id: &str) -> String {
    let text = id.replace(['-', '_'], " ");
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A class as the console says it.
pub(crate) fn class_name(id: &str) -> String {
    let name = match id {
        "" => "Unclassified",
        "ato-transfer-fraud" => "Account takeover with transfer",
        "giftcard-bruteforce" => "Gift card brute force",
        "sim-swap-abuse" => "SIM swap abuse",
        "otp-abuse" => "One-time code abuse",
        "app-dos" => "Application denial of service",
        "ai-crawler" => "AI crawler",
        "api-scraping" => "API scraping",
        "id-enumeration" => "Id enumeration",
        "bola" => "Broken object level authorization",
        "sqli" => "SQL injection",
        "vuln-scan" => "Vulnerability scan",
        other => return words(other),
    };
    name.to_owned()
}

/// A length of packet time: `850 ms`, `12 s`, `17 min 6 s`, `3 h 5 min`, `2 d 4 h`.
pub(crate) fn span(nanos: i64) -> String {
    let ms = nanos.max(0) / 1_000_000;
    let s = ms / 1000;
    let two = |a: i64, x: &str, b: i64, y: &str| match b {
        0 => format!("{a} {x}"),
        b => format!("{a} {x} {b} {y}"),
    };
    match s {
        0 => format!("{ms} ms"),
        1..=119 => format!("{s} s"),
        120..=7199 => two(s / 60, "min", s % 60, "s"),
        7200..=172_799 => two(s / 3600, "h", s % 3600 / 60, "min"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// `2026-11-20 22:40:56`, UTC.
pub(crate) fn moment(ts: Ts) -> String {
    let text = ts.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) if text.as_bytes().get(10) == Some(&b'T') => format!("{day} {time}"),
        _ => text,
    }
}

/// `22:40:56`, UTC.
pub(crate) fn clock(ts: Ts) -> String {
    let text = moment(ts);
    text.get(11..).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages of the console have their own copy: the same thing has one name.
    #[test]
    fn classes_are_called_as_in_the_console() {
        let pages = include_str!("../../../console/web/src/lib/text.ts");
        let names = pages.split("CLASS_NAMES").nth(1).unwrap().split('}').next().unwrap();
        let mut seen = 0;
        for line in names.lines().filter(|l| l.trim_end().ends_with("\",")) {
            let (id, name) = line.trim().trim_end_matches(',').split_once(": ").unwrap();
            assert_eq!(class_name(id.trim_matches('"')), name.trim_matches('"'));
            seen += 1;
        }
        assert_eq!(seen, 11);
        assert_eq!(class_name("credential-stuffing"), "Credential stuffing");
        let bands = include_str!("../../../console/web/src/lib/format.ts");
        for (least, name) in [(80, "critical"), (60, "high"), (30, "medium")] {
            assert!(bands.contains(&format!("if (risk >= {least}) return \"{name}\"")), "{name}");
            assert_eq!((band(least), band(least - 1) == name), (name, false));
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!(
            (plural(1, "address"), plural(2, "address"), plural(0, "host")),
            ("1 address".into(), "2 addresses".into(), "0 hosts".into())
        );
        assert_eq!((bytes(999), bytes(1_250_000)), ("999 B".into(), "1.2 MB".into()));
        assert_eq!(
            (percent(1, 100_000), percent(99_999, 100_000), percent(1, 8)),
            ("<0.1 %".into(), ">99.9 %".into(), "12.5 %".into())
        );
        assert_eq!((span(1_026_000_000_000), span(90_000_000)), ("17 min 6 s".into(), "90 ms".into()));
        assert_eq!(clock(Ts(1_795_214_456_621_000_000)), "22:40:56");
    }
}
