//! `window:` of a rollout: on which days and between which times of a place's clock changes may happen.
//!
//! The clock on the wall decides. What the clock skips in spring is no time, so a window inside the skipped hour stays shut
//! that day; what it shows twice in autumn is open twice. A window over midnight belongs to the day on which it opens.

use std::{fmt, str::FromStr};

use jiff::{
    SignedDuration, Timestamp, ToSpan as _,
    civil::{Date, Time, Weekday},
    tz::{TimeZone, TimeZoneDatabase},
};

/// Days ahead in which a window that is shut now must open or one that is open must shut. A week, one more because the
/// clocks may skip the only opening, and two for the edges.
const DAYS_AHEAD: i32 = 16;

/// A parsed window, for example `Mon-Fri 22:00-04:00 Europe/Paris`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    text: String,
    /// Monday first.
    days: [bool; 7],
    from: Time,
    to: Time,
    zone: TimeZone,
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

/// How to write one.
const HOW: &str =
    "write it like `22:00-04:00`, `Sat,Sun 02:00-05:30 UTC` or `Mon-Fri 22:00-04:00 Europe/Paris`";

impl FromStr for Window {
    type Err = String;

    /// `[days] HH:MM-HH:MM [zone]`; without days on every day, without a zone in UTC.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace().peekable();
        let has_days = words.peek().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
        let days = if has_days { days(words.next().unwrap_or_default())? } else { [true; 7] };
        let span = words.next().ok_or_else(|| format!("the window {text:?} has no times; {HOW}"))?;
        let (from, to) = span.split_once('-').ok_or_else(|| format!("{span:?} is no span of time; {HOW}"))?;
        let (from, to) = (time(from)?, time(to)?);
        let zone = match words.next() {
            Some(name) => zone(name)?,
            None => TimeZone::UTC,
        };
        match words.next() {
            Some(more) => Err(format!("{more:?} is too much; {HOW}")),
            None => Ok(Self { text: text.trim().to_owned(), days, from, to, zone }),
        }
    }
}

fn days(word: &str) -> Result<[bool; 7], String> {
    let mut set = [false; 7];
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let mut at = first;
        loop {
            if let Some(one) = set.get_mut(at) {
                *one = true;
            }
            if at == last {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    Ok(set)
}

fn day(word: &str) -> Result<usize, String> {
    let small = word.to_ascii_lowercase();
    let found = DAYS.iter().position(|(short, _)| *short == small);
    found.ok_or_else(|| format!("{word:?} is no day; days are Mon, Tue, Wed, Thu, Fri, Sat and Sun"))
}

fn time(word: &str) -> Result<Time, String> {
    let bad = || format!("{word:?} is no time of day; {HOW}");
    let (hour, minute) = word.split_once(':').ok_or_else(bad)?;
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i8>().ok()).flatten()
    };
    let (hour, minute) = number(hour).zip(number(minute)).ok_or_else(bad)?;
    // The end of the day is also the start of the next.
    let hour = if (hour, minute) == (24, 0) { 0 } else { hour };
    Time::new(hour, minute, 0, 0).map_err(|_| bad())
}

fn zone(name: &str) -> Result<TimeZone, String> {
    // The one inside the program: what a document means must not depend on the machine that reads it.
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        format!("{name:?} is no time zone; use a name of the IANA list such as Europe/Paris or UTC")
    })
}

impl Window {
    /// May changes happen now?
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        let local = self.zone.to_datetime(now);
        let (date, time) = (local.date(), local.time());
        let on = |date: Option<Date>| date.is_some_and(|date| self.is_on(date));
        if self.from < self.to {
            on(Some(date)) && self.from <= time && time < self.to
        } else {
            (on(Some(date)) && self.from <= time) || (on(date.yesterday().ok()) && time < self.to)
        }
    }

    /// The first moment after `now` at which it opens or shuts. `None` at the end of the calendar, or for a window that is
    /// always open.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let open = self.is_open(now);
        let today = self.zone.to_datetime(now).date();
        let mut moments = Vec::new();
        for ahead in -1..=DAYS_AHEAD {
            let Ok(date) = today.checked_add(ahead.days()) else { continue };
            for time in [self.from, self.to, Time::midnight()] {
                let ambiguous = self.zone.to_ambiguous_zoned(date.to_datetime(time));
                moments.extend(ambiguous.clone().earlier().map(|zoned| zoned.timestamp()));
                moments.extend(ambiguous.later().map(|zoned| zoned.timestamp()));
            }
        }
        let until = now.checked_add(SignedDuration::from_hours(24 * i64::from(DAYS_AHEAD))).ok()?;
        let jumps = self.zone.following(now).map(|jump| jump.timestamp());
        moments.extend(jumps.take_while(|at| *at <= until));
        moments.into_iter().filter(|at| *at > now && self.is_open(*at) != open).min()
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn is_on(&self, date: Date) -> bool {
        let place = DAYS.iter().position(|(_, day)| *day == date.weekday());
        place.and_then(|place| self.days.get(place)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn windows_open_and_shut_by_the_clock_on_the_wall() {
        // window, moment, open?, next change
        let table = [
            ("22:00-04:00", "2026-11-21T12:00:00Z", false, "2026-11-21T22:00:00Z"),
            ("22:00-04:00", "2026-11-21T23:00:00Z", true, "2026-11-22T04:00:00Z"),
            ("22:00-04:00", "2026-11-22T04:00:00Z", false, "2026-11-22T22:00:00Z"),
            // Friday night lasts into Saturday, Saturday night does not exist. 2026-11-20 is a Friday.
            ("Mon-Fri 22:00-04:00 Europe/Paris", "2026-11-20T22:00:00Z", true, "2026-11-21T03:00:00Z"),
            ("Mon-Fri 22:00-04:00 Europe/Paris", "2026-11-21T02:59:59Z", true, "2026-11-21T03:00:00Z"),
            ("Mon-Fri 22:00-04:00 Europe/Paris", "2026-11-21T22:00:00Z", false, "2026-11-23T21:00:00Z"),
            ("Fri-Mon 10:00-11:00", "2026-11-24T10:30:00Z", false, "2026-11-27T10:00:00Z"),
            ("Sat,Sun 00:00-24:00", "2026-11-21T00:00:00Z", true, "2026-11-23T00:00:00Z"),
            // 2026-03-29: Paris skips 02:00 to 03:00. The window inside the gap stays shut that day …
            ("02:10-02:50 Europe/Paris", "2026-03-29T00:00:00Z", false, "2026-03-30T00:10:00Z"),
            // … one that reaches over it opens when the clock lands inside it, an hour short.
            ("02:30-03:30 Europe/Paris", "2026-03-29T00:45:00Z", false, "2026-03-29T01:00:00Z"),
            ("02:30-03:30 Europe/Paris", "2026-03-29T01:00:00Z", true, "2026-03-29T01:30:00Z"),
            // 2026-10-25: Paris has 02:00 to 03:00 twice.
            ("02:00-03:00 Europe/Paris", "2026-10-25T00:30:00Z", true, "2026-10-25T02:00:00Z"),
            ("01:30-02:30 Europe/Paris", "2026-10-25T00:30:00Z", false, "2026-10-25T01:00:00Z"),
            ("01:30-02:30 Europe/Paris", "2026-10-25T01:00:00Z", true, "2026-10-25T01:30:00Z"),
            // Half an hour is not strange everywhere; one place moves its clocks by half an hour.
            ("02:00-02:30 Australia/Lord_Howe", "2026-10-03T15:00:00Z", false, "2026-10-04T15:00:00Z"),
        ];
        for (window, now, open, next) in table {
            let window: Window = window.parse().unwrap();
            assert_eq!(window.is_open(at(now)), open, "{window} at {now}");
            assert_eq!(window.next_change(at(now)), Some(at(next)), "{window} after {now}");
        }
        let always: Window = "00:00-24:00".parse().unwrap();
        assert!(always.is_open(at("2026-11-21T12:00:00Z")));
        assert_eq!(always.next_change(at("2026-11-21T12:00:00Z")), None);
    }

    #[test]
    fn the_next_change_is_what_looking_each_minute_finds() {
        for text in [
            "Mon-Fri 22:00-04:00 Europe/Paris",
            "Sun 02:15-02:45 Europe/Paris",
            "Sat 23:30-03:10 America/New_York",
        ] {
            let window: Window = text.parse().unwrap();
            for start in [
                "2026-03-05T00:00:00Z",
                "2026-03-26T00:00:00Z",
                "2026-10-23T00:00:00Z",
                "2026-10-30T00:00:00Z",
            ] {
                let start = at(start);
                let minute = |n: i64| start + SignedDuration::from_mins(n);
                let seen = (1..).map(minute).find(|now| window.is_open(*now) != window.is_open(start));
                assert_eq!(window.next_change(start), seen, "{text} from {start}");
            }
        }
    }

    #[test]
    fn what_is_no_window_says_why() {
        for (text, part) in [
            ("", "no times"),
            ("Mon-Fri", "no times"),
            ("22:00", "no span"),
            ("22-23", "no time of day"),
            ("22:61-23:00", "no time of day"),
            ("25:00-26:00", "no time of day"),
            ("Mo 22:00-23:00", "no day"),
            ("Mon-Fry 22:00-23:00", "no day"),
            ("22:00-23:00 Europe/Lyon", "no time zone"),
            ("22:00-23:00 Europe/Paris daily", "too much"),
            ("Mon, Tue 22:00-23:00", "no day"),
        ] {
            let error = text.parse::<Window>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
