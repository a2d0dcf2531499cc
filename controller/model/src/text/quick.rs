//! A reader for documents written the plain way, which nearly all are: block mappings and lists, flow ones on one line (or a
//! whole file of JSON), scalars on one line, comments.
//!
//! It answers only when it is sure that the full reader (`reader.rs`) would give the same value and have nothing to say, and
//! gives up at everything else: anchors, tags, block texts, merge keys, duplicate keys, numbers beyond JSON, errors of any
//! kind. Property tests hold the two together. So there is nothing here about messages and places.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    Limits,
    scalar::{self, Plain},
};

/// Longest implicit key that is read here; YAML allows 1 024 characters.
const KEY_AT_MOST: usize = 256;

/// The value of a piece; `None` when the full reader has to look.
pub(super) fn read(text: &str, limits: Limits) -> Option<Value> {
    if !text.bytes().all(is_simple) {
        return None;
    }
    let mut quick = Quick { text, bytes: text.as_bytes(), at: 0, depth_left: limits.depth };
    if quick.bytes.starts_with(b"---") {
        quick.at = 3;
        quick.end_of_line()?;
    }
    let indent = quick.next_content()?;
    let value = match quick.peek() {
        // Inside the braces of a whole file, lines do not matter.
        b'{' if indent == 0 => {
            let value = quick.flow(Lines::Many)?;
            quick.end_of_line()?;
            value
        }
        _ => quick.mapping(indent)?,
    };
    // What is left would belong to a parent, and there is none.
    quick.next_content().is_none().then_some(value)
}

/// Bytes that mean the same everywhere: no tabs, CR or control characters, and of the others only those that can start no
/// character that YAML or editors treat as space, line end or mark.
fn is_simple(byte: u8) -> bool {
    matches!(byte, b'\n' | 0x20..=0x7e | 0x80..=0xbf | 0xc3..=0xe1 | 0xe3..=0xed | 0xf0..=0xf4)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Many,
}

struct Quick<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth_left: usize,
}

impl<'a> Quick<'a> {
    /// The byte at the cursor; a line feed at the end of the text.
    fn peek(&self) -> u8 {
        self.byte(self.at)
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b'\n')
    }

    fn slice(&self, from: usize, to: usize) -> Option<&'a str> {
        self.text.get(from..to)
    }

    fn skip_blanks(&mut self) {
        while self.peek() == b' ' {
            self.at += 1;
        }
    }

    /// Only blanks or a comment may follow; goes behind the line.
    fn end_of_line(&mut self) -> Option<()> {
        let start = self.at;
        self.skip_blanks();
        match self.peek() {
            b'\n' => {}
            // Without a blank before it, it is no comment.
            b'#' if self.at > start => self.skip_line(),
            _ => return None,
        }
        self.at += 1;
        Some(())
    }

    fn skip_line(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    /// Goes to the next thing that says something, from the start of a line, and returns its column from 0. `None` at the end.
    fn next_content(&mut self) -> Option<usize> {
        while self.at < self.bytes.len() {
            let start = self.at;
            self.skip_blanks();
            match self.peek() {
                b'\n' => self.at += 1,
                b'#' => self.skip_line(),
                _ => return Some(self.at - start),
            }
        }
        None
    }

    /// The column of the next content without going there.
    fn look_ahead(&mut self) -> Option<usize> {
        let back = self.at;
        let found = self.next_content();
        if found.is_none() {
            self.at = self.bytes.len();
        } else {
            let content = self.at;
            self.at = content - found.unwrap_or_default();
            debug_assert!(self.at >= back);
        }
        found
    }

    fn at_dash(&self) -> bool {
        self.peek() == b'-' && matches!(self.byte(self.at + 1), b' ' | b'\n')
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth_left = self.depth_left.checked_sub(1)?;
        let value = read(self)?;
        self.depth_left += 1;
        Some(value)
    }

    /// A block mapping whose first key is at the cursor, in this column. Stops at the start of a line.
    fn mapping(&mut self, column: usize) -> Option<Value> {
        let mut map = Map::new();
        loop {
            let key = self.key()?;
            let value = self.deeper(|quick| quick.member(column))?;
            if map.insert(key.into_owned(), value).is_some() {
                return None;
            }
            match self.look_ahead() {
                Some(next) if next == column => self.at += next,
                Some(next) if next > column => return None,
                Some(_) | None => return Some(Value::Object(map)),
            }
        }
    }

    /// What stands behind the colon of a key in this column.
    fn member(&mut self, column: usize) -> Option<Value> {
        let start = self.at;
        if self.end_of_line().is_some() {
            return match self.look_ahead() {
                Some(next) if next > column => {
                    self.at += next;
                    self.block(next)
                }
                // The items of a list may stand below their key.
                Some(next) if next == column => {
                    self.at += next;
                    if self.at_dash() {
                        self.list(column)
                    } else {
                        self.at -= next;
                        Some(Value::Null)
                    }
                }
                Some(_) | None => Some(Value::Null),
            };
        }
        self.at = start;
        self.skip_blanks();
        self.inline(column)
    }

    /// A block node that starts at the cursor, alone on its lines.
    fn block(&mut self, column: usize) -> Option<Value> {
        if self.at_dash() {
            return self.list(column);
        }
        let back = self.at;
        if self.key().is_some() {
            self.at = back;
            return self.mapping(column);
        }
        self.at = back;
        // Its parent stands somewhere to the left; a line that is further right than that would continue it.
        self.inline(column.checked_sub(1)?)
    }

    /// A block list whose first dash is at the cursor, in this column.
    fn list(&mut self, column: usize) -> Option<Value> {
        let mut items = Vec::new();
        loop {
            self.at += 1;
            let item = self.deeper(|quick| quick.item(column))?;
            items.push(item);
            match self.look_ahead() {
                Some(next) if next == column => {
                    self.at += next;
                    if !self.at_dash() {
                        // A key of the mapping that the list is a member of.
                        self.at -= next;
                        return Some(Value::Array(items));
                    }
                }
                Some(next) if next > column => return None,
                Some(_) | None => return Some(Value::Array(items)),
            }
        }
    }

    /// What stands behind the dash in this column.
    fn item(&mut self, column: usize) -> Option<Value> {
        let dash = self.at - 1;
        let start = self.at;
        if self.end_of_line().is_some() {
            return match self.look_ahead() {
                Some(next) if next > column => {
                    self.at += next;
                    self.block(next)
                }
                Some(_) | None => Some(Value::Null),
            };
        }
        self.at = start;
        self.skip_blanks();
        let inner = column + (self.at - dash);
        if self.at_dash() {
            return self.list(inner);
        }
        let back = self.at;
        if self.key().is_some() {
            self.at = back;
            return self.mapping(inner);
        }
        self.at = back;
        self.inline(column)
    }

    /// A value that ends with its line. Its parent stands in this column.
    fn inline(&mut self, column: usize) -> Option<Value> {
        let value = match self.peek() {
            b'{' | b'[' => self.flow(Lines::One)?,
            b'"' | b'\'' => Value::String(self.quoted()?.into_owned()),
            _ => self.plain()?,
        };
        self.end_of_line()?;
        // A line further right would go on with the value.
        match self.look_ahead() {
            Some(next) if next > column => None,
            Some(_) | None => Some(value),
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let key = match self.peek() {
            b'"' | b'\'' => self.quoted()?,
            first if starts_plain(first, self.byte(start + 1)) => {
                loop {
                    match (self.peek(), self.byte(self.at + 1)) {
                        (b'\n', _) | (b' ', b'#') => return None,
                        (b':', b' ' | b'\n') => break,
                        _ => self.at += 1,
                    }
                }
                Cow::Borrowed(self.slice(start, self.at)?)
            }
            _ => return None,
        };
        let ends_well = self.peek() == b':' && matches!(self.byte(self.at + 1), b' ' | b'\n');
        if !ends_well || self.at - start > KEY_AT_MOST || key == "<<" || key.ends_with(' ') {
            return None;
        }
        self.at += 1;
        Some(key)
    }

    /// A plain scalar up to the end of its line or a comment.
    fn plain(&mut self) -> Option<Value> {
        let start = self.at;
        if !starts_plain(self.peek(), self.byte(start + 1)) {
            return None;
        }
        loop {
            match (self.peek(), self.byte(self.at + 1)) {
                (b'\n', _) | (b' ', b'#') => break,
                (b':', b' ' | b'\n') => return None,
                _ => self.at += 1,
            }
        }
        let text = self.slice(start, self.at)?.trim_end_matches(' ');
        self.at = start + text.len();
        resolve(text)
    }

    fn quoted(&mut self) -> Option<Cow<'a, str>> {
        let quote = self.peek();
        self.at += 1;
        let start = self.at;
        let mut copy: Option<String> = None;
        let mut from = start;
        loop {
            let byte = self.peek();
            match byte {
                b'\n' => return None,
                b'\'' if quote == b'\'' && self.byte(self.at + 1) == b'\'' => {
                    let piece = self.slice(from, self.at + 1)?;
                    copy.get_or_insert_default().push_str(piece);
                    self.at += 2;
                    from = self.at;
                }
                b'\\' if quote == b'"' => {
                    let piece = self.slice(from, self.at)?;
                    let escaped = self.escape()?;
                    let copy = copy.get_or_insert_default();
                    copy.push_str(piece);
                    copy.push(escaped);
                    from = self.at;
                }
                _ if byte == quote => break,
                _ => self.at += 1,
            }
        }
        let piece = self.slice(from, self.at)?;
        self.at += 1;
        Some(match copy {
            None => Cow::Borrowed(piece),
            Some(mut copy) => {
                copy.push_str(piece);
                Cow::Owned(copy)
            }
        })
    }

    fn escape(&mut self) -> Option<char> {
        let escaped = match self.byte(self.at + 1) {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'u' => {
                let hex = self.slice(self.at + 2, self.at + 6)?;
                self.at += 4;
                if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                char::from_u32(u32::from_str_radix(hex, 16).ok()?)?
            }
            _ => return None,
        };
        self.at += 2;
        Some(escaped)
    }

    fn skip_flow(&mut self, lines: Lines) {
        while self.peek() == b' '
            || (lines == Lines::Many && self.peek() == b'\n' && self.at < self.bytes.len())
        {
            self.at += 1;
        }
    }

    /// A value in flow style. In a whole file of it, strings are quoted, as in JSON.
    fn flow(&mut self, lines: Lines) -> Option<Value> {
        match self.peek() {
            b'{' => self.deeper(|quick| quick.flow_mapping(lines)),
            b'[' => self.deeper(|quick| quick.flow_list(lines)),
            b'"' => Some(Value::String(self.quoted()?.into_owned())),
            b'\'' if lines == Lines::One => Some(Value::String(self.quoted()?.into_owned())),
            _ => resolve(self.flow_plain(lines)?),
        }
    }

    /// Steps over the bracket that opens a collection; over the one that closes it too when nothing is in it. Is there an item?
    fn opens(&mut self, close: u8, lines: Lines) -> bool {
        self.at += 1;
        self.skip_flow(lines);
        let empty = self.peek() == close;
        self.at += usize::from(empty);
        !empty
    }

    /// Steps over what follows an item: a comma, or the closing bracket. Is there another item?
    fn goes_on(&mut self, close: u8, lines: Lines) -> Option<bool> {
        self.skip_flow(lines);
        let next = self.peek();
        // Anything else is not simple: also the colon of a single pair without braces.
        if next != b',' && next != close {
            return None;
        }
        self.at += 1;
        if next == b',' {
            self.skip_flow(lines);
        }
        Some(next == b',')
    }

    fn flow_mapping(&mut self, lines: Lines) -> Option<Value> {
        let mut map = Map::new();
        let mut more = self.opens(b'}', lines);
        while more {
            let start = self.at;
            let key = match (self.peek(), lines) {
                (b'"', _) | (b'\'', Lines::One) => self.quoted()?,
                (_, Lines::One) => Cow::Borrowed(self.flow_plain(lines)?),
                (_, Lines::Many) => return None,
            };
            let spaced = matches!(self.byte(self.at + 1), b' ');
            let json = lines == Lines::Many;
            if self.peek() != b':' || !(spaced || json) || self.at - start > KEY_AT_MOST || key == "<<" {
                return None;
            }
            self.at += 1;
            self.skip_flow(Lines::One);
            let value = self.flow(lines)?;
            if map.insert(key.into_owned(), value).is_some() {
                return None;
            }
            more = self.goes_on(b'}', lines)?;
        }
        Some(Value::Object(map))
    }

    fn flow_list(&mut self, lines: Lines) -> Option<Value> {
        let mut items = Vec::new();
        let mut more = self.opens(b']', lines);
        while more {
            items.push(self.flow(lines)?);
            more = self.goes_on(b']', lines)?;
        }
        Some(Value::Array(items))
    }

    /// A plain scalar inside braces or brackets, of characters that mean nothing there.
    fn flow_plain(&mut self, lines: Lines) -> Option<&'a str> {
        let start = self.at;
        let second = self.byte(start + 1);
        let harmless =
            |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_./+-@=~$ ".contains(&byte);
        if !starts_plain(self.peek(), second) || (self.peek() == b'-' && !second.is_ascii_digit()) {
            return None;
        }
        while harmless(self.peek()) {
            self.at += 1;
        }
        let ended = match self.peek() {
            b',' | b'}' | b']' => true,
            b':' => self.byte(self.at + 1) == b' ',
            b'\n' => lines == Lines::Many,
            _ => false,
        };
        let whole = self.slice(start, self.at)?;
        let text = whole.trim_end_matches(' ');
        // A blank before the colon or the end of the line is more than is worth knowing here.
        if !ended || (text.len() != whole.len() && matches!(self.peek(), b':' | b'\n')) {
            return None;
        }
        self.at = start + text.len();
        Some(text)
    }
}

/// May a plain scalar start like this?
fn starts_plain(first: u8, second: u8) -> bool {
    match first {
        b'-' => !matches!(second, b' ' | b'\n' | b'-'),
        b'_' | b'.' | b'/' | b'+' | b'~' | b'$' | b'(' | b'<' | b'=' | b';' | b'\\' | b'^' => true,
        other => other.is_ascii_alphanumeric() || other >= 0x80,
    }
}

fn resolve(text: &str) -> Option<Value> {
    // Worth a warning, which the full reader gives.
    if scalar::reads_otherwise_in_yaml_1_1(text) {
        return None;
    }
    match scalar::plain(text) {
        Plain::Value(value) => Some(value),
        Plain::NoJson(_) => None,
    }
}

#[cfg(test)]
mod tests;
