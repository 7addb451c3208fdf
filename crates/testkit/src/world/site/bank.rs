//! The bank: OAuth password grant, accounts, payees, transfers with a code.

use serde_json::{Value, json};

use super::{Req, Resp, Site};
use crate::Rng;
use crate::world::facts::{Person, iban, jwt};

impl Site {
    pub(super) fn bank(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        let segments = req.segments();
        if let (_, ["health"]) = (req.method, segments.as_slice()) {
            return Resp::json(200, &json!({"status": "UP"}));
        }
        if let ("POST", ["oauth2", "token"]) = (req.method, segments.as_slice()) {
            return self.grant(req, rng);
        }
        let Some(p) = self.whose(req.bearer()) else {
            return Resp::json(401, &json!({"error": "invalid_token"})).with("WWW-Authenticate", "Bearer");
        };
        match (req.method, segments.as_slice()) {
            ("GET", ["psd", "accounts"]) => Resp::json(
                200,
                &json!({"accounts": [
                    {"resourceId": resource(&p, 0), "iban": p.iban, "currency": "EUR", "product": "Tide Current", "balance": {"amount": format!("{}.{:02}", rng.range(40, 22_000), rng.below(100))}},
                    {"resourceId": resource(&p, 1), "maskedPan": format!("{}xxxxxx{}", &p.card[..6], &p.card[p.card.len() - 4..]), "currency": "EUR", "product": "Tide Card"},
                ]}),
            ),
            ("GET", ["psd", "accounts", _, "entries"]) => {
                let list: Vec<Value> = (0..8).map(|_| entry(rng)).collect();
                Resp::json(200, &json!({"booked": list, "pending": []})).slow(0.05)
            }
            ("GET", ["psd", "me"]) => Resp::json(
                200,
                &json!({"holder": p.name(), "born": p.birth, "taxId": p.ssn, "mail": p.email, "phone": p.phone}),
            ),
            ("GET", ["psd", "payees"]) => Resp::json(
                200,
                &json!({"payees": [{"id": rng.hex(8), "name": "Dunmere Water", "iban": iban(rng)}]}),
            ),
            ("POST", ["psd", "payees"]) => {
                Resp::json(201, &json!({"id": rng.hex(8), "state": "ACTIVE"})).slow(0.06)
            }
            ("POST", ["psd", "transfers"]) => {
                Resp::json(201, &json!({"transfer": self.next(), "state": "AWAITING_CODE"})).slow(0.09)
            }
            ("POST", ["psd", "transfers", _, "confirm"]) if req.json("/code") == code_of(&p) => {
                Resp::json(200, &json!({"state": "BOOKED"})).slow(0.1)
            }
            ("POST", ["psd", "transfers", _, "confirm"]) => {
                Resp::json(422, &json!({"error": "code_mismatch", "left": rng.below(9)})).slow(0.1)
            }
            _ => Resp::json(404, &json!({"error": "not_found"})),
        }
    }

    fn grant(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if self.is_out(req.now) {
            let error = json!({"error": "server_error", "error_description": "Upstream timed out"});
            return Resp::json(503, &error).slow(2.5);
        }
        let email = req.form("username").replace("%40", "@");
        let Some(person) = self.check(&email, req.form("password")) else {
            return Resp::json(
                400,
                &json!({"error": "invalid_grant", "error_description": "Bad credentials"}),
            )
            .slow(0.14);
        };
        let claims = json!({"iss": "https://online.tidebank.example", "sub": format!("tb-{}", person.number), "scope": "accounts payments"});
        let token = jwt(rng, &claims);
        self.open(&token, person.number);
        Resp::json(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": 900})).slow(0.15)
    }
}

/// The code that the bank sends to this customer's phone.
pub(crate) fn code_of(p: &Person) -> String {
    format!("{:06}", (p.number * 7919 + 104_729) % 1_000_000)
}

fn resource(p: &Person, n: usize) -> String {
    format!("{:08x}-tide-{n}", p.number.wrapping_mul(2_654_435_761) & 0xffff_ffff)
}

/// The id of a customer's current account.
pub(crate) fn account_of(p: &Person) -> String {
    resource(p, 0)
}

fn entry(rng: &mut Rng) -> Value {
    json!({"entryId": rng.hex(12), "amount": format!("-{}.{:02}", rng.range(2, 240), rng.below(100)), "text": crate::world::facts::words(rng, 3), "bookingDate": format!("2026-10-{:02}", rng.range(1, 13))})
}
