//! The part of a long text that is shown of it.

/// What of a masked text is shown so that `part` is seen: at most so many characters, with what stands around it. `None` where the part
/// is not in it as it was.
pub(crate) fn about(text: &str, part: &str, most: usize, cut: (bool, bool)) -> Option<String> {
    let at = text.find(part).filter(|_| !part.is_empty())?;
    let (before, behind) = (text.get(..at)?, text.get(at..)?);
    let room = most.saturating_sub(part.chars().count()) / 2;
    let from = before.char_indices().rev().nth(room.saturating_sub(1)).map_or(0, |(from, _)| from);
    let from = if room == 0 { at } else { from };
    let all = before.get(from..).unwrap_or_default().chars().count();
    let to = behind.char_indices().nth(most.saturating_sub(all)).map_or(behind.len(), |(to, _)| to);
    let mut out = String::with_capacity(to + at - from + 6);
    if from > 0 || cut.0 {
        out.push('…');
    }
    out.push_str(text.get(from..at + to)?);
    if to < behind.len() || cut.1 {
        out.push('…');
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_is_seen_wherever_it_stands() {
        let said = |text: &str, most| about(text, "ORA-01756", most, (false, false));
        assert_eq!(said("an ORA-01756", 40).as_deref(), Some("an ORA-01756"));
        for (before, behind) in [(0, 900), (1, 900), (500, 500), (900, 1), (900, 0), (30, 30)] {
            for filling in ["x", "é", "太"] {
                let text = format!("{}ORA-01756{}", filling.repeat(before), filling.repeat(behind));
                let shown = said(&text, 40).unwrap();
                let length = shown.chars().count();
                assert!(
                    shown.contains("ORA-01756") && (24..=42).contains(&length),
                    "{before} {behind}: {shown}"
                );
                assert_eq!(shown.starts_with('…'), before > 15, "{before} {behind}: {shown}");
            }
        }
        assert_eq!(said(&"x".repeat(900), 40), None);
        assert!(said("ORA-01756", 3).is_some_and(|s| s.chars().count() <= 5));
        assert_eq!(
            about("an ORA-01756 here", "ORA-01756", 40, (true, true)).as_deref(),
            Some("…an ORA-01756 here…")
        );
    }
}
