//! Changes of the files that mend a finding: as values, and applied to a text.

use std::sync::Arc;

use serde::Serialize;

/// A change that mends one finding, where the right text is certain enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What it does, as an order: `write "Memory" instead of "Memmory"`.
    pub description: String,
    /// What to replace; all in one file, in order, apart from each other.
    pub edits: Vec<Edit>,
}

/// One piece of a file and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// Path of the file as the source named it.
    pub file: Arc<str>,
    /// The first character.
    pub start: Spot,
    /// Behind the last character.
    pub end: Spot,
    /// What takes its place.
    pub text: String,
}

/// A place in a file: line and column start at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Spot {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// A text with fixes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The whole text.
    pub text: String,
    /// Which of the fixes are in it, by their place in the list. The others overlap with one before them.
    pub applied: Vec<usize>,
}

/// Applies the fixes of one file that do not overlap; of two that do, the first one of the list.
#[must_use]
pub fn mend(text: &str, fixes: &[&Fix]) -> Mended {
    let lines = Lines::of(text);
    // Start, end and text of what is accepted, in order of start.
    let mut accepted: Vec<(usize, usize, &str)> = Vec::new();
    let mut applied = Vec::new();
    for (index, fix) in fixes.iter().enumerate() {
        let edits = fix.edits.iter().map(|edit| {
            let (start, end) = (lines.offset(edit.start)?, lines.offset(edit.end)?);
            (start <= end).then_some((start, end, edit.text.as_str()))
        });
        let Some(edits) = edits.collect::<Option<Vec<_>>>() else { continue };
        if edits.iter().any(|edit| accepted.iter().any(|other| edit.0 <= other.1 && other.0 <= edit.1)) {
            continue;
        }
        accepted.extend(edits);
        applied.push(index);
    }
    accepted.sort_unstable();
    let mut mended = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end, replacement) in accepted {
        mended.push_str(text.get(at..start).unwrap_or_default());
        mended.push_str(replacement);
        at = end;
    }
    mended.push_str(text.get(at..).unwrap_or_default());
    Mended { text: mended, applied }
}

/// Where the lines of a text start. A byte order mark belongs to no line.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let first = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let ends = |index: &usize| {
            let byte = bytes.get(*index).copied();
            byte == Some(b'\n') || (byte == Some(b'\r') && bytes.get(index + 1) != Some(&b'\n'))
        };
        let further = (0..bytes.len()).filter(ends).map(|index| index + 1);
        Self { text, starts: std::iter::once(first).chain(further).collect() }
    }

    fn offset(&self, spot: Spot) -> Option<usize> {
        let line = (spot.line as usize).checked_sub(1)?;
        let start = match self.starts.get(line) {
            Some(start) => *start,
            // Behind the last line.
            None if line == self.starts.len() && spot.column == 1 => self.text.len(),
            None => return None,
        };
        let mut characters = self.text.get(start..)?.char_indices();
        let wanted = (spot.column as usize).checked_sub(1)?;
        match characters.nth(wanted) {
            Some((offset, _)) => Some(start + offset),
            None => {
                let rest = self.text.get(start..)?;
                (rest.chars().count() == wanted).then_some(self.text.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(start: (u32, u32), end: (u32, u32), text: &str) -> Fix {
        let spot = |(line, column)| Spot { line, column };
        let edit = Edit { file: "a".into(), start: spot(start), end: spot(end), text: text.to_owned() };
        Fix { description: String::new(), edits: vec![edit] }
    }

    #[test]
    fn edits_apply_and_overlapping_ones_wait() {
        let text = "\u{feff}é: x\r\nb: y\rc: z";
        let fixes = [
            fix((1, 1), (1, 2), "a"),
            fix((3, 4), (3, 5), "Z!"),
            fix((2, 1), (3, 1), ""),
            fix((1, 2), (1, 3), "no"),
        ];
        let mended = mend(text, &fixes.iter().collect::<Vec<_>>());
        assert_eq!(mended.text, "\u{feff}a: x\r\nc: Z!");
        assert_eq!(mended.applied, [0, 1, 2]);
        let outside = [fix((9, 1), (9, 1), "x"), fix((1, 90), (1, 91), "x"), fix((2, 2), (2, 1), "x")];
        assert_eq!(
            mend(text, &outside.iter().collect::<Vec<_>>()),
            Mended { text: text.to_owned(), applied: vec![] }
        );
    }
}
