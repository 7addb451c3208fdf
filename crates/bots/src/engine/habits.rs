//! What a client does by habit: small counters, each a few instructions a request.

use sidetap_model::Ts;

use super::pool::of_box;
use super::sketch::{Distinct, Few, Least};
use crate::hash;
use crate::observation::{Observation, Outcome, Surface, Traits};
use crate::role::Roles;

/// Habits of one client. What most clients never show stands in boxes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    /// Connections whose first request it was.
    pub(crate) connections: u32,
    /// Hours of the day with a request, a bit each.
    pub(crate) hours: u32,
    /// Requests for the endpoint of the one before.
    pub(crate) again: u32,
    /// Requests for endpoints: the last two.
    before: [u32; 2],
    /// From which endpoint to which.
    pub(crate) steps: Few,
    /// Heads, assets aside.
    pub(crate) heads: Few,
    pub(crate) hosts: Few,
    pub(crate) keys: Few,
    pub(crate) secrets: Few,
    /// Paths asked for.
    paths: Distinct,
    /// Answers of 4xx, and of 401 and 403 among them.
    pub(crate) refused: u32,
    pub(crate) unauthorized: u32,
    pub(crate) wait_ms: u64,
    pub(crate) writes: u32,
    page_at: Ts,
    pub(crate) deep: u32,
    limited: bool,
    pub(crate) robots_first: bool,
    /// Which library's head it sends under another name.
    pub(crate) resembles: u8,
    /// The way through endpoints by threes, and what was asked for.
    pub(crate) route: Least,
    pub(crate) aims: Least,
    caches: Option<Box<Caches>>,
    acts: Option<Box<Acts>>,
    seldom: Option<Box<Seldom>>,
}

/// How a client deals with redirects and with what it has already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caches {
    pub(crate) redirects: u32,
    /// Redirects whose location was asked for next.
    pub(crate) followed: u32,
    location: u32,
    /// Answers that can be validated again, and what they were of: the last four.
    pub(crate) validators: u32,
    visited: [u32; 4],
    /// Requests for what could have been validated, and those that did not ask to.
    pub(crate) revisits: u32,
    pub(crate) unconditional: u32,
}

/// Calls of login, sign-up, purchase and the like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acts {
    pub(crate) n: u32,
    /// Without a page before.
    pub(crate) blind: u32,
    /// Milliseconds from a page to one at least, from the client's first request to the first.
    pub(crate) form_ms: Option<u32>,
    pub(crate) first_ms: Option<u32>,
    pub(crate) logged_in: u32,
}

/// What few clients do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seldom {
    /// Referers of this host, and those that name no path asked for.
    pub(crate) referers: u32,
    pub(crate) unseen_referers: u32,
    last_referer: u32,
    pub(crate) same_referer: u32,
    page: u32,
    stride: u32,
    /// Steps from a page of a list to the next.
    pub(crate) page_steps: u32,
    pub(crate) deepest: u32,
    /// Requests within a second of an answer of 429.
    pub(crate) hasty: u32,
    pub(crate) preflights: u32,
    /// Writes from a page of another site.
    pub(crate) foreign: u32,
    pub(crate) busters: u32,
}

impl Habits {
    /// Takes a request in. `n` requests were before, the last of them `gap` nanoseconds ago and the first `age`; `at` is the
    /// endpoint's id and its host.
    pub(crate) fn request(&mut self, o: &Observation, n: u32, gap: i64, age: i64, at: Option<(u64, u64)>) {
        self.connections += u32::from(o.seq == 0);
        self.hours |= 1 << (o.ts.secs().rem_euclid(86_400) / 3600);
        self.robots_first |= n == 0 && o.surface == Surface::Robots;
        if o.resembles != 0 {
            self.resembles = o.resembles;
        }
        if o.surface == Surface::Asset {
            return;
        }
        let path = o.path as u32;
        if let Some(caches) = &mut self.caches {
            caches.request(o, path);
        }
        let hasty = self.limited && gap < 1_000_000_000;
        self.limited = false;
        self.heads.insert(o.prints.shape);
        self.refer(o);
        self.walk(o, at);
        self.act(o, age);
        self.writes += u32::from(o.traits.has(Traits::WRITES));
        let foreign = o.traits.has(Traits::ORIGIN_FOREIGN) && o.traits.has(Traits::WRITES);
        let marks = [hasty, o.traits.has(Traits::OPTIONS), foreign, o.traits.has(Traits::CACHE_BUSTER)];
        if marks.contains(&true) {
            let seldom = self.seldom.get_or_insert_default();
            let [hasty, preflight, foreign, buster] = marks.map(u32::from);
            seldom.hasty += hasty;
            seldom.preflights += preflight;
            seldom.foreign += foreign;
            seldom.busters += buster;
        }
        if let Some(secret) = o.secret {
            self.secrets.insert(secret);
            o.more_secrets.iter().for_each(|secret| self.secrets.insert(*secret));
        }
        if let Some(key) = &o.api_key {
            self.keys.insert(key.hash);
        }
    }

    fn refer(&mut self, o: &Observation) {
        self.paths.insert(o.path);
        if o.referer == 0 {
            return;
        }
        let unseen = !self.paths.may_have(o.referer);
        let seldom = self.seldom.get_or_insert_default();
        seldom.referers += 1;
        seldom.unseen_referers += u32::from(unseen);
        let referer = o.referer as u32;
        seldom.same_referer = if referer == seldom.last_referer { seldom.same_referer + 1 } else { 0 };
        seldom.last_referer = referer;
    }

    fn walk(&mut self, o: &Observation, at: Option<(u64, u64)>) {
        if o.page > 0 {
            let seldom = self.seldom.get_or_insert_default();
            // Offsets grow by as much as a page holds.
            let stride = o.page.saturating_sub(seldom.page);
            let even = (1..=10).contains(&stride) && stride.abs_diff(seldom.stride) <= 1;
            seldom.page_steps += u32::from(stride == 1 || even);
            seldom.stride = stride;
            seldom.page = o.page;
            seldom.deepest = seldom.deepest.max(o.page);
        }
        if let Some(target) = o.target {
            self.aims.insert(target.hash);
        }
        let Some((endpoint, host)) = at else { return };
        self.hosts.insert(host);
        let here = endpoint as u32;
        let [last, second] = self.before;
        self.again += u32::from(here == last);
        self.steps.insert(hash::words(&[u64::from(last) << 32 | u64::from(here)]));
        if second != 0 {
            self.route.insert(hash::words(&[u64::from(second) << 32 | u64::from(last), u64::from(here)]));
        }
        self.deep += u32::from(o.traits.has(Traits::WRITES) || o.target.is_some_and(|t| t.number.is_some()));
        self.before = [here, last];
    }

    fn act(&mut self, o: &Observation, age: i64) {
        if o.surface == Surface::Page {
            self.page_at = o.ts;
        }
        if !o.roles.any(Roles::SENSITIVE) || !o.traits.has(Traits::WRITES) {
            return;
        }
        let ms = |nanos: i64| u32::try_from(nanos / 1_000_000).unwrap_or(u32::MAX);
        let acts = self.acts.get_or_insert_default();
        acts.n += 1;
        acts.first_ms.get_or_insert(ms(age.max(0)));
        if self.page_at == Ts::default() {
            acts.blind += 1;
        } else {
            let since = ms(o.ts.since(self.page_at).max(0));
            acts.form_ms = Some(acts.form_ms.map_or(since, |known| known.min(since)));
        }
    }

    /// Takes an answer in.
    pub(crate) fn answer(&mut self, o: &Observation) {
        self.wait_ms += u64::from(o.wait_ms);
        let leads = o.traits.has(Traits::REDIRECT) && o.location != 0;
        let validates = o.traits.has(Traits::VALIDATOR) && o.surface != Surface::Asset;
        if leads || validates {
            self.caches.get_or_insert_default().answer(o, leads, validates);
        }
        self.refused += u32::from((400..500).contains(&o.status));
        self.unauthorized += u32::from(matches!(o.status, 401 | 403));
        self.limited = o.outcome == Outcome::Limited;
        if o.outcome == Outcome::Success && o.roles.any(Roles::LOGIN) {
            self.acts.get_or_insert_default().logged_in += 1;
        }
    }

    /// Bytes that they hold beside their own record.
    pub(crate) fn heap(&self) -> usize {
        let boxes =
            of_box(self.caches.as_deref()) + of_box(self.acts.as_deref()) + of_box(self.seldom.as_deref());
        boxes + self.paths.heap()
    }

    pub(crate) fn caches(&self) -> Caches {
        self.caches.as_deref().copied().unwrap_or_default()
    }

    pub(crate) fn acts(&self) -> Acts {
        self.acts.as_deref().copied().unwrap_or_default()
    }

    /// True where nearly all of its Referers name pages of the host that it never asked for.
    pub(crate) fn makes_up_referers(&self) -> bool {
        self.seldom.as_deref().is_some_and(|s| s.referers > 0 && s.unseen_referers * 5 >= s.referers * 4)
    }

    pub(crate) fn seldom(&self) -> Seldom {
        self.seldom.as_deref().copied().unwrap_or_default()
    }
}

impl Caches {
    fn request(&mut self, o: &Observation, path: u32) {
        if self.location != 0 {
            self.followed += u32::from(self.location == path);
            self.location = 0;
        }
        if self.validators > 0 && o.traits.has(Traits::GET) && self.visited.contains(&path) {
            self.revisits += 1;
            self.unconditional += u32::from(!o.traits.has(Traits::CONDITIONAL));
        }
    }

    fn answer(&mut self, o: &Observation, leads: bool, validates: bool) {
        if leads {
            self.redirects += 1;
            self.location = o.location as u32;
        }
        if validates {
            let at = (self.validators % 4) as usize;
            if let Some(slot) = self.visited.get_mut(at) {
                *slot = o.path as u32;
            }
            self.validators += 1;
        }
    }
}
