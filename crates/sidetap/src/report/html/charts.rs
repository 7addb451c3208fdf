//! Pictures: inline SVG, coloured by the page's style so that they follow light and dark.

use std::fmt::Write;

use sidetap_model::Ts;
use sidetap_model::rows::{RunData, TrafficPoint};

use super::super::digest;
use super::super::table::fit;
use super::super::words::{band, clock, count, plural};
use crate::output::html;

/// Bars of a chart over time at most.
const BARS: i64 = 180;
const WIDTH: f64 = 1160.0;
const LEFT: f64 = 46.0;

/// Requests over time by intent.
pub(super) fn traffic(out: &mut String, run: &RunData) {
    if run.traffic.is_empty() {
        return;
    }
    let Some((from, to)) = span_of(run) else { return };
    let (points, width) = merged(&run.traffic, from, to);
    let height = 190.0;
    let top = points.iter().map(total).max().unwrap_or(1).max(1);
    out.push_str("<section class=\"card\" id=\"traffic\"><h2>Traffic over time by intent</h2>");
    let _ = write!(
        out,
        "<p>{}, judged by who sent them</p>",
        plural(run.traffic.iter().map(total).sum(), "request")
    );
    legend(
        out,
        &[
            ("benign", "benign"),
            ("automated", "automated"),
            ("suspicious", "suspicious"),
            ("malicious", "malicious"),
        ],
    );
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} 222\" role=\"img\" aria-label=\"Requests over time by intent\">"
    );
    for step in 0..=4u64 {
        let y = 8.0 + height - height * step as f64 / 4.0;
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(top * step / 4)
        );
    }
    let whole = to.since(from).max(1) as f64;
    let slot = (WIDTH - LEFT) * width as f64 / whole;
    for p in &points {
        let x = LEFT + (WIDTH - LEFT) * p.ts.since(from) as f64 / whole;
        let slot = slot.min(WIDTH - x);
        let _ = write!(
            out,
            "<g><title>{}: {} benign, {} automated, {} suspicious, {} malicious</title>",
            clock(p.ts),
            p.benign,
            p.automated,
            p.suspicious,
            p.malicious
        );
        let mut y = 8.0 + height;
        for (n, class) in [
            (p.malicious, "malicious"),
            (p.suspicious, "suspicious"),
            (p.automated, "automated"),
            (p.benign, "benign"),
        ] {
            if n == 0 {
                continue;
            }
            let h = height * n as f64 / top as f64;
            y -= h;
            let _ = write!(
                out,
                "<rect class=\"f-{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{:.2}\" height=\"{h:.2}\"/>",
                (slot * 0.86).max(0.5)
            );
        }
        out.push_str("</g>");
    }
    time_axis(out, from, to, 8.0 + height + 18.0);
    out.push_str("</svg></section>\n");
}

fn time_axis(out: &mut String, from: Ts, to: Ts, y: f64) {
    for (step, anchor) in ["start", "middle", "middle", "middle", "end"].into_iter().enumerate() {
        let share = step as f64 / 4.0;
        let (x, at) = (LEFT + (WIDTH - LEFT) * share, from.plus((to.since(from) as f64 * share) as i64));
        let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", clock(at));
    }
}

/// From the first request to the end of the last bucket: pictures over time show all of it, and no more.
pub(super) fn span_of(run: &RunData) -> Option<(Ts, Ts)> {
    let (first, last) = (run.traffic.first()?.ts, run.traffic.last()?.ts);
    Some((first, last.plus(bucket(&run.traffic))))
}

/// The width of buckets: the least time between two.
fn bucket(points: &[TrafficPoint]) -> i64 {
    let gaps = points.windows(2).filter_map(|w| Some(w.get(1)?.ts.since(w.first()?.ts)));
    gaps.filter(|g| *g > 0).min().unwrap_or(10_000_000_000)
}

/// Buckets joined until there are few enough to be drawn, and how wide they are then; those without a request are left out.
fn merged(points: &[TrafficPoint], from: Ts, to: Ts) -> (Vec<TrafficPoint>, i64) {
    let bucket = bucket(points);
    let buckets = to.since(from) / bucket + 1;
    let width = bucket * (buckets / BARS + 1);
    let mut bars: Vec<TrafficPoint> = Vec::new();
    for p in points {
        let start = from.plus(p.ts.since(from) / width * width);
        if bars.last().is_none_or(|bar| bar.ts != start) {
            bars.push(TrafficPoint { ts: start, ..TrafficPoint::default() });
        }
        if let Some(sum) = bars.last_mut() {
            sum.benign += p.benign;
            sum.automated += p.automated;
            sum.suspicious += p.suspicious;
            sum.malicious += p.malicious;
        }
    }
    (bars, width)
}

fn total(p: &TrafficPoint) -> u64 {
    p.benign + p.automated + p.suspicious + p.malicious
}

/// `12`, `3.4k`, `1.2M`.
pub(super) fn short(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1}k", n as f64 / 1e3),
        _ => format!("{:.1}M", n as f64 / 1e6),
    }
}

pub(super) fn legend(out: &mut String, entries: &[(&str, &str)]) {
    out.push_str("<div class=\"legend\">");
    for (class, label) in entries {
        let _ = write!(out, "<span><i class=\"f-{class}\"></i>{label}</span>");
    }
    out.push_str("</div>");
}

/// Endpoints by risk.
pub(super) fn risk(out: &mut String, run: &RunData) {
    out.push_str("<section class=\"card\"><h2>Endpoints by risk</h2>");
    let rows = digest::by_risk(run);
    if rows.is_empty() {
        out.push_str("<p>No endpoint was seen.</p></section>\n");
        return;
    }
    let _ = write!(out, "<p>the riskiest of {}</p>", plural(rows.len() as u64, "endpoint"));
    let bars: Vec<Bar> = rows
        .iter()
        .take(10)
        .map(|e| Bar {
            name: format!("{} {}", e.method, e.template),
            title: format!(
                "{} {}{}: risk {}, {}",
                e.method,
                e.host,
                e.template,
                e.risk,
                plural(e.calls, "call")
            ),
            parts: vec![(f64::from(e.risk), risk_class(e.risk))],
            label: e.risk.to_string(),
        })
        .collect();
    bar_chart(out, "Endpoints by risk", &bars, 100.0);
    out.push_str("</section>\n");
}

fn risk_class(risk: u8) -> &'static str {
    match band(risk) {
        "critical" | "high" => "malicious",
        "medium" => "suspicious",
        _ => "benign",
    }
}

/// Sensitive values by class.
pub(super) fn sensitive(out: &mut String, run: &RunData) {
    out.push_str("<section class=\"card\"><h2>Sensitive data by class</h2>");
    let rows = digest::by_class(run);
    if rows.is_empty() {
        out.push_str("<p>None was seen.</p></section>\n");
        return;
    }
    out.push_str("<p>values seen; a value may belong to several classes (bars: logarithmic)</p>");
    legend(out, &[("malicious", "in answers or addresses"), ("automated", "in other parts of requests")]);
    let scale = |n: u64| (n as f64 + 1.0).log10();
    let top = rows.iter().map(|r| scale(r.1 + r.2)).fold(1.0, f64::max);
    let bars: Vec<Bar> = rows
        .iter()
        .take(9)
        .map(|(class, leaking, other)| {
            let length = scale(leaking + other);
            let share = *leaking as f64 / (leaking + other).max(1) as f64;
            Bar {
                name: (*class).to_owned(),
                title: format!(
                    "{class}: {} in answers or addresses, {} elsewhere",
                    count(*leaking),
                    count(*other)
                ),
                parts: vec![(length * share, "malicious"), (length * (1.0 - share), "automated")],
                label: count(leaking + other),
            }
        })
        .collect();
    bar_chart(out, "Sensitive values by class", &bars, top);
    out.push_str("</section>\n");
}

struct Bar {
    name: String,
    title: String,
    parts: Vec<(f64, &'static str)>,
    label: String,
}

fn bar_chart(out: &mut String, label: &str, bars: &[Bar], top: f64) {
    let (width, name_width, row) = (560.0, 250.0, 25.0);
    let room = width - name_width - 60.0;
    let height = row * bars.len() as f64;
    let _ = write!(out, "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">");
    for (i, bar) in bars.iter().enumerate() {
        let y = row * i as f64;
        let _ = write!(
            out,
            "<g><title>{}</title><text class=\"name\" x=\"0\" y=\"{:.1}\">{}</text><rect class=\"track\" x=\"{name_width}\" y=\"{:.1}\" width=\"{room}\" height=\"12\" rx=\"3\"/>",
            html(&bar.title),
            y + 16.0,
            html(&fit(&bar.name, 36)),
            y + 6.0,
        );
        let mut x = name_width;
        for (value, class) in &bar.parts {
            let w = room * (value / top).clamp(0.0, 1.0);
            if w > 0.0 {
                let _ = write!(
                    out,
                    "<rect class=\"f-{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"12\" rx=\"3\"/>",
                    y + 6.0
                );
            }
            x += w;
        }
        let _ = write!(
            out,
            "<text x=\"{width}\" y=\"{:.1}\" text-anchor=\"end\">{}</text></g>",
            y + 16.0,
            html(&bar.label)
        );
    }
    out.push_str("</svg>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_at_their_time_and_lose_no_request() {
        let at = |s: i64| Ts::from_parts(1_790_000_000 + s * 10, 0);
        let of = |starts: &[i64]| -> RunData {
            let point = |s: &i64| TrafficPoint { ts: at(*s), benign: 2, ..TrafficPoint::default() };
            RunData { traffic: starts.iter().map(point).collect(), ..RunData::default() }
        };
        let gap = of(&[0, 1, 2, 50]);
        assert_eq!(span_of(&gap), Some((at(0), at(51))));
        let (bars, width) = merged(&gap.traffic, at(0), at(51));
        assert_eq!(
            (bars.iter().map(|b| b.ts).collect::<Vec<_>>(), width),
            (vec![at(0), at(1), at(2), at(50)], 10_000_000_000)
        );
        let long = of(&(0..2000).collect::<Vec<_>>());
        let (bars, _) = merged(&long.traffic, at(0), at(2000));
        assert!(bars.len() <= BARS as usize, "{}", bars.len());
        assert_eq!(bars.iter().map(total).sum::<u64>(), 4000);
    }
}
