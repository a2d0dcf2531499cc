//! What a merge left undone: the marks that Git writes around two versions of the same lines.
//!
//! Read as YAML they are errors in odd places, and the half between them may even be a document that nobody wrote.

use super::source::SourceText;
use crate::finding::{Finding, Position};

const OURS: &str = "<<<<<<<";
const BETWEEN: &str = "=======";
const THEIRS: &str = ">>>>>>>";

/// One finding for the whole file, at the first conflict. Marks stand at the beginning of a line, where no text of a document
/// can: inside a block text it would be indented.
pub(super) fn find(source: &SourceText) -> Option<Finding> {
    // Asked of every file, and hardly any has one.
    if !source.text().contains(OURS) {
        return None;
    }
    let mark = |line: u32, mark: &str| {
        let rest = source.line(line).strip_prefix(mark);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let mut found = Vec::new();
    let (mut begun, mut middle) = (None, false);
    for line in 1..=source.lines() {
        if mark(line, OURS) {
            (begun, middle) = (Some(line), false);
        } else if mark(line, BETWEEN) {
            middle = begun.is_some();
        } else if mark(line, THEIRS) && middle {
            found.extend(begun.take());
            middle = false;
        }
    }
    let (first, others) = found.split_first()?;
    let position = Position { file: source.path().clone(), line: *first, column: 1 };
    let text = source.line(*first);
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let finding = Finding::error("merge-conflict", "a merge conflict was committed; the file is not read")
        .with_position(position)
        .with_line(text, length)
        .with_hint("keep one of the two versions, and remove the marks");
    Some(match others {
        [] => finding,
        [second, ..] => finding.with_note(match others.len() {
            1 => format!("another one begins on line {second}"),
            more => format!("{more} more begin on line {second} and behind it"),
        }),
    })
}
