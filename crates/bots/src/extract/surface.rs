//! What was asked for, and what was odd about how.

use sidetap_model::{Anomaly, AnomalySet};
use sidetap_wire::names::NameSet;

use super::headers::Head;
use crate::observation::{Surface, Traits};

/// What was odd about the protocol, by what it may mean.
pub(super) fn anomalies(traits: &mut Traits, seen: &AnomalySet) {
    if seen.is_empty() {
        return;
    }
    traits.insert(Traits::ANOMALY);
    for anomaly in seen.iter() {
        traits.insert(match anomaly {
            Anomaly::ContentLengthAndTransferEncoding
            | Anomaly::ContentLengthConflict
            | Anomaly::ContentLengthInvalid
            | Anomaly::ContentLengthOdd
            | Anomaly::TransferEncodingInvalid
            | Anomaly::TransferEncodingOdd
            | Anomaly::TransferEncodingMultiple
            | Anomaly::TransferEncodingHttp10
            | Anomaly::HostDuplicate
            | Anomaly::HostMismatch => Traits::FRAMING_ANOMALY,
            Anomaly::BareLf
            | Anomaly::BareCr
            | Anomaly::ObsFold
            | Anomaly::SpaceBeforeColon
            | Anomaly::HeaderNoColon
            | Anomaly::HeaderNameInvalid
            | Anomaly::HeaderValueControl
            | Anomaly::RequestLineInvalid
            | Anomaly::RequestLineSpaces
            | Anomaly::MethodInvalid
            | Anomaly::MethodOdd
            | Anomaly::TargetInvalid
            | Anomaly::TargetForm
            | Anomaly::VersionOdd
            | Anomaly::LeadingSpace => Traits::LINE_ANOMALY,
            Anomaly::MultipartBoundary | Anomaly::MultipartUnclosed | Anomaly::MultipartHeader => {
                Traits::BODY_ANOMALY
            }
            Anomaly::TcpOverlapDiffers
            | Anomaly::IpFragmentsDiffer
            | Anomaly::TcpSynData
            | Anomaly::TcpSplitHandshake
            | Anomaly::TcpResetData
            | Anomaly::TcpAckUnseen => Traits::TCP_ANOMALY,
            Anomaly::TargetDoubleEncoded | Anomaly::TargetPercentInvalid => Traits::PATH_ODD,
            _ => continue,
        });
    }
}

/// Extensions of what belongs to pages.
fn is_asset(extension: &[u8]) -> bool {
    static NAMES: NameSet = NameSet::new(&[
        b"js", b"css", b"png", b"jpg", b"jpeg", b"gif", b"svg", b"ico", b"webp", b"avif", b"woff", b"woff2",
        b"ttf", b"map", b"mp4", b"mjs",
    ]);
    NAMES.has(extension)
}

/// What was asked for, by its path and the content type of the answer.
pub(super) fn surface(path: &str, head: &Head<'_>, kind: &[u8]) -> Surface {
    let bytes = path.as_bytes();
    if path.ends_with("/robots.txt")
        || (path.ends_with(".xml") || path.ends_with(".gz")) && path.contains("sitemap")
    {
        return Surface::Robots;
    }
    let file = memchr::memrchr(b'/', bytes).and_then(|i| bytes.get(i + 1..)).unwrap_or(bytes);
    let extension = memchr::memrchr(b'.', file).and_then(|i| file.get(i + 1..));
    // `/products/lamp.js` that answers with JSON is no script: shops' data is read so.
    let data = kind.starts_with(b"application/json")
        && head.fetch_dest != Some(b"script")
        && extension.is_some_and(|e| e.eq_ignore_ascii_case(b"js"));
    let named = extension.is_some_and(is_asset) && !kind.starts_with(b"text/html") && !data;
    if named || is_asset_kind(kind) {
        return Surface::Asset;
    }
    let page = kind.starts_with(b"text/html") || kind.starts_with(b"application/xhtml");
    if page && head.traits.has(Traits::GET) { Surface::Page } else { Surface::Api }
}

fn is_asset_kind(kind: &[u8]) -> bool {
    match kind.split_first() {
        Some((b'a', _)) => kind.starts_with(b"audio/") || kind.starts_with(b"application/javascript"),
        Some((b't', _)) => kind.starts_with(b"text/css") || kind.starts_with(b"text/javascript"),
        Some((b'i', _)) => kind.starts_with(b"image/"),
        Some((b'f', _)) => kind.starts_with(b"font/"),
        Some((b'v', _)) => kind.starts_with(b"video/"),
        _ => false,
    }
}
