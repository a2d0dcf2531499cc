//! A pointer that leads into a text, because the text is JSON: `…/createOptions/HostConfig/Memory`, whether the options are
//! written as a mapping, as one JSON text, or cut into `createOptions`, `createOptions01`, … as in a twin.

use super::{
    inside, json,
    marks::{Found, Mark, Place, Stretch},
    source::SourceText,
};
use crate::edge::chunk;

/// A JSON text in a document, and the place in it that a pointer leads to.
pub(super) struct Nested<'a> {
    source: &'a SourceText,
    /// The scalars that make up the text, in order.
    pieces: Vec<(&'a Mark, &'a str)>,
    text: String,
    spot: json::Spot,
}

impl<'a> Nested<'a> {
    /// `None` when the pointer did not end at a text, or the text is no JSON.
    pub(super) fn of(source: &'a SourceText, found: &Found<'a>) -> Option<Self> {
        if found.rest.is_empty() {
            return None;
        }
        let first = found.mark.text.as_deref()?;
        if !first.trim_start().starts_with('{') {
            return None;
        }
        let mut pieces = vec![(found.mark, first)];
        pieces.extend(found.parent.into_iter().flat_map(|parent| further(parent, found.mark)));
        let text: String = pieces.iter().map(|(_, text)| *text).collect();
        let spot = json::find(&text, &found.rest)?;
        Some(Self { source, pieces, text, spot })
    }

    /// Did the pointer lead all the way?
    pub(super) fn is_exact(&self) -> bool {
        self.spot.exact
    }

    /// The value; its name when it is an object or a list.
    pub(super) fn value(&self) -> Stretch {
        match &self.spot.key {
            Some(_) if self.spot.container || !self.spot.exact => self.key(),
            None if self.spot.container => self.stretch(self.spot.written.start, self.spot.written.start + 1),
            Some(_) | None => self.stretch(self.spot.value.start, self.spot.value.end),
        }
    }

    /// The name.
    pub(super) fn key(&self) -> Stretch {
        let range = self.spot.key.clone().unwrap_or(self.spot.value.clone());
        self.stretch(range.start, range.end)
    }

    /// The value with its quotes.
    pub(super) fn written(&self) -> Stretch {
        self.stretch(self.spot.written.start, self.spot.written.end)
    }

    /// The same, as the JSON text says it.
    pub(super) fn raw(&self) -> &str {
        self.text.get(self.spot.written.clone()).unwrap_or_default()
    }

    /// Where the text starts.
    pub(super) fn start(&self) -> Place {
        self.pieces.first().map(|(mark, _)| mark.value.start).unwrap_or_default()
    }

    /// A piece of the value, which is a text; offsets are bytes of what the text says.
    pub(super) fn within(&self, start: usize, end: usize) -> Stretch {
        let at = |offset| json::inside(&self.text, &self.spot.value, offset);
        self.stretch(at(start), at(end.max(start)))
    }

    fn stretch(&self, start: usize, end: usize) -> Stretch {
        Stretch { start: self.place(start), end: self.place(end) }
    }

    fn place(&self, offset: usize) -> Place {
        let mut before = 0;
        let last = self.pieces.len() - 1;
        for (index, (mark, text)) in self.pieces.iter().enumerate() {
            if offset < before + text.len() || index == last {
                let start = mark.value.start;
                return inside::place(
                    written(self.source, start),
                    start,
                    text,
                    offset.saturating_sub(before),
                );
            }
            before += text.len();
        }
        Place::default()
    }
}

/// The scalars that continue a text: those with the same name and a number.
fn further<'a>(parent: &'a Mark, first: &Mark) -> Vec<(&'a Mark, &'a str)> {
    let own = parent.children.iter().find(|(_, child)| std::ptr::eq(child, first));
    if own.and_then(|(name, _)| chunk::number_of(name)).is_none_or(|number| !number.is_empty()) {
        return Vec::new();
    }
    let numbered = parent.children.iter().filter_map(|(name, child)| {
        let number: usize = chunk::number_of(name)?.parse().ok()?;
        Some((number, child, child.text.as_deref()?))
    });
    let mut pieces: Vec<_> = numbered.collect();
    pieces.sort_by_key(|(number, ..)| *number);
    pieces.into_iter().map(|(_, mark, text)| (mark, text)).collect()
}

/// The text of the file from a place on.
pub(super) fn written(source: &SourceText, start: Place) -> &str {
    let line = source.line(start.line);
    let before: usize = line.chars().take(start.column.saturating_sub(1) as usize).map(char::len_utf8).sum();
    source.text().get(source.start_of(start.line) + before..).unwrap_or_default()
}
