//! Fills a store with what many runs found: the findings of one store again and again, each time of other clients, campaigns and
//! hours, half of the hosts' endpoints anew and the rest seen again. By the store's own writer, as a replay and a watch use it.
//!
//! ```text
//! fill FROM TO RUNS EXCHANGES [AFTER]
//! ```
//!
//! RUNS runs of EXCHANGES exchanges in all; the first AFTER of them are there already.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sidetap_model::rows::{RunData, VerdictRow};
use sidetap_model::{ActionRow, EndpointId, SubjectKind, Ts};
use sidetap_store::{AuditRow, CellRow, EvidenceRow, SampleRow, Store, StoreError, Wanted};

type Failed = Box<dyn std::error::Error>;

/// Hosts that the runs are about, so that endpoints are seen again.
const SITES: u64 = 40;
/// Clients of the largest campaign.
const CROWD: u32 = 20_000;

fn main() -> Result<(), Failed> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, runs, exchanges, after @ ..] = args.as_slice() else {
        return Err("fill FROM TO RUNS EXCHANGES [AFTER]".into());
    };
    let (runs, exchanges): (u64, u64) = (runs.parse()?, exchanges.parse()?);
    let after: u64 = after.first().map_or(Ok(0), |n| n.parse())?;
    let (template, mut store) = (Template::of(Path::new(from))?, Store::open(Path::new(to))?);
    let begun = Instant::now();
    let mut slowest = 0.0_f64;
    for n in after..runs {
        let one = Instant::now();
        template.save(&mut store, n, exchanges / runs)?;
        slowest = slowest.max(one.elapsed().as_secs_f64());
    }
    let took = begun.elapsed().as_secs_f64();
    let sizes = store.sizes()?;
    let rows: u64 = sizes.values().sum();
    let mut out = format!(
        "{} of {runs} runs of {exchanges} exchanges in {took:.1} s (the slowest {slowest:.2} s): {:.0} exchanges/s; {rows} rows, {} MiB\n",
        runs - after,
        exchanges as f64 * (runs - after) as f64 / runs as f64 / took,
        store.bytes() >> 20
    );
    for (table, n) in sizes {
        out += &format!("  {table:<12} {n}\n");
    }
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}

/// What one run found.
struct Template {
    run: RunData,
    calls: Vec<(EndpointId, Ts, u64)>,
    cells: Vec<CellRow>,
    evidence: Vec<EvidenceRow>,
    samples: Vec<SampleRow>,
}

impl Template {
    fn of(path: &Path) -> Result<Self, Failed> {
        let store = Store::open_read_only(path)?;
        let run = store.load()?;
        let mut calls = Vec::new();
        for endpoint in &run.endpoints {
            let points = store.calls(&endpoint.id.to_string())?;
            calls.extend(points.into_iter().map(|p| (endpoint.id, p.ts, p.calls)));
        }
        let mut cells = Vec::new();
        store.each_cell(u64::MAX, |_, cell| {
            cells.push(cell);
            Ok::<(), StoreError>(())
        })?;
        let (mut ids, mut samples) = (Vec::new(), Vec::new());
        for item in store.campaign_list(&Wanted { limit: 1_000, ..Wanted::default() })?.rows {
            let thing = format!("campaign:{}", item.id);
            let (seen, chosen) = store.sample(&thing)?;
            samples.push(SampleRow { thing, seen: seen.seen, ids: chosen.clone() });
            ids.extend(chosen);
        }
        ids.extend(run.findings.iter().flat_map(|f| f.evidence.clone()));
        ids.sort();
        ids.dedup();
        let evidence = store.evidence(&ids)?;
        Ok(Template { run, calls, cells, evidence, samples })
    }

    /// Makes one campaign of a run one of very many clients.
    fn add_crowd(&self, run: &mut RunData) -> Result<(), Failed> {
        let Some(campaign) = run.campaigns.first_mut() else { return Ok(()) };
        let of =
            |v: &&VerdictRow| v.campaign.as_ref() == Some(&campaign.id) && v.subject.kind == SubjectKind::Ip;
        let Some(like) = run.verdicts.iter().find(of).cloned() else { return Ok(()) };
        let Some(member) = campaign.members.first().cloned() else { return Ok(()) };
        for n in 0..CROWD {
            let ip = format!("100.{}.{}.{}", 64 + (n >> 16), n >> 8 & 0xff, n & 0xff);
            let mut verdict = like.clone();
            verdict.id = format!("v-{:016x}", u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            verdict.subject.value.clone_from(&ip);
            run.verdicts.push(verdict);
            let mut member = member.clone();
            member.value = ip;
            campaign.members.push(member);
        }
        Ok(())
    }

    fn save(&self, store: &mut Store, n: u64, exchanges: u64) -> Result<(), Failed> {
        let now = Ts::from_parts(1_795_000_000 + n as i64 * 3_600, 0);
        let (site, own) = (Change { n: n % SITES, at: n }, Change { n: n + SITES, at: n });
        let mut run = RunData { summary: own.of(&self.run.summary)?, ..RunData::default() };
        for input in &mut run.summary.inputs {
            input.path = format!("hour-{n}.pcap");
        }
        run.summary.exchanges.total = exchanges;
        run.endpoints = site.all(&self.run.endpoints)?;
        run.sensitive = site.all(&self.run.sensitive)?;
        run.findings = site.all(&self.run.findings)?;
        for finding in &mut run.findings {
            finding.id = own.text(&finding.id);
        }
        run.campaigns = own.all(&self.run.campaigns)?;
        run.verdicts = own.all(&self.run.verdicts)?;
        run.traffic = own.all(&self.run.traffic)?;
        if n == 0 {
            self.add_crowd(&mut run)?;
        }
        // As a replay and a watch do: room first, then all that was found, what it is proved by, and room again.
        store.keep_limits(now)?;
        let id = store.save_run(&run, now)?;
        let calls: Result<Vec<_>, Failed> =
            self.calls.iter().map(|(e, t, n)| Ok((site.of(e)?, own.of(t)?, *n))).collect();
        store.save_calls(&id, &calls?)?;
        let cells = self.cells.iter().map(|c| {
            let [hour, first, last] = [c.hour, c.first, c.last].map(|t| own.of(&t));
            Ok(CellRow {
                hour: hour?,
                first: first?,
                last: last?,
                cell: own.text(&c.cell),
                requests: c.requests,
            })
        });
        store.add_cells(&id, &cells.collect::<Result<Vec<_>, Failed>>()?)?;
        let samples = self.samples.iter().map(|s| SampleRow {
            thing: own.text(&s.thing),
            seen: s.seen,
            ids: s.ids.iter().map(|i| own.text(i)).collect(),
        });
        store.record_samples(&samples.collect::<Vec<_>>(), now)?;
        let evidence: Result<Vec<_>, Failed> = self
            .evidence
            .iter()
            .map(|e| {
                Ok(EvidenceRow { id: own.text(&e.id), at: own.of(&e.at)?, exchange: own.of(&e.exchange)? })
            })
            .collect();
        store.record_evidence(&evidence?, &store.limits()?.evidence())?;
        store.record_actions(&run.verdicts.iter().take(100).map(|v| action(v, now)).collect::<Vec<_>>())?;
        let detail = serde_json::json!({ "run": id });
        store.record_audit(&AuditRow {
            at: now,
            actor: "fill".into(),
            action: "policy.load".into(),
            detail,
        })?;
        store.keep_limits(now)?;
        Ok(())
    }
}

fn action(v: &VerdictRow, at: Ts) -> ActionRow {
    ActionRow {
        at,
        actor: "watch".into(),
        connector: "edge".into(),
        kind: "add".into(),
        mode: "enforce".into(),
        subject: v.subject.value.clone(),
        response: "block".into(),
        verdict: Some(v.id.clone()),
        expires_at: Some(at.plus(3_600_000_000_000)),
        outcome: "done".into(),
        answer: "ok".into(),
        why: String::new(),
    }
}

/// How one run differs from another: ids, clients, hosts and the hour.
struct Change {
    n: u64,
    at: u64,
}

impl Change {
    fn all<T: Serialize + DeserializeOwned>(&self, rows: &[T]) -> Result<Vec<T>, Failed> {
        rows.iter().map(|r| self.of(r)).collect()
    }

    fn of<T: Serialize + DeserializeOwned>(&self, row: &T) -> Result<T, Failed> {
        Ok(serde_json::from_str(&self.text(&serde_json::to_string(row)?))?)
    }

    /// A text with its ids, clients, hosts and days changed.
    fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut word = String::new();
        for c in text.chars().chain([' ']) {
            if c.is_ascii_alphanumeric() || c == '.' {
                word.push(c);
                continue;
            }
            out += &self.word(&word);
            word.clear();
            out.push(c);
        }
        out.pop();
        let day = |d: u64| format!("2026-{:02}-{:02}T", 1 + d / 28 % 12, 1 + d % 28);
        out.replace("2026-10-13T", &day(self.at))
    }

    fn word(&self, word: &str) -> String {
        if word.len() == 16
            && let Ok(id) = u64::from_str_radix(word, 16)
        {
            return format!("{:016x}", id ^ self.n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        match word.strip_prefix("198.") {
            Some(rest) if rest.split('.').count() == 3 => format!("{}.{}", 20 + self.n % 170, rest),
            _ => word.replace("harborlight", &format!("site{}", self.n % SITES)),
        }
    }
}
