//! Tokens of the route dialect (reference query-language §6.1). The longest token wins, a tie goes to the earlier kind:
//! string, number, keyword and operator before name. Because nearly every character may stand in a name, `a!=b` is the
//! property `a!`, `=` and `b`; `lint.rs` warns about that, the parser's messages advise.

use super::names::{is_dollar_name, is_name};
use crate::lexer::{Cursor, DoubledQuote, number};
use crate::tokens::{Token, Tokens};
use crate::value::{Arithmetic, Comparison, Constant};
use crate::{Diagnostic, Span};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Constant(Constant),
    Name(String),
    /// With its `$`.
    Dollar(String),
    Keyword(Keyword),
    Compare(Comparison),
    Arithmetic(Arithmetic),
    Concat,
    Coalesce,
    Open,
    Close,
    OpenBrace,
    CloseBrace,
    Comma,
    /// What is no token; the lexer reported it.
    Wrong,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    And,
    Or,
    Not,
    Select,
    From,
    Where,
    Into,
}

// ---------------------------------------------------------------------------------------------------------------

/// Splits what is left under the cursor into tokens. `found` are the mistakes of the text before it.
pub(crate) fn tokens(mut cursor: Cursor<'_>, mut found: Vec<Diagnostic>) -> Tokens<'_, Kind> {
    let mut list: Vec<Token<Kind>> = Vec::new();
    loop {
        cursor.skip_blank(&mut found);
        let start = cursor.position();
        let kind = match cursor.peek() {
            None => return Tokens::new(cursor.text(), list, found),
            Some(first) if is_name(first) => run(&mut cursor, first, &mut found),
            // The parser has more to say about an IN than about the list behind it.
            Some('[') => {
                let after_in = matches!(list.last(), Some(Token { kind: Kind::Name(name), .. }) if name.eq_ignore_ascii_case("IN"));
                bracketed_list(&mut cursor, after_in, &mut found)
            }
            Some(_) => symbol(&mut cursor, &mut found),
        };
        list.push(Token { kind, span: cursor.since(start) });
    }
}

/// A token that starts with a name character: a name, or whatever else is at least as long.
fn run(cursor: &mut Cursor<'_>, first: char, found: &mut Vec<Diagnostic>) -> Kind {
    let mut name = cursor.clone();
    let text = if first == '$' { name.run(is_dollar_name) } else { name.run(is_name) };
    if first == '\'' {
        let mut string = cursor.clone();
        let mut wrong = Vec::new();
        let value = string.string(DoubledQuote::EndsString, &mut wrong);
        if string.position() >= name.position() {
            *cursor = string;
            found.append(&mut wrong);
            return text_or_wrong(value);
        }
    }
    if text == "!" && name.eat("=") {
        *cursor = name;
        return Kind::Compare(Comparison::NotEqual);
    }
    let span = Span::new(cursor.position(), name.position());
    *cursor = name;
    if let Some(kind) = word(text) {
        return kind;
    }
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '-' || first == '.') {
        match numeral(text) {
            Numeral::Value(value) => return Kind::Constant(Constant::Number(value)),
            Numeral::TooLarge => {
                found.push(Diagnostic::new(span, format!("the number {text} does not fit into 64 bits")));
                return Kind::Wrong;
            }
            Numeral::Not => {}
        }
    }
    let text = text.to_owned();
    if first == '$' && text.len() > 1 { Kind::Dollar(text) } else { Kind::Name(text) }
}

fn text_or_wrong(value: Option<String>) -> Kind {
    value.map_or(Kind::Wrong, |value| Kind::Constant(Constant::Text(value)))
}

/// Keywords, and operators that are made of name characters. `true false null undefined` are lower case only.
fn word(text: &str) -> Option<Kind> {
    let keyword = match text.to_ascii_uppercase().as_str() {
        "AND" => Some(Keyword::And),
        "OR" => Some(Keyword::Or),
        "NOT" => Some(Keyword::Not),
        "SELECT" => Some(Keyword::Select),
        "FROM" => Some(Keyword::From),
        "WHERE" => Some(Keyword::Where),
        "INTO" => Some(Keyword::Into),
        _ => None,
    };
    if let Some(keyword) = keyword {
        return Some(Kind::Keyword(keyword));
    }
    Some(match text {
        "true" => Kind::Constant(Constant::Bool(true)),
        "false" => Kind::Constant(Constant::Bool(false)),
        "null" => Kind::Constant(Constant::Null),
        "undefined" => Kind::Constant(Constant::Undefined),
        "+" => Kind::Arithmetic(Arithmetic::Add),
        "-" => Kind::Arithmetic(Arithmetic::Subtract),
        "*" => Kind::Arithmetic(Arithmetic::Multiply),
        "%" => Kind::Arithmetic(Arithmetic::Remainder),
        "||" => Kind::Concat,
        _ => return None,
    })
}

enum Numeral {
    Value(f64),
    /// A hexadecimal number beyond 64 bits.
    TooLarge,
    /// A name that starts with a digit, such as `3-4` or `1.2.3`.
    Not,
}

fn numeral(text: &str) -> Numeral {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let hexadecimal =
        unsigned.len() == text.len() && (unsigned.starts_with("0x") || unsigned.starts_with("0X"));
    if hexadecimal {
        return match number(unsigned) {
            Some(value) => Numeral::Value(value),
            None if unsigned.len() > 2 && unsigned[2..].chars().all(|digit| digit.is_ascii_hexdigit()) => {
                Numeral::TooLarge
            }
            None => Numeral::Not,
        };
    }
    // `3.` is a name in the grammar: a digit has to follow the point. Upstream also takes `e5` for a number (worth
    // undefined), so that no property can have such a name; here it is a name.
    let (mantissa, _) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, ""));
    if mantissa.ends_with('.')
        || !mantissa.contains(|digit: char| digit.is_ascii_digit())
        || mantissa.contains(['+', '-'])
    {
        return Numeral::Not;
    }
    number(text).map_or(Numeral::Not, Numeral::Value)
}

fn symbol(cursor: &mut Cursor<'_>, found: &mut Vec<Diagnostic>) -> Kind {
    let start = cursor.position();
    if cursor.peek() == Some('"') {
        return text_or_wrong(cursor.string(DoubledQuote::EndsString, found));
    }
    if cursor.eat("==") {
        found.push(Diagnostic::new(cursor.since(start), "`==` is not an operator").hint("write `=`"));
        return Kind::Compare(Comparison::Equal);
    }
    for (text, kind) in [
        ("<>", Kind::Compare(Comparison::NotEqual)),
        ("<=", Kind::Compare(Comparison::LessOrEqual)),
        (">=", Kind::Compare(Comparison::GreaterOrEqual)),
        ("<", Kind::Compare(Comparison::Less)),
        (">", Kind::Compare(Comparison::Greater)),
        ("=", Kind::Compare(Comparison::Equal)),
        ("??", Kind::Coalesce),
        ("/", Kind::Arithmetic(Arithmetic::Divide)),
        ("(", Kind::Open),
        (")", Kind::Close),
        ("{", Kind::OpenBrace),
        ("}", Kind::CloseBrace),
        (",", Kind::Comma),
    ] {
        if cursor.eat(text) {
            return kind;
        }
    }
    let character = cursor.bump().unwrap_or('\0');
    let diagnostic = Diagnostic::new(cursor.since(start), format!("unexpected character {character:?}"));
    found.push(match character {
        ';' => diagnostic.hint("a route has no `;`"),
        '?' => diagnostic.hint("the operator is `??`"),
        _ => diagnostic,
    });
    Kind::Wrong
}

/// A list as other dialects have it, taken whole.
fn bracketed_list(cursor: &mut Cursor<'_>, after_in: bool, found: &mut Vec<Diagnostic>) -> Kind {
    let start = cursor.position();
    cursor.bump();
    let mut inside = cursor.clone();
    let length = inside.run(|character| character != ']' && character != '[').len();
    if inside.eat("]") {
        cursor.skip(length + 1);
    }
    if !after_in {
        found.push(
            Diagnostic::new(cursor.since(start), "unexpected character '['")
                .hint("routes have no lists and no IN; write a = 'x' OR a = 'y'"),
        );
    }
    Kind::Wrong
}
