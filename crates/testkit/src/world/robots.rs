//! Honest machines: search engines, monitoring, partners with keys.

use serde_json::json;

use super::agent::Agent;
use super::ask::{Ask, Kind};
use super::facts::words;
use super::recipes::{CRAWLER, CURL, GO, JAVA, REQUESTS, tool};
use super::record::Who;
use super::site::{self, BANK, PARTNERS, PRESS, ROOMS, SHOP};
use super::{Net, World};

/// Runs all of them.
pub(crate) fn run(world: &mut World) {
    search_engine(world);
    monitoring(world);
    partners(world);
}

fn search_engine(world: &mut World) {
    let mut rng = world.rng("search");
    let agent = "Mozilla/5.0 (compatible; Seekbot/2.4; +https://seek.example/bot.html)";
    for n in 0..world.many(5) {
        let start = rng.between(0.0, 30.0);
        let mut bot = Agent::new(
            world,
            robot("search-engine", "seekbot", "crawler"),
            Net::Search,
            tool(agent, CRAWLER),
            &mut rng,
            start,
        );
        let host = if n % 2 == 0 { SHOP } else { PRESS };
        bot.send(world, Ask::get(host, "/robots.txt"));
        while bot.now < world.options.seconds * 0.95 {
            let number = bot.rng.below(900);
            let target = match (host == SHOP, bot.rng.index(5)) {
                (true, 0) => "/collections/lamps".to_owned(),
                (true, _) => format!("/goods/{}-{}", site::slug(7000 + number), 7000 + number),
                (false, 0) => "/topic/harbour".to_owned(),
                (false, _) => format!("/story/{}-{}", site::story_slug(3000 + number), 3000 + number),
            };
            bot.send(world, Ask::get(host, target).kind(Kind::Page));
            bot.think(11.0);
        }
        bot.leave(world);
    }
}

fn monitoring(world: &mut World) {
    let mut rng = world.rng("monitoring");
    for n in 0..3 {
        let recipe = tool("Pingwatch/4.1 (+https://pingwatch.example)", if n == 2 { CURL } else { GO });
        let mut bot = Agent::new(
            world,
            robot("monitoring", "pingwatch", "monitor"),
            Net::Monitoring,
            recipe,
            &mut rng,
            n as f64 * 3.0,
        );
        bot.recipe.keeps_alive = false;
        while bot.now < world.options.seconds {
            let next = bot.now + 20.0;
            for (host, path) in [(SHOP, "/health/live"), (BANK, "/health"), (ROOMS, "/ping")] {
                let method = if host == ROOMS { "HEAD" } else { "GET" };
                bot.send(world, Ask::new(method, host, path));
            }
            bot.now = next;
        }
        bot.leave(world);
    }
    let recipe = tool("synthetic-journey/1.8", GO);
    let mut bot =
        Agent::new(world, robot("monitoring", "login-journey", "monitor"), Net::Cloud, recipe, &mut rng, 2.0);
    let p = world.site.person(2400);
    while bot.now < world.options.seconds {
        let next = bot.now + 30.0;
        let form = format!(
            "grant_type=password&username={}&password={}&client_id=journey",
            p.email.replace('@', "%40"),
            p.password
        );
        let reply = bot.send(world, Ask::post(BANK, "/oauth2/token").form(form));
        bot.bearer = Some(reply.text("/access_token"));
        bot.send(world, Ask::get(BANK, "/psd/accounts"));
        bot.bearer = None;
        bot.now = next;
    }
    bot.leave(world);
}

fn partners(world: &mut World) {
    let mut rng = world.rng("partners");
    let key = rng.hex(40);
    let mut bot = Agent::new(
        world,
        robot("partner", "price-portal", "java"),
        Net::Cloud,
        tool("Java-http-client/21.0.4", JAVA),
        &mut rng,
        1.0,
    );
    let mut after = 0;
    while bot.now < world.options.seconds {
        bot.send(
            world,
            Ask::get(PARTNERS, format!("/feed/v1/items?after={after}")).header("X-Partner-Key", key.clone()),
        );
        after += 10;
        bot.think(1.6);
    }
    bot.leave(world);

    let key = rng.hex(32);
    let mut bot = Agent::new(
        world,
        robot("partner", "marketplace", "requests"),
        Net::Cloud,
        tool("python-requests/2.32.5", REQUESTS),
        &mut rng,
        3.0,
    );
    while bot.now < world.options.seconds {
        let sku = format!("{}-{}", words(&mut bot.rng, 1).to_uppercase(), bot.rng.range(100, 999));
        // The oldest partner has its key in the query.
        bot.send(world, Ask::get(PARTNERS, format!("/feed/v1/stock/{sku}?apikey={key}")));
        bot.think(0.9);
    }
    bot.leave(world);

    let key = rng.hex(40);
    let mut bot = Agent::new(
        world,
        robot("partner", "carrier", "go"),
        Net::Cloud,
        tool("parcelwave-agent/3.0", GO),
        &mut rng,
        5.0,
    );
    while bot.now < world.options.seconds {
        let id = format!("PW{}", bot.rng.digits(9));
        bot.send(
            world,
            Ask::get(PARTNERS, format!("/feed/v1/shipments/{id}")).header("X-Partner-Key", key.clone()),
        );
        if bot.rng.percent(30.0) {
            let body = json!({"shipment": id, "event": "scanned", "hub": "NL2"});
            bot.send(
                world,
                Ask::post(PARTNERS, "/feed/v1/shipments").json(&body).header("X-Partner-Key", key.clone()),
            );
        }
        bot.think(4.0);
    }
    bot.leave(world);
    soap(world, &mut rng);
}

fn soap(world: &mut World, rng: &mut crate::Rng) {
    let mut bot =
        Agent::new(world, robot("partner", "erp", "axis"), Net::Cloud, tool("Axis/1.4", JAVA), rng, 8.0);
    while bot.now < world.options.seconds {
        let text = format!(
            "<?xml version=\"1.0\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Header><Security><UsernameToken><Username>erp</Username><Password>tide-{}</Password></UsernameToken></Security></soap:Header><soap:Body><GetStock><Sku>OAK-{}</Sku></GetStock></soap:Body></soap:Envelope>",
            "Q7mK2vRt",
            bot.rng.range(100, 999)
        );
        let mut ask = Ask::post(PARTNERS, "/ws/StockService").header("SOAPAction", "\"GetStock\"");
        ask.body = Some(("text/xml; charset=utf-8", text.into_bytes()));
        bot.send(world, ask);
        bot.think(12.0);
    }
    bot.leave(world);
}

const fn robot(class: &'static str, actor: &'static str, tool: &'static str) -> Who {
    Who { label: "benign-bot", class, actor, campaign: "", tool }
}
