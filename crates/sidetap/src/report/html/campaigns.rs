//! Who attacks and how it is known.

use std::fmt::Write;

use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, Reason, RunData};

use super::super::digest;
use super::super::words::{class_name, clock, count, plural, span};
use super::charts::{legend, span_of};
use super::tables::{more, tag};
use crate::output::html;

/// Campaigns on the page at most.
const CAMPAIGNS: usize = 40;
/// Rows of the picture at most.
const LANES: usize = 16;
/// Cells of a lane at most.
const CELLS: usize = 120;

/// The section with the timelines and a fold-out for each campaign.
pub(super) fn section(out: &mut String, run: &RunData) {
    out.push_str("<section class=\"card\" id=\"campaigns\"><h2>Campaigns</h2>");
    let rows = digest::campaigns(run);
    if rows.is_empty() {
        out.push_str("<p>No campaign was found.</p></section>\n");
        return;
    }
    out.push_str("<p>actors that one attacker drives, joined by what they cannot cheaply change; darker is more requests, the mark is when it was known</p>");
    timelines(out, run, &rows);
    for (i, row) in rows.iter().take(CAMPAIGNS).enumerate() {
        campaign(out, row, i == 0);
    }
    more(out, rows.len(), CAMPAIGNS, "campaigns.ndjson");
    out.push_str("</section>\n");
}

fn timelines(out: &mut String, run: &RunData, rows: &[&CampaignRow]) {
    let lanes = rows.get(..rows.len().min(LANES)).unwrap_or(rows);
    let first = lanes.iter().map(|c| c.first_seen);
    let last = lanes.iter().map(|c| c.last_seen);
    let period = span_of(run).or_else(|| digest::period(run));
    let from = first.chain(period.map(|p| p.0)).min().unwrap_or_default();
    let to = last.chain(period.map(|p| p.1)).max().unwrap_or_default();
    let whole = to.since(from).max(1) as f64;
    let (width, left, row) = (1160.0, 250.0, 26.0);
    let room = width - left;
    legend(out, &[("malicious", "requests of the campaign"), ("brand", "known")]);
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {width} {:.0}\" role=\"img\" aria-label=\"Campaigns over time\">",
        row * lanes.len() as f64 + 22.0
    );
    let x_of = |ts: Ts| left + room * (ts.since(from) as f64 / whole).clamp(0.0, 1.0);
    for (i, c) in lanes.iter().enumerate() {
        let y = row * i as f64;
        let _ = write!(
            out,
            "<g><title>{}: {} from {} to {}</title><text class=\"name\" x=\"0\" y=\"{:.1}\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect class=\"track\" x=\"{left}\" y=\"{:.1}\" width=\"{room}\" height=\"14\" rx=\"3\"/>",
            html(&class_name(&c.class)),
            plural(c.requests, "request"),
            clock(c.first_seen),
            clock(c.last_seen),
            y + 16.0,
            html(&class_name(&c.class)),
            left - 10.0,
            y + 16.0,
            count(c.requests),
            y + 5.0
        );
        lane(out, c, from, whole, (left, room, y + 5.0));
        let known = x_of(c.detected_at);
        let _ = write!(
            out,
            "<rect class=\"f-brand\" x=\"{:.1}\" y=\"{:.1}\" width=\"3\" height=\"20\" rx=\"1\"/></g>",
            known - 1.5,
            y + 2.0
        );
    }
    let y = row * lanes.len() as f64 + 16.0;
    for step in 0..=4 {
        let x = left + room * f64::from(step) / 4.0;
        let anchor =
            ["start", "middle", "middle", "middle", "end"].get(step as usize).copied().unwrap_or("middle");
        let at = from.plus((whole * f64::from(step) / 4.0) as i64);
        let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", clock(at));
    }
    out.push_str("</svg>\n");
    if rows.len() > lanes.len() {
        let _ = write!(
            out,
            "<p class=\"dim\">The picture shows {} of {}.</p>",
            lanes.len(),
            plural(rows.len() as u64, "campaign")
        );
    }
}

/// A campaign's lane: a cell for each bucket of its timeline; without one a plain bar from first to last request.
fn lane(out: &mut String, c: &CampaignRow, from: Ts, whole: f64, (left, room, y): (f64, f64, f64)) {
    let x_of = |ts: Ts| room * (ts.since(from) as f64 / whole).clamp(0.0, 1.0);
    let mut rect = |x: f64, width: f64, opacity: f64| {
        let width = width.max(2.0).min(room - x);
        let _ = write!(
            out,
            "<rect class=\"f-malicious\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"14\" opacity=\"{opacity:.2}\"/>",
            left + x
        );
    };
    if c.timeline.is_empty() {
        let x = x_of(c.first_seen);
        return rect(x, x_of(c.last_seen) - x, 0.8);
    }
    let cells = joined(&c.timeline);
    let top = cells.iter().map(|(_, _, n)| *n).max().unwrap_or(1).max(1);
    for (start, end, n) in cells.iter().filter(|(_, _, n)| *n > 0) {
        let x = x_of(*start);
        rect(x, x_of(*end) - x + 0.2, 0.3 + 0.7 * *n as f64 / top as f64);
    }
}

/// Buckets as (start, end, requests), neighbours joined until there are few enough to be drawn.
fn joined(timeline: &[(Ts, u64)]) -> Vec<(Ts, Ts, u64)> {
    let gaps = timeline.windows(2).filter_map(|w| Some(w.get(1)?.0.since(w.first()?.0)));
    let width = gaps.filter(|g| *g > 0).min().unwrap_or(1_000_000_000);
    let group = timeline.len().div_ceil(CELLS).max(1);
    let join = |chunk: &[(Ts, u64)]| {
        let start = chunk.first().map(|c| c.0).unwrap_or_default();
        let end = chunk.last().map(|c| c.0.plus(width)).unwrap_or_default();
        (start, end, chunk.iter().map(|c| c.1).sum())
    };
    timeline.chunks(group).map(join).collect()
}

fn campaign(out: &mut String, c: &CampaignRow, open: bool) {
    let _ = write!(
        out,
        "<details class=\"campaign\"{}><summary><h3>{}</h3>{}<span class=\"risk bad\">harm {}</span><span class=\"dim\">{} · {}</span></summary>",
        if open { " open" } else { "" },
        html(&class_name(&c.class)),
        c.oat.iter().map(|o| tag("", o)).collect::<Vec<_>>().join(" "),
        c.score,
        html(&digest::members(&c.members)),
        plural(c.requests, "request"),
    );
    if let Some(story) = c.signature.get("story") {
        let _ = write!(out, "<p class=\"inset\">{}</p>", html(story));
    }
    out.push_str("<dl class=\"facts\">");
    let known = match c.phase.as_str() {
        "retrospective" => "known in retrospect".to_owned(),
        _ => format!("known after {}", span(c.detected_at.since(c.first_seen))),
    };
    fact(out, "When", &format!("{} – {}, {known}", clock(c.first_seen), clock(c.last_seen)));
    fact(out, "Target", &few(c.endpoints.iter().map(String::as_str), 6));
    if !c.outcome.is_empty() {
        fact(out, "How far it got", &digest::tally(&c.outcome, 8).replace('-', " "));
    }
    let agents = c.signature.get("agents").map_or("1", String::as_str);
    let of_all = |name: &str| match name {
        "story" | "targets" | "networks" | "countries" => false,
        "agent" => agents == "1",
        _ => true,
    };
    for (name, value) in c.signature.iter().filter(|(name, _)| of_all(name)).take(8) {
        match name.as_str() {
            "agents" => fact(out, "Agents", value),
            "addresses" => fact(out, "Addresses", value),
            _ => fact(out, &format!("Shared {name}"), value),
        }
    }
    fact(out, "Members", &few(c.members.iter().map(|m| m.value.as_str()), 12));
    out.push_str("</dl>");
    reasons(out, &c.reasons);
    out.push_str("</details>\n");
}

fn fact(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", html(name), html(value));
}

fn few<'a>(items: impl ExactSizeIterator<Item = &'a str>, most: usize) -> String {
    let all = items.len();
    let mut shown: Vec<&str> = items.take(most).collect();
    let rest = format!("and {} more", count((all - shown.len()) as u64));
    if all > shown.len() {
        shown.push(&rest);
    }
    shown.join(", ")
}

fn reasons(out: &mut String, reasons: &[Reason]) {
    if reasons.is_empty() {
        return;
    }
    out.push_str("<div class=\"inset scroll\"><table><thead><tr><th>Known by</th><th>Observed when it last held</th><th>Usual</th><th class=\"n\">Weight</th><th></th></tr></thead><tbody>");
    for r in reasons.iter().take(12) {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"dim\">{}</td><td class=\"n\">{:+.1}</td><td class=\"s\"><span class=\"weight\" style=\"width:{:.0}px\"></span></td></tr>",
            html(&r.indicator),
            html(&r.observed),
            html(&r.baseline),
            r.weight,
            (r.weight.abs() * 14.0).clamp(2.0, 90.0),
        );
    }
    out.push_str("</tbody></table></div>");
}
