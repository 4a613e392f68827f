//! Time as the model sees it: an argument, never a clock. Also the API server's ways to read and write it.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Microseconds since the Unix epoch, UTC; may be negative.
///
/// The model never reads a clock: whoever calls it says what time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMicros(pub i64);

impl UnixMicros {
    /// The instant that many seconds after the Unix epoch; saturates.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// This instant plus that many seconds; saturates.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(MICROS_PER_SECOND)))
    }
}

/// Go's zero time, 0001-01-01T00:00:00Z: written as `null`.
pub(crate) const GO_ZERO: UnixMicros = UnixMicros::from_seconds(-62_135_596_800);

/// Which of the two Kubernetes time layouts a field has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `metav1.Time`: RFC 3339 with any fraction, kept to the second.
    Seconds,
    /// `metav1.MicroTime`: RFC 3339 with exactly six fraction digits.
    Micros,
}

/// Days since the Unix epoch of a date in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads a time as Go's `time.Parse` does, its oddities included: an hour of one digit, a comma as the
/// decimal point and a signed fraction are accepted, as the real server accepts them.
pub(crate) fn parse(text: &str, layout: Layout) -> Option<UnixMicros> {
    let mut cursor = Cursor(text.as_bytes());
    let year = cursor.year()?;
    cursor.literal(b'-')?;
    let month = cursor.number(true)?;
    cursor.literal(b'-')?;
    let day = cursor.number(true)?;
    cursor.literal(b'T')?;
    let hour = cursor.number(false)?;
    cursor.literal(b':')?;
    let minute = cursor.number(true)?;
    cursor.literal(b':')?;
    let second = cursor.number(true)?;
    let micros = match layout {
        Layout::Seconds => cursor.optional_fraction(),
        Layout::Micros => cursor.six_digits()?,
    };
    let offset = cursor.offset()?;
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range || !cursor.0.is_empty() {
        return None;
    }
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset;
    let micros = if layout == Layout::Seconds { 0 } else { micros };
    Some(UnixMicros(seconds * MICROS_PER_SECOND + micros))
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn literal(&mut self, wanted: u8) -> Option<()> {
        (self.take(1)?[0] == wanted).then_some(())
    }

    fn year(&mut self) -> Option<i64> {
        let digits = self.take(4)?;
        digits[0].is_ascii_digit().then(|| go_atoi(digits)).flatten()
    }

    /// Go's `getnum`: two digits, or one if the layout is not fixed.
    fn number(&mut self, fixed: bool) -> Option<i64> {
        let first = self.0.first().filter(|byte| byte.is_ascii_digit())?;
        let second = self.0.get(1).filter(|byte| byte.is_ascii_digit());
        let (value, length) = match second {
            Some(second) => (i64::from(first - b'0') * 10 + i64::from(second - b'0'), 2),
            None if fixed => return None,
            None => (i64::from(first - b'0'), 1),
        };
        self.take(length)?;
        Some(value)
    }

    fn six_digits(&mut self) -> Option<i64> {
        let chunk = self.take(7)?;
        matches!(chunk[0], b'.' | b',').then(|| go_atoi(&chunk[1..])).flatten().filter(|value| *value >= 0)
    }

    fn optional_fraction(&mut self) -> i64 {
        if matches!(self.0, [b'.' | b',', digit, ..] if digit.is_ascii_digit()) {
            let digits = self.0[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            self.0 = &self.0[1 + digits..];
        }
        0
    }

    /// `Z`, or an offset of hours and minutes with its sign, in seconds.
    fn offset(&mut self) -> Option<i64> {
        if self.0.first() == Some(&b'Z') {
            self.take(1)?;
            return Some(0);
        }
        let chunk = self.take(6)?;
        if chunk[3] != b':' {
            return None;
        }
        let seconds = (go_atoi(&chunk[1..3])? * 60 + go_atoi(&chunk[4..6])?) * 60;
        match chunk[0] {
            b'+' => Some(seconds),
            b'-' => Some(-seconds),
            _ => None,
        }
    }
}

/// Go's internal `atoi`: an optional sign, then digits only.
fn go_atoi(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut value = 0_i64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(if negative { -value } else { value })
}

/// Appends the JSON form of a time: quoted, in UTC, or `null` for Go's zero time.
pub(crate) fn write_json(out: &mut Vec<u8>, time: UnixMicros, layout: Layout) {
    if time == GO_ZERO {
        out.extend_from_slice(b"null");
        return;
    }
    let seconds = time.seconds();
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    write_digits(&mut text[6..8], month);
    write_digits(&mut text[9..11], day);
    write_digits(&mut text[12..14], of_day / 3_600);
    write_digits(&mut text[15..17], of_day / 60 % 60);
    write_digits(&mut text[18..20], of_day % 60);
    if let 0..=9999 = year {
        write_digits(&mut text[1..5], year);
        out.extend_from_slice(&text[..20]);
    } else {
        // No client can send such a year, but an offset can lead there.
        let sign = if year < 0 { "-" } else { "" };
        out.extend_from_slice(format!("\"{sign}{:04}", year.unsigned_abs()).as_bytes());
        out.extend_from_slice(&text[5..20]);
    }
    if layout == Layout::Micros {
        write_digits(&mut text[21..27], time.0.rem_euclid(MICROS_PER_SECOND));
        out.extend_from_slice(&text[20..]);
    } else {
        out.extend_from_slice(&text[27..]);
    }
}

/// Fills the place of a number that is not negative and fits.
fn write_digits(place: &mut [u8], number: i64) {
    let mut rest = u32::try_from(number).unwrap_or_default();
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// A time as it stands in a Lease, without quotes.
pub(crate) fn micro_time(time: UnixMicros) -> String {
    let mut out = Vec::new();
    write_json(&mut out, time, Layout::Micros);
    String::from_utf8_lossy(&out).trim_matches('"').to_owned()
}

/// The `Date` header of a response, as RFC 9110 wants it: ASCII, with a year of four digits.
pub(crate) fn http_date(now: UnixMicros) -> [u8; 29] {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = now.seconds();
    let days = seconds.div_euclid(SECONDS_PER_DAY);
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (year, month, day) = civil_from_days(days);
    // Nearly every response has another second: digit by digit takes a tenth of what a format takes.
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[days.rem_euclid(7) as usize].as_bytes());
    write_digits(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[(month - 1) as usize].as_bytes());
    write_digits(&mut text[12..16], year.clamp(0, 9_999));
    write_digits(&mut text[17..19], of_day / 3_600);
    write_digits(&mut text[20..22], of_day / 60 % 60);
    write_digits(&mut text[23..25], of_day % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write_json(&mut out, parse(text, Layout::Micros)?, Layout::Micros);
        String::from_utf8(out).ok()
    }

    #[test]
    fn micro_times_are_read_as_go_reads_them() {
        let accepted = [
            ("2026-01-01T00:00:00.000000Z", "\"2026-01-01T00:00:00.000000Z\""),
            ("2026-01-01T02:00:00.123456+02:00", "\"2026-01-01T00:00:00.123456Z\""),
            ("9999-12-31T23:59:59.999999Z", "\"9999-12-31T23:59:59.999999Z\""),
            ("9999-12-31T23:59:59.999999-01:00", "\"10000-01-01T00:59:59.999999Z\""),
            ("0001-01-01T00:00:00.000000Z", "null"),
            ("1969-12-31T23:59:59.999999Z", "\"1969-12-31T23:59:59.999999Z\""),
            ("2024-02-29T1:00:00,000001Z", "\"2024-02-29T01:00:00.000001Z\""),
        ];
        for (text, wanted) in accepted {
            assert_eq!(rewritten(text).as_deref(), Some(wanted), "{text}");
        }
        let refused = [
            "",
            "yesterday",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.123Z",
            "2026-01-01T00:00:00.123456789Z",
            "10000-01-01T00:00:00.000000Z",
            "2023-02-29T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z",
            "2026-01-01T00:00:60.000000Z",
            "2026-01-01T00:00:00.000000z",
            "2026-01-01 00:00:00.000000Z",
            "2026-01-01T00:00:00.000000",
            "2026-01-01T00:00:00.000000Zx",
            "2026-01-01T00:00:00.é00000Z",
            "2026-01-01T00:00:00.000000+00-00",
            "2026-01-01T00:00:00.000000*00:00",
        ];
        for text in refused {
            assert_eq!(parse(text, Layout::Micros), None, "{text}");
        }
    }

    #[test]
    fn dates_survive_a_round_trip() {
        for days in (-800_000..4_000_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        let date = http_date(UnixMicros::from_seconds(784_111_777));
        assert_eq!(date, *b"Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
