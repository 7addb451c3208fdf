//! Who takes part in campaigns, and what decisions ask about them while a run goes on.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::SubjectKind;
use sidetap_model::rows::{CampaignGist, CampaignRow, Member, Subject};

use super::Engine;
use super::campaign::{Campaign, Conviction};
use super::merged::join_members;
use super::rows::phase;
use super::unit::Unit;
use super::units::Session;
use crate::observation::shape_spelled;

/// Convicted clients of a campaign, and convicted sessions that none of these presented.
#[derive(Default)]
pub(super) struct Casted<'a> {
    pub(super) units: Vec<(&'a Unit, &'a Conviction)>,
    pub(super) sessions: Vec<(&'a Session, &'a Conviction)>,
}

impl Engine {
    /// What decisions ask about campaigns, as it is by now.
    pub fn gists(&self, ids: &BTreeSet<String>) -> Vec<CampaignGist> {
        if ids.is_empty() {
            return Vec::new();
        }
        let casts = self.casts(|campaign| ids.contains(&campaign.id));
        casts.iter().map(|(campaign, cast)| self.gist(campaign, cast)).collect()
    }

    /// Who takes part in these campaigns, which nobody else's joined.
    pub(super) fn casts(&self, asked: impl Fn(&Campaign) -> bool) -> Vec<(&Campaign, Casted<'_>)> {
        let asked = |at: u32| self.campaigns.get(at as usize).is_some_and(&asked);
        let mut casts: BTreeMap<u32, Casted<'_>> = BTreeMap::new();
        for (key, conviction) in self.convictions.units.iter().filter(|(_, c)| !c.suspicious) {
            let at = self.final_campaign(conviction.campaign);
            if let Some(unit) = self.units.get(*key).filter(|_| asked(at)) {
                casts.entry(at).or_default().units.push((unit, conviction));
            }
        }
        for (hash, conviction) in self.convictions.sessions.iter().filter(|(_, c)| !c.suspicious) {
            let Some(session) = self.units.get_session(*hash) else { continue };
            let at = self.campaign_of_session(session, conviction);
            if asked(at) {
                casts.entry(at).or_default().sessions.push((session, conviction));
            }
        }
        let all = casts.into_iter().filter_map(|(at, mut cast)| {
            let covered: BTreeSet<u64> = cast.units.iter().map(|(u, _)| u.key).collect();
            cast.sessions.retain(|(s, _)| !s.units.iter().any(|k| covered.contains(k)));
            Some((self.campaigns.get(at as usize)?, cast))
        });
        all.collect()
    }

    /// The same as members, one a spelling.
    pub(super) fn members(&self, cast: &Casted<'_>) -> Vec<Member> {
        let units = cast.units.iter().map(|(unit, conviction)| {
            let Subject { kind, value, .. } = self.subject(unit, conviction);
            Member { kind, value, first_seen: unit.first, requests: u64::from(unit.n) }
        });
        let sessions = cast.sessions.iter().map(|(session, _)| Member {
            kind: SubjectKind::Session,
            value: session.token.spelled(),
            first_seen: session.first,
            requests: u64::from(session.n),
        });
        join_members(units.chain(sessions).collect())
    }

    fn gist(&self, campaign: &Campaign, cast: &Casted<'_>) -> CampaignGist {
        let members = self.members(cast);
        let units = cast.units.iter().map(|(unit, _)| *unit);
        let lasts = units.clone().map(|u| u.last).chain(cast.sessions.iter().map(|(s, _)| s.last));
        let agents: BTreeSet<u64> = units.map(|u| u.agent.hash).collect();
        let mut signature = BTreeMap::from([
            ("agent".to_owned(), campaign.agent.clone()),
            ("agents".to_owned(), agents.len().to_string()),
        ]);
        if let Some(shape) = campaign.shapes.first() {
            signature.insert("fingerprint".to_owned(), shape_spelled(*shape));
        }
        let rule = self.pack.rules().get(campaign.rule);
        let first_seen = members.iter().map(|m| m.first_seen).min().unwrap_or_default();
        let row = CampaignRow {
            id: campaign.id.clone(),
            class: rule.map(|r| r.id.clone()).unwrap_or_default(),
            oat: rule.map(|r| r.oat.clone()).unwrap_or_default(),
            score: self.campaign_score(campaign),
            phase: phase(campaign.retrospective),
            first_seen,
            detected_at: campaign.detected,
            last_seen: lasts.max().unwrap_or(first_seen),
            requests: members.iter().map(|m| m.requests).sum(),
            endpoints: self.endpoint_names(campaign),
            signature,
            members: Vec::new(),
            outcome: BTreeMap::new(),
            reasons: Vec::new(),
            networks: BTreeMap::new(),
            countries: BTreeMap::new(),
            timeline: Vec::new(),
        };
        CampaignGist { row, members: members.len() as u64 }
    }
}
