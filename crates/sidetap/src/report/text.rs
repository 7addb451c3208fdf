//! The terminal report: what an analyst wants to read first.

use std::fmt::Write;
use std::net::IpAddr;

use sidetap_model::rows::{CampaignRow, RunData, VerdictRow};

use super::digest;
use super::table::{Column, Table, fit};
use super::words::{band, bytes, clock, count, moment, percent, plural, span};
use super::{Devices, Report, proxy_advice};
use crate::output::{Style, Terminal, plain};

/// Rows of a table at most.
const ROWS: usize = 10;
/// Campaigns told in full at most.
const CAMPAIGNS: usize = 5;

/// The report as text.
pub(crate) fn terminal_report(report: &Report<'_>, terminal: &Terminal) -> String {
    let mut page = Page { out: String::new(), terminal, run: report.run };
    page.title();
    page.captured(report.proxies);
    if report.analysed {
        page.apis();
        page.sensitive();
        page.findings();
        page.attacks();
        page.blocked(report);
    }
    page.details(report);
    page.out
}

struct Page<'a> {
    out: String,
    terminal: &'a Terminal,
    run: &'a RunData,
}

impl Page<'_> {
    fn title(&mut self) {
        let inputs: Vec<_> = self.run.summary.inputs.iter().map(|i| plain(&i.path).into_owned()).collect();
        let named = match inputs.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        let head = self.terminal.paint(Style::Strong, &format!("Sidetap {}", self.run.summary.version));
        let _ = writeln!(self.out, "{head}  {named}");
        if let Some((first, last)) = digest::period(self.run) {
            let _ =
                writeln!(self.out, "{} to {} UTC ({})", moment(first), moment(last), span(last.since(first)));
        }
    }

    fn heading(&mut self, title: &str, rest: &str) {
        let title = self.terminal.paint(Style::Heading, title);
        let _ = writeln!(self.out, "\n{title}  {rest}");
    }

    /// A line that may be cut to the terminal's width; what is in it is made harmless.
    fn line(&mut self, indent: usize, text: &str) {
        let text = fit(&plain(text), self.terminal.width.saturating_sub(indent));
        let _ = writeln!(self.out, "{}{text}", " ".repeat(indent));
    }

    /// A line about a loss.
    fn caution(&mut self, text: &str) {
        let mark = self.terminal.paint(Style::Warn, "!");
        let text = plain(text).into_owned();
        let _ = writeln!(self.out, "  {mark} {text}");
    }

    fn table(&mut self, table: &Table) {
        let text = table.render(self.terminal);
        self.out.push_str(&text);
    }

    fn more(&mut self, all: usize, file: &str) {
        if all > ROWS {
            let text = format!("  … {} more in {file}", count((all - ROWS) as u64));
            let painted = self.terminal.paint(Style::Dim, &text);
            let _ = writeln!(self.out, "{painted}");
        }
    }

    fn captured(&mut self, proxies: &[IpAddr]) {
        let s = &self.run.summary;
        let size: u64 = s.inputs.iter().map(|i| i.bytes).sum();
        let flows: u64 = s.streams.flows.values().sum();
        let rest = format!(
            "{} ({}), {}, {}, {} whole",
            plural(s.packets.total, "packet"),
            bytes(size),
            plural(flows, "TCP flow"),
            plural(s.exchanges.total, "exchange"),
            percent(s.exchanges.complete, s.exchanges.total),
        );
        self.heading("CAPTURED", &rest);
        for input in s.inputs.iter().filter(|i| i.error.is_some()) {
            let error = input.error.as_deref().unwrap_or_default();
            self.caution(&format!("{}: {error}", input.path));
        }
        for line in losses(self.run).iter().chain(&proxy_advice(proxies)) {
            self.caution(line);
        }
        if !s.anomalies.is_empty() {
            self.line(2, &format!("Protocol anomalies: {}", digest::tally(&s.anomalies, 5)));
        }
        if s.exchanges.total == 0 {
            let seen = digest::tally(&s.streams.flows, 6);
            let seen = if seen.is_empty() { "no TCP at all".to_owned() } else { format!("flows: {seen}") };
            self.line(2, &format!("No HTTP was seen ({seen}); `sidetap doctor` says what to change."));
        }
    }

    fn apis(&mut self) {
        let run = self.run;
        if run.endpoints.is_empty() {
            return self.heading("APIS", "none");
        }
        let hosts = digest::hosts(run);
        let mut rest = format!(
            "{} on {}",
            plural(run.endpoints.len() as u64, "endpoint"),
            plural(hosts.len() as u64, "host")
        );
        for id in ["shadow", "deprecated", "orphan"] {
            let n = digest::of_standing(run, id);
            if n > 0 {
                let _ = write!(rest, ", {} {id}", count(n));
            }
        }
        let open = digest::open_endpoints(run);
        if open > 0 {
            let _ = write!(rest, ", {} without authentication", count(open));
        }
        self.heading("APIS", &rest);
        let mut named: Vec<String> =
            hosts.iter().take(5).map(|h| format!("{} ({})", h.host, plural(h.calls, "call"))).collect();
        if hosts.len() > 5 {
            named.push(format!("{} more", hosts.len() - 5));
        }
        self.line(2, &named.join(", "));
        let mut table = Table::new(&[
            Column::number("RISK"),
            Column::number("CALLS"),
            Column::flexible("ENDPOINT"),
            Column::text("AUTH"),
            Column::text("STANDING"),
            Column::flexible("NOTES"),
        ]);
        let rows = digest::by_risk(run);
        for e in rows.iter().take(ROWS) {
            let style = risk_style(e.risk);
            let name = format!("{} {}{}", e.method, e.host, e.template);
            let mut notes = e.roles.clone();
            notes.extend(e.risk_terms.iter().cloned());
            table.styled([
                (&e.risk.to_string(), style),
                (&count(e.calls), None),
                (&name, None),
                (&e.auth.join(" "), None),
                (&e.standing, None),
                (&notes.join("; "), Some(Style::Dim)),
            ]);
        }
        self.table(&table);
        self.more(rows.len(), "endpoints.ndjson");
    }

    fn sensitive(&mut self) {
        let run = self.run;
        if run.sensitive.is_empty() {
            return self.heading("SENSITIVE DATA", "none");
        }
        let leaking = run.sensitive.iter().filter(|s| digest::leaks(s)).count() as u64;
        let kinds: std::collections::BTreeSet<_> = run.sensitive.iter().map(|s| &s.kind).collect();
        let rest = format!(
            "{} at {}, {} of them in answers or addresses",
            plural(kinds.len() as u64, "type"),
            plural(run.sensitive.len() as u64, "place"),
            count(leaking),
        );
        self.heading("SENSITIVE DATA", &rest);
        let mut table = Table::new(&[
            Column::text("TYPE"),
            Column::text("CLASS"),
            Column::number("VALUES"),
            Column::flexible("WHERE"),
            Column::flexible("ENDPOINT"),
            Column::flexible("EXAMPLE"),
        ]);
        let rows = digest::by_leak(run);
        for s in rows.iter().take(ROWS) {
            let style = if digest::leaks(s) { Some(Style::Bad) } else { None };
            let place = format!("{} {}", s.direction, s.location);
            let name = format!("{} {}{}", s.endpoint.method, s.endpoint.host, s.endpoint.template);
            table.styled([
                (&s.kind, style),
                (&s.class.join(" "), None),
                (&count(s.count), None),
                (&place, None),
                (&name, None),
                (&s.masked, Some(Style::Dim)),
            ]);
        }
        self.table(&table);
        self.more(rows.len(), "sensitive.ndjson");
    }

    fn findings(&mut self) {
        let rows = digest::findings(self.run);
        if rows.is_empty() {
            return self.heading("FINDINGS", "none");
        }
        let mut by_severity = std::collections::BTreeMap::<(u8, &str), u64>::new();
        for f in &rows {
            *by_severity.entry((digest::severity_rank(&f.severity), &f.severity)).or_default() += 1;
        }
        let parts: Vec<_> = by_severity.iter().map(|((_, s), n)| format!("{} {s}", count(*n))).collect();
        self.heading("FINDINGS", &parts.join(", "));
        let mut table = Table::new(&[
            Column::text("SEVERITY"),
            Column::text("CERTAINTY"),
            Column::number("TIMES"),
            Column::flexible("WHAT"),
            Column::flexible("WHERE"),
        ]);
        for f in rows.iter().take(ROWS) {
            let style = (digest::severity_rank(&f.severity) < 2).then_some(Style::Bad);
            let place = digest::place(f);
            let place = if f.title.contains(&place) { "" } else { &place };
            table.styled([
                (&f.severity, style),
                (&f.certainty, None),
                (&count(f.count), None),
                (&f.title, None),
                (place, Some(Style::Dim)),
            ]);
        }
        self.table(&table);
        self.more(rows.len(), "findings.ndjson");
    }

    fn attacks(&mut self) {
        let run = self.run;
        let intents: Vec<String> = ["malicious", "suspicious", "automated"]
            .into_iter()
            .filter_map(|i| {
                Some(digest::of_intent(run, i)).filter(|n| *n > 0).map(|n| format!("{} {i}", count(n)))
            })
            .collect();
        let judged = if intents.is_empty() { "nobody convicted".to_owned() } else { intents.join(", ") };
        self.heading("ATTACKS", &format!("{}; {judged}", plural(run.campaigns.len() as u64, "campaign")));
        let campaigns = digest::campaigns(run);
        for campaign in campaigns.iter().take(CAMPAIGNS) {
            self.campaign(campaign);
        }
        self.other_campaigns(campaigns.get(CAMPAIGNS..).unwrap_or_default());
        let alone: Vec<_> = digest::verdicts(run)
            .into_iter()
            .filter(|v| v.campaign.is_none() && matches!(v.intent.as_str(), "malicious" | "suspicious"))
            .collect();
        if !alone.is_empty() {
            self.out.push('\n');
            self.line(2, if campaigns.is_empty() { "Actors" } else { "Actors of no campaign" });
            self.actors(&alone);
            self.more(alone.len(), "verdicts.ndjson");
        }
    }

    /// Those that have no room for details, a line each.
    fn other_campaigns(&mut self, rest: &[&CampaignRow]) {
        if rest.is_empty() {
            return;
        }
        self.out.push('\n');
        let mut table = Table::new(&[
            Column::text("CLASS"),
            Column::number("HARM"),
            Column::flexible("WHO"),
            Column::number("REQUESTS"),
            Column::flexible("TARGET"),
        ]);
        for c in rest.iter().take(ROWS) {
            let (who, target) = (digest::members(&c.members), c.endpoints.first().map_or("", String::as_str));
            table.styled([
                (&c.class, Some(Style::Bad)),
                (&c.score.to_string(), None),
                (&who, None),
                (&count(c.requests), None),
                (target, Some(Style::Dim)),
            ]);
        }
        self.table(&table);
        self.more(rest.len(), "campaigns.ndjson");
    }

    fn campaign(&mut self, c: &CampaignRow) {
        let class = self.terminal.paint(Style::Bad, &plain(&c.class));
        let _ = writeln!(self.out, "\n  {class}  {}  harm {}  {}", c.oat.join(" "), c.score, plain(&c.id));
        let known = match c.phase.as_str() {
            "retrospective" => "known in retrospect".to_owned(),
            _ => format!("known after {}", span(c.detected_at.since(c.first_seen))),
        };
        self.line(4, &format!("who      {}", digest::members(&c.members)));
        let (from, to) = (clock(c.first_seen), clock(c.last_seen));
        self.line(4, &format!("when     {from} to {to}, {}; {known}", plural(c.requests, "request")));
        let mut targets: Vec<String> = c.endpoints.iter().take(3).cloned().collect();
        if c.endpoints.len() > 3 {
            targets.push(format!("{} more", c.endpoints.len() - 3));
        }
        self.line(4, &format!("target   {}", targets.join(", ")));
        if !c.outcome.is_empty() {
            self.line(4, &format!("outcome  {}", digest::tally(&c.outcome, 6)));
        }
        for (i, r) in c.reasons.iter().take(3).enumerate() {
            let label = if i == 0 { "known by" } else { "        " };
            let usual = match &*r.baseline {
                "" => String::new(),
                said if said.starts_with("usually") => format!(" ({said})"),
                said => format!(" (usual: {said})"),
            };
            self.line(4, &format!("{label} {:+.1} {}{usual}", r.weight, r.observed));
        }
    }

    fn actors(&mut self, rows: &[&VerdictRow]) {
        let mut table = Table::new(&[
            Column::text("INTENT"),
            Column::number("HARM"),
            Column::text("CLASS"),
            Column::flexible("WHO"),
            Column::number("REQUESTS"),
            Column::flexible("FIRST REASON"),
        ]);
        for v in rows.iter().take(ROWS) {
            let who = format!("{} {}", v.subject.kind, v.subject.value);
            let why = v.reasons.first().map_or("", |r| &*r.observed);
            let style = if v.intent == "malicious" { Style::Bad } else { Style::Warn };
            table.styled([
                (&v.intent, Some(style)),
                (&v.score.to_string(), None),
                (v.class.as_deref().unwrap_or("-"), None),
                (&who, None),
                (&count(v.requests), None),
                (why, Some(Style::Dim)),
            ]);
        }
        self.table(&table);
    }

    fn blocked(&mut self, report: &Report<'_>) {
        let (blocklist, enforced) = (report.blocklist, report.devices == Devices::Changed);
        let title = if enforced { "BLOCKED" } else { "WOULD BE BLOCKED" };
        let responses = digest::responses(self.run);
        if responses.is_empty() {
            return self.heading(title, "nothing");
        }
        let told = match report.devices {
            Devices::Untouched => "no device was changed",
            Devices::Changed => "connectors were told, as far as their devices can match",
        };
        self.heading(
            title,
            &format!("{} in the block list; {told}", plural(blocklist.len() as u64, "address")),
        );
        for (response, kinds) in &responses {
            let kinds = digest::kind_counts(kinds.iter().map(|(k, n)| (*k, *n)));
            self.line(2, &format!("{response:<10} {kinds}"));
        }
        if !blocklist.is_empty() {
            let mut first: Vec<&str> = blocklist.iter().take(6).map(String::as_str).collect();
            if blocklist.len() > 6 {
                first.push("…");
            }
            self.line(2, &format!("{:<10} {}", "addresses", first.join(" ")));
        }
    }

    fn details(&mut self, report: &Report<'_>) {
        let s = &self.run.summary;
        if let Some(dir) = report.directory {
            self.heading("DETAILS", &plain(&dir.join("report.html").display().to_string()));
        } else {
            self.heading(
                "DETAILS",
                "give --out DIR for all rows, OpenAPI documents, block list and report.html",
            );
        }
        let seconds = s.wall_ms as f64 / 1000.0;
        if s.wall_ms > 0 {
            let rate = (s.exchanges.total as f64 / seconds) as u64;
            let cost = format!(
                "{seconds:.1} s with {}, {} exchanges/s, {} of memory at most",
                plural(s.workers as u64, "worker"),
                count(rate),
                bytes(s.peak_rss_bytes)
            );
            let painted = self.terminal.paint(Style::Dim, &cost);
            let _ = writeln!(self.out, "  {painted}");
        }
    }
}

fn risk_style(risk: u8) -> Option<Style> {
    match band(risk) {
        "critical" | "high" => Some(Style::Bad),
        "medium" => Some(Style::Warn),
        _ => None,
    }
}

/// How what was seen falls short of what was there, a line each.
pub(crate) fn losses(run: &RunData) -> Vec<String> {
    let s = &run.summary;
    let mut lines = Vec::new();
    let dropped: u64 = s.packets.dropped.values().sum();
    if dropped > 0 {
        let why = digest::tally(&s.packets.dropped, 4);
        lines.push(format!(
            "{} not understood ({}): {why}",
            plural(dropped, "packet"),
            percent(dropped, s.packets.total)
        ));
    }
    if s.packets.kernel_dropped > 0 {
        lines.push(format!("{} dropped before they were read", plural(s.packets.kernel_dropped, "packet")));
    }
    let gaps = s.streams.gap_bytes;
    if gaps > 0 {
        lines.push(format!(
            "{} of streams never came ({})",
            bytes(gaps),
            percent(gaps, s.streams.bytes + gaps)
        ));
    }
    let tls = s.streams.bytes_by_protocol.get("tls").copied().unwrap_or(0);
    if tls > 0 {
        lines.push(format!(
            "{} of stream bytes are TLS and were not looked into",
            percent(tls, s.streams.bytes)
        ));
    }
    if s.exchanges.incomplete > 0 {
        let why = digest::tally(&s.exchanges.incomplete_reasons, 4);
        lines.push(format!("{} not whole: {why}", plural(s.exchanges.incomplete, "exchange")));
    }
    let evicted: u64 = s.evictions.values().sum();
    if evicted > 0 {
        lines.push(format!(
            "Given up for lack of room: {} (a higher --memory-limit may help)",
            digest::tally(&s.evictions, 4)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn an_analyst_reads_first_what_matters() {
        let run = fixture::run();
        let blocklist: Vec<String> = (0..250).map(|i| format!("203.0.0.{i}")).collect();
        let report = Report {
            run: &run,
            blocklist: &blocklist,
            directory: Some("out".as_ref()),
            analysed: true,
            proxies: &[],
            devices: Devices::Untouched,
        };
        insta::assert_snapshot!(terminal_report(&report, &Terminal { width: 120, colour: false }));
    }

    #[test]
    fn nothing_hostile_reaches_the_terminal() {
        let run = fixture::run();
        let report = Report {
            run: &run,
            blocklist: &[],
            directory: None,
            analysed: true,
            proxies: &[],
            devices: Devices::Untouched,
        };
        for width in [60, 100, 180] {
            let text = terminal_report(&report, &Terminal { width, colour: false });
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
            assert!(!text.contains('\u{202e}'));
        }
    }

    #[test]
    fn an_empty_run_is_told_too() {
        let run = RunData::default();
        let report = Report {
            run: &run,
            blocklist: &[],
            directory: None,
            analysed: true,
            proxies: &[],
            devices: Devices::Untouched,
        };
        let text = terminal_report(&report, &Terminal { width: 80, colour: false });
        assert!(text.contains("No HTTP was seen"), "{text}");
    }
}
