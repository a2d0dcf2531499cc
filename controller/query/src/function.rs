//! The functions of both dialects: names, signatures and what they do. Which dialect knows which function is decided
//! here too; static argument types matter to routes only, the twin dialect answers a wrong type with `undefined`.

use serde_json::Value;

use crate::scratch::Scratch;
use crate::value::Datum;

/// A function of the twin or route dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    IsDefined,
    IsNull,
    IsBool,
    IsNumber,
    IsString,
    IsArray,
    IsObject,
    IsPrimitive,
    AsNumber,
    Abs,
    Ceiling,
    Exp,
    Floor,
    Power,
    Round,
    Sign,
    Square,
    Sqrt,
    Concat,
    Length,
    Lower,
    Upper,
    Substring,
    IndexOf,
    StartsWith,
    EndsWith,
    Contains,
    ArrayContains,
    TwinChangeIncludes,
}

/// Who understands a function (reference query-language §3.4, §6.7, §8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Twin,
    EdgeRoute,
    HubRoute,
}

/// What an argument has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Any,
    Number,
    Text,
    NumberOrText,
    /// A path that the checker reads as text, not as a value.
    Path,
}

/// What a function gives (or `undefined`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Bool,
    Number,
    Text,
}

/// How a function may be called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature {
    /// Types of the arguments; the last one counts for all further arguments.
    pub(crate) parameters: &'static [Parameter],
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) gives: Gives,
}

/// Every spelling, upper case. The first of a function is the one that the twin dialect prints.
const NAMES: [(&str, Function); 31] = [
    ("IS_DEFINED", Function::IsDefined),
    ("IS_NULL", Function::IsNull),
    ("IS_BOOL", Function::IsBool),
    ("IS_NUMBER", Function::IsNumber),
    ("IS_STRING", Function::IsString),
    ("IS_ARRAY", Function::IsArray),
    ("IS_OBJECT", Function::IsObject),
    ("IS_PRIMITIVE", Function::IsPrimitive),
    ("AS_NUMBER", Function::AsNumber),
    ("ABS", Function::Abs),
    ("CEILING", Function::Ceiling),
    ("EXP", Function::Exp),
    ("FLOOR", Function::Floor),
    ("POWER", Function::Power),
    ("ROUND", Function::Round),
    ("SIGN", Function::Sign),
    ("SQUARE", Function::Square),
    ("SQRT", Function::Sqrt),
    ("CONCAT", Function::Concat),
    ("LENGTH", Function::Length),
    ("LOWER", Function::Lower),
    ("UPPER", Function::Upper),
    ("SUBSTRING", Function::Substring),
    ("INDEX_OF", Function::IndexOf),
    // The two engines of the cloud each refuse the other's spelling; both are understood here (reference query-language §1).
    ("STARTSWITH", Function::StartsWith),
    ("STARTS_WITH", Function::StartsWith),
    ("ENDSWITH", Function::EndsWith),
    ("ENDS_WITH", Function::EndsWith),
    ("CONTAINS", Function::Contains),
    ("ARRAY_CONTAINS", Function::ArrayContains),
    ("TWIN_CHANGE_INCLUDES", Function::TwinChangeIncludes),
];

// ---------------------------------------------------------------------------------------------------------------

impl Function {
    /// The function of that name, in any case, whatever dialect it belongs to.
    pub(crate) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, function)| *function)
    }

    /// The names that people should use in a dialect, each function once.
    pub(crate) fn names(dialect: Dialect) -> impl Iterator<Item = &'static str> {
        let other_spelling: &[&str] = match dialect {
            Dialect::Twin => &["STARTS_WITH", "ENDS_WITH"],
            Dialect::EdgeRoute | Dialect::HubRoute => &["STARTSWITH", "ENDSWITH"],
        };
        let known = NAMES.iter().filter(move |(_, function)| function.is_known_to(dialect));
        known.map(|(name, _)| *name).filter(move |name| !other_spelling.contains(name))
    }

    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| *name)
    }

    pub(crate) fn is_known_to(self, dialect: Dialect) -> bool {
        match self {
            Self::IsArray | Self::IsObject | Self::IsPrimitive => dialect != Dialect::EdgeRoute,
            Self::Round | Self::ArrayContains => dialect == Dialect::Twin,
            Self::TwinChangeIncludes => dialect != Dialect::Twin,
            _ => true,
        }
    }

    pub(crate) fn signature(self) -> Signature {
        use Parameter::{Any, Number, NumberOrText, Path, Text};
        let (parameters, least, most, gives): (&'static [Parameter], usize, usize, Gives) = match self {
            Self::IsDefined
            | Self::IsNull
            | Self::IsBool
            | Self::IsNumber
            | Self::IsString
            | Self::IsArray
            | Self::IsObject
            | Self::IsPrimitive => (&[Any], 1, 1, Gives::Bool),
            Self::AsNumber => (&[NumberOrText], 1, 1, Gives::Number),
            Self::Abs
            | Self::Ceiling
            | Self::Exp
            | Self::Floor
            | Self::Round
            | Self::Sign
            | Self::Square
            | Self::Sqrt => (&[Number], 1, 1, Gives::Number),
            Self::Power => (&[Number], 2, 2, Gives::Number),
            Self::Concat => (&[Text], 2, usize::MAX, Gives::Text),
            Self::Length => (&[Text], 1, 1, Gives::Number),
            Self::Lower | Self::Upper => (&[Text], 1, 1, Gives::Text),
            Self::Substring => (&[Text, Number], 2, 3, Gives::Text),
            Self::IndexOf => (&[Text], 2, 2, Gives::Number),
            Self::StartsWith | Self::EndsWith | Self::Contains => (&[Text], 2, 2, Gives::Bool),
            Self::ArrayContains => (&[Any], 2, 2, Gives::Bool),
            Self::TwinChangeIncludes => (&[Path], 1, 1, Gives::Bool),
        };
        Signature { parameters, least, most, gives }
    }

    /// Calls the function. Wrong or missing arguments give `undefined` (reference query-language §3.4, §6.7).
    pub(crate) fn apply<'a>(self, arguments: &[Datum<'a>], scratch: &mut Scratch) -> Datum<'a> {
        let [first, more @ ..] = arguments else { return Datum::Undefined };
        match self {
            Self::IsDefined => Datum::Bool(first.is_defined()),
            // The edge engine compares references here, so that every value present counts as null; this is the sane
            // meaning: true for null only (a missing body path is null, reference query-language §6.6).
            Self::IsNull => Datum::Bool(matches!(first, Datum::Null)),
            Self::IsBool => Datum::Bool(matches!(first, Datum::Bool(_))),
            Self::IsNumber => Datum::Bool(matches!(first, Datum::Number(number) if number.is_finite())),
            Self::IsString => Datum::Bool(matches!(first, Datum::Text(_) | Datum::Made(_))),
            Self::IsArray => Datum::Bool(matches!(first, Datum::Array(_))),
            Self::IsObject => Datum::Bool(matches!(first, Datum::Object(_))),
            Self::IsPrimitive => {
                Datum::Bool(!matches!(first, Datum::Undefined | Datum::Array(_) | Datum::Object(_)))
            }
            Self::AsNumber => as_number(first, scratch),
            Self::Abs
            | Self::Ceiling
            | Self::Exp
            | Self::Floor
            | Self::Round
            | Self::Sign
            | Self::Square
            | Self::Sqrt => self.of_number(first),
            Self::Power => match (first, more) {
                (Datum::Number(base), [Datum::Number(exponent)]) => Datum::number(base.powf(*exponent)),
                _ => Datum::Undefined,
            },
            Self::Length => first.text(scratch).map_or(Datum::Undefined, |text| Datum::Number(count(text))),
            Self::Lower => recased(first, char::is_lowercase, char::to_lowercase, scratch),
            Self::Upper => recased(first, char::is_uppercase, char::to_uppercase, scratch),
            Self::Substring => substring(first, more, scratch).unwrap_or(Datum::Undefined),
            Self::IndexOf | Self::StartsWith | Self::EndsWith | Self::Contains => {
                self.of_texts(first, more, scratch).unwrap_or(Datum::Undefined)
            }
            Self::ArrayContains => array_contains(first, more, scratch),
            // The evaluators answer these: a text is made operand by operand, and a change is no value.
            Self::Concat | Self::TwinChangeIncludes => Datum::Undefined,
        }
    }

    fn of_number<'a>(self, argument: &Datum<'_>) -> Datum<'a> {
        let Datum::Number(number) = *argument else { return Datum::Undefined };
        Datum::number(match self {
            Self::Abs => number.abs(),
            Self::Ceiling => number.ceil(),
            Self::Exp => number.exp(),
            Self::Floor => number.floor(),
            Self::Round => number.round(),
            Self::Sign if number == 0.0 => 0.0,
            Self::Sign => number.signum(),
            Self::Square => number * number,
            Self::Sqrt => number.sqrt(),
            _ => f64::NAN,
        })
    }

    fn of_texts<'a>(self, text: &Datum<'_>, more: &[Datum<'_>], scratch: &Scratch) -> Option<Datum<'a>> {
        let (text, part) = (text.text(scratch)?, more.first()?.text(scratch)?);
        Some(match self {
            Self::StartsWith => Datum::Bool(text.starts_with(part)),
            Self::EndsWith => Datum::Bool(text.ends_with(part)),
            Self::Contains => Datum::Bool(text.contains(part)),
            Self::IndexOf => match text.find(part) {
                Some(at) => Datum::Number(count(&text[..at])),
                None => Datum::Number(-1.0),
            },
            _ => Datum::Undefined,
        })
    }
}

impl Signature {
    /// "2 arguments", "2 or 3 arguments", "at least 2 arguments".
    pub(crate) fn arguments(&self) -> String {
        let Self { least, most, .. } = *self;
        match (least, most) {
            (1, 1) => "one argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, usize::MAX) => format!("at least {least} arguments"),
            (least, most) => format!("{least} or {most} arguments"),
        }
    }
}

/// Joins texts, each evaluated when its turn comes; null counts as the empty text, anything else that is not a text
/// makes the result undefined.
pub(crate) fn joined<'a, T>(
    operands: impl Iterator<Item = T>,
    scratch: &mut Scratch,
    mut evaluate: impl FnMut(T, &mut Scratch) -> Datum<'a>,
) -> Datum<'a> {
    let start = scratch.mark();
    for operand in operands {
        let mark = scratch.mark();
        let fits = match evaluate(operand, scratch) {
            Datum::Made(made) => {
                scratch.settle(mark, made);
                true
            }
            Datum::Text(text) => {
                scratch.forget(mark);
                scratch.push(text)
            }
            Datum::Null => {
                scratch.forget(mark);
                true
            }
            Datum::Undefined | Datum::Bool(_) | Datum::Number(_) | Datum::Array(_) | Datum::Object(_) => {
                false
            }
        };
        if !fits {
            return Datum::Undefined;
        }
    }
    Datum::Made(scratch.since(start))
}

fn as_number<'a>(argument: &Datum<'_>, scratch: &Scratch) -> Datum<'a> {
    if let Datum::Number(number) = argument {
        return Datum::Number(*number);
    }
    match argument.text(scratch).map(str::trim) {
        Some(text) => {
            // `inf` and `nan` are numbers to Rust and words to everyone else; what the comma of `1,000` means depends on who
            // wrote it, so it is none either: a text that cannot be read is undefined (reference query-language §6.7).
            let numeric = |character: char| character.is_ascii_digit() || "+-.eE".contains(character);
            if text.chars().all(numeric) {
                text.parse().map_or(Datum::Undefined, Datum::number)
            } else {
                Datum::Undefined
            }
        }
        None => Datum::Undefined,
    }
}

/// Lengths and positions count characters, not UTF-16 units: a pair of surrogates is never cut.
#[expect(clippy::cast_precision_loss, reason = "a text has far fewer than 2^53 characters")]
fn count(text: &str) -> f64 {
    text.chars().count() as f64
}

fn recased<'a, C: Iterator<Item = char>>(
    argument: &Datum<'a>,
    already: fn(char) -> bool,
    recase: fn(char) -> C,
    scratch: &mut Scratch,
) -> Datum<'a> {
    let made = match argument {
        Datum::Text(text) => {
            let done = text.chars().all(|character| already(character) || !character.is_alphabetic());
            if done {
                return *argument;
            }
            scratch.recased(text, recase)
        }
        Datum::Made(made) => scratch.recased_made(*made, recase),
        _ => None,
    };
    made.map_or(Datum::Undefined, Datum::Made)
}

fn substring<'a>(text: &Datum<'a>, range: &[Datum<'_>], scratch: &Scratch) -> Option<Datum<'a>> {
    let (start, length) = match range {
        [start] => (whole(start)?, None),
        [start, length] => (whole(start)?, Some(whole(length)?)),
        _ => return None,
    };
    let bytes = {
        let text = text.text(scratch)?;
        let from = byte_at(text, start)?;
        let to = match length {
            Some(length) => from + byte_at(text.get(from..)?, length)?,
            None => text.len(),
        };
        from..to
    };
    match text {
        Datum::Text(text) => text.get(bytes).map(Datum::Text),
        Datum::Made(made) => Some(Datum::Made(made.part(&bytes))),
        _ => None,
    }
}

/// Byte offset of the character with that number; the end counts, beyond it is `None`.
fn byte_at(text: &str, characters: usize) -> Option<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(characters)
}

fn whole(argument: &Datum<'_>) -> Option<usize> {
    match argument {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked by the guard")]
        Datum::Number(number) if number.fract() == 0.0 && (0.0..=1e9).contains(number) => {
            Some(*number as usize)
        }
        _ => None,
    }
}

fn array_contains<'a>(array: &Datum<'_>, wanted: &[Datum<'_>], scratch: &Scratch) -> Datum<'a> {
    let (Datum::Array(elements), [wanted]) = (array, wanted) else { return Datum::Undefined };
    let same = |element: &Value| match (element, wanted) {
        (Value::Null, Datum::Null) => true,
        (Value::Bool(element), Datum::Bool(wanted)) => element == wanted,
        (Value::Number(element), Datum::Number(wanted)) => element.as_f64() == Some(*wanted),
        (Value::String(element), _) => wanted.text(scratch) == Some(element),
        _ => false,
    };
    match wanted {
        Datum::Undefined | Datum::Array(_) | Datum::Object(_) => Datum::Undefined,
        Datum::Null | Datum::Bool(_) | Datum::Number(_) | Datum::Text(_) | Datum::Made(_) => {
            Datum::Bool(elements.iter().any(same))
        }
    }
}
