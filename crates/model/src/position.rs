/// As [`Positions::of_item`], for one question.
pub fn of_item(text: &str, section: &str, index: usize, key: &str) -> (usize, usize) {
    Positions::new(text).of_item(section, index, key)
}

/// Where things stand in the text of a YAML file, for messages about them.
#[derive(Debug)]
pub struct Positions<'t> {
    lines: Vec<&'t str>,
    sections: Vec<Section<'t>>,
}

/// A top-level key with a list below it.
#[derive(Debug)]
struct Section<'t> {
    key: &'t str,
    start: usize,
    items: Vec<usize>,
    /// The line after the list.
    end: usize,
}

impl<'t> Positions<'t> {
    /// Reads the text once.
    pub fn new(text: &'t str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let keys = lines.iter().enumerate().filter_map(|(start, line)| {
            let (key, _) = line.split_once(':')?;
            (indent(line) == 0 && !key.is_empty() && !key.starts_with(['-', '#'])).then_some((start, key))
        });
        let sections = keys
            .map(|(start, key)| {
                let (items, end) = item_lines(&lines, start);
                Section { key, start, items, end }
            })
            .collect();
        Positions { lines, sections }
    }

    /// Where the `index`-th item of the list under the top-level key `section` has `key` (or begins, where it has not): line and
    /// column from 1, the column of the value. Lists in flow style (`[…]`) give the line of the section.
    pub fn of_item(&self, section: &str, index: usize, key: &str) -> (usize, usize) {
        let Some(list) = self.sections.iter().find(|s| s.key == section) else { return (0, 0) };
        let Some(first) = list.items.get(index).copied() else { return (list.start + 1, 1) };
        let end = list.items.get(index + 1).copied().unwrap_or(list.end);
        for (n, line) in self.lines.iter().enumerate().take(end).skip(first) {
            let body = line.trim_start().trim_start_matches("- ").trim_start();
            let Some(value) = body.strip_prefix(key).and_then(|r| r.strip_prefix(':')) else { continue };
            let column = line.len() - value.trim_start().len();
            return (n + 1, line.get(..column).map_or(1, |l| l.chars().count() + 1));
        }
        (first + 1, indent(self.lines.get(first).copied().unwrap_or_default()) + 1)
    }
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
