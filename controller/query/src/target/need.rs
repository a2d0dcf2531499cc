//! What every twin that a condition selects must say, so that a caller with many conditions and many twins can look most
//! of them up instead of evaluating them.

use super::{Meaning, TargetCondition};
use crate::select::Source;
use crate::twin::ast::{Connective, Expr, Path, Step};
use crate::value::{Comparison, Constant};

/// A member of the twin and the text it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need<'a> {
    /// Names from the root of the twin to the member: `["tags", "site"]`.
    pub path: Vec<&'a str>,
    /// The text that must stand there.
    pub text: &'a str,
    /// It is all that the condition asks for: a twin that has it is selected.
    pub enough: bool,
}

impl TargetCondition {
    /// A member that every selected twin has with a certain text: `tags.site` and `lyon` for `tags.site = 'lyon' AND …`.
    /// `None` when the condition asks for no such thing, or not in every case.
    #[must_use]
    pub fn needs(&self) -> Option<Need<'_>> {
        match &self.meaning {
            Meaning::Where { source: Source::Devices, condition } => need(condition),
            Meaning::Where { .. } | Meaning::All => None,
        }
    }
}

fn need(condition: &Expr) -> Option<Need<'_>> {
    match condition {
        Expr::Compare { left, operator: Comparison::Equal, right } => match (&**left, &**right) {
            (Expr::Path(path), Expr::Constant(Constant::Text(text)))
            | (Expr::Constant(Constant::Text(text)), Expr::Path(path)) => {
                Some(Need { path: names(path)?, text, enough: true })
            }
            (_, _) => None,
        },
        // An AND is true only when each of its operands is (reference query-language §6.5).
        Expr::Logic { connective: Connective::And, operands } => {
            let found = operands.iter().find_map(need)?;
            Some(Need { enough: false, ..found })
        }
        Expr::Constant(_)
        | Expr::Array(_)
        | Expr::Path(_)
        | Expr::Call { .. }
        | Expr::Negate(_)
        | Expr::Not(_)
        | Expr::Logic { connective: Connective::Or, .. }
        | Expr::Arithmetic { .. }
        | Expr::Compare { .. }
        | Expr::In { .. } => None,
    }
}

fn names(path: &Path) -> Option<Vec<&str>> {
    path.resolved
        .iter()
        .map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Need, TargetCondition};

    #[test]
    fn only_what_must_always_hold_is_a_need() {
        for (text, expected) in [
            ("tags.site = 'lyon'", Some((vec!["tags", "site"], "lyon", true))),
            ("'lyon' = tags.site", Some((vec!["tags", "site"], "lyon", true))),
            ("deviceId = 'a'", Some((vec!["deviceId"], "a", true))),
            ("tags.a > 1 AND tags.b = 'c' AND tags.d = 'e'", Some((vec!["tags", "b"], "c", false))),
            ("(tags.a = 'b' AND tags.c = 'd') AND tags.e = 'f'", Some((vec!["tags", "a"], "b", false))),
            ("tags.a = 'b' OR tags.c = 'd'", None),
            ("NOT tags.a = 'b'", None),
            ("tags.a != 'b'", None),
            ("tags.a = 1", None),
            ("tags.a = tags.b", None),
            ("tags.a[0] = 'b'", None),
            ("tags.a IN ['b']", None),
            ("*", None),
        ] {
            let condition = TargetCondition::parse(text).expect(text);
            let expected = expected.map(|(path, text, enough)| Need { path, text, enough });
            assert_eq!(condition.needs(), expected, "{text}");
        }
    }
}
