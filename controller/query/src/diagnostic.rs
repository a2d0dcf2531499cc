//! What is wrong with a text, where, and what to write instead. Not an error type: user input yields findings.

use std::fmt;

use crate::{MAX_TEXT, Span};

/// One finding about a query, condition or route text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The piece of the text that the message is about.
    pub span: Span,
    /// What is wrong, without the position.
    pub message: String,
    /// What to write instead, where we know.
    pub hint: Option<String>,
}

/// Characters shown before and after a problem in a long line.
const CONTEXT: usize = 60;

// ---------------------------------------------------------------------------------------------------------------

impl Diagnostic {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The message, the line of `text` it is about, and carets below it with the hint.
    ///
    /// `text` is the text that was parsed; with any other text the picture is off but nothing fails. A line longer
    /// than a screen is cut around the problem.
    #[must_use]
    pub fn render(&self, text: &str) -> String {
        let start = boundary(text, self.span.start);
        let end = boundary(text, self.span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line_number = text[..line_start].matches('\n').count() + 1;
        let before: Vec<char> = text[line_start..start].chars().collect();
        let marked: Vec<char> = text[start..end.min(line_end)].chars().collect();
        let after: Vec<char> = text[end.min(line_end)..line_end].trim_end().chars().collect();
        let cut_before = before.len().saturating_sub(CONTEXT);
        let cut_marked = marked.len().min(2 * CONTEXT);

        let mut line = String::new();
        let mut carets = String::new();
        if cut_before > 0 {
            line.push('…');
            carets.push(' ');
        }
        for character in &before[cut_before..] {
            line.push(visible(*character));
            carets.push(' ');
        }
        line.extend(marked[..cut_marked].iter().copied().map(visible));
        carets.push_str(&"^".repeat(cut_marked.max(1)));
        if cut_marked < marked.len() || after.len() > CONTEXT {
            line.extend(
                after.iter().take(if cut_marked < marked.len() { 0 } else { CONTEXT }).copied().map(visible),
            );
            line.push('…');
        } else {
            line.extend(after.iter().copied().map(visible));
        }

        let gutter = line_number.to_string();
        let blank = " ".repeat(gutter.len());
        let hint = self.hint.as_deref().map(|hint| format!(" {hint}")).unwrap_or_default();
        format!("{}\n{gutter} | {}\n{blank} | {carets}{hint}", self.message, line.trim_end())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A text that is longer than any dialect allows (reference query-language §1).
pub(crate) fn too_long(text: &str) -> Option<Diagnostic> {
    let (at, _) = text.char_indices().nth(MAX_TEXT)?;
    let message = format!("the text has {} characters, the limit is {MAX_TEXT}", text.chars().count());
    Some(Diagnostic::new(Span::new(at, text.len()), message))
}

/// A character as it may stand in one line of a terminal: tabs and control characters would move the carets.
fn visible(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

fn boundary(text: &str, wanted: usize) -> usize {
    let mut at = wanted.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
