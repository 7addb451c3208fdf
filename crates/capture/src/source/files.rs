use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sidetap_model::Ts;
use sidetap_model::rows::InputSummary;

use super::input::{ReadError, Record};
use super::steady::{ClockCounts, Steady};
use super::{LinkType, Packet, Source, align};
use crate::SourceError;

/// Beyond this many inputs a file is closed again until its first packet is due.
const OPEN_AT_ONCE: usize = 16;
const BUFFER: usize = 1 << 20;
const BUFFER_OF_MANY: usize = 256 << 10;

/// Capture files, merged in time order.
///
/// Each file is taken to be in time order itself; where it is not, its packets come in the order of the file. The clock of
/// each is defended against absurd times, gaps and steps back, and files whose clocks differ are aligned by the flows that
/// they share: docs/capture.md, "Time".
pub struct Files {
    inputs: Vec<Input>,
    /// Inputs by the time of their next packet; equal times in the order of the command line.
    due: BinaryHeap<Reverse<(Ts, usize)>>,
    current: Option<usize>,
    bytes_total: Option<u64>,
}

struct Input {
    path: PathBuf,
    summary: InputSummary,
    state: State,
    read: Arc<AtomicU64>,
    capacity: usize,
    unknown_links: BTreeSet<u16>,
    /// Nanoseconds by which its clock is moved, so that it goes with the first input's.
    offset: i64,
    clock: ClockCounts,
}

enum State {
    /// Known to be readable; opened again when its first packet is due.
    Waiting,
    Open(Box<Steady>, Record),
    Ended,
}

/// Opens capture files (`-` is standard input); the error is returned only where none of them can be read.
pub fn open_files(paths: &[PathBuf]) -> Result<Files, SourceError> {
    if paths.is_empty() {
        return Err(SourceError::NoInput);
    }
    let many = paths.len() > OPEN_AT_ONCE;
    let mut files = Files {
        inputs: Vec::with_capacity(paths.len()),
        due: BinaryHeap::with_capacity(paths.len()),
        current: None,
        bytes_total: total_bytes(paths),
    };
    let offsets = if many { Vec::new() } else { align::offsets(paths) };
    for (index, path) in paths.iter().enumerate() {
        let offset = offsets.get(index).copied().unwrap_or(0);
        let mut input = Input::new(path, if many { BUFFER_OF_MANY } else { BUFFER }, offset);
        if let Some(ts) = input.open() {
            if many && path.as_os_str() != "-" {
                input.state = State::Waiting;
            }
            files.due.push(Reverse((ts, files.inputs.len())));
        }
        files.inputs.push(input);
    }
    if files.due.is_empty() && files.inputs.iter().all(|i| i.summary.error.is_some()) {
        let reasons = files
            .inputs
            .iter()
            .map(|i| format!("{}: {}", i.summary.path, i.summary.error.as_deref().unwrap_or("no packets")));
        return Err(SourceError::Unreadable(reasons.collect::<Vec<_>>().join("\n")));
    }
    Ok(files)
}

/// A capture that is read from `inner`, under the name of `name`.
pub fn open_stream(name: &str, inner: Box<dyn Read + Send>) -> Result<Files, SourceError> {
    let mut input = Input::new(Path::new(name), BUFFER_OF_MANY, 0);
    let first = match Steady::of(inner, BUFFER_OF_MANY) {
        Ok(reader) => input.step(Box::new(reader)),
        Err(e) => {
            input.fail(&e);
            None
        }
    };
    if let Some(error) = input.summary.error.as_ref().filter(|_| first.is_none()) {
        return Err(SourceError::Unreadable(format!("{name}: {error}")));
    }
    let due = first.map(|ts| Reverse((ts, 0))).into_iter().collect();
    Ok(Files { inputs: vec![input], due, current: None, bytes_total: None })
}

fn total_bytes(paths: &[PathBuf]) -> Option<u64> {
    paths.iter().map(|p| std::fs::metadata(p).ok().filter(|m| m.is_file()).map(|m| m.len())).sum()
}

impl Input {
    fn new(path: &Path, capacity: usize, offset: i64) -> Self {
        Input {
            path: path.to_owned(),
            summary: InputSummary {
                path: path.display().to_string(),
                clock_offset_us: offset / 1000,
                ..InputSummary::default()
            },
            state: State::Ended,
            read: Arc::default(),
            capacity,
            unknown_links: BTreeSet::new(),
            offset,
            clock: ClockCounts::default(),
        }
    }

    /// Opens it and reads its first record, whose time it returns.
    fn open(&mut self) -> Option<Ts> {
        self.read.store(0, Ordering::Relaxed);
        match Steady::open(&self.path, self.capacity, self.read.clone(), self.offset) {
            Ok(reader) => self.step(Box::new(reader)),
            Err(e) => {
                self.fail(&e);
                None
            }
        }
    }

    /// Reads on to the next record, whose time it returns.
    fn advance(&mut self) -> Option<Ts> {
        let State::Open(reader, record) = &mut self.state else { return None };
        match reader.next_into(record) {
            Ok(true) => Some(record.ts),
            Ok(false) => {
                self.end();
                None
            }
            Err(e) => {
                self.end();
                self.fail(&e);
                None
            }
        }
    }

    fn step(&mut self, reader: Box<Steady>) -> Option<Ts> {
        self.state = State::Open(reader, Record::default());
        self.advance()
    }

    fn end(&mut self) {
        self.clock = self.clock();
        self.state = State::Ended;
    }

    fn clock(&self) -> ClockCounts {
        if let State::Open(reader, _) = &self.state { reader.counts } else { self.clock }
    }

    fn fail(&mut self, error: &ReadError) {
        self.summary.error = Some(match error {
            ReadError::Io(e) => plain(e),
            other => other.to_string(),
        });
    }
}

fn count(summary: &mut InputSummary, unknown_links: &mut BTreeSet<u16>, record: &Record) {
    summary.packets += 1;
    summary.bytes += record.len as u64;
    summary.first_ts = Some(summary.first_ts.map_or(record.ts, |t| t.min(record.ts)));
    summary.last_ts = Some(summary.last_ts.map_or(record.ts, |t| t.max(record.ts)));
    if !record.link.is_known() && summary.error.is_none() && unknown_links.insert(record.link.0) {
        let LinkType(number) = record.link;
        summary.error = Some(format!("unknown link type {number}"));
    }
}

impl Files {
    /// The input whose next packet is the earliest.
    fn next_due(&mut self) -> Option<usize> {
        loop {
            let Reverse((_, index)) = self.due.pop()?;
            let input = self.inputs.get_mut(index)?;
            // A waiting file that became unreadable meanwhile says so in its summary.
            if !matches!(input.state, State::Waiting) || input.open().is_some() {
                return Some(index);
            }
        }
    }
}

fn plain(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{
        InvalidData, InvalidInput, IsADirectory, NotFound, PermissionDenied, UnexpectedEof,
    };
    match error.kind() {
        NotFound => "no such file".to_owned(),
        PermissionDenied => "no permission to read it".to_owned(),
        IsADirectory => "is a directory".to_owned(),
        UnexpectedEof => "compressed file cut short".to_owned(),
        InvalidData | InvalidInput => format!("not readable as compressed: {error}"),
        _ => error.to_string(),
    }
}

impl Source for Files {
    fn next_packet(&mut self) -> Option<Packet<'_>> {
        let again =
            self.current.take().and_then(|index| Some((self.inputs.get_mut(index)?.advance()?, index)));
        let index = match again {
            // Nobody else's turn.
            Some((_, index)) if self.due.is_empty() => index,
            again => {
                self.due.extend(again.map(Reverse));
                self.next_due()?
            }
        };
        self.current = Some(index);
        let input = self.inputs.get_mut(index)?;
        let State::Open(reader, record) = &input.state else { return None };
        count(&mut input.summary, &mut input.unknown_links, record);
        Some(Packet {
            ts: record.ts,
            link: record.link,
            interface: record.interface as u32,
            port: reader.port(record),
            data: reader.bytes(record),
            orig_len: record.orig_len,
            block: reader.block(),
        })
    }

    fn inputs(&self) -> Vec<InputSummary> {
        self.inputs.iter().map(|i| i.summary.clone()).collect()
    }

    fn keeps_time(&self) -> bool {
        true
    }

    fn clock(&self) -> Vec<(&'static str, u64)> {
        let sum = |of: fn(&ClockCounts) -> u64| self.inputs.iter().map(|i| of(&i.clock())).sum();
        vec![
            ("times-disbelieved", sum(|c| c.disbelieved)),
            ("packets-late", sum(|c| c.late)),
            ("steps-back", sum(|c| c.steps_back)),
            ("gaps", sum(|c| c.gaps)),
            ("inputs-aligned", self.inputs.iter().filter(|i| i.offset != 0).count() as u64),
        ]
    }

    fn bytes_read(&self) -> u64 {
        self.inputs.iter().map(|i| i.read.load(Ordering::Relaxed)).sum()
    }

    fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }
}
