//! `sidetap serve`: console and feeds over what was stored.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sidetap_console::{Console, LiveStats, Oidc, Options, Page};
use sidetap_mitigation::{HttpOptions, asker, feed};
use tokio::runtime::Runtime;

use super::console::{Commands, Devices};
use super::gate;
use super::mitigation::ledger_of;
use super::policy::policies;
use super::progress::Stop;
use crate::cli::{GlobalArgs, ServeArgs, SourceArgs};
use crate::clock;
use crate::config::sso::Sso;
use crate::config::{self, Config, reachable};
use crate::exit::{Status, Usage};
use crate::output::note;
use crate::report::{Report, page};

/// Serves until a signal.
pub(crate) fn run(global: &GlobalArgs, args: &ServeArgs) -> Result<Status> {
    let mut config = config::load(global.config.as_deref())?;
    if args.hash_key.is_some() {
        config.analysis.hash_key.clone_from(&args.hash_key);
    }
    let store = args.store.clone().or_else(|| config.store.clone());
    let store = store.ok_or_else(|| Usage("name a store with --store FILE".to_owned()))?;
    let listen = args.listen.unwrap_or(config.console.listen);
    reachable(listen, config.console.tls.is_some()).map_err(Usage)?;
    let stop = Stop::on_signals()?;
    serve_until(&store, listen, &config, stop)?;
    Ok(Status::Done)
}

/// Serves the console and the configured feeds until `stop`.
pub(crate) fn serve_until(store: &Path, listen: SocketAddr, config: &Config, stop: Stop) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Bound::take(runtime, store, listen, config, (Devices::Reached, LiveStats::default()))?.serve(stop)
}

/// The console and the feeds, their addresses taken: nothing is served yet.
pub(crate) struct Bound {
    runtime: Runtime,
    console: Console,
    feeds: Vec<feed::Server>,
}

impl Bound {
    fn take(
        runtime: Runtime,
        store: &Path,
        listen: SocketAddr,
        config: &Config,
        (devices, live): (Devices, LiveStats),
    ) -> Result<Self> {
        let options = Options {
            hosts: config.console.hosts.clone(),
            tls: config.console.tls.clone(),
            oidc: config.console.sso.as_ref().map(provider).transpose()?,
            control: Arc::new(Commands::new(config, store, devices)?),
            page: report_page(config)?,
            live,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Options::new(store, listen, Arc::new(clock::now))
        };
        let (console, feeds) = runtime.block_on(async {
            let console = Console::bind(options).await?;
            welcome(&console);
            let mut feeds = Vec::new();
            let source = SourceArgs { run: None, store: Some(store.to_owned()) };
            let switch = gate::switch_of(config, ledger_of(config, &source).as_deref());
            for feed in &config.mitigation.feed {
                let server = feed::Server::bind(feed, feed::system_clock()).await?.stopped_by(switch.clone());
                let address = server.local_addr().context("feed")?;
                note(&format!("feed {}: http://{address}/", feed.name));
                feeds.push(server);
            }
            Ok::<_, anyhow::Error>((console, feeds))
        })?;
        Ok(Bound { runtime, console, feeds })
    }

    /// Takes the addresses for a server beside a live watch, which says in `live` how it is doing: no thread is started, so rights
    /// can be given up after it.
    pub(crate) fn beside(
        (store, run): (&Path, &str),
        listen: SocketAddr,
        config: &Config,
        live: LiveStats,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Bound::take(runtime, store, listen, config, (Devices::Beside(run.to_owned()), live))
    }

    /// Serves until `stop`.
    fn serve(self, stop: Stop) -> Result<()> {
        let Bound { runtime, console, feeds } = self;
        runtime.block_on(async {
            let mut serving = tokio::task::JoinSet::new();
            for server in feeds {
                let stop = stop.clone();
                serving.spawn(async move { server.run(async move { stop.wait().await }).await });
            }
            console.run(async move { stop.wait().await }).await?;
            while let Some(ended) = serving.join_next().await {
                ended.context("feed")?;
            }
            Ok(())
        })
    }

    /// Serves until `stop`, in a thread of its own.
    pub(crate) fn start(self, stop: Stop) -> Result<std::thread::JoinHandle<Result<()>>> {
        std::thread::Builder::new()
            .name("sidetap-console".into())
            .spawn(move || self.serve(stop))
            .context("cannot start the console")
    }
}

/// The provider that people log in by.
fn provider(sso: &Sso) -> Result<Oidc> {
    let secret = sso.secret.as_ref().map(|s| s.resolve()).transpose().context("[sso] client_secret")?;
    let ask = asker(&HttpOptions { ca: sso.ca.clone(), ..HttpOptions::default() }).context("[sso]")?;
    Ok(Oidc {
        name: sso.name.clone(),
        issuer: sso.issuer.clone(),
        client_id: sso.client_id.clone(),
        secret: secret.map(|s| s.expose().to_owned()),
        url: sso.url.clone(),
        scopes: sso.scopes.clone(),
        name_claim: sso.name_claim.clone(),
        role_claim: sso.role_claim.clone(),
        roles: sso.roles.clone(),
        default_role: sso.default_role.clone(),
        fetch: Arc::new(move |url, form| ask(url, form.map(|f| (f.body, f.authorization)))),
    })
}

/// Says where the console is, and with what its administrator is made.
fn welcome(console: &Console) {
    let (scheme, address) = (if console.is_tls() { "https" } else { "http" }, console.local_addr());
    note(&format!("console: {scheme}://{address}/"));
    if let Some(token) = console.setup_token() {
        note(&format!(
            "console: nobody can log in yet; make the administrator with this one-time token: {token}"
        ));
    }
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
            devices: crate::report::Devices::Untouched,
        })
    }))
}
