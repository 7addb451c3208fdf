//! `sidetap policy simulate`: what rules would have done, to whom, and how much good traffic they would have hit.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ipnet::IpNet;
use serde::Serialize;
use serde_json::json;
use sidetap_model::rows::VerdictRow;
use sidetap_policy::{
    AllowList, Attribution, Behind, Campaigns, Device, DeviceReport, Effect, ExchangeLine, Known, PolicySet,
    Sieve, Simulation, block_line, outermost,
};

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
    let sieve = asked.sieve()?;
    let known = asked.known(sieve.as_deref())?;
    let devices = devices(config)?;
    let present = policies(config)?;
    let wanted = args.file.as_deref().map(|file| of_file(Some(file), config)).transpose()?;
    let campaigns = asked.campaigns()?;
    let mut decided = Decided::on(&devices, wanted.is_some(), sieve);
    decided.decide(&asked, &campaigns, &known, &present, wanted.as_ref())?;
    let has_requests = asked.has_requests(&known);
    drop(known);
    if has_requests {
        decided.see(&asked, &campaigns, &devices, args.decisions.as_deref())?;
    }
    let Decided { sums, held, nets, first, other, .. } = decided;
    let (first, other) = (first.report(), other.filter(|_| has_requests).map(Simulation::report));
    if args.json {
        let report = Report { subjects: subjects(&sums), devices: &first, present: other.as_deref() };
        print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
        return Ok(Status::Done);
    }
    let mut text = subjects_table(&sums, terminal);
    text.push_str(&guards_text(&held));
    if has_requests {
        text.push_str(&devices_table(&first, terminal));
        text.push_str(&classes_table(&first, terminal));
        if asked.is_rough() {
            text.push_str("  requests of a store are counted by the hour: when each came is reckoned\n");
        }
        if let Some(other) = &other {
            text.push_str("  The present policy, beside:\n");
            text.push_str(&devices_table(other, terminal));
        }
    } else {
        text.push_str("  no requests are stored here (replay with --exchanges): how much good traffic would be hit is not known\n");
    }
    text.push_str(&cannot_text(&first));
    let lines = outermost(nets).len() as u64;
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

/// What was decided about verdicts that came in parts.
struct Decided {
    sums: Sums,
    /// Verdicts by the guard that holds them.
    held: BTreeMap<String, u64>,
    /// What would be blocked.
    nets: BTreeSet<IpNet>,
    attribution: Attribution,
    first: Simulation,
    /// What the present policy asks for, where another one is asked.
    other: Option<Simulation>,
    sieve: Option<Arc<Sieve>>,
}

impl Decided {
    fn on(devices: &[Device], another: bool, sieve: Option<Arc<Sieve>>) -> Self {
        let on = || Simulation::on(devices, sieve.clone());
        Decided {
            sums: Sums::new(),
            held: BTreeMap::new(),
            nets: BTreeSet::new(),
            attribution: Attribution::default(),
            first: on(),
            other: another.then(on),
            sieve,
        }
    }

    /// Decides by the wanted policy, and beside it by the present one.
    fn decide(
        &mut self,
        asked: &Asked,
        campaigns: &Campaigns,
        known: &Known,
        present: &Policies,
        wanted: Option<&Policies>,
    ) -> Result<()> {
        let set = wanted.unwrap_or(present).set();
        let networks = |set: &PolicySet| {
            set.networks_of(campaigns, known, |take| {
                asked.each_verdicts(|part| {
                    take(&part);
                    Ok(())
                })
            })
        };
        let own = networks(set)?;
        let others = wanted.map(|_| networks(present.set())).transpose()?;
        asked.each_verdicts(|mut part| {
            let mut before = others.as_ref().map(|_| part.clone());
            set.apply_part(&mut part, campaigns, known, &own);
            if let (Some(before), Some(others)) = (&mut before, &others) {
                present.set().apply_part(before, campaigns, known, others);
            }
            self.take(&part, before.as_deref(), set.allow());
            Ok(())
        })?;
        self.first.stand(set, known.traffic.as_ref());
        if let Some(other) = &mut self.other {
            other.stand(present.set(), known.traffic.as_ref());
        }
        Ok(())
    }

    fn take(&mut self, after: &[VerdictRow], before: Option<&[VerdictRow]>, allow: &AllowList) {
        for (n, v) in after.iter().enumerate() {
            let old = before.and_then(|b| b.get(n)).unwrap_or(v);
            let class = v.class.clone().unwrap_or_else(|| v.intent.clone());
            let rule = v.policy.clone().unwrap_or_else(|| "-".to_owned());
            let sum = self.sums.entry((v.response.clone(), class, rule)).or_default();
            sum.0 += 1;
            sum.1 += v.requests;
            sum.2 += u64::from(v.response != old.response);
            if let Some(guard) = v.policy.as_deref().and_then(|p| p.strip_prefix("guard:")) {
                *self.held.entry(guard.to_owned()).or_default() += 1;
            }
            if let Some(Ok(net)) = block_line(v, allow) {
                self.nets.insert(net);
            }
            self.attribution.add(v, self.sieve.as_deref());
            self.first.add(v);
            if let Some(other) = &mut self.other {
                other.add(old);
            }
        }
    }

    /// Goes through the requests.
    fn see(
        &mut self,
        asked: &Asked,
        campaigns: &Campaigns,
        devices: &[Device],
        decisions: Option<&Path>,
    ) -> Result<()> {
        let create = |path: &Path| {
            let file = std::fs::File::create(path);
            file.map(BufWriter::new).with_context(|| format!("cannot write {}", path.display()))
        };
        let mut out = decisions.map(create).transpose()?;
        asked.each(|line, n| {
            let (behind, campaign) = self.attribution.behind(&line.seen);
            let class = campaign.as_deref().and_then(|id| campaigns.class(id));
            let effects = self.first.see_many(&line, n, behind, class);
            if let Some(other) = &mut self.other {
                other.see_many(&line, n, behind, class);
            }
            if let Some(out) = out.as_mut().filter(|_| effects.iter().any(Option::is_some)) {
                writeln!(out, "{}", decision(&line, behind, devices, &effects))?;
            }
            Ok(())
        })?;
        if let Some(mut out) = out {
            out.flush()?;
        }
        Ok(())
    }
}

/// What each device would have done with one request, as a line of `--decisions`.
fn decision(
    line: &ExchangeLine,
    behind: Behind,
    devices: &[Device],
    effects: &[Option<Effect>],
) -> serde_json::Value {
    let by: BTreeMap<&str, &Effect> =
        devices.iter().zip(effects).filter_map(|(d, e)| Some((d.name.as_str(), e.as_ref()?))).collect();
    let who = match behind {
        Behind::Good => "good",
        Behind::Suspicious => "suspicious",
        Behind::Malicious => "malicious",
    };
    json!({ "id": line.id, "@timestamp": line.ts, "client": line.seen.ip, "port": line.port, "behind": who, "by": by })
}

/// Subjects, their requests and how many of them were decided otherwise before: by response, class and rule.
type Sums = BTreeMap<(String, String, String), (u64, u64, u64)>;

fn subjects(sums: &Sums) -> Vec<serde_json::Value> {
    let row = |((response, class, rule), (subjects, requests, changed)): (
        &(String, String, String),
        &(u64, u64, u64),
    )| {
        json!({ "response": response, "class": class, "rule": rule, "subjects": subjects, "requests": requests, "changed": changed })
    };
    sums.iter().map(row).collect()
}

fn subjects_table(sums: &Sums, terminal: &Terminal) -> String {
    let mut table = Table::new(&[
        Column::text("RESPONSE"),
        Column::text("CLASS"),
        Column::number("SUBJECTS"),
        Column::number("REQUESTS"),
        Column::number("CHANGED"),
        Column::flexible("BY RULE"),
    ]);
    for ((response, class, rule), (subjects, requests, changed)) in sums {
        table.row([response, class, &count(*subjects), &count(*requests), &count(*changed), rule]);
    }
    table.render(terminal)
}

fn guards_text(held: &BTreeMap<String, u64>) -> String {
    let line = |(guard, n): (&String, &u64)| format!("  {} held by guard {guard}\n", plural(*n, "verdict"));
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
        for (reasons, what) in [(&d.cannot, "not expressed"), (&d.weaker, "expressed in part")] {
            let mut reasons: Vec<(&String, &u64)> = reasons.iter().collect();
            reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            for (why, n) in reasons.into_iter().take(3) {
                text.push_str(&format!("  {}: {} {what}: {why}\n", d.name, plural(*n, "verdict")));
            }
        }
    }
    text
}
