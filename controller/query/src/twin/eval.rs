//! Evaluates twin-dialect expressions against a row. Total: every expression has a value for every row, `undefined`
//! where the reference gives none (query-language §3.3).

use serde_json::Value;

use super::ast::{Connective, Expr, Membership, Path, Step};
use crate::function::{Function, concat};
use crate::value::{Arithmetic, Comparison, Datum};

/// The value of `expr` for one row.
pub(crate) fn evaluate<'a>(expr: &'a Expr, row: &'a Value) -> Datum<'a> {
    match expr {
        Expr::Constant(constant) => constant.into(),
        Expr::Array(elements) => Datum::Array(elements),
        Expr::Path(path) => look_up(path, row).map_or(Datum::Undefined, Datum::from),
        Expr::Call { function, arguments } => call(*function, arguments, row),
        Expr::Negate(operand) => match evaluate(operand, row) {
            Datum::Number(number) => Datum::Number(-number),
            _ => Datum::Undefined,
        },
        Expr::Not(operand) => evaluate(operand, row).not(),
        Expr::Logic { connective, operands } => logic(*connective, operands, row),
        Expr::Arithmetic { first, rest } => {
            rest.iter().fold(evaluate(first, row), |left, (operator, right)| {
                arithmetic(*operator, &left, &evaluate(right, row))
            })
        }
        Expr::Compare { left, operator, right } => {
            compare(*operator, &evaluate(left, row), &evaluate(right, row))
        }
        Expr::In { needle, set, membership } => {
            let needle = evaluate(needle, row);
            let found = set.iter().any(|element| {
                let element = evaluate(element, row);
                compare(Comparison::Equal, &needle, &element).is_true()
            });
            match needle {
                Datum::Undefined | Datum::Array(_) | Datum::Object(_) => Datum::Undefined,
                _ => Datum::Bool(found == (*membership == Membership::In)),
            }
        }
    }
}

/// The JSON value that a path leads to.
pub(crate) fn look_up<'a>(path: &Path, row: &'a Value) -> Option<&'a Value> {
    path.resolved.iter().try_fold(row, |value, step| match step {
        Step::Name(name) => value.as_object()?.get(name.as_str()),
        Step::Index(index) => value.as_array()?.get(*index),
    })
}

// ---------------------------------------------------------------------------------------------------------------

/// Compares as the twin dialect does: same primitive types by value; different types are unequal and have no order;
/// undefined, arrays and objects compare with nothing.
fn compare<'a>(operator: Comparison, left: &Datum<'_>, right: &Datum<'_>) -> Datum<'a> {
    let order = match (left, right) {
        (Datum::Undefined | Datum::Array(_) | Datum::Object(_), _)
        | (_, Datum::Undefined | Datum::Array(_) | Datum::Object(_)) => return Datum::Undefined,
        (Datum::Number(left), Datum::Number(right)) => left.partial_cmp(right),
        (Datum::Text(left), Datum::Text(right)) => Some(left.cmp(right)),
        (Datum::Bool(left), Datum::Bool(right)) if operator.is_equality() => Some(left.cmp(right)),
        (Datum::Null, Datum::Null) if operator.is_equality() => Some(std::cmp::Ordering::Equal),
        (Datum::Null | Datum::Bool(_) | Datum::Number(_) | Datum::Text(_), _) => {
            return match operator {
                Comparison::Equal => Datum::Bool(false),
                Comparison::NotEqual => Datum::Bool(true),
                _ => Datum::Undefined,
            };
        }
    };
    order.map_or(Datum::Undefined, |order| Datum::Bool(operator.accepts(order)))
}

/// Arithmetic whose result always fits into JSON: division by zero and overflow are undefined.
fn arithmetic<'a>(operator: Arithmetic, left: &Datum<'_>, right: &Datum<'_>) -> Datum<'a> {
    match operator.apply(left, right) {
        Datum::Number(number) if number.is_finite() => Datum::Number(number),
        _ => Datum::Undefined,
    }
}

fn logic<'a>(connective: Connective, operands: &'a [Expr], row: &'a Value) -> Datum<'a> {
    let mut values = operands.iter().map(|operand| evaluate(operand, row));
    let Some(mut result) = values.next() else { return Datum::Undefined };
    for value in values {
        result = match connective {
            Connective::And => result.and(&value),
            Connective::Or => result.or(&value),
        };
    }
    result
}

fn call<'a>(function: Function, arguments: &'a [Expr], row: &'a Value) -> Datum<'a> {
    if function == Function::Concat {
        let values: Vec<Datum<'_>> = arguments.iter().map(|argument| evaluate(argument, row)).collect();
        return concat(&values);
    }
    let mut values = [const { Datum::Undefined }; 3];
    for (slot, argument) in values.iter_mut().zip(arguments) {
        *slot = evaluate(argument, row);
    }
    let result = function.apply(&values[..arguments.len().min(3)]);
    match result {
        Datum::Number(number) if !number.is_finite() => Datum::Undefined,
        other => other,
    }
}
