//! Crowds that no fingerprint tells from the application's own callers: clients that do one thing only, and clients that
//! all give to one receiver.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use super::Engine;
use super::endpoint::{Part, Slot};
use super::join::Sign;
use super::member::Member;
use super::part::Found;
use super::slice::Slice;
use super::unit::{Call, ExchangeId, Unit};
use crate::agent::AgentKind;
use crate::facts::Fact;
use crate::observation::Traits;
use crate::role::Roles;

/// Bare clients from which on they are judged together.
const BARE: usize = 20;
/// The same for clients that ask for things that are not there, and find none.
const BARE_GUESSERS: usize = 12;
/// The same for clients that only read, each again and again.
const BARE_READERS: usize = 6;
/// The same for clients that read with Referers of pages that they never asked for.
const BARE_STRANGERS: usize = 6;
/// The same for such that read a few times each.
const BARE_PASSERS: usize = 20;
/// Codes from which on a client tries one after another.
const CODES: u32 = 3;
/// The same for clients that post again and again.
const BARE_REPEATERS: usize = 3;
/// The same for clients that post what others read.
const BARE_POSTERS: usize = 8;
/// Free clients that are worth being judged beside those that are convicted.
const FREE: usize = 2;
/// Calls from which on a client reads again and again.
const READS: u32 = 8;
/// The same where it names pages that it never asked for.
const STRANGE_READS: u32 = 5;
/// Posts from which on a client posts again and again.
const POSTS: u32 = 4;
/// Clients with throw-away mail addresses from which on they are judged together.
const THROW_AWAY: usize = 8;
/// Clients that give to one receiver from which on they are judged together.
const GIVERS: usize = 5;
/// The same for a further receiver of such a crowd.
const KIN: usize = 2;
/// A person does not log in, look and pay in this time.
const AT_ONCE_MS: u32 = 15_000;
/// Clients first seen in the capture's first minutes may have come through the application before it began.
const SETTLE_NS: i64 = 90_000_000_000;

impl Engine {
    /// Clients that call one endpoint and nothing else, where nearly all others come through the application: rotating addresses
    /// behind requests that cannot be told from those of the application. Asked of endpoints that do something sensitive, tell prices,
    /// show pages or take what others read; and, wherever something may be guessed, of clients that found nothing.
    pub(super) fn judge_bare(&mut self, at: u32) {
        if self.config.without.campaigns {
            return;
        }
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        let kinds = BareKind::at(slot);
        if kinds.is_empty() || slot.n < slot.next && !self.retrospective {
            return;
        }
        // Readers are many: they are looked at half as often.
        let reads = kinds.iter().all(|k| matches!(k, BareKind::Strangers | BareKind::Passers));
        slot.next = slot.n + if reads { slot.n / 2 } else { slot.n / 6 }.max(12);
        for kind in kinds {
            let (members, known) = self.bare_members(at, kind);
            // An app's users are not those who come with a browser's head.
            let is_app = |m: &BareMember| m.agent == AgentKind::AppLibrary;
            let alike = |m: &BareMember| m.whole && (!is_app(m) || known.agents.contains(&m.agent));
            let whole: Vec<BareMember> = members.iter().copied().filter(alike).collect();
            if !known.members.is_empty() && self.judge_crowd(at, kind, &whole, &known)
                || self.judge_crowd(at, kind, &members, &KnownCrowd::default())
            {
                return;
            }
        }
    }

    /// Bare clients of an endpoint that are free, and those that are convicted of the same already.
    fn bare_members(&self, at: u32, kind: BareKind) -> (Vec<BareMember>, KnownCrowd) {
        let (mut members, mut known) = (Vec::new(), KnownCrowd::default());
        let Some(slot) = self.slots.get(at as usize) else { return (members, known) };
        let settled = self.start.plus(SETTLE_NS);
        let signs_up = slot.roles().any(Roles::SIGN_UP);
        let mut seen: BTreeSet<u64> = BTreeSet::new();
        for part in slot.order.iter().filter_map(|s| slot.parts.get(s)) {
            for member in part.members.iter().filter(|m| kind.may_take(m)) {
                let Some(unit) = self.units.get(member.unit) else { continue };
                // Who makes an account asks for a page before, and is led to one after.
                let strays = (kind == BareKind::Posts && signs_up
                    || kind == BareKind::Codes && !self.acts_elsewhere(unit, at))
                    && unit.is_narrow();
                let bare = self.lives_for(unit, at) || strays;
                if !kind.takes(unit) || unit.first < settled || !bare {
                    continue;
                }
                if !seen.insert(member.unit) {
                    continue;
                }
                let call = unit.calls.iter().find(|c| self.resolve(c.slot) == at);
                let targets = call.map_or(0.0, |c| c.targets.count().min(f64::from(c.n)));
                // A session that it was given here, and with which it signed in nowhere, is a visitor's.
                let given = unit.set_cookies > 0 && unit.habits.acts().logged_in == 0;
                let signed = !given && unit.sessions.iter().any(|t| t.login);
                let bare = BareMember {
                    member: *member,
                    targets,
                    signed,
                    apart: part.campaign.is_some(),
                    whole: !unit.shared && (member.n >= 2 || member.fails > 0),
                    agent: unit.agent.kind,
                };
                match self.convictions.units.get(&member.unit).filter(|c| !c.suspicious) {
                    Some(conviction) => known.add(self.final_campaign(conviction.campaign), bare),
                    None => members.push(bare),
                }
            }
        }
        (members, known)
    }

    /// True of a client that does something at another endpoint, not only reads there: who tries codes by the list has nothing in his cart.
    fn acts_elsewhere(&self, unit: &Unit, at: u32) -> bool {
        let others = unit.calls.iter().map(|c| self.resolve(c.slot)).filter(|slot| *slot != at);
        others
            .filter_map(|slot| self.slots.get(slot as usize))
            .any(|s| s.reads * 2 < s.n && !s.roles().any(Roles(Roles::LOGIN.0 | Roles::TELEMETRY.0)))
    }

    /// Judges bare clients together, with those of whom the same is known; true where they are convicted.
    fn judge_crowd(&mut self, at: u32, kind: BareKind, free: &[BareMember], known: &KnownCrowd) -> bool {
        let Some(slot) = self.slots.get(at as usize) else { return false };
        let least = kind.least(slot.roles()).max(if known.members.is_empty() { 0 } else { FREE });
        if free.len() + known.members.len() < least || free.len() < FREE {
            return false;
        }
        // Of people some mistype, give up and do nothing else: each his one account.
        let hops: f64 = free.iter().map(|m| m.targets).sum::<f64>() / free.len() as f64;
        let may_be_people = kind == BareKind::Guesses || !known.members.is_empty();
        if may_be_people && slot.roles().any(Roles::LOGIN) && hops < 1.5 {
            return false;
        }
        let all: Vec<&BareMember> = free.iter().chain(&known.members).collect();
        let members: Vec<Member> = all.iter().map(|m| m.member).collect();
        let targets = all.iter().map(|m| m.targets).sum();
        let mut slice = Slice::of_bare(&members, targets, slot.roles().any(Roles::LOGIN));
        slice.bare = true;
        slice.apart = all
            .iter()
            .filter(|m| m.apart)
            .fold([0; 3], |[n, ok, fails], m| [n + m.member.n, ok + m.member.ok, fails + m.member.fails]);
        if kind.posts() || kind == BareKind::Codes {
            slice.sessions = all.iter().filter(|m| m.signed).count() as f64 / all.len().max(1) as f64;
        }
        if kind.posts() {
            slice.disposable = self.throw_away(slot, &members) / slice.targets.max(1.0);
            slice.accounts = targets;
        }
        if kind == BareKind::Guesses {
            if !slot.others_find(&members) {
                return false;
            }
            slice = if slot.roles().any(Roles::LOGIN) { slice } else { slice.that_found_nothing() };
        }
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return false };
        let campaign = known.campaign(|at| {
            self.campaigns.get(at as usize).is_some_and(|c| self.class(c.rule) == self.class(rule))
        });
        if campaign.is_none() && !known.members.is_empty() {
            return false;
        }
        // Many try one log-in: who of them are one is told by their accounts and addresses.
        let campaign = campaign.filter(|_| !slot.roles().any(Roles::LOGIN));
        // Where others come with their pages, and got in while these did not, the steps that these leave out are the pages.
        let beside = || {
            slot.roles().any(Roles::LOGIN)
                && facts.get(Fact::RestNoAssets).is_some_and(|share| share <= 0.3)
                && self.alone_failed(slot, &members) >= 0.6
        };
        let steps = facts.get(Fact::MissingSteps).is_some_and(|n| n >= 1.0);
        let at_most = |fact, most| facts.get(fact).is_some_and(|share| share <= most);
        // Where guesses or posts stand beside callers that do much besides, or nobody else calls a busy host's endpoint.
        let strays = || {
            (kind.stands_out() && at_most(Fact::RestNarrow, 0.4) || at_most(Fact::HostNarrow, 0.4))
                && (!slot.roles().any(Roles::LOGIN) || self.alone_failed(slot, &members) >= 0.6)
        };
        if self.too_weak(&self.view_at(slot), rule, &fired) || !steps && !beside() && !strays() {
            return false;
        }
        let Some(campaign) = campaign.or_else(|| self.campaign_at(at, rule)) else { return false };
        let evidence: SmallVec<[ExchangeId; 5]> = free.iter().take(5).map(|m| m.member.evidence).collect();
        self.note(campaign, &fired, &facts, &evidence);
        let free: Vec<Member> = free.iter().map(|m| m.member).collect();
        self.convict_bare(campaign, &free, kind == BareKind::Codes);
        true
    }

    /// Clients that each make an account with a throw-away mail address and do nothing with it, where a third of all who make
    /// accounts do: the addresses tell them, whatever their heads are like.
    pub(super) fn judge_throw_away(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize) else { return };
        if self.config.without.campaigns || !slot.roles().any(Roles::SIGN_UP) {
            return;
        }
        let leaves = |m: &&Member| {
            self.units.get(m.unit).is_some_and(|u| {
                u.any.has(Traits::DISPOSABLE_MAIL)
                    && u.breadth() <= 3
                    && u.n.saturating_sub(u.assets) <= m.n.saturating_mul(4)
                    && !u.shared
            })
        };
        let parts = slot.order.iter().filter_map(|s| slot.parts.get(s));
        if parts.clone().map(|p| p.disposable as usize).sum::<usize>() < THROW_AWAY {
            return;
        }
        let all: usize = parts.clone().map(|p| p.members.len()).sum();
        let members: Vec<Member> = parts.flat_map(|p| p.members.iter().filter(leaves)).copied().collect();
        if members.len() < THROW_AWAY || members.len() * 3 < all {
            return;
        }
        let targets = members.iter().map(|m| f64::from(m.n)).sum();
        let mut slice = Slice::of_bare(&members, targets, false);
        slice.bare = true;
        (slice.disposable, slice.accounts) = (1.0, targets);
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        if self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        let (zone, host) = (slot.zone.clone(), slot.endpoint.host.to_string());
        let sign = Sign {
            rule,
            zone: &zone,
            host: &host,
            shape: 2,
            slot: Some(at),
            agent: "",
            is_known: false,
            by_part: true,
        };
        let Some(campaign) = self.campaign(&sign, false) else { return };
        let evidence: SmallVec<[ExchangeId; 5]> = members.iter().take(5).map(|m| m.evidence).collect();
        self.note(campaign, &fired, &facts, &evidence);
        for member in &members {
            if self.units.get(member.unit).is_some_and(|u| !self.is_good(u)) {
                self.convict_unit(member.unit, campaign, rule, false, 2, Some(member.evidence));
            }
        }
    }

    /// Throw-away mail addresses named in parts of which these clients are most.
    fn throw_away(&self, slot: &Slot, members: &[Member]) -> f64 {
        let own: BTreeSet<u64> = members.iter().map(|m| m.unit).collect();
        let of_them =
            |p: &&Part| p.members.iter().filter(|m| own.contains(&m.unit)).count() * 2 >= p.members.len();
        slot.parts.values().filter(of_them).map(|p| f64::from(p.disposable)).sum()
    }

    /// Convicts clients for the one thing that they do, as long as they do nothing else; those that guess only where they were refused,
    /// unless it is done `whatever` the answers say.
    fn convict_bare(&mut self, campaign: u32, members: &[Member], whatever: bool) {
        let Some(rule) = self.campaigns.get(campaign as usize).map(|c| c.rule) else { return };
        let by_failures = self.is_by_failures(rule) && !whatever;
        for member in members {
            let Some(unit) = self.units.get(member.unit) else { continue };
            let failed = member.fails > 0 && member.fails >= member.ok;
            let lets_go =
                unit.trusted && !unit.tool || self.is_good(unit) || self.acts_for_one(unit, campaign);
            if !lets_go && (failed || !by_failures) && self.shows_own_part(campaign, unit, member) {
                let (tool, stubborn) = (unit.tool, member.fails >= 3 && member.fails > 2 * member.ok);
                self.convict_unit(member.unit, campaign, rule, false, 0, Some(member.evidence));
                self.mark(member.unit, !tool && !stubborn, false);
            }
        }
    }

    /// Clients that each come, log in and at once send money to, or add, one and the same receiver.
    pub(super) fn judge_receivers(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize).filter(|_| !self.config.without.campaigns) else {
            return;
        };
        if !slot.roles().any(Roles::TRANSFER) {
            return;
        }
        let at_once = |m: &Member| {
            let unit = self.units.get(m.unit);
            m.delay_ms <= AT_ONCE_MS && unit.is_some_and(|u| u.assets == 0 && !u.trusted && !u.shared)
        };
        let crowds: Vec<Vec<Member>> =
            slot.receivers.values().filter(|m| m.len() >= GIVERS).cloned().collect();
        let convicted: Vec<Vec<Member>> = crowds
            .into_iter()
            .filter_map(|crowd| {
                let members: Vec<Member> = crowd.iter().copied().filter(at_once).collect();
                (members.len() >= GIVERS && members.len() * 5 >= crowd.len() * 4).then_some(members)
            })
            .collect();
        for mut members in convicted {
            self.join_kin(at, &mut members);
            self.convict_givers(at, &members);
        }
    }

    /// Those that do the same with the same tool for another receiver, two and more: who is paid changes from time to time.
    fn join_kin(&self, at: u32, members: &mut Vec<Member>) {
        let shape = |m: &Member| {
            let unit = self.units.get(m.unit)?;
            let call = unit.calls.iter().find(|c| self.resolve(c.slot) == at)?;
            unit.tool.then_some(call.shape)
        };
        let shapes: BTreeSet<u64> = members.iter().filter_map(shape).collect();
        let Some(slot) = self.slots.get(at as usize) else { return };
        let own: BTreeSet<u64> = members.iter().map(|m| m.unit).collect();
        for crowd in slot.receivers.values().filter(|m| (KIN..GIVERS).contains(&m.len())) {
            let kin = |m: &Member| m.delay_ms <= AT_ONCE_MS && shape(m).is_some_and(|s| shapes.contains(&s));
            if crowd.iter().all(kin) {
                members.extend(crowd.iter().filter(|m| !own.contains(&m.unit)));
            }
        }
    }

    fn convict_givers(&mut self, at: u32, members: &[Member]) {
        let Some(slot) = self.slots.get(at as usize) else { return };
        let mut slice = Slice::of_bare(members, 1.0, false);
        slice.quick = Some(1.0);
        slice.one_receiver = Some(members.len());
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        if self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        let (zone, host) = (slot.zone.clone(), slot.endpoint.host.to_string());
        let sign = Sign {
            rule,
            zone: &zone,
            host: &host,
            shape: 1,
            slot: Some(at),
            agent: "",
            is_known: false,
            by_part: true,
        };
        let Some(campaign) = self.campaign(&sign, false) else { return };
        let evidence: SmallVec<[ExchangeId; 5]> = members.iter().take(5).map(|m| m.evidence).collect();
        self.note(campaign, &fired, &facts, &evidence);
        for member in members {
            if self.units.get(member.unit).is_some_and(|u| !self.is_good(u)) {
                self.convict_unit(member.unit, campaign, rule, false, 1, Some(member.evidence));
            }
        }
    }

    /// True where the client calls this endpoint and nothing else but the form, or the pages, that lead to it.
    pub(super) fn lives_for(&self, unit: &Unit, at: u32) -> bool {
        // The page of a form that a script takes under the name of an operation has the script's path alone.
        let template = self.slots.get(at as usize).map(|s| &*s.endpoint.template);
        let script = template.and_then(|t| t.split_once('#')).map(|(path, _)| path);
        let Some(own) = unit.calls.iter().find(|c| self.resolve(c.slot) == at) else { return false };
        let of_it = |c: &Call| {
            let slot = self.resolve(c.slot);
            slot == at
                || self
                    .slots
                    .get(slot as usize)
                    .map(|s| &*s.endpoint.template)
                    .is_some_and(|t| Some(t) == template || Some(t) == script)
                || c.n <= own.n && c.targets.is_within(&own.targets)
        };
        unit.assets == 0 && unit.rare().calls_over == 0 && unit.calls.iter().all(of_it)
    }
}

/// What crowds of bare clients are looked for at an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BareKind {
    /// That do something sensitive.
    Acts,
    /// That read, each again and again.
    Reads,
    /// That post, vote or make accounts.
    Posts,
    /// That post again and again.
    Repeats,
    /// That read what pages lead to, with Referers of pages that they never asked for.
    Strangers,
    /// The same once or a few times each, where they are many.
    Passers,
    /// That find nothing.
    Guesses,
    /// That try one code after another, whatever is answered, and load nothing of the form's page.
    Codes,
}

impl BareKind {
    fn at(slot: &Slot) -> SmallVec<[BareKind; 4]> {
        let roles = slot.roles();
        let acts = roles.any(Roles(Roles::SENSITIVE.0 | Roles::INVENTORY.0));
        let guessed =
            Roles(Roles::LOGIN.0 | Roles::GIFT_CARD.0 | Roles::COUPON.0 | Roles::OTP.0 | Roles::ID_LOOKUP.0);
        let mut kinds = SmallVec::new();
        if acts {
            kinds.push(BareKind::Acts);
        } else if roles.any(Roles::PRICE) || slot.pages > slot.n / 2 {
            kinds.push(BareKind::Reads);
        }
        let posts = Roles(Roles::POSTING.0 | Roles::VOTE.0 | Roles::SIGN_UP.0);
        if roles.any(posts) && slot.reads * 2 <= slot.n {
            kinds.push(BareKind::Posts);
            kinds.push(BareKind::Repeats);
        }
        if !acts && slot.parameters && slot.reads == slot.n {
            kinds.push(BareKind::Strangers);
            kinds.push(BareKind::Passers);
        }
        if roles.any(guessed) {
            kinds.push(BareKind::Guesses);
        }
        if roles.any(Roles(Roles::GIFT_CARD.0 | Roles::COUPON.0)) {
            kinds.push(BareKind::Codes);
        }
        kinds
    }

    fn takes(self, unit: &Unit) -> bool {
        !matches!(self, BareKind::Strangers | BareKind::Passers) || unit.habits.makes_up_referers()
    }

    /// As far as its counts tell, which cost less than a look at the client.
    fn may_take(self, member: &Member) -> bool {
        match self {
            BareKind::Repeats => member.n >= POSTS,
            BareKind::Strangers => member.n >= STRANGE_READS,
            BareKind::Acts | BareKind::Posts | BareKind::Passers => true,
            BareKind::Codes => member.n >= CODES,
            BareKind::Reads => member.n >= READS,
            BareKind::Guesses => member.ok == 0 && member.fails > 0,
        }
    }

    /// Who stands beside callers that do much besides needs to leave out no step of theirs.
    const fn stands_out(self) -> bool {
        !matches!(self, BareKind::Acts | BareKind::Reads)
    }

    const fn posts(self) -> bool {
        matches!(self, BareKind::Posts | BareKind::Repeats)
    }

    const fn least(self, roles: Roles) -> usize {
        match self {
            BareKind::Acts if roles.any(Roles::RESET) => BARE_POSTERS,
            BareKind::Acts => BARE,
            BareKind::Reads => BARE_READERS,
            BareKind::Posts => BARE_POSTERS,
            BareKind::Repeats => BARE_REPEATERS,
            BareKind::Strangers => BARE_STRANGERS,
            BareKind::Passers => BARE_PASSERS,
            BareKind::Codes => BARE_GUESSERS,
            BareKind::Guesses => BARE_GUESSERS,
        }
    }
}

/// A bare client at an endpoint.
#[derive(Clone, Copy, Debug)]
struct BareMember {
    member: Member,
    targets: f64,
    /// It shows a session.
    signed: bool,
    /// It is of a part that is convicted.
    apart: bool,
    /// What is known of it is more than one request that may be of somebody's who is known otherwise.
    whole: bool,
    agent: AgentKind,
}

/// Bare clients that are convicted already, with how many are of each campaign.
#[derive(Debug, Default)]
struct KnownCrowd {
    members: Vec<BareMember>,
    /// What they say that they are.
    agents: BTreeSet<AgentKind>,
    campaigns: BTreeMap<u32, usize>,
}

impl KnownCrowd {
    fn add(&mut self, campaign: u32, member: BareMember) {
        *self.campaigns.entry(campaign).or_default() += 1;
        self.agents.insert(member.agent);
        self.members.push(member);
    }

    /// The campaign that most of them are of, among those that `fits`.
    fn campaign(&self, fits: impl Fn(u32) -> bool) -> Option<u32> {
        let fitting = self.campaigns.iter().filter(|(at, _)| fits(**at));
        fitting.max_by_key(|(at, n)| (**n, std::cmp::Reverse(**at))).map(|(at, _)| *at)
    }
}
