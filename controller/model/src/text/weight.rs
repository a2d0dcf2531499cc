//! What a value costs in memory, so that a small file cannot become a large one: `[1,1,1…]` takes 16 times its text, and
//! `[{a: 1},{a: 1}…]` a hundred times.

use serde_json::Value;

/// A mapping takes room for a whole node of its tree, however few members it has.
const MAPPING: usize = 13;

/// Values in a value, itself included, as units of about 50 bytes; counting stops soon after `most`.
pub(super) fn of(value: &Value, most: usize) -> usize {
    let mut units = 0;
    add(value, most, &mut units);
    units
}

fn add(value: &Value, most: usize, units: &mut usize) {
    *units += 1;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => *units += text.len() / 50,
        Value::Array(items) => {
            for item in items {
                if *units > most {
                    return;
                }
                add(item, most, units);
            }
        }
        Value::Object(map) => {
            *units += MAPPING;
            for (key, item) in map {
                if *units > most {
                    return;
                }
                *units += 1 + key.len() / 50;
                add(item, most, units);
            }
        }
    }
}
