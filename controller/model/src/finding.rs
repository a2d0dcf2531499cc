//! What is wrong with a document, where, and what to do: the one currency of validation, plan and CLI.
//!
//! The formats of other programs are in [`sarif`], [`github`] and [`junit`]; the catalogue of rules is `rules`. Not here:
//! colours (the CLI's), and the checks themselves (`text`, `valid`, `plan`).

mod fix;
pub mod github;
pub mod junit;
pub mod sarif;

use std::{borrow::Cow, fmt, sync::Arc};

pub use fix::{Edit, Fix, Mended, Spot, mend};

use serde::{Deserialize, Serialize};

/// How bad a finding is. An error keeps the whole revision from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The revision cannot be used.
    Error,
    /// It can be used, but probably does not do what its author wants.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// The stable name of a rule, for example `unknown-field`. Scripts filter by it, so it never changes meaning.
pub type RuleId = &'static str;

/// A place in a file: line and column start at 1, columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Path of the file as the source named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One problem. Build it with [`Finding::error`], [`Finding::warning`] or [`Finding::note`] and the `with_*` functions,
/// or with `DeviceDoc::finding` / `DeploymentDoc::finding`, which fill in the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule that was broken.
    pub rule: RuleId,
    /// Where, when the file could be read that far.
    pub position: Option<Position>,
    /// The column behind the last character of the offending text, on the same line.
    pub end_column: Option<u32>,
    /// JSON pointer into the document; empty for the document itself.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do, where that is known; printed beside the carets.
    pub hint: Option<String>,
    /// Further lines, printed as `= note: …`.
    pub notes: Vec<String>,
    /// The line of the file that [`Self::position`] names; of a long line, the piece around the column.
    pub source_line: Option<String>,
    /// Characters of the line in front of [`Self::source_line`].
    #[serde(skip_serializing_if = "is_zero")]
    pub source_line_from: u32,
    /// Characters to underline, at least 1.
    pub span_len: u32,
    /// The change of the file that mends it, where that is certain enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// Why the document's author accepts it, where an annotation says so; it is a note then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

/// Longest piece of a source line that a finding prints; longer lines are cut around the column.
const LINE_WINDOW: usize = 150;

impl Finding {
    fn new(severity: Severity, rule: RuleId, message: impl Into<String>) -> Self {
        debug_assert!(crate::rules::find(rule).is_some(), "the catalogue has no rule {rule}");
        Self {
            severity,
            rule,
            position: None,
            end_column: None,
            pointer: String::new(),
            message: message.into(),
            hint: None,
            notes: Vec::new(),
            source_line: None,
            source_line_from: 0,
            span_len: 1,
            fix: None,
            ignored: None,
        }
    }

    /// A finding that keeps the revision from being used.
    #[must_use]
    pub fn error(rule: RuleId, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, rule, message)
    }

    /// A finding that deserves a look.
    #[must_use]
    pub fn warning(rule: RuleId, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, rule, message)
    }

    /// A finding that is only worth knowing.
    #[must_use]
    pub fn note(rule: RuleId, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, rule, message)
    }

    /// Says where, without the text of the line.
    #[must_use]
    pub fn with_position(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Says where in the document.
    #[must_use]
    pub fn with_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = pointer.into();
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what to do when something is known.
    #[must_use]
    pub fn with_hint_if(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Says which change of the file mends it, when that is known.
    #[must_use]
    pub fn with_fix(mut self, fix: Option<Fix>) -> Self {
        self.fix = fix;
        self
    }

    /// Adds a further line.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Gives the text of the line and how many characters of it to underline (at least 1).
    #[must_use]
    pub fn with_line(mut self, line: impl Into<String>, span_len: u32) -> Self {
        self.span_len = span_len.max(1);
        self.end_column = self.position.as_ref().map(|position| position.column + self.span_len);
        let column = self.position.as_ref().map_or(0, |position| position.column.saturating_sub(1));
        let (line, from) = piece(line.into(), column);
        self.source_line = Some(line);
        self.source_line_from = from;
        self
    }

    /// Is [`Self::source_line`] only a piece of its line?
    pub(crate) fn source_line_is_cut(&self) -> bool {
        let long = |line: &String| line.chars().nth(LINE_KEPT - 1).is_some();
        self.source_line_from > 0 || self.source_line.as_ref().is_some_and(long)
    }

    /// The offending text, where its line is known.
    #[must_use]
    pub fn underlined(&self) -> Option<&str> {
        let (position, line) = (self.position.as_ref()?, self.source_line.as_deref()?);
        let mut ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        let start = ends.nth(position.column.checked_sub(1 + self.source_line_from)? as usize)?;
        let end = ends.nth(self.span_len.saturating_sub(1) as usize).unwrap_or(line.len());
        line.get(start..end)
    }

    /// A warning as an error, for who wants none; errors and notes stay.
    #[must_use]
    pub fn strictly(mut self) -> Self {
        if self.severity == Severity::Warning {
            self.severity = Severity::Error;
        }
        self
    }

    /// Makes it a note that says who accepts it, and why.
    pub(crate) fn ignored_because(mut self, reason: &str) -> Self {
        self.severity = Severity::Note;
        self.notes.push(format!("ignored by the annotation hemline.dev/ignore-{}: {reason}", self.rule));
        self.ignored = Some(reason.to_owned());
        self
    }

    /// The message with hint and notes behind it, without the place.
    fn message_with_advice(&self, between: &str) -> String {
        let advice = self.hint.iter().chain(&self.notes);
        let parts: Vec<&str> = std::iter::once(&self.message).chain(advice).map(String::as_str).collect();
        parts.join(between)
    }

    /// Does it keep the revision from being used?
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The finding as a person reads it, several lines of plain text that end with a line feed.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = format!("{}[{}]: {}\n", self.severity, self.rule, self.message);
        let width = self.position.as_ref().map_or(1, |position| position.line.to_string().len());
        let mut hint_printed = false;
        if let Some(position) = &self.position {
            out.push_str(&format!("{:width$}--> {position}\n", ""));
            if let Some(line) = &self.source_line {
                hint_printed = true;
                self.render_line(&mut out, position, line, width);
            }
        }
        let hint = self.hint.iter().filter(|_| !hint_printed).map(|hint| ("help", hint));
        let fix = self.fix.iter().map(|fix| ("fix", &fix.description));
        for (label, text) in hint.chain(self.notes.iter().map(|note| ("note", note))).chain(fix) {
            out.push_str(&format!("{:width$} = {label}: {text}\n", ""));
        }
        harmless(&out).into_owned()
    }

    fn render_line(&self, out: &mut String, position: &Position, line: &str, width: usize) {
        let column = position.column.saturating_sub(1 + self.source_line_from) as usize;
        let (text, before) = window(line, column);
        let room = text.chars().count().saturating_sub(before).max(1);
        let carets = "^".repeat((self.span_len as usize).clamp(1, room));
        let hint = self.hint.as_ref().map(|hint| format!(" {hint}")).unwrap_or_default();
        let text = text.trim_end();
        out.push_str(&format!("{:width$} |\n", ""));
        out.push_str(&format!("{:>width$} | {text}\n", position.line));
        out.push_str(&format!("{:width$} | {:before$}{carets}{hint}\n", "", ""));
    }
}

/// Text of a document on its way to a terminal or log: what would move the cursor or change colours is shown as a
/// replacement character.
fn harmless(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.contains(harmful) {
        Cow::Owned(text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// A path as other programs compare it with those of the repository.
fn relative(file: &str) -> &str {
    file.strip_prefix("./").unwrap_or(file)
}

/// Longest piece of a source line that a finding keeps, in characters. A file of one line has as many copies as findings.
const LINE_KEPT: usize = 1000;

/// The piece of a line around a column, and how many characters stand in front of it.
fn piece(line: String, column: u32) -> (String, u32) {
    if line.len() <= LINE_KEPT || line.chars().nth(LINE_KEPT).is_none() {
        return (line, 0);
    }
    let from = column.saturating_sub(LINE_KEPT as u32 / 2);
    (line.chars().skip(from as usize).take(LINE_KEPT).collect(), from)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Cuts a long line around a column; returns the piece and the number of characters in front of the column.
/// Tabs and control characters become one space, so that the carets stay below their text.
fn window(line: &str, column: usize) -> (String, usize) {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let length = line.chars().count();
    if length <= LINE_WINDOW {
        return (line.chars().map(clean).collect(), column.min(length));
    }
    let start = column.saturating_sub(LINE_WINDOW / 2).min(length - LINE_WINDOW);
    let middle: String = line.chars().skip(start).take(LINE_WINDOW).map(clean).collect();
    let (head, tail) =
        (if start > 0 { "…" } else { "" }, if start + LINE_WINDOW < length { "…" } else { "" });
    let before = column.min(length) - start + head.chars().count();
    (format!("{head}{middle}{tail}"), before)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        write!(f, "{}[{}]: {}", self.severity, self.rule, self.message)
    }
}
