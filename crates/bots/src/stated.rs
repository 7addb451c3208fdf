//! What a site says of its endpoints: what they are for, which function they are a channel of, and what their answers mean.

use serde::Deserialize;
use sidetap_model::nearest;

use crate::hash;
use crate::indicators::is_like;
use crate::observation::Outcome;
use crate::role::Roles;

/// What a site says of endpoints, as a configuration writes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointConfig {
    /// The host, `*` for any characters; all hosts where it is left out.
    pub host: String,
    /// Method and path, or the path alone; `*` for any characters.
    pub endpoint: String,
    /// What it is for, in place of what is learned.
    pub roles: Option<Vec<String>>,
    /// What it is not for, whatever is learned.
    pub not: Vec<String>,
    /// The function that it is a channel of: endpoints of one name are one target.
    pub function: String,
    /// What its answers mean; the first that fits holds.
    pub outcomes: Vec<OutcomeConfig>,
}

/// What an answer means.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutcomeConfig {
    /// What it means.
    pub outcome: String,
    /// Statuses that it has; any where none is given.
    pub status: Vec<u16>,
    /// What the first 4 KiB of its body hold, letter case of ASCII aside.
    pub body: String,
    /// What its Location holds, letter case of ASCII aside.
    pub location: String,
}

/// What a site says of its endpoints, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stated {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    host: String,
    method: Option<String>,
    path: String,
    roles: Option<Roles>,
    not: Roles,
    function: u64,
    outcomes: Vec<Meaning>,
}

#[derive(Clone, Debug, PartialEq)]
struct Meaning {
    outcome: Outcome,
    status: Vec<u16>,
    body: Vec<u8>,
    location: Vec<u8>,
}

/// What is said of the roles of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    roles: Option<Roles>,
    not: Roles,
    /// The function's name, hashed; 0 where none is given.
    pub(crate) function: u64,
}

/// Bytes of an answer's body in which words are looked for.
pub(crate) const BODY: usize = 4096;

impl Stated {
    /// Checks what a configuration says.
    ///
    /// An error comes with the place of the statement among the statements, and names what was probably meant.
    pub fn new(configs: &[EndpointConfig]) -> Result<Self, (usize, String)> {
        let rules = configs.iter().enumerate().map(|(at, c)| rule(c).map_err(|message| (at, message)));
        Ok(Stated { rules: rules.collect::<Result<_, _>>()? })
    }

    /// True where nothing is said.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What is said of an endpoint: of each key the first statement that fits and has it; what it is not for adds up.
    pub(crate) fn of(&self, host: &str, method: &str, path: &str) -> Said {
        let mut said = Said::default();
        for rule in self.rules.iter().filter(|r| r.fits(host, method, path)) {
            said.roles = said.roles.or(rule.roles);
            said.not.insert(rule.not);
            if said.function == 0 {
                said.function = rule.function;
            }
        }
        said
    }

    /// What is said that an answer means; `body` is its beginning.
    pub(crate) fn meaning(
        &self,
        place: (&str, &str, &str),
        status: u16,
        body: &[u8],
        location: &[u8],
    ) -> Option<Outcome> {
        let (host, method, path) = place;
        let rules = self.rules.iter().filter(|r| !r.outcomes.is_empty() && r.fits(host, method, path));
        let fits = |m: &&Meaning| {
            (m.status.is_empty() || m.status.contains(&status))
                && holds(body, &m.body)
                && holds(location, &m.location)
        };
        rules.flat_map(|r| &r.outcomes).find(fits).map(|m| m.outcome)
    }

    /// True where bodies of answers are asked for words.
    pub(crate) fn reads_bodies(&self) -> bool {
        self.rules.iter().flat_map(|r| &r.outcomes).any(|m| !m.body.is_empty())
    }
}

impl Said {
    /// Roles as they hold where `learned` were learned.
    pub(crate) fn roles(self, learned: Roles) -> Roles {
        let mut roles = self.roles.unwrap_or(learned);
        roles.remove(self.not);
        roles
    }
}

impl Rule {
    fn fits(&self, host: &str, method: &str, path: &str) -> bool {
        (self.host.is_empty() || is_like(&self.host, host))
            && self.method.as_ref().is_none_or(|m| m.eq_ignore_ascii_case(method))
            && is_like(&self.path, path)
    }
}

fn rule(c: &EndpointConfig) -> Result<Rule, String> {
    let (method, path) = match c.endpoint.split_once(' ') {
        Some((method, path)) => (Some(method.to_owned()), path.trim()),
        None => (None, c.endpoint.as_str()),
    };
    if !path.starts_with(['/', '*']) {
        return Err(format!(
            "endpoint = \"{}\": write it as \"POST /path\" or \"/path\", with * for any characters",
            c.endpoint
        ));
    }
    if c.roles.is_none() && c.not.is_empty() && c.function.is_empty() && c.outcomes.is_empty() {
        return Err(format!("`{}` says nothing: give `roles`, `not`, `function` or `outcomes`", c.endpoint));
    }
    let outcomes = c.outcomes.iter().map(meaning).collect::<Result<_, _>>()?;
    Ok(Rule {
        host: c.host.to_ascii_lowercase(),
        method,
        path: path.to_owned(),
        roles: c.roles.as_deref().map(roles).transpose()?,
        not: roles(&c.not)?,
        function: if c.function.is_empty() { 0 } else { hash::of(c.function.as_bytes()) | 1 },
        outcomes,
    })
}

fn roles(names: &[String]) -> Result<Roles, String> {
    let mut all = Roles::NONE;
    for name in names {
        let Some((role, _)) = Roles::ALL.iter().find(|(_, n)| n == name) else {
            let known = || Roles::ALL.iter().map(|(_, n)| *n);
            return Err(format!("no role is called `{name}`; {}", hint(name, known())));
        };
        all.insert(*role);
    }
    Ok(all)
}

fn meaning(c: &OutcomeConfig) -> Result<Meaning, String> {
    let Some((outcome, _)) = Outcome::NAMES.iter().find(|(_, n)| *n == c.outcome) else {
        let known = || Outcome::NAMES.iter().map(|(_, n)| *n);
        return Err(format!("no outcome is called `{}`; {}", c.outcome, hint(&c.outcome, known())));
    };
    if c.status.is_empty() && c.body.is_empty() && c.location.is_empty() {
        return Err(format!(
            "the outcome `{}` holds for no answer: give `status`, `body` or `location`",
            c.outcome
        ));
    }
    if let Some(status) = c.status.iter().find(|s| !(100..1000).contains(*s)) {
        return Err(format!("status {status}: from 100 to 999"));
    }
    Ok(Meaning {
        outcome: *outcome,
        status: c.status.clone(),
        body: c.body.to_ascii_lowercase().into_bytes(),
        location: c.location.to_ascii_lowercase().into_bytes(),
    })
}

fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// True where `words` (in lower case) stand in `text`.
fn holds(text: &[u8], words: &[u8]) -> bool {
    words.is_empty() || text.windows(words.len()).any(|w| w.eq_ignore_ascii_case(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(endpoint: &str) -> EndpointConfig {
        EndpointConfig { endpoint: endpoint.into(), ..EndpointConfig::default() }
    }

    #[test]
    fn the_first_that_fits_holds() {
        let login = EndpointConfig {
            roles: Some(vec!["login".into()]),
            host: "*.shop.test".into(),
            ..said("POST /x7/*")
        };
        let not = EndpointConfig { not: vec!["otp".into()], function: "sign in".into(), ..said("/x7/*") };
        let stated = Stated::new(&[login, not]).unwrap();
        let roles = stated.of("www.shop.test", "post", "/x7/a").roles(Roles::OTP);
        assert_eq!(roles, Roles::LOGIN);
        assert_ne!(stated.of("www.shop.test", "POST", "/x7/a").function, 0);
        assert_eq!(stated.of("bank.test", "POST", "/x7/a").roles(Roles::OTP), Roles::NONE);
        assert_eq!(stated.of("bank.test", "POST", "/x8").roles(Roles::OTP), Roles::OTP);
    }

    #[test]
    fn answers_mean_what_is_said() {
        let of = |outcome: &str, status: &[u16], body: &str| OutcomeConfig {
            outcome: outcome.into(),
            status: status.to_vec(),
            body: body.into(),
            ..OutcomeConfig::default()
        };
        let outcomes = vec![
            of("locked", &[200], "E77"),
            of("wrong-credentials", &[200], "\"ok\":0"),
            of("success", &[200], ""),
        ];
        let stated = Stated::new(&[EndpointConfig { outcomes, ..said("/enter") }]).unwrap();
        let meaning =
            |status, body: &str| stated.meaning(("h", "POST", "/enter"), status, body.as_bytes(), b"");
        assert_eq!(meaning(200, "{\"code\":\"e77\"}"), Some(Outcome::Locked));
        assert_eq!(meaning(200, "{\"ok\":0}"), Some(Outcome::Denied));
        assert_eq!(meaning(200, "{\"ok\":1}"), Some(Outcome::Success));
        assert_eq!(meaning(403, "{\"ok\":0}"), None);
        assert!(stated.reads_bodies());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_hint() {
        let refused = |c: EndpointConfig| Stated::new(&[said("*"), c]).unwrap_err();
        assert_eq!(refused(said("/x")).0, 0, "the first says nothing");
        let wrong = |c: EndpointConfig| Stated::new(&[c]).unwrap_err().1;
        assert!(
            wrong(EndpointConfig { roles: Some(vec!["logn".into()]), ..said("/x") })
                .contains("did you mean `login`?")
        );
        assert!(wrong(EndpointConfig { not: vec!["otp".into()], ..said("login") }).contains("POST /path"));
        let outcomes =
            vec![OutcomeConfig { outcome: "lockd".into(), status: vec![200], ..OutcomeConfig::default() }];
        assert!(wrong(EndpointConfig { outcomes, ..said("/x") }).contains("did you mean `locked`?"));
        let outcomes = vec![OutcomeConfig { outcome: "locked".into(), ..OutcomeConfig::default() }];
        assert!(wrong(EndpointConfig { outcomes, ..said("/x") }).contains("no answer"));
    }
}
