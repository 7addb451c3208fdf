//! Sensitive data as risks look at it.

use sidetap_model::rows::SensitiveRow;

/// Sensitive data at a place, as risks look at it.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// `request` or `response`.
    pub direction: &'a str,
    /// Where it stands there.
    pub location: &'a str,
    /// The id of its type.
    pub kind: &'a str,
    /// Laws and standards that name the type.
    pub class: &'a [String],
    /// 0 to 1.
    pub confidence: f64,
}

impl<'a> Data<'a> {
    pub(crate) fn of(r: &'a SensitiveRow) -> Self {
        let SensitiveRow { direction, location, kind, class, confidence, .. } = r;
        Data { direction, location, kind, class, confidence: *confidence }
    }

    /// True where the type is likely the right one.
    pub(crate) fn is_sure(&self) -> bool {
        self.confidence >= 0.6
    }

    /// True of data whose loss hurts: not every name or address in an answer is a leak.
    pub(crate) fn is_weighty(&self) -> bool {
        let light =
            ["ip-v4", "ip-v6", "mac", "email", "phone", "person-name", "postal-code"].contains(&self.kind);
        let of_place = self.kind == "postal-address" && is_of_place(self.location);
        !light && !of_place && !self.class.is_empty()
    }

    /// True where that is sure as well.
    pub(crate) fn hurts(&self) -> bool {
        self.is_weighty() && self.is_sure()
    }

    pub(crate) fn is_secret(&self) -> bool {
        self.class.iter().any(|c| c == "SECRET")
    }

    pub(crate) fn is_in_url(&self) -> bool {
        self.location.starts_with("query:") || self.location.starts_with("path:")
    }
}

/// True where a field tells of a place that people go to, whose address is public: a venue, a shop, a branch.
pub(crate) fn is_of_place(location: &str) -> bool {
    const PLACES: [&str; 19] = [
        "venue",
        "store",
        "shop",
        "branch",
        "location",
        "company",
        "dealer",
        "restaurant",
        "hotel",
        "office",
        "warehouse",
        "station",
        "pickup",
        "clinic",
        "school",
        "theater",
        "theatre",
        "cinema",
        "seller",
    ];
    let lower = location.to_ascii_lowercase();
    let mut names = lower.split(|c: char| !c.is_ascii_alphabetic() && c != '_');
    names.any(|n| PLACES.contains(&n.strip_suffix('s').unwrap_or(n)))
}
