//! Dates of the calendar, for logs and certificates, from a count of seconds or days that the edge gives.

use std::time::Duration;

/// Year, month and day of the month, this many days after 1 January 1970 (negative: before it).
pub fn date(days: i64) -> (i64, i64, i64) {
    // Years are counted from 1 March, so that the leap day is the last of a year. 400 years are an era of 146 097 days, and
    // 719 468 days lie between the beginning of the era in the year 0 and 1970.
    let day = days + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_month)
}

/// `2026-11-20T10:56:25.123Z` (RFC 3339 §5.6), always in UTC, for a time since the beginning of 1970.
pub fn rfc3339(since_1970: Duration) -> String {
    let (days, second) = (since_1970.as_secs() / 86_400, since_1970.as_secs() % 86_400);
    let (year, month, day) = date(days as i64);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let millis = since_1970.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_that_of_the_calendar() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_827_696_007, "2000-02-29T12:34:56.007Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
            (1_795_172_185_999, "2026-11-20T10:56:25.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn days_before_1970_have_dates_too() {
        assert_eq!(date(-1), (1969, 12, 31));
        assert_eq!(date(-7305), (1950, 1, 1));
    }
}
