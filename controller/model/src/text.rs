//! Files as they are written: YAML or JSON text to values, with positions that survive.
//!
//! Syntax, limits and duplicate keys are judged here; what a value means is not. Positions are kept out of the values:
//! a document remembers its piece of text and is read again, with positions, when the first finding asks for one. That
//! keeps a clean fleet small and fast, and a broken one exact.

mod conflict;
mod edit;
mod fill;
mod ignored;
mod inside;
mod json;
mod located;
mod marks;
mod nested;
mod quick;
mod reader;
mod scalar;
mod source;
mod split;
mod weight;

pub(crate) use fill::{Unset, is_bare_template};
pub(crate) use ignored::{PREFIX as IGNORE_PREFIX, annotations as ignore_annotations};
pub(crate) use json::twice as names_twice;
pub use located::{InText, Located};

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use serde_json::Value;

use crate::{
    document::Object,
    finding::{Finding, Position},
};
use source::SourceText;

/// Most bytes of one file; a larger one is a finding, and nothing of it is read.
pub const FILE_BYTES: usize = 1024 * 1024;

/// One file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path as findings should print it.
    pub path: Arc<str>,
    /// Content.
    pub bytes: Vec<u8>,
}

impl SourceFile {
    /// Stands for a file of more than [`FILE_BYTES`], whose content nobody needs to read: it has no document, and one finding
    /// that says so.
    #[must_use]
    pub fn too_large(path: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), bytes: vec![0; FILE_BYTES + 1] }
    }

    /// Is there more of it than is read?
    pub(crate) fn is_too_large(&self) -> bool {
        self.bytes.len() > FILE_BYTES
    }
}

/// One document of a file: its value and its place.
#[derive(Debug, Clone)]
pub struct RawDocument {
    /// The value, always an object.
    pub value: Value,
    /// Positions inside the document.
    pub located: Located,
    /// Memory that the value takes, in units of about 50 bytes.
    pub weight: usize,
}

/// What a file may hold. Documents come from other people, so reading them is bounded in every direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Levels of nesting.
    pub depth: usize,
    /// Nodes and bytes that anchors and aliases may copy, per file.
    pub alias_weight: usize,
    /// Findings per document; what is behind them is not reported.
    pub findings: usize,
    /// Findings per file; documents behind them are not read.
    pub file_findings: usize,
    /// Memory of one document, in units of about 50 bytes.
    pub weight: usize,
    /// Memory of all documents of a file, in the same units.
    pub file_weight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: FILE_BYTES,
            depth: 64,
            alias_weight: 2 * 1024 * 1024,
            findings: 100,
            file_findings: 1000,
            weight: 100_000,
            file_weight: 1_000_000,
        }
    }
}

/// Reads one file into its documents, within the default limits. What cannot be read is a finding.
#[must_use]
pub fn read(file: &SourceFile) -> (Vec<RawDocument>, Vec<Finding>) {
    read_within(file, Limits::default())
}

/// Reads one file into its documents. What cannot be read is a finding; documents before and behind it are still read.
#[must_use]
pub fn read_within(file: &SourceFile, limits: Limits) -> (Vec<RawDocument>, Vec<Finding>) {
    match source_of(file, limits) {
        Ok(source) => read_all(&source, limits),
        Err(finding) => (Vec::new(), vec![*finding]),
    }
}

/// One document of a file.
pub(crate) enum Document<K> {
    /// Read from its text.
    Read(RawDocument),
    /// One with a text that somebody knows already, and its place here.
    Known(Located, K),
}

/// Reads one file, but not those documents whose text is known. Only YAML: the same text means something else in JSON.
pub(crate) fn read_unknown<K>(
    file: &SourceFile,
    known: impl Fn(&str) -> Option<K>,
) -> (Vec<Document<K>>, Vec<Finding>) {
    let known = |text: &str| if file.path.ends_with(".json") { None } else { known(text) };
    match source_of(file, Limits::default()) {
        Ok(source) => read_source(&source, Limits::default(), known),
        Err(finding) => (Vec::new(), vec![*finding]),
    }
}

/// A document whose text was known, from its text all the same.
pub(crate) fn read_again(located: &Located) -> Option<RawDocument> {
    let (source, piece) = located.text_piece();
    let value = reader::read(source, piece, Limits::default()).value?;
    let weight = weight::of(&value, Limits::default().weight);
    Some(RawDocument { value, located: located.clone(), weight })
}

/// The text of a file, when it is one.
fn source_of(file: &SourceFile, limits: Limits) -> Result<Arc<SourceText>, Box<Finding>> {
    let source = Arc::new(SourceText::new(file.path.clone(), check_bytes(file, limits)?));
    match control_character(&source).or_else(|| conflict::find(&source)) {
        Some(finding) => Err(Box::new(finding)),
        None => Ok(source),
    }
}

/// Reads a manifest as Azure's tools do: comments are read over, and with `variables` it is a template, whose `${NAME}` are
/// filled. Says which of them have no value; what is read has `null` or the text itself there. Places are those of the file.
pub(crate) fn read_manifest(
    file: &SourceFile,
    variables: Option<&Object>,
) -> (Vec<RawDocument>, Vec<Finding>, Vec<Unset>) {
    let limits = Limits::default();
    let text = match check_bytes(file, limits) {
        Ok(text) => text,
        Err(finding) => return (Vec::new(), vec![*finding], Vec::new()),
    };
    let written = SourceText::new(file.path.clone(), text);
    if let Some(finding) = control_character(&written).or_else(|| conflict::find(&written)) {
        return (Vec::new(), vec![finding], Vec::new());
    }
    let bare = fill::without_comments(text);
    let Some(variables) = variables else {
        let source = Arc::new(SourceText::filled(file.path.clone(), text, &bare, Vec::new()));
        let (documents, findings) = read_all(&source, limits);
        return (documents, findings, Vec::new());
    };
    let Some(filled) = fill::fill(&bare, variables, limits.file_bytes) else {
        let message = format!("the template has more than {} bytes with its values", limits.file_bytes);
        let start = Position { file: file.path.clone(), line: 1, column: 1 };
        let finding = Finding::error("file-too-large", message).with_position(start);
        return (Vec::new(), vec![finding.with_hint("give it shorter values")], Vec::new());
    };
    let source = Arc::new(SourceText::filled(file.path.clone(), text, &filled.text, filled.shifts));
    let (documents, findings) = read_all(&source, limits);
    (documents, findings, filled.unset)
}

fn read_all(source: &Arc<SourceText>, limits: Limits) -> (Vec<RawDocument>, Vec<Finding>) {
    let (documents, findings) = read_source(source, limits, |_| None::<Infallible>);
    let read = |document| match document {
        Document::Read(raw) => raw,
        Document::Known(_, never) => match never {},
    };
    (documents.into_iter().map(read).collect(), findings)
}

fn read_source<K>(
    source: &Arc<SourceText>,
    mut limits: Limits,
    known: impl Fn(&str) -> Option<K>,
) -> (Vec<Document<K>>, Vec<Finding>) {
    let mut documents = Vec::new();
    let mut findings = Vec::new();
    let mut left = limits.file_weight;
    for piece in split::pieces(source) {
        // Who copies that much, or has that much to mend, is told once.
        if findings.len() >= limits.file_findings || limits.alias_weight == 0 {
            break;
        }
        if let Some(known) = known(source.piece(piece)) {
            documents.push(Document::Known(Located::new(source.clone(), piece, BTreeMap::new()), known));
            continue;
        }
        let outcome = reader::read(source, piece, limits);
        limits.alias_weight = limits.alias_weight.saturating_sub(outcome.copied);
        let ignored = outcome.value.as_ref().map(ignored::of).unwrap_or_default();
        let located = Located::new(source.clone(), piece, ignored);
        findings.extend(outcome.problems.into_iter().map(|problem| located.problem(problem)));
        match outcome.value {
            None | Some(Value::Null) => {}
            Some(value @ Value::Object(_)) => {
                let weight = weight::of(&value, limits.weight);
                if weight > limits.weight {
                    findings.push(too_heavy(&located, "the document holds more values than are read"));
                } else if let Some(rest) = left.checked_sub(weight) {
                    left = rest;
                    documents.push(Document::Read(RawDocument { value, located, weight }));
                } else {
                    findings
                        .push(too_heavy(&located, "from here on, the file holds more values than are read"));
                    break;
                }
            }
            Some(Value::Array(_)) => findings.push(list_at_top(&located)),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                let message = "this is a single value, not a document";
                let hint = "a document starts with `apiVersion: hemline.dev/v1alpha1` and `kind:`".to_owned();
                let finding =
                    located.finding(crate::Severity::Error, "not-a-document", "", message.to_owned());
                findings.push(finding.with_hint(hint));
            }
        }
    }
    (documents, findings)
}

fn too_heavy(located: &Located, message: &str) -> Finding {
    let finding = located.finding_at_start(crate::Severity::Error, "file-too-large", message.to_owned());
    finding.with_hint("split it into several documents and files")
}

fn list_at_top(located: &Located) -> Finding {
    let message = "a file holds documents, not a list of them".to_owned();
    located.finding(crate::Severity::Error, "list-at-top", "", message).with_hint(
        if located.file().ends_with(".json") {
            "write one object per file"
        } else {
            "write each document without `- `, and a line `---` between two of them"
        },
    )
}

/// Size and encoding. The text comes back without its byte order mark.
fn check_bytes(file: &SourceFile, limits: Limits) -> Result<&str, Box<Finding>> {
    let start = |line, column| Position { file: file.path.clone(), line, column };
    let bytes = file.bytes.as_slice();
    if bytes.len() > limits.file_bytes {
        let message = format!("the file has more than {} bytes and is not read", limits.file_bytes);
        let finding = Finding::error("file-too-large", message).with_position(start(1, 1));
        return Err(Box::new(finding.with_hint("split it into several files, or keep it out of the folder")));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let finding = Finding::error("not-utf8", "the file is UTF-16").with_position(start(1, 1));
        return Err(Box::new(finding.with_hint("save it as UTF-8")));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(why) => {
            let good = String::from_utf8_lossy(bytes.get(..why.valid_up_to()).unwrap_or_default());
            let good = good.strip_prefix('\u{feff}').unwrap_or(&good);
            let source = SourceText::new(file.path.clone(), good);
            let (line, column) = source.end();
            let byte = bytes.get(why.valid_up_to()).copied().unwrap_or_default();
            let message = format!("the file is not UTF-8: byte 0x{byte:02x} cannot stand here");
            let finding = Finding::error("not-utf8", message).with_position(start(line, column));
            Err(Box::new(finding.with_hint("save it as UTF-8")))
        }
    }
}

/// NUL and its kin: no YAML, and a sign that the file is not text at all.
fn control_character(source: &SourceText) -> Option<Finding> {
    // Bytes that are, or that may start, a control character: few texts have any.
    let suspicious =
        |byte: u8| (byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) || matches!(byte, 0x7f | 0xc2);
    if !source.text().bytes().any(suspicious) {
        return None;
    }
    let bad = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let offset = source.text().find(bad)?;
    let found = source.text().get(offset..)?.chars().next()?;
    let (line, column) = source.place(offset);
    let message = format!("the control character U+{:04X} cannot stand in a document", u32::from(found));
    let position = Position { file: source.path().clone(), line, column };
    Some(
        Finding::error("control-character", message)
            .with_position(position)
            .with_line(source.line(line), 1)
            .with_hint("remove it, or write it as an escape in double quotes"),
    )
}
