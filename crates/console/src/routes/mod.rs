//! What can be asked, by what it is about.

mod campaigns;
mod control;
mod endpoints;
mod events;
mod evidence;
mod findings;
mod health;
mod overview;
mod people;
mod search;
mod sensitive;
mod session;
mod settings;
mod verdicts;

use crate::table::Route;

pub(crate) use events::permits as streams;
pub(crate) use health::metrics;

/// All routes of the API.
pub(crate) fn all() -> Vec<Route> {
    [
        session::routes(),
        overview::routes(),
        endpoints::routes(),
        campaigns::routes(),
        verdicts::routes(),
        sensitive::routes(),
        findings::routes(),
        evidence::routes(),
        control::routes(),
        search::routes(),
        settings::routes(),
        people::routes(),
        events::routes(),
        health::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
