//! Attackers: each campaign with its clients, its tools and its target.

mod credentials;
mod enumeration;
mod exploits;
mod fraud;
mod hard;
mod scraping;

use super::World;
use super::record::Who;
use crate::Rng;

/// Runs all campaigns.
pub(crate) fn run(world: &mut World) {
    credentials::run(world);
    enumeration::run(world);
    scraping::run(world);
    fraud::run(world);
    exploits::run(world);
}

/// Runs those that give little away.
pub(crate) fn run_hard(world: &mut World) {
    hard::run(world);
}

const fn attacker(class: &'static str, campaign: &'static str, tool: &'static str) -> Who {
    Who { label: "malicious", class, actor: campaign, campaign, tool }
}

/// An e-mail address of a leaked list: mostly of strangers, in `known` percent of somebody with an account.
fn leaked(world: &World, rng: &mut Rng, known: f64) -> (String, String) {
    let theirs = rng.percent(known);
    let number = if theirs { rng.index(2400) } else { 100_000 + rng.index(900_000) };
    let person = world.site.person(number);
    let password = if theirs && rng.percent(30.0) { person.password } else { super::facts::password(rng) };
    (person.email, password)
}
