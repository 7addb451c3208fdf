//! How far a run is, on a terminal; and signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sidetap_pipeline::{Hooks, Progress};

/// A bar on stderr; nothing where stderr is no terminal.
pub(crate) struct Bar {
    bar: ProgressBar,
    stop: Stop,
}

/// Set by SIGINT and SIGTERM; counts SIGHUP where that asks for a new look at the policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>, Arc<AtomicU64>);

impl Stop {
    /// Listens to SIGINT and SIGTERM: the first asks for an orderly end, a second SIGINT ends at once.
    pub(crate) fn on_signals() -> Result<Self> {
        let stop = Stop::default();
        let flag = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot listen to signals")?;
        let listen = move || runtime.block_on(async move { flag.listen().await });
        std::thread::Builder::new()
            .name("sidetap-signals".into())
            .spawn(listen)
            .context("cannot listen to signals")?;
        Ok(stop)
    }

    /// The same, and SIGHUP ends nothing but is counted.
    pub(crate) fn on_signals_and_hangups() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let stop = Stop::on_signals()?;
        let hangups = stop.1.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut hangup = {
            let _entered = runtime.enter();
            signal(SignalKind::hangup())?
        };
        let listen = move || {
            runtime.block_on(async move {
                while hangup.recv().await.is_some() {
                    hangups.fetch_add(1, Relaxed);
                }
            });
        };
        let thread = std::thread::Builder::new().name("sidetap-hangup".into()).spawn(listen);
        thread.map(|_| stop).context("cannot listen to signals")
    }

    /// How often SIGHUP came.
    pub(crate) fn hangups(&self) -> u64 {
        self.1.load(Relaxed)
    }

    /// Listens to SIGINT, SIGTERM and SIGHUP so that they end nothing: for a process that ends when its input does.
    pub(crate) fn unheeded() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // A handler stays for the life of the process, whoever listens.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _entered = runtime.enter();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let handlers = kinds.map(signal).into_iter().collect::<Result<Vec<_>, _>>()?;
        drop(handlers);
        Ok(Stop::default())
    }

    /// Whether an end was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Asks for an end.
    pub(crate) fn ask(&self) {
        self.0.store(true, Relaxed);
        sidetap_capture::give_up_stdin();
    }

    /// Until an end is asked for.
    pub(crate) async fn wait(&self) {
        while !self.is_asked() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn listen(self) {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        loop {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            if self.is_asked() {
                std::process::exit(130);
            }
            self.ask();
        }
    }
}

impl Bar {
    /// A bar for a replay.
    pub(crate) fn new(stop: Stop) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        bar.set_style(spinner());
        Bar { bar, stop }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Hooks for Bar {
    fn progress(&mut self, p: &Progress) {
        if self.bar.is_hidden() {
            return;
        }
        if let Some(total) = p.bytes_total.filter(|_| self.bar.length().is_none()) {
            self.bar.set_length(total);
            self.bar.set_style(sized());
        }
        self.bar.set_position(p.bytes_read);
        self.bar.set_message(format!("{} exchanges", crate::report::count(p.exchanges)));
    }

    fn stop(&self) -> bool {
        self.stop.is_asked()
    }
}

fn sized() -> ProgressStyle {
    let template = "  {bar:32} {percent:>3} %  {decimal_bytes}/{decimal_total_bytes}  {rate}  {left}  {msg}";
    with_rate(ProgressStyle::with_template(template))
}

fn spinner() -> ProgressStyle {
    with_rate(ProgressStyle::with_template("  {spinner} {decimal_bytes}  {rate}  {msg}"))
}

fn with_rate(style: Result<ProgressStyle, indicatif::style::TemplateError>) -> ProgressStyle {
    let rate = |s: &ProgressState, w: &mut dyn std::fmt::Write| {
        let _ = write!(w, "{}/s", crate::report::bytes(s.per_sec() as u64));
    };
    let left = |s: &ProgressState, w: &mut dyn std::fmt::Write| {
        let _ = write!(w, "{} s left", s.eta().as_secs());
    };
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
        .with_key("left", left)
        .progress_chars("━╸─")
}

/// Something that happens at most once in a while.
#[derive(Debug)]
pub(crate) struct Every {
    period: Duration,
    last: Instant,
}

impl Every {
    /// Once in `period`, for the first time after one.
    pub(crate) fn new(period: Duration) -> Self {
        Every { period, last: Instant::now() }
    }

    /// Whether it is time again.
    pub(crate) fn is_due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.period;
        if due {
            self.last = Instant::now();
        }
        due
    }
}
