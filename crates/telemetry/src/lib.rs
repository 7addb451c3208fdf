//! Log set-up.
//!
//! Volumes are counters in `summary.json`; the log carries events: what went wrong with a device, a file, a thread. Never payload.

use std::io;

use tracing_subscriber::EnvFilter;

/// The variable that sets what is logged, in the syntax of `tracing_subscriber`'s filters: `debug`, `sidetap_mitigation=trace`.
pub const LOG_VARIABLE: &str = "SIDETAP_LOG";

/// Sends log events to stderr, one a line: warnings, with `verbosity` 1 information too, from 2 on everything.
///
/// [`LOG_VARIABLE`] wins where it is set and can be understood. A second call changes nothing.
pub fn start_log(verbosity: u8, colour: bool) {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour);
    // Where the log cannot be written (its disk is full) the library would say so on stderr, and panic where that is the log itself.
    let log = log.log_internal_errors(false);
    // The only error is that there is a log already.
    let _ = log.compact().try_init();
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::process::Command;

    use super::start_log;

    const CHILD: &str = "SIDETAP_TEST_FULL_LOG";

    #[test]
    #[allow(clippy::unwrap_used)]
    fn a_log_that_cannot_be_written_ends_nothing() {
        if std::env::var_os(CHILD).is_some() {
            start_log(0, false);
            tracing::warn!("nobody reads this");
            return;
        }
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let name = "tests::a_log_that_cannot_be_written_ends_nothing";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").stderr(full);
        assert!(child.status().unwrap().success(), "it panicked");
    }
}
