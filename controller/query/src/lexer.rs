//! What both dialects read alike: blanks, comments, quoted strings, hexadecimal numbers. The tokens themselves differ
//! and stand in `twin/lexer.rs` and `route/lexer.rs`.

use crate::{Diagnostic, Span};

/// A place in a text, moving forward one character at a time.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

/// What two quotes in a row mean inside a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DoubledQuote {
    /// One quote character, as in SQL (reference query-language §2).
    IsEscape,
    /// The end of the string; what follows is the next token.
    EndsString,
}

// ---------------------------------------------------------------------------------------------------------------

impl<'t> Cursor<'t> {
    /// A cursor at byte `at`, which must be a character boundary; elsewhere it reads as the end of the text.
    pub(crate) fn new(text: &'t str, at: usize) -> Self {
        Self { text, at }
    }

    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    pub(crate) fn eat(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    /// Steps over `length` bytes, which end at a character boundary, and gives them.
    pub(crate) fn skip(&mut self, length: usize) -> &'t str {
        let skipped = self.rest().get(..length).unwrap_or_default();
        self.at += skipped.len();
        skipped
    }

    /// Reads the longest run of characters for which `belongs` holds.
    pub(crate) fn run(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        self.skip(rest.find(|character| !belongs(character)).unwrap_or(rest.len()))
    }

    pub(crate) fn since(&self, start: usize) -> Span {
        Span::new(start, self.at)
    }

    /// Skips white space and `/* … */`. A comment that does not end takes the rest of the text.
    pub(crate) fn skip_blank(&mut self, found: &mut Vec<Diagnostic>) {
        loop {
            self.run(char::is_whitespace);
            let start = self.at;
            if !self.eat("/*") {
                return;
            }
            if let Some(length) = self.rest().find("*/") {
                self.at += length + 2;
            } else {
                let span = Span::new(start, start + 2);
                found.push(Diagnostic::new(span, "this comment does not end").hint("close it with */"));
                self.at = self.text.len();
            }
        }
    }

    /// Reads the string that starts at the quote under the cursor, and gives its value without escapes. What is wrong
    /// with it goes to `found`; one that does not end takes the rest of the text and is `None`.
    pub(crate) fn string(&mut self, doubled: DoubledQuote, found: &mut Vec<Diagnostic>) -> Option<String> {
        let start = self.at;
        let quote = self.bump().unwrap_or('\'');
        let mut value = String::new();
        loop {
            let escape = self.at;
            match self.bump() {
                None => {
                    let message = format!("this string does not end: the closing {quote} is missing");
                    found.push(Diagnostic::new(Span::new(start, self.at), message));
                    return None;
                }
                Some(character) if character == quote => {
                    if doubled == DoubledQuote::EndsString || self.peek() != Some(quote) {
                        return Some(value);
                    }
                    self.bump();
                    value.push(quote);
                }
                Some('\\') => match self.escaped(escape) {
                    Ok(character) => value.push(character),
                    Err(diagnostic) => found.push(diagnostic),
                },
                Some(character) => value.push(character),
            }
        }
    }

    fn escaped(&mut self, start: usize) -> Result<char, Diagnostic> {
        match self.bump() {
            Some(character @ ('\'' | '"' | '\\')) => Ok(character),
            Some('u') => {
                let first = self.unit(start)?;
                let mut units = vec![first];
                if (0xD800..0xDC00).contains(&first) && self.eat("\\u") {
                    units.push(self.unit(start)?);
                }
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => Ok(character),
                    _ => Err(Diagnostic::new(self.since(start), "this escape is half of a surrogate pair")
                        .hint("write both halves, or the character itself")),
                }
            }
            _ => Err(Diagnostic::new(self.since(start), "unknown escape in a string")
                .hint(r#"known are \' \" \\ and \uXXXX; write \\ for a backslash"#)),
        }
    }

    fn unit(&mut self, start: usize) -> Result<u16, Diagnostic> {
        let digits =
            self.rest().get(..4).filter(|digits| digits.chars().all(|digit| digit.is_ascii_hexdigit()));
        let Some(unit) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) else {
            return Err(Diagnostic::new(self.since(start), r"\u needs four hexadecimal digits"));
        };
        self.at += 4;
        Ok(unit)
    }
}

/// The value of a number as text: decimal with fraction and exponent, or `0x…`. `None` when it is not one, or not
/// within what a double (for hexadecimal: 64 bits) holds. Infinite results are left to the dialect.
pub(crate) fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match digits {
        #[expect(clippy::cast_precision_loss, reason = "every number of both languages is a double")]
        Some(digits) if digits.chars().all(|digit| digit.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok().map(|number| number as f64)
        }
        Some(_) => None,
        None => {
            let numeric = |character: char| character.is_ascii_digit() || "+-.eE".contains(character);
            let with_digit = text.chars().any(|character| character.is_ascii_digit());
            (with_digit && text.chars().all(numeric)).then(|| text.parse().ok()).flatten()
        }
    }
}

/// `text` as a string literal of either dialect.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for character in text.chars() {
        match character {
            '\'' | '\\' => literal.extend(['\\', character]),
            control if control.is_control() => literal.push_str(&format!("\\u{:04X}", u32::from(control))),
            plain => literal.push(plain),
        }
    }
    literal.push('\'');
    literal
}

/// `number` as a literal of either dialect that reads back as the same double.
pub(crate) fn printed(number: f64) -> String {
    if number.is_infinite() {
        // Only a literal beyond the range of doubles is infinite (reference query-language §6.6: `10e1000`).
        return if number > 0.0 { "1e999".to_owned() } else { "-1e999".to_owned() };
    }
    if number != 0.0 && !(1e-5..1e15).contains(&number.abs()) {
        format!("{number:e}")
    } else {
        format!("{number}")
    }
}
