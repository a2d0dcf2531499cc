//! The tree of a route condition as written: untyped, with the positions that the checker's messages need.
//! Left-associative chains are one node with many operands, so that depth is bounded by what the text nests.

use crate::span::At;
use crate::value::{Arithmetic, Comparison, Constant};

/// An expression of the route dialect.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    pub(crate) kind: Kind,
    pub(crate) at: At,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Constant(Constant),
    /// An application property.
    Property(String),
    /// `$name` or `{$name}`; the text includes the `$`.
    Dollar {
        name: String,
        form: Form,
    },
    Call {
        name: String,
        name_at: At,
        arguments: Vec<Expr>,
    },
    Negate(Box<Expr>),
    Not(Box<Expr>),
    /// Operators of one level, applied from the left.
    Chain {
        first: Box<Expr>,
        rest: Vec<Link>,
    },
}

/// How a `$name` was written: only the plain form may be an application property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    InBraces,
}

/// One operator of a chain and its right operand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Link {
    pub(crate) operator: Operator,
    pub(crate) at: At,
    pub(crate) operand: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Coalesce,
    Or,
    And,
    Compare(Comparison),
    Arithmetic(Arithmetic),
    Concat,
}

/// How tightly an operator binds; later is tighter (reference query-language §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Coalesce,
    Or,
    And,
    Equality,
    Relation,
    Sum,
    Product,
    Unary,
    Primary,
}

// ---------------------------------------------------------------------------------------------------------------

impl Operator {
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Coalesce => Level::Coalesce,
            Self::Or => Level::Or,
            Self::And => Level::And,
            Self::Compare(comparison) if comparison.is_equality() => Level::Equality,
            Self::Compare(_) => Level::Relation,
            Self::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) | Self::Concat => Level::Sum,
            Self::Arithmetic(Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder) => {
                Level::Product
            }
        }
    }

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Coalesce => "??",
            Self::Or => "OR",
            Self::And => "AND",
            Self::Compare(comparison) => comparison.symbol(),
            Self::Arithmetic(operator) => operator.symbol(),
            Self::Concat => "||",
        }
    }
}

impl Level {
    pub(crate) fn tighter(self) -> Self {
        match self {
            Self::Coalesce => Self::Or,
            Self::Or => Self::And,
            Self::And => Self::Equality,
            Self::Equality => Self::Relation,
            Self::Relation => Self::Sum,
            Self::Sum => Self::Product,
            Self::Product => Self::Unary,
            Self::Unary | Self::Primary => Self::Primary,
        }
    }
}

impl Expr {
    pub(crate) fn level(&self) -> Level {
        match &self.kind {
            Kind::Constant(_) | Kind::Property(_) | Kind::Dollar { .. } | Kind::Call { .. } => Level::Primary,
            Kind::Negate(_) | Kind::Not(_) => Level::Unary,
            Kind::Chain { rest, .. } => rest.first().map_or(Level::Primary, |link| link.operator.level()),
        }
    }

    /// Calls `visit` for every expression inside this one, and for it.
    pub(crate) fn visit<'e>(&'e self, visit: &mut impl FnMut(&'e Self)) {
        visit(self);
        match &self.kind {
            Kind::Constant(_) | Kind::Property(_) | Kind::Dollar { .. } => {}
            Kind::Call { arguments, .. } => arguments.iter().for_each(|argument| argument.visit(visit)),
            Kind::Negate(operand) | Kind::Not(operand) => operand.visit(visit),
            Kind::Chain { first, rest } => {
                first.visit(visit);
                rest.iter().for_each(|link| link.operand.visit(visit));
            }
        }
    }
}
