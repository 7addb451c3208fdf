//! Measures a table: `cargo run --release -p sidetap-intel --example lookups -- TABLE` (`just intel-lookups TABLE`).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use sidetap_intel::Table;
use sidetap_model::Ts;

const ROUNDS: u64 = 5_000_000;

fn main() {
    let file = std::env::args().nth(1).unwrap();
    let started = Instant::now();
    let table = Table::load(file.as_ref()).unwrap();
    let (v4, v6) = table.ranges();
    println!("loaded in {} ms: {v4} + {v6} ranges, {} bytes", started.elapsed().as_millis(), table.bytes());
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 16
    };
    let v4: Vec<IpAddr> = (0..65_536).map(|_| Ipv4Addr::from_bits(next() as u32).into()).collect();
    let v6: Vec<IpAddr> = (0..65_536)
        .map(|_| Ipv6Addr::from_bits(u128::from(0x2000_u64 << 48 | next() & 0x0fff_ffff_ffff) << 64).into())
        .collect();
    for (name, addresses) in [("IPv4", v4), ("IPv6", v6)] {
        let started = Instant::now();
        for n in 0..ROUNDS {
            let ip = addresses[(n & 0xffff) as usize];
            black_box(table.origin(ip, Ts(0)));
        }
        println!("{name}: {:.1} ns a lookup", started.elapsed().as_nanos() as f64 / ROUNDS as f64);
    }
}
