//! One module a command: what it asks of the other crates and what it prints.

mod approvals;
mod cells;
mod config;
mod console;
mod doctor;
mod finish;
mod gate;
mod indicators;
mod intel;
mod inventory;
mod limit;
mod mitigation;
mod policy;
mod prepare;
mod progress;
mod replay;
mod report;
mod sensitive;
mod serve;
mod shell;
mod source;
mod spelled;
mod store;
mod unseal;
mod watch;

use anyhow::Result;

use crate::cli::{Cli, Command};
use crate::exit::Status;

/// Does what was asked.
pub(crate) fn run(cli: Cli) -> Result<Status> {
    let global = cli.global;
    match cli.command {
        Command::Config(args) => config::run(&global, args.command),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man => shell::man(),
        Command::Intel(args) => intel::run(&global, &args.command),
        Command::Report(args) => report::run(&global, &args),
        Command::Inventory(args) => inventory::run(&global, &args),
        Command::Policy(args) => policy::run(&global, &args),
        Command::Replay(args) => replay::run(&global, &args),
        Command::Watch(args) => watch::run(&global, &args),
        Command::Act(args) => watch::act(&global, &args),
        Command::Serve(args) => serve::run(&global, &args),
        Command::Store(args) => store::run(&global, &args),
        Command::Doctor(args) => doctor::run(&global, &args),
        Command::Sensitive(args) => sensitive::run(&global, &args.command),
        Command::Mitigation(args) => mitigation::run(&global, &args),
        Command::Unseal(args) => unseal::run(&args),
        Command::Indicators(args) => indicators::run(&global, &args.command),
    }
}
