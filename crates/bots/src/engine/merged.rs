//! Rows of one spelling as one.

use sidetap_model::rows::{Member, VerdictRow};

/// One member a spelling, with the requests of all clients that have it, by when they came.
pub(super) fn join_members(mut members: Vec<Member>) -> Vec<Member> {
    let spelling = |a: &Member, b: &Member| (a.kind, &a.value).cmp(&(b.kind, &b.value));
    members.sort_by(|a, b| spelling(a, b));
    members.dedup_by(|member, known| {
        let same = spelling(member, known).is_eq();
        if same {
            known.requests = known.requests.saturating_add(member.requests);
            known.first_seen = known.first_seen.min(member.first_seen);
        }
        same
    });
    members.sort_by(|a, b| (a.first_seen, &a.value).cmp(&(b.first_seen, &b.value)));
    members
}

/// One row a subject: of those with one spelling the worse and earlier verdict stays, with the requests of both by `all` and with
/// the time that both take.
pub(super) fn join_subjects(mut rows: Vec<VerdictRow>, all: fn(u64, u64) -> u64) -> Vec<VerdictRow> {
    let rank = |r: &VerdictRow| match r.intent.as_str() {
        "malicious" => 0,
        "suspicious" => 1,
        _ => 2,
    };
    rows.sort_by(|a, b| (&a.zone, &a.subject).cmp(&(&b.zone, &b.subject)));
    rows.dedup_by(|row, known| {
        let same = row.zone == known.zone && row.subject == known.subject;
        if same {
            let requests = all(known.requests, row.requests);
            let (first, last) = (known.first_seen.min(row.first_seen), known.last_seen.max(row.last_seen));
            if (rank(row), row.detected_at) < (rank(known), known.detected_at) {
                std::mem::swap(row, known);
            }
            known.requests = requests;
            (known.first_seen, known.last_seen) = (first, last);
        }
        same
    });
    rows
}
