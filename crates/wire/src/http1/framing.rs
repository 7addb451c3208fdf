use sidetap_model::{Anomaly, AnomalySet, Version};

use super::fields;

/// How far a message's body reaches (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is none.
    None,
    /// This many bytes.
    Length(u64),
    /// As the chunked coding says.
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
}

/// What header fields say on the framing of the message and on the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    /// The first Content-Length that can be read.
    pub content_length: Option<u64>,
    /// There was a Transfer-Encoding.
    pub transfer_encoding: bool,
    /// The transfer codings name chunked.
    pub chunked: bool,
    /// `Connection: close`.
    pub close: bool,
    /// `Connection: keep-alive`.
    pub keep_alive: bool,
    /// There was an Upgrade field.
    pub upgrade: bool,
    /// `Expect: 100-continue`.
    pub expect_continue: bool,
    /// Host fields.
    pub hosts: u8,
    /// The port that the last Host names.
    pub host_port: Option<u16>,
    range_length: Option<u64>,
    content_lengths: u8,
    chunked_count: u8,
    other_codings: u8,
    chunked_last: bool,
}

impl Hints {
    /// Takes note of one field. Costs a comparison of lengths for most.
    pub(super) fn note(&mut self, name: &[u8], value: &[u8], anomalies: &mut AnomalySet) {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value, anomalies),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                let continues = value.eq_ignore_ascii_case(b"100-continue");
                self.expect_continue |= continues;
                if !continues {
                    anomalies.insert(Anomaly::ExpectUnknown);
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            13 if name.eq_ignore_ascii_case(b"authorization") => fields::note_authorization(value, anomalies),
            13 if name.eq_ignore_ascii_case(b"content-range") => {
                self.range_length = fields::content_range(value, anomalies);
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value, anomalies),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value, anomalies),
            19 if name.eq_ignore_ascii_case(b"content-disposition") => {
                fields::note_disposition(value, anomalies);
            }
            _ => {}
        }
    }

    fn host(&mut self, value: &[u8], anomalies: &mut AnomalySet) {
        self.hosts = self.hosts.saturating_add(1);
        self.host_port = fields::note_authority(value, anomalies);
        if value.is_empty() {
            anomalies.insert(Anomaly::HostInvalid);
        }
    }

    fn connection(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
            return;
        }
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Of several lengths the first is believed: what follows differs at its own risk (RFC 9112 §6.3 asks a server to refuse).
    fn content_length(&mut self, value: &[u8], anomalies: &mut AnomalySet) {
        if let (None, Some(length)) = (self.content_length, plain_length(value)) {
            self.content_lengths = self.content_lengths.saturating_add(1);
            self.content_length = Some(length);
            return;
        }
        let mut any = false;
        for one in list(value) {
            any = true;
            self.content_lengths = self.content_lengths.saturating_add(1);
            let Some(length) = length_of(one, anomalies) else { continue };
            match self.content_length {
                None => self.content_length = Some(length),
                Some(first) if first == length => anomalies.insert(Anomaly::ContentLengthDuplicate),
                Some(_) => anomalies.insert(Anomaly::ContentLengthConflict),
            }
        }
        if !any {
            anomalies.insert(Anomaly::ContentLengthInvalid);
        }
    }

    fn transfer_encoding(&mut self, value: &[u8], anomalies: &mut AnomalySet) {
        self.transfer_encoding = true;
        if value.split(|b| *b == b',').any(|member| member.trim_ascii().is_empty()) {
            anomalies.insert(Anomaly::TransferEncodingOdd);
        }
        for coding in list(value) {
            let name = coding.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
            self.chunked_last = name.eq_ignore_ascii_case(b"chunked");
            if self.chunked_last {
                self.chunked = true;
                self.chunked_count = self.chunked_count.saturating_add(1);
                if name.len() != coding.len() {
                    anomalies.insert(Anomaly::TransferEncodingInvalid);
                }
            } else {
                self.other_codings = self.other_codings.saturating_add(1);
            }
        }
    }

    fn check(&self, version: Version, anomalies: &mut AnomalySet) {
        if !self.transfer_encoding {
            return;
        }
        if self.content_lengths > 0 {
            anomalies.insert(Anomaly::ContentLengthAndTransferEncoding);
        }
        if version < Version(1, 1) {
            anomalies.insert(Anomaly::TransferEncodingHttp10);
        }
        if !self.chunked_last {
            anomalies.insert(Anomaly::TransferEncodingInvalid);
        }
        if self.chunked_count > 1 || (self.chunked && self.other_codings > 0) {
            anomalies.insert(Anomaly::TransferEncodingMultiple);
        }
    }

    /// Notes what is wrong with the whole head of a request.
    pub(super) fn check_request(&self, version: Version, anomalies: &mut AnomalySet) {
        self.check(version, anomalies);
        match self.hosts {
            0 if version >= Version(1, 1) => anomalies.insert(Anomaly::HostMissing),
            0 | 1 => {}
            _ => anomalies.insert(Anomaly::HostDuplicate),
        }
    }

    /// Notes what is wrong with the whole head of a response.
    pub(super) fn check_response(&self, version: Version, anomalies: &mut AnomalySet) {
        self.check(version, anomalies);
        if self.range_length.zip(self.content_length).is_some_and(|(part, whole)| part != whole) {
            anomalies.insert(Anomaly::RangeInvalid);
        }
    }
}

/// The members of a comma-separated list, empty ones left out.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|v| !v.is_empty())
}

/// A length as nearly all are written: digits alone, without a 0 in front.
fn plain_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || (value.len() > 1 && value.starts_with(b"0")) {
        return None;
    }
    value.iter().try_fold(0, |n: u64, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| n * 10 + u64::from(digit))
    })
}

fn length_of(text: &[u8], anomalies: &mut AnomalySet) -> Option<u64> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count < text.len() {
        anomalies.insert(if count == digits.len() {
            Anomaly::ContentLengthOdd
        } else {
            Anomaly::ContentLengthInvalid
        });
    } else if count > 1 && digits.starts_with(b"0") {
        anomalies.insert(Anomaly::ContentLengthOdd);
    }
    let number = std::str::from_utf8(digits.get(..count)?).ok()?.parse::<u64>();
    match number {
        Ok(n) if n <= i64::MAX as u64 => Some(n),
        _ => {
            anomalies.insert(Anomaly::ContentLengthInvalid);
            None
        }
    }
}

/// The framing of a request's body (RFC 9112 §6.3). A Transfer-Encoding outweighs a Content-Length; one that does not name
/// chunked leaves the Content-Length, as servers that ignore unknown codings do.
pub fn request_framing(hints: &Hints) -> Framing {
    match hints.content_length {
        _ if hints.chunked => Framing::Chunked,
        Some(0) | None => Framing::None,
        Some(length) => Framing::Length(length),
    }
}

/// The framing of a response's body, given the method that it answers (`None` where that is not known: taken for GET).
pub fn response_framing(method: Option<&[u8]>, status: u16, hints: &Hints) -> Framing {
    if method == Some(b"HEAD") || matches!(status, 100..=199 | 204 | 304) {
        return Framing::None;
    }
    if method == Some(b"CONNECT") && matches!(status, 200..=299) {
        return Framing::None;
    }
    match hints.content_length {
        _ if hints.chunked => Framing::Chunked,
        _ if hints.transfer_encoding => Framing::UntilClose,
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    }
}
