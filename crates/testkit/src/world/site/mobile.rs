//! The gateway of the shop's apps, with a first version that nobody switched off.

use serde_json::{Value, json};

use super::catalog::{goods, page};
use super::{Req, Resp, Site};
use crate::Rng;
use crate::world::facts::{Person, jwt};

impl Site {
    pub(super) fn mobile(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        let segments = req.segments();
        let ["m", version, path @ ..] = segments.as_slice() else { return refusal(404, "NOT_FOUND") };
        let person = self.whose(req.bearer());
        match (req.method, path) {
            ("POST", ["session"]) => self.app_sign_in(req, rng),
            ("GET", ["config"]) => Resp::json(
                200,
                &json!({"flags": {"newBasket": true, "drops": true}, "minVersion": "3.5.0", "ttl": 900}),
            ),
            ("GET", ["feed"]) => Resp::json(
                200,
                &json!({"cards": page(req.query("cursor"), 2).take(6).map(goods).collect::<Vec<_>>(), "next": rng.hex(10)}),
            ),
            ("GET", ["items", number]) => match number.parse() {
                Ok(n @ 7000..7900) => Resp::json(200, &json!({"item": goods(n)})),
                _ => refusal(404, "NO_ITEM"),
            },
            ("GET", ["stores", "stock"]) => stock(req, rng),
            ("POST", ["telemetry"]) => Resp { delay: 0.003, ..Resp::json(202, &json!({"ok": true})) },
            ("POST", ["push-tokens"]) => Resp::empty(204),
            ("POST", ["otp", "send"]) => {
                Resp::json(202, &json!({"channel": "sms", "expiresIn": 300})).slow(0.15)
            }
            ("POST", ["otp", "check"]) => refusal(403, "CODE_WRONG"),
            _ => match person {
                Some(person) => self.mine(req, version, path, &person, rng),
                None => refusal(401, "TOKEN_MISSING"),
            },
        }
    }

    fn mine(&mut self, req: &Req<'_>, version: &str, path: &[&str], p: &Person, rng: &mut Rng) -> Resp {
        match (req.method, path) {
            // The first version says more than the app ever showed.
            ("GET", ["profile"]) if version == "1" => {
                let body = json!({"userId": p.number, "fullName": p.name(), "mail": p.email, "dob": p.birth, "ssn": p.ssn, "phone": p.phone, "pwHash": format!("$2b$10${}", rng.base64(53))});
                Resp::json(200, &body)
                    .with("Deprecation", "@1735689600")
                    .with("Sunset", "Tue, 30 Jun 2026 23:59:59 GMT")
            }
            ("GET", ["profile"]) => Resp::json(
                200,
                &json!({"displayName": p.name(), "mail": p.email, "tier": "blue", "points": rng.below(9000)}),
            ),
            ("GET", ["orders"]) => {
                let list: Vec<Value> =
                    (0..3).map(|n| json!({"orderNo": order_of(p.number, n), "total": 2400 + n})).collect();
                Resp::json(200, &json!({"orders": list}))
            }
            // The flaw: whose order it is, nobody asks.
            ("GET", ["orders", number]) => {
                match number.parse::<usize>().ok().and_then(|n| n.checked_sub(FIRST_ORDER)) {
                    Some(n) if n / 3 < self.people => Resp::json(200, &order(n, &self.person(n / 3))),
                    _ => refusal(404, "NO_ORDER"),
                }
            }
            ("POST", ["basket"]) => {
                Resp::json(200, &json!({"basketId": rng.uuid(), "count": 1 + rng.below(4)}))
            }
            ("POST", ["checkout"]) => {
                Resp::json(201, &json!({"orderNo": self.next(), "eta": "2026-10-19"})).slow(0.25)
            }
            _ => refusal(404, "NOT_FOUND"),
        }
    }

    fn app_sign_in(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        // What its gateway makes of a directory that does not answer: everybody's credentials are wrong.
        if self.is_out(req.now) {
            return refusal(403, "BAD_CREDENTIALS").slow(1.5);
        }
        let Some(person) = self.check(&req.json("/login"), &req.json("/secret")) else {
            return refusal(403, "BAD_CREDENTIALS").slow(0.1);
        };
        let claims = json!({"iss": "appgw", "sub": format!("u{}", person.number), "iat": 1_792_000_000 + req.now as i64, "email": person.email});
        let token = jwt(rng, &claims);
        self.open(&token, person.number);
        Resp::json(201, &json!({"access": token, "refresh": rng.base64(48), "expiresIn": 3600})).slow(0.1)
    }
}

fn stock(req: &Req<'_>, rng: &mut Rng) -> Resp {
    let one = |rng: &mut Rng| json!({"store": format!("S{:04}", rng.below(3000)), "zip": req.query("zip"), "onHand": rng.below(30), "aisle": rng.below(40)});
    let list: Vec<Value> = (0..3).map(|_| one(rng)).collect();
    Resp::json(200, &json!({"item": req.query("item"), "stores": list}))
}

fn order(number: usize, p: &Person) -> Value {
    json!({
        "orderNo": FIRST_ORDER + number, "placed": "2026-09-30", "goods": goods(7000 + (number as u64 * 13) % 900),
        "receiver": {"name": p.name(), "mail": p.email, "phone": p.phone, "street": p.street, "city": p.city, "zip": p.zip},
    })
}

/// Number of the `n`th order of somebody.
pub(crate) fn order_of(who: usize, n: usize) -> usize {
    FIRST_ORDER + who * 3 + n
}

fn refusal(status: u16, code: &str) -> Resp {
    Resp::json(status, &json!({"error": {"code": code}}))
}

const FIRST_ORDER: usize = 610_400;
