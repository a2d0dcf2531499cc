//! Durations as people write them: `30s`, `2h`, `1h30m`, `7d`.

/// Seconds of a duration. Units in any order, each number with its unit.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn seconds(text: &str) -> Result<u64, String> {
    const HOW: &str = "write it like 30s, 5m, 2h, 7d or 1h30m";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(format!("the duration is empty; {HOW}"));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let Some(unit) = after.chars().next() else {
            return Err(format!("the duration {text:?} has no unit; {HOW}"));
        };
        let unit_seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => return Err(format!("{text:?} is not a duration; {HOW}")),
        };
        let Ok(number) = number.parse::<u64>() else {
            return Err(format!("{text:?} is not a duration; {HOW}"));
        };
        let sum = number.checked_mul(unit_seconds).and_then(|part| total.checked_add(part));
        // The wire has room for 32 bits with sign.
        match sum.filter(|sum| *sum <= i32::MAX as u64) {
            Some(sum) => total = sum,
            None => return Err(format!("the duration {text:?} is too long; at most 24855d fit")),
        }
        rest = after.get(unit.len_utf8()..).unwrap_or_default();
    }
    Ok(total)
}
