//! What stands in text: e-mail addresses, anchored secrets, passwords that are spoken of.

use regex_automata::{Anchored, Input};
use smallvec::SmallVec;

use super::{Finder, HIT_LIMIT, Reading, is_word};
use crate::pack::{Type, TypeId};
use crate::validate::is_domain;

impl Finder<'_> {
    /// An e-mail address around this `@`.
    #[inline(never)]
    pub(super) fn email(&mut self, at: usize) {
        let Some((id, kind)) = self.special("email").and_then(|id| Some((id, self.pack.get(id)?))) else {
            return;
        };
        let local = |b: &&u8| is_word(**b) || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'');
        let head = self.bytes.get(at.saturating_sub(64)..at).unwrap_or_default();
        let start = at - head.iter().rev().take_while(local).count();
        let tail = self.bytes.get(at + 1..).unwrap_or_default();
        let host = tail.iter().take(254).take_while(|b| is_word(**b) || matches!(b, b'.' | b'-')).count();
        let Some(domain) = self.text.get(at + 1..at + 1 + host) else { return };
        let domain = domain.trim_end_matches(['.', '-']);
        let Some(name) = self.text.get(start..at) else { return };
        let in_url = self
            .text
            .get(..start)
            .and_then(|t| t.rfind("://").map(|n| &t[n + 3..]))
            .is_some_and(|t| !t.contains(['/', ' ', '?', '&']));
        if name.is_empty() || name.starts_with('.') || in_url || !is_domain(domain) {
            return;
        }
        let span = start..at + 1 + domain.len();
        let mut reading = self.reading(id, kind, &self.naming_of(&span), false);
        let role = ["noreply", "no-reply", "donotreply", "git", "support", "info"];
        if role.contains(&name.to_ascii_lowercase().as_str()) {
            reading.confidence /= 2;
        }
        self.offer(span, SmallVec::from_slice(&[reading]));
    }

    /// Secrets whose anchor is no word.
    #[inline(never)]
    pub(super) fn anchored(&mut self) {
        let pack = self.pack;
        for found in pack.anchors.find_overlapping_iter(self.bytes) {
            if let Some(id) = pack.anchor_types.get(found.pattern().as_usize()) {
                self.secret(*id, found.start());
            }
            if self.hits.len() - self.first >= HIT_LIMIT {
                return;
            }
        }
    }

    /// Secrets whose anchor may begin with the word here.
    #[inline(never)]
    pub(super) fn begun(&mut self, start: usize) {
        if self.before(start) == Some(b'_') {
            return;
        }
        let pack = self.pack;
        for id in pack.starts.types(self.bytes.get(start..).unwrap_or_default()) {
            self.secret(id, start);
        }
    }

    /// Reads a secret from its anchor on.
    fn secret(&mut self, id: TypeId, start: usize) {
        let Some((kind, pattern)) = self.pack.get(id).and_then(|k| Some((k, k.pattern.as_ref()?))) else {
            return;
        };
        let input = Input::new(self.bytes).range(start..).anchored(Anchored::Yes);
        let Some(end) = pattern.search(&input).map(|m| m.end()) else { return };
        let Some(text) = self.text.get(start..end) else { return };
        let word = |at: usize| self.byte(at).is_some_and(|b| b.is_ascii_alphanumeric());
        if end > 0 && word(end - 1) && (word(end) || self.byte(end) == Some(b'_')) || !kind.is_valid(text) {
            return;
        }
        let reading = self.reading(id, kind, &self.naming_of(&(start..end)), false);
        self.offer(start..end, SmallVec::from_slice(&[reading]));
    }

    /// `password: …` in prose: the word after the type's name, where it looks like no word.
    #[inline(never)]
    pub(super) fn spoken(&mut self) {
        let pack = self.pack;
        for id in &pack.in_text {
            let Some(kind) = pack.get(*id) else { continue };
            for word in ["password", "passwd", "passphrase", "pwd"] {
                let found: SmallVec<[usize; 4]> =
                    memchr::memmem::find_iter(self.bytes, word).take(8).collect();
                for at in found {
                    if !self.is_attribute(at) {
                        self.spoken_after(*id, kind, at + word.len());
                    }
                }
            }
        }
    }

    /// True of a word that is the value of something itself, as in `type=password name=…`: markup and programs that name the field.
    fn is_attribute(&self, at: usize) -> bool {
        let before = self.text.get(..at).unwrap_or_default();
        before.trim_end_matches(['"', '\'']).ends_with('=')
    }

    fn spoken_after(&mut self, id: TypeId, kind: &Type, from: usize) {
        let Some(rest) = self.text.get(from..).filter(|r| r.starts_with([' ', ':', '='])) else { return };
        let mut value = rest.trim_start_matches([' ', ':', '=', '"', '\'']);
        for filler in ["is ", "was "] {
            value = value.strip_prefix(filler).unwrap_or(value);
        }
        let start = self.text.len() - value.len();
        let value = value
            .split([' ', '\n', '\t', '"', '<'])
            .next()
            .unwrap_or_default()
            .trim_end_matches(['.', ',', ';', '\'']);
        let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
        let odd = value.bytes().skip(1).any(|b| !b.is_ascii_lowercase() && b != b'-' && b != b'\'');
        // `password:!0,image:!0}`, `password=e.value)`: a program, which names the field.
        let code =
            value.contains(['(', ')', '{', '}', '[', ']']) || value.contains(',') && value.contains(':');
        if (6..=64).contains(&value.len())
            && letters
            && odd
            && !code
            && !value.contains("://")
            && kind.is_valid(value)
        {
            let confidence = kind.confidence.named.saturating_sub(25);
            let reading = Reading { kind: id, confidence, chance: kind.chance };
            self.offer(start..start + value.len(), SmallVec::from_slice(&[reading]));
        }
    }
}
