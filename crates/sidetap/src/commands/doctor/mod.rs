//! `sidetap doctor`: what a mirror port or a capture shows, and what to change.

mod advice;
mod flows;
mod look;
mod outer;
mod sums;

use std::time::{Duration, Instant};

use anyhow::Result;
use sidetap_capture::{LiveOptions, Source, open_files, open_live};
use sidetap_model::HashKey;
use sidetap_pipeline::{Hooks, Options, Progress};

use self::look::{Figures, Look};
use super::prepare::{Asked, bare_options, rings};
use super::progress::{Bar, Stop};
use crate::cli::{DoctorArgs, GlobalArgs};
use crate::config::{self, Config};
use crate::exit::Status;
use crate::output::{Terminal, print, warn};

/// Looks, and says what to change.
pub(crate) fn run(global: &GlobalArgs, args: &DoctorArgs) -> Result<Status> {
    let mut config = config::load(global.config.as_deref())?;
    if !args.interfaces.is_empty() {
        rings(&mut config, None, (args.interfaces.len(), 1), Asked::ForALook)?;
    }
    // No hash of this key is kept: the doctor shows shares only.
    let mut options = bare_options(&config, HashKey::from_bytes([0; 16]))?;
    options.live = !args.interfaces.is_empty();
    let stop = Stop::on_signals()?;
    let figures = match args.interfaces.as_slice() {
        [] => examine(open_files(&args.files)?, &options, Bar::new(stop))?,
        interfaces => {
            let source = open_live(interfaces, filter(args, &config), &live_options(&config))?;
            examine(source, &options, Timed::new(Bar::new(stop), args.duration.0))?
        }
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&figures)? + "\n",
        false => advice::text(&figures, &Terminal::of_stdout(global.color)),
    };
    print(&text)?;
    let errors: Vec<_> = figures.inputs.iter().filter_map(|i| Some((&i.path, i.error.as_ref()?))).collect();
    errors.iter().for_each(|(path, error)| warn(&format!("{path}: {error}")));
    Ok(match errors.is_empty() {
        true => Status::Done,
        false if figures.packets == 0 => Status::Refused,
        false => Status::Lost,
    })
}

fn filter<'a>(args: &'a DoctorArgs, config: &'a Config) -> Option<&'a str> {
    args.filter.as_deref().or(Some(config.capture.filter.as_str())).filter(|f| !f.is_empty())
}

/// The configured ways of capturing.
pub(crate) fn live_options(config: &Config) -> LiveOptions {
    let usual = LiveOptions::default();
    LiveOptions {
        promiscuous: config.capture.promiscuous,
        snaplen: i32::try_from(config.capture.snaplen).unwrap_or(i32::MAX),
        buffer_bytes: config
            .capture
            .buffer
            .map_or(usual.buffer_bytes, |b| i32::try_from(b.0).unwrap_or(i32::MAX)),
        ..usual
    }
}

fn examine(source: impl Source + Send, options: &Options, mut hooks: impl Hooks + Ending) -> Result<Figures> {
    let mut look = Look::new(source);
    let outcome = sidetap_pipeline::run(&mut look, options, &mut hooks);
    hooks.end();
    Ok(look.figures(&outcome?.run.summary))
}

/// Hooks with something to take away at the end.
trait Ending {
    fn end(&self);
}

impl Ending for Bar {
    fn end(&self) {
        self.clear();
    }
}

/// A look that ends by itself.
struct Timed {
    bar: Bar,
    until: Instant,
}

impl Timed {
    fn new(bar: Bar, duration: Duration) -> Self {
        Timed { bar, until: Instant::now() + duration }
    }
}

impl Hooks for Timed {
    fn progress(&mut self, progress: &Progress) {
        self.bar.progress(progress);
    }

    fn stop(&self) -> bool {
        self.bar.stop() || Instant::now() >= self.until
    }
}

impl Ending for Timed {
    fn end(&self) {
        self.bar.clear();
    }
}
