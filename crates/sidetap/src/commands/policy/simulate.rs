//! `sidetap policy simulate`: what rules would have done, to whom, and how much good traffic they would have hit.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;
use sidetap_model::rows::RunData;
use sidetap_policy::{Attribution, Behind, Device, DeviceReport, Effect, Known, Simulation};

use super::devices::devices;
use super::known::Asked;
use super::{Policies, of_file, policies};
use crate::cli::{SimulateArgs, SourceArgs};
use crate::config::Config;
use crate::exit::Status;
use crate::output::{Terminal, print};
use crate::report::{Column, Table, count, plural};

/// Simulates.
pub(super) fn run(
    source: &SourceArgs,
    args: &SimulateArgs,
    config: &mut Config,
    terminal: &Terminal,
) -> Result<Status> {
    let asked = Asked::of(source, &args.traffic, config)?;
    let known = asked.known()?;
    let devices = devices(config)?;
    let present = policies(config)?;
    let wanted = of_file(args.file.as_deref().or(config.policy.path.as_deref()), config)?;
    let before = decide(&present, &asked.run, &known);
    let after = decide(&wanted, &asked.run, &known);
    let changed = args.file.is_some();
    let first = simulate(&asked, &wanted, &after, &known, &devices, args.decisions.as_deref())?;
    let other = match changed && asked.has_requests(&known) {
        true => Some(simulate(&asked, &present, &before, &known, &devices, None)?),
        false => None,
    };
    if args.json {
        let report =
            Report { subjects: subjects(&after, &before), devices: &first, present: other.as_deref() };
        print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
        return Ok(Status::Done);
    }
    let mut text = subjects_table(&after, &before, terminal);
    text.push_str(&guards_text(&after));
    if asked.has_requests(&known) {
        text.push_str(&devices_table(&first, terminal));
        text.push_str(&classes_table(&first, terminal));
        if asked.is_rough() {
            text.push_str("  requests of a store are counted by the hour: when each came is reckoned\n");
        }
        text.push_str(&cannot_text(&first));
        if let Some(other) = &other {
            text.push_str("  The present policy, beside:\n");
            text.push_str(&devices_table(other, terminal));
        }
    } else {
        text.push_str("  no requests are stored here (replay with --exchanges): how much good traffic would be hit is not known\n");
    }
    let lines = wanted.blocklist(&after).len() as u64;
    text.push_str(&format!("  {} addresses and networks would be blocked\n", count(lines)));
    print(&text)?;
    Ok(Status::Done)
}

#[derive(Serialize)]
struct Report<'a> {
    subjects: Vec<serde_json::Value>,
    devices: &'a [DeviceReport],
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<&'a [DeviceReport]>,
}

fn decide(policies: &Policies, run: &RunData, known: &Known) -> RunData {
    let mut run = run.clone();
    policies.apply(&mut run, known);
    run
}

fn simulate(
    asked: &Asked,
    policies: &Policies,
    run: &RunData,
    known: &Known,
    devices: &[Device],
    decisions: Option<&Path>,
) -> Result<Vec<DeviceReport>> {
    let attribution = Attribution::of(&run.verdicts);
    let classes: BTreeMap<&str, &str> =
        run.campaigns.iter().map(|c| (c.id.as_str(), c.class.as_str())).collect();
    let mut simulation = Simulation::new(&run.verdicts, policies.set(), known.traffic.as_ref(), devices);
    let mut out = match decisions {
        None => None,
        Some(path) => {
            let file =
                std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Some(BufWriter::new(file))
        }
    };
    asked.each(|line, n| {
        let (behind, campaign) = attribution.behind(&line.seen);
        let class = campaign.as_deref().and_then(|id| classes.get(id).copied());
        let effects = simulation.see_many(&line, n, behind, class);
        if let Some(out) = &mut out
            && effects.iter().any(Option::is_some)
        {
            let by: BTreeMap<&str, &Effect> =
                devices.iter().zip(&effects).filter_map(|(d, e)| Some((d.name.as_str(), e.as_ref()?))).collect();
            let who = match behind {
                Behind::Good => "good",
                Behind::Suspicious => "suspicious",
                Behind::Malicious => "malicious",
            };
            let row = json!({ "id": line.id, "@timestamp": line.ts, "client": line.seen.ip, "port": line.port, "behind": who, "by": by });
            writeln!(out, "{row}")?;
        }
        Ok(())
    })?;
    if let Some(mut out) = out {
        out.flush()?;
    }
    Ok(simulation.report())
}

type Sums = BTreeMap<(String, String, String), (u64, u64, u64)>;

fn sums(after: &RunData, before: &RunData) -> Sums {
    let mut sums = Sums::new();
    for (v, old) in after.verdicts.iter().zip(&before.verdicts) {
        let class = v.class.clone().unwrap_or_else(|| v.intent.clone());
        let rule = v.policy.clone().unwrap_or_else(|| "-".to_owned());
        let sum = sums.entry((v.response.clone(), class, rule)).or_default();
        sum.0 += 1;
        sum.1 += v.requests;
        sum.2 += u64::from(v.response != old.response);
    }
    sums
}

fn subjects(after: &RunData, before: &RunData) -> Vec<serde_json::Value> {
    let row = |((response, class, rule), (subjects, requests, changed)): (
        &(String, String, String),
        &(u64, u64, u64),
    )| {
        json!({ "response": response, "class": class, "rule": rule, "subjects": subjects, "requests": requests, "changed": changed })
    };
    sums(after, before).iter().map(row).collect()
}

fn subjects_table(after: &RunData, before: &RunData, terminal: &Terminal) -> String {
    let mut table = Table::new(&[
        Column::text("RESPONSE"),
        Column::text("CLASS"),
        Column::number("SUBJECTS"),
        Column::number("REQUESTS"),
        Column::number("CHANGED"),
        Column::flexible("BY RULE"),
    ]);
    for ((response, class, rule), (subjects, requests, changed)) in &sums(after, before) {
        table.row([response, class, &count(*subjects), &count(*requests), &count(*changed), rule]);
    }
    table.render(terminal)
}

fn guards_text(run: &RunData) -> String {
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for v in &run.verdicts {
        if let Some(guard) = v.policy.as_deref().and_then(|p| p.strip_prefix("guard:")) {
            *held.entry(guard).or_default() += 1;
        }
    }
    let line = |(guard, n): (&&str, &u64)| format!("  {} held by guard {guard}\n", plural(*n, "verdict"));
    held.iter().map(line).collect()
}

fn devices_table(devices: &[DeviceReport], terminal: &Terminal) -> String {
    let mut table = Table::new(&[
        Column::flexible("DEVICE"),
        Column::number("ENTRIES"),
        Column::number("STOPPED"),
        Column::number("SLOWED"),
        Column::number("OF MALICIOUS"),
        Column::number("SHARE"),
        Column::number("KNOWN BEFORE"),
        Column::number("GOOD HIT"),
        Column::number("OF GOOD"),
    ]);
    for d in devices {
        let (bad, good) = (&d.malicious, &d.good);
        let known = if bad.requests == 0 { 0.0 } else { bad.known_before as f64 / bad.requests as f64 };
        table.row([
            &d.name,
            &count(d.entries as u64),
            &count(bad.stopped),
            &count(bad.slowed),
            &count(bad.requests),
            &format!("{:.1} %", bad.share() * 100.0),
            &format!("{:.1} %", known * 100.0),
            &count(good.stopped + good.slowed),
            &count(good.requests),
        ]);
    }
    let mut text = table.render(terminal);
    text.push_str(
        "  stopped and slowed: from the verdict on, as it would have been live; known before: had the entries stood from the first request\n",
    );
    for d in devices.iter().filter(|d| !d.good_addresses.is_empty()) {
        let some: Vec<String> = d.good_addresses.iter().take(5).map(ToString::to_string).collect();
        text.push_str(&format!(
            "  {}: good clients at {} would have been stopped: {}\n",
            d.name,
            plural(d.good_addresses.len() as u64, "address"),
            some.join(", ")
        ));
    }
    text
}

fn classes_table(devices: &[DeviceReport], terminal: &Terminal) -> String {
    let (Some(first), Some(last)) = (devices.first(), devices.last()) else { return String::new() };
    let mut table = Table::new(&[
        Column::text("CLASS"),
        Column::number("REQUESTS"),
        Column::number("STOPPED OR SLOWED"),
        Column::number("BY ADDRESS ONLY"),
    ]);
    for (class, tally) in &last.classes {
        let address = first.classes.get(class).map_or(0.0, |t| t.share());
        table.row([
            class,
            &count(tally.requests),
            &format!("{:.1} %", tally.share() * 100.0),
            &format!("{:.1} %", address * 100.0),
        ]);
    }
    table.render(terminal)
}

/// What devices cannot be told, the most frequent first.
fn cannot_text(devices: &[DeviceReport]) -> String {
    let mut text = String::new();
    for d in devices {
        let mut reasons: Vec<(&String, &u64)> = d.cannot.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        for (why, n) in reasons.into_iter().take(3) {
            text.push_str(&format!("  {}: {} not expressed: {why}\n", d.name, plural(*n, "verdict")));
        }
    }
    text
}
