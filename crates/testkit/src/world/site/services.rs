//! Gift cards, GraphQL, partners, the back office and video meetings.

use serde_json::{Value, json};

use super::catalog::goods;
use super::{Req, Resp, Site, asset, missing};
use crate::Rng;
use crate::world::facts::{Person, words};

impl Site {
    pub(super) fn gift_cards(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if let Some(resp) = asset(req) {
            return resp;
        }
        match (req.method, req.path) {
            ("POST", "/v1/balance") => {
                let (number, pin) = (req.json("/number"), req.json("/pin"));
                if is_gift_card(&number, &pin) {
                    Resp::json(
                        200,
                        &json!({"card": {"ending": &number[number.len() - 4..], "value": rng.range(5, 100) * 100, "unit": "EUR"}}),
                    )
                } else {
                    Resp::json(200, &json!({"card": null, "message": "We cannot find this card"}))
                }
            }
            ("GET", "/") => {
                Resp::html(200, "Gift cards", "<h1>How much is on my card?</h1><form id=\"balance\"></form>")
            }
            _ => missing(rng),
        }
    }

    pub(super) fn graph(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if req.path != "/query" {
            return missing(rng);
        }
        let person = self.whose(req.bearer());
        let body: Value = serde_json::from_slice(req.body).unwrap_or_default();
        let data = match (body["operationName"].as_str().unwrap_or_default(), person) {
            ("Viewer", Some(p)) => {
                json!({"viewer": {"id": format!("cus_{}", p.number), "email": p.email, "phone": p.phone, "dateOfBirth": p.birth, "addresses": [{"line1": p.street, "city": p.city, "postcode": p.zip}]}})
            }
            ("Goods", _) => {
                json!({"goods": {"edges": (0..5).map(|_| json!({"node": goods(7000 + rng.below(900))})).collect::<Vec<_>>()}})
            }
            ("AddWish", Some(_)) => json!({"addWish": {"ok": true, "id": rng.hex(10)}}),
            ("Introspection", _) => {
                json!({"__schema": {"types": [{"name": "Customer"}, {"name": "Goods"}, {"name": "PaymentMethod"}]}})
            }
            _ => {
                return Resp::json(
                    200,
                    &json!({"errors": [{"message": "Not signed in", "extensions": {"code": "UNAUTHENTICATED"}}]}),
                );
            }
        };
        Resp::json(200, &json!({"data": data})).slow(0.03)
    }

    /// Keys come in a header, of the oldest partner in the query.
    pub(super) fn partners(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if req.line("x-partner-key").is_none()
            && req.query("apikey").is_empty()
            && req.path != "/ws/StockService"
        {
            return Resp::json(401, &json!({"fault": "key required"}));
        }
        let segments = req.segments();
        match (req.method, segments.as_slice()) {
            ("GET", ["feed", "v1", "items"]) => {
                let from: u64 = req.query("after").parse().unwrap_or(0);
                Resp::json(200, &json!({"items": (0..10).map(|n| goods(7000 + (from + n) % 900)).collect::<Vec<_>>(), "after": from + 10})).slow(0.05)
            }
            ("GET", ["feed", "v1", "stock", sku]) => Resp::json(
                200,
                &json!({"sku": sku, "free": rng.below(400), "hub": rng.pick(&["NL2", "DE1"])}),
            ),
            ("POST", ["feed", "v1", "shipments"]) => Resp::json(202, &json!({"accepted": self.next()})),
            ("GET", ["feed", "v1", "shipments", id]) => {
                let p = self.person(id.len() * 31 + rng.index(self.people));
                Resp::json(
                    200,
                    &json!({"shipment": id, "to": {"name": p.name(), "street": p.street, "zip": p.zip, "phone": p.phone}}),
                )
            }
            ("POST", ["ws", "StockService"]) => {
                let text = format!(
                    "<?xml version=\"1.0\"?><soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body><GetStockResponse><Quantity>{}</Quantity></GetStockResponse></soap:Body></soap:Envelope>",
                    rng.below(90)
                );
                Resp::new(200, "text/xml; charset=utf-8", text.into_bytes()).slow(0.06)
            }
            _ => Resp::json(404, &json!({"fault": "unknown resource"})),
        }
    }

    /// The back office. Its customer search asks nobody who he is.
    pub(super) fn back_office(&mut self, req: &Req<'_>) -> Resp {
        if let Some(resp) = asset(req) {
            return resp;
        }
        let segments = req.segments();
        match (req.method, segments.as_slice()) {
            ("GET", ["ops", "customers"]) => {
                let from = req.query("offset").parse().unwrap_or(0);
                let list: Vec<Value> = (from..from + 8).map(|n| customer(&self.person(n))).collect();
                Resp::json(200, &json!({"customers": list, "total": self.people})).slow(0.06)
            }
            _ if req.line("authorization").is_none() => {
                Resp::json(401, &json!({"error": "login"})).with("WWW-Authenticate", "Basic realm=\"ops\"")
            }
            ("GET", ["ops"]) => Resp::html(200, "Back office", "<h1>Back office</h1>"),
            ("GET", ["ops", "customers", n]) => {
                Resp::json(200, &customer(&self.person(n.parse().unwrap_or(0))))
            }
            ("POST", ["ops", "customers", _, "notes"]) => Resp::json(201, &json!({"note": self.next()})),
            ("POST", ["ops", "refunds"]) => {
                Resp::json(201, &json!({"refund": self.next(), "state": "queued"})).slow(0.08)
            }
            _ => Resp::json(404, &json!({"error": "unknown"})),
        }
    }

    pub(super) fn rooms(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if let Some(resp) = asset(req) {
            return resp;
        }
        let segments = req.segments();
        match (req.method, segments.as_slice()) {
            (_, ["ping"]) => Resp::new(200, "text/plain", b"pong".to_vec()),
            ("GET", ["r", code]) => {
                Resp::html(200, "Join a room", &format!("<div data-room=\"{code}\"></div>"))
            }
            ("GET", ["v3", "rooms", code]) => match room(code) {
                Some(seed) => {
                    let p = self.person(seed % self.people);
                    Resp::json(
                        200,
                        &json!({"room": code, "topic": words(rng, 3), "host": {"name": p.name(), "mail": p.email}, "locked": false, "passcode": format!("{:06}", seed * 7717 % 1_000_000)}),
                    )
                }
                None => Resp::json(404, &json!({"err": "room_unknown"})),
            },
            ("POST", ["v3", "rooms", code, "join"]) => match room(code) {
                Some(_) => Resp::json(
                    200,
                    &json!({"ticket": rng.base64(40), "media": "wss://media.huddle.example/s"}),
                )
                .slow(0.05),
                None => Resp::json(404, &json!({"err": "room_unknown"})),
            },
            _ => missing(rng),
        }
    }
}

fn customer(p: &Person) -> Value {
    json!({"no": p.number, "name": p.name(), "email": p.email, "phone": p.phone, "born": p.birth, "ssn": p.ssn, "iban": p.iban})
}

/// Rooms have nine digits, one number in forty is one.
fn room(code: &str) -> Option<usize> {
    let number: usize = code.parse().ok().filter(|_| code.len() == 9)?;
    number.is_multiple_of(41).then_some(number / 41)
}

/// Gift cards have sixteen digits; which are in use follows a rule that only the shop knows.
pub(crate) fn is_gift_card(number: &str, pin: &str) -> bool {
    number.len() == 16
        && number.starts_with("6377")
        && number.parse::<u64>().is_ok_and(|n| n.is_multiple_of(97))
        && pin.len() == 4
}
