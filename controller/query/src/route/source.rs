//! The source of a route: a path prefix over where messages come from (reference query-language §8.1).

use std::fmt;

use crate::{Diagnostic, Span, near};

/// Where a route takes messages from, such as `/messages/modules/camera/outputs/*`.
#[derive(Debug, Clone)]
pub struct SourcePath {
    text: String,
    /// How much of `text` counts: without the trailing `*` and `/`.
    prefix: usize,
    span: Span,
}

// ---------------------------------------------------------------------------------------------------------------

impl SourcePath {
    /// `text` stands at `span` and starts with `/`.
    pub(super) fn parse(text: &str, span: Span) -> Result<Self, Diagnostic> {
        if !text.starts_with('/') {
            let message = format!("expected a source, found `{text}`");
            return Err(Diagnostic::new(span, message).hint("a source starts with /, such as /messages/*"));
        }
        if text.contains("//") {
            let message = "the source has an empty part: two / in a row";
            return Err(Diagnostic::new(span, message));
        }
        let strange = |character: char| "()<>@,;:\\\"'[]?={}".contains(character) || character.is_control();
        if let Some((at, character)) = text.char_indices().find(|(_, character)| strange(*character)) {
            let span = Span::new(span.start + at, span.start + at + character.len_utf8());
            return Err(Diagnostic::new(span, format!("unexpected character {character:?} in the source")));
        }
        let prefix = text.trim_end_matches(['*', '/']).len();
        Ok(Self { text: text.to_owned(), prefix, span })
    }

    /// Whether messages from `source` fit: whole segments, the case ignored.
    #[must_use]
    pub fn matches(&self, source: &str) -> bool {
        let wanted = self.prefix().as_bytes();
        let source = source.trim_end_matches('/').as_bytes();
        let (Some(head), rest) = (source.get(..wanted.len()), source.get(wanted.len())) else { return false };
        head.eq_ignore_ascii_case(wanted) && rest.is_none_or(|next| *next == b'/')
    }

    /// The source as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the source stands in the text of the route.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// The module, for `/messages/modules/{module}…`.
    #[must_use]
    pub fn module(&self) -> Option<&str> {
        let (range, _) = self.segment(2)?;
        self.is_of_modules().then(|| self.text.get(range)).flatten()
    }

    /// Where [`Self::module`] stands in the text of the route.
    #[must_use]
    pub fn module_span(&self) -> Option<Span> {
        let (range, _) = self.segment(2)?;
        self.is_of_modules().then(|| Span::new(range.start, range.end).shifted(self.span.start))
    }

    /// The output, for `/messages/modules/{module}/outputs/{output}`.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        let (_, output) = self.segment(4)?;
        let named = self.segment(3).is_some_and(|(_, word)| word.eq_ignore_ascii_case("outputs"));
        (self.is_of_modules() && named).then_some(output)
    }

    /// Whether only twin change notifications fit.
    pub(super) fn is_twin_changes(&self) -> bool {
        self.segment(0).is_some_and(|(_, root)| root.eq_ignore_ascii_case("twinChangeNotifications"))
    }

    /// What is legal and never matches.
    pub(super) fn warnings(&self) -> Vec<Diagnostic> {
        let warn = |range: std::ops::Range<usize>, message: String, hint: Option<String>| Diagnostic {
            span: Span::new(range.start, range.end).shifted(self.span.start),
            message,
            hint,
        };
        let mut warnings = Vec::new();
        if let Some(at) = self.prefix().find('*') {
            let message = "a `*` counts at the end of a source only; here it is a plain character".to_owned();
            warnings.push(warn(at..at + 1, message, None));
        }
        let known: [(usize, &[&str]); 3] =
            [(0, &["messages", "twinChangeNotifications"]), (1, &["modules"]), (3, &["outputs"])];
        for (index, words) in known {
            let Some((range, word)) = self.segment(index) else { break };
            if word.contains('*') {
                break;
            }
            if words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                continue;
            }
            let hint = near(word, words.iter().copied()).map(|known| format!("did you mean {known}?"));
            warnings.push(warn(range, format!("no message comes from a source with `{word}` here"), hint));
            break;
        }
        warnings
    }

    fn prefix(&self) -> &str {
        self.text.get(..self.prefix).unwrap_or_default()
    }

    fn is_of_modules(&self) -> bool {
        let is = |index, word: &str| {
            self.segment(index).is_some_and(|(_, found)| found.eq_ignore_ascii_case(word))
        };
        is(0, "messages") && is(1, "modules")
    }

    /// A segment of the prefix and its bytes in the text of the source.
    fn segment(&self, index: usize) -> Option<(std::ops::Range<usize>, &str)> {
        let mut start = 1;
        for (number, segment) in self.prefix().get(1..)?.split('/').enumerate() {
            if number == index {
                return Some((start..start + segment.len(), segment));
            }
            start += segment.len() + 1;
        }
        None
    }
}

impl PartialEq for SourcePath {
    fn eq(&self, other: &Self) -> bool {
        self.prefix().eq_ignore_ascii_case(other.prefix())
    }
}

impl fmt::Display for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
