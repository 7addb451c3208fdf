/// Where the `index`-th item of the list under the top-level key `section` has `key` (or begins, where it has not): line and
/// column from 1, the column of the value. Lists in flow style (`[…]`) give the line of the section.
pub fn of_item(text: &str, section: &str, index: usize, key: &str) -> (usize, usize) {
    let lines: Vec<&str> = text.lines().collect();
    let Some(start) = lines.iter().position(|l| l.strip_prefix(section).is_some_and(|r| r.starts_with(':')))
    else {
        return (0, 0);
    };
    let (items, list_end) = item_lines(&lines, start);
    let Some(first) = items.get(index).copied() else { return (start + 1, 1) };
    let end = items.get(index + 1).copied().unwrap_or(list_end);
    for (n, line) in lines.iter().enumerate().take(end).skip(first) {
        let body = line.trim_start().trim_start_matches("- ").trim_start();
        let Some(value) = body.strip_prefix(key).and_then(|r| r.strip_prefix(':')) else { continue };
        let column = line.len() - value.trim_start().len();
        return (n + 1, line.get(..column).map_or(1, |l| l.chars().count() + 1));
    }
    (first + 1, indent(lines.get(first).copied().unwrap_or_default()) + 1)
}

/// Lines on which items of the list below line `start` begin, and the line after the list.
fn item_lines(lines: &[&str], start: usize) -> (Vec<usize>, usize) {
    let mut items = Vec::new();
    let mut depth = None;
    for (n, line) in lines.iter().enumerate().skip(start + 1) {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let is_item = trimmed == "-" || trimmed.starts_with("- ");
        if !is_item && indent(line) == 0 {
            return (items, n);
        }
        if is_item && *depth.get_or_insert(indent(line)) == indent(line) {
            items.push(n);
        }
    }
    (items, lines.len())
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_keys_of_items() {
        let text = "version: 1\nrules:\n  # one\n  - id: a\n    ttl: 1h\n  - id: b\n    when: >\n      x\n    ttl: 9q\nallow:\n- ip: 1.2.3.4\n";
        assert_eq!(of_item(text, "rules", 0, "ttl"), (5, 10));
        assert_eq!(of_item(text, "rules", 1, "ttl"), (9, 10));
        assert_eq!(of_item(text, "rules", 1, "id"), (6, 9));
        assert_eq!(of_item(text, "rules", 1, "nothing"), (6, 3));
        assert_eq!(of_item(text, "rules", 1, "ip"), (6, 3), "the list is over there");
        assert_eq!(of_item(text, "allow", 0, "ip"), (11, 7));
        assert_eq!(of_item(text, "guards", 0, "ip"), (0, 0));
    }
}
