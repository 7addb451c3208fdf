//! Guessing of identifiers: meeting rooms, gift cards, other people's orders.

use serde_json::json;

use super::attacker;
use crate::world::agent::Agent;
use crate::world::ask::Ask;
use crate::world::recipes::{self, GO, REQUESTS, tool};
use crate::world::site::{self, APP, CARDS, ROOMS, SHOP};
use crate::world::{Net, World};

pub(super) fn run(world: &mut World) {
    rooms(world);
    gift_cards(world);
    orders(world);
    purchases(world);
}

/// War dialling of meeting numbers from many addresses.
fn rooms(world: &mut World) {
    let mut rng = world.rng("rooms");
    let who = attacker("id-enumeration", "room-dialling", "requests");
    let (start, end) = (world.part(0.26), world.part(0.85));
    for _ in 0..world.many(26) {
        let at = rng.between(start, end);
        let net = if rng.percent(50.0) { Net::Residential } else { Net::Proxies };
        let mut bot = Agent::new(world, who, net, tool("python-requests/2.31.0", REQUESTS), &mut rng, at);
        let mut code = bot.rng.range(100_000_000, 990_000_000);
        for _ in 0..bot.rng.range(12, 22) {
            code += bot.rng.range(1, 9);
            let reply = bot.send(world, Ask::get(ROOMS, format!("/v3/rooms/{code}")));
            if reply.status == 200 && bot.rng.percent(60.0) {
                let body = json!({"name": "iPhone", "mic": false});
                bot.send(world, Ask::post(ROOMS, format!("/v3/rooms/{code}/join")).json(&body));
            }
            bot.think(2.2);
        }
        bot.leave(world);
    }
}

/// Balances of gift cards: numbers and PINs stand in the body, and the answer is 200 either way.
fn gift_cards(world: &mut World) {
    let mut rng = world.rng("gift-cards");
    let who = attacker("giftcard-bruteforce", "gift-card-guessing", "go");
    let (start, end) = (world.part(0.24), world.part(0.7));
    for _ in 0..world.many(14) {
        let at = rng.between(start, end);
        let agent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15";
        let mut bot = Agent::new(world, who, Net::Hosting, tool(agent, GO), &mut rng, at);
        let mut number = 6_377_000_000_000_000 + bot.rng.below(900_000_000_000);
        for _ in 0..bot.rng.range(35, 55) {
            number += bot.rng.range(1, 60);
            let body = json!({"number": number.to_string(), "pin": bot.rng.digits(4)});
            bot.send(world, Ask::post(CARDS, "/v1/balance").json(&body));
            bot.think(0.7);
        }
        bot.leave(world);
    }
}

/// A member of the app walks through everybody's orders.
fn orders(world: &mut World) {
    let mut rng = world.rng("orders");
    let who = attacker("bola", "order-walk", "app");
    let at = world.part(0.33);
    let recipe = recipes::app(&mut rng, false);
    let mut bot = Agent::new(world, who, Net::Residential, recipe, &mut rng, at);
    let p = world.site.person(2100);
    let device = bot.device.clone();
    let reply = bot.send(
        world,
        Ask::post(APP, "/m/2/session")
            .json(&json!({"login": p.email, "secret": p.password, "device": device}))
            .header("X-Device", device.clone()),
    );
    bot.bearer = Some(reply.text("/access"));
    for n in 0..world.many(170) {
        bot.send(
            world,
            Ask::get(APP, format!("/m/2/orders/{}", site::order_of(700, n)))
                .header("X-Device", device.clone()),
        );
        bot.think(1.1);
    }
    bot.leave(world);
}

/// Somebody in the office reads other people's purchases, in his browser.
fn purchases(world: &mut World) {
    let mut rng = world.rng("purchases");
    let who = attacker("bola", "office-insider", "browser");
    let office = world.record.labels.iter().find(|l| l.network == Net::Office.name()).map(|l| l.src_ip);
    let Some(ip) = office else { return };
    let at = world.part(0.5);
    let recipe = recipes::browser(&mut rng);
    let mut bot = Agent::at(world, who, ip, Net::Office, recipe, &mut rng, at);
    let token = bot.rng.hex(16);
    bot.set_cookie(SHOP, "hl_visitor", token.clone());
    bot.matched_by(world, "cookie", token);
    let p = world.site.person(2150);
    bot.visit(world, SHOP, "/signin");
    bot.think(6.0);
    let form = format!("who={}&phrase={}&csrf={}", p.email.replace('@', "%40"), p.password, bot.rng.hex(24));
    bot.send(world, Ask::post(SHOP, "/signin").form(form).kind(crate::world::ask::Kind::Page));
    for n in 0..world.many(90) {
        bot.send(world, Ask::get(SHOP, format!("/bff/purchases/{}", site::reference(300 + n, 0))));
        bot.think(1.8);
    }
    bot.leave(world);
}
