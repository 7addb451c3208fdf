//! Which subjects some request of many may fit, in little room.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use ipnet::IpNet;
use sidetap_model::SubjectKind;
use sidetap_model::rows::Subject;

use crate::net::{canonical, parse_net};
use crate::seen::Seen;

/// Words of bits: 16 MiB, which of ten million addresses and tokens takes one in fifty for one that was seen.
const WORDS: usize = 1 << 21;

/// Addresses and tokens that requests had. Whatever it lets go no request fits; of the rest few do not.
#[derive(Clone, Debug)]
pub struct Sieve {
    bits: Vec<u64>,
}

impl Default for Sieve {
    fn default() -> Self {
        Sieve { bits: vec![0; WORDS] }
    }
}

impl Sieve {
    /// Takes a request in.
    pub fn add(&mut self, seen: &Seen) {
        self.set(own_address(seen.ip));
        let tokens = seen.sessions.iter().map(|s| (SubjectKind::Session, s));
        let tokens = tokens.chain(seen.account.iter().map(|a| (SubjectKind::Account, a)));
        let tokens = tokens.chain(seen.api_key.iter().map(|k| (SubjectKind::ApiKey, k)));
        for (kind, value) in tokens.chain(seen.prints.iter().map(|p| (SubjectKind::Fingerprint, p))) {
            self.set(hash(&(kind, &**value)));
        }
    }

    /// Whether some request may fit a subject.
    pub fn may_fit(&self, subject: &Subject) -> bool {
        subject.each_part().iter().all(|p| match p.kind {
            SubjectKind::Ip | SubjectKind::Cidr => match parse_net(&p.value) {
                Some(net) if net.prefix_len() == net.max_prefix_len() => self.has(own_address(net.addr())),
                _ => true,
            },
            SubjectKind::Session | SubjectKind::Account | SubjectKind::ApiKey | SubjectKind::Fingerprint => {
                self.has(hash(&(p.kind, p.value.as_str())))
            }
            _ => true,
        })
    }

    fn set(&mut self, hash: u64) {
        for (word, bit) in places(hash) {
            if let Some(word) = self.bits.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn has(&self, hash: u64) -> bool {
        places(hash).into_iter().all(|(word, bit)| self.bits.get(word).is_some_and(|w| w & bit != 0))
    }
}

fn own_address(ip: IpAddr) -> u64 {
    hash(&canonical(IpNet::from(ip)).addr())
}

fn hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn places(hash: u64) -> [(usize, u64); 2] {
    let place = |n: u64| ((n >> 6) as usize % WORDS, 1 << (n & 63));
    [place(hash), place(hash.rotate_left(32))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::tests::seen;

    #[test]
    fn what_no_request_fits_is_let_go() {
        let mut sieve = Sieve::default();
        sieve.add(&seen("::ffff:192.0.2.7", "shop.example", "GET", "/", &["s2-1"]));
        let may =
            |kind, value: &str| sieve.may_fit(&Subject { kind, value: value.into(), parts: Vec::new() });
        assert!(may(SubjectKind::Ip, "192.0.2.7") && may(SubjectKind::Cidr, "198.51.100.0/24"));
        assert!(may(SubjectKind::Fingerprint, "s2-1") && may(SubjectKind::Path, "/other"));
        assert!(!may(SubjectKind::Ip, "192.0.2.8") && !may(SubjectKind::Session, "s2-1"));
        let part = |kind, value: &str| sidetap_model::rows::SubjectPart { kind, value: value.into() };
        let both = [part(SubjectKind::Ip, "192.0.2.7"), part(SubjectKind::Fingerprint, "s2-2")];
        assert!(!sieve.may_fit(&Subject::of_parts(both.to_vec())), "each part has to be there");
    }
}
