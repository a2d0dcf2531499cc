//! `${NAME}` in the text of a template: filled before the text is parsed, so that a template need not be JSON until then.
//! `$NAME` without braces is one too when it has a value. Comments, which Azure's tools read over, are blanked.
//!
//! No value can break the file: inside quotes it is escaped, outside it is one whole JSON value. Every value comes in on
//! one line, so lines keep their numbers, and [`Shift`]s lead from a column of the filled text back to the written one.
//!
//! Not here: where the values come from, and which missing ones matter (`azure`).

use std::borrow::Cow;

use serde_json::Value;

use super::marks::{Place, Stretch};
use crate::document::Object;

/// A template with its values in place.
pub(super) struct Filled {
    pub(super) text: String,
    pub(super) shifts: Vec<Shift>,
    pub(super) unset: Vec<Unset>,
}

/// One replaced variable: where the replacement stands in the filled text, and how long both forms are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    at: Place,
    filled: u32,
    written: u32,
}

/// A variable without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unset {
    pub(crate) name: String,
    /// `$NAME` may be a text that only looks like a variable.
    pub(crate) braces: bool,
    /// Where it stands, as columns of the filled text.
    pub(super) at: Stretch,
}

/// Does a `${NAME}` stand outside of quotes, where only a template can have it?
pub(crate) fn is_bare_template(text: &str) -> bool {
    let text = without_comments(text);
    let nothing = Object::new();
    let mut scan = Scan::new(&text, &nothing);
    while let Some(piece) = scan.next() {
        if let Piece::Variable(Variable { braces: true, .. }, false) = piece {
            return scan.json;
        }
    }
    false
}

/// The text with blanks in the place of its comments, line by line as long as before. Only for JSON.
pub(super) fn without_comments(text: &str) -> Cow<'_, str> {
    let head = text.trim_start();
    if !(head.starts_with(['{', '/']) && (text.contains("//") || text.contains("/*"))) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let (mut state, mut escaped) = (State::Code, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let next = characters.peek().copied();
        state = match state {
            State::Code if c == '"' => State::Quoted,
            State::Code if c == '/' && next == Some('/') => State::Line,
            State::Code if c == '/' && next == Some('*') => {
                out.push(' ');
                characters.next();
                State::Block
            }
            State::Quoted if c == '"' && !escaped => State::Code,
            State::Line if c == '\n' || c == '\r' => State::Code,
            State::Block if c == '*' && next == Some('/') => {
                out.push_str("  ");
                characters.next();
                state = State::Code;
                continue;
            }
            state => state,
        };
        escaped = state == State::Quoted && c == '\\' && !escaped;
        let shown = matches!(state, State::Code | State::Quoted) || c == '\n' || c == '\r';
        out.push(if shown { c } else { ' ' });
    }
    Cow::Owned(out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    Quoted,
    Line,
    Block,
}

/// Fills a template. `None` when the result would be longer than `limit` bytes.
pub(super) fn fill(text: &str, variables: &Object, limit: usize) -> Option<Filled> {
    let mut filled =
        Filled { text: String::with_capacity(text.len()), shifts: Vec::new(), unset: Vec::new() };
    let mut place = Place { line: 1, column: 1 };
    let mut scan = Scan::new(text, variables);
    while let Some(piece) = scan.next() {
        match piece {
            Piece::Text(text) => {
                filled.text.push_str(text);
                walk(text, &mut place);
            }
            Piece::Variable(Variable { name, written, braces }, quoted) => {
                let value = variables.get(name).filter(|value| !value.is_null());
                let text = match value {
                    Some(value) if quoted => inside(value),
                    Some(value) if scan.json => whole(value),
                    Some(value) => plain(value),
                    None if scan.json && !quoted && braces => "null".to_owned(),
                    None => written.to_owned(),
                };
                let (length, before) = (count(&text), count(written));
                if length != before {
                    filled.shifts.push(Shift { at: place, filled: length, written: before });
                }
                let end = Place { column: place.column + length, ..place };
                if value.is_none() {
                    filled.unset.push(Unset {
                        name: name.to_owned(),
                        braces,
                        at: Stretch { start: place, end },
                    });
                }
                filled.text.push_str(&text);
                place = end;
            }
        }
        if filled.text.len() > limit {
            return None;
        }
    }
    Some(filled)
}

/// From the filled text back to the written one. What starts or ends inside a value takes in the whole variable.
pub(super) fn as_written(shifts: &[Shift], Stretch { start, end }: Stretch) -> Stretch {
    Stretch { start: back(shifts, start, Edge::Start), end: back(shifts, end, Edge::End) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Start,
    End,
}

fn back(shifts: &[Shift], place: Place, edge: Edge) -> Place {
    let mut column = i64::from(place.column);
    let first = shifts.partition_point(|shift| shift.at.line < place.line);
    for shift in
        shifts.get(first..).unwrap_or_default().iter().take_while(|shift| shift.at.line == place.line)
    {
        let (start, end) = (shift.at.column, shift.at.column + shift.filled);
        // What ends where an empty value stands ends before its variable.
        if place.column >= end && (edge == Edge::Start || place.column > start) {
            column += i64::from(shift.written) - i64::from(shift.filled);
        } else if place.column > start {
            column -= i64::from(place.column - start);
            if edge == Edge::End {
                column += i64::from(shift.written);
            }
        }
    }
    Place { column: u32::try_from(column).unwrap_or(1), ..place }
}

// ---------------------------------------------------------------------------------------------------------------

enum Piece<'a> {
    Text(&'a str),
    /// And whether it stands inside a JSON string.
    Variable(Variable<'a>, bool),
}

#[derive(Clone, Copy)]
struct Variable<'a> {
    name: &'a str,
    written: &'a str,
    braces: bool,
}

/// Cuts a text at its variables.
struct Scan<'a> {
    rest: &'a str,
    variables: &'a Object,
    /// Quotes mean something in JSON only.
    json: bool,
    quoted: bool,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str, variables: &'a Object) -> Self {
        Self { rest: text, variables, json: text.trim_start().starts_with('{'), quoted: false }
    }

    fn next(&mut self) -> Option<Piece<'a>> {
        if let Some(variable) = variable(self.rest, self.variables) {
            self.rest = self.rest.get(variable.written.len()..)?;
            return Some(Piece::Variable(variable, self.quoted));
        }
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            if c == '$' && at > 0 && variable(self.rest.get(at..)?, self.variables).is_some() {
                let (text, rest) = self.rest.split_at(at);
                self.rest = rest;
                return Some(Piece::Text(text));
            }
            if self.json && c == '"' && !escaped {
                self.quoted = !self.quoted;
            }
            escaped = self.quoted && c == '\\' && !escaped;
        }
        let text = std::mem::take(&mut self.rest);
        (!text.is_empty()).then_some(Piece::Text(text))
    }
}

/// The variable that a text starts with: anything in braces; a name without them when it has a value, or looks like the
/// name of an environment variable.
fn variable<'a>(text: &'a str, variables: &Object) -> Option<Variable<'a>> {
    let inside = text.strip_prefix('$')?;
    if let Some(inside) = inside.strip_prefix('{') {
        let end = inside.find(|c: char| matches!(c, '}' | '{' | '"' | '\\') || c.is_control())?;
        let name = inside.get(..end)?;
        let whole = inside.get(end..)?.starts_with('}') && !name.trim().is_empty();
        return whole.then_some(Variable { name, written: text.get(..end + 3)?, braces: true });
    }
    let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
    let name = inside.get(..end)?;
    let upper = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.contains('_');
    let like_environment = upper && !name.contains(|c: char| c.is_ascii_lowercase());
    (variables.contains_key(name) || like_environment).then_some(Variable {
        name,
        written: text.get(..end + 1)?,
        braces: false,
    })
}

/// A value as a piece of a JSON string.
fn inside(value: &Value) -> String {
    let quoted = Value::from(text_of(value)).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// A value as JSON. A text that is JSON already is taken as that, as tools that know texts only mean it.
fn whole(value: &Value) -> String {
    match value {
        Value::String(text) => {
            serde_json::from_str::<Value>(text).unwrap_or_else(|_| value.clone()).to_string()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A value in a file that is no JSON.
fn plain(value: &Value) -> String {
    text_of(value).replace(char::is_control, " ")
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX / 2)
}

/// Moves a place over a text. Lines end as in `source`.
fn walk(text: &str, place: &mut Place) {
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\n' || (c == '\r' && characters.peek() != Some(&'\n')) {
            *place = Place { line: place.line + 1, column: 1 };
        } else {
            place.column += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(text: &str) -> Filled {
        let variables = json!({"A": "a\"b\\", "N": 7, "O": {"x": [1]}, "T": "12", "E": "", "W": "two words"});
        fill(text, variables.as_object().unwrap(), 10_000).unwrap()
    }

    #[test]
    fn values_fit_the_place_that_they_come_to() {
        for (text, wanted) in [
            (r#"{"a": "${A}"}"#, json!({"a": "a\"b\\"})),
            (
                r#"{"a": ${N}, "b": ${O}, "c": ${T}, "d": ${W}}"#,
                json!({"a": 7, "b": {"x": [1]}, "c": 12, "d": "two words"}),
            ),
            (r#"{"a": "${O}"}"#, json!({"a": "{\"x\":[1]}"})),
            (r#"{"a": "\\${N}", "b": "\"${N}"}"#, json!({"a": "\\7", "b": "\"7"})),
            (r#"{"${W}": "${E}${E}${N}"}"#, json!({"two words": "7"})),
            (
                r#"{"a": "${", "b": "${}", "c": "$M", "d": "${a{b}"}"#,
                json!({"a": "${", "b": "${}", "c": "$M", "d": "${a{b}"}),
            ),
            (r#"{"a": $N, "b": "$N,$T;$NO_ONE $W"}"#, json!({"a": 7, "b": "7,12;$NO_ONE two words"})),
            (r#"{"a": ${MISSING}, "b": "x${MISSING}"}"#, json!({"a": null, "b": "x${MISSING}"})),
        ] {
            let read: Value =
                serde_json::from_str(&filled(text).text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(read, wanted, "{text}");
        }
        assert_eq!(filled("a: ${W}/x\n").text, "a: two words/x\n");
        assert!(is_bare_template("{\"a\": ${N}}") && !is_bare_template("{\"a\": \"${N}\"}"));
        assert!(fill("{\"a\": \"${A}\"}", json!({"A": "x".repeat(99)}).as_object().unwrap(), 50).is_none());
    }

    #[test]
    fn comments_leave_blanks() {
        for (text, wanted) in [
            ("{ // a \"b\n\"c\": 1}", "{        \n\"c\": 1}"),
            ("{/* é\n*/\"u\": \"http://x/*y*/\\\"//\"}", "{    \n  \"u\": \"http://x/*y*/\\\"//\"}"),
            ("// head\r\n{\"a\": 1 /**/ }", "       \r\n{\"a\": 1      }"),
            ("image: http://x # yaml\n", "image: http://x # yaml\n"),
        ] {
            assert_eq!(without_comments(text), wanted, "{text}");
        }
    }

    #[test]
    fn columns_lead_back_to_the_written_text() {
        let text = "{\"a\": \"${W}x${E}y\",\r\n \"b\": ${O}, \"é${W}\": z}";
        let filled = filled(text);
        let (lines, written): (Vec<&str>, Vec<&str>) =
            (filled.text.lines().collect(), text.lines().collect());
        for (line, found) in [(0, 'x'), (0, 'y'), (1, ','), (1, 'é'), (1, 'z')] {
            let column =
                |text: &str| u32::try_from(text.chars().position(|c| c == found).unwrap() + 1).unwrap();
            let number = u32::try_from(line + 1).unwrap();
            let start = Place { line: number, column: column(lines[line]) };
            let end = Place { column: start.column + 1, ..start };
            let back = as_written(&filled.shifts, Stretch { start, end });
            let wanted = Place { line: number, column: column(written[line]) };
            assert_eq!((back.start, back.end.column), (wanted, wanted.column + 1), "{found}");
        }
        // Inside a value: the whole variable.
        let inside = Stretch { start: Place { line: 1, column: 10 }, end: Place { line: 1, column: 12 } };
        let back = as_written(&filled.shifts, inside);
        assert_eq!((back.start.column, back.end.column), (8, 12));
    }
}
