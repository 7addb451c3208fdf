//! What a campaign came to: how far it got, and the story of it in sentences.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::Ts;

use super::Engine;
use super::campaign::{Campaign, Conviction};
use super::sketch::{Distinct, Paths};
use super::unit::{Call, Unit};
use super::units::Session;
use crate::role::Roles;

/// Different things up to which a sketch of 256 bits tells them apart well.
const SKETCHED: f64 = 300.0;

/// Requests of a campaign to its endpoints; what its members sent besides is not among them.
const TO_TARGET: &str = "requests-to-target";

/// What is tried on endpoints of a role, and what a success there is, in the words of an outcome.
///
/// The first role that an endpoint has counts.
const REACH: [(Roles, &str, &str); 12] = [
    (Roles::LOGIN, "accounts-tried", "accounts-taken"),
    (Roles::SIGN_UP, "sign-ups-tried", "accounts-made"),
    (Roles::RESET, "accounts-tried", "resets-started"),
    (Roles::GIFT_CARD, "cards-tried", "cards-found"),
    (Roles::COUPON, "codes-tried", "codes-found"),
    (Roles::OTP, "codes-tried", "codes-accepted"),
    (Roles::PAYMENT, "cards-tried", "cards-accepted"),
    (Roles::TRANSFER, "", "transfers-made"),
    (Roles::SIM_SWAP, "", "changes-made"),
    (Roles::CHECKOUT, "", "orders-placed"),
    (Roles::CART, "", "holds-made"),
    (Roles::POSTING, "", "posts-made"),
];

/// The same for classes, where the endpoint has none of these roles.
fn reach_of_class(class: &str) -> (&'static str, &'static str) {
    match class {
        "id-enumeration" | "bola" => ("ids-tried", "ids-found"),
        "token-cracking" | "account-takeover" => ("tokens-tried", "tokens-accepted"),
        "content-scraping" | "api-scraping" | "inventory-scraping" | "price-scraping" | "ai-crawler"
        | "fake-crawler" => ("things-asked-for", ""),
        "skewing" => ("", "votes-cast"),
        _ => ("", ""),
    }
}

/// What is reached where one-time codes are ordered and none is tried.
const SENT: (&str, &str) = ("receivers", "messages-sent");

/// True of an endpoint that sends codes, by its name.
fn sends(template: &str) -> bool {
    const WORDS: [&str; 6] = ["send", "resend", "request", "start", "issue", "generate"];
    let last = template.rsplit('/').find(|s| !s.starts_with('{')).unwrap_or_default();
    last.split(['-', '_', '.', ':']).any(|word| WORDS.contains(&word))
}

/// True where what was got is of what was tried: the other successes are acts, of which one thing may take many.
fn is_of_same((tried, got): (&str, &str)) -> bool {
    !tried.is_empty() && !matches!(got, "" | "messages-sent" | "resets-started" | "cards-accepted")
}

/// Calls to endpoints of one purpose.
#[derive(Default)]
struct Reach {
    requests: u64,
    succeeded: u64,
    /// Different things asked for by all together, and by each one summed up.
    together: Distinct,
    summed: f64,
}

impl Reach {
    fn add(&mut self, call: &Call) {
        self.requests += u64::from(call.n);
        self.succeeded += u64::from(call.ok);
        self.together.merge(&call.targets);
        self.summed += call.targets.count();
    }

    /// How many different things: beyond what the sketch tells apart, callers are taken to share none.
    fn tried(&self) -> u64 {
        let together = self.together.count();
        let tried = if together <= SKETCHED { together } else { self.summed.max(together) };
        (tried.round() as u64).min(self.requests)
    }

    /// How many were tried and how many of them were got: never more than were tried. Where the two differ by no more than the
    /// sketch may be wrong, every one that was got is taken for another.
    fn both(&self) -> (u64, u64) {
        let tried = self.tried();
        if self.succeeded <= tried + tried / 8 {
            (tried.max(self.succeeded), self.succeeded)
        } else {
            (tried, tried)
        }
    }
}

/// Who took part in a campaign; of sessions those that none of the clients presented.
#[derive(Clone, Copy)]
pub(super) struct Cast<'a> {
    pub(super) units: &'a [(&'a Unit, &'a Conviction)],
    pub(super) sessions: &'a [(&'a Session, &'a Conviction)],
}

impl Cast<'_> {
    fn calls(&self) -> impl Iterator<Item = &Call> {
        let of_units = self.units.iter().flat_map(|(u, _)| &u.calls);
        of_units.chain(self.sessions.iter().flat_map(|(s, _)| &s.calls))
    }

    fn requests(&self) -> u64 {
        let of_units = self.units.iter().map(|(u, _)| u64::from(u.n));
        of_units.chain(self.sessions.iter().map(|(s, _)| u64::from(s.n))).sum()
    }

    /// Paths that scanners asked for.
    fn paths(&self) -> u64 {
        let mut all = Paths::default();
        self.units.iter().for_each(|(u, _)| all.merge(&u.rare().paths));
        let requests = self.units.iter().map(|(u, _)| u64::from(u.n)).sum();
        all.count().min(requests)
    }
}

impl Engine {
    /// How far a campaign got: requests and what became of them, bytes that were handed out, and by what its endpoints are for:
    /// accounts tried and taken, codes tried and found, orders placed. Numbers of different things are estimates.
    pub(super) fn outcome(&self, campaign: &Campaign, cast: Cast<'_>) -> BTreeMap<String, u64> {
        let class = self.pack.rules().get(campaign.rule).map_or("", |r| r.id.as_str());
        let mut out: BTreeMap<String, u64> = BTreeMap::new();
        let mut reached: BTreeMap<(&str, &str), Reach> = BTreeMap::new();
        for call in cast.calls() {
            let at = self.resolve(call.slot);
            let Some(slot) = self.slots.get(at as usize).filter(|_| campaign.slots.contains(&at)) else {
                continue;
            };
            *out.entry(TO_TARGET.into()).or_default() += u64::from(call.n);
            *out.entry("succeeded".into()).or_default() += u64::from(call.ok);
            *out.entry("refused".into()).or_default() += u64::from(call.fails());
            // The form in front of a login takes nobody over.
            if &*slot.endpoint.method == "GET" && slot.roles().any(Roles(Roles::LOGIN.0 | Roles::SIGN_UP.0)) {
                continue;
            }
            let by_role = REACH.iter().find(|(role, ..)| slot.roles().any(*role));
            let words = match by_role {
                Some((Roles::OTP, ..)) if class == "otp-abuse" || sends(&slot.endpoint.template) => SENT,
                Some((_, tried, got)) => (*tried, *got),
                None => reach_of_class(class),
            };
            reached.entry(words).or_default().add(call);
        }
        for (words @ (tried, got), reach) in &reached {
            let (n, found) = if is_of_same(*words) { reach.both() } else { (reach.tried(), reach.succeeded) };
            for (name, n) in [(tried, n), (got, found)] {
                if !name.is_empty() {
                    *out.entry((*name).to_owned()).or_default() += n;
                }
            }
        }
        if matches!(class, "directory-bruteforce" | "vuln-scan") {
            out.insert("paths-tried".into(), cast.paths());
        }
        let slots = campaign.slots.iter().filter_map(|at| self.slots.get(*at as usize));
        let parts = slots.flat_map(|s| campaign.shapes.iter().filter_map(|shape| s.parts.get(shape)));
        for part in parts.filter(|_| campaign.by_part) {
            for (name, n) in
                [("unknown-users", part.unknown), ("locked-out", part.locked), ("declined", part.declined)]
            {
                if n > 0 {
                    *out.entry(name.into()).or_default() += u64::from(n);
                }
            }
        }
        out.insert("bytes".into(), cast.units.iter().map(|(u, _)| u.bytes).sum());
        out
    }

    /// What happened, in sentences: when, who, against what, how far it got, how it was known.
    pub(super) fn story(&self, campaign: &Campaign, cast: Cast<'_>, members: usize, agents: usize) -> String {
        let firsts =
            cast.units.iter().map(|(u, _)| u.first).chain(cast.sessions.iter().map(|(s, _)| s.first));
        let lasts = cast.units.iter().map(|(u, _)| u.last).chain(cast.sessions.iter().map(|(s, _)| s.last));
        let (first, last) =
            (firsts.min().unwrap_or(campaign.detected), lasts.max().unwrap_or(campaign.detected));
        let ips: BTreeSet<_> = cast.units.iter().map(|(u, _)| u.ip).collect();
        let outcome = self.outcome(campaign, cast);
        let (requests, there) = (cast.requests(), outcome.get(TO_TARGET).copied().unwrap_or(0));
        let besides = if there < requests { format!(", {there} of them") } else { String::new() };
        let mut told = vec![format!(
            "From {first}, for {}, {} at {} sent {}{besides} to {}.",
            lasting(first, last),
            many(members as u64, "client"),
            many(ips.len().max(1) as u64, "address"),
            many(requests, "request"),
            self.endpoint_names(campaign).join(", "),
        )];
        if agents > 1 {
            told.push(format!("They called themselves {agents} different things."));
        }
        let reached: Vec<String> = outcome
            .iter()
            .filter(|(name, n)| {
                **n > 0 && !matches!(name.as_str(), TO_TARGET | "bytes" | "succeeded" | "refused")
            })
            .map(|(name, n)| format!("{} {n}", name.replace('-', " ")))
            .collect();
        if !reached.is_empty() {
            told.push(format!("How far it got: {}.", reached.join(", ")));
        }
        told.push(if campaign.retrospective {
            "It was recognised afterwards, with all that was known by then.".to_owned()
        } else {
            format!("It was recognised after {}.", lasting(first, campaign.detected))
        });
        told.join(" ")
    }
}

fn many(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n if what.ends_with('s') => format!("{n} {what}es"),
        n => format!("{n} {what}s"),
    }
}

fn lasting(from: Ts, to: Ts) -> String {
    let seconds = to.since(from).max(0) / 1_000_000_000;
    match seconds {
        0 => "less than a second".to_owned(),
        1..120 => many(seconds.unsigned_abs(), "second"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_tried_by_many_are_told_apart_or_summed() {
        let mut reach = Reach::default();
        let shared: Vec<u64> = (0..20).map(|n: u64| crate::hash::of(&n.to_le_bytes())).collect();
        for _ in 0..50 {
            reach.requests += 20;
            let mut targets = Distinct::default();
            shared.iter().for_each(|h| targets.insert(*h));
            reach.together.merge(&targets);
            reach.summed += targets.count();
        }
        assert!((18..=22).contains(&reach.tried()), "{}", reach.tried());
        let mut rotating = Reach { requests: 1500, ..Reach::default() };
        for n in 0..1500u64 {
            let mut targets = Distinct::default();
            targets.insert(crate::hash::of(&n.to_le_bytes()));
            rotating.together.merge(&targets);
            rotating.summed += targets.count();
        }
        assert_eq!(rotating.tried(), 1500);
    }

    #[test]
    fn no_more_is_got_than_was_tried() {
        let reach = |different: u64, succeeded| {
            let mut reach = Reach { requests: 200, succeeded, ..Reach::default() };
            (0..different).for_each(|n| reach.together.insert(crate::hash::of(&n.to_le_bytes())));
            reach.both()
        };
        let (tried, made) = reach(65, 65);
        assert!(tried >= 65 && made == 65, "{tried} {made}");
        assert_eq!(reach(3, 40), (3, 3));
        assert_eq!(reach(8, 2), (8, 2));
    }

    #[test]
    fn an_endpoint_that_sends_codes_is_known_by_name() {
        assert!(sends("/m/2/otp/send") && sends("/otp/resend-code") && sends("/v1/otp/{otp_id}/request"));
        assert!(!sends("/v1/otp/verify") && !sends("/psd/transfers/{transfer_id}/confirm"));
    }

    #[test]
    fn times_read_as_people_say_them() {
        let at = |s: i64| Ts::from_parts(1_790_000_000 + s, 0);
        let said: Vec<String> =
            [0, 1, 90, 600, 9000, 200_000].iter().map(|s| lasting(at(0), at(*s))).collect();
        assert_eq!(said, ["less than a second", "1 second", "90 seconds", "10 minutes", "2 hours", "2 days"]);
        assert_eq!(many(2, "address"), "2 addresses");
    }
}
