//! Which exchanges a finding is about, so that some of them can stand for all.

use sidetap_model::EndpointRef;
use smallvec::SmallVec;

use crate::data::Data;
use crate::endpoint::{is_public, is_success};
use crate::observe::Observation;
use crate::rules::{self, BY_SIGN};

/// What an exchange shows of its endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shows {
    /// That it is called, and there.
    Call,
    /// That it succeeds without credentials.
    Open,
    /// That what changes something does.
    OpenWrite,
    /// That a host which is not for production is called from a public address.
    Public,
    /// Data whose loss hurts, answered without credentials.
    OpenData,
    /// A secret in an answer.
    Secret,
    /// Data whose loss hurts in the URL.
    DataInUrl,
    /// A sign, by its bit.
    Sign(u8),
}

impl Shows {
    /// What the exchanges show that a finding of this rule is about; `None` of a rule that is none of discovery's.
    pub fn of_rule(rule: &str) -> Option<Shows> {
        let by_sign = BY_SIGN.iter().find(|(_, _, r)| r.id == rule);
        if let Some((sign, ..)) = by_sign {
            return sign.bits().next().map(|bit| Shows::Sign(bit as u8));
        }
        let is = |some: &[&rules::Rule]| some.iter().any(|r| r.id == rule);
        if is(&[&rules::OPEN_SENSITIVE]) {
            Some(Shows::OpenData)
        } else if is(&[&rules::SECRET_IN_RESPONSE]) {
            Some(Shows::Secret)
        } else if is(&[&rules::SENSITIVE_IN_URL]) {
            Some(Shows::DataInUrl)
        } else if is(&[&rules::AUTH_OPTIONAL]) {
            Some(Shows::OpenWrite)
        } else if is(&[&rules::AUTH_MISSING, &rules::SECURITY_UNMET]) {
            Some(Shows::Open)
        } else if is(&[&rules::NON_PRODUCTION]) {
            Some(Shows::Public)
        } else {
            let of_calls = [
                &rules::NO_RATE_LIMIT,
                &rules::OLD_VERSION,
                &rules::DEFAULT_FILE,
                &rules::DOCS_EXPOSED,
                &rules::SHADOW,
                &rules::DEPRECATED_OPERATION,
            ];
            is(&of_calls).then_some(Shows::Call)
        }
    }

    /// All that an exchange of this endpoint shows, each once; `data` is the sensitive data that was found in it.
    pub fn of<'a>(
        o: &Observation,
        endpoint: &EndpointRef,
        data: impl Iterator<Item = Data<'a>>,
    ) -> SmallVec<[Shows; 8]> {
        let mut all: SmallVec<[Shows; 8]> = SmallVec::new();
        // What nobody serves is somebody's guess.
        if o.status.is_some_and(|s| !matches!(s, 404 | 405 | 410 | 501)) {
            all.push(Shows::Call);
        }
        let open = o.status.is_some_and(is_success) && o.auth & !1 == 0;
        if open {
            all.push(Shows::Open);
            if matches!(&*endpoint.method, "POST" | "PUT" | "PATCH" | "DELETE") {
                all.push(Shows::OpenWrite);
            }
        }
        if is_public(o.client) && is_non_production(&endpoint.host) {
            all.push(Shows::Public);
        }
        for d in data.filter(Data::is_sure) {
            let answered = d.direction == "response";
            if answered && open && d.is_weighty() {
                all.push(Shows::OpenData);
            }
            if answered && d.is_secret() {
                all.push(Shows::Secret);
            }
            if d.is_in_url() && d.is_weighty() {
                all.push(Shows::DataInUrl);
            }
        }
        all.extend(o.signs.bits().map(|bit| Shows::Sign(bit as u8)));
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// True of a host whose name says that it is for tests.
pub(crate) fn is_non_production(host: &str) -> bool {
    const NAMES: [&str; 9] = ["dev", "test", "stg", "staging", "uat", "qa", "sandbox", "preprod", "demo"];
    let bare = host.split(':').next().unwrap_or_default();
    let own = bare.split('.').count().saturating_sub(2);
    bare.split('.').take(own).any(|label| label.split('-').any(|part| NAMES.contains(&part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_says_which_exchanges_it_is_about() {
        let by_sign = BY_SIGN.iter().map(|(_, _, r)| r.id);
        let others = [
            rules::OPEN_SENSITIVE,
            rules::SECRET_IN_RESPONSE,
            rules::SENSITIVE_IN_URL,
            rules::AUTH_MISSING,
            rules::AUTH_OPTIONAL,
            rules::NO_RATE_LIMIT,
            rules::OLD_VERSION,
            rules::DEFAULT_FILE,
            rules::DOCS_EXPOSED,
            rules::NON_PRODUCTION,
            rules::SHADOW,
            rules::SECURITY_UNMET,
            rules::DEPRECATED_OPERATION,
        ];
        for id in by_sign.chain(others.iter().map(|r| r.id)) {
            assert!(Shows::of_rule(id).is_some(), "{id}");
        }
        assert_eq!(Shows::of_rule("sql-injection"), None);
        assert_eq!(Shows::of_rule("trace-enabled"), Some(Shows::Sign(16)));
    }
}
