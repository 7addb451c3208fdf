use serde_json::{Value, json};

use crate::Rng;
use crate::world::facts::{WORDS, capital, prose, words};

/// Goods of this number as the APIs show them.
pub(crate) fn goods(number: u64) -> Value {
    let mut rng = Rng::new(number ^ 0x600d5);
    let name = words(&mut rng, 2);
    json!({
        "pid": number,
        "slug": slug(number),
        "title": capital(&name),
        "price": {"minor": rng.range(390, 48_000), "unit": rng.pick(&["EUR", "GBP"])},
        "stars": rng.range(20, 50) as f64 / 10.0,
        "available": rng.percent(85.0),
        "colours": [rng.pick(WORDS), rng.pick(WORDS)],
        "blurb": prose(&mut rng, 2),
    })
}

/// The readable part of its address.
pub(crate) fn slug(number: u64) -> String {
    let mut rng = Rng::new(number ^ 0x51a6);
    words(&mut rng, 3).replace(' ', "-")
}

/// Numbers of the goods on a page of a collection.
pub(crate) fn page(name: &str, page: u64) -> impl Iterator<Item = u64> {
    let seed = name.bytes().fold(page + 3, |h, b| h.wrapping_mul(131).wrapping_add(u64::from(b)));
    let mut rng = Rng::new(seed);
    (0..12).map(move |_| 7000 + rng.below(900))
}
