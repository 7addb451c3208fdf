use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::net;
use crate::schema::{self, APPLICATION_ID, SCHEMA};

/// Bytes that the log beside the file keeps once it was written back.
const LOG: i64 = 16 << 20;
/// How long a writer waits for another one.
pub(crate) const BUSY: Duration = Duration::from_secs(10);

/// Until the limits are read: as many pages as SQLite takes.
const UNBOUND: (i64, i64) = (0xffff_fffe, 0xffff_fffe);

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    /// The file that a path leads to, without opening it.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|meta| FileId::from_meta(&meta))
    }

    #[cfg(unix)]
    pub(crate) fn from_meta(meta: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        FileId(meta.dev(), meta.ino())
    }

    #[cfg(not(unix))]
    pub(crate) fn from_meta(_: &std::fs::Metadata) -> Self {
        FileId(0, 0)
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    path: PathBuf,
    /// The file as it was when it was opened.
    file: Option<FileId>,
    clock: Arc<AtomicI64>,
    /// Most pages of the file: for what was seen, and for what is vital.
    pub(crate) pages: Cell<(i64, i64)>,
    /// The run that goes on by this handle, and what says so as long as its process lives.
    pub(crate) watching: Option<(String, File)>,
    /// Whether space of the disk is kept back.
    pub(crate) keeps_space: Cell<bool>,
}

impl Store {
    /// Opens a store to read and write, once it has looked whether all of its pages fit together, which takes a second for each few
    /// hundred megabytes: for the start of a program.
    pub fn open_checked(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            Store::open_read_only(path)?.check_pages()?;
        }
        let store = Store::open(path)?;
        store.clear_copies();
        Ok(store)
    }

    /// How long this connection waits for others who write, until [`Store::wait_as_usual`].
    pub fn wait_for(&self, patience: Duration) -> Result<(), StoreError> {
        Ok(self.connection.busy_timeout(patience)?)
    }

    /// Waits for others who write as long as at first.
    pub fn wait_as_usual(&self) -> Result<(), StoreError> {
        self.wait_for(BUSY)
    }

    /// Opens a store to read and write; makes it where there is no file, and brings an older one to this schema.
    ///
    /// A file that is something else, or of a newer Sidetap, is refused and not touched.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            drop(reader(path)?);
        }
        let connection = made(path)?;
        let clock = functions(&connection)?;
        let store = Store::of(connection, path, clock);
        store.bind()?;
        Ok(store)
    }

    /// Looks whether all pages fit together.
    pub fn check_pages(&self) -> Result<(), StoreError> {
        let said = self.connection.pragma_query_value(None, "quick_check", |r| r.get::<_, String>(0));
        let detail = said.map_err(|e| open_error(&self.path, e))?;
        match detail.as_str() {
            "ok" => Ok(()),
            _ => Err(StoreError::Damaged { path: self.path.display().to_string(), detail }),
        }
    }

    /// Opens a store that exists, to read only. One that was killed while it was made is made first, with nothing in it.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let (mut connection, blank) = reader(path)?;
        if blank {
            drop(connection);
            drop(made(path)?);
            connection = reader(path)?.0;
        }
        let clock = functions(&connection)?;
        Ok(Store::of(connection, path, clock))
    }

    fn of(connection: Connection, path: &Path, clock: Arc<AtomicI64>) -> Self {
        let (pages, keeps_space) = (Cell::new(UNBOUND), Cell::new(false));
        let file = FileId::of(path);
        Store { connection, path: path.to_owned(), file, clock, pages, watching: None, keeps_space }
    }

    /// Whether its path still leads to the file that was opened: somebody may have removed it, or put a copy back in its place, and what
    /// is written by this handle is then in no file that anybody reads.
    pub fn is_in_place(&self) -> bool {
        self.file.is_some() && FileId::of(&self.path) == self.file
    }

    /// A number that changes when another process or connection changed the file, so that what was read can be kept.
    pub fn version(&self) -> Result<i64, StoreError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |r| r.get(0))?)
    }

    /// Tells the time, on which it depends what has expired.
    pub fn set_now(&self, now: Ts) {
        self.clock.store(now.0, Relaxed);
    }

    /// Bytes of the file and of the log beside it.
    pub fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |m| m.len()) + self.log_len()
    }

    /// Bytes of the log beside the file.
    pub(crate) fn log_len(&self) -> u64 {
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        std::fs::metadata(Path::new(&log)).map_or(0, |m| m.len())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes what a store needs where it is not there, or is of an older schema.
fn made(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|e| open_error(path, e))?;
    prepare(&connection).map_err(|e| open_error(path, e))?;
    schema::migrate(&mut connection).map_err(|e| match e {
        StoreError::Sql(e) => open_error(path, e),
        other => other,
    })?;
    restrict(path);
    Ok(connection)
}

/// A connection that reads a file which is a store, and whether nothing was written to it yet.
fn reader(path: &Path) -> Result<(Connection, bool), StoreError> {
    if !path.is_file() {
        let detail = if path.exists() { "not a file" } else { "no such file" }.to_owned();
        return Err(StoreError::Open { path: path.display().to_string(), detail });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| open_error(path, e))?;
    connection.busy_timeout(BUSY)?;
    // Sorted rows wait in memory: a confined process has no other place, and what a store holds goes to none.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let blank = check(&connection, path)?;
    Ok((connection, blank))
}

fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", LOG)?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    // Sorted rows wait in memory: what a store holds goes to no other place.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", "OFF")
}

/// What statements call: the time that was told, and whether one of several addresses lies in a network.
fn functions(connection: &Connection) -> Result<Arc<AtomicI64>, rusqlite::Error> {
    let clock = Arc::new(AtomicI64::new(0));
    let told = Arc::clone(&clock);
    let plain = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("now", 0, plain, move |_| Ok(told.load(Relaxed)))?;
    let pure = plain | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("within", 2, pure, |c| {
        let (addresses, net) = (c.get_raw(0).as_str()?, c.get_raw(1).as_str()?);
        Ok(net::any_within(addresses, net))
    })?;
    Ok(clock)
}

/// Looks whether the file is a store of a known schema, and says whether it is one to which nothing was written yet: a file without a
/// page, or with a first one that says nothing, which is what a store is until its schema is written as a whole.
fn check(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let name = path.display().to_string();
    let asked = |sql: &str| connection.query_row(sql, [], |r| r.get::<_, i64>(0));
    let number = |sql: &str| asked(sql).map_err(|e| open_error(path, e));
    let (application, found) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let blank = application == 0 && found == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0;
    if application != APPLICATION_ID && !blank {
        return Err(StoreError::Foreign { path: name });
    }
    if found > SCHEMA {
        return Err(StoreError::Newer { path: name, found, known: SCHEMA });
    }
    Ok(blank)
}

fn open_error(path: &Path, error: rusqlite::Error) -> StoreError {
    let name = path.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path: name },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path: name, detail: error.to_string() },
        _ => StoreError::Open { path: name, detail: error.to_string() },
    }
}

/// What a store holds concerns its site only: others on the machine may not read it.
#[cfg(unix)]
pub(crate) fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(meta) = std::fs::metadata(path) else { return };
    let mode = meta.permissions().mode();
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o770));
}

#[cfg(not(unix))]
pub(crate) fn restrict(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_killed_while_it_was_made_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let (none, first) = (dir.path().join("none.db"), dir.path().join("first.db"));
        File::create(&none).unwrap();
        prepare(&Connection::open(&first).unwrap()).unwrap();
        assert!(first.metadata().unwrap().len() > 0, "a page is written before the schema is");
        for path in [none, first] {
            let store = Store::open_read_only(&path).unwrap();
            assert_eq!(store.state("hash-key").unwrap(), None);
            assert_eq!(store.allowed(Ts(0)).unwrap(), []);
            assert!(store.campaign_list(&crate::Wanted::default()).unwrap().rows.is_empty());
            drop(Store::open_checked(&path).unwrap());
        }
        let other = dir.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(Store::open_read_only(&other), Err(StoreError::Foreign { .. })));
    }

    #[test]
    fn a_reader_needs_no_place_for_what_it_sorts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        for store in [Store::open(&path).unwrap(), Store::open_read_only(&path).unwrap()] {
            let place: i64 = store.connection.pragma_query_value(None, "temp_store", |r| r.get(0)).unwrap();
            assert_eq!(place, 2, "in memory: a confined process cannot make files elsewhere");
        }
    }
}
