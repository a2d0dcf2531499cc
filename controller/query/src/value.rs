//! What an expression is worth while it is evaluated: JSON types plus `undefined`, and the three-valued logic over
//! them. Comparison differs between the dialects and stands with their evaluators.

use std::fmt;

use serde_json::{Map, Number, Value};

use crate::lexer::{printed, quoted};
use crate::scratch::{Made, Scratch};

/// One value during evaluation. It borrows from the row, the message or the expression, and new texts stand in a
/// [`Scratch`], so that looking something up, changing and comparing it costs no allocation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Datum<'a> {
    Undefined,
    Null,
    Bool(bool),
    /// Never NaN: see [`Datum::number`].
    Number(f64),
    Text(&'a str),
    /// A text that the evaluation made.
    Made(Made),
    Array(&'a [Value]),
    Object(&'a Map<String, Value>),
}

/// A literal of either dialect.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    Null,
    Undefined,
    Bool(bool),
    Number(f64),
    Text(String),
}

/// A comparison operator. `<>` is `!=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

// ---------------------------------------------------------------------------------------------------------------

impl<'a> Datum<'a> {
    /// A number; NaN counts as undefined (reference query-language §6.6).
    pub(crate) fn number(number: f64) -> Self {
        if number.is_nan() { Self::Undefined } else { Self::Number(number) }
    }

    pub(crate) fn is_defined(&self) -> bool {
        !matches!(self, Self::Undefined)
    }

    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    /// The value as a text, when it is one.
    pub(crate) fn text<'s>(&'s self, scratch: &'s Scratch) -> Option<&'s str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(made) => Some(scratch.text(*made)),
            Self::Undefined
            | Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Array(_)
            | Self::Object(_) => None,
        }
    }

    /// The value as JSON; `None` for undefined and for numbers that JSON does not have.
    pub(crate) fn into_json(self, scratch: &Scratch) -> Option<Value> {
        Some(match self {
            Self::Undefined => return None,
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(flag),
            Self::Number(number) => Value::Number(json_number(number)?),
            Self::Text(text) => Value::String(text.to_owned()),
            Self::Made(made) => Value::String(scratch.text(made).to_owned()),
            Self::Array(elements) => Value::Array(elements.to_vec()),
            Self::Object(members) => Value::Object(members.clone()),
        })
    }

    /// `a AND b` (reference query-language §6.5): null on either side is null; false wins over undefined.
    pub(crate) fn and(self, other: &Self) -> Self {
        match (self.truth(), other.truth()) {
            (Self::Null, _) | (_, Self::Null) => Self::Null,
            (Self::Bool(false), _) | (_, Self::Bool(false)) => Self::Bool(false),
            (Self::Bool(true), Self::Bool(true)) => Self::Bool(true),
            _ => Self::Undefined,
        }
    }

    /// `a OR b` (reference query-language §6.5): null gives way to the other side; true wins over undefined.
    pub(crate) fn or(self, other: &Self) -> Self {
        match (self.truth(), other.truth()) {
            (Self::Null, side) | (side, Self::Null) => side,
            (Self::Bool(true), _) | (_, Self::Bool(true)) => Self::Bool(true),
            (Self::Bool(false), Self::Bool(false)) => Self::Bool(false),
            _ => Self::Undefined,
        }
    }

    /// `NOT a`: undefined stays undefined, `NOT null` is true (reference query-language §6.5).
    pub(crate) fn not(&self) -> Self {
        match self {
            Self::Bool(flag) => Self::Bool(!flag),
            Self::Null => Self::Bool(true),
            Self::Undefined
            | Self::Number(_)
            | Self::Text(_)
            | Self::Made(_)
            | Self::Array(_)
            | Self::Object(_) => Self::Undefined,
        }
    }

    /// The value as an operand of AND and OR: what is neither boolean nor null counts as undefined.
    fn truth(&self) -> Self {
        match self {
            Self::Bool(flag) => Self::Bool(*flag),
            Self::Null => Self::Null,
            Self::Undefined
            | Self::Number(_)
            | Self::Text(_)
            | Self::Made(_)
            | Self::Array(_)
            | Self::Object(_) => Self::Undefined,
        }
    }
}

impl<'a> From<&'a Value> for Datum<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            // Integers beyond 2^53 lose their last digits here, as in every double-based engine.
            Value::Number(number) => number.as_f64().map_or(Self::Undefined, Self::number),
            Value::String(text) => Self::Text(text),
            Value::Array(elements) => Self::Array(elements),
            Value::Object(members) => Self::Object(members),
        }
    }
}

impl<'a> From<&'a Constant> for Datum<'a> {
    fn from(constant: &'a Constant) -> Self {
        match constant {
            Constant::Null => Self::Null,
            Constant::Undefined => Self::Undefined,
            Constant::Bool(flag) => Self::Bool(*flag),
            Constant::Number(number) => Self::number(*number),
            Constant::Text(text) => Self::Text(text),
        }
    }
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Undefined => f.write_str("undefined"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Number(number) => f.write_str(&printed(*number)),
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

impl Comparison {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether it asks for sameness only, not for order.
    pub(crate) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Whether two values with this order satisfy the operator.
    pub(crate) fn accepts(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Arithmetic {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    /// Plain IEEE arithmetic; what is not a number is undefined.
    pub(crate) fn apply<'a>(self, left: &Datum<'_>, right: &Datum<'_>) -> Datum<'a> {
        let (Datum::Number(left), Datum::Number(right)) = (left, right) else { return Datum::Undefined };
        Datum::number(match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Remainder => left % right,
        })
    }
}

/// A double as a JSON number: whole numbers without a fraction, so that a count or a sum reads `42` and not `42.0`.
pub(crate) fn json_number(number: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 53 bits fits")]
        return Some(Number::from(number as i64));
    }
    Number::from_f64(number)
}
