//! The annotated reference of the configuration file, made of the definitions themselves.

use std::fmt::Write;

use super::raw::TABLES;

/// All tables and keys with their meaning; every key commented out and at its default.
pub(crate) fn reference() -> String {
    let mut out = String::from(
        "# Sidetap configuration reference. Every key is optional; what stands here is the default.\n\
         # Sizes are written like \"512M\", durations like \"10m\". Options of the command line win.\n",
    );
    for table in TABLES {
        out.push('\n');
        comment(&mut out, table.docs);
        let _ = writeln!(out, "[{}]", table.name);
        for key in table.keys {
            comment(&mut out, key.docs);
            let _ = match key.default {
                "" => writeln!(out, "#{} =", key.name),
                default => writeln!(out, "#{} = {default}", key.name),
            };
        }
    }
    out.push_str(INTEL);
    out.push_str(ENDPOINTS);
    out.push_str(ZONES);
    out.push('\n');
    out.push_str(MITIGATION);
    out
}

/// Sources, parties and signed agents have no defaults: examples stand for them.
const INTEL: &str = include_str!("intel.toml");

/// What a site says of its endpoints has no defaults: an example stands for it.
const ENDPOINTS: &str = include_str!("endpoints.toml");

/// Zones have no defaults: an example stands for them.
const ZONES: &str = include_str!("zones.toml");

/// Connectors define their own keys; a test holds that these are all of them.
const MITIGATION: &str = include_str!("mitigation.toml");

fn comment(out: &mut String, docs: &[&str]) {
    for line in docs {
        let _ = writeln!(out, "# {}", line.trim());
    }
}
