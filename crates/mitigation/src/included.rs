//! Whether a server's configuration takes in the files that are written for it: one in a wrong place is written and read by nobody.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::command;
use crate::connector::ConnectorError;

/// For how long what a server said of its configuration is believed.
const BELIEVED: Duration = Duration::from_secs(600);

/// When a server last said nothing against its files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known(Option<Instant>);

impl Known {
    /// Asks again where that was long ago.
    pub(crate) fn unless(
        &mut self,
        ask: impl FnOnce() -> Result<(), ConnectorError>,
    ) -> Result<(), ConnectorError> {
        if self.0.is_some_and(|at| at.elapsed() < BELIEVED) {
            return Ok(());
        }
        self.0 = None;
        ask()?;
        self.0 = Some(Instant::now());
        Ok(())
    }
}

/// Refuses files whose directory is not there.
pub(crate) fn have_a_directory<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<(), ConnectorError> {
    let is_gone = |path: &&Path| {
        path.parent().is_some_and(|dir| !dir.as_os_str().is_empty() && matches!(dir.try_exists(), Ok(false)))
    };
    match files.into_iter().find(is_gone) {
        Some(path) => Err(ConnectorError::Missing(format!("{}: there is no such directory", path.display()))),
        None => Ok(()),
    }
}

/// Refuses those of the files that are there and that nginx does not read, by the configuration that it shows (`-T`).
pub(crate) fn by_nginx(test: &[String], files: &[&Path], timeout_s: u64) -> Result<(), ConnectorError> {
    let Some(said) = asked(test, &["-T"], timeout_s) else { return Ok(()) };
    let named = |l: &'_ str| Some(l.strip_prefix("# configuration file ")?.strip_suffix(':')?.to_owned());
    let named: Vec<String> = said.lines().filter_map(named).collect();
    all_in(files, &named, is_local(test, "nginx"))
}

/// Refuses a map that Apache does not read, and a file that it does not include, by the files of its configuration (`-D DUMP_INCLUDES`).
pub(crate) fn by_apache(
    test: &[String],
    (map, places): (&Path, Option<&Path>),
    timeout_s: u64,
) -> Result<(), ConnectorError> {
    let Some(said) = asked(test, &["-t", "-D", "DUMP_INCLUDES"], timeout_s) else { return Ok(()) };
    let named = |l: &str| Some(l.trim_start().strip_prefix('(')?.split_once(") ")?.1.to_owned());
    let named: Vec<String> = said.lines().filter_map(named).collect();
    let is_local = is_local(test, "apachectl") || is_local(test, "apache2ctl") || is_local(test, "apache2");
    let files: Vec<&Path> = places.into_iter().filter(|p| p.exists()).collect();
    all_in(&files, &named, is_local)?;
    // What cannot be read may have it.
    let texts: Result<Vec<String>, _> = named.iter().map(std::fs::read_to_string).collect();
    let Some(texts) = texts.ok().filter(|all| !all.is_empty()) else { return Ok(()) };
    let maps: Vec<&str> = texts.iter().flat_map(|t| t.lines()).filter_map(map_of).collect();
    let is_it = |path: &&str| {
        let is_whole = path.starts_with('/') && !path.contains("${");
        is_same(path, map, is_local && is_whole)
    };
    if maps.iter().any(is_it) {
        return Ok(());
    }
    Err(ConnectorError::Missing(format!(
        "no configuration of this server has a RewriteMap that reads {} (`test` names the server's own configuration where it is another than `apachectl` has)",
        map.display()
    )))
}

/// Refuses files that are no part of a configuration as Varnish shows it (`vcl.show -v`).
pub(crate) fn by_varnish(said: &str, files: &[&Path], command: &[String]) -> Result<(), ConnectorError> {
    let named = |l: &str| l.strip_prefix("// VCL.SHOW ")?.splitn(3, ' ').nth(2).map(str::to_owned);
    let named: Vec<String> = said.lines().filter_map(named).collect();
    all_in(files, &named, is_local(command, "varnishadm"))
}

/// What a server says to a test with other words in place of `-t`; nothing where the test is another program, or fails: then it says so itself.
fn asked(test: &[String], words: &[&str], timeout_s: u64) -> Option<String> {
    let at = test.iter().position(|w| w == "-t")?;
    let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    let command: Vec<String> =
        test.iter().take(at).chain(&words).chain(test.iter().skip(at + 1)).cloned().collect();
    command::run(&command, &[], b"", timeout_s).ok()
}

/// Whether a command is this program of this machine, whose paths are those of here.
fn is_local(command: &[String], program: &str) -> bool {
    command.first().is_some_and(|first| first.rsplit('/').next() == Some(program))
}

fn all_in(files: &[&Path], named: &[String], is_local: bool) -> Result<(), ConnectorError> {
    // A program that shows nothing says nothing.
    if named.is_empty() {
        return Ok(());
    }
    let is_missing = |file: &&&Path| !named.iter().any(|name| is_same(name, file, is_local));
    match files.iter().find(is_missing) {
        Some(file) => Err(ConnectorError::Missing(format!(
            "no configuration of this server includes {}",
            file.display()
        ))),
        None => Ok(()),
    }
}

/// Whether a server's name of a file is that of ours; of one elsewhere (a container) the last part of it.
fn is_same(name: &str, file: &Path, is_local: bool) -> bool {
    let name = Path::new(name);
    if !is_local {
        return name.file_name() == file.file_name();
    }
    let spelled = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    name == file || spelled(name) == spelled(file)
}

/// The file of a map of text (`RewriteMap NAME "txt:PATH"`).
fn map_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let is_map = words.next()?.eq_ignore_ascii_case("RewriteMap");
    let path = words.nth(1).filter(|_| is_map)?;
    path.trim_matches(['"', '\'']).strip_prefix("txt:").map(|p| p.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("other")).unwrap();
        for name in ["a.conf", "other/a.conf"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(at("a.conf"), at("link.conf")).unwrap();
        let named = [at("link.conf").display().to_string()];
        assert!(all_in(&[&at("a.conf")], &named, true).is_ok(), "by whatever name");
        let said = all_in(&[&at("other/a.conf")], &named, true).unwrap_err().to_string();
        assert!(
            said.starts_with("not set up: no configuration of this server includes ")
                && said.ends_with("other/a.conf")
        );
        assert!(all_in(&[&at("a.conf")], &["/in/there/a.conf".to_owned()], false).is_ok());
        assert!(all_in(&[&at("other/a.conf")], &[], true).is_ok(), "who says nothing is believed");
        assert!(have_a_directory([at("a.conf").as_path(), Path::new("a.conf")]).is_ok());
        assert!(
            have_a_directory([at("nosuch/a.conf").as_path()])
                .unwrap_err()
                .to_string()
                .contains("no such directory")
        );
    }

    #[test]
    fn maps_are_read_as_apache_writes_them() {
        assert_eq!(map_of("  rewritemap sidetap \"txt:/etc/x/map.txt\""), Some("/etc/x/map.txt"));
        assert_eq!(map_of("RewriteMap sidetap txt:map.txt"), Some("map.txt"));
        assert_eq!(map_of("RewriteMap sidetap dbm:/etc/x"), None);
        assert_eq!(map_of("#RewriteMap sidetap txt:/etc/x"), None);
    }
}
