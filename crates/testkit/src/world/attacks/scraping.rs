//! Scraping: stories, goods, stock by ZIP code; crawlers that are not what they say or take what they must not.

use super::attacker;
use crate::world::agent::Agent;
use crate::world::ask::{Ask, Kind};
use crate::world::recipes::{CRAWLER, FALSE_APP, FALSE_BROWSER, HTTPX, chrome, tool};
use crate::world::site::{self, APP, PRESS, SHOP};
use crate::world::{Net, World};

pub(super) fn run(world: &mut World) {
    stories(world);
    goods(world);
    stock(world);
    corpus_bot(world);
    false_crawler(world);
}

/// One scraper behind the CDN takes story after story; it forges an earlier hop.
fn stories(world: &mut World) {
    let mut rng = world.rng("stories");
    let who = attacker("content-scraping", "story-scraper", "scrapy-like");
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36";
    let at = world.part(0.3);
    let mut bot = Agent::new(world, who, Net::Hosting, tool(agent, FALSE_BROWSER), &mut rng, at);
    for _ in 0..world.many(260) {
        let number = 3000 + bot.rng.below(1000);
        bot.forged = Some(format!("198.18.{}.{}", bot.rng.below(255), bot.rng.range(1, 254)));
        bot.send(
            world,
            Ask::get(PRESS, format!("/story/{}-{number}", site::story_slug(number))).kind(Kind::Page),
        );
        bot.think(0.5);
    }
    bot.leave(world);
}

/// Prices of the whole catalogue, from a dozen households' addresses, with a browser's head and nothing that a page loads.
fn goods(world: &mut World) {
    let mut rng = world.rng("goods");
    let who = attacker("price-scraping", "price-scraper", "browser-like");
    let (start, end) = (world.part(0.27), world.part(0.5));
    let mut next = 7000;
    for _ in 0..world.many(13) {
        let at = rng.between(start, end);
        let recipe = chrome(&mut rng, "Windows NT 10.0; Win64; x64", "\"Windows\"", false);
        let mut bot = Agent::new(world, who, Net::Residential, recipe, &mut rng, at);
        for _ in 0..bot.rng.range(28, 44) {
            next = 7000 + (next - 7000 + 1) % 900;
            bot.send(world, Ask::get(SHOP, format!("/bff/goods/{next}")));
            bot.think(2.0);
        }
        bot.leave(world);
    }
}

/// Stock of one article in every ZIP code, from many addresses with a few requests each.
fn stock(world: &mut World) {
    let mut rng = world.rng("stock");
    let who = attacker("inventory-scraping", "zip-sweep", "app-like");
    let (start, end) = (world.part(0.3), world.part(0.95));
    let mut zip = 10_000;
    for _ in 0..world.many(230) {
        let at = rng.between(start, end);
        let net = rng
            .pick(&[Some(Net::Residential), Some(Net::ResidentialV6), Some(Net::Mobile)])
            .unwrap_or(Net::Mobile);
        let recipe = tool("Harborlight/6.2.0 (Android 14; SM-S921B) okhttp/5.1.0", FALSE_APP);
        let mut bot = Agent::new(world, who, net, recipe, &mut rng, at);
        for _ in 0..bot.rng.range(2, 4) {
            zip += 37;
            bot.send(world, Ask::get(APP, format!("/m/2/stores/stock?item=7042&zip={zip:05}")));
            bot.think(6.0);
        }
        bot.leave(world);
    }
}

/// A crawler for training data that robots.txt turned away.
fn corpus_bot(world: &mut World) {
    let mut rng = world.rng("corpus-bot");
    let who = attacker("ai-crawler", "corpus-bot", "crawler");
    for n in 0..world.many(3) {
        let recipe = tool("CorpusBot/1.0 (+https://corpus.example/bot)", HTTPX);
        let at = world.part(0.35) + 5.0 * n as f64;
        let mut bot = Agent::new(world, who, Net::AiCrawler, recipe, &mut rng, at);
        bot.send(world, Ask::get(SHOP, "/robots.txt"));
        for _ in 0..70 {
            let number = 7000 + bot.rng.below(900);
            bot.send(
                world,
                Ask::get(SHOP, format!("/goods/{}-{number}", site::slug(number))).kind(Kind::Page),
            );
            bot.think(1.4);
        }
        bot.leave(world);
    }
}

/// The name of a search engine from a rented machine.
fn false_crawler(world: &mut World) {
    let mut rng = world.rng("false-crawler");
    let who = attacker("fake-crawler", "false-seekbot", "crawler");
    let agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let at = world.part(0.4);
    let mut bot = Agent::new(world, who, Net::Hosting, tool(agent, CRAWLER), &mut rng, at);
    for _ in 0..world.many(120) {
        let number = 7000 + bot.rng.below(900);
        bot.send(world, Ask::get(SHOP, format!("/goods/{}-{number}", site::slug(number))).kind(Kind::Page));
        bot.think(1.2);
    }
    bot.leave(world);
}
