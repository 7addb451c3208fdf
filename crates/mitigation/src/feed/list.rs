use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sidetap_sys::put_in_place;

use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::key::Key;
use crate::ledger::write_whole;

/// The list behind a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedList {
    /// Its entries, those that are over included.
    pub entries: Vec<Entry>,
}

/// Which addresses of a list are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// All.
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl FeedList {
    /// Reads a list; a file that does not exist is an empty one.
    pub fn read(path: &Path) -> Result<Self, ConnectorError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(FeedList::default()),
            Err(e) => return Err(ConnectorError::Unreachable(format!("{}: {e}", path.display()))),
        };
        serde_json::from_slice(&bytes)
            .map_err(|e| ConnectorError::Missing(format!("{} is no feed list: {e}", path.display())))
    }

    /// The list that is to be served: where it is lost, the copy of the last one that was written. None where there never was one.
    pub fn to_serve(path: &Path) -> Result<Option<Self>, ConnectorError> {
        let copy = copy_of(path);
        let found = [path, &copy].into_iter().find(|p| p.exists());
        found.map(FeedList::read).transpose()
    }

    /// Writes a list, whole or not at all, and a copy beside it.
    pub fn write(&self, path: &Path) -> Result<(), ConnectorError> {
        let bytes = serde_json::to_vec(self).map_err(|e| ConnectorError::Answer(e.to_string()))?;
        let at = |e: std::io::Error| ConnectorError::Unreachable(format!("{}: {e}", path.display()));
        write_whole(path, &bytes).map_err(at)?;
        // The same bytes under two names; where the file system knows no links, twice.
        let (copy, beside) = (copy_of(path), copy_of(&copy_of(path)));
        let _ = std::fs::remove_file(&beside);
        let linked = std::fs::hard_link(path, &beside).and_then(|()| put_in_place(&beside, &copy));
        linked.or_else(|_| write_whole(&copy, &bytes)).map_err(at)?;
        Ok(())
    }

    /// The list in a device's form, without what is over at `now`; the sentinel where there would be no line.
    pub fn render(&self, shape: Shape, family: Family, now: i64, sentinel: Option<IpAddr>) -> String {
        let fits = |net: &IpNet| match net {
            IpNet::V4(_) => family != Family::V6,
            IpNet::V6(_) => family != Family::V4 && shape != Shape::CheckPoint,
        };
        let mut live: Vec<(&Entry, IpNet)> = self
            .entries
            .iter()
            .filter(|e| e.expires_at > now)
            .filter_map(|e| e.key.net().filter(fits).map(|n| (e, n)))
            .collect();
        if live.len() > shape.most_lines() {
            live.sort_by(|a, b| b.0.priority.cmp(&a.0.priority).then(a.1.cmp(&b.1)));
            live.truncate(shape.most_lines());
            live.sort_by_key(|(_, net)| *net);
        }
        let mut lines: Vec<(IpNet, &str)> = live.iter().map(|(e, n)| (*n, e.verdict.as_str())).collect();
        let nobody = sentinel.map(|ip| match family {
            Family::V6 if ip.is_ipv4() => IpNet::from(NOBODY_V6),
            _ => IpNet::from(ip),
        });
        if lines.is_empty() {
            lines.extend(nobody.filter(fits).map(|n| (n, "sentinel")));
        }
        shape.text(&lines)
    }
}

/// Of the range for documentation (RFC 3849): nobody's.
const NOBODY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// How a device wants its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One address or CIDR a line.
    Plain,
    /// The same, with as many lines as every PAN-OS device takes of all its lists.
    PanOs,
    /// The same, with as many lines as every FortiGate takes of a feed.
    FortiGate,
    /// The same, after a comment.
    Cisco,
    /// Indicators as Check Point's gateways read them: comma-separated, IPv4 only, networks as ranges.
    CheckPoint,
}

impl Shape {
    /// Each with the path at which it is served.
    pub const ALL: [(&'static str, Shape); 5] = [
        ("/feed", Shape::Plain),
        ("/feed/pan-os", Shape::PanOs),
        ("/feed/fortigate", Shape::FortiGate),
        ("/feed/cisco", Shape::Cisco),
        ("/feed/checkpoint", Shape::CheckPoint),
    ];

    /// Lines beyond which devices leave out what comes last, most of them silently.
    fn most_lines(self) -> usize {
        match self {
            Shape::PanOs => 50_000,
            Shape::FortiGate => 131_072,
            Shape::CheckPoint => 2_000_000,
            Shape::Plain | Shape::Cisco => usize::MAX,
        }
    }

    fn text(self, lines: &[(IpNet, &str)]) -> String {
        let head = match self {
            Shape::Cisco => "# Sidetap\n",
            Shape::CheckPoint => "# UNIQ-NAME,VALUE,TYPE,CONFIDENCE,SEVERITY,PRODUCT,COMMENT\n",
            _ => "",
        };
        let line = |(net, verdict): &(IpNet, &str)| match self {
            Shape::CheckPoint => indicator(net, verdict),
            _ => format!("{}\n", Key::Net(*net)),
        };
        std::iter::once(head.to_owned()).chain(lines.iter().map(line)).collect()
    }
}

/// A name of its own, the value, its type, how sure, how bad, for which engine, why.
fn indicator(net: &IpNet, verdict: &str) -> String {
    let name = Key::Net(*net).to_string().replace(['.', '/', ':'], "-");
    let (value, kind) = match net.prefix_len() == net.max_prefix_len() {
        true => (net.addr().to_string(), "IP"),
        false => (format!("{}-{}", net.network(), net.broadcast()), "IP Range"),
    };
    format!("sidetap-{name},{value},{kind},high,high,AB,{verdict}\n")
}

fn copy_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".last");
    path.with_file_name(name)
}
