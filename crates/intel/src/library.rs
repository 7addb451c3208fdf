//! The directory in which sources are kept with their licences, and the table that is made of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::compile::Compiler;
use crate::format;
use crate::source::Source;
use crate::table::{SourceInfo, Table};
use crate::{IntelError, io_error};

/// What is installed of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Installed {
    /// Where it came from.
    pub from: String,
    /// Version, where its place has one.
    pub version: String,
    /// Marks by which servers know what was fetched.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its licence, as it was shown.
    pub licence: String,
    /// Where the licence can be read.
    pub licence_url: String,
    /// Whom the licence asks to be named.
    pub attribution: String,
    /// When it was fetched, in seconds since 1970.
    pub fetched: i64,
    /// Bytes of its files.
    pub bytes: u64,
    /// How many files it has.
    pub files: usize,
}

/// What an update did about a source.
#[derive(Debug)]
pub enum Update {
    /// It was fetched.
    New(Installed),
    /// It is as it was.
    Unchanged,
    /// It could not be fetched; what was there before is kept, where there was something.
    Failed(IntelError, bool),
}

/// A directory of sources with the table made of them.
#[derive(Clone, Debug)]
pub struct Library {
    dir: PathBuf,
}

impl Library {
    /// The library of this directory, which need not be there yet.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Library { dir: dir.into() }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its table is.
    pub fn table_file(&self) -> PathBuf {
        self.dir.join("table.sti")
    }

    fn source_dir(&self, name: &str) -> PathBuf {
        self.dir.join("sources").join(name)
    }

    /// Its table; nothing where none was made yet.
    pub fn table(&self) -> Result<Option<Table>, IntelError> {
        match Table::load(&self.table_file()) {
            Ok(table) => Ok(Some(table)),
            Err(IntelError::Io(_, e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What is installed of a source; nothing where it is not there or cannot be read.
    pub fn installed(&self, name: &str) -> Option<Installed> {
        let text = std::fs::read(self.source_dir(name).join("source.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// True where the licence of a source was shown before and is the same.
    pub fn is_accepted(&self, source: &Source) -> bool {
        self.installed(&source.name).is_some_and(|i| i.licence == source.licence)
    }

    /// Keeps what was fetched of a source, with its licence beside it.
    pub fn keep(
        &self,
        source: &Source,
        mut installed: Installed,
        files: &[Vec<u8>],
        licence_text: &str,
    ) -> Result<Installed, IntelError> {
        let dir = self.source_dir(&source.name);
        std::fs::create_dir_all(&dir).map_err(|e| io_error(&dir, e))?;
        for (n, bytes) in files.iter().enumerate() {
            write_atomically(&dir.join(n.to_string()), bytes)?;
        }
        installed.files = files.len();
        installed.bytes = files.iter().map(|f| f.len() as u64).sum();
        write_atomically(&dir.join("LICENCE"), licence_file(&installed, licence_text).as_bytes())?;
        let text = serde_json::to_vec_pretty(&installed)
            .map_err(|e| IntelError::Content(source.name.clone(), e.to_string()))?;
        write_atomically(&dir.join("source.json"), &text)?;
        Ok(installed)
    }

    /// Fetches a source where it changed, and keeps it; `now` is in seconds since 1970. What cannot be understood is not kept.
    #[cfg(feature = "fetch")]
    pub fn update(&self, fetcher: &crate::Fetcher, source: &Source, now: i64) -> Update {
        let before = self.installed(&source.name);
        let fetched = fetcher.fetch(
            source,
            before.as_ref().filter(|b| b.from == source.place.told() && b.files == source.place.files()),
        );
        let done = fetched.and_then(|fetched| match fetched {
            crate::Fetched::Unchanged => {
                let Some(mut same) = before.clone() else { return Ok(Update::Unchanged) };
                same.fetched = now;
                let text = serde_json::to_vec_pretty(&same)
                    .map_err(|e| IntelError::Content(source.name.clone(), e.to_string()))?;
                write_atomically(&self.source_dir(&source.name).join("source.json"), &text)?;
                Ok(Update::Unchanged)
            }
            crate::Fetched::New { files, version, tags, licence_text, licence: _ } => {
                format::read(source, &files)?;
                let installed = Installed {
                    from: source.place.told(),
                    version,
                    tags,
                    licence: source.licence.clone(),
                    licence_url: source.licence_url.clone(),
                    attribution: source.attribution.clone(),
                    fetched: now,
                    ..Installed::default()
                };
                self.keep(source, installed, &files, &licence_text).map(Update::New)
            }
        });
        done.unwrap_or_else(|e| Update::Failed(e, before.is_some()))
    }

    /// Makes the table of those sources that are installed, and writes it; sources that cannot be read are left out and given
    /// back with the reason.
    pub fn compile(&self, sources: &[Source]) -> Result<(Table, Vec<IntelError>), IntelError> {
        let mut compiler = Compiler::new();
        let mut left_out = Vec::new();
        for source in sources {
            let Some(installed) = self.installed(&source.name) else { continue };
            if let Err(e) = self.add(&mut compiler, source, &installed) {
                left_out.push(e);
            }
        }
        let table = compiler.finish()?;
        std::fs::create_dir_all(&self.dir).map_err(|e| io_error(&self.dir, e))?;
        write_atomically(&self.table_file(), &table.to_bytes())?;
        Ok((table, left_out))
    }

    fn add(&self, compiler: &mut Compiler, source: &Source, installed: &Installed) -> Result<(), IntelError> {
        let dir = self.source_dir(&source.name);
        let read = |n: usize| {
            let path = dir.join(n.to_string());
            std::fs::read(&path).map_err(|e| io_error(&path, e))
        };
        let files = (0..installed.files).map(read).collect::<Result<Vec<_>, _>>()?;
        let content = format::read(source, &files)?;
        let info = SourceInfo {
            name: source.name.clone(),
            from: installed.from.clone(),
            version: installed.version.clone(),
            licence: installed.licence.clone(),
            attribution: installed.attribution.clone(),
            fetched: installed.fetched,
            ..SourceInfo::default()
        };
        format::add(compiler, source, content, info)
    }
}

fn licence_file(installed: &Installed, text: &str) -> String {
    let mut out = format!("{}\nfrom: {}\n", installed.licence, installed.from);
    for (name, value) in [
        ("version", &installed.version),
        ("licence", &installed.licence_url),
        ("attribution", &installed.attribution),
    ] {
        if !value.is_empty() {
            out.push_str(&format!("{name}: {value}\n"));
        }
    }
    if !text.is_empty() {
        out.push('\n');
        out.push_str(text);
    }
    out
}

/// Writes a file so that it is either as before or as a whole new.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), IntelError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let beside = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        sidetap_sys::put_in_place(&beside, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&beside);
        io_error(path, e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{Kind, Kinds};
    use crate::source::{Format, Where};
    use sidetap_model::Ts;

    fn source() -> Source {
        Source {
            name: "own".into(),
            what: "own list".into(),
            place: Where::Files(vec!["/nowhere".into()]),
            format: Format::Networks,
            kinds: Kinds::of(Kind::Vpn),
            publishes: None,
            label: Some("seen abusing".into()),
            weight: 0.7,
            expires_s: Some(100),
            licence: "CC0-1.0".into(),
            licence_url: String::new(),
            attribution: "Somebody".into(),
        }
    }

    #[test]
    fn what_is_kept_is_compiled_with_its_licence_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::at(dir.path().join("intel"));
        assert!(library.table().unwrap().is_none() && !library.is_accepted(&source()));
        let installed = Installed {
            from: "x".into(),
            licence: "CC0-1.0".into(),
            attribution: "Somebody".into(),
            fetched: 1_000,
            ..Installed::default()
        };
        library.keep(&source(), installed, &[b"20.0.0.0/24\n".to_vec()], "the text").unwrap();
        assert!(library.is_accepted(&source()));
        let licence = std::fs::read_to_string(library.source_dir("own").join("LICENCE")).unwrap();
        assert!(licence.contains("CC0-1.0") && licence.contains("Somebody") && licence.contains("the text"));
        let (_, left_out) = library.compile(&[source()]).unwrap();
        assert!(left_out.is_empty());
        let table = library.table().unwrap().unwrap();
        let found = table.look_up("20.0.0.1".parse().unwrap(), Ts::from_parts(1_050, 0));
        assert!(found.origin.kinds.has(Kind::Vpn) && found.origin.reported > 0.6);
        assert_eq!(found.lists[0].label, "seen abusing");
        let late = table.look_up("20.0.0.1".parse().unwrap(), Ts::from_parts(1_200, 0));
        assert!(late.lists.is_empty() && late.origin.kinds.has(Kind::Vpn));
        assert_eq!(table.sources()[0].attribution, "Somebody");
    }
}
