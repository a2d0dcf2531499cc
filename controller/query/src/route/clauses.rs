//! The clauses of an edge route (reference query-language §8.1): source, condition, sink. Each is read whatever is wrong
//! with the others; a source is no token, because `/*` is one here and opens a comment elsewhere.

use super::ast::Expr;
use super::check;
use super::lexer::{Keyword, Kind, tokens};
use super::parser::Parser;
use super::source::SourcePath;
use super::{Condition, Engine, Events, Route, Sink};
use crate::diagnostic::too_long;
use crate::function::Dialect;
use crate::lexer::Cursor;
use crate::tokens::{Parsed, told};
use crate::{Diagnostic, Span, near};

const FORM: &str = "a route is FROM /messages/* [WHERE condition] INTO $upstream";

/// What stands after INTO.
struct End {
    sink: Sink,
    span: Span,
    module_span: Option<Span>,
    warnings: Vec<Diagnostic>,
}

/// A route without mistakes of syntax.
struct Clauses {
    source: SourcePath,
    expr: Option<Expr>,
    end: End,
}

// ---------------------------------------------------------------------------------------------------------------

/// Parses and checks `[SELECT *] FROM source [WHERE condition] INTO sink`.
pub(super) fn route(text: &str) -> Result<Route, Vec<Diagnostic>> {
    let Clauses { source, expr, end } = clauses(text)?;
    let condition = expr.map(|expr| Condition::new(Some(expr), Engine::Edge, events(&source))).transpose()?;
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

fn events(source: &SourcePath) -> Events {
    if source.is_twin_changes() { Events::TwinChanges } else { Events::Messages }
}

fn clauses(text: &str) -> Result<Clauses, Vec<Diagnostic>> {
    if let Some(diagnostic) = too_long(text) {
        return Err(vec![diagnostic]);
    }
    let mut found = Vec::new();
    let mut cursor = Cursor::new(text, 0);
    if !head(&mut cursor, &mut found) {
        return Err(told(found).unwrap_or_default());
    }
    let source = source(&mut cursor).map_err(|diagnostic| found.push(diagnostic)).ok();
    let mut parser = tokens(cursor, found);
    let at_into = |parser: &Parser<'_>| *parser.peek() == Kind::Keyword(Keyword::Into);
    let condition = parser
        .eat(&Kind::Keyword(Keyword::Where))
        .then(|| parser.whole_expression("an operator or INTO", at_into));
    if !at_into(&parser) && !matches!(condition, Some(Err(_))) {
        let what = if condition.is_some() { "an operator or INTO" } else { "WHERE or INTO" };
        let diagnostic = parser.unexpected(what);
        let missing = parser.at_end() && diagnostic.hint.is_none();
        parser.report(if missing {
            diagnostic.hint("end with INTO $upstream, or INTO BrokeredEndpoint(…)")
        } else {
            diagnostic
        });
        parser.skip_to(at_into);
    }
    let end = if parser.eat(&Kind::Keyword(Keyword::Into)) {
        let read = parser.sink();
        let end = parser.noted(read);
        if end.is_some() && !parser.at_end() {
            parser.report(parser.unexpected("the end of the route"));
        }
        end
    } else {
        None
    };
    // Types are checked even when the route has other mistakes, in what could be read of the condition.
    let (expr, pieces) = match condition {
        None => (Some(None), Vec::new()),
        Some(Ok(expr)) => (Some(Some(expr)), Vec::new()),
        Some(Err(pieces)) => (None, pieces),
    };
    let events = source.as_ref().map_or(Events::TwinChanges, events);
    let readable = expr.iter().flatten().cloned().collect::<Vec<_>>();
    let whole = match (source, expr, end) {
        (Some(source), Some(expr), Some(end)) => Some(Clauses { source, expr, end }),
        _ => None,
    };
    parser.close(whole).map_err(|mut found| {
        for piece in readable.iter().chain(&pieces) {
            found.extend(check::compile(piece, Dialect::EdgeRoute, events).err().unwrap_or_default());
        }
        told(found).unwrap_or_default()
    })
}

/// `[SELECT *] FROM`. Answers whether there is any point in reading on.
fn head(cursor: &mut Cursor<'_>, found: &mut Vec<Diagnostic>) -> bool {
    let mut word = head_word(cursor, found);
    if word.0.eq_ignore_ascii_case("SELECT") {
        cursor.skip_blank(found);
        if !cursor.eat("*") {
            let end = cursor.position();
            found.push(
                Diagnostic::new(Span::new(end, end), "expected * after SELECT")
                    .hint("a route passes whole messages: SELECT * FROM …, or just FROM …"),
            );
            return false;
        }
        word = head_word(cursor, found);
    }
    if word.0.eq_ignore_ascii_case("FROM") {
        return true;
    }
    let what = if word.0.is_empty() { "the end or a symbol".to_owned() } else { format!("`{}`", word.0) };
    let known = near(word.0, ["FROM", "SELECT"].into_iter());
    let hint = known.map_or(FORM.to_owned(), |keyword| format!("did you mean {keyword}?"));
    found.push(Diagnostic::new(word.1, format!("expected FROM, found {what}")).hint(hint));
    known == Some("FROM")
}

fn head_word<'t>(cursor: &mut Cursor<'t>, found: &mut Vec<Diagnostic>) -> (&'t str, Span) {
    cursor.skip_blank(found);
    let start = cursor.position();
    let word = cursor.run(char::is_alphanumeric);
    (word, cursor.since(start))
}

fn source(cursor: &mut Cursor<'_>) -> Parsed<SourcePath> {
    // Blanks only: `/*` is a source here, not a comment.
    cursor.run(char::is_whitespace);
    let start = cursor.position();
    let mut behind = cursor.clone();
    let source = behind.run(|character| !character.is_whitespace());
    let span = behind.since(start);
    if source.is_empty() || ["INTO", "WHERE"].iter().any(|word| word.eq_ignore_ascii_case(source)) {
        return Err(Diagnostic::new(span, "expected a source after FROM").hint("such as /messages/*"));
    }
    *cursor = behind;
    SourcePath::parse(source, span)
}

/// Sinks.
impl Parser<'_> {
    fn sink(&mut self) -> Parsed<End> {
        const ADVICE: &str = r#"a sink is $upstream or BrokeredEndpoint("/modules/m/inputs/i")"#;
        let start = self.span();
        match self.peek().clone() {
            Kind::Dollar(name) if name.eq_ignore_ascii_case("$upstream") => {
                self.advance();
                Ok(End { sink: Sink::Upstream, span: start, module_span: None, warnings: Vec::new() })
            }
            Kind::Name(name) if name.eq_ignore_ascii_case("BrokeredEndpoint") => {
                self.advance();
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
            self.advance();
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
