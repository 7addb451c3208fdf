use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pcap::{Active, Capture, Device};
use sidetap_model::Ts;
use sidetap_model::rows::InputSummary;
use sidetap_sys::packet::{self, Group};

use super::LiveOptions;
use super::order::{BLOCK, Held, Order};
use super::status::{BackOff, Status, status};
use crate::SourceError;
use crate::source::LinkType;

/// What the readers of an interface share: how to open it, and the fan-out group that they are in.
#[derive(Clone)]
pub(super) struct Shared {
    name: String,
    number: u32,
    filter: Option<String>,
    options: LiveOptions,
    readers: usize,
    /// There are others, whose packets stand among these by time.
    ordered: bool,
    /// The group, with the index that the interface had when it was made.
    group: Arc<Mutex<Option<(u32, Group)>>>,
}

/// One reader's side of an interface.
pub(super) struct Port {
    shared: Shared,
    /// The first reader speaks for the interface and counts what it dropped itself.
    first: bool,
    capture: Capture<Active>,
    /// A socket outside the fan-out group, for when the interface comes back and none may be opened: one in a group cannot be
    /// bound again.
    spare: Option<Capture<Active>>,
    link: LinkType,
    index: u32,
    /// The name that it has now.
    called: String,
    status: Status,
    retry: Option<(Instant, BackOff)>,
    summary: InputSummary,
    /// Dropped as the current socket counts it, and by sockets before it.
    dropped: (u64, u64),
}

/// Packets taken from one interface at a time, and bytes: off-load makes packets of 64 KiB.
const BATCH: (usize, usize) = (512, 4 << 20);
/// Packets taken before these are looked at again.
const STEP: usize = 32;
/// A filter that no packet passes.
const NOTHING: &str = "less 0";

impl Shared {
    pub(super) fn new(
        name: &str,
        number: u32,
        filter: Option<&str>,
        options: &LiveOptions,
        readers: usize,
        ordered: bool,
    ) -> Self {
        Shared {
            name: name.to_owned(),
            number,
            filter: filter.map(str::to_owned),
            options: options.clone(),
            readers,
            ordered,
            group: Arc::default(),
        }
    }

    /// Opens the interface, with this filter.
    fn capture(&self, filter: Option<&str>) -> Result<Capture<Active>, SourceError> {
        let failed = |e: pcap::Error| explain(&self.name, &e);
        let options = &self.options;
        let block = if self.ordered { BLOCK.min(options.timeout) } else { options.timeout };
        let timeout = i32::try_from(block.as_millis()).unwrap_or(i32::MAX).max(1);
        let readers = i32::try_from(self.readers).unwrap_or(i32::MAX).max(1);
        let capture = Capture::from_device(self.name.as_str())
            .map_err(failed)?
            .promisc(options.promiscuous)
            .snaplen(options.snaplen)
            .buffer_size(options.buffer_bytes / readers)
            .timeout(timeout)
            .open()
            .map_err(failed)?;
        let mut capture = capture.setnonblock().map_err(failed)?;
        if let Some(filter) = filter {
            set_filter(&mut capture, filter)?;
        }
        Ok(capture)
    }

    /// Puts a socket into the interface's fan-out group; the first one makes it.
    fn join(&self, capture: &Capture<Active>, index: u32) -> Result<(), SourceError> {
        if self.readers == 1 {
            return Ok(());
        }
        let failed = |e: std::io::Error| SourceError::Live {
            name: self.name.clone(),
            reason: format!("fan-out across {} readers: {e}", self.readers),
        };
        let mut group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        match *group {
            Some((of, group)) if of == index => packet::join_group(capture, group).map_err(failed),
            _ => {
                *group = Some((index, packet::new_group(capture).map_err(failed)?));
                Ok(())
            }
        }
    }
}

impl Port {
    pub(super) fn open(shared: Shared, first: bool) -> Result<Self, SourceError> {
        let capture = shared.capture(shared.filter.as_deref())?;
        let link = link_of(&capture, &shared.name)?;
        // All interfaces together have no index.
        let index = match shared.name.as_str() {
            "any" => 0,
            name => packet::index_of(&capture, name)
                .map_err(|e| SourceError::Live { name: name.to_owned(), reason: e.to_string() })?,
        };
        shared.join(&capture, index)?;
        let spare = match first && shared.readers > 1 {
            true => Some(shared.capture(Some(NOTHING))?),
            false => None,
        };
        let summary = InputSummary { path: shared.name.clone(), ..InputSummary::default() };
        let (status, retry, dropped) = (Status::Up, None, (0, 0));
        let called = shared.name.clone();
        Ok(Port { shared, first, capture, spare, link, index, called, status, retry, summary, dropped })
    }

    pub(super) fn link(&self) -> LinkType {
        self.link
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn number(&self) -> u32 {
        self.shared.number
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.0 + self.dropped.1
    }

    pub(super) fn summary(&self) -> InputSummary {
        let error = match self.status {
            Status::Gone if self.first => {
                Some("the interface is gone; what it had received was read".to_owned())
            }
            _ => None,
        };
        InputSummary { error, ..self.summary.clone() }
    }

    pub(super) fn drain_into(&mut self, index: usize, order: &mut Order) {
        let (packets, bytes) = order.size();
        loop {
            let (before, _) = order.size();
            let result = self.capture.dispatch(Some(STEP), |p| {
                let ts = Ts::from_parts(p.header.ts.tv_sec, p.header.ts.tv_usec * 1000);
                order.take(index, ts, p.data, p.header.len);
            });
            let (all, taken) = order.size();
            let full = all - packets >= BATCH.0 || taken - bytes >= BATCH.1 / self.shared.readers.max(1);
            // An error is the interface's end or pause, and the next look finds out which.
            if full || all - before < STEP || result.is_err() {
                return;
            }
        }
    }

    pub(super) fn count(&mut self, packet: &Held) {
        let summary = &mut self.summary;
        summary.packets += 1;
        summary.bytes += packet.len as u64;
        summary.first_ts = Some(summary.first_ts.map_or(packet.ts, |t| t.min(packet.ts)));
        summary.last_ts = Some(summary.last_ts.map_or(packet.ts, |t| t.max(packet.ts)));
    }

    pub(super) fn read_counters(&mut self) {
        /// More than this between two looks is a counter that went back with its interface.
        const ABSURD: u32 = u32::MAX / 2;
        if let Ok(stat) = self.capture.stats() {
            let by_interface = if self.first && stat.if_dropped < ABSURD { stat.if_dropped } else { 0 };
            let now = u64::from(stat.dropped) + u64::from(by_interface);
            self.dropped.0 = self.dropped.0.max(now);
        }
    }

    /// Looks at the counters and at the interface, and opens it again where it is back; gives what is new.
    pub(super) fn look(&mut self) -> Option<String> {
        self.read_counters();
        // An interface may be given another name, and all of them together ("any") have no index.
        let name = match self.index {
            0 => Some(self.shared.name.clone()),
            index => packet::name_of(&self.capture, index),
        };
        let is = status(name.as_deref());
        let was = std::mem::replace(&mut self.status, is);
        let renamed = name.filter(|name| *name != self.called);
        let line = match (was, is) {
            (Status::Up | Status::Down, Status::Gone) => {
                self.retry = Some((Instant::now(), BackOff::default()));
                Some("was removed; it is opened again when it is back".to_owned())
            }
            (Status::Up, Status::Down) => Some("went down".to_owned()),
            (Status::Down, Status::Up) => Some("is up again".to_owned()),
            (Status::Gone, Status::Gone) => {
                packet::index_of(&self.capture, &self.shared.name).ok().and_then(|index| self.retry(index))
            }
            _ => None,
        };
        let line = match (line, &renamed) {
            (Some(line), Some(name)) => Some(format!("{line}; it is called {name} now")),
            (None, Some(name)) => Some(format!("is called {name} now, and is read on")),
            (line, None) => line,
        };
        self.called = renamed.unwrap_or_else(|| std::mem::take(&mut self.called));
        line.filter(|_| self.first).map(|line| format!("{} {line}", self.shared.name))
    }

    /// One more attempt, where it is time for it.
    fn retry(&mut self, index: u32) -> Option<String> {
        let (due, back_off) = self.retry.as_mut()?;
        if Instant::now() < *due {
            return None;
        }
        *due = Instant::now() + back_off.pause();
        let Ok(how) = self.reopen(index) else { return None };
        self.retry = None;
        self.index = index;
        self.status = status(Some(&self.shared.name));
        self.called.clone_from(&self.shared.name);
        self.summary.reopened += 1;
        Some(format!("is back{how}"))
    }

    /// Opens the interface anew; without the right to do so, binds a socket that is still there.
    fn reopen(&mut self, index: u32) -> Result<&'static str, SourceError> {
        let shared = &self.shared;
        if let Ok(capture) = shared.capture(shared.filter.as_deref()) {
            shared.join(&capture, index)?;
            self.link = link_of(&capture, &shared.name)?;
            self.replace(capture);
            return Ok("");
        }
        let failed =
            |e: std::io::Error| SourceError::Live { name: shared.name.clone(), reason: e.to_string() };
        let mut spare = self.spare.take();
        let socket = spare.as_ref().unwrap_or(&self.capture);
        let bound = packet::rebind(socket, index).map_err(failed);
        let bound = bound.and_then(|()| match shared.options.promiscuous {
            true => packet::promiscuous(socket, index).map_err(failed),
            false => Ok(()),
        });
        // An empty filter lets everything pass. The first attempt is told that the interface was down, and no more than that.
        let filter = shared.filter.as_deref().unwrap_or("");
        let ready = bound.and_then(|()| match &mut spare {
            Some(spare) => set_filter(spare, filter).or_else(|_| set_filter(spare, filter)),
            None => Ok(()),
        });
        if let Err(e) = ready {
            self.spare = spare;
            return Err(e);
        }
        let Some(spare) = spare.take() else { return Ok("") };
        self.replace(spare);
        Ok(", read by one reader from now on: the right to make more sockets was given up")
    }

    fn replace(&mut self, capture: Capture<Active>) {
        self.capture = capture;
        self.dropped = (0, self.dropped());
    }
}

fn set_filter(capture: &mut Capture<Active>, filter: &str) -> Result<(), SourceError> {
    capture
        .filter(filter, true)
        .map_err(|e| SourceError::Filter { filter: filter.to_owned(), reason: plain(&e) })
}

fn link_of(capture: &Capture<Active>, name: &str) -> Result<LinkType, SourceError> {
    let link = canonical(LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX)));
    if !link.is_known() {
        let reason = format!("unknown link type {link}");
        return Err(SourceError::Live { name: name.to_owned(), reason });
    }
    Ok(link)
}

/// libpcap shows DLT numbers, of which raw IP alone differs from the file's (12 on Linux is raw IP).
fn canonical(link: LinkType) -> LinkType {
    if link == LinkType::RAW_BSD { LinkType::RAW } else { link }
}

fn explain(name: &str, error: &pcap::Error) -> SourceError {
    let reason = plain(error);
    let lower = reason.to_ascii_lowercase();
    if lower.contains("permission") || lower.contains("not permitted") {
        return SourceError::NoPermission { name: name.to_owned() };
    }
    let known: Vec<String> = Device::list().unwrap_or_default().into_iter().map(|d| d.name).collect();
    if lower.contains("no such device") || (!known.is_empty() && !known.iter().any(|k| k == name)) {
        return SourceError::NoInterface { name: name.to_owned(), known: known.join(", ") };
    }
    SourceError::Live { name: name.to_owned(), reason }
}

fn plain(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}
