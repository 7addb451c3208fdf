//! Who is let alone though a rule holds for the company he keeps, or for what he does: owners, staff, services, and members that do
//! not show themselves what their part shows.

use smallvec::SmallVec;

use super::Engine;
use super::member::Member;
use super::unit::{Call, Unit};
use crate::agent::AgentKind;
use crate::observation::Traits;
use crate::role::Roles;

/// Calls from which on who rushes at a sale does what people do not: a few tries they make too.
const REPEATED: u32 = 8;
/// And so fast at least.
const RUSH_MS: i64 = 1500;
/// Things that a person reads in a day, at most.
const READ_ON: f64 = 40.0;
/// Coupons that an extension knows of one shop, at most.
const LISTED: f64 = 40.0;
/// Objects that a member of a part that opens others' has opened itself.
const OPENED: f64 = 12.0;

impl Engine {
    /// True where what looks like an attack is what people do by hand, or with a browser's help: then it is no more than suspicious.
    pub(super) fn works_by_hand(&self, units: &[u64], call: &Call, rule: usize) -> bool {
        match self.class(rule) {
            "bola" => self.opens_by_hand(units, call),
            "coupon-abuse" => self.guesses(rule) && self.shops(units, call),
            _ => false,
        }
    }

    /// True where objects are opened one by one in the application's pages, seconds apart and in no order: whose job it is does so, and
    /// an insider who does too is no more than suspicious.
    fn opens_by_hand(&self, units: &[u64], call: &Call) -> bool {
        const PAUSE_NS: i64 = 4_000_000_000;
        let walk = call.walk();
        // A queue of tickets is worked off in the order of their numbers, page by page.
        let page = self.slots.get(self.resolve(call.slot) as usize).is_some_and(|s| s.pages * 2 > s.n);
        let steps = !page && walk.steps >= 8 && walk.near * 10 >= walk.steps * 3;
        let pause = call.last.since(call.first) / i64::from(call.n.max(2) - 1);
        let mut units = units.iter().filter_map(|k| self.units.get(*k)).peekable();
        pause >= PAUSE_NS && !steps && units.peek().is_some() && units.all(|u| u.trusted && !u.tool)
    }

    /// True of shoppers with something in their cart, in browsers that load the pages: an extension tries all the coupons that it knows.
    pub(super) fn shops(&self, units: &[u64], call: &Call) -> bool {
        let mut units = units.iter().filter_map(|k| self.units.get(*k)).peekable();
        units.peek().is_some()
            && call.targets.count() < LISTED
            && units.all(|u| {
                let elsewhere = |c: &&Call| self.resolve(c.slot) != self.resolve(call.slot);
                u.trusted && !u.tool && u.calls.iter().filter(elsewhere).any(|c| self.fills_cart(c))
            })
    }

    /// True of calls that put something into a cart, or buy, and worked.
    fn fills_cart(&self, call: &Call) -> bool {
        let slot = self.slots.get(self.resolve(call.slot) as usize);
        let buys = Roles(Roles::CART.0 | Roles::CHECKOUT.0 | Roles::PAYMENT.0);
        call.ok > 0 && slot.is_some_and(|s| s.roles().any(buys))
    }

    /// True where objects are nobody's; or those that are named in bodies and queries are one's own, or one's work: of a program that
    /// syncs, a dashboard, a clerk.
    ///
    /// Of what is nobody's a quarter is seen to be opened by others as well. Of one's own nearly nothing is refused, and either hardly any of the objects is somebody else's, or lies between theirs, where whose they
    /// are is known of several others; or they are opened at the pace of people, in no order, among other things that the application does.
    pub(super) fn opens_its_own(&self, units: &[u64], session: Option<u64>, call: &Call) -> bool {
        const PAUSE_NS: i64 = 4_000_000_000;
        let Some(slot) = self.slots.get(self.resolve(call.slot) as usize) else { return false };
        let units = || units.iter().filter_map(|k| self.units.get(*k));
        let tokens = units().flat_map(|u| &u.sessions).filter(|t| t.login).map(|t| t.hash as u32);
        let own: SmallVec<[u32; 8]> = match session {
            Some(hash) => SmallVec::from_slice(&[hash as u32]),
            None => tokens.collect(),
        };
        let contrast = slot.owners.contrast(&own);
        if contrast.is_common() {
            return true;
        }
        if slot.parameters || slot.pages * 2 > slot.n || call.fails() >= 3 && call.fails() * 20 >= call.n {
            return false;
        }
        // A program that syncs says what it is: who walks step by step under a browser's name looks for what there is.
        let walk = call.walk();
        let disguised = |u: &Unit| u.tool && u.agent.kind == AgentKind::Browser && u.assets == 0;
        if walk.steps >= 16 && walk.near * 10 >= walk.steps * 9 && units().any(disguised) {
            return false;
        }
        if !own.is_empty() && contrast.known >= 5 && contrast.others + contrast.amid <= 2 {
            return true;
        }
        let steps = walk.steps >= 8 && walk.near * 10 >= walk.steps * 3;
        let pause = call.last.since(call.first) / i64::from(call.n.max(2) - 1);
        pause >= PAUSE_NS
            && !steps
            && units().next().is_some()
            && units().all(|u| !u.tool && u.breadth() >= 3)
    }

    /// True where sign-ins are attacked and a quarter of the convicted part's clients always got in: then others than attackers have its head, and who was never
    /// refused is one of them.
    pub(super) fn lets_in(&self, campaign: u32, rule: usize, shape: u64) -> bool {
        if !self.class(rule).starts_with("credential") {
            return false;
        }
        let slots = self.campaigns.get(campaign as usize).map_or(&[][..], |c| &c.slots);
        let here = slots.iter().filter_map(|at| self.slots.get(self.resolve(*at) as usize));
        let members = || here.clone().filter_map(|s| s.parts.get(&shape)).flat_map(|p| &p.members);
        let always = members().filter(|m| m.ok > 0 && m.fails == 0).count();
        always > 0 && always * 4 >= members().count()
    }

    /// True of a member that got in at its first try and then did nothing, long ago: where nine in ten members of a part that attacks
    /// sign-ins were refused, what it shows is that the attack works.
    pub(super) fn got_in(
        &self,
        campaign: u32,
        rule: usize,
        shape: u64,
        unit: &Unit,
        member: &Member,
    ) -> bool {
        const SINCE_NS: i64 = 60_000_000_000;
        const MEMBERS: usize = 20;
        if self.class(rule) != "credential-stuffing"
            || member.ok == 0
            || self.now.since(member.last) < SINCE_NS
        {
            return false;
        }
        let slots = self.campaigns.get(campaign as usize).map_or(&[][..], |c| &c.slots);
        let here = slots.iter().map(|at| self.resolve(*at));
        if !here.clone().any(|at| self.lives_for(unit, at)) {
            return false;
        }
        let parts = here.filter_map(|at| self.slots.get(at as usize)).filter_map(|s| s.parts.get(&shape));
        let (all, always) = parts.flat_map(|p| &p.members).fold((0usize, 0usize), |(all, always), m| {
            (all + 1, always + usize::from(m.ok > 0 && m.fails == 0))
        });
        all >= MEMBERS && always * 10 <= all
    }

    /// True where a signed-in person or program takes along what is listed for them, page after page: an export. What others read
    /// without signing in is nobody's own.
    pub(super) fn exports_its_own(&self, units: &[u64], call: &Call, rule: usize) -> bool {
        const OTHERS: usize = 3;
        let Some(slot) = self.slots.get(self.resolve(call.slot) as usize) else { return false };
        let signed_in = |u: &Unit| u.habits.acts().logged_in > 0 && u.sessions.iter().any(|t| t.login);
        let pages = |u: &Unit| u.habits.seldom().page_steps.saturating_mul(2) >= call.n;
        let mut own = units.iter().filter_map(|k| self.units.get(*k)).peekable();
        if !self.class(rule).ends_with("scraping")
            || call.fails() * 20 > call.n
            || own.peek().is_none()
            || !own.all(|u| signed_in(u) && pages(u))
        {
            return false;
        }
        let members =
            slot.order.iter().filter_map(|s| slot.parts.get(s)).flat_map(|p| p.members.iter().take(64));
        let free = members.filter(|m| m.ok > 0 && !units.contains(&m.unit));
        free.filter(|m| self.units.get(m.unit).is_some_and(|u| u.habits.acts().logged_in == 0))
            .take(OTHERS)
            .count()
            < OTHERS
    }

    /// True where a member shows itself what its part shows on the whole: with the head of the site's own app a few tries at a
    /// sale, not twice a second, one sign-up, one code and one forgotten password are anybody's, whoever else has this head.
    pub(super) fn shows_own_part(&self, campaign: u32, unit: &Unit, member: &Member) -> bool {
        let Some(campaign) = self.campaigns.get(campaign as usize) else { return true };
        let own = || {
            let here = unit.calls.iter().filter(|c| campaign.slots.contains(&self.resolve(c.slot)));
            here.map(|c| c.targets.count()).fold(0.0, f64::max)
        };
        let like_a_browser = unit.loads_like_a_browser();
        match self.class(campaign.rule) {
            "hype-sale-bot" => member.n >= REPEATED && member.pace_ms() <= RUSH_MS,
            "inventory-hoarding" => member.n >= REPEATED,
            "fake-account-creation" => member.n >= 2,
            "bola" => own() >= OPENED,
            // Who reads on, page after page with all that belongs to it.
            class if class.ends_with("scraping") && like_a_browser => own() >= READ_ON,
            // One forgotten password is anybody's.
            _ if self.rests_on(campaign.rule, "reset-unknown") => own() >= 2.0,
            // One code may be mistyped, or have run out.
            "coupon-abuse" if self.guesses(campaign.rule) => own() >= 2.0 || unit.tool,
            // An owner whose program has an old password says one and the same, again and again.
            "credential-cracking" => member.n < 3 || unit.habits.secrets.count() > 1.0,
            // Who mistypes and then gets in, or gives up.
            "credential-stuffing" if like_a_browser => member.fails > member.ok && own() >= 2.0,
            _ => !self.rests_on(campaign.rule, "tries") || own() >= 3.0,
        }
    }

    /// Refusals from which on a member is one that guesses: of codes more of who fills a cart and pays besides, with the head of the site's own
    /// application; people try the vouchers that they find.
    pub(super) fn least_fails(&self, campaign: u32, unit: &Unit) -> u32 {
        const FEW: u32 = 3;
        const MANY: u32 = 8;
        let Some(campaign) = self.campaigns.get(campaign as usize) else { return FEW };
        let codes = matches!(self.class(campaign.rule), "coupon-abuse" | "giftcard-bruteforce");
        let here = |slot: u32| campaign.slots.iter().any(|s| self.resolve(*s) == self.resolve(slot));
        let buys = || unit.calls.iter().any(|c| !here(c.slot) && self.fills_cart(c));
        // Codes that go round are over for most: who plays or reads besides and tries some guesses none either.
        let lives = || {
            let tried: u32 = unit.calls.iter().filter(|c| here(c.slot)).map(|c| c.n).sum();
            unit.breadth() >= 6 && tried.saturating_mul(3) < unit.n.saturating_sub(unit.assets)
        };
        if codes && !unit.tool && (buys() || lives()) { MANY } else { FEW }
    }

    /// True where a client tries one account again and again, in a campaign over many accounts: its owner does that, while nobody
    /// can sign in or because the password is forgotten.
    pub(super) fn acts_for_one(&self, unit: &Unit, campaign: u32) -> bool {
        let Some(campaign) = self.campaigns.get(campaign as usize) else { return false };
        let over_many =
            matches!(self.class(campaign.rule), "credential-stuffing" | "password-reset-enumeration");
        let mut calls =
            unit.calls.iter().filter(|c| campaign.slots.contains(&self.resolve(c.slot))).peekable();
        over_many && calls.peek().is_some() && calls.all(|c| c.n >= 2 && c.targets.count() <= 1.0)
    }

    /// True of a service to which the site's own log-in gave a token for credentials of its own (RFC 6749 §4.4): it may read what it
    /// was made to read.
    pub(super) fn is_service(&self, units: &[u64], rule: usize) -> bool {
        let reads = self.class(rule) == "bola" || self.class(rule).ends_with("scraping");
        let mut units = units.iter().filter_map(|k| self.units.get(*k)).peekable();
        reads && units.peek().is_some() && units.all(|u| u.any.has(Traits::SERVICE))
    }
}
