//! createOptions in pieces: a twin text holds 512 characters, so longer options continue in `createOptions01` …
//! `createOptions99` (reference edge-runtime §1.4.2). A text too long for 100 pieces is an error here; the original
//! cuts it silently.

use serde_json::{Map, Value};

use super::EdgeError;

/// Characters in one piece.
pub const CHUNK_CHARS: usize = 512;
/// Most pieces.
pub const CHUNKS: usize = 100;
const KEY: &str = "createOptions";

/// Writes options into a settings object, replacing those that are there.
///
/// # Errors
/// When the options need more than 100 pieces.
pub fn write(settings: &mut Map<String, Value>, options: &Map<String, Value>) -> Result<(), EdgeError> {
    settings.retain(|key, _| number_of(key).is_none());
    for (index, piece) in split(options)?.into_iter().enumerate() {
        let key = if index == 0 { KEY.to_owned() } else { format!("{KEY}{index:02}") };
        settings.insert(key, Value::String(piece));
    }
    Ok(())
}

/// The pieces of options, at least one.
///
/// # Errors
/// When there would be more than 100.
pub fn split(options: &Map<String, Value>) -> Result<Vec<String>, EdgeError> {
    let text = crate::twin::canonical_object(options);
    fits(&text)?;
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    loop {
        let end = rest.char_indices().nth(CHUNK_CHARS).map_or(rest.len(), |(end, _)| end);
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece.to_owned());
        if behind.is_empty() {
            return Ok(pieces);
        }
        rest = behind;
    }
}

/// Do options fit into the pieces that there may be?
///
/// # Errors
/// When there would be more than 100.
pub fn check(options: &Map<String, Value>) -> Result<(), EdgeError> {
    fits(&crate::twin::canonical_object(options))
}

fn fits(text: &str) -> Result<(), EdgeError> {
    const LIMIT: usize = CHUNKS * CHUNK_CHARS;
    // A character has at least one byte.
    if text.len() <= LIMIT {
        return Ok(());
    }
    match text.chars().count() {
        length if length > LIMIT => {
            let message = format!("createOptions have {length} characters, at most {LIMIT} fit");
            Err(EdgeError::Format(message))
        }
        _ => Ok(()),
    }
}

/// Reads options from a settings object. No piece, or blank text, or `null` are empty options.
///
/// # Errors
/// When a piece is missing or is not a text, or the whole is not a JSON object.
pub fn read(settings: &Map<String, Value>) -> Result<Map<String, Value>, EdgeError> {
    let mut pieces: Vec<(String, &str, &Value)> = settings
        .iter()
        .filter_map(|(key, value)| number_of(key).map(|number| (key.to_ascii_lowercase(), number, value)))
        .collect();
    pieces.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::new();
    for (index, (_, number, value)) in pieces.iter().enumerate() {
        let expected = if index == 0 { number.is_empty() } else { number.parse() == Ok(index) };
        if !expected {
            let message = format!("createOptions piece {index} is missing: found {KEY}{number} in its place");
            return Err(EdgeError::Format(message));
        }
        match value {
            Value::String(piece) => text.push_str(piece),
            Value::Null => {}
            // Not what the format says, but it is what templates and people write.
            Value::Object(options) if pieces.len() == 1 => return Ok(options.clone()),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(EdgeError::Format(format!("{KEY}{number} is not a text")));
            }
        }
    }
    parse(&text)
}

/// Reads options from their text.
///
/// # Errors
/// When the text is not the JSON of an object.
pub fn parse(text: &str) -> Result<Map<String, Value>, EdgeError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(options)) => Ok(options),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(EdgeError::Format("createOptions are JSON, but not an object".to_owned()))
        }
        Err(why) => Err(EdgeError::Format(format!("createOptions are not JSON: {why}"))),
    }
}

/// Is this key a piece, and with which number?
pub(crate) fn number_of(key: &str) -> Option<&str> {
    let (head, number) = (key.get(..KEY.len())?, key.get(KEY.len()..)?);
    (head.eq_ignore_ascii_case(KEY) && number.bytes().all(|b| b.is_ascii_digit())).then_some(number)
}
