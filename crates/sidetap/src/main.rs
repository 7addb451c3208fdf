//! The `sidetap` command.

fn main() {}
