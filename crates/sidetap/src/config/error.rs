//! What is wrong with a configuration, said so that it can be mended.

use std::path::{Path, PathBuf};

use super::raw::TABLES;
use super::words;

/// Why a configuration is refused.
#[derive(Debug)]
pub(crate) struct ConfigError {
    file: PathBuf,
    at: Option<(usize, usize)>,
    message: String,
}

impl ConfigError {
    /// The error that `toml` gives for `text`, with place and the nearest known key.
    pub(crate) fn toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map(|s| place(text, s.start));
        let first = error.message().lines().next().unwrap_or("not TOML");
        let in_words = || error.span().and_then(|s| words::of_value(first, text, s.start, s.end));
        let message = unknown_key(first).or_else(in_words).unwrap_or_else(|| first.to_owned());
        ConfigError { file: file.to_owned(), at, message }
    }

    /// An error about the meaning of the key whose name is `key` in `text`.
    pub(crate) fn value(file: &Path, text: &str, key: &str, message: String) -> Self {
        Self::repeated(file, text, key, 0, message)
    }

    /// The same, where the key stands several times: of the one after so many others.
    pub(crate) fn repeated(file: &Path, text: &str, key: &str, nth: usize, message: String) -> Self {
        let mut named = text.lines().zip(1..).filter(|(l, _)| l.trim_start().starts_with(key));
        let at = named.nth(nth).map(|(l, n)| {
            let column = l.len() - l.trim_start().len() + 1;
            (n, column)
        });
        ConfigError { file: file.to_owned(), at, message }
    }

    /// The file could not be read.
    pub(crate) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        ConfigError { file: file.to_owned(), at: None, message: format!("cannot read: {error}") }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Line and column, both from 1, of byte `offset`.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// Turns serde's `unknown field` into the nearest key, of this table or else of another.
fn unknown_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let here: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    if let Some(near) = nearest(key, here.iter().copied()) {
        return Some(format!("unknown key `{key}`; did you mean `{near}`?"));
    }
    let all = TABLES.iter().flat_map(|t| t.keys.iter().map(move |k| (t.name, k.name)));
    let elsewhere =
        all.filter(|(_, k)| distance(key, k) <= k.len() / 4).min_by_key(|(_, k)| distance(key, k));
    Some(match elsewhere {
        Some((table, near)) => format!("unknown key `{key}` here; `{near}` belongs into [{table}]"),
        None => format!("unknown key `{key}`; known here: {}", here.join(", ")),
    })
}

/// The candidate that `word` is most likely a misspelling of.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (score, near) = candidates.map(|c| (distance(&word.replace('-', "_"), c), c)).min()?;
    (score <= near.len().max(word.len()) / 2).then_some(near)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |r: &[usize], k: usize| r.get(k).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_swaps() {
        assert_eq!(distance("workers", "wrokers"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(
            nearest("trusted_proxy", ["workers", "trusted-proxies"].into_iter()),
            Some("trusted-proxies")
        );
        assert_eq!(nearest("zzz", ["workers"].into_iter()), None);
    }
}
