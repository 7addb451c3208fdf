//! Fetching of sources: npm packages and plain addresses.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde::Deserialize;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, http::Response};

use crate::IntelError;
use crate::library::Installed;
use crate::source::{Source, Where};

/// Bytes of one file at most, packed or not.
const MOST: u64 = 256 << 20;
/// Files of licences kept of one package, and bytes of each.
const LICENCES: usize = 8;
const LICENCE: u64 = 64 << 10;

/// Fetches sources.
#[derive(Debug)]
pub struct Fetcher {
    agent: Agent,
    registry: String,
}

/// What fetching a source gave.
#[derive(Debug)]
pub enum Fetched {
    /// What is installed is what there is.
    Unchanged,
    /// Its files.
    New {
        /// The files, in the order of the source.
        files: Vec<Vec<u8>>,
        /// Version, where its place has one.
        version: String,
        /// Marks by which the server knows what was fetched, one for each address.
        tags: Vec<String>,
        /// The licence that the package states.
        licence: Option<String>,
        /// Texts of its licence files.
        licence_text: String,
    },
}

/// What the registry says of the newest version of a package.
#[derive(Deserialize)]
struct Package {
    version: String,
    #[serde(default)]
    license: Option<String>,
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    tarball: String,
    #[serde(default)]
    integrity: Option<String>,
}

impl Fetcher {
    /// One that asks this npm registry, and believes the system's certificate authorities. Proxies are those that the
    /// environment names (`HTTPS_PROXY`, `NO_PROXY`).
    pub fn new(registry: &str) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(authorities())))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("sidetap/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_global(Some(Duration::from_secs(600)))
            .max_redirects(5)
            .http_status_as_error(false)
            .build();
        Fetcher { agent: config.new_agent(), registry: registry.trim_end_matches('/').to_owned() }
    }

    /// Fetches a source; `before` is what is installed of it.
    pub fn fetch(&self, source: &Source, before: Option<&Installed>) -> Result<Fetched, IntelError> {
        match &source.place {
            Where::Package(name, files) => self.package(source, name, files, before),
            Where::Urls(urls) => self.urls(source, urls, before),
            Where::Files(files) => {
                let read = |p: &std::path::PathBuf| {
                    let e = |e: std::io::Error| failed(source, &p.display().to_string(), &e.to_string());
                    let file = std::fs::File::open(p).map_err(e)?;
                    limited(file).map_err(|why| failed(source, &p.display().to_string(), &why))
                };
                let files = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                Ok(plain(files, Vec::new()))
            }
        }
    }

    fn get(&self, source: &Source, url: &str, tag: Option<&str>) -> Result<Response<Body>, IntelError> {
        let mut request = self.agent.get(url);
        if let Some(tag) = tag.filter(|t| !t.is_empty()) {
            request = request.header("If-None-Match", tag);
        }
        let answer = request.call().map_err(|e| failed(source, url, &e.to_string()))?;
        match answer.status().as_u16() {
            200 | 304 => Ok(answer),
            status => Err(failed(source, url, &format!("the server answered {status}"))),
        }
    }

    fn body(source: &Source, url: &str, answer: Response<Body>) -> Result<Vec<u8>, IntelError> {
        let read = answer.into_body().into_with_config().limit(MOST).read_to_vec();
        read.map_err(|e| failed(source, url, &e.to_string()))
    }

    /// Where a source has one address the server is asked whether it changed.
    fn urls(
        &self,
        source: &Source,
        urls: &[String],
        before: Option<&Installed>,
    ) -> Result<Fetched, IntelError> {
        let known = before.and_then(|b| b.tags.first()).filter(|_| urls.len() == 1);
        let (mut files, mut tags) = (Vec::new(), Vec::new());
        for url in urls {
            let answer = self.get(source, url, known.map(String::as_str))?;
            if answer.status().as_u16() == 304 {
                return Ok(Fetched::Unchanged);
            }
            tags.push(etag(&answer));
            files.push(Self::body(source, url, answer)?);
        }
        Ok(plain(files, tags))
    }

    fn package(
        &self,
        source: &Source,
        name: &str,
        files: &[String],
        before: Option<&Installed>,
    ) -> Result<Fetched, IntelError> {
        let url = format!("{}/{}/latest", self.registry, name.replace('/', "%2f"));
        let said = Self::body(source, &url, self.get(source, &url, None)?)?;
        let package: Package = serde_json::from_slice(&said)
            .map_err(|e| failed(source, &url, &format!("the registry's answer is not understood: {e}")))?;
        if before.is_some_and(|b| b.version == package.version) {
            return Ok(Fetched::Unchanged);
        }
        let tarball = &package.dist.tarball;
        let packed = Self::body(source, tarball, self.get(source, tarball, None)?)?;
        verify(&packed, package.dist.integrity.as_deref()).map_err(|why| failed(source, tarball, &why))?;
        let (files, licence_text) = unpack(&packed, files).map_err(|why| failed(source, tarball, &why))?;
        Ok(Fetched::New {
            files,
            version: package.version,
            tags: Vec::new(),
            licence: package.license,
            licence_text,
        })
    }
}

fn plain(files: Vec<Vec<u8>>, tags: Vec<String>) -> Fetched {
    Fetched::New { files, version: String::new(), tags, licence: None, licence_text: String::new() }
}

fn failed(source: &Source, from: &str, why: &str) -> IntelError {
    IntelError::Fetch(source.name.clone(), from.into(), why.into())
}

fn etag(answer: &Response<Body>) -> String {
    let tag = answer.headers().get("etag").and_then(|v| v.to_str().ok()).unwrap_or_default();
    tag.chars().take(256).collect()
}

/// Holds a package against what the registry says of it (`sha512-…`, W3C SRI).
fn verify(packed: &[u8], integrity: Option<&str>) -> Result<(), String> {
    let sums = integrity.unwrap_or_default().split_whitespace();
    let wanted =
        sums.filter_map(|s| s.strip_prefix("sha512-")).filter_map(|s| STANDARD.decode(s).ok()).next();
    let Some(wanted) = wanted else { return Err("the registry gives no SHA-512 for it".into()) };
    let sum = ring::digest::digest(&ring::digest::SHA512, packed);
    if sum.as_ref() == wanted { Ok(()) } else { Err("its SHA-512 is not the registry's".into()) }
}

/// The wanted files of a package and the texts of its licences.
fn unpack(packed: &[u8], wanted: &[String]) -> Result<(Vec<Vec<u8>>, String), String> {
    let mut found: Vec<Option<Vec<u8>>> = vec![None; wanted.len()];
    let mut licences = Vec::new();
    let mut archive = tar::Archive::new(GzDecoder::new(packed).take(8 * MOST));
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let entry = entry.map_err(|e| format!("damaged package: {e}"))?;
        let path = entry.path().map_err(|e| e.to_string())?.into_owned();
        // The first part is the package's own directory, whatever it is called.
        let inner: std::path::PathBuf = path.components().skip(1).collect();
        if let Some(slot) = wanted.iter().position(|w| Path::new(w) == inner).and_then(|i| found.get_mut(i)) {
            *slot = Some(limited(entry)?);
            continue;
        }
        let name = inner.display().to_string();
        let low = name.to_lowercase();
        let terms = ["licen", "copying", "notice"].iter().any(|w| low.contains(w));
        if terms && licences.len() < LICENCES {
            let mut text = Vec::new();
            entry.take(LICENCE).read_to_end(&mut text).map_err(|e| e.to_string())?;
            licences.push((name, String::from_utf8_lossy(&text).into_owned()));
        }
    }
    licences.sort();
    let texts = licences.iter().map(|(name, text)| format!("== {name}\n{}\n", text.trim_end())).collect();
    let missing = wanted.iter().zip(&found).find(|(_, f)| f.is_none()).map(|(w, _)| w);
    match missing {
        Some(name) => Err(format!("the package has no file `{name}`")),
        None => Ok((found.into_iter().flatten().collect(), texts)),
    }
}

fn limited(from: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    from.take(MOST + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MOST { Err("it is larger than 256 MB".into()) } else { Ok(bytes) }
}

/// The system's certificate authorities: the file that `SSL_CERT_FILE` names, or the one that the system keeps.
fn authorities() -> Vec<ureq::tls::Certificate<'static>> {
    const PLACES: [&str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
        "/usr/local/share/certs/ca-root-nss.crt",
    ];
    let named = std::env::var("SSL_CERT_FILE").ok();
    let places = named.as_deref().into_iter().chain(PLACES);
    let text = places.filter_map(|p| std::fs::read(p).ok()).find(|t| !t.is_empty()).unwrap_or_default();
    parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[(&str, &str)]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn packages_are_verified_and_unpacked() {
        let bytes =
            packed(&[("package/a.csv", "1"), ("package/LICENSE", "do as you like"), ("package/b.csv", "2")]);
        let (files, licence) = unpack(&bytes, &["b.csv".into(), "a.csv".into()]).unwrap();
        assert_eq!(files, [b"2", b"1"]);
        assert!(licence.contains("do as you like"));
        assert!(unpack(&bytes, &["c.csv".into()]).unwrap_err().contains("c.csv"));
        assert!(unpack(&bytes[..bytes.len() / 2], &["a.csv".into()]).is_err());
        let sum = STANDARD.encode(ring::digest::digest(&ring::digest::SHA512, &bytes));
        assert!(verify(&bytes, Some(&format!("sha512-{sum}"))).is_ok());
        assert!(verify(&bytes[1..], Some(&format!("sha512-{sum}"))).is_err());
        assert!(verify(&bytes, None).is_err() && verify(&bytes, Some("sha1-abc")).is_err());
    }
}
