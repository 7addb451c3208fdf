//! `[sso]`: a provider that people log in to the console by.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sidetap_mitigation::SecretRef;

use super::{Bad, ConfigError, raw};

/// A provider of OpenID Connect.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sso {
    pub(crate) issuer: String,
    pub(crate) name: String,
    pub(crate) client_id: String,
    pub(crate) secret: Option<SecretRef>,
    pub(crate) url: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) name_claim: String,
    pub(crate) role_claim: String,
    pub(crate) roles: BTreeMap<String, String>,
    pub(crate) default_role: Option<String>,
    pub(crate) ca: Option<PathBuf>,
}

/// Roles of the console.
const ROLES: [&str; 4] = ["viewer", "analyst", "operator", "admin"];

pub(super) fn sso(raw: raw::Sso, bad: Bad<'_>) -> Result<Option<Sso>, ConfigError> {
    let Some(issuer) = raw.issuer else {
        return match raw.client_id.or(raw.url) {
            Some(_) => Err(bad("client_id", "[sso] names no issuer".to_owned())),
            None => Ok(None),
        };
    };
    let safe = |key: &str, url: &str| match is_safe(url) {
        true => Ok(()),
        false => Err(bad(key, format!("{key} = {url:?}: https://…, or http:// on loopback"))),
    };
    safe("issuer", &issuer)?;
    let url = raw.url.ok_or_else(|| bad("issuer", "[sso] needs the url of the console".to_owned()))?;
    safe("url", &url)?;
    let client_id = raw.client_id.ok_or_else(|| bad("issuer", "[sso] needs a client_id".to_owned()))?;
    let roles = raw.roles.unwrap_or_default();
    if let Some(role) = roles.values().chain(&raw.default_role).find(|r| !ROLES.contains(&r.as_str())) {
        return Err(bad("roles", format!("`{role}` is no role: one of {}", ROLES.join(", "))));
    }
    Ok(Some(Sso {
        issuer,
        name: raw.name.unwrap_or_else(|| "single sign-on".to_owned()),
        client_id,
        secret: raw.client_secret,
        url,
        scopes: raw.scopes.unwrap_or_else(|| vec!["profile".to_owned()]),
        name_claim: raw.name_claim.unwrap_or_else(|| "preferred_username".to_owned()),
        role_claim: raw.role_claim.unwrap_or_else(|| "groups".to_owned()),
        roles,
        default_role: raw.default_role,
        ca: raw.ca,
    }))
}

/// Codes and tokens go over the network encrypted, or not over it.
fn is_safe(url: &str) -> bool {
    let host = |rest: &str| rest.split(['/', ':']).next().unwrap_or_default().to_owned();
    url.starts_with("https://")
        || url
            .strip_prefix("http://")
            .is_some_and(|rest| matches!(host(rest).as_str(), "127.0.0.1" | "localhost"))
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn a_provider_is_whole_or_refused() {
        let read = |text: &str| {
            parse(std::path::Path::new("f"), text).map(|c| c.console.sso).map_err(|e| e.to_string())
        };
        assert_eq!(read(""), Ok(None));
        let whole =
            "[sso]\nissuer = \"https://id.example\"\nclient_id = \"sidetap\"\nurl = \"https://s.example\"\n";
        let sso = read(&format!("{whole}roles = {{ \"soc\" = \"analyst\" }}\n")).unwrap().unwrap();
        assert_eq!((sso.role_claim.as_str(), sso.roles["soc"].as_str()), ("groups", "analyst"));
        assert!(read(&format!("{whole}default_role = \"root\"\n")).unwrap_err().contains("no role"));
        assert!(read("[sso]\nissuer = \"http://id.example\"\n").unwrap_err().contains("https"));
        assert!(read("[sso]\nissuer = \"https://id.example\"\n").unwrap_err().contains("url"));
        assert!(read("[sso]\nclient_id = \"x\"\n").unwrap_err().contains("issuer"));
    }
}
