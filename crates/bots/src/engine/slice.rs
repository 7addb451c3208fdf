//! Slices of an endpoint's traffic: the calls of a fingerprint, of a client, of a session or of a crowd, added up.

use super::endpoint::Part;
use super::member::Member;
use super::sketch::{Gaps, Set};
use super::unit::{Call, Unit};
use super::units::Session;
use crate::role::Roles;

/// Clients of a slice (and of its rest) that are looked at in turn; of more every n-th.
pub(crate) const SAMPLE: usize = 256;

/// What a slice of an endpoint's traffic adds up to.
#[derive(Clone, Debug)]
pub(crate) struct Slice<'a> {
    pub(crate) n: u32,
    pub(crate) ok: u32,
    pub(crate) denied: u32,
    pub(crate) missing: u32,
    pub(crate) refused: u32,
    pub(crate) clients: usize,
    pub(crate) targets: f64,
    pub(crate) accounts: f64,
    pub(crate) secrets: f64,
    pub(crate) agents: usize,
    pub(crate) keyed: f64,
    pub(crate) sessions: f64,
    /// Different sessions and tokens.
    pub(crate) tokens: f64,
    pub(crate) mail_digits: f64,
    pub(crate) disposable: f64,
    /// Numbers that were asked for.
    pub(crate) numbers: Option<&'a Set<u64>>,
    pub(crate) stepping: Option<f64>,
    pub(crate) span_s: f64,
    /// Units to look at.
    pub(crate) who: Who<'a>,
    /// Share of clients that come within a minute.
    pub(crate) quick: Option<f64>,
    /// Clients that send to one and the same receiver.
    pub(crate) one_receiver: Option<usize>,
    /// Clients that make accounts of one form.
    pub(crate) one_form: Option<usize>,
    /// Its clients do again and again what others do once.
    pub(crate) again: bool,
    /// That is to send many calls in each request.
    pub(crate) bulk: bool,
    /// Share of clients that fail with several accounts and get into none.
    pub(crate) hoppers: Option<f64>,
    /// Endpoints through which one account is tried.
    pub(crate) channels: Option<usize>,
    /// Left out of the rest: a fingerprint, or a client with its calls.
    pub(crate) without_shape: Option<u64>,
    pub(crate) without_calls: Option<&'a Call>,
    /// Requests, successes and failures of those of its clients that are of convicted parts: the rest does not count them anyway.
    pub(crate) apart: [u32; 3],
    /// Its clients are known to do nothing else.
    pub(crate) bare: bool,
    /// Calls of the one client or session, for the outlier test.
    pub(crate) outlier: Option<(bool, u32)>,
    /// Answers that said to slow down, and those that said that the server failed; nothing where nobody counted.
    pub(crate) limited: Option<u32>,
    pub(crate) errors: Option<u32>,
    /// Calls that named an unknown account, a locked one, and payments that were declined; nothing where nobody counted.
    pub(crate) whys: Option<[u32; 3]>,
    /// Between its requests.
    pub(crate) gaps: Option<&'a Gaps>,
    /// Share of steps between numbers that go up, and that are as wide as the one before.
    pub(crate) ascending: Option<f64>,
    pub(crate) even: Option<f64>,
    /// Pages that a browser opened though no link led there, while it says where it comes from elsewhere.
    pub(crate) typed: Option<u32>,
    /// Fingerprints of bodies and of cookies.
    pub(crate) bodies: &'a [(u64, u32)],
    pub(crate) cookies: &'a [(u64, u32)],
    /// Addresses, networks and agent families that presented the session.
    pub(crate) spread: Option<[usize; 3]>,
}

/// The units of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    /// Members of parts: of many every n-th is looked at.
    Members(&'a [Member]),
    /// These.
    Units(&'a [u64]),
}

impl Who<'_> {
    /// Keys of the units to look at.
    pub(crate) fn sample(&self) -> Vec<u64> {
        match self {
            Who::Members(members) => {
                let step = members.len().div_ceil(SAMPLE).max(1);
                members.iter().step_by(step).map(|m| m.unit).collect()
            }
            Who::Units(units) => units.to_vec(),
        }
    }
}

/// Share of numbers that stand next to another one; nothing where there are fewer than eight.
pub(crate) fn sequential(numbers: &Set<u64>) -> Option<f64> {
    if numbers.len() < 8 {
        return None;
    }
    let mut sorted: Vec<u64> = numbers.iter().copied().collect();
    sorted.sort_unstable();
    let near = sorted.windows(2).filter(|w| matches!(w, [a, b] if b - a <= 3)).count();
    Some(near as f64 / (sorted.len() - 1) as f64)
}

pub(crate) fn ratio(a: u32, b: u32) -> f64 {
    if b == 0 { 0.0 } else { f64::from(a) / f64::from(b) }
}

impl<'a> Slice<'a> {
    pub(super) fn new(who: Who<'a>) -> Self {
        Slice {
            n: 0,
            ok: 0,
            denied: 0,
            missing: 0,
            refused: 0,
            clients: 0,
            targets: 0.0,
            accounts: 0.0,
            secrets: 0.0,
            agents: 0,
            keyed: 0.0,
            sessions: 0.0,
            tokens: 0.0,
            mail_digits: 0.0,
            disposable: 0.0,
            numbers: None,
            stepping: None,
            span_s: 0.0,
            who,
            quick: None,
            one_receiver: None,
            one_form: None,
            again: false,
            bulk: false,
            hoppers: None,
            channels: None,
            without_shape: None,
            without_calls: None,
            apart: [0; 3],
            bare: false,
            outlier: None,
            limited: None,
            errors: None,
            whys: None,
            gaps: None,
            ascending: None,
            even: None,
            typed: None,
            bodies: &[],
            cookies: &[],
            spread: None,
        }
    }

    pub(crate) fn of_part(part: &'a Part) -> Self {
        let accounts = part.accounts.len().max(1) as f64;
        Slice {
            n: part.n,
            ok: part.ok,
            denied: part.denied,
            missing: part.missing,
            refused: part.refused,
            clients: part.members.len(),
            targets: part.targets.len() as f64,
            accounts: part.accounts.len() as f64,
            secrets: part.secrets.len() as f64,
            agents: part.agents.len(),
            keyed: ratio(part.keyed, part.n),
            sessions: ratio(part.sessions, part.n),
            tokens: part.tokens.count(),
            mail_digits: f64::from(part.mail_digits) / accounts,
            disposable: f64::from(part.disposable) / accounts,
            numbers: Some(&part.numbers),
            span_s: part.last.since(part.first) as f64 / 1e9,
            quick: Some(f64::from(part.quick) / part.members.len().max(1) as f64),
            without_shape: Some(part.shape),
            outlier: (part.members.len() == 1).then_some((false, part.n)),
            limited: Some(part.limited),
            errors: Some(part.errors),
            whys: Some([part.unknown, part.locked, part.declined]),
            gaps: Some(&part.gaps),
            ascending: (part.steps >= 8).then(|| ratio(part.up, part.steps)),
            bodies: &part.bodies,
            cookies: &part.cookies,
            ..Slice::new(Who::Members(&part.members))
        }
    }

    /// Of clients that call this endpoint and nothing else, whatever their fingerprint.
    pub(crate) fn of_bare(members: &'a [Member], targets: f64, login: bool) -> Self {
        let sum = |pick: fn(&Member) -> u32| members.iter().map(pick).sum::<u32>();
        let first = members.iter().map(|m| m.first).min().unwrap_or_default();
        let last = members.iter().map(|m| m.last).max().unwrap_or_default();
        Slice {
            n: sum(|m| m.n),
            ok: sum(|m| m.ok),
            denied: sum(|m| m.fails),
            clients: members.len(),
            targets,
            accounts: if login { targets } else { 0.0 },
            span_s: last.since(first) as f64 / 1e9,
            ..Slice::new(Who::Members(members))
        }
    }

    /// What was refused was not there.
    pub(crate) fn that_found_nothing(mut self) -> Self {
        self.missing = std::mem::take(&mut self.denied);
        self
    }

    pub(crate) fn of_call(call: &'a Call, unit: &'a Unit, roles: Roles) -> Self {
        let mut slice = Self::of_calls(call, std::slice::from_ref(&unit.key));
        if roles.any(Roles::LOGIN) {
            slice.accounts = unit.accounts.count().min(slice.targets.max(1.0));
            // Of one client they count where requests carry several: a person may try a few passwords, one at a time.
            let secrets = unit.habits.secrets.count();
            slice.secrets = if secrets >= 3.0 * f64::from(call.n) { secrets } else { 0.0 };
        } else if roles.any(Roles(Roles::SIGN_UP.0 | Roles::RESET.0 | Roles::OTP.0)) {
            slice.accounts = slice.targets;
        }
        slice.keyed = ratio(unit.keyed, unit.n);
        slice.sessions = f64::from(u8::from(unit.sessions.iter().any(|t| t.login)));
        slice.tokens = f64::from(unit.logins().min(call.n));
        slice.outlier = Some((false, call.all()));
        slice.typed = (unit.loads_like_a_browser() && unit.referers >= 3).then_some(call.walk().typed);
        slice
    }

    pub(crate) fn of_session(call: &'a Call, session: &'a Session) -> Self {
        let mut slice = Self::of_calls(call, &session.units);
        slice.sessions = 1.0;
        slice.tokens = 1.0;
        slice.outlier = Some((true, call.all()));
        slice
    }

    fn of_calls(call: &'a Call, units: &'a [u64]) -> Self {
        let walk = call.walk();
        Slice {
            n: call.n,
            ok: call.ok,
            denied: call.denied,
            missing: call.missing,
            refused: call.refused,
            clients: 1,
            targets: call.targets.count().min(f64::from(call.n) + f64::from(walk.further)),
            agents: 1,
            stepping: (walk.steps >= 8).then(|| ratio(walk.near, walk.steps)),
            ascending: (walk.steps >= 8).then(|| ratio(walk.up, walk.steps)),
            even: (walk.steps >= 8).then(|| ratio(walk.even, walk.steps)),
            span_s: call.last.since(call.first) as f64 / 1e9,
            without_calls: Some(call),
            ..Slice::new(Who::Units(units))
        }
    }
}
