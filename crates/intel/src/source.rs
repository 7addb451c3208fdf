use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::IntelError;
use crate::kind::{Kind, Kinds};

/// A source as a configuration writes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// Its name.
    pub name: String,
    /// What it holds, in words.
    pub what: String,
    /// A package of the npm registry.
    pub package: String,
    /// Files of the package.
    pub files: Vec<String>,
    /// Addresses to fetch.
    pub url: Many<String>,
    /// Files of this machine.
    pub file: Many<PathBuf>,
    /// How it is written.
    pub format: Option<Format>,
    /// What its addresses or networks are used for.
    pub kind: Many<String>,
    /// The list of published addresses that it is.
    pub publishes: String,
    /// What is said of who stands on it: makes it a list of reports.
    pub label: String,
    /// How much a report counts, above 0 to 1.
    pub weight: Option<f64>,
    /// How long after it was fetched a report is believed, like `7d`.
    pub expires: String,
    /// Its licence.
    pub licence: String,
    /// Where the licence can be read.
    pub licence_url: String,
    /// Whom the licence asks to be named.
    pub attribution: String,
}

/// One value, or several.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Many<T> {
    /// One.
    One(T),
    /// Several.
    Several(Vec<T>),
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Many::Several(Vec::new())
    }
}

impl<T: Clone> Many<T> {
    fn list(&self) -> Vec<T> {
        match self {
            Many::One(one) => vec![one.clone()],
            Many::Several(list) => list.clone(),
        }
    }
}

/// How a source is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Lines `from,to,number,"holder"`.
    NetworksCsv,
    /// Lines `from,to,country`.
    CountriesCsv,
    /// A network, an address or a range a line; what follows a blank, comma or `#` is not read.
    Networks,
    /// JSON: every string in it that is a network or an address.
    Json,
    /// The number of an autonomous system a line, `AS64496` or `64496`.
    Asns,
    /// A part of an organization's name a line.
    Organizations,
    /// A MaxMind DB with networks, countries or both.
    Mmdb,
}

/// A checked source.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its name: letters, digits and hyphens.
    pub name: String,
    /// What it holds, in words.
    pub what: String,
    /// Where it is.
    pub place: Where,
    /// How it is written.
    pub format: Format,
    /// What its addresses or networks are used for.
    pub kinds: Kinds,
    /// The list of published addresses that it is.
    pub publishes: Option<String>,
    /// What is said of who stands on it.
    pub label: Option<String>,
    /// How much a report counts.
    pub weight: f64,
    /// Seconds for which a report is believed.
    pub expires_s: Option<i64>,
    /// Its licence.
    pub licence: String,
    /// Where the licence can be read.
    pub licence_url: String,
    /// Whom the licence asks to be named.
    pub attribution: String,
}

/// Where a source is.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    /// Files of an npm package.
    Package(String, Vec<String>),
    /// Addresses.
    Urls(Vec<String>),
    /// Files of this machine.
    Files(Vec<PathBuf>),
}

impl Where {
    /// How many files there are.
    #[cfg(feature = "fetch")]
    pub(crate) fn files(&self) -> usize {
        match self {
            Where::Package(_, files) => files.len(),
            Where::Urls(urls) => urls.len(),
            Where::Files(files) => files.len(),
        }
    }

    /// In words.
    pub fn told(&self) -> String {
        match self {
            Where::Package(name, _) => format!("npm {name}"),
            Where::Urls(urls) => urls.join(" "),
            Where::Files(files) => {
                files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// Longest name of a source: it is the name of a directory.
const NAME: usize = 64;

impl SourceConfig {
    /// Checks it.
    pub fn checked(&self) -> Result<Source, IntelError> {
        let bad = |what: &str| IntelError::Source(self.name.clone(), what.into());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > NAME || !self.name.chars().all(plain) {
            return Err(bad("a name is lower-case letters, digits and hyphens, 64 at most"));
        }
        let format = self.format.ok_or_else(|| bad("`format` is missing"))?;
        let mut kinds = Kinds::NONE;
        for name in self.kind.list() {
            let kind = Kind::by_name(&name).ok_or_else(|| {
                let known: Vec<&str> = Kind::ALL.iter().map(|(_, n, _)| *n).collect();
                bad(&format!("no kind is called `{name}`; known: {}", known.join(", ")))
            })?;
            kinds.insert(Kinds::of(kind));
        }
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let (publishes, label) = (some(&self.publishes), some(&self.label));
        if publishes.is_some() {
            let monitoring = kinds.has(Kind::Monitoring);
            kinds.insert(Kinds::of(if monitoring { Kind::Monitoring } else { Kind::Crawler }));
        }
        let silent = kinds.is_empty() && label.is_none();
        let by_itself = matches!(format, Format::NetworksCsv | Format::CountriesCsv | Format::Mmdb);
        if silent && !by_itself {
            return Err(bad("says nothing: `kind`, `publishes` or `label` is missing"));
        }
        let weight = self.weight.unwrap_or(0.5);
        if !(weight > 0.0 && weight <= 1.0) {
            return Err(bad("`weight` is above 0 and at most 1"));
        }
        Ok(Source {
            name: self.name.clone(),
            what: self.what.clone(),
            place: self.place()?,
            format,
            kinds,
            publishes,
            label,
            weight,
            expires_s: some(&self.expires)
                .map(|t| seconds(&t).ok_or_else(|| bad("`expires` is like 12h or 7d")))
                .transpose()?,
            licence: some(&self.licence).unwrap_or_else(|| "not stated".into()),
            licence_url: self.licence_url.clone(),
            attribution: self.attribution.clone(),
        })
    }

    fn place(&self) -> Result<Where, IntelError> {
        let bad = |what: &str| IntelError::Source(self.name.clone(), what.into());
        let (urls, files) = (self.url.list(), self.file.list());
        let given = [!self.package.is_empty(), !urls.is_empty(), !files.is_empty()];
        if given.iter().filter(|g| **g).count() != 1 {
            return Err(bad("exactly one of `package`, `url` and `file` says where it is"));
        }
        if !self.package.is_empty() {
            if self.files.is_empty() {
                return Err(bad("`files` names the files of the package"));
            }
            return Ok(Where::Package(self.package.clone(), self.files.clone()));
        }
        if let Some(url) = urls.iter().find(|u| !u.starts_with("https://") && !u.starts_with("http://")) {
            return Err(bad(&format!("`{url}` is no http or https address")));
        }
        Ok(if urls.is_empty() { Where::Files(files) } else { Where::Urls(urls) })
    }
}

/// Reads `90s`, `15m`, `12h`, `7d`.
fn seconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok().filter(|n| *n > 0)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SourceConfig {
        SourceConfig {
            name: "own".into(),
            url: Many::One("https://lists.example/bad.txt".into()),
            format: Some(Format::Networks),
            label: "seen abusing".into(),
            expires: "7d".into(),
            ..SourceConfig::default()
        }
    }

    #[test]
    fn a_source_is_checked() {
        let good = config().checked().unwrap();
        assert_eq!((good.expires_s, good.weight), (Some(7 * 86_400), 0.5));
        let refused = |change: fn(&mut SourceConfig)| {
            let mut c = config();
            change(&mut c);
            c.checked().unwrap_err().to_string()
        };
        assert!(refused(|c| c.name = "../x".into()).contains("name"));
        assert!(refused(|c| c.label = String::new()).contains("says nothing"));
        assert!(refused(|c| c.kind = Many::One("nonsense".into())).contains("nonsense"));
        assert!(refused(|c| c.package = "x".into()).contains("exactly one"));
        assert!(refused(|c| c.url = Many::One("ftp://x".into())).contains("no http"));
        assert!(refused(|c| c.weight = Some(2.0)).contains("weight"));
        assert!(refused(|c| c.expires = "soon".into()).contains("expires"));
        assert!(refused(|c| c.format = None).contains("format"));
    }
}
