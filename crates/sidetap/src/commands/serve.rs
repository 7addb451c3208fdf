//! `sidetap serve`: console and feeds over what was stored.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sidetap_console::{Console, Page};
use sidetap_mitigation::feed;

use super::policy::policies;
use super::progress::Stop;
use crate::cli::{GlobalArgs, ServeArgs};
use crate::config::{self, Config, loopback};
use crate::exit::{Status, Usage};
use crate::output::note;
use crate::report::{Devices, Report, page};

/// Serves until a signal.
pub(crate) fn run(global: &GlobalArgs, args: &ServeArgs) -> Result<Status> {
    let config = config::load(global.config.as_deref())?;
    let store = args.store.clone().or_else(|| config.store.clone());
    let store = store.ok_or_else(|| Usage("name a store with --store FILE".to_owned()))?;
    let listen = args.listen.unwrap_or(config.console.listen);
    loopback(listen).map_err(Usage)?;
    let stop = Stop::on_signals()?;
    serve_until(&store, listen, &config, stop)?;
    Ok(Status::Done)
}

/// Serves the console and the configured feeds until `stop`.
pub(crate) fn serve_until(store: &Path, listen: SocketAddr, config: &Config, stop: Stop) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let page = report_page(config)?;
    runtime.block_on(async {
        let console = Console::bind(store, listen, page).await?.with_hosts(config.console.hosts.clone());
        note(&format!("console: http://{}/", console.local_addr()));
        let mut feeds = tokio::task::JoinSet::new();
        for feed in &config.mitigation.feed {
            let server = feed::Server::bind(feed, feed::system_clock()).await?;
            let address = server.local_addr().context("feed")?;
            note(&format!("feed {}: http://{address}/", feed.name));
            let stop = stop.clone();
            feeds.spawn(async move { server.run(async move { stop.wait().await }).await });
        }
        console.run(async move { stop.wait().await }).await?;
        while let Some(ended) = feeds.join_next().await {
            ended.context("feed")??;
        }
        Ok(())
    })
}

/// The report of what the store holds, as the console shows it.
fn report_page(config: &Config) -> Result<Page> {
    let policies = policies(config)?;
    Ok(Arc::new(move |run| {
        let blocklist = policies.blocklist(run);
        page(&Report {
            run,
            blocklist: &blocklist,
            directory: None,
            analysed: true,
            proxies: &[],
            devices: Devices::Untouched,
        })
    }))
}

/// A console in a thread of its own, beside a live watch.
pub(crate) fn serve_beside(
    store: PathBuf,
    listen: SocketAddr,
    config: Config,
    stop: Stop,
) -> Result<std::thread::JoinHandle<Result<()>>> {
    let serve = move || serve_until(&store, listen, &config, stop);
    std::thread::Builder::new()
        .name("sidetap-console".into())
        .spawn(serve)
        .context("cannot start the console")
}
