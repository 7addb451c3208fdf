use serde::{Deserialize, Serialize};

use crate::Ts;

/// One thing that was done, or would have been, to one device: a row of the audit trail.
///
/// Its time is the wall clock of the push, the only time in Sidetap that is not packet time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActionRow {
    /// When, by the wall clock.
    pub at: Ts,
    /// Who asked: `cli`, `watch`, a user's name.
    pub actor: String,
    /// The connector's name.
    pub connector: String,
    /// `add`, `refresh`, `remove` or `undo`; `push` for a whole push that did not come about, or changed no entry but the allow list or what is around it.
    pub kind: String,
    /// `dry-run` or `enforce`.
    pub mode: String,
    /// Whom it names, as the device spells it.
    pub subject: String,
    /// What the device was asked to do: `block`, `rate-limit`, …
    pub response: String,
    /// The verdict behind it, where there is one.
    pub verdict: Option<String>,
    /// When the device lets go by itself.
    pub expires_at: Option<Ts>,
    /// `planned`, `done`, `refused` or `failed`.
    pub outcome: String,
    /// What the device answered, or why it was not asked.
    pub answer: String,
    /// Why: rule, pack and its revision, class, harm, escalation; or why it lets go; or what an undo named. Empty in rows of before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}
