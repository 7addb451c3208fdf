//! The runs of a store as a list.

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;
use sidetap_model::rows::InputSummary;

use crate::error::StoreError;
use crate::lists::text;
use crate::load::parse;
use crate::open::Store;
use crate::query::{Column, ColumnKind, List, Part, Wanted, Words};

use ColumnKind::Time;

/// `GET /runs`.
pub static RUNS: List = List {
    from: "runs n",
    id: "n.id",
    select: "n.saved_at, n.first_ts, n.last_ts, coalesce(n.summary ->> 'inputs', '[]')",
    by_id: true,
    ordered: false,
    words: Words::Text("coalesce(n.summary ->> 'inputs', '')"),
    columns: &[
        Column::of("saved_at", "n.saved_at", Time).sorted(),
        Column::of("first_ts", "coalesce(n.first_ts, 0)", Time).sorted(),
        Column::of("last_ts", "coalesce(n.last_ts, 0)", Time).sorted(),
        Column::of("seen", "n.saved_at", Time),
        Column::text("id", "n.id"),
    ],
    default_sort: "saved_at",
};

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunItem {
    /// Its id.
    pub id: String,
    /// When it was saved last.
    pub saved_at: Ts,
    /// Its first packet.
    pub first_ts: Option<Ts>,
    /// Its last packet.
    pub last_ts: Option<Ts>,
    /// Packets of all inputs.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
    /// What it read.
    pub inputs: Vec<InputSummary>,
}

impl Store {
    /// Runs.
    pub fn run_list(&self, wanted: &Wanted) -> Result<Part<RunItem>, StoreError> {
        self.part(&RUNS, wanted, &[], |r| {
            let inputs: Vec<InputSummary> = parse(&text(r, 5)?, "runs")?;
            let sum = |of: fn(&InputSummary) -> u64| inputs.iter().map(of).fold(0, u64::saturating_add);
            Ok(RunItem {
                id: text(r, 1)?,
                saved_at: Ts(r.get(2)?),
                first_ts: r.get::<_, Option<i64>>(3)?.map(Ts),
                last_ts: r.get::<_, Option<i64>>(4)?.map(Ts),
                packets: sum(|i| i.packets),
                bytes: sum(|i| i.bytes),
                inputs,
            })
        })
    }
}
