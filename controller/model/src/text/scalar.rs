//! What a scalar means: the YAML 1.2 core schema, narrowed to what JSON can say.

use serde_json::{Number, Value};

/// What a plain scalar is.
pub(super) enum Plain {
    /// A JSON value.
    Value(Value),
    /// `.inf`, `.nan`, or a number that JSON programs cannot hold.
    NoJson(&'static str),
}

/// Resolves a scalar that has neither quotes nor a tag.
pub(super) fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Value(Value::Null),
        "true" | "True" | "TRUE" => return Plain::Value(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Plain::Value(Value::Bool(false)),
        _ => {}
    }
    let first = text.bytes().next().unwrap_or_default();
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return Plain::Value(Value::String(text.to_owned()));
    }
    number(text).unwrap_or_else(|| Plain::Value(Value::String(text.to_owned())))
}

/// Resolves a scalar as a number; `None` when it is not written like one.
pub(super) fn number(text: &str) -> Option<Plain> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Plain::NoJson("infinity and not-a-number have no place in JSON"));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return Some(u64::from_str_radix(digits, radix).map_or(TOO_LARGE, |n| Plain::Value(n.into())));
        }
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let text = text.strip_prefix('+').unwrap_or(text);
        let small = text.parse::<i64>().map(Number::from);
        let number = small.or_else(|_| text.parse::<u64>().map(Number::from));
        return Some(number.map_or(TOO_LARGE, |number| Plain::Value(Value::Number(number))));
    }
    if !is_float(unsigned) {
        return None;
    }
    let float = text.parse::<f64>().ok()?;
    Some(Number::from_f64(float).map_or(TOO_LARGE, |number| Plain::Value(Value::Number(number))))
}

const TOO_LARGE: Plain = Plain::NoJson("the number is too large");

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, without sign.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_good = digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty());
    mantissa_good && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// Texts that are truth values or other numbers for YAML 1.1, which `kubectl` reads.
pub(super) fn reads_otherwise_in_yaml_1_1(text: &str) -> bool {
    let word = ["y", "n", "yes", "no", "on", "off"].iter().any(|word| {
        // YAML 1.1 knows lower case, upper case and capitalised; mixed case is text there too.
        text.eq_ignore_ascii_case(word)
            && (text.chars().all(char::is_lowercase)
                || text.chars().all(char::is_uppercase)
                || text.chars().skip(1).all(char::is_lowercase))
    });
    // kubectl's reader leaves single letters alone.
    let word = word && text.len() > 1;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let octal =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    word || octal
}
