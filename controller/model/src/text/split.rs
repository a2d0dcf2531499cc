//! Cuts a file at its document markers, so that one broken document does not hide the next.
//!
//! `---` and `...` in the first column are markers wherever they stand in YAML 1.2, quoted and block texts included, so
//! cutting needs no parser.

use super::source::SourceText;

/// The lines of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// First line, from 1.
    pub(super) first: u32,
    /// The line behind the last one.
    pub(super) end: u32,
}

/// The pieces of a file, in order. Pieces without content are left out.
pub(super) fn pieces(source: &SourceText) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut first = 1;
    // Between documents (and at the start) a `%` line is a directive; it belongs to no document.
    let mut between = true;
    let mut content = false;
    for line in 1..=source.lines() {
        let text = source.line(line);
        let marker = |mark: &str| {
            text.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        if marker("---") || marker("...") {
            if content {
                pieces.push(Piece { first, end: line });
            }
            let starts = marker("---");
            first = if starts { line } else { line + 1 };
            content = starts && has_content(text.get(3..).unwrap_or_default());
            between = !starts;
        } else if between && text.starts_with('%') {
            first = line + 1;
        } else if has_content(text) {
            content = true;
            between = false;
        }
    }
    if content {
        pieces.push(Piece { first, end: source.lines() + 1 });
    }
    pieces
}

fn has_content(text: &str) -> bool {
    let text = text.trim_start();
    !text.is_empty() && !text.starts_with('#')
}
