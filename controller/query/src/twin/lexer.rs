//! Tokens of the twin dialect (reference query-language §2). Keywords are not tokens of their own: a word is a keyword
//! only where the parser expects one, so that `AS Status` and `tags.group` need no quotes.

use super::names::{continues_name, starts_name};
use crate::diagnostic::too_long;
use crate::lexer::{Cursor, DoubledQuote, number};
use crate::tokens::{Token, Tokens};
use crate::value::Comparison;
use crate::{Diagnostic, Span};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A bare word: keyword, function or step of a path.
    Word(String),
    /// `[[text]]`: always a step of a path.
    Bracketed(String),
    Text(String),
    Number(f64),
    Compare(Comparison),
    Dot,
    Comma,
    Open,
    Close,
    OpenSquare,
    CloseSquare,
    Star,
    Plus,
    Minus,
    Slash,
    Percent,
    Semicolon,
    /// What is no token; the lexer reported it.
    Wrong,
    End,
}

// ---------------------------------------------------------------------------------------------------------------

/// Splits a text into tokens. Only a text that is too long has none.
pub(crate) fn tokens(text: &str) -> Result<Tokens<'_, Kind>, Diagnostic> {
    if let Some(diagnostic) = too_long(text) {
        return Err(diagnostic);
    }
    let mut cursor = Cursor::new(text, 0);
    let mut list: Vec<Token<Kind>> = Vec::new();
    let mut found = Vec::new();
    loop {
        cursor.skip_blank(&mut found);
        let start = cursor.position();
        let after_dot = matches!(list.last(), Some(Token { kind: Kind::Dot, .. }));
        let Some(first) = cursor.peek() else { return Ok(Tokens::new(text, list, found)) };
        let kind = if starts_name(first) || (after_dot && continues_name(first)) {
            Kind::Word(cursor.run(continues_name).to_owned())
        } else if first == '\'' || first == '"' {
            cursor.string(DoubledQuote::IsEscape, &mut found).map_or(Kind::Wrong, Kind::Text)
        } else {
            let read = if first.is_ascii_digit() || (first == '.' && starts_fraction(&cursor, list.last())) {
                numeral(&mut cursor)
            } else if cursor.rest().starts_with("[[") {
                bracketed(&mut cursor)
            } else {
                symbol(&mut cursor, &mut found)
            };
            read.unwrap_or_else(|diagnostic| {
                found.push(diagnostic);
                Kind::Wrong
            })
        };
        list.push(Token { kind, span: cursor.since(start) });
    }
}

/// `.5` is a number, but after a name or an index the dot belongs to a path.
fn starts_fraction(cursor: &Cursor<'_>, last: Option<&Token<Kind>>) -> bool {
    let in_path = matches!(
        last,
        Some(Token { kind: Kind::Word(_) | Kind::Bracketed(_) | Kind::CloseSquare, span }) if span.end == cursor.position()
    );
    !in_path && cursor.second().is_some_and(|digit| digit.is_ascii_digit())
}

fn numeral(cursor: &mut Cursor<'_>) -> Result<Kind, Diagnostic> {
    let start = cursor.position();
    let mut text = cursor.run(|character| character.is_ascii_alphanumeric() || character == '.').to_owned();
    let open_exponent = text.ends_with(['e', 'E']) && !text.starts_with("0x") && !text.starts_with("0X");
    if open_exponent && cursor.peek().is_some_and(|sign| sign == '+' || sign == '-') {
        text.extend(cursor.bump());
        text.push_str(cursor.run(|character| character.is_ascii_digit()));
    }
    let span = cursor.since(start);
    match number(&text) {
        Some(number) if number.is_finite() => Ok(Kind::Number(number)),
        Some(_) => Err(Diagnostic::new(span, format!("the number {text} is too large"))),
        None => Err(Diagnostic::new(span, format!("`{text}` is neither a number nor a name"))
            .hint("quote a text: 'text'; write a name that starts with a digit in [[ ]]")),
    }
}

fn bracketed(cursor: &mut Cursor<'_>) -> Result<Kind, Diagnostic> {
    let start = cursor.position();
    cursor.eat("[[");
    let Some(length) = cursor.rest().find("]]") else {
        let span = Span::new(start, start + 2);
        cursor.skip(cursor.rest().len());
        return Err(Diagnostic::new(span, "this [[name]] does not end").hint("close it with ]]"));
    };
    let name = cursor.skip(length).to_owned();
    cursor.eat("]]");
    if name.is_empty() {
        return Err(Diagnostic::new(cursor.since(start), "an empty [[name]] names nothing"));
    }
    Ok(Kind::Bracketed(name))
}

fn symbol(cursor: &mut Cursor<'_>, found: &mut Vec<Diagnostic>) -> Result<Kind, Diagnostic> {
    let start = cursor.position();
    // Other languages' spellings: told, and read on as what was meant.
    for (text, hint, meant) in [
        ("==", "`=`", Kind::Compare(Comparison::Equal)),
        ("&&", "AND", Kind::Word("AND".to_owned())),
        ("||", "OR, or CONCAT(a, b) for texts", Kind::Word("OR".to_owned())),
    ] {
        if cursor.eat(text) {
            let message = format!("`{text}` is not an operator of this language");
            found.push(Diagnostic::new(cursor.since(start), message).hint(format!("write {hint}")));
            return Ok(meant);
        }
    }
    for (text, comparison) in [
        ("!=", Comparison::NotEqual),
        ("<>", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
        ("=", Comparison::Equal),
    ] {
        if cursor.eat(text) {
            return Ok(Kind::Compare(comparison));
        }
    }
    let character = cursor.bump().unwrap_or('\0');
    Ok(match character {
        '.' => Kind::Dot,
        ',' => Kind::Comma,
        '(' => Kind::Open,
        ')' => Kind::Close,
        '[' => Kind::OpenSquare,
        ']' => Kind::CloseSquare,
        '*' => Kind::Star,
        '+' => Kind::Plus,
        '-' => Kind::Minus,
        '/' => Kind::Slash,
        '%' => Kind::Percent,
        ';' => Kind::Semicolon,
        other => return Err(strange(cursor, start, other)),
    })
}

/// What is wrong with a character that starts no token; a text in typographic quotes is taken whole.
fn strange(cursor: &mut Cursor<'_>, start: usize, character: char) -> Diagnostic {
    const QUOTES: [char; 5] = ['‘', '’', '“', '”', '`'];
    let is_quote = QUOTES.contains(&character);
    if is_quote && let Some(length) = cursor.rest().find(QUOTES) {
        cursor.skip(length);
        cursor.bump();
    }
    if character == '?' {
        cursor.eat("?");
    }
    let diagnostic = Diagnostic::new(cursor.since(start), format!("unexpected character {character:?}"));
    match character {
        _ if is_quote => diagnostic.hint("quote texts with ' or \""),
        '!' => diagnostic.hint("write NOT"),
        '?' => diagnostic.hint("`??` exists in routes only; use IS_DEFINED(x)"),
        _ => diagnostic,
    }
}
