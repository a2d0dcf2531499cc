//! Parser of twin-dialect expressions (reference query-language §3.1), and the words that `select` and `target` build
//! their clauses of. Mistakes of meaning (unknown function, wrong number of arguments) do not stop it; syntax errors
//! stop it up to the next AND or OR, see `tokens.rs`.

use serde_json::Value;

use super::ast::{Connective, Expr, Level, Membership, Path, Step, level_of};
use super::lexer::{Kind, tokens};
use super::names::{is_keyword, resolve};
use crate::function::{Dialect, Function};
use crate::span::At;
pub(crate) use crate::tokens::Parsed;
use crate::tokens::{Grammar, Role, Tokens};
use crate::value::{Arithmetic, Comparison, Constant, json_number};
use crate::{Diagnostic, Span, near};

/// The aggregates, which are functions of a select list and of nothing else.
pub(crate) const AGGREGATES: [&str; 5] = ["COUNT", "AVG", "SUM", "MIN", "MAX"];

/// The tokens of a text of the twin dialect.
pub(crate) type Parser<'t> = Tokens<'t, Kind>;

/// An operator between two operands.
#[derive(Clone, Copy)]
enum Infix {
    Logic(Connective),
    Compare(Comparison),
    /// IN, NIN, NOT IN and how many tokens it takes.
    In(Membership, usize),
    Arithmetic(Arithmetic),
}

// ---------------------------------------------------------------------------------------------------------------

impl Grammar for Kind {
    type Expr = Expr;

    fn end() -> Self {
        Self::End
    }

    fn role(&self) -> Role {
        match self {
            Self::Word(word) if is_connective(word) => Role::Connective,
            Self::Close | Self::CloseSquare | Self::Comma => Role::Bracket,
            Self::Wrong => Role::Wrong,
            Self::Word(_)
            | Self::Bracketed(_)
            | Self::Text(_)
            | Self::Number(_)
            | Self::Compare(_)
            | Self::Dot
            | Self::Open
            | Self::OpenSquare
            | Self::Star
            | Self::Plus
            | Self::Minus
            | Self::Slash
            | Self::Percent
            | Self::Semicolon
            | Self::End => Role::Other,
        }
    }

    fn expression(parser: &mut Parser<'_>) -> Parsed<Expr> {
        parser.expression()
    }

    fn unexpected(parser: &Parser<'_>, what: &str) -> Diagnostic {
        let found = describe(parser.peek());
        let diagnostic = Diagnostic::new(parser.span(), format!("expected {what}, found {found}"));
        let Self::Word(word) = parser.peek() else { return diagnostic };
        match word.to_ascii_uppercase().as_str() {
            "LIKE" => diagnostic.hint("there is no LIKE; use STARTSWITH, ENDSWITH or CONTAINS"),
            "BETWEEN" => diagnostic.hint("there is no BETWEEN; use x >= a AND x <= b"),
            "ORDER" => diagnostic.hint("there is no ORDER BY; sort the answer"),
            "JOIN" => {
                diagnostic.hint("there is no JOIN; query devices and devices.modules one after the other")
            }
            "DISTINCT" => diagnostic.hint("there is no DISTINCT; use GROUP BY"),
            "LIMIT" => diagnostic.hint("write SELECT TOP n"),
            "HAVING" => diagnostic.hint("there is no HAVING; filter the answer"),
            "IS" => diagnostic.hint("write x = null, or IS_DEFINED(x)"),
            "NOT" => diagnostic.hint("NOT binds looser than comparisons here; put it in parentheses"),
            _ => match near(word, ["AND", "OR", "IN", "NIN", "WHERE", "FROM", "GROUP"].into_iter()) {
                Some(near) if near.len() > 2 && !near.eq_ignore_ascii_case(word) => {
                    diagnostic.hint(format!("did you mean {near}?"))
                }
                _ => diagnostic,
            },
        }
    }
}

/// Words.
impl<'t> Parser<'t> {
    pub(crate) fn of(text: &'t str) -> Parsed<Self> {
        tokens(text)
    }

    pub(crate) fn at_word(&self, word: &str) -> bool {
        self.word_after(0, word)
    }

    pub(crate) fn word_after(&self, steps: usize, word: &str) -> bool {
        matches!(self.peek_after(steps), Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    pub(crate) fn unexpected(&self, what: &str) -> Diagnostic {
        Kind::unexpected(self, what)
    }

    /// The end of the text, after an optional `;`.
    pub(crate) fn expect_end(&mut self, what: &str) {
        self.eat(&Kind::Semicolon);
        if !self.at_end() {
            self.report(self.unexpected(what));
        }
    }
}

/// Expressions.
impl Parser<'_> {
    pub(crate) fn expression(&mut self) -> Parsed<Expr> {
        self.level(Level::Or)
    }

    /// An expression of operators that bind at least as tightly as `loosest`.
    fn level(&mut self, loosest: Level) -> Parsed<Expr> {
        let mut left = self.prefix(loosest)?;
        // The level of the chain that `left` is, while it can still grow; parenthesised operands never do.
        let mut open: Option<Level> = None;
        while let Some(operator) = self.infix() {
            let level = operator.level();
            if level < loosest {
                break;
            }
            if level == Level::Compare && open == Some(Level::Compare) {
                let message = "comparisons do not chain";
                return Err(
                    Diagnostic::new(self.span(), message).hint("write a = b AND b = c, or use parentheses")
                );
            }
            left = self.operator(left, operator, open == Some(level))?;
            open = Some(level);
        }
        Ok(left)
    }

    fn operator(&mut self, left: Expr, operator: Infix, grows: bool) -> Parsed<Expr> {
        match operator {
            Infix::Logic(connective) => {
                self.advance();
                let right = self.level(connective.level().tighter())?;
                Ok(match left {
                    Expr::Logic { connective, mut operands } if grows => {
                        operands.push(right);
                        Expr::Logic { connective, operands }
                    }
                    first => Expr::Logic { connective, operands: vec![first, right] },
                })
            }
            Infix::Arithmetic(operator) => {
                self.advance();
                let right = self.level(level_of(operator).tighter())?;
                Ok(match left {
                    Expr::Arithmetic { first, mut rest } if grows => {
                        rest.push((operator, right));
                        Expr::Arithmetic { first, rest }
                    }
                    first => Expr::Arithmetic { first: Box::new(first), rest: vec![(operator, right)] },
                })
            }
            Infix::Compare(operator) => {
                self.advance();
                let right = self.level(Level::Sum)?;
                Ok(Expr::Compare { left: Box::new(left), operator, right: Box::new(right) })
            }
            Infix::In(membership, length) => {
                (0..length).for_each(|_| {
                    self.advance();
                });
                let set = self.set()?;
                Ok(Expr::In { needle: Box::new(left), set, membership })
            }
        }
    }

    fn infix(&self) -> Option<Infix> {
        let is_in = |steps| match self.peek_after(steps) {
            Kind::Word(word) if word.eq_ignore_ascii_case("IN") => Some(Membership::In),
            Kind::Word(word) if word.eq_ignore_ascii_case("NIN") => Some(Membership::NotIn),
            _ => None,
        };
        match self.peek() {
            Kind::Word(word) if word.eq_ignore_ascii_case("AND") => Some(Infix::Logic(Connective::And)),
            Kind::Word(word) if word.eq_ignore_ascii_case("OR") => Some(Infix::Logic(Connective::Or)),
            Kind::Word(word) if word.eq_ignore_ascii_case("NOT") => is_in(1).map(|asked| {
                let membership = if asked == Membership::In { Membership::NotIn } else { Membership::In };
                Infix::In(membership, 2)
            }),
            Kind::Word(_) => is_in(0).map(|membership| Infix::In(membership, 1)),
            Kind::Compare(comparison) => Some(Infix::Compare(*comparison)),
            Kind::Plus => Some(Infix::Arithmetic(Arithmetic::Add)),
            Kind::Minus => Some(Infix::Arithmetic(Arithmetic::Subtract)),
            Kind::Star => Some(Infix::Arithmetic(Arithmetic::Multiply)),
            Kind::Slash => Some(Infix::Arithmetic(Arithmetic::Divide)),
            Kind::Percent => Some(Infix::Arithmetic(Arithmetic::Remainder)),
            _ => None,
        }
    }

    fn prefix(&mut self, loosest: Level) -> Parsed<Expr> {
        if loosest <= Level::Not && self.eat_word("NOT") {
            let operand = self.nested(|parser| {
                if parser.at_word("NOT") { parser.prefix(Level::Not) } else { parser.level(Level::Compare) }
            })?;
            return Ok(Expr::Not(Box::new(operand)));
        }
        if !self.eat(&Kind::Minus) {
            return self.primary();
        }
        if let Kind::Number(number) = *self.peek() {
            self.advance();
            return Ok(Expr::Constant(Constant::Number(-number)));
        }
        let operand = self.nested(|parser| parser.prefix(Level::Unary))?;
        Ok(Expr::Negate(Box::new(operand)))
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match self.peek().clone() {
            Kind::Number(_) | Kind::Text(_) => self.constant().map(Expr::Constant),
            Kind::Open => {
                self.advance();
                let inner = self.nested(Self::expression)?;
                self.expect(&Kind::Close, "`)`")?;
                Ok(inner)
            }
            Kind::OpenSquare => self.array(),
            Kind::Bracketed(_) => self.path().map(Expr::Path),
            Kind::Word(word) => match constant_word(&word) {
                Some(constant) => {
                    self.advance();
                    Ok(Expr::Constant(constant))
                }
                None if is_keyword(&word) => Err(self.keyword_as_name(&word)),
                None if *self.peek_after(1) == Kind::Open => self.call(&word),
                None => self.path().map(Expr::Path),
            },
            _ => Err(self.unexpected("a name, a value or `(`")),
        }
    }

    fn keyword_as_name(&self, word: &str) -> Diagnostic {
        let diagnostic = self.unexpected("a name, a value or `(`");
        if diagnostic.hint.is_some() || !matches!(self.peek_after(1), Kind::Dot | Kind::Compare(_)) {
            return diagnostic;
        }
        diagnostic.hint(format!("{word} is a keyword; as a name it is [[{word}]]"))
    }

    fn constant(&mut self) -> Parsed<Constant> {
        let negative = self.eat(&Kind::Minus);
        let constant = match self.peek() {
            Kind::Number(number) => Constant::Number(if negative { -number } else { *number }),
            Kind::Text(text) if !negative => Constant::Text(text.clone()),
            Kind::Word(word) if !negative => {
                constant_word(word).ok_or_else(|| self.unexpected("a value such as 'text' or 42"))?
            }
            _ => return Err(self.unexpected("a value such as 'text' or 42")),
        };
        self.advance();
        Ok(constant)
    }

    fn array(&mut self) -> Parsed<Expr> {
        let mut elements = Vec::new();
        self.list(&Kind::OpenSquare, &Kind::CloseSquare, |parser| {
            let span = parser.span();
            elements.push(match parser.constant()? {
                Constant::Null => Value::Null,
                Constant::Bool(flag) => Value::Bool(flag),
                Constant::Number(number) => json_number(number).map_or(Value::Null, Value::Number),
                Constant::Text(text) => Value::String(text),
                Constant::Undefined => {
                    return Err(
                        Diagnostic::new(span, "an array has no undefined elements").hint("leave it out")
                    );
                }
            });
            Ok(())
        })?;
        Ok(Expr::Array(elements))
    }

    /// What stands after IN: `[constants]` or `(expressions)`.
    fn set(&mut self) -> Parsed<Vec<Expr>> {
        let mut set = Vec::new();
        match self.peek() {
            Kind::OpenSquare => self.list(&Kind::OpenSquare, &Kind::CloseSquare, |parser| {
                set.push(Expr::Constant(parser.constant()?));
                Ok(())
            })?,
            Kind::Open => self.nested(|parser| {
                parser.list(&Kind::Open, &Kind::Close, |parser| {
                    set.push(parser.expression()?);
                    Ok(())
                })
            })?,
            Kind::Bracketed(text) => {
                let hint = format!(
                    "write ['{}']: one pair of brackets, texts in quotes",
                    text.trim_matches(['\'', '"'])
                );
                return Err(self.unexpected("a list such as ['a', 'b']").hint(hint));
            }
            Kind::Word(_) => {
                let hint = "to look into an array of the twin write ARRAY_CONTAINS(array, value)";
                return Err(self.unexpected("a list such as ['a', 'b']").hint(hint));
            }
            _ => return Err(self.unexpected("a list such as ['a', 'b']")),
        }
        Ok(set)
    }

    /// `open element {, element} close`.
    fn list(
        &mut self,
        open: &Kind,
        close: &Kind,
        mut element: impl FnMut(&mut Self) -> Parsed<()>,
    ) -> Parsed<()> {
        self.expect(open, "a list")?;
        loop {
            element(self)?;
            if !self.eat(&Kind::Comma) {
                let what = if *close == Kind::Close { "`,` or `)`" } else { "`,` or `]`" };
                return self.expect(close, what).map(|_| ());
            }
        }
    }

    fn call(&mut self, name: &str) -> Parsed<Expr> {
        let name_span = self.advance();
        let mut arguments = Vec::new();
        if *self.peek_after(1) == Kind::Close {
            self.advance();
            self.advance();
        } else {
            self.nested(|parser| {
                parser.list(&Kind::Open, &Kind::Close, |parser| {
                    arguments.push(parser.expression()?);
                    Ok(())
                })
            })?;
        }
        let known = Function::named(name).filter(|function| function.is_known_to(Dialect::Twin));
        let Some(function) = known else {
            self.note(unknown_function(name, name_span));
            return Ok(Expr::Constant(Constant::Undefined));
        };
        let signature = function.signature();
        if arguments.len() < signature.least || arguments.len() > signature.most {
            let message =
                format!("{} takes {}, not {}", function.name(), signature.arguments(), arguments.len());
            self.note(Diagnostic::new(name_span, message));
        }
        Ok(Expr::Call { function, arguments })
    }

    /// A path from the root of the row. The prefixes `devices.`, `devices.modules.` and `devices.jobs.` are dropped.
    pub(crate) fn path(&mut self) -> Parsed<Path> {
        let start = self.span();
        if self.at_word("devices") && *self.peek_after(1) == Kind::Dot {
            self.advance();
            self.advance();
            let deeper = self.at_word("modules") || self.at_word("jobs");
            if deeper && *self.peek_after(1) == Kind::Dot {
                self.advance();
                self.advance();
            }
        }
        let mut written = vec![Step::Name(self.name()?)];
        loop {
            if self.eat(&Kind::Dot) {
                written.push(Step::Name(self.name()?));
            } else if *self.peek() == Kind::OpenSquare {
                self.advance();
                let index = match self.peek() {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "checked by the guard"
                    )]
                    Kind::Number(number) if number.fract() == 0.0 && *number <= 1e9 => *number as usize,
                    _ => return Err(self.unexpected("the number of an array element")),
                };
                self.advance();
                self.expect(&Kind::CloseSquare, "`]`")?;
                written.push(Step::Index(index));
            } else {
                break;
            }
        }
        let resolved = resolve(&written);
        Ok(Path { written, resolved, at: At(start.to(self.last_span())) })
    }

    /// One step of a path, or an alias: a word, keywords included, or `[[text]]`.
    pub(crate) fn name(&mut self) -> Parsed<String> {
        match self.peek() {
            Kind::Word(name) | Kind::Bracketed(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }
}

impl Infix {
    fn level(self) -> Level {
        match self {
            Self::Logic(connective) => connective.level(),
            Self::Compare(_) | Self::In(..) => Level::Compare,
            Self::Arithmetic(operator) => level_of(operator),
        }
    }
}

fn is_connective(word: &str) -> bool {
    word.eq_ignore_ascii_case("AND") || word.eq_ignore_ascii_case("OR")
}

fn constant_word(word: &str) -> Option<Constant> {
    match word.to_ascii_lowercase().as_str() {
        "true" => Some(Constant::Bool(true)),
        "false" => Some(Constant::Bool(false)),
        "null" => Some(Constant::Null),
        "undefined" => Some(Constant::Undefined),
        _ => None,
    }
}

fn unknown_function(name: &str, span: Span) -> Diagnostic {
    if let Some(aggregate) = AGGREGATES.iter().find(|aggregate| aggregate.eq_ignore_ascii_case(name)) {
        let message = format!("{aggregate} stands alone in a select list, not in an expression");
        return Diagnostic::new(span, message);
    }
    let diagnostic = Diagnostic::new(span, format!("unknown function {name}"));
    match near(name, Function::names(Dialect::Twin)) {
        Some(known) => diagnostic.hint(format!("did you mean {known}?")),
        None => diagnostic,
    }
}

fn describe(kind: &Kind) -> String {
    let symbol = match kind {
        Kind::End => return "the end of the text".to_owned(),
        Kind::Wrong => return "something else".to_owned(),
        Kind::Word(word) => return format!("`{word}`"),
        Kind::Bracketed(name) => return format!("`[[{name}]]`"),
        Kind::Text(_) => return "a text".to_owned(),
        Kind::Number(number) => return format!("the number {number}"),
        Kind::Compare(comparison) => comparison.symbol(),
        Kind::Dot => ".",
        Kind::Comma => ",",
        Kind::Open => "(",
        Kind::Close => ")",
        Kind::OpenSquare => "[",
        Kind::CloseSquare => "]",
        Kind::Star => "*",
        Kind::Plus => "+",
        Kind::Minus => "-",
        Kind::Slash => "/",
        Kind::Percent => "%",
        Kind::Semicolon => ";",
    };
    format!("`{symbol}`")
}
