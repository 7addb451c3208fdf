//! `sidetap indicators`.

use anyhow::{Context, Result, bail};
use sidetap_bots::{Indicator, Pack};

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
        IndicatorsCommand::List { pillar, format } => {
            list(&pack, pillar.as_deref(), *format, &Terminal::of_stdout(global.color))
        }
        IndicatorsCommand::Show { id } => show(&pack, id),
    }
}

/// The indicators in force: the built-in ones, or those of the configured directory.
pub(crate) fn pack(config: &Config) -> Result<Pack> {
    match &config.analysis.indicators {
        Some(dir) => Pack::load_dir(dir).with_context(|| dir.display().to_string()),
        None => Ok(Pack::builtin()?),
    }
}

fn list(pack: &Pack, pillar: Option<&str>, format: RowFormat, terminal: &Terminal) -> Result<Status> {
    let mut rows: Vec<&Indicator> =
        pack.indicators().iter().filter(|i| pillar.is_none_or(|p| i.pillar.name() == p)).collect();
    rows.sort_by(|a, b| (a.pillar, &a.id).cmp(&(b.pillar, &b.id)));
    if format == RowFormat::Ndjson {
        return print_rows(&rows);
    }
    let mut table = Table::new(&[
        Column::text("PILLAR"),
        Column::text("INDICATOR"),
        Column::text("KIND"),
        Column::number("AUTOMATION"),
        Column::number("HARM"),
        Column::flexible("WHAT"),
    ]);
    for i in &rows {
        let (automation, harm) = (format!("{:+.1}", i.automation), format!("{:+.1}", i.harm));
        table.row([i.pillar.name(), &i.id, &i.kind, &automation, &harm, &i.description]);
    }
    print(&table.render(terminal))?;
    Ok(Status::Done)
}

fn show(pack: &Pack, id: &str) -> Result<Status> {
    let Some(indicator) = pack.indicators().iter().find(|i| i.id == id) else {
        let near = nearest(id, pack.indicators().iter().map(|i| i.id.as_str()));
        match near {
            Some(near) => bail!("no indicator is called `{id}`; did you mean `{near}`?"),
            None => bail!("no indicator is called `{id}`"),
        }
    };
    print(&serde_yaml_ng::to_string(indicator)?)?;
    Ok(Status::Done)
}
