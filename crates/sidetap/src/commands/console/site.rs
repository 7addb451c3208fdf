//! What the site says of its APIs by way of the console: descriptions, and endpoints merged or told apart.

use serde_json::{Value, json};
use sidetap_console::{Done, Refused, SpecSave};
use sidetap_discovery::Spec;
use sidetap_store::Store;

use super::value;
use crate::clock;
use crate::output::warn;

/// Descriptions that are kept.
const SPECS: usize = 100;

/// The descriptions that were given, without their texts.
pub(super) fn specs(store: &Store) -> Done {
    let rows = store.specs()?;
    let one = |s: &sidetap_store::SpecRow| {
        let spec = Spec::load(&s.name, &s.text);
        json!({
            "name": s.name, "at": s.at, "by": s.by, "bytes": s.text.len(),
            "operations": spec.as_ref().map(|s| s.operations().len()).unwrap_or_default(),
            "error": spec.err().map(|e| e.to_string()),
        })
    };
    Ok(rows.iter().map(one).collect())
}

/// What was seen against what a description says.
pub(super) fn conformance(store: &Store, name: &str) -> Done {
    let Some(row) = store.specs()?.into_iter().find(|s| s.name == name) else {
        return Err(Refused::NotFound("there is no such description".to_owned()));
    };
    let spec = Spec::load(&row.name, &row.text).map_err(|e| refused(&e))?;
    let endpoints = store.endpoints()?;
    let mut answer = value(&spec.diff(&endpoints))?;
    let described =
        endpoints.iter().filter(|e| e.calls > 0 && spec.operation(&e.method, &e.template).is_some()).count();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("operations".to_owned(), spec.operations().len().into());
        fields.insert("documented_endpoints".to_owned(), described.into());
    }
    Ok(answer)
}

/// Reads a description.
pub(super) fn read_spec(save: &SpecSave) -> Done {
    let spec = Spec::load(&save.name, &save.text).map_err(|e| refused(&e))?;
    Ok(json!({ "name": save.name, "operations": spec.operations().len() }))
}

/// Keeps a description that was read; the next run holds the inventory against it.
pub(super) fn put_spec(store: &mut Store, save: &SpecSave) -> Done {
    let known = store.specs()?;
    if known.len() >= SPECS && !known.iter().any(|s| s.name == save.name) {
        return Err(Refused::Conflict(format!("at most {SPECS} descriptions are kept: remove one first")));
    }
    store.put_spec(&sidetap_store::SpecRow {
        name: save.name.clone(),
        at: clock::now(),
        by: save.by.clone(),
        text: save.text.clone(),
    })?;
    Ok(json!({ "name": save.name }))
}

/// Keeps a description no more.
pub(super) fn remove_spec(store: &mut Store, name: &str) -> Done {
    match store.remove_spec(name)? {
        true => Ok(json!({})),
        false => Err(Refused::NotFound("there is no such description".to_owned())),
    }
}

/// Descriptions and templates that the console of a store was given; none where it cannot be read.
pub(crate) fn given(store: Option<&std::path::Path>) -> (Vec<Spec>, Vec<Spec>) {
    let Some(file) = store.filter(|f| f.is_file()) else { return Default::default() };
    let Ok(store) = Store::open_read_only(file) else { return Default::default() };
    let mut specs = Vec::new();
    for row in store.specs().unwrap_or_default() {
        match Spec::load(&row.name, &row.text) {
            Ok(spec) => specs.push(spec),
            Err(e) => warn(&format!("the description {} is left out: {e}", row.name)),
        }
    }
    let shapes = store.shapes().unwrap_or_default();
    (specs, shapes.iter().map(|s| Spec::of_template(&s.host, &s.method, &s.template)).collect())
}

fn refused(error: &sidetap_discovery::SpecError) -> Refused {
    let detail = error.to_string();
    Refused::Bad {
        errors: json!([{ "line": Value::Null, "column": Value::Null, "message": detail, "hint": Value::Null }]),
        detail,
    }
}
