//! The date, for templates that tell it to the model.

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

/// A moment of UTC.
pub(super) struct Date {
    year: u64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day: u64,
    /// 0 is Sunday.
    weekday: u64,
    second_of_day: u64,
}

/// The present moment.
pub(super) fn now() -> Date {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Date::of_unix_time(since_epoch.as_secs())
}

impl Date {
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

#[cfg(test)]
mod tests {
    use super::Date;

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
