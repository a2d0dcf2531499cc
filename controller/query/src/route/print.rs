//! Prints route conditions back as text, with blanks around every operator: names may contain `+ - * % ! |`, so
//! `a-b` and `a - b` are different things. Reading the text again gives the same tree.

use std::fmt::{self, Display, Formatter};

use super::ast::{Expr, Form, Kind, Level};

/// An operand, in parentheses when it binds looser than its place needs.
struct Operand<'e>(&'e Expr, Level);

// ---------------------------------------------------------------------------------------------------------------

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Constant(constant) => constant.fmt(f),
            Kind::Property(name) | Kind::Dollar { name, form: Form::Plain } => f.write_str(name),
            Kind::Dollar { name, form: Form::InBraces } => write!(f, "{{{name}}}"),
            Kind::Call { name, arguments, .. } => {
                write!(f, "{name}(")?;
                for (index, argument) in arguments.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    argument.fmt(f)?;
                }
                f.write_str(")")
            }
            Kind::Negate(operand) => write!(f, "- {}", Operand(operand, Level::Unary)),
            Kind::Not(operand) => write!(f, "NOT {}", Operand(operand, Level::Unary)),
            Kind::Chain { first, rest } => {
                let level = self.level().tighter();
                Operand(first, level).fmt(f)?;
                rest.iter().try_for_each(|link| {
                    write!(f, " {} {}", link.operator.symbol(), Operand(&link.operand, level))
                })
            }
        }
    }
}

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.level() < self.1 { write!(f, "({})", self.0) } else { self.0.fmt(f) }
    }
}
