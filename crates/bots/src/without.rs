//! What a run leaves out, to see what each part of the judgement is worth.

use std::str::FromStr;

use crate::indicators::Pillar;

/// Parts of the judgement that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Indicators of these pillars, those that only say where something happens aside: a bit each.
    pillars: u8,
    /// Judging groups: parts of an endpoint's traffic, crowds, members for the company that they keep.
    pub campaigns: bool,
    /// Comparing with the others and with the past.
    pub contrast: bool,
    /// What addresses tell: networks, agents at one address, where a session comes from.
    pub addresses: bool,
    /// Tables of addresses, published ranges, parties and signatures.
    pub intelligence: bool,
    /// Learned anomaly.
    pub anomaly: bool,
    /// The rules of these classes: a bit each, in the order of their names.
    classes: u32,
}

/// Every class, by its id.
const CLASSES: [&str; 29] = [
    "account-takeover",
    "ai-crawler",
    "api-scraping",
    "app-dos",
    "ato-transfer-fraud",
    "bola",
    "carding",
    "cash-out",
    "content-scraping",
    "coupon-abuse",
    "credential-cracking",
    "credential-stuffing",
    "directory-bruteforce",
    "fake-account-creation",
    "fake-crawler",
    "giftcard-bruteforce",
    "hype-sale-bot",
    "id-enumeration",
    "inventory-hoarding",
    "inventory-scraping",
    "otp-abuse",
    "password-reset-enumeration",
    "price-scraping",
    "sim-swap-abuse",
    "skewing",
    "spam",
    "sqli",
    "token-cracking",
    "vuln-scan",
];

impl Without {
    /// The names of all parts.
    pub const NAMES: [&'static str; 9] = [
        "tools",
        "infrastructure",
        "behaviour",
        "credentials",
        "campaigns",
        "contrast",
        "addresses",
        "intelligence",
        "anomaly",
    ];

    /// True where nothing is left out.
    pub fn is_nothing(self) -> bool {
        self == Without::default()
    }

    /// True where a pillar's indicators are left out.
    pub(crate) fn lacks(self, pillar: Pillar) -> bool {
        self.pillars >> (pillar as u8) & 1 == 1
    }

    /// True where the rules of a class are left out.
    pub(crate) fn lacks_class(self, id: &str) -> bool {
        CLASSES.iter().position(|c| *c == id).is_some_and(|at| self.classes >> at & 1 == 1)
    }

    /// Leaves out another part.
    #[must_use]
    pub fn and(mut self, other: Without) -> Self {
        self.pillars |= other.pillars;
        self.campaigns |= other.campaigns;
        self.contrast |= other.contrast;
        self.addresses |= other.addresses;
        self.intelligence |= other.intelligence;
        self.anomaly |= other.anomaly;
        self.classes |= other.classes;
        self
    }
}

impl FromStr for Without {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let mut without = Without::default();
        if let Some(pillar) = Pillar::ALL.iter().find(|p| p.name() == name) {
            without.pillars = 1 << (*pillar as u8);
            return Ok(without);
        }
        if let Some(at) = CLASSES.iter().position(|id| *id == name) {
            without.classes = 1 << at;
            return Ok(without);
        }
        match name {
            "campaigns" => without.campaigns = true,
            "contrast" => without.contrast = true,
            "addresses" => without.addresses = true,
            "intelligence" => without.intelligence = true,
            "anomaly" => without.anomaly = true,
            _ => {
                return Err(format!(
                    "`{name}` is no part: {}, or the id of a class",
                    Without::NAMES.join(", ")
                ));
            }
        }
        Ok(without)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_name() {
        for name in Without::NAMES {
            assert!(!name.parse::<Without>().unwrap().is_nothing(), "{name}");
        }
        let both = "tools".parse::<Without>().unwrap().and("contrast".parse().unwrap());
        assert!(both.lacks(Pillar::Tools) && both.contrast && !both.lacks(Pillar::Behaviour));
        assert!("tool".parse::<Without>().is_err());
        let sqli = "sqli".parse::<Without>().unwrap().and("spam".parse().unwrap());
        assert!(sqli.lacks_class("sqli") && sqli.lacks_class("spam") && !sqli.lacks_class("skewing"));
    }

    #[test]
    fn every_class_of_the_pack_can_be_left_out() {
        let pack = crate::Pack::builtin().unwrap();
        for rule in pack.rules() {
            let without: Without = rule.id.parse().unwrap();
            assert!(pack.lacking(without).rules().iter().all(|r| r.id != rule.id), "{}", rule.id);
        }
    }
}
