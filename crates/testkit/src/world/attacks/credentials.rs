//! Credential stuffing, fake accounts, forgotten passwords, one-time codes.

use serde_json::json;

use super::{attacker, leaked};
use crate::world::agent::Agent;
use crate::world::ask::{Ask, Kind};
use crate::world::facts::{Person, words};
use crate::world::recipes::{FALSE_APP, GO, HTTPX, NODE, browser, chrome, tool};
use crate::world::site::{APP, BANK, SHOP};
use crate::world::{Net, World};

pub(super) fn run(world: &mut World) {
    stuffing_loud(world);
    stuffing_slow(world);
    stuffing_web(world);
    fake_accounts(world);
    reset_enumeration(world);
    sms_pumping(world);
    code_cracking(world);
}

/// One machine, the bank's token endpoint, hundreds of tries.
fn stuffing_loud(world: &mut World) {
    let mut rng = world.rng("stuffing-loud");
    let who = attacker("credential-stuffing", "stuffing-loud", "go");
    let start = world.part(0.22);
    let mut bot = Agent::new(world, who, Net::Hosting, tool("Go-http-client/1.1", GO), &mut rng, start);
    for _ in 0..world.many(380) {
        let (email, password) = leaked(world, &mut rng, 4.0);
        let form = format!(
            "client_id=web&grant_type=password&password={password}&username={}",
            email.replace('@', "%40")
        );
        bot.send(world, Ask::post(BANK, "/oauth2/token").form(form));
        bot.think(0.12);
    }
    bot.leave(world);
}

/// Hundreds of household addresses with one or two tries each, under the name of the app.
fn stuffing_slow(world: &mut World) {
    let mut rng = world.rng("stuffing-slow");
    let who = attacker("credential-stuffing", "stuffing-slow", "openbullet-like");
    let (start, end) = (world.part(0.25), world.part(0.97));
    for _ in 0..world.many(330) {
        let at = rng.between(start, end);
        let net = rng
            .pick(&[Some(Net::Residential), Some(Net::Residential), Some(Net::Mobile)])
            .unwrap_or(Net::Residential);
        let recipe = tool("Harborlight/6.2.1 (Android 15; Pixel 9) okhttp/5.1.0", FALSE_APP);
        let mut bot = Agent::new(world, who, net, recipe, &mut rng, at);
        bot.recipe.keeps_alive = false;
        for _ in 0..bot.rng.range(1, 2) {
            let (email, password) = leaked(world, &mut rng, 6.0);
            let body = json!({"login": email, "secret": password, "device": bot.device});
            let reply = bot.send(world, Ask::post(APP, "/m/2/session").json(&body));
            if reply.status == 201 {
                bot.bearer = Some(reply.text("/access"));
                bot.send(world, Ask::get(APP, "/m/2/profile"));
                bot.bearer = None;
            }
            bot.think(20.0);
        }
        bot.leave(world);
    }
}

/// The form of the web shop, from rented proxies, with heads that follow a browser's.
fn stuffing_web(world: &mut World) {
    let mut rng = world.rng("stuffing-web");
    let who = attacker("credential-stuffing", "stuffing-web", "browser-like");
    let (start, end) = (world.part(0.3), world.part(0.9));
    for _ in 0..world.many(45) {
        let at = rng.between(start, end);
        let recipe = chrome(&mut rng, "Windows NT 10.0; Win64; x64", "\"Windows\"", false);
        let mut bot = Agent::new(world, who, Net::Proxies, recipe, &mut rng, at);
        for _ in 0..bot.rng.range(3, 6) {
            bot.send(world, Ask::get(SHOP, "/signin").kind(Kind::Page));
            let (email, password) = leaked(world, &mut rng, 5.0);
            let form =
                format!("who={}&phrase={password}&csrf={}", email.replace('@', "%40"), bot.rng.hex(24));
            bot.send(world, Ask::post(SHOP, "/signin").form(form).kind(Kind::Page));
            bot.think(4.0);
        }
        bot.leave(world);
    }
}

/// Accounts by the dozen, each cashing in the voucher of new members.
fn fake_accounts(world: &mut World) {
    let mut rng = world.rng("fake-accounts");
    let who = attacker("fake-account-creation", "fake-members", "node");
    let (start, end) = (world.part(0.28), world.part(0.92));
    let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36";
    for n in 0..world.many(42) {
        let at = rng.between(start, end);
        let net = if n % 3 == 0 { Net::Residential } else { Net::Proxies };
        let mut bot = Agent::new(world, who, net, tool(agent, NODE), &mut rng, at);
        for _ in 0..bot.rng.range(1, 2) {
            let email = format!(
                "{}{}{}@tempbox.example",
                words(&mut bot.rng, 1),
                words(&mut bot.rng, 1),
                bot.rng.digits(4)
            );
            let body = json!({"email": email, "password": "Sommer2026!x", "name": "Jo Doe", "birthday": "1990-01-01", "newsletter": true});
            bot.send(world, Ask::post(SHOP, "/join").json(&body));
            bot.think(1.2);
            let code = format!("HELLO-{}", bot.rng.text(b"ACEHKMPRTX", 6));
            bot.send(world, Ask::post(SHOP, "/bff/vouchers/redeem").json(&json!({"code": code})));
            bot.think(3.0);
        }
        bot.leave(world);
    }
}

/// Which addresses have an account? The reset form tells.
fn reset_enumeration(world: &mut World) {
    let mut rng = world.rng("reset-enumeration");
    let who = attacker("password-reset-enumeration", "reset-walk", "httpx");
    let (start, end) = (world.part(0.35), world.part(0.75));
    for _ in 0..world.many(18) {
        let at = rng.between(start, end);
        let mut bot = Agent::new(world, who, Net::Proxies, tool("python-httpx/0.28.1", HTTPX), &mut rng, at);
        for _ in 0..bot.rng.range(7, 11) {
            let (email, _) = leaked(world, &mut rng, 12.0);
            bot.send(world, Ask::post(SHOP, "/password/forgot").json(&json!({"email": email})));
            bot.think(5.0);
        }
        bot.leave(world);
    }
}

/// Text messages to numbers whose owner is paid for each.
fn sms_pumping(world: &mut World) {
    let mut rng = world.rng("sms-pumping");
    let who = attacker("otp-abuse", "sms-pumping", "app-like");
    let start = world.part(0.4);
    for n in 0..world.many(7) {
        let recipe = tool("Harborlight/6.1.0 (Android 13; SM-A136B) okhttp/4.9.3", FALSE_APP);
        let mut bot = Agent::new(world, who, Net::Proxies, recipe, &mut rng, start + 4.0 * n as f64);
        let prefix = bot.rng.digits(3);
        for step in 0..bot.rng.range(16, 26) {
            let phone = format!("+88213{prefix}{:04}", 40 + step * 3);
            let body = json!({"phone": phone, "purpose": "verify", "device": bot.device});
            bot.send(world, Ask::post(APP, "/m/2/otp/send").json(&body));
            bot.think(4.5);
        }
        bot.leave(world);
    }
}

/// Codes for one stolen login at the bank, one after the other, from a handful of addresses.
fn code_cracking(world: &mut World) {
    let mut rng = world.rng("code-cracking");
    let who = attacker("token-cracking", "code-cracking", "browser-like");
    let victim: Person = world.site.person(1999);
    let mut code = 104_000;
    for n in 0..world.many(4) {
        let at = world.part(0.45) + 9.0 * n as f64;
        let recipe = browser(&mut rng);
        let mut bot = Agent::new(world, who, Net::Proxies, recipe, &mut rng, at);
        let form = format!(
            "grant_type=password&username={}&password={}&client_id=web",
            victim.email.replace('@', "%40"),
            victim.password
        );
        let reply = bot.send(world, Ask::post(BANK, "/oauth2/token").form(form));
        bot.bearer = Some(reply.text("/access_token"));
        for _ in 0..40 {
            code += 7;
            let number = 48_213_999;
            bot.send(
                world,
                Ask::post(BANK, format!("/psd/transfers/{number}/confirm"))
                    .json(&json!({"code": code.to_string()})),
            );
            bot.think(1.1);
        }
        bot.leave(world);
    }
}
