//! `sidetap config`.

use anyhow::{Result, anyhow};
use sidetap_mitigation::{SecretError, SecretRef};

use crate::cli::{ConfigCommand, GlobalArgs};
use crate::config::{self, Config};
use crate::exit::Status;
use crate::output::{print, warn};

/// Checks a file or prints the reference.
pub(crate) fn run(global: &GlobalArgs, command: ConfigCommand) -> Result<Status> {
    match command {
        ConfigCommand::Check { file } => {
            let file = file.or_else(|| global.config.clone());
            check_credentials(&config::load(file.as_deref())?)?;
            print("configuration: ok\n")?;
        }
        ConfigCommand::Reference => print(&config::reference())?,
    }
    Ok(Status::Done)
}

/// Reads every credential: a sink's would be missed only when there is something to tell. Variables may be set for the service alone, so
/// that one which is not here is no error.
fn check_credentials(config: &Config) -> Result<()> {
    let sso = config.console.sso.iter().filter_map(|s| Some(("sso".to_owned(), s.secret.as_ref()?)));
    let mut wrong: Vec<String> = Vec::new();
    for (whose, secret) in config.mitigation.credentials().into_iter().chain(sso) {
        match secret.resolve() {
            Ok(_) => secret.risk().iter().for_each(|risk| warn(&format!("{whose}: {risk}"))),
            Err(e @ SecretError::Env(_)) => warn(&format!("{whose}: {e} here")),
            Err(e) => wrong.push(format!("{whose}: {}{e}", of_file(secret, &e))),
        }
    }
    let Some(last) = wrong.pop() else { return Ok(()) };
    wrong.iter().for_each(|why| warn(why));
    Err(anyhow!(last))
}

/// The file, where the error does not name it.
fn of_file(secret: &SecretRef, error: &SecretError) -> String {
    let file = secret.file.as_ref().filter(|_| matches!(error, SecretError::Short(_)));
    file.map(|file| format!("{}: ", file.display())).unwrap_or_default()
}
