use hashbrown::HashMap;
use sidetap_model::{EndpointId, EndpointRef};

/// Which endpoint stands for one that was merged away. Bounded: past the cap the oldest names are not followed any more.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    to: HashMap<EndpointId, EndpointRef, foldhash::fast::FixedState>,
    /// Names not kept for the cap.
    pub(crate) refused: u64,
}

impl Aliases {
    const CAP: usize = 200_000;

    /// Takes in new merges.
    pub(crate) fn extend(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        for (old, new) in renames {
            if self.to.len() >= Self::CAP && !self.to.contains_key(old) {
                self.refused += 1;
                continue;
            }
            self.to.insert(*old, new.clone());
        }
    }

    /// The endpoint that `endpoint` is now, following at most eight merges.
    pub(crate) fn resolve(&self, endpoint: &mut EndpointRef) {
        for _ in 0..8 {
            match self.to.get(&endpoint.id) {
                Some(new) if new.id != endpoint.id => *endpoint = new.clone(),
                _ => return,
            }
        }
    }
}

/// Endpoints of operations that share one path, as the inventory names them.
#[derive(Debug, Default)]
pub(crate) struct Operations(HashMap<(EndpointId, Box<str>), EndpointRef, foldhash::fast::FixedState>);

impl Operations {
    /// What is kept begins anew when it is full: it changes the speed alone.
    const CAP: usize = 4_096;

    pub(crate) fn of(&mut self, zone: &str, endpoint: &EndpointRef, operation: &str) -> EndpointRef {
        let key = (endpoint.id, Box::from(operation));
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        if self.0.len() >= Self::CAP {
            self.0.clear();
        }
        let named = sidetap_discovery::operation_endpoint(zone, endpoint, operation);
        self.0.insert(key, named.clone());
        named
    }
}
