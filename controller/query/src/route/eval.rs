//! Evaluates checked route conditions against a message. Values are borrowed from message and condition, and new texts
//! stand in the scratch: nothing is allocated once that has room.

use std::cmp::Ordering;

use serde_json::Value;

use super::ast::Operator;
use super::check::{Node, PathStep, Source, Typing};
use super::{Outcome, RouteMessage};
use crate::function::{Function, joined};
use crate::scratch::Scratch;
use crate::value::{Comparison, Datum};

/// What a condition says about a message (reference query-language §6.5).
pub(super) fn outcome(node: &Node, message: &dyn RouteMessage, scratch: &mut Scratch) -> Outcome {
    scratch.clear();
    match evaluate(node, message, scratch) {
        // A missing body path is null in a comparison, and undefined when it is the whole condition (§6.3).
        Datum::Null if matches!(node, Node::Dollar { .. }) => Outcome::Undefined,
        Datum::Bool(true) => Outcome::True,
        Datum::Bool(false) | Datum::Null => Outcome::False,
        Datum::Undefined
        | Datum::Number(_)
        | Datum::Text(_)
        | Datum::Made(_)
        | Datum::Array(_)
        | Datum::Object(_) => Outcome::Undefined,
    }
}

/// Whether JSON readers of the engines take a text for a date, which makes it undefined in conditions (§6.3):
/// `2026-01-31T12:00:00` with optional fraction and zone.
pub(super) fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !(19..=40).contains(&bytes.len()) {
        return false;
    }
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0_u32, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0'))
        })
    };
    let within =
        |from, to, least, most| number(from, to).is_some_and(|found| (least..=most).contains(&found));
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let shaped = marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark));
    let date = within(0, 4, 1, 9999) && within(5, 7, 1, 12) && within(8, 10, 1, 31);
    let time = within(11, 13, 0, 24) && within(14, 16, 0, 59) && within(17, 19, 0, 59);
    shaped && date && time && is_fraction_and_zone(&bytes[19..])
}

// ---------------------------------------------------------------------------------------------------------------

fn is_fraction_and_zone(rest: &[u8]) -> bool {
    let zone = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let digits = fraction.iter().take_while(|digit| digit.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
    };
    match zone {
        [] | [b'Z'] => true,
        [b'+' | b'-', offset @ ..] => {
            let shaped = matches!(offset, [_, _] | [_, _, _, _] | [_, _, b':', _, _]);
            shaped && offset.iter().all(|byte| byte.is_ascii_digit() || *byte == b':')
        }
        _ => false,
    }
}

fn evaluate<'m>(node: &'m Node, message: &'m dyn RouteMessage, scratch: &mut Scratch) -> Datum<'m> {
    let mark = scratch.mark();
    let value = value(node, message, scratch);
    if !matches!(value, Datum::Made(_)) {
        scratch.forget(mark);
    }
    value
}

fn value<'m>(node: &'m Node, message: &'m dyn RouteMessage, scratch: &mut Scratch) -> Datum<'m> {
    match node {
        Node::Constant(constant) => constant.into(),
        Node::Property(name) => property(name, message).unwrap_or(Datum::Undefined),
        Node::Dollar { .. } => plain(whole(node, message, scratch)),
        Node::Call { function, arguments } => call(*function, arguments, message, scratch),
        Node::ChangeIncludes(path) => match message.body() {
            None => Datum::Undefined,
            Some(change) => {
                let found = path.iter().try_fold(change, |value, name| value.as_object()?.get(&**name));
                Datum::Bool(found.is_some())
            }
        },
        Node::Negate(operand) => match evaluate(operand, message, scratch) {
            Datum::Number(number) => Datum::Number(-number),
            _ => Datum::Undefined,
        },
        Node::Not(operand, typing) => match (evaluate(operand, message, scratch), typing) {
            // As with AND and OR, a body value has to be a boolean to take part in logic.
            (Datum::Null, Typing::Dynamic) => Datum::Undefined,
            (value, _) => value.not(),
        },
        Node::Chain { first, rest } => {
            let mut left = evaluate(first, message, scratch);
            for step in rest {
                let right = evaluate(&step.operand, message, scratch);
                left = operate(step.operator, step.typing, left, right, scratch);
            }
            left
        }
        Node::Concat(operands) => {
            joined(operands.iter(), scratch, |operand, scratch| evaluate(operand, message, scratch))
        }
    }
}

fn operate<'m>(
    operator: Operator,
    typing: Typing,
    left: Datum<'m>,
    right: Datum<'m>,
    scratch: &Scratch,
) -> Datum<'m> {
    match operator {
        Operator::Coalesce => {
            if left.is_defined() {
                left
            } else {
                right
            }
        }
        // With a body value both sides have to be booleans, and neither side decides alone (§6.6).
        Operator::And | Operator::Or if typing == Typing::Dynamic => match (operator, left, right) {
            (Operator::And, Datum::Bool(left), Datum::Bool(right)) => Datum::Bool(left && right),
            (_, Datum::Bool(left), Datum::Bool(right)) => Datum::Bool(left || right),
            _ => Datum::Undefined,
        },
        Operator::And => left.and(&right),
        Operator::Or => left.or(&right),
        Operator::Compare(comparison) => compare(comparison, typing, &left, &right, scratch),
        Operator::Arithmetic(operator) => operator.apply(&left, &right),
        // The types of `||` fit no other operator of its level, so that a chain of it is a `Node::Concat`.
        Operator::Concat => Datum::Undefined,
    }
}

/// Compares as the route dialect does (§6.6). Only body values can meet another type; they are unequal then, and
/// ordered by type: boolean, number, text, null.
fn compare<'a>(
    comparison: Comparison,
    typing: Typing,
    left: &Datum<'_>,
    right: &Datum<'_>,
    scratch: &Scratch,
) -> Datum<'a> {
    if let (Some(left), Some(right)) = (left.text(scratch), right.text(scratch)) {
        return Datum::Bool(comparison.accepts(left.cmp(right)));
    }
    let order = match (left, right) {
        (Datum::Undefined, _) | (_, Datum::Undefined) => return Datum::Undefined,
        (Datum::Number(left), Datum::Number(right)) => left.partial_cmp(right),
        (Datum::Bool(left), Datum::Bool(right)) => Some(left.cmp(right)),
        (Datum::Null, Datum::Null) => Some(Ordering::Equal),
        _ if typing == Typing::Static => None,
        _ => Some(rank(left).cmp(&rank(right))),
    };
    order.map_or(Datum::Undefined, |order| Datum::Bool(comparison.accepts(order)))
}

fn rank(value: &Datum<'_>) -> u8 {
    match value {
        Datum::Undefined => 0,
        Datum::Bool(_) => 1,
        Datum::Number(_) => 2,
        Datum::Text(_) | Datum::Made(_) => 3,
        Datum::Null => 4,
        Datum::Array(_) => 5,
        Datum::Object(_) => 6,
    }
}

fn property<'m>(name: &str, message: &'m dyn RouteMessage) -> Option<Datum<'m>> {
    message.property(name).map(|value| value.map_or(Datum::Null, Datum::Text))
}

/// The value of a `$name`, objects, arrays and dates included.
fn whole<'m>(node: &'m Node, message: &'m dyn RouteMessage, scratch: &mut Scratch) -> Datum<'m> {
    let Node::Dollar { property: literal, otherwise } = node else { return evaluate(node, message, scratch) };
    if let Some(found) = literal.as_ref().and_then(|name| property(name, message)) {
        return found;
    }
    match otherwise {
        Source::System(name) => message.system(name).map_or(Datum::Undefined, Datum::Text),
        Source::Body(path) => from_json(path, message.body()),
        Source::Twin(path) => from_json(path, message.twin()),
        Source::Nothing => Datum::Undefined,
    }
}

/// What a path leads to; null when it leads nowhere, undefined when there is no document.
fn from_json<'m>(path: &[PathStep], document: Option<&'m Value>) -> Datum<'m> {
    let Some(document) = document else { return Datum::Undefined };
    let found = path.iter().try_fold(document, |value, step| match step {
        PathStep::Key(key) => value.as_object()?.get(&**key),
        PathStep::Index(index) => value.as_array()?.get(*index),
    });
    match found.map(Datum::from) {
        Some(Datum::Text(text)) if is_date(text) => Datum::Undefined,
        Some(value) => value,
        None => Datum::Null,
    }
}

/// Objects and arrays are undefined in conditions.
fn plain(value: Datum<'_>) -> Datum<'_> {
    match value {
        Datum::Array(_) | Datum::Object(_) => Datum::Undefined,
        other => other,
    }
}

fn call<'m>(
    function: Function,
    arguments: &'m [Node],
    message: &'m dyn RouteMessage,
    scratch: &mut Scratch,
) -> Datum<'m> {
    if function == Function::Concat {
        return joined(arguments.iter(), scratch, |operand, scratch| evaluate(operand, message, scratch));
    }
    // IS_ARRAY and IS_OBJECT are about the very values that are undefined everywhere else.
    let value = match function {
        Function::IsArray | Function::IsObject => whole,
        _ => evaluate,
    };
    let mut values = [Datum::Undefined; 3];
    for (slot, argument) in values.iter_mut().zip(arguments) {
        *slot = value(argument, message, scratch);
    }
    function.apply(&values[..arguments.len().min(3)], scratch)
}
