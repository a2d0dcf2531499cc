//! From an offset in a text value to the place in the file, for errors inside conditions, routes and embedded JSON.
//!
//! Walks the written form and the value side by side: quotes, escapes, folded lines and block indentation differ
//! between the two, the rest is equal.

use super::marks::Place;

/// The place of byte `offset` of `value`, whose written form starts at `start` with the text `written`. Falls back to
/// the start when the two do not match.
pub(super) fn place(written: &str, start: Place, value: &str, offset: usize) -> Place {
    let mut cursor = Cursor { rest: written, place: start };
    let style = cursor.open();
    let mut value = value.char_indices().peekable();
    while let Some((at, wanted)) = value.next() {
        cursor.skip_line_continuation(style);
        if at >= offset && !wanted.is_whitespace() {
            return cursor.place;
        }
        let Some(found) = cursor.peek() else { return start };
        if wanted.is_whitespace() && found.is_whitespace() {
            // Folding turns line ends and indentation into one blank, so runs are matched as wholes.
            let mut here = cursor.place;
            // An offset behind the end of a line has no column on it: the end of the line is where it is told.
            let room =
                cursor.rest.chars().take_while(|c| c.is_whitespace() && !matches!(c, '\n' | '\r')).count();
            cursor.skip_while(char::is_whitespace);
            let mut next = at;
            while let Some((at, _)) = value.next_if(|(_, c)| c.is_whitespace()) {
                next = at;
            }
            if next >= offset {
                here.column += u32::try_from(offset.saturating_sub(at).min(room)).unwrap_or_default();
                return here;
            }
        } else if !cursor.take(style, wanted) {
            return start;
        }
    }
    cursor.place
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Block,
}

struct Cursor<'a> {
    rest: &'a str,
    place: Place,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..)?;
        // CR LF counts once, at its LF.
        if c == '\n' || (c == '\r' && !self.rest.starts_with('\n')) {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn skip_while(&mut self, accept: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&accept) {
            self.bump();
        }
    }

    /// Steps over what stands in front of the text: a quote, or the header of a block.
    fn open(&mut self) -> Style {
        let style = match self.peek() {
            Some('\'') => Style::Single,
            Some('"') => Style::Double,
            Some('|' | '>') => Style::Block,
            Some(_) | None => return Style::Plain,
        };
        if style == Style::Block {
            self.skip_while(|c| c != '\n' && c != '\r');
            self.skip_while(char::is_whitespace);
        } else {
            self.bump();
        }
        style
    }

    fn skip_line_continuation(&mut self, style: Style) {
        while style == Style::Double && (self.rest.starts_with("\\\n") || self.rest.starts_with("\\\r")) {
            self.bump();
            self.skip_while(char::is_whitespace);
        }
    }

    /// Steps over one character of the value as it is written. `false` when something else stands there.
    fn take(&mut self, style: Style, wanted: char) -> bool {
        match (style, self.bump()) {
            (Style::Double, Some('\\')) => {
                let digits = match self.bump() {
                    Some('x') => 2,
                    Some('u') => 4,
                    Some('U') => 8,
                    Some(_) => 0,
                    None => return false,
                };
                for _ in 0..digits {
                    self.bump();
                }
                true
            }
            (Style::Single, Some('\'')) => wanted == '\'' && self.bump() == Some('\''),
            (Style::Plain | Style::Single | Style::Double | Style::Block, found) => found == Some(wanted),
        }
    }
}
