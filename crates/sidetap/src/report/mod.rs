//! What a run found, told: on a terminal and as a page.

mod digest;
#[cfg(test)]
pub(crate) mod fixture;
mod html;
mod table;
mod text;
mod words;

use std::net::IpAddr;
use std::path::Path;

use sidetap_model::rows::RunData;

pub(crate) use digest::by_risk;
pub(crate) use html::page;
pub(crate) use table::{Column, Table};
pub(crate) use text::terminal_report;
pub(crate) use words::{bytes, count, plural};

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// What was found.
    pub(crate) run: &'a RunData,
    /// What would be pushed as addresses.
    pub(crate) blocklist: &'a [String],
    /// Where the details are.
    pub(crate) directory: Option<&'a Path>,
    /// Whether there was any analysis.
    pub(crate) analysed: bool,
    /// Sources that act for many clients though nobody said so.
    pub(crate) proxies: &'a [IpAddr],
    /// Whether anything outside was changed.
    pub(crate) devices: Devices,
}

/// What became of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Devices {
    /// Nothing was changed.
    Untouched,
    /// Connectors were told to bring theirs to what verdicts ask for.
    Changed,
}

/// What is to be said of sources that turned out to be proxies.
fn proxy_advice(proxies: &[IpAddr]) -> Option<String> {
    let first: Vec<String> = proxies.iter().take(4).map(ToString::to_string).collect();
    let more = proxies.len().saturating_sub(first.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let one = if proxies.len() == 1 { "acts" } else { "act" };
    let named = first.join(", ");
    (!proxies.is_empty())
        .then(|| format!("{named}{rest} {one} for many clients; if they are proxies of yours, name them with --trusted-proxies"))
}
