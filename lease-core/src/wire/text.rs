//! JSON's small parts as text: strings and numbers, read and written without a detour.

use std::borrow::Cow;

/// Appends `text` as a JSON string.
pub(super) fn write_string(text: &str, json: &mut String) {
    json.push('"');
    write_inside_string(text, json);
    json.push('"');
}

/// Appends what stands between the quotes of `text` as a JSON string.
pub(super) fn write_inside_string(text: &str, json: &mut String) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    // Without an early end the compiler looks at many bytes at a time.
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        json.push_str(text);
    } else {
        let quoted = serde_json::Value::from(text).to_string();
        json.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
    }
}

/// Appends a number that is not negative.
pub(super) fn write_number(number: i32, json: &mut String) {
    let mut digits = [b'0'; 10];
    let mut start = digits.len() - 1;
    let mut rest = number.unsigned_abs();
    digits[start] += (rest % 10) as u8;
    while rest >= 10 {
        rest /= 10;
        start -= 1;
        digits[start] += (rest % 10) as u8;
    }
    push_ascii(&digits[start..], json);
}

/// Appends 128 bits as 32 hexadecimal digits.
pub(super) fn write_hexadecimal(bits: u128, json: &mut String) {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    push_ascii(&digits, json);
}

/// The bits of at most 32 hexadecimal digits.
pub(super) fn read_hexadecimal(text: &str) -> Option<u128> {
    if text.len() != 32 {
        return u128::from_str_radix(text, 16).ok();
    }
    // What this library writes. A half at a time: arithmetic on 128 bits is what takes long.
    let half = |range: &[u8]| {
        range.iter().try_fold(0, |bits: u64, byte| {
            (*byte as char).to_digit(16).map(|digit| bits << 4 | u64::from(digit))
        })
    };
    let (high, low) = text.as_bytes().split_at(16);
    match (half(high), half(low)) {
        (Some(high), Some(low)) => Some(u128::from(high) << 64 | u128::from(low)),
        _ => u128::from_str_radix(text, 16).ok(),
    }
}

/// Appends what is known to be ASCII.
pub(super) fn push_ascii(text: &[u8], json: &mut String) {
    json.push_str(std::str::from_utf8(text).unwrap_or_default());
}

fn has_escapes(text: &str) -> bool {
    text.bytes().fold(false, |any, byte| any | (byte == b'\\'))
}

/// The string that a raw value is; `None` when it is something else.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !has_escapes(inner) {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_bits_are_written_as_the_standard_library_does(number in 0..=i32::MAX, bits: u128) {
            let mut json = String::new();
            write_number(number, &mut json);
            write_hexadecimal(bits, &mut json);
            prop_assert_eq!(json, format!("{number}{bits:032x}"));
        }

        #[test]
        fn bits_are_read_as_the_standard_library_does(text in "[+0-9a-fA-FgG]{0,34}") {
            prop_assert_eq!(read_hexadecimal(&text), u128::from_str_radix(&text, 16).ok());
        }

        #[test]
        fn strings_round_trip(text in ".{0,40}") {
            let mut json = String::new();
            write_string(&text, &mut json);
            let read = string(&json);
            prop_assert_eq!(read.as_deref(), Some(&*text));
        }
    }

    #[test]
    fn what_is_no_string_is_none() {
        for raw in ["null", "1", "{}", "\"\\ud800\""] {
            assert_eq!(string(raw), None, "{raw}");
        }
    }
}
