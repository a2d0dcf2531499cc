//! The text of a file with an index of its lines.

use std::sync::Arc;

use super::{
    fill::{self, Shift},
    marks::Stretch,
    split::Piece,
};

/// A file as text. Lines end with LF, CR LF or CR, as in YAML.
#[derive(Debug)]
pub(super) struct SourceText {
    path: Arc<str>,
    text: Box<str>,
    /// The text for the YAML parser, where it differs: of equal length, but without what only JSON knows.
    yaml: Option<Box<str>>,
    /// Byte offset of each line.
    starts: Box<[u32]>,
    /// What people see, where it differs: the template that the text came from, or the text without its passwords.
    written: Option<Written>,
}

/// A text with the same lines as another one.
#[derive(Debug)]
struct Written {
    text: Box<str>,
    starts: Box<[u32]>,
    shifts: Vec<Shift>,
}

impl SourceText {
    pub(super) fn new(path: Arc<str>, text: &str) -> Self {
        Self { path, text: text.into(), yaml: without_surrogates(text), starts: starts(text), written: None }
    }

    /// A template that was filled: values are read from the filled text, places are told in the written one.
    pub(super) fn filled(path: Arc<str>, template: &str, filled: &str, shifts: Vec<Shift>) -> Self {
        let written = Written { text: template.into(), starts: starts(template), shifts };
        Self { written: Some(written), ..Self::new(path, filled) }
    }

    /// The same text; what stands in these places of the written form is shown as stars.
    pub(super) fn hiding(&self, stretches: &[Stretch]) -> Self {
        let (text, starts, shifts) = match &self.written {
            Some(written) => (&written.text, &written.starts, written.shifts.clone()),
            None => (&self.text, &self.starts, Vec::new()),
        };
        let mut lines: Vec<Vec<char>> =
            (1..=self.lines()).map(|line| cut(text, starts, line).chars().collect()).collect();
        for Stretch { start, end } in stretches {
            let Some(line) = lines.get_mut(start.line.saturating_sub(1) as usize) else { continue };
            let until =
                if end.line == start.line { end.column.saturating_sub(1) as usize } else { line.len() };
            let from = start.column.saturating_sub(1) as usize;
            let value: String = line.iter().take(until).skip(from).collect();
            // The name of a variable hides nothing.
            if value.trim_matches('"').strip_prefix("${").and_then(|rest| rest.find('}'))
                == Some(value.len().saturating_sub(5))
            {
                continue;
            }
            line.iter_mut().take(until).skip(from).for_each(|c| *c = '*');
        }
        let text: String = lines.into_iter().flat_map(|line| line.into_iter().chain(['\n'])).collect();
        let written = Written { starts: self::starts(&text), text: text.into(), shifts };
        Self { written: Some(written), ..Self::new(self.path.clone(), &self.text) }
    }

    /// A stretch of the text as people see it.
    pub(super) fn as_written(&self, stretch: Stretch) -> Stretch {
        self.written.as_ref().map_or(stretch, |written| fill::as_written(&written.shifts, stretch))
    }

    /// A line (from 1) as people see it.
    pub(super) fn written_line(&self, line: u32) -> &str {
        self.written
            .as_ref()
            .map_or_else(|| self.line(line), |written| cut(&written.text, &written.starts, line))
    }

    /// Is it read as it is written: no template, no comment that was passed over, nothing hidden?
    pub(super) fn is_as_written(&self) -> bool {
        self.written.as_ref().is_none_or(|written| written.text == self.text)
    }

    /// The text as the YAML parser may read it, and whether texts in it stand for others (see `yaml`).
    pub(super) fn yaml(&self) -> (&str, bool) {
        self.yaml.as_deref().map_or((&self.text, false), |yaml| (yaml, true))
    }

    pub(super) fn path(&self) -> &Arc<str> {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Number of lines, at least 1.
    pub(super) fn lines(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// Byte offset of a line (from 1); the end of the text behind the last one.
    pub(super) fn start_of(&self, line: u32) -> usize {
        let index = line.saturating_sub(1) as usize;
        self.starts.get(index).map_or(self.text.len(), |start| *start as usize)
    }

    /// The lines of one document.
    pub(super) fn piece(&self, piece: Piece) -> &str {
        self.text.get(self.start_of(piece.first)..self.start_of(piece.end)).unwrap_or_default()
    }

    /// A line (from 1) without its end.
    pub(super) fn line(&self, line: u32) -> &str {
        cut(&self.text, &self.starts, line)
    }

    /// Line and column (both from 1) of a byte offset.
    pub(super) fn place(&self, offset: usize) -> (u32, u32) {
        let index = self.starts.partition_point(|start| *start as usize <= offset).saturating_sub(1);
        let start = self.starts.get(index).map_or(0, |start| *start as usize);
        let before = self.text.get(start..offset).map_or(0, |text| text.chars().count());
        (u32::try_from(index + 1).unwrap_or(u32::MAX), u32::try_from(before + 1).unwrap_or(u32::MAX))
    }

    /// The place behind the last character.
    pub(super) fn end(&self) -> (u32, u32) {
        self.place(self.text.len())
    }
}

/// Byte offsets of the lines of a text.
fn starts(text: &str) -> Box<[u32]> {
    let bytes = text.as_bytes();
    let mut starts = vec![0];
    for (index, byte) in bytes.iter().enumerate() {
        let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(index + 1) != Some(&b'\n'));
        if ends {
            starts.push(u32::try_from(index + 1).unwrap_or(u32::MAX));
        }
    }
    starts.into()
}

/// A line (from 1) without its end.
fn cut<'a>(text: &'a str, starts: &[u32], line: u32) -> &'a str {
    let start = |line: u32| starts.get(line as usize).map_or(text.len(), |start| *start as usize);
    let piece = text.get(start(line.saturating_sub(1))..start(line));
    piece.unwrap_or_default().trim_end_matches(['\n', '\r'])
}

/// JSON writes characters beyond U+FFFF as two `\u` escapes, which YAML refuses. Blanks of equal length take their place
/// for the YAML parser; the value is then read by a JSON parser. `None` when there is nothing to do.
fn without_surrogates(text: &str) -> Option<Box<str>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut out: Option<String> = None;
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        let start = at + found;
        let escape = text.get(start..start + 6).unwrap_or_default().to_ascii_lowercase();
        let surrogate = ["\\ud8", "\\ud9", "\\uda", "\\udb", "\\udc", "\\udd", "\\ude", "\\udf"];
        if surrogate.iter().any(|head| escape.starts_with(head))
            && escape.get(4..).is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            out.get_or_insert_with(|| text.to_owned()).replace_range(start..start + 6, "\\u0020");
            at = start + 6;
        } else {
            // Step over the escaped character too: `\\\\ud83d` is a backslash and plain text.
            at = start
                + 1
                + text.get(start + 1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        }
    }
    out.map(String::into_boxed_str)
}
