//! What the figures mean, in words.

use std::fmt::Write;

use super::look::Figures;
use crate::output::{Style, Terminal, plain};
use crate::report::{count, plural};

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Good,
    Watch,
    Mend,
}

/// One thing seen, and what to do about it.
struct Advice {
    grade: Grade,
    seen: String,
    change: &'static str,
}

/// The doctor's report.
pub(super) fn text(f: &Figures, terminal: &Terminal) -> String {
    let mut out = String::new();
    let named: Vec<_> = f.inputs.iter().map(|i| plain(&i.path).into_owned()).collect();
    let head = terminal.paint(Style::Strong, &named.join(", "));
    let _ = writeln!(
        out,
        "{head}  {}, {} TCP segments, {} in {:.0} s",
        plural(f.packets, "packet"),
        count(f.tcp_segments),
        plural(f.flows, "flow"),
        f.seconds
    );
    let flows: Vec<String> =
        f.flows_by_protocol.iter().map(|(k, n)| format!("{} {}", count(*n), plain(k))).collect();
    if !flows.is_empty() {
        let _ = writeln!(out, "  flows: {}", flows.join(", "));
    }
    let _ = writeln!(
        out,
        "  HTTP exchanges: {}, {} of them whole\n",
        count(f.exchanges),
        percent(f.whole_exchanges)
    );
    for advice in advice(f) {
        let (mark, style) = match advice.grade {
            Grade::Good => ("ok  ", Style::Good),
            Grade::Watch => ("note", Style::Warn),
            Grade::Mend => ("mend", Style::Bad),
        };
        let _ = writeln!(out, "  {}  {}", terminal.paint(style, mark), plain(&advice.seen));
        if !advice.change.is_empty() {
            let _ = writeln!(out, "        {}", advice.change);
        }
    }
    out
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn advice(f: &Figures) -> Vec<Advice> {
    if f.packets == 0 {
        return vec![Advice {
            grade: Grade::Mend,
            seen: "no packet came".to_owned(),
            change: "is the mirror session on, is the cable at the right port, does the filter exclude everything?",
        }];
    }
    let mut list = vec![http(f), encrypted(f), one_way(f), losses(f), cut(f), duplicated(f)];
    list.extend(encapsulated(f));
    list.extend(undecoded(f));
    list
}

fn http(f: &Figures) -> Advice {
    match f.exchanges {
        0 => Advice {
            grade: Grade::Mend,
            seen: "no HTTP was seen".to_owned(),
            change: "mirror a point where requests are in the clear: behind the load balancer or proxy that ends TLS",
        },
        n if f.whole_exchanges < 0.9 => Advice {
            grade: Grade::Watch,
            seen: format!(
                "{} of {} exchanges are not whole: {}",
                percent(1.0 - f.whole_exchanges),
                count(n),
                reasons(f)
            ),
            change: "the lines below say what keeps them from it",
        },
        n => Advice {
            grade: Grade::Good,
            seen: format!("{} HTTP exchanges, {} whole", count(n), percent(f.whole_exchanges)),
            change: "",
        },
    }
}

fn reasons(f: &Figures) -> String {
    let mut rows: Vec<_> = f.incomplete_reasons.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    rows.iter().take(3).map(|(k, n)| format!("{k} {}", count(**n))).collect::<Vec<_>>().join(", ")
}

/// A figure that is fine below `watch` and to be mended from `mend` on.
fn graded(share: f64, watch: f64, mend: f64, fine: &str, seen: String, change: &'static str) -> Advice {
    match share {
        s if s >= mend => Advice { grade: Grade::Mend, seen, change },
        s if s >= watch => Advice { grade: Grade::Watch, seen, change },
        _ => Advice { grade: Grade::Good, seen: fine.to_owned(), change: "" },
    }
}

fn encrypted(f: &Figures) -> Advice {
    graded(
        f.encrypted_bytes,
        0.05,
        0.5,
        "next to nothing is encrypted",
        format!("{} of stream bytes are encrypted and cannot be looked into", percent(f.encrypted_bytes)),
        "mirror behind the point that ends TLS",
    )
}

fn one_way(f: &Figures) -> Advice {
    graded(
        f.one_way_flows,
        0.1,
        0.5,
        "both directions are seen",
        format!("{} of flows show one direction only", percent(f.one_way_flows)),
        "mirror both directions (rx and tx), and all links of a bundle; with asymmetric routing mirror at both routers",
    )
}

fn losses(f: &Figures) -> Advice {
    if f.kernel_dropped > 0 {
        let of = f.kernel_dropped as f64 / (f.kernel_dropped + f.packets) as f64;
        return Advice {
            grade: if of > 0.001 { Grade::Mend } else { Grade::Watch },
            seen: format!(
                "{} dropped before they were read ({})",
                plural(f.kernel_dropped, "packet"),
                percent(of)
            ),
            change: "raise `buffer` in [capture], filter what is not wanted, or give the machine more cores",
        };
    }
    graded(
        f.lost_bytes,
        0.001,
        0.02,
        "nothing is lost on the way",
        format!("{} of stream bytes never came", percent(f.lost_bytes)),
        "the mirror port is overbooked: mirror less, or to a faster port",
    )
}

fn cut(f: &Figures) -> Advice {
    graded(
        f.cut_packets,
        0.0001,
        0.05,
        "packets are whole",
        format!("{} of packets are cut short", percent(f.cut_packets)),
        "capture whole packets (tcpdump -s 0), and switch off truncation in the mirror session",
    )
}

fn duplicated(f: &Figures) -> Advice {
    graded(
        f.duplicated_segments,
        0.01,
        0.2,
        "packets come once",
        format!("{} of segments come twice", percent(f.duplicated_segments)),
        "the same packet is mirrored at two places: mirror one of them (results are right all the same, at twice the cost)",
    )
}

fn encapsulated(f: &Figures) -> Vec<Advice> {
    let mut list = Vec::new();
    if f.encapsulated > 0.0 {
        let seen = format!("{} of segments come in a tunnel, which is taken off", percent(f.encapsulated));
        let change = "a capture filter sees the outer headers: write it for them, or use none";
        list.push(Advice { grade: Grade::Watch, seen, change });
    }
    if f.tagged > 0.0 {
        let seen = format!("{} of segments carry VLAN tags", percent(f.tagged));
        let change = "a capture filter must begin with `vlan` to match them";
        list.push(Advice { grade: Grade::Watch, seen, change });
    }
    list
}

fn undecoded(f: &Figures) -> Option<Advice> {
    let all: u64 = f.not_decoded.values().sum();
    let reasons: Vec<String> = f.not_decoded.iter().map(|(k, n)| format!("{k} {}", count(*n))).collect();
    (all > 0).then(|| Advice {
        grade: if all * 20 > f.packets { Grade::Mend } else { Grade::Watch },
        seen: format!("{} could not be decoded: {}", plural(all, "packet"), reasons.join(", ")),
        change: "unknown link types and layers: mirror at a place without them",
    })
}
