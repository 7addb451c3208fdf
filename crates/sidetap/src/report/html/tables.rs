//! Tables.

use std::fmt::Write;

use sidetap_model::rows::RunData;

use super::super::words::{band, bytes, class_name, clock, count, standing};
use super::super::{Devices, digest};
use super::ROWS;
use crate::output::html;

/// A rounded label.
pub(super) fn tag(class: &str, text: &str) -> String {
    format!("<span class=\"tag {class}\">{}</span>", html(text))
}

/// Says how many rows there are besides.
pub(super) fn more(out: &mut String, all: usize, shown: usize, file: &str) {
    if all > shown {
        let _ = write!(out, "<p class=\"note\">… {} more in {file}</p>", count((all - shown) as u64));
    }
}

fn open(out: &mut String, id: &str, title: &str, lead: &str, columns: &[(&str, &str)]) {
    let _ = write!(
        out,
        "<section class=\"card\" id=\"{id}\"><h2>{title}</h2><p>{}</p><div class=\"scroll\"><table><thead><tr>",
        html(lead)
    );
    for (class, name) in columns {
        let _ = write!(out, "<th class=\"{class}\">{name}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
}

fn close(out: &mut String, all: usize, file: &str) {
    out.push_str("</tbody></table></div>");
    more(out, all, ROWS, file);
    out.push_str("</section>\n");
}

fn endpoint_name(method: &str, host: &str, template: &str) -> String {
    format!(
        "<code><span class=\"verb\">{}</span> <span class=\"host\">{}</span>{}</code>",
        html(method),
        html(host),
        html(template)
    )
}

fn risk_cell(n: u8) -> String {
    let class = match band(n) {
        "critical" | "high" => "bad",
        "medium" => "warn",
        _ => "good",
    };
    format!("<span class=\"risk {class}\">{n}</span>")
}

/// The inventory.
pub(super) fn endpoints(out: &mut String, run: &RunData) {
    let columns = [
        ("n", "Risk"),
        ("", "Endpoint"),
        ("n", "Calls"),
        ("n", "Callers"),
        ("", "Authentication"),
        ("", "Standing"),
        ("", "Notes"),
    ];
    open(out, "endpoints", "Endpoints", "what answers, riskiest first", &columns);
    let rows = digest::by_risk(run);
    for e in rows.iter().take(ROWS) {
        let class = match e.standing.as_str() {
            "documented" => "good",
            "shadow" | "orphan" => "bad",
            "deprecated" => "warn",
            _ => "",
        };
        let mut notes: Vec<String> = e.roles.iter().map(|r| tag("info", r)).collect();
        if !matches!(e.protocol.as_str(), "rest" | "") {
            notes.push(tag("", &e.protocol));
        }
        notes.push(format!("<span class=\"dim\">{}</span>", html(&e.risk_terms.join("; "))));
        let _ = writeln!(
            out,
            "<tr><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            risk_cell(e.risk),
            endpoint_name(&e.method, &e.host, &e.template),
            count(e.calls),
            count(e.callers.count),
            html(&e.auth.join(", ")),
            tag(class, standing(&e.standing)),
            notes.join(" "),
        );
    }
    close(out, rows.len(), "endpoints.ndjson");
}

/// Sensitive data.
pub(super) fn sensitive(out: &mut String, run: &RunData) {
    let columns = [
        ("", "Type"),
        ("", "Class"),
        ("n", "Values"),
        ("", "Where"),
        ("", "Endpoint"),
        ("", "Example, masked"),
        ("n", "Confidence"),
    ];
    open(out, "sensitive", "Sensitive data", "what goes out, or stands in addresses, first", &columns);
    let rows = digest::by_leak(run);
    for s in rows.iter().take(ROWS) {
        let class = if digest::leaks(s) { "bad" } else { "info" };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{} <code>{}</code></td><td>{}</td><td><code>{}</code></td><td class=\"n\">{:.2}</td></tr>",
            tag(class, &s.kind),
            html(&s.class.join(", ")),
            count(s.count),
            html(&s.direction),
            html(&s.location),
            endpoint_name(&s.endpoint.method, &s.endpoint.host, &s.endpoint.template),
            html(&s.masked),
            s.confidence,
        );
    }
    close(out, rows.len(), "sensitive.ndjson");
}

/// Findings.
pub(super) fn findings(out: &mut String, run: &RunData) {
    let columns = [
        ("", "Severity"),
        ("", "Certainty"),
        ("", "What"),
        ("", "About"),
        ("", "OWASP"),
        ("n", "Times"),
        ("", "First seen"),
    ];
    open(
        out,
        "findings",
        "Findings",
        "risks, exploit attempts, differences from descriptions; gravest first",
        &columns,
    );
    let rows = digest::findings(run);
    for f in rows.iter().take(ROWS) {
        let class = match digest::severity_rank(&f.severity) {
            0 | 1 => "bad",
            2 => "warn",
            _ => "",
        };
        let about = digest::place(f);
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"s\">{}</td><td>{}<br><span class=\"dim\">{}</span></td><td><code>{}</code></td><td class=\"s\">{}</td><td class=\"n\">{}</td><td class=\"s\">{}</td></tr>",
            tag(class, &f.severity),
            html(&f.certainty),
            html(&f.title),
            html(&f.detail),
            html(&about),
            html(&f.owasp.join(", ")),
            count(f.count),
            clock(f.first_seen),
        );
    }
    close(out, rows.len(), "findings.ndjson");
}

/// Actors: the verdicts.
pub(super) fn verdicts(out: &mut String, run: &RunData) {
    let columns = [
        ("", "Intent"),
        ("n", "Harm"),
        ("n", "Automation"),
        ("", "Who"),
        ("", "Class"),
        ("n", "Requests"),
        ("", "Known"),
        ("", "First reason"),
        ("", "Response"),
    ];
    open(
        out,
        "verdicts",
        "Actors",
        "a verdict on each subject; harm and automation are two scores",
        &columns,
    );
    let rows = digest::verdicts(run);
    for v in rows.iter().take(ROWS) {
        let class = match v.intent.as_str() {
            "malicious" => "bad",
            "suspicious" => "warn",
            "automated" => "info",
            _ => "good",
        };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{} <code>{}</code></td><td>{}</td><td class=\"n\">{}</td><td class=\"s\">{}</td><td class=\"dim\">{}</td><td class=\"s\">{}</td></tr>",
            tag(class, &v.intent),
            risk_cell(v.score),
            v.automation,
            v.subject.kind,
            html(&v.subject.value),
            html(&class_name(v.class.as_deref().unwrap_or_default())),
            count(v.requests),
            clock(v.detected_at),
            html(v.reasons.first().map_or("", |r| &*r.observed)),
            html(&v.response),
        );
    }
    close(out, rows.len(), "verdicts.ndjson");
}

/// What would be pushed as addresses.
pub(super) fn blocklist(out: &mut String, blocklist: &[String], devices: Devices) {
    out.push_str("<section class=\"card\" id=\"blocklist\"><h2>Block list</h2>");
    if blocklist.is_empty() {
        out.push_str("<p>Nothing would be blocked by address.</p></section>\n");
        return;
    }
    out.push_str(match devices {
        Devices::Untouched => "<p>what would be pushed to devices as addresses; nothing was</p>",
        Devices::Changed => "<p>what connectors were told as addresses</p>",
    });
    out.push_str("<ul class=\"list mono\">");
    for entry in blocklist.iter().take(ROWS * 2) {
        let _ = write!(out, "<li>{}</li>", html(entry));
    }
    out.push_str("</ul>");
    more(out, blocklist.len(), ROWS * 2, "blocklist.txt");
    out.push_str("</section>\n");
}

/// Packets, stream bytes, exchanges: where everything went.
pub(super) fn accounting(out: &mut String, run: &RunData) {
    let s = &run.summary;
    open(
        out,
        "accounting",
        "Accounting",
        "every packet, byte and exchange is one of these",
        &[("", "What"), ("n", "All"), ("n", "Understood"), ("", "The rest")],
    );
    let or_dash = |text: String| if text.is_empty() { "–".to_owned() } else { text };
    let mut row = |name: &str, all: String, good: String, rest: String| {
        let rest = html(&rest).into_owned();
        let _ = writeln!(
            out,
            "<tr><td>{name}</td><td class=\"n\">{all}</td><td class=\"n\">{good}</td><td>{rest}</td></tr>"
        );
    };
    row(
        "Packets",
        count(s.packets.total),
        count(s.packets.decoded),
        or_dash(digest::tally(&s.packets.dropped, 8)),
    );
    row(
        "Stream bytes",
        bytes(s.streams.bytes),
        bytes(s.streams.delivered),
        or_dash(digest::tally(&s.streams.discarded, 8)),
    );
    row(
        "Exchanges",
        count(s.exchanges.total),
        count(s.exchanges.complete),
        or_dash(digest::tally(&s.exchanges.incomplete_reasons, 8)),
    );
    row(
        "TCP flows",
        count(s.streams.flows.values().sum()),
        "".to_owned(),
        or_dash(digest::tally(&s.streams.flows, 10)),
    );
    row(
        "Anomalies",
        count(s.anomalies.values().sum()),
        "".to_owned(),
        or_dash(digest::tally(&s.anomalies, 12)),
    );
    close(out, 0, "");
}
