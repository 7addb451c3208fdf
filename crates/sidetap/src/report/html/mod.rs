//! `report.html`: the run on one self-contained page, without a script, a font or a request.

mod campaigns;
mod charts;
mod tables;

use std::fmt::Write;

use sidetap_model::rows::RunData;

use super::digest;
use super::text::losses;
use super::words::{bytes, count, moment, percent, plural, span};
use super::{Report, proxy_advice};
use crate::output::html;

/// Rows of a table on the page at most: the page stays a page, the files have all.
const ROWS: usize = 200;

/// The page. Every string that traffic brought is escaped, and the policy in its head forbids it to load or run anything.
pub(crate) fn page(report: &Report<'_>) -> String {
    let mut out = String::with_capacity(1 << 16);
    head(&mut out, report.run);
    out.push_str("<main class=\"wrap\">\n");
    numbers(&mut out, report);
    notices(&mut out, report);
    charts::traffic(&mut out, report.run);
    out.push_str("<div class=\"two\">\n");
    charts::risk(&mut out, report.run);
    charts::sensitive(&mut out, report.run);
    out.push_str("</div>\n");
    campaigns::section(&mut out, report.run);
    tables::endpoints(&mut out, report.run);
    tables::sensitive(&mut out, report.run);
    tables::findings(&mut out, report.run);
    tables::verdicts(&mut out, report.run);
    tables::blocklist(&mut out, report.blocklist, report.devices);
    tables::accounting(&mut out, report.run);
    out.push_str("</main>\n");
    footer(&mut out, report.run);
    out
}

const LOGO: &str = "<svg class=\"logo\" viewBox=\"0 0 34 34\" aria-hidden=\"true\"><rect width=\"34\" height=\"34\" rx=\"9\" class=\"f-brand\"/>\
    <path d=\"M6 12h22M17 12v6a5 5 0 0 0 5 5h6\" fill=\"none\" stroke=\"#fff\" stroke-width=\"2.6\" stroke-linecap=\"round\"/>\
    <circle cx=\"17\" cy=\"12\" r=\"3.2\" fill=\"#fff\"/></svg>";

fn head(out: &mut String, run: &RunData) {
    let inputs: Vec<_> = run.summary.inputs.iter().take(4).map(|i| html(&i.path).into_owned()).collect();
    let more = run.summary.inputs.len().saturating_sub(4);
    let mut place = inputs.join(", ");
    if more > 0 {
        let _ = write!(place, " and {more} more");
    }
    if let Some((first, last)) = digest::period(run) {
        let _ = write!(place, " · {} – {} UTC · {}", moment(first), moment(last), span(last.since(first)));
    }
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Sidetap report</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <header><div class=\"wrap\">{LOGO}<div><h1>Sidetap <small>{}</small></h1><div class=\"where\">{place}</div></div>\
         <nav><a href=\"#campaigns\">Attacks</a><a href=\"#endpoints\">Endpoints</a><a href=\"#sensitive\">Sensitive data</a>\
         <a href=\"#findings\">Findings</a><a href=\"#verdicts\">Actors</a><a href=\"#blocklist\">Block list</a></nav></div></header>\n",
        include_str!("style.css"),
        html(&run.summary.version),
    );
}

fn numbers(out: &mut String, report: &Report<'_>) {
    let run = report.run;
    let s = &run.summary;
    let leaking = run.sensitive.iter().filter(|r| digest::leaks(r)).count() as u64;
    let grave = run.findings.iter().filter(|f| digest::severity_rank(&f.severity) < 2).count() as u64;
    let convicted = digest::of_intent(run, "malicious");
    let strange = ["shadow", "deprecated", "orphan"].iter().map(|x| digest::of_standing(run, x)).sum::<u64>();
    let whole = format!("{} whole", percent(s.exchanges.complete, s.exchanges.total));
    let hosts = plural(digest::hosts(run).len() as u64, "host");
    let standing = if strange > 0 { format!("{hosts}, {} not in order", count(strange)) } else { hosts };
    out.push_str("<section class=\"numbers\">\n");
    number(out, "ok", "Exchanges", s.exchanges.total, &whole);
    number(out, if strange > 0 { "warn" } else { "ok" }, "Endpoints", run.endpoints.len() as u64, &standing);
    let places = format!("{} in answers or addresses", count(leaking));
    number(
        out,
        if leaking > 0 { "bad" } else { "ok" },
        "Places with sensitive data",
        run.sensitive.len() as u64,
        &places,
    );
    let graves = format!("{} high or critical", count(grave));
    number(out, if grave > 0 { "bad" } else { "ok" }, "Findings", run.findings.len() as u64, &graves);
    let malicious = plural(convicted, "malicious actor");
    number(
        out,
        if convicted > 0 { "bad" } else { "ok" },
        "Campaigns",
        run.campaigns.len() as u64,
        &malicious,
    );
    number(out, "ok", "Block list", report.blocklist.len() as u64, "addresses and networks");
    out.push_str("</section>\n");
}

fn number(out: &mut String, class: &str, title: &str, n: u64, note: &str) {
    let _ = writeln!(
        out,
        "<div class=\"number {class}\"><i>{title}</i><b>{}</b><span>{}</span></div>",
        count(n),
        html(note)
    );
}

/// What was lost stands before what was found.
fn notices(out: &mut String, report: &Report<'_>) {
    let run = report.run;
    let errors = run.summary.inputs.iter().filter_map(|i| Some(format!("{}: {}", i.path, i.error.as_ref()?)));
    let lines: Vec<String> = errors.chain(losses(run)).chain(proxy_advice(report.proxies)).collect();
    if lines.is_empty() {
        return;
    }
    out.push_str("<section class=\"card notice\"><h2>How whole this picture is</h2><ul>");
    for line in lines.iter().take(20) {
        let _ = write!(out, "<li>{}</li>", html(line));
    }
    out.push_str("</ul></section>\n");
}

/// Nothing here depends on the machine: the same captures give the same page.
fn footer(out: &mut String, run: &RunData) {
    let s = &run.summary;
    let size: u64 = s.inputs.iter().map(|i| i.bytes).sum();
    let _ = write!(
        out,
        "<footer><div class=\"wrap\">Sidetap {} · {} · {} · times are UTC, of the packets",
        html(&s.version),
        plural(s.packets.total, "packet"),
        bytes(size),
    );
    for line in &s.attributions {
        let _ = write!(out, "<br>{}", html(line));
    }
    out.push_str("</div></footer>\n</body>\n</html>\n");
}

#[cfg(test)]
mod tests {
    use super::super::{Devices, fixture};
    use super::*;

    fn fixture_page() -> String {
        let run = fixture::run();
        let blocklist: Vec<String> = (0..250).map(|i| format!("203.0.0.{i}")).collect();
        page(&Report {
            run: &run,
            blocklist: &blocklist,
            directory: None,
            analysed: true,
            proxies: &[],
            devices: Devices::Untouched,
        })
    }

    /// Tags as a browser would cut them: with quoted attributes.
    fn tags(page: &str) -> Vec<&str> {
        let body = page.split("</style>").nth(1).unwrap();
        let mut tags = Vec::new();
        let mut rest = body;
        while let Some(start) = rest.find('<') {
            rest = &rest[start + 1..];
            let end = rest.find('>').unwrap();
            tags.push(&rest[..end]);
            rest = &rest[end..];
        }
        tags
    }

    #[test]
    fn hostile_names_open_no_tag_and_end_no_attribute() {
        let page = fixture_page();
        let ours = [
            "a", "b", "body", "br", "circle", "code", "dd", "details", "div", "dl", "dt", "footer", "g",
            "h1", "h2", "h3", "head", "header", "html", "i", "li", "line", "main", "nav", "ol", "p", "path",
            "rect", "section", "small", "span", "style", "summary", "svg", "table", "tbody", "td", "text",
            "th", "thead", "title", "tr", "ul",
        ];
        for tag in tags(&page) {
            let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap().trim_end_matches('/');
            assert!(ours.contains(&name), "<{tag}>");
            assert!(
                !tag.contains("onmouseover") && !tag.contains("onload") && !tag.contains("javascript"),
                "<{tag}>"
            );
            assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        }
        assert!(page.contains("&lt;script&gt;"));
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
    }

    #[test]
    fn the_page_asks_the_network_for_nothing() {
        let page = fixture_page();
        for word in ["<script", "<link", "<img", "<iframe", "src=\"", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
        assert!(page.split("href=\"").skip(1).all(|h| h.starts_with('#')));
    }

    #[test]
    fn the_page_is_bounded() {
        let mut run = fixture::run();
        let (e, v, c) = (run.endpoints[0].clone(), run.verdicts[0].clone(), run.campaigns[0].clone());
        run.endpoints.extend(std::iter::repeat_n(e, 20_000));
        run.verdicts.extend(std::iter::repeat_n(v, 20_000));
        run.campaigns.extend(std::iter::repeat_n(c, 100));
        let blocklist: Vec<String> = (0..50_000).map(|i| format!("10.0.{}.{}", i / 250, i % 250)).collect();
        let page = page(&Report {
            run: &run,
            blocklist: &blocklist,
            directory: None,
            analysed: true,
            proxies: &[],
            devices: Devices::Untouched,
        });
        assert!(page.len() < 1_000_000, "{}", page.len());
        assert!(page.contains("more in endpoints.ndjson"));
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let page = page(&Report {
            run: &RunData::default(),
            blocklist: &[],
            directory: None,
            analysed: false,
            proxies: &[],
            devices: Devices::Untouched,
        });
        assert!(page.ends_with("</html>\n"));
    }
}
