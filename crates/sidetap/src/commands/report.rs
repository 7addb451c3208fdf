//! `sidetap report`.

use anyhow::Result;

use super::policy::policies;
use super::source::Source;
use crate::cli::{GlobalArgs, ReportArgs};
use crate::config;
use crate::exit::{Lost, Status};
use crate::output::{Terminal, print, write_atomically};
use crate::report::{Devices, Report, page, terminal_report};

/// Prints the report of a run, or writes its page.
pub(crate) fn run(global: &GlobalArgs, args: &ReportArgs) -> Result<Status> {
    let config = config::load(global.config.as_deref())?;
    let source = Source::of(&args.source, &config)?;
    let run = source.load()?;
    let blocklist = policies(&config)?.blocklist(&run);
    let report = Report {
        run: &run,
        blocklist: &blocklist,
        directory: source.directory(),
        analysed: true,
        proxies: &[],
        devices: Devices::Untouched,
    };
    match &args.html {
        Some(file) => write_atomically(file, |w| w.write_all(page(&report).as_bytes()))
            .map_err(|e| Lost(format!("cannot write {}: {e}", file.display())))?,
        None => print(&terminal_report(&report, &Terminal::of_stdout(global.color)))?,
    }
    Ok(Status::Done)
}
