//! A rule's scope: roles and channels as the endpoints that have them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use sidetap_model::rows::{CampaignRow, VerdictRow};
use sidetap_model::{Scope, Ts};

use crate::places::{Known, Places, covers, host_matches};
use crate::traffic::{Behind, Traffic};

/// Most places that a scope stands for: a device holds an entry for each.
const MOST: usize = 64;

/// A rule's scope as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RuleScope {
    pub(crate) hosts: Vec<String>,
    pub(crate) endpoints: Vec<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) channels: Vec<String>,
    pub(crate) widen: bool,
}

/// What roles and channels of a scope stand for, the likeliest to be the site's first.
#[derive(Debug, Default)]
pub(crate) struct Stands {
    all: Vec<Stand>,
    /// Places that there is room for.
    room: usize,
    /// Places that each endpoint without a host takes.
    hosts: usize,
}

/// An endpoint, or one at any host.
#[derive(Debug)]
struct Stand {
    name: String,
    /// Whether it is one at any host.
    anywhere: bool,
    calls: u64,
    callers: u64,
    first_seen: Ts,
    /// Requests of who was not told of.
    good: u64,
}

impl RuleScope {
    /// Whether it restricts nothing.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.hosts.is_empty()
            && self.endpoints.is_empty()
            && self.roles.is_empty()
            && self.channels.is_empty()
    }

    /// The scope in a device's terms, roles and channels as their endpoints.
    ///
    /// Anyone makes endpoints up by a `Host` of his own, as many as he likes. So the rule's hosts are looked at first; where more are left
    /// than a device is told of, a path that has the role at several hosts has it at any; and where they are too many still, those stay that
    /// the campaign went to and those that most different clients ask for, by turns, so that neither kind takes the other's place.
    pub(crate) fn resolve(
        &self,
        campaign: Option<&CampaignRow>,
        places: &Places,
        traffic: Option<&Traffic>,
    ) -> Scope {
        let mut scope = Scope {
            hosts: self.hosts.clone(),
            endpoints: self.endpoints.clone(),
            widen: self.widen,
            ..Scope::default()
        };
        if !self.roles.is_empty() || !self.channels.is_empty() {
            let stands = places.stands(self, || self.stands(places, traffic));
            let (kept, cut) = stands.keep(campaign);
            scope.endpoints.extend(kept.into_iter().map(|s| s.name.clone()));
            scope.cut = u32::try_from(cut).unwrap_or(u32::MAX);
        }
        scope.endpoints.sort_unstable();
        scope.endpoints.dedup();
        scope
    }

    /// Whether a verdict was seen where the scope is; where roles or channels are named, some endpoint of them has to be known.
    pub(crate) fn holds(
        &self,
        v: &VerdictRow,
        campaign: Option<&CampaignRow>,
        places: &Places,
        traffic: Option<&Traffic>,
    ) -> bool {
        if self.is_everywhere() {
            return true;
        }
        let endpoints = campaign.map(|c| c.endpoints.as_slice()).unwrap_or_default();
        // Whatever a device has no room for, the rule holds there.
        if endpoints.iter().filter_map(|e| places.named(e)).any(|known| self.names(known)) {
            return true;
        }
        let scope = self.resolve(None, places, traffic);
        if scope.is_everywhere() {
            return false;
        }
        let seen = v.hosts.iter().map(|h| (None, h.as_str()));
        let seen =
            seen.chain(endpoints.iter().filter_map(|e| e.split_once(' ')).map(|(m, at)| (Some(m), at)));
        let mut seen =
            seen.map(|(method, at)| (method, at.split_once('/').map_or((at, ""), |(h, p)| (h, p))));
        seen.any(|(method, (host, path))| covers(&scope, method, host, &format!("/{path}")))
    }

    /// Whether an endpoint has a role and a channel of the scope, of what it names, at a host of it.
    fn names(&self, known: &Known) -> bool {
        let one_of =
            |all: &[String], of: &[String]| all.is_empty() || all.iter().any(|name| of.contains(name));
        !(self.roles.is_empty() && self.channels.is_empty())
            && one_of(&self.roles, &known.roles)
            && one_of(&self.channels, &known.channels)
            && (self.hosts.is_empty() || self.hosts.iter().any(|h| host_matches(h, &known.host)))
    }

    fn stands(&self, places: &Places, traffic: Option<&Traffic>) -> Stands {
        let hosts = self.hosts.len().max(1);
        let written = self.endpoints.iter().map(|e| {
            let at = e.split_once(' ').map_or(e.as_str(), |(_, at)| at);
            if at.starts_with('/') { hosts } else { 1 }
        });
        let room = MOST.saturating_sub(written.sum());
        let found: Vec<(&String, &Known)> = places.each().filter(|(_, known)| self.names(known)).collect();
        let mut stands = Stands { all: together(&found, room, hosts), room, hosts };
        if stands.cost() > room {
            stands.rank(traffic);
        }
        stands
    }
}

/// The endpoints, of which those with one path are put together until there is room for all, the most hosts first.
fn together(found: &[(&String, &Known)], room: usize, hosts: usize) -> Vec<Stand> {
    let mut alike: BTreeMap<(&str, &str), Vec<(&String, &Known)>> = BTreeMap::new();
    for (name, known) in found {
        alike.entry((&known.method, &known.template)).or_default().push((name, known));
    }
    let mut alike: Vec<_> = alike.into_iter().collect();
    alike.sort_by_key(|(at, those)| (Reverse(those.len()), *at));
    let mut cost = found.len();
    let mut all = Vec::new();
    for ((method, template), those) in alike {
        if cost > room && those.len() > hosts {
            cost = cost - those.len() + hosts;
            all.push(Stand {
                name: format!("{method} {template}"),
                anywhere: true,
                calls: those.iter().fold(0, |sum, (_, k)| sum.saturating_add(k.calls)),
                callers: those.iter().map(|(_, k)| k.callers).max().unwrap_or(0),
                first_seen: those.iter().map(|(_, k)| k.first_seen).min().unwrap_or_default(),
                good: 0,
            });
        } else {
            all.extend(those.into_iter().map(|(name, k)| Stand {
                name: name.clone(),
                anywhere: false,
                calls: k.calls,
                callers: k.callers,
                first_seen: k.first_seen,
                good: 0,
            }));
        }
    }
    all
}

impl Stands {
    /// Places that all of it takes.
    fn cost(&self) -> usize {
        self.all.iter().map(|s| self.cost_of(s)).sum()
    }

    fn cost_of(&self, stand: &Stand) -> usize {
        if stand.anywhere { self.hosts } else { 1 }
    }

    /// Puts what somebody may have made up last: what one request went to or nobody but who was told of, then what few clients ask for. One
    /// client can ask as often as he likes, so that calls count after clients; names never do but where all else is equal.
    fn rank(&mut self, traffic: Option<&Traffic>) {
        let mut good: HashMap<String, u64> = HashMap::new();
        for cell in traffic.iter().flat_map(|t| t.cells()).filter(|c| c.behind == Behind::Good) {
            let seen = &cell.seen;
            for name in [
                format!("{} {}{}", seen.method, seen.host, seen.path),
                format!("{} {}", seen.method, seen.path),
            ] {
                *good.entry(name).or_default() += cell.requests;
            }
        }
        for stand in &mut self.all {
            stand.good = good.get(&stand.name).copied().unwrap_or(0);
        }
        self.all.sort_by(|a, b| {
            let key =
                |s: &Stand| (s.calls <= 1, s.good == 0, Reverse(s.callers), Reverse(s.calls), s.first_seen);
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
    }

    /// Those that there is room for, and how many there is none for.
    fn keep(&self, campaign: Option<&CampaignRow>) -> (Vec<&Stand>, usize) {
        if self.cost() <= self.room {
            return (self.all.iter().collect(), 0);
        }
        let own: HashSet<&str> = campaign.iter().flat_map(|c| &c.endpoints).map(String::as_str).collect();
        let paths: HashSet<String> = own.iter().filter_map(|e| anywhere(e)).collect();
        let is_own =
            |s: &&Stand| if s.anywhere { paths.contains(&s.name) } else { own.contains(s.name.as_str()) };
        let (mut first, mut all) = (self.all.iter().filter(is_own), self.all.iter());
        let (mut kept, mut taken, mut room) = (Vec::new(), HashSet::new(), self.room);
        loop {
            let turn = [first.find(|s| !taken.contains(&s.name)), all.find(|s| !taken.contains(&s.name))];
            let turn: Vec<&Stand> = turn.into_iter().flatten().collect();
            if turn.is_empty() {
                break;
            }
            for stand in turn {
                if self.cost_of(stand) <= room && taken.insert(&stand.name) {
                    room -= self.cost_of(stand);
                    kept.push(stand);
                }
            }
            if room == 0 {
                break;
            }
        }
        let cut = self.all.len() - kept.len();
        (kept, cut)
    }
}

/// An endpoint without its host.
fn anywhere(endpoint: &str) -> Option<String> {
    let (method, at) = endpoint.split_once(' ')?;
    at.find('/').and_then(|i| at.get(i..)).map(|path| format!("{method} {path}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::TrafficBuilder;
    use crate::seen::tests::seen;

    fn known(host: &str, template: &str, calls: u64, callers: u64) -> Known {
        Known {
            method: "POST".into(),
            host: host.into(),
            template: template.into(),
            roles: vec!["login".into()],
            channels: Vec::new(),
            calls,
            callers,
            first_seen: Ts(0),
        }
    }

    fn rule(hosts: &[&str]) -> RuleScope {
        let hosts = hosts.iter().map(|h| (*h).to_owned()).collect();
        RuleScope { hosts, roles: vec!["login".into()], ..RuleScope::default() }
    }

    fn campaign(endpoints: impl Iterator<Item = String>) -> CampaignRow {
        let endpoints: Vec<String> = endpoints.collect();
        serde_json::from_value(serde_json::json!({
            "id": "c", "class": "x", "oat": [], "score": 1, "phase": "online", "first_seen": Ts(0), "detected_at": Ts(0),
            "last_seen": Ts(0), "requests": 1, "endpoints": endpoints, "members": [], "signature": {}, "outcome": {}, "reasons": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_role_and_a_channel_are_fewer_than_either() {
        let of = |path: &str, role: &str, channel: &str| Known {
            roles: vec![role.into()],
            channels: vec![channel.into()],
            ..known("a.example", path, 9, 9)
        };
        let all =
            [of("/api/login", "login", "api"), of("/login", "login", "web"), of("/items", "item", "api")];
        let places = Places::with(all);
        let found = |roles: &[&str], channels: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
            let scope = RuleScope { roles: own(roles), channels: own(channels), ..RuleScope::default() };
            scope.resolve(None, &places, None).endpoints.len()
        };
        assert_eq!((found(&["login"], &[]), found(&[], &["api"])), (2, 2));
        assert_eq!(found(&["login"], &["api"]), 1);
    }

    #[test]
    fn one_path_at_many_hosts_is_one_place_and_hosts_that_are_named_stay_the_only_ones() {
        let hosts = |n: usize| (0..n).map(|n| known(&format!("{n:03}.example"), "/login", 9, 9));
        let places = Places::with(hosts(64));
        assert_eq!(rule(&[]).resolve(None, &places, None).endpoints.len(), 64, "there is room for each");
        let places = Places::with(hosts(65).chain([known("a.example", "/other", 1, 1)]));
        let scope = rule(&[]).resolve(None, &places, None);
        assert_eq!(
            (scope.endpoints, scope.cut),
            (vec!["POST /login".into(), "POST a.example/other".into()], 0)
        );
        let scope = rule(&["007.example"]).resolve(None, &places, None);
        assert_eq!(scope.endpoints, ["POST 007.example/login"]);
        let scope = rule(&["*.example"]).resolve(None, &places, None);
        assert_eq!((scope.hosts, scope.endpoints.len()), (vec!["*.example".into()], 2), "below it only");
    }

    #[test]
    fn neither_where_a_campaign_went_nor_what_many_ask_for_takes_all_the_room() {
        let path = |n: usize| format!("/{n:03}/login");
        let made_up = (0..100).map(|n| known("z.example", &path(n), 1_000, 2));
        let site = (100..140).map(|n| known("shop.example", &path(n), 50, 40));
        let places = Places::with(made_up.clone().chain(site));
        let own = campaign(
            (0..100)
                .chain([139])
                .map(|n| format!("POST {}{}", if n < 100 { "z.example" } else { "shop.example" }, path(n))),
        );
        let scope = rule(&[]).resolve(Some(&own), &places, None);
        let sites = scope.endpoints.iter().filter(|e| e.contains("shop.example")).count();
        assert_eq!((scope.endpoints.len(), scope.cut), (64, 76));
        assert!(
            sites >= 32 && scope.endpoints.contains(&format!("POST shop.example{}", path(139))),
            "{scope:?}"
        );
        let scope = rule(&[]).resolve(None, &places, None);
        assert_eq!(
            scope.endpoints.iter().filter(|e| e.contains("shop.example")).count(),
            40,
            "clients count"
        );

        // Few clients ask at the site as well: then who was told of counts for nothing.
        let site = (100..140).map(|n| known("shop.example", &path(n), 3, 1));
        let places = Places::with(made_up.chain(site));
        let mut traffic = TrafficBuilder::default();
        for n in 0..140 {
            let (host, behind) =
                if n < 100 { ("z.example", Behind::Malicious) } else { ("shop.example", Behind::Good) };
            let who = Some(Arc::from("c")).filter(|_| n < 100);
            traffic.add(seen("192.0.2.1", host, "POST", &path(n), &[]), behind, who, 3, Ts(0));
        }
        let scope = rule(&[]).resolve(None, &places, Some(&traffic.build()));
        assert_eq!(scope.endpoints.iter().filter(|e| e.contains("shop.example")).count(), 40);
    }
}
