//! The CDN's connections: a few edges, each with a pool that all its clients share.

use std::collections::BTreeMap;

use sidetap_model::{Addr, Direction};

use super::agent::nanos;
use super::record::seconds;
use super::{Net, World, site};
use crate::{Conversation, Framing, Rng};

struct Pooled {
    talk: Conversation,
    port: u16,
    free_at: f64,
}

/// Writes the deferred requests in time order.
pub(crate) fn render(world: &mut World) {
    let mut rng = world.rng("edge");
    let mut all = std::mem::take(&mut world.deferred);
    all.sort_by(|a, b| a.at.total_cmp(&b.at));
    let edges: Vec<_> = (0..4).map(|_| world.addresses.take(Net::Edge, &mut rng)).collect();
    let mut pools: BTreeMap<(usize, String), Vec<Pooled>> = BTreeMap::new();
    let mut ports = vec![30_000_u16; edges.len()];
    for mut item in all {
        let which = rng.index(edges.len());
        let (Some(port), Some(ip)) = (ports.get_mut(which), edges.get(which)) else { continue };
        let pool = pools.entry((which, item.row.host.clone())).or_default();
        let free = |p: &Pooled| p.free_at + 0.05 < item.at && item.at - p.free_at < 55.0;
        let place = pool.iter().position(free).unwrap_or_else(|| {
            let client = Addr { ip: *ip, port: *port };
            *port = port.wrapping_add(7);
            pool.push(connect(world, client, &item.row.host, item.at - 0.03, &mut rng));
            pool.len() - 1
        });
        let Some(pooled) = pool.get_mut(place) else { continue };
        let start = world.ts(item.at);
        item.row.t = seconds(start);
        item.row.port = pooled.port;
        let out = &mut world.record.packets;
        let sent = pooled.talk.send(start, Direction::Up, &item.bytes, 9_000, out);
        let done = pooled.talk.send(sent.plus(nanos(item.delay)), Direction::Down, &item.answer, 9_000, out);
        pooled.talk.acknowledge(done.plus(900_000), Direction::Up, out);
        pooled.free_at = (done.0 - world.start.0) as f64 / 1e9;
        world.record.request(item.label, item.row, done);
    }
    for pooled in pools.values_mut().flatten() {
        let ts = world.ts(pooled.free_at + 60.0);
        pooled.talk.close(ts, Direction::Down, 2_000_000, &mut world.record.packets);
    }
}

fn connect(world: &mut World, client: Addr, host: &str, at: f64, rng: &mut Rng) -> Pooled {
    let server = site::address(host, false);
    let mut talk = Conversation::new(client, server, Framing::default(), rng.next_u64()).with_ttl(60);
    talk.open(world.ts(at), 2_000_000, &mut world.record.packets);
    Pooled { talk, port: client.port, free_at: 0.0 }
}
