//! The web shop: pages, and the API behind them.

use serde_json::{Value, json};

use super::catalog::{goods, page, slug};
use super::{Req, Resp, Site, asset, missing, problem};
use crate::Rng;
use crate::world::facts::{prose, words};

impl Site {
    pub(super) fn shop(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if let Some(resp) = asset(req) {
            return resp;
        }
        let segments = req.segments();
        match (req.method, segments.as_slice()) {
            (_, ["bff", rest @ ..]) => self.shop_api(req, rest, rng),
            ("GET" | "HEAD", [""]) => Resp::html(200, "Lights and sails", &self.tiles("home", 1)).slow(0.03),
            ("GET", ["collections", name]) => {
                let number = req.query("p").parse().unwrap_or(1);
                Resp::html(200, name, &self.tiles(name, number)).slow(0.035)
            }
            ("GET", ["goods", name]) => self.goods_page(name, rng),
            ("GET", ["find"]) => find(req.query, rng),
            (_, ["signin"]) => self.sign_in(req, rng),
            ("POST", ["join"]) => self.join(req, rng),
            ("GET", ["join"]) => Resp::html(200, "Join", "<h1>Become a member</h1><form id=\"join\"></form>"),
            ("POST", ["password", "forgot"]) => self.forgot(req, rng),
            ("GET", ["password", "new"]) => self.reset_form(req, rng),
            ("GET", ["my"]) => match self.whose(req.cookie("hl_session")) {
                Some(person) => Resp::html(200, "My account", &format!("<h1>Hello {}</h1>", person.first)),
                None => Resp::to(302, "/signin"),
            },
            ("GET", ["drops", name]) => {
                Resp::html(200, name, "<h1>Lighthouse No. 7, 120 pieces</h1><div id=\"drop\"></div>")
            }
            ("GET", ["robots.txt"]) => Resp::new(
                200,
                "text/plain",
                b"User-agent: *\nDisallow: /my\nDisallow: /bff/\n\nUser-agent: CorpusBot\nDisallow: /\n"
                    .to_vec(),
            ),
            ("GET", ["sitemap.xml"]) => sitemap(),
            (_, ["health", "live"]) => Resp::new(200, "text/plain", b"ok\n".to_vec()),
            ("GET", ["internal", "env"]) => leaked_environment(rng),
            ("GET", [".well-known", "security.txt"]) => {
                Resp::new(200, "text/plain", b"Contact: mailto:security@harborlight.example\n".to_vec())
            }
            _ => missing(rng),
        }
    }

    fn shop_api(&mut self, req: &Req<'_>, path: &[&str], rng: &mut Rng) -> Resp {
        let person = self.whose(req.cookie("hl_session"));
        let basket = req.cookie("hl_basket").unwrap_or("none").to_owned();
        match (req.method, path) {
            ("GET", ["session"]) => match person {
                Some(p) => {
                    Resp::json(200, &json!({"signedIn": true, "displayName": p.name(), "tier": "blue"}))
                }
                None => Resp::json(200, &json!({"signedIn": false})),
            },
            ("GET", ["goods", number]) => match number.parse() {
                Ok(n @ 7000..7900) => {
                    Resp::json(200, &json!({"goods": goods(n), "delivery": {"days": 3, "fee": 490}}))
                }
                _ => problem(404, "no-such-goods", rng),
            },
            ("GET", ["goods", number, "opinions"]) => opinions(number, rng),
            ("GET", ["suggest"]) => Resp::json(
                200,
                &json!({"for": req.query("term"), "terms": [words(rng, 2), words(rng, 2), words(rng, 1)]}),
            ),
            ("POST", ["basket", "lines"]) => {
                let line = json!({"line": self.next(), "what": serde_json::from_slice::<Value>(req.body).unwrap_or_default()});
                let lines = self.baskets.entry(basket).or_default();
                lines.push(line);
                Resp::json(201, &json!({"lines": lines, "sum": lines.len() * 1990}))
            }
            ("GET", ["basket"]) => Resp::json(200, &json!({"lines": self.baskets.get(&basket)})),
            ("POST", ["beacon"]) => Resp { delay: 0.004, ..Resp::empty(204) },
            ("POST", ["vouchers", "redeem"]) => redeem(req, rng),
            ("POST", ["drops", _, "claim"]) => self.claim(req, rng),
            (_, ["purchases" | "profile" | "purchase", ..]) => match person {
                Some(person) => self.purchases(req, path, person.number, rng),
                None => problem(401, "sign-in-required", rng),
            },
            _ => problem(404, "no-such-resource", rng),
        }
    }

    fn purchases(&mut self, req: &Req<'_>, path: &[&str], who: usize, rng: &mut Rng) -> Resp {
        let p = self.person(who);
        match (req.method, path) {
            ("POST", ["purchase"]) => {
                let reference = format!("HL-{}", self.next());
                Resp::json(
                    201,
                    &json!({"reference": reference, "state": "paid", "charged": {"pan": mask(&p.card)}}),
                )
                .slow(0.2)
            }
            ("GET", ["profile"]) => Resp::json(
                200,
                &json!({"name": p.name(), "email": p.email, "phone": p.phone, "ship": {"street": p.street, "city": p.city, "zip": p.zip}}),
            ),
            ("GET", ["purchases"]) => {
                let list: Vec<Value> = (0..4).map(|n| json!({"reference": reference(who, n), "sum": 1990 + n * 511, "state": "delivered"})).collect();
                Resp::json(200, &json!({"purchases": list}))
            }
            // The flaw: the whole card number comes back.
            ("GET", ["purchases", reference]) => Resp::json(
                200,
                &json!({
                    "reference": reference, "state": "delivered", "goods": goods(7000 + rng.below(900)),
                    "paid": {"cardholder": p.name(), "pan": p.card, "expires": "09/29"},
                    "ship": {"street": p.street, "city": p.city, "zip": p.zip, "phone": p.phone},
                }),
            ),
            _ => problem(405, "method-not-allowed", rng),
        }
    }

    /// Claims one of the pieces of a sale: open for a short time only.
    fn claim(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        let since = req.now - self.sale_at;
        if since < 0.0 {
            problem(425, "not-yet", rng)
        } else if since < 14.0 && rng.percent(70.0) {
            Resp::json(201, &json!({"claim": self.next(), "hold_minutes": 8})).slow(0.09)
        } else {
            problem(409, "all-gone", rng)
        }
    }

    fn tiles(&self, name: &str, number: u64) -> String {
        let tiles = page(name, number).map(|n| {
            let g = goods(n);
            format!(
                "<article><a href=\"/goods/{}-{n}\">{}</a><b>{}</b></article>",
                slug(n),
                g["title"].as_str().unwrap_or_default(),
                g["price"]["minor"]
            )
        });
        tiles.collect()
    }

    fn goods_page(&self, name: &str, rng: &mut Rng) -> Resp {
        match name.rsplit_once('-').and_then(|(_, n)| n.parse::<u64>().ok()) {
            Some(n @ 7000..7900) => {
                let g = goods(n);
                let text =
                    format!("<h1>{}</h1><p>{}</p><b>{}</b>", g["title"], g["blurb"], g["price"]["minor"]);
                Resp::html(200, &slug(n), &text).slow(0.03)
            }
            _ => missing(rng),
        }
    }
}

/// The search: it hands quotes to the database, and says so.
fn find(query: &str, rng: &mut Rng) -> Resp {
    let lower = query.to_ascii_lowercase();
    if lower.contains("sleep%28") || lower.contains("sleep(") {
        return Resp::html(200, "Search", "<p>No hits</p>").slow(5.0);
    }
    if lower.contains("%27") && rng.percent(60.0) {
        let text = "<h1>Something broke</h1><pre>org.postgresql.util.PSQLException: ERROR: unterminated quoted string at or near \"'\" Position: 61</pre>";
        return Resp::html(500, "Error", text);
    }
    Resp::html(200, "Search", &format!("<p>{} hits</p><ul><li>{}</li></ul>", rng.below(40), prose(rng, 3)))
        .slow(0.05)
}

fn opinions(number: &str, rng: &mut Rng) -> Resp {
    let one = |n: u64, rng: &mut Rng| json!({"by": words(rng, 1), "stars": 1 + n % 5, "text": prose(rng, 2)});
    let list: Vec<Value> = (0..rng.range(1, 6)).map(|n| one(n, rng)).collect();
    Resp::json(200, &json!({"pid": number, "opinions": list}))
}

fn redeem(req: &Req<'_>, rng: &mut Rng) -> Resp {
    if req.json("/code").starts_with("HELLO-") {
        Resp::json(200, &json!({"credited": 500}))
    } else {
        problem(422, "voucher-invalid", rng)
    }
}

fn sitemap() -> Resp {
    let list: String = page("map", 1)
        .map(|n| format!("<url><loc>https://www.harborlight.example/goods/{}-{n}</loc></url>", slug(n)))
        .collect();
    Resp::new(200, "application/xml", format!("<?xml version=\"1.0\"?><urlset>{list}</urlset>").into_bytes())
}

/// A debugging endpoint that somebody forgot.
fn leaked_environment(rng: &mut Rng) -> Resp {
    let key = rng.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16);
    let secret = rng.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+", 40);
    Resp::json(
        200,
        &json!({"profile": "prod", "env": {"AWS_ACCESS_KEY_ID": format!("AKIA{key}"), "AWS_SECRET_ACCESS_KEY": secret, "DB_URL": format!("postgres://shop:{}@10.61.2.4/shop", rng.base64(14))}}),
    )
}

/// The reference of the `n`th purchase of somebody.
pub(crate) fn reference(who: usize, n: usize) -> String {
    format!("HL-{}", 47_000_000 + who * 37 + n * 11)
}

fn mask(card: &str) -> String {
    format!("**** {}", card.get(card.len().saturating_sub(4)..).unwrap_or_default())
}
