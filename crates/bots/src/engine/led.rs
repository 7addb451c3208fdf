//! Whether links lead to an endpoint's pages, as the clients' first ones tell: who opens many weighs no more than others.

use crate::observation::{Observation, Surface, Traits};

/// Pages of each client that are counted.
const FIRST: u32 = 4;

/// First pages of clients, and those of them that came with a Referer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Led {
    pages: u32,
    led: u32,
}

impl Led {
    /// Takes a client's request in, before which there were `n`.
    pub(super) fn add(&mut self, o: &Observation, n: u32) {
        if n < FIRST && o.surface == Surface::Page {
            self.pages = self.pages.saturating_add(1);
            self.led += u32::from(o.traits.has(Traits::REFERER));
        }
    }

    pub(super) fn merge(&mut self, other: Led) {
        self.pages = self.pages.saturating_add(other.pages);
        self.led = self.led.saturating_add(other.led);
    }

    /// Share of the pages of others to which no link led, where enough are known, beside a client that opened `own`, hardly any by a link.
    pub(super) fn typed_by_others(&self, own: u32) -> Option<f64> {
        const ENOUGH: u32 = 20;
        let others = self.pages.saturating_sub(own.min(FIRST));
        (others >= ENOUGH).then(|| 1.0 - f64::from(self.led.min(others)) / f64::from(others))
    }
}
