//! `sidetap store`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use sidetap_model::SubjectKind;
use sidetap_policy::AllowKind;
use sidetap_store::Store;

use crate::cli::{GlobalArgs, StoreArgs, StoreCommand};
use crate::clock;
use crate::commands::spelled::spellings;
use crate::config::{self, Config};
use crate::exit::{Status, Usage};
use crate::hash_key;
use crate::output::{print, warn};
use crate::report::{bytes, count};

/// Checks, copies, forgets.
pub(crate) fn run(global: &GlobalArgs, args: &StoreArgs) -> Result<Status> {
    let mut config = config::load(global.config.as_deref())?;
    if args.hash_key.is_some() {
        config.analysis.hash_key.clone_from(&args.hash_key);
    }
    let file = args.store.clone().or_else(|| config.store.clone());
    let file = file.ok_or_else(|| Usage("name a store with --store FILE".to_owned()))?;
    match &args.command {
        StoreCommand::Check => check(&Store::open_read_only(&file)?),
        StoreCommand::Backup { to } => {
            Store::open_read_only(&file)?.backup(to)?;
            print(&format!("{}\n", to.display()))?;
            Ok(Status::Done)
        }
        StoreCommand::Forget { kind, value } => {
            let Some(kind) = SubjectKind::ALL.into_iter().find(|k| k.name() == kind) else {
                bail!("nobody of kind `{kind}` can be forgotten");
            };
            if !file.is_file() {
                Store::open_read_only(&file)?;
            }
            let mut store = Store::open(&file)?;
            let mut removed: BTreeMap<String, u64> = BTreeMap::new();
            let mut left = 0;
            for name in names(kind, value, &config, &store)? {
                for (table, n) in store.forget(kind, &name, "cli", clock::now())?.0 {
                    *removed.entry(table).or_default() += n;
                }
                let is_plain = kind == SubjectKind::Ip || name.contains('#');
                left += if is_plain { store.says(&name)? } else { 0 };
            }
            let rows: Vec<String> = removed.iter().map(|(t, n)| format!("{} {t}", count(*n))).collect();
            match rows.as_slice() {
                [] => print("forgotten: nothing: no row of this store has that name\n")?,
                rows => print(&format!("forgotten: {}\n", rows.join(", ")))?,
            }
            if left > 0 {
                warn(&format!(
                    "the file still says it {left} times: in rows that are kept (policies, the audit of users, what it served to others) or in unused bytes, which \
                     `sidetap store compact` clears"
                ));
            }
            if store.is_watched(clock::now())? {
                warn(
                    "a watch runs on this store: it forgets within some seconds too, and lets go what devices hold",
                );
            }
            warn(
                "copies and run directories that were made before still hold what was forgotten here; entries on devices go with the \
                 next `mitigation push`, where no watch enforces",
            );
            Ok(Status::Done)
        }
        StoreCommand::Compact => {
            Store::open_read_only(&file)?;
            let store = Store::open(&file)?;
            let before = store.bytes();
            store.compact()?;
            print(&format!("{} before, {} now\n", bytes(before), bytes(store.bytes())))?;
            Ok(Status::Done)
        }
        StoreCommand::ResetUsers => {
            let mut store = Store::open(&file)?;
            let users = store.remove_users("cli", clock::now())?;
            print(&format!(
                "{users} users removed; the next `serve` or `watch` prints a new one-time token\n"
            ))?;
            Ok(Status::Done)
        }
    }
}

/// The name as it was given, and as outputs spell it.
fn names(kind: SubjectKind, value: &str, config: &Config, store: &Store) -> Result<Vec<String>> {
    let kind = match kind {
        SubjectKind::Ip => AllowKind::Ip,
        SubjectKind::Account => AllowKind::Account,
        SubjectKind::Session => AllowKind::Session,
        SubjectKind::ApiKey => AllowKind::ApiKey,
        _ => return Ok(vec![value.to_owned()]),
    };
    let key = hash_key::load_or_make(config.analysis.hash_key.as_deref())?;
    if kind != AllowKind::Ip && !value.contains('#') && hash_key::differs(store, &key)? {
        bail!("the hash key is not the one that this store was written with: name that one with --hash-key");
    }
    let mut names = spellings(kind, value, &key);
    if !names.iter().any(|n| n == value) {
        names.push(value.to_owned());
    }
    Ok(names)
}

fn check(store: &Store) -> Result<Status> {
    store.check_pages()?;
    let limits = store.limits()?;
    let mut text = format!("whole; {} of at most {}\n", bytes(store.bytes()), bytes(limits.limit_bytes));
    for (table, n) in store.sizes()? {
        text.push_str(&format!("  {table:<12} {}\n", count(n)));
    }
    for (name, n) in store.counters()? {
        text.push_str(&format!("  {name:<24} {}\n", count(n)));
    }
    print(&text)?;
    Ok(Status::Done)
}
