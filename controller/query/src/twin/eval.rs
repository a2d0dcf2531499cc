//! Evaluates twin-dialect expressions against a row. Total: every expression has a value for every row, `undefined`
//! where the reference gives none (query-language §3.3).

use serde_json::Value;

use super::{
    ast::{Connective, Expr, Membership},
    row::Row,
};
use crate::function::{Function, joined};
use crate::scratch::Scratch;
use crate::value::{Arithmetic, Comparison, Datum};

/// Whether `expr` is exactly true for one row.
pub(crate) fn is_true<'a>(expr: &'a Expr, row: impl Row<'a>) -> bool {
    evaluate(expr, row, &mut Scratch::default()).is_true()
}

/// The value of `expr` for one row as JSON; `None` for undefined.
pub(crate) fn json(expr: &Expr, row: &Value) -> Option<Value> {
    let mut scratch = Scratch::default();
    evaluate(expr, row, &mut scratch).into_json(&scratch)
}

// ---------------------------------------------------------------------------------------------------------------

fn evaluate<'a>(expr: &'a Expr, row: impl Row<'a>, scratch: &mut Scratch) -> Datum<'a> {
    let mark = scratch.mark();
    let value = value(expr, row, scratch);
    if !matches!(value, Datum::Made(_)) {
        scratch.forget(mark);
    }
    value
}

fn value<'a>(expr: &'a Expr, row: impl Row<'a>, scratch: &mut Scratch) -> Datum<'a> {
    match expr {
        Expr::Constant(constant) => constant.into(),
        Expr::Array(elements) => Datum::Array(elements),
        Expr::Path(path) => row.datum(path),
        Expr::Call { function, arguments } => call(*function, arguments, row, scratch),
        Expr::Negate(operand) => match evaluate(operand, row, scratch) {
            Datum::Number(number) => Datum::Number(-number),
            _ => Datum::Undefined,
        },
        Expr::Not(operand) => evaluate(operand, row, scratch).not(),
        Expr::Logic { connective, operands } => logic(*connective, operands, row, scratch),
        Expr::Arithmetic { first, rest } => {
            let mut left = evaluate(first, row, scratch);
            for (operator, right) in rest {
                left = arithmetic(*operator, &left, &evaluate(right, row, scratch));
            }
            left
        }
        Expr::Compare { left, operator, right } => {
            let left = evaluate(left, row, scratch);
            let right = evaluate(right, row, scratch);
            compare(*operator, &left, &right, scratch)
        }
        Expr::In { needle, set, membership } => {
            let needle = evaluate(needle, row, scratch);
            if matches!(needle, Datum::Undefined | Datum::Array(_) | Datum::Object(_)) {
                return Datum::Undefined;
            }
            let found = set.iter().any(|element| {
                let mark = scratch.mark();
                let element = evaluate(element, row, scratch);
                let same = compare(Comparison::Equal, &needle, &element, scratch).is_true();
                scratch.forget(mark);
                same
            });
            Datum::Bool(found == (*membership == Membership::In))
        }
    }
}

/// Compares as the twin dialect does: same primitive types by value; different types are unequal and have no order;
/// undefined, arrays and objects compare with nothing.
fn compare<'a>(operator: Comparison, left: &Datum<'_>, right: &Datum<'_>, scratch: &Scratch) -> Datum<'a> {
    if let (Some(left), Some(right)) = (left.text(scratch), right.text(scratch)) {
        return Datum::Bool(operator.accepts(left.cmp(right)));
    }
    let order = match (left, right) {
        (Datum::Undefined | Datum::Array(_) | Datum::Object(_), _)
        | (_, Datum::Undefined | Datum::Array(_) | Datum::Object(_)) => return Datum::Undefined,
        (Datum::Number(left), Datum::Number(right)) => left.partial_cmp(right),
        (Datum::Bool(left), Datum::Bool(right)) if operator.is_equality() => Some(left.cmp(right)),
        (Datum::Null, Datum::Null) if operator.is_equality() => Some(std::cmp::Ordering::Equal),
        (Datum::Null | Datum::Bool(_) | Datum::Number(_) | Datum::Text(_) | Datum::Made(_), _) => {
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

fn logic<'a>(
    connective: Connective,
    operands: &'a [Expr],
    row: impl Row<'a>,
    scratch: &mut Scratch,
) -> Datum<'a> {
    let Some((first, rest)) = operands.split_first() else { return Datum::Undefined };
    let mut result = evaluate(first, row, scratch);
    for operand in rest {
        let value = evaluate(operand, row, scratch);
        result = match connective {
            Connective::And => result.and(&value),
            Connective::Or => result.or(&value),
        };
    }
    result
}

fn call<'a>(
    function: Function,
    arguments: &'a [Expr],
    row: impl Row<'a>,
    scratch: &mut Scratch,
) -> Datum<'a> {
    if function == Function::Concat {
        return joined(arguments.iter(), scratch, |argument, scratch| evaluate(argument, row, scratch));
    }
    let mut values = [Datum::Undefined; 3];
    for (slot, argument) in values.iter_mut().zip(arguments) {
        *slot = evaluate(argument, row, scratch);
    }
    let result = function.apply(&values[..arguments.len().min(3)], scratch);
    match result {
        Datum::Number(number) if !number.is_finite() => Datum::Undefined,
        other => other,
    }
}
