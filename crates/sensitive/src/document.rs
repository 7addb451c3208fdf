use std::io::{BufRead, Write};
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sidetap_model::HashKey;
use sidetap_wire::body::{
    Kind, Location, Scalar, Visitor, WalkLimits, WalkScratch, kind_of, raw_offset, walk,
};

use crate::{Hits, Pack, Scanner, SensitiveError};

/// A part of a document that reads as a type. Offsets are of bytes in the body as given, before unescaping.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DocumentSpan {
    /// The type's id.
    #[serde(rename = "type")]
    pub kind: String,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// 0 to 1.
    pub confidence: f64,
}

/// Looks at one document; gives the best reading of each span, in order.
pub fn scan_document(scanner: &mut Scanner, content_type: &str, body: &[u8]) -> Vec<DocumentSpan> {
    let kind = kind_of(Some(content_type.as_bytes()), body);
    let mut reader = Reader { scanner, kind, body, hits: Hits::new(), spans: Vec::new() };
    let limits = WalkLimits { tokens: u32::MAX, ..WalkLimits::default() };
    walk(kind, Some(content_type.as_bytes()), body, &limits, &mut WalkScratch::default(), &mut reader);
    let mut spans = reader.spans;
    spans.sort_by_key(|s| s.start);
    spans
}

struct Reader<'a> {
    scanner: &'a mut Scanner,
    kind: Kind,
    body: &'a [u8],
    hits: Hits,
    spans: Vec<DocumentSpan>,
}

impl Visitor for Reader<'_> {
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, span: Range<usize>) {
        let (Scalar::Str(text) | Scalar::Num(text)) = value else { return };
        self.hits.clear();
        self.scanner.value_at(at, text, &mut self.hits);
        let raw = self.body.get(span.clone()).unwrap_or_default();
        let offset =
            |n: usize| span.start + if raw.len() == text.len() { n } else { raw_offset(self.kind, raw, n) };
        for hit in &self.hits {
            let Some(kind) = self.scanner.pack().get(hit.kind) else { continue };
            self.spans.push(DocumentSpan {
                kind: kind.id.clone(),
                start: offset(hit.span.start),
                end: offset(hit.span.end),
                confidence: f64::from(hit.confidence) / 100.0,
            });
        }
    }
}

#[derive(Deserialize)]
struct Document {
    id: serde_json::Value,
    #[serde(default)]
    content_type: String,
    body: String,
}

#[derive(Serialize)]
struct Answer {
    id: serde_json::Value,
    spans: Vec<DocumentSpan>,
}

/// Readings less sure than this are not given for documents.
const DOCUMENT_FLOOR: u8 = 20;

/// Reads `{"id","content_type","body"}` a line and writes `{"id","spans":[{"type","start","end","confidence"}]}` a line.
pub fn scan_ndjson(
    pack: &Arc<Pack>,
    reader: impl BufRead,
    mut writer: impl Write,
) -> Result<(), SensitiveError> {
    let mut scanner = Scanner::new(pack, HashKey::from_bytes([0; 16])).with_floor(DOCUMENT_FLOOR);
    for (at, line) in reader.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let document: Document = serde_json::from_str(&line)
            .map_err(|source| SensitiveError::Document { line: at + 1, source })?;
        let spans = scan_document(&mut scanner, &document.content_type, document.body.as_bytes());
        serde_json::to_writer(&mut writer, &Answer { id: document.id, spans })
            .map_err(std::io::Error::from)?;
        writer.write_all(b"\n")?;
    }
    Ok(writer.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_of_the_body_as_given() {
        let input = r#"{"id":7,"content_type":"application/json","body":"{\"n\\u006fte\":\"\\u00e9 mail ada@example.org\"}"}"#;
        let mut out = Vec::new();
        scan_ndjson(&Arc::new(Pack::builtin().unwrap()), input.as_bytes(), &mut out).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(answer["id"], 7);
        let body = r#"{"n\u006fte":"\u00e9 mail ada@example.org"}"#;
        let span = &answer["spans"][0];
        let at = |k: &str| span[k].as_u64().unwrap() as usize;
        assert_eq!(&body[at("start")..at("end")], "ada@example.org");
        assert_eq!(span["type"], "email");
    }
}
