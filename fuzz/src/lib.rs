//! What the fuzz targets call. The same file is a module of a test in `crates/sidetap`, which replays the corpus.

pub mod targets;
