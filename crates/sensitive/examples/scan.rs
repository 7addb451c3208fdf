//! `scan sensitive scan -`: what `sidetap sensitive scan -` does, without the rest of it.

use std::io::{self, BufWriter};
use std::sync::Arc;

fn main() -> Result<(), sidetap_sensitive::SensitiveError> {
    let pack = Arc::new(sidetap_sensitive::Pack::builtin()?);
    sidetap_sensitive::scan_ndjson(&pack, io::stdin().lock(), BufWriter::new(io::stdout().lock()))
}
