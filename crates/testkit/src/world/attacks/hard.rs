//! Attacks that give little away: once an address, at the pace of people, with the heads of real clients, over changing tools.

use serde_json::json;

use super::{attacker, leaked};
use crate::world::agent::Agent;
use crate::world::ask::{Ask, Kind};
use crate::world::recipes::{FALSE_APP, NODE, REQUESTS, app, browser, chrome, tool};
use crate::world::site::{self, APP, BANK, SHOP};
use crate::world::{Net, World};

pub(super) fn run(world: &mut World) {
    once_each(world);
    human_pace(world);
    headless(world);
    impersonated(world);
    new_tools(world);
    other_channel(world);
    neighbours(world);
    forged_hops(world);
}

const WINDOWS: &str = "Windows NT 10.0; Win64; x64";

fn sign_in_app(world: &mut World, bot: &mut Agent, known: f64) {
    let mut rng = bot.rng.fork();
    let (email, password) = leaked(world, &mut rng, known);
    let body = json!({"login": email, "secret": password, "device": bot.device});
    let ask = Ask::post(APP, "/m/2/session").json(&body).header("X-Device", bot.device.clone());
    bot.send(world, ask);
}

fn sign_in_form(world: &mut World, bot: &mut Agent, known: f64) {
    let mut rng = bot.rng.fork();
    let (email, password) = leaked(world, &mut rng, known);
    let form = format!("who={}&phrase={password}&csrf={}", email.replace('@', "%40"), bot.rng.hex(24));
    bot.send(world, Ask::post(SHOP, "/signin").form(form).kind(Kind::Page));
}

/// Hundreds of households' addresses, one try each, with the very head of the app.
fn once_each(world: &mut World) {
    let mut rng = world.rng("once-each");
    let who = attacker("credential-stuffing", "once-each", "app-copy");
    let (start, end) = (world.part(0.2), world.part(0.97));
    for _ in 0..world.many(500) {
        let at = rng.between(start, end);
        let recipe = app(&mut rng, false);
        let mut bot = Agent::new(world, who, Net::Residential, recipe, &mut rng, at);
        sign_in_app(world, &mut bot, 3.0);
        bot.leave(world);
    }
}

/// A driven browser: pages with all they load, pauses as people make them, three tries an address.
fn human_pace(world: &mut World) {
    let mut rng = world.rng("human-pace");
    let who = attacker("credential-stuffing", "human-pace", "driven-browser");
    let (start, end) = (world.part(0.2), world.part(0.85));
    for _ in 0..world.many(60) {
        let at = rng.between(start, end);
        let recipe = chrome(&mut rng, WINDOWS, "\"Windows\"", false);
        let mut bot = Agent::new(world, who, Net::Proxies, recipe, &mut rng, at);
        for _ in 0..3 {
            bot.visit(world, SHOP, "/signin");
            bot.think(11.0);
            sign_in_form(world, &mut bot, 3.0);
            bot.think(14.0);
        }
        bot.leave(world);
    }
}

/// A driven browser that says what it is, through the whole catalogue.
fn headless(world: &mut World) {
    let mut rng = world.rng("headless");
    let who = attacker("content-scraping", "headless", "headless-chromium");
    for n in 0..world.many(4) {
        let at = world.part(0.25) + 3.0 * n as f64;
        let mut recipe = chrome(&mut rng, WINDOWS, "\"Windows\"", false);
        recipe.agent = recipe.agent.replace("Chrome/", "HeadlessChrome/");
        let mut bot = Agent::new(world, who, Net::Hosting, recipe, &mut rng, at);
        for step in 0..60 {
            let number = 7000 + (n as u64 * 200 + step) % 900;
            bot.visit(world, SHOP, format!("/goods/{}-{number}", site::slug(number)));
            bot.think(1.5);
        }
        bot.leave(world);
    }
}

/// A library with a browser's head to the letter takes pages and nothing else, a few each.
fn impersonated(world: &mut World) {
    let mut rng = world.rng("impersonated");
    let who = attacker("content-scraping", "impersonated", "browser-copy");
    let (start, end) = (world.part(0.2), world.part(0.9));
    for n in 0..world.many(70) {
        let at = rng.between(start, end);
        let recipe = chrome(&mut rng, WINDOWS, "\"Windows\"", false);
        let mut bot = Agent::new(world, who, Net::Residential, recipe, &mut rng, at);
        for step in 0..8 {
            let number = 7000 + (n as u64 * 8 + step) % 900;
            bot.send(
                world,
                Ask::get(SHOP, format!("/goods/{}-{number}", site::slug(number))).kind(Kind::Page),
            );
            bot.think(5.0);
        }
        bot.leave(world);
    }
}

/// One list of logins, three tools one after the other, each from addresses of its own.
fn new_tools(world: &mut World) {
    let mut rng = world.rng("new-tools");
    let who = attacker("credential-stuffing", "new-tools", "several");
    let (start, step) = (world.part(0.2), world.part(0.24));
    for n in 0..world.many(90) {
        let era = n % 3;
        let at = start + step * era as f64 + rng.between(0.0, step * 0.9);
        let recipe = match era {
            0 => tool("python-requests/2.32.5", REQUESTS),
            1 => tool(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
                NODE,
            ),
            _ => chrome(&mut rng, WINDOWS, "\"Windows\"", false),
        };
        let mut bot = Agent::new(world, who, Net::Proxies, recipe, &mut rng, at);
        for _ in 0..4 {
            sign_in_form(world, &mut bot, 3.0);
            bot.think(3.0);
        }
        bot.leave(world);
    }
}

/// First the form of the web shop, then the gateway of the app, with the same list.
fn other_channel(world: &mut World) {
    let mut rng = world.rng("other-channel");
    let who = attacker("credential-stuffing", "other-channel", "go-like");
    let (start, step) = (world.part(0.25), world.part(0.3));
    for n in 0..world.many(60) {
        let web = n % 2 == 0;
        let at = start + if web { 0.0 } else { step } + rng.between(0.0, step * 0.9);
        let recipe = if web {
            chrome(&mut rng, WINDOWS, "\"Windows\"", false)
        } else {
            tool("Harborlight/6.2.1 (Android 15; Pixel 9) okhttp/5.1.0", FALSE_APP)
        };
        let mut bot = Agent::new(world, who, Net::Proxies, recipe, &mut rng, at);
        for _ in 0..4 {
            if web {
                sign_in_form(world, &mut bot, 3.0);
            } else {
                sign_in_app(world, &mut bot, 3.0);
            }
            bot.think(6.0);
        }
        bot.leave(world);
    }
}

/// From the networks that customers come from: a carrier's NAT among them.
fn neighbours(world: &mut World) {
    let mut rng = world.rng("neighbours");
    let who = attacker("password-reset-enumeration", "neighbours", "browser-copy");
    let (start, end) = (world.part(0.25), world.part(0.9));
    for n in 0..world.many(40) {
        let at = rng.between(start, end);
        let net = if n % 4 == 0 { Net::CarrierNat } else { Net::Mobile };
        let recipe = browser(&mut rng);
        let mut bot = Agent::new(world, who, net, recipe, &mut rng, at);
        for _ in 0..6 {
            let (email, _) = leaked(world, &mut rng, 10.0);
            bot.send(world, Ask::post(SHOP, "/password/forgot").json(&json!({"email": email})));
            bot.think(6.0);
        }
        bot.leave(world);
    }
}

/// One machine that claims to speak for a customer of its own choice each time.
fn forged_hops(world: &mut World) {
    let mut rng = world.rng("forged-hops");
    let who = attacker("credential-stuffing", "forged-hops", "requests");
    let start = world.part(0.3);
    let recipe = tool("python-requests/2.32.5", REQUESTS);
    let mut bot = Agent::new(world, who, Net::Hosting, recipe, &mut rng, start);
    for _ in 0..world.many(160) {
        let (email, password) = leaked(world, &mut rng, 3.0);
        let form = format!(
            "client_id=web&grant_type=password&password={password}&username={}",
            email.replace('@', "%40")
        );
        let victim = format!("198.18.{}.{}", bot.rng.below(256), bot.rng.range(1, 254));
        bot.send(world, Ask::post(BANK, "/oauth2/token").form(form).header("X-Forwarded-For", victim));
        bot.think(0.4);
    }
    bot.leave(world);
}
