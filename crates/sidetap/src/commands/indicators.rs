//! `sidetap indicators`.

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use sidetap_bots::{Indicator, Kind, Pack, Pillar, Scope};

use super::inventory::print_rows;
use crate::cli::{GlobalArgs, IndicatorsCommand, RowFormat};
use crate::config::{self, Config, nearest};
use crate::exit::Status;
use crate::output::{Terminal, print};
use crate::report::{Column, Table};

/// Lists or shows.
pub(crate) fn run(global: &GlobalArgs, command: &IndicatorsCommand) -> Result<Status> {
    let config = config::load(global.config.as_deref())?;
    let pack = pack(&config)?;
    match command {
        IndicatorsCommand::List { pillar, kind, scope, format, json } => {
            let picked = Picked::of(pillar.as_deref(), kind.as_deref(), scope.as_deref())?;
            list(&pack, &picked, *format, *json, &Terminal::of_stdout(global.color))
        }
        IndicatorsCommand::Show { id, json } => show(&pack, id, *json),
        IndicatorsCommand::Reference => {
            print(&pack.reference())?;
            Ok(Status::Done)
        }
    }
}

/// Which indicators are asked for.
struct Picked {
    pillar: Option<Pillar>,
    kind: Option<Kind>,
    scope: Option<Scope>,
}

impl Picked {
    fn of(pillar: Option<&str>, kind: Option<&str>, scope: Option<&str>) -> Result<Self> {
        Ok(Picked {
            pillar: pillar.map(|p| named("pillar", p, &Pillar::ALL, Pillar::name)).transpose()?,
            kind: kind.map(|k| named("kind", k, &Kind::ALL, Kind::name)).transpose()?,
            scope: scope
                .map(|s| named("scope", s, &[Scope::Client, Scope::Part], Scope::name))
                .transpose()?,
        })
    }

    fn takes(&self, i: &Indicator) -> bool {
        self.pillar.is_none_or(|p| p == i.pillar)
            && self.kind.is_none_or(|k| k == i.kind)
            && self.scope.is_none_or(|s| s == i.scope)
    }
}

/// The one of `all` that is called `name`.
fn named<T: Copy>(what: &str, name: &str, all: &[T], of: impl Fn(T) -> &'static str) -> Result<T> {
    let names = || all.iter().map(|t| of(*t));
    let found = all.iter().find(|t| of(**t) == name);
    found.copied().ok_or_else(|| match nearest(name, names()) {
        Some(near) => anyhow!("no {what} is called `{name}`; did you mean `{near}`?"),
        None => anyhow!("no {what} is called `{name}`; there are {}", names().collect::<Vec<_>>().join(", ")),
    })
}

/// The indicators in force: the built-in ones, or those of the configured directory.
pub(crate) fn pack(config: &Config) -> Result<Pack> {
    match &config.analysis.indicators {
        Some(dir) => Pack::load_dir(dir).with_context(|| dir.display().to_string()),
        None => Ok(Pack::builtin()?),
    }
}

fn list(pack: &Pack, picked: &Picked, format: RowFormat, json: bool, terminal: &Terminal) -> Result<Status> {
    let mut rows: Vec<&Indicator> = pack.indicators().iter().filter(|i| picked.takes(i)).collect();
    rows.sort_by(|a, b| (a.pillar, &a.id).cmp(&(b.pillar, &b.id)));
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
        return Ok(Status::Done);
    }
    if format == RowFormat::Ndjson {
        return print_rows(&rows);
    }
    let mut table = Table::new(&[
        Column::text("PILLAR"),
        Column::text("INDICATOR"),
        Column::text("KIND"),
        Column::text("SCOPE"),
        Column::number("AUTOMATION"),
        Column::number("HARM"),
        Column::flexible("WHAT"),
    ]);
    for i in &rows {
        let (automation, harm) = (format!("{:+.1}", i.automation), format!("{:+.1}", i.harm));
        let kind = i.kind.name();
        table.row([i.pillar.name(), &i.id, kind, i.scope.name(), &automation, &harm, &i.description]);
    }
    print(&table.render(terminal))?;
    Ok(Status::Done)
}

/// An indicator with the classes that it takes part in.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    indicator: &'a Indicator,
    classes: Vec<&'a str>,
}

fn show(pack: &Pack, id: &str, json: bool) -> Result<Status> {
    let Some(indicator) = pack.indicators().iter().find(|i| i.id == id) else {
        let near = nearest(id, pack.indicators().iter().map(|i| i.id.as_str()));
        match near {
            Some(near) => bail!("no indicator is called `{id}`; did you mean `{near}`?"),
            None => bail!("no indicator is called `{id}`"),
        }
    };
    let shown = Shown { indicator, classes: pack.classes_with(id) };
    let text =
        if json { serde_json::to_string_pretty(&shown)? + "\n" } else { serde_yaml_ng::to_string(&shown)? };
    print(&text)?;
    Ok(Status::Done)
}
