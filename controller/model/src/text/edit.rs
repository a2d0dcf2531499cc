//! Changes of a document's text that keep its quoting: another name, another value, quotes, a member less. What a manifest
//! beside the document says is changed there, when the manifest is no template.
//!
//! Every change is checked against what is written: where that is not what was read (an alias, a tag, a text over several
//! lines), there is no change rather than a wrong one.

use serde_json::Value;

use super::{
    InText, Located,
    located::piece_of,
    marks::{Mark, Place, Stretch},
    nested::Nested,
    scalar::{self, Plain},
};
use crate::finding::{Edit, Fix, Spot};

impl Located {
    /// Another name for a member.
    pub(crate) fn fix_name(&self, pointer: &str, new: &str) -> Option<Fix> {
        let (author, pointer) = self.author(pointer)?;
        let old = unescaped(pointer.rsplit('/').next()?);
        if !is_word(new) {
            return None;
        }
        let marks = author.marks();
        let found = marks.find(&pointer);
        let stretch = match Nested::of(author.source(), &found) {
            Some(nested) if nested.is_exact() => nested.key(),
            Some(_) => return None,
            None => author.tight(found.exact.then_some(found.mark.key?)?)?,
        };
        let written = author.written(stretch)?;
        let (quote, bare) = unquoted(written);
        if bare != old {
            return None;
        }
        let text = if quote.is_empty() && !is_plain(new) {
            format!("\"{new}\"")
        } else {
            format!("{quote}{new}{quote}")
        };
        Some(author.fix(format!("write {new:?} instead of {old:?}"), stretch, text))
    }

    /// Another value for a scalar.
    pub(crate) fn fix_value(&self, pointer: &str, new: &Value) -> Option<Fix> {
        let (author, pointer) = self.author(pointer)?;
        let (stretch, escaped) = author.scalar(&pointer)?;
        let written = author.written(stretch)?;
        let said = match new {
            Value::String(text) if is_word(text) => format!("{text:?}"),
            Value::Number(_) | Value::Bool(_) | Value::Array(_) => new.to_string(),
            Value::String(_) | Value::Null | Value::Object(_) => return None,
        };
        let text = match (escaped, new) {
            (Some(style), _) => style.encode(&said)?,
            (None, Value::String(word)) => {
                let (quote, _) = unquoted(written);
                if quote.is_empty() && !is_plain(word) {
                    said.clone()
                } else {
                    format!("{quote}{word}{quote}")
                }
            }
            (None, _) => said.clone(),
        };
        Some(author.fix(format!("write {said}"), stretch, text))
    }

    /// The value as it is written, in quotes.
    pub(crate) fn fix_quotes(&self, pointer: &str) -> Option<Fix> {
        let (author, pointer) = self.author(pointer)?;
        let (stretch, escaped) = author.scalar(&pointer)?;
        let written = author.written(stretch)?;
        if !written.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_')) {
            return None;
        }
        let said = format!("\"{written}\"");
        let text = match escaped {
            Some(style) => style.encode(&said)?,
            None => said.clone(),
        };
        Some(author.fix(format!("write {said}"), stretch, text))
    }

    /// A plain scalar in quotes.
    pub(super) fn quoted(&self, stretch: Stretch) -> Option<Fix> {
        let written = self.written(stretch).filter(|written| is_word(written))?;
        let text = format!("\"{written}\"");
        Some(self.fix(format!("write {text}"), stretch, text))
    }

    /// Another word inside a text value.
    pub fn fix_within(&self, place: InText<'_>, new: &str) -> Option<Fix> {
        let old = place.text.get(place.start..place.end)?;
        let (author, pointer) = self.author(place.pointer)?;
        let stretch = author.stretch_in(InText { pointer: &pointer, ..place });
        let simple = |text: &str| !text.is_empty() && text.chars().all(|c| is_word_character(c) || c == '$');
        if author.written(stretch)? != old || !simple(new) || !simple(old) {
            return None;
        }
        Some(author.fix(format!("write {new} instead of {old}"), stretch, new.to_owned()))
    }

    /// A member of a mapping less; the mapping too, when nothing else is in it.
    pub(crate) fn fix_removal(&self, pointer: &str, what: &str) -> Option<Fix> {
        let marks = self.marks();
        let found = marks.find(pointer);
        let parent = found.parent.filter(|_| found.exact)?;
        let (above, _) = pointer.rsplit_once('/')?;
        if parent.children.len() == 1 && !above.is_empty() {
            return self.fix_removal(above, what);
        }
        let index = parent.children.iter().position(|(_, child)| std::ptr::eq(child, found.mark))?;
        let stretch = match self.from(parent.value.start).starts_with('{') {
            true => flow(parent, index)?,
            false => self.block(found.mark)?,
        };
        Some(self.fix(what.to_owned(), stretch, String::new()))
    }

    /// The lines of a member of a block mapping.
    fn block(&self, mark: &Mark) -> Option<Stretch> {
        let start = mark.key?.start;
        let line = self.source().line(start.line);
        let indent = line.chars().take_while(|c| *c == ' ').count();
        if indent + 1 != start.column as usize {
            // Behind a dash or a question mark.
            return None;
        }
        let end = mark.value.end;
        let behind = if end.column == 1 && end.line > start.line { end.line } else { end.line + 1 };
        if behind > self.source().lines() {
            // The last line of the file has no end of its own.
            return None;
        }
        Some(Stretch { start: Place { line: start.line, column: 1 }, end: Place { line: behind, column: 1 } })
    }

    /// Where a scalar is written, quotes included, and how, when it is inside a JSON text.
    fn scalar(&self, pointer: &str) -> Option<(Stretch, Option<Style>)> {
        let marks = self.marks();
        let found = marks.find(pointer);
        if let Some(nested) = Nested::of(self.source(), &found) {
            let style = Style::of(self.from(nested.start()));
            let stretch = nested.written();
            let same = nested.is_exact() && self.written(stretch)? == style.encode(nested.raw())?;
            return (same && !nested.raw().starts_with(['{', '['])).then_some((stretch, Some(style)));
        }
        let stretch = self.tight(found.mark.value)?;
        let fits = found.exact && !found.mark.container && stretch.start != stretch.end;
        // With an anchor or a tag in front, more is meant than the value.
        let plain = !self.written(stretch)?.starts_with(['&', '!', '*', '|', '>']);
        (fits && plain).then_some((stretch, None))
    }

    /// A stretch without the blanks at its end, which the parser counts to a quoted scalar.
    fn tight(&self, stretch: Stretch) -> Option<Stretch> {
        let written = self.written(stretch)?;
        let blanks = written.chars().rev().take_while(|c| c.is_whitespace()).count();
        let column = stretch.end.column.saturating_sub(u32::try_from(blanks).ok()?);
        Some(Stretch { end: Place { column, ..stretch.end }, ..stretch })
    }

    /// The text of a stretch that is on one line.
    fn written(&self, stretch: Stretch) -> Option<&str> {
        piece_of(self.source().line(stretch.start.line), stretch)
    }

    fn fix(&self, description: String, stretch: Stretch, text: String) -> Fix {
        let spot = |place: Place| Spot { line: place.line, column: place.column };
        let edit =
            Edit { file: self.file().clone(), start: spot(stretch.start), end: spot(stretch.end), text };
        Fix { description, edits: vec![edit] }
    }
}

/// A member of a flow mapping, with the comma on one side of it.
fn flow(parent: &Mark, index: usize) -> Option<Stretch> {
    let own = &parent.children.get(index)?.1;
    let next = parent.children.get(index + 1).and_then(|(_, next)| next.key);
    let before = index.checked_sub(1).and_then(|before| parent.children.get(before));
    match (next, before) {
        (Some(next), _) => Some(Stretch { start: own.key?.start, end: next.start }),
        (None, Some((_, before))) => Some(Stretch { start: before.value.end, end: own.value.end }),
        (None, None) => None,
    }
}

/// How a JSON text is written in its document.
#[derive(Clone, Copy)]
enum Style {
    Single,
    Double,
    Bare,
}

impl Style {
    fn of(written: &str) -> Self {
        match written.chars().next() {
            Some('"') => Self::Double,
            Some('\'') => Self::Single,
            Some(_) | None => Self::Bare,
        }
    }

    /// A piece of JSON as it stands there.
    fn encode(self, json: &str) -> Option<String> {
        let simple = |c: char| !c.is_control() && c != '\\';
        if !json.chars().all(simple) {
            return None;
        }
        Some(match self {
            Self::Single => json.replace('\'', "''"),
            Self::Double => json.replace('"', "\\\""),
            Self::Bare => json.to_owned(),
        })
    }
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The quote around a scalar, and what is in it.
fn unquoted(written: &str) -> (&str, &str) {
    for quote in ["\"", "'"] {
        let inner = written.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return (quote, inner);
        }
    }
    ("", written)
}

fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '+')
}

/// Does it need no escape, however it is quoted?
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_character)
}

/// Is the word a text without quotes as well?
fn is_plain(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && matches!(scalar::plain(word), Plain::Value(Value::String(_)))
        && !scalar::reads_otherwise_in_yaml_1_1(word)
}
