//! How a rule wants a response done, and what of that a device can be told.

use serde::{Deserialize, Serialize};
use sidetap_model::{Decoy, Measures, Rate, Tag};
use sidetap_policy::Response;

use crate::config::ConfigError;

/// Longest word that a line of a device has for it.
const MOST_WORD: usize = 64;

/// How an entry's response is done, where the rule says so and the device can be told; else as the device is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Of `rate-limit`: to which rate.
    Rate(Rate),
    /// Of `tarpit`: by how many milliseconds a request is late.
    DelayMs(u32),
    /// Of `deceive`: with what.
    Decoy(Decoy),
    /// Of `tag`: the value, in the header that the device is configured with.
    Value(String),
    /// Of `tag`: header and value.
    Tag(Tag),
}

impl Way {
    /// What a rule says of how this response is done.
    fn of(response: Response, measures: &Measures) -> Option<Way> {
        match response {
            Response::RateLimit => measures.rate.map(Way::Rate),
            Response::Tarpit => measures.delay_ms.map(Way::DelayMs),
            Response::Deceive => measures.decoy.clone().map(Way::Decoy),
            Response::Tag => measures.tag.clone().map(Way::Tag),
            _ => None,
        }
    }

    /// One word for the lines of devices: no spaces, `:`, `=`, `;` or quotes. None of what has none.
    pub(crate) fn word(&self) -> Option<String> {
        match self {
            Way::Rate(rate) => Some(format!("{}/{}", rate.requests, rate.per_s)),
            Way::DelayMs(ms) => Some(ms.to_string()),
            Way::Decoy(Decoy::Backend(name)) => is_word(name).then(|| name.clone()),
            Way::Value(value) => is_word(value).then(|| value.clone()),
            Way::Decoy(Decoy::Answer { .. }) | Way::Tag(_) => None,
        }
    }

    /// Reads what [`Way::word`] wrote.
    pub(crate) fn read(response: Response, word: &str) -> Option<Way> {
        match response {
            Response::RateLimit => {
                let (requests, per_s) = word.split_once('/')?;
                let rate = Rate { requests: requests.parse().ok()?, per_s: per_s.parse().ok()? };
                (rate.requests > 0 && rate.per_s > 0).then_some(Way::Rate(rate))
            }
            Response::Tarpit => word.parse().ok().map(Way::DelayMs),
            Response::Deceive => is_word(word).then(|| Way::Decoy(Decoy::Backend(word.to_owned()))),
            Response::Tag => is_word(word).then(|| Way::Value(word.to_owned())),
            _ => None,
        }
    }

    /// Of two ways of one response the one that is harder on who is acted against has more: few requests, a long delay.
    pub(crate) fn hardness(way: Option<&Way>) -> u64 {
        match way {
            None => 0,
            Some(Way::Rate(rate)) => {
                1 + u64::from(rate.per_s).saturating_mul(1 << 32) / u64::from(rate.requests.max(1))
            }
            Some(Way::DelayMs(ms)) => 1 + u64::from(*ms),
            Some(_) => 1,
        }
    }
}

fn is_word(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    !text.is_empty() && text.len() <= MOST_WORD && text.bytes().all(fits)
}

/// A response as the lines of devices spell it, with its way: `rate-limit=5/60`.
pub(crate) fn spelled(response: Response, way: Option<&Way>) -> String {
    match way.and_then(Way::word) {
        Some(word) => format!("{response}={word}"),
        None => response.to_string(),
    }
}

/// Reads what [`spelled`] wrote.
pub(crate) fn read_spelled(text: &str) -> Option<(Response, Option<Way>)> {
    let (name, word) = text.split_once('=').map_or((text, None), |(name, word)| (name, Some(word)));
    let response = name.parse().ok()?;
    match word {
        None => Some((response, None)),
        Some(word) => Way::read(response, word).map(|way| (response, Some(way))),
    }
}

/// What of the ways that rules say a device can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ways {
    /// All of it.
    pub all: bool,
    /// Any rate.
    pub any_rate: bool,
    /// Whether each of its threads counts for itself.
    #[serde(skip)]
    pub per_thread: bool,
    /// These rates only, each of which its configuration has.
    pub rates: Vec<Rate>,
    /// Any delay.
    pub delays: bool,
    /// Decoys that its configuration has, by name.
    pub decoys: Vec<String>,
    /// Any answer as a decoy.
    pub answers: bool,
    /// The header whose value it can be told, in lower case.
    pub tag_header: Option<String>,
}

impl Ways {
    /// What a device is told of how a rule wants this response done, and what it does in its own way all the same.
    pub(crate) fn told(&self, response: Response, measures: &Measures) -> (Option<Way>, Option<String>) {
        let Some(way) = Way::of(response, measures) else { return (None, None) };
        if self.all {
            return (Some(way), None);
        }
        match way {
            Way::Rate(rate) if self.any_rate || self.rates.contains(&rate) => {
                let said = || {
                    format!(
                        "to {} in {} s in each of its threads, so that N of them (`--concurrency N`) let N times as much through",
                        rate.requests, rate.per_s
                    )
                };
                (Some(way), self.per_thread.then(said))
            }
            Way::DelayMs(_) if self.delays => (Some(way), None),
            Way::Decoy(Decoy::Answer { .. }) if self.answers => (Some(way), None),
            Way::Decoy(Decoy::Backend(ref name)) if self.decoys.contains(name) && is_word(name) => {
                (Some(way), None)
            }
            Way::Tag(ref tag) if self.tag_header.is_some() && is_word(&tag.value) => {
                let header = self.tag_header.as_deref().unwrap_or_default();
                let other = !tag.name.eq_ignore_ascii_case(header);
                let said =
                    format!("in the header {header} that it is configured with, not the rule's {}", tag.name);
                (Some(Way::Value(tag.value.clone())), other.then_some(said))
            }
            _ => (None, Some(self.otherwise(&way))),
        }
    }

    fn otherwise(&self, way: &Way) -> String {
        match way {
            Way::Rate(rate) => {
                let ones = if self.rates.is_empty() { "the rate" } else { "a rate" };
                format!(
                    "to {ones} that it is configured with, not the rule's {} in {} s",
                    rate.requests, rate.per_s
                )
            }
            Way::DelayMs(ms) => format!("by the delay that it is configured with, not the rule's {ms} ms"),
            Way::Decoy(Decoy::Backend(name)) => {
                format!(
                    "with the decoy that it is configured with, since it has none of the rule's name {name}"
                )
            }
            Way::Decoy(Decoy::Answer { .. }) => {
                "with the decoy that it is configured with, not the rule's answer".to_owned()
            }
            Way::Tag(tag) if self.tag_header.is_some() => {
                format!(
                    "with the value that it is configured with: the rule's `{}` is no word of letters, digits, `-`, `_`, `.` and `/`",
                    tag.value
                )
            }
            Way::Tag(Tag { name, .. }) | Way::Value(name) => {
                format!("in the header and with the value that it is configured with, not the rule's {name}")
            }
        }
    }
}

impl Ways {
    /// What the configuration of a device says that it has: rates (`5/60`, requests and seconds), decoys by name, a header for tags.
    pub(crate) fn configured(
        name: &str,
        rates: &[String],
        decoys: &[String],
        tag_header: Option<&String>,
    ) -> Result<Ways, ConfigError> {
        let rate = |text: &String| match Way::read(Response::RateLimit, text)? {
            Way::Rate(rate) => Some(rate),
            _ => None,
        };
        let is_header = |h: &String| {
            !h.is_empty() && h.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let refuse = |why: String| Err(ConfigError::Value(format!("{name}: {why}")));
        if let Some(wrong) = rates.iter().find(|text| rate(text).is_none()) {
            return refuse(format!("rates: `{wrong}` is not requests and seconds, as `5/60` is"));
        }
        if let Some(wrong) = decoys.iter().find(|d| !is_word(d)) {
            return refuse(format!("decoys: `{wrong}` is no name of letters, digits, `-`, `_`, `.` and `/`"));
        }
        if let Some(wrong) = tag_header.filter(|h| !is_header(h)) {
            return refuse(format!("tag_header: `{wrong}` is no name of a header in lower case"));
        }
        Ok(Ways {
            rates: rates.iter().filter_map(rate).collect(),
            decoys: decoys.to_vec(),
            tag_header: tag_header.cloned(),
            ..Ways::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_in_a_configuration_is_named() {
        let refused = |rates: &[&str], decoys: &[&str], header: Option<&str>| {
            let own = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
            let header = header.map(str::to_owned);
            Ways::configured("edge", &own(rates), &own(decoys), header.as_ref()).unwrap_err().to_string()
        };
        assert!(refused(&["5/60", "5 a minute"], &[], None).contains("edge: rates: `5 a minute`"));
        assert!(refused(&[], &["a b"], None).contains("decoys: `a b`"));
        assert!(refused(&[], &[], Some("X-Tag")).contains("tag_header: `X-Tag`"));
    }

    #[test]
    fn a_rate_that_each_thread_counts_is_said() {
        let ways = Ways { any_rate: true, per_thread: true, ..Ways::default() };
        let measures = Measures { rate: Some(Rate { requests: 5, per_s: 60 }), ..Measures::default() };
        let (way, said) = ways.told(Response::RateLimit, &measures);
        assert!(way.is_some() && said.unwrap().contains("5 in 60 s in each of its threads"));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for text in ["rate-limit=5/60", "tarpit=3000", "deceive=shop_decoy", "tag=bot/1", "block", "tag"] {
            let (response, way) = read_spelled(text).unwrap();
            assert_eq!(spelled(response, way.as_ref()), text);
        }
        for text in ["rate-limit=5", "rate-limit=0/60", "rate-limit=5/0", "tag=", "tag=a b", "block=1", "x=1"]
        {
            assert_eq!(read_spelled(text), None, "{text}");
        }
    }

    #[test]
    fn a_device_is_told_what_it_can_do_and_the_rest_is_said() {
        let rate = Rate { requests: 5, per_s: 60 };
        let tag = Tag { name: "X-Bot".into(), value: "yes".into() };
        let measures = Measures {
            rate: Some(rate),
            delay_ms: Some(3000),
            decoy: Some(Decoy::Backend("shop".into())),
            tag: Some(tag.clone()),
            ..Measures::default()
        };
        let none = Ways::default();
        for response in [Response::RateLimit, Response::Tarpit, Response::Deceive, Response::Tag] {
            let (way, said) = none.told(response, &measures);
            assert!(way.is_none() && said.unwrap().contains("configured with"), "{response}");
            let all = Ways { all: true, ..Ways::default() }.told(response, &measures);
            assert!(all.0.is_some() && all.1.is_none(), "{response}");
            assert_eq!(none.told(response, &Measures::default()), (None, None), "the rule says nothing");
        }
        assert_eq!(none.told(Response::Block, &measures), (None, None));
        let some = Ways { rates: vec![rate], tag_header: Some("x-sidetap-tag".into()), ..Ways::default() };
        assert_eq!(some.told(Response::RateLimit, &measures), (Some(Way::Rate(rate)), None));
        let other = Measures { rate: Some(Rate { requests: 6, per_s: 60 }), ..measures.clone() };
        assert!(some.told(Response::RateLimit, &other).1.unwrap().contains("6 in 60 s"));
        let (way, said) = some.told(Response::Tag, &measures);
        assert_eq!(way, Some(Way::Value("yes".into())));
        assert!(said.unwrap().contains("not the rule's X-Bot"));
        let odd = Measures { tag: Some(Tag { value: "two words".into(), ..tag }), ..measures };
        assert!(some.told(Response::Tag, &odd).1.unwrap().contains("no word"));
    }

    #[test]
    fn the_harder_way_counts_more() {
        let rate = |requests, per_s| Some(Way::Rate(Rate { requests, per_s }));
        let hard = |way: Option<Way>| Way::hardness(way.as_ref());
        assert!(hard(rate(5, 60)) > hard(rate(60, 60)) && hard(rate(1, 1)) > hard(rate(2, 1)));
        assert!(
            hard(rate(u32::MAX, 1)) > hard(None)
                && hard(Some(Way::DelayMs(2000))) > hard(Some(Way::DelayMs(10)))
        );
    }
}
