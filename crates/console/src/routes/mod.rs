//! What can be asked, by what it is about.

mod approvals;
mod campaigns;
mod control;
mod devices;
mod endpoints;
mod events;
mod evidence;
mod findings;
mod health;
mod orders;
mod overview;
mod people;
mod policies;
mod runs;
mod search;
mod sensitive;
mod session;
mod settings;
mod site;
mod sso;
mod verdicts;

use crate::table::Route;

pub(crate) use events::Streams;
pub(crate) use health::metrics;

/// All routes of the API.
pub(crate) fn all() -> Vec<Route> {
    [
        session::routes(),
        sso::routes(),
        overview::routes(),
        endpoints::routes(),
        campaigns::routes(),
        verdicts::routes(),
        sensitive::routes(),
        findings::routes(),
        evidence::routes(),
        policies::routes(),
        approvals::routes(),
        control::routes(),
        devices::routes(),
        site::routes(),
        search::routes(),
        settings::routes(),
        people::routes(),
        events::routes(),
        health::routes(),
        runs::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
