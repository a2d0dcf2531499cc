//! Prints twin-dialect trees back as text. Reading the text again gives the same tree.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use super::ast::{Expr, Level, Membership, Path, Step, level_of};
use super::names::{continues_name, needs_brackets_first, starts_name};
use crate::lexer::{printed, quoted};
use crate::value::Constant;

/// An operand, in parentheses when it binds looser than its place needs.
struct Operand<'e>(&'e Expr, Level);

/// Things with `, ` between them.
struct List<'e, T>(&'e [T]);

// ---------------------------------------------------------------------------------------------------------------

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(constant) => constant.fmt(f),
            Self::Array(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    element_fmt(element, f)?;
                }
                f.write_str("]")
            }
            Self::Path(path) => path.fmt(f),
            Self::Call { function, arguments } => write!(f, "{}({})", function.name(), List(arguments)),
            // Digits directly after the sign would be read as one negative number. A number that has its own sign
            // is safe, and must stay bare: parentheses are one level more than the text had that was read.
            Self::Negate(operand) if matches!(**operand, Self::Constant(Constant::Number(number)) if number.is_sign_positive()) =>
            {
                write!(f, "-({operand})")
            }
            Self::Negate(operand) => write!(f, "-{}", Operand(operand, Level::Unary)),
            Self::Not(operand) => write!(f, "NOT {}", Operand(operand, Level::Not)),
            Self::Logic { connective, operands } => {
                for (index, operand) in operands.iter().enumerate() {
                    if index > 0 {
                        write!(f, " {} ", connective.word())?;
                    }
                    Operand(operand, connective.level().tighter()).fmt(f)?;
                }
                Ok(())
            }
            Self::Arithmetic { first, rest } => {
                Operand(first, self.level().tighter()).fmt(f)?;
                rest.iter().try_for_each(|(operator, operand)| {
                    write!(f, " {} {}", operator.symbol(), Operand(operand, level_of(*operator).tighter()))
                })
            }
            Self::Compare { left, operator, right } => {
                let (left, right) = (Operand(left, Level::Sum), Operand(right, Level::Sum));
                write!(f, "{left} {} {right}", operator.symbol())
            }
            Self::In { needle, set, membership } => {
                let word = match membership {
                    Membership::In => "IN",
                    Membership::NotIn => "NIN",
                };
                let needle = Operand(needle, Level::Sum);
                if set.iter().all(|element| matches!(element, Self::Constant(_))) {
                    write!(f, "{needle} {word} [{}]", List(set))
                } else {
                    write!(f, "{needle} {word} ({})", List(set))
                }
            }
        }
    }
}

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.level() < self.1 { write!(f, "({})", self.0) } else { self.0.fmt(f) }
    }
}

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, element) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            element.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, step) in self.written.iter().enumerate() {
            match step {
                Step::Index(number) => write!(f, "[{number}]")?,
                Step::Name(name) => {
                    f.write_str(if index == 0 { "" } else { "." })?;
                    name_fmt(name, index == 0, f)?;
                }
            }
        }
        Ok(())
    }
}

/// A name, in `[[ ]]` where it would be read as something else.
pub(crate) fn name_fmt(name: &str, is_first: bool, f: &mut Formatter<'_>) -> fmt::Result {
    let plain = name.starts_with(starts_name) && name.chars().all(continues_name);
    if plain && !(is_first && needs_brackets_first(name)) {
        f.write_str(name)
    } else {
        write!(f, "[[{name}]]")
    }
}

fn element_fmt(element: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    match element {
        Value::String(text) => f.write_str(&quoted(text)),
        Value::Number(number) => f.write_str(&printed(number.as_f64().unwrap_or_default())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => write!(f, "{element}"),
    }
}
