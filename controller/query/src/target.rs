//! Target conditions of deployments and query conditions of jobs: which devices or modules something is meant for
//! (reference query-language §4). A condition is `*`, an expression over device twins, or
//! `FROM devices.modules WHERE` and an expression over module twins.

mod need;

use std::fmt;

use serde_json::Value;

use crate::Diagnostic;
use crate::select::Source;
use crate::twin::ast::{Expr, Path, Step};
use crate::twin::eval::is_true;
use crate::twin::lexer::Kind;
use crate::twin::names::{JOB, TWIN, near_root};
use crate::twin::parser::Parser;
pub use crate::twin::row::DeviceTwin;
pub use need::Need;

/// A parsed condition. Its `Display` is the condition as text again; equality ignores how it was written.
#[derive(Debug, Clone)]
pub struct TargetCondition {
    meaning: Meaning,
    warnings: Vec<Diagnostic>,
}

#[derive(Debug, Clone, PartialEq)]
enum Meaning {
    All,
    Where { source: Source, condition: Expr },
}

// ---------------------------------------------------------------------------------------------------------------

impl TargetCondition {
    /// Parses a condition. An empty text is refused here; a document without a condition is the caller's case.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut parser = Parser::of(text).map_err(|diagnostic| vec![diagnostic])?;
        let read = condition(&mut parser);
        let meaning = parser.close(read)?;
        let mut warnings = Vec::new();
        if let Meaning::Where { condition, .. } = &meaning {
            condition.visit_paths(&mut |path| warnings.extend(unknown_root(path, Source::Devices)));
        }
        Ok(Self { meaning, warnings })
    }

    /// Whether a twin is meant. `twin` is a device twin, or a module twin when [`Self::source`] says modules; only an
    /// expression that is exactly true matches.
    #[must_use]
    pub fn matches(&self, twin: &Value) -> bool {
        match &self.meaning {
            Meaning::All => true,
            Meaning::Where { condition, .. } => is_true(condition, twin),
        }
    }

    /// The same for a device twin in pieces. A condition over modules selects none.
    #[must_use]
    pub fn matches_device(&self, twin: DeviceTwin<'_>) -> bool {
        match &self.meaning {
            Meaning::All => true,
            Meaning::Where { source: Source::Devices, condition } => is_true(condition, twin),
            Meaning::Where { .. } => false,
        }
    }

    /// Whether it is `*`.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.meaning == Meaning::All
    }

    /// Whether the answer may depend on what devices report, so that it cannot be known without a hub.
    #[must_use]
    pub fn reads_reported(&self) -> bool {
        let Meaning::Where { condition, .. } = &self.meaning else { return false };
        let mut reads = false;
        condition.visit_paths(&mut |path| reads |= is_reported(path));
        reads
    }

    /// Whether it reads this member of a twin, or something below it.
    #[must_use]
    pub fn reads(&self, member: &str) -> bool {
        let Meaning::Where { condition, .. } = &self.meaning else { return false };
        let mut reads = false;
        condition.visit_paths(&mut |path| {
            reads |= matches!(path.resolved.first(), Some(Step::Name(name)) if name == member);
        });
        reads
    }

    /// What it selects from: devices, or modules for `from devices.modules where …`.
    #[must_use]
    pub fn source(&self) -> Source {
        match &self.meaning {
            Meaning::All => Source::Devices,
            Meaning::Where { source, .. } => *source,
        }
    }

    /// What is legal and probably not meant: names that no twin has, and so never match.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

impl PartialEq for TargetCondition {
    fn eq(&self, other: &Self) -> bool {
        self.meaning == other.meaning
    }
}

impl fmt::Display for TargetCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.meaning {
            Meaning::All => f.write_str("*"),
            Meaning::Where { source: Source::Devices, condition } => condition.fmt(f),
            Meaning::Where { source, condition } => write!(f, "FROM {source} WHERE {condition}"),
        }
    }
}

fn condition(parser: &mut Parser<'_>) -> Option<Meaning> {
    if parser.at_end() {
        if parser.is_fine() {
            let empty = Diagnostic::new(parser.span(), "the condition is empty");
            parser.report(empty.hint("write * for all devices, or a condition such as tags.site = 'lyon'"));
        }
        return None;
    }
    if parser.at_word("SELECT") {
        let query = Diagnostic::new(parser.span(), "this is a query, not a condition");
        parser.report(query.hint("write only what stands after WHERE"));
        return None;
    }
    if parser.eat(&Kind::Star) {
        parser.expect_end("the end after *");
        return Some(Meaning::All);
    }
    let mut source = Source::Devices;
    if parser.eat_word("FROM") {
        let span = parser.span();
        let read = Source::parse(parser);
        source = parser.noted(read).unwrap_or(Source::Devices);
        if source == Source::Jobs {
            parser.note(Diagnostic::new(span, "a condition selects devices or modules, not jobs"));
        }
        if !parser.eat_word("WHERE") {
            parser.report(parser.unexpected("WHERE"));
            parser.skip_to(|parser| parser.at_word("WHERE"));
            if !parser.eat_word("WHERE") {
                return None;
            }
        }
    }
    let condition = parser.whole_expression("AND, OR or the end", |parser| *parser.peek() == Kind::Semicolon);
    parser.expect_end("the end");
    Some(Meaning::Where { source, condition: condition.ok()? })
}

/// A warning for a path that starts with no member of the row (reference query-language §3.2: bare reported names are
/// not resolved).
pub(crate) fn unknown_root(path: &Path, source: Source) -> Option<Diagnostic> {
    let Some(Step::Name(root)) = path.resolved.first() else { return None };
    let (known, row): (&[&'static str], _) = match source {
        Source::Devices | Source::Modules => (&TWIN, "twin"),
        Source::Jobs => (&JOB, "row of a job"),
    };
    if known.contains(&root.as_str()) {
        return None;
    }
    let warning =
        Diagnostic::new(path.at.0, format!("no {row} has a member `{root}`, so this is always undefined"));
    Some(match near_root(root, known) {
        Some(near) => warning.hint(format!("did you mean {near}?")),
        None if source == Source::Jobs => warning.hint(format!("there are {}", known.join(", "))),
        None => {
            warning.hint(format!("write the full path, such as properties.reported.{path} or tags.{path}"))
        }
    })
}

fn is_reported(path: &Path) -> bool {
    let name = |index: usize| match path.resolved.get(index) {
        Some(Step::Name(name)) => Some(name.as_str()),
        Some(Step::Index(_)) | None => None,
    };
    // `IS_DEFINED(properties)` reads it too.
    name(0) == Some("properties") && name(1).is_none_or(|second| second == "reported")
}
