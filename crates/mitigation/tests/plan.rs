//! Properties of the plan: whatever a device holds and whatever is wanted, one plan is enough and no bound is passed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;
use sidetap_mitigation::{Entry, Key, Observed, Sees, plan};
use sidetap_policy::Response;

fn sees(capacity: usize) -> Sees {
    Sees { allow_list: true, ..Sees::addresses(vec![Response::Block, Response::RateLimit], capacity) }
}

/// Entries close together, so that they meet, nest and repeat.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let one =
        (0u8..8, 24u8..=32, any::<bool>(), 0i64..400, 1u8..99).prop_map(|(host, len, block, end, score)| {
            Entry {
                key: Key::Net(IpNet::V4(Ipv4Net::new(Ipv4Addr::new(192, 0, 2, host), len).unwrap().trunc())),
                response: if block { Response::Block } else { Response::RateLimit },
                expires_at: 1_000 + end,
                verdict: format!("v{score}"),
                priority: (score, end),
                way: None,
            }
        });
    proptest::collection::vec(one, 0..24)
}

proptest! {
    #[test]
    fn one_plan_is_enough(wanted in entries(), there in entries(), foreign in 0usize..4, capacity in 0usize..12) {
        let observed = Observed { entries: there.clone(), foreign, ..Observed::default() };
        let first = plan(&wanted, &observed, &[], &sees(capacity));

        let keys = |entries: &[Entry]| -> BTreeSet<(Key, Response)> {
            entries.iter().map(|e| (e.key.clone(), e.response)).collect()
        };
        let target = keys(&first.target);
        // A duplicate that is removed has the key of the one that stays.
        let gone: BTreeSet<_> = keys(&first.remove).difference(&target).cloned().collect();
        let mut after: BTreeSet<_> = keys(&there).difference(&gone).cloned().collect();
        after.extend(keys(&first.add));
        prop_assert_eq!(&after, &target);
        prop_assert!(keys(&first.refresh).is_subset(&keys(&there)));
        prop_assert!(keys(&first.add).is_disjoint(&keys(&there)));

        prop_assert!(first.target.len() + foreign <= capacity.max(foreign));
        let reached = Observed { entries: first.target.clone(), foreign, ..Observed::default() };
        prop_assert!(plan(&wanted, &reached, &[], &sees(capacity)).is_empty());
        for e in &first.target {
            let asked = |w: &Entry| (&w.key, w.response, w.expires_at) == (&e.key, e.response, e.expires_at);
            prop_assert!(wanted.iter().any(asked), "nothing that was not asked for");
            let covered = first.target.iter().any(|o| o.key != e.key && o.key.net().unwrap().contains(&e.key.net().unwrap()) && o.response >= e.response);
            prop_assert!(!covered);
        }
        let told: BTreeSet<String> = first.refused.iter().map(|r| r.subject.clone()).collect();
        for e in &wanted {
            prop_assert!(first.target.iter().any(|t| t.key == e.key) || told.contains(&e.key.to_string()), "silently left out: {}", e.key);
        }
    }

    #[test]
    fn the_order_of_wishes_does_not_matter(wanted in entries(), capacity in 0usize..12) {
        let mut turned = wanted.clone();
        turned.reverse();
        let of = |w: &[Entry]| {
            let p = plan(w, &Observed::default(), &[], &sees(capacity));
            p.target.iter().map(|e| (e.key.clone(), e.response, e.expires_at, e.priority)).collect::<Vec<_>>()
        };
        prop_assert_eq!(of(&wanted), of(&turned));
    }
}
