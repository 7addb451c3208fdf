//! Decisions over more verdicts than fit into memory: they come in parts.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use sidetap_model::SubjectKind;
use sidetap_model::rows::{CampaignGist, CampaignRow, Subject, VerdictRow};

use crate::PolicySet;
use crate::decide::{Decision, Known, note_close, write_all};
use crate::facts::{Around, OF_CAMPAIGNS};
use crate::net::{canonical, never_blockable, subject_net};
use crate::pack::{Choice, Prefix, Rule};
use crate::subjects::Bounds;

/// Campaigns as far as decisions ask about them: how many their members are, not who, and without timelines and reasons.
#[derive(Clone, Debug, Default)]
pub struct Campaigns {
    rows: BTreeMap<String, CampaignGist>,
}

impl Campaigns {
    /// One of them.
    pub fn get(&self, id: &str) -> Option<&CampaignGist> {
        self.rows.get(id)
    }

    /// Adds one; the newest of an id stands.
    pub fn add(&mut self, mut row: CampaignRow) {
        let members = row.members.len() as u64;
        (row.members, row.reasons, row.timeline) = Default::default();
        (row.networks, row.countries, row.outcome) = Default::default();
        self.add_gist(CampaignGist { row, members });
    }

    /// The same of one without its members.
    pub fn add_gist(&mut self, gist: CampaignGist) {
        self.rows.insert(gist.row.id.clone(), gist);
    }

    /// Adds others; of an id that both have, theirs stands.
    pub fn extend(&mut self, others: Campaigns) {
        self.rows.extend(others.rows);
    }

    /// Forgets one.
    pub fn remove(&mut self, id: &str) {
        self.rows.remove(id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Keeps those that `keep` says, by id.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.rows.retain(|id, _| keep(id));
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &CampaignRow> {
        self.rows.values().map(|gist| &gist.row)
    }

    /// The class of one.
    pub fn class(&self, id: &str) -> Option<&str> {
        self.rows.get(id).map(|gist| gist.row.class.as_str())
    }

    fn around<'a>(&'a self, v: &VerdictRow, known: &'a Known) -> Around<'a> {
        let found = v.campaign.as_deref().and_then(|id| self.rows.get(id));
        Around { members: found.map(|gist| gist.members), ..known.around(found.map(|gist| &gist.row)) }
    }
}

impl FromIterator<CampaignRow> for Campaigns {
    fn from_iter<I: IntoIterator<Item = CampaignRow>>(rows: I) -> Self {
        let mut all = Campaigns::default();
        rows.into_iter().for_each(|row| all.add(row));
        all
    }
}

impl PolicySet {
    /// Networks that rules with `prefix` name for the verdicts of all parts: what [`PolicySet::apply_part`] needs. Where no rule asks
    /// for one, `parts` is not called. It is given where each part of verdicts is to go.
    pub fn networks_of<E>(
        &self,
        campaigns: &Campaigns,
        known: &Known,
        parts: impl FnOnce(&mut dyn FnMut(&[VerdictRow])) -> Result<(), E>,
    ) -> Result<Networks, E> {
        let mut close = Close::default();
        if self.asks_networks() {
            parts(&mut |verdicts| {
                let judged = self.judge_all(verdicts, |v| campaigns.around(v, known));
                note_close(verdicts, &judged, &mut close);
            })?;
        }
        Ok(close.networks(&self.bounds(known.traffic.as_ref())))
    }

    /// As [`PolicySet::apply_in`], where of campaigns no more is kept than decisions ask about.
    pub fn apply_among(
        &self,
        verdicts: &mut [VerdictRow],
        campaigns: &Campaigns,
        known: &Known,
    ) -> Vec<Decision> {
        self.apply_by(verdicts, known, |v| campaigns.around(v, known))
    }

    /// Whether conditions or scopes ask about campaigns: what they say of somebody may be another thing once more take part in his, or he
    /// is elsewhere.
    pub fn asks_campaigns(&self) -> bool {
        self.rules.iter().any(|r| r.enabled && (r.when.asks_any(&OF_CAMPAIGNS) || !r.scope.is_everywhere()))
    }

    /// As [`PolicySet::apply_in`] for a part of the verdicts.
    pub fn apply_part(
        &self,
        verdicts: &mut [VerdictRow],
        campaigns: &Campaigns,
        known: &Known,
        networks: &Networks,
    ) -> Vec<Decision> {
        let judged = self.judge_all(verdicts, |v| campaigns.around(v, known));
        write_all(verdicts, judged, networks)
    }
}

/// Addresses of rules that say `prefix`, by the network that they lie in.
#[derive(Debug, Default)]
pub(crate) struct Close(BTreeMap<String, BTreeMap<IpNet, Group>>);

#[derive(Debug)]
struct Group {
    members: BTreeSet<IpNet>,
    prefix: Prefix,
}

/// Networks that take the place of addresses in them, by rule.
#[derive(Clone, Debug, Default)]
pub struct Networks(BTreeMap<String, BTreeMap<IpNet, Subject>>);

impl Close {
    pub(crate) fn note(&mut self, rule: &Rule, subject: &Subject) {
        let Some((net, wide)) = net_and_wide(rule, subject) else { return };
        let groups = self.0.entry(rule.id.clone()).or_default();
        let new = || Group { members: BTreeSet::new(), prefix: rule.prefix };
        groups.entry(wide).or_insert_with(new).members.insert(net);
    }

    /// A network takes the place of its addresses where enough of them are convicted and no good client was seen in it. One IPv6
    /// address is as good as its network of 64 bits: a host has all of it.
    pub(crate) fn networks(self, bounds: &Bounds<'_>) -> Networks {
        let of_rule = |groups: BTreeMap<IpNet, Group>| {
            groups.into_iter().filter_map(|(net, group)| Some((net, group.network(&net, bounds)?))).collect()
        };
        Networks(self.0.into_iter().map(|(rule, groups)| (rule, of_rule(groups))).collect())
    }
}

impl Group {
    fn network(&self, net: &IpNet, bounds: &Bounds<'_>) -> Option<Subject> {
        let own_host = matches!(net, IpNet::V6(_)) && net.prefix_len() >= 64;
        let subject = Subject { kind: SubjectKind::Cidr, value: net.to_string(), parts: Vec::new() };
        let refused = never_blockable(net).is_some()
            || bounds.guards.hold_net(net).is_some()
            || bounds.allow.touches(net).is_some();
        let good = bounds.traffic.filter(|t| t.good() > 0).map(|t| t.good_ppm(&subject));
        let clean = good.map_or(own_host, |ppm| ppm == 0);
        let enough = own_host || self.members.len() >= self.prefix.members;
        (!refused && clean && enough).then_some(subject)
    }
}

impl Networks {
    pub(crate) fn of(&self, rule: &Rule, subject: &Subject) -> Option<&Subject> {
        let groups = self.0.get(&rule.id)?;
        groups.get(&net_and_wide(rule, subject)?.1)
    }
}

/// The address or network of a subject and the wider one that the rule would name.
fn net_and_wide(rule: &Rule, subject: &Subject) -> Option<(IpNet, IpNet)> {
    if !rule.subjects.contains(&Choice::Prefix) {
        return None;
    }
    let net = canonical(subject_net(subject)?);
    let len = if matches!(net, IpNet::V4(_)) { rule.prefix.v4 } else { rule.prefix.v6 };
    let wide = IpNet::new(net.addr(), len).ok().filter(|_| len < net.prefix_len())?;
    Some((net, wide.trunc()))
}
