//! What a twin may hold (reference device-protocol §5.3). Applies to a whole section, not to a patch.

use serde_json::{Map, Value};

/// Which section of a twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Tags: 8 KiB.
    Tags,
    /// Desired properties: 32 KiB.
    Desired,
    /// Reported properties: 32 KiB.
    Reported,
}

impl Which {
    /// Most bytes of the section.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Tags => 8 * 1024,
            Self::Desired | Self::Reported => 32 * 1024,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Desired => "desired properties",
            Self::Reported => "reported properties",
        }
    }
}

/// Deepest nesting; the section itself is level 0.
pub const DEPTH: usize = 10;
/// Most bytes of a key.
pub const KEY_BYTES: usize = 1024;
/// Most bytes of a text.
pub const TEXT_BYTES: usize = 4096;
/// Smallest whole number.
pub const SMALLEST: i64 = -4_503_599_627_370_496;
/// Largest whole number.
pub const LARGEST: i64 = 4_503_599_627_370_495;

/// A broken limit, with the JSON pointer of the place inside the section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct TwinLimit {
    /// JSON pointer inside the section; empty for the section itself.
    pub pointer: String,
    /// What is wrong.
    pub why: TwinLimitKind,
}

/// What is wrong with a twin section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TwinLimitKind {
    /// Too many bytes in all.
    #[error("{section} take {bytes} bytes, at most {limit} are allowed")]
    Size {
        /// The section in words.
        section: &'static str,
        /// Bytes counted.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Nested too deep.
    #[error("nested deeper than {DEPTH} levels")]
    Depth,
    /// A key is too long.
    #[error("a key of {bytes} bytes, at most {KEY_BYTES} are allowed")]
    KeyLength {
        /// Bytes found.
        bytes: usize,
    },
    /// A key holds a character it must not hold.
    #[error("the key {key:?} contains {found:?}; white space, control characters and . $ # are not allowed")]
    KeyCharacter {
        /// The key.
        key: String,
        /// The first such character.
        found: char,
    },
    /// A text is too long.
    #[error("a text of {bytes} bytes, at most {TEXT_BYTES} are allowed")]
    TextLength {
        /// Bytes found.
        bytes: usize,
    },
    /// A whole number outside ±2^52.
    #[error("the number {number} is outside {SMALLEST} … {LARGEST}")]
    Number {
        /// The number as written.
        number: String,
    },
    /// `null` inside an array.
    #[error("null is not allowed inside an array")]
    NullInArray,
}

/// Checks one section. A root `$version` or `$metadata` is not looked at and not counted; `null` outside arrays is left
/// to the caller, because a patch may hold it.
///
/// # Errors
/// The first broken limit.
pub fn check(section: &Map<String, Value>, which: Which) -> Result<(), TwinLimit> {
    match violations(section, which).into_iter().next() {
        Some(limit) => Err(limit),
        None => Ok(()),
    }
}

/// Broken limits of one section that are collected.
const AT_MOST: usize = 100;

/// All broken limits of one section, up to a hundred.
#[must_use]
pub fn violations(section: &Map<String, Value>, which: Which) -> Vec<TwinLimit> {
    let (mut walk, bytes) = walk(section);
    if bytes > which.bytes() {
        let why = TwinLimitKind::Size { section: which.words(), bytes, limit: which.bytes() };
        walk.found.push(TwinLimit { pointer: String::new(), why });
    }
    walk.found
}

/// The bytes of a section, and whether it keeps all limits but that on them.
#[must_use]
pub fn measure(section: &Map<String, Value>) -> (usize, bool) {
    let (walk, bytes) = walk(section);
    (bytes, walk.found.is_empty())
}

fn walk(section: &Map<String, Value>) -> (Walk, usize) {
    let mut walk = Walk { found: Vec::new(), pointer: String::new() };
    let mut bytes = 0;
    for (key, value) in section.iter().filter(|(key, _)| !matches!(key.as_str(), "$version" | "$metadata")) {
        bytes += walk.member(key, value, 1, false);
    }
    (walk, bytes)
}

struct Walk {
    found: Vec<TwinLimit>,
    pointer: String,
}

impl Walk {
    fn report(&mut self, why: TwinLimitKind) {
        if self.found.len() >= AT_MOST {
            return;
        }
        self.found.push(TwinLimit { pointer: self.pointer.clone(), why });
    }

    fn member(&mut self, key: &str, value: &Value, depth: usize, in_array: bool) -> usize {
        let back = self.pointer.len();
        crate::pointer::push(&mut self.pointer, key);
        if key.len() > KEY_BYTES {
            self.report(TwinLimitKind::KeyLength { bytes: key.len() });
        }
        let bad = |c: &char| c.is_control() || c.is_whitespace() || matches!(c, '.' | '$' | '#');
        if let Some(found) = key.chars().find(bad) {
            self.report(TwinLimitKind::KeyCharacter { key: key.to_owned(), found });
        }
        let bytes = key.len() + self.value(value, depth, in_array);
        self.pointer.truncate(back);
        bytes
    }

    fn value(&mut self, value: &Value, depth: usize, in_array: bool) -> usize {
        match value {
            Value::Null => {
                if in_array {
                    self.report(TwinLimitKind::NullInArray);
                }
                0
            }
            Value::Bool(_) => 4,
            Value::Number(number) => {
                let whole_fits = number.as_i64().is_some_and(|n| (SMALLEST..=LARGEST).contains(&n));
                if !number.is_f64() && !whole_fits {
                    self.report(TwinLimitKind::Number { number: number.to_string() });
                }
                8
            }
            Value::String(text) => {
                if text.len() > TEXT_BYTES {
                    self.report(TwinLimitKind::TextLength { bytes: text.len() });
                }
                text.len()
            }
            Value::Array(_) | Value::Object(_) if depth > DEPTH => {
                self.report(TwinLimitKind::Depth);
                0
            }
            Value::Array(items) => {
                let mut bytes = 0;
                for (index, item) in items.iter().enumerate() {
                    let back = self.pointer.len();
                    self.pointer.push_str(&format!("/{index}"));
                    bytes += self.value(item, depth + 1, true);
                    self.pointer.truncate(back);
                }
                bytes
            }
            Value::Object(map) => {
                map.iter().map(|(key, value)| self.member(key, value, depth + 1, in_array)).sum()
            }
        }
    }
}
