//! The pages: files that were built into the binary.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use ring::digest::{SHA256, digest};

use crate::problem::Problem;

/// Path and content of every file.
type Files = &'static [(&'static str, &'static [u8])];

/// Empty where the pages were not built.
static FILES: Files = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// What is shown where the binary was built without pages.
const PLACEHOLDER: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"dark light\"><title>Sidetap</title>\n\
<main>\n<h1>Sidetap</h1>\n<p>This binary was built without the pages of the console. Build them with <code>scripts/console.sh</code>, then build Sidetap again.</p>\n\
<p>The API is at <a href=\"/api/v1/openapi.json\">/api/v1</a>; who is logged in finds the report at <a href=\"/report\">/report</a>.</p>\n</main>\n</html>\n";

/// Whether the pages were built in.
pub(crate) fn are_built() -> bool {
    find(FILES, "/index.html").is_some()
}

/// A file; for paths that only the pages know, the first page.
pub(crate) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    page_of(FILES, &method, &uri, &headers)
}

fn page_of(files: Files, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) || uri.path().starts_with("/api/") {
        return Problem::not_found("path").into_response();
    }
    let path = if uri.path() == "/" { "/index.html" } else { uri.path() };
    match find(files, path) {
        Some(content) => file(path, content, headers),
        None if path.rsplit('/').next().is_some_and(|n| n.contains('.')) && path != "/index.html" => {
            Problem::not_found("path").into_response()
        }
        None => match find(files, "/index.html") {
            Some(content) => file("/index.html", content, headers),
            None => Html(PLACEHOLDER).into_response(),
        },
    }
}

fn find(files: Files, path: &str) -> Option<&'static [u8]> {
    files.iter().find(|(name, _)| *name == path).map(|(_, content)| *content)
}

fn file(path: &str, content: &'static [u8], headers: &HeaderMap) -> Response {
    let sum = digest(&SHA256, content);
    let tag: String = sum.as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => content.into_response(),
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(path)));
    // Names of what is built carry a hash of their content.
    let cache = if path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(header::ETAG, tag);
    }
    response
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" | "webmanifest" => "application/json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: Files = &[("/index.html", b"<div id=root>"), ("/assets/a.js", b"go()")];

    /// Status, type and text of what a path gives.
    async fn given(files: Files, method: &Method, path: &str) -> (u16, String, String) {
        let response = page_of(files, method, &path.parse().unwrap(), &HeaderMap::new());
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_binary_without_pages_says_so_and_how_to_build_them() {
        for path in ["/", "/index.html", "/campaigns", "/endpoints/e-1?tab=risks"] {
            let (status, kind, text) = given(&[], &Method::GET, path).await;
            assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"), "{path}");
            for part in
                ["built without the pages", "scripts/console.sh", "/api/v1/openapi.json", "\"/report\""]
            {
                assert!(text.contains(part), "{path}: {text}");
            }
            assert!(text.contains("<main>"), "readers of screens go by it");
            assert!(!text.contains("<script") && !text.contains("style"), "its policy allows neither");
            let (status, _, text) = given(BUILT, &Method::GET, path).await;
            assert_eq!((status, text.as_str()), (200, "<div id=root>"), "{path}");
        }
        for files in [&[], BUILT] {
            for (method, path) in [
                (Method::GET, "/assets/b.js"),
                (Method::GET, "/favicon.ico"),
                (Method::GET, "/api/v1/nothing"),
                (Method::POST, "/"),
            ] {
                let (status, kind, _) = given(files, &method, path).await;
                assert_eq!((status, kind.as_str()), (404, "application/problem+json"), "{method} {path}");
            }
        }
        assert_eq!(given(BUILT, &Method::GET, "/assets/a.js").await.2, "go()");
    }
}
