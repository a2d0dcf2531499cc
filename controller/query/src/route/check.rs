//! Type check of a route condition, and the tree that is evaluated. Literals and properties have static types and a
//! mismatch is refused, as in both engines (reference query-language §6.4); body and twin values are known at run time
//! only. Names become what they are looked up by, so that evaluation builds no text.

use super::Events;
use super::ast::{Expr, Form, Kind, Link, Operator};
use super::lint::swallowed;
use super::names::{after, near_system, system};
use crate::function::{Dialect, Function, Gives, Parameter};
use crate::tokens::told;
use crate::value::{Arithmetic, Comparison, Constant};
use crate::{Diagnostic, Span, near};

/// A checked condition.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Constant(Constant),
    Property(Box<str>),
    /// An application property with the literal name `$…`, else the other thing.
    Dollar {
        property: Option<Box<str>>,
        otherwise: Source,
    },
    Call {
        function: Function,
        arguments: Vec<Self>,
    },
    /// `TWIN_CHANGE_INCLUDES(path)`.
    ChangeIncludes(Vec<Box<str>>),
    Negate(Box<Self>),
    Not(Box<Self>, Typing),
    Chain {
        first: Box<Self>,
        rest: Vec<Step>,
    },
    /// `a || b || …`
    Concat(Vec<Self>),
}

/// What a `$name` is when no application property has that name.
#[derive(Debug, Clone)]
pub(super) enum Source {
    System(Box<str>),
    Body(Vec<PathStep>),
    Twin(Vec<PathStep>),
    Nothing,
}

#[derive(Debug, Clone)]
pub(super) enum PathStep {
    Key(Box<str>),
    Index(usize),
}

/// One operator of a chain, applied to the result so far and `operand`.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) operator: Operator,
    /// Whether a side is known at run time only: comparison and logic differ then.
    pub(super) typing: Typing,
    pub(super) operand: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    Static,
    Dynamic,
}

/// The static type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Bool,
    Number,
    Text,
    Null,
    Undefined,
    Dynamic,
}

struct Checker {
    dialect: Dialect,
    events: Events,
    found: Vec<Diagnostic>,
}

// ---------------------------------------------------------------------------------------------------------------

/// Checks a condition and compiles it, or says everything that is wrong with it.
pub(super) fn compile(expr: &Expr, dialect: Dialect, events: Events) -> Result<Node, Vec<Diagnostic>> {
    let mut checker = Checker { dialect, events, found: Vec::new() };
    let (node, _) = checker.expr(expr);
    told(checker.found).map_or(Ok(node), Err)
}

impl Checker {
    /// A node and its type. After a finding the type is `Dynamic`, which fits everywhere and so causes no second one.
    fn expr(&mut self, expr: &Expr) -> (Node, Type) {
        match &expr.kind {
            Kind::Constant(constant) => (Node::Constant(constant.clone()), type_of(constant)),
            Kind::Property(name) => (Node::Property(name.as_str().into()), Type::Text),
            Kind::Dollar { name, form } => self.dollar(name, *form, expr.at.0),
            Kind::Call { name, name_at, arguments } => self.call(name, name_at.0, arguments),
            Kind::Negate(operand) => {
                let (node, found) = self.expr(operand);
                if !matches!(found, Type::Number | Type::Dynamic) {
                    let message = format!("`-` needs a number, this is {}", found.described());
                    self.found.push(as_number_hint(Diagnostic::new(operand.at.0, message), operand, found));
                }
                (Node::Negate(Box::new(node)), Type::Number)
            }
            Kind::Not(operand) => {
                let (node, found) = self.expr(operand);
                let wrong = matches!(found, Type::Number | Type::Text);
                if wrong {
                    let message = format!("NOT needs a condition, this is {}", found.described());
                    let hint = "NOT binds tighter than comparisons in routes: write NOT (a = b)";
                    self.found.push(Diagnostic::new(operand.at.0, message).hint(hint));
                }
                let typing = if found == Type::Dynamic { Typing::Dynamic } else { Typing::Static };
                (Node::Not(Box::new(node), typing), if wrong { Type::Dynamic } else { Type::Bool })
            }
            Kind::Chain { first, rest } => self.chain(first, rest),
        }
    }

    fn dollar(&mut self, name: &str, form: Form, span: Span) -> (Node, Type) {
        // Names of application properties have no brackets.
        let literal = form == Form::Plain && !name.contains(['[', ']']);
        let property = literal.then(|| name.into());
        if let Some(path) = after(name, "$body.") {
            let steps = self.path(path, name, span);
            return (Node::Dollar { property, otherwise: Source::Body(steps) }, Type::Dynamic);
        }
        if let Some(path) = after(name, "$twin.") {
            if self.dialect == Dialect::EdgeRoute {
                let message = "edge routes cannot read twins";
                self.found
                    .push(Diagnostic::new(span, message).hint("send the value as a property or in the body"));
            }
            let steps = self.path(path, name, span);
            return (Node::Dollar { property, otherwise: Source::Twin(steps) }, Type::Dynamic);
        }
        if after(name, "$body[").is_some() {
            let message = "a path cannot start with an element of the body itself";
            self.found.push(Diagnostic::new(span, message).hint("send an object: $body.items[0]"));
            return (Node::Constant(Constant::Undefined), Type::Dynamic);
        }
        let bare = name.strip_prefix('$').unwrap_or(name);
        if bare.contains(['[', ']']) {
            let diagnostic = Diagnostic::new(span, format!("`{name}` is neither a property nor a body path"));
            let near = near_system(bare.split('[').next().unwrap_or(bare));
            let hint = near
                .map_or("body paths start with $body.".to_owned(), |near| format!("did you mean ${near}?"));
            self.found.push(diagnostic.hint(hint));
            return (Node::Constant(Constant::Undefined), Type::Dynamic);
        }
        let otherwise = if bare.eq_ignore_ascii_case("body") {
            Source::Nothing
        } else {
            Source::System(system(bare).unwrap_or(bare).into())
        };
        (Node::Dollar { property, otherwise }, Type::Text)
    }

    /// The steps of a body or twin path: names and `[index]` (reference query-language §6.3).
    fn path(&mut self, path: &str, whole: &str, span: Span) -> Vec<PathStep> {
        let steps = body_path(path);
        if let Err(problem) = &steps {
            let hint = "a path is names and [numbers], such as $body.readings[0].value";
            self.found.push(Diagnostic::new(span, format!("{problem} in `{whole}`")).hint(hint));
        }
        steps.unwrap_or_default()
    }

    fn call(&mut self, name: &str, span: Span, arguments: &[Expr]) -> (Node, Type) {
        let function = Function::named(name);
        let Some(function) = function.filter(|function| function.is_known_to(self.dialect)) else {
            let known_elsewhere = function.is_some_and(|function| function.is_known_to(Dialect::HubRoute));
            let diagnostic = Diagnostic::new(span, format!("unknown function {name}"));
            self.found.push(if known_elsewhere {
                diagnostic.hint("a cloud hub has it, edge routes do not")
            } else {
                match near(name, Function::names(self.dialect)) {
                    Some(known) => diagnostic.hint(format!("did you mean {known}?")),
                    None => diagnostic,
                }
            });
            return (Node::Constant(Constant::Undefined), Type::Dynamic);
        };
        let signature = function.signature();
        if arguments.len() < signature.least || arguments.len() > signature.most {
            let message = format!("{name} takes {}, not {}", signature.arguments(), arguments.len());
            self.found.push(Diagnostic::new(span, message));
            return (Node::Constant(Constant::Undefined), Type::Dynamic);
        }
        if function == Function::TwinChangeIncludes {
            return (self.change_includes(span, arguments), Type::Bool);
        }
        let mut nodes = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.iter().enumerate() {
            let (node, found) = self.expr(argument);
            let wanted = signature.parameters.get(index).or(signature.parameters.last());
            if let Some(wanted) = wanted.filter(|wanted| !found.fits(**wanted)) {
                let message =
                    format!("{name} needs {} here, this is {}", wanted.described(), found.described());
                let diagnostic = Diagnostic::new(argument.at.0, message);
                self.found.push(match wanted {
                    Parameter::Number => as_number_hint(diagnostic, argument, found),
                    _ => diagnostic,
                });
            }
            nodes.push(node);
        }
        let gives = match signature.gives {
            Gives::Bool => Type::Bool,
            Gives::Number => Type::Number,
            Gives::Text => Type::Text,
        };
        (Node::Call { function, arguments: nodes }, gives)
    }

    /// `TWIN_CHANGE_INCLUDES(properties.reported.a.b)` (reference query-language §6.7).
    fn change_includes(&mut self, span: Span, arguments: &[Expr]) -> Node {
        if self.events != Events::TwinChanges {
            let message = "TWIN_CHANGE_INCLUDES works on twin change notifications only";
            self.found
                .push(Diagnostic::new(span, message).hint("route them with FROM /twinChangeNotifications"));
        }
        let name = match arguments {
            [Expr { kind: Kind::Property(name), .. }] => name.as_str(),
            _ => "",
        };
        let roots = ["tags", "properties.desired", "properties.reported"];
        let rooted = roots
            .iter()
            .any(|root| after(name, root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
        let parts: Vec<Box<str>> = name.split('.').map(Into::into).collect();
        if !rooted || parts.iter().any(|part| part.is_empty()) {
            let at = arguments.first().map_or(span, |argument| argument.at.0);
            let message = "expected a path in tags, properties.desired or properties.reported";
            self.found
                .push(Diagnostic::new(at, message).hint("names only, such as properties.reported.battery"));
        }
        Node::ChangeIncludes(parts)
    }

    fn chain(&mut self, first: &Expr, rest: &[Link]) -> (Node, Type) {
        let (first_node, mut left) = self.expr(first);
        let mut steps = Vec::with_capacity(rest.len());
        let mut left_expr = Some(first);
        for link in rest {
            let (operand, right) = self.expr(&link.operand);
            let problem = mismatch(link.operator, left, right);
            if let Some(message) = &problem {
                let hint = advice(link, left_expr, left, right);
                self.found.push(Diagnostic { span: link.at.0, message: message.clone(), hint });
            }
            let dynamic = left == Type::Dynamic || right == Type::Dynamic;
            let typing = if dynamic { Typing::Dynamic } else { Typing::Static };
            left = if problem.is_some() { Type::Dynamic } else { result(link.operator, left, right) };
            left_expr = None;
            steps.push(Step { operator: link.operator, typing, operand });
        }
        let concat = steps.iter().all(|step| step.operator == Operator::Concat);
        let node = if concat {
            Node::Concat(
                std::iter::once(first_node).chain(steps.into_iter().map(|step| step.operand)).collect(),
            )
        } else {
            Node::Chain { first: Box::new(first_node), rest: steps }
        };
        (node, left)
    }
}

/// Why two static types do not go with an operator; `None` when they do.
fn mismatch(operator: Operator, left: Type, right: Type) -> Option<String> {
    let symbol = operator.symbol();
    let (left_text, right_text) = (left.described(), right.described());
    let logical = |side| matches!(side, Type::Bool | Type::Null | Type::Undefined);
    match operator {
        Operator::Arithmetic(_) => {
            let fits = |side| matches!(side, Type::Number | Type::Dynamic);
            let wrong = !fits(left) || !fits(right);
            wrong.then(|| format!("`{symbol}` needs two numbers, here are {left_text} and {right_text}"))
        }
        Operator::Concat => {
            let fits = |side| matches!(side, Type::Text | Type::Dynamic);
            let wrong = !fits(left) || !fits(right);
            wrong.then(|| format!("`||` joins texts, here are {left_text} and {right_text}"))
        }
        Operator::And | Operator::Or => {
            if left != Type::Dynamic && right == Type::Dynamic && logical(left) {
                return Some(format!("{symbol} cannot take a bare body value on its right"));
            }
            let wrong = left != Type::Dynamic && !(logical(left) && logical(right));
            wrong.then(|| format!("{symbol} needs two conditions, here are {left_text} and {right_text}"))
        }
        Operator::Compare(_) | Operator::Coalesce if left == Type::Dynamic || right == Type::Dynamic => None,
        Operator::Compare(comparison) => {
            let unordered = left == Type::Bool && !comparison.is_equality();
            let wrong = left != right || unordered;
            wrong.then(|| format!("`{symbol}` cannot compare {left_text} with {right_text}"))
        }
        Operator::Coalesce => (left != right)
            .then(|| format!("both sides of `??` need one type, here are {left_text} and {right_text}")),
    }
}

/// What to write instead of a mismatch.
fn advice(link: &Link, left_expr: Option<&Expr>, left: Type, right: Type) -> Option<String> {
    let named = |expr: &Expr| match &expr.kind {
        Kind::Property(name) | Kind::Dollar { name, .. } => Some(name.clone()),
        _ => None,
    };
    let text_name = if left == Type::Text { left_expr.and_then(named) } else { named(&link.operand) };
    match (link.operator, left, right) {
        (Operator::And | Operator::Or, _, Type::Dynamic) => {
            Some("write `$body.flag = true`, or put the body value on the left".to_owned())
        }
        (Operator::Compare(_) | Operator::Arithmetic(_), Type::Text, Type::Number)
        | (Operator::Compare(_) | Operator::Arithmetic(_), Type::Number, Type::Text) => {
            Some(match text_name {
                Some(name) => numeric(&name),
                None => "as_number(x) makes a number of a text".to_owned(),
            })
        }
        (Operator::Arithmetic(Arithmetic::Add), Type::Text, Type::Text) => {
            Some("join texts with `||` or CONCAT".to_owned())
        }
        (Operator::Compare(Comparison::Equal), _, Type::Null) => Some("use IS_NULL(x)".to_owned()),
        (Operator::Compare(Comparison::NotEqual), _, Type::Null) => Some("use NOT IS_NULL(x)".to_owned()),
        (Operator::Compare(_), _, Type::Undefined) => Some("use IS_DEFINED(x)".to_owned()),
        (Operator::Coalesce, Type::Text, Type::Bool) if matches!(link.operand.kind, Kind::Chain { .. }) => {
            Some("`??` binds looser than every other operator: write (a ?? 'x') = b".to_owned())
        }
        _ => None,
    }
}

/// The type of the result of an operator whose operands fit.
fn result(operator: Operator, left: Type, right: Type) -> Type {
    match operator {
        Operator::Arithmetic(_) => Type::Number,
        Operator::Concat => Type::Text,
        // Null is contagious in AND and gives way in OR (reference query-language §6.5).
        Operator::And if left == Type::Null || right == Type::Null => Type::Null,
        Operator::Or if left == Type::Null && right == Type::Null => Type::Null,
        Operator::Compare(_) | Operator::And | Operator::Or => Type::Bool,
        Operator::Coalesce if right == Type::Dynamic => Type::Dynamic,
        Operator::Coalesce => left,
    }
}

/// How to use a property as a number, or that it is not even the property that was meant.
fn numeric(name: &str) -> String {
    swallowed(name).unwrap_or_else(|| format!("properties are texts: write as_number({name})"))
}

fn as_number_hint(diagnostic: Diagnostic, operand: &Expr, found: Type) -> Diagnostic {
    match (&operand.kind, found) {
        (Kind::Property(name) | Kind::Dollar { name, .. }, Type::Text) => diagnostic.hint(numeric(name)),
        _ => diagnostic,
    }
}

fn type_of(constant: &Constant) -> Type {
    match constant {
        Constant::Null => Type::Null,
        Constant::Undefined => Type::Undefined,
        Constant::Bool(_) => Type::Bool,
        Constant::Number(_) => Type::Number,
        Constant::Text(_) => Type::Text,
    }
}

/// Reads `a.b[0].c`.
fn body_path(path: &str) -> Result<Vec<PathStep>, &'static str> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
        if name.is_empty() {
            return Err("a name is missing");
        }
        if name.contains(['*', '\'', ']']) {
            return Err("wildcards, quoted names and stray brackets are not allowed");
        }
        steps.push(PathStep::Key(name.into()));
        while let Some(rest) = indexes.strip_prefix('[') {
            let (index, after) = rest.split_once(']').ok_or("a `]` is missing")?;
            let digits = !index.is_empty() && index.chars().all(|digit| digit.is_ascii_digit());
            let index = if digits { index.parse().ok() } else { None };
            steps.push(PathStep::Index(index.ok_or("an index is a number such as [0]")?));
            indexes = after;
        }
        if !indexes.is_empty() {
            return Err("a `.` is missing after `]`");
        }
    }
    Ok(steps)
}

impl Type {
    fn described(self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Null => "null",
            Self::Undefined => "undefined",
            Self::Dynamic => "a body value",
        }
    }

    fn fits(self, wanted: Parameter) -> bool {
        match wanted {
            Parameter::Any => true,
            Parameter::Number => matches!(self, Self::Number | Self::Dynamic),
            Parameter::Text => matches!(self, Self::Text | Self::Dynamic),
            Parameter::NumberOrText => matches!(self, Self::Number | Self::Text | Self::Dynamic),
            Parameter::Path => false,
        }
    }
}

impl Parameter {
    fn described(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::NumberOrText => "a number or a text",
            Self::Path => "a path",
        }
    }
}
