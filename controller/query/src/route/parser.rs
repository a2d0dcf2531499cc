//! Parser of route conditions (reference query-language §6.1). It builds the untyped tree and goes on after a syntax
//! error behind the next AND or OR, see `tokens.rs`; types and names are the checker's.

use super::ast::{Expr, Form, Kind as Tree, Level, Link, Operator};
use super::lexer::{Keyword, Kind, tokens};
use crate::diagnostic::too_long;
use crate::lexer::Cursor;
use crate::span::At;
use crate::tokens::{Grammar, Parsed, Role, Tokens};
use crate::{Diagnostic, near};

/// The tokens of a text of the route dialect.
pub(super) type Parser<'t> = Tokens<'t, Kind>;

/// What was read of a condition.
pub(super) enum Read {
    /// A blank text.
    Nothing,
    Whole(Expr),
    /// Mistakes, and the pieces between them that can be checked.
    Broken(Vec<Diagnostic>, Vec<Expr>),
}

// ---------------------------------------------------------------------------------------------------------------

/// Parses a condition that stands alone.
pub(super) fn condition(text: &str) -> Read {
    if let Some(diagnostic) = too_long(text) {
        return Read::Broken(vec![diagnostic], Vec::new());
    }
    let mut parser = tokens(Cursor::new(text, 0), Vec::new());
    if parser.at_end() && parser.is_fine() {
        return Read::Nothing;
    }
    let read = parser.whole_expression("an operator or the end", |_| false);
    let pieces = read.as_ref().err().cloned().unwrap_or_default();
    match parser.close(read.ok()) {
        Ok(expr) => Read::Whole(expr),
        Err(found) => Read::Broken(found, pieces),
    }
}

impl Grammar for Kind {
    type Expr = Expr;

    fn end() -> Self {
        Self::End
    }

    fn role(&self) -> Role {
        match self {
            Self::Keyword(Keyword::And | Keyword::Or) => Role::Connective,
            Self::Close | Self::CloseBrace | Self::Comma => Role::Bracket,
            Self::Wrong => Role::Wrong,
            Self::Constant(_)
            | Self::Name(_)
            | Self::Dollar(_)
            | Self::Keyword(_)
            | Self::Compare(_)
            | Self::Arithmetic(_)
            | Self::Concat
            | Self::Coalesce
            | Self::Open
            | Self::OpenBrace
            | Self::End => Role::Other,
        }
    }

    fn expression(parser: &mut Parser<'_>) -> Parsed<Expr> {
        parser.expression()
    }

    fn unexpected(parser: &Parser<'_>, what: &str) -> Diagnostic {
        let span = parser.span();
        let text = parser.written(span);
        if parser.at_end() {
            return Diagnostic::new(span, format!("expected {what}, found the end of the text"));
        }
        let diagnostic = Diagnostic::new(span, format!("expected {what}, found `{text}`"));
        match text.to_ascii_uppercase().as_str() {
            "&&" => return diagnostic.hint("write AND"),
            "!" => return diagnostic.hint("write NOT"),
            "IN" | "NIN" => return diagnostic.hint("routes have no IN; write a = 'x' OR a = 'y'"),
            "LIKE" => return diagnostic.hint("routes have no LIKE; use STARTS_WITH, ENDS_WITH or CONTAINS"),
            "BETWEEN" => return diagnostic.hint("routes have no BETWEEN; write x >= a AND x <= b"),
            "IS" => return diagnostic.hint("write IS_NULL(x) or NOT IS_DEFINED(x)"),
            "TRUE" | "FALSE" | "NULL" | "UNDEFINED" => {
                return diagnostic.hint(format!("{} is lower case here", text.to_ascii_lowercase()));
            }
            _ => {}
        }
        let operator = text.chars().next().filter(|first| "+-*%|!".contains(*first));
        if let (Some(operator), Self::Name(_) | Self::Constant(_)) = (operator, parser.peek()) {
            let rest = text.trim_start_matches(operator);
            return diagnostic.hint(format!("operators need blanks around them: write `{operator} {rest}`"));
        }
        match near(text, ["AND", "WHERE", "INTO"].into_iter()) {
            Some(keyword) if matches!(parser.peek(), Self::Name(_)) => {
                diagnostic.hint(format!("did you mean {keyword}?"))
            }
            _ => diagnostic,
        }
    }
}

/// Conditions.
impl Parser<'_> {
    pub(super) fn unexpected(&self, what: &str) -> Diagnostic {
        Kind::unexpected(self, what)
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.level(Level::Coalesce)
    }

    /// An expression of operators that bind at least as tightly as `loosest`.
    fn level(&mut self, loosest: Level) -> Parsed<Expr> {
        let mut left = self.prefix()?;
        // The level of the chain that `left` is, while it can still grow; parenthesised operands never do.
        let mut open: Option<Level> = None;
        while let Some(operator) = self.infix() {
            let level = operator.level();
            if level < loosest {
                break;
            }
            let at = At(self.advance());
            let operand = self.level(level.tighter())?;
            let span = At(left.at.0.to(operand.at.0));
            let link = Link { operator, at, operand };
            let kind = match left.kind {
                Tree::Chain { first, mut rest } if open == Some(level) => {
                    rest.push(link);
                    Tree::Chain { first, rest }
                }
                kind => Tree::Chain { first: Box::new(Expr { kind, at: left.at }), rest: vec![link] },
            };
            left = Expr { kind, at: span };
            open = Some(level);
        }
        Ok(left)
    }

    fn infix(&self) -> Option<Operator> {
        Some(match self.peek() {
            Kind::Keyword(Keyword::And) => Operator::And,
            Kind::Keyword(Keyword::Or) => Operator::Or,
            Kind::Compare(comparison) => Operator::Compare(*comparison),
            Kind::Arithmetic(operator) => Operator::Arithmetic(*operator),
            Kind::Concat => Operator::Concat,
            Kind::Coalesce => Operator::Coalesce,
            _ => return None,
        })
    }

    fn prefix(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let wrap: fn(Box<Expr>) -> Tree = match self.peek() {
            Kind::Arithmetic(crate::value::Arithmetic::Subtract) => Tree::Negate,
            Kind::Keyword(Keyword::Not) => Tree::Not,
            _ => return self.primary(),
        };
        self.advance();
        let operand = self.nested(Self::prefix)?;
        let at = At(start.to(operand.at.0));
        Ok(Expr { kind: wrap(Box::new(operand)), at })
    }

    fn primary(&mut self) -> Parsed<Expr> {
        const WHAT: &str = "a name, a value or `(`";
        let start = self.span();
        let kind = match self.peek().clone() {
            Kind::Constant(constant) => Tree::Constant(constant),
            Kind::Name(name) if *self.peek_after(1) == Kind::Open => {
                self.advance();
                let arguments = self.arguments()?;
                let at = At(start.to(self.last_span()));
                return Ok(Expr { kind: Tree::Call { name, name_at: At(start), arguments }, at });
            }
            Kind::Name(name) => Tree::Property(name),
            Kind::Dollar(name) => Tree::Dollar { name, form: Form::Plain },
            Kind::OpenBrace => {
                self.advance();
                let Kind::Dollar(name) = self.peek().clone() else {
                    return Err(self.unexpected("a `$name` in braces"));
                };
                self.advance();
                self.expect(&Kind::CloseBrace, "`}`")?;
                let at = At(start.to(self.last_span()));
                return Ok(Expr { kind: Tree::Dollar { name, form: Form::InBraces }, at });
            }
            Kind::Open => {
                self.advance();
                let inner = self.nested(Self::expression)?;
                self.expect(&Kind::Close, "an operator or `)`")?;
                return Ok(inner);
            }
            _ => return Err(self.unexpected(WHAT)),
        };
        self.advance();
        Ok(Expr { kind, at: At(start) })
    }

    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        self.expect(&Kind::Open, "`(`")?;
        let mut arguments = Vec::new();
        if self.eat(&Kind::Close) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.nested(Self::expression)?);
            if !self.eat(&Kind::Comma) {
                self.expect(&Kind::Close, "an operator, `,` or `)`")?;
                return Ok(arguments);
            }
        }
    }
}
