//! Places inside the JSON text of a value: createOptions are often written so.
//!
//! The text has been parsed before; whatever does not look like JSON here ends the search.

use std::ops::Range;

/// Where a member stands in the text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spot {
    /// The name, without its quotes.
    pub(super) key: Option<Range<usize>>,
    /// The value; of a text what is between its quotes.
    pub(super) value: Range<usize>,
    /// The value as it is written.
    pub(super) written: Range<usize>,
    /// Is it an object or a list?
    pub(super) container: bool,
    /// `false` when the steps led further than the text; then this is the nearest parent.
    pub(super) exact: bool,
}

/// A name that stands twice in one object of a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Twice {
    pub(crate) name: String,
    /// Bytes of the second name.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Follows the steps of a pointer. `None` when the text is no JSON.
pub(super) fn find(text: &str, steps: &[String]) -> Option<Spot> {
    let mut scan = Scan { text, at: 0 };
    scan.blanks();
    let mut spot = scan.spot(None)?;
    for step in steps {
        scan.at = spot.written.start;
        match scan.member(step) {
            Some(found) => spot = found,
            None => return Some(spot),
        }
    }
    Some(Spot { exact: true, ..spot })
}

/// The byte of a JSON text that byte `offset` of the string at `content` (between its quotes) is written at.
pub(super) fn inside(text: &str, content: &Range<usize>, offset: usize) -> usize {
    let written = text.get(content.clone()).unwrap_or_default();
    let (mut at, mut value) = (0, 0);
    while value < offset && at < written.len() {
        let rest = written.get(at..).unwrap_or_default();
        let (bytes, length) = match rest.strip_prefix('\\') {
            None => rest.chars().next().map_or((1, 1), |c| (c.len_utf8(), c.len_utf8())),
            Some(escape) if escape.starts_with('u') => unicode(rest),
            Some(_) => (2, 1),
        };
        at += bytes;
        value += length;
    }
    content.start + at.min(written.len())
}

/// Bytes of a `\u` escape (of a pair of them, for what needs two) and of its character.
fn unicode(rest: &str) -> (usize, usize) {
    let unit = |at: usize| rest.get(at..at + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match unit(2) {
        Some(0xd800..=0xdbff) => (12, 4),
        Some(code) => (6, char::from_u32(code).map_or(1, char::len_utf8)),
        None => (2, 1),
    }
}

/// Names that stand twice in one object, in order. Stops at the first thing that is no JSON.
pub(crate) fn twice(text: &str) -> Vec<Twice> {
    let mut scan = Scan { text, at: 0 };
    let mut found = Vec::new();
    // The names of each object around; `None` for a list.
    let mut open: Vec<Option<Vec<&str>>> = Vec::new();
    let mut name_next = false;
    loop {
        scan.blanks();
        let Some(byte) = scan.peek() else { return found };
        match byte {
            b'"' => {
                let Some(range) = scan.string() else { return found };
                if let Some(Some(names)) = open.last_mut()
                    && name_next
                {
                    let name = text.get(range.clone()).unwrap_or_default();
                    if names.contains(&name) {
                        found.push(Twice { name: name.to_owned(), start: range.start, end: range.end });
                    } else {
                        names.push(name);
                    }
                }
                name_next = false;
            }
            b'{' | b'[' => {
                open.push((byte == b'{').then(Vec::new));
                name_next = byte == b'{';
                scan.at += 1;
            }
            b'}' | b']' => {
                open.pop();
                name_next = false;
                scan.at += 1;
            }
            b',' => {
                name_next = matches!(open.last(), Some(Some(_)));
                scan.at += 1;
            }
            _ => scan.at += 1,
        }
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Steps over a string; returns what is between its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek()? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(start..self.at - 1);
                }
                _ => self.at += 1,
            }
        }
    }

    /// Steps over the value that starts here.
    fn spot(&mut self, key: Option<Range<usize>>) -> Option<Spot> {
        let start = self.at;
        let first = self.peek()?;
        let container = matches!(first, b'{' | b'[');
        let mut value = None;
        match first {
            b'"' => value = Some(self.string()?),
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match self.peek()? {
                        b'"' => {
                            self.string()?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {
                while self
                    .peek()
                    .is_some_and(|byte| !matches!(byte, b',' | b'}' | b']') && !byte.is_ascii_whitespace())
                {
                    self.at += 1;
                }
            }
        }
        let written = start..self.at;
        Some(Spot { key, value: value.unwrap_or(written.clone()), written, container, exact: false })
    }

    /// The member or item of the container that starts here. Of two members of a name the last one counts, as for the
    /// parser.
    fn member(&mut self, step: &str) -> Option<Spot> {
        let object = match self.peek()? {
            b'{' => true,
            b'[' => false,
            _ => return None,
        };
        self.at += 1;
        let mut found = None;
        for index in 0_usize.. {
            self.blanks();
            if matches!(self.peek()?, b'}' | b']') {
                break;
            }
            let mut key = None;
            if object {
                key = Some(self.string()?);
                self.blanks();
                self.at += 1;
                self.blanks();
            }
            let is = match &key {
                Some(range) => self.is_name(range, step),
                None => step.parse() == Ok(index),
            };
            let spot = self.spot(key)?;
            if is {
                found = Some(spot);
            }
            self.blanks();
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        found
    }

    fn is_name(&self, range: &Range<usize>, name: &str) -> bool {
        let written = self.text.get(range.clone()).unwrap_or_default();
        if !written.contains('\\') {
            return written == name;
        }
        serde_json::from_str::<String>(&format!("\"{written}\"")).is_ok_and(|read| read == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#" {"a": {"b": [1, "x\"y"], "c/d": null}, "e": "\u00e9\ud83d\ude00z", "a2": {}} "#;

    fn written(pointer: &str) -> String {
        let steps: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
        let spot = find(TEXT, &steps).unwrap();
        let key = spot.key.map(|key| TEXT[key].to_owned()).unwrap_or_default();
        format!("{key}={}{}", &TEXT[spot.written], if spot.exact { "" } else { " (parent)" })
    }

    #[test]
    fn pointers_lead_to_their_text() {
        for (pointer, expected) in [
            ("/a/b/0", "=1"),
            ("/a/b/1", r#"="x\"y""#),
            ("/a/b/2", r#"b=[1, "x\"y"] (parent)"#),
            ("/a2", "a2={}"),
            ("/a2/x", "a2={} (parent)"),
            ("/a/b/0/x", "=1 (parent)"),
        ] {
            assert_eq!(written(pointer), expected, "{pointer}");
        }
    }

    #[test]
    fn offsets_pass_over_escapes() {
        let spot = find(TEXT, &["e".to_owned()]).unwrap();
        let at = inside(TEXT, &spot.value, "é😀".len());
        assert_eq!(&TEXT[at..=at], "z");
        for broken in ["", "{", "{\"a", "{\"a\":", "[1", "{\"a\" 1", "\"\\"] {
            let found = find(broken, &["a".to_owned(), "b".to_owned()]);
            assert!(found.is_none_or(|spot| !spot.exact) && twice(broken).is_empty(), "{broken}");
        }
    }

    #[test]
    fn names_that_stand_twice() {
        let names = |text| twice(text).into_iter().map(|twice| (twice.name, twice.start)).collect::<Vec<_>>();
        assert_eq!(names(r#"{"a": 1, "b": {"a": "a"}, "a": 2}"#), [("a".to_owned(), 27)]);
        assert_eq!(names(r#"[{"a": ["a", "a"]}, {"a": 1}]"#), []);
    }
}
