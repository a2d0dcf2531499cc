//! The clauses of a SELECT query, and the rules between them. Expressions are the twin dialect's.

use super::{Aggregate, Clauses, Column, Item, Source, default_name};
use crate::Diagnostic;
use crate::twin::ast::{Expr, Path};
use crate::twin::lexer::Kind;
use crate::twin::names::is_keyword;
use crate::twin::parser::{Parsed, Parser};

/// Reads a whole query. Mistakes of meaning go to `parser.found`.
pub(super) fn clauses(parser: &mut Parser) -> Parsed<Clauses> {
    parser.expect_word("SELECT")?;
    // `SELECT top FROM devices` is not a limit: nobody has such a member, but the message should be about it.
    let top = if parser.at_word("TOP") && matches!(parser.peek_after(1), Kind::Number(_) | Kind::Minus) {
        parser.advance();
        Some(limit(parser)?)
    } else {
        None
    };
    let distinct =
        parser.at_word("DISTINCT") && matches!(parser.peek_after(1), Kind::Word(word) if !is_keyword(word));
    if distinct {
        return Err(parser.unexpected("`*` or columns"));
    }
    let list_span = parser.span();
    let items = select_list(parser)?;
    parser.expect_word("FROM")?;
    let source = Source::parse(parser)?;
    let condition = if parser.eat_word("WHERE") { Some(parser.expression()?) } else { None };
    let mut group = Vec::new();
    if parser.eat_word("GROUP") {
        parser.expect_word("BY")?;
        group.push(parser.path()?);
        while parser.eat(&Kind::Comma) {
            group.push(parser.path()?);
        }
    }
    parser.finish(if condition.is_some() {
        "AND, OR, GROUP BY or the end"
    } else {
        "WHERE, GROUP BY or the end"
    })?;
    let clauses = Clauses { top, items, source, condition, group };
    let wrong = mismatch(&clauses).map(|(message, hint)| Diagnostic::new(list_span, message).hint(hint));
    parser.found.extend(wrong);
    Ok(clauses)
}

// ---------------------------------------------------------------------------------------------------------------

fn limit(parser: &mut Parser) -> Parsed<usize> {
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
fn select_list(parser: &mut Parser) -> Parsed<Option<Vec<Item>>> {
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

fn item(parser: &mut Parser, index: usize) -> Parsed<Item> {
    let column = match aggregate(parser) {
        Some(aggregate) => aggregated(parser, aggregate)?,
        None => Column::Expr(parser.expression()?),
    };
    let alias = if parser.eat_word("AS") {
        Some(parser.name()?)
    } else {
        match parser.peek() {
            Kind::Word(word) if !is_keyword(word) => Some(parser.name()?),
            Kind::Bracketed(_) => Some(parser.name()?),
            _ => None,
        }
    };
    let name = alias.clone().unwrap_or_else(|| default_name(&column, index));
    Ok(Item { column, alias, name })
}

fn aggregate(parser: &Parser) -> Option<Aggregate> {
    let all = [Aggregate::Count, Aggregate::Average, Aggregate::Sum, Aggregate::Least, Aggregate::Greatest];
    let called = *parser.peek_after(1) == Kind::Open;
    all.into_iter().find(|aggregate| called && parser.at_word(aggregate.word()))
}

fn aggregated(parser: &mut Parser, aggregate: Aggregate) -> Parsed<Column> {
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
