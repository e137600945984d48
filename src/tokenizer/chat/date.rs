//! The date, for templates that tell it to the model.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A moment of UTC; written as its day, `2026-11-22`, which reads as the beginning of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    year: u64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day: u64,
    /// 0 is Sunday.
    weekday: u64,
    second_of_day: u64,
}

impl Date {
    /// The moment at which this process asked first: prompts of one run do not depend on the clock.
    pub fn of_this_run() -> Date {
        static MOMENT: OnceLock<Date> = OnceLock::new();
        *MOMENT.get_or_init(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Date::of_unix_time(since_epoch.as_secs())
        })
    }

    fn of_unix_time(seconds: u64) -> Date {
        let days = seconds / SECONDS_PER_DAY;
        let mut date = Date {
            year: 1970,
            month: 1,
            day: 1 + days,
            weekday: (4 + days) % 7,
            second_of_day: seconds % SECONDS_PER_DAY,
        };
        while date.day > date.days_in_year() {
            date.day -= date.days_in_year();
            date.year += 1;
        }
        while date.day > date.days_in_month() {
            date.day -= date.days_in_month();
            date.month += 1;
        }
        date
    }

    fn is_leap_year(&self) -> bool {
        self.year.is_multiple_of(4)
            && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400))
    }

    fn days_in_year(&self) -> u64 {
        365 + u64::from(self.is_leap_year())
    }

    fn days_in_month(&self) -> u64 {
        match self.month {
            2 => 28 + u64::from(self.is_leap_year()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The date as C's `strftime` writes it; the error is a directive that is not known here.
    pub(super) fn format(&self, format: &str) -> Result<String, char> {
        let month = MONTHS[self.month as usize - 1];
        let weekday = WEEKDAYS[self.weekday as usize];
        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match chars.next().unwrap_or('%') {
                'Y' => text.push_str(&self.year.to_string()),
                'y' => text.push_str(&format!("{:02}", self.year % 100)),
                'm' => text.push_str(&format!("{:02}", self.month)),
                'd' => text.push_str(&format!("{:02}", self.day)),
                'B' => text.push_str(month),
                'b' => text.push_str(&month[..3]),
                'A' => text.push_str(weekday),
                'a' => text.push_str(&weekday[..3]),
                'H' => text.push_str(&format!("{:02}", self.second_of_day / 3600)),
                'M' => text.push_str(&format!("{:02}", self.second_of_day / 60 % 60)),
                'S' => text.push_str(&format!("{:02}", self.second_of_day % 60)),
                '%' => text.push('%'),
                directive => return Err(directive),
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Date, &'static str> {
        let numbers: Vec<u64> = text.split('-').filter_map(|number| number.parse().ok()).collect();
        let day = match numbers[..] {
            [year @ 1970..=9999, month @ 1..=12, day @ 1..=31] => {
                let first = Date { year, month, day: 1, weekday: 0, second_of_day: 0 };
                let years = (1970..year).map(|year| Date { year, ..first }.days_in_year());
                let months = (1..month).map(|month| Date { month, ..first }.days_in_month());
                let n_days = years.chain(months).sum::<u64>() + day - 1;
                Some(Date::of_unix_time(n_days * SECONDS_PER_DAY))
            }
            _ => None,
        };
        // The 30th of February is another day's name.
        day.filter(|day| day.to_string() == text).ok_or("expected a day, as 2026-11-22")
    }
}

#[cfg(test)]
mod tests {
    use super::{Date, SECONDS_PER_DAY};

    #[test]
    fn days_are_read_as_they_are_written() {
        for n_days in (0..60_000).step_by(7).chain([789, 790, 47_540, 47_541]) {
            let day = Date::of_unix_time(n_days * SECONDS_PER_DAY);
            assert_eq!(day.to_string().parse(), Ok(day));
        }
        for text in ["", "today", "2026-11", "2026-02-29", "2026-13-01", "2026-1-1", "1969-12-31"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn formats_dates_around_leap_days() {
        for (seconds, expected) in [
            (0, "Thu Thursday 01 Jan January 1970 70 01 00:00:00 %"),
            (951_782_400, "Tue Tuesday 29 Feb February 2000 00 02 00:00:00 %"),
            (1_735_689_599, "Tue Tuesday 31 Dec December 2024 24 12 23:59:59 %"),
            (4_107_542_400, "Mon Monday 01 Mar March 2100 00 03 00:00:00 %"),
        ] {
            let date = Date::of_unix_time(seconds);
            assert_eq!(date.format("%a %A %d %b %B %Y %y %m %H:%M:%S %%").as_deref(), Ok(expected));
        }
        assert_eq!(Date::of_unix_time(0).format("%Q"), Err('Q'));
    }
}
