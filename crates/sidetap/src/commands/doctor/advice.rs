//! What the figures mean, in words.

use std::fmt::Write;
use std::net::IpAddr;

use super::look::Figures;
use crate::output::{Style, Terminal, plain};
use crate::report::{count, plural};

/// Addresses that balancers have, at most.
const FEW: usize = 4;

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Good,
    Watch,
    Mend,
}

/// One thing seen, and what to do about it.
#[derive(Debug)]
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
    if f.tcp_segments == 0 {
        // Of nothing no share says anything.
        return std::iter::once(no_tcp(f)).chain(cut_all(f)).chain(clock(f)).chain(undecoded(f)).collect();
    }
    let mut list = vec![http(f), encrypted(f), one_way(f), losses(f), cut(f), duplicated(f)];
    list.extend(misplaced(f));
    list.extend(super_frames(f));
    list.extend(checksums(f));
    list.extend(encapsulated(f));
    list.extend(parted(f));
    list.extend(clock(f));
    list.extend(undecoded(f));
    list
}

fn no_tcp(f: &Figures) -> Advice {
    Advice {
        grade: Grade::Mend,
        seen: format!("no TCP is among {}", plural(f.packets, "packet")),
        change: "HTTP/3 and VPNs go over UDP or ESP and cannot be looked into: mirror behind what ends them; of a mirror that comes in a tunnel on a port of \
its own name that (vxlan_ports, geneve_ports); where only broadcasts come the mirror session is off or has another source",
    }
}

/// Of cut packets, where it may be why nothing can be read.
fn cut_all(f: &Figures) -> Option<Advice> {
    (f.cut_packets >= 0.01).then(|| cut(f))
}

fn http(f: &Figures) -> Advice {
    match f.exchanges {
        0 if f.flows_by_protocol.get("http2").is_some_and(|n| *n > 0) => Advice {
            grade: Grade::Mend,
            seen: "no HTTP/1 was seen, but HTTP/2 in the clear".to_owned(),
            change: "HTTP/2 is not read yet: mirror a point behind the proxy that speaks HTTP/1 to the application, or have it do so",
        },
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
    let which = match () {
        () if f.only_client_side > f.one_way_flows * 0.9 => {
            ", all that clients send: requests without answers"
        }
        () if f.only_server_side > f.one_way_flows * 0.9 => {
            ", all that servers send: answers without requests"
        }
        () => "",
    };
    graded(
        f.one_way_flows,
        0.1,
        0.5,
        "both directions are seen",
        format!("{} of flows show one direction only{which}", percent(f.one_way_flows)),
        "mirror both directions (rx and tx), and all links of a bundle; with asymmetric routing mirror at both routers",
    )
}

/// Everybody has one address, or one of a few: somebody stands in between.
fn misplaced(f: &Figures) -> Option<Advice> {
    let few = fewest(f)?;
    let named = f.forwarded_requests >= 0.5;
    let (grade, change) = match (named, few.len()) {
        (true, _) => (
            Grade::Watch,
            "requests name them in a forwarding header: list these addresses in `trusted_proxies`, or mirror before them",
        ),
        (false, 1) => (
            Grade::Mend,
            "mirror before the NAT or balancer, or let it add X-Forwarded-For and list it in `trusted_proxies`",
        ),
        (false, _) => (
            Grade::Watch,
            "if these are balancers: mirror before them, or let them add X-Forwarded-For and list them in `trusted_proxies`; if they are all the clients there are: nothing",
        ),
    };
    let share: f64 = few.iter().map(|(_, share)| share).sum();
    let names: Vec<String> = few.iter().map(|(ip, _)| ip.to_string()).collect();
    let so = match few.len() {
        1 => "the mirror stands behind a NAT, proxy or balancer, and clients cannot be told apart",
        _ => "the mirror may stand behind balancers, and clients could not be told apart",
    };
    let seen = format!("{} of connections come from {}: {so}", percent(share), names.join(", "));
    Some(Advice { grade, seen, change })
}

/// The few addresses that nearly all connections come from, each a good part of them.
fn fewest(f: &Figures) -> Option<&[(IpAddr, f64)]> {
    (1..=FEW).filter_map(|n| f.busiest_clients.get(..n)).find(|few| {
        let share: f64 = few.iter().map(|(_, share)| share).sum();
        let part = 0.4 / few.len() as f64;
        let enough = f.flows >= 50 * few.len() as u64 * if few.len() > 1 { 2 } else { 1 };
        share >= 0.95 && enough && few.iter().all(|(_, share)| *share >= part)
    })
}

fn super_frames(f: &Figures) -> Option<Advice> {
    let seen = format!(
        "{} of segments are larger than any on the wire: the card joined them",
        percent(f.super_frames)
    );
    let change = "results are right; for true sizes and times switch segmentation off-load off (ethtool -K IFACE gro off lro off tso off gso off), else keep a snap length of 65,535 or more";
    (f.super_frames > 0.01).then_some(Advice { grade: Grade::Watch, seen, change })
}

fn checksums(f: &Figures) -> Vec<Advice> {
    let mut list = Vec::new();
    if f.offloaded_checksums > 0.01 {
        let seen = format!(
            "{} of TCP checksums are not filled in: captured on a sending machine, before its card does so",
            percent(f.offloaded_checksums)
        );
        let change = "nothing: what such senders send is taken as it is";
        list.push(Advice { grade: Grade::Watch, seen, change });
    }
    if f.damaged_checksums > 0.001 {
        let seen = format!("{} of TCP checksums are wrong", percent(f.damaged_checksums));
        let change = "packets are damaged or rewritten on the way to the mirror: look at cables and error counters, and at what rewrites addresses";
        let grade = if f.damaged_checksums > 0.02 { Grade::Mend } else { Grade::Watch };
        list.push(Advice { grade, seen, change });
    }
    list
}

fn clock(f: &Figures) -> Option<Advice> {
    const TROUBLE: [&str; 4] = ["times-disbelieved", "packets-late", "steps-back", "inputs-aligned"];
    let found: Vec<String> =
        TROUBLE.iter().filter_map(|name| Some(format!("{name} {}", count(*f.clock.get(*name)?)))).collect();
    (!found.is_empty()).then(|| Advice {
        grade: Grade::Watch,
        seen: format!("times of packets do not go together: {}", found.join(", ")),
        change: "let one clock (NTP, PTP) set those of all that capture; times shown are as far right as docs/capture.md says",
    })
}

fn losses(f: &Figures) -> Advice {
    if let Some(share) = f.sampled.filter(|_| parted_share(f) < 0.1) {
        return Advice {
            grade: Grade::Mend,
            seen: format!(
                "about 1 packet in {:.0} is seen, all the time: this is a sample",
                1.0 / share.max(1e-6)
            ),
            change: "switch sampling off in the mirror session (sFlow and `rate` or `sampling` settings make a sample): exchanges need every packet; if there is none, the mirror port is overbooked all the time",
        };
    }
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
    // What was cut off or damaged counts as a gap too, and has a line and a cure of its own.
    let other = match () {
        () if f.lost_bytes < 0.001 => None,
        () if f.lost_bytes < f.cut_packets * 3.0 => Some("cut off"),
        () if f.lost_bytes < f.damaged_checksums * 3.0 => Some("damaged"),
        () if f.lost_bytes < parted_share(f) * 3.0 => Some("in fragments that never came"),
        () => None,
    };
    if let Some(other) = other {
        return Advice {
            grade: Grade::Good,
            seen: format!("bytes that never came cannot be told from those that were {other}"),
            change: "",
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
        format!("{} of packets are cut short, at {} bytes", percent(f.cut_packets), count(f.cut_at as u64)),
        "capture whole packets (tcpdump -s 0), and switch off truncation in the mirror session",
    )
}

fn duplicated(f: &Figures) -> Advice {
    if f.vlan_twins > f.duplicated_segments / 2.0 && f.vlan_twins >= 0.01 {
        return Advice {
            grade: if f.vlan_twins >= 0.2 { Grade::Mend } else { Grade::Watch },
            seen: format!("{} of segments come twice, on two VLANs", percent(f.vlan_twins)),
            change: "the mirror shows both sides of a router or trunk: mirror one of the VLANs (results are right all the same, at twice the cost)",
        };
    }
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
    if f.untrusted > 0.0 {
        let seen = format!("{} of segments come in tunnels whose ends are not trusted", percent(f.untrusted));
        let change = "what is in them convicts nobody, for anybody can write it: if the tunnels are yours, name the networks of their ends in `[capture] trusted_tunnels`";
        let grade = if f.untrusted > 0.2 { Grade::Mend } else { Grade::Watch };
        list.push(Advice { grade, seen, change });
    }
    if f.tagged > 0.0 {
        let seen = format!("{} of segments carry VLAN tags", percent(f.tagged));
        let change = "a capture filter must begin with `vlan` to match them";
        list.push(Advice { grade: Grade::Watch, seen, change });
    }
    list
}

/// Datagrams of which fragments never came, of all packets.
fn parted_share(f: &Figures) -> f64 {
    f.parted_datagrams as f64 / f.packets.max(1) as f64
}

fn parted(f: &Figures) -> Option<Advice> {
    (f.parted_datagrams >= 5 && parted_share(f) > 0.001).then(|| Advice {
        grade: if f.parted_datagrams * 50 > f.packets { Grade::Mend } else { Grade::Watch },
        seen: format!("of {} some fragments never came", plural(f.parted_datagrams, "datagram")),
        change: "a filter that names ports passes first fragments alone, for the others have none: let it pass them too (`or ip[6:2] & 0x1fff != 0`); a mirror that cuts or samples loses some of them",
    })
}

fn undecoded(f: &Figures) -> Option<Advice> {
    let all: u64 = f.not_decoded.values().sum();
    let mut reasons: Vec<(&String, &u64)> = f.not_decoded.iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let (first, _) = reasons.first()?;
    let change = match first.as_str() {
        "truncated" => {
            "they are cut before their data begin: capture whole packets (tcpdump -s 0), and switch off truncation in the mirror session"
        }
        "bad-checksum" => {
            "what was damaged on the way is left out, as its receiver leaves it out: see the line on checksums"
        }
        "malformed-fragment" | "fragment-overlap" | "fragments-full" => {
            "fragments that do not go together: somebody may be trying to hide what he sends"
        }
        _ => "unknown link types and layers: mirror at a place without them",
    };
    let names: Vec<String> = reasons.iter().map(|(k, n)| format!("{k} {}", count(**n))).collect();
    (all > 0).then(|| Advice {
        grade: if all * 20 > f.packets { Grade::Mend } else { Grade::Watch },
        seen: format!("{} could not be decoded: {}", plural(all, "packet"), names.join(", ")),
        change,
    })
}
