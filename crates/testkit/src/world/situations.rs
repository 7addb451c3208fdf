//! Honest crowds that look like attacks: what a detector must leave alone.

use serde_json::json;

use super::agent::Agent;
use super::ask::{Ask, Kind};
use super::recipes::{JAVA, OKHTTP, tool};
use super::record::Who;
use super::site::{self, APP, BANK, CARDS, PARTNERS, PRESS, ROOMS, SHOP};
use super::{Net, World, people, recipes};
use crate::Rng;

/// The part of the time in which nobody's sign-in works.
pub(crate) const OUTAGE: (f64, f64) = (0.44, 0.58);

/// Runs all of them.
pub(crate) fn run(world: &mut World) {
    let mut rng = world.rng("situations");
    outage(world, &mut rng);
    release(world, &mut rng);
    flash_crowd(world, &mut rng);
    new_key(world, &mut rng);
    password_managers(world, &mut rng);
    kiosk(world, &mut rng);
    fast_reader(world, &mut rng);
    breach_notice(world, &mut rng);
    webinar(world, &mut rng);
    holidays(world, &mut rng);
    exit_node(world, &mut rng);
}

/// The identity provider is down: everybody's sign-in fails, and many try again.
fn outage(world: &mut World, rng: &mut Rng) {
    let (from, to) = (world.part(OUTAGE.0), world.part(OUTAGE.1));
    for n in 0..world.many(60) {
        let start = rng.between(from, to - 12.0);
        let recipe = recipes::browser(rng);
        let who = person("idp-outage", "web-shopper", "browser");
        let mut agent = Agent::new(world, who, people::home(rng), recipe, rng, start);
        let p = world.site.person(2000 + n);
        agent.visit(world, SHOP, "/signin");
        for _ in 0..agent.rng.range(1, 5) {
            agent.think(7.0);
            let form = format!(
                "who={}&phrase={}&csrf={}",
                p.email.replace('@', "%40"),
                p.password,
                agent.rng.hex(24)
            );
            agent.send(world, Ask::post(SHOP, "/signin").form(form).kind(Kind::Page));
        }
        agent.leave(world);
    }
    for n in 0..world.many(60) {
        let start = rng.between(from, to - 12.0);
        let recipe = recipes::app(rng, false);
        let mut agent =
            Agent::new(world, person("idp-outage", "app", "app"), Net::Mobile, recipe, rng, start);
        let (p, device) = (world.site.person(2100 + n), agent.device.clone());
        agent.send(world, Ask::get(APP, "/m/2/config").header("X-Device", device.clone()));
        // The app tries again by itself, slower each time.
        let mut pause = 1.0;
        for _ in 0..agent.rng.range(2, 6) {
            let body = json!({"login": p.email, "secret": p.password, "device": device});
            agent.send(world, Ask::post(APP, "/m/2/session").json(&body).header("X-Device", device.clone()));
            agent.think(pause);
            pause *= 2.0;
        }
        agent.leave(world);
    }
    for n in 0..world.many(20) {
        let start = rng.between(from, to - 5.0);
        let recipe = recipes::browser(rng);
        let who = person("idp-outage", "bank-customer", "browser");
        let mut agent = Agent::new(world, who, people::home(rng), recipe, rng, start);
        let p = world.site.person(2200 + n);
        for _ in 0..agent.rng.range(1, 4) {
            let email = p.email.replace('@', "%40");
            let form = format!("grant_type=password&username={email}&password={}&client_id=web", p.password);
            agent.send(world, Ask::post(BANK, "/oauth2/token").form(form));
            agent.think(9.0);
        }
        agent.leave(world);
    }
}

/// A new version of the app arrives on many phones at once: a head that nobody sent before, and everybody signs in again.
fn release(world: &mut World, rng: &mut Rng) {
    let from = world.part(0.3);
    for n in 0..world.many(150) {
        let start = from + rng.between(0.0, world.part(0.25));
        let recipe = tool("Harborlight/7.0.0 (Android 16; Pixel 10) okhttp/5.2.0", OKHTTP);
        let mut agent =
            Agent::new(world, person("app-release", "app", "app"), Net::Mobile, recipe, rng, start);
        let (p, device) = (world.site.person(n * 7 % 2000), agent.device.clone());
        let ask = |ask: Ask| ask.header("X-Device", device.clone()).header("X-App-Build", "70001");
        agent.send(world, ask(Ask::get(APP, "/m/2/config")));
        agent.think(2.0);
        let secret = if agent.rng.percent(8.0) { "mistyped".to_owned() } else { p.password.clone() };
        let body = json!({"login": p.email, "secret": secret, "device": device});
        let reply = agent.send(world, ask(Ask::post(APP, "/m/2/session").json(&body)));
        agent.bearer = Some(reply.text("/access")).filter(|t| !t.is_empty());
        if agent.bearer.is_some() {
            agent.send(world, ask(Ask::get(APP, "/m/2/profile")));
            agent.send(world, ask(Ask::get(APP, "/m/2/orders")));
        }
        for _ in 0..agent.rng.range(1, 4) {
            agent.think(6.0);
            let item = 7000 + agent.rng.below(900);
            agent.send(world, ask(Ask::get(APP, format!("/m/2/items/{item}"))));
        }
        agent.leave(world);
    }
}

/// A story is shared: many strangers open one page within a minute or two and leave.
fn flash_crowd(world: &mut World, rng: &mut Rng) {
    let from = world.part(0.66);
    let page = format!("/story/{}-3100", site::story_slug(3100));
    for n in 0..world.many(250) {
        let start = from + rng.between(0.0, 90.0_f64.min(world.part(0.3)));
        let recipe = recipes::browser(rng);
        let net = if n % 3 == 0 { Net::Mobile } else { people::home(rng) };
        let who = person("flash-crowd", "press-reader", "browser");
        let mut agent = Agent::new(world, who, net, recipe, rng, start);
        agent.visit(world, PRESS, page.clone());
        if agent.rng.percent(15.0) {
            agent.think(20.0);
            agent.send(world, Ask::get(PRESS, "/v1/stories/3100/comments"));
        }
        agent.leave(world);
    }
}

/// A partner comes with a new key from a new network and catches up on what it missed.
fn new_key(world: &mut World, rng: &mut Rng) {
    let key = rng.hex(40);
    let who = Who { label: "benign-bot", class: "partner", actor: "new-key", campaign: "", tool: "java" };
    let start = world.part(0.5);
    let mut bot = Agent::new(world, who, Net::Cloud, tool("Java-http-client/21.0.4", JAVA), rng, start);
    let mut after = 0;
    while bot.now < world.part(0.8) {
        let ask = Ask::get(PARTNERS, format!("/feed/v1/items?after={after}"));
        bot.send(world, ask.header("X-Partner-Key", key.clone()));
        after += 10;
        bot.think(0.35);
    }
    bot.leave(world);
}

/// People whose password manager fills the form: a page, and the sign-in a moment later.
fn password_managers(world: &mut World, rng: &mut Rng) {
    for n in 0..world.many(25) {
        let start = rng.between(0.0, world.part(0.8));
        let recipe = recipes::browser(rng);
        let who = person("password-manager", "web-shopper", "browser");
        let mut agent = Agent::new(world, who, people::home(rng), recipe, rng, start);
        let p = world.site.person(2300 + n);
        agent.visit(world, SHOP, "/signin");
        agent.think(0.6);
        let csrf = agent.rng.hex(24);
        let form = format!("who={}&phrase={}&csrf={csrf}", p.email.replace('@', "%40"), p.password);
        agent.send(world, Ask::post(SHOP, "/signin").form(form).kind(Kind::Page));
        agent.visit(world, SHOP, "/my");
        agent.send(world, Ask::get(SHOP, "/bff/profile"));
        agent.think(25.0);
        agent.visit(world, SHOP, "/");
        agent.leave(world);
    }
}

/// The till of a shop: one device on which customer after customer signs in.
fn kiosk(world: &mut World, rng: &mut Rng) {
    let recipe = recipes::app(rng, false);
    let mut agent =
        Agent::new(world, person("kiosk", "till", "app"), Net::Office, recipe, rng, world.part(0.05));
    let device = agent.device.clone();
    let mut n = 0;
    while agent.now < world.part(0.9) {
        let p = world.site.person(1700 + n * 3);
        n += 1;
        let body = json!({"login": p.email, "secret": p.password, "device": device});
        let reply =
            agent.send(world, Ask::post(APP, "/m/2/session").json(&body).header("X-Device", device.clone()));
        agent.bearer = Some(reply.text("/access")).filter(|t| !t.is_empty());
        agent.think(6.0);
        agent.send(world, Ask::get(APP, "/m/2/orders").header("X-Device", device.clone()));
        agent.bearer = None;
        agent.think(35.0);
    }
    agent.leave(world);
}

/// Somebody who reads with a screen reader and the keyboard: page after page, few pauses, all assets.
fn fast_reader(world: &mut World, rng: &mut Rng) {
    for _ in 0..world.many(4) {
        let start = rng.between(0.0, world.part(0.5));
        let recipe = recipes::browser(rng);
        let who = person("accessibility", "screen-reader", "browser");
        let mut agent = Agent::new(world, who, people::home(rng), recipe, rng, start);
        agent.visit(world, SHOP, "/");
        for page in 0..agent.rng.range(20, 36) {
            agent.think(2.4);
            let number = 7000 + agent.rng.below(900);
            if page % 5 == 0 {
                agent.visit(world, SHOP, format!("/collections/lamps?p={}", page / 5 + 1));
            } else {
                agent.visit(world, SHOP, format!("/goods/{}-{number}", site::slug(number)));
            }
        }
        agent.leave(world);
    }
}

/// After a notice many customers ask for a new password, each for their own account.
fn breach_notice(world: &mut World, rng: &mut Rng) {
    let from = world.part(0.72);
    for n in 0..world.many(60) {
        let start = from + rng.between(0.0, world.part(0.15));
        let recipe = recipes::browser(rng);
        let who = person("breach-notice", "web-shopper", "browser");
        let mut agent = Agent::new(world, who, people::home(rng), recipe, rng, start);
        let p = world.site.person(1000 + n);
        agent.visit(world, SHOP, "/signin");
        agent.think(6.0);
        agent.send(world, Ask::post(SHOP, "/password/forgot").json(&json!({"email": p.email})));
        agent.think(30.0);
        let key = agent.rng.base64(43);
        agent.visit(world, SHOP, format!("/password/new?key={key}"));
        agent.leave(world);
    }
}

/// Many guests join one meeting on the hour.
fn webinar(world: &mut World, rng: &mut Rng) {
    let code = rng.range(2_500_000, 24_000_000) * 41;
    let from = world.part(0.36);
    for _ in 0..world.many(120) {
        let start = from + rng.between(0.0, 45.0);
        let recipe = recipes::browser(rng);
        let who = person("webinar", "meeting-guest", "browser");
        let mut agent = Agent::new(world, who, people::home(rng), recipe, rng, start);
        agent.visit(world, ROOMS, format!("/r/{code:09}"));
        agent.send(world, Ask::get(ROOMS, format!("/v3/rooms/{code:09}")));
        agent.think(3.0);
        let guest = json!({"name": super::facts::words(&mut agent.rng, 1), "mic": false});
        agent.send(world, Ask::post(ROOMS, format!("/v3/rooms/{code:09}/join")).json(&guest));
        agent.leave(world);
    }
}

/// After the holidays people look what is on the cards that they were given; some mistype a number.
fn holidays(world: &mut World, rng: &mut Rng) {
    for _ in 0..world.many(70) {
        let start = rng.between(world.part(0.2), world.part(0.9));
        let recipe = recipes::browser(rng);
        let who = person("gift-card", "card-season", "browser");
        let mut agent = Agent::new(world, who, people::home(rng), recipe, rng, start);
        agent.visit(world, CARDS, "/");
        for _ in 0..agent.rng.range(1, 4) {
            agent.think(14.0);
            let known = 97 * agent.rng.range(65_742_268_041_238, 65_752_577_319_586);
            let number = if agent.rng.percent(82.0) { known } else { known + 3 };
            let card = json!({"number": number.to_string(), "pin": agent.rng.digits(4)});
            agent.send(world, Ask::post(CARDS, "/v1/balance").json(&card));
        }
        agent.leave(world);
    }
}

/// A VPN's exit in a data centre: strangers with nothing in common but the address.
fn exit_node(world: &mut World, rng: &mut Rng) {
    let ip = world.addresses.take(Net::Cloud, rng);
    for n in 0..world.many(24) {
        let start = rng.between(0.0, world.part(0.8));
        let recipe = recipes::browser(rng);
        let who = person("vpn", "web-shopper", "browser");
        let mut agent = Agent::at(world, who, ip, Net::Cloud, recipe, rng, start);
        let token = agent.rng.hex(16);
        agent.set_cookie(SHOP, "hl_visitor", token.clone());
        agent.matched_by(world, "cookie", token);
        people::shop(world, agent, 2400 + n);
    }
}

const fn person(class: &'static str, actor: &'static str, tool: &'static str) -> Who {
    Who { label: "benign", class, actor, campaign: "", tool }
}
