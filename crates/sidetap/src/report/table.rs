//! Tables of plain text that fit the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::{Style, Terminal, plain};

/// A column: its title, and how it is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    flexible: bool,
}

impl Column {
    /// Text, as wide as its longest.
    pub(crate) const fn text(title: &'static str) -> Self {
        Column { title, right: false, flexible: false }
    }

    /// Numbers.
    pub(crate) const fn number(title: &'static str) -> Self {
        Column { title, right: true, flexible: false }
    }

    /// Text that gives way where the line is too long.
    pub(crate) const fn flexible(title: &'static str) -> Self {
        Column { title, right: false, flexible: true }
    }
}

/// A table. Cells are made harmless here: callers hand over strings as they came.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Option<Style>)>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.styled(cells.map(|c| (c, None)));
    }

    /// Adds a row of which some cells stand out.
    pub(crate) fn styled<const N: usize>(&mut self, cells: [(&str, Option<Style>); N]) {
        self.rows.push(cells.iter().map(|(text, style)| (plain(text).into_owned(), *style)).collect());
    }

    /// The table's lines, indented by two.
    pub(crate) fn render(&self, terminal: &Terminal) -> String {
        let widths = self.widths(terminal.width.saturating_sub(2));
        let mut out = String::new();
        if self.columns.iter().any(|c| !c.title.is_empty()) {
            let titles: Vec<_> =
                self.columns.iter().map(|c| (c.title.to_owned(), Some(Style::Dim))).collect();
            self.line(&titles, &widths, terminal, &mut out);
        }
        for row in &self.rows {
            self.line(row, &widths, terminal, &mut out);
        }
        out
    }

    fn widths(&self, room: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|c| c.title.width()).collect();
        for row in &self.rows {
            for (width, (cell, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let gaps = 2 * widths.len().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(room);
        while over > 0 {
            let flexible = self.columns.iter().zip(&mut widths).filter(|(c, w)| c.flexible && **w > 10);
            let Some((_, widest)) = flexible.max_by_key(|(_, w)| **w) else { break };
            *widest -= 1;
            over -= 1;
        }
        widths
    }

    fn line(
        &self,
        cells: &[(String, Option<Style>)],
        widths: &[usize],
        terminal: &Terminal,
        out: &mut String,
    ) {
        let mut line = String::new();
        for ((column, width), (text, style)) in self.columns.iter().zip(widths).zip(cells) {
            let text = fit(text, *width);
            let pad = " ".repeat(width.saturating_sub(text.width()));
            let painted = style.map_or_else(|| text.clone(), |s| terminal.paint(s, &text));
            line.push_str("  ");
            match column.right {
                true => line.extend([pad, painted]),
                false => line.extend([painted, pad]),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// `text` cut to `width` columns, with `…` where something is missing.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flexible_column_gives_way() {
        let mut table = Table::new(&[Column::number("N"), Column::flexible("NAME"), Column::text("END")]);
        table.row(["1,000", &"x".repeat(100), "z"]);
        table.row(["2", "日本語\u{1b}[0m", "z"]);
        let text = table.render(&Terminal { width: 40, colour: false });
        assert!(text.lines().all(|l| l.width() <= 40), "{text}");
        assert!(text.contains('…') && text.contains("日本語\\x1b[0m") && !text.contains('\u{1b}'), "{text}");
    }
}
