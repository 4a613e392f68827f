//! Times as the scripts write them: relative to the start, and as RFC 3339 where a record wants them.

use std::time::Duration;

/// Microseconds from the Unix epoch to 2026-01-01T00:00:00Z, where every script's wall clock starts.
pub(crate) const EPOCH_MICROS: i64 = 1_767_225_600_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// Reads `15s`, `1.5s`, `250ms`, `10us`, `7ns`, `3m`, `2h` or `4d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let nanos_per_unit: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(nanos_per_unit)?;
    let mut place = nanos_per_unit;
    for digit in fraction.chars() {
        place /= 10;
        nanos += u64::from(digit.to_digit(10)?) * place;
    }
    Some(Duration::from_nanos(nanos))
}

/// Reads a duration with a sign, as microseconds.
pub(crate) fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    Some(sign * i64::try_from(duration(rest)?.as_micros()).ok()?)
}

/// Writes seconds; what is finer than a millisecond is rounded and marked with `~`.
pub(crate) fn seconds(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.abs();
    let exact = size % 1_000_000 == 0 || size < 1_000_000;
    let digits = if exact { 9 } else { 3 };
    let unit = 10_i128.pow(9 - digits);
    let rounded = (size + unit / 2) / unit * unit;
    let mut text = format!("{}.{:09}", rounded / 1_000_000_000, rounded % 1_000_000_000);
    while text.ends_with('0') {
        text.pop();
    }
    let text = text.trim_end_matches('.');
    let about = if exact { "" } else { "~" };
    format!("{sign}{about}{text}s")
}

/// A wall clock reading as a record wants it.
pub(crate) fn rfc3339(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    // H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (second, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// The `Date` header. Nobody reads the weekday.
pub(crate) fn http_date(micros: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = rfc3339(micros);
    let month = text[5..7].parse::<usize>().map_or("Jan", |month| MONTHS[month - 1]);
    format!("Thu, {} {month} {} {} GMT", &text[8..10], &text[0..4], &text[11..19])
}

/// A record's time relative to the start; as it came where it is not one that a machine would write.
pub(crate) fn relative(text: &str) -> String {
    let Some(micros) = micros(text) else {
        return text.to_owned();
    };
    let nanos = i128::from(micros - EPOCH_MICROS) * 1000;
    if nanos.abs() > 1_000_000_000 * 86_400 * 3650 {
        return text.to_owned();
    }
    // Microseconds tell attempts apart: never rounded.
    let sign = if nanos < 0 { '-' } else { '+' };
    let size = nanos.unsigned_abs();
    let fraction = format!(".{:06}", size / 1000 % 1_000_000);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{sign}{}{fraction}s", size / 1_000_000_000)
}

/// Reads exactly what [`rfc3339`] writes.
fn micros(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let from_march = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let of_day = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    let micros = days * DAY_MICROS + of_day * 1_000_000 + number(20..26)?;
    (rfc3339(micros) == text).then_some(micros)
}
