//! Honest people: in browsers, in the app, in an office, behind a carrier's NAT.

use serde_json::json;

use super::agent::Agent;
use super::ask::{Ask, Kind};
use super::facts::words;
use super::record::Who;
use super::site::{self, APP, BANK, CARDS, GRAPH, OPS, PRESS, ROOMS, SHOP};
use super::{Net, World, recipes};
use crate::Rng;

/// Runs all of them.
pub(crate) fn run(world: &mut World) {
    let mut rng = world.rng("people");
    for n in 0..world.many(110) {
        let (start, net) = (arrival(world, &mut rng), home(&mut rng));
        let recipe = recipes::browser(&mut rng);
        let agent =
            Agent::new(world, person("browser", "web-shopper", "browser"), net, recipe, &mut rng, start);
        shop(world, agent, n);
    }
    for n in 0..world.many(80) {
        let (start, net) =
            (arrival(world, &mut rng), if rng.percent(70.0) { Net::Mobile } else { home(&mut rng) });
        let old = n % 9 == 0;
        let recipe = recipes::app(&mut rng, old);
        let agent = Agent::new(
            world,
            person("mobile", if old { "old-app" } else { "app" }, "app"),
            net,
            recipe,
            &mut rng,
            start,
        );
        app(world, agent, 300 + n, old, n % 12 == 5);
    }
    for n in 0..world.many(30) {
        let start = arrival(world, &mut rng);
        let (net, recipe) = (home(&mut rng), recipes::browser(&mut rng));
        let agent =
            Agent::new(world, person("bank", "bank-customer", "browser"), net, recipe, &mut rng, start);
        bank(world, agent, 600 + n);
    }
    for _ in 0..world.many(45) {
        let start = arrival(world, &mut rng);
        let (net, recipe) = (home(&mut rng), recipes::browser(&mut rng));
        let agent =
            Agent::new(world, person("meeting", "meeting-guest", "browser"), net, recipe, &mut rng, start);
        meeting(world, agent);
    }
    for _ in 0..world.many(70) {
        let start = arrival(world, &mut rng);
        let (net, recipe) = (home(&mut rng), recipes::browser(&mut rng));
        let agent =
            Agent::new(world, person("reader", "press-reader", "browser"), net, recipe, &mut rng, start);
        read(world, agent);
    }
    few(world, &mut rng);
    office(world, &mut rng);
    carrier(world, &mut rng);
    sale(world, &mut rng);
}

fn few(world: &mut World, rng: &mut Rng) {
    for _ in 0..world.many(18) {
        let start = arrival(world, rng);
        let (net, recipe) = (home(rng), recipes::browser(rng));
        let agent =
            Agent::new(world, person("gift-card", "gift-card-owner", "browser"), net, recipe, rng, start);
        gift_card(world, agent);
    }
    for n in 0..world.many(10) {
        let start = arrival(world, rng);
        let (net, recipe) = (home(rng), recipes::browser(rng));
        let agent = Agent::new(world, person("forgetful", "forgetful", "browser"), net, recipe, rng, start);
        forgetful(world, agent, 900 + n);
    }
    for n in 0..world.many(14) {
        let start = arrival(world, rng);
        let (net, recipe) = (home(rng), recipes::browser(rng));
        let agent = Agent::new(world, person("sign-up", "new-member", "browser"), net, recipe, rng, start);
        newcomer(world, agent, n);
    }
}

/// An office: many people, one address, one of whom is from the back office.
fn office(world: &mut World, rng: &mut Rng) {
    let ip = world.addresses.take(Net::Office, rng);
    for n in 0..world.many(16) {
        let start = arrival(world, rng) * 0.7;
        let recipe = recipes::browser(rng);
        let mut agent = Agent::at(
            world,
            person("corporate-nat", "office-worker", "browser"),
            ip,
            Net::Office,
            recipe,
            rng,
            start,
        );
        let token = agent.rng.hex(16);
        agent.set_cookie(SHOP, "hl_visitor", token.clone());
        agent.set_cookie(PRESS, "hl_visitor", token.clone());
        agent.matched_by(world, "cookie", token);
        if n % 4 == 3 { read(world, agent) } else { shop(world, agent, 1200 + n) }
    }
    for _ in 0..3 {
        let recipe = recipes::browser(rng);
        let agent =
            Agent::new(world, person("back-office", "clerk", "browser"), Net::Inside, recipe, rng, 4.0);
        clerk(world, agent);
    }
}

/// A carrier's NAT: people with apps share two addresses.
fn carrier(world: &mut World, rng: &mut Rng) {
    let ips = [world.addresses.take(Net::CarrierNat, rng), world.addresses.take(Net::CarrierNat, rng)];
    for n in 0..world.many(26) {
        let start = arrival(world, rng);
        let recipe = recipes::app(rng, false);
        let ip = rng.pick(&[0, 1]);
        let Some(ip) = ips.get(ip) else { continue };
        let mut agent = Agent::at(
            world,
            person("carrier-nat", "app-on-carrier", "app"),
            *ip,
            Net::CarrierNat,
            recipe,
            rng,
            start,
        );
        let device = agent.device.clone();
        agent.matched_by(world, "x-device", device);
        app(world, agent, 1500 + n, false, false);
    }
}

/// People who wait for the sale.
fn sale(world: &mut World, rng: &mut Rng) {
    for n in 0..world.many(24) {
        let start = world.site.sale_at - rng.between(15.0, 90.0);
        let (net, recipe) = (home(rng), recipes::browser(rng));
        let mut agent =
            Agent::new(world, person("hype-buyer", "sale-visitor", "browser"), net, recipe, rng, start);
        agent.visit(world, SHOP, "/drops/lighthouse-7");
        sign_in(world, &mut agent, 1800 + n);
        agent.visit(world, SHOP, "/drops/lighthouse-7");
        agent.now = agent.now.max(world.site.sale_at + agent.rng.between(0.4, 5.0));
        for _ in 0..agent.rng.range(1, 3) {
            let claim = Ask::post(SHOP, "/bff/drops/lighthouse-7/claim").json(&json!({"pieces": 1}));
            let reply = agent.send(world, claim);
            agent.think(2.5);
            if reply.status == 201 {
                pay(world, &mut agent);
                break;
            }
        }
        agent.leave(world);
    }
}

pub(super) fn shop(world: &mut World, mut agent: Agent, who: usize) {
    let visitor = agent.rng.hex(20);
    agent.set_cookie(SHOP, "hl_basket", visitor);
    agent.visit(world, SHOP, "/");
    agent.send(world, Ask::get(SHOP, "/bff/session"));
    let signs_in = agent.rng.percent(55.0);
    if signs_in {
        agent.think(5.0);
        sign_in(world, &mut agent, who);
    }
    for _ in 0..agent.rng.range(2, 6) {
        look_around(world, &mut agent);
        if agent.now > world.options.seconds {
            break;
        }
    }
    if signs_in && agent.rng.percent(60.0) {
        buy(world, &mut agent, who);
    }
    agent.leave(world);
}

fn look_around(world: &mut World, agent: &mut Agent) {
    agent.think(7.0);
    match agent.rng.index(4) {
        0 => {
            let term = words(&mut agent.rng, 1);
            agent
                .send(world, Ask::get(SHOP, format!("/bff/suggest?term={}", term.get(..3).unwrap_or("oak"))));
            agent.visit(world, SHOP, format!("/find?term={term}"));
        }
        1 => {
            let name = agent.rng.pick(&["lamps", "sails", "ropes", "charts", "wool"]);
            let page = agent.rng.range(1, 4);
            agent.visit(world, SHOP, format!("/collections/{name}?p={page}"));
        }
        _ => {
            let number = 7000 + agent.rng.below(900);
            agent.visit(world, SHOP, format!("/goods/{}-{number}", site::slug(number)));
            agent.send(world, Ask::get(SHOP, format!("/bff/goods/{number}")));
            agent.send(world, Ask::get(SHOP, format!("/bff/goods/{number}/opinions")));
            if agent.rng.percent(35.0) {
                agent.think(6.0);
                let line = json!({"pid": number, "pieces": agent.rng.range(1, 3)});
                agent.send(world, Ask::post(SHOP, "/bff/basket/lines").json(&line));
            }
        }
    }
    let seen = json!({"event": "view", "at": (agent.now * 1000.0) as u64, "depth": agent.rng.below(100)});
    agent.send(world, Ask::post(SHOP, "/bff/beacon").json(&seen));
    if agent.rng.percent(20.0) {
        let query = json!({"operationName": "Goods", "query": "query Goods($n:Int){goods(first:$n){edges{node{pid title price{minor}}}}}", "variables": {"n": 5}});
        agent.send(world, Ask::post(GRAPH, "/query").json(&query));
    }
}

fn sign_in(world: &mut World, agent: &mut Agent, who: usize) {
    let person = world.site.person(who);
    agent.visit(world, SHOP, "/signin");
    agent.think(9.0);
    let csrf = agent.rng.hex(24);
    let mistyped = agent.rng.percent(12.0);
    let email = person.email.replace('@', "%40");
    if mistyped {
        let form = format!("who={email}&phrase={}x&csrf={csrf}", person.password);
        agent.send(world, Ask::post(SHOP, "/signin").form(form).kind(Kind::Page));
        agent.think(8.0);
    }
    let form = format!("who={email}&phrase={}&csrf={csrf}", person.password);
    agent.send(world, Ask::post(SHOP, "/signin").form(form).kind(Kind::Page));
    agent.visit(world, SHOP, "/my");
    agent.send(world, Ask::get(SHOP, "/bff/session"));
    agent.send(world, Ask::get(SHOP, "/bff/profile"));
}

fn buy(world: &mut World, agent: &mut Agent, who: usize) {
    agent.send(world, Ask::get(SHOP, "/bff/basket"));
    agent.think(10.0);
    pay(world, agent);
    agent.send(world, Ask::get(SHOP, "/bff/purchases"));
    agent.think(4.0);
    for n in 0..agent.rng.index(3) {
        agent.send(world, Ask::get(SHOP, format!("/bff/purchases/{}", site::reference(who, n))));
        agent.think(5.0);
    }
}

fn pay(world: &mut World, agent: &mut Agent) {
    let index = agent.rng.index(1000);
    let p = world.site.person(index);
    let body = json!({"card": {"pan": p.card, "holder": p.name(), "expires": "09/29", "cvv": agent.rng.digits(3)}, "ship": {"street": p.street, "city": p.city, "zip": p.zip}, "contact": p.email});
    agent.send(world, Ask::post(SHOP, "/bff/purchase").json(&body));
}

fn app(world: &mut World, mut agent: Agent, who: usize, old: bool, flaky: bool) {
    let version = if old { 1 } else { 2 };
    let device = agent.device.clone();
    let ask = |ask: Ask| ask.header("X-Device", device.clone());
    agent.send(world, ask(Ask::get(APP, format!("/m/{version}/config"))));
    agent.send(world, ask(Ask::get(APP, format!("/m/{version}/feed?cursor=0"))));
    let p = world.site.person(who);
    if agent.rng.percent(70.0) {
        agent.think(4.0);
        let tries = if flaky { 2 } else { 1 };
        for n in 0..tries {
            let secret = if n + 1 < tries { format!("{}1", p.password) } else { p.password.clone() };
            let body = json!({"login": p.email, "secret": secret, "device": device});
            let reply = agent.send(world, ask(Ask::post(APP, format!("/m/{version}/session")).json(&body)));
            let token = reply.text("/access");
            agent.bearer = (!token.is_empty()).then_some(token);
            agent.think(5.0);
        }
        agent.send(world, ask(Ask::get(APP, format!("/m/{version}/profile"))));
        let token = json!({"token": agent.rng.base64(64)});
        agent.send(world, ask(Ask::post(APP, format!("/m/{version}/push-tokens")).json(&token)));
    }
    for n in 0..agent.rng.range(3, 9) {
        agent.think(8.0);
        if agent.now > world.options.seconds {
            break;
        }
        app_step(world, &mut agent, &ask, version, who, n);
    }
    agent.leave(world);
}

fn app_step(world: &mut World, agent: &mut Agent, ask: &dyn Fn(Ask) -> Ask, version: u8, who: usize, n: u64) {
    let signed_in = agent.bearer.is_some();
    let path = match agent.rng.index(7) {
        0 => format!("/m/{version}/feed?cursor={}", agent.rng.hex(10)),
        1 | 2 => format!("/m/{version}/items/{}", 7000 + agent.rng.below(900)),
        3 => format!(
            "/m/{version}/stores/stock?zip={}&item={}",
            world.site.person(who).zip,
            7000 + agent.rng.below(900)
        ),
        4 if signed_in => format!("/m/{version}/orders"),
        5 if signed_in => format!("/m/{version}/orders/{}", site::order_of(who, (n % 3) as usize)),
        _ => {
            let body = json!({"events": [{"name": "screen", "at": (agent.now * 1000.0) as u64}], "battery": agent.rng.below(100)});
            agent.send(world, ask(Ask::post(APP, format!("/m/{version}/telemetry")).json(&body)));
            return;
        }
    };
    agent.send(world, ask(Ask::get(APP, path)));
    if signed_in && n == 4 {
        let body = json!({"item": 7000 + agent.rng.below(900), "count": 1});
        agent.send(world, ask(Ask::post(APP, format!("/m/{version}/basket")).json(&body)));
        agent.think(6.0);
        agent.send(
            world,
            ask(Ask::post(APP, format!("/m/{version}/checkout")).json(&json!({"pay": "stored"}))),
        );
    }
}

fn bank(world: &mut World, mut agent: Agent, who: usize) {
    let p = world.site.person(who);
    let form = format!(
        "grant_type=password&username={}&password={}&client_id=web",
        p.email.replace('@', "%40"),
        p.password
    );
    let reply = agent.send(world, Ask::post(BANK, "/oauth2/token").form(form));
    agent.bearer = Some(reply.text("/access_token")).filter(|t| !t.is_empty());
    agent.send(world, Ask::get(BANK, "/psd/me"));
    agent.send(world, Ask::get(BANK, "/psd/accounts"));
    for n in 0..agent.rng.range(1, 4) {
        agent.think(14.0);
        agent.send(
            world,
            Ask::get(BANK, format!("/psd/accounts/{}/entries?from=2026-0{}-01", site::account_of(&p), 9 - n)),
        );
    }
    if agent.rng.percent(35.0) {
        agent.send(world, Ask::get(BANK, "/psd/payees"));
        agent.think(20.0);
        transfer(world, &mut agent, &site::code_of(&p), 9.0);
    }
    agent.leave(world);
}

/// Orders a transfer and confirms it with the code.
pub(crate) fn transfer(world: &mut World, agent: &mut Agent, code: &str, pause: f64) {
    let iban = super::facts::iban(&mut agent.rng);
    let body = json!({"creditor": {"name": "Farrow Gas", "iban": iban}, "amount": {"value": agent.rng.range(9, 900), "currency": "EUR"}, "text": words(&mut agent.rng, 2)});
    agent.send(world, Ask::post(BANK, "/psd/transfers").json(&body));
    agent.think(pause);
    let number = agent.rng.range(48_213_000, 48_219_999);
    agent.send(
        world,
        Ask::post(BANK, format!("/psd/transfers/{number}/confirm")).json(&json!({"code": code})),
    );
}

fn meeting(world: &mut World, mut agent: Agent) {
    let code = agent.rng.range(2_500_000, 24_000_000) * 41;
    agent.visit(world, ROOMS, format!("/r/{code:09}"));
    agent.send(world, Ask::get(ROOMS, format!("/v3/rooms/{code:09}")));
    agent.think(6.0);
    let guest = json!({"name": words(&mut agent.rng, 1), "mic": true});
    agent.send(world, Ask::post(ROOMS, format!("/v3/rooms/{code:09}/join")).json(&guest));
    agent.leave(world);
}

fn read(world: &mut World, mut agent: Agent) {
    agent.visit(world, PRESS, "/");
    for _ in 0..agent.rng.range(1, 6) {
        agent.think(18.0);
        let number = 3000 + agent.rng.below(1000);
        agent.visit(world, PRESS, format!("/story/{}-{number}", site::story_slug(number)));
        if agent.rng.percent(40.0) {
            agent.send(world, Ask::get(PRESS, format!("/v1/stories/{number}/comments")));
        }
    }
    agent.leave(world);
}

fn gift_card(world: &mut World, mut agent: Agent) {
    agent.visit(world, CARDS, "/");
    agent.think(15.0);
    let known = 97 * agent.rng.range(65_742_268_041_238, 65_752_577_319_586);
    let number = if agent.rng.percent(80.0) { known } else { known + 3 };
    let pin = agent.rng.digits(4);
    agent.send(
        world,
        Ask::post(CARDS, "/v1/balance").json(&json!({"number": number.to_string(), "pin": pin})),
    );
    agent.leave(world);
}

fn forgetful(world: &mut World, mut agent: Agent, who: usize) {
    let p = world.site.person(who);
    let email = p.email.replace('@', "%40");
    agent.visit(world, SHOP, "/signin");
    for n in 0..agent.rng.range(2, 5) {
        agent.think(11.0);
        let form = format!("who={email}&phrase={}{n}&csrf={}", p.password, agent.rng.hex(24));
        agent.send(world, Ask::post(SHOP, "/signin").form(form).kind(Kind::Page));
    }
    agent.think(12.0);
    agent.send(world, Ask::post(SHOP, "/password/forgot").json(&json!({"email": p.email})));
    agent.think(40.0);
    let key = agent.rng.base64(43);
    agent.visit(world, SHOP, format!("/password/new?key={key}"));
    agent.leave(world);
}

fn newcomer(world: &mut World, mut agent: Agent, n: usize) {
    agent.visit(world, SHOP, "/");
    agent.think(10.0);
    agent.visit(world, SHOP, "/join");
    agent.think(35.0);
    let p = world.site.person(50_000 + n);
    let body = json!({"email": p.email, "password": p.password, "name": p.name(), "birthday": p.birth, "newsletter": agent.rng.percent(30.0)});
    agent.send(world, Ask::post(SHOP, "/join").json(&body));
    agent.visit(world, SHOP, "/my");
    for _ in 0..2 {
        look_around(world, &mut agent);
    }
    agent.leave(world);
}

fn clerk(world: &mut World, mut agent: Agent) {
    let login = super::facts::base64url(format!("clerk:{}", agent.rng.base64(10)).as_bytes());
    let ask = |ask: Ask| ask.header("Authorization", format!("Basic {login}"));
    agent.send(world, ask(Ask::get(OPS, "/ops")));
    while agent.now < world.options.seconds * 0.9 {
        let n = agent.rng.index(900);
        agent.send(world, Ask::get(OPS, format!("/ops/customers?offset={n}")));
        agent.think(9.0);
        agent.send(world, ask(Ask::get(OPS, format!("/ops/customers/{n}"))));
        agent.think(25.0);
        if agent.rng.percent(40.0) {
            let note = json!({"text": words(&mut agent.rng, 8)});
            agent.send(world, ask(Ask::post(OPS, format!("/ops/customers/{n}/notes")).json(&note)));
        }
    }
    agent.leave(world);
}

fn person(class: &'static str, actor: &'static str, tool: &'static str) -> Who {
    Who { label: "benign", class, actor, campaign: "", tool }
}

fn arrival(world: &World, rng: &mut Rng) -> f64 {
    rng.between(0.0, world.options.seconds * 0.88)
}

pub(super) fn home(rng: &mut Rng) -> Net {
    rng.pick(&[
        Some(Net::Residential),
        Some(Net::Residential),
        Some(Net::Residential),
        Some(Net::ResidentialV6),
        Some(Net::Mobile),
    ])
    .unwrap_or(Net::Residential)
}
