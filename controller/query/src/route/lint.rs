//! Conditions that are legal and probably do not mean what they say. Warnings only: the engines accept them.

use super::ast::{Expr, Form, Kind};
use super::eval::is_date;
use super::names::{after, near_system, system};
use crate::Diagnostic;
use crate::value::Constant;

/// All warnings for a condition, in reading order.
pub(super) fn warnings(expr: &Expr) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    expr.visit(&mut |expr| warnings.extend(warning(expr)));
    warnings
}

/// What to write instead of a name that contains an operator: the longest-match trap of reference query-language §6.1.
/// `a!=b`, `a+b` and `3-4` are names, or start with one.
pub(super) fn swallowed(name: &str) -> Option<String> {
    let trapped = name.contains(['!', '+', '*', '%', '|', '&', '\''])
        || name.ends_with('-')
        || name.starts_with('-')
        || name.chars().all(|character| character.is_ascii_digit() || "-.".contains(character));
    if !trapped {
        return None;
    }
    let parts: Vec<&str> =
        name.split(['!', '+', '*', '%', '|', '&', '-']).filter(|part| !part.is_empty()).collect();
    let operator = name.chars().find(|character| "!+*%|&-".contains(*character));
    Some(match (parts.as_slice(), operator) {
        ([name], Some('!')) => format!("write `{name} != …`"),
        ([left, right], Some('|')) => format!("write `{left} || {right}`"),
        ([left, right], Some('&')) => format!("write `{left} AND {right}`"),
        ([left, right], Some(operator)) => format!("write `{left} {operator} {right}`"),
        _ => "put blanks around operators".to_owned(),
    })
}

// ---------------------------------------------------------------------------------------------------------------

fn warning(expr: &Expr) -> Option<Diagnostic> {
    match &expr.kind {
        Kind::Property(name) => swallowed_operator(expr, name).or_else(|| capital_constant(expr, name)),
        Kind::Dollar { name, form } => {
            swallowed_operator(expr, name).or_else(|| unknown_system(expr, name, *form))
        }
        Kind::Chain { first, rest } => {
            let mut operands = std::iter::once(&**first).chain(rest.iter().map(|link| &link.operand));
            let body = operands.clone().any(is_body);
            let date = operands.find(|operand| is_date_text(operand)).filter(|_| body)?;
            let message = "dates in a body are undefined, so this comparison never holds";
            Some(
                Diagnostic::new(date.at.0, message)
                    .hint("send the time as a number, or as an application property"),
            )
        }
        Kind::Constant(_) | Kind::Call { .. } | Kind::Negate(_) | Kind::Not(_) => None,
    }
}

fn swallowed_operator(expr: &Expr, name: &str) -> Option<Diagnostic> {
    let hint = swallowed(name)?;
    let message = format!("`{name}` is one name: operators are part of a name unless blanks separate them");
    Some(Diagnostic::new(expr.at.0, message).hint(hint))
}

fn capital_constant(expr: &Expr, name: &str) -> Option<Diagnostic> {
    let constant =
        ["true", "false", "null", "undefined"].into_iter().find(|word| word.eq_ignore_ascii_case(name))?;
    let message = format!("`{name}` is a property here: only `{constant}` in small letters is the value");
    Some(Diagnostic::new(expr.at.0, message).hint(format!("write {constant}")))
}

fn unknown_system(expr: &Expr, name: &str, form: Form) -> Option<Diagnostic> {
    if after(name, "$body.").or_else(|| after(name, "$twin.")).is_some() {
        return None;
    }
    let bare = name.strip_prefix('$')?;
    if system(bare).is_some() {
        return None;
    }
    let message = match form {
        Form::Plain => format!("there is no system property `{name}`"),
        Form::InBraces => format!("there is no system property `{name}`, so this is always undefined"),
    };
    let warning = Diagnostic::new(expr.at.0, message);
    if bare.eq_ignore_ascii_case("body") {
        return Some(warning.hint("name a member of the body: $body.temperature"));
    }
    Some(match near_system(bare) {
        Some(known) => warning.hint(format!("did you mean ${known}?")),
        None => warning.hint(format!("an application property is written without $: {bare}")),
    })
}

fn is_body(expr: &Expr) -> bool {
    matches!(&expr.kind, Kind::Dollar { name, .. } if after(name, "$body.").is_some())
}

fn is_date_text(expr: &Expr) -> bool {
    matches!(&expr.kind, Kind::Constant(Constant::Text(text)) if is_date(text))
}
