//! From the events of the YAML parser to a JSON value, with or without the places of its nodes.
//!
//! Bounded: depth, what aliases copy, and the number of problems. Never panics, whatever the bytes.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::{
    Limits,
    marks::{Mark, Place, Stretch},
    quick,
    scalar::{self, Plain},
    source::SourceText,
    split::Piece,
};
use crate::finding::{RuleId, Severity};

/// What one piece of a file holds.
pub(super) struct Outcome {
    /// The document, when it could be read to its end.
    pub(super) value: Option<Value>,
    pub(super) problems: Vec<Problem>,
    /// What anchors and aliases copied.
    pub(super) copied: usize,
}

/// Something wrong with the text, not yet a finding.
pub(super) struct Problem {
    pub(super) severity: Severity,
    pub(super) rule: RuleId,
    pub(super) stretch: Stretch,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Would quotes mend it?
    pub(super) quote: bool,
    /// For duplicates: the one before.
    pub(super) first: Option<Place>,
    pub(super) pointer: String,
}

/// Reads a piece without places: nearly always the quick way.
pub(super) fn read(source: &SourceText, piece: Piece, limits: Limits) -> Outcome {
    let odd = |text: &&str| source.yaml().1 || (is_json(source) && may_hold_comments(text));
    match Some(source.piece(piece)).filter(|text| !odd(text)).and_then(|text| quick::read(text, limits)) {
        Some(value) => Outcome { value: Some(value), problems: Vec::new(), copied: 0 },
        None => read_whole(source, piece, limits),
    }
}

/// Reads a piece with the YAML parser.
pub(super) fn read_whole(source: &SourceText, piece: Piece, limits: Limits) -> Outcome {
    let mut reader = Reader::new(source, piece, limits, Keep::Values);
    let mut value = reader.document().ok().map(|node| node.value);
    if source.yaml().1 && reader.problems.is_empty() {
        match serde_json::from_str(source.text()) {
            Ok(json) => value = Some(json),
            Err(why) => {
                let place = json_place(source, why.line(), why.column());
                reader
                    .syntax(place, "surrogate escapes (\\ud800 to \\udfff) stand in pairs, and in JSON only");
            }
        }
    }
    Outcome { value, problems: reader.problems, copied: reader.copied }
}

/// Reads a piece for its places. What was wrong with it has been reported before.
pub(super) fn marks(source: &SourceText, piece: Piece, limits: Limits) -> Mark {
    let mut reader = Reader::new(source, piece, limits, Keep::Marks);
    reader.document().map(|node| node.mark).unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Values,
    Marks,
}

/// The rest of the document cannot be read; the reason is among the problems.
struct Stop;

#[derive(Default)]
struct Node {
    value: Value,
    mark: Mark,
}

struct Anchored {
    value: Value,
    weight: usize,
}

struct Reader<'a> {
    source: &'a SourceText,
    parser: Parser<'a, StrInput<'a>>,
    first_line: u32,
    limits: Limits,
    keep: Keep,
    anchors: HashMap<usize, Anchored>,
    copied: usize,
    problems: Vec<Problem>,
    /// Pointer of the node that is being read.
    path: String,
}

impl<'a> Reader<'a> {
    fn new(source: &'a SourceText, piece: Piece, limits: Limits, keep: Keep) -> Self {
        let text =
            source.yaml().0.get(source.start_of(piece.first)..source.start_of(piece.end)).unwrap_or_default();
        Self {
            source,
            parser: Parser::new_from_str(text),
            first_line: piece.first,
            limits,
            keep,
            anchors: HashMap::new(),
            copied: 0,
            problems: Vec::new(),
            path: String::new(),
        }
    }

    fn place(&self, marker: Marker) -> Place {
        Place {
            line: self.first_line + number(marker.line()).saturating_sub(1),
            column: number(marker.col()) + 1,
        }
    }

    fn stretch(&self, span: Span) -> Stretch {
        Stretch { start: self.place(span.start), end: self.place(span.end) }
    }

    fn problem(
        &mut self,
        severity: Severity,
        rule: RuleId,
        stretch: Stretch,
        message: impl Into<String>,
    ) -> &mut Problem {
        let pointer = self.path.clone();
        let problem = Problem {
            severity,
            rule,
            stretch,
            message: message.into(),
            hint: None,
            quote: false,
            first: None,
            pointer,
        };
        if self.problems.len() >= self.limits.findings {
            // Too many to be read by anyone; the last one is overwritten.
            self.problems.pop();
        }
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(why)) => {
                let start = self.place(*why.marker());
                self.syntax(start, why.info());
                Err(Stop)
            }
            None => {
                let (line, column) = self.source.end();
                self.syntax(Place { line, column }, "the document ends in the middle");
                Err(Stop)
            }
        }
    }

    fn syntax(&mut self, start: Place, info: &str) {
        let line = self.source.line(start.line);
        let indent = line.len() - line.trim_start().len();
        let tab = line.get(..indent).and_then(|blank| blank.chars().position(|c| c == '\t'));
        // Further right on the line something else is wrong.
        let tab = tab.filter(|_| start.column as usize <= indent + 1);
        let (rule, start, message, hint) = match tab {
            Some(tab) => {
                let column = u32::try_from(tab).unwrap_or_default() + 1;
                let message = "YAML is indented with spaces, this is a tab".to_owned();
                ("tab-indent", Place { column, ..start }, message, Some("replace it by spaces"))
            }
            None => ("yaml-syntax", start, format!("not valid YAML: {info}"), None),
        };
        let problem = self.problem(Severity::Error, rule, Stretch { start, end: start }, message);
        problem.hint = hint.map(str::to_owned);
    }

    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root.unwrap_or_default()),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => {
                    if root.is_some() {
                        // The file was cut at its markers, so a second document here is a slip of the pen.
                        let start = self.place(span.start);
                        self.syntax(start, "a second document without a line `---` before it");
                        return Err(Stop);
                    }
                    root = Some(self.node(event, span, 0)?);
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        if depth > self.limits.depth {
            let message = format!("nested deeper than {} levels", self.limits.depth);
            let stretch = self.stretch(span);
            self.problem(Severity::Error, "too-deep", stretch, message).hint =
                Some("make the document flatter".to_owned());
            return Err(Stop);
        }
        let (node, anchor) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(text, style, tag.as_deref(), span), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.container_tag(tag.as_deref(), "seq", span);
                (self.sequence(span, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.container_tag(tag.as_deref(), "map", span);
                (self.mapping(span, depth)?, anchor)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => {
                let start = self.place(span.start);
                self.syntax(start, "a value is missing here");
                return Err(Stop);
            }
        };
        if anchor != 0 {
            let weight = weight(&node.value);
            self.spend(weight, span)?;
            self.anchors.insert(anchor, Anchored { value: node.value.clone(), weight });
        }
        Ok(node)
    }

    fn spend(&mut self, weight: usize, span: Span) -> Result<(), Stop> {
        self.copied = self.copied.saturating_add(weight);
        if self.copied <= self.limits.alias_weight {
            return Ok(());
        }
        let stretch = self.stretch(span);
        let problem = self.problem(
            Severity::Error,
            "alias-expansion",
            stretch,
            "anchors and aliases of this document copy too much",
        );
        problem.hint = Some("write the values out, or share less".to_owned());
        Err(Stop)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Node, Stop> {
        let stretch = self.stretch(span);
        let Some(anchored) = self.anchors.get(&id) else {
            self.problem(
                Severity::Error,
                "alias-recursive",
                stretch,
                "this alias stands inside the value that it names",
            );
            return Err(Stop);
        };
        let (value, weight) = (anchored.value.clone(), anchored.weight);
        self.spend(weight, span)?;
        Ok(Node { value, mark: Mark { value: stretch, ..Mark::default() } })
    }

    fn container_tag(&mut self, tag: Option<&Tag>, core: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == core)
        {
            self.unknown_tag(tag, span);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        let stretch = self.stretch(span);
        let message = format!("the tag {}{} is not known here", tag.handle, tag.suffix);
        self.problem(Severity::Error, "unknown-tag", stretch, message).hint =
            Some("remove the tag".to_owned());
    }

    fn scalar(&mut self, text: Cow<'a, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        // Positions inside a text are asked for later, when the text itself is gone.
        let kept = (self.keep == Keep::Marks && style != ScalarStyle::Plain).then(|| Box::from(&*text));
        let value = match tag {
            Some(tag) => self.tagged(text, tag, span),
            None if style == ScalarStyle::Plain => self.plain(&text, span),
            None => Value::String(text.into_owned()),
        };
        Node { value, mark: Mark { value: self.stretch(span), text: kept, ..Mark::default() } }
    }

    /// In a JSON file, `// …` reads as a text without quotes, which is never what its author meant.
    fn comment_of_another_language(&mut self, text: &str, span: Span) {
        let comment = text.starts_with("//") || text.starts_with("/*") || text.contains(" //");
        if comment && is_json(self.source) {
            let stretch = self.stretch(span);
            let problem = self.problem(Severity::Error, "yaml-syntax", stretch, "JSON has no comments");
            problem.hint = Some("remove it, or call the file .yaml and write # …".to_owned());
        }
    }

    fn plain(&mut self, text: &str, span: Span) -> Value {
        self.comment_of_another_language(text, span);
        if scalar::reads_otherwise_in_yaml_1_1(text) && self.keep == Keep::Values {
            let message =
                format!("{text} is read differently by kubectl (YAML 1.1) and by Hemline (YAML 1.2)");
            let stretch = self.stretch(span);
            let hint = format!("write \"{text}\" for the text, or true, false or a plain number");
            let is_text = matches!(scalar::plain(text), Plain::Value(Value::String(_)));
            let problem = self.problem(Severity::Warning, "ambiguous-scalar", stretch, message);
            problem.hint = Some(hint);
            // Of a number nobody knows whether its author wanted the text.
            problem.quote = is_text;
        }
        match scalar::plain(text) {
            Plain::Value(value) => value,
            Plain::NoJson(why) => self.no_json(why, span),
        }
    }

    fn no_json(&mut self, why: &str, span: Span) -> Value {
        let stretch = self.stretch(span);
        let problem = self.problem(Severity::Error, "no-json-number", stretch, why);
        problem.hint = Some("write it in quotes if a text will do".to_owned());
        Value::Null
    }

    fn tagged(&mut self, text: Cow<'a, str>, tag: &Tag, span: Span) -> Value {
        // `!` alone says: do not resolve, it is a text.
        if tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty() {
            return Value::String(text.into_owned());
        }
        if !tag.is_yaml_core_schema() {
            self.unknown_tag(tag, span);
            return Value::String(text.into_owned());
        }
        let resolved = match (tag.suffix.as_str(), scalar::plain(&text)) {
            ("str", _) => Some(Value::String(text.clone().into_owned())),
            ("int" | "float", Plain::NoJson(why)) => return self.no_json(why, span),
            ("int", Plain::Value(value)) if value.is_i64() || value.is_u64() => Some(value),
            ("float", Plain::Value(value)) if value.is_number() => Some(value),
            ("bool", Plain::Value(value)) if value.is_boolean() => Some(value),
            ("null", Plain::Value(Value::Null)) => Some(Value::Null),
            (_, _) => None,
        };
        if resolved.is_none() {
            if matches!(tag.suffix.as_str(), "int" | "float" | "bool" | "null") {
                let stretch = self.stretch(span);
                self.problem(
                    Severity::Error,
                    "unknown-tag",
                    stretch,
                    format!("{text:?} is no !!{}", tag.suffix),
                );
            } else {
                self.unknown_tag(tag, span);
            }
        }
        resolved.unwrap_or(Value::Null)
    }

    fn sequence(&mut self, span: Span, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        let mut mark = Mark { container: true, value: self.stretch(span), ..Mark::default() };
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                mark.value.end = self.place(span.end);
                return Ok(Node { value: Value::Array(items), mark });
            }
            let back = self.path.len();
            self.path.push_str(&format!("/{}", items.len()));
            let node = self.node(event, span, depth + 1)?;
            self.path.truncate(back);
            if self.keep == Keep::Marks {
                mark.children.push((items.len().to_string().into(), node.mark));
            }
            items.push(node.value);
        }
    }

    fn mapping(&mut self, span: Span, depth: usize) -> Result<Node, Stop> {
        let mut map = Map::new();
        let mut mark = Mark { container: true, value: self.stretch(span), ..Mark::default() };
        let mut merges = Vec::new();
        let mut firsts: HashMap<String, Place> = HashMap::new();
        // Two documents without `---` between them: told once, not once for each of the second one's keys.
        let mut unparted = false;
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                mark.value.end = self.place(span.end);
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key_stretch = self.stretch(span);
            let key = self.key(event, span, depth)?;
            let back = self.path.len();
            crate::pointer::push(&mut self.path, &key);
            let first = if merge { None } else { firsts.get(&key).copied() };
            let next_document = depth == 0 && key == "apiVersion" && first.is_some();
            unparted |= next_document;
            if let Some(first) = first.filter(|_| next_document || !unparted) {
                let problem = self.problem(
                    Severity::Error,
                    "duplicate-key",
                    key_stretch,
                    format!("the key {key:?} stands here twice"),
                );
                problem.first = Some(first);
                problem.hint = Some(if next_document {
                    "a new document starts with a line of three dashes, `---`".to_owned()
                } else {
                    "remove one of them".to_owned()
                });
            }
            let (event, span) = self.next()?;
            let mut node = self.node(event, span, depth + 1)?;
            self.path.truncate(back);
            if merge {
                merges.push((node.value, key_stretch));
                continue;
            }
            if first.is_none() {
                firsts.insert(key.clone(), key_stretch.start);
                if self.keep == Keep::Marks {
                    node.mark.key = Some(key_stretch);
                    mark.children.push((key.as_str().into(), node.mark));
                }
                map.insert(key, node.value);
            }
        }
        for (value, stretch) in merges {
            self.merge(&mut map, value, stretch);
        }
        Ok(Node { value: Value::Object(map), mark })
    }

    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<String, Stop> {
        let stretch = self.stretch(span);
        match event {
            Event::Scalar(text, style, anchor, None) if !(text.is_empty() && style == ScalarStyle::Plain) => {
                let text = text.into_owned();
                if style == ScalarStyle::Plain {
                    self.comment_of_another_language(&text, span);
                }
                if anchor != 0 {
                    self.spend(text.len(), span)?;
                    self.anchors
                        .insert(anchor, Anchored { weight: text.len(), value: Value::String(text.clone()) });
                }
                Ok(text)
            }
            other => {
                // Read on, so that everything behind it is still checked.
                let node = self.node(other, span, depth + 1)?;
                if let Value::String(text) = node.value {
                    return Ok(text);
                }
                self.problem(Severity::Error, "key-not-text", stretch, "a key must be a text").hint =
                    Some("write the key in quotes".to_owned());
                Ok(node.value.to_string())
            }
        }
    }

    /// `<<`: members that are not said here come from another mapping, or from a list of them, first one first.
    fn merge(&mut self, map: &mut Map<String, Value>, value: Value, stretch: Stretch) {
        let sources = match value {
            Value::Array(items) => items,
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => vec![other],
        };
        for source in sources {
            let Value::Object(source) = source else {
                self.problem(
                    Severity::Error,
                    "merge-key",
                    stretch,
                    "`<<` takes a mapping, or a list of mappings",
                );
                return;
            };
            for (key, value) in source {
                map.entry(key).or_insert(value);
            }
        }
    }
}

fn is_json(source: &SourceText) -> bool {
    source.path().ends_with(".json")
}

/// Signs of a comment that are not part of an address or path.
fn may_hold_comments(text: &str) -> bool {
    ["//", "/*"].into_iter().any(|sign| {
        let mut found = text.match_indices(sign);
        found.any(|(at, _)| text.get(..at).is_some_and(|before| before.ends_with([' ', '\n', '{', '[', ','])))
    })
}

/// The JSON parser counts bytes, ends lines with LF only, and may stand in front of a line's first byte.
fn json_place(source: &SourceText, line: usize, column: usize) -> Place {
    let text = source.text();
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut offset = (start + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let (line, column) = source.place(offset);
    Place { line, column }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX - 1)
}

/// What a copy of a value costs: its nodes and its bytes.
fn weight(value: &Value) -> usize {
    16 + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight(value)).sum(),
    }
}
