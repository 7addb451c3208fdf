use memchr::memmem::Finder;
use sidetap_model::{Anomaly, AnomalySet};

use super::multipart::parameter;

/// Parts looked at of one body.
const MOST_PARTS: usize = 256;
/// A boundary has at most so many characters (RFC 2046 §5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// What is odd of a multipart body (RFC 2046 §5.1.1, RFC 7578): its boundary, the fields of its parts, its end.
///
/// A delimiter stands at the beginning of a line and ends it. `whole` says that no byte of the body is missing; of a body that
/// is cut the end is not judged.
pub fn multipart_anomalies(content_type: &[u8], body: &[u8], whole: bool) -> AnomalySet {
    let mut odd = AnomalySet::default();
    let boundary = parameter(content_type, b"boundary", 0).and_then(|range| content_type.get(range));
    let Some(boundary) = boundary.filter(|b| is_boundary(b)) else {
        odd.insert(Anomaly::MultipartBoundary);
        return odd;
    };
    let delimiter = [b"--", boundary].concat();
    let finder = Finder::new(&delimiter);
    let mut part: Option<usize> = None;
    for at in finder.find_iter(body).take(MOST_PARTS * 2) {
        let rest = body.get(at + delimiter.len()..).unwrap_or_default();
        if !begins_line(body, at) || !ends_line(rest) {
            continue;
        }
        if let Some(start) = part {
            judge_part(body.get(start..at).unwrap_or_default(), &mut odd);
        }
        if rest.starts_with(b"--") {
            if !rest.get(2..).unwrap_or_default().trim_ascii().is_empty() {
                odd.insert(Anomaly::MultipartEpilogue);
            }
            return odd;
        }
        part = Some(at + delimiter.len());
    }
    if whole {
        odd.insert(Anomaly::MultipartUnclosed);
    }
    odd
}

/// The characters of RFC 2046's `bchars`, the last one no space.
fn is_boundary(bytes: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(b);
    !bytes.is_empty() && bytes.len() <= LONGEST_BOUNDARY && bytes.iter().all(fits) && !bytes.ends_with(b" ")
}

fn begins_line(body: &[u8], at: usize) -> bool {
    at == 0 || body.get(at - 1) == Some(&b'\n')
}

fn ends_line(rest: &[u8]) -> bool {
    let rest = rest.strip_prefix(b"--").unwrap_or(rest);
    // White space may pad the line (RFC 2046 §5.1.1).
    matches!(rest.iter().find(|b| !matches!(b, b' ' | b'\t')), None | Some(b'\r' | b'\n'))
}

/// A part, from behind its delimiter to before the next one.
fn judge_part(part: &[u8], odd: &mut AnomalySet) {
    let mut rest = after_line(part);
    let (mut names_file, mut fields) = (false, 0);
    loop {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            odd.insert(Anomaly::MultipartHeader);
            return;
        };
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        rest = rest.get(end + 1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        let colon = memchr::memchr(b':', line);
        let name = line.get(..colon.unwrap_or(0)).unwrap_or_default();
        let wrong = if folded { fields == 0 } else { name.is_empty() || name.contains(&b' ') };
        if wrong || name.eq_ignore_ascii_case(b"transfer-encoding") {
            odd.insert(Anomaly::MultipartHeader);
        }
        if name.eq_ignore_ascii_case(b"content-disposition") {
            names_file |= parameter(line, b"filename", 0).is_some_and(|name| !name.is_empty());
        }
        fields += 1;
    }
    if names_file && rest.trim_ascii().is_empty() {
        odd.insert(Anomaly::MultipartNoFile);
    }
}

fn after_line(bytes: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', bytes).and_then(|at| bytes.get(at + 1..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(boundary: &str, body: &str) -> Vec<&'static str> {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let body = body.replace('\n', "\r\n");
        multipart_anomalies(content_type.as_bytes(), body.as_bytes(), true)
            .iter()
            .map(Anomaly::code)
            .collect()
    }

    #[test]
    fn well_formed_bodies_have_nothing_odd() {
        let field = "Content-Disposition: form-data; name=\"a\"";
        let file = "Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\nContent-Type: text/plain";
        assert!(codes("b", &format!("--b\n{field}\n\nhello\n--b\n{file}\n\ntext\n--b--\n")).is_empty());
        assert!(codes("\"b c\"", &format!("preamble\n--b c \n{field}\n\n\n--b c--")).is_empty());
        // What only looks like a delimiter is content.
        assert!(codes("b", &format!("--b\n{field}\n\nx --b\n--bb\n--b--\n")).is_empty());
        let folded = "Content-Disposition: form-data;\n name=\"a\"";
        assert!(codes("b", &format!("--b\n{folded}\n\nhello\n--b--\n")).is_empty());
    }

    #[test]
    fn what_is_odd_is_told() {
        let field = "Content-Disposition: form-data; name=\"a\"";
        let file = "Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\"";
        let cases = [
            ("", String::new(), "multipart-boundary-invalid"),
            ("a@b", format!("--a@b\n{field}\n\nx\n--a@b--\n"), "multipart-boundary-invalid"),
            ("b", format!("--b\n{field}\n\nx\n"), "multipart-unclosed"),
            ("b", format!("--b\n{field}\n\nx\n--b--\nmore"), "multipart-epilogue"),
            ("b", "--b\nnonsense\n\nx\n--b--\n".to_owned(), "multipart-header-invalid"),
            ("b", format!("--b\n {field}\n\nx\n--b--\n"), "multipart-header-invalid"),
            ("b", format!("--b\n{field}\n--b--\n"), "multipart-header-invalid"),
            (
                "b",
                format!("--b\n{field}\nTransfer-Encoding: chunked\n\nx\n--b--\n"),
                "multipart-header-invalid",
            ),
            ("b", format!("--b\n{file}\n\n\n--b--\n"), "multipart-file-empty"),
        ];
        for (boundary, body, expected) in cases {
            assert_eq!(codes(boundary, &body), [expected], "{body}");
        }
        let long = "x".repeat(71);
        assert_eq!(codes(&long, &format!("--{long}--\n")), ["multipart-boundary-invalid"]);
        let cut = multipart_anomalies(b"multipart/mixed; boundary=b", b"--b\r\nA: b\r\n\r\nx", false);
        assert!(cut.is_empty());
    }
}
