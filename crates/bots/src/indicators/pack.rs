//! The pack: indicators and the classes that they add up to, read from files and checked.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::overrides::{Override, Scoped};
use super::view::{First, Live, View};
use super::{Indicator, Scope};
use crate::without::Without;
use crate::{PackError, Roles};
use sidetap_model::nearest;
use sidetap_model::of_item;

/// Most bytes of a file, and most entries of each kind of all files.
const MAX_BYTES: u64 = 4 << 20;
const MAX_ENTRIES: usize = 1000;

/// A class of abuse: which indicators together mean it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassRule {
    /// Class id of the output contract.
    pub id: String,
    /// OWASP automated threats.
    #[serde(default)]
    pub oat: Vec<String>,
    /// What is judged.
    pub scope: Scope,
    /// All of these fire.
    #[serde(default)]
    pub all: Vec<String>,
    /// And at least so many of `any` (one where not given and `any` is not empty).
    #[serde(default)]
    pub any: Vec<String>,
    /// How many of `any`.
    #[serde(default)]
    pub least: Option<usize>,
    /// None of these fires.
    #[serde(default)]
    pub none: Vec<String>,
    /// The intent where it holds: malicious, unless `suspicious` is said.
    #[serde(default)]
    pub suspicious: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackFile {
    version: u32,
    #[serde(default)]
    indicators: Vec<Indicator>,
    #[serde(default)]
    overrides: Vec<Override>,
    #[serde(default)]
    classes: Vec<ClassRule>,
}

/// Indicators and classes, checked.
#[derive(Clone, Debug)]
pub struct Pack {
    indicators: Vec<Indicator>,
    pub(super) live: Vec<Live>,
    pub(super) of_client: Vec<First>,
    pub(super) of_part: Vec<First>,
    pub(super) classes: Vec<Rule>,
    scoped: Vec<Scoped>,
}

/// A class rule with its indicators as positions in the pack.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) oat: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) suspicious: bool,
    pub(super) all: Vec<usize>,
    pub(super) any: Vec<usize>,
    pub(super) least: usize,
    pub(super) none: Vec<usize>,
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../packs/indicators/", $name)))),+]
    };
}

const BUILTIN: [(&str, &str); 11] = files![
    "tools-agents.yaml",
    "tools-heads.yaml",
    "tools-order.yaml",
    "tools-parts.yaml",
    "infrastructure.yaml",
    "network.yaml",
    "credentials.yaml",
    "behaviour-clients.yaml",
    "behaviour-timing.yaml",
    "behaviour-parts.yaml",
    "context.yaml",
];
const CLASSES: (&str, &str) = ("classes.yaml", include_str!("../../packs/classes.yaml"));

impl Pack {
    /// The pack that comes with Sidetap.
    pub fn builtin() -> Result<Self, PackError> {
        Self::with(&[])
    }

    /// The built-in pack with the files of a directory (`*.yaml`, in the order of their names) over it: `indicators` replace
    /// those of the same id and add others, `overrides` change weights, thresholds or switch off, everywhere or for a host,
    /// an endpoint or a role; `classes` stand before the built-in ones, and a file `classes.yaml` replaces them.
    pub fn load_dir(dir: &Path) -> Result<Self, PackError> {
        let failed =
            |name: &Path, e: std::io::Error| PackError::File(name.display().to_string(), e.to_string());
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(|e| failed(dir, e))? {
            let path = entry.map_err(|e| failed(dir, e))?.path();
            if path.extension().is_some_and(|e| e == "yaml" || e == "yml") && path.is_file() {
                paths.push(path);
            }
        }
        paths.sort();
        let mut files = Vec::new();
        for path in &paths {
            let size = std::fs::metadata(path).map_err(|e| failed(path, e))?.len();
            if size > MAX_BYTES {
                return Err(PackError::File(
                    path.display().to_string(),
                    format!("more than {MAX_BYTES} bytes"),
                ));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(path).map_err(|e| failed(path, e))?));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        Self::with(&files)
    }

    /// The built-in pack with files (name and content) over it.
    pub fn with(files: &[(&str, &str)]) -> Result<Self, PackError> {
        let mut building = Building::default();
        for (name, text) in BUILTIN {
            building.take(name, text)?;
        }
        building.own = true;
        for (name, text) in files {
            building.take(name, text)?;
        }
        let (name, text) = files.iter().find(|(n, _)| *n == CLASSES.0).copied().unwrap_or(CLASSES);
        building.classes(name, text, read(name, text)?.classes);
        building.finish()
    }

    /// Every indicator, as it holds everywhere.
    pub fn indicators(&self) -> &[Indicator] {
        &self.indicators
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.classes
    }

    /// The ids of the classes, in the order in which they are tried.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|r| r.id.as_str())
    }

    /// Ids of the classes that an indicator takes part in, in order.
    pub fn classes_with(&self, id: &str) -> Vec<&str> {
        let Some(at) = self.indicators.iter().position(|i| i.id == id) else { return Vec::new() };
        let mut ids: Vec<&str> = self
            .classes
            .iter()
            .filter(|r| r.all.contains(&at) || r.any.contains(&at))
            .map(|r| r.id.as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The pack as it holds where nothing is said of the place.
    pub(crate) fn everywhere(&self) -> View<'_> {
        View { pack: self, changed: Vec::new() }
    }

    /// The same without what is left out; what only says where something happens stays.
    pub(crate) fn lacking(&self, without: Without) -> Self {
        let mut pack = self.clone();
        for (at, indicator) in pack.indicators.iter_mut().enumerate() {
            let gone = indicator.family != "context" && without.lacks(indicator.pillar);
            if let Some(live) = pack.live.get_mut(at).filter(|_| gone) {
                (live.enabled, indicator.enabled) = (false, false);
            }
        }
        pack.classes.retain(|rule| !without.lacks_class(&rule.id));
        let first = |f: &First| pack.live.get(usize::from(f.at)).map_or(*f, |live| First::of(f.at, live));
        (pack.of_client, pack.of_part) =
            (self.of_client.iter().map(first).collect(), self.of_part.iter().map(first).collect());
        pack
    }

    /// True where something differs by host, endpoint or role.
    pub(crate) fn differs(&self) -> bool {
        !self.scoped.is_empty()
    }

    /// The pack as it holds on a host, at an endpoint of it (method and template) with its roles.
    pub(crate) fn at(&self, host: &str, endpoint: Option<(&str, &str, Roles)>) -> View<'_> {
        let mut view = self.everywhere();
        for scoped in self.scoped.iter().filter(|s| s.place.fits(host, endpoint)) {
            for n in &scoped.indicators {
                if !view.changed.iter().any(|(at, _)| at == n)
                    && let Some(live) = self.live.get(*n)
                {
                    view.changed.push((*n, live.clone()));
                }
                if let Some((_, live)) = view.changed.iter_mut().find(|(at, _)| at == n) {
                    scoped.change.apply_live(live);
                }
            }
        }
        view
    }
}

fn read(name: &str, text: &str) -> Result<PackFile, PackError> {
    let file: PackFile = serde_yaml_ng::from_str(text).map_err(|e| {
        let place = e.location().map_or((0, 0), |l| (l.line(), l.column()));
        let message = e.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let (line, column) = inner_place(text, message).unwrap_or(place);
        PackError::At { file: name.into(), line, column, message: message.to_owned(), hint: None }
    })?;
    if file.version != 1 {
        return Err(PackError::Version(file.version));
    }
    Ok(file)
}

/// Where an entry's condition stands that a message `section[n]: …` is about: YAML knows where the entry begins only.
fn inner_place(text: &str, message: &str) -> Option<(usize, usize)> {
    let (section, rest) = message.split_once('[')?;
    let (n, rest) = rest.split_once(']')?;
    let key = if rest.contains("expression, line") {
        "expression"
    } else if rest.contains("no fact is called") || rest.contains("expected") {
        "when"
    } else {
        return None;
    };
    let (line, column) = of_item(text, section, n.parse().ok()?, key);
    (line > 0).then_some((line, column))
}

/// A class with the file that it stands in, its text and its position there.
type Sourced<'a> = (&'a str, &'a str, usize, ClassRule);

#[derive(Default)]
struct Building<'a> {
    own: bool,
    indicators: Vec<Indicator>,
    overrides: Vec<(&'a str, &'a str, usize, Override)>,
    classes: Vec<Sourced<'a>>,
}

impl<'a> Building<'a> {
    fn take(&mut self, name: &'a str, text: &'a str) -> Result<(), PackError> {
        let file = read(name, text)?;
        let mut seen: Vec<String> = Vec::new();
        for (n, indicator) in file.indicators.into_iter().enumerate() {
            let wrong = |what| at(name, text, "indicators", n, "id", what, None);
            indicator.check().map_err(|what| wrong(format!("`{}`: {what}", indicator.id)))?;
            let known = self.indicators.iter_mut().find(|i| i.id == indicator.id);
            if seen.contains(&indicator.id) || known.is_some() && !self.own {
                return Err(wrong(format!("`{}` stands twice", indicator.id)));
            }
            seen.push(indicator.id.clone());
            match known {
                Some(slot) => *slot = indicator,
                None => self.indicators.push(indicator),
            }
        }
        self.overrides.extend(file.overrides.into_iter().enumerate().map(|(n, o)| (name, text, n, o)));
        if name != CLASSES.0 {
            self.classes(name, text, file.classes);
        }
        if self.indicators.len().max(self.overrides.len()).max(self.classes.len()) > MAX_ENTRIES {
            return Err(PackError::File(name.into(), format!("more than {MAX_ENTRIES} entries")));
        }
        Ok(())
    }

    fn classes(&mut self, name: &'a str, text: &'a str, classes: Vec<ClassRule>) {
        self.classes.extend(classes.into_iter().enumerate().map(|(n, c)| (name, text, n, c)));
    }

    fn finish(mut self) -> Result<Pack, PackError> {
        let mut scoped = Vec::new();
        for (name, text, n, own) in &self.overrides {
            let wrong = |(key, what, hint): (&str, String, Option<String>)| {
                at(name, text, "overrides", *n, key, what, hint)
            };
            match own.resolve(&self.indicators).map_err(wrong)? {
                Scoped { place, change, indicators } if place.is_everywhere() => {
                    for at in indicators {
                        if let Some(indicator) = self.indicators.get_mut(at) {
                            change.apply(indicator);
                        }
                    }
                }
                placed => scoped.push(placed),
            }
        }
        let mut families: BTreeMap<&str, u16> = BTreeMap::new();
        for indicator in &self.indicators {
            let next = u16::try_from(families.len()).unwrap_or(u16::MAX);
            families.entry(&indicator.family).or_insert(next);
        }
        let family = |i: &Indicator| families.get(i.family.as_str()).copied().unwrap_or_default();
        let live: Vec<Live> = self.indicators.iter().map(|i| Live::of(i, family(i))).collect();
        let of = |scope| {
            let all = self.indicators.iter().zip(&live).enumerate().filter(|(_, (i, _))| i.scope == scope);
            all.filter_map(|(n, (_, live))| Some(First::of(u16::try_from(n).ok()?, live))).collect()
        };
        let of_scope = [of(Scope::Client), of(Scope::Part)];
        let classes = self
            .classes
            .iter()
            .map(|(name, text, n, c)| {
                Rule::resolve(c, &self.indicators)
                    .map_err(|(key, what, hint)| at(name, text, "classes", *n, key, what, hint))
            })
            .collect::<Result<_, _>>()?;
        let [of_client, of_part] = of_scope;
        Ok(Pack { live, of_client, of_part, classes, scoped, indicators: self.indicators })
    }
}

fn at(
    file: &str,
    text: &str,
    section: &str,
    n: usize,
    key: &str,
    message: String,
    hint: Option<String>,
) -> PackError {
    let (line, column) = of_item(text, section, n, key);
    PackError::At { file: file.into(), line, column, message, hint }
}

/// What is said of an entry that is wrong: the key, what, and what to do.
pub(super) type Wrong = (&'static str, String, Option<String>);

/// The position of the indicator of this id.
pub(super) fn find(key: &'static str, id: &str, indicators: &[Indicator]) -> Result<usize, Wrong> {
    indicators.iter().position(|i| i.id == id).ok_or_else(|| {
        let near = nearest(id, indicators.iter().map(|i| i.id.as_str()));
        let hint = near.map_or_else(
            || "`sidetap indicators list` shows them".to_owned(),
            |n| format!("did you mean `{n}`?"),
        );
        (key, format!("no indicator is called `{id}`"), Some(hint))
    })
}

impl Rule {
    fn resolve(class: &ClassRule, indicators: &[Indicator]) -> Result<Self, Wrong> {
        let list = |key: &'static str, ids: &[String]| {
            let find = |id: &String| {
                let n = find(key, id, indicators)?;
                let scope = indicators.get(n).map(|i| i.scope);
                if scope != Some(class.scope) {
                    let what = format!("`{id}` does not judge a {}", class.scope.name());
                    return Err((key, what, None));
                }
                Ok(n)
            };
            ids.iter().map(find).collect::<Result<Vec<_>, _>>()
        };
        let (all, any, none) =
            (list("all", &class.all)?, list("any", &class.any)?, list("none", &class.none)?);
        if all.is_empty() && any.is_empty() {
            return Err(("id", format!("class `{}` asks for no indicator", class.id), None));
        }
        let least = class.least.unwrap_or(usize::from(!any.is_empty()));
        if least > any.len() {
            return Err(("least", format!("class `{}` asks for more than it lists", class.id), None));
        }
        Ok(Rule {
            id: class.id.clone(),
            oat: class.oat.clone(),
            scope: class.scope,
            suspicious: class.suspicious,
            all,
            any,
            least,
            none,
        })
    }

    /// True where what fired means this class.
    /// True of an indicator that the class is made of.
    pub(crate) fn names(&self, indicator: usize) -> bool {
        self.all.contains(&indicator) || self.any.contains(&indicator)
    }

    /// True where these indicators together mean the class.
    pub(crate) fn holds(&self, fired: &[usize]) -> bool {
        self.all.iter().all(|n| fired.contains(n))
            && self.any.iter().filter(|n| fired.contains(n)).count() >= self.least
            && !self.none.iter().any(|n| fired.contains(n))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Kind, Pillar, facts_of};
    use super::*;

    #[test]
    fn the_builtin_pack_is_whole() {
        let pack = Pack::builtin().unwrap();
        for pillar in Pillar::ALL {
            assert!(pack.indicators().iter().any(|i| i.pillar == pillar));
        }
        for kind in Kind::ALL {
            assert!(pack.indicators().iter().any(|i| i.kind == kind), "{kind:?}");
        }
        let weighs = |i: &&Indicator| i.automation != 0.0 || i.harm != 0.0;
        let weighing = pack.indicators().iter().filter(weighs).count();
        assert!(weighing >= 180, "{weighing} indicators that weigh anything");
        for i in pack.indicators() {
            assert!(!i.description.is_empty() && !i.caution.is_empty(), "{} lacks words", i.id);
            assert!(!i.references.is_empty(), "{} has no references", i.id);
        }
    }

    #[test]
    fn every_indicator_runs_its_examples() {
        for i in Pack::builtin().unwrap().indicators() {
            assert!(!i.examples.fire.is_empty() && !i.examples.clear.is_empty(), "{}", i.id);
            for example in &i.examples.fire {
                assert_eq!(i.ask(&facts_of(example).unwrap()), Answer::Fire, "{}: {example:?}", i.id);
            }
            for example in &i.examples.clear {
                assert_eq!(i.ask(&facts_of(example).unwrap()), Answer::Clear, "{}: {example:?}", i.id);
            }
            assert_eq!(i.ask(&crate::Facts::default()), Answer::NotObservable, "{}", i.id);
        }
    }

    fn refused(text: &str) -> String {
        Pack::with(&[("own.yaml", text)]).unwrap_err().to_string()
    }

    const OWN: &str = "version: 1\nindicators:\n  - id: own-one\n    pillar: behaviour\n    kind: heuristic\n    scope: client\n    family: own\n    description: 'Own.'\n    harm: 2\n    expression: 'client.requests > 3 && agent.library'\n    examples: {fire: [{client.requests: 4, agent.library: 1}], clear: [{client.requests: 3, agent.library: 1}]}\n";

    #[test]
    fn own_indicators_and_classes_are_added() {
        let classes = "classes:\n  - {id: spam, scope: client, all: [own-one]}\n";
        let pack = Pack::with(&[("own.yaml", &format!("{OWN}{classes}"))]).unwrap();
        assert_eq!(pack.indicators().last().unwrap().id, "own-one");
        assert_eq!(pack.rules()[0].id, "spam");
        assert_eq!(pack.classes_with("own-one"), ["spam"]);
        let facts = facts_of(&[("client.requests".into(), 9.0), ("agent.library".into(), 1.0)].into());
        let asked = pack.everywhere().ask(Scope::Client, &facts.unwrap());
        assert!(asked.fired.contains(&(pack.indicators().len() - 1)));
        let replaced = Pack::with(&[("own.yaml", OWN), ("classes.yaml", &format!("version: 1\n{classes}"))]);
        assert_eq!(replaced.unwrap().rules().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let e = refused(&OWN.replace("client.requests > 3", "client.request > 3"));
        assert!(e.starts_with("own.yaml:10:") && e.contains("did you mean `client.requests`"), "{e}");
        let e = refused(&OWN.replace("client.requests: 4", "client.requests: 1"));
        assert!(e.starts_with("own.yaml:3:") && e.contains("does not fire"), "{e}");
        let e = refused("version: 1\nclasses:\n  - id: x\n    scope: client\n    all: [ua-libary]\n");
        assert!(e.starts_with("own.yaml:5:10: ") && e.contains("did you mean `ua-library`"), "{e}");
        let e = refused("version: 1\nclasses:\n  - {id: x, scope: part, all: [ua-library]}\n");
        assert!(e.contains("does not judge a part"), "{e}");
        let e = refused("version: 1\nindicator: []\n");
        assert!(e.starts_with("own.yaml:2:1: unknown field `indicator`"), "{e}");
        assert!(refused("version: 7\n").contains("version 7"));
    }
}
