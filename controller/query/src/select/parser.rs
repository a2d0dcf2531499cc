//! The clauses of a SELECT query, and the rules between them. Expressions are the twin dialect's.

use super::{Aggregate, Clauses, Column, Item, Source, default_name};
use crate::twin::ast::{Expr, Path};
use crate::twin::lexer::Kind;
use crate::twin::names::is_keyword;
use crate::twin::parser::{Parsed, Parser};
use crate::{Diagnostic, near};

/// Reads a whole query. Every clause is read, whatever is wrong with the ones before it.
pub(super) fn clauses(parser: &mut Parser<'_>) -> Option<Clauses> {
    if !parser.eat_word("SELECT") {
        let diagnostic = parser.unexpected("SELECT");
        // A mistyped SELECT is followed by the rest of a query; anything else is none.
        if !mistyped(parser, "SELECT") {
            parser.report(diagnostic);
            return None;
        }
        parser.report(diagnostic.hint("did you mean SELECT?"));
        parser.advance();
    }
    let top = top(parser);
    let list_span = parser.span();
    let read = columns(parser);
    let items = parser.noted(read);
    let mut from = parser.at_word("FROM");
    if !from {
        if items.is_some() {
            parser.report(parser.unexpected("FROM"));
        }
        from = mistyped(parser, "FROM") || parser.skip_to(|parser| parser.at_word("FROM"));
    }
    let source = if from {
        parser.advance();
        let read = Source::parse(parser);
        parser.noted(read)
    } else {
        None
    };
    if source.is_none() {
        parser.skip_to(|parser| parser.at_word("WHERE") || parser.at_word("GROUP"));
    }
    let condition = parser.eat_word("WHERE").then(|| {
        parser.whole_expression("AND, OR, GROUP BY or the end", |parser| {
            parser.at_word("GROUP") || *parser.peek() == Kind::Semicolon
        })
    });
    let read = groups(parser);
    let group = parser.noted(read)?;
    parser.expect_end(match (group.is_empty(), &condition) {
        (false, _) => "`,` or the end",
        (true, Some(_)) => "GROUP BY or the end",
        (true, None) => "WHERE, GROUP BY or the end",
    });
    let condition = match condition {
        None => None,
        Some(read) => Some(read.ok()?),
    };
    let clauses = Clauses { top, items: items?, source: source?, condition, group };
    if let Some((message, hint)) = mismatch(&clauses) {
        parser.note(Diagnostic::new(list_span, message).hint(hint));
    }
    Some(clauses)
}

// ---------------------------------------------------------------------------------------------------------------

/// `TOP n`. `SELECT top FROM devices` is not a limit: nobody has such a member, but the message should be about it.
fn top(parser: &mut Parser<'_>) -> Option<usize> {
    if !parser.at_word("TOP") || !matches!(parser.peek_after(1), Kind::Number(_) | Kind::Minus) {
        return None;
    }
    parser.advance();
    let read = limit(parser);
    let top = parser.noted(read);
    if top.is_none() {
        parser.eat(&Kind::Minus);
        parser.advance();
    }
    top
}

fn mistyped(parser: &Parser<'_>, word: &str) -> bool {
    matches!(parser.peek(), Kind::Word(found) if near(found, [word].into_iter()).is_some())
}

fn columns(parser: &mut Parser<'_>) -> Parsed<Option<Vec<Item>>> {
    let distinct =
        parser.at_word("DISTINCT") && matches!(parser.peek_after(1), Kind::Word(word) if !is_keyword(word));
    if distinct { Err(parser.unexpected("`*` or columns")) } else { select_list(parser) }
}

fn groups(parser: &mut Parser<'_>) -> Parsed<Vec<Path>> {
    let mut group = Vec::new();
    if parser.eat_word("GROUP") {
        parser.expect_word("BY")?;
        group.push(parser.path()?);
        while parser.eat(&Kind::Comma) {
            group.push(parser.path()?);
        }
    }
    Ok(group)
}

fn limit(parser: &mut Parser<'_>) -> Parsed<usize> {
    match *parser.peek() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked by the guard")]
        Kind::Number(number) if number.fract() == 0.0 && (1.0..=1e12).contains(&number) => {
            parser.advance();
            Ok(number as usize)
        }
        _ => Err(parser.unexpected("a whole number above 0")),
    }
}

/// `*` (as `None`) or the columns.
fn select_list(parser: &mut Parser<'_>) -> Parsed<Option<Vec<Item>>> {
    if parser.eat(&Kind::Star) {
        if *parser.peek() == Kind::Comma {
            let mixed = Diagnostic::new(parser.span(), "`*` and columns do not mix");
            return Err(mixed.hint("select * alone, or name every column"));
        }
        return Ok(None);
    }
    let mut items = Vec::new();
    loop {
        if *parser.peek() == Kind::Star {
            let mixed = Diagnostic::new(parser.span(), "`*` and columns do not mix");
            return Err(mixed.hint("select * alone, or name every column"));
        }
        items.push(item(parser, items.len())?);
        if !parser.eat(&Kind::Comma) {
            return Ok(Some(items));
        }
    }
}

fn item(parser: &mut Parser<'_>, index: usize) -> Parsed<Item> {
    let column = match aggregate(parser) {
        Some(aggregate) => aggregated(parser, aggregate)?,
        None => Column::Expr(parser.expression()?),
    };
    let alias = if parser.eat_word("AS") {
        Some(parser.name()?)
    } else {
        match parser.peek() {
            // `SELECT deviceId FORM devices` has a slip in it, not an alias.
            Kind::Word(_) if mistyped(parser, "FROM") && parser.word_after(1, "devices") => None,
            Kind::Word(word) if !is_keyword(word) => Some(parser.name()?),
            Kind::Bracketed(_) => Some(parser.name()?),
            _ => None,
        }
    };
    let name = alias.clone().unwrap_or_else(|| default_name(&column, index));
    Ok(Item { column, alias, name })
}

fn aggregate(parser: &Parser<'_>) -> Option<Aggregate> {
    let all = [Aggregate::Count, Aggregate::Average, Aggregate::Sum, Aggregate::Least, Aggregate::Greatest];
    let called = *parser.peek_after(1) == Kind::Open;
    all.into_iter().find(|aggregate| called && parser.at_word(aggregate.word()))
}

fn aggregated(parser: &mut Parser<'_>, aggregate: Aggregate) -> Parsed<Column> {
    parser.advance();
    parser.expect(&Kind::Open, "`(`")?;
    let path = match (aggregate, parser.peek()) {
        (Aggregate::Count, Kind::Close) => None,
        (Aggregate::Count, Kind::Star) => {
            parser.advance();
            None
        }
        _ => Some(parser.path()?),
    };
    parser.expect(&Kind::Close, "`)`")?;
    Ok(Column::Aggregate(aggregate, path))
}

/// What does not go together (reference query-language §3.5, §5): message and hint.
fn mismatch(clauses: &Clauses) -> Option<(String, &'static str)> {
    let grouped = !clauses.group.is_empty();
    let Some(items) = &clauses.items else {
        let message = "`*` cannot be grouped".to_owned();
        return grouped.then_some((message, "select the grouped columns and aggregates"));
    };
    if clauses.source == Source::Jobs {
        return Some(("devices.jobs is selected with * only".to_owned(), "write SELECT * FROM devices.jobs"));
    }
    if !clauses.is_aggregated() {
        return None;
    }
    let loose = items.iter().find(|item| match &item.column {
        Column::Aggregate(..) => false,
        Column::Expr(Expr::Path(path)) => !is_grouped(path, &clauses.group),
        Column::Expr(_) => true,
    })?;
    let message = format!("the column {} is neither aggregated nor grouped", loose.name);
    Some((message, "add it to GROUP BY, or leave it out"))
}

fn is_grouped(path: &Path, group: &[Path]) -> bool {
    group.iter().any(|grouped| grouped.resolved == path.resolved)
}
