//! `sidetap config`.

use anyhow::Result;

use crate::cli::{ConfigCommand, GlobalArgs};
use crate::config;
use crate::exit::Status;
use crate::output::print;

/// Checks a file or prints the reference.
pub(crate) fn run(global: &GlobalArgs, command: ConfigCommand) -> Result<Status> {
    match command {
        ConfigCommand::Check { file } => {
            let file = file.or_else(|| global.config.clone());
            config::load(file.as_deref())?;
            print("configuration: ok\n")?;
        }
        ConfigCommand::Reference => print(&config::reference())?,
    }
    Ok(Status::Done)
}
