use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sidetap_model::rows::{EndpointKey, SensitiveRow};
use sidetap_model::{EndpointId, EndpointRef, FlowId, Ts};
use sidetap_wire::body::hash_str;

use crate::pack::{Pack, TypeId};
use crate::scanner::{Dir, Sighting};

/// How much an [`Inventory`] keeps.
#[derive(Clone, Copy, Debug)]
pub struct InventoryLimits {
    /// Rows in all.
    pub rows: usize,
    /// Rows of one endpoint.
    pub per_endpoint: usize,
}

impl Default for InventoryLimits {
    fn default() -> Self {
        InventoryLimits { rows: 50_000, per_endpoint: 400 }
    }
}

/// What sensitive data goes through which endpoint. Fed in order of time by one thread.
#[derive(Debug)]
pub struct Inventory {
    pack: Arc<Pack>,
    limits: InventoryLimits,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    rows: usize,
    refused: u64,
}

/// A type at a place of an endpoint's messages, by its hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place(u64);

impl Place {
    fn of((direction, location, kind): &(Dir, String, TypeId)) -> Self {
        let about = u64::from(kind.0) << 1 | u64::from(*direction == Dir::Response);
        Place(hash_str(location) ^ about.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[derive(Debug)]
struct Endpoint {
    name: EndpointRef,
    entries: BTreeMap<(Dir, String, TypeId), Entry>,
}

#[derive(Debug)]
struct Entry {
    alternatives: BTreeSet<TypeId>,
    confidence: u8,
    count: u64,
    masked: String,
    first: (Ts, FlowId, u32),
}

/// Parameters seen once or twice from which on they are somebody's guesses.
const GUESSES: usize = 8;

impl Endpoint {
    /// True where so many different parameters were sent once or twice that they were guessed: the endpoint has none of them.
    fn is_guessed(&self) -> bool {
        self.entries.iter().filter(|(key, entry)| is_guess(&key.1, entry)).count() >= GUESSES
    }
}

/// True of a parameter of the query that was sent once or twice.
fn is_guess(location: &str, entry: &Entry) -> bool {
    entry.count <= 2 && location.starts_with("query:") && location != "query:*"
}

impl Entry {
    fn merge(&mut self, other: Entry) {
        self.alternatives.extend(other.alternatives);
        self.confidence = self.confidence.max(other.confidence);
        self.count += other.count;
        if other.first < self.first {
            self.first = other.first;
            self.masked = other.masked;
        }
    }
}

impl Inventory {
    /// An empty one.
    pub fn new(pack: &Arc<Pack>, limits: InventoryLimits) -> Self {
        Inventory { pack: Arc::clone(pack), limits, endpoints: BTreeMap::new(), rows: 0, refused: 0 }
    }

    /// Adds what one exchange showed; gives the places, each once. Past the limits new places are refused and counted, known ones go on
    /// counting.
    pub fn add(
        &mut self,
        endpoint: &EndpointRef,
        ts: Ts,
        exchange: (FlowId, u32),
        sightings: &[Sighting],
    ) -> Vec<Place> {
        let mut places = Vec::with_capacity(sightings.len());
        if sightings.is_empty() {
            return places;
        }
        let known = self
            .endpoints
            .entry(endpoint.id)
            .or_insert_with(|| Endpoint { name: endpoint.clone(), entries: BTreeMap::new() });
        for sighting in sightings {
            let entry = Entry {
                alternatives: sighting.alternatives.iter().copied().collect(),
                confidence: sighting.confidence,
                count: u64::from(sighting.count),
                masked: sighting.masked.clone(),
                first: (ts, exchange.0, exchange.1),
            };
            let key = (sighting.direction, general(&sighting.location), sighting.kind);
            let place = Place::of(&key);
            let full = self.rows >= self.limits.rows || known.entries.len() >= self.limits.per_endpoint;
            match known.entries.get_mut(&key) {
                Some(old) => old.merge(entry),
                None if full => {
                    self.refused += 1;
                    continue;
                }
                None => {
                    known.entries.insert(key, entry);
                    self.rows += 1;
                }
            }
            places.push(place);
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The places of all rows, by the rows' ids.
    pub fn places(&self) -> BTreeMap<String, Place> {
        let all = self.endpoints.values().flat_map(|e| e.entries.iter().map(move |(k, v)| (&e.name, k, v)));
        all.filter_map(|(name, k, v)| Some((self.row(name, k, v)?.id(), Place::of(k)))).collect()
    }

    /// Endpoints that got other names or became one: old id, new endpoint.
    pub fn rename(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        for (old, new) in renames {
            let Some(moved) = self.endpoints.remove(old) else { continue };
            let target = self
                .endpoints
                .entry(new.id)
                .or_insert_with(|| Endpoint { name: new.clone(), entries: BTreeMap::new() });
            target.name = new.clone();
            for (key, entry) in moved.entries {
                match target.entries.get_mut(&key) {
                    Some(known) => {
                        known.merge(entry);
                        self.rows -= 1;
                    }
                    None => {
                        target.entries.insert(key, entry);
                    }
                }
            }
        }
    }

    /// Sightings refused for a limit.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Everything, by endpoint, direction, place and type.
    pub fn rows(&self) -> Vec<SensitiveRow> {
        let mut rows: Vec<_> = self
            .endpoints
            .values()
            .flat_map(|e| {
                let guessed = e.is_guessed();
                let real = move |(key, entry): &(&(Dir, String, TypeId), &Entry)| {
                    !guessed || !is_guess(&key.1, entry)
                };
                e.entries.iter().filter(real).filter_map(|(key, entry)| self.row(&e.name, key, entry))
            })
            .collect();
        rows.sort_by(|a, b| {
            (
                &a.endpoint.host,
                &a.endpoint.template,
                &a.endpoint.method,
                &a.direction,
                &a.location,
                &a.kind,
                a.endpoint.id,
            )
                .cmp(&(
                    &b.endpoint.host,
                    &b.endpoint.template,
                    &b.endpoint.method,
                    &b.direction,
                    &b.location,
                    &b.kind,
                    b.endpoint.id,
                ))
        });
        rows
    }

    fn row(
        &self,
        endpoint: &EndpointRef,
        key: &(Dir, String, TypeId),
        entry: &Entry,
    ) -> Option<SensitiveRow> {
        let kind = self.pack.get(key.2)?;
        let names = entry.alternatives.iter().filter_map(|id| Some(self.pack.get(*id)?.id.clone()));
        Some(SensitiveRow {
            endpoint: EndpointKey {
                id: endpoint.id,
                host: endpoint.host.to_string(),
                method: endpoint.method.to_string(),
                template: endpoint.template.to_string(),
            },
            direction: key.0.name().to_owned(),
            location: in_template(&endpoint.template, &key.1),
            kind: kind.id.clone(),
            alternatives: names.collect(),
            class: kind.class.clone(),
            confidence: f64::from(entry.confidence) / 100.0,
            count: entry.count,
            masked: entry.masked.clone(),
            first_seen: entry.first.0,
            evidence: format!("{}-{}", entry.first.1, entry.first.2),
        })
    }
}

/// `path:N` by the name that the template has for the segment, where it has one.
fn in_template(template: &str, location: &str) -> String {
    let named = location.strip_prefix("path:").and_then(|n| n.parse::<usize>().ok()).and_then(|n| {
        let (_, open) = template.split('/').nth(n)?.split_once('{')?;
        Some(open.split_once('}')?.0)
    });
    named.map_or_else(|| location.to_owned(), |name| format!("path:{name}"))
}

/// A place with `*` for names that are ids: so that a map by user gives one row, and a sample no id.
fn general(location: &str) -> String {
    let is_id = |name: &str| {
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        digits >= 4 || name.len() > 40 || name.contains('@')
    };
    let mut out = String::with_capacity(location.len().min(256));
    let (head, tail) = location.split_at(location.find(['.', '[']).unwrap_or(location.len()));
    out.push_str(match head.split_once(':') {
        Some(("path", _)) | None => head,
        Some((kind, name)) if is_id(name) => {
            if kind == "query" {
                "query:*"
            } else {
                "header:*"
            }
        }
        Some(_) => head,
    });
    let mut rest = tail;
    while let Some(mark) = rest.chars().next() {
        let body = rest.get(mark.len_utf8()..).unwrap_or_default();
        let len = match body.strip_prefix('\'') {
            Some(quoted) if mark == '[' => quoted.find("']").map_or(body.len(), |n| n + 3),
            _ => body.find(['.', '[']).unwrap_or(body.len()),
        };
        let (name, after) = body.split_at(len);
        out.push(mark);
        match name.strip_prefix('\'').and_then(|n| n.strip_suffix("']")) {
            Some(quoted) if is_id(quoted) => out.push_str("'*']"),
            None if is_id(name) => out.push('*'),
            _ => out.push_str(name),
        }
        rest = after;
        if out.len() > 512 {
            out.push('…');
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: u64, template: &str) -> EndpointRef {
        EndpointRef::new(EndpointId(id), "h", "GET", template)
    }

    fn sighting(location: &str, kind: TypeId) -> Sighting {
        Sighting {
            direction: Dir::Request,
            location: location.to_owned(),
            kind,
            alternatives: Default::default(),
            confidence: 90,
            count: 2,
            masked: "a***".to_owned(),
            digest: 0,
        }
    }

    #[test]
    fn places_are_general() {
        assert_eq!(general("$.users.u12345.email"), "$.users.*.email");
        assert_eq!(general("$.users['ada@example.org'][*].x"), "$.users['*'][*].x");
        assert_eq!(general("$['a.b'].c"), "$['a.b'].c");
        assert_eq!(general("query:q"), "query:q");
        assert_eq!(in_template("/users/{user_id}/x", "path:2"), "path:user_id");
        assert_eq!(in_template("/users/x", "path:2"), "path:2");
    }

    #[test]
    fn rows_follow_renames_and_limits_hold() {
        let pack = Arc::new(Pack::builtin().unwrap());
        let email = pack.id_of("email").unwrap();
        let mut inventory = Inventory::new(&pack, InventoryLimits { rows: 2, per_endpoint: 400 });
        inventory.add(&endpoint(1, "/u/1"), Ts(20), (FlowId(1), 0), &[sighting("path:2", email)]);
        inventory.add(&endpoint(2, "/u/2"), Ts(10), (FlowId(2), 0), &[sighting("path:2", email)]);
        inventory.add(&endpoint(3, "/v"), Ts(30), (FlowId(3), 0), &[sighting("$.a", email)]);
        assert_eq!(inventory.refused(), 1);
        let new = endpoint(9, "/u/{id}");
        inventory.rename(&[(EndpointId(1), new.clone()), (EndpointId(2), new)]);
        let rows = inventory.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].count, rows[0].first_seen, rows[0].location.as_str()), (4, Ts(10), "path:id"));
    }

    #[test]
    fn parameters_that_were_guessed_are_none_of_the_endpoint() {
        let pack = Arc::new(Pack::builtin().unwrap());
        let password = pack.id_of("password").unwrap();
        let rows = |guesses: usize| {
            let mut inventory = Inventory::new(&pack, InventoryLimits::default());
            let real = Sighting { count: 9, ..sighting("query:pwd", password) };
            inventory.add(
                &endpoint(1, "/a"),
                Ts(1),
                (FlowId(1), 0),
                &[real, sighting("$.password", password)],
            );
            for n in 0..guesses {
                let guess =
                    sighting(&format!("query:pass{}", ["a", "b", "c", "d", "e", "f", "g", "h"][n]), password);
                inventory.add(&endpoint(1, "/a"), Ts(2), (FlowId(2), 0), &[guess]);
            }
            inventory.rows().len()
        };
        assert_eq!([rows(7), rows(8)], [9, 2]);
    }
}
