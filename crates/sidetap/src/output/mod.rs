//! Where words and files leave the process. Nothing else in this crate prints.

mod atomic;
mod run_dir;
mod safe;
mod terminal;

pub(crate) use atomic::{write_atomically, write_lasting};
pub(crate) use run_dir::{RunDir, is_summary_room, load_run, openapi_name, summary_text};
pub(crate) use safe::{html, plain};
pub(crate) use terminal::{
    Style, Terminal, above, is_reader_gone, note, nothing_above, print, stderr_is_coloured, stdout,
    stream_lines, warn,
};
