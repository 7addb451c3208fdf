//! Countries and networks in the terms of devices that compare addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use sidetap_model::SubjectKind;
use sidetap_model::rows::Subject;
use sidetap_policy::never_blockable;

use crate::entry::Sees;
use crate::resolve::is_touched;

/// What is known of where addresses are: by the tables that the user installed.
pub trait Geography: Send + Sync {
    /// The country of an address, `DE`.
    fn country(&self, ip: IpAddr) -> Option<String>;

    /// The networks of a country (`DE`) or of an autonomous system (`AS64496`).
    fn networks(&self, kind: SubjectKind, value: &str) -> Vec<IpNet>;
}

/// Most networks that one country or autonomous system is told as.
const MOST: usize = 4_096;

/// Whether a subject is told as its networks.
pub(crate) fn is_area(subject: &Subject) -> bool {
    matches!(subject.kind, SubjectKind::Country | SubjectKind::Network)
}

/// The networks of a subject that is a country or an autonomous system, none wider than `shortest` (IPv4, IPv6), without those on the
/// allow list.
pub(crate) fn networks(
    subject: &Subject,
    geography: Option<&dyn Geography>,
    shortest: (u8, u8),
    sees: &Sees,
    allow: &[IpNet],
) -> Result<Vec<IpNet>, String> {
    let kind = subject.kind;
    if !sees.networks {
        return Err(format!("a subject of kind {kind} cannot be matched here: {}", sees.cannot));
    }
    let known = geography.map(|g| g.networks(kind, &subject.value)).unwrap_or_default();
    if known.is_empty() {
        return Err(format!("no installed table knows networks of {kind} {}", subject.value));
    }
    let mut out = Vec::new();
    for net in IpNet::aggregate(&known) {
        let least = if matches!(net, IpNet::V4(_)) { shortest.0 } else { shortest.1 };
        if matches!(net, IpNet::V6(_)) && !sees.ipv6 {
            continue;
        }
        match net.prefix_len() < least {
            true => out.extend(net.subnets(least).into_iter().flatten().take(MOST + 1)),
            false => out.push(net),
        }
        if out.len() > MOST {
            return Err(format!("{kind} {} has more than {MOST} networks", subject.value));
        }
    }
    out.retain(|net| never_blockable(net).is_none() && !is_touched(allow, net));
    match out.is_empty() {
        true => Err(format!("all networks of {kind} {} are on the allow list", subject.value)),
        false => Ok(out),
    }
}

/// Whether a geo-fence lets this address through.
pub(crate) enum Fence {
    /// It is in one of the countries.
    LetsThrough,
    /// It is in another one.
    Refuses,
    /// Nobody knows where it is.
    Unknown,
}

pub(crate) fn fence(ip: IpAddr, geography: Option<&dyn Geography>, countries: &[String]) -> Fence {
    match geography.and_then(|g| g.country(ip)) {
        None => Fence::Unknown,
        Some(country) if countries.contains(&country) => Fence::LetsThrough,
        Some(_) => Fence::Refuses,
    }
}
