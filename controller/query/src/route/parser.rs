//! Parser of route conditions and edge routes (reference query-language §6.1, §8.1). It builds the untyped tree and
//! stops at the first syntax error; types and names are the checker's.

use super::ast::{Expr, Form, Kind as Tree, Level, Link, Operator};
use super::lexer::{Keyword, Kind, Token, tokens};
use super::source::SourcePath;
use super::{Condition, Engine, Events, Route, Sink};
use crate::diagnostic::too_long;
use crate::lexer::Cursor;
use crate::span::At;
use crate::{Diagnostic, MAX_DEPTH, Span, near};

type Parsed<T> = Result<T, Diagnostic>;

const FORM: &str = "a route is FROM /messages/* [WHERE condition] INTO $upstream";

/// What stands after INTO.
struct End {
    sink: Sink,
    span: Span,
    module_span: Option<Span>,
    warnings: Vec<Diagnostic>,
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

// ---------------------------------------------------------------------------------------------------------------

/// Parses a condition that stands alone; `None` for a blank one.
pub(super) fn condition(text: &str) -> Parsed<Option<Expr>> {
    if let Some(diagnostic) = too_long(text) {
        return Err(diagnostic);
    }
    let mut parser = Parser { text, tokens: tokens(text, 0)?, at: 0, depth: 0 };
    if *parser.peek() == Kind::End {
        return Ok(None);
    }
    let expr = parser.expression()?;
    if *parser.peek() != Kind::End {
        return Err(parser.unexpected("an operator or the end"));
    }
    Ok(Some(expr))
}

/// Parses and checks `[SELECT *] FROM source [WHERE condition] INTO sink`.
pub(super) fn route(text: &str) -> Result<Route, Vec<Diagnostic>> {
    let (source, expr, end) = clauses(text).map_err(|diagnostic| vec![diagnostic])?;
    let events = if source.is_twin_changes() { Events::TwinChanges } else { Events::Messages };
    let condition = expr.map(|expr| Condition::new(Some(expr), Engine::Edge, events)).transpose()?;
    let mut warnings = source.warnings();
    warnings.extend(condition.iter().flat_map(|condition| condition.warnings.iter().cloned()));
    warnings.extend(end.warnings);
    Ok(Route {
        source,
        condition,
        sink: end.sink,
        sink_span: end.span,
        sink_module_span: end.module_span,
        warnings,
    })
}

fn clauses(text: &str) -> Parsed<(SourcePath, Option<Expr>, End)> {
    if let Some(diagnostic) = too_long(text) {
        return Err(diagnostic);
    }
    let mut cursor = Cursor::new(text, 0);
    let mut word = head_word(&mut cursor)?;
    if word.0.eq_ignore_ascii_case("SELECT") {
        cursor.skip_blank()?;
        if !cursor.eat("*") {
            let end = cursor.position();
            return Err(Diagnostic::new(Span::new(end, end), "expected * after SELECT")
                .hint("a route passes whole messages: SELECT * FROM …, or just FROM …"));
        }
        word = head_word(&mut cursor)?;
    }
    if !word.0.eq_ignore_ascii_case("FROM") {
        let found =
            if word.0.is_empty() { "the end or a symbol".to_owned() } else { format!("`{}`", word.0) };
        let hint = match near(word.0, ["FROM", "SELECT"].into_iter()) {
            Some(keyword) => format!("did you mean {keyword}?"),
            None => FORM.to_owned(),
        };
        return Err(Diagnostic::new(word.1, format!("expected FROM, found {found}")).hint(hint));
    }
    // Blanks only: `/*` is a source here, not a comment.
    cursor.run(char::is_whitespace);
    let start = cursor.position();
    let source = cursor.run(|character| !character.is_whitespace());
    let span = cursor.since(start);
    if source.is_empty() || ["INTO", "WHERE"].iter().any(|word| word.eq_ignore_ascii_case(source)) {
        return Err(Diagnostic::new(span, "expected a source after FROM").hint("such as /messages/*"));
    }
    let source = SourcePath::parse(source, span)?;

    let mut parser = Parser { text, tokens: tokens(text, cursor.position())?, at: 0, depth: 0 };
    let condition =
        if parser.eat(&Kind::Keyword(Keyword::Where)) { Some(parser.expression()?) } else { None };
    let what = if condition.is_some() { "an operator or INTO" } else { "WHERE or INTO" };
    if !parser.eat(&Kind::Keyword(Keyword::Into)) {
        let diagnostic = parser.unexpected(what);
        let missing = *parser.peek() == Kind::End && diagnostic.hint.is_none();
        return Err(if missing {
            diagnostic.hint("end with INTO $upstream, or INTO BrokeredEndpoint(…)")
        } else {
            diagnostic
        });
    }
    let sink = parser.sink()?;
    if *parser.peek() != Kind::End {
        return Err(parser.unexpected("the end of the route"));
    }
    Ok((source, condition, sink))
}

fn head_word<'t>(cursor: &mut Cursor<'t>) -> Parsed<(&'t str, Span)> {
    cursor.skip_blank()?;
    let start = cursor.position();
    let word = cursor.run(char::is_alphanumeric);
    Ok((word, cursor.since(start)))
}

/// Steps and messages.
impl Parser<'_> {
    fn peek(&self) -> &Kind {
        self.peek_after(0)
    }

    fn peek_after(&self, steps: usize) -> &Kind {
        self.tokens.get(self.at + steps).map_or(&Kind::End, |token| &token.kind)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(Span::new(0, 0), |token| token.span)
    }

    fn last_span(&self) -> Span {
        self.tokens.get(self.at.saturating_sub(1)).map_or(Span::new(0, 0), |token| token.span)
    }

    fn eat(&mut self, kind: &Kind) -> bool {
        let found = self.peek() == kind;
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, kind: &Kind, what: &str) -> Parsed<()> {
        if self.eat(kind) { Ok(()) } else { Err(self.unexpected(what)) }
    }

    fn written(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// "Expected this, found that", with advice for the traps of this language.
    fn unexpected(&self, what: &str) -> Diagnostic {
        let span = self.span();
        let text = self.written(span);
        if *self.peek() == Kind::End {
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
        if let (Some(operator), Kind::Name(_) | Kind::Constant(_)) = (operator, self.peek()) {
            let rest = text.trim_start_matches(operator);
            return diagnostic.hint(format!("operators need blanks around them: write `{operator} {rest}`"));
        }
        match near(text, ["AND", "WHERE", "INTO"].into_iter()) {
            Some(keyword) if matches!(self.peek(), Kind::Name(_)) => {
                diagnostic.hint(format!("did you mean {keyword}?"))
            }
            _ => diagnostic,
        }
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            let message = format!("the condition is nested deeper than {MAX_DEPTH} levels");
            return Err(
                Diagnostic::new(self.span(), message).hint("take parentheses away or split the route")
            );
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }
}

/// Conditions.
impl Parser<'_> {
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
            let at = At(self.span());
            self.at += 1;
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
        self.at += 1;
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
                self.at += 1;
                let arguments = self.arguments()?;
                let at = At(start.to(self.last_span()));
                return Ok(Expr { kind: Tree::Call { name, name_at: At(start), arguments }, at });
            }
            Kind::Name(name) => Tree::Property(name),
            Kind::Dollar(name) => Tree::Dollar { name, form: Form::Plain },
            Kind::OpenBrace => {
                self.at += 1;
                let Kind::Dollar(name) = self.peek().clone() else {
                    return Err(self.unexpected("a `$name` in braces"));
                };
                self.at += 1;
                self.expect(&Kind::CloseBrace, "`}`")?;
                let at = At(start.to(self.last_span()));
                return Ok(Expr { kind: Tree::Dollar { name, form: Form::InBraces }, at });
            }
            Kind::Open => {
                self.at += 1;
                let inner = self.nested(Self::expression)?;
                self.expect(&Kind::Close, "an operator or `)`")?;
                return Ok(inner);
            }
            _ => return Err(self.unexpected(WHAT)),
        };
        self.at += 1;
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

/// Sinks.
impl Parser<'_> {
    fn sink(&mut self) -> Parsed<End> {
        const ADVICE: &str = r#"a sink is $upstream or BrokeredEndpoint("/modules/m/inputs/i")"#;
        let start = self.span();
        match self.peek().clone() {
            Kind::Dollar(name) if name.eq_ignore_ascii_case("$upstream") => {
                self.at += 1;
                Ok(End { sink: Sink::Upstream, span: start, module_span: None, warnings: Vec::new() })
            }
            Kind::Name(name) if name.eq_ignore_ascii_case("BrokeredEndpoint") => {
                self.at += 1;
                self.expect(&Kind::Open, "`(`")?;
                let path_span = self.span();
                let literal = self.written(path_span).to_owned();
                self.expect_text(&literal)?;
                let end = endpoint(&literal, path_span)?;
                self.expect(&Kind::Close, "`)`")?;
                Ok(End { span: start.to(self.last_span()), ..end })
            }
            Kind::Name(name) | Kind::Dollar(name) => {
                let diagnostic = Diagnostic::new(start, format!("`{name}` is not a sink"));
                Err(match near(&name, ["$upstream", "BrokeredEndpoint"].into_iter()) {
                    Some(known) => diagnostic.hint(format!("did you mean {known}?")),
                    None => diagnostic.hint(ADVICE),
                })
            }
            Kind::Constant(_) => {
                let literal = self.written(start);
                let hint = format!("write BrokeredEndpoint({literal})");
                Err(Diagnostic::new(start, "a path alone is not a sink").hint(hint))
            }
            _ => Err(self.unexpected("a sink").hint(ADVICE)),
        }
    }

    fn expect_text(&mut self, literal: &str) -> Parsed<()> {
        let quoted = literal.starts_with(['"', '\'']) && literal.len() >= 2;
        if quoted && matches!(self.peek(), Kind::Constant(_)) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected("a path in quotes").hint("such as \"/modules/m/inputs/i\""))
    }
}

/// The module and input of a `BrokeredEndpoint` path, and where the module stands. Exactly four parts; the engine
/// uses the second and the fourth and does not look at the other two (reference query-language §8.1).
fn endpoint(literal: &str, span: Span) -> Parsed<End> {
    const ADVICE: &str = "a path is /modules/{module}/inputs/{input}";
    let path = literal.get(1..literal.len() - 1).unwrap_or_default();
    if path.contains('\\') {
        return Err(Diagnostic::new(span, "a path has no escapes").hint(ADVICE));
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let start = span.start + 1 + (path.len() - inner.len());
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let parts: Vec<&str> = inner.split('/').collect();
    let [first, module, third, input] = parts.as_slice() else {
        let message = format!("the path has {} parts instead of four", parts.len());
        return Err(Diagnostic::new(span, message).hint(ADVICE));
    };
    if parts.iter().any(|part| part.trim().is_empty() || part.chars().any(char::is_control)) {
        return Err(Diagnostic::new(span, "the path has an empty part").hint(ADVICE));
    }
    let module_start = start + first.len() + 1;
    let third_start = module_start + module.len() + 1;
    let mut warnings = Vec::new();
    for (found, word, at) in [(first, "modules", start), (third, "inputs", third_start)] {
        if !found.eq_ignore_ascii_case(word) {
            let message = format!("`{found}` stands where `{word}` belongs; the hub reads it as `{word}`");
            warnings.push(
                Diagnostic::new(Span::new(at, at + found.len()), message).hint(format!("write {word}")),
            );
        }
    }
    let sink = Sink::Module { module: (*module).to_owned(), input: (*input).to_owned() };
    let module_span = Some(Span::new(module_start, module_start + module.len()));
    Ok(End { sink, span, module_span, warnings })
}
