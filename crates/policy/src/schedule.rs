//! When a rule is in force: in packet time, by a time zone's own clock.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use sidetap_model::{Ts, nearest};

/// The windows of a rule: days or dates, and hours of them. A window that ends before it begins goes on past midnight.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    zone: TimeZone,
    days: Vec<Weekday>,
    dates: Vec<(Date, Date)>,
    from: Time,
    to: Time,
}

/// A schedule as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSchedule {
    zone: Option<String>,
    days: Vec<String>,
    dates: Vec<String>,
    from: Option<String>,
    to: Option<String>,
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Schedule {
    /// Reads a schedule; all that is wrong comes back with the key that it stands under, and a hint.
    pub(crate) fn read(raw: &RawSchedule) -> Result<Self, Vec<WrongKey>> {
        let mut wrong = Vec::new();
        let zone = zone(raw.zone.as_deref().unwrap_or("UTC"));
        let zone = zone.map_err(|(m, h)| wrong.push(("zone", m, h))).ok();
        let mut days = Vec::new();
        for text in &raw.days {
            _ = day(text).map(|d| days.push(d)).map_err(|(m, h)| wrong.push(("days", m, h)));
        }
        let mut spans = Vec::new();
        for text in &raw.dates {
            let hint = Some("2026-11-27 or 2026-11-27..2026-11-30".to_owned());
            _ = dates(text).map(|d| spans.push(d)).map_err(|m| wrong.push(("dates", m, hint)));
        }
        let mut time = |key, text: &Option<String>| {
            let time = hour(text.as_deref(), Time::midnight());
            time.map_err(|m| wrong.push((key, m, clock()))).ok()
        };
        let (from, to) = (time("from", &raw.from), time("to", &raw.to));
        match (zone, from, to) {
            (Some(zone), Some(from), Some(to)) if wrong.is_empty() => {
                Ok(Schedule { zone, days, dates: spans, from, to })
            }
            _ => Err(wrong),
        }
    }

    /// The hour at which it both begins and ends, where that is not midnight.
    pub(crate) fn is_whole_day(&self) -> Option<Time> {
        (self.from == self.to && self.from != Time::midnight()).then_some(self.from)
    }

    /// Whether its last date is over: it never holds again.
    pub(crate) fn is_over(&self, now: Ts) -> bool {
        let Ok(stamp) = Timestamp::from_second(now.secs()) else { return false };
        let today = stamp.to_zoned(self.zone.clone()).date();
        let over = |last: &Date| last.checked_add(1.day()).is_ok_and(|after| after < today);
        !self.dates.is_empty() && self.dates.iter().all(|(_, last)| over(last))
    }

    /// The end of the window that this time falls in; none where it falls in none.
    pub(crate) fn until(&self, now: Ts) -> Option<Ts> {
        let stamp = Timestamp::from_second(now.secs()).ok()?;
        let local = stamp.to_zoned(self.zone.clone()).datetime();
        let yesterday = local.date().yesterday().ok();
        [Some(local.date()), yesterday].into_iter().flatten().filter(|d| self.names(*d)).find_map(|date| {
            let start = date.to_datetime(self.from);
            let last = if self.to <= self.from { date.checked_add(1.day()).ok()? } else { date };
            let end = last.to_datetime(self.to);
            let inside = start <= local && local < end;
            let end = self.zone.to_ambiguous_zoned(end).compatible().ok()?;
            inside.then(|| Ts::from_parts(end.timestamp().as_second(), 0))
        })
    }

    fn names(&self, date: Date) -> bool {
        let day = self.days.is_empty() || self.days.contains(&date.weekday());
        day && (self.dates.is_empty() || self.dates.iter().any(|(a, b)| *a <= date && date <= *b))
    }
}

type Wrong = (String, Option<String>);
/// The key under which something wrong stands, what it is, and a hint.
pub(crate) type WrongKey = (&'static str, String, Option<String>);

/// A name of the time zone database, or an offset like `+02:00`.
fn zone(text: &str) -> Result<TimeZone, Wrong> {
    if let Some(zone) = offset(text) {
        return Ok(zone);
    }
    TimeZone::get(text).map_err(|_| {
        let names: Vec<String> = jiff::tz::db().available().map(|n| n.to_string()).collect();
        let hint = match nearest(text, names.iter().map(String::as_str)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "a name like Europe/Berlin, or an offset like +02:00".to_owned(),
        };
        (format!("there is no time zone `{text}`"), Some(hint))
    })
}

fn offset(text: &str) -> Option<TimeZone> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let valid = (0..=14).contains(&hours) && (0..60).contains(&minutes);
    let seconds = sign * (hours * 3600 + minutes * 60);
    Offset::from_seconds(seconds).ok().filter(|_| valid).map(TimeZone::fixed)
}

fn day(text: &str) -> Result<Weekday, Wrong> {
    let known = DAYS.iter().find(|(name, _)| *name == text.to_lowercase());
    known.map(|(_, day)| *day).ok_or_else(|| {
        (format!("`{text}` is no day"), Some("one of mon, tue, wed, thu, fri, sat, sun".to_owned()))
    })
}

fn dates(text: &str) -> Result<(Date, Date), String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let date = |t: &str| t.trim().parse::<Date>().map_err(|_| format!("`{t}` is no date"));
    let (from, to) = (date(from)?, date(to)?);
    if from > to { Err(format!("`{text}` ends before it begins")) } else { Ok((from, to)) }
}

fn hour(text: Option<&str>, default: Time) -> Result<Time, String> {
    let Some(text) = text else { return Ok(default) };
    if text == "24:00" {
        return Ok(Time::midnight());
    }
    let wrong = || format!("`{text}` is no time of day");
    let (h, m) = text.split_once(':').ok_or_else(wrong)?;
    let (h, m) = (h.parse().map_err(|_| wrong())?, m.parse().map_err(|_| wrong())?);
    Time::new(h, m, 0, 0).map_err(|_| wrong())
}

fn clock() -> Option<String> {
    Some("write 18:00, in quotes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(zone: &str, days: &[&str], dates: &[&str], from: &str, to: &str) -> Schedule {
        let words = |w: &[&str]| w.iter().map(|s| (*s).to_owned()).collect();
        Schedule::read(&RawSchedule {
            zone: Some(zone.into()),
            days: words(days),
            dates: words(dates),
            from: Some(from.into()),
            to: Some(to.into()),
        })
        .unwrap()
    }

    fn at(text: &str) -> Ts {
        Ts::from_parts(text.parse::<Timestamp>().unwrap().as_second(), 0)
    }

    #[test]
    fn a_sale_has_its_hour_by_the_zones_own_clock() {
        let sale = schedule("Europe/Berlin", &["fri"], &[], "18:00", "20:00");
        assert_eq!(sale.until(at("2026-11-27T17:30:00Z")), Some(at("2026-11-27T19:00:00Z")));
        assert_eq!(sale.until(at("2026-11-27T16:59:59Z")), None, "an hour before in winter");
        assert_eq!(sale.until(at("2026-07-24T16:30:00Z")), Some(at("2026-07-24T18:00:00Z")), "in summer");
        assert_eq!(sale.until(at("2026-11-28T17:30:00Z")), None, "a Saturday");
        assert_eq!(sale.until(at("2026-11-27T19:00:00Z")), None, "the end is not inside");
    }

    #[test]
    fn a_window_goes_on_past_midnight_and_offsets_are_zones() {
        let night = schedule("+02:00", &[], &["2026-11-27..2026-11-28"], "22:00", "02:00");
        assert_eq!(night.until(at("2026-11-28T23:30:00Z")), Some(at("2026-11-29T00:00:00Z")));
        assert_eq!(night.until(at("2026-11-29T21:00:00Z")), None);
        let all_day = schedule("UTC", &[], &["2026-11-27"], "00:00", "24:00");
        assert_eq!(all_day.until(at("2026-11-27T12:00:00Z")), Some(at("2026-11-28T00:00:00Z")));
    }

    #[test]
    fn what_is_wrong_is_told_with_a_hint() {
        let read = |raw: RawSchedule| Schedule::read(&raw).unwrap_err().remove(0);
        let (key, message, hint) =
            read(RawSchedule { zone: Some("Europe/Berln".into()), ..RawSchedule::default() });
        assert_eq!((key, message.as_str()), ("zone", "there is no time zone `Europe/Berln`"));
        assert_eq!(hint.as_deref(), Some("did you mean `Europe/Berlin`?"));
        assert_eq!(read(RawSchedule { days: vec!["today".into()], ..RawSchedule::default() }).0, "days");
        assert_eq!(read(RawSchedule { from: Some("25:00".into()), ..RawSchedule::default() }).0, "from");
        assert_eq!(read(RawSchedule { dates: vec!["27.11.".into()], ..RawSchedule::default() }).0, "dates");
        let all = RawSchedule {
            zone: Some("Mars/Olympus".into()),
            days: vec!["today".into()],
            from: Some("25:00".into()),
            ..RawSchedule::default()
        };
        let keys: Vec<&str> = Schedule::read(&all).unwrap_err().into_iter().map(|(key, ..)| key).collect();
        assert_eq!(keys, ["zone", "days", "from"], "all of it at once");
        let sale = schedule("UTC", &[], &["2026-11-27"], "00:00", "24:00");
        assert!(sale.is_over(at("2026-11-30T00:00:00Z")) && !sale.is_over(at("2026-11-28T12:00:00Z")));
    }
}
