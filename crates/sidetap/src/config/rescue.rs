//! What can be read of a configuration that as a whole cannot: the tables that devices are told by, each part by itself.

use toml::{Table, Value};

use super::raw::File;

/// The tables that say where the kill switch is, and what devices there are.
const NEEDED: [&str; 3] = ["store", "policy", "mitigation"];

/// These tables, and which parts of them cannot be read.
pub(super) fn tables(text: &str) -> (File, Vec<String>) {
    let all: Table = match toml::from_str(text) {
        Ok(all) => all,
        Err(_) if text.trim().is_empty() => Table::new(),
        Err(_) => return (File::default(), vec!["all of the configuration, which is no TOML".to_owned()]),
    };
    let (mut kept, mut lost) = (Table::new(), Vec::new());
    for name in NEEDED {
        match all.get(name) {
            Some(Value::Table(table)) => {
                let table = parts(name, table, &mut lost);
                kept.insert(name.to_owned(), Value::Table(table));
            }
            Some(_) => lost.push(format!("[{name}]")),
            None => {}
        }
    }
    let read = Value::Table(kept).try_into();
    let file = read.unwrap_or_else(|_| {
        lost.push("all of the configuration".to_owned());
        File::default()
    });
    (file, lost)
}

/// The keys of a table that can be read; of lists of tables each one that can.
fn parts(name: &str, table: &Table, lost: &mut Vec<String>) -> Table {
    let mut kept = Table::new();
    for (key, value) in table {
        match value {
            Value::Array(all) if all.iter().any(Value::is_table) => {
                let mut fit = Vec::new();
                for (one, nth) in all.iter().zip(1..) {
                    if is_read(name, key, &Value::Array(vec![one.clone()])) {
                        fit.push(one.clone());
                    } else {
                        lost.push(format!("[[{name}.{key}]] number {nth}, which cannot be read"));
                    }
                }
                if !fit.is_empty() {
                    kept.insert(key.clone(), Value::Array(fit));
                }
            }
            value if is_read(name, key, value) => drop(kept.insert(key.clone(), value.clone())),
            _ => lost.push(format!("{key} of [{name}], which cannot be read")),
        }
    }
    kept
}

fn is_read(name: &str, key: &str, value: &Value) -> bool {
    let table: Table = [(key.to_owned(), value.clone())].into_iter().collect();
    let file: Table = [(name.to_owned(), Value::Table(table))].into_iter().collect();
    Value::Table(file).try_into::<File>().is_ok()
}
