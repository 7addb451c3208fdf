//! The `sidetap` command.

mod cli;
mod clock;
mod commands;
mod config;
mod exit;
mod hash_key;
mod output;
mod report;
mod units;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// Exchanges are made on one thread and let go on another: an allocator that is good at this saves a tenth of a run.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    sidetap_telemetry::start_log(cli.global.verbose, output::stderr_is_coloured(cli.global.color));
    let status = commands::run(cli).unwrap_or_else(|error| {
        if output::is_reader_gone(&error) {
            return exit::Status::Done;
        }
        output::warn(&format!("{error:#}"));
        exit::status_of(&error)
    });
    status.into()
}
