//! The tree of a twin-dialect expression. Left-associative chains are one node with many operands, so that the depth
//! of a tree is bounded by what the text nests, never by how long it is.

use serde_json::Value;

use crate::function::Function;
use crate::span::At;
use crate::value::{Arithmetic, Comparison, Constant};

/// An expression of the twin dialect.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Constant(Constant),
    /// `['a', 1]` outside of IN: an argument of `ARRAY_CONTAINS`.
    Array(Vec<Value>),
    Path(Path),
    Call {
        function: Function,
        arguments: Vec<Self>,
    },
    Negate(Box<Self>),
    Not(Box<Self>),
    /// `a AND b AND …` or `a OR b OR …`: at least two operands.
    Logic {
        connective: Connective,
        operands: Vec<Self>,
    },
    /// `a + b - …` or `a * b / …`: operators of one level only.
    Arithmetic {
        first: Box<Self>,
        rest: Vec<(Arithmetic, Self)>,
    },
    Compare {
        left: Box<Self>,
        operator: Comparison,
        right: Box<Self>,
    },
    In {
        needle: Box<Self>,
        set: Vec<Self>,
        membership: Membership,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connective {
    And,
    Or,
}

/// Which side of a set IN and NIN ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    In,
    NotIn,
}

/// How tightly something binds; later is tighter (reference query-language §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Or,
    And,
    Not,
    Compare,
    Sum,
    Product,
    Unary,
    Primary,
}

/// A path from the root of a row.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// As written, without the `devices.` prefix: it names a projected column and is printed.
    pub(crate) written: Vec<Step>,
    /// The same with system names in their one spelling: it is looked up.
    pub(crate) resolved: Vec<Step>,
    pub(crate) at: At,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

// ---------------------------------------------------------------------------------------------------------------

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Connective {
    pub(crate) fn level(self) -> Level {
        match self {
            Self::And => Level::And,
            Self::Or => Level::Or,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::And => "AND",
            Self::Or => "OR",
        }
    }
}

impl Level {
    /// The next tighter level: what an operand on the right of a left-associative operator is parsed at.
    pub(crate) fn tighter(self) -> Self {
        match self {
            Self::Or => Self::And,
            Self::And => Self::Not,
            Self::Not => Self::Compare,
            Self::Compare => Self::Sum,
            Self::Sum => Self::Product,
            Self::Product => Self::Unary,
            Self::Unary | Self::Primary => Self::Primary,
        }
    }
}

pub(crate) fn level_of(operator: Arithmetic) -> Level {
    match operator {
        Arithmetic::Add | Arithmetic::Subtract => Level::Sum,
        Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder => Level::Product,
    }
}

impl Expr {
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Constant(_) | Self::Array(_) | Self::Path(_) | Self::Call { .. } => Level::Primary,
            Self::Negate(_) => Level::Unary,
            Self::Not(_) => Level::Not,
            Self::Logic { connective, .. } => connective.level(),
            Self::Arithmetic { rest, .. } => {
                rest.first().map_or(Level::Sum, |(operator, _)| level_of(*operator))
            }
            Self::Compare { .. } | Self::In { .. } => Level::Compare,
        }
    }

    /// Calls `visit` for every path in the expression, in reading order.
    pub(crate) fn visit_paths<'e>(&'e self, visit: &mut impl FnMut(&'e Path)) {
        match self {
            Self::Constant(_) | Self::Array(_) => {}
            Self::Path(path) => visit(path),
            Self::Call { arguments, .. } => arguments.iter().for_each(|argument| argument.visit_paths(visit)),
            Self::Negate(operand) | Self::Not(operand) => operand.visit_paths(visit),
            Self::Logic { operands, .. } => operands.iter().for_each(|operand| operand.visit_paths(visit)),
            Self::Arithmetic { first, rest } => {
                first.visit_paths(visit);
                rest.iter().for_each(|(_, operand)| operand.visit_paths(visit));
            }
            Self::Compare { left, right, .. } => {
                left.visit_paths(visit);
                right.visit_paths(visit);
            }
            Self::In { needle, set, .. } => {
                needle.visit_paths(visit);
                set.iter().for_each(|element| element.visit_paths(visit));
            }
        }
    }
}
