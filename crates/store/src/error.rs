/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is something else.
    #[error("{path}: not a Sidetap store (a file of another kind; it was not touched)")]
    Foreign {
        /// The file.
        path: String,
    },
    /// A newer Sidetap wrote it.
    #[error("{path}: written by a newer Sidetap (schema {found}, this one knows {known})")]
    Newer {
        /// The file.
        path: String,
        /// Its schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// Its pages do not fit together.
    #[error("{path}: damaged ({detail}); move it away, or restore it from a copy")]
    Damaged {
        /// The file.
        path: String,
        /// What SQLite found.
        detail: String,
    },
    /// It cannot be opened.
    #[error("{path}: cannot be opened: {detail}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// The disk has no room for what is not vital.
    #[error(
        "{path}: the disk is full ({free} bytes are free): only verdicts, actions, audit and decisions are still written"
    )]
    Full {
        /// The file.
        path: String,
        /// Bytes that are free.
        free: u64,
    },
    /// A statement failed.
    #[error("store: {0}")]
    Sql(#[from] rusqlite::Error),
    /// A row does not have the form that it was written in.
    #[error("store: a row of {table} cannot be read: {detail}")]
    Row {
        /// Its table.
        table: &'static str,
        /// Why.
        detail: String,
    },
}

impl StoreError {
    /// Whether it failed since the file may not grow any more.
    pub(crate) fn is_at_bound(&self) -> bool {
        !matches!(self, StoreError::Full { .. }) && self.is_full()
    }

    /// Whether it failed since others held the store for too long.
    pub fn is_busy(&self) -> bool {
        matches!(self, StoreError::Sql(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy))
    }

    /// Whether it failed for want of space, of the disk or of the store's bound.
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::Full { .. } => true,
            StoreError::Sql(e) => e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            _ => false,
        }
    }
}
