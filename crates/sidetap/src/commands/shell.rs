//! `sidetap completions` and `sidetap man`.

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit::Status;
use crate::output::print;

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sidetap", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Status::Done)
}

/// Prints the manual: one page with a section a command.
pub(crate) fn man() -> Result<Status> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render(&mut page)?;
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        sections(sub, &format!("sidetap {}", sub.get_name()), &mut page)?;
    }
    print(&String::from_utf8_lossy(&page))?;
    Ok(Status::Done)
}

fn sections(command: &clap::Command, name: &str, page: &mut Vec<u8>) -> Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    page.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
    let mut part = Vec::new();
    man.render_description_section(&mut part)?;
    man.render_options_section(&mut part)?;
    let text = String::from_utf8_lossy(&part).replace(".SH ", ".SS ");
    page.extend_from_slice(text.as_bytes());
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        sections(sub, &format!("{name} {}", sub.get_name()), page)?;
    }
    Ok(())
}
