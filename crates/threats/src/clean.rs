use sidetap_wire::body::hash_bytes;

use crate::pack::Place;

/// Values of heads in which nothing was found: agents, hosts, referrers, cookies and paths come again and again.
///
/// They are kept whole, so that none is taken for another; what stands here changes the speed alone.
#[derive(Debug)]
pub(crate) struct Clean {
    slots: Vec<(Place, Vec<u8>)>,
}

impl Default for Clean {
    fn default() -> Self {
        Clean { slots: vec![(Place::Header, Vec::new()); Clean::SLOTS] }
    }
}

impl Clean {
    const SLOTS: usize = 1024;
    const LONGEST: usize = 512;

    pub(crate) fn knows(&self, place: Place, value: &[u8]) -> bool {
        self.slots.get(Self::slot(value)).is_some_and(|(p, v)| *p == place && v == value)
    }

    pub(crate) fn learn(&mut self, place: Place, value: &[u8]) {
        if let Some((known, bytes)) = self.slots.get_mut(Self::slot(value))
            && value.len() <= Self::LONGEST
        {
            *known = place;
            bytes.clear();
            bytes.extend_from_slice(value);
        }
    }

    fn slot(value: &[u8]) -> usize {
        hash_bytes(value) as usize % Self::SLOTS
    }
}
