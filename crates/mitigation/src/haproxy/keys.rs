//! The map of all that is no address, with the maps of places and networks that entries for hosts and endpoints need.
//!
//! A line is `KEY END:RESPONSE:OWNER:VERDICT`, and of an entry for a place `WHO@CELL END:RESPONSE:OWNER:VERDICT:WHO@PLACE`, once for
//! each cell of the place. Where a rule says how a response is done, VERDICT is `VERDICT=WAY`. Cells are those of all Sidetaps' places together, so whoever writes puts the lines of the others right too.

use std::collections::BTreeMap;

use super::map::{MapLine, heard, is_over, told};
use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::key::Key;
use crate::place::Spread;

/// What the map of keys holds, sorted out.
pub(super) struct Held {
    owner: String,
    /// Own entries.
    pub(super) own: Vec<Entry>,
    /// Entries of other Sidetaps, with their marks.
    others: Vec<(Entry, String)>,
    /// Lines that are no Sidetap's.
    lines: Vec<MapLine>,
}

/// The lines that the maps should have.
pub(super) struct Lines {
    pub(super) keys: Vec<MapLine>,
    pub(super) places: Vec<MapLine>,
    pub(super) nets: Vec<MapLine>,
}

impl Held {
    /// What is over of other Sidetaps is nobody's.
    pub(super) fn of(lines: &[MapLine], owner: &str, now: i64) -> Self {
        let (mut all, mut foreign) = (BTreeMap::new(), Vec::new());
        for line in lines {
            match read(line) {
                Some((entry, mark)) if mark != owner && is_over(entry.expires_at, now) => {}
                Some((entry, mark)) => drop(all.insert((mark.to_owned(), entry.key.clone()), entry)),
                None => foreign.push(line.clone()),
            }
        }
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|((mark, _), _)| mark == owner);
        Held {
            owner: owner.to_owned(),
            own: own.into_iter().map(|(_, e)| e).collect(),
            others: others.into_iter().map(|((mark, _), e)| (e, mark)).collect(),
            lines: foreign,
        }
    }

    /// How many entries are not ours.
    pub(super) fn foreign(&self) -> usize {
        self.others.len() + self.lines.len()
    }

    /// The lines for these entries of ours beside those of others.
    pub(super) fn render(&self, own: Vec<Entry>) -> Result<Lines, ConnectorError> {
        let mut all: Vec<(&Entry, &str)> = own.iter().map(|e| (e, self.owner.as_str())).collect();
        all.extend(self.others.iter().map(|(e, mark)| (e, mark.as_str())));
        let spread = Spread::of(&all)?;
        // HAProxy takes the first line of a key: what was put there by hand comes last.
        let mut keys: Vec<MapLine> =
            spread.lines.into_iter().map(|(key, entry, mark)| line(key, entry, mark)).collect();
        keys.extend(self.lines.iter().cloned());
        Ok(Lines {
            keys,
            places: spread
                .cells
                .into_iter()
                .map(|c| MapLine { key: c.place.pattern(), value: c.name })
                .collect(),
            nets: spread
                .nets
                .into_iter()
                .map(|n| MapLine { key: Key::Net(n).to_string(), value: Key::Net(n).to_string() })
                .collect(),
        })
    }
}

fn line(key: String, entry: &Entry, mark: &str) -> MapLine {
    let place = if entry.key.who_and_place().1.is_some() { format!(":{}", entry.key) } else { String::new() };
    let value = format!("{}:{}:{mark}:{}{place}", entry.expires_at, entry.response, told(entry));
    MapLine { key, value }
}

/// Whether a line is a Sidetap's.
pub(super) fn is_marked(line: &MapLine) -> bool {
    read(line).is_some()
}

/// The entry of a line, with its owner's mark.
fn read(line: &MapLine) -> Option<(Entry, &str)> {
    let mut parts = line.value.splitn(5, ':');
    let (end, response, mark, verdict) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let key: Key = parts.next().unwrap_or(&line.key).parse().ok()?;
    let response = response.parse().ok()?;
    let (verdict, way) = heard(response, verdict)?;
    let entry = Entry { key, response, expires_at: end.parse().ok()?, verdict, priority: (0, 0), way };
    Some((entry, mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidetap_policy::Response;

    fn entry(key: &str, response: Response) -> Entry {
        Entry {
            key: key.parse().unwrap(),
            response,
            expires_at: 17,
            verdict: "v-1".into(),
            priority: (0, 0),
            way: None,
        }
    }

    #[test]
    fn entries_are_read_as_they_are_written() {
        let mut own = vec![
            entry("a1-0123456789abcdef", Response::Tag),
            entry("192.0.2.1|session:0123456789abcdef", Response::Block),
            entry("192.0.2.1@POST,shop.example/login", Response::Challenge),
            entry("192.0.2.0/24@*,shop.example/**", Response::Block),
            entry("192.0.0.0/16@*,/login", Response::RateLimit),
            entry("2001:db8::1@*,/login", Response::RateLimit),
            entry("header:user-agent=x%20y@*,/login", Response::Block),
        ];
        own[0].way = Some(crate::way::Way::Value("bot".into()));
        own.sort_by(|a, b| a.key.cmp(&b.key));
        let mine = MapLine { key: "mine".into(), value: "1".into() };
        let held = Held::of(std::slice::from_ref(&mine), "sidetap", 0);
        let lines = held.render(own.clone()).unwrap();
        let again = Held::of(&lines.keys, "sidetap", 0);
        assert_eq!((again.own.clone(), again.lines.clone()), (own.clone(), vec![mine]));
        assert_eq!(again.render(again.own.clone()).unwrap().keys, lines.keys);
        assert_eq!(lines.nets.len(), 2);
        assert_eq!(lines.places.len(), 4, "three places, and what is in two of them");
        let login = &lines.places.iter().find(|p| p.key.contains("POST")).unwrap().value;
        let found = lines.keys.iter().find(|l| l.key == format!("192.0.2.0/24@{login}")).unwrap();
        assert!(found.value.contains(":block:"), "the strongest of both networks comes first: {found:?}");
        // Another Sidetap's scopes make other cells, and its lines stay.
        let other = Held::of(&lines.keys, "other", 0);
        let with = other.render(vec![entry("192.0.2.9@POST,/login", Response::Block)]).unwrap();
        let back = Held::of(&with.keys, "sidetap", 0);
        assert_eq!((back.own, back.others.len()), (own, 1));
        let later = Held::of(&with.keys, "other", 100);
        assert_eq!((later.own.len(), later.others.len()), (1, 0), "what is over is nobody's");
    }
}
