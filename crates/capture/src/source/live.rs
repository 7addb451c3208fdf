use std::time::Duration;

use pcap::{Active, Capture, Device};
use sidetap_model::Ts;
use sidetap_model::rows::InputSummary;

use super::{LinkType, Packet, Source};
use crate::SourceError;

/// How to capture.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// Also frames that are not for this machine.
    pub promiscuous: bool,
    /// Bytes kept of a packet. Segmentation off-load makes frames of 64 KiB and more.
    pub snaplen: i32,
    /// Kernel buffer of each interface.
    pub buffer_bytes: i32,
    /// How long to wait for a packet before [`Source::next_packet`] returns `None`.
    pub timeout: Duration,
}

impl Default for LiveOptions {
    fn default() -> Self {
        LiveOptions {
            promiscuous: true,
            snaplen: 262_144,
            buffer_bytes: 64 << 20,
            timeout: Duration::from_millis(100),
        }
    }
}

/// Packets of one or several interfaces, as they come.
///
/// What the kernel holds is taken in batches, each put in order of time over all interfaces.
pub struct Live {
    ports: Vec<Port>,
    batch: Batch,
    timeout: Duration,
    idle: bool,
    bytes: u64,
    refills: u32,
}

struct Port {
    capture: Capture<Active>,
    link: LinkType,
    summary: InputSummary,
    /// The last counters of the kernel, kept for after the interface went away.
    kernel_dropped: u64,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    packets: Vec<Held>,
    next: usize,
}

#[derive(Clone, Copy)]
struct Held {
    ts: Ts,
    port: usize,
    start: usize,
    len: usize,
    orig_len: u32,
}

/// Packets taken from one interface at a time.
const BATCH: usize = 4096;
/// Between two looks at empty interfaces.
const PAUSE: Duration = Duration::from_millis(1);
/// Refills between two looks at the kernel's counters.
const REFILLS_PER_COUNT: u32 = 64;

/// Opens interfaces for capture, each with the BPF filter where there is one.
pub fn open_live(
    interfaces: &[String],
    filter: Option<&str>,
    options: &LiveOptions,
) -> Result<Live, SourceError> {
    if interfaces.is_empty() {
        return Err(SourceError::NoInput);
    }
    let ports = interfaces.iter().map(|name| open_port(name, filter, options));
    Ok(Live {
        ports: ports.collect::<Result<_, _>>()?,
        batch: Batch::default(),
        timeout: options.timeout,
        idle: false,
        bytes: 0,
        refills: 0,
    })
}

fn open_port(name: &str, filter: Option<&str>, options: &LiveOptions) -> Result<Port, SourceError> {
    let failed = |e: pcap::Error| explain(name, &e);
    let timeout = i32::try_from(options.timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    let inactive = Capture::from_device(name).map_err(failed)?;
    let capture = inactive
        .promisc(options.promiscuous)
        .snaplen(options.snaplen)
        .buffer_size(options.buffer_bytes)
        .timeout(timeout)
        .open()
        .map_err(failed)?;
    let mut capture = capture.setnonblock().map_err(failed)?;
    if let Some(filter) = filter {
        capture
            .filter(filter, true)
            .map_err(|e| SourceError::Filter { filter: filter.to_owned(), reason: plain(&e) })?;
    }
    let link = LinkType(u16::try_from(capture.get_datalink().0).unwrap_or(u16::MAX));
    let link = canonical(link);
    if !link.is_known() {
        let reason = format!("unknown link type {link}");
        return Err(SourceError::Live { name: name.to_owned(), reason });
    }
    let summary = InputSummary { path: name.to_owned(), ..InputSummary::default() };
    Ok(Port { capture, link, summary, kernel_dropped: 0 })
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

impl Port {
    fn drain_into(&mut self, index: usize, batch: &mut Batch) {
        let result = self.capture.dispatch(Some(BATCH), |p| {
            let ts = Ts::from_parts(p.header.ts.tv_sec, p.header.ts.tv_usec * 1000);
            let (start, len, orig_len) = (batch.bytes.len(), p.data.len(), p.header.len);
            batch.bytes.extend_from_slice(p.data);
            batch.packets.push(Held { ts, port: index, start, len, orig_len });
        });
        if let Err(error) = result
            && !matches!(error, pcap::Error::TimeoutExpired)
        {
            self.summary.error = Some(plain(&error));
        }
    }

    fn count(&mut self, packet: &Held) {
        let summary = &mut self.summary;
        summary.packets += 1;
        summary.bytes += packet.len as u64;
        summary.first_ts = Some(summary.first_ts.map_or(packet.ts, |t| t.min(packet.ts)));
        summary.last_ts = Some(summary.last_ts.map_or(packet.ts, |t| t.max(packet.ts)));
    }

    fn read_counters(&mut self) {
        if let Ok(stat) = self.capture.stats() {
            self.kernel_dropped = u64::from(stat.dropped) + u64::from(stat.if_dropped);
        }
    }
}

impl Live {
    fn refill(&mut self) -> bool {
        self.batch.bytes.clear();
        self.batch.packets.clear();
        self.batch.next = 0;
        for (index, port) in self.ports.iter_mut().enumerate() {
            if port.summary.error.is_none() {
                port.drain_into(index, &mut self.batch);
            }
        }
        self.batch.packets.sort_by_key(|p| p.ts);
        self.refills += 1;
        if self.batch.packets.is_empty() || self.refills >= REFILLS_PER_COUNT {
            self.refills = 0;
            self.ports.iter_mut().for_each(Port::read_counters);
        }
        !self.batch.packets.is_empty()
    }
}

impl Source for Live {
    fn next_packet(&mut self) -> Option<Packet<'_>> {
        let mut waited = Duration::ZERO;
        while self.batch.next >= self.batch.packets.len() && !self.refill() {
            self.idle = self.ports.iter().any(|p| p.summary.error.is_none());
            if !self.idle || waited >= self.timeout {
                return None;
            }
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        self.idle = false;
        let held = *self.batch.packets.get(self.batch.next)?;
        self.batch.next += 1;
        self.bytes += held.len as u64;
        self.ports.get_mut(held.port)?.count(&held);
        let port = self.ports.get(held.port)?;
        Some(Packet {
            ts: held.ts,
            link: port.link,
            interface: held.port as u32,
            port: &port.summary.path,
            data: self.batch.bytes.get(held.start..held.start + held.len)?,
            orig_len: held.orig_len,
        })
    }

    fn idle(&self) -> bool {
        self.idle
    }

    fn inputs(&self) -> Vec<InputSummary> {
        self.ports.iter().map(|p| p.summary.clone()).collect()
    }

    fn kernel_dropped(&self) -> u64 {
        self.ports.iter().map(|p| p.kernel_dropped).sum()
    }

    fn bytes_read(&self) -> u64 {
        self.bytes
    }

    fn bytes_total(&self) -> Option<u64> {
        None
    }
}
