use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use sidetap_model::rows::{CampaignRow, VerdictRow};

use crate::error::PolicyError;
use crate::facts;
use crate::guard::{Guards, Hold};
use crate::pack::{self, Pack, Rule};
use crate::{AllowList, Response};

/// Rules in the order in which they are tried, with the allow list and the guards around them.
#[derive(Debug)]
pub struct PolicySet {
    rules: Vec<Rule>,
    allow: AllowList,
    guards: Guards,
}

/// What policy says of a verdict, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What is done.
    pub response: Response,
    /// For how long, from the push.
    pub ttl_s: u64,
    /// The rule that fitted first; none where no rule did.
    pub rule: Option<String>,
    /// The guard that weakened what the rule asked for.
    pub held: Option<Hold>,
    /// Rules whose condition could not be worked out for this verdict: they count as not fitting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// A rule as `sidetap policy list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleInfo {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// Where to read more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Its condition.
    pub when: String,
    /// What it asks for.
    pub response: Response,
    /// For how long.
    pub ttl_s: u64,
    /// Lower is tried first; equal ones in the order of the file.
    pub priority: i32,
    /// Whether it is tried at all.
    pub enabled: bool,
    /// The file it stands in.
    pub source: String,
}

impl PolicySet {
    /// The rules that come with Sidetap.
    pub fn builtin() -> Self {
        PolicySet::from_packs(vec![builtin_pack()])
    }

    /// Reads one pack. With `extends: default` its rules are tried before the built-in ones, and a rule of the same id
    /// replaces the built-in one; without it, it stands alone.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<PolicyError>> {
        let pack = pack::read(text, file)?;
        Ok(PolicySet::with_default(vec![pack]))
    }

    /// Reads a pack, or all packs (`*.yaml`, `*.yml`) of a directory in the order of their names.
    pub fn load(path: &Path) -> Result<Self, Vec<PolicyError>> {
        let files = files_of(path).map_err(|e| vec![e])?;
        let (mut packs, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            let name = file.display().to_string();
            match std::fs::read_to_string(&file) {
                Err(e) => errors.push(io_error(&file, &e)),
                Ok(text) => match pack::read(&text, &name) {
                    Ok(pack) => packs.push(pack),
                    Err(e) => errors.extend(e),
                },
            }
        }
        if errors.is_empty() { Ok(PolicySet::with_default(packs)) } else { Err(errors) }
    }

    fn with_default(mut packs: Vec<Pack>) -> Self {
        if packs.iter().any(|p| p.extends_default) {
            packs.push(builtin_pack());
        }
        PolicySet::from_packs(packs)
    }

    fn from_packs(packs: Vec<Pack>) -> Self {
        let mut set = PolicySet { rules: Vec::new(), allow: AllowList::default(), guards: Guards::default() };
        for pack in packs {
            set.allow.extend(&pack.allow);
            set.guards.tighten(pack.guards);
            for rule in pack.rules {
                if !set.rules.iter().any(|r| r.id == rule.id) {
                    set.rules.push(rule);
                }
            }
        }
        set.rules.sort_by_key(|r| r.priority);
        set
    }

    /// The same rules with more entries on the allow list.
    #[must_use]
    pub fn with_allow(mut self, more: &AllowList) -> Self {
        self.allow.extend(more);
        self
    }

    /// The same rules with the secrets of the allow list hashed, see [`AllowList::hashed`].
    #[must_use]
    pub fn hashed(mut self, key: &sidetap_model::HashKey) -> Self {
        self.allow = self.allow.hashed(key);
        self
    }

    /// The allow list.
    pub fn allow(&self) -> &AllowList {
        &self.allow
    }

    /// The guards.
    pub fn guards(&self) -> &Guards {
        &self.guards
    }

    /// The guards, to be made tighter by configuration.
    pub fn guards_mut(&mut self) -> &mut Guards {
        &mut self.guards
    }

    /// The rules in the order in which they are tried.
    pub fn list(&self) -> Vec<RuleInfo> {
        self.rules.iter().map(info).collect()
    }

    /// Sets the response of a verdict, its time to live and the policy that chose them.
    pub fn decide(&self, v: &mut VerdictRow) -> Decision {
        self.decide_in(v, None)
    }

    /// As [`PolicySet::decide`], for a verdict of which the campaign is known.
    pub fn decide_in(&self, v: &mut VerdictRow, campaign: Option<&CampaignRow>) -> Decision {
        let decision = self.judge(v, campaign);
        v.response = decision.response.name().to_owned();
        v.ttl_s = decision.ttl_s;
        v.policy = match &decision.held {
            Some(hold) => Some(format!("guard:{}", hold.name())),
            None => decision.rule.clone(),
        };
        decision
    }

    /// Decides all verdicts of a run; the decisions stand in the order of the verdicts.
    pub fn apply(&self, verdicts: &mut [VerdictRow], campaigns: &[CampaignRow]) -> Vec<Decision> {
        let by_id: BTreeMap<&str, &CampaignRow> = campaigns.iter().map(|c| (c.id.as_str(), c)).collect();
        verdicts
            .par_iter_mut()
            .map(|v| {
                let campaign = v.campaign.as_deref().and_then(|id| by_id.get(id).copied());
                self.decide_in(v, campaign)
            })
            .collect()
    }

    fn judge(&self, v: &VerdictRow, campaign: Option<&CampaignRow>) -> Decision {
        let context = facts::context(v, campaign);
        let mut errors = Vec::new();
        let rule = self.rules.iter().filter(|r| r.enabled).find(|r| match r.when.holds(&context) {
            Ok(holds) => holds,
            Err(e) => {
                errors.push(format!("{}: {e}", r.id));
                false
            }
        });
        let asked = rule.map_or(Response::None, |r| r.response);
        let hold = self.guards.hold(v, asked, &self.allow);
        let (response, held) = hold.map_or((asked, None), |(r, h)| (r, Some(h)));
        let ttl_s = if response.acts() { rule.map_or(0, |r| r.ttl_s) } else { 0 };
        Decision { response, ttl_s, rule: rule.map(|r| r.id.clone()), held, errors }
    }
}

impl Guards {
    /// Takes what is tighter of both.
    fn tighten(&mut self, other: Guards) {
        self.min_prefix_v4 = self.min_prefix_v4.max(other.min_prefix_v4);
        self.min_prefix_v6 = self.min_prefix_v6.max(other.min_prefix_v6);
        self.own_networks.extend(other.own_networks);
        self.shared_networks.extend(other.shared_networks);
    }
}

fn builtin_pack() -> Pack {
    pack::read(include_str!("../packs/default.yaml"), "default.yaml").expect("a test reads the built-in pack")
}

fn info(r: &Rule) -> RuleInfo {
    RuleInfo {
        id: r.id.clone(),
        description: r.description.clone(),
        references: r.references.clone(),
        when: r.when.text().to_owned(),
        response: r.response,
        ttl_s: r.ttl_s,
        priority: r.priority,
        enabled: r.enabled,
        source: r.source.clone(),
    }
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| io_error(path, &e))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "yaml" || x == "yml"))
        .collect();
    files.sort();
    if files.is_empty() {
        let message = "no pack (*.yaml) in this directory".to_owned();
        return Err(PolicyError {
            file: path.display().to_string(),
            line: 0,
            column: 0,
            message,
            hint: None,
        });
    }
    Ok(files)
}

fn io_error(path: &Path, error: &std::io::Error) -> PolicyError {
    let message = format!("cannot be read: {error}");
    PolicyError { file: path.display().to_string(), line: 0, column: 0, message, hint: None }
}
