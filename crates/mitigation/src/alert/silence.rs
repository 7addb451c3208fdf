//! What nobody wants to hear of.

use serde::Deserialize;
use sidetap_model::rows::VerdictRow;

/// What nobody wants to hear of: all that is given has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Silence {
    /// A class, `api-scraping`.
    pub class: Option<String>,
    /// A subject, as outputs spell it.
    pub subject: Option<String>,
    /// A campaign.
    pub campaign: Option<String>,
    /// Until when: seconds since 1970; for ever without it.
    pub until: Option<i64>,
}

impl Silence {
    /// Whether all of a group is covered, whoever is in it.
    pub(super) fn covers_group(&self, name: &str, class: Option<&str>, now: i64) -> bool {
        let fits =
            |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|w| is == Some(w));
        (self.class.is_some() || self.campaign.is_some())
            && self.subject.is_none()
            && self.until.is_none_or(|u| now < u)
            && fits(&self.class, class)
            && fits(&self.campaign, Some(name))
    }

    pub(super) fn covers(&self, v: &VerdictRow, now: i64) -> bool {
        let fits =
            |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|w| is == Some(w));
        let named = self.class.is_some() || self.subject.is_some() || self.campaign.is_some();
        named
            && self.until.is_none_or(|u| now < u)
            && fits(&self.class, v.class.as_deref())
            && fits(&self.subject, Some(&v.subject.value))
            && fits(&self.campaign, v.campaign.as_deref())
    }
}
