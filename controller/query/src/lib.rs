//! The query, target-condition and route languages: text in, checked value out, evaluated against JSON or a message.
//!
//! Two dialects live here, because the cloud's two engines differ (reference query-language §1): the *twin* dialect
//! ([`select`], [`target`]; `NOT` looser than comparison) and the *route* dialect ([`route`]; `NOT` tighter, static
//! types, almost every character legal in a name). They share spans, diagnostics, string and comment scanning, the steps
//! over tokens and how to go on after a mistake, values and functions, and nothing of their grammars.
//!
//! What this crate is not: it reads no documents, knows no devices and does no I/O. A text that does not parse is not
//! an error of the program but a list of [`Diagnostic`]s; nothing here panics on any input. Texts are at most
//! [`MAX_TEXT`] characters and [`MAX_DEPTH`] nested levels.
#![forbid(unsafe_code)]

mod diagnostic;
mod function;
mod lexer;
mod near;
pub mod route;
mod scratch;
pub mod select;
mod span;
pub mod target;
mod tokens;
mod twin;
mod value;

pub use diagnostic::Diagnostic;
pub use near::near;
pub use scratch::Scratch;
pub use span::Span;

/// Longest text of a query, condition or route, in characters (reference query-language §1).
pub const MAX_TEXT: usize = 8192;

/// Deepest nesting of parentheses, calls and prefix operators. Ours: it keeps every recursion in this crate bounded.
pub const MAX_DEPTH: usize = 64;
