//! SELECT queries over devices, modules and device jobs (reference query-language §3, §5): parse, filter, project,
//! aggregate. It holds no rows: the caller brings them, in the order it wants them back, and cuts the answer in pages.

mod parser;
mod run;

use std::fmt;

use serde_json::Value;

use crate::target::unknown_root;
use crate::twin::ast::{Expr, Path, Step};
use crate::twin::eval::is_true;
use crate::twin::lexer::Kind;
use crate::twin::parser::{Parsed, Parser};
use crate::twin::print::name_fmt;
use crate::{Diagnostic, near};

/// What a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `devices`: device twins.
    Devices,
    /// `devices.modules`: module twins.
    Modules,
    /// `devices.jobs`: one row per device of a job.
    Jobs,
}

/// A parsed query. Its `Display` is the query as text again; equality ignores how it was written.
#[derive(Debug, Clone)]
pub struct Query {
    clauses: Clauses,
    warnings: Vec<Diagnostic>,
}

#[derive(Debug, Clone, PartialEq)]
struct Clauses {
    top: Option<usize>,
    /// `None` is `*`.
    items: Option<Vec<Item>>,
    source: Source,
    condition: Option<Expr>,
    group: Vec<Path>,
}

/// One column of a select list.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    column: Column,
    alias: Option<String>,
    /// The member of the answer: the alias, the last step of a path, or a made-up name.
    name: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Column {
    Expr(Expr),
    Aggregate(Aggregate, Option<Path>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Count,
    Average,
    Sum,
    Least,
    Greatest,
}

// ---------------------------------------------------------------------------------------------------------------

impl Query {
    /// Parses a query.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut parser = Parser::of(text).map_err(|diagnostic| vec![diagnostic])?;
        let read = parser::clauses(&mut parser);
        let clauses = parser.close(read)?;
        let warnings = clauses.warnings();
        Ok(Self { clauses, warnings })
    }

    /// What it reads; the rows given to [`Self::run`] are of this kind.
    #[must_use]
    pub fn source(&self) -> Source {
        self.clauses.source
    }

    /// Whether the answer's rows are projections rather than whole documents (`x-ms-item-type: Raw`).
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.clauses.items.is_some()
    }

    /// The members of the answer's rows in the order of the select list; `None` for `*`. A row lacks those that are undefined.
    #[must_use]
    pub fn columns(&self) -> Option<Vec<&str>> {
        let items = self.clauses.items.as_ref()?;
        let mut columns: Vec<&str> = Vec::with_capacity(items.len());
        for item in items {
            if !columns.contains(&item.name.as_str()) {
                columns.push(&item.name);
            }
        }
        Some(columns)
    }

    /// Whether rows are counted or grouped, so that the answer exists only once all rows were seen.
    #[must_use]
    pub fn is_aggregated(&self) -> bool {
        self.clauses.is_aggregated()
    }

    /// The `TOP n` of the query: how many rows the whole answer has at most, over all its pages.
    #[must_use]
    pub fn top(&self) -> Option<usize> {
        self.clauses.top
    }

    /// What is legal and probably not meant: names that no row has.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Whether a row passes WHERE: only an expression that is exactly true does.
    #[must_use]
    pub fn matches(&self, row: &Value) -> bool {
        self.clauses.condition.as_ref().is_none_or(|condition| is_true(condition, row))
    }

    /// The whole answer, in the order of the rows; groups in the order of their first row.
    pub fn run<'a>(&self, rows: impl Iterator<Item = &'a Value>) -> Vec<Value> {
        let top = self.clauses.top.unwrap_or(usize::MAX);
        let matching = rows.filter(|row| self.matches(row));
        if self.is_aggregated() {
            let mut answer = self.clauses.aggregate(matching);
            answer.truncate(top);
            answer
        } else {
            matching.take(top).map(|row| self.clauses.project(row)).collect()
        }
    }
}

impl Clauses {
    fn is_aggregated(&self) -> bool {
        let aggregates = self.items.iter().flatten().any(|item| matches!(item.column, Column::Aggregate(..)));
        aggregates || !self.group.is_empty()
    }

    fn warnings(&self) -> Vec<Diagnostic> {
        let mut warnings = Vec::new();
        let mut warn = |path: &Path| warnings.extend(unknown_root(path, self.source));
        for item in self.items.iter().flatten() {
            match &item.column {
                Column::Expr(expr) => expr.visit_paths(&mut warn),
                Column::Aggregate(_, path) => path.iter().for_each(&mut warn),
            }
        }
        if let Some(condition) = &self.condition {
            condition.visit_paths(&mut warn);
        }
        self.group.iter().for_each(&mut warn);
        warnings
    }
}

impl Source {
    /// Reads `devices`, `devices.modules` or `devices.jobs`.
    pub(crate) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        const WHAT: &str = "devices, devices.modules or devices.jobs";
        if !parser.at_word("devices") {
            return Err(nearest(parser, WHAT, &["devices"]));
        }
        parser.advance();
        if !parser.eat(&Kind::Dot) {
            return Ok(Self::Devices);
        }
        if parser.eat_word("modules") {
            return Ok(Self::Modules);
        }
        if parser.eat_word("jobs") {
            return Ok(Self::Jobs);
        }
        Err(nearest(parser, "modules or jobs", &["modules", "jobs"]))
    }
}

fn nearest(parser: &Parser<'_>, what: &str, words: &[&'static str]) -> Diagnostic {
    let diagnostic = parser.unexpected(what);
    match parser.peek() {
        Kind::Word(word) => match near(word, words.iter().copied()) {
            Some(known) => diagnostic.hint(format!("did you mean {known}?")),
            None => diagnostic,
        },
        _ => diagnostic,
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.clauses == other.clauses
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Devices => "devices",
            Self::Modules => "devices.modules",
            Self::Jobs => "devices.jobs",
        })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clauses { top, items, source, condition, group } = &self.clauses;
        f.write_str("SELECT ")?;
        if let Some(top) = top {
            write!(f, "TOP {top} ")?;
        }
        match items {
            None => f.write_str("*")?,
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    item.fmt(f)?;
                }
            }
        }
        write!(f, " FROM {source}")?;
        if let Some(condition) = condition {
            write!(f, " WHERE {condition}")?;
        }
        for (index, path) in group.iter().enumerate() {
            write!(f, "{}{path}", if index == 0 { " GROUP BY " } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Column::Expr(expr) => expr.fmt(f)?,
            Column::Aggregate(aggregate, None) => write!(f, "{}()", aggregate.word())?,
            Column::Aggregate(aggregate, Some(path)) => write!(f, "{}({path})", aggregate.word())?,
        }
        match &self.alias {
            None => Ok(()),
            Some(alias) => {
                f.write_str(" AS ")?;
                name_fmt(alias, true, f)
            }
        }
    }
}

impl Aggregate {
    fn word(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Average => "AVG",
            Self::Sum => "SUM",
            Self::Least => "MIN",
            Self::Greatest => "MAX",
        }
    }
}

/// The name of a column without an alias: the last step of its path as written (reference query-language §3.5), the
/// aggregate in small letters, or `$1` for the first column.
fn default_name(column: &Column, index: usize) -> String {
    let last_step = |path: &Path| {
        path.written.iter().rev().find_map(|step| match step {
            Step::Name(name) => Some(name.clone()),
            Step::Index(_) => None,
        })
    };
    match column {
        Column::Expr(Expr::Path(path)) => last_step(path).unwrap_or_default(),
        Column::Expr(_) => format!("${}", index + 1),
        Column::Aggregate(aggregate, _) => aggregate.word().to_ascii_lowercase(),
    }
}
