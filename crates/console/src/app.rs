use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use sidetap_model::Ts;
use sidetap_store::{Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::access::Access;
use crate::control::Control;
use crate::devices::Devices;
use crate::live::LiveStats;
use crate::problem::Problem;
use crate::routes::Streams;
use crate::serve::Page;

/// Statements that read at once.
const READERS: usize = 4;
/// Changes that wait for the writer at most.
const WAITING: usize = 256;
/// Requests that need much of a processor (packs that are read, simulations, reports): at once, and that wait.
const HEAVY: usize = 1;
const HEAVY_WAITING: usize = 8;
/// Orders to devices that wait at most.
const ORDERS: usize = 16;
/// How long one waits for its turn: one that comes later is not carried out.
const TURN: Duration = Duration::from_secs(30);

/// What every request can reach.
pub(crate) type App = Arc<Shared>;

/// What the requests share.
pub(crate) struct Shared {
    pub(crate) readers: Readers,
    pub(crate) writer: Writer,
    /// Changes devices, which may take long: nothing else waits for it.
    pub(crate) orders: Writer,
    /// Looks at devices, which may hang: what changes them waits for none of it.
    pub(crate) looks: Writer,
    pub(crate) devices: Devices,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) access: Access,
    pub(crate) live: LiveStats,
    pub(crate) streams: Streams,
    pub(crate) heavy: Heavy,
    /// Copies of the store that are made at once.
    pub(crate) copies: Arc<Semaphore>,
    /// Whether the store's pages fitted together when they were looked at last.
    pub(crate) whole: AtomicBool,
    pub(crate) clock: Clock,
    pub(crate) page: Page,
    pub(crate) about: About,
}

/// What the server says of itself.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) version: String,
    pub(crate) listen: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) hosts: Vec<String>,
    pub(crate) store: PathBuf,
}

/// The wall clock.
pub type Clock = Arc<dyn Fn() -> Ts + Send + Sync>;

impl Shared {
    /// The wall clock's time.
    pub(crate) fn now(&self) -> Ts {
        (self.clock)()
    }

    /// Reads the store on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.readers.run(self.now(), work).await
    }

    /// Reads the store for what takes long: one request at a time, so that others always find a reader free.
    pub(crate) async fn read_heavy<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.heavy.turn().await?;
        self.readers
            .run(self.now(), move |store| {
                let result = work(store);
                drop(permit);
                result
            })
            .await
    }

    /// Changes the store by way of its one writer: all that the work does, with what the audit says of it, or none of it.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.writer.run(self.now(), |store| store.atomically(work)).await
    }

    /// Changes the store by way of its one writer, each change by itself.
    pub(crate) async fn write_apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.writer.run(self.now(), work).await
    }

    /// Keeps the store to its limits, by a connection of its own: that may take long.
    pub(crate) async fn keep_limits(&self) {
        let (path, now) = (self.about.store.clone(), self.now());
        let keep = move || Store::open(&path)?.keep_limits(now);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(keep).await {
            tracing::warn!(%error, "the store is not kept to its limits");
        }
    }

    /// Keeps space of the disk back, where there is enough again.
    pub(crate) async fn keep_space(&self) {
        let path = self.about.store.clone();
        let keep = move || Store::open_read_only(&path).map(|store| store.keep_space());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(keep).await {
            tracing::warn!(%error, "no space of the disk is kept back");
        }
    }

    /// Has devices asked how they are: one look at a time, by a thread and a connection to the store of its own.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.act_or(Reach::Looks, work, |_, _| {}).await
    }

    /// Has devices asked or changed, each by a thread of its own; where its turn comes too late or nobody waits for it any more,
    /// `undone` is told why in its stead.
    pub(crate) async fn act_or<T: Send + 'static>(
        &self,
        reach: Reach,
        work: impl FnOnce(&mut Store) -> Result<T, Problem> + Send + 'static,
        undone: impl FnOnce(&mut Store, &str) + Send + 'static,
    ) -> Result<T, Problem> {
        let thread = match reach {
            Reach::Looks => &self.looks,
            Reach::Changes => &self.orders,
        };
        thread.run_in_turn((self.now(), TURN), work, undone).await
    }
}

/// What devices are reached for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing is changed on them.
    Looks,
    /// Something may be.
    Changes,
}

impl Reach {
    /// What an order reaches them for.
    pub(crate) const fn of(dry_run: bool) -> Self {
        if dry_run { Reach::Looks } else { Reach::Changes }
    }
}

/// Whose turn it is to need much of a processor.
pub(crate) struct Heavy {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Heavy {
    pub(crate) fn new() -> Self {
        Heavy {
            turns: Arc::new(Semaphore::new(HEAVY)),
            waiting: Arc::new(Semaphore::new(HEAVY + HEAVY_WAITING)),
        }
    }

    /// Waits for a turn, which ends when what it gives is dropped; refused where too many wait.
    pub(crate) async fn turn(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Problem> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            let detail = "too many requests of this kind wait; try again in a moment";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-available", "busy", detail));
        };
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| stopped())?;
        Ok((turn, place))
    }

    /// Does what takes long and needs no store, on a thread that may.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.turn().await?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        task.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// Connections that read.
pub(crate) struct Readers {
    free: Arc<Mutex<Vec<Store>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Opens them.
    pub(crate) fn open(path: &std::path::Path) -> Result<Self, StoreError> {
        let stores = (0..READERS).map(|_| Store::open_read_only(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Readers { free: Arc::new(Mutex::new(stores)), permits: Arc::new(Semaphore::new(READERS)) })
    }

    async fn run<T: Send + 'static>(
        &self,
        now: Ts,
        work: impl FnOnce(&Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return Err(stopped()) };
        let free = Arc::clone(&self.free);
        let task = tokio::task::spawn_blocking(move || {
            let store = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let result = match &store {
                Some(store) => {
                    store.set_now(now);
                    // A panic ends this request, not the connection that others need.
                    catch_unwind(AssertUnwindSafe(|| work(store))).unwrap_or_else(|_| Err(stopped()))
                }
                None => Err(stopped()),
            };
            free.lock().unwrap_or_else(PoisonError::into_inner).extend(store);
            drop(permit);
            result
        });
        task.await.unwrap_or_else(|_| Err(stopped()))
    }
}

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// The one connection that writes, on a thread of its own.
pub(crate) struct Writer {
    jobs: SyncSender<Job>,
}

impl Writer {
    /// Starts the thread that changes the store, which ends with the last sender.
    pub(crate) fn start(store: Store) -> std::io::Result<Self> {
        Writer::of(store, "sidetap-writer", WAITING)
    }

    /// Starts the thread that changes devices.
    pub(crate) fn start_orders(store: Store) -> std::io::Result<Self> {
        Writer::of(store, "sidetap-orders", ORDERS)
    }

    /// Starts the thread that looks at devices.
    pub(crate) fn start_looks(store: Store) -> std::io::Result<Self> {
        Writer::of(store, "sidetap-looks", ORDERS)
    }

    fn of(mut store: Store, name: &str, waiting: usize) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(waiting);
        let work = move || {
            for job in queue {
                // A panic ends this change, which its transaction takes back, not the thread that others need.
                let _ = catch_unwind(AssertUnwindSafe(|| job(&mut store)));
            }
        };
        std::thread::Builder::new().name(name.into()).spawn(work)?;
        Ok(Writer { jobs })
    }

    async fn run<T: Send + 'static>(
        &self,
        now: Ts,
        work: impl FnOnce(&mut Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            store.set_now(now);
            let _ = sender.send(work(store));
        });
        self.hand_on(job, receiver).await
    }

    /// The same where its turn comes in time and somebody waits for it then: what got its turn too late is told to have failed.
    async fn run_in_turn<T: Send + 'static>(
        &self,
        (now, turn): (Ts, Duration),
        work: impl FnOnce(&mut Store) -> Result<T, Problem> + Send + 'static,
        undone: impl FnOnce(&mut Store, &str) + Send + 'static,
    ) -> Result<T, Problem> {
        let (sender, receiver) = oneshot::channel::<Result<T, Problem>>();
        let asked = Instant::now();
        let job: Job = Box::new(move |store| {
            store.set_now(now);
            let why = match (sender.is_closed(), asked.elapsed() > turn) {
                (false, false) => {
                    let _ = sender.send(work(store));
                    return;
                }
                (true, _) => "nobody waited for it any more when its turn came: nothing was done",
                (false, true) => "orders before it took too long: nothing was done; try again",
            };
            undone(store, why);
            let _ =
                sender.send(Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-available", "busy", why)));
        });
        self.hand_on(job, receiver).await
    }

    async fn hand_on<T>(
        &self,
        job: Job,
        receiver: oneshot::Receiver<Result<T, Problem>>,
    ) -> Result<T, Problem> {
        match self.jobs.try_send(job) {
            Ok(()) => receiver.await.unwrap_or_else(|_| Err(stopped())),
            Err(TrySendError::Full(_)) => Err(Problem::store_busy(
                "too many changes wait for the store; nothing was changed: try again",
            )),
            Err(TrySendError::Disconnected(_)) => Err(stopped()),
        }
    }
}

fn stopped() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "store",
        "store failed",
        "reading or writing stopped; the log says why",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_gets_its_turn_too_late_is_not_done_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Arc::new(Writer::start_orders(Store::open(&dir.path().join("s.db")).unwrap()).unwrap());
        let (told, tells) = std::sync::mpsc::channel::<String>();
        let ask = |slow: u64, turn: u64| {
            let (writer, told) = (Arc::clone(&writer), told.clone());
            tokio::spawn(async move {
                let work = move |_: &mut Store| {
                    std::thread::sleep(Duration::from_millis(slow));
                    Ok("done")
                };
                let undone = move |_: &mut Store, why: &str| told.send(why.to_owned()).unwrap();
                writer.run_in_turn((Ts::default(), Duration::from_millis(turn)), work, undone).await
            })
        };
        let first = ask(300, 60_000);
        tokio::task::yield_now().await;
        let (late, gone) = (ask(0, 20), ask(0, 60_000));
        tokio::task::yield_now().await;
        gone.abort();
        assert_eq!(first.await.unwrap().unwrap(), "done");
        let late = late.await.unwrap().unwrap_err();
        assert_eq!(
            (late.status, late.detail.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "orders before it took too long: nothing was done; try again")
        );
        assert_eq!(tells.recv().unwrap(), late.detail);
        let why = tells.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(why.starts_with("nobody waited"), "{why}");
    }
}
