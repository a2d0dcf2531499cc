//! The place of one document in its file: answers "where is this pointer", and dresses findings with file, line and text.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Limits,
    fill::Unset,
    inside,
    marks::{Mark, Place, Stretch},
    nested::{self, Nested},
    reader::{self, Problem},
    source::SourceText,
    split::Piece,
};
use crate::finding::{Finding, Position, RuleId, Severity};

/// The place of a document. Cheap to clone; positions are worked out when the first one is asked for.
#[derive(Clone)]
pub struct Located(Arc<Inner>);

struct Inner {
    source: Arc<SourceText>,
    piece: Piece,
    /// Reasons by rule.
    ignored: BTreeMap<String, String>,
    /// Large for large documents, so they are kept only while the document is looked at (see [`Located::rest`]).
    marks: Mutex<Option<Arc<Mark>>>,
    /// A part of the document that stands in another file.
    lent: Option<Lent>,
}

/// Where the values of a document come from that another file lends to it.
struct Lent {
    from: Located,
    /// Pointer in the document → pointer in the other file. What is below a pointer is below the other one too.
    trail: BTreeMap<String, String>,
}

impl std::fmt::Debug for Located {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Located({}:{})", self.0.source.path(), self.0.piece.first)
    }
}

/// A piece of a text value.
#[derive(Debug, Clone, Copy)]
pub struct InText<'a> {
    /// JSON pointer of the text value.
    pub pointer: &'a str,
    /// The text value as read.
    pub text: &'a str,
    /// First byte of the piece in the text.
    pub start: usize,
    /// The byte behind the piece.
    pub end: usize,
}

impl Located {
    pub(super) fn new(source: Arc<SourceText>, piece: Piece, ignored: BTreeMap<String, String>) -> Self {
        Self(Arc::new(Inner { source, piece, ignored, marks: Mutex::default(), lent: None }))
    }

    /// The same document, parts of which stand in `from`; `trail` leads from pointers here to pointers there.
    pub(crate) fn lending(&self, from: &Self, trail: BTreeMap<String, String>) -> Self {
        let Inner { source, piece, ignored, .. } = &*self.0;
        let marks = Mutex::default();
        // Who accepts a finding says so in the document, wherever the finding is.
        let lent = Some(Lent { from: from.accepting_as(self), trail });
        Self(Arc::new(Inner { source: source.clone(), piece: *piece, ignored: ignored.clone(), marks, lent }))
    }

    /// The same place; its findings are accepted where those of `other` are.
    pub(crate) fn accepting_as(&self, other: &Self) -> Self {
        Self::new(self.0.source.clone(), self.0.piece, other.0.ignored.clone())
    }

    /// The same document; findings show the text of these values as stars.
    pub(crate) fn hiding(&self, pointers: &[String]) -> Self {
        let Inner { source, piece, ignored, .. } = &*self.0;
        let stretches: Vec<Stretch> =
            pointers.iter().map(|pointer| source.as_written(self.marks().find(pointer).mark.value)).collect();
        Self::new(Arc::new(source.hiding(&stretches)), *piece, ignored.clone())
    }

    /// Who really knows a pointer: another file and the pointer there, when it is lent.
    fn lender(&self, pointer: &str) -> Option<(&Self, String)> {
        let Lent { from, trail } = self.0.lent.as_ref()?;
        let mut head = pointer;
        loop {
            if let Some(there) = trail.get(head) {
                return Some((from, format!("{there}{}", pointer.get(head.len()..).unwrap_or_default())));
            }
            head = head.get(..head.rfind('/')?)?;
        }
    }

    /// Where a value may be changed: here, or in the other file that says it, when that is read as it is written and calls
    /// the value by the same name.
    pub(super) fn author(&self, pointer: &str) -> Option<(&Self, String)> {
        let Some((from, there)) = self.lender(pointer) else { return Some((self, pointer.to_owned())) };
        let same_name = pointer.rsplit('/').next() == there.rsplit('/').next();
        (same_name && from.source().is_as_written()).then_some((from, there))
    }

    /// Does a place of the text lie inside one of these values?
    pub(crate) fn is_below(&self, unset: &Unset, pointers: &[String]) -> bool {
        pointers.iter().any(|pointer| {
            let Stretch { start, end } = self.marks().find(pointer).mark.value;
            start <= unset.at.start && unset.at.end <= end
        })
    }

    /// A finding about a variable of a template.
    pub(crate) fn finding_at_variable(
        &self,
        severity: Severity,
        rule: RuleId,
        unset: &Unset,
        message: String,
    ) -> Finding {
        self.dress(severity, rule, unset.at, message)
    }

    pub(super) fn marks(&self) -> Arc<Mark> {
        // Whoever panicked while holding it has written all or nothing.
        let mut kept = self.0.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || Arc::new(reader::marks(&self.0.source, self.0.piece, Limits::default()));
        kept.get_or_insert_with(read).clone()
    }

    /// Forgets the positions until the next one is asked for.
    pub(crate) fn rest(&self) {
        *self.0.marks.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(Lent { from, .. }) = &self.0.lent {
            from.rest();
        }
    }

    /// The text of the document; `None` when what it says does not stand there alone: another file lends a part of it, or
    /// an annotation silences rules.
    pub(crate) fn plain_text(&self) -> Option<&str> {
        let Inner { source, piece, ignored, lent, .. } = &*self.0;
        let plain = lent.is_none() && ignored.is_empty() && source.is_as_written();
        plain.then(|| source.piece(*piece))
    }

    pub(super) fn text_piece(&self) -> (&SourceText, Piece) {
        (&self.0.source, self.0.piece)
    }

    /// The lines of the document, from 1; the end is the line behind the last one.
    pub(crate) fn lines(&self) -> Range<u32> {
        self.0.piece.first..self.0.piece.end
    }

    /// Does the file hold no other document?
    pub(crate) fn is_alone(&self) -> bool {
        super::split::pieces(&self.0.source).len() <= 1
    }

    /// A finding about the document as a whole, without working out positions.
    pub(super) fn finding_at_start(&self, severity: Severity, rule: RuleId, message: String) -> Finding {
        let Position { line, column, .. } = self.start();
        let start = Place { line, column };
        self.dress(severity, rule, Stretch { start, end: start }, message)
    }

    pub(super) fn source(&self) -> &SourceText {
        &self.0.source
    }

    /// The text of the file from a place on.
    pub(super) fn from(&self, place: Place) -> &str {
        nested::written(&self.0.source, place)
    }

    /// Path of the file.
    #[must_use]
    pub fn file(&self) -> &Arc<str> {
        self.0.source.path()
    }

    /// The first line of the document that says something. Costs nothing, unlike [`Self::position`].
    #[must_use]
    pub fn start(&self) -> Position {
        let Piece { first, end } = self.0.piece;
        let said = |line: &u32| {
            let text = self.0.source.line(*line).trim_start();
            !(text.is_empty() || text.starts_with('#') || text.starts_with("---"))
        };
        let line = (first..end).find(said).unwrap_or(first);
        Position { file: self.file().clone(), line, column: 1 }
    }

    /// Where a value stands: the value itself when it is a scalar, its key when it is a mapping or a list. The nearest
    /// parent when the pointer leads nowhere.
    #[must_use]
    pub fn position(&self, pointer: &str) -> Position {
        if let Some((from, there)) = self.lender(pointer) {
            return from.position(&there);
        }
        self.at(self.stretch(pointer).start)
    }

    /// Where the key of a member stands.
    #[must_use]
    pub fn key_position(&self, pointer: &str) -> Position {
        if let Some((from, there)) = self.lender(pointer) {
            return from.key_position(&there);
        }
        self.at(self.key_stretch(pointer).start)
    }

    /// Does the document say a value at this place? A JSON text in it counts as what it says.
    #[must_use]
    pub fn says(&self, pointer: &str) -> bool {
        let marks = self.marks();
        let found = marks.find(pointer);
        found.exact || Nested::of(&self.0.source, &found).is_some_and(|nested| nested.is_exact())
    }

    /// Is the finding about this document?
    #[must_use]
    pub fn covers(&self, finding: &Finding) -> bool {
        let Piece { first, end } = self.0.piece;
        finding.position.as_ref().is_some_and(|at| at.file == *self.file() && (first..end).contains(&at.line))
    }

    /// The rules that an annotation of the document silences.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = &str> {
        self.0.ignored.keys().map(String::as_str)
    }

    /// A finding about a value.
    #[must_use]
    pub fn finding(&self, severity: Severity, rule: RuleId, pointer: &str, message: String) -> Finding {
        if let Some((from, there)) = self.lender(pointer) {
            return from.finding(severity, rule, &there, message);
        }
        self.dress(severity, rule, self.stretch(pointer), message).with_pointer(pointer)
    }

    /// A finding about the key of a member.
    #[must_use]
    pub fn finding_at_key(
        &self,
        severity: Severity,
        rule: RuleId,
        pointer: &str,
        message: String,
    ) -> Finding {
        if let Some((from, there)) = self.lender(pointer) {
            return from.finding_at_key(severity, rule, &there, message);
        }
        self.dress(severity, rule, self.key_stretch(pointer), message).with_pointer(pointer)
    }

    /// A finding about a piece of a text value, for example the module name inside a route.
    #[must_use]
    pub fn finding_in(
        &self,
        severity: Severity,
        rule: RuleId,
        place: InText<'_>,
        message: String,
    ) -> Finding {
        if let Some((from, there)) = self.lender(place.pointer) {
            return from.finding_in(severity, rule, InText { pointer: &there, ..place }, message);
        }
        let stretch = self.stretch_in(place);
        self.dress(severity, rule, stretch, message).with_pointer(place.pointer)
    }

    pub(super) fn problem(&self, problem: Problem) -> Finding {
        let mut finding = self.dress(problem.severity, problem.rule, problem.stretch, problem.message);
        finding.hint = problem.hint;
        finding.pointer = problem.pointer;
        finding.fix = problem.quote.then(|| self.quoted(problem.stretch)).flatten();
        finding.notes.extend(problem.first.map(|first| format!("the first one is on line {}", first.line)));
        finding
    }

    fn at(&self, place: Place) -> Position {
        let place = self.0.source.as_written(self.within(Stretch { start: place, end: place })).start;
        Position { file: self.file().clone(), line: place.line, column: place.column }
    }

    pub(super) fn stretch_in(&self, place: InText<'_>) -> Stretch {
        let marks = self.marks();
        let found = marks.find(place.pointer);
        if let Some(nested) = Nested::of(&self.0.source, &found) {
            return if nested.is_exact() { nested.within(place.start, place.end) } else { nested.value() };
        }
        if !found.exact || found.mark.container {
            return self.stretch(place.pointer);
        }
        let start = found.mark.value.start;
        let written = nested::written(&self.0.source, start);
        let at = |offset| inside::place(written, start, place.text, offset);
        Stretch { start: at(place.start), end: at(place.end.max(place.start)) }
    }

    fn stretch(&self, pointer: &str) -> Stretch {
        let marks = self.marks();
        let found = marks.find(pointer);
        if let Some(nested) = Nested::of(&self.0.source, &found) {
            return nested.value();
        }
        let mark = found.mark;
        match mark.key {
            Some(key) if mark.container || !found.exact || mark.value.start == mark.value.end => key,
            None if mark.container => self.first_word(mark),
            Some(_) | None => mark.value,
        }
    }

    fn key_stretch(&self, pointer: &str) -> Stretch {
        let marks = self.marks();
        let found = marks.find(pointer);
        if let Some(nested) = Nested::of(&self.0.source, &found) {
            return nested.key();
        }
        match found.mark.key {
            Some(key) => key,
            None => self.first_word(found.mark),
        }
    }

    /// For a mapping or list without a key (the document, an item of a list): its first key or item.
    fn first_word(&self, mark: &Mark) -> Stretch {
        match mark.children.first() {
            Some((_, child)) => child.key.unwrap_or(child.value),
            None if mark.value.start.line == 0 => {
                let Position { line, column, .. } = self.start();
                let start = Place { line, column };
                Stretch { start, end: start }
            }
            None => Stretch { start: mark.value.start, end: mark.value.start },
        }
    }

    /// The parser counts a line behind the last one when the text ends in the middle of something; nobody can look there.
    fn within(&self, stretch: Stretch) -> Stretch {
        if stretch.start.line <= self.0.source.lines() {
            return stretch;
        }
        let (line, column) = self.0.source.end();
        let end = Place { line, column };
        Stretch { start: end, end }
    }

    fn dress(&self, severity: Severity, rule: RuleId, stretch: Stretch, message: String) -> Finding {
        let stretch = self.within(stretch);
        let Stretch { start, end } = self.0.source.as_written(stretch);
        let line = self.0.source.written_line(start.line);
        let until = if end.line == start.line { end.column } else { length(line.trim_end()) + 1 };
        let finding = match severity {
            Severity::Error => Finding::error(rule, message),
            Severity::Warning => Finding::warning(rule, message),
            Severity::Note => Finding::note(rule, message),
        };
        let finding =
            finding.with_position(self.at(stretch.start)).with_line(line, until.saturating_sub(start.column));
        match self.0.ignored.get(rule) {
            Some(reason) if severity != Severity::Error => finding.ignored_because(reason),
            Some(_) | None => finding,
        }
    }
}

/// The characters of a line between two columns; `None` when the stretch is on more than one line.
pub(super) fn piece_of(line: &str, stretch: Stretch) -> Option<&str> {
    let Stretch { start, end } = stretch;
    if start.line != end.line || end.column < start.column {
        return None;
    }
    let offset = |column: u32| {
        let mut offsets = line.char_indices().map(|(offset, _)| offset).chain([line.len()]);
        offsets.nth((column as usize).checked_sub(1)?)
    };
    line.get(offset(start.column)?..offset(end.column)?)
}

fn length(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}
