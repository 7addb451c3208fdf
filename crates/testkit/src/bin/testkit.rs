//! `testkit`: makes captures. See docs/testkit.md.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use sidetap_testkit::hostile::{Hostile, write_hostile};
use sidetap_testkit::perf::{PerfOptions, PerfTruth, Profile, write_perf};
use sidetap_testkit::seeds::{of_dialogue, of_documents};
use sidetap_testkit::world::{Options, Ranges, Record, synthesize};
use sidetap_testkit::{Dialogue, LinkKind, Packet, PcapForm, PcapWriter, Rng, fault};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("synthesize") => world(args.get(1..).unwrap_or_default()),
        Some("dialogue") => dialogue(args.get(1..).unwrap_or_default()),
        Some("hostile") => hostile(args.get(1..).unwrap_or_default()),
        Some("seeds") => seeds(args.get(1..).unwrap_or_default()),
        Some("perf") => perf(args.get(1..).unwrap_or_default()),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            let _ = writeln!(io::stderr(), "testkit: {text}");
            ExitCode::from(2)
        }
    }
}

fn world(args: &[String]) -> Result<(), String> {
    let (mut options, mut out) = (Options::default(), None);
    let (mut from, mut faults) = (0.0, Faults::default());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seed" => options.seed = number(value()?)?,
            "--seconds" => options.seconds = number(value()?)?,
            "--scale" => options.scale = number(value()?)?,
            "--public" => options.ranges = Ranges::Public,
            "--peaceful" => options.peaceful = true,
            "--situations" => options.situations = true,
            "--hard" => options.hard = true,
            "--behind-edge" => options.behind_edge = true,
            "--from" => from = number(value()?)?,
            "--lose" => faults.lose = number(value()?)?,
            "--reorder" => faults.reorder = number(value()?)?,
            "--duplicate" => faults.duplicate = number(value()?)?,
            path if !path.starts_with('-') => out = Some(PathBuf::from(path)),
            other => return Err(format!("{other} is not an option")),
        }
    }
    let out = out.ok_or("where to?")?;
    let mut record = synthesize(&options);
    cut(&mut record, from);
    faults.apply(&mut record.packets, options.seed);
    write_packets(&out, LinkKind::Ethernet, &record.packets)
        .map_err(|e| format!("{}: {e}", out.display()))?;
    let beside = |name: &str| out.with_file_name(name);
    write_rows(&beside("labels.ndjson"), &record.labels)?;
    write_rows(&beside("requests.ndjson"), &record.requests)
}

/// What the mirror does to packets, in a thousand.
#[derive(Default)]
struct Faults {
    lose: u32,
    reorder: u32,
    duplicate: u32,
}

impl Faults {
    fn apply(&self, packets: &mut Vec<Packet>, seed: u64) {
        let mut rng = Rng::part(seed, "mirror");
        if self.lose > 0 {
            *packets = fault::lose(packets, self.lose, &mut rng);
        }
        if self.reorder > 0 {
            *packets = fault::reorder(packets, self.reorder, 8, &mut rng);
        }
        if self.duplicate > 0 {
            *packets = fault::duplicate(packets, self.duplicate, 8, &mut rng);
        }
    }
}

/// Leaves out what came in the first seconds: a capture that begins in the middle.
fn cut(record: &mut Record, seconds: f64) {
    let Some(start) = record.packets.first().map(|p| p.ts.plus((seconds * 1e9) as i64)) else { return };
    record.packets.retain(|p| p.ts >= start);
    record.requests.retain(|r| r.t * 1e9 >= start.0 as f64);
    let mut left: HashMap<&str, (u32, f64)> = HashMap::new();
    for request in &record.requests {
        let (count, first) = left.entry(&*request.entity).or_insert((0, f64::INFINITY));
        *count += 1;
        *first = first.min(request.t);
    }
    for label in &mut record.labels {
        let (count, first) = left.get(label.id.as_str()).copied().unwrap_or((0, f64::INFINITY));
        label.n_requests = count;
        label.start = first.min(label.end);
    }
    record.labels.retain(|l| l.n_requests > 0);
}

fn dialogue(args: &[String]) -> Result<(), String> {
    let [from, to] = args else { return Err(USAGE.to_owned()) };
    let text = std::fs::read_to_string(from).map_err(|e| format!("{from}: {e}"))?;
    let dialogue = Dialogue::parse(&text).map_err(|e| format!("{from}: {e}"))?;
    let write = || write_packets(Path::new(to), dialogue.framing.link, &dialogue.packets());
    write().map_err(|e| format!("{to}: {e}"))
}

fn perf(args: &[String]) -> Result<(), String> {
    let (mut options, mut out) = (PerfOptions::default(), None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seed" => options.seed = number(value()?)?,
            "--bytes" => options.bytes = number(value()?)?,
            "--clients" => options.clients = number(value()?)?,
            "--one-address" => options.one_address = number(value()?)?,
            "--profile" => {
                options.profile = match value()?.as_str() {
                    "api" => Profile::Api,
                    "small" => Profile::Small,
                    "crowd" => Profile::Crowd,
                    other => return Err(format!("{other} is no profile")),
                }
            }
            path if !path.starts_with('-') => out = Some(PathBuf::from(path)),
            other => return Err(format!("{other} is not an option")),
        }
    }
    let out = out.ok_or("where to?")?;
    let write = || -> io::Result<PerfTruth> {
        let file = BufWriter::with_capacity(1 << 20, File::create(&out)?);
        let mut writer = PcapWriter::new(file, LinkKind::Ethernet, PcapForm::Micros)?;
        let truth = write_perf(&options, &mut writer)?;
        writer.finish().map(|_| truth)
    };
    let truth = write().map_err(|e| format!("{}: {e}", out.display()))?;
    write_rows(&out.with_extension("truth.json"), &[truth])
}

fn hostile(args: &[String]) -> Result<(), String> {
    let (kind, to, size) = match args {
        [list] if list == "--list" => {
            let names: Vec<&str> = Hostile::ALL.iter().map(|kind| kind.name()).collect();
            return writeln!(io::stdout(), "{}", names.join("\n")).map_err(|e| e.to_string());
        }
        [kind, to] => (kind, to, None),
        [kind, to, option, size] if option == "--size" => (kind, to, Some(number(size)?)),
        _ => return Err(USAGE.to_owned()),
    };
    let kind = Hostile::named(kind).ok_or_else(|| format!("{kind} is no kind (hostile --list)"))?;
    let write = || -> io::Result<()> {
        let file = BufWriter::with_capacity(1 << 20, File::create(to)?);
        let mut writer = PcapWriter::new(file, LinkKind::Ethernet, PcapForm::Nanos)?;
        write_hostile(kind, size.unwrap_or(kind.size()), &mut writer)?;
        writer.finish().map(|_| ())
    };
    write().map_err(|e| format!("{to}: {e}"))
}

/// Writes OUT/TARGET/NAME for each dialogue of a directory.
fn seeds(args: &[String]) -> Result<(), String> {
    let [from, to] = args else { return Err(USAGE.to_owned()) };
    let failed = |what: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", what.display());
    let mut all = of_documents().map_err(|e| e.to_string())?;
    let entries = std::fs::read_dir(from).map_err(|e| failed(from.as_ref(), &e))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "http")) {
        let text = std::fs::read_to_string(path).map_err(|e| failed(path, &e))?;
        all.extend(of_dialogue(&Dialogue::parse(&text).map_err(|e| failed(path, &e))?));
    }
    for (n, (target, bytes)) in all.iter().enumerate() {
        let dir = Path::new(to).join(target);
        let write = || {
            std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(dir.join(format!("seed-{n}")), bytes))
        };
        write().map_err(|e| failed(&dir, &e))?;
    }
    Ok(())
}

fn write_packets(path: &Path, link: LinkKind, packets: &[Packet]) -> io::Result<()> {
    let mut writer = PcapWriter::new(BufWriter::new(File::create(path)?), link, PcapForm::Micros)?;
    packets.iter().try_for_each(|p| writer.write(p))?;
    writer.finish().map(|_| ())
}

fn write_rows<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), String> {
    let write = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        for row in rows {
            serde_json::to_writer(&mut out, row)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    write().map_err(|e| format!("{}: {e}", path.display()))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

const USAGE: &str =
    "usage: testkit synthesize OUT.pcap [--seed N] [--seconds S] [--scale F] [--public] [--peaceful] [--situations] [--hard] [--behind-edge]
                         [--from S] [--lose N] [--reorder N] [--duplicate N]   (N in a thousand packets)
       testkit perf OUT.pcap [--profile api|small|crowd] [--bytes N] [--seed N] [--clients N] [--one-address SHARE]
       testkit hostile KIND OUT.pcap [--size N]   (testkit hostile --list: the kinds)
       testkit seeds DIALOGUES OUT   (for the fuzz targets)
       testkit dialogue IN.http OUT.pcap";
