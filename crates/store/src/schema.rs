use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;
use crate::now;

/// `application_id` of a store: how a file says that it is one.
pub(crate) const APPLICATION_ID: i64 = 0x5354_4150;

/// What brings a store from one schema to the next; the schema is `user_version`.
const MIGRATIONS: [&str; 11] = [
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
    include_str!("schema/003.sql"),
    include_str!("schema/004.sql"),
    include_str!("schema/005.sql"),
    include_str!("schema/006.sql"),
    include_str!("schema/007.sql"),
    include_str!("schema/008.sql"),
    include_str!("schema/009.sql"),
    include_str!("schema/010.sql"),
    include_str!("schema/011.sql"),
];

/// The schema that this program writes.
pub(crate) const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// The tables whose rows are rows of the run directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// `endpoints.ndjson`.
    Endpoints,
    /// `sensitive.ndjson`.
    Sensitive,
    /// `findings.ndjson`.
    Findings,
    /// `campaigns.ndjson`.
    Campaigns,
    /// `verdicts.ndjson`.
    Verdicts,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 5] =
        [Table::Endpoints, Table::Sensitive, Table::Findings, Table::Campaigns, Table::Verdicts];

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Endpoints => "endpoints",
            Table::Sensitive => "sensitive",
            Table::Findings => "findings",
            Table::Campaigns => "campaigns",
            Table::Verdicts => "verdicts",
        }
    }

    /// What one of its rows is called.
    pub const fn thing(self) -> &'static str {
        match self {
            Table::Endpoints => "endpoint",
            Table::Sensitive => "sensitive",
            Table::Findings => "finding",
            Table::Campaigns => "campaign",
            Table::Verdicts => "verdict",
        }
    }

    /// The numbers that its things have in the search: below the first there is none, above the last neither.
    pub(crate) const fn numbers(self) -> (i64, i64) {
        let kind: i64 = match self {
            Table::Endpoints => 1,
            Table::Sensitive => 2,
            Table::Findings => 3,
            Table::Campaigns => 4,
            Table::Verdicts => 5,
        };
        (kind << 40, (kind + 1) << 40)
    }
}

/// The schema before which what is known now has to be filled anew.
const FILLED: i64 = 6;

/// Applies the migrations that are missing, each with its version in one transaction.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from: i64 = transaction.pragma_query_value(None, "user_version", |r| r.get(0))?;
    for (n, sql) in MIGRATIONS.iter().enumerate().skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", n as i64 + 1)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    if from > 0 && from < FILLED {
        now::rebuild_all(&transaction)?;
    }
    transaction.commit()?;
    Ok(())
}
