//! Changes of a store: all of one, or nothing; and which of them may use the space that is kept back.

use std::fs::File;
use std::io::Write as _;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::open::Store;

/// Bytes of the disk that are kept in a file beside the store for when it is full, and those that a change needs.
const BALLAST: u64 = 16 << 20;
const NEEDED: u64 = 8 << 20;

/// What a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// What was seen: more comes, and older goes for it.
    Ordinary,
    /// Verdicts, actions, audit, and what people decide: it fits where nothing else does any more.
    Vital,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Room {
    /// Enough.
    Enough,
    /// The store is at its bound: verdicts, actions, audit and what people decide still fit, new evidence and traffic do not.
    Bound,
    /// The disk is full: likewise.
    Disk,
}

/// A change that is taken back unless it is committed; within another one, a part of it.
pub(crate) struct Change<'c> {
    store: &'c Store,
    inner: bool,
    weight: Weight,
    done: bool,
}

impl Change<'_> {
    /// Makes it so.
    pub(crate) fn commit(mut self) -> Result<(), StoreError> {
        self.store.connection.execute_batch(if self.inner { "RELEASE part" } else { "COMMIT" })?;
        self.done = true;
        Ok(())
    }
}

impl Deref for Change<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.store.connection
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if !self.done {
            let back = if self.inner { "ROLLBACK TO part; RELEASE part" } else { "ROLLBACK" };
            // SQLite may have taken all of it back by itself.
            let _ = self.store.connection.execute_batch(back);
        }
        if !self.inner && self.weight == Weight::Vital {
            let _ = self.store.let_grow(Weight::Ordinary);
        }
    }
}

impl Store {
    /// Begins a change of what was seen.
    pub(crate) fn begin(&self) -> Result<Change<'_>, StoreError> {
        self.begin_as(Weight::Ordinary)
    }

    /// Begins a change that fits where nothing else does.
    pub(crate) fn begin_vital(&self) -> Result<Change<'_>, StoreError> {
        self.begin_as(Weight::Vital)
    }

    fn begin_as(&self, weight: Weight) -> Result<Change<'_>, StoreError> {
        let inner = self.start(weight)?;
        Ok(Change { store: self, inner, weight, done: false })
    }

    /// Does several things as one change, which may use the space that is kept back: where one fails, or panics, none is done.
    pub fn atomically<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<T, E>,
    ) -> Result<T, E> {
        let inner = self.start(Weight::Vital)?;
        let result = catch_unwind(AssertUnwindSafe(|| work(self)));
        let change = Change { store: self, inner, weight: Weight::Vital, done: false };
        match result {
            Ok(Ok(value)) => change.commit().map(|()| value).map_err(E::from),
            Ok(Err(error)) => Err(error),
            Err(panic) => {
                drop(change);
                resume_unwind(panic)
            }
        }
    }

    /// Begins a change, or a part of one: true where it is a part.
    fn start(&self, weight: Weight) -> Result<bool, StoreError> {
        let inner = !self.connection.is_autocommit();
        if !inner {
            self.make_room(weight)?;
        }
        if !inner && weight == Weight::Vital {
            self.let_grow(weight)?;
        }
        self.connection.execute_batch(if inner { "SAVEPOINT part" } else { "BEGIN IMMEDIATE" })?;
        Ok(inner)
    }

    /// Keeps space of the disk back for when it is full, from now on with each [`Store::keep_limits`]. A server that lives long does; a
    /// file beside the store has it.
    pub fn keep_space(&self) {
        self.keeps_space.set(true);
        let ballast = self.ballast();
        if ballast.exists() || self.free().is_none_or(|free| free <= 4 * BALLAST) {
            return;
        }
        if fill(&ballast).is_err() {
            let _ = std::fs::remove_file(&ballast);
        }
    }

    /// How much room there is for what is seen.
    pub fn room(&self) -> Result<Room, StoreError> {
        if self.free().is_some_and(|free| free < NEEDED) {
            return Ok(Room::Disk);
        }
        let full = self.filled()? >= self.limits()?.ordinary_bytes() / 100 * 95;
        Ok(if full { Room::Bound } else { Room::Enough })
    }

    /// Refuses what the disk has no room for; what is vital gets the space that was kept back.
    fn make_room(&self, weight: Weight) -> Result<(), StoreError> {
        let Some(free) = self.free().filter(|free| *free < NEEDED) else { return Ok(()) };
        match weight {
            Weight::Vital => {
                let _ = std::fs::remove_file(self.ballast());
                Ok(())
            }
            Weight::Ordinary => Err(StoreError::Full { path: self.path().display().to_string(), free }),
        }
    }

    fn ballast(&self) -> PathBuf {
        let mut name = self.path().as_os_str().to_owned();
        name.push("-reserve");
        name.into()
    }

    /// Bytes that the disk has for the store; nothing where nobody can say.
    fn free(&self) -> Option<u64> {
        let directory = self.path().parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let said = rustix::fs::statvfs(directory).ok()?;
        Some(said.f_bavail.saturating_mul(said.f_frsize))
    }
}

/// Writes what a file system does not make smaller.
fn fill(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    crate::open::restrict(path);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..BALLAST >> 20 {
        block.clear();
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend(state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    file.sync_all()
}
