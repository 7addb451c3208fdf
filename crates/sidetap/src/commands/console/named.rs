//! What a campaign's members name: by the requests that the store keeps in cells, each of them and not only a sample.

use sidetap_console::{Named, Refused};
use sidetap_model::rows::CampaignRow;
use sidetap_policy::{Attribution, LineReader};
use sidetap_store::{Store, StoreError};

/// Accounts that the requests of a campaign's members name, while it went on.
pub(super) fn accounts_named(store: &Store, campaign: &CampaignRow) -> Result<Named, Refused> {
    let mut attribution = Attribution::default();
    store.each_verdict_in(&campaign.id, |v| attribution.add(&v, None))?;
    let (mut named, mut reader) = (Named::default(), LineReader::default());
    for run in store.runs_of_campaign(&campaign.id)? {
        store.each_cell_between(&run, campaign.first_seen, campaign.last_seen, |row| {
            if let Some(seen) = reader.cell(&row.cell)
                && attribution.behind(&seen).1.is_some()
            {
                named.requests += row.requests;
                named.accounts.extend(seen.account.map(|a| a.to_string()));
            }
            Ok::<(), StoreError>(())
        })?;
    }
    named.requests = named.requests.min(campaign.requests);
    Ok(named)
}
