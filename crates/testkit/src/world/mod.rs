//! The synthesizer: labelled traffic of a made-up company, its customers, its partners and its attackers.
//!
//! Each client is a script that runs by itself in virtual time; what all of them sent is put in order at the end. A seed gives
//! the same packets, labels and rows on every machine.

mod addresses;
mod agent;
mod ask;
mod attacks;
mod edge;
pub(crate) mod facts;
mod people;
mod recipes;
mod record;
mod robots;
mod site;
mod situations;
pub(crate) mod wire;

use sidetap_model::Ts;

use crate::Rng;
use addresses::Addresses;
pub(crate) use addresses::Net;
pub use addresses::Ranges;
pub use record::{Label, Match, Record, RequestRow, Who};
use site::Site;

/// What to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Length in seconds of packet time. Attacks begin after a fifth of it.
    pub seconds: f64,
    /// Number of clients, as a factor of the sample's.
    pub scale: f64,
    /// Where addresses are drawn from.
    pub ranges: Ranges,
    /// Without attacks.
    pub peaceful: bool,
    /// With attacks that give little away instead of the usual ones.
    pub hard: bool,
    /// With honest crowds that look like attacks: an outage of sign-in, an app's release, a shared link, a breach notice.
    pub situations: bool,
    /// All hosts behind the CDN: connections come from its edges, clients stand in `X-Forwarded-For`.
    pub behind_edge: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 7,
            seconds: 540.0,
            scale: 1.0,
            ranges: Ranges::Documentation,
            peaceful: false,
            hard: false,
            situations: false,
            behind_edge: false,
        }
    }
}

/// Runs the world.
pub fn synthesize(options: &Options) -> Record {
    let mut world = World::new(options);
    people::run(&mut world);
    robots::run(&mut world);
    if options.situations {
        situations::run(&mut world);
    }
    if options.hard {
        attacks::run_hard(&mut world);
    } else if !options.peaceful {
        attacks::run(&mut world);
    }
    edge::render(&mut world);
    world.record.sort();
    world.record
}

/// Everything that scripts share.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) start: Ts,
    pub(crate) site: Site,
    pub(crate) record: Record,
    pub(crate) addresses: Addresses,
    /// What goes through the CDN, whose connections many clients share: written when all are known.
    pub(crate) deferred: Vec<Message>,
}

/// A request with its answer, and when it goes out.
pub(crate) struct Message {
    pub(crate) at: f64,
    pub(crate) label: usize,
    pub(crate) row: RequestRow,
    pub(crate) bytes: Vec<u8>,
    pub(crate) answer: Vec<u8>,
    pub(crate) delay: f64,
}

impl World {
    fn new(options: &Options) -> Self {
        let people = 2500 + (1000.0 * options.scale) as usize;
        let mut site = Site::new(options.seed, people, options.seconds * SALE);
        if options.situations {
            let (from, to) = situations::OUTAGE;
            site.outage = Some((options.seconds * from, options.seconds * to));
        }
        World {
            options: options.clone(),
            start: Ts::from_parts(START, 0),
            site,
            record: Record::default(),
            addresses: Addresses::new(options.ranges),
            deferred: Vec::new(),
        }
    }

    /// True where clients reach a host through the CDN.
    pub(crate) fn is_behind_edge(&self, host: &str) -> bool {
        self.options.behind_edge || host == site::PRESS
    }

    /// Packet time of a second of the world.
    pub(crate) fn ts(&self, at: f64) -> Ts {
        // Whole microseconds: what a capture file of the usual form keeps.
        self.start.plus((at * 1e6) as i64 * 1000)
    }

    /// The value of a Date field.
    pub(crate) fn date(&self, at: f64) -> String {
        let second = self.ts(at).secs() - START + 9 * 3600;
        format!("Tue, 13 Oct 2026 {:02}:{:02}:{:02} GMT", second / 3600 % 24, second / 60 % 60, second % 60)
    }

    /// The number of clients of a group that has `n` in the sample.
    pub(crate) fn many(&self, n: usize) -> usize {
        ((n as f64 * self.options.scale) as usize).max(1)
    }

    /// The generator of a group of clients.
    pub(crate) fn rng(&self, name: &str) -> Rng {
        Rng::part(self.options.seed, name)
    }

    /// The second at which a fraction of the time is over.
    pub(crate) fn part(&self, fraction: f64) -> f64 {
        self.options.seconds * fraction
    }
}

/// 2026-10-13T09:00:00Z.
const START: i64 = 1_791_882_000;
/// The fraction of the time after which the sale begins.
const SALE: f64 = 0.62;
