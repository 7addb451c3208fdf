//! Lists that take fewer entries than they are configured for: those that matter most are on them all the same.

use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::plan::Plan;

/// Entries in the order in which they come where not all fit: the most harmful first.
pub(crate) fn ranked<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<&'a Entry> {
    let mut all: Vec<&Entry> = entries.into_iter().collect();
    all.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.key.cmp(&b.key)));
    all
}

/// Who gives way on a full list to one that comes: those that it holds and that stay, the least harmful last.
pub(crate) fn stays(plan: &Plan) -> Vec<&Entry> {
    let comes = |e: &&Entry| plan.add.binary_search_by(|a| a.key.cmp(&e.key)).is_ok();
    ranked(plan.target.iter().filter(|e| !comes(e)))
}

/// The last of them, where the one that comes matters more.
pub(crate) fn gives_way<'a>(stays: &mut Vec<&'a Entry>, comes: &Entry) -> Option<&'a Entry> {
    stays.pop_if(|e| e.priority < comes.priority)
}

const LEFT_OUT: &str = "of the least harmful are left out";

/// Whether a device says so.
pub(crate) fn is_full(refused: &ConnectorError) -> bool {
    matches!(refused, ConnectorError::Refused { answer, .. } if answer.ends_with(LEFT_OUT))
}

/// That so many were left out of a list that took no more, in the device's words; nothing where none was.
pub(crate) fn left_out(refused: ConnectorError, left: usize) -> Result<(), ConnectorError> {
    match refused {
        _ if left == 0 => Ok(()),
        ConnectorError::Refused { command, answer } => {
            let answer = format!("{answer}; {left} {LEFT_OUT}");
            Err(ConnectorError::Refused { command, answer })
        }
        e => Err(e),
    }
}

/// Sets apart that a device said no, after which something else may do, from all other errors.
pub(crate) fn unless_refused(
    said: Result<(), ConnectorError>,
) -> Result<Option<ConnectorError>, ConnectorError> {
    match said {
        Ok(()) => Ok(None),
        Err(e @ ConnectorError::Refused { .. }) => Ok(Some(e)),
        Err(e) => Err(e),
    }
}
