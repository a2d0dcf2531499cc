//! The twin dialect: expressions of SELECT queries, target conditions and job conditions (reference query-language
//! §2–5). One file per step; `select` and `target` build their texts out of these.

pub(crate) mod ast;
pub(crate) mod eval;
pub(crate) mod lexer;
pub(crate) mod names;
pub(crate) mod parser;
pub(crate) mod print;
pub(crate) mod row;
