//! The shape of a document: which fields there are and which types they take, checked against the schema that the Rust
//! types generate, so that all problems of a document come out at once. serde alone would stop at the first.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Deviations of one document that are collected; nobody reads more, and each costs a look at the text.
const AT_MOST: usize = 100;

/// A schema, compiled for one purpose: saying what is wrong with a value.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// Anything goes.
    Any,
    /// `null`, the absence of a value.
    Null,
    Bool,
    /// Whole number within bounds.
    Whole {
        least: Option<i128>,
        most: Option<i128>,
    },
    Number,
    /// A text, any or one of a few.
    Text {
        one_of: Option<Vec<String>>,
    },
    List(Box<Self>),
    /// A mapping with known fields, and perhaps a shape for all others.
    Fields {
        known: BTreeMap<String, Self>,
        required: Vec<String>,
        others: Option<Box<Self>>,
    },
    /// One of several; the type of the value decides.
    Either(Vec<Self>),
}

/// One deviation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deviation {
    pub(super) pointer: String,
    pub(super) what: What,
}

/// What kind of deviation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// `fitting` are those of the known fields that would take the value.
    UnknownField {
        name: String,
        known: Vec<String>,
        fitting: Vec<String>,
    },
    MissingField {
        name: String,
    },
    WrongType {
        expected: String,
        text_would_do: bool,
    },
    NotOneOf {
        found: String,
        allowed: Vec<String>,
    },
    OutOfRange {
        least: Option<i128>,
        most: Option<i128>,
    },
}

impl Shape {
    /// Compiles an inlined schema (see `schema::inline`).
    pub(super) fn compile(schema: &Value) -> Self {
        let Some(object) = schema.as_object() else { return Self::Any };
        if let Some(Value::Array(branches)) = object.get("anyOf").or_else(|| object.get("oneOf")) {
            return Self::either(branches.iter().map(Self::compile).collect());
        }
        if let Some(Value::String(only)) = object.get("const") {
            return Self::Text { one_of: Some(vec![only.clone()]) };
        }
        match object.get("type") {
            Some(Value::String(name)) => Self::of_type(name, object),
            Some(Value::Array(names)) => Self::either(
                names.iter().filter_map(Value::as_str).map(|name| Self::of_type(name, object)).collect(),
            ),
            Some(_) | None => Self::Any,
        }
    }

    fn of_type(name: &str, schema: &Map<String, Value>) -> Self {
        match name {
            "null" => Self::Null,
            "boolean" => Self::Bool,
            "number" => Self::Number,
            "integer" => Self::whole(schema),
            "string" => {
                let texts = |values: &Vec<Value>| {
                    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                };
                Self::Text { one_of: schema.get("enum").and_then(Value::as_array).map(texts) }
            }
            "array" => Self::List(Box::new(schema.get("items").map_or(Self::Any, Self::compile))),
            "object" => Self::fields(schema),
            _ => Self::Any,
        }
    }

    fn whole(schema: &Map<String, Value>) -> Self {
        let bound = |key: &str| {
            schema.get(key).and_then(|n| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from)))
        };
        let most = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => Some(i128::from(u32::MAX)),
            Some("uint64") => Some(i128::from(u64::MAX)),
            Some(_) | None => None,
        };
        Self::Whole { least: bound("minimum"), most: bound("maximum").or(most) }
    }

    fn fields(schema: &Map<String, Value>) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object);
        let known: BTreeMap<String, Self> = properties
            .into_iter()
            .flat_map(|map| map.iter().map(|(name, schema)| (name.clone(), Self::compile(schema))))
            .collect();
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required = required.filter_map(Value::as_str).map(str::to_owned).collect();
        let others = match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(other @ Value::Object(_)) => Some(Box::new(Self::compile(other))),
            Some(_) | None => Some(Box::new(Self::Any)),
        };
        Self::Fields { known, required, others }
    }

    /// Joins branches; several lists of texts become one.
    fn either(branches: Vec<Self>) -> Self {
        let mut texts: Option<Vec<String>> = None;
        let mut joined = Vec::new();
        for branch in branches {
            match branch {
                Self::Text { one_of: Some(more) } => texts.get_or_insert_default().extend(more),
                Self::Either(inner) => joined.extend(inner),
                other => joined.push(other),
            }
        }
        if let Some(texts) = texts {
            joined.push(Self::Text { one_of: Some(texts) });
        }
        if joined.len() == 1 { joined.pop().unwrap_or(Self::Any) } else { Self::Either(joined) }
    }

    /// The type in the words of a finding.
    fn words(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::Null => "nothing".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Whole { .. } => "a whole number".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Text { .. } => "a text".to_owned(),
            Self::List(items) => match items.words().as_str() {
                "a text" => "a list of texts".to_owned(),
                _ => "a list".to_owned(),
            },
            Self::Fields { .. } => "a mapping".to_owned(),
            Self::Either(branches) => {
                let words: Vec<String> =
                    branches.iter().filter(|b| !matches!(b, Self::Null)).map(Self::words).collect();
                match words.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, first)) => format!("{} or {last}", first.join(", ")),
                    None => "nothing".to_owned(),
                }
            }
        }
    }

    /// Is it a text and nothing else, so that quotes would help?
    fn is_text(&self) -> bool {
        match self {
            Self::Text { one_of: None } => true,
            Self::Either(branches) => {
                branches.iter().all(|branch| matches!(branch, Self::Null) || branch.is_text())
            }
            Self::Any
            | Self::Null
            | Self::Bool
            | Self::Whole { .. }
            | Self::Number
            | Self::Text { one_of: Some(_) }
            | Self::List(_)
            | Self::Fields { .. } => false,
        }
    }

    /// Does the type of the value fit, contents aside?
    fn takes(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _)
            | (Self::Null, Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Number, Value::Number(_))
            | (Self::Text { .. }, Value::String(_))
            | (Self::List(_), Value::Array(_))
            | (Self::Fields { .. }, Value::Object(_)) => true,
            (Self::Whole { .. }, Value::Number(number)) => !number.is_f64(),
            (Self::Either(branches), value) => branches.iter().any(|branch| branch.takes(value)),
            (_, _) => false,
        }
    }

    /// Collects everything in which a value deviates, up to [`AT_MOST`].
    pub(super) fn check(&self, value: &Value, pointer: &mut String, found: &mut Vec<Deviation>) {
        if found.len() >= AT_MOST {
            return;
        }
        if !self.takes(value) {
            let text_would_do = self.is_text() && matches!(value, Value::Bool(_) | Value::Number(_));
            let what = What::WrongType { expected: self.words(), text_would_do };
            found.push(Deviation { pointer: pointer.clone(), what });
            return;
        }
        match (self, value) {
            (Self::Either(branches), value) => {
                if let Some(branch) = branches.iter().find(|branch| branch.takes(value)) {
                    branch.check(value, pointer, found);
                }
            }
            (Self::Text { one_of: Some(allowed) }, Value::String(text)) => {
                if !allowed.contains(text) {
                    let what = What::NotOneOf { found: text.clone(), allowed: allowed.clone() };
                    found.push(Deviation { pointer: pointer.clone(), what });
                }
            }
            (Self::Whole { least, most }, Value::Number(number)) => {
                let n = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                let inside =
                    |n: i128| least.is_none_or(|least| n >= least) && most.is_none_or(|most| n <= most);
                if !n.is_some_and(inside) {
                    let what = What::OutOfRange { least: *least, most: *most };
                    found.push(Deviation { pointer: pointer.clone(), what });
                }
            }
            (Self::List(shape), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    step(pointer, &index.to_string(), |pointer| shape.check(item, pointer, found));
                }
            }
            (Self::Fields { .. }, Value::Object(map)) => self.check_fields(map, pointer, found),
            (_, _) => {}
        }
    }

    fn fits(&self, value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(value, &mut String::new(), &mut found);
        found.is_empty()
    }

    fn check_fields(&self, map: &Map<String, Value>, pointer: &mut String, found: &mut Vec<Deviation>) {
        let Self::Fields { known, required, others } = self else { return };
        for name in required.iter().filter(|name| !map.contains_key(*name)) {
            found.push(Deviation {
                pointer: pointer.clone(),
                what: What::MissingField { name: name.clone() },
            });
        }
        for (name, value) in map {
            if found.len() >= AT_MOST {
                return;
            }
            step(pointer, name, |pointer| match (known.get(name), others) {
                (Some(shape), _) => shape.check(value, pointer, found),
                (None, Some(shape)) => shape.check(value, pointer, found),
                (None, None) => {
                    // A field that is there already is no suggestion.
                    let free = || known.iter().filter(|(known, _)| !map.contains_key(*known));
                    let fitting = free().filter(|(_, shape)| shape.fits(value)).map(|(name, _)| name.clone());
                    let what = What::UnknownField {
                        name: name.clone(),
                        fitting: fitting.collect(),
                        known: free().map(|(name, _)| name.clone()).collect(),
                    };
                    found.push(Deviation { pointer: pointer.clone(), what });
                }
            });
        }
    }
}

fn step(pointer: &mut String, name: &str, act: impl FnOnce(&mut String)) {
    let back = pointer.len();
    crate::pointer::push(pointer, name);
    act(pointer);
    pointer.truncate(back);
}
