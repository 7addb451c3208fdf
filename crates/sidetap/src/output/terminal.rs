//! stdout and stderr.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Mutex;

use indicatif::ProgressBar;

use super::plain;
use crate::cli::Colour;

/// What the terminal report may assume of stdout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Columns.
    pub(crate) width: usize,
    /// Colours may be used.
    pub(crate) colour: bool,
}

impl Terminal {
    /// What stdout is.
    pub(crate) fn of_stdout(colour: Colour) -> Self {
        let tty = io::stdout().is_terminal();
        let width = terminal_size::terminal_size().filter(|_| tty).map(|(w, _)| usize::from(w.0));
        Terminal { width: width.unwrap_or(110).clamp(60, 180), colour: is_coloured(colour, tty) }
    }

    /// `text` in `style`, where colours may be used.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[{}m{text}\x1b[0m", style.code()),
            false => text.to_owned(),
        }
    }
}

/// Whether stderr may be coloured.
pub(crate) fn stderr_is_coloured(colour: Colour) -> bool {
    is_coloured(colour, io::stderr().is_terminal())
}

fn is_coloured(colour: Colour, tty: bool) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => tty && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Headings.
    Heading,
    /// Secondary.
    Dim,
    /// Harm.
    Bad,
    /// To be watched.
    Warn,
    /// Fine.
    Good,
    /// Names.
    Strong,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Style::Heading => "1;36",
            Style::Dim => "2",
            Style::Bad => "1;31",
            Style::Warn => "33",
            Style::Good => "32",
            Style::Strong => "1",
        }
    }
}

/// Writes `text` to stdout. A reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    quiet(out.write_all(text.as_bytes()).and_then(|()| out.flush())).map(|_| ())
}

/// stdout, for callers that want a writer; a reader that went away is an error here (see [`is_reader_gone`]).
pub(crate) fn stdout() -> impl Write {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Whether an error says no more than that the reader of stdout went away.
pub(crate) fn is_reader_gone(error: &anyhow::Error) -> bool {
    let broken = |e: &(dyn std::error::Error + 'static)| {
        e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(broken)
}

/// Writes lines to stdout as `lines` gives them, until there are none or the reader went away.
pub(crate) fn stream_lines<E: From<io::Error>>(
    lines: impl Iterator<Item = Result<String, E>>,
) -> Result<(), E> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    for line in lines {
        let line = line?;
        let written = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
        if !quiet(written).map_err(E::from)? {
            return Ok(());
        }
    }
    quiet(out.flush()).map(|_| ()).map_err(E::from)
}

/// False where the reader went away.
fn quiet(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(e),
    }
}

/// Says on stderr, in one line, what went wrong.
pub(crate) fn warn(text: &str) {
    say(&format!("sidetap: {}\n", plain(text)));
}

/// Says something on stderr.
pub(crate) fn note(text: &str) {
    say(&format!("{text}\n"));
}

/// What is shown on the terminal and drawn anew all the time: lines that are said go above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From now on lines are said above this.
pub(crate) fn above(bar: &ProgressBar) {
    *shown() = Some(bar.clone());
}

/// Nothing is shown any more.
pub(crate) fn nothing_above() {
    *shown() = None;
}

fn shown() -> std::sync::MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Nobody can be told that stderr cannot be written.
fn say(text: &str) {
    let write = || {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    };
    let bar = shown().clone();
    match bar.filter(|bar| !bar.is_hidden()) {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}
