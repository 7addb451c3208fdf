//! Bots in a sale, and the chain from a stolen login to a transfer.

use serde_json::json;

use super::attacker;
use crate::world::agent::Agent;
use crate::world::ask::Ask;
use crate::world::facts::iban;
use crate::world::people::transfer;
use crate::world::recipes::{NODE, chrome, tool};
use crate::world::site::{self, BANK, SHOP};
use crate::world::{Net, World};

pub(super) fn run(world: &mut World) {
    sale(world);
    transfers(world);
}

/// Bots claim pieces before people can, and keep trying.
fn sale(world: &mut World) {
    let mut rng = world.rng("sale-bots");
    let who = attacker("hype-sale-bot", "sale-bots", "node");
    let agent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/136.0.0.0 Safari/537.36";
    for _ in 0..world.many(26) {
        let at = world.site.sale_at - rng.between(0.5, 12.0);
        let mut bot = Agent::new(world, who, Net::Proxies, tool(agent, NODE), &mut rng, at);
        for _ in 0..bot.rng.range(18, 32) {
            let body = json!({"pieces": 4});
            bot.send(world, Ask::post(SHOP, "/bff/drops/lighthouse-7/claim").json(&body));
            bot.think(0.6);
        }
        bot.leave(world);
    }
}

/// Stolen logins, a look at the accounts, a new payee, a transfer: each from another address.
fn transfers(world: &mut World) {
    let mut rng = world.rng("transfers");
    let who = attacker("ato-transfer-fraud", "transfer-chain", "browser-like");
    let (start, end) = (world.part(0.5), world.part(0.9));
    let mule = iban(&mut rng);
    for n in 0..world.many(12) {
        let at = rng.between(start, end);
        let recipe = chrome(&mut rng, "X11; Linux x86_64", "\"Linux\"", false);
        let mut bot = Agent::new(world, who, Net::Residential, recipe, &mut rng, at);
        let p = world.site.person(1700 + n);
        let form = format!(
            "grant_type=password&username={}&password={}&client_id=web",
            p.email.replace('@', "%40"),
            p.password
        );
        let reply = bot.send(world, Ask::post(BANK, "/oauth2/token").form(form));
        bot.bearer = Some(reply.text("/access_token"));
        bot.think(0.9);
        bot.send(world, Ask::get(BANK, "/psd/accounts"));
        bot.think(0.8);
        bot.send(world, Ask::post(BANK, "/psd/payees").json(&json!({"name": "M. Quist", "iban": mule})));
        bot.think(0.7);
        transfer(world, &mut bot, &site::code_of(&p), 1.5);
        bot.leave(world);
    }
}
