/// Longest time to live that a pack may give: 90 days.
const MAX_S: u64 = 90 * 86_400;

/// Reads a time to live: a number with `s`, `m`, `h` or `d`, several of them joined (`1h30m`); from 1 second to 90 days.
pub fn parse_ttl(text: &str) -> Result<u64, String> {
    let form = || format!("`{text}` is not a duration");
    let mut total: u64 = 0;
    let mut number = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(form()),
        };
        let n: u64 = number.parse().map_err(|_| form())?;
        number.clear();
        total = total.saturating_add(n.saturating_mul(unit));
    }
    if !number.is_empty() || text.trim().is_empty() {
        return Err(form());
    }
    match total {
        0 => Err("a duration of nothing".into()),
        t if t > MAX_S => Err(format!("`{text}` is longer than 90 days")),
        t => Ok(t),
    }
}

/// Writes seconds in the largest unit that divides them.
pub fn format_ttl(seconds: u64) -> String {
    let unit = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
        .into_iter()
        .find(|(n, _)| seconds > 0 && seconds.is_multiple_of(*n));
    unit.map_or_else(|| format!("{seconds}s"), |(n, letter)| format!("{}{letter}", seconds / n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        assert_eq!(parse_ttl("10m"), Ok(600));
        assert_eq!(parse_ttl("1h30m"), Ok(5400));
        assert_eq!(parse_ttl("24h"), Ok(86_400));
        for bad in ["", "10", "m", "10x", "-5m", "0s", "91d", "99999999999999999999d", "1h5"] {
            assert!(parse_ttl(bad).is_err(), "{bad}");
        }
        assert_eq!(format_ttl(5400), "90m");
        assert_eq!(format_ttl(86_400), "1d");
        assert_eq!(format_ttl(61), "61s");
    }
}
