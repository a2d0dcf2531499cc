//! Routes of an edge hub and route conditions of both hubs: which messages go where (reference query-language §6–8).
//! Parsing checks types and compiles every name once; matching a message allocates nothing, where the caller keeps a
//! [`Scratch`] for the texts that `CONCAT`, `||` and a change of case make. What this is not: queues, priorities and
//! delivery, which are the hub's.

mod ast;
mod body;
mod check;
mod clauses;
mod eval;
mod lexer;
mod lint;
mod names;
mod parser;
mod print;
mod source;

use std::fmt;

use serde_json::Value;

pub use self::body::{NotJson, json_body};
pub use self::names::{near_system as near_system_property, system as system_property};
pub use self::source::SourcePath;
use crate::function::Dialect;
use crate::tokens::told;
use crate::{Diagnostic, Scratch, Span};

/// A message as a route sees it.
pub trait RouteMessage {
    /// Where it comes from, such as `/messages/modules/m/outputs/o/`.
    fn source(&self) -> &str;

    /// An application property, the name in any case: `None` when absent, `Some(None)` when present without a value.
    fn property(&self, name: &str) -> Option<Option<&str>>;

    /// A system property. Names that [`Condition`] knows come in the one spelling of the reference
    /// (`connectionDeviceId`), others as the route spells them.
    fn system(&self, name: &str) -> Option<&str>;

    /// The body as [`json_body`] reads it. Parsed when first asked for.
    fn body(&self) -> Option<&Value>;

    /// The twin of the sender, for `$twin.…` in conditions of a cloud-side hub. An edge hub has none.
    fn twin(&self) -> Option<&Value> {
        None
    }
}

/// What a condition says about a message. Only `True` routes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exactly true.
    True,
    /// False, or null.
    False,
    /// Undefined, or something that is not a boolean.
    Undefined,
}

/// Whose conditions are parsed: the two engines know different functions and names (reference query-language §8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The edge hub: no `$twin`, no `IS_ARRAY`, `IS_OBJECT`, `IS_PRIMITIVE`.
    Edge,
    /// A hub's message routing.
    Hub,
}

/// Which events a condition is about; `TWIN_CHANGE_INCLUDES` exists for changes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Telemetry, life cycle, connection state.
    Messages,
    /// Twin change notifications.
    TwinChanges,
}

/// The condition of a route. Its `Display` is the condition as text again.
#[derive(Debug, Clone)]
pub struct Condition {
    /// `None` is the empty condition, which never matches.
    written: Option<ast::Expr>,
    compiled: check::Node,
    warnings: Vec<Diagnostic>,
}

/// A route of an edge hub: `FROM source [WHERE condition] INTO sink`. Its `Display` is the route as text again;
/// equality ignores how it was written.
#[derive(Debug, Clone)]
pub struct Route {
    source: SourcePath,
    condition: Option<Condition>,
    sink: Sink,
    sink_span: Span,
    sink_module_span: Option<Span>,
    warnings: Vec<Diagnostic>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sink {
    /// `$upstream`: the parent hub.
    Upstream,
    /// `BrokeredEndpoint("/modules/{module}/inputs/{input}")`.
    Module {
        /// Module id.
        module: String,
        /// Name of the input.
        input: String,
    },
}

// ---------------------------------------------------------------------------------------------------------------

impl Engine {
    fn dialect(self) -> Dialect {
        match self {
            Self::Edge => Dialect::EdgeRoute,
            Self::Hub => Dialect::HubRoute,
        }
    }
}

impl Condition {
    /// Parses and type-checks a condition. Empty and blank texts are conditions that never match; a route *without*
    /// condition is another thing and always matches.
    pub fn parse(text: &str, engine: Engine, events: Events) -> Result<Self, Vec<Diagnostic>> {
        match parser::condition(text) {
            parser::Read::Nothing => Self::new(None, engine, events),
            parser::Read::Whole(expr) => Self::new(Some(expr), engine, events),
            parser::Read::Broken(mut found, pieces) => {
                for piece in &pieces {
                    found.extend(check::compile(piece, engine.dialect(), events).err().unwrap_or_default());
                }
                Err(told(found).unwrap_or_default())
            }
        }
    }

    fn new(written: Option<ast::Expr>, engine: Engine, events: Events) -> Result<Self, Vec<Diagnostic>> {
        let compiled = match &written {
            Some(expr) => check::compile(expr, engine.dialect(), events)?,
            None => check::Node::Constant(crate::value::Constant::Undefined),
        };
        let warnings = written.as_ref().map(lint::warnings).unwrap_or_default();
        Ok(Self { written, compiled, warnings })
    }

    /// What the condition says about a message.
    #[must_use]
    pub fn evaluate(&self, message: &dyn RouteMessage) -> Outcome {
        self.evaluate_in(message, &mut Scratch::default())
    }

    /// The same with room for new texts, which the next message can use again.
    #[must_use]
    pub fn evaluate_in(&self, message: &dyn RouteMessage, scratch: &mut Scratch) -> Outcome {
        eval::outcome(&self.compiled, message, scratch)
    }

    /// Whether the message passes.
    #[must_use]
    pub fn matches(&self, message: &dyn RouteMessage) -> bool {
        self.evaluate(message) == Outcome::True
    }

    /// What is legal and probably not meant: `a!=b` without blanks, unknown system properties, …
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

impl Route {
    /// Parses and type-checks a route of an edge hub.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        clauses::route(text)
    }

    /// Whether the message takes this route: its source fits and the condition is exactly true.
    #[must_use]
    pub fn matches(&self, message: &dyn RouteMessage) -> bool {
        self.matches_in(message, &mut Scratch::default())
    }

    /// The same with room for new texts, which the next route or message can use again.
    #[must_use]
    pub fn matches_in(&self, message: &dyn RouteMessage, scratch: &mut Scratch) -> bool {
        self.source.matches(message.source()) && self.evaluate_in(message, scratch) == Outcome::True
    }

    /// What the condition says about a message, whatever its source. A route without WHERE says true.
    #[must_use]
    pub fn evaluate(&self, message: &dyn RouteMessage) -> Outcome {
        self.evaluate_in(message, &mut Scratch::default())
    }

    /// The same with room for new texts, which the next route or message can use again.
    #[must_use]
    pub fn evaluate_in(&self, message: &dyn RouteMessage, scratch: &mut Scratch) -> Outcome {
        self.condition.as_ref().map_or(Outcome::True, |condition| condition.evaluate_in(message, scratch))
    }

    /// Where the route leads.
    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Where the sink stands in the text.
    #[must_use]
    pub fn sink_span(&self) -> Span {
        self.sink_span
    }

    /// Where the sink's module id stands in the text.
    #[must_use]
    pub fn sink_module_span(&self) -> Option<Span> {
        self.sink_module_span
    }

    /// Where the route takes messages from.
    #[must_use]
    pub fn source(&self) -> &SourcePath {
        &self.source
    }

    /// The module whose outputs the route takes, when it takes those of one module only.
    #[must_use]
    pub fn source_module(&self) -> Option<&str> {
        self.source.module()
    }

    /// Where [`Self::source_module`] stands in the text.
    #[must_use]
    pub fn source_module_span(&self) -> Option<Span> {
        self.source.module_span()
    }

    /// The condition, where the route has one.
    #[must_use]
    pub fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// What is legal and probably not meant, in source, condition and sink.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.condition == other.condition && self.sink == other.sink
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.as_ref().map_or(Ok(()), |expr| expr.fmt(f))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FROM {}", self.source)?;
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        write!(f, " INTO {}", self.sink)
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream => f.write_str("$upstream"),
            Self::Module { module, input } => {
                // A path has no escapes: whichever quote it does not contain encloses it.
                let quote = if module.contains('"') || input.contains('"') { '\'' } else { '"' };
                write!(f, "BrokeredEndpoint({quote}/modules/{module}/inputs/{input}{quote})")
            }
        }
    }
}
