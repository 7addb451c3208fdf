use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

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

    /// Writes a list, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), ConnectorError> {
        let bytes = serde_json::to_vec(self).map_err(|e| ConnectorError::Answer(e.to_string()))?;
        write_whole(path, &bytes).map_err(|e| ConnectorError::Unreachable(format!("{}: {e}", path.display())))
    }

    /// One address or CIDR a line, without what is over at `now`; the sentinel where there would be none.
    pub fn render(&self, family: Family, now: i64, sentinel: Option<IpAddr>) -> String {
        let fits = |net: &IpNet| match family {
            Family::Both => true,
            Family::V4 => matches!(net, IpNet::V4(_)),
            Family::V6 => matches!(net, IpNet::V6(_)),
        };
        let live =
            self.entries.iter().filter(|e| e.expires_at > now).filter_map(|e| e.key.net()).filter(fits);
        let text: String = live.map(|net| format!("{}\n", Key::Net(net))).collect();
        match sentinel {
            Some(ip) if text.is_empty() && fits(&IpNet::from(ip)) => format!("{ip}\n"),
            _ => text,
        }
    }
}
