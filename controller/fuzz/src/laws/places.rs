//! Places: whatever a finding or diagnostic points at is there.

use hemline_model::{Finding, Position, rules};
use hemline_query::{Diagnostic, Span};

/// The lines of a file as Hemline counts them: they end with LF, CR LF or CR, and a byte order mark is not text.
pub(crate) struct Lines<'a> {
    lines: Vec<&'a str>,
    /// A file that is no UTF-8 is read up to the first bad byte, which the lines here do not show.
    exact: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let (text, exact) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, true),
            Err(why) => (std::str::from_utf8(&bytes[..why.valid_up_to()]).unwrap_or_default(), false),
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        let mut rest = text;
        while let Some(end) = rest.find(['\n', '\r']) {
            lines.push(&rest[..end]);
            rest = &rest[end..];
            rest = rest.strip_prefix("\r\n").unwrap_or_else(|| &rest[1..]);
        }
        lines.push(rest);
        Self { lines, exact }
    }

    /// The finding names a rule of the catalogue and stands inside the file; it can be drawn.
    pub(crate) fn hold(&self, finding: &Finding) {
        assert!(rules::find(finding.rule).is_some(), "no rule {}", finding.rule);
        assert!(!finding.message.is_empty() && finding.render().ends_with('\n'), "{finding:?}");
        let Some(position) = &finding.position else { return };
        let line = self.line(position);
        let length = line.chars().count();
        if let Some(said) = &finding.source_line {
            // Passwords are masked, character by character.
            let rest = line.chars().skip(finding.source_line_from as usize);
            let masked = said.chars().zip(rest).all(|(said, is)| said == is || said == '*');
            assert!(masked && said.chars().count() <= length, "another line than {line:?}: {finding:?}");
            assert!(length > 1000 || said.chars().count() == length, "the line is cut: {finding:?}");
        }
        if let Some(end) = finding.end_column {
            assert_eq!(end, position.column + finding.span_len, "{finding:?}");
            // One column behind the last character is where something is missing.
            assert!(end as usize <= length + 2, "ends outside its line: {finding:?}");
        }
    }

    /// The line of a position, which must be in the file.
    pub(crate) fn line(&self, position: &Position) -> &str {
        let line = self.lines.get((position.line as usize).wrapping_sub(1));
        let Some(line) = line else { panic!("no line {position} in a file of {}", self.lines.len()) };
        let last = line.chars().count() + 1;
        assert!((1..=last).contains(&(position.column as usize)), "{position} in a line of {last}: {line:?}");
        line
    }

    pub(crate) fn are_exact(&self) -> bool {
        self.exact
    }
}

/// Every diagnostic stands inside the text and can be drawn.
pub(crate) fn drawn(found: &[Diagnostic], text: &str) {
    for diagnostic in found {
        assert!(!diagnostic.message.is_empty());
        inside(diagnostic.span, text);
        assert!(diagnostic.render(text).lines().count() >= 3, "{diagnostic:?}");
    }
}

/// The span is a piece of the text.
pub(crate) fn inside(span: Span, text: &str) {
    assert!(text.get(span.start..span.end).is_some(), "{span:?} is no piece of {text:?}");
}
