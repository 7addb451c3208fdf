//! What a path or a name asks for: nothing outside the store and the pages, and nothing that a browser takes for a page.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{PASSWORD, serve};

/// What stands in a file beside the store.
const SECRET: &str = "7f3a-beside-the-store";
/// Ways to say `..`, a separator and an end of a name.
const UP: [&str; 6] = ["..", "%2e%2e", ".%2E", "%252e%252e", "%c0%ae%c0%ae", "....//.."];
const SEPARATORS: [&str; 6] = ["/", "%2f", "%5c", "%255c", "%252F", "%c0%af"];
/// Files that are there, and from how far above: beside the store, above the program, and everywhere.
const FILES: [(&str, usize); 3] = [("secret.txt", 1), ("Cargo.toml", 2), ("etc/passwd", 9)];

/// Names that lead elsewhere where somebody takes them for paths, with each of these ends.
fn names(ends: &[&str]) -> Vec<String> {
    let bare = [
        "%00",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "C:%5csecret.txt",
        "secret.txt",
        "sidetap.db",
        "Cargo.toml",
    ];
    let mut all: Vec<String> = bare.map(str::to_owned).into();
    for (up, separator) in UP.iter().flat_map(|up| SEPARATORS.map(|separator| (up, separator))) {
        for ((file, depth), end) in FILES.iter().flat_map(|file| ends.iter().map(move |end| (file, end))) {
            let file = file.replace('/', separator);
            all.push(format!("{}{file}{end}", format!("{up}{separator}").repeat(*depth)));
        }
    }
    all
}

fn is_elsewhere(text: &str) -> bool {
    [SECRET, "SQLite format 3", "root:x:0", "[workspace]", "[package]"].iter().any(|mark| text.contains(mark))
}

fn files(dir: &Path) -> BTreeSet<String> {
    let all = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().to_string_lossy().into_owned());
    all.filter(|name| !name.contains("-wal") && !name.contains("-shm") && !name.contains(".copy-")).collect()
}

#[tokio::test]
async fn path_traversal_leads_nowhere_by_any_route() {
    let served = serve().await.with_admin().await;
    let dir = served.dir.path();
    std::fs::write(dir.join("secret.txt"), SECRET).unwrap();
    let before = files(dir);
    let admin = served.log_in("admin", PASSWORD).await;
    let routes: Vec<(&str, &str)> = include_str!("roles.txt")
        .lines()
        .filter_map(|line| {
            line.split_once(' ').map(|(method, rest)| (method, rest.split(' ').next().unwrap()))
        })
        .filter(|(_, path)| path.contains('{'))
        .collect();
    assert!(routes.len() > 20, "{}", routes.len());
    let mut asked = 0;
    for name in names(&[""]) {
        for (method, path) in &routes {
            let (from, to) = (path.find('{').unwrap(), path.find('}').unwrap());
            let target = format!("{}{name}{}", &path[..from], &path[to + 1..]);
            let answer = match *method {
                "GET" => admin.get(&target).await,
                method => admin.send_text(method, &target, "{}").await,
            };
            assert!(!is_elsewhere(&answer.body), "{method} {target}: {}", answer.body);
            assert!(answer.status < 500, "{method} {target}: {} {}", answer.status, answer.body);
            asked += 1;
        }
    }
    assert!(asked > 3_000, "{asked}");
    assert_eq!(files(dir), before, "nothing was made, and nothing removed");
    assert_eq!(admin.get("/api/v1/findings/f001").await.status, 200, "it goes on");
}

#[tokio::test]
async fn path_traversal_finds_no_file_but_those_of_the_pages() {
    let served = serve().await;
    std::fs::write(served.dir.path().join("secret.txt"), SECRET).unwrap();
    for name in names(&["", "%00", "%00.json", "%2500"]) {
        for base in ["/", "/assets/", "/api/v1/", "/static//"] {
            let answer = served.get(&format!("{base}{name}")).await;
            assert!(!is_elsewhere(&answer.body), "{base}{name}: {}", answer.body);
            assert!(answer.status < 500, "{base}{name}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn hostile_text_is_answered_as_data_that_no_browser_takes_for_a_page() {
    let served = serve().await.with_admin().await;
    let admin = served.log_in("admin", PASSWORD).await;
    let script = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for target in [
        "/api/v1/findings/f001".to_owned(),
        "/api/v1/findings?limit=3".to_owned(),
        format!("/api/v1/findings/{script}"),
        format!("/api/v1/findings?{script}={script}"),
        format!("/api/v1/search?q={script}"),
        format!("/api/v1/{script}"),
    ] {
        let answer = admin.get(&target).await;
        assert!(
            answer.has("content-type: application/json")
                || answer.has("content-type: application/problem+json"),
            "{target}: {}",
            answer.head
        );
        assert!(answer.has("x-content-type-options: nosniff"), "{target}: {}", answer.head);
        assert!(answer.has("content-security-policy: "), "{target}: {}", answer.head);
    }
    let csv = admin.get("/api/v1/findings?format=csv").await;
    assert!(csv.has("content-type: text/csv") && csv.has("content-disposition: attachment"), "{}", csv.head);
    assert!(csv.has("x-content-type-options: nosniff") && csv.body.contains("<script>"), "{}", csv.head);
}

#[tokio::test]
async fn the_first_page_is_the_consoles_or_says_that_it_was_not_built() {
    let served = serve().await;
    for path in ["/", "/campaigns"] {
        let answer = served.get(path).await;
        assert!(answer.status == 200 && answer.has("content-type: text/html"), "{path}: {}", answer.head);
        let built = sidetap_console::Console::has_pages();
        let of = if built { "<div id=\"root\">" } else { "built without the pages" };
        assert!(answer.body.contains(of), "{path}: {}", answer.body);
    }
}
