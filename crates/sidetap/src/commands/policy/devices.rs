//! What devices can express: the configured ones, and the kinds that there are.

use anyhow::Result;
use sidetap_mitigation::{Places, Sees};
use sidetap_model::SubjectKind;
use sidetap_policy::{Device, Reach, Response};

use crate::config::Config;

/// Milliseconds from a verdict to its effect that a simulation reckons with.
const DELAY_MS: i64 = 1_000;

/// The devices that a simulation asks: addresses alone first, then those that are configured or, where none is, the kinds that
/// there are, and last one that knows all that a policy can say.
pub(super) fn devices(config: &Config) -> Result<Vec<Device>> {
    let mut devices =
        vec![device("addresses only", Reach::addresses(&[Response::Block, Response::RateLimit]))];
    let configured = config.mitigation.connectors()?;
    for c in &configured {
        let zones = c.zones().to_vec();
        devices.push(Device { zones, ..device(&format!("{} ({})", c.name(), c.kind()), reach_of(c.sees())) });
    }
    if configured.is_empty() {
        devices.extend(kinds());
    }
    devices.push(device("everything", Reach::everything()));
    Ok(devices)
}

fn device(name: &str, reach: Reach) -> Device {
    Device { name: name.to_owned(), reach, zones: Vec::new(), delay_ms: DELAY_MS }
}

/// What connectors of each kind can be told.
fn kinds() -> Vec<Device> {
    let block = [Response::Block];
    let balancer = [Response::Block, Response::Deceive, Response::Tarpit, Response::RateLimit, Response::Tag];
    let addresses = |responses: &[Response]| Reach::addresses(responses);
    let mut door = addresses(&balancer);
    door.kinds.extend([
        SubjectKind::Fingerprint,
        SubjectKind::Session,
        SubjectKind::ApiKey,
        SubjectKind::Compound,
    ]);
    door.prints = vec!["a1".into(), "d1".into(), "s2".into()];
    door.scopes = true;
    let mut proxies = addresses(&balancer);
    proxies.scopes = true;
    vec![
        device("feed, BGP, cloud lists", addresses(&block)),
        device("nftables", addresses(&[Response::Block, Response::RateLimit])),
        device("nginx; HAProxy, Envoy without scripts", proxies),
        device("HAProxy, Envoy, nginx with scripts", door),
    ]
}

/// What a connector says that its device sees, in policy's terms.
pub(crate) fn reach_of(sees: &Sees) -> Reach {
    let mut reach = Reach::addresses(&sees.responses);
    reach.ipv6 = sees.ipv6;
    if !sees.networks {
        reach.kinds.retain(|k| *k != SubjectKind::Cidr);
    }
    if !sees.prints.is_empty() {
        reach.kinds.extend([SubjectKind::Fingerprint, SubjectKind::Compound]);
        reach.prints = sees.prints.iter().map(|p| (*p).to_owned()).collect();
    }
    if sees.tokens {
        reach.kinds.extend([SubjectKind::Session, SubjectKind::ApiKey, SubjectKind::Compound]);
    }
    if sees.accounts {
        reach.kinds.push(SubjectKind::Account);
    }
    if !sees.headers.is_empty() {
        reach.kinds.extend([SubjectKind::Header, SubjectKind::Compound]);
    }
    reach.scopes = sees.places != Places::No;
    reach
}
