use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, VerdictRow};
use sidetap_store::{Store, Which};

/// What the console can have done that it does not know how to do: policy, devices, the site's key.
///
/// What a server does not have says [`Refused::NotAvailable`]. Calls may block; they are made on threads that may.
pub trait Control: Send + Sync + 'static {
    /// The rules in force, the allow list, guards and the fields of conditions.
    fn policies(&self, _store: &Store) -> Done {
        Err(Refused::without("policies"))
    }

    /// Whether a pack can be read, and what is wrong with it.
    fn check_policy(&self, _text: &str) -> Done {
        Err(Refused::without("policies"))
    }

    /// What a pack, or the present one, would do with the verdicts of the store; so many of those that it changes are named.
    fn simulate(&self, _store: &Store, _text: Option<&str>, _named: usize) -> Done {
        Err(Refused::without("policies"))
    }

    /// Puts a pack, which was checked, in place of the present one, which was of this version.
    fn save_policy(&self, _store: &mut Store, _save: &PolicySave) -> Done {
        Err(Refused::without("a policy file"))
    }

    /// Packs that were saved, newest first.
    fn policy_versions(&self, _store: &Store) -> Done {
        Err(Refused::without("a policy file"))
    }

    /// What waits for somebody's word, and what was said; of one status where one is named.
    fn approvals(&self, _store: &Store, _status: Option<&str>) -> Done {
        Err(Refused::without("approvals"))
    }

    /// Says yes or no.
    fn decide(&self, _store: &mut Store, _decision: &Decision) -> Done {
        Err(Refused::without("approvals"))
    }

    /// Says yes or no to several; gives how many were `decided`, and how many are about what was `taken_back`.
    fn decide_all(&self, _store: &mut Store, _decisions: &Decisions) -> Done {
        Err(Refused::without("approvals"))
    }

    /// Devices, how they are and how they are told.
    fn devices(&self, _store: &mut Store) -> Done {
        Err(Refused::without("devices"))
    }

    /// Why nothing is pushed, where the kill switch is on.
    fn killed(&self, _store: &Store) -> Result<Option<String>, Refused> {
        Err(Refused::without("devices"))
    }

    /// Asks one device how it is.
    fn test_device(&self, _store: &mut Store, _name: &str) -> Done {
        Err(Refused::without("devices"))
    }

    /// Changes how a device is told: `dry-run`, `approve`, `enforce`, or as configured.
    fn set_mode(&self, _store: &mut Store, _name: &str, _mode: Option<&str>) -> Done {
        Err(Refused::without("devices"))
    }

    /// Descriptions of APIs that were given.
    fn specs(&self, _store: &Store) -> Done {
        Err(Refused::without("descriptions"))
    }

    /// What was seen against what a description says.
    fn conformance(&self, _store: &Store, _name: &str) -> Done {
        Err(Refused::without("descriptions"))
    }

    /// Reads a description of an API, which may take a while; gives what keeping it answers.
    fn read_spec(&self, _spec: &SpecSave) -> Done {
        Err(Refused::without("descriptions"))
    }

    /// Keeps a description of an API that was read.
    fn put_spec(&self, _store: &mut Store, _spec: &SpecSave) -> Done {
        Err(Refused::without("descriptions"))
    }

    /// Keeps a description no more.
    fn remove_spec(&self, _store: &mut Store, _name: &str) -> Done {
        Err(Refused::without("descriptions"))
    }

    /// A template with parameters named as the inventory names them, by those that it takes.
    fn template_named(&self, template: &str, _of: &[&str]) -> String {
        template.to_owned()
    }

    /// Sources of network intelligence: which are installed, and how old they are.
    fn intel(&self) -> Done {
        Err(Refused::without("network intelligence"))
    }

    /// Fetches the sources whose licences were agreed to.
    fn update_intel(&self) -> Done {
        Err(Refused::without("network intelligence"))
    }

    /// What is on the devices; by which rule is filled in from the store.
    fn entries(&self, _store: &Store) -> Done {
        Err(Refused::without("devices"))
    }

    /// What a push would change.
    fn plan(&self, _store: &mut Store, _force: bool) -> Done {
        Err(Refused::without("devices"))
    }

    /// Brings devices to what verdicts ask for.
    fn push(&self, _store: &mut Store, _order: &Order) -> Done {
        Err(Refused::without("devices"))
    }

    /// Takes entries off the devices.
    fn undo(&self, _store: &mut Store, _order: &Order, _what: &Undo) -> Done {
        Err(Refused::without("devices"))
    }

    /// Lets what was taken back be pushed again.
    fn redo(&self, _store: &mut Store, _what: &Undo, _by: &str) -> Done {
        Err(Refused::without("devices"))
    }

    /// Stops, or lets go on, every push; no device is asked.
    fn kill_switch(&self, _store: &mut Store, _on: bool, _by: &str) -> Done {
        Err(Refused::without("devices"))
    }

    /// Has the file of the kill switch removed that is of before this time and could not be by [`Control::kill_switch`], which says
    /// the time as `left`.
    fn release(&self, _store: &mut Store, _asked: Ts) -> Done {
        Err(Refused::without("devices"))
    }

    /// Whether another process has to be asked for what changes devices or files: that takes its time.
    fn is_beside(&self) -> bool {
        false
    }

    /// Takes everything off the devices, for the kill switch.
    fn empty(&self, _store: &mut Store, _by: &str) -> Done {
        Err(Refused::without("devices"))
    }

    /// The smallest policy that separates a campaign from honest traffic.
    fn suggestion(&self, _store: &Store, _campaign: &str) -> Done {
        Err(Refused::without("suggestions"))
    }

    /// What a verdict would be without some of its indicators.
    fn what_if(&self, _verdict: &VerdictRow, _without: &[String]) -> Done {
        Err(Refused::without("the indicators"))
    }

    /// What indicators are, by id.
    fn indicators(&self, _ids: &[String]) -> Value {
        Value::Object(serde_json::Map::new())
    }

    /// A value of the allow list as outputs spell it, so that it matches them and no raw name or key is kept; refused where the list
    /// would refuse it.
    fn allow_value(&self, kind: &str, value: &str) -> Result<String, Refused> {
        match kind {
            "account" | "session" | "api-key" => Err(Refused::without("the site's key")),
            _ => Ok(value.to_owned()),
        }
    }

    /// All ways in which outputs may spell somebody's name, besides the name itself.
    fn spellings(&self, _kind: &str, _value: &str) -> Result<Vec<String>, Refused> {
        Ok(Vec::new())
    }

    /// Accounts that the stored requests of a campaign's members name.
    fn accounts_named(&self, _store: &Store, _campaign: &CampaignRow) -> Result<Named, Refused> {
        Ok(Named::default())
    }

    /// Account names as outputs spell them.
    fn account_names(&self, _names: &[String]) -> Result<Vec<String>, Refused> {
        Err(Refused::without("the site's key"))
    }

    /// The configuration in force, secrets left out.
    fn configuration(&self) -> Option<String> {
        None
    }
}

/// A console that has a store and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreOnly;

impl Control for StoreOnly {}

/// What was asked for, or why not.
pub type Done = Result<Value, Refused>;

/// A pack to save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySave {
    /// The pack.
    pub text: String,
    /// Why.
    pub comment: String,
    /// The version that it was edited from.
    pub version: u64,
    /// Who.
    pub by: String,
}

/// A description of an API to keep.
#[derive(Clone, Debug)]
pub struct SpecSave {
    /// What it is called.
    pub name: String,
    /// OpenAPI, as JSON or YAML.
    pub text: String,
    /// Who.
    pub by: String,
}

/// A yes or no.
#[derive(Clone, Debug)]
pub struct Decision {
    /// To what.
    pub id: u64,
    /// Yes.
    pub approve: bool,
    /// Why.
    pub note: Option<String>,
    /// Who.
    pub by: String,
}

/// A yes or no to several.
#[derive(Clone, Debug)]
pub struct Decisions {
    /// To what of what waits.
    pub which: Which,
    /// Yes.
    pub approve: bool,
    /// Who.
    pub by: String,
}

/// What requests name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Accounts, as outputs spell them.
    pub accounts: BTreeSet<String>,
    /// Requests that were looked at.
    pub requests: u64,
}

/// How devices are to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Verdicts that are too old too.
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who.
    pub by: String,
}

/// What is to be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Everything.
    All,
    /// What a verdict asked for.
    Verdict(String),
    /// What a rule asked for.
    Policy(String),
    /// What a campaign's verdicts asked for.
    Campaign(String),
    /// What was done since then.
    Since(Ts),
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// This server does not have what it takes.
    #[error("this server has no {0}")]
    NotAvailable(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It was changed by somebody else, or is not as it must be.
    #[error("{0}")]
    Conflict(String),
    /// What was given cannot be used.
    #[error("{detail}")]
    Bad {
        /// Why.
        detail: String,
        /// What is wrong with it, one by one.
        errors: Value,
    },
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// Another process still carries it out, as the store's order of this number.
    #[error("it is still being carried out; the audit tells what comes of it")]
    GoingOn(i64),
}

impl Refused {
    fn without(what: &str) -> Self {
        Refused::NotAvailable(what.to_owned())
    }
}

impl From<sidetap_store::StoreError> for Refused {
    fn from(error: sidetap_store::StoreError) -> Self {
        Refused::Failed(error.to_string())
    }
}
