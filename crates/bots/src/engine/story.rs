//! What a campaign came to: how far it got, and the story of it in sentences.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::Ts;

use super::Engine;
use super::campaign::{Campaign, Conviction};
use super::sketch::Set;
use super::tally::Tally;
use super::unit::{Call, Unit};
use super::units::Session;
use crate::role::Roles;

/// Different things that a campaign's callers asked for together are told apart up to so many.
const TOLD_APART: usize = 16_384;

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
    /// Calls, those that came together in one request each by itself.
    calls: u64,
    succeeded: u64,
    /// Different things asked for by all together, unless there are too many to tell.
    all: Set<u32>,
    untold: bool,
    /// About how many, of all together and of each one summed up.
    together: Tally,
    summed: f64,
    /// The same of those that were counted in few bits for want of room: they would make the others' count as rough.
    coarse: Tally,
    coarse_summed: f64,
}

impl Reach {
    fn add(&mut self, call: &Call) {
        self.calls += u64::from(call.all());
        self.succeeded += u64::from(call.ok);
        self.see(&call.targets);
    }

    fn see(&mut self, targets: &Tally) {
        let (together, summed) = match targets.is_coarse() {
            true => (&mut self.coarse, &mut self.coarse_summed),
            false => (&mut self.together, &mut self.summed),
        };
        together.merge(targets);
        *summed += targets.count();
        match targets.all() {
            Some(few) if !self.untold => self.all.extend(few),
            _ => self.untold = true,
        }
        // What several tried is one: only all of it together can be too much.
        if self.all.len() > TOLD_APART {
            self.untold = true;
            self.all = Default::default();
        }
    }

    /// How many different things: where they are too many to be told apart, about so many, and where they are too many for that
    /// too, callers are taken to share none.
    fn tried(&self) -> u64 {
        if !self.untold {
            return self.all.len() as u64;
        }
        let near = |together: &Tally, summed: f64| {
            let n = together.count();
            if together.is_near() { n } else { summed.max(n) }
        };
        let tried = near(&self.together, self.summed) + near(&self.coarse, self.coarse_summed);
        (tried.round() as u64).min(self.calls)
    }

    /// How many were tried and how many of them were got: never more than were tried.
    fn both(&self) -> (u64, u64) {
        let tried = self.tried();
        (tried, self.succeeded.min(tried))
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
        let calls = self.units.iter().map(|(u, _)| u64::from(u.n)).sum();
        let mut all = Reach { calls, ..Reach::default() };
        self.units.iter().for_each(|(u, _)| all.see(&u.rare().paths));
        all.tried().min(calls)
    }
}

impl Engine {
    /// How far a campaign got: requests and what became of them, bytes that were handed out, and by what its endpoints are for:
    /// accounts tried and taken, codes tried and found, orders placed. Numbers of different things are exact up to some
    /// thousands.
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
            self.endpoint_names(campaign).join(", ").replace("(not found)", " (not found)"),
        )];
        if agents > 1 {
            told.push(format!("They called themselves {agents} different things."));
        }
        let reached: Vec<String> = outcome
            .iter()
            .filter(|(name, n)| {
                **n > 0 && !matches!(name.as_str(), TO_TARGET | "bytes" | "succeeded" | "refused")
            })
            .map(|(name, n)| so_many(*n, name))
            .collect();
        if !reached.is_empty() {
            told.push(format!("How far it got: {}.", reached.join(", ")));
        }
        told.push(if campaign.retrospective {
            "It was recognised afterwards, with all that was known by then.".to_owned()
        } else {
            format!("It was recognised after {}.", lasting(first, campaign.detected.max(first)))
        });
        told.join(" ")
    }
}

/// What came of an attack: `accounts-tried` of so many.
fn so_many(n: u64, name: &str) -> String {
    let mut is_one = n == 1;
    let words = name.split('-').map(|word| match word.strip_suffix('s').filter(|_| is_one) {
        Some(word) => {
            is_one = false;
            word
        }
        None => word,
    });
    format!("{n} {}", words.collect::<Vec<_>>().join(" "))
}

fn many(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n if what.ends_with('s') => format!("{n} {what}es"),
        n => format!("{n} {what}s"),
    }
}

fn lasting(from: Ts, to: Ts) -> String {
    let nanos = to.since(from).max(0);
    // To the nearest, as the pages have it.
    let of = |seconds: i64| (nanos / 1_000_000 + seconds * 500) / (seconds * 1000);
    match of(1) {
        _ if nanos < 1_000_000_000 => "less than a second".to_owned(),
        seconds @ ..120 => many(seconds.unsigned_abs(), "second"),
        120..7200 => format!("{} minutes", of(60)),
        7200..172_800 => format!("{} hours", of(3600)),
        _ => format!("{} days", of(86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::Leave;
    use super::*;

    fn of(values: std::ops::Range<u64>, key: u64) -> Tally {
        let (mut all, mut leave) = (Tally::default(), Leave::ANY);
        values.for_each(|n| all.insert(crate::hash::words(&[key, n]), &mut leave));
        all
    }

    #[test]
    fn what_some_counted_roughly_spoils_no_others_count() {
        let mut reach = Reach { calls: 100_000, ..Reach::default() };
        (0..10).for_each(|n| reach.see(&of(n * 3000..(n + 1) * 3000, 1)));
        for n in 0..5 {
            let (mut rough, mut leave) = (Tally::default(), Leave::NONE);
            (0..20).for_each(|v| rough.insert(crate::hash::words(&[90_000 + n * 20 + v]), &mut leave));
            reach.see(&rough);
        }
        assert!(reach.tried().abs_diff(30_100) <= 1500, "{}", reach.tried());
    }

    #[test]
    fn what_was_tried_is_counted_exactly_whatever_the_key_is() {
        for key in 0..8 {
            let (mut shared, mut alone, mut crowd) = (Reach::default(), Reach::default(), Reach::default());
            (0..50).for_each(|_| shared.see(&of(0..20, key)));
            alone.see(&of(0..381, key));
            (0..5000).for_each(|n| crowd.see(&of(n * 2..n * 2 + 3, key)));
            assert_eq!((shared.tried(), alone.tried(), crowd.tried()), (20, 381, 10_001), "{key}");
        }
    }

    #[test]
    fn what_many_tried_is_counted_nearly() {
        for (callers, each, all) in [(10, 3000, 30_000), (40_000, 3, 120_000)] {
            let mut reach = Reach { calls: 1_000_000, ..Reach::default() };
            (0..callers).for_each(|n| reach.see(&of(n * each..(n + 1) * each, 1)));
            assert!(reach.tried().abs_diff(all) <= all / 20, "{} {all}", reach.tried());
            assert!(reach.all.len() <= TOLD_APART);
        }
    }

    #[test]
    fn no_more_is_got_than_was_tried() {
        let reach = |different: u64, succeeded| {
            let mut reach = Reach { succeeded, ..Reach::default() };
            reach.see(&of(0..different, 1));
            reach.both()
        };
        assert_eq!([reach(65, 65), reach(3, 40), reach(8, 2)], [(65, 65), (3, 3), (8, 2)]);
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
            [0, 1, 90, 238, 600, 8900, 200_000].iter().map(|s| lasting(at(0), at(*s))).collect();
        assert_eq!(
            said,
            ["less than a second", "1 second", "90 seconds", "4 minutes", "10 minutes", "2 hours", "2 days"]
        );
        assert_eq!(lasting(at(0), at(22).plus(600_000_000)), "23 seconds");
        let came = [so_many(170, "ids-found"), so_many(1, "accounts-taken"), so_many(1, "sign-ups-tried")];
        assert_eq!(came, ["170 ids found", "1 account taken", "1 sign up tried"]);
        assert_eq!([so_many(1, "declined"), so_many(1, "unknown-users")], ["1 declined", "1 unknown user"]);
        assert_eq!(many(2, "address"), "2 addresses");
    }
}
