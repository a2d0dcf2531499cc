//! createOptions: the body of the engine's container-create call, as an object or as the JSON text of one. What the body
//! may say is in `engine`; here its problems get their places.

use std::borrow::Cow;

use serde_json::Value;

use super::{Context, words};
use crate::{
    document::{CreateOptions, Object},
    edge::chunk,
    engine::{self, At, Change, Problem},
    finding::Finding,
    text::{InText, names_twice},
};

/// Judges options; the text form comes back parsed.
pub(super) fn check<'a>(
    options: &'a CreateOptions,
    pointer: &str,
    context: &mut Context<'_>,
) -> Option<Cow<'a, Object>> {
    let object = match options {
        CreateOptions::Object(object) => Cow::Borrowed(object),
        CreateOptions::Text(text) => Cow::Owned(parse(text, pointer, context)?),
    };
    if let Err(why) = chunk::check(&object) {
        context.error("create-options", pointer, why.to_string());
        // Nobody reads the details of fifty thousand characters.
        return Some(object);
    }
    for problem in engine::problems(&object) {
        let finding = placed(&problem, pointer, &object, context);
        context.add(finding);
    }
    Some(object)
}

/// A problem of the body at its place in the document.
fn placed(problem: &Problem, pointer: &str, body: &Object, context: &Context<'_>) -> Finding {
    let at = format!("{pointer}{}", problem.pointer);
    let message = problem.message.clone();
    let (located, severity, rule) = (context.located, problem.severity, problem.rule);
    let finding = match problem.at {
        At::Key => located.finding_at_key(severity, rule, &at, message),
        At::Value => located.finding(severity, rule, &at, message),
        At::Within(start, end) => {
            let text = follow(body, &problem.pointer).and_then(Value::as_str).unwrap_or_default();
            located.finding_in(severity, rule, InText { pointer: &at, text, start, end }, message)
        }
    };
    let fix = problem.change.as_ref().and_then(|change| match change {
        Change::Name(name) => located.fix_name(&at, name),
        Change::Value(value) => located.fix_value(&at, value),
        Change::Quote => located.fix_quotes(&at),
    });
    finding.with_hint_if(problem.hint.clone()).with_fix(fix)
}

fn follow<'a>(body: &'a Object, pointer: &str) -> Option<&'a Value> {
    let rest = pointer.strip_prefix('/')?;
    let (first, rest) = rest.split_once('/').map_or((rest, None), |(first, rest)| (first, Some(rest)));
    let value = body.get(&super::unescape(first))?;
    match rest {
        Some(rest) => value.pointer(&format!("/{rest}")),
        None => Some(value),
    }
}

fn parse(text: &str, pointer: &str, context: &mut Context<'_>) -> Option<Object> {
    if text.trim().is_empty() {
        return Some(Object::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => {
            for twice in names_twice(text).into_iter().take(engine::PROBLEMS) {
                let place = InText { pointer, text, start: twice.start, end: twice.end };
                let message = format!("{:?} stands twice here; the engine takes the last one", twice.name);
                context.error_in("duplicate-key", place, message);
            }
            Some(object)
        }
        Ok(Value::Null) => Some(Object::new()),
        Ok(other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_))) => {
            let message = format!("createOptions must be the JSON of an object, this is {}", words(&other));
            context.error("create-options", pointer, message);
            None
        }
        Err(why) => {
            let start = offset(text, why.line(), why.column());
            let end = text
                .get(start..)
                .and_then(|rest| rest.chars().next())
                .map_or(start, |c| start + c.len_utf8());
            let place = InText { pointer, text, start, end };
            // serde_json ends its message with a place inside the text, which means nothing to the reader of the file.
            let why = why.to_string();
            let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why);
            let finding =
                context.error_in("create-options", place, format!("createOptions are not JSON: {why}"));
            finding.hint = Some("writing them as YAML instead needs no quotes".to_owned());
            None
        }
    }
}

/// The byte that serde_json means: lines and columns start at 1, columns count bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut offset = (before + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
