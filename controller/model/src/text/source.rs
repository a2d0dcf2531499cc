//! The text of a file with an index of its lines.

use std::sync::Arc;

/// A file as text. Lines end with LF, CR LF or CR, as in YAML.
#[derive(Debug)]
pub(super) struct SourceText {
    path: Arc<str>,
    text: Box<str>,
    /// The text for the YAML parser, where it differs: of equal length, but without what only JSON knows.
    yaml: Option<Box<str>>,
    /// Byte offset of each line.
    starts: Box<[u32]>,
}

impl SourceText {
    pub(super) fn new(path: Arc<str>, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (index, byte) in bytes.iter().enumerate() {
            let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(index + 1) != Some(&b'\n'));
            if ends {
                starts.push(u32::try_from(index + 1).unwrap_or(u32::MAX));
            }
        }
        Self { path, text: text.into(), yaml: without_surrogates(text), starts: starts.into() }
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

    /// A line (from 1) without its end.
    pub(super) fn line(&self, line: u32) -> &str {
        let piece = self.text.get(self.start_of(line)..self.start_of(line.saturating_add(1)));
        piece.unwrap_or_default().trim_end_matches(['\n', '\r'])
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
