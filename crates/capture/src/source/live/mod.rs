//! Packets of interfaces, as they come.

mod order;
mod port;
mod status;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sidetap_model::rows::InputSummary;

pub use self::order::MOST_WAITING;
use self::order::Order;
use self::port::{Port, Shared};
use super::{Packet, Source};
use crate::SourceError;

/// How to capture.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// Also frames that are not for this machine.
    pub promiscuous: bool,
    /// Bytes kept of a packet. Segmentation off-load makes frames of 64 KiB and more.
    pub snaplen: i32,
    /// Kernel buffer of each interface, divided among its readers.
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

/// Packets of one or several interfaces, as they come; or, of several readers, the share that fan-out gives to one.
///
/// What the kernel holds is taken in batches. Of several interfaces packets are put in order of time: each waits until every interface has gone
/// past it, at most 60 ms. An interface that goes down is
/// waited for; one that is removed is opened again when it is back: by opening it anew, or, where the right to do so was given up, by
/// binding the socket that is still there. [`Source::news`] says so once, [`InputSummary::reopened`] counts.
pub struct Live {
    ports: Vec<Port>,
    order: Order,
    timeout: Duration,
    idle: bool,
    bytes: u64,
    counted: Instant,
    news: VecDeque<String>,
}

/// Between two looks at empty interfaces.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two looks at the kernel's counters and at the interfaces themselves.
const LOOK: Duration = Duration::from_millis(250);

/// Opens interfaces for capture, each with the BPF filter where there is one.
pub fn open_live(
    interfaces: &[String],
    filter: Option<&str>,
    options: &LiveOptions,
) -> Result<Live, SourceError> {
    let mut readers = open_live_readers(interfaces, filter, options, 1)?;
    readers.pop().ok_or(SourceError::NoInput)
}

/// Opens interfaces for capture by several readers: each interface's packets are divided among them by the pair of addresses of the first IP header, and
/// the pair of ports where TCP is right behind it, the same for both directions (`PACKET_FANOUT_CBPF`, fragments of IPv4 put together before). Give each its thread.
pub fn open_live_readers(
    interfaces: &[String],
    filter: Option<&str>,
    options: &LiveOptions,
    readers: usize,
) -> Result<Vec<Live>, SourceError> {
    if interfaces.is_empty() {
        return Err(SourceError::NoInput);
    }
    let readers = readers.max(1);
    let mut sources: Vec<Live> = (0..readers).map(|_| Live::new(options, readers)).collect();
    for (number, name) in interfaces.iter().enumerate() {
        let shared = Shared::new(name, number as u32, filter, options, readers, interfaces.len() > 1);
        for (index, source) in sources.iter_mut().enumerate() {
            source.ports.push(Port::open(shared.clone(), index == 0)?);
            source.order.add_port();
        }
    }
    Ok(sources)
}

impl Live {
    fn new(options: &LiveOptions, readers: usize) -> Self {
        Live {
            ports: Vec::new(),
            order: Order::new(readers),
            timeout: options.timeout,
            idle: false,
            bytes: 0,
            counted: Instant::now(),
            news: VecDeque::new(),
        }
    }

    fn refill(&mut self) -> bool {
        if self.counted.elapsed() >= LOOK {
            self.counted = Instant::now();
            for port in &mut self.ports {
                self.news.extend(port.look());
            }
        }
        self.order.begin(Instant::now());
        for (index, port) in self.ports.iter_mut().enumerate() {
            port.drain_into(index, &mut self.order);
        }
        self.order.end(Instant::now())
    }
}

impl Source for Live {
    fn next_packet(&mut self) -> Option<Packet<'_>> {
        let mut waited = Duration::ZERO;
        let held = loop {
            if let Some(held) = self.order.next() {
                break held;
            }
            if self.refill() {
                continue;
            }
            self.idle = true;
            if waited >= self.timeout && self.order.is_empty() {
                return None;
            }
            // A ring that had something may have more.
            if self.order.size() == (0, 0) {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
        };
        self.idle = false;
        self.bytes += held.len as u64;
        self.ports.get_mut(held.port)?.count(&held);
        let port = self.ports.get(held.port)?;
        Some(Packet {
            ts: held.ts,
            link: port.link(),
            interface: port.number(),
            port: port.name(),
            data: self.order.bytes_of(&held)?,
            orig_len: held.orig_len,
            block: None,
        })
    }

    fn idle(&self) -> bool {
        self.idle
    }

    fn inputs(&self) -> Vec<InputSummary> {
        self.ports.iter().map(Port::summary).collect()
    }

    fn kernel_dropped(&self) -> u64 {
        self.ports.iter().map(Port::dropped).sum()
    }

    fn count_last(&mut self) {
        self.ports.iter_mut().for_each(Port::read_counters);
    }

    fn news(&mut self) -> Option<String> {
        self.news.pop_front()
    }

    fn bytes_read(&self) -> u64 {
        self.bytes
    }

    fn bytes_total(&self) -> Option<u64> {
        None
    }
}
