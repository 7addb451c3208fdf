use std::ops::RangeInclusive;

/// What can tell one network from another on the way to a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Label {
    /// VLAN of an 802.1Q or 802.1ad tag, or of an ERSPAN header.
    Vlan,
    /// Network identifier of VXLAN or GENEVE.
    Vni,
    /// Key of GRE.
    GreKey,
    /// Tunnel endpoint identifier of GTP-U.
    Teid,
    /// Service of an 802.1ah tag.
    Isid,
    /// Label of an MPLS stack.
    Mpls,
    /// Session of ERSPAN.
    ErspanSession,
}

const MOST: usize = 8;

/// The labels of one packet, outermost first; what is beyond eight of them is not kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels {
    list: [(Label, u32); MOST],
    len: usize,
}

impl Default for Labels {
    fn default() -> Self {
        Labels { list: [(Label::Vlan, 0); MOST], len: 0 }
    }
}

impl Labels {
    pub(super) fn push(&mut self, label: Label, value: u32) {
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = (label, value);
            self.len += 1;
        }
    }

    fn find(&self, label: Label, ranges: &[RangeInclusive<u32>]) -> Option<u32> {
        let labels = self.list.iter().take(self.len).filter(|(kind, _)| *kind == label);
        labels.map(|(_, value)| *value).find(|value| ranges.iter().any(|r| r.contains(value)))
    }
}

/// When a packet belongs to a zone: all that is named must be met.
#[derive(Clone, Debug, Default)]
pub struct ZoneRule {
    /// The zone; with `spread`, that of the lowest value.
    pub zone: u16,
    /// Names of interfaces, one of which it must have come by; none named: any.
    pub interfaces: Vec<String>,
    /// Labels with the values that will do; the packet may carry others besides.
    pub labels: Vec<(Label, Vec<RangeInclusive<u32>>)>,
    /// A label each value of which is a zone of its own, counted from `zone` on.
    pub spread: Option<Label>,
}

/// Which zone a packet belongs to: that of the first rule it meets, else zone 0.
#[derive(Clone, Debug, Default)]
pub struct ZoneRules(pub Vec<ZoneRule>);

impl ZoneRules {
    #[inline]
    pub(super) fn zone(&self, port: &str, labels: &Labels) -> u16 {
        self.0.iter().find_map(|rule| rule.zone(port, labels)).unwrap_or(0)
    }
}

impl ZoneRule {
    fn zone(&self, port: &str, labels: &Labels) -> Option<u16> {
        if !self.interfaces.is_empty() && !self.interfaces.iter().any(|name| name == port) {
            return None;
        }
        let mut zone = self.zone;
        for (label, ranges) in &self.labels {
            let value = labels.find(*label, ranges)?;
            if self.spread == Some(*label) {
                zone = zone.checked_add(u16::try_from(place(value, ranges)?).ok()?)?;
            }
        }
        Some(zone)
    }

    /// Zones that it may name.
    pub fn zones(&self) -> u64 {
        let spread = self.labels.iter().find(|(label, _)| self.spread == Some(*label));
        spread.map_or(1, |(_, ranges)| ranges.iter().map(width).sum())
    }
}

fn width(range: &RangeInclusive<u32>) -> u64 {
    (u64::from(*range.end()) + 1).saturating_sub(u64::from(*range.start()))
}

/// Where `value` stands in the ranges, one after the other.
fn place(value: u32, ranges: &[RangeInclusive<u32>]) -> Option<u64> {
    let mut before = 0;
    for range in ranges {
        if range.contains(&value) {
            return Some(before + u64::from(value - range.start()));
        }
        before += width(range);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(list: &[(Label, u32)]) -> Labels {
        let mut labels = Labels::default();
        list.iter().for_each(|(label, value)| labels.push(*label, *value));
        labels
    }

    #[test]
    fn the_first_rule_met_names_the_zone() {
        let rules = ZoneRules(vec![
            ZoneRule {
                zone: 1,
                interfaces: vec!["mirror1".into()],
                labels: vec![(Label::Vlan, vec![10..=19, 30..=30]), (Label::Vni, vec![7..=7])],
                ..ZoneRule::default()
            },
            ZoneRule {
                zone: 2,
                labels: vec![(Label::Vni, vec![100..=101, 200..=203])],
                spread: Some(Label::Vni),
                ..ZoneRule::default()
            },
        ]);
        let all = labels(&[(Label::Vlan, 5), (Label::Vlan, 30), (Label::Vni, 7)]);
        assert_eq!(rules.zone("mirror1", &all), 1);
        assert_eq!(rules.zone("mirror2", &all), 0);
        assert_eq!(rules.zone("mirror1", &labels(&[(Label::Vni, 7)])), 0);
        assert_eq!(rules.zone("", &labels(&[(Label::Vni, 101)])), 3);
        assert_eq!(rules.zone("", &labels(&[(Label::Vni, 203)])), 7);
        assert_eq!(rules.zone("", &labels(&[(Label::GreKey, 101)])), 0);
        assert_eq!((rules.0[0].zones(), rules.0[1].zones()), (1, 6));
    }

    #[test]
    fn labels_beyond_the_room_are_left_out() {
        let many: Vec<_> = (0..20).map(|n| (Label::Mpls, n)).collect();
        let labels = labels(&many);
        assert_eq!(labels.find(Label::Mpls, &[7..=30]), Some(7));
        assert_eq!(labels.find(Label::Mpls, &[8..=30]), None);
    }
}
