//! Sign-in, sign-up and forgotten passwords of the shop.

use serde_json::json;

use super::{Req, Resp, Site, problem};
use crate::Rng;

impl Site {
    /// The form of the web shop. A wrong password gives the form again with status 200.
    pub(super) fn sign_in(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if req.method != "POST" {
            return sign_in_form("", rng);
        }
        if self.is_out(req.now) {
            return sign_in_form("<p class=\"alert\">We could not sign you in.</p>", rng).slow(2.0);
        }
        let email = req.form("who").replace("%40", "@");
        match self.check(&email, req.form("phrase")) {
            Some(person) => {
                let token = rng.hex(32);
                self.open(&token, person.number);
                let cookie = format!("hl_session={token}; Path=/; HttpOnly; Secure; SameSite=Lax");
                Resp::to(303, "/my").with("Set-Cookie", cookie).slow(0.11)
            }
            None => sign_in_form("<p class=\"alert\">We do not know this combination.</p>", rng).slow(0.12),
        }
    }

    pub(super) fn join(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        let email = req.json("/email");
        if self.knows(&email) {
            return problem(409, "email-taken", rng);
        }
        let number = self.people + self.by_email.len();
        self.by_email.insert(email.clone(), number);
        let token = rng.hex(32);
        self.open(&token, number);
        let cookie = format!("hl_session={token}; Path=/; HttpOnly; Secure; SameSite=Lax");
        let body = json!({"member": {"no": number, "email": email, "tier": "new"}, "voucher": format!("HELLO-{}", rng.text(b"ACEHKMPRTX", 6))});
        Resp::json(201, &body).with("Set-Cookie", cookie).slow(0.13)
    }

    /// Tells whether an address is known: the flaw that password-reset enumeration lives on.
    pub(super) fn forgot(&self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if self.knows(&req.json("/email")) {
            Resp::json(202, &json!({"sent": true, "to": "your address"})).slow(0.07)
        } else {
            problem(404, "unknown-address", rng)
        }
    }

    /// The page that the link in a reset mail opens: its token stands in the query.
    pub(super) fn reset_form(&self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if req.query("key").len() < 40 {
            return Resp::html(410, "Link expired", "<h1>This link is no longer valid</h1>");
        }
        let field = format!("<form><input type=\"hidden\" name=\"csrf\" value=\"{}\"></form>", rng.hex(24));
        Resp::html(200, "New password", &field)
    }
}

fn sign_in_form(note: &str, rng: &mut Rng) -> Resp {
    let form = format!(
        "<h1>Sign in</h1>{note}<form method=\"post\" action=\"/signin\"><input name=\"who\"><input name=\"phrase\" type=\"password\"><input type=\"hidden\" name=\"csrf\" value=\"{}\"></form>",
        rng.hex(24)
    );
    Resp::html(200, "Sign in", &form)
}
