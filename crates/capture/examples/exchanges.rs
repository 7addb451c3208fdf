//! Prints the exchanges of a capture as NDJSON: `exchanges FILE... [--out DIR] [--full]`.
//!
//! With `--out` the lines go to `DIR/exchanges.ndjson` and the accounting to `DIR/summary.json`; with `--quiet` nothing is
//! written but the time taken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use sidetap_capture::{DecodeOptions, Decoded, Decoder, FlowLimits, FlowTable, Source, open_files};
use sidetap_model::{Exchange, Ts, Zone};
use sidetap_wire::target;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = None;
    let mut quiet = false;
    let mut paths = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => out = args.next().map(PathBuf::from),
            "--quiet" => quiet = true,
            path => paths.push(PathBuf::from(path)),
        }
    }
    let mut lines: Box<dyn Write> = match &out {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            Box::new(BufWriter::new(File::create(dir.join("exchanges.ndjson"))?))
        }
        None if quiet => Box::new(io::sink()),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let mut source = open_files(&paths)?;
    let mut decoder = Decoder::new(DecodeOptions::default());
    let zones: Arc<[Zone]> = Arc::from([Zone::default()]);
    let limits = FlowLimits::default();
    let mut tables: Vec<FlowTable> = (0..=255).map(|s| FlowTable::new(s, &limits, zones.clone())).collect();
    let mut counts = Counts::default();
    let mut result = Ok(());
    let mut sink = |ex: Exchange| {
        counts.exchange(&ex);
        if !quiet && result.is_ok() {
            result = writeln!(lines, "{}", row(&ex));
        }
    };
    let (mut total, mut decoded, mut dropped) = (0_u64, 0_u64, BTreeMap::<&str, u64>::new());
    let mut next_tick = Ts(i64::MIN);
    while let Some(packet) = source.next_packet() {
        total += 1;
        if packet.ts > next_tick {
            next_tick = packet.ts.plus(1_000_000_000);
            tables.iter_mut().for_each(|t| t.tick(packet.ts, &mut sink));
        }
        match decoder.decode(&packet) {
            Decoded::Segment(segment) => {
                decoded += 1;
                if let Some(table) = tables.get_mut(usize::from(segment.shard())) {
                    table.segment(&segment, &mut sink);
                }
            }
            Decoded::Other => decoded += 1,
            Decoded::Dropped(reason) => *dropped.entry(reason.code()).or_default() += 1,
        }
    }
    tables.iter_mut().for_each(|t| t.finish(&mut sink));
    result?;
    lines.flush()?;
    let mut streams = json!({});
    for table in &tables {
        add(&mut streams, &serde_json::to_value(table.counters().streams())?);
        add(&mut streams, &json!({ "evictions": table.counters().evictions() }));
    }
    let summary = json!({
        "inputs": source.inputs(),
        "packets": { "total": total, "decoded": decoded, "dropped": dropped },
        "streams": streams,
        "exchanges": counts.exchanges,
        "complete": counts.complete,
        "incomplete_reasons": counts.reasons,
        "anomalies": counts.anomalies,
    });
    match &out {
        Some(dir) => std::fs::write(dir.join("summary.json"), serde_json::to_vec_pretty(&summary)?)?,
        None => writeln!(io::stderr(), "{}", serde_json::to_string_pretty(&summary)?)?,
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    exchanges: u64,
    complete: u64,
    reasons: BTreeMap<&'static str, u64>,
    anomalies: BTreeMap<&'static str, u64>,
}

impl Counts {
    fn exchange(&mut self, ex: &Exchange) {
        self.exchanges += 1;
        self.complete += u64::from(ex.completeness.is_whole());
        ex.completeness.names().for_each(|n| *self.reasons.entry(n).or_default() += 1);
        ex.anomalies.iter().for_each(|a| *self.anomalies.entry(a.code()).or_default() += 1);
    }
}

fn row(ex: &Exchange) -> serde_json::Value {
    let request = ex.request.as_ref();
    let response = ex.response.as_ref();
    let method = request.map(|r| target::lossy_utf8_percent(&r.method).into_owned());
    json!({
        "@timestamp": ex.ts.to_string(),
        "http": {
            "request": { "method": method, "body": { "bytes": request.map(|r| r.body.len) } },
            "response": { "status_code": response.map(|r| r.status), "body": { "bytes": response.map(|r| r.body.len) } },
        },
        "url": { "original": request.map(|r| target::lossy_utf8_percent(&r.target).into_owned()) },
        "client": ex.flow.client.to_string(),
        "server": ex.flow.server.to_string(),
        "sidetap": {
            "id": format!("{}-{}", ex.flow_id, ex.seq),
            "completeness": ex.completeness.names().collect::<Vec<_>>(),
            "anomalies": ex.anomalies.iter().map(|a| a.code()).collect::<Vec<_>>(),
        },
    })
}

/// Adds the numbers of `from` to those of `to`, by name.
fn add(to: &mut serde_json::Value, from: &serde_json::Value) {
    let (Some(to), Some(from)) = (to.as_object_mut(), from.as_object()) else { return };
    for (name, value) in from {
        match value.as_u64() {
            Some(n) => {
                let sum = to.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0) + n;
                to.insert(name.clone(), sum.into());
            }
            None => add(to.entry(name.clone()).or_insert_with(|| json!({})), value),
        }
    }
}
