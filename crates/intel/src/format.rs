//! How sources are written.

mod json;
mod lines;
mod mmdb;

use crate::IntelError;
use crate::compile::Compiler;
use crate::range::Range;
use crate::source::{Format, Source};
use crate::table::{List, ListKind, SourceInfo};

/// What a file of a source says.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Networks by range.
    pub(crate) networks: Vec<(Range, u32)>,
    /// Holders of networks.
    pub(crate) organizations: Vec<(u32, String)>,
    /// Countries by range.
    pub(crate) countries: Vec<(Range, [u8; 2])>,
    /// Ranges of a list.
    pub(crate) ranges: Vec<Range>,
    /// Networks of a list.
    pub(crate) asns: Vec<u32>,
    /// Parts of names of a list.
    pub(crate) names: Vec<String>,
    /// What could not be understood.
    pub(crate) skipped: u64,
}

impl Content {
    /// How much it says.
    pub(crate) fn entries(&self) -> u64 {
        let counts =
            [self.networks.len(), self.countries.len(), self.ranges.len(), self.asns.len(), self.names.len()];
        counts.iter().map(|n| *n as u64).sum()
    }
}

/// Reads the files of a source, one after the other, into one content.
pub(crate) fn read(source: &Source, files: &[Vec<u8>]) -> Result<Content, IntelError> {
    let mut content = Content::default();
    for bytes in files {
        match source.format {
            Format::NetworksCsv => lines::networks_csv(bytes, &mut content),
            Format::CountriesCsv => lines::countries_csv(bytes, &mut content),
            Format::Networks => lines::networks(bytes, &mut content),
            Format::Asns => lines::asns(bytes, &mut content),
            Format::Organizations => lines::organizations(bytes, &mut content),
            Format::Json => {
                json::read(bytes, &mut content).map_err(|e| IntelError::Content(source.name.clone(), e))?;
            }
            Format::Mmdb => {
                mmdb::read(bytes, &mut content).map_err(|e| IntelError::Content(source.name.clone(), e))?;
            }
        }
    }
    if content.entries() == 0 {
        let what = format!("nothing in it is what `{}` holds", format_name(source.format));
        return Err(IntelError::Content(source.name.clone(), what));
    }
    Ok(content)
}

fn format_name(format: Format) -> String {
    serde_json::to_value(format).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Adds what a source says to the table that is being made.
pub(crate) fn add(
    compiler: &mut Compiler,
    source: &Source,
    content: Content,
    mut info: SourceInfo,
) -> Result<(), IntelError> {
    info.entries = content.entries();
    info.skipped = content.skipped;
    let fetched = info.fetched;
    compiler.source(info);
    if !content.networks.is_empty() {
        compiler.networks(content.networks);
    }
    if !content.countries.is_empty() {
        compiler.countries(content.countries);
    }
    content.organizations.iter().for_each(|(asn, name)| compiler.organization(*asn, name));
    if !source.kinds.is_empty() {
        content.asns.iter().for_each(|asn| compiler.network_kinds(*asn, source.kinds));
        compiler.kinds(source.kinds, content.ranges.clone());
    }
    let list = |name: &str, kind, label: &str| List {
        name: name.to_owned(),
        kind,
        label: label.to_owned(),
        weight: if kind == ListKind::Reported { source.weight } else { 0.0 },
        expires: source.expires_s.filter(|_| kind == ListKind::Reported).map(|s| fetched.saturating_add(s)),
    };
    if let Some(name) = &source.publishes {
        let n = compiler.list(list(name, ListKind::Published, &source.what))?;
        compiler.stands_on(n, content.ranges.clone());
    }
    if let Some(label) = &source.label {
        let n = compiler.list(list(&source.name, ListKind::Reported, label))?;
        compiler.stands_on(n, content.ranges);
        content.asns.iter().for_each(|asn| compiler.network_stands_on(n, *asn));
        content.names.iter().for_each(|name| compiler.name_stands_on(n, name));
    }
    Ok(())
}
