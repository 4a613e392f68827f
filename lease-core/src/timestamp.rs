//! Timestamps as text: `MicroTime` of a Lease and the `Date` header of HTTP.
//!
//! Own arithmetic on purpose: an API server stores the whole year 9999, which the common date crates
//! refuse, and a core that reads no clock should not depend on a crate that can.

use crate::time::WallTime;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Writes `time` as an API server wants it: RFC 3339, UTC, **exactly six** fraction digits.
///
/// A time outside of what the server stores is moved to the nearest end of that range.
pub(crate) fn write(time: WallTime, out: &mut String) {
    let micros = time.clamp(WallTime::MIN_STORED, WallTime::MAX_STORED).as_micros();
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    for (range, number) in [
        (0..4, year),
        (5..7, month),
        (8..10, day),
        (11..13, of_day / 3600),
        (14..16, of_day / 60 % 60),
        (17..19, of_day % 60),
        (20..26, micros.rem_euclid(MICROS_PER_SECOND)),
    ] {
        // None of them is negative or has more digits than its place.
        let mut rest = u32::try_from(number).unwrap_or_default();
        for digit in text[range].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    out.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// Reads an RFC 3339 timestamp with any number of fraction digits (more than six are cut) and any offset.
pub(crate) fn parse(text: &str) -> Option<WallTime> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    if !matches!(bytes[10], b'T' | b't') {
        return None;
    }
    let date = days_from_civil(digits(&bytes[0..4])?, digits(&bytes[5..7])?, digits(&bytes[8..10])?)?;
    let time = second_of_day(digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?)?;
    let (fraction, rest) = fraction_micros(&bytes[19..])?;
    let offset = offset_seconds(rest)?;
    let seconds = date * SECONDS_PER_DAY + time - offset;
    Some(WallTime::from_micros(seconds * MICROS_PER_SECOND + fraction))
}

/// Reads the `Date` header in the form that servers must send (RFC 9110 §5.6.7, IMF-fixdate).
pub(crate) fn parse_http_date(text: &str) -> Option<WallTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_weekday, rest) = text.split_once(", ")?;
    let bytes = rest.as_bytes();
    if bytes.len() != 24 || !rest.is_ascii() || !rest.ends_with(" GMT") {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == &rest[3..6])? as i64 + 1;
    let date = days_from_civil(digits(&bytes[7..11])?, month, digits(&bytes[0..2])?)?;
    let time = second_of_day(digits(&bytes[12..14])?, digits(&bytes[15..17])?, digits(&bytes[18..20])?)?;
    Some(WallTime::from_micros((date * SECONDS_PER_DAY + time) * MICROS_PER_SECOND))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn second_of_day(hour: i64, minute: i64, second: i64) -> Option<i64> {
    // 60 is a leap second; it counts as the first second of the next minute.
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// The microseconds of `.123456789…` and what follows it.
fn fraction_micros(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some(fraction) = bytes.strip_prefix(b".") else {
        return Some((0, bytes));
    };
    let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let kept = &fraction[..length.min(6)];
    let micros = kept.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((micros * 10_i64.pow(6 - kept.len() as u32), &fraction[length..]))
}

fn offset_seconds(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), hour @ .., b':', m1, m2] if hour.len() == 2 => {
            let (hours, minutes) = (digits(hour)?, digits(&[*m1, *m2])?);
            let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date (the era arithmetic of H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn format(time: WallTime) -> String {
        let mut text = String::new();
        write(time, &mut text);
        text
    }

    #[test]
    fn known_instants() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_767_225_600_000_000, "2026-01-01T00:00:00.000000Z"),
            (951_782_400_123_456, "2000-02-29T00:00:00.123456Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(format(WallTime::from_micros(micros)), text);
            assert_eq!(parse(text), Some(WallTime::from_micros(micros)));
        }
    }

    #[test]
    fn what_the_server_cannot_store_is_moved_into_range() {
        assert_eq!(format(WallTime::from_micros(-1)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(format(WallTime::from_micros(i64::MAX)), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn reads_what_other_writers_write() {
        let wanted = parse("2026-01-01T00:00:00.123456Z");
        assert!(wanted.is_some());
        assert_eq!(parse("2026-01-01T02:00:00.123456+02:00"), wanted);
        assert_eq!(parse("2025-12-31t19:00:00.123456789-05:00"), wanted);
        assert_eq!(parse("2026-01-01T00:00:00Z"), Some(WallTime::from_micros(1_767_225_600_000_000)));
        assert_eq!(parse("2026-01-01T00:00:00.5Z"), Some(WallTime::from_micros(1_767_225_600_500_000)));
        assert_eq!(
            parse("0001-01-01T00:00:00.000000Z").map(WallTime::as_micros),
            Some(-62_135_596_800_000_000)
        );
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+2:00",
            "10000-01-01T00:00:00.000000Z",
            "2026-01-01 00:00:00Z",
            "２026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_date_header() {
        let date = parse_http_date("Sun, 22 Nov 2026 15:52:31 GMT");
        assert_eq!(date, parse("2026-11-22T15:52:31Z"));
        assert_eq!(parse_http_date("Sunday, 22-Nov-26 15:52:31 GMT"), None);
        assert_eq!(parse_http_date("Sun, 22 Nov 2026 15:52:31 ÄÖ"), None);
    }

    proptest! {
        #[test]
        fn round_trip(micros in 0i64..=253_402_300_799_999_999) {
            let time = WallTime::from_micros(micros);
            prop_assert_eq!(parse(&format(time)), Some(time));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
            let _ = parse_http_date(&text);
        }
    }
}
